//! Ended sessions leave the list after a while. Their events stay.

use crate::app::App;
use crate::policies::session_gone;
use crate::sessions::Sessions;
use crate::settings;
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
        tokio::time::sleep(INTERVAL).await;
    }
}
