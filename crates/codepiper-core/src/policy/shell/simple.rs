//! Reads simple commands: words, assignments, redirections.

use super::parse::{Parser, Refused, SYNTAX};
use super::script::*;

impl Parser {
    pub(super) fn simple(&mut self) -> Result<Command, Refused> {
        let start = self.at;
        let mut simple = Simple::default();
        let mut end = start;
        loop {
            self.blanks();
            if let Some(redirect) = self.redirect()? {
                simple.redirects.push(redirect);
            } else {
                let from = self.at;
                let Some(word) = self.word()? else { break };
                if opens_subscript(&word) {
                    return Err(SYNTAX);
                }
                let assignment = if simple.words.is_empty() { self.assignment(&word, from)? } else { None };
                match assignment {
                    Some(assignment) => simple.assignments.push(assignment),
                    None => simple.words.push(word),
                }
            }
            end = self.at;
            let defines =
                simple.words.len() == 1 && simple.assignments.is_empty() && simple.redirects.is_empty();
            self.blanks();
            if self.peek() == Some('(') {
                self.at += 1;
                self.blanks();
                let name = simple.words.first().and_then(Word::bare);
                return match name {
                    Some(name) if defines && self.take(")") => self.function(name),
                    _ => Err(SYNTAX),
                };
            }
        }
        if end == start {
            return Err(SYNTAX);
        }
        simple.source = self.text[start..end].iter().collect::<String>().trim().to_owned();
        Ok(Command::Simple(simple))
    }

    /// The word as an assignment, with its array if it has one.
    fn assignment(&mut self, word: &Word, from: usize) -> Result<Option<Assignment>, Refused> {
        let mut name = String::new();
        let mut plain = true;
        let mut atoms = word.atoms.iter().enumerate();
        let value_from = loop {
            match atoms.next() {
                Some((_, Atom::Char { c, quoted: false })) => match c {
                    '=' if !name.is_empty() => {}
                    '_' | 'a'..='z' | 'A'..='Z' if plain => {
                        name.push(*c);
                        continue;
                    }
                    '0'..='9' if plain && !name.is_empty() => {
                        name.push(*c);
                        continue;
                    }
                    '[' | '+' if plain && !name.is_empty() => {
                        plain = false;
                        continue;
                    }
                    _ if !plain => continue,
                    _ => return Ok(None),
                },
                Some(_) if !plain => continue,
                _ => return Ok(None),
            }
            break atoms.next().map_or(word.atoms.len(), |(at, _)| at);
        };
        let mut values = vec![Word { atoms: word.atoms[value_from..].to_vec(), source: word.source.clone() }];
        if !plain {
            values.insert(0, Word { atoms: word.atoms[..value_from].to_vec(), source: word.source.clone() });
        }
        if value_from == word.atoms.len() && self.peek() == Some('(') {
            self.at += 1;
            plain = false;
            loop {
                self.lines()?;
                if self.take(")") {
                    break;
                }
                values.push(self.word()?.ok_or(SYNTAX)?);
            }
        }
        Ok(Some(Assignment { name, plain, values, source: self.source(from) }))
    }

    pub(super) fn redirect(&mut self) -> Result<Option<Redirect>, Refused> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        if self.sees("<(") || self.sees(">(") || !(self.sees("<") || self.sees(">") || self.sees("&>")) {
            self.at = start;
            return Ok(None);
        }
        use RedirectKind::{Both, Here, Read, Write};
        const OPERATORS: &[(&str, RedirectKind)] = &[
            ("&>>", Write),
            ("&>", Write),
            ("<<<", Here),
            ("<<-", Here),
            ("<<", Here),
            ("<&", Read),
            ("<>", Both),
            ("<", Read),
            (">>", Write),
            (">&", Write),
            (">|", Write),
            (">", Write),
        ];
        let (operator, kind) = *OPERATORS.iter().find(|(operator, _)| self.sees(operator)).ok_or(SYNTAX)?;
        self.at += operator.len();
        self.blanks();
        let target = self.word()?.ok_or(SYNTAX)?;
        let text = target.bare().unwrap_or_default();
        // In zsh `>!` is an operator.
        if text == "!" {
            return Err(SYNTAX);
        }
        if operator.ends_with('&') {
            let is_descriptor = text == "-"
                || !text.is_empty() && text.trim_end_matches('-').chars().all(|c| c.is_ascii_digit());
            return match is_descriptor {
                true => Ok(Some(Redirect { kind: RedirectKind::Descriptor, target, document: None })),
                // Bash expands a quoted word here once more.
                false
                    if operator == ">&"
                        && !target.is_quoted()
                        && !text.starts_with(|c: char| c.is_ascii_digit()) =>
                {
                    Ok(Some(Redirect { kind, target, document: None }))
                }
                false => Err(SYNTAX),
            };
        }
        let mut document = None;
        if operator == "<<" || operator == "<<-" {
            let delimiter = target.literal().ok_or(SYNTAX)?;
            if delimiter.contains('\n') {
                return Err(SYNTAX);
            }
            self.documents.push(Word::default());
            document = Some(self.documents.len() - 1);
            self.pending.push((self.documents.len() - 1, delimiter, target.is_quoted(), operator == "<<-"));
        }
        Ok(Some(Redirect { kind, target, document }))
    }
}

/// `a[` and no `]`: where bash expects an assignment it reads on to the `]`, through blanks and operators,
/// and runs what it finds there.
fn opens_subscript(word: &Word) -> bool {
    let bare = |atom: &Atom| if let Atom::Char { c, quoted: false } = atom { Some(*c) } else { None };
    let name =
        word.atoms.iter().take_while(|atom| bare(atom).is_some_and(|c| c.is_alphanumeric() || c == '_'));
    let after = name.count();
    after > 0
        && word.atoms.get(after).and_then(bare) == Some('[')
        && !word.atoms[after..].iter().any(|atom| bare(atom) == Some(']'))
}
