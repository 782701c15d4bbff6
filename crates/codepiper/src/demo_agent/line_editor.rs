//! The prompt being written: keys in, text out. Pure; it knows nothing of the screen but columns.

use super::keys::Key;
use crate::text;

/// A paste longer than either is shown as `[Pasted text #1 +N lines]` and kept whole.
const PASTE_SHOWN_LINES: usize = 3;
const PASTE_SHOWN_CHARS: usize = 800;

/// Prompts remembered for ↑. A person goes back a few; a script of thousands must not grow us.
const HISTORY_MAX: usize = 100;

#[derive(Default)]
pub(super) struct LineEditor {
    atoms: Vec<Atom>,
    cursor: usize,
    pastes: usize,
    history: Vec<Vec<Atom>>,
    /// The place in the history being looked at, and what was being written before looking.
    browsing: Option<(usize, Vec<Atom>)>,
}

/// What the cursor steps over as one: a character, or a paste that is not spelled out.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Atom {
    Char(char),
    Paste { number: usize, text: String },
}

/// What a key did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Edit {
    Changed,
    Ignored,
    Submitted(Submission),
}

/// A prompt as it is meant, and as it looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Submission {
    pub(super) text: String,
    pub(super) shown: String,
}

/// Rows to draw, and where the cursor is in them.
pub(super) struct Layout {
    pub(super) rows: Vec<String>,
    pub(super) cursor_row: usize,
    pub(super) cursor_column: usize,
}

impl LineEditor {
    pub(super) fn is_empty(&self) -> bool {
        self.atoms.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.atoms.clear();
        self.cursor = 0;
        self.browsing = None;
    }

    pub(super) fn key(&mut self, key: Key) -> Edit {
        let before = (self.cursor, self.atoms.len());
        match key {
            Key::Char(c) => self.insert([Atom::Char(c)]),
            Key::NewLine => self.insert([Atom::Char('\n')]),
            Key::Paste(pasted) => self.paste(pasted),
            Key::Enter => return self.enter(),
            Key::Backspace | Key::Ctrl('h') => self.delete(self.left(self.cursor), self.cursor),
            Key::Delete | Key::Ctrl('d') => self.delete(self.cursor, self.right(self.cursor)),
            Key::Left | Key::Ctrl('b') => self.cursor = self.left(self.cursor),
            Key::Right | Key::Ctrl('f') => self.cursor = self.right(self.cursor),
            Key::WordLeft => self.cursor = self.word_left(),
            Key::WordRight => self.cursor = self.word_right(),
            Key::Home | Key::Ctrl('a') => self.cursor = self.line_start(),
            Key::End | Key::Ctrl('e') => self.cursor = self.line_end(),
            Key::Ctrl('u') => {
                // At the start of a line it takes the line end, so that repeating it clears everything.
                let from = match self.line_start() {
                    start if start == self.cursor => self.left(start),
                    start => start,
                };
                self.delete(from, self.cursor);
            }
            Key::Ctrl('k') => {
                let to = match self.line_end() {
                    end if end == self.cursor => self.right(end),
                    end => end,
                };
                self.delete(self.cursor, to);
            }
            Key::Ctrl('w') => self.delete(self.word_left(), self.cursor),
            Key::Up | Key::Ctrl('p') => return self.up(),
            Key::Down | Key::Ctrl('n') => return self.down(),
            Key::BackTab | Key::Esc | Key::Ctrl(_) => return Edit::Ignored,
        }
        if before == (self.cursor, self.atoms.len()) { Edit::Ignored } else { Edit::Changed }
    }

    /// What would be submitted.
    pub(super) fn text(&self) -> String {
        self.atoms.iter().fold(String::new(), |mut text, atom| {
            match atom {
                Atom::Char(c) => text.push(*c),
                Atom::Paste { text: pasted, .. } => text.push_str(pasted),
            }
            text
        })
    }

    /// The rows in so many columns.
    pub(super) fn layout(&self, columns: usize) -> Layout {
        let columns = columns.max(4);
        let mut rows = vec![String::new()];
        let (mut used, mut at) = (0, None);
        for (index, atom) in self.atoms.iter().enumerate() {
            let shown = match atom {
                Atom::Char('\n') => {
                    if index == self.cursor {
                        at = Some((rows.len() - 1, used));
                    }
                    rows.push(String::new());
                    used = 0;
                    continue;
                }
                Atom::Char('\t') => "    ".to_owned(),
                Atom::Char(c) if c.is_control() => "·".to_owned(),
                Atom::Char(c) => c.to_string(),
                Atom::Paste { .. } => atom.shown(),
            };
            let mut first = true;
            for c in shown.chars() {
                let wide = text::char_width(c);
                if used + wide > columns {
                    rows.push(String::new());
                    used = 0;
                }
                if first && index == self.cursor {
                    at = Some((rows.len() - 1, used));
                }
                first = false;
                if let Some(row) = rows.last_mut() {
                    row.push(c);
                }
                used += wide;
            }
        }
        let (cursor_row, cursor_column) = at.unwrap_or((rows.len() - 1, used));
        Layout { rows, cursor_row, cursor_column }
    }

    fn insert(&mut self, atoms: impl IntoIterator<Item = Atom>) {
        let before = self.atoms.len();
        self.atoms.splice(self.cursor..self.cursor, atoms);
        self.cursor += self.atoms.len() - before;
    }

    fn paste(&mut self, pasted: String) {
        let lines = pasted.matches('\n').count() + 1;
        if lines > PASTE_SHOWN_LINES || pasted.chars().take(PASTE_SHOWN_CHARS + 1).count() > PASTE_SHOWN_CHARS
        {
            self.pastes += 1;
            self.insert([Atom::Paste { number: self.pastes, text: pasted }]);
        } else {
            self.insert(pasted.chars().map(Atom::Char).collect::<Vec<_>>());
        }
    }

    fn enter(&mut self) -> Edit {
        // A backslash before Enter continues on the next line.
        if self.cursor == self.atoms.len() && self.atoms.last() == Some(&Atom::Char('\\')) {
            self.atoms.pop();
            self.cursor -= 1;
            self.insert([Atom::Char('\n')]);
            return Edit::Changed;
        }
        let text = self.text().trim().to_owned();
        if text.is_empty() {
            return Edit::Ignored;
        }
        let shown = self.atoms.iter().map(Atom::shown).collect::<String>().trim().to_owned();
        let atoms = std::mem::take(&mut self.atoms);
        self.clear();
        if self.history.last() != Some(&atoms) {
            self.history.push(atoms);
        }
        if self.history.len() > HISTORY_MAX {
            self.history.remove(0);
        }
        Edit::Submitted(Submission { text, shown })
    }

    fn delete(&mut self, from: usize, to: usize) {
        self.atoms.drain(from..to);
        self.cursor = from;
    }

    /// The place one step to the left; what joins the character before it goes with it.
    fn left(&self, mut at: usize) -> usize {
        while at > 0 {
            at -= 1;
            let after_joiner = at > 0 && self.atoms[at - 1] == Atom::Char('\u{200d}');
            if !self.atoms[at].joins() && !after_joiner {
                break;
            }
        }
        at
    }

    fn right(&self, mut at: usize) -> usize {
        at = (at + 1).min(self.atoms.len());
        while at < self.atoms.len()
            && (self.atoms[at].joins() || self.atoms[at - 1] == Atom::Char('\u{200d}'))
        {
            at += 1;
        }
        at
    }

    fn word_left(&self) -> usize {
        let mut at = self.cursor;
        while at > 0 && self.atoms[at - 1].is_blank() {
            at -= 1;
        }
        while at > 0 && !self.atoms[at - 1].is_blank() {
            at -= 1;
        }
        at
    }

    fn word_right(&self) -> usize {
        let mut at = self.cursor;
        while at < self.atoms.len() && self.atoms[at].is_blank() {
            at += 1;
        }
        while at < self.atoms.len() && !self.atoms[at].is_blank() {
            at += 1;
        }
        at
    }

    fn line_start(&self) -> usize {
        let newline = Atom::Char('\n');
        self.atoms[..self.cursor].iter().rposition(|atom| *atom == newline).map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        let newline = Atom::Char('\n');
        let rest = self.atoms[self.cursor..].iter().position(|atom| *atom == newline);
        rest.map_or(self.atoms.len(), |at| self.cursor + at)
    }

    /// Up goes a line up, and from the first line into the history.
    fn up(&mut self) -> Edit {
        let start = self.line_start();
        if start > 0 {
            let column = self.cursor - start;
            self.cursor = start - 1;
            self.cursor = (self.line_start() + column).min(start - 1);
            return Edit::Changed;
        }
        let place = self.browsing.as_ref().map_or(self.history.len(), |(place, _)| *place);
        if place == 0 {
            return Edit::Ignored;
        }
        self.show_history(place - 1);
        Edit::Changed
    }

    fn down(&mut self) -> Edit {
        let (start, end) = (self.line_start(), self.line_end());
        if end < self.atoms.len() {
            let column = self.cursor - start;
            self.cursor = end + 1;
            self.cursor = (self.cursor + column).min(self.line_end());
            return Edit::Changed;
        }
        match self.browsing.take() {
            None => Edit::Ignored,
            Some((place, draft)) if place + 1 >= self.history.len() => {
                self.atoms = draft;
                self.cursor = self.atoms.len();
                Edit::Changed
            }
            Some((place, draft)) => {
                self.browsing = Some((place, draft));
                self.show_history(place + 1);
                Edit::Changed
            }
        }
    }

    fn show_history(&mut self, place: usize) {
        let shown = self.history[place].clone();
        let draft = match self.browsing.take() {
            Some((_, draft)) => draft,
            None => std::mem::take(&mut self.atoms),
        };
        self.browsing = Some((place, draft));
        self.atoms = shown;
        self.cursor = self.atoms.len();
    }
}

impl Atom {
    fn shown(&self) -> String {
        match self {
            Atom::Char(c) => c.to_string(),
            Atom::Paste { number, text } => match text.matches('\n').count() {
                0 => format!("[Pasted text #{number}]"),
                lines => format!("[Pasted text #{number} +{lines} lines]"),
            },
        }
    }

    fn joins(&self) -> bool {
        matches!(self, Atom::Char(c) if !c.is_control() && text::char_width(*c) == 0)
    }

    fn is_blank(&self) -> bool {
        matches!(self, Atom::Char(c) if c.is_whitespace())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys as text: `<left>` and the like are keys, everything else is typed. The result shows `|` for the
    /// cursor and `⏎` for each submitted text.
    fn check(keys: &str, expected: &str) {
        let mut editor = LineEditor::default();
        let mut got = String::new();
        for key in read(keys) {
            if let Edit::Submitted(submission) = editor.key(key) {
                got.push_str(&submission.text);
                got.push('⏎');
            }
        }
        let mut shown: Vec<String> = editor.atoms.iter().map(Atom::shown).collect();
        shown.insert(editor.cursor, "|".to_owned());
        got.push_str(&shown.concat());
        assert_eq!(got, expected, "for {keys:?}");
    }

    fn read(mut keys: &str) -> Vec<Key> {
        let mut out = Vec::new();
        while let Some(c) = keys.chars().next() {
            if let Some((name, rest)) = keys.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
                out.push(match name {
                    "left" => Key::Left,
                    "right" => Key::Right,
                    "up" => Key::Up,
                    "down" => Key::Down,
                    "home" => Key::Home,
                    "end" => Key::End,
                    "bs" => Key::Backspace,
                    "del" => Key::Delete,
                    "enter" => Key::Enter,
                    "nl" => Key::NewLine,
                    "wl" => Key::WordLeft,
                    "wr" => Key::WordRight,
                    name => match name.strip_prefix("c-") {
                        Some(letter) => Key::Ctrl(letter.chars().next().expect("a letter")),
                        None => Key::Paste(name.strip_prefix("p:").expect("a known key").to_owned()),
                    },
                });
                keys = rest;
            } else {
                out.push(Key::Char(c));
                keys = &keys[c.len_utf8()..];
            }
        }
        out
    }

    #[test]
    fn typing_moving_and_deleting() {
        check("abc", "abc|");
        check("abc<left><left>X", "aX|bc");
        check("abc<home><del>", "|bc");
        check("abc<c-a>X<c-e>Y", "XabcY|");
        check("one two  <c-w>", "one |");
        check("one two<left><c-k>", "one tw|");
        check("one<nl>two<c-u>", "one\n|");
        check("one<nl>two<c-u><c-u><c-u>", "|");
        check("one two<wl><bs>", "one|two");
        check("one two<home><wr>!", "one!| two");
    }

    #[test]
    fn a_step_is_what_the_eye_takes_for_a_character() {
        check("ne\u{301}t<left><bs>", "n|t");
        check("👩\u{200d}🚀<bs>", "|");
        check("日本<left>x", "日x|本");
    }

    #[test]
    fn enter_submits_what_is_not_blank() {
        check(" hi <enter>", "hi⏎|");
        check("  <enter>", "  |");
        check("one\\<enter>two<enter>", "one\ntwo⏎|");
        check("one<nl>two<enter>", "one\ntwo⏎|");
    }

    #[test]
    fn history_keeps_the_draft() {
        check("one<enter>two<enter>dr<up>", "one⏎two⏎two|");
        check("one<enter>two<enter>dr<up><up><up>", "one⏎two⏎one|");
        check("one<enter>two<enter>dr<up><up><down><down>", "one⏎two⏎dr|");
        check("ab<nl>cde<up>X", "abX|\ncde");
        check("ab<nl>cde<up><down>X", "ab\ncdX|e");
    }

    #[test]
    fn a_long_paste_is_one_step_and_arrives_whole() {
        check("a<p:x\ny>b", "ax\nyb|");
        check("a<p:1\n2\n3\n4>b", "a[Pasted text #1 +3 lines]b|");
        check("a<p:1\n2\n3\n4><bs>b", "ab|");
        check("a <p:1\n2\n3\n4> b<enter>", "a 1\n2\n3\n4 b⏎|");
    }

    #[test]
    fn rows_wrap_at_the_width_and_the_cursor_goes_along() {
        let mut editor = LineEditor::default();
        for c in "日本語abc".chars() {
            editor.key(Key::Char(c));
        }
        let layout = editor.layout(5);
        assert_eq!(layout.rows, ["日本", "語abc"]);
        assert_eq!((layout.cursor_row, layout.cursor_column), (1, 5));
    }
}
