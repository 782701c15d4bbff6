//! Running hooks and other children: starting them, waiting for them where somebody has to, and ending them.
//!
//! Which commands an event calls and what their answers mean is in [`super::hooks`]; this knows neither. Whoever
//! waits here waits through [`Agent::step`].

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::agent::{Agent, Phase, Quit, Stop, millis};
use super::child::{Child, ChildId};
use super::hooks::{self, Common, Event, Outcome};

/// The farewell waits this long for its hooks; tmux and people wait for it.
const FAREWELL_MAX: Duration = Duration::from_secs(5);

impl Agent {
    /// Runs an event's hooks to their end.
    pub(super) fn run_hooks(&mut self, event: Event, fields: Value) -> Result<Vec<Outcome>, Stop> {
        let ids = self.start_hooks(event, fields, None);
        while !self.all_ended(&ids) {
            if let Err(stop) = self.step(None) {
                self.kill(&ids);
                return Err(stop);
            }
        }
        Ok(ids.iter().filter_map(|id| self.take_outcome(*id)).collect())
    }

    /// Starts an event's hooks. One that cannot be started is none.
    pub(super) fn start_hooks(&mut self, event: Event, fields: Value, told_id: Option<&str>) -> Vec<ChildId> {
        let session_id = told_id.unwrap_or(&self.session.id);
        let transcript = self.home.transcript(&self.cwd, session_id);
        let common = Common {
            session_id,
            transcript_path: &transcript.to_string_lossy(),
            cwd: &self.cwd.to_string_lossy(),
            prompt_id: self.session.prompt_id.as_deref(),
            permission_mode: self.session.mode.name(),
        };
        let input = hooks::input(event, &common, fields);
        let called = self.settings.hooks_for(event, &input);
        let text = input.to_string();
        let timeouts = called.iter().map(|hook| (hook.command.clone(), hook.timeout(event)));
        let runs: Vec<_> = timeouts.collect();
        runs.into_iter()
            .filter_map(|(command, timeout)| {
                self.start_child(&command, text.clone().into_bytes(), Some(timeout))
            })
            .collect()
    }

    pub(super) fn all_ended(&self, ids: &[ChildId]) -> bool {
        self.children.iter().all(|child| child.end.is_some() || !ids.contains(&child.id))
    }

    /// What a hook came to, once it has.
    pub(super) fn take_outcome(&mut self, id: ChildId) -> Option<Outcome> {
        let place = self.children.iter().position(|child| child.id == id && child.end.is_some())?;
        let child = self.children.remove(place);
        Some(Outcome {
            command: child.command,
            end: child.end?,
            out: String::from_utf8_lossy(&child.out).into_owned(),
            err: String::from_utf8_lossy(&child.err).into_owned(),
            duration_ms: millis(child.started.elapsed()),
        })
    }

    pub(super) fn start_child(
        &mut self,
        command: &str,
        input: Vec<u8>,
        timeout: Option<Duration>,
    ) -> Option<ChildId> {
        self.next_child += 1;
        let id = ChildId(self.next_child);
        match Child::start(id, command, &self.cwd, input, timeout) {
            Ok(child) => {
                self.children.push(child);
                Some(id)
            }
            Err(_) => None,
        }
    }

    /// Ends children that nobody waits for any more.
    pub(super) fn kill(&mut self, ids: &[ChildId]) {
        for child in self.children.iter_mut().filter(|child| ids.contains(&child.id)) {
            child.end_now();
        }
        self.children.retain(|child| !ids.contains(&child.id));
    }

    /// Tells, and does not wait for an answer.
    pub(super) fn notify(&mut self, kind: &str, message: &str) {
        let fields = json!({ "message": message, "notification_type": kind });
        let ids = self.start_hooks(Event::Notification, fields, None);
        for child in self.children.iter_mut().filter(|child| ids.contains(&child.id)) {
            child.forgotten = true;
        }
    }

    pub(super) fn session_start(&mut self, source: &str, told_id: Option<String>) -> Result<(), Quit> {
        self.phase = Phase::Between;
        let mut fields = json!({ "source": source });
        if matches!(source, "startup" | "compact") {
            fields["model"] = self.session.model.clone().into();
        }
        let ids = self.start_hooks(Event::SessionStart, fields, told_id.as_deref());
        while !self.all_ended(&ids) {
            if let Err(Stop::Quit(quit)) = self.step(None) {
                self.kill(&ids);
                return Err(quit);
            }
        }
        self.kill(&ids);
        Ok(())
    }

    /// The last word of a session. Waits for its hooks, but not for ever.
    pub(super) fn session_end(&mut self, reason: &str) {
        let phase = std::mem::replace(&mut self.phase, Phase::Ending);
        let until = Instant::now() + FAREWELL_MAX;
        let ids = self.start_hooks(Event::SessionEnd, json!({ "reason": reason }), None);
        while !self.all_ended(&ids) && Instant::now() < until {
            // In this phase nothing interrupts.
            let _ = self.step(Some(until));
        }
        self.children.retain(|child| !ids.contains(&child.id));
        self.phase = phase;
    }
}
