//! Sets of policies, and giving them to sessions.

use super::Format;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(after_help = "\
Policies scoped to `set` count for the sessions that have a set with them. Without a command it is the same as \
`policy-set list`.

Examples:
  codepiper policy-set create --name careful --policy guard --default
  codepiper policy-set apply careful api
  codepiper start -p claude-code --policy-set careful")]
pub(crate) struct PolicySetArgs {
    #[command(subcommand)]
    pub(crate) command: Option<PolicySetCommand>,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicySetCommand {
    /// List sets, or those of a session.
    #[command(
        visible_alias = "ls",
        after_help = "\
Examples:
  codepiper policy-set list
  codepiper policy-set list --session api --json"
    )]
    List {
        /// Only those of this session.
        #[arg(long, value_name = "ID")]
        session: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Show one with its policies.
    #[command(
        visible_alias = "show",
        after_help = "\
Examples:
  codepiper policy-set get careful"
    )]
    Get {
        /// Id, name, or the beginning of an id.
        id: String,
        #[command(flatten)]
        format: Format,
    },
    /// Make one.
    #[command(
        visible_alias = "add",
        after_help = "\
Examples:
  codepiper policy-set create --name careful --policy guard --policy p-1a2b
  codepiper policy-set create --name careful --default"
    )]
    Create {
        /// Its name, which no other has.
        #[arg(long)]
        name: String,
        /// Its id; a random one when nothing is said.
        #[arg(long)]
        id: Option<String>,
        /// What it is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// Give it to every new session, in place of the present default.
        #[arg(long)]
        default: bool,
        /// A policy for it. Can be repeated.
        #[arg(long = "policy", value_name = "POLICY")]
        policies: Vec<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Change its name, its description, or whether new sessions get it.
    #[command(after_help = "\
Examples:
  codepiper policy-set update careful --default
  codepiper policy-set update careful --no-default --name strict")]
    Update {
        /// Id, name, or the beginning of an id.
        id: String,
        /// Its name.
        #[arg(long)]
        name: Option<String>,
        /// What it is for; empty takes it away.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// Give it to every new session, in place of the present default.
        #[arg(long, conflicts_with = "no_default")]
        default: bool,
        /// Give it to new sessions no more.
        #[arg(long)]
        no_default: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Delete sets; their policies stay.
    #[command(
        visible_alias = "rm",
        after_help = "\
Examples:
  codepiper policy-set delete careful"
    )]
    Delete {
        /// Ids, names, or beginnings of ids.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Put a policy into a set.
    #[command(after_help = "\
Examples:
  codepiper policy-set add-policy careful guard")]
    AddPolicy {
        /// The set.
        set: String,
        /// The policy.
        policy: String,
        #[command(flatten)]
        format: Format,
    },
    /// Take a policy out of a set.
    #[command(after_help = "\
Examples:
  codepiper policy-set remove-policy careful guard")]
    RemovePolicy {
        /// The set.
        set: String,
        /// The policy.
        policy: String,
        #[command(flatten)]
        format: Format,
    },
    /// Give a set to a session.
    #[command(after_help = "\
It counts for the next call.

Examples:
  codepiper policy-set apply careful api")]
    Apply {
        /// The set.
        set: String,
        /// The session.
        session: String,
        #[command(flatten)]
        format: Format,
    },
    /// Take a set from a session.
    #[command(after_help = "\
Examples:
  codepiper policy-set remove careful api")]
    Remove {
        /// The set.
        set: String,
        /// The session.
        session: String,
    },
}
