//! Names of things. Whoever holds one holds a valid one: each has a single way in.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How many hexadecimal digits a [`SessionId`] has: short enough to type, and 4 billion are enough for one
/// machine because the store checks that a new one is free.
pub const SESSION_ID_LEN: usize = 8;

/// A session of ours: eight lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(String);

/// The text was not eight lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a session id: eight digits of 0-9 a-f")]
pub struct BadSessionId(String);

impl SessionId {
    /// The way in from outside.
    pub fn parse(text: &str) -> Result<Self, BadSessionId> {
        let good = text.len() == SESSION_ID_LEN
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if good { Ok(Self(text.to_owned())) } else { Err(BadSessionId(text.to_owned())) }
    }

    /// A fresh one from random bits; whether it is free is for the store to say.
    pub fn from_bits(bits: u32) -> Self {
        Self(format!("{bits:08x}"))
    }

    /// The eight digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tmux session that carries it, as the user documents promise. Nothing else may build this name.
    pub fn tmux_name(&self) -> String {
        format!("codepiper-{}", self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({})", self.0)
    }
}

impl TryFrom<String> for SessionId {
    type Error = BadSessionId;
    fn try_from(text: String) -> Result<Self, BadSessionId> {
        Self::parse(&text)
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.0
    }
}

impl AsRef<str> for SessionId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// An id of something else that people make and name: of the same shape, and of a type of its own.
macro_rules! named_thing_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(SessionId);

        impl $name {
            /// The way in from outside; `None` for what is not eight lower-case hexadecimal digits.
            pub fn parse(text: &str) -> Option<Self> {
                SessionId::parse(text).ok().map(Self)
            }

            /// A fresh one from random bits; whether it is free is for the store to say.
            pub fn from_bits(bits: u32) -> Self {
                Self(SessionId::from_bits(bits))
            }

            /// The eight digits.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

named_thing_id! {
    /// An env set.
    EnvSetId
}

named_thing_id! {
    /// A workspace.
    WorkspaceId
}

/// What a person may have meant by the name they typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<T> {
    /// Exactly one.
    One(T),
    /// None.
    Nothing,
    /// Several; a longer prefix would decide.
    Several(Vec<T>),
}

/// Finds the session a person means: an exact id first, then an exact name, then a unique prefix of an id.
/// Names win over prefixes, so a session called `ab` stays reachable whatever ids come to be.
pub fn find_session<'a>(
    wanted: &str,
    sessions: impl Iterator<Item = (&'a SessionId, Option<&'a str>)> + Clone,
) -> Found<SessionId> {
    find_named(wanted, sessions)
}

/// The same for whatever has an id and a name.
pub fn find_named<'a, I: AsRef<str> + Clone + 'a>(
    wanted: &str,
    things: impl Iterator<Item = (&'a I, Option<&'a str>)> + Clone,
) -> Found<I> {
    let pick = |matches: Vec<I>| match matches.len() {
        0 => None,
        1 => matches.into_iter().next().map(Found::One),
        _ => Some(Found::Several(matches)),
    };
    let by = |test: &dyn Fn(&str, Option<&str>) -> bool| -> Vec<I> {
        things.clone().filter(|(id, name)| test(id.as_ref(), *name)).map(|(id, _)| id.clone()).collect()
    };
    if wanted.is_empty() {
        return Found::Nothing;
    }
    pick(by(&|id, _| id == wanted))
        .or_else(|| pick(by(&|_, name| name == Some(wanted))))
        .or_else(|| pick(by(&|id, _| id.starts_with(&wanted.to_ascii_lowercase()))))
        .unwrap_or(Found::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_eight_lower_case_hex_digits() {
        for good in ["00000000", "a1b2c3d4"] {
            assert_eq!(SessionId::parse(good).map(|id| id.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "a1b2c3d", "a1b2c3d45", "A1B2C3D4", "g1b2c3d4", "../../..", "a1b2c3d\n"] {
            assert!(SessionId::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_session_is_found_by_id_then_name_then_unique_prefix() {
        let ids: Vec<_> = ["a1b2c3d4", "a1ffffff", "bbbbbbbb"].map(|t| SessionId::parse(t).unwrap()).into();
        let names = [Some("api"), Some("a1b2"), None];
        let check = |wanted: &str, expected: &str| {
            let found = find_session(wanted, ids.iter().zip(names));
            let shown = match found {
                Found::One(id) => id.to_string(),
                Found::Nothing => "nothing".into(),
                Found::Several(ids) => format!("{} of them", ids.len()),
            };
            assert_eq!(shown, expected, "for {wanted:?}");
        };
        check("a1b2c3d4", "a1b2c3d4");
        check("api", "a1b2c3d4");
        check("a1b2", "a1ffffff"); // a name beats a prefix
        check("a1b2c", "a1b2c3d4");
        check("A1B2C", "a1b2c3d4");
        check("a1", "2 of them");
        check("zz", "nothing");
        check("", "nothing");
    }
}
