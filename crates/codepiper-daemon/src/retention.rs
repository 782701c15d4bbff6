//! Ended sessions leave the list after a while. Their events stay; the audit log has a time of its own.

use crate::app::App;
use crate::policies::session_gone;
use crate::sessions::Sessions;
use crate::settings;
use codepiper_store::{audit, live, notifications};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// How often the list is looked over. Retention is meant in hours.
const INTERVAL: Duration = Duration::from_secs(10 * 60);

/// Looks the list over, now and from time to time.
pub(crate) async fn run(app: Arc<App>, sessions: Sessions) {
    loop {
        let hours = settings::get(&app, settings::ENDED_SESSION_HOURS).await;
        let keep = Duration::from_secs_f64(hours.as_f64().unwrap_or(24.0).max(0.0) * 3_600.0);
        let oldest = Timestamp::now().checked_sub(keep).unwrap_or(Timestamp::MIN);
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
    let days = settings::get(app, settings::NOTIFICATION_DAYS).await.as_f64().unwrap_or(30.0);
    let keep = Duration::from_secs_f64(days.max(1.0) * 86_400.0);
    let oldest = Timestamp::now().checked_sub(keep).unwrap_or(Timestamp::MIN);
    let dropped = app.store.write(move |tx| {
        live::drop_removed(tx)?;
        notifications::drop_before(tx, oldest)
    });
    if let Err(error) = dropped.await {
        tracing::warn!(%error, "old notifications stay");
    }
}

async fn drop_old_audit(app: &App) {
    let days = settings::get(app, settings::AUDIT_DAYS).await.as_f64().unwrap_or(365.0);
    let keep = Duration::from_secs_f64(days.max(1.0) * 86_400.0);
    let oldest = Timestamp::now().checked_sub(keep).unwrap_or(Timestamp::MIN);
    match app.store.write(move |tx| audit::drop_before(tx, oldest)).await {
        Ok(0) => {}
        Ok(dropped) => tracing::info!(dropped, "audit entries have reached their age"),
        Err(error) => tracing::warn!(%error, "old audit entries stay"),
    }
}
