//! Env sets on the wire. Values go in and never come out again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The value of a variable. It does not print.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(pub String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// An env set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvSet {
    /// Eight hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its variables, each with what is shown of its value.
    pub masked_vars: BTreeMap<String, String>,
    /// How many there are.
    pub var_count: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Why its variables cannot be read, when they cannot: then none are shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// `{"envSet": …}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvSetBody {
    /// The set.
    pub env_set: EnvSet,
    /// What to beware of in what was just set, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// `GET /env-sets`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvSetList {
    /// By name.
    pub env_sets: Vec<EnvSet>,
}

/// `POST /env-sets`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateEnvSet {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its variables.
    pub vars: BTreeMap<String, SecretText>,
}

/// `PUT /env-sets/:id`: what is not said stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangeEnvSet {
    /// Another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Another description; an empty one takes it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// All variables anew: those that are not among them go, as in the original.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vars: Option<BTreeMap<String, SecretText>>,
    /// Variables to set; the others stay.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, SecretText>,
    /// Variables to take out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unset: Vec<String>,
}

/// `DELETE /env-sets/:id`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvSetRemoved {
    /// Always true: what failed is an error.
    pub success: bool,
    /// The set that is gone.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Sessions on the list that were started with it. They run on with what they have; to start again they
    /// need a set of that name.
    pub used_by_sessions: Vec<String>,
    /// Workspaces that name it among their defaults.
    pub used_by_workspaces: Vec<String>,
}

/// `POST /env-sets/rotate-key`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RotateKey {
    /// Whether the old key is deleted and not put aside. Backups of before can then not be read.
    pub delete_old: bool,
}

/// A key that was rotated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRotated {
    /// Always true: what failed is an error.
    pub success: bool,
    /// How many sets were sealed anew.
    pub env_sets: u32,
    /// The file of the new key.
    pub key_file: String,
    /// Where older keys were put, for backups of before.
    pub retired: Vec<String>,
}
