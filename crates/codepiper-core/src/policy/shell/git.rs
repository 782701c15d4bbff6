//! git: its options before the subcommand, and the commands it runs for others.

use super::expand::Field;
use super::wrappers::{Wrapped, joined};

/// git's options before the subcommand that take the next word.
const GIT_LONG: &[&str] = &["--git-dir", "--work-tree", "--namespace", "--super-prefix", "--attr-source"];

/// Settings that make git run nothing.
const GIT_TAME: &[&str] = &[
    "user.",
    "color.",
    "advice.",
    "core.quotepath",
    "core.autocrlf",
    "init.defaultbranch",
    "commit.gpgsign",
    "tag.gpgsign",
    "safe.directory",
    "protocol.version",
    "http.version",
    "log.",
    "pull.rebase",
];

/// What a git command wraps.
pub(super) fn unwrap(rest: &[Field]) -> Wrapped {
    let setting = |field: &Field| {
        let text = field.text.to_ascii_lowercase();
        GIT_TAME.iter().any(|tame| text.starts_with(tame))
    };
    let mut at = 0;
    while let Some(field) = rest.get(at) {
        let word = field.known().unwrap_or_default();
        if !field.text.starts_with('-') {
            break;
        }
        at += 1;
        if word == "-c" {
            let Some(field) = rest.get(at) else { break };
            if let Some((_, command)) = field.known().and_then(|text| text.split_once("=!")) {
                return Wrapped::Also { commands: Vec::new(), scripts: vec![Field::literal(command)] };
            }
            if !setting(field) {
                return Wrapped::Unknown("it changes a git setting that may run a program");
            }
            at += 1;
        } else if word == "-C" || GIT_LONG.contains(&word) {
            at += 1;
        } else if word.starts_with("--config-env") || word.starts_with("--exec-path=") {
            return Wrapped::Unknown("it changes a git setting that may run a program");
        }
    }
    let words: Vec<&str> = rest[at.min(rest.len())..].iter().map(|field| field.text.as_str()).collect();
    let from = |skip: usize| rest[(at + skip).min(rest.len())..].to_vec();
    match words.as_slice() {
        ["bisect", "run", ..] => Wrapped::Also { commands: vec![from(2)], scripts: Vec::new() },
        ["submodule", rest @ ..] if rest.contains(&"foreach") => {
            let after = words.iter().position(|word| *word == "foreach").map_or(0, |at| at + 1);
            let skip = words[after..].iter().take_while(|word| word.starts_with('-')).count();
            Wrapped::Also { commands: Vec::new(), scripts: vec![joined(&from(after + skip))] }
        }
        ["rebase", rest @ ..] => {
            let exec = rest.iter().position(|word| matches!(*word, "-x" | "--exec"));
            match (exec, rest.iter().find_map(|word| word.strip_prefix("--exec="))) {
                (Some(place), _) if place + 1 < rest.len() => {
                    Wrapped::Also { commands: Vec::new(), scripts: vec![from(place + 2).swap_remove(0)] }
                }
                (_, Some(text)) => {
                    Wrapped::Also { commands: Vec::new(), scripts: vec![Field::literal(text)] }
                }
                _ => Wrapped::Nothing,
            }
        }
        ["filter-branch", ..] => Wrapped::Unknown("it runs a program given in an option"),
        _ => Wrapped::Nothing,
    }
}

/// git without the options before its subcommand, and whether those change nothing but the output.
pub(super) fn plain_git(fields: &[Field]) -> Option<(Vec<Field>, bool)> {
    const QUIET: &[&str] = &["--no-pager", "-P", "--no-optional-locks", "--literal-pathspecs"];
    let mut at = 1;
    let mut quiet = true;
    while let Some(field) = fields.get(at).filter(|field| field.text.starts_with('-')) {
        quiet &= QUIET.contains(&field.text.as_str());
        at += 1 + usize::from(
            matches!(field.text.as_str(), "-c" | "-C") || GIT_LONG.contains(&field.text.as_str()),
        );
    }
    let rest = fields.get(at..).filter(|rest| at > 1 && !rest.is_empty())?;
    Some((std::iter::once(Field::literal("git")).chain(rest.iter().cloned()).collect(), quiet))
}
