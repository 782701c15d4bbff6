//! Tokens of single replies of a model, counted so that the same reply counts once wherever it is repeated.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::ops::{Add, Sub};

/// The most tokens of a kind that a reply is believed to have: a thousand times the largest context there is. A forged
/// record must not make the sums of all others overflow.
const REPLY_MAX: u64 = 1_000_000_000;

/// Numbers of tokens, in parts that do not overlap except for `reasoning`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tokens {
    /// Read by the model at the full price: neither from nor into a cache.
    pub input: u64,
    /// Written by the model, its reasoning included.
    pub output: u64,
    /// Of `output`, what it only thought.
    pub reasoning: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Written to a cache that is kept for five minutes, or for a time that nobody told.
    pub cache_write_5m: u64,
    /// Written to a cache that is kept for an hour.
    pub cache_write_1h: u64,
}

impl Tokens {
    /// All of them, each once.
    pub fn total(&self) -> u64 {
        self.prompt().saturating_add(self.output)
    }

    /// All that the model was given: what decides about prices for long contexts.
    pub fn prompt(&self) -> u64 {
        [self.cache_read, self.cache_write_5m, self.cache_write_1h]
            .iter()
            .fold(self.input, |sum, part| sum.saturating_add(*part))
    }
}

impl Tokens {
    /// As far as a reply is believed to have so many.
    pub fn believed(self) -> Self {
        self.with(self, |count, _| count.min(REPLY_MAX))
    }
}

impl Add for Tokens {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }
}

/// What came on top; never below zero.
impl Sub for Tokens {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.with(other, u64::saturating_sub)
    }
}

impl Tokens {
    fn with(self, other: Self, each: fn(u64, u64) -> u64) -> Self {
        Self {
            input: each(self.input, other.input),
            output: each(self.output, other.output),
            reasoning: each(self.reasoning, other.reasoning),
            cache_read: each(self.cache_read, other.cache_read),
            cache_write_5m: each(self.cache_write_5m, other.cache_write_5m),
            cache_write_1h: each(self.cache_write_1h, other.cache_write_1h),
        }
    }
}

/// The usage of one reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// What makes the reply the same in every file: the provider's id of it.
    pub key: String,
    /// When the record says it was.
    pub at: Timestamp,
    /// The model that replied.
    pub model: String,
    /// The tokens.
    pub tokens: Tokens,
    /// How it is billed, where that changes prices.
    pub billing: Tier,
    /// What the record itself says it cost, in US dollars.
    pub vendor_cost: Option<f64>,
}

/// How a request is billed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tier {
    /// `standard`, `batch`, `priority`, … as the record says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// `standard`, `fast`, … as the record says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<String>,
}

impl Usage {
    /// Whether this record of a reply says more than another of the same reply. Older agents wrote what they knew at
    /// the time first; the more complete one counts, in whichever order they come.
    pub fn says_more_than(&self, other: &Tokens) -> bool {
        (self.tokens.total(), self.tokens.output) > (other.total(), other.output)
    }

    /// Takes over what another record of the same reply says. Whether it said more.
    pub fn take_over(&mut self, other: &Self) -> bool {
        // A copy may have been given a new time.
        let at = self.at.min(other.at);
        let is_more = other.says_more_than(&self.tokens);
        if is_more {
            *self = other.clone();
        }
        self.at = at;
        is_more
    }
}
