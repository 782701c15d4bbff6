use super::*;
use crate::ids::SessionId;
use crate::provider::built_in;
use std::fs;

fn recorded(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/claude-code").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn word(happening: &Happening) -> String {
    match happening {
        Happening::Asked(open) => format!("{:?}: {}", open.need, open.question),
        Happening::Answered { about: Some(_) } => "answered it".into(),
        Happening::Answered { about: None } => "answered".into(),
        Happening::TurnFailed { error } => format!("failed: {error}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn every_recorded_hook_is_understood() {
    let shown: Vec<String> = recorded("hooks")
        .iter()
        .map(|(file, bytes)| {
            let event = Claude.read_hook(serde_json::from_slice(bytes).unwrap());
            assert!(file.starts_with(&event.name), "{file} was read as {}", event.name);
            let words: Vec<_> = event.happenings.iter().map(word).collect();
            format!("{file}: {}", words.join(", "))
        })
        .filter(|line| !line.ends_with(": "))
        .collect();
    let expected = "\
Elicitation: Input: Pick a name
ElicitationResult: answered it
PermissionDenied.Bash: answered it, Working
PermissionRequest.AskUserQuestion: Input: Which? (A / B)
PermissionRequest.Bash: Permission: Bash touch made.txt && echo hi
PermissionRequest.ExitPlanMode: Permission: approve the plan and start working
PermissionRequest.Write: Permission: Write /home/dev/b/new.txt
PostCompact.manual: TurnEnded
PostToolBatch: answered, Working
PostToolUse.Agent: answered it, Working
PostToolUse.AskUserQuestion: answered it, Working
PostToolUse.Bash: answered it, Working
PostToolUse.Bash.in-subagent: answered it, Working
PostToolUse.Edit: answered it, Working
PostToolUse.ExitPlanMode: answered it, Working
PostToolUse.Read: answered it, Working
PostToolUse.TaskCreate: answered it, Working
PostToolUse.TaskUpdate: answered it, Working
PostToolUse.Write: answered it, Working
PostToolUse.mcp__lab__ask: answered it, Working
PostToolUseFailure.Bash: answered it, Working
PostToolUseFailure.EnterWorktree: answered it, Working
PreCompact.manual: Working
PreToolUse.Agent: Working
PreToolUse.AskUserQuestion: Working
PreToolUse.Bash: Working
PreToolUse.Bash.in-subagent: Working
PreToolUse.Edit: Working
PreToolUse.EnterWorktree: Working
PreToolUse.ExitPlanMode: Working
PreToolUse.Read: Working
PreToolUse.TaskCreate: Working
PreToolUse.TaskUpdate: Working
PreToolUse.Write: Working
PreToolUse.mcp__lab__ask: Working
SessionStart.clear: Ready
SessionStart.resume: Ready
SessionStart.startup: Ready
Stop: TurnEnded
Stop.stop-hook-active: TurnEnded
StopFailure: failed: API Error: 400 scripted 400
SubagentStart: Working
UserPromptSubmit: PromptTaken
UserPromptSubmit.task-notification: PromptTaken";
    assert_eq!(shown.join("\n"), expected);
}

#[test]
fn a_question_and_its_outcome_have_the_same_key() {
    let read = |file: &str| {
        let bytes = recorded("hooks").into_iter().find(|(name, _)| name == file).unwrap().1;
        Claude.read_hook(serde_json::from_slice(&bytes).unwrap()).tool.unwrap()
    };
    assert_eq!(read("PreToolUse.Bash").key(), read("PostToolUse.Bash").key());
    assert_ne!(read("PreToolUse.Bash").key(), read("PreToolUse.Write").key());
}

#[test]
fn only_events_that_carry_the_sessions_own_id_teach_it() {
    for (file, bytes) in recorded("hooks") {
        let event = Claude.read_hook(serde_json::from_slice(&bytes).unwrap());
        let teaches = event.learned.provider_session.is_some();
        let expected = file.starts_with("UserPromptSubmit")
            || ["SessionStart.startup", "SessionStart.clear", "SessionStart.compact"]
                .contains(&file.as_str());
        assert_eq!(teaches, expected, "{file}");
    }
}

#[test]
fn recorded_state_files_say_idle_and_waiting() {
    let shown: Vec<String> = recorded("sessions")
        .iter()
        .map(|(file, bytes)| {
            let (activity, at) = Claude.read_state_file(bytes).unwrap();
            let activity = match activity {
                Activity::Waiting(open) => format!("{:?} {}", open.need, open.question),
                other => format!("{other:?}"),
            };
            format!("{file}: {activity} at {}", at.as_millisecond())
        })
        .collect();
    assert_eq!(
        shown,
        ["idle: Idle at 1795210092958", "waiting: Permission waiting for permission prompt at 1795210104984"]
    );
    assert_eq!(Claude.read_state_file(b"{\"status\":"), None);
}

#[test]
fn a_recorded_transcript_shows_interrupts_and_queued_prompts() {
    let (_, bytes) = recorded("transcripts").remove(0);
    let notes: Vec<Note> =
        bytes.split(|b| *b == b'\n').flat_map(|line| Claude.read_transcript_line(line)).collect();
    let interrupts = notes.iter().filter(|n| **n == Note::Happened(Happening::Interrupted)).count();
    let queued: Vec<&str> = notes
        .iter()
        .filter_map(|n| match n {
            Note::PromptQueued { text } => Some(text.as_str()),
            Note::Happened(_) | Note::TurnWritten | Note::Figures(_) => None,
        })
        .collect();
    assert_eq!(interrupts, 6);
    assert_eq!(notes.iter().filter(|note| **note == Note::TurnWritten).count(), 17 + 18);
    assert!(queued.starts_with(&["FAIL: 429", "FAIL: 529", "LONG: 200"]), "{queued:?}");
}

#[test]
fn a_transcript_without_a_word_said_is_no_conversation() {
    let (_, bytes) = recorded("transcripts").remove(0);
    assert!(bytes.split(|b| *b == b'\n').any(|line| Claude.is_conversation(line)));
    // All of a transcript whose agent was ended before it wrote down its first turn (2.1.197).
    let only_about_it = [
        r#"{"type":"ai-title","aiTitle":"scripted","sessionId":"f670170e-fa0a-4240-9871-855cccfe9ca9"}"#,
        r#"{"type":"mode","mode":"normal","sessionId":"f670170e-fa0a-4240-9871-855cccfe9ca9"}"#,
        r#"{"type":"last-prompt","lastPrompt":"SAY: remember me","leafUuid":"06b5aa78","sessionId":"f670170e"}"#,
        "",
    ];
    assert!(!only_about_it.iter().any(|line| Claude.is_conversation(line.as_bytes())));
}

#[test]
fn broken_input_is_an_event_without_meaning() {
    for body in
        [json!(null), json!([]), json!({"hook_event_name": 7}), json!({"hook_event_name": "Brand New"})]
    {
        let event = Claude.read_hook(body);
        assert!(event.happenings.is_empty());
    }
}

fn plan(conversation: Conversation, dangerous: bool, version: Option<(u64, u64, u64)>) -> Plan {
    plan_with(conversation, dangerous, version, &[])
}

fn plan_with(
    conversation: Conversation,
    dangerous: bool,
    version: Option<(u64, u64, u64)>,
    settings: &[Value],
) -> Plan {
    let definition = built_in().into_iter().find(|d| d.id == "claude-code").unwrap();
    Claude.launch(
        &definition,
        &Launch {
            session: &SessionId::from_bits(0xa1b2_c3d4),
            cwd: Path::new("/p"),
            conversation: &conversation,
            model: Some("opus"),
            dangerous,
            extra_args: &["--verbose".to_owned()],
            runtime_dir: Path::new("/run dir"),
            settings,
            codepiper: Path::new("/opt/it's here/codepiper"),
            version,
        },
    )
}

#[test]
fn the_command_line_says_which_conversation() {
    let check = |conversation: Conversation, expected: &str, id: Option<&str>| {
        let plan = plan(conversation, false, None);
        assert_eq!(
            plan.args.join(" "),
            format!("{expected} --model opus --settings /run dir/settings.json --verbose")
        );
        assert_eq!(plan.provider_session.as_deref(), id);
    };
    check(Conversation::New { id: "u1".into() }, "--session-id u1", Some("u1"));
    check(Conversation::Resume { id: "old".into() }, "--resume old", Some("old"));
    check(
        Conversation::Fork { parent: "old".into(), id: "u2".into() },
        "--resume old --fork-session --session-id u2",
        Some("u2"),
    );
}

#[test]
fn the_overlay_hooks_what_the_version_knows_and_accepts_danger_only_when_asked() {
    let settings = |dangerous, version| -> Value {
        serde_json::from_str(&plan(Conversation::New { id: "u".into() }, dangerous, version).files[0].1)
            .unwrap()
    };
    let new = settings(true, Some((2, 1, 197)));
    let old = settings(false, Some((2, 0, 1)));
    let hook = &new["hooks"]["PermissionRequest"][0]["hooks"][0];
    assert_eq!(hook["command"], r"'/opt/it'\''s here/codepiper' hook");
    assert_eq!(hook["timeout"], 7_200);
    assert_eq!(new["skipDangerousModePermissionPrompt"], true);
    assert!(old.get("skipDangerousModePermissionPrompt").is_none());
    assert!(old["hooks"].get("PermissionRequest").is_none() && old["hooks"].get("PreToolUse").is_some());
    for never in ["WorktreeCreate", "MessageDisplay"] {
        assert!(new["hooks"].get(never).is_none());
    }
}

#[test]
fn the_status_line_is_ours_and_runs_the_persons_own() {
    let check = |settings: &[Value], expected: Value, command: &str| {
        let plan = plan_with(Conversation::New { id: "u".into() }, false, None, settings);
        let overlay: Value = serde_json::from_str(&plan.files[0].1).unwrap();
        assert_eq!(overlay["statusLine"], expected);
        assert_eq!(plan.files[1], (PathBuf::from("/run dir/status-line"), command.to_owned()));
    };
    let ours = r"'/opt/it'\''s here/codepiper' status-line '/run dir/status-line'";
    check(&[], json!({ "type": "command", "command": ours }), "");
    check(
        &[
            json!({ "model": "opus" }),
            json!({ "statusLine": { "type": "command", "command": "mine", "padding": 0 } }),
            json!({ "statusLine": { "type": "command", "command": "weaker" } }),
        ],
        json!({ "type": "command", "command": ours, "padding": 0 }),
        "mine",
    );
    check(&[json!({ "statusLine": { "type": "new kind" } })], Value::Null, "");
}

#[test]
fn the_recorded_status_line_tells_the_model() {
    let (_, bytes) = recorded("statusline").remove(0);
    let line = Claude.read_status_line(&serde_json::from_slice(&bytes).unwrap()).unwrap();
    assert_eq!(line.model, "claude-opus-4-8[1m]");
    assert_eq!(line.figures["context_window"]["used_percentage"], 2);
    assert!(line.figures.get("transcript_path").is_none());
    assert_eq!(Claude.read_status_line(&json!({ "model": 7 })), None);
}

#[test]
fn a_line_whose_enter_was_lost_stands_in_the_input_box() {
    let check = |screen: &str, expected: bool| {
        let lines: Vec<String> = screen.lines().map(str::to_owned).collect();
        assert_eq!(stands_in_input(&lines, "/compact"), expected, "on\n{screen}");
    };
    check("────\n❯ /compact\n────\n  ? for shortcuts", true);
    check("❯ /compact\n  ⎿  Compacted\n\n────\n❯ \n────", false);
    check("❯ /compact\n\n✻ Compacting…\n\n────\n❯ \n────", false);
    check("────\n❯ /compact now\n────", false);
    check("", false);
}

#[test]
fn every_recorded_call_that_was_made_has_an_outcome_and_nothing_else_has() {
    let mut failed = Vec::new();
    for (file, bytes) in recorded("hooks") {
        let event = Claude.read_hook(serde_json::from_slice(&bytes).unwrap());
        let outcome = Claude.outcome(&event);
        assert_eq!(outcome.is_some(), event.name.starts_with("PostToolUse"), "{file}");
        let Some(outcome) = outcome else { continue };
        assert!(outcome.duration_ms.is_some() && !outcome.was_interrupted, "{file}: {outcome:?}");
        failed.extend(outcome.error.map(|error| format!("{file}: {}", shorten(&error, 20))));
    }
    assert_eq!(
        failed,
        [
            "PostToolUseFailure.Bash: Exit code 1\nsleep: i…",
            "PostToolUseFailure.EnterWorktree: Cannot create a work…",
        ]
    );
}
