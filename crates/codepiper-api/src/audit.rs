//! The audit log on the wire.

use codepiper_core::ids::SessionId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most entries one request gives.
pub const AUDIT_MAX: u32 = 1_000;

/// The longest that a request waits for a new entry, in seconds.
pub const AUDIT_WAIT_MAX: u32 = 60;

/// An entry: what was decided, answered or changed, by whom or what; and what became of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its number in the chain.
    pub id: u64,
    /// When.
    pub timestamp: Timestamp,
    /// The session it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// `decision`, `answer`, `outcome` or `change`.
    pub kind: String,
    /// The tool of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// `allow`, `deny`, `ask`, `none`; of an answer how the question was closed; of an outcome `ran` or `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// The rest: arguments, digest, the agent's id of the call (`call`), rule, person, reason, times. Secrets are masked.
    pub body: Value,
    /// SHA-256 of the entry before and this one.
    pub hash: String,
}

/// `GET /audit`. All fields are optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditQuery {
    /// Only of this session: id, name or prefix; a whole id also after the session has left the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Only of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only with this decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// Only about this call: the agent's id of it, or its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// Only with a greater number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Only with a smaller number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Only at or after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// At most so many, up to [`AUDIT_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The last ones instead of the first ones; they still come in ascending order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<bool>,
    /// When there are none, wait for one, so many seconds up to [`AUDIT_WAIT_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<u32>,
}

/// A page of entries, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryPage {
    /// They.
    pub entries: Vec<Entry>,
    /// Whether there are more in the direction of the query.
    pub has_more: bool,
}

/// `GET /audit/verify`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Entries that were checked.
    pub entries: u64,
    /// The last good entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    /// The first entry that does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<Broken>,
}

/// The end of the chain. Written down elsewhere, it shows whether the end was cut off later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The entry's number.
    pub id: u64,
    /// Its hash.
    pub hash: String,
}

/// Where the chain does not hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Broken {
    /// The entry's number.
    pub id: u64,
    /// What is wrong with it.
    pub why: String,
}
