//! `codepiper status-line FILE`: tells the daemon what the agent gives its status line, then becomes the
//! person's own status line, whose command is in that file.
//!
//! It runs several times in a turn and its output is drawn, so the same holds as for [`crate::hook_helper`]:
//! the standard library only, and never a word or a failure of ours on the person's screen.

use crate::hook_helper::{Post, variable};
use codepiper_api::defaults::{HOOK_SECRET_VARIABLE, HOOK_SESSION_VARIABLE, HOOK_SOCKET_VARIABLE};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// The largest body, in bytes. Claude Code's is 1.5 KB.
pub const STATUS_LINE_BODY_MAX: usize = 256 * 1024;

/// How long the daemon may take to answer: the person's line waits for it, and nothing is lost without.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(500);

/// Runs `codepiper status-line`.
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut body = Vec::new();
    if io::stdin().lock().take(STATUS_LINE_BODY_MAX as u64).read_to_end(&mut body).is_err() {
        return ExitCode::FAILURE;
    }
    if let (Some(session), Some(socket)) = (variable(HOOK_SESSION_VARIABLE), variable(HOOK_SOCKET_VARIABLE)) {
        let secret = variable(HOOK_SECRET_VARIABLE).unwrap_or_default();
        let post =
            Post { session: &session, what: "status-line", secret: &secret, event_id: "", body: Some(&body) };
        let _nothing_lost = post.send(Path::new(&socket), ANSWER_TIME_MAX);
    }
    let Some(path) = arguments.next().map(PathBuf::from) else { return ExitCode::SUCCESS };
    let command = fs::read_to_string(&path).unwrap_or_default();
    if command.trim().is_empty() {
        return ExitCode::SUCCESS; // the person has none
    }
    let Ok(input) = unnamed_file(&path, &body) else { return ExitCode::FAILURE };
    // In our place, so that ending it is as it would be without us.
    let _only_returns_when_it_failed =
        Command::new("sh").arg("-c").arg(command).stdin(Stdio::from(input)).exec();
    ExitCode::FAILURE
}

/// The body as a file without a name, at its beginning.
fn unnamed_file(beside: &Path, body: &[u8]) -> io::Result<File> {
    let path = beside.with_extension(std::process::id().to_string());
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    file.write_all(body)?;
    file.rewind()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_read_from_its_beginning_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = unnamed_file(&folder.path().join("status-line"), b"{}").unwrap();
        let mut read = String::new();
        file.read_to_string(&mut read).unwrap();
        assert_eq!(read, "{}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
