//! Whether words of a shell command name a file that a rule is about.

use super::Action;
use super::glob::{self, Tok};
use super::index::Files;
use super::paths;
use super::pattern::{From, List, PathPattern, Segment};
use super::rule::{Compiled, Hit, Prepared, View};
use super::shell::{Field, Piece, Unknown};
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
    name: Field,
    views: Vec<Rc<View>>,
    /// That it may be other paths as well: it has wildcards, or starts nobody knows where.
    open: bool,
}

impl Spot {
    /// `cwds`: where a relative name starts, empty if unknown.
    pub(super) fn new(name: Field, cwds: &[PathBuf], call: &Prepared<'_>) -> Self {
        let relative = !name.text.starts_with('/') && !name.text.starts_with("~/");
        let folders = if cwds.is_empty() { std::slice::from_ref(&call.cwd) } else { cwds };
        // Its text as if it were the file's name: right when it is known, and when a wildcard in it is one
        // in the pattern too.
        let views = match name.text.is_empty() {
            true => Vec::new(),
            false => folders.iter().map(|cwd| call.view(&name.text, cwd)).collect(),
        };
        let open = name.known().is_none() || relative && cwds.is_empty();
        Self { name, views, open }
    }
}

/// Where these words may name files.
pub(super) fn spots_in(names: &[Field], cwds: &[PathBuf], counts: Counts, call: &Prepared<'_>) -> Vec<Spot> {
    let shown = |piece: &Piece| matches!(piece, Piece::Unknown(Unknown::Number | Unknown::ShownElsewhere));
    let counted = names.iter().filter(|name| match counts {
        Counts::Known => name.known().is_some(),
        Counts::Globs => !name.has_unknown(),
        Counts::All => name.known().is_some() || !name.pieces.iter().all(shown),
    });
    let mut spots = Vec::new();
    for name in counted {
        for (from, to) in slices(name) {
            if call.paths_seen() >= PATHS_MAX {
                spots.push(Spot { name: Field::unknown("…"), views: Vec::new(), open: true });
                return spots;
            }
            spots.push(Spot::new(name.slice(from, to), cwds, call));
        }
    }
    spots
}

/// The most paths of one call that are looked at: each is asked of the file system. The rest of a longer
/// list may be any file.
const PATHS_MAX: usize = 2000;

/// For finding the rules about them.
pub(super) fn files_of(spots: &[Spot]) -> Files {
    if spots.iter().any(|spot| spot.open) {
        return Files::All;
    }
    Files::Views(spots.iter().flat_map(|spot| spot.views.iter().cloned()).collect())
}

/// Whether one of these names a file of the rule. `cwds`: where relative ones start, empty if unknown.
pub(super) fn names_one_of(rule: &Compiled, spots: &[Spot], cwds: &[PathBuf], call: &Prepared<'_>) -> Hit {
    let mut best = Hit::No;
    for spot in spots {
        let hit = rule.files.iter().map(|list| names_file(list, rule.action, spot, cwds, call));
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
    starts.extend((0..end).filter(|at| "=@:,".chars().any(|mark| is(*at, mark))).map(|at| at + 1));
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
pub(super) fn names_file(
    list: &List<PathPattern>,
    action: Action,
    spot: &Spot,
    cwds: &[PathBuf],
    call: &Prepared<'_>,
) -> Hit {
    let Spot { name, views, open } = spot;
    if views.iter().any(|view| view.fits(list, action)) {
        return if name.has_unknown() { Hit::Maybe } else { Hit::Yes };
    }
    if !open {
        return Hit::No;
    }
    let starts_unknown = name.has_unknown() || name.known().is_some();
    let folders = if cwds.is_empty() { std::slice::from_ref(&call.cwd) } else { cwds };
    let overlaps = list.positive.iter().map(|pattern| match starts_unknown {
        true if end_may_match(pattern, name) => Hit::Maybe,
        true => Hit::No,
        false => folders.iter().map(|cwd| glob_may_match(pattern, name, cwd, call)).max().unwrap_or(Hit::No),
    });
    overlaps.max().unwrap_or(Hit::Maybe)
}

/// For a name whose beginning is unknown: whether its end could be the end of a file of the pattern.
fn end_may_match(pattern: &PathPattern, name: &Field) -> bool {
    let harmless = |piece: &Piece| matches!(piece, Piece::Unknown(Unknown::Number | Unknown::ShownElsewhere));
    if !name.pieces.is_empty() && name.pieces.iter().all(harmless) {
        return false;
    }
    let Some((_, globs)) = pattern.parts() else { return true };
    if matches!(name.pieces.as_slice(), [Piece::Unknown(_)]) {
        return true;
    }
    let cut = |piece: &Piece| matches!(piece, Piece::Unknown(_) | Piece::Tok(Tok::Char('/')));
    let from = name.pieces.iter().rposition(cut);
    let starts_unknown = from.is_some_and(|at| matches!(name.pieces[at], Piece::Unknown(_)));
    let tail = name.pieces[from.map_or(0, |at| at + 1)..].iter().filter_map(|piece| match piece {
        Piece::Tok(tok) => Some(tok.clone()),
        Piece::Unknown(_) => None,
    });
    let tail: Vec<Tok> = starts_unknown.then_some(Tok::Star).into_iter().chain(tail).collect();
    globs.iter().any(|glob| match glob.last() {
        Some(Segment::One(last)) => glob::overlap(&last.toks(), &tail),
        Some(Segment::Deep) | None => true,
    })
}

/// For a shell's glob: whether a file of the pattern could match it too. `Yes` when the glob says part of
/// the name the rule is about; a bare `*` is only a maybe.
fn glob_may_match(pattern: &PathPattern, name: &Field, cwd: &Path, call: &Prepared<'_>) -> Hit {
    let Some((from, globs)) = pattern.parts() else { return Hit::Maybe };
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
            () if segment == literal(".") => {}
            () if segment == literal("..") => _ = segments.pop(),
            () => segments.push(segment.to_vec()),
        }
    }
    let starts_in = |folder: &Path| {
        let folder: Vec<Vec<Tok>> = paths::segments(folder).map(|name| literal(&name)).collect();
        segments.starts_with(&folder).then_some(folder.len())
    };
    let skip = match from {
        From::Root => Some(0),
        From::Cwd => starts_in(&call.cwd),
        From::Home => call.home.as_deref().and_then(starts_in),
        From::Name => segments.len().checked_sub(1),
    };
    let Some(segments) = skip.and_then(|skip| segments.get(skip..)) else { return Hit::No };
    let says_some = segments.last().is_some_and(|last| last.iter().any(|tok| matches!(tok, Tok::Char(_))));
    let hits = globs
        .iter()
        .filter(|glob| may_walk(glob, segments))
        .map(|glob| if says_some && pattern.names_one(glob) { Hit::Yes } else { Hit::Maybe });
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
