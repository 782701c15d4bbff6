//! What `codepiper doctor` found, as it prints it for programs (`--json`).

use crate::Fault;
use serde::{Deserialize, Serialize};

/// Everything that was looked at, in the order a person reads it: what a thing rests on comes before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whether nothing is an error. Warnings and notes leave it true.
    pub ok: bool,
    /// The findings, those of a group together.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The report of these findings.
    pub fn new(findings: Vec<Finding>) -> Self {
        Self { ok: findings.iter().all(|finding| finding.level != Level::Error), findings }
    }

    /// How many findings have this level.
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// What decides the exit code. Something that is missing comes first: it may be why the rest is broken.
    pub fn fault(&self) -> Option<Fault> {
        match self.findings.iter().any(|finding| finding.missing) {
            _ if self.ok => None,
            true => Some(Fault::Missing),
            false => Some(Fault::Internal),
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it belongs to.
    pub group: Group,
    /// What was looked at: a word or two, the same whatever was found.
    pub name: String,
    /// How bad it is.
    pub level: Level,
    /// What was found: lower case, no full stop.
    pub found: String,
    /// The way out: a command to type wherever there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Of an error: whether something has to be installed, rather than put right.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missing: bool,
}

impl Finding {
    /// A finding without a fix yet.
    pub fn new(group: Group, name: &str, level: Level, found: impl Into<String>) -> Self {
        Self { group, name: name.to_owned(), level, found: found.into(), fix: None, missing: false }
    }

    /// An error because something is not installed.
    pub fn missing(group: Group, name: &str, found: impl Into<String>) -> Self {
        Self { missing: true, ..Self::new(group, name, Level::Error, found) }
    }

    /// Adds the way out.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// What a finding belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the words say it
pub enum Group {
    System,
    Tmux,
    Git,
    Agents,
    Files,
    Daemon,
    Environment,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Good to know; nothing is wrong.
    Note,
    /// Works, but not all of it, or not for long.
    Warning,
    /// Does not work.
    Error,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_is_written_as_programs_know_it() {
        let written = json!({
            "ok": false,
            "findings": [
                { "group": "system", "name": "disk", "level": "ok", "found": "7 GiB free" },
                { "group": "tmux", "name": "tmux", "level": "error", "found": "not installed",
                  "fix": "brew install tmux", "missing": true },
            ]
        });
        let report = Report::new(vec![
            Finding::new(Group::System, "disk", Level::Ok, "7 GiB free"),
            Finding::missing(Group::Tmux, "tmux", "not installed").fix("brew install tmux"),
        ]);
        assert_eq!(json!(report), written);
        assert_eq!(serde_json::from_value::<Report>(written).unwrap(), report);
    }

    #[test]
    fn only_errors_are_a_fault_and_what_is_missing_comes_first() {
        let check = |levels: &[(Level, bool)], expected: Option<Fault>| {
            let finding = |&(level, missing): &(Level, bool)| Finding {
                missing,
                ..Finding::new(Group::System, "x", level, "")
            };
            assert_eq!(Report::new(levels.iter().map(finding).collect()).fault(), expected, "of {levels:?}");
        };
        check(&[], None);
        check(&[(Level::Ok, false), (Level::Note, false), (Level::Warning, false)], None);
        check(&[(Level::Error, false), (Level::Warning, false)], Some(Fault::Internal));
        check(&[(Level::Error, false), (Level::Error, true)], Some(Fault::Missing));
    }
}
