//! Takes secrets out of what is kept: known values, and what has the look of a key.

use regex::{Regex, RegexSet};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::LazyLock;

/// What stands in a secret's place.
pub const MASK: &str = "****";

/// Shorter values are not taken for secrets: they would be found in every other word.
const SECRET_MIN: usize = 8;

/// Keys and tokens by their makers' forms, and values that are called a secret. The part to mask is the group, or all.
const SHAPES: [&str; 11] = [
    r"\bsk-[A-Za-z0-9_-]{16,}", // Anthropic, OpenAI and who follows them
    r"\b(?:gh[opsur]|glpat|npm|pypi|hf)[_-][A-Za-z0-9_-]{16,}", // GitHub, GitLab, npm, PyPI, Hugging Face
    r"\bgithub_pat_[A-Za-z0-9_]{20,}",
    r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",                          // Slack
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",                             // AWS
    r"\bAIza[0-9A-Za-z_-]{30,}",                                  // Google
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", // JSON web tokens
    r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
    r"(?i)\b[a-z][a-z0-9+.-]*://[^\s/:@]*:([^\s/@]+)@", // a password in an address
    r"(?i)\b(?:bearer|basic)\s+([A-Za-z0-9._~+/-]{12,}=*)",
    r#"(?i)(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)["']?\s*[=:]\s*["']?([^\s"'&;|]{6,})"#,
];

static ANY: LazyLock<RegexSet> = LazyLock::new(|| RegexSet::new(SHAPES).expect("the shapes are tested"));

static EACH: LazyLock<Vec<Regex>> =
    LazyLock::new(|| SHAPES.iter().map(|shape| Regex::new(shape).expect("the shapes are tested")).collect());

/// Masks what it knows to be secret.
#[derive(Clone, Default)]
pub struct Masker {
    values: Vec<String>,
}

impl Masker {
    /// One that also knows these values.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut values: Vec<String> = values.into_iter().filter(|value| value.len() >= SECRET_MIN).collect();
        // The longest first: one value may begin with another.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        Self { values }
    }

    /// The text without secrets.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::from(text);
        for value in &self.values {
            if text.contains(value.as_str()) {
                text = text.replace(value.as_str(), MASK).into();
            }
        }
        // Nearly every text has none, and one pass says so.
        if !ANY.is_match(&text) {
            return text;
        }
        for found in &ANY.matches(&text) {
            let masked = EACH[found].replace_all(&text, |found: &regex::Captures<'_>| {
                let all = found.get(0).expect("the whole match");
                match found.get(1) {
                    None => MASK.to_owned(),
                    Some(part) => {
                        let (before, after) = (part.start() - all.start(), part.end() - all.start());
                        format!("{}{MASK}{}", &all.as_str()[..before], &all.as_str()[after..])
                    }
                }
            });
            text = masked.into_owned().into();
        }
        text
    }

    /// The value with every text in it masked, and whole texts whose name says that they are secret.
    pub fn value(&self, mut value: Value) -> Value {
        self.mask(&mut value);
        value
    }

    fn mask(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(masked) = self.text(text) {
                    *text = masked;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask(item)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value {
                        Value::String(text) if is_secret_name(name) => MASK.clone_into(text),
                        value => self.mask(value),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Masker({} values)", self.values.len())
    }
}

/// What a name ends with whose value is a secret.
const SECRET_NAMES: [&str; 11] = [
    "password",
    "passwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "private_key",
    "secret_key",
    "access_key",
    "authorization",
];

/// Whether a name, of a field or a variable, says that its value is a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.as_bytes();
    SECRET_NAMES.iter().any(|word| {
        name.len().checked_sub(word.len()).is_some_and(|start| {
            let (before, end) = name.split_at(start);
            end.eq_ignore_ascii_case(word.as_bytes()) && before.last().is_none_or(|last| *last == b'_')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_looks_like_a_key_is_masked_and_the_rest_is_not() {
        let masker = Masker::new(["hunter2-hunter2".to_owned(), "short".to_owned()]);
        let check = |text: &str, expected: &str| assert_eq!(masker.text(text), expected);
        check("export KEY=sk-ant-api03-AbCdEfGhIjKlMnOpQr", "export KEY=****");
        check("git push https://me:s3cr3t@host/x", "git push https://me:****@host/x");
        check("curl -H 'Authorization: Bearer abcdefghijklmnop'", "curl -H 'Authorization: Bearer ****'");
        check("mysql --password=abcdef1 db", "mysql --password=**** db");
        check(r#"{"api_key": "abcdef123456"}"#, r#"{"api_key": "****"}"#);
        check("ghp_abcdefghijklmnopqrstuvwx ok", "**** ok");
        check("a hunter2-hunter2 b", "a **** b");
        check("short stays", "short stays");
        check("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- x", "**** x");
        check("cargo test --workspace", "cargo test --workspace");
        check("token count: 5", "token count: 5");
        check("https://example.com/a:b@c", "https://example.com/a:b@c");
        check("the password is long", "the password is long");
    }

    #[test]
    fn names_tell_secrets_inside_values() {
        let masked = Masker::default().value(json!({
            "Token": "x", "client_secret": "y", "tokens": "z", "mytoken": "z", "key": "z",
            "n": [1, "sk-aaaaaaaaaaaaaaaaaaaa"],
        }));
        assert_eq!(
            masked,
            json!({
                "Token": "****", "client_secret": "****", "tokens": "z", "mytoken": "z", "key": "z",
                "n": [1, "****"],
            })
        );
    }

    #[test]
    fn it_does_not_print_what_it_knows() {
        assert_eq!(format!("{:?}", Masker::new(["hunter2-hunter2".to_owned()])), "Masker(1 values)");
    }
}
