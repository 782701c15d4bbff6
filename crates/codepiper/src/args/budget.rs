//! Arguments of `codepiper budget`.

use super::Format;
use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
At 80 % of a limit there is a notice, from 100 % on every tool call asks instead of running. Tokens are all that a model \
read or wrote, those from its cache included; dollars are estimates by the price table. A session's time counts from its \
start; a day begins at midnight, and its time is that in which agents work, added up.

Examples:
  codepiper budget a1b2                    what it may take and what it took
  codepiper budget a1b2 5usd 2h            new limits
  codepiper budget a1b2 none               no limits any more
  codepiper budget today 20usd 8h          for all sessions together, each day")]
pub(crate) struct BudgetArgs {
    /// A session, or `today` for all of them together.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// New limits, which take the place of the old ones: `5usd`, `2Mtokens`, `90m`; or `none`.
    #[arg(value_name = "LIMIT")]
    pub(crate) limits: Vec<String>,
    #[command(flatten)]
    pub(crate) format: Format,
}
