//! A step of a longer command: a heading, the work, how it went and how long it took.
//!
//! All of it goes to stdout: this is the report, and CI keeps it in order with the output of the tests.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::Exit;

/// Runs `work` under a heading. An error is told here and only here; the caller gets how to end, if it wants to.
pub(crate) fn step<T>(title: &str, work: impl FnOnce() -> Result<T>) -> Result<T, Exit> {
    println!("\n== {title}");
    let start = Instant::now();
    let done = work();
    let seconds = start.elapsed().as_secs_f32();
    done.inspect(|_| println!("   ok, {seconds:.1} s")).map_err(|error| {
        println!("   FAILED after {seconds:.1} s: {error:#}");
        Exit::of(&error)
    })
}

/// Runs a command to its end with our own stdin, stdout and stderr.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let line = shown(command);
    let status = command.status().with_context(|| format!("starting `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// A command as one would type it, without the folders of the program.
pub(crate) fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}
