//! What a hook decides when the daemon does not answer: what the session's rules deny stays denied, what they ask about
//! is asked at the agent's own terminal, and everything else is left to the agent's own rules.
//!
//! It runs inside the hook helper: no runtime, no store. The rules come from a file that the daemon keeps up to date.

use crate::own_files::{WHY, names_own_files};
use crate::pane::write_whole;
use crate::paths::RealPaths;
use codepiper_core::gate::{Gate, Verdict, Wants};
use codepiper_core::hook::ToolCall;
use codepiper_core::ids::SessionId;
use codepiper_core::policy::{Action, Call, Decider, Decision, Snapshot};
use codepiper_core::provider::Speaks;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file in a session's folder.
pub const RULES_FILE: &str = "rules.json";

/// The field that a spooled event carries with what was decided.
pub const RECORD_FIELD: &str = "codepiperStandIn";

/// The rules of a session, and what is needed to apply them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// How the agent speaks.
    pub speaks: Speaks,
    /// The session.
    pub session: SessionId,
    /// Where it works.
    pub cwd: PathBuf,
    /// What `~` means.
    pub home: Option<PathBuf>,
    /// Our own folder.
    pub own: PathBuf,
    /// No rules: the session was started as dangerous.
    pub bypass: bool,
    /// They.
    pub snapshot: Snapshot,
}

impl Rules {
    /// Writes them into the session's folder, in one step.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        write_whole(&folder.join(RULES_FILE), json!(self).to_string().as_bytes())
    }
}

/// What the hook prints, and what goes on record.
pub struct StoodIn {
    /// Empty for no answer.
    pub says: String,
    /// The body with what was decided in it.
    pub body: Vec<u8>,
}

/// Decides the event of this body by the rules in the session's folder. `None` when there is nothing to decide.
pub fn stand_in(folder: &Path, body: &[u8]) -> Option<StoodIn> {
    let mut event: Value = serde_json::from_slice(body).ok().filter(Value::is_object)?;
    let rules =
        fs::read(folder.join(RULES_FILE)).ok().and_then(|text| serde_json::from_slice::<Rules>(&text).ok());
    // Without its rules a session that may be asked is asked. The dialects that have gates name them alike.
    let speaks = rules.as_ref().map_or(Speaks::Claude, |rules| rules.speaks);
    let dialect = speaks.dialect();
    let hook = dialect.read_hook(event.clone());
    let (gate, call) = (dialect.gate(&hook.name)?, hook.tool?);
    if rules.as_ref().is_some_and(|rules| rules.bypass) {
        return None;
    }
    let guards = |rules: &Rules| {
        let cwd = directory(&event);
        names_own_files(&rules.own, &call, cwd.as_deref().unwrap_or(&rules.cwd), &RealPaths::default())
    };
    let is_ours = rules.as_ref().is_some_and(guards);
    let decision = rules.and_then(|rules| decide(rules, &call, &event));
    let verdict = match &decision {
        _ if is_ours => Verdict::Deny { reason: WHY.into() },
        None if gate == Gate::ToolUse => {
            Verdict::Ask { reason: "CodePiper: the daemon and the session's rules cannot be read".into() }
        }
        None => Verdict::Nothing,
        Some(decision) => verdict(decision, &call),
    };
    // Where nobody else would ask, a question that cannot be put is a no.
    let verdict = match verdict {
        Verdict::Ask { reason } if dialect.waits_at() == Some(gate) && gate == Gate::ToolUse => {
            Verdict::Deny { reason: format!("{reason}; nobody could be asked: the codepiper daemon is gone") }
        }
        verdict => verdict,
    };
    let says = dialect.answer(gate, &call, &verdict);
    event[RECORD_FIELD] = json!({ "verdict": verdict, "decision": decision });
    Some(StoodIn { says, body: event.to_string().into_bytes() })
}

fn decide(rules: Rules, call: &ToolCall, event: &Value) -> Option<Decision> {
    let Rules { session, cwd, home, snapshot, .. } = rules;
    let book = snapshot.book().ok()?;
    let now = directory(event);
    let paths = RealPaths::default();
    Some(book.decide(&Call {
        tool: &call.tool,
        args: &call.args,
        cwd: now.as_deref().unwrap_or(&cwd),
        session: &session,
        home: home.as_deref(),
        real: &|path| paths.of(path),
    }))
}

/// Where the agent says that it works now.
fn directory(event: &Value) -> Option<PathBuf> {
    event.get("cwd").and_then(Value::as_str).map(PathBuf::from).filter(|cwd| cwd.is_absolute())
}

/// An allow is not given: what it would let through unseen is left to the agent's own rules.
fn verdict(decision: &Decision, call: &ToolCall) -> Verdict {
    let reason = format!("CodePiper: {}", decision.reason);
    match decision.action {
        Action::Deny => Verdict::Deny { reason },
        Action::Ask if Wants::of(call) == Wants::Permission && decision.by != Decider::Fallback => {
            Verdict::Ask { reason }
        }
        Action::Ask | Action::Allow => Verdict::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use codepiper_core::policy::{Fallback, read_policy};

    fn rules(speaks: Speaks) -> Rules {
        let policy = json!({ "id": "p", "name": "p", "rules": [
            { "action": "deny", "tool": "Bash", "args": { "command": "rm *" }, "reason": "no rm" },
            { "action": "ask", "tool": "Bash", "args": { "command": "git push*" }, "reason": "look first" },
            { "action": "allow", "tool": "Bash", "args": { "command": "ls*" } },
        ]});
        Rules {
            speaks,
            session: SessionId::from_bits(1),
            cwd: "/p".into(),
            home: None,
            own: "/somewhere/.codepiper".into(),
            bypass: false,
            snapshot: Snapshot::new(vec![read_policy(&policy).unwrap()], Fallback::Ask),
        }
    }

    fn event(name: &str, command: &str) -> Vec<u8> {
        json!({ "hook_event_name": name, "tool_name": "Bash", "tool_input": { "command": command } })
            .to_string()
            .into_bytes()
    }

    #[test]
    fn what_is_denied_stays_denied_and_nothing_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let check = |speaks: Speaks, name: &str, command: &str, expected: &str| {
            rules(speaks).write(folder.path()).unwrap();
            let said = stand_in(folder.path(), &event(name, command)).map(|stood_in| stood_in.says);
            let said = said.unwrap_or_else(|| "no gate".into());
            let fits = if expected.is_empty() { said.is_empty() } else { said.contains(expected) };
            assert!(fits, "{speaks:?} {name} `{command}`: {said}");
        };
        check(Speaks::Claude, "PreToolUse", "cd x && rm -rf y", r#""permissionDecision":"deny""#);
        check(Speaks::Claude, "PreToolUse", "git push", r#""permissionDecision":"ask""#);
        check(Speaks::Claude, "PreToolUse", "cat ~/.codepiper/keys/key", "not for agents");
        check(Speaks::Claude, "PreToolUse", "ls", "");
        check(Speaks::Claude, "PreToolUse", "make", "");
        check(Speaks::Claude, "PermissionRequest", "rm x", r#""behavior":"deny""#);
        check(Speaks::Claude, "PermissionRequest", "make", "");
        check(Speaks::Claude, "PostToolUse", "rm x", "no gate");
        check(Speaks::Codex, "PreToolUse", "rm x", r#""permissionDecision":"deny""#);
        check(Speaks::Codex, "PreToolUse", "git push", "nobody could be asked");
        check(Speaks::Codex, "PreToolUse", "ls", "");
    }

    #[test]
    fn a_dangerous_session_has_no_rules_and_lost_ones_are_asked_about() {
        let folder = tempfile::tempdir().unwrap();
        let said = stand_in(folder.path(), &event("PreToolUse", "ls")).unwrap().says;
        assert!(said.contains(r#""permissionDecision":"ask""#), "{said}");
        fs::write(folder.path().join(RULES_FILE), "no json").unwrap();
        assert!(stand_in(folder.path(), &event("PreToolUse", "ls")).unwrap().says.contains("ask"));
        Rules { bypass: true, ..rules(Speaks::Claude) }.write(folder.path()).unwrap();
        assert!(stand_in(folder.path(), &event("PreToolUse", "rm x")).is_none());
    }

    #[test]
    fn the_record_says_what_was_decided() {
        let folder = tempfile::tempdir().unwrap();
        rules(Speaks::Claude).write(folder.path()).unwrap();
        let body = stand_in(folder.path(), &event("PreToolUse", "rm x")).unwrap().body;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["tool_input"]["command"], "rm x");
        assert_eq!(body[RECORD_FIELD]["verdict"]["says"], "deny");
        assert_eq!(body[RECORD_FIELD]["decision"]["by"]["policy"], "p");
    }
}
