//! The sessions: who is there, and the way to each of them.
//!
//! Each session is one task that owns its state ([`actor`]) and one that puts input in order ([`input`]).
//! Everybody else sends commands and reads what was published after the last commit.

mod actor;
mod adopt;
mod approve;
mod channel;
mod create;
mod input;
mod interrupt;
mod known;
mod launch;
mod model;

pub use actor::{Asked, Closed, Closing, Command, EndKind, HookAnswer, Open, Waits};
pub use create::{check_name, check_shell, check_size, is_model};
pub use input::Input;
pub use known::Known;
pub(crate) use launch::random;

use crate::app::App;
use crate::codex_channel::CodexChannel;
use crate::env_sets::EnvSetRef;
use codepiper_api::sessions::Session;
use codepiper_api::{Fault, Refusal};
use codepiper_core::ids::{Found, SessionId, find_session};
use jiff::Timestamp;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// How long the end of all sessions may hold up the end of the daemon, which promises five seconds in all.
/// Their supervisors finish without it.
const STOP_ALL_TIME_MAX: Duration = Duration::from_secs(2);

/// Commands waiting for one session. A person types about 10 a second and an agent reports as many hooks;
/// full means that the session hangs, and callers wait.
const MAILBOX_MAX: usize = 256;

/// Signals that an input in progress may lag behind: it looks at the state as well.
const SIGNALS_MAX: usize = 64;

/// All sessions on the list.
#[derive(Clone)]
pub struct Sessions {
    app: Arc<App>,
    handles: Arc<Mutex<BTreeMap<SessionId, Handle>>>,
}

/// The way to one session.
#[derive(Clone)]
pub struct Handle {
    /// Its id.
    pub id: SessionId,
    commands: mpsc::Sender<Command>,
    inputs: mpsc::Sender<Input>,
    known: watch::Receiver<Arc<Known>>,
    signals: broadcast::Sender<Signal>,
    channel: watch::Receiver<Option<OpenChannel>>,
}

/// The control channel of an agent, and the conversation that is in the pane.
#[derive(Debug, Clone)]
struct OpenChannel {
    channel: CodexChannel,
    thread: String,
}

/// Something an input in progress waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// The agent took a prompt.
    PromptTaken {
        /// The event that says so.
        event: u64,
        /// Where that came from.
        by: &'static str,
    },
    /// The agent told its status line which model is in force.
    ModelTold {
        /// The model.
        model: String,
    },
    /// The agent put a prompt into its queue.
    PromptQueued {
        /// The prompt.
        text: String,
    },
}

impl Sessions {
    /// No sessions yet; [`Sessions::adopt`] finds those of before.
    pub fn new(app: Arc<App>) -> Self {
        Self { app, handles: Arc::default() }
    }

    /// All sessions on the list, oldest first.
    pub fn list(&self) -> Vec<Arc<Known>> {
        let mut all: Vec<_> = self.lock().values().map(Handle::known).collect();
        all.sort_by(|a, b| (a.row.created_at, &a.row.id).cmp(&(b.row.created_at, &b.row.id)));
        all
    }

    /// All sessions as clients see them.
    pub fn views(&self) -> Vec<Session> {
        let now = Timestamp::now();
        self.list().iter().map(|known| view(&self.app, known, now)).collect()
    }

    /// The session a person means by an id, a name or a unique prefix.
    pub fn find(&self, wanted: &str) -> Result<Handle, Refusal> {
        // A whole id is what agents and programs give, some thousand times a second; no name looks like one.
        if let Some(handle) = SessionId::parse(wanted).ok().and_then(|id| self.lock().get(&id).cloned()) {
            return Ok(handle);
        }
        let all = self.list();
        let describe = |known: &Arc<Known>| {
            let name = known.row.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
            format!("{}{name}", known.row.id)
        };
        match find_session(wanted, all.iter().map(|known| (&known.row.id, known.row.name.as_deref()))) {
            Found::One(id) => self.lock().get(&id).cloned().ok_or_else(|| not_found(wanted)),
            Found::Nothing => {
                let some: Vec<String> = all.iter().rev().take(5).map(describe).collect();
                let refusal = not_found(wanted);
                Err(match some.as_slice() {
                    [] => refusal.hint("there are no sessions; `codepiper start` makes one"),
                    some => refusal.hint(format!("the latest are {}", some.join(", "))),
                })
            }
            Found::Several(ids) => {
                let named: Vec<String> =
                    all.iter().filter(|known| ids.contains(&known.row.id)).map(describe).collect();
                Err(Refusal::new(Fault::Ambiguous, format!("`{wanted}` could be {} sessions", ids.len()))
                    .hint(format!("say more of one of {}", named.join(", ")))
                    .details(json!({ "candidates": ids })))
            }
        }
    }

    /// The sessions that were started with this env set.
    pub(crate) fn using(&self, set: &EnvSetRef) -> Vec<String> {
        let all = self.list();
        let using = all.iter().filter(|known| known.launch.env_sets.iter().any(|known| known.id == set.id));
        using.map(|known| known.row.id.to_string()).collect()
    }

    /// Ends all sessions at the same time, as far as [`STOP_ALL_TIME_MAX`] allows.
    pub async fn stop_all(&self, by: &str) {
        let handles: Vec<Handle> = self.lock().values().cloned().collect();
        let mut ends = tokio::task::JoinSet::new();
        for handle in handles {
            let by = by.to_owned();
            ends.spawn(
                async move { handle.ask(|reply| Command::End { kind: EndKind::Stop, by, reply }).await },
            );
        }
        let all = async { while ends.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_ALL_TIME_MAX, all).await.is_err() {
            tracing::warn!("some sessions were still ending when the daemon did");
        }
    }

    /// Stops what runs in the daemon for all sessions; the sessions go on.
    pub async fn let_go(&self) {
        let handles: Vec<Handle> = std::mem::take(&mut *self.lock()).into_values().collect();
        for handle in handles {
            let (reply, done) = oneshot::channel();
            if handle.commands.send(Command::LetGo { reply }).await.is_ok() {
                let _gone_already = done.await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SessionId, Handle>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handle {
    /// The session as it was after the last commit.
    pub fn known(&self) -> Arc<Known> {
        self.known.borrow().clone()
    }

    /// The same, and changes of it.
    pub fn watch(&self) -> watch::Receiver<Arc<Known>> {
        self.known.clone()
    }

    /// Sends a command and waits for its answer.
    pub async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Command,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let gone = || Refusal::new(Fault::NotFound, format!("session {} has just gone", self.id));
        self.commands.send(command(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Sends a command that nobody waits for. A session that has gone needs none.
    pub async fn tell(&self, command: Command) {
        let _gone = self.commands.send(command).await;
    }

    /// Puts an input in line and waits until it was taken.
    pub async fn input<T>(
        &self,
        input: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Input,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let gone = || Refusal::new(Fault::NotFound, format!("session {} has just gone", self.id));
        self.inputs.send(input(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// A session as clients see it.
pub(crate) fn view(app: &App, known: &Known, now: Timestamp) -> Session {
    Session { live: app.live.view(&known.row.id, now), ..known.view(&app.config) }
}

/// A file name nobody has used.
pub fn fresh_name() -> String {
    launch::fresh(8)
}

fn not_found(wanted: &str) -> Refusal {
    Refusal::new(Fault::NotFound, format!("there is no session `{wanted}`"))
}

/// A store that fails is our own fault, told with what was being done.
pub(crate) fn internal(doing: &str, error: impl std::fmt::Display) -> Refusal {
    tracing::error!(doing, %error, "failed");
    Refusal::new(Fault::Internal, format!("{doing}: {error}"))
}
