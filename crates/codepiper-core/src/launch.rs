//! What the daemon and the process it puts into a pane say to each other, through two owner-only files.
//!
//! The launch file goes in: it holds the environment, so it is removed as soon as it was read, and nothing of
//! it stands in an argument list or in tmux. The run file comes out: pids while the agent runs, its end
//! when it has ended, whoever is there to read it then.

use crate::session::Exit;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The launch file. It has no `Debug`: its environment may hold secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchFile {
    /// A fresh mark of this launch, to tell its run file from an earlier one's.
    pub launch: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The whole environment, but for what tmux puts into a pane.
    pub environment: BTreeMap<String, String>,
    /// Where to start.
    pub cwd: PathBuf,
    /// Where the run file goes.
    pub run_file: PathBuf,
    /// A process that must be ready before the agent starts.
    pub companion: Option<CompanionFile>,
    /// Milliseconds the agent may take to end when it is asked to.
    pub grace_ms: u64,
}

/// A companion of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompanionFile {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The Unix socket it listens on once it is ready.
    pub ready_socket: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
}

/// The run file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunFile {
    /// The mark of the launch.
    pub launch: String,
    /// The process that watches over the agent: the pane's own.
    pub supervisor: ProcessRef,
    /// The agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<ProcessRef>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Why it could not be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A process that is told from a later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessRef {
    /// Its pid.
    pub pid: u32,
    /// When it was started, in clock ticks since boot; 0 where the system does not say.
    pub started: u64,
}

/// Reads the start time out of `/proc/<pid>/stat`: the 22nd field, counted after the command's name, which
/// may itself hold blanks and parentheses.
pub fn start_time_of_stat(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Reads the parent's pid out of `/proc/<pid>/stat`.
pub fn parent_of_stat(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_command_is_called() {
        let stat = "4711 (a) b (c) S 1 4711 4711 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 346387 1000 10 \
                    18446744073709551615";
        assert_eq!(start_time_of_stat(stat), Some(346_387));
        assert_eq!(parent_of_stat(stat), Some(1));
        assert_eq!(start_time_of_stat("4711 (x"), None);
    }
}
