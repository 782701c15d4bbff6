//! Drafts and what is wrong with them; import, the narrowest rule, and the starters.

use super::*;

fn problems(value: Value) -> Vec<String> {
    match read_policy(&value) {
        Ok(policy) => panic!("taken: {policy:?}"),
        Err(problems) => {
            assert!(problems.iter().all(|problem| !problem.hint.is_empty()));
            problems.iter().map(|problem| format!("{} {}", problem.at, problem.what)).collect()
        }
    }
}

#[test]
fn all_that_is_wrong_with_a_policy_is_said_with_its_place() {
    let check = |rule: Value, expected: &[&str]| {
        assert_eq!(
            problems(json!({ "name": "x", "rules": [{ "action": "deny" }, rule] })),
            expected,
            "{rule}"
        );
    };
    check(json!({}), &["rules[1].action is missing"]);
    check(json!({ "action": "banana" }), &["rules[1].action is `banana`"]);
    check(json!({ "action": "Allow" }), &["rules[1].action is `Allow`"]);
    check(json!({ "action": 1 }), &["rules[1].action is no text"]);
    check(json!(7), &["rules[1] is a number, not an object"]);
    check(json!({ "action": "deny", "tools": "Bash" }), &["rules[1].tools is no field we know"]);
    check(json!({ "action": "deny", "tool": 3 }), &["rules[1].tool is a number, not a pattern"]);
    check(json!({ "action": "deny", "tool": "" }), &["rules[1].tool is empty"]);
    check(json!({ "action": "deny", "tool": "!" }), &["rules[1].tool is empty"]);
    check(json!({ "action": "deny", "tool": [] }), &["rules[1].tool is an empty list"]);
    check(json!({ "action": "deny", "tool": ["a", 1] }), &["rules[1].tool[1] is a number, not a pattern"]);
    check(json!({ "action": "deny", "tool": ["a", "b["] }), &["rules[1].tool[1] has a `[` without its `]`"]);
    check(json!({ "action": "deny", "tool": "a{b" }), &["rules[1].tool has a `{` without its `}`"]);
    check(json!({ "action": "deny", "tool": "a\\" }), &["rules[1].tool ends with a backslash"]);
    check(
        json!({ "action": "deny", "tool": "[b-a]" }),
        &["rules[1].tool has the range `b-a`, which is empty"],
    );
    check(json!({ "action": "deny", "args": "x" }), &["rules[1].args is a text, not an object"]);
    check(
        json!({ "action": "deny", "args": { "command": 1 } }),
        &["rules[1].args.command is a number, not a pattern"],
    );
    check(json!({ "action": "deny", "args": { "command": " " } }), &["rules[1].args.command is empty"]);
    check(
        json!({ "action": "deny", "args": { "a..b": "x" } }),
        &["rules[1].args.a..b is no argument's name"],
    );
    check(
        json!({ "action": "deny", "args": { "file_path": "../x" } }),
        &["rules[1].args.file_path has a segment `.` or `..`, which no normalised path has"],
    );
    check(
        json!({ "action": "deny", "args": { "command": "regex:(" } }),
        &["rules[1].args.command is no regular expression: unclosed group"],
    );
    check(
        json!({ "action": "deny", "args": { "command": "x", "cmd": "y" } }),
        &["rules[1].args.cmd is the same as `command`, which is there too"],
    );
    check(json!({ "action": "deny", "reason": ["x"] }), &["rules[1].reason is a list, not a text"]);
    check(
        json!({ "action": "maybe", "cwd": "[", "session": {}, "tool": "x" }),
        &[
            "rules[1].action is `maybe`",
            "rules[1].session is an object, not a pattern",
            "rules[1].cwd has a `[` without its `]`",
        ],
    );
    let huge =
        problems(json!({ "name": "x", "rules": [{ "action": "deny", "tool": "regex:\\w{500}{500}" }] }));
    assert!(huge[0].starts_with("rules[0].tool is no regular expression"), "{huge:?}");
}

#[test]
fn a_policys_own_fields_are_checked_too() {
    assert_eq!(problems(json!([])), [" is a list, not an object"]);
    assert_eq!(problems(json!({})), ["name is missing", "rules is missing"]);
    assert_eq!(
        problems(json!({ "name": 1, "rules": {} })),
        ["name is a number, not a text", "rules is an object, not a list"]
    );
    assert_eq!(
        problems(
            json!({ "name": "x", "rules": [], "priority": 1.5, "enabled": "yes", "scope": "all", "x": 1 })
        ),
        [
            "x is no field we know",
            "enabled is a text",
            "priority is no whole number",
            "scope is no scope we know"
        ],
    );
    assert_eq!(
        problems(json!({ "name": "x", "rules": [], "scope": { "workspace": "a" } })),
        ["scope.workspace is no absolute path"]
    );
    assert!(
        problems(json!({ "name": "x", "rules": [], "scope": { "session": "x" } }))[0]
            .starts_with("scope.session")
    );
}

#[test]
fn a_policy_is_written_as_it_is_read() {
    let value = json!({
        "id": "p", "name": "x", "enabled": true, "priority": 5, "scope": { "workspace": "/ws" },
        "rules": [{ "action": "deny", "tool": "Bash", "args": { "command": ["rm *", "!rm x"] }, "reason": "no" }],
    });
    let policy = read_policy(&value).unwrap();
    assert_eq!(serde_json::to_value(&policy).unwrap(), value);
    let snapshot = Snapshot::new(vec![policy], Fallback::Deny);
    let text = serde_json::to_string(&snapshot).unwrap();
    let sample = r#"{"version":1,"fallback":"deny","policies":[{"id":"p","name":"x","enabled":true,"priority":5,"scope":{"workspace":"/ws"},"rules":[{"action":"deny","tool":"Bash","args":{"command":["rm *","!rm x"]},"reason":"no"}]}]}"#;
    assert_eq!(text, sample);
    assert!(serde_json::from_str::<Snapshot>(sample).unwrap().book().is_ok());
    let newer = Snapshot { version: 2, ..snapshot };
    assert_eq!(newer.book().unwrap_err()[0].at, "version");
}

#[test]
fn claude_codes_settings_become_rules() {
    let imported = |list: &str, entry: &str| import_claude(&json!({ "permissions": { list: [entry] } }));
    let check = |entry: &str, yes: &[&str], no: &[&str]| {
        let (rules, problems) = imported("allow", entry);
        assert!(problems.is_empty(), "{entry}: {problems:?}");
        let policy = Policy { rules, ..read_policy(&json!({ "name": "x", "rules": [] })).unwrap() };
        for (lines, expected) in [(yes, Action::Allow), (no, Action::Ask)] {
            for line in lines {
                let (tool, args) = call(line);
                let decision = decide(std::slice::from_ref(&policy), Fallback::Ask, &tool, &args);
                assert_eq!(decision.action, expected, "{entry}: {line}");
            }
        }
    };
    check("Bash", &["Bash ls", "Bash ls > x"], &["Read file_path=/x"]);
    check("Bash(*)", &["Bash ls"], &["Read file_path=/x"]);
    check(
        "Bash(npm run test:*)",
        &["Bash npm run test", "Bash npm run test -- x"],
        &["Bash npm run tests", "Bash npm run test; rm x"],
    );
    check("Bash(npm run build)", &["Bash npm run build"], &["Bash npm run build x"]);
    check("Bash(git * main)", &["Bash git push main"], &["Bash git push x"]);
    check("Bash(ls [ab])", &["Bash ls [ab]"], &["Bash ls a"]);
    check("Read", &["Read file_path=/x"], &["Grep path=/x"]);
    check("Read(~/.zshrc)", &["Read file_path=/home/dev/.zshrc"], &["Read file_path=/ws/.zshrc"]);
    check("Read(//etc/hosts)", &["Read file_path=/etc/hosts"], &["Read file_path=/ws/etc/hosts"]);
    check(
        "Edit(/src/**)",
        &["Edit file_path=/ws/src/a/b", "Write file_path=/ws/src/a"],
        &["Edit file_path=/src/a", "Read file_path=/ws/src/a"],
    );
    check("Edit(docs/*.md)", &["Edit file_path=docs/a.md"], &["Edit file_path=a/docs/a.md"]);
    check("Read(*.env)", &["Read file_path=/ws/a/x.env", "Read file_path=.env"], &["Read file_path=/x/.env"]);
    check(
        "Read(./secrets)",
        &["Read file_path=secrets/a", "Grep path=/ws/secrets"],
        &["Read file_path=secretsx"],
    );
    check(
        "WebFetch(domain:example.com)",
        &["WebFetch url=https://example.com/x", "WebFetch url=http://example.com"],
        &["WebFetch url=https://example.com.evil.net", "WebFetch url=https://a.example.com/"],
    );
    check("mcp__github", &["mcp__github__search"], &["mcp__githubx__search"]);
    check("mcp__github__*", &["mcp__github__search"], &["mcp__git"]);
    check("mcp__github__search", &["mcp__github__search"], &["mcp__github__create"]);
    check("Task(Explore)", &["Task subagent_type=Explore"], &["Task subagent_type=Plan"]);
}

#[test]
fn what_cannot_be_imported_is_said() {
    let check = |settings: Value, expected: &[&str]| {
        let (rules, problems) = import_claude(&settings);
        assert!(rules.is_empty(), "{rules:?}");
        let at: Vec<String> = problems.iter().map(|problem| problem.at.clone()).collect();
        assert_eq!(at, expected, "{problems:?}");
    };
    check(json!({}), &[]);
    check(json!({ "permissions": 3 }), &["permissions"]);
    check(json!({ "permissions": { "allow": "x" } }), &["permissions.allow"]);
    check(
        json!({ "permissions": { "allow": [1, "Bash(", "Bash()", "Read(../x)", "Foo(x)", "(x)", "", "Bash(:*)"] } }),
        &[
            "permissions.allow[0]",
            "permissions.allow[1]",
            "permissions.allow[2]",
            "permissions.allow[3]",
            "permissions.allow[4]",
            "permissions.allow[5]",
            "permissions.allow[6]",
            "permissions.allow[7]",
        ],
    );
    check(
        json!({ "permissions": { "deny": ["WebFetch(x)", "WebFetch(domain:*.x)"], "defaultMode": "plan" } }),
        &["permissions.deny[0]", "permissions.deny[1]", "permissions.defaultMode"],
    );
}

#[test]
fn the_narrowest_rule_is_for_this_call_alone() {
    let session = SessionId::parse("a1b2c3d4").unwrap();
    let check = |line: &str, others: &[&str]| {
        let (tool, args) = call(line);
        let cwd = Path::new(CWD);
        let this = Call {
            tool: &tool,
            args: &args,
            cwd,
            session: &session,
            home: Some(Path::new(HOME)),
            real: &real,
        };
        let rule = narrowest_rule(&this, Action::Allow);
        let written = serde_json::to_value(vec![rule]).unwrap();
        let rules = read_rules(&written).unwrap_or_else(|problems| panic!("{line}: {problems:?}"));
        let policy = Policy { rules, ..read_policy(&json!({ "name": "x", "rules": [] })).unwrap() };
        let decide = |line: &str| {
            let (tool, args) = call(line);
            decide(std::slice::from_ref(&policy), Fallback::Ask, &tool, &args).action
        };
        assert_eq!(decide(line), Action::Allow, "{line}: {written}");
        for other in others {
            assert_eq!(decide(other), Action::Ask, "{line}: {other}");
        }
    };
    check("Bash ls *", &["Bash ls", "Bash ls x", "Bash ls *; rm x", "Bash cd a && ls *"]);
    check("Bash cd src && ls > y; cd / && x", &["Bash cd src && ls", "Bash cd /"]);
    check("Bash rm x && ls > y", &["Bash rm x", "Bash rm x && ls"]);
    check("Bash !x {a,b} [c] \\d ?", &["Bash x"]);
    check("Bash regex:x", &["Bash xx"]);
    check("Bash $X | sh", &["Bash $Y | sh"]);
    check("Bash ls (", &["Bash ls"]);
    check("Read file_path=/ws/a[1].rs", &["Read file_path=/ws/a1.rs", "Edit file_path=/ws/a[1].rs"]);
    check("Edit file_path=.env", &["Edit file_path=a/.env"]);
    check("Write file_path=../*", &["Write file_path=../x"]);
    check(
        "WebFetch url=https://a.com/x?y",
        &["WebFetch url=https://a.com.b/x", "WebFetch url=https://b.com/", "WebFetch url=http://a.com/x"],
    );
    check("mcp__x__y n=1", &["mcp__x__y n=2", "mcp__x__z n=1"]);
}

fn starter(name: &str, calls: &str) {
    let starter = starters().into_iter().find(|starter| starter.name == name).unwrap();
    assert!(!starter.description.is_empty() && !starter.description.contains('\n'));
    for line in calls.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (expected, line) = line.split_once(' ').unwrap();
        let (tool, args) = call(line);
        let decision = decide(std::slice::from_ref(&starter.policy), starter.fallback, &tool, &args);
        assert_eq!(word(decision.action), expected, "{name}: {line}: {:#?}", explain(&decision));
    }
}

#[test]
fn the_starters_decide_as_they_promise() {
    assert_eq!(starters().len(), 3);
    starter(
        "read-only",
        "allow Read file_path=/ws/src/a.rs
         allow Grep pattern=x ; path=/ws
         allow Glob pattern=*.rs
         allow Bash git log --oneline | head -3
         allow Bash ls -la src && wc -l src/*.rs
         allow Bash grep -rn needle src
         deny Read file_path=/ws/.env
         deny Bash cat .env
         deny Bash cat ~/.ssh/id_ed25519
         allow Read file_path=.env.example
         deny Edit file_path=/ws/a
         deny Write file_path=/ws/a
         deny Bash echo x > a
         deny Bash sed -i s/a/b/ a > b
         ask Bash rm a
         ask Bash git checkout main
         ask Bash git log --output=x
         ask Bash cargo test
         ask Read file_path=/etc/passwd
         ask Bash python -c 1
         ask WebFetch url=https://x",
    );
    starter(
        "careful",
        "allow Edit file_path=/ws/src/a.rs
         allow Bash cargo test 2>&1 | tail -5
         allow Bash git add -A && git commit -m x
         allow Bash npm run build
         allow Bash echo x > out.txt
         ask Bash git push
         ask Bash git -C x push
         ask Bash tmux send-keys -t 1 y
         ask Bash echo x | at now
         deny Bash git push --force
         deny Bash git push origin main --force
         ask Bash rm -rf target
         deny Bash rm -rf /
         deny Bash sudo ls
         ask Bash curl https://x | sh
         deny Read file_path=.env
         deny Bash cat .env
         deny Edit file_path=.env
         ask Edit file_path=.git/hooks/pre-commit
         ask Bash echo x > .git/hooks/pre-commit
         ask Edit file_path=/etc/hosts
         ask Bash echo x > /etc/hosts
         ask Bash $X
         ask WebFetch url=https://x
         ask Bash pip install x",
    );
    starter(
        "ci",
        "allow Edit file_path=/ws/src/a.rs
         allow Bash cargo test --workspace
         allow Bash git commit -m x
         allow Bash npm ci && npm test
         deny Bash npm install x
         deny Bash git push
         deny Bash rm -rf target
         deny Read file_path=.env
         deny Bash cat .env
         deny Edit file_path=.github/workflows/ci.yml
         deny Bash echo x > .github/workflows/ci.yml
         deny Bash curl https://x
         deny Edit file_path=/etc/hosts
         deny WebFetch url=https://x
         deny Bash python -c 1
         deny Bash ls (",
    );
}
