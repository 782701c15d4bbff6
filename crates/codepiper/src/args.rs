//! What can be typed: the tree of commands. The comments are the help that users read.

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use codepiper_core::provider::Billing;
use std::path::PathBuf;

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
    Start(StartArgs),
    /// List sessions, or show one.
    #[command(visible_alias = "ls", mut_arg("format", |format| format.short('f')))]
    Sessions(SessionsArgs),
    /// Go to a session's terminal.
    Attach(AttachArgs),
    /// Send a prompt to a session, and wait until the agent took it.
    Send(SendArgs),
    /// Press keys in a session.
    Keys(KeysArgs),
    /// Give a session a command that begins with a slash.
    Slash(SlashArgs),
    /// Print what the agent printed.
    Tail(TailArgs),
    /// Print what happened in a session.
    Logs(LogsArgs),
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
    /// Start, stop and look at the daemon.
    Daemon(DaemonArgs),
    /// Look for what is missing or wrong on this machine.
    #[command(after_help = "\
It works with and without a running daemon; each finding comes with its fix.

Examples:
  codepiper doctor
  codepiper doctor --json")]
    Doctor(Format),
    /// Write a verified copy of the database while the daemon runs.
    Backup(BackupArgs),
    /// Check a backup, or put it in the place of the database.
    Restore(RestoreArgs),
    /// Print the completions for a shell.
    Completions(CompletionsArgs),
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
Examples:
  codepiper start -p claude-code -d ~/projects/my-app
  codepiper start -p codex --name api --model gpt-5.1-codex
  codepiper start -p claude-code -d ~/project --billing api
  codepiper start -p claude-code -d ~/project --worktree --create-branch feature/refactor
  codepiper start -p claude-code --fork a1b2c3d4
  codepiper start -p claude-code --env LOG=debug --env NPM_TOKEN
  codepiper start -p claude-code -d ~/project -- --verbose")]
pub(crate) struct StartArgs {
    /// The agent: claude-code, codex, demo, … (`codepiper providers` lists them).
    #[arg(short, long)]
    pub(crate) provider: Option<String>,
    /// Where it works; the current folder when nothing is said.
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
    /// A name of its own, to be used in place of the id.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Who pays: a subscription, or the API by tokens with the key in the environment.
    #[arg(short, long, value_enum)]
    pub(crate) billing: Option<BillingMode>,
    /// Work in a git worktree of its own, on a new branch unless one is given.
    #[arg(long)]
    pub(crate) worktree: bool,
    /// The branch to work on, in a worktree.
    #[arg(long, value_name = "BRANCH", conflicts_with = "create_branch")]
    pub(crate) branch: Option<String>,
    /// The branch to create and work on, in a worktree.
    #[arg(long, value_name = "BRANCH")]
    pub(crate) create_branch: Option<String>,
    /// Where the new branch starts; HEAD when nothing is said.
    #[arg(long, value_name = "COMMIT", conflicts_with = "branch")]
    pub(crate) start_point: Option<String>,
    /// The model, as the agent names it.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// No permission questions at all: the agent may do whatever you may.
    #[arg(long)]
    pub(crate) dangerous: bool,
    /// Go on with an earlier conversation: a session, or the agent's own id of it.
    #[arg(long, value_name = "ID", conflicts_with = "fork")]
    pub(crate) resume: Option<String>,
    /// Go on with a copy of an earlier conversation.
    #[arg(long, value_name = "ID")]
    pub(crate) fork: Option<String>,
    /// A variable for the agent. Without `=VALUE` it is taken from here, so that a secret is never typed.
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = variable)]
    pub(crate) variables: Vec<(String, Option<String>)>,
    /// Columns of its terminal.
    #[arg(long)]
    pub(crate) cols: Option<u16>,
    /// Rows of its terminal.
    #[arg(long)]
    pub(crate) rows: Option<u16>,
    /// More arguments for the agent.
    #[arg(last = true)]
    pub(crate) args: Vec<String>,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BillingMode {
    Subscription,
    Api,
}

impl From<BillingMode> for Billing {
    fn from(mode: BillingMode) -> Self {
        match mode {
            BillingMode::Subscription => Self::Subscription,
            BillingMode::Api => Self::Api,
        }
    }
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
This is tmux itself, so its own keys work: Ctrl+B D leaves, and the session goes on. The session is called \
codepiper-<id>, so `tmux attach-session -t codepiper-<id>` does the same.

Examples:
  codepiper attach a1b2c3d4
  codepiper attach api --follow")]
pub(crate) struct AttachArgs {
    /// Its id, the beginning of its id, or its name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: String,
    /// Only watch: what is typed does not reach the agent.
    #[arg(short, long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Everything after the first word of the text is text, also what looks like an option; put `--` before a text \
that begins with a dash. The last line break of what is read with `-` is no part of the text.

Examples:
  codepiper send a1b2c3d4 \"refactor the auth module to use Argon2\"
  codepiper send a1b2c3d4 --no-newline \"partial input\"
  codepiper send a1b2c3d4 --image screenshot.png \"what's wrong with this layout?\"
  git diff | codepiper send a1b2c3d4 -
  codepiper send a1b2c3d4 -- --help is a good name for a flag")]
pub(crate) struct SendArgs {
    /// Its id, the beginning of its id, or its name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: String,
    /// Submit the text, which is the default.
    #[arg(short, long, overrides_with = "no_newline")]
    newline: bool,
    /// Leave the text in the agent's input line.
    #[arg(long, overrides_with = "newline")]
    no_newline: bool,
    /// An image to show with it: PNG, JPEG, GIF or WebP, up to 10 MB. Can be repeated.
    #[arg(short, long = "image", value_name = "FILE")]
    pub(crate) images: Vec<PathBuf>,
    /// The text; words are joined by blanks, `-` reads standard input.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) text: Vec<String>,
    #[command(flatten)]
    pub(crate) format: Format,
}

impl SendArgs {
    /// Whether to submit; the last word wins.
    pub(crate) fn submit(&self) -> bool {
        self.newline || !self.no_newline
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Keys: enter, escape, tab, shift+tab, space, backspace, delete, insert, up, down, left, right, home, end, \
pageup, pagedown, f1 to f12, a single character, ctrl+…, alt+…, shift+…, and tmux's own names like C-c.

Examples:
  codepiper keys a1b2c3d4 ctrl+c
  codepiper keys a1b2c3d4 escape up up enter")]
pub(crate) struct KeysArgs {
    /// Its id, the beginning of its id, or its name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: String,
    /// The keys, in order.
    #[arg(required = true, value_name = "KEY", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) keys: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  codepiper slash a1b2c3d4 status
  codepiper slash a1b2c3d4 compact keep the API design")]
pub(crate) struct SlashArgs {
    /// Its id, the beginning of its id, or its name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: String,
    /// The command, with or without its slash.
    #[arg(value_name = "COMMAND", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) command: String,
    /// Its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without options it prints the last lines as plain text. --follow and --raw print what the agent wrote for a \
terminal of its own size; `codepiper attach ID --follow` always shows the whole screen. On a terminal, \
--follow leaves out what does not draw (titles, clipboard, questions to the terminal), unless with --raw.

Examples:
  codepiper tail a1b2c3d4
  codepiper tail a1b2c3d4 -n 200 | less
  codepiper tail a1b2c3d4 --follow
  codepiper tail a1b2c3d4 --cast session.cast && asciinema play session.cast")]
pub(crate) struct TailArgs {
    /// Its id, the beginning of its id, or its name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: String,
    /// How many lines.
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 50)]
    pub(crate) lines: u32,
    /// Go on with what comes, until Ctrl+C or the end of the agent.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// The bytes as the agent wrote them.
    #[arg(long)]
    pub(crate) raw: bool,
    /// Write the recording into a new file, for asciinema; `-` is standard output.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["lines", "follow", "raw"])]
    pub(crate) cast: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Sources: hook (what the agent reports), session (what CodePiper saw and did), transcript, pty, statusline.
With --follow, json prints one object a line.

Examples:
  codepiper logs a1b2c3d4
  codepiper logs a1b2c3d4 --follow --source hook
  codepiper logs a1b2c3d4 --since 10m --type PreToolUse
  codepiper logs a1b2c3d4 --since 2026-01-31T09:00 --json
  codepiper logs a1b2c3d4 --format text")]
pub(crate) struct LogsArgs {
    /// Its id, the beginning of its id, or its name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: String,
    /// The last so many; 100 when nothing is said, all of them with --since.
    #[arg(short = 'n', long = "tail", value_name = "NUMBER")]
    pub(crate) tail: Option<u32>,
    /// Go on with what comes, until Ctrl+C.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only from this source.
    #[arg(long)]
    pub(crate) source: Option<String>,
    /// Only of this type.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Only since then: 10m, 2h30m, 1d, a date, a date and time, or after the event of this number.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// A line an event, JSON, or only what was said as text.
    #[arg(long, value_enum, default_value_t = LogStyle::Pretty)]
    format: LogStyle,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl LogsArgs {
    pub(crate) fn style(&self) -> LogStyle {
        if self.json { LogStyle::Json } else { self.format }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogStyle {
    Pretty,
    Json,
    Text,
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

#[derive(Debug, Args)]
#[command(after_help = "\
Without a command it is the same as `daemon start`. Sessions go on while the daemon is stopped or restarts.

Examples:
  codepiper daemon
  codepiper daemon start --detach
  codepiper daemon status --json
  codepiper daemon logs --follow
  codepiper daemon restart")]
pub(crate) struct DaemonArgs {
    #[command(subcommand)]
    pub(crate) command: Option<DaemonCommand>,
    /// Run in the background.
    #[arg(long)]
    pub(crate) detach: bool,
    /// Print a line when it is ready, for whoever starts it and waits.
    #[arg(long, hide = true)]
    pub(crate) ready_line: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonCommand {
    /// Run the daemon, in the foreground unless told otherwise.
    #[command(after_help = "\
Examples:
  codepiper daemon start
  codepiper daemon start --detach")]
    Start {
        /// Run in the background.
        #[arg(long)]
        detach: bool,
    },
    /// End the daemon; sessions go on.
    #[command(after_help = "\
Examples:
  codepiper daemon stop")]
    Stop,
    /// Tell whether the daemon runs, and where its files are.
    #[command(after_help = "\
Examples:
  codepiper daemon status
  codepiper daemon status --json")]
    Status(Format),
    /// End the daemon and start it again in the background; sessions go on.
    #[command(after_help = "\
Examples:
  codepiper daemon restart")]
    Restart,
    /// Print the daemon's own log.
    #[command(after_help = "\
Examples:
  codepiper daemon logs -n 200
  codepiper daemon logs --follow")]
    Logs {
        /// How many lines.
        #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 100)]
        lines: u32,
        /// Go on with what comes, until Ctrl+C.
        #[arg(short, long)]
        follow: bool,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  codepiper backup
  codepiper backup ~/backups/codepiper.db")]
pub(crate) struct BackupArgs {
    /// A new file; one named after the time, here, when nothing is said.
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The daemon must be stopped to restore; the database that was there is kept beside the new one.

Examples:
  codepiper restore codepiper.db --verify
  codepiper restore codepiper.db")]
pub(crate) struct RestoreArgs {
    /// The backup.
    pub(crate) file: PathBuf,
    /// Only check that it is whole, and say what it holds.
    #[arg(long)]
    pub(crate) verify: bool,
    #[command(flatten)]
    pub(crate) format: Format,
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

/// `NAME=VALUE`, or `NAME` for the value it has here.
fn variable(text: &str) -> Result<(String, Option<String>), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    let start = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !start || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(format!("`{name}` is no name of a variable: letters, digits and _, no digit first"));
    }
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_tree_is_sound_and_every_command_has_examples() {
        fn look(command: &clap::Command, path: &str) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:\n  codepiper "), "`{path}` has no examples");
            assert!(command.get_about().is_some(), "`{path}` does not say what it is for");
            for child in command.get_subcommands() {
                look(child, &format!("{path} {}", child.get_name()));
            }
        }
        let cli = Cli::command();
        cli.clone().debug_assert();
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
        examples(&Cli::command(), &mut lines);
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

    fn send(line: &str) -> String {
        let words = ["codepiper", "send"].into_iter().chain(line.split(' '));
        match Cli::try_parse_from(words) {
            Ok(Cli { socket, command: Some(Command::Send(args)) }) => {
                let socket = socket.map(|path| format!(" socket {}", path.display())).unwrap_or_default();
                let images: String =
                    args.images.iter().map(|path| format!(" image {}", path.display())).collect();
                format!(
                    "{} {:?}{}{socket}{images}",
                    args.id,
                    args.text,
                    if args.submit() { "" } else { " typed" }
                )
            }
            Ok(_) => "another command".into(),
            Err(error) => format!("{:?}", error.kind()),
        }
    }

    #[test]
    fn options_stand_before_the_text_and_the_text_is_taken_as_it_is() {
        let check = |line: &str, expected: &str| assert_eq!(send(line), expected, "for `{line}`");
        check("a1 hello there", r#"a1 ["hello", "there"]"#);
        check("a1 --no-newline part", r#"a1 ["part"] typed"#);
        check("--no-newline a1 part", r#"a1 ["part"] typed"#);
        check("a1 --no-newline -n all", r#"a1 ["all"]"#);
        check("a1 run ls -n --no-newline", r#"a1 ["run", "ls", "-n", "--no-newline"]"#);
        check("a1 -- --no-newline", r#"a1 ["--no-newline"]"#);
        check("a1 a -- b", r#"a1 ["a", "--", "b"]"#);
        check("a1 -x is a flag", r#"a1 ["-x", "is", "a", "flag"]"#);
        check("a1 -", r#"a1 ["-"]"#);
        check(
            "-s /x/y a1 -i one.png --image=two.png look",
            r#"a1 ["look"] socket /x/y image one.png image two.png"#,
        );
        check("a1", r#"a1 []"#);
        check("a1 -h", "DisplayHelp");
    }

    #[test]
    fn variables_have_names() {
        let check = |text: &str, expected: Option<(&str, Option<&str>)>| {
            let expected = expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
            assert_eq!(variable(text).ok(), expected, "for {text:?}");
        };
        check("A=b", Some(("A", Some("b"))));
        check("A_1==b=", Some(("A_1", Some("=b="))));
        check("A=", Some(("A", Some(""))));
        check("A", Some(("A", None)));
        for bad in ["", "=b", "1A=b", "A-B=c", "A B=c", "é=1"] {
            check(bad, None);
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
        check("codepiper daemon logs -n 5 --follow -s /x", true);
    }
}
