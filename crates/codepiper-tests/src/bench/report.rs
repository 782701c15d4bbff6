//! Samples, and the table they become.

use std::time::Duration;

/// Values of one figure, in its unit.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    pub(super) fn one(value: f64) -> Self {
        Self(vec![value])
    }

    pub(super) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(super) fn push_ms(&mut self, time: Duration) {
        self.push(ms(time));
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest value that so many of a hundred do not exceed.
    pub(super) fn percentile(&self, percent: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (percent / 100.0 * sorted.len() as f64).ceil().max(1.0) as usize;
        sorted.get(rank.min(sorted.len()).wrapping_sub(1)).copied().unwrap_or(f64::NAN)
    }

    pub(super) fn p50(&self) -> f64 {
        self.percentile(50.0)
    }
}

pub(super) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What a value must not exceed.
pub(super) struct Target {
    /// As the issue says it.
    says: String,
    reached: bool,
}

/// The value is judged against the most it may be.
pub(super) fn at_most(what: &str, value: f64, most: f64) -> Target {
    Target { says: format!("{what} {} ≤ {}", number(value), number(most)), reached: value <= most }
}

pub(super) fn at_least(what: &str, value: f64, least: f64) -> Target {
    Target { says: format!("{what} {} ≥ {}", number(value), number(least)), reached: value >= least }
}

/// Prints rows as they come: nobody waits minutes for a first line.
pub(super) struct Report {
    reached: usize,
    missed: Vec<String>,
}

const NAME_WIDTH: usize = 58;

impl Report {
    pub(super) fn begin(machine: &str) -> Self {
        println!("{machine}\n");
        println!(
            "{:<NAME_WIDTH$} {:>6} {:>8} {:>8} {:>8} {:>8}  {:<4}  target",
            "", "n", "p50", "p90", "p99", "max", "unit"
        );
        Self { reached: 0, missed: Vec::new() }
    }

    pub(super) fn section(&mut self, name: &str, what: &str) {
        println!("{name}: {what}");
    }

    /// What the machine can do at best; targets may be relative to it.
    pub(super) fn floor(&mut self, name: &str, unit: &str, samples: &Samples) {
        self.row(&format!("  floor: {name}"), unit, samples, None);
    }

    pub(super) fn figure(&mut self, name: &str, unit: &str, samples: &Samples) {
        self.row(&format!("  {name}"), unit, samples, None);
    }

    pub(super) fn judged(&mut self, name: &str, unit: &str, samples: &Samples, targets: Vec<Target>) {
        let verdicts: Vec<String> = targets.into_iter().map(|target| self.judge(name, target)).collect();
        let mut verdicts = verdicts.into_iter();
        self.row(&format!("  {name}"), unit, samples, verdicts.next());
        for verdict in verdicts {
            println!("{:<width$}{verdict}", "", width = NAME_WIDTH + 51);
        }
    }

    fn judge(&mut self, name: &str, target: Target) -> String {
        let Target { says, reached } = target;
        if reached {
            self.reached += 1;
            format!("{says}  reached")
        } else {
            self.missed.push(format!("{name}: {says}"));
            format!("{says}  MISSED")
        }
    }

    fn row(&self, name: &str, unit: &str, samples: &Samples, verdict: Option<String>) {
        let n = samples.0.len();
        let [p50, p90, p99, max] = [50.0, 90.0, 99.0, 100.0].map(|percent| match (n, percent) {
            (1, 50.0) => String::new(), // one value is no distribution
            (1, percent) if percent < 100.0 => String::new(),
            _ => number(samples.percentile(percent)),
        });
        let verdict = verdict.unwrap_or_default();
        let line =
            format!("{name:<NAME_WIDTH$} {n:>6} {p50:>8} {p90:>8} {p99:>8} {max:>8}  {unit:<4}  {verdict}");
        println!("{}", line.trim_end());
    }

    pub(super) fn end(&self) {
        println!("\n{} targets reached, {} missed", self.reached, self.missed.len());
        for missed in &self.missed {
            println!("  missed {missed}");
        }
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut samples = Samples::default();
        (1..=200).rev().for_each(|n| samples.push(f64::from(n)));
        let at = |percent| samples.percentile(percent);
        assert_eq!((at(50.0), at(90.0), at(99.0), at(100.0)), (100.0, 180.0, 198.0, 200.0));
        assert_eq!(Samples::one(3.0).percentile(99.0), 3.0);
        assert!(Samples::default().p50().is_nan());
    }
}
