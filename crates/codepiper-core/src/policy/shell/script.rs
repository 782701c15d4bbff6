//! A script as it was read: what stands where, nothing expanded yet.

/// Commands in a row.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    pub(super) lists: Vec<AndOr>,
}

/// `a && b || c`.
#[derive(Debug, Clone)]
pub(super) struct AndOr {
    pub(super) first: Pipeline,
    /// With `true` for `&&`.
    pub(super) rest: Vec<(bool, Pipeline)>,
    /// In the background: changes nothing for what follows.
    pub(super) detached: bool,
}

impl AndOr {
    pub(super) fn of(command: Command) -> Self {
        Self { first: Pipeline { commands: vec![command] }, rest: Vec::new(), detached: false }
    }
}

/// `a | b`.
#[derive(Debug, Clone)]
pub(super) struct Pipeline {
    pub(super) commands: Vec<Command>,
}

#[derive(Debug, Clone)]
pub(super) enum Command {
    Simple(Simple),
    /// `( … )`, `{ … }`, loops, `if`, `case`, `[[ … ]]`, `(( … ))`: what they run, and the words they look at.
    Block {
        kind: Block,
        /// The variable that a loop sets.
        variable: Option<String>,
        words: Vec<Word>,
        bodies: Vec<Script>,
        redirects: Vec<Redirect>,
    },
    Function {
        name: String,
        body: Box<Command>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    Subshell,
    Group,
    /// Bodies that may run or not, or more than once.
    Branches,
    For,
    /// Only words.
    Test,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Simple {
    pub(super) assignments: Vec<Assignment>,
    pub(super) words: Vec<Word>,
    pub(super) redirects: Vec<Redirect>,
    /// As it was written.
    pub(super) source: String,
}

#[derive(Debug, Clone)]
pub(super) struct Assignment {
    pub(super) name: String,
    /// `x=…`, and nothing like `x+=…`, `x[1]=…`, `x=(…)`.
    pub(super) plain: bool,
    pub(super) values: Vec<Word>,
    pub(super) source: String,
}

#[derive(Debug, Clone)]
pub(super) struct Redirect {
    pub(super) kind: RedirectKind,
    pub(super) target: Word,
    /// The place of a here-document's text among the script's.
    pub(super) document: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RedirectKind {
    Read,
    Write,
    Both,
    /// A here-document or here-string.
    Here,
    /// Another descriptor; no file.
    Descriptor,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Word {
    pub(super) atoms: Vec<Atom>,
    pub(super) source: String,
}

#[derive(Debug, Clone)]
pub(super) enum Atom {
    /// A character; a quoted one means only itself.
    Char { c: char, quoted: bool },
    /// `$x`, `${x}`.
    Variable { name: String, quoted: bool },
    /// Any other expansion: what it gives isn't looked at, but what it runs is.
    Other { source: String, runs: Vec<Script>, number: bool },
    /// `<( … )`, `>( … )`: a name nobody knows, and what is run.
    Process { source: String, runs: Script },
}

impl Word {
    /// The text, when all of it is characters.
    pub(super) fn literal(&self) -> Option<String> {
        self.atoms.iter().map(|atom| if let Atom::Char { c, .. } = atom { Some(*c) } else { None }).collect()
    }

    /// The text of a word without any quotes, as keywords must be.
    pub(super) fn bare(&self) -> Option<String> {
        self.atoms
            .iter()
            .map(|atom| if let Atom::Char { c, quoted: false } = atom { Some(*c) } else { None })
            .collect()
    }

    pub(super) fn is_quoted(&self) -> bool {
        self.atoms.iter().any(|atom| matches!(atom, Atom::Char { quoted: true, .. })) || self.atoms.is_empty()
    }
}
