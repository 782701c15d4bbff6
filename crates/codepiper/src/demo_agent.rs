//! The demo agent: a real terminal program that behaves like a coding agent, with no model behind it.
//!
//! It is for trying the product where no agent CLI is installed, and for tests of everything else. Flags, files,
//! hooks and keys are modelled on Claude Code, so that one set of parsers serves both. What it does comes from
//! its prompt ([`script`]). It knows nothing of CodePiper: whoever starts it gives it settings, as to any agent.
//!
//! One thread, one poll. A turn is straight-line code, and everything it waits for goes through
//! [`agent::Agent::step`], which meanwhile serves keyboard, signals, children and screen. An interrupt or the end
//! comes out of `step` as an error and unwinds the turn.

use std::ffi::OsString;
use std::process::ExitCode;

mod agent;
mod args;
mod child;
mod home;
mod hook_runs;
mod hooks;
mod keys;
mod line_editor;
mod permission;
mod screen;
mod script;
mod signals;
mod slash;
mod status_line;
mod tool;
mod transcript;
mod turn;
mod view;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs `codepiper demo-agent` with the arguments behind these two words.
pub(crate) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args = match args::parse(args) {
        Ok(args::Asked::Talk(args)) => args,
        Ok(args::Asked::Version) => {
            println!("{VERSION} (CodePiper demo agent)");
            return ExitCode::SUCCESS;
        }
        Ok(args::Asked::Help) => {
            print!("{}", help());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    match agent::Agent::open(args).and_then(|mut agent| agent.talk()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let mut help = "\
A coding agent without a model: it does what its prompt says, line by line.

Usage: codepiper demo-agent [options] [prompt]

Options:
  --session-id UUID               the id of the new conversation
  --resume UUID                   go on with a conversation of this folder
  --fork-session                  with --resume: go on with a copy of it
  --settings FILE-OR-JSON         hooks and status line, in Claude Code's format
  --model NAME                    the model to name; nothing else depends on it
  --permission-mode MODE          default, acceptEdits, plan, auto, dontAsk or bypassPermissions
  --dangerously-skip-permissions  the same as --permission-mode bypassPermissions
  --version

Lines of a prompt:
"
    .to_owned();
    for (usage, what) in script::USAGE {
        help.push_str(&format!("  {usage:<30}  {what}\n"));
    }
    help
}
