//! The append-only log of everything that happened, with one sequence over all sessions.

use super::{Connection, Result, StoreError, Transaction, from_ms, to_ms};
use codepiper_core::ids::SessionId;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row};
use serde_json::Value;

/// An event to append.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Whose.
    pub session: SessionId,
    /// When.
    pub at: Timestamp,
    /// Where from: `hook`, `transcript`, `pty`, `session`, …
    pub source: String,
    /// What, e.g. a hook's name.
    pub kind: String,
    /// The details.
    pub payload: Value,
    /// The sender's own key, where it may send twice.
    pub uid: Option<String>,
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// Its number.
    pub seq: u64,
    /// What was appended.
    pub event: NewEvent,
}

/// What `append` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// The event is new and has this number.
    New(u64),
    /// An event with this key was there already, under this number.
    Known(u64),
}

/// Which events to read.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this session.
    pub session: Option<SessionId>,
    /// Only from this source.
    pub source: Option<String>,
    /// Only of this type.
    pub kind: Option<String>,
    /// Only with a greater number.
    pub after: Option<u64>,
    /// Only with a smaller number.
    pub before: Option<u64>,
    /// Only at or after this time.
    pub since: Option<Timestamp>,
    /// The last ones instead of the first ones; they still come in ascending order.
    pub last: bool,
    /// At most so many.
    pub limit: u32,
}

/// Appends an event.
pub fn append(tx: &Transaction<'_>, event: &NewEvent) -> Result<Appended> {
    if let Some(uid) = &event.uid {
        let known = tx
            .prepare_cached("SELECT seq FROM events WHERE uid = ?1")?
            .query_row([uid], |row| row.get(0))
            .optional()?;
        if let Some(seq) = known {
            return Ok(Appended::Known(seq));
        }
    }
    tx.prepare_cached(
        "INSERT INTO events (session, at, source, type, payload, uid) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute((
        event.session.as_str(),
        to_ms(event.at),
        &event.source,
        &event.kind,
        event.payload.to_string(),
        &event.uid,
    ))?;
    Ok(Appended::New(tx.last_insert_rowid() as u64))
}

/// The number of the last event, 0 when there is none.
pub fn last_seq(connection: &Connection) -> Result<u64> {
    Ok(connection.query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0))?)
}

/// Events in ascending order, and whether there are more beyond the limit.
pub fn list(connection: &Connection, filter: &Filter) -> Result<(Vec<StoredEvent>, bool)> {
    let mut statement = connection.prepare_cached(&query(filter))?;
    let mut rows = statement.query((
        filter.session.as_ref().map(SessionId::as_str),
        &filter.source,
        &filter.kind,
        filter.after.unwrap_or(0),
        filter.before.map_or(i64::MAX, |before| before.min(i64::MAX as u64) as i64),
        filter.since.map_or(i64::MIN, to_ms),
        u64::from(filter.limit) + 1,
    ))?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(read(row)?);
    }
    let more = events.len() > filter.limit as usize;
    events.truncate(filter.limit as usize);
    if filter.last {
        events.reverse();
    }
    Ok((events, more))
}

/// Says of the session so that the index of its events is used: a log is long, and most of it is of others.
pub(crate) fn query(filter: &Filter) -> String {
    let order = if filter.last { "DESC" } else { "ASC" };
    let session = if filter.session.is_some() { "session = ?1" } else { "?1 IS NULL" };
    format!(
        "SELECT seq, session, at, source, type, payload, uid FROM events
         WHERE {session} AND (?2 IS NULL OR source = ?2) AND (?3 IS NULL OR type = ?3)
           AND seq > ?4 AND seq < ?5 AND at >= ?6
         ORDER BY seq {order} LIMIT ?7"
    )
}

fn read(row: &Row<'_>) -> Result<StoredEvent> {
    let corrupt = |why: String| StoreError::Corrupt { what: "event".into(), why };
    let session: String = row.get(1)?;
    let payload: String = row.get(5)?;
    Ok(StoredEvent {
        seq: row.get(0)?,
        event: NewEvent {
            session: SessionId::parse(&session).map_err(|why| corrupt(why.to_string()))?,
            at: from_ms("event", row.get(2)?)?,
            source: row.get(3)?,
            kind: row.get(4)?,
            payload: serde_json::from_str(&payload).map_err(|why| corrupt(why.to_string()))?,
            uid: row.get(6)?,
        },
    })
}
