//! The environment an agent gets: everything its owner's shell had, without what belongs to us, to another
//! agent, or to the wrong bill.

use super::Definition;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Billing {
    /// The owner's subscription: API credentials of the provider are taken out.
    #[default]
    Subscription,
    /// By the token: the provider's credentials stay.
    Api,
}

/// Variables that never pass from the daemon to an agent: ours, tmux's (the pane has its own), and the
/// marks of an agent that happened to start the daemon.
const NEVER: &[&str] = &[
    "CODEPIPER_*",
    "TMUX",
    "TMUX_PANE",
    "TMUX_TMPDIR",
    "TERM",
    "TERM_PROGRAM",
    "TERM_PROGRAM_VERSION",
    "COLUMNS",
    "LINES",
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_CODE_SSE_PORT",
    "CLAUDE_EFFORT",
    "CLAUDE_PROJECT_DIR",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
];

/// The agent's environment, later entries winning: the daemon's without [`NEVER`] and, unless billing is by
/// API, without the provider's credentials; then what the definition sets; then what the person gave with
/// the session (kept in every billing mode only when it is no credential); then what the launch needs.
pub fn session_environment(
    definition: &Definition,
    billing: Billing,
    daemon: impl Iterator<Item = (String, String)>,
    given: &[(String, String)],
    launch: &[(String, String)],
) -> BTreeMap<String, String> {
    let never = |name: &str| NEVER.iter().any(|pattern| matches(pattern, name));
    let scrubbed = |name: &str| billing == Billing::Subscription && definition.is_credential(name);
    let mut environment: BTreeMap<String, String> = daemon.filter(|(name, _)| !never(name)).collect();
    environment.extend(definition.environment.iter().cloned());
    environment.extend(given.iter().cloned());
    environment.retain(|name, _| !scrubbed(name));
    environment.extend(launch.iter().cloned());
    // An agent's hooks reach loopback servers even behind a proxy (facts: with HTTP_PROXY and no NO_PROXY
    // Claude Code's own http hooks fail open).
    for name in ["NO_PROXY", "no_proxy"] {
        let entry = environment.entry(name.into()).or_default();
        for host in ["127.0.0.1", "localhost"] {
            if !entry.split(',').any(|known| known.trim() == host) {
                if !entry.is_empty() {
                    entry.push(',');
                }
                entry.push_str(host);
            }
        }
    }
    environment
}

impl Definition {
    /// Whether a variable of this name is one of the provider's credentials.
    pub fn is_credential(&self, name: &str) -> bool {
        self.credentials.iter().any(|pattern| matches(pattern, name))
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(billing: Billing, daemon: &str, given: &str, expected: &str) {
        let pairs = |text: &str| -> Vec<(String, String)> {
            text.split_whitespace()
                .map(|pair| pair.split_once('=').unwrap())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        };
        let definition = super::super::built_in().into_iter().find(|d| d.id == "claude-code").unwrap();
        let environment =
            session_environment(&definition, billing, pairs(daemon).into_iter(), &pairs(given), &[]);
        let shown: Vec<_> = environment
            .iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("no_proxy"))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(shown.join(" "), expected);
    }

    #[test]
    fn a_subscription_session_has_none_of_the_providers_credentials() {
        let all =
            "ANTHROPIC_API_KEY=k ANTHROPIC_AUTH_TOKEN=t CLAUDE_CODE_USE_BEDROCK=1 PATH=/bin AWS_PROFILE=x";
        check(Billing::Subscription, all, "", "AWS_PROFILE=x PATH=/bin");
        check(Billing::Subscription, "PATH=/bin", "ANTHROPIC_API_KEY=given", "PATH=/bin");
        check(Billing::Api, "ANTHROPIC_API_KEY=k", "", "ANTHROPIC_API_KEY=k");
        check(Billing::Api, "ANTHROPIC_API_KEY=k", "ANTHROPIC_API_KEY=given", "ANTHROPIC_API_KEY=given");
    }

    #[test]
    fn nothing_of_ours_or_of_another_agent_passes() {
        check(
            Billing::Api,
            "CODEPIPER_SECRET=s CODEPIPER_DB_PATH=p TMUX=t TMUX_PANE=%1 CLAUDECODE=1 TERM=dumb HOME=/h",
            "",
            "HOME=/h",
        );
    }

    #[test]
    fn loopback_is_never_behind_a_proxy() {
        let definition = super::super::built_in().remove(0);
        let daemon = [("NO_PROXY".to_owned(), "corp,localhost".to_owned())];
        let environment = session_environment(&definition, Billing::Api, daemon.into_iter(), &[], &[]);
        assert_eq!(environment["NO_PROXY"], "corp,localhost,127.0.0.1");
        assert_eq!(environment["no_proxy"], "127.0.0.1,localhost");
    }
}
