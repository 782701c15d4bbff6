//! Which sessions there are, and what becomes of one: its name, its size, its model, its end.

use super::Format;
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct OneSession {
    /// Its id, the beginning of its id, or its name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct SomeSessions {
    /// Ids, beginnings of ids, or names.
    #[arg(required = true, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) ids: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without --all, a long list leaves out the sessions that ended first. A session that waits or crashed tells \
why below its line.

Examples:
  codepiper sessions
  codepiper sessions --status waiting
  codepiper sessions --provider codex --dir ~/projects
  codepiper sessions show a1b2c3d4
  codepiper sessions --json | jq -r '.[].id'")]
pub(crate) struct SessionsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<SessionsCommand>,
    /// Show this one: the same as `sessions show ID`.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: Option<String>,
    /// Only of this provider.
    #[arg(short, long)]
    pub(crate) provider: Option<String>,
    /// Only in this state: starting, idle, running, waiting, stopped, crashed, live or ended.
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// Only in or below this folder.
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
    /// Every one, however long the list.
    #[arg(short, long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// Show everything about one session.
    #[command(after_help = "\
Examples:
  codepiper sessions show a1b2c3d4
  codepiper sessions show api --json")]
    Show(OneSession),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  codepiper model a1b2c3d4
  codepiper model a1b2c3d4 opus")]
pub(crate) struct ModelArgs {
    /// Its id, the beginning of its id, or its name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: String,
    /// The model to switch to, as the agent names it.
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What was written to the event log stays there; the agent's own files are not touched.

Examples:
  codepiper rm a1b2c3d4
  codepiper rm --force api web")]
pub(crate) struct RmArgs {
    #[command(flatten)]
    pub(crate) sessions: SomeSessions,
    /// Kill it first when it is still running.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["name", "clear"]),
    after_help = "\
Examples:
  codepiper rename a1b2c3d4 api
  codepiper rename api --clear"
)]
pub(crate) struct RenameArgs {
    /// Its id, the beginning of its id, or its name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: String,
    /// The new name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: Option<String>,
    /// Take the name away.
    #[arg(long)]
    pub(crate) clear: bool,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ResizeArgs {
    /// Its id, the beginning of its id, or its name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: String,
    /// Columns.
    pub(crate) cols: u16,
    /// Rows.
    pub(crate) rows: u16,
}
