//! The conversation on disk: one JSON line per event, in the shape of Claude Code's transcripts.
//!
//! A file comes into being with its first prompt; a fork's begins as a copy of its parent's.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::home;

/// Tokens the invented system prompt takes: something for the first request to put into the cache.
const SYSTEM_TOKENS: u64 = 1200;

/// Invented dollars for a million tokens (input, cache write, cache read, output), so that what shows money has
/// something to show. Nobody is billed.
const PRICES: [f64; 4] = [1.0, 1.25, 0.1, 5.0];

pub(super) struct Transcript {
    pub(super) path: PathBuf,
    session_id: String,
    cwd: PathBuf,
    branch: String,
    /// The line the next one follows.
    parent: Option<String>,
    file: Option<File>,
    /// Lines to begin the file with: those of the conversation this one is forked from.
    copied: Vec<Value>,
    pub(super) lines: usize,
}

impl Transcript {
    pub(super) fn new(path: PathBuf, session_id: &str, cwd: &Path) -> Self {
        Self {
            path,
            session_id: session_id.to_owned(),
            cwd: cwd.to_owned(),
            branch: home::git_branch(cwd),
            parent: None,
            file: None,
            copied: Vec::new(),
            lines: 0,
        }
    }

    /// Goes on behind these lines: in the same file, or in a copy of it when they are another session's.
    pub(super) fn follow(&mut self, lines: Vec<Value>, fork: bool) {
        self.parent = lines.iter().rev().find_map(|line| Some(line.get("uuid")?.as_str()?.to_owned()));
        self.lines = lines.len();
        if fork {
            self.copied = lines
                .into_iter()
                .map(|mut line| {
                    line["sessionId"] = self.session_id.clone().into();
                    line
                })
                .collect();
        }
    }

    pub(super) fn exists(&self) -> bool {
        self.file.is_some() || self.path.exists()
    }

    /// Appends an event to the conversation; its uuid.
    pub(super) fn event(&mut self, body: Value) -> std::io::Result<String> {
        let uuid = home::uuid();
        let line = self.stamp(body, &uuid, &home::timestamp(home::now_ms()));
        self.parent = Some(uuid.clone());
        self.write(&line)?;
        Ok(uuid)
    }

    /// Appends a line about the conversation, which is no part of it.
    pub(super) fn note(&mut self, kind: &str, name: &str, value: &str) -> std::io::Result<()> {
        self.write(&json!({ "type": kind, name: value, "sessionId": self.session_id }))
    }

    /// A prompt that waits for the end of the turn.
    pub(super) fn queued(&mut self, prompt: &str) -> std::io::Result<()> {
        self.write(&json!({
            "type": "queue-operation", "operation": "enqueue", "timestamp": home::timestamp(home::now_ms()),
            "sessionId": self.session_id, "content": prompt,
        }))
    }

    /// A conversation begun anew in the same file, as after a compaction.
    pub(super) fn break_chain(&mut self) -> Option<String> {
        self.parent.take()
    }

    fn stamp(&self, body: Value, uuid: &str, timestamp: &str) -> Value {
        let mut line = json!({
            "parentUuid": self.parent,
            "isSidechain": false,
            "uuid": uuid,
            "timestamp": timestamp,
            "userType": "external",
            "entrypoint": "cli",
            "cwd": self.cwd,
            "sessionId": self.session_id,
            "version": super::VERSION,
            "gitBranch": self.branch,
        });
        if let (Some(line), Value::Object(body)) = (line.as_object_mut(), body) {
            line.extend(body);
        }
        line
    }

    fn write(&mut self, line: &Value) -> std::io::Result<()> {
        let mut text = String::new();
        for copied in self.copied.drain(..) {
            text.push_str(&format!("{copied}\n"));
        }
        text.push_str(&format!("{line}\n"));
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(home::open_private(&self.path)?),
        };
        self.lines += 1;
        file.write_all(text.as_bytes())
    }
}

/// Reads a transcript; lines that are no JSON are skipped, a conversation is worth more than its worst line.
pub(super) fn read(path: &Path) -> std::io::Result<Vec<Value>> {
    let text = std::fs::read(path)?;
    let lines = text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    Ok(lines.filter(Value::is_object).collect())
}

pub(super) fn human(prompt: &str, prompt_id: &str, mode: &str) -> Value {
    json!({
        "type": "user",
        "promptId": prompt_id,
        "message": { "role": "user", "content": prompt },
        "permissionMode": mode,
        "origin": { "kind": "human" },
        "promptSource": "typed",
    })
}

/// What the agent is told that nobody typed, such as a Stop hook's reason.
pub(super) fn meta(text: &str, prompt_id: &str) -> Value {
    json!({
        "type": "user",
        "promptId": prompt_id,
        "message": { "role": "user", "content": text },
        "isMeta": true,
    })
}

/// A slash command, as it is told in a transcript.
pub(super) fn command(name: &str, args: &str, prompt_id: &str) -> Value {
    let content = format!(
        "<command-name>/{name}</command-name>\n            <command-message>{name}</command-message>\n            \
         <command-args>{args}</command-args>"
    );
    json!({ "type": "user", "promptId": prompt_id, "message": { "role": "user", "content": content } })
}

pub(super) fn interrupted(prompt_id: &str, in_tool: bool, message_id: Option<&str>) -> Value {
    let text =
        if in_tool { "[Request interrupted by user for tool use]" } else { "[Request interrupted by user]" };
    let mut line = json!({
        "type": "user",
        "promptId": prompt_id,
        "message": { "role": "user", "content": [{ "type": "text", "text": text }] },
    });
    if let Some(id) = message_id {
        line["interruptedMessageId"] = id.into();
    }
    line
}

/// One content block of a message. All blocks of one message carry its id and its full usage.
pub(super) fn assistant(
    message_id: &str,
    request_id: &str,
    model: &str,
    block: &Value,
    stop: &str,
    usage: &Usage,
) -> Value {
    json!({
        "type": "assistant",
        "requestId": request_id,
        "message": {
            "id": message_id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [block],
            "stop_reason": stop,
            "stop_sequence": null,
            "usage": usage.to_json(),
            "stop_details": null,
        },
    })
}

/// Text that is no answer of the model: an API error, or what an interrupt left.
pub(super) fn synthetic(text: &str, error_status: Option<u16>) -> Value {
    let mut line = json!({
        "type": "assistant",
        "message": {
            "id": home::uuid(),
            "container": null,
            "model": "<synthetic>",
            "role": "assistant",
            "stop_details": null,
            "stop_reason": "stop_sequence",
            "stop_sequence": "",
            "type": "message",
            "usage": {
                "input_tokens": 0,
                "output_tokens": 0,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "server_tool_use": { "web_search_requests": 0, "web_fetch_requests": 0 },
                "service_tier": null,
                "cache_creation": { "ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 0 },
                "inference_geo": null,
                "iterations": null,
                "speed": null,
            },
            "content": [{ "type": "text", "text": text }],
            "context_management": null,
        },
    });
    match error_status {
        Some(status) => {
            line["requestId"] = home::id("req_").into();
            line["error"] = "unknown".into();
            line["isApiErrorMessage"] = true.into();
            line["apiErrorStatus"] = status.into();
        }
        None => line["isApiErrorMessage"] = false.into(),
    }
    line
}

/// What a tool gave: `content` for the model, `result` for whoever wants the parts.
pub(super) fn tool_result(
    prompt_id: &str,
    tool_use_id: &str,
    asked_in: &str,
    content: &str,
    result: Value,
    is_error: bool,
) -> Value {
    json!({
        "type": "user",
        "promptId": prompt_id,
        "message": {
            "role": "user",
            "content": [{
                "tool_use_id": tool_use_id,
                "type": "tool_result",
                "content": content,
                "is_error": is_error,
            }],
        },
        "toolUseResult": result,
        "sourceToolAssistantUUID": asked_in,
    })
}

pub(super) fn system(subtype: &str, body: Value) -> Value {
    let mut line = Map::from_iter([
        ("type".to_owned(), "system".into()),
        ("subtype".to_owned(), subtype.into()),
        ("isMeta".to_owned(), false.into()),
    ]);
    if let Value::Object(body) = body {
        line.extend(body);
    }
    Value::Object(line)
}

/// What one request took, in tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) input: u64,
    pub(super) cache_creation: u64,
    pub(super) cache_read: u64,
    pub(super) output: u64,
}

impl Usage {
    pub(super) fn context(&self) -> u64 {
        self.input + self.cache_creation + self.cache_read
    }

    pub(super) fn cost_usd(&self) -> f64 {
        let tokens = [self.input, self.cache_creation, self.cache_read, self.output];
        // Far below 2^52, so nothing is lost.
        tokens.iter().zip(PRICES).map(|(&tokens, price)| tokens as f64 * price).sum::<f64>() / 1e6
    }

    fn from_json(usage: &Value) -> Option<Self> {
        let tokens = |name: &str| usage.get(name)?.as_u64();
        Some(Self {
            input: tokens("input_tokens")?,
            cache_creation: tokens("cache_creation_input_tokens")?,
            cache_read: tokens("cache_read_input_tokens")?,
            output: tokens("output_tokens")?,
        })
    }

    fn to_json(self) -> Value {
        json!({
            "input_tokens": self.input,
            "cache_creation_input_tokens": self.cache_creation,
            "cache_read_input_tokens": self.cache_read,
            "output_tokens": self.output,
            "server_tool_use": { "web_search_requests": 0, "web_fetch_requests": 0 },
            "service_tier": "standard",
            "cache_creation": {
                "ephemeral_1h_input_tokens": 0,
                "ephemeral_5m_input_tokens": self.cache_creation,
            },
            "inference_geo": "",
            "iterations": [],
            "speed": "standard",
        })
    }
}

/// Counts tokens as a service with a prompt cache would: four characters are one. Deterministic.
#[derive(Debug)]
pub(super) struct Meter {
    fresh_chars: usize,
    uncached: u64,
    cached: u64,
    pub(super) last: Option<Usage>,
}

impl Default for Meter {
    fn default() -> Self {
        Self { fresh_chars: 0, uncached: SYSTEM_TOKENS, cached: 0, last: None }
    }
}

impl Meter {
    /// Goes on where a transcript ends.
    pub(super) fn after(lines: &[Value]) -> Self {
        let usages = lines.iter().rev().filter(|line| line["message"]["model"] != "<synthetic>");
        match usages.filter_map(|line| Usage::from_json(line.get("message")?.get("usage")?)).next() {
            Some(last) => Self {
                fresh_chars: 0,
                uncached: last.input + last.output,
                cached: last.cache_read + last.cache_creation,
                last: Some(last),
            },
            None => Self::default(),
        }
    }

    /// The model will see this with the next request.
    pub(super) fn read(&mut self, text: &str) {
        self.fresh_chars += text.chars().count();
    }

    /// One request that was answered with so many characters.
    pub(super) fn request(&mut self, output_chars: usize) -> Usage {
        let usage = Usage {
            input: tokens(self.fresh_chars),
            cache_creation: self.uncached,
            cache_read: self.cached,
            output: tokens(output_chars),
        };
        self.cached += self.uncached;
        self.uncached = usage.input + usage.output;
        self.fresh_chars = 0;
        self.last = Some(usage);
        usage
    }

    pub(super) fn context(&self) -> u64 {
        self.cached + self.uncached
    }
}

fn tokens(chars: usize) -> u64 {
    (chars as u64).div_ceil(4).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!("../../testdata/claude-code/transcript.jsonl");

    /// Our line has every field the recorded one has, nested ones too, each of the same JSON type.
    fn check(ours: Value, recorded: impl Fn(&Value) -> bool) {
        let transcript = Transcript::new("x.jsonl".into(), "id", Path::new("/"));
        let ours = transcript.stamp(ours, "u", "2026-11-20T21:04:34.623Z");
        let lines = RECORDED.lines().map(|line| serde_json::from_str::<Value>(line).expect("recorded JSON"));
        let like = lines.into_iter().find(recorded).expect("a recorded line like it");
        has_shape_of(&ours, &like, "");
    }

    fn has_shape_of(ours: &Value, like: &Value, place: &str) {
        match (ours, like) {
            (Value::Object(ours), Value::Object(like)) => {
                for (name, like) in like {
                    let place = format!("{place}.{name}");
                    has_shape_of(ours.get(name).unwrap_or_else(|| panic!("no {place}")), like, &place);
                }
            }
            (Value::Array(ours), Value::Array(like)) => {
                if let (Some(ours), Some(like)) = (ours.first(), like.first()) {
                    has_shape_of(ours, like, &format!("{place}[0]"));
                }
            }
            (ours, like) => {
                let same = std::mem::discriminant(ours) == std::mem::discriminant(like);
                let nullable = ours.is_null() || like.is_null();
                assert!(same || nullable, "{place} is {ours}, recorded {like}");
            }
        }
    }

    #[test]
    fn lines_have_the_recorded_shape() {
        let usage = Meter::default().request(8);
        check(human("hi", "p", "default"), |line| line["origin"]["kind"] == "human");
        let text = json!({ "type": "text", "text": "hello" });
        check(assistant("m", "r", "demo-1", &text, "end_turn", &usage), |line| {
            line["message"]["content"][0]["type"] == "text" && line["message"]["stop_reason"] == "end_turn"
        });
        let call = json!({ "type": "tool_use", "id": "t", "name": "Bash", "input": { "command": "ls", "description": "" } });
        check(assistant("m", "r", "demo-1", &call, "tool_use", &usage), |line| {
            line["message"]["content"][0]["type"] == "tool_use"
        });
        let result = json!({
            "stdout": "", "stderr": "", "interrupted": false, "isImage": false, "noOutputExpected": false,
        });
        check(tool_result("p", "t", "u", "out", result, false), |line| {
            line["message"]["content"][0]["is_error"] == false
        });
        check(tool_result("p", "t", "u", "out", "Error: out".into(), true), |line| {
            line["message"]["content"][0]["is_error"] == true
        });
        check(interrupted("p", false, None), |line| {
            line["message"]["content"][0]["text"] == "[Request interrupted by user]"
        });
        check(interrupted("p", true, Some("m")), |line| line.get("interruptedMessageId").is_some());
        check(synthetic("API Error: 400 x", Some(400)), |line| line["isApiErrorMessage"] == true);
        check(system("turn_duration", json!({ "durationMs": 1, "messageCount": 2 })), |line| {
            line["subtype"] == "turn_duration"
        });
        check(command("compact", "", "p"), |line| {
            line["message"]["content"].as_str().is_some_and(|text| text.starts_with("<command-name>"))
        });
    }

    #[test]
    fn tokens_are_counted_the_same_every_time() {
        let mut meter = Meter::default();
        meter.read("12345678");
        let first = meter.request(40);
        assert_eq!(first, Usage { input: 2, cache_creation: 1200, cache_read: 0, output: 10 });
        meter.read("1234");
        let second = meter.request(1);
        assert_eq!(second, Usage { input: 1, cache_creation: 12, cache_read: 1200, output: 1 });
        let line = assistant("m", "r", "demo-1", &json!({}), "end_turn", &second);
        assert_eq!(Meter::after(&[line]).request(1).cache_read, 1212, "a resumed session goes on counting");
    }

    #[test]
    fn a_fork_begins_with_its_parents_lines_under_its_own_id() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut fork = Transcript::new(folder.path().join("f/new.jsonl"), "new", Path::new("/"));
        fork.follow(vec![json!({ "type": "user", "uuid": "u1", "sessionId": "old" })], true);
        assert!(!fork.exists(), "nothing is written before the first prompt");
        fork.event(human("hi", "p", "default")).expect("written");
        let lines = read(&fork.path).expect("read back");
        assert_eq!(lines[0], json!({ "type": "user", "uuid": "u1", "sessionId": "new" }));
        assert_eq!((&lines[1]["parentUuid"], &lines[1]["sessionId"]), (&"u1".into(), &"new".into()));
    }
}
