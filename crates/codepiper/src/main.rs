//! The `codepiper` command: one program that is the CLI, the daemon, the helper of hooks and panes, and the
//! demo agent.
//!
//! What runs for every tool call and in every pane is taken before anything else, so that it starts in a
//! millisecond: no parser of arguments, no runtime.

mod args;
mod client;
mod commands;
mod demo_agent;
mod entry_text;
mod event_stream;
mod event_text;
mod output;
mod screen_bytes;
mod text;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_ref().and_then(|first| first.to_str()) {
        Some("hook") => return codepiper_daemon::hook_helper::run(),
        Some("status-line") => return codepiper_daemon::status_line::run(arguments),
        Some("pane-supervise") => return codepiper_daemon::pane::supervise(arguments),
        Some("pane-rest") => return codepiper_daemon::pane::rest(arguments),
        Some("pane-record") => return codepiper_daemon::pane::record(arguments),
        Some("demo-agent") => return demo_agent::run(arguments),
        _ => {}
    }
    match commands::run(args::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            output::report(&refusal);
            ExitCode::from(refusal.code.exit_code())
        }
    }
}
