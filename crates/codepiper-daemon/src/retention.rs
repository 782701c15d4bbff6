//! Ended sessions leave the list after a while. Their events stay; the audit log has a time of its own.

use crate::app::App;
use crate::policies::session_gone;
use crate::sessions::Sessions;
use crate::settings;
use codepiper_store::{audit, live, notifications};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// How often the list is looked over. Retention is meant in hours.
const INTERVAL: Duration = Duration::from_secs(10 * 60);

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Looks the list over, now and from time to time.
pub(crate) async fn run(app: Arc<App>, sessions: Sessions) {
    loop {
        let oldest = oldest_kept(&app, settings::ENDED_SESSION_HOURS, HOUR).await;
        for known in sessions.list() {
            let is_over = !known.state().is_live() && known.row.standing.since < oldest;
            if is_over && let Ok(handle) = sessions.find(known.row.id.as_str()) {
                let left = match sessions.remove(&handle).await {
                    Ok(_) => session_gone(&app, &handle.id).await,
                    Err(refusal) => Err(refusal),
                };
                match left {
                    Ok(()) => tracing::info!(session = %handle.id, "left the list"),
                    Err(refusal) => tracing::warn!(%refusal, session = %handle.id, "stays on the list"),
                }
            }
        }
        drop_old_audit(&app).await;
        drop_old_notifications(&app).await;
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn drop_old_notifications(app: &App) {
    let oldest = oldest_kept(app, settings::NOTIFICATION_DAYS, DAY).await;
    let dropped = app.store.write(move |tx| {
        live::drop_removed(tx)?;
        notifications::drop_before(tx, oldest)
    });
    if let Err(error) = dropped.await {
        tracing::warn!(%error, "old notifications stay");
    }
}

async fn drop_old_audit(app: &App) {
    let oldest = oldest_kept(app, settings::AUDIT_DAYS, DAY).await;
    match app.store.write(move |tx| audit::drop_before(tx, oldest)).await {
        Ok(0) => {}
        Ok(dropped) => tracing::info!(dropped, "audit entries have reached their age"),
        Err(error) => tracing::warn!(%error, "old audit entries stay"),
    }
}

/// The time before which things go, by a setting that counts `unit`s. What has no time that long ago is kept for ever.
async fn oldest_kept(app: &App, setting: &'static str, unit: SignedDuration) -> Timestamp {
    let units = settings::get(app, setting).await.as_f64().filter(|units| *units >= 0.0).unwrap_or(f64::MAX);
    SignedDuration::try_from_secs_f64(units * unit.as_secs_f64())
        .ok()
        .and_then(|keep| Timestamp::now().checked_sub(keep).ok())
        .unwrap_or(Timestamp::MIN)
}
