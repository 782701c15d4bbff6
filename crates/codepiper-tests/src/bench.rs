//! What the product costs, beside what the machine can do at best, measured in the same run.
//!
//! Each figure drives the real release binary in a private lab and prints distributions. It is no test: a loaded
//! machine misses targets, and nothing fails for it. Measured code runs in other processes; here the clock is
//! read by plain blocking code, so that no runtime of ours is in the figures.

mod decisions;
mod echo;
mod flood;
mod hooks;
mod idle;
mod knowledge;
mod machine;
mod processes;
mod raw_tmux;
mod report;
mod sessions;
mod wire;

use crate::lab::Lab;
use anyhow::{Context, Result, bail};
use report::Report;
use serde_json::json;
use std::path::PathBuf;

/// Name, what it measures, how.
type Figure = (&'static str, &'static str, fn(&mut Bench) -> Result<()>);

const FIGURES: &[Figure] = &[
    ("start", "daemon start to its ready line", processes::start),
    ("idle", "memory and CPU with 0, 10 and 50 idle sessions", idle::run),
    ("adopt", "daemon start with 50 live sessions", idle::adopt),
    ("cli", "`codepiper sessions`, spawn to exit", processes::cli),
    ("hook", "the hook helper, spawn to exit, alone and beside 10 busy sessions", processes::hook_helper),
    ("decisions", "a tool call decided by 1,000 rules, in a loop", decisions::run),
    ("hooks", "hook events over 8 connections, each committed", hooks::run),
    ("session", "a session created, running, idle, stopped", sessions::run),
    ("echo", "a key to its echo at a viewer, alone and beside 20 busy sessions", echo::run),
    ("import", "a gigabyte of transcripts taken in, and a line that is appended", knowledge::run),
    ("flood", "50 MB through a watched pane", flood::run),
];

/// Runs the figures named, or all.
pub fn run(arguments: impl Iterator<Item = String>) -> Result<()> {
    let (mut names, mut quick) = (Vec::new(), false);
    for argument in arguments {
        match argument.as_str() {
            "--quick" => quick = true,
            name if FIGURES.iter().any(|(known, ..)| *known == name) => names.push(argument),
            other => {
                let known: Vec<String> =
                    FIGURES.iter().map(|(name, what, _)| format!("  {name:<8} {what}")).collect();
                bail!("there is no figure `{other}`; there are\n{}", known.join("\n"));
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut bench = Bench { quick, runtime, report: Report::begin(&machine::describe()?) };
    for (name, what, measure) in FIGURES {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            bench.report.section(name, what);
            measure(&mut bench).with_context(|| format!("measuring {name}"))?;
        }
    }
    bench.report.end();
    Ok(())
}

/// What every figure gets.
struct Bench {
    quick: bool,
    runtime: tokio::runtime::Runtime,
    report: Report,
}

impl Bench {
    /// How often to measure: many times, or few for a quick look.
    fn count(&self, many: usize, few: usize) -> usize {
        if self.quick { few } else { many }
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A lab that logs as in real use.
    fn lab(&self) -> Lab {
        let mut lab = Lab::new();
        lab.set("CODEPIPER_LOG", "info");
        lab
    }

    /// So many idle sessions of the demo agent.
    fn demos(&self, lab: &Lab, count: usize) -> Vec<String> {
        let body = || json!({ "provider": "demo", "cwd": lab.project(), "dangerousMode": true });
        let ids: Vec<String> = (0..count).map(|_| self.wait(lab.session(body()))).collect();
        for id in &ids {
            self.wait(lab.wait_for_state(id, "idle"));
        }
        ids
    }
}

/// A program of ours that was built beside this one.
fn beside(name: &str) -> Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name(name);
    if !program.exists() {
        bail!("`{name}` is not built; `cargo xtask bench` builds it");
    }
    Ok(program)
}
