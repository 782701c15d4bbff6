//! How long agents worked: all of them together, by quarter hours.

use super::{Connection, Result, StoreError, Transaction, to_ms};
use codepiper_core::session::Standing;
use jiff::Timestamp;

const QUARTER_MS: i64 = 900_000;

/// Adds the time in which an agent worked.
pub fn add(tx: &Transaction<'_>, from: Timestamp, to: Timestamp) -> Result<()> {
    let (mut from, to) = (to_ms(from), to_ms(to));
    let mut add = tx.prepare_cached(
        "INSERT INTO work_by_quarter VALUES (?1, ?2)
         ON CONFLICT (quarter) DO UPDATE SET ms = ms + excluded.ms",
    )?;
    while from < to {
        let quarter = from.div_euclid(QUARTER_MS);
        let end = to.min((quarter + 1) * QUARTER_MS);
        add.execute((quarter, end - from))?;
        from = end;
    }
    Ok(())
}

/// Milliseconds that agents worked from a time on, which is the beginning of a quarter hour; those that work now
/// included.
pub fn since(connection: &Connection, begin: Timestamp, now: Timestamp) -> Result<u64> {
    let done: i64 = connection
        .prepare_cached("SELECT coalesce(sum(ms), 0) FROM work_by_quarter WHERE quarter >= ?1")?
        .query_row([to_ms(begin) / QUARTER_MS], |row| row.get(0))?;
    let mut running = connection
        .prepare_cached("SELECT standing FROM sessions WHERE state = 'running' AND removed_at IS NULL")?;
    let mut rows = running.query([])?;
    let mut total = done;
    while let Some(row) = rows.next()? {
        let standing: String = row.get(0)?;
        let standing: Standing = serde_json::from_str(&standing)
            .map_err(|why| StoreError::Corrupt { what: "a session".into(), why: why.to_string() })?;
        total += (to_ms(now) - to_ms(standing.since.max(begin))).max(0);
    }
    Ok(u64::try_from(total).unwrap_or(0))
}
