//! A provider as data: the TOML file that describes it, checked when it is read.

use crate::keys::{self, Key};
use crate::session::Need;
use regex::Regex;
use serde::{Deserialize, Serialize};

/// How much of an agent we understand beyond its screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Speaks {
    /// Claude Code's hooks, settings overlay, state files and transcript.
    Claude,
    /// Codex's hooks and app server.
    Codex,
    /// Nothing: state is read off the screen by patterns.
    Screen,
}

/// What can be done with a provider's sessions. The names are those of `GET /providers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Capabilities {
    /// It reports what it does through hooks.
    pub native_hooks: bool,
    /// It can run without permission questions.
    pub supports_dangerous_mode: bool,
    /// Its model can be switched in a running session.
    pub supports_model_switch: bool,
    /// Its conversation can be read.
    pub supports_transcript_tailing: bool,
    /// Its sessions are found again after a restart of the daemon.
    pub supports_tmux_adoption: bool,
    /// An ended conversation can go on.
    pub supports_resume: bool,
    /// A conversation can be copied and go on twice.
    pub supports_fork: bool,
    /// It takes images.
    pub supports_images: bool,
    /// It understands commands that begin with a slash.
    pub supports_slash: bool,
    /// Where policies are enforced: `native-hooks` or `input-preflight`.
    pub policy_channel: String,
    /// Where token figures come from: `transcript`, or `pty` for none.
    pub metrics_channel: String,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            native_hooks: false,
            supports_dangerous_mode: false,
            supports_model_switch: false,
            supports_transcript_tailing: false,
            supports_tmux_adoption: true,
            supports_resume: false,
            supports_fork: false,
            supports_images: false,
            supports_slash: false,
            policy_channel: "input-preflight".into(),
            metrics_channel: "pty".into(),
        }
    }
}

/// A provider as its file describes it.
#[derive(Debug, Clone)]
pub struct Definition {
    /// As in `start -p`.
    pub id: String,
    /// Other names people type.
    pub aliases: Vec<String>,
    /// For people.
    pub label: String,
    /// The program, looked up in PATH; empty for the program we are.
    pub program: String,
    /// Arguments that always come first.
    pub args: Vec<String>,
    /// How to get the program.
    pub install: String,
    /// Beyond the screen.
    pub speaks: Speaks,
    /// What can be done.
    pub capabilities: Capabilities,
    /// Argument templates.
    pub launch: LaunchTemplates,
    /// Variables to set.
    pub environment: Vec<(String, String)>,
    /// The provider's whole family of credentials: scrubbed unless billing is by API. A `*` at the end
    /// stands for anything.
    pub credentials: Vec<String>,
    /// Keys.
    pub keys: Keys,
    /// Screens.
    pub screen: ScreenRules,
    /// How it ends.
    pub stop: Stop,
}

/// Argument templates. `{id}` stands for our fresh UUID, `{parent}` for the agent's id of an earlier
/// conversation, `{model}` for a model; an empty list means that it cannot be done.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LaunchTemplates {
    /// A new conversation.
    pub new: Vec<String>,
    /// Going on with one.
    pub resume: Vec<String>,
    /// Going on with a copy of one.
    pub fork: Vec<String>,
    /// Choosing the model.
    pub model: Vec<String>,
    /// No permission questions.
    pub dangerous: Vec<String>,
}

/// Keys that do things in the agent.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Sends what was typed.
    pub submit: Vec<Key>,
    /// Stops the turn.
    pub interrupt: Vec<Key>,
    /// Empties the input line.
    pub clear: Vec<Key>,
}

/// How a graceful stop is done: the signal, and how long the agent may take.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Stop {
    /// Milliseconds until the whole tree is killed.
    pub grace_ms: u64,
}

impl Default for Stop {
    fn default() -> Self {
        Self { grace_ms: 5_000 }
    }
}

/// What screens mean. Patterns are matched against the visible lines, joined by newlines.
#[derive(Debug, Clone, Default)]
pub struct ScreenRules {
    /// The agent has come up and takes prompts.
    pub ready: Option<Regex>,
    /// It works.
    pub busy: Option<Regex>,
    /// It waits for a prompt. Where it is missing, a ready screen that is not busy is idle.
    pub idle: Option<Regex>,
    /// Dialogs that wait for an answer, the first that matches counts.
    pub dialogs: Vec<Dialog>,
}

/// A dialog that stands in the way until somebody answers it.
#[derive(Debug, Clone)]
pub struct Dialog {
    /// A short name, as key.
    pub name: String,
    /// How it looks.
    pub pattern: Regex,
    /// Permission or input.
    pub need: Need,
    /// What it asks, for a person.
    pub question: String,
    /// How to answer it, with `{id}` for the session.
    pub how: String,
}

/// A definition that cannot be used: where and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadDefinition(pub String);

impl Definition {
    /// Reads a definition file.
    pub fn parse(text: &str) -> Result<Self, BadDefinition> {
        let file: File = toml::from_str(text).map_err(|error| BadDefinition(error.to_string()))?;
        let id_is_good = !file.id.is_empty()
            && file.id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !file.id.starts_with('-');
        if !id_is_good {
            return Err(BadDefinition(format!("`id`: `{}` must be of a-z, 0-9 and -", file.id)));
        }
        if file.program.is_empty() && file.id != "demo" {
            return Err(BadDefinition("`program`: must name the program to run".into()));
        }
        Ok(Self {
            aliases: file.aliases,
            label: file.label.unwrap_or_else(|| file.id.clone()),
            program: file.program,
            args: file.args,
            install: file.install,
            speaks: file.speaks.unwrap_or(Speaks::Screen),
            launch: file.launch,
            environment: file.environment.into_iter().collect(),
            credentials: file.credentials,
            keys: Keys {
                submit: keys_of("submit", file.keys.submit.as_deref(), "enter")?,
                interrupt: keys_of("interrupt", file.keys.interrupt.as_deref(), "escape")?,
                clear: keys_of("clear", file.keys.clear.as_deref(), "ctrl+u")?,
            },
            screen: ScreenRules {
                ready: pattern("screen.ready", file.screen.ready)?,
                busy: pattern("screen.busy", file.screen.busy)?,
                idle: pattern("screen.idle", file.screen.idle)?,
                dialogs: file.screen.dialogs.into_iter().map(dialog).collect::<Result<_, _>>()?,
            },
            stop: file.stop,
            capabilities: file.capabilities,
            id: file.id,
        })
    }

    /// Whether a person means this provider by that name.
    pub fn answers_to(&self, name: &str) -> bool {
        self.id == name || self.aliases.iter().any(|alias| alias == name)
    }
}

fn keys_of(what: &str, given: Option<&str>, default: &str) -> Result<Vec<Key>, BadDefinition> {
    keys::parse_all(given.unwrap_or(default))
        .map_err(|error| BadDefinition(format!("`keys.{what}`: {error}")))
}

fn pattern(place: &str, text: Option<String>) -> Result<Option<Regex>, BadDefinition> {
    text.map(|text| regex::RegexBuilder::new(&text).multi_line(true).build())
        .transpose()
        .map_err(|error| BadDefinition(format!("`{place}`: {error}")))
}

fn dialog(file: DialogFile) -> Result<Dialog, BadDefinition> {
    let place = format!("screen.dialogs `{}`", file.name);
    Ok(Dialog {
        pattern: pattern(&place, Some(file.pattern))?.expect("a pattern was given"),
        name: file.name,
        need: file.need.unwrap_or(Need::Input),
        question: file.question,
        how: file.how,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    id: String,
    #[serde(default)]
    aliases: Vec<String>,
    label: Option<String>,
    #[serde(default)]
    program: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    install: String,
    speaks: Option<Speaks>,
    #[serde(default)]
    capabilities: Capabilities,
    #[serde(default)]
    launch: LaunchTemplates,
    #[serde(default)]
    environment: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    credentials: Vec<String>,
    #[serde(default)]
    keys: KeysFile,
    #[serde(default)]
    screen: ScreenFile,
    #[serde(default)]
    stop: Stop,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct KeysFile {
    submit: Option<String>,
    interrupt: Option<String>,
    clear: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct ScreenFile {
    ready: Option<String>,
    busy: Option<String>,
    idle: Option<String>,
    dialogs: Vec<DialogFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct DialogFile {
    name: String,
    pattern: String,
    need: Option<Need>,
    question: String,
    #[serde(default)]
    how: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match Definition::parse(text) {
            Ok(definition) => format!("{} runs {}", definition.id, definition.program),
            Err(error) => error.to_string().replace('\n', " "),
        };
        assert!(shown.contains(expected), "{shown:?} does not say {expected:?}");
    }

    #[test]
    fn a_bad_definition_is_refused_with_its_place() {
        check("id = 'x'\nprogram = 'x'", "x runs x");
        check("id = 'X'\nprogram = 'x'", "`id`: `X`");
        check("id = 'x'", "`program`");
        check("id = 'x'\nprogram = 'x'\nprogam = 1", "unknown field `progam`");
        check("id = 'x'\nprogram = 'x'\n[screen]\nready = '('", "`screen.ready`");
        check("id = 'x'\nprogram = 'x'\n[keys]\nsubmit = 'entr'", "`keys.submit`");
        check("id = 'x'\nprogram = 'x'\n[capabilities]\nfly = true", "unknown field `fly`");
    }
}
