//! A session's terminal: its recording as a stream with positions, and the screen that the stream draws.
//!
//! The recording is the one truth. A reader holds a place in it and reads on when told that there is more;
//! late, slow and returning readers are the same thing, and cost no memory. Who falls behind what is still
//! kept gets the screen as it is then, and goes on from there.

use crate::pane::segments;
use anyhow::{Context, Result};
use codepiper_core::recording::{Decoded, Frame, HEADER, cut_character, decode, output_size, segment_name};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Bytes read from a segment at once while much is there.
const READ_MAX: usize = 256 * 1024;

/// Bytes read at once otherwise, and what a reader that waits holds at most: an agent prints far less between
/// two looks.
const READ_MIN: usize = 16 * 1024;

/// A place in a recording.
pub struct Cursor {
    folder: PathBuf,
    segment: Option<Segment>,
    /// The position of the next byte of output.
    position: u64,
}

struct Segment {
    file: File,
    offset: u64,
    /// Room for what is read; what was read and not given out yet is `used..filled`.
    ahead: Vec<u8>,
    used: usize,
    filled: usize,
    /// Bytes to read next.
    read_size: usize,
}

/// What a cursor gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// A frame; output begins at this position.
    Frame {
        /// The frame.
        frame: Frame,
        /// When it was recorded.
        time_ms: u64,
        /// The position of the first byte of output in or after it.
        position: u64,
    },
    /// Output up to this position is not kept any more; what follows begins there.
    Lost(u64),
    /// That is all for now.
    End,
}

impl Cursor {
    /// At the oldest output that is kept.
    pub fn at_start(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), segment: None, position: 0 }
    }

    /// The position of the next byte.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next frame. Blocks for a page read at most.
    pub fn next(&mut self) -> Result<Read> {
        loop {
            let Some(segment) = &mut self.segment else {
                match self.open_next()? {
                    Some(read) => return Ok(read),
                    None => continue,
                }
            };
            match decode(&segment.ahead[segment.used..segment.filled]) {
                Decoded::Frame { frame, time_ms, size } => {
                    segment.used += size;
                    let position = self.position;
                    if let Frame::Output(output) = &frame {
                        self.position += output.len() as u64;
                    }
                    return Ok(Read::Frame { frame, time_ms, position });
                }
                Decoded::NeedsMore(_) => {
                    if segment.fill().context("reading the recording")? == 0 && !self.move_on()? {
                        return self.end_or_lost();
                    }
                }
                Decoded::Damaged => {
                    // Nothing after the damage can be trusted; the next segment can.
                    let next = segments(&self.folder)?.into_iter().find(|start| *start > self.position);
                    let Some(next) = next else { return Ok(Read::End) };
                    self.segment = None;
                    self.position = next;
                    return Ok(Read::Lost(next));
                }
            }
        }
    }

    /// Leaves out output of this segment that is farther from its end than so many bytes.
    fn skip_all_but(&mut self, last: usize) -> Result<()> {
        if let Some(segment) = &mut self.segment {
            self.position += segment.skip_all_but(last as u64).context("reading the recording")?;
        }
        Ok(())
    }

    /// Goes on behind everything recorded so far.
    pub fn skip_to_end(&mut self) -> Result<()> {
        self.skip_to_last_segments(1)?;
        while self.next()? != Read::End {}
        Ok(())
    }

    /// Leaves out what lies before the last so many segments.
    fn skip_to_last_segments(&mut self, count: usize) -> Result<()> {
        let starts = match segments(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            starts => starts.context("listing the recording")?,
        };
        if let Some(start) =
            starts.iter().rev().take(count).next_back().filter(|start| **start > self.position)
        {
            self.segment = None;
            self.position = *start;
        }
        Ok(())
    }

    /// Nothing follows what was read: that is all, or what followed was dropped because we were too slow. Segments are
    /// dropped in order, so ours went first.
    fn end_or_lost(&mut self) -> Result<Read> {
        let is_dropped = match &self.segment {
            Some(segment) => segment.file.metadata().context("reading the recording")?.nlink() == 0,
            None => false,
        };
        let kept = if is_dropped { segments(&self.folder) } else { return Ok(Read::End) };
        let next = match kept {
            Ok(starts) => starts.into_iter().find(|start| *start > self.position),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).context("listing the recording"),
        };
        let Some(next) = next else { return Ok(Read::End) };
        self.segment = None;
        self.position = next;
        Ok(Read::Lost(next))
    }

    /// Opens the segment the position is in. `None` when that is done, else what to tell.
    fn open_next(&mut self) -> Result<Option<Read>> {
        let starts = match segments(&self.folder) {
            Ok(starts) => starts,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(Read::End)),
            Err(error) => return Err(error).context("listing the recording"),
        };
        let Some(start) =
            starts.iter().rev().find(|start| **start <= self.position).or(starts.first()).copied()
        else {
            return Ok(Some(Read::End));
        };
        match File::open(self.folder.join(segment_name(start))) {
            Ok(file) => {
                self.segment = Some(Segment::new(file));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None), // dropped just now
            Err(error) => return Err(error).context("opening the recording"),
        }
        let lost = start > self.position;
        self.position = start;
        Ok(lost.then_some(Read::Lost(start)))
    }

    /// Goes on to the segment that begins where this one ended, when there is one.
    fn move_on(&mut self) -> Result<bool> {
        let is_whole = self.segment.as_ref().is_none_or(|segment| segment.used == segment.filled);
        let path = self.folder.join(segment_name(self.position));
        if !is_whole {
            // A recorder was cut off inside a frame; the next one has trimmed it by now, or will.
            let starts = segments(&self.folder)?;
            if starts.last().is_none_or(|last| *last < self.position) {
                return Ok(false);
            }
        }
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error).context("opening the recording"),
        };
        // The segment in hand may itself begin at this position, when it has no output yet.
        let same = self.segment.as_ref().is_some_and(|segment| is_same_file(&segment.file, &file));
        if same {
            return Ok(false);
        }
        self.segment = Some(Segment::new(file));
        Ok(true)
    }
}

impl Segment {
    fn new(file: File) -> Self {
        Self { file, offset: 0, ahead: Vec::new(), used: 0, filled: 0, read_size: READ_MIN }
    }

    /// Goes from frame to frame of output without reading them. Gives the bytes of output left out.
    fn skip_all_but(&mut self, last: u64) -> std::io::Result<u64> {
        let size = self.file.metadata()?.len();
        let begin = self.offset - (self.filled - self.used) as u64;
        let (mut at, mut left_out) = (begin, 0);
        let mut header = [0; HEADER];
        while at + last < size {
            self.file.read_exact_at(&mut header, at)?;
            match output_size(&header) {
                Some((frame, output)) if at + frame as u64 + last < size => {
                    at += frame as u64;
                    left_out += output as u64;
                }
                _ => break,
            }
        }
        if at > begin {
            (self.offset, self.used, self.filled) = (at, 0, 0);
        }
        Ok(left_out)
    }

    /// Reads more behind what is held. Gives the bytes read.
    fn fill(&mut self) -> std::io::Result<usize> {
        self.ahead.copy_within(self.used..self.filled, 0);
        self.filled -= self.used;
        self.used = 0;
        let room = self.filled + self.read_size;
        if self.ahead.len() < room {
            self.ahead.resize(room, 0);
        }
        let n = self.file.read_at(&mut self.ahead[self.filled..room], self.offset)?;
        self.filled += n;
        self.offset += n as u64;
        if n == self.read_size {
            self.read_size = READ_MAX;
        } else if n == 0 {
            self.read_size = READ_MIN;
            self.ahead.truncate(self.filled.max(READ_MIN));
            self.ahead.shrink_to_fit();
        }
        Ok(n)
    }
}

fn is_same_file(a: &File, b: &File) -> bool {
    match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// Bytes of output that draw a screen whole, in practice: an agent redraws all of it many times within them.
const LAST_OUTPUT: usize = 64 * 1024;

/// The screen that a recording draws, kept up only when somebody asks.
pub struct Screen {
    cursor: Cursor,
    terminal: avt::Terminal,
    /// The end of what was read and not drawn yet.
    undrawn: Vec<u8>,
    cut: Vec<u8>,
    paste: BracketedPaste,
}

impl Screen {
    /// A screen of that size, before any output.
    pub fn new(folder: &Path, cols: u16, rows: u16) -> Self {
        Self {
            cursor: Cursor::at_start(folder),
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
        loop {
            match self.cursor.next()? {
                Read::Frame { frame: Frame::Output(output), .. } => self.feed(&output),
                Read::Frame { frame: Frame::Resize { cols, rows }, .. } => {
                    self.terminal.resize(cols.into(), rows.into());
                }
                Read::Frame { frame: Frame::Marker(_), .. } => {}
                Read::Lost(_) => self.clear(),
                Read::End => return Ok(news),
            }
            news = true;
        }
    }

    /// Reads everything recorded so far and keeps its end for [`Screen::draw`]. Drawing all of a flood would take a
    /// core from the program that prints. Gives the bytes of output.
    pub fn read_on(&mut self) -> Result<u64> {
        let begin = self.cursor.position();
        loop {
            self.cursor.skip_all_but(LAST_OUTPUT)?;
            match self.cursor.next()? {
                Read::Frame { frame: Frame::Output(output), .. } => {
                    self.undrawn.extend_from_slice(&output);
                    if self.undrawn.len() > 2 * LAST_OUTPUT {
                        let before = self.undrawn.len() - LAST_OUTPUT;
                        self.undrawn.drain(..before);
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
        let output = std::mem::take(&mut self.undrawn);
        self.feed(&output);
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
        let mut bytes = b"\x1bc".to_vec();
        bytes.extend_from_slice(self.terminal.dump().as_bytes());
        bytes.extend_from_slice(&self.cut);
        (bytes, self.cursor)
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
struct BracketedPaste {
    is_on: bool,
    /// The end of what came before, where a sequence may have been cut.
    tail: Vec<u8>,
}

impl BracketedPaste {
    const PREFIX: &[u8] = b"\x1b[?2004";

    fn feed(&mut self, output: &[u8]) {
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

fn blank(cols: u16, rows: u16) -> avt::Terminal {
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

#[cfg(test)]
mod tests;
