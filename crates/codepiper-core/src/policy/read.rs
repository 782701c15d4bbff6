//! Policies from JSON, with everything that is wrong said at once; and rules made ready.

use super::pattern::{BadPattern, List, PathPattern, TextPattern};
use super::rule::{Compiled, FILE_ARGS, FOLDER_ARGS, READ_TOOLS, WRITE_TOOLS};
use super::{Action, Patterns, Policy, Rule, Scope};
use crate::ids::SessionId;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The most rules of one policy. A person's have a dozen, an organisation's some hundreds.
const RULES_MAX: usize = 2000;
/// The longest name, id, reason or description, in bytes.
const TEXT_MAX: usize = 4096;

/// Something wrong with a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Where: `rules[2].args.command`.
    pub at: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

/// Reads a policy, or says all that is wrong with it.
pub fn read_policy(value: &Value) -> Result<Policy, Vec<Problem>> {
    let mut reader = Reader::default();
    let policy = reader.policy(value);
    match (policy, reader.problems.is_empty()) {
        (Some(policy), true) => Ok(policy),
        _ => Err(reader.problems),
    }
}

/// Reads a list of rules; places are given as `rules[…]`.
pub fn read_rules(value: &Value) -> Result<Vec<Rule>, Vec<Problem>> {
    let mut reader = Reader::default();
    let rules = reader.rules(value);
    if reader.problems.is_empty() { Ok(rules) } else { Err(reader.problems) }
}

#[derive(Default)]
struct Reader {
    problems: Vec<Problem>,
}

const POLICY_FIELDS: &[&str] = &["id", "name", "description", "enabled", "priority", "scope", "rules"];
const RULE_FIELDS: &[&str] = &["id", "action", "tool", "args", "cwd", "session", "reason"];

impl Reader {
    fn wrong(&mut self, at: &str, what: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem { at: at.into(), what: what.into(), hint: hint.into() });
    }

    fn object<'a>(&mut self, at: &str, value: &'a Value, known: &[&str]) -> Option<&'a Map<String, Value>> {
        let Some(fields) = value.as_object() else {
            self.wrong(at, format!("is {}, not an object", kind(value)), "write `{ … }`");
            return None;
        };
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            self.wrong(&at, "is no field we know", format!("known are {}", known.join(", ")));
        }
        Some(fields)
    }

    fn text(&mut self, at: &str, value: Option<&Value>) -> Option<String> {
        match value? {
            Value::Null => None,
            Value::String(text) if text.len() <= TEXT_MAX => Some(text.clone()),
            Value::String(_) => {
                self.wrong(at, format!("is longer than {TEXT_MAX} bytes"), "write less");
                None
            }
            other => {
                self.wrong(at, format!("is {}, not a text", kind(other)), "write it in quotes");
                None
            }
        }
    }

    fn policy(&mut self, value: &Value) -> Option<Policy> {
        let fields = self.object("", value, POLICY_FIELDS)?;
        let name = self.text("name", fields.get("name"));
        if name.as_ref().is_none_or(|name| name.trim().is_empty()) && !self.has("name") {
            self.wrong("name", "is missing", "give the policy a name");
        }
        let enabled = match fields.get("enabled") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(enabled)) => *enabled,
            Some(other) => {
                self.wrong("enabled", format!("is {}", kind(other)), "write true or false");
                true
            }
        };
        let priority = match fields.get("priority") {
            None | Some(Value::Null) => 0,
            Some(value) => value.as_i64().unwrap_or_else(|| {
                self.wrong("priority", "is no whole number", "write a number like 10; higher decides first");
                0
            }),
        };
        let scope = fields.get("scope").map_or(Scope::Global, |value| self.scope(value));
        let rules = match fields.get("rules") {
            None => {
                self.wrong("rules", "is missing", "write a list of rules");
                Vec::new()
            }
            Some(rules) => self.rules(rules),
        };
        Some(Policy {
            id: self.text("id", fields.get("id")).unwrap_or_default(),
            name: name.unwrap_or_default(),
            description: self.text("description", fields.get("description")),
            enabled,
            priority,
            scope,
            rules,
        })
    }

    fn has(&self, at: &str) -> bool {
        self.problems.iter().any(|problem| problem.at == at)
    }

    fn scope(&mut self, value: &Value) -> Scope {
        let hint =
            "write \"global\", \"set\", {\"session\": id}, {\"workspace\": folder} or {\"provider\": id}";
        let one =
            value.as_object().filter(|fields| fields.len() == 1).and_then(|fields| fields.iter().next());
        match (value.as_str(), one) {
            (Some("global"), _) => Scope::Global,
            (Some("set"), _) => Scope::Set,
            (_, Some((name, Value::String(text)))) => match name.as_str() {
                "session" => match SessionId::parse(text) {
                    Ok(id) => Scope::Session(id),
                    Err(error) => {
                        self.wrong("scope.session", error.to_string(), "`codepiper sessions` shows the ids");
                        Scope::Global
                    }
                },
                "workspace" if text.starts_with('/') => Scope::Workspace(PathBuf::from(text)),
                "workspace" => {
                    self.wrong("scope.workspace", "is no absolute path", "write the folder from `/`");
                    Scope::Global
                }
                "provider" if !text.is_empty() => Scope::Provider(text.clone()),
                _ => {
                    self.wrong("scope", "is no scope we know", hint);
                    Scope::Global
                }
            },
            _ => {
                self.wrong("scope", "is no scope we know", hint);
                Scope::Global
            }
        }
    }

    fn rules(&mut self, value: &Value) -> Vec<Rule> {
        let Some(rules) = value.as_array() else {
            self.wrong("rules", format!("is {}, not a list", kind(value)), "write `[ … ]`");
            return Vec::new();
        };
        if rules.len() > RULES_MAX {
            self.wrong("rules", format!("are more than {RULES_MAX}"), "use patterns, or several policies");
            return Vec::new();
        }
        rules.iter().enumerate().filter_map(|(at, rule)| self.rule(&format!("rules[{at}]"), rule)).collect()
    }

    fn rule(&mut self, at: &str, value: &Value) -> Option<Rule> {
        let fields = self.object(at, value, RULE_FIELDS)?;
        let action_at = format!("{at}.action");
        let action = match fields.get("action").map(|value| value.as_str()) {
            Some(Some("allow")) => Action::Allow,
            Some(Some("ask")) => Action::Ask,
            Some(Some("deny")) => Action::Deny,
            None => {
                self.wrong(&action_at, "is missing", "write allow, ask or deny");
                Action::Deny
            }
            Some(Some(other)) => {
                self.wrong(&action_at, format!("is `{other}`"), "write allow, ask or deny");
                Action::Deny
            }
            Some(None) => {
                self.wrong(&action_at, "is no text", "write allow, ask or deny");
                Action::Deny
            }
        };
        let mut args = BTreeMap::new();
        match fields.get("args") {
            None | Some(Value::Null) => {}
            Some(Value::Object(given)) => {
                for (name, value) in given {
                    let at = format!("{at}.args.{name}");
                    if name.is_empty() || name.split('.').any(str::is_empty) {
                        self.wrong(&at, "is no argument's name", "write a name, or a path like `a.b.0`");
                    }
                    args.extend(self.patterns(&at, Some(value)).map(|patterns| (name.clone(), patterns)));
                }
            }
            Some(other) => {
                self.wrong(
                    &format!("{at}.args"),
                    format!("is {}, not an object", kind(other)),
                    "write `{ … }`",
                );
            }
        }
        let rule = Rule {
            id: self.text(&format!("{at}.id"), fields.get("id")),
            action,
            tool: self.patterns(&format!("{at}.tool"), fields.get("tool")),
            args,
            cwd: self.patterns(&format!("{at}.cwd"), fields.get("cwd")),
            session: self.patterns(&format!("{at}.session"), fields.get("session")),
            reason: self.text(&format!("{at}.reason"), fields.get("reason")),
        };
        if let Err(problems) = compile(&rule, at, 0, (0, 0)) {
            self.problems.extend(problems);
        }
        Some(rule)
    }

    fn patterns(&mut self, at: &str, value: Option<&Value>) -> Option<Patterns> {
        match value? {
            Value::Null => None,
            Value::String(pattern) => Some(Patterns::One(pattern.clone())),
            Value::Array(items) => {
                let mut patterns = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    match item.as_str() {
                        Some(pattern) => patterns.push(pattern.to_owned()),
                        None => self.wrong(
                            &format!("{at}[{index}]"),
                            format!("is {}, not a pattern", kind(item)),
                            "write it in quotes",
                        ),
                    }
                }
                if items.is_empty() {
                    self.wrong(at, "is an empty list", "leave the field out to match anything");
                }
                Some(Patterns::Many(patterns))
            }
            other => {
                self.wrong(
                    at,
                    format!("is {}, not a pattern", kind(other)),
                    "write a text or a list of texts",
                );
                None
            }
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A rule made ready, or all that is wrong with its patterns. `at` is its place.
pub(super) fn compile(
    rule: &Rule,
    at: &str,
    priority: i64,
    origin: (usize, usize),
) -> Result<Compiled, Vec<Problem>> {
    let mut problems = Vec::new();
    if rule.args.contains_key("cmd") && rule.args.contains_key("command") {
        problems.push(Problem {
            at: format!("{at}.args.cmd"),
            what: "is the same as `command`, which is there too".into(),
            hint: "keep `command`".into(),
        });
    }
    let mut list = |name: &str, patterns: &Patterns, bad: Vec<(usize, BadPattern)>| {
        for (index, problem) in bad {
            let at = match patterns {
                Patterns::One(_) => format!("{at}.{name}"),
                Patterns::Many(_) => format!("{at}.{name}[{index}]"),
            };
            problems.push(Problem { at, what: problem.what, hint: problem.hint.into() });
        }
    };
    let mut text = |name: &str, patterns: &Patterns, read: fn(&str) -> Result<TextPattern, BadPattern>| {
        List::read(patterns.list(), read).map_err(|bad| list(name, patterns, bad)).ok()
    };
    let mut command = None;
    let mut texts = Vec::new();
    let tool = rule.tool.as_ref().and_then(|patterns| text("tool", patterns, TextPattern::read));
    let session = rule.session.as_ref().and_then(|patterns| text("session", patterns, TextPattern::read));
    for (name, patterns) in &rule.args {
        let place = format!("args.{name}");
        match name.as_str() {
            "command" | "cmd" => command = text(&place, patterns, TextPattern::read_command),
            name if FILE_ARGS.contains(&name) || FOLDER_ARGS.contains(&name) => {}
            name => {
                texts.extend(text(&place, patterns, TextPattern::read).map(|list| (name.to_owned(), list)))
            }
        }
    }
    let mut path = |name: &str, patterns: &Patterns| {
        List::read(patterns.list(), PathPattern::read).map_err(|bad| list(name, patterns, bad)).ok()
    };
    let cwd = rule.cwd.as_ref().and_then(|patterns| path("cwd", patterns));
    let mut files = Vec::new();
    let mut folders = Vec::new();
    for (name, patterns) in &rule.args {
        let place = format!("args.{name}");
        match name.as_str() {
            name if FILE_ARGS.contains(&name) => files.extend(path(&place, patterns)),
            name if FOLDER_ARGS.contains(&name) => {
                folders.extend(path(&place, patterns).map(|list| (name.to_owned(), list)));
            }
            _ => {}
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut compiled = Compiled {
        action: rule.action,
        priority,
        origin,
        tool,
        command,
        files,
        folders,
        texts,
        cwd,
        session,
        reads_files: false,
        writes_files: false,
    };
    compiled.reads_files = READ_TOOLS.iter().any(|tool| compiled.is_for(tool));
    compiled.writes_files = WRITE_TOOLS.iter().any(|tool| compiled.is_for(tool));
    Ok(compiled)
}
