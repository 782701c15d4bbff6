//! Workspaces as they are kept. `defaults` is the daemon's own JSON: the store does not look inside.

use super::{Connection, Result, StoreError, Transaction, from_ms, to_ms};
use codepiper_core::ids::WorkspaceId;
use jiff::Timestamp;
use rusqlite::Row;
use serde_json::Value;

/// A workspace as stored.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the columns of the migration, described there
pub struct WorkspaceRow {
    pub id: WorkspaceId,
    pub name: String,
    pub path: String,
    pub defaults: Value,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "id, name, path, defaults, created_at, updated_at";

/// All workspaces, by name.
pub fn list(connection: &Connection) -> Result<Vec<WorkspaceRow>> {
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM workspaces ORDER BY name"))?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

/// Stores a new workspace. `false` when the id is taken; a name that is taken is an error, so ask first.
pub fn insert(tx: &Transaction<'_>, row: &WorkspaceRow) -> Result<bool> {
    let sql = format!(
        "INSERT INTO workspaces ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO NOTHING"
    );
    let (created, updated) = (to_ms(row.created_at), to_ms(row.updated_at));
    let values = (row.id.as_str(), &row.name, &row.path, row.defaults.to_string(), created, updated);
    Ok(tx.execute(&sql, values)? == 1)
}

/// Writes everything of a workspace that can change.
pub fn update(tx: &Transaction<'_>, row: &WorkspaceRow) -> Result<()> {
    let changed = tx.execute(
        "UPDATE workspaces SET name = ?2, path = ?3, defaults = ?4, updated_at = ?5 WHERE id = ?1",
        (row.id.as_str(), &row.name, &row.path, row.defaults.to_string(), to_ms(row.updated_at)),
    )?;
    if changed == 1 { Ok(()) } else { Err(StoreError::Missing(format!("workspace {}", row.id))) }
}

/// Removes a workspace; its folder is not ours.
pub fn remove(tx: &Transaction<'_>, id: &WorkspaceId) -> Result<()> {
    match tx.execute("DELETE FROM workspaces WHERE id = ?1", [id.as_str()])? {
        1 => Ok(()),
        _ => Err(StoreError::Missing(format!("workspace {id}"))),
    }
}

fn read(row: &Row<'_>) -> Result<WorkspaceRow> {
    let id: String = row.get(0)?;
    let corrupt = |why: String| StoreError::Corrupt { what: format!("workspace {id}"), why };
    Ok(WorkspaceRow {
        id: WorkspaceId::parse(&id).ok_or_else(|| corrupt("that is no id".into()))?,
        name: row.get(1)?,
        path: row.get(2)?,
        defaults: serde_json::from_str(&row.get::<_, String>(3)?).map_err(|why| corrupt(why.to_string()))?,
        created_at: from_ms("workspace", row.get(4)?)?,
        updated_at: from_ms("workspace", row.get(5)?)?,
    })
}
