//! The daemon's settings as they are kept: read one by one where they are obeyed, changed together or not at all.

use crate::app::App;
use crate::sessions::internal;
pub(crate) use codepiper_api::settings::{
    APPROVAL_ON_EXPIRY, APPROVAL_SECONDS, DEFAULT_POLICY_ACTION, ENDED_SESSION_HOURS, FORWARD_SSH_AUTH_SOCK,
    PRESERVE_SESSIONS, RESUME_AFTER_REBOOT,
};

use codepiper_api::Refusal;
use codepiper_api::settings::{SETTINGS, Setting};
use codepiper_store::settings;
use serde_json::{Map, Value};

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
        .write(move |tx| changes.iter().try_for_each(|(name, value)| settings::set(tx, name, value)))
        .await
        .map_err(|error| internal("storing the settings", error))?;
    if changes_fallback {
        app.policies.reload(&app.store).await?;
    }
    Ok(())
}
