//! What is worth a person's attention, and when to say so.
//!
//! A state is told when it has held for a while (the dwell), and the same kind of thing about the same session not
//! again before the cool-down is over. The law to keep: a state that still holds when its time has come is told;
//! waiting drops nothing but what went by.

mod condition;
mod watcher;

pub use condition::{Change, Found};
pub use watcher::{Draft, Timing, Watcher};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Kinds of notifications. The names are those of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// The agent did what it was asked, and waits for the next prompt.
    #[serde(rename = "session.turn_completed")]
    TurnCompleted,
    /// A turn ended in an error of the model or its service.
    #[serde(rename = "session.turn_failed")]
    TurnFailed,
    /// The agent asked something, or a dialog stands open.
    #[serde(rename = "session.input_required")]
    InputRequired,
    /// The agent wants to use a tool and may not without a yes.
    #[serde(rename = "session.permission_required")]
    PermissionRequired,
    /// The agent ended by itself without an error.
    #[serde(rename = "session.completed")]
    Completed,
    /// The agent ended by itself with an error, or vanished.
    #[serde(rename = "session.crashed")]
    Crashed,
    /// A budget is nearly, or wholly, used up.
    #[serde(rename = "budget.reached")]
    BudgetReached,
    /// A limit of the agent's service that was nearly used up begins anew.
    #[serde(rename = "limit.reset")]
    LimitReset,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::TurnCompleted,
        Self::TurnFailed,
        Self::InputRequired,
        Self::PermissionRequired,
        Self::Completed,
        Self::Crashed,
        Self::BudgetReached,
        Self::LimitReset,
    ];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::TurnCompleted => "session.turn_completed",
            Self::TurnFailed => "session.turn_failed",
            Self::InputRequired => "session.input_required",
            Self::PermissionRequired => "session.permission_required",
            Self::Completed => "session.completed",
            Self::Crashed => "session.crashed",
            Self::BudgetReached => "budget.reached",
            Self::LimitReset => "limit.reset",
        }
    }

    /// The kind with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What a person reads first: what happened to whom.
    pub fn title(self, whose: &str) -> String {
        match self {
            Self::TurnCompleted => format!("{whose}: turn completed"),
            Self::TurnFailed => format!("{whose}: the turn failed"),
            Self::InputRequired => format!("{whose} asks you something"),
            Self::PermissionRequired => format!("{whose} needs permission"),
            Self::Completed => format!("{whose} has ended"),
            Self::Crashed => format!("{whose} crashed"),
            Self::BudgetReached => format!("{whose}: budget"),
            Self::LimitReset => format!("{whose}: limit reset"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a person wants to hear of one session, where it differs from what holds for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionWishes {
    /// Everything or nothing; not said follows the rest.
    pub enabled: Option<bool>,
    /// Single kinds.
    pub events: BTreeMap<Kind, bool>,
}

/// What a person wants to hear of all sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// Anything at all.
    pub enabled: bool,
    /// Single kinds; one that is not named is wanted.
    pub events: BTreeMap<Kind, bool>,
}

impl Default for Wishes {
    fn default() -> Self {
        Self { enabled: true, events: BTreeMap::new() }
    }
}

impl Wishes {
    /// Whether this is wanted. The nearest word counts: the session's for the kind, the session's, the one for the
    /// kind, the one for everything.
    pub fn include(&self, kind: Kind, session: Option<&SessionWishes>) -> bool {
        session
            .and_then(|own| own.events.get(&kind).copied().or(own.enabled))
            .unwrap_or_else(|| self.enabled && self.events.get(&kind).copied().unwrap_or(true))
    }
}

/// How people call a session: its name, else the last part of its folder.
pub fn label<'a>(name: Option<&'a str>, cwd: &'a str, short_id: &'a str) -> &'a str {
    let folder = || cwd.trim_end_matches('/').rsplit('/').next().filter(|part| !part.is_empty());
    name.filter(|name| !name.is_empty()).or_else(folder).unwrap_or(short_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_wire_and_read_back() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(Kind::parse(kind.name()), Some(kind));
        }
        assert_eq!(Kind::parse("session.frob"), None);
    }

    #[test]
    fn the_nearest_word_counts() {
        use Kind::{Crashed, TurnCompleted};
        let own = |enabled, kinds: &[(Kind, bool)]| SessionWishes {
            enabled,
            events: kinds.iter().copied().collect(),
        };
        let all =
            |enabled, kinds: &[(Kind, bool)]| Wishes { enabled, events: kinds.iter().copied().collect() };
        let cases = [
            (all(true, &[]), None, true),
            (all(false, &[]), None, false),
            (all(true, &[(Crashed, false)]), None, false),
            (all(true, &[(TurnCompleted, false)]), None, true),
            (all(false, &[(Crashed, true)]), None, false),
            (all(false, &[]), Some(own(Some(true), &[])), true),
            (all(true, &[]), Some(own(Some(false), &[])), false),
            (all(true, &[]), Some(own(None, &[])), true),
            (all(true, &[(Crashed, false)]), Some(own(Some(true), &[])), true),
            (all(true, &[]), Some(own(Some(false), &[(Crashed, true)])), true),
            (all(true, &[]), Some(own(Some(true), &[(Crashed, false)])), false),
        ];
        for (wishes, session, expected) in cases {
            assert_eq!(wishes.include(Crashed, session.as_ref()), expected, "{wishes:?} {session:?}");
        }
    }

    #[test]
    fn a_session_is_called_by_its_name_or_its_folder() {
        assert_eq!(label(Some("api"), "/src/shop", "a1b2c3d4"), "api");
        assert_eq!(label(None, "/src/shop/", "a1b2c3d4"), "shop");
        assert_eq!(label(Some(""), "/", "a1b2c3d4"), "a1b2c3d4");
    }
}
