//! What the readers make of recorded conversations, and the laws that hold for both.

mod accounting;
mod properties;
mod samples;

use super::{Context, Line, Reader};
use crate::provider::Speaks;
use std::fs;
use std::path::{Path, PathBuf};

/// The readers, with all recordings for them.
fn readers() -> [(&'static dyn Reader, Vec<PathBuf>); 2] {
    let recordings =
        |folders: &[&str]| folders.iter().flat_map(|folder| transcripts(&testdata(folder))).collect();
    [
        (reader(Speaks::Claude), recordings(&["claude-code/transcripts", "transcripts/claude-code"])),
        (reader(Speaks::Codex), recordings(&["transcripts/codex"])),
    ]
}

fn reader(speaks: Speaks) -> &'static dyn Reader {
    speaks.dialect().reader().expect("it writes conversations")
}

fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(path)
}

/// All transcripts below a folder, in order.
fn transcripts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for file in files {
        match file.extension() {
            None if file.is_dir() => found.extend(transcripts(&file)),
            Some(jsonl) if jsonl == "jsonl" => found.push(file),
            _ => {}
        }
    }
    found
}

/// All that a reader makes of a file.
fn read_all(reader: &dyn Reader, context: &mut Context, file: &[u8]) -> Vec<Line> {
    let file = file.strip_suffix(b"\n").unwrap_or(file);
    file.split(|byte| *byte == b'\n').map(|line| reader.read(context, line)).collect()
}
