use super::requests::{Verdict, answer};
use super::*;
use crate::ids::SessionId;
use crate::provider::built_in;
use std::fs;
use std::path::Path;

fn testdata(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/codex").join(path)).unwrap()
}

fn hook(file: &str) -> HookEvent {
    Codex.read_hook(serde_json::from_str(&testdata(&format!("hooks/{file}.json"))).unwrap())
}

fn recorded_hooks() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/codex/hooks");
    let mut files: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    files
}

/// What the server said in a recorded connection.
fn recorded_channel(file: &str) -> Vec<Value> {
    testdata(&format!("app-server/{file}.jsonl"))
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["dir"] == "server")
        .map(|line| line["msg"].clone())
        .collect()
}

fn word(happening: &Happening) -> String {
    match happening {
        Happening::Asked(open) => format!("{:?}: {} [{}]", open.need, open.question, open.about),
        Happening::Answered { about: Some(about) } => format!("answered [{about}]"),
        Happening::Answered { about: None } => "answered".into(),
        Happening::TurnFailed { error } => format!("failed: {error}"),
        Happening::Seen { activity: Activity::Waiting(open), .. } => format!("seen: {}", open.question),
        Happening::Seen { activity, .. } => format!("seen {activity:?}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn every_recorded_hook_is_understood() {
    let shown: Vec<String> = recorded_hooks()
        .iter()
        .map(|file| {
            let event = hook(file);
            assert!(file.starts_with(&event.name), "{file} was read as {}", event.name);
            let words: Vec<_> = event.happenings.iter().map(word).collect();
            format!("{file}: {}", words.join(", "))
        })
        .collect();
    let expected = "\
Interrupt: Interrupted
PermissionRequest: Permission: Bash touch /home/dev/lab/outside.txt (scripted escalation) \
[Bash {\"command\":\"touch /home/dev/lab/outside.txt\"}]
PostCompact: TurnEnded
PostModelRequest: Working
PostToolUse: answered [Bash {\"command\":\"touch made.txt && echo hi\"}], Working
PreCompact: Working
PreModelRequest: Working
PreToolUse: Working
SessionEnd: \nSessionStart.clear: Ready
SessionStart.fork: Ready
SessionStart.resume: Ready
SessionStart.startup: Ready
Stop: TurnEnded
UserPromptSubmit: PromptTaken";
    assert_eq!(shown.join("\n"), expected);
}

#[test]
fn a_question_and_its_outcome_have_the_same_key() {
    let (asked, done) = (hook("PermissionRequest"), hook("PostToolUse"));
    let (mut asked, done) = (asked.tool.unwrap(), done.tool.unwrap());
    assert_ne!(key(&asked), key(&done), "two commands");
    asked.args["command"] = done.args["command"].clone();
    assert_eq!(key(&asked), key(&done), "only the question has a description");
}

#[test]
fn only_the_conversation_in_the_pane_teaches() {
    for file in recorded_hooks() {
        let teaches = hook(&file).learned.provider_session.is_some();
        assert_eq!(
            teaches,
            file.starts_with("SessionStart") || file.starts_with("UserPromptSubmit"),
            "{file}"
        );
    }
    assert_eq!(hook("UserPromptSubmit").prompt.as_deref(), Some("RUN: touch made.txt && echo hi"));
}

#[test]
fn broken_input_means_nothing() {
    for body in
        [json!(null), json!([]), json!({"hook_event_name": 7}), json!({"hook_event_name": "Brand New"})]
    {
        assert!(Codex.read_hook(body).happenings.is_empty());
    }
    for message in [
        json!(null),
        json!("x"),
        json!({"method": 1}),
        json!({"method": "thread/status/changed"}),
        json!({"method": "thread/started", "params": {"thread": 1}}),
        json!({"method": "brand/new", "id": 1, "params": {"threadId": "t"}}),
        json!({"method": "turn/completed", "params": {"turn": {"status": "brandNew"}}}),
        json!({"id": 1, "result": {"thread": {"id": "x"}}}),
    ] {
        let read = Codex.read_channel(&message);
        assert!(read.happenings.is_empty() && read.learned == Learned::default(), "{message}");
    }
}

/// One line a message that says something, of the thread opened first.
fn shown(file: &str) -> String {
    let mut own = None;
    let mut lines = Vec::new();
    for message in recorded_channel(file) {
        let read = Codex.read_channel(&message);
        if own.is_none() && read.told == Some(Told::Opened { own: true }) {
            own = read.thread.clone();
        }
        if read.thread.is_none() || read.thread != own {
            assert_eq!(read.learned, Learned::default(), "learned of a thread that is not ours");
            continue;
        }
        let mut words: Vec<String> = read.happenings.iter().map(word).collect();
        words.extend(read.learned.model.map(|model| format!("model {model}")));
        if let Some(Told::WillChange { files, .. }) = read.told {
            words.push(format!("will change {}", files.join(" ")));
        }
        if !words.is_empty() {
            lines.push(words.join(", "));
        }
    }
    lines.join("\n")
}

#[test]
fn a_recorded_connection_is_understood() {
    let expected = "\
Ready, model gpt-5.2-codex
seen Busy
Working
PromptTaken
seen Idle
TurnEnded
seen Busy
Working
PromptTaken
seen: waiting for an approval
Permission: Bash touch /home/dev/lab/zz11 (scripted escalation) [request 0]
answered [request 0]
seen Busy
seen Idle
TurnEnded
seen Busy
Working
PromptTaken
will change /home/dev/repo/appfile.txt
seen Idle
TurnEnded
seen Busy
Working
PromptTaken
seen Idle
TurnEnded";
    assert_eq!(shown("stdio-session"), expected);
}

#[test]
fn a_second_client_sees_interrupts_failures_refusals_and_model_switches() {
    let expected = "\
Ready, model stub-model
seen Busy
Working
PromptTaken
seen Idle
TurnEnded
seen Busy
Working
PromptTaken
seen Idle
Interrupted
seen Busy
Working
PromptTaken
failed: scripted failure
seen Busy
Working
PromptTaken
seen: waiting for an approval
Permission: Bash touch /home/dev/x (scripted escalation) [request 0]
answered [request 0]
seen Busy
seen Idle
TurnEnded
seen Busy
Working
PromptTaken
seen: waiting for an approval
Permission: Bash touch /home/dev/y (scripted escalation) [request 1]
answered [request 1]
seen Busy
seen Idle
Interrupted
seen Busy
Working
PromptTaken
will change /home/dev/repo/new.txt
seen: waiting for an approval
Permission: change files [request 2]
answered [request 2]
seen Busy
seen Idle
TurnEnded
model gpt-other";
    assert_eq!(shown("second-client"), expected);
}

#[test]
fn a_change_is_asked_for_with_its_files() {
    let mut asked = recorded_channel("second-client")
        .iter()
        .map(|message| Codex.read_channel(message))
        .find(|read| matches!(&read.told, Some(Told::Asked(open)) if open.kind == ApprovalKind::FileChange))
        .unwrap();
    name_files(&mut asked, &["a.txt".into(), "b.txt".into()]);
    assert_eq!(word(&asked.happenings[0]), "Permission: change a.txt, b.txt [request 2]");
}

#[test]
fn an_answer_fits_its_question() {
    let check = |kind: ApprovalKind, verdict: Verdict, expected: &str| {
        let params = json!({
            "permissions": { "network": { "enabled": true } },
            "questions": [{ "id": "q1", "header": "h", "question": "Which?" }],
        });
        let approval = Approval { request: json!(7), kind, item: None, call: None, params };
        let shown = answer(&approval, &verdict).map_or("none".into(), |answer| answer["result"].to_string());
        assert_eq!(shown, expected, "{kind:?} {verdict:?}");
    };
    use ApprovalKind as K;
    check(K::Command, Verdict::Accept, r#"{"decision":"accept"}"#);
    check(K::FileChange, Verdict::Decline, r#"{"decision":"decline"}"#);
    check(K::Command, Verdict::Say("no".into()), "none");
    check(K::Permissions, Verdict::Accept, r#"{"permissions":{"network":{"enabled":true}},"scope":"turn"}"#);
    check(K::Permissions, Verdict::Decline, r#"{"permissions":{}}"#);
    check(K::Question, Verdict::Say("A".into()), r#"{"answers":{"q1":{"answers":["A"]}}}"#);
    check(K::Question, Verdict::Accept, "none");
    check(K::Elicitation, Verdict::Cancel, r#"{"action":"cancel"}"#);
}

#[test]
fn the_hash_of_a_hook_is_the_one_that_codex_computes() {
    let listed: Vec<Value> = serde_json::from_str(&testdata("app-server/hooks-list.json")).unwrap();
    assert_eq!(listed.len(), EVENTS.len());
    for (hook, (_, key)) in listed.iter().zip(EVENTS) {
        assert_eq!(hook["key"], format!("/<session-flags>/config.toml:{key}:0:0"));
        let (command, timeout_s) = (hook["command"].as_str().unwrap(), hook["timeoutSec"].as_u64().unwrap());
        assert_eq!(hook["currentHash"], trusted_hash(key, command, timeout_s), "{key}");
    }
}

fn plan(conversation: Conversation, dangerous: bool, extra_args: &[&str]) -> Plan {
    let definition = built_in().into_iter().find(|d| d.id == "codex").unwrap();
    let extra_args: Vec<String> = extra_args.iter().map(|arg| (*arg).to_owned()).collect();
    Codex.launch(
        &definition,
        &Launch {
            session: &SessionId::from_bits(0xa1b2_c3d4),
            cwd: Path::new("/p"),
            conversation: &conversation,
            model: Some("gpt-5.2-codex"),
            dangerous,
            extra_args: &extra_args,
            runtime_dir: Path::new("/run/s"),
            settings: &[],
            codepiper: Path::new("/opt/co de/codepiper"),
            version: Some((0, 169, 0)),
        },
    )
}

#[test]
fn a_launch_puts_flags_where_codex_takes_them() {
    let new = || Conversation::New { id: "unused".into() };
    let resume = || Conversation::Resume { id: "t1".into() };
    let fork = || Conversation::Fork { parent: "t1".into(), id: "unused".into() };
    let check = |conversation: Conversation, dangerous: bool, expected: &str| {
        assert_eq!(plan(conversation, dangerous, &["--search"]).args.join(" "), expected);
    };
    check(new(), false, "--model gpt-5.2-codex --remote unix:///run/s/codex.sock --search");
    check(
        new(),
        true,
        "--model gpt-5.2-codex --dangerously-bypass-approvals-and-sandbox \
         --remote unix:///run/s/codex.sock --search",
    );
    check(resume(), false, "resume t1 --model gpt-5.2-codex --remote unix:///run/s/codex.sock --search");
    // A permission flag would end the TUI at once.
    check(resume(), true, "resume t1 --model gpt-5.2-codex --remote unix:///run/s/codex.sock --search");
    check(fork(), true, "fork t1 --model gpt-5.2-codex --remote unix:///run/s/codex.sock --search");
    assert_eq!(plan(resume(), false, &[]).provider_session.as_deref(), Some("t1"));
    assert_eq!(plan(fork(), false, &[]).provider_session, None);
}

#[test]
fn the_private_server_has_our_hooks_and_trusts_just_them() {
    let companion = plan(Conversation::New { id: "unused".into() }, false, &[]).companion.unwrap();
    assert_eq!(companion.args[..3], ["app-server", "--listen", "unix:///run/s/codex.sock"]);
    let overrides: Vec<&String> = companion.args[3..].chunks(2).map(|pair| &pair[1]).collect();
    let config: toml::Table = toml::from_str(&overrides.iter().map(|o| format!("{o}\n")).collect::<String>())
        .expect("the overrides are TOML");
    let hooks = config["hooks"].as_table().unwrap();
    assert_eq!(hooks.len(), EVENTS.len() + 1);
    assert_eq!(
        serde_json::to_value(&hooks["PreToolUse"]).unwrap(),
        json!([{ "hooks": [{
            "type": "command", "command": "'/opt/co de/codepiper' hook", "timeout": 7200,
        }] }])
    );
    let trust = hooks["state"].as_table().unwrap();
    assert_eq!(trust.len(), EVENTS.len());
    assert!(trust["/<session-flags>/config.toml:stop:0:0"]["trusted_hash"].as_str().unwrap().len() > 64);
    assert!(!companion.args.iter().any(|arg| arg.contains("dangerously")));
}

#[test]
fn a_call_that_was_made_has_an_outcome_and_one_key_at_both_gates() {
    let made: Vec<String> =
        recorded_hooks().into_iter().filter(|file| Codex.outcome(&hook(file)).is_some()).collect();
    assert_eq!(made, ["PostToolUse"]);
    let key = |file: &str| {
        let mut call = hook(file).tool.unwrap();
        call.args["command"] = json!("the same");
        Codex.call_key(&call)
    };
    assert_eq!([key("PermissionRequest"), key("PostToolUse")], [key("PreToolUse"), key("PreToolUse")]);
}
