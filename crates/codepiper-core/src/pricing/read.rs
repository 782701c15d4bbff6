//! The form of a table of prices, in TOML.
//!
//! ```toml
//! [[price]]
//! models = ["claude-sonnet-4-5"]
//! effective_from = 2025-09-29        # may be missing
//! input = 3                          # US dollars for a million tokens
//! output = 15
//! cache_read = 0.3                   # these three may be missing
//! cache_write_5m = 3.75
//! cache_write_1h = 6
//! long_context = { above = 200000, input = 6, output = 22.5 }
//! tiers = { batch = 0.5, fast = { input = 30, output = 150 } }
//! ```

use super::names::Pattern;
use super::{Entry, Factor, LongContext, Origin, Rate, Rates, STANDARD, TierPrice};
use jiff::civil::Date;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What is wrong with a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPrices {
    /// Not the form of a table at all.
    #[error("not a table of prices: {0}")]
    Form(String),
    /// One entry breaks a rule.
    #[error("price {number} ({models}): {rule}")]
    Entry {
        /// Which one, from 1.
        number: usize,
        /// What it is for.
        models: String,
        /// The rule.
        rule: String,
    },
}

pub(super) fn entries(text: &str, origin: Origin) -> Result<Vec<Entry>, BadPrices> {
    let file: File = toml::from_str(text).map_err(|error| BadPrices::Form(error.to_string()))?;
    let mut entries: Vec<Entry> = Vec::new();
    for (index, table) in file.price.into_iter().enumerate() {
        let models = named(&table);
        let bad = |rule: String| BadPrices::Entry { number: index + 1, models, rule };
        match entry(table, origin).and_then(|entry| no_twin(&entries, entry)) {
            Ok(entry) => entries.push(entry),
            Err(rule) => return Err(bad(rule)),
        }
    }
    Ok(entries)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    price: Vec<toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    models: Vec<String>,
    effective_from: Option<toml::Value>,
    input: Rate,
    output: Rate,
    cache_read: Option<Rate>,
    cache_write_5m: Option<Rate>,
    cache_write_1h: Option<Rate>,
    long_context: Option<toml::Table>,
    #[serde(default)]
    tiers: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRates {
    input: Option<Rate>,
    output: Option<Rate>,
    cache_read: Option<Rate>,
    cache_write_5m: Option<Rate>,
    cache_write_1h: Option<Rate>,
}

fn entry(table: toml::Table, origin: Origin) -> Result<Entry, String> {
    let written: Written = table.try_into().map_err(plain)?;
    if written.models.is_empty() {
        return Err("`models` names no model".into());
    }
    let pattern = |text: &String| Pattern::new(text).ok_or(format!("`{text}` in `models` is no pattern"));
    Ok(Entry {
        origin,
        models: written.models.iter().map(pattern).collect::<Result<_, _>>()?,
        effective_from: written.effective_from.map(date).transpose()?,
        rates: Rates {
            input: Some(written.input),
            output: Some(written.output),
            cache_read: written.cache_read,
            cache_write_5m: written.cache_write_5m,
            cache_write_1h: written.cache_write_1h,
        },
        long_context: written.long_context.map(long_context).transpose()?,
        tiers: written.tiers.into_iter().map(tier).collect::<Result<_, _>>()?,
    })
}

fn date(value: toml::Value) -> Result<Date, String> {
    let text = match value {
        toml::Value::Datetime(date) => date.to_string(),
        toml::Value::String(text) => text,
        _ => String::new(),
    };
    // Longer forms are dates too, but say more than a day.
    let day = text.parse().ok().filter(|_| text.len() == "2026-01-31".len());
    day.ok_or(format!("`effective_from` is not a day like 2026-01-31 but `{text}`"))
}

/// Without prices it says that there are some, and that nobody found them.
fn long_context(mut table: toml::Table) -> Result<LongContext, String> {
    let above = table.remove("above").and_then(|above| above.as_integer());
    let above = above.and_then(|above| u64::try_from(above).ok()).filter(|above| *above > 0);
    let above = above.ok_or("`long_context` needs `above`, a number of tokens")?;
    Ok(LongContext { above, rates: rates(table).map_err(|rule| format!("`long_context`: {rule}"))? })
}

fn tier((name, value): (String, toml::Value)) -> Result<(String, TierPrice), String> {
    if STANDARD.contains(&name.as_str()) {
        return Err(format!("tier `{name}` is what the entry's own prices are for"));
    }
    let price = match value {
        toml::Value::Table(table) => rates(table).map(TierPrice::Rates),
        factor => Factor::deserialize(factor).map(TierPrice::Factor).map_err(plain),
    };
    Ok((name.clone(), price.map_err(|rule| format!("tier `{name}`: {rule}"))?))
}

fn rates(table: toml::Table) -> Result<Rates, String> {
    let written: WrittenRates = table.try_into().map_err(plain)?;
    Ok(Rates {
        input: written.input,
        output: written.output,
        cache_read: written.cache_read,
        cache_write_5m: written.cache_write_5m,
        cache_write_1h: written.cache_write_1h,
    })
}

/// Two entries of a table for the same models from the same day: one of them is a slip, and nobody could tell which.
fn no_twin(entries: &[Entry], entry: Entry) -> Result<Entry, String> {
    let same_day = entries.iter().filter(|other| other.effective_from == entry.effective_from);
    let mut priced = same_day.flat_map(|other| &other.models);
    match priced.find(|pattern| entry.models.contains(pattern)) {
        Some(twin) => Err(format!("`{}` has another price from the same day above", twin.as_str())),
        None => Ok(entry),
    }
}

fn named(table: &toml::Table) -> String {
    let models = table.get("models").and_then(toml::Value::as_array);
    let models = models.into_iter().flatten().filter_map(toml::Value::as_str);
    let models: Vec<_> = models.map(|model| format!("`{model}`")).collect();
    if models.is_empty() { "without models".into() } else { models.join(", ") }
}

/// Serde's words in one line.
fn plain(error: toml::de::Error) -> String {
    error.to_string().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
