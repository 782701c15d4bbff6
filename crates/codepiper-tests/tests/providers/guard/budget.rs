//! A budget that is used up, with the real agents in their modes that ask nothing by themselves.

use super::{Bench, CODEX_BYPASS, id_of, opened, questions, standing, told};
use codepiper_tests::lab::Lab;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Waits until this much is counted as spent.
async fn spent(lab: &Lab, id: &str, tokens: u64) {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let view = lab.ok("GET", &format!("/sessions/{id}/budget"), Value::Null).await;
        if view["spent"]["tokens"].as_u64() >= Some(tokens) {
            return;
        }
        assert!(Instant::now() < until, "it is not counted: {view}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn a_used_up_budget_asks(bench: &Bench, id: &str) {
    let lab = &bench.lab;
    lab.cli(["budget", id, "50ktokens"]);
    lab.turn(id, "USAGE: in=39000 out=1000\nRUN: touch within\nUSAGE: in=1000 out=10\nSAY: done").await;
    assert!(bench.file("within").exists(), "within the budget nothing asks");
    spent(lab, id, 41_010).await;
    // The call that comes at 82 percent (84 with Codex, which writes a reply down before its call) runs, and is told of.
    lab.turn(id, "USAGE: in=1000 out=10\nRUN: touch near\nUSAGE: in=8000 out=2000\nSAY: done").await;
    assert!(bench.file("near").exists());
    spent(lab, id, 52_020).await;

    lab.send(id, "RUN: touch over").await;
    let approval = opened(lab, id, 0).await;
    let why = approval["why"].as_str().unwrap();
    assert!(why.starts_with("CodePiper: the budget of this session is used up: 52"), "{why}");
    assert!(!bench.file("over").exists());
    lab.cli(["approvals", "deny", id_of(&approval), "--note", "that is enough"]);
    lab.wait_for_state(id, "idle").await;
    assert!(!bench.file("over").exists(), "denied");
    assert!(told(&bench.stub).contains("that is enough"), "{}", told(&bench.stub));

    lab.send(id, "RUN: touch again").await;
    let again = opened(lab, id, lab.last_event().await).await;
    lab.cli(["approvals", "allow", id_of(&again)]);
    lab.wait_for_state(id, "idle").await;
    assert!(bench.file("again").exists(), "allowed once");
    assert_eq!((standing(lab, &again).await.as_str(), questions(lab, id).await), ("allowed", 2));
    lab.cli(["budget", id, "none"]);
    lab.turn(id, "RUN: touch free").await;
    assert!(bench.file("free").exists());
    let inbox = lab.ok("GET", "/notifications?eventType=budget.reached", Value::Null).await;
    let bodies: Vec<&str> = inbox["notifications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|told| told["body"].as_str().unwrap())
        .collect();
    assert_eq!(bodies.len(), 2, "{bodies:?}");
    assert!(
        bodies[1].starts_with("Its budget is used up to 8") && bodies[0].contains("is used up: "),
        "{bodies:?}"
    );
    assert_eq!(bench.stub.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_used_up_budget_makes_claude_code_ask_in_bypass_mode() {
    let bench = Bench::claude().await;
    bench.accept_bypass();
    let id = bench.start(&["--permission-mode", "bypassPermissions"]).await;
    a_used_up_budget_asks(&bench, &id).await;
}

#[tokio::test]
async fn a_used_up_budget_makes_codex_ask_though_it_bypasses_everything() {
    let bench = Bench::codex().await;
    let id = bench.start(&CODEX_BYPASS).await;
    a_used_up_budget_asks(&bench, &id).await;
}
