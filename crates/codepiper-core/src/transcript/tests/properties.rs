//! What holds for any input: transcripts are written by others, and read while they are written.

use super::{counted, readers, replies};
use crate::transcript::{CALLS_MAX, Context, Line, Reader, TEXT_MAX, Understood};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::fs;

/// Any JSON, with the names and words that transcripts have: others are skipped before anything is tried.
fn json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        4 => prop::sample::select(WORDS).prop_map(str::to_owned),
        1 => ".{0,40}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        let name = prop::sample::select(NAMES).prop_map(str::to_owned);
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            4 => prop::collection::btree_map(name, inner, 0..8).prop_map(|map| Value::Object(Map::from_iter(map))),
        ]
    })
}

/// A record: its kind is one that is known, and what matters stands in it.
fn record() -> impl Strategy<Value = Value> {
    (json(), prop::sample::select(KINDS), prop::sample::select(WORDS), json(), json()).prop_map(
        |(rest, kind, inner, message, payload)| {
            let mut record = match rest {
                Value::Object(rest) => rest,
                rest => Map::from_iter([("content".to_owned(), rest)]),
            };
            record.insert("type".into(), kind.into());
            record.insert("message".into(), message);
            record.insert("payload".into(), payload);
            if let Some(payload) = record["payload"].as_object_mut() {
                payload.insert("type".into(), inner.into());
            }
            Value::Object(record)
        },
    )
}

const KINDS: &[&str] = &[
    "user",
    "assistant",
    "system",
    "attachment",
    "custom-title",
    "ai-title",
    "session_meta",
    "turn_context",
    "response_item",
    "event_msg",
    "compacted",
    "token_usage_record",
    "unheard-of",
];

const WORDS: &[&str] = &[
    "",
    "text",
    "thinking",
    "tool_use",
    "tool_result",
    "image",
    "compact_boundary",
    "local_command",
    "api_error",
    "queued_command",
    "hook_permission_decision",
    "deny",
    "<synthetic>",
    "claude-opus-4-8",
    "claude-sonnet-5",
    "<command-name>/x</command-name>",
    "<bash-stdout>",
    "<local-command-stdout>\u{1b}[",
    "\u{1b}[2",
    "[Request interrupted by user]",
    "2026-11-20T21:04:34.622Z",
    "message",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "local_shell_call",
    "reasoning",
    "item_completed",
    "UserMessage",
    "AgentMessage",
    "CommandExecution",
    "FileChange",
    "token_count",
    "turn_aborted",
    "exec_command_end",
    "patch_apply_end",
    "failed",
    "data:image/png;base64,AAAA",
    "Exit code: 1\nWall time: 1e300 seconds",
    "{\"output\":\"x\",\"metadata\":{\"exit_code\":1,\"duration_seconds\":-1e300}}",
    "{\"cmd\":[\"a\",\"b\"]}",
];

const NAMES: &[&str] = &[
    "type",
    "subtype",
    "uuid",
    "timestamp",
    "sessionId",
    "cwd",
    "gitBranch",
    "agentId",
    "requestId",
    "isSidechain",
    "isMeta",
    "isApiErrorMessage",
    "costUSD",
    "message",
    "toolUseResult",
    "origin",
    "attachment",
    "content",
    "error",
    "customTitle",
    "id",
    "model",
    "usage",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "ephemeral_1h_input_tokens",
    "ephemeral_5m_input_tokens",
    "service_tier",
    "text",
    "thinking",
    "name",
    "input",
    "tool_use_id",
    "is_error",
    "source",
    "media_type",
    "interrupted",
    "durationMs",
    "kind",
    "prompt",
    "decision",
    "toolUseID",
    "payload",
    "turn_id",
    "git",
    "branch",
    "forked_from_id",
    "history_base",
    "thread_settings",
    "call_id",
    "arguments",
    "action",
    "output",
    "summary",
    "changes",
    "exit_code",
    "duration",
    "secs",
    "nanos",
    "item",
    "info",
    "total_token_usage",
    "last_token_usage",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "reasoning_output_tokens",
    "total_tokens",
    "response_id",
];

/// Reads a line and checks what holds for all of them.
fn read(reader: &dyn Reader, context: &mut Context, bytes: &[u8]) -> Line {
    let line = reader.read(context, bytes);
    for entry in &line.entries {
        assert!(entry.text.len() <= TEXT_MAX, "{} bytes of text", entry.text.len());
        assert!(entry.uid.chars().count() < 300, "uid {}", entry.uid);
    }
    if let Understood::UnknownKind(word) | Understood::Broken(word) = &line.understood {
        assert!(word.chars().count() <= 81 && !word.chars().any(char::is_control), "{word:?}");
    }
    if let Some(usage) = &line.usage {
        assert!(usage.tokens.reasoning <= usage.tokens.output && usage.tokens.total() > 0, "{usage:?}");
    }
    assert!(context.calls.len() <= CALLS_MAX);
    line
}

/// The context as it comes back from where it is kept.
fn stored(context: &Context) -> Context {
    serde_json::from_str(&serde_json::to_string(context).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn any_bytes_are_read(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..4)) {
        for (reader, _) in readers() {
            let mut context = Context::default();
            for line in &lines {
                read(reader, &mut context, line);
            }
        }
    }

    #[test]
    fn any_records_are_read_and_a_stored_context_goes_on_the_same(lines in prop::collection::vec(record(), 1..8)) {
        for (reader, _) in readers() {
            let mut context = Context::default();
            for line in &lines {
                let mut other = stored(&context);
                prop_assert_eq!(&other, &context);
                let line = line.to_string();
                let read_on = read(reader, &mut context, line.as_bytes());
                prop_assert_eq!(read(reader, &mut other, line.as_bytes()), read_on);
                prop_assert_eq!(other, context.clone());
            }
        }
    }

    #[test]
    fn counting_finds_what_reading_finds_or_says_that_it_does_not(lines in prop::collection::vec(record(), 1..8)) {
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        let lines: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
        for (reader, _) in readers() {
            if let Some(counted) = counted(reader, &lines) {
                prop_assert_eq!(counted, replies(reader, &lines));
            }
        }
    }

    #[test]
    fn a_recorded_line_cut_or_changed_anywhere_is_read(file in 0usize..100, line in 0usize..10_000, at in 0usize..100_000, byte in any::<u8>()) {
        for (reader, files) in readers() {
            let file = fs::read(&files[file % files.len()]).unwrap();
            let lines: Vec<&[u8]> = file.split(|byte| *byte == b'\n').collect();
            let mut line = lines[line % lines.len()].to_vec();
            let at = at % line.len().max(1);
            read(reader, &mut Context::default(), &line[..at.min(line.len())]);
            if let Some(place) = line.get_mut(at) {
                *place = byte;
            }
            read(reader, &mut Context::default(), &line);
        }
    }
}

#[test]
fn a_recording_reads_the_same_when_every_line_is_read_after_a_restart() {
    for (reader, files) in readers() {
        for file in files {
            let file = fs::read(file).unwrap();
            let (mut context, mut restarted) = (Context::default(), Context::default());
            for line in file.split(|byte| *byte == b'\n') {
                restarted = stored(&restarted);
                assert_eq!(read(reader, &mut restarted, line), read(reader, &mut context, line));
                assert_eq!(restarted, context);
            }
        }
    }
}

#[test]
fn recordings_are_counted_by_the_lines_that_matter() {
    for (reader, files) in readers() {
        for file in files {
            let read = fs::read(&file).unwrap();
            let lines: Vec<&[u8]> = read.split(|byte| *byte == b'\n').collect();
            assert_eq!(counted(reader, &lines), Some(replies(reader, &lines)), "{}", file.display());
        }
    }
}

#[test]
fn a_line_that_hides_its_usage_behind_escapes_counts() {
    let hidden =
        |text: &str| text.replace("usage", "us\\u0061ge").replace("token_count", "token\\u005fcount");
    let claude = json!({
        "type": "assistant", "uuid": "u", "timestamp": "2026-11-20T10:00:00Z", "cwd": "/p",
        "message": { "id": "m", "model": "x", "usage": { "input_tokens": 3 } },
    });
    let total = json!({ "total_token_usage": { "input_tokens": 3 } });
    let codex = json!({
        "type": "event_msg", "timestamp": "2026-11-20T10:00:00Z",
        "payload": { "type": "token_count", "info": total },
    });
    let mut found = 0;
    for ((reader, _), line) in readers().into_iter().zip([claude, codex]) {
        let (line, hidden) = (line.to_string(), hidden(&line.to_string()));
        assert_ne!(line, hidden);
        for line in [line, hidden] {
            let lines = [line.as_bytes()];
            assert_eq!(counted(reader, &lines), Some(replies(reader, &lines)), "{line}");
            found += replies(reader, &lines).len();
        }
    }
    assert_eq!(found, 4);
}

#[test]
fn a_reply_counts_whatever_is_said_in_it_and_however_it_is_written() {
    let (claude, _) = &readers()[0];
    let line = |cwd: &str, content: &str| {
        format!(
            r#"{{"type":"assistant","uuid":"u","timestamp":"2026-11-20T10:00:00Z","cwd":"{cwd}","message":{{"id":"m","model":"x","content":{content},"usage":{{"input_tokens":3}}}}}}"#
        )
    };
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let deep = format!(r#"[{{"type":"tool_use","input":{deep}}}]"#);
    for line in [
        line("/p", "\"said\""),
        line("/p", r#""half a character \ud83d""#),
        line(r"/p/\ud83d", r#""said""#),
        line("/p", "1e999"),
        line("/p", &deep),
        format!(" {} ", line("/p", "[]")),
    ] {
        let lines = [line.as_bytes()];
        let found = replies(*claude, &lines);
        assert_eq!((found.len(), counted(*claude, &lines)), (1, Some(found)), "{line}");
    }
}

#[test]
fn a_reply_that_leaves_something_to_the_lines_before_says_so() {
    let (claude, _) = &readers()[0];
    let whole = json!({
        "type": "assistant", "uuid": "u", "timestamp": "2026-11-20T10:00:00Z", "cwd": "/p", "gitBranch": "b",
        "message": { "id": "m", "model": "x", "usage": { "input_tokens": 3 } },
    });
    let check = |without: &str, is_sure: bool| {
        let mut line = whole.clone();
        line.as_object_mut().unwrap().remove(without);
        line["message"].as_object_mut().unwrap().remove(without);
        let (first, line) = (whole.to_string(), line.to_string());
        let lines = [first.as_bytes(), line.as_bytes()];
        assert_eq!(counted(*claude, &lines), is_sure.then(|| replies(*claude, &lines)), "{without}");
    };
    check("nothing", true);
    check("gitBranch", true); // who tells the folder tells the branch
    for field in ["timestamp", "cwd", "model"] {
        check(field, false);
    }
}

#[test]
fn what_is_no_record_says_so_and_costs_nothing() {
    for (reader, _) in readers() {
        let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
        let deep = format!(
            "{{\"type\":\"user\",\"message\":{{\"content\":[{{\"input\":{deep}}}]}},\"payload\":{{\"action\":{deep}}}}}"
        );
        for line in ["{", "[]", "1", "\"user\"", "null", "{\"type\":\"user\"", "\u{1b}[2J", &deep] {
            let read = read(reader, &mut Context::default(), line.as_bytes());
            assert!(matches!(read.understood, Understood::Broken(_)), "{line:.60}: {read:?}");
        }
        for line in ["", "  \r", "\t"] {
            assert_eq!(read(reader, &mut Context::default(), line.as_bytes()), Line::default());
        }
        let strange =
            json!({ "type": format!("{}\u{1b}]0;", "strange\n".repeat(1_000)), "payload": {} }).to_string();
        let read = read(reader, &mut Context::default(), strange.as_bytes());
        assert!(matches!(read.understood, Understood::UnknownKind(_)), "{read:?}");
    }
}

/// JavaScript cuts between the halves of a character, and writes what is left as one.
#[test]
fn half_a_character_costs_no_more_than_itself() {
    let claude = r#"{"type":"user","uuid":"u","message":{"content":"TEXT"}}"#;
    let codex = r#"{"type":"event_msg","payload":{"type":"user_message","message":"TEXT"}}"#;
    for ((reader, _), line) in readers().into_iter().zip([claude, codex]) {
        let check = |text: &[u8], expected: &str| {
            let (before, after) = line.split_once("TEXT").unwrap();
            let line = [before.as_bytes(), text, after.as_bytes()].concat();
            let line = read(reader, &mut Context::default(), &line);
            assert_eq!(line.entries.iter().map(|entry| &entry.text).collect::<Vec<_>>(), [expected]);
        };
        check(br"cut \ud83d", "cut \u{fffd}");
        check(br"\ude00 \ud83d\ud83d\ude00 \n", "\u{fffd} \u{fffd}\u{1f600} \n");
        check(br"\\ud83d \ud83d\\ \ud83d", r"\ud83d �\ �");
        check(b"cut \xf0\x9f\x98", "cut \u{fffd}");
    }
}

/// A picture of many megabytes leaves no more than its media type; a long text its beginning.
#[test]
fn long_lines_leave_little() {
    let data = "QUFB".repeat(1_000_000);
    let picture =
        json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": data } });
    let claude = json!({ "type": "user", "uuid": "u", "message": { "content": [
        { "type": "text", "text": "é".repeat(1_000_000) }, picture,
        { "type": "tool_result", "tool_use_id": "t", "content": [{ "type": "text", "text": "x".repeat(1_000_000) }, picture] },
    ] }, "toolUseResult": { "file": { "base64": data } } });
    let picture = json!({ "type": "input_image", "image_url": format!("data:image/png;base64,{data}") });
    let codex = json!({ "type": "response_item", "payload": { "type": "function_call_output", "call_id": "c", "output": [
        { "type": "input_text", "text": "é".repeat(1_000_000) }, picture,
    ] } });
    for ((reader, _), line) in readers().into_iter().zip([claude, codex]) {
        let line = read(reader, &mut Context::default(), line.to_string().as_bytes());
        let entries = format!("{:?}", line.entries);
        assert!(entries.contains("\"image/png\"") && !entries.contains("QUFB"), "{entries:.200}");
        assert!(entries.len() < 3 * TEXT_MAX, "{} bytes of {} entries", entries.len(), line.entries.len());
    }
}
