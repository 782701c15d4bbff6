//! The task that owns one session: its state, its process, its end.
//!
//! Everything that happens to the session comes in here, in order: commands, hooks, changes of its files,
//! the end of its process. The law to keep: commit, then announce, then answer.

mod approvals;
mod budget;
mod command;
mod commit;
mod gates;
mod outcomes;
mod process;
mod reports;
mod screen;
mod watches;

pub use approvals::{Approvals, Asked, Closed, Closing, Open, Waits};
pub use command::{Command, EndKind};
pub use gates::HookAnswer;

use super::known::{Known, Shared};
use super::launch::{self, Folder};
use super::{OpenChannel, Signal, internal};
use crate::app::App;
use crate::terminal::Screen;
use codepiper_api::{Fault, Refusal};
use codepiper_core::hook::Learned;
use codepiper_core::masking::Masker;
use codepiper_core::provider::Provider;
use codepiper_core::session::Happening;
use codepiper_store::events::{Appended, StoredEvent};
use codepiper_store::{events, sessions};
use outcomes::Calls;
use process::Ending;
use reports::Transcript;
use screen::Looks;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;
use watches::{Watches, changed};

pub(super) struct Actor {
    pub(super) app: Arc<App>,
    pub(super) known: Shared,
    pub(super) provider: Provider,
    pub(super) publish: watch::Sender<Arc<Known>>,
    pub(super) signals: broadcast::Sender<Signal>,
    pub(super) commands: mpsc::Receiver<Command>,
    channel: watch::Receiver<Option<OpenChannel>>,
    folder: Folder,
    looks: Looks,
    watches: Watches,
    transcript: Option<Transcript>,
    /// When the turn ended that the agent has not written down yet.
    turn_to_write: Option<Instant>,
    ending: Ending,
    approvals: Approvals,
    calls: Calls,
    /// The session as it was last stored.
    stored: Option<Shared>,
    masker: Masker,
    /// Who waits for the first pid, and how long.
    launching: Option<(Reply, Instant)>,
}

/// An actor's ends of what connects it with the others.
pub(super) struct Ends {
    pub(super) publish: watch::Sender<Arc<Known>>,
    pub(super) signals: broadcast::Sender<Signal>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) channel: watch::Receiver<Option<OpenChannel>>,
}

/// Who is told how a command ended.
type Reply = oneshot::Sender<Result<(), Refusal>>;

/// What the loop goes on with.
enum Next {
    Command(Option<Command>),
    SessionFolder,
    Spool,
    Recording,
    StateFolder,
    Transcript,
    Gone,
    Time,
}

impl Actor {
    pub(super) fn new(
        app: Arc<App>,
        known: Shared,
        provider: Provider,
        approvals: Approvals,
        Ends { publish, signals, commands, channel }: Ends,
    ) -> Self {
        let folder = Folder(app.config.session_folder(&known.row.id));
        let looks = Looks::new(Screen::new(&folder.recording(), known.row.cols, known.row.rows));
        Self {
            app,
            known,
            provider,
            publish,
            signals,
            commands,
            channel,
            folder,
            looks,
            watches: Watches::default(),
            transcript: None,
            turn_to_write: None,
            ending: Ending::default(),
            approvals,
            calls: Calls::default(),
            stored: None,
            masker: Masker::default(),
            launching: None,
        }
    }

    /// Lives until the session leaves the list or the daemon ends.
    pub(super) async fn run(mut self) {
        if self.is_placed() {
            self.masker = launch::masker(&self.app, &self.known).await;
        }
        self.watch();
        // What was told while there was no daemon comes before anything that is told now.
        self.take_spool().await;
        self.have_transcript_read();
        let mut gone = self.wait_for_supervisor();
        let mut watched_supervisor = self.supervisor();
        loop {
            self.watch_recording();
            if watched_supervisor != self.supervisor() {
                watched_supervisor = self.supervisor();
                gone = self.wait_for_supervisor();
            }
            let deadline = self.next_deadline();
            let next = tokio::select! {
                command = self.commands.recv() => Next::Command(command),
                () = changed(&mut self.watches.session) => Next::SessionFolder,
                () = changed(&mut self.watches.spool) => Next::Spool,
                () = changed(&mut self.watches.recording) => Next::Recording,
                () = changed(&mut self.watches.state) => Next::StateFolder,
                () = changed(&mut self.watches.transcript) => Next::Transcript,
                () = &mut gone => Next::Gone,
                () = until(deadline) => Next::Time,
            };
            match next {
                Next::Command(None) => return,
                Next::Command(Some(Command::LetGo { reply })) => {
                    let _nobody_waits = reply.send(());
                    return;
                }
                Next::Command(Some(Command::Remove { reply })) => {
                    let outcome = self.remove().await;
                    let is_gone = outcome.is_ok();
                    let _nobody_waits = reply.send(outcome);
                    if is_gone {
                        return;
                    }
                }
                Next::Command(Some(command)) => self.command(command).await,
                Next::SessionFolder => self.read_run_file().await,
                Next::Spool => self.take_spool().await,
                Next::Recording => self.plan_look(),
                Next::StateFolder => self.read_state_file().await,
                Next::Transcript => self.read_transcript().await,
                Next::Gone => {
                    gone = Box::pin(std::future::pending());
                    self.supervisor_gone().await;
                }
                Next::Time => self.time().await,
            }
        }
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Launch { conversation, reply } => self.launch(&conversation, reply).await,
            Command::Resume { shell, reply } => match self.conversation_to_resume() {
                Ok(conversation) => match self.folder.update_shell(&shell) {
                    Ok(()) => self.launch(&conversation, reply).await,
                    Err(error) => answer(reply, Err(internal("noting the shell's variables", error))),
                },
                Err(refusal) => answer(reply, Err(refusal)),
            },
            Command::ProcessGone { launch, reply } => {
                if launch == self.known.process.as_ref().map(|process| process.launch.clone()) {
                    self.supervisor_gone().await;
                }
                answer(reply, Ok(()));
            }
            Command::Hook { uid, secret, body, reply } => {
                let outcome = self.hook(uid, &secret, body).await;
                answer(reply, outcome);
            }
            Command::WaitForApproval { number, secret, reply } => {
                let outcome = self.wait_for_question(number, &secret).await;
                answer(reply, outcome);
            }
            Command::HookGone { number } => self.hook_gone(number),
            Command::OpenApproval { number, reply } => {
                let outcome = self.open_question(number).await;
                answer(reply, outcome);
            }
            Command::AnswerUnderway { number, closing, reply } => {
                let outcome = self.answer_underway(number, closing).await;
                answer(reply, outcome);
            }
            Command::CloseApproval { number, closing, reply } => {
                let outcome = self.close_question(number, closing).await;
                answer(reply, outcome);
            }
            Command::Preflight { call, reply } => {
                let outcome = self.preflight(&call).await;
                answer(reply, outcome);
            }
            Command::ChannelAsked { question, message, reply } => {
                let outcome = self.channel_asked(*question, *message).await;
                answer(reply, outcome);
            }
            Command::Look { reply } => {
                let lines = self.looks.lines().map_err(|error| internal("reading the recording", error));
                answer(reply, lines);
            }
            Command::StatusLine { secret, body, reply } => {
                let outcome = self.status_line(&secret, &body).await;
                answer(reply, outcome);
            }
            Command::ModelSwitched { asked, model, reply } => {
                let event =
                    self.event("session", "model-switched", json!({ "asked": asked, "model": model }));
                self.known.launch.model = Some(asked);
                let learned = Learned { model: Some(model), ..Learned::default() };
                let outcome = self.happen(&[], &learned, Some(event)).await;
                answer(reply, outcome.map(drop));
            }
            Command::End { kind, by, reply } => self.end(kind, &by, reply).await,
            Command::Rename { name, reply } => {
                let outcome = self.rename(name).await;
                answer(reply, outcome);
            }
            Command::Budget { budget, reply } => {
                let outcome = self.set_budget(budget).await;
                answer(reply, outcome);
            }
            Command::Resize { cols, rows, reply } => {
                let outcome = self.resize(cols, rows).await;
                answer(reply, outcome);
            }
            Command::Note { happenings, learned, event, reply } => {
                let event = event.map(|(source, kind, payload)| self.event(source, kind, payload));
                let outcome = self.happen(&happenings, &learned, event).await;
                answer(reply, outcome.map(|seq| seq.unwrap_or(0)));
            }
            Command::Remove { .. } | Command::LetGo { .. } => unreachable!("taken by the loop"),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let pid_by = self.launching.as_ref().map(|(_, until)| *until);
        let all = [
            self.looks.next,
            self.looks.ready_by(),
            self.turn_told_by(),
            self.ending.by,
            self.approvals.due(),
            pid_by,
        ];
        all.into_iter().flatten().min()
    }

    /// Does what is due.
    async fn time(&mut self) {
        let is_due = |moment: Option<Instant>| moment.is_some_and(|moment| moment <= Instant::now());
        if is_due(self.looks.next) {
            self.look().await;
        }
        if is_due(self.looks.ready_by()) {
            self.happen_or_log(&[Happening::Ready], None).await;
            self.looks.said_ready = None;
        }
        if is_due(self.turn_told_by()) {
            self.happen_or_log(&[Happening::Interrupted], None).await;
        }
        if is_due(self.launching.as_ref().map(|(_, until)| *until))
            && let Some((reply, _)) = self.launching.take()
        {
            answer(reply, Ok(())); // it is starting, slowly
        }
        if is_due(self.approvals.due()) {
            self.mind_questions().await;
        }
        if is_due(self.ending.by) {
            self.end_by_force().await;
        }
    }

    async fn rename(&mut self, name: Option<String>) -> Result<(), Refusal> {
        let before = self.known.row.name.clone();
        self.known.row.name.clone_from(&name);
        let event = self.event("session", "renamed", json!({ "from": before, "to": name }));
        let stored = self.store(vec![event]).await;
        if stored.is_err() {
            self.known.row.name = before;
        }
        stored.map(drop)
    }

    async fn resize(&mut self, cols: u16, rows: u16) -> Result<(), Refusal> {
        let id = self.known.row.id.clone();
        if !self.known.state().is_live() {
            return Err(Refusal::new(Fault::Conflict, format!("session {id} is not running"))
                .hint(format!("`codepiper resume {id}` starts it again")));
        }
        self.app
            .tmux
            .resize(&id.tmux_name(), cols, rows)
            .await
            .map_err(|error| internal("resizing the window", error))?;
        (self.known.row.cols, self.known.row.rows) = (cols, rows);
        let event = self.event("session", "resized", json!({ "cols": cols, "rows": rows }));
        self.store(vec![event]).await.map(drop)
    }

    async fn remove(&mut self) -> Result<(), Refusal> {
        let id = self.known.row.id.clone();
        if self.known.state().is_live() {
            return Err(Refusal::new(Fault::Conflict, format!("session {id} is running")).hint(format!(
                "`codepiper stop {id}` ends it first, `codepiper rm --force {id}` does both"
            )));
        }
        self.app
            .tmux
            .kill(&id.tmux_name())
            .await
            .map_err(|error| internal("removing the tmux session", error))?;
        let event = self.event("session", "removed", json!({}));
        let (for_store, at) = (id.clone(), event.at);
        let stored = event.clone();
        let seq = self
            .app
            .store
            .write(move |tx| {
                sessions::remove(tx, &for_store, at)?;
                events::append(tx, &stored)
            })
            .await
            .map_err(|error| internal("removing the session", error))?;
        if let Appended::New(seq) = seq {
            self.app.bus.announce(StoredEvent { seq, event });
        }
        self.watches = Watches::default();
        self.app.policies.forget(&id);
        if let Err(error) = std::fs::remove_dir_all(&self.folder.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, session = %id, "its folder stays behind");
        }
        Ok(())
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Answers; who asked may have gone away.
fn answer<T>(reply: oneshot::Sender<Result<T, Refusal>>, outcome: Result<T, Refusal>) {
    let _gone = reply.send(outcome);
}
