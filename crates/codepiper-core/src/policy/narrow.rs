//! The rule behind "always allow this": the call as it is, and nothing wider.

use super::rule::{FILE_ARGS, argument};
use super::{Action, Call, Patterns, Rule, paths, shell};
use serde_json::Value;

/// The narrowest rule that matches the call: exactly this command, this file, this host; for other tools
/// exactly these arguments.
pub fn narrowest_rule(call: &Call<'_>, action: Action) -> Rule {
    let mut rule = Rule::new(action);
    let one = |text: &str| Patterns::One(literal(text));
    rule.tool = Some(one(call.tool));
    if let Some(command) = shell::command_of(call.tool, call.args) {
        rule.args.insert("command".into(), one(command.trim()));
        rule.cwd = Some(one(&paths::normal("", call.cwd, None).to_string_lossy()));
        return rule;
    }
    if let Some(name) = FILE_ARGS.iter().find(|name| argument(call.args, name).is_some()) {
        let path = argument(call.args, name).unwrap_or_default();
        let path = paths::normal(&path, call.cwd, call.home);
        rule.args.insert((*name).into(), one(&path.to_string_lossy()));
        return rule;
    }
    if let Some(url) = call.args.get("url").and_then(Value::as_str)
        && let Some((scheme, rest)) = url.split_once("://")
    {
        let host: &str = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // Up to the end of the host, so that `example.com.evil.net` is another.
        let start = format!("{}://{}", literal(scheme), literal(host));
        rule.args.insert(
            "url".into(),
            Patterns::Many(vec![start.clone(), format!("{start}/*"), format!("{start}[?#]*")]),
        );
        return rule;
    }
    if let Some(args) = call.args.as_object() {
        for name in args.keys() {
            if let Some(text) =
                argument(call.args, name).filter(|text| text.len() < super::pattern::PATTERN_MAX / 2)
            {
                rule.args.insert(name.clone(), one(&text));
            }
        }
    }
    rule
}

/// A pattern that matches this text only.
pub(super) fn literal(text: &str) -> String {
    let mut pattern = String::new();
    if text.starts_with("regex:") || text.starts_with('!') {
        pattern.push('\\');
    }
    for c in text.chars() {
        if "*?[]{}\\".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}
