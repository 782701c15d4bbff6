//! A turn: from a prompt to its Stop, as straight-line code, and what of it is written down. Everything it waits
//! for goes through [`Agent::step`]; an interrupt comes back from there and is written down in one place.
//!
//! How texts are streamed, calls made, leave asked for and commands run is in the files below it.

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit};
use serde_json::{Value, json};

use super::agent::{Agent, Phase, Quit, Stop, millis};
use super::home::{self, Status};
use super::hooks::{self, Event};
use super::line_editor::Submission;
use super::permission::Tool;
use super::screen::Row;
use super::script::{self, Directive, WORD_MS};
use super::tool::{self, Call};
use super::transcript;
use super::view::{BAD, DIM, Spinner};
use crate::text;

mod asking;
mod command;
mod talking;
mod tool_use;

/// Stop hooks may send a turn on so many times in a row; Claude Code overrides the ninth.
const STOP_BLOCKS_MAX: usize = 8;
/// Characters of a title.
const TITLE_CHARS: usize = 40;

const REJECTED: &str = "The user doesn't want to proceed with this tool use. The tool use was rejected (eg. if it \
                        was a file edit, the new_string was NOT written to the file). STOP what you are doing and \
                        wait for the user to tell you how to proceed.";

struct Turn {
    prompt_id: String,
    prompt: String,
    started: Instant,
    /// The prompt is in the transcript.
    begun: bool,
    message: Option<Message>,
    /// What of the text being streamed is on the screen.
    partial: String,
    last_text: String,
    /// The call being made, and the line that asks for it.
    call: Option<(Call, String)>,
    last_message: Option<String>,
    calls: usize,
    refused: usize,
    /// Its last call was turned down, by a person or in their name.
    rejected: bool,
    /// Nothing was said since the last call.
    silent: bool,
}

/// A message being made: its blocks are written together, for all carry the usage of the whole.
struct Message {
    id: String,
    request_id: String,
    blocks: Vec<Value>,
    chars: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Flow {
    Next,
    /// A hook wants no more of this turn.
    Enough,
    /// The turn is over and its end was told already.
    Over,
}

impl Agent {
    pub(super) fn take_turn(&mut self, submission: &Submission) -> Result<(), Quit> {
        let mut turn = Turn {
            prompt_id: home::uuid(),
            prompt: submission.text.clone(),
            started: Instant::now(),
            begun: false,
            message: None,
            partial: String::new(),
            last_text: String::new(),
            call: None,
            last_message: None,
            calls: 0,
            refused: 0,
            rejected: false,
            silent: true,
        };
        self.session.prompt_id = Some(turn.prompt_id.clone());
        self.phase = Phase::Turn;
        self.live.spinner = Some(Spinner { verb: "Thinking", since: turn.started });
        self.show_prompt(&submission.shown);
        self.show_status(Status::Busy);
        let done = self.turn(&mut turn);
        self.settle();
        self.live.call.clear();
        self.live.dialog = None;
        self.live.answer = None;
        self.session.busy_ms += millis(turn.started.elapsed());
        match done {
            Ok(()) => Ok(()),
            Err(Stop::Interrupt) => {
                self.write_interrupt(turn);
                Ok(())
            }
            Err(Stop::Quit(quit)) => Err(quit),
        }
    }

    fn turn(&mut self, turn: &mut Turn) -> Result<(), Stop> {
        let outcomes = self.run_hooks(Event::UserPromptSubmit, json!({ "prompt": turn.prompt }))?;
        if let Some(reason) = hooks::block(Event::UserPromptSubmit, &outcomes) {
            let said =
                format!("The prompt was blocked by a hook:\n{reason}\n\nOriginal prompt: {}", turn.prompt);
            self.show_result(BAD, &text::clip(&said, 2000));
            return Ok(());
        }
        self.begin(turn);
        let mut asked = turn.prompt.clone();
        let mut blocks = 0;
        loop {
            for directive in script::parse(&asked) {
                match self.perform(turn, directive)? {
                    Flow::Next => {}
                    Flow::Enough => break,
                    Flow::Over => return Ok(()),
                }
            }
            self.conclude(turn)?;
            let fields = json!({
                "stop_hook_active": blocks > 0,
                "last_assistant_message": turn.last_text,
                "background_tasks": [],
                "session_crons": [],
            });
            let outcomes = self.run_hooks(Event::Stop, fields)?;
            if !outcomes.is_empty() {
                self.write_stop_summary(&outcomes);
            }
            match hooks::block(Event::Stop, &outcomes) {
                None => break,
                Some(_) if blocks == STOP_BLOCKS_MAX => {
                    self.show_result(DIM, "A Stop hook wants to go on once more; the turn ends all the same");
                    break;
                }
                Some(reason) => {
                    blocks += 1;
                    let feedback = format!("Stop hook feedback:\n{reason}");
                    self.show_result(DIM, &feedback);
                    self.write(transcript::meta(&feedback, &turn.prompt_id));
                    self.session.meter.read(&feedback);
                    asked = reason;
                }
            }
        }
        let took = turn.started.elapsed();
        let lines = self.session.transcript.lines;
        self.write(transcript::system(
            "turn_duration",
            json!({ "durationMs": millis(took), "messageCount": lines }),
        ));
        if took >= Duration::from_secs(3) {
            self.screen
                .commit(&[Row::new(), Row::new().and(DIM, &format!("✻ Worked for {}s", took.as_secs()))]);
        }
        Ok(())
    }

    /// Writes the prompt down, and what a first prompt brings with it.
    fn begin(&mut self, turn: &mut Turn) {
        turn.begun = true;
        self.session.prompts += 1;
        self.session.meter.read(&turn.prompt);
        self.write(transcript::human(&turn.prompt, &turn.prompt_id, self.session.mode.name()));
        if self.session.title.is_none() {
            let line = turn.prompt.lines().next().unwrap_or_default();
            let title = text::clip(&text::visible(line), TITLE_CHARS);
            // The title is for the looks; the conversation goes on without.
            let _ = self.session.transcript.note("ai-title", "aiTitle", &title);
            self.session.title = Some(title);
        }
        self.changed();
    }

    fn perform(&mut self, turn: &mut Turn, directive: Directive) -> Result<Flow, Stop> {
        match directive {
            Directive::Run { command } => {
                let input = json!({ "command": command, "description": "Run the command of the prompt" });
                return self.use_tool(turn, Tool::Bash, input);
            }
            Directive::Spawn { command } => {
                let input = json!({
                    "command": command,
                    "description": "Start the command of the prompt",
                    "run_in_background": true,
                });
                return self.use_tool(turn, Tool::Bash, input);
            }
            Directive::Read { path } => {
                let input = json!({ "file_path": tool::resolve(&self.cwd, &path) });
                return self.use_tool(turn, Tool::Read, input);
            }
            Directive::Write { path, content } => {
                let input = json!({ "file_path": tool::resolve(&self.cwd, &path), "content": content });
                return self.use_tool(turn, Tool::Write, input);
            }
            Directive::Edit { path, old, new } => {
                let input = json!({
                    "file_path": tool::resolve(&self.cwd, &path),
                    "old_string": old,
                    "new_string": new,
                    "replace_all": false,
                });
                return self.use_tool(turn, Tool::Edit, input);
            }
            Directive::Ask { question, options } => {
                let options: Vec<Value> =
                    options.iter().map(|label| json!({ "label": label, "description": label })).collect();
                let input = json!({
                    "questions": [{
                        "question": question,
                        "header": "Question",
                        "options": options,
                        "multiSelect": false,
                    }],
                });
                return self.use_tool(turn, Tool::AskUserQuestion, input);
            }
            Directive::Think { text } => self.think(turn, &text)?,
            Directive::Say { text } => self.say(turn, &text, WORD_MS)?,
            Directive::Stream { words, pause_ms } => self.stream(turn, words, pause_ms)?,
            Directive::Talk { text } => return self.chat(turn, &text),
            Directive::Unreadable { line, usage } => {
                self.say(turn, &format!("I cannot read `{line}`: it should be `{usage}`."), WORD_MS)?;
            }
            Directive::Flood { bytes } => {
                self.finish_message(turn, "end_turn");
                let printed = self.flood(bytes);
                printed?;
                self.say(turn, &format!("Printed {bytes} bytes of log lines."), WORD_MS)?;
            }
            Directive::Sleep { ms } => {
                self.finish_message(turn, "end_turn");
                self.sleep(Duration::from_millis(ms))?;
            }
            Directive::Fail { text } => {
                self.finish_message(turn, "end_turn");
                self.fail(&text)?;
                return Ok(Flow::Over);
            }
            Directive::Crash { code } => {
                self.screen.flush();
                std::process::exit(code);
            }
            Directive::Segv => {
                self.screen.flush();
                die();
            }
        }
        Ok(Flow::Next)
    }

    fn fail(&mut self, error: &str) -> Result<(), Stop> {
        /// The HTTP status of errors that are not retried.
        const STATUS: u16 = 400;
        let said = format!("API Error: {STATUS} {error}");
        self.show_block(BAD, "●", &said);
        self.write(transcript::synthetic(&said, Some(STATUS)));
        self.run_hooks(Event::StopFailure, json!({ "error": "unknown", "last_assistant_message": said }))?;
        Ok(())
    }

    /// Appends to the transcript. One that cannot be written is said once, and is no reason to stop.
    pub(super) fn write(&mut self, body: Value) -> String {
        match self.session.transcript.event(body) {
            Ok(uuid) => uuid,
            Err(error) => {
                if !std::mem::replace(&mut self.complained, true) {
                    self.show_block(BAD, "!", &format!("the transcript cannot be written: {error}"));
                }
                String::new()
            }
        }
    }

    fn write_result(&mut self, turn: &Turn, content: &str, result: Value, is_error: bool) {
        let Some((call, asked_in)) = &turn.call else { return };
        self.session.meter.read(content);
        let line = transcript::tool_result(&turn.prompt_id, &call.id, asked_in, content, result, is_error);
        self.write(line);
    }

    /// Writes the message being made, if there is one; the uuid of its last line.
    fn finish_message(&mut self, turn: &mut Turn, stop: &str) -> String {
        let Some(message) = turn.message.take() else { return String::new() };
        let usage = self.session.meter.request(message.chars);
        self.session.cost_usd += usage.cost_usd();
        let model = self.session.model.clone();
        let mut last = String::new();
        for block in &message.blocks {
            let line = transcript::assistant(&message.id, &message.request_id, &model, block, stop, &usage);
            last = self.write(line);
        }
        turn.last_message = Some(message.id);
        self.changed();
        last
    }

    fn write_stop_summary(&mut self, outcomes: &[hooks::Outcome]) {
        let infos: Vec<Value> = outcomes
            .iter()
            .map(|outcome| json!({ "command": outcome.command, "durationMs": outcome.duration_ms }))
            .collect();
        self.write(transcript::system(
            "stop_hook_summary",
            json!({
                "hookCount": outcomes.len(),
                "hookInfos": infos,
                "hookErrors": [],
                "hookAdditionalContext": [],
                "preventedContinuation": false,
                "stopReason": "",
                "hasOutput": outcomes.iter().any(|outcome| !outcome.out.is_empty()),
                "level": "suggestion",
                "toolUseID": home::uuid(),
            }),
        ));
    }

    /// An interrupt fires no hook: the transcript is where it can be seen.
    fn write_interrupt(&mut self, mut turn: Turn) {
        if !turn.begun {
            self.begin(&mut turn);
        }
        let in_tool = turn.call.is_some();
        if in_tool {
            self.write_result(&turn, REJECTED, "User rejected tool use".into(), true);
        } else {
            // What was said so far stays, without the usage that only a finished message has.
            let finished = turn.message.iter().flat_map(|message| &message.blocks);
            let mut said: Vec<String> =
                finished.filter_map(|block| Some(block["text"].as_str()?.to_owned())).collect();
            said.extend(Some(turn.partial.trim().to_owned()).filter(|partial| !partial.is_empty()));
            if !said.is_empty() {
                self.write(transcript::synthetic(&said.join("\n"), None));
            }
        }
        let message = turn.last_message.as_deref().filter(|_| in_tool);
        self.write(transcript::interrupted(&turn.prompt_id, in_tool, message));
        self.screen.commit(&[Row::new()
            .and(DIM, "  ⎿  ")
            .and(BAD, if turn.rejected { "Rejected" } else { "Interrupted" })
            .and(DIM, " · what should I do instead?")]);
    }
}

impl Turn {
    /// Adds a block to the message being made.
    fn add(&mut self, block: Value, text: &str) {
        let message = self.message.get_or_insert_with(|| Message {
            id: home::id("msg_"),
            request_id: home::id("req_"),
            blocks: Vec::new(),
            chars: 0,
        });
        message.chars += text.chars().count();
        message.blocks.push(block);
    }
}

/// Dies of SIGSEGV, leaving no core file in somebody's folder.
fn die() -> ! {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    loop {
        // Rust's own handler takes the first for a stack overflow that is none, and steps aside.
        let _ = kill_process(getpid(), Signal::SEGV);
    }
}
