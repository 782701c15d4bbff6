//! Workspaces.

use super::Format;
use super::start::BillingMode;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
A workspace is a folder with a name and defaults for what is started there. What is said at a start beats them; \
env sets are added to those of the workspace.

Examples:
  codepiper workspace add my-app ~/projects/my-app --provider claude-code --env-set my-api-keys
  codepiper workspace list
  codepiper start --workspace my-app")]
pub(crate) struct WorkspaceArgs {
    #[command(subcommand)]
    pub(crate) command: WorkspaceCommand,
    /// JSON for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkspaceCommand {
    /// List the workspaces.
    #[command(
        visible_alias = "ls",
        after_help = "\
Examples:
  codepiper workspace list
  codepiper workspace list --json"
    )]
    List(Format),
    /// Make a workspace of a folder.
    #[command(
        visible_alias = "create",
        after_help = "\
Examples:
  codepiper workspace add my-app ~/projects/my-app
  codepiper workspace add my-app . --provider codex --model gpt-5.1-codex"
    )]
    Add {
        /// Its name: letters, digits, `.`, `_`, `-`.
        name: String,
        /// Its folder; the current one when nothing is said.
        #[arg(default_value = ".")]
        path: PathBuf,
        #[command(flatten)]
        defaults: Defaults,
        #[command(flatten)]
        format: Format,
    },
    /// Show a workspace.
    #[command(
        visible_alias = "get",
        after_help = "\
Examples:
  codepiper workspace show my-app"
    )]
    Show {
        /// Its name, or its id.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        #[command(flatten)]
        format: Format,
    },
    /// Change a workspace; what is not said stays.
    #[command(after_help = "\
Examples:
  codepiper workspace update my-app --path ~/projects/new-place
  codepiper workspace update my-app --env-set base --env-set my-api-keys
  codepiper workspace update my-app --no-model")]
    Update {
        /// Its name, or its id.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// Another folder.
        #[arg(long, value_name = "FOLDER")]
        path: Option<PathBuf>,
        #[command(flatten)]
        defaults: Defaults,
        /// No provider by default.
        #[arg(long, conflicts_with = "provider")]
        no_provider: bool,
        /// No model by default.
        #[arg(long, conflicts_with = "model")]
        no_model: bool,
        /// No billing by default.
        #[arg(long, conflicts_with = "billing")]
        no_billing: bool,
        /// No env sets by default.
        #[arg(long, conflicts_with = "env_sets")]
        no_env_sets: bool,
        /// No policy set by default.
        #[arg(long, conflicts_with = "policy_set")]
        no_policy_set: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Give a workspace another name.
    #[command(after_help = "\
Examples:
  codepiper workspace rename my-app app")]
    Rename {
        /// Its name, or its id.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// The new name.
        new: String,
        #[command(flatten)]
        format: Format,
    },
    /// Forget workspaces; their folders and sessions stay.
    #[command(
        visible_aliases = ["rm", "delete"],
        after_help = "\
Examples:
  codepiper workspace remove my-app"
    )]
    Remove {
        /// Names, or ids.
        #[arg(required = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        names: Vec<String>,
    },
}

/// What a start in a workspace takes when nothing else is said.
#[derive(Debug, Args)]
pub(crate) struct Defaults {
    /// The agent.
    #[arg(short, long)]
    pub(crate) provider: Option<String>,
    /// The model.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Who pays.
    #[arg(short, long, value_enum)]
    pub(crate) billing: Option<BillingMode>,
    /// An env set, by name or id; later ones win. All of them are said anew.
    #[arg(long = "env-set", value_name = "NAME")]
    pub(crate) env_sets: Vec<String>,
    /// A policy set. It is kept; what applies it comes later.
    #[arg(long, value_name = "NAME")]
    pub(crate) policy_set: Option<String>,
}
