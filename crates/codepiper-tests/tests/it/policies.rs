//! Policies from the first word to what the agent may: written, tried out, changed under way, put on record.

use codepiper_tests::lab::Lab;
use serde_json::{Value, json};

/// Writes a policy; its id.
async fn policy(lab: &Lab, body: Value) -> String {
    let made = lab.ok("POST", "/policies", body).await;
    made["policy"]["id"].as_str().unwrap().to_owned()
}

/// One with a single rule for every session.
async fn rule(lab: &Lab, name: &str, rule: Value) -> String {
    policy(lab, json!({ "name": name, "rules": [rule] })).await
}

/// A session that waits for its first prompt.
async fn idle(lab: &Lab, more: Value) -> String {
    let mut body = json!({ "provider": "demo", "cwd": lab.project() });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = lab.session(body).await;
    lab.wait_for_state(&id, "idle").await;
    id
}

/// Lets the agent run a command that leaves a file, in a turn without questions. Whether it ran.
async fn runs(lab: &Lab, session: &str, file: &str) -> bool {
    lab.turn(session, &format!("RUN: touch {file}")).await;
    lab.project().join(file).exists()
}

/// What a call would get: effect and deciding policy.
async fn would(lab: &Lab, call: Value) -> (String, String) {
    let tested = lab.ok("POST", "/policies/test", call).await;
    let by = &tested["decision"]["by"];
    let by = by["policyName"].as_str().or(by["kind"].as_str()).unwrap().to_owned();
    (tested["effect"].as_str().unwrap().to_owned(), by)
}

fn bash(command: &str) -> Value {
    json!({ "tool": "Bash", "args": { "command": command } })
}

fn with(mut value: Value, more: Value) -> Value {
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

fn pair(effect: &str, by: &str) -> (String, String) {
    (effect.into(), by.into())
}

async fn effect(lab: &Lab, session: &str, command: &str) -> String {
    would(lab, with(bash(command), json!({ "session": session }))).await.0
}

/// Sends a prompt whose call waits for a person; why it does.
async fn asks(lab: &Lab, session: &str, prompt: &str) -> String {
    lab.send(session, prompt).await;
    lab.wait_for_event(session, 0, |event| event["type"] == "approval-opened").await;
    lab.wait_for_state(session, "waiting").await;
    let open = lab.ok("GET", &format!("/approvals?session={session}"), Value::Null).await;
    open["approvals"][0]["why"].as_str().unwrap_or_else(|| panic!("{open}")).to_owned()
}

/// What a refused command said.
fn refused<const N: usize>(lab: &Lab, words: [&str; N], code: i32) -> String {
    let output = lab.run(words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    said
}

#[tokio::test]
async fn a_denied_call_does_not_run_and_the_agent_reads_why() {
    let lab = Lab::start().await;
    rule(
        &lab,
        "no secrets",
        json!({ "action": "deny", "tool": "Write", "args": { "file_path": "*.env" }, "reason": "secrets are mine" }),
    )
    .await;
    let id = idle(&lab, json!({ "args": ["--permission-mode", "acceptEdits"] })).await;
    lab.turn(&id, "WRITE: prod.env :: KEY=1").await;
    lab.wait_for_text(&id, "secrets are mine").await;
    assert!(lab.screen(&id).contains("secrets are mine"), "{}", lab.screen(&id));
    assert!(!lab.project().join("prod.env").exists());
    lab.turn(&id, "WRITE: notes.txt :: text").await;
    assert!(lab.project().join("notes.txt").exists(), "what no rule is about goes by the agent's own rules");
}

#[tokio::test]
async fn an_allowed_call_runs_without_a_question() {
    let lab = Lab::start().await;
    lab.cli([
        "policy",
        "create",
        "--action",
        "allow",
        "--tool",
        "Bash",
        "--args",
        r#"{"command":"touch *"}"#,
    ]);
    let id = idle(&lab, json!({})).await;
    assert!(runs(&lab, &id, "allowed").await);
    let asked = lab.ok("GET", "/approvals?state=all", Value::Null).await;
    assert_eq!(asked["approvals"], json!([]));
}

#[tokio::test]
async fn an_ask_rule_asks_in_every_permission_mode() {
    let lab = Lab::start().await;
    rule(&lab, "edits", json!({ "action": "ask", "tool": ["Write", "Bash"], "reason": "I want to see it" }))
        .await;
    for (mode, prompt, file) in [
        ("bypassPermissions", "RUN: touch bypass", "bypass"),
        ("acceptEdits", "WRITE: accept :: text", "accept"),
        ("dontAsk", "RUN: touch dont", "dont"),
    ] {
        let id = idle(&lab, json!({ "args": ["--permission-mode", mode] })).await;
        let why = asks(&lab, &id, prompt).await;
        assert!(why.contains("edits") && why.contains("I want to see it"), "{mode}: {why}");
        assert!(!lab.project().join(file).exists(), "{mode}");
        lab.cli(["approvals", "allow", &id]);
        lab.wait_for_state(&id, "idle").await;
        assert!(lab.project().join(file).exists(), "{mode}");
    }
}

#[tokio::test]
async fn a_change_counts_for_the_next_call_of_a_running_session() {
    let lab = Lab::start().await;
    let id = idle(&lab, json!({ "args": ["--permission-mode", "bypassPermissions"] })).await;
    assert!(runs(&lab, &id, "before").await);
    let guard = rule(&lab, "guard", json!({ "action": "deny", "tool": "Bash" })).await;
    assert!(!runs(&lab, &id, "denied").await);
    lab.cli(["policy", "toggle", "guard"]);
    assert!(runs(&lab, &id, "off").await);
    lab.cli(["policy", "toggle", &guard]);
    assert!(!runs(&lab, &id, "on").await);
    let narrow = json!([{ "action": "deny", "tool": "Bash", "args": { "command": "rm *" } }]);
    lab.ok("PUT", &format!("/policies/{guard}"), json!({ "rules": narrow })).await;
    assert!(runs(&lab, &id, "narrow").await);
    lab.ok("PUT", &format!("/policies/{guard}"), json!({ "rules": [{ "action": "deny" }] })).await;
    assert!(!runs(&lab, &id, "wide").await);
    lab.kill_daemon();
    lab.start_daemon();
    assert!(!runs(&lab, &id, "after-restart").await);
    lab.cli(["policy", "delete", "guard"]);
    assert!(runs(&lab, &id, "deleted").await);
}

#[tokio::test]
async fn a_policy_of_sets_counts_only_for_sessions_with_such_a_set() {
    let lab = Lab::start().await;
    let made = policy(
        &lab,
        json!({ "id": "no-bash", "name": "no bash", "scope": "set", "rules": [{ "action": "deny", "tool": "Bash" }] }),
    )
    .await;
    let bypass = json!({ "args": ["--permission-mode", "bypassPermissions"] });
    let id = idle(&lab, bypass.clone()).await;
    assert!(runs(&lab, &id, "no-set").await);
    lab.cli(["policy-set", "create", "--name", "strict", "--policy", &made]);
    assert!(runs(&lab, &id, "not-applied").await);
    lab.cli(["policy-set", "apply", "strict", &id]);
    assert!(!runs(&lab, &id, "applied").await);
    let effective = lab.ok("GET", &format!("/sessions/{id}/effective-policies"), Value::Null).await;
    assert_eq!(effective["policies"][0]["id"], "no-bash");
    assert!(lab.cli(["policy", "explain", &id]).contains("deny   Bash"));
    lab.cli(["policy-set", "remove-policy", "strict", "no bash"]);
    assert!(runs(&lab, &id, "out-of-the-set").await);
    lab.cli(["policy-set", "add-policy", "strict", "no bash"]);
    assert!(!runs(&lab, &id, "in-again").await);
    lab.cli(["policy-set", "remove", "strict", &id]);
    assert!(runs(&lab, &id, "taken").await);

    // The default set is for new sessions, and only one is the default.
    lab.cli(["policy-set", "update", "strict", "--default"]);
    assert!(runs(&lab, &id, "not-for-old-ones").await);
    let new = idle(&lab, bypass.clone()).await;
    assert!(!runs(&lab, &new, "default").await);
    lab.cli(["policy-set", "create", "--name", "loose", "--default"]);
    let sets = lab.ok("GET", "/policy-sets", Value::Null).await;
    let told: Vec<(&str, bool, u64)> = sets["policySets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|set| {
            let count = set["sessionCount"].as_u64().unwrap();
            (set["name"].as_str().unwrap(), set["isDefault"].as_bool().unwrap(), count)
        })
        .collect();
    assert_eq!(told, [("loose", true, 0), ("strict", false, 1)]);
    let newer = idle(&lab, with(bypass, json!({ "policySetIds": ["strict"] }))).await;
    assert!(!runs(&lab, &newer, "asked-for").await);
    let sets = lab.ok("GET", &format!("/sessions/{newer}/policy-sets"), Value::Null).await;
    assert_eq!(sets["policySets"].as_array().map(Vec::len), Some(2), "{sets}");

    // Deleted with its sessions' attachments.
    lab.cli(["policy-set", "delete", "strict"]);
    assert!(runs(&lab, &newer, "set-deleted").await);
}

#[tokio::test]
async fn a_start_with_a_set_that_is_not_there_makes_nothing() {
    let lab = Lab::start().await;
    let said = refused(&lab, ["start", "-p", "demo", "--policy-set", "frob", "--name", "x"], 4);
    assert!(said.contains("there is no policy set `frob`"), "{said}");
    let body = json!({ "provider": "demo", "cwd": lab.project(), "policySetIds": ["frob"] });
    let (status, refusal) = lab.ask("POST", "/sessions", body).await;
    assert_eq!((status, &refusal["field"]), (404, &json!("policySetIds")), "{refusal}");
    let sessions = lab.ok("GET", "/sessions", Value::Null).await;
    assert_eq!(sessions["sessions"], json!([]));
    assert_eq!(std::fs::read_dir(lab.path("home/sessions")).map_or(0, Iterator::count), 0);

    lab.cli(["policy-set", "create", "--name", "frob"]);
    lab.cli(["start", "-p", "demo", "--policy-set", "frob", "--name", "x"]);
    let sets = lab.ok("GET", "/sessions/x/policy-sets", Value::Null).await;
    assert_eq!(sets["policySets"][0]["name"], "frob");
}

#[tokio::test]
async fn the_fallback_denies_what_no_rule_allows() {
    let lab = Lab::start().await;
    let id = idle(&lab, json!({ "args": ["--permission-mode", "bypassPermissions"] })).await;
    rule(&lab, "touch a", json!({ "action": "allow", "tool": "Bash", "args": { "command": "touch a*" } }))
        .await;
    assert_eq!(lab.cli(["policy", "default"]), "ask\n");
    assert!(runs(&lab, &id, "b1").await);
    lab.cli(["policy", "default", "deny"]);
    assert!(!runs(&lab, &id, "b2").await);
    lab.wait_for_text(&id, "no rule allows this").await;
    assert!(runs(&lab, &id, "a1").await);
    assert_eq!(would(&lab, bash("touch b3")).await, pair("deny", "fallback"));
    lab.cli(["policy", "default", "ask"]);
    assert!(runs(&lab, &id, "b4").await);
}

#[tokio::test]
async fn a_scope_says_for_which_sessions_a_policy_counts() {
    let lab = Lab::start().await;
    std::fs::create_dir_all(lab.project().join("in/deep")).unwrap();
    let inside = idle(&lab, json!({ "cwd": lab.project().join("in/deep"), "name": "inside" })).await;
    let outside = idle(&lab, json!({ "name": "outside" })).await;
    let check = async |scope: Value, expected: [&str; 2]| {
        let body =
            json!({ "name": "scoped", "scope": scope, "rules": [{ "action": "deny", "tool": "Bash" }] });
        let made = policy(&lab, body).await;
        let got = [effect(&lab, &inside, "ls").await, effect(&lab, &outside, "ls").await];
        assert_eq!(got, expected, "{scope}");
        lab.ok("DELETE", &format!("/policies/{made}"), Value::Null).await;
    };
    check(json!("global"), ["deny", "deny"]).await;
    check(json!("set"), ["none", "none"]).await;
    check(json!({ "workspace": lab.project().join("in") }), ["deny", "none"]).await;
    check(json!({ "workspace": lab.project() }), ["deny", "deny"]).await;
    check(json!({ "workspace": lab.project().join("i") }), ["none", "none"]).await;
    check(json!({ "session": "inside" }), ["deny", "none"]).await;
    check(json!({ "session": outside }), ["none", "deny"]).await;
    check(json!({ "provider": "demo" }), ["deny", "deny"]).await;
    check(json!({ "provider": "codex" }), ["none", "none"]).await;

    // And really: the one in the workspace is denied, the other one asks.
    let scope = format!("workspace:{}", lab.project().join("in").display());
    lab.cli(["policy", "create", "--action", "deny", "--tool", "Bash", "--scope", &scope]);
    lab.turn(&inside, "RUN: touch x").await;
    assert!(!lab.project().join("in/deep/x").exists());
    asks(&lab, &outside, "RUN: touch y").await;
    lab.cli(["approvals", "allow", "outside"]);
    lab.wait_for_state(&outside, "idle").await;
    assert!(lab.project().join("y").exists());

    // A new session in a folder, of a provider.
    let fresh = |cwd: &str, provider: &str| {
        with(bash("ls"), json!({ "cwd": lab.project().join(cwd), "provider": provider }))
    };
    assert_eq!(would(&lab, fresh("in/other", "demo")).await.0, "deny");
    assert_eq!(would(&lab, fresh("out", "demo")).await.0, "none");
}

#[tokio::test]
async fn a_session_has_its_own_policy_and_it_goes_with_the_session() {
    let lab = Lab::start().await;
    let id = idle(&lab, json!({ "name": "api" })).await;
    let own = format!("{id}-policy");
    let path = "/sessions/api/policy";
    let put = json!({ "policy": { "name": "mine", "rules": [{ "action": "deny", "tool": "Bash" }] } });
    let answer = lab.ok("PUT", path, put.clone()).await;
    assert_eq!(answer, json!({ "success": true, "policyId": own, "action": "created" }));
    assert_eq!(lab.ok("PUT", path, put).await["action"], "updated");
    let policies = lab.ok("GET", path, Value::Null).await;
    assert_eq!(policies["policies"][0]["priority"], 50);
    assert_eq!(policies["policies"][0]["sessionId"], json!(id));
    assert_eq!(effect(&lab, &id, "ls").await, "deny");
    let (status, refusal) = lab.ask("PUT", path, json!({ "policy": { "id": "x", "rules": [] } })).await;
    assert_eq!((status, &refusal["field"]), (400, &json!("policy.id")));
    lab.cli(["policy-set", "create", "--name", "s"]);
    lab.cli(["policy-set", "apply", "s", "api"]);

    let of_session = lab.ok("GET", "/policies?sessionId=api", Value::Null).await;
    assert_eq!(of_session["policies"].as_array().map(Vec::len), Some(1));
    lab.cli(["rm", "--force", "api"]);
    let (status, _) = lab.ask("GET", &format!("/policies/{own}"), Value::Null).await;
    assert_eq!(status, 404);
    let sets = lab.ok("GET", "/policy-sets", Value::Null).await;
    assert_eq!(sets["policySets"][0]["sessionCount"], 0);
    let audit = lab.cli(["audit", &id]);
    assert!(audit.contains("session left the list"), "{audit}");
}

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

    let said = lab.cli(["policy", "test", "touch a && rm b", "--session", &id]);
    assert!(said.starts_with("deny: `rm b`") && said.contains("allow  touch a"), "{said}");
    assert!(said.contains("asked: mixed"), "{said}");
    for (command, code) in [("echo hi", 0), ("rm b", 5), ("curl x", 8), ("true", 8)] {
        let output = lab.run(["policy", "test", command, "--session", &id, "--exit-code"]);
        assert_eq!(output.status.code(), Some(code), "{command}");
        assert_eq!(lab.run(["policy", "test", command]).status.code(), Some(0), "{command}");
    }
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
    assert_eq!(page["entries"].as_array().map(Vec::len), Some(6), "{page}");
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

#[tokio::test]
async fn claude_codes_permissions_are_imported_and_nothing_is_left_out_in_silence() {
    let lab = Lab::start().await;
    let write = |path: &str, settings: Value| {
        let path = lab.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, settings.to_string()).unwrap();
    };
    let said = refused(&lab, ["policy", "import", "--claude"], 6);
    assert!(said.contains("person/.claude/settings.json"), "{said}");
    write(
        "person/.claude/settings.json",
        json!({ "model": "opus", "permissions": {
            "allow": ["Bash(npm run test:*)", "Read(~/notes/**)"], "deny": ["Bash(sudo:*)"],
            "ask": ["Bash(git push:*)", "Frob(x)"], "defaultMode": "acceptEdits",
        } }),
    );
    write("project/.claude/settings.json", json!({ "permissions": { "deny": ["Read(.env)"] } }));

    let said = lab.cli(["policy", "import", "--claude"]);
    assert!(said.contains("deny   Bash  command: sudo *"), "{said}");
    assert!(said.contains("not imported  permissions.ask[1] `Frob(x)`"), "{said}");
    assert!(said.contains("not imported  permissions.defaultMode"), "{said}");
    assert_eq!(lab.ok("GET", "/policies", Value::Null).await["policies"], json!([]), "it was only shown");
    lab.cli(["policy", "import", "--claude", "--yes"]);
    lab.cli(["policy", "import", "--claude", "--yes"]);
    let all = lab.ok("GET", "/policies", Value::Null).await;
    assert_eq!(
        all["policies"].as_array().map(Vec::len),
        Some(2),
        "importing again makes no second one: {all}"
    );

    let id = idle(&lab, json!({})).await;
    assert_eq!(effect(&lab, &id, "npm run test:unit").await, "none");
    assert_eq!(effect(&lab, &id, "npm run test unit").await, "allow");
    assert_eq!(effect(&lab, &id, "git push origin").await, "ask");
    assert_eq!(effect(&lab, &id, "echo x | sudo tee y").await, "deny");
    assert_eq!(effect(&lab, &id, "cat .env").await, "deny");
    let elsewhere = with(bash("cat .env"), json!({ "cwd": "/" }));
    assert_eq!(would(&lab, elsewhere).await.0, "none", "the project's rules are for its folder");

    let dry = json!({ "claude": { "permissions": { "allow": ["Bash"] } }, "dryRun": true });
    let result = lab.ok("POST", "/policies/import", dry).await;
    assert_eq!(result, json!({ "rules": [{ "action": "allow", "tool": "Bash" }], "problems": [] }));
    let (status, refusal) = lab.ask("POST", "/policies/import", json!({ "claude": {} })).await;
    assert_eq!((status, &refusal["field"]), (400, &json!("claude")));
}

#[tokio::test]
async fn starters_are_installed_as_a_policy_in_a_set() {
    let lab = Lab::start().await;
    let starters = lab.ok("GET", "/policies/starters", Value::Null).await;
    let names = starters["starters"].as_array().unwrap().iter();
    let names: Vec<&str> = names.map(|starter| starter["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"careful") && names.contains(&"read-only"), "{names:?}");
    let before = idle(&lab, json!({})).await;
    lab.cli(["policy", "install", "careful", "--default"]);
    let said = refused(&lab, ["policy", "install", "careful"], 5);
    assert!(said.contains("codepiper policy delete starter-careful"), "{said}");
    assert_eq!(effect(&lab, &before, "sudo ls").await, "none");
    let id = idle(&lab, json!({})).await;
    assert_eq!(effect(&lab, &id, "sudo ls").await, "deny");
    assert_eq!(would(&lab, bash("sudo ls")).await.0, "deny", "a new session would have the default set");
    assert!(runs(&lab, &id, "by-starter").await);
    for name in names.iter().filter(|name| **name != "careful") {
        lab.cli(["policy", "install", name]);
    }
    let (status, refusal) = lab.ask("POST", "/policies/starters/frob", json!({})).await;
    assert_eq!(status, 404, "{refusal}");
}

#[tokio::test]
async fn policies_and_sets_are_found_by_id_name_and_beginning() {
    let lab = Lab::start().await;
    for (id, name) in [("guard-1", "one"), ("guard-2", "twin"), ("other", "twin"), ("x", "guard-1")] {
        policy(&lab, json!({ "id": id, "name": name, "rules": [] })).await;
    }
    let check = async |wanted: &str, status: u16, expected: Value| {
        let (got, answer) = lab.ask("GET", &format!("/policies/{wanted}"), Value::Null).await;
        let shown = match got {
            200 => answer["policy"]["id"].clone(),
            400 => answer["details"]["candidates"].clone(),
            _ => answer["code"].clone(),
        };
        assert_eq!((got, shown), (status, expected), "{wanted}: {answer}");
    };
    check("guard-1", 200, json!("guard-1")).await;
    check("one", 200, json!("guard-1")).await;
    check("ot", 200, json!("other")).await;
    check("guard", 400, json!(["guard-1", "guard-2"])).await;
    check("frob", 404, json!("not-found")).await;
    let (status, answer) = lab.ask("GET", "/policies/twin", Value::Null).await;
    assert_eq!((status, &answer["code"]), (400, &json!("ambiguous")), "{answer}");
    let said = refused(&lab, ["policy", "delete", "guard"], 4);
    assert!(said.contains("guard-1 (one)"), "{said}");
    lab.cli(["policy", "update", "one", "--name", "still one", "--description", "what for"]);
    assert!(lab.cli(["policy", "get", "still one"]).contains("what for"));

    lab.cli(["policy-set", "create", "--name", "my set", "--id", "s-abc", "--policy", "still one"]);
    assert!(lab.cli(["policy-set", "get", "my set"]).contains("guard-1"));
    assert!(lab.cli(["policy-set", "get", "s-a"]).contains("my set"));
    // A name with what stands for something else in a path.
    lab.cli(["policy", "create", "--name", "a/b ?#%", "--rules", "[]"]);
    lab.cli(["policy", "toggle", "a/b ?#%"]);
    lab.cli(["policy-set", "add-policy", "my set", "a/b ?#%"]);
    lab.cli(["policy-set", "remove-policy", "my set", "a/b ?#%"]);
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_its_place() {
    let lab = Lab::start().await;
    let session = idle(&lab, json!({})).await;
    policy(&lab, json!({ "id": "taken", "name": "taken", "rules": [] })).await;
    lab.ok("POST", "/policy-sets", json!({ "id": "set", "name": "set", "policyIds": ["taken"] })).await;
    let check = async |method: &str, path: &str, body: Value, status: u16, field: &str, error: &str| {
        let (got, refusal) = lab.ask(method, path, body.clone()).await;
        let told = (got, refusal["field"].as_str().unwrap_or_default());
        assert_eq!(told, (status, field), "{method} {path} {body}: {refusal}");
        assert!(refusal["error"].as_str().unwrap().contains(error), "{body}: {refusal}");
    };
    let named = |more: Value| with(json!({ "name": "n", "rules": [] }), more);
    let ruled = |rule: Value| json!({ "name": "n", "rules": [rule] });
    let post = async |body: Value, status: u16, field: &str, error: &str| {
        check("POST", "/policies", body, status, field, error).await;
    };
    post(json!({}), 400, "name", "is missing").await;
    post(json!({ "name": "n" }), 400, "rules", "is missing").await;
    post(named(json!({ "name": " " })), 400, "name", "").await;
    post(named(json!({ "name": "a\nb" })), 400, "name", "control").await;
    post(named(json!({ "name": "x".repeat(201) })), 400, "name", "200").await;
    post(named(json!({ "name": "test" })), 400, "name", "a word of the API").await;
    post(named(json!({ "id": "a b" })), 400, "id", "letters, digits").await;
    post(named(json!({ "id": ".." })), 400, "id", "letters, digits").await;
    post(named(json!({ "id": "x".repeat(101) })), 400, "id", "100").await;
    post(named(json!({ "id": "starters" })), 400, "id", "a word of the API").await;
    post(named(json!({ "id": "taken" })), 409, "id", "there is a policy with the id `taken`").await;
    post(named(json!({ "id": 5 })), 400, "id", "is a number").await;
    post(named(json!({ "enabled": "yes" })), 400, "enabled", "is a text").await;
    post(named(json!({ "priority": 1.5 })), 400, "priority", "no whole number").await;
    post(named(json!({ "scope": "everywhere" })), 400, "scope", "no scope we know").await;
    post(named(json!({ "scope": { "workspace": "w" } })), 400, "scope.workspace", "no absolute path").await;
    post(named(json!({ "scope": { "provider": "frob" } })), 400, "scope.provider", "no provider").await;
    post(named(json!({ "scope": { "session": "frob" } })), 404, "", "no session `frob`").await;
    post(named(json!({ "sessionId": "frob" })), 404, "", "no session `frob`").await;
    post(named(json!({ "sessionId": 5 })), 400, "sessionId", "must be a session").await;
    post(named(json!({ "sessionId": session, "scope": "global" })), 400, "sessionId", "something else").await;
    post(named(json!({ "frob": 1 })), 400, "frob", "no field we know").await;
    post(named(json!({ "rules": {} })), 400, "rules", "not a list").await;
    post(ruled(json!({ "action": "banana" })), 400, "rules[0].action", "is `banana`").await;
    post(ruled(json!({ "tool": "Bash" })), 400, "rules[0].action", "is missing").await;
    post(ruled(json!({ "action": "deny", "tol": "Bash" })), 400, "rules[0].tol", "no field we know").await;
    post(ruled(json!({ "action": "deny", "tool": [] })), 400, "rules[0].tool", "empty list").await;
    post(ruled(json!({ "action": "deny", "tool": ["a", 1] })), 400, "rules[0].tool[1]", "a number").await;
    post(ruled(json!({ "action": "deny", "args": [] })), 400, "rules[0].args", "a list").await;
    post(
        ruled(json!({ "action": "deny", "args": { "command": "regex:(" } })),
        400,
        "rules[0].args.command",
        "",
    )
    .await;
    let two = json!({ "name": "n", "rules": [{ "action": "banana" }, { "action": "deny", "tool": 1 }] });
    let (_, refusal) = lab.ask("POST", "/policies", two).await;
    let at = |n: usize| refusal["details"]["problems"][n]["at"].clone();
    assert_eq!((at(0), at(1)), (json!("rules[0].action"), json!("rules[1].tool")), "{refusal}");
    assert!(refusal["error"].as_str().unwrap().ends_with("there is one more problem"), "{refusal}");
    let said = refused(&lab, ["policy", "create", "--name", "n", "--rules", r#"[{"action":1},{}]"#], 2);
    assert!(said.contains("rules[1].action is missing: write allow, ask or deny"), "{said}");

    let put = async |body: Value, status: u16, field: &str, error: &str| {
        check("PUT", "/policies/taken", body, status, field, error).await;
    };
    put(json!({}), 400, "", "nothing is to be changed").await;
    put(json!({ "id": "other", "enabled": false }), 400, "id", "ids stay").await;
    put(json!({ "name": null }), 400, "name", "is missing").await;
    put(json!({ "rules": [{ "action": "x" }] }), 400, "rules[0].action", "is `x`").await;
    check("PUT", "/policies/frob", json!({ "enabled": false }), 404, "", "no policy `frob`").await;
    check("DELETE", "/policies/frob", Value::Null, 404, "", "no policy `frob`").await;
    check("GET", "/policies?enabled=maybe", Value::Null, 400, "", "the query").await;
    check("GET", "/policies?sessionId=frob", Value::Null, 404, "", "no session").await;

    let sets = "/policy-sets";
    check("POST", sets, json!({}), 400, "name", "1 to 200").await;
    check("POST", sets, json!({ "name": "n", "id": "a/b" }), 400, "id", "letters").await;
    check("POST", sets, json!({ "name": "n", "id": "set" }), 409, "id", "").await;
    check("POST", sets, json!({ "name": "set" }), 409, "name", "").await;
    check("POST", sets, json!({ "name": "n", "policyIds": ["taken", "frob"] }), 404, "policyIds", "`frob`")
        .await;
    check("POST", sets, json!({ "name": "n", "frob": 1 }), 400, "frob", "").await;
    check("PUT", "/policy-sets/set", json!({}), 400, "", "nothing is to be changed").await;
    check("PUT", "/policy-sets/set", json!({ "name": "" }), 400, "name", "").await;
    check("PUT", "/policy-sets/frob", json!({ "name": "x" }), 404, "", "").await;
    check("POST", "/policy-sets/set/policies", json!({}), 400, "policyId", "is missing").await;
    check("POST", "/policy-sets/set/policies", json!({ "policyId": "taken" }), 409, "", "already").await;
    check("POST", "/policy-sets/set/policies", json!({ "policyId": "frob" }), 404, "", "").await;
    policy(&lab, json!({ "id": "lonely", "name": "lonely", "rules": [] })).await;
    check("DELETE", "/policy-sets/set/policies/lonely", Value::Null, 404, "", "is not in set").await;
    let of_session = format!("/sessions/{session}/policy-sets");
    check("POST", &of_session, json!({}), 400, "policySetId", "is missing").await;
    check("POST", &of_session, json!({ "policySetId": "frob" }), 404, "", "").await;
    lab.ok("POST", &of_session, json!({ "policySetId": "set" })).await;
    check("POST", &of_session, json!({ "policySetId": "set" }), 409, "", "already").await;
    lab.ok("DELETE", &format!("{of_session}/set"), Value::Null).await;
    check("DELETE", &format!("{of_session}/set"), Value::Null, 404, "", "does not have").await;

    check("POST", "/policies/test", json!({}), 400, "tool", "is missing").await;
    check("POST", "/policies/test", json!({ "tool": "Bash", "cwd": "x" }), 400, "cwd", "absolute").await;
    check("POST", "/policies/test", json!({ "tool": "Bash", "args": 1 }), 400, "args", "").await;
    check("POST", "/policies/test", json!({ "tool": "Bash", "session": "frob" }), 404, "", "").await;
    check("POST", "/policies/test", json!({ "tool": "Bash", "provider": "frob" }), 400, "provider", "").await;
    check("POST", "/policies/test", json!({ "tool": "Bash", "policy": 1 }), 400, "policy", "an object").await;
    check("POST", "/policies/test", json!({ "tool": "B", "policy": {}, "rules": [] }), 400, "rules", "")
        .await;
    check("POST", "/policies/test", json!({ "tool": "B", "rules": [{}] }), 400, "rules[0].action", "").await;
    check("POST", "/policies/backtest", json!({}), 400, "policy", "is missing").await;
    check("POST", "/policies/backtest", json!({ "rules": [], "limit": 100_001 }), 400, "limit", "").await;
    check("POST", "/policies/backtest", json!({ "rules": [], "show": 1_001 }), 400, "show", "").await;
    check("POST", "/policies/backtest", json!({ "rules": [], "since": "x" }), 400, "since", "").await;
    check("POST", "/policies/import", json!({}), 400, "claude", "settings file").await;
}

#[tokio::test]
async fn every_change_is_on_record_with_what_it_was_before() {
    let lab = Lab::start().await;
    let session = idle(&lab, json!({})).await;
    let deny = json!([{ "action": "deny", "tool": "Bash" }]);
    policy(&lab, json!({ "id": "p", "name": "first", "rules": deny })).await;
    lab.cli(["policy", "update", "p", "--name", "second", "--priority", "7"]);
    lab.cli(["policy-set", "create", "--name", "s", "--id", "s", "--policy", "p"]);
    lab.cli(["policy-set", "update", "s", "--default"]);
    lab.cli(["policy-set", "apply", "s", &session]);
    lab.cli(["policy", "delete", "p"]);
    lab.cli(["policy-set", "remove", "s", &session]);
    lab.cli(["policy-set", "delete", "s"]);
    lab.cli(["policy", "default", "deny"]);
    lab.cli(["policy", "default", "deny"]);
    // What is refused leaves nothing.
    refused(&lab, ["policy", "delete", "p"], 4);
    refused(&lab, ["policy", "create", "--name", "x", "--rules", "[1]"], 2);

    let page = lab.ok("GET", "/audit?kind=change", Value::Null).await;
    let bodies: Vec<&Value> =
        page["entries"].as_array().unwrap().iter().map(|entry| &entry["body"]).collect();
    let told: Vec<&str> = bodies.iter().map(|body| body["change"].as_str().unwrap()).collect();
    assert_eq!(
        told,
        [
            "policy created",
            "policy updated",
            "policy set created",
            "policy set updated",
            "policy set applied",
            "policy deleted",
            "policy set removed",
            "policy set deleted",
            "setting changed",
        ]
    );
    assert!(bodies.iter().all(|body| body["by"] == "the owner, through the socket"), "{page}");
    assert_eq!(bodies[0]["after"]["rules"], deny);
    assert_eq!(bodies[1]["before"], json!({ "name": "first", "priority": 0 }));
    assert_eq!(bodies[1]["after"], json!({ "name": "second", "priority": 7 }));
    assert_eq!(bodies[3]["after"], json!({ "isDefault": true }));
    assert_eq!(page["entries"][4]["sessionId"], json!(session));
    assert_eq!((&bodies[5]["before"]["rules"], &bodies[5]["sets"]), (&deny, &json!(["s"])));
    assert_eq!((&bodies[8]["before"], &bodies[8]["after"]), (&json!("ask"), &json!("deny")));
    assert!(lab.cli(["audit"]).contains("policy updated: second"));
    assert!(lab.cli(["audit", "verify"]).contains("9 entries hold"));
}

#[tokio::test]
async fn what_is_exported_can_be_created_again() {
    let lab = Lab::start().await;
    let rules = json!([{
        "action": "deny", "tool": ["Bash", "!mcp__*"], "args": { "command": ["rm *", "regex:^dd\\b"] },
        "reason": "yes: \"no\"",
    }]);
    let scope = json!({ "workspace": lab.project() });
    let made = json!({ "id": "one", "name": "One", "priority": -3, "scope": scope, "rules": rules });
    policy(&lab, made).await;
    policy(&lab, json!({ "id": "two", "name": "Two", "enabled": false, "rules": [] })).await;
    let stored = async || {
        let mut all = lab.ok("GET", "/policies", Value::Null).await["policies"].take();
        for policy in all.as_array_mut().unwrap() {
            policy.as_object_mut().unwrap().retain(|name, _| !name.ends_with("At"));
        }
        let mut all: Vec<Value> = all.as_array().unwrap().clone();
        all.sort_by_key(|policy| policy["id"].to_string());
        all
    };
    let before = stored().await;
    for (format, ids) in [("json", vec![]), ("yaml", vec![]), ("yaml", vec!["one", "Two"])] {
        let words = ["policy", "export", "--format", format].into_iter().chain(ids);
        let text = lab.cli(words);
        let file = lab.path("policies").display().to_string();
        std::fs::write(&file, &text).unwrap();
        let said = refused(&lab, ["policy", "create", "--file", &file], 5);
        assert!(said.contains("there is a policy with the id"), "{said}");
        lab.cli(["policy", "update", "one", "--priority", "9"]);
        lab.cli(["policy", "create", "--file", &file, "--replace"]);
        assert_eq!(stored().await, before, "{text}");
        lab.cli(["policy", "delete", "one", "two"]);
        lab.cli(["policy", "create", "--file", &file]);
        assert_eq!(stored().await, before, "{text}");
    }
    // What was read can be sent back.
    let one = lab.ok("GET", "/policies/one", Value::Null).await["policy"].take();
    lab.ok("PUT", "/policies/one", one).await;
    assert_eq!(stored().await, before);
}

#[tokio::test]
async fn of_many_changes_at_a_time_every_one_counts() {
    let lab = Lab::start().await;
    let changes = (0..40).map(|n| {
        let rule = json!({ "action": "deny", "tool": format!("Tool{n}") });
        lab.ask(
            "POST",
            "/policies",
            json!({ "id": format!("p{n}"), "name": format!("n{n}"), "rules": [rule] }),
        )
    });
    for (status, answer) in futures_util::future::join_all(changes).await {
        assert_eq!(status, 201, "{answer}");
    }
    for n in 0..40 {
        assert_eq!(would(&lab, json!({ "tool": format!("Tool{n}") })).await.0, "deny");
    }
    let twins =
        (0..8).map(|_| lab.ask("POST", "/policies", json!({ "id": "twin", "name": "t", "rules": [] })));
    let made = futures_util::future::join_all(twins).await;
    assert_eq!(made.iter().filter(|(status, _)| *status == 201).count(), 1, "{made:?}");
}

/// A recipe of the documentation: its JSON, and what the calls below it get.
#[tokio::test]
async fn the_recipes_of_the_documentation_do_what_it_says() {
    let lab = Lab::start().await;
    let text = include_str!("../../../../docs/policies.md");
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
            let call = with(call, json!({ "cwd": "/work/app", "policy": draft }));
            let (effect, by) = would(&lab, call).await;
            let expected = gets.trim_end_matches(" |").replace("nothing", "none");
            assert_eq!(effect, expected, "`{typed}` by {by} in {}", draft["name"]);
            calls += 1;
        }
    }
    assert!(calls > 30, "{calls} calls were found in the documentation");
}
