//! Conversations on the wire.

use crate::analytics::Amounts;
use codepiper_core::transcript::Kind;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The most entries of one page: each may have as much text as is kept of one.
pub const ENTRIES_MAX: u32 = 500;

/// Entries of a page, unless said otherwise.
pub const ENTRIES: u32 = 100;

/// The most conversations of one page.
pub const CONVERSATIONS_MAX: u32 = 200;

/// Conversations of a page, unless said otherwise.
pub const CONVERSATIONS: u32 = 50;

/// The longest that a request waits for a new entry, in seconds.
pub const ENTRIES_WAIT_MAX: u32 = 60;

/// A conversation of an agent, in a session of ours or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conversation {
    /// The agent's own id of it.
    pub id: String,
    /// The number by which entries name it.
    pub number: i64,
    /// The provider.
    pub provider: String,
    /// The agent's id of the one that it was forked from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The session of ours that went on with it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The folder it was in last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The branch there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The repository's root there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// The model it had last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its first record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_at: Option<Timestamp>,
    /// Its last record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Timestamp>,
    /// What it took. A reply that stands in several copies of a conversation counts in the first.
    pub usage: Amounts,
}

/// Something said or done in a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its number, over all conversations; later ones were read later.
    pub id: i64,
    /// The number of its conversation.
    pub conversation: i64,
    /// The same in every copy of the conversation.
    pub uid: String,
    /// When.
    pub timestamp: Timestamp,
    /// The sub-agent whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What it is.
    pub body: Kind,
    /// What a person reads. It is what the agent wrote: hostile, and not for a terminal or a page as it is.
    pub text: String,
}

/// `GET /sessions/:id/conversation` and `GET /conversations/:id`. All fields are optional; without `before` and `after`
/// it is the last page.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EntryQuery {
    /// The last ones before this entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
    /// The first ones after this entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
    /// At most so many, up to [`ENTRIES_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Of this sub-agent; `all` for those of the conversation and of all its sub-agents; else only of the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// With `after`: when there are none, wait for one, so many seconds up to [`ENTRIES_WAIT_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<u32>,
}

/// A page of entries, in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryPage {
    /// The conversations they are of, the last first. A session has several after the agent began anew in it.
    pub conversations: Vec<Conversation>,
    /// They. What stands in several of the conversations comes once.
    pub entries: Vec<Entry>,
    /// Whether there are more in the direction of the query.
    pub has_more: bool,
}

/// `GET /conversations`. All fields are optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConversationQuery {
    /// Only of this session: id, name or prefix; a whole id also after the session has left the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Only of this provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Only in this workspace (its id or name), or in this folder and below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// Only with a record at or after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Only with a record before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The time zone in which `since` and `until` are meant; else that of the daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tz: Option<String>,
    /// Only those that come behind this one in the list, by its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<i64>,
    /// At most so many, up to [`CONVERSATIONS_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Conversations, the last one first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConversationList {
    /// They.
    pub conversations: Vec<Conversation>,
    /// Whether there are more.
    pub has_more: bool,
}
