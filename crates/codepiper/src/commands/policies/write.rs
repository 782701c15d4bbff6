//! Writing policies: what is typed, or stands in a file, becomes a request.

use super::{called, fetch_all, put};
use crate::args::{Create, Scoped, Update};
use crate::client::{Client, Route};
use crate::commands::absolute;
use crate::commands::policy_files::{self, Document};
use crate::output;
use crate::text;
use codepiper_api::policies::{POLICY_NAME_MAX, PolicyBody, PolicyView};
use codepiper_api::{Fault, Refusal};
use codepiper_core::policy::Action;
use hyper::Method;
use serde_json::{Map, Value, json};
use std::path::Path;

pub(super) async fn create(args: Create, json: bool, daemon: &Client) -> Result<(), Refusal> {
    let replace = args.replace;
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
            let action = action.ok_or_else(|| {
                Refusal::field("action", "is missing: what does the rule say?")
                    .hint("`--action deny --tool Bash` writes one rule, `--rules` a list, `--file` a file")
            })?;
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
pub(super) fn changes(
    args: Update,
    read: &dyn Fn(&Path) -> Result<Document, Refusal>,
) -> Result<Value, Refusal> {
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

#[cfg(test)]
mod tests {
    use super::super::scope_words;
    use super::super::tests::{command, no_file};
    use super::*;
    use crate::args::PolicyCommand;

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
        check(&[], json!("`action` is missing: what does the rule say?"));
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
}
