//! Asking for leave to use a tool: the dialog, and the PermissionRequest hooks that may answer in its place.
//!
//! Whether to ask at all was decided before ([`permission::leave`]), and what a leave is used for is not known here.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::demo_agent::agent::{Agent, Answer, Stop};
use crate::demo_agent::child::ChildId;
use crate::demo_agent::home::Status;
use crate::demo_agent::hooks::{self, Event, PermissionAnswer};
use crate::demo_agent::permission::{self, Dialog, Mode, Tool};
use crate::demo_agent::tool::Call;

/// A dialog nobody answers is announced after this long.
const PERMISSION_NOTICE: Duration = Duration::from_secs(6);

/// What came of asking for leave.
pub(super) enum Asked {
    Granted(Value),
    Denied(String),
    Rejected,
}

impl Agent {
    /// Asks the user and the PermissionRequest hooks at once; the first answer wins.
    pub(super) fn ask(&mut self, call: &Call, why: Option<String>) -> Result<Asked, Stop> {
        self.live.dialog = Some(match call.tool {
            Tool::AskUserQuestion => question_dialog(&call.input),
            tool => permission_dialog(tool, call.about(), why),
        });
        self.live.answer = None;
        self.live.call.clear();
        self.show_status(Status::Waiting);
        let fields = permission::request_fields(call.tool, &call.input);
        let hooks = self.start_hooks(Event::PermissionRequest, fields, None);
        let answer = self.await_answer(call, &hooks);
        self.live.dialog = None;
        self.live.answer = None;
        self.kill(&hooks);
        self.show_status(Status::Busy);
        answer
    }

    fn await_answer(&mut self, call: &Call, hooks: &[ChildId]) -> Result<Asked, Stop> {
        let mut notice = Some(Instant::now() + PERMISSION_NOTICE);
        loop {
            self.step(notice)?;
            if let Some(answer) = self.live.answer.take() {
                return Ok(self.human_answer(call, answer));
            }
            for id in hooks {
                let decided = self.take_outcome(*id).and_then(|outcome| hooks::permission(&outcome));
                if let Some(asked) = decided.and_then(|answer| self.hook_answer(call, answer)) {
                    return Ok(asked);
                }
            }
            if notice.is_some_and(|at| at <= Instant::now()) {
                notice = None;
                self.notify("permission_prompt", "The demo agent needs your permission");
            }
        }
    }

    fn human_answer(&mut self, call: &Call, answer: Answer) -> Asked {
        match (call.tool, answer) {
            (_, Answer::Cancelled) => Asked::Rejected,
            (Tool::AskUserQuestion, Answer::Chose(option)) => {
                let mut input = call.input.clone();
                let question = &call.input["questions"][0];
                let label = &question["options"][option]["label"];
                let asked = question["question"].as_str().unwrap_or_default();
                input["answers"] = json!({ asked: label });
                input["annotations"] = json!({});
                Asked::Granted(input)
            }
            (_, Answer::Chose(0)) => Asked::Granted(call.input.clone()),
            (tool, Answer::Chose(1)) => {
                self.session.allowed.insert(tool.name());
                Asked::Granted(call.input.clone())
            }
            (_, Answer::Chose(_)) => Asked::Rejected,
        }
    }

    fn hook_answer(&mut self, call: &Call, answer: PermissionAnswer) -> Option<Asked> {
        let told = |behavior: &str| {
            json!({
                "type": "attachment",
                "attachment": {
                    "type": "hook_permission_decision",
                    "decision": behavior,
                    "toolUseID": call.id,
                    "hookEvent": "PermissionRequest",
                },
            })
        };
        match answer {
            PermissionAnswer::Allow { updated_input, updated_permissions } => {
                let input = updated_input.unwrap_or_else(|| call.input.clone());
                if call.tool == Tool::AskUserQuestion && input.get("answers").is_none() {
                    return None; // leave to ask is no answer
                }
                self.write(told("allow"));
                for update in &updated_permissions {
                    self.update_permissions(update);
                }
                Some(Asked::Granted(input))
            }
            PermissionAnswer::Deny { interrupt: true, .. } => {
                self.write(told("deny"));
                Some(Asked::Rejected)
            }
            PermissionAnswer::Deny { message, interrupt: false } => {
                self.write(told("deny"));
                Some(Asked::Denied(message))
            }
        }
    }

    fn update_permissions(&mut self, update: &Value) {
        match update["type"].as_str() {
            Some("setMode") => {
                if let Some(mode) = update["mode"].as_str().and_then(Mode::parse) {
                    self.session.mode = mode;
                }
            }
            Some("addRules") if update["behavior"] != "deny" && update["behavior"] != "ask" => {
                let tools = [Tool::Bash, Tool::Read, Tool::Write, Tool::Edit].map(Tool::name);
                for rule in update["rules"].as_array().into_iter().flatten() {
                    // A rule for some uses of a tool is none of ours, and allowing all would be more than was said.
                    let whole = rule.get("ruleContent").is_none_or(Value::is_null);
                    let tool = tools.into_iter().find(|tool| rule["toolName"] == *tool);
                    self.session.allowed.extend(tool.filter(|_| whole));
                }
            }
            _ => {}
        }
    }
}

/// The dialog that asks leave for a tool.
fn permission_dialog(tool: Tool, about: Vec<String>, why: Option<String>) -> Dialog {
    let title = match tool {
        Tool::Bash => "Bash command",
        Tool::Read => "Read file",
        Tool::Write => "Write file",
        Tool::Edit => "Edit file",
        Tool::AskUserQuestion => "Question",
    };
    let question = match why {
        Some(why) => format!("A hook asks for your confirmation: {why}"),
        None => "Do you want to proceed?".to_owned(),
    };
    Dialog {
        title: title.to_owned(),
        about,
        question,
        options: vec![
            "Yes".to_owned(),
            format!("Yes, and don't ask again for {}", tool.name()),
            "No (esc)".to_owned(),
        ],
        selected: 0,
    }
}

fn question_dialog(input: &Value) -> Dialog {
    let question = &input["questions"][0];
    let options = question["options"].as_array().map(Vec::as_slice).unwrap_or_default();
    let label = |option: &Value| option["label"].as_str().unwrap_or_default().to_owned();
    Dialog {
        title: question["header"].as_str().unwrap_or("Question").to_owned(),
        about: Vec::new(),
        question: question["question"].as_str().unwrap_or_default().to_owned(),
        options: options.iter().map(label).collect(),
        selected: 0,
    }
}
