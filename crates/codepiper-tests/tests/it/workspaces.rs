//! Workspaces: a folder and defaults, which what is said at a start beats.

use codepiper_tests::lab::Lab;
use serde_json::{Value, json};
use std::fs;

#[tokio::test]
async fn a_start_in_a_workspace_takes_its_folder_and_defaults_and_what_is_said_beats_them() {
    let lab = Lab::start().await;
    for name in ["base", "more"] {
        lab.ok("POST", "/env-sets", json!({ "name": name, "vars": { "FROM": name, "HAS": "x" } })).await;
    }
    let project = lab.project();
    lab.cli([
        "workspace",
        "add",
        "app",
        project.to_str().unwrap(),
        "-p",
        "demo",
        "--model",
        "opus",
        "--env-set",
        "base",
        "--billing",
        "api",
    ]);
    fs::create_dir(lab.path("elsewhere")).unwrap();
    let start = |options: &[&str]| -> Value {
        let mut command = lab.command(["start", "--workspace", "app", "--json"]);
        let output = command.args(options).current_dir(lab.path("elsewhere")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let session = start(&[]);
    assert_eq!((&session["provider"], &session["cwd"]), (&json!("demo"), &json!(project)));
    assert_eq!(session["model"], "opus");
    let launch = &session["metadata"]["launch"];
    assert_eq!((&launch["billingMode"], &launch["envSetNames"]), (&json!("api"), &json!(["base"])));
    assert_eq!(session["metadata"]["workspace"]["name"], "app");

    let elsewhere = lab.path("elsewhere");
    let said =
        ["-d", elsewhere.to_str().unwrap(), "--model", "haiku", "-b", "subscription", "--env-set", "more"];
    let session = start(&said);
    assert_eq!((&session["cwd"], &session["model"]), (&json!(elsewhere), &json!("haiku")));
    let launch = &session["metadata"]["launch"];
    assert_eq!(
        (&launch["billingMode"], &launch["envSetNames"]),
        (&json!("subscription"), &json!(["base", "more"]))
    );

    // A set keeps its place among the defaults when it is renamed, and a start without it is refused.
    lab.cli(["env-set", "rename", "base", "ground"]);
    assert_eq!(
        lab.ok("GET", "/workspaces/app", Value::Null).await["workspace"]["envSetNames"],
        json!(["ground"])
    );
    let deleted = lab.run(["env-set", "delete", "ground"]);
    assert!(String::from_utf8_lossy(&deleted.stderr).contains("among their defaults"), "{deleted:?}");
    let (status, refused) = lab.ask("POST", "/sessions", json!({ "workspaceId": "app" })).await;
    assert_eq!((status, &refused["error"]), (404, &json!("env set `base` is gone")));
}

#[tokio::test]
async fn a_workspace_is_a_folder_that_is_there_with_a_name_of_its_own() {
    let lab = Lab::start().await;
    let project = lab.project();
    fs::write(lab.path("file"), "").unwrap();
    let made =
        lab.ok("POST", "/workspaces", json!({ "name": "app", "path": project })).await["workspace"].take();
    let id = made["id"].as_str().unwrap().to_owned();
    let check = async |method: &str, path: &str, body: Value, expected: &str| {
        let (status, answer) = lab.ask(method, path, body).await;
        let said = format!("{status} {}", answer["error"].as_str().unwrap_or_default());
        assert!(said.contains(expected), "{method} {path}: {said}");
    };
    check("POST", "/workspaces", json!({ "name": "app", "path": project }), "409 there is a workspace `app`")
        .await;
    check("POST", "/workspaces", json!({ "name": "x", "path": lab.path("file") }), "is no folder").await;
    check("POST", "/workspaces", json!({ "name": "x", "path": lab.path("none") }), "does not exist").await;
    check("POST", "/workspaces", json!({ "name": "x", "path": "relative" }), "absolute").await;
    check("POST", "/workspaces", json!({ "name": "x" }), "`path` is missing").await;
    check("POST", "/workspaces", json!({ "path": project }), "`name` is missing").await;
    check("POST", "/workspaces", json!({ "name": id, "path": project }), "looks like an id").await;
    check("PUT", "/workspaces/app", json!({}), "nothing to change").await;
    check("PUT", "/workspaces/app", json!({ "defaults": { "provider": "nope" } }), "nope").await;
    check(
        "PUT",
        "/workspaces/app",
        json!({ "defaults": { "envSetIds": ["nope"] } }),
        "404 there is no env set",
    )
    .await;
    check("PUT", "/workspaces/app", json!({ "defaults": { "model": "a b" } }), "without blanks").await;
    check("POST", "/sessions", json!({ "workspaceId": "app" }), "400 `provider` is missing").await;
    check("POST", "/sessions", json!({ "workspaceId": "nope" }), "404 there is no workspace `nope`").await;

    let change = async |path: &str, body: Value| -> Value {
        lab.ok("PUT", &format!("/workspaces/{path}"), body).await["workspace"]["defaults"].take()
    };
    let strict = json!({ "defaults": { "policySet": "strict" } });
    check("PUT", "/workspaces/app", strict, "404 there is no policy set `strict`").await;
    lab.cli(["policy-set", "create", "--name", "strict"]);
    let defaults = json!({ "provider": "demo", "model": "opus", "policySet": "strict" });
    assert_eq!(change(&id[..5], json!({ "defaults": defaults })).await, defaults);
    let without = change("app", json!({ "name": "app2", "defaults": { "model": null } })).await;
    assert_eq!(without, json!({ "provider": "demo", "policySet": "strict" }));
    let answer = lab.ok("POST", "/sessions", json!({ "workspaceId": "app2" })).await;
    let session = answer["session"]["id"].as_str().unwrap();
    let sets = lab.ok("GET", &format!("/sessions/{session}/policy-sets"), Value::Null).await;
    assert_eq!(sets["policySets"][0]["name"], "strict", "{answer}");
    lab.cli(["workspace", "rm", "app2"]);
    assert!(project.is_dir());
    check("GET", "/workspaces/app2", Value::Null, "404").await;
}
