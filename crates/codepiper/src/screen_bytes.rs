//! An agent's bytes on their way to a person's terminal: what draws passes, what asks the terminal something
//! or changes how it treats keys, clipboard and window does not. Bytes in any pieces in, bytes out.
//!
//! An answer of the terminal would land in the shell; a keyboard mode would take Ctrl+C away; and what an
//! agent prints is not trusted.

/// The longest sequence that draws, in bytes; colours of a whole line of settings are shorter.
const SEQUENCE_MAX: usize = 128;

/// Private modes that only draw: wrapping, cursor, alternate screen, updates at once.
const DRAWING_MODES: [&[u8]; 7] = [b"7", b"12", b"25", b"47", b"1047", b"1049", b"2026"];

/// Lets through what draws.
#[derive(Debug, Default)]
pub(crate) struct Drawing {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Text,
    /// After 0xC2, which may begin a control character of two bytes.
    TwoBytes,
    /// After ESC.
    Escape,
    /// After `ESC [`; the parameters so far.
    Sequence(Vec<u8>),
    /// In a title, a clipboard, a question of several characters; whether ESC came last.
    Message { escape: bool },
}

impl Drawing {
    /// Takes the next bytes.
    pub(crate) fn filter(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            let state = std::mem::take(&mut self.state);
            self.state = next(state, byte, &mut out);
        }
        out
    }
}

fn next(state: State, byte: u8, out: &mut Vec<u8>) -> State {
    match (state, byte) {
        (State::Text | State::TwoBytes | State::Escape | State::Sequence(_), 0x1b) => State::Escape,
        (State::Text, 0xc2) => State::TwoBytes,
        (State::Text, 0x05) => State::Text, // asks who is there
        (State::Text, _) => {
            out.push(byte);
            State::Text
        }
        (State::TwoBytes, 0x80..=0x9f) => State::Text,
        (State::TwoBytes, _) => {
            out.extend([0xc2, byte]);
            State::Text
        }
        (State::Escape, b'[') => State::Sequence(Vec::new()),
        (State::Escape, b']' | b'P' | b'_' | b'^' | b'X') => State::Message { escape: false },
        (State::Escape, b'Z' | b'\\' | b'c') => State::Text, // who are you; an end of nothing; reset everything
        (State::Escape, _) => {
            out.extend([0x1b, byte]);
            State::Text
        }
        (State::Sequence(parameters), 0x40..=0x7e) => {
            if draws(&parameters, byte) {
                out.extend(b"\x1b[");
                out.extend(parameters);
                out.push(byte);
            }
            State::Text
        }
        (State::Sequence(mut parameters), 0x20..=0x3f) if parameters.len() < SEQUENCE_MAX => {
            parameters.push(byte);
            State::Sequence(parameters)
        }
        (State::Sequence(_), _) => State::Text, // no sequence after all
        (State::Message { escape: true }, b'\\') | (State::Message { .. }, 0x07) => State::Text,
        (State::Message { .. }, _) => State::Message { escape: byte == 0x1b },
    }
}

fn draws(parameters: &[u8], last: u8) -> bool {
    let plain = parameters.iter().all(|byte| byte.is_ascii_digit() || b";:".contains(byte));
    match (parameters.strip_prefix(b"?"), last) {
        (Some(modes), b'h' | b'l') => {
            modes.split(|byte| *byte == b';').all(|mode| DRAWING_MODES.contains(&mode))
        }
        (Some(_), _) => false,
        (None, b'c' | b'n' | b'p' | b'q' | b't' | b'x') => false,
        (None, _) => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &str, expected: &str) {
        for size in [1, 2, 3, bytes.len().max(1)] {
            let mut drawing = Drawing::default();
            let got: Vec<u8> =
                bytes.as_bytes().chunks(size).flat_map(|piece| drawing.filter(piece)).collect();
            assert_eq!(String::from_utf8_lossy(&got), expected, "for {bytes:?} in pieces of {size}");
        }
    }

    #[test]
    fn what_draws_passes() {
        for drawing in [
            "plain größe 日本 \u{a0}\r\n\ttext\x07",
            "\x1b[1;31mred\x1b[0m\x1b[38;2;1;2;3mx\x1b[4:3m",
            "\x1b[2J\x1b[H\x1b[10;20H\x1b[K\x1b[3A\x1b[2;20r\x1b7\x1b8\x1bM\x1b(B",
            "\x1b[?25l\x1b[?1049h\x1b[?2026h\x1b[?25h",
        ] {
            check(drawing, drawing);
        }
    }

    #[test]
    fn what_asks_or_changes_the_terminal_does_not() {
        check("a\x1b]52;c;aGk=\x07b", "ab"); // the clipboard
        check("a\x1b]0;title\x1b\\b", "ab");
        check("a\x1b]11;?\x1b\\b", "ab"); // which background
        check("a\x1bP+q544e\x1b\\b\x1b_Gx\x1b\\c", "abc");
        check("a\x1b[c\x1b[>c\x1b[6n\x1b[>0q\x1b[?2026$p\x1b[18t\x1bZ\x05b", "ab");
        check("a\x1b[>1u\x1b[?u\x1b[>4;2m\x1b[=1;1u\x1b[<ub", "ab"); // keyboards
        check("a\x1b[?1000h\x1b[?1006;25h\x1b[?2004h\x1b[?1004hb", "ab"); // mouse, paste, focus
        check("a\x1b[1 q\x1b[!p\x1bcb", "ab"); // shape of the cursor, resets
        check("a\u{9d}52;c;x\u{9b}cb", "a52;c;xcb");
        check("a\x1b[12\x1b[31mb", "a\x1b[31mb");
        check(&format!("a\x1b[{}mb", "1;".repeat(100)), &format!("a{}mb", ";1".repeat(35) + ";")); // no end in sight
    }
}
