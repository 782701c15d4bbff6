//! The process of a session: its start, what its supervisor notes of it, its end.

use super::{Actor, EndKind, Reply, Watches, answer};
use crate::pane::{self, read_run_file};
use crate::processes;
use crate::sessions::{OpenChannel, internal, launch};
use crate::settings;
use codepiper_api::defaults::HOOK_SECRET_VARIABLE;
use codepiper_api::{Fault, Refusal};
use codepiper_core::hook::Learned;
use codepiper_core::launch::{ProcessRef, RunFile};
use codepiper_core::provider::{Conversation, Speaks};
use codepiper_core::session::{Exit, Happening};
use rustix::process::Signal as Kill;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long after the grace of the agent its supervisor may take before we end the tree ourselves.
const END_SLACK: Duration = Duration::from_secs(3);

/// How long the interruption of a turn may take before the agent is ended anyway. Codex takes 25 ms.
const INTERRUPT_TIME_MAX: Duration = Duration::from_secs(1);

/// How long a launch waits for the agent's pid before it answers without one.
const PID_TIME_MAX: Duration = Duration::from_millis(500);

/// An end that was asked for and has not come.
#[derive(Default)]
pub(super) struct Ending {
    /// Who waits for it.
    waiting: Vec<Reply>,
    /// When we stop waiting for the supervisor.
    pub(super) by: Option<Instant>,
    /// Whether the last screen goes too.
    kills_tmux_session: bool,
}

impl Actor {
    pub(super) async fn launch(&mut self, conversation: &Conversation, reply: Reply) {
        if self.is_placed() {
            let refusal = Refusal::new(Fault::Conflict, format!("session {} is running", self.known.row.id))
                .hint(format!("`codepiper stop {}` ends it first", self.known.row.id));
            return answer(reply, Err(refusal));
        }
        match self.try_launch(conversation).await {
            Ok(true) => self.launching = Some((reply, Instant::now() + PID_TIME_MAX)),
            Ok(false) => answer(reply, Ok(())),
            Err(refusal) => {
                let exit = Happening::Exited { exit: Exit::Unseen, requested: false };
                let payload = json!({ "error": refusal.error });
                let event = self.event("session", "start-failed", payload);
                self.known.process = None;
                let stored = self.happen(&[exit], &Learned::default(), Some(event)).await;
                answer(reply, stored.and(Err(refusal)));
            }
        }
    }

    /// Starts the process; whether its pid will be known in a moment.
    pub(super) async fn try_launch(&mut self, conversation: &Conversation) -> Result<bool, Refusal> {
        let cwd = Path::new(&self.known.row.cwd);
        if !cwd.is_dir() {
            return Err(Refusal::new(Fault::Missing, format!("the folder `{}` is not there", cwd.display()))
                .hint("make it again, or start a new session elsewhere"));
        }
        let prepared = launch::prepare(&self.app, &self.known, conversation).await?;
        self.known.launch_notes.clone_from(&prepared.notes);
        let looked_for = self.known.process.replace(prepared.record.clone());
        self.masker = launch::masker(&self.app, &self.known).await;
        self.known.process = looked_for;
        // Committed before the start: whatever happens from here on, the process will be found again.
        self.known.process = Some(prepared.record.clone());
        self.known.row.end_requested = None;
        if prepared.provider_session.is_some() {
            self.known.row.provider_session.clone_from(&prepared.provider_session);
        }
        let payload = json!({ "conversation": describe(conversation), "launch": prepared.record.launch });
        let event = self.event("session", "launched", payload);
        self.happen(&[Happening::Launched], &Learned::default(), Some(event)).await?;
        if let Err(error) = self.looks.begin_anew() {
            tracing::warn!(%error, session = %self.known.row.id, "the recording cannot be read");
        }
        let pane = launch::start(&self.app, &self.known, &prepared).await?;
        if let Some(process) = &mut self.known.process {
            process.pane = Some(pane);
        }
        self.store(Vec::new()).await?;
        self.watch();
        Ok(prepared.is_quick)
    }

    pub(super) fn conversation_to_resume(&self) -> Result<Conversation, Refusal> {
        let id = &self.known.row.id;
        if self.is_placed() {
            return Err(Refusal::new(Fault::Conflict, format!("session {id} is running"))
                .hint(format!("`codepiper attach {id}` shows it")));
        }
        if !self.provider.capabilities().supports_resume {
            let label = &self.provider.definition.label;
            return Err(Refusal::new(Fault::Conflict, format!("{label} cannot resume a conversation"))
                .hint("`codepiper start` begins a new one"));
        }
        let Some(conversation) = self.known.row.provider_session.clone() else {
            // Some agents go on with their latest conversation and name none.
            let names_none =
                !self.provider.definition.launch.resume.iter().any(|part| part.contains("{parent}"));
            return Ok(match names_none && self.known.launch.was_prompted {
                true => Conversation::Resume { id: String::new() },
                false => Conversation::New { id: launch::fresh_uuid() },
            });
        };
        // A conversation that never got a prompt cannot be resumed: it begins anew, under the same id where that
        // is not taken (Claude Code takes the id with the first line of a transcript).
        let begin_anew = |id| Ok(Conversation::New { id });
        let transcript = self.known.row.transcript_path.as_deref().map(Path::new);
        match (self.provider.definition.speaks, transcript) {
            (Speaks::Screen, _) if self.known.launch.was_prompted => {
                Ok(Conversation::Resume { id: conversation })
            }
            (Speaks::Screen, _) => begin_anew(conversation),
            (_, Some(path)) if self.holds_conversation(path) => Ok(Conversation::Resume { id: conversation }),
            (_, Some(path)) if path.exists() => begin_anew(launch::fresh_uuid()),
            (_, _) => begin_anew(conversation),
        }
    }

    pub(super) async fn read_run_file(&mut self) {
        let Some(run) = self.current_run_file() else { return };
        let Some(process) = &mut self.known.process else { return };
        let is_new = process.supervisor != Some(run.supervisor) || process.agent != run.agent;
        process.supervisor = Some(run.supervisor);
        process.agent = run.agent;
        if let Some(exit) = run.exit {
            self.exited(exit, run.failure).await;
        } else if is_new {
            self.store_or_log().await;
            self.watch_state_folder();
        }
        if run.agent.is_some()
            && let Some((reply, _)) = self.launching.take()
        {
            answer(reply, Ok(()));
        }
    }

    /// The run file of the launch that is on.
    pub(super) fn current_run_file(&self) -> Option<RunFile> {
        let process = self.known.process.as_ref()?;
        read_run_file(&self.folder.run_file()).filter(|run| run.launch == process.launch)
    }

    pub(super) async fn supervisor_gone(&mut self) {
        // What the agent last said comes before its end.
        self.take_spool().await;
        match self.current_run_file() {
            Some(run) if run.exit.is_some() => self.read_run_file().await,
            // Somebody killed the supervisor: nobody else saw the end, and nobody else ends what is left.
            _ => {
                self.kill_everything();
                self.lay_to_rest().await;
                self.exited(Exit::Unseen, None).await;
            }
        }
    }

    pub(super) async fn exited(&mut self, exit: Exit, failure: Option<String>) {
        if !self.known.state().is_live() {
            return;
        }
        self.have_transcript_read();
        self.folder.forget_launch(); // of a supervisor that never came to read it
        let requested = self.known.row.end_requested.take();
        let pane = self.known.pane().cloned();
        let name = self.known.row.id.tmux_name();
        let (pane_is_there, server_is_same) = match self.app.tmux.panes().await {
            Ok(panes) => {
                let found = panes.iter().find(|pane| pane.session == name);
                let server_is_same = match (pane, found) {
                    (Some(old), Some(found)) => old.server == found.server,
                    (Some(old), None) => panes.iter().any(|pane| pane.server == old.server),
                    (None, found) => found.is_some(),
                };
                (found.is_some(), server_is_same)
            }
            Err(error) => {
                // A server that does not answer is there: nothing is brought back on a guess.
                tracing::warn!(%error, session = %self.known.row.id, "tmux cannot be asked about the end");
                (true, true)
            }
        };
        // With its server gone, the end is the machine's or tmux's doing, and the session comes back.
        let lost = requested.is_none() && !server_is_same && failure.is_none();
        let ended_by_hand = requested.is_none() && !pane_is_there && server_is_same;
        let payload = json!({
            "exit": exit, "requestedBy": requested, "failure": failure, "tmuxServerLost": lost,
            "lastLine": self.last_line(),
        });
        let event = self.event("session", "exited", payload);
        let happening = Happening::Exited { exit, requested: requested.is_some() || ended_by_hand };
        let stored = self.happen(&[happening], &Learned::default(), Some(event)).await;
        if let Some((reply, _)) = self.launching.take() {
            // One that ran, however briefly, is a session that ended; its last screen says more.
            answer(reply, failure.clone().map_or(Ok(()), |why| Err(Refusal::new(Fault::Agent, why))));
        }
        let ending = std::mem::take(&mut self.ending);
        if ending.kills_tmux_session
            && let Err(error) = self.app.tmux.kill(&name).await
        {
            tracing::warn!(%error, session = %self.known.row.id, "its tmux session stays behind");
        }
        self.watches = Watches::default();
        self.watch();
        for reply in ending.waiting {
            answer(reply, stored.clone().map(drop));
        }
        if lost {
            self.come_back().await;
        }
    }

    /// Resumes a session that did not end by itself or by request: tmux or the machine went away.
    pub(super) async fn come_back(&mut self) {
        if settings::get(&self.app, settings::RESUME_AFTER_REBOOT).await == json!(false) {
            return;
        }
        match self.conversation_to_resume() {
            Ok(conversation) => {
                tracing::info!(session = %self.known.row.id, "bringing back a session that tmux lost");
                let (reply, outcome) = oneshot::channel();
                self.launch(&conversation, reply).await;
                tokio::spawn(async move {
                    if let Ok(Err(refusal)) = outcome.await {
                        tracing::warn!(%refusal, "a session could not be brought back");
                    }
                });
            }
            Err(refusal) => tracing::info!(%refusal, "a session is not brought back"),
        }
    }

    pub(super) async fn end(&mut self, kind: EndKind, by: &str, reply: Reply) {
        if !self.known.state().is_live() {
            if kind == EndKind::Kill {
                let killed = self.app.tmux.kill(&self.known.row.id.tmux_name()).await;
                return answer(reply, killed.map_err(|error| internal("killing the tmux session", error)));
            }
            return answer(reply, Ok(()));
        }
        self.known.row.end_requested = Some(by.to_owned());
        let word = if kind == EndKind::Kill { "kill-requested" } else { "stop-requested" };
        let event = self.event("session", word, json!({ "by": by }));
        let requested = Happening::EndRequested { by: by.to_owned() };
        if let Err(refusal) = self.happen(&[requested], &Learned::default(), Some(event)).await {
            return answer(reply, Err(refusal));
        }
        self.ending.waiting.push(reply);
        self.ending.kills_tmux_session |= kind == EndKind::Kill;
        let grace = match kind {
            EndKind::Stop => Duration::from_millis(self.provider.definition.stop.grace_ms),
            EndKind::Kill => Duration::ZERO,
        };
        self.ending.by = Some(Instant::now() + grace + END_SLACK);
        if kind == EndKind::Stop {
            self.interrupt_by_channel().await;
            self.wait_for_transcript().await;
        }
        let signal = if kind == EndKind::Kill { Kill::USR1 } else { Kill::TERM };
        let told = self.supervisor().is_some_and(|supervisor| processes::signal(supervisor, signal));
        if !told {
            self.supervisor_gone().await;
        }
    }

    /// An agent with a server beside it would otherwise finish its turn first (measured with Codex).
    pub(super) async fn interrupt_by_channel(&self) {
        let open = self.channel.borrow().clone();
        if let Some(OpenChannel { channel, thread }) = open
            && tokio::time::timeout(INTERRUPT_TIME_MAX, channel.interrupt(&thread)).await.is_err()
        {
            tracing::warn!(session = %self.known.row.id, "the turn could not be interrupted");
        }
    }

    pub(super) async fn end_by_force(&mut self) {
        tracing::warn!(session = %self.known.row.id, "the supervisor did not end the session in time");
        self.kill_everything();
        self.lay_to_rest().await;
        self.exited(Exit::Signal(Kill::KILL.as_raw()), None).await;
    }

    /// Puts a fresh terminal with the last screen in the place of one that its supervisor could not put in order
    /// (see `pane::supervisor::put_terminal_in_order`, which says what would happen).
    async fn lay_to_rest(&self) {
        let name = self.known.row.id.tmux_name();
        let (Some(old), Ok(panes)) = (self.known.pane(), self.app.tmux.panes().await) else { return };
        if let Some(pane) = panes.iter().find(|pane| pane.session == name && pane.server == old.server) {
            let argv =
                pane::rest_command(&self.app.config.codepiper, &self.folder.recording(), &self.known.row);
            if let Err(error) = self.app.tmux.respawn(&pane.id, Path::new("/"), &argv, None).await {
                tracing::warn!(%error, session = %self.known.row.id, "its last screen is not shown");
            }
        }
    }

    pub(super) fn kill_everything(&self) {
        let Some(process) = &self.known.process else { return };
        for known in [process.supervisor, process.agent].into_iter().flatten() {
            processes::signal(known, Kill::KILL);
        }
        for pid in processes::with_variable(HOOK_SECRET_VARIABLE, &process.secret.0) {
            let _gone_already = rustix::process::kill_process(pid, Kill::KILL);
        }
    }

    pub(super) fn supervisor(&self) -> Option<ProcessRef> {
        self.known.process.as_ref()?.supervisor.filter(|_| self.known.state().is_live())
    }

    /// Whether a process of it is there, or is being started.
    pub(super) fn is_placed(&self) -> bool {
        self.known.state().is_live() && self.known.process.is_some()
    }

    /// Completes when the supervisor is gone; never, when none is known.
    pub(super) fn wait_for_supervisor(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        match self.supervisor() {
            Some(supervisor) => Box::pin(processes::wait_until_gone(supervisor)),
            None => Box::pin(std::future::pending()),
        }
    }
}

fn describe(conversation: &Conversation) -> Value {
    match conversation {
        Conversation::New { id } => json!({ "new": id }),
        Conversation::Resume { id } => json!({ "resume": id }),
        Conversation::Fork { parent, id } => json!({ "fork": parent, "id": id }),
    }
}
