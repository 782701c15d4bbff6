//! The daemon itself on the wire.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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
    /// How well it reads what agents write down.
    #[serde(default)]
    pub transcripts: Transcripts,
}

/// How well transcripts are read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transcripts {
    /// Files that were ever read.
    pub files: u64,
    /// Lines in them.
    pub lines: u64,
    /// Of these, no records.
    pub broken: u64,
    /// Kinds of records that this version does not know, with their numbers.
    pub unknown: BTreeMap<String, u64>,
    /// Files that were cut, replaced or written anew, and were read again.
    pub read_again: u64,
    /// Files that could not be read, deleted ones not among them.
    pub unreadable: u64,
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
