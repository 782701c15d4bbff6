//! Entries of conversations as people read them: on a terminal, and as Markdown. Pure. Everything in them was written
//! by an agent or by what it read: nothing gets through that steers a terminal.

use crate::output::{Page, Style, duration};
use crate::text::{clip, visible, visible_lines, width};
use codepiper_api::conversations::{Conversation, Entry};
use codepiper_core::transcript::{Kind, Outcome};
use jiff::tz::TimeZone;

/// Lines of a tool's arguments and of its result on a terminal. Who wants all of them takes Markdown or JSON.
const TOOL_LINES: usize = 12;

/// Columns of a rule.
const RULE: usize = 80;

/// An entry on a terminal, with its end of line.
pub(crate) fn text(entry: &Entry, zone: &TimeZone, page: Page) -> String {
    let body = visible_lines(&entry.text);
    let body = body.trim_end();
    match &entry.body {
        Kind::User { attachments, .. } => {
            let files = attached(attachments);
            let below = [body, &files].into_iter().filter(|part| !part.is_empty());
            format!("{}\n{}\n\n", rule(entry, zone, page), below.collect::<Vec<_>>().join("\n"))
        }
        Kind::Assistant { .. } | Kind::Compaction => format!("{}\n{body}\n\n", rule(entry, zone, page)),
        Kind::Thinking if body.is_empty() => String::new(),
        Kind::Thinking => {
            let lines = body.lines().map(|line| page.paint(Style::Dim, line));
            format!("{}\n\n", lines.collect::<Vec<_>>().join("\n"))
        }
        Kind::ToolCall { tool, .. } => {
            let head = page.paint(Style::Bold, &format!("▸ {}", visible(tool)));
            format!("{head}\n{}", indented(body, Style::Plain, page))
        }
        Kind::ToolResult { outcome, duration_ms, attachments, .. } => {
            let (word, style) = told(*outcome);
            let time = duration_ms.map(|ms| format!(" after {}", duration(ms))).unwrap_or_default();
            let head = page.paint(style, &format!("◂ {word}{time}"));
            let files = attached(attachments);
            let files = if files.is_empty() { files } else { format!("  {files}\n") };
            format!("{head}\n{}{files}\n", indented(body, Style::Dim, page))
        }
        kind => {
            let style = if matches!(kind, Kind::Error { .. }) { Style::Bad } else { Style::Dim };
            let said = [title(kind), body.to_owned()].into_iter().filter(|part| !part.is_empty());
            let said = said.collect::<Vec<_>>().join(": ");
            let lines = said.lines().map(|line| page.paint(style, line));
            format!("{}\n\n", lines.collect::<Vec<_>>().join("\n"))
        }
    }
}

/// `── user  2026-03-29 10:00:00 ─────`
fn rule(entry: &Entry, zone: &TimeZone, page: Page) -> String {
    let columns = page.columns.unwrap_or(RULE).min(RULE);
    let time = entry.timestamp.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
    let head = format!("── {}  {time} ", title_of(entry));
    let rest = "─".repeat(columns.saturating_sub(width(&head)));
    page.paint(Style::Bold, &clip(&format!("{head}{rest}"), columns))
}

fn indented(body: &str, style: Style, page: Page) -> String {
    let lines: Vec<&str> = body.lines().collect();
    let mut out = String::new();
    for line in lines.iter().take(TOOL_LINES) {
        let room = page.columns.map_or(usize::MAX, |columns| columns.saturating_sub(2));
        out.push_str(&format!("  {}\n", page.paint(style, &clip(line, room))));
    }
    if lines.len() > TOOL_LINES {
        let more = format!("… {} more lines", lines.len() - TOOL_LINES);
        out.push_str(&format!("  {}\n", page.paint(Style::Dim, &more)));
    }
    out
}

fn told(outcome: Outcome) -> (&'static str, Style) {
    match outcome {
        Outcome::Ok => ("ok", Style::Good),
        Outcome::Failed => ("failed", Style::Bad),
        Outcome::Refused => ("refused", Style::Warn),
        Outcome::Interrupted => ("interrupted", Style::Warn),
    }
}

fn attached(names: &[String]) -> String {
    names.iter().map(|name| format!("[{}]", visible(name))).collect::<Vec<_>>().join(" ")
}

/// The title with the sub-agent, where one spoke.
fn title_of(entry: &Entry) -> String {
    match &entry.agent {
        Some(agent) => format!("{} of {}", title(&entry.body), visible(agent)),
        None => title(&entry.body),
    }
}

/// What it is, in a word or two.
fn title(kind: &Kind) -> String {
    match kind {
        Kind::User { origin: Some(origin), .. } => format!("user ({})", visible(origin)),
        Kind::User { .. } => "user".into(),
        Kind::Assistant { model: Some(model) } => format!("assistant ({})", visible(model)),
        Kind::Assistant { .. } => "assistant".into(),
        Kind::Thinking => "thinking".into(),
        Kind::ToolCall { tool, .. } => format!("tool {}", visible(tool)),
        Kind::ToolResult { outcome, .. } => format!("result: {}", told(*outcome).0),
        Kind::Decision { decision, .. } => format!("decision: {}", visible(decision)),
        Kind::Compaction => "summary of what was said before".into(),
        Kind::Error { error } => format!("error ({})", visible(error)),
        Kind::ModelChange { model } => format!("model from here on: {}", visible(model)),
        Kind::Note { note } => visible(note),
    }
}

/// The head of a Markdown file.
pub(crate) fn markdown_head(conversation: &Conversation) -> String {
    let line = |text: &str| visible(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut out = format!("# {}\n\n", line(conversation.title.as_deref().unwrap_or("A conversation")));
    let facts = [
        ("conversation", Some(conversation.id.as_str())),
        ("agent", Some(conversation.provider.as_str())),
        ("session", conversation.session.as_deref()),
        ("folder", conversation.cwd.as_deref()),
        ("branch", conversation.branch.as_deref()),
        ("model", conversation.model.as_deref()),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            out.push_str(&format!("- {name}: {}\n", line(value)));
        }
    }
    out.push('\n');
    out
}

/// An entry as Markdown. What persons and agents say is Markdown already; the rest stands between fences.
pub(crate) fn markdown(entry: &Entry, zone: &TimeZone) -> String {
    let time = entry.timestamp.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
    let body = visible_lines(&entry.text);
    let body = body.trim_end();
    let title = title_of(entry);
    match &entry.body {
        Kind::User { attachments, .. } => {
            let files = attached(attachments);
            let files = if files.is_empty() { files } else { format!("{files}\n\n") };
            format!("## {title}, {time}\n\n{body}\n\n{files}")
        }
        Kind::Assistant { .. } | Kind::Compaction => format!("## {title}, {time}\n\n{body}\n\n"),
        _ if body.is_empty() => format!("*{title}*\n\n"),
        _ => {
            let fence = fence(body);
            format!("### {title}\n\n{fence}\n{body}\n{fence}\n\n")
        }
    }
}

/// Longer than any row of backticks inside: what stands in it cannot end it.
fn fence(body: &str) -> String {
    let longest = body.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat((longest + 1).max(3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const PLAIN: Page = Page { columns: Some(40), colour: false };

    fn entry(body: Value, text: &str) -> Entry {
        serde_json::from_value(json!({
            "id": 1, "conversation": 1, "uid": "u", "timestamp": "2026-03-29T10:00:00Z", "body": body, "text": text
        }))
        .unwrap()
    }

    fn check(body: Value, said: &str, on_terminal: &str, as_markdown: &str) {
        let entry = entry(body, said);
        assert_eq!(text(&entry, &TimeZone::UTC, PLAIN), on_terminal);
        assert_eq!(markdown(&entry, &TimeZone::UTC), as_markdown);
    }

    #[test]
    fn who_said_what_stands_below_a_rule() {
        check(
            json!({"kind": "user", "attachments": ["image/png"]}),
            "why?\n",
            "── user  2026-03-29 10:00:00 ───────────\nwhy?\n[image/png]\n\n",
            "## user, 2026-03-29 10:00:00\n\nwhy?\n\n[image/png]\n\n",
        );
        check(
            json!({"kind": "assistant", "model": "opus"}),
            "Because.",
            "── assistant (opus)  2026-03-29 10:00:0…\nBecause.\n\n",
            "## assistant (opus), 2026-03-29 10:00:00\n\nBecause.\n\n",
        );
        check(json!({"kind": "thinking"}), "", "", "*thinking*\n\n");
    }

    #[test]
    fn tools_are_indented_and_fenced() {
        check(
            json!({"kind": "tool_call", "call": "t", "tool": "Bash", "input": {}}),
            "echo ```` now",
            "▸ Bash\n  echo ```` now\n",
            "### tool Bash\n\n`````\necho ```` now\n`````\n\n",
        );
        check(
            json!({"kind": "tool_result", "call": "t", "outcome": "failed", "durationMs": 12}),
            "no",
            "◂ failed after 12 ms\n  no\n\n",
            "### result: failed\n\n```\nno\n```\n\n",
        );
        let long = (1..=20).map(|n| n.to_string()).collect::<Vec<_>>().join("\n");
        let call = entry(json!({"kind": "tool_call", "call": "t", "tool": "T", "input": {}}), &long);
        assert!(text(&call, &TimeZone::UTC, PLAIN).ends_with("\n  12\n  … 8 more lines\n"));
        assert!(markdown(&call, &TimeZone::UTC).contains("\n20\n```"));
    }

    #[test]
    fn the_rest_is_a_line() {
        let check = |body: Value, said: &str, expected: &str| {
            assert_eq!(text(&entry(body, said), &TimeZone::UTC, PLAIN), format!("{expected}\n\n"));
        };
        check(json!({"kind": "error", "error": "api"}), "overloaded", "error (api): overloaded");
        check(json!({"kind": "model_change", "model": "haiku"}), "", "model from here on: haiku");
        check(json!({"kind": "decision", "decision": "deny"}), "", "decision: deny");
        check(json!({"kind": "note", "note": "/clear"}), "", "/clear");
    }

    #[test]
    fn nothing_that_an_agent_writes_steers_a_terminal() {
        let evil = "a\u{1b}]0;x\u{7}\u{9b}2J\r\u{8}\u{202e}b";
        for body in [
            json!({"kind": "user", "origin": evil, "attachments": [evil]}),
            json!({"kind": "assistant", "model": evil}),
            json!({"kind": "thinking"}),
            json!({"kind": "tool_call", "call": evil, "tool": evil, "input": {}}),
            json!({"kind": "tool_result", "call": evil, "outcome": "ok", "attachments": [evil]}),
            json!({"kind": "decision", "call": null, "decision": evil}),
            json!({"kind": "compaction"}),
            json!({"kind": "error", "error": evil}),
            json!({"kind": "model_change", "model": evil}),
            json!({"kind": "note", "note": evil}),
        ] {
            let mut entry = entry(body.clone(), &format!("{evil}\n{evil}"));
            entry.agent = Some(evil.into());
            for shown in [text(&entry, &TimeZone::UTC, PLAIN), markdown(&entry, &TimeZone::UTC)] {
                let steers = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
                assert!(!shown.contains(steers), "{body}: {shown:?}");
            }
        }
        let conversation = json!({"id": evil, "number": 1, "provider": "x", "title": format!("a\n# b {evil}"), "usage":
            {"requests": 0, "tokens": 0, "input": 0, "output": 0, "reasoning": 0, "cacheRead": 0, "cacheWrite5m": 0,
             "cacheWrite1h": 0, "cacheHitRate": 0.0, "cost": null, "unpriced": 0}});
        let head = markdown_head(&serde_json::from_value(conversation).unwrap());
        assert_eq!(head, "# a # b a2J b\n\n- conversation: a2J b\n- agent: x\n\n");
    }
}
