//! Keeps what a pane prints: bytes from tmux's pipe into the segments of the recording.
//!
//! The law to keep: it never makes the pane wait. What cannot be written is dropped and marked, and reading
//! goes on. Readers are told by the file system; nobody is waited for.

use codepiper_core::recording::{
    Decoded, Frame, SEGMENT_MAX, SEGMENTS_MAX, decode, encode, output_header, segment_name, segment_position,
};
use rustix::fs::{FlockOperation, flock};
use rustix::fs::{Mode, OFlags};
use rustix::termios::tcgetwinsize;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes taken from tmux at once.
const READ_SIZE: usize = 128 * 1024;

/// A read this long is part of a flood: a terminal hands over at most so much at once (Linux: 4,095 bytes).
const FLOOD_READ: usize = 4095;

/// How long to wait in a flood before the next read, so that it finds more. What a flood costs is the number of
/// pieces, and the second core is needed by the program that prints.
const FLOOD_PAUSE: Duration = Duration::from_millis(1);

/// Empties a terminal and all its modes (RIS).
const TERMINAL_RESET: &[u8] = b"\x1bc";

/// Runs `codepiper pane-record <folder> <tty> [new-process]`.
pub fn record(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let (Some(folder), Some(tty)) = (arguments.next(), arguments.next()) else {
        return ExitCode::from(2);
    };
    let is_new = arguments.next().is_some_and(|word| word == super::NEW_PROCESS);
    let recorded = Recorder::open(Path::new(&folder), Path::new(&tty)).and_then(|mut recorder| {
        if is_new && recorder.position > 0 {
            // tmux gives a new process an empty terminal; so does the recording.
            recorder.keep(TERMINAL_RESET);
        }
        recorder.run(io::stdin())
    });
    // stderr of a pipe's command goes nowhere: an error can only be an exit code.
    match recorded {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

struct Recorder {
    folder: PathBuf,
    tty: PathBuf,
    size: Option<(u16, u16)>,
    segment: File,
    segment_start: u64,
    segment_bytes: u64,
    position: u64,
    /// Bytes that could not be written since the last that could.
    dropped: u64,
    /// Held as long as we write: a recorder that is replaced finishes first.
    _turn: File,
}

impl Recorder {
    fn open(folder: &Path, tty: &Path) -> io::Result<Self> {
        let turn = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(folder.join("turn"))?;
        flock(&turn, FlockOperation::LockExclusive)?;
        let (segment, segment_start, segment_bytes, position) = open_last_segment(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            tty: tty.to_owned(),
            size: None,
            segment,
            segment_start,
            segment_bytes,
            position,
            dropped: 0,
            _turn: turn,
        })
    }

    fn run(mut self, mut pane: impl Read) -> io::Result<()> {
        let mut buffer = vec![0; READ_SIZE];
        loop {
            match pane.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => {
                    self.keep(&buffer[..n]);
                    if n >= FLOOD_READ {
                        thread::sleep(FLOOD_PAUSE);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn keep(&mut self, output: &[u8]) {
        let outcome = self.rotate().and_then(|()| {
            if self.dropped > 0 {
                let text = format!("{} bytes could not be recorded", self.dropped);
                self.write(&encode(&Frame::Marker(text), now_ms()), &[])?;
                self.dropped = 0;
            }
            self.note_size()?;
            self.write(&output_header(output.len(), now_ms()), output)
        });
        match outcome {
            Ok(()) => self.position += output.len() as u64,
            Err(_) => self.dropped += output.len() as u64, // a full disk; told by the marker
        }
    }

    /// A resize frame where the terminal's size is not what the recording says.
    fn note_size(&mut self) -> io::Result<()> {
        // Opened each time and closed at once: an open terminal would keep the pane from ending.
        let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(tty) = rustix::fs::open(&self.tty, flags, Mode::empty()) else { return Ok(()) };
        let Ok(size) = tcgetwinsize(tty) else { return Ok(()) };
        let size = (size.ws_col, size.ws_row);
        if self.size != Some(size) && size.0 > 0 && size.1 > 0 {
            self.write(&encode(&Frame::Resize { cols: size.0, rows: size.1 }, now_ms()), &[])?;
            self.size = Some(size);
        }
        Ok(())
    }

    /// Appends one frame in one piece, or leaves the file as it was.
    fn write(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        let whole = head.len() + body.len();
        let written = self.segment.write_vectored(&[IoSlice::new(head), IoSlice::new(body)]);
        match written {
            Ok(n) if n == whole => {
                self.segment_bytes += whole as u64;
                Ok(())
            }
            Ok(_) => {
                self.segment.set_len(self.segment_bytes)?;
                Err(io::ErrorKind::WriteZero.into())
            }
            Err(error) => Err(error),
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.position - self.segment_start < SEGMENT_MAX {
            return Ok(());
        }
        self.segment = create_segment(&self.folder, self.position)?;
        self.segment_start = self.position;
        self.segment_bytes = 0;
        self.size = None; // each segment says the size anew, so that it can be read by itself
        let mut segments = segments(&self.folder)?;
        let too_many = segments.len().saturating_sub(SEGMENTS_MAX);
        for position in segments.drain(..too_many) {
            fs::remove_file(self.folder.join(segment_name(position)))?;
        }
        Ok(())
    }
}

/// Positions of the segments, ascending.
pub(crate) fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut positions = Vec::new();
    for entry in fs::read_dir(folder)? {
        positions.extend(entry?.file_name().to_str().and_then(segment_position));
    }
    positions.sort_unstable();
    Ok(positions)
}

/// Opens the last segment behind its last whole frame: the start of a frame that a crash cut off goes.
fn open_last_segment(folder: &Path) -> io::Result<(File, u64, u64, u64)> {
    let Some(start) = segments(folder)?.pop() else {
        return Ok((create_segment(folder, 0)?, 0, 0, 0));
    };
    let path = folder.join(segment_name(start));
    let bytes = fs::read(&path)?;
    let (mut whole, mut position) = (0, start);
    while let Decoded::Frame { frame, size, .. } = decode(&bytes[whole..]) {
        if let Frame::Output(output) = frame {
            position += output.len() as u64;
        }
        whole += size;
    }
    let file = OpenOptions::new().append(true).open(&path)?;
    file.set_len(whole as u64)?;
    Ok((file, start, whole as u64, position))
}

fn create_segment(folder: &Path, position: u64) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join(segment_name(position)))
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(folder: &Path) -> Vec<Frame> {
        let mut frames = Vec::new();
        for position in segments(folder).unwrap() {
            let bytes = fs::read(folder.join(segment_name(position))).unwrap();
            let mut at = 0;
            while let Decoded::Frame { frame, size, .. } = decode(&bytes[at..]) {
                frames.push(frame);
                at += size;
            }
        }
        frames
    }

    fn record_all(folder: &Path, output: &[u8]) {
        Recorder::open(folder, Path::new("/dev/null")).unwrap().run(output).unwrap();
    }

    #[test]
    fn a_new_recorder_goes_on_where_the_last_one_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        record_all(folder.path(), b"one");
        let segment = folder.path().join(segment_name(0));
        let whole = fs::read(&segment).unwrap();
        fs::write(&segment, [whole.as_slice(), &encode(&Frame::Output(b"cut".to_vec()), 1)[..17]].concat())
            .unwrap();
        record_all(folder.path(), b"two");
        assert_eq!(recorded(folder.path()), [Frame::Output(b"one".to_vec()), Frame::Output(b"two".to_vec())]);
    }

    #[test]
    fn the_recording_keeps_the_last_segments_and_their_positions() {
        let folder = tempfile::tempdir().unwrap();
        let chunk = vec![b'x'; READ_SIZE];
        let chunks = SEGMENT_MAX as usize * (SEGMENTS_MAX + 4) / READ_SIZE;
        record_all(folder.path(), &chunk.repeat(chunks));
        let kept = segments(folder.path()).unwrap();
        assert_eq!(kept.len(), SEGMENTS_MAX);
        assert_eq!(kept[0], SEGMENT_MAX * 4);
        assert!(kept.windows(2).all(|pair| pair[1] - pair[0] == SEGMENT_MAX));
    }
}
