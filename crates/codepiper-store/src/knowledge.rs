//! What was read from transcripts: taken in piece by piece, each with the place in its file where the next one begins.
//!
//! Everything here may come twice (a file is copied, a conversation forked, a daemon dies between two pieces) and
//! counts once: entries by their own id in each conversation, replies and tool calls by theirs over all.

use super::{Connection, Result, StoreError, Transaction, from_ms, to_ms};
use codepiper_core::ids::SessionId;
use codepiper_core::transcript::{Context, Entry, Kind, Outcome};
use codepiper_core::usage::{Tokens, Usage};
use rusqlite::{OptionalExtension, Row};
use std::collections::BTreeMap;

/// Entries put into the search in one transaction; a tool's long output takes a millisecond.
pub const INDEX_STEP: usize = 500;

/// The cache of a connection, in KiB: memory is promised small.
pub const USUAL_CACHE: i64 = 2_000;

/// Gives the writer a cache of so many KiB; what it held beyond that is given back.
pub fn cache(tx: &Transaction<'_>, kib: i64) -> Result<()> {
    tx.pragma_update(None, "cache_size", -kib)?;
    Ok(tx.execute_batch("PRAGMA shrink_memory")?)
}

/// A transcript file, as far as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    /// Its absolute path.
    pub path: String,
    /// Whose.
    pub provider: String,
    /// With `inode`: which file this is.
    pub device: u64,
    /// With `device`: which file this is.
    pub inode: u64,
    /// Of its first bytes.
    pub fingerprint: String,
    /// Behind the last whole line that was taken.
    pub offset: u64,
    /// What the reader remembers.
    pub context: Context,
    /// What was found in it.
    pub found: Found,
}

/// What was found in a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Lines.
    pub lines: u64,
    /// Of these, no records.
    pub broken: u64,
    /// Kinds of records that were not known, and how many of each.
    pub unknown: BTreeMap<String, u64>,
    /// What happened to the file that was not growth, last.
    pub problem: Option<String>,
}

/// Where an agent worked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// The folder.
    pub cwd: String,
    /// The branch, empty when it is not known.
    pub branch: String,
    /// The root of its repository.
    pub repo: Option<String>,
}

/// A piece of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// The file, with its state behind this piece.
    pub file: File,
    /// The agent's id of the conversation.
    pub conversation: String,
    /// When the file was made, in milliseconds since 1970.
    pub born_at: i64,
    /// The session that goes on with the conversation.
    pub session: Option<SessionId>,
    /// What was said, in the file's order. Each has a time.
    pub entries: Vec<Entry>,
    /// Places that `replies` speak of.
    pub places: Vec<Place>,
    /// Usage of replies.
    pub replies: Vec<Reply>,
}

/// The usage of a reply, with what it costs and where it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// What it took.
    pub usage: Usage,
    /// In billionths of a dollar; none without a price.
    pub cost: Option<i64>,
    /// An index into [`Piece::places`].
    pub place: usize,
}

/// What a piece changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// The conversation's number.
    pub conversation: i64,
    /// Entries that were not there.
    pub entries: usize,
    /// Replies that were not there, or less completely.
    pub replies: usize,
}

/// The file at a path.
pub fn file(connection: &Connection, path: &str) -> Result<Option<File>> {
    let found = connection
        .prepare_cached(&format!("SELECT {FILE} FROM transcripts WHERE path = ?1"))?
        .query_row([path], |row| Ok(read_file(row)))
        .optional()?;
    found.transpose()
}

/// All files that were ever read.
pub fn files(connection: &Connection) -> Result<Vec<File>> {
    let mut statement = connection.prepare(&format!("SELECT {FILE} FROM transcripts ORDER BY id"))?;
    let files = statement.query_map([], |row| Ok(read_file(row)))?;
    files.map(|file| file?).collect()
}

const FILE: &str =
    "path, provider, device, inode, fingerprint, offset, context, lines, broken, unknown, problem";

fn read_file(row: &Row<'_>) -> Result<File> {
    let json = |column: &str| -> Result<String> { Ok(row.get(column)?) };
    let corrupt = |what: &str, why: serde_json::Error| StoreError::Corrupt {
        what: format!("{what} of a transcript"),
        why: why.to_string(),
    };
    Ok(File {
        path: row.get("path")?,
        provider: row.get("provider")?,
        device: row.get::<_, i64>("device")? as u64,
        inode: row.get::<_, i64>("inode")? as u64,
        fingerprint: row.get("fingerprint")?,
        offset: row.get("offset")?,
        context: serde_json::from_str(&json("context")?).map_err(|why| corrupt("context", why))?,
        found: Found {
            lines: row.get("lines")?,
            broken: row.get("broken")?,
            unknown: serde_json::from_str(&json("unknown")?).map_err(|why| corrupt("unknown", why))?,
            problem: row.get("problem")?,
        },
    })
}

/// How well all files were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quality {
    /// Files.
    pub files: u64,
    /// Lines in them.
    pub lines: u64,
    /// Of these, no records.
    pub broken: u64,
    /// Kinds of records that were not known, and how many of each.
    pub unknown: BTreeMap<String, u64>,
    /// What happened to files that was not growth, and how often.
    pub problems: BTreeMap<String, u64>,
}

/// How well all files were read.
pub fn quality(connection: &Connection) -> Result<Quality> {
    let mut quality = Quality::default();
    let mut statement =
        connection.prepare_cached("SELECT lines, broken, unknown, problem FROM transcripts")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        quality.files += 1;
        quality.lines += row.get::<_, u64>(0)?;
        quality.broken += row.get::<_, u64>(1)?;
        let unknown: String = row.get(2)?;
        let unknown: BTreeMap<String, u64> = serde_json::from_str(&unknown)
            .map_err(|why| StoreError::Corrupt { what: "unknown kinds".into(), why: why.to_string() })?;
        for (kind, count) in unknown {
            *quality.unknown.entry(kind).or_default() += count;
        }
        if let Some(problem) = row.get::<_, Option<String>>(3)? {
            *quality.problems.entry(problem).or_default() += 1;
        }
    }
    Ok(quality)
}

/// Takes in a piece of a file and the place behind it.
pub fn take(tx: &Transaction<'_>, piece: &Piece, now: jiff::Timestamp) -> Result<Taken> {
    let places: Vec<i64> = piece.places.iter().map(|place| place_of(tx, place)).collect::<Result<_>>()?;
    let (conversation, session) = conversation_of(tx, piece, places.last().copied())?;
    let mut taken = Taken { conversation, ..Taken::default() };
    let mut entries: Vec<&Entry> = piece.entries.iter().collect();
    // A fork writes its first reply before the history it copies.
    entries.sort_by_key(|entry| entry.at);
    for entry in entries {
        taken.entries += usize::from(put_entry(tx, conversation, entry)?);
        note_tool_call(tx, conversation, entry)?;
    }
    for reply in &piece.replies {
        let Some(place) = places.get(reply.place) else { continue };
        let reply = StoredReply {
            provider: piece.file.provider.clone(),
            conversation,
            session: session.clone(),
            place: *place,
            usage: reply.usage.clone(),
            cost: reply.cost,
        };
        taken.replies += usize::from(put_reply(tx, reply, piece.born_at)?);
    }
    put_file(tx, &piece.file, conversation, now)?;
    Ok(taken)
}

/// Notes what became of a file, without anything read from it. Whether that is news.
pub fn note_problem(tx: &Transaction<'_>, path: &str, problem: &str) -> Result<bool> {
    let sql = "UPDATE transcripts SET problem = ?2 WHERE path = ?1 AND problem IS NOT ?2";
    Ok(tx.prepare_cached(sql)?.execute((path, problem))? > 0)
}

fn put_file(tx: &Transaction<'_>, file: &File, conversation: i64, now: jiff::Timestamp) -> Result<()> {
    let json = |what: &str, value: serde_json::Result<String>| {
        value.map_err(|why| StoreError::Corrupt { what: what.into(), why: why.to_string() })
    };
    tx.prepare_cached(
        "INSERT INTO transcripts (path, provider, conversation, device, inode, fingerprint, offset, context, lines,
                                  broken, unknown, problem, read_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (path) DO UPDATE SET
             conversation = excluded.conversation, device = excluded.device, inode = excluded.inode,
             fingerprint = excluded.fingerprint, offset = excluded.offset, context = excluded.context,
             lines = excluded.lines, broken = excluded.broken, unknown = excluded.unknown,
             problem = excluded.problem, read_at = excluded.read_at",
    )?
    .execute((
        &file.path,
        &file.provider,
        conversation,
        file.device as i64,
        file.inode as i64,
        &file.fingerprint,
        file.offset,
        json("context", serde_json::to_string(&file.context))?,
        file.found.lines,
        file.found.broken,
        json("unknown kinds", serde_json::to_string(&file.found.unknown))?,
        &file.found.problem,
        to_ms(now),
    ))?;
    Ok(())
}

fn place_of(tx: &Transaction<'_>, place: &Place) -> Result<i64> {
    let known = tx
        .prepare_cached("SELECT id FROM places WHERE cwd = ?1 AND branch = ?2")?
        .query_row((&place.cwd, &place.branch), |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    tx.prepare_cached("INSERT INTO places (cwd, branch, repo) VALUES (?1, ?2, ?3)")?.execute((
        &place.cwd,
        &place.branch,
        &place.repo,
    ))?;
    Ok(tx.last_insert_rowid())
}

/// The conversation's number, and the session that goes on with it; empty for none.
fn conversation_of(tx: &Transaction<'_>, piece: &Piece, place: Option<i64>) -> Result<(i64, String)> {
    let Context { parent, title, model, .. } = &piece.file.context;
    let times = || piece.entries.iter().filter_map(|entry| entry.at).map(to_ms);
    let found = tx
        .prepare_cached(
            "INSERT INTO conversations (provider, provider_id, parent, session, title, place, model, born_at,
                                        first_at, last_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT DO UPDATE SET
                 parent = coalesce(parent, excluded.parent), session = coalesce(excluded.session, session),
                 title = coalesce(excluded.title, title), place = coalesce(place, excluded.place),
                 model = coalesce(excluded.model, model), born_at = min(born_at, excluded.born_at),
                 first_at = min(coalesce(first_at, excluded.first_at), coalesce(excluded.first_at, first_at)),
                 last_at = max(coalesce(last_at, excluded.last_at), coalesce(excluded.last_at, last_at))
             RETURNING id, coalesce(session, '')",
        )?
        .query_row(
            (
                &piece.file.provider,
                &piece.conversation,
                parent,
                piece.session.as_ref().map(SessionId::as_str),
                title,
                place,
                model,
                piece.born_at,
                times().min(),
                times().max(),
            ),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
    Ok(found)
}

/// Whether the entry was new.
fn put_entry(tx: &Transaction<'_>, conversation: i64, entry: &Entry) -> Result<bool> {
    let Some(at) = entry.at else { return Ok(false) };
    let body = serde_json::to_string(&entry.kind)
        .map_err(|why| StoreError::Corrupt { what: "entry".into(), why: why.to_string() })?;
    let added = tx
        .prepare_cached(
            "INSERT INTO entries (conversation, uid, agent, at, role, body, text)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        )?
        .execute((conversation, &entry.uid, &entry.agent, to_ms(at), role(&entry.kind), body, &entry.text))?;
    Ok(added > 0)
}

/// Who speaks, for filters.
pub fn role(kind: &Kind) -> &'static str {
    match kind {
        Kind::User { origin: None, .. } => "user",
        Kind::Assistant { .. } => "assistant",
        Kind::Thinking => "thinking",
        Kind::ToolCall { .. } | Kind::ToolResult { .. } => "tool",
        Kind::User { .. }
        | Kind::Decision { .. }
        | Kind::Compaction
        | Kind::Error { .. }
        | Kind::ModelChange { .. }
        | Kind::Note { .. } => "system",
    }
}

fn note_tool_call(tx: &Transaction<'_>, conversation: i64, entry: &Entry) -> Result<()> {
    let Some(at) = entry.at.map(to_ms) else { return Ok(()) };
    match &entry.kind {
        Kind::ToolCall { call, tool, .. } => {
            tx.prepare_cached(
                "INSERT INTO tool_calls (call, conversation, tool, at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET tool = excluded.tool, at = min(at, excluded.at)
                 WHERE tool IS NULL",
            )?
            .execute((call, conversation, tool, at))?;
        }
        Kind::ToolResult { call, outcome, duration_ms, .. } => {
            tx.prepare_cached(
                "INSERT INTO tool_calls (call, conversation, at, outcome, duration_ms) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET outcome = excluded.outcome,
                     duration_ms = coalesce(excluded.duration_ms, excluded.at - at)
                 WHERE outcome IS NULL",
            )?
            .execute((call, conversation, at, outcome_word(*outcome), duration_ms))?;
        }
        _ => {}
    }
    Ok(())
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Failed => "failed",
        Outcome::Refused => "refused",
        Outcome::Interrupted => "interrupted",
    }
}

/// A reply as it is stored: whose it is comes with it.
struct StoredReply {
    provider: String,
    conversation: i64,
    session: String,
    place: i64,
    usage: Usage,
    cost: Option<i64>,
}

/// Counts a reply once: the most complete record of it, in the conversation in which it first happened. Whether
/// anything changed.
fn put_reply(tx: &Transaction<'_>, new: StoredReply, born_at: i64) -> Result<bool> {
    let known = tx
        .prepare_cached(
            "SELECT usage.*, conversations.born_at FROM usage
             JOIN conversations ON conversations.id = usage.conversation WHERE key = ?1",
        )?
        .query_row([&new.usage.key], |row| Ok((read_reply(row), row.get::<_, i64>("born_at")?)))
        .optional()?;
    let Some((known, known_born_at)) = known else {
        insert_reply(tx, &new)?;
        return Ok(true);
    };
    let known = known?;
    let is_older = new.conversation != known.conversation && born_at < known_born_at;
    let says_more = new.usage.says_more_than(&known.usage.tokens);
    // A copy may have been given a new time.
    let at = new.usage.at.min(known.usage.at);
    let mut merged = match (is_older, says_more) {
        (false, false) if at == known.usage.at => return Ok(false),
        (false, false) => known,
        (true, true) => new,
        (true, false) => StoredReply { usage: known.usage, cost: known.cost, ..new },
        (false, true) => StoredReply { usage: new.usage, cost: new.cost, ..known },
    };
    merged.usage.at = at;
    replace_reply(tx, &merged)?;
    Ok(true)
}

/// The sums follow additions and removals, so a correction is both.
fn replace_reply(tx: &Transaction<'_>, reply: &StoredReply) -> Result<()> {
    tx.prepare_cached("DELETE FROM usage WHERE key = ?1")?.execute([&reply.usage.key])?;
    insert_reply(tx, reply)
}

fn insert_reply(tx: &Transaction<'_>, reply: &StoredReply) -> Result<()> {
    let Usage { key, at, model, tokens, billing, vendor_cost } = &reply.usage;
    let tier = serde_json::to_string(billing)
        .map_err(|why| StoreError::Corrupt { what: "tier".into(), why: why.to_string() })?;
    tx.prepare_cached(
        "INSERT INTO usage (key, at, provider, model, conversation, session, place, input, output, reasoning,
                            cache_read, cache_write_5m, cache_write_1h, tier, vendor_cost, cost)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )?
    .execute(rusqlite::params![
        key,
        to_ms(*at),
        reply.provider,
        model,
        reply.conversation,
        reply.session,
        reply.place,
        tokens.input,
        tokens.output,
        tokens.reasoning,
        tokens.cache_read,
        tokens.cache_write_5m,
        tokens.cache_write_1h,
        tier,
        vendor_cost,
        reply.cost,
    ])?;
    Ok(())
}

fn read_reply(row: &Row<'_>) -> Result<StoredReply> {
    let tier: String = row.get("tier")?;
    Ok(StoredReply {
        provider: row.get("provider")?,
        conversation: row.get("conversation")?,
        session: row.get("session")?,
        place: row.get("place")?,
        usage: Usage {
            key: row.get("key")?,
            at: from_ms("time of a reply", row.get("at")?)?,
            model: row.get("model")?,
            tokens: read_tokens(row)?,
            billing: serde_json::from_str(&tier)
                .map_err(|why| StoreError::Corrupt { what: "tier".into(), why: why.to_string() })?,
            vendor_cost: row.get("vendor_cost")?,
        },
        cost: row.get("cost")?,
    })
}

/// The tokens of a row that has their columns.
pub fn read_tokens(row: &Row<'_>) -> rusqlite::Result<Tokens> {
    Ok(Tokens {
        input: row.get("input")?,
        output: row.get("output")?,
        reasoning: row.get("reasoning")?,
        cache_read: row.get("cache_read")?,
        cache_write_5m: row.get("cache_write_5m")?,
        cache_write_1h: row.get("cache_write_1h")?,
    })
}

/// Puts the next entries into the search. Whether there are more.
pub fn index_some(tx: &Transaction<'_>) -> Result<bool> {
    let from: i64 = tx.query_row("SELECT entry FROM search_progress", [], |row| row.get(0))?;
    let last: Option<i64> = tx.query_row(
        "SELECT max(id) FROM (SELECT id FROM entries WHERE id > ?1 ORDER BY id LIMIT ?2)",
        (from, INDEX_STEP),
        |row| row.get(0),
    )?;
    let Some(last) = last else { return Ok(false) };
    tx.prepare_cached(
        "INSERT INTO search (rowid, text) SELECT id, text FROM entries WHERE id > ?1 AND id <= ?2 AND text <> ''",
    )?
    .execute((from, last))?;
    tx.prepare_cached("UPDATE search_progress SET entry = ?1")?.execute([last])?;
    Ok(true)
}

/// Whose spending is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spender {
    /// A session's, since ever.
    Session(SessionId),
    /// Everybody's, from this time on; times are kept by quarter hours.
    Since(jiff::Timestamp),
}

/// What was spent: billionths of a dollar, tokens without a price, all tokens.
pub fn spent(connection: &Connection, by: &Spender) -> Result<(i64, u64, u64)> {
    const SUMS: &str = "coalesce(sum(cost), 0), coalesce(sum(unpriced), 0),
        coalesce(sum(input + output + cache_read + cache_write_5m + cache_write_1h), 0)";
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    Ok(match by {
        Spender::Session(session) => connection
            .prepare_cached(&format!(
                "SELECT {SUMS} FROM usage_by_work WHERE session = ?1 AND session <> ''"
            ))?
            .query_row([session.as_str()], read)?,
        Spender::Since(begin) => connection
            .prepare_cached(&format!("SELECT {SUMS} FROM usage_by_model WHERE quarter >= ?1"))?
            .query_row([to_ms(*begin) / 900_000], read)?,
    })
}

/// A step of pricing everything anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repriced {
    /// Replies that cost something else now.
    pub changed: u64,
    /// What to give to the next step; `None` when all are done.
    pub next: Option<String>,
}

/// Prices replies anew, some at a time. Give [`Repriced::next`] of the step before, empty at first.
pub fn reprice_some(
    tx: &Transaction<'_>,
    after: &str,
    price: &dyn Fn(&Usage) -> Option<i64>,
) -> Result<Repriced> {
    const STEP: usize = 1_000;
    let mut statement = tx.prepare_cached("SELECT * FROM usage WHERE key > ?1 ORDER BY key LIMIT ?2")?;
    let replies = statement.query_map((after, STEP), |row| Ok(read_reply(row)))?;
    let replies: Vec<StoredReply> = replies.map(|reply| reply?).collect::<Result<_>>()?;
    let next = replies.last().filter(|_| replies.len() == STEP).map(|reply| reply.usage.key.clone());
    let mut changed = 0;
    for mut reply in replies {
        let cost = price(&reply.usage);
        if cost != reply.cost {
            reply.cost = cost;
            replace_reply(tx, &reply)?;
            changed += 1;
        }
    }
    Ok(Repriced { changed, next })
}

#[cfg(test)]
mod tests;
