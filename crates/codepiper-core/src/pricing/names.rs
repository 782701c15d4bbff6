//! Names of models: the same model has many, by who sells it.

use regex::Regex;
use serde::{Serialize, Serializer};
use std::sync::LazyLock;

/// Every form of a model's name that a pattern may mean, from the whole to the bare one.
///
/// `us.anthropic.claude-opus-4-5-20251101-v1:0` is also `claude-opus-4-5-20251101` and `claude-opus-4-5`. Only what
/// says where or when is taken away; what could say another price stays, as in `:free` or `-fast`.
pub(super) fn forms(model: &str) -> Vec<String> {
    let mut forms = vec![model.trim().to_lowercase()];
    for affix in AFFIXES.iter() {
        let last = forms.last().expect("there is a first");
        let shorter = affix.replace(last, "").into_owned();
        if shorter != *last && !shorter.is_empty() {
            forms.push(shorter);
        }
    }
    // Resellers write versions with a dot, Anthropic itself with a dash.
    if let Some(last) = forms.last().filter(|last| last.starts_with("claude-") && last.contains('.')) {
        forms.push(last.replace('.', "-"));
    }
    forms
}

/// What is taken away, in this order.
static AFFIXES: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r"^.*/", // provider or path: `anthropic/`, `openrouter/openai/`, Bedrock's ARNs
        r"^([a-z]+(-[a-z]+)?\.)?(anthropic|openai)\.", // Bedrock's region and vendor
        r"\[[^\]]*\]$", // Claude Code's mark of a longer context: `[1m]`
        r"@[0-9a-z]+$", // Vertex's version: `@20250101`, `@default`
        r"-v\d+(:\d+)?$", // Bedrock's version: `-v1:0`
        r"-(\d{8}|\d{4}-\d{2}-\d{2})$", // the day of a snapshot
        r"-latest$",
    ]
    .into_iter()
    .map(|affix| Regex::new(affix).expect("written here"))
    .collect()
});

/// A glob over names of models: `*` is any text, `?` any character. Upper and lower case are the same.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    /// Most patterns are plain names, which are compared a thousand times faster.
    compiled: Option<Regex>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase();
        if text.is_empty() {
            return None;
        }
        let compiled = match text.contains(['*', '?']) {
            true => {
                let escaped = regex::escape(&text).replace(r"\*", ".*").replace(r"\?", ".");
                Some(Regex::new(&format!("^(?s:{escaped})$")).ok()?)
            }
            false => None,
        };
        Some(Self { text, compiled })
    }

    pub(super) fn matches_any(&self, forms: &[String]) -> bool {
        forms.iter().any(|form| match &self.compiled {
            Some(compiled) => compiled.is_match(form),
            None => self.text == *form,
        })
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
