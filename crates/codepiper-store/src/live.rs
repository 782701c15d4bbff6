//! What agents tell of themselves while they work, kept over restarts.

use super::{Connection, Result, StoreError, Transaction, from_ms, to_ms};
use codepiper_core::ids::SessionId;
use codepiper_core::live::{Figures, Limit};
use jiff::Timestamp;

/// A limit of a provider's service.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderLimit {
    /// Whose.
    pub provider: String,
    /// The limit.
    pub limit: Limit,
    /// When it was told.
    pub seen_at: Timestamp,
}

/// Keeps the figures of a session, and the limits in them as those of its provider.
pub fn put(
    tx: &Transaction<'_>,
    session: &SessionId,
    provider: &str,
    figures: &Figures,
    at: Timestamp,
) -> Result<()> {
    let text = serde_json::to_string(figures)
        .map_err(|why| StoreError::Corrupt { what: format!("figures of {session}"), why: why.to_string() })?;
    tx.prepare_cached(
        "INSERT INTO figures VALUES (?1, ?2, ?3)
         ON CONFLICT (session) DO UPDATE SET figures = excluded.figures, at = excluded.at",
    )?
    .execute((session.as_str(), text, to_ms(at)))?;
    for limit in &figures.limits {
        tx.prepare_cached(
            "INSERT INTO limits VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (provider, minutes) DO UPDATE
             SET used = excluded.used, resets_at = excluded.resets_at, seen_at = excluded.seen_at",
        )?
        .execute((
            provider,
            limit.minutes,
            limit.used_percent,
            limit.resets_at.map(to_ms),
            to_ms(at),
        ))?;
    }
    Ok(())
}

/// The figures of the sessions on the list. What cannot be read is left out: it is told again.
pub fn all(connection: &Connection) -> Result<Vec<(SessionId, Figures)>> {
    let mut statement = connection.prepare(
        "SELECT session, figures FROM figures
         WHERE session IN (SELECT id FROM sessions WHERE removed_at IS NULL)",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let rows: Vec<(String, String)> = rows.collect::<rusqlite::Result<_>>()?;
    let read = |(session, figures): (String, String)| {
        Some((SessionId::parse(&session).ok()?, serde_json::from_str(&figures).ok()?))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// The limits of all providers, shortest first.
pub fn limits(connection: &Connection) -> Result<Vec<ProviderLimit>> {
    let mut statement = connection.prepare_cached(
        "SELECT provider, minutes, used, resets_at, seen_at FROM limits ORDER BY provider, minutes",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let resets_at: Option<i64> = row.get(3)?;
        found.push(ProviderLimit {
            provider: row.get(0)?,
            limit: Limit {
                minutes: row.get(1)?,
                used_percent: row.get(2)?,
                resets_at: resets_at.map(|at| from_ms("limit", at)).transpose()?,
            },
            seen_at: from_ms("limit", row.get(4)?)?,
        });
    }
    Ok(found)
}

/// Forgets limits whose reset is behind us: they say nothing about now.
pub fn forget_limits(tx: &Transaction<'_>, now: Timestamp) -> Result<()> {
    tx.execute("DELETE FROM limits WHERE resets_at <= ?1", [to_ms(now)])?;
    Ok(())
}

/// Drops the figures of sessions that have left the list.
pub fn drop_removed(tx: &Transaction<'_>) -> Result<()> {
    tx.execute(
        "DELETE FROM figures WHERE session NOT IN (SELECT id FROM sessions WHERE removed_at IS NULL)",
        [],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::sample;
    use codepiper_core::live::Context;

    #[test]
    fn figures_are_kept_while_the_session_is_listed_and_limits_until_their_reset() {
        let (_folder, mut db) = sample();
        let at = |second| Timestamp::from_second(second).unwrap();
        let tx = db.transaction().unwrap();
        let limit = |minutes, used_percent, resets_at| Limit { minutes, used_percent, resets_at };
        let figures = Figures {
            context: Some(Context { used: 1, size: 2 }),
            limits: vec![limit(300, 50.5, Some(at(100))), limit(10_080, 7.0, None)],
        };
        let (listed, removed) = (SessionId::from_bits(10), SessionId::from_bits(11));
        put(&tx, &listed, "codex", &Figures::default(), at(1)).unwrap();
        put(&tx, &listed, "codex", &figures, at(2)).unwrap();
        put(&tx, &removed, "claude-code", &figures, at(3)).unwrap();
        assert_eq!(all(&tx).unwrap(), [(listed, figures)]);
        let told = |db: &Connection| -> Vec<(String, u32, f64)> {
            let limits = limits(db).unwrap().into_iter();
            limits.map(|one| (one.provider, one.limit.minutes, one.limit.used_percent)).collect()
        };
        let of = |provider: &str, minutes, used| (provider.to_owned(), minutes, used);
        assert_eq!(
            told(&tx),
            [
                of("claude-code", 300, 50.5),
                of("claude-code", 10_080, 7.0),
                of("codex", 300, 50.5),
                of("codex", 10_080, 7.0)
            ]
        );
        forget_limits(&tx, at(99)).unwrap();
        assert_eq!(told(&tx).len(), 4);
        forget_limits(&tx, at(100)).unwrap();
        assert_eq!(told(&tx), [of("claude-code", 10_080, 7.0), of("codex", 10_080, 7.0)]);
        drop_removed(&tx).unwrap();
        let count: u64 = tx.query_row("SELECT count(*) FROM figures", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 1);
    }
}
