//! What agents took and did, summed: the reading side of the sums that the schema keeps by quarter hours.
//!
//! The law to keep: a chart costs what its range holds in quarters, not in replies. So a range here is whole quarters,
//! and whoever draws days cuts them at the quarters where they begin, which they do in every time zone.

use super::conversations::{below, of_session, one_of};
use super::{Connection, Result, from_ms, to_ms};
use codepiper_core::calendar::Piece;
use codepiper_core::ids::SessionId;
use codepiper_core::usage::Tokens;
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};
use std::collections::BTreeMap;
use std::ops::AddAssign;

/// Milliseconds of a quarter hour.
const QUARTER_MS: i64 = 15 * 60 * 1_000;

/// Whole quarter hours: from the first, up to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quarters {
    from: i64,
    to: i64,
}

impl Quarters {
    /// The quarters that a range touches.
    pub fn touched(since: Timestamp, until: Timestamp) -> Self {
        let to = to_ms(until).div_euclid(QUARTER_MS) + i64::from(to_ms(until).rem_euclid(QUARTER_MS) > 0);
        Self { from: to_ms(since).div_euclid(QUARTER_MS), to }
    }

    /// When they begin and end.
    pub fn times(self) -> Result<(Timestamp, Timestamp)> {
        let time = |quarter: i64| from_ms("range", quarter.saturating_mul(QUARTER_MS));
        Ok((time(self.from)?, time(self.to)?))
    }

    /// The quarters of the pieces of a range, each in one piece.
    fn of(pieces: &[Piece]) -> Vec<Self> {
        let mut all: Vec<Self> = pieces.iter().map(|piece| Self::touched(piece.start, piece.end)).collect();
        for next in (1..all.len()).rev() {
            all[next - 1].to = all[next].from;
        }
        all
    }

    fn ms(self) -> (i64, i64) {
        (self.from.saturating_mul(QUARTER_MS), self.to.saturating_mul(QUARTER_MS))
    }
}

/// Whose usage is summed. Nothing said is all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this session.
    pub session: Option<SessionId>,
    /// Of this provider.
    pub provider: Option<String>,
    /// Of this model.
    pub model: Option<String>,
    /// In this folder or below it, or in a worktree of a repository there.
    pub folder: Option<String>,
}

/// Sums of replies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Replies.
    pub requests: u64,
    /// Their tokens.
    pub tokens: Tokens,
    /// What those with a price cost, in billionths of a US dollar.
    pub cost: u64,
    /// Tokens of those without one.
    pub unpriced: u64,
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.tokens = self.tokens + other.tokens;
        self.cost += other.cost;
        self.unpriced += other.unpriced;
    }
}

/// The columns of [`Sums`] over rows of either table of sums, called `u`.
pub(crate) const SUMS: &str = "coalesce(sum(u.requests), 0), coalesce(sum(u.input), 0), coalesce(sum(u.output), 0), \
    coalesce(sum(u.reasoning), 0), coalesce(sum(u.cache_read), 0), coalesce(sum(u.cache_write_5m), 0), \
    coalesce(sum(u.cache_write_1h), 0), coalesce(sum(u.cost), 0), coalesce(sum(u.unpriced), 0)";

/// How many columns those are.
pub(crate) const SUMS_COLUMNS: usize = 9;

/// Reads [`SUMS`] that begin at this column.
pub(crate) fn read_sums(row: &Row<'_>, at: usize) -> rusqlite::Result<Sums> {
    Ok(Sums {
        requests: row.get(at)?,
        tokens: Tokens {
            input: row.get(at + 1)?,
            output: row.get(at + 2)?,
            reasoning: row.get(at + 3)?,
            cache_read: row.get(at + 4)?,
            cache_write_5m: row.get(at + 5)?,
            cache_write_1h: row.get(at + 6)?,
        },
        cost: row.get(at + 7)?,
        unpriced: row.get(at + 8)?,
    })
}

/// All usage of a range.
pub fn sums(connection: &Connection, filter: &Filter, range: Quarters) -> Result<Sums> {
    Ok(each(connection, filter, &[range])?.pop().unwrap_or_default())
}

/// The usage of each piece of a range.
pub fn series(connection: &Connection, filter: &Filter, pieces: &[Piece]) -> Result<Vec<Sums>> {
    each(connection, filter, &Quarters::of(pieces))
}

/// One walk along the key for each range: that takes less time than sorting the rows of all of them.
fn each(connection: &Connection, filter: &Filter, ranges: &[Quarters]) -> Result<Vec<Sums>> {
    let rows = Rows::of(filter, filter.session.is_some() || filter.folder.is_some());
    let mut statement = connection.prepare_cached(&format!("SELECT {SUMS} FROM {}", rows.sql))?;
    let mut one =
        |range: &Quarters| Ok(statement.query_row(rows.parameters(*range), |row| read_sums(row, 0))?);
    ranges.iter().map(&mut one).collect()
}

/// What usage is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the words say it
pub enum By {
    Model,
    Provider,
    Session,
    Conversation,
    Folder,
    Repo,
    Branch,
}

/// The usage of one model, session, folder, ….
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Which: the model, the provider, the session's id, the agent's id of the conversation, the folder, the root of the
    /// repository, the branch. `None` for what has none: work outside of our sessions, outside of repositories.
    pub key: Option<String>,
    /// What a person calls it: a session's name, a conversation's title; of a branch the repository.
    pub label: Option<String>,
    /// The provider, of models, sessions and conversations.
    pub provider: Option<String>,
    /// What it took.
    pub sums: Sums,
}

/// Usage sorted, those with the most tokens first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    /// At most as many as were asked for.
    pub groups: Vec<Group>,
    /// How many more there are.
    pub more: u64,
    /// What they took.
    pub rest: Sums,
}

/// Usage of a range, sorted.
pub fn groups(
    connection: &Connection,
    filter: &Filter,
    range: Quarters,
    by: By,
    limit: usize,
) -> Result<Groups> {
    let by_work = filter.session.is_some() || filter.folder.is_some();
    // What is summed up first, and how names come to it then: a join a row would cost more than the sum.
    let (by_work, inner, outer, joins) = match by {
        By::Model if by_work => (
            true,
            "u.conversation AS conversation, u.model AS model",
            "g.model, NULL, c.provider",
            "JOIN conversations c ON c.id = g.conversation",
        ),
        By::Provider if by_work => (
            true,
            "u.conversation AS conversation",
            "c.provider, NULL, c.provider",
            "JOIN conversations c ON c.id = g.conversation",
        ),
        By::Model => (false, "u.provider AS provider, u.model AS model", "g.model, NULL, g.provider", ""),
        By::Provider => (false, "u.provider AS provider", "g.provider, NULL, g.provider", ""),
        By::Session => (
            true,
            "u.session AS session",
            "nullif(g.session, ''), s.name, s.provider",
            "LEFT JOIN sessions s ON s.id = g.session",
        ),
        By::Conversation => (
            true,
            "u.conversation AS conversation",
            "c.provider_id, c.title, c.provider",
            "JOIN conversations c ON c.id = g.conversation",
        ),
        By::Folder => (true, "u.place AS place", "p.cwd, NULL, NULL", "JOIN places p ON p.id = g.place"),
        By::Repo => (true, "u.place AS place", "p.repo, NULL, NULL", "JOIN places p ON p.id = g.place"),
        By::Branch => (
            true,
            "u.place AS place",
            "nullif(p.branch, ''), iif(p.branch = '', NULL, coalesce(p.repo, p.cwd)), NULL",
            "JOIN places p ON p.id = g.place",
        ),
    };
    let of = Rows::of(filter, by_work);
    let names: Vec<&str> = inner.split(", ").filter_map(|column| column.split(" AS ").next()).collect();
    let (each, again) = (summed_once(), summed_again());
    let sql = format!(
        "SELECT {outer}, {again} FROM (SELECT {inner}, {each} FROM {} GROUP BY {}) AS g {joins}
         GROUP BY 1, 2, 3 ORDER BY sum(g.input + g.output + g.cache_read + g.cache_write_5m + g.cache_write_1h) DESC, 1",
        of.sql,
        names.join(", ")
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(of.parameters(range))?;
    let mut found = Groups { groups: Vec::new(), more: 0, rest: Sums::default() };
    while let Some(row) = rows.next()? {
        let sums = read_sums(row, 3)?;
        if found.groups.len() < limit {
            let (key, label, provider) = (row.get(0)?, row.get(1)?, row.get(2)?);
            found.groups.push(Group { key, label, provider, sums });
        } else {
            found.more += 1;
            found.rest += sums;
        }
    }
    Ok(found)
}

const PARTS: [&str; SUMS_COLUMNS] = [
    "requests",
    "input",
    "output",
    "reasoning",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "cost",
    "unpriced",
];

fn summed_once() -> String {
    PARTS.map(|part| format!("sum(u.{part}) AS {part}")).join(", ")
}

fn summed_again() -> String {
    PARTS.map(|part| format!("sum(g.{part})")).join(", ")
}

/// Which rows of which table are summed.
struct Rows {
    /// What stands behind FROM. Its first two parameters are the range.
    sql: String,
    /// The others.
    values: Vec<String>,
}

impl Rows {
    /// Those of the filter; with `by_work` from the table that knows conversations, sessions and places.
    fn of(filter: &Filter, by_work: bool) -> Self {
        let table = if by_work { "usage_by_work" } else { "usage_by_model" };
        let mut rows = Self {
            sql: format!("{table} AS u WHERE u.quarter >= ?1 AND u.quarter < ?2"),
            values: Vec::new(),
        };
        let Filter { session, provider, model, folder } = filter;
        // The index by session holds only rows with one, and is taken only where the query says that too.
        rows.and(session.as_ref(), |n| format!("u.session = {n} AND u.session <> ''"));
        rows.and(provider.as_ref(), |n| match by_work {
            true => format!("u.conversation IN (SELECT id FROM conversations WHERE provider = {n})"),
            false => format!("u.provider = {n}"),
        });
        rows.and(model.as_ref(), |n| format!("u.model = {n}"));
        rows.and(folder.as_ref(), |n| {
            format!("u.place IN (SELECT id FROM places p WHERE {})", below("p", n))
        });
        rows
    }

    fn and(&mut self, value: Option<&impl ToString>, rule: impl Fn(&str) -> String) {
        if let Some(value) = value {
            self.values.push(value.to_string());
            let rule = rule(&format!("?{}", self.values.len() + 2));
            self.sql.push_str(&format!(" AND {rule}"));
        }
    }

    fn parameters(&self, range: Quarters) -> impl rusqlite::Params {
        let range = [range.from, range.to].map(Value::Integer);
        params_from_iter(range.into_iter().chain(self.values.iter().cloned().map(Value::Text)))
    }
}

/// Messages of the conversations themselves, without those of sub-agents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Messages {
    /// What the person said.
    pub person: u64,
    /// What the agent said.
    pub assistant: u64,
}

/// The messages of each piece of a range; of all conversations, or those of a session.
pub fn messages(
    connection: &Connection,
    session: Option<&SessionId>,
    pieces: &[Piece],
) -> Result<Vec<Messages>> {
    let ranges = Quarters::of(pieces);
    let Some(session) = session else {
        let sql = "SELECT coalesce(sum(person), 0), coalesce(sum(assistant), 0) FROM messages_by_quarter
                   WHERE quarter >= ?1 AND quarter < ?2";
        let mut statement = connection.prepare_cached(sql)?;
        let mut one = |range: Quarters| {
            let read = |row: &Row<'_>| Ok(Messages { person: row.get(0)?, assistant: row.get(1)? });
            Ok(statement.query_row((range.from, range.to), read)?)
        };
        return ranges.into_iter().map(&mut one).collect();
    };
    let sql = format!(
        "SELECT min(at), role = 'user' FROM entries
         WHERE {} AND role IN ('user', 'assistant') AND agent IS NULL GROUP BY uid",
        one_of("conversation", &of_session(connection, session)?)
    );
    let mut all = vec![Messages::default(); ranges.len()];
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (at, is_person): (i64, bool) = (row.get(0)?, row.get(1)?);
        if let Some(index) = piece_of(&ranges, at.div_euclid(QUARTER_MS)) {
            let count = if is_person { &mut all[index].person } else { &mut all[index].assistant };
            *count += 1;
        }
    }
    Ok(all)
}

/// Calls of a tool.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ToolUse {
    /// The tool.
    pub tool: String,
    /// All calls.
    pub calls: u64,
    /// Those that did what they should.
    pub ok: u64,
    /// Those that ran and failed.
    pub failed: u64,
    /// Those that were not allowed to run.
    pub refused: u64,
    /// Those that somebody stopped.
    pub interrupted: u64,
    /// How long they ran on average, in milliseconds, where the records say so.
    pub average_ms: Option<f64>,
    /// How long the longest ran.
    pub longest_ms: Option<u64>,
}

/// The tools that were called, the most often called first.
pub fn tools(
    connection: &Connection,
    session: Option<&SessionId>,
    range: Quarters,
    limit: u32,
) -> Result<Vec<ToolUse>> {
    let (sql, (from, to)) = match session {
        None => (
            "SELECT tool, sum(calls), sum(ok), sum(failed), sum(refused), sum(interrupted),
                    1.0 * sum(duration_ms) / nullif(sum(timed), 0), max(longest_ms)
             FROM tools_by_quarter WHERE quarter >= ?1 AND quarter < ?2
             GROUP BY tool ORDER BY 2 DESC, 1 LIMIT ?3"
                .to_owned(),
            (range.from, range.to),
        ),
        Some(session) => (
            format!(
                "SELECT tool, count(*), sum(outcome IS 'ok'), sum(outcome IS 'failed'), sum(outcome IS 'refused'),
                        sum(outcome IS 'interrupted'), avg(duration_ms), max(duration_ms)
                 FROM tool_calls WHERE at >= ?1 AND at < ?2 AND tool IS NOT NULL AND {}
                 GROUP BY tool ORDER BY 2 DESC, 1 LIMIT ?3",
                one_of("conversation", &of_session(connection, session)?)
            ),
            range.ms(),
        ),
    };
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map((from, to, limit), |row| {
        Ok(ToolUse {
            tool: row.get(0)?,
            calls: row.get(1)?,
            ok: row.get(2)?,
            failed: row.get(3)?,
            refused: row.get(4)?,
            interrupted: row.get(5)?,
            average_ms: row.get(6)?,
            longest_ms: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Calls of all tools, and those that failed.
pub fn tool_calls(
    connection: &Connection,
    session: Option<&SessionId>,
    range: Quarters,
) -> Result<(u64, u64)> {
    let (sql, (from, to)) = match session {
        None => (
            "SELECT coalesce(sum(calls), 0), coalesce(sum(failed), 0) FROM tools_by_quarter
             WHERE quarter >= ?1 AND quarter < ?2"
                .to_owned(),
            (range.from, range.to),
        ),
        Some(session) => (
            format!(
                "SELECT count(*), coalesce(sum(outcome IS 'failed'), 0) FROM tool_calls
                 WHERE at >= ?1 AND at < ?2 AND tool IS NOT NULL AND {}",
                one_of("conversation", &of_session(connection, session)?)
            ),
            range.ms(),
        ),
    };
    Ok(connection.query_row(&sql, (from, to), |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Decisions over tool calls in each piece of a range, by their word.
pub fn decisions(
    connection: &Connection,
    session: Option<&SessionId>,
    pieces: &[Piece],
) -> Result<Vec<BTreeMap<String, u64>>> {
    let ranges = Quarters::of(pieces);
    let mut all = vec![BTreeMap::new(); ranges.len()];
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return Ok(all) };
    let sql = format!(
        "SELECT at / {QUARTER_MS}, decision, count(*) FROM audit
         WHERE kind = 'decision' AND at >= ?1 AND at < ?2 AND decision IS NOT NULL{} GROUP BY 1, 2",
        if session.is_some() { " AND session = ?3" } else { " AND ?3 IS NULL" }
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((first.ms().0, last.ms().1, session.map(SessionId::as_str)))?;
    while let Some(row) = rows.next()? {
        let (quarter, decision, count): (i64, String, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if let Some(index) = piece_of(&ranges, quarter) {
            *all[index].entry(decision).or_default() += count;
        }
    }
    Ok(all)
}

/// In which of the ranges, which follow each other, a quarter is.
fn piece_of(ranges: &[Quarters], quarter: i64) -> Option<usize> {
    let index = ranges.partition_point(|range| range.to <= quarter);
    ranges.get(index).filter(|range| range.from <= quarter).map(|_| index)
}

/// Sessions that were started in a range, by provider, also those that have left the list.
pub fn sessions_by_provider(connection: &Connection, range: Quarters) -> Result<Vec<(String, u64)>> {
    let sql = "SELECT provider, count(*) FROM sessions WHERE created_at >= ?1 AND created_at < ?2
               GROUP BY provider ORDER BY 2 DESC, 1";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(range.ms(), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// When the first thing happened that is summed here; `None` while nothing has.
pub fn earliest(connection: &Connection) -> Result<Option<Timestamp>> {
    let sql = format!(
        "SELECT min(at) FROM (
             SELECT min(quarter) * {QUARTER_MS} AS at FROM usage_by_model
             UNION ALL SELECT min(quarter) * {QUARTER_MS} FROM messages_by_quarter
             UNION ALL SELECT min(quarter) * {QUARTER_MS} FROM tools_by_quarter
             UNION ALL SELECT min(created_at) FROM sessions)"
    );
    let first: Option<i64> = connection.query_row(&sql, [], |row| row.get(0))?;
    first.map(|at| from_ms("time of a record", at)).transpose()
}

#[cfg(test)]
mod tests;
