//! Conversations as Codex writes them down, its rollouts (0.169 measured, older ones as far as known).
//!
//! # One source for each thing
//!
//! A rollout tells most things twice: as `response_item`, what the model was given and gave, and as `event_msg`, what
//! happened. Each is taken once:
//!
//! - **Messages** from events. The items of role `user` hold the environment, notes of the system and summaries beside
//!   what a person said, and the reply to a compaction stands there as if it had been said. New files have
//!   `item_completed` with ids; old ones have `user_message` and `agent_message` without, which count until the first
//!   `item_completed` message. An old file that was resumed by a new version has both, one after the other.
//! - **Calls and results** from items: every call has one there, also one that was refused and never ran. How long a
//!   command ran, and how it ended, is told by events that come before the result; they are remembered until then.
//! - **Reasoning** from items: there in old files and new, with an id.
//!
//! # Tokens
//!
//! Where a file has `token_usage_record`s, they count, by `response_id`, and nothing else does. Otherwise
//! `token_count` tells running totals, and what counts is the increase since the last one of the file, under a key of
//! the running total itself: `codex:<root>:<total>`.
//!
//! Why that counts a fork once: a fork's file begins with its parent's lines, with new time stamps, and its totals go
//! on from there. A replayed line has the running total that it had in the parent, so with the id of one and the same
//! conversation in the key, it has the parent's key. That conversation is the root: the first of all the forks. It is
//! found without the other files: Codex puts its own `session_meta` before the parent's lines, and these begin with
//! the parent's `session_meta`, and so on, so the root's is the last of those before the first total. A fork that
//! replays nothing names its parent (`forked_from_id`), whose totals its own start at. Its first increase is unknown;
//! it is what the last request took (`last_token_usage`), if the total says no less. Two branches of a fork that reach
//! the same total in each of its parts have one key, and one of them is not counted; with tokens of real replies that
//! does not happen by chance.

use super::super::claude::transcript::is_uuid;
use crate::transcript::count::Words;
use crate::transcript::lenient::{Argument, Count, Lenient, List, Object, Present, Text, read};
use crate::transcript::{
    ARGUMENT_MAX, Call, Context, Counted, Entry, FileKind, Kind, Line, Outcome, RESULT_MAX, Reader, TEXT_MAX,
    add, cut, fingerprint, id, mending, name, object, readable,
};
use crate::usage::{Tier, Tokens, Usage};
use jiff::Timestamp;
use memchr::memmem::Finder;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::borrow::Cow;

/// Reads Codex's rollouts.
pub(super) struct Rollouts;

/// Events that are no part of the conversation, or told elsewhere in the file. The first three were seen with 0.169.
const SILENT: &[&str] = &[
    "task_started",
    "task_complete",
    "thread_settings_applied",
    "turn_started",
    "turn_complete",
    "agent_reasoning",
    "agent_reasoning_raw_content",
    "agent_reasoning_section_break",
    "context_compacted",
    "web_search_end",
    "view_image_tool_call",
    "image_generation_end",
    "dynamic_tool_call_request",
    "dynamic_tool_call_response",
    "collab_agent_spawn_end",
    "collab_agent_interaction_end",
    "collab_waiting_end",
    "collab_close_end",
    "collab_resume_end",
    "entered_review_mode",
    "exited_review_mode",
    "undo_completed",
    "stream_error",
    "plan_update",
    "turn_diff",
    "background_event",
    "shutdown_complete",
];

/// Lines with tokens, and those that tell whose they are: which conversation, which model, which folder.
static COUNTED: Words =
    Words::new(|| ["token_", "session_meta", "turn_context", "thread_settings"].map(Finder::new).to_vec());

impl Reader for Rollouts {
    fn read(&self, context: &mut Context, line: &[u8]) -> Line {
        mending(line, |line| {
            let record = match object::<Record>(line) {
                Ok(record) => record,
                Err(why) => return Line::broken(&why),
            };
            if let Ok(at) = record.timestamp.parse() {
                context.at = Some(at);
            }
            let Some(payload) = &record.payload.0 else { return Line::unknown(&record.kind) };
            let mut reading = Reading { bytes: line, payload, context, line: Line::default() };
            reading.read(&record.kind);
            reading.line
        })
    }

    fn count(&self, context: &mut Context, line: &[u8]) -> Counted {
        if !COUNTED.may_stand_in(line) {
            return Counted::Nothing;
        }
        // Every line tells its time; one that does not would have that of a line that was passed over.
        context.at = None;
        match self.read(context, line).usage {
            None => Counted::Nothing,
            Some(_) if context.at.is_none() => Counted::InOthers,
            Some(usage) => Counted::Reply(usage),
        }
    }

    fn file(&self, path: &str) -> Option<FileKind> {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let is_day = |folder: &str| {
            let parts: Vec<&str> = folder.split('/').collect();
            parts.iter().map(|part| part.len()).eq([4, 2, 2])
                && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let archived = folder.strip_prefix("archived_sessions");
        let known = match archived {
            Some("") => true,
            Some(day) => is_day(day.strip_prefix('/')?),
            None => is_day(folder.strip_prefix("sessions/").unwrap_or(folder)),
        };
        let name = file.strip_prefix("rollout-")?.strip_suffix(".jsonl")?;
        let id = name.get(name.len().checked_sub(36)?..)?;
        (known && is_uuid(id)).then(|| FileKind { conversation: Some(id.to_owned()), agent: None })
    }
}

#[derive(Deserialize, Default)]
#[serde(default, bound = "'de: 'a")]
struct Record<'a> {
    timestamp: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    payload: Object<Payload<'a>>,
}

/// What a record carries. All kinds in one, because none of their fields is of two types.
#[derive(Deserialize, Default)]
#[serde(default, bound = "'de: 'a")]
struct Payload<'a> {
    #[serde(rename = "type")]
    kind: Text<'a>,
    id: Text<'a>,
    cwd: Text<'a>,
    model: Text<'a>,
    turn_id: Text<'a>,
    window_id: Text<'a>,
    git: Object<Git<'a>>,
    forked_from_id: Text<'a>,
    history_base: Present,
    thread_settings: Object<Box<Payload<'a>>>,
    thread_name: Text<'a>,
    name: Text<'a>,
    call_id: Text<'a>,
    arguments: Text<'a>,
    input: Text<'a>,
    action: Argument,
    status: Text<'a>,
    output: Output<'a>,
    summary: List<Part<'a>>,
    message: Text<'a>,
    reason: Text<'a>,
    images: List<Part<'a>>,
    local_images: List<Part<'a>>,
    changes: Argument,
    exit_code: Argument,
    success: Argument,
    duration: Object<Duration>,
    item: Object<Item<'a>>,
    info: Object<TokenInfo>,
    response_id: Text<'a>,
    usage: Object<Numbers>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound = "'de: 'a")]
struct Git<'a> {
    branch: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound = "'de: 'a")]
struct Item<'a> {
    #[serde(rename = "type")]
    kind: Text<'a>,
    id: Text<'a>,
    content: List<Part<'a>>,
    fragments: List<Part<'a>>,
    text: Text<'a>,
    status: Text<'a>,
    exit_code: Argument,
    duration: Object<Duration>,
    changes: Argument,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Duration {
    secs: Count,
    nanos: Count,
}

impl Duration {
    fn ms(&self) -> u64 {
        self.secs.0.saturating_mul(1_000).saturating_add(self.nanos.0 / 1_000_000)
    }
}

/// A text or a picture. A bare text is a part by itself: the path or the address of a picture.
#[derive(Default)]
struct Part<'a> {
    text: Text<'a>,
    picture: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound = "'de: 'a")]
struct PartFields<'a> {
    #[serde(rename = "type")]
    kind: Text<'a>,
    text: Text<'a>,
    image_url: Text<'a>,
    path: Text<'a>,
}

impl<'de: 'a, 'a> Lenient<'de> for Part<'a> {
    fn nothing() -> Self {
        Self::default()
    }

    fn of_text(text: Cow<'de, str>) -> Self {
        Self { picture: Some(picture(&text)), text: Text::default() }
    }

    fn of_object<A: serde::de::MapAccess<'de>>(object: A) -> Result<Self, A::Error> {
        let fields = PartFields::deserialize(serde::de::value::MapAccessDeserializer::new(object))?;
        let at = fields.image_url.get().or(fields.path.get());
        // `input_image`, `image`, `localImage`, `local_image`
        let is_picture = fields.kind.to_ascii_lowercase().contains("image");
        Ok(Self { picture: is_picture.then(|| picture(at.unwrap_or("image"))), text: fields.text })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Part<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from)
    }
}

/// A picture by its name or media type, never by its content.
fn picture(at: &str) -> String {
    match at.strip_prefix("data:") {
        Some(data) => name(data.split([';', ',']).next().unwrap_or_default()),
        None => name(at.rsplit('/').next().unwrap_or(at)),
    }
}

/// The texts of some parts in one, and the names of their pictures.
fn told(parts: &List<Part>) -> (String, Vec<String>) {
    let mut text = String::new();
    for part in &parts.0 {
        add(&mut text, &part.text);
    }
    (text, parts.0.iter().filter_map(|part| part.picture.clone()).collect())
}

/// What a call gave: a text, parts, or an object with either.
#[derive(Default)]
struct Output<'a> {
    text: Text<'a>,
    parts: List<Part<'a>>,
    failed: bool,
}

impl<'de: 'a, 'a> Lenient<'de> for Output<'a> {
    fn nothing() -> Self {
        Self::default()
    }

    fn of_text(text: Cow<'de, str>) -> Self {
        Self { text: Text(text), ..Self::default() }
    }

    fn of_list<A: serde::de::SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        Ok(Self { parts: List::of_list(list)?, ..Self::default() })
    }

    fn of_object<A: serde::de::MapAccess<'de>>(object: A) -> Result<Self, A::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default, bound = "'de: 'a")]
        struct Fields<'a> {
            content: Text<'a>,
            success: Argument,
        }
        let fields = Fields::deserialize(serde::de::value::MapAccessDeserializer::new(object))?;
        Ok(Self { text: fields.content, failed: fields.success.0 == false, ..Self::default() })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Output<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from)
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenInfo {
    total_token_usage: Object<Numbers>,
    last_token_usage: Object<Numbers>,
}

/// Tokens as Codex tells them: cached ones are inside the input, reasoning is inside the output.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Numbers {
    input_tokens: Count,
    cached_input_tokens: Count,
    cache_write_input_tokens: Count,
    output_tokens: Count,
    reasoning_output_tokens: Count,
}

impl Numbers {
    fn tokens(&self) -> Tokens {
        let input = self.input_tokens.0;
        let cache_read = self.cached_input_tokens.0.min(input);
        let cache_write_5m = self.cache_write_input_tokens.0.min(input - cache_read);
        Tokens {
            input: input - cache_read - cache_write_5m,
            output: self.output_tokens.0,
            reasoning: self.reasoning_output_tokens.0.min(self.output_tokens.0),
            cache_read,
            cache_write_5m,
            cache_write_1h: 0,
        }
    }
}

/// A line in the reading.
struct Reading<'a> {
    bytes: &'a [u8],
    payload: &'a Payload<'a>,
    context: &'a mut Context,
    line: Line,
}

impl Reading<'_> {
    fn read(&mut self, kind: &str) {
        match kind {
            "session_meta" => self.session_meta(),
            "turn_context" => self.settings(self.payload),
            "response_item" => self.item(),
            "event_msg" => self.event(),
            "compacted" => {
                let uid = self.uid("compacted", &self.payload.window_id);
                let summary = cut(Cow::Borrowed(&*self.payload.message), TEXT_MAX);
                self.add(uid, Kind::Compaction, summary);
            }
            "token_usage_record" => self.usage_record(),
            "world_state" => {}
            unknown => self.line = Line::unknown(unknown),
        }
    }

    fn session_meta(&mut self) {
        let meta = self.payload;
        let Some(conversation) = meta.id.get().map(id) else { return };
        let forked_from = meta.forked_from_id.get().map(id);
        match &self.context.conversation {
            // The parent's, replayed, or its parent's. Where we work is told by our own.
            Some(own) if *own != conversation => {
                self.context.parent.get_or_insert_with(|| conversation.clone());
                if self.context.totals.is_none() {
                    self.context.root = Some(forked_from.unwrap_or(conversation));
                }
                return;
            }
            // Told again, which happens when something in it changes.
            Some(_) if self.context.root.is_some() => {}
            // Told first. Which conversation it is may be known already, by the name of the file.
            _ => {
                self.context.root = Some(forked_from.clone().unwrap_or_else(|| conversation.clone()));
                self.context.conversation = Some(conversation);
                self.context.parent = forked_from;
            }
        }
        // Nothing is replayed, the totals go on: only written by versions that write records.
        self.context.has_records |= meta.history_base.0;
        set(&mut self.context.cwd, &meta.cwd);
        if let Some(git) = &meta.git.0 {
            set(&mut self.context.branch, &git.branch);
        }
    }

    /// The model and the folder from here on.
    fn settings(&mut self, settings: &Payload) {
        set(&mut self.context.cwd, &settings.cwd);
        let Some(model) = settings.model.get().map(name) else { return };
        if self.context.switch_model(&model) {
            let uid = self.uid("model", &self.payload.turn_id);
            self.add(uid, Kind::ModelChange { model: model.clone() }, model);
        }
    }

    fn item(&mut self) {
        let item = self.payload;
        match &*item.kind {
            "function_call" => {
                // Arguments are JSON in a text; what is none is kept as it is.
                let input = serde_json::from_str::<Argument>(&item.arguments).map_or_else(
                    |_| Value::String(cut(Cow::Borrowed(&*item.arguments), ARGUMENT_MAX)),
                    |read| read.0,
                );
                self.call(&item.name, input);
            }
            "custom_tool_call" => {
                self.call(&item.name, Value::String(cut(Cow::Borrowed(&*item.input), ARGUMENT_MAX)));
            }
            "local_shell_call" => self.call("local_shell", item.action.0.clone()),
            "web_search_call" => self.call("web_search", item.action.0.clone()),
            "function_call_output" | "custom_tool_call_output" => self.result(),
            "reasoning" => {
                let (text, _) = told(&item.summary);
                if !text.is_empty() {
                    let uid = self.uid("thought", &item.id);
                    self.add(uid, Kind::Thinking, text);
                }
            }
            "message"
            | "ghost_snapshot"
            | "compaction"
            | "compaction_summary"
            | "context_compaction"
            | "tool_search_call"
            | "tool_search_output"
            | "image_generation_call"
            | "other" => {}
            unknown => self.line = Line::unknown(&format!("response_item/{unknown}")),
        }
    }

    fn call(&mut self, tool: &str, input: Value) {
        let call = id(self.payload.call_id.get().or(self.payload.id.get()).unwrap_or_default());
        let uid = self.uid("call", &call);
        let text = readable(&input);
        self.add(uid, Kind::ToolCall { call, tool: name(tool), input }, text);
    }

    fn result(&mut self) {
        let item = self.payload;
        let (mut text, attachments) = told(&item.output.parts);
        add(&mut text, &item.output.text);
        let mut told = Told::in_text(&text);
        // As it was before 2026: JSON in the text, with the numbers beside the output.
        if let Some(old) = Told::in_json(&item.output.text) {
            (text, told) = old;
        }
        let call = id(&item.call_id);
        let known = self.context.recall(&call);
        let failed = if item.output.failed { Outcome::Failed } else { Outcome::Ok };
        let outcome = told.outcome.or(known.as_ref().and_then(|known| known.outcome)).unwrap_or(failed);
        let duration_ms = known.and_then(|known| known.duration_ms).or(told.duration_ms);
        let uid = self.uid("result", &call);
        let text = cut(Cow::Owned(text), RESULT_MAX);
        self.add(uid, Kind::ToolResult { call, outcome, duration_ms, attachments }, text);
    }

    fn event(&mut self) {
        let event = self.payload;
        if let Some(settings) = &event.thread_settings.0 {
            self.settings(settings);
        }
        match &*event.kind {
            "item_completed" => self.item_completed(),
            "user_message" if !self.context.has_items => {
                let mut attachments = told(&event.images).1;
                attachments.extend(told(&event.local_images).1);
                self.said("user", "", Kind::User { origin: None, attachments }, &event.message);
            }
            "agent_message" if !self.context.has_items => {
                self.said("reply", "", Kind::Assistant { model: self.context.model.clone() }, &event.message);
            }
            "user_message" | "agent_message" => {}
            "token_count" => self.token_count(),
            "turn_aborted" => {
                let error = event.reason.get().map_or_else(|| "interrupted".to_owned(), name);
                self.said("aborted", &event.turn_id, Kind::Error { error }, "");
            }
            "error" => self.said("error", "", Kind::Error { error: "api".into() }, &event.message),
            "warning" => self.said("warning", "", Kind::Note { note: "warning".into() }, &event.message),
            "thread_name_updated" => {
                self.context.title = event.thread_name.get().map(|title| cut(title.into(), TEXT_MAX))
            }
            "exec_command_end" | "mcp_tool_call_end" => {
                self.ended(&event.call_id, &event.status, &event.exit_code.0, event.duration.0.as_ref());
            }
            "patch_apply_end" => {
                self.files_changed(&event.call_id, &event.changes.0);
                let status = if event.success.0 == false { "failed" } else { &event.status };
                self.ended(&event.call_id, status, &Value::Null, None);
            }
            kind if SILENT.contains(&kind) => {}
            unknown => self.line = Line::unknown(&format!("event_msg/{unknown}")),
        }
    }

    fn item_completed(&mut self) {
        let Some(item) = &self.payload.item.0 else { return };
        let (text, attachments) = told(&item.content);
        match &*item.kind {
            "UserMessage" => {
                self.context.has_items = true;
                self.said("user", &item.id, Kind::User { origin: None, attachments }, &text);
            }
            "AgentMessage" => {
                self.context.has_items = true;
                self.said("reply", &item.id, Kind::Assistant { model: self.context.model.clone() }, &text);
            }
            "HookPrompt" => {
                let kind = Kind::User { origin: Some("hook".into()), attachments: Vec::new() };
                self.said("hook", &item.id, kind, &told(&item.fragments).0);
            }
            "Plan" => self.said("plan", &item.id, Kind::Note { note: "plan".into() }, &item.text),
            "CommandExecution" | "McpToolCall" | "DynamicToolCall" => {
                self.ended(&item.id, &item.status, &item.exit_code.0, item.duration.0.as_ref());
            }
            "FileChange" => {
                self.files_changed(&item.id, &item.changes.0);
                self.ended(&item.id, &item.status, &Value::Null, None);
            }
            "Reasoning"
            | "ContextCompaction"
            | "WebSearch"
            | "ImageView"
            | "ImageGeneration"
            | "EnteredReviewMode"
            | "ExitedReviewMode"
            | "CollabAgentToolCall"
            | "CollabToolCall" => {}
            unknown => self.line = Line::unknown(&format!("item_completed/{unknown}")),
        }
    }

    /// Keeps how a call ended until its result comes.
    fn ended(&mut self, call: &str, status: &str, exit_code: &Value, duration: Option<&Duration>) {
        let outcome = match (status, exit_code.as_i64()) {
            ("declined", _) => Some(Outcome::Refused),
            ("failed", _) => Some(Outcome::Failed),
            (_, Some(code)) => Some(if code == 0 { Outcome::Ok } else { Outcome::Failed }),
            _ => None,
        };
        self.context.remember(Call { call: id(call), outcome, duration_ms: duration.map(Duration::ms) });
    }

    fn files_changed(&mut self, call: &str, changes: &Value) {
        let mut text = String::new();
        for (file, change) in changes.as_object().into_iter().flatten() {
            // Old versions named a change by the only key of an object.
            let kind = change.get("type").and_then(Value::as_str);
            let kind = kind.or_else(|| Some(change.as_object()?.keys().next()?.as_str()));
            add(&mut text, &format!("{} {file}", kind.unwrap_or("change")));
        }
        self.said("files", call, Kind::Note { note: "file_change".into() }, &text);
    }

    /// The running totals: their increase since the last ones of the file. See the top of this file.
    fn token_count(&mut self) {
        let Some(info) = &self.payload.info.0 else { return };
        let Some(total) = info.total_token_usage.0.as_ref().map(Numbers::tokens) else { return };
        let last = info.last_token_usage.0.as_ref().map(Numbers::tokens);
        let is_fork = self.context.root != self.context.conversation;
        let increase = match self.context.totals {
            Some(before) if total.total() >= before.total() => total - before,
            None if !is_fork => total,
            // They begin at somebody else's, or were counted anew: what we know is the last request.
            _ => last.filter(|last| last.total() <= total.total()).unwrap_or(total),
        };
        self.context.totals = Some(total);
        if self.context.has_records || increase.total() == 0 {
            return;
        }
        let root = self.context.root.as_deref().unwrap_or("unknown");
        let key = format!(
            "codex:{root}:{}-{}-{}-{}",
            total.input,
            total.cache_read + total.cache_write_5m,
            total.output,
            total.reasoning
        );
        self.line.usage = Some(self.usage(key, increase));
    }

    fn usage_record(&mut self) {
        self.context.has_records = true;
        let (Some(response), Some(usage)) = (self.payload.response_id.get(), &self.payload.usage.0) else {
            return;
        };
        let tokens = usage.tokens();
        if tokens.total() > 0 {
            self.line.usage = Some(self.usage(format!("codex:{}", id(response)), tokens));
        }
    }

    fn usage(&self, key: String, tokens: Tokens) -> Usage {
        Usage {
            key,
            at: self.context.at.unwrap_or(Timestamp::UNIX_EPOCH),
            model: self.context.model.clone().unwrap_or_else(|| "unknown".to_owned()),
            tokens,
            billing: Tier::default(),
            vendor_cost: None,
        }
    }

    fn said(&mut self, what: &str, known_as: &str, kind: Kind, text: &str) {
        let uid = self.uid(what, known_as);
        self.add(uid, kind, cut(Cow::Borrowed(text), TEXT_MAX));
    }

    /// What an entry is known by: an id of Codex's, which stands in more than one kind of line, or the line itself.
    fn uid(&self, what: &str, known_as: &str) -> String {
        if !known_as.is_empty() {
            return format!("{what}:{}", id(known_as));
        }
        format!("{what}:{}", fingerprint(self.bytes))
    }

    fn add(&mut self, uid: String, kind: Kind, text: String) {
        let agent = self.context.agent.clone();
        self.line.entries.push(Entry { uid, at: self.context.at, agent, kind, text });
    }
}

fn set(place: &mut Option<String>, text: &Text) {
    if let Some(text) = text.get().filter(|text| place.as_deref() != Some(*text)) {
        *place = Some(cut(text.into(), ARGUMENT_MAX));
    }
}

/// What the text of a result says about the call itself.
#[derive(Default)]
struct Told {
    outcome: Option<Outcome>,
    duration_ms: Option<u64>,
}

impl Told {
    /// Lines before `Output:`, which is where the command's own words begin.
    fn in_text(text: &str) -> Self {
        let mut told = Self::default();
        for line in text.lines().take_while(|line| *line != "Output:").take(8) {
            let code = line.strip_prefix("Process exited with code ").or(line.strip_prefix("Exit code: "));
            let seconds = line.strip_prefix("Wall time: ").and_then(|rest| rest.strip_suffix(" seconds"));
            if let Some(code) = code {
                told.outcome = Some(if code == "0" { Outcome::Ok } else { Outcome::Failed });
            } else if let Some(seconds) = seconds.and_then(|seconds| seconds.parse::<f64>().ok()) {
                told.duration_ms = Some((seconds * 1_000.0) as u64);
            } else if line.starts_with("aborted") {
                told.outcome = Some(Outcome::Interrupted);
            } else if line.starts_with("Command blocked by ")
                || line.contains("rejected by user")
                || (line.starts_with("exec_command failed") && line.contains("Rejected("))
            {
                told.outcome = Some(Outcome::Refused);
            } else if line.starts_with("exec_command failed") {
                told.outcome = Some(Outcome::Failed);
            }
        }
        told
    }

    fn in_json(text: &str) -> Option<(String, Self)> {
        #[derive(Deserialize)]
        struct Old {
            output: String,
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        struct Metadata {
            exit_code: i64,
            duration_seconds: f64,
        }
        let old: Old = serde_json::from_str(text.strip_prefix("{\"output\"").map(|_| text)?).ok()?;
        let outcome = Some(if old.metadata.exit_code == 0 { Outcome::Ok } else { Outcome::Failed });
        let duration_ms = Some((old.metadata.duration_seconds * 1_000.0) as u64);
        Some((cut(old.output.into(), TEXT_MAX), Self { outcome, duration_ms }))
    }
}

#[cfg(test)]
mod tests;
