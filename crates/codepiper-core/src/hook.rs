//! What any provider can tell us through its hooks, in words that belong to no provider.

use crate::session::Happening;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The largest hook body that is taken, in bytes. A tool result with an image is a few megabytes; what is
/// larger is refused by the API, and the agent goes on without an answer.
pub const HOOK_BODY_MAX: usize = 16 * 1024 * 1024;

/// One hook event as the provider's file understood it. What it did not understand is still in `raw`.
#[derive(Debug, Clone, PartialEq)]
pub struct HookEvent {
    /// The event's name as the agent gave it, e.g. `PreToolUse`; `unknown` when it gave none.
    pub name: String,
    /// What it means for the session's state, in order.
    pub happenings: Vec<Happening>,
    /// The call, for events that are about one.
    pub tool: Option<ToolCall>,
    /// The prompt, for the event that reports one.
    pub prompt: Option<String>,
    /// What the event teaches about the session.
    pub learned: Learned,
    /// The body as it came.
    pub raw: Value,
}

/// Facts about a session that an agent reports in passing. `None` means: nothing said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learned {
    /// The agent's own id of the conversation.
    pub provider_session: Option<String>,
    /// Where it writes the conversation. Not to be followed before it was checked to lie in the provider's
    /// own folder.
    pub transcript_path: Option<String>,
    /// The model that answers.
    pub model: Option<String>,
    /// That it got a prompt.
    pub was_prompted: bool,
}

/// A tool that an agent wants to use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolCall {
    /// The tool's name as the agent knows it: `Bash`, `Edit`, `mcp__server__tool`.
    pub tool: String,
    /// Its arguments.
    pub args: Value,
    /// The agent's id of the call, where it gives one.
    pub use_id: Option<String>,
    /// The sub-agent that calls, when it is not the main one.
    pub agent: Option<String>,
}

/// What became of a tool call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Why it failed; `None` when it did not, as far as the agent tells.
    pub error: Option<String>,
    /// A person ended it.
    pub was_interrupted: bool,
    /// How long it took, where the agent says so.
    pub duration_ms: Option<u64>,
}

impl ToolCall {
    /// A key that is equal for the same call in different events. Needed because Claude Code's
    /// `PermissionRequest` has no `tool_use_id` (measured, 2.1.197).
    pub fn key(&self) -> String {
        format!("{} {}", self.tool, self.args)
    }

    /// One line that lets a person decide: the command, the file, the address.
    pub fn in_one_line(&self) -> String {
        const LINE_MAX: usize = 200; // characters; a terminal row or two
        let argument = ["command", "file_path", "path", "url", "pattern", "query", "prompt", "description"]
            .iter()
            .find_map(|name| self.args.get(name).and_then(Value::as_str))
            .map(str::to_owned)
            .unwrap_or_else(|| match &self.args {
                Value::Null => String::new(),
                Value::Object(map) if map.is_empty() => String::new(),
                other => other.to_string(),
            });
        let line = format!("{} {}", self.tool, argument.split_whitespace().collect::<Vec<_>>().join(" "));
        shorten(line.trim_end(), LINE_MAX)
    }
}

/// The text, cut to so many characters with an ellipsis where it was longer.
pub fn shorten(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The longest string inside a stored event, in characters. A tool result or a file's content can be
/// megabytes; the transcript keeps it, the event log keeps its beginning.
const STORED_STRING_MAX: usize = 16 * 1024;

/// The value with every long string cut and marked, for the event log.
pub fn bounded(mut value: Value) -> Value {
    cut(&mut value);
    value
}

fn cut(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > STORED_STRING_MAX => {
            let kept = shorten(text, STORED_STRING_MAX);
            if kept.len() < text.len() {
                *text = format!("{kept} ({} bytes in all)", text.len());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(cut),
        Value::Object(fields) => fields.values_mut().for_each(cut),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_stored_event_has_no_endless_strings_and_keeps_the_rest() {
        let long = "x".repeat(20_000);
        let kept = bounded(json!({"a": ["short", long], "n": 1}));
        assert_eq!(kept["a"][0], "short");
        assert_eq!(kept["n"], 1);
        let text = kept["a"][1].as_str().unwrap();
        assert!(text.len() < 17_000 && text.ends_with("(20000 bytes in all)"));
    }

    #[test]
    fn a_call_in_one_line_shows_what_decides() {
        let check = |tool: &str, args: Value, expected: &str| {
            let call = ToolCall { tool: tool.into(), args, use_id: None, agent: None };
            assert_eq!(call.in_one_line(), expected);
        };
        check(
            "Bash",
            json!({"command": "touch a &&\n  echo hi", "description": "x"}),
            "Bash touch a && echo hi",
        );
        check("Write", json!({"content": "…", "file_path": "/p/new.txt"}), "Write /p/new.txt");
        check("mcp__lab__ask", json!({"n": 1}), r#"mcp__lab__ask {"n":1}"#);
        check("ExitPlanMode", json!({}), "ExitPlanMode");
        check("Bash", json!({"command": "é".repeat(300)}), &format!("Bash {}…", "é".repeat(195)));
    }
}
