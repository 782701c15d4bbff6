//! Hooks: which commands an event calls, what they are told, and what their answers mean. Pure; who runs them
//! is the agent.
//!
//! The law is Claude Code's: what is not clearly an answer is none, and the normal flow goes on.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::child::End;

/// Seconds a hook may take when its settings don't say.
const TIMEOUT: Duration = Duration::from_secs(600);
const PROMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// The events fired, in the order of a session's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    SessionStart,
    UserPromptSubmit,
    PreToolUse,
    PermissionRequest,
    Notification,
    PostToolUse,
    PostToolUseFailure,
    PostToolBatch,
    Stop,
    StopFailure,
    PreCompact,
    PostCompact,
    SessionEnd,
}

impl Event {
    pub(super) fn name(self) -> &'static str {
        match self {
            Event::SessionStart => "SessionStart",
            Event::UserPromptSubmit => "UserPromptSubmit",
            Event::PreToolUse => "PreToolUse",
            Event::PermissionRequest => "PermissionRequest",
            Event::Notification => "Notification",
            Event::PostToolUse => "PostToolUse",
            Event::PostToolUseFailure => "PostToolUseFailure",
            Event::PostToolBatch => "PostToolBatch",
            Event::Stop => "Stop",
            Event::StopFailure => "StopFailure",
            Event::PreCompact => "PreCompact",
            Event::PostCompact => "PostCompact",
            Event::SessionEnd => "SessionEnd",
        }
    }

    /// The field a matcher looks at.
    fn subject(self) -> Option<&'static str> {
        match self {
            Event::PreToolUse | Event::PermissionRequest | Event::PostToolUse | Event::PostToolUseFailure => {
                Some("tool_name")
            }
            Event::SessionStart => Some("source"),
            Event::SessionEnd => Some("reason"),
            Event::Notification => Some("notification_type"),
            Event::PreCompact | Event::PostCompact => Some("trigger"),
            Event::UserPromptSubmit | Event::PostToolBatch | Event::Stop | Event::StopFailure => None,
        }
    }

    fn tells_permission_mode(self) -> bool {
        self == Event::UserPromptSubmit || (self.tells_effort() && self != Event::StopFailure)
    }

    fn tells_effort(self) -> bool {
        match self {
            Event::PreToolUse
            | Event::PermissionRequest
            | Event::PostToolUse
            | Event::PostToolUseFailure
            | Event::PostToolBatch
            | Event::Stop
            | Event::StopFailure => true,
            Event::SessionStart
            | Event::UserPromptSubmit
            | Event::Notification
            | Event::PreCompact
            | Event::PostCompact
            | Event::SessionEnd => false,
        }
    }
}

/// What every hook is told.
pub(super) struct Common<'a> {
    pub(super) session_id: &'a str,
    pub(super) transcript_path: &'a str,
    pub(super) cwd: &'a str,
    pub(super) prompt_id: Option<&'a str>,
    pub(super) permission_mode: &'a str,
}

/// The JSON a hook gets on its standard input.
pub(super) fn input(event: Event, common: &Common<'_>, fields: Value) -> Value {
    let mut input = json!({
        "session_id": common.session_id,
        "transcript_path": common.transcript_path,
        "cwd": common.cwd,
        "hook_event_name": event.name(),
    });
    if let Some(prompt_id) = common.prompt_id {
        input["prompt_id"] = prompt_id.into();
    }
    if event.tells_permission_mode() {
        input["permission_mode"] = common.permission_mode.into();
    }
    if event.tells_effort() {
        input["effort"] = json!({ "level": "high" });
    }
    if let (Some(input), Value::Object(fields)) = (input.as_object_mut(), fields) {
        input.extend(fields);
    }
    input
}

/// The part of a settings file the demo agent knows.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Settings {
    hooks: Vec<Hook>,
    pub(super) status_line: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hook {
    event: String,
    matcher: String,
    pub(super) command: String,
    timeout: Option<f64>,
}

impl Settings {
    /// Reads Claude Code's format. Hooks of other types than `command` and other settings are somebody else's.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        let events = match json.get("hooks") {
            None => &Map::new(),
            Some(hooks) => hooks.as_object().ok_or("`hooks` must be an object")?,
        };
        let mut hooks = Vec::new();
        for (event, groups) in events {
            for group in groups.as_array().ok_or_else(|| format!("`hooks.{event}` must be a list"))? {
                let matcher = group.get("matcher").and_then(Value::as_str).unwrap_or_default();
                let list = group.get("hooks").and_then(Value::as_array);
                for hook in list.ok_or_else(|| format!("`hooks.{event}` needs lists of `hooks`"))? {
                    if hook["type"] == "command"
                        && let Some(command) = hook["command"].as_str()
                    {
                        hooks.push(Hook {
                            event: event.clone(),
                            matcher: matcher.to_owned(),
                            command: command.to_owned(),
                            timeout: hook["timeout"].as_f64(),
                        });
                    }
                }
            }
        }
        let status_line = json["statusLine"]["command"].as_str().map(str::to_owned);
        Ok(Self { hooks, status_line })
    }

    /// The hooks an event calls; each command once.
    pub(super) fn hooks_for(&self, event: Event, input: &Value) -> Vec<Hook> {
        let subject = event.subject().and_then(|field| input[field].as_str());
        let mut called: Vec<Hook> = Vec::new();
        for hook in self.hooks.iter().filter(|hook| hook.event == event.name()) {
            let matching = subject.is_none_or(|subject| matches(&hook.matcher, subject));
            if matching && called.iter().all(|other| other.command != hook.command) {
                called.push(hook.clone());
            }
        }
        called
    }
}

impl Hook {
    pub(super) fn timeout(&self, event: Event) -> Duration {
        let default = if event == Event::UserPromptSubmit { PROMPT_TIMEOUT } else { TIMEOUT };
        self.timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(default)
    }
}

/// Matchers are regular expressions; of those, alternatives, `.*` at an end and nothing at all are understood.
fn matches(matcher: &str, subject: &str) -> bool {
    matcher.is_empty()
        || matcher == "*"
        || matcher.split('|').any(|name| match (name.strip_suffix(".*"), name.strip_prefix(".*")) {
            (Some(start), _) => subject.starts_with(start),
            (None, Some(end)) => subject.ends_with(end),
            (None, None) => subject == name,
        })
}

/// What one hook command came to.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) command: String,
    pub(super) end: End,
    pub(super) out: String,
    pub(super) err: String,
    pub(super) duration_ms: u64,
}

impl Outcome {
    fn answer(&self) -> Value {
        match self.end {
            End::Exited(0) => serde_json::from_str(&self.out).unwrap_or_default(),
            End::Exited(_) | End::TimedOut => Value::Null,
        }
    }

    fn refused(&self) -> bool {
        self.end == End::Exited(2)
    }

    /// What a hook that exits 2 wants said.
    fn complaint(&self, event: &str) -> String {
        format!("{event} hook error: [{}]: {}", self.command, self.err.trim())
    }
}

/// What the PreToolUse hooks said together: the strictest wins.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct BeforeTool {
    pub(super) verdict: Verdict,
    /// Replaces the whole input.
    pub(super) updated_input: Option<Value>,
    /// The turn ends behind this tool.
    pub(super) stop: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Verdict {
    #[default]
    None,
    Allow,
    Ask(Option<String>),
    Deny(String),
}

impl Verdict {
    fn strictness(&self) -> u8 {
        match self {
            Verdict::None => 0,
            Verdict::Allow => 1,
            Verdict::Ask(_) => 2,
            Verdict::Deny(_) => 3,
        }
    }
}

pub(super) fn before_tool(outcomes: &[Outcome], tool: &str) -> BeforeTool {
    let mut together = BeforeTool::default();
    for outcome in outcomes {
        let answer = outcome.answer();
        let specific = &answer["hookSpecificOutput"];
        let reason = specific["permissionDecisionReason"].as_str().or(answer["reason"].as_str());
        let reason = reason.map(str::to_owned);
        let no_reason = || "Blocked by hook".to_owned();
        let verdict = match specific["permissionDecision"].as_str().or(answer["decision"].as_str()) {
            _ if outcome.refused() => Verdict::Deny(outcome.complaint(&format!("PreToolUse:{tool}"))),
            Some("allow" | "approve") => Verdict::Allow,
            Some("ask") => Verdict::Ask(reason),
            Some("deny" | "block") => Verdict::Deny(reason.unwrap_or_else(no_reason)),
            _ => Verdict::None,
        };
        if verdict.strictness() > together.verdict.strictness() {
            together.verdict = verdict;
        }
        if specific["updatedInput"].is_object() {
            together.updated_input = Some(specific["updatedInput"].clone());
        }
        if answer["continue"] == false {
            together.stop = Some(answer["stopReason"].as_str().unwrap_or("stopped by hook").to_owned());
        }
    }
    together
}

/// What a PermissionRequest hook decided, if it did.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum PermissionAnswer {
    Allow { updated_input: Option<Value>, updated_permissions: Vec<Value> },
    Deny { message: String, interrupt: bool },
}

pub(super) fn permission(outcome: &Outcome) -> Option<PermissionAnswer> {
    let answer = outcome.answer();
    let decision = &answer["hookSpecificOutput"]["decision"];
    match decision["behavior"].as_str()? {
        "allow" => Some(PermissionAnswer::Allow {
            updated_input: decision.get("updatedInput").filter(|input| input.is_object()).cloned(),
            updated_permissions: decision["updatedPermissions"].as_array().cloned().unwrap_or_default(),
        }),
        "deny" => Some(PermissionAnswer::Deny {
            message: decision["message"].as_str().unwrap_or("Permission denied by hook").to_owned(),
            interrupt: decision["interrupt"] == true,
        }),
        _ => None,
    }
}

/// The reason not to go on with a prompt, or not to stop.
pub(super) fn block(event: Event, outcomes: &[Outcome]) -> Option<String> {
    outcomes.iter().find_map(|outcome| {
        if outcome.refused() {
            return Some(outcome.complaint(event.name()));
        }
        let answer = outcome.answer();
        let reason = || answer["reason"].as_str().unwrap_or("Blocked by hook").to_owned();
        (answer["decision"] == "block").then(reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(end: End, out: &str, err: &str) -> Outcome {
        Outcome { command: "hook".to_owned(), end, out: out.to_owned(), err: err.to_owned(), duration_ms: 1 }
    }

    /// `exit code: output`, several by ` && `; for code 2 the output is the error output.
    fn outcomes(text: &str) -> Vec<Outcome> {
        let one = |text: &str| {
            let (code, output) = text.split_once(": ").unwrap_or((text, ""));
            match code {
                "timeout" => outcome(End::TimedOut, output, ""),
                "2" => outcome(End::Exited(2), "", output),
                code => outcome(End::Exited(code.parse().expect("a code")), output, ""),
            }
        };
        text.split(" && ").map(one).collect()
    }

    fn pre(decision: &str, more: &str) -> String {
        format!(r#"0: {{"hookSpecificOutput":{{"permissionDecision":"{decision}"{more}}}}}"#)
    }

    fn check_before_tool(answers: &str, expected: &str) {
        let got = before_tool(&outcomes(answers), "Bash");
        let input = got.updated_input.map(|input| format!(" with {input}")).unwrap_or_default();
        let stop = got.stop.map(|reason| format!(" then stop: {reason}")).unwrap_or_default();
        assert_eq!(format!("{:?}{input}{stop}", got.verdict), expected, "for {answers}");
    }

    #[test]
    fn pre_tool_use_answers_are_understood() {
        let reason = r#","permissionDecisionReason":"so""#;
        check_before_tool(&pre("allow", reason), "Allow");
        check_before_tool(&pre("deny", reason), r#"Deny("so")"#);
        check_before_tool(&pre("ask", reason), r#"Ask(Some("so"))"#);
        check_before_tool(
            &pre("allow", r#","updatedInput":{"command":"x"}"#),
            r#"Allow with {"command":"x"}"#,
        );
        check_before_tool(r#"0: {"decision":"block","reason":"old"}"#, r#"Deny("old")"#);
        check_before_tool(r#"0: {"decision":"approve"}"#, "Allow");
        check_before_tool("2: no way", r#"Deny("PreToolUse:Bash hook error: [hook]: no way")"#);
        check_before_tool(r#"0: {"continue":false,"stopReason":"enough"}"#, "None then stop: enough");
    }

    #[test]
    fn what_is_no_answer_leaves_the_normal_flow() {
        check_before_tool("0", "None");
        check_before_tool("0: {}", "None");
        check_before_tool("0: not json", "None");
        check_before_tool(&pre("defer", ""), "None");
        check_before_tool(&pre("deny", "").replace("0: ", "1: "), "None");
        check_before_tool(&pre("deny", "").replace("0: ", "timeout: "), "None");
    }

    #[test]
    fn the_strictest_of_several_hooks_wins() {
        let all = format!("{} && {} && 0", pre("deny", ""), pre("allow", ""));
        check_before_tool(&all, r#"Deny("Blocked by hook")"#);
        check_before_tool(&format!("{} && {}", pre("allow", ""), pre("ask", "")), "Ask(None)");
    }

    fn check_permission(answer: &str, expected: &str) {
        let got = outcomes(answer).first().and_then(permission);
        let shown = got.map_or_else(|| "None".to_owned(), |answer| format!("{answer:?}"));
        assert_eq!(shown, expected, "for {answer}");
    }

    #[test]
    fn permission_answers_are_understood_and_exit_two_is_none() {
        let decision = |decision| format!(r#"0: {{"hookSpecificOutput":{{"decision":{decision}}}}}"#);
        check_permission(
            &decision(r#"{"behavior":"allow"}"#),
            "Allow { updated_input: None, updated_permissions: [] }",
        );
        check_permission(
            &decision(r#"{"behavior":"deny","message":"no","interrupt":true}"#),
            r#"Deny { message: "no", interrupt: true }"#,
        );
        check_permission(&decision(r#"{"behavior":"ask"}"#), "None");
        check_permission("2: no", "None");
        check_permission("0: {}", "None");
    }

    #[test]
    fn prompts_and_stops_can_be_blocked() {
        let check = |answer: &str, expected: Option<&str>| {
            assert_eq!(block(Event::Stop, &outcomes(answer)).as_deref(), expected, "for {answer}");
        };
        check(r#"0: {"decision":"block","reason":"go on"}"#, Some("go on"));
        check("2: go on", Some("Stop hook error: [hook]: go on"));
        check("0: {}", None);
        check("1: x", None);
    }

    #[test]
    fn settings_name_the_hooks_of_an_event() {
        let settings = Settings::parse(
            r#"{"hooks":{"PreToolUse":[
                {"matcher":"Edit|Write","hooks":[{"type":"command","command":"a","timeout":2}]},
                {"hooks":[{"type":"command","command":"b"},{"type":"http","url":"http://x"}]},
                {"matcher":"mcp__.*","hooks":[{"type":"command","command":"c"}]}]},
               "statusLine":{"type":"command","command":"s"},"other":1}"#,
        )
        .expect("settings");
        let check = |tool: &str, expected: &str| {
            let hooks = settings.hooks_for(Event::PreToolUse, &json!({ "tool_name": tool }));
            let commands: Vec<&str> = hooks.iter().map(|hook| hook.command.as_str()).collect();
            assert_eq!(commands.join(" "), expected, "for {tool}");
        };
        check("Write", "a b");
        check("Bash", "b");
        check("mcp__x__y", "b c");
        assert_eq!(settings.status_line.as_deref(), Some("s"));
        assert_eq!(Settings::parse("{}"), Ok(Settings::default()));
        assert!(Settings::parse("{").is_err());
    }

    /// Our input to a hook has exactly the recorded fields.
    fn check_input(event: Event, prompt_id: bool, fields: Value, recorded: &str) {
        let common = Common {
            session_id: "s",
            transcript_path: "t",
            cwd: "/",
            prompt_id: prompt_id.then_some("p"),
            permission_mode: "default",
        };
        let ours = input(event, &common, fields);
        let recorded: Value = serde_json::from_str(recorded).expect("recorded JSON");
        let names = |value: &Value| {
            let mut names: Vec<String> = value.as_object().expect("an object").keys().cloned().collect();
            names.sort();
            names
        };
        assert_eq!(names(&ours), names(&recorded), "{}", event.name());
        assert_eq!(ours["hook_event_name"], recorded["hook_event_name"]);
    }

    macro_rules! recorded {
        ($name:literal) => {
            include_str!(concat!("../../testdata/claude-code/hooks/", $name, ".json"))
        };
    }

    #[test]
    fn inputs_have_the_recorded_fields() {
        use super::super::permission::Tool;
        let call = json!({ "tool_name": "Bash", "tool_input": {}, "tool_use_id": "t" });
        let with = |more: Value| {
            let mut call = call.clone();
            call.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            call
        };
        check_input(
            Event::SessionStart,
            false,
            json!({ "source": "startup", "model": "m" }),
            recorded!("SessionStart.startup"),
        );
        check_input(
            Event::SessionStart,
            false,
            json!({ "source": "resume" }),
            recorded!("SessionStart.resume"),
        );
        check_input(Event::SessionStart, true, json!({ "source": "clear" }), recorded!("SessionStart.clear"));
        check_input(
            Event::SessionStart,
            true,
            json!({ "source": "compact", "model": "m" }),
            recorded!("SessionStart.compact"),
        );
        check_input(Event::UserPromptSubmit, true, json!({ "prompt": "x" }), recorded!("UserPromptSubmit"));
        check_input(Event::PreToolUse, true, call.clone(), recorded!("PreToolUse.Bash"));
        check_input(
            Event::PostToolUse,
            true,
            with(json!({ "tool_response": {}, "duration_ms": 1 })),
            recorded!("PostToolUse.Bash"),
        );
        check_input(
            Event::PostToolUseFailure,
            true,
            with(json!({ "error": "e", "is_interrupt": false, "duration_ms": 1 })),
            recorded!("PostToolUseFailure.Bash"),
        );
        check_input(Event::PostToolBatch, true, json!({ "tool_calls": [] }), recorded!("PostToolBatch"));
        let request = |tool: Tool| super::super::permission::request_fields(tool, &json!({}));
        check_input(Event::PermissionRequest, true, request(Tool::Bash), recorded!("PermissionRequest.Bash"));
        check_input(
            Event::PermissionRequest,
            true,
            request(Tool::AskUserQuestion),
            recorded!("PermissionRequest.AskUserQuestion"),
        );
        let notification = json!({ "message": "m", "notification_type": "n" });
        check_input(
            Event::Notification,
            true,
            notification.clone(),
            recorded!("Notification.permission_prompt"),
        );
        check_input(Event::Notification, true, notification, recorded!("Notification.idle_prompt"));
        check_input(
            Event::Stop,
            true,
            json!({
                "stop_hook_active": false, "last_assistant_message": "m",
                "background_tasks": [], "session_crons": [],
            }),
            recorded!("Stop"),
        );
        check_input(
            Event::StopFailure,
            true,
            json!({ "error": "unknown", "last_assistant_message": "m" }),
            recorded!("StopFailure"),
        );
        check_input(
            Event::PreCompact,
            true,
            json!({ "trigger": "manual", "custom_instructions": null }),
            recorded!("PreCompact.manual"),
        );
        check_input(
            Event::PostCompact,
            true,
            json!({ "trigger": "manual", "compact_summary": "s" }),
            recorded!("PostCompact.manual"),
        );
        check_input(Event::SessionEnd, true, json!({ "reason": "clear" }), recorded!("SessionEnd.clear"));
        check_input(Event::SessionEnd, false, json!({ "reason": "other" }), recorded!("SessionEnd.other"));
    }
}
