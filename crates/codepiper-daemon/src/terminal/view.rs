//! What somebody sees who looks at a session: its screen, then all output as it comes, and of a flood only pictures.
//!
//! Nobody reads a hundred thousand lines a second, and sending them takes the processor from the program that prints
//! them. So a view leaves out what flies past, as a terminal does, and shows the end at once. Who wants every byte reads
//! the recording.

use super::cursor::{Cursor, Read};
use super::screen::Screen;
use anyhow::Result;
use codepiper_core::recording::Frame;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Output that is shown whole in bytes a second, as long as one likes: a program that draws its screen 60 times a second
/// prints less.
const RATE: usize = 5_000_000;

/// Bytes beyond that which are shown whole: what can be scrolled back to, and what a slow viewer may have to load.
const BURST: usize = 512 * 1024;

/// Bytes at the end of a flood that are drawn: some screens of lines. Drawing them takes a fraction of a millisecond.
const DRAWN_AT_ONCE: usize = 16 * 1024;

/// How often a picture of a flood is shown while it goes on.
const PICTURE_INTERVAL: Duration = Duration::from_millis(100);

/// One who looks.
pub(crate) struct View {
    folder: PathBuf,
    size: (u16, u16),
    at: At,
    /// Bytes of the burst that were shown and have not run off at [`RATE`] yet.
    level: usize,
    looked_at: Instant,
    inexact_since: Option<Instant>,
}

enum At {
    Output(Cursor),
    Flood { screen: Box<Screen>, shown: Instant },
}

/// What a look saw.
pub(crate) struct Seen {
    /// What the viewer's terminal is to be fed.
    pub(crate) bytes: Vec<u8>,
    /// Whether the next look is due in a moment, whatever is told meanwhile.
    pub(crate) is_flood: bool,
}

impl View {
    /// At the end of the recording, and what draws the screen as it is there. Blocks while all that is kept is drawn:
    /// a third of a second at most.
    pub(crate) fn begin(folder: &Path, cols: u16, rows: u16, now: Instant) -> Result<(Self, Vec<u8>)> {
        let at = At::Output(Cursor::at_start(folder));
        let (folder, size) = (folder.to_owned(), (cols, rows));
        let mut view = Self { folder, size, at, level: 0, looked_at: now, inexact_since: None };
        let picture = view.redraw()?;
        Ok((view, picture))
    }

    /// The position of the byte after what was shown.
    pub(crate) fn position(&self) -> u64 {
        match &self.at {
            At::Output(cursor) => cursor.position(),
            At::Flood { screen, .. } => screen.snapshot().1,
        }
    }

    /// Whether what was shown is what the terminal shows. Of a flood only the end was drawn, and its program may have
    /// left parts of the screen as they were before.
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self.at, At::Output(_)) && self.inexact_since.is_none()
    }

    /// Since when a flood is over after which the exact screen was not drawn yet.
    pub(crate) fn inexact_since(&self) -> Option<Instant> {
        self.inexact_since
    }

    /// The exact screen, from all that is kept. Blocks as [`View::begin`] does.
    pub(crate) fn redraw(&mut self) -> Result<Vec<u8>> {
        let mut screen = Screen::new(&self.folder, self.size.0, self.size.1);
        screen.catch_up()?;
        self.inexact_since = None;
        Ok(self.go_on_from(screen))
    }

    /// What came since the last look. Reads cached pages only; where it draws, little.
    pub(crate) fn look(&mut self, now: Instant) -> Result<Seen> {
        let passed = now.saturating_duration_since(self.looked_at);
        self.level = self.level.saturating_sub((passed.as_secs_f64() * RATE as f64) as usize);
        self.looked_at = now;
        match std::mem::replace(&mut self.at, At::Output(Cursor::at_start(&self.folder))) {
            At::Output(cursor) => self.follow(cursor),
            At::Flood { screen, shown } => self.skim(screen, shown),
        }
    }

    fn follow(&mut self, mut cursor: Cursor) -> Result<Seen> {
        let mut bytes = Vec::new();
        while self.level < BURST {
            match cursor.next()? {
                Read::Frame { frame: Frame::Output(output), .. } => {
                    self.level += output.len();
                    match bytes.is_empty() {
                        true => bytes = output,
                        false => bytes.extend_from_slice(&output),
                    }
                }
                Read::Frame { frame: Frame::Resize { cols, rows }, .. } => self.size = (cols, rows),
                Read::Frame { frame: Frame::Marker(_), .. } => {}
                Read::Lost(_) => self.inexact_since = Some(self.looked_at),
                Read::End => {
                    self.at = At::Output(cursor);
                    return Ok(Seen { bytes, is_flood: false });
                }
            }
        }
        self.inexact_since = None;
        let screen = Box::new(Screen::at(cursor, self.size.0, self.size.1, DRAWN_AT_ONCE));
        self.at = At::Flood { screen, shown: self.looked_at };
        Ok(Seen { bytes, is_flood: true })
    }

    fn skim(&mut self, mut screen: Box<Screen>, mut shown: Instant) -> Result<Seen> {
        let came = screen.read_on()?;
        self.level = (self.level + came as usize).min(BURST);
        if self.level <= BURST / 2 {
            screen.draw();
            self.inexact_since = Some(self.looked_at);
            return Ok(Seen { bytes: self.go_on_from(*screen), is_flood: false });
        }
        let mut bytes = Vec::new();
        // When nothing comes for a moment, it may be the end.
        if screen.has_undrawn() && (came == 0 || self.looked_at - shown >= PICTURE_INTERVAL) {
            screen.draw();
            bytes = screen.picture();
            shown = self.looked_at;
        }
        self.at = At::Flood { screen, shown };
        Ok(Seen { bytes, is_flood: true })
    }

    /// Shows this screen and what comes after it.
    fn go_on_from(&mut self, screen: Screen) -> Vec<u8> {
        self.size = screen.size();
        let (picture, cursor) = screen.into_reader();
        self.at = At::Output(cursor);
        picture
    }
}
