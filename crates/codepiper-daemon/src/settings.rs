//! The daemon's settings as they are kept: read one by one where they are obeyed, changed together or not at all.

use crate::app::App;
use crate::sessions::internal;
use crate::{budgets, notifications};
pub(crate) use codepiper_api::settings::{
    APPROVAL_ON_EXPIRY, APPROVAL_SECONDS, AUDIT_DAYS, DAILY_BUDGET, DEFAULT_POLICY_ACTION,
    ENDED_SESSION_HOURS, FORWARD_SSH_AUTH_SOCK, NOTIFICATION_COOLDOWN_SECONDS, NOTIFICATION_DAYS,
    NOTIFICATION_DWELL_SECONDS, NOTIFICATION_EVENT_DEFAULTS, NOTIFICATIONS_ENABLED, PRESERVE_SESSIONS,
    RESUME_AFTER_REBOOT,
};

use codepiper_api::Refusal;
use codepiper_api::settings::{SETTINGS, Setting};
use codepiper_store::audit::{self, NewEntry};
use codepiper_store::{Transaction, settings};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// One setting; its default when it was never set or cannot be read.
pub(crate) async fn get(app: &App, name: &'static str) -> Value {
    let default = || Setting::find(name).map_or(Value::Null, |setting| (setting.default)());
    match app.store.read(move |c| settings::get(c, name)).await {
        Ok(value) => value.unwrap_or_else(default),
        Err(error) => {
            tracing::warn!(%error, name, "a setting cannot be read");
            default()
        }
    }
}

/// All settings.
pub(crate) async fn all(app: &App) -> Map<String, Value> {
    let mut all = Map::new();
    for setting in &SETTINGS {
        all.insert(setting.name.into(), get(app, setting.name).await);
    }
    all
}

/// Changes some. What is not ours to know is left alone: the original's clients send more.
pub(crate) async fn change(app: &App, wanted: &Map<String, Value>) -> Result<(), Refusal> {
    let changes_fallback = wanted.contains_key(DEFAULT_POLICY_ACTION);
    let mut changes = Vec::new();
    for setting in &SETTINGS {
        let Some(value) = wanted.get(setting.name) else { continue };
        if !(setting.holds)(value) {
            return Err(Refusal::field(setting.name, setting.rule));
        }
        changes.push((setting.name, value.clone()));
    }
    app.store
        .write(move |tx| {
            for (name, value) in &changes {
                if ON_RECORD.contains(name) {
                    record(tx, name, value)?;
                }
                settings::set(tx, name, value)?;
            }
            Ok(())
        })
        .await
        .map_err(|error| internal("storing the settings", error))?;
    app.audited.send_replace(());
    budgets::keep_daily(app).await;
    notifications::keep_rules(app).await;
    if changes_fallback {
        app.policies.reload(&app.store).await?;
    }
    Ok(())
}

/// Settings that decide calls, or what of them stays on record: changes of them stand in the audit log.
const ON_RECORD: [&str; 4] = [APPROVAL_ON_EXPIRY, AUDIT_DAYS, DAILY_BUDGET, DEFAULT_POLICY_ACTION];

fn record(tx: &Transaction<'_>, name: &str, value: &Value) -> codepiper_store::Result<()> {
    let before = settings::get(tx, name)?
        .or_else(|| Setting::find(name).map(|setting| (setting.default)()))
        .unwrap_or_default();
    if before == *value {
        return Ok(());
    }
    let body = json!({
        "change": "setting changed", "name": name, "by": "the owner, through the socket", "before": before,
        "after": value,
    });
    let (at, kind) = (Timestamp::now(), "change".to_owned());
    audit::append(tx, &NewEntry { at, session: None, kind, tool: None, decision: None, body })?;
    Ok(())
}
