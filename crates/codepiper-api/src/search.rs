//! The search in conversations, on the wire.

use crate::conversations::Conversation;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The most hits of one answer.
pub const HITS_MAX: u32 = 200;

/// Hits of an answer, unless said otherwise.
pub const HITS: u32 = 20;

/// The roles in which something is said.
pub const ROLES: [&str; 5] = ["user", "assistant", "thinking", "tool", "system"];

/// `GET /search`. All fields but `q` are optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchRequest {
    /// Words that must all occur, `"words together"`, `-without`, `begin*`.
    pub q: String,
    /// Only in conversations of this session: id, name or prefix; a whole id also after it has left the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Only in those of this provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Only in this workspace (its id or name), or in this folder and below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// Only in this role; see [`ROLES`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Only at or after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Only before this time; a day means its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The time zone in which `since` and `until` are meant; else that of the daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tz: Option<String>,
    /// At most so many, up to [`HITS_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// What was found, the best first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// Hits. What stands in several copies of a conversation comes once.
    pub hits: Vec<Hit>,
    /// The conversations they are in.
    pub conversations: Vec<Conversation>,
    /// Whether there are more.
    pub has_more: bool,
    /// Entries that were read and cannot be found yet.
    pub behind: u64,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hit {
    /// The entry's number.
    pub entry: i64,
    /// The number of its conversation.
    pub conversation: i64,
    /// When.
    pub timestamp: Timestamp,
    /// In which role.
    pub role: String,
    /// The sub-agent whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The text around what was found, in pieces.
    pub snippet: Vec<Piece>,
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Piece {
    /// It, as the agent wrote it.
    pub text: String,
    /// Whether it is what was looked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hit: bool,
}
