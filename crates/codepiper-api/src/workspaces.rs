//! Workspaces on the wire: folders with a name, and what a start there takes when nothing else is said.

use codepiper_core::provider::Billing;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

/// A workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workspace {
    /// Eight hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its folder.
    pub path: String,
    /// What a start there takes.
    #[serde(default)]
    pub defaults: WorkspaceDefaults,
    /// The names of the env sets among the defaults, in their order; a set that is gone has its id.
    #[serde(default)]
    pub env_set_names: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What a start in a workspace takes when nothing else is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkspaceDefaults {
    /// The provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Who pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_mode: Option<Billing>,
    /// Env sets, by id (by name too when they come in).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env_set_ids: Vec<String>,
    /// The name of a policy set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_set: Option<String>,
}

/// Changes of defaults: what is not said stays, `null` takes away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)] // the fields of `WorkspaceDefaults`
pub struct ChangeDefaults {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub provider: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub model: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub billing_mode: Option<Option<Billing>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub env_set_ids: Option<Option<Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub policy_set: Option<Option<String>>,
}

/// `null` is something said.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}

/// `{"workspace": …}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceBody {
    /// The workspace.
    pub workspace: Workspace,
}

/// `GET /workspaces`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceList {
    /// By name.
    pub workspaces: Vec<Workspace>,
}

/// `POST /workspaces`, and `PUT /workspaces/:id`, where what is not said stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangeWorkspace {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its folder: an absolute path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What a start there takes.
    #[serde(skip_serializing_if = "is_nothing")]
    pub defaults: ChangeDefaults,
}

fn is_nothing(changes: &ChangeDefaults) -> bool {
    *changes == ChangeDefaults::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_default_is_left_alone_taken_away_or_changed() {
        let check = |body: serde_json::Value, expected: Option<Option<&str>>| {
            let change: ChangeWorkspace = serde_json::from_value(body.clone()).unwrap();
            let model = change.defaults.model.clone();
            assert_eq!(model.as_ref().map(|model| model.as_deref()), expected, "for {body}");
            assert_eq!(serde_json::to_value(change).unwrap(), body);
        };
        check(json!({}), None);
        check(json!({"defaults": {"model": null}}), Some(None));
        check(json!({"defaults": {"model": "opus"}}), Some(Some("opus")));
    }
}
