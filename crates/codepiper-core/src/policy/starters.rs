//! Policies to begin with. Files, so that they can be read, copied and changed.

use super::{Fallback, Policy, read_policy};

/// A policy to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Starter {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is for, in one line.
    pub description: String,
    /// The file's text.
    pub text: &'static str,
    /// What it wants to happen when none of its rules decides.
    pub fallback: Fallback,
    /// The policy.
    pub policy: Policy,
}

const FILES: &[(&str, Fallback, &str)] = &[
    ("read-only", Fallback::Ask, include_str!("starters/read-only.json")),
    ("careful", Fallback::Ask, include_str!("starters/careful.json")),
    ("ci", Fallback::Deny, include_str!("starters/ci.json")),
];

/// All of them. A test reads every one.
pub fn starters() -> Vec<Starter> {
    let starter = |(name, fallback, text): &(&'static str, Fallback, &'static str)| {
        let policy = read_policy(&serde_json::from_str(text).ok()?).ok()?;
        let description = policy.description.clone().unwrap_or_default();
        Some(Starter { name, description, text, fallback: *fallback, policy })
    };
    FILES.iter().filter_map(starter).collect()
}
