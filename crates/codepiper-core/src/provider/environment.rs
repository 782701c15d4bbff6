//! The environment an agent gets: everything its owner's shell had, without what belongs to us, to another
//! agent, or to the wrong bill.

use super::Definition;
use crate::env_set::matches;
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

/// The two variables by which programs find the person's SSH agent.
pub const SSH_AGENT: [&str; 2] = ["SSH_AUTH_SOCK", "SSH_AGENT_PID"];

/// Variables with their values.
pub type Variables = BTreeMap<String, String>;

/// Where an agent's environment comes from, later ones winning. No `Debug`: there are secrets in it.
#[derive(Clone, Default)]
pub struct Sources {
    /// What the daemon was started with.
    pub daemon: Variables,
    /// What the shell had in which the start was typed: its `PATH`, its SSH agent.
    pub shell: Variables,
    /// Env sets in their order, by name.
    pub sets: Vec<(String, Variables)>,
    /// What the person gave with the session.
    pub given: Variables,
    /// What the launch needs.
    pub launch: Variables,
    /// Whether the person's SSH agent is withheld.
    pub withholds_ssh_agent: bool,
}

impl Sources {
    /// One variable as the agent would get it from the person, whoever set it last.
    pub fn last(&self, name: &str) -> Option<&String> {
        let sets = self.sets.iter().rev().find_map(|(_, variables)| variables.get(name));
        self.given.get(name).or(sets).or_else(|| self.shell.get(name)).or_else(|| self.daemon.get(name))
    }
}

/// Why a variable does not reach an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeftOut {
    /// It is one of the provider's credentials, and the subscription pays.
    Credential,
    /// The person's SSH agent is withheld.
    SshAgent,
}

fn left_out(definition: &Definition, billing: Billing, sources: &Sources, name: &str) -> Option<LeftOut> {
    if billing == Billing::Subscription && definition.is_credential(name) {
        return Some(LeftOut::Credential);
    }
    (sources.withholds_ssh_agent && SSH_AGENT.contains(&name)).then_some(LeftOut::SshAgent)
}

/// The agent's environment: the daemon's without [`NEVER`], what the definition sets, then the other
/// [`Sources`]; without the provider's credentials unless billing is by API, whoever gave them; and with what
/// the launch needs in any case.
pub fn session_environment(definition: &Definition, billing: Billing, sources: &Sources) -> Variables {
    let never = |name: &str| NEVER.iter().any(|pattern| matches(pattern, name));
    let copy = |(name, value): (&String, &String)| (name.clone(), value.clone());
    let mut environment: Variables =
        sources.daemon.iter().filter(|(name, _)| !never(name)).map(copy).collect();
    environment.extend(definition.environment.iter().cloned());
    environment.extend(sources.shell.iter().map(copy));
    for (_, variables) in &sources.sets {
        environment.extend(variables.iter().map(copy));
    }
    environment.extend(sources.given.iter().map(copy));
    environment.retain(|name, _| left_out(definition, billing, sources, name).is_none());
    environment.extend(sources.launch.iter().map(copy));
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

/// What a person should know of variables that they have and the agent does not get, a line for each place
/// and reason. No value stands in it.
pub fn environment_notes(definition: &Definition, billing: Billing, sources: &Sources) -> Vec<String> {
    let mut notes = Vec::new();
    let mut look = |variables: &Variables, whose: &str, reasons: &[LeftOut]| {
        for reason in reasons {
            let names: Vec<String> = variables
                .keys()
                .filter(|name| left_out(definition, billing, sources, name) == Some(*reason))
                .map(|name| format!("`{name}`"))
                .collect();
            let (is, them) = if names.len() == 1 { ("is", "it") } else { ("are", "them") };
            let why = match reason {
                LeftOut::Credential => {
                    format!("billing is by subscription; `--billing api` keeps {them}")
                }
                LeftOut::SshAgent => "the setting `forwardSshAuthSock` is false".to_owned(),
            };
            if !names.is_empty() {
                notes.push(format!("{} {whose} {is} left out: {why}", names.join(", ")));
            }
        }
    };
    look(&sources.daemon, "of the daemon's environment", &[LeftOut::Credential]);
    for (set, variables) in &sources.sets {
        look(variables, &format!("of env set `{set}`"), &[LeftOut::Credential, LeftOut::SshAgent]);
    }
    look(&sources.given, "given with the session", &[LeftOut::Credential, LeftOut::SshAgent]);
    notes
}

impl Definition {
    /// Whether a variable of this name is one of the provider's credentials.
    pub fn is_credential(&self, name: &str) -> bool {
        self.credentials.iter().any(|pattern| matches(pattern, name))
    }
}

#[cfg(test)]
mod tests {
    use super::super::built_in;
    use super::*;

    fn pairs(text: &str) -> Variables {
        text.split_whitespace()
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn definition(id: &str) -> Definition {
        built_in().into_iter().find(|definition| definition.id == id).unwrap()
    }

    fn shown(environment: &Variables) -> String {
        let entries: Vec<_> = environment
            .iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("no_proxy"))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        entries.join(" ")
    }

    fn check(billing: Billing, daemon: &str, given: &str, expected: &str) {
        let sources = Sources { daemon: pairs(daemon), given: pairs(given), ..Sources::default() };
        assert_eq!(shown(&session_environment(&definition("claude-code"), billing, &sources)), expected);
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

    /// The whole family of each agent, as it stands in the programs themselves and in their documents.
    #[test]
    fn what_would_change_who_pays_is_a_credential_and_what_would_not_is_none() {
        let check = |provider: &str, credentials: &str, others: &str| {
            let definition = definition(provider);
            for name in credentials.split_whitespace() {
                assert!(definition.is_credential(name), "{provider}: {name} stays in a subscription session");
            }
            for name in others.split_whitespace() {
                assert!(!definition.is_credential(name), "{provider}: {name} is taken away");
            }
        };
        check(
            "claude-code",
            "ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN ANTHROPIC_BASE_URL ANTHROPIC_CUSTOM_HEADERS \
             CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR CLAUDE_CODE_API_BASE_URL CLAUDE_CODE_USE_BEDROCK \
             CLAUDE_CODE_USE_VERTEX CLAUDE_CODE_USE_FOUNDRY CLAUDE_CODE_USE_MANTLE CLAUDE_CODE_USE_GATEWAY \
             CLAUDE_CODE_USE_ANTHROPIC_AWS AWS_BEARER_TOKEN_BEDROCK ANTHROPIC_BEDROCK_BASE_URL \
             ANTHROPIC_BEDROCK_MANTLE_API_KEY ANTHROPIC_AWS_API_KEY ANTHROPIC_VERTEX_PROJECT_ID \
             ANTHROPIC_FOUNDRY_API_KEY ANTHROPIC_FOUNDRY_RESOURCE ANTHROPIC_IDENTITY_TOKEN",
            // A token of `claude setup-token` is the subscription's own.
            "CLAUDE_CODE_OAUTH_TOKEN CLAUDE_CONFIG_DIR ANTHROPIC_MODEL AWS_PROFILE AWS_ACCESS_KEY_ID \
             GOOGLE_APPLICATION_CREDENTIALS OPENAI_API_KEY CLAUDE_CODE_USE_POWERSHELL_TOOL",
        );
        check(
            "codex",
            "OPENAI_API_KEY CODEX_API_KEY OPENAI_BASE_URL AZURE_OPENAI_API_KEY OPENAI_IDENTITY_TOKEN_FILE \
             OPENAI_FEDERATION_RULE_ID AWS_BEARER_TOKEN_BEDROCK",
            // A token of a ChatGPT plan.
            "CODEX_ACCESS_TOKEN CODEX_HOME ANTHROPIC_API_KEY AWS_PROFILE",
        );
        check(
            "gemini",
            "GEMINI_API_KEY GOOGLE_API_KEY GOOGLE_GENAI_USE_VERTEXAI GOOGLE_GEMINI_BASE_URL \
             GOOGLE_VERTEX_BASE_URL",
            // Google's own login of a company's account needs the project.
            "GOOGLE_CLOUD_PROJECT GOOGLE_GENAI_USE_GCA GEMINI_MODEL",
        );
        check(
            "opencode",
            "ANTHROPIC_API_KEY OPENAI_API_KEY GEMINI_API_KEY GOOGLE_GENERATIVE_AI_API_KEY OPENROUTER_API_KEY \
             OPENCODE_API_KEY GROQ_API_KEY XAI_API_KEY DEEPSEEK_API_KEY MISTRAL_API_KEY \
             AWS_BEARER_TOKEN_BEDROCK AZURE_API_KEY",
            "OPENCODE_CONFIG",
        );
        check(
            "aider",
            "ANTHROPIC_API_KEY OPENAI_API_KEY OPENAI_API_BASE AIDER_OPENAI_API_KEY AIDER_ANTHROPIC_API_KEY \
             AIDER_API_KEY GEMINI_API_KEY OPENROUTER_API_KEY DEEPSEEK_API_KEY GROQ_API_KEY XAI_API_KEY \
             MISTRAL_API_KEY COHERE_API_KEY AZURE_API_KEY AZURE_API_BASE AWS_BEARER_TOKEN_BEDROCK",
            "AIDER_MODEL",
        );
        check("cursor-agent", "CURSOR_API_KEY", "CURSOR_CONFIG_DIR");
    }

    #[test]
    fn later_sources_win_and_the_shells_path_is_weaker_than_any_that_was_chosen() {
        let mut sources = Sources {
            daemon: pairs("PATH=daemon A=daemon"),
            shell: pairs("PATH=shell"),
            sets: vec![("one".into(), pairs("A=one B=one")), ("two".into(), pairs("B=two C=two"))],
            given: pairs("C=given"),
            ..Sources::default()
        };
        let environment = |sources: &Sources| {
            shown(&session_environment(&definition("claude-code"), Billing::Subscription, sources))
        };
        assert_eq!(environment(&sources), "A=one B=two C=given PATH=shell");
        sources.sets[0].1.insert("PATH".into(), "set".into());
        assert_eq!(environment(&sources), "A=one B=two C=given PATH=set");
        assert_eq!(sources.last("PATH").map(String::as_str), Some("set"));
        assert_eq!(sources.last("C").map(String::as_str), Some("given"));
    }

    #[test]
    fn what_is_left_out_is_said_with_its_place_and_without_its_value() {
        let mut sources = Sources {
            daemon: pairs("ANTHROPIC_BASE_URL=secret PATH=/bin SSH_AUTH_SOCK=/s"),
            sets: vec![("api".into(), pairs("ANTHROPIC_API_KEY=secret ANTHROPIC_AUTH_TOKEN=secret OTHER=x"))],
            given: pairs("ANTHROPIC_API_KEY=secret SSH_AUTH_SOCK=/mine"),
            ..Sources::default()
        };
        let notes = |billing, sources: &Sources| {
            environment_notes(&definition("claude-code"), billing, sources).join("\n")
        };
        assert_eq!(
            notes(Billing::Subscription, &sources),
            "`ANTHROPIC_BASE_URL` of the daemon's environment is left out: billing is by subscription; \
             `--billing api` keeps it\n\
             `ANTHROPIC_API_KEY`, `ANTHROPIC_AUTH_TOKEN` of env set `api` are left out: billing is by \
             subscription; `--billing api` keeps them\n\
             `ANTHROPIC_API_KEY` given with the session is left out: billing is by subscription; \
             `--billing api` keeps it"
        );
        assert_eq!(notes(Billing::Api, &sources), "");
        sources.withholds_ssh_agent = true;
        assert_eq!(
            notes(Billing::Api, &sources),
            "`SSH_AUTH_SOCK` given with the session is left out: the setting `forwardSshAuthSock` is false"
        );
        let environment = session_environment(&definition("claude-code"), Billing::Api, &sources);
        assert!(!environment.contains_key("SSH_AUTH_SOCK"));
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
        let sources = Sources { daemon: pairs("NO_PROXY=corp,localhost"), ..Sources::default() };
        let environment = session_environment(&definition("claude-code"), Billing::Api, &sources);
        assert_eq!(environment["NO_PROXY"], "corp,localhost,127.0.0.1");
        assert_eq!(environment["no_proxy"], "127.0.0.1,localhost");
    }
}
