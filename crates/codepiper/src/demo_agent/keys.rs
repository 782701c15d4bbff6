//! Bytes from the terminal to keys. Pure; a sequence may arrive in any number of pieces.

/// A pasted text longer than this is cut: 8 MiB is far above what a person means to paste.
const PASTE_MAX: usize = 8 << 20;

const PASTE_END: &[u8] = b"\x1b[201~";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    NewLine,
    BackTab,
    Backspace,
    Delete,
    Left,
    Right,
    WordLeft,
    WordRight,
    Up,
    Down,
    Home,
    End,
    Esc,
    Ctrl(char),
    /// A bracketed paste, whole, with `\n` for its line ends.
    Paste(String),
}

#[derive(Default)]
pub(super) struct Decoder {
    pending: Vec<u8>,
    paste: Option<Vec<u8>>,
}

impl Decoder {
    pub(super) fn feed(&mut self, mut bytes: &[u8], keys: &mut impl Extend<Key>) {
        if !self.pending.is_empty() && self.paste.is_none() {
            self.pending.extend_from_slice(bytes);
            let pending = std::mem::take(&mut self.pending);
            return self.decode(&pending, keys);
        }
        if self.paste.is_some() {
            bytes = match self.paste_on(bytes, keys) {
                Some(rest) => rest,
                None => return,
            };
        }
        self.decode(bytes, keys);
    }

    /// An ESC with nothing behind it yet is either the key or the beginning of a sequence: only time tells.
    pub(super) fn is_undecided(&self) -> bool {
        self.paste.is_none() && !self.pending.is_empty()
    }

    /// Time told: what is pending is an Esc, followed by what it seems to be.
    pub(super) fn decide(&mut self, keys: &mut impl Extend<Key>) {
        let pending = std::mem::take(&mut self.pending);
        if let Some(rest) = pending.strip_prefix(b"\x1b") {
            keys.extend([Key::Esc]);
            for &byte in rest {
                keys.extend(single(byte));
            }
        }
    }

    fn decode(&mut self, mut bytes: &[u8], keys: &mut impl Extend<Key>) {
        while let Some(&first) = bytes.first() {
            let (key, used) = match first {
                0x1b => match escape(bytes) {
                    Escape::Incomplete => {
                        self.pending = bytes.to_vec();
                        return;
                    }
                    Escape::Paste(used) => {
                        self.paste = Some(Vec::new());
                        match self.paste_on(&bytes[used..], keys) {
                            Some(rest) => {
                                bytes = rest;
                                continue;
                            }
                            None => return,
                        }
                    }
                    Escape::Key(key, used) => (key, used),
                },
                0..=0x7f => (single(first), 1),
                _ => match utf8(bytes) {
                    Some(found) => found,
                    None => {
                        self.pending = bytes.to_vec();
                        return;
                    }
                },
            };
            keys.extend(key);
            bytes = &bytes[used..];
        }
    }

    /// Goes on with a paste; the rest behind its end, if its end is here.
    fn paste_on<'a>(&mut self, bytes: &'a [u8], keys: &mut impl Extend<Key>) -> Option<&'a [u8]> {
        let paste = self.paste.as_mut()?;
        let before = paste.len();
        paste.extend_from_slice(bytes);
        // The end may have begun in the piece before this one.
        let from = before.saturating_sub(PASTE_END.len() - 1);
        let found = paste[from..].windows(PASTE_END.len()).position(|window| window == PASTE_END);
        let Some(end) = found.map(|at| from + at) else {
            if paste.len() > PASTE_MAX {
                // Keep the tail, where the end may be beginning.
                let tail = paste.split_off(paste.len() - PASTE_END.len());
                paste.truncate(PASTE_MAX - PASTE_END.len());
                paste.extend(tail);
            }
            return None;
        };
        let rest = (end + PASTE_END.len()).saturating_sub(before);
        paste.truncate(end);
        let text = String::from_utf8_lossy(paste).replace("\r\n", "\n").replace('\r', "\n");
        self.paste = None;
        keys.extend([Key::Paste(text)]);
        Some(&bytes[rest..])
    }
}

enum Escape {
    Incomplete,
    /// A paste begins behind so many bytes.
    Paste(usize),
    Key(Option<Key>, usize),
}

fn escape(bytes: &[u8]) -> Escape {
    match bytes.get(1) {
        None => Escape::Incomplete,
        Some(b'[') => {
            let Some(end) = bytes[2..].iter().position(|byte| (0x40..=0x7e).contains(byte)) else {
                // No sequence of ours is longer; what is, is noise.
                return if bytes.len() > 32 { Escape::Key(None, bytes.len()) } else { Escape::Incomplete };
            };
            let end = 2 + end;
            let parameters = &bytes[2..end];
            let modified = parameters.starts_with(b"1;");
            let key = match (bytes[end], parameters) {
                (b'~', b"200") => return Escape::Paste(end + 1),
                (b'A', _) => Some(Key::Up),
                (b'B', _) => Some(Key::Down),
                (b'C', _) if modified => Some(Key::WordRight),
                (b'D', _) if modified => Some(Key::WordLeft),
                (b'C', _) => Some(Key::Right),
                (b'D', _) => Some(Key::Left),
                (b'H', _) | (b'~', b"1" | b"7") => Some(Key::Home),
                (b'F', _) | (b'~', b"4" | b"8") => Some(Key::End),
                (b'~', b"3") => Some(Key::Delete),
                (b'Z', _) => Some(Key::BackTab),
                _ => None,
            };
            Escape::Key(key, end + 1)
        }
        Some(b'O') => match bytes.get(2) {
            None => Escape::Incomplete,
            Some(last) => {
                let key = match last {
                    b'A' => Some(Key::Up),
                    b'B' => Some(Key::Down),
                    b'C' => Some(Key::Right),
                    b'D' => Some(Key::Left),
                    b'H' => Some(Key::Home),
                    b'F' => Some(Key::End),
                    b'M' => Some(Key::Enter),
                    _ => None,
                };
                Escape::Key(key, 3)
            }
        },
        Some(b'\r' | b'\n') => Escape::Key(Some(Key::NewLine), 2),
        Some(b'b') => Escape::Key(Some(Key::WordLeft), 2),
        Some(b'f') => Escape::Key(Some(Key::WordRight), 2),
        Some(_) => Escape::Key(Some(Key::Esc), 1),
    }
}

fn single(byte: u8) -> Option<Key> {
    match byte {
        b'\r' => Some(Key::Enter),
        b'\n' => Some(Key::NewLine),
        b'\t' => Some(Key::Ctrl('i')),
        0x7f | 0x08 => Some(Key::Backspace),
        1..=26 => Some(Key::Ctrl((b'a' + byte - 1) as char)),
        0x20..=0x7e => Some(Key::Char(byte as char)),
        _ => None,
    }
}

/// One character, or what stands for a broken one; `None` while more bytes must come.
fn utf8(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    let length = match bytes[0] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Some((Some(Key::Char('\u{fffd}')), 1)),
    };
    let have = &bytes[..length.min(bytes.len())];
    match std::str::from_utf8(have) {
        Ok(text) => Some((text.chars().next().map(Key::Char), length)),
        Err(error) if error.error_len().is_none() && bytes.len() < length => None,
        Err(_) => Some((Some(Key::Char('\u{fffd}')), 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the pieces, the keys are the same.
    fn check(bytes: &[u8], expected: &[Key]) {
        for piece in [1, 2, 3, 7, bytes.len().max(1)] {
            let mut decoder = Decoder::default();
            let mut keys = Vec::new();
            for part in bytes.chunks(piece) {
                decoder.feed(part, &mut keys);
            }
            decoder.decide(&mut keys);
            assert_eq!(keys, expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn keys_come_out_however_the_bytes_are_cut() {
        check("aé日".as_bytes(), &[Key::Char('a'), Key::Char('é'), Key::Char('日')]);
        check(b"\x1b[A\x1b[1;5D\x1bOH\x1b[3~", &[Key::Up, Key::WordLeft, Key::Home, Key::Delete]);
        check(b"\x01\x7f\r\n", &[Key::Ctrl('a'), Key::Backspace, Key::Enter, Key::NewLine]);
        check(b"\x1b", &[Key::Esc]);
        check(b"\x1b[I\x1b[Ox", &[Key::Char('x')]);
    }

    #[test]
    fn a_paste_is_one_key_with_its_lines() {
        check(
            b"a\x1b[200~one\rtwo\r\nthree \x1b[31m\x1b[201~\r",
            &[Key::Char('a'), Key::Paste("one\ntwo\nthree \x1b[31m".to_owned()), Key::Enter],
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown_as_such() {
        check(b"\xffa\xc3(", &[Key::Char('\u{fffd}'), Key::Char('a'), Key::Char('\u{fffd}'), Key::Char('(')]);
    }
}
