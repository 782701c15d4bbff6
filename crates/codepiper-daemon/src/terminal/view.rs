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

/// So many bytes at one look are a flood, or the beginning of one.
pub(crate) const FLOOD_SIZE: usize = 64 * 1024;

/// Bytes in a row that are shown whole: what can be scrolled back to, and what a slow viewer may have to load.
const UNBROKEN_MAX: usize = 512 * 1024;

/// Bytes at the end of a flood that are drawn: some screens of lines. Drawing them takes a fraction of a millisecond.
const DRAWN_AT_ONCE: usize = 16 * 1024;

/// How often a picture of a flood is shown.
const PICTURE_INTERVAL: Duration = Duration::from_millis(100);

/// One who looks.
pub(crate) struct View {
    folder: PathBuf,
    size: (u16, u16),
    at: At,
    /// Bytes since a look last came to the end without a flood.
    unbroken: usize,
    inexact_since: Option<Instant>,
}

enum At {
    Output(Cursor),
    Flood { screen: Screen, shown: Instant },
}

/// What a look saw.
pub(crate) struct Seen {
    /// What the viewer's terminal is to be fed.
    pub(crate) bytes: Vec<u8>,
    /// Whether there is likely to be more at once.
    pub(crate) is_flood: bool,
}

impl View {
    /// At the end of the recording, and what draws the screen as it is there. Blocks while all that is kept is drawn:
    /// a third of a second at most.
    pub(crate) fn begin(folder: &Path, cols: u16, rows: u16) -> Result<(Self, Vec<u8>)> {
        let at = At::Output(Cursor::at_start(folder));
        let (folder, size) = (folder.to_owned(), (cols, rows));
        let mut view = Self { folder, size, at, unbroken: 0, inexact_since: None };
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

    /// Since when what was shown may not be exactly what the terminal shows: a flood is over of which only the end was
    /// drawn, and its program may have left parts of the screen as they were before.
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
    pub(crate) fn look(&mut self) -> Result<Seen> {
        match std::mem::replace(&mut self.at, At::Output(Cursor::at_start(&self.folder))) {
            At::Output(cursor) => self.follow(cursor),
            At::Flood { screen, shown } => self.skim(screen, shown),
        }
    }

    fn follow(&mut self, mut cursor: Cursor) -> Result<Seen> {
        let mut bytes = Vec::new();
        while self.unbroken + bytes.len() < UNBROKEN_MAX {
            match cursor.next()? {
                Read::Frame { frame: Frame::Output(output), .. } if bytes.is_empty() => bytes = output,
                Read::Frame { frame: Frame::Output(output), .. } => bytes.extend_from_slice(&output),
                Read::Frame { frame: Frame::Resize { cols, rows }, .. } => self.size = (cols, rows),
                Read::Frame { frame: Frame::Marker(_), .. } => {}
                Read::Lost(_) => self.inexact_since = Some(Instant::now()),
                Read::End => {
                    let is_flood = bytes.len() >= FLOOD_SIZE;
                    self.unbroken = if is_flood { self.unbroken + bytes.len() } else { 0 };
                    self.at = At::Output(cursor);
                    return Ok(Seen { bytes, is_flood });
                }
            }
        }
        self.inexact_since = None;
        self.at = At::Flood {
            screen: Screen::at(cursor, self.size.0, self.size.1, DRAWN_AT_ONCE),
            shown: Instant::now(),
        };
        Ok(Seen { bytes, is_flood: true })
    }

    fn skim(&mut self, mut screen: Screen, mut shown: Instant) -> Result<Seen> {
        if screen.read_on()? < FLOOD_SIZE as u64 {
            screen.draw();
            self.inexact_since = Some(Instant::now());
            return Ok(Seen { bytes: self.go_on_from(screen), is_flood: false });
        }
        let mut bytes = Vec::new();
        if shown.elapsed() >= PICTURE_INTERVAL {
            screen.draw();
            bytes = screen.picture();
            shown = Instant::now();
        }
        self.at = At::Flood { screen, shown };
        Ok(Seen { bytes, is_flood: true })
    }

    /// Shows this screen and what comes after it.
    fn go_on_from(&mut self, screen: Screen) -> Vec<u8> {
        self.size = screen.size();
        self.unbroken = 0;
        let (picture, cursor) = screen.into_reader();
        self.at = At::Output(cursor);
        picture
    }
}
