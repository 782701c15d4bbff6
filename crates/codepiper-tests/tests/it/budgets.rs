//! Budgets: used up, every call asks, in every mode.

use codepiper_tests::lab::Lab;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Waits until all that was said is counted; the tokens.
async fn counted(lab: &Lab, path: &str) -> u64 {
    let until = Instant::now() + Duration::from_secs(20);
    let mut last = 0;
    loop {
        let view = lab.ok("GET", path, Value::Null).await;
        let tokens = view["spent"]["tokens"].as_u64().unwrap();
        if tokens > 0 && tokens == last {
            return tokens;
        }
        assert!(Instant::now() < until, "nothing is counted: {view}");
        last = tokens;
        tokio::time::sleep(Duration::from_millis(500)).await; // five times what the agent takes to write it down
    }
}

/// The one question that stands open, as soon as there is one.
async fn asked(lab: &Lab) -> Value {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let open = lab.ok("GET", "/approvals", Value::Null).await;
        if let Some([question]) = open["approvals"].as_array().map(Vec::as_slice) {
            return question.clone();
        }
        assert!(Instant::now() < until, "nothing is asked: {open}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn budget_events(lab: &Lab, id: &str) -> Vec<Value> {
    let events = lab.events(id).await;
    events
        .into_iter()
        .filter(|event| event["type"] == "budget")
        .map(|event| event["payload"].clone())
        .collect()
}

#[tokio::test]
async fn a_used_up_budget_makes_every_call_ask_also_in_dangerous_mode_until_it_is_raised() {
    let lab = Lab::start().await;
    let body = json!({ "provider": "demo", "cwd": lab.project(), "dangerousMode": true });
    let id = lab.session(body).await;
    lab.turn(&id, "RUN: touch before").await;
    assert!(lab.project().join("before").exists());
    let tokens = counted(&lab, &format!("/sessions/{id}/budget")).await;
    let printed = lab.cli(["budget", &id, &format!("{tokens}tokens")]);
    // The demo agent's model has no price, which is said.
    let unpriced = format!("{tokens} tokens have no price and are in no dollars");
    assert_eq!(printed, format!("{tokens} of {tokens} tokens  100 %\n{unpriced}\n"));

    lab.send(&id, "RUN: touch over").await;
    let open = asked(&lab).await;
    let why = open["why"].as_str().unwrap();
    assert!(why.starts_with("CodePiper: the budget of this session is used up: "), "{why}");
    assert!(!lab.project().join("over").exists());
    let answer = json!({ "decision": "allow", "reach": "always" });
    let path = format!("/approvals/{}/answer", open["id"].as_str().unwrap());
    let (status, refused) = lab.ask("POST", &path, answer).await;
    assert_eq!(status, 400, "a rule would not help: {refused}");
    lab.cli(["approvals", "allow", open["id"].as_str().unwrap()]);
    lab.wait_for_state(&id, "idle").await;
    assert!(lab.project().join("over").exists());
    let told = budget_events(&lab, &id).await;
    assert_eq!(
        told.iter().map(|told| told["level"].as_str().unwrap()).collect::<Vec<_>>(),
        ["used-up"],
        "{told:?}"
    );
    let audit = lab.ok("GET", &format!("/audit?session={id}&kind=decision"), Value::Null).await;
    assert!(audit.to_string().contains("\"budget\":\"tokens\""), "{audit}");

    lab.cli(["budget", &id, "1000Mtokens", "5h"]);
    lab.turn(&id, "RUN: touch after").await;
    assert!(lab.project().join("after").exists());
    let off = lab.cli(["budget", &id, "none"]);
    assert!(off.starts_with("no limits; spent "), "{off}");
}

#[tokio::test]
async fn the_budget_of_the_day_is_for_all_sessions_and_is_told_from_80_percent_on() {
    let lab = Lab::start().await;
    let start = || json!({ "provider": "demo", "cwd": lab.project(), "dangerousMode": true });
    let first = lab.session(start()).await;
    for _ in 0..6 {
        lab.turn(&first, "RUN: true").await;
    }
    let tokens = counted(&lab, "/budget").await;
    // One turn more is nearly, but not quite, too much.
    lab.cli(["budget", "today", &format!("{}tokens", tokens * 100 / 81)]);
    let second = lab.session(start()).await;
    lab.wait_for_state(&second, "idle").await;
    lab.turn(&second, "RUN: touch second").await;
    assert!(lab.project().join("second").exists());
    let told = budget_events(&lab, &second).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0]["of"].as_str(), told[0]["level"].as_str()), (Some("day"), Some("nearly-used-up")));
    let tokens = counted(&lab, "/budget").await;
    lab.cli(["budget", "today", &format!("{tokens}tokens")]);
    lab.send(&second, "RUN: touch third").await;
    let why = asked(&lab).await["why"].clone();
    assert!(why.as_str().unwrap().starts_with("CodePiper: the budget of the day is used up: "), "{why}");
}

#[tokio::test]
async fn a_wrong_limit_is_refused_with_the_way_out() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    for (limits, expected) in [
        (["five"], "`five` is no limit: say dollars (`5usd`), tokens (`2Mtokens`) or a time (`90m`)"),
        (["0usd"], "`0usd` is no number of dollars above 0, such as `5usd` or `0.50usd`"),
    ] {
        let output = lab.run(["budget", &id].iter().copied().chain(limits));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    let (status, refused) =
        lab.ask("PUT", &format!("/sessions/{id}/budget"), json!({ "cost": -5, "tokens": 0 })).await;
    assert_eq!((status, refused["field"].as_str()), (400, Some("cost")), "{refused}");
}

#[tokio::test]
async fn the_time_of_a_day_is_that_in_which_agents_work() {
    let lab = Lab::start().await;
    let start = || json!({ "provider": "demo", "cwd": lab.project(), "dangerousMode": true });
    let (first, second) = (lab.session(start()).await, lab.session(start()).await);
    let worked = async || lab.ok("GET", "/budget", Value::Null).await["spent"]["seconds"].as_u64().unwrap();
    tokio::join!(lab.turn(&first, "STREAM: 20 100"), lab.turn(&second, "STREAM: 20 100"));
    let both = worked().await;
    assert!(both >= 3, "two agents for two seconds: {both}");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(worked().await, both, "who waits does not work");

    lab.kill_daemon();
    lab.start_daemon();
    assert_eq!(worked().await, both);
    let printed = lab.cli(["budget", "today", "5h"]);
    assert!(printed.starts_with(&format!("{both}s of 5h 00m  0 %\n")), "{printed}");
    lab.turn(&first, "RUN: touch before").await;
    assert!(lab.project().join("before").exists());
    lab.cli(["budget", "today", "2s"]);
    lab.send(&first, "RUN: touch over").await;
    let why = asked(&lab).await["why"].clone();
    let expected = "CodePiper: the budget of the day is used up: ";
    assert!(why.as_str().is_some_and(|why| why.starts_with(expected) && why.ends_with("s of 2s")), "{why}");
    assert!(!lab.project().join("over").exists());
}
