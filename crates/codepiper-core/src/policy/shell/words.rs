//! Words: quotes, escapes and expansions, as far as they can be read without running anything.

use super::parse::{Parser, Refused, SYNTAX};
use super::script::{Atom, Script, Word};

/// Where quoted text ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// With the text: a here-document.
    End,
    /// With `"`.
    Quote,
}

impl Parser {
    /// The word at this place; `None` if none begins here.
    pub(super) fn word(&mut self) -> Result<Option<Word>, Refused> {
        self.not_too_long()?;
        let start = self.at;
        let mut atoms = Vec::new();
        while let Some(c) = self.peek() {
            match c {
                '<' | '>' if self.sees("<(") || self.sees(">(") => {
                    let from = self.at;
                    self.at += 2;
                    let runs = self.inner_script(')')?;
                    atoms.push(Atom::Process { source: self.source(from), runs });
                }
                ' ' | '\t' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>' => break,
                '\\' if self.sees("\\\n") => self.at += 2,
                '\\' => {
                    let quoted = self.text.get(self.at + 1).is_some();
                    self.at += usize::from(quoted);
                    atoms.push(Atom::Char { c: self.text[self.at], quoted: true });
                    self.at += 1;
                }
                '\'' => {
                    self.at += 1;
                    let end = self.until('\'')?;
                    atoms.extend(self.text[self.at..end].iter().map(|c| Atom::Char { c: *c, quoted: true }));
                    self.mark_empty(&mut atoms, self.at == end);
                    self.quoted += end - self.at;
                    self.at = end + 1;
                }
                '"' => {
                    self.at += 1;
                    let inside = self.quoted_text(Stop::Quote)?;
                    self.mark_empty(&mut atoms, inside.is_empty());
                    atoms.extend(inside);
                }
                '$' if self.sees("$'") => {
                    self.at += 2;
                    let from = self.at;
                    let text = self.ansi_c()?;
                    self.quoted += self.at - from;
                    self.mark_empty(&mut atoms, text.is_empty());
                    atoms.extend(text.chars().map(|c| Atom::Char { c, quoted: true }));
                }
                '$' if self.sees("$\"") => self.at += 1,
                '$' | '`' => self.expansion(false, &mut atoms)?,
                '@' | '!' | '+' | '?' | '*' if self.text.get(self.at + 1) == Some(&'(') => {
                    return Err("it uses extended globs");
                }
                c => {
                    atoms.push(Atom::Char { c, quoted: false });
                    self.at += 1;
                }
            }
        }
        let source = self.source(start);
        Ok((self.at > start && source != "\\\n").then_some(Word { atoms, source }))
    }

    /// `''` makes a word of its own, which has no character to show for it: an empty expansion stands for it.
    fn mark_empty(&self, atoms: &mut Vec<Atom>, empty: bool) {
        if empty {
            atoms.push(Atom::Other { source: String::new(), runs: Vec::new(), number: true });
        }
    }

    fn until(&self, close: char) -> Result<usize, Refused> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        rest.iter().position(|c| *c == close).map(|end| self.at + end).ok_or(SYNTAX)
    }

    /// Text as between double quotes. Leaves after the closing one.
    pub(super) fn quoted_text(&mut self, stop: Stop) -> Result<Vec<Atom>, Refused> {
        let mut atoms = Vec::new();
        loop {
            match self.peek() {
                None if stop == Stop::End => return Ok(atoms),
                None => return Err(SYNTAX),
                Some('"') if stop == Stop::Quote => {
                    self.at += 1;
                    return Ok(atoms);
                }
                Some('\\') => match self.text.get(self.at + 1) {
                    Some('\n') => self.at += 2,
                    Some(c @ ('$' | '`' | '\\')) | Some(c @ '"') if *c != '"' || stop == Stop::Quote => {
                        atoms.push(Atom::Char { c: *c, quoted: true });
                        self.at += 2;
                    }
                    _ => {
                        atoms.push(Atom::Char { c: '\\', quoted: true });
                        self.at += 1;
                    }
                },
                Some('$' | '`') => self.expansion(true, &mut atoms)?,
                Some(c) => {
                    atoms.push(Atom::Char { c, quoted: true });
                    self.at += 1;
                    self.quoted += 1;
                }
            }
        }
    }

    /// At `$` or a backtick.
    fn expansion(&mut self, quoted: bool, atoms: &mut Vec<Atom>) -> Result<(), Refused> {
        let start = self.at;
        if self.peek() == Some('`') {
            let runs = self.backticks(quoted)?;
            atoms.push(Atom::Other { source: self.source(start), runs: vec![runs], number: false });
            return Ok(());
        }
        self.at += 1;
        // `$\⏎(…)` is a substitution to bash: continued lines are joined before anything is read.
        if self.sees("\\\n") {
            return Err(SYNTAX);
        }
        match self.peek() {
            Some('(') => {
                if self.sees("((")
                    && let Some(words) = self.arithmetic()?
                {
                    let runs = words.iter().flat_map(|word| runs_of(&word.atoms)).cloned().collect();
                    atoms.push(Atom::Other { source: self.source(start), runs, number: true });
                    return Ok(());
                }
                self.at += 1;
                let runs = self.inner_script(')')?;
                atoms.push(Atom::Other { source: self.source(start), runs: vec![runs], number: false });
            }
            Some('[') => return Err("it uses an old form of arithmetic"),
            Some('{') => {
                self.at += 1;
                let (inside, plain) = self.deeper(Self::braced)?;
                let source = self.source(start);
                atoms.push(match plain {
                    Some(name) => Atom::Variable { name, quoted },
                    None => {
                        let runs = runs_of(&inside).cloned().collect();
                        Atom::Other { number: source.starts_with("${#"), source, runs }
                    }
                });
            }
            Some('a'..='z' | 'A'..='Z' | '_') => {
                let from = self.at;
                while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
                    self.at += 1;
                }
                if self.sees("\\\n") {
                    return Err(SYNTAX);
                }
                atoms.push(Atom::Variable { name: self.source(from), quoted });
            }
            Some(c @ ('0'..='9' | '@' | '*' | '#' | '?' | '-' | '$' | '!')) => {
                self.at += 1;
                let number = matches!(c, '#' | '?' | '$' | '!');
                atoms.push(Atom::Other { source: self.source(start), runs: Vec::new(), number });
            }
            // Expansions in zsh, text in bash.
            Some('=' | '~' | '^' | '+') => return Err(SYNTAX),
            _ => atoms.push(Atom::Char { c: '$', quoted: true }),
        }
        Ok(())
    }

    /// After `${`: what is inside, and the name when that is all there is.
    fn braced(&mut self) -> Result<(Vec<Atom>, Option<String>), Refused> {
        let start = self.at;
        let mut atoms = Vec::new();
        loop {
            match self.peek().ok_or(SYNTAX)? {
                '}' => break,
                '"' if !self.is_document => {
                    self.at += 1;
                    atoms.extend(self.quoted_text(Stop::Quote)?);
                }
                // What these mean here depends on what stands around the braces; better not to guess.
                '\\' | '\'' | '"' => return Err(SYNTAX),
                '$' | '`' => self.expansion(true, &mut atoms)?,
                // zsh's flags: `${(e)x}` runs what stands in a variable.
                '(' if self.at == start => return Err(SYNTAX),
                // `${x@P}` runs what stands in a variable.
                '@' if self.sees("@P") => return Err("it expands a variable as a prompt"),
                _ => self.at += 1,
            }
        }
        let inside = self.source(start);
        self.at += 1;
        let starts = inside.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let plain = starts && inside.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        Ok((atoms, plain.then_some(inside)))
    }

    fn backticks(&mut self, quoted: bool) -> Result<Script, Refused> {
        self.at += 1;
        let mut inside = String::new();
        loop {
            let c = self.peek().ok_or(SYNTAX)?;
            self.at += 1;
            match (c, self.peek()) {
                ('`', _) => break,
                ('\\', Some(next @ ('`' | '\\' | '$'))) => {
                    inside.push(next);
                    self.at += 1;
                }
                ('\\', Some('"')) if quoted => {
                    inside.push('"');
                    self.at += 1;
                }
                _ => inside.push(c),
            }
        }
        self.deeper(|parser| {
            let mut inner = Parser::new(&inside, parser.depth);
            let script = inner.script(&[])?;
            let whole = inner.at == inner.text.len() && inner.documents.is_empty();
            if whole { Ok(script) } else { Err(SYNTAX) }
        })
    }

    /// After `$'`, up to the closing quote.
    fn ansi_c(&mut self) -> Result<String, Refused> {
        let mut bytes = Vec::new();
        let mut push = |c: char| bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
        loop {
            let c = self.peek().ok_or(SYNTAX)?;
            self.at += 1;
            match c {
                '\'' => break,
                '\\' => {
                    let c = self.peek().ok_or(SYNTAX)?;
                    self.at += 1;
                    match c {
                        'n' => push('\n'),
                        't' => push('\t'),
                        'r' => push('\r'),
                        'a' => push('\x07'),
                        'b' => push('\x08'),
                        'e' | 'E' => push('\x1b'),
                        'f' => push('\x0c'),
                        'v' => push('\x0b'),
                        '\\' | '\'' | '"' | '?' => push(c),
                        '0'..='7' => {
                            self.at -= 1;
                            let byte = self.digits(8, 3).ok_or(SYNTAX)?;
                            bytes_push(&mut push, byte)?;
                        }
                        'x' => match self.digits(16, 2) {
                            Some(byte) => bytes_push(&mut push, byte)?,
                            None => return Err(SYNTAX),
                        },
                        'u' | 'U' => {
                            let code = self.digits(16, if c == 'u' { 4 } else { 8 }).ok_or(SYNTAX)?;
                            push(char::from_u32(code).filter(|c| *c != '\0').ok_or(SYNTAX)?);
                        }
                        // `\cx` and what bash leaves as it is.
                        _ => return Err(SYNTAX),
                    }
                }
                c => push(c),
            }
        }
        String::from_utf8(bytes).map_err(|_| SYNTAX)
    }

    fn digits(&mut self, base: u32, most: usize) -> Option<u32> {
        let start = self.at;
        let mut value: u32 = 0;
        while self.at < start + most
            && let Some(digit) = self.peek().and_then(|c| c.to_digit(base))
        {
            value = value.checked_mul(base)?.checked_add(digit)?;
            self.at += 1;
        }
        (self.at > start).then_some(value)
    }

    /// At `((`: the expression, if it is one and not a subshell in a subshell. Only what has no quotes, so
    /// that brackets can be counted.
    pub(super) fn arithmetic(&mut self) -> Result<Option<Vec<Word>>, Refused> {
        let start = self.at;
        let mut open = 0_usize;
        let mut at = start;
        let end = loop {
            match self.text.get(at).ok_or(SYNTAX)? {
                '(' => open += 1,
                ')' if open == 2 && self.text.get(at + 1) == Some(&')') => break at,
                ')' if open <= 2 => return Ok(None),
                ')' => open -= 1,
                _ => {}
            }
            at += 1;
        };
        let inside: String = self.text[start + 2..end].iter().collect();
        let plain = |c: char| {
            c.is_ascii_alphanumeric() || c.is_whitespace() || "_+-*/%<>=!&|^~?:,;$()[]{}.#".contains(c)
        };
        if !inside.chars().all(plain) {
            return Err(SYNTAX);
        }
        self.at = end + 2;
        self.deeper(|parser| {
            let mut inner = Parser::new(&inside, parser.depth);
            let atoms = inner.quoted_text(Stop::End)?;
            Ok(Some(vec![Word { atoms, source: inside }]))
        })
    }
}

fn bytes_push(push: &mut impl FnMut(char), byte: u32) -> Result<(), Refused> {
    // A byte of its own beyond ASCII is part of a character, or of none: not worth reading.
    match char::from_u32(byte & 0xff) {
        Some(c) if c.is_ascii() && c != '\0' => push(c),
        _ => return Err(SYNTAX),
    }
    Ok(())
}

/// All that the expansions among these run.
pub(super) fn runs_of(atoms: &[Atom]) -> impl Iterator<Item = &Script> {
    atoms.iter().flat_map(|atom| match atom {
        Atom::Other { runs, .. } => runs.as_slice(),
        Atom::Process { runs, .. } => std::slice::from_ref(runs),
        Atom::Char { .. } | Atom::Variable { .. } => &[],
    })
}
