//! The command line of the demo agent, in the words of Claude Code's. Pure: arguments in, `Args` out.

use std::ffi::OsString;
use std::path::PathBuf;

use super::permission::Mode;

/// What the command line asked for.
#[derive(Debug, PartialEq)]
pub(super) enum Asked {
    Version,
    Help,
    Talk(Args),
}

/// One conversation to hold.
#[derive(Debug, PartialEq)]
pub(super) struct Args {
    pub(super) start: Start,
    pub(super) settings: Option<Overlay>,
    pub(super) model: Option<String>,
    pub(super) mode: Mode,
    pub(super) prompt: Option<String>,
}

/// Which conversation: a new one, one from before, or a copy of one from before.
#[derive(Debug, PartialEq)]
pub(super) enum Start {
    New { id: Option<String> },
    Resume { id: String },
    Fork { parent: String, id: Option<String> },
}

/// `--settings` takes a file or the JSON itself.
#[derive(Debug, PartialEq)]
pub(super) enum Overlay {
    File(PathBuf),
    Json(String),
}

pub(super) fn parse(args: impl Iterator<Item = OsString>) -> Result<Asked, String> {
    let mut words = Words { args: args.collect::<Vec<_>>().into_iter() };
    let (mut session_id, mut resume, mut fork) = (None, None, false);
    let (mut settings, mut model, mut mode, mut prompt) = (None, None, Mode::Default, None);
    let mut only_prompt = false;
    while let Some(word) = words.next()? {
        let (flag, inline) = match word.split_once('=') {
            Some((flag, value)) if word.starts_with("--") => (flag.to_owned(), Some(value.to_owned())),
            _ => (word.clone(), None),
        };
        match flag.as_str() {
            _ if only_prompt || !flag.starts_with('-') => {
                if prompt.replace(word).is_some() {
                    return Err("more than one prompt given; quote it to make it one argument".to_owned());
                }
            }
            "--" => only_prompt = true,
            "--version" | "-v" => return Ok(Asked::Version),
            "--help" | "-h" => return Ok(Asked::Help),
            "--session-id" => session_id = Some(uuid(&flag, &words.value(&flag, inline)?)?),
            "--resume" | "-r" => resume = Some(uuid(&flag, &words.value(&flag, inline)?)?),
            "--fork-session" => fork = true,
            "--settings" => settings = Some(overlay(words.value(&flag, inline)?)),
            "--model" => model = Some(words.value(&flag, inline)?),
            "--permission-mode" => {
                let name = words.value(&flag, inline)?;
                mode = Mode::parse(&name).ok_or_else(|| {
                    format!("unknown permission mode `{name}`; there are {}", Mode::NAMES.join(", "))
                })?;
            }
            "--dangerously-skip-permissions" => mode = Mode::BypassPermissions,
            _ => return Err(format!("unknown option `{flag}`; `codepiper demo-agent --help` lists them")),
        }
    }
    let start = match (resume, fork, session_id) {
        (None, true, _) => return Err("`--fork-session` needs `--resume`".to_owned()),
        (None, false, id) => Start::New { id },
        (Some(parent), true, id) => Start::Fork { parent, id },
        (Some(id), false, None) => Start::Resume { id },
        (Some(_), false, Some(_)) => {
            return Err("`--session-id` with `--resume` needs `--fork-session`".to_owned());
        }
    };
    Ok(Asked::Talk(Args { start, settings, model, mode, prompt }))
}

struct Words {
    args: std::vec::IntoIter<OsString>,
}

impl Words {
    fn next(&mut self) -> Result<Option<String>, String> {
        self.args
            .next()
            .map(|arg| arg.into_string().map_err(|arg| format!("argument {arg:?} is not UTF-8")))
            .transpose()
    }

    fn value(&mut self, flag: &str, inline: Option<String>) -> Result<String, String> {
        match inline {
            Some(value) => Ok(value),
            None => self.next()?.ok_or_else(|| format!("option `{flag}` needs a value")),
        }
    }
}

/// Session ids become file names, so nothing but a UUID gets in.
fn uuid(flag: &str, text: &str) -> Result<String, String> {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    let digits = text.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    if digits && lengths == [8, 4, 4, 4, 12] {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("option `{flag}` needs a UUID, not `{text}`"))
    }
}

fn overlay(value: String) -> Overlay {
    if value.trim_start().starts_with('{') { Overlay::Json(value) } else { Overlay::File(value.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "5c56edb0-93c6-4859-a45d-33772458644c";

    fn check(line: &str, expected: &str) {
        let args = line.replace("ID", ID);
        let got = match parse(args.split_whitespace().map(OsString::from)) {
            Ok(Asked::Talk(args)) => format!(
                "{:?} {} {:?} {:?}",
                args.start,
                args.mode.name(),
                args.model.as_deref().unwrap_or("-"),
                args.prompt.as_deref().unwrap_or("-")
            ),
            Ok(other) => format!("{other:?}"),
            Err(error) => error,
        };
        assert_eq!(got.replace(ID, "ID"), expected, "for `{line}`");
    }

    #[test]
    fn flags_say_which_conversation() {
        check("", r#"New { id: None } default "-" "-""#);
        check("--session-id ID hello", r#"New { id: Some("ID") } default "-" "hello""#);
        check("--resume=ID --model demo-2", r#"Resume { id: "ID" } default "demo-2" "-""#);
        check("--resume ID --fork-session", r#"Fork { parent: "ID", id: None } default "-" "-""#);
        check("--dangerously-skip-permissions", r#"New { id: None } bypassPermissions "-" "-""#);
        check("--permission-mode plan -- -x", r#"New { id: None } plan "-" "-x""#);
        check("--version --frob", "Version");
    }

    #[test]
    fn what_is_not_understood_is_named() {
        check("--frob", "unknown option `--frob`; `codepiper demo-agent --help` lists them");
        check("--resume", "option `--resume` needs a value");
        check("--resume ../../etc", "option `--resume` needs a UUID, not `../../etc`");
        check("--fork-session", "`--fork-session` needs `--resume`");
        check("--resume ID --session-id ID", "`--session-id` with `--resume` needs `--fork-session`");
        check("one two", "more than one prompt given; quote it to make it one argument");
    }
}
