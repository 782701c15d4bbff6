//! Which policy is meant, and what is refused with which words.

use super::{idle, policy, refused, with};
use codepiper_tests::lab::Lab;
use serde_json::{Value, json};

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
