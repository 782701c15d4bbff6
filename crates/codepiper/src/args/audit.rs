//! The audit log.

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Every decision over a tool call, every answer of a person, what became of the call, and every change of a policy is an
entry, chained to the one before. Entries stay when their session is gone.

Examples:
  codepiper audit
  codepiper audit a1b2c3d4 --decision deny
  codepiper audit --call 5e43a0b1
  codepiper audit --follow
  codepiper audit --format csv > audit.csv
  codepiper audit verify"
)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    pub(crate) command: Option<AuditCommand>,
    /// Only of this session; a whole id also of one that has left the list.
    pub(crate) id: Option<String>,
    /// The last so many; unless set 50, with --format csv or json all.
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) tail: Option<u64>,
    /// Only with this decision: allow, deny, ask, none; of answers allowed, denied, at-terminal, …; of outcomes ran,
    /// failed.
    #[arg(long, value_name = "WORD")]
    pub(crate) decision: Option<String>,
    /// Only of this kind: decision, answer, outcome, change.
    #[arg(long, value_name = "WORD")]
    pub(crate) kind: Option<String>,
    /// Only about this call, from its first decision to its outcome: the agent's id of it, or its end.
    #[arg(long, value_name = "CALL")]
    pub(crate) call: Option<String>,
    /// Go on with what comes.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// A table for people; JSON or CSV for programs.
    #[arg(long, value_enum, default_value_t = AuditStyle::Table)]
    format: AuditStyle,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl AuditArgs {
    pub(crate) fn style(&self) -> AuditStyle {
        if self.json { AuditStyle::Json } else { self.format }
    }
}

/// How entries are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuditStyle {
    /// Lines for people.
    Table,
    /// A list, or with --follow an object a line.
    Json,
    /// With a line of names.
    Csv,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check that no entry was changed, inserted or removed.
    #[command(after_help = "\
It prints the last entry's number and hash. A cut at the very end can only be seen by comparing them with what was
written down elsewhere.

Examples:
  codepiper audit verify")]
    Verify(super::Format),
}
