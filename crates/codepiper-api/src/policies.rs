//! Policies and sets of them on the wire, and what can be asked about them: what a call would get, what a draft would
//! have changed.
//!
//! Rules travel as they are written. Where they are sent to us they are plain JSON here, because the daemon answers
//! with everything that is wrong and not with the first thing.

use codepiper_core::ids::SessionId;
use codepiper_core::policy::{self, Action, Fallback, Policy, Rule};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest name of a policy or a set, in characters.
pub const POLICY_NAME_MAX: usize = 200;

/// The longest id of a policy or a set, in characters.
pub const POLICY_ID_MAX: usize = 100;

/// The most events a backtest looks at. It takes a few seconds for them.
pub const BACKTEST_EVENTS_MAX: u32 = 100_000;

/// The events a backtest looks at unless said otherwise: what some weeks of work leave.
pub const BACKTEST_EVENTS: u32 = 10_000;

/// The most calls with another decision that a backtest lists.
pub const BACKTEST_SHOWN_MAX: u32 = 1_000;

/// The calls with another decision that a backtest lists unless said otherwise.
pub const BACKTEST_SHOWN: u32 = 20;

/// A policy with its times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyView {
    /// It.
    #[serde(flatten)]
    pub policy: Policy,
    /// The session of its scope, as the original has it.
    pub session_id: Option<SessionId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// One policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyBody {
    /// It.
    pub policy: PolicyView,
}

/// Several policies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyList {
    /// The higher priorities first, of one priority the newest.
    pub policies: Vec<PolicyView>,
    /// Stored policies that cannot be read. As long as there are any, every call is denied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

/// `GET /policies`. All fields are optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyQuery {
    /// Only those that are enabled, or only those that are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Only those scoped to this session; `null` for those scoped to none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
}

/// `GET /sessions/:id/effective-policies`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EffectivePolicies {
    /// Those that hold for the session, the first to decide first.
    pub policies: Vec<PolicyView>,
    /// What happens to a call that no rule decides.
    pub fallback: Fallback,
}

/// `PUT /sessions/:id/policy`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PutSessionPolicy {
    /// The policy: `name`, `rules`, and what else there is but `id` and `scope`.
    pub policy: Map<String, Value>,
}

/// What became of a session's own policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionPolicyPut {
    /// Always true: what failed is an error.
    pub success: bool,
    /// Its id.
    pub policy_id: String,
    /// `created` or `updated`.
    pub action: String,
}

/// Something wrong with a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where: `rules[2].args.command`.
    pub at: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl From<policy::Problem> for Problem {
    fn from(policy::Problem { at, what, hint }: policy::Problem) -> Self {
        Self { at, what, hint }
    }
}

/// A policy set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicySet {
    /// Its id.
    pub id: String,
    /// Its name, which no other has.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether new sessions get it.
    pub is_default: bool,
    /// How many policies are in it.
    pub policy_count: usize,
    /// How many sessions have it.
    pub session_count: usize,
    /// Its policies, where one set was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<Vec<PolicyView>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it or its members were last changed.
    pub updated_at: Timestamp,
}

/// One policy set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicySetBody {
    /// It.
    pub policy_set: PolicySet,
}

/// Several policy sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicySetList {
    /// By name.
    pub policy_sets: Vec<PolicySet>,
}

/// `POST /policy-sets`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct CreatePolicySet {
    /// Its id; made where it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether new sessions get it; the former default set is none then.
    pub is_default: bool,
    /// Its policies: ids, names or prefixes.
    pub policy_ids: Vec<String>,
}

/// `PUT /policy-sets/:id`. What is missing stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangePolicySet {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is for; empty takes it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether new sessions get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_default: Option<bool>,
}

/// `POST /policy-sets/:id/policies`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct AddPolicy {
    /// The policy: id, name or prefix.
    pub policy_id: String,
}

/// `POST /sessions/:id/policy-sets`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplyPolicySet {
    /// The set: id, name or prefix.
    pub policy_set_id: String,
}

/// `POST /policies/test`: what a call would get.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TestCall {
    /// The tool, as the agent names it.
    pub tool: String,
    /// Its arguments.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub args: Map<String, Value>,
    /// Where the agent works, absolute; the session's folder, else the home folder, unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Whose call it is; without one, that of a new session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The provider of that new session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// These rules in place of what is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Value>,
    /// This policy in place of what is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Value>,
}

/// What a call would get.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// The decision with its parts: `action`, `by`, `reason`, `parts`.
    pub decision: Value,
    /// What it comes to.
    pub effect: Effect,
    /// The decision in lines for a person.
    pub lines: Vec<String>,
    /// The policies that were asked, the first to decide first.
    pub policies: Vec<PolicyName>,
    /// What happens to a call that no rule decides.
    pub fallback: Fallback,
    /// The session runs without permission questions: no rule is asked there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bypassed: bool,
}

/// What a decision comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It runs, and nobody is asked.
    Allow,
    /// A person is asked.
    Ask,
    /// It does not run.
    Deny,
    /// Nothing is said, and the agent goes on by its own rules.
    None,
}

/// A policy by its names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyName {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
}

/// `POST /policies/backtest`: what a draft would have changed. One of `policy` and `rules` must be there.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backtest {
    /// The draft. One with the id of a policy that is there takes its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Value>,
    /// Only its rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Value>,
    /// Only calls of this session: id, name or prefix; a whole id also after the session has left the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Only calls at or after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// At most so many calls, the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// At most so many calls in `changes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub show: Option<u32>,
}

/// How many calls got which action.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the actions, by their names
pub struct Counts {
    pub allow: u64,
    pub ask: u64,
    pub deny: u64,
}

impl Counts {
    /// One more.
    pub fn count(&mut self, action: Action) {
        match action {
            Action::Allow => self.allow += 1,
            Action::Ask => self.ask += 1,
            Action::Deny => self.deny += 1,
        }
    }
}

/// What a draft would have changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backtested {
    /// Recorded calls that were decided anew.
    pub calls: u64,
    /// Recorded calls that could not be read.
    pub skipped: u64,
    /// Whether there are older ones beyond the limit.
    pub more: bool,
    /// What they get by the rules in force.
    pub now: Counts,
    /// What they would get by the draft together with the rules in force.
    pub with: Counts,
    /// What they would get by the draft alone.
    pub alone: Counts,
    /// How many would get another action with the draft.
    pub changed: u64,
    /// The latest of those, the latest first.
    pub changes: Vec<ChangedCall>,
}

/// A call that would get another action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangedCall {
    /// Its event.
    pub event: u64,
    /// Its session.
    pub session: SessionId,
    /// When it was made.
    pub at: Timestamp,
    /// The tool.
    pub tool: String,
    /// The call in a line.
    pub call: String,
    /// What it gets.
    pub now: Action,
    /// What it would get.
    pub with: Action,
    /// Why.
    pub reason: String,
}

/// `POST /policies/import`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportPolicy {
    /// The contents of a settings file of Claude Code.
    pub claude: Value,
    /// Only say what would be imported.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The id of the policy. One that is there gets the new rules; one is made where it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// Its scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Value>,
}

/// What was imported, or would be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    /// The rules.
    pub rules: Vec<Rule>,
    /// What has no rule of ours, and why.
    pub problems: Vec<Problem>,
    /// The policy, when it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyView>,
}

/// A policy to begin with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StarterView {
    /// What it is called when it is installed.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it wants to happen when none of its rules decides.
    pub fallback: Fallback,
    /// The policy.
    pub policy: Policy,
}

/// `GET /policies/starters`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StarterList {
    /// They.
    pub starters: Vec<StarterView>,
}

/// `POST /policies/starters/:name`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct InstallStarter {
    /// Make its set the one that new sessions get.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_default: bool,
}

/// A starter that was installed: a policy that counts through a set, and the set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Installed {
    /// The policy.
    pub policy: PolicyView,
    /// The set.
    pub policy_set: PolicySet,
    /// What the starter wants to happen when none of its rules decides. The setting is left alone.
    pub fallback: Fallback,
}
