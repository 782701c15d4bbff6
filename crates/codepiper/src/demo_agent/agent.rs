//! The agent itself: its state, the conversation, and the one place where it waits, with the keys and signals that
//! come in there.
//!
//! What it looks like is in [`super::view`], how hooks are run in [`super::hook_runs`], a turn in [`super::turn`].
//! The one law: nobody waits but in [`Agent::step`].

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use serde_json::Value;

use super::args::{Args, Overlay, Start};
use super::child::Child;
use super::home::{self, Home, Status};
use super::hooks::Settings;
use super::keys::{Decoder, Key};
use super::line_editor::{Edit, LineEditor, Submission};
use super::permission::{Mode, Pressed};
use super::screen::{Row, Screen, stdin};
use super::signals::Signals;
use super::status_line::StatusLine;
use super::transcript::{self, Meter, Transcript};
use super::view::{DIM, Live};

pub(super) const DEFAULT_MODEL: &str = "demo-1";

/// An ESC with nothing behind it for this long is the key.
const ESC_WAIT: Duration = Duration::from_millis(30);
/// The spinner's cadence, only while something is going on.
pub(super) const TICK: Duration = Duration::from_millis(120);
/// A second ctrl+c counts within this.
const EXIT_WAIT: Duration = Duration::from_secs(2);
const IDLE_NOTICE: Duration = Duration::from_secs(60);
/// Prompts waiting for the turn to end. A person queues a few; more are refused.
const QUEUE_MAX: usize = 32;

/// Why a turn does not go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Esc or ctrl+c.
    Interrupt,
    Quit(Quit),
}

/// Why the session ends; the reason its SessionEnd hooks hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quit {
    Asked,
    /// A signal, or the terminal is gone.
    Made,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is going on: Enter submits, Esc does nothing.
    Idle,
    /// Hooks run that are no turn: Enter queues, Esc does nothing.
    Between,
    /// A turn: Enter queues, Esc interrupts.
    Turn,
    /// The last hooks run: nobody is listened to.
    Ending,
}

pub(super) struct Agent {
    pub(super) home: Home,
    pub(super) cwd: PathBuf,
    pub(super) settings: Settings,
    pub(super) session: Session,
    pub(super) screen: Screen,
    pub(super) live: Live,
    pub(super) editor: LineEditor,
    decoder: Decoder,
    signals: Signals,
    keys: VecDeque<Key>,
    pub(super) queue: VecDeque<Submission>,
    pub(super) children: Vec<Child>,
    pub(super) next_child: u64,
    pub(super) phase: Phase,
    idle_notice: Option<Instant>,
    esc_at: Option<Instant>,
    pub(super) exit_armed: Option<Instant>,
    /// A signal ends us, or nobody is at the other end of the terminal.
    ended: bool,
    /// Commands that outlive their turns: kept to be reaped, never ended.
    pub(super) spawned: Vec<std::process::Child>,
    /// It was said that the transcript cannot be written.
    pub(super) complained: bool,
    pub(super) status_line: StatusLine,
    start: Option<(Start, Option<String>)>,
    pub(super) history: Vec<Value>,
    pub(super) started: Instant,
    started_ms: u64,
}

/// What `/clear` makes anew, and what it does not.
pub(super) struct Session {
    pub(super) id: String,
    pub(super) title: Option<String>,
    pub(super) prompt_id: Option<String>,
    pub(super) model: String,
    pub(super) mode: Mode,
    pub(super) allowed: BTreeSet<&'static str>,
    pub(super) transcript: Transcript,
    pub(super) meter: Meter,
    pub(super) prompts: usize,
    pub(super) cost_usd: f64,
    pub(super) busy_ms: u64,
    pub(super) lines_added: usize,
    pub(super) lines_removed: usize,
}

/// What was answered in the dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Chose(usize),
    Cancelled,
}

impl Agent {
    /// Finds the conversation and takes the terminal.
    pub(super) fn open(args: Args) -> Result<Self, String> {
        let home = Home::from_environment()?;
        let cwd = std::env::current_dir().map_err(|error| format!("no working directory: {error}"))?;
        let settings = match &args.settings {
            None => Settings::default(),
            Some(Overlay::Json(text)) => {
                Settings::parse(text).map_err(|error| format!("settings: {error}"))?
            }
            Some(Overlay::File(path)) => std::fs::read_to_string(path)
                .map_err(|error| error.to_string())
                .and_then(|text| Settings::parse(&text))
                .map_err(|error| format!("settings `{}`: {error}", path.display()))?,
        };
        let id = match &args.start {
            Start::New { id } | Start::Fork { id, .. } => id.clone().unwrap_or_else(home::uuid),
            Start::Resume { id } => id.clone(),
        };
        let mut transcript = Transcript::new(home.transcript(&cwd, &id), &id, &cwd);
        if transcript.exists() && !matches!(args.start, Start::Resume { .. }) {
            return Err(format!("Error: Session ID {id} is already in use."));
        }
        let history = match &args.start {
            Start::New { .. } => Vec::new(),
            Start::Resume { id: from } | Start::Fork { parent: from, .. } => {
                transcript::read(&home.transcript(&cwd, from))
                    .map_err(|_| format!("No conversation found with session ID: {from}"))?
            }
        };
        transcript.follow(history.clone(), matches!(args.start, Start::Fork { .. }));
        let title = history.iter().rev().find_map(|line| Some(line.get("aiTitle")?.as_str()?.to_owned()));
        let session = Session {
            id,
            title,
            prompt_id: None,
            model: args.model.unwrap_or_else(|| DEFAULT_MODEL.to_owned()),
            mode: args.mode,
            allowed: BTreeSet::new(),
            transcript,
            meter: Meter::after(&history),
            prompts: 0,
            cost_usd: 0.0,
            busy_ms: 0,
            lines_added: 0,
            lines_removed: 0,
        };
        // Signals first: whoever ends us from here on finds us with a terminal to give back.
        let signals = Signals::catch().map_err(|error| format!("cannot catch signals: {error}"))?;
        let screen = Screen::open().map_err(|_| "the demo agent needs a terminal to talk in".to_owned())?;
        Ok(Self {
            home,
            cwd,
            settings,
            session,
            screen,
            live: Live::default(),
            editor: LineEditor::default(),
            decoder: Decoder::default(),
            signals,
            keys: VecDeque::new(),
            queue: VecDeque::new(),
            children: Vec::new(),
            next_child: 0,
            phase: Phase::Between,
            idle_notice: None,
            esc_at: None,
            exit_armed: None,
            ended: false,
            spawned: Vec::new(),
            complained: false,
            status_line: StatusLine::default(),
            start: Some((args.start, args.prompt)),
            history,
            started: Instant::now(),
            started_ms: home::now_ms(),
        })
    }

    /// The whole conversation.
    pub(super) fn talk(&mut self) -> Result<(), String> {
        let quit = match self.converse() {
            Ok(never) => match never {},
            Err(quit) => quit,
        };
        self.phase = Phase::Ending;
        self.live = Live::default();
        for child in self.children.iter().filter(|child| !child.forgotten) {
            child.kill(Signal::KILL);
        }
        self.children.retain(|child| child.forgotten);
        self.session_end(quit.reason());
        let mut farewell = Vec::new();
        if self.session.transcript.exists() {
            farewell.push(Row::new().and(DIM, "Resume this session with:"));
            farewell.push(Row::new().and(DIM, &format!("codepiper demo-agent --resume {}", self.session.id)));
        }
        self.screen.close(&farewell);
        // Left behind it would only name a process that is gone, which its readers check for.
        let _ = std::fs::remove_file(self.home.state_file());
        Ok(())
    }

    fn converse(&mut self) -> Result<std::convert::Infallible, Quit> {
        let (start, prompt) = self.start.take().unwrap_or((Start::New { id: None }, None));
        self.show_status(Status::Idle);
        self.banner();
        self.replay();
        let (source, told_id) = match &start {
            Start::New { .. } => ("startup", None),
            Start::Resume { .. } => ("resume", None),
            // As Claude Code has it: a fork starts under its parent's id, its own comes with the first prompt.
            Start::Fork { parent, .. } => ("resume", Some(parent.clone())),
        };
        self.changed();
        self.session_start(source, told_id)?;
        if let Some(prompt) =
            prompt.map(|prompt| prompt.trim().to_owned()).filter(|prompt| !prompt.is_empty())
        {
            self.queue.push_front(Submission { text: prompt.clone(), shown: prompt });
        }
        loop {
            match self.queue.pop_front() {
                Some(submission) => self.submit(submission)?,
                None => {
                    self.phase = Phase::Idle;
                    match self.step(None) {
                        Ok(()) | Err(Stop::Interrupt) => {}
                        Err(Stop::Quit(quit)) => return Err(quit),
                    }
                }
            }
        }
    }

    fn submit(&mut self, submission: Submission) -> Result<(), Quit> {
        self.idle_notice = None;
        if submission.text.starts_with('/') && !submission.text[1..].contains(['/', '\n']) {
            self.slash(&submission)?;
        } else {
            self.take_turn(&submission)?;
            self.idle_notice = Some(Instant::now() + IDLE_NOTICE);
        }
        self.phase = Phase::Idle;
        self.live.spinner = None;
        self.show_status(Status::Idle);
        self.changed();
        Ok(())
    }

    /// Waits until something happens, or the deadline, and does what it asks for. The only place that waits.
    pub(super) fn step(&mut self, deadline: Option<Instant>) -> Result<(), Stop> {
        self.run_status_line();
        self.draw();
        self.screen.flush();
        self.wait(deadline);
        for child in &mut self.children {
            child.advance();
        }
        self.spawned.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        self.collect_status_line();
        self.children.retain(|child| !(child.forgotten && child.end.is_some()));
        if self.idle_notice.is_some_and(|at| at <= Instant::now()) && self.phase == Phase::Idle {
            self.idle_notice = None;
            self.notify("idle_prompt", "The demo agent is waiting for your input");
        }
        self.exit_armed = self.exit_armed.filter(|until| *until > Instant::now());
        self.heed_signals()?;
        self.heed_keys()
    }

    /// Waits through steps until then.
    pub(super) fn sleep(&mut self, duration: Duration) -> Result<(), Stop> {
        let until = Instant::now() + duration;
        loop {
            self.step(Some(until))?;
            if Instant::now() >= until {
                return Ok(());
            }
        }
    }

    fn wait(&mut self, deadline: Option<Instant>) {
        let now = Instant::now();
        let listening = self.phase != Phase::Ending;
        let deadlines = [
            deadline,
            self.idle_notice.filter(|_| self.phase == Phase::Idle),
            self.esc_at,
            self.exit_armed,
            (self.live.spinner.is_some() && self.live.dialog.is_none()).then(|| now + TICK),
            self.status_line_due(),
            (!self.keys.is_empty() && listening).then_some(now),
        ];
        let children = self.children.iter().map(Child::deadline);
        let next = deadlines.into_iter().chain(children).flatten().min();
        let timeout = next.map(|next| {
            let left = next.saturating_duration_since(now);
            // Rounded up, so as not to wake a moment too early and turn around.
            let left = if left.is_zero() { left } else { left + Duration::from_micros(50) };
            Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 })
        });
        let mut fds = vec![PollFd::from_borrowed_fd(self.signals.fd(), PollFlags::IN)];
        if listening {
            fds.push(PollFd::from_borrowed_fd(stdin(), PollFlags::IN));
        }
        for child in &self.children {
            child.poll_fds(&mut fds);
        }
        // Interrupted or not, what is ready is looked at next.
        let _ = poll(&mut fds, timeout.as_ref());
        let readable = listening && !fds[1].revents().is_empty();
        drop(fds);
        self.signals.heard();
        if readable {
            self.read_keys();
        } else if self.esc_at.is_some_and(|at| at <= Instant::now()) {
            self.esc_at = None;
            self.decoder.decide(&mut self.keys);
        }
    }

    fn read_keys(&mut self) {
        let mut bytes = vec![0; 64 << 10];
        match rustix::io::read(stdin(), &mut bytes) {
            Ok(0) => self.ended = true,
            Ok(read) => {
                self.decoder.feed(&bytes[..read], &mut self.keys);
                self.esc_at = self.decoder.is_undecided().then(|| Instant::now() + ESC_WAIT);
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(_) => self.ended = true,
        }
    }

    fn heed_signals(&mut self) -> Result<(), Stop> {
        let arrived = self.signals.take();
        if arrived.resized {
            self.screen.resized();
        }
        // Remembered over the time in which nobody is listened to.
        self.ended |= arrived.ended;
        if self.phase == Phase::Ending {
            return Ok(());
        }
        if self.ended || self.screen.is_gone() {
            return Err(Stop::Quit(Quit::Made));
        }
        if arrived.interrupted {
            self.keys.push_back(Key::Ctrl('c'));
        }
        Ok(())
    }

    fn heed_keys(&mut self) -> Result<(), Stop> {
        if self.phase == Phase::Ending {
            return Ok(());
        }
        while let Some(key) = self.keys.pop_front() {
            if self.live.answer.is_some() {
                // The dialog is answered but not closed yet: what follows is for what comes after it.
                self.keys.push_front(key);
                return Ok(());
            }
            if let Some(dialog) = &mut self.live.dialog {
                match dialog.key(&key) {
                    Pressed::Nothing | Pressed::Moved => {}
                    Pressed::Chose(option) => self.live.answer = Some(Answer::Chose(option)),
                    Pressed::Cancelled => self.live.answer = Some(Answer::Cancelled),
                }
                continue;
            }
            self.key(key)?;
            if self.phase == Phase::Idle && !self.queue.is_empty() {
                return Ok(()); // submitted: what follows is typed into the turn
            }
        }
        Ok(())
    }

    fn key(&mut self, key: Key) -> Result<(), Stop> {
        let armed = self.exit_armed.take().is_some();
        match key {
            Key::Esc if self.phase == Phase::Turn => return Err(Stop::Interrupt),
            Key::Ctrl('c') if self.phase == Phase::Turn => return Err(Stop::Interrupt),
            Key::Ctrl('c') if !self.editor.is_empty() => self.editor.clear(),
            Key::Ctrl('c') if armed => return Err(Stop::Quit(Quit::Asked)),
            Key::Ctrl('c') => self.exit_armed = Some(Instant::now() + EXIT_WAIT),
            Key::Ctrl('d') if self.editor.is_empty() => return Err(Stop::Quit(Quit::Asked)),
            Key::Ctrl('l') => self.screen.clear(),
            Key::BackTab => {
                self.session.mode = self.session.mode.next();
                self.changed();
            }
            key => {
                self.idle_notice = self.idle_notice.map(|_| Instant::now() + IDLE_NOTICE);
                match self.editor.key(key) {
                    Edit::Submitted(submission) if self.queue.len() < QUEUE_MAX => {
                        if self.phase != Phase::Idle && self.session.transcript.exists() {
                            // A full disk: the prompt runs all the same.
                            let _ = self.session.transcript.queued(&submission.text);
                        }
                        self.queue.push_back(submission);
                    }
                    Edit::Submitted(_) | Edit::Changed | Edit::Ignored => {}
                }
            }
        }
        Ok(())
    }

    /// Says where we stand, in the state file.
    pub(super) fn show_status(&mut self, status: Status) {
        let short = self.session.id.get(..4).unwrap_or_default();
        let folder = self.cwd.file_name().map_or_else(|| "root".into(), |name| name.to_string_lossy());
        let name = format!("{folder}-{short}");
        let state = home::state(&self.session.id, &self.cwd, &name, self.started_ms, status);
        // A home that cannot be written costs the watchers, not the conversation.
        let _ = self.home.write_state(&state);
    }
}

impl Quit {
    fn reason(self) -> &'static str {
        match self {
            Quit::Asked => "prompt_input_exit",
            Quit::Made => "other",
        }
    }
}

impl From<Quit> for Stop {
    fn from(quit: Quit) -> Self {
        Stop::Quit(quit)
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `demo-1` as a name.
pub(super) fn display_name(model: &str) -> String {
    match model.strip_prefix("demo-") {
        Some(number) => format!("Demo {number}"),
        None => model.to_owned(),
    }
}
