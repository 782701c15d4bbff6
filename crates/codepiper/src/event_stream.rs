//! `text/event-stream`, as far as the daemon uses it: `id` and `data`. Bytes in any pieces in, messages out.

/// The longest line, in bytes. An event is a fraction of it; without a limit a broken daemon would fill the
/// memory.
const LINE_MAX: usize = 64 * 1024 * 1024;

/// Puts messages together.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    line: Vec<u8>,
    data: Option<String>,
}

/// A line did not end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Messages {
    /// Takes the next bytes; gives the data of each message that is whole with them.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLong> {
        let mut whole = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line));
            self.take_line(&line, &mut whole);
        }
        self.line.extend_from_slice(rest);
        if self.line.len() > LINE_MAX { Err(TooLong) } else { Ok(whole) }
    }

    fn take_line(&mut self, line: &str, whole: &mut Vec<String>) {
        if line.is_empty() {
            whole.extend(self.data.take());
        } else if let Some(data) = line.strip_prefix("data:") {
            let data = data.strip_prefix(' ').unwrap_or(data);
            match &mut self.data {
                Some(earlier) => {
                    earlier.push('\n');
                    earlier.push_str(data);
                }
                None => self.data = Some(data.to_owned()),
            }
        } // a comment that keeps the line open, or a field we have no use for: an event has its own number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_the_same_in_any_pieces() {
        let stream = ": open\n\nid: 1\ndata: {\"a\":\n data: no\ndata: \"größe\"}\n\nretry: 1\n\r\ndata:x\r\n\r\ndata: cut";
        let expected = ["{\"a\":\n\"größe\"}", "x"];
        for size in 1..stream.len() {
            let mut messages = Messages::default();
            let pieces = stream.as_bytes().chunks(size);
            let got: Vec<String> = pieces.flat_map(|piece| messages.push(piece).unwrap()).collect();
            assert_eq!(got, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_line_has_a_limit() {
        let mut messages = Messages::default();
        let piece = vec![b'x'; LINE_MAX];
        assert_eq!(messages.push(&piece), Ok(vec![]));
        assert_eq!(messages.push(b"y"), Err(TooLong));
    }
}
