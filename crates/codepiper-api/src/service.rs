//! The daemon itself on the wire.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `GET /health`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// Sessions of ours in tmux that the list does not know.
    pub zombie_session_count: u32,
    /// The daemon's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since it is ready.
    pub uptime_seconds: u64,
    /// Live sessions.
    pub live_sessions: u32,
    /// How it talks to tmux: `control` or `processes`.
    pub tmux_link: String,
    /// Its socket.
    pub socket: PathBuf,
    /// Its database.
    pub database: PathBuf,
    /// Its log.
    pub log: PathBuf,
}

/// `GET /version`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Version {
    /// The daemon's version.
    pub version: String,
}

/// `POST /backup`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BackupRequest {
    /// An absolute path where nothing is yet.
    pub path: PathBuf,
}

/// What a verified backup holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// Where it is.
    pub path: PathBuf,
    /// Its schema.
    pub schema: u32,
    /// Sessions in it, ended ones included.
    pub sessions: u64,
    /// The number of its last event.
    pub last_event: u64,
}
