//! The SQLite store, the only crate with SQL.
//!
//! One thread writes, with grouped commits; readers run beside it (WAL). Whoever calls [`Store::write`] gets
//! an answer after the commit, so what was answered survives `kill -9`. The functions of the modules are
//! plain: they take a transaction or a connection, and a caller puts several into one.

pub mod analytics;
pub mod approvals;
pub mod audit;
pub mod conversations;
pub mod env_sets;
pub mod events;
pub mod knowledge;
pub mod live;
pub mod notifications;
pub mod policies;
pub mod search;
pub mod sessions;
pub mod settings;
pub mod work;
pub mod workspaces;

mod backup;
mod migrate;

pub use backup::{BackupReport, env_set_keys, session_ids, verify};
pub use migrate::SCHEMA_VERSION;
pub use rusqlite::{Connection, Transaction};

use rusqlite::{OpenFlags, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// Writes waiting for the writer. At 10,000 commits a second this is a tenth of a second; full means that
/// callers wait, nothing is dropped.
const WRITE_QUEUE_MAX: usize = 1_024;

/// Writes in one commit. Bounded, so that the first of a group does not wait for a never-ending rest.
const GROUP_MAX: usize = 256;

/// Read connections. More than the cores of a small server is no gain.
const READERS: usize = 4;

/// Prepared statements that a connection keeps: taking in a transcript must not drive out those of hooks.
const STATEMENTS_MAX: usize = 64;

/// How long a connection waits for a lock of another process (a backup tool, a person's `sqlite3`).
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// What went wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite said no.
    #[error("database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A file could not be read or written.
    #[error("{what}: {source}")]
    File {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The database was written by a newer version.
    #[error(
        "the database {} has schema {found}, this version knows up to {known}: \
         install the newer codepiper again, or point CODEPIPER_DB_PATH elsewhere", path.display()
    )]
    TooNew {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A migration that was applied is not the one this program carries.
    #[error("the database was migrated by something else: step {0} differs; restore a backup")]
    Foreign(u32),
    /// Stored data that we cannot read.
    #[error("stored {what} cannot be read: {why}")]
    Corrupt {
        /// Which.
        what: String,
        /// Why.
        why: String,
    },
    /// A group of writes could not be committed; none of it is stored.
    #[error("the database did not take the change: {0}")]
    NotCommitted(String),
    /// A row that had to be there is not.
    #[error("no such {0}")]
    Missing(String),
    /// Another process kept the database busy.
    #[error("the database was busy")]
    Busy,
    /// The writer thread is gone.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether what is stored is broken, rather than out of reach or busy.
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Corrupt { .. } => true,
            Self::Sqlite(error) => matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)),
            _ => false,
        }
    }
}

/// A result of the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

type Job = Box<dyn FnOnce(&Transaction<'_>) -> Done + Send>;

/// What a job leaves behind.
struct Done {
    failed: bool,
    /// Answers whoever asked, who must first know whether it was committed.
    reply: Box<dyn FnOnce(Result<()>) + Send>,
}

/// How commits are made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Survives the death of the process; the last moments before a power cut may be lost.
    #[default]
    Process,
    /// Survives a power cut; every commit waits for the disk.
    PowerCut,
}

/// The open store. Clones share it.
#[derive(Clone)]
pub struct Store {
    writer: mpsc::SyncSender<Job>,
    readers: Arc<Readers>,
}

struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Store {
    /// Opens the database at the path, creating and migrating it as needed. Blocks; call it at start.
    pub fn open(path: &Path, durability: Durability) -> Result<Self> {
        let mut connection = connect(path, durability)?;
        migrate::migrate(&mut connection, path)?;
        let (writer, jobs) = mpsc::sync_channel::<Job>(WRITE_QUEUE_MAX);
        thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || write_loop(&mut connection, &jobs))
            .map_err(|source| StoreError::File { what: "starting the writer thread".into(), source })?;
        let readers =
            Readers { path: path.to_owned(), idle: Mutex::new(Vec::new()), permits: Semaphore::new(READERS) };
        Ok(Self { writer, readers: Arc::new(readers) })
    }

    /// Runs the function in the next group commit; the answer comes after the commit. When the function
    /// fails, only its own changes are undone.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            let outcome = work(tx);
            let failed = outcome.is_err();
            // Who asked may have gone away; the write stands all the same.
            let reply = Box::new(move |committed: Result<()>| drop(answer.send(committed.and(outcome))));
            Done { failed, reply }
        });
        let mut job = Some(job);
        loop {
            match self.writer.try_send(job.take().expect("refilled below")) {
                Ok(()) => break,
                Err(mpsc::TrySendError::Disconnected(_)) => return Err(StoreError::Closed),
                Err(mpsc::TrySendError::Full(back)) => {
                    job = Some(back);
                    tokio::time::sleep(Duration::from_millis(1)).await; // the writer is 1,024 jobs behind
                }
            }
        }
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs the function on a read connection, on a thread that may block.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let readers = self.readers.clone();
        let _permit = self.readers.permits.acquire().await.map_err(|_| StoreError::Closed)?;
        tokio::task::spawn_blocking(move || {
            let connection = match readers.take() {
                Some(connection) => connection,
                None => connect(&readers.path, Durability::Process)?,
            };
            let outcome = work(&connection);
            readers.give_back(connection);
            outcome
        })
        .await
        .map_err(|_| StoreError::Closed)?
    }

    /// Waits until everything that was committed is on the disk, also where commits do not wait for it.
    pub async fn settle(&self) -> Result<()> {
        self.read(|connection| {
            let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| row.get(0))?;
            if busy == 0 { Ok(()) } else { Err(StoreError::Busy) }
        })
        .await
    }

    /// Copies the database to a new owner-only file while everything goes on, and verifies the copy.
    pub async fn backup(&self, to: PathBuf) -> Result<BackupReport> {
        self.read(move |connection| backup::copy(connection, &to)).await
    }
}

impl Readers {
    fn take(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop()
    }

    fn give_back(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(connection);
    }
}

fn connect(path: &Path, durability: Durability) -> Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match durability {
        Durability::Process => "NORMAL",
        Durability::PowerCut => "FULL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "cache_size", -knowledge::USUAL_CACHE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

fn write_loop(connection: &mut Connection, jobs: &mpsc::Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let mut group = Vec::new();
        let committed = write_group(connection, first, jobs, &mut group);
        if let Err(error) = &committed {
            tracing::error!(%error, writes = group.len(), "a commit failed");
        }
        // A failed commit is told to everyone in its group; the error itself cannot be cloned.
        let told = committed.as_ref().err().map(ToString::to_string);
        for done in group {
            (done.reply)(match &told {
                None => Ok(()),
                Some(why) => Err(StoreError::NotCommitted(why.clone())),
            });
        }
    }
}

/// Runs a job, and what waits behind it, in one transaction. When a job fails, only its own changes are undone.
fn write_group(
    connection: &mut Connection,
    first: Job,
    jobs: &mpsc::Receiver<Job>,
    group: &mut Vec<Done>,
) -> Result<()> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // A savepoint copies every page that is changed in it. Most groups are one job, and with that all is undone.
    let done = first(&tx);
    let failed = done.failed;
    group.push(done);
    if failed {
        return Ok(tx.rollback()?);
    }
    let say = |sql| tx.prepare_cached(sql)?.execute([]);
    while group.len() < GROUP_MAX {
        let Ok(job) = jobs.try_recv() else { break };
        say("SAVEPOINT job")?;
        let done = job(&tx);
        let failed = done.failed;
        group.push(done);
        if failed {
            say("ROLLBACK TO job")?;
        }
        say("RELEASE job")?;
    }
    Ok(tx.commit()?)
}

/// A time as it is stored.
fn to_ms(at: jiff::Timestamp) -> i64 {
    at.as_millisecond()
}

/// A stored time.
fn from_ms(what: &str, ms: i64) -> Result<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(ms)
        .map_err(|why| StoreError::Corrupt { what: what.into(), why: why.to_string() })
}

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
