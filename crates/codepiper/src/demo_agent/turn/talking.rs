//! What a turn says: texts streamed word by word, answers to plain words, and floods of log lines.
//!
//! It doesn't know what the prompt asked for, when a turn is over, or how a message gets into the transcript.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Flow, Turn};
use crate::demo_agent::agent::{Agent, Stop};
use crate::demo_agent::permission::Tool;
use crate::demo_agent::screen::Row;
use crate::demo_agent::script::WORD_MS;
use crate::demo_agent::tool;
use crate::text;

/// Bytes of a flood between two looks at the keyboard.
const FLOOD_CHUNK: u64 = 32 << 10;

impl Agent {
    /// An answer to plain words: what this program is, and a look at a file they name.
    pub(super) fn chat(&mut self, turn: &mut Turn, asked: &str) -> Result<Flow, Stop> {
        let mentioned = asked
            .split(|c: char| c.is_whitespace() || "\"'`(),;@<>[]".contains(c))
            .map(|word| word.trim_end_matches(['.', ':', '?', '!']))
            .find(|word| !word.is_empty() && !word.contains('/') && self.cwd.join(word).is_file());
        if let Some(name) = mentioned {
            self.say(turn, &format!("Let me look at {name}."), WORD_MS)?;
            let input = json!({ "file_path": tool::resolve(&self.cwd, name) });
            let flow = self.use_tool(turn, Tool::Read, input)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
            let say = format!(
                "That was {name}. I only read it: I am the demo agent, there is no model behind me. With `EDIT: {name} \
                 :: old => new` I would change it, after asking you."
            );
            self.say(turn, &say, WORD_MS)?;
            return Ok(Flow::Next);
        }
        let answers = [
            "Hello! I am the CodePiper demo agent: I look and behave like a coding agent, but there is no model \
             behind me. Tell me what to do line by line, for example `RUN: ls -la` or `WRITE: notes.md :: hello`, and \
             I will do it, asking first where an agent would. /help lists everything I understand.",
            "I heard you, though I cannot think about it: I follow a script instead of a model. Try `ASK: Tea or \
             coffee? :: tea | coffee` to see a question, or `STREAM: 100` to watch me talk for a while.",
            "Still here, still offline. `RUN:` runs a command, `READ:`, `WRITE:` and `EDIT:` work on files, and \
             `FAIL:` shows what an API error looks like. Press esc while I am busy to interrupt me.",
        ];
        let answer = answers[self.session.prompts.saturating_sub(1) % answers.len()];
        self.say(turn, answer, WORD_MS)?;
        Ok(Flow::Next)
    }

    pub(super) fn stream(&mut self, turn: &mut Turn, words: u64, pause_ms: u64) -> Result<(), Stop> {
        const WORDS: &str = "The agent reads a line, and then another one. The terminal keeps up with every word, so \
                             that you can watch. Nothing is decided here, for there is nobody to decide it. Press \
                             escape when you have seen enough, or wait for the end of this calm and rather long-winded \
                             speech. It comes back to where it began.";
        let mut text = String::new();
        for (index, word) in (0..words).zip(WORDS.split_whitespace().cycle()) {
            if index > 0 {
                text.push(' ');
            }
            text.push_str(word);
        }
        self.say(turn, &text, pause_ms)
    }

    pub(super) fn say(&mut self, turn: &mut Turn, text: &str, pause_ms: u64) -> Result<(), Stop> {
        self.stream_text(turn, "", "● ", text, pause_ms)?;
        turn.add(json!({ "type": "text", "text": text }), text);
        turn.last_text = text.to_owned();
        turn.silent = false;
        Ok(())
    }

    pub(super) fn think(&mut self, turn: &mut Turn, text: &str) -> Result<(), Stop> {
        self.stream_text(turn, "2;3", "✻ ", text, WORD_MS)?;
        turn.add(json!({ "type": "thinking", "thinking": text, "signature": "ZGVtbw==" }), text);
        Ok(())
    }

    /// Shows text word by word: full rows go up for good, the last one is live.
    fn stream_text(
        &mut self,
        turn: &mut Turn,
        style: &str,
        bullet: &str,
        said: &str,
        pause_ms: u64,
    ) -> Result<(), Stop> {
        self.screen.commit(&[Row::new()]);
        let mut front = bullet;
        for line in said.split('\n') {
            let mut row = String::new();
            for word in line.split(' ') {
                turn.partial.push_str(word);
                turn.partial.push(' ');
                let joined = if row.is_empty() { word.to_owned() } else { format!("{row} {word}") };
                let mut rows = text::wrap(&text::visible(&joined), self.columns().saturating_sub(2));
                row = rows.pop().unwrap_or_default();
                for full in rows {
                    self.live.streaming = None;
                    self.screen.commit(&[Row::new().and(style, front).and(style, &full)]);
                    front = "  ";
                }
                self.live.streaming = Some(Row::new().and(style, front).and(style, &row));
                if pause_ms > 0 {
                    self.sleep(Duration::from_millis(pause_ms))?;
                } else {
                    self.step(Some(Instant::now()))?;
                }
            }
            self.settle();
            front = "  ";
        }
        turn.partial.clear();
        Ok(())
    }

    /// The row being streamed is finished as it is.
    pub(super) fn settle(&mut self) {
        if let Some(row) = self.live.streaming.take() {
            self.screen.commit(&[row]);
        }
    }

    /// The last message of a turn: after tools, an agent says that it is done.
    pub(super) fn conclude(&mut self, turn: &mut Turn) -> Result<(), Stop> {
        if turn.silent {
            let done = match (turn.calls, turn.refused) {
                (0 | 1, 0) => "Done.".to_owned(),
                (calls, 0) => format!("Done: {calls} steps, all went through."),
                (1, _) => "That was not to be, so I leave it at that.".to_owned(),
                (calls, refused) => format!("Done, though {refused} of {calls} steps did not go through."),
            };
            self.say(turn, &done, WORD_MS)?;
        }
        self.finish_message(turn, "end_turn");
        turn.silent = true;
        Ok(())
    }

    pub(super) fn flood(&mut self, bytes: u64) -> Result<(), Stop> {
        self.screen.commit(&[Row::new()]);
        let (mut left, mut number) = (bytes, 0_u64);
        while left > 0 {
            let mut chunk = String::new();
            while (chunk.len() as u64) < FLOOD_CHUNK.min(left) {
                number += 1;
                let level = if number.is_multiple_of(17) { "WARN" } else { "INFO" };
                let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                chunk.push_str(&format!(
                    "[{number:08}] {level} demo::flood worker={} id={hash:016x} ok\r\n",
                    hash % 8
                ));
            }
            if chunk.len() as u64 > left {
                // All ASCII, so it can be cut anywhere; the line end stays.
                chunk.truncate(usize::try_from(left.saturating_sub(2)).unwrap_or_default());
                chunk.push_str("\r\n");
            }
            left = left.saturating_sub(chunk.len() as u64);
            self.screen.flood(chunk.as_bytes());
            self.step(Some(Instant::now()))?;
        }
        Ok(())
    }
}
