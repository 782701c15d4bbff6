//! Questions that wait for a person, and every way they can be answered.

use codepiper_tests::lab::{Lab, codepiper};
use serde_json::{Value, json};

/// A session with an open question, and the question.
async fn asking(lab: &Lab, prompt: &str) -> (String, Value) {
    let id = lab.demo().await;
    lab.wait_for_state(&id, "idle").await;
    lab.send(&id, prompt).await;
    lab.wait_for_event(&id, 0, |event| event["type"] == "approval-opened").await;
    lab.wait_for_state(&id, "waiting").await;
    let open = lab.ok("GET", &format!("/approvals?session={id}"), Value::Null).await;
    assert_eq!(open["approvals"].as_array().map(Vec::len), Some(1), "{open}");
    (id, open["approvals"][0].clone())
}

async fn state(lab: &Lab, approval: &Value) -> (String, String) {
    let path = format!("/approvals/{}", approval["id"].as_str().unwrap());
    let now = lab.ok("GET", &path, Value::Null).await["approval"].take();
    let text = |field: &str| now[field].as_str().unwrap_or_default().to_owned();
    (text("state"), text("closedBy"))
}

fn id_of(approval: &Value) -> &str {
    approval["id"].as_str().unwrap()
}

#[tokio::test]
async fn a_question_is_shown_and_a_yes_lets_the_call_run() {
    let lab = Lab::start().await;
    let (id, approval) = asking(&lab, "RUN: touch allowed.txt && echo done").await;
    assert_eq!(approval["tool"], "Bash");
    assert_eq!(approval["shown"], json!(["touch allowed.txt && echo done"]));
    assert_eq!((&approval["wants"], &approval["state"]), (&json!("permission"), &json!("open")));
    let how = lab.show(&id).await["question"]["how"].as_str().unwrap().to_owned();
    assert!(how.contains(&format!("codepiper approvals allow {}", id_of(&approval))), "{how}");
    assert!(!lab.project().join("allowed.txt").exists());

    let said = lab.cli(["approvals", "allow", &id]);
    assert!(said.contains("allowed") && said.contains("touch allowed.txt"), "{said}");
    lab.wait_for_state(&id, "idle").await;
    assert!(lab.project().join("allowed.txt").exists());
    assert_eq!(state(&lab, &approval).await, ("allowed".into(), "the owner, through the socket".into()));
}

#[tokio::test]
async fn a_no_keeps_the_call_from_running_and_the_agent_hears_why() {
    let lab = Lab::start().await;
    let (id, approval) = asking(&lab, "WRITE: denied.txt :: text").await;
    assert_eq!(approval["shown"][1], "+text");
    lab.cli(["approvals", "deny", id_of(&approval), "--note", "not in this folder"]);
    lab.wait_for_text(&id, "not in this folder").await;
    lab.wait_for_state(&id, "idle").await;
    assert!(!lab.project().join("denied.txt").exists());
    assert_eq!(state(&lab, &approval).await.0, "denied");
}

#[tokio::test]
async fn the_first_answer_counts_wherever_it_is_given() {
    let lab = Lab::start().await;
    let (id, approval) = asking(&lab, "RUN: touch first.txt").await;
    lab.keys(&id, &["1"]).await;
    lab.wait_for_state(&id, "idle").await;
    assert!(lab.project().join("first.txt").exists());
    lab.wait_for_event(&id, 0, |event| event["type"] == "approval-closed").await;
    assert_eq!(state(&lab, &approval).await.0, "at-terminal");

    let path = format!("/approvals/{}/answer", id_of(&approval));
    let (status, refusal) = lab.ask("POST", &path, json!({ "decision": "deny" })).await;
    assert_eq!(status, 409, "{refusal}");
    assert!(refusal["error"].as_str().unwrap().contains("not open any more: at-terminal"), "{refusal}");
}

#[tokio::test]
async fn of_two_answers_one_is_taken() {
    let lab = Lab::start().await;
    let (id, approval) = asking(&lab, "RUN: touch once.txt").await;
    let path = format!("/approvals/{}/answer", id_of(&approval));
    let (yes, no) = tokio::join!(
        lab.ask("POST", &path, json!({ "decision": "allow" })),
        lab.ask("POST", &path, json!({ "decision": "deny" })),
    );
    let mut statuses = [yes.0, no.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{yes:?} {no:?}");
    lab.wait_for_state(&id, "idle").await;
    assert_eq!(lab.project().join("once.txt").exists(), yes.0 == 200);
}

#[tokio::test]
async fn an_answer_is_bound_to_what_was_shown() {
    let lab = Lab::start().await;
    let (id, approval) = asking(&lab, "RUN: touch bound.txt").await;
    let path = format!("/approvals/{}/answer", id_of(&approval));
    let check = async |body: Value, status: u16, error: &str| {
        let (got, refusal) = lab.ask("POST", &path, body.clone()).await;
        assert_eq!(got, status, "{body}: {refusal}");
        assert!(refusal["error"].as_str().unwrap().contains(error), "{body}: {refusal}");
    };
    check(json!({ "decision": "allow", "digest": "0" }), 409, "asks something else").await;
    check(json!({ "decision": "maybe" }), 400, "decision").await;
    check(json!({}), 400, "decision").await;
    check(json!({ "decision": "allow", "reach": "forever" }), 400, "reach").await;
    check(json!({ "decision": "allow", "nothing": 1 }), 400, "nothing").await;
    check(json!({ "decision": "deny", "note": "x".repeat(5_000) }), 400, "note").await;
    assert_eq!(lab.show(&id).await["state"], "waiting");
    assert!(!lab.project().join("bound.txt").exists());
    lab.ok("POST", &path, json!({ "decision": "allow", "digest": approval["digest"] })).await;
    lab.wait_for_state(&id, "idle").await;

    let ids = ["6c0494f2", "nonsense", "6c0494f2-0", &format!("{id}-99")].map(str::to_owned);
    for (wrong, status) in ids.iter().zip([400, 400, 404, 404]) {
        let (got, refusal) = lab.ask("GET", &format!("/approvals/{wrong}"), Value::Null).await;
        assert_eq!(got, status, "{wrong}: {refusal}");
    }
}

#[tokio::test]
async fn a_question_of_the_model_is_answered_with_its_options() {
    let lab = Lab::start().await;
    let (id, approval) = asking(&lab, "ASK: Which colour? :: red | blue").await;
    assert_eq!(approval["wants"], "answers");
    let shown = lab.cli(["approvals", "show", &id]);
    assert!(shown.contains("Which colour?") && shown.contains("2. blue"), "{shown}");
    let refused = lab.run(["approvals", "allow", &id]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let refused = lab.run(["approvals", "answer", &id, "3"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no option 3"), "{refused:?}");
    lab.cli(["approvals", "answer", &id, "2"]);
    lab.wait_for_state(&id, "idle").await;
    lab.wait_for_text(&id, "blue").await;
    assert_eq!(state(&lab, &approval).await.0, "answered");
}

#[tokio::test]
async fn a_question_outlives_the_daemon_and_is_answered_by_the_next_one() {
    let lab = Lab::start().await;
    let (id, approval) = asking(&lab, "RUN: touch later.txt").await;
    lab.kill_daemon();
    lab.start_daemon();
    assert_eq!(state(&lab, &approval).await.0, "open");
    lab.cli(["approvals", "allow", id_of(&approval)]);
    lab.wait_for_state(&id, "idle").await;
    assert!(lab.project().join("later.txt").exists());
    assert_eq!(state(&lab, &approval).await.0, "allowed");
}

#[tokio::test]
async fn what_nobody_answers_in_time_expires_and_the_setting_says_how() {
    let lab = Lab::start().await;
    lab.cli(["settings", "set", "approvalSeconds", "1"]);
    let (id, approval) = asking(&lab, "RUN: touch expired.txt").await;
    lab.wait_for_event(&id, 0, |event| event["type"] == "approval-closed").await;
    assert_eq!(state(&lab, &approval).await, ("expired".into(), "time".into()));
    // The agent's own question still stands, and is answered there.
    assert_eq!(lab.show(&id).await["state"], "waiting");
    lab.keys(&id, &["1"]).await;
    lab.wait_for_state(&id, "idle").await;
    assert!(lab.project().join("expired.txt").exists());

    lab.cli(["settings", "set", "approvalOnExpiry", "deny"]);
    lab.send(&id, "RUN: touch refused.txt").await;
    lab.wait_for_text(&id, "nobody answered").await;
    lab.wait_for_state(&id, "idle").await;
    assert!(!lab.project().join("refused.txt").exists());
}

#[tokio::test]
async fn an_interrupt_and_an_end_withdraw_what_waits() {
    let lab = Lab::start().await;
    let (id, approval) = asking(&lab, "RUN: touch never.txt").await;
    lab.keys(&id, &["escape"]).await;
    lab.wait_for_event(&id, 0, |event| event["type"] == "approval-closed").await;
    assert_ne!(state(&lab, &approval).await.0, "open");
    lab.wait_for_state(&id, "idle").await;

    let (id, approval) = asking(&lab, "RUN: touch never.txt").await;
    lab.ok("POST", &format!("/sessions/{id}/kill"), Value::Null).await;
    assert_eq!(state(&lab, &approval).await, ("withdrawn".into(), "the agent ended".into()));
    let (status, _) = lab
        .ask("POST", &format!("/approvals/{}/answer", id_of(&approval)), json!({ "decision": "allow" }))
        .await;
    assert_eq!(status, 409);
    assert!(!lab.project().join("never.txt").exists());
}

#[tokio::test]
async fn a_hook_waits_only_with_its_own_secret() {
    let lab = Lab::start().await;
    let (id, approval) = asking(&lab, "RUN: touch secret.txt").await;
    let number = id_of(&approval).split_once('-').unwrap().1;
    let (status, refusal) =
        lab.ask("GET", &format!("/sessions/{id}/hooks/waits/{number}"), Value::Null).await;
    assert_eq!(status, 403, "{refusal}");
    assert_eq!(state(&lab, &approval).await.0, "open");
}

#[tokio::test]
async fn a_session_cannot_answer_its_own_question_nor_anything_else() {
    let lab = Lab::start().await;
    let (_, approval) = asking(&lab, "RUN: touch own.txt").await;
    let helper =
        lab.session(json!({ "provider": "demo", "cwd": lab.project(), "dangerousMode": true })).await;
    lab.wait_for_state(&helper, "idle").await;
    let (program, socket) = (codepiper().display(), lab.path("s"));
    let socket = socket.display();
    let attempts = [
        format!("{program} -s {socket} approvals allow {}", id_of(&approval)),
        format!("{program} -s {socket} settings set approvalSeconds 1"),
        // Without its environment, without its parents.
        format!("env -i {program} -s {socket} approvals allow {}", id_of(&approval)),
        format!("setsid sh -c 'env -i {program} -s {socket} stop {helper}'"),
        format!("(setsid sh -c '{program} -s {socket} approvals' &) ; sleep 0.3"),
    ];
    for (n, attempt) in attempts.iter().enumerate() {
        let said = lab.project().join(format!("said{n}"));
        lab.turn(&helper, &format!("RUN: ({attempt}) > {} 2>&1", said.display())).await;
        let said = std::fs::read_to_string(said).unwrap();
        assert!(said.contains("sessions may only report"), "{attempt}: {said}");
    }
    assert_eq!(state(&lab, &approval).await.0, "open");
    assert!(!lab.project().join("own.txt").exists());
}

#[tokio::test]
async fn every_decision_and_answer_is_on_record_and_the_record_holds() {
    let lab = Lab::start().await;
    let (id, approval) = asking(&lab, "RUN: echo sk-ant-abcdefghijklmnopqrstuvwx > key.txt").await;
    lab.cli(["approvals", "deny", &id, "--note", "no keys"]);
    lab.wait_for_state(&id, "idle").await;

    let page = lab.ok("GET", &format!("/audit?session={id}"), Value::Null).await;
    let entries = page["entries"].as_array().unwrap();
    let told: Vec<(&str, &str)> = entries
        .iter()
        .map(|entry| (entry["kind"].as_str().unwrap(), entry["decision"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("decision", "none"), ("decision", "none"), ("answer", "denied")], "{page}");
    assert_eq!(entries[1]["body"]["gate"], "question");
    assert_eq!(entries[2]["body"]["note"], "no keys");
    assert_eq!(entries[2]["body"]["approval"], approval["id"]);
    assert!(entries[2]["body"]["waitedMs"].as_i64().is_some_and(|waited| waited >= 0), "{page}");
    let shown = format!("{page} {}", lab.cli(["audit", &id]));
    assert!(!shown.contains("sk-ant-abc") && shown.contains("****"), "{shown}");

    assert!(lab.cli(["audit", "verify"]).contains("3 entries hold"));
    assert_eq!(lab.cli(["audit", &id, "--format", "csv"]).lines().count(), 4);
    let decisions = lab.ok("GET", &format!("/policy-decisions?sessionId={id}"), Value::Null).await;
    assert_eq!(decisions["decisions"][0]["decision"], "ask", "{decisions}");

    // Kept when the session goes.
    lab.ok("POST", &format!("/sessions/{id}/kill"), Value::Null).await;
    lab.ok("DELETE", &format!("/sessions/{id}"), Value::Null).await;
    assert_eq!(lab.cli(["audit", &id, "--decision", "denied"]).lines().count(), 1);
    let (status, _) = lab.ask("GET", "/audit?session=nobody", Value::Null).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn an_entry_that_was_changed_is_found() {
    let lab = Lab::start().await;
    let (id, _) = asking(&lab, "RUN: touch x").await;
    lab.cli(["approvals", "deny", &id]);
    lab.wait_for_state(&id, "idle").await;
    lab.kill_daemon();
    let database = codepiper_store::Connection::open(lab.path("home/codepiper.db")).unwrap();
    let spoil = "DROP TRIGGER audit_is_not_edited; UPDATE audit SET decision = 'allow' WHERE seq = 2";
    database.execute_batch(spoil).unwrap();
    drop(database);
    lab.start_daemon();
    let found = lab.run(["audit", "verify"]);
    let said = String::from_utf8_lossy(&found.stderr).into_owned();
    assert_eq!(found.status.code(), Some(5), "{said}");
    assert!(said.contains("does not hold from entry 2 on"), "{said}");
}

async fn answer(lab: &Lab, approval: &Value, body: Value) {
    lab.ok("POST", &format!("/approvals/{}/answer", id_of(approval)), body).await;
}

#[tokio::test]
async fn an_answer_for_good_is_a_rule_for_exactly_that_call() {
    let lab = Lab::start().await;
    let (id, approval) = asking(&lab, "RUN: touch a*.txt").await;
    assert_eq!(approval["alwaysRule"]["args"]["command"], r"touch a\*.txt");
    let refused = lab.run(["approvals", "allow", &id, "--always"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("would write a rule"), "{refused:?}");
    lab.cli(["approvals", "allow", &id, "--always", "--yes"]);
    lab.wait_for_state(&id, "idle").await;

    // Nobody is asked for the same again, in another session neither; for anything else as before.
    lab.turn(&id, "RUN: touch a*.txt").await;
    let other = lab.demo().await;
    lab.wait_for_state(&other, "idle").await;
    lab.turn(&other, "RUN: touch a*.txt").await;
    lab.send(&other, "RUN: touch ab.txt").await;
    let opened = lab.wait_for_event(&other, 0, |event| event["type"] == "approval-opened").await;
    assert_eq!(opened["payload"]["shown"], json!(["touch ab.txt"]));
    let opened = |events: Vec<Value>| events.iter().filter(|e| e["type"] == "approval-opened").count();
    assert_eq!((opened(lab.events(&id).await), opened(lab.events(&other).await)), (1, 1));
}

#[tokio::test]
async fn an_answer_for_the_session_is_for_no_other() {
    let lab = Lab::start().await;
    let (id, approval) = asking(&lab, "RUN: touch own.txt").await;
    answer(&lab, &approval, json!({ "decision": "allow", "reach": "session" })).await;
    lab.wait_for_state(&id, "idle").await;
    lab.turn(&id, "RUN: touch own.txt").await;
    asking(&lab, "RUN: touch own.txt").await;
}

#[tokio::test]
async fn what_is_denied_stays_denied_when_the_daemon_is_gone() {
    let lab = Lab::start().await;
    let (id, approval) = asking(&lab, "RUN: touch gone.txt").await;
    answer(&lab, &approval, json!({ "decision": "deny", "reach": "session" })).await;
    lab.wait_for_state(&id, "idle").await;
    lab.kill_daemon();
    let pane = format!("=codepiper-{id}:");
    let shows = |text: &str| lab.screen(&id).contains(text);
    let patience = std::time::Instant::now();
    lab.tmux(["send-keys", "-t", &pane, "-l", "RUN: touch gone.txt"]);
    lab.tmux(["send-keys", "-t", &pane, "Enter"]);
    while !shows("Denied") && !shows("CodePiper: decided by") {
        assert!(patience.elapsed().as_secs() < 30, "no refusal:\n{}", lab.screen(&id));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await; // a screen, and no daemon to tell of it
    }
    assert!(!lab.project().join("gone.txt").exists());
    // What no rule says anything about is asked as ever, by the agent itself.
    lab.tmux(["send-keys", "-t", &pane, "-l", "RUN: touch asked.txt"]);
    lab.tmux(["send-keys", "-t", &pane, "Enter"]);
    while !shows("1. Yes") {
        assert!(patience.elapsed().as_secs() < 30, "no question:\n{}", lab.screen(&id));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await; // as above
    }
    lab.start_daemon();
    lab.wait_for_event(&id, 0, |event| event["payload"]["codepiperStandIn"]["verdict"]["says"] == "deny")
        .await;
    let page = lab.ok("GET", &format!("/audit?session={id}&decision=deny"), Value::Null).await;
    let by = &page["entries"].as_array().unwrap().last().unwrap()["body"]["by"];
    assert_eq!(by["snapshot"]["policy"], format!("{id}-approved-0"), "{page}");
}

#[tokio::test]
async fn our_own_files_are_not_for_agents() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    lab.wait_for_state(&id, "idle").await;
    let rules = lab.path(&format!("home/sessions/{id}/rules.json"));
    let before = std::fs::read(&rules).unwrap();
    for prompt in [
        format!("WRITE: {} :: none", rules.display()),
        format!("RUN: echo none > {}", rules.display()),
        "READ: ../home/codepiper.db".to_owned(),
    ] {
        lab.turn(&id, &prompt).await;
        lab.wait_for_text(&id, "are not for agents").await;
    }
    assert_eq!(std::fs::read(&rules).unwrap(), before);
}
