//! Policies that are written already: Claude Code's own rules, and those that come with us.

use super::{called, rule_words, style_of, word};
use crate::client::{Client, Route};
use crate::commands::policy_files::ClaudeFile;
use crate::output::{self, Page, Style};
use crate::text;
use codepiper_api::policies::{ImportPolicy, Imported, InstallStarter, Installed};
use codepiper_api::{Fault, Refusal};
use codepiper_core::policy::Fallback;
use hyper::Method;
use serde_json::json;
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};

pub(super) async fn import(
    daemon: &Client,
    file: Option<PathBuf>,
    dir: Option<PathBuf>,
    yes: bool,
    json: bool,
) -> Result<(), Refusal> {
    let files = match file {
        Some(file) => vec![ClaudeFile::named(&file)?],
        None => {
            let here = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            let files = ClaudeFile::usual(dir.as_deref().unwrap_or(Path::new(".")), &here)?;
            let there: Vec<ClaudeFile> = files.iter().filter(|file| file.path.exists()).cloned().collect();
            if there.is_empty() {
                let looked: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
                return Err(Refusal::new(Fault::Missing, "Claude Code has no settings here")
                    .hint(format!("looked for {}", looked.join(", "))));
            }
            there
        }
    };
    let request = |file: &ClaudeFile, dry_run: bool| -> Result<ImportPolicy, Refusal> {
        Ok(ImportPolicy {
            claude: file.read()?,
            dry_run,
            id: Some(file.id.clone()),
            name: Some(file.name.clone()),
            priority: None,
            scope: Some(file.scope.clone()),
        })
    };
    let route = || Route::new("/policies/import");
    let mut found: Vec<(ClaudeFile, Imported)> = Vec::new();
    for file in files {
        let imported: Imported = daemon.call(Method::POST, route(), &request(&file, true)?).await?;
        if !json {
            let heading = format!("{} → policy {}, {}", file.path.display(), file.id, scope_of(&file));
            output::print(&told_import(&heading, &imported, Page::stdout()))?;
        }
        found.push((file, imported));
    }
    let rules: usize = found.iter().map(|(_, imported)| imported.rules.len()).sum();
    if rules > 0 && (yes || agreed(rules)?) {
        for (file, imported) in found.iter_mut().filter(|(_, imported)| !imported.rules.is_empty()) {
            *imported = daemon.call(Method::POST, route(), &request(file, false)?).await?;
            if let Some(policy) = imported.policy.as_ref().filter(|_| !json) {
                output::done(&format!("policy {} has {}", policy.policy.id, count(imported.rules.len())))?;
            }
        }
    } else if !json {
        output::say(match rules {
            0 => "there is nothing to import",
            _ => "nothing was written; `--yes` writes it",
        });
    }
    match json {
        true => output::print_json(&found.iter().map(|(_, imported)| imported).collect::<Vec<_>>()),
        false => Ok(()),
    }
}

fn scope_of(file: &ClaudeFile) -> String {
    match file.scope["workspace"].as_str() {
        Some(folder) => format!("for sessions in {folder}"),
        None => "for every session".into(),
    }
}

fn told_import(heading: &str, imported: &Imported, page: Page) -> String {
    let mut shown = format!("{}\n", page.paint(Style::Bold, &text::visible(heading)));
    for rule in &imported.rules {
        let action = page.paint(style_of(rule.action), &format!("{:<5}", word(rule.action)));
        shown.push_str(&format!("  {action}  {}\n", text::visible(&rule_words(rule))));
    }
    for problem in &imported.problems {
        let what = text::visible(&format!("{} {}", problem.at, problem.what));
        let line = format!("{what}: {}", page.paint(Style::Dim, &text::visible(&problem.hint)));
        shown.push_str(&format!("  {}  {line}\n", page.paint(Style::Warn, "not imported")));
    }
    if imported.rules.is_empty() && imported.problems.is_empty() {
        shown.push_str(&format!("  {}\n", page.paint(Style::Dim, "no permission rules")));
    }
    shown
}

fn count(rules: usize) -> String {
    if rules == 1 { "1 rule".into() } else { format!("{rules} rules") }
}

/// Asks the person, where there is one.
fn agreed(rules: usize) -> Result<bool, Refusal> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    output::say(&format!("write {}? [y/N]", count(rules)));
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Refusal::new(Fault::Internal, format!("cannot read your answer: {error}")))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

pub(super) async fn install(daemon: &Client, name: &str, default: bool, json: bool) -> Result<(), Refusal> {
    let wanted = InstallStarter { is_default: default };
    let route = Route::part("/policies/starters/", name, "");
    let Installed { policy, policy_set, fallback } = daemon.call(Method::POST, route, &wanted).await?;
    if json {
        return output::print_json(
            &json!({ "policy": policy, "policySet": policy_set, "fallback": fallback }),
        );
    }
    let set = &policy_set.name;
    output::done(&format!("policy {} installed, in the policy set {set}", called(&policy.policy)))?;
    let mut next = match default {
        true => vec![format!(
            "new sessions get it; `codepiper policy-set apply {set} ID` gives it to one that runs"
        )],
        false => vec![
            format!("`codepiper policy-set apply {set} ID` gives it to a session"),
            format!("`codepiper policy-set update {set} --default` gives it to every new one"),
        ],
    };
    if fallback == Fallback::Deny {
        next.push("it is meant for `codepiper policy default deny`: what no rule allows is refused".into());
    }
    next.iter().for_each(|line| output::say(line));
    Ok(())
}
