//! Questions that wait for a person.

use super::Format;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(after_help = "\
Whatever needs a person waits here: leave to use a tool, a plan, a question of the model. It can be answered here or
at the agent's terminal; the first answer counts. An approval is named by its id, or by its session where only one
waits.

Examples:
  codepiper approvals
  codepiper approvals show a1b2c3d4-1
  codepiper approvals allow a1b2c3d4-1
  codepiper approvals deny a1b2c3d4-1 --note wrong-database
  codepiper approvals watch")]
pub(crate) struct ApprovalsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ApprovalsCommand>,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// List what waits for an answer.
    #[command(
        visible_alias = "ls",
        after_help = "\
Examples:
  codepiper approvals list
  codepiper approvals list --all --session api --json"
    )]
    List {
        /// Closed ones too, with how they were answered.
        #[arg(short, long)]
        all: bool,
        /// Only of this session.
        #[arg(long, value_name = "ID")]
        session: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Show all of one: the command, the diff, the question with its options.
    #[command(after_help = "\
Examples:
  codepiper approvals show a1b2c3d4-1")]
    Show {
        /// The approval, or its session.
        id: String,
        #[command(flatten)]
        format: Format,
    },
    /// Say yes.
    #[command(after_help = "\
Examples:
  codepiper approvals allow a1b2c3d4-1
  codepiper approvals allow a1b2c3d4-1 --session")]
    Allow {
        /// The approval, or its session.
        id: String,
        /// For the same call again in this session.
        #[arg(long, conflicts_with = "always")]
        session: bool,
        /// For the same call again in every session: writes the narrowest rule.
        #[arg(long)]
        always: bool,
        /// Write the rule without showing it first.
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Say no.
    #[command(after_help = "\
Examples:
  codepiper approvals deny a1b2c3d4-1
  codepiper approvals deny a1b2c3d4-1 --note wrong-branch")]
    Deny {
        /// The approval, or its session.
        id: String,
        /// What the agent is told.
        #[arg(short, long, value_name = "TEXT")]
        note: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Answer a question of the model.
    #[command(after_help = "\
One answer for each question, in their order: the number of an option, its words, or words of your own.

Examples:
  codepiper approvals answer a1b2c3d4-1 2
  codepiper approvals answer a1b2c3d4-1 blue")]
    Answer {
        /// The approval, or its session.
        id: String,
        /// The answers.
        #[arg(required = true)]
        answers: Vec<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Print what comes to wait and how it is answered, as it happens.
    #[command(after_help = "\
Examples:
  codepiper approvals watch
  codepiper approvals watch --json | jq -r .id")]
    Watch(Format),
}
