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

/// How much of a text may be code, in characters: all but quoted text, comments and here-documents. The
/// scripts that agents run are some kilobytes; each word of it is held against rules, so 128 KiB of `a;a;a;`
/// cost a tenth of a second, and more with wrappers. What nobody would write is asked, not read.
pub(super) const CODE_MAX: usize = 16 * 1024;

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
    parser.not_too_long()?;
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
    pub(super) pending: Vec<(usize, String, bool, bool)>,
    pub(super) documents: Vec<Word>,
    /// How much before this place is no code, in characters.
    pub(super) quoted: usize,
}

pub(super) const KEYWORDS_THAT_CLOSE: &[&str] = &["then", "else", "elif", "fi", "do", "done", "esac", "}"];

impl Parser {
    pub(super) fn new(text: &str, depth: usize) -> Self {
        Self {
            text: text.chars().collect(),
            at: 0,
            depth,
            is_document: false,
            pending: Vec::new(),
            documents: Vec::new(),
            quoted: 0,
        }
    }

    /// That it's not more code than is read.
    pub(super) fn not_too_long(&self) -> Result<(), Refused> {
        if self.at.saturating_sub(self.quoted) > CODE_MAX { Err(TOO_LONG) } else { Ok(()) }
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
    pub(super) fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t') => self.at += 1,
                Some('\\') if self.sees("\\\n") => self.at += 2,
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.at += 1;
                        self.quoted += 1;
                    }
                }
                _ => return,
            }
        }
    }

    /// Blanks and line ends.
    pub(super) fn lines(&mut self) -> Result<(), Refused> {
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
            let start = self.at;
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
            self.quoted += self.at - start;
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

    pub(super) fn and_or(&mut self) -> Result<AndOr, Refused> {
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
    pub(super) fn keyword(&self) -> Option<String> {
        let rest = self.text.get(self.at..)?;
        let end = rest.iter().position(|c| " \t\n;&|()<>".contains(*c)).unwrap_or(rest.len());
        (end > 0 && end <= 8).then(|| rest[..end].iter().collect())
    }

    pub(super) fn command(&mut self) -> Result<Command, Refused> {
        self.deeper(Self::command_here)
    }
}
