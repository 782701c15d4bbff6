//! At the daemon's start: the sessions on the list against what is really there.
//!
//! Only what our database knows is touched. A `codepiper-…` session of tmux that it does not know belongs to
//! somebody else: another daemon, another database, a backup.

use super::Sessions;
use super::actor::{Approvals, Command};
use super::known::{Known, PaneRecord};
use super::launch::{Folder, pipe_command};
use super::model::finish_interrupted_switch;
use crate::pane::read_run_file;
use crate::processes;
use anyhow::{Context, Result};
use codepiper_core::approval::Standing;
use codepiper_core::ids::SessionId;
use codepiper_core::provider::Provider;
use codepiper_store::approvals::ApprovalRow;
use codepiper_store::{approvals, sessions};
use codepiper_tmux::Pane;
use std::collections::HashMap;

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
        let panes = match self.app.tmux.panes().await {
            Ok(panes) => panes,
            Err(error) => {
                tracing::warn!(%error, "tmux cannot be asked which sessions are there");
                Vec::new()
            }
        };
        let mut open = self.open_approvals().await?;
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
            let approvals = open.remove(&id).unwrap_or_default();
            self.adopt_one(known, provider, approvals, &panes, &mut adopted).await;
            let app = self.app.clone();
            tokio::spawn(async move { finish_interrupted_switch(&app, &id).await });
        }
        Ok(adopted)
    }

    /// The questions that wait, by session, and the number the next one follows.
    async fn open_approvals(&self) -> Result<HashMap<SessionId, Approvals>> {
        let read = self.app.store.read(|connection| {
            let mut open: HashMap<SessionId, Vec<ApprovalRow>> = HashMap::new();
            for row in approvals::list(connection, None, Some(Standing::Open), u32::MAX)? {
                open.entry(row.id.session().clone()).or_default().push(row);
            }
            let last = approvals::last_numbers(connection)?;
            Ok(last
                .into_iter()
                .map(|(session, last)| {
                    let rows = open.remove(&session).unwrap_or_default();
                    (session, Approvals::from_stored(rows, last))
                })
                .collect())
        });
        read.await.context("reading the open approvals")
    }

    async fn adopt_one(
        &self,
        mut known: Known,
        provider: Provider,
        approvals: Approvals,
        panes: &[Pane],
        adopted: &mut Adopted,
    ) {
        let id = known.row.id.clone();
        let name = id.tmux_name();
        let pane = panes.iter().find(|pane| pane.session == name);
        if pane.is_some() {
            self.app.tmux.adopt(&name);
        }
        if !known.state().is_live() {
            self.spawn(known, provider, approvals);
            return;
        }
        let run_file = read_run_file(&Folder(self.app.config.session_folder(&id)).run_file());
        let run =
            known.process.as_ref().and_then(|process| run_file.filter(|run| run.launch == process.launch));
        if let (Some(process), Some(run)) = (&mut known.process, &run) {
            process.supervisor = Some(run.supervisor);
            process.agent = run.agent;
        }
        if !run.is_some_and(|run| run.exit.is_none() && processes::is_alive(run.supervisor)) {
            let launch = known.process.as_ref().map(|process| process.launch.clone());
            let handle = self.spawn(known, provider, approvals);
            adopted.ended += 1;
            match handle.ask(|reply| Command::ProcessGone { launch, reply }).await {
                Ok(()) => adopted.brought_back += usize::from(handle.known().state().is_live()),
                Err(refusal) => tracing::error!(%refusal, session = %id, "its end could not be stored"),
            }
            return;
        }
        if let (Some(process), Some(pane)) = (&mut known.process, pane) {
            process.pane = Some(PaneRecord { id: pane.id.clone(), server: pane.server });
        }
        let pipe = pipe_command(&self.app, &known);
        self.spawn(known, provider, approvals);
        adopted.live += 1;
        if let Some(pane) = pane.filter(|pane| !pane.piped)
            && let Err(error) = self.app.tmux.pipe(&pane.id, &pipe).await
        {
            tracing::warn!(%error, session = %id, "its output is not recorded");
        }
    }
}
