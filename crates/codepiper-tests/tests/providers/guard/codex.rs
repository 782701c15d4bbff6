//! Codex.

use super::{Bench, CODEX_BYPASS as BYPASS, decisions, id_of, opened, policy, questions, standing, told};
use codepiper_tests::lab::Lab;
use serde_json::{Value, json};

async fn usual_policy(lab: &Lab) {
    policy(lab, json!([
        { "action": "deny", "tool": "Bash", "args": { "command": "touch secret*" }, "reason": "leave the secret alone" },
        { "action": "allow", "tool": "Bash", "args": { "command": "touch ok*" } },
        { "action": "ask", "tool": "Bash", "args": { "command": "touch ask*" }, "reason": "look first" },
    ]))
    .await;
}

#[tokio::test]
async fn rules_hold_when_codex_itself_asks_nobody() {
    let bench = Bench::codex().await;
    let Bench { lab, stub, home, .. } = &bench;
    usual_policy(lab).await;
    let id = bench.start(&BYPASS).await;
    lab.turn(&id, "RUN: touch secret.txt").await;
    assert!(!home.project.join("secret.txt").exists());
    assert!(told(stub).contains("leave the secret alone"), "{}", told(stub));
    lab.turn(&id, "RUN: touch ok.txt").await;
    assert!(home.project.join("ok.txt").exists());
    assert_eq!(questions(lab, &id).await, 0);

    let after = lab.last_event().await;
    lab.send(&id, "RUN: touch ask.txt").await;
    let approval = opened(lab, &id, after).await;
    assert!(approval["why"].as_str().unwrap().contains("look first"), "{approval}");
    assert_eq!(lab.show(&id).await["status"], "NEEDS_PERMISSION");
    assert!(!home.project.join("ask.txt").exists());
    lab.cli(["approvals", "allow", id_of(&approval)]);
    lab.wait_for_state(&id, "idle").await;
    assert!(home.project.join("ask.txt").exists());

    let after = lab.last_event().await;
    lab.send(&id, "RUN: touch ask2.txt").await;
    let approval = opened(lab, &id, after).await;
    lab.cli(["approvals", "deny", id_of(&approval), "--note", "not today"]);
    lab.wait_for_state(&id, "idle").await;
    assert!(!home.project.join("ask2.txt").exists());
    assert!(told(stub).contains("not today"), "{}", told(stub));
    let decided = decisions(lab, &id).await;
    for wanted in ["Bash deny", "Bash allow", "Bash ask"] {
        assert!(decided.iter().any(|decision| decision == wanted), "no `{wanted}` in {decided:?}");
    }
    assert_eq!(stub.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn its_own_questions_wait_in_the_inbox_and_rules_answer_them() {
    let bench = Bench::codex().await;
    let Bench { lab, home, .. } = &bench;
    usual_policy(lab).await;
    let id = bench.start(&[]).await;
    lab.turn(&id, "ESC: touch ok.txt").await;
    assert!(home.project.join("ok.txt").exists());
    assert_eq!(questions(lab, &id).await, 0, "a rule that allows has answered");

    let after = lab.last_event().await;
    lab.send(&id, "ESC: touch other.txt").await;
    let approval = opened(lab, &id, after).await;
    assert_eq!(approval["shown"], json!(["touch other.txt"]));
    lab.cli(["approvals", "allow", id_of(&approval)]);
    lab.wait_for_state(&id, "idle").await;
    assert!(home.project.join("other.txt").exists());
    assert_eq!(standing(lab, &approval).await, "allowed");

    let after = lab.last_event().await;
    lab.send(&id, "ESC: touch third.txt").await;
    let approval = opened(lab, &id, after).await;
    lab.wait_for_text(&id, "third.txt").await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await; // a key in the moment of drawing is lost
    lab.keys(&id, &["y"]).await;
    lab.wait_for_state(&id, "idle").await;
    assert!(home.project.join("third.txt").exists());
    assert_eq!(standing(lab, &approval).await, "at-terminal");
}

#[tokio::test]
async fn a_question_that_nobody_answers_in_time_is_a_no() {
    let bench = Bench::codex().await;
    let Bench { lab, stub, home, .. } = &bench;
    usual_policy(lab).await;
    lab.cli(["settings", "set", "approvalSeconds", "2"]);
    let id = bench.start(&BYPASS).await;
    lab.send(&id, "RUN: touch ask.txt").await;
    let approval = opened(lab, &id, 0).await;
    lab.wait_for_state(&id, "idle").await;
    assert!(!home.project.join("ask.txt").exists());
    assert!(told(stub).contains("nobody answered"), "{}", told(stub));
    assert_eq!(standing(lab, &approval).await, "expired");
}

#[tokio::test]
async fn a_question_outlives_a_killed_daemon() {
    let bench = Bench::codex().await;
    let Bench { lab, home, .. } = &bench;
    usual_policy(lab).await;
    let id = bench.start(&BYPASS).await;
    lab.send(&id, "RUN: touch ask.txt").await;
    let approval = opened(lab, &id, 0).await;
    lab.kill_daemon();
    lab.start_daemon();
    assert_eq!(standing(lab, &approval).await, "open");
    lab.cli(["approvals", "allow", id_of(&approval)]);
    lab.wait_for_event(&id, 0, |event| event["type"] == "Stop").await;
    assert!(home.project.join("ask.txt").exists());
    assert_ne!(Value::Null, approval["digest"]);
}
