//! Env sets.

use super::Format;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
An env set is named variables for agents, kept encrypted. `start --env-set NAME` gives them to one; it gets the \
values of now, also when it is resumed. Values are never shown again.

Examples:
  codepiper env-set create my-api-keys ANTHROPIC_API_KEY
  codepiper env-set create ci --from-file .env
  codepiper env-set list
  codepiper start -p claude-code -d ~/project --billing api --env-set my-api-keys")]
pub(crate) struct EnvSetArgs {
    #[command(subcommand)]
    pub(crate) command: EnvSetCommand,
    /// JSON for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EnvSetCommand {
    /// List the env sets.
    #[command(
        visible_alias = "ls",
        after_help = "\
Examples:
  codepiper env-set list
  codepiper env-set list --json"
    )]
    List(Format),
    /// Make an env set.
    #[command(after_help = "\
A variable without =VALUE is asked for without echo. What stands as NAME=VALUE on the command line can be seen by \
your other programs and stays in the shell's history.

Examples:
  codepiper env-set create my-api-keys ANTHROPIC_API_KEY
  codepiper env-set create ci --description build-tokens --from-file .env
  pass show anthropic | codepiper env-set create my-api-keys ANTHROPIC_API_KEY --stdin
  codepiper env-set create quiet LOG=warn")]
    Create {
        /// Its name: letters, digits, `.`, `_`, `-`.
        name: String,
        /// What it is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        #[command(flatten)]
        variables: Variables,
        #[command(flatten)]
        format: Format,
    },
    /// Show an env set, its values masked.
    #[command(
        visible_alias = "get",
        after_help = "\
Of a value of 16 characters or more its last two are shown, of a shorter one nothing.

Examples:
  codepiper env-set show my-api-keys"
    )]
    Show {
        /// Its name, or its id.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        #[command(flatten)]
        format: Format,
    },
    /// Set variables of an env set; the others stay.
    #[command(after_help = "\
Sessions that run keep what they have, and get the new values when they are resumed.

Examples:
  codepiper env-set set my-api-keys OPENAI_API_KEY
  codepiper env-set set ci --from-file .env
  codepiper env-set set ci --description build-tokens")]
    Set {
        /// Its name, or its id.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// What it is for; an empty text takes it away.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        #[command(flatten)]
        variables: Variables,
        #[command(flatten)]
        format: Format,
    },
    /// Take variables out of an env set.
    #[command(after_help = "\
Examples:
  codepiper env-set unset my-api-keys OPENAI_API_KEY")]
    Unset {
        /// Its name, or its id.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// The variables.
        #[arg(required = true, value_name = "VARIABLE")]
        variables: Vec<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Give an env set another name.
    #[command(after_help = "\
Examples:
  codepiper env-set rename my-api-keys keys")]
    Rename {
        /// Its name, or its id.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// The new name.
        new: String,
        #[command(flatten)]
        format: Format,
    },
    /// Delete env sets, and tell who used them.
    #[command(
        visible_alias = "rm",
        after_help = "\
Sessions that run keep what they have. One that was started with a deleted set cannot be resumed until there is \
a set of that name again.

Examples:
  codepiper env-set delete my-api-keys"
    )]
    Delete {
        /// Names, or ids.
        #[arg(required = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        names: Vec<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Encrypt all env sets anew with a new key.
    #[command(after_help = "\
The old key is put aside, because backups of before need it; --delete-old deletes it.

Examples:
  codepiper env-set rotate-key
  codepiper env-set rotate-key --delete-old")]
    RotateKey {
        /// Delete the old key: env sets in backups of before can then never be read again.
        #[arg(long)]
        delete_old: bool,
        #[command(flatten)]
        format: Format,
    },
}

/// Where variables come from.
#[derive(Debug, Args)]
pub(crate) struct Variables {
    /// Read them from a file in the form of .env; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["stdin", "given"])]
    pub(crate) from_file: Option<PathBuf>,
    /// Read standard input: the value of the variable that is named, or the form of .env when none is.
    #[arg(long)]
    pub(crate) stdin: bool,
    /// Variables. Without =VALUE the value is asked for without echo.
    #[arg(value_name = "VARIABLE[=VALUE]", value_parser = super::start::variable)]
    pub(crate) given: Vec<(String, Option<String>)>,
}
