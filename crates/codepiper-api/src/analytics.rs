//! What agents took and did, on the wire. Paths and the first fields of each answer are the original's; what is ours
//! stands beside them.
//!
//! Money is in US dollars. Where tokens have no price there is no cost: `null` where none has one, and beside a sum the
//! number of tokens that are not in it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Rows that one answer gives, unless said otherwise.
pub const ROWS: u32 = 50;

/// The most rows of one answer.
pub const ROWS_MAX: u32 = 1_000;

/// The tools that `GET /analytics/tool-usage` gives, unless said otherwise: as many as the original.
pub const TOOLS: u32 = 15;

/// The query of everything below `/analytics`. All fields are optional; not all answers know all filters, and one that
/// is not known is refused.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnalyticsQuery {
    /// `today`, `7d`, `30d` or `all`: days from midnight on, today included. Anything else, and nothing, is `7d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<String>,
    /// From this time on, in place of a range: `2026-01-31`, `7d`, `yesterday`, …. The quarter hour counts as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Up to this time; else up to now. A day means its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The time zone in which days begin, as in `Europe/Berlin`; else that of the daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tz: Option<String>,
    /// Of `GET /analytics/usage`: what to sort by; see [`BY`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Of answers over time: `hour`, `day`, `week` or `month`; else days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    /// Only of this session: id, name or prefix; a whole id also after the session has left the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Only of this provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Only of this model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Only in this workspace (its id or name), or in this folder and below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// At most so many rows, up to [`ROWS_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// What usage can be sorted by.
pub const BY: [&str; 11] = [
    "model",
    "provider",
    "session",
    "conversation",
    "folder",
    "repo",
    "branch",
    "hour",
    "day",
    "week",
    "month",
];

/// Tokens and what they cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    /// Replies of models.
    pub requests: u64,
    /// All tokens, each once.
    pub tokens: u64,
    /// Read at the full price.
    pub input: u64,
    /// Written by the model, with its reasoning.
    pub output: u64,
    /// Of `output`, what it only thought.
    pub reasoning: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Written to the cache for five minutes, or for a time that nobody told.
    #[serde(rename = "cacheWrite5m")]
    pub cache_write_5m: u64,
    /// Written to the cache for an hour.
    #[serde(rename = "cacheWrite1h")]
    pub cache_write_1h: u64,
    /// Of a hundred tokens that models were given, those that came from the cache.
    pub cache_hit_rate: f64,
    /// What those with a price cost, in US dollars; `null` where none has one.
    pub cost: Option<f64>,
    /// Tokens without a price: they are not in `cost`.
    pub unpriced: u64,
}

/// `GET /analytics/usage`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// The range that was summed.
    #[serde(flatten)]
    pub range: Range,
    /// What it is sorted by.
    pub by: String,
    /// Pieces of time in their order; else those with the most tokens first.
    pub rows: Vec<UsageRow>,
    /// How many rows more there would be.
    pub more: u64,
    /// What is in those.
    pub rest: Amounts,
    /// All of it.
    pub total: Amounts,
}

/// A range as it was understood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Range {
    /// From then on.
    pub since: Timestamp,
    /// Up to then.
    pub until: Timestamp,
    /// Where days begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// One model, session, folder, day, ….
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageRow {
    /// The model, the session's id, the folder, the day, …; `null` for what belongs to none: work outside of our
    /// sessions, or outside of repositories.
    pub key: Option<String>,
    /// What a person calls it: a session's name, a conversation's title; of a branch the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The provider, of models, sessions and conversations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Of a piece of time, when it begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// What it took.
    #[serde(flatten)]
    pub amounts: Amounts,
}

/// `GET /analytics/overview`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// Sessions that were started in the range.
    pub sessions_count: u64,
    /// Sessions that run now.
    pub active_sessions: u64,
    /// All tokens.
    pub total_tokens: u64,
    /// Read at the full price.
    pub input_tokens: u64,
    /// Written.
    pub output_tokens: u64,
    /// Read from the cache.
    pub cache_read_tokens: u64,
    /// Written to the cache.
    pub cache_creation_tokens: u64,
    /// What persons and agents said.
    pub total_messages: u64,
    /// Of a hundred tokens that models were given, those that came from the cache; one decimal.
    pub cache_hit_rate: f64,
    /// What those with a price cost, two decimals; `null` where none has one.
    pub cost_estimate: Option<f64>,
    /// The same in full, with what is not in it.
    pub usage: Amounts,
    /// Calls of tools.
    pub tool_calls: u64,
    /// Those that failed.
    pub tool_failures: u64,
    /// The range.
    #[serde(flatten)]
    pub range: Range,
}

/// A piece of time of `GET /analytics/token-usage`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenUsage {
    /// The day; else the hour, the Monday of the week, the month.
    pub date: String,
    /// Read at the full price.
    pub prompt: u64,
    /// Written.
    pub completion: u64,
    /// Written to the cache.
    pub cache_creation: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// When it begins.
    pub start: Timestamp,
    /// In full.
    pub usage: Amounts,
}

/// A model of `GET /analytics/tokens-by-model`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelUsage {
    /// The model.
    pub model: String,
    /// All tokens.
    pub tokens: u64,
    /// Read at the full price.
    pub prompt_tokens: u64,
    /// Written.
    pub completion_tokens: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Written to the cache.
    pub cache_creation: u64,
    /// Replies.
    pub requests: u64,
    /// What it cost, two decimals; `null` for a model without a price.
    #[serde(rename = "costEstimate")]
    pub cost_estimate: Option<f64>,
    /// Who runs it.
    pub provider: Option<String>,
    /// In full.
    pub usage: Amounts,
}

/// A piece of time of `GET /analytics/activity-timeline`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// The day; else the hour, the Monday of the week, the month.
    pub date: String,
    /// What persons said.
    pub user_messages: u64,
    /// What agents said.
    pub assistant_messages: u64,
    /// Both.
    pub total: u64,
    /// When it begins.
    pub start: Timestamp,
}

/// A provider of `GET /analytics/sessions-by-provider`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProviderSessions {
    /// Its id.
    pub provider: String,
    /// Sessions that were started in the range.
    pub count: u64,
}

/// A tool of `GET /analytics/tool-usage`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolUsage {
    /// Its name.
    pub tool: String,
    /// Calls.
    pub count: u64,
    /// Those that did what they should.
    pub ok: u64,
    /// Those that ran and failed.
    pub failed: u64,
    /// Those that were not allowed to run.
    pub refused: u64,
    /// Those that somebody stopped.
    pub interrupted: u64,
    /// Of a hundred that ran to an end, those that failed; one decimal. `null` while none did.
    pub failure_rate: Option<f64>,
    /// How long it ran on average, in milliseconds, where records say so.
    pub average_ms: Option<f64>,
    /// How long the longest ran.
    pub longest_ms: Option<u64>,
}

/// A day and a decision of `GET /analytics/policy-decisions`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyDecisions {
    /// The day; else the hour, the Monday of the week, the month.
    pub date: String,
    /// `allow`, `deny` or `ask`; what no rule decided is an `ask`, as in the original.
    pub decision: String,
    /// How many.
    pub count: u64,
    /// When the piece of time begins.
    pub start: Timestamp,
}
