//! Questions that wait for a person, on the wire.

use codepiper_core::approval::{ApprovalId, Reach, Standing};
use codepiper_core::gate::Wants;
use codepiper_core::ids::SessionId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The most approvals one request gives.
pub const APPROVALS_MAX: u32 = 1_000;

/// The longest note to an agent, in characters.
pub const NOTE_MAX: usize = 4_000;

/// A question, open or closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Its id: the session's and a number.
    pub id: ApprovalId,
    /// The session that asks.
    pub session_id: SessionId,
    /// The session's name, while it is on the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_name: Option<String>,
    /// Where it stands.
    pub state: Standing,
    /// What it wants of a person.
    pub wants: Wants,
    /// The tool.
    pub tool: String,
    /// Its arguments, secrets masked and long texts cut.
    pub args: Value,
    /// The call as lines for a person: the command, the diff of an edit, a question with its options.
    pub shown: Vec<String>,
    /// Why a person is asked.
    pub why: String,
    /// The sub-agent that asks, when it is not the main one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The rule that an answer for the session or for good would write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub always_rule: Option<Value>,
    /// SHA-256 over tool and arguments: what an answer is bound to.
    pub digest: String,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When it stops to wait here; at the agent's terminal it may stand longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// By whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<String>,
    /// How far the answer reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// What the person said to the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// `GET /approvals`. All fields are optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApprovalQuery {
    /// Only of this session: id, name or prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// `open` (default), `all`, or one of the other states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// At most so many, the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Several approvals, the oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalList {
    /// They.
    pub approvals: Vec<Approval>,
}

/// One approval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalBody {
    /// It.
    pub approval: Approval,
}

/// A yes or a no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// Yes.
    Allow,
    /// No.
    Deny,
}

/// `POST /approvals/:id/answer`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnswerApproval {
    /// Yes or no.
    pub decision: Word,
    /// How far it reaches.
    #[serde(default)]
    pub reach: Reach,
    /// What the agent is told with a no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The answers to the model's questions: question to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Map<String, Value>>,
    /// The digest of what the person saw. When it is given, it must be that of the approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}
