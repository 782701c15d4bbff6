//! Running the shell command of a tool call: in the turn, its output shown as it comes, or left in the background.
//!
//! It doesn't ask for leave and writes nothing down: it says what came of the command.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::demo_agent::agent::{Agent, Phase, Stop};
use crate::demo_agent::child::{ChildId, End};
use crate::demo_agent::home;
use crate::demo_agent::screen::Row;
use crate::demo_agent::tool::{Call, Given};
use crate::demo_agent::view::{BAD, DIM};
use crate::text;

/// A command is stopped after this long, as a tool's commands are.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(600);
/// An interrupted command gets this long to end by itself.
const COMMAND_GRACE: Duration = Duration::from_millis(300);
/// Rows of a command's output shown; the rest is counted.
pub(super) const OUTPUT_ROWS: usize = 12;
/// Characters of a command's output the model is given.
const OUTPUT_CHARS: usize = 30_000;

impl Agent {
    pub(super) fn run_command(&mut self, call: &Call) -> Result<Given, Stop> {
        let command = call.input["command"].as_str().unwrap_or_default();
        let Some(id) = self.start_child(command, Vec::new(), Some(COMMAND_TIMEOUT)) else {
            return Ok(Given::Failed { error: "cannot start `sh`".to_owned() });
        };
        let mut output = Output::default();
        loop {
            let stepped = self.step(None);
            let Some(child) = self.children.iter_mut().find(|child| child.id == id) else { break };
            let ended = child.end.is_some();
            let fresh = std::mem::take(&mut child.mixed);
            output.take(&fresh, ended, self.columns().saturating_sub(5));
            self.show_output(&mut output);
            if let Err(stop) = stepped {
                self.live.call.clear();
                self.stop_command(id);
                return Err(stop);
            }
            if ended {
                break;
            }
        }
        self.screen.commit(&std::mem::take(&mut self.live.call));
        let Some(outcome) = self.take_outcome(id) else {
            return Ok(Given::Failed { error: "the command is lost".to_owned() });
        };
        let cut = |text: &str| -> String { text.trim_end().chars().take(OUTPUT_CHARS).collect() };
        let (stdout, stderr) = (cut(&outcome.out), cut(&outcome.err));
        let both = [stdout.as_str(), stderr.as_str()];
        let both = both.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
        let failure = match outcome.end {
            End::Exited(0) => None,
            End::Exited(code) => Some(format!("Exit code {code}")),
            End::TimedOut => Some(format!("Command timed out after {}s", COMMAND_TIMEOUT.as_secs())),
        };
        let front = if output.rows == 0 { "  ⎿  " } else { "     " };
        match failure {
            None => {
                if output.rows == 0 {
                    self.show_result(DIM, "(no output)");
                }
                let response = json!({
                    "stdout": stdout,
                    "stderr": stderr,
                    "interrupted": false,
                    "isImage": false,
                    "noOutputExpected": false,
                });
                Ok(Given::Done { content: both, response, shown: String::new() })
            }
            Some(failure) => {
                self.screen.commit(&[Row::new().and(DIM, front).and(BAD, &failure)]);
                let error = if both.is_empty() { failure } else { format!("{failure}\n{both}") };
                Ok(Given::Failed { error })
            }
        }
    }

    /// Shows what a command printed since the last look.
    fn show_output(&mut self, output: &mut Output) {
        let mut rows = Vec::new();
        for line in output.fresh.drain(..) {
            if output.rows < OUTPUT_ROWS {
                let front = if output.rows == 0 { "  ⎿  " } else { "     " };
                rows.push(Row::new().and(DIM, front).and("", &line));
                output.rows += 1;
            } else {
                output.hidden += 1;
            }
        }
        if !rows.is_empty() {
            self.screen.commit(&rows);
        }
        self.live.call.clear();
        if output.hidden > 0 {
            self.live.call.push(Row::new().and(DIM, &format!("     … +{} rows", output.hidden)));
        }
    }

    /// Ends a command: kindly, then not.
    fn stop_command(&mut self, id: ChildId) {
        if let Some(child) = self.children.iter().find(|child| child.id == id) {
            child.kill(Signal::TERM);
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Ending);
        let until = Instant::now() + COMMAND_GRACE;
        while !self.all_ended(&[id]) && Instant::now() < until {
            // In this phase nothing interrupts.
            let _ = self.step(Some(until));
        }
        self.phase = phase;
        self.kill(&[id]);
    }

    /// Starts a command that outlives the turn, and the agent.
    pub(super) fn spawn(&mut self, call: &Call) -> Given {
        let command = call.input["command"].as_str().unwrap_or_default();
        let spawned = Command::new("sh")
            .args(["-c", command])
            .current_dir(&self.cwd)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        match spawned {
            Err(error) => {
                self.show_result(BAD, &error.to_string());
                Given::Failed { error: error.to_string() }
            }
            Ok(child) => {
                let task = home::id("b").chars().take(9).collect::<String>();
                let pid = child.id();
                self.spawned.push(child);
                Given::Done {
                    content: format!("Command running in background with ID: {task}"),
                    response: json!({
                        "stdout": "",
                        "stderr": "",
                        "interrupted": false,
                        "isImage": false,
                        "noOutputExpected": false,
                        "backgroundTaskId": task,
                    }),
                    shown: format!("Running in the background as {task} (pid {pid})"),
                }
            }
        }
    }
}

/// A command's output on its way to the screen.
#[derive(Default)]
struct Output {
    /// A line that has no end yet.
    open: Vec<u8>,
    fresh: Vec<String>,
    rows: usize,
    hidden: usize,
}

impl Output {
    /// A line longer than this is shown in pieces.
    const LINE_MAX: usize = 16 << 10;

    fn take(&mut self, bytes: &[u8], last: bool, columns: usize) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.open.extend_from_slice(part);
            if part.ends_with(b"\n") || self.open.len() > Self::LINE_MAX {
                self.close_line(columns);
            }
        }
        if last && !self.open.is_empty() {
            self.close_line(columns);
        }
    }

    fn close_line(&mut self, columns: usize) {
        let line = std::mem::take(&mut self.open);
        if self.rows + self.fresh.len() > OUTPUT_ROWS {
            self.hidden += 1;
            return;
        }
        let line = String::from_utf8_lossy(&line);
        self.fresh.extend(text::wrap(&text::visible(line.trim_end()), columns));
    }
}
