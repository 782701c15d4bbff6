//! What bash would make of a word, as far as it can be known before it runs.

use super::super::glob::{self, Tok};
use super::parse::Refused;
use super::script::{Atom, Word};
use std::collections::BTreeMap;

/// The most fields that braces in one word may make. `{a,b,c}` is common, `{1..100000}` an attack or a loop.
const FIELDS_MAX: usize = 128;

/// The longest word with braces that is expanded, in characters: each of its fields may be as long.
const BRACED_MAX: usize = 2048;

/// The longest field that variables may make, in characters. Beyond that it is unknown.
const FIELD_MAX: usize = 16 * 1024;

/// The longest `[…]` that is read as one, in characters.
const CLASS_MAX: usize = 128;

const TOO_MANY: Refused = "its braces stand for too many words";

/// One word as a command gets it.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Field {
    /// For matching and showing: quotes gone, what is unknown as it was written.
    pub(in super::super) text: String,
    /// The same, with what is a wildcard and what is unknown told apart.
    pub(in super::super) pieces: Vec<Piece>,
    /// Whether it was put together from a variable: known, if nothing else set it.
    pub(in super::super) assumed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) enum Piece {
    Tok(Tok),
    /// Anything, also nothing.
    Unknown(Unknown),
}

/// What is known of the unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) enum Unknown {
    Anything,
    /// A number: no name of a file, no word of a command.
    Number,
    /// One of several words that the script shows elsewhere, where they are looked at.
    ShownElsewhere,
}

impl Field {
    pub(in super::super) fn literal(text: &str) -> Self {
        Self {
            text: text.into(),
            pieces: text.chars().map(Tok::Char).map(Piece::Tok).collect(),
            assumed: false,
        }
    }

    pub(in super::super) fn unknown(source: &str) -> Self {
        let pieces = vec![Piece::Unknown(Unknown::Anything)];
        Self { text: source.into(), pieces, assumed: false }
    }

    /// The text, when bash would pass exactly that.
    pub(in super::super) fn known(&self) -> Option<&str> {
        let known = self.pieces.iter().all(|piece| matches!(piece, Piece::Tok(Tok::Char(_))));
        known.then_some(self.text.as_str())
    }

    pub(in super::super) fn has_unknown(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Unknown(_)))
    }

    /// What its text begins with for certain.
    pub(in super::super) fn known_prefix(&self) -> String {
        let chars = self.pieces.iter().map_while(|piece| match piece {
            Piece::Tok(Tok::Char(c)) => Some(*c),
            _ => None,
        });
        chars.collect()
    }

    /// These pieces of it alone. Its text is as long only while it is known.
    pub(in super::super) fn slice(&self, from: usize, to: usize) -> Self {
        let pieces = self.pieces.get(from..to).unwrap_or_default().to_vec();
        let text = match self.known() {
            Some(text) => text.chars().skip(from).take(to.saturating_sub(from)).collect(),
            None => pieces.iter().map(Piece::shown).collect(),
        };
        Self { text, pieces, assumed: self.assumed }
    }
}

impl Piece {
    fn shown(&self) -> char {
        match self {
            Self::Tok(Tok::Char(c)) => *c,
            Self::Tok(Tok::Any | Tok::Class { .. }) => '?',
            Self::Tok(Tok::Star) => '*',
            Self::Unknown(_) => '$',
        }
    }
}

/// A variable of the script.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Known(String),
    ShownElsewhere,
    Anything,
}

pub(super) type Variables = BTreeMap<String, Value>;

/// The fields of a word; none when it may vanish.
pub(super) fn fields(word: &Word, variables: &Variables, home: Option<&str>) -> Result<Vec<Field>, Refused> {
    let mut fields = Vec::new();
    if !word.atoms.iter().any(|atom| matches!(atom, Atom::Char { c: '{', quoted: false })) {
        split(&word.atoms, variables, home, true, &mut fields);
        return Ok(fields);
    }
    for atoms in braces(&word.atoms, 0)? {
        split(&atoms, variables, home, true, &mut fields);
    }
    Ok(fields)
}

/// The word as one field: no braces, no splitting. For assignments and redirections.
pub(super) fn field(word: &Word, variables: &Variables, home: Option<&str>) -> Field {
    let mut fields = Vec::new();
    split(&word.atoms, variables, home, false, &mut fields);
    fields.pop().unwrap_or_default()
}

fn split(atoms: &[Atom], variables: &Variables, home: Option<&str>, splits: bool, onto: &mut Vec<Field>) {
    let mut field = Field::default();
    let mut began = false;
    let mut at = 0;
    if let Some((text, length)) = tilde(atoms, home) {
        field = text;
        began = true;
        at = length;
    }
    let push = |field: &mut Field, c: char| {
        field.text.push(c);
        field.pieces.push(Piece::Tok(Tok::Char(c)));
    };
    while let Some(atom) = atoms.get(at) {
        at += 1;
        match atom {
            Atom::Char { c: c @ ('*' | '?'), quoted: false } => {
                field.text.push(*c);
                field.pieces.push(Piece::Tok(if *c == '*' { Tok::Star } else { Tok::Any }));
                began = true;
            }
            Atom::Char { c: '[', quoted: false } => {
                field.text.push('[');
                let chars: Vec<char> = atoms[at..]
                    .iter()
                    .take(CLASS_MAX)
                    .map_while(|atom| if let Atom::Char { c, .. } = atom { Some(*c) } else { None })
                    .collect();
                match glob::class(&chars, 0) {
                    // `[[:alpha:]]` and its like are not read: any character.
                    Ok((tok, after)) => {
                        let inside: String = chars[..after].iter().collect();
                        let tok =
                            if inside.contains("[:") || inside.contains("[=") { Tok::Star } else { tok };
                        field.text.push_str(&inside);
                        field.pieces.push(Piece::Tok(tok));
                        at += after;
                    }
                    Err(_) if chars.len() < CLASS_MAX => field.pieces.push(Piece::Tok(Tok::Char('['))),
                    Err(_) => field.pieces.push(Piece::Unknown(Unknown::Anything)),
                }
                began = true;
            }
            Atom::Char { c, .. } => {
                push(&mut field, *c);
                began = true;
            }
            Atom::Variable { name, quoted } => {
                let value = variables.get(name).cloned().unwrap_or(match (name.as_str(), home) {
                    ("HOME", Some(home)) => Value::Known(home.to_owned()),
                    _ => Value::Anything,
                });
                match value {
                    Value::Known(text) if field.pieces.len() + text.len() <= FIELD_MAX => {
                        // `$HOME` is as sure as `~`.
                        field.assumed |= variables.contains_key(name);
                        began |= *quoted;
                        for c in text.chars() {
                            if splits && !quoted && c.is_whitespace() {
                                if began {
                                    let assumed = field.assumed;
                                    onto.push(std::mem::take(&mut field));
                                    field.assumed = assumed;
                                }
                                began = false;
                                continue;
                            }
                            let tok = match c {
                                '*' if !quoted => Tok::Star,
                                '?' if !quoted => Tok::Any,
                                '[' if !quoted => Tok::Star,
                                c => Tok::Char(c),
                            };
                            field.text.push(c);
                            field.pieces.push(Piece::Tok(tok));
                            began = true;
                        }
                    }
                    value => {
                        let alone = atoms.len() == 1;
                        let shown = matches!(value, Value::ShownElsewhere) && alone;
                        let kind = if shown { Unknown::ShownElsewhere } else { Unknown::Anything };
                        field.text.push_str(&format!("${name}"));
                        field.pieces.push(Piece::Unknown(kind));
                        began = true;
                    }
                }
            }
            // What `''` leaves: a word that is there and empty.
            Atom::Other { source, .. } if source.is_empty() => began = true,
            Atom::Other { source, number, .. } => {
                field.text.push_str(source);
                let kind = if *number { Unknown::Number } else { Unknown::Anything };
                field.pieces.push(Piece::Unknown(kind));
                began = true;
            }
            // A pipe's name: what is behind it is looked at by itself.
            Atom::Process { source, .. } => {
                field.text.push_str(source);
                field.pieces.push(Piece::Unknown(Unknown::ShownElsewhere));
                began = true;
            }
        }
    }
    if began {
        onto.push(field);
    }
}

/// A tilde prefix: what it stands for and how many atoms it takes. `~user` is unknown.
fn tilde(atoms: &[Atom], home: Option<&str>) -> Option<(Field, usize)> {
    let Some(Atom::Char { c: '~', quoted: false }) = atoms.first() else { return None };
    let ends = |atom: Option<&Atom>| matches!(atom, None | Some(Atom::Char { c: '/', quoted: false }));
    if ends(atoms.get(1)) {
        return Some((home.map_or_else(|| Field::unknown("~"), Field::literal), 1));
    }
    let length = atoms.iter().position(|atom| ends(Some(atom))).unwrap_or(atoms.len());
    let name: String =
        atoms[..length].iter().map(|atom| if let Atom::Char { c, .. } = atom { *c } else { '?' }).collect();
    Some((Field::unknown(&name), length))
}

/// Brace expansion: the words that `a{b,c}` stands for.
fn braces(atoms: &[Atom], depth: usize) -> Result<Vec<Vec<Atom>>, Refused> {
    let bare = |at: usize, wanted: char| matches!(atoms.get(at), Some(Atom::Char { c, quoted: false }) if *c == wanted);
    // Each group is a level of recursion here.
    let groups = (0..atoms.len()).filter(|at| bare(*at, '{')).count();
    if depth > 8 || groups > 16 || groups > 0 && atoms.len() > BRACED_MAX {
        return Err(TOO_MANY);
    }
    for open in (0..atoms.len()).filter(|at| bare(*at, '{')) {
        let (mut level, mut commas, mut close) = (0_usize, vec![open], None);
        for at in open..atoms.len() {
            match () {
                () if bare(at, '{') => level += 1,
                () if bare(at, '}') && level == 1 => {
                    close = Some(at);
                    break;
                }
                () if bare(at, '}') => level -= 1,
                () if bare(at, ',') && level == 1 => commas.push(at),
                () => {}
            }
        }
        let Some(close) = close else { continue };
        commas.push(close);
        let inside = &atoms[open + 1..close];
        let choices: Vec<Vec<Atom>> = if commas.len() > 2 {
            commas.windows(2).map(|pair| atoms[pair[0] + 1..pair[1]].to_vec()).collect()
        } else if let Some(range) = range(inside)? {
            range
        } else {
            continue;
        };
        let mut all = Vec::new();
        let tails = braces(&atoms[close + 1..], depth)?;
        for choice in choices {
            for choice in braces(&choice, depth + 1)? {
                for tail in &tails {
                    if all.len() >= FIELDS_MAX {
                        return Err(TOO_MANY);
                    }
                    all.push([&atoms[..open], &choice, tail].concat());
                }
            }
        }
        return Ok(all);
    }
    Ok(vec![atoms.to_vec()])
}

/// `1..9`, `a..e`.
fn range(inside: &[Atom]) -> Result<Option<Vec<Vec<Atom>>>, Refused> {
    let text: Option<String> = inside
        .iter()
        .map(|atom| if let Atom::Char { c, quoted: false } = atom { Some(*c) } else { None })
        .collect();
    let Some(text) = text else { return Ok(None) };
    let parts: Vec<&str> = text.split("..").collect();
    let words = |from: i64, to: i64, show: &dyn Fn(i64) -> String| {
        if from.abs_diff(to) >= FIELDS_MAX as u64 {
            return Err(TOO_MANY);
        }
        let atoms = |text: String| text.chars().map(|c| Atom::Char { c, quoted: false }).collect();
        let up = (from.min(to)..=from.max(to)).map(|n| atoms(show(n)));
        Ok(Some(if from <= to { up.collect() } else { up.rev().collect() }))
    };
    let [from, to] = parts.as_slice() else {
        // With a step: what is left out isn't worth knowing.
        return if parts.len() == 3 { Err(TOO_MANY) } else { Ok(None) };
    };
    let mut letters = from.chars().chain(to.chars());
    match (from.parse::<i64>(), to.parse::<i64>(), letters.next(), letters.next(), letters.next()) {
        (Ok(from), Ok(to), ..) => words(from, to, &|n| n.to_string()),
        (_, _, Some(from), Some(to), None) if from.is_ascii_alphanumeric() && to.is_ascii_alphanumeric() => {
            words(from as i64, to as i64, &|n| char::from_u32(n as u32).unwrap_or('?').to_string())
        }
        _ => Ok(None),
    }
}
