//! `codepiper completions`

use crate::args::{CompletionsArgs, whole_tree};
use crate::output;
use codepiper_api::Refusal;

pub(super) fn run(args: &CompletionsArgs) -> Result<(), Refusal> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut whole_tree(), "codepiper", &mut script);
    output::print_bytes(&script)
}
