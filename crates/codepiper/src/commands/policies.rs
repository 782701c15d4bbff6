//! `codepiper policy`

use super::policy_files::{self, ClaudeFile, Document};
use super::{absolute, for_each, logs};
use crate::args::{Create, Format, PolicyArgs, PolicyCommand, Scoped, Trial, Update};
use crate::client::{Client, Route};
use crate::output::{self, Cell, Cut, Details, Page, Style, Table, ago};
use crate::text;
use codepiper_api::policies::{
    Backtest, Backtested, Counts, Effect, EffectivePolicies, ImportPolicy, Imported, InstallStarter,
    Installed, POLICY_NAME_MAX, PolicyBody, PolicyList, PolicyView, StarterList, TestCall, Tested,
};
use codepiper_api::sessions::Done;
use codepiper_api::settings::{DEFAULT_POLICY_ACTION, SettingsBody};
use codepiper_api::{Fault, Refusal};
use codepiper_core::policy::{Action, Fallback, Patterns, Policy, Rule, Scope};
use hyper::Method;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};

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
        Some(PolicyCommand::Create(args)) => create(args, daemon).await,
        Some(PolicyCommand::Update(args)) => {
            let as_json = json(args.format);
            let id = args.id.clone();
            let changes = changes(args, &policy_files::read)?;
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
        Some(PolicyCommand::Test(args)) => test(args, daemon).await,
        Some(PolicyCommand::Explain { session, format }) => {
            let route = Route::session(&session, "/effective-policies");
            let effective: EffectivePolicies = daemon.get(route).await?;
            match json(format) {
                true => output::print_json(&effective),
                false => output::print(&explanation(&effective, Page::stdout())),
            }
        }
        Some(PolicyCommand::Import { claude, dir, yes, format }) => {
            import(daemon, claude.flatten(), dir, yes, json(format)).await
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
        Some(PolicyCommand::Backtest { id, file, session, since, limit, show, format }) => {
            let since = since.as_deref().map(time).transpose()?;
            let mut wanted = Backtest { session, since, limit, show, ..Backtest::default() };
            match (id, file) {
                (_, Some(file)) => {
                    let draft = one_draft(policy_files::read(&file)?)?;
                    (wanted.policy, wanted.rules) = draft;
                }
                (id, None) => {
                    let policy = fetch(daemon, &id.unwrap_or_default()).await?.policy;
                    wanted.policy = Some(json!(policy));
                }
            }
            let result: Backtested =
                daemon.call(Method::POST, Route::new("/policies/backtest"), &wanted).await?;
            match json(format) {
                true => output::print_json(&result),
                false => output::print(&told_backtest(&result, Page::stdout(), Timestamp::now())),
            }
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
            install(daemon, &name, default, json(format)).await
        }
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
        let json = text::visible(&json!(rule).to_string());
        shown.push_str(&format!("  {}\n", page.paint(style_of(rule.action), &json)));
    }
    shown
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

async fn create(args: Create, daemon: &Client) -> Result<(), Refusal> {
    let (json, replace) = (args.format.json(), args.replace);
    let drafts = drafts(args, &policy_files::read)?;
    let mut made: Vec<PolicyView> = Vec::new();
    for draft in drafts {
        let id = draft.get("id").and_then(Value::as_str).map(str::to_owned);
        let is_there = match &id {
            Some(id) if replace => fetch_all(daemon).await?.policies.iter().any(|view| view.policy.id == *id),
            _ => false,
        };
        let (what, policy) = match id.filter(|_| is_there) {
            Some(id) => ("replaced", put(daemon, &id, &Value::Object(draft)).await?),
            None => {
                let body: PolicyBody = daemon.call(Method::POST, Route::new("/policies"), &draft).await?;
                ("created", body.policy)
            }
        };
        if !json {
            output::done(&format!("policy {} {what}", called(&policy.policy)))?;
        }
        made.push(policy);
    }
    match (json, made.as_slice()) {
        (false, _) => Ok(()),
        (true, [one]) => output::print_json(one),
        (true, all) => output::print_json(&all),
    }
}

/// What is to be created, as requests.
fn drafts(
    args: Create,
    read: &dyn Fn(&Path) -> Result<Document, Refusal>,
) -> Result<Vec<Map<String, Value>>, Refusal> {
    let mut drafts = match (&args.file, &args.rules, args.action) {
        (Some(file), ..) => match read(file)? {
            Document::Policies(policies) => policies,
            Document::Rules(rules) => vec![Map::from_iter([("rules".to_owned(), rules)])],
        },
        (None, Some(rules), _) => {
            vec![Map::from_iter([("rules".to_owned(), policy_files::option("rules", rules)?)])]
        }
        (None, None, action) => {
            let action = action.ok_or_else(|| Refusal::field("action", "is missing"))?;
            let rule = rule(action.into(), &args)?;
            let name = args.name.clone().unwrap_or_else(|| derived_name(&rule));
            let fields = [("name".to_owned(), json!(name)), ("rules".to_owned(), json!([rule]))];
            vec![Map::from_iter(fields)]
        }
    };
    let several = drafts.len() > 1 && (args.name.is_some() || args.id.is_some());
    if several {
        let refusal = "the file holds several policies, and a name or an id is for one";
        return Err(Refusal::new(Fault::Usage, refusal).hint("write them into the file"));
    }
    let scope = scope(&args.scope)?;
    for draft in &mut drafts {
        let mut set =
            |name: &str, value: Option<Value>| draft.extend(value.map(|value| (name.to_owned(), value)));
        set("name", args.name.clone().map(Value::from));
        set("id", args.id.clone().map(Value::from));
        set("description", args.description.clone().map(Value::from));
        set("priority", args.priority.map(Value::from));
        set("enabled", args.disabled.then_some(Value::Bool(false)));
        set("scope", scope.clone());
        if scope.is_some() {
            draft.remove("sessionId");
        }
    }
    Ok(drafts)
}

/// The only rule of a policy, as typed. Whether its patterns are good is for the daemon to say.
fn rule(action: Action, args: &Create) -> Result<Value, Refusal> {
    let list = |patterns: &[String]| match patterns {
        [] => None,
        [one] => Some(json!(one)),
        several => Some(json!(several)),
    };
    let mut rule = Map::from_iter([("action".to_owned(), json!(action))]);
    let mut set = |name: &str, value: Option<Value>| rule.extend(value.map(|value| (name.to_owned(), value)));
    set("tool", list(&args.tool));
    let arguments = args.args.as_deref().map(|text| policy_files::object("args", text)).transpose()?;
    set("args", arguments.map(Value::Object));
    set("cwd", list(&args.cwd));
    set("reason", args.reason.clone().map(Value::from));
    Ok(Value::Object(rule))
}

/// `deny Bash rm *: No mass deletes`
fn derived_name(rule: &Value) -> String {
    let words = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        _ => String::new(),
    };
    let mut name = words(&rule["action"]);
    let tool = words(&rule["tool"]);
    name.push_str(&format!(" {}", if tool.is_empty() { "every tool" } else { &tool }));
    for value in rule["args"].as_object().into_iter().flat_map(Map::values) {
        name.push_str(&format!(" {}", words(value)));
    }
    if let Some(reason) = rule["reason"].as_str() {
        name.push_str(&format!(": {reason}"));
    }
    let name = text::visible(&name.split_whitespace().collect::<Vec<_>>().join(" "));
    codepiper_core::hook::shorten(&name, POLICY_NAME_MAX - 1)
}

/// A scope as it was typed; a session in it may be a name.
fn scope(typed: &Scoped) -> Result<Option<Value>, Refusal> {
    if let Some(session) = &typed.session {
        return Ok(Some(json!({ "session": session })));
    }
    let Some(text) = &typed.scope else { return Ok(None) };
    Ok(Some(match text.split_once(':') {
        None if text == "global" || text == "set" => json!(text),
        Some(("session", id)) => json!({ "session": id }),
        Some(("workspace", folder)) => json!({ "workspace": absolute(Path::new(folder))? }),
        Some(("provider", id)) => json!({ "provider": id }),
        _ => {
            let rule = "must be global, set, session:ID, workspace:FOLDER or provider:ID";
            return Err(Refusal::field("scope", format!("{rule}, `{text}` is none")));
        }
    }))
}

/// What is to be changed, as a request.
fn changes(args: Update, read: &dyn Fn(&Path) -> Result<Document, Refusal>) -> Result<Value, Refusal> {
    let mut fields = match args.file.as_deref().map(read).transpose()? {
        None => Map::new(),
        Some(Document::Rules(rules)) => Map::from_iter([("rules".to_owned(), rules)]),
        Some(Document::Policies(policies)) => {
            let one = <[_; 1]>::try_from(policies).map_err(|all| {
                Refusal::new(Fault::Usage, format!("the file holds {} policies, not one", all.len()))
            });
            one?.into_iter().next().unwrap_or_default()
        }
    };
    let mut set =
        |name: &str, value: Option<Value>| fields.extend(value.map(|value| (name.to_owned(), value)));
    set("name", args.name.map(Value::from));
    set("description", args.description.map(|text| if text.is_empty() { Value::Null } else { text.into() }));
    set("priority", args.priority.map(Value::from));
    set("enabled", args.enabled.map(Value::from));
    set("rules", args.rules.as_deref().map(|text| policy_files::option("rules", text)).transpose()?);
    let scope = scope(&args.scope)?;
    if scope.is_some() {
        fields.remove("sessionId");
    }
    fields.extend(scope.map(|scope| ("scope".to_owned(), scope)));
    Ok(Value::Object(fields))
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

/// The exit code of `policy test --exit-code` where a person is asked.
const ASKED: i32 = 8;

async fn test(args: Trial, daemon: &Client) -> Result<(), Refusal> {
    let (json, exit_code) = (args.format.json(), args.exit_code);
    let call = trial(args, &policy_files::read)?;
    let is_draft = call.rules.is_some() || call.policy.is_some();
    let tested: Tested = daemon.call(Method::POST, Route::new("/policies/test"), &call).await?;
    match json {
        true => output::print_json(&tested)?,
        false => output::print(&told_test(&tested, is_draft, Page::stdout()))?,
    }
    match tested.effect {
        Effect::Deny if exit_code => std::process::exit(Fault::Forbidden.exit_code().into()),
        Effect::Ask | Effect::None if exit_code => std::process::exit(ASKED),
        _ => Ok(()),
    }
}

fn trial(args: Trial, read: &dyn Fn(&Path) -> Result<Document, Refusal>) -> Result<TestCall, Refusal> {
    let (tool, call_args) = match args.tool {
        Some(tool) => {
            let given = args.args.as_deref().map(|text| policy_files::object("args", text));
            (tool, given.transpose()?.unwrap_or_default())
        }
        None => {
            let command = args.command.join(" ");
            ("Bash".to_owned(), Map::from_iter([("command".to_owned(), json!(command))]))
        }
    };
    let cwd = match (&args.dir, &args.session) {
        (None, Some(_)) => None,
        (dir, _) => Some(absolute(dir.as_deref().unwrap_or(Path::new(".")))?),
    };
    let (policy, rules) = match args.file.as_deref().map(read).transpose()? {
        None => (None, None),
        Some(document) => one_draft(document)?,
    };
    let (session, provider) = (args.session, args.provider);
    Ok(TestCall { tool, args: call_args, cwd, session, provider, rules, policy })
}

/// A draft to try out: a policy, or rules.
fn one_draft(document: Document) -> Result<(Option<Value>, Option<Value>), Refusal> {
    match document {
        Document::Rules(rules) => Ok((None, Some(rules))),
        Document::Policies(policies) => {
            let one = <[_; 1]>::try_from(policies).map_err(|all| {
                Refusal::new(Fault::Usage, format!("the file holds {} policies, not one", all.len()))
                    .hint("one is tried out at a time")
            });
            Ok((one?.into_iter().next().map(Value::Object), None))
        }
    }
}

fn told_test(tested: &Tested, is_draft: bool, page: Page) -> String {
    let action = tested.decision["action"].as_str().unwrap_or_default();
    let style = match action {
        "allow" => Style::Good,
        "deny" => Style::Bad,
        _ => Style::Warn,
    };
    let mut shown = String::new();
    for (at, line) in tested.lines.iter().enumerate() {
        let line = text::visible(line);
        match line.split_once(": ").filter(|_| at == 0) {
            Some((word, rest)) => shown.push_str(&format!("{}: {rest}\n", page.paint(style, word))),
            None => shown.push_str(&format!("{line}\n")),
        }
    }
    let mut note = |text: &str| shown.push_str(&format!("{}\n", page.paint(Style::Dim, text)));
    match (tested.bypassed, tested.effect, action) {
        (true, ..) => note("but the session runs without permission questions: no rule is asked there"),
        (_, Effect::None, "allow") => note("but this is always for a person: no rule answers it"),
        (_, Effect::None, _) => note("the agent's own rules decide whether you are asked"),
        _ => {}
    }
    let names: Vec<String> = tested.policies.iter().map(|policy| text::visible(&policy.name)).collect();
    match (is_draft, names.as_slice()) {
        (true, _) => note("asked: the draft alone"),
        (false, []) => note("asked: no policy holds here"),
        (false, names) => note(&format!("asked: {}", names.join(", "))),
    }
    shown
}

async fn import(
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
                output::done(&format!("policy {} has {} rules", policy.policy.id, imported.rules.len()))?;
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

/// Asks the person, where there is one.
fn agreed(rules: usize) -> Result<bool, Refusal> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    output::say(&format!("write these {rules} rules? [y/N]"));
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Refusal::new(Fault::Internal, format!("cannot read your answer: {error}")))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn time(text: &str) -> Result<Timestamp, Refusal> {
    match logs::since(text, Timestamp::now(), &TimeZone::system())? {
        logs::Since::Time(time) => Ok(time),
        logs::Since::Event(_) => Err(Refusal::field("since", "must be a time here, like 7d")),
    }
}

fn told_backtest(result: &Backtested, page: Page, now: Timestamp) -> String {
    let counts = |name: &str, counts: Counts| {
        let Counts { allow, ask, deny } = counts;
        format!("{name:<16}  {allow:>7} allowed  {ask:>7} asked  {deny:>7} denied\n")
    };
    let mut shown = format!("{} recorded calls", result.calls);
    if result.more {
        shown.push_str(", the latest");
    }
    if result.skipped > 0 {
        shown.push_str(&format!(
            "; {} more that no rule is asked about, or that cannot be read",
            result.skipped
        ));
    }
    shown.push('\n');
    shown.push_str(&counts("in force", result.now));
    shown.push_str(&counts("with the draft", result.with));
    shown.push_str(&counts("the draft alone", result.alone));
    if result.changed == 0 {
        shown.push_str("the draft would have changed nothing\n");
        return shown;
    }
    shown.push_str(&format!("{} of {} would have changed:\n", result.changed, result.calls));
    let mut table = Table::new([
        ("WHEN", Cut::Never),
        ("SESSION", Cut::Never),
        ("NOW", Cut::Never),
        ("WITH", Cut::Never),
        ("CALL", Cut::End),
        ("WHY", Cut::End),
    ]);
    for call in &result.changes {
        table.row(
            [
                ago(call.at, now).as_str().into(),
                call.session.as_str().into(),
                Cell::new(word(call.now), style_of(call.now)),
                Cell::new(word(call.with), style_of(call.with)),
                call.call.as_str().into(),
                call.reason.as_str().into(),
            ],
            None,
        );
    }
    shown.push_str(&table.render(page));
    shown
}

async fn install(daemon: &Client, name: &str, default: bool, json: bool) -> Result<(), Refusal> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn command(words: &[&str]) -> PolicyCommand {
        let words = ["codepiper", "policy"].iter().chain(words);
        match Cli::try_parse_from(words) {
            Ok(Cli { command: Some(Command::Policy(PolicyArgs { command: Some(command), .. })), .. }) => {
                command
            }
            Ok(_) => panic!("no command of `policy`"),
            Err(error) => panic!("{error}"),
        }
    }

    fn no_file(_: &Path) -> Result<Document, Refusal> {
        Ok(Document::Policies(vec![json!({"name": "f", "rules": []}).as_object().unwrap().clone()]))
    }

    #[test]
    fn what_is_typed_becomes_a_policy() {
        let check = |words: &[&str], expected: Value| {
            let mut all = vec!["create"];
            all.extend(words);
            let PolicyCommand::Create(args) = command(&all) else { panic!("no create") };
            let got = match drafts(args, &no_file) {
                Ok(drafts) => json!(drafts),
                Err(refusal) => json!(refusal.error),
            };
            assert_eq!(got, expected, "for {words:?}");
        };
        // As the user documents have it.
        check(
            &["--action", "allow", "--tool", "Read", "--reason", "File reads are safe"],
            json!([{
                "name": "allow Read: File reads are safe",
                "rules": [{"action": "allow", "tool": "Read", "reason": "File reads are safe"}],
            }]),
        );
        check(
            &[
                "--action",
                "deny",
                "--tool",
                "Bash",
                "--args",
                r#"{"command":"rm *"}"#,
                "--reason",
                "No mass deletes",
            ],
            json!([{
                "name": "deny Bash rm *: No mass deletes",
                "rules": [{
                    "action": "deny", "tool": "Bash", "args": {"command": "rm *"}, "reason": "No mass deletes",
                }],
            }]),
        );
        check(
            &["--action", "ask", "--tool", "A", "--tool", "B", "--cwd", "/w", "--name", "n", "--disabled"],
            json!([{
                "name": "n", "enabled": false, "rules": [{"action": "ask", "tool": ["A", "B"], "cwd": "/w"}],
            }]),
        );
        check(
            &["--name", "n", "--rules", r#"[{"action":"deny"}]"#, "--priority", "-5", "--session", "api"],
            json!([{
                "name": "n", "priority": -5, "scope": {"session": "api"}, "rules": [{"action": "deny"}],
            }]),
        );
        check(&["--file", "x", "--scope", "set"], json!([{"name": "f", "rules": [], "scope": "set"}]));
        check(&["--action", "deny"], json!([{"name": "deny every tool", "rules": [{"action": "deny"}]}]));
        check(
            &["--action", "deny", "--args", "[]"],
            json!("`args` must be an object, like {\"command\": \"rm *\"}"),
        );
        check(
            &["--name", "n", "--rules", "{"],
            json!("`rules` is no JSON: EOF while parsing an object at line 1 column 1"),
        );
        check(
            &["--action", "deny", "--scope", "all"],
            json!("`scope` must be global, set, session:ID, workspace:FOLDER or provider:ID, `all` is none"),
        );
    }

    #[test]
    fn scopes_are_read_and_shown_the_same() {
        let check = |text: &str, expected: Value| {
            let typed = Scoped { scope: Some(text.into()), session: None };
            assert_eq!(scope(&typed).unwrap(), Some(expected.clone()), "for {text:?}");
            assert_eq!(scope_words(&serde_json::from_value(expected).unwrap()), text);
        };
        check("global", json!("global"));
        check("set", json!("set"));
        check("session:a1b2c3d4", json!({"session": "a1b2c3d4"}));
        check("workspace:/srv/app", json!({"workspace": "/srv/app"}));
        check("provider:codex", json!({"provider": "codex"}));
    }

    #[test]
    fn what_is_typed_becomes_a_change() {
        let check = |words: &[&str], expected: Value| {
            let mut all = vec!["update", "guard"];
            all.extend(words);
            let PolicyCommand::Update(args) = command(&all) else { panic!("no update") };
            assert_eq!(changes(args, &no_file).unwrap(), expected, "for {words:?}");
        };
        check(&[], json!({}));
        check(&["--enabled", "false", "--priority", "3"], json!({"enabled": false, "priority": 3}));
        check(&["--description", ""], json!({"description": null}));
        check(&["--file", "x", "--name", "n"], json!({"name": "n", "rules": []}));
    }

    #[test]
    fn words_without_a_tool_are_a_command_for_bash() {
        let check = |words: &[&str], expected: Value| {
            let mut all = vec!["test", "--dir", "/w"];
            all.extend(words);
            let PolicyCommand::Test(args) = command(&all) else { panic!("no test") };
            assert_eq!(json!(trial(args, &no_file).unwrap()), expected, "for {words:?}");
        };
        let bash = json!({"tool": "Bash", "args": {"command": "git log; rm -rf /"}, "cwd": "/w"});
        check(&["git log; rm -rf /"], bash.clone());
        check(&["--tool", "Bash", "--args", r#"{"command":"git log; rm -rf /"}"#], bash);
        check(
            &["git", "push", "-p", "codex"],
            json!({"tool": "Bash", "args": {"command": "git push"}, "cwd": "/w", "provider": "codex"}),
        );
        check(
            &["--tool", "Read", "--file", "x"],
            json!({"tool": "Read", "cwd": "/w", "policy": {"name": "f", "rules": []}}),
        );
    }

    fn view(body: Value) -> PolicyView {
        PolicyView {
            policy: serde_json::from_value(body).unwrap(),
            session_id: None,
            created_at: "2026-11-21T10:00:00Z".parse().unwrap(),
            updated_at: "2026-11-21T10:00:00Z".parse().unwrap(),
        }
    }

    const PAGE: Page = Page { columns: None, colour: false };

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

    #[test]
    fn a_test_says_what_decides_and_what_it_comes_to() {
        let check = |action: &str, effect: Effect, expected: &str| {
            let tested = Tested {
                decision: json!({ "action": action }),
                effect,
                lines: vec![format!("{action}: because")],
                policies: Vec::new(),
                fallback: Fallback::Ask,
                bypassed: false,
            };
            assert_eq!(told_test(&tested, false, PAGE), format!("{action}: because\n{expected}"));
        };
        check("deny", Effect::Deny, "asked: no policy holds here\n");
        check(
            "ask",
            Effect::None,
            "the agent's own rules decide whether you are asked\nasked: no policy holds here\n",
        );
        check(
            "allow",
            Effect::None,
            "but this is always for a person: no rule answers it\nasked: no policy holds here\n",
        );
    }
}
