//! Amounts of money, prices and factors: whole numbers, because sums of fractions depend on their order.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::iter::Sum;
use std::ops::Add;

/// US dollars, in whole billionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(pub i64);

impl Money {
    /// What tokens cost, each part at its price and all of it times every factor. Rounded once, at the end.
    pub(super) fn of(parts: &[(u64, Rate)], factors: &[Factor]) -> Self {
        let sum = |sum: u128, (count, rate): &(u64, Rate)| {
            sum.saturating_add(u128::from(*count).saturating_mul(u128::from(rate.0)))
        };
        let mut amount = parts.iter().fold(0, sum);
        let mut unit = Rate::PER_BILLIONTH;
        for factor in factors {
            amount = amount.saturating_mul(u128::from(factor.0));
            unit *= Factor::ONE;
        }
        Self(i64::try_from(amount.saturating_add(unit / 2) / unit).unwrap_or(i64::MAX))
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

/// All that is known of it: `$0.0105`, `$12.00`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}${}", shown(self.0.unsigned_abs(), 9, 2))
    }
}

/// A price: millionths of a US dollar for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// Tokens times this unit, in a billionth of a dollar.
    const PER_BILLIONTH: u128 = 1_000;
    const DECIMALS: usize = 6;
    /// Dollars for a million tokens. A thousand times what any model costs, and far from any overflow.
    const MAX: u64 = 1_000_000;
}

/// How many times the price, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Factor(u64);

impl Factor {
    const ONE: u128 = 1_000;
    const DECIMALS: usize = 3;
    const MAX: u64 = 100;
}

/// As tables write it, in dollars for a million tokens.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self.0, Self::DECIMALS, 0))
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self.0, Self::DECIMALS, 0))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Factor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Decimal { decimals: Self::DECIMALS, max: Self::MAX }).map(Self)
    }
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Decimal { decimals: Self::DECIMALS, max: Self::MAX }).map(Self)
    }
}

/// Reads a number as it is written, whether as a number or as text.
struct Decimal {
    decimals: usize,
    max: u64,
}

impl de::Visitor<'_> for Decimal {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number from 0 to {} with at most {} decimals", self.max, self.decimals)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<u64, E> {
        self.visit_str(&number.to_string())
    }

    /// The shortest text that is this number is what was written: no price has the 16 digits it takes to differ.
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<u64, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        self.read(text).ok_or_else(|| E::invalid_value(de::Unexpected::Other(&format!("`{text}`")), &self))
    }
}

impl Decimal {
    fn read(&self, text: &str) -> Option<u64> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > self.decimals {
            return None;
        }
        let whole: u64 = whole.parse().ok().filter(|whole| *whole < self.max)?;
        format!("{whole}{fraction:0<width$}", width = self.decimals).parse().ok()
    }
}

/// A whole number of decimal fractions, with `least` decimals or as many as it takes.
fn shown(number: u64, decimals: usize, least: usize) -> String {
    let digits = format!("{number:0>width$}", width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    let fraction = format!("{:0<least$}", fraction.trim_end_matches('0'));
    if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
}
