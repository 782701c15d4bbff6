//! Starting a session.

use super::Format;
use clap::{Args, ValueEnum};
use codepiper_core::provider::Billing;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  codepiper start -p claude-code -d ~/projects/my-app
  codepiper start -p codex --name api --model gpt-5.1-codex
  codepiper start -p claude-code -d ~/project --billing api
  codepiper start -p claude-code -d ~/project --worktree --create-branch feature/refactor
  codepiper start -p claude-code --fork a1b2c3d4
  codepiper start -p claude-code --policy-set careful
  codepiper start -p claude-code --env LOG=debug --env NPM_TOKEN
  codepiper start -p claude-code -d ~/project --env-set my-api-keys
  codepiper start --workspace my-app
  codepiper start -p claude-code -d ~/project -- --verbose")]
pub(crate) struct StartArgs {
    /// The agent: claude-code, codex, demo, … (`codepiper providers` lists them).
    #[arg(short, long)]
    pub(crate) provider: Option<String>,
    /// Where it works; the current folder when nothing is said.
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
    /// A name of its own, to be used in place of the id.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Who pays: a subscription, or the API by tokens with the key in the environment.
    #[arg(short, long, value_enum)]
    pub(crate) billing: Option<BillingMode>,
    /// Work in a git worktree of its own, on a new branch unless one is given.
    #[arg(long)]
    pub(crate) worktree: bool,
    /// The branch to work on, in a worktree.
    #[arg(long, value_name = "BRANCH", conflicts_with = "create_branch")]
    pub(crate) branch: Option<String>,
    /// The branch to create and work on, in a worktree.
    #[arg(long, value_name = "BRANCH")]
    pub(crate) create_branch: Option<String>,
    /// Where the new branch starts; HEAD when nothing is said.
    #[arg(long, value_name = "COMMIT", conflicts_with = "branch")]
    pub(crate) start_point: Option<String>,
    /// What it may take before every tool call asks: `5usd`, `2Mtokens`, `90m`; give it several times for several.
    #[arg(long, value_name = "LIMIT")]
    pub(crate) budget: Vec<String>,
    /// The model, as the agent names it.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// No permission questions at all: the agent may do whatever you may.
    #[arg(long)]
    pub(crate) dangerous: bool,
    /// Go on with an earlier conversation: a session, or the agent's own id of it.
    #[arg(long, value_name = "ID", conflicts_with = "fork")]
    pub(crate) resume: Option<String>,
    /// Go on with a copy of an earlier conversation.
    #[arg(long, value_name = "ID")]
    pub(crate) fork: Option<String>,
    /// A variable for the agent. Without `=VALUE` it is taken from here, so that a secret is never typed.
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = variable)]
    pub(crate) variables: Vec<(String, Option<String>)>,
    /// An env set for the agent, by name or id; later ones win, and --env wins over them.
    #[arg(long = "env-set", value_name = "NAME")]
    pub(crate) env_sets: Vec<String>,
    /// A workspace, by name or id: its folder and its defaults are taken where nothing else is said.
    #[arg(long, value_name = "NAME")]
    pub(crate) workspace: Option<String>,
    /// A policy set for it, besides the default one. Can be repeated.
    #[arg(long = "policy-set", value_name = "SET")]
    pub(crate) policy_sets: Vec<String>,
    /// Columns of its terminal.
    #[arg(long)]
    pub(crate) cols: Option<u16>,
    /// Rows of its terminal.
    #[arg(long)]
    pub(crate) rows: Option<u16>,
    /// More arguments for the agent.
    #[arg(last = true)]
    pub(crate) args: Vec<String>,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BillingMode {
    Subscription,
    Api,
}

impl From<BillingMode> for Billing {
    fn from(mode: BillingMode) -> Self {
        match mode {
            BillingMode::Subscription => Self::Subscription,
            BillingMode::Api => Self::Api,
        }
    }
}

/// `NAME=VALUE`, or `NAME` for the value it has here.
pub(super) fn variable(text: &str) -> Result<(String, Option<String>), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    let start = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !start || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(format!("`{name}` is no name of a variable: letters, digits and _, no digit first"));
    }
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_have_names() {
        let check = |text: &str, expected: Option<(&str, Option<&str>)>| {
            let expected = expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
            assert_eq!(variable(text).ok(), expected, "for {text:?}");
        };
        check("A=b", Some(("A", Some("b"))));
        check("A_1==b=", Some(("A_1", Some("=b="))));
        check("A=", Some(("A", Some(""))));
        check("A", Some(("A", None)));
        for bad in ["", "=b", "1A=b", "A-B=c", "A B=c", "é=1"] {
            check(bad, None);
        }
    }
}
