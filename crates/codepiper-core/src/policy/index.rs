//! Which rules are worth trying: found by a command's first words and by automata over many patterns at
//! once, so that a thousand rules cost little more than ten. It may find too many, never too few.

use super::pattern::TextPattern;
use super::rule::{Compiled, View};
use super::shell::Form;
use regex::{RegexSet, RegexSetBuilder};
use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

/// Rules of one tool, as places in the book, in order.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub(super) all: Vec<u32>,
    /// Whether one is about files that commands may name.
    pub(super) reaches_commands: bool,
    /// Those whose every pattern for commands says the first word, or the first two.
    by_words: HashMap<String, Vec<u32>>,
    /// Those with other patterns for commands.
    commands: Set,
    /// Those about files.
    files: Set,
    /// What no index knows, and what has no criteria on arguments.
    loose: Vec<u32>,
    /// All but those about files.
    not_files: Vec<u32>,
}

/// Many patterns, and the rule each is of.
#[derive(Debug, Default)]
struct Set {
    patterns: Option<RegexSet>,
    rules: Vec<u32>,
}

/// The most memory the automaton of a tool's patterns may take, in bytes. What needs more isn't indexed.
const SET_MAX: usize = 16 * 1024 * 1024;

/// Fewer patterns than this are tried one by one: that is sooner done than building the automaton.
const SET_MIN: usize = 16;

impl Set {
    /// The rules that didn't fit come back.
    fn new(patterns: Vec<(u32, String)>) -> (Self, Vec<u32>) {
        let (rules, sources): (Vec<u32>, Vec<String>) = patterns.into_iter().unzip();
        if sources.len() >= SET_MIN
            && let Ok(set) = RegexSetBuilder::new(sources).size_limit(SET_MAX).dfa_size_limit(SET_MAX).build()
        {
            return (Self { patterns: Some(set), rules }, Vec::new());
        }
        (Self::default(), rules)
    }

    fn find(&self, text: &str, onto: &mut Vec<u32>) {
        if let Some(set) = &self.patterns {
            onto.extend(set.matches(text).iter().filter_map(|at| self.rules.get(at)));
        }
    }
}

/// The files a part is about.
pub(super) enum Files {
    None,
    /// These paths.
    Views(Vec<Rc<View>>),
    /// Any.
    All,
}

impl Bucket {
    pub(super) fn new(all: Vec<u32>, rules: &[Compiled]) -> Self {
        let reaches_commands = all.iter().any(|at| rules[*at as usize].reaches_commands());
        let mut bucket = Self { all, reaches_commands, ..Self::default() };
        let (mut commands, mut files) = (Vec::new(), Vec::new());
        for at in bucket.all.clone() {
            let rule = &rules[at as usize];
            let patterns = rule.command.as_ref().map_or(&[][..], |list| &list.positive);
            if rule.command.is_none()
                && let Some(sources) = file_regexes(rule)
            {
                files.extend(sources.into_iter().map(|source| (at, source)));
                continue;
            }
            bucket.not_files.push(at);
            if let Some(words) = first_words(patterns) {
                for word in words {
                    let rules = bucket.by_words.entry(word).or_default();
                    if rules.last() != Some(&at) {
                        rules.push(at);
                    }
                }
            } else if patterns.is_empty() {
                bucket.loose.push(at);
            } else {
                commands.extend(patterns.iter().flat_map(command_regexes).map(|source| (at, source)));
            }
        }
        let (set, left) = Set::new(commands);
        bucket.commands = set;
        bucket.loose.extend(left);
        let (set, left) = Set::new(files);
        bucket.files = set;
        bucket.loose.extend(&left);
        bucket.not_files.extend(left);
        for places in [&mut bucket.loose, &mut bucket.not_files] {
            places.sort_unstable();
            places.dedup();
        }
        bucket
    }

    /// The rules for a command of these forms, in order.
    pub(super) fn candidates(&self, forms: &[Form], whole: &str, files: Files) -> Vec<u32> {
        let mut found = self.loose.clone();
        let mut seen: Vec<&str> = Vec::new();
        for text in forms.iter().map(|form| form.text.as_str()).chain([whole]) {
            for start in [first_words_of(text, 1), first_words_of(text, 2)] {
                if !seen.contains(&start) {
                    seen.push(start);
                    found.extend(self.by_words.get(start).into_iter().flatten());
                }
            }
            self.commands.find(text, &mut found);
        }
        // What is certain of a text may be the beginning of a pattern that says more.
        for known in forms.iter().filter_map(|form| form.text.get(..form.known?)) {
            let known = known.trim_end();
            let says_more = self.by_words.iter().filter(|(start, _)| start.starts_with(known));
            found.extend(says_more.flat_map(|(_, rules)| rules));
        }
        match files {
            Files::None => {}
            Files::Views(views) => views.iter().for_each(|view| self.files.find(view.places(), &mut found)),
            Files::All => found.extend(&self.files.rules),
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The rules for a call with these files, in order.
    pub(super) fn for_files(&self, files: impl FnOnce() -> Vec<Rc<View>>) -> Cow<'_, [u32]> {
        if self.files.patterns.is_none() {
            return Cow::Borrowed(&self.all);
        }
        let mut found = self.not_files.clone();
        files().iter().for_each(|view| self.files.find(view.places(), &mut found));
        found.sort_unstable();
        found.dedup();
        Cow::Owned(found)
    }
}

fn command_regexes(pattern: &TextPattern) -> Vec<String> {
    match pattern {
        TextPattern::Globs(globs) => {
            globs.iter().map(|glob| format!("^(?:{})$", glob.regex("(?s:.)"))).collect()
        }
        TextPattern::Regex(regex) => vec![regex.as_str().to_owned()],
    }
}

/// One of which matches whatever the rule's first list on files does.
fn file_regexes(rule: &Compiled) -> Option<Vec<String>> {
    let list = rule.files.first().filter(|list| !list.positive.is_empty())?;
    list.positive.iter().map(|pattern| pattern.place_regex()).collect()
}

fn first_words_of(text: &str, words: usize) -> &str {
    let end = text.match_indices(' ').nth(words - 1).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// The first words of all texts the patterns match, two where they are said; `None` if they may begin with
/// any.
fn first_words(patterns: &[TextPattern]) -> Option<Vec<String>> {
    let mut starts = Vec::new();
    for pattern in patterns {
        let TextPattern::Globs(globs) = pattern else { return None };
        for glob in globs {
            let prefix = glob.prefix();
            let said = prefix.matches(' ').count();
            starts.push(match () {
                () if said >= 2 || glob.literal().is_some() => first_words_of(prefix, 2).to_owned(),
                () if said == 1 => first_words_of(prefix, 1).to_owned(),
                () => return None,
            });
        }
    }
    (!starts.is_empty()).then_some(starts)
}
