//! What an entry of the event log says about a session, as far as it is worth telling.

use super::Kind;
use crate::hook::shorten;
use serde_json::Value;

/// Characters of what an agent says that are shown: a lock screen has no more.
const BODY_MAX: usize = 400;

/// Something that can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Of which kind.
    pub kind: Kind,
    /// The sentence below the title.
    pub body: String,
    /// The question that is asked, by a key of the agent's; empty while it is not known which. A state file shows that
    /// something is asked before the hook says what.
    pub about: String,
    /// What makes it the same as another, where it is not the entry itself: a budget of the day is told once, however
    /// many sessions run into it.
    pub key: Option<String>,
}

/// What an entry means to who waits for something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The session is now so, and was not before.
    Now(Found),
    /// What was so before is over: the agent goes on, or somebody dealt with it.
    Over,
    /// Nothing that was so before is worth telling any more, though nobody dealt with it.
    Dropped,
    /// It happened, whatever the session does.
    Happened(Found),
}

impl Change {
    /// Reads an entry by its source, its type and its details. `None` changes nothing.
    pub fn read(source: &str, kind: &str, payload: &Value) -> Option<Self> {
        match (source, kind) {
            ("session", "state") => state(payload),
            ("session", "removed") => Some(Self::Over),
            ("session", "budget") => budget(payload).map(Self::Happened),
            _ => None,
        }
    }
}

fn state(payload: &Value) -> Option<Change> {
    let text = |name: &str| payload[name].as_str().unwrap_or_default();
    // What is read off a file or a screen does not know which question it is.
    let about = match text("cause") {
        "seen" => "",
        _ => payload["detail"]["about"].as_str().unwrap_or_default(),
    };
    let now = |kind, body: &str| {
        Some(Change::Now(Found { kind, body: one_line(body), about: about.to_owned(), key: None }))
    };
    let reason = text("reason");
    match (text("from"), text("state"), text("cause")) {
        // Somebody is ending it; how it ends is told by the end.
        (_, _, "end-requested") => Some(Change::Dropped),
        (_, "running" | "starting", _) => Some(Change::Over),
        (_, "waiting", _) => {
            let kind = match text("status") {
                "NEEDS_PERMISSION" => Kind::PermissionRequired,
                _ => Kind::InputRequired,
            };
            now(kind, payload["detail"]["question"].as_str().unwrap_or(reason))
        }
        (_, "idle", "turn-failed") => now(Kind::TurnFailed, reason),
        (_, "idle", "interrupted") => Some(Change::Over),
        ("running" | "waiting", "idle", _) => now(Kind::TurnCompleted, "It is ready for your next prompt."),
        ("idle", "idle", _) => None,
        (_, "idle", _) => Some(Change::Over),
        (_, "stopped", "exited") => now(Kind::Completed, reason),
        (_, "stopped", _) => Some(Change::Over),
        (_, "crashed", _) => now(Kind::Crashed, reason),
        _ => None,
    }
}

fn budget(payload: &Value) -> Option<Found> {
    let text = |name: &str| payload[name].as_str();
    let (of, taken, percent) = (text("of")?, text("taken")?, payload["percent"].as_u64()?);
    let whose = if of == "day" { "The day's budget" } else { "Its budget" };
    let body = match text("level")? {
        "used-up" => format!("{whose} is used up: {taken}. Every tool call asks you first."),
        _ => format!("{whose} is used up to {percent} %: {taken}."),
    };
    let key = text("day").map(|day| {
        let limit = taken.rsplit(" of ").next().unwrap_or_default();
        format!(
            "budget-{day}-{}-{}-{limit}",
            text("what").unwrap_or_default(),
            text("level").unwrap_or_default()
        )
    });
    Some(Found { kind: Kind::BudgetReached, body: one_line(&body), about: String::new(), key })
}

/// What an agent wrote, as one line without control characters: it may be anything.
fn one_line(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    shorten(&words.join(" "), BODY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_say_what_is_worth_telling() {
        let read = |from: &str, state: &str, cause: &str| {
            let payload = json!({
                "from": from, "state": state, "cause": cause, "reason": "why", "status": "NEEDS_PERMISSION",
                "detail": { "question": "Bash: make\n\u{1b}[2Jtest", "about": "a" },
            });
            Change::read("session", "state", &payload)
        };
        let found = |kind, body: &str, about: &str| {
            Some(Change::Now(Found { kind, body: body.into(), about: about.into(), key: None }))
        };
        let now = |kind, body: &str| found(kind, body, "a");
        let ready = "It is ready for your next prompt.";
        let cases = [
            (("starting", "idle", "ready"), Some(Change::Over)),
            (("idle", "running", "prompt-taken"), Some(Change::Over)),
            (("running", "idle", "turn-ended"), now(Kind::TurnCompleted, ready)),
            (("running", "idle", "seen"), found(Kind::TurnCompleted, ready, "")),
            (("running", "waiting", "seen"), found(Kind::PermissionRequired, "Bash: make [2Jtest", "")),
            (("waiting", "idle", "turn-ended"), now(Kind::TurnCompleted, ready)),
            (("idle", "idle", "interrupted"), Some(Change::Over)),
            (("running", "idle", "interrupted"), Some(Change::Over)),
            (("idle", "idle", "turn-failed"), now(Kind::TurnFailed, "why")),
            (("idle", "idle", "turn-ended"), None),
            (("running", "waiting", "asked"), now(Kind::PermissionRequired, "Bash: make [2Jtest")),
            (("running", "running", "end-requested"), Some(Change::Dropped)),
            (("running", "stopped", "ended-as-asked"), Some(Change::Over)),
            (("idle", "stopped", "exited"), now(Kind::Completed, "why")),
            (("running", "crashed", "exited"), now(Kind::Crashed, "why")),
            (("crashed", "starting", "launched"), Some(Change::Over)),
        ];
        for ((from, state, cause), expected) in cases {
            assert_eq!(read(from, state, cause), expected, "{from} {state} {cause}");
        }
        assert_eq!(Change::read("session", "removed", &json!({})), Some(Change::Over));
        assert_eq!(Change::read("hook", "Stop", &json!({})), None);
        assert_eq!(Change::read("session", "state", &json!("?")), None);
    }

    #[test]
    fn a_budget_of_the_day_is_one_thing_for_all_sessions() {
        let read = |of: &str, level: &str, day: Option<&str>| {
            let payload = json!({
                "of": of, "what": "cost", "taken": "$4.10 of $5", "percent": 82, "level": level, "day": day,
            });
            match Change::read("session", "budget", &payload) {
                Some(Change::Happened(found)) => (found.body, found.key),
                other => panic!("{other:?}"),
            }
        };
        let (body, key) = read("session", "nearly-used-up", None);
        assert_eq!((body.as_str(), key), ("Its budget is used up to 82 %: $4.10 of $5.", None));
        let (body, key) = read("day", "used-up", Some("2026-11-21"));
        assert_eq!(body, "The day's budget is used up: $4.10 of $5. Every tool call asks you first.");
        assert_eq!(key.as_deref(), Some("budget-2026-11-21-cost-used-up-$5"));
    }
}
