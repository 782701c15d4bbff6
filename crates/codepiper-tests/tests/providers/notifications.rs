//! What is told of real agents: each end of a turn in its own words, and nothing that a person did themselves.

use codepiper_tests::agents::{AgentHome, claude_home, codex_home};
use codepiper_tests::lab::Lab;
use codepiper_tests::model_stub::ModelStub;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(40);

/// All notifications as `kind: body`, oldest first, once there are so many.
async fn told(lab: &Lab, count: usize) -> Vec<String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let page = lab.ok("GET", "/notifications", Value::Null).await;
        let text = |told: &Value, name: &str| told[name].as_str().unwrap().to_owned();
        let mut all: Vec<String> = page["notifications"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| format!("{}: {}", text(one, "eventType"), text(one, "body")))
            .collect();
        all.reverse();
        assert!(all.len() <= count, "only {count} are expected: {all:#?}");
        if all.len() == count {
            return all;
        }
        assert!(Instant::now() < until, "{count} are expected: {all:#?}\n{}", lab.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// `question` makes the model do what the agent has to ask about, `leave` is what ends the agent from within.
async fn everything_is_told_once(provider: &str, home: &AgentHome, lab: &Lab, question: &str, leave: &str) {
    // A moment in which a state shows and is corrected is not told.
    let settings = json!({ "notificationDwellSeconds": 1, "notificationCooldownSeconds": 0 });
    lab.ok("PUT", "/settings/daemon", settings).await;
    let id = lab.agent(provider, home, json!({ "name": "api" })).await;
    lab.wait_for_state(&id, "idle").await;

    lab.turn(&id, "SAY: hello").await;
    let turn = "session.turn_completed: It is ready for your next prompt.";
    assert_eq!(told(lab, 1).await, [turn]);

    lab.send(&id, question).await;
    let all = told(lab, 2).await;
    assert!(all[1].starts_with("session.permission_required: "), "{all:?}");
    assert!(all[1].contains("touch asked.txt"), "{all:?}");
    lab.cli(["approvals", "allow", "api"]);
    assert_eq!(told(lab, 3).await[2], turn);

    let after = lab.last_event().await;
    lab.send(&id, "STREAM: 2000 20").await;
    lab.wait_for_state(&id, "running").await;
    lab.wait_for_text(&id, "word").await;
    lab.ok("POST", &format!("/sessions/{id}/interrupt"), Value::Null).await;
    lab.wait_for_event(&id, after, |event| {
        event["type"] == "state" && event["payload"]["reason"] == "interrupted; ready for a prompt"
    })
    .await;
    // Long enough for it to be told, were it to be.
    tokio::time::sleep(Duration::from_secs(2)).await;

    lab.send(&id, "FAIL: 400").await;
    let all = told(lab, 4).await;
    assert!(all[3].starts_with("session.turn_failed: "), "{all:?}");

    let agent = lab.show(&id).await["pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(agent as i32).unwrap(), Signal::KILL).unwrap();
    let all = told(lab, 5).await;
    assert!(all[4].starts_with("session.crashed: ") && all[4].contains("SIGKILL"), "{all:?}");

    let id = lab.agent(provider, home, json!({ "name": "second" })).await;
    lab.wait_for_state(&id, "idle").await;
    lab.send(&id, leave).await;
    let all = told(lab, 6).await;
    assert!(all[5].starts_with("session.completed: "), "{all:?}");
}

#[tokio::test]
async fn of_claude_code() {
    let (lab, stub) = (Lab::start().await, ModelStub::start().await);
    let home = claude_home(&lab.path("agent"), &lab.project(), &stub.url()).unwrap();
    everything_is_told_once("claude-code", &home, &lab, "RUN: touch asked.txt", "/exit").await;
    assert_eq!(stub.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn of_codex() {
    let (lab, stub) = (Lab::start().await, ModelStub::start().await);
    let home = codex_home(&lab.path("codex"), &lab.project(), &stub.url()).unwrap();
    everything_is_told_once("codex", &home, &lab, "ESC: touch asked.txt", "/quit").await;
    assert_eq!(stub.violations(), Vec::<String>::new());
}
