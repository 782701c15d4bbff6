//! The least of HTTP over a Unix socket, blocking: one connection kept open, and a stream that goes on.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

/// A connection that is kept.
pub(super) struct Wire {
    stream: BufReader<UnixStream>,
}

impl Wire {
    pub(super) fn connect(socket: &Path) -> Result<Self> {
        Ok(Self { stream: BufReader::with_capacity(256 * 1024, UnixStream::connect(socket)?) })
    }

    /// A request that must succeed; the body of its answer.
    pub(super) fn ask(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<Vec<u8>> {
        self.send(method, path, headers, body)?;
        let length = self.head()?.context("the answer has no length")?;
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        Ok(answer)
    }

    /// A request with a JSON body.
    pub(super) fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        let headers = "content-type: application/json\r\n";
        let answer = self.ask("POST", path, headers, body.to_string().as_bytes())?;
        Ok(if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer)? })
    }

    fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<()> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: bench\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        Ok(self.stream.get_mut().write_all(&[head.as_bytes(), body].concat())?)
    }

    /// The length of the body, or `None` for one in chunks.
    fn head(&mut self) -> Result<Option<usize>> {
        let (mut line, mut status, mut length) = (String::new(), String::new(), None);
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                bail!("the daemon hung up");
            }
            match line.trim_end().to_ascii_lowercase() {
                end if end.is_empty() => break,
                first if status.is_empty() => status = first,
                header => {
                    if let Some(value) = header.strip_prefix("content-length:") {
                        length = Some(value.trim().parse()?);
                    }
                }
            }
        }
        if !status.starts_with("http/1.1 2") {
            let mut why = vec![0; length.unwrap_or(0)];
            self.stream.read_exact(&mut why)?;
            bail!("{status}: {}", String::from_utf8_lossy(&why));
        }
        Ok(length)
    }

    /// The next piece of a body in chunks; `None` at its end.
    fn chunk(&mut self, piece: &mut Vec<u8>) -> Result<bool> {
        let mut size = String::new();
        self.stream.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).context("the size of a chunk")?;
        piece.resize(size + 2, 0);
        self.stream.read_exact(piece)?;
        piece.truncate(size);
        Ok(size > 0)
    }
}

/// Output on its way to a viewer: when something arrived, and whether it held what was waited for.
pub(super) struct Arrival {
    pub(super) at: Instant,
    pub(super) is_end: bool,
}

/// Watches a session's output from now on in a thread of its own. Arrivals end with the session.
pub(super) fn view(socket: &Path, session: &str) -> Result<Receiver<Arrival>> {
    let mut wire = Wire::connect(socket)?;
    wire.send("GET", &format!("/sessions/{session}/output/stream?view=true&follow=true"), "", &[])?;
    wire.head()?;
    let (sender, arrivals) = mpsc::channel();
    std::thread::spawn(move || {
        let mut piece = Vec::new();
        let mut tail = Tail::default();
        while wire.chunk(&mut piece).unwrap_or(false) {
            let arrival = Arrival { at: Instant::now(), is_end: tail.ends(&piece) };
            if sender.send(arrival).is_err() {
                return;
            }
        }
    });
    Ok(arrivals)
}

/// Finds the last line of a flood, however it is cut.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn ends(&mut self, piece: &[u8]) -> bool {
        const END: &[u8] = b"FLOOD-END";
        // In a picture other things may stand behind it.
        let searched = if piece.starts_with(b"\x1bc") { piece.len() } else { 64 };
        self.0.extend_from_slice(&piece[piece.len().saturating_sub(searched)..]);
        let found = self.0.windows(END.len()).any(|window| window == END);
        self.0.drain(..self.0.len().saturating_sub(END.len()));
        found
    }
}
