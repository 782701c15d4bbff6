//! Env sets as they are kept: sealed. The store has no key and cannot look inside.

use super::{Connection, Result, StoreError, Transaction, from_ms, to_ms};
use codepiper_core::ids::EnvSetId;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row};

/// A set as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the columns of the migration, described there
pub struct EnvSetRow {
    pub id: EnvSetId,
    pub name: String,
    pub description: Option<String>,
    pub key: String,
    pub nonce: Vec<u8>,
    pub sealed: Vec<u8>,
    pub var_count: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "id, name, description, key, nonce, sealed, var_count, created_at, updated_at";

/// All sets, by name.
pub fn list(connection: &Connection) -> Result<Vec<EnvSetRow>> {
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM env_sets ORDER BY name"))?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

/// Stores a new set. `false` when the id is taken; a name that is taken is an error, so ask first.
pub fn insert(tx: &Transaction<'_>, row: &EnvSetRow) -> Result<bool> {
    let sql = format!(
        "INSERT INTO env_sets ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING"
    );
    Ok(tx.execute(&sql, values(row))? == 1)
}

/// Writes everything of a set that can change.
pub fn update(tx: &Transaction<'_>, row: &EnvSetRow) -> Result<()> {
    let changed = tx.execute(
        "UPDATE env_sets SET name = ?2, description = ?3, key = ?4, nonce = ?5, sealed = ?6, var_count = ?7,
             created_at = ?8, updated_at = ?9
         WHERE id = ?1",
        values(row),
    )?;
    if changed == 1 { Ok(()) } else { Err(StoreError::Missing(format!("env set {}", row.id))) }
}

/// Removes a set.
pub fn remove(tx: &Transaction<'_>, id: &EnvSetId) -> Result<()> {
    match tx.execute("DELETE FROM env_sets WHERE id = ?1", [id.as_str()])? {
        1 => Ok(()),
        _ => Err(StoreError::Missing(format!("env set {id}"))),
    }
}

/// The id of the key for what is sealed from now on.
pub fn current_key(connection: &Connection) -> Result<Option<String>> {
    Ok(connection.query_row("SELECT key FROM env_set_key", [], |row| row.get(0)).optional()?)
}

/// Says which key it is.
pub fn set_current_key(tx: &Transaction<'_>, key: &str) -> Result<()> {
    tx.execute(
        "INSERT INTO env_set_key VALUES (1, ?1) ON CONFLICT (only) DO UPDATE SET key = excluded.key",
        [key],
    )?;
    Ok(())
}

fn values(row: &EnvSetRow) -> [Box<dyn rusqlite::ToSql>; 9] {
    [
        Box::new(row.id.to_string()),
        Box::new(row.name.clone()),
        Box::new(row.description.clone()),
        Box::new(row.key.clone()),
        Box::new(row.nonce.clone()),
        Box::new(row.sealed.clone()),
        Box::new(row.var_count),
        Box::new(to_ms(row.created_at)),
        Box::new(to_ms(row.updated_at)),
    ]
}

fn read(row: &Row<'_>) -> Result<EnvSetRow> {
    let id: String = row.get(0)?;
    Ok(EnvSetRow {
        id: EnvSetId::parse(&id)
            .ok_or_else(|| StoreError::Corrupt { what: "env set".into(), why: format!("`{id}` is no id") })?,
        name: row.get(1)?,
        description: row.get(2)?,
        key: row.get(3)?,
        nonce: row.get(4)?,
        sealed: row.get(5)?,
        var_count: row.get(6)?,
        created_at: from_ms("env set", row.get(7)?)?,
        updated_at: from_ms("env set", row.get(8)?)?,
    })
}
