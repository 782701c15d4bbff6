//! At the daemon's start: the sessions on the list against what is really there.
//!
//! Only what our database knows is touched. A `codepiper-…` session of tmux that it does not know belongs to
//! somebody else: another daemon, another database, a backup.

use super::actor::Command;
use super::known::{Known, PaneRecord};
use super::launch::{Folder, pipe_command};
use super::model::finish_interrupted_switch;
use super::{Handle, Sessions};
use crate::pane::read_run_file;
use crate::processes;
use crate::settings;
use anyhow::{Context, Result};
use codepiper_core::hook::Learned;
use codepiper_core::provider::Provider;
use codepiper_core::session::{Exit, Happening};
use codepiper_store::sessions;
use codepiper_tmux::Pane;
use serde_json::json;

/// What was found at the start.
#[derive(Debug, Default, Clone, Copy)]
pub struct Adopted {
    /// Sessions whose agent still ran.
    pub live: usize,
    /// Sessions whose agent had ended meanwhile.
    pub ended: usize,
    /// Sessions that were brought back.
    pub brought_back: usize,
}

impl Sessions {
    /// Takes over the sessions on the list.
    pub async fn adopt(&self) -> Result<Adopted> {
        let rows = self.app.store.read(sessions::list).await.context("reading the sessions")?;
        let come_back = settings::get(&self.app, settings::RESUME_AFTER_REBOOT).await != json!(false);
        let (panes, come_back) = match self.app.tmux.panes().await {
            Ok(panes) => (panes, come_back),
            Err(error) => {
                tracing::warn!(%error, "tmux cannot be asked which sessions are there; none is brought back");
                (Vec::new(), false)
            }
        };
        let mut adopted = Adopted::default();
        for row in rows {
            let id = row.id.clone();
            let known = match Known::from_row(row) {
                Ok(known) => known,
                Err(error) => {
                    tracing::error!(%error, session = %id, "a stored session cannot be understood");
                    continue;
                }
            };
            let provider = match self.app.providers.find(&known.row.provider) {
                Ok(provider) => provider.clone(),
                Err(refusal) => {
                    tracing::error!(%refusal, session = %id, "the provider of a session is gone");
                    continue;
                }
            };
            self.adopt_one(known, provider, &panes, come_back, &mut adopted).await;
            let app = self.app.clone();
            tokio::spawn(async move { finish_interrupted_switch(&app, &id).await });
        }
        Ok(adopted)
    }

    async fn adopt_one(
        &self,
        mut known: Known,
        provider: Provider,
        panes: &[Pane],
        come_back: bool,
        adopted: &mut Adopted,
    ) {
        let id = known.row.id.clone();
        let name = id.tmux_name();
        let pane = panes.iter().find(|pane| pane.session == name);
        if pane.is_some() {
            self.app.tmux.adopt(&name);
        }
        if !known.state().is_live() {
            self.spawn(known, provider);
            return;
        }
        let run_file = read_run_file(&Folder(self.app.config.session_folder(&id)).run_file());
        let run =
            known.process.as_ref().and_then(|process| run_file.filter(|run| run.launch == process.launch));
        let is_alive =
            run.as_ref().is_some_and(|run| run.exit.is_none() && processes::is_alive(run.supervisor));
        let has_ended = run.as_ref().is_some_and(|run| run.exit.is_some());
        if let (Some(process), Some(run)) = (&mut known.process, &run) {
            process.supervisor = Some(run.supervisor);
            process.agent = run.agent;
        }
        let same_server = match (known.pane(), pane) {
            (Some(old), Some(pane)) => old.server == pane.server,
            (Some(old), None) => panes.iter().any(|pane| pane.server == old.server),
            (None, _) => pane.is_some(),
        };
        if let (Some(process), Some(pane)) = (&mut known.process, pane) {
            process.pane = Some(PaneRecord { id: pane.id.clone(), server: pane.server });
        }
        let requested = known.row.end_requested.is_some();
        let pipe = pipe_command(&self.app, &known);
        let handle = self.spawn(known, provider);
        if is_alive || (has_ended && (same_server || requested)) {
            // Its task reads the run file and hears of the end, if that is what happened.
            adopted.live += usize::from(is_alive);
            adopted.ended += usize::from(!is_alive);
            if let Some(pane) = pane.filter(|pane| is_alive && !pane.piped)
                && let Err(error) = self.app.tmux.pipe(&pane.id, &pipe).await
            {
                tracing::warn!(%error, session = %id, "its output is not recorded");
            }
            return;
        }
        let is_lost = !same_server && !requested;
        self.mark_ended(&handle, is_lost, requested).await;
        adopted.ended += 1;
        if is_lost && come_back {
            match handle.ask(|reply| Command::Resume { reply }).await {
                Ok(()) => adopted.brought_back += 1,
                Err(refusal) => tracing::warn!(%refusal, session = %id, "a session was not brought back"),
            }
        }
    }

    /// Tells a session that its process is gone without a word.
    async fn mark_ended(&self, handle: &Handle, is_lost: bool, requested: bool) {
        let payload = json!({ "exit": Exit::Unseen, "tmuxServerLost": is_lost, "whileDaemonWasDown": true });
        let happening = Happening::Exited { exit: Exit::Unseen, requested };
        let told = handle
            .ask(|reply| Command::Note {
                happenings: vec![happening],
                learned: Learned::default(),
                event: Some(("session", "exited", payload)),
                reply,
            })
            .await;
        if let Err(refusal) = told {
            tracing::error!(%refusal, session = %handle.id, "its end could not be stored");
        }
    }
}
