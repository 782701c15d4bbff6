//! What a second client says to Codex's app server, as values: JSON-RPC without its `jsonrpc` field. Each was
//! tried against 0.169.0.

use super::super::{Approval, ApprovalKind};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Notifications that a manager does not need, a stream of small pieces each. Codex leaves them out for a
/// client that names them.
const UNWANTED: &[&str] = &[
    "item/agentMessage/delta",
    "item/plan/delta",
    "item/reasoning/summaryTextDelta",
    "item/reasoning/summaryPartAdded",
    "item/reasoning/textDelta",
    "item/commandExecution/outputDelta",
    "item/fileChange/outputDelta",
    "item/fileChange/patchUpdated",
    "turn/diff/updated",
    "hook/started",
    "hook/completed",
];

/// The first request of a connection.
pub fn initialize(id: u64, version: &str) -> Value {
    json!({ "id": id, "method": "initialize", "params": {
        "clientInfo": { "name": "codepiper", "title": "CodePiper", "version": version },
        "capabilities": { "experimentalApi": true, "optOutNotificationMethods": UNWANTED },
    }})
}

/// What follows the answer to [`initialize`].
pub fn initialized() -> Value {
    json!({ "method": "initialized" })
}

/// The threads in the server's memory: `result.data`, ids.
pub fn loaded_threads(id: u64) -> Value {
    json!({ "id": id, "method": "thread/loaded/list", "params": {} })
}

/// A thread's metadata, also of one that was never prompted.
pub fn read_thread(id: u64, thread: &str) -> Value {
    json!({ "id": id, "method": "thread/read", "params": { "threadId": thread } })
}

/// Follows a thread: its turns, items and questions come from now on, and questions that are open come again.
/// Fails with "no rollout found" as long as the thread was never prompted; it works as soon as a
/// `turn/start` was accepted.
pub fn follow(id: u64, thread: &str) -> Value {
    json!({ "id": id, "method": "thread/resume", "params": { "threadId": thread, "excludeTurns": true } })
}

/// No longer follows a thread, so that the server can let go of it.
pub fn unfollow(id: u64, thread: &str) -> Value {
    json!({ "id": id, "method": "thread/unsubscribe", "params": { "threadId": thread } })
}

/// A prompt. In a running turn it joins that turn, as [`steer`] does, and the answer names it: so this one
/// needs no knowledge of the state, which may change on the way. `result.turn.id` is the turn.
pub fn prompt(id: u64, thread: &str, text: &str, images: &[PathBuf]) -> Value {
    json!({ "id": id, "method": "turn/start", "params": { "threadId": thread, "input": input(text, images) } })
}

/// A prompt for exactly that running turn. Refused with "no active turn to steer", or "expected active turn
/// id … but found …".
pub fn steer(id: u64, thread: &str, turn: &str, text: &str, images: &[PathBuf]) -> Value {
    json!({ "id": id, "method": "turn/steer", "params": {
        "threadId": thread, "expectedTurnId": turn, "input": input(text, images),
    }})
}

/// The newest turn: `result.data[0]` with `id` and `status`.
pub fn newest_turn(id: u64, thread: &str) -> Value {
    json!({ "id": id, "method": "thread/turns/list", "params": {
        "threadId": thread, "limit": 1, "sortDirection": "desc", "itemsView": "notLoaded",
    }})
}

/// Stops a turn (25 ms, with the command that runs in it). Refused with "no active turn to interrupt" when
/// it is over.
pub fn interrupt(id: u64, thread: &str, turn: &str) -> Value {
    json!({ "id": id, "method": "turn/interrupt", "params": { "threadId": thread, "turnId": turn } })
}

/// Another model from the next request on. The answer is empty, and `thread/settings/updated` comes only
/// when something changed: [`read_thread`] says what is in force.
pub fn set_model(id: u64, thread: &str, model: &str) -> Value {
    json!({ "id": id, "method": "thread/settings/update", "params": { "threadId": thread, "model": model } })
}

/// No questions and no sandbox, or what Codex takes in a trusted folder. The only way for a resumed or forked
/// thread, which brings the permissions of its past.
pub fn set_permissions(id: u64, thread: &str, dangerous: bool) -> Value {
    let (approval, sandbox) =
        if dangerous { ("never", "dangerFullAccess") } else { ("on-request", "workspaceWrite") };
    json!({ "id": id, "method": "thread/settings/update", "params": {
        "threadId": thread, "approvalPolicy": approval, "sandboxPolicy": { "type": sandbox },
    }})
}

/// What a person, or a policy, says to an [`Approval`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, this once.
    Accept,
    /// Yes, and do not ask again for the like in this session.
    AcceptForSession,
    /// No; the turn goes on and the model hears of it.
    Decline,
    /// No, and the turn ends.
    Cancel,
    /// The answer to a question, in words.
    Say(String),
}

/// The answer to a question, or `None` when that kind of question has no such answer.
pub fn answer(approval: &Approval, verdict: &Verdict) -> Option<Value> {
    use ApprovalKind as K;
    use Verdict as V;
    let result = match (approval.kind, verdict) {
        (K::Command | K::FileChange, V::Accept) => json!({ "decision": "accept" }),
        (K::Command | K::FileChange, V::AcceptForSession) => json!({ "decision": "acceptForSession" }),
        (K::Command | K::FileChange, V::Decline) => json!({ "decision": "decline" }),
        (K::Command | K::FileChange, V::Cancel) => json!({ "decision": "cancel" }),
        (K::Permissions, V::Accept) => granted(approval, "turn"),
        (K::Permissions, V::AcceptForSession) => granted(approval, "session"),
        (K::Permissions, V::Decline | V::Cancel) => json!({ "permissions": {} }),
        (K::Question, V::Say(text)) => {
            let questions = approval.params.get("questions").and_then(Value::as_array)?;
            let first = questions.first()?.get("id")?.as_str()?;
            json!({ "answers": { first: { "answers": [text] } } })
        }
        (K::Question, V::Decline | V::Cancel) => json!({ "answers": {} }),
        (K::Elicitation, V::Decline) => json!({ "action": "decline" }),
        (K::Elicitation, V::Cancel) => json!({ "action": "cancel" }),
        (K::Question | K::Elicitation, V::Accept | V::AcceptForSession)
        | (K::Command | K::FileChange | K::Permissions | K::Elicitation, V::Say(_)) => return None,
    };
    Some(json!({ "id": approval.request, "result": result }))
}

fn granted(approval: &Approval, scope: &str) -> Value {
    let wanted = approval.params.get("permissions").cloned().unwrap_or_else(|| json!({}));
    json!({ "permissions": wanted, "scope": scope })
}

fn input(text: &str, images: &[PathBuf]) -> Value {
    let images = images.iter().map(|path| json!({ "type": "localImage", "path": path.to_string_lossy() }));
    let text = (!text.is_empty()).then(|| json!({ "type": "text", "text": text }));
    images.chain(text).collect()
}
