//! How a change becomes true: stored, then published, then announced.

use super::Actor;
use crate::paths::resolved;
use crate::sessions::known::{Known, Turn};
use crate::sessions::{Signal, internal};
use codepiper_api::{Fault, Refusal};
use codepiper_core::hook::{Learned, shorten};
use codepiper_core::session::{Activity, Exit, Happening, State, step};
use codepiper_store::approvals::ApprovalRow;
use codepiper_store::audit::NewEntry;
use codepiper_store::events::{Appended, NewEvent, StoredEvent};
use codepiper_store::{approvals, audit, events, sessions, work};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::path::Path;
use tokio::time::Instant;

/// What is stored together, beside the session's row. When the first event was known before, none of it is.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) events: Vec<NewEvent>,
    pub(super) approvals: Vec<ApprovalRow>,
    pub(super) audit: Vec<NewEntry>,
    /// From when to when the agent worked, once that is over.
    pub(super) worked: Vec<(Timestamp, Timestamp)>,
    /// Questions that are closed once it is stored: number, and what their hook prints.
    pub(super) closings: Vec<(u64, String)>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.approvals.is_empty() && self.audit.is_empty()
    }
}

impl From<Vec<NewEvent>> for Batch {
    fn from(events: Vec<NewEvent>) -> Self {
        Self { events, ..Self::default() }
    }
}

impl Actor {
    /// Applies happenings and what was learned, stores all of it with the event, then announces. The event's
    /// number, or `None` when it was stored before.
    pub(super) async fn happen(
        &mut self,
        happenings: &[Happening],
        learned: &Learned,
        event: Option<NewEvent>,
    ) -> Result<Option<u64>, Refusal> {
        self.happen_with(
            happenings,
            learned,
            Batch { events: event.into_iter().collect(), ..Batch::default() },
        )
        .await
    }

    /// The same with more that is to be stored in the same transaction. The number is that of the batch's first event.
    pub(super) async fn happen_with(
        &mut self,
        happenings: &[Happening],
        learned: &Learned,
        mut batch: Batch,
    ) -> Result<Option<u64>, Refusal> {
        let at = Timestamp::now();
        let before = self.known.clone();
        let mut changed = self.learn(learned);
        let has_event = !batch.events.is_empty();
        self.close_by_happenings(happenings, &mut batch);
        for happening in happenings {
            // An agent whose hook waits for us takes itself for busy.
            if matches!(happening, Happening::Seen { activity: Activity::Busy, .. })
                && self.approvals.hold_a_tool()
            {
                continue;
            }
            if self.approvals.refute(happening, &batch.closings) {
                continue;
            }
            if *happening == Happening::Ready && self.must_show_prompt() {
                self.looks.expect_prompt();
                continue;
            }
            match happening {
                Happening::Launched => {
                    (self.known.turn, self.known.input_is_dirty) = (Turn::Over, false);
                    self.looks.forget_prompt();
                }
                Happening::Ready => self.looks.said_ready = None,
                Happening::PromptTaken => {
                    (self.known.turn, self.known.input_is_dirty) = (Turn::On, false);
                }
                Happening::Interrupted => {
                    (self.known.turn, self.known.input_is_dirty) = (Turn::Over, true);
                }
                Happening::TurnEnded | Happening::TurnFailed { .. } => {
                    self.known.turn = Turn::Over;
                    self.turn_to_write = self.provider.dialect().tells_turn_is_written().then(Instant::now);
                }
                _ => {}
            }
            if let Some(next) = step(&self.known.row.standing, happening, at) {
                let before = &self.known.row.standing;
                if before.state == State::Running && next.state != State::Running {
                    // Nobody knows when: it may have been long ago.
                    let is_unseen = matches!(happening, Happening::Exited { exit: Exit::Unseen, .. });
                    let end = if is_unseen { self.known.row.updated_at } else { at };
                    batch.worked.push((before.since, end));
                }
                let from = before.state.word();
                self.known.row.standing = next;
                self.known.launch.was_prompted |= *self.known.state() == State::Running;
                let standing = &self.known.row.standing;
                let payload = json!({
                    "from": from, "state": standing.state.word(), "status": standing.state.status(),
                    "reason": standing.reason, "detail": standing.state, "cause": happening.word(),
                });
                let event = self.event("session", "state", payload);
                batch.events.push(event);
                changed = true;
            }
        }
        // However it became known: an agent that goes on was answered, and one that is idle asks nothing any more.
        match (&before.row.standing.state, self.known.state()) {
            (State::Idle, _) => {}
            (_, State::Idle) => self.close_by_happenings(&[Happening::TurnEnded], &mut batch),
            (State::Waiting(open), State::Running) => {
                let about = Some(open.about.clone());
                self.close_by_happenings(&[Happening::Answered { about }], &mut batch);
            }
            _ => {}
        }
        changed |= (self.known.turn, self.known.input_is_dirty) != (before.turn, before.input_is_dirty);
        if batch.is_empty() && !changed {
            return Ok(None);
        }
        match self.store(batch).await {
            Ok(appended) if has_event => match appended.first() {
                Some(Appended::New(seq)) => Ok(Some(*seq)),
                _ => {
                    // A duplicate: the store undid nothing, but its happenings are old news.
                    self.known = before;
                    Ok(None)
                }
            },
            Ok(_) => Ok(None),
            Err(refusal) => {
                self.known = before;
                Err(refusal)
            }
        }
    }

    pub(super) async fn happen_or_log(&mut self, happenings: &[Happening], event: Option<NewEvent>) {
        if let Err(refusal) = self.happen(happenings, &Learned::default(), event).await {
            tracing::error!(%refusal, session = %self.known.row.id, "a change could not be stored");
        }
    }

    pub(super) async fn store_or_log(&mut self) {
        if let Err(refusal) = self.store(Vec::new()).await {
            tracing::error!(%refusal, session = %self.known.row.id, "a change could not be stored");
        }
    }

    /// Stores the session and the events in one transaction, then publishes and announces. When the first
    /// event was known before, nothing is stored at all.
    pub(super) async fn store(&mut self, batch: impl Into<Batch>) -> Result<Vec<Appended>, Refusal> {
        let Batch { events: new, approvals: questions, audit: entries, worked, closings } = batch.into();
        // Most hooks change nothing of it but the moment, which then is not stored.
        let is_same = self.stored.as_ref().is_some_and(|stored| stored.is_stored_like(&self.known));
        self.known.row.updated_at = Timestamp::now();
        let changed = (!is_same).then(|| self.known.to_row());
        let is_audited = !entries.is_empty();
        let (new, appended) = self
            .app
            .store
            .write(move |tx| {
                let mut appended = Vec::new();
                for event in &new {
                    let outcome = events::append(tx, event)?;
                    appended.push(outcome);
                    if let Appended::Known(_) = outcome {
                        return Ok((new, appended));
                    }
                }
                for question in &questions {
                    approvals::put(tx, question)?;
                }
                for entry in &entries {
                    audit::append(tx, entry)?;
                }
                for (from, to) in worked {
                    work::add(tx, from, to)?;
                }
                if let Some(row) = &changed {
                    sessions::update(tx, row)?;
                }
                Ok((new, appended))
            })
            .await
            .map_err(|error| {
                let text = error.to_string();
                match text.contains("UNIQUE constraint failed: sessions.name") {
                    true => Refusal::new(Fault::Conflict, "another session has this name already"),
                    false => internal("storing the session", text),
                }
            })?;
        self.publish.send_replace(self.known.share());
        let is_stored = !matches!(appended.first(), Some(Appended::Known(_)));
        if is_stored {
            self.stored = Some(self.known.clone());
        }
        if is_audited {
            self.app.audited.send_replace(());
        }
        for (number, says) in closings.into_iter().filter(|_| is_stored) {
            if let Some(call) = self.approvals.forget(number, &says) {
                self.calls.decided(&call, Timestamp::now());
            }
        }
        for (event, outcome) in new.into_iter().zip(&appended) {
            if let Appended::New(seq) = outcome {
                self.app.bus.announce(StoredEvent { seq: *seq, event });
            }
        }
        Ok(appended)
    }

    /// Takes over what was learned. Whether it was news.
    pub(super) fn learn(&mut self, learned: &Learned) -> bool {
        let Known { row, launch, process, .. } = &*self.known;
        // A path from an agent is only believed inside the provider's own folder.
        let home = process.as_ref().and_then(|process| process.transcript_folder.as_deref());
        let may_be_believed = |path: &&String| home.is_some_and(|home| lies_in(Path::new(path), home));
        let is_new = |known: &Option<String>, told: Option<&String>| told.is_some() && known.as_ref() != told;
        let path = learned.transcript_path.as_ref();
        let path = path.filter(|path| is_new(&row.transcript_path, Some(path))).filter(may_be_believed);
        let (conversation, model) = (learned.provider_session.as_ref(), learned.model.as_ref());
        let is_first_prompt = learned.was_prompted && !launch.was_prompted;
        let is_news = path.is_some()
            || is_new(&row.provider_session, conversation)
            || is_new(&row.model, model)
            || is_first_prompt;
        if is_news {
            let Known { row, launch, .. } = &mut *self.known;
            let told = [
                (&mut row.transcript_path, path),
                (&mut row.provider_session, conversation),
                (&mut row.model, model),
            ];
            for (field, told) in told {
                *field = told.cloned().or(field.take());
            }
            launch.was_prompted |= is_first_prompt;
        }
        is_news
    }

    pub(super) fn event(&self, source: &str, kind: &str, payload: Value) -> NewEvent {
        NewEvent {
            session: self.known.row.id.clone(),
            at: Timestamp::now(),
            source: source.into(),
            kind: shorten(kind, 100),
            payload,
            uid: None,
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        let _nobody_waits = self.signals.send(signal);
    }
}

/// Whether a path lies in a folder. Neither needs to be there yet: links are resolved as far as they exist.
fn lies_in(path: &Path, folder: &Path) -> bool {
    !has_parent_parts(path) && path.is_absolute() && resolved(path).starts_with(resolved(folder))
}

fn has_parent_parts(path: &Path) -> bool {
    path.components().any(|part| part == std::path::Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::path::PathBuf;

    #[test]
    fn a_transcript_is_only_believed_inside_the_providers_folder() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("projects");
        let check = |path: PathBuf, expected: bool| assert_eq!(lies_in(&path, &home), expected, "{path:?}");
        check(home.join("p/x.jsonl"), true); // before the first prompt nothing of it exists
        check(folder.path().join("x.jsonl"), false);
        check(home.join("../secret"), false);
        check("projects/x.jsonl".into(), false);
        std::fs::create_dir(&home).unwrap();
        check(home.join("p/x.jsonl"), true);
        std::os::unix::fs::symlink("/etc", home.join("link")).unwrap();
        check(home.join("link/passwd"), false);
    }
}
