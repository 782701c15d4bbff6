//! The form of a session's recording on disk, and of the asciicast made from it.
//!
//! A recording is a row of segment files, each named after the position of its first byte in the session's
//! output. A segment is a row of frames; bytes are kept as they came, since asciicast, being JSON, could not
//! hold a character cut in half or a byte that is no UTF-8. Frames are only appended; a last frame that is
//! not whole yet is not there yet.

use serde_json::json;

/// Bytes of output in one segment. A segment is what is dropped at once when the recording is full.
pub const SEGMENT_MAX: u64 = 1024 * 1024;

/// Segments kept. With the one being written: 16 MiB a session, days of an agent's ordinary output.
pub const SEGMENTS_MAX: usize = 16;

/// The ending of a segment's name.
pub const SEGMENT_ENDING: &str = ".rec";

/// The largest payload of a frame, in bytes; a larger length is damage.
pub const PAYLOAD_MAX: usize = 1024 * 1024;

/// Bytes before the payload of a frame.
pub const HEADER: usize = 16;

/// Something recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// What the agent printed.
    Output(Vec<u8>),
    /// The terminal has this size from here on.
    Resize {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// Something a viewer of the recording may want to jump to.
    Marker(String),
}

/// A segment's file name.
pub fn segment_name(position: u64) -> String {
    format!("{position:016x}{SEGMENT_ENDING}")
}

/// The position in a segment's file name.
pub fn segment_position(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SEGMENT_ENDING)?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// The frame's header and payload, to be written in one piece.
pub fn encode(frame: &Frame, time_ms: u64) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    match frame {
        Frame::Output(output) => bytes.extend_from_slice(output),
        Frame::Resize { cols, rows } => {
            bytes.extend_from_slice(&cols.to_le_bytes());
            bytes.extend_from_slice(&rows.to_le_bytes());
        }
        Frame::Marker(text) => bytes.extend_from_slice(text.as_bytes()),
    }
    let kind = match frame {
        Frame::Output(_) => b'o',
        Frame::Resize { .. } => b'r',
        Frame::Marker(_) => b'm',
    };
    let length = (bytes.len() - HEADER) as u32;
    bytes[..HEADER].copy_from_slice(&header(kind, length, time_ms));
    bytes
}

/// The header of an output frame whose payload is written behind it, without copying it.
pub fn output_header(length: usize, time_ms: u64) -> [u8; HEADER] {
    header(b'o', length as u32, time_ms)
}

fn header(kind: u8, length: u32, time_ms: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = kind;
    header[4..8].copy_from_slice(&length.to_le_bytes());
    header[8..16].copy_from_slice(&time_ms.to_le_bytes());
    header
}

/// What stands at the start of some bytes of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// A frame of so many bytes.
    Frame {
        /// The frame.
        frame: Frame,
        /// When it was recorded, in milliseconds since 1970.
        time_ms: u64,
        /// Bytes it takes in the file.
        size: usize,
    },
    /// Not whole yet: so many bytes are needed at least.
    NeedsMore(usize),
    /// This is no frame: the file is damaged from here on.
    Damaged,
}

/// The size of a frame of output with this header, and the bytes of output in it. `None` for any other frame.
pub fn output_size(header: &[u8; HEADER]) -> Option<(usize, usize)> {
    let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
    (header[..4] == [b'o', 0, 0, 0] && length <= PAYLOAD_MAX).then_some((HEADER + length, length))
}

/// Reads the frame at the start of the bytes.
pub fn decode(bytes: &[u8]) -> Decoded {
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Decoded::NeedsMore(HEADER) };
    let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
    if length > PAYLOAD_MAX || header[1..4] != [0; 3] {
        return Decoded::Damaged;
    }
    let Some(payload) = bytes.get(HEADER..HEADER + length) else {
        return Decoded::NeedsMore(HEADER + length);
    };
    let frame = match (header[0], payload) {
        (b'o', output) => Frame::Output(output.to_vec()),
        (b'r', &[c0, c1, r0, r1]) => {
            Frame::Resize { cols: u16::from_le_bytes([c0, c1]), rows: u16::from_le_bytes([r0, r1]) }
        }
        (b'm', text) => Frame::Marker(String::from_utf8_lossy(text).into_owned()),
        _ => return Decoded::Damaged,
    };
    let time_ms = header[8..].try_into().map_or(0, u64::from_le_bytes);
    Decoded::Frame { frame, time_ms, size: HEADER + length }
}

/// Turns frames into lines of an asciicast v2 file.
pub struct Asciicast {
    start_ms: u64,
    /// The beginning of a character whose rest is in the next frame.
    cut: Vec<u8>,
}

impl Asciicast {
    /// The header line; times count from `start_ms`.
    pub fn begin(cols: u16, rows: u16, start_ms: u64, title: &str) -> (Self, String) {
        let header = json!({
            "version": 2, "width": cols, "height": rows, "timestamp": start_ms / 1_000, "title": title,
        });
        (Self { start_ms, cut: Vec::new() }, format!("{header}\n"))
    }

    /// The line of a frame; empty when it only began a character.
    pub fn line(&mut self, frame: &Frame, time_ms: u64) -> String {
        let (code, data) = match frame {
            Frame::Output(bytes) => ("o", self.text(bytes)),
            Frame::Resize { cols, rows } => ("r", format!("{cols}x{rows}")),
            Frame::Marker(text) => ("m", text.clone()),
        };
        if data.is_empty() {
            return String::new();
        }
        let seconds = time_ms.saturating_sub(self.start_ms) as f64 / 1_000.0;
        format!("{}\n", json!([seconds, code, data]))
    }

    fn text(&mut self, bytes: &[u8]) -> String {
        self.cut.extend_from_slice(bytes);
        let whole = self.cut.len() - cut_character(&self.cut);
        let rest = self.cut.split_off(whole);
        let text = String::from_utf8_lossy(&self.cut).into_owned();
        self.cut = rest;
        text
    }
}

/// How many bytes at the end begin a UTF-8 character that is not whole.
pub fn cut_character(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let byte = bytes[bytes.len() - back];
        if byte & 0b1100_0000 == 0b1000_0000 {
            continue;
        }
        let needs = match byte {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if needs > back { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_segment_is_named_after_its_position() {
        assert_eq!(segment_name(255), "00000000000000ff.rec");
        assert_eq!(segment_position("00000000000000ff.rec"), Some(255));
        for other in ["ff.rec", "00000000000000ff", "00000000000000fg.rec", "run.json"] {
            assert_eq!(segment_position(other), None);
        }
    }

    #[test]
    fn a_frame_that_is_not_whole_is_not_there_yet_and_damage_is_told() {
        let bytes = encode(&Frame::Output(b"hello".to_vec()), 7);
        assert_eq!(decode(&bytes[..3]), Decoded::NeedsMore(16));
        assert_eq!(decode(&bytes[..20]), Decoded::NeedsMore(21));
        let frame = Frame::Output(b"hello".to_vec());
        assert_eq!(decode(&bytes), Decoded::Frame { frame, time_ms: 7, size: 21 });
        assert_eq!(decode(b"zzzzzzzzzzzzzzzzzzzzzz"), Decoded::Damaged);
    }

    #[test]
    fn an_asciicast_has_whole_characters() {
        let (mut cast, header) = Asciicast::begin(120, 30, 10_000, "demo");
        assert_eq!(
            header,
            "{\"height\":30,\"timestamp\":10,\"title\":\"demo\",\"version\":2,\"width\":120}\n"
        );
        let mut line = |frame: Frame, ms| cast.line(&frame, ms);
        assert_eq!(line(Frame::Output(b"caf\xc3".to_vec()), 10_500), "[0.5,\"o\",\"caf\"]\n");
        assert_eq!(
            line(Frame::Output(b"\xa9\x1b[0m\xff".to_vec()), 11_000),
            "[1.0,\"o\",\"é\\u001b[0m\u{fffd}\"]\n"
        );
        assert_eq!(line(Frame::Resize { cols: 80, rows: 24 }, 12_000), "[2.0,\"r\",\"80x24\"]\n");
        assert_eq!(line(Frame::Output(b"\xf0\x9f".to_vec()), 13_000), "");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(output in proptest::collection::vec(any::<u8>(), 0..100), time in any::<u64>()) {
            for frame in [Frame::Output(output.clone()), Frame::Resize { cols: 3, rows: 9 }] {
                let bytes = encode(&frame, time);
                prop_assert_eq!(decode(&bytes), Decoded::Frame { size: bytes.len(), frame, time_ms: time });
            }
        }

        #[test]
        fn any_bytes_are_decoded_to_something(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            decode(&bytes);
            prop_assert!(cut_character(&bytes) <= 3);
        }
    }
}
