//! The fault run: the daemon is killed again and again while agents work. What was acknowledged is there
//! once, and every session lives.

use codepiper_tests::lab::Lab;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const KILLS: usize = 200;
const SESSIONS: usize = 10;

/// Each kill comes at another moment after the start: from before the daemon is ready for its first client to
/// well into its work.
fn pause(round: usize) -> Duration {
    let spread = round.wrapping_mul(2_654_435_761) % 97; // scattered, and the same in every run
    Duration::from_millis(spread as u64)
}

#[tokio::test]
async fn after_200_kills_every_acknowledged_event_is_there_once_and_all_sessions_live() {
    let lab = Lab::start().await;
    let work: String = (0..60).map(|n| format!("STREAM: 4 25\nRUN: echo {n}\n")).collect();
    let mut ids = Vec::new();
    for _ in 0..SESSIONS {
        let id =
            lab.session(json!({ "provider": "demo", "cwd": lab.project(), "dangerousMode": true })).await;
        lab.send(&id, work.trim()).await;
        ids.push(id);
    }
    let mut acknowledged: Vec<(String, String)> = Vec::new();
    for round in 0..KILLS {
        let id = &ids[round % SESSIONS];
        let name = format!("round-{round}");
        let body = json!({ "name": name }).to_string().into_bytes();
        let path = format!("/sessions/{id}/name");
        let rename = lab.try_ask("PUT", &path, body);
        let killed = async {
            tokio::time::sleep(pause(round)).await;
            lab.kill_daemon();
        };
        let (answer, ()) = tokio::join!(rename, killed);
        if matches!(answer, Ok((200, _))) {
            acknowledged.push((id.clone(), name));
        }
        lab.start_daemon();
    }
    assert!(acknowledged.len() > KILLS / 10, "only {} calls were acknowledged", acknowledged.len());
    for id in &ids {
        lab.wait_for_state(id, "idle").await;
        lab.turn(id, "SAY: I live").await;
    }
    let mut seen_acknowledged = 0;
    for id in &ids {
        let events = lab.events(id).await;
        let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
        for event in &events {
            let kind = event["type"].as_str().unwrap();
            let key = match kind {
                "PreToolUse" | "PostToolUse" => event["payload"]["tool_use_id"].as_str().unwrap(),
                "UserPromptSubmit" | "Stop" => event["payload"]["prompt_id"].as_str().unwrap(),
                "renamed" => event["payload"]["to"].as_str().unwrap(),
                _ => continue,
            };
            *counts.entry((kind.to_owned(), key.to_owned())).or_default() += 1;
        }
        let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
        assert!(doubled.is_empty(), "counted more than once: {doubled:?}");
        for (_, name) in acknowledged.iter().filter(|(of, _)| of == id) {
            assert!(
                counts.contains_key(&("renamed".into(), name.clone())),
                "{name} was acknowledged and is lost"
            );
            seen_acknowledged += 1;
        }
        // The agent's own record of what it did, against ours.
        let path = lab.show(id).await["transcriptPath"].as_str().unwrap().to_owned();
        let transcript = std::fs::read_to_string(path).unwrap();
        let calls: Vec<String> = transcript
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter_map(|line| line["message"]["content"].as_array().cloned())
            .flatten()
            .filter(|block| block["type"] == "tool_use")
            .map(|block| block["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(calls.len(), 60);
        for call in calls {
            for kind in ["PreToolUse", "PostToolUse"] {
                assert!(counts.contains_key(&(kind.into(), call.clone())), "{kind} of {call} is lost");
            }
        }
    }
    assert_eq!(seen_acknowledged, acknowledged.len());
}
