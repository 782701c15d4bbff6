//! Sessions: one row each, from before its process starts until it leaves the list, and after.

use super::{Connection, Result, StoreError, Transaction, from_ms, to_ms};
use codepiper_core::ids::SessionId;
use codepiper_core::session::Standing;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row};
use serde_json::Value;

/// A session as stored. `launch` and `process` are the daemon's own JSON: the store does not look inside.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the columns of the migration, described there
pub struct SessionRow {
    pub id: SessionId,
    pub name: Option<String>,
    pub provider: String,
    pub cwd: String,
    pub standing: Standing,
    pub launch: Value,
    pub provider_session: Option<String>,
    pub transcript_path: Option<String>,
    pub model: Option<String>,
    pub process: Option<Value>,
    pub end_requested: Option<String>,
    pub cols: u16,
    pub rows: u16,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "id, name, provider, cwd, standing, launch, provider_session, transcript_path, model, \
                       process, end_requested, cols, rows, created_at, updated_at";

/// Stores a new session. `false` when the id is taken, by a removed session too: ids are never used again.
pub fn insert(tx: &Transaction<'_>, row: &SessionRow) -> Result<bool> {
    let sql = format!(
        "INSERT INTO sessions ({COLUMNS}, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
         ON CONFLICT (id) DO NOTHING"
    );
    let rows = tx.prepare_cached(&sql)?.execute(rusqlite::params![
        row.id.as_str(),
        row.name,
        row.provider,
        row.cwd,
        json(&row.standing),
        row.launch.to_string(),
        row.provider_session,
        row.transcript_path,
        row.model,
        row.process.as_ref().map(Value::to_string),
        row.end_requested,
        row.cols,
        row.rows,
        to_ms(row.created_at),
        to_ms(row.updated_at),
        row.standing.state.word(),
    ])?;
    Ok(rows == 1)
}

/// Writes everything of a session that can change.
pub fn update(tx: &Transaction<'_>, row: &SessionRow) -> Result<()> {
    let changed = tx
        .prepare_cached(
            "UPDATE sessions SET name = ?2, standing = ?3, state = ?4, launch = ?5, provider_session = ?6,
                 transcript_path = ?7, model = ?8, process = ?9, end_requested = ?10, cols = ?11, rows = ?12,
                 updated_at = ?13, cwd = ?14
             WHERE id = ?1 AND removed_at IS NULL",
        )?
        .execute(rusqlite::params![
            row.id.as_str(),
            row.name,
            json(&row.standing),
            row.standing.state.word(),
            row.launch.to_string(),
            row.provider_session,
            row.transcript_path,
            row.model,
            row.process.as_ref().map(Value::to_string),
            row.end_requested,
            row.cols,
            row.rows,
            to_ms(row.updated_at),
            row.cwd,
        ])?;
    if changed == 1 { Ok(()) } else { Err(StoreError::Missing(format!("session {}", row.id))) }
}

/// Takes a session off the list; its row and its events stay.
pub fn remove(tx: &Transaction<'_>, id: &SessionId, at: Timestamp) -> Result<()> {
    let changed = tx.execute(
        "UPDATE sessions SET removed_at = ?2, process = NULL WHERE id = ?1 AND removed_at IS NULL",
        (id.as_str(), to_ms(at)),
    )?;
    if changed == 1 { Ok(()) } else { Err(StoreError::Missing(format!("session {id}"))) }
}

/// The sessions on the list, oldest first.
pub fn list(connection: &Connection) -> Result<Vec<SessionRow>> {
    let sql = format!("SELECT {COLUMNS} FROM sessions WHERE removed_at IS NULL ORDER BY created_at, id");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    let mut sessions = Vec::new();
    while let Some(row) = rows.next()? {
        sessions.push(read(row)?);
    }
    Ok(sessions)
}

/// One session on the list.
pub fn get(connection: &Connection, id: &SessionId) -> Result<Option<SessionRow>> {
    let sql = format!("SELECT {COLUMNS} FROM sessions WHERE removed_at IS NULL AND id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let row = statement.query_row([id.as_str()], |row| Ok(read(row))).optional()?;
    row.transpose()
}

/// Provider, folder and launch of a session, also of one that has left the list.
pub fn origin(connection: &Connection, id: &SessionId) -> Result<Option<(String, String, Value)>> {
    let sql = "SELECT provider, cwd, launch FROM sessions WHERE id = ?1";
    let found = connection.query_row(sql, [id.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let Some((provider, cwd, launch)) = found.optional()? else { return Ok(None) };
    let launch: String = launch;
    let launch = serde_json::from_str(&launch)
        .map_err(|why| StoreError::Corrupt { what: format!("session {id}"), why: why.to_string() })?;
    Ok(Some((provider, cwd, launch)))
}

fn json(standing: &Standing) -> String {
    serde_json::to_string(standing).expect("a standing has only string keys")
}

fn read(row: &Row<'_>) -> Result<SessionRow> {
    let id: String = row.get(0)?;
    let corrupt = |why: String| StoreError::Corrupt { what: format!("session {id}"), why };
    let value = |text: String| serde_json::from_str::<Value>(&text).map_err(|why| corrupt(why.to_string()));
    Ok(SessionRow {
        id: SessionId::parse(&id).map_err(|why| corrupt(why.to_string()))?,
        name: row.get(1)?,
        provider: row.get(2)?,
        cwd: row.get(3)?,
        standing: serde_json::from_str(&row.get::<_, String>(4)?).map_err(|why| corrupt(why.to_string()))?,
        launch: value(row.get(5)?)?,
        provider_session: row.get(6)?,
        transcript_path: row.get(7)?,
        model: row.get(8)?,
        process: row.get::<_, Option<String>>(9)?.map(value).transpose()?,
        end_requested: row.get(10)?,
        cols: row.get(11)?,
        rows: row.get(12)?,
        created_at: from_ms("session", row.get(13)?)?,
        updated_at: from_ms("session", row.get(14)?)?,
    })
}
