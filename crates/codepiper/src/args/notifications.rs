use super::Format;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Without a word after it, it lists what nobody has read. What is told: a turn that ended or failed, a session that asks \
or needs permission, one that ended by itself or crashed, a budget, a limit that begins anew. When: a session has to stay \
as it is for 3 seconds, and the same is not told again for 30; `codepiper settings` has both. A session that goes on \
marks what it waited for as read.

Handlers run a program or post to an address when something happens: ~/.codepiper/handlers.toml says which.

Examples:
  codepiper notifications
  codepiper notifications list --all --session a1b2c3d4
  codepiper notifications watch --json
  codepiper notifications read 12
  codepiper notifications read --all
  codepiper notifications prefs a1b2c3d4 --off
  codepiper notifications handlers
  codepiper notifications test"
)]
pub(crate) struct NotificationsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<NotificationsCommand>,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NotificationsCommand {
    /// List notifications, newest first.
    #[command(after_help = "\
Examples:
  codepiper notifications list
  codepiper notifications list --all --type session.crashed --json")]
    List {
        /// Also what was read.
        #[arg(long)]
        all: bool,
        /// Only of this session.
        #[arg(long, value_name = "ID")]
        session: Option<String>,
        /// Only of this kind.
        #[arg(long = "type", value_name = "KIND")]
        kind: Option<String>,
        /// At most so many.
        #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
        #[command(flatten)]
        format: Format,
    },
    /// Print notifications as they come, until interrupted.
    #[command(after_help = "\
Examples:
  codepiper notifications watch
  codepiper notifications watch --json | jq -r .title")]
    Watch(Format),
    /// Mark notifications as read.
    #[command(after_help = "\
Examples:
  codepiper notifications read 12 13
  codepiper notifications read --session a1b2c3d4
  codepiper notifications read --all")]
    Read {
        /// Which.
        #[arg(required_unless_present_any = ["all", "session"], value_name = "NUMBER")]
        ids: Vec<u64>,
        /// All of them.
        #[arg(long, conflicts_with_all = ["ids", "session"])]
        all: bool,
        /// All of this session.
        #[arg(long, value_name = "ID", conflicts_with = "ids")]
        session: Option<String>,
    },
    /// Show or change what is told of a session.
    #[command(after_help = "\
What a session says counts before the settings notificationsEnabled and notificationEventDefaults.

Examples:
  codepiper notifications prefs a1b2c3d4
  codepiper notifications prefs a1b2c3d4 --off
  codepiper notifications prefs a1b2c3d4 --on --not session.turn_completed
  codepiper notifications prefs a1b2c3d4 --only session.crashed
  codepiper notifications prefs a1b2c3d4 --default")]
    Prefs {
        /// The session.
        id: String,
        /// Tell everything.
        #[arg(long)]
        on: bool,
        /// Tell nothing.
        #[arg(long, conflicts_with = "on")]
        off: bool,
        /// Follow the settings, in everything.
        #[arg(long, conflicts_with_all = ["on", "off", "only", "not"])]
        default: bool,
        /// Tell this kind and no other; can be repeated.
        #[arg(long, value_name = "KIND", conflicts_with_all = ["on", "off", "not"])]
        only: Vec<String>,
        /// Do not tell this kind; can be repeated.
        #[arg(long, value_name = "KIND")]
        not: Vec<String>,
        #[command(flatten)]
        format: Format,
    },
    /// List the handlers and how they get along.
    #[command(after_help = "\
~/.codepiper/handlers.toml says which there are; it has to be yours alone (chmod 600), and is read again when it changes. \
A program gets JSON on its input and $CODEPIPER_TITLE, $CODEPIPER_BODY and more; `post` with `json` posts:

  [[handler]]
  name = \"desktop\"
  on = [\"session.*\"]
  run = [\"sh\", \"-c\", 'notify-send -- \"$CODEPIPER_TITLE\" \"$CODEPIPER_BODY\"']

  [[handler]]
  name = \"phone\"
  on = [\"session.permission_required\", \"session.crashed\"]
  post = \"https://ntfy.sh\"
  json = { topic = \"my-secret-topic\", title = \"{title}\", message = \"{body}\" }

Examples:
  codepiper notifications handlers
  codepiper notifications test phone")]
    Handlers(Format),
    /// Have handlers do what they do, with a message that says it is a test.
    #[command(after_help = "\
Examples:
  codepiper notifications test
  codepiper notifications test phone")]
    Test {
        /// Only this one.
        handler: Option<String>,
        #[command(flatten)]
        format: Format,
    },
}
