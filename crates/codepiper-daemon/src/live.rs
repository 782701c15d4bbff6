//! What is known of live sessions beside their state: how full the context is, what they cost so far, what the service
//! still allows. Kept in memory, because every list shows it, and in the store for the next daemon.

use crate::app::App;
use codepiper_api::sessions::{LiveView, ProviderLimits};
use codepiper_core::budget::Spent;
use codepiper_core::ids::SessionId;
use codepiper_core::live::{Figures, Limit, NEAR_PERCENT};
use codepiper_core::pricing::Money;
use codepiper_store::knowledge::{self, Spender};
use codepiper_store::{StoreError, live};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The figures of all sessions.
#[derive(Default)]
pub(crate) struct Live {
    known: Mutex<Known>,
    limits_told: watch::Sender<()>,
}

#[derive(Default)]
struct Known {
    sessions: BTreeMap<SessionId, Session>,
    limits: BTreeMap<(String, u32), Limit>,
}

#[derive(Default)]
struct Session {
    figures: Figures,
    spent: Spent,
}

impl Live {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the next limit begins anew of which enough was used to tell.
    pub(crate) fn next_reset(&self) -> Option<Timestamp> {
        let known = self.lock();
        known
            .limits
            .values()
            .filter(|limit| limit.used_percent >= NEAR_PERCENT)
            .filter_map(|limit| limit.resets_at)
            .min()
    }

    /// Takes out the limits that have begun anew; those of which enough was used to tell.
    pub(crate) fn take_resets(&self, now: Timestamp) -> Vec<(String, Limit)> {
        let mut known = self.lock();
        let all = std::mem::take(&mut known.limits);
        let (hold, over) = all.into_iter().partition(|(_, limit)| limit.holds(now));
        known.limits = hold;
        let over: BTreeMap<(String, u32), Limit> = over;
        let over = over.into_iter().map(|((provider, _), limit)| (provider, limit));
        over.filter(|(_, limit)| limit.used_percent >= NEAR_PERCENT).collect()
    }

    /// Ticks when a limit was told.
    pub(crate) fn limits_told(&self) -> watch::Receiver<()> {
        self.limits_told.subscribe()
    }

    /// What clients see of a session. Limits that began anew since they were told are left out.
    pub(crate) fn view(&self, session: &SessionId, now: Timestamp) -> Option<LiveView> {
        let known = self.lock();
        let Session { figures, spent } = known.sessions.get(session)?;
        let limits = figures.limits.iter().filter(|limit| limit.holds(now)).copied().collect();
        Some(LiveView { context: figures.context, spent: *spent, limits })
    }

    /// The limits of all providers that hold now.
    pub(crate) fn limits(&self, now: Timestamp) -> Vec<ProviderLimits> {
        let known = self.lock();
        let mut all: Vec<ProviderLimits> = Vec::new();
        for ((provider, _), limit) in known.limits.iter().filter(|(_, limit)| limit.holds(now)) {
            match all.last_mut().filter(|last| last.provider == *provider) {
                Some(last) => last.limits.push(*limit),
                None => all.push(ProviderLimits { provider: provider.clone(), limits: vec![*limit] }),
            }
        }
        all
    }
}

/// Takes over what the daemon before knew.
pub(crate) async fn begin(app: &App) {
    let read = app.store.read(|db| Ok((live::all(db)?, live::limits(db)?))).await;
    match read {
        Ok((figures, limits)) => {
            let mut known = app.live.lock();
            known.limits =
                limits.into_iter().map(|one| ((one.provider, one.limit.minutes), one.limit)).collect();
            for (session, figures) in figures {
                known.sessions.entry(session).or_default().figures = figures;
            }
        }
        Err(error) => {
            tracing::warn!(%error, "the figures of live sessions are not known until they are told again")
        }
    }
}

/// Takes what an agent told of itself.
pub(crate) async fn told(app: &App, session: &SessionId, provider: &str, figures: Figures) {
    let figures = {
        let mut known = app.live.lock();
        let entry = &mut known.sessions.entry(session.clone()).or_default().figures;
        let before = entry.clone();
        entry.update(figures);
        let after = entry.clone();
        if after == before {
            return;
        }
        for limit in &after.limits {
            known.limits.insert((provider.to_owned(), limit.minutes), *limit);
        }
        after
    };
    let has_limits = !figures.limits.is_empty();
    let (id, provider) = (session.clone(), provider.to_owned());
    let stored = app.store.write(move |tx| live::put(tx, &id, &provider, &figures, Timestamp::now())).await;
    if let Err(error) = stored {
        tracing::warn!(%error, %session, "the figures of a session are not kept");
    }
    if has_limits {
        app.live.limits_told.send_replace(());
    }
}

/// Adds up what these sessions took before this daemon began.
pub(crate) async fn count_all(app: Arc<App>, sessions: Vec<Arc<crate::sessions::Known>>) {
    for known in sessions {
        count(&app, &known.row.id).await;
    }
}

/// Adds up anew what all sessions took that are known: it is priced otherwise now.
pub(crate) async fn recount(app: &App) {
    let sessions: Vec<SessionId> = app.live.lock().sessions.keys().cloned().collect();
    for session in sessions {
        count(app, &session).await;
    }
}

/// Adds up what a session took so far.
pub(crate) async fn count(app: &App, session: &SessionId) {
    let spender = Spender::Session(session.clone());
    let read: Result<_, StoreError> = app.store.read(move |db| knowledge::spent(db, &spender)).await;
    match read {
        Ok((cost, unpriced, tokens)) => {
            let spent = Spent { cost: Money(cost), unpriced, tokens, seconds: 0 };
            app.live.lock().sessions.entry(session.clone()).or_default().spent = spent;
        }
        Err(error) => tracing::warn!(%error, %session, "what a session took is not known"),
    }
}

/// Forgets a session that has left the list.
pub(crate) fn forget(app: &App, session: &SessionId) {
    app.live.lock().sessions.remove(session);
}
