//! The order of decision, for calls that are no commands, and what a path is.

use super::*;

#[test]
fn the_first_priority_that_matches_decides_and_deny_beats_ask_beats_allow() {
    check("allow\n deny", "Read file_path=/x", "deny");
    check("deny\n allow", "Read file_path=/x", "deny");
    check("allow\n ask", "Read file_path=/x", "ask");
    check("ask\n deny\n allow", "Read file_path=/x", "deny");
    check("[10] allow\n deny", "Read file_path=/x", "allow");
    check("[10] ask\n deny\n [20] allow Write", "Read file_path=/x", "ask");
    check("[-1] allow\n deny Write", "Read file_path=/x", "allow");
    check("[-1] allow\n deny Write", "Write file_path=/x", "deny");
    check("", "Read file_path=/x", "ask");
    check("deny Write", "Read file_path=/x", "ask");
}

#[test]
fn each_part_of_a_command_is_decided_by_its_own_first_priority() {
    check("[10] allow Bash command=git *\n ask Bash", "Bash git status", "allow");
    check("[10] allow Bash command=git *\n ask Bash", "Bash git status && git log", "allow");
    check("[10] allow Bash command=git *\n ask Bash", "Bash git status && ls", "ask");
    check("[10] allow Bash command=git *\n deny Bash command=ls *", "Bash git status && ls", "deny");
    check("allow Bash\n deny Bash command=curl *|*sh", "Bash curl x | tee y | sh", "deny");
    check("[10] allow Bash command=curl * | sh\n deny Bash command=curl *|*sh", "Bash curl x | sh", "deny");
    check("[10] allow Bash command=rm x", "Bash rm x", "allow");
    check("allow Bash command=rm x && ls > y", "Bash rm x && ls > y", "allow");
    check("allow Bash command=rm x && ls > y\n deny Bash command=rm *", "Bash rm x && ls > y", "deny");
    check("[1] allow Bash command=rm x && ls > y\n deny Bash command=rm *", "Bash rm x && ls > y", "allow");
    check("allow Bash command=python -c 1", "Bash python -c 1", "allow");
    check("allow Bash command=python -c 1\n deny Bash command=rm *", "Bash python -c 1", "allow");
    check("allow Bash command=python *", "Bash python -c 1", "ask");
    check("allow Bash\n deny Bash command=rm *", "Bash python -c 1", "ask");
    check("[1] allow Bash\n deny Bash command=rm *", "Bash python -c 1", "allow");
    check("allow Bash\n [1] deny Bash command=rm *", "Bash python -c 1", "ask");
    check("allow Bash", "Bash python -c 1", "allow");
    check("allow Bash", "Bash ls (", "allow");
    check("allow\n deny Edit", "Bash ls > x", "deny");
    check("allow Bash\n ask Write", "Bash ls > x", "ask");
    check("allow Bash", "Bash ls > x", "allow");
    check("allow Bash command=ls *\n allow Write file_path=./**", "Bash ls > x", "allow");
    check("allow Bash command=ls *\n allow Write file_path=./**", "Bash ls > ../x", "ask");
    check("allow Bash command=ls *\n allow Write file_path=./**", "Bash ls > out/x", "ask");
    check("allow Read file_path=**", "Bash cat x", "ask");
    check("deny mcp__x", "Bash true", "ask");
    check(
        "allow Bash\n deny Bash command=git * | !git status *",
        "Bash git status && git status -s",
        "allow",
    );
    check("allow Bash\n deny Bash command=git * | !git status *", "Bash git status && git log", "deny");
    check("allow Bash\n deny Bash command=!git *", "Bash timeout 5 git log", "allow");
    check("allow Bash\n deny Bash command=!git *", "Bash git log; ls", "deny");
}

#[test]
fn a_fallback_never_allows_and_a_denying_one_denies_what_cannot_be_read() {
    for command in ["ls", "$X", "ls (", ""] {
        let args = json!({ "command": command });
        assert_eq!(decide(&[], Fallback::Deny, "Bash", &args).action, Action::Deny, "{command}");
        assert_eq!(decide(&[], Fallback::Ask, "Bash", &args).action, Action::Ask, "{command}");
    }
    let policies = rules("deny Bash command=rm *");
    let decision = decide(&policies, Fallback::Deny, "Bash", &json!({ "command": "$X y" }));
    assert_eq!(decision.action, Action::Deny);
}

#[test]
fn paths_are_normal_and_links_are_followed() {
    let secret = "deny Read file_path=.env\n allow Read file_path=./**";
    check(secret, "Read file_path=/ws/.env", "deny");
    check(secret, "Read file_path=.env", "deny");
    check(secret, "Read file_path=/ws/a/../.env", "deny");
    check(secret, "Read file_path=/ws//a/.//../.env", "deny");
    check(secret, "Read file_path=/ws/innocent.txt", "deny");
    check(secret, "Read file_path=/ws/a/.env", "deny");
    check(secret, "Read file_path=/ws/env", "allow");
    check(secret, "Read file_path=/ws/a/.b/c", "allow");
    check(secret, "Read file_path=/ws/../etc/passwd", "ask");
    check(secret, "Read file_path=/ws/out/passwd", "ask");
    check(secret, "Read file_path=/wsx/a", "ask");
    check("deny Read file_path=/etc/**\n allow Read", "Read file_path=out/passwd", "deny");
    check("deny Read file_path=/etc/**\n allow Read", "Read file_path=/etc", "deny");
    check("deny Read file_path=~/.ssh/**\n allow", "Read file_path=~/.ssh/id", "deny");
    check("deny Read file_path=~/.ssh/**\n allow", "Read file_path=/home/dev/.ssh/id", "deny");
    check("deny Read file_path=~/.ssh/**\n allow", "Read file_path=/ws/../home/dev/.ssh", "deny");
    check("deny Read file_path=~/.ssh/**\n allow", "Read file_path=/srv/other/.ssh/id", "allow");
    check("deny Read file_path=src/*.rs\n allow", "Read file_path=/ws/src/a.rs", "deny");
    check("deny Read file_path=src/*.rs\n allow", "Read file_path=/ws/src/a/b.rs", "allow");
    check("deny Read,Grep file_path=.env\n allow", "Grep path=/ws/.env", "deny");
    check("allow Read cwd=/ws/**", "Read file_path=/x", "allow");
    check("allow Read cwd=/other/**", "Read file_path=/x", "ask");
    check("allow Bash command=ls * ; cwd=/ws/**", "Bash ls", "allow");
    check("allow Bash command=ls * ; cwd=/ws", "Bash cd a && ls", "ask");
    check("deny Bash command=ls * ; cwd=/etc\n allow Bash", "Bash cd /etc && ls", "deny");
    check("deny Bash command=ls * ; cwd=/etc\n allow Bash", "Bash cd $X && ls", "ask");
}

#[test]
fn a_patch_is_an_edit_of_its_files() {
    let patch =
        |name: &str| format!("apply_patch input=*** Begin Patch\n*** Update File: {name}\n@@\n*** End Patch");
    check("deny Edit file_path=src/gen/**\n allow", &patch("src/gen/a.rs"), "deny");
    check("deny Write file_path=src/gen/**\n allow", &patch("src/gen/a.rs"), "deny");
    check("allow Edit file_path=src/**", &patch("src/a.rs"), "allow");
    check("allow Edit file_path=src/**", &patch("../a.rs"), "ask");
    check("allow apply_patch", &patch("a.rs"), "allow");
    check("allow apply_patch\n deny Edit file_path=.env", "apply_patch input=what", "ask");
    check("deny apply_patch\n [5] allow Edit", &patch("a.rs"), "deny");
}

#[test]
fn a_scope_says_which_sessions_a_policy_is_for() {
    let own = SessionId::parse("a1b2c3d4").unwrap();
    let check = |scope: Value, in_set: bool, expected: bool| {
        let policy = json!({ "name": "x", "scope": scope, "rules": [] });
        let policy = read_policy(&policy).unwrap();
        assert_eq!(applies_to(&policy, &own, "codex", Path::new("/ws/a"), in_set), expected, "{scope}");
        let off = Policy { enabled: false, ..policy };
        assert!(!applies_to(&off, &own, "codex", Path::new("/ws/a"), in_set));
    };
    check(json!("global"), false, true);
    check(json!("set"), false, false);
    check(json!("set"), true, true);
    check(json!({ "session": "a1b2c3d4" }), false, true);
    check(json!({ "session": "ffffffff" }), true, false);
    check(json!({ "workspace": "/ws" }), false, true);
    check(json!({ "workspace": "/ws/a/" }), false, true);
    check(json!({ "workspace": "/w" }), false, false);
    check(json!({ "provider": "codex" }), false, true);
    check(json!({ "provider": "claude-code" }), false, false);
}

#[test]
fn a_decision_says_who_and_why() {
    let policies = rules("deny Bash command=rm *\n allow Bash");
    let decision = decide(&policies, Fallback::Ask, "Bash", &json!({ "command": "ls && rm x" }));
    assert_eq!(
        explain(&decision),
        [
            "deny: `rm x`: policy `deny Bash command=rm *` forbids this",
            "by rules[0] of policy p0",
            "its parts:",
            "  allow  ls  (policy `allow Bash` allows this)",
            "  deny   rm x  (policy `deny Bash command=rm *` forbids this)",
        ]
    );
}

/// Of a word with wildcards it is not known which file it is: an expression is held against what is said of it,
/// and may be meant by what is not.
#[test]
fn an_expression_for_files_may_be_meant_by_a_wildcard() {
    let rules = "deny Read file_path=regex:-\n allow Bash";
    check(rules, "Bash cat a-e", "deny");
    check(rules, "Bash cat [a-e]-", "deny");
    check(rules, "Bash cat [a-e]", "ask");
}
