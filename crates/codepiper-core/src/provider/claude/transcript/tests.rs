//! What the recordings do not show: older shapes, and things that nobody did in the lab.

use super::*;
use crate::transcript::tests::tell;
use serde_json::{Value, json};

/// Reads one line of a conversation that works with `claude-opus-4-8`.
fn check(line: Value, expected: &str) {
    let mut context = Context { model: Some("claude-opus-4-8".into()), ..Context::default() };
    let told = tell(&Transcripts, &mut context, std::slice::from_ref(&line));
    assert_eq!(told.trim_end(), expected, "{line}");
}

fn said(content: Value) -> Value {
    json!({ "type": "user", "uuid": "u", "message": { "role": "user", "content": content } })
}

fn replied(block: Value) -> Value {
    let message = json!({ "id": "m", "role": "assistant", "model": "claude-opus-4-8", "content": [block] });
    json!({ "type": "assistant", "uuid": "u", "message": message })
}

fn with(mut line: Value, name: &str, value: Value) -> Value {
    line[name] = value;
    line
}

#[test]
fn who_speaks_in_the_persons_place_is_told() {
    check(said(json!("hello")), "user: hello");
    check(with(said(json!("hello")), "origin", json!({ "kind": "human" })), "user: hello");
    check(with(said(json!("hello")), "origin", json!({ "kind": "channel" })), "user (channel): hello");
    check(
        said(json!("<task-notification>\n<task-id>1")),
        "user (task-notification): <task-notification> <task-id>1",
    );
    check(with(said(json!("summary")), "isCompactSummary", json!(true)), "user (compaction): summary");
    check(
        with(said(json!("Stop hook feedback:\ngo on")), "isMeta", json!(true)),
        "user (hook): Stop hook feedback: go on",
    );
    check(with(said(json!("Base directory")), "isMeta", json!(true)), "user (system): Base directory");
    check(with(said(json!("look")), "isSidechain", json!(true)), "user (agent): look");
    check(with(said(json!("<local-command-caveat>Caveat")), "isMeta", json!(true)), "");
}

#[test]
fn commands_of_the_agent_and_of_the_shell_are_notes() {
    check(
        said(json!(
            "<command-message>review</command-message>\n<command-name>/review</command-name>\n<command-args>12</command-args>"
        )),
        "note (command): /review 12",
    );
    check(said(json!("<bash-input>ls -l</bash-input>")), "note (shell): ls -l");
    check(
        said(json!("<bash-stdout>a\nb</bash-stdout><bash-stderr></bash-stderr>")),
        "note (shell_output): a b",
    );
    check(
        said(json!("<local-command-stdout>\u{1b}[1mSet\u{1b}[22m model</local-command-stdout>")),
        "note (command_output): Set model",
    );
    check(
        json!({ "type": "system", "subtype": "local_command", "content": "<local-command-stdout></local-command-stdout>" }),
        "",
    );
}

#[test]
fn results_say_how_a_call_ended() {
    let result = |text: &str, is_error: bool, detail: Value| {
        let block =
            json!({ "type": "tool_result", "tool_use_id": "t", "content": text, "is_error": is_error });
        with(said(json!([block])), "toolUseResult", detail)
    };
    check(result("fine", false, json!({ "durationMs": 12 })), "result Ok in 12 ms: fine");
    check(result("half", false, json!({ "interrupted": true })), "result Interrupted: half");
    check(result("Exit code 1", true, json!("Error: Exit code 1")), "result Failed: Exit code 1");
    check(
        result("[Request interrupted by user for tool use]", true, Value::Null),
        "result Interrupted: [Request interrupted by user for tool use]",
    );
    check(
        result("Permission to use Bash has been denied.", true, Value::Null),
        "result Refused: Permission to use Bash has been denied.",
    );
    check(
        result("PreToolUse:Bash hook error: [x]: no", true, Value::Null),
        "result Refused: PreToolUse:Bash hook error: [x]: no",
    );
    check(
        result("PreToolUse: is what I looked for", true, Value::Null),
        "result Failed: PreToolUse: is what I looked for",
    );
}

#[test]
fn pictures_are_told_by_their_type_alone() {
    let picture = |media: &str| json!({ "type": "image", "source": { "type": "base64", "media_type": media, "data": "QUFB" } });
    let line = said(json!([picture("image/png"), { "type": "text", "text": "look" }, picture("image/jpeg")]));
    let read = Transcripts.read(&mut Context::default(), line.to_string().as_bytes());
    let attachments = vec!["image/png".to_owned(), "image/jpeg".to_owned()];
    let [entry] = &read.entries[..] else { panic!("{read:?}") };
    assert_eq!(entry.kind, Kind::User { origin: None, attachments });
    assert_eq!((entry.uid.as_str(), entry.text.as_str()), ("u:0", "look"));
}

#[test]
fn blocks_of_one_line_have_their_own_ids_and_order() {
    let blocks = json!([
        { "type": "thinking", "thinking": "hm", "signature": "x" },
        { "type": "redacted_thinking", "data": "x" },
        { "type": "text", "text": "first" },
        { "type": "server_tool_use", "id": "s", "name": "web_search", "input": { "query": "rust" } },
        { "type": "web_search_tool_result", "tool_use_id": "s", "content": [{ "type": "web_search_result", "title": "x" }] },
        { "type": "hologram" },
    ]);
    let mut line = replied(json!({}));
    line["message"]["content"] = blocks;
    check(
        line.clone(),
        "thinking: hm\nthinking:\nassistant (claude-opus-4-8): first\ncall web_search: query: rust\nresult Ok:\n\
         UnknownKind(\"assistant/hologram\")",
    );
    let read = Transcripts.read(&mut Context::default(), line.to_string().as_bytes());
    let uids: Vec<&str> = read.entries.iter().map(|entry| entry.uid.as_str()).collect();
    assert_eq!(uids, ["u:0", "u:1", "u:2", "u:3", "u:4"]);
}

#[test]
fn the_model_changes_when_another_one_replies_but_not_for_sub_agents_or_the_agent_itself() {
    let by = |model: &str| {
        let mut line = replied(json!({ "type": "text", "text": "hi" }));
        line["message"]["model"] = model.into();
        line
    };
    let mut context = Context::default();
    let in_turn = [
        by("claude-opus-4-8"),
        by("<synthetic>"),
        with(by("claude-haiku-4-5"), "isSidechain", json!(true)),
        by("claude-opus-4-8"),
        by("claude-sonnet-5"),
    ];
    assert_eq!(
        tell(&Transcripts, &mut context, &in_turn),
        "assistant (claude-opus-4-8): hi\nassistant (-): hi\nassistant (claude-haiku-4-5): hi\n\
         assistant (claude-opus-4-8): hi\nmodel: claude-sonnet-5\nassistant (claude-sonnet-5): hi\n"
    );
    assert_eq!(context.model.as_deref(), Some("claude-sonnet-5"));
}

#[test]
fn errors_of_the_api_are_errors_and_the_filler_of_a_resume_is_nothing() {
    let synthetic = |text: &str| {
        let mut line = replied(json!({ "type": "text", "text": text }));
        line["message"]["model"] = "<synthetic>".into();
        line
    };
    check(with(synthetic("API Error: 529"), "isApiErrorMessage", json!(true)), "error (api): API Error: 529");
    check(synthetic("No response requested."), "");
    check(
        json!({ "type": "system", "subtype": "api_error", "uuid": "u", "error": { "message": "Overloaded" }, "retryInMs": 500 }),
        "error (api): Overloaded",
    );
}

#[test]
fn a_person_names_a_conversation_for_good() {
    let title = |lines: &[Value]| {
        let mut context = Context::default();
        tell(&Transcripts, &mut context, lines);
        context.title
    };
    let ai = |title: &str| json!({ "type": "ai-title", "aiTitle": title });
    let own = |title: &str| json!({ "type": "custom-title", "customTitle": title });
    assert_eq!(title(&[ai("one"), ai("two")]).as_deref(), Some("two"));
    assert_eq!(title(&[ai("one"), own("mine"), ai("two")]).as_deref(), Some("mine"));
    assert_eq!(title(&[own("mine"), own("other")]).as_deref(), Some("other"));
    assert_eq!(title(&[json!({ "type": "summary", "summary": "of another", "leafUuid": "x" })]), None);
}

#[test]
fn what_an_agent_puts_beside_messages_is_mostly_not_for_people() {
    let attached = |attachment: Value| json!({ "type": "attachment", "uuid": "u", "attachment": attachment });
    check(
        attached(json!({ "type": "queued_command", "prompt": "and this", "origin": { "kind": "human" } })),
        "user: and this",
    );
    check(
        attached(json!({ "type": "queued_command", "prompt": [{ "type": "text", "text": "and" }] })),
        "user: and",
    );
    check(
        attached(
            json!({ "type": "hook_blocking_error", "blockingError": { "blockingError": "go on", "command": "x" } }),
        ),
        "note (hook_blocking_error): go on",
    );
    check(
        attached(json!({ "type": "file", "filename": "/home/dev/a.rs", "content": { "type": "text" } })),
        "note (file): /home/dev/a.rs",
    );
    check(attached(json!({ "type": "todo_reminder", "content": [{ "content": "x" }] })), "");
}

#[test]
fn a_field_of_another_type_costs_nothing_else() {
    let mut line = replied(json!({ "type": "text", "text": "hi" }));
    line["message"]["usage"] = json!({ "input_tokens": -5, "output_tokens": 7.9, "cache_read_input_tokens": "many", "service_tier": {} });
    line["requestId"] = json!(12);
    line["timestamp"] = json!("yesterday");
    line["cwd"] = json!(["/"]);
    let read = Transcripts.read(&mut Context::default(), line.to_string().as_bytes());
    assert_eq!(read.entries.len(), 1);
    let usage = read.usage.unwrap();
    assert_eq!(usage.tokens, Tokens { output: 7, ..Tokens::default() });
    assert_eq!(
        (usage.key.as_str(), usage.at, usage.billing),
        ("claude:m", Timestamp::UNIX_EPOCH, Tier::default())
    );
}

#[test]
fn a_line_without_a_time_has_that_of_the_line_before() {
    let mut context = Context::default();
    let first = with(said(json!("one")), "timestamp", json!("2026-11-20T21:04:34.622Z"));
    tell(&Transcripts, &mut context, &[first]);
    let read = Transcripts.read(&mut context, said(json!("two")).to_string().as_bytes());
    assert_eq!(read.entries[0].at, Some("2026-11-20T21:04:34.622Z".parse().unwrap()));
}

#[test]
fn entries_of_a_sub_agent_are_its_own() {
    let agent = |mut context: Context, line: Value| {
        let read = Transcripts.read(&mut context, line.to_string().as_bytes());
        read.entries[0].agent.clone()
    };
    let own = || Context { agent: Some("a1".into()), ..Context::default() };
    let side = |line: Value| with(line, "isSidechain", json!(true));
    assert_eq!(agent(Context::default(), said(json!("x"))), None);
    assert_eq!(agent(own(), said(json!("x"))).as_deref(), Some("a1"));
    assert_eq!(agent(own(), with(side(said(json!("x"))), "agentId", json!("a2"))).as_deref(), Some("a2"));
    assert_eq!(agent(Context::default(), side(said(json!("x")))).as_deref(), Some("sidechain"));
    let begun = Context { conversation: Some("c".into()), ..Context::default() };
    let mut context = begun.clone();
    assert_eq!(agent(begun, with(side(said(json!("x"))), "agentId", json!("a2"))).as_deref(), Some("a2"));
    tell(&Transcripts, &mut context, &[with(side(said(json!("x"))), "agentId", json!("a2"))]);
    assert_eq!(context.agent, None, "a line of a sub-agent in the conversation's own file");
}

#[test]
fn a_line_without_a_uuid_has_an_id_of_its_own() {
    let uid = |text: &str| {
        let line = json!({ "type": "user", "message": { "content": text } }).to_string();
        Transcripts.read(&mut Context::default(), line.as_bytes()).entries.remove(0).uid
    };
    assert_eq!(uid("one"), uid("one"));
    assert_ne!(uid("one"), uid("two"));
}

#[test]
fn files_are_told_by_their_path() {
    let file = |path: &str| {
        let kind = Transcripts.file(path)?;
        Some(format!(
            "{} {}",
            kind.conversation.as_deref().unwrap_or("-"),
            kind.agent.as_deref().unwrap_or("-")
        ))
    };
    let id = "f31352d2-2c5f-486e-905e-5a2a0e4be521";
    assert_eq!(file(&format!("-home-dev-b/{id}.jsonl")), Some(format!("{id} -")));
    assert_eq!(file(&format!("-home-dev-b/{id}/subagents/agent-aa85f.jsonl")), Some(format!("{id} aa85f")));
    assert_eq!(file("-home-dev-b/agent-0f3c.jsonl").as_deref(), Some("- 0f3c"));
    for other in [
        format!("{id}.jsonl"),
        format!("-home-dev-b/{id}.jsonl.bak"),
        format!("-home-dev-b/{id}/subagents/agent-aa85f.meta.json"),
        format!("-home-dev-b/{id}/tool-results/x.txt"),
        format!("-home-dev-b/more/{id}.jsonl"),
        format!("-home-dev-b/{id}/subagents/{id}.jsonl"),
        "-home-dev-b/agent-.jsonl".into(),
        "-home-dev-b/agent-../../x.jsonl".into(),
        "-home-dev-b/notes.jsonl".into(),
        "-home-dev-b/memory/MEMORY.md".into(),
        String::new(),
    ] {
        assert_eq!(file(&other), None, "{other}");
    }
}
