//! What the demo agent keeps on disk, for its owner only: transcripts and one state file per process.
//!
//! The modes are given with each file rather than by umask, which the commands we run would inherit.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

#[derive(Debug, Clone)]
pub(super) struct Home {
    root: PathBuf,
}

/// Where a process stands, for those who watch its state file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Idle,
    Busy,
    Waiting,
}

impl Home {
    /// `CODEPIPER_DEMO_HOME`, else `~/.codepiper-demo`.
    pub(super) fn from_environment() -> Result<Self, String> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = set("CODEPIPER_DEMO_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".codepiper-demo")))
            .ok_or("neither `CODEPIPER_DEMO_HOME` nor `HOME` is set")?;
        let root = std::path::absolute(&root).unwrap_or(root);
        Ok(Self { root })
    }

    pub(super) fn transcript(&self, cwd: &Path, session_id: &str) -> PathBuf {
        self.root.join("projects").join(folder_name(cwd)).join(format!("{session_id}.jsonl"))
    }

    pub(super) fn state_file(&self) -> PathBuf {
        self.root.join("sessions").join(format!("{}.json", std::process::id()))
    }

    /// Writes the state file in one step, so that a watcher never reads half of it.
    pub(super) fn write_state(&self, state: &serde_json::Value) -> std::io::Result<()> {
        let path = self.state_file();
        create_folder_of(&path)?;
        let fresh = path.with_extension("tmp");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(state.to_string().as_bytes())?;
        std::fs::rename(fresh, path)
    }
}

/// The state file's content, as Claude Code has it.
pub(super) fn state(
    session_id: &str,
    cwd: &Path,
    name: &str,
    started_ms: u64,
    status: Status,
) -> serde_json::Value {
    let now = now_ms();
    let mut state = json!({
        "pid": std::process::id(),
        "sessionId": session_id,
        "cwd": cwd,
        "startedAt": started_ms,
        "procStart": start_ticks(),
        "version": super::VERSION,
        "peerProtocol": 1,
        "kind": "interactive",
        "entrypoint": "cli",
        "name": name,
        "nameSource": "derived",
        "status": match status {
            Status::Idle => "idle",
            Status::Busy => "busy",
            Status::Waiting => "waiting",
        },
        "updatedAt": now,
        "statusUpdatedAt": now,
    });
    if status == Status::Waiting {
        state["waitingFor"] = "permission prompt".into();
    }
    state
}

/// Opens a file of ours for appending, its folders made on the way.
pub(super) fn open_private(path: &Path) -> std::io::Result<File> {
    create_folder_of(path)?;
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// A fresh UUID of version 4.
pub(super) fn uuid() -> String {
    let mut bytes = random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A fresh id with a prefix, the length the API's have.
pub(super) fn id(prefix: &str) -> String {
    format!("{prefix}{}", &hex(&random())[..26])
}

pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

/// `2026-11-20T21:04:34.623Z`.
pub(super) fn timestamp(ms: u64) -> String {
    let (days, in_day) = (ms / 86_400_000, ms % 86_400_000);
    // Civil date from days since 1970, counting in eras of 400 years that begin on a first of March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// The branch checked out where we work, `HEAD` when there is none to name.
pub(super) fn git_branch(cwd: &Path) -> String {
    let head = cwd.ancestors().find_map(|folder| {
        let git = folder.join(".git");
        // In a linked worktree `.git` is a file that points to the folder.
        match std::fs::read_to_string(&git) {
            Ok(link) => {
                let target = link.trim().strip_prefix("gitdir: ")?;
                std::fs::read_to_string(folder.join(target).join("HEAD")).ok()
            }
            Err(_) => std::fs::read_to_string(git.join("HEAD")).ok(),
        }
    });
    head.and_then(|head| Some(head.trim().strip_prefix("ref: refs/heads/")?.to_owned()))
        .unwrap_or_else(|| "HEAD".to_owned())
}

fn folder_name(cwd: &Path) -> String {
    cwd.to_string_lossy().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

fn create_folder_of(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) => DirBuilder::new().recursive(true).mode(0o700).create(folder),
        None => Ok(()),
    }
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.expect("a Unix has /dev/urandom");
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// When this process started, in clock ticks since boot: with the pid it names a process for good.
fn start_ticks() -> String {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The command's name in parentheses may hold anything; the fields are counted behind it.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    fields.split_whitespace().nth(19).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_civil() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(1_795_210_093_048), "2026-11-20T21:28:13.048Z");
        assert_eq!(timestamp(1_709_164_800_000), "2024-02-29T00:00:00.000Z");
    }

    #[test]
    fn a_folder_is_named_as_claude_code_names_it() {
        assert_eq!(folder_name(Path::new("/home/dev/a.b_ü")), "-home-dev-a-b--");
    }

    #[test]
    fn uuids_are_of_version_four() {
        let id = uuid();
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
        assert_ne!(id, uuid());
    }
}
