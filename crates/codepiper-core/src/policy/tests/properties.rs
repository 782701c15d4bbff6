//! Laws that hold for all rules and all calls.

use super::*;
use proptest::prelude::*;

const PATTERNS: &[&str] =
    &["rm *", "git *", "git push *", "*", "ls", "cat *", "!rm *", "regex:^rm", "echo {a,b}", "*x*"];
const PATHS: &[&str] = &[".env", "*.pem", "./**", "/ws/src/*", "~/.ssh/**", "**/a", "!.env", "src/gen/**"];
const WORDS: &[&str] = &[
    "rm",
    "git",
    "push",
    "ls",
    "cat",
    ".env",
    "x",
    "echo",
    "$X",
    "$(ls)",
    "`rm x`",
    "'a b'",
    "\"$(cat .env)\"",
    "*",
    ".e*",
    "sudo",
    "bash -c 'rm x'",
    "-rf",
    "> src/gen/a",
    "< .env",
    "X=1",
    "xargs",
    "{rm,x}",
    "eval",
    "cd a",
    "\\rm",
    "<<EOF\nrm x\nEOF\n",
    "python -c 1",
    "env",
    "timeout 5",
    "src/gen/*",
    "src/$X",
    "\"$X.pem\"",
    "a*/id",
    "--out=src/a",
    "~/.ssh/*",
    "cd $X",
    "r$X",
    "$X/a",
];
const FILES: &[&str] = &["/ws/.env", "/ws/src/a", "a.pem", "/home/dev/.ssh/id", "../x", "src/gen/a", "out/a"];
const JOINTS: &[&str] =
    &[" ", " ", " ", "; ", " && ", " | ", " || ", "\n", " & ", " $(", ") ", " ( ", " { ", "; } ", "\"", "'"];

fn rule() -> impl Strategy<Value = Value> {
    let action = prop::sample::select(vec!["allow", "ask", "deny"]);
    let tool = prop::option::of(prop::sample::select(vec!["Bash", "Read", "Edit", "Write", "*", "!Read"]));
    let patterns = prop::sample::subsequence(PATTERNS, 1..3);
    let paths = prop::sample::subsequence(PATHS, 1..3);
    (action, tool, 0..4_u8, patterns, paths).prop_map(|(action, tool, kind, patterns, paths)| {
        let mut rule = json!({ "action": action });
        if let Some(tool) = tool {
            rule["tool"] = tool.into();
        }
        match kind {
            0 => rule["args"] = json!({ "command": patterns }),
            1 => rule["args"] = json!({ "file_path": paths }),
            2 => rule["cwd"] = "/ws/**".into(),
            _ => {}
        }
        rule
    })
}

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let policy = (0..3_i64, prop::collection::vec(rule(), 0..4));
    prop::collection::vec(policy, 0..4).prop_map(|policies| {
        let read = |(at, (priority, rules)): (usize, (i64, Vec<Value>))| {
            let policy = json!({ "id": at.to_string(), "name": "p", "priority": priority, "rules": rules });
            read_policy(&policy).unwrap()
        };
        policies.into_iter().enumerate().map(read).collect()
    })
}

/// Parts of which patterns of commands and of paths are made, that often meet those of [`WORDS`] and of
/// [`FILES`].
const STEMS: &[&str] =
    &["rm", "git", "push", "r", "cat", "-rf", "*", "?", "[a-z]", "{x,ls}", " ", " *", "x", "regex:"];
const NAMES: &[&str] = &[
    "src",
    "gen",
    "a",
    ".env",
    "*",
    "**",
    "*.pem",
    "a*",
    ".e*",
    "?x",
    "[.a]*",
    "{gen,src}",
    "id",
    "ws",
    "etc",
];
const PLACES: &[&str] = &["", "/", "~/", "./", "**/", "/ws/", "!", "!./", "regex:"];

/// More rules than anybody tries one by one, and of all kinds.
fn many() -> impl Strategy<Value = Vec<Policy>> {
    let names = || prop::sample::select(NAMES);
    let path = (
        prop::sample::select(PLACES),
        prop::collection::vec(names(), 1..4),
        prop::sample::select(vec!["", "", "/"]),
    );
    let path = path.prop_map(|(place, names, end)| format!("{place}{}{end}", names.join("/")));
    let command = prop::collection::vec(prop::sample::select(STEMS), 1..4).prop_map(|stems| stems.concat());
    let tool =
        prop::sample::select(vec!["Bash", "Bash", "Read", "Edit", "Write", "*", "!Read", "apply_patch"]);
    let kind = prop::sample::select(vec!["command", "command", "file_path", "path", "cwd", "both", "none"]);
    let action = prop::sample::select(vec!["allow", "ask", "deny"]);
    let lists = (prop::collection::vec(path, 1..3), prop::collection::vec(command, 1..3));
    let rule =
        (action, prop::option::of(tool), kind, lists).prop_map(|(action, tool, kind, (paths, commands))| {
            let mut rule = json!({ "action": action });
            if let Some(tool) = tool {
                rule["tool"] = tool.into();
            }
            match kind {
                "command" => rule["args"] = json!({ "command": commands }),
                "cwd" => rule["cwd"] = json!(paths),
                "both" => rule["args"] = json!({ "file_path": paths, "path": [commands[0]] }),
                "none" => {}
                name => rule["args"] = json!({ name: paths }),
            }
            rule
        });
    let policy = (0..3_i64, prop::collection::vec(rule, 1..16));
    prop::collection::vec(policy, 1..5).prop_map(|policies| {
        let read = |(at, (priority, rules)): (usize, (i64, Vec<Value>))| {
            // What is no pattern is left out.
            let good = |rule: &Value| read_rules(&json!([rule])).is_ok();
            let rules: Vec<Value> = rules.into_iter().filter(good).collect();
            let policy = json!({ "id": at.to_string(), "name": "p", "priority": priority, "rules": rules });
            read_policy(&policy).unwrap()
        };
        policies.into_iter().enumerate().map(read).collect()
    })
}

fn script() -> impl Strategy<Value = String> {
    let pieces = (prop::sample::select(WORDS), prop::sample::select(JOINTS));
    prop::collection::vec(pieces, 0..8)
        .prop_map(|pieces| pieces.into_iter().flat_map(|(word, joint)| [word, joint]).collect())
}

fn some_call() -> impl Strategy<Value = (String, Value)> {
    let path = || prop::sample::select(FILES);
    let patch = |paths: Vec<&str>| {
        let files = paths.iter().map(|path| format!("*** Update File: {path}\n"));
        json!({ "command": format!("*** Begin Patch\n{}", files.collect::<String>()) })
    };
    prop_oneof![
        4 => script().prop_map(|command| ("Bash".to_owned(), json!({ "command": command }))),
        1 => (prop::sample::select(vec!["Read", "Edit", "Write", "Other"]), path())
            .prop_map(|(tool, path)| (tool.to_owned(), json!({ "file_path": path }))),
        1 => prop::collection::vec(path(), 0..3).prop_map(move |paths| ("apply_patch".to_owned(), patch(paths))),
    ]
}

fn fallback() -> impl Strategy<Value = Fallback> {
    prop::sample::select(vec![Fallback::Ask, Fallback::Deny])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn another_deny_rule_makes_nothing_more_permissive(
        mut policies in policies(), extra in rule(), priority in 0..3_i64, (tool, args) in some_call(), fallback in fallback(),
    ) {
        let before = decide(&policies, fallback, &tool, &args).action;
        let mut extra = extra;
        extra["action"] = "deny".into();
        let policy = json!({ "name": "extra", "priority": priority, "rules": [extra] });
        policies.push(read_policy(&policy).unwrap());
        let after = decide(&policies, fallback, &tool, &args).action;
        prop_assert!(after >= before, "{before:?} became {after:?}");
    }

    #[test]
    fn names_and_order_change_no_action(policies in policies(), (tool, args) in some_call(), fallback in fallback()) {
        let before = decide(&policies, fallback, &tool, &args).action;
        let mut other = policies;
        other.reverse();
        for (at, policy) in other.iter_mut().enumerate() {
            policy.rules.reverse();
            (policy.id, policy.name) = (format!("z{at}"), "other".into());
            for rule in &mut policy.rules {
                (rule.id, rule.reason) = (Some("i".into()), Some("r".into()));
            }
        }
        prop_assert_eq!(decide(&other, fallback, &tool, &args).action, before);
    }

    #[test]
    fn a_snapshot_decides_the_same(policies in policies(), (tool, args) in some_call(), fallback in fallback()) {
        let here = decide(&policies, fallback, &tool, &args);
        let text = serde_json::to_string(&Snapshot::new(policies, fallback)).unwrap();
        let snapshot: Snapshot = serde_json::from_str(&text).unwrap();
        let there = decide(&snapshot.policies, snapshot.fallback, &tool, &args);
        prop_assert_eq!(here, there);
    }

    /// Enough rules that match nothing bring the index in: it must find what trying one by one finds.
    #[test]
    fn the_index_misses_no_rule(mut policies in policies(), (tool, args) in some_call(), fallback in fallback()) {
        let before = decide(&policies, fallback, &tool, &args).action;
        let padding: Vec<Value> = (0..36)
            .map(|n| match n % 2 {
                0 => json!({ "action": "allow", "tool": "Bash", "args": { "command": format!("*nothing {n}*") } }),
                _ => json!({ "action": "allow", "args": { "file_path": format!("**/nothing{n}") } }),
            })
            .collect();
        policies.push(read_policy(&json!({ "name": "padding", "rules": padding })).unwrap());
        prop_assert_eq!(decide(&policies, fallback, &tool, &args).action, before);
    }

    /// Few of many rules are looked at: the answer is the same, to the letter, as when all are.
    #[test]
    fn looking_rules_up_decides_as_trying_each(policies in many(), (tool, args) in some_call(), fallback in fallback()) {
        let each = ask(&RuleBook::one_by_one(&policies, fallback), &tool, &args);
        prop_assert_eq!(decide(&policies, fallback, &tool, &args), each);
    }

    /// Where there are no links, all that is looked at is the path as it is written.
    #[test]
    fn a_path_without_links_is_seen_as_with_them(
        path in prop::sample::select(vec!["", "a", ".", "..", "/", "/ws", "/ws/", "~", "~/x", "/home", "/home/dev/x", "../x", "b/../c"]),
        [cwd, home] in prop::array::uniform2(prop::sample::select(vec!["/", "/ws", "/ws/a", "/home/dev", "/home", "/linked"])),
        with_home in any::<bool>(),
        linked in any::<bool>(),
    ) {
        let (session, args, plain) = (SessionId::parse("a1b2c3d4").unwrap(), json!({}), |path: &Path| path.to_owned());
        let real: &dyn Fn(&Path) -> PathBuf = if linked { &real } else { &plain };
        let home = with_home.then_some(Path::new(home));
        let call = Call { tool: "Read", args: &args, cwd: Path::new(cwd), session: &session, home, real };
        let prepared = super::super::rule::Prepared::new(&call);
        let written = super::super::paths::normal(path, Path::new(cwd), home);
        let slow = prepared.view_with_links(&written, &real(&written));
        let texts = |view: &super::super::rule::View| view.forms().map(|form| form.text().to_owned()).collect::<Vec<_>>();
        prop_assert_eq!(texts(&prepared.view(path, Path::new(cwd))), texts(&slow));
    }

    #[test]
    fn nothing_panics(command in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..200), policies in policies(), pattern in any::<String>()) {
        for text in [command, String::from_utf8_lossy(&bytes).into_owned()] {
            decide(&policies, Fallback::Ask, "Bash", &json!({ "command": text }));
            decide(&policies, Fallback::Ask, &text, &json!({ "file_path": text, "path": [text] }));
            decide(&policies, Fallback::Ask, "apply_patch", &json!(text));
            let _ = import_claude(&json!({ "permissions": { "allow": [text] } }));
        }
        let _ = read_rules(&json!([{ "action": "deny", "tool": pattern, "args": { "file_path": pattern, "command": pattern } }]));
    }

    #[test]
    fn shell_like_text_is_never_a_panic_and_never_past_a_rule(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "(", ")", "{ ", "}", "$(", "${", "`", "\"", "'", "\\", "<<E", "\n", "E\n", "if ", "then ", "fi ", "do ", "done ",
            "case x in ", "esac ", ";;", "[[ ", "]]", "((", "))", "<(", "|", "&", ";", "rm x", "a", "$", "=", "[", "#", ">",
        ]), 0..60),
    ) {
        let text: String = pieces.concat();
        let policies = rules("deny Bash command=rm *\n allow Bash");
        decide(&policies, Fallback::Ask, "Bash", &json!({ "command": text }));
    }
}

#[test]
fn a_short_script_that_stands_for_much_text_is_not_expanded() {
    let policies = rules("deny Read file_path=.env\n allow Bash");
    let value = format!("x={}; ", "y".repeat(4000));
    let words: String = (0..40_000).map(|n| format!("{n} ")).collect();
    for command in [
        format!("{value}cat {}", "$x".repeat(40_000)),
        format!("{value}cat {}", "$x ".repeat(30_000)),
        format!("{value}{}", "cat $x $x $x $x $x $x $x; ".repeat(3_000)),
        format!("cat {{{}}}{}", "a,".repeat(120), "b".repeat(100_000)),
        format!("cat {}", &words[..120_000]),
    ] {
        let args = json!({ "command": command });
        assert_eq!(
            decide(&policies, Fallback::Ask, "Bash", &args).action,
            Action::Ask,
            "{:.40}",
            &command[4000..]
        );
    }
}

#[test]
fn more_code_than_anybody_writes_is_asked_and_long_texts_are_read() {
    let policies = rules("deny Read file_path=*.pem\n allow Bash command=echo * | cat *\n allow Write");
    let text = "some words of a long text, $x * ; ".repeat(3_000);
    for (command, expected) in [
        ("echo a; ".repeat(30), Action::Allow),
        ("echo a; ".repeat(3_000), Action::Ask),
        (format!("echo {}", "a ".repeat(10_000)), Action::Ask),
        (format!("echo '{text}'"), Action::Allow),
        (format!("cat > x <<'E'\n{text}\nE\n"), Action::Allow),
        (format!("# {text}\necho a"), Action::Allow),
        (format!("eval '{text}'"), Action::Ask),
        (format!("cat {}", (0..30).map(|n| format!("{n}*.rs ")).collect::<String>()), Action::Allow),
        (format!("cat {}", (0..300).map(|n| format!("{n}*.rs ")).collect::<String>()), Action::Ask),
    ] {
        let decision = decide(&policies, Fallback::Ask, "Bash", &json!({ "command": command }));
        assert_eq!(decision.action, expected, "{:.60}: {}", command, decision.reason);
    }
}

#[test]
fn deep_and_long_scripts_end_soon_and_are_not_allowed() {
    let policies = rules("allow Bash command=a * | echo * | rm *");
    for n in [10, 31, 33, 1_000, 20_000] {
        for (open, inside, close) in [
            ("(", "rm x", ")"),
            ("((", "1", "))"),
            ("((", "", ""),
            ("$(", "rm x", ")"),
            ("$((", "1", "))"),
            ("echo \"$(", "rm x", ")\""),
            ("`", "rm x", "`"),
            ("{ ", "rm x", "; }"),
            ("{a,", "b", "}"),
            ("${x:-", "y", "}"),
            ("if ", "a", "; then b; fi"),
            ("while ", "a", "; do b; done"),
            ("<(", "a", ")"),
            ("eval ", "rm x", ""),
            ("sudo ", "rm x", ""),
            ("case a in a) ", "b", ";; esac"),
            ("f() { ", "a", "; }"),
            ("! ", "a", ""),
            ("a | ", "a", ""),
            ("a && ", "a", ""),
            ("a; ", "a", ""),
            ("cat <<E\n", "", ""),
            ("x=a; x=$x$x$x$x; ", "echo $x", ""),
            ("x=\"$x$x$x a\"; ", "$x", ""),
        ] {
            let text = format!("{}{inside}{}", open.repeat(n), close.repeat(n));
            let decision = decide(&policies, Fallback::Ask, "Bash", &json!({ "command": text }));
            if n > 31 && !open.starts_with(['a', '!', 'x']) {
                assert_ne!(decision.action, Action::Allow, "{open} {n}");
            }
        }
    }
}
