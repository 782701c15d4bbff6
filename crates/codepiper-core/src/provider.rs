//! The agents we can run, as data and pure functions.
//!
//! A provider is a [`Definition`] (a TOML file: program, capabilities, keys, screens) and the [`Dialect`] it
//! speaks: what of its hooks and state files we understand. Everybody else asks for capabilities, never for
//! a provider's name.

pub mod claude;
pub mod codex;
mod definition;
mod environment;
mod screen;

pub use claude::shell_word;
pub use definition::{BadDefinition, Capabilities, Definition, Dialog, ScreenRules, Speaks, Stop};
pub use environment::{Billing, SSH_AGENT, Sources, Variables, environment_notes, session_environment};
pub use screen::{ScreenReading, read_screen};

use crate::gate::{Gate, Verdict};
use crate::hook::{HookEvent, Outcome, ToolCall};
use crate::ids::SessionId;
use crate::live::Figures;
use crate::session::{Activity, Happening};
use crate::transcript::Reader;
use jiff::Timestamp;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What an agent can tell us and how it wants to be started. One implementation a dialect; all are pure.
pub trait Dialect: Send + Sync {
    /// The command line, files and companions of a launch.
    fn launch(&self, definition: &Definition, request: &Launch<'_>) -> Plan;

    /// Understands one hook body. Total: what it does not know becomes an event without meaning.
    fn read_hook(&self, body: Value) -> HookEvent;

    /// The folder of state files that the agent writes for each of its processes, when it has one.
    fn state_folder(&self, _environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
        None
    }

    /// The state file of one process in that folder.
    fn state_file(&self, _folder: &Path, _agent_pid: u32) -> Option<PathBuf> {
        None
    }

    /// What a state file says, and when the agent noted it.
    fn read_state_file(&self, _bytes: &[u8]) -> Option<(Activity, Timestamp)> {
        None
    }

    /// The settings files that hold for the agent, strongest first; the last is the person's own, for every
    /// project.
    fn settings_files(&self, _environment: &dyn Fn(&str) -> Option<String>, _cwd: &Path) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Understands what the agent gives its status line.
    fn read_status_line(&self, _body: &Value) -> Option<StatusLine> {
        None
    }

    /// The folder below which the agent keeps its conversations: no transcript elsewhere is ever read.
    fn transcript_folder(&self, _environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
        None
    }

    /// The folder that paths are relative to in [`Reader::file`], given [`Dialect::transcript_folder`].
    fn transcript_root<'a>(&self, transcript_folder: &'a Path) -> &'a Path {
        transcript_folder
    }

    /// The folders in which all conversations lie that the agent ever kept, given [`Dialect::transcript_folder`].
    fn history_folders(&self, transcript_folder: &Path) -> Vec<PathBuf> {
        vec![transcript_folder.to_owned()]
    }

    /// The folder of the transcripts of a conversation's sub-agents, by that of the conversation itself.
    fn subagent_folder(&self, _transcript: &Path) -> Option<PathBuf> {
        None
    }

    /// Understands the transcripts of the agent as conversations, where it writes any.
    fn reader(&self) -> Option<&'static dyn Reader> {
        None
    }

    /// What one line of the transcript means for the session's state.
    fn read_transcript_line(&self, _line: &[u8]) -> Vec<Note> {
        Vec::new()
    }

    /// Whether a line of the transcript is part of a conversation, and not only about it.
    fn is_conversation(&self, _line: &[u8]) -> bool {
        true
    }

    /// Whether [`Note::TurnWritten`] follows every turn that ends.
    fn tells_turn_is_written(&self) -> bool {
        false
    }

    /// The gate that a hook of this name stands at, where the agent waits for an answer that decides.
    fn gate(&self, _event: &str) -> Option<Gate> {
        None
    }

    /// What the hook prints to say this. Empty where the agent has no way to be told so: it goes on by its own rules.
    fn answer(&self, _gate: Gate, _call: &ToolCall, _verdict: &Verdict) -> String {
        String::new()
    }

    /// What the event tells of a call that was made; `None` for every other event.
    fn outcome(&self, _event: &HookEvent) -> Option<Outcome> {
        None
    }

    /// A key that is equal for the same call in every hook, also in those that do not name it by its id.
    fn call_key(&self, call: &ToolCall) -> String {
        call.key()
    }

    /// Where a hook can stay open until a person has answered. At any other gate it must be answered at once.
    fn waits_at(&self) -> Option<Gate> {
        None
    }

    /// What a line of the agent's control channel (Codex's app server) means.
    fn read_channel(&self, _message: &Value) -> ChannelMessage {
        ChannelMessage::default()
    }
}

/// What the agent gives its status line, as far as we keep it.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusLine {
    /// The model in force, by the name the API has for it.
    pub model: String,
    /// Model, context window, cost and limits, as the agent tells them.
    pub figures: Value,
    /// The same, understood.
    pub live: Figures,
}

/// What a transcript line tells about the live session.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// Something happened.
    Happened(Happening),
    /// All of the turn that ended is in the transcript.
    TurnWritten,
    /// What the agent told of itself.
    Figures(Figures),
    /// A prompt sent in the middle of a turn was put into the agent's queue.
    PromptQueued {
        /// Its text.
        text: String,
    },
}

/// What a message of the control channel tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChannelMessage {
    /// What it means for the state.
    pub happenings: Vec<Happening>,
    /// The conversation it speaks of. There are others than the person's own (titles, sub-agents): what
    /// happens in those is not the session's.
    pub thread: Option<String>,
    /// What it teaches.
    pub learned: crate::hook::Learned,
    /// What it says beyond that, for whoever talks back.
    pub told: Option<Told>,
}

/// What a channel message says that is needed to talk back.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// A conversation was opened.
    Opened {
        /// Whether it is a person's own; the agent opens others for titles and sub-agents.
        own: bool,
    },
    /// A conversation is no longer in the agent's memory.
    Closed,
    /// A conversation's status changed, which every client hears, also one that does not follow it.
    Stirred,
    /// Files that a change names, before it is asked for.
    WillChange {
        /// The agent's id of the change.
        item: String,
        /// The files.
        files: Vec<String>,
    },
    /// A question that can be answered here as well as at the terminal; the first answer wins.
    Asked(Approval),
    /// A question that was answered, here or at the terminal.
    Resolved {
        /// Its [`Approval::request`].
        request: Value,
    },
}

/// An open question of the control channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// The agent's id of the request: a number or a text, sent back as it came.
    pub request: Value,
    /// What is asked.
    pub kind: ApprovalKind,
    /// The agent's id of the call, as in [`ToolCall::use_id`] of its hooks.
    pub item: Option<String>,
    /// The call that waits, for those that are about one.
    pub call: Option<ToolCall>,
    /// The body as it came.
    pub params: Value,
}

/// What an [`Approval`] asks for, which decides the answers it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalKind {
    /// To run a command.
    Command,
    /// To change files.
    FileChange,
    /// To widen the sandbox.
    Permissions,
    /// To answer a question of the model.
    Question,
    /// To answer a question of an MCP server.
    Elicitation,
}

/// Which conversation a launch opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conversation {
    /// A new one; the id is used where the agent lets us choose.
    New {
        /// A fresh UUID.
        id: String,
    },
    /// An earlier one goes on.
    Resume {
        /// The agent's own id of it.
        id: String,
    },
    /// A copy of an earlier one goes on by itself.
    Fork {
        /// The agent's own id of the earlier one.
        parent: String,
        /// A fresh UUID for the copy, where the agent lets us choose.
        id: String,
    },
}

/// What a launch is asked to do. Paths are absolute.
#[derive(Debug, Clone)]
pub struct Launch<'a> {
    /// Our session.
    pub session: &'a SessionId,
    /// Where the agent works.
    pub cwd: &'a Path,
    /// Which conversation.
    pub conversation: &'a Conversation,
    /// The model to use, when the person said one.
    pub model: Option<&'a str>,
    /// No permission questions at all.
    pub dangerous: bool,
    /// What the person wants added to the command line.
    pub extra_args: &'a [String],
    /// The session's own folder, owner-only.
    pub runtime_dir: &'a Path,
    /// The settings that hold for the agent already, strongest first.
    pub settings: &'a [Value],
    /// Our own program, for hooks.
    pub codepiper: &'a Path,
    /// The agent's version, where it is known.
    pub version: Option<(u64, u64, u64)>,
}

/// How a launch is carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Arguments after the program.
    pub args: Vec<String>,
    /// Variables to set, after everything else.
    pub environment: Vec<(String, String)>,
    /// Owner-only files to write before the start.
    pub files: Vec<(PathBuf, String)>,
    /// A process that must be there first, in the same environment and process tree.
    pub companion: Option<Companion>,
    /// The agent's id of the conversation, when it is known before the start.
    pub provider_session: Option<String>,
}

/// A process beside the agent that ends with it. It starts in the agent's folder: Codex's server works where
/// it was started, wherever the TUI is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companion {
    /// Arguments after the provider's program.
    pub args: Vec<String>,
    /// The Unix socket it listens on once it is ready.
    pub ready_socket: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
}

/// A provider, ready to use.
#[derive(Clone)]
pub struct Provider {
    /// Its data.
    pub definition: Definition,
    dialect: &'static dyn Dialect,
}

impl Provider {
    /// The provider that the definition describes.
    pub fn new(definition: Definition) -> Self {
        let dialect = definition.speaks.dialect();
        Self { definition, dialect }
    }

    /// Its id, as in `start -p`.
    pub fn id(&self) -> &str {
        &self.definition.id
    }

    /// What it can do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.definition.capabilities
    }

    /// How it speaks.
    pub fn dialect(&self) -> &'static dyn Dialect {
        self.dialect
    }

    /// Whether its sessions have a control channel beside the terminal.
    pub fn has_channel(&self) -> bool {
        self.definition.speaks == Speaks::Codex
    }

    /// The plan of a launch.
    pub fn launch(&self, request: &Launch<'_>) -> Plan {
        self.dialect.launch(&self.definition, request)
    }
}

impl Speaks {
    /// How it is spoken.
    pub fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::Claude => &claude::Claude,
            Self::Codex => &codex::Codex,
            Self::Screen => &screen::ScreenOnly,
        }
    }
}

/// The definitions inside this program.
pub fn built_in() -> Vec<Definition> {
    [
        include_str!("provider/definitions/claude-code.toml"),
        include_str!("provider/definitions/codex.toml"),
        include_str!("provider/definitions/demo.toml"),
        include_str!("provider/definitions/gemini.toml"),
        include_str!("provider/definitions/opencode.toml"),
        include_str!("provider/definitions/aider.toml"),
        include_str!("provider/definitions/cursor-agent.toml"),
    ]
    .into_iter()
    .map(|text| Definition::parse(text).expect("the built-in definitions are tested"))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_definition_is_whole_and_has_its_own_id() {
        let mut ids: Vec<String> = built_in().into_iter().map(|definition| definition.id).collect();
        assert_eq!(ids, ["claude-code", "codex", "demo", "gemini", "opencode", "aider", "cursor-agent"]);
        ids.dedup();
        assert_eq!(ids.len(), 7);
    }
}
