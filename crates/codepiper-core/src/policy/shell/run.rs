//! One simple command: its layers, what it changes for what follows, and the part it becomes.

use super::super::paths;
use super::commands as known;
use super::expand::{Field, Value};
use super::git;
use super::parse::{DEPTH_MAX, Refused, TOO_DEEP};
use super::walk::{VALUE_MAX, Walker};
use super::wrappers::{self, Wrapped};
use super::{Form, Part, SHOWN_MAX, What, patched_files};
use std::collections::BTreeMap;
use std::path::PathBuf;

const DYNAMIC: Refused = "which command it runs is decided only when it runs";

/// One simple command, expanded.
pub(super) struct Run<'a> {
    pub(super) fields: Vec<Field>,
    pub(super) assignments: Vec<Field>,
    pub(super) source: &'a str,
    pub(super) here: Option<Field>,
    pub(super) input: bool,
}

impl Walker {
    pub(super) fn run(&mut self, run: Run<'_>) {
        let Run { mut fields, mut assignments, source, here, input } = run;
        let mut facts = Facts { source: source.trim().to_owned(), ..Facts::default() };
        facts.names = fields.iter().chain(&assignments).cloned().collect();
        facts.forms.push(Form { text: facts.source.clone(), known: None });
        let mut free = true;
        let mut inside: Vec<Vec<Field>> = Vec::new();
        let mut scripts: Vec<String> = Vec::new();
        let first = fields.first().cloned().unwrap_or_default();
        let mut layers = 0;
        loop {
            layers += 1;
            let Some(head) = fields.first() else { break };
            // In zsh `=rm` is the path of rm.
            let plain = head.text.strip_prefix('=').unwrap_or(&head.text);
            let name = plain.rsplit('/').next().unwrap_or_default().to_owned();
            if head.known().is_none() || head.assumed || plain != head.text {
                facts.unreadable.get_or_insert(DYNAMIC);
            } else if plain.contains(char::is_whitespace) {
                facts.unreadable.get_or_insert("the command's name has blanks in it");
            }
            facts.add(&fields, &assignments, &name, free);
            if name == "git"
                && let Some((plain, quiet)) = git::plain_git(&fields)
            {
                facts.add(&plain, &assignments, "git", free && quiet);
            }
            let words: Vec<&str> = fields.iter().map(|field| field.text.as_str()).collect();
            let comes_in = input || here.as_ref().is_some_and(|_| !wrappers::SHELLS.contains(&name.as_str()));
            if let Some(why) = known::runs_unknown(&name, &words, comes_in) {
                facts.unreadable.get_or_insert(why);
            }
            (facts.only_reads, facts.opens_nothing) =
                (known::only_reads(&name, &words), known::OPEN_NOTHING.contains(&name.as_str()));
            if known::READ_CODE.contains(&name.as_str()) {
                let marks = |c: char| c.is_whitespace() || "\"'(){};,<>|=".contains(c);
                let inside =
                    words.iter().skip(1).flat_map(|word| word.split(marks)).filter(|word| !word.is_empty());
                facts.names.extend(inside.map(Field::literal));
            }
            match wrappers::unwrap(&name, &fields, here.as_ref()) {
                _ if layers > DEPTH_MAX => {
                    facts.unreadable = Some(TOO_DEEP);
                    break;
                }
                Wrapped::Nothing => break,
                Wrapped::Command { fields: next, assignments: more, free: still } => {
                    free &= still;
                    assignments.extend(more);
                    // Words from elsewhere may name files as well.
                    facts.names.extend(next.iter().filter(|field| field.has_unknown()).cloned());
                    fields = next;
                }
                Wrapped::Script { text, free: still } => {
                    match text.known() {
                        Some(_) if !text.assumed => {
                            facts.harmless = free && still && risky(&assignments) == 0
                        }
                        Some(_) | None => _ = facts.unreadable.get_or_insert(DYNAMIC),
                    }
                    scripts.extend(text.known().map(str::to_owned));
                    break;
                }
                Wrapped::Also { commands, scripts: more } => {
                    inside = commands;
                    scripts.extend(more.iter().filter_map(Field::known).map(str::to_owned));
                    if more.iter().any(|text| text.known().is_none()) {
                        facts.unreadable.get_or_insert(DYNAMIC);
                    }
                    break;
                }
                Wrapped::Unknown(why) => {
                    facts.unreadable.get_or_insert(why);
                    break;
                }
            }
        }
        let words: Vec<String> = fields.iter().map(|field| field.text.clone()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Some(rest) = first.known().and_then(|name| self.state.aliases.remove(name)) {
            let more: Vec<String> = facts.names[1..].iter().map(|field| field.text.clone()).collect();
            scripts.push(format!("{rest} {}", more.join(" ")));
        }
        let calls_function = first.known().is_some_and(|name| self.state.functions.contains(name));
        facts.harmless |= risky(&assignments) == 0 && (calls_function || known::is_harmless(&words));
        let cwds = self.state.cwds.clone();
        self.effects(&mut facts, &fields, &words);
        let patch = self.patch(&mut facts, &words, here.as_ref());
        self.push(facts.part(cwds));
        patch.into_iter().for_each(|part| self.push(part));
        for command in inside {
            let source = command.iter().map(|field| field.text.as_str()).collect::<Vec<_>>().join(" ");
            let run =
                Run { fields: command, assignments: Vec::new(), source: &source, here: None, input: true };
            self.deeper(|walker| walker.run(run));
        }
        for script in scripts {
            let state = (words.first() != Some(&"eval")).then(|| self.state.clone());
            self.deeper(|walker| walker.text(&script));
            self.state = state.unwrap_or_else(|| self.state.clone());
        }
    }

    /// What the command changes for what follows in the same shell.
    fn effects(&mut self, facts: &mut Facts, fields: &[Field], words: &[&str]) {
        match words {
            ["cd" | "pushd", rest @ ..] => {
                let options =
                    rest.iter().take_while(|word| matches!(**word, "-L" | "-P" | "-e" | "-@" | "--")).count();
                let target = match fields.get(1 + options) {
                    None => self.home.clone(),
                    Some(field) => {
                        field.known().filter(|word| *word != "-" && !field.assumed).map(str::to_owned)
                    }
                };
                let cwds = &mut self.state.cwds;
                match target {
                    Some(target) => {
                        *cwds = cwds.iter().map(|cwd| paths::normal(&target, cwd, None)).collect();
                        facts.harmless |=
                            !cwds.is_empty() && cwds.iter().all(|cwd| cwd.starts_with(&self.base));
                    }
                    None => cwds.clear(),
                }
                let pwd = match cwds.as_slice() {
                    [one] => Value::Known(one.to_string_lossy().into_owned()),
                    _ => Value::Anything,
                };
                self.state.variables.insert("PWD".into(), pwd);
                self.state.variables.insert("OLDPWD".into(), Value::Anything);
            }
            ["popd", ..] => self.state.cwds.clear(),
            ["alias", definitions @ ..] => {
                for (name, text) in definitions.iter().filter_map(|text| text.split_once('=')) {
                    self.state.aliases.insert(name.to_owned(), text.to_owned());
                }
            }
            ["unset" | "unalias", ..] => {
                self.state.functions.clear();
                self.state.variables.clear();
            }
            ["source" | "." | "eval", ..] => {
                self.state.functions.clear();
                self.state.variables = BTreeMap::from([("HOME".into(), Value::Anything)]);
                self.state.cwds.clear();
                if words[0] == "eval" {
                    // What it runs is walked next and may know where it is.
                    self.state.cwds = vec![self.base.clone()];
                }
            }
            [
                "read" | "mapfile" | "readarray" | "getopts" | "printf" | "declare" | "typeset" | "local"
                | "export" | "readonly",
                rest @ ..,
            ] => {
                for word in rest {
                    let (name, value) = word.split_once('=').unwrap_or((word, ""));
                    let sets = word.contains('=') && !matches!(words[0], "read" | "printf");
                    let shown = fields
                        .iter()
                        .find(|field| field.text == **word)
                        .is_some_and(|field| field.known().is_some());
                    let keeps = !word.contains('=') && matches!(words[0], "export" | "readonly");
                    if !keeps {
                        let value = if sets && shown && value.len() <= VALUE_MAX {
                            Value::Known(value.to_owned())
                        } else {
                            Value::Anything
                        };
                        self.state.variables.insert(name.to_owned(), value);
                    }
                }
            }
            _ => {}
        }
    }

    fn patch(&self, facts: &mut Facts, words: &[&str], here: Option<&Field>) -> Vec<Part> {
        if !matches!(words.first(), Some(&"apply_patch" | &"applypatch")) {
            return Vec::new();
        }
        let text = words.get(1).copied().or(here.map(|here| here.text.as_str()));
        match text.and_then(patched_files) {
            Some(files) => {
                facts.harmless = true;
                let part = |(name, is_new): (&str, bool)| Part {
                    shown: format!("{} {name}", if is_new { "Write" } else { "Edit" }),
                    what: What::File { writes: true, is_new, name: Field::literal(name) },
                    unreadable: None,
                    harmless: false,
                    cwds: self.state.cwds.clone(),
                };
                files.into_iter().map(part).collect()
            }
            None => {
                facts.unreadable.get_or_insert("the patch it applies can't be seen");
                Vec::new()
            }
        }
    }
}

/// What is gathered of a command while its layers come off.
#[derive(Default)]
struct Facts {
    forms: Vec<Form>,
    allowed_by: Vec<String>,
    source: String,
    names: Vec<Field>,
    only_reads: bool,
    opens_nothing: bool,
    unreadable: Option<&'static str>,
    harmless: bool,
}

impl Facts {
    fn form<'a>(&mut self, fields: impl Iterator<Item = &'a Field>) -> String {
        let mut text = String::new();
        let mut known = None;
        for field in fields {
            if !text.is_empty() {
                text.push(' ');
            }
            if known.is_none() && field.known().is_none() {
                known = Some(text.len() + field.known_prefix().len());
            }
            text.push_str(&field.text);
        }
        if !self.forms.iter().any(|form| form.text == text && form.known == known) {
            self.forms.push(Form { text: text.clone(), known });
        }
        text
    }

    fn add(&mut self, fields: &[Field], assignments: &[Field], name: &str, free: bool) {
        self.form(fields.iter());
        let risky = assignments.iter().filter(|text| !is_harmless_assignment(text));
        let text = self.form(risky.chain(fields));
        if free && !self.allowed_by.contains(&text) {
            self.allowed_by.push(text);
        }
        if fields.first().is_some_and(|head| head.known().is_some_and(|head| head != name)) {
            let base = Field::literal(name);
            self.form(std::iter::once(&base).chain(fields.iter().skip(1)));
        }
    }

    fn part(self, cwds: Vec<PathBuf>) -> Part {
        let Self { forms, allowed_by, source, names, only_reads, opens_nothing, unreadable, harmless } = self;
        let shown = crate::hook::shorten(&source, SHOWN_MAX);
        let harmless = harmless && unreadable.is_none();
        let what = What::Command { forms, allowed_by, source, names, only_reads, opens_nothing };
        Part { shown, what, unreadable, harmless, cwds }
    }
}

fn is_harmless_assignment(text: &Field) -> bool {
    let name = text.text.split('=').next().unwrap_or_default();
    text.known().is_some() && known::HARMLESS_VARIABLES.contains(&name)
}

fn risky(assignments: &[Field]) -> usize {
    assignments.iter().filter(|text| !is_harmless_assignment(text)).count()
}
