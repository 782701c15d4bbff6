//! Control mode as a parser: bytes in, items out. It does no I/O and never panics.

/// The longest line taken, in bytes. The longest real ones are captured screens, far below it; a longer one
/// is cut, which only garbles its own answer.
const LINE_MAX: usize = 4 * 1024 * 1024;

/// What tmux said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// The answer to one command.
    Answer {
        /// Whether the command came from this client.
        ours: bool,
        /// Whether it succeeded.
        ok: bool,
        /// What it printed.
        body: Vec<u8>,
    },
    /// A session came or went.
    SessionsChanged,
    /// The client is leaving.
    Exit,
    /// Anything else.
    Other,
}

/// The parser's place in the stream.
#[derive(Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    answer: Option<Open>,
}

struct Open {
    number: Vec<u8>,
    ours: bool,
    body: Vec<u8>,
}

impl Parser {
    /// Takes the next bytes; gives what they complete.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut give: impl FnMut(Item)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                let mut line = std::mem::take(&mut self.line);
                while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                    line.pop();
                }
                if let Some(item) = self.take(&line) {
                    give(item);
                }
                line.clear();
                self.line = line;
            }
        }
    }

    fn take(&mut self, line: &[u8]) -> Option<Item> {
        let mut words = line.split(|byte| *byte == b' ');
        let first = words.next().unwrap_or_default();
        if let Some(open) = &mut self.answer {
            // Within an answer only its own end counts: a screen may show text that looks like ours.
            let ends = matches!(first, b"%end" | b"%error") && words.nth(1) == Some(open.number.as_slice());
            if !ends {
                if open.body.len() < LINE_MAX {
                    open.body.extend_from_slice(line);
                    open.body.push(b'\n');
                }
                return None;
            }
            let open = self.answer.take()?;
            return Some(Item::Answer { ours: open.ours, ok: first == b"%end", body: open.body });
        }
        match first {
            b"%begin" => {
                let number = words.nth(1).unwrap_or_default().to_vec();
                let ours = words.next() == Some(b"1");
                self.answer = Some(Open { number, ours, body: Vec::new() });
                None
            }
            b"%sessions-changed" => Some(Item::SessionsChanged),
            b"%exit" => Some(Item::Exit),
            _ => Some(Item::Other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REAL: &[u8] = b"%begin 1795210092 283 0\n%end 1795210092 283 0\n%session-changed $1 a\n\
        %begin 1795210093 285 1\n%3 4711 0\n%end of a line\n%end 1 2 3\n%end 1795210093 285 1\n\
        %begin 1795210093 286 1\ncan't find pane: %9\n%error 1795210093 286 1\n%sessions-changed\n%exit\n";

    fn items(pieces: &[&[u8]]) -> Vec<Item> {
        let mut parser = Parser::default();
        let mut items = Vec::new();
        for piece in pieces {
            parser.feed(piece, |item| items.push(item));
        }
        items
    }

    #[test]
    fn answers_are_told_from_what_looks_like_them() {
        let answer = |ours, ok, body: &str| Item::Answer { ours, ok, body: body.as_bytes().to_vec() };
        assert_eq!(
            items(&[REAL]),
            [
                answer(false, true, ""),
                Item::Other,
                answer(true, true, "%3 4711 0\n%end of a line\n%end 1 2 3\n"),
                answer(true, false, "can't find pane: %9\n"),
                Item::SessionsChanged,
                Item::Exit,
            ]
        );
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(cuts in proptest::collection::vec(0..REAL.len(), 0..20)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut start = 0;
            for cut in cuts {
                pieces.push(&REAL[start..cut]);
                start = cut;
            }
            pieces.push(&REAL[start..]);
            prop_assert_eq!(items(&pieces), items(&[REAL]));
        }

        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            items(&[&bytes]);
        }
    }
}
