//! The channel against the real Codex: its app server, its TUI in a tmux of our own, and a model server on
//! loopback that does what the prompt says.
//!
//! Needs `codex` (0.169.0) and `node`: `CODEPIPER_TEST_AGENTS` names the folder of the agents' programs, else
//! it is `agents/node_modules/.bin` in the target folder.

mod lab;
mod model;

use codepiper_core::provider::codex::requests::Verdict;
use codepiper_core::provider::{ApprovalKind, ChannelMessage, Conversation};
use codepiper_core::session::{Activity, Happening};
use codepiper_daemon::codex_channel::ChannelError;
use lab::{GRACE, Lab, Opened, until};

/// A new conversation.
fn new() -> Conversation {
    Conversation::New { id: "unused".into() }
}

fn ended(message: &ChannelMessage) -> bool {
    message.happenings.contains(&Happening::TurnEnded)
}

fn interrupted(message: &ChannelMessage) -> bool {
    message.happenings.contains(&Happening::Interrupted)
}

fn seen_busy(message: &ChannelMessage) -> bool {
    message
        .happenings
        .iter()
        .any(|happening| matches!(happening, Happening::Seen { activity: Activity::Busy, .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_by_the_channel_shows_in_the_pane_and_runs_our_hooks_in_our_environment() {
    let lab = Lab::new().await;
    let mut session = lab.launch(&new(), None, false).await;
    session.prompt("RUN: echo run by $CODEPIPER_SESSION").await;
    session.until("the turn's end", ended).await;
    lab.screen("the command's output", |screen| screen.contains("run by a1b2c3d4")).await;

    session.prompt("RUN: echo FORBIDDEN > denied.txt").await;
    session.until("the turn's end", ended).await;
    let screen = lab.screen("the refusal", |screen| screen.contains("policy says no")).await;
    assert!(!lab.project().join("denied.txt").exists());
    assert!(!screen.contains("Hooks need review"), "{screen}");

    let hooks = lab.hooks();
    for event in ["SessionStart", "UserPromptSubmit", "PreModelRequest", "PreToolUse", "PostToolUse", "Stop"]
    {
        assert!(hooks.contains(&format!("a1b2c3d4 {event}")), "no {event} in {hooks:?}");
    }
    assert!(!hooks.iter().any(|hook| !hook.starts_with("a1b2c3d4 ")), "{hooks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_goes_with_a_prompt() {
    // One pixel.
    const PNG: &[u8] = &[
        137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 1, 0, 0, 0, 1, 8, 6, 0, 0, 0,
        31, 21, 196, 137, 0, 0, 0, 13, 73, 68, 65, 84, 120, 218, 99, 100, 248, 207, 80, 15, 0, 3, 134, 1,
        128, 90, 52, 125, 107, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130,
    ];
    let lab = Lab::new().await;
    let mut session = lab.launch(&new(), None, false).await;
    let image = lab.folder().join("pixel.png");
    std::fs::write(&image, PNG).unwrap();
    session.channel.send_prompt(&session.thread, "IMAGES?", &[image]).await.unwrap();
    session.until("the turn's end", ended).await;
    lab.screen("that it came", |screen| screen.contains("you sent 1 image")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_begun_anew_at_the_terminal_is_followed() {
    let lab = Lab::new().await;
    let mut session = lab.launch(&new(), None, false).await;
    session.prompt("hello").await;
    session.until("the turn's end", ended).await;
    let before = session.thread.clone();
    lab.type_line("/clear").await;
    session.follow_on().await;
    assert_ne!(session.thread, before);
    session.prompt("hello again").await;
    session.until("the turn's end", ended).await;
    lab.screen("the reply", |screen| screen.contains("echo: hello again")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_typed_at_the_terminal_is_heard_too() {
    let lab = Lab::new().await;
    let mut session = lab.launch(&new(), None, false).await;
    lab.screen("the composer", |screen| screen.contains("Ask Codex")).await;
    lab.type_line("typed by hand").await;
    session.until("the turn's end", ended).await;
    lab.screen("the reply", |screen| screen.contains("echo: typed by hand")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_here_or_at_the_terminal_and_the_first_answer_wins() {
    let lab = Lab::new().await;
    let mut session = lab.launch(&new(), None, false).await;
    let target = lab.folder().join("made");

    session.prompt(&format!("ESC: touch {}", target.display())).await;
    let approval = session.approval().await;
    assert_eq!(approval.kind, ApprovalKind::Command);
    assert_eq!(approval.call.as_ref().unwrap().in_one_line(), format!("Bash touch {}", target.display()));
    lab.screen("the dialog", |screen| screen.contains("Would you like to run")).await;
    session.channel.answer(&approval, &Verdict::Accept).await.unwrap();
    session.until("the turn's end", ended).await;
    assert!(target.exists());
    lab.screen("no dialog", |screen| !screen.contains("Would you like to run")).await;

    session.prompt(&format!("ESC: touch {}-declined", target.display())).await;
    let approval = session.approval().await;
    session.channel.answer(&approval, &Verdict::Decline).await.unwrap();
    session.until("the turn's end", ended).await;
    assert!(!lab.folder().join("made-declined").exists());

    session.prompt(&format!("ESC: touch {}-2", target.display())).await;
    let approval = session.approval().await;
    lab.answer_dialog("Would you like to run", "y").await;
    session.until("the turn's end", ended).await;
    assert!(lab.folder().join("made-2").exists());
    let late = session.channel.answer(&approval, &Verdict::Cancel).await;
    assert!(matches!(late, Err(ChannelError::NotOpen)), "{late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_steered_and_interrupted() {
    let lab = Lab::new().await;
    let mut session = lab.launch(&new(), None, false).await;
    assert!(!session.channel.interrupt(&session.thread).await.unwrap(), "nothing ran");

    let turn = session.prompt("SLOW: 200").await;
    lab.screen("words", |screen| screen.contains("word word")).await;
    assert_eq!(session.prompt("SLOW: 201").await, turn, "the prompt did not join the turn");
    lab.screen("the second prompt", |screen| screen.contains("SLOW: 201")).await;
    assert!(session.channel.interrupt(&session.thread).await.unwrap());
    session.until("the interrupt", interrupted).await;
    lab.screen("the interrupt", |screen| screen.contains("Conversation interrupted")).await;
    assert!(!session.channel.interrupt(&session.thread).await.unwrap(), "nothing runs any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_switched_before_and_after_the_first_prompt() {
    let lab = Lab::new().await;
    let mut session = lab.launch(&new(), Some("model-one"), false).await;
    assert_eq!(session.model.as_deref(), Some("model-one"));
    assert_eq!(session.channel.set_model(&session.thread, "model-two").await.unwrap(), "model-two");
    session.prompt("hello").await;
    session.until("the turn's end", ended).await;
    assert_eq!(session.channel.set_model(&session.thread, "model-three").await.unwrap(), "model-three");
    session.until("the new model", |m| m.learned.model.as_deref() == Some("model-three")).await;
    assert_eq!(session.channel.set_model(&session.thread, "model-three").await.unwrap(), "model-three");
    lab.screen("the new model", |screen| screen.contains("model-three default")).await;
    session.prompt("MODEL?").await;
    session.until("the turn's end", ended).await;
    lab.screen("the model that was asked", |screen| screen.contains("you asked model-three")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_resumed_and_forked_with_the_permissions_of_the_launch() {
    let lab = Lab::new().await;
    let mut first = lab.launch(&new(), None, false).await;
    // Set by Codex for commands in its sandbox.
    let show_sandbox = "RUN: echo sandbox=${CODEX_SANDBOX_NETWORK_DISABLED:-none}";
    first.prompt(show_sandbox).await;
    first.until("the turn's end", ended).await;
    lab.screen("the sandbox", |screen| screen.contains("sandbox=1")).await;
    let parent = first.thread.clone();
    first.stop().await;

    let resume = Conversation::Resume { id: parent.clone() };
    let mut second = lab.launch(&resume, Some("model-two"), true).await;
    assert_eq!((second.thread.as_str(), second.model.as_deref()), (parent.as_str(), Some("model-two")));
    lab.screen("the past", |screen| screen.contains("sandbox=1")).await;
    second.prompt(show_sandbox).await;
    second.until("the turn's end", ended).await;
    lab.screen("no sandbox", |screen| screen.contains("sandbox=none")).await;
    second.stop().await;

    // It brings the permissions of its parent, which are none, unless they are set.
    let fork = Conversation::Fork { parent: parent.clone(), id: "unused".into() };
    let mut third = lab.launch(&fork, None, false).await;
    assert_ne!(third.thread, parent);
    lab.screen("the past", |screen| screen.contains("forked from") && screen.contains("sandbox=none")).await;
    third.prompt(&format!("ESC: touch {}", lab.folder().join("not-made").display())).await;
    let approval = third.approval().await;
    third.channel.answer(&approval, &Verdict::Cancel).await.unwrap();
    third.until("the interrupt", interrupted).await;
    assert!(!lab.folder().join("not-made").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconnect_in_mid_turn_catches_up() {
    let lab = Lab::new().await;
    let mut session = lab.launch(&new(), None, false).await;
    session.prompt(&format!("ESC: touch {}", lab.folder().join("made").display())).await;
    session.approval().await;

    let Opened { mut session, .. } = session.reconnect().await;
    let approval = session.approval().await;
    session.channel.answer(&approval, &Verdict::Accept).await.unwrap();
    session.until("the turn's end", ended).await;
    assert!(lab.folder().join("made").exists());

    session.prompt("SLOW: 200").await;
    lab.screen("words", |screen| screen.contains("word word")).await;
    let Opened { mut session, before } = session.reconnect().await;
    if !before.iter().any(seen_busy) {
        session.until("that it works", seen_busy).await;
    }
    assert!(session.channel.interrupt(&session.thread).await.unwrap());
    session.until("the interrupt", interrupted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tui_that_died_is_replaced_in_mid_turn() {
    let lab = Lab::new().await;
    let mut session = lab.launch(&new(), None, false).await;
    session.prompt("SLOW: 25").await;
    lab.screen("words", |screen| screen.contains("word word")).await;
    lab.kill_tui().await;
    lab.start_tui(&session.conversation()).await;
    lab.screen("the turn", |screen| screen.contains("SLOW: 25")).await;
    session.until("the turn's end", ended).await;
    session.prompt("still there?").await;
    lab.screen("the reply", |screen| screen.contains("echo: still there?")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_died_ends_the_channel() {
    let lab = Lab::new().await;
    let session = lab.launch(&new(), None, false).await;
    let mut messages = session.stop_server().await;
    while messages.recv().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_session_stops_at_once_and_says_so() {
    let lab = Lab::new().await;
    let mut session = lab.launch(&new(), None, false).await;
    session.prompt("RUN: touch begun; sleep 1000").await;
    until("the command", || async { lab.project().join("begun").exists().then_some(()) }).await;
    assert!(session.channel.interrupt(&session.thread).await.unwrap());
    session.until("the interrupt", interrupted).await;
    // Without the interrupt this would wait for the command.
    let start = std::time::Instant::now();
    session.stop().await;
    assert!(start.elapsed() < GRACE, "{:?}", start.elapsed());
    for event in ["Interrupt", "SessionEnd"] {
        assert!(lab.hooks().contains(&format!("a1b2c3d4 {event}")), "no {event} in {:?}", lab.hooks());
    }
}
