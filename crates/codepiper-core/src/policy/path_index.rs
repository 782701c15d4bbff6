//! Which rules about files are worth trying for a path. Each pattern is filed under the rarest thing that it
//! says of its paths, so a path finds its rules by what it is called and where, however many there are. It
//! may find too many, never too few.

use super::glob::{self, Ends, Glob};
use super::paths::PathForms;
use super::pattern::{From, PathPattern, Segment};
use super::reach::{Open, Way};
use super::rule::{Compiled, View};
use foldhash::fast::FixedState;
use std::collections::HashMap;

/// Rules by a text. Looked up with what agents send, but filled by people who write rules: those need no
/// guard against texts chosen to be slow.
pub(super) type ByText = HashMap<String, Vec<u32>, FixedState>;

/// Rules by what the paths of their patterns have in common.
#[derive(Debug)]
pub(super) struct PathIndex {
    /// By the folder they are in, or are; by where its path starts.
    below: [(From, Folders); 3],
    /// By a whole name in them.
    names: ByText,
    /// By how a name in them begins.
    starts: Affixes,
    /// By how the last name ends.
    ends: Affixes,
    /// All patterns, for words that stand for many paths.
    sketches: Sketches,
}

#[derive(Debug, Default)]
struct Folders {
    rules: ByText,
    /// How many names the longest has.
    deepest: usize,
}

/// What a pattern says of each of its paths.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Says {
    /// Where it starts, and the names from there, each after a slash.
    Below(From, String),
    Name(String),
    Starts(String),
    Ends(String),
}

#[derive(Debug, Default)]
struct Affixes {
    rules: ByText,
    /// Those that occur, in bytes: few, so each is looked up.
    lengths: Vec<usize>,
}

/// Patterns in so few words that a thousand are read in no time.
#[derive(Debug, Default)]
struct Sketches {
    /// How the names end that patterns say.
    ends: Vec<Ends>,
    /// Each of these names, with the patterns whose rarest it is.
    named: Vec<(String, Vec<Sketch>)>,
    /// The place of a name among them.
    places: HashMap<String, usize, FixedState>,
    /// Patterns that say no whole name, with how their last one ends.
    nameless: Vec<(Sketch, String)>,
}

/// The rule of a pattern, and the ends of its last name.
#[derive(Debug)]
struct Sketch {
    rule: u32,
    last: Ends,
}

impl Default for PathIndex {
    fn default() -> Self {
        Self {
            below: [From::Root, From::Home, From::Cwd].map(|from| (from, Folders::default())),
            names: ByText::default(),
            starts: Affixes::default(),
            ends: Affixes::default(),
            sketches: Sketches::default(),
        }
    }
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
            let sketch = Sketch { rule: at, last: glob.last().map(segment_ends).unwrap_or_default() };
            match rarest_name {
                Some(Says::Name(name)) => index.sketches.with_name(name, sketch),
                _ => {
                    let end = match glob.last() {
                        Some(Segment::One(last)) => last.suffix(),
                        Some(Segment::Deep) | None => String::new(),
                    };
                    index.sketches.nameless.push((sketch, end));
                }
            }
            if let Some(says) = said.into_iter().min_by_key(|says| counts[says]) {
                index.file(says, at);
            }
        }
        (index, left)
    }

    fn file(&mut self, says: Says, at: u32) {
        let rules = match says {
            Says::Below(from, folder) => {
                let folders = self.below.iter_mut().find(|(own, _)| *own == from);
                let Some((_, folders)) = folders else { return };
                folders.deepest = folders.deepest.max(folder.matches('/').count());
                folders.rules.entry(folder).or_default()
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
            let mut last = None;
            for name in form.names_from(From::Root).into_iter().flatten() {
                onto.extend(self.names.get(name).into_iter().flatten());
                let starts = self.starts.lengths.iter().filter_map(|length| name.get(..*length));
                onto.extend(starts.filter_map(|start| self.starts.rules.get(start)).flatten());
                last = Some(name);
            }
            if let Some(last) = last {
                let froms = self.ends.lengths.iter().filter_map(|length| last.len().checked_sub(*length));
                let ends = froms.filter_map(|from| last.get(from..));
                onto.extend(ends.filter_map(|end| self.ends.rules.get(end)).flatten());
            }
        }
    }

    fn find_below(&self, form: &PathForms, onto: &mut Vec<u32>) {
        let mut folder = String::new();
        for (from, folders) in self.below.iter().filter(|(_, folders)| !folders.rules.is_empty()) {
            let Some(names) = form.names_from(*from) else { continue };
            folder.clear();
            onto.extend(folders.rules.get(&folder).into_iter().flatten());
            for name in names.take(folders.deepest) {
                folder.push('/');
                folder.push_str(name);
                onto.extend(folders.rules.get(&folder).into_iter().flatten());
            }
        }
    }

    /// The rules that may be meant by a word that stands for paths nobody knows, in no order.
    pub(super) fn find_open(&self, open: &Open, onto: &mut Vec<u32>) {
        match open {
            Open::Nothing | Open::NoName => {}
            Open::Anything => self.sketches.ending_in(Ends::default(), onto),
            Open::EndsIn(tail) => self.sketches.ending_in(Ends::of(tail), onto),
            Open::Glob(ways) => ways.iter().for_each(|way| self.sketches.on_way(way, onto)),
        }
    }
}

impl Sketches {
    fn with_name(&mut self, name: &str, sketch: Sketch) {
        let place = *self.places.entry(name.to_owned()).or_insert_with(|| {
            self.ends.push(Ends::of_text(name));
            self.named.push((name.to_owned(), Vec::new()));
            self.named.len() - 1
        });
        self.named[place].1.push(sketch);
    }

    fn ending_in(&self, last: Ends, onto: &mut Vec<u32>) {
        let named = self.named.iter().flat_map(|(_, sketches)| sketches);
        let all = named.chain(self.nameless.iter().map(|(sketch, _)| sketch));
        onto.extend(all.filter(|sketch| sketch.last.meet(last)).map(|sketch| sketch.rule));
    }

    /// Those that share a path with it: its last name is one of theirs, and one of its names the one they say.
    fn on_way(&self, way: &Way, onto: &mut Vec<u32>) {
        let toks = way.segments.last().map(Vec::as_slice).unwrap_or_default();
        let (last, end) = (Ends::of(toks), glob::said_at_the_end(toks));
        let meets = |sketch: &Sketch| sketch.last.meet(last);
        let nameless = self
            .nameless
            .iter()
            .filter(|(sketch, own)| meets(sketch) && (own.ends_with(&end) || end.ends_with(own.as_str())));
        onto.extend(nameless.map(|(sketch, _)| sketch.rule));
        let mut add = |place: usize| {
            onto.extend(self.named[place].1.iter().filter(|sketch| meets(sketch)).map(|sketch| sketch.rule));
        };
        for segment in &way.segments {
            let glob = Glob::new(segment.clone());
            if let Some(name) = glob.literal() {
                self.places.get(name).into_iter().for_each(|place| add(*place));
                continue;
            }
            let (ends, end) = (Ends::of(segment), glob::said_at_the_end(segment));
            for (place, _) in self.ends.iter().enumerate().filter(|(_, own)| own.meet(ends)) {
                let name = &self.named[place].0;
                if name.ends_with(&end) && glob.is_match(name) {
                    add(place);
                }
            }
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
        said.push(Says::Below(from, names.collect::<String>()));
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
