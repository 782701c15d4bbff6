//! What the recordings do not show: older shapes, and things that nobody did in the lab.

use super::*;
use crate::transcript::CALLS_MAX;
use crate::transcript::tests::tell;
use serde_json::json;

fn check(lines: &[Value], expected: &str) {
    let mut context = Context { model: Some("gpt-5".into()), ..Context::default() };
    assert_eq!(tell(&Rollouts, &mut context, lines).trim_end(), expected, "{lines:?}");
}

fn record(kind: &str, payload: Value) -> Value {
    json!({ "timestamp": "2025-11-20T21:34:14.369Z", "type": kind, "payload": payload })
}

fn event(payload: Value) -> Value {
    record("event_msg", payload)
}

fn item(payload: Value) -> Value {
    record("response_item", payload)
}

fn completed(item: Value) -> Value {
    event(json!({ "type": "item_completed", "item": item }))
}

fn output(output: Value) -> Value {
    item(json!({ "type": "function_call_output", "call_id": "c", "output": output }))
}

#[test]
fn messages_come_from_old_events_until_there_are_items() {
    let user = event(
        json!({ "type": "user_message", "message": "hello", "images": ["data:image/png;base64,QUFB"] }),
    );
    let agent = event(json!({ "type": "agent_message", "message": "hi" }));
    let new_user = completed(
        json!({ "type": "UserMessage", "id": "1", "content": [{ "type": "text", "text": "again" }] }),
    );
    let new_agent = completed(
        json!({ "type": "AgentMessage", "id": "2", "content": [{ "type": "Text", "text": "yes" }] }),
    );
    let told_again = item(
        json!({ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "hello" }] }),
    );
    check(
        &[told_again.clone(), user.clone(), agent.clone(), new_user, told_again, user, new_agent, agent],
        "user: hello\nassistant (gpt-5): hi\nuser: again\nassistant (gpt-5): yes",
    );
}

#[test]
fn the_same_line_has_the_same_uid_wherever_it_is() {
    let uid = |line: &Value| {
        Rollouts.read(&mut Context::default(), line.to_string().as_bytes()).entries[0].uid.clone()
    };
    let old = event(json!({ "type": "agent_message", "message": "hi" }));
    let later =
        json!({ "timestamp": "2025-11-20T21:34:15.000Z", "type": "event_msg", "payload": old["payload"] });
    assert_eq!(uid(&old), uid(&old.clone()));
    assert_ne!(uid(&old), uid(&later));
    let call = item(json!({ "type": "function_call", "name": "shell", "call_id": "c", "arguments": "{}" }));
    assert_eq!((uid(&call).as_str(), uid(&output(json!("x"))).as_str()), ("call:c", "result:c"));
}

#[test]
fn calls_are_readable() {
    let call = |name: &str, arguments: &str| {
        item(json!({ "type": "function_call", "name": name, "call_id": "c", "arguments": arguments }))
    };
    check(
        &[call("exec_command", r#"{"cmd":"ls -l","workdir":"/tmp"}"#)],
        "call exec_command: ls -l workdir: /tmp",
    );
    check(&[call("shell", r#"{"command":["bash","-lc","ls"]}"#)], "call shell: bash -lc ls");
    check(&[call("shell", "not JSON")], "call shell: not JSON");
    check(
        &[item(
            json!({ "type": "custom_tool_call", "name": "apply_patch", "call_id": "c", "input": "*** Begin Patch" }),
        )],
        "call apply_patch: *** Begin Patch",
    );
    check(
        &[item(
            json!({ "type": "local_shell_call", "call_id": "c", "action": { "type": "exec", "command": ["ls"] } }),
        )],
        "call local_shell: ls type: exec",
    );
    check(
        &[item(
            json!({ "type": "web_search_call", "id": "ws", "status": "completed", "action": { "type": "search", "query": "rust" } }),
        )],
        "call web_search: query: rust type: search",
    );
}

#[test]
fn results_say_how_a_call_ended() {
    check(
        &[output(json!("Process exited with code 2\nWall time: 1.5 seconds\nOutput:\nno"))],
        "result Failed in 1500 ms: Process exited with code 2 Wall time: 1.5 seconds Output: no",
    );
    check(
        &[output(json!("Wall time: 0 seconds\nOutput:\nExit code: 1"))],
        "result Ok in 0 ms: Wall time: 0 seconds Output: Exit code: 1",
    );
    check(
        &[output(json!("Exit code: 0\nWall time: 0.2 seconds\nOutput:\nfine"))],
        "result Ok in 200 ms: Exit code: 0 Wall time: 0.2 seconds Output: fine",
    );
    check(
        &[output(json!(r#"{"output":"no\n","metadata":{"exit_code":1,"duration_seconds":0.5}}"#))],
        "result Failed in 500 ms: no",
    );
    check(&[output(json!("exec command rejected by user"))], "result Refused: exec command rejected by user");
    check(&[output(json!("aborted by user after 2.0s"))], "result Interrupted: aborted by user after 2.0s");
    check(
        &[output(json!("exec_command failed: No such file"))],
        "result Failed: exec_command failed: No such file",
    );
    check(&[output(json!({ "content": "bad", "success": false }))], "result Failed: bad");
    check(
        &[output(
            json!([{ "type": "input_text", "text": "seen" }, { "type": "input_image", "image_url": "data:image/png;base64,QUFB" }]),
        )],
        "result Ok: seen",
    );
}

#[test]
fn what_is_told_of_a_command_before_its_result_is_kept_for_it() {
    let ended = |status: &str, code: i64| {
        let duration = json!({ "secs": 1, "nanos": 500_000_000 });
        completed(
            json!({ "type": "CommandExecution", "id": "c", "status": status, "exit_code": code, "duration": duration }),
        )
    };
    check(&[ended("completed", 0), output(json!("done"))], "result Ok in 1500 ms: done");
    check(&[ended("failed", 3), output(json!("done"))], "result Failed in 1500 ms: done");
    check(
        &[
            completed(json!({ "type": "CommandExecution", "id": "c", "status": "declined" })),
            output(json!("no")),
        ],
        "result Refused: no",
    );
    let old = event(
        json!({ "type": "exec_command_end", "call_id": "c", "exit_code": 1, "duration": { "secs": 2, "nanos": 0 } }),
    );
    check(&[old, output(json!("done"))], "result Failed in 2000 ms: done");
    check(
        &[ended("failed", 3), output(json!("one")), output(json!("two"))],
        "result Failed in 1500 ms: one\nresult Ok: two",
    );
}

#[test]
fn calls_that_never_get_a_result_are_not_remembered_for_ever() {
    let ended = |id: usize| {
        completed(json!({ "type": "CommandExecution", "id": id.to_string(), "status": "failed" }))
    };
    let mut context = Context::default();
    tell(&Rollouts, &mut context, &(0..3 * CALLS_MAX).map(ended).collect::<Vec<_>>());
    assert_eq!(context.calls.len(), CALLS_MAX);
    assert!(context.recall("0").is_none() && context.recall(&(3 * CALLS_MAX - 1).to_string()).is_some());
}

#[test]
fn changed_files_are_named() {
    let changes =
        json!({ "/a": { "type": "add", "content": "x" }, "/b": { "type": "update", "unified_diff": "" } });
    let old = json!({ "/a": { "add": { "content": "x" } } });
    check(
        &[completed(json!({ "type": "FileChange", "id": "c", "changes": changes, "status": "completed" }))],
        "note (file_change): add /a update /b",
    );
    check(
        &[
            event(json!({ "type": "patch_apply_end", "call_id": "c", "changes": old, "success": false })),
            output(json!("?")),
        ],
        "note (file_change): add /a\nresult Failed: ?",
    );
}

#[test]
fn the_model_changes_once_however_often_it_is_told() {
    let turn = |model: &str| record("turn_context", json!({ "turn_id": model, "model": model, "cwd": "/x" }));
    let applied = event(
        json!({ "type": "thread_settings_applied", "thread_settings": { "model": "gpt-6", "cwd": "/y" } }),
    );
    check(&[turn("gpt-5"), applied, turn("gpt-6"), turn("gpt-6")], "model: gpt-6");
}

#[test]
fn ends_and_errors_are_told() {
    check(
        &[event(json!({ "type": "turn_aborted", "turn_id": "t", "reason": "interrupted" }))],
        "error (interrupted):",
    );
    check(&[event(json!({ "type": "turn_aborted", "reason": "budget_limited" }))], "error (budget_limited):");
    check(
        &[event(json!({ "type": "error", "message": "stream disconnected" }))],
        "error (api): stream disconnected",
    );
    check(&[record("compacted", json!({ "message": "so far" }))], "compaction: so far");
    check(
        &[item(
            json!({ "type": "reasoning", "id": "r", "summary": [{ "type": "summary_text", "text": "hm" }], "encrypted_content": "x" }),
        )],
        "thinking: hm",
    );
    check(&[item(json!({ "type": "reasoning", "id": "r", "summary": [], "encrypted_content": "x" }))], "");
    check(&[event(json!({ "type": "agent_reasoning", "text": "hm" }))], "");
    check(&[event(json!({ "type": "brand_new" }))], "UnknownKind(\"event_msg/brand_new\")");
    check(&[completed(json!({ "type": "Hologram" }))], "UnknownKind(\"item_completed/Hologram\")");
}

#[test]
fn a_fork_knows_itself_and_its_parent_whatever_is_replayed() {
    let meta = |id: &str, cwd: &str| {
        record("session_meta", json!({ "id": id, "cwd": cwd, "git": { "branch": cwd } }))
    };
    let mut context = Context::default();
    tell(&Rollouts, &mut context, &[meta("own", "/own"), meta("parent", "/parent"), meta("root", "/root")]);
    // A file tells its own again when something in it changed.
    tell(&Rollouts, &mut context, &[meta("own", "/own")]);
    assert_eq!(context.conversation.as_deref(), Some("own"));
    assert_eq!(context.parent.as_deref(), Some("parent"));
    assert_eq!(context.root.as_deref(), Some("root"));
    assert_eq!((context.cwd.as_deref(), context.branch.as_deref()), (Some("/own"), Some("/own")));
}

#[test]
fn files_are_told_by_their_path() {
    let id = "01a1fae1-a532-7e73-bd77-079911c641b1";
    let name = format!("rollout-2026-11-20T21-34-14-{id}.jsonl");
    // The folder that the dialect names is `sessions` itself.
    for folder in ["sessions/2026/11/20", "2026/11/20", "archived_sessions", "archived_sessions/2026/11/20"] {
        let file = Rollouts.file(&format!("{folder}/{name}")).unwrap_or_else(|| panic!("{folder}"));
        assert_eq!((file.conversation.as_deref(), file.agent), (Some(id), None));
    }
    for other in [
        "",
        "sessions",
        "sessions/2026/11",
        "sessions/2026/11/20/x",
        "2026/11/2x",
        "elsewhere/2026/11/20",
        "archived_sessionsx",
    ] {
        assert_eq!(Rollouts.file(&format!("{other}/{name}")), None, "{other}");
    }
    for other in [
        name.as_str(),
        "2026/11/20/history.jsonl",
        "2026/11/20/rollout-.jsonl",
        "2026/11/20/rollout-é1fae1-a532-7e73-bd77-079911c641b1.jsonl",
    ] {
        assert_eq!(Rollouts.file(other), None, "{other}");
    }
}
