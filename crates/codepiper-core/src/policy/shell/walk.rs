//! Walks a script as bash would run it and writes down each part, with what is known of variables, the
//! working directory, functions and aliases at that point.

use super::super::paths;
use super::commands as known;
use super::expand::{self, Field, Value, Variables};
use super::parse::{self, DEPTH_MAX, TOO_DEEP};
use super::run::Run;
use super::script::*;
use super::words::runs_of;
use super::{Part, SHOWN_MAX, What, unreadable};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The most parts of one command. Agents' longest scripts have dozens; each is held against every rule.
const PARTS_MAX: usize = 400;

/// The most working directories that are kept in mind; more are as good as unknown.
const CWDS_MAX: usize = 4;

/// The most text that the words of a script may stand for, in characters: a few times the longest script.
const EXPANDED_MAX: usize = 512 * 1024;

/// The longest value of a variable that is kept in mind, in bytes: `x=$x$x` would double it each time.
pub(super) const VALUE_MAX: usize = 4096;

/// What of a shell's state changes what words mean.
#[derive(Clone)]
pub(super) struct State {
    pub(super) variables: Variables,
    /// Where it may be; empty: unknown.
    pub(super) cwds: Vec<PathBuf>,
    pub(super) functions: BTreeSet<String>,
    pub(super) aliases: BTreeMap<String, String>,
}

pub(super) struct Walker {
    pub(super) base: PathBuf,
    pub(super) home: Option<String>,
    pub(super) state: State,
    documents: Vec<Word>,
    depth: usize,
    /// In something that may not run.
    conditional: bool,
    /// In a block that something is piped into.
    piped: bool,
    /// How much was expanded so far, in characters.
    expanded: usize,
    parts: Vec<Part>,
}

pub(super) fn walk(command: &str, cwd: &Path, home: Option<&Path>) -> Vec<Part> {
    let cwd = paths::normal("", cwd, None);
    let mut walker = Walker {
        home: home.map(|home| home.to_string_lossy().into_owned()),
        state: State {
            variables: BTreeMap::from([("PWD".into(), Value::Known(cwd.to_string_lossy().into_owned()))]),
            cwds: vec![cwd.clone()],
            functions: BTreeSet::new(),
            aliases: BTreeMap::new(),
        },
        base: cwd,
        documents: Vec::new(),
        depth: 0,
        conditional: false,
        piped: false,
        expanded: 0,
        parts: Vec::new(),
    };
    walker.text(command);
    walker.parts
}

impl Walker {
    pub(super) fn text(&mut self, text: &str) {
        match parse::read(text, self.depth) {
            Ok(read) => {
                let outer = std::mem::replace(&mut self.documents, read.documents);
                self.deeper(|walker| walker.script(&read.script));
                self.documents = outer;
            }
            Err(why) => self.push(unreadable(text, why, &self.base)),
        }
    }

    pub(super) fn deeper(&mut self, inside: impl FnOnce(&mut Self)) {
        if self.depth >= DEPTH_MAX {
            return self.push(unreadable("…", TOO_DEEP, &self.base));
        }
        self.depth += 1;
        inside(self);
        self.depth -= 1;
    }

    pub(super) fn push(&mut self, part: Part) {
        match self.parts.len() {
            n if n < PARTS_MAX => self.parts.push(part),
            PARTS_MAX => self.parts.push(unreadable("…", "it has too many parts", &self.base)),
            _ => {}
        }
    }

    fn script(&mut self, script: &Script) {
        for list in &script.lists {
            if self.parts.len() > PARTS_MAX {
                return;
            }
            if list.detached {
                self.apart(|walker| walker.list(list));
            } else {
                self.list(list);
            }
        }
    }

    /// In a process of its own: nothing it sets is left.
    fn apart(&mut self, inside: impl FnOnce(&mut Self)) {
        let state = self.state.clone();
        self.deeper(inside);
        self.state = state;
    }

    fn list(&mut self, list: &AndOr) {
        let before = self.state.cwds.clone();
        let outer = self.conditional;
        let mut guarded = false;
        self.pipeline(&list.first);
        for (and, pipeline) in &list.rest {
            self.conditional = true;
            if *and {
                self.pipeline(pipeline);
                continue;
            }
            let succeeded = std::mem::replace(&mut self.state.cwds, before.clone());
            self.pipeline(pipeline);
            guarded = leaves(pipeline);
            self.state.cwds = if guarded { succeeded } else { union(&succeeded, &self.state.cwds) };
        }
        self.conditional = outer;
        // `cd x` may have failed, and what follows runs all the same.
        if !guarded && self.state.cwds != before {
            self.state.cwds = union(&before, &self.state.cwds);
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        match pipeline.commands.as_slice() {
            [one] => self.command(one, false),
            several => {
                for (at, command) in several.iter().enumerate() {
                    self.apart(|walker| walker.command(command, at > 0));
                }
            }
        }
    }

    fn command(&mut self, command: &Command, input: bool) {
        match command {
            Command::Simple(simple) => self.deeper(|walker| walker.simple(simple, input)),
            Command::Block { kind, variable, words, bodies, redirects } => {
                self.block(*kind, variable.as_deref(), words, bodies, input);
                self.redirects(redirects);
            }
            Command::Function { name, body } => {
                // It runs later, or never, with other variables and elsewhere.
                let state = self.state.clone();
                self.state.variables = BTreeMap::from([("HOME".into(), Value::Anything)]);
                self.state.cwds.clear();
                self.conditionally(|walker| walker.command(body, input));
                self.state = state;
                if !self.conditional {
                    self.state.functions.insert(name.clone());
                }
            }
        }
    }

    fn conditionally(&mut self, inside: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.conditional, true);
        self.deeper(inside);
        self.conditional = outer;
    }

    fn block(&mut self, kind: Block, variable: Option<&str>, words: &[Word], bodies: &[Script], input: bool) {
        self.runs(words);
        // What is piped into a block reaches some command in it.
        let outer_piped = self.piped;
        self.piped |= input;
        match kind {
            Block::Subshell => self.apart(|walker| bodies.iter().for_each(|body| walker.script(body))),
            Block::Group => self.deeper(|walker| bodies.iter().for_each(|body| walker.script(body))),
            Block::Test => {
                let computes = words.iter().any(computes_quoted);
                let shown: Vec<&str> = words.iter().map(|word| word.source.as_str()).collect();
                let mut part =
                    unreadable(&format!("[[ {} ]]", shown.join(" ")), "it computes with text", &self.base);
                if !computes {
                    (part.unreadable, part.harmless) = (None, true);
                }
                self.push(part);
            }
            Block::Branches | Block::For => {
                let before = self.state.clone();
                if let Some(variable) = variable {
                    let value = self.loop_value(words);
                    self.state.variables.insert(variable.to_owned(), value);
                }
                self.conditionally(|walker| bodies.iter().for_each(|body| walker.script(body)));
                self.state.cwds = union(&before.cwds, &self.state.cwds);
                // What a body set it may also not have set.
                for (name, value) in &mut self.state.variables {
                    if before.variables.get(name) != Some(value) {
                        *value = Value::Anything;
                    }
                }
                for name in before.variables.into_keys() {
                    self.state.variables.entry(name).or_insert(Value::Anything);
                }
                self.state.functions.retain(|name| before.functions.contains(name));
            }
        }
        self.piped = outer_piped;
    }

    /// What a loop's variable may be; the words themselves become a part.
    fn loop_value(&mut self, words: &[Word]) -> Value {
        let mut all = Vec::new();
        for word in words {
            match expand::fields(word, &self.state.variables, self.home.as_deref()) {
                Ok(fields) => all.extend(fields),
                Err(_) => all.push(Field::unknown(&word.source)),
            }
        }
        let value = match all.as_slice() {
            [one] if one.known().is_some() => Value::Known(one.text.clone()),
            [] => Value::Anything,
            all if all.iter().any(|field| field.has_unknown()) => Value::Anything,
            _ => Value::ShownElsewhere,
        };
        self.mention(all);
        value
    }

    fn mention(&mut self, fields: Vec<Field>) {
        if !fields.is_empty() {
            let shown: Vec<&str> = fields.iter().map(|field| field.text.as_str()).collect();
            let shown = crate::hook::shorten(&shown.join(" "), SHOWN_MAX);
            let cwds = self.state.cwds.clone();
            self.push(Part { shown, what: What::Words(fields), unreadable: None, harmless: true, cwds });
        }
    }

    /// What the expansions in these words run.
    fn runs(&mut self, words: &[Word]) {
        for script in words.iter().flat_map(|word| runs_of(&word.atoms)) {
            self.apart(|walker| walker.script(script));
        }
    }

    fn field(&self, word: &Word) -> Field {
        expand::field(word, &self.state.variables, self.home.as_deref())
    }

    /// The parts that redirections are; gives the text of a here-document or here-string, and whether
    /// something comes in.
    fn redirects(&mut self, redirects: &[Redirect]) -> (Option<Field>, bool) {
        let (mut here, mut input) = (None, false);
        for redirect in redirects {
            self.runs(std::slice::from_ref(&redirect.target));
            let name = self.field(&redirect.target);
            let kinds: &[bool] = match redirect.kind {
                RedirectKind::Descriptor => &[],
                RedirectKind::Here => {
                    let document = redirect.document.and_then(|at| self.documents.get(at)).cloned();
                    here = Some(match &document {
                        Some(document) => {
                            self.runs(std::slice::from_ref(document));
                            expand::field(document, &self.state.variables, None)
                        }
                        None => name.clone(),
                    });
                    &[]
                }
                RedirectKind::Read => &[false],
                RedirectKind::Write => &[true],
                RedirectKind::Both => &[false, true],
            };
            input |= redirect.kind == RedirectKind::Read;
            // `< <(…)`: what runs in it is a part already.
            let is_process = matches!(redirect.target.atoms.as_slice(), [Atom::Process { .. }]);
            let is_device = name.known().is_some_and(|name| {
                matches!(name, "/dev/null" | "/dev/stdout" | "/dev/stderr" | "/dev/stdin" | "/dev/tty")
                    || name.starts_with("/dev/fd/") && !name.contains("..")
            });
            for writes in kinds.iter().filter(|_| !is_process && !is_device) {
                let cwds = self.state.cwds.clone();
                let shown = format!("{} {}", if *writes { ">" } else { "<" }, name.text);
                let what = What::File { writes: *writes, is_new: true, name: name.clone() };
                self.push(Part { shown, what, unreadable: None, harmless: false, cwds });
            }
        }
        (here, input)
    }

    fn simple(&mut self, simple: &Simple, piped: bool) {
        self.runs(&simple.words);
        let first = simple.words.first().and_then(Word::literal).unwrap_or_default();
        if known::COMPUTE.contains(&first.as_str()) && simple.words.iter().any(computes_quoted) {
            self.push(unreadable(&simple.source, "it computes with text that runs a command", &self.base));
        }
        let mut assigned = Vec::new();
        for assignment in &simple.assignments {
            self.runs(&assignment.values);
            let values: Vec<Field> = assignment.values.iter().map(|word| self.field(word)).collect();
            let computes = assignment.values.iter().any(computes_quoted)
                || !assignment.plain && assignment.values.first().is_some_and(holds_expansion);
            let mut text = Field::literal(&format!("{}=", assignment.name));
            match values.as_slice() {
                [value] if assignment.plain => {
                    text.text.push_str(&value.text);
                    text.pieces.extend(value.pieces.iter().cloned());
                }
                _ => text = Field::literal(&assignment.source),
            }
            self.mention(values.iter().filter(|value| !value.text.is_empty()).cloned().collect());
            if computes {
                self.push(unreadable(
                    &assignment.source,
                    "it computes with text that runs a command",
                    &self.base,
                ));
            }
            assigned.push((assignment.name.clone(), text, values, assignment.plain));
        }
        let (here, input) = self.redirects(&simple.redirects);
        let mut fields = Vec::new();
        for word in &simple.words {
            match expand::fields(word, &self.state.variables, self.home.as_deref()) {
                Ok(more) => {
                    self.expanded += more.iter().map(|field| field.pieces.len()).sum::<usize>();
                    if self.expanded <= EXPANDED_MAX {
                        fields.extend(more);
                    }
                }
                Err(why) => return self.push(unreadable(&simple.source, why, &self.base)),
            }
        }
        if self.expanded > EXPANDED_MAX {
            return self.push(unreadable(
                &simple.source,
                "its variables stand for too much text",
                &self.base,
            ));
        }
        if !fields.is_empty() {
            let assignments = assigned.into_iter().map(|(_, text, ..)| text).collect();
            let run = Run {
                fields,
                assignments,
                source: &simple.source,
                here,
                input: input || piped || self.piped,
            };
            return self.run(run);
        }
        for (name, text, values, plain) in assigned {
            let value = match values.as_slice() {
                [value] if plain && value.known().is_some() && value.text.len() <= VALUE_MAX => {
                    Value::Known(value.text.clone())
                }
                _ => Value::Anything,
            };
            let harmless = known::is_shell_variable(&name);
            self.state.variables.insert(name, value);
            let mut part = unreadable(&text.text, "", &self.base);
            part.unreadable = None;
            part.harmless = harmless;
            if let What::Command { allowed_by, opens_nothing, .. } = &mut part.what {
                allowed_by.push(text.text.clone());
                *opens_nothing = true;
            }
            self.push(part);
        }
    }
}

/// Whether the shell ends here, so that what follows runs only if this did not.
fn leaves(pipeline: &Pipeline) -> bool {
    let [Command::Simple(simple)] = pipeline.commands.as_slice() else { return false };
    let first = simple.words.first().and_then(Word::bare);
    matches!(first.as_deref(), Some("exit" | "return"))
}

/// Directories that may be either's; unknown if one is.
fn union(a: &[PathBuf], b: &[PathBuf]) -> Vec<PathBuf> {
    if a.is_empty() || b.is_empty() {
        return Vec::new();
    }
    let mut all = a.to_vec();
    all.extend(b.iter().filter(|path| !a.contains(path)).cloned());
    if all.len() > CWDS_MAX { Vec::new() } else { all }
}

/// Text in quotes that runs a command where bash computes with it: `'a[$(x)]'`.
fn computes_quoted(word: &Word) -> bool {
    let has =
        |wanted: char| word.atoms.iter().any(|atom| matches!(atom, Atom::Char { c, .. } if *c == wanted));
    has('[') && holds_expansion(word)
}

/// Text in quotes that would be an expansion if it were expanded once more.
fn holds_expansion(word: &Word) -> bool {
    word.atoms.iter().any(|atom| matches!(atom, Atom::Char { c: '$' | '`', .. }))
}
