//! Calls that a thousand rules decide: the decision alone, in a loop. Among the hooks (`hooks.rs`) the same decisions are
//! measured where they are made, with caches that others used in between.

use super::Bench;
use super::report::{Samples, at_most};
use anyhow::{Context, Result, ensure};
use codepiper_core::ids::SessionId;
use codepiper_core::policy::{Action, Call, Fallback, RuleBook, read_policy};
use codepiper_daemon::RealPaths;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// Calls that rules decide, as Claude Code sends them.
pub(super) const COMMAND: &str =
    include_str!("../../../codepiper-core/testdata/claude-code/hooks/PreToolUse.Bash.json");
const READ: &str = include_str!("../../../codepiper-core/testdata/claude-code/hooks/PreToolUse.Read.json");
const EDIT: &str = include_str!("../../../codepiper-core/testdata/claude-code/hooks/PreToolUse.Edit.json");

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let project = folder.path().canonicalize()?;
    let on_files = calls_on_files(&project)?;
    let n = bench.count(10_000, 1_000);
    let commands = times(&project, n, rules_on_commands(), |_| COMMAND.to_owned())?;
    let files = times(&project, n, rules_on_files(), on_files)?;
    for (what, times) in [("1,000 rules on commands", commands), ("1,000 rules, most on files", files)] {
        let targets = vec![at_most("p99", times.percentile(99.0), 50.0)];
        bench.report.judged(&format!("{what}: the decision in a loop"), "us", &times, targets);
    }
    Ok(())
}

/// How long each decision takes, in microseconds, the looks at the file system included.
fn times(project: &Path, n: usize, rules: Vec<Value>, event: impl Fn(usize) -> String) -> Result<Samples> {
    let policy = read_policy(&json!({ "id": "p", "name": "p", "rules": rules }))
        .map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let book = RuleBook::compile(&[policy], Fallback::Ask).map_err(|why| anyhow::anyhow!("{why:?}"))?;
    let session = SessionId::parse("a1b2c3d4")?;
    let mut times = Samples::default();
    for n in 0..n {
        let event: Value = serde_json::from_str(&event(n))?;
        let tool = event["tool_name"].as_str().context("a tool")?;
        let began = Instant::now();
        let paths = RealPaths::near(project);
        let decision = book.decide(&Call {
            tool,
            args: &event["tool_input"],
            cwd: project,
            session: &session,
            home: Some(project),
            real: &|path| paths.of(path),
        });
        drop(paths);
        times.push(began.elapsed().as_secs_f64() * 1e6);
        ensure!(decision.action == Action::Allow, "{event} is not allowed: {decision:?}");
    }
    Ok(times)
}

/// Tool calls about many files, by their number, as events of a hook. Makes the files.
pub(super) fn calls_on_files(project: &Path) -> Result<impl Fn(usize) -> String + Clone + use<>> {
    for folder in ["src", "build"] {
        std::fs::create_dir_all(project.join(folder))?;
    }
    for n in 0..FILES {
        std::fs::write(project.join(format!("src/part_{n}.rs")), "")?;
    }
    let project = project.display().to_string();
    Ok(move |n: usize| {
        let file = n % FILES;
        let run = |command: String| COMMAND.replace("\"pwd\"", &Value::from(command).to_string());
        let event = match n % 7 {
            0 => READ.replace("data.txt", &format!("src/part_{file}.rs")),
            1 => EDIT.replace("data.txt", &format!("src/part_{file}.rs")),
            2 => run(format!("cat src/part_{file}.rs | head -50")),
            3 => run(format!("cargo test -p part_{n} > build/out_{n}.log 2>&1")),
            4 => run(format!("for f in src/*_{n}.rs; do wc -l $f; done")),
            5 => run(format!("rm -f build/*.o{n}")),
            _ => run(format!("git commit -m 'Change part {n}' src/part_{file}.rs")),
        };
        event.replace("/home/dev/project", &project)
    })
}

/// How many different files the calls are about.
const FILES: usize = 1000;

/// A thousand rules, none of which is for the call but the last.
pub(super) fn rules_on_commands() -> Vec<Value> {
    let mut rules: Vec<Value> = (0..999)
        .map(|n| {
            let word = ["git", "npm", "docker", "kubectl", "rm"][n % 5];
            json!({ "action": "deny", "tool": "Bash", "args": { "command": format!("{word} blocked{n} *") } })
        })
        .collect();
    rules.push(json!({ "action": "allow", "tool": "Bash", "args": { "command": "pwd" } }));
    rules
}

/// A thousand rules in the ways people write them, nine of ten about files; only the last is for the calls.
pub(super) fn rules_on_files() -> Vec<Value> {
    let mut rules: Vec<Value> = (0..999)
        .map(|n| {
            let (action, tools, pattern) = match n % 10 {
                0 | 1 => ("deny", json!(["Read", "Edit", "Write"]), format!("**/secret{n}/**")),
                2 | 3 => ("deny", json!("Read"), format!("/srv/app{n}/private/**")),
                4 | 5 => ("ask", json!(["Edit", "Write"]), format!("./generated{n}/**")),
                6 => ("deny", json!(["Read", "Write"]), format!("*.key{n}")),
                7 => ("allow", json!("Read"), format!("docs{n}/**/*.md")),
                8 => ("deny", json!("Read"), format!("~/.config/tool{n}/*")),
                _ => {
                    let pattern = format!("tool{n} *");
                    return json!({ "action": "deny", "tool": "Bash", "args": { "command": pattern } });
                }
            };
            json!({ "action": action, "tool": tools, "args": { "file_path": pattern } })
        })
        .collect();
    rules.push(json!({ "action": "allow", "tool": ["Bash", "Read", "Edit", "Write"] }));
    rules
}
