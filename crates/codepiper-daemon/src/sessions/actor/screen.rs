//! The screen of a session, for what nothing else tells.

use super::Actor;
use crate::terminal::Screen;
use codepiper_core::hook::shorten;
use codepiper_core::provider::{ScreenReading, Speaks, read_screen};
use codepiper_core::session::{Activity, Happening, State, Waiting};
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

/// How long the input line of an agent that is up may take to be seen. After that it counts as ready all the
/// same: the pattern may be out of date.
const PROMPT_TIME_MAX: Duration = Duration::from_secs(3);

/// The shortest time between two looks at the screen.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// The longest, however long a look takes.
const LOOK_PAUSE_MAX: Duration = Duration::from_millis(500);

/// A look that took long is followed by a pause this many times as long: looking takes at most a tenth of a core.
const LOOK_SHARE: u32 = 9;

/// So many bytes at one look are a flood: the next look comes by the clock, and nobody is woken for every piece of
/// the flood until a look finds less.
const FLOOD_SIZE: u64 = 64 * 1024;

/// How often a flood is drawn. Its end always is.
const FLOOD_DRAW_PAUSE: Duration = Duration::from_secs(1);

/// Marks a question as a dialog seen on the screen.
const DIALOG: &str = "dialog:";

/// The screen, and when to look at it.
pub(super) struct Looks {
    screen: Screen,
    /// When to look next.
    pub(super) next: Option<Instant>,
    last: Instant,
    took: Duration,
    /// Whether the last look found a flood.
    pub(super) is_flood: bool,
    drawn: Instant,
    /// When the agent said that it is up; its input line is drawn a little later.
    pub(super) said_ready: Option<Instant>,
    /// Whether the input line was seen in this start.
    prompt_is_shown: bool,
}

impl Looks {
    pub(super) fn new(screen: Screen) -> Self {
        let (last, took) = (Instant::now(), Duration::ZERO);
        Self {
            screen,
            next: None,
            last,
            took,
            is_flood: false,
            drawn: last,
            said_ready: None,
            prompt_is_shown: false,
        }
    }

    /// The agent is started again: nothing of it was seen yet.
    pub(super) fn forget_prompt(&mut self) {
        (self.said_ready, self.prompt_is_shown) = (None, false);
    }

    /// Draws nothing that was printed before now.
    pub(super) fn begin_anew(&mut self) -> anyhow::Result<()> {
        self.screen.begin_anew()
    }

    /// The lines as they are now.
    pub(super) fn lines(&mut self) -> anyhow::Result<Vec<String>> {
        self.screen.catch_up()?;
        Ok(self.screen.lines())
    }

    /// When an agent that said it is up counts as ready, whatever its screen shows.
    pub(super) fn ready_by(&self) -> Option<Instant> {
        self.said_ready.map(|moment| moment + PROMPT_TIME_MAX)
    }

    /// Looks as soon as the loop comes to it: the agent says that it is up.
    pub(super) fn expect_prompt(&mut self) {
        self.said_ready.get_or_insert_with(Instant::now);
        self.next.get_or_insert_with(Instant::now);
    }
}

impl Actor {
    /// Whether the agent's word alone does not make it ready: it is starting, and its input line can be seen.
    pub(super) fn must_show_prompt(&self) -> bool {
        *self.known.state() == State::Starting
            && self.provider.definition.screen.ready.is_some()
            && self.looks.said_ready.is_none_or(|moment| moment.elapsed() < PROMPT_TIME_MAX)
            && !self.looks.prompt_is_shown
    }

    /// Whether anybody needs to look at the screen: only what nothing else tells.
    pub(super) fn screen_matters(&self) -> bool {
        let dialog_is_open =
            matches!(self.known.state(), State::Waiting(open) if open.about.starts_with(DIALOG));
        self.known.state().is_live()
            && (self.provider.definition.speaks == Speaks::Screen
                || *self.known.state() == State::Starting
                || dialog_is_open)
    }

    pub(super) fn plan_look(&mut self) {
        if !self.screen_matters() {
            return;
        }
        let next = self.looks.last + (self.looks.took * LOOK_SHARE).clamp(LOOK_PAUSE, LOOK_PAUSE_MAX);
        self.looks.next.get_or_insert(next.max(Instant::now()));
    }

    pub(super) async fn look(&mut self) {
        (self.looks.next, self.looks.last) = (None, Instant::now());
        let read = self.looks.screen.read_on();
        self.looks.is_flood = matches!(read, Ok(bytes) if bytes >= FLOOD_SIZE);
        let draws = !self.looks.is_flood || self.looks.drawn.elapsed() >= FLOOD_DRAW_PAUSE;
        if draws {
            self.looks.screen.draw();
            self.looks.drawn = Instant::now();
        }
        self.looks.took = self.looks.last.elapsed();
        if let Err(error) = read {
            tracing::warn!(%error, session = %self.known.row.id, "the recording cannot be read");
            return;
        }
        if self.looks.is_flood {
            self.plan_look();
        }
        if !draws {
            return;
        }
        let text = self.looks.screen.lines().join("\n");
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
                self.looks.prompt_is_shown = only_screen || self.looks.screen.takes_paste();
                if self.looks.prompt_is_shown { vec![Happening::Ready] } else { Vec::new() }
            }
            (ScreenReading::Idle, _, _) if only_screen => vec![seen(Activity::Idle)],
            _ => Vec::new(),
        };
        self.happen_or_log(&happenings, None).await;
    }

    pub(super) fn last_line(&self) -> Option<String> {
        let (cols, rows) = (self.known.row.cols, self.known.row.rows);
        let lines = Screen::from_last_output(&self.folder.recording(), cols, rows).ok()?.lines();
        let is_tmux = |line: &str| line.starts_with("Pane is dead");
        lines.iter().rev().find(|line| !line.is_empty() && !is_tmux(line)).map(|line| shorten(line, 200))
    }
}
