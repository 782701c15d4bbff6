//! The real Claude Code, owned by the daemon: what it does, what it was sent and what we say of it.

use codepiper_tests::agents::{AgentHome, claude_home};
use codepiper_tests::lab::Lab;
use codepiper_tests::model_stub::{Asked, ModelStub, NO_SUCH_MODEL, Progress, Request};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

#[tokio::test]
async fn a_tool_call_is_asked_for_answered_by_a_key_and_really_changes_the_file() {
    let bench = Bench::new().await;
    let id = bench.start(json!({})).await;
    let made = bench.file("made.txt");
    let sent = bench.lab.send(&id, &format!("WRITE: {} :: one\nSAY: written", made.display())).await;
    assert_eq!(sent["acknowledgedBy"], "hook");
    let asked = bench.asked(&id).await;
    assert_eq!(asked["status"], "NEEDS_PERMISSION");
    assert_eq!(asked["question"]["question"], format!("Write {}", made.display()));
    assert!(asked["question"]["how"].as_str().unwrap().contains(&id), "{asked}");
    assert!(!made.exists());
    bench.lab.keys(&id, &["1"]).await;
    bench.lab.wait_for_state(&id, "idle").await;
    assert_eq!(std::fs::read_to_string(&made).unwrap().trim_end(), "one");
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn in_dangerous_mode_nothing_is_asked() {
    let bench = Bench::new().await;
    let id = bench.dangerous().await;
    bench.lab.turn(&id, "RUN: echo by itself > made.txt").await;
    assert_eq!(std::fs::read_to_string(bench.file("made.txt")).unwrap(), "by itself\n");
    let events = bench.lab.events(&id).await;
    assert!(!events.iter().any(|event| event["payload"]["state"] == "waiting"), "{events:?}");
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn every_prompt_arrives_as_it_is() {
    let bench = Bench::new().await;
    let id = bench.start(json!({})).await;
    let big = "0123456789abcde\n".repeat(12_800);
    for prompt in [
        "first line\n  second; line\n\n\"fourth\" `é漢` 👩‍👩‍👧 $HOME",
        "ends in a backslash \\",
        "who is @x",
        "look at @claude.r",
        "-n --begins with a dash",
        "?",
        "#not a memory",
        &big,
    ] {
        let before = bench.prompts().len();
        let sent = bench.lab.send(&id, prompt).await;
        assert_eq!(sent["acknowledgedBy"], "hook", "for {:.40}", prompt);
        bench.lab.wait_for_state(&id, "idle").await;
        let got = bench.prompts();
        assert_eq!(got[before..].len(), 1, "for {prompt:.40}");
        assert!(got[before] == prompt.trim(), "sent {prompt:.80}, got {:.200}", got[before]);
    }
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn a_prompt_sent_while_it_works_is_queued_and_known_to_be() {
    let bench = Bench::new().await;
    let id = bench.start(json!({})).await;
    bench.lab.send(&id, "STREAM: 60 50").await;
    bench.lab.wait_for_state(&id, "running").await;
    let sent = bench.lab.send(&id, "SAY: this was queued").await;
    assert_eq!(sent["acknowledgedBy"], "transcript");
    bench.stub.wait_for(|request| said(request) == Some("SAY: this was queued")).await;
    bench.lab.wait_for_state(&id, "idle").await;
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn after_an_interrupt_the_next_prompt_stands_alone() {
    let bench = Bench::new().await;
    let id = bench.start(json!({})).await;
    // Before the first word the interrupted prompt is put back into the input line; in mid-stream it is not.
    for (nth, first) in ["SLOW one\nSTREAM: 2 10000", "STREAM: 200 100"].into_iter().enumerate() {
        let after = bench.lab.last_event().await;
        bench.lab.send(&id, first).await;
        bench.stub.wait_for_served(|served| served.scripted && served.progress == Progress::Going).await;
        if nth == 1 {
            bench.shows(&id, "word3").await;
        }
        if nth == 0 {
            bench.lab.ok("POST", &format!("/sessions/{id}/interrupt"), Value::Null).await;
        } else {
            bench.lab.keys(&id, &["escape"]).await;
        }
        bench.is_interrupted(&id, after).await;
        let next = format!("SAY: alone {nth}");
        let sent = bench.lab.send(&id, &next).await;
        assert_eq!(sent["acknowledgedBy"], "hook");
        bench.lab.wait_for_state(&id, "idle").await;
        assert_eq!(bench.prompts().last(), Some(&next));
    }
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn a_prompt_never_answers_a_question_and_a_persons_no_ends_the_turn() {
    let bench = Bench::new().await;
    let id = bench.start(json!({})).await;
    bench.lab.send(&id, "RUN: touch made.txt").await;
    bench.asked(&id).await;
    let body = json!({ "text": "1", "newline": true });
    let (status, refusal) = bench.lab.ask("POST", &format!("/sessions/{id}/send"), body).await;
    assert_eq!(status, 409, "{refusal}");
    assert!(refusal["error"].as_str().unwrap().contains("touch made.txt"), "{refusal}");
    assert_eq!(bench.lab.show(&id).await["state"], "waiting");
    let after = bench.lab.last_event().await;
    bench.lab.keys(&id, &["escape"]).await;
    bench.is_interrupted(&id, after).await;
    assert!(!bench.file("made.txt").exists());
    bench.lab.turn(&id, "SAY: on we go").await;
    assert_eq!(bench.prompts().last().map(String::as_str), Some("SAY: on we go"));
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn after_clear_and_compact_we_know_which_conversation_it_is() {
    let bench = Bench::new().await;
    let id = bench.start(json!({})).await;
    bench.lab.turn(&id, "SAY: quince jelly").await;
    bench.lab.turn(&id, "SAY: enough to be compacted").await;
    let first = bench.conversation(&id).await;
    let after = bench.lab.last_event().await;
    bench.slash(&id, "compact").await;
    bench.lab.wait_for_event(&id, after, |event| event["type"] == "PostCompact").await;
    bench.lab.wait_for_state(&id, "idle").await;
    assert_eq!(bench.conversation(&id).await, first);
    let after = bench.lab.last_event().await;
    bench.slash(&id, "clear").await;
    bench.lab.wait_for_event(&id, after, |event| event["payload"]["source"] == "clear").await;
    let second = bench.conversation(&id).await;
    assert_ne!(second, first);
    bench.lab.turn(&id, "SAY: the second").await;
    let asked = bench.stub.wait_for(|request| said(request) == Some("SAY: the second")).await;
    assert_eq!(asked.session.as_ref(), Some(&second));
    assert!(!asked.body.to_string().contains("quince jelly"));
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn a_question_of_the_agent_is_shown_with_its_answers() {
    let bench = Bench::new().await;
    let id = bench.start(json!({})).await;
    bench.lab.send(&id, "ASK: Tea or coffee? :: Tea | Coffee").await;
    let asked = bench.asked(&id).await;
    assert_eq!(asked["status"], "NEEDS_INPUT");
    assert_eq!(asked["question"]["question"], "Tea or coffee? (Tea / Coffee)");
    bench.lab.keys(&id, &["2"]).await;
    bench.lab.wait_for_state(&id, "idle").await;
    let told = bench.turns().last().unwrap().tool_results.join("\n");
    assert!(told.contains("Coffee") && !told.contains("=\"Tea\""), "{told}");
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn a_stopped_session_goes_on_with_its_conversation_and_a_running_one_is_not_opened_twice() {
    let bench = Bench::new().await;
    let id = bench.start(json!({})).await;
    bench.lab.turn(&id, "SAY: remember me").await;
    let conversation = bench.conversation(&id).await;
    let twice = json!({ "providerResume": { "mode": "resume", "providerSessionId": id } });
    let (status, refusal) = bench.lab.try_agent("claude-code", &bench.home, twice).await;
    assert_eq!(status, 409, "{refusal}");
    let twice = json!({ "providerResume": { "mode": "resume", "providerSessionId": conversation } });
    let (status, refusal) = bench.lab.try_agent("claude-code", &bench.home, twice).await;
    assert_eq!(status, 409, "{refusal}");

    bench.lab.ok("POST", &format!("/sessions/{id}/stop"), Value::Null).await;
    assert_eq!(bench.lab.show(&id).await["status"], "STOPPED");
    bench.lab.ok("POST", &format!("/sessions/{id}/resume"), Value::Null).await;
    bench.lab.wait_for_state(&id, "idle").await;
    assert_eq!(bench.conversation(&id).await, conversation);
    bench.lab.turn(&id, "SAY: the second").await;
    let asked = bench.stub.wait_for(|request| said(request) == Some("SAY: the second")).await;
    assert_eq!(asked.session.as_ref(), Some(&conversation));
    assert!(asked.body.to_string().contains("remember me"), "the history is missing");
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn a_session_that_never_got_a_prompt_can_be_resumed_too() {
    let bench = Bench::new().await;
    let id = bench.start(json!({})).await;
    let conversation = bench.conversation(&id).await;
    bench.lab.ok("POST", &format!("/sessions/{id}/stop"), Value::Null).await;
    bench.lab.ok("POST", &format!("/sessions/{id}/resume"), Value::Null).await;
    bench.lab.wait_for_state(&id, "idle").await;
    bench.lab.turn(&id, "SAY: at last").await;
    assert_eq!(bench.turns().last().unwrap().session.as_ref(), Some(&conversation));
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn a_fork_knows_the_history_and_leaves_its_parent_alone() {
    let bench = Bench::new().await;
    let parent = bench.start(json!({})).await;
    bench.lab.turn(&parent, "SAY: common past").await;
    let transcript = bench.lab.show(&parent).await["transcriptPath"].as_str().unwrap().to_owned();
    let before = std::fs::read_to_string(&transcript).unwrap();
    let fork = json!({ "providerResume": { "mode": "fork", "providerSessionId": parent } });
    let child = bench.start(fork).await;
    let (old, new) = (bench.conversation(&parent).await, bench.conversation(&child).await);
    assert_ne!(old, new);
    bench.lab.turn(&child, "SAY: the child alone").await;
    assert_eq!(bench.conversation(&child).await, new, "the id was not chosen by us");
    let asked = bench.stub.wait_for(|request| said(request) == Some("SAY: the child alone")).await;
    assert_eq!(asked.session.as_ref(), Some(&new));
    assert!(asked.body.to_string().contains("common past"), "the history is missing");
    let now = std::fs::read_to_string(&transcript).unwrap();
    assert!(now.starts_with(&before) && !now.contains("the child alone"), "the parent was written to");
    assert_ne!(bench.lab.show(&child).await["transcriptPath"], json!(transcript));
    bench.lab.turn(&parent, "SAY: the parent alone").await;
    assert_eq!(bench.conversation(&parent).await, old);
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn a_daemon_killed_in_mid_turn_misses_nothing_and_counts_nothing_twice() {
    let bench = Bench::new().await;
    let id = bench.dangerous().await;
    bench.lab.send(&id, "RUN: echo 1 >> runs\nSTREAM: 20 100\nRUN: echo 2 >> runs\nSAY: done").await;
    bench.lab.wait_for_event(&id, 0, |event| event["type"] == "PostToolUse").await;
    bench.lab.kill_daemon();
    // The turn goes on; its last hook waits in the spool.
    let spool = bench.lab.path(&format!("home/sessions/{id}/spool"));
    let patience = std::time::Instant::now();
    let has_stopped = || {
        let spooled = std::fs::read_dir(&spool).unwrap().flatten();
        spooled
            .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
            .any(|event| event.contains(r#""hook_event_name":"Stop""#))
    };
    while !has_stopped() {
        assert!(patience.elapsed().as_secs() < 30, "the turn did not end");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await; // another process's file
    }
    bench.lab.start_daemon();
    let found = bench.lab.wait_for_state(&id, "idle").await;
    assert_eq!(found["reason"], "ready for a prompt");
    bench.lab.turn(&id, "SAY: still here").await;
    let events = bench.lab.events(&id).await;
    let count = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    assert_eq!(["PreToolUse", "PostToolUse", "Stop", "UserPromptSubmit"].map(count), [2, 2, 2, 2]);
    assert_eq!(std::fs::read_to_string(bench.file("runs")).unwrap(), "1\n2\n");
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn a_folder_that_is_not_trusted_is_a_question_with_its_answer() {
    let bench = Bench::new().await;
    let foreign = bench.lab.path("foreign");
    std::fs::create_dir_all(&foreign).unwrap();
    let id = bench.lab.agent("claude-code", &bench.home, json!({ "cwd": foreign })).await;
    let asked = bench.lab.wait_for_state(&id, "waiting").await;
    assert_eq!(asked["status"], "NEEDS_INPUT");
    assert_eq!(asked["question"]["question"], "Claude Code asks whether you trust this folder");
    assert!(asked["question"]["how"].as_str().unwrap().contains(&format!("keys {id} enter")), "{asked}");
    bench.lab.keys(&id, &["enter"]).await;
    bench.lab.wait_for_state(&id, "idle").await;
    bench.lab.turn(&id, "SAY: trusted").await;
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn an_api_key_that_was_never_approved_is_a_question_with_its_answer() {
    let bench = Bench::new().await;
    let path = bench.home.config.join(".claude.json");
    let mut state: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    state["customApiKeyResponses"]["approved"] = json!([]);
    std::fs::write(&path, state.to_string()).unwrap();
    let id = bench.lab.agent("claude-code", &bench.home, json!({})).await;
    let asked = bench.lab.wait_for_state(&id, "waiting").await;
    assert!(asked["question"]["question"].as_str().unwrap().contains("API key"), "{asked}");
    assert!(asked["question"]["how"].as_str().unwrap().contains(&format!("keys {id} up enter")), "{asked}");
    bench.lab.keys(&id, &["up", "enter"]).await;
    bench.lab.wait_for_state(&id, "idle").await;
    bench.lab.turn(&id, "SAY: paid").await;
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn a_turn_that_fails_says_why() {
    let bench = Bench::new().await;
    let id = bench.start(json!({})).await;
    let after = bench.lab.last_event().await;
    bench.lab.send(&id, "FAIL: 400").await;
    // The agent shows itself idle before its hook tells why; after a second without one it counts as interrupted,
    // and is corrected.
    let said = |event: &Value| event["payload"]["reason"].as_str().unwrap_or_default().to_owned();
    let idle = bench
        .lab
        .wait_for_event(&id, after, |event| {
            event["payload"]["state"] == "idle" && said(event).starts_with("the last turn failed: ")
        })
        .await;
    assert!(said(&idle).contains("400"), "{idle}");
    bench.lab.turn(&id, "SAY: recovered").await;
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn a_picture_arrives_as_a_picture() {
    let bench = Bench::new().await;
    let id = bench.start(json!({})).await;
    bench.lab.wait_for_state(&id, "idle").await;
    let picture = bench.file("dot.png");
    std::fs::write(&picture, PNG).unwrap();
    let shown = picture.display().to_string();
    let said_so = bench.lab.cli(["send", &id, "--image", &shown, "--", "SAY: what a dot"]);
    assert!(said_so.is_empty() || said_so.contains("acknowledged"), "{said_so}");
    let asked = bench.stub.wait_for(|request| said(request).is_some_and(|p| p.contains("what a dot"))).await;
    let body = asked.body.to_string();
    assert!(body.contains(r#""type":"image""#) && body.contains("image/png"), "no picture: {:.2000}", body);
    bench.lab.wait_for_state(&id, "idle").await;
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn the_model_is_switched_for_this_session_alone_and_stays_after_a_resume() {
    let bench = Bench::new().await;
    let settings = bench.home.config.join("settings.json");
    let default = r#"{"skipDangerousModePermissionPrompt":true,  "model":"haiku"}"#;
    std::fs::write(&settings, default).unwrap();
    let id = bench.start(json!({})).await;
    // Before the first prompt it switches at once; after a reply it asks first.
    for (asked, prompt) in [("opus", "SAY: one"), ("sonnet", "SAY: two"), ("sonnet", "SAY: three")] {
        let model = bench.switch(&id, asked).await;
        assert!(model.starts_with("claude-") && model.contains(asked), "asked for {asked}, got {model}");
        assert_eq!(bench.lab.show(&id).await["model"], json!(model));
        assert_eq!(std::fs::read_to_string(&settings).unwrap(), default, "after {asked}");
        bench.lab.wait_for_state(&id, "idle").await; // it may tell of its own question a moment late
        bench.lab.turn(&id, prompt).await;
        let turn = bench.stub.wait_for(|request| said(request) == Some(prompt)).await;
        assert_eq!(turn.body["model"], json!(model));
    }
    let told = bench.lab.events(&id).await;
    let told: Vec<_> = told.iter().filter(|event| event["source"] == "statusline").collect();
    assert!((1..=3).contains(&told.len()), "{told:?}");

    bench.lab.ok("POST", &format!("/sessions/{id}/stop"), Value::Null).await;
    bench.lab.ok("POST", &format!("/sessions/{id}/resume"), Value::Null).await;
    bench.lab.wait_for_state(&id, "idle").await;
    bench.lab.turn(&id, "SAY: four").await;
    let turn = bench.stub.wait_for(|request| said(request) == Some("SAY: four")).await;
    assert!(turn.body["model"].as_str().unwrap().contains("sonnet"), "{}", turn.body["model"]);
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn a_daemon_killed_in_mid_switch_still_gives_the_person_their_default_back() {
    let bench = Bench::new().await;
    let settings = bench.home.config.join("settings.json");
    let default = r#"{ "model":"haiku" }"#;
    std::fs::write(&settings, default).unwrap();
    let id = bench.start(json!({})).await;
    // The moment to kill at is too short to be met: the note of a real switch is kept, and put back with what the
    // agent saved.
    let file = bench.lab.path(&format!("home/sessions/{id}/model-switch.json"));
    let noted = async {
        loop {
            match std::fs::read(&file) {
                Ok(note) if !note.is_empty() => return note,
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    };
    let (_model, note) = tokio::join!(bench.switch(&id, "opus"), noted);
    assert!(!file.exists() && std::fs::read_to_string(&settings).unwrap() == default);
    bench.lab.kill_daemon();
    std::fs::write(&file, note).unwrap();
    std::fs::write(&settings, r#"{"model": "opus"}"#).unwrap();
    bench.lab.start_daemon();
    let put_back = async {
        while file.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), put_back).await.expect("the note is used");
    assert_eq!(std::fs::read_to_string(&settings).unwrap(), default);
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn a_model_that_is_not_there_and_a_switch_in_mid_turn_are_refused() {
    let bench = Bench::new().await;
    let settings = bench.home.config.join("settings.json");
    let before = std::fs::read_to_string(&settings).unwrap();
    let id = bench.start(json!({})).await;
    bench.lab.turn(&id, "SAY: hello").await;
    let model = bench.lab.show(&id).await["model"].clone();
    let path = format!("/sessions/{id}/model");
    let (status, refusal) = bench.lab.ask("PUT", &path, json!({ "model": NO_SUCH_MODEL })).await;
    assert_eq!(status, 502, "{refusal}");
    assert!(refusal["error"].as_str().unwrap().contains("not found"), "{refusal}");
    assert_eq!(bench.lab.show(&id).await["model"], model);
    bench.lab.send(&id, "STREAM: 40 50").await;
    let (status, refusal) = bench.lab.ask("PUT", &path, json!({ "model": "haiku" })).await;
    assert_eq!(status, 409, "{refusal}");
    assert!(refusal["hint"].as_str().unwrap().contains(&format!("keys {id} escape")), "{refusal}");
    bench.lab.wait_for_state(&id, "idle").await;
    assert_eq!(bench.lab.show(&id).await["model"], model);
    assert_eq!(std::fs::read_to_string(&settings).unwrap(), before);
    bench.nothing_was_wrong();
}

#[tokio::test]
async fn the_persons_own_status_line_still_shows() {
    let bench = Bench::new().await;
    let command = r#"printf 'mine '; sed 's/.*"session_id":"\([^"]*\)".*/\1/'"#;
    let settings = json!({ "statusLine": { "type": "command", "command": command } });
    std::fs::write(bench.home.config.join("settings.json"), settings.to_string()).unwrap();
    let id = bench.start(json!({})).await;
    bench.shows(&id, &format!("mine {}", bench.conversation(&id).await)).await;
    let figures = bench.lab.show(&id).await["metadata"]["statusLine"].clone();
    assert_eq!(figures["model"]["id"], bench.lab.show(&id).await["model"]);
    bench.nothing_was_wrong();
}

/// A red dot of 8 by 8.
const PNG: &[u8] = include_bytes!("dot.png");

/// A daemon, the real Claude Code and a model that does as it is told.
struct Bench {
    lab: Lab,
    stub: ModelStub,
    home: AgentHome,
}

impl Bench {
    async fn new() -> Bench {
        let lab = Lab::start().await;
        let stub = ModelStub::start().await;
        let home = claude_home(&lab.path("agent"), &lab.project(), &stub.url()).expect("a home is made");
        Bench { lab, stub, home }
    }

    /// A session that is ready.
    async fn start(&self, more: Value) -> String {
        let id = self.lab.agent("claude-code", &self.home, more).await;
        self.lab.wait_for_state(&id, "idle").await;
        id
    }

    /// A session that asks for no permission.
    async fn dangerous(&self) -> String {
        let mut home = self.home.clone();
        // As root it refuses without.
        home.environment.push(("IS_SANDBOX".into(), "1".into()));
        let id = self.lab.agent("claude-code", &home, json!({ "dangerousMode": true })).await;
        self.lab.wait_for_state(&id, "idle").await;
        id
    }

    /// Waits until the agent's hook told what it asks: its state file may say sooner that it waits.
    async fn asked(&self, id: &str) -> Value {
        let is_told = |event: &Value| {
            let open = &event["payload"]["detail"]["about"];
            event["type"] == "state" && open.is_string() && open != "state file"
        };
        self.lab.wait_for_event(id, 0, is_told).await;
        self.lab.show(id).await
    }

    /// Waits until the interrupt is known as one.
    async fn is_interrupted(&self, id: &str, after: u64) {
        let wanted = "interrupted; ready for a prompt";
        self.lab.wait_for_event(id, after, |event| event["payload"]["reason"] == wanted).await;
        assert_eq!(self.lab.show(id).await["state"], "idle");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.project.join(name)
    }

    async fn slash(&self, id: &str, command: &str) {
        self.lab.ok("POST", &format!("/sessions/{id}/slash"), json!({ "command": command })).await;
    }

    async fn conversation(&self, id: &str) -> String {
        self.lab.show(id).await["providerSessionId"].as_str().expect("a conversation").to_owned()
    }

    /// Switches the model; the one in force.
    async fn switch(&self, id: &str, model: &str) -> String {
        let path = format!("/sessions/{id}/model");
        let (status, answer) = self.lab.ask("PUT", &path, json!({ "model": model })).await;
        assert_eq!(status, 200, "{answer}\n{}", self.lab.screen(id));
        answer["model"].as_str().expect("a model").to_owned()
    }

    /// What the model was asked in turns, each request.
    fn turns(&self) -> Vec<Request> {
        self.stub.requests().into_iter().filter(|request| request.asked == Asked::Turn).collect()
    }

    /// The prompts of all turns that asked for a first reply.
    fn prompts(&self) -> Vec<String> {
        self.turns()
            .into_iter()
            .filter(|turn| turn.tool_results.is_empty())
            .filter_map(|turn| turn.prompt)
            .collect()
    }

    /// Waits until the screen shows a text.
    async fn shows(&self, id: &str, text: &str) {
        let patience = std::time::Instant::now();
        while !self.lab.screen(id).contains(text) {
            assert!(patience.elapsed().as_secs() < 30, "no `{text}` on\n{}", self.lab.screen(id));
            tokio::time::sleep(std::time::Duration::from_millis(20)).await; // another process's screen
        }
    }

    fn nothing_was_wrong(&self) {
        assert_eq!(self.stub.violations(), Vec::<String>::new());
    }
}

/// The prompt of a request that a turn begins with.
fn said(request: &Request) -> Option<&str> {
    request.prompt.as_deref().filter(|_| request.asked == Asked::Turn)
}
