//! What can be typed: the tree of commands here, the arguments of each in the file of its subject. The comments
//! are the help that users read.

mod approvals;
mod audit;
mod budget;
mod daemon;
mod env_sets;
mod import;
mod input;
mod knowledge;
mod notifications;
mod output;
mod policies;
mod policy_sets;
mod sessions;
mod settings;
mod start;
mod workspaces;

pub(crate) use approvals::{ApprovalsArgs, ApprovalsCommand};
pub(crate) use audit::{AuditArgs, AuditCommand, AuditStyle};
pub(crate) use budget::BudgetArgs;
pub(crate) use daemon::{BackupArgs, DaemonArgs, DaemonCommand, Dashboard, RestoreArgs};
pub(crate) use env_sets::{EnvSetArgs, EnvSetCommand, Variables};
pub(crate) use import::ImportArgs;
pub(crate) use input::{KeysArgs, SendArgs, SlashArgs};
pub(crate) use knowledge::{
    AnalyticsArgs, AnalyticsStyle, By, SearchArgs, TranscriptArgs, TranscriptStyle, View,
};
pub(crate) use notifications::{NotificationsArgs, NotificationsCommand};
pub(crate) use output::{AttachArgs, LogStyle, LogsArgs, TailArgs};
pub(crate) use policies::{
    BacktestArgs, Create, ExportStyle, PolicyArgs, PolicyCommand, Scoped, Trial, Update,
};
pub(crate) use policy_sets::{PolicySetArgs, PolicySetCommand};
pub(crate) use sessions::{
    ModelArgs, OneSession, RenameArgs, ResizeArgs, RmArgs, SessionsArgs, SessionsCommand, SomeSessions,
};
pub(crate) use settings::{SettingsArgs, SettingsCommand};
pub(crate) use start::StartArgs;
pub(crate) use workspaces::{Defaults, WorkspaceArgs, WorkspaceCommand};

use clap::builder::Resettable;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// Run AI coding agents in tmux, owned by a daemon: they outlive terminals, connections and restarts.
#[derive(Debug, Parser)]
#[command(name = "codepiper", version, max_term_width = 100, after_help = TOP_HELP)]
pub(crate) struct Cli {
    /// The daemon's socket; else $CODEPIPER_SOCKET, else /tmp/codepiper.sock.
    #[arg(short, long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// What to do; the help when nothing is said.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const TOP_HELP: &str = "\
Examples:
  codepiper daemon start --detach              start the daemon
  codepiper start -p claude-code -d ~/project  start a session
  codepiper sessions                           see what runs, and what waits for you
  codepiper attach a1b2                        go to its terminal (Ctrl+B D leaves it)

Sessions are named by id, by the beginning of an id, or by name.
`codepiper <command> --help` tells more of each command.

Exit codes:
  0  done
  1  an error of CodePiper itself
  2  the command line makes no sense
  3  the daemon cannot be reached
  4  not found, or the name means several things
  5  refused: not in this state, not by this user
  6  something is missing on the machine: a program, a folder
  7  the agent did not do it";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a session.
    Start(Lazy<StartArgs>),
    /// List sessions, or show one.
    #[command(visible_alias = "ls", mut_arg("format", |format| format.short('f')))]
    Sessions(SessionsArgs),
    /// Go to a session's terminal.
    Attach(Lazy<AttachArgs>),
    /// Send a prompt to a session, and wait until the agent took it.
    Send(Lazy<SendArgs>),
    /// Press keys in a session.
    Keys(Lazy<KeysArgs>),
    /// Interrupt what a session is working on; it stays, and waits for the next prompt.
    #[command(after_help = "\
Presses the key that interrupts this agent, and returns when the agent shows that it stopped. A question that \
stands open is answered with no.

Examples:
  codepiper interrupt a1b2c3d4")]
    Interrupt(OneSession),
    /// See and answer what waits for you in any session.
    #[command(visible_alias = "approval")]
    Approvals(Lazy<ApprovalsArgs>),
    /// Show what wants your attention, and what is told how.
    Notifications(Lazy<NotificationsArgs>),
    /// Read the log of decisions, answers and changes of policies, or check that it is whole.
    Audit(Lazy<AuditArgs>),
    /// Write, try out and explain rules: what agents may do without asking, and what they may not.
    Policy(Lazy<PolicyArgs>),
    /// Policies that come and go together for a session.
    PolicySet(Lazy<PolicySetArgs>),
    /// Show or set what a session, or a day, may take in dollars, tokens or time before every tool call asks.
    Budget(Lazy<BudgetArgs>),
    /// Give a session a command that begins with a slash.
    Slash(SlashArgs),
    /// Take in the conversations that Claude Code and Codex left on this machine: to search them, and to count them.
    Import(Lazy<ImportArgs>),
    /// Print what the agent printed.
    Tail(Lazy<TailArgs>),
    /// Print what happened in a session.
    Logs(Lazy<LogsArgs>),
    /// Print what was said in a session, or in any conversation of an agent.
    Transcript(Lazy<TranscriptArgs>),
    /// Find what was said in any conversation.
    Search(Lazy<SearchArgs>),
    /// Show what agents took and did: tokens, costs, tools, messages.
    Analytics(Lazy<AnalyticsArgs>),
    /// Show or switch a session's model.
    Model(ModelArgs),
    /// End sessions gracefully; they can be resumed.
    #[command(after_help = "\
The agent gets the time to end by itself; its last screen stays readable.

Examples:
  codepiper stop a1b2c3d4
  codepiper stop api web docs")]
    Stop(SomeSessions),
    /// End sessions at once, with everything they started.
    #[command(after_help = "\
Examples:
  codepiper kill a1b2c3d4")]
    Kill(SomeSessions),
    /// Start an ended session again, with its conversation.
    #[command(after_help = "\
Examples:
  codepiper resume a1b2c3d4")]
    Resume(OneSession),
    /// Take a session back that the daemon lost: from tmux where it still runs, else by resuming it.
    #[command(after_help = "\
Examples:
  codepiper recover a1b2c3d4")]
    Recover(OneSession),
    /// Remove ended sessions from the list, with their recordings.
    Rm(RmArgs),
    /// Give a session a name, or take it away.
    Rename(RenameArgs),
    /// Change the size of a session's terminal.
    #[command(after_help = "\
Examples:
  codepiper resize a1b2c3d4 160 48")]
    Resize(ResizeArgs),
    /// List the agents that can be started, and what each can do.
    #[command(
        mut_arg("format", |format| format.short('f')),
        after_help = "\
Examples:
  codepiper providers
  codepiper providers --json | jq -r '.[] | select(.program) | .id'"
    )]
    Providers(Format),
    /// Manage env sets: named variables for agents, kept encrypted.
    EnvSet(Lazy<EnvSetArgs>),
    /// Manage workspaces: folders with a name, and what a start there takes.
    Workspace(Lazy<WorkspaceArgs>),
    /// Start, stop and look at the daemon.
    Daemon(Lazy<DaemonArgs>),
    /// Show and change the daemon's settings.
    Settings(Lazy<SettingsArgs>),
    /// Look for what is missing or wrong on this machine.
    #[command(after_help = "\
It works with and without a running daemon; each finding comes with its fix.

Examples:
  codepiper doctor
  codepiper doctor --json")]
    Doctor(Format),
    /// Write a verified copy of the database while the daemon runs.
    Backup(Lazy<BackupArgs>),
    /// Check a backup, or put it in the place of the database.
    Restore(Lazy<RestoreArgs>),
    /// Print the completions for a shell.
    Completions(CompletionsArgs),
}

/// Arguments of a command that are only set up when it is the one: all of them together took a third of the time that a
/// command takes.
#[derive(Debug)]
pub(crate) struct Lazy<T>(pub(crate) T);

impl<T: Args> Args for Lazy<T> {
    fn augment_args(command: clap::Command) -> clap::Command {
        match ALL_AT_ONCE.load(Ordering::Relaxed) {
            true => T::augment_args(command),
            false => command.defer(|command| keep_about(command, T::augment_args)),
        }
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        T::augment_args_for_update(command)
    }
}

/// Whether all commands are set up at once, as completions need them: what `help` knows is copied before the rest is
/// set up.
static ALL_AT_ONCE: AtomicBool = AtomicBool::new(false);

/// The whole tree of commands.
pub(crate) fn whole_tree() -> clap::Command {
    ALL_AT_ONCE.store(true, Ordering::Relaxed);
    Cli::command()
}

/// What the command is for was said with the command; a group of arguments would say what the group is for.
fn keep_about(command: clap::Command, augment: fn(clap::Command) -> clap::Command) -> clap::Command {
    let (about, long_about) = (command.get_about().cloned(), command.get_long_about().cloned());
    augment(command).about(Resettable::from(about)).long_about(Resettable::from(long_about))
}

impl<T: FromArgMatches> FromArgMatches for Lazy<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

/// How data is printed.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Format {
    /// A table for people, JSON for programs.
    #[arg(long, value_enum, default_value_t = Style::Table)]
    format: Style,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl Format {
    pub(crate) fn json(self) -> bool {
        self.json || self.format == Style::Json
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Style {
    Table,
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  codepiper completions bash > ~/.local/share/bash-completion/completions/codepiper
  codepiper completions zsh > \"${fpath[1]}/_codepiper\"
  codepiper completions fish > ~/.config/fish/completions/codepiper.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_sound_and_every_command_has_examples() {
        fn look(command: &clap::Command, path: &str) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:\n  codepiper "), "`{path}` has no examples");
            assert!(command.get_about().is_some(), "`{path}` does not say what it is for");
            for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
                look(child, &format!("{path} {}", child.get_name()));
            }
        }
        let mut cli = Cli::command();
        cli.clone().debug_assert();
        cli.build();
        look(&cli, "codepiper");
    }

    #[test]
    fn examples_of_the_help_can_be_typed() {
        fn examples(command: &clap::Command, into: &mut Vec<String>) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let lines = help.lines().filter(|line| line.starts_with("  codepiper ")).map(str::trim);
            into.extend(lines.map(str::to_owned));
            command.get_subcommands().for_each(|child| examples(child, into));
        }
        let mut lines = Vec::new();
        let mut cli = Cli::command();
        cli.build();
        examples(&cli, &mut lines);
        assert!(lines.len() > 40);
        for line in lines {
            // Up to what is the shell's, or an explanation.
            let typed = line.split(" | ").next().and_then(|line| line.split(" > ").next()).unwrap_or(&line);
            let typed = typed.split(" && ").next().and_then(|line| line.split("  ").next()).unwrap_or(typed);
            let words = typed.split(' ').map(|word| word.trim_matches('"'));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("`{line}`: {error}");
            }
        }
    }

    #[test]
    fn what_excludes_each_other_is_refused() {
        let check = |line: &str, good: bool| {
            let result = Cli::try_parse_from(line.split(' '));
            assert_eq!(result.is_ok(), good, "for `{line}`: {:?}", result.err());
        };
        check("codepiper start -p demo --resume a --fork b", false);
        check("codepiper start -p demo --branch a --create-branch b", false);
        check("codepiper start -p demo --branch a --start-point b", false);
        check("codepiper start -p demo --worktree --start-point b", true);
        check("codepiper start -p demo --json --format json", false);
        check("codepiper sessions -f json", true);
        check("codepiper -s /x sessions show a1 --json", true);
        check("codepiper sessions -s /x show a1", true);
        check("codepiper settings --json list", true);
        check("codepiper settings set endedSessionHours -1", true);
        check("codepiper settings set endedSessionHours", false);
        check("codepiper settings set frob 1", false);
        check("codepiper settings get frob", false);
        check("codepiper env-set create x A=b --from-file f", false);
        check("codepiper env-set create x --from-file f --stdin", false);
        check("codepiper env-set create x --from-file f", true);
        check("codepiper env-set set x A --stdin", true);
        check("codepiper env-set set x A-B=c", false);
        check("codepiper env-set unset x", false);
        check("codepiper env-set rm x y", true);
        check("codepiper env-set get x", true);
        check("codepiper env-set --json ls", true);
        check("codepiper workspace add x /p --no-model", false);
        check("codepiper workspace update x --model m --no-model", false);
        check("codepiper workspace update x --no-model --no-env-sets", true);
        check("codepiper start --workspace x", true);
        check("codepiper rename a1", false);
        check("codepiper rename a1 b --clear", false);
        check("codepiper rename a1 --clear", true);
        check("codepiper tail a1 --cast f --follow", false);
        check("codepiper tail a1 --cast f", true);
        check("codepiper stop", false);
        check("codepiper stop ", false);
        check("codepiper keys a1 -", true);
        check("codepiper keys a1", false);
        check("codepiper resize a1 0x10 3", false);
        check("codepiper frob", false);
        check("codepiper analytics --days 30", true);
        check("codepiper analytics costs --by session --days 0 --format csv", true);
        check("codepiper analytics --days 30 --since 7d", false);
        check("codepiper analytics frob", false);
        check("codepiper transcript a1 --follow --output f", false);
        check("codepiper transcript a1 -f -n 5 --json", true);
        check("codepiper search", false);
        check("codepiper search a --role frob", false);
        check("codepiper search a b --limit 3 --json", true);
        check("codepiper daemon logs -n 5 --follow -s /x", true);
    }
}
