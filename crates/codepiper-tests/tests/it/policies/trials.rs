//! What rules would say: to a call, to recorded calls, and in the documentation.

use super::{asks, bash, effect, idle, pair, policy, rule, with, would};
use codepiper_tests::lab::Lab;
use serde_json::{Value, json};

#[tokio::test]
async fn higher_priorities_come_first_and_within_one_deny_beats_ask_beats_allow() {
    let lab = Lab::start().await;
    let check = async |rules: &[(i64, &str, &str)], command: &str, expected: (&str, &str)| {
        let mut made = Vec::new();
        for (priority, action, pattern) in rules {
            let rule = json!({ "action": action, "tool": "Bash", "args": { "command": pattern } });
            let name = format!("{action} {priority}");
            made.push(policy(&lab, json!({ "name": name, "priority": priority, "rules": [rule] })).await);
        }
        assert_eq!(would(&lab, bash(command)).await, pair(expected.0, expected.1), "{rules:?} {command}");
        for id in made {
            lab.ok("DELETE", &format!("/policies/{id}"), Value::Null).await;
        }
    };
    check(&[(0, "allow", "*"), (0, "deny", "rm *")], "rm x", ("deny", "deny 0")).await;
    check(&[(0, "deny", "rm *"), (0, "allow", "*")], "rm x", ("deny", "deny 0")).await;
    check(&[(0, "ask", "rm *"), (0, "allow", "rm *")], "rm x", ("ask", "ask 0")).await;
    check(&[(0, "ask", "rm *"), (0, "deny", "rm *")], "rm x", ("deny", "deny 0")).await;
    check(&[(1, "allow", "rm *"), (0, "deny", "rm *")], "rm x", ("allow", "allow 1")).await;
    check(&[(-1, "deny", "rm *"), (-2, "allow", "*")], "rm x", ("deny", "deny -1")).await;
    check(&[(5, "allow", "ls*"), (0, "deny", "rm *")], "ls; rm x", ("deny", "deny 0")).await;
    check(&[(0, "allow", "ls*")], "ls; rm x", ("none", "fallback")).await;
    check(&[(0, "deny", "rm *")], "bash -c 'true && sudo /bin/rm -rf x'", ("deny", "deny 0")).await;
    check(&[], "ls", ("none", "fallback")).await;
}

#[tokio::test]
async fn a_test_says_what_really_happens() {
    let lab = Lab::start().await;
    policy(
        &lab,
        json!({ "name": "mixed", "rules": [
            { "action": "allow", "tool": "Bash", "args": { "command": ["touch *", "echo *"] } },
            { "action": "deny", "tool": "Bash", "args": { "command": "rm *" } },
            { "action": "deny", "tool": ["Write", "Edit"], "args": { "file_path": ".env" } },
            { "action": "allow", "tool": "Write", "args": { "file_path": "./**" } },
            { "action": "ask", "tool": "Bash", "args": { "command": "curl *" } },
        ] }),
    )
    .await;
    let file = |name: &str| lab.project().join(name).display().to_string();
    let id = idle(&lab, json!({ "args": ["--permission-mode", "bypassPermissions"] })).await;
    let calls = [
        ("RUN: touch a && rm b", bash("touch a && rm b")),
        ("RUN: echo hi > .env", bash("echo hi > .env")),
        ("RUN: echo hi", bash("echo hi")),
        ("RUN: true", bash("true")),
        (
            "WRITE: c :: text",
            json!({ "tool": "Write", "args": { "file_path": file("c"), "content": "text\n" } }),
        ),
        (
            "WRITE: .env :: x",
            json!({ "tool": "Write", "args": { "file_path": file(".env"), "content": "x\n" } }),
        ),
    ];
    let mut seen = Vec::new();
    for (prompt, call) in calls {
        let (effect, _) = would(&lab, with(call, json!({ "session": id }))).await;
        lab.turn(&id, prompt).await;
        let page =
            lab.ok("GET", &format!("/audit?session={id}&kind=decision&last=true&limit=1"), Value::Null).await;
        assert_eq!(page["entries"][0]["decision"], json!(effect), "{prompt}: {page}");
        seen.push(effect);
    }
    assert_eq!(seen, ["deny", "deny", "allow", "none", "allow", "deny"]);

    // What cannot be known is asked; the test and the gate must agree on that too.
    assert_eq!(effect(&lab, &id, "$(echo rm) b").await, "ask");
    asks(&lab, &id, "RUN: $(echo rm) b").await;
    lab.cli(["approvals", "deny", &id]);
    lab.wait_for_state(&id, "idle").await;

    let page = lab.ok("GET", "/audit?kind=decision", Value::Null).await;
    let decided = page["entries"].as_array().map_or(0, Vec::len);
    let said = lab.cli(["policy", "test", "touch a && rm b", "--session", &id]);
    assert!(said.starts_with("deny: `rm b`") && said.contains("allow  touch a"), "{said}");
    assert!(said.contains("asked: mixed"), "{said}");
    for (command, code) in [("echo hi", 0), ("rm b", 5), ("curl x", 8), ("true", 8)] {
        let output = lab.run(["policy", "test", command, "--session", &id, "--exit-code"]);
        assert_eq!(output.status.code(), Some(code), "{command}");
        assert_eq!(lab.run(["policy", "test", command]).status.code(), Some(0), "{command}");
    }
    // Our own files are guarded whatever the rules say.
    let own =
        json!({ "tool": "Read", "args": { "file_path": lab.path("home/codepiper.db") }, "session": id });
    let own = with(own, json!({ "rules": [{ "action": "allow" }] }));
    assert_eq!(would(&lab, own).await, pair("deny", "ownFiles"));
    // A draft in place of what is in force; questions and plans are always for a person.
    let draft = |rules: Value| with(bash("rm b"), json!({ "rules": rules }));
    assert_eq!(would(&lab, draft(json!([{ "action": "allow", "tool": "Bash" }]))).await.0, "allow");
    assert_eq!(would(&lab, draft(json!([]))).await.0, "none");
    let question = json!({ "tool": "AskUserQuestion", "rules": [{ "action": "allow" }] });
    assert_eq!(would(&lab, question).await.0, "none");
    let dangerous = idle(&lab, json!({ "dangerousMode": true })).await;
    let tested = lab.ok("POST", "/policies/test", with(bash("rm b"), json!({ "session": dangerous }))).await;
    assert_eq!((&tested["effect"], &tested["bypassed"]), (&json!("none"), &json!(true)));
    // Asking is not deciding.
    let page = lab.ok("GET", "/audit?kind=decision", Value::Null).await;
    assert_eq!(page["entries"].as_array().map(Vec::len), Some(decided), "{page}");
}

#[tokio::test]
async fn a_backtest_says_what_a_draft_would_have_changed() {
    let lab = Lab::start().await;
    let bypass = json!({ "args": ["--permission-mode", "bypassPermissions"] });
    let id = idle(&lab, bypass.clone()).await;
    for command in ["touch a", "touch b", "rm a", "rm b && touch c", "echo done"] {
        lab.turn(&id, &format!("RUN: {command}")).await;
    }
    let gone = idle(&lab, bypass.clone()).await;
    lab.turn(&gone, "RUN: rm c").await;
    lab.cli(["rm", "--force", &gone]);
    let dangerous = idle(&lab, json!({ "dangerousMode": true })).await;
    lab.turn(&dangerous, "RUN: rm d").await;
    rule(&lab, "touch", json!({ "action": "allow", "tool": "Bash", "args": { "command": "touch *" } })).await;

    let draft = json!({ "rules": [{ "action": "deny", "tool": "Bash", "args": { "command": "rm *" } }] });
    let check = async |more: Value, numbers: Value, changed: &[&str]| {
        let result = lab.ok("POST", "/policies/backtest", with(draft.clone(), more.clone())).await;
        let got = json!([result["calls"], result["skipped"], result["more"], result["changed"]]);
        assert_eq!(got, numbers, "{more}: {result}");
        let calls = result["changes"].as_array().unwrap().iter();
        let calls: Vec<&str> = calls.map(|call| call["call"].as_str().unwrap()).collect();
        assert_eq!(calls, changed, "{more}");
        result
    };
    let all = ["Bash rm c", "Bash rm b && touch c", "Bash rm a"];
    let result = check(json!({}), json!([6, 1, false, 3]), &all).await;
    assert_eq!(result["now"], json!({ "allow": 2, "ask": 4, "deny": 0 }), "{result}");
    assert_eq!(result["with"], json!({ "allow": 2, "ask": 1, "deny": 3 }), "{result}");
    assert_eq!(result["alone"], json!({ "allow": 0, "ask": 3, "deny": 3 }), "{result}");
    assert_eq!(result["changes"][0]["session"], json!(gone));
    check(json!({ "session": id }), json!([5, 0, false, 2]), &all[1..]).await;
    check(json!({ "session": gone }), json!([1, 0, false, 1]), &all[..1]).await;
    check(json!({ "show": 1 }), json!([6, 1, false, 3]), &all[..1]).await;
    check(json!({ "session": id, "limit": 2 }), json!([2, 0, true, 1]), &all[1..2]).await;
    check(json!({ "since": "2100-01-01T00:00:00Z" }), json!([0, 0, false, 0]), &[]).await;

    // A policy that is there is tried as if it were on; one for other sessions changes nothing.
    let rules = draft["rules"].clone();
    policy(&lab, json!({ "name": "off", "enabled": false, "rules": rules })).await;
    let said = lab.cli(["policy", "backtest", "off"]);
    assert!(said.contains("3 of 6 would have changed"), "{said}");
    let elsewhere = json!({ "policy": { "scope": { "provider": "codex" }, "rules": rules } });
    let result = lab.ok("POST", "/policies/backtest", elsewhere).await;
    assert_eq!(result["changed"], 0, "{result}");
    // The new form of a policy takes the place of the old one.
    let stored = lab.ok("GET", "/policies/touch", Value::Null).await["policy"]["id"].take();
    let result =
        lab.ok("POST", "/policies/backtest", json!({ "policy": { "id": stored, "rules": [] } })).await;
    assert_eq!((&result["changed"], &result["with"]["ask"]), (&json!(2), &json!(6)), "{result}");
}

/// A recipe of the documentation: its JSON, and what the calls below it get.
#[tokio::test]
async fn the_recipes_of_the_documentation_do_what_it_says() {
    let lab = Lab::start().await;
    let text = include_str!("../../../../../docs/policies.md");
    let (_, recipes) = text.split_once("## Recipes").unwrap();
    let mut calls = 0;
    for recipe in recipes.split("\n### ").skip(1) {
        let (_, rest) = recipe.split_once("```json\n").unwrap();
        let (json, table) = rest.split_once("```").unwrap();
        let draft: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
        policy(&lab, draft.clone()).await;
        for line in table.lines().filter_map(|line| line.strip_prefix("| `")) {
            let (typed, gets) = line.split_once("` | ").unwrap();
            let typed = typed.replace("\\|", "|");
            let call = match typed.split_once(' ') {
                Some((tool @ ("Read" | "Write" | "Edit"), path)) => {
                    json!({ "tool": tool, "args": { "file_path": path } })
                }
                Some(("WebFetch", url)) => json!({ "tool": "WebFetch", "args": { "url": url } }),
                None if typed.starts_with("mcp__") => json!({ "tool": typed }),
                _ => bash(&typed),
            };
            let call = with(call, json!({ "cwd": "/srv/app", "policy": draft }));
            let (effect, by) = would(&lab, call).await;
            let expected = gets.trim_end_matches(" |").replace("nothing", "none");
            assert_eq!(effect, expected, "`{typed}` by {by} in {}", draft["name"]);
            calls += 1;
        }
    }
    assert!(calls > 30, "{calls} calls were found in the documentation");
}
