//! Questions that wait for a person: what is asked, how it is shown, how it was answered.
//!
//! The law to keep: an answer is bound to what was shown. [`digest`] covers tool and arguments, and an answer counts
//! for that digest once.

use crate::gate::Wants;
use crate::hex::hex;
use crate::hook::{ToolCall, shorten};
use crate::ids::SessionId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt;

/// Lines of a shown call; a person decides on a phone, and the rest is counted.
const SHOWN_LINES_MAX: usize = 200;

/// Characters of a shown line.
const SHOWN_LINE_MAX: usize = 500;

/// An open or closed question: the session it belongs to and a number within it, `6c0494f2-3`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApprovalId {
    session: SessionId,
    number: u64,
}

/// The text was no approval's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an approval's id: a session's id, a hyphen and a number")]
pub struct BadApprovalId(String);

impl ApprovalId {
    /// The n-th of a session.
    pub fn new(session: SessionId, number: u64) -> Self {
        Self { session, number }
    }

    /// The way in from outside.
    pub fn parse(text: &str) -> Result<Self, BadApprovalId> {
        let bad = || BadApprovalId(text.to_owned());
        let (session, number) = text.split_once('-').ok_or_else(bad)?;
        let plain = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
        let number = number.parse().ok().filter(|_| plain).ok_or_else(bad)?;
        Ok(Self { session: SessionId::parse(session).map_err(|_| bad())?, number })
    }

    /// The session that waits.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// Its number within the session.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.session, self.number)
    }
}

impl fmt::Debug for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApprovalId({self})")
    }
}

impl TryFrom<String> for ApprovalId {
    type Error = BadApprovalId;
    fn try_from(text: String) -> Result<Self, BadApprovalId> {
        Self::parse(&text)
    }
}

impl From<ApprovalId> for String {
    fn from(id: ApprovalId) -> Self {
        id.to_string()
    }
}

/// Where a question stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It waits.
    Open,
    /// A person said yes here.
    Allowed,
    /// A person said no here.
    Denied,
    /// A person answered the model's question here.
    Answered,
    /// It was answered at the agent's own terminal.
    AtTerminal,
    /// Nobody answered in time.
    Expired,
    /// It went away: the turn was interrupted or over, or the session ended.
    Withdrawn,
}

impl Standing {
    /// Every word, for filters.
    pub const ALL: [Self; 7] = [
        Self::Open,
        Self::Allowed,
        Self::Denied,
        Self::Answered,
        Self::AtTerminal,
        Self::Expired,
        Self::Withdrawn,
    ];

    /// The word on the wire and in the store.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Answered => "answered",
            Self::AtTerminal => "at-terminal",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The standing that this word means.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.word() == word)
    }
}

/// How far a yes or a no reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// This call.
    #[default]
    Once,
    /// The same call again in this session.
    Session,
    /// The same call again in every session.
    Always,
}

/// SHA-256 over tool and arguments, in hexadecimal. Equal for the same call in every event of it.
pub fn digest(tool: &str, args: &Value) -> String {
    let mut text = Vec::new();
    plain(tool, &mut text);
    canonical(args, &mut text);
    hex(&Sha256::digest(text))
}

/// JSON with sorted keys, whatever the map's own order is.
fn canonical(value: &Value, text: &mut Vec<u8>) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            text.push(b'{');
            for (name, value) in sorted {
                plain(name, text);
                canonical(value, text);
            }
            text.push(b'}');
        }
        Value::Array(items) => {
            text.push(b'[');
            for item in items {
                canonical(item, text);
                text.push(b',');
            }
            text.push(b']');
        }
        single => plain(single, text),
    }
}

fn plain(value: &(impl Serialize + ?Sized), text: &mut Vec<u8>) {
    serde_json::to_writer(text, value).expect("a vector takes every text and number");
}

/// The call as a person should read it before they decide: the command as it is, an edit as a diff, a file with its
/// beginning, questions with their options, anything else as its arguments.
pub fn shown(call: &ToolCall) -> Vec<String> {
    let text = |name: &str| call.args.get(name).and_then(Value::as_str);
    let mut lines = Vec::new();
    match (Wants::of(call), call.tool.as_str()) {
        (Wants::Plan, _) => {
            lines.extend(text("plan").unwrap_or("start to work as planned").lines().map(str::to_owned))
        }
        (Wants::Answers, _) => show_questions(&call.args, &mut lines),
        (Wants::Permission, "Edit") => {
            lines.push(text("file_path").unwrap_or("?").to_owned());
            show_change(text("old_string"), text("new_string"), &mut lines);
        }
        (Wants::Permission, "MultiEdit") => {
            lines.push(text("file_path").unwrap_or("?").to_owned());
            for edit in call.args.get("edits").and_then(Value::as_array).into_iter().flatten() {
                let text = |name: &str| edit.get(name).and_then(Value::as_str);
                show_change(text("old_string"), text("new_string"), &mut lines);
            }
        }
        (Wants::Permission, "Write") => {
            lines.push(text("file_path").unwrap_or("?").to_owned());
            lines.extend(text("content").unwrap_or_default().lines().map(|line| format!("+{line}")));
        }
        (Wants::Permission, _) => match text("command") {
            Some(command) => lines.extend(command.lines().map(str::to_owned)),
            None => show_arguments(&call.args, &mut lines),
        },
    }
    bounded(lines)
}

fn show_change(old: Option<&str>, new: Option<&str>, lines: &mut Vec<String>) {
    let diff = similar::TextDiff::from_lines(old.unwrap_or_default(), new.unwrap_or_default());
    for change in diff.iter_all_changes() {
        let text = change.value();
        lines.push(format!("{}{}", change.tag(), text.strip_suffix('\n').unwrap_or(text)));
    }
}

fn show_questions(args: &Value, lines: &mut Vec<String>) {
    for question in args.get("questions").and_then(Value::as_array).into_iter().flatten() {
        lines.push(question.get("question").and_then(Value::as_str).unwrap_or("?").to_owned());
        let options = question.get("options").and_then(Value::as_array).into_iter().flatten();
        for (number, option) in options.enumerate() {
            let text = |name: &str| option.get(name).and_then(Value::as_str).unwrap_or_default();
            let line = format!("  {}. {}  {}", number + 1, text("label"), text("description"));
            lines.push(line.trim_end().to_owned());
        }
    }
}

fn show_arguments(args: &Value, lines: &mut Vec<String>) {
    match args {
        Value::Object(fields) => lines.extend(fields.iter().map(|(name, value)| match value {
            Value::String(text) => format!("{name}: {text}"),
            other => format!("{name}: {other}"),
        })),
        Value::Null => {}
        other => lines.push(other.to_string()),
    }
}

/// Nothing of it can play with a terminal, and no part is endless.
fn bounded(lines: Vec<String>) -> Vec<String> {
    let left = lines.len().saturating_sub(SHOWN_LINES_MAX);
    let clean = |line: String| {
        let plain: String =
            line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
        shorten(&plain, SHOWN_LINE_MAX)
    };
    let mut shown: Vec<String> =
        lines.into_iter().take(SHOWN_LINES_MAX).flat_map(split_lines).map(clean).collect();
    if left > 0 {
        shown.push(format!("… {left} more lines"));
    }
    shown
}

fn split_lines(line: String) -> Vec<String> {
    if line.contains('\n') { line.lines().map(str::to_owned).collect() } else { vec![line] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(tool: &str, args: Value) -> ToolCall {
        ToolCall { tool: tool.into(), args, use_id: None, agent: None }
    }

    #[test]
    fn an_id_names_its_session_and_nothing_else_is_one() {
        let id = ApprovalId::parse("6c0494f2-3").unwrap();
        assert_eq!((id.session().as_str(), id.to_string().as_str()), ("6c0494f2", "6c0494f2-3"));
        for bad in
            ["", "6c0494f2", "6c0494f2-", "6c0494f2-x", "6c0494f2-+3", "6C0494F2-3", "6c0494f2-3-4", "-3"]
        {
            assert!(ApprovalId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_digest_is_of_tool_and_arguments_and_of_nothing_else() {
        let of = |text: &str| digest("Bash", &serde_json::from_str(text).unwrap());
        assert_eq!(of(r#"{"a":1,"b":[1,2]}"#), of(r#"{ "b": [1, 2], "a": 1 }"#));
        let all = [
            of(r#"{"a":1}"#),
            of(r#"{"a":"1"}"#),
            of(r#"{"a":[1]}"#),
            of(r#"{"a":[1,1]}"#),
            of(r#"{"a":[[1],1]}"#),
            of(r#"{"a":{"b":1}}"#),
            digest("Read", &json!({"a": 1})),
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(!all[n + 1..].contains(one), "the {n}th is equal to a later one");
        }
    }

    #[test]
    fn a_call_is_shown_as_what_it_does() {
        let check =
            |tool: &str, args: Value, expected: &[&str]| assert_eq!(shown(&call(tool, args)), expected);
        check("Bash", json!({"command": "make\n  test", "description": "x"}), &["make", "  test"]);
        check(
            "Edit",
            json!({"file_path": "/p/a.rs", "old_string": "a\nb\n", "new_string": "a\nc\n"}),
            &["/p/a.rs", " a", "-b", "+c"],
        );
        check("Write", json!({"file_path": "/p/a", "content": "x\ny"}), &["/p/a", "+x", "+y"]);
        let options = json!([{"label": "red", "description": "warm"}, {"label": "blue"}]);
        check(
            "AskUserQuestion",
            json!({"questions": [{"question": "Which colour?", "options": options}]}),
            &["Which colour?", "  1. red  warm", "  2. blue"],
        );
        check("ExitPlanMode", json!({}), &["start to work as planned"]);
        check("mcp__lab__ask", json!({"n": 1, "t": "a\nb"}), &["n: 1", "t: a", "b"]);
        check("Bash", json!({"command": "echo \u{1b}[2Jx"}), &["echo \u{fffd}[2Jx"]);
        let long = shown(&call("Bash", json!({"command": "x\n".repeat(300)})));
        assert_eq!((long.len(), long.last().unwrap().as_str()), (201, "… 100 more lines"));
    }
}
