//! Globs over text and over single path segments: what `*`, `?`, `[a-z]` and `{a,b}` mean here.
//!
//! Our own matcher instead of one regular expression a pattern: compiling a thousand costs nothing (the hook
//! helper does it for every call when the daemon is down), a pattern that cannot match is left after its
//! first characters, and the tokens can be held against a *shell's* glob to see whether both could name the
//! same file. No input makes it slow: matching is at worst pattern × text.

/// One step of a glob.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Tok {
    /// This character.
    Char(char),
    /// Any one character.
    Any,
    /// One character of these ranges, or of none of them.
    Class { negated: bool, ranges: Vec<(char, char)> },
    /// Any text.
    Star,
}

impl Tok {
    /// The character, when it is for one only.
    fn char(&self) -> Option<char> {
        if let Self::Char(c) = self { Some(*c) } else { None }
    }

    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::Any => true,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
            Self::Star => false,
        }
    }

    /// Whether some character is taken by both. Generous for classes: what is not disproved may be.
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Char(c), one) | (one, Self::Char(c)) => one.takes(*c),
            _ => true,
        }
    }
}

/// A compiled glob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    /// What every match begins with; most texts are told apart by it alone.
    prefix: String,
    /// The rest, after the prefix.
    rest: Vec<Tok>,
}

impl Glob {
    pub(super) fn new(mut toks: Vec<Tok>) -> Self {
        toks.dedup_by(|a, b| *a == Tok::Star && *b == Tok::Star);
        let prefix: String =
            toks.iter().map_while(|tok| if let Tok::Char(c) = tok { Some(*c) } else { None }).collect();
        let rest = toks.into_iter().skip(prefix.chars().count()).collect();
        Self { prefix, rest }
    }

    /// The text, when only one text matches.
    pub(super) fn literal(&self) -> Option<&str> {
        self.rest.is_empty().then_some(self.prefix.as_str())
    }

    /// What every match begins with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The same as a regular expression, unanchored. `any` is the class its wildcards take from.
    pub(super) fn regex(&self, any: &str) -> String {
        let tok = |tok: &Tok| match tok {
            Tok::Char(c) => regex::escape(&c.to_string()),
            Tok::Star => format!("{any}*"),
            // Wider than the class is: an index may find too much, never too little.
            Tok::Any | Tok::Class { .. } => any.to_owned(),
        };
        regex::escape(&self.prefix) + &self.rest.iter().map(tok).collect::<String>()
    }

    /// What every match ends with.
    pub(super) fn suffix(&self) -> String {
        said_at_the_end(&self.rest)
    }

    pub(super) fn ends(&self) -> Ends {
        let first = self.prefix.chars().next().or_else(|| self.rest.first().and_then(Tok::char));
        let last = match self.rest.last() {
            Some(tok) => tok.char(),
            None => self.prefix.chars().next_back(),
        };
        Ends { first, last }
    }

    pub(super) fn toks(&self) -> Vec<Tok> {
        self.prefix.chars().map(Tok::Char).chain(self.rest.iter().cloned()).collect()
    }

    /// Whether all of the text matches.
    pub(super) fn is_match(&self, text: &str) -> bool {
        let Some(text) = text.strip_prefix(self.prefix.as_str()) else { return false };
        match self.rest.as_slice() {
            [] => text.is_empty(),
            [Tok::Star] => true,
            rest => matches(rest, text),
        }
    }
}

/// The text with which everything ends that these match.
pub(super) fn said_at_the_end(toks: &[Tok]) -> String {
    let said = toks.rsplit(|tok| !matches!(tok, Tok::Char(_))).next().unwrap_or_default();
    said.iter().filter_map(Tok::char).collect()
}

/// The first and the last character of all texts that match, where they are said. Most pairs of globs that
/// have no text in common are told apart by them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ends {
    first: Option<char>,
    last: Option<char>,
}

impl Ends {
    pub(super) fn of(toks: &[Tok]) -> Self {
        Self { first: toks.first().and_then(Tok::char), last: toks.last().and_then(Tok::char) }
    }

    pub(super) fn of_text(text: &str) -> Self {
        Self { first: text.chars().next(), last: text.chars().next_back() }
    }

    /// Whether some text may match both, for all that this says.
    pub(super) fn meet(self, other: Self) -> bool {
        let may =
            |one: Option<char>, other: Option<char>| one.zip(other).is_none_or(|(one, other)| one == other);
        may(self.first, other.first) && may(self.last, other.last)
    }
}

/// Greedy with one point to return to: the last star. Right for a single kind of star.
fn matches(toks: &[Tok], text: &str) -> bool {
    let mut at = 0;
    let mut left = text.chars();
    let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        match toks.get(at) {
            Some(Tok::Star) => {
                at += 1;
                retry = Some((at, left.clone()));
                continue;
            }
            Some(tok) => {
                let mut next = left.clone();
                if next.next().is_some_and(|c| tok.takes(c)) {
                    left = next;
                    at += 1;
                    continue;
                }
            }
            None if left.as_str().is_empty() => return true,
            None => {}
        }
        let Some((star, mut from)) = retry.take() else { return false };
        if from.next().is_none() {
            return false;
        }
        at = star;
        left = from.clone();
        retry = Some((star, from));
    }
}

/// The longest side of [`overlap`] that is looked at, in tokens; longer ones count as overlapping. A file
/// name has at most 255.
const OVERLAP_MAX: usize = 300;

/// Whether some text matches both.
pub(super) fn overlap(a: &[Tok], b: &[Tok]) -> bool {
    if a.len() > OVERLAP_MAX || b.len() > OVERLAP_MAX {
        return true;
    }
    // reach[j]: the first i tokens of `a` and the first j of `b` have a text in common.
    let mut reach = vec![false; b.len() + 1];
    reach[0] = true;
    for (j, tok) in b.iter().enumerate() {
        reach[j + 1] = reach[j] && *tok == Tok::Star;
    }
    for one in a {
        let mut next = vec![false; b.len() + 1];
        next[0] = reach[0] && *one == Tok::Star;
        for (j, other) in b.iter().enumerate() {
            next[j + 1] = match (one, other) {
                (Tok::Star, _) | (_, Tok::Star) => next[j] || reach[j + 1],
                (one, other) => reach[j] && one.meets(other),
            };
        }
        reach = next;
    }
    reach[b.len()]
}

/// The most globs that the braces of one pattern may stand for.
const ALTERNATIVES_MAX: usize = 256;

/// Reads a pattern's text: the globs its braces stand for. Stars are as many as were written, because `**`
/// means something in paths. `Err` says what is wrong with it.
pub(super) fn read(pattern: &str) -> Result<Vec<Vec<Tok>>, String> {
    let mut alternatives = vec![Vec::new()];
    let chars: Vec<char> = pattern.chars().collect();
    let rest = sequence(&chars, 0, 0, &mut alternatives)?;
    debug_assert_eq!(rest, chars.len());
    Ok(alternatives)
}

/// How deep braces may stand in braces.
const BRACES_MAX: usize = 8;

/// Reads until the end, or in braces until `,` or `}`, onto every alternative. Gives the place it ended at.
fn sequence(chars: &[char], mut at: usize, depth: usize, onto: &mut Vec<Vec<Tok>>) -> Result<usize, String> {
    let push = |onto: &mut Vec<Vec<Tok>>, tok: Tok| {
        for toks in onto.iter_mut() {
            toks.push(tok.clone());
        }
    };
    while let Some(c) = chars.get(at).copied() {
        at += 1;
        match c {
            ',' | '}' if depth > 0 => return Ok(at - 1),
            '*' => push(onto, Tok::Star),
            '?' => push(onto, Tok::Any),
            '\\' => {
                let escaped = chars.get(at).ok_or("ends with a backslash")?;
                at += 1;
                push(onto, Tok::Char(*escaped));
            }
            '[' => {
                let (tok, after) = class(chars, at)?;
                push(onto, tok);
                at = after;
            }
            '{' => {
                if depth == BRACES_MAX {
                    return Err(format!("has braces more than {BRACES_MAX} deep"));
                }
                let before = std::mem::take(onto);
                loop {
                    let mut branch = before.clone();
                    at = sequence(chars, at, depth + 1, &mut branch)?;
                    onto.append(&mut branch);
                    if onto.len() > ALTERNATIVES_MAX {
                        return Err(format!("stands for more than {ALTERNATIVES_MAX} alternatives"));
                    }
                    match chars.get(at) {
                        Some(',') => at += 1,
                        Some('}') => break,
                        _ => return Err("has a `{` without its `}`".into()),
                    }
                }
                at += 1;
            }
            c => push(onto, Tok::Char(c)),
        }
    }
    if depth > 0 { Err("has a `{` without its `}`".into()) } else { Ok(at) }
}

/// Reads a class after its `[`.
pub(super) fn class(chars: &[char], mut at: usize) -> Result<(Tok, usize), String> {
    let negated = matches!(chars.get(at), Some('!' | '^'));
    at += usize::from(negated);
    let first = at;
    let mut ranges = Vec::new();
    loop {
        let unclosed = || "has a `[` without its `]`".to_owned();
        let mut low = *chars.get(at).ok_or_else(unclosed)?;
        if low == ']' && at > first {
            return Ok((Tok::Class { negated, ranges }, at + 1));
        }
        if low == '\\' {
            at += 1;
            low = *chars.get(at).ok_or_else(unclosed)?;
        }
        at += 1;
        let high = match (chars.get(at), chars.get(at + 1)) {
            (Some('-'), Some(high)) if *high != ']' => {
                at += 2;
                *high
            }
            _ => low,
        };
        if high < low {
            return Err(format!("has the range `{low}-{high}`, which is empty"));
        }
        ranges.push((low, high));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_globs_overlap_when_one_text_matches_both() {
        let check = |a: &str, b: &str, expected: bool| {
            let [a, b] = [a, b].map(|text| read(text).unwrap().remove(0));
            assert_eq!(overlap(&a, &b), expected, "{a:?} {b:?}");
            assert_eq!(overlap(&b, &a), expected, "{b:?} {a:?}");
            assert!(Ends::of(&a).meet(Glob::new(b.clone()).ends()) || !expected, "{a:?} {b:?}");
        };
        check(".e*", ".env", true);
        check(".??v", ".env", true);
        check(".?v", ".env", false);
        check("*.txt", "*.pem", false);
        check("a*", "*b", true);
        check("*", "", true);
        check("a*c", "abbc", true);
        check("a*c", "abbd", false);
        check("[a-c]x", "bx", true);
        check("[!a-c]x", "bx", false);
        check("a*b*c", "a*d", false);
        check("*a*", "*b*", true);
    }

    #[test]
    fn a_match_takes_the_whole_text() {
        let check = |pattern: &str, text: &str, expected: bool| {
            let any = read(pattern).unwrap().into_iter().any(|toks| Glob::new(toks).is_match(text));
            assert_eq!(any, expected, "{pattern:?} {text:?}");
        };
        check("a*b*c", "a1b2b3c", true);
        check("a*b*c", "a1b2b3", false);
        check("*aab", "aaaaaab", true);
        check("{a,b{c,d}}x", "bdx", true);
        check("{a,b{c,d}}x", "bx", false);
        check("[]a]", "]", true);
        check("x{,y}", "x", true);
        check("é*", "élan", true);
    }
}
