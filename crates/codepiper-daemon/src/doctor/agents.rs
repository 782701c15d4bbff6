//! The agents: which are installed, which definitions are broken, and whether the daemon finds the same ones.

use super::{Facts, typed};
use codepiper_api::doctor::{Finding, Group, Level};
use codepiper_api::providers::ProviderView;

pub(super) fn agents(facts: &Facts) -> Vec<Finding> {
    let agents = match &facts.agents {
        Ok(agents) => agents,
        Err(why) => {
            let found = format!("the definitions cannot be read: {why}");
            return vec![Finding::new(Group::Agents, "providers", Level::Error, found)];
        }
    };
    let is_built_in = |agent: &ProviderView| agents.built_in.contains(&agent.id);
    let mut findings = Vec::new();
    if !agents.all.iter().any(|agent| agent.program.is_some() && !is_built_in(agent)) {
        let only = "none is installed; only the demo agent can be started";
        let finding = Finding::new(Group::Agents, "agents", Level::Warning, only);
        let first = agents.all.iter().find(|agent| !is_built_in(agent) && !agent.install.is_empty());
        findings.push(match first {
            Some(agent) => finding.fix(&agent.install),
            None => finding,
        });
    }
    for agent in &agents.all {
        let finding = |level, found: String| Finding::new(Group::Agents, &agent.id, level, found);
        findings.push(match (&agent.program, &agent.version) {
            (Some(_), _) if is_built_in(agent) => finding(Level::Ok, "part of this program".into()),
            (Some(program), Some(version)) => finding(Level::Ok, format!("{version}, {program}")),
            (Some(program), None) => finding(Level::Warning, format!("{program} does not say its version"))
                .fix(format!("{} --version", codepiper_core::provider::shell_word(program))),
            (None, _) if agent.install.is_empty() => finding(Level::Note, "not installed".into()),
            (None, _) => finding(Level::Note, "not installed".into()).fix(&agent.install),
        });
    }
    for (path, why) in &agents.bad {
        let name = path.file_name().map(|name| name.display().to_string()).unwrap_or_default();
        let found = format!("this definition cannot be used: {}", told(why));
        let finding = Finding::new(Group::Agents, &name, Level::Error, found);
        findings.push(finding.fix(format!("${{EDITOR:-vi}} {}", typed(path))));
    }
    findings
}

/// What a parser said, without its drawing of the place: `3 | x = 1`, `  | ^^^`.
fn told(why: &str) -> String {
    let is_drawing = |line: &&str| {
        let rest = line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit());
        rest.starts_with('|')
    };
    let lines: Vec<&str> = why.lines().filter(|line| !is_drawing(line)).map(str::trim).collect();
    lines.join(": ").trim_end_matches([':', ' ']).to_owned()
}

/// What differs between this shell and the daemon.
pub(super) fn environment(facts: &Facts) -> Vec<Finding> {
    let finding = |name, level, found: String| Finding::new(Group::Environment, name, level, found);
    let mut findings = Vec::new();
    let Ok(agents) = &facts.agents else { return findings };
    if let Ok(theirs) = &facts.answers.providers {
        let installed = |all: &[ProviderView], id: &str| {
            all.iter().any(|agent| agent.id == id && agent.program.is_some())
        };
        let only_in = |here: &[ProviderView], there: &[ProviderView]| -> Vec<String> {
            let ids = here.iter().map(|agent| &agent.id);
            ids.filter(|id| installed(here, id) && !installed(there, id)).cloned().collect()
        };
        let only_here = only_in(&agents.all, theirs);
        let only_there = only_in(theirs, &agents.all);
        if only_here.is_empty() && only_there.is_empty() {
            findings.push(finding(
                "PATH",
                Level::Ok,
                "the daemon finds the same agents as this shell".into(),
            ));
        }
        if !only_here.is_empty() {
            let found = format!(
                "the daemon does not find {} on its own PATH; `codepiper start` passes it that of the shell",
                only_here.join(", ")
            );
            let restart = format!("{} daemon restart", facts.codepiper);
            findings.push(finding("PATH", Level::Note, found).fix(restart));
        }
        if !only_there.is_empty() {
            let found = format!(
                "this shell does not find {}, which the daemon does: `codepiper start` cannot start it from here",
                only_there.join(", ")
            );
            findings.push(finding("PATH", Level::Note, found));
        }
    }
    if !agents.credentials.is_empty() {
        let (is, it) = if agents.credentials.len() == 1 { ("is", "it") } else { ("are", "them") };
        let found = format!(
            "{} {is} set: a session gets {it} only with `codepiper start --billing api`",
            agents.credentials.join(", ")
        );
        findings.push(finding("credentials", Level::Note, found));
    }
    findings
}
