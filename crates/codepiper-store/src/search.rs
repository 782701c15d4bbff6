//! Search in everything that was said: the best first, the newer first among equals, and what stands in several copies
//! of a conversation once.

use super::conversations::{below, of_session, one_of};
use super::{Connection, Result, from_ms, to_ms};
use codepiper_core::ids::SessionId;
use codepiper_core::search_query::SearchQuery;
use jiff::Timestamp;
use std::collections::HashSet;

/// Of a word that is everywhere, only so many places are ranked, the last ones. Ranking one takes some microseconds,
/// and nobody looks for what is everywhere.
const RANKED_MAX: u32 = 50_000;

/// Words of a text that are shown around what was found.
const SNIPPET_WORDS: u32 = 24;

/// Marks in what SQLite gives as a snippet. A text that holds them itself is shown with a piece too much in bold.
const MARKS: [char; 2] = ['\u{e000}', '\u{e001}'];

/// Where to search.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only in the conversations of this session.
    pub session: Option<SessionId>,
    /// Only in those of this provider.
    pub provider: Option<String>,
    /// Only in those that were last in this folder or below it, or in a worktree of a repository there.
    pub folder: Option<String>,
    /// Only what was said in this role.
    pub role: Option<String>,
    /// Only at or after this time.
    pub since: Option<Timestamp>,
    /// Only before this time.
    pub until: Option<Timestamp>,
    /// At most so many.
    pub limit: u32,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The entry's number.
    pub entry: i64,
    /// The number of the conversation: of copies the original.
    pub conversation: i64,
    /// The sub-agent.
    pub agent: Option<String>,
    /// When it was said.
    pub at: Timestamp,
    /// In which role.
    pub role: String,
    /// The text around what was found.
    pub snippet: Vec<Piece>,
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// It.
    pub text: String,
    /// Whether it is what was looked for.
    pub is_hit: bool,
}

/// What was found, and whether there is more beyond the limit.
pub fn search(connection: &Connection, query: &SearchQuery, filter: &Filter) -> Result<(Vec<Hit>, bool)> {
    let fts5 = query.fts5();
    let of_session = match &filter.session {
        None => "1".to_owned(),
        Some(session) => one_of("c.id", &of_session(connection, session)?),
    };
    // Snippets are made only for what is shown: they read the whole text.
    let sql = format!(
        "WITH found AS (
             SELECT s.rowid AS id, bm25(search) AS rank
             FROM search s CROSS JOIN entries e ON e.id = s.rowid
                  CROSS JOIN conversations c ON c.id = e.conversation LEFT JOIN places p ON p.id = c.place
             WHERE search MATCH ?1 AND {of_session} AND (?2 IS NULL OR c.provider = ?2)
               AND (?3 IS NULL OR {}) AND (?4 IS NULL OR e.role = ?4)
               AND (?5 IS NULL OR e.at >= ?5) AND (?6 IS NULL OR e.at < ?6)
             ORDER BY s.rowid DESC LIMIT {RANKED_MAX})
         SELECT e.id, e.conversation, e.agent, e.at, e.role, e.uid
         FROM found f JOIN entries e ON e.id = f.id JOIN conversations c ON c.id = e.conversation
         ORDER BY f.rank, e.at DESC, e.uid, c.born_at, e.id",
        below("p", "?3"),
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query((
        &fts5,
        &filter.provider,
        &filter.folder,
        &filter.role,
        filter.since.map(to_ms),
        filter.until.map(to_ms),
    ))?;
    let mut hits: Vec<Hit> = Vec::new();
    let mut seen: HashSet<String> = HashSet::new();
    while let Some(row) = rows.next()? {
        if !seen.insert(row.get(5)?) {
            continue;
        }
        if hits.len() == filter.limit as usize {
            return Ok((hits, true));
        }
        let entry = row.get(0)?;
        hits.push(Hit {
            entry,
            conversation: row.get(1)?,
            agent: row.get(2)?,
            at: from_ms("entry", row.get(3)?)?,
            role: row.get(4)?,
            snippet: snippet(connection, &fts5, entry)?,
        });
    }
    Ok((hits, false))
}

fn snippet(connection: &Connection, fts5: &str, entry: i64) -> Result<Vec<Piece>> {
    let sql = format!(
        "SELECT snippet(search, 0, ?3, ?4, '…', {SNIPPET_WORDS}) FROM search WHERE search MATCH ?1 AND rowid = ?2"
    );
    let [open, close] = MARKS.map(String::from);
    let mut statement = connection.prepare_cached(&sql)?;
    let marked: String = statement.query_row((fts5, entry, open, close), |row| row.get(0))?;
    Ok(pieces(&marked))
}

fn pieces(marked: &str) -> Vec<Piece> {
    let mut all = Vec::new();
    for (index, part) in marked.split(MARKS[0]).enumerate() {
        let (hit, rest) = match part.split_once(MARKS[1]) {
            Some((hit, rest)) if index > 0 => (hit, rest),
            _ => ("", part),
        };
        for (text, is_hit) in [(hit, true), (rest, false)] {
            let text = text.replace(MARKS, "");
            if !text.is_empty() {
                all.push(Piece { text, is_hit });
            }
        }
    }
    all
}

/// Entries that were read and cannot be found yet.
pub fn behind(connection: &Connection) -> Result<u64> {
    let sql = "SELECT max(0, coalesce((SELECT max(id) FROM entries), 0) - entry) FROM search_progress";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

#[cfg(test)]
mod tests;
