//! What a session can be told: the one list.

use codepiper_api::Refusal;
use codepiper_core::hook::Learned;
use codepiper_core::provider::{Conversation, Variables};
use codepiper_core::session::Happening;
use serde_json::Value;
use tokio::sync::oneshot;

/// How an end is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndKind {
    /// The agent is asked, and its last screen stays.
    Stop,
    /// Everything of it is killed at once, and its tmux session goes.
    Kill,
}

/// What a session can be told.
pub enum Command {
    /// Starts the process, for the first time or again.
    Launch {
        /// Which conversation.
        conversation: Conversation,
        /// When it runs, or why it does not.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Goes on with the conversation of an ended session.
    Resume {
        /// What the shell has in which it was typed; what it does not say stays as it was.
        shell: Variables,
        /// When it runs, or why it does not.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// At the daemon's start no process of the session was found. Settles how it ended, and brings it back when
    /// tmux or the machine went away. Whoever watches its process may have been faster.
    ProcessGone {
        /// The launch that was looked for.
        launch: Option<String>,
        /// When it is settled.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// A hook event arrived.
    Hook {
        /// The sender's own id of the event.
        uid: Option<String>,
        /// What proves the sender.
        secret: String,
        /// The body.
        body: Vec<u8>,
        /// What to print to the agent; empty for no answer.
        reply: oneshot::Sender<Result<String, Refusal>>,
    },
    /// Looks at the screen.
    Look {
        /// Its lines.
        reply: oneshot::Sender<Result<Vec<String>, Refusal>>,
    },
    /// The agent ran its status line.
    StatusLine {
        /// What proves the sender.
        secret: String,
        /// The body.
        body: Vec<u8>,
        /// When it is known.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// The model was switched at our request, and is to be the one after a resume too.
    ModelSwitched {
        /// The name that was asked for.
        asked: String,
        /// The model in force.
        model: String,
        /// When it is stored.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Ends the process.
    End {
        /// How.
        kind: EndKind,
        /// Who asked.
        by: String,
        /// When it has ended.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Gives it another name, or none.
    Rename {
        /// The name.
        name: Option<String>,
        /// When it is stored.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Gives its terminal another size.
    Resize {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
        /// When tmux did it.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Something happened that the daemon itself saw or did.
    Note {
        /// What it means.
        happenings: Vec<Happening>,
        /// What it teaches.
        learned: Learned,
        /// What to log: source, type, payload. `None` logs only what it changes.
        event: Option<(&'static str, &'static str, Value)>,
        /// When it is stored.
        reply: oneshot::Sender<Result<u64, Refusal>>,
    },
    /// Takes an ended session off the list.
    Remove {
        /// When it is gone.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Ends this task; the session goes on without a daemon.
    LetGo {
        /// When nothing is under way any more.
        reply: oneshot::Sender<()>,
    },
}
