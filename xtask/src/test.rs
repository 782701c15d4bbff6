//! `cargo xtask test`: everything CI checks, in one go, with a count as the last line.
//!
//! Nothing stops at the first failure except missing needs: one run tells everything there is to mend.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::needs::{self, Install, Purpose};
use crate::step::{shown, step};
use crate::workspace::Workspace;
use crate::{Exit, agents, check};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) install: Install,
    /// Appended to `cargo test`: packages, a filter, and after another `--` what the test binaries get.
    pub(crate) cargo_args: Vec<String>,
}

/// The folder with `claude` and `codex` for the tests that start the real ones.
const AGENTS_VARIABLE: &str = "CODEPIPER_TEST_AGENTS";

pub(crate) fn run(options: &Options) -> Result<Exit> {
    let mut tally = Tally::default();
    let exit = steps(options, &mut tally).unwrap_or_else(|error| {
        println!("error: {error:#}");
        tally.failed += 1;
        Exit::Failed
    });
    if tally.ignored > 0 {
        println!("\n{} ignored", tally.ignored);
    }
    println!("\n{} passed, {} failed", tally.passed, tally.failed);
    Ok(if exit == Exit::Fine && tally.failed > 0 { Exit::Failed } else { exit })
}

/// A failing step is told by `step` and counted here; an error is what leaves no way on.
fn steps(options: &Options, tally: &mut Tally) -> Result<Exit> {
    if let Err(exit) = step("needs", || needs::provide(Purpose::Test, options.install)) {
        tally.failed += 1;
        return Ok(exit);
    }
    let workspace = Workspace::load()?;
    for check in check::ALL {
        match step(check.title, || (check.run)(&workspace)) {
            Ok(()) => tally.passed += 1,
            Err(_) => tally.failed += 1,
        }
    }
    if step("agent CLIs", || agents::install(&workspace)).is_err() {
        tally.failed += 1;
    }
    let agents = agents::binaries(&workspace);
    let mut tests = Tally::default();
    let _told = step("cargo test", || cargo_test(&workspace, &agents, &options.cargo_args, &mut tests));
    tally.add(&tests);
    Ok(Exit::Fine)
}

fn cargo_test(workspace: &Workspace, agents: &Path, extra: &[String], tally: &mut Tally) -> Result<()> {
    let mut command = workspace.cargo(test_args(extra));
    command.env(AGENTS_VARIABLE, agents);
    let mut results = Results::default();
    let success = stream(&mut command, |line| results.line(line))?;
    *tally = results.finish(success);
    println!("   {} passed, {} failed, {} ignored", tally.passed, tally.failed, tally.ignored);
    if !success {
        bail!("`{}` failed", shown(&command));
    }
    Ok(())
}

/// `--workspace` unless packages are named: cargo would take both as all of them.
fn test_args(extra: &[String]) -> Vec<&str> {
    let ours = extra.iter().take_while(|arg| *arg != "--");
    let packages_named = ours.into_iter().any(|arg| arg.starts_with("-p") || arg.starts_with("--package"));
    let mut args = vec!["test", "--no-fail-fast"];
    args.extend((!packages_named).then_some("--workspace"));
    args.extend(extra.iter().map(String::as_str));
    args
}

/// Passes the output on as it comes and shows it to `each_line` as well. True when the command succeeded.
fn stream(command: &mut Command, mut each_line: impl FnMut(&str)) -> Result<bool> {
    let line = shown(command);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("starting `{line}`"))?;
    let mut output = child.stdout.take().expect("stdout is piped, two lines above");
    let mut chunk = [0; 8192];
    let mut pending = Vec::new();
    loop {
        let size = output.read(&mut chunk).with_context(|| format!("reading from `{line}`"))?;
        if size == 0 {
            break;
        }
        let mut stdout = std::io::stdout();
        stdout.write_all(&chunk[..size]).and_then(|()| stdout.flush()).context("writing to stdout")?;
        pending.extend_from_slice(&chunk[..size]);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let whole: Vec<u8> = pending.drain(..=end).collect();
            each_line(String::from_utf8_lossy(&whole).trim_end());
        }
    }
    each_line(&String::from_utf8_lossy(&pending));
    Ok(child.wait().with_context(|| format!("waiting for `{line}`"))?.success())
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// Sums up what `cargo test` prints, one test binary after another.
#[derive(Default)]
struct Results {
    tally: Tally,
    /// A test binary said `running N tests` and has not said how it went.
    unfinished: bool,
}

impl Results {
    fn line(&mut self, line: &str) {
        if line.starts_with("running ") && (line.ends_with(" test") || line.ends_with(" tests")) {
            self.close();
            self.unfinished = true;
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            self.unfinished = false;
            let words: Vec<&str> = counts.split_whitespace().collect();
            for pair in words.windows(2) {
                let Ok(count) = pair[0].parse::<usize>() else { continue };
                match pair[1].trim_end_matches(';') {
                    "passed" => self.tally.passed += count,
                    "failed" => self.tally.failed += count,
                    "ignored" => self.tally.ignored += count,
                    _ => {}
                }
            }
        }
    }

    /// A test binary that died (a signal, `exit` in a test) has no result line: that is one failure.
    fn close(&mut self) {
        if std::mem::take(&mut self.unfinished) {
            self.tally.failed += 1;
        }
    }

    /// What failed without being a test, a compile error for instance, is one failure.
    fn finish(mut self, success: bool) -> Tally {
        self.close();
        if !success && self.tally.failed == 0 {
            self.tally.failed = 1;
        }
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(output: &str, success: bool, expected: (usize, usize, usize)) {
        let mut results = Results::default();
        output.lines().for_each(|line| results.line(line));
        let tally = results.finish(success);
        assert_eq!((tally.passed, tally.failed, tally.ignored), expected, "{output}");
    }

    const FINE: &str = "running 3 tests\ntest a ... ok\n\n\
        test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
    const BAD: &str = "running 1 test\n\n\
        test result: FAILED. 4 passed; 2 failed; 1 ignored; 0 measured; 7 filtered out; finished in 1.20s\n";

    #[test]
    fn every_result_line_counts() {
        check(FINE, true, (3, 0, 0));
        check(&format!("{FINE}{BAD}{FINE}"), false, (10, 2, 1));
    }

    #[test]
    fn a_failure_without_a_result_line_is_one() {
        check("", true, (0, 0, 0));
        check("error: could not compile", false, (0, 1, 0));
        check(&format!("{FINE}running 5 tests\ntest a ... "), false, (3, 1, 0));
        check(&format!("running 5 tests\ntest a ... \n{BAD}"), false, (4, 3, 1));
    }

    fn check_args(extra: &str, expected: &str) {
        let extra: Vec<String> = extra.split_whitespace().map(String::from).collect();
        assert_eq!(test_args(&extra).join(" "), expected);
    }

    #[test]
    fn the_whole_workspace_unless_packages_are_named() {
        check_args("", "test --no-fail-fast --workspace");
        check_args("sessions -- --nocapture", "test --no-fail-fast --workspace sessions -- --nocapture");
        check_args("-p xtask tidy", "test --no-fail-fast -p xtask tidy");
        check_args("--package=xtask", "test --no-fail-fast --package=xtask");
        check_args("-- -p", "test --no-fail-fast --workspace -- -p");
    }

    #[test]
    fn a_test_that_prints_is_not_a_result() {
        check("running out of tests, it says\ntest result of mine: 5 passed", true, (0, 0, 0));
    }
}
