//! Questions that wait for a person, and how they were answered. They are kept after their session.

use super::{Connection, Result, StoreError, Transaction, from_ms, to_ms};
use codepiper_core::approval::{ApprovalId, Standing};
use codepiper_core::ids::SessionId;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row};
use serde_json::Value;

/// A question as stored. `body` is the daemon's own JSON: the store does not look inside.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the columns of the migration, described there
pub struct ApprovalRow {
    pub id: ApprovalId,
    pub standing: Standing,
    pub digest: String,
    pub body: Value,
    pub asked_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
}

const COLUMNS: &str = "session, number, standing, digest, body, asked_at, expires_at, closed_at";

/// Writes a question, new or changed.
pub fn put(tx: &Transaction<'_>, row: &ApprovalRow) -> Result<()> {
    let sql = format!(
        "INSERT INTO approvals ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (session, number) DO UPDATE
         SET standing = excluded.standing, body = excluded.body, closed_at = excluded.closed_at"
    );
    tx.prepare_cached(&sql)?.execute((
        row.id.session().as_str(),
        row.id.number(),
        row.standing.word(),
        &row.digest,
        row.body.to_string(),
        to_ms(row.asked_at),
        row.expires_at.map(to_ms),
        row.closed_at.map(to_ms),
    ))?;
    Ok(())
}

/// One question.
pub fn get(connection: &Connection, id: &ApprovalId) -> Result<Option<ApprovalRow>> {
    let sql = format!("SELECT {COLUMNS} FROM approvals WHERE session = ?1 AND number = ?2");
    let row = connection
        .prepare_cached(&sql)?
        .query_row((id.session().as_str(), id.number()), |row| Ok(read(row)))
        .optional()?;
    row.transpose()
}

/// Questions, the oldest first; of several the last so many. Only of that session, only of that standing, when they
/// are given.
pub fn list(
    connection: &Connection,
    session: Option<&SessionId>,
    standing: Option<Standing>,
    limit: u32,
) -> Result<Vec<ApprovalRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM approvals
         WHERE (?1 IS NULL OR session = ?1) AND (?2 IS NULL OR standing = ?2)
         ORDER BY asked_at DESC, session DESC, number DESC LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((session.map(SessionId::as_str), standing.map(Standing::word), limit))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    found.reverse();
    Ok(found)
}

/// The highest number that each session on the list has used.
pub fn last_numbers(connection: &Connection) -> Result<Vec<(SessionId, u64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT session, max(number) FROM approvals
         WHERE session IN (SELECT id FROM sessions WHERE removed_at IS NULL) GROUP BY session",
    )?;
    let mut rows = statement.query([])?;
    let mut numbers = Vec::new();
    while let Some(row) = rows.next()? {
        let session: String = row.get(0)?;
        let session = SessionId::parse(&session)
            .map_err(|why| StoreError::Corrupt { what: "approval".into(), why: why.to_string() })?;
        numbers.push((session, row.get(1)?));
    }
    Ok(numbers)
}

fn read(row: &Row<'_>) -> Result<ApprovalRow> {
    let corrupt = |why: String| StoreError::Corrupt { what: "approval".into(), why };
    let (session, number): (String, u64) = (row.get(0)?, row.get(1)?);
    let standing: String = row.get(2)?;
    let body: String = row.get(4)?;
    let optional = |at: Option<i64>| at.map(|at| from_ms("approval", at)).transpose();
    Ok(ApprovalRow {
        id: ApprovalId::new(SessionId::parse(&session).map_err(|why| corrupt(why.to_string()))?, number),
        standing: Standing::parse(&standing).ok_or_else(|| corrupt(format!("standing `{standing}`")))?,
        digest: row.get(3)?,
        body: serde_json::from_str(&body).map_err(|why| corrupt(why.to_string()))?,
        asked_at: from_ms("approval", row.get(5)?)?,
        expires_at: optional(row.get(6)?)?,
        closed_at: optional(row.get(7)?)?,
    })
}
