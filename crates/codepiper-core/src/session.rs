//! The life of a session as a state machine: happenings in, state out.
//!
//! It does not know where a happening came from (hook, state file, transcript, screen): the providers
//! translate, and rank what they trust, before it comes here. The law to keep: an ended session only leaves
//! its end by being launched again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How the agent's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It is gone and nobody saw how (its supervisor was killed, the machine went down).
    Unseen,
}

/// What a session that waits is waiting for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// A permission to give, or an answer to type.
    pub need: Need,
    /// The question as the person should read it.
    pub question: String,
    /// How to answer it from outside the terminal, as a sentence; empty when any text will do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub how: String,
    /// What the question is about, so that an answer to something else does not close it: a key of the
    /// provider's making (a tool call, a dialog), compared and never shown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
}

/// The two kinds of waiting that the wire knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Need {
    /// The agent wants to use a tool and may not without a yes.
    Permission,
    /// The agent asked something, or a dialog stands open.
    Input,
}

/// Where a session is in its life. A state holds what it has, nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase")]
pub enum State {
    /// Launched; the agent has not shown that it is ready.
    Starting,
    /// Ready for the next prompt.
    Idle,
    /// Working on a turn.
    Running,
    /// Stands still until somebody answers.
    Waiting(Waiting),
    /// Ended as asked, or by itself without an error.
    Stopped {
        /// How the process ended.
        exit: Exit,
    },
    /// Ended by itself with an error, or vanished.
    Crashed {
        /// How the process ended.
        exit: Exit,
    },
}

impl State {
    /// Whether a process of the agent is there.
    pub fn is_live(&self) -> bool {
        !matches!(self, State::Stopped { .. } | State::Crashed { .. })
    }

    /// One lower-case word for people and filters.
    pub fn word(&self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Idle => "idle",
            State::Running => "running",
            State::Waiting(_) => "waiting",
            State::Stopped { .. } => "stopped",
            State::Crashed { .. } => "crashed",
        }
    }

    /// The six status words of the public API. Idle has none of its own there and is `RUNNING`: the finer
    /// state stands beside it.
    pub fn status(&self) -> Status {
        match self {
            State::Starting => Status::Starting,
            State::Idle | State::Running => Status::Running,
            State::Waiting(Waiting { need: Need::Permission, .. }) => Status::NeedsPermission,
            State::Waiting(Waiting { need: Need::Input, .. }) => Status::NeedsInput,
            State::Stopped { .. } => Status::Stopped,
            State::Crashed { .. } => Status::Crashed,
        }
    }
}

/// The status words of the public API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)] // the words say it
pub enum Status {
    Starting,
    Running,
    NeedsPermission,
    NeedsInput,
    Stopped,
    Crashed,
}

/// A state with its history of one: since when, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// The state.
    pub state: State,
    /// When it was entered.
    pub since: Timestamp,
    /// Why, in plain language for a person.
    pub reason: String,
}

/// Everything that can happen to a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "happened", rename_all = "camelCase")]
pub enum Happening {
    /// Its process was started, for the first time or again.
    Launched,
    /// The agent is there and takes prompts.
    Ready,
    /// The agent took a prompt, from us or from the person at its terminal.
    PromptTaken,
    /// The agent shows that it is working on a turn (a tool call, a state file, a title).
    Working,
    /// A question stands open.
    Asked(Waiting),
    /// A question was answered and the turn goes on.
    Answered {
        /// Which, as in [`Waiting::about`]; `None` answers whatever is open.
        about: Option<String>,
    },
    /// The turn is done.
    TurnEnded,
    /// A person interrupted the turn.
    Interrupted,
    /// The turn ended in an error of the model or its service.
    TurnFailed {
        /// What the agent said of it.
        error: String,
    },
    /// The agent's own state, read from a file, a title or the screen. Weaker than a hook: it counts only
    /// when it is younger than the state we know, so a late reading never undoes what a hook said.
    Seen {
        /// What it shows.
        activity: Activity,
        /// When the agent noted it.
        noted: Timestamp,
    },
    /// Somebody asked for its end; what follows is not a crash.
    EndRequested {
        /// Who or what, in plain language.
        by: String,
    },
    /// The process ended.
    Exited {
        /// How.
        exit: Exit,
        /// Whether the end was asked for.
        requested: bool,
    },
}

impl Happening {
    /// A word for it, by which the event log says what made a state.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Launched => "launched",
            Self::Ready => "ready",
            Self::PromptTaken => "prompt-taken",
            Self::Working => "working",
            Self::Asked(_) => "asked",
            Self::Answered { .. } => "answered",
            Self::TurnEnded => "turn-ended",
            Self::Interrupted => "interrupted",
            Self::TurnFailed { .. } => "turn-failed",
            Self::Seen { .. } => "seen",
            Self::EndRequested { .. } => "end-requested",
            Self::Exited { requested: true, .. } => "ended-as-asked",
            Self::Exited { requested: false, .. } => "exited",
        }
    }
}

/// What an agent says of itself outside its hooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Activity {
    /// It waits for a prompt.
    Idle,
    /// It works.
    Busy,
    /// It waits for an answer.
    Waiting(Waiting),
}

/// What the happening makes of the state: the new standing, or `None` when nothing changed.
pub fn step(now: &Standing, happening: &Happening, at: Timestamp) -> Option<Standing> {
    use Happening as H;
    let to = |state: State, reason: String| {
        (state != now.state || reason != now.reason).then_some(Standing { state, since: at, reason })
    };
    // A change of wording alone keeps the moment the state began.
    let keep_since = |next: Option<Standing>| {
        next.map(|next| if next.state == now.state { Standing { since: now.since, ..next } } else { next })
    };
    if let H::Launched = happening {
        return to(State::Starting, "the agent is starting".into());
    }
    if !now.state.is_live() {
        return None;
    }
    keep_since(match happening {
        H::Launched => unreachable!("answered above"),
        H::Ready => match now.state {
            State::Starting | State::Waiting(_) => to(State::Idle, "ready for a prompt".into()),
            _ => None,
        },
        H::PromptTaken if now.state == State::Running => None,
        H::PromptTaken => to(State::Running, "working on a prompt".into()),
        H::Working => match now.state {
            State::Waiting(_) | State::Running => None,
            _ => to(State::Running, "working".into()),
        },
        H::Asked(open) => asked(open, &to),
        H::Answered { about } => match &now.state {
            State::Waiting(open) if about.as_ref().is_none_or(|about| *about == open.about) => {
                to(State::Running, "working; the question was answered".into())
            }
            _ => None,
        },
        H::TurnEnded => to(State::Idle, "ready for a prompt".into()),
        H::Interrupted => to(State::Idle, "interrupted; ready for a prompt".into()),
        H::TurnFailed { error } => to(State::Idle, format!("the last turn failed: {error}")),
        H::Seen { activity, noted } if *noted > now.since => match (activity, &now.state) {
            (Activity::Idle, State::Idle) | (Activity::Busy, State::Running) => None,
            // Agents note themselves before their input line is there: text would be lost or cut into lines.
            (Activity::Idle | Activity::Busy, State::Starting) => None,
            (Activity::Idle, _) => to(State::Idle, "ready for a prompt".into()),
            (Activity::Busy, _) => to(State::Running, "working".into()),
            (Activity::Waiting(_), State::Waiting(_)) => None,
            (Activity::Waiting(open), _) => asked(open, &to),
        },
        H::Seen { .. } => None,
        H::EndRequested { by } => to(now.state.clone(), format!("stopping: {by}")),
        H::Exited { exit, requested } => Some(ended(*exit, *requested, at)),
    })
}

fn asked(open: &Waiting, to: &dyn Fn(State, String) -> Option<Standing>) -> Option<Standing> {
    let reason = match open.need {
        Need::Permission => format!("needs permission: {}", open.question),
        Need::Input => format!("needs input: {}", open.question),
    };
    to(State::Waiting(open.clone()), reason)
}

fn ended(exit: Exit, requested: bool, at: Timestamp) -> Standing {
    let how = match exit {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(signal) => format!("signal {signal}{}", signal_name(signal)),
        Exit::Unseen => "nobody saw how".into(),
    };
    let (state, reason) = match (exit, requested) {
        (_, true) => (State::Stopped { exit }, format!("stopped as asked ({how})")),
        (Exit::Code(0), false) => (State::Stopped { exit }, "the agent ended by itself (exit code 0)".into()),
        (_, false) => (State::Crashed { exit }, format!("the agent ended by itself ({how})")),
    };
    Standing { state, since: at, reason }
}

/// The name of the signals people meet, with a leading blank.
fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " SIGHUP",
        2 => " SIGINT",
        3 => " SIGQUIT",
        6 => " SIGABRT",
        9 => " SIGKILL",
        11 => " SIGSEGV",
        13 => " SIGPIPE",
        15 => " SIGTERM",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
