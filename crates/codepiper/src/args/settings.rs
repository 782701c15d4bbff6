//! The daemon's settings.

use super::Format;
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, Subcommand};
use codepiper_api::settings::SETTINGS;

#[derive(Debug, Args)]
#[command(after_help = "\
Without a command it is the same as `settings list`. A change needs no restart, and is kept.

Examples:
  codepiper settings
  codepiper settings get endedSessionHours
  codepiper settings set endedSessionHours 72
  codepiper settings set preserveSessions false
  codepiper settings --json")]
pub(crate) struct SettingsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<SettingsCommand>,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SettingsCommand {
    /// Show all settings, what they are unless set, and what they decide.
    #[command(
        visible_alias = "ls",
        after_help = "\
Examples:
  codepiper settings list
  codepiper settings list --json"
    )]
    List(Format),
    /// Print the value of one.
    #[command(after_help = "\
Examples:
  codepiper settings get endedSessionHours")]
    Get {
        /// Its name.
        #[arg(value_parser = names())]
        name: String,
        #[command(flatten)]
        format: Format,
    },
    /// Change one.
    #[command(after_help = "\
Examples:
  codepiper settings set endedSessionHours 72
  codepiper settings set resumeAfterReboot false")]
    Set {
        /// Its name.
        #[arg(value_parser = names())]
        name: String,
        /// What it is to be: true, false or a number.
        // A number below zero is refused by the rule of the setting, and not as an option.
        #[arg(allow_negative_numbers = true)]
        value: String,
        #[command(flatten)]
        format: Format,
    },
}

/// The names, for the help, for refusals and for completions.
fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(SETTINGS.map(|setting| PossibleValue::new(setting.name).help(setting.means)))
}
