//! Which rules about files are worth trying for a path. Each pattern is filed under the rarest thing that it
//! says of its paths, so a path finds its rules by what it is called and where, however many there are. It
//! may find too many, never too few.

use super::glob::{Ends, Glob, Tok};
use super::paths::PathForms;
use super::pattern::{From, PathPattern, Segment};
use super::reach::Open;
use super::rule::{Compiled, View};
use std::collections::HashMap;

/// Rules by what the paths of their patterns have in common.
#[derive(Debug, Default)]
pub(super) struct PathIndex {
    /// By the folder they are in, or are.
    below: HashMap<String, Vec<u32>>,
    /// How many names the longest of these folders has.
    deepest: usize,
    /// By a whole name in them.
    names: HashMap<String, Vec<u32>>,
    /// By how a name in them begins.
    starts: Affixes,
    /// By how the last name ends.
    ends: Affixes,
    /// All patterns, for words that stand for many paths.
    sketches: Vec<Sketch>,
}

/// What a pattern says of each of its paths.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Says {
    /// The letter of where it starts, and the names from there.
    Below(String),
    Name(String),
    Starts(String),
    Ends(String),
}

#[derive(Debug, Default)]
struct Affixes {
    rules: HashMap<String, Vec<u32>>,
    /// Those that occur, in bytes: few, so each is looked up.
    lengths: Vec<usize>,
}

/// A pattern in so few words that a thousand are read in no time.
#[derive(Debug)]
struct Sketch {
    rule: u32,
    last: Ends,
    /// A name that its paths have.
    name: Option<(Ends, String)>,
}

impl PathIndex {
    /// Of these rules, as far as all their patterns say something. The others come back.
    pub(super) fn new(rules: impl Iterator<Item = u32>, book: &[Compiled]) -> (Self, Vec<u32>) {
        let (mut index, mut left) = (Self::default(), Vec::new());
        let mut filed = Vec::new();
        let mut counts: HashMap<Says, usize> = HashMap::new();
        for at in rules {
            let Some(globs) = globs_of(&book[at as usize]) else {
                left.push(at);
                continue;
            };
            for (said, glob) in globs {
                said.iter().for_each(|says| *counts.entry(says.clone()).or_default() += 1);
                filed.push((at, said, glob));
            }
        }
        for (at, said, glob) in filed {
            let rarest_name =
                said.iter().filter(|says| matches!(says, Says::Name(_))).min_by_key(|says| counts[says]);
            let name =
                rarest_name.and_then(|says| if let Says::Name(name) = says { Some(name) } else { None });
            index.sketches.push(Sketch {
                rule: at,
                last: glob.last().map(segment_ends).unwrap_or_default(),
                name: name.map(|name| (Ends::of_text(name), name.clone())),
            });
            if let Some(says) = said.into_iter().min_by_key(|says| counts[says]) {
                index.file(says, at);
            }
        }
        (index, left)
    }

    fn file(&mut self, says: Says, at: u32) {
        let rules = match says {
            Says::Below(folder) => {
                self.deepest = self.deepest.max(folder.matches('/').count());
                self.below.entry(folder).or_default()
            }
            Says::Name(name) => self.names.entry(name).or_default(),
            Says::Starts(text) => self.starts.of(text),
            Says::Ends(text) => self.ends.of(text),
        };
        if rules.last() != Some(&at) {
            rules.push(at);
        }
    }

    /// The rules for a path, in no order.
    pub(super) fn find(&self, view: &View, onto: &mut Vec<u32>) {
        for form in view.forms() {
            self.find_below(form, onto);
            let names = form.segments_from(From::Root).unwrap_or_default();
            for name in names {
                onto.extend(self.names.get(name).into_iter().flatten());
                let starts = self.starts.lengths.iter().filter_map(|length| name.get(..*length));
                onto.extend(starts.filter_map(|start| self.starts.rules.get(start)).flatten());
            }
            if let Some(last) = names.last() {
                let froms = self.ends.lengths.iter().filter_map(|length| last.len().checked_sub(*length));
                let ends = froms.filter_map(|from| last.get(from..));
                onto.extend(ends.filter_map(|end| self.ends.rules.get(end)).flatten());
            }
        }
    }

    fn find_below(&self, form: &PathForms, onto: &mut Vec<u32>) {
        if self.below.is_empty() {
            return;
        }
        for from in [From::Root, From::Home, From::Cwd] {
            let Some(names) = form.segments_from(from) else { continue };
            let mut folder = String::from(from.letter());
            onto.extend(self.below.get(&folder).into_iter().flatten());
            for name in names.iter().take(self.deepest) {
                folder.push('/');
                folder.push_str(name);
                onto.extend(self.below.get(&folder).into_iter().flatten());
            }
        }
    }

    /// The rules that may be meant by a word that stands for paths nobody knows, in no order.
    pub(super) fn find_open(&self, open: &Open, onto: &mut Vec<u32>) {
        let ways = match open {
            Open::Nothing | Open::NoName => return,
            Open::Anything => return onto.extend(self.sketches.iter().map(|sketch| sketch.rule)),
            Open::EndsIn(tail) => {
                let last = Ends::of(tail);
                let meets = self.sketches.iter().filter(|sketch| sketch.last.meet(last));
                return onto.extend(meets.map(|sketch| sketch.rule));
            }
            Open::Glob(ways) => ways,
        };
        for way in ways {
            let glob = |toks: &Vec<Tok>| (Ends::of(toks), Glob::new(toks.clone()));
            let path: Vec<(Ends, Glob)> = way.segments.iter().map(glob).collect();
            let last = path.last().map(|(ends, _)| *ends).unwrap_or_default();
            let meets = self.sketches.iter().filter(|sketch| {
                let has = |(ends, name): &(Ends, String)| {
                    path.iter().any(|(own, glob)| own.meet(*ends) && glob.is_match(name))
                };
                sketch.last.meet(last) && sketch.name.as_ref().is_none_or(has)
            });
            onto.extend(meets.map(|sketch| sketch.rule));
        }
    }
}

impl Affixes {
    fn of(&mut self, text: String) -> &mut Vec<u32> {
        if !self.lengths.contains(&text.len()) {
            self.lengths.push(text.len());
        }
        self.rules.entry(text).or_default()
    }
}

/// The globs of a rule's first list on files, one of which matches whenever the rule does, with what each
/// says. `None` if one says nothing.
fn globs_of(rule: &Compiled) -> Option<Vec<(Vec<Says>, &[Segment])>> {
    let list = rule.files.first().filter(|list| !list.positive.is_empty())?;
    let mut all = Vec::new();
    for (from, globs) in list.positive.iter().map(PathPattern::parts).collect::<Option<Vec<_>>>()? {
        for glob in globs {
            let said = says(from, glob);
            all.push((!said.is_empty()).then_some((said, glob.as_slice()))?);
        }
    }
    Some(all)
}

/// The most telling first.
fn says(from: From, glob: &[Segment]) -> Vec<Says> {
    let names = glob.iter().filter_map(|segment| match segment {
        Segment::One(name) => Some(name),
        Segment::Deep => None,
    });
    let literal = |segment: &Segment| match segment {
        Segment::One(name) => name.literal().map(str::to_owned),
        Segment::Deep => None,
    };
    let folder: Vec<String> = glob.iter().map_while(literal).collect();
    let mut said = Vec::new();
    if matches!(from, From::Cwd | From::Home) || from == From::Root && !folder.is_empty() {
        let names = folder.iter().flat_map(|name| ["/", name]);
        said.push(Says::Below(from.letter().to_string() + &names.collect::<String>()));
    }
    said.extend(glob.iter().rev().filter_map(literal).map(Says::Name));
    if let Some(Segment::One(last)) = glob.last()
        && last.literal().is_none()
    {
        said.push(Says::Ends(last.suffix()));
    }
    said.extend(
        names.filter(|name| name.literal().is_none()).map(|name| Says::Starts(name.prefix().to_owned())),
    );
    said.retain(|says| !matches!(says, Says::Ends(text) | Says::Starts(text) if text.is_empty()));
    said
}

fn segment_ends(segment: &Segment) -> Ends {
    match segment {
        Segment::One(name) => name.ends(),
        Segment::Deep => Ends::default(),
    }
}
