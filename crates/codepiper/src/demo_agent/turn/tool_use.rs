//! A tool call from its message to its hooks: asked for, allowed or not, made, shown and told.
//!
//! It doesn't know how leave is got from people ([`super::asking`]), nor how commands run ([`super::command`]).

use std::time::Instant;

use serde_json::{Value, json};

use super::asking::Asked;
use super::command::OUTPUT_ROWS;
use super::{Flow, Turn};
use crate::demo_agent::agent::{Agent, Stop, millis};
use crate::demo_agent::home;
use crate::demo_agent::hooks::{self, Event};
use crate::demo_agent::permission::{self, Leave, Tool};
use crate::demo_agent::screen::Row;
use crate::demo_agent::tool::{self, Call, Given};
use crate::demo_agent::view::{BAD, BOLD, DIM, GOOD};
use crate::text;

impl Agent {
    pub(super) fn use_tool(&mut self, turn: &mut Turn, tool: Tool, input: Value) -> Result<Flow, Stop> {
        let mut call = Call { tool, id: home::id("toolu_"), input };
        turn.calls += 1;
        turn.silent = true;
        let block = json!({ "type": "tool_use", "id": call.id, "name": tool.name(), "input": call.input });
        turn.add(block, &call.input.to_string());
        let asked_in = self.finish_message(turn, "tool_use");
        turn.call = Some((call.clone(), asked_in));
        self.live.call = vec![Row::new(), self.call_row(&call, DIM), Row::new().and(DIM, "  ⎿  Waiting…")];
        let fields = json!({ "tool_name": tool.name(), "tool_input": call.input, "tool_use_id": call.id });
        let outcomes = self.run_hooks(Event::PreToolUse, fields)?;
        let before = hooks::before_tool(&outcomes, tool.name());
        if let Some(input) = before.updated_input {
            call.input = input;
        }
        let allowed = self.session.allowed.contains(tool.name());
        let leave =
            permission::leave(self.session.mode, allowed, &before.verdict, tool, &call.input, &self.cwd);
        let asked = match leave {
            Leave::Granted => Asked::Granted(call.input.clone()),
            Leave::Refused { reason } => Asked::Denied(reason),
            Leave::Ask { why } => self.ask(&call, why)?,
        };
        match asked {
            Asked::Rejected => {
                self.commit_call(&call, BAD);
                turn.rejected = true;
                return Err(Stop::Interrupt);
            }
            Asked::Denied(reason) => {
                turn.refused += 1;
                self.commit_call(&call, BAD);
                self.show_result(BAD, &format!("Denied: {reason}"));
                self.write_result(turn, &reason, format!("Error: {reason}").into(), true);
            }
            Asked::Granted(input) => {
                call.input = input;
                turn.call = turn.call.take().map(|(_, asked_in)| (call.clone(), asked_in));
                self.make_call(turn, &call)?;
            }
        }
        turn.call = None;
        self.changed();
        match before.stop {
            Some(reason) => {
                self.show_result(DIM, &format!("A hook ends the turn: {reason}"));
                Ok(Flow::Enough)
            }
            None => Ok(Flow::Next),
        }
    }

    /// Makes a call that has leave, and tells what came of it.
    fn make_call(&mut self, turn: &mut Turn, call: &Call) -> Result<(), Stop> {
        let started = Instant::now();
        self.commit_call(call, GOOD);
        let given = match call.tool {
            Tool::Bash if call.input["run_in_background"] == true => self.spawn(call),
            Tool::Bash => self.run_command(call)?,
            Tool::Read => tool::read(&call.input),
            Tool::Write => tool::write(&call.input),
            Tool::Edit => tool::edit(&call.input),
            Tool::AskUserQuestion => answered(&call.input),
        };
        let duration_ms = millis(started.elapsed());
        let mut fields = json!({
            "tool_name": call.tool.name(),
            "tool_input": call.input,
            "tool_use_id": call.id,
            "duration_ms": duration_ms,
        });
        let (event, content) = match given {
            Given::Done { content, response, shown } => {
                self.show_given(&shown);
                let (added, removed) = tool::changed_lines(&response);
                self.session.lines_added += added;
                self.session.lines_removed += removed;
                self.write_result(turn, &content, response.clone(), false);
                fields["tool_response"] = response;
                (Event::PostToolUse, content)
            }
            Given::Failed { error } => {
                turn.refused += 1;
                if call.tool != Tool::Bash {
                    self.show_result(BAD, &format!("Error: {error}"));
                }
                self.write_result(turn, &error, format!("Error: {error}").into(), true);
                fields["error"] = error.clone().into();
                fields["is_interrupt"] = false.into();
                (Event::PostToolUseFailure, error)
            }
        };
        // The result is written: an interrupt from here on is no longer one of the call.
        turn.call = None;
        self.run_hooks(event, fields)?;
        let batch = json!({
            "tool_calls": [{
                "tool_name": call.tool.name(),
                "tool_input": call.input,
                "tool_use_id": call.id,
                "tool_response": content,
            }],
        });
        self.run_hooks(Event::PostToolBatch, batch)?;
        Ok(())
    }

    fn call_row(&self, call: &Call, style: &str) -> Row {
        let shown = call.shown(&self.cwd);
        let line = shown.lines().next().unwrap_or_default();
        let clipped = text::clip(&text::visible(line), self.columns().saturating_sub(3));
        let (name, rest) = clipped.split_at(clipped.find('(').unwrap_or(clipped.len()));
        Row::new().and(style, "● ").and(BOLD, name).and("", rest)
    }

    fn commit_call(&mut self, call: &Call, style: &str) {
        self.live.call.clear();
        let row = self.call_row(call, style);
        self.screen.commit(&[Row::new(), row]);
    }

    /// Shows a result; the lines of a patch have their colours.
    fn show_given(&mut self, shown: &str) {
        if shown.is_empty() {
            return;
        }
        let columns = self.columns().saturating_sub(6);
        let is_patch = shown.lines().any(|line| line.starts_with(['+', '-']));
        let rows: Vec<Row> = shown
            .lines()
            .take(OUTPUT_ROWS)
            .enumerate()
            .map(|(index, line)| {
                let style = match line.as_bytes().first() {
                    Some(b'+') if is_patch => GOOD,
                    Some(b'-') if is_patch => BAD,
                    _ => "",
                };
                let line = text::clip(&text::visible(line), columns);
                Row::new().and(DIM, if index == 0 { "  ⎿  " } else { "     " }).and(style, &line)
            })
            .collect();
        self.screen.commit(&rows);
        let more = shown.lines().count().saturating_sub(OUTPUT_ROWS);
        if more > 0 {
            self.screen.commit(&[Row::new().and(DIM, &format!("     … +{more} lines"))]);
        }
    }
}

fn answered(input: &Value) -> Given {
    let answers = input["answers"].as_object().cloned().unwrap_or_default();
    let pairs: Vec<String> = answers
        .iter()
        .map(|(question, answer)| format!("\"{question}\"=\"{}\"", answer.as_str().unwrap_or_default()))
        .collect();
    let shown: Vec<String> = answers
        .iter()
        .map(|(question, answer)| format!("{question} → {}", answer.as_str().unwrap_or_default()))
        .collect();
    Given::Done {
        content: format!("User has answered your questions: {}.", pairs.join(", ")),
        response: json!({
            "questions": input["questions"],
            "answers": answers,
            "annotations": input.get("annotations").cloned().unwrap_or_else(|| json!({})),
        }),
        shown: shown.join("\n"),
    }
}
