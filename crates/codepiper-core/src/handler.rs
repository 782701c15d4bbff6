//! A person's own reactions to what happens: run a program, or post to an address. The file that says so, checked when
//! it is read, and what a handler is given.
//!
//! What an agent wrote is hostile: it goes into JSON and into variables, never into a command line.

use crate::notification::Kind;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Handlers that one file may hold.
const HANDLERS_MAX: usize = 50;

/// The longest that a handler may take, in seconds.
const SECONDS_MAX: u64 = 300;

/// The most times that a handler is tried again.
const RETRIES_MAX: u32 = 20;

/// What a text of a handler may name in braces.
pub const PLACES: [&str; 8] = ["type", "title", "body", "time", "session", "name", "provider", "cwd"];

/// A reaction to what happens.
#[derive(Debug, Clone, PartialEq)]
pub struct Handler {
    /// For people, and for what waits to be delivered.
    pub name: String,
    /// To what.
    on: Vec<Pattern>,
    /// What is done.
    pub action: Action,
    /// How long it may take, in seconds.
    pub seconds: u64,
    /// How many times it is tried again when it fails.
    pub retries: u32,
}

/// What a handler does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Runs a program with these arguments.
    Run(Vec<String>),
    /// Posts to an address.
    Post(Post),
}

/// A post to an address.
#[derive(Clone, PartialEq)]
pub struct Post {
    /// Where to. It may hold a secret, so it is not shown as a whole.
    pub url: String,
    /// The body, with names in braces; without it the whole message is posted.
    json: Option<Value>,
    /// More headers, with names in braces.
    headers: BTreeMap<String, String>,
    /// What it is signed with.
    pub secret: Option<String>,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Post({})", self.host())
    }
}

/// Names with `*` for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern(String);

impl Pattern {
    fn matches(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else { return false };
        let mut pieces: Vec<&str> = pieces.collect();
        let Some(last) = pieces.pop() else { return rest.is_empty() };
        for piece in pieces {
            match rest.split_once(piece) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

/// A file of handlers that cannot be used: where and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadHandlers(pub String);

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    #[serde(default)]
    handler: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Entry {
    name: String,
    on: Vec<String>,
    run: Option<Vec<String>>,
    post: Option<String>,
    json: Option<Map<String, Value>>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    secret: Option<String>,
    seconds: Option<u64>,
    retries: Option<u32>,
}

/// Reads a file of handlers. All of it, or none.
pub fn parse(text: &str) -> Result<Vec<Handler>, BadHandlers> {
    let file: File = toml::from_str(text).map_err(|error| BadHandlers(error.to_string()))?;
    if file.handler.len() > HANDLERS_MAX {
        return Err(BadHandlers(format!(
            "{} handlers; at most {HANDLERS_MAX} can be kept",
            file.handler.len()
        )));
    }
    let mut names = BTreeSet::new();
    let mut handlers = Vec::new();
    for entry in file.handler {
        let name = entry.name.clone();
        let is_name = (1..=40).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if !is_name {
            return Err(BadHandlers(format!(
                "`name`: `{name}` must be 1 to 40 of a-z, A-Z, 0-9, `-`, `_` and `.`"
            )));
        }
        if !names.insert(name.clone()) {
            return Err(BadHandlers(format!("two handlers are called `{name}`")));
        }
        let handler = entry.check().map_err(|why| BadHandlers(format!("handler `{name}`: {why}")))?;
        handlers.push(handler);
    }
    Ok(handlers)
}

impl Entry {
    fn check(self) -> Result<Handler, String> {
        if self.on.is_empty() {
            return Err("`on` names nothing; `on = [\"*\"]` is every notification".into());
        }
        let on = self.on.into_iter().map(pattern).collect::<Result<_, _>>()?;
        let (seconds, retries) = (self.seconds.unwrap_or(10), self.retries.unwrap_or(5));
        if !(1..=SECONDS_MAX).contains(&seconds) {
            return Err(format!("`seconds`: must be 1 to {SECONDS_MAX}"));
        }
        if retries > RETRIES_MAX {
            return Err(format!("`retries`: must be 0 to {RETRIES_MAX}"));
        }
        let action = match (self.run, self.post) {
            (Some(run), None) => {
                if self.json.is_some() || self.secret.is_some() || !self.headers.is_empty() {
                    return Err("`json`, `headers` and `secret` go with `post`, not with `run`".into());
                }
                if run.first().is_none_or(String::is_empty) {
                    return Err("`run`: must begin with the program".into());
                }
                Action::Run(run)
            }
            (None, Some(url)) => {
                let json = self.json.map(Value::Object);
                json.as_ref().map_or(Ok(()), check_texts)?;
                self.headers.iter().try_for_each(|(name, value)| check_header(name, value))?;
                let post = Post { url, json, headers: self.headers, secret: self.secret };
                if post.host().is_empty() {
                    return Err("`post`: must be an address that begins with https:// or http://".into());
                }
                if post.secret.as_ref().is_some_and(|secret| secret.len() < 16) {
                    return Err("`secret`: must be at least 16 characters long".into());
                }
                Action::Post(post)
            }
            _ => return Err("needs either `run` or `post`".into()),
        };
        Ok(Handler { name: self.name, on, action, seconds, retries })
    }
}

fn pattern(name: String) -> Result<Pattern, String> {
    let is_known = name.contains('*') || name.contains('/') || Kind::parse(&name).is_some();
    if is_known {
        return Ok(Pattern(name));
    }
    let known: Vec<&str> = Kind::ALL.into_iter().map(Kind::name).collect();
    Err(format!(
        "`on`: there is no `{name}`; there are {}, and entries of the log by source and type, as in `hook/PostToolUse`",
        known.join(", ")
    ))
}

fn check_texts(value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) => fill(text, &Map::new()).map(drop),
        Value::Array(items) => items.iter().try_for_each(check_texts),
        Value::Object(fields) => fields.values().try_for_each(check_texts),
        _ => Ok(()),
    }
}

fn check_header(name: &str, value: &str) -> Result<(), String> {
    let is_token = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !is_token {
        return Err(format!("`headers`: `{name}` is no name of a header"));
    }
    fill(value, &Map::new()).map(drop).map_err(|why| format!("`headers.{name}`: {why}"))
}

impl Handler {
    /// Whether it wants this: the name of a kind of notification, or an entry of the log by source and type.
    pub fn wants(&self, name: &str) -> bool {
        // A plain `*` is every notification; the log is only meant where a slash is said.
        self.on.iter().any(|on| on.0.contains('/') == name.contains('/') && on.matches(name))
    }

    /// To what it reacts, as it was written.
    pub fn on(&self) -> Vec<String> {
        self.on.iter().map(|on| on.0.clone()).collect()
    }

    /// Whether it wants anything of the log itself.
    pub fn wants_log(&self) -> bool {
        self.on.iter().any(|on| on.0.contains('/'))
    }
}

impl Post {
    /// Where it goes, without what may be secret in the address; empty when it is no address of the web.
    pub fn host(&self) -> &str {
        let rest = self.url.strip_prefix("https://").or_else(|| self.url.strip_prefix("http://"));
        let host = rest.unwrap_or_default().split(['/', '?', '#']).next().unwrap_or_default();
        host.rsplit('@').next().unwrap_or_default()
    }

    /// The body for a message.
    pub fn body(&self, message: &Map<String, Value>) -> String {
        self.json
            .as_ref()
            .map_or_else(|| Value::Object(message.clone()), |json| filled(json, message))
            .to_string()
    }

    /// The person's own headers for a message. A header is one line of visible ASCII; what is not is left out.
    pub fn headers(&self, message: &Map<String, Value>) -> Vec<(String, String)> {
        let line = |value: &str| -> String {
            let value = fill(value, message).unwrap_or_default();
            value
                .chars()
                .map(|c| if c.is_whitespace() { ' ' } else { c })
                .filter(|c| matches!(c, ' '..='~'))
                .collect()
        };
        self.headers.iter().map(|(name, value)| (name.clone(), line(value))).collect()
    }
}

fn filled(value: &Value, message: &Map<String, Value>) -> Value {
    match value {
        Value::String(text) => Value::String(fill(text, message).unwrap_or_default()),
        Value::Array(items) => items.iter().map(|item| filled(item, message)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), filled(value, message))).collect()
        }
        plain => plain.clone(),
    }
}

/// The text with what stands in braces replaced; `{{` and `}}` are braces themselves.
fn fill(text: &str, message: &Map<String, Value>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        let name = rest.split_once('}').filter(|_| brace == "{");
        let Some((name, after)) = name.filter(|(name, _)| PLACES.contains(name)) else {
            let known = PLACES.map(|place| format!("{{{place}}}")).join(", ");
            return Err(format!("`{text}` has a brace that names none of {known}; `{{{{` is a brace itself"));
        };
        out.push_str(&place(name, message));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// What a name in braces, or the variable of that name, stands for.
pub fn place(name: &str, message: &Map<String, Value>) -> String {
    let of_session = || {
        message.get("session").and_then(|session| session.get(if name == "session" { "id" } else { name }))
    };
    let value = match name {
        "type" | "title" | "body" => message.get(name),
        "time" => message.get("createdAt"),
        _ => of_session(),
    };
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
