//! Slash commands: what is said to the agent rather than to the model.

use std::time::Duration;

use serde_json::json;

use super::agent::{Agent, Phase, Quit, Stop, display_name};
use super::home::{self, Status};
use super::hooks::Event;
use super::line_editor::Submission;
use super::screen::Row;
use super::script;
use super::transcript::{self, Meter, Transcript};
use super::view::{ACCENT, BAD, DIM, Spinner};

/// How long making a summary seems to take.
const COMPACTING: Duration = Duration::from_millis(600);

impl Agent {
    pub(super) fn slash(&mut self, submission: &Submission) -> Result<(), Quit> {
        self.phase = Phase::Between;
        self.show_prompt(&submission.shown);
        let line = submission.text.trim_start_matches('/');
        let (name, args) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (name, args.trim()) {
            ("help", _) => self.slash_help(),
            ("model", "") => {
                let model = display_name(&self.session.model);
                self.show_result("", &format!("The model is {model}; /model demo-2 switches"));
            }
            ("model", model) => {
                self.session.model = model.to_owned();
                self.changed();
                self.show_result("", &format!("Set model to {}", display_name(model)));
            }
            ("status", _) => self.slash_status(),
            ("clear", _) => self.slash_clear()?,
            ("compact", instructions) => match self.slash_compact(instructions) {
                Err(Stop::Quit(quit)) => return Err(quit),
                Err(Stop::Interrupt) => self.show_result(BAD, "Compaction interrupted"),
                Ok(()) => {}
            },
            ("exit" | "quit", _) => return Err(Quit::Asked),
            (name, _) => {
                let message = format!("Unknown command: /{name}");
                self.show_result(BAD, &message);
                if self.session.transcript.exists() {
                    let line = json!({ "content": message, "level": "warning" });
                    self.write(transcript::system("informational", line));
                }
            }
        }
        Ok(())
    }

    fn slash_help(&mut self) {
        let mut rows =
            vec![Row::new(), Row::new().and(DIM, "  A prompt is plain words, or one of these a line:")];
        let commands = [
            ("/model [name]", "show or switch the model"),
            ("/clear", "begin a new conversation"),
            ("/compact", "go on with a summary of this one"),
            ("/status", "session, folder, tokens"),
            ("/exit", "leave (or ctrl+d)"),
        ];
        let columns = self.columns();
        let row = |usage: &str, what: &str| {
            let what = crate::text::clip(what, columns.saturating_sub(32));
            Row::new().and(ACCENT, &format!("  {usage:<28}")).and("", &what)
        };
        rows.extend(script::USAGE.iter().map(|(usage, what)| row(usage, what)));
        rows.push(Row::new());
        rows.extend(commands.iter().map(|(usage, what)| row(usage, what)));
        self.screen.commit(&rows);
    }

    fn slash_status(&mut self) {
        let session = &self.session;
        let facts = [
            ("version", super::VERSION.to_owned()),
            ("session", session.id.clone()),
            ("folder", self.shown_path(&self.cwd.to_string_lossy())),
            ("model", session.model.clone()),
            ("permissions", session.mode.name().to_owned()),
            ("context", format!("{} tokens", session.meter.context())),
            ("transcript", self.shown_path(&session.transcript.path.to_string_lossy())),
        ];
        let lines: Vec<String> = facts.iter().map(|(name, fact)| format!("{name:<12} {fact}")).collect();
        self.show_result("", &lines.join("\n"));
    }

    /// A new conversation in the same process.
    fn slash_clear(&mut self) -> Result<(), Quit> {
        self.session.prompt_id = Some(home::uuid());
        self.session_end("clear");
        let session = &mut self.session;
        session.id = home::uuid();
        session.title = None;
        session.transcript =
            Transcript::new(self.home.transcript(&self.cwd, &session.id), &session.id, &self.cwd);
        session.meter = Meter::default();
        session.prompts = 0;
        self.show_status(Status::Idle);
        self.screen.clear();
        self.banner();
        self.session_start("clear", None)
    }

    fn slash_compact(&mut self, instructions: &str) -> Result<(), Stop> {
        let prompt_id = home::uuid();
        self.session.prompt_id = Some(prompt_id.clone());
        let custom = (!instructions.is_empty()).then_some(instructions);
        let before = json!({ "trigger": "manual", "custom_instructions": custom });
        self.show_status(Status::Busy);
        self.run_hooks(Event::PreCompact, before)?;
        if !self.session.transcript.exists() {
            self.show_result(DIM, "Not enough messages to compact.");
            return Ok(());
        }
        self.phase = Phase::Turn;
        self.live.spinner = Some(Spinner { verb: "Compacting", since: std::time::Instant::now() });
        let slept = self.sleep(COMPACTING);
        self.live.spinner = None;
        slept?;
        let summary = format!("The conversation had {} prompts.", self.session.prompts);
        let pre_tokens = self.session.meter.context();
        self.session.meter = Meter::default();
        self.session.meter.read(&summary);
        let follows = self.session.transcript.break_chain();
        self.write(transcript::system(
            "compact_boundary",
            json!({
                "logicalParentUuid": follows,
                "content": "Conversation compacted",
                "level": "info",
                "compactMetadata": {
                    "trigger": "manual",
                    "preTokens": pre_tokens,
                    "postTokens": self.session.meter.context(),
                    "durationMs": super::agent::millis(COMPACTING),
                },
            }),
        ));
        let mut continued = transcript::meta(
            &format!("This session is being continued from a previous conversation.\n\n{summary}"),
            &prompt_id,
        );
        continued["isMeta"] = false.into();
        continued["isVisibleInTranscriptOnly"] = true.into();
        continued["isCompactSummary"] = true.into();
        self.write(continued);
        self.write(transcript::command("compact", instructions, &prompt_id));
        self.session_start("compact", None)?;
        let after = json!({ "trigger": "manual", "compact_summary": summary });
        self.run_hooks(Event::PostCompact, after)?;
        self.show_result(DIM, &format!("Compacted {pre_tokens} tokens"));
        Ok(())
    }
}
