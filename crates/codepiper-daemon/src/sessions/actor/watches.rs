//! Folders whose changes matter now.

use super::Actor;
use crate::watch::Watched;
use std::path::PathBuf;

/// Folders whose changes matter now.
#[derive(Default)]
pub(super) struct Watches {
    pub(super) session: Option<Watched>,
    pub(super) spool: Option<Watched>,
    pub(super) recording: Option<Watched>,
    pub(super) state: Option<Watched>,
    pub(super) transcript: Option<Watched>,
}

impl Actor {
    /// Watches what matters in this state.
    pub(super) fn watch(&mut self) {
        let watch = |slot: &mut Option<Watched>, path: PathBuf| {
            if slot.is_none() && path.is_dir() {
                match self.app.watch.folder(&path) {
                    Ok(watched) => *slot = Some(watched),
                    Err(error) => tracing::warn!(%error, "changes will be missed"),
                }
            }
        };
        // Events may still be spooled after the end; the rest is over then.
        watch(&mut self.watches.spool, self.folder.spool());
        if self.is_placed() {
            watch(&mut self.watches.session, self.folder.0.clone());
        }
        self.watch_state_folder();
        self.follow_transcript();
    }

    /// Only while somebody needs to look: busy sessions would wake us thousands of times a second for nothing.
    pub(super) fn watch_recording(&mut self) {
        let is_needed = self.is_placed() && self.screen_matters() && !self.looks.is_flood;
        if is_needed != self.watches.recording.is_some() {
            let folder = self.folder.recording();
            self.watches.recording = is_needed.then(|| self.app.watch.folder(&folder).ok()).flatten();
        }
    }

    /// The agent makes its folder some time after its start: tried again with every event.
    pub(super) fn watch_state_folder(&mut self) {
        let folder = self.known.process.as_ref().and_then(|process| process.state_folder.clone());
        if let (None, Some(folder)) = (&self.watches.state, folder)
            && self.is_placed()
            && folder.is_dir()
        {
            self.watches.state = self.app.watch.folder(&folder).ok();
        }
    }
}

pub(super) async fn changed(watched: &mut Option<Watched>) {
    match watched {
        Some(watched) => watched.changed().await,
        None => std::future::pending().await,
    }
}
