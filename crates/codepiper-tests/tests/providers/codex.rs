//! The real Codex through the daemon.

use codepiper_tests::agents::{AgentHome, codex_home};
use codepiper_tests::lab::Lab;
use codepiper_tests::model_stub::ModelStub;
use serde_json::{Value, json};

async fn lab() -> (Lab, ModelStub, AgentHome) {
    let stub = ModelStub::start().await;
    let lab = Lab::start().await;
    let home = codex_home(&lab.path("codex"), &lab.project(), &stub.url()).unwrap();
    (lab, stub, home)
}

/// Starts a session that may write in its project without asking; ready for a prompt.
async fn start(lab: &Lab, home: &AgentHome, more: Value) -> String {
    let id = lab.agent("codex", home, more).await;
    lab.wait_for_state(&id, "idle").await;
    id
}

#[tokio::test]
async fn a_prompt_is_acknowledged_by_the_channel_and_changes_a_file() {
    let (lab, stub, home) = lab().await;
    let id = start(&lab, &home, json!({ "dangerousMode": true })).await;
    let after = lab.last_event().await;
    let text = "Please\nRUN: printf made > made.txt && echo '-x; \"é\"'";
    let sent = lab.send(&id, text).await;
    assert_eq!(sent["acknowledgedBy"], "channel");
    lab.wait_for_event(&id, after, |event| event["type"] == "Stop").await;
    lab.wait_for_state(&id, "idle").await;
    assert_eq!(std::fs::read_to_string(home.project.join("made.txt")).unwrap(), "made");
    assert!(stub.requests().iter().any(|request| request.prompt.as_deref() == Some(text)));
    let kinds: Vec<String> =
        lab.events(&id).await.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect();
    for hook in ["SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop"] {
        assert_eq!(kinds.iter().filter(|kind| *kind == hook).count(), 1, "{hook} in {kinds:?}");
    }
    let shown = lab.show(&id).await;
    assert!(shown["transcriptPath"].as_str().unwrap().contains("rollout-"), "{shown}");
    assert_eq!(stub.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_question_is_shown_and_answered_by_a_key() {
    let (lab, _stub, home) = lab().await;
    let id = start(&lab, &home, Value::Null).await;
    lab.send(&id, "ESC: touch escaped.txt").await;
    let asked = lab.wait_for_state(&id, "waiting").await;
    assert_eq!(asked["status"], "NEEDS_PERMISSION");
    assert!(asked["reason"].as_str().unwrap().contains("touch escaped.txt"), "{asked}");
    lab.wait_for_text(&id, "escaped.txt").await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await; // a key in the moment of drawing is lost
    lab.keys(&id, &["y"]).await;
    lab.wait_for_state(&id, "idle").await;
    assert!(home.project.join("escaped.txt").exists());
}

#[tokio::test]
async fn an_interrupt_ends_the_turn_and_the_next_prompt_is_its_own() {
    let (lab, stub, home) = lab().await;
    let id = start(&lab, &home, Value::Null).await;
    let (status, refusal) = lab.ask("POST", &format!("/sessions/{id}/interrupt"), Value::Null).await;
    assert_eq!(status, 409, "{refusal}");
    lab.send(&id, "STREAM: 2000 20").await;
    lab.wait_for_state(&id, "running").await;
    stub.wait_for_served(|served| served.scripted).await;
    let after = lab.last_event().await;
    lab.ok("POST", &format!("/sessions/{id}/interrupt"), Value::Null).await;
    lab.wait_for_event(&id, after, |event| {
        event["type"] == "state" && event["payload"]["reason"] == "interrupted; ready for a prompt"
    })
    .await;
    lab.turn(&id, "SAY: fresh").await;
    assert!(stub.requests().iter().any(|request| request.prompt.as_deref() == Some("SAY: fresh")));
}

#[tokio::test]
async fn the_model_is_switched_without_a_dialog_and_reported() {
    let (lab, stub, home) = lab().await;
    let id = start(&lab, &home, Value::Null).await;
    lab.turn(&id, "SAY: one").await;
    let answer = lab.ok("PUT", &format!("/sessions/{id}/model"), json!({ "model": "other-model" })).await;
    assert_eq!(answer["model"], "other-model");
    lab.turn(&id, "SAY: two").await;
    let models: Vec<String> = stub
        .requests()
        .iter()
        .filter(|request| request.prompt.as_deref() == Some("SAY: two"))
        .filter_map(|request| request.body["model"].as_str().map(str::to_owned))
        .collect();
    assert!(models.contains(&"other-model".to_owned()), "{models:?}");
    assert_eq!(lab.ok("GET", &format!("/sessions/{id}/model"), Value::Null).await["model"], "other-model");
}

#[tokio::test]
async fn a_stopped_session_resumes_its_conversation_and_a_fork_leaves_it_alone() {
    let (lab, stub, home) = lab().await;
    let id = start(&lab, &home, Value::Null).await;
    lab.turn(&id, "SAY: the first").await;
    let conversation = lab.show(&id).await["providerSessionId"].clone();
    lab.ok("POST", &format!("/sessions/{id}/stop"), Value::Null).await;
    assert_eq!(lab.show(&id).await["state"], "stopped");
    lab.ok("POST", &format!("/sessions/{id}/resume"), Value::Null).await;
    lab.wait_for_state(&id, "idle").await;
    lab.turn(&id, "SAY: the second").await;
    assert_eq!(lab.show(&id).await["providerSessionId"], conversation);
    let has = |text: &str, history: &str| {
        stub.requests().iter().any(|request| {
            request.prompt.as_deref() == Some(text) && request.body.to_string().contains(history)
        })
    };
    assert!(has("SAY: the second", "SAY: the first"), "the history is missing after the resume");

    let fork = json!({ "providerResume": { "providerSessionId": id, "mode": "fork" } });
    let forked = start(&lab, &home, fork).await;
    lab.turn(&forked, "SAY: the fork").await;
    assert!(has("SAY: the fork", "SAY: the second"), "the history is missing in the fork");
    let new = lab.show(&forked).await["providerSessionId"].clone();
    assert!(new.is_string() && new != conversation, "{new} {conversation}");
}

#[tokio::test]
async fn a_kill_of_the_daemon_in_mid_turn_loses_and_doubles_nothing() {
    let (lab, _stub, home) = lab().await;
    let id = start(&lab, &home, json!({ "dangerousMode": true })).await;
    lab.send(&id, "STREAM: 40 50\nRUN: touch after.txt").await;
    lab.wait_for_state(&id, "running").await;
    lab.kill_daemon();
    lab.start_daemon();
    lab.wait_for_event(&id, 0, |event| event["type"] == "Stop").await;
    lab.wait_for_state(&id, "idle").await;
    assert!(home.project.join("after.txt").exists());
    lab.turn(&id, "SAY: still here").await;
    let kinds: Vec<String> =
        lab.events(&id).await.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect();
    for (hook, times) in [("PreToolUse", 1), ("PostToolUse", 1), ("UserPromptSubmit", 2), ("Stop", 2)] {
        assert_eq!(kinds.iter().filter(|kind| *kind == hook).count(), times, "{hook} in {kinds:?}");
    }
}
