//! The life of a session: started, typed into, watched, ended, brought back.

use codepiper_tests::lab::Lab;
use serde_json::{Value, json};

#[tokio::test]
async fn a_prompt_is_acknowledged_by_the_agents_own_hook_and_the_state_follows_the_turn() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    let sent = lab.send(&id, "STREAM: 5 10").await;
    assert_eq!(sent["acknowledgedBy"], "hook");
    lab.wait_for_state(&id, "idle").await;
    let states: Vec<String> = lab
        .events(&id)
        .await
        .iter()
        .filter(|event| event["type"] == "state")
        .map(|event| event["payload"]["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states, ["idle", "running", "idle"]);
}

#[tokio::test]
async fn text_arrives_as_it_is() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    let big = "0123456789abcde\n".repeat(65_536);
    for text in
        ["-n --flag; 'q' \"d\" $HOME `x` \\ é漢 👩‍👩‍👧 #{pane_id}", "one\n  two\n\nthree;", big.trim_end()]
    {
        let after = lab.last_event().await;
        lab.send(&id, text).await;
        let taken = lab.wait_for_event(&id, after, |event| event["type"] == "UserPromptSubmit").await;
        let got = taken["payload"]["prompt"].as_str().unwrap();
        lab.wait_for_state(&id, "idle").await;
        match text.len() {
            0..1_000 => assert_eq!(got, text),
            // The log keeps the beginning and the length; the transcript has the whole.
            _ => {
                assert!(
                    got.contains(&format!("({} bytes in all)", text.len())),
                    "{}",
                    &got[got.len() - 60..]
                );
                let path = lab.show(&id).await["transcriptPath"].as_str().unwrap().to_owned();
                let lines = std::fs::read_to_string(path).unwrap();
                let whole = lines.lines().any(|line| {
                    let line: Value = serde_json::from_str(line).unwrap();
                    line["message"]["content"] == text
                });
                assert!(whole, "the text is not whole in the transcript");
            }
        }
    }
}

#[tokio::test]
async fn a_prompt_in_mid_turn_is_queued_and_acknowledged_by_the_transcript() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    lab.turn(&id, "SAY: first").await;
    lab.send(&id, "STREAM: 60 30").await;
    let sent = lab.send(&id, "SAY: second").await;
    assert_eq!(sent["acknowledgedBy"], "transcript");
    lab.wait_for_text(&id, "second").await;
}

#[tokio::test]
async fn a_live_session_is_removed_by_force() {
    let lab = Lab::start().await;
    let ids = [lab.demo().await, lab.demo().await, lab.demo().await];
    lab.wait_for_state(&ids[0], "idle").await;
    for id in &ids {
        lab.ok("DELETE", &format!("/sessions/{id}?force=true"), Value::Null).await;
    }
    assert_eq!(lab.ok("GET", "/sessions", Value::Null).await["sessions"], json!([]));
}

#[tokio::test]
async fn a_bad_field_is_named() {
    let lab = Lab::start().await;
    let (status, refusal) = lab
        .ask("POST", "/sessions", json!({ "provider": "demo", "cwd": "/", "worktree": { "branch": 1 } }))
        .await;
    assert_eq!((status, &refusal["field"]), (400, &json!("worktree.branch")), "{refusal}");
}

#[tokio::test]
async fn a_question_is_shown_with_the_way_to_answer_it_and_text_does_not_answer_it_by_accident() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    lab.send(&id, "RUN: touch made").await;
    let asked = lab.wait_for_state(&id, "waiting").await;
    assert_eq!(asked["status"], "NEEDS_PERMISSION");
    let (status, refusal) =
        lab.ask("POST", &format!("/sessions/{id}/send"), json!({ "text": "1", "newline": true })).await;
    assert_eq!(status, 409);
    assert!(refusal["hint"].as_str().unwrap().contains(&id), "{refusal}");
    assert!(!lab.project().join("made").exists());
    lab.keys(&id, &["1"]).await;
    lab.wait_for_state(&id, "idle").await;
    assert!(lab.project().join("made").exists());
}

#[tokio::test]
async fn stop_keeps_the_last_screen_ends_the_whole_tree_and_resume_goes_on_with_the_conversation() {
    let lab = Lab::start().await;
    let body = json!({ "provider": "demo", "cwd": lab.project(), "dangerousMode": true });
    let id = lab.session(body).await;
    lab.turn(&id, "SAY: remember me\nSPAWN: sleep 987").await;
    let spawned = || std::process::Command::new("pgrep").args(["-f", "^sleep 987$"]).output().unwrap().stdout;
    assert!(!spawned().is_empty(), "nothing was spawned");
    let before = lab.show(&id).await;
    lab.ok("POST", &format!("/sessions/{id}/stop"), Value::Null).await;
    let stopped = lab.show(&id).await;
    assert_eq!((&stopped["status"], &stopped["exit"]["code"]), (&json!("STOPPED"), &json!(0)));
    assert!(stopped["pid"].is_null());
    let text = lab.ok("GET", &format!("/sessions/{id}/output/text?lines=40"), Value::Null).await;
    assert!(text.as_str().unwrap().contains("remember me"), "{text}");
    assert!(spawned().is_empty(), "a process was left behind");

    lab.ok("POST", &format!("/sessions/{id}/resume"), Value::Null).await;
    let resumed = lab.wait_for_state(&id, "idle").await;
    assert_eq!(resumed["providerSessionId"], before["providerSessionId"]);
    lab.turn(&id, "SAY: I do").await;
    lab.wait_for_text(&id, "I do").await;
}

#[tokio::test]
async fn an_end_by_itself_is_told_with_its_code_or_signal() {
    let lab = Lab::start().await;
    for (prompt, state, exit) in [
        ("CRASH: 7", "crashed", json!({ "code": 7 })),
        ("SEGV:", "crashed", json!({ "signal": 11 })),
        ("CRASH: 0", "stopped", json!({ "code": 0 })),
    ] {
        let id = lab.demo().await;
        lab.send(&id, prompt).await;
        let ended = lab.wait_for_state(&id, state).await;
        assert_eq!(ended["exit"], exit, "after {prompt}");
    }
}

#[tokio::test]
async fn a_start_that_fails_leaves_nothing_but_its_reason() {
    let lab = Lab::start().await;
    let refused = async |body: Value, status: u16, says: &str| {
        let (got, refusal) = lab.ask("POST", "/sessions", body).await;
        assert!(got == status && refusal.to_string().contains(says), "{got} {refusal}");
    };
    let project = lab.project();
    refused(json!({ "provider": "nope", "cwd": project }), 400, "known are claude-code").await;
    refused(json!({ "provider": "demo", "cwd": "relative" }), 400, "absolute").await;
    refused(json!({ "provider": "demo", "cwd": "/nowhere/at/all" }), 400, "does not exist").await;
    refused(json!({ "provider": "demo", "cwd": project, "env": { "BAD-NAME": "x" } }), 400, "BAD-NAME").await;
    refused(
        json!({ "provider": "aider", "cwd": project, "env": { "PATH": "/nowhere" } }),
        422,
        "pipx install",
    )
    .await;
    let listed = lab.ok("GET", "/sessions", Value::Null).await;
    assert_eq!(listed["sessions"], json!([]));
    let folders = std::fs::read_dir(lab.path("home/sessions")).map_or(0, Iterator::count);
    assert_eq!(folders, 0);
    assert!(!String::from_utf8_lossy(&lab.tmux(["ls"]).stdout).contains("codepiper-"));
}

#[tokio::test]
async fn an_agent_that_ends_at_once_is_a_crash_with_its_last_line() {
    let lab = Lab::start().await;
    let body = json!({ "provider": "demo", "cwd": lab.project(), "args": ["--what"] });
    let id = lab.session(body).await;
    let ended = lab.wait_for_state(&id, "crashed").await;
    assert_eq!(ended["exit"], json!({ "code": 2 }));
    let text = lab.ok("GET", &format!("/sessions/{id}/output/text"), Value::Null).await;
    assert!(text.as_str().unwrap().contains("--what"), "{text}");
}

#[tokio::test]
async fn nothing_secret_is_in_arguments_or_in_tmux() {
    let lab = Lab::start().await;
    let body = json!({
        "provider": "demo", "cwd": lab.project(), "env": { "MY_TOKEN": "tell-nobody-4711" },
    });
    let id = lab.session(body).await;
    lab.wait_for_state(&id, "idle").await;
    let pid = lab.show(&id).await["pid"].as_u64().unwrap();
    let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    assert!(
        String::from_utf8_lossy(&environ).contains("MY_TOKEN=tell-nobody-4711"),
        "the agent has no token"
    );
    let mut seen = String::new();
    for arguments in [
        vec!["show-environment", "-g"],
        vec!["show-environment", "-t", "=codepiper-x"],
        vec!["list-panes", "-a", "-F", "#{pane_start_command} #{pane_current_command}"],
    ] {
        seen.push_str(&String::from_utf8_lossy(&lab.tmux(arguments).stdout));
    }
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        seen.push_str(&String::from_utf8_lossy(
            &std::fs::read(entry.path().join("cmdline")).unwrap_or_default(),
        ));
    }
    assert!(!seen.contains("tell-nobody"), "the token was seen");
    let events = json!(lab.events(&id).await).to_string();
    assert!(!events.contains("tell-nobody") && !lab.log().contains("tell-nobody"));
}

#[tokio::test]
async fn a_model_is_switched_and_the_agent_itself_says_which_is_in_force() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    lab.wait_for_state(&id, "idle").await;
    for model in ["demo-2", "demo-3"] {
        let answer = lab.ok("PUT", &format!("/sessions/{id}/model"), json!({ "model": model })).await;
        assert_eq!(answer["model"], model);
        assert_eq!(lab.show(&id).await["metadata"]["statusLine"]["model"]["id"], model);
    }
    let told = lab.events(&id).await;
    let told: Vec<&str> = told
        .iter()
        .filter(|event| event["source"] == "statusline")
        .map(|event| event["payload"]["model"]["id"].as_str().unwrap())
        .collect();
    // The first one too where its status line came before its first hook; and none twice.
    assert!(told == ["demo-2", "demo-3"] || told == ["demo-1", "demo-2", "demo-3"], "{told:?}");
}

#[tokio::test]
async fn who_looks_sees_the_screen_and_of_a_flood_only_pictures() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    lab.turn(&id, "SAY: before").await;
    let query = "view=true&follow=true";
    let begin = String::from_utf8(lab.output_until(&id, query, "before").await).unwrap();
    assert!(begin.starts_with("\u{1b}c"), "it begins with an empty terminal: {begin:?}");

    let (view, ()) = tokio::join!(lab.output_until(&id, query, "the flood is over"), async {
        lab.turn(&id, "FLOOD: 30m").await;
        lab.turn(&id, "SAY: the flood is over").await;
    });
    let every_byte = lab.output_until(&id, "follow=true", "the flood is over").await;
    assert!(every_byte.len() > 15_000_000 && view.len() < 5_000_000, "{} {}", every_byte.len(), view.len());
    let pictures = view.windows(2).filter(|pair| pair == b"\x1bc").count();
    assert!(pictures >= 2, "{pictures}");

    let (status, refusal) =
        lab.ask("GET", &format!("/sessions/{id}/output/stream?view=true&from=3"), Value::Null).await;
    assert_eq!((status, refusal["field"].as_str()), (400, Some("view")), "{refusal}");
}
