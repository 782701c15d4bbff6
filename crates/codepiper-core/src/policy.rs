//! Which calls of an agent are allowed: policies, rules, and the decision.
//!
//! A [`RuleBook`] is made of the policies that belong to a session ([`applies_to`] says which) and answers
//! every [`Call`]. It is a pure function of both: the daemon and the hook helper that stands in for it build
//! the same book from the same [`Snapshot`] and decide the same.
//!
//! # The order of decision
//!
//! | | |
//! |---|---|
//! | 1 | Policies with the higher priority first. The first priority at which any rule matches decides. |
//! | 2 | Within one priority deny beats ask beats allow; the order of rules and of policies means nothing. |
//! | 3 | A rule matches when all of its criteria do. One without criteria matches everything. |
//! | 4 | If no rule matches, the fallback decides: ask or deny, never allow. |
//!
//! A shell command is decided part by part, and the strictest part is the decision. A path is matched as it is written, made normal, and as it is with symbolic links resolved: deny
//! and ask need one of both, allow needs both.
//!
//! # Commands
//!
//! Each simple command and each redirection of a script is a part: in pipelines, lists, loops, functions,
//! substitutions, and behind `bash -c`, `sudo`, `xargs`, `find -exec` and their like.
//!
//! * **Deny and ask** match a command rule when any form of the part matches: as written, with quotes taken
//!   away, by base name, without wrappers, without git's global options; or the whole text of the call.
//! * **Allow** matches the words bash would pass, or the part exactly as written; assignments before the
//!   command belong to it. Wrappers that change nothing (`timeout 5 …`, `bash -c '…'`) need no rule of their
//!   own.
//! * What cannot be known (`$X -rf`, `python -c`, `source file`, text that is no shell) is **never allowed by
//!   a wildcard**. An allow rule without `command` still allows it, as long as no deny or ask rule on
//!   commands or files stands at the same or a higher priority; so does one with exactly the call's text.
//! * `> f` is decided like a call of `Write`, `< f` like one of `Read`; an allow rule for the shell without
//!   `command` covers them too.
//! * Some parts need no rule, as long as none denies or asks: `cd` within the working directory, `true`,
//!   `set -e`, `[ … ]`, a variable in lower case, a function whose body is judged. Alone they allow nothing.
//! * A deny or ask rule on **files** (`Read`, `Edit`, … with a path) also hits a command that names the file.
//!   An allow rule on files never allows a command.
//!
//! # Patterns
//!
//! * In tool names, commands and other text `*` is any text, with slashes, dots and newlines. Upper and lower
//!   case differ. A command pattern that ends in ` *` also matches the bare command.
//! * In paths `*` stays in its segment and `**` crosses. `/x` starts at the root, `~/x` at home, `a/b` and
//!   `./a` at the working directory, `**/a` anywhere; a bare `.env` or `*.pem` is a file's name, anywhere;
//!   `dir/` is the folder and all in it.
//! * A list holds when a positive pattern hits and no `!negative` does; with negatives only, for all else.
//! * `?`, `[a-z]`, `{a,b}` and `\` work as in shells; `regex:` begins a Rust regular expression, unanchored.
//! * An argument that isn't there never matches; numbers are their text, objects their JSON.
//!
//! Deliberately not here: files. What must be looked up (symbolic links) is asked of the caller.

mod book;
mod explain;
mod glob;
mod hits;
mod import;
mod index;
mod narrow;
mod path_index;
mod paths;
mod pattern;
mod reach;
mod read;
mod rule;
mod shell;
mod starters;

pub use book::RuleBook;
pub use explain::explain;
pub use import::import_claude;
pub use narrow::narrowest_rule;
pub use read::{Problem, read_policy, read_rules};
pub use starters::{Starter, starters};

#[cfg(test)]
mod tests;

use crate::ids::SessionId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a rule says about a call, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The agent may, and nobody is asked.
    Allow,
    /// A person decides.
    Ask,
    /// The agent may not.
    Deny,
}

/// What happens to a call that no rule decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// A person decides.
    #[default]
    Ask,
    /// The agent may not.
    Deny,
}

impl From<Fallback> for Action {
    fn from(fallback: Fallback) -> Self {
        match fallback {
            Fallback::Ask => Self::Ask,
            Fallback::Deny => Self::Deny,
        }
    }
}

/// The sessions a policy holds for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// All.
    #[default]
    Global,
    /// Those that have a policy set with it.
    Set,
    /// This one.
    Session(SessionId),
    /// Those that work in this folder (absolute) or below it.
    Workspace(PathBuf),
    /// Those of this provider.
    Provider(String),
}

/// Rules that come and go together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Its own id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it counts.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Higher decides first.
    #[serde(default)]
    pub priority: i64,
    /// For which sessions.
    #[serde(default)]
    pub scope: Scope,
    /// Its rules; their order means nothing.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

fn yes() -> bool {
    true
}

/// One rule. All criteria that it has must match; each is a list of patterns of which one must.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What it is called in reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it says.
    pub action: Action,
    /// Names of tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Patterns>,
    /// Arguments of the tool, by dotted path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, Patterns>,
    /// The directory the agent works in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<Patterns>,
    /// The session, by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Patterns>,
    /// Told to the agent and the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Rule {
    /// One without criteria.
    pub fn new(action: Action) -> Self {
        let (id, tool, args, cwd, session, reason) = (None, None, BTreeMap::new(), None, None, None);
        Self { id, action, tool, args, cwd, session, reason }
    }
}

/// A pattern, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Patterns {
    /// One.
    One(String),
    /// Several: any positive hits and no negative does.
    Many(Vec<String>),
}

impl Patterns {
    /// As a list.
    pub fn list(&self) -> &[String] {
        match self {
            Self::One(pattern) => std::slice::from_ref(pattern),
            Self::Many(patterns) => patterns,
        }
    }
}

/// What an agent wants to do.
pub struct Call<'a> {
    /// The tool, by the agent's name for it.
    pub tool: &'a str,
    /// Its arguments.
    pub args: &'a Value,
    /// Where the agent works now, absolute.
    pub cwd: &'a Path,
    /// Whose call it is.
    pub session: &'a SessionId,
    /// What `~` means.
    pub home: Option<&'a Path>,
    /// Resolves symbolic links; of a path that does not exist, as far as it does. Asked only when a rule
    /// looks at paths.
    pub real: &'a dyn Fn(&Path) -> PathBuf,
}

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// What happens.
    pub action: Action,
    /// Who decided.
    pub by: Decider,
    /// Why, in plain words.
    pub reason: String,
    /// For a shell command and a patch: each part with its own decision, in the order they stand in.
    pub parts: Vec<PartDecision>,
}

/// Who decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Decider {
    /// A rule.
    #[serde(rename_all = "camelCase")]
    Rule {
        /// The policy's id.
        policy: String,
        /// Its name.
        policy_name: String,
        /// Which of its rules, from 0.
        index: usize,
        /// The rule's own id.
        rule: Option<String>,
    },
    /// No rule matched.
    Fallback,
    /// What would be done cannot be known.
    Unreadable {
        /// What stood in the way.
        why: String,
    },
    /// A part that needs no rule: a wrapper whose inside is judged, `cd` within the working directory.
    Harmless,
}

/// A part of a call with its decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartDecision {
    /// The part: `rm -rf x`, `> out.txt`.
    pub part: String,
    /// What would happen if it were alone.
    pub action: Action,
    /// Who decided it.
    pub by: Decider,
    /// Why.
    pub reason: String,
}

/// All that a decision rests on, for another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// [`Snapshot::VERSION`] of whoever wrote it.
    pub version: u32,
    /// When no rule decides.
    pub fallback: Fallback,
    /// The policies of the session.
    pub policies: Vec<Policy>,
}

impl Snapshot {
    /// The form this build writes. A reader of another one must not guess: it asks.
    pub const VERSION: u32 = 1;

    /// Of these policies.
    pub fn new(policies: Vec<Policy>, fallback: Fallback) -> Self {
        Self { version: Self::VERSION, fallback, policies }
    }

    /// The book. Refused, with everything that is wrong, when the version is another or a rule is bad.
    pub fn book(self) -> Result<RuleBook, Vec<Problem>> {
        if self.version != Self::VERSION {
            return Err(vec![Problem {
                at: "version".into(),
                what: format!("is {}, this build knows {}", self.version, Self::VERSION),
                hint: "restart the daemon, so that both are of one build".into(),
            }]);
        }
        RuleBook::compile(&self.policies, self.fallback)
    }
}

/// Whether a policy belongs to a session. `cwd` is where the session works; `in_set` whether the session has
/// a policy set with this policy in it, which only those need that are scoped to sets.
pub fn applies_to(policy: &Policy, session: &SessionId, provider: &str, cwd: &Path, in_set: bool) -> bool {
    policy.enabled
        && match &policy.scope {
            Scope::Global => true,
            Scope::Set => in_set,
            Scope::Session(own) => own == session,
            Scope::Workspace(folder) => {
                let [cwd, folder] = [cwd, folder].map(|path| paths::normal("", path, None));
                cwd.starts_with(folder)
            }
            Scope::Provider(own) => own == provider,
        }
}
