//! OpenAI Responses: what a request says, what is wrong with it, and a reply in its form.
//!
//! The checks are those the real service makes and a faulty proxy, hook or resume could break. They know nothing of
//! scripts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Asked;
use super::conversation::Item;
use super::draft::{Draft, Frame, Piece, paced};
use super::schema::instance;
use super::script::{Call, Usage};

/// What the service is asked for.
pub(super) fn asked(body: &Value) -> Asked {
    let wants_json = body.pointer("/text/format/type").is_some_and(|kind| kind == "json_schema");
    let last = items(body)
        .into_iter()
        .rev()
        .find_map(|item| if let Item::User(text) = item { Some(text) } else { None });
    match last {
        Some(text) if text.contains("CONTEXT CHECKPOINT COMPACTION") => {
            Asked::Side("scripted summary".into())
        }
        _ if wants_json => Asked::Side(instance(&body["text"]["format"]["schema"]).to_string()),
        _ if shell(body).is_none() => Asked::Side("scripted side answer".into()),
        _ => Asked::Turn,
    }
}

/// The conversation of a request.
pub(super) fn items(body: &Value) -> Vec<Item> {
    let mut items = vec![];
    for item in input(body) {
        match (item["type"].as_str().unwrap_or("message"), item["role"].as_str()) {
            ("message", Some("user")) => items.extend(texts(&item["content"]).into_iter().map(Item::User)),
            ("message", Some("assistant")) | ("function_call" | "custom_tool_call" | "reasoning", _) => {
                items.push(Item::Model);
            }
            ("function_call_output" | "custom_tool_call_output", _) => {
                items.push(Item::ToolResult(output(&item["output"])));
            }
            _ => {}
        }
    }
    items
}

/// The thread a request belongs to.
pub(super) fn session(headers: &BTreeMap<String, String>) -> Option<String> {
    ["thread-id", "session-id", "session_id"].iter().find_map(|name| headers.get(*name).cloned())
}

/// The name and input of a call on the wire, or what the model says when it can't.
///
/// Codex has one tool for nearly everything, so files are written and read through the shell, as real models do.
pub(super) fn wire_call(call: &Call, body: &Value) -> Result<(String, Value), String> {
    let run = |command: &str, escalated: bool| {
        shell(body)
            .map(|shell| shell.call(command, escalated))
            .ok_or_else(|| "no shell tool is offered".to_owned())
    };
    match call {
        Call::Run(command) => run(command, false),
        Call::Escalated(command) => run(command, true),
        Call::Read(path) => run(&format!("cat {}", quoted(path)), false),
        Call::Write { path, content } => {
            run(&patch(&format!("Add File: {path}"), &prefixed('+', content)), false)
        }
        Call::Edit { path, old, new } => {
            let hunk = format!("@@\n{}{}", prefixed('-', old), prefixed('+', new));
            run(&patch(&format!("Update File: {path}"), &hunk), false)
        }
        Call::Ask { question, options } => {
            let options: Vec<Value> =
                options.iter().map(|label| json!({"label": label, "description": label})).collect();
            let question =
                json!({"id": "scripted", "header": "Scripted", "question": question, "options": options});
            offered(body, "request_user_input").map(|name| (name, json!({"questions": [question]})))
        }
        Call::WritePlan(_) | Call::PresentPlan => Err("no tool for plans is offered".to_owned()),
        Call::Agent(prompt) => offered(body, "spawn_agent").map(|name| (name, json!({"message": prompt}))),
        Call::Tool { name, input } => Ok((name.clone(), input.clone())),
    }
}

/// A reply as a stream of events.
pub(super) fn events(draft: &Draft, body: &Value) -> Vec<Frame> {
    let mut response = json!({
        "id": reply_id(draft), "object": "response", "status": "in_progress", "model": draft.model, "output": [],
    });
    let mut frames = vec![Frame::Event(json!({"type": "response.created", "response": response}))];
    let mut output = vec![];
    for (n, piece) in draft.pieces.iter().enumerate() {
        let id = format!("{}_{n}", draft.stem);
        let (opened, closed) = item(&id, piece, body);
        frames.push(Frame::Event(
            json!({"type": "response.output_item.added", "output_index": n, "item": opened}),
        ));
        let item_id = closed["id"].clone();
        match piece {
            Piece::Think(text) => frames.push(Frame::Event(json!({
                "type": "response.reasoning_summary_text.delta", "item_id": item_id, "output_index": n,
                "summary_index": 0, "delta": text,
            }))),
            Piece::Text { words, pause } => {
                let delta = |word: &str| {
                    json!({
                        "type": "response.output_text.delta", "item_id": item_id, "output_index": n,
                        "content_index": 0, "delta": word,
                    })
                };
                frames.extend(paced(words, *pause, delta));
            }
            Piece::Call { input, .. } => frames.push(Frame::Event(json!({
                "type": "response.function_call_arguments.delta", "item_id": item_id, "output_index": n,
                "delta": input.to_string(),
            }))),
        }
        // The last item of a reply that is cut stays open, as it does when a real connection drops.
        if draft.cut && n + 1 == draft.pieces.len() {
            frames.push(Frame::Cut);
            return frames;
        }
        frames.push(Frame::Event(
            json!({"type": "response.output_item.done", "output_index": n, "item": closed}),
        ));
        output.push(closed);
    }
    response["status"] = json!("completed");
    response["output"] = json!(output);
    response["usage"] = usage(&draft.usage);
    frames.push(Frame::Event(json!({"type": "response.completed", "response": response})));
    frames
}

/// The id of a reply, which rollouts keep.
pub(super) fn reply_id(draft: &Draft) -> String {
    format!("resp_{}", draft.stem)
}

/// The models there are. OpenAI's list is in `data`; Codex looks for its own in `models` and does without.
pub(super) fn models() -> Value {
    json!({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "tests"}], "models": []})
}

/// The only model of the stub. The others are accepted too.
const MODEL: &str = "stub-model";

/// An error as the service words it.
pub(super) fn error(status: u16, message: &str) -> Value {
    let kind = match status {
        401 => "authentication_error",
        429 => "rate_limit_exceeded",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    };
    json!({"error": {"type": kind, "code": kind, "message": message, "param": null}})
}

/// Everything the real service would refuse, and what only Codex must keep.
pub(super) fn check(headers: &BTreeMap<String, String>, body: &Value) -> Vec<String> {
    let mut wrong = vec![];
    let mut must = |holds: bool, law: &str| {
        if !holds {
            wrong.push(law.to_owned());
        }
    };
    must(headers.contains_key("authorization"), "authorization is not sent");
    must(body["model"].as_str().is_some_and(|model| !model.is_empty()), "`model` is missing");
    must(body["stream"] == true, "`stream` is not true");
    must(body["store"] == false, "`store` is not false: the conversation would be kept by the service");
    must(body["input"].as_array().is_some_and(|input| !input.is_empty()), "`input` is empty");
    for tool in body["tools"].as_array().into_iter().flatten() {
        let named = tool["name"].as_str().is_some_and(|name| !name.is_empty());
        match tool["type"].as_str() {
            Some("function") if !named || tool["parameters"]["type"] != "object" => {
                wrong.push(format!("the tool `{}` lacks a name or a schema of an object", tool["name"]));
            }
            Some("namespace" | "custom") if !named => wrong.push("a tool lacks a name".to_owned()),
            Some(_) => {}
            None => wrong.push(format!("the tool `{}` lacks a type", tool["name"])),
        }
    }
    wrong.extend(check_input(body));
    wrong
}

fn check_input(body: &Value) -> Vec<String> {
    let mut wrong = vec![];
    let (mut called, mut answered) = (BTreeSet::new(), BTreeSet::new());
    for (n, item) in input(body).enumerate() {
        let call_id = || item["call_id"].as_str().unwrap_or("").to_owned();
        match item["type"].as_str().unwrap_or("message") {
            "message" => {
                let role = item["role"].as_str().unwrap_or("");
                if !["user", "assistant", "developer", "system"].contains(&role) {
                    wrong.push(format!("item {n} has the role `{role}`"));
                }
                let wanted: &[&str] = match role {
                    "assistant" => &["output_text", "refusal"],
                    _ => &["input_text", "input_image", "input_file", "input_audio"],
                };
                for part in item["content"].as_array().into_iter().flatten() {
                    let kind = part["type"].as_str().unwrap_or("");
                    if !wanted.contains(&kind) {
                        wrong.push(format!("item {n} of the {role} has content of the type `{kind}`"));
                    }
                }
            }
            "function_call" | "custom_tool_call" => {
                if !called.insert(call_id()) {
                    wrong.push(format!("item {n} calls `{}` a second time", call_id()));
                }
                if item["type"] == "function_call"
                    && item["arguments"]
                        .as_str()
                        .is_none_or(|text| serde_json::from_str::<Value>(text).is_err())
                {
                    wrong.push(format!("item {n} has arguments that are no JSON"));
                }
            }
            "function_call_output" | "custom_tool_call_output" => {
                if !called.contains(&call_id()) {
                    wrong.push(format!("item {n} answers `{}`, which was not called", call_id()));
                }
                if !answered.insert(call_id()) {
                    wrong.push(format!("item {n} answers `{}` a second time", call_id()));
                }
            }
            "reasoning" | "web_search_call" | "compaction" | "compaction_summary" | "ghost_snapshot" => {}
            other => wrong.push(format!("item {n} has the type `{other}`")),
        }
    }
    for id in called.difference(&answered) {
        wrong.push(format!("the call `{id}` has no output"));
    }
    wrong
}

/// The tool that runs commands. Which one is offered depends on the model and the version.
#[derive(Clone, Copy)]
enum Shell {
    /// `exec_command` with `cmd`.
    Exec { asks_by_name: bool },
    /// `shell_command` with `command` as a text.
    Text { asks_by_name: bool },
    /// `shell` with `command` as a list.
    List { asks_by_name: bool },
}

fn shell(body: &Value) -> Option<Shell> {
    let tools = body["tools"].as_array()?;
    tools.iter().find_map(|tool| {
        // Newer versions ask by `sandbox_permissions`, older ones by a truth value.
        let asks_by_name = tool.pointer("/parameters/properties/sandbox_permissions").is_some();
        match tool["name"].as_str()? {
            "exec_command" => Some(Shell::Exec { asks_by_name }),
            "shell_command" => Some(Shell::Text { asks_by_name }),
            "shell" => Some(Shell::List { asks_by_name }),
            _ => None,
        }
    })
}

impl Shell {
    fn call(self, command: &str, escalated: bool) -> (String, Value) {
        let (name, mut input, asks_by_name) = match self {
            Shell::Exec { asks_by_name } => ("exec_command", json!({"cmd": command}), asks_by_name),
            Shell::Text { asks_by_name } => ("shell_command", json!({"command": command}), asks_by_name),
            Shell::List { asks_by_name } => {
                ("shell", json!({"command": ["bash", "-lc", command]}), asks_by_name)
            }
        };
        if escalated {
            input["justification"] = json!("scripted escalation");
            match asks_by_name {
                true => input["sandbox_permissions"] = json!("require_escalated"),
                false => input["with_escalated_permissions"] = json!(true),
            }
        }
        (name.to_owned(), input)
    }
}

/// The name of a tool, if it is offered, itself or in a namespace.
fn offered(body: &Value, name: &str) -> Result<String, String> {
    let tools = || body["tools"].as_array().into_iter().flatten();
    if tools().any(|tool| tool["name"] == name) || namespace(body, name).is_some() {
        Ok(name.to_owned())
    } else {
        Err(format!("no tool `{name}` is offered"))
    }
}

fn namespace<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    let of_namespace = |tool: &&Value| {
        tool["tools"].as_array().is_some_and(|inner| inner.iter().any(|inner| inner["name"] == name))
    };
    body["tools"].as_array()?.iter().find(of_namespace)?["name"].as_str()
}

fn patch(what: &str, lines: &str) -> String {
    format!("apply_patch <<'SCRIPTED'\n*** Begin Patch\n*** {what}\n{lines}*** End Patch\nSCRIPTED")
}

fn prefixed(sign: char, text: &str) -> String {
    text.lines().map(|line| format!("{sign}{line}\n")).collect()
}

fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', r"'\''"))
}

fn input(body: &Value) -> impl Iterator<Item = &Value> {
    body["input"].as_array().into_iter().flatten()
}

fn texts(content: &Value) -> Vec<String> {
    match content {
        Value::String(text) => vec![text.clone()],
        Value::Array(parts) => {
            parts.iter().filter_map(|part| Some(part["text"].as_str()?.to_owned())).collect()
        }
        _ => vec![],
    }
}

/// What a tool said, without the lines Codex puts before the output of a command, for a patch even twice.
fn output(output: &Value) -> String {
    let whole = texts(output).join("\n");
    let mut text = whole.as_str();
    while let Some((head, rest)) = text.split_once("\nOutput:\n") {
        if !head.contains("Wall time:") || rest.trim().is_empty() {
            break;
        }
        text = rest;
    }
    text.to_owned()
}

/// An item as it opens and as it is when done.
fn item(id: &str, piece: &Piece, body: &Value) -> (Value, Value) {
    match piece {
        Piece::Think(text) => {
            let opened = json!({"type": "reasoning", "id": format!("rs_{id}"), "summary": []});
            let mut closed = opened.clone();
            closed["summary"] = json!([{"type": "summary_text", "text": text}]);
            closed["encrypted_content"] = json!("c2NyaXB0ZWQ=");
            (opened, closed)
        }
        Piece::Text { words, .. } => {
            let opened = json!({
                "type": "message", "id": format!("msg_{id}"), "role": "assistant", "status": "in_progress", "content": []
            });
            let mut closed = opened.clone();
            closed["status"] = json!("completed");
            closed["content"] = json!([{"type": "output_text", "text": words.concat(), "annotations": []}]);
            (opened, closed)
        }
        Piece::Call { id: call, name, input } => {
            let mut opened = json!({
                "type": "function_call", "id": format!("fc_{id}"), "call_id": format!("call_{call}"), "name": name,
                "status": "in_progress", "arguments": "",
            });
            if let Some(namespace) = namespace(body, name) {
                opened["namespace"] = json!(namespace);
            }
            let mut closed = opened.clone();
            closed["status"] = json!("completed");
            closed["arguments"] = json!(input.to_string());
            (opened, closed)
        }
    }
}

/// OpenAI counts what was cached inside the input.
fn usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.all_input(),
        "input_tokens_details": {
            "cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_5m + usage.cache_1h
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.all_input() + usage.output,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(input: Value) -> Value {
        json!({
            "model": "m", "stream": true, "store": false, "input": input,
            "tools": [{"type": "function", "name": "exec_command", "parameters": {"type": "object"}}],
        })
    }

    fn check_violations(input: Value, expected: &[&str]) {
        let headers = BTreeMap::from([("authorization".to_owned(), "(hidden)".to_owned())]);
        assert_eq!(check(&headers, &body(input)), expected);
    }

    fn check_call(tool: Value, directive: &Call, expected: Value) {
        let (name, input) = wire_call(directive, &json!({ "tools": [tool] })).expect("the tool is offered");
        assert_eq!(json!({ name: input }), expected);
    }

    #[test]
    fn every_call_has_one_output() {
        let user = json!({"role": "user", "content": [{"type": "input_text", "text": "go"}]});
        let call = json!({"type": "function_call", "call_id": "1", "name": "x", "arguments": "{}"});
        let output = json!({"type": "function_call_output", "call_id": "1", "output": "a"});
        check_violations(json!([user, call, output]), &[]);
        check_violations(json!([user, call]), &["the call `1` has no output"]);
        check_violations(json!([user, output]), &["item 1 answers `1`, which was not called"]);
        check_violations(json!([user, call, output, output]), &["item 3 answers `1` a second time"]);
    }

    #[test]
    fn the_shell_that_is_offered_is_used() {
        let run = Call::Run("ls".to_owned());
        let escalated = Call::Escalated("ls".to_owned());
        let named =
            json!({"name": "exec_command", "parameters": {"properties": {"sandbox_permissions": {}}}});
        check_call(named.clone(), &run, json!({"exec_command": {"cmd": "ls"}}));
        check_call(
            named,
            &escalated,
            json!({"exec_command": {
                "cmd": "ls", "justification": "scripted escalation", "sandbox_permissions": "require_escalated"
            }}),
        );
        check_call(json!({"name": "shell"}), &run, json!({"shell": {"command": ["bash", "-lc", "ls"]}}));
        check_call(
            json!({"name": "shell_command"}),
            &escalated,
            json!({"shell_command": {
                "command": "ls", "justification": "scripted escalation", "with_escalated_permissions": true
            }}),
        );
    }

    #[test]
    fn the_head_of_an_output_is_no_output() {
        let patched = "Wall time: 0 seconds\nOutput:\nExit code: 0\nWall time: 0 seconds\nOutput:\nSuccess.";
        assert_eq!(output(&json!(patched)), "Success.");
        assert_eq!(output(&json!("Wall time: 1 s\nProcess exited with code 0\nOutput:\nhi\n")), "hi\n");
        assert_eq!(output(&json!("aborted by user")), "aborted by user");
    }
}
