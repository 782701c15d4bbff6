//! A place in a recording, from which it is read on.

use crate::pane::segments;
use anyhow::{Context, Result};
use codepiper_core::recording::{Decoded, Frame, HEADER, decode, output_size, segment_name};
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
    pub(super) fn skip_all_but(&mut self, last: usize) -> Result<()> {
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
    pub(super) fn skip_to_last_segments(&mut self, count: usize) -> Result<()> {
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
