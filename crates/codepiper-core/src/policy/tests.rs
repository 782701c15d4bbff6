//! Tables of the policy engine: what rules decide about which call.

mod commands;
mod order;
mod patterns;
mod properties;
mod reading;

use super::*;
use serde_json::{Value, json};

/// Where the tests' sessions work, and who works there.
const CWD: &str = "/ws";
const HOME: &str = "/home/dev";

/// The file system of the tests: two links, one out of the workspace and one to a secret.
fn real(path: &Path) -> PathBuf {
    for (link, target) in [("/ws/out", "/etc"), ("/ws/innocent.txt", "/ws/.env"), ("/linked", "/ws")] {
        if let Ok(rest) = path.strip_prefix(link) {
            return if rest.as_os_str().is_empty() { target.into() } else { Path::new(target).join(rest) };
        }
    }
    path.to_owned()
}

/// Rules in one line each: `deny Bash command=rm *`, `[10] allow Read,Grep file_path=src/**`, `ask`. Several
/// arguments are separated by ` ; `.
fn rules(lines: &str) -> Vec<Policy> {
    let mut policies = Vec::new();
    for (at, line) in lines.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        let (priority, line) = match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
            Some((priority, rest)) => (priority.parse().unwrap(), rest),
            None => (0, line),
        };
        let (action, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (tool, args) = match rest.split_once(' ') {
            Some((tool, args)) => (tool, args),
            None if rest.contains('=') => ("", rest),
            None => (rest, ""),
        };
        let mut rule = json!({ "action": action });
        let list = |text: &str, by: &str| Value::from(text.split(by).map(str::to_owned).collect::<Vec<_>>());
        if !tool.is_empty() && tool != "*" {
            rule["tool"] = list(tool, ",");
        }
        for (name, pattern) in args.split(" ; ").filter_map(|arg| arg.split_once('=')) {
            match name {
                "cwd" | "session" => rule[name] = list(pattern, " | "),
                name => rule["args"][name] = list(pattern, " | "),
            }
        }
        let policy = json!({ "id": format!("p{at}"), "name": line, "priority": priority, "rules": [rule] });
        policies.push(read_policy(&policy).unwrap_or_else(|wrong| panic!("{line}: {wrong:?}")));
    }
    policies
}

/// The rules' answer to a call of a tool.
fn decide(policies: &[Policy], fallback: Fallback, tool: &str, args: &Value) -> Decision {
    ask(&RuleBook::compile(policies, fallback).unwrap(), tool, args)
}

fn ask(book: &RuleBook, tool: &str, args: &Value) -> Decision {
    let session = SessionId::parse("a1b2c3d4").unwrap();
    let call =
        Call { tool, args, cwd: Path::new(CWD), session: &session, home: Some(Path::new(HOME)), real: &real };
    book.decide(&call)
}

/// A call in one line: `Read file_path=/ws/x`, `Bash rm x` (the whole rest is the command).
fn call(line: &str) -> (String, Value) {
    let (tool, rest) = line.split_once(' ').unwrap_or((line, ""));
    if tool == "Bash" {
        return (tool.into(), json!({ "command": rest }));
    }
    let args: serde_json::Map<String, Value> = rest
        .split(" ; ")
        .filter_map(|arg| arg.split_once('='))
        .map(|(name, text)| (name.to_owned(), serde_json::from_str(text).unwrap_or_else(|_| text.into())))
        .collect();
    (tool.into(), args.into())
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Ask => "ask",
        Action::Deny => "deny",
    }
}

/// Under these rules (fallback ask) this call is decided so.
fn check(lines: &str, line: &str, expected: &str) {
    let (tool, args) = call(line);
    let decision = decide(&rules(lines), Fallback::Ask, &tool, &args);
    assert_eq!(word(decision.action), expected, "{line:?} under {lines:?}: {:#?}", explain(&decision));
}
