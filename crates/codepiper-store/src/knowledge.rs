//! What was read from transcripts: taken in piece by piece, each with the place in its file where the next one begins.
//!
//! Everything here may come twice (a file is copied, a conversation forked, a daemon dies between two pieces) and
//! counts once: entries by their own id in each conversation, replies and tool calls by theirs over all.

use super::{Connection, Result, StoreError, Transaction, from_ms, to_ms};
use codepiper_core::ids::SessionId;
use codepiper_core::transcript::{Context, Entry, Kind, Outcome};
use codepiper_core::usage::{Tokens, Usage};
use rusqlite::types::{ToSql, ToSqlOutput, Value};
use rusqlite::{OptionalExtension, Row, params_from_iter};
use std::collections::{BTreeMap, HashMap};

/// Entries put into the search in one transaction; a tool's long output takes a millisecond.
pub const INDEX_STEP: usize = 500;

/// The cache of a connection, in KiB: memory is promised small.
pub const USUAL_CACHE: i64 = 2_000;

/// The same while an import runs: pages that many rows share are written once.
const IMPORT_CACHE: i64 = 24_000;

/// Pages in the log before they are brought into the database, usually and while an import runs: what is changed again
/// and again is then brought there once. None of it is less safe: what was committed is in the log.
const CHECKPOINT: [i64; 2] = [1_000, 4_000];

/// Sets the writer up for an import, or for usual times again; what it held beyond that is given back.
pub fn set_up(tx: &Transaction<'_>, for_import: bool) -> Result<()> {
    let kib = if for_import { IMPORT_CACHE } else { USUAL_CACHE };
    tx.pragma_update(None, "cache_size", -kib)?;
    tx.pragma_update(None, "wal_autocheckpoint", CHECKPOINT[usize::from(for_import)])?;
    // What a statement with triggers would undo is kept while it runs: in a file that is half of all writing.
    tx.pragma_update(None, "temp_store", if for_import { "MEMORY" } else { "DEFAULT" })?;
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
    /// How far its replies are counted already, where that is farther.
    pub ahead: Option<Ahead>,
    /// What was found in it.
    pub found: Found,
}

/// How far replies are counted without anything else having been taken in.
#[derive(Debug, Clone, PartialEq)]
pub struct Ahead {
    /// Behind the last whole line.
    pub offset: u64,
    /// What the reader remembers, where it only counts.
    pub context: Context,
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

const FILE: &str = "path, provider, device, inode, fingerprint, offset, context, counted, counted_context, lines, broken, unknown, problem";

fn read_file(row: &Row<'_>) -> Result<File> {
    let json = |column: &str| -> Result<String> { Ok(row.get(column)?) };
    let corrupt = |what: &str, why: serde_json::Error| StoreError::Corrupt {
        what: format!("{what} of a transcript"),
        why: why.to_string(),
    };
    let counted: Option<u64> = row.get("counted")?;
    let ahead = counted.map(|offset| -> Result<Ahead> {
        let context = json("counted_context")?;
        let context = serde_json::from_str(&context).map_err(|why| corrupt("context", why))?;
        Ok(Ahead { offset, context })
    });
    Ok(File {
        path: row.get("path")?,
        provider: row.get("provider")?,
        device: row.get::<_, i64>("device")? as u64,
        inode: row.get::<_, i64>("inode")? as u64,
        fingerprint: row.get("fingerprint")?,
        offset: row.get("offset")?,
        context: serde_json::from_str(&json("context")?).map_err(|why| corrupt("context", why))?,
        ahead: ahead.transpose()?,
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
    taken.entries = put_entries(tx, conversation, &entries)?;
    put_tool_calls(tx, conversation, &entries)?;
    let stored = |reply: &Reply| {
        let place = *places.get(reply.place)?;
        let (provider, session) = (piece.file.provider.clone(), session.clone());
        let (usage, cost) = (reply.usage.clone(), reply.cost);
        Some(StoredReply { provider, conversation, session, place, usage, cost })
    };
    let replies: Vec<StoredReply> = piece.replies.iter().filter_map(stored).collect();
    taken.replies = put_replies(tx, &replies, piece)?;
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
    let ahead = file.ahead.as_ref();
    let ahead_context =
        ahead.map(|ahead| json("context", serde_json::to_string(&ahead.context))).transpose()?;
    tx.prepare_cached(
        "INSERT INTO transcripts (path, provider, conversation, device, inode, fingerprint, offset, context, counted,
                                  counted_context, lines, broken, unknown, problem, read_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
         ON CONFLICT (path) DO UPDATE SET
             conversation = excluded.conversation, device = excluded.device, inode = excluded.inode,
             fingerprint = excluded.fingerprint, offset = excluded.offset, context = excluded.context,
             counted = excluded.counted, counted_context = excluded.counted_context, lines = excluded.lines,
             broken = excluded.broken, unknown = excluded.unknown, problem = excluded.problem,
             read_at = excluded.read_at",
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
        ahead.map(|ahead| ahead.offset),
        ahead_context,
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
    let counted = piece.file.ahead.as_ref().map(|ahead| &ahead.context);
    let parent = parent.as_ref().or(counted.and_then(|counted| counted.parent.as_ref()));
    let model = model.as_ref().or(counted.and_then(|counted| counted.model.as_ref()));
    let replied = piece.replies.iter().map(|reply| reply.usage.at).filter(|at| at.as_millisecond() > 0);
    let times = || piece.entries.iter().filter_map(|entry| entry.at).chain(replied.clone()).map(to_ms);
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

/// A value in a row.
type Cell<'a> = ToSqlOutput<'a>;

/// The value of a column that has none.
const NOTHING: Cell<'static> = Cell::Owned(Value::Null);

/// How many rows one statement puts in, as many as there are: what a statement costs beside its rows, a copy of every
/// page that it changes among it, is then shared by them.
const ROWS: [usize; 3] = [64, 8, 1];

/// Puts rows in, in their order: `into` a table with columns, with what is to be done about a row that is there. How
/// many were new or changed.
fn put_rows<const N: usize>(
    tx: &Transaction<'_>,
    into: &str,
    conflict: &str,
    mut rows: &[[Cell<'_>; N]],
) -> Result<usize> {
    let row = format!("({})", ["?"; N].join(", "));
    let mut changed = 0;
    for many in ROWS {
        let values = vec![row.as_str(); many].join(", ");
        let statement = format!("INSERT INTO {into} VALUES {values} ON CONFLICT DO {conflict}");
        while let Some((now, later)) = rows.split_at_checked(many) {
            changed += tx.prepare_cached(&statement)?.execute(params_from_iter(now.as_flattened()))?;
            rows = later;
        }
    }
    Ok(changed)
}

/// How many were new.
fn put_entries(tx: &Transaction<'_>, conversation: i64, entries: &[&Entry]) -> Result<usize> {
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        let Some(at) = entry.at else { continue };
        let body = serde_json::to_string(&entry.kind)
            .map_err(|why| StoreError::Corrupt { what: "entry".into(), why: why.to_string() })?;
        rows.push([
            conversation.into(),
            entry.uid.as_str().into(),
            entry.agent.to_sql()?,
            to_ms(at).into(),
            role(&entry.kind).into(),
            body.into(),
            entry.text.as_str().into(),
        ]);
    }
    put_rows(tx, "entries (conversation, uid, agent, at, role, body, text)", "NOTHING", &rows)
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

/// What a piece says of one tool call.
struct SaidOfCall<'a> {
    call: &'a str,
    tool: Option<&'a str>,
    at: i64,
    ended: Option<(Outcome, Option<u64>)>,
}

/// Notes the tool calls that entries begin and end, each once: its call and its result mostly stand in one piece.
fn put_tool_calls(tx: &Transaction<'_>, conversation: i64, entries: &[&Entry]) -> Result<()> {
    let mut calls: Vec<SaidOfCall> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for entry in entries {
        let Some(at) = entry.at.map(to_ms) else { continue };
        let (call, tool, ended) = match &entry.kind {
            Kind::ToolCall { call, tool, .. } => (call, Some(tool.as_str()), None),
            Kind::ToolResult { call, outcome, duration_ms, .. } => {
                (call, None, Some((*outcome, *duration_ms)))
            }
            _ => continue,
        };
        let Some(said) = known.get(call.as_str()).map(|index| &mut calls[*index]) else {
            known.insert(call, calls.len());
            calls.push(SaidOfCall { call, tool, at, ended });
            continue;
        };
        if said.tool.is_none() && tool.is_some() {
            (said.tool, said.at) = (tool, said.at.min(at));
        }
        if let (None, Some((outcome, duration_ms))) = (said.ended, ended) {
            let took = || u64::try_from(at - said.at).ok();
            said.ended = Some((outcome, duration_ms.or_else(took)));
        }
    }
    let mut rows = Vec::with_capacity(calls.len());
    for SaidOfCall { call, tool, at, ended } in calls {
        let (outcome, duration_ms) = ended.unzip();
        rows.push([
            call.into(),
            conversation.into(),
            tool.map_or(NOTHING, Cell::from),
            at.into(),
            outcome.map_or(NOTHING, |outcome| outcome_word(outcome).into()),
            duration_ms.flatten().map_or(NOTHING, |ms| i64::try_from(ms).unwrap_or(i64::MAX).into()),
        ]);
    }
    put_rows(
        tx,
        "tool_calls (call, conversation, tool, at, outcome, duration_ms)",
        "UPDATE SET
             tool = coalesce(tool, excluded.tool),
             at = iif(tool IS NULL AND excluded.tool IS NOT NULL, min(at, excluded.at), at),
             outcome = coalesce(outcome, excluded.outcome),
             duration_ms = iif(outcome IS NULL AND excluded.outcome IS NOT NULL,
                 coalesce(excluded.duration_ms, excluded.at - at), duration_ms)
         WHERE (tool IS NULL AND excluded.tool IS NOT NULL)
             OR (outcome IS NULL AND excluded.outcome IS NOT NULL)",
        &rows,
    )?;
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
#[derive(Debug, Clone, PartialEq)]
struct StoredReply {
    provider: String,
    conversation: i64,
    session: String,
    place: i64,
    usage: Usage,
    cost: Option<i64>,
}

/// Counts replies once. How many were new, or less complete before.
fn put_replies(tx: &Transaction<'_>, replies: &[StoredReply], piece: &Piece) -> Result<usize> {
    let mut changed = 0;
    for replies in replies.chunks(ROWS[0]) {
        let new = insert_replies(tx, replies)?;
        changed += new;
        if new < replies.len() {
            for reply in replies {
                changed += usize::from(correct_reply(tx, reply, piece)?);
            }
        }
    }
    Ok(changed)
}

/// Counts a reply that is known: the most complete record of it, in the conversation in which it first happened.
/// Whether anything changed.
fn correct_reply(tx: &Transaction<'_>, new: &StoredReply, piece: &Piece) -> Result<bool> {
    let known = tx
        .prepare_cached("SELECT * FROM usage WHERE key = ?1")?
        .query_row([&new.usage.key], |row| Ok(read_reply(row)))??;
    let mut merged = known.clone();
    if merged.usage.take_over(&new.usage) {
        merged.cost = new.cost;
    }
    if new.conversation != known.conversation {
        let whose = tx
            .prepare_cached("SELECT born_at, provider_id FROM conversations WHERE id = ?1")?
            .query_row([known.conversation], |row| Ok((row.get(0)?, row.get(1)?)))?;
        // Of two that were made in the same moment always the same, whichever is read first.
        if (piece.born_at, &piece.conversation) < (whose.0, &whose.1) {
            merged = StoredReply { usage: merged.usage, cost: merged.cost, ..new.clone() };
        }
    }
    let is_news = merged != known;
    if is_news {
        replace_reply(tx, &merged)?;
    }
    Ok(is_news)
}

/// The sums follow additions and removals, so a correction is both.
fn replace_reply(tx: &Transaction<'_>, reply: &StoredReply) -> Result<()> {
    tx.prepare_cached("DELETE FROM usage WHERE key = ?1")?.execute([&reply.usage.key])?;
    insert_replies(tx, std::slice::from_ref(reply))?;
    Ok(())
}

/// How many of them were not there.
fn insert_replies(tx: &Transaction<'_>, replies: &[StoredReply]) -> Result<usize> {
    let mut rows = Vec::with_capacity(replies.len());
    for reply in replies {
        let Usage { key, at, model, tokens, billing, vendor_cost } = &reply.usage;
        let tier = serde_json::to_string(billing)
            .map_err(|why| StoreError::Corrupt { what: "tier".into(), why: why.to_string() })?;
        rows.push([
            key.as_str().into(),
            to_ms(*at).into(),
            reply.provider.as_str().into(),
            model.as_str().into(),
            reply.conversation.into(),
            reply.session.as_str().into(),
            reply.place.into(),
            tokens.input.to_sql()?,
            tokens.output.to_sql()?,
            tokens.reasoning.to_sql()?,
            tokens.cache_read.to_sql()?,
            tokens.cache_write_5m.to_sql()?,
            tokens.cache_write_1h.to_sql()?,
            tier.into(),
            vendor_cost.to_sql()?,
            reply.cost.to_sql()?,
        ]);
    }
    put_rows(
        tx,
        "usage (key, at, provider, model, conversation, session, place, input, output, reasoning, cache_read,
                cache_write_5m, cache_write_1h, tier, vendor_cost, cost)",
        "NOTHING",
        &rows,
    )
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
