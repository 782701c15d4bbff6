//! `codepiper policy`: the commands, and what policies look like.

mod import;
mod trial;
mod write;

use super::{for_each, policy_files};
use crate::args::{Format, PolicyArgs, PolicyCommand};
use crate::client::{Client, Route};
use crate::output::{self, Cell, Cut, Details, Page, Style, Table, ago};
use crate::text;
use codepiper_api::Refusal;
use codepiper_api::policies::{EffectivePolicies, PolicyBody, PolicyList, PolicyView, StarterList};
use codepiper_api::sessions::Done;
use codepiper_api::settings::{DEFAULT_POLICY_ACTION, SettingsBody};
use codepiper_core::policy::{Action, Fallback, Patterns, Policy, Rule, Scope};
use hyper::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

pub(super) async fn run(args: PolicyArgs, daemon: &Client) -> Result<(), Refusal> {
    let json = |format: Format| format.json() || args.format.json();
    match args.command {
        None => list(daemon, None, None, args.format.json()).await,
        Some(PolicyCommand::List { session, enabled, format }) => {
            list(daemon, session, enabled, json(format)).await
        }
        Some(PolicyCommand::Get { id, format }) => {
            let policy = fetch(daemon, &id).await?;
            match json(format) {
                true => output::print_json(&policy),
                false => output::print(&details(&policy, Page::stdout(), Timestamp::now())),
            }
        }
        Some(PolicyCommand::Create(args)) => {
            let json = json(args.format);
            write::create(args, json, daemon).await
        }
        Some(PolicyCommand::Update(args)) => {
            let as_json = json(args.format);
            let id = args.id.clone();
            let changes = write::changes(args, &policy_files::read)?;
            told("changed", put(daemon, &id, &changes).await?, as_json)
        }
        Some(PolicyCommand::Delete { ids }) => {
            for_each(&ids, async |id| {
                let Done { .. } = daemon.call(Method::DELETE, Route::policy(id), &()).await?;
                Ok(format!("policy `{id}` deleted"))
            })
            .await
        }
        Some(PolicyCommand::Toggle { id, format }) => {
            let enabled = !fetch(daemon, &id).await?.policy.enabled;
            let policy = put(daemon, &id, &json!({ "enabled": enabled })).await?;
            told(if enabled { "counts again" } else { "counts no more" }, policy, json(format))
        }
        Some(PolicyCommand::Default { action, format }) => {
            let action = action.map(|action| format!("{action:?}").to_lowercase());
            fallback(daemon, action, json(format)).await
        }
        Some(PolicyCommand::Test(args)) => {
            let json = json(args.format);
            trial::test(args, json, daemon).await
        }
        Some(PolicyCommand::Explain { session, format }) => {
            let route = Route::session(&session, "/effective-policies");
            let effective: EffectivePolicies = daemon.get(route).await?;
            match json(format) {
                true => output::print_json(&effective),
                false => output::print(&explanation(&effective, Page::stdout())),
            }
        }
        Some(PolicyCommand::Import { claude, dir, yes, format }) => {
            import::import(daemon, claude.flatten(), dir, yes, json(format)).await
        }
        Some(PolicyCommand::Export { ids, format, .. }) => {
            let policies = match ids.as_slice() {
                [] => fetch_all(daemon).await?.policies,
                ids => {
                    let mut policies = Vec::new();
                    for id in ids {
                        policies.push(fetch(daemon, id).await?);
                    }
                    policies
                }
            };
            let policies: Vec<Policy> = policies.into_iter().map(|view| view.policy).collect();
            output::print(&match (ids.len(), policies.as_slice()) {
                (1, [one]) => policy_files::write(one, format)?,
                _ => policy_files::write(&policies, format)?,
            })
        }
        Some(PolicyCommand::Backtest(args)) => {
            let json = json(args.format);
            trial::backtest(args, json, daemon).await
        }
        Some(PolicyCommand::Starters(format)) => {
            let StarterList { starters } = daemon.get(Route::new("/policies/starters")).await?;
            if json(format) {
                return output::print_json(&starters);
            }
            let mut table = Table::new([("NAME", Cut::Never), ("RULES", Cut::Never), ("", Cut::End)]);
            for starter in &starters {
                let rules = starter.policy.rules.len().to_string();
                let name = Cell::new(&starter.name, Style::Bold);
                table.row([name, rules.as_str().into(), starter.description.as_str().into()], None);
            }
            output::print(&table.render(Page::stdout()))
        }
        Some(PolicyCommand::Install { name, default, format }) => {
            import::install(daemon, &name, default, json(format)).await
        }
    }
}

async fn list(
    daemon: &Client,
    session: Option<String>,
    enabled: Option<bool>,
    json: bool,
) -> Result<(), Refusal> {
    let route = Route::new("/policies").with_some("sessionId", session).with_some("enabled", enabled);
    let list: PolicyList = daemon.get(route).await?;
    if json {
        return output::print_json(&list.policies);
    }
    for id in &list.unreadable {
        output::warn(&format!(
            "policy `{id}` cannot be read, and every call is denied; `codepiper policy delete {id}` ends that"
        ));
    }
    if list.policies.is_empty() {
        output::say("no policies; `codepiper policy starters` lists some to begin with");
        return Ok(());
    }
    output::print(&table(&list.policies, Timestamp::now()).render(Page::stdout()))
}

pub(super) fn table(policies: &[PolicyView], now: Timestamp) -> Table {
    let mut table = Table::new([
        ("ID", Cut::Never),
        ("NAME", Cut::End),
        ("ENABLED", Cut::Never),
        ("PRI", Cut::Never),
        ("SCOPE", Cut::End),
        ("RULES", Cut::Never),
        ("CREATED", Cut::Never),
    ]);
    for view in policies {
        let policy = &view.policy;
        let style = if policy.enabled { Style::Plain } else { Style::Dim };
        let enabled = if policy.enabled { "yes" } else { "no" };
        let cell = |text: &str| Cell::new(text, style);
        table.row(
            [
                cell(&policy.id),
                cell(&policy.name),
                cell(enabled),
                cell(&policy.priority.to_string()),
                cell(&scope_words(&policy.scope)),
                cell(&policy.rules.len().to_string()),
                cell(&ago(view.created_at, now)),
            ],
            None,
        );
    }
    table
}

/// A scope as `--scope` takes it.
fn scope_words(scope: &Scope) -> String {
    match scope {
        Scope::Global => "global".into(),
        Scope::Set => "set".into(),
        Scope::Session(id) => format!("session:{id}"),
        Scope::Workspace(folder) => format!("workspace:{}", folder.display()),
        Scope::Provider(id) => format!("provider:{id}"),
    }
}

fn details(view: &PolicyView, page: Page, now: Timestamp) -> String {
    let policy = &view.policy;
    let mut details = Details::default();
    details.styled("policy", policy.id.clone(), Style::Bold);
    details.add("name", policy.name.clone());
    details.add("description", policy.description.clone());
    details.add("enabled", if policy.enabled { "yes" } else { "no" }.to_owned());
    details.add("priority", policy.priority.to_string());
    details.add("scope", scope_words(&policy.scope));
    details.add("created", ago(view.created_at, now));
    details.add("changed", ago(view.updated_at, now));
    let mut shown = details.render(page);
    shown.push_str("\nrules\n");
    for rule in &policy.rules {
        let json = text::visible(&serde_json::to_string(rule).unwrap_or_default());
        shown.push_str(&format!("  {}\n", page.paint(style_of(rule.action), &json)));
    }
    shown
}

/// The policies in the order in which they decide, each rule in words.
fn explanation(effective: &EffectivePolicies, page: Page) -> String {
    let mut shown = String::new();
    let mut priority = None;
    for PolicyView { policy, .. } in &effective.policies {
        if priority.replace(policy.priority) != Some(policy.priority) {
            let line = format!("priority {}: deny beats ask beats allow", policy.priority);
            shown.push_str(&format!("{}\n", page.paint(Style::Dim, &line)));
        }
        let scope = page.paint(Style::Dim, &text::visible(&scope_words(&policy.scope)));
        let called = page.paint(Style::Bold, &text::visible(&called(policy)));
        shown.push_str(&format!("  {called}  {scope}\n"));
        for rule in &policy.rules {
            let action = page.paint(style_of(rule.action), &format!("{:<5}", word(rule.action)));
            shown.push_str(&format!("    {action}  {}\n", text::visible(&rule_words(rule))));
        }
    }
    let rest = match effective.fallback {
        Fallback::Ask => "what no rule decides is left to the agent's own rules",
        Fallback::Deny => "what no rule decides is denied",
    };
    shown.push_str(&format!("{}\n", page.paint(Style::Dim, rest)));
    shown
}

/// `Bash  command: rm * | rmdir *  (no mass deletes)`
fn rule_words(rule: &Rule) -> String {
    let list = |patterns: &Patterns| patterns.list().join(" | ");
    let mut words = rule.tool.as_ref().map_or("every tool".into(), list);
    for (name, patterns) in &rule.args {
        words.push_str(&format!("  {name}: {}", list(patterns)));
    }
    for (name, patterns) in [("in", &rule.cwd), ("session", &rule.session)] {
        if let Some(patterns) = patterns {
            words.push_str(&format!("  {name}: {}", list(patterns)));
        }
    }
    if let Some(reason) = &rule.reason {
        words.push_str(&format!("  ({reason})"));
    }
    words
}

async fn fallback(daemon: &Client, action: Option<String>, json: bool) -> Result<(), Refusal> {
    let route = || Route::new("/settings/daemon");
    let is_set = action.is_some();
    let SettingsBody { settings } = match action {
        Some(action) => {
            let wanted = json!({ DEFAULT_POLICY_ACTION: action });
            daemon.call(Method::PUT, route(), &wanted).await?
        }
        None => daemon.get(route()).await?,
    };
    let action = settings.get(DEFAULT_POLICY_ACTION).cloned().unwrap_or_default();
    let shown = action.as_str().unwrap_or_default();
    match (json, is_set) {
        (true, _) => output::print_json(&action),
        (false, false) => output::print(&format!("{shown}\n")),
        (false, true) => output::done(&format!("a call that no rule decides: {shown}")),
    }
}

impl Route {
    /// A policy by whatever a person called it.
    fn policy(id: &str) -> Self {
        Self::part("/policies/", id, "")
    }
}

async fn fetch(daemon: &Client, id: &str) -> Result<PolicyView, Refusal> {
    let PolicyBody { policy } = daemon.get(Route::policy(id)).await?;
    Ok(policy)
}

async fn fetch_all(daemon: &Client) -> Result<PolicyList, Refusal> {
    daemon.get(Route::new("/policies")).await
}

async fn put(daemon: &Client, id: &str, changes: &Value) -> Result<PolicyView, Refusal> {
    let PolicyBody { policy } = daemon.call(Method::PUT, Route::policy(id), changes).await?;
    Ok(policy)
}

fn told(what: &str, policy: PolicyView, json: bool) -> Result<(), Refusal> {
    if json {
        return output::print_json(&policy);
    }
    output::done(&format!("policy {} {what}", called(&policy.policy)))
}

/// `p-1a2b3c4d (deny Bash)`
fn called(policy: &Policy) -> String {
    match policy.id == policy.name {
        true => policy.id.clone(),
        false => format!("{} ({})", policy.id, policy.name),
    }
}

fn style_of(action: Action) -> Style {
    match action {
        Action::Allow => Style::Good,
        Action::Ask => Style::Warn,
        Action::Deny => Style::Bad,
    }
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Ask => "ask",
        Action::Deny => "deny",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command, Lazy};
    use crate::commands::policy_files::Document;
    use clap::Parser;
    use std::path::Path;

    /// What was typed after `codepiper policy`.
    pub(super) fn command(words: &[&str]) -> PolicyCommand {
        let words = ["codepiper", "policy"].iter().chain(words);
        match Cli::try_parse_from(words) {
            Ok(Cli {
                command: Some(Command::Policy(Lazy(PolicyArgs { command: Some(command), .. }))),
                ..
            }) => command,
            Ok(_) => panic!("no command of `policy`"),
            Err(error) => panic!("{error}"),
        }
    }

    /// A file with a policy.
    pub(super) fn no_file(_: &Path) -> Result<Document, Refusal> {
        Ok(Document::Policies(vec![json!({"name": "f", "rules": []}).as_object().unwrap().clone()]))
    }

    fn view(body: Value) -> PolicyView {
        PolicyView {
            policy: serde_json::from_value(body).unwrap(),
            session_id: None,
            created_at: "2026-11-21T10:00:00Z".parse().unwrap(),
            updated_at: "2026-11-21T10:00:00Z".parse().unwrap(),
        }
    }

    pub(super) const PAGE: Page = Page { columns: None, colour: false };

    #[test]
    fn policies_are_shown_in_the_order_in_which_they_decide() {
        let guard = view(json!({
            "id": "guard", "name": "guard", "priority": 10, "scope": {"provider": "codex"},
            "rules": [{"action": "deny", "tool": "Bash", "args": {"command": ["rm *", "dd *"]}, "reason": "no"}],
        }));
        let rest = view(json!({
            "id": "p-1", "name": "rest", "rules": [{"action": "allow", "tool": "Read"}, {"action": "ask"}],
        }));
        let effective = EffectivePolicies { policies: vec![guard.clone(), rest], fallback: Fallback::Ask };
        let expected = "\
priority 10: deny beats ask beats allow
  guard  provider:codex
    deny   Bash  command: rm * | dd *  (no)
priority 0: deny beats ask beats allow
  p-1 (rest)  global
    allow  Read
    ask    every tool
what no rule decides is left to the agent's own rules
";
        assert_eq!(explanation(&effective, PAGE), expected);
        let now = "2026-11-21T10:05:00Z".parse().unwrap();
        let expected = "\
ID     NAME   ENABLED  PRI  SCOPE           RULES  CREATED
guard  guard  yes      10   provider:codex  1      5m ago
";
        assert_eq!(table(&[guard], now).render(PAGE), expected);
    }
}
