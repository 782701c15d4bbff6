//! Settings of the daemon: names and JSON values.

use super::{Connection, Result, StoreError, Transaction};
use rusqlite::OptionalExtension;
use serde_json::Value;

/// The value, or `None` when it was never set.
pub fn get(connection: &Connection, name: &str) -> Result<Option<Value>> {
    let text: Option<String> = connection
        .query_row("SELECT value FROM settings WHERE name = ?1", [name], |row| row.get(0))
        .optional()?;
    text.map(|text| {
        serde_json::from_str(&text)
            .map_err(|why| StoreError::Corrupt { what: format!("setting {name}"), why: why.to_string() })
    })
    .transpose()
}

/// Sets the value.
pub fn set(tx: &Transaction<'_>, name: &str, value: &Value) -> Result<()> {
    tx.execute(
        "INSERT INTO settings VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value.to_string()),
    )?;
    Ok(())
}
