//! Conversations as agents write them down, in no provider's words.
//!
//! A transcript is a file of lines that only grows. A [`Reader`] takes one line after the other; all it has to
//! remember between two lines is a [`Context`], which is stored with the place in the file, so that reading can stop
//! and go on at any line. Bad input is data: a line that is not understood is counted, never an error.

use crate::hook::shorten;
use crate::usage::Usage;
use jiff::Timestamp;
use lenient::Object;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

pub(crate) mod count;
pub(crate) mod lenient;

/// Understands the transcripts of one kind of agent.
pub trait Reader: Send + Sync {
    /// What one line says, without its newline. `context` is what earlier lines of the same file said.
    fn read(&self, context: &mut Context, line: &[u8]) -> Line;

    /// The usage that a line tells, and nothing else of it: what [`Reader::read`] would say, sooner. `context` is that of
    /// counting, for which most lines are passed over.
    fn count(&self, context: &mut Context, line: &[u8]) -> Counted;

    /// Whether a file below the provider's folder is a transcript, by its path relative to that folder, and what is
    /// known of it from that. `None` for any other file.
    fn file(&self, path: &str) -> Option<FileKind>;
}

/// What the path of a transcript tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileKind {
    /// The provider's id of the conversation; `None` where only the lines tell it (old sub-agents of Claude Code).
    pub conversation: Option<String>,
    /// The sub-agent whose file this is.
    pub agent: Option<String>,
}

/// What a reader remembers from line to line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// The provider's id of the conversation.
    pub conversation: Option<String>,
    /// The conversation this one was forked from, where the file says so.
    pub parent: Option<String>,
    /// The sub-agent whose file this is.
    pub agent: Option<String>,
    /// The model of the replies that come.
    pub model: Option<String>,
    /// The folder the agent works in.
    pub cwd: Option<String>,
    /// The branch checked out there.
    pub branch: Option<String>,
    /// Running totals of the conversation, for agents that tell only those.
    pub totals: Option<crate::usage::Tokens>,
    /// The file has exact records of its replies: running totals count nothing.
    pub has_records: bool,
    /// Titles by which the conversation is known, the last one given.
    pub title: Option<String>,
    /// The title is a person's: none of the agent's own replaces it.
    pub named: bool,
    /// The conversation whose running totals go on in this one: the first of a line of forks.
    pub root: Option<String>,
    /// The file tells what was said in records with ids: the same without is skipped.
    pub has_items: bool,
    /// What is known of calls whose results come later, the oldest first; never more than [`CALLS_MAX`].
    pub calls: Vec<Call>,
    /// When the last line was written that told it.
    pub at: Option<Timestamp>,
}

/// What is known of a call before its result comes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// The agent's id of it.
    pub call: String,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// How long it ran, in milliseconds.
    pub duration_ms: Option<u64>,
}

/// The most calls that are remembered. Agents run a handful at once; what is left over never got a result.
pub const CALLS_MAX: usize = 64;

impl Context {
    /// Keeps what is known of a call until its result comes.
    pub(crate) fn remember(&mut self, call: Call) {
        if self.calls.len() >= CALLS_MAX {
            self.calls.remove(0);
        }
        self.calls.push(call);
    }

    /// What was kept of a call, once.
    pub(crate) fn recall(&mut self, call: &str) -> Option<Call> {
        let index = self.calls.iter().position(|known| known.call == call)?;
        Some(self.calls.remove(index))
    }

    /// The model of the replies that come; whether that is another one than before.
    pub(crate) fn switch_model(&mut self, model: &str) -> bool {
        let known = self.model.replace(model.to_owned());
        known.is_some_and(|known| known != model)
    }
}

/// What one line says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Line {
    /// Pieces of the conversation, in order.
    pub entries: Vec<Entry>,
    /// The usage of a reply.
    pub usage: Option<Usage>,
    /// How well it was understood.
    pub understood: Understood,
}

impl Line {
    /// A line that is no record.
    pub(crate) fn broken(why: &str) -> Self {
        Self { understood: Understood::Broken(name(why)), ..Self::default() }
    }

    /// A line of a kind that this version does not know.
    pub(crate) fn unknown(kind: &str) -> Self {
        Self { understood: Understood::UnknownKind(name(kind)), ..Self::default() }
    }
}

/// What one line says for the count.
#[derive(Debug, Clone, PartialEq)]
pub enum Counted {
    /// Nothing.
    Nothing,
    /// The usage of a reply.
    Reply(Usage),
    /// The usage of a reply of which a part stands in lines that were passed over. All lines have to be read, from where
    /// none was.
    InOthers,
}

/// How well a line was understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Understood {
    /// All that matters in it.
    #[default]
    Whole,
    /// A kind of record that this version does not know.
    UnknownKind(String),
    /// Not a record at all.
    Broken(String),
}

/// A piece of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its own id: the same piece in a copy of the file has the same. Unique within a conversation.
    pub uid: String,
    /// When it was written, by the record. A record without a time has that of the line before.
    pub at: Option<Timestamp>,
    /// The sub-agent it belongs to; `None` for the conversation itself.
    pub agent: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// What a person would read, and a search finds. May be empty.
    pub text: String,
}

/// What a piece of a conversation is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Kind {
    /// What the person said, or what was said in the person's place.
    User {
        /// Who spoke, where it was not a person: `task-notification`, `compaction`, `hook`, ….
        #[serde(skip_serializing_if = "Option::is_none")]
        origin: Option<String>,
        /// Pictures and files that came with it, by name or media type, never their content.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<String>,
    },
    /// What the agent said.
    Assistant {
        /// By this model.
        model: Option<String>,
    },
    /// What the agent thought, as far as it shows it.
    Thinking,
    /// A tool call. The text is its arguments, readable.
    ToolCall {
        /// The agent's id of the call.
        call: String,
        /// The tool.
        tool: String,
        /// Its arguments; long texts in them are cut.
        input: Value,
    },
    /// What a tool call gave.
    ToolResult {
        /// The agent's id of the call.
        call: String,
        /// Whether it failed, was refused or interrupted.
        outcome: Outcome,
        /// How long it ran, in milliseconds, where the record says so.
        #[serde(skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
        /// Pictures in it, by media type.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<String>,
    },
    /// A decision about a call that the transcript tells of.
    Decision {
        /// The agent's id of the call.
        call: Option<String>,
        /// `allow`, `deny` or `ask`.
        decision: String,
    },
    /// The conversation was summarised; the text is the summary, where the record has it.
    Compaction,
    /// Something failed that the agent wrote down: an error of the API, an interrupt.
    Error {
        /// What kind: `api`, `interrupted`, ….
        error: String,
    },
    /// Another model from here on.
    ModelChange {
        /// Which.
        model: String,
    },
    /// Anything else worth a line: a command of the agent's own, a note of the system.
    Note {
        /// What kind, in the agent's words.
        note: String,
    },
}

/// How a tool call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It did what it should.
    Ok,
    /// It ran and failed.
    Failed,
    /// It was not allowed to run.
    Refused,
    /// Somebody stopped it.
    Interrupted,
}

/// The most text of one entry that is kept, in bytes. A person reads no more at once; the rest stays in the file.
pub const TEXT_MAX: usize = 32 * 1024;

/// The most text of what a tool gave that is kept, in bytes: what files hold and programs print is not what was said, and
/// ten times as much.
pub const RESULT_MAX: usize = 4 * 1024;

/// The most text of one argument of a tool call that is kept, in bytes.
pub const ARGUMENT_MAX: usize = 8 * 1024;

/// The longest id that is kept, in characters. Those of agents have about 40.
const ID_MAX: usize = 200;

/// The longest name of a kind that is kept, in characters.
const NAME_MAX: usize = 80;

/// The text, with at most so many bytes; where some are left out it says so.
pub(crate) fn cut(text: Cow<str>, max_bytes: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= max_bytes {
        return text.into_owned();
    }
    let end = (0..=max_bytes.saturating_sub(MARK.len())).rev().find(|end| text.is_char_boundary(*end));
    let end = end.unwrap_or_default();
    format!("{}{MARK}", &text[..end])
}

/// An id for what has none: the line itself tells it from every other.
pub(crate) fn fingerprint(line: &[u8]) -> String {
    Sha256::digest(line).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a line, unless it is empty; one that is broken again without half characters.
///
/// Agents cut long texts, and one that counts in UTF-16 cuts between the two halves of a character. What it writes
/// then is not quite JSON, but all the rest of the line is as good as any other's, its tokens among it.
pub(crate) fn mending(line: &[u8], mut read: impl FnMut(&[u8]) -> Line) -> Line {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Line::default();
    }
    let first = read(line);
    match first.understood {
        Understood::Broken(_) => mended(line).map_or(first, |mended| read(&mended)),
        Understood::Whole | Understood::UnknownKind(_) => first,
    }
}

/// The object that a line is, or why it is none.
pub(crate) fn object<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, String> {
    let object: Object<T> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    object.0.ok_or_else(|| "not an object".to_owned())
}

/// The line with a replacement for every half of a character; `None` where there is none.
fn mended(line: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(line);
    let mut mended = matches!(text, Cow::Owned(_));
    let mut out = String::with_capacity(text.len());
    let mut rest: &str = &text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match (escaped(rest), rest.get(6..).and_then(escaped)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                mended = true;
                out.push('\u{fffd}');
                rest = &rest[6..];
                continue;
            }
            _ => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out.push_str(rest);
    mended.then(|| out.into_bytes())
}

/// The number in a `\uXXXX` at the start of a text.
fn escaped(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

/// An id as it is kept.
pub(crate) fn id(text: &str) -> String {
    if text.len() <= ID_MAX { text.to_owned() } else { shorten(text, ID_MAX) }
}

/// A word that somebody else made up, such that it can be shown and counted.
pub(crate) fn name(text: &str) -> String {
    if text.len() <= NAME_MAX && !text.contains(char::is_control) {
        return text.to_owned();
    }
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let clean: String = text.chars().take(NAME_MAX + 1).map(clean).collect();
    shorten(&clean, NAME_MAX)
}

/// Adds a paragraph to a text that has a limit.
pub(crate) fn add(text: &mut String, more: &str) {
    let left = TEXT_MAX.saturating_sub(text.len() + 1);
    if more.is_empty() || left == 0 {
        return;
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&cut(Cow::Borrowed(more), left));
}

/// Arguments of a call as a person reads them: a command by itself, everything else under its name.
pub(crate) fn readable(input: &Value) -> String {
    let Value::Object(arguments) = input else { return plain(input) };
    let mut text = String::new();
    let (commands, others): (Vec<_>, Vec<_>) =
        arguments.iter().partition(|(name, _)| matches!(name.as_str(), "command" | "cmd"));
    for (_, command) in commands {
        add(&mut text, &plain(command));
    }
    for (name, argument) in others {
        add(&mut text, &format!("{name}: {}", plain(argument)));
    }
    text
}

/// A value without quotes around a text; words of a command line one after the other.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(words) if !words.is_empty() && words.iter().all(Value::is_string) => {
            words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        other => cut(other.to_string().into(), TEXT_MAX),
    }
}

#[cfg(test)]
pub(crate) mod tests;
