//! Notifications: what was told and read, what a person wants to hear, and what their handlers have yet to get.

use super::{Connection, Result, StoreError, Transaction, from_ms, to_ms};
use codepiper_core::ids::SessionId;
use codepiper_core::notification::{Kind, SessionWishes};
use jiff::Timestamp;
use rusqlite::types::Value as Sql;
use rusqlite::{OptionalExtension, Row, params_from_iter};
use serde_json::Value;
use std::collections::BTreeMap;

/// Deliveries that may wait for one handler. More means that it does not get along, and the oldest go.
const WAITING_MAX: u64 = 1_000;

/// A notification to store.
#[derive(Debug, Clone, PartialEq)]
pub struct NewNotification {
    /// What it is told by once.
    pub key: String,
    /// Whose; none when it is about no single session.
    pub session: Option<SessionId>,
    /// The session's provider.
    pub provider: Option<String>,
    /// Of which kind.
    pub kind: Kind,
    /// The entry of the log that it comes from.
    pub event: Option<u64>,
    /// What a person reads first.
    pub title: String,
    /// The sentence below it.
    pub body: String,
    /// More for programs.
    pub payload: Value,
    /// When it was told.
    pub created_at: Timestamp,
}

/// A notification as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredNotification {
    /// Its number.
    pub id: u64,
    /// What was stored.
    pub told: NewNotification,
    /// When it was read, and what read it.
    pub read: Option<(Timestamp, String)>,
}

/// Which notifications to read. They come newest first.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this session.
    pub session: Option<SessionId>,
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only what nobody read.
    pub unread: bool,
    /// Only with a smaller number.
    pub before: Option<u64>,
    /// Only with a greater number.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

/// Something to deliver.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Its number.
    pub id: u64,
    /// To whom.
    pub handler: String,
    /// What.
    pub message: Value,
    /// How many times it was tried.
    pub tries: u32,
    /// When it is to be tried.
    pub due_at: Timestamp,
}

/// How a handler gets along.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// What waits to be delivered.
    pub waiting: u64,
    /// What was given up.
    pub failed: u64,
    /// Why the last one failed that has not been delivered since.
    pub error: Option<String>,
}

/// How far the event log was looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Everything up to it has come out.
    pub settled: u64,
    /// Everything up to it was given to the handlers that want the log itself.
    pub seen: u64,
}

const COLUMNS: &str =
    "id, key, session, provider, kind, event, title, body, payload, created_at, read_at, read_source";

/// Stores a notification. `None` when it was told before.
pub fn add(tx: &Transaction<'_>, new: &NewNotification) -> Result<Option<u64>> {
    let stored = tx
        .prepare_cached(
            "INSERT INTO notifications (key, session, provider, kind, event, title, body, payload, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (key) DO NOTHING",
        )?
        .execute((
            &new.key,
            new.session.as_ref().map(SessionId::as_str),
            &new.provider,
            new.kind.name(),
            new.event,
            &new.title,
            &new.body,
            new.payload.to_string(),
            to_ms(new.created_at),
        ))?;
    Ok((stored == 1).then(|| tx.last_insert_rowid() as u64))
}

/// Notifications, newest first, and whether there are more beyond the limit.
pub fn list(connection: &Connection, filter: &Filter) -> Result<(Vec<StoredNotification>, bool)> {
    let mut sql = format!("SELECT {COLUMNS} FROM notifications WHERE id > ? AND id < ?");
    let mut values: Vec<Sql> = vec![
        Sql::from(filter.after.map_or(0, |id| id.min(i64::MAX as u64) as i64)),
        Sql::from(filter.before.map_or(i64::MAX, |id| id.min(i64::MAX as u64) as i64)),
    ];
    if let Some(session) = &filter.session {
        sql.push_str(" AND session = ?");
        values.push(Sql::from(session.as_str().to_owned()));
    }
    if let Some(kind) = filter.kind {
        sql.push_str(" AND kind = ?");
        values.push(Sql::from(kind.name().to_owned()));
    }
    if filter.unread {
        sql.push_str(" AND read_at IS NULL");
    }
    sql.push_str(" ORDER BY id DESC LIMIT ?");
    values.push(Sql::from(i64::from(filter.limit) + 1));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    let more = found.len() > filter.limit as usize;
    found.truncate(filter.limit as usize);
    Ok((found, more))
}

/// How many nobody read, by session; what is about no session counts under none.
pub fn unread(connection: &Connection) -> Result<Vec<(Option<SessionId>, u64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT session, count(*) FROM notifications WHERE read_at IS NULL GROUP BY session",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((session_of(row.get(0)?)?, row.get(1)?));
    }
    Ok(found)
}

/// Marks one as read. `false` when it was read before.
pub fn mark_read(tx: &Transaction<'_>, id: u64, source: &str, at: Timestamp) -> Result<bool> {
    let changed = tx.execute(
        "UPDATE notifications SET read_at = ?2, read_source = ?3 WHERE id = ?1 AND read_at IS NULL",
        (id, to_ms(at), source),
    )?;
    if changed == 0 {
        let known: bool =
            tx.query_row("SELECT EXISTS (SELECT 1 FROM notifications WHERE id = ?1)", [id], |row| {
                row.get(0)
            })?;
        if !known {
            return Err(StoreError::Missing(format!("notification {id}")));
        }
    }
    Ok(changed == 1)
}

/// Marks all as read, or those of a session. How many were unread.
pub fn mark_all_read(
    tx: &Transaction<'_>,
    session: Option<&SessionId>,
    source: &str,
    at: Timestamp,
) -> Result<u64> {
    let changed = tx.execute(
        "UPDATE notifications SET read_at = ?2, read_source = ?3
         WHERE read_at IS NULL AND (?1 IS NULL OR session = ?1)",
        (session.map(SessionId::as_str), to_ms(at), source),
    )?;
    Ok(changed as u64)
}

/// Marks as read what a session waited for before that entry of the log: it goes on. How many there were.
pub fn mark_over(tx: &Transaction<'_>, session: &SessionId, event: u64, at: Timestamp) -> Result<u64> {
    let changed = tx
        .prepare_cached(
            "UPDATE notifications SET read_at = ?3, read_source = 'session'
             WHERE read_at IS NULL AND session = ?1 AND event < ?2 AND kind GLOB 'session.*'",
        )?
        .execute((session.as_str(), event, to_ms(at)))?;
    Ok(changed as u64)
}

/// When each kind was last told of each session, as far as it was since then.
pub fn told_since(connection: &Connection, since: Timestamp) -> Result<Vec<(SessionId, Kind, Timestamp)>> {
    let mut statement = connection.prepare(
        "SELECT session, kind, max(created_at) FROM notifications
         WHERE session IS NOT NULL AND created_at >= ?1 GROUP BY session, kind",
    )?;
    let mut rows = statement.query([to_ms(since)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let kind: String = row.get(1)?;
        if let (Some(session), Some(kind)) = (session_of(row.get(0)?)?, Kind::parse(&kind)) {
            found.push((session, kind, from_ms("notification", row.get(2)?)?));
        }
    }
    Ok(found)
}

/// Drops notifications, read or not, and deliveries that were given up, from before that time.
pub fn drop_before(tx: &Transaction<'_>, time: Timestamp) -> Result<u64> {
    let at = to_ms(time);
    tx.execute("DELETE FROM deliveries WHERE due_at IS NULL AND created_at < ?1", [at])?;
    tx.execute(
        "DELETE FROM notification_wishes
         WHERE session IN (SELECT id FROM sessions WHERE removed_at IS NOT NULL AND removed_at < ?1)",
        [at],
    )?;
    Ok(tx.execute("DELETE FROM notifications WHERE created_at < ?1", [at])? as u64)
}

/// What is wanted of a session, and since when.
pub fn wishes(connection: &Connection, session: &SessionId) -> Result<Option<(SessionWishes, Timestamp)>> {
    let found: Option<(String, i64)> = connection
        .prepare_cached("SELECT wishes, updated_at FROM notification_wishes WHERE session = ?1")?
        .query_row([session.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((wishes, at)) = found else { return Ok(None) };
    let wishes = serde_json::from_str(&wishes)
        .map_err(|why| StoreError::Corrupt { what: format!("wishes of {session}"), why: why.to_string() })?;
    Ok(Some((wishes, from_ms("wishes", at)?)))
}

/// Keeps what is wanted of a session.
pub fn put_wishes(
    tx: &Transaction<'_>,
    session: &SessionId,
    wishes: &SessionWishes,
    at: Timestamp,
) -> Result<()> {
    let text = serde_json::to_string(wishes)
        .map_err(|why| StoreError::Corrupt { what: format!("wishes of {session}"), why: why.to_string() })?;
    tx.execute(
        "INSERT INTO notification_wishes VALUES (?1, ?2, ?3)
         ON CONFLICT (session) DO UPDATE SET wishes = excluded.wishes, updated_at = excluded.updated_at",
        (session.as_str(), text, to_ms(at)),
    )?;
    Ok(())
}

/// How far the log was looked through; none before the first time.
pub fn cursor(connection: &Connection) -> Result<Option<Cursor>> {
    Ok(connection
        .query_row("SELECT settled, seen FROM notification_cursor", [], |row| {
            Ok(Cursor { settled: row.get(0)?, seen: row.get(1)? })
        })
        .optional()?)
}

/// Keeps how far the log was looked through.
pub fn set_cursor(tx: &Transaction<'_>, cursor: Cursor) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO notification_cursor VALUES (1, ?1, ?2)
         ON CONFLICT (only) DO UPDATE SET settled = excluded.settled, seen = excluded.seen",
    )?
    .execute((cursor.settled, cursor.seen))?;
    Ok(())
}

/// Has something delivered. The oldest that wait for the same handler go when there are too many.
pub fn deliver(tx: &Transaction<'_>, handler: &str, message: &Value, at: Timestamp) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO deliveries (handler, message, created_at, due_at) VALUES (?1, ?2, ?3, ?3)",
    )?
    .execute((handler, message.to_string(), to_ms(at)))?;
    tx.prepare_cached(
        "UPDATE deliveries SET due_at = NULL, error = 'too many waited before it'
         WHERE due_at IS NOT NULL AND handler = ?1 AND id <= (
             SELECT id FROM deliveries WHERE handler = ?1 AND due_at IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET ?2)",
    )?
    .execute((handler, WAITING_MAX))?;
    Ok(())
}

/// What is next for each handler: the oldest that waits for it, whether it is due yet or not.
pub fn next_deliveries(connection: &Connection) -> Result<Vec<Delivery>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, handler, message, tries, due_at FROM deliveries
         WHERE id IN (SELECT min(id) FROM deliveries WHERE due_at IS NOT NULL GROUP BY handler)",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let message: String = row.get(2)?;
        found.push(Delivery {
            id: row.get(0)?,
            handler: row.get(1)?,
            message: serde_json::from_str(&message)
                .map_err(|why| StoreError::Corrupt { what: "delivery".into(), why: why.to_string() })?,
            tries: row.get(3)?,
            due_at: from_ms("delivery", row.get(4)?)?,
        });
    }
    Ok(found)
}

/// It was delivered.
pub fn delivered(tx: &Transaction<'_>, id: u64) -> Result<()> {
    tx.execute("DELETE FROM deliveries WHERE id = ?1", [id])?;
    Ok(())
}

/// It failed, and is tried again at that time, or not at all.
pub fn not_delivered(tx: &Transaction<'_>, id: u64, error: &str, again: Option<Timestamp>) -> Result<()> {
    tx.execute(
        "UPDATE deliveries SET tries = tries + 1, error = ?2, due_at = ?3 WHERE id = ?1",
        (id, error, again.map(to_ms)),
    )?;
    Ok(())
}

/// What waits and what failed, by handler.
pub fn backlogs(connection: &Connection) -> Result<BTreeMap<String, Backlog>> {
    let mut statement = connection.prepare_cached(
        "SELECT handler, count(due_at), count(*) - count(due_at),
                (SELECT error FROM deliveries latest WHERE latest.handler = deliveries.handler AND error IS NOT NULL
                 ORDER BY id DESC LIMIT 1)
         FROM deliveries GROUP BY handler",
    )?;
    let rows = statement.query_map([], |row| {
        let backlog = Backlog { waiting: row.get(1)?, failed: row.get(2)?, error: row.get(3)? };
        Ok((row.get(0)?, backlog))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn session_of(text: Option<String>) -> Result<Option<SessionId>> {
    text.map(|text| {
        SessionId::parse(&text)
            .map_err(|why| StoreError::Corrupt { what: "notification".into(), why: why.to_string() })
    })
    .transpose()
}

fn read(row: &Row<'_>) -> Result<StoredNotification> {
    let corrupt = |why: String| StoreError::Corrupt { what: "notification".into(), why };
    let (kind, payload): (String, String) = (row.get(4)?, row.get(8)?);
    let read_at: Option<i64> = row.get(10)?;
    let source: Option<String> = row.get(11)?;
    Ok(StoredNotification {
        id: row.get(0)?,
        told: NewNotification {
            key: row.get(1)?,
            session: session_of(row.get(2)?)?,
            provider: row.get(3)?,
            kind: Kind::parse(&kind).ok_or_else(|| corrupt(format!("there is no kind `{kind}`")))?,
            event: row.get(5)?,
            title: row.get(6)?,
            body: row.get(7)?,
            payload: serde_json::from_str(&payload).map_err(|why| corrupt(why.to_string()))?,
            created_at: from_ms("notification", row.get(9)?)?,
        },
        read: read_at
            .map(|at| Ok::<_, StoreError>((from_ms("notification", at)?, source.unwrap_or_default())))
            .transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::empty;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn of(session: u32, kind: Kind, event: u64) -> NewNotification {
        NewNotification {
            key: format!("{event}-{kind}"),
            session: Some(SessionId::from_bits(session)),
            provider: Some("demo".into()),
            kind,
            event: Some(event),
            title: "t".into(),
            body: "b".into(),
            payload: json!({ "n": event }),
            created_at: at(event as i64),
        }
    }

    #[test]
    fn what_was_told_is_not_told_again_and_the_newest_come_first() {
        let (_folder, mut db) = empty();
        let tx = db.transaction().unwrap();
        let first = of(1, Kind::Crashed, 5);
        let second = of(2, Kind::TurnCompleted, 6);
        let third =
            NewNotification { session: None, event: None, key: "limit".into(), ..of(1, Kind::LimitReset, 7) };
        let a = add(&tx, &first).unwrap().unwrap();
        assert_eq!(add(&tx, &NewNotification { title: "again".into(), ..first.clone() }).unwrap(), None);
        let b = add(&tx, &second).unwrap().unwrap();
        let c = add(&tx, &third).unwrap().unwrap();
        assert!(mark_read(&tx, b, "click", at(9)).unwrap());
        assert!(!mark_read(&tx, b, "click", at(10)).unwrap(), "it was read before");
        assert!(matches!(mark_read(&tx, 99, "click", at(9)), Err(StoreError::Missing(_))));
        let check = |filter: Filter, expected: &[u64], more: bool| {
            let (found, is_more) = list(&tx, &filter).unwrap();
            let ids: Vec<u64> = found.iter().map(|one| one.id).collect();
            assert_eq!((ids.as_slice(), is_more), (expected, more), "{filter:?}");
            found
        };
        let all = Filter { limit: 10, ..Filter::default() };
        let found = check(all.clone(), &[c, b, a], false);
        assert_eq!([&found[2].told, &found[1].told, &found[0].told], [&first, &second, &third]);
        assert_eq!(found[1].read, Some((at(9), "click".into())));
        check(Filter { unread: true, ..all.clone() }, &[c, a], false);
        check(Filter { limit: 1, ..all.clone() }, &[c], true);
        check(Filter { before: Some(b), ..all.clone() }, &[a], false);
        check(Filter { after: Some(a), ..all.clone() }, &[c, b], false);
        check(Filter { kind: Some(Kind::Crashed), ..all.clone() }, &[a], false);
        check(Filter { session: Some(SessionId::from_bits(2)), ..all }, &[b], false);
        assert_eq!(unread(&tx).unwrap(), [(None, 1), (Some(SessionId::from_bits(1)), 1)]);
        let told = told_since(&tx, at(6)).unwrap();
        assert_eq!(told, [(SessionId::from_bits(2), Kind::TurnCompleted, at(6))]);
    }

    #[test]
    fn a_session_that_goes_on_has_read_what_it_waited_for() {
        let (_folder, mut db) = empty();
        let tx = db.transaction().unwrap();
        let over = [
            of(1, Kind::PermissionRequired, 5),
            of(1, Kind::PermissionRequired, 9),
            of(1, Kind::BudgetReached, 6),
            of(2, Kind::PermissionRequired, 4),
        ];
        assert!(over.iter().all(|new| add(&tx, new).unwrap().is_some()));
        assert_eq!(mark_over(&tx, &SessionId::from_bits(1), 8, at(20)).unwrap(), 1);
        let (found, _) = list(&tx, &Filter { limit: 9, ..Filter::default() }).unwrap();
        let read: Vec<_> = found.iter().filter(|one| one.read.is_some()).map(|one| one.told.event).collect();
        assert_eq!(read, [Some(5)]);
        assert_eq!(mark_all_read(&tx, Some(&SessionId::from_bits(1)), "bulk", at(21)).unwrap(), 2);
        assert_eq!(mark_all_read(&tx, None, "bulk", at(21)).unwrap(), 1);
        assert_eq!(unread(&tx).unwrap(), []);
        assert_eq!(drop_before(&tx, at(6)).unwrap(), 2);
    }

    #[test]
    fn wishes_and_the_cursor_are_kept() {
        let (_folder, mut db) = empty();
        let tx = db.transaction().unwrap();
        let session = SessionId::from_bits(1);
        assert_eq!(wishes(&tx, &session).unwrap(), None);
        let own = SessionWishes { enabled: Some(false), events: [(Kind::Crashed, true)].into() };
        put_wishes(&tx, &session, &SessionWishes::default(), at(1)).unwrap();
        put_wishes(&tx, &session, &own, at(2)).unwrap();
        assert_eq!(wishes(&tx, &session).unwrap(), Some((own, at(2))));
        assert_eq!(cursor(&tx).unwrap(), None);
        set_cursor(&tx, Cursor { settled: 1, seen: 2 }).unwrap();
        set_cursor(&tx, Cursor { settled: 3, seen: 4 }).unwrap();
        assert_eq!(cursor(&tx).unwrap(), Some(Cursor { settled: 3, seen: 4 }));
    }

    #[test]
    fn deliveries_come_in_order_and_those_of_a_dead_handler_are_bounded() {
        let (_folder, mut db) = empty();
        let tx = db.transaction().unwrap();
        for n in 0..3 {
            deliver(&tx, "a", &json!({ "n": n }), at(n)).unwrap();
            deliver(&tx, "b", &json!({ "n": n }), at(n)).unwrap();
        }
        let next = || {
            let mut next = next_deliveries(&tx).unwrap();
            next.sort_by(|a, b| a.handler.cmp(&b.handler));
            next
        };
        assert_eq!(next().iter().map(|one| one.message["n"].as_i64().unwrap()).collect::<Vec<_>>(), [0, 0]);
        delivered(&tx, next()[0].id).unwrap();
        not_delivered(&tx, next()[1].id, "why", Some(at(50))).unwrap();
        let now = next();
        assert_eq!((now[0].message["n"].as_i64(), now[0].tries), (Some(1), 0));
        assert_eq!((now[1].message["n"].as_i64(), now[1].tries, now[1].due_at), (Some(0), 1, at(50)));
        not_delivered(&tx, now[1].id, "for good", None).unwrap();
        assert_eq!(next()[1].message["n"], 1);
        let backlog = Backlog { waiting: 2, failed: 1, error: Some("for good".into()) };
        assert_eq!(backlogs(&tx).unwrap()["b"], backlog);
        assert_eq!(backlogs(&tx).unwrap()["a"], Backlog { waiting: 2, ..Backlog::default() });
        for n in 0..WAITING_MAX {
            deliver(&tx, "a", &json!({ "n": n }), at(n as i64)).unwrap();
        }
        let full = &backlogs(&tx).unwrap()["a"];
        assert_eq!((full.waiting, full.failed), (WAITING_MAX, 2));
        assert_eq!(full.error.as_deref(), Some("too many waited before it"));
    }
}
