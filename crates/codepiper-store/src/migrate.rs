//! Schema versions: only ever added, checked by content, with a copy of the database before the first step.

use super::{Result, StoreError, backup};
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// The steps, in order. A step that was ever released is never edited.
const STEPS: &[&str] = &[
    include_str!("../migrations/0001_sessions_and_events.sql"),
    include_str!("../migrations/0002_env_sets_and_workspaces.sql"),
    include_str!("../migrations/0003_policies_approvals_audit.sql"),
    include_str!("../migrations/0004_knowledge.sql"),
    include_str!("../migrations/0005_notifications.sql"),
    include_str!("../migrations/0006_live_figures.sql"),
    include_str!("../migrations/0007_work.sql"),
];

/// The schema this program reads and writes.
pub const SCHEMA_VERSION: u32 = STEPS.len() as u32;

/// Brings the database to [`SCHEMA_VERSION`].
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > SCHEMA_VERSION {
        return Err(StoreError::TooNew { path: path.to_owned(), found, known: SCHEMA_VERSION });
    }
    if found > 0 {
        check_history(connection, found)?;
    }
    if found == SCHEMA_VERSION {
        return Ok(());
    }
    if found > 0 {
        let copy = path.with_extension(format!("before-schema-{SCHEMA_VERSION}.db"));
        backup::copy(connection, &copy)?;
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL) STRICT",
    )?;
    for version in found + 1..=SCHEMA_VERSION {
        let step = STEPS[version as usize - 1];
        tx.execute_batch(step)?;
        tx.execute("INSERT INTO migrations VALUES (?1, ?2)", (version, fingerprint(step)))?;
    }
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    tx.commit()?;
    Ok(())
}

fn check_history(connection: &Connection, found: u32) -> Result<()> {
    for version in 1..=found {
        let known = fingerprint(STEPS[version as usize - 1]);
        let applied: String = connection
            .query_row("SELECT fingerprint FROM migrations WHERE version = ?1", [version], |row| row.get(0))
            .map_err(|_| StoreError::Foreign(version))?;
        if applied != known {
            return Err(StoreError::Foreign(version));
        }
    }
    Ok(())
}

/// FNV-1a: tells an edited step from the released one; it guards against mistakes, not against enemies.
fn fingerprint(step: &str) -> String {
    let hash = step.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
