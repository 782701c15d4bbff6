//! The agent CLIs the tests start, and ccusage, which counts tokens too: the versions pinned in `e2e/agents`, installed
//! below `target/agents`.
//!
//! Nothing is installed for the user: an agent on `PATH` is neither used nor touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::step::succeed;
use crate::workspace::Workspace;

struct Agent {
    binary: &'static str,
    package: &'static str,
    /// A script of the package that must have run before the binary works.
    finish: Option<&'static str>,
}

const AGENTS: [Agent; 3] = [
    // Its postinstall puts the native program in the place of a stub that only complains.
    Agent { binary: "claude", package: "@anthropic-ai/claude-code", finish: Some("install.cjs") },
    Agent { binary: "codex", package: "@openai/codex", finish: None },
    // No agent: somebody else's count of the same transcripts.
    Agent { binary: "ccusage", package: "ccusage", finish: None },
];

/// The folder to put on `PATH`.
pub(crate) fn binaries(workspace: &Workspace) -> PathBuf {
    folder(workspace).join("node_modules/.bin")
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("agents")
}

/// Installs them unless the pinned ones are there already and answer.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    let source = workspace.root.join("e2e/agents");
    let target = folder(workspace);
    let manifest = read(&source.join("package.json"))?;
    let pins = AGENTS.iter().map(|agent| pin(&manifest, agent.package)).collect::<Result<Vec<_>>>()?;
    let all_answer = || -> Result<()> {
        for (agent, version) in AGENTS.iter().zip(&pins) {
            let said = ask(&binaries(workspace).join(agent.binary), &target)?;
            ensure!(names(&said, version), "`{}` says `{said}`, pinned is {version}", agent.binary);
            println!("{} {version}", agent.binary);
        }
        Ok(())
    };

    let mut unchanged = true;
    for file in ["package.json", "package-lock.json"] {
        let wanted = read(&source.join(file))?;
        unchanged &= fs::read_to_string(target.join(file)).is_ok_and(|there| there == wanted);
    }
    if unchanged && all_answer().is_ok() {
        return Ok(());
    }

    fs::create_dir_all(&target).with_context(|| format!("creating {}", target.display()))?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(source.join(file), target.join(file)).with_context(|| format!("copying {file}"))?;
    }
    // Whether npm runs the scripts of packages depends on its version and settings. We run the one we need.
    succeed(
        Command::new("npm")
            .args(["ci", "--ignore-scripts", "--include=optional", "--no-audit", "--no-fund"])
            .current_dir(&target),
    )?;
    for agent in &AGENTS {
        if let Some(script) = agent.finish {
            let package = target.join("node_modules").join(agent.package);
            succeed(Command::new("node").arg(script).current_dir(package))?;
        }
    }
    all_answer()
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

/// What the program says of its version. Codex makes a folder in its home even for that: not in the person's.
fn ask(binary: &Path, home: &Path) -> Result<String> {
    let output = Command::new(binary)
        .arg("--version")
        .env("HOME", home)
        .env_remove("CODEX_HOME")
        .env_remove("CLAUDE_CONFIG_DIR")
        .output()
        .with_context(|| format!("starting {}", binary.display()))?;
    ensure!(
        output.status.success(),
        "`{} --version` ended with {}: {}",
        binary.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The version of `package` in `package.json`, which must be one version and not a range.
fn pin(manifest: &str, package: &str) -> Result<String> {
    let manifest: Value = serde_json::from_str(manifest).context("reading e2e/agents/package.json")?;
    let version = manifest["dependencies"][package]
        .as_str()
        .with_context(|| format!("e2e/agents/package.json does not name `{package}`"))?;
    ensure!(
        version.starts_with(|c: char| c.is_ascii_digit()),
        "`{package}` is `{version}` in e2e/agents/package.json: pin one version"
    );
    Ok(version.to_owned())
}

/// `2.1.197 (Claude Code)`, `codex-cli 0.169.0`, `ccusage 20.0.24`.
fn names(said: &str, version: &str) -> bool {
    said.split_whitespace().any(|word| word == version)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = include_str!("../../e2e/agents/package.json");
    const LOCK: &str = include_str!("../../e2e/agents/package-lock.json");

    #[test]
    fn every_agent_is_pinned_and_locked_at_its_pin() {
        let lock: Value = serde_json::from_str(LOCK).expect("the lock is JSON");
        for agent in &AGENTS {
            let version = pin(MANIFEST, agent.package).expect("pinned");
            let locked = &lock["packages"][format!("node_modules/{}", agent.package)]["version"];
            assert_eq!(locked, version.as_str(), "run `npm install --package-lock-only` in e2e/agents");
        }
    }

    #[test]
    fn a_range_is_not_a_pin() {
        for (bad, complaint) in [
            (r#"{"dependencies":{"a":"^1.0.0"}}"#, "`a` is `^1.0.0`"),
            (r#"{"dependencies":{"a":"latest"}}"#, "`a` is `latest`"),
            (r#"{"dependencies":{}}"#, "does not name `a`"),
        ] {
            let error = pin(bad, "a").expect_err(bad).to_string();
            assert!(error.contains(complaint), "{error}");
        }
    }

    #[test]
    fn the_version_is_a_whole_word_of_the_answer() {
        assert!(names("2.1.197 (Claude Code)", "2.1.197"));
        assert!(names("codex-cli 0.169.0", "0.169.0"));
        assert!(!names("2.1.1970 (Claude Code)", "2.1.197"));
    }
}
