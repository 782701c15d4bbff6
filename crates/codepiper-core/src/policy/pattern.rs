//! Patterns of rules: text patterns (tool names, commands, any other argument) and path patterns (arguments
//! that are paths, and `cwd`). See the table in `testdata/policy/patterns.toml` for what each means.

use super::glob::{self, Glob, Tok};
use super::paths::{Names, PathForms};
use regex::{Regex, RegexBuilder};

/// The longest pattern, in bytes. The longest command a person would want to write down.
pub(super) const PATTERN_MAX: usize = 4096;

/// The most memory the program of one regular expression may take, in bytes. Enough for any a person writes;
/// a thousand of them are still no weight.
const REGEX_MAX: usize = 256 * 1024;

/// What is wrong with a pattern, and what to do.
pub(super) struct BadPattern {
    pub(super) what: String,
    pub(super) hint: &'static str,
}

/// A list of patterns: any positive hits and no negative does. Only negatives: everything else.
#[derive(Debug, Clone)]
pub(super) struct List<P> {
    pub(super) positive: Vec<P>,
    pub(super) negative: Vec<P>,
}

impl<P> List<P> {
    /// Reads each with `read`; gives the place of each bad one. `!` in front negates, `\!` is a literal `!`.
    pub(super) fn read(
        patterns: &[String],
        read: impl Fn(&str) -> Result<P, BadPattern>,
    ) -> Result<Self, Vec<(usize, BadPattern)>> {
        let mut list = Self { positive: Vec::new(), negative: Vec::new() };
        let mut bad = Vec::new();
        for (at, pattern) in patterns.iter().enumerate() {
            let (negated, text) = match pattern.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, pattern.as_str()),
            };
            match checked(text).and_then(|()| read(text)) {
                Ok(read) if negated => list.negative.push(read),
                Ok(read) => list.positive.push(read),
                Err(problem) => bad.push((at, problem)),
            }
        }
        if bad.is_empty() { Ok(list) } else { Err(bad) }
    }

    pub(super) fn holds(&self, hits: impl Fn(&P) -> bool) -> bool {
        !self.negative.iter().any(&hits) && (self.positive.is_empty() || self.positive.iter().any(&hits))
    }
}

fn checked(text: &str) -> Result<(), BadPattern> {
    if text.is_empty() {
        return Err(BadPattern {
            what: "is empty".into(),
            hint: "leave the field out to match anything, or write `*` for any value that is there",
        });
    }
    if text.len() > PATTERN_MAX {
        return Err(BadPattern {
            what: format!("is longer than {PATTERN_MAX} bytes"),
            hint: "a shorter pattern with `*` does the same",
        });
    }
    Ok(())
}

const GLOB_HINT: &str = "write `\\` before a character that is meant as itself, or begin with `regex:`";

fn regex(source: &str) -> Result<Regex, BadPattern> {
    RegexBuilder::new(source).size_limit(REGEX_MAX).dfa_size_limit(REGEX_MAX).build().map_err(|error| {
        let last = error.to_string();
        let last = last.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        BadPattern {
            what: format!("is no regular expression: {last}"),
            hint: "the syntax is that of the Rust crate `regex`: no look-around, no back-references",
        }
    })
}

/// A pattern over text. `*` crosses everything: slashes, leading dots, newlines.
#[derive(Debug, Clone)]
pub(super) enum TextPattern {
    Globs(Vec<Glob>),
    Regex(Regex),
}

impl TextPattern {
    pub(super) fn read(text: &str) -> Result<Self, BadPattern> {
        match text.strip_prefix("regex:") {
            Some(source) => regex(source).map(Self::Regex),
            None => match glob::read(text) {
                Ok(globs) => Ok(Self::Globs(globs.into_iter().map(Glob::new).collect())),
                Err(what) => Err(BadPattern { what, hint: GLOB_HINT }),
            },
        }
    }

    /// As [`Self::read`], for commands: ` *` at the end also matches no argument at all, so `rm *` is every
    /// `rm`, and blanks around the pattern mean nothing.
    pub(super) fn read_command(text: &str) -> Result<Self, BadPattern> {
        let trimmed = text.trim();
        checked(trimmed)?;
        let mut pattern = Self::read(trimmed)?;
        if let Self::Globs(globs) = &mut pattern {
            for glob in globs.clone() {
                let toks = glob.toks();
                if let [bare @ .., Tok::Char(' '), Tok::Star] = toks.as_slice()
                    && !bare.is_empty()
                {
                    globs.push(Glob::new(bare.to_vec()));
                }
            }
        }
        Ok(pattern)
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Globs(globs) => globs.iter().any(|glob| glob.is_match(text)),
            Self::Regex(regex) => regex.is_match(text),
        }
    }

    /// None for a regular expression.
    pub(super) fn globs(&self) -> &[Glob] {
        match self {
            Self::Globs(globs) => globs,
            Self::Regex(_) => &[],
        }
    }

    /// Whether this text and nothing else is meant.
    pub(super) fn is_exactly(&self, text: &str) -> bool {
        matches!(self, Self::Globs(globs) if globs.iter().any(|glob| glob.literal() == Some(text)))
    }

    /// Whether a text of which only the beginning is known may match. For a pattern that begins with a
    /// wildcard the answer is no: else every `$X` would be held against it.
    pub(super) fn may_match_after(&self, known: &str) -> bool {
        match self {
            Self::Globs(globs) => globs.iter().any(|glob| {
                let prefix = glob.prefix();
                !prefix.is_empty() && prefix.starts_with(known)
            }),
            Self::Regex(_) => false,
        }
    }
}

/// A pattern over paths. `*` stays within a segment, `**` crosses; both take leading dots.
#[derive(Debug, Clone)]
pub(super) enum PathPattern {
    Parts { from: From, globs: Vec<Vec<Segment>> },
    Regex(Regex),
}

/// Where a path pattern starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum From {
    /// `/…` and `**…`: the root.
    Root,
    /// `~` and `~/…`.
    Home,
    /// `src/*.rs`, `./x`: the working directory.
    Cwd,
    /// `.env`, `*.pem`: the file's name, anywhere.
    Name,
}

impl From {
    pub(super) const ALL: [Self; 4] = [Self::Root, Self::Home, Self::Cwd, Self::Name];
}

/// One segment of a path pattern.
#[derive(Debug, Clone)]
pub(super) enum Segment {
    One(Glob),
    /// `**`: any number of segments, also none.
    Deep,
}

impl PathPattern {
    pub(super) fn read(text: &str) -> Result<Self, BadPattern> {
        if let Some(source) = text.strip_prefix("regex:") {
            return regex(source).map(Self::Regex);
        }
        let (from, below) = match text {
            "/" => (From::Root, "**"),
            "~" => (From::Home, ""),
            _ if text.starts_with("~/") => (From::Home, &text[2..]),
            _ if text.starts_with('/') => (From::Root, &text[1..]),
            _ if text.starts_with("**") => (From::Root, text),
            "." => (From::Cwd, ""),
            _ if text.starts_with("./") => (From::Cwd, &text[2..]),
            _ if text.starts_with('{') && text.contains('/') => {
                return Err(BadPattern {
                    what: "begins with a choice of paths".into(),
                    hint: "write the paths as a list of patterns",
                });
            }
            _ if text.contains('/') => (From::Cwd, text),
            _ => (From::Name, text),
        };
        let globs = glob::read(below).map_err(|what| BadPattern { what, hint: GLOB_HINT })?;
        let globs = globs.iter().map(|toks| segments(toks)).collect::<Result<_, _>>()?;
        Ok(Self::Parts { from, globs })
    }

    pub(super) fn is_match(&self, path: &PathForms) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(path.text()),
            Self::Parts { from, globs } => {
                path.names_from(*from).is_some_and(|path| globs.iter().any(|glob| walk(glob, path)))
            }
        }
    }

    /// Whether the pattern's files all have one name, and no wildcard stands for it.
    pub(super) fn names_one(&self, glob: &[Segment]) -> bool {
        matches!(glob.last(), Some(Segment::One(name)) if name.literal().is_some())
    }

    /// The segment globs with where they start, for holding them against a shell's globs.
    pub(super) fn parts(&self) -> Option<(From, &[Vec<Segment>])> {
        match self {
            Self::Parts { from, globs } => Some((*from, globs)),
            Self::Regex(_) => None,
        }
    }
}

fn segments(toks: &[Tok]) -> Result<Vec<Segment>, BadPattern> {
    let mut segments = Vec::new();
    let mut parts: Vec<&[Tok]> = toks.split(|tok| *tok == Tok::Char('/')).collect();
    // `dir/` is the folder and all that is in it.
    let whole_folder = parts.len() > 1 && parts.last().is_some_and(|last| last.is_empty());
    parts.retain(|part| !part.is_empty());
    for part in parts {
        let is = |text: &str| part.iter().cloned().eq(text.chars().map(Tok::Char));
        if is(".") || is("..") {
            return Err(BadPattern {
                what: "has a segment `.` or `..`, which no normalised path has".into(),
                hint: "write the path from `/`, from `~/`, or below the working directory",
            });
        }
        segments.push(match part {
            [Tok::Star, Tok::Star] => Segment::Deep,
            part => Segment::One(Glob::new(part.to_vec())),
        });
    }
    if whole_folder {
        segments.push(Segment::Deep);
    }
    Ok(segments)
}

/// As for text, with segments for characters and `**` for the star.
fn walk(pattern: &[Segment], path: Names<'_>) -> bool {
    let (mut at, mut left) = (0, path);
    let mut retry: Option<(usize, Names<'_>)> = None;
    loop {
        match (pattern.get(at), left.split_first()) {
            (Some(Segment::Deep), _) => {
                at += 1;
                retry = Some((at, left));
                continue;
            }
            (Some(Segment::One(glob)), Some((first, rest))) if glob.is_match(first) => {
                at += 1;
                left = rest;
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        match retry.and_then(|(star, from)| Some((star, from.split_first()?.1))) {
            Some((star, rest)) => {
                at = star;
                left = rest;
                retry = Some((star, rest));
            }
            None => return false,
        }
    }
}
