//! Conversations as agents write them down, in no provider's words.
//!
//! A transcript is a file of lines that only grows. A [`Reader`] takes one line after the other; all it has to
//! remember between two lines is a [`Context`], which is stored with the place in the file, so that reading can stop
//! and go on at any line. Bad input is data: a line that is not understood is counted, never an error.

use crate::usage::Usage;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Understands the transcripts of one kind of agent.
pub trait Reader: Send + Sync {
    /// What one line says, without its newline. `context` is what earlier lines of the same file said.
    fn read(&self, context: &mut Context, line: &[u8]) -> Line;

    /// Whether a file below the provider's folder is a transcript, by its path relative to that folder, and what is
    /// known of it from that. `None` for any other file.
    fn file(&self, path: &str) -> Option<FileKind>;
}

/// What the path of a transcript tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileKind {
    /// The provider's id of the conversation.
    pub conversation: String,
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

/// The most text of one argument of a tool call that is kept, in bytes.
pub const ARGUMENT_MAX: usize = 8 * 1024;
