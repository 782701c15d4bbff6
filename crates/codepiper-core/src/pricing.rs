//! What tokens cost, by tables of dated prices.
//!
//! A [`PriceTable`] is a function of the model, the time of the record and how the reply was billed. It knows nothing
//! of where usage is kept: the same record can be priced again by another table, and [`PriceTable::fingerprint`] says
//! when that is due.
//!
//! The one law: **what has no price is not free**. A model, a part of a reply or a tier that the table says nothing of
//! makes the reply unpriced (`None`), never nothing. Free is what a table says is free.
//!
//! # Which price
//!
//! | | |
//! |---|---|
//! | 1 | An entry holds for the models that one of its patterns matches, in any form of the model's name (`names.rs`), and from `effective_from` on (in UTC). Without that date it holds since ever. |
//! | 2 | A user's entries come before the built-in ones. |
//! | 3 | Among the rest the latest date wins, and of two with the same date the one further down. |
//!
//! A prompt longer than `long_context.above` makes all of the reply cost the prices for long contexts. A tier has a
//! factor, or prices of its own that hold for prompts of any length; the standard tier needs no mention.

mod money;
mod names;
mod read;

pub use money::{Factor, Money, Rate};
pub use names::Pattern;
pub use read::BadPrices;

#[cfg(test)]
mod tests;

use crate::usage::{Tier, Tokens};
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Prices of models, each from a day on.
#[derive(Debug, Clone)]
pub struct PriceTable {
    entries: Vec<Entry>,
}

/// What some models cost from a day on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Whose table says so.
    pub origin: Origin,
    /// Patterns of the models it holds for.
    pub models: Vec<Pattern>,
    /// The first day, in UTC. `None` is since ever.
    pub effective_from: Option<Date>,
    /// The prices.
    pub rates: Rates,
    /// Other prices for long prompts.
    pub long_context: Option<LongContext>,
    /// What other ways of billing cost, by the names the records give them.
    pub tiers: BTreeMap<String, TierPrice>,
}

/// Whose table an entry is from. The later one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Ours, as released.
    BuiltIn,
    /// The user's `prices.toml`.
    User,
}

/// Prices of the parts of a reply. A part without a price can't be priced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Rates {
    /// For [`Tokens::input`].
    pub input: Option<Rate>,
    /// For [`Tokens::output`].
    pub output: Option<Rate>,
    /// For [`Tokens::cache_read`].
    pub cache_read: Option<Rate>,
    /// For [`Tokens::cache_write_5m`].
    pub cache_write_5m: Option<Rate>,
    /// For [`Tokens::cache_write_1h`].
    pub cache_write_1h: Option<Rate>,
}

/// Prices of replies to long prompts; for the whole reply, not only for what is beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LongContext {
    /// Prompts with more tokens than this, cached ones included.
    pub above: u64,
    /// The prices.
    pub rates: Rates,
}

/// What another way of billing costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TierPrice {
    /// So many times the price.
    Factor(Factor),
    /// Prices of its own, however long the prompt is.
    Rates(Rates),
}

/// Names of the way of billing that an entry's own prices are for.
const STANDARD: [&str; 4] = ["standard", "default", "auto", ""];

/// Raised when the same table gives other costs than before, so that history is priced again.
const REVISION: u32 = 1;

impl PriceTable {
    /// Reads a table. All of it is right, or none of it is taken.
    pub fn parse(text: &str) -> Result<Self, BadPrices> {
        read::entries(text, Origin::User).map(|entries| Self { entries })
    }

    /// The prices this version knows.
    pub fn built_in() -> Self {
        let entries = read::entries(include_str!("pricing/prices.toml"), Origin::BuiltIn);
        Self { entries: entries.expect("a test reads it") }
    }

    /// With a user's prices before them.
    #[must_use]
    pub fn with_overrides(mut self, user: Self) -> Self {
        self.entries.extend(user.entries);
        self
    }

    /// What a reply costs. `None` when any part of the answer isn't known.
    pub fn cost(&self, model: &str, at: Timestamp, tokens: &Tokens, tier: &Tier) -> Option<Money> {
        self.lookup(model, at)?.cost(tokens, tier)
    }

    /// The entry by which a model is priced at a time: the same for all of its records of a day, so whoever prices many
    /// looks once.
    pub fn lookup(&self, model: &str, at: Timestamp) -> Option<&Entry> {
        let forms = names::forms(model);
        let day = at.to_zoned(TimeZone::UTC).date();
        self.entries
            .iter()
            .filter(|entry| entry.effective_from.is_none_or(|from| from <= day))
            .filter(|entry| entry.models.iter().any(|pattern| pattern.matches_any(&forms)))
            .max_by_key(|entry| (entry.origin, entry.effective_from))
    }

    /// All of it, in the order of the tables.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Differs when any price does; comments and layout don't matter.
    pub fn fingerprint(&self) -> String {
        let text = serde_json::to_vec(&(REVISION, &self.entries)).expect("entries are plain data");
        Sha256::digest(text).iter().take(FINGERPRINT_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Enough that two tables never share one by chance, and short enough to read.
const FINGERPRINT_BYTES: usize = 8;

impl Entry {
    /// What a reply costs by this entry.
    pub fn cost(&self, tokens: &Tokens, tier: &Tier) -> Option<Money> {
        let mut rates = match &self.long_context {
            Some(long) if tokens.prompt() > long.above => &long.rates,
            _ => &self.rates,
        };
        let mut factors = Vec::new();
        for name in [&tier.speed, &tier.service].into_iter().flatten() {
            if STANDARD.contains(&name.as_str()) {
                continue;
            }
            match self.tiers.get(name)? {
                TierPrice::Factor(factor) => factors.push(*factor),
                TierPrice::Rates(own) => rates = own,
            }
        }
        let parts = [
            (tokens.input, rates.input),
            (tokens.output, rates.output),
            (tokens.cache_read, rates.cache_read),
            (tokens.cache_write_5m, rates.cache_write_5m),
            (tokens.cache_write_1h, rates.cache_write_1h),
        ];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let parts: Option<Vec<_>> = parts.map(|(count, rate)| Some((count, rate?))).collect();
        Some(Money::of(&parts?, &factors))
    }
}
