//! Conversations as they are read: which there are, and pages of what was said in them.

use super::analytics::{SUMS, SUMS_COLUMNS, Sums, read_sums};
use super::{Connection, Result, from_ms, to_ms};
use codepiper_core::ids::SessionId;
use codepiper_core::transcript::Kind;
use jiff::Timestamp;
use rusqlite::Row;

/// A conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredConversation {
    /// Its number in the store.
    pub id: i64,
    /// The provider.
    pub provider: String,
    /// The agent's own id of it.
    pub provider_id: String,
    /// The agent's id of the one that it was forked from.
    pub parent: Option<String>,
    /// The session of ours that went on with it last.
    pub session: Option<String>,
    /// What it is called.
    pub title: Option<String>,
    /// The folder it was in last.
    pub cwd: Option<String>,
    /// The branch there.
    pub branch: Option<String>,
    /// The repository's root there.
    pub repo: Option<String>,
    /// The model it had last.
    pub model: Option<String>,
    /// Its first record.
    pub first_at: Option<Timestamp>,
    /// Its last record.
    pub last_at: Option<Timestamp>,
    /// What it took.
    pub sums: Sums,
}

/// Which conversations to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this session.
    pub session: Option<SessionId>,
    /// Only of this provider.
    pub provider: Option<String>,
    /// Only in this folder or below it, or in a worktree of a repository there.
    pub folder: Option<String>,
    /// Only with a record at or after this time.
    pub since: Option<Timestamp>,
    /// Only with a record before this time.
    pub until: Option<Timestamp>,
    /// Only those that come after this one in the list.
    pub behind: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// Conversations, the last one first, and whether there are more beyond the limit.
pub fn list(connection: &Connection, filter: &Filter) -> Result<(Vec<StoredConversation>, bool)> {
    let of_session = match &filter.session {
        None => "1".to_owned(),
        Some(session) => one_of("c.id", &of_session(connection, session)?),
    };
    let sql = format!(
        "SELECT c.id FROM conversations c LEFT JOIN places p ON p.id = c.place
         WHERE {of_session} AND (?1 IS NULL OR c.provider = ?1) AND (?2 IS NULL OR {})
           AND (?3 IS NULL OR c.last_at >= ?3) AND (?4 IS NULL OR c.first_at < ?4)
           AND (?5 IS NULL OR (coalesce(c.last_at, 0), c.id) <
                (SELECT coalesce(b.last_at, 0), b.id FROM conversations b WHERE b.id = ?5))
         {NEWEST_FIRST} LIMIT ?6",
        below("p", "?2"),
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(
        (
            &filter.provider,
            &filter.folder,
            filter.since.map(to_ms),
            filter.until.map(to_ms),
            filter.behind,
            u64::from(filter.limit) + 1,
        ),
        |row| row.get(0),
    )?;
    let mut ids: Vec<i64> = rows.collect::<rusqlite::Result<_>>()?;
    let more = ids.len() > filter.limit as usize;
    ids.truncate(filter.limit as usize);
    Ok((get(connection, &ids)?, more))
}

const NEWEST_FIRST: &str = "ORDER BY coalesce(c.last_at, 0) DESC, c.id DESC";

/// The conversations with these numbers, the last one first.
pub fn get(connection: &Connection, ids: &[i64]) -> Result<Vec<StoredConversation>> {
    let sql = format!(
        "SELECT {SUMS}, c.id, c.provider, c.provider_id, c.parent, c.session, c.title, p.cwd, nullif(p.branch, ''),
                p.repo, c.model, c.first_at, c.last_at
         FROM conversations c LEFT JOIN places p ON p.id = c.place
              LEFT JOIN usage_by_work u ON u.conversation = c.id
         WHERE {} GROUP BY c.id {NEWEST_FIRST}",
        one_of("c.id", ids)
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<StoredConversation> {
    const AT: usize = SUMS_COLUMNS;
    let time = |index: usize| -> Result<Option<Timestamp>> {
        row.get::<_, Option<i64>>(index)?.map(|ms| from_ms("conversation", ms)).transpose()
    };
    Ok(StoredConversation {
        sums: read_sums(row, 0)?,
        id: row.get(AT)?,
        provider: row.get(AT + 1)?,
        provider_id: row.get(AT + 2)?,
        parent: row.get(AT + 3)?,
        session: row.get(AT + 4)?,
        title: row.get(AT + 5)?,
        cwd: row.get(AT + 6)?,
        branch: row.get(AT + 7)?,
        repo: row.get(AT + 8)?,
        model: row.get(AT + 9)?,
        first_at: time(AT + 10)?,
        last_at: time(AT + 11)?,
    })
}

/// The most conversations that a name that means several is answered with.
const MEANT_MAX: u32 = 20;

/// The conversations that are meant by an agent's id of them, its beginning, or either behind `provider:`. A whole id
/// means only itself.
pub fn find(connection: &Connection, wanted: &str) -> Result<Vec<i64>> {
    let (provider, id) = match wanted.split_once(':') {
        Some((provider, id)) => (Some(provider), id),
        None => (None, wanted),
    };
    if id.is_empty() {
        return Ok(Vec::new());
    }
    let ask = |rule: &str| -> Result<Vec<i64>> {
        let sql = format!(
            "SELECT id FROM conversations WHERE (?1 IS NULL OR provider = ?1) AND {rule} LIMIT {MEANT_MAX}"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map((provider, id), |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    };
    match ask("provider_id = ?2")? {
        found if found.is_empty() => ask("substr(provider_id, 1, length(?2)) = ?2"),
        found => Ok(found),
    }
}

/// The conversations of a session: those it went on with last, those it paid for, and the one it is known by.
pub fn of_session(connection: &Connection, session: &SessionId) -> Result<Vec<i64>> {
    let sql = "SELECT id FROM conversations WHERE session = ?1
               UNION SELECT conversation FROM usage_by_work WHERE session = ?1 AND session <> ''
               UNION SELECT c.id FROM sessions s
                     JOIN conversations c ON c.provider = s.provider AND c.provider_id = s.provider_session
                     WHERE s.id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([session.as_str()], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Something said or done in a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEntry {
    /// Its number: later ones were read later.
    pub id: i64,
    /// The conversation's number.
    pub conversation: i64,
    /// The same in every copy of a conversation.
    pub uid: String,
    /// The sub-agent.
    pub agent: Option<String>,
    /// When.
    pub at: Timestamp,
    /// What it is.
    pub kind: Kind,
    /// What a person reads.
    pub text: String,
}

/// Whose entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Whose {
    /// The conversation's own.
    #[default]
    Main,
    /// Those of its sub-agents too.
    All,
    /// Those of this sub-agent.
    Agent(String),
}

/// Which entries to read.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Of these conversations; what stands in several of them comes once.
    pub conversations: Vec<i64>,
    /// Whose.
    pub whose: Whose,
    /// The last ones with a smaller number.
    pub before: Option<i64>,
    /// The first ones with a greater number; without it and `before` the last ones of all.
    pub after: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// Entries in ascending order, and whether there are more in the direction of the page.
pub fn page(connection: &Connection, page: &Page) -> Result<(Vec<StoredEntry>, bool)> {
    let order = if page.after.is_some() { "ASC" } else { "DESC" };
    let (whose, agent) = match &page.whose {
        Whose::Main => ("e.agent IS NULL AND ?4 IS NULL", None),
        Whose::All => ("?4 IS NULL", None),
        Whose::Agent(agent) => ("e.agent = ?4", Some(agent)),
    };
    let once = match page.conversations.as_slice() {
        [] | [_] => "1".to_owned(),
        several => format!(
            "NOT EXISTS (SELECT 1 FROM entries o WHERE o.uid = e.uid AND o.id < e.id AND {})",
            one_of("o.conversation", several)
        ),
    };
    // The numbers first: their index is small, and texts are large.
    let sql = format!(
        "SELECT id, conversation, uid, agent, at, body, text FROM entries WHERE id IN (
             SELECT e.id FROM entries e WHERE {} AND e.id < ?1 AND e.id > ?2 AND {whose} AND {once}
             ORDER BY e.id {order} LIMIT ?3)
         ORDER BY id",
        one_of("e.conversation", &page.conversations)
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query((
        page.before.unwrap_or(i64::MAX),
        page.after.unwrap_or(0),
        u64::from(page.limit) + 1,
        agent,
    ))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read_entry(row)?);
    }
    let more = found.len() > page.limit as usize;
    if more && page.after.is_some() {
        found.pop();
    } else if more {
        found.remove(0);
    }
    Ok((found, more))
}

fn read_entry(row: &Row<'_>) -> Result<StoredEntry> {
    let body: String = row.get(5)?;
    // One that cannot be read is no reason to show none of the others.
    let kind = serde_json::from_str(&body).unwrap_or(Kind::Note { note: "unreadable".into() });
    Ok(StoredEntry {
        id: row.get(0)?,
        conversation: row.get(1)?,
        uid: row.get(2)?,
        agent: row.get(3)?,
        at: from_ms("entry", row.get(4)?)?,
        kind,
        text: row.get(6)?,
    })
}

/// The rule that a column has one of these numbers.
pub(crate) fn one_of(column: &str, numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("{column} IN ({})", numbers.join(", "))
}

/// The rule that a place, which the query calls so, is in the folder that this parameter names, or below it: by the
/// folder itself, or by the repository of which it is a worktree.
pub(crate) fn below(place: &str, folder: &str) -> String {
    let rule = |column: &str| {
        format!("substr({column} || '/', 1, length(rtrim({folder}, '/')) + 1) = rtrim({folder}, '/') || '/'")
    };
    format!("({} OR {})", rule(&format!("{place}.cwd")), rule(&format!("{place}.repo")))
}

#[cfg(test)]
mod tests;
