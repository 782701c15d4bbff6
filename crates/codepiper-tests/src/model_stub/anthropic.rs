//! Anthropic Messages: what a request says, what is wrong with it, and a reply in its form.
//!
//! The checks are those the real service makes and a faulty proxy, hook or resume could break. They know nothing of
//! scripts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Asked;
use super::conversation::Item;
use super::draft::{Draft, Frame, Piece, paced};
use super::schema::instance;
use super::script::{AUTO_MODE_BLOCKS, Call, Usage};

/// What the service is asked for.
pub(super) fn asked(body: &Value) -> Asked {
    let wants_json = body.pointer("/output_config/format").is_some_and(|format| !format.is_null());
    match texts(body).last() {
        // Auto mode asks whether to let an action through, in two stages.
        Some(text) if text.contains("<block> immediately") || text.contains("responding with <block>") => {
            Asked::Side(judgement(&texts(body)).into())
        }
        Some(text) if text.contains("create a detailed summary of") => {
            Asked::Side("<summary>scripted summary</summary>".into())
        }
        _ if wants_json => {
            let schema = body.pointer("/output_config/format/schema").unwrap_or(&Value::Null);
            Asked::Side(instance(schema).to_string())
        }
        _ if body["tools"].as_array().is_none_or(Vec::is_empty) || body["max_tokens"] == 1 => {
            Asked::Side("scripted side answer".into())
        }
        _ => Asked::Turn,
    }
}

/// The conversation of a request.
pub(super) fn items(body: &Value) -> Vec<Item> {
    let mut items = vec![];
    for message in messages(body) {
        match message["role"].as_str() {
            Some("assistant") => items.push(Item::Model),
            Some("user") => {
                items.extend(blocks(message).into_iter().filter_map(|block| match block["type"].as_str()? {
                    "text" => Some(Item::User(block["text"].as_str()?.to_owned())),
                    "tool_result" => Some(Item::ToolResult(result_text(&block))),
                    _ => None,
                }))
            }
            Some("system") => items.extend(queued(message).map(Item::User)),
            _ => {}
        }
    }
    items
}

/// The session a request belongs to.
pub(super) fn session(headers: &BTreeMap<String, String>) -> Option<String> {
    headers.get("x-claude-code-session-id").cloned()
}

/// The name and input of a call on the wire, or what the model says when it can't.
pub(super) fn wire_call(call: &Call, body: &Value) -> Result<(String, Value), String> {
    let (name, input) = match call {
        Call::Run(command) | Call::Escalated(command) => {
            ("Bash", json!({"command": command, "description": "scripted command"}))
        }
        Call::Write { path, content } => ("Write", json!({"file_path": path, "content": content})),
        Call::Edit { path, old, new } => {
            ("Edit", json!({"file_path": path, "old_string": old, "new_string": new}))
        }
        Call::Read(path) => ("Read", json!({"file_path": path})),
        Call::Ask { question, options } => {
            let options: Vec<Value> =
                options.iter().map(|label| json!({"label": label, "description": label})).collect();
            let question = json!({
                "question": question, "header": "Scripted", "options": options, "multiSelect": false
            });
            ("AskUserQuestion", json!({"questions": [question]}))
        }
        Call::WritePlan(text) => {
            let path = plan_file(body).ok_or("no file for a plan is named: this is not plan mode")?;
            ("Write", json!({"file_path": path, "content": text}))
        }
        Call::PresentPlan => ("ExitPlanMode", json!({})),
        Call::Agent(prompt) => (
            "Agent",
            json!({"description": "scripted sub-agent", "prompt": prompt, "subagent_type": "general-purpose"}),
        ),
        Call::Tool { name, input } => return Ok((name.clone(), input.clone())),
    };
    let offered = body["tools"].as_array().is_some_and(|tools| tools.iter().any(|tool| tool["name"] == name));
    if offered { Ok((name.to_owned(), input)) } else { Err(format!("no tool `{name}` is offered")) }
}

/// A reply as one JSON message.
pub(super) fn message(draft: &Draft) -> Value {
    let content: Vec<Value> = draft.pieces.iter().map(block).collect();
    let mut message = opening(draft, draft.usage.output);
    message["content"] = json!(content);
    message["stop_reason"] = json!(stop_reason(draft));
    message
}

/// A reply as a stream of events.
pub(super) fn events(draft: &Draft) -> Vec<Frame> {
    let opening = json!({"type": "message_start", "message": opening(draft, 1)});
    let mut frames = vec![Frame::Event(opening)];
    for (index, piece) in draft.pieces.iter().enumerate() {
        let delta =
            move |delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
        let mut block = block(piece);
        match piece {
            Piece::Think(_) => (block["thinking"], block["signature"]) = (json!(""), json!("")),
            Piece::Text { .. } => block["text"] = json!(""),
            Piece::Call { .. } => block["input"] = json!({}),
        }
        frames.push(Frame::Event(
            json!({"type": "content_block_start", "index": index, "content_block": block}),
        ));
        match piece {
            Piece::Think(text) => frames.extend([
                Frame::Event(delta(json!({"type": "thinking_delta", "thinking": text}))),
                Frame::Event(delta(json!({"type": "signature_delta", "signature": SIGNATURE}))),
            ]),
            Piece::Text { words, pause } => {
                frames
                    .extend(paced(words, *pause, |word| delta(json!({"type": "text_delta", "text": word}))));
            }
            Piece::Call { input, .. } => {
                let input = json!({"type": "input_json_delta", "partial_json": input.to_string()});
                frames.push(Frame::Event(delta(input)));
            }
        }
        // The last block of a reply that is cut stays open, as it does when a real connection drops.
        if draft.cut && index + 1 == draft.pieces.len() {
            frames.push(Frame::Cut);
            return frames;
        }
        frames.push(Frame::Event(json!({"type": "content_block_stop", "index": index})));
    }
    frames.push(Frame::Event(json!({
        "type": "message_delta", "delta": {"stop_reason": stop_reason(draft), "stop_sequence": null},
        "usage": usage(&draft.usage, draft.usage.output),
    })));
    frames.push(Frame::Event(json!({"type": "message_stop"})));
    frames
}

/// The id of a reply's message, which transcripts keep.
pub(super) fn reply_id(draft: &Draft) -> String {
    format!("msg_{}", draft.stem)
}

/// An error as the service words it.
pub(super) fn error(status: u16, message: &str) -> Value {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": message}})
}

/// Everything the real service would refuse, and what only Claude Code must keep.
pub(super) fn check(headers: &BTreeMap<String, String>, body: &Value) -> Vec<String> {
    let mut wrong = vec![];
    let mut must = |holds: bool, law: &str| {
        if !holds {
            wrong.push(law.to_owned());
        }
    };
    must(headers.contains_key("anthropic-version"), "the header anthropic-version is missing");
    must(
        headers.contains_key("x-api-key") || headers.contains_key("authorization"),
        "neither x-api-key nor authorization is sent",
    );
    must(body["model"].as_str().is_some_and(|model| !model.is_empty()), "`model` is missing");
    must(body["max_tokens"].as_u64().is_some_and(|max| max > 0), "`max_tokens` is no positive number");
    if let (Some(sent), Some(user)) =
        (session(headers), body.pointer("/metadata/user_id").and_then(Value::as_str))
    {
        must(user.contains(&sent), "the session of the header is not the session of metadata.user_id");
    }
    if let Some(budget) = body.pointer("/thinking/budget_tokens").and_then(Value::as_u64) {
        must(body["max_tokens"].as_u64() > Some(budget), "thinking.budget_tokens is not below max_tokens");
    }
    must(body.to_string().matches(r#""cache_control":{"#).count() <= 4, "more than 4 cache_control marks");
    wrong.extend(check_tools(body));
    wrong.extend(check_messages(body));
    wrong
}

/// The part of the checks that token counting shares.
pub(super) fn check_messages(body: &Value) -> Vec<String> {
    let mut wrong = vec![];
    let messages: Vec<&Value> = messages(body).collect();
    let spoken: Vec<&Value> =
        messages.iter().copied().filter(|message| message["role"] != "system").collect();
    if spoken.first().is_none_or(|message| message["role"] != "user") {
        wrong.push("the first message is not the user's".to_owned());
    }
    if spoken.last().is_none_or(|message| message["role"] != "user") {
        wrong.push("the last message is not the user's".to_owned());
    }
    let mut called = BTreeSet::new();
    for (n, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or("");
        if !["user", "assistant", "system"].contains(&role) {
            wrong.push(format!("message {n} has the role `{role}`"));
        }
        let (mut results, mut calls) = (BTreeSet::new(), BTreeSet::new());
        let content = blocks(message);
        if content.is_empty() {
            wrong.push(format!("message {n} is empty"));
        }
        for block in &content {
            match block["type"].as_str().unwrap_or("") {
                "text" if block["text"].as_str().is_none_or(|text| text.trim().is_empty()) => {
                    wrong.push(format!("message {n} has an empty text"));
                }
                "thinking" if block["signature"].as_str().is_none_or(str::is_empty) => {
                    wrong.push(format!("message {n} has thinking without its signature"));
                }
                "text" | "image" | "document" | "search_result"
                    if role != "assistant" || block["type"] == "text" => {}
                "thinking" | "redacted_thinking" | "server_tool_use" | "fallback" if role == "assistant" => {}
                "web_search_tool_result" | "web_fetch_tool_result" if role == "assistant" => {}
                "tool_use" if role == "assistant" => {
                    let id = block["id"].as_str().unwrap_or("").to_owned();
                    if !block["input"].is_object() || block["name"].as_str().is_none_or(str::is_empty) {
                        wrong.push(format!("message {n} has a tool_use `{id}` without name or input"));
                    }
                    if !calls.insert(id.clone()) {
                        wrong.push(format!("message {n} has the tool_use `{id}` twice"));
                    }
                }
                "tool_result" if role == "user" => {
                    let id = block["tool_use_id"].as_str().unwrap_or("").to_owned();
                    if !results.insert(id.clone()) {
                        wrong.push(format!("message {n} has two results for `{id}`"));
                    }
                }
                other => wrong.push(format!("message {n} of the {role} has a block of the type `{other}`")),
            }
        }
        for id in results.difference(&called) {
            wrong.push(format!("message {n} has a result for `{id}`, which the message before did not call"));
        }
        for id in called.difference(&results) {
            wrong.push(format!("message {n} has no result for `{id}`, which the message before called"));
        }
        called = calls;
    }
    for id in called {
        wrong.push(format!("the last message calls `{id}`"));
    }
    wrong
}

/// The signature of scripted thinking. Only its presence is checked, for conversations may come from another stub.
const SIGNATURE: &str = "c2NyaXB0ZWQgdGhpbmtpbmc=";

fn check_tools(body: &Value) -> Vec<String> {
    let mut wrong = vec![];
    let mut names = BTreeSet::new();
    for tool in body["tools"].as_array().into_iter().flatten() {
        let name = tool["name"].as_str().unwrap_or("");
        if name.is_empty() || !names.insert(name) {
            wrong.push(format!("a tool is named `{name}`, which is empty or taken"));
        }
        // A tool of the service (web search) has a type instead of a schema.
        if tool["type"].is_null()
            && tool.pointer("/input_schema/type").and_then(Value::as_str) != Some("object")
        {
            wrong.push(format!("the tool `{name}` has no schema of an object"));
        }
    }
    wrong
}

/// What auto mode is told of an action. It stands before the end of the transcript.
fn judgement(texts: &[String]) -> &'static str {
    let end = texts.iter().rposition(|text| text.trim() == "</transcript>").unwrap_or(0);
    match texts[..end].last() {
        Some(action) if action.contains(AUTO_MODE_BLOCKS) => {
            "<block>yes</block><reason>[Irreversible Local Destruction] scripted</reason>"
        }
        _ => "<block>no</block>",
    }
}

/// What the user typed while a turn went on. Claude Code delivers it with the next tool result, in words of its own.
fn queued(message: &Value) -> Option<String> {
    const BEFORE: &str = "The user sent a new message while you were working:\n";
    const AFTER: &str = "\n\nIMPORTANT: After completing your current task";
    let text = blocks(message).first()?["text"].as_str()?.strip_prefix(BEFORE)?.to_owned();
    Some(text.rsplit_once(AFTER).map_or(text.as_str(), |(text, _)| text).to_owned())
}

/// The file Claude Code wants a plan in. It is named in the message that tells of plan mode.
fn plan_file(body: &Value) -> Option<String> {
    let told: Vec<String> = messages(body)
        .filter(|message| message["role"] != "assistant")
        .flat_map(blocks)
        .filter_map(|block| Some(block["text"].as_str()?.to_owned()))
        .collect();
    told.iter().rev().find_map(|text| {
        let after = text.split_once("## Plan File Info:")?.1;
        let path = after.split_whitespace().find(|word| word.starts_with('/') && word.contains(".md"))?;
        Some(format!("{}.md", path.split_once(".md")?.0))
    })
}

fn messages(body: &Value) -> impl Iterator<Item = &Value> {
    body["messages"].as_array().into_iter().flatten()
}

fn blocks(message: &Value) -> Vec<Value> {
    match &message["content"] {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        Value::Array(blocks) => blocks.clone(),
        _ => vec![],
    }
}

fn texts(body: &Value) -> Vec<String> {
    let text = |item| if let Item::User(text) = item { Some(text) } else { None };
    items(body).into_iter().filter_map(text).collect()
}

fn result_text(block: &Value) -> String {
    match &block["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

fn opening(draft: &Draft, output: u64) -> Value {
    json!({
        "id": reply_id(draft), "type": "message", "role": "assistant", "model": draft.model, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage(&draft.usage, output),
    })
}

fn block(piece: &Piece) -> Value {
    match piece {
        Piece::Think(text) => json!({"type": "thinking", "thinking": text, "signature": SIGNATURE}),
        Piece::Text { words, .. } => json!({"type": "text", "text": words.concat()}),
        Piece::Call { id, name, input } => {
            json!({"type": "tool_use", "id": format!("toolu_{id}"), "name": name, "input": input})
        }
    }
}

fn stop_reason(draft: &Draft) -> &'static str {
    if draft.calls_tools() { "tool_use" } else { "end_turn" }
}

fn usage(usage: &Usage, output: u64) -> Value {
    json!({
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_5m + usage.cache_1h,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_5m, "ephemeral_1h_input_tokens": usage.cache_1h
        },
        "output_tokens": output,
        "service_tier": "standard",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_violations(messages: Value, expected: &[&str]) {
        assert_eq!(check_messages(&json!({ "messages": messages })), expected);
    }

    #[test]
    fn every_call_has_its_result_in_the_next_message() {
        let user = json!({"role": "user", "content": "go"});
        let call = json!({"role": "assistant", "content": [
            {"type": "tool_use", "id": "1", "name": "x", "input": {}},
            {"type": "tool_use", "id": "2", "name": "x", "input": {}},
        ]});
        let results = |ids: &[&str]| {
            let result = |id: &&str| json!({"type": "tool_result", "tool_use_id": id, "content": "a"});
            json!({"role": "user", "content": ids.iter().map(result).collect::<Vec<_>>()})
        };
        check_violations(json!([user, call, results(&["1", "2"])]), &[]);
        check_violations(
            json!([user, call, results(&["2"])]),
            &["message 2 has no result for `1`, which the message before called"],
        );
        check_violations(
            json!([user, results(&["1"])]),
            &["message 1 has a result for `1`, which the message before did not call"],
        );
        check_violations(
            json!([user, call, results(&["1", "2", "2"])]),
            &["message 2 has two results for `2`"],
        );
    }

    #[test]
    fn a_conversation_starts_and_ends_with_the_user_and_has_no_empty_texts() {
        let user = json!({"role": "user", "content": "go"});
        let model = json!({"role": "assistant", "content": [{"type": "text", "text": "hm"}]});
        check_violations(json!([user, model, user]), &[]);
        check_violations(json!([user, model]), &["the last message is not the user's"]);
        check_violations(json!([model, user]), &["the first message is not the user's"]);
        check_violations(json!([{"role": "user", "content": " "}]), &["message 0 has an empty text"]);
    }

    #[test]
    fn what_is_typed_during_a_turn_is_the_users() {
        let queued = "The user sent a new message while you were working:\nSAY: two\n\nIMPORTANT: After completing your \
                      current task, you MUST address the user's message above. Do not ignore it.";
        let body = json!({"messages": [{"role": "system", "content": queued}, {"role": "system", "content": "RUN: x"}]});
        assert_eq!(items(&body), [Item::User("SAY: two".to_owned())]);
    }

    #[test]
    fn a_plan_goes_into_the_file_that_is_named() {
        let plan = Call::WritePlan("1. do".to_owned());
        let mode = "Plan mode is active.\n\n## Plan File Info:\nNo plan file exists yet. You should create your plan at \
                    /home/dev/.claude/plans/a-b.md using the Write tool.";
        let body = json!({"tools": [{"name": "Write"}], "messages": [{"role": "system", "content": mode}]});
        let input = json!({"file_path": "/home/dev/.claude/plans/a-b.md", "content": "1. do"});
        assert_eq!(wire_call(&plan, &body), Ok(("Write".to_owned(), input)));
        assert!(wire_call(&plan, &json!({"tools": [{"name": "Write"}]})).is_err());
    }

    #[test]
    fn auto_mode_lets_all_through_but_what_is_marked() {
        let ask = |action: &str| {
            let texts = [
                "<transcript>\n",
                "User: RUN: auto-mode-blocks\n",
                action,
                "</transcript>\n",
                "<block> immediately.",
            ];
            let content: Vec<Value> =
                texts.iter().map(|text| json!({"type": "text", "text": text})).collect();
            asked(&json!({"messages": [{"role": "user", "content": content}]}))
        };
        assert_eq!(ask("Bash ls"), Asked::Side("<block>no</block>".to_owned()));
        assert!(
            matches!(ask("Bash ls # auto-mode-blocks"), Asked::Side(text) if text.starts_with("<block>yes"))
        );
    }

    #[test]
    fn a_request_without_tools_is_no_turn() {
        let messages = json!([{"role": "user", "content": "RUN: rm -rf x"}]);
        let turn = json!({"messages": messages, "tools": [{"name": "Bash"}]});
        assert_eq!(asked(&turn), Asked::Turn);
        assert!(matches!(asked(&json!({ "messages": messages })), Asked::Side(_)));
        let format = json!({"format": {"type": "json_schema", "schema": {"type": "object", "required": ["title"],
            "properties": {"title": {"type": "string"}}}}});
        let titled = json!({"messages": messages, "tools": [{"name": "Bash"}], "output_config": format});
        assert_eq!(asked(&titled), Asked::Side(r#"{"title":"scripted"}"#.to_owned()));
    }
}
