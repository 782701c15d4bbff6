//! Whether words of a shell command name a file that a rule is about.

use super::Action;
use super::glob::{self, Tok};
use super::paths;
use super::pattern::{From, List, PathPattern, Segment};
use super::rule::{Compiled, Hit, Prepared, View};
use super::shell::{Field, Piece, Unknown};
use foldhash::fast::RandomState;
use std::borrow::Cow;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Which words that aren't known count as names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    /// None: a command that opens nothing.
    Known,
    /// Wildcards: words that somebody else opens.
    Globs,
    /// All.
    All,
}

/// A piece of a word that may be a file's name, with the paths it would be.
pub(super) struct Spot {
    /// That a part of its name is decided by what nobody knows.
    has_unknown: bool,
    pub(super) views: Vec<Rc<View>>,
    /// Which other paths it may be.
    pub(super) open: Open,
}

/// The paths of a word that stands for more than one.
pub(super) enum Open {
    /// None: it stands for one.
    Nothing,
    /// None: it is no name of a file.
    NoName,
    Anything,
    /// Any whose last name matches this.
    EndsIn(Vec<Tok>),
    /// Those that a shell's wildcards make, from each folder where it may stand.
    Glob(Vec<Way>),
}

/// A path with wildcards.
pub(super) struct Way {
    pub(super) segments: Vec<Vec<Tok>>,
    /// How many segments are before the place where patterns start, by their [`From`]; `None` when it is not
    /// below that place.
    skips: [(From, Option<usize>); From::ALL.len()],
}

impl Spot {
    /// `cwds`: where a relative name starts, empty if unknown.
    pub(super) fn new(name: &Field, cwds: &[PathBuf], call: &Prepared<'_>) -> Self {
        let relative = !name.text.starts_with('/') && !name.text.starts_with("~/");
        let folders = if cwds.is_empty() { std::slice::from_ref(&call.cwd) } else { cwds };
        // Its text as if it were the file's name: right when it is known, and when a wildcard in it is one
        // in the pattern too.
        let views = match name.text.is_empty() {
            true => Vec::new(),
            false => folders.iter().map(|cwd| call.view(&name.text, cwd)).collect(),
        };
        let open = match () {
            () if name.known().is_some() && !(relative && cwds.is_empty()) => Open::Nothing,
            () if name.has_unknown() || name.known().is_some() => open_end(name),
            () => Open::Glob(folders.iter().map(|cwd| Way::new(name, cwd, call)).collect()),
        };
        Self { has_unknown: name.has_unknown(), views, open }
    }

    /// A file that is known.
    pub(super) fn of(view: Rc<View>) -> Self {
        Self { has_unknown: false, views: vec![view], open: Open::Nothing }
    }

    /// That its wildcards leave some of its last name said.
    pub(super) fn says_some(&self) -> bool {
        let says = |way: &Way| way.segments.last().is_some_and(|last| says_some(last));
        matches!(&self.open, Open::Glob(ways) if ways.iter().any(says))
    }
}

fn says_some(name: &[Tok]) -> bool {
    name.iter().any(|tok| matches!(tok, Tok::Char(_)))
}

/// Where these words may name files.
pub(super) fn spots_in(names: &[Field], cwds: &[PathBuf], counts: Counts, call: &Prepared<'_>) -> Vec<Spot> {
    let shown = |piece: &Piece| matches!(piece, Piece::Unknown(Unknown::Number | Unknown::ShownElsewhere));
    let counted = names.iter().filter(|name| match counts {
        Counts::Known => name.known().is_some(),
        Counts::Globs => !name.has_unknown(),
        Counts::All => name.known().is_some() || !name.pieces.iter().all(shown),
    });
    let mut spots: Vec<Spot> = Vec::new();
    let mut seen: HashSet<&[Piece], RandomState> = HashSet::default();
    let mut opens = 0;
    for name in counted {
        for (from, to) in slices(name) {
            let pieces = name.pieces.get(from..to).unwrap_or_default();
            let is_char = |piece: &&Piece| matches!(piece, Piece::Tok(Tok::Char(_)));
            if pieces.iter().filter(is_char).count() > NAME_MAX || !seen.insert(pieces) {
                continue;
            }
            if call.paths_seen() >= PATHS_MAX || opens >= OPENS_MAX {
                spots.push(Spot { has_unknown: true, views: Vec::new(), open: Open::Anything });
                return spots;
            }
            let is_all = pieces.len() == name.pieces.len() && name.known().is_some();
            let piece = if is_all { Cow::Borrowed(name) } else { Cow::Owned(name.slice(from, to)) };
            let spot = Spot::new(&piece, cwds, call);
            opens += usize::from(!matches!(spot.open, Open::Nothing));
            spots.push(spot);
        }
    }
    spots
}

/// The most paths of one call that are looked at: each is asked of the file system. The rest of a longer
/// list may be any file.
const PATHS_MAX: usize = 2000;

/// The most words of one command that may be several paths: each is held against every pattern on files.
/// Commands of people have a few; the rest of more may be any file.
const OPENS_MAX: usize = 100;

/// The longest name of a file, in characters. No system opens a longer one.
const NAME_MAX: usize = 4096;

/// Whether one of these names a file of the rule.
pub(super) fn names_one_of(rule: &Compiled, spots: &[Spot]) -> Hit {
    let mut best = Hit::No;
    for spot in spots {
        let hit = rule.files.iter().map(|list| names_file(list, rule.action, spot));
        best = best.max(hit.min().unwrap_or(Hit::No));
        if best == Hit::Yes {
            break;
        }
    }
    best
}

/// Where in a word a file's name may stand: `--opt=file`, `-ofile`, `@file`, `if=file`, `HEAD:file`, `file:/x`.
fn slices(word: &Field) -> Vec<(usize, usize)> {
    let is = |at: usize, wanted: char| word.pieces.get(at) == Some(&Piece::Tok(Tok::Char(wanted)));
    let end = word.pieces.len();
    let mut starts = match (is(0, '-'), is(1, '-')) {
        (true, true) => Vec::new(),
        (true, false) => vec![2],
        _ => vec![0],
    };
    let is_mark =
        |at: &usize| matches!(word.pieces.get(*at), Some(Piece::Tok(Tok::Char('=' | '@' | ':' | ','))));
    starts.extend((0..end).filter(is_mark).map(|at| at + 1));
    starts.retain(|start| *start < end);
    starts.truncate(STARTS_MAX);
    let stops = |start: usize| (start + 1..end).find(|at| is(*at, ':') || is(*at, ','));
    starts
        .iter()
        .flat_map(|start| [Some((*start, end)), stops(*start).map(|stop| (*start, stop))])
        .flatten()
        .collect()
}

/// The most places in one word that are looked at. A word with more marks is a text, not a list of files.
const STARTS_MAX: usize = 16;

/// Whether this is a file of the list.
pub(super) fn names_file(list: &List<PathPattern>, action: Action, spot: &Spot) -> Hit {
    let Spot { has_unknown, views, open } = spot;
    if views.iter().any(|view| view.fits(list, action)) {
        return if *has_unknown { Hit::Maybe } else { Hit::Yes };
    }
    if matches!(open, Open::Nothing) {
        return Hit::No;
    }
    list.positive.iter().map(|pattern| may_be_of(pattern, open)).max().unwrap_or(Hit::Maybe)
}

/// Which paths a name may be whose beginning is unknown: it is told by its end.
fn open_end(name: &Field) -> Open {
    let harmless = |piece: &Piece| matches!(piece, Piece::Unknown(Unknown::Number | Unknown::ShownElsewhere));
    if !name.pieces.is_empty() && name.pieces.iter().all(harmless) {
        return Open::NoName;
    }
    if matches!(name.pieces.as_slice(), [Piece::Unknown(_)]) {
        return Open::Anything;
    }
    let cut = |piece: &Piece| matches!(piece, Piece::Unknown(_) | Piece::Tok(Tok::Char('/')));
    let from = name.pieces.iter().rposition(cut);
    let starts_unknown = from.is_some_and(|at| matches!(name.pieces[at], Piece::Unknown(_)));
    let tail = name.pieces[from.map_or(0, |at| at + 1)..].iter().filter_map(|piece| match piece {
        Piece::Tok(tok) => Some(tok.clone()),
        Piece::Unknown(_) => None,
    });
    Open::EndsIn(starts_unknown.then_some(Tok::Star).into_iter().chain(tail).collect())
}

impl Way {
    fn new(name: &Field, cwd: &Path, call: &Prepared<'_>) -> Self {
        let toks: Vec<Tok> = name
            .pieces
            .iter()
            .filter_map(|piece| if let Piece::Tok(tok) = piece { Some(tok.clone()) } else { None })
            .collect();
        let literal = |text: &str| text.chars().map(Tok::Char).collect::<Vec<_>>();
        let mut segments: Vec<Vec<Tok>> = Vec::new();
        if toks.first() != Some(&Tok::Char('/')) {
            segments.extend(paths::segments(cwd).map(|name| literal(&name)));
        }
        for segment in toks.split(|tok| *tok == Tok::Char('/')).filter(|segment| !segment.is_empty()) {
            match () {
                () if is_text(segment, ".") => {}
                () if is_text(segment, "..") => _ = segments.pop(),
                () => segments.push(segment.to_vec()),
            }
        }
        let starts_in = |folder: &Path| {
            let mut own = segments.iter();
            let mut names = 0;
            let is_in = paths::segments(folder).all(|name| {
                names += 1;
                own.next().is_some_and(|segment| is_text(segment, &name))
            });
            is_in.then_some(names)
        };
        let skips = From::ALL.map(|from| {
            let skip = match from {
                From::Root => Some(0),
                From::Cwd => starts_in(&call.cwd),
                From::Home => call.home.as_deref().and_then(starts_in),
                From::Name => segments.len().checked_sub(1),
            };
            (from, skip)
        });
        Self { segments, skips }
    }

    fn segments_from(&self, from: From) -> Option<&[Vec<Tok>]> {
        let (_, skip) = self.skips.iter().find(|(own, _)| *own == from)?;
        self.segments.get((*skip)?..)
    }
}

fn is_text(toks: &[Tok], text: &str) -> bool {
    let mut chars = text.chars();
    toks.iter().all(|tok| matches!(tok, Tok::Char(c) if chars.next() == Some(*c))) && chars.next().is_none()
}

/// Whether a file of the pattern may be among these paths. `Yes` when a shell's wildcard says part of the
/// name the rule is about; a bare `*` is only a maybe.
fn may_be_of(pattern: &PathPattern, open: &Open) -> Hit {
    let (ways, (from, globs)) = match (open, pattern.parts()) {
        (Open::Nothing | Open::NoName, _) => return Hit::No,
        (Open::Anything, _) | (_, None) => return Hit::Maybe,
        (Open::Glob(ways), Some(parts)) => (ways, parts),
        (Open::EndsIn(tail), Some((_, globs))) => {
            let may_end_so = globs.iter().any(|glob| match glob.last() {
                Some(Segment::One(last)) => glob::overlap(&last.toks(), tail),
                Some(Segment::Deep) | None => true,
            });
            return if may_end_so { Hit::Maybe } else { Hit::No };
        }
    };
    let paths = ways.iter().filter_map(|way| way.segments_from(from));
    let hits = paths.flat_map(|path| {
        let says_some = path.last().is_some_and(|last| says_some(last));
        globs
            .iter()
            .filter(|glob| may_walk(glob, path))
            .map(move |glob| if says_some && pattern.names_one(glob) { Hit::Yes } else { Hit::Maybe })
    });
    hits.max().unwrap_or(Hit::No)
}

fn may_walk(pattern: &[Segment], path: &[Vec<Tok>]) -> bool {
    // reach[j]: the segments so far and the first j of the path have a path in common.
    let mut reach = vec![false; path.len() + 1];
    reach[0] = true;
    for segment in pattern {
        let mut next = vec![false; path.len() + 1];
        match segment {
            Segment::Deep => {
                let mut any = false;
                for (j, reached) in reach.iter().enumerate() {
                    any |= reached;
                    next[j] = any;
                }
            }
            Segment::One(glob) => {
                for (j, own) in path.iter().enumerate() {
                    next[j + 1] = reach[j] && may_be(&glob.toks(), own);
                }
            }
        }
        reach = next;
    }
    reach[path.len()]
}

fn may_be(pattern: &[Tok], own: &[Tok]) -> bool {
    // A shell's wildcard takes no leading dot.
    let hidden = pattern.first() == Some(&Tok::Char('.'));
    let wild = !matches!(own.first(), Some(Tok::Char(_)));
    !(hidden && wild) && glob::overlap(pattern, own)
}
