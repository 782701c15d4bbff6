//! `codepiper completions`

use crate::args::{Cli, CompletionsArgs};
use crate::output;
use clap::CommandFactory;
use codepiper_api::Refusal;

pub(super) fn run(args: &CompletionsArgs) -> Result<(), Refusal> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "codepiper", &mut script);
    output::print_bytes(&script)
}
