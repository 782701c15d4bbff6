//! All we know of Claude Code: its command line, its settings overlay, what its hooks, state files and
//! transcript lines mean. Measured with 2.1.197 unless said otherwise.

use super::{Conversation, Definition, Dialect, Launch, Note, Plan, StatusLine};
use crate::gate::{Gate, Verdict};
use crate::hook::{HookEvent, Learned, Outcome, ToolCall, shorten};
use crate::live::Figures;
use crate::session::{Activity, Happening, Need, Waiting};
use crate::transcript::Reader;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub mod model;
pub(super) mod transcript;

/// Claude Code, and agents that speak like it (our demo agent).
pub(super) struct Claude;

/// Where the demo agent keeps its conversations.
const DEMO_HOME: &str = "CODEPIPER_DEMO_HOME";

/// Seconds a hook may take before Claude Code goes on without it. Far above ours, because a timed-out hook
/// fails open: 7200 s was held and honoured.
const HOOK_TIMEOUT_S: u64 = 7_200;

/// Characters of a question that are kept for the session list.
const QUESTION_MAX: usize = 300;

/// Hook events that every version we meet knows (documented since 2.0).
const EVENTS: &[&str] = &[
    "PreToolUse",
    "PostToolUse",
    "Notification",
    "UserPromptSubmit",
    "SessionStart",
    "SessionEnd",
    "Stop",
    "SubagentStop",
    "PreCompact",
];

/// More events that 2.1.197 knows. An unknown one opens a blocking menu at start, so they are only used from
/// that version on. Left out on purpose: `WorktreeCreate` (its hook must make the worktree) and
/// `MessageDisplay` (a process for every piece of streamed text).
const EVENTS_2_1_197: &[&str] = &[
    "PermissionRequest",
    "PermissionDenied",
    "PostToolUseFailure",
    "PostToolBatch",
    "StopFailure",
    "SubagentStart",
    "PostCompact",
    "Elicitation",
    "ElicitationResult",
    "CwdChanged",
    "ConfigChange",
    "UserPromptExpansion",
    "TaskCreated",
    "TaskCompleted",
];

impl Dialect for Claude {
    fn launch(&self, definition: &Definition, request: &Launch<'_>) -> Plan {
        let settings = request.runtime_dir.join("settings.json");
        let status_line = request.runtime_dir.join("status-line");
        let theirs = status_line_of_the_person(definition, request);
        let command = theirs.and_then(|theirs| theirs["command"].as_str()).unwrap_or_default();
        let (mut args, provider_session) = fill(definition, request);
        args.extend(["--settings".to_owned(), settings.display().to_string()]);
        args.extend(request.extra_args.iter().cloned());
        // The demo agent is this program, and keeps its things with ours.
        let home = request.runtime_dir.ancestors().nth(2).filter(|_| definition.program.is_empty());
        let demo_home =
            home.map(|home| (DEMO_HOME.to_owned(), home.join("demo-agent").display().to_string()));
        Plan {
            args,
            environment: demo_home.into_iter().collect(),
            files: vec![
                (settings, overlay(definition, request, &status_line)),
                // A command may hold a secret, so it is not on our command line.
                (status_line, command.to_owned()),
            ],
            companion: None,
            provider_session,
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
        let source = text("source").unwrap_or_default();
        // A resumed or forked conversation first reports its parent's id; its own comes with the first
        // prompt, and we chose it anyway.
        let own_id = match name.as_str() {
            "SessionStart" => matches!(source.as_str(), "startup" | "clear" | "compact"),
            "UserPromptSubmit" => true,
            _ => false,
        };
        HookEvent {
            happenings: meaning(&name, &source, tool.as_ref(), &body),
            learned: Learned {
                provider_session: text("session_id").filter(|_| own_id),
                transcript_path: text("transcript_path").filter(|_| own_id),
                model: text("model").filter(|_| name == "SessionStart"),
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

    fn answer(&self, gate: Gate, call: &ToolCall, verdict: &Verdict) -> String {
        let specific = match (gate, verdict) {
            (_, Verdict::Nothing) | (Gate::Question, Verdict::Ask { .. }) => return String::new(),
            (Gate::ToolUse, Verdict::Allow { reason }) => before_use("allow", reason),
            (Gate::ToolUse, Verdict::Deny { reason }) => before_use("deny", reason),
            (Gate::ToolUse, Verdict::Ask { reason }) => before_use("ask", reason),
            (Gate::ToolUse, Verdict::Answers { answers }) => {
                let mut allowed = before_use("allow", "answered");
                allowed["updatedInput"] = with_answers(call, answers);
                allowed
            }
            (Gate::Question, Verdict::Allow { .. }) => on_question(json!({ "behavior": "allow" })),
            (Gate::Question, Verdict::Deny { reason }) => {
                on_question(json!({ "behavior": "deny", "message": reason }))
            }
            (Gate::Question, Verdict::Answers { answers }) => {
                on_question(json!({ "behavior": "allow", "updatedInput": with_answers(call, answers) }))
            }
        };
        json!({ "hookSpecificOutput": specific }).to_string()
    }

    /// A call that was denied, by a hook or at the terminal, has neither of the two.
    fn outcome(&self, event: &HookEvent) -> Option<Outcome> {
        let failed = match event.name.as_str() {
            "PostToolUse" => false,
            "PostToolUseFailure" => true,
            _ => return None,
        };
        let error = event.raw.get("error").and_then(Value::as_str).unwrap_or_default();
        Some(Outcome {
            error: failed.then(|| error.to_owned()),
            was_interrupted: event.raw.get("is_interrupt") == Some(&json!(true)),
            duration_ms: event.raw.get("duration_ms").and_then(Value::as_u64),
        })
    }

    /// `PermissionRequest` runs beside the dialog, and whichever is answered first wins (measured, 2.1.197).
    fn waits_at(&self) -> Option<Gate> {
        Some(Gate::Question)
    }

    fn state_folder(&self, environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
        home(environment).map(|home| home.join("sessions"))
    }

    fn state_file(&self, folder: &Path, agent_pid: u32) -> Option<PathBuf> {
        Some(folder.join(format!("{agent_pid}.json")))
    }

    fn read_state_file(&self, bytes: &[u8]) -> Option<(Activity, Timestamp)> {
        let file: StateFile = serde_json::from_slice(bytes).ok()?;
        let activity = match file.status.as_str() {
            "idle" | "shell" => Activity::Idle,
            "busy" => Activity::Busy,
            "waiting" => {
                let what = file.waiting_for.unwrap_or_else(|| "an answer".into());
                let need = if what.contains("permission") { Need::Permission } else { Need::Input };
                Activity::Waiting(Waiting {
                    need,
                    question: format!("waiting for {what}"),
                    how: String::new(),
                    about: "state file".into(),
                })
            }
            _ => return None,
        };
        Some((activity, Timestamp::from_millisecond(file.status_updated_at.or(file.updated_at)?).ok()?))
    }

    fn settings_files(&self, environment: &dyn Fn(&str) -> Option<String>, cwd: &Path) -> Vec<PathBuf> {
        let of_the_project =
            ["settings.local.json", "settings.json"].map(|name| cwd.join(".claude").join(name));
        let own = home(environment).map(|home| home.join("settings.json"));
        of_the_project.into_iter().chain(own).collect()
    }

    fn read_status_line(&self, body: &Value) -> Option<StatusLine> {
        let model = body.pointer("/model/id")?.as_str()?.to_owned();
        let kept = ["model", "context_window", "cost", "rate_limits", "effort", "version"];
        let figures = kept.into_iter().filter_map(|name| Some((name.to_owned(), body.get(name)?.clone())));
        let live = Figures::of_claude_status_line(body);
        Some(StatusLine { model, figures: Value::Object(figures.collect()), live })
    }

    fn transcript_folder(&self, environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
        home(environment).map(|home| home.join("projects"))
    }

    fn subagent_folder(&self, transcript: &Path) -> Option<PathBuf> {
        Some(transcript.with_extension("").join("subagents"))
    }

    fn reader(&self) -> Option<&'static dyn Reader> {
        Some(&transcript::Transcripts)
    }

    fn read_transcript_line(&self, line: &[u8]) -> Vec<Note> {
        let Ok(line) = serde_json::from_slice::<Value>(line) else { return Vec::new() };
        let text = |name: &str| line.get(name).and_then(Value::as_str);
        match text("type") {
            Some("user") if starts_with_interrupt(line.pointer("/message/content")) => {
                vec![Note::Happened(Happening::Interrupted)]
            }
            // Written one after the other, after the turn's last message.
            Some("system") if matches!(text("subtype"), Some("stop_hook_summary" | "turn_duration")) => {
                vec![Note::TurnWritten]
            }
            Some("queue-operation") if text("operation") == Some("enqueue") => text("content")
                .map(|text| vec![Note::PromptQueued { text: text.to_owned() }])
                .unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    fn tells_turn_is_written(&self) -> bool {
        true
    }

    fn is_conversation(&self, line: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Line<'a> {
            r#type: &'a str,
        }
        serde_json::from_slice::<Line<'_>>(line).is_ok_and(|line| matches!(line.r#type, "user" | "assistant"))
    }
}

/// Whether a line that was typed still stands in the input box: Enter was lost, or is not read yet. Above the box
/// the same line is an echo; only in it is a rule right below. Longer than a row, it is not recognised.
pub fn stands_in_input(screen: &[String], text: &str) -> bool {
    let typed = |line: &str| line.strip_prefix('❯').is_some_and(|typed| typed.trim() == text.trim());
    screen.windows(2).any(|lines| typed(&lines[0]) && lines[1].starts_with('─'))
}

fn before_use(decision: &str, reason: &str) -> Value {
    json!({
        "hookEventName": "PreToolUse", "permissionDecision": decision, "permissionDecisionReason": reason,
    })
}

fn on_question(decision: Value) -> Value {
    json!({ "hookEventName": "PermissionRequest", "decision": decision })
}

/// The input of `AskUserQuestion` with its answers: an update replaces all of it.
fn with_answers(call: &ToolCall, answers: &serde_json::Map<String, Value>) -> Value {
    let mut input = call.args.clone();
    if !input.is_object() {
        input = json!({});
    }
    input["answers"] = json!(answers);
    input
}

/// `$CLAUDE_CONFIG_DIR`, else `~/.claude`; the demo agent's is `$CODEPIPER_DEMO_HOME`, which only its
/// environment has.
fn home(environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name: &str| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(DEMO_HOME)
        .or_else(|| set("CLAUDE_CONFIG_DIR"))
        .or_else(|| set("HOME").map(|home| home.join(".claude")))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StateFile {
    status: String,
    waiting_for: Option<String>,
    updated_at: Option<i64>,
    status_updated_at: Option<i64>,
}

/// Esc, a human "No": no hook fires, but the transcript says so.
fn starts_with_interrupt(content: Option<&Value>) -> bool {
    const MARK: &str = "[Request interrupted by user";
    match content {
        Some(Value::String(text)) => text.starts_with(MARK),
        Some(Value::Array(blocks)) => blocks
            .iter()
            .filter_map(|block| block.get("text").and_then(Value::as_str))
            .any(|text| text.starts_with(MARK)),
        _ => false,
    }
}

/// The arguments of a definition's templates, and the conversation's id when we choose it.
pub(super) fn fill(definition: &Definition, request: &Launch<'_>) -> (Vec<String>, Option<String>) {
    let templates = &definition.launch;
    let (template, id, parent) = match request.conversation {
        Conversation::New { id } => (&templates.new, id.as_str(), ""),
        Conversation::Resume { id } => (&templates.resume, "", id.as_str()),
        Conversation::Fork { parent, id } => (&templates.fork, id.as_str(), parent.as_str()),
    };
    let chosen = match request.conversation {
        Conversation::Resume { id } => Some(id.clone()).filter(|id| !id.is_empty()),
        _ => template.iter().any(|part| part.contains("{id}")).then(|| id.to_owned()),
    };
    let mut args = definition.args.clone();
    args.extend(template.iter().map(|part| part.replace("{id}", id).replace("{parent}", parent)));
    if let Some(model) = request.model {
        args.extend(templates.model.iter().map(|part| part.replace("{model}", model)));
    }
    if request.dangerous {
        args.extend(templates.dangerous.iter().cloned());
    }
    (args, chosen)
}

/// The status line that the person has set up. Claude Code has only one, so ours runs theirs.
fn status_line_of_the_person<'a>(definition: &Definition, request: &Launch<'a>) -> Option<&'a Value> {
    let theirs = request.settings.iter().find_map(|settings| settings.get("statusLine"));
    theirs.filter(|_| !definition.program.is_empty()) // the demo agent has nobody's settings
}

/// The settings overlay: our hooks beside the user's own (all of them run), our status line around theirs.
fn overlay(definition: &Definition, request: &Launch<'_>, status_line: &Path) -> String {
    let codepiper = shell_word(&request.codepiper.display().to_string());
    let command = format!("{codepiper} hook");
    let is_ours = definition.program.is_empty();
    let newer = is_ours || request.version.is_none_or(|version| version >= (2, 1, 197));
    let events = EVENTS.iter().chain(EVENTS_2_1_197.iter().filter(|_| newer));
    let hooks: serde_json::Map<String, Value> = events
        .map(|event| {
            let hook =
                json!([{ "hooks": [{ "type": "command", "command": command, "timeout": HOOK_TIMEOUT_S }] }]);
            ((*event).to_owned(), hook)
        })
        .collect();
    let mut overlay = json!({ "hooks": hooks });
    let mut line = status_line_of_the_person(definition, request).cloned().unwrap_or_else(|| json!({}));
    // One of another kind than we know is left alone: the model is then what the hooks say.
    if let Some(line) = line.as_object_mut()
        && line.get("type").is_none_or(|kind| kind == "command")
    {
        let ours = format!("{codepiper} status-line {}", shell_word(&status_line.display().to_string()));
        line.insert("type".into(), json!("command"));
        line.insert("command".into(), json!(ours));
        overlay["statusLine"] = json!(line);
    }
    if request.dangerous {
        // Asked for on our own command line: the second question would only block.
        overlay["skipDangerousModePermissionPrompt"] = json!(true);
    }
    format!("{overlay:#}\n")
}

/// One word for a POSIX shell.
pub fn shell_word(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+:@%".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn meaning(name: &str, source: &str, tool: Option<&ToolCall>, body: &Value) -> Vec<Happening> {
    use Happening as H;
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let one = |happening| vec![happening];
    match (name, tool) {
        ("SessionStart", _) if source == "compact" => Vec::new(),
        ("SessionStart", _) => one(H::Ready),
        ("UserPromptSubmit", _) => one(H::PromptTaken),
        ("PreToolUse" | "SubagentStart" | "PreCompact", _) => one(H::Working),
        ("PermissionRequest", Some(call)) => one(H::Asked(question(call))),
        ("PostToolUse" | "PostToolUseFailure" | "PermissionDenied", Some(call)) => {
            vec![H::Answered { about: Some(call.key()) }, H::Working]
        }
        ("PostToolBatch", _) => vec![H::Answered { about: None }, H::Working],
        ("Elicitation", _) => one(H::Asked(Waiting {
            need: Need::Input,
            question: shorten(text("message"), QUESTION_MAX),
            how: "`codepiper attach {id}` to answer it".into(),
            about: "elicitation".into(),
        })),
        ("ElicitationResult", _) => one(H::Answered { about: Some("elicitation".into()) }),
        ("Stop", _) => one(H::TurnEnded),
        ("StopFailure", _) => {
            one(H::TurnFailed { error: shorten(text("last_assistant_message"), QUESTION_MAX) })
        }
        ("PostCompact", _) if text("trigger") == "manual" => one(H::TurnEnded),
        // `permission_prompt` comes six seconds after `PermissionRequest`, which said more; `idle_prompt` a
        // minute after `Stop`. Both matter only to who missed those.
        ("Notification", _) => Vec::new(),
        _ => Vec::new(),
    }
}

/// What a permission dialog asks, for a person.
fn question(call: &ToolCall) -> Waiting {
    let about = call.key();
    match call.tool.as_str() {
        "AskUserQuestion" => {
            let asked = call.args.pointer("/questions/0");
            let text = asked.and_then(|q| q.get("question")).and_then(Value::as_str).unwrap_or("a question");
            let labels: Vec<&str> = asked
                .and_then(|q| q.get("options"))
                .and_then(Value::as_array)
                .map(|options| options.iter().filter_map(|o| o.get("label")?.as_str()).collect())
                .unwrap_or_default();
            let question =
                if labels.is_empty() { text.to_owned() } else { format!("{text} ({})", labels.join(" / ")) };
            Waiting {
                need: Need::Input,
                question: shorten(&question, QUESTION_MAX),
                how: "`codepiper keys {id} 1` takes the first answer, `2` the second, …".into(),
                about,
            }
        }
        "ExitPlanMode" => Waiting {
            need: Need::Permission,
            question: "approve the plan and start working".into(),
            how: "`codepiper attach {id}` shows the plan".into(),
            about,
        },
        _ => Waiting {
            need: Need::Permission,
            question: call.in_one_line(),
            how: "`codepiper keys {id} 1` allows it once, `codepiper keys {id} escape` refuses".into(),
            about,
        },
    }
}

#[cfg(test)]
mod tests;
