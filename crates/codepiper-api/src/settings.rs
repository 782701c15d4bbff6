//! Settings of the daemon: what they are called, what they may be, what they are when nobody said anything.
//!
//! The daemon holds whoever sets one to its rule; the command knows from here which there are.

use codepiper_core::budget::Budget;
use codepiper_core::notification::Kind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Whether sessions go on when the daemon ends.
pub const PRESERVE_SESSIONS: &str = "preserveSessions";

/// Whether sessions come back after tmux or the machine went away.
pub const RESUME_AFTER_REBOOT: &str = "resumeAfterReboot";

/// How many hours ended sessions stay on the list.
pub const ENDED_SESSION_HOURS: &str = "endedSessionHours";

/// What happens to a call that no rule decides.
pub const DEFAULT_POLICY_ACTION: &str = "defaultPolicyAction";

/// How long a question waits for an answer from outside the agent's terminal, in seconds.
pub const APPROVAL_SECONDS: &str = "approvalSeconds";

/// What becomes of a question that nobody answered in that time.
pub const APPROVAL_ON_EXPIRY: &str = "approvalOnExpiry";

/// The longest that a question may wait, in seconds: the agents give a hook 7,200.
pub const APPROVAL_SECONDS_MAX: i64 = 7_000;
/// Whether agents get the person's SSH agent.
pub const FORWARD_SSH_AUTH_SOCK: &str = "forwardSshAuthSock";

/// What all sessions together may take in a day.
pub const DAILY_BUDGET: &str = "dailyBudget";

/// Whether anything is told at all.
pub const NOTIFICATIONS_ENABLED: &str = "notificationsEnabled";

/// Which kinds are told.
pub const NOTIFICATION_EVENT_DEFAULTS: &str = "notificationEventDefaults";

/// How long a state holds before it is told, in seconds.
pub const NOTIFICATION_DWELL_SECONDS: &str = "notificationDwellSeconds";

/// How long the same kind about the same session is not told again, in seconds.
pub const NOTIFICATION_COOLDOWN_SECONDS: &str = "notificationCooldownSeconds";

/// How many days notifications stay.
pub const NOTIFICATION_DAYS: &str = "notificationDays";

/// The longest that a notification may be held back, in seconds: a day.
const HOLD_BACK_MAX: f64 = 86_400.0;

/// How many days entries of the audit log stay.
pub const AUDIT_DAYS: &str = "auditDays";

/// The longest that audit entries may be kept by a number, in days: a century.
const DAYS_MAX: f64 = 36_500.0;

/// The longest that ended sessions may stay, in hours: ten years.
const HOURS_MAX: f64 = 87_600.0;

/// All settings, in alphabetical order.
pub const SETTINGS: [Setting; 14] = [
    Setting {
        name: APPROVAL_ON_EXPIRY,
        means: "what a question gets that nobody answered in time: the agent's own `prompt`, or `deny`",
        default: || json!("prompt"),
        rule: "must be \"prompt\" or \"deny\"",
        holds: |value| value == "prompt" || value == "deny",
    },
    Setting {
        name: APPROVAL_SECONDS,
        means: "seconds that a question waits for an answer from outside the agent's terminal",
        default: || json!(3_600),
        rule: "must be a whole number of seconds from 1 to 7,000",
        holds: |value| value.as_i64().is_some_and(|seconds| (1..=APPROVAL_SECONDS_MAX).contains(&seconds)),
    },
    Setting {
        name: AUDIT_DAYS,
        means: "days that entries of the audit log stay, whatever becomes of their sessions",
        default: || json!(365),
        rule: "must be a number of days from 1 to 36,500",
        holds: |value| value.as_f64().is_some_and(|days| (1.0..=DAYS_MAX).contains(&days)),
    },
    Setting {
        name: DAILY_BUDGET,
        means: "what all sessions together may take from midnight on before every tool call asks; {} is no limit",
        default: || json!({}),
        rule: "must be an object with `cost` in billionths of a dollar, `tokens` or `seconds`; `codepiper budget today 5usd` writes it",
        holds: |value| {
            serde_json::from_value::<Budget>(value.clone()).is_ok_and(|budget| budget.fault().is_none())
        },
    },
    Setting {
        name: DEFAULT_POLICY_ACTION,
        means: "a call that no rule decides: `ask` leaves it to the agent's own rules, `deny` refuses it",
        default: || json!("ask"),
        rule: "must be \"ask\" or \"deny\"",
        holds: |value| value == "ask" || value == "deny",
    },
    Setting {
        name: ENDED_SESSION_HOURS,
        means: "hours that ended sessions stay on the list; fractions count",
        default: || json!(24),
        rule: "must be a number of hours from 0 to 87,600",
        holds: |value| value.as_f64().is_some_and(|hours| (0.0..=HOURS_MAX).contains(&hours)),
    },
    Setting {
        name: FORWARD_SSH_AUTH_SOCK,
        means: "whether agents get your SSH agent; false keeps SSH_AUTH_SOCK from them",
        default: || json!(true),
        rule: "must be true or false",
        holds: Value::is_boolean,
    },
    Setting {
        name: NOTIFICATION_COOLDOWN_SECONDS,
        means: "seconds until the same kind of notification about the same session is told again",
        default: || json!(30),
        rule: "must be a number of seconds from 0 to 86,400",
        holds: is_hold_back,
    },
    Setting {
        name: NOTIFICATION_DAYS,
        means: "days that notifications stay, read or not",
        default: || json!(30),
        rule: "must be a number of days from 1 to 36,500",
        holds: |value| value.as_f64().is_some_and(|days| (1.0..=DAYS_MAX).contains(&days)),
    },
    Setting {
        name: NOTIFICATION_DWELL_SECONDS,
        means: "seconds that a session must stay as it is before that is told",
        default: || json!(3),
        rule: "must be a number of seconds from 0 to 86,400",
        holds: is_hold_back,
    },
    Setting {
        name: NOTIFICATION_EVENT_DEFAULTS,
        means: "kinds of notifications that are told or not; one that is not named is told",
        default: || json!({}),
        rule: "must be an object of kinds and true or false, as in {\"session.turn_completed\": false}",
        holds: |value| serde_json::from_value::<BTreeMap<Kind, bool>>(value.clone()).is_ok(),
    },
    Setting {
        name: NOTIFICATIONS_ENABLED,
        means: "whether anything is told of sessions that say nothing of it themselves",
        default: || json!(true),
        rule: "must be true or false",
        holds: Value::is_boolean,
    },
    Setting {
        name: PRESERVE_SESSIONS,
        means: "whether sessions go on when the daemon ends; false stops them with it",
        default: || json!(true),
        rule: "must be true or false",
        holds: Value::is_boolean,
    },
    Setting {
        name: RESUME_AFTER_REBOOT,
        means: "whether sessions that tmux or the machine took away are brought back",
        default: || json!(true),
        rule: "must be true or false",
        holds: Value::is_boolean,
    },
];

fn is_hold_back(value: &Value) -> bool {
    value.as_f64().is_some_and(|seconds| (0.0..=HOLD_BACK_MAX).contains(&seconds))
}

/// A setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// What it is called, on the wire and on the command line.
    pub name: &'static str,
    /// What it decides, in a line.
    pub means: &'static str,
    /// What it is when nobody said anything.
    pub default: fn() -> Value,
    /// What it may be, as it follows its name in a refusal.
    pub rule: &'static str,
    /// Whether a value keeps the rule.
    pub holds: fn(&Value) -> bool,
}

impl Setting {
    /// The one with this name.
    pub fn find(name: &str) -> Option<Self> {
        SETTINGS.into_iter().find(|setting| setting.name == name)
    }
}

/// `GET` and `PUT /settings/daemon`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingsBody {
    /// All of them, by name.
    pub settings: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_held_to_its_rule() {
        let check = |name: &str, value: Value, good: bool| {
            let setting = Setting::find(name).unwrap();
            assert_eq!((setting.holds)(&value), good, "{name} = {value}");
        };
        for name in [FORWARD_SSH_AUTH_SOCK, PRESERVE_SESSIONS, RESUME_AFTER_REBOOT] {
            check(name, json!(true), true);
            check(name, json!(false), true);
            check(name, json!("true"), false);
            check(name, json!(1), false);
            check(name, Value::Null, false);
        }
        check(ENDED_SESSION_HOURS, json!(0), true);
        check(ENDED_SESSION_HOURS, json!(0.5), true);
        check(ENDED_SESSION_HOURS, json!(87_600), true);
        check(ENDED_SESSION_HOURS, json!(87_601), false);
        check(ENDED_SESSION_HOURS, json!(-1), false);
        check(ENDED_SESSION_HOURS, json!("24"), false);
    }

    #[test]
    fn defaults_keep_their_own_rule_and_names_are_sorted() {
        assert!(SETTINGS.iter().all(|setting| (setting.holds)(&(setting.default)())));
        assert!(SETTINGS.is_sorted_by_key(|setting| setting.name));
    }
}
