//! What a command needs to handle a daemon from outside: end it, read its log, restore its database.

use crate::config::Config;
use crate::processes;
use crate::watch::Watch;
use anyhow::{Context, Result};
use codepiper_api::service::Backup;
use codepiper_api::{Fault, Refusal};
use codepiper_core::launch::ProcessRef;
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// How long a daemon may take to end after SIGTERM; it promises five seconds.
const END_TIME_MAX: Duration = Duration::from_secs(10);

/// Bytes of the log's end that are looked through for its last lines.
const LOG_END: u64 = 4 * 1024 * 1024;

/// Ends the daemon with this pid and waits until it is gone. `false` when it does not go.
pub async fn stop(pid: u32) -> bool {
    let daemon = ProcessRef { pid, started: processes::start_time(pid).unwrap_or(0) };
    if !processes::signal(daemon, Signal::TERM) {
        return true;
    }
    tokio::time::timeout(END_TIME_MAX, processes::wait_until_gone(daemon)).await.is_ok()
}

/// The last lines of the log, and where it ends.
pub fn last_log_lines(file: &Path, lines: usize) -> std::io::Result<(String, u64)> {
    let mut file = File::open(file)?;
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(end.saturating_sub(LOG_END)))?;
    let mut bytes = Vec::new();
    file.take(LOG_END).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    let shown: String =
        all[all.len().saturating_sub(lines)..].iter().map(|line| format!("{line}\n")).collect();
    Ok((shown, end))
}

/// Gives what is added to the log from that place on, until the taker says no. A rotated log is begun anew.
pub async fn follow_log(file: &Path, mut from: u64, mut take: impl FnMut(&[u8]) -> bool) -> Result<()> {
    let watch = Watch::start()?;
    let mut watched = watch.folder(file.parent().context("the log has no folder")?)?;
    loop {
        watched.changed().await;
        let Ok(mut log) = File::open(file) else { continue }; // between two files of a rotation
        if log.metadata()?.len() < from {
            from = 0;
        }
        log.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        from += log.read_to_end(&mut bytes)? as u64;
        if !bytes.is_empty() && !take(&bytes) {
            return Ok(());
        }
    }
}

/// Checks that a file is a whole backup that this version can open.
pub fn verify_backup(path: &Path) -> Result<Backup, Refusal> {
    if !path.is_file() {
        return Err(Refusal::new(Fault::Missing, format!("there is no file `{}`", path.display())));
    }
    let report = codepiper_store::verify(path).map_err(|error| {
        Refusal::new(Fault::Usage, format!("`{}` is no backup that can be used: {error}", path.display()))
    })?;
    let path = path.to_owned();
    Ok(Backup { path, schema: report.schema, sessions: report.sessions, last_event: report.last_event })
}

/// The env sets of a backup whose key is not among those of this home, each with the reason. A backup has no keys
/// in it.
pub fn env_sets_without_key(backup: &Path, config: &Config) -> Vec<(String, String)> {
    let (_, keyless) = crate::env_sets::look(backup, config.keys_folder()).unwrap_or_default();
    keyless.into_iter().map(|set| (set.name, set.why)).collect()
}

/// Puts a backup in the place of the database. The old database is kept beside it; its path is returned when
/// there was one.
pub fn restore(path: &Path, config: &Config) -> Result<(Backup, Option<std::path::PathBuf>), Refusal> {
    let backup = verify_backup(path)?;
    let failed =
        |doing: &str, error: std::io::Error| Refusal::new(Fault::Internal, format!("{doing}: {error}"));
    let lock = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(config.lock_file())
        .map_err(|error| failed("opening the database's lock", error))?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(Refusal::new(Fault::Conflict, "a daemon is using the database")
            .hint("`codepiper daemon stop` ends it; sessions go on"));
    }
    let new = config.database.with_extension("db.restoring");
    let mut from = File::open(path).map_err(|error| failed("reading the backup", error))?;
    let mut to = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&new)
        .map_err(|error| failed("writing the database", error))?;
    std::io::copy(&mut from, &mut to).map_err(|error| failed("writing the database", error))?;
    to.sync_all().map_err(|error| failed("writing the database", error))?;
    let mut kept = None;
    if config.database.exists() {
        let stamp = Timestamp::now().as_second();
        let old = config.database.with_extension(format!("before-restore-{stamp}.db"));
        // The log of the old database belongs to it: without it the last commits would be missing.
        for ending in ["", "-wal", "-shm"] {
            let with = |path: &Path| {
                let mut name = path.as_os_str().to_owned();
                name.push(ending);
                std::path::PathBuf::from(name)
            };
            let (from, to) = (with(&config.database), with(&old));
            if from.exists() {
                fs::rename(from, to).map_err(|error| failed("keeping the old database", error))?;
            }
        }
        kept = Some(old);
    }
    fs::rename(&new, &config.database).map_err(|error| failed("placing the database", error))?;
    Ok((backup, kept))
}
