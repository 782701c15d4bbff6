//! Sessions on the wire.

use codepiper_core::budget::{Budget, Spent};
use codepiper_core::ids::SessionId;
use codepiper_core::live::{Context, Limit};
use codepiper_core::provider::Billing;
use codepiper_core::session::{Exit, Status, Waiting};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The longest text that is taken by `send`, in characters, as the original.
pub const TEXT_MAX: usize = 1_048_576;

/// The most keys in one request, as the original.
pub const KEYS_MAX: usize = 100;

/// The longest name of a session, in characters, as the original.
pub const NAME_MAX: usize = 80;

/// A session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Eight hexadecimal digits.
    pub id: SessionId,
    /// The name a person gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its provider's id.
    pub provider: String,
    /// Where the agent works.
    pub cwd: String,
    /// One of six words; `state` is finer.
    pub status: Status,
    /// `starting`, `idle`, `running`, `waiting`, `stopped`, `crashed`.
    pub state: String,
    /// Why it is in that state, in plain language.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// The open question of a waiting session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Waiting>,
    /// How the agent ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When something of it last changed.
    pub updated_at: Timestamp,
    /// The agent's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Rows of its terminal.
    pub pty_rows: u16,
    /// Columns of its terminal.
    pub pty_cols: u16,
    /// The model that answers, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where the agent keeps the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript_path: Option<String>,
    /// The agent's own id of the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_session_id: Option<String>,
    /// The tmux session that carries it.
    pub tmux_session: String,
    /// The folder of its recording and other files.
    pub runtime_dir: String,
    /// How it was launched and other facts, laid out as in the original.
    pub metadata: Value,
    /// What it takes and has left, once something of it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveView>,
}

/// What a session takes and has left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveView {
    /// The context window, once a model has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// What it took so far, by its transcripts; its time is not counted here.
    pub spent: Spent,
    /// The limits that its service told it, shortest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
}

/// The limits of a provider's service, as any of its sessions was last told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProviderLimits {
    /// The provider.
    pub provider: String,
    /// Shortest first.
    pub limits: Vec<Limit>,
}

/// `{"session": …}`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionBody {
    /// The session.
    pub session: Session,
    /// Of a start: what the person should know of it, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What a start takes from the shell it is typed in: where programs are found, and the SSH agent of now. The
/// daemon's own are as old as the daemon.
pub const SHELL_VARIABLES: [&str; 3] = ["PATH", "SSH_AUTH_SOCK", "SSH_AGENT_PID"];

/// `POST /sessions/:id/resume` and `recover`; the body may be missing
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResumeSession {
    /// What the shell has, as with a start. What is not said stays as it was.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub shell_env: BTreeMap<String, String>,
}

/// `GET /sessions`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionList {
    /// Oldest first.
    pub sessions: Vec<Session>,
    /// The limits that hold now, by provider.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<ProviderLimits>,
}

/// Filters of `GET /sessions`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionQuery {
    /// Only this provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Only this status word or state word, in any case; `live` and `ended` sum them up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Only in or below this folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
}

/// `POST /sessions`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateSession {
    /// The provider's id.
    pub provider: String,
    /// An absolute path.
    pub cwd: String,
    /// A name of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Variables for the agent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What the shell has that the start was typed in, weaker than env sets and `env`: names of
    /// [`SHELL_VARIABLES`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub shell_env: BTreeMap<String, String>,
    /// Env sets, by id or name; later ones win, and `env` wins over them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env_set_ids: Vec<String>,
    /// A workspace, by id or name: where nothing else is said its folder and defaults are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<String>,
    /// More arguments for the agent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Who pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_mode: Option<Billing>,
    /// No permission questions.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dangerous_mode: bool,
    /// The model to start with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it may take before every tool call asks.
    #[serde(skip_serializing_if = "Budget::is_empty")]
    pub budget: Budget,
    /// A worktree to work in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worktree: Option<WorktreeRequest>,
    /// An earlier conversation to go on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_resume: Option<ProviderResume>,
    /// Policy sets for it: ids, names or prefixes. It gets the default set besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy_set_ids: Vec<String>,
    /// Columns of its terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cols: Option<u16>,
    /// Rows of its terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u16>,
}

/// A worktree to make for a session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorktreeRequest {
    /// The branch; a new one named after the session where it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Whether to create the branch.
    pub create_branch: bool,
    /// Where a new branch starts, HEAD unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_point: Option<String>,
}

/// An earlier conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderResume {
    /// The agent's own id of it, or one of our sessions (id, prefix or name).
    pub provider_session_id: String,
    /// Go on with it, or with a copy.
    #[serde(default)]
    pub mode: ResumeMode,
}

/// Go on with a conversation, or with a copy of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the words say it
pub enum ResumeMode {
    #[default]
    Resume,
    Fork,
}

/// `POST /sessions/:id/send`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SendText {
    /// What to type, as it is.
    pub text: String,
    /// Whether to submit it and wait until the agent took it.
    pub newline: bool,
    /// Pictures that were uploaded to this session, to go with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
}

/// `POST /sessions/:id/upload-image`, a form with the field `image`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UploadedImage {
    /// Where the daemon keeps it.
    pub path: String,
    /// The file's name there.
    pub filename: String,
}

/// What became of a text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// Always true: a text that was not taken is an error.
    pub success: bool,
    /// Who says that the agent took it: `hook`, `transcript`, `channel`, `screen`, or its `exit`; `typed` when it was
    /// not submitted.
    pub acknowledged_by: String,
    /// The number of the event that acknowledged it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<u64>,
}

/// `POST /sessions/:id/keys`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SendKeys {
    /// Key names, in order.
    pub keys: Vec<String>,
}

/// `POST /sessions/:id/slash`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Slash {
    /// The command, with or without its slash.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
}

/// `PUT /sessions/:id/name`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rename {
    /// The new name; none takes the old one away.
    pub name: Option<String>,
}

/// `POST /sessions/:id/resize`
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Resize {
    /// 10 to 1,000.
    pub cols: u16,
    /// 3 to 500.
    pub rows: u16,
}

/// `PUT /sessions/:id/model`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SetModel {
    /// The model's name as the agent knows it.
    pub model: String,
}

/// `GET /sessions/:id/model`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// The model that answers, where it is known.
    pub model: Option<String>,
    /// The provider's id.
    pub provider: String,
    /// Whether it can be switched.
    pub supports_model_switch: bool,
}

/// `GET /sessions/:id/output`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Screen {
    /// The screen as bytes that draw it on an empty terminal of that size.
    pub output: String,
    /// The position in the output stream that it shows.
    pub position: u64,
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// `GET /sessions/:id/attach`: what a native attach needs to know. A client appends a tmux command.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attach {
    /// The tmux program.
    pub program: String,
    /// Its arguments that choose the server; none for the default server of the daemon's user.
    pub arguments: Vec<String>,
    /// The tmux session, to be addressed as `=name`.
    pub session: String,
    /// The agent's pane.
    pub pane: String,
    /// The tmux server's process, by which a client inside tmux knows whether it is inside this one.
    pub server_pid: u32,
    /// Whether the agent runs; else the pane shows its last screen.
    pub live: bool,
}

/// `DELETE /sessions/:id`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Removed {
    /// Always true: what failed is an error.
    pub success: bool,
    /// What became of the worktree that was made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree: Option<FormerWorktree>,
}

/// The worktree of a session that left the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FormerWorktree {
    /// Whether it is still there.
    pub kept: bool,
    /// Why, in plain language, when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its folder.
    pub path: String,
    /// The main folder of its repository, where git can remove it.
    pub repo_root: String,
    /// The branch it was made with.
    pub branch: String,
    /// Whether that branch is gone too; only one that was made for the session ever is.
    pub branch_deleted: bool,
}

/// `{"success": true}`
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Done {
    /// Always true: what failed is an error.
    pub success: bool,
}
