//! `codepiper import`

use super::absolute;
use crate::args::ImportArgs;
use crate::client::{Client, Route};
use crate::output;
use crate::text::visible;
use codepiper_api::knowledge::{ImportProgress, ImportRequest};
use codepiper_api::{Fault, Refusal};
use std::io::{IsTerminal, Write};

/// Columns of the bar.
const BAR: u64 = 30;

pub(super) async fn run(args: &ImportArgs, daemon: &Client) -> Result<(), Refusal> {
    let request = ImportRequest {
        provider: args.provider.clone(),
        claude_config_dir: args.claude_config_dir.as_deref().map(absolute).transpose()?,
        codex_home: args.codex_home.as_deref().map(absolute).transpose()?,
    };
    let mut stream = daemon.post_stream(Route::new("/import"), &request).await?;
    let shows_bar = std::io::stderr().is_terminal() && !args.format.json();
    let mut held: Vec<u8> = Vec::new();
    let mut last: Option<ImportProgress> = None;
    while let Some(piece) = stream.next().await? {
        held.extend_from_slice(&piece);
        while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = held.drain(..=end).collect();
            let progress: ImportProgress = serde_json::from_slice(&line).map_err(|error| {
                Refusal::new(Fault::Internal, format!("cannot understand the daemon's answer: {error}"))
            })?;
            let was_counting = last.as_ref().is_some_and(|last| !last.counted);
            if progress.counted && was_counting && progress.replies > 0 && !args.format.json() {
                let clear = if shows_bar { "\r\x1b[K" } else { "" };
                output::say(&format!("{clear}all replies are counted: tokens and costs are complete"));
            }
            if shows_bar {
                show_bar(&progress);
            }
            last = Some(progress);
        }
    }
    if shows_bar {
        write_now("\r\x1b[K");
    }
    let Some(progress) = last.filter(|progress| progress.done) else {
        return Err(Refusal::new(Fault::Internal, "the import broke off")
            .hint("`codepiper daemon logs` tells why; run it again to go on where it stopped"));
    };
    if args.format.json() {
        return output::print_json(&progress);
    }
    for problem in &progress.problems {
        output::warn(&format!("{}: {}", visible(&problem.path), visible(&problem.why)));
    }
    let (files, size) = (progress.files, size(progress.bytes));
    let (entries, replies) = (progress.entries, progress.replies);
    let (files, entries) =
        (counted(files, "transcript", "transcripts"), counted(entries, "entry", "entries"));
    let replies = counted(replies, "reply", "replies");
    output::done(&format!("{files}, {size}; new: {entries}, {replies}"))
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn show_bar(progress: &ImportProgress) {
    let all = progress.bytes.max(1);
    let (what, done) = match progress.counted {
        false => ("counting", progress.bytes_counted.min(all)),
        true => ("reading", progress.bytes_done.min(all)),
    };
    let filled = (done * BAR / all) as usize;
    let bar = "█".repeat(filled) + &"░".repeat(BAR as usize - filled);
    let (percent, files, files_done) = (done * 100 / all, progress.files, progress.files_done);
    let files =
        if progress.counted { format!("  {files_done} of {files} transcripts") } else { String::new() };
    let (done, all) = (size(done), size(progress.bytes));
    write_now(&format!("\r{what:<8} {bar} {percent:>3} %  {done} of {all}{files}\x1b[K"));
}

fn write_now(text: &str) {
    let mut out = std::io::stderr().lock();
    // A bar that cannot be shown is not worth an error.
    let _unseen = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} KB", bytes / 1_000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}
