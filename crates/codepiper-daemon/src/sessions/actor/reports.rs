//! What the agent reports: hooks, also those from the spool, its status line, its state file, its transcript.

use super::commit::Batch;
use super::gates::HookAnswer;
use super::{Actor, changed};
use crate::knowledge::Look;
use crate::live;
use crate::sessions::Signal;
use crate::sessions::known::Turn;
use crate::spool::{self, Spooled, same};
use codepiper_api::{Fault, Refusal};
use codepiper_core::hook::{HookEvent, Learned, bounded, shorten};
use codepiper_core::provider::Note;
use codepiper_core::session::{Activity, Happening};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of a transcript read at once; more is read at the next tick.
const TRANSCRIPT_READ_MAX: u64 = 4 * 1024 * 1024;

/// How long after a turn the agent may take to write it down. Claude Code does it every 100 ms or so.
const TRANSCRIPT_LAG_MAX: Duration = Duration::from_secs(1);

/// How often to look for a transcript whose folder cannot be watched yet.
const TRANSCRIPT_LOOK_PAUSE: Duration = Duration::from_millis(100);

/// How long the hook that tells how a turn ended may come after the state file shows that it did. The agent notes
/// itself as idle first, and a hook is a process: it took over 100 ms on a busy machine.
const TURN_END_TIME_MAX: Duration = Duration::from_secs(1);

pub(super) struct Transcript {
    path: PathBuf,
    offset: u64,
}

impl Actor {
    pub(super) async fn hook(
        &mut self,
        uid: Option<String>,
        secret: &str,
        body: Vec<u8>,
    ) -> Result<HookAnswer, Refusal> {
        self.check_secret(secret)?;
        let event = self.provider.dialect().read_hook(parse_body(&body));
        match self.provider.dialect().gate(&event.name) {
            Some(gate) => self.at_gate(gate, uid, event).await,
            None => {
                self.take_hook(uid, Timestamp::now(), event, Batch::default()).await?;
                Ok(HookAnswer::Now(String::new()))
            }
        }
    }

    pub(super) fn check_secret(&self, secret: &str) -> Result<(), Refusal> {
        let is_right = self.known.process.as_ref().is_some_and(|process| same(&process.secret.0, secret));
        is_right.then_some(()).ok_or_else(|| {
            Refusal::new(Fault::Forbidden, format!("the secret is not that of session {}", self.known.row.id))
        })
    }

    /// Keeps the last figures of the status line. It runs several times in a turn, so only another model is an
    /// event.
    pub(super) async fn status_line(&mut self, secret: &str, body: &[u8]) -> Result<(), Refusal> {
        self.check_secret(secret)?;
        let Some(line) = self.provider.dialect().read_status_line(&parse_body(body)) else { return Ok(()) };
        live::told(&self.app, &self.known.row.id, self.provider.id(), line.live).await;
        self.known.status_line = Some(line.figures.clone());
        let model = line.model.clone();
        if self.known.row.model.as_ref() == Some(&model) {
            self.publish.send_replace(self.known.share());
        } else {
            let event = self.event("statusline", "model", bounded(line.figures));
            let learned = Learned { model: Some(line.model), ..Learned::default() };
            self.happen(&[], &learned, Some(event)).await?;
        }
        self.signal(Signal::ModelTold { model });
        Ok(())
    }

    /// Stores a hook event, once, what it changes, and what else belongs to it. Whether it was new.
    pub(super) async fn take_hook(
        &mut self,
        uid: Option<String>,
        at: Timestamp,
        mut hook: HookEvent,
        mut batch: Batch,
    ) -> Result<bool, Refusal> {
        // Its hook runs while the turn is still on, and a prompt sent then would become a part of it, with the model
        // of before (seen on a busy machine). The channel tells when it is over.
        if self.channel.borrow().is_some() {
            hook.happenings.retain(|happening| *happening != Happening::TurnEnded);
        }
        let outcome = self.outcome_entry(&hook, at);
        let payload = self.masker.value(bounded(hook.raw));
        let mut event = self.event("hook", &hook.name, payload);
        event.at = at;
        event.uid = uid.map(|uid| format!("{}-{uid}", self.known.row.id));
        batch.events.insert(0, event);
        batch.audit.extend(outcome);
        let seq = self.happen_with(&hook.happenings, &hook.learned, batch).await?;
        if let (Some(event), Some(_)) = (seq, &hook.prompt) {
            self.signal(Signal::PromptTaken { event, by: "hook" });
        }
        self.follow_transcript();
        self.have_transcript_read();
        self.watch_state_folder();
        Ok(seq.is_some())
    }

    /// Events from the time when there was no daemon, in their order.
    pub(super) async fn take_spool(&mut self) {
        let Ok(entries) = std::fs::read_dir(self.folder.spool()) else { return };
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|ending| ending == spool::ENDING))
            .collect();
        files.sort();
        for file in files {
            let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let Ok(body) = std::fs::read(&file) else { continue };
            let secret = self.known.process.as_ref().map_or("", |process| process.secret.0.as_str());
            let Some(Spooled { at, id }) = spool::read_name(&name, secret, &body) else {
                tracing::warn!(file = %file.display(), "a spooled event is not of this session and is not taken");
                if let Err(error) = std::fs::rename(&file, file.with_extension(spool::REFUSED)) {
                    tracing::warn!(%error, file = %file.display(), "it stays");
                }
                continue;
            };
            let hook = self.provider.dialect().read_hook(parse_body(&body));
            let mut batch = Batch::default();
            batch.audit.extend(self.stood_in_entry(&hook, at));
            if self.take_hook(Some(id), at, hook, batch).await.is_err() {
                return; // stays in the spool
            }
            if let Err(error) = std::fs::remove_file(&file) {
                tracing::warn!(%error, file = %file.display(), "a spooled event stays behind");
            }
        }
    }

    pub(super) async fn read_state_file(&mut self) {
        let Some(process) = &self.known.process else { return };
        let (Some(folder), Some(agent)) = (&process.state_folder, process.agent) else { return };
        let dialect = self.provider.dialect();
        let Some(path) = dialect.state_file(folder, agent.pid) else { return };
        let Ok(bytes) = std::fs::read(path) else { return };
        if let Some((activity, noted)) = dialect.read_state_file(&bytes) {
            let is_news = noted > self.known.row.standing.since;
            let turn = match (self.known.turn, &activity) {
                // A turn that nobody reports to have ended was interrupted: before its first word not even the
                // transcript says so (measured).
                (Turn::On, Activity::Idle) if is_news => {
                    Turn::MayBeOver { told_by: Instant::now() + TURN_END_TIME_MAX }
                }
                (Turn::MayBeOver { .. }, Activity::Busy | Activity::Waiting(_)) => Turn::On,
                (turn, _) => turn,
            };
            if turn != self.known.turn {
                self.known.turn = turn;
                self.publish.send_replace(self.known.share());
            }
            if !matches!(turn, Turn::MayBeOver { .. }) {
                self.happen_or_log(&[Happening::Seen { activity, noted }], None).await;
            }
        }
    }

    /// Waits until the agent has written down the turn it just ended: what is still in its memory at SIGTERM is
    /// lost (seen on a busy machine, where a conversation could not be resumed).
    pub(super) async fn wait_for_transcript(&mut self) {
        while let Some(ended) = self.turn_to_write
            && Instant::now() < ended + TRANSCRIPT_LAG_MAX
        {
            self.follow_transcript();
            // The folder may not be there yet, and then cannot be watched.
            let look_again = Instant::now() + TRANSCRIPT_LOOK_PAUSE;
            let _either = tokio::time::timeout_at(look_again, changed(&mut self.watches.transcript)).await;
            self.read_transcript().await;
        }
    }

    /// Whether there is anything in a transcript to go on with.
    pub(super) fn holds_conversation(&self, path: &Path) -> bool {
        let Ok(file) = std::fs::File::open(path) else { return false };
        let mut lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
        lines.any(|line| self.provider.dialect().is_conversation(&line))
    }

    /// When the end of a turn counts as an interruption.
    pub(super) fn turn_told_by(&self) -> Option<Instant> {
        match self.known.turn {
            Turn::MayBeOver { told_by } => Some(told_by),
            Turn::Over | Turn::On => None,
        }
    }

    /// Has what the agent wrote down taken in. Asked for at every sign of it: a look at nothing new costs little.
    pub(super) fn have_transcript_read(&self) {
        let folder = self.known.process.as_ref().and_then(|process| process.transcript_folder.clone());
        let (Some(path), Some(folder)) = (self.known.row.transcript_path.as_ref(), folder) else { return };
        self.app.knowledge.look(Look {
            path: PathBuf::from(path),
            folder,
            provider: self.provider.id().to_owned(),
            dialect: self.provider.dialect(),
            session: Some(self.known.row.id.clone()),
        });
    }

    pub(super) async fn read_transcript(&mut self) {
        self.have_transcript_read();
        let notes = match self.new_transcript_lines() {
            Ok(lines) => {
                lines.iter().flat_map(|line| self.provider.dialect().read_transcript_line(line)).collect()
            }
            Err(error) => {
                tracing::debug!(%error, session = %self.known.row.id, "the transcript cannot be read");
                Vec::new()
            }
        };
        for note in notes {
            match note {
                Note::Happened(happening) => {
                    self.known.input_is_dirty |= happening == Happening::Interrupted;
                    self.happen_or_log(&[happening], None).await;
                }
                Note::TurnWritten => self.turn_to_write = None,
                Note::Figures(figures) => {
                    live::told(&self.app, &self.known.row.id, self.provider.id(), figures).await;
                }
                Note::PromptQueued { text } => self.signal(Signal::PromptQueued { text }),
            }
        }
    }

    pub(super) fn new_transcript_lines(&mut self) -> std::io::Result<Vec<Vec<u8>>> {
        use std::io::{Read, Seek, SeekFrom};
        let Some(transcript) = &mut self.transcript else { return Ok(Vec::new()) };
        let mut file = std::fs::File::open(&transcript.path)?;
        if file.metadata()?.len() < transcript.offset {
            transcript.offset = 0; // replaced
        }
        file.seek(SeekFrom::Start(transcript.offset))?;
        let mut bytes = Vec::new();
        file.take(TRANSCRIPT_READ_MAX).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        // A line longer than what is read at once holds nothing that matters here.
        let skip = if whole == 0 && bytes.len() as u64 == TRANSCRIPT_READ_MAX { bytes.len() } else { whole };
        transcript.offset += skip as u64;
        Ok(bytes[..whole].split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect())
    }

    /// Follows the transcript from its present end on.
    pub(super) fn follow_transcript(&mut self) {
        let Some(path) = self.known.row.transcript_path.as_ref().map(PathBuf::from) else { return };
        let is_followed = self.transcript.as_ref().is_some_and(|transcript| transcript.path == path);
        if !self.is_placed() || (is_followed && self.watches.transcript.is_some()) {
            return;
        }
        if !is_followed {
            let offset = std::fs::metadata(&path).map_or(0, |facts| facts.len());
            self.transcript = Some(Transcript { path: path.clone(), offset });
            self.watches.transcript = None;
        }
        if let Some(folder) = path.parent().filter(|folder| folder.is_dir()) {
            self.watches.transcript = self.app.watch.folder(folder).ok();
        }
    }
}

/// A body that is no JSON is an event all the same, with the text as it came.
fn parse_body(body: &[u8]) -> Value {
    serde_json::from_slice(body)
        .unwrap_or_else(|_| json!({ "unreadable": shorten(&String::from_utf8_lossy(body), 1_000) }))
}
