//! What a recording draws.

use super::cursor::{Cursor, Read};
use anyhow::Result;
use codepiper_core::recording::{Frame, cut_character};
use std::path::Path;

/// Bytes of output that draw a screen whole, in practice: an agent redraws all of it many times within them.
const LAST_OUTPUT: usize = 64 * 1024;

/// Bytes of output that are drawn at once at most: more than is kept.
const CATCH_UP_MAX: usize = 24 * 1024 * 1024;

/// The screen that a recording draws, kept up only when somebody asks.
pub struct Screen {
    cursor: Cursor,
    drawn_at_once: usize,
    terminal: avt::Terminal,
    /// The end of what was read and not drawn yet.
    undrawn: Vec<u8>,
    cut: Vec<u8>,
    paste: BracketedPaste,
}

impl Screen {
    /// A screen of that size, before any output.
    pub fn new(folder: &Path, cols: u16, rows: u16) -> Self {
        Self::at(Cursor::at_start(folder), cols, rows, LAST_OUTPUT)
    }

    /// An empty screen of that size, drawn from this place on; of what is read on, so many bytes at the end are drawn.
    pub(super) fn at(cursor: Cursor, cols: u16, rows: u16, drawn_at_once: usize) -> Self {
        Self {
            cursor,
            drawn_at_once,
            terminal: blank(cols, rows),
            undrawn: Vec::new(),
            cut: Vec::new(),
            paste: BracketedPaste::default(),
        }
    }

    /// About what a screen shows at the end of the recording, from its last output alone: reading all of it
    /// takes a third of a second when it is full.
    pub fn from_last_output(folder: &Path, cols: u16, rows: u16) -> Result<Self> {
        let mut screen = Self::new(folder, cols, rows);
        screen.cursor.skip_to_last_segments(2)?; // the last one may have just begun
        screen.read_on()?;
        screen.draw();
        Ok(screen)
    }

    /// Forgets what was drawn so far, and leaves out what was recorded and not drawn yet: another process draws
    /// from here on.
    pub fn begin_anew(&mut self) -> Result<()> {
        self.clear();
        self.cursor.skip_to_end()
    }

    /// Takes in everything recorded so far. Whether anything was new.
    pub fn catch_up(&mut self) -> Result<bool> {
        let mut news = !self.undrawn.is_empty();
        self.draw();
        // Drawing may be slower than what is printed meanwhile.
        let mut drawn = 0;
        while drawn <= CATCH_UP_MAX {
            match self.cursor.next()? {
                Read::Frame { frame: Frame::Output(output), .. } => {
                    drawn += output.len();
                    self.feed(&output);
                }
                Read::Frame { frame: Frame::Resize { cols, rows }, .. } => {
                    self.terminal.resize(cols.into(), rows.into());
                }
                Read::Frame { frame: Frame::Marker(_), .. } => {}
                Read::Lost(_) => self.clear(),
                Read::End => return Ok(news),
            }
            news = true;
        }
        Ok(news)
    }

    /// Reads everything recorded so far and keeps its end for [`Screen::draw`]. Drawing all of a flood would take a
    /// core from the program that prints. Gives the bytes of output.
    pub fn read_on(&mut self) -> Result<u64> {
        let begin = self.cursor.position();
        loop {
            self.cursor.skip_all_but(self.drawn_at_once)?;
            match self.cursor.next()? {
                Read::Frame { frame: Frame::Output(output), .. } => {
                    self.undrawn.extend_from_slice(&output);
                    if self.undrawn.len() > 2 * self.drawn_at_once {
                        self.forget_all_but_the_end();
                    }
                }
                // Each segment says the size anew.
                Read::Frame { frame: Frame::Resize { cols, rows }, .. } if (cols, rows) == self.size() => {}
                Read::Frame { frame: Frame::Resize { cols, rows }, .. } => {
                    self.draw();
                    self.terminal.resize(cols.into(), rows.into());
                }
                Read::Frame { frame: Frame::Marker(_), .. } => {}
                Read::Lost(_) => self.clear(),
                Read::End => return Ok(self.cursor.position() - begin),
            }
        }
    }

    /// Draws the end of what was read: about what the screen shows then.
    pub fn draw(&mut self) {
        self.forget_all_but_the_end();
        let output = std::mem::take(&mut self.undrawn);
        self.feed(&output);
    }

    /// Whether something was read on and not drawn.
    pub(super) fn has_undrawn(&self) -> bool {
        !self.undrawn.is_empty()
    }

    fn forget_all_but_the_end(&mut self) {
        let before = self.undrawn.len().saturating_sub(self.drawn_at_once);
        self.undrawn.drain(..before);
    }

    fn clear(&mut self) {
        let (cols, rows) = self.size();
        self.terminal = blank(cols, rows);
        self.paste = BracketedPaste::default();
        self.undrawn.clear();
        self.cut.clear();
    }

    fn feed(&mut self, output: &[u8]) {
        self.paste.feed(output);
        self.cut.extend_from_slice(output);
        let whole = self.cut.len() - cut_character(&self.cut);
        self.terminal.feed(&*String::from_utf8_lossy(&self.cut[..whole]));
        self.cut.drain(..whole);
    }

    /// The visible lines as text, without blanks at their ends.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.terminal.screen().visible_lines();
        lines.map(|line| line.text().trim_end().to_owned()).collect()
    }

    /// Bytes that draw this screen on an empty terminal of its size, and the position of the byte after it.
    /// What the agent prints from there on continues it exactly.
    pub fn snapshot(&self) -> (String, u64) {
        // A character cut in half belongs to what comes.
        (self.terminal.dump(), self.cursor.position() - self.cut.len() as u64)
    }

    /// The screen and the reader that goes on from there: for who fell behind what is kept. The bytes empty a
    /// terminal and draw the screen on it.
    pub fn into_reader(self) -> (Vec<u8>, Cursor) {
        let mut bytes = self.picture();
        bytes.extend_from_slice(&self.cut);
        (bytes, self.cursor)
    }

    /// Bytes that empty a terminal of this size and draw this screen on it.
    pub(super) fn picture(&self) -> Vec<u8> {
        let mut bytes = b"\x1bc".to_vec();
        bytes.extend_from_slice(self.terminal.dump().as_bytes());
        bytes
    }

    /// Whether the agent asked for bracketed paste: without it, pasted lines are so many presses of Enter.
    pub fn takes_paste(&self) -> bool {
        self.paste.is_on
    }

    /// Columns and rows.
    pub fn size(&self) -> (u16, u16) {
        let (cols, rows) = self.terminal.size();
        (cols as u16, rows as u16)
    }
}

/// Follows the mode in which the agent wants pastes; the terminal model has no use for it.
#[derive(Default)]
pub(super) struct BracketedPaste {
    pub(super) is_on: bool,
    /// The end of what came before, where a sequence may have been cut.
    tail: Vec<u8>,
}

impl BracketedPaste {
    const PREFIX: &[u8] = b"\x1b[?2004";

    pub(super) fn feed(&mut self, output: &[u8]) {
        self.tail.extend_from_slice(output);
        let found = self.tail.windows(Self::PREFIX.len() + 1).rev().find_map(|window| {
            match window.strip_prefix(Self::PREFIX) {
                Some(b"h") => Some(true),
                Some(b"l") => Some(false),
                _ => None,
            }
        });
        self.is_on = found.unwrap_or(self.is_on);
        self.tail.drain(..self.tail.len().saturating_sub(Self::PREFIX.len()));
    }
}

pub(super) fn blank(cols: u16, rows: u16) -> avt::Terminal {
    avt::Terminal::new(cols.max(1).into(), rows.max(1).into()).expect("both are positive")
}

/// What the agent printed as plain text: at most so many lines, the last ones, whatever was drawn over
/// included as far as it scrolled away.
pub fn plain_text(folder: &Path, cols: u16, rows: u16, lines: usize) -> Result<String> {
    let mut cursor = Cursor::at_start(folder);
    let mut terminal = avt::Terminal::with_scrollback(cols.max(1).into(), rows.max(1).into(), Some(lines))
        .map_err(|_| anyhow::anyhow!("a terminal needs columns and rows"))?;
    let mut cut = Vec::new();
    loop {
        match cursor.next()? {
            Read::Frame { frame: Frame::Output(output), .. } => {
                cut.extend_from_slice(&output);
                let whole = cut.len() - cut_character(&cut);
                terminal.feed(&*String::from_utf8_lossy(&cut[..whole]));
                cut.drain(..whole);
            }
            Read::Frame { frame: Frame::Resize { cols, rows }, .. } => {
                terminal.resize(cols.into(), rows.into())
            }
            Read::Frame { .. } | Read::Lost(_) => {}
            Read::End => break,
        }
    }
    let text: Vec<String> =
        terminal.screen().all_lines().map(|line| line.text().trim_end().to_owned()).collect();
    let end = text.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
    let shown = &text[end.saturating_sub(lines)..end];
    Ok(shown.iter().map(|line| format!("{line}\n")).collect())
}
