//! What is known of a session: its row with the JSON columns understood, and how clients see it.

use crate::config::Config;
use crate::env_sets::EnvSetRef;
use crate::workspaces::WorkspaceRef;
use codepiper_api::sessions::Session;
use codepiper_core::budget::Budget;
use codepiper_core::launch::ProcessRef;
use codepiper_core::provider::Billing;
use codepiper_core::session::State;
use codepiper_store::sessions::SessionRow;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::Arc;

/// A session as the daemon knows it.
#[derive(Debug, Clone)]
pub struct Known {
    /// The row, without its `launch` and `process` columns: they are the two fields below.
    pub row: SessionRow,
    /// How it was asked to start.
    pub launch: LaunchRecord,
    /// Its process, from before it is started.
    pub process: Option<ProcessRecord>,
    /// Whether the agent's input line may hold an interrupted prompt (Claude Code puts it back there).
    pub input_is_dirty: bool,
    /// What the agent last gave its status line: model, context window, cost, limits.
    pub status_line: Option<Value>,
    /// The turn that the agent is in.
    pub turn: Turn,
    /// What the person should know of the last launch.
    pub launch_notes: Vec<String>,
}

/// Whether the agent is in a turn, as far as it told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It took no prompt since the last turn ended.
    Over,
    /// It took a prompt and has not reported the end.
    On,
    /// It shows itself idle and has not yet said how the turn ended.
    MayBeOver {
        /// How long it may take to say so; after that the turn was interrupted.
        told_by: tokio::time::Instant,
    },
}

/// How a session was asked to start. Its environment is in an owner-only file of its folder.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LaunchRecord {
    /// Arguments of the person.
    pub args: Vec<String>,
    /// Who pays.
    pub billing_mode: Billing,
    /// No permission questions.
    pub dangerous: bool,
    /// The model asked for.
    pub model: Option<String>,
    /// What it may take before every call asks.
    #[serde(skip_serializing_if = "Budget::is_empty")]
    pub budget: Budget,
    /// Env sets, in their order; their values are looked up at each launch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) env_sets: Vec<EnvSetRef>,
    /// The workspace it was started in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workspace: Option<WorkspaceRef>,
    /// The worktree made for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worktree: Option<Value>,
    /// `codepiper` when the conversation began here, `resume` or `fork` when it goes on with another.
    pub origin: String,
    /// Whether it ever got a prompt: a conversation without one cannot be resumed.
    pub was_prompted: bool,
    /// The conversation a fork began from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
}

/// What a session's hooks prove themselves with. It does not print.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The process of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessRecord {
    /// The mark of the launch, as in its run file.
    pub launch: String,
    /// What its hooks prove themselves with.
    pub secret: Secret,
    /// The pane, once tmux has it.
    pub pane: Option<PaneRecord>,
    /// The pane's own process, once it is known.
    pub supervisor: Option<ProcessRef>,
    /// The agent, once it is known.
    pub agent: Option<ProcessRef>,
    /// The socket of the agent's control channel, where it has one.
    #[serde(default)]
    pub channel: Option<PathBuf>,
    /// Where the agent keeps state files, from its environment.
    pub state_folder: Option<PathBuf>,
    /// Where the agent keeps conversations.
    pub transcript_folder: Option<PathBuf>,
    /// The person's own settings of the agent, for every project.
    #[serde(default)]
    pub settings_file: Option<PathBuf>,
}

/// A pane and the tmux server it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaneRecord {
    /// tmux's id.
    pub id: String,
    /// The server's process.
    pub server: u32,
}

/// A session as its task holds it: shared with whoever reads it, copied when it is changed after that.
#[derive(Clone)]
pub(super) struct Shared(Arc<Known>);

impl Shared {
    pub(super) fn new(known: Known) -> Self {
        Self(Arc::new(known))
    }

    /// As it is now, for others.
    pub(super) fn share(&self) -> Arc<Known> {
        self.0.clone()
    }
}

impl Deref for Shared {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.0
    }
}

impl DerefMut for Shared {
    fn deref_mut(&mut self) -> &mut Known {
        Arc::make_mut(&mut self.0)
    }
}

impl Known {
    /// Understands a stored row.
    pub fn from_row(mut row: SessionRow) -> Result<Self, serde_json::Error> {
        let launch = serde_json::from_value(row.launch.take())?;
        let process = row.process.take().map(serde_json::from_value).transpose()?;
        // How the turn ended may still be in the spool: an agent that shows itself idle has not been interrupted.
        let turn = match row.standing.state {
            State::Running | State::Waiting(_) => Turn::On,
            State::Starting | State::Idle | State::Stopped { .. } | State::Crashed { .. } => Turn::Over,
        };
        Ok(Self {
            row,
            launch,
            process,
            input_is_dirty: false,
            status_line: None,
            turn,
            launch_notes: Vec::new(),
        })
    }

    /// The row to store.
    pub fn to_row(&self) -> SessionRow {
        let mut row = self.row.clone();
        row.launch = json!(self.launch);
        row.process = self.process.as_ref().map(|process| json!(process));
        row
    }

    /// Whether the store holds the same of both.
    pub fn is_stored_like(&self, other: &Self) -> bool {
        self.row == other.row && self.launch == other.launch && self.process == other.process
    }

    /// The state.
    pub fn state(&self) -> &State {
        &self.row.standing.state
    }

    /// The pane, when there is one.
    pub fn pane(&self) -> Option<&PaneRecord> {
        self.process.as_ref()?.pane.as_ref()
    }

    fn agent_pid(&self) -> Option<u32> {
        self.process.as_ref()?.agent.filter(|_| self.state().is_live()).map(|agent| agent.pid)
    }

    /// The session as clients see it.
    pub fn view(&self, config: &Config) -> Session {
        let row = &self.row;
        let id = row.id.clone();
        let (question, exit) = match &row.standing.state {
            State::Waiting(open) => {
                let mut open = open.clone();
                open.how = open.how.replace("{id}", id.as_str());
                (Some(open), None)
            }
            State::Stopped { exit } | State::Crashed { exit } => (None, Some(*exit)),
            State::Starting | State::Idle | State::Running => (None, None),
        };
        Session {
            name: row.name.clone(),
            provider: row.provider.clone(),
            cwd: row.cwd.clone(),
            status: row.standing.state.status(),
            state: row.standing.state.word().into(),
            reason: row.standing.reason.clone(),
            since: row.standing.since,
            question,
            exit,
            created_at: row.created_at,
            updated_at: row.updated_at,
            pid: self.agent_pid(),
            pty_rows: row.rows,
            pty_cols: row.cols,
            model: row.model.clone(),
            transcript_path: row.transcript_path.clone(),
            provider_session_id: row.provider_session.clone(),
            tmux_session: id.tmux_name(),
            runtime_dir: config.session_folder(&id).display().to_string(),
            metadata: self.metadata(),
            live: None,
            id,
        }
    }

    /// Laid out as in the original, for its clients.
    fn metadata(&self) -> Value {
        let env_sets: Vec<_> = self.launch.env_sets.iter().map(|set| &set.id).collect();
        let names: Vec<_> = self.launch.env_sets.iter().map(|set| &set.name).collect();
        let mut metadata = json!({
            "launch": {
                "args": self.launch.args,
                "billingMode": self.launch.billing_mode,
                "envSetIds": env_sets,
                "envSetNames": names,
            },
            "providerSession": {
                "id": self.row.provider_session,
                "mode": if self.launch.origin == "codepiper" { "new" } else { self.launch.origin.as_str() },
                "source": match self.launch.origin.as_str() {
                    "codepiper" => "codepiper-session-id",
                    _ => "user-supplied",
                },
            },
            "security": { "dangerousMode": self.launch.dangerous },
        });
        if let Some(workspace) = &self.launch.workspace {
            metadata["workspace"] = json!(workspace);
        }
        if let Some(worktree) = &self.launch.worktree {
            metadata["worktree"] = worktree.clone();
        }
        if let Some(name) = &self.row.name {
            metadata["ui"] = json!({ "customName": name });
        }
        if let Some(model) = &self.row.model {
            metadata["currentModel"] = json!(model);
        }
        if let Some(figures) = &self.status_line {
            metadata["statusLine"] = figures.clone();
        }
        metadata
    }
}
