//! Plans of the real Claude Code: a person reads them in the inbox, and what they say there counts.

use super::{Bench, id_of, opened, policy, questions, standing, told};
use serde_json::json;

const PLAN_MODE: [&str; 2] = ["--permission-mode", "plan"];

/// A session whose plan waits, although a rule allows everything; session and question.
async fn plan_waits(bench: &Bench) -> (String, serde_json::Value) {
    policy(&bench.lab, json!([{ "action": "allow" }])).await;
    let id = bench.start(&PLAN_MODE).await;
    bench
        .lab
        .send(
            &id,
            r"PLAN: 1. touch planned.txt\n2. be done
RUN: touch planned.txt",
        )
        .await;
    let approval = opened(&bench.lab, &id, 0).await;
    assert_eq!((&approval["wants"], &approval["tool"]), (&json!("plan"), &json!("ExitPlanMode")));
    assert_eq!(approval["shown"], json!(["1. touch planned.txt", "2. be done"]));
    let shown = bench.lab.cli(["approvals", "show", &id]);
    assert!(shown.contains("1. touch planned.txt"), "{shown}");
    assert_eq!(bench.lab.show(&id).await["status"], "NEEDS_PERMISSION");
    assert!(!bench.file("planned.txt").exists());
    (id, approval)
}

#[tokio::test]
async fn a_plan_that_is_approved_is_carried_out() {
    let bench = Bench::claude().await;
    let (id, approval) = plan_waits(&bench).await;
    bench.lab.cli(["approvals", "allow", id_of(&approval)]);
    bench.lab.wait_for_state(&id, "idle").await;
    assert!(bench.file("planned.txt").exists(), "{}", told(&bench.stub));
    assert!(told(&bench.stub).contains("approved your plan"), "{}", told(&bench.stub));
    assert_eq!(standing(&bench.lab, &approval).await, "allowed");
    assert_eq!(questions(&bench.lab, &id).await, 1, "nobody is asked again");
    assert_eq!(bench.stub.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_plan_that_is_denied_goes_back_with_the_note() {
    let bench = Bench::claude().await;
    let (id, approval) = plan_waits(&bench).await;
    bench.lab.cli(["approvals", "deny", id_of(&approval), "--note", "use the other folder"]);
    bench.lab.wait_for_state(&id, "idle").await;
    assert!(told(&bench.stub).contains("use the other folder"), "{}", told(&bench.stub));
    assert_eq!(standing(&bench.lab, &approval).await, "denied");
}
