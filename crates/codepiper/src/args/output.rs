//! What is seen of a session: its terminal, its output, its events.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

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
