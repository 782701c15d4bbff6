//! Which rules are worth trying: found by a command's first words, by automata over many patterns at once,
//! and by what paths are called, so that a thousand rules cost little more than ten. It may find too many,
//! never too few.

use super::Action;
use super::path_index::{ByText, PathIndex};
use super::pattern::TextPattern;
use super::reach::Spot;
use super::rule::Compiled;
use super::shell::Form;
use regex::{RegexSet, RegexSetBuilder};
use std::borrow::Cow;
use std::iter::Peekable;

/// Rules of one tool, as places in the book, in order.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    all: Vec<u32>,
    /// Whether one is about files that commands may name.
    pub(super) reaches_commands: bool,
    /// Those whose every pattern for commands says the first word, or the first two.
    by_words: ByText,
    /// Those with other patterns for commands.
    commands: Set,
    /// What patterns of deny and ask rules for commands begin with, in order.
    prefixes: Vec<(String, u32)>,
    /// Those about files.
    files: PathIndex,
    /// What no index knows, and what has no criteria on arguments.
    loose: Vec<u32>,
}

/// The rules worth trying, as places in the book, in order.
pub(super) struct Candidates<'a> {
    likely: Peekable<std::vec::IntoIter<u32>>,
    /// These may be meant, and no more than that; from a place on.
    doubtful: Cow<'a, [u32]>,
    at: usize,
}

impl Candidates<'_> {
    pub(super) fn is_empty(&mut self) -> bool {
        self.likely.peek().is_none() && self.doubtful.is_empty()
    }

    /// `likely_only`: without those that may be meant and no more.
    pub(super) fn next(&mut self, likely_only: bool) -> Option<u32> {
        let doubtful = self.doubtful.get(self.at).copied().filter(|_| !likely_only);
        match (self.likely.peek().copied(), doubtful) {
            (Some(likely), Some(doubtful)) if doubtful < likely => {
                self.at += 1;
                Some(doubtful)
            }
            (Some(likely), doubtful) => {
                self.at += usize::from(doubtful == Some(likely));
                self.likely.next()
            }
            (None, Some(doubtful)) => {
                self.at += 1;
                Some(doubtful)
            }
            (None, None) => None,
        }
    }
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

/// What rules are looked for by.
#[derive(Default)]
pub(super) struct Wanted<'a> {
    /// The ways to write a command.
    pub(super) forms: &'a [Form],
    /// The text of the call.
    pub(super) whole: &'a str,
    /// Where words may name files.
    pub(super) spots: &'a [Spot],
    /// That any rule may be meant, whatever it says.
    pub(super) unreadable: bool,
}

impl Bucket {
    pub(super) fn new(all: Vec<u32>, rules: &[Compiled]) -> Self {
        let mut bucket = Self::one_by_one(all, rules);
        let is_about_files = |at: &u32| rules[*at as usize].command.is_none();
        let (files, others): (Vec<u32>, Vec<u32>) = bucket.all.iter().partition(|at| is_about_files(at));
        (bucket.files, bucket.loose) = PathIndex::new(files.into_iter(), rules);
        let mut commands = Vec::new();
        for at in others {
            let patterns = rules[at as usize].command.as_ref().map_or(&[][..], |list| &list.positive);
            if rules[at as usize].action != Action::Allow {
                let prefixes =
                    patterns.iter().flat_map(TextPattern::globs).map(|glob| glob.prefix().to_owned());
                bucket
                    .prefixes
                    .extend(prefixes.filter(|prefix| !prefix.is_empty()).map(|prefix| (prefix, at)));
            }
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
        bucket.loose.sort_unstable();
        bucket.loose.dedup();
        bucket.prefixes.sort_unstable();
        bucket
    }

    /// Without an index: all are always tried.
    pub(super) fn one_by_one(all: Vec<u32>, rules: &[Compiled]) -> Self {
        let reaches_commands = all.iter().any(|at| rules[*at as usize].reaches_commands());
        Self { loose: all.clone(), all, reaches_commands, ..Self::default() }
    }

    /// All rules.
    pub(super) fn everything(&self) -> Candidates<'_> {
        Candidates { likely: self.all.clone().into_iter().peekable(), doubtful: Cow::default(), at: 0 }
    }

    /// The rules for a part of a command, or for another call.
    pub(super) fn candidates(&self, wanted: &Wanted<'_>) -> Candidates<'_> {
        let mut likely = self.loose.clone();
        let mut doubtful = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for text in wanted.forms.iter().map(|form| form.text.as_str()).chain([wanted.whole]) {
            for start in [first_words_of(text, 1), first_words_of(text, 2)] {
                if !seen.contains(&start) {
                    seen.push(start);
                    likely.extend(self.by_words.get(start).into_iter().flatten());
                }
            }
            self.commands.find(text, &mut likely);
        }
        // What is certain of a text may be the beginning of a pattern that says more.
        for known in wanted.forms.iter().filter_map(|form| form.text.get(..form.known?)) {
            let from = self.prefixes.partition_point(|(prefix, _)| prefix.as_str() < known);
            let more = self.prefixes[from..].iter().take_while(|(prefix, _)| prefix.starts_with(known));
            doubtful.extend(more.map(|(_, rule)| rule));
        }
        for spot in wanted.spots {
            spot.views.iter().for_each(|view| self.files.find(view, &mut likely));
            self.files.find_open(&spot.open, if spot.says_some() { &mut likely } else { &mut doubtful });
        }
        let in_order = |mut rules: Vec<u32>| {
            rules.sort_unstable();
            rules.dedup();
            rules
        };
        let doubtful =
            if wanted.unreadable { Cow::Borrowed(&*self.all) } else { Cow::Owned(in_order(doubtful)) };
        Candidates { likely: in_order(likely).into_iter().peekable(), doubtful, at: 0 }
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
