//! What became of a call: its outcome for the audit log, and the id that holds its entries together.
//!
//! A call passes several hooks, and not all of them name it. The law to keep: entries with the same id are about the
//! same tool with the same arguments, asked for by the same agent.

use super::Actor;
use codepiper_core::approval::digest;
use codepiper_core::gate::Gate;
use codepiper_core::hook::{HookEvent, ToolCall, shorten};
use codepiper_store::audit::NewEntry;
use jiff::Timestamp;
use serde_json::json;
use std::collections::VecDeque;

/// Calls that are remembered. An agent and its sub-agents make a handful at a time; what is interrupted never ends.
const CALLS_MAX: usize = 64;

/// Characters of an error that are kept: what went wrong stands at its beginning, the event has the rest.
const ERROR_MAX: usize = 300;

/// The calls that were decided and have not come out yet, oldest first.
#[derive(Default)]
pub(super) struct Calls(VecDeque<Underway>);

struct Underway {
    id: String,
    /// By which a hook that does not name the call is recognised as one of it.
    key: String,
    agent: Option<String>,
    was_asked: bool,
    decided_at: Timestamp,
}

impl Calls {
    fn begins(&mut self, id: &str, key: String, agent: Option<String>, at: Timestamp) {
        self.0.retain(|call| call.id != id);
        if self.0.len() >= CALLS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Underway { id: id.to_owned(), key, agent, was_asked: false, decided_at: at });
    }

    /// The call that a question without an id is about.
    fn asked(&mut self, key: &str, agent: Option<&str>) -> Option<String> {
        let mut same = self.0.iter_mut().filter(|call| call.key == key && call.agent.as_deref() == agent);
        // The same call twice at a time is asked about one after the other.
        let call = same.find(|call| !call.was_asked)?;
        call.was_asked = true;
        Some(call.id.clone())
    }

    /// Notes that a person or the clock has decided.
    pub(super) fn decided(&mut self, id: &str, at: Timestamp) {
        if let Some(call) = self.0.iter_mut().find(|call| call.id == id) {
            call.decided_at = at;
        }
    }

    /// Forgets a call that came out; when it was decided.
    fn ends(&mut self, id: &str) -> Option<Timestamp> {
        let position = self.0.iter().position(|call| call.id == id)?;
        self.0.remove(position).map(|call| call.decided_at)
    }
}

impl Actor {
    /// The agent's id of a call at a gate.
    pub(super) fn recognise(&mut self, gate: Gate, call: &ToolCall, at: Timestamp) -> Option<String> {
        let key = self.provider.dialect().call_key(call);
        match (&call.use_id, gate) {
            (Some(id), Gate::ToolUse) => {
                self.calls.begins(id, key, call.agent.clone(), at);
                Some(id.clone())
            }
            (Some(id), Gate::Question) => Some(id.clone()),
            (None, Gate::Question) => self.calls.asked(&key, call.agent.as_deref()),
            (None, Gate::ToolUse) => None,
        }
    }

    /// What the event tells of a call that was made. A call that was denied has no outcome.
    pub(super) fn outcome_entry(&mut self, hook: &HookEvent, at: Timestamp) -> Option<NewEntry> {
        let outcome = self.provider.dialect().outcome(hook)?;
        let call = hook.tool.as_ref()?;
        let decided_at = call.use_id.as_ref().and_then(|id| self.calls.ends(id));
        // Without the agent's own word it is the time in which the call was made, told and delivered.
        let since_decision = decided_at
            .filter(|_| outcome.duration_ms.is_none())
            .map(|decided| at.duration_since(decided).as_millis().max(0) as u64);
        let args = self.masker.value(call.args.clone());
        let shown = ToolCall { tool: call.tool.clone(), args, use_id: None, agent: None }.in_one_line();
        let shown = shown.strip_prefix(&call.tool).unwrap_or(&shown).trim_start();
        let word = if outcome.error.is_some() { "failed" } else { "ran" };
        let error = outcome.error.map(|error| self.masker.text(&shorten(&error, ERROR_MAX)).into_owned());
        Some(NewEntry {
            at,
            session: Some(self.known.row.id.clone()),
            kind: "outcome".into(),
            tool: Some(call.tool.clone()),
            decision: Some(word.into()),
            body: json!({
                "shown": shown, "digest": digest(&call.tool, &call.args), "call": call.use_id,
                "agent": call.agent, "reason": error, "interrupted": outcome.was_interrupted,
                "durationMs": outcome.duration_ms, "sinceDecisionMs": since_decision,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_about_the_call_that_was_decided_and_not_asked_about_yet() {
        let at = Timestamp::UNIX_EPOCH;
        let mut calls = Calls::default();
        calls.begins("1", "Bash ls".into(), None, at);
        calls.begins("2", "Bash ls".into(), Some("sub".into()), at);
        calls.begins("3", "Bash ls".into(), None, at);
        let mut asked = |key: &str, agent| calls.asked(key, agent).unwrap_or_default();
        assert_eq!(asked("Bash ls", None), "1");
        assert_eq!(asked("Bash ls", Some("sub")), "2");
        assert_eq!(asked("Bash rm", None), "");
        assert_eq!(asked("Bash ls", None), "3");
        assert_eq!(asked("Bash ls", None), "");
    }

    #[test]
    fn a_call_that_came_out_is_forgotten_and_so_is_the_oldest_of_too_many() {
        let second = |n| Timestamp::from_second(n).unwrap();
        let mut calls = Calls::default();
        calls.begins("1", "k".into(), None, second(1));
        calls.decided("1", second(5));
        assert_eq!((calls.ends("1"), calls.ends("1")), (Some(second(5)), None));
        for n in 0..=CALLS_MAX {
            calls.begins(&n.to_string(), "k".into(), None, second(1));
        }
        assert_eq!((calls.ends("0"), calls.ends("1").is_some()), (None, true));
    }
}
