//! Policies in files: JSON and YAML, one or several; and where Claude Code keeps its permission rules.

use super::absolute;
use crate::args::ExportStyle;
use codepiper_api::{Fault, Refusal};
use serde::Serialize;
use serde_json::{Map, Value};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The largest file that is read, in bytes: what one request to the daemon may hold.
const FILE_MAX: u64 = 8 * 1024 * 1024;

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Document {
    /// Policies as objects.
    Policies(Vec<Map<String, Value>>),
    /// Rules only.
    Rules(Value),
}

/// Reads a file; `-` is standard input.
pub(super) fn read(path: &Path) -> Result<Document, Refusal> {
    let (text, shown) = match path.to_str() {
        Some("-") => {
            let mut text = String::new();
            let read = std::io::stdin().take(FILE_MAX + 1).read_to_string(&mut text);
            read.map_err(|error| Refusal::new(Fault::Usage, format!("cannot read standard input: {error}")))?;
            (text, "standard input".to_owned())
        }
        _ => (text_of(path)?, format!("`{}`", path.display())),
    };
    if text.len() as u64 > FILE_MAX {
        return Err(Refusal::new(Fault::TooLarge, format!("{shown} is larger than {FILE_MAX} bytes")));
    }
    let value = parse(&text)
        .map_err(|why| Refusal::new(Fault::Usage, format!("{shown} is neither JSON nor YAML: {why}")))?;
    document(value).map_err(|why| Refusal::new(Fault::Usage, format!("{shown} {why}")))
}

fn text_of(path: &Path) -> Result<String, Refusal> {
    let path = PathBuf::from(absolute(path)?);
    std::fs::read_to_string(&path)
        .map_err(|error| Refusal::new(Fault::Missing, format!("cannot read `{}`: {error}", path.display())))
}

/// JSON, else YAML.
fn parse(text: &str) -> Result<Value, String> {
    let json = serde_json::from_str(text);
    json.or_else(|no_json| {
        // `yes` is a text: in a rule, a word that became `true` would match nothing.
        let options = serde_saphyr::options! { strict_booleans: true };
        serde_saphyr::from_str_with_options(text, options).map_err(|no_yaml| {
            match text.trim_start().starts_with(['{', '[']) {
                true => no_json.to_string(),
                // What it would say to a programmer is of no use here.
                false => no_yaml.to_string().replace(", set DuplicateKeyPolicy in Options if acceptable", ""),
            }
        })
    })
}

fn document(value: Value) -> Result<Document, String> {
    match value {
        Value::Object(mut fields) if fields.get("policies").is_some_and(Value::is_array) => {
            document(fields.remove("policies").unwrap_or_default())
        }
        Value::Object(fields) if fields.contains_key("rules") => Ok(Document::Policies(vec![fields])),
        Value::Array(items) if items.iter().any(|item| item.get("action").is_some()) => {
            Ok(Document::Rules(Value::Array(items)))
        }
        Value::Array(items) if !items.is_empty() => {
            let policies = items.into_iter().map(|item| match item {
                Value::Object(fields) => Ok(fields),
                other => Err(format!("has `{other}` in place of a policy")),
            });
            Ok(Document::Policies(policies.collect::<Result<_, _>>()?))
        }
        _ => Err("holds no policy: it must be an object with `rules`, or a list".into()),
    }
}

/// JSON that was typed as an option.
pub(super) fn option(name: &str, text: &str) -> Result<Value, Refusal> {
    serde_json::from_str(text).map_err(|error| {
        Refusal::field(name, format!("is no JSON: {error}"))
            .hint("put it in single quotes, so that the shell leaves the double ones")
    })
}

/// The same, for what must be an object.
pub(super) fn object(name: &str, text: &str) -> Result<Map<String, Value>, Refusal> {
    match option(name, text)? {
        Value::Object(fields) => Ok(fields),
        _ => Err(Refusal::field(name, "must be an object, like {\"command\": \"rm *\"}")),
    }
}

/// The data as text that [`read`] understands.
pub(super) fn write(data: &impl Serialize, style: ExportStyle) -> Result<String, Refusal> {
    let broken =
        |why: String| Refusal::new(Fault::Internal, format!("the policies cannot be written: {why}"));
    match style {
        ExportStyle::Json => {
            serde_json::to_string_pretty(data).map(|text| text + "\n").map_err(|why| broken(why.to_string()))
        }
        ExportStyle::Yaml => serde_saphyr::to_string(data).map_err(|why| broken(why.to_string())),
    }
}

/// A settings file of Claude Code, and the policy that is made of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClaudeFile {
    /// Where it is.
    pub(super) path: PathBuf,
    /// The policy's id: that of an import of the same file before.
    pub(super) id: String,
    /// The policy's name.
    pub(super) name: String,
    /// The policy's scope.
    pub(super) scope: Value,
}

impl ClaudeFile {
    /// The one that was named: for every session.
    pub(super) fn named(path: &Path) -> Result<Self, Refusal> {
        let path = absolute(path)?;
        Ok(Self {
            id: format!("claude-{:08x}", fnv(&path)),
            name: format!("Imported from Claude Code ({path})"),
            scope: "global".into(),
            path: path.into(),
        })
    }

    /// Those that Claude Code reads in a folder. Not all need to be there.
    pub(super) fn usual(folder: &Path, here: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Self>, Refusal> {
        let folder = absolute(folder)?;
        let config = here("CLAUDE_CONFIG_DIR").map(PathBuf::from);
        let config = config.or_else(|| here("HOME").map(|home| Path::new(&home).join(".claude")));
        let user = config.map(|config| Self {
            path: config.join("settings.json"),
            id: "claude-user".into(),
            name: "Imported from Claude Code".into(),
            scope: "global".into(),
        });
        let project = ["settings.json", "settings.local.json"].map(|file| {
            let path = Path::new(&folder).join(".claude").join(file);
            Self {
                id: format!("claude-{:08x}", fnv(&path.to_string_lossy())),
                name: format!("Imported from Claude Code ({folder}, {file})"),
                scope: serde_json::json!({ "workspace": folder }),
                path,
            }
        });
        let mut files: Vec<Self> = user.into_iter().chain(project).collect();
        // In the home folder the user's settings are the project's too.
        let mut seen = Vec::new();
        files.retain(|file| !seen.contains(&file.path) && (seen.push(file.path.clone()), true).1);
        Ok(files)
    }

    /// What is in it.
    pub(super) fn read(&self) -> Result<Value, Refusal> {
        let text = text_of(&self.path)?;
        serde_json::from_str(&text).map_err(|error| {
            Refusal::new(Fault::Usage, format!("`{}` is no JSON: {error}", self.path.display()))
        })
    }
}

/// FNV-1a: the same in every version, which an id needs.
fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn files_hold_a_policy_several_or_rules() {
        let check = |text: &str, expected: &str| {
            let shown = match parse(text).and_then(document) {
                Ok(Document::Policies(policies)) => format!("policies {}", json!(policies)),
                Ok(Document::Rules(rules)) => format!("rules {rules}"),
                Err(why) => why.lines().next().unwrap_or_default().to_owned(),
            };
            assert_eq!(shown, expected, "for {text:?}");
        };
        let one = r#"policies [{"name":"a","rules":[{"action":"deny"}]}]"#;
        check(r#"{"name": "a", "rules": [{"action": "deny"}]}"#, one);
        check(r#"[{"name": "a", "rules": [{"action": "deny"}]}]"#, one);
        check(r#"{"policies": [{"name": "a", "rules": [{"action": "deny"}]}]}"#, one);
        check("name: a\nrules:\n  - action: deny\n", one);
        check("- name: a\n  rules:\n  - {action: deny}", one);
        check("# mine\n{name: a, rules: [{action: deny}]}", one);
        check(
            "- action: deny\n  tool: [Bash, 'mcp__*']",
            r#"rules [{"action":"deny","tool":["Bash","mcp__*"]}]"#,
        );
        check("name: yes\nrules: []", r#"policies [{"name":"yes","rules":[]}]"#);
        let no_policy = "holds no policy: it must be an object with `rules`, or a list";
        check("name: a", no_policy);
        check("[]", no_policy);
        check("", no_policy);
        check("name: a\nname: b", "error: line 2 column 1: duplicate mapping key: name");
        check("just words", no_policy);
        check("[1]", "has `1` in place of a policy");
        check(r#"{"name": "a","#, "EOF while parsing a value at line 1 column 13");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let policy = json!([{
            "id": "p-1", "name": "yes: \"no\"", "enabled": true, "priority": -3, "scope": {"workspace": "/w"},
            "rules": [{
                "action": "deny", "tool": ["Bash", "!mcp__*"], "reason": "a\nb # c",
                "args": {"command": ["rm *", "*", "- x", "~", "null", "1e3", "0755", "regex:^a{2}\\s$"]},
            }],
        }]);
        for style in [ExportStyle::Json, ExportStyle::Yaml] {
            let text = write(&policy, style).unwrap();
            assert_eq!(parse(&text).unwrap(), policy, "{text}");
        }
    }

    #[test]
    fn claude_codes_files_are_those_of_the_user_and_of_the_folder() {
        let shown = |folder: &str, variables: &[(&str, &str)]| -> Vec<String> {
            let here = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            let files = ClaudeFile::usual(Path::new(folder), &here).unwrap();
            files.iter().map(|file| format!("{} {}", file.path.display(), file.scope)).collect()
        };
        let project = |folder: &str| {
            ["settings.json", "settings.local.json"]
                .map(|file| format!("{folder}/.claude/{file} {{\"workspace\":\"{folder}\"}}"))
        };
        let mut expected = vec!["/h/.claude/settings.json \"global\"".to_owned()];
        expected.extend(project("/w"));
        assert_eq!(shown("/w", &[("HOME", "/h")]), expected);
        expected[0] = "/c/settings.json \"global\"".to_owned();
        assert_eq!(shown("/w", &[("HOME", "/h"), ("CLAUDE_CONFIG_DIR", "/c")]), expected);
        assert_eq!(shown("/h", &[("HOME", "/h")]).len(), 2);
        assert_eq!(shown("/w", &[]), project("/w"));
        assert_eq!(fnv("/w"), fnv("/w"));
        assert_eq!(format!("{:08x}", fnv("a")), "e40c292c");
    }
}
