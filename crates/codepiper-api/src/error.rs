//! Refusals: whose fault, what happened, what to do. The fault alone decides HTTP status and exit code.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// Whose fault it is, and of which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// What was asked makes no sense: a bad field, an unknown word.
    Usage,
    /// The thing asked for is not there.
    NotFound,
    /// The name means several things.
    Ambiguous,
    /// It can't be done in the present state.
    Conflict,
    /// The caller may not.
    Forbidden,
    /// The body is larger than allowed.
    TooLarge,
    /// Something on the machine is missing: a program, a folder.
    Missing,
    /// The agent did not do what it should.
    Agent,
    /// Our own.
    Internal,
    /// The daemon cannot be reached.
    Unreachable,
}

impl Fault {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::Usage | Self::Ambiguous => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Missing => 422,
            Self::Internal => 500,
            Self::Agent => 502,
            Self::Unreachable => 503,
        }
    }

    /// The exit code of the command, as `codepiper --help` documents them.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage | Self::TooLarge => 2,
            Self::Unreachable => 3,
            Self::NotFound | Self::Ambiguous => 4,
            Self::Conflict | Self::Forbidden => 5,
            Self::Missing => 6,
            Self::Agent => 7,
        }
    }
}

/// A refusal, as it is sent (`{"error", "code", "hint", …}`) and as it is printed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// What happened: lower case, no full stop, names in backticks.
    pub error: String,
    /// Of which kind.
    pub code: Fault,
    /// The way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The field it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// More, for programs: candidates of an ambiguous name, for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

impl Refusal {
    /// A refusal without a hint yet.
    pub fn new(code: Fault, error: impl Into<String>) -> Self {
        Self { error: error.into(), code, hint: None, field: None, details: None }
    }

    /// A field that is not as it must be.
    pub fn field(name: &str, rule: impl fmt::Display) -> Self {
        let mut refusal = Self::new(Fault::Usage, format!("`{name}` {rule}"));
        refusal.field = Some(name.to_owned());
        refusal
    }

    /// Adds the way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what programs may want to know.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl std::error::Error for Refusal {}
