//! The status line: a command of the settings that is told how the session stands, and whose first line is shown.
//!
//! It doesn't know how that line is drawn, nor what has changed: others say that something has.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::agent::{Agent, Phase, display_name, millis};
use super::child::{ChildId, End};

/// Between two runs of the status line command, as Claude Code has it.
const STATUS_LINE_EVERY: Duration = Duration::from_millis(200);
/// A status line that takes longer is given up.
const STATUS_LINE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct StatusLine {
    due: bool,
    last: Option<Instant>,
    running: Option<ChildId>,
}

impl Agent {
    /// Something the status line may show has changed.
    pub(super) fn changed(&mut self) {
        self.status_line.due = self.settings.status_line.is_some();
    }

    pub(super) fn status_line_due(&self) -> Option<Instant> {
        let waiting = self.status_line.due && self.status_line.running.is_none();
        waiting.then(|| self.status_line.last.map_or_else(Instant::now, |last| last + STATUS_LINE_EVERY))
    }

    pub(super) fn run_status_line(&mut self) {
        if self.phase == Phase::Ending || self.status_line_due().is_none_or(|due| due > Instant::now()) {
            return;
        }
        let Some(command) = self.settings.status_line.clone() else { return };
        self.status_line.due = false;
        self.status_line.last = Some(Instant::now());
        let input = self.status_line_input().to_string().into_bytes();
        self.status_line.running = self.start_child(&command, input, Some(STATUS_LINE_TIMEOUT));
    }

    pub(super) fn collect_status_line(&mut self) {
        let Some(outcome) = self.status_line.running.and_then(|id| self.take_outcome(id)) else { return };
        self.status_line.running = None;
        if outcome.end == End::Exited(0) {
            self.live.status_line = outcome.out.lines().next().map(str::to_owned);
        }
    }

    fn status_line_input(&self) -> Value {
        let session = &self.session;
        let window = 200_000;
        let last = session.meter.last;
        let used = last.map(|last| last.context() * 100 / window);
        let mut input = json!({
            "session_id": session.id,
            "transcript_path": session.transcript.path,
            "cwd": self.cwd,
            "effort": { "level": "high" },
            "model": { "id": session.model, "display_name": display_name(&session.model) },
            "workspace": { "current_dir": self.cwd, "project_dir": self.cwd, "added_dirs": [] },
            "version": super::VERSION,
            "output_style": { "name": "default" },
            "cost": {
                "total_cost_usd": session.cost_usd,
                "total_duration_ms": millis(self.started.elapsed()),
                "total_api_duration_ms": session.busy_ms,
                "total_lines_added": session.lines_added,
                "total_lines_removed": session.lines_removed,
            },
            "context_window": {
                "total_input_tokens": last.map_or(0, |last| last.context()),
                "total_output_tokens": last.map_or(0, |last| last.output),
                "context_window_size": window,
                "current_usage": last.map(|last| json!({
                    "input_tokens": last.input,
                    "output_tokens": last.output,
                    "cache_creation_input_tokens": last.cache_creation,
                    "cache_read_input_tokens": last.cache_read,
                })),
                "used_percentage": used,
                "remaining_percentage": used.map(|used| 100_u64.saturating_sub(used)),
            },
            "exceeds_200k_tokens": last.is_some_and(|last| last.context() > window),
            "fast_mode": false,
            "thinking": { "enabled": true },
        });
        if let Some(prompt_id) = &session.prompt_id {
            input["prompt_id"] = prompt_id.clone().into();
        }
        if let Some(title) = &session.title {
            input["session_name"] = title.clone().into();
        }
        input
    }
}
