//! What stands in a pane whose supervisor was killed: its last screen, in a terminal without the agent's modes.

use crate::terminal::Screen;
use codepiper_store::sessions::SessionRow;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// The command that shows the last screen of a session.
pub(crate) fn rest_command(codepiper: &Path, recording: &Path, row: &SessionRow) -> Vec<String> {
    let text = |path: &Path| path.display().to_string();
    let (cols, rows) = (row.cols.to_string(), row.rows.to_string());
    vec![text(codepiper), "pane-rest".into(), text(recording), cols, rows]
}

/// Runs `codepiper pane-rest <recording> <cols> <rows>`: prints the screen and ends.
pub fn rest(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let recording = arguments.next();
    let mut number = || arguments.next()?.to_str()?.parse::<u16>().ok();
    let (Some(recording), Some(cols), Some(rows)) = (recording, number(), number()) else {
        return ExitCode::from(2);
    };
    let shown = Screen::from_last_output(Path::new(&recording), cols, rows).and_then(|screen| {
        let text = screen.lines().join("\r\n");
        Ok(io::stdout().write_all(text.trim_end().as_bytes())?)
    });
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("codepiper: the last screen cannot be read: {error:#}");
            ExitCode::FAILURE
        }
    }
}
