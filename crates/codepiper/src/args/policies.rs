//! Rules for what agents do: writing them, and asking what they say.

use super::Format;
use clap::{Args, Subcommand, ValueEnum};
use codepiper_core::policy::Action;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
A policy is a list of rules with a priority. The highest priority at which a rule matches decides; within it deny \
beats ask beats allow. Without a command it is the same as `policy list`.

Examples:
  codepiper policy install careful --default
  codepiper policy create --action allow --tool Read --reason harmless
  codepiper policy create --action deny --tool Bash --args '{\"command\":\"sudo*\"}' --reason no-root
  codepiper policy test \"git push\"
  codepiper policy list")]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    pub(crate) command: Option<PolicyCommand>,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// List policies, the first to decide first.
    #[command(
        visible_alias = "ls",
        after_help = "\
Examples:
  codepiper policy list
  codepiper policy list --session api
  codepiper policy list --enabled false --json"
    )]
    List {
        /// Only those scoped to this session; `null` for those scoped to none.
        #[arg(long, value_name = "ID")]
        session: Option<String>,
        /// Only those that count, or only those that don't.
        #[arg(long, value_name = "TRUE|FALSE")]
        enabled: Option<bool>,
        #[command(flatten)]
        format: Format,
    },
    /// Show one with its rules.
    #[command(
        visible_alias = "show",
        after_help = "\
Examples:
  codepiper policy get no-root
  codepiper policy get p-1a2b --json"
    )]
    Get {
        /// Id, name, or the beginning of an id.
        id: String,
        #[command(flatten)]
        format: Format,
    },
    /// Write one: a single rule from options, rules as JSON, or a file.
    #[command(
        visible_alias = "add",
        after_help = "\
It counts for the next call of every session in its scope.

Examples:
  codepiper policy create --action allow --tool Read --reason harmless
  codepiper policy create --action deny --tool Bash --args '{\"command\":\"sudo*\"}' --reason no-root
  codepiper policy create --action ask --tool WebFetch --scope provider:codex --priority 10
  codepiper policy create --name guard --rules '[{\"action\":\"deny\",\"tool\":\"WebSearch\"}]'
  codepiper policy create --file policy.yaml
  codepiper policy export guard | codepiper policy create --file - --replace"
    )]
    Create(Create),
    /// Change one. What is not named stays.
    #[command(after_help = "\
Examples:
  codepiper policy update guard --priority 20
  codepiper policy update guard --enabled false
  codepiper policy update guard --file policy.yaml")]
    Update(Update),
    /// Delete policies, out of their sets too.
    #[command(
        visible_alias = "rm",
        after_help = "\
Examples:
  codepiper policy delete guard
  codepiper policy rm p-1a2b3c4d p-5e6f7a8b"
    )]
    Delete {
        /// Ids, names, or beginnings of ids.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Switch one off, or on again.
    #[command(after_help = "\
Examples:
  codepiper policy toggle guard")]
    Toggle {
        /// Id, name, or the beginning of an id.
        id: String,
        #[command(flatten)]
        format: Format,
    },
    /// Show or set what happens to a call that no rule decides.
    #[command(after_help = "\
`ask` leaves it to the agent's own rules whether you are asked; `deny` refuses it.

Examples:
  codepiper policy default
  codepiper policy default deny")]
    Default {
        /// The new one.
        action: Option<Rest>,
        #[command(flatten)]
        format: Format,
    },
    /// Say what a call would get, which rule decides, and each part of a command.
    #[command(after_help = "\
Words without `--tool` are a command for Bash. Without a session it is decided as for a new one in this folder. \
Nothing is run, changed or put on record.

Examples:
  codepiper policy test \"git push\"
  codepiper policy test \"make && ./deploy\" --session api
  codepiper policy test --tool Write --args '{\"file_path\":\"/etc/hosts\"}'
  codepiper policy test \"curl example.com\" --file draft.yaml --exit-code")]
    Test(Trial),
    /// Say which policies hold for a session, in the order in which they decide.
    #[command(after_help = "\
Examples:
  codepiper policy explain api")]
    Explain {
        /// The session.
        session: String,
        #[command(flatten)]
        format: Format,
    },
    /// Make policies of the permission rules in Claude Code's settings.
    #[command(after_help = "\
Without a file: ~/.claude/settings.json for every session, and .claude/settings.json and .claude/settings.local.json \
of the folder for sessions in it. What cannot be said in our rules is listed. Importing again brings the rules up to \
date.

Examples:
  codepiper policy import --claude
  codepiper policy import --claude ~/.claude/settings.json --yes")]
    Import {
        /// From Claude Code: this file, else those it reads in this folder.
        #[arg(long, required = true, value_name = "FILE", num_args = 0..=1)]
        claude: Option<Option<PathBuf>>,
        /// The folder whose project settings are read; the current one when nothing is said.
        #[arg(short, long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
        /// Write without asking.
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Print policies as a file that `create --file` takes.
    #[command(after_help = "\
One policy is printed by itself, several or all of them as a list.

Examples:
  codepiper policy export > policies.json
  codepiper policy export guard --format yaml > guard.yaml")]
    Export {
        /// Ids, names, or beginnings of ids; all when nothing is said.
        ids: Vec<String>,
        /// How.
        #[arg(long, value_enum, default_value_t = ExportStyle::Json)]
        format: ExportStyle,
        /// The same as `--format json`.
        #[arg(long, conflicts_with = "format")]
        json: bool,
    },
    /// Say what a policy would have changed in the calls that were recorded.
    #[command(after_help = "\
The draft is a file, or a policy that is there (a disabled one, for example). Files that links pointed to are not \
looked up.

Examples:
  codepiper policy backtest --file draft.yaml
  codepiper policy backtest guard --since 7d
  codepiper policy backtest --file draft.yaml --session api --show 100 --json")]
    Backtest(BacktestArgs),
    /// List the policies that come with CodePiper.
    #[command(after_help = "\
Examples:
  codepiper policy starters
  codepiper policy starters --json")]
    Starters(Format),
    /// Install one of them: as a policy, and a policy set with it.
    #[command(after_help = "\
It counts for no session until its set is applied, or is the default for new ones.

Examples:
  codepiper policy install careful
  codepiper policy install careful --default
  codepiper policy install read-only && codepiper policy-set apply read-only api")]
    Install {
        /// Its name.
        name: String,
        /// Give its set to every new session.
        #[arg(long)]
        default: bool,
        #[command(flatten)]
        format: Format,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its name; made from the rule when nothing is said.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Its id; a random one when nothing is said.
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Higher decides first; 0 when nothing is said.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) priority: Option<i64>,
    #[command(flatten)]
    pub(crate) scope: Scoped,
    /// Write it without letting it count.
    #[arg(long)]
    pub(crate) disabled: bool,
    /// What its only rule says.
    #[arg(long, value_enum, conflicts_with_all = ["rules", "file"])]
    pub(crate) action: Option<Word>,
    /// The tool of the rule. Can be repeated.
    #[arg(long, value_name = "PATTERN", requires = "action")]
    pub(crate) tool: Vec<String>,
    /// The arguments of the rule: an object of names and patterns.
    #[arg(long, value_name = "JSON", requires = "action")]
    pub(crate) args: Option<String>,
    /// The folder the agent must work in. Can be repeated.
    #[arg(long, value_name = "PATTERN", requires = "action")]
    pub(crate) cwd: Vec<String>,
    /// Why, for the agent and for you.
    #[arg(long, value_name = "TEXT", requires = "action")]
    pub(crate) reason: Option<String>,
    /// Its rules: a JSON list.
    #[arg(long, value_name = "JSON", conflicts_with = "file", requires = "name")]
    pub(crate) rules: Option<String>,
    /// Policies in YAML or JSON; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Overwrite those that are there with the same id.
    #[arg(long, requires = "file")]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Update {
    /// Id, name, or the beginning of an id.
    pub(crate) id: String,
    /// Its name.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What it is for; empty takes it away.
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Higher decides first.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) priority: Option<i64>,
    /// Whether it counts.
    #[arg(long, value_name = "TRUE|FALSE")]
    pub(crate) enabled: Option<bool>,
    #[command(flatten)]
    pub(crate) scope: Scoped,
    /// Its rules: a JSON list.
    #[arg(long, value_name = "JSON", conflicts_with = "file")]
    pub(crate) rules: Option<String>,
    /// What the file says of it, in YAML or JSON; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// For which sessions a policy counts.
#[derive(Debug, Args)]
pub(crate) struct Scoped {
    /// For which sessions: global, set, session:ID, workspace:FOLDER or provider:ID; all when nothing is said.
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Option<String>,
    /// The same as `--scope session:ID`.
    #[arg(long, value_name = "ID", conflicts_with = "scope")]
    pub(crate) session: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Trial {
    /// A command for Bash.
    #[arg(conflicts_with = "tool")]
    pub(crate) command: Vec<String>,
    /// The tool of the call.
    #[arg(long)]
    pub(crate) tool: Option<String>,
    /// The arguments of the call.
    #[arg(long, value_name = "JSON", requires = "tool")]
    pub(crate) args: Option<String>,
    /// As a call of this session.
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Where the agent works: the session's folder, or this one when nothing is said.
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
    /// The agent of a new session.
    #[arg(short, long, conflicts_with = "session")]
    pub(crate) provider: Option<String>,
    /// Ask this draft and nothing that is in force; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Tell programs by the exit code: 0 allow, 5 deny, 8 a person is asked.
    #[arg(long)]
    pub(crate) exit_code: bool,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct BacktestArgs {
    /// A policy that is there.
    #[arg(conflicts_with = "file")]
    pub(crate) id: Option<String>,
    /// A draft; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Only calls of this session.
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Only calls since then: 7d, 2h, a date, a date and time.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// At most so many calls, the latest: 10,000 unless said, up to 100,000.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,
    /// At most so many of the calls that change: 20 unless said, up to 1,000.
    #[arg(long, value_name = "N")]
    pub(crate) show: Option<u32>,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportStyle {
    Json,
    Yaml,
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Word {
    Allow,
    Ask,
    Deny,
}

impl From<Word> for Action {
    fn from(word: Word) -> Self {
        match word {
            Word::Allow => Self::Allow,
            Word::Ask => Self::Ask,
            Word::Deny => Self::Deny,
        }
    }
}

/// What happens to the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rest {
    Ask,
    Deny,
}
