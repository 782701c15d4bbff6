//! The daemon and its database.

use super::Format;
use clap::{Args, Subcommand};
use std::path::PathBuf;

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
    #[command(flatten)]
    pub(crate) dashboard: Dashboard,
}

/// The original's options for the dashboard. They are known, so that who types them is told what there is.
#[derive(Debug, Args)]
pub(crate) struct Dashboard {
    /// Serve the web dashboard: not in this release.
    #[arg(long)]
    web: bool,
    /// The dashboard's port: not in this release.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Its address; the guides of the original name it, its daemon ignored it.
    #[arg(long, hide = true, value_name = "ADDRESS")]
    host: Option<String>,
    /// The folder of its files.
    #[arg(long, hide = true, value_name = "FOLDER")]
    web_dir: Option<PathBuf>,
}

impl Dashboard {
    /// Which of them were typed.
    pub(crate) fn typed(&self) -> Vec<&'static str> {
        let options = [
            (self.web, "--web"),
            (self.port.is_some(), "--port"),
            (self.host.is_some(), "--host"),
            (self.web_dir.is_some(), "--web-dir"),
        ];
        options.into_iter().filter(|(typed, _)| *typed).map(|(_, option)| option).collect()
    }
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
        #[command(flatten)]
        dashboard: Dashboard,
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
The daemon must be stopped to restore; the database that was there is kept beside the new one. The keys of env \
sets are in no backup: they are files below ~/.codepiper/keys, to be copied apart from it.

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
