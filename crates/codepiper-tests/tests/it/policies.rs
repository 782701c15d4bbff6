//! Policies from the first word to what the agent may: written, tried out, changed under way, put on record.

mod refusals;
mod trials;

use codepiper_tests::lab::{Lab, codepiper};
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
async fn what_changes_nothing_is_not_on_record() {
    let lab = Lab::start().await;
    let session = idle(&lab, json!({})).await;
    let rules = json!([{ "action": "deny", "tool": "Bash", "reason": "no" }]);
    policy(&lab, json!({ "id": "p", "name": "first", "priority": 3, "rules": rules })).await;
    lab.cli(["policy-set", "create", "--name", "s", "--id", "s", "--policy", "p"]);
    let own = format!("/sessions/{session}/policy");
    let own_rules = json!({ "policy": { "name": "own", "rules": rules } });
    lab.ok("PUT", &own, own_rules.clone()).await;
    let before = lab.ok("GET", "/policies/p", Value::Null).await;
    let set = lab.ok("GET", "/policy-sets/s", Value::Null).await;
    let entries = lab.ok("GET", "/audit", Value::Null).await;

    for same in
        [json!({ "name": "first" }), json!({ "rules": rules, "enabled": true }), before["policy"].clone()]
    {
        let answer = lab.ok("PUT", "/policies/p", same).await;
        assert_eq!(answer, before);
    }
    lab.ok("PUT", "/policy-sets/s", json!({ "name": "s", "isDefault": false })).await;
    let answer = lab.ok("PUT", &own, own_rules).await;
    assert_eq!(answer["action"], "updated", "{answer}");
    assert_eq!(lab.ok("GET", "/policies/p", Value::Null).await, before);
    assert_eq!(lab.ok("GET", "/policy-sets/s", Value::Null).await, set);
    assert_eq!(lab.ok("GET", "/audit", Value::Null).await, entries);

    lab.ok("PUT", "/policies/p", json!({ "name": "first", "priority": 4 })).await;
    let page = lab.ok("GET", "/audit?last=true&limit=1", Value::Null).await;
    assert_eq!(page["entries"][0]["body"]["after"], json!({ "priority": 4 }));
    lab.cli(["audit", "verify"]);
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

#[tokio::test]
async fn a_session_changes_no_policy_and_asks_for_none() {
    let lab = Lab::start().await;
    rule(&lab, "guard", json!({ "action": "deny", "tool": "WebFetch" })).await;
    lab.cli(["policy-set", "create", "--name", "strict"]);
    let id = idle(&lab, json!({ "args": ["--permission-mode", "bypassPermissions"] })).await;
    let (program, socket) = (codepiper().display(), lab.path("s"));
    let socket = socket.display();
    let attempts = [
        "policy create --action allow --priority 1000",
        "policy delete guard",
        "policy toggle guard",
        "policy default ask",
        "policy test ls",
        "policy list",
        "policy install careful",
        "policy-set delete strict",
        "policy-set list",
    ];
    for (n, attempt) in attempts.iter().enumerate() {
        let said = lab.project().join(format!("said{n}"));
        lab.turn(&id, &format!("RUN: {program} -s {socket} {attempt} > {} 2>&1", said.display())).await;
        let said = std::fs::read_to_string(said).unwrap();
        assert!(said.contains("sessions may only report"), "{attempt}: {said}");
    }
    let list = lab.ok("GET", "/policies?enabled=true", Value::Null).await;
    assert_eq!(list["policies"].as_array().map(Vec::len), Some(1), "{list}");
}

#[tokio::test]
async fn a_stored_policy_that_cannot_be_read_denies_everything_until_it_is_deleted() {
    let lab = Lab::start().await;
    rule(&lab, "reads", json!({ "action": "allow", "tool": "Bash" })).await;
    let id = idle(&lab, json!({ "args": ["--permission-mode", "bypassPermissions"] })).await;
    policy(&lab, json!({ "id": "of-a-later-version", "name": "x", "rules": [] })).await;
    lab.kill_daemon();
    let database = codepiper_store::Connection::open(lab.path("home/codepiper.db")).unwrap();
    let spoil = r#"UPDATE policies SET body = '{"rules": "new form"}' WHERE id = 'of-a-later-version'"#;
    database.execute_batch(spoil).unwrap();
    drop(database);
    lab.start_daemon();
    assert!(!runs(&lab, &id, "unknown").await);
    assert_eq!(effect(&lab, &id, "ls").await, "deny");
    let output = lab.run(["policy", "list"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("`of-a-later-version` cannot be read, and every call is denied"), "{said}");
    lab.cli(["policy", "delete", "of-a-later-version"]);
    assert!(runs(&lab, &id, "known").await);
}
