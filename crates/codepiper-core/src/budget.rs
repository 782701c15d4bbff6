//! What a session, or a day, may take before a person is asked.
//!
//! A budget does not stop an agent: from its end on, every tool call asks instead of running. What was spent is what
//! the transcripts say, so a call is held against all replies before it; against the one that makes it where that is written
//! down first (Codex).

use crate::pricing::Money;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The part of a budget from which on it is worth a word, in percent.
pub const NEAR_PERCENT: u64 = 80;

/// Limits. None is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Budget {
    /// In billionths of a US dollar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
    /// All tokens that a model read or wrote, those from the cache included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Of a session since its start, of a day the time in which agents worked; in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// What was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spent {
    /// Of what has a price.
    pub cost: Money,
    /// Tokens without a price: they are in no cost.
    pub unpriced: u64,
    /// All tokens.
    pub tokens: u64,
    /// Of a session since its start, of a day the time in which agents worked; in seconds.
    pub seconds: u64,
}

/// One limit and how much of it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Of what.
    pub limit: Limit,
    /// How much of it is taken, in whole percent, rounded down.
    pub percent: u64,
}

/// A limit with what was spent of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Money.
    Cost {
        /// Spent.
        spent: Money,
        /// The limit.
        of: Money,
    },
    /// Tokens.
    Tokens {
        /// Spent.
        spent: u64,
        /// The limit.
        of: u64,
    },
    /// Time.
    Time {
        /// Spent, in seconds.
        spent: u64,
        /// The limit, in seconds.
        of: u64,
    },
}

impl Budget {
    /// Why these limits cannot be kept; none when they can.
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self { cost: Some(cost), .. } if cost.0 <= 0 => Some(("cost", "must be above 0")),
            Self { tokens: Some(0), .. } => Some(("tokens", "must be above 0")),
            Self { seconds: Some(0), .. } => Some(("seconds", "must be above 0")),
            _ => None,
        }
    }

    /// Whether it limits nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Each limit and how much of it is taken.
    pub fn taken(&self, spent: &Spent) -> Vec<Taken> {
        let cost = self.cost.map(|of| Limit::Cost { spent: spent.cost, of });
        let tokens = self.tokens.map(|of| Limit::Tokens { spent: spent.tokens, of });
        let time = self.seconds.map(|of| Limit::Time { spent: spent.seconds, of });
        let limits = [cost, tokens, time].into_iter().flatten();
        limits.map(|limit| Taken { limit, percent: limit.percent() }).collect()
    }

    /// Puts one more limit in, as a person types it: `5usd`, `$5`, `200ktokens`, `2Mtokens`, `90m`, `2h`.
    pub fn add(&mut self, word: &str) -> Result<(), String> {
        let plain = word.trim().to_ascii_lowercase();
        if let Some(dollars) = plain.strip_prefix('$').or_else(|| plain.strip_suffix("usd")) {
            self.cost = Some(dollars_of(dollars.trim(), word)?);
        } else if let Some(tokens) = plain.strip_suffix("tokens").or_else(|| plain.strip_suffix("tok")) {
            self.tokens = Some(tokens_of(tokens.trim(), word)?);
        } else {
            let time: Result<SignedDuration, _> = plain.parse();
            let seconds = time.ok().map(|time| time.as_secs()).filter(|seconds| *seconds > 0);
            let seconds = seconds.ok_or_else(|| {
                format!("`{word}` is no limit: say dollars (`5usd`), tokens (`2Mtokens`) or a time (`90m`)")
            })?;
            self.seconds = Some(seconds.unsigned_abs());
        }
        Ok(())
    }
}

fn dollars_of(text: &str, word: &str) -> Result<Money, String> {
    let wrong = || format!("`{word}` is no number of dollars above 0, such as `5usd` or `0.50usd`");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 9 || whole.len() + part.len() == 0 || whole.len() > 9 {
        return Err(wrong());
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
    let part: i64 = format!("{part:0<9}").parse().map_err(|_| wrong())?;
    let money = Money(whole * 1_000_000_000 + part);
    (money.0 > 0).then_some(money).ok_or_else(wrong)
}

fn tokens_of(text: &str, word: &str) -> Result<u64, String> {
    let wrong = || format!("`{word}` is no number of tokens above 0, such as `500000tokens` or `2Mtokens`");
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 1_000),
        Some(b'm') => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).filter(|tokens| *tokens > 0).ok_or_else(wrong)
}

impl Limit {
    fn percent(self) -> u64 {
        let (spent, of) = match self {
            Self::Cost { spent, of } => (spent.0.unsigned_abs(), of.0.unsigned_abs()),
            Self::Tokens { spent, of } | Self::Time { spent, of } => (spent, of),
        };
        // A limit of nothing is reached by nothing.
        u128::from(spent)
            .checked_mul(100)
            .and_then(|hundred| hundred.checked_div(u128::from(of)))
            .map_or(100, |percent| u64::try_from(percent).unwrap_or(u64::MAX))
    }

    /// Which it is, for a key of its own: `cost`, `tokens`, `time`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cost { .. } => "cost",
            Self::Tokens { .. } => "tokens",
            Self::Time { .. } => "time",
        }
    }
}

/// `$4.03 of $5.00`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_small = matches!(self, Self::Cost { of, .. } if of.0 < 1_000_000_000);
        let dollars = |money: &Money| match is_small {
            true => format!("${}.{:04}", money.0 / 1_000_000_000, money.0 / 100_000 % 10_000),
            false => format!("${}.{:02}", money.0 / 1_000_000_000, money.0 / 10_000_000 % 100),
        };
        let time = |seconds: &u64| match seconds {
            0..60 => format!("{seconds}s"),
            60..3_600 => format!("{}m", seconds / 60),
            _ => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        };
        match self {
            Self::Cost { spent, of } => write!(f, "{} of {}", dollars(spent), dollars(of)),
            Self::Tokens { spent, of } => write!(f, "{spent} of {of} tokens"),
            Self::Time { spent, of } => write!(f, "{} of {}", time(spent), time(of)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_typed_as_people_write_them() {
        let check = |words: &[&str], expected: &str| {
            let mut budget = Budget::default();
            let added: Result<(), String> = words.iter().try_for_each(|word| budget.add(word));
            let shown = match added {
                Ok(()) => {
                    budget.taken(&Spent::default()).iter().map(|taken| taken.limit.to_string()).collect()
                }
                Err(why) => vec![why],
            };
            assert_eq!(shown.join("; "), expected, "{words:?}");
        };
        check(&["5usd"], "$0.00 of $5.00");
        check(&["$0.5", "2Mtokens", "90m"], "$0.0000 of $0.5000; 0 of 2000000 tokens; 0s of 1h 30m");
        check(&["200k tokens", "2h"], "0 of 200000 tokens; 0s of 2h 00m");
        check(&["0.000000001usd"], "$0.0000 of $0.0000");
        for bad in ["0usd", "-1usd", "usd", "1.2.3usd", "1e9usd", "99999999999usd"] {
            check(&[bad], &format!("`{bad}` is no number of dollars above 0, such as `5usd` or `0.50usd`"));
        }
        for bad in ["0tokens", "tokens", "xtokens", "99999999999999999999mtokens"] {
            let why = "is no number of tokens above 0, such as `500000tokens` or `2Mtokens`";
            check(&[bad], &format!("`{bad}` {why}"));
        }
        for bad in ["5", "soon", "-2h", "0s", ""] {
            let why = "is no limit: say dollars (`5usd`), tokens (`2Mtokens`) or a time (`90m`)";
            check(&[bad], &format!("`{bad}` {why}"));
        }
    }

    #[test]
    fn how_much_is_taken_is_rounded_down_and_never_overflows() {
        let check = |limit: Limit, expected: u64| assert_eq!(limit.percent(), expected, "{limit}");
        check(Limit::Tokens { spent: 0, of: 10 }, 0);
        check(Limit::Tokens { spent: 799, of: 1_000 }, 79);
        check(Limit::Tokens { spent: 1_000, of: 1_000 }, 100);
        check(Limit::Tokens { spent: u64::MAX, of: 1 }, u64::MAX);
        check(Limit::Tokens { spent: 0, of: 0 }, 100);
        check(Limit::Cost { spent: Money(4_999_999_999), of: Money(5_000_000_000) }, 99);
        check(Limit::Time { spent: 90, of: 60 }, 150);
    }
}
