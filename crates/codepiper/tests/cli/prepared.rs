//! A daemon of prepared answers: it knows requests by their first line, and keeps what it was asked.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

pub(crate) struct Prepared {
    folder: tempfile::TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A request.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

pub(crate) struct Answer {
    status: u16,
    body: Vec<u8>,
    position: Option<u64>,
    cut: bool,
    once: bool,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, ..Self::text(&body.to_string()) }
    }

    pub(crate) fn text(body: &str) -> Self {
        Self { status: 200, body: body.into(), position: None, cut: false, once: false }
    }

    /// Of an output stream: where it begins.
    pub(crate) fn at(self, position: u64) -> Self {
        Self { position: Some(position), ..self }
    }

    /// The connection breaks before the end.
    pub(crate) fn cut(self) -> Self {
        Self { cut: true, ..self }
    }

    /// Given a single time; the next one for the same request follows it.
    pub(crate) fn once(self) -> Self {
        Self { once: true, ..self }
    }

    fn write(&self, stream: &mut UnixStream) {
        let position = self.position.map(|at| format!("x-codepiper-position: {at}\r\n")).unwrap_or_default();
        let promised = self.body.len() + usize::from(self.cut);
        let head = format!(
            "HTTP/1.1 {} Prepared\r\n{position}content-length: {promised}\r\nconnection: close\r\n\r\n",
            self.status
        );
        let message = [head.as_bytes(), &self.body].concat();
        // A client may have enough before the end.
        let _hung_up = stream.write_all(&message);
    }
}

impl Prepared {
    /// Listens until the test ends.
    pub(crate) fn start(answers: Vec<(&'static str, Answer)>) -> Self {
        let folder = tempfile::Builder::new().prefix("cpc").tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join("socket")).expect("a socket");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let kept = asked.clone();
        std::thread::spawn(move || {
            let mut answers = answers;
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let (line, request) = read(&stream);
                kept.lock().expect("unbroken").push(request);
                match answers.iter().position(|(known, _)| *known == line) {
                    None => Answer { status: 404, ..Answer::text("not prepared") }.write(&mut stream),
                    Some(index) if answers[index].1.once => answers.remove(index).1.write(&mut stream),
                    Some(index) => answers[index].1.write(&mut stream),
                }
            }
        });
        Self { folder, asked }
    }

    /// The command, with this daemon to talk to.
    pub(crate) fn codepiper(&self) -> Command {
        let mut command = super::codepiper();
        command.env("CODEPIPER_SOCKET", self.folder.path().join("socket"));
        command
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("unbroken").clone()
    }
}

/// Method and path, and the rest.
fn read(stream: &UnixStream) -> (String, Asked) {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).expect("a request");
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    let line = first.strip_suffix(" HTTP/1.1\r\n").unwrap_or(&first).to_owned();
    (line, Asked { body })
}
