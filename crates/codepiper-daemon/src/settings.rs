//! The daemon's settings: names, what they may be, what they are when nobody said anything.

use crate::app::App;
use crate::sessions::internal;
use codepiper_api::Refusal;
use codepiper_store::settings;
use serde_json::{Map, Value, json};

/// Whether sessions go on when the daemon ends.
pub(crate) const PRESERVE_SESSIONS: &str = "preserveSessions";

/// Whether sessions come back after tmux or the machine went away.
pub(crate) const RESUME_AFTER_REBOOT: &str = "resumeAfterReboot";

/// How many hours ended sessions stay on the list.
pub(crate) const ENDED_SESSION_HOURS: &str = "endedSessionHours";

/// The longest that ended sessions may stay, in hours: ten years.
const HOURS_MAX: f64 = 87_600.0;

struct Setting {
    name: &'static str,
    default: fn() -> Value,
    rule: &'static str,
    holds: fn(&Value) -> bool,
}

const SETTINGS: [Setting; 3] = [
    Setting {
        name: PRESERVE_SESSIONS,
        default: || json!(true),
        rule: "must be true or false",
        holds: Value::is_boolean,
    },
    Setting {
        name: RESUME_AFTER_REBOOT,
        default: || json!(true),
        rule: "must be true or false",
        holds: Value::is_boolean,
    },
    Setting {
        name: ENDED_SESSION_HOURS,
        default: || json!(24),
        rule: "must be a number of hours from 0 to 87,600",
        holds: |value| value.as_f64().is_some_and(|hours| (0.0..=HOURS_MAX).contains(&hours)),
    },
];

/// One setting; its default when it was never set or cannot be read.
pub(crate) async fn get(app: &App, name: &'static str) -> Value {
    let default =
        || SETTINGS.iter().find(|setting| setting.name == name).map_or(Value::Null, |s| (s.default)());
    match app.store.read(move |c| settings::get(c, name)).await {
        Ok(value) => value.unwrap_or_else(default),
        Err(error) => {
            tracing::warn!(%error, name, "a setting cannot be read");
            default()
        }
    }
}

/// All settings.
pub(crate) async fn all(app: &App) -> Value {
    let mut all = Map::new();
    for setting in &SETTINGS {
        all.insert(setting.name.into(), get(app, setting.name).await);
    }
    Value::Object(all)
}

/// Changes some. What is not ours to know is left alone: the original's clients send more.
pub(crate) async fn change(app: &App, wanted: &Map<String, Value>) -> Result<(), Refusal> {
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
        .map_err(|error| internal("storing the settings", error))
}
