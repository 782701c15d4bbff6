//! What the agent looks like: rows that are finished and go up for good, and the live area below them, drawn
//! anew from the agent's state.
//!
//! It decides nothing and waits for nothing. How rows get onto the terminal is the business of [`super::screen`].

use std::time::Instant;

use serde_json::Value;

use super::agent::{Agent, Answer, Phase, TICK, display_name};
use super::permission::Dialog;
use super::screen::{Frame, Row};
use crate::text;

const DEFAULT_TITLE: &str = "Demo agent";

/// Rows the prompt may take before it scrolls.
const EDITOR_ROWS: usize = 12;

const SPINNER: [&str; 6] = ["·", "✢", "✳", "✶", "✻", "✽"];
const TITLE_SPINNER: [&str; 2] = ["⠂", "⠐"];

pub(super) const DIM: &str = "2";
pub(super) const BOLD: &str = "1";
pub(super) const ACCENT: &str = "36";
pub(super) const GOOD: &str = "32";
pub(super) const BAD: &str = "31";
pub(super) const WARN: &str = "33";

/// What is shown below the finished rows.
#[derive(Default)]
pub(super) struct Live {
    /// The row being streamed.
    pub(super) streaming: Option<Row>,
    /// The call being made.
    pub(super) call: Vec<Row>,
    pub(super) spinner: Option<Spinner>,
    pub(super) dialog: Option<Dialog>,
    pub(super) answer: Option<Answer>,
    pub(super) status_line: Option<String>,
}

pub(super) struct Spinner {
    pub(super) verb: &'static str,
    pub(super) since: Instant,
}

impl Agent {
    pub(super) fn banner(&mut self) {
        let folder = self.shown_path(&self.cwd.to_string_lossy());
        let model = display_name(&self.session.model);
        let rows = [
            Row::new(),
            Row::new()
                .and(ACCENT, " ▗▟█▙▖  ")
                .and(BOLD, "CodePiper demo agent")
                .and(DIM, &format!(" v{}", super::VERSION)),
            Row::new()
                .and(ACCENT, " ▐▙▟▙▌  ")
                .and("", &model)
                .and(DIM, " · does what its prompt says, offline"),
            Row::new().and(ACCENT, " ▝▘▝▘▘  ").and(DIM, &folder),
            Row::new(),
            Row::new()
                .and(DIM, "  Try ")
                .and("", "hello")
                .and(DIM, ", ")
                .and("", "RUN: ls -la")
                .and(DIM, " or ")
                .and("", "/help"),
        ];
        self.screen.commit(&rows);
    }

    /// The end of a resumed conversation, so that one sees where one is.
    pub(super) fn replay(&mut self) {
        /// Messages shown again; the rest is in the transcript.
        const SHOWN: usize = 8;
        let history = std::mem::take(&mut self.history);
        let said: Vec<(bool, String)> = history.iter().filter_map(said).collect();
        if history.is_empty() {
            return;
        }
        let hidden = said.len().saturating_sub(SHOWN);
        let note = match hidden {
            0 => "  resumed".to_owned(),
            hidden => format!("  resumed · {hidden} earlier messages are not shown"),
        };
        self.screen.commit(&[Row::new(), Row::new().and(DIM, &note)]);
        for (human, said) in said.into_iter().skip(hidden) {
            if human { self.show_prompt(&said) } else { self.show_block("", "●", &said) }
        }
    }

    pub(super) fn show_prompt(&mut self, shown: &str) {
        /// Rows of a prompt that are shown again above its answer.
        const ROWS: usize = 12;
        let wrapped = text::wrap(&text::visible_lines(shown), self.columns().saturating_sub(2));
        let more = wrapped.len().saturating_sub(ROWS);
        let mut rows = vec![Row::new()];
        for (index, line) in wrapped.iter().take(ROWS).enumerate() {
            rows.push(Row::new().and(ACCENT, if index == 0 { "› " } else { "  " }).and(BOLD, line));
        }
        if more > 0 {
            rows.push(Row::new().and(DIM, &format!("  … +{more} rows")));
        }
        self.screen.commit(&rows);
    }

    /// A block of text with a bullet in front.
    pub(super) fn show_block(&mut self, style: &str, bullet: &str, said: &str) {
        let mut rows = vec![Row::new()];
        let wrapped = text::wrap(&text::visible_lines(said), self.columns().saturating_sub(2));
        for (index, line) in wrapped.iter().enumerate() {
            let front = if index == 0 { format!("{bullet} ") } else { "  ".to_owned() };
            rows.push(Row::new().and(style, &front).and(if style == DIM { DIM } else { "" }, line));
        }
        self.screen.commit(&rows);
    }

    /// Rows below what was just shown, hanging from it.
    pub(super) fn show_result(&mut self, style: &str, said: &str) {
        let wrapped = text::wrap(&text::visible_lines(said), self.columns().saturating_sub(5));
        let rows: Vec<Row> = wrapped
            .iter()
            .enumerate()
            .map(|(index, line)| {
                Row::new().and(DIM, if index == 0 { "  ⎿  " } else { "     " }).and(style, line)
            })
            .collect();
        self.screen.commit(&rows);
    }

    /// Columns for text; very wide ones are hard to read.
    pub(super) fn columns(&self) -> usize {
        self.screen.size().columns.clamp(10, 120)
    }

    /// A path as a person writes it.
    pub(super) fn shown_path(&self, path: &str) -> String {
        let home = std::env::var("HOME").unwrap_or_default();
        match path.strip_prefix(&home) {
            Some(rest) if !home.is_empty() && (rest.is_empty() || rest.starts_with('/')) => {
                format!("~{rest}")
            }
            _ => path.to_owned(),
        }
    }

    pub(super) fn draw(&mut self) {
        if self.phase == Phase::Ending {
            return;
        }
        self.draw_title();
        let size = self.screen.size();
        let columns = size.columns.max(10);
        let mut rows: Vec<Row> = Vec::new();
        rows.extend(self.live.streaming.clone());
        rows.extend(self.live.call.iter().cloned());
        if let (Some(spinner), None) = (&self.live.spinner, &self.live.dialog) {
            let elapsed = spinner.since.elapsed();
            let glyph = SPINNER[(elapsed.as_millis() / TICK.as_millis()) as usize % SPINNER.len()];
            let hint = if self.phase == Phase::Turn { " · esc to interrupt" } else { "" };
            rows.push(Row::new());
            rows.push(Row::new().and(ACCENT, &format!("{glyph} {}… ", spinner.verb)).and(
                DIM,
                &text::clip(&format!("({}s{hint})", elapsed.as_secs()), columns.saturating_sub(16)),
            ));
        }
        for waiting in self.queue.iter().filter(|_| self.phase != Phase::Idle) {
            let line = waiting.shown.lines().next().unwrap_or_default();
            rows.push(Row::new().and(DIM, &text::clip(&format!("  › {line} (queued)"), columns - 1)));
        }
        let frame = match &self.live.dialog {
            Some(dialog) => {
                draw_dialog(dialog, columns, &mut rows);
                Frame { rows, cursor: None }
            }
            None => self.draw_prompt(columns, size.rows, rows),
        };
        self.screen.draw(frame);
    }

    fn draw_prompt(&self, columns: usize, height: usize, mut rows: Vec<Row>) -> Frame {
        let rule = || Row::new().and(DIM, &"─".repeat(columns));
        let layout = self.editor.layout(columns.saturating_sub(3));
        let visible = EDITOR_ROWS.min(height.saturating_sub(6)).max(1);
        let first = (layout.cursor_row + 1).saturating_sub(visible);
        rows.push(Row::new());
        rows.push(rule());
        let cursor = (rows.len() + layout.cursor_row - first, layout.cursor_column + 2);
        for (index, line) in layout.rows.iter().enumerate().skip(first).take(visible) {
            rows.push(Row::new().and(ACCENT, if index == 0 { "› " } else { "  " }).and("", line));
        }
        rows.push(rule());
        if let Some(line) = &self.live.status_line {
            rows.push(Row::new().and("", "  ").foreign(line, columns - 1));
        }
        let hint = if self.exit_armed.is_some() {
            Row::new().and(DIM, "  Press ctrl+c again to exit")
        } else if let Some(mode) = self.session.mode.shown() {
            Row::new()
                .and(WARN, &text::clip(&format!("  ⏵⏵ {mode}"), columns - 1))
                .and(DIM, if columns > 50 { " (shift+tab to cycle)" } else { "" })
        } else if self.editor.is_empty() {
            Row::new().and(DIM, &text::clip("  /help for what a prompt can say", columns - 1))
        } else {
            Row::new().and(DIM, &text::clip("  enter to send · ctrl+j for a new line", columns - 1))
        };
        rows.push(hint);
        Frame { rows, cursor: Some(cursor) }
    }

    fn draw_title(&mut self) {
        let title = self.session.title.as_deref().unwrap_or(DEFAULT_TITLE);
        let glyph = match (&self.live.spinner, &self.live.dialog) {
            (Some(spinner), None) => TITLE_SPINNER[spinner.since.elapsed().as_secs() as usize % 2],
            _ => "✳",
        };
        let title = format!("{glyph} {title}");
        self.screen.title(&title);
    }
}

/// What a line of a transcript says, and whether a person said it.
fn said(line: &Value) -> Option<(bool, String)> {
    let content = &line["message"]["content"];
    match line["type"].as_str()? {
        "user" if line["origin"]["kind"] == "human" => Some((true, content.as_str()?.to_owned())),
        "assistant" => {
            let block = content.get(0)?;
            match block["type"].as_str()? {
                "text" => Some((false, block["text"].as_str()?.to_owned())),
                "tool_use" => {
                    let input = &block["input"];
                    let about = input["command"].as_str().or(input["file_path"].as_str());
                    let name = block["name"].as_str()?;
                    Some((false, about.map_or_else(|| name.to_owned(), |about| format!("{name}({about})"))))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn draw_dialog(dialog: &Dialog, columns: usize, rows: &mut Vec<Row>) {
    /// Rows shown of what the question is about.
    const ABOUT_ROWS: usize = 12;
    let inner = columns.saturating_sub(4);
    rows.push(Row::new());
    rows.push(Row::new().and(ACCENT, &"─".repeat(columns)));
    rows.push(Row::new().and("1;36", &format!(" {}", text::clip(&dialog.title, inner))));
    rows.push(Row::new());
    let about: Vec<String> =
        dialog.about.iter().flat_map(|line| text::wrap(&text::visible(line), inner)).collect();
    for line in about.iter().take(ABOUT_ROWS) {
        let style = match line.as_bytes().first() {
            Some(b'+') => GOOD,
            Some(b'-') => BAD,
            _ => "",
        };
        rows.push(Row::new().and(style, &format!("   {line}")));
    }
    if about.len() > ABOUT_ROWS {
        rows.push(Row::new().and(DIM, &format!("   … +{} rows", about.len() - ABOUT_ROWS)));
    }
    if !about.is_empty() {
        rows.push(Row::new());
    }
    for line in text::wrap(&dialog.question, inner) {
        rows.push(Row::new().and("", &format!(" {line}")));
    }
    for (index, option) in dialog.options.iter().enumerate() {
        let selected = index == dialog.selected;
        let front = if selected { " ❯ " } else { "   " };
        let style = if selected { ACCENT } else { "" };
        let line = text::clip(&format!("{}. {option}", index + 1), inner);
        rows.push(Row::new().and(ACCENT, front).and(style, &line));
    }
    rows.push(Row::new());
    rows.push(Row::new().and(DIM, &text::clip(" ↑↓ and enter, or a digit · esc to cancel", columns - 1)));
}
