//! Reads the text of a script. A reader for deciding, not for running: what it isn't sure to read as bash
//! does, it refuses, and a refused script is never allowed by a wildcard.
//!
//! Our own, because the ones there are cannot be trusted with hostile text: brush-parser 0.4 takes 0.6 s for
//! twelve `((` and doubles twice with each more (measured), is recursive without bound, and brings 70 crates,
//! `insta` and `tempfile` among them. This one is linear but for nested quoting, which [`DEPTH_MAX`] bounds.

use super::script::*;
use super::words::Stop;

/// The longest text that is read, in bytes. Agents write files through here-documents of some kilobytes; a
/// longer command goes to a person.
pub(super) const TEXT_MAX: usize = 128 * 1024;

/// How deep things may stand in things: substitutions, blocks, `bash -c`, all counted together. People and
/// agents stay below 8. Each level takes at most 10 KiB of stack in a debug build.
pub(super) const DEPTH_MAX: usize = 32;

/// Why a text was not read.
pub(super) type Refused = &'static str;

pub(super) const SYNTAX: Refused = "it is no shell syntax that we can read with certainty";
pub(super) const TOO_DEEP: Refused = "it is nested too deeply";
pub(super) const TOO_LONG: Refused = "it is too long";

/// A script with the texts of its here-documents.
#[derive(Debug, Clone, Default)]
pub(super) struct Read {
    pub(super) script: Script,
    pub(super) documents: Vec<Word>,
}

/// Reads a whole text.
pub(super) fn read(text: &str, depth: usize) -> Result<Read, Refused> {
    if text.len() > TEXT_MAX {
        return Err(TOO_LONG);
    }
    if text.contains('\0') {
        return Err(SYNTAX);
    }
    let mut parser = Parser::new(text, depth);
    let script = parser.script(&[])?;
    parser.end()?;
    Ok(Read { script, documents: parser.documents })
}

pub(super) struct Parser {
    pub(super) text: Vec<char>,
    pub(super) at: usize,
    pub(super) depth: usize,
    /// Whether this is the text of a here-document.
    pub(super) is_document: bool,
    /// Here-documents that begin at the next line: place, delimiter, whether quoted, whether `<<-`.
    pending: Vec<(usize, String, bool, bool)>,
    pub(super) documents: Vec<Word>,
}

const KEYWORDS_THAT_CLOSE: &[&str] = &["then", "else", "elif", "fi", "do", "done", "esac", "}"];

impl Parser {
    pub(super) fn new(text: &str, depth: usize) -> Self {
        Self {
            text: text.chars().collect(),
            at: 0,
            depth,
            is_document: false,
            pending: Vec::new(),
            documents: Vec::new(),
        }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    pub(super) fn sees(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(i, c)| self.text.get(self.at + i) == Some(&c))
    }

    pub(super) fn take(&mut self, text: &str) -> bool {
        let sees = self.sees(text);
        self.at += if sees { text.chars().count() } else { 0 };
        sees
    }

    pub(super) fn source(&self, from: usize) -> String {
        self.text.get(from..self.at).unwrap_or_default().iter().collect()
    }

    fn end(&self) -> Result<(), Refused> {
        if self.at == self.text.len() && self.pending.is_empty() { Ok(()) } else { Err(SYNTAX) }
    }

    /// One level down.
    pub(super) fn deeper<T>(
        &mut self,
        inside: impl FnOnce(&mut Self) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        if self.depth >= DEPTH_MAX {
            return Err(TOO_DEEP);
        }
        self.depth += 1;
        let result = inside(self);
        self.depth -= 1;
        result
    }

    /// A script between brackets that are part of a word. Here-documents don't cross its borders.
    pub(super) fn inner_script(&mut self, close: char) -> Result<Script, Refused> {
        let outside = std::mem::take(&mut self.pending);
        let start = self.at;
        let script = self.deeper(|parser| parser.script(&[]))?;
        if !self.pending.is_empty() || self.peek() != Some(close) {
            return Err(SYNTAX);
        }
        if !outside.is_empty() && self.text[start..self.at].contains(&'\n') {
            return Err(SYNTAX);
        }
        self.pending = outside;
        self.at += 1;
        Ok(script)
    }

    /// Blanks, comments and continued lines.
    fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t') => self.at += 1,
                Some('\\') if self.sees("\\\n") => self.at += 2,
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    /// Blanks and line ends.
    fn lines(&mut self) -> Result<(), Refused> {
        loop {
            self.blanks();
            if self.peek() != Some('\n') {
                return Ok(());
            }
            self.at += 1;
            self.read_documents()?;
        }
    }

    fn read_documents(&mut self) -> Result<(), Refused> {
        for (place, delimiter, quoted, tabs) in std::mem::take(&mut self.pending) {
            let mut body = String::new();
            while self.at < self.text.len() {
                let mut line = self.document_line();
                // Bash joins continued lines before it looks for the delimiter.
                while !quoted
                    && line.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1
                    && self.at < self.text.len()
                {
                    line.pop();
                    line.push_str(&self.document_line());
                }
                let line = if tabs { line.trim_start_matches('\t') } else { line.as_str() };
                if line == delimiter {
                    break;
                }
                body.push_str(line);
                body.push('\n');
            }
            self.documents[place] = if quoted {
                let atoms = body.chars().map(|c| Atom::Char { c, quoted: true }).collect();
                Word { atoms, source: body }
            } else {
                self.deeper(|parser| {
                    let mut inner = Parser::new(&body, parser.depth);
                    inner.is_document = true;
                    let atoms = inner.quoted_text(Stop::End)?;
                    if inner.documents.is_empty() { Ok(Word { atoms, source: body }) } else { Err(SYNTAX) }
                })?
            };
        }
        Ok(())
    }

    fn document_line(&mut self) -> String {
        let start = self.at;
        while self.peek().is_some_and(|c| c != '\n') {
            self.at += 1;
        }
        let line = self.source(start);
        self.at += 1;
        self.at = self.at.min(self.text.len());
        line
    }

    /// Commands up to the end, a closing bracket, or one of these words, which is left to the caller.
    pub(super) fn script(&mut self, until: &[&str]) -> Result<Script, Refused> {
        let mut lists = Vec::new();
        loop {
            self.lines()?;
            match self.peek() {
                None | Some(')') => break,
                Some(';') if self.sees(";;") || self.sees(";&") => break,
                _ => {}
            }
            if let Some(word) = self.keyword() {
                if until.contains(&word.as_str()) {
                    break;
                }
                if KEYWORDS_THAT_CLOSE.contains(&word.as_str()) {
                    return Err(SYNTAX);
                }
            }
            let mut list = self.and_or()?;
            self.blanks();
            match self.peek() {
                Some('&') => {
                    self.at += 1;
                    list.detached = true;
                }
                Some(';') if !self.sees(";;") && !self.sees(";&") => self.at += 1,
                Some('\n' | ')' | ';') | None => {}
                _ => return Err(SYNTAX),
            }
            lists.push(list);
        }
        Ok(Script { lists })
    }

    fn and_or(&mut self) -> Result<AndOr, Refused> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            self.blanks();
            let and = match () {
                () if self.take("&&") => true,
                () if self.take("||") => false,
                () => return Ok(AndOr { first, rest, detached: false }),
            };
            self.lines()?;
            rest.push((and, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline, Refused> {
        loop {
            self.blanks();
            match self.keyword().as_deref() {
                Some("!") => self.at += 1,
                Some("time") => {
                    let start = self.at;
                    self.at += 4;
                    self.blanks();
                    // Options of the program of that name.
                    if self.sees("-") && !matches!(self.keyword().as_deref(), Some("-p" | "--")) {
                        self.at = start;
                        break;
                    }
                    while let Some("-p" | "--") = self.keyword().as_deref() {
                        self.at += 2;
                        self.blanks();
                    }
                    // `time` alone, or with nothing to time.
                    if matches!(self.peek(), None | Some('\n' | ';' | ')' | '&' | '|')) {
                        return Ok(Pipeline { commands: Vec::new() });
                    }
                }
                _ => break,
            }
        }
        let mut commands = vec![self.command()?];
        loop {
            self.blanks();
            if self.sees("||") || !(self.take("|&") || self.take("|")) {
                return Ok(Pipeline { commands });
            }
            self.lines()?;
            commands.push(self.command()?);
        }
    }

    /// The plain word at this place, without moving.
    fn keyword(&self) -> Option<String> {
        let rest = self.text.get(self.at..)?;
        let end = rest.iter().position(|c| " \t\n;&|()<>".contains(*c)).unwrap_or(rest.len());
        (end > 0 && end <= 8).then(|| rest[..end].iter().collect())
    }

    fn command(&mut self) -> Result<Command, Refused> {
        self.deeper(Self::command_here)
    }

    fn command_here(&mut self) -> Result<Command, Refused> {
        self.blanks();
        if self.sees("((")
            && let Some(words) = self.arithmetic()?
        {
            return self.block(Block::Test, None, words, Vec::new());
        }
        if self.take("(") {
            let body = self.script(&[])?;
            return if self.take(")") {
                self.block(Block::Subshell, None, Vec::new(), vec![body])
            } else {
                Err(SYNTAX)
            };
        }
        match self.keyword().as_deref() {
            Some("{") => {
                self.at += 1;
                let body = self.script(&["}"])?;
                self.expect("}")?;
                self.block(Block::Group, None, Vec::new(), vec![body])
            }
            Some("if") => {
                self.at += 2;
                let mut bodies = vec![self.script(&["then"])?];
                self.expect("then")?;
                loop {
                    bodies.push(self.script(&["elif", "else", "fi"])?);
                    match self.keyword().as_deref() {
                        Some("elif") => {
                            self.at += 4;
                            bodies.push(self.script(&["then"])?);
                            self.expect("then")?;
                        }
                        Some("else") => {
                            self.at += 4;
                            bodies.push(self.script(&["fi"])?);
                        }
                        _ => break,
                    }
                }
                self.expect("fi")?;
                self.block(Block::Branches, None, Vec::new(), bodies)
            }
            Some("while" | "until") => {
                self.at += 5;
                let condition = self.script(&["do"])?;
                let body = self.do_group()?;
                self.block(Block::Branches, None, Vec::new(), vec![condition, body])
            }
            Some("for" | "select") => self.for_loop(),
            Some("case") => self.case(),
            Some("[[") => self.test(),
            Some("function") => {
                self.at += 8;
                self.blanks();
                let name = self.word()?.and_then(|word| word.bare()).ok_or(SYNTAX)?;
                self.blanks();
                if self.take("(") {
                    self.blanks();
                    if !self.take(")") {
                        return Err(SYNTAX);
                    }
                }
                self.function(name)
            }
            Some("coproc") => {
                self.at += 6;
                let body = Script { lists: vec![AndOr::of(self.command()?)] };
                self.block(Block::Subshell, None, Vec::new(), vec![body])
            }
            Some(word) if KEYWORDS_THAT_CLOSE.contains(&word) => Err(SYNTAX),
            _ => self.simple(),
        }
    }

    fn expect(&mut self, keyword: &str) -> Result<(), Refused> {
        self.blanks();
        if self.keyword().as_deref() == Some(keyword) && self.take(keyword) { Ok(()) } else { Err(SYNTAX) }
    }

    fn do_group(&mut self) -> Result<Script, Refused> {
        self.lines()?;
        self.expect("do")?;
        let body = self.script(&["done"])?;
        self.expect("done")?;
        Ok(body)
    }

    fn block(
        &mut self,
        kind: Block,
        variable: Option<String>,
        words: Vec<Word>,
        bodies: Vec<Script>,
    ) -> Result<Command, Refused> {
        let mut redirects = Vec::new();
        loop {
            self.blanks();
            match self.redirect()? {
                Some(redirect) => redirects.push(redirect),
                None => return Ok(Command::Block { kind, variable, words, bodies, redirects }),
            }
        }
    }

    fn function(&mut self, name: String) -> Result<Command, Refused> {
        self.lines()?;
        match self.command()? {
            body @ Command::Block { .. } => Ok(Command::Function { name, body: Box::new(body) }),
            _ => Err(SYNTAX),
        }
    }

    fn for_loop(&mut self) -> Result<Command, Refused> {
        self.at += if self.sees("for") { 3 } else { 6 };
        self.blanks();
        if self.sees("((") {
            let words = self.arithmetic()?.ok_or(SYNTAX)?;
            self.blanks();
            self.take(";");
            let body = self.do_group()?;
            return self.block(Block::Branches, None, words, vec![body]);
        }
        let variable = self.word()?.and_then(|word| word.bare()).ok_or(SYNTAX)?;
        self.lines()?;
        let mut words = Vec::new();
        if self.keyword().as_deref() == Some("in") {
            self.at += 2;
            loop {
                self.blanks();
                match self.word()? {
                    Some(word) => words.push(word),
                    None => break,
                }
            }
        }
        self.blanks();
        self.take(";");
        let body = self.do_group()?;
        self.block(Block::For, Some(variable), words, vec![body])
    }

    fn case(&mut self) -> Result<Command, Refused> {
        self.at += 4;
        self.blanks();
        let mut words = vec![self.word()?.ok_or(SYNTAX)?];
        self.lines()?;
        self.expect("in")?;
        let mut bodies = Vec::new();
        loop {
            self.lines()?;
            if self.keyword().as_deref() == Some("esac") {
                self.at += 4;
                return self.block(Block::Branches, None, words, bodies);
            }
            self.take("(");
            loop {
                self.blanks();
                words.push(self.word()?.ok_or(SYNTAX)?);
                self.blanks();
                if self.take(")") {
                    break;
                }
                if !self.take("|") {
                    return Err(SYNTAX);
                }
            }
            bodies.push(self.script(&["esac"])?);
            let _ = self.take(";;&") || self.take(";;") || self.take(";&");
        }
    }

    /// `[[ … ]]`: only its words matter.
    fn test(&mut self) -> Result<Command, Refused> {
        self.at += 2;
        let mut words = Vec::new();
        loop {
            self.lines()?;
            match self.peek() {
                Some('&' | '|' | '(' | ')' | '<' | '>') if !self.sees("<(") && !self.sees(">(") => {
                    self.at += 1
                }
                _ => {
                    let word = self.word()?.ok_or(SYNTAX)?;
                    if word.bare().as_deref() == Some("]]") {
                        return self.block(Block::Test, None, words, Vec::new());
                    }
                    words.push(word);
                }
            }
        }
    }

    fn simple(&mut self) -> Result<Command, Refused> {
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

    fn redirect(&mut self) -> Result<Option<Redirect>, Refused> {
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
