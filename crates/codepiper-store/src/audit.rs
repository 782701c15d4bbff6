//! The audit log: append-only, each entry chained to the one before by its hash.
//!
//! Whoever edits, inserts or removes an entry breaks the chain from there on, and [`verify`] names the place. Only a
//! cut at the very end leaves no trace in the table itself, so [`Verified::head`] is for writing down elsewhere.

use super::{Connection, Result, StoreError, Transaction, from_ms, to_ms};
use codepiper_core::hex::hex;
use codepiper_core::ids::SessionId;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The hash before the first entry.
const BEFORE_ALL: &str = "";

/// An entry to append.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEntry {
    /// When.
    pub at: Timestamp,
    /// The session it is about; a change of a policy is about none.
    pub session: Option<SessionId>,
    /// `decision`, `answer`, `outcome` or `change`.
    pub kind: String,
    /// The tool of the call.
    pub tool: Option<String>,
    /// `allow`, `deny`, `ask` or `none`; how a question was closed; `ran` or `failed`.
    pub decision: Option<String>,
    /// Everything else, secrets masked.
    pub body: Value,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEntry {
    /// Its number.
    pub seq: u64,
    /// What was appended.
    pub entry: NewEntry,
    /// Its hash.
    pub hash: String,
}

/// Which entries to read.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this session.
    pub session: Option<SessionId>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only with this decision.
    pub decision: Option<String>,
    /// Only about the call whose id ends like this.
    pub call: Option<String>,
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

/// What a check of the chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Entries that were checked.
    pub entries: u64,
    /// The last entry's number and hash: to compare with what was written down elsewhere.
    pub head: Option<(u64, String)>,
    /// The first entry that does not fit, and why.
    pub broken: Option<(u64, String)>,
}

/// Appends an entry and gives its number.
pub fn append(tx: &Transaction<'_>, entry: &NewEntry) -> Result<u64> {
    let (last, before) = end_of_chain(tx)?;
    let seq = last + 1;
    let body = entry.body.to_string();
    let hash = hash(&before, seq, entry, &body);
    tx.prepare_cached(
        "INSERT INTO audit (seq, at, session, kind, tool, decision, body, hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute((
        seq,
        to_ms(entry.at),
        entry.session.as_ref().map(SessionId::as_str),
        &entry.kind,
        &entry.tool,
        &entry.decision,
        body,
        hash,
    ))?;
    Ok(seq)
}

/// Entries in ascending order, and whether there are more beyond the limit.
pub fn list(connection: &Connection, filter: &Filter) -> Result<(Vec<StoredEntry>, bool)> {
    let mut statement = connection.prepare_cached(&query(filter))?;
    let mut rows = statement.query((
        filter.session.as_ref().map(SessionId::as_str),
        &filter.kind,
        &filter.decision,
        filter.after.unwrap_or(0),
        filter.before.map_or(i64::MAX, |before| before.min(i64::MAX as u64) as i64),
        filter.since.map_or(i64::MIN, to_ms),
        u64::from(filter.limit) + 1,
        filter.call.as_deref().filter(|call| !call.is_empty()),
    ))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(read(row)?);
    }
    let more = entries.len() > filter.limit as usize;
    entries.truncate(filter.limit as usize);
    if filter.last {
        entries.reverse();
    }
    Ok((entries, more))
}

/// Says of the session so that the index of its entries is used: a log is long, and most of it is of others.
pub(crate) fn query(filter: &Filter) -> String {
    let order = if filter.last { "DESC" } else { "ASC" };
    let session = if filter.session.is_some() { "session = ?1" } else { "?1 IS NULL" };
    format!(
        "SELECT seq, at, session, kind, tool, decision, body, hash FROM audit
         WHERE {session} AND (?2 IS NULL OR kind = ?2) AND (?3 IS NULL OR decision = ?3)
           AND seq > ?4 AND seq < ?5 AND at >= ?6
           AND (?8 IS NULL OR substr(json_extract(body, '$.call'), -length(?8)) = ?8)
         ORDER BY seq {order} LIMIT ?7"
    )
}

/// Checks every hash and every number. Reads one entry at a time.
pub fn verify(connection: &Connection) -> Result<Verified> {
    let (mut last, mut before) = start_of_chain(connection)?;
    let mut verified = Verified { entries: 0, head: None, broken: None };
    let mut statement = connection.prepare_cached(
        "SELECT seq, at, session, kind, tool, decision, body, hash FROM audit ORDER BY seq ASC",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let seq: u64 = row.get(0)?;
        let broken = |why: String| Some((seq, why));
        verified.entries += 1;
        match read(row) {
            Err(error) => verified.broken = broken(error.to_string()),
            Ok(stored) if stored.seq != last + 1 => {
                verified.broken = broken(format!("{} entries before it are missing", stored.seq - last - 1));
            }
            Ok(stored)
                if hash(&before, seq, &stored.entry, &stored.entry.body.to_string()) != stored.hash =>
            {
                verified.broken = broken("it is not as it was written, or one before it is not".into());
            }
            Ok(stored) => {
                last = seq;
                before = stored.hash;
                continue;
            }
        }
        break;
    }
    verified.head = (last > 0).then_some((last, before));
    Ok(verified)
}

/// Drops the entries before that time, and keeps where the chain goes on. How many were dropped.
pub fn drop_before(tx: &Transaction<'_>, time: Timestamp) -> Result<u64> {
    // By number and not by time alone: the clock may have been set back in between.
    let last: Option<(u64, String)> = tx
        .query_row(
            "SELECT seq, hash FROM audit WHERE seq < (SELECT coalesce(min(seq), 9223372036854775807) FROM audit WHERE at >= ?1)
             ORDER BY seq DESC LIMIT 1",
            [to_ms(time)],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((seq, hash)) = last else { return Ok(0) };
    let dropped = tx.execute("DELETE FROM audit WHERE seq <= ?1", [seq])?;
    tx.execute(
        "INSERT INTO audit_start VALUES (1, ?1, ?2)
         ON CONFLICT (only) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
        (seq, hash),
    )?;
    Ok(dropped as u64)
}

/// Number and hash of the last entry.
fn end_of_chain(connection: &Connection) -> Result<(u64, String)> {
    let last = connection
        .prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match last {
        Some(last) => Ok(last),
        None => start_of_chain(connection),
    }
}

/// Number and hash before the first entry that is kept.
fn start_of_chain(connection: &Connection) -> Result<(u64, String)> {
    let start = connection
        .prepare_cached("SELECT seq, hash FROM audit_start")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(start.unwrap_or((0, BEFORE_ALL.to_owned())))
}

/// `body` is that of the entry, as text.
fn hash(before: &str, seq: u64, entry: &NewEntry, body: &str) -> String {
    let session = entry.session.as_ref().map(SessionId::as_str);
    let fields = (before, seq, to_ms(entry.at), session, &entry.kind, &entry.tool, &entry.decision, body);
    hex(&Sha256::digest(serde_json::to_vec(&fields).expect("texts and numbers")))
}

fn read(row: &Row<'_>) -> Result<StoredEntry> {
    let corrupt = |why: String| StoreError::Corrupt { what: "audit entry".into(), why };
    let session: Option<String> = row.get(2)?;
    let body: String = row.get(6)?;
    Ok(StoredEntry {
        seq: row.get(0)?,
        entry: NewEntry {
            at: from_ms("audit entry", row.get(1)?)?,
            session: session
                .map(|session| SessionId::parse(&session).map_err(|why| corrupt(why.to_string())))
                .transpose()?,
            kind: row.get(3)?,
            tool: row.get(4)?,
            decision: row.get(5)?,
            body: serde_json::from_str(&body).map_err(|why| corrupt(why.to_string()))?,
        },
        hash: row.get(7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::migrate;
    use rusqlite::Connection as Sqlite;
    use serde_json::json;

    fn filled(count: i64) -> (tempfile::TempDir, Sqlite) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.db");
        let mut connection = Sqlite::open(&path).unwrap();
        migrate(&mut connection, &path).unwrap();
        for n in 1..=count {
            let tx = connection.transaction().unwrap();
            assert_eq!(append(&tx, &entry(n)).unwrap(), n as u64);
            tx.commit().unwrap();
        }
        (folder, connection)
    }

    fn entry(n: i64) -> NewEntry {
        NewEntry {
            at: Timestamp::from_second(n).unwrap(),
            session: Some(SessionId::from_bits(7)),
            kind: "decision".into(),
            tool: Some("Bash".into()),
            decision: Some("deny".into()),
            body: json!({ "n": n, "call": format!("toolu_{}", n / 2) }),
        }
    }

    #[test]
    fn a_change_anywhere_breaks_the_chain_there() {
        let check = |spoil: &str, expected: Option<u64>| {
            let (_folder, connection) = filled(5);
            connection.execute_batch("DROP TRIGGER audit_is_not_edited").unwrap();
            connection.execute_batch(spoil).unwrap();
            let broken = verify(&connection).unwrap().broken;
            assert_eq!(broken.map(|(seq, _)| seq), expected, "{spoil}");
        };
        check("", None);
        check("UPDATE audit SET decision = 'allow' WHERE seq = 3", Some(3));
        check("UPDATE audit SET body = '{\"n\":4}' WHERE seq = 3", Some(3));
        check("UPDATE audit SET at = at + 1 WHERE seq = 5", Some(5));
        check("UPDATE audit SET session = NULL WHERE seq = 1", Some(1));
        check("UPDATE audit SET hash = 'x' WHERE seq = 2", Some(2));
        check("DELETE FROM audit WHERE seq = 2", Some(3));
        check("DELETE FROM audit WHERE seq = 1", Some(2));
        check("UPDATE audit SET body = 'no json' WHERE seq = 4", Some(4));
    }

    /// Databases hold hashes of this form.
    #[test]
    fn the_hash_is_over_one_array_with_the_body_as_text() {
        let text = r#"["",1,1000,"00000007","decision","Bash","deny","{\"call\":\"toolu_0\",\"n\":1}"]"#;
        let (_folder, connection) = filled(1);
        let head = verify(&connection).unwrap().head;
        assert_eq!(head, Some((1, hex(&Sha256::digest(text)))));
    }

    #[test]
    fn entries_are_not_edited_by_mistake() {
        let (_folder, connection) = filled(1);
        let edited = connection.execute("UPDATE audit SET decision = 'allow'", []);
        assert!(edited.unwrap_err().to_string().contains("append-only"));
    }

    #[test]
    fn the_oldest_are_dropped_and_the_chain_still_holds() {
        let (_folder, mut connection) = filled(5);
        let whole = verify(&connection).unwrap();
        let tx = connection.transaction().unwrap();
        assert_eq!(drop_before(&tx, Timestamp::from_second(4).unwrap()).unwrap(), 3);
        assert_eq!(drop_before(&tx, Timestamp::from_second(4).unwrap()).unwrap(), 0);
        tx.commit().unwrap();
        let kept = verify(&connection).unwrap();
        assert_eq!((kept.entries, kept.broken, kept.head), (2, None, whole.head));

        let tx = connection.transaction().unwrap();
        assert_eq!(drop_before(&tx, Timestamp::from_second(9).unwrap()).unwrap(), 2);
        assert_eq!(append(&tx, &entry(6)).unwrap(), 6, "numbers are never used again");
        tx.commit().unwrap();
        let after = verify(&connection).unwrap();
        assert_eq!((after.entries, after.broken, after.head.unwrap().0), (1, None, 6));
    }

    #[test]
    fn a_filter_gives_its_entries_in_order_and_says_whether_there_are_more() {
        let (_folder, connection) = filled(5);
        let check = |filter: Filter, expected: &[u64], more: bool| {
            let (entries, is_more) = list(&connection, &filter).unwrap();
            let found: Vec<u64> = entries.iter().map(|entry| entry.seq).collect();
            assert_eq!((found.as_slice(), is_more), (expected, more), "{filter:?}");
        };
        let all = Filter { limit: 10, ..Filter::default() };
        check(all.clone(), &[1, 2, 3, 4, 5], false);
        check(Filter { limit: 2, ..all.clone() }, &[1, 2], true);
        check(Filter { limit: 2, last: true, ..all.clone() }, &[4, 5], true);
        check(Filter { after: Some(2), before: Some(5), ..all.clone() }, &[3, 4], false);
        check(Filter { since: Timestamp::from_second(4).ok(), ..all.clone() }, &[4, 5], false);
        check(Filter { session: Some(SessionId::from_bits(8)), ..all.clone() }, &[], false);
        check(Filter { decision: Some("allow".into()), ..all.clone() }, &[], false);
        check(Filter { call: Some("toolu_1".into()), ..all.clone() }, &[2, 3], false);
        check(Filter { call: Some("2".into()), ..all.clone() }, &[4, 5], false);
        check(Filter { call: Some("u%1".into()), ..all.clone() }, &[], false);
        check(Filter { call: Some("a much longer toolu_1".into()), ..all }, &[], false);
    }
}
