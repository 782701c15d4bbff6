//! What the readers make of recorded conversations, and the laws that hold for both.

mod accounting;
mod properties;
mod samples;

use super::{Context, Counted, Entry, Kind, Line, Reader, Understood};
use crate::provider::Speaks;
use crate::usage::Usage;
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

/// A reply with the folder and the branch of its time.
pub(crate) type Placed = (Usage, Option<String>, Option<String>);

/// All replies of a file, found by reading every line.
pub(crate) fn replies(reader: &dyn Reader, lines: &[&[u8]]) -> Vec<Placed> {
    let mut context = Context::default();
    let read = |line: &&[u8]| {
        let usage = reader.read(&mut context, line).usage?;
        Some((usage, context.cwd.clone(), context.branch.clone()))
    };
    lines.iter().filter_map(read).collect()
}

/// The same, found by counting; `None` where a line tells that it depends on others.
pub(crate) fn counted(reader: &dyn Reader, lines: &[&[u8]]) -> Option<Vec<Placed>> {
    let (mut context, mut replies) = (Context::default(), Vec::new());
    for line in lines {
        match reader.count(&mut context, line) {
            Counted::Nothing => {}
            Counted::Reply(usage) => replies.push((usage, context.cwd.clone(), context.branch.clone())),
            Counted::InOthers => return None,
        }
    }
    Some(replies)
}

/// What lines tell, one after the other: entries as one line each, and lines that are not understood.
pub(crate) fn tell(reader: &dyn Reader, context: &mut Context, lines: &[serde_json::Value]) -> String {
    let mut told = String::new();
    for line in lines {
        let line = reader.read(context, line.to_string().as_bytes());
        told.extend(line.entries.iter().map(in_one_line));
        if line.understood != Understood::Whole {
            told.push_str(&format!("{:?}\n", line.understood));
        }
    }
    told
}

/// Role, what matters of it, and the first words.
pub(crate) fn in_one_line(entry: &Entry) -> String {
    let role = match &entry.kind {
        Kind::User { origin: None, .. } => "user".to_owned(),
        Kind::User { origin: Some(origin), .. } => format!("user ({origin})"),
        Kind::Assistant { model } => format!("assistant ({})", model.as_deref().unwrap_or("-")),
        Kind::Thinking => "thinking".to_owned(),
        Kind::ToolCall { tool, .. } => format!("call {tool}"),
        Kind::ToolResult { outcome, duration_ms: None, .. } => format!("result {outcome:?}"),
        Kind::ToolResult { outcome, duration_ms: Some(ms), .. } => format!("result {outcome:?} in {ms} ms"),
        Kind::Decision { .. } => "decision".to_owned(),
        Kind::Compaction => "compaction".to_owned(),
        Kind::Error { error } => format!("error ({error})"),
        Kind::ModelChange { .. } => "model".to_owned(),
        Kind::Note { note } => format!("note ({note})"),
    };
    let words: Vec<&str> = entry.text.split_whitespace().collect();
    let words: String = words.join(" ").chars().take(70).collect();
    format!("{role}: {words}\n").replace(": \n", ":\n")
}
