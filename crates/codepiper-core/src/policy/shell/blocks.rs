//! Reads what holds other commands: loops, `if`, `case`, groups, functions, tests.

use super::parse::{KEYWORDS_THAT_CLOSE, Parser, Refused, SYNTAX};
use super::script::*;

impl Parser {
    pub(super) fn command_here(&mut self) -> Result<Command, Refused> {
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

    pub(super) fn function(&mut self, name: String) -> Result<Command, Refused> {
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
}
