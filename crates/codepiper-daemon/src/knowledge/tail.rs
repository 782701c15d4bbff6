//! A transcript file, read on from where it was left: a piece at a time, whole lines only, in bounded memory.
//!
//! Files are the agent's and hostile: they may be cut, replaced, deleted, or hold a line without end. Whatever was
//! taken stays; what is read twice counts once, so in doubt a file is read from its beginning.

use codepiper_core::transcript::{Context, Counted, Entry, Reader, Understood};
use codepiper_core::usage::Usage;
use codepiper_store::knowledge::{Ahead, File as Known, Found};
use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// Bytes of lines in one piece, give or take a line: what a transaction takes in without keeping others waiting.
const PIECE_SIZE: usize = 512 * 1024;

/// The same where nothing but usage is taken of them.
const COUNTED_SIZE: usize = 4 * 1024 * 1024;

/// Bytes read at once.
const READ_SIZE: usize = 256 * 1024;

/// The longest line that is understood, in bytes; pictures in tool results make lines of some megabytes.
const LINE_MAX: usize = 16 * 1024 * 1024;

/// How much of a file's beginning tells it from others, in bytes.
const FINGERPRINT_SIZE: u64 = 1024;

/// Kinds of unknown records that are counted by name; a hostile file could make up any number.
const UNKNOWN_KINDS_MAX: usize = 50;

/// What a piece of a file holds.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Where in the file it begins.
    pub(crate) begin: u64,
    /// Where it ends.
    pub(crate) end: u64,
    /// The file behind the piece.
    pub(crate) file: Known,
    /// When the file was made, in milliseconds since 1970.
    pub(crate) born_at: i64,
    /// What was said.
    pub(crate) entries: Vec<Entry>,
    /// What replies took, each with the folder and branch of its time.
    pub(crate) replies: Vec<(Usage, Option<String>, Option<String>)>,
    /// Whether more is there already.
    pub(crate) has_more: bool,
}

/// Reads on in a file. `None` when nothing is new.
pub(crate) fn read_on(
    path: &Path,
    provider: &str,
    reader: &dyn Reader,
    known: Option<Known>,
    begin: impl FnOnce() -> Context,
) -> io::Result<Option<Piece>> {
    let (file, mut piece) = open(path, provider, known, begin)?;
    piece.begin = piece.file.offset;
    // Replies before this were counted.
    let counted = piece.file.ahead.as_ref().map_or(0, |ahead| ahead.offset);
    piece.has_more = lines(file, piece.begin, PIECE_SIZE, |bytes, end| {
        match bytes {
            Bytes::Line(line) => piece.take_line(reader, line, piece.file.offset >= counted),
            Bytes::TooLong => piece.count_broken("longer than 16 MiB"),
            Bytes::Rest => {}
        }
        piece.file.offset = end;
    })?;
    piece.end = piece.file.offset;
    piece.file.ahead.take_if(|ahead| ahead.offset <= piece.end);
    Ok((piece.end > piece.begin).then_some(piece))
}

/// How to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counting {
    /// Only lines that matter.
    Chosen,
    /// All lines: in this file what one tells depends on others.
    All,
}

/// Counts on in a file, ahead of reading it: the piece holds replies alone. It says itself how the next one is to be
/// counted. `None` when nothing is new.
pub(crate) fn count_on(
    path: &Path,
    provider: &str,
    reader: &dyn Reader,
    known: Option<Known>,
    how: &mut Counting,
    begin: impl FnOnce() -> Context,
) -> io::Result<Option<Piece>> {
    let (file, mut piece) = open(path, provider, known, begin)?;
    let read = Ahead { offset: piece.file.offset, context: piece.file.context.clone() };
    let mut ahead =
        piece.file.ahead.take().filter(|ahead| ahead.offset > read.offset).unwrap_or(read.clone());
    loop {
        piece.begin = ahead.offset;
        let mut depends = false;
        piece.has_more = lines(file.try_clone()?, piece.begin, COUNTED_SIZE, |bytes, end| {
            ahead.offset = end;
            let Bytes::Line(line) = bytes else { return };
            let context = &mut ahead.context;
            let said = match *how {
                Counting::Chosen => reader.count(context, line),
                Counting::All => reader.read(context, line).usage.map_or(Counted::Nothing, Counted::Reply),
            };
            match said {
                Counted::Nothing => {}
                Counted::Reply(usage) => {
                    piece.replies.push((usage, context.cwd.clone(), context.branch.clone()));
                }
                Counted::InOthers => depends = true,
            }
        })?;
        if !depends {
            break;
        }
        // From where everything was read.
        *how = Counting::All;
        piece.replies.clear();
        ahead = read.clone();
    }
    piece.end = ahead.offset;
    let is_news = piece.end > piece.begin;
    piece.file.ahead = Some(ahead);
    Ok(is_news.then_some(piece))
}

/// Opens a file, and finds out whether it is the one that is known.
fn open(
    path: &Path,
    provider: &str,
    known: Option<Known>,
    begin: impl FnOnce() -> Context,
) -> io::Result<(File, Piece)> {
    // Never through a link: the folder is the agent's, what a link points to may not be.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is no file"));
    }
    let mut known = match known {
        Some(known) => match what_happened(&file, &facts, &known)? {
            None => known,
            Some(problem) => {
                let mut anew = fresh(path, provider, begin());
                anew.found.problem = Some(problem.to_owned());
                anew
            }
        },
        None => fresh(path, provider, begin()),
    };
    (known.device, known.inode) = (facts.dev(), facts.ino());
    known.fingerprint = fingerprint(&file, facts.len().min(FINGERPRINT_SIZE))?;
    let piece = Piece {
        begin: 0,
        end: 0,
        file: known,
        born_at: born_at(&facts),
        entries: Vec::new(),
        replies: Vec::new(),
        has_more: false,
    };
    Ok((file, piece))
}

fn fresh(path: &Path, provider: &str, context: Context) -> Known {
    Known {
        path: path.to_string_lossy().into_owned(),
        provider: provider.to_owned(),
        device: 0,
        inode: 0,
        fingerprint: String::new(),
        offset: 0,
        context,
        ahead: None,
        found: Found::default(),
    }
}

/// What may have become of a file, after which it is read from its beginning.
pub(crate) const READ_AGAIN: [&str; 3] = ["replaced by another file", "cut", "written anew"];

/// What became of a file that was read before; `None` when it only grew.
fn what_happened(file: &File, facts: &Metadata, known: &Known) -> io::Result<Option<&'static str>> {
    if (known.device, known.inode) != (facts.dev(), facts.ino()) {
        return Ok(Some(READ_AGAIN[0]));
    }
    if facts.len() < known.ahead.as_ref().map_or(0, |ahead| ahead.offset).max(known.offset) {
        return Ok(Some(READ_AGAIN[1]));
    }
    let size = known.fingerprint.split_once(':').and_then(|(size, _)| size.parse().ok()).unwrap_or(0);
    Ok((fingerprint(file, size)? != known.fingerprint).then_some(READ_AGAIN[2]))
}

/// The size and hash of a file's beginning.
fn fingerprint(file: &File, size: u64) -> io::Result<String> {
    let mut bytes = vec![0; size.min(FINGERPRINT_SIZE) as usize];
    file.read_exact_at(&mut bytes, 0)?;
    let hash: String = Sha256::digest(&bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{size}:{hash}"))
}

/// The time when the file was made, or where the file system does not keep it, last written.
fn born_at(facts: &Metadata) -> i64 {
    let born = facts.created().or_else(|_| facts.modified());
    let since = born.ok().and_then(|born| born.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_millis() as i64)
}

/// What is read of a file.
enum Bytes<'a> {
    /// A whole line, without its newline.
    Line(&'a [u8]),
    /// The beginning of a line that is too long.
    TooLong,
    /// What else there is of it.
    Rest,
}

/// Goes through the whole lines behind a place, each with the place behind it, until so many bytes are taken. Whether
/// there is more.
fn lines(mut file: File, from: u64, size: usize, mut take: impl FnMut(Bytes, u64)) -> io::Result<bool> {
    file.seek(SeekFrom::Start(from))?;
    let mut place = from; // where `held` begins
    let mut held: Vec<u8> = Vec::with_capacity(2 * READ_SIZE);
    let mut too_long = false;
    loop {
        let searched = held.len();
        held.resize(searched + READ_SIZE, 0);
        let n = file.read(&mut held[searched..])?;
        held.truncate(searched + n);
        if n == 0 {
            return Ok(false); // the rest of a line comes later
        }
        let mut begin = 0; // of the line that is not whole yet
        for end in memchr::memchr_iter(b'\n', &held[searched..]).map(|at| searched + at) {
            let bytes = if too_long { Bytes::Rest } else { Bytes::Line(&held[begin..end]) };
            take(bytes, place + end as u64 + 1);
            too_long = false;
            begin = end + 1;
        }
        held.drain(..begin);
        place += begin as u64;
        if held.len() > LINE_MAX {
            // Its bytes go by.
            place += held.len() as u64;
            take(if too_long { Bytes::Rest } else { Bytes::TooLong }, place);
            too_long = true;
            held.clear();
        }
        if place - from >= size as u64 && !too_long {
            return Ok(true);
        }
    }
}

impl Piece {
    fn take_line(&mut self, reader: &dyn Reader, line: &[u8], counts: bool) {
        self.file.found.lines += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return;
        }
        let said = reader.read(&mut self.file.context, line);
        match said.understood {
            Understood::Whole => {}
            Understood::UnknownKind(kind) => {
                let unknown = &mut self.file.found.unknown;
                if unknown.contains_key(&kind) || unknown.len() < UNKNOWN_KINDS_MAX {
                    *unknown.entry(kind).or_default() += 1;
                }
            }
            Understood::Broken(why) => self.count_broken(&why),
        }
        for mut entry in said.entries {
            entry.at = entry.at.or_else(|| self.last_time());
            self.entries.push(entry);
        }
        if let Some(usage) = said.usage.filter(|_| counts) {
            let Context { cwd, branch, .. } = &self.file.context;
            self.replies.push((usage, cwd.clone(), branch.clone()));
        }
    }

    fn count_broken(&mut self, why: &str) {
        self.file.found.broken += 1;
        let what_happened = self.file.found.problem.as_deref();
        if !what_happened.is_some_and(|what| READ_AGAIN.contains(&what)) {
            self.file.found.problem = Some(format!("line {}: {why}", self.file.found.lines));
        }
    }

    /// The time of what was said last, else of the file's making.
    fn last_time(&self) -> Option<Timestamp> {
        let said = self.entries.iter().rev().find_map(|entry| entry.at);
        said.or_else(|| Timestamp::from_millisecond(self.born_at).ok())
    }
}

#[cfg(test)]
mod tests;
