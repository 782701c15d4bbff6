//! Events as people read them. Pure and total: what is not understood is shown as it is.

use crate::output::{Page, Style};
use crate::text::{clip, visible, visible_lines, width};
use codepiper_api::events::Event;
use codepiper_core::hook::ToolCall;
use jiff::tz::TimeZone;
use serde_json::Value;

/// One line: when, where from, what, and what about.
pub(crate) fn line(event: &Event, zone: &TimeZone, page: Page) -> String {
    let time = event.timestamp.to_zoned(zone.clone()).strftime("%m-%d %H:%M:%S").to_string();
    let source = visible(&event.source);
    let kind = visible(&event.kind);
    let source_style = match event.source.as_str() {
        "session" => Style::Good,
        _ => Style::Plain,
    };
    let head = format!("{time}  {source:<10}  {kind:<18}");
    let about = visible(&one_line(&about(event)));
    match page.columns {
        Some(columns) if width(&head) >= columns => clip(&head, columns),
        _ => {
            let room = page.columns.map_or(usize::MAX, |columns| columns.saturating_sub(width(&head) + 2));
            let head = format!(
                "{}  {}  {}",
                page.paint(Style::Dim, &time),
                page.paint(source_style, &format!("{source:<10}")),
                page.paint(Style::Bold, &format!("{kind:<18}")),
            );
            format!("{head}  {}", clip(&about, room)).trim_end().to_owned()
        }
    }
}

/// Who said something, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    who: &'static str,
    text: String,
}

impl Said {
    /// A rule with the name of the speaker, and the text below it.
    pub(crate) fn render(&self, page: Page) -> String {
        let columns = page.columns.unwrap_or(80).min(80);
        let rule = "─".repeat(columns.saturating_sub(width(self.who) + 4));
        let head = clip(&format!("── {} {rule}", self.who), columns);
        format!("{}\n{}\n", page.paint(Style::Bold, &head), visible_lines(&self.text).trim_end())
    }
}

/// What was said by the event, if it tells a prompt or an answer.
pub(crate) fn said(event: &Event) -> Option<Said> {
    let payload = &event.payload;
    let (who, text) = match (event.source.as_str(), event.kind.as_str()) {
        ("hook", "UserPromptSubmit") => ("user", payload.get("prompt")?.as_str()?.to_owned()),
        ("hook", "Stop") => ("assistant", payload.get("last_assistant_message")?.as_str()?.to_owned()),
        ("transcript", "user") => ("user", content_text(payload)?),
        ("transcript", "assistant") => ("assistant", content_text(payload)?),
        _ => return None,
    };
    (!text.trim().is_empty()).then_some(Said { who, text })
}

/// The text of a message in a transcript: a string, or blocks of which some are text.
fn content_text(payload: &Value) -> Option<String> {
    let message = payload.get("message").unwrap_or(payload);
    let content = message.get("content")?;
    if let Some(text) = content.as_str() {
        return Some(text.to_owned());
    }
    let blocks = content.as_array()?.iter();
    let texts: Vec<&str> = blocks.filter_map(|block| block.get("text")?.as_str()).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// What an event is about: what was said, the tool call, or the field that tells most.
fn about(event: &Event) -> String {
    if let Some(said) = said(event) {
        return said.text;
    }
    let payload = &event.payload;
    let field = |name: &str| payload.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(tool) = field("tool_name") {
        let args = payload.get("tool_input").cloned().unwrap_or_default();
        return ToolCall { tool: tool.to_owned(), args, use_id: None, agent: None }.in_one_line();
    }
    const TELLING: [&str; 10] = [
        "reason",
        "question",
        "message",
        "error",
        "prompt",
        "text",
        "last_assistant_message",
        "model",
        "source",
        "name",
    ];
    match TELLING.iter().find_map(|name| field(name)) {
        Some(text) => text.to_owned(),
        None => match payload {
            Value::Null => String::new(),
            Value::Object(fields) if fields.is_empty() => String::new(),
            other => other.to_string(),
        },
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(source: &str, kind: &str, payload: Value) -> Event {
        serde_json::from_value(json!({
            "id": 7, "sessionId": "a1b2c3d4", "timestamp": "2026-01-31T09:05:00Z",
            "source": source, "type": kind, "payload": payload
        }))
        .unwrap()
    }

    fn check(source: &str, kind: &str, payload: Value, expected: &str) {
        let page = Page { columns: Some(78), colour: false };
        assert_eq!(line(&event(source, kind, payload), &TimeZone::UTC, page), expected);
    }

    #[test]
    fn an_event_is_one_line_with_what_tells_most() {
        check(
            "hook",
            "PreToolUse",
            json!({"tool_name": "Bash", "tool_input": {"command": "touch a &&\n echo"}}),
            "01-31 09:05:00  hook        PreToolUse          Bash touch a && echo",
        );
        check(
            "hook",
            "UserPromptSubmit",
            json!({"prompt": "fix\nthe \x1b[2Jbug"}),
            "01-31 09:05:00  hook        UserPromptSubmit    fix the bug",
        );
        check(
            "session",
            "state",
            json!({"state": "idle", "reason": "ready for a prompt, and this is a long explanation"}),
            "01-31 09:05:00  session     state               ready for a prompt, and this …",
        );
        check("hook", "SessionEnd", json!({}), "01-31 09:05:00  hook        SessionEnd");
        check("pty", "x", json!({"n": 1}), "01-31 09:05:00  pty         x                   {\"n\":1}");
    }

    #[test]
    fn recorded_events_of_the_real_agents_are_told_in_a_line() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../codepiper-core/testdata");
        let mut count = 0;
        for agent in ["claude-code", "codex"] {
            for file in std::fs::read_dir(format!("{folder}/{agent}/hooks")).unwrap() {
                let path = file.unwrap().path();
                let body: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                let kind = body["hook_event_name"].as_str().unwrap_or("unknown").to_owned();
                let line = line(
                    &event("hook", &kind, body),
                    &TimeZone::UTC,
                    Page { columns: Some(100), colour: true },
                );
                assert!(!line.contains('\n'), "{}: {line}", path.display());
                count += 1;
            }
        }
        assert!(count > 50);
    }

    #[test]
    fn what_was_said_comes_from_hooks_and_transcripts() {
        let check = |source: &str, kind: &str, payload: Value, expected: Option<(&str, &str)>| {
            let got = said(&event(source, kind, payload));
            assert_eq!(got.as_ref().map(|said| (said.who, said.text.as_str())), expected);
        };
        check("hook", "UserPromptSubmit", json!({"prompt": "hi"}), Some(("user", "hi")));
        check("hook", "Stop", json!({"last_assistant_message": "yes"}), Some(("assistant", "yes")));
        check("hook", "Stop", json!({}), None);
        check("hook", "SubagentStop", json!({"last_assistant_message": "yes"}), None);
        let blocks = json!({"message": {"content": [{"type": "text", "text": "a"}, {"type": "tool_use"}]}});
        check("transcript", "assistant", blocks, Some(("assistant", "a")));
        check("transcript", "user", json!({"message": {"content": "b"}}), Some(("user", "b")));
        check("transcript", "user", json!({"message": {"content": [{"type": "tool_result"}]}}), None);
    }

    #[test]
    fn a_text_stands_below_its_speaker() {
        let said = Said { who: "user", text: "a\nb\n".into() };
        assert_eq!(said.render(Page { columns: Some(12), colour: false }), "── user ────\na\nb\n");
    }
}
