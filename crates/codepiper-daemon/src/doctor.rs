//! What is missing or wrong on this machine, and what to type about it.
//!
//! `probe` looks and gives facts; the rest is pure: facts in, findings out. It works with and without a
//! daemon. What a running one says of itself is asked over its API by whoever calls, and comes in as
//! [`Answers`].
//!
//! The law to keep: looking changes nothing. No daemon is started, no folder made, no file of SQLite left
//! behind, and the only tmux server that is started is the doctor's own.

mod agents;
mod files;
mod machine;
mod probe;
mod service;

pub use probe::PROBE_TIME_MAX;

use crate::config::Config;
use crate::env_sets::Keyless;
use codepiper_api::Refusal;
use codepiper_api::doctor::Report;
use codepiper_api::providers::ProviderView;
use codepiper_api::service::Health;
use codepiper_core::ids::SessionId;
use codepiper_tmux::{Link, Version};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// What a running daemon says of itself.
#[derive(Debug, Clone)]
pub struct Answers {
    /// `GET /health`
    pub health: Result<Health, Refusal>,
    /// `GET /providers`: what is installed on the daemon's PATH.
    pub providers: Result<Vec<ProviderView>, Refusal>,
}

/// Looks at everything at once and says what it found. `codepiper` is how a person would call this program
/// for the same socket; `answers` are awaited beside everything else.
pub async fn examine(config: &Config, codepiper: &str, answers: impl Future<Output = Answers>) -> Report {
    judge(&probe::look(config, codepiper, answers).await)
}

/// Decides what the facts mean. What a thing rests on comes before it.
fn judge(facts: &Facts) -> Report {
    let findings = [
        machine::system(facts),
        machine::tmux(facts),
        machine::git(facts),
        agents::agents(facts),
        files::files(facts),
        service::daemon(facts),
        service::prices(facts),
        service::handlers(facts),
        agents::environment(facts),
    ];
    Report::new(findings.concat())
}

/// What a probe found, or why it found nothing.
type Probed<T> = Result<T, String>;

/// Everything that was looked at.
#[derive(Debug, Clone)]
struct Facts {
    /// How a person calls this program for the socket in question.
    codepiper: String,
    /// Who asks.
    user: u32,
    os: &'static str,
    arch: &'static str,
    /// What installs programs here.
    packages: Option<Packages>,
    /// Free bytes where the home folder is or would be.
    disk_free: Probed<u64>,
    /// Whether folders can be watched, tried for real.
    watching: Probed<()>,
    /// The limits of watching, where the system has any.
    watch_limits: Option<WatchLimits>,
    tmux: Option<TmuxFacts>,
    git: Option<Program>,
    /// Providers and bad definitions.
    agents: Probed<Agents>,
    files: Files,
    /// Whether the person's own prices can be used.
    prices: Probed<()>,
    /// Whether the person's own handlers can be used.
    handlers: Probed<()>,
    answers: Answers,
}

/// Something that installs programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packages {
    Apt,
    Dnf,
    Apk,
    Pacman,
    Zypper,
    Brew,
}

/// Limits of inotify for one user.
#[derive(Debug, Clone, Copy)]
struct WatchLimits {
    watches: u64,
    instances: u64,
}

#[derive(Debug, Clone)]
struct TmuxFacts {
    path: PathBuf,
    version: Probed<Version>,
    /// How commands reached a server of the doctor's own.
    trial: Probed<Link>,
    /// The sessions on the server that carries ours; none while there is no server.
    sessions: Probed<Vec<String>>,
}

#[derive(Debug, Clone)]
struct Program {
    path: PathBuf,
    version: Option<String>,
}

#[derive(Debug, Clone, Default)]
struct Agents {
    /// As they are found on the PATH of whoever asks.
    all: Vec<ProviderView>,
    /// Ids of those that are this program itself.
    built_in: Vec<String>,
    /// Definition files that cannot be used, with the reason.
    bad: Vec<(PathBuf, String)>,
    /// Variables here that hold a provider's credential. Their names: no value is ever looked at.
    credentials: Vec<String>,
}

/// What lies in the home folder, and the socket.
#[derive(Debug, Clone)]
struct Files {
    home: Seen,
    database: Seen,
    /// The files of SQLite beside the database.
    beside_database: Vec<Seen>,
    content: Content,
    socket: Seen,
    socket_folder: Seen,
    /// Whether somebody takes connections on it.
    socket_listened: Probed<bool>,
    lock: Lock,
    log: Seen,
    /// Session folders; `None` when they could not be listed.
    session_folders: Option<Vec<SessionId>>,
    sessions_folder: PathBuf,
}

/// What the database holds.
#[derive(Debug, Clone)]
enum Content {
    /// Nothing: it is not there, or the daemon has not filled it yet.
    Nothing,
    Whole {
        schema: u32,
        /// All it ever had.
        sessions: HashSet<SessionId>,
        env_sets: usize,
        keyless: Vec<Keyless>,
    },
    /// Of a newer version.
    TooNew {
        schema: u32,
    },
    Damaged(String),
    /// It could not be looked into, which does not say that it is bad.
    Unknown(String),
}

/// Who has the lock of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Lock {
    Free,
    /// As the holder wrote it there.
    Held {
        pid: u32,
        socket: PathBuf,
    },
}

/// Something at a path.
#[derive(Debug, Clone)]
struct Seen {
    path: PathBuf,
    /// `None` when nothing is there.
    what: Probed<Option<What>>,
}

/// What the file system says of it.
#[derive(Debug, Clone, Copy)]
struct What {
    kind: Kind,
    owner: u32,
    /// Permission bits.
    mode: u32,
    bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
    Socket,
    Other,
}

/// A path as a word for the shell.
fn typed(path: &Path) -> String {
    codepiper_core::provider::shell_word(&path.display().to_string())
}

/// A number of bytes as a person says it.
fn size(bytes: u64) -> String {
    let [kib, mib, gib] = [1_u64 << 10, 1 << 20, 1 << 30];
    match bytes {
        _ if bytes >= 10 * gib => format!("{} GiB", bytes / gib),
        _ if bytes >= gib => format!("{:.1} GiB", bytes as f64 / gib as f64),
        _ if bytes >= mib => format!("{} MiB", bytes / mib),
        _ if bytes >= kib => format!("{} KiB", bytes / kib),
        _ => format!("{bytes} bytes"),
    }
}

/// `1 session`, `2 sessions`.
fn count(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

#[cfg(test)]
mod tests;
