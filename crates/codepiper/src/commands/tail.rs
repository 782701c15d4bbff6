//! `codepiper tail`

use super::{RETURN_TRY_EVERY, until_interrupted, when_back, whole_id};
use crate::args::TailArgs;
use crate::client::{Client, Route, Stream};
use crate::output;
use crate::screen_bytes::Drawing;
use codepiper_api::sessions::SessionBody;
use codepiper_api::{Fault, Refusal};
use codepiper_core::session::Status;
use rustix::termios::{LocalModes, OptionalActions, QueueSelector, Termios};
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The header with the position of an output stream's first byte.
const POSITION_HEADER: &str = "x-codepiper-position";

pub(super) async fn run(args: &TailArgs, daemon: &Client) -> Result<(), Refusal> {
    if let Some(file) = &args.cast {
        return cast(&args.id, file, daemon).await;
    }
    if args.follow {
        let id = whole_id(&args.id, daemon).await?;
        let _quiet = QuietTerminal::make();
        let filter = (!args.raw && io::stdout().is_terminal()).then(Drawing::default);
        return until_interrupted(follow(&id, args.lines, filter, daemon)).await;
    }
    if args.raw {
        let mut kept = Vec::new();
        let mut stream = daemon.stream(stream_route(&args.id, Start::Position(0))).await?;
        while let Some(bytes) = stream.next().await? {
            kept.extend_from_slice(&bytes);
        }
        return output::print_bytes(last_lines(&kept, args.lines));
    }
    let route = Route::session(&args.id, "/output/text").with("lines", args.lines);
    let text = daemon.get_text(route).await?;
    match crate::text::visible_lines(&String::from_utf8_lossy(&text)) {
        text if text.is_empty() => Ok(()),
        text => output::print(&format!("{text}\n")),
    }
}

enum Start {
    /// What is kept from this position on.
    Position(u64),
    /// Only what comes.
    End,
}

fn stream_route(id: &str, start: Start) -> Route {
    let route = Route::session(id, "/output/stream");
    match start {
        Start::Position(position) => route.with("from", position),
        Start::End => route.with("end", true),
    }
}

/// The last so many lines. The recording has a limit of some megabytes, so all of it may be looked through.
fn last_lines(bytes: &[u8], lines: u32) -> &[u8] {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let mut breaks = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    match lines.checked_sub(1) {
        None => &[],
        Some(before) => breaks.nth(before as usize).map_or(bytes, |at| &bytes[at + 1..]),
    }
}

/// Prints the last lines, and what comes until the agent has ended. A daemon that restarts is waited for; by
/// the position nothing is lost and nothing comes twice.
async fn follow(id: &str, lines: u32, filter: Option<Drawing>, daemon: &Client) -> Result<(), Refusal> {
    let open = async |start| daemon.stream(stream_route(id, start).with("follow", true)).await;
    // Where the past ends is asked for before the past itself is.
    let end = position(&daemon.stream(stream_route(id, Start::End)).await?)?;
    let mut stream = open(Start::Position(0)).await?;
    let mut at = position(&stream)?;
    let mut printer = Printer { past: Some(Vec::new()), lines, filter };
    loop {
        let broken = loop {
            if at >= end {
                printer.end_past()?;
            }
            match stream.next().await {
                Ok(Some(bytes)) => {
                    at += bytes.len() as u64;
                    printer.print(&bytes)?;
                }
                Ok(None) => break None,
                Err(refusal) => break Some(refusal),
            }
        };
        printer.end_past()?;
        // The stream ends with the agent, and with the daemon: only the state tells which.
        tokio::time::sleep(RETURN_TRY_EVERY).await;
        let SessionBody { session, .. } =
            when_back(async || daemon.get(Route::session(id, "")).await).await?;
        if broken.is_none() && matches!(session.status, Status::Stopped | Status::Crashed) {
            return Ok(());
        }
        stream = when_back(async || open(Start::Position(at)).await).await?;
        at = position(&stream)?;
    }
}

/// The position of a stream's first byte.
fn position(stream: &Stream) -> Result<u64, Refusal> {
    let position = stream.header(POSITION_HEADER).and_then(|text| text.parse().ok());
    position.ok_or_else(|| {
        Refusal::new(Fault::Internal, "the daemon does not say where the output begins").hint(
            "is it of another version? `codepiper daemon restart` starts the installed one; sessions go on",
        )
    })
}

struct Printer {
    /// What was printed before we came; nothing once the last lines of it are printed.
    past: Option<Vec<u8>>,
    lines: u32,
    filter: Option<Drawing>,
}

impl Printer {
    fn print(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        match (&mut self.past, &mut self.filter) {
            (Some(past), _) => {
                past.extend_from_slice(bytes);
                Ok(())
            }
            (None, Some(filter)) => output::print_bytes(&filter.filter(bytes)),
            (None, None) => output::print_bytes(bytes),
        }
    }

    fn end_past(&mut self) -> Result<(), Refusal> {
        match self.past.take() {
            Some(past) => self.print(last_lines(&past, self.lines)),
            None => Ok(()),
        }
    }
}

/// Writes the recording into a new file that only its owner can read: screens show secrets.
async fn cast(id: &str, file: &Path, daemon: &Client) -> Result<(), Refusal> {
    let mut stream = daemon.stream(Route::session(id, "/recording")).await?;
    if file == Path::new("-") {
        while let Some(bytes) = stream.next().await? {
            output::print_bytes(&bytes)?;
        }
        return Ok(());
    }
    let shown = file.display();
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::AlreadyExists => Refusal::new(Fault::Conflict, format!("`{shown}` is there already"))
            .hint("a recording goes into a new file"),
        _ => Refusal::new(Fault::Missing, format!("cannot write `{shown}`: {error}")),
    };
    let mut target =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
    let mut size = 0;
    while let Some(bytes) = stream.next().await? {
        target.write_all(&bytes).map_err(failed)?;
        size += bytes.len();
    }
    output::done(&format!("{shown}: {size} bytes; `asciinema play {shown}` shows it"))
}

/// While an agent's bytes go to a terminal, nothing is echoed into them, and what the terminal answers to the
/// agent's questions (its colours, its name) does not land in the shell. At the end the modes that agents turn
/// on are turned off, and the cursor stands on a line of its own.
struct QuietTerminal {
    before: Option<Termios>,
}

/// Style, cursor, mouse, focus and paste reports, alternate screen, enhanced keyboards, scrolling: as a shell
/// wants them. Then down to the last line, because agents leave the cursor above what they drew.
const PLAIN_AGAIN: &str = "\x1b[0m\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1006l\x1b[?2004l\
                           \x1b[?2026l\x1b[?1049l\x1b[<u\x1b[>4;0m\x1b[r\x1b[999B\r\n";

impl QuietTerminal {
    fn make() -> Option<Self> {
        if !io::stdout().is_terminal() {
            return None;
        }
        let before = rustix::termios::tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut quiet = before.clone();
            quiet.local_modes -= LocalModes::ECHO | LocalModes::ICANON; // Ctrl+C stays a signal
            let _best_effort = rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, &quiet);
        }
        Some(Self { before })
    }
}

impl Drop for QuietTerminal {
    fn drop(&mut self) {
        let mut out = io::stdout().lock();
        let _best_effort = out.write_all(PLAIN_AGAIN.as_bytes()).and_then(|()| out.flush());
        if let Some(before) = &self.before {
            let _best_effort = rustix::termios::tcflush(io::stdin(), QueueSelector::IFlush);
            let _best_effort = rustix::termios::tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_counted_from_the_end() {
        let check = |text: &str, lines: u32, expected: &str| {
            assert_eq!(last_lines(text.as_bytes(), lines), expected.as_bytes(), "{lines} of {text:?}");
        };
        check("a\nb\nc\n", 2, "b\nc\n");
        check("a\nb\nc", 2, "b\nc");
        check("a\nb\n", 2, "a\nb\n");
        check("a\nb\n", 9, "a\nb\n");
        check("a\n\n", 1, "\n");
        check("a\nb", 0, "");
        check("", 3, "");
    }
}
