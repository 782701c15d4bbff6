//! A shell command as the parts that would run, each with all the forms a rule may know it by.
//!
//! Knows bash and what wraps commands in commands; knows no rules. The law: whatever bash would run is a
//! part, or the part it hides in says that it is [`unreadable`](Part::unreadable).

mod script;

mod blocks;
mod parse;
mod simple;
mod words;

mod expand;
mod walk;

mod commands;
mod git;
mod run;
mod wrappers;

pub(super) use expand::{Field, Piece, Unknown};

use std::path::{Path, PathBuf};

/// The tools whose argument `command` (or `cmd`) is a shell command: Claude Code and Codex say `Bash`, older
/// Codex and other agents the rest.
pub(super) const SHELL_TOOLS: &[&str] = &[
    "Bash",
    "shell",
    "local_shell",
    "exec_command",
    "unified_exec",
    "container.exec",
    "run_shell_command",
    "run_terminal_cmd",
    "Monitor",
];

/// What one step of a script does.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// For people.
    pub(super) shown: String,
    /// What is run or opened.
    pub(super) what: What,
    /// Why what would happen can't be known.
    pub(super) unreadable: Option<&'static str>,
    /// That no rule needs to allow it: its inside is judged, or it changes nothing.
    pub(super) harmless: bool,
    /// Where it may run; empty when that is unknown.
    pub(super) cwds: Vec<PathBuf>,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Command {
        /// Ways to write it that deny and ask rules match.
        forms: Vec<Form>,
        /// What else allow rules must hold for: the words as bash passes them; more than one where wrappers
        /// that change nothing are around. Any may match.
        allowed_by: Vec<String>,
        /// As written; an allow rule with exactly this text matches.
        source: String,
        /// The words in which it may name files.
        names: Vec<Field>,
        /// That it writes no file it names.
        only_reads: bool,
        /// That it opens no file it names.
        opens_nothing: bool,
    },
    /// A redirection or a file of a patch.
    File { writes: bool, is_new: bool, name: Field },
    /// Words that name files without being a command: the list of a loop, the value of a variable.
    Words(Vec<Field>),
}

/// A command as one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    /// The text.
    pub(super) text: String,
    /// How much of it is certain, when not all of it is, in bytes.
    pub(super) known: Option<usize>,
}

/// What a call runs, in order. Never empty.
pub(super) fn parts(command: &str, cwd: &Path, home: Option<&Path>) -> Vec<Part> {
    let parts = walk::walk(command, cwd, home);
    if parts.is_empty() { vec![unreadable(command, "it is empty", cwd)] } else { parts }
}

fn unreadable(text: &str, why: &'static str, cwd: &Path) -> Part {
    Part {
        shown: crate::hook::shorten(text.trim(), SHOWN_MAX),
        what: What::Command {
            forms: vec![Form { text: text.trim().to_owned(), known: None }],
            allowed_by: Vec::new(),
            source: text.trim().to_owned(),
            names: Vec::new(),
            only_reads: false,
            opens_nothing: false,
        },
        unreadable: Some(why),
        harmless: false,
        cwds: vec![cwd.to_owned()],
    }
}

/// The longest text of a part that is shown, in characters. A few lines of a terminal.
const SHOWN_MAX: usize = 300;

/// The files a patch in Codex's form touches, and whether each is new. `None` for text that is no such patch.
pub(super) fn patched_files(patch: &str) -> Option<Vec<(&str, bool)>> {
    let mut files = Vec::new();
    for line in patch.lines().map(str::trim) {
        for (start, is_new) in [
            ("*** Update File:", false),
            ("*** Add File:", true),
            ("*** Delete File:", false),
            ("*** Move to:", true),
        ] {
            if let Some(name) = line.strip_prefix(start) {
                files.push((name.trim(), is_new));
            }
        }
    }
    (!files.is_empty()).then_some(files)
}

/// The command of a call as text: a string, or the words Codex's older tool gives.
pub(super) fn command_of(tool: &str, args: &serde_json::Value) -> Option<String> {
    if !SHELL_TOOLS.contains(&tool) {
        return None;
    }
    ["command", "cmd"].iter().filter_map(|name| args.get(name)).find_map(|command| match command {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Array(words) => {
            let words: Option<Vec<String>> =
                words.iter().map(|word| word.as_str().map(crate::provider::shell_word)).collect();
            words.map(|words| words.join(" "))
        }
        _ => None,
    })
}
