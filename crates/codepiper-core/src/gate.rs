//! Hooks whose answer decides: where they stand in a tool call, and what can be said there.
//!
//! How an answer looks is each dialect's own ([`crate::provider::Dialect::answer`]).

use crate::hook::ToolCall;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A place where the agent waits for our word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Before a tool runs, in every permission mode (`PreToolUse`).
    ToolUse,
    /// Somebody has to be asked (`PermissionRequest`).
    Question,
}

/// What is said at a gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing: the agent goes on by its own rules.
    Nothing,
    /// The tool runs.
    Allow {
        /// Why, for the agent and the person who reads its screen.
        reason: String,
    },
    /// The tool does not run, and the model is told why.
    Deny {
        /// Why.
        reason: String,
    },
    /// A person decides.
    Ask {
        /// Why.
        reason: String,
    },
    /// What a person answered to the model's questions, by the text of the question.
    Answers {
        /// Question to answer.
        answers: Map<String, Value>,
    },
}

/// What a tool call wants of a person, whatever the rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wants {
    /// Leave to run.
    Permission,
    /// Answers to questions of the model.
    Answers,
    /// A yes to its plan.
    Plan,
}

impl Wants {
    /// What the call wants. Only a permission can be given by a rule: a rule knows no answer, and a plan is for a
    /// person to read.
    pub fn of(call: &ToolCall) -> Self {
        match call.tool.as_str() {
            "AskUserQuestion" => Self::Answers,
            "ExitPlanMode" => Self::Plan,
            _ => Self::Permission,
        }
    }
}
