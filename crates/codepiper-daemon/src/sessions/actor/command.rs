//! What a session can be told: the one list.

use super::approvals::{Closing, Open, Waits};
use super::gates::HookAnswer;
use codepiper_api::Refusal;
use codepiper_core::budget::Budget;
use codepiper_core::gate::Verdict;
use codepiper_core::hook::{Learned, ToolCall};
use codepiper_core::provider::{Approval, ChannelMessage, Conversation, Variables};
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
        /// What to print to the agent, now or later.
        reply: oneshot::Sender<Result<HookAnswer, Refusal>>,
    },
    /// A hook waits for an approval.
    WaitForApproval {
        /// Its number.
        number: u64,
        /// What proves the hook.
        secret: String,
        /// What it prints, or when that will be known.
        reply: oneshot::Sender<Result<Waits, Refusal>>,
    },
    /// The hook that waited for an approval is gone.
    HookGone {
        /// The approval's number.
        number: u64,
    },
    /// Gives an open approval, for whoever answers it.
    OpenApproval {
        /// Its number.
        number: u64,
        /// It, or why it is not open.
        reply: oneshot::Sender<Result<Open, Refusal>>,
    },
    /// An answer is on its way to the agent, or did not arrive.
    AnswerUnderway {
        /// The approval's number.
        number: u64,
        /// The answer; `None` when it did not arrive.
        closing: Option<Closing>,
        /// Whether nobody else is answering.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Closes an approval, unless somebody was faster.
    CloseApproval {
        /// Its number.
        number: u64,
        /// How.
        closing: Closing,
        /// When that is stored.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Somebody wants to type into an agent that has no hooks.
    Preflight {
        /// What, as a call of a tool.
        call: ToolCall,
        /// Whether the rules let it pass.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// The agent asks on its control channel.
    ChannelAsked {
        /// What.
        question: Box<Approval>,
        /// The message it came in.
        message: Box<ChannelMessage>,
        /// What rules say to it; `Nothing` leaves it to a person.
        reply: oneshot::Sender<Result<Verdict, Refusal>>,
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
    /// Gives it another budget, or with an empty one, none.
    Budget {
        /// The limits.
        budget: Budget,
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
