//! All we know of Codex: its command line with a private app server, our hooks and their trust, and what
//! its hooks and the server's messages mean. Measured with 0.169.0 unless said otherwise.
//!
//! # How a session runs
//!
//! `codex app-server --listen unix://…/codex.sock -c hooks.…` is the session's own server, and
//! `codex [resume ID | fork ID] --remote unix://…/codex.sock …` draws it in the pane. The daemon is a second
//! client. Hooks and commands run in the **server**, so it needs the session's environment and has to start
//! in the session's folder; the TUI's environment and folder do not reach them.
//!
//! - With `--remote` no "Folder access" dialog comes in a git repository that is not trusted yet. The thread
//!   is read-only there, and the project's own configuration and hooks are left alone.
//! - The user's own untrusted hooks still open "Hooks need review", for theirs alone; `thread/started` comes
//!   when that is answered.
//! - The `PermissionRequest` hook runs before the dialog, and while it is held neither the dialog nor the
//!   channel's question is there: it must be answered at once, with nothing to let the question come.
//! - A key that is pressed in the very moment a dialog is drawn is lost; 50 ms later it counts.
//! - A socket path longer than `sun_path` (108 bytes) is no trouble: the server always binds
//!   `/tmp/codex-daemon-<uid>/<hash>` (folder 0700, socket 0600) and leaves a symbolic link at the path we
//!   named; the TUI follows it. Who connects otherwise must resolve the link first.
//! - `--model`, `-c`, `-s`, `-a` and `--dangerously-bypass-approvals-and-sandbox` take effect on the TUI's
//!   side for a new conversation, before or after `--remote`. With `resume` and `fork` the model still does
//!   (unless the server holds the thread in memory already: then the thread's own stays), but any permission
//!   flag, also as `-c`, ends the TUI: "Permission overrides are not supported when resuming a remote task".
//!   The same as `-c` of the server is ignored. A thread keeps its permissions, so a resumed or forked one
//!   gets others only by [`requests::set_permissions`].
//! - TUI: SIGTERM, SIGHUP and SIGINT end it within 10 ms, `/quit` too; server, thread and a running turn go
//!   on. `codex resume ID --remote …` attaches again in 0.5 s, in mid-turn as well.
//! - Server: SIGTERM or SIGHUP end it in 40 ms when no turn runs (`SessionEnd` hooks run, the socket and its
//!   link go). In a turn it waits for the turn's end, without a limit seen. So a graceful stop is:
//!   [`requests::interrupt`] (25 ms, the command of the turn ends), then SIGTERM to both, then SIGKILL after
//!   the grace time. After SIGKILL the socket, its `.lock` and the link stay; the next server at the same path
//!   replaces them.
//! - When the server dies the TUI stays, says "Reconnecting to server…", and comes back with its thread when
//!   a server listens at the same path again (5 s seen).

use super::{
    Approval, ApprovalKind, ChannelMessage, Companion, Conversation, Definition, Dialect, Launch, Note, Plan,
    Told,
    claude::{fill, shell_word},
};
use crate::gate::{Gate, Verdict};
use crate::hook::{HookEvent, Learned, Outcome, ToolCall, shorten};
use crate::live::Figures;
use crate::session::{Activity, Happening, Need, Waiting};
use crate::transcript::Reader;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

pub mod requests;
mod rollout;

/// Codex.
pub(super) struct Codex;

/// Seconds a hook may take before Codex goes on without it. Far above ours, because a timed-out hook fails
/// open; 7200 is listed as it was given.
const HOOK_TIMEOUT_S: u64 = 7_200;

/// The longest that `SessionEnd` and `Interrupt` may take, in seconds: Codex lowers what is above, and hashes
/// the lowered value.
const CLOSING_HOOK_TIMEOUT_S: u64 = 3;

/// Characters of a question that are kept for the session list.
const QUESTION_MAX: usize = 300;

/// How a person answers a permission dialog from outside (`y` and Escape act at once; digits only select).
const HOW_TO_PERMIT: &str =
    "`codepiper keys {id} y` allows it once, `codepiper keys {id} escape` refuses and ends the turn";

/// All hook events of 0.169.0, with their names in keys and hashes. An unknown one is only a warning.
const EVENTS: &[(&str, &str)] = &[
    ("PreModelRequest", "pre_model_request"),
    ("PostModelRequest", "post_model_request"),
    ("PreToolUse", "pre_tool_use"),
    ("PermissionRequest", "permission_request"),
    ("PostToolUse", "post_tool_use"),
    ("PreCompact", "pre_compact"),
    ("PostCompact", "post_compact"),
    ("SessionStart", "session_start"),
    ("SessionEnd", "session_end"),
    ("UserPromptSubmit", "user_prompt_submit"),
    ("SubagentStart", "subagent_start"),
    ("SubagentStop", "subagent_stop"),
    ("Stop", "stop"),
    ("Interrupt", "interrupt"),
];

impl Dialect for Codex {
    fn launch(&self, definition: &Definition, request: &Launch<'_>) -> Plan {
        let socket = request.runtime_dir.join("codex.sock");
        let address = format!("unix://{}", socket.display());
        let fresh = matches!(request.conversation, Conversation::New { .. });
        // See above: permission flags end a TUI that resumes or forks.
        let allowed = Launch { dangerous: request.dangerous && fresh, ..request.clone() };
        let (mut args, provider_session) = fill(definition, &allowed);
        args.extend(["--remote".to_owned(), address.clone()]);
        args.extend(request.extra_args.iter().cloned());
        let mut server = vec!["app-server".to_owned(), "--listen".to_owned(), address];
        server.extend(our_hooks(request));
        Plan {
            args,
            companion: Some(Companion {
                args: server,
                ready_socket: socket,
                log: request.runtime_dir.join("codex-server.log"),
            }),
            provider_session,
            ..Plan::default()
        }
    }

    fn read_hook(&self, body: Value) -> HookEvent {
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let name = text("hook_event_name").unwrap_or_else(|| "unknown".into());
        let tool = text("tool_name").map(|tool| ToolCall {
            tool,
            args: body.get("tool_input").cloned().unwrap_or(Value::Null),
            use_id: text("tool_use_id"),
            agent: text("agent_id"),
        });
        // After `/clear` the old conversation's `SessionEnd` comes when the server ends, and a sub-agent's
        // events may carry its own: only these two speak of the conversation that is in the pane.
        let own = matches!(name.as_str(), "SessionStart" | "UserPromptSubmit");
        HookEvent {
            happenings: meaning(&name, tool.as_ref(), &body),
            learned: Learned {
                provider_session: text("session_id").filter(|_| own),
                transcript_path: text("transcript_path").filter(|_| own),
                model: text("model").filter(|_| own),
                was_prompted: name == "UserPromptSubmit",
            },
            prompt: text("prompt").filter(|_| name == "UserPromptSubmit"),
            tool,
            name,
            raw: body,
        }
    }

    fn gate(&self, event: &str) -> Option<Gate> {
        match event {
            "PreToolUse" => Some(Gate::ToolUse),
            "PermissionRequest" => Some(Gate::Question),
            _ => None,
        }
    }

    /// Before a tool runs only a no is understood: a plain allow or ask is reported as a failed hook (measured,
    /// 0.169.0). A question is answered here by rules only; a person answers it on the channel.
    fn answer(&self, gate: Gate, _call: &ToolCall, verdict: &Verdict) -> String {
        let specific = match (gate, verdict) {
            (Gate::ToolUse, Verdict::Deny { reason }) => json!({
                "hookEventName": "PreToolUse", "permissionDecision": "deny",
                "permissionDecisionReason": reason,
            }),
            (Gate::Question, Verdict::Allow { .. }) => {
                json!({ "hookEventName": "PermissionRequest", "decision": { "behavior": "allow" } })
            }
            (Gate::Question, Verdict::Deny { reason }) => json!({
                "hookEventName": "PermissionRequest", "decision": { "behavior": "deny", "message": reason },
            }),
            _ => return String::new(),
        };
        json!({ "hookSpecificOutput": specific }).to_string()
    }

    /// It tells neither how long a call took nor whether it failed: the output is all there is.
    fn outcome(&self, event: &HookEvent) -> Option<Outcome> {
        let outcome = Outcome { error: None, was_interrupted: false, duration_ms: None };
        (event.name == "PostToolUse").then_some(outcome)
    }

    fn call_key(&self, call: &ToolCall) -> String {
        key(call)
    }

    /// The tool waits, and so does the turn: `PermissionRequest` would keep the agent's own dialog away.
    fn waits_at(&self) -> Option<Gate> {
        Some(Gate::ToolUse)
    }

    fn transcript_folder(&self, environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        set("CODEX_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".codex")))
            .map(|home| home.join("sessions"))
    }

    /// What was archived lies beside it.
    fn transcript_root<'a>(&self, transcript_folder: &'a Path) -> &'a Path {
        transcript_folder.parent().unwrap_or(transcript_folder)
    }

    fn history_folders(&self, transcript_folder: &Path) -> Vec<PathBuf> {
        let archived = self.transcript_root(transcript_folder).join("archived_sessions");
        vec![transcript_folder.to_owned(), archived]
    }

    fn reader(&self) -> Option<&'static dyn Reader> {
        Some(&rollout::Rollouts)
    }

    fn read_transcript_line(&self, line: &[u8]) -> Vec<Note> {
        // Most lines are long and of no interest here; this kind is written after each reply.
        let is_count = line.windows(TOKEN_COUNT.len()).take(KIND_WITHIN).any(|part| part == TOKEN_COUNT);
        let Some(line) = is_count.then(|| serde_json::from_slice::<Value>(line).ok()).flatten() else {
            return Vec::new();
        };
        match (line["type"].as_str(), line["payload"]["type"].as_str()) {
            (Some("event_msg"), Some("token_count")) => {
                vec![Note::Figures(Figures::of_codex_token_count(&line["payload"]))]
            }
            _ => Vec::new(),
        }
    }

    fn read_channel(&self, message: &Value) -> ChannelMessage {
        read_channel(message)
    }
}

/// The kind of line that tells tokens and limits, and within how many bytes of a line its name stands.
const TOKEN_COUNT: &[u8] = b"\"token_count\"";
const KIND_WITHIN: usize = 300;

/// The server's flags for our hooks and the trust in exactly them, beside the user's own (all of them run).
///
/// New hooks open a "Hooks need review" dialog unless their hash is known, and the hash can be had without
/// asking: see [`trusted_hash`]. What the user has not trusted stays untrusted.
fn our_hooks(request: &Launch<'_>) -> Vec<String> {
    let command = format!("{} hook", shell_word(&request.codepiper.display().to_string()));
    let mut args = Vec::new();
    let mut trust = Vec::new();
    for (event, key) in EVENTS {
        let timeout_s = match *event {
            "SessionEnd" | "Interrupt" => CLOSING_HOOK_TIMEOUT_S,
            _ => HOOK_TIMEOUT_S,
        };
        let command_toml = toml_text(&command);
        args.push("-c".to_owned());
        args.push(format!(
            r#"hooks.{event}=[{{hooks=[{{type="command",command={command_toml},timeout={timeout_s}}}]}}]"#
        ));
        let hash = trusted_hash(key, &command, timeout_s);
        trust.push(format!(r#""/<session-flags>/config.toml:{key}:0:0"={{trusted_hash="{hash}"}}"#));
    }
    args.push("-c".to_owned());
    args.push(format!("hooks.state={{{}}}", trust.join(",")));
    args
}

/// The hash by which Codex knows a command hook without a matcher: SHA-256 over the compact JSON, keys
/// sorted, of what makes it up. Equal to `currentHash` of `hooks/list` for all 14 events.
fn trusted_hash(event_key: &str, command: &str, timeout_s: u64) -> String {
    // `serde_json` without `preserve_order` sorts the keys; the text is written out all the same, so that no
    // feature of another crate can change it.
    let command = Value::from(command);
    let identity = format!(
        r#"{{"event_name":"{event_key}","hooks":[{{"async":false,"command":{command},"timeout":{timeout_s},"type":"command"}}]}}"#
    );
    let hex: String = Sha256::digest(identity.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A TOML basic string: JSON's, except that TOML wants DEL escaped.
fn toml_text(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn meaning(name: &str, tool: Option<&ToolCall>, body: &Value) -> Vec<Happening> {
    use Happening as H;
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    match (name, tool) {
        ("SessionStart", _) => vec![H::Ready],
        ("UserPromptSubmit", _) => vec![H::PromptTaken],
        ("PreToolUse" | "PreModelRequest" | "PostModelRequest" | "PreCompact" | "SubagentStart", _) => {
            vec![H::Working]
        }
        ("PermissionRequest", Some(call)) => vec![H::Asked(Waiting {
            need: Need::Permission,
            question: with_reason(call.in_one_line(), call.args.get("description")),
            how: HOW_TO_PERMIT.into(),
            about: key(call),
        })],
        ("PostToolUse", Some(call)) => vec![H::Answered { about: Some(key(call)) }, H::Working],
        ("Interrupt", _) => vec![H::Interrupted],
        ("Stop", _) => vec![H::TurnEnded],
        ("PostCompact", _) if text("trigger") == "manual" => vec![H::TurnEnded],
        _ => Vec::new(),
    }
}

/// A key that is equal for the same call in `PermissionRequest` and `PostToolUse`: the first has no
/// `tool_use_id` and adds a `description` to the arguments.
fn key(call: &ToolCall) -> String {
    let mut args = call.args.clone();
    if let Value::Object(args) = &mut args {
        args.remove("description");
    }
    format!("{} {args}", call.tool)
}

fn with_reason(line: String, reason: Option<&Value>) -> String {
    match reason.and_then(Value::as_str).filter(|reason| !reason.is_empty()) {
        Some(reason) => shorten(&format!("{line} ({reason})"), QUESTION_MAX),
        None => shorten(&line, QUESTION_MAX),
    }
}

/// One notification or request of the server. Answers to our own requests mean nothing here: only who asked
/// knows what they answer.
pub fn read_channel(message: &Value) -> ChannelMessage {
    use Happening as H;
    let Some(method) = message.get("method").and_then(Value::as_str) else {
        return ChannelMessage::default();
    };
    let params = message.get("params").unwrap_or(&Value::Null);
    let text = |at: &str| params.pointer(at).and_then(Value::as_str);
    let mut read = ChannelMessage { thread: text("/threadId").map(str::to_owned), ..Default::default() };
    if let Some(request) = message.get("id") {
        if let Some((approval, open)) = asked(method, request, params) {
            read.happenings.push(H::Asked(open));
            read.told = Some(Told::Asked(approval));
        }
        return read;
    }
    match method {
        "thread/started" => {
            read = read_thread(params, None);
            if read.told == Some(Told::Opened { own: true }) {
                read.happenings.push(H::Ready);
            }
        }
        "thread/closed" => read.told = Some(Told::Closed),
        "thread/status/changed" => {
            let noted = message.get("emittedAtMs").and_then(Value::as_i64);
            let noted = noted.and_then(|ms| Timestamp::from_millisecond(ms).ok());
            read.happenings.extend(seen(params.get("status"), noted));
            read.told = match text("/status/type") {
                Some("notLoaded") => Some(Told::Closed),
                _ => Some(Told::Stirred),
            };
        }
        "turn/started" => read.happenings.push(H::Working),
        "turn/completed" => read.happenings.extend(match text("/turn/status") {
            Some("completed") => Some(H::TurnEnded),
            Some("interrupted") => Some(H::Interrupted),
            Some("failed") => Some(H::TurnFailed { error: error_text(text("/turn/error/message")) }),
            _ => None,
        }),
        "item/started" => match text("/item/type") {
            Some("userMessage") => read.happenings.push(H::PromptTaken),
            Some("fileChange") => {
                let files = params.pointer("/item/changes").and_then(Value::as_array).into_iter().flatten();
                read.told = text("/item/id").map(|item| Told::WillChange {
                    item: item.to_owned(),
                    files: files.filter_map(|file| file.get("path")?.as_str()).map(str::to_owned).collect(),
                });
            }
            _ => {}
        },
        "serverRequest/resolved" => {
            let request = params.get("requestId").cloned().unwrap_or(Value::Null);
            read.happenings.push(H::Answered { about: Some(about(&request)) });
            read.told = Some(Told::Resolved { request });
        }
        "thread/settings/updated" => {
            read.learned.model = text("/threadSettings/model").map(str::to_owned);
        }
        "model/rerouted" => read.learned.model = text("/toModel").map(str::to_owned),
        _ => {}
    }
    read
}

/// What `thread/started`, and the answers to `thread/read` and `thread/resume`, say of a thread. `noted` is
/// when the answer came; without it the status is not taken for one.
pub fn read_thread(result: &Value, noted: Option<Timestamp>) -> ChannelMessage {
    let text = |at: &str| result.pointer(at).and_then(Value::as_str).map(str::to_owned);
    let Some(id) = text("/thread/id") else { return ChannelMessage::default() };
    let ephemeral = result.pointer("/thread/ephemeral").and_then(Value::as_bool).unwrap_or(false);
    let own = !ephemeral && text("/thread/parentThreadId").is_none();
    let learned = match own {
        true => Learned {
            provider_session: Some(id.clone()),
            transcript_path: text("/thread/path"),
            model: text("/model").or_else(|| text("/thread/model")),
            was_prompted: false,
        },
        false => Learned::default(),
    };
    ChannelMessage {
        happenings: noted
            .and_then(|noted| seen(result.pointer("/thread/status"), Some(noted)))
            .into_iter()
            .collect(),
        thread: Some(id),
        learned,
        told: Some(Told::Opened { own }),
    }
}

/// A thread's status. It is all that a client hears of a thread that it does not follow, and weaker than the
/// turn's own messages: those come with it.
fn seen(status: Option<&Value>, noted: Option<Timestamp>) -> Option<Happening> {
    let status = status?;
    let flag = |name: &str| {
        let flags = status.get("activeFlags").and_then(Value::as_array);
        flags.is_some_and(|flags| flags.iter().any(|flag| flag.as_str() == Some(name)))
    };
    let waiting = |need, question: &str| {
        Activity::Waiting(Waiting {
            need,
            question: question.into(),
            how: "`codepiper attach {id}` to answer it".into(),
            about: "status".into(),
        })
    };
    let activity = match status.get("type").and_then(Value::as_str)? {
        "idle" => Activity::Idle,
        "active" if flag("waitingOnApproval") => waiting(Need::Permission, "waiting for an approval"),
        "active" if flag("waitingOnUserInput") => waiting(Need::Input, "waiting for an answer"),
        "active" => Activity::Busy,
        // `systemError` comes before a `turn/completed` that says more.
        _ => return None,
    };
    Some(Happening::Seen { activity, noted: noted? })
}

/// The key of a channel's question. Only the request's id is in both the question and its resolution.
fn about(request: &Value) -> String {
    format!("request {request}")
}

/// The questions of the server. Its other requests are for clients that offer something (tokens, tools),
/// which we do not.
fn asked(method: &str, request: &Value, params: &Value) -> Option<(Approval, Waiting)> {
    let text = |at: &str| params.pointer(at).and_then(Value::as_str);
    let call = |tool: &str, args: Value| ToolCall {
        tool: tool.into(),
        args,
        use_id: text("/itemId").map(str::to_owned),
        agent: None,
    };
    let (kind, call, question) = match method {
        "item/commandExecution/requestApproval" => {
            // The plain command stands in the parsed actions; `command` has the shell round it.
            let actions = params.get("commandActions").and_then(Value::as_array).into_iter().flatten();
            let plain: Vec<&str> = actions.filter_map(|action| action.get("command")?.as_str()).collect();
            let command = if plain.is_empty() {
                text("/command").unwrap_or("?").to_owned()
            } else {
                plain.join(" && ")
            };
            let call = call("Bash", json!({ "command": command }));
            let line = call.in_one_line();
            (ApprovalKind::Command, Some(call), line)
        }
        "item/fileChange/requestApproval" => {
            (ApprovalKind::FileChange, Some(call("apply_patch", json!({}))), "change files".to_owned())
        }
        "item/permissions/requestApproval" => {
            let wanted = params.get("permissions").cloned().unwrap_or(Value::Null);
            (ApprovalKind::Permissions, None, format!("widen its sandbox: {wanted}"))
        }
        "item/tool/requestUserInput" => {
            let labels: Vec<&str> = params
                .pointer("/questions/0/options")
                .and_then(Value::as_array)
                .map(|options| options.iter().filter_map(|option| option.get("label")?.as_str()).collect())
                .unwrap_or_default();
            let asked = text("/questions/0/question").unwrap_or("a question");
            let line = if labels.is_empty() {
                asked.to_owned()
            } else {
                format!("{asked} ({})", labels.join(" / "))
            };
            (ApprovalKind::Question, None, line)
        }
        "mcpServer/elicitation/request" => {
            (ApprovalKind::Elicitation, None, text("/message").unwrap_or("a question").to_owned())
        }
        _ => return None,
    };
    let need = match kind {
        ApprovalKind::Command | ApprovalKind::FileChange | ApprovalKind::Permissions => Need::Permission,
        ApprovalKind::Question | ApprovalKind::Elicitation => Need::Input,
    };
    let open = Waiting {
        need,
        question: with_reason(question, params.get("reason")),
        how: match kind {
            ApprovalKind::Command | ApprovalKind::FileChange => HOW_TO_PERMIT.into(),
            _ => "`codepiper attach {id}` to answer it".into(),
        },
        about: about(request),
    };
    let item = text("/itemId").map(str::to_owned);
    Some((Approval { request: request.clone(), kind, item, call, params: params.clone() }, open))
}

/// Fills in the files of a change, which its question does not name but an earlier
/// [`Told::WillChange`] of the same item did.
pub fn name_files(message: &mut ChannelMessage, files: &[String]) {
    let Some(Told::Asked(Approval { kind: ApprovalKind::FileChange, call: Some(call), .. })) =
        &mut message.told
    else {
        return;
    };
    call.args = json!({ "files": files });
    for happening in &mut message.happenings {
        if let Happening::Asked(open) = happening {
            let named = open.question.replacen("change files", &format!("change {}", files.join(", ")), 1);
            open.question = shorten(&named, QUESTION_MAX);
        }
    }
}

/// The words of a failure: a service's JSON body is reduced to its message.
fn error_text(message: Option<&str>) -> String {
    let message = message.unwrap_or("no reason given");
    let inner = serde_json::from_str::<Value>(message).ok();
    let inner = inner.as_ref().and_then(|body| body.pointer("/error/message")?.as_str());
    shorten(inner.unwrap_or(message), QUESTION_MAX)
}

#[cfg(test)]
mod tests;
