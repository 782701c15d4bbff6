//! Claude Code's permission settings as our rules.

use super::narrow::literal;
use super::{Action, Patterns, Problem, Rule};
use serde_json::Value;

/// Rules for `permissions.{allow,ask,deny}` of a Claude Code settings file, strictest first. What can't be
/// said in our rules becomes a problem and no rule; nothing is dropped in silence.
pub fn import_claude(settings: &Value) -> (Vec<Rule>, Vec<Problem>) {
    let (mut rules, mut problems) = (Vec::new(), Vec::new());
    let wrong =
        |at: &str, what: &str, hint: &str| Problem { at: at.into(), what: what.into(), hint: hint.into() };
    let Some(permissions) = settings.get("permissions") else { return (rules, problems) };
    let Some(fields) = permissions.as_object() else {
        return (
            rules,
            vec![wrong("permissions", "is not an object", "is this a Claude Code settings file?")],
        );
    };
    for (list, action) in [("deny", Action::Deny), ("ask", Action::Ask), ("allow", Action::Allow)] {
        let Some(entries) = fields.get(list) else { continue };
        let Some(entries) = entries.as_array() else {
            problems.push(wrong(
                &format!("permissions.{list}"),
                "is not a list",
                "Claude Code ignores it too",
            ));
            continue;
        };
        for (index, entry) in entries.iter().enumerate() {
            let at = format!("permissions.{list}[{index}]");
            let Some(text) = entry.as_str() else {
                problems.push(wrong(&at, "is not a text", "Claude Code ignores it too"));
                continue;
            };
            let read = read_entry(text.trim(), action).and_then(|rule| {
                let compiled = super::read::compile(&rule, &at, 0, (0, 0));
                compiled.map(|_| rule).map_err(|_| ("can't be said in a pattern", "write the rule by hand"))
            });
            match read {
                Ok(rule) => rules.push(rule),
                Err((what, hint)) => problems.push(wrong(&at, &format!("`{text}` {what}"), hint)),
            }
        }
    }
    let known = ["allow", "ask", "deny"];
    for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
        let hint = "set it for the session itself; rules have no word for it";
        problems.push(wrong(&format!("permissions.{name}"), "is no rule", hint));
    }
    (rules, problems)
}

type Refused = (&'static str, &'static str);

const EMPTY: Refused = ("has nothing in its brackets", "take the brackets away to mean the whole tool");

fn read_entry(text: &str, action: Action) -> Result<Rule, Refused> {
    let mut rule = Rule::new(action);
    let (tool, inside) = match text.split_once('(') {
        None => (text, None),
        Some((tool, rest)) => {
            let inside = rest.strip_suffix(')').ok_or(("has no closing bracket", "correct it"))?;
            (tool, Some(inside))
        }
    };
    if tool.is_empty() {
        return Err(("names no tool", "correct it"));
    }
    let name = tool.chars().all(|c| c.is_ascii_alphanumeric() || "_-.*".contains(c));
    if !name {
        return Err(("is no name of a tool", "correct it"));
    }
    let server_only = tool.starts_with("mcp__") && tool.matches("__").count() == 1 && !tool.contains('*');
    rule.tool = Some(match tool {
        // A rule on reading holds for all tools that read, in Claude Code too.
        "Read" if inside.is_some() => {
            Patterns::Many(vec!["Read".into(), "Grep".into(), "Glob".into(), "NotebookRead".into()])
        }
        "Edit" | "Write" if inside.is_some() => {
            Patterns::Many(vec!["Edit".into(), "MultiEdit".into(), "Write".into(), "NotebookEdit".into()])
        }
        // `mcp__server` is all tools of the server.
        tool if server_only => Patterns::Many(vec![tool.into(), format!("{tool}__*")]),
        tool => Patterns::One(tool.into()),
    });
    let Some(inside) = inside else { return Ok(rule) };
    let (argument, patterns) = match tool {
        _ if inside.trim().is_empty() => return Err(EMPTY),
        _ if inside.trim() == "*" && tool != "Read" && tool != "Edit" && tool != "Write" => return Ok(rule),
        "Bash" => ("command", Patterns::One(command(inside.trim())?)),
        "Read" | "Edit" | "Write" | "MultiEdit" | "NotebookEdit" | "NotebookRead" | "Glob" | "Grep" => {
            ("file_path", path(inside.trim())?)
        }
        "WebFetch" => {
            let domain =
                inside.trim().strip_prefix("domain:").ok_or(("is no `domain:`", "write the rule by hand"))?;
            if domain.is_empty() || domain.contains('/') {
                return Err(("is no domain", "correct it"));
            }
            let host = domain.split('*').map(literal).collect::<Vec<_>>().join("*");
            // A `*` here would cross the host's end.
            if domain.contains('*') {
                return Err(("has a wildcard in its domain", "write a `regex:` for the url"));
            }
            let start = format!("http{{,s}}://{host}");
            ("url", Patterns::Many(vec![start.clone(), format!("{start}/*"), format!("{start}[:?#]*")]))
        }
        "Task" | "Agent" => ("subagent_type", Patterns::One(literal(inside.trim()))),
        "Skill" => ("skill", Patterns::One(literal(inside.trim()).replace(":\\*", "*"))),
        _ => {
            return Err((
                "has a condition we don't know for this tool",
                "write the rule by hand, with `args`",
            ));
        }
    };
    rule.args.insert(argument.into(), patterns);
    Ok(rule)
}

/// `npm run test:*` is that and more words; a `*` elsewhere is any text.
fn command(text: &str) -> Result<String, Refused> {
    let (text, more) = match text.strip_suffix(":*") {
        Some(start) => (start, " *"),
        None => (text, ""),
    };
    if text.is_empty() {
        return Err(EMPTY);
    }
    let stars = |text: &str| text.split('*').map(literal).collect::<Vec<_>>().join("*");
    Ok(format!("{}{more}", stars(text)))
}

/// Claude Code's paths are those of gitignore: `//x` from the root, `~/x` from home, `/x` from the settings
/// file's folder (here: the working directory), `x` anywhere below the working directory.
fn path(text: &str) -> Result<Patterns, Refused> {
    let text = text.strip_prefix("./").unwrap_or(text);
    let below = |start: &str, rest: &str| {
        // A folder means what is in it, too.
        let rest = rest.trim_end_matches('/');
        let mut patterns = vec![format!("{start}{rest}")];
        if !rest.ends_with('*') {
            patterns.push(format!("{start}{rest}/**"));
        }
        Patterns::Many(patterns)
    };
    match text {
        _ if text.split('/').any(|part| part == "..") => {
            Err(("goes up with `..`", "write the path from `//` or `~/`"))
        }
        "*" | "**" | "/**" | "./**" => Ok(Patterns::Many(vec!["./**".into()])),
        _ if text.starts_with("//") => Ok(below("/", text.trim_start_matches('/'))),
        _ if text.starts_with("~/") => Ok(below("~/", &text[2..])),
        _ if text.starts_with('/') => Ok(below("./", &text[1..])),
        _ if text.starts_with("**") => Ok(below("", text)),
        // Without a slash in the middle a pattern of gitignore holds at any depth.
        _ if text.trim_end_matches('/').contains('/') => Ok(below("./", text)),
        _ => Ok(below("./**/", text)),
    }
}
