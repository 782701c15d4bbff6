//! Policies and sets of them. Their rules were checked before they came here.

use super::{Connection, Result, StoreError, Transaction, from_ms, to_ms};
use codepiper_core::ids::SessionId;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row};
use serde_json::Value;

/// A policy as stored.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the columns of the migration, described there
pub struct PolicyRow {
    pub id: String,
    pub body: Value,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A policy set with its members, in the order of their ids.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the columns of the migration, described there
pub struct SetRow {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub is_default: bool,
    pub policies: Vec<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Writes a policy, new or changed.
pub fn put(tx: &Transaction<'_>, row: &PolicyRow) -> Result<()> {
    tx.execute(
        "INSERT INTO policies VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (id) DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at",
        (&row.id, row.body.to_string(), to_ms(row.created_at), to_ms(row.updated_at)),
    )?;
    Ok(())
}

/// Removes a policy, from its sets too. `false` when there was none.
pub fn remove(tx: &Transaction<'_>, id: &str) -> Result<bool> {
    tx.execute("DELETE FROM policy_set_members WHERE policy_id = ?1", [id])?;
    Ok(tx.execute("DELETE FROM policies WHERE id = ?1", [id])? == 1)
}

/// One policy.
pub fn get(connection: &Connection, id: &str) -> Result<Option<PolicyRow>> {
    let mut statement =
        connection.prepare_cached("SELECT id, body, created_at, updated_at FROM policies WHERE id = ?1")?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(read_policy).transpose()
}

/// All policies, the newest first.
pub fn list(connection: &Connection) -> Result<Vec<PolicyRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, body, created_at, updated_at FROM policies ORDER BY created_at DESC, id",
    )?;
    let mut rows = statement.query([])?;
    let mut policies = Vec::new();
    while let Some(row) = rows.next()? {
        policies.push(read_policy(row)?);
    }
    Ok(policies)
}

fn read_policy(row: &Row<'_>) -> Result<PolicyRow> {
    let id: String = row.get(0)?;
    let body: String = row.get(1)?;
    let body = serde_json::from_str(&body)
        .map_err(|why| StoreError::Corrupt { what: format!("policy {id}"), why: why.to_string() })?;
    Ok(PolicyRow {
        id,
        body,
        created_at: from_ms("policy", row.get(2)?)?,
        updated_at: from_ms("policy", row.get(3)?)?,
    })
}

/// Writes a set with its members, new or changed. A new default set takes the place of the old one.
pub fn put_set(tx: &Transaction<'_>, set: &SetRow) -> Result<()> {
    if set.is_default {
        tx.execute("UPDATE policy_sets SET is_default = 0 WHERE id <> ?1", [&set.id])?;
    }
    tx.execute(
        "INSERT INTO policy_sets VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description,
             is_default = excluded.is_default, updated_at = excluded.updated_at",
        (&set.id, &set.name, &set.description, set.is_default, to_ms(set.created_at), to_ms(set.updated_at)),
    )?;
    tx.execute("DELETE FROM policy_set_members WHERE set_id = ?1", [&set.id])?;
    for policy in &set.policies {
        tx.execute("INSERT INTO policy_set_members VALUES (?1, ?2)", (&set.id, policy))?;
    }
    Ok(())
}

/// Removes a set; its policies stay. `false` when there was none.
pub fn remove_set(tx: &Transaction<'_>, id: &str) -> Result<bool> {
    tx.execute("DELETE FROM policy_set_members WHERE set_id = ?1", [id])?;
    tx.execute("DELETE FROM session_policy_sets WHERE set_id = ?1", [id])?;
    Ok(tx.execute("DELETE FROM policy_sets WHERE id = ?1", [id])? == 1)
}

/// All sets, by name.
pub fn sets(connection: &Connection) -> Result<Vec<SetRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, name, description, is_default, created_at, updated_at FROM policy_sets ORDER BY name",
    )?;
    let mut members = connection
        .prepare_cached("SELECT policy_id FROM policy_set_members WHERE set_id = ?1 ORDER BY policy_id")?;
    let mut rows = statement.query([])?;
    let mut sets = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let policies = members.query_map([&id], |row| row.get(0))?.collect::<Result<_, _>>()?;
        sets.push(SetRow {
            id,
            name: row.get(1)?,
            description: row.get(2)?,
            is_default: row.get(3)?,
            policies,
            created_at: from_ms("policy set", row.get(4)?)?,
            updated_at: from_ms("policy set", row.get(5)?)?,
        });
    }
    Ok(sets)
}

/// Which session has which sets: pairs of session and set.
pub fn attached(connection: &Connection) -> Result<Vec<(SessionId, String)>> {
    let mut statement = connection
        .prepare_cached("SELECT session, set_id FROM session_policy_sets ORDER BY session, set_id")?;
    let mut rows = statement.query([])?;
    let mut pairs = Vec::new();
    while let Some(row) = rows.next()? {
        let session: String = row.get(0)?;
        let session = SessionId::parse(&session).map_err(|why| StoreError::Corrupt {
            what: "policy set of a session".into(),
            why: why.to_string(),
        })?;
        pairs.push((session, row.get(1)?));
    }
    Ok(pairs)
}

/// Gives a session a set. `false` when it had it.
pub fn attach(tx: &Transaction<'_>, session: &SessionId, set: &str) -> Result<bool> {
    let sql = "INSERT INTO session_policy_sets VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    Ok(tx.execute(sql, (session.as_str(), set))? == 1)
}

/// Takes a set from a session. `false` when it did not have it.
pub fn detach(tx: &Transaction<'_>, session: &SessionId, set: &str) -> Result<bool> {
    let sql = "DELETE FROM session_policy_sets WHERE session = ?1 AND set_id = ?2";
    Ok(tx.execute(sql, (session.as_str(), set))? == 1)
}

/// Takes all its sets from a session.
pub fn detach_all(tx: &Transaction<'_>, session: &SessionId) -> Result<()> {
    tx.execute("DELETE FROM session_policy_sets WHERE session = ?1", [session.as_str()])?;
    Ok(())
}

/// Takes the sets from what is no session on the list: a start that failed half-way. Not while one is being started.
pub fn detach_from_strangers(tx: &Transaction<'_>) -> Result<()> {
    tx.execute(
        "DELETE FROM session_policy_sets
         WHERE session NOT IN (SELECT id FROM sessions WHERE removed_at IS NULL)",
        [],
    )?;
    Ok(())
}

/// The id of the default set.
pub fn default_set(connection: &Connection) -> Result<Option<String>> {
    let sql = "SELECT id FROM policy_sets WHERE is_default = 1";
    Ok(connection.query_row(sql, [], |row| row.get(0)).optional()?)
}
