//! Conversations as Claude Code writes them down (2.1.197 measured, older ones as far as known), and our demo agent.
//!
//! One line is one record, and one block of a message mostly one line. What a line repeats for others is left alone:
//! `toolUseResult` tells the output again that the block has, `queue-operation` what comes as a prompt of its own.
//! A refusal by a `PreToolUse` hook stands there as a failed call with the hook's reason and nothing else, so it is
//! read as one; the caller who refused knows better.

use crate::transcript::count::Words;
use crate::transcript::lenient::{Amount, Argument, Count, Flag, Lenient, List, Object, Present, Text, read};
use crate::transcript::{
    Call, Context, Counted, Entry, FileKind, Kind, Line, Outcome, RESULT_MAX, Reader, TEXT_MAX, Understood,
    add, cut, fingerprint, id, mending, name, object, readable,
};
use crate::usage::{Tier, Tokens, Usage};
use jiff::Timestamp;
use memchr::memmem::Finder;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;

/// Reads Claude Code's transcripts.
pub(super) struct Transcripts;

/// What the model is called where none was asked.
const SYNTHETIC: &str = "<synthetic>";

/// What stands where a conversation is resumed, so that somebody has answered the last prompt. Nobody said it.
const FILLER: &str = "No response requested.";

/// How an interrupt is written down, as if the person had said it.
const INTERRUPTED: &str = "[Request interrupted by user";

/// How the result of a call begins that was not allowed to run.
const REFUSED: &[&str] =
    &["The user doesn't want to", "Permission to use ", "Claude requested permissions to"];

/// Kinds of lines about the conversation that are no part of it. The first six were seen with 2.1.197.
const SILENT: &[&str] = &[
    "file-history-snapshot",
    "mode",
    "permission-mode",
    "last-prompt",
    "agent-name",
    "queue-operation",
    "summary", // the title of another conversation, more often than of this one
    "progress",
    "agent-color",
    "agent-setting",
    "attribution-snapshot",
    "content-replacement",
    "pr-link",
    "saved_hook_context",
    "speculation-accept",
    "tag",
    "task-summary",
    "worktree-state",
];

/// What a reply is called whose model nobody told.
const UNKNOWN: &str = "unknown";

/// The field without which a line tells no usage.
static USAGE: Words = Words::new(|| vec![Finder::new("\"usage\"")]);

impl Reader for Transcripts {
    fn read(&self, context: &mut Context, line: &[u8]) -> Line {
        let read = mending(line, |line| {
            let record = match object::<Record>(line) {
                Ok(record) => record,
                Err(why) => return Line::broken(&why),
            };
            record.note_in(context);
            let mut reading = Reading { bytes: line, record: &record, context, line: Line::default() };
            reading.read();
            reading.line
        });
        match read.understood {
            // What was said in a reply may be beyond what can be read; what it took is not.
            Understood::Broken(_) => {
                let record = object::<Record<Present>>(line).ok();
                Line { usage: record.and_then(|record| record.reply(context)), ..read }
            }
            Understood::Whole | Understood::UnknownKind(_) => read,
        }
    }

    fn count(&self, context: &mut Context, line: &[u8]) -> Counted {
        if !USAGE.may_stand_in(line) {
            return Counted::Nothing;
        }
        // What the line does not tell itself would be that of a line that was passed over.
        (context.at, context.model, context.cwd) = (None, None, None);
        let usage = match object::<Record<Present>>(line) {
            Ok(record) => record.reply(context),
            Err(_) => self.read(context, line).usage,
        };
        match usage {
            None => Counted::Nothing,
            Some(usage) if context.at.is_none() || context.cwd.is_none() || usage.model == UNKNOWN => {
                Counted::InOthers
            }
            Some(usage) => Counted::Reply(usage),
        }
    }

    fn file(&self, path: &str) -> Option<FileKind> {
        let parts: Vec<&str> = path.split('/').collect();
        let agent = |file: &str| {
            let id = file.strip_prefix("agent-")?.strip_suffix(".jsonl")?;
            is_name(id).then(|| id.to_owned())
        };
        let (conversation, agent) = match parts[..] {
            [_, id, "subagents", file] if is_uuid(id) => (Some(id), Some(agent(file)?)),
            [_, file] => match file.strip_suffix(".jsonl") {
                Some(id) if is_uuid(id) => (Some(id), None),
                // As it was before sub-agents had a folder of their own.
                _ => (None, Some(agent(file)?)),
            },
            _ => return None,
        };
        Some(FileKind { conversation: conversation.map(str::to_owned), agent })
    }
}

/// Whether it is a UUID, as conversations are called.
pub(in crate::provider) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// A line. All kinds in one, because the kind stands behind what it is the kind of.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", bound = "'de: 'a, C: Deserialize<'de> + Default")]
struct Record<'a, C = Content<'a>> {
    #[serde(rename = "type")]
    kind: Text<'a>,
    subtype: Text<'a>,
    uuid: Text<'a>,
    timestamp: Text<'a>,
    session_id: Text<'a>,
    cwd: Text<'a>,
    git_branch: Text<'a>,
    agent_id: Text<'a>,
    request_id: Text<'a>,
    is_sidechain: Flag,
    is_meta: Flag,
    is_compact_summary: Flag,
    is_api_error_message: Flag,
    #[serde(rename = "costUSD")]
    cost_usd: Amount,
    message: Object<Message<'a, C>>,
    tool_use_result: Object<ToolUseResult>,
    origin: Object<Origin<'a>>,
    attachment: Object<Attachment<'a>>,
    content: Text<'a>,
    error: Object<ApiError<'a>>,
    ai_title: Text<'a>,
    custom_title: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound = "'de: 'a, C: Deserialize<'de> + Default")]
struct Message<'a, C> {
    id: Text<'a>,
    model: Text<'a>,
    content: C,
    usage: Object<TokenUsage<'a>>,
}

/// A text, or blocks. A text is read as one block.
#[derive(Default)]
struct Content<'a>(Vec<Object<Block<'a>>>);

impl<'de: 'a, 'a> Lenient<'de> for Content<'a> {
    fn nothing() -> Self {
        Self::default()
    }

    fn of_text(text: Cow<'de, str>) -> Self {
        Self(vec![Object(Some(Block {
            kind: Text(Cow::Borrowed("text")),
            text: Text(text),
            ..Block::default()
        }))])
    }

    fn of_list<A: serde::de::SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        Ok(Self(List::of_list(list)?.0))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from)
    }
}

impl<'a> Content<'a> {
    fn blocks(&self) -> impl Iterator<Item = &Block<'a>> {
        self.0.iter().filter_map(|block| block.0.as_ref())
    }

    /// Its texts in one, and the media types of what is no text.
    fn told(&self) -> (String, Vec<String>) {
        let (mut text, mut attachments) = (String::new(), Vec::new());
        for block in self.blocks() {
            match block.media() {
                Some(media) => attachments.push(media),
                None => add(&mut text, &block.text),
            }
        }
        (text, attachments)
    }
}

#[derive(Deserialize, Default)]
#[serde(default, bound = "'de: 'a")]
struct Block<'a> {
    #[serde(rename = "type")]
    kind: Text<'a>,
    text: Text<'a>,
    thinking: Text<'a>,
    id: Text<'a>,
    name: Text<'a>,
    input: Argument,
    tool_use_id: Text<'a>,
    content: Content<'a>,
    is_error: Flag,
    source: Object<Source<'a>>,
}

impl Block<'_> {
    /// The media type of a picture or document.
    fn media(&self) -> Option<String> {
        let media = self.source.0.as_ref().and_then(|source| source.media_type.get());
        matches!(&*self.kind, "image" | "document").then(|| name(media.unwrap_or(&self.kind)))
    }
}

#[derive(Deserialize, Default)]
#[serde(default, bound = "'de: 'a")]
struct Source<'a> {
    media_type: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ToolUseResult {
    interrupted: Flag,
    duration_ms: Count,
    total_duration_ms: Count,
}

#[derive(Deserialize, Default)]
#[serde(default, bound = "'de: 'a")]
struct Origin<'a> {
    kind: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", bound = "'de: 'a")]
struct Attachment<'a> {
    #[serde(rename = "type")]
    kind: Text<'a>,
    prompt: Content<'a>,
    content: Texts<'a>,
    message: Text<'a>,
    filename: Text<'a>,
    decision: Text<'a>,
    #[serde(rename = "toolUseID")]
    tool_use_id: Text<'a>,
    blocking_error: Object<BlockingError<'a>>,
    origin: Object<Origin<'a>>,
}

/// A text, or several.
#[derive(Default)]
struct Texts<'a>(Vec<Text<'a>>);

impl<'de: 'a, 'a> Lenient<'de> for Texts<'a> {
    fn nothing() -> Self {
        Self::default()
    }

    fn of_text(text: Cow<'de, str>) -> Self {
        Self(vec![Text(text)])
    }

    fn of_list<A: serde::de::SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        Ok(Self(List::of_list(list)?.0))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Texts<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from)
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", bound = "'de: 'a")]
struct BlockingError<'a> {
    blocking_error: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound = "'de: 'a")]
struct ApiError<'a> {
    message: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound = "'de: 'a")]
struct TokenUsage<'a> {
    input_tokens: Count,
    output_tokens: Count,
    cache_read_input_tokens: Count,
    cache_creation_input_tokens: Count,
    cache_creation: Object<CacheCreation>,
    service_tier: Text<'a>,
    speed: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Count,
    ephemeral_1h_input_tokens: Count,
}

impl TokenUsage<'_> {
    /// The two kinds of cache writes are told beside their sum, and older agents told the sum alone. What the sum has
    /// on top was written for a time that nobody told.
    fn tokens(&self) -> Tokens {
        let split = self.cache_creation.0.as_ref();
        let hour = split.map_or(0, |split| split.ephemeral_1h_input_tokens.0);
        let minutes = split.map_or(0, |split| split.ephemeral_5m_input_tokens.0);
        Tokens {
            input: self.input_tokens.0,
            output: self.output_tokens.0,
            reasoning: 0,
            cache_read: self.cache_read_input_tokens.0,
            cache_write_5m: minutes.max(self.cache_creation_input_tokens.0.saturating_sub(hour)),
            cache_write_1h: hour,
        }
    }
}

impl<C> Record<'_, C> {
    /// Where and when the conversation is now.
    fn note_in(&self, context: &mut Context) {
        // A file of a sub-agent is one from its first line on; in files of old versions some lines are.
        if context.conversation.is_none() && context.agent.is_none() && self.is_sidechain.0 {
            context.agent = self.agent_id.get().map(id);
        }
        let set = |place: &mut Option<String>, text: &Text| {
            if let Some(text) = text.get().filter(|text| place.as_deref() != Some(*text)) {
                *place = Some(cut(text.into(), crate::transcript::ARGUMENT_MAX));
            }
        };
        set(&mut context.conversation, &self.session_id);
        if self.cwd.get().is_some() {
            // Who tells the folder tells the branch in it; where none is told, there is none.
            set(&mut context.cwd, &self.cwd);
            context.branch.take_if(|_| self.git_branch.get().is_none());
        }
        set(&mut context.branch, &self.git_branch);
        if let Ok(at) = self.timestamp.parse() {
            context.at = Some(at);
        }
    }

    /// The usage that the line tells, if it is of a reply, whatever is said in it.
    fn reply(&self, context: &mut Context) -> Option<Usage> {
        if &*self.kind != "assistant" {
            return None;
        }
        self.note_in(context);
        self.usage(context)
    }

    /// The usage of the reply that this is a part of. All parts of one tell all of it, or what was known by then.
    fn usage(&self, context: &Context) -> Option<Usage> {
        let message = self.message.0.as_ref()?;
        let usage = message.usage.0.as_ref()?;
        let tokens = usage.tokens();
        // Nobody was asked, or the stream broke off before its numbers came: what that cost is in no transcript.
        if &*message.model == SYNTHETIC || self.is_api_error_message.0 || tokens.total() == 0 {
            return None;
        }
        // One message is one reply, whether its lines tell the request or not. The oldest agents told no id of it.
        let key = match (message.id.get(), self.request_id.get(), self.uuid.get()) {
            (Some(message), ..) => format!("claude:{}", id(message)),
            (None, Some(request), _) => format!("claude:request:{}", id(request)),
            (None, None, Some(line)) => format!("claude:line:{}", id(line)),
            (None, None, None) => return None,
        };
        Some(Usage {
            key,
            at: context.at.unwrap_or(Timestamp::UNIX_EPOCH),
            model: message.model.get().or(context.model.as_deref()).map_or_else(|| UNKNOWN.to_owned(), name),
            tokens,
            billing: Tier { service: usage.service_tier.get().map(name), speed: usage.speed.get().map(name) },
            vendor_cost: self.cost_usd.0.filter(|cost| *cost >= 0.0),
        })
    }
}

/// A line in the reading.
struct Reading<'a> {
    bytes: &'a [u8],
    record: &'a Record<'a>,
    context: &'a mut Context,
    line: Line,
}

impl Reading<'_> {
    fn read(&mut self) {
        let record = self.record;
        match &*record.kind {
            "user" => self.user(),
            "assistant" => self.assistant(),
            "system" => self.system(),
            "attachment" => self.attachment(),
            "custom-title" => {
                self.context.named = true;
                self.context.title = record.custom_title.get().map(|title| cut(title.into(), TEXT_MAX));
            }
            "ai-title" => {
                if let Some(title) = record.ai_title.get().filter(|_| !self.context.named) {
                    self.context.title = Some(cut(title.into(), TEXT_MAX));
                }
            }
            kind if SILENT.contains(&kind) => {}
            unknown => self.line = Line::unknown(unknown),
        }
    }

    fn user(&mut self) {
        let record = self.record;
        let Some(message) = &record.message.0 else { return };
        let blocks = || message.content.blocks().enumerate();
        let results = blocks().filter(|(_, block)| &*block.kind == "tool_result").count();
        for (index, block) in blocks().filter(|(_, block)| &*block.kind == "tool_result") {
            // It has no id, so it can only be meant where there is one result.
            let detail = record.tool_use_result.0.as_ref().filter(|_| results == 1);
            self.tool_result(index, block, detail);
        }
        if let Some((index, _)) =
            blocks().find(|(_, block)| matches!(&*block.kind, "text" | "image" | "document"))
        {
            let (text, attachments) = message.content.said();
            self.prompt(index, text, attachments, record.origin.0.as_ref());
        }
    }

    fn tool_result(&mut self, index: usize, block: &Block, detail: Option<&ToolUseResult>) {
        let (text, attachments) = block.content.told();
        let known = self.context.recall(&block.tool_use_id);
        let outcome = match known.and_then(|known| known.outcome) {
            Some(outcome) => outcome,
            None if detail.is_some_and(|detail| detail.interrupted.0) => Outcome::Interrupted,
            None if !block.is_error.0 => Outcome::Ok,
            None if text.starts_with(INTERRUPTED) => Outcome::Interrupted,
            None if REFUSED.iter().any(|start| text.starts_with(start)) || is_hook_refusal(&text) => {
                Outcome::Refused
            }
            None => Outcome::Failed,
        };
        let durations = detail.map(|detail| [detail.duration_ms.0, detail.total_duration_ms.0]);
        let duration_ms = durations.and_then(|durations| durations.into_iter().find(|ms| *ms > 0));
        self.add(
            index,
            Kind::ToolResult { call: id(&block.tool_use_id), outcome, duration_ms, attachments },
            cut(Cow::Owned(text), RESULT_MAX),
        );
    }

    /// What stands where a person speaks. Much of it is not a person's.
    fn prompt(&mut self, index: usize, text: String, attachments: Vec<String>, origin: Option<&Origin>) {
        let record = self.record;
        let kind = match text.trim_start() {
            said if said.starts_with(INTERRUPTED) => Kind::Error { error: "interrupted".into() },
            said if said.starts_with("<local-command-caveat>") => return,
            said if said.starts_with("<local-command-std") => return self.command_output(index, said),
            said if said.starts_with("<bash-std") => {
                let text = [inside(said, "bash-stdout"), inside(said, "bash-stderr")].concat();
                return self.note(index, "shell_output", text);
            }
            said if said.starts_with("<bash-input>") => {
                return self.note(index, "shell", inside(said, "bash-input").to_owned());
            }
            said if said.starts_with("<command-name>") || said.starts_with("<command-message>") => {
                let command = format!("{} {}", inside(said, "command-name"), inside(said, "command-args"));
                return self.note(index, "command", command.trim().to_owned());
            }
            said => {
                let origin = match origin.and_then(|origin| origin.kind.get()) {
                    _ if record.is_compact_summary.0 => Some("compaction"),
                    Some("human") => None,
                    Some(origin) => Some(origin),
                    None if said.starts_with("<task-notification>") => Some("task-notification"),
                    None if record.is_meta.0 && said.starts_with("Stop hook feedback") => Some("hook"),
                    None if record.is_meta.0 => Some("system"),
                    // What the agent told its sub-agent to do.
                    None if record.is_sidechain.0 => Some("agent"),
                    None => None,
                };
                Kind::User { origin: origin.map(name), attachments }
            }
        };
        self.add(index, kind, text);
    }

    fn assistant(&mut self) {
        let record = self.record;
        let Some(message) = &record.message.0 else { return };
        self.line.usage = record.usage(self.context);
        let model = message.model.get().filter(|model| *model != SYNTHETIC).map(name);
        if let Some(model) = &model
            // Sub-agents of old versions stand in the file of the conversation, with models of their own.
            && (!record.is_sidechain.0 || self.context.agent.is_some())
            && self.context.switch_model(model)
        {
            let uid = format!("{}:model", self.uuid());
            self.push(uid, Kind::ModelChange { model: model.clone() }, model.clone());
        }
        for (index, block) in message.content.blocks().enumerate() {
            let text = |text: &Text| cut(Cow::Borrowed(&**text), TEXT_MAX);
            let (kind, text) = match &*block.kind {
                "text" if record.is_api_error_message.0 => {
                    (Kind::Error { error: "api".into() }, text(&block.text))
                }
                "text" if model.is_none() && &*block.text == FILLER => continue,
                "text" => (Kind::Assistant { model: model.clone() }, text(&block.text)),
                "thinking" | "redacted_thinking" => (Kind::Thinking, text(&block.thinking)),
                "tool_use" | "server_tool_use" | "mcp_tool_use" => {
                    let input = block.input.0.clone();
                    let text = readable(&input);
                    (Kind::ToolCall { call: id(&block.id), tool: name(&block.name), input }, text)
                }
                kind if kind.ends_with("_tool_result") => {
                    self.tool_result(index, block, None);
                    continue;
                }
                "image" | "document" => continue,
                unknown => {
                    self.line.understood = Line::unknown(&format!("assistant/{unknown}")).understood;
                    continue;
                }
            };
            self.add(index, kind, text);
        }
    }

    fn system(&mut self) {
        let record = self.record;
        match &*record.subtype {
            "compact_boundary" => self.add(0, Kind::Compaction, String::new()),
            "local_command" => {
                self.prompt(0, cut(Cow::Borrowed(&*record.content), TEXT_MAX), Vec::new(), None)
            }
            "api_error" => {
                let error =
                    record.error.0.as_ref().and_then(|error| error.message.get()).unwrap_or(&record.content);
                self.add(0, Kind::Error { error: "api".into() }, cut(error.into(), TEXT_MAX));
            }
            subtype => self.note(0, &name(subtype), cut(Cow::Borrowed(&*record.content), TEXT_MAX)),
        }
    }

    /// What the agent puts beside a message. Most of it is for the model, and told every time.
    fn attachment(&mut self) {
        let record = self.record;
        let Some(attachment) = &record.attachment.0 else { return };
        let call = || attachment.tool_use_id.get().map(id);
        match &*attachment.kind {
            // A prompt that was typed in a turn and given to the model within it: there is no `user` line.
            "queued_command" => {
                let (text, attachments) = attachment.prompt.told();
                self.prompt(0, text, attachments, attachment.origin.0.as_ref());
            }
            "hook_permission_decision" => {
                if &*attachment.decision == "deny"
                    && let Some(call) = call()
                {
                    self.context.remember(Call { call, outcome: Some(Outcome::Refused), duration_ms: None });
                }
                let decision = name(&attachment.decision);
                self.add(0, Kind::Decision { call: call(), decision: decision.clone() }, decision);
            }
            kind @ ("hook_stopped_continuation"
            | "hook_additional_context"
            | "hook_blocking_error"
            | "hook_system_message") => {
                let mut text = String::new();
                let error = attachment.blocking_error.0.as_ref().map(|error| &error.blocking_error);
                for more in attachment.content.0.iter().chain([&attachment.message]).chain(error) {
                    add(&mut text, more);
                }
                self.note(0, kind, text);
            }
            "file" => self.note(0, "file", cut(Cow::Borrowed(&*attachment.filename), TEXT_MAX)),
            _ => {}
        }
    }

    fn command_output(&mut self, index: usize, said: &str) {
        let text = [inside(said, "local-command-stdout"), inside(said, "local-command-stderr")].concat();
        self.note(index, "command_output", without_escapes(&text));
    }

    /// A note that says something.
    fn note(&mut self, index: usize, note: &str, text: String) {
        if !text.trim().is_empty() {
            self.add(index, Kind::Note { note: note.to_owned() }, text);
        }
    }

    /// An entry for one block of the line.
    fn add(&mut self, index: usize, kind: Kind, text: String) {
        let blocks = self.record.message.0.as_ref().map_or(0, |message| message.content.0.len());
        let uuid = self.uuid();
        self.push(if blocks > 1 { format!("{uuid}:{index}") } else { uuid }, kind, text);
    }

    fn uuid(&self) -> String {
        self.record.uuid.get().map_or_else(|| fingerprint(self.bytes), id)
    }

    fn push(&mut self, uid: String, kind: Kind, text: String) {
        let own =
            self.record.agent_id.get().filter(|_| self.record.is_sidechain.0 || self.context.agent.is_some());
        let agent = own.map(id).or_else(|| self.context.agent.clone());
        // Sub-agents of the oldest versions have no id.
        let agent = agent.or_else(|| self.record.is_sidechain.0.then(|| "sidechain".to_owned()));
        self.line.entries.push(Entry { uid, at: self.context.at, agent, kind, text });
    }
}

impl Content<'_> {
    /// What was said in it, beside results of calls.
    fn said(&self) -> (String, Vec<String>) {
        let (mut text, mut attachments) = (String::new(), Vec::new());
        for block in self.blocks().filter(|block| &*block.kind != "tool_result") {
            attachments.extend(block.media());
            add(&mut text, &block.text);
        }
        (text, attachments)
    }
}

/// `PreToolUse:Bash hook error: [command]: reason`, where a hook refused by its exit code.
fn is_hook_refusal(text: &str) -> bool {
    text.strip_prefix("PreToolUse:")
        .and_then(|rest| rest.split_once(' '))
        .is_some_and(|(_, rest)| rest.starts_with("hook error:"))
}

/// What stands between `<tag>` and `</tag>`; nothing where there is no such tag.
fn inside<'a>(text: &'a str, tag: &str) -> &'a str {
    let Some((_, after)) = text.split_once(&format!("<{tag}>")) else { return "" };
    after.split_once(&format!("</{tag}>")).map_or(after, |(inside, _)| inside)
}

/// A text for a terminal, without its colours.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        let end = after.find(|c: char| ('@'..='~').contains(&c));
        rest = end.map_or("", |end| &after[end + 1..]);
    }
    plain + rest
}

#[cfg(test)]
mod tests;
