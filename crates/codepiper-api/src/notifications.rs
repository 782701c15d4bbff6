//! Notifications on the wire: the inbox, what a person wants to hear, and their handlers.

use codepiper_core::ids::SessionId;
use codepiper_core::notification::Kind;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The most notifications one request gives.
pub const NOTIFICATIONS_MAX: u32 = 200;

/// The longest word for what read a notification, in characters.
pub const READ_SOURCE_MAX: usize = 64;

/// A notification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// Its number. It only grows.
    pub id: u64,
    /// Whose; none when it is about no single session.
    pub session_id: Option<SessionId>,
    /// The session's provider.
    pub provider: Option<String>,
    /// Of which kind.
    pub event_type: Kind,
    /// The entry of the event log that it comes from.
    pub source_event_id: Option<u64>,
    /// What a person reads first.
    pub title: String,
    /// The sentence below it.
    pub body: String,
    /// More for programs.
    pub payload: Value,
    /// When it was told.
    pub created_at: Timestamp,
    /// When it was read.
    pub read_at: Option<Timestamp>,
    /// What read it: a word of the reader's, or `session` when the session went on by itself.
    pub read_source: Option<String>,
}

/// `GET /notifications`, newest first. All fields are optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct NotificationQuery {
    /// Only of this session: id, name or prefix.
    pub session_id: Option<String>,
    /// Only of this kind.
    pub event_type: Option<String>,
    /// Only what nobody read.
    pub unread_only: Option<bool>,
    /// Only older ones.
    pub before: Option<u64>,
    /// Only younger ones.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// A page of notifications.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationPage {
    /// Newest first.
    pub notifications: Vec<Notification>,
    /// Whether there are older ones.
    pub has_more: bool,
}

/// How many nobody read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All.
    pub total_unread: u64,
    /// Those of single sessions.
    pub by_session: BTreeMap<SessionId, u64>,
}

/// `GET /notifications/counts`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsBody {
    /// The counts.
    pub counts: Counts,
}

/// `POST /notifications/:id/read` and `POST /notifications/read`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct MarkRead {
    /// Only those of this session; not for a single notification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// What reads them, in a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_source: Option<String>,
}

/// The answer to one being read.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct OneRead {
    /// Always.
    pub success: bool,
    /// Whether it was unread before.
    pub changed: bool,
}

/// The answer to several being read.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct SomeRead {
    /// Always.
    pub success: bool,
    /// How many were unread before.
    pub updated: u64,
}

/// What is wanted of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prefs {
    /// The session.
    pub session_id: SessionId,
    /// Everything or nothing; none follows the settings.
    pub enabled: Option<bool>,
    /// Single kinds.
    pub events: BTreeMap<Kind, bool>,
    /// What comes of it, with the settings.
    pub effective: BTreeMap<Kind, bool>,
    /// When it was changed.
    pub updated_at: Option<Timestamp>,
}

/// `GET` and `PUT /sessions/:id/notifications/prefs`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefsBody {
    /// What is wanted.
    pub prefs: Prefs,
}

/// What is sent by `GET /notifications/stream`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum NotificationNews {
    /// There is a new one.
    NotificationCreated(Notification),
    /// More or fewer are unread now.
    NotificationCountsUpdated(Counts),
}

/// A handler and how it gets along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HandlerView {
    /// Its name.
    pub name: String,
    /// To what it reacts.
    pub on: Vec<String>,
    /// What it does, without what may be secret.
    pub does: String,
    /// Deliveries that wait.
    pub waiting: u64,
    /// Deliveries that were given up.
    pub failed: u64,
    /// Why the last one failed.
    pub error: Option<String>,
}

/// `GET /notifications/handlers`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerList {
    /// The file that says them.
    pub file: String,
    /// Why the file cannot be used; then the handlers are those that it named before.
    pub fault: Option<String>,
    /// The handlers.
    pub handlers: Vec<HandlerView>,
}

/// `POST /notifications/test`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TestHandlers {
    /// Only this one; else all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerTest {
    /// The handler.
    pub handler: String,
    /// Why it failed; none when it did not.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub took: u64,
}

/// The answer to a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerTests {
    /// One for each handler.
    pub tests: Vec<HandlerTest>,
}
