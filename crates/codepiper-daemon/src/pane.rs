//! The two processes of ours that live with every pane, and outlive the daemon: the supervisor, which
//! starts the agent and sees its end, and the recorder, which keeps what it prints.
//!
//! They know nothing of the daemon: files are all that connects them. No runtime, no log, small and quick.

mod recorder;
mod rest;
mod supervisor;

pub use recorder::record;
pub(crate) use recorder::segments;
pub use rest::rest;
pub(crate) use rest::rest_command;
pub use supervisor::supervise;

use codepiper_core::launch::{LaunchFile, RunFile};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The recorder's third argument where a new process begins to draw.
pub(crate) const NEW_PROCESS: &str = "new-process";

/// Writes an owner-only file in one step: readers see the old one or the new one, whole.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    drop(file);
    fs::rename(&new, path)
}

/// Reads a run file; `None` when there is none or it cannot be understood.
pub fn read_run_file(path: &Path) -> Option<RunFile> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a launch file.
pub fn write_launch_file(path: &Path, launch: &LaunchFile) -> io::Result<()> {
    write_whole(path, &serde_json::to_vec(launch)?)
}
