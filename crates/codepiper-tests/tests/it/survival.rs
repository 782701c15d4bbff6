//! What happens when the daemon, tmux or the machine goes away.

use codepiper_tests::lab::Lab;
use serde_json::{Value, json};

/// What the agent said in the conversation, by its transcript.
async fn said(lab: &Lab, id: &str) -> Vec<String> {
    let path = lab.show(id).await["transcriptPath"].as_str().expect("a transcript").to_owned();
    let lines = std::fs::read_to_string(path).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["type"] == "assistant")
        .filter_map(|line| line["message"]["content"][0]["text"].as_str().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn after_a_kill_in_mid_turn_the_daemon_finds_the_session_and_what_it_did_meanwhile() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    lab.send(&id, "STREAM: 20 20\nSAY: done").await;
    let pid = lab.show(&id).await["pid"].clone();
    lab.kill_daemon();
    // The turn ends while nobody listens; its hook waits in the spool.
    let spool = lab.path(&format!("home/sessions/{id}/spool"));
    let patience = std::time::Instant::now();
    while std::fs::read_dir(&spool).unwrap().count() == 0 {
        assert!(patience.elapsed().as_secs() < 30, "no event was spooled");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await; // another process's file
    }
    lab.start_daemon();
    let found = lab.wait_for_state(&id, "idle").await;
    assert_eq!(found["pid"], pid);
    let kinds: Vec<String> =
        lab.events(&id).await.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "Stop").count(), 1, "{kinds:?}");
    lab.turn(&id, "SAY: still here").await;
    lab.wait_for_text(&id, "still here").await;
}

#[tokio::test]
async fn an_end_while_the_daemon_was_down_is_told_at_its_start() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    lab.send(&id, "SLEEP: 300\nCRASH: 9").await;
    lab.kill_daemon();
    let run_file = lab.path(&format!("home/sessions/{id}/run.json"));
    let patience = std::time::Instant::now();
    while !std::fs::read_to_string(&run_file).unwrap_or_default().contains("exit") {
        assert!(patience.elapsed().as_secs() < 30, "the agent did not end");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await; // another process's file
    }
    lab.start_daemon();
    let ended = lab.wait_for_state(&id, "crashed").await;
    assert_eq!(ended["exit"], json!({ "code": 9 }));
}

#[tokio::test]
async fn when_tmux_dies_sessions_come_back_with_their_conversation() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    lab.turn(&id, "SAY: before the crash").await;
    let before = lab.show(&id).await;
    let after = lab.last_event().await;
    assert!(lab.tmux(["kill-server"]).status.success());
    lab.wait_for_event(&id, after, |event| event["type"] == "launched").await;
    lab.wait_for_state(&id, "idle").await;
    let shown = lab.show(&id).await;
    assert_eq!(shown["providerSessionId"], before["providerSessionId"]);
    lab.turn(&id, "SAY: after the crash").await;
    assert_eq!(said(&lab, &id).await, ["before the crash", "after the crash"]);
}

#[tokio::test]
async fn after_a_reboot_sessions_come_back() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    lab.turn(&id, "SAY: before the reboot").await;
    lab.kill_daemon();
    // What a reboot leaves: files, and no process.
    let run: Value =
        serde_json::from_slice(&std::fs::read(lab.path(&format!("home/sessions/{id}/run.json"))).unwrap())
            .unwrap();
    for who in ["supervisor", "agent"] {
        let pid = rustix::process::Pid::from_raw(run[who]["pid"].as_i64().unwrap() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    assert!(lab.tmux(["kill-server"]).status.success());
    lab.start_daemon();
    lab.wait_for_state(&id, "idle").await;
    lab.turn(&id, "SAY: after the reboot").await;
    assert_eq!(said(&lab, &id).await, ["before the reboot", "after the reboot"]);
}

#[tokio::test]
async fn a_session_that_a_person_ends_in_tmux_stays_ended() {
    let lab = Lab::start().await;
    let keeper = lab.demo().await;
    let id = lab.demo().await;
    lab.wait_for_state(&id, "idle").await;
    assert!(lab.tmux(["kill-session", "-t", &format!("=codepiper-{id}")]).status.success());
    lab.wait_for_state(&id, "stopped").await;
    assert_eq!(lab.show(&keeper).await["state"], "idle");
}

#[tokio::test]
async fn a_killed_supervisor_is_a_crash_and_leaves_no_process() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    lab.wait_for_state(&id, "idle").await;
    let run: Value =
        serde_json::from_slice(&std::fs::read(lab.path(&format!("home/sessions/{id}/run.json"))).unwrap())
            .unwrap();
    let pid = |who: &str| rustix::process::Pid::from_raw(run[who]["pid"].as_i64().unwrap() as i32).unwrap();
    rustix::process::kill_process(pid("supervisor"), rustix::process::Signal::KILL).unwrap();
    lab.wait_for_state(&id, "crashed").await;
    let patience = std::time::Instant::now();
    loop {
        let stat = format!("/proc/{}/stat", pid("agent").as_raw_pid());
        let stat = std::fs::read_to_string(stat).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            break;
        }
        assert!(patience.elapsed().as_secs() < 10, "the agent lives on: {stat}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await; // it was told, and is ending
    }
}

#[tokio::test]
async fn sessions_of_others_are_left_alone() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    lab.wait_for_state(&id, "idle").await;
    assert!(lab.tmux(["new-session", "-d", "-s", "codepiper-ffffffff", "sleep 600"]).status.success());
    lab.kill_daemon();
    lab.start_daemon();
    let listed = String::from_utf8(lab.tmux(["ls"]).stdout).unwrap();
    assert!(listed.contains("codepiper-ffffffff"), "{listed}");
    let health = lab.ok("GET", "/health", Value::Null).await;
    assert_eq!((&health["zombieSessionCount"], &health["liveSessions"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_a_stop_takes_its_socket_along() {
    let lab = Lab::start().await;
    let second = lab.run(["daemon"]);
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("already running"), "{second:?}");
    lab.stop_daemon();
    assert!(!lab.path("s").exists());
}
