//! The task that owns one session: its state, its process, its end.
//!
//! Everything that happens to the session comes in here, in order: commands, hooks, changes of its files,
//! the end of its process. The law to keep: commit, then announce, then answer.

use super::known::Known;
use super::launch::{self, Folder};
use super::{OpenChannel, Signal, internal};
use crate::app::App;
use crate::pane::read_run_file;
use crate::processes;
use crate::settings;
use crate::terminal::Screen;
use crate::watch::Watched;
use codepiper_api::defaults::HOOK_SECRET_VARIABLE;
use codepiper_api::{Fault, Refusal};
use codepiper_core::hook::{HookEvent, Learned, bounded, shorten};
use codepiper_core::launch::{ProcessRef, RunFile};
use codepiper_core::provider::{Conversation, Note, Provider, ScreenReading, Speaks, read_screen};
use codepiper_core::session::{Activity, Exit, Happening, State, Waiting, step};
use codepiper_store::events::{Appended, NewEvent, StoredEvent};
use codepiper_store::{events, sessions};
use jiff::Timestamp;
use rustix::process::Signal as Kill;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

/// How long after the grace of the agent its supervisor may take before we end the tree ourselves.
const END_SLACK: Duration = Duration::from_secs(3);

/// How long the input line of an agent that is up may take to be seen. After that it counts as ready all the
/// same: the pattern may be out of date.
const PROMPT_TIME_MAX: Duration = Duration::from_secs(3);

/// How long the interruption of a turn may take before the agent is ended anyway. Codex takes 25 ms.
const INTERRUPT_TIME_MAX: Duration = Duration::from_secs(1);

/// The shortest time between two looks at the screen.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// A look that took long is followed by a pause this many times as long: looking at a flood takes at most a
/// tenth of a core, which the flood needs.
const LOOK_SHARE: u32 = 9;

/// How long a launch waits for the agent's pid before it answers without one.
const PID_TIME_MAX: Duration = Duration::from_millis(500);

/// Bytes of a transcript read at once; more is read at the next tick.
const TRANSCRIPT_READ_MAX: u64 = 4 * 1024 * 1024;

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
        /// When it runs, or why it does not.
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

pub(super) struct Actor {
    pub(super) app: Arc<App>,
    pub(super) known: Known,
    pub(super) provider: Provider,
    pub(super) publish: watch::Sender<Arc<Known>>,
    pub(super) signals: broadcast::Sender<Signal>,
    pub(super) commands: mpsc::Receiver<Command>,
    channel: watch::Receiver<Option<OpenChannel>>,
    folder: Folder,
    screen: Screen,
    look_at: Option<Instant>,
    looked: Instant,
    look_took: Duration,
    watches: Watches,
    transcript: Option<Transcript>,
    /// Who waits for the end, and when we stop waiting for the supervisor.
    ending: Vec<oneshot::Sender<Result<(), Refusal>>>,
    end_by: Option<Instant>,
    kill_session_after: bool,
    /// When the agent said that it is up; its input line is drawn a little later.
    said_ready: Option<Instant>,
    /// Whether the input line was seen in this start.
    prompt_is_shown: bool,
    /// Who waits for the first pid.
    launching: Option<(oneshot::Sender<Result<(), Refusal>>, Instant)>,
}

/// Folders whose changes matter now.
#[derive(Default)]
struct Watches {
    session: Option<Watched>,
    spool: Option<Watched>,
    recording: Option<Watched>,
    state: Option<Watched>,
    transcript: Option<Watched>,
}

struct Transcript {
    path: PathBuf,
    offset: u64,
}

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
        known: Known,
        provider: Provider,
        publish: watch::Sender<Arc<Known>>,
        signals: broadcast::Sender<Signal>,
        commands: mpsc::Receiver<Command>,
        channel: watch::Receiver<Option<OpenChannel>>,
    ) -> Self {
        let folder = Folder(app.config.session_folder(&known.row.id));
        let screen = Screen::new(&folder.recording(), known.row.cols, known.row.rows);
        Self {
            app,
            known,
            provider,
            publish,
            signals,
            commands,
            channel,
            folder,
            screen,
            look_at: None,
            looked: Instant::now(),
            look_took: Duration::ZERO,
            watches: Watches::default(),
            transcript: None,
            ending: Vec::new(),
            end_by: None,
            kill_session_after: false,
            said_ready: None,
            prompt_is_shown: false,
            launching: None,
        }
    }

    /// Lives until the session leaves the list or the daemon ends.
    pub(super) async fn run(mut self) {
        self.watch();
        let mut gone = self.wait_for_supervisor();
        let mut watched_supervisor = self.supervisor();
        loop {
            self.watch_recording();
            if watched_supervisor != self.supervisor() {
                watched_supervisor = self.supervisor();
                gone = self.wait_for_supervisor();
            }
            let shown_by = self.said_ready.map(|moment| moment + PROMPT_TIME_MAX);
            let deadline =
                [self.look_at, self.end_by, shown_by, self.launching.as_ref().map(|(_, until)| *until)]
                    .into_iter()
                    .flatten()
                    .min();
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
            Command::Resume { reply } => match self.conversation_to_resume() {
                Ok(conversation) => self.launch(&conversation, reply).await,
                Err(refusal) => answer(reply, Err(refusal)),
            },
            Command::Hook { uid, secret, body, reply } => {
                let outcome = self.hook(uid, &secret, body).await;
                answer(reply, outcome);
            }
            Command::Look { reply } => {
                let looked = self.screen.catch_up().map_err(|error| internal("reading the recording", error));
                answer(reply, looked.map(|_| self.screen.lines()));
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

    // ---- starting -------------------------------------------------------------------------------------

    async fn launch(&mut self, conversation: &Conversation, reply: oneshot::Sender<Result<(), Refusal>>) {
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
    async fn try_launch(&mut self, conversation: &Conversation) -> Result<bool, Refusal> {
        let cwd = Path::new(&self.known.row.cwd);
        if !cwd.is_dir() {
            return Err(Refusal::new(Fault::Missing, format!("the folder `{}` is not there", cwd.display()))
                .hint("make it again, or start a new session elsewhere"));
        }
        let prepared = launch::prepare(&self.app, &self.known, conversation).await?;
        // Committed before the start: whatever happens from here on, the process will be found again.
        self.known.process = Some(prepared.record.clone());
        self.known.row.end_requested = None;
        if prepared.provider_session.is_some() {
            self.known.row.provider_session.clone_from(&prepared.provider_session);
        }
        let payload = json!({ "conversation": describe(conversation), "launch": prepared.record.launch });
        let event = self.event("session", "launched", payload);
        self.happen(&[Happening::Launched], &Learned::default(), Some(event)).await?;
        if let Err(error) = self.screen.begin_anew() {
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

    fn conversation_to_resume(&self) -> Result<Conversation, Refusal> {
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
            return Ok(match names_none {
                true => Conversation::Resume { id: String::new() },
                false => Conversation::New { id: launch::fresh_uuid() },
            });
        };
        // A conversation that never got a prompt has no transcript and cannot be resumed (facts): it begins
        // anew under the same id.
        let was_prompted = match (&self.known.row.transcript_path, self.provider.definition.speaks) {
            (_, Speaks::Screen) => true,
            (Some(path), _) => Path::new(path).exists(),
            (None, _) => false,
        };
        Ok(match was_prompted {
            true => Conversation::Resume { id: conversation },
            false => Conversation::New { id: conversation },
        })
    }

    // ---- what the agent and its processes report ------------------------------------------------------

    async fn hook(&mut self, uid: Option<String>, secret: &str, body: Vec<u8>) -> Result<String, Refusal> {
        self.check_secret(secret)?;
        let event = self.provider.dialect().read_hook(parse_body(&body));
        self.take_hook(uid, Timestamp::now(), event).await?;
        Ok(String::new())
    }

    fn check_secret(&self, secret: &str) -> Result<(), Refusal> {
        let is_right = self.known.process.as_ref().is_some_and(|process| same(&process.secret.0, secret));
        is_right.then_some(()).ok_or_else(|| {
            Refusal::new(Fault::Forbidden, format!("the secret is not that of session {}", self.known.row.id))
        })
    }

    /// Keeps the last figures of the status line. It runs several times in a turn, so only another model is an
    /// event.
    async fn status_line(&mut self, secret: &str, body: &[u8]) -> Result<(), Refusal> {
        self.check_secret(secret)?;
        let Some(line) = self.provider.dialect().read_status_line(&parse_body(body)) else { return Ok(()) };
        self.known.status_line = Some(line.figures.clone());
        let model = line.model.clone();
        if self.known.row.model.as_ref() == Some(&model) {
            self.publish.send_replace(Arc::new(self.known.clone()));
        } else {
            let event = self.event("statusline", "model", bounded(line.figures));
            let learned = Learned { model: Some(line.model), ..Learned::default() };
            self.happen(&[], &learned, Some(event)).await?;
        }
        self.signal(Signal::ModelTold { model });
        Ok(())
    }

    /// Stores a hook event, once, and what it changes.
    async fn take_hook(
        &mut self,
        uid: Option<String>,
        at: Timestamp,
        hook: HookEvent,
    ) -> Result<(), Refusal> {
        let mut event = self.event("hook", &hook.name, bounded(hook.raw));
        event.at = at;
        event.uid = uid.map(|uid| format!("{}-{uid}", self.known.row.id));
        let seq = self.happen(&hook.happenings, &hook.learned, Some(event)).await?;
        if let (Some(event), Some(_)) = (seq, &hook.prompt) {
            self.signal(Signal::PromptTaken { event, by: "hook" });
        }
        self.follow_transcript();
        self.watch_state_folder();
        Ok(())
    }

    /// Events from the time when there was no daemon, in their order.
    async fn take_spool(&mut self) {
        let Ok(entries) = std::fs::read_dir(self.folder.spool()) else { return };
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
            .collect();
        files.sort();
        for file in files {
            let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let (millis, uid) = name.split_once('-').unwrap_or(("", name.as_str()));
            let at = millis.parse().ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
            let Ok(body) = std::fs::read(&file) else { continue };
            let hook = self.provider.dialect().read_hook(parse_body(&body));
            let uid = Some(uid.to_owned());
            if self.take_hook(uid, at.unwrap_or_else(Timestamp::now), hook).await.is_err() {
                return; // stays in the spool
            }
            if let Err(error) = std::fs::remove_file(&file) {
                tracing::warn!(%error, file = %file.display(), "a spooled event stays behind");
            }
        }
    }

    async fn read_run_file(&mut self) {
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
    fn current_run_file(&self) -> Option<RunFile> {
        let process = self.known.process.as_ref()?;
        read_run_file(&self.folder.run_file()).filter(|run| run.launch == process.launch)
    }

    async fn supervisor_gone(&mut self) {
        match self.current_run_file() {
            Some(run) if run.exit.is_some() => self.read_run_file().await,
            // Somebody killed the supervisor: nobody else saw the end, and nobody else ends what is left.
            _ => {
                self.kill_everything();
                self.exited(Exit::Unseen, None).await;
            }
        }
    }

    async fn exited(&mut self, exit: Exit, failure: Option<String>) {
        if !self.known.state().is_live() {
            return;
        }
        let requested = self.known.row.end_requested.take();
        let pane = self.known.pane().cloned();
        let name = self.known.row.id.tmux_name();
        let (pane_is_there, server_is_same) = match self.app.tmux.panes().await {
            Ok(panes) => (
                panes.iter().any(|pane| pane.session == name),
                pane.as_ref().is_some_and(|old| panes.iter().any(|pane| pane.server == old.server)),
            ),
            Err(error) => {
                // A server that does not answer is there: nothing is brought back on a guess.
                tracing::warn!(%error, session = %self.known.row.id, "tmux cannot be asked about the end");
                (true, true)
            }
        };
        // With its server gone, the end is the machine's or tmux's doing, and the session comes back.
        let lost = requested.is_none() && !pane_is_there && !server_is_same && failure.is_none();
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
        if self.kill_session_after
            && let Err(error) = self.app.tmux.kill(&name).await
        {
            tracing::warn!(%error, session = %self.known.row.id, "its tmux session stays behind");
        }
        self.kill_session_after = false;
        self.end_by = None;
        self.watches = Watches::default();
        self.watch();
        for reply in self.ending.drain(..) {
            answer(reply, stored.clone().map(drop));
        }
        if lost {
            self.come_back().await;
        }
    }

    /// Resumes a session that did not end by itself or by request: tmux or the machine went away.
    async fn come_back(&mut self) {
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

    async fn read_state_file(&mut self) {
        let Some(process) = &self.known.process else { return };
        let (Some(folder), Some(agent)) = (&process.state_folder, process.agent) else { return };
        let dialect = self.provider.dialect();
        let Some(path) = dialect.state_file(folder, agent.pid) else { return };
        let Ok(bytes) = std::fs::read(path) else { return };
        if let Some((activity, noted)) = dialect.read_state_file(&bytes) {
            // The agent reports the end of a turn before it is idle. Without a report it was interrupted:
            // before its first word not even the transcript says so (measured).
            let is_news = noted > self.known.row.standing.since;
            let seen = match activity {
                Activity::Idle if self.known.is_in_turn && is_news => Happening::Interrupted,
                activity => Happening::Seen { activity, noted },
            };
            self.happen_or_log(&[seen], None).await;
        }
    }

    async fn read_transcript(&mut self) {
        let notes = match self.new_transcript_lines() {
            Ok(lines) => {
                lines.iter().flat_map(|line| self.provider.dialect().read_transcript_line(line)).collect()
            }
            Err(error) => {
                tracing::debug!(%error, session = %self.known.row.id, "the transcript cannot be read");
                Vec::new()
            }
        };
        for note in notes {
            match note {
                Note::Happened(happening) => {
                    self.known.input_is_dirty |= happening == Happening::Interrupted;
                    self.happen_or_log(&[happening], None).await;
                }
                Note::PromptQueued { text } => self.signal(Signal::PromptQueued { text }),
            }
        }
    }

    fn new_transcript_lines(&mut self) -> std::io::Result<Vec<Vec<u8>>> {
        use std::io::{Read, Seek, SeekFrom};
        let Some(transcript) = &mut self.transcript else { return Ok(Vec::new()) };
        let mut file = std::fs::File::open(&transcript.path)?;
        if file.metadata()?.len() < transcript.offset {
            transcript.offset = 0; // replaced
        }
        file.seek(SeekFrom::Start(transcript.offset))?;
        let mut bytes = Vec::new();
        file.take(TRANSCRIPT_READ_MAX).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        // A line longer than what is read at once holds nothing that matters here.
        let skip = if whole == 0 && bytes.len() as u64 == TRANSCRIPT_READ_MAX { bytes.len() } else { whole };
        transcript.offset += skip as u64;
        Ok(bytes[..whole].split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect())
    }

    // ---- the screen -----------------------------------------------------------------------------------

    /// Whether the agent's word alone does not make it ready: it is starting, and its input line can be seen.
    fn must_show_prompt(&self) -> bool {
        *self.known.state() == State::Starting
            && self.provider.definition.screen.ready.is_some()
            && self.said_ready.is_none_or(|moment| moment.elapsed() < PROMPT_TIME_MAX)
            && !self.prompt_is_shown
    }

    /// Whether anybody needs to look at the screen: only what nothing else tells.
    fn screen_matters(&self) -> bool {
        let dialog_is_open =
            matches!(self.known.state(), State::Waiting(open) if open.about.starts_with(DIALOG));
        self.known.state().is_live()
            && (self.provider.definition.speaks == Speaks::Screen
                || *self.known.state() == State::Starting
                || dialog_is_open)
    }

    fn plan_look(&mut self) {
        if !self.screen_matters() {
            return;
        }
        let now = Instant::now();
        let pause = self.look_took * LOOK_SHARE;
        if pause <= LOOK_PAUSE {
            self.look_at.get_or_insert((self.looked + LOOK_PAUSE).max(now));
        } else {
            // It prints faster than one can look: once it stops, and now and then until it does.
            self.look_at = Some((self.looked + pause).min(now + LOOK_PAUSE).max(now));
        }
    }

    async fn look(&mut self) {
        self.looked = Instant::now();
        let caught_up = self.screen.catch_up();
        self.look_took = self.looked.elapsed();
        if let Err(error) = caught_up {
            tracing::warn!(%error, session = %self.known.row.id, "the recording cannot be read");
            return;
        }
        let text = self.screen.lines().join("\n");
        let rules = self.provider.definition.screen.clone();
        let (reading, dialog) = read_screen(&rules, &text);
        let open_dialog = match self.known.state() {
            State::Waiting(open) => open.about.strip_prefix(DIALOG).map(str::to_owned),
            _ => None,
        };
        let only_screen = self.provider.definition.speaks == Speaks::Screen;
        let seen = |activity| Happening::Seen { activity, noted: Timestamp::now() };
        let happenings = match (reading, dialog, open_dialog) {
            (ScreenReading::Dialog(name), Some(dialog), open) if open.as_deref() != Some(name) => {
                vec![Happening::Asked(Waiting {
                    need: dialog.need,
                    question: dialog.question.clone(),
                    how: dialog.how.clone(),
                    about: format!("{DIALOG}{name}"),
                })]
            }
            (ScreenReading::Dialog(_), _, _) => Vec::new(),
            (_, _, Some(_)) if !only_screen => vec![Happening::Launched],
            (ScreenReading::Busy, _, _) if only_screen => vec![seen(Activity::Busy)],
            (ScreenReading::Idle, _, _) if *self.known.state() == State::Starting => {
                self.prompt_is_shown = only_screen || self.screen.takes_paste();
                if self.prompt_is_shown { vec![Happening::Ready] } else { Vec::new() }
            }
            (ScreenReading::Idle, _, _) if only_screen => vec![seen(Activity::Idle)],
            _ => Vec::new(),
        };
        self.happen_or_log(&happenings, None).await;
    }

    fn last_line(&self) -> Option<String> {
        let (cols, rows) = (self.known.row.cols, self.known.row.rows);
        let lines = Screen::from_last_output(&self.folder.recording(), cols, rows).ok()?.lines();
        let is_tmux = |line: &str| line.starts_with("Pane is dead");
        lines.iter().rev().find(|line| !line.is_empty() && !is_tmux(line)).map(|line| shorten(line, 200))
    }

    // ---- ending ---------------------------------------------------------------------------------------

    async fn end(&mut self, kind: EndKind, by: &str, reply: oneshot::Sender<Result<(), Refusal>>) {
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
        self.ending.push(reply);
        self.kill_session_after |= kind == EndKind::Kill;
        let grace = match kind {
            EndKind::Stop => Duration::from_millis(self.provider.definition.stop.grace_ms),
            EndKind::Kill => Duration::ZERO,
        };
        self.end_by = Some(Instant::now() + grace + END_SLACK);
        if kind == EndKind::Stop {
            self.interrupt_by_channel().await;
        }
        let signal = if kind == EndKind::Kill { Kill::USR1 } else { Kill::TERM };
        let told = self.supervisor().is_some_and(|supervisor| processes::signal(supervisor, signal));
        if !told {
            self.supervisor_gone().await;
        }
    }

    /// An agent with a server beside it would otherwise finish its turn first (measured with Codex).
    async fn interrupt_by_channel(&self) {
        let open = self.channel.borrow().clone();
        if let Some(OpenChannel { channel, thread }) = open
            && tokio::time::timeout(INTERRUPT_TIME_MAX, channel.interrupt(&thread)).await.is_err()
        {
            tracing::warn!(session = %self.known.row.id, "the turn could not be interrupted");
        }
    }

    fn kill_everything(&self) {
        let Some(process) = &self.known.process else { return };
        for known in [process.supervisor, process.agent].into_iter().flatten() {
            processes::signal(known, Kill::KILL);
        }
        for pid in processes::with_variable(HOOK_SECRET_VARIABLE, &process.secret.0) {
            let _gone_already = rustix::process::kill_process(pid, Kill::KILL);
        }
    }

    async fn time(&mut self) {
        let now = Instant::now();
        if self.look_at.is_some_and(|moment| moment <= now) {
            self.look_at = None;
            self.look().await;
        }
        if self.said_ready.is_some_and(|moment| moment + PROMPT_TIME_MAX <= now) {
            self.happen_or_log(&[Happening::Ready], None).await;
            self.said_ready = None;
        }
        if self.launching.as_ref().is_some_and(|(_, until)| *until <= now)
            && let Some((reply, _)) = self.launching.take()
        {
            answer(reply, Ok(())); // it is starting, slowly
        }
        if self.end_by.is_some_and(|moment| moment <= now) {
            self.end_by = None;
            tracing::warn!(session = %self.known.row.id, "the supervisor did not end the session in time");
            self.kill_everything();
            self.exited(Exit::Signal(Kill::KILL.as_raw()), None).await;
        }
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
        if let Err(error) = std::fs::remove_dir_all(&self.folder.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, session = %id, "its folder stays behind");
        }
        Ok(())
    }

    // ---- names and sizes ------------------------------------------------------------------------------

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

    // ---- state and store ------------------------------------------------------------------------------

    /// Applies happenings and what was learned, stores all of it with the event, then announces. The event's
    /// number, or `None` when it was stored before.
    async fn happen(
        &mut self,
        happenings: &[Happening],
        learned: &Learned,
        event: Option<NewEvent>,
    ) -> Result<Option<u64>, Refusal> {
        let at = Timestamp::now();
        let mut changed = self.learn(learned);
        let mut events: Vec<NewEvent> = event.into_iter().collect();
        let has_event = !events.is_empty();
        let before = self.known.clone();
        for happening in happenings {
            if *happening == Happening::Ready && self.must_show_prompt() {
                self.said_ready.get_or_insert_with(Instant::now);
                self.look_at.get_or_insert_with(Instant::now);
                continue;
            }
            match happening {
                Happening::Interrupted => self.known.input_is_dirty = true,
                Happening::PromptTaken => self.known.input_is_dirty = false,
                Happening::Launched => {
                    self.known.input_is_dirty = false;
                    (self.said_ready, self.prompt_is_shown) = (None, false);
                }
                Happening::Ready => self.said_ready = None,
                _ => {}
            }
            match happening {
                Happening::PromptTaken => self.known.is_in_turn = true,
                Happening::TurnEnded
                | Happening::TurnFailed { .. }
                | Happening::Interrupted
                | Happening::Launched => self.known.is_in_turn = false,
                _ => {}
            }
            if let Some(next) = step(&self.known.row.standing, happening, at) {
                let from = self.known.row.standing.state.word();
                self.known.row.standing = next;
                let standing = &self.known.row.standing;
                let payload = json!({
                    "from": from, "state": standing.state.word(), "status": standing.state.status(),
                    "reason": standing.reason, "detail": standing.state,
                });
                events.push(self.event("session", "state", payload));
                changed = true;
            }
        }
        if events.is_empty() && !changed {
            return Ok(None);
        }
        match self.store(events).await {
            Ok(appended) if has_event => match appended.first() {
                Some(Appended::New(seq)) => Ok(Some(*seq)),
                _ => {
                    // A duplicate: the store undid nothing, but its happenings are old news.
                    self.known = before;
                    Ok(None)
                }
            },
            Ok(_) => Ok(None),
            Err(refusal) => {
                self.known = before;
                Err(refusal)
            }
        }
    }

    async fn happen_or_log(&mut self, happenings: &[Happening], event: Option<NewEvent>) {
        if let Err(refusal) = self.happen(happenings, &Learned::default(), event).await {
            tracing::error!(%refusal, session = %self.known.row.id, "a change could not be stored");
        }
    }

    async fn store_or_log(&mut self) {
        if let Err(refusal) = self.store(Vec::new()).await {
            tracing::error!(%refusal, session = %self.known.row.id, "a change could not be stored");
        }
    }

    /// Stores the session and the events in one transaction, then publishes and announces. When the first
    /// event was known before, nothing is stored at all.
    async fn store(&mut self, new: Vec<NewEvent>) -> Result<Vec<Appended>, Refusal> {
        self.known.row.updated_at = Timestamp::now();
        let row = self.known.to_row();
        let for_store = new.clone();
        let appended = self
            .app
            .store
            .write(move |tx| {
                let mut appended = Vec::new();
                for event in &for_store {
                    let outcome = events::append(tx, event)?;
                    appended.push(outcome);
                    if let Appended::Known(_) = outcome {
                        return Ok(appended);
                    }
                }
                sessions::update(tx, &row)?;
                Ok(appended)
            })
            .await
            .map_err(|error| {
                let text = error.to_string();
                match text.contains("UNIQUE constraint failed: sessions.name") {
                    true => Refusal::new(Fault::Conflict, "another session has this name already"),
                    false => internal("storing the session", text),
                }
            })?;
        self.publish.send_replace(Arc::new(self.known.clone()));
        for (event, outcome) in new.into_iter().zip(&appended) {
            if let Appended::New(seq) = outcome {
                self.app.bus.announce(StoredEvent { seq: *seq, event });
            }
        }
        Ok(appended)
    }

    fn learn(&mut self, learned: &Learned) -> bool {
        let mut changed = false;
        let mut take = |field: &mut Option<String>, value: &Option<String>| {
            if value.is_some() && field != value {
                field.clone_from(value);
                changed = true;
            }
        };
        take(&mut self.known.row.provider_session, &learned.provider_session);
        take(&mut self.known.row.model, &learned.model);
        // A path from an agent is only believed inside the provider's own folder.
        let process = self.known.process.as_ref();
        let home = process.and_then(|process| process.transcript_folder.as_deref());
        if let (Some(path), Some(home)) = (&learned.transcript_path, home)
            && lies_in(Path::new(path), home)
        {
            take(&mut self.known.row.transcript_path, &learned.transcript_path);
        }
        changed
    }

    fn event(&self, source: &str, kind: &str, payload: Value) -> NewEvent {
        NewEvent {
            session: self.known.row.id.clone(),
            at: Timestamp::now(),
            source: source.into(),
            kind: shorten(kind, 100),
            payload,
            uid: None,
        }
    }

    fn signal(&self, signal: Signal) {
        let _nobody_waits = self.signals.send(signal);
    }

    // ---- watching -------------------------------------------------------------------------------------

    /// Watches what matters in this state.
    fn watch(&mut self) {
        let watch = |slot: &mut Option<Watched>, path: PathBuf| {
            if slot.is_none() && path.is_dir() {
                match self.app.watch.folder(&path) {
                    Ok(watched) => *slot = Some(watched),
                    Err(error) => tracing::warn!(%error, "changes will be missed"),
                }
            }
        };
        // Events may still be spooled after the end; the rest is over then.
        watch(&mut self.watches.spool, self.folder.spool());
        if self.is_placed() {
            watch(&mut self.watches.session, self.folder.0.clone());
        }
        self.watch_state_folder();
        self.follow_transcript();
    }

    /// Only while somebody needs to look: busy sessions would wake us thousands of times a second for nothing.
    fn watch_recording(&mut self) {
        let is_needed = self.is_placed() && self.screen_matters();
        if is_needed != self.watches.recording.is_some() {
            let folder = self.folder.recording();
            self.watches.recording = is_needed.then(|| self.app.watch.folder(&folder).ok()).flatten();
        }
    }

    /// The agent makes its folder some time after its start: tried again with every event.
    fn watch_state_folder(&mut self) {
        let folder = self.known.process.as_ref().and_then(|process| process.state_folder.clone());
        if let (None, Some(folder)) = (&self.watches.state, folder)
            && self.is_placed()
            && folder.is_dir()
        {
            self.watches.state = self.app.watch.folder(&folder).ok();
        }
    }

    /// Follows the transcript from its present end on.
    fn follow_transcript(&mut self) {
        let Some(path) = self.known.row.transcript_path.as_ref().map(PathBuf::from) else { return };
        let is_followed = self.transcript.as_ref().is_some_and(|transcript| transcript.path == path);
        if !self.is_placed() || (is_followed && self.watches.transcript.is_some()) {
            return;
        }
        if !is_followed {
            let offset = std::fs::metadata(&path).map_or(0, |facts| facts.len());
            self.transcript = Some(Transcript { path: path.clone(), offset });
            self.watches.transcript = None;
        }
        if let Some(folder) = path.parent().filter(|folder| folder.is_dir()) {
            self.watches.transcript = self.app.watch.folder(folder).ok();
        }
    }

    fn supervisor(&self) -> Option<ProcessRef> {
        self.known.process.as_ref()?.supervisor.filter(|_| self.known.state().is_live())
    }

    /// Whether a process of it is there, or is being started.
    fn is_placed(&self) -> bool {
        self.known.state().is_live() && self.known.process.is_some()
    }

    /// Completes when the supervisor is gone; never, when none is known.
    fn wait_for_supervisor(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        match self.supervisor() {
            Some(supervisor) => Box::pin(processes::wait_until_gone(supervisor)),
            None => Box::pin(std::future::pending()),
        }
    }
}

/// Marks a question as a dialog seen on the screen.
const DIALOG: &str = "dialog:";

async fn changed(watched: &mut Option<Watched>) {
    match watched {
        Some(watched) => watched.changed().await,
        None => std::future::pending().await,
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

fn describe(conversation: &Conversation) -> Value {
    match conversation {
        Conversation::New { id } => json!({ "new": id }),
        Conversation::Resume { id } => json!({ "resume": id }),
        Conversation::Fork { parent, id } => json!({ "fork": parent, "id": id }),
    }
}

/// A body that is no JSON is an event all the same, with the text as it came.
fn parse_body(body: &[u8]) -> Value {
    serde_json::from_slice(body)
        .unwrap_or_else(|_| json!({ "unreadable": shorten(&String::from_utf8_lossy(body), 1_000) }))
}

/// Compares secrets in a time that does not tell where they differ.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// Whether a path lies in a folder. Neither needs to be there yet: links are resolved as far as they exist.
fn lies_in(path: &Path, folder: &Path) -> bool {
    !has_parent_parts(path) && path.is_absolute() && resolved(path).starts_with(resolved(folder))
}

/// The path with every link in it resolved, up to the part that does not exist yet.
fn resolved(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    let mut known = path;
    loop {
        if let Ok(real) = known.canonicalize() {
            return missing.iter().rev().fold(real, |real, part| real.join(part));
        }
        let (Some(parent), Some(name)) = (known.parent(), known.file_name()) else { return path.to_owned() };
        missing.push(name);
        known = parent;
    }
}

fn has_parent_parts(path: &Path) -> bool {
    path.components().any(|part| part == std::path::Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_is_only_believed_inside_the_providers_folder() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("projects");
        let check = |path: PathBuf, expected: bool| assert_eq!(lies_in(&path, &home), expected, "{path:?}");
        check(home.join("p/x.jsonl"), true); // before the first prompt nothing of it exists
        check(folder.path().join("x.jsonl"), false);
        check(home.join("../secret"), false);
        check("projects/x.jsonl".into(), false);
        std::fs::create_dir(&home).unwrap();
        check(home.join("p/x.jsonl"), true);
        std::os::unix::fs::symlink("/etc", home.join("link")).unwrap();
        check(home.join("link/passwd"), false);
    }
}
