//! Copies of the database: made while it is in use, verified before they are called a backup.

use super::{Result, SCHEMA_VERSION, StoreError};
use codepiper_core::ids::SessionId;
use rusqlite::{Connection, OpenFlags, backup::Backup};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// Pages copied before others get their turn.
const PAGES_AT_ONCE: i32 = 256;

/// What a verified database holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// Its schema.
    pub schema: u32,
    /// Sessions, those that left the list included.
    pub sessions: u64,
    /// The last event's number.
    pub last_event: u64,
}

/// Copies an open database into a file that must not exist yet.
pub(super) fn copy(from: &Connection, to: &Path) -> Result<BackupReport> {
    let file = |what: &str| {
        let what = format!("{what} {}", to.display());
        move |source| StoreError::File { what, source }
    };
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(file("creating"))?;
    let outcome = (|| {
        let mut target = Connection::open(to)?;
        Backup::new(from, &mut target)?.run_to_completion(PAGES_AT_ONCE, Duration::ZERO, None)?;
        // One file that can be carried away, without a log beside it.
        target.pragma_update(None, "journal_mode", "DELETE")?;
        drop(target);
        verify(to)
    })();
    if outcome.is_err() {
        fs::remove_file(to).map_err(file("removing the failed copy"))?;
    }
    outcome
}

/// Checks that a file is a whole database of ours that this version can open, and changes nothing.
pub fn verify(path: &Path) -> Result<BackupReport> {
    let connection = open_untouched(path)?;
    let verdict: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(StoreError::Corrupt { what: path.display().to_string(), why: verdict });
    }
    let schema: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if schema > SCHEMA_VERSION {
        return Err(StoreError::TooNew { path: path.to_owned(), found: schema, known: SCHEMA_VERSION });
    }
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u64>(0));
    Ok(BackupReport {
        schema,
        sessions: count("SELECT count(*) FROM sessions")?,
        last_event: count("SELECT coalesce(max(seq), 0) FROM events")?,
    })
}

/// All sessions a database ever had, those that left the list included. Changes nothing.
pub fn session_ids(path: &Path) -> Result<BTreeSet<SessionId>> {
    let connection = open_untouched(path)?;
    let mut statement = connection.prepare("SELECT id FROM sessions")?;
    let ids = statement.query_map([], |row| row.get::<_, String>(0))?;
    ids.map(|id| {
        let id = id?;
        SessionId::parse(&id)
            .map_err(|why| StoreError::Corrupt { what: format!("session id {id}"), why: why.to_string() })
    })
    .collect()
}

/// The env sets of a database by name, each with the id of its key. Changes nothing.
pub fn env_set_keys(path: &Path) -> Result<Vec<(String, String)>> {
    let connection = open_untouched(path)?;
    if !connection.table_exists(None, "env_sets")? {
        return Ok(Vec::new()); // of an earlier version
    }
    let mut statement = connection.prepare("SELECT name, key FROM env_sets ORDER BY name")?;
    let sets = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(sets.collect::<Result<_, _>>()?)
}

/// Opens a database to look at it, and leaves nothing behind. Without a log beside it nobody has it open, and
/// SQLite would make one even for a reader, and leave it there.
fn open_untouched(path: &Path) -> Result<Connection> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    if Path::new(&log).exists() {
        return Ok(Connection::open_with_flags(path, flags)?);
    }
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    Ok(Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?)
}
