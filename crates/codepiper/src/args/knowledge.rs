//! What agents wrote down: what it took, what was said, and where.

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser};
use clap::{Args, ValueEnum};
use codepiper_api::search::ROLES;
use codepiper_core::calendar::Every;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
Times go back from now (90m, 7d, 2w) or are days and times: today, yesterday, 2026-01-31, 2026-01-31T09:00. Days begin \
at midnight here, or in the time zone that --tz names. Without a time it is the last 7 days.

Tokens of models without a known price are counted and shown as unpriced; they are in no sum of money. Tokens that an \
agent does not write down (titles, retries, interrupted replies) are in no sum at all.

Examples:
  codepiper analytics
  codepiper analytics tokens --days 30
  codepiper analytics costs --by month --since 2026-01-01
  codepiper analytics costs --by session --workspace ~/project
  codepiper analytics tools --session a1b2c3d4
  codepiper analytics activity --by hour --since today
  codepiper analytics models --days 0 --format csv > models.csv")]
pub(crate) struct AnalyticsArgs {
    /// What to show.
    #[arg(value_enum, default_value_t = View::Overview)]
    pub(crate) view: View,
    /// From then on.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Up to then; a day means its end.
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<String>,
    /// The last so many days, today included; 0 is all there is.
    #[arg(long, value_name = "N", conflicts_with = "since")]
    pub(crate) days: Option<u16>,
    /// What tokens and costs are sorted by; of activity: hour, day, week, month.
    #[arg(long, value_enum)]
    pub(crate) by: Option<By>,
    /// Only of this session; a whole id also of one that has left the list.
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Only of this provider.
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// Only of this model.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Only in this workspace, by name or id, or in this folder and below.
    #[arg(long, value_name = "NAME|DIR")]
    pub(crate) workspace: Option<String>,
    /// The time zone in which days begin, as in Europe/Berlin.
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
    /// At most so many rows.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,
    /// A table for people; JSON or CSV for programs.
    #[arg(long, value_enum, default_value_t = AnalyticsStyle::Table)]
    format: AnalyticsStyle,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl AnalyticsArgs {
    pub(crate) fn style(&self) -> AnalyticsStyle {
        if self.json { AnalyticsStyle::Json } else { self.format }
    }
}

/// What can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    /// The sums of everything.
    Overview,
    /// Tokens, by model unless said otherwise.
    Tokens,
    /// Money, by day unless said otherwise.
    Costs,
    /// Tools: how often, how well, how long.
    Tools,
    /// Messages over time.
    Activity,
    /// Sessions by provider, and what each took.
    Sessions,
    /// Models: the same as `tokens --by model`.
    Models,
    /// Read the prices again (prices.toml in CodePiper's folder before those of this version), and price everything by
    /// them.
    Reprice,
}

/// What usage is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)] // the words say it
pub(crate) enum By {
    Model,
    Provider,
    Session,
    Conversation,
    Folder,
    Repo,
    Branch,
    Hour,
    Day,
    Week,
    Month,
}

impl By {
    /// Its word on the wire, and the title of its column.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Model => ("model", "MODEL"),
            Self::Provider => ("provider", "PROVIDER"),
            Self::Session => ("session", "SESSION"),
            Self::Conversation => ("conversation", "CONVERSATION"),
            Self::Folder => ("folder", "FOLDER"),
            Self::Repo => ("repo", "REPOSITORY"),
            Self::Branch => ("branch", "BRANCH"),
            Self::Hour => ("hour", "HOUR"),
            Self::Day => ("day", "DAY"),
            Self::Week => ("week", "WEEK FROM"),
            Self::Month => ("month", "MONTH"),
        }
    }

    /// Whether it sorts by time.
    pub(crate) fn is_time(self) -> bool {
        Every::parse(self.words().0).is_some()
    }
}

/// How figures are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnalyticsStyle {
    /// Columns for people, with bars on a terminal.
    Table,
    /// The answer of the daemon.
    Json,
    /// With a line of names.
    Csv,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The id is that of a session, or that of a conversation as the agent knows it, or its beginning: conversations outside of \
our sessions are known too. `claude-code:0198f2c1` names a conversation of that agent and no session. What \
CodePiper keeps of very long texts is their beginning.

Examples:
  codepiper transcript a1b2c3d4
  codepiper transcript a1b2c3d4 --follow
  codepiper transcript a1b2c3d4 -n 20
  codepiper transcript a1b2c3d4 --format md --output talk.md
  codepiper transcript claude-code:0198f2c1 --json | jq -r '.[].text'")]
pub(crate) struct TranscriptArgs {
    /// The session, or the conversation.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: String,
    /// Go on with what comes, until Ctrl+C.
    #[arg(short, long, conflicts_with = "output")]
    pub(crate) follow: bool,
    /// The last so many entries; else all, with --follow 20.
    #[arg(short = 'n', long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) lines: Option<u32>,
    /// Only what this sub-agent said and did; `all` is the conversation with all of its sub-agents.
    #[arg(long, value_name = "ID|all")]
    pub(crate) agent: Option<String>,
    /// Write it into a new file that only you can read.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Text for people, Markdown, or JSON; with --follow an object a line.
    #[arg(long, value_enum, default_value_t = TranscriptStyle::Text)]
    format: TranscriptStyle,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl TranscriptArgs {
    pub(crate) fn style(&self) -> TranscriptStyle {
        if self.json { TranscriptStyle::Json } else { self.format }
    }
}

/// How a conversation is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TranscriptStyle {
    /// For reading on a terminal; long output of tools is cut.
    Text,
    /// Whole, with headings and fences.
    Md,
    /// As the daemon has it.
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = "\
All words must be there, the last one may be unfinished. \"Words in quotes\" must stand together, -word must not be \
there, word* is a beginning; for the shell, all of it stands in quotes. Identifiers and paths are looked for as they \
are: src/lib.rs, read_line. Accents and capitals make no difference.

Examples:
  codepiper search flaky test
  codepiper search '\"no space left\"' --since 2w
  codepiper search src/lib.rs --workspace ~/project --role user
  codepiper search migration --session a1b2c3d4 --json")]
pub(crate) struct SearchArgs {
    /// What to look for.
    #[arg(required = true, num_args = 1.., value_name = "WORDS")]
    pub(crate) words: Vec<String>,
    /// Only in this session; a whole id also of one that has left the list.
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Only in conversations of this provider.
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// Only in this workspace, by name or id, or in this folder and below.
    #[arg(long, value_name = "NAME|DIR")]
    pub(crate) workspace: Option<String>,
    /// Only what was said in this role.
    #[arg(long, value_parser = PossibleValuesParser::new(ROLES))]
    pub(crate) role: Option<String>,
    /// From then on: 7d, yesterday, 2026-01-31, 2026-01-31T09:00.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Up to then; a day means its end.
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,
    /// Text for people, JSON for programs.
    #[command(flatten)]
    pub(crate) format: super::Format,
}
