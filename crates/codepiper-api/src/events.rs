//! The event log on the wire.

use codepiper_core::ids::SessionId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most events one request gives.
pub const EVENTS_MAX: u32 = 1_000;

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Its number in the one sequence over all sessions.
    pub id: u64,
    /// Whose.
    pub session_id: SessionId,
    /// When.
    pub timestamp: Timestamp,
    /// Where from: `hook`, `transcript`, `pty`, `statusline`, `session`.
    pub source: String,
    /// What.
    #[serde(rename = "type")]
    pub kind: String,
    /// The details.
    pub payload: Value,
}

/// `GET /sessions/:id/events` and `GET /events`. All fields are optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventQuery {
    /// Only from this source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Only of this type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only with a greater number. (The original's name for it.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Only with a smaller number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Only at or after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_time: Option<Timestamp>,
    /// At most so many, up to [`EVENTS_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `asc` (default) gives the first ones, `desc` the last ones, newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
}

/// A page of events.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventPage {
    /// In the order asked for.
    pub events: Vec<Event>,
    /// Whether there are more beyond the limit.
    pub has_more: bool,
}
