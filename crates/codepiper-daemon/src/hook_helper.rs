//! `codepiper hook`: carries one hook event from an agent to the daemon, and the answer back.
//!
//! It runs for every tool call of every agent, so it starts in a millisecond: the standard library, one
//! connection, no runtime, no parser of arguments. It knows nothing of what it carries. When the daemon is
//! not there it spools the event and lets the agent go on with its own questions; it never fails the agent.

use crate::spool;
use crate::stand_in::{StoodIn, stand_in};
use codepiper_api::defaults::{
    HOOK_EVENT_ID_HEADER, HOOK_SECRET_HEADER, HOOK_SECRET_VARIABLE, HOOK_SESSION_VARIABLE,
    HOOK_SOCKET_VARIABLE, HOOK_SPOOL_VARIABLE, HOOK_WAITS_HEADER,
};
use codepiper_core::hook::HOOK_BODY_MAX;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long the daemon may take to answer, before the rules are applied without it. Far below the agents' own limits
/// (600 s and more), after which they would go on as if nobody had anything against it.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// The longest answer, in bytes; answers are a line or two.
const ANSWER_MAX: usize = 1024 * 1024;

/// How long a hook waits for a person's answer, from its start on. Below the agents' limit, after which they go on
/// without an answer.
const WAIT_TIME_MAX: Duration = Duration::from_secs(7_100);

/// How long a daemon may be gone while a hook waits where nobody else would ask. It is started anew in a second.
const DAEMON_GONE_TIME_MAX: Duration = Duration::from_secs(60);

/// How often to try whether the daemon is back. Nothing tells when a socket appears.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// Runs `codepiper hook`.
pub fn run() -> ExitCode {
    let mut body = Vec::new();
    let read = io::stdin().lock().take(HOOK_BODY_MAX as u64 + 1).read_to_end(&mut body);
    let (Ok(_), Some(session)) = (read, variable(HOOK_SESSION_VARIABLE)) else {
        return ExitCode::SUCCESS; // an agent of nobody's: not started by us, or its environment was cleaned
    };
    let event = Event { id: fresh_id(), session, body };
    let socket = variable(HOOK_SOCKET_VARIABLE).unwrap_or_default();
    let secret = variable(HOOK_SECRET_VARIABLE).unwrap_or_default();
    let answer = event.deliver(Path::new(&socket), &secret);
    let answer = match answer {
        Ok(Answer { waits: Some(number), text, .. }) => {
            Ok(event.wait(Path::new(&socket), &secret, &number, text))
        }
        answer => answer,
    };
    match answer {
        Ok(Answer { taken: true, text, .. }) => {
            if io::stdout().write_all(text.as_bytes()).is_err() {
                return ExitCode::FAILURE; // the agent hung up on us
            }
        }
        // Refused: sending it again would be refused again.
        Ok(Answer { taken: false, .. }) => {}
        Err(_) => {
            let Some(spool) = variable(HOOK_SPOOL_VARIABLE) else { return ExitCode::SUCCESS };
            return without_daemon(event, Path::new(&spool), &secret);
        }
    }
    ExitCode::SUCCESS
}

/// The daemon does not answer: rules that deny still do, and the record waits for it.
fn without_daemon(mut event: Event, folder: &Path, secret: &str) -> ExitCode {
    let stood_in = folder.parent().and_then(|folder| stand_in(folder, &event.body));
    let says = match stood_in {
        Some(StoodIn { says, body }) => {
            event.body = body;
            says
        }
        None => String::new(),
    };
    let _best_effort = spool::write(folder, &event.id, secret, &event.body);
    match io::stdout().write_all(says.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// A variable of our environment that is set to something.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

struct Event {
    id: String,
    session: String,
    body: Vec<u8>,
}

/// Something to tell the daemon of a session, or, without a body, to ask.
pub(crate) struct Post<'a> {
    /// The session.
    pub(crate) session: &'a str,
    /// The end of the path.
    pub(crate) what: &'a str,
    /// What proves us.
    pub(crate) secret: &'a str,
    /// The event's own id; empty for none.
    pub(crate) event_id: &'a str,
    /// What is told.
    pub(crate) body: Option<&'a [u8]>,
}

/// What the daemon says to it.
pub(crate) struct Answer {
    taken: bool,
    text: String,
    /// The approval to wait for.
    waits: Option<String>,
}

impl Event {
    fn deliver(&self, socket: &Path, secret: &str) -> io::Result<Answer> {
        let Event { id, session, body } = self;
        Post { session, what: "hooks", secret, event_id: id, body: Some(body) }.send(socket, ANSWER_TIME_MAX)
    }

    /// Waits until a person has answered, also over an end and a new start of the daemon.
    fn wait(&self, socket: &Path, secret: &str, number: &str, without_daemon: String) -> Answer {
        let what = format!("hooks/waits/{}", header_word(number));
        let began = Instant::now();
        let mut seen = Instant::now();
        let patience = match without_daemon.is_empty() {
            true => WAIT_TIME_MAX,
            false => DAEMON_GONE_TIME_MAX,
        };
        while began.elapsed() < WAIT_TIME_MAX && seen.elapsed() < patience {
            let ask = Post { session: &self.session, what: &what, secret, event_id: "", body: None };
            let left = WAIT_TIME_MAX.saturating_sub(began.elapsed()).max(RETRY_PAUSE);
            let asked = Instant::now();
            match ask.send(socket, left) {
                Ok(answer) if answer.taken => return answer,
                Ok(_refused) => break,
                // It was there for a while: its end begins now.
                Err(_) if asked.elapsed() > RETRY_PAUSE => seen = Instant::now(),
                Err(_) => {}
            }
            std::thread::sleep(RETRY_PAUSE);
        }
        Answer { taken: true, text: without_daemon, waits: None }
    }
}

impl Post<'_> {
    /// Sends it and waits for the answer.
    pub(crate) fn send(&self, socket: &Path, patience: Duration) -> io::Result<Answer> {
        // Nobody else's socket gets the secret or decides for us.
        if fs::metadata(socket)?.uid() != rustix::process::getuid().as_raw() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut daemon = UnixStream::connect(socket)?;
        #[cfg(target_os = "linux")]
        if rustix::net::sockopt::socket_peercred(&daemon)?.uid != rustix::process::getuid() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        daemon.set_read_timeout(Some(patience))?;
        daemon.set_write_timeout(Some(patience))?;
        let method = if self.body.is_some() { "POST" } else { "GET" };
        let body = self.body.unwrap_or_default();
        let head = format!(
            "{method} /sessions/{}/{} HTTP/1.1\r\nhost: codepiper\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n{HOOK_SECRET_HEADER}: {}\r\n\
             {HOOK_EVENT_ID_HEADER}: {}\r\n\r\n",
            header_word(self.session),
            self.what,
            body.len(),
            header_word(self.secret),
            header_word(self.event_id),
        );
        let mut message = head.into_bytes();
        message.extend_from_slice(body);
        daemon.write_all(&message)?;
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while answer.len() < ANSWER_MAX {
            let n = daemon.read(&mut piece)?;
            answer.extend_from_slice(&piece[..n]);
            // The agent waits for us: not for the daemon to hang up.
            if let Some(answer) = std::str::from_utf8(&answer).ok().and_then(read_answer) {
                return Ok(answer);
            }
            if n == 0 {
                break;
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// The status and body of an answer that is whole.
fn read_answer(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status: u16 = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let field = |wanted: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    let length: usize = field("content-length")?.parse().ok()?;
    let text = body.get(..length)?.to_owned();
    let waits = field(HOOK_WAITS_HEADER).map(str::to_owned);
    match status {
        200..=299 => Some(Answer { taken: true, text, waits }),
        400..=499 => Some(Answer { taken: false, text, waits: None }),
        _ => None, // the daemon is in trouble: spool
    }
}

/// What can stand in a header or a path; the rest could only come from a forged environment.
fn header_word(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// 128 random bits. Without a random source, time and pid still tell our own events apart.
fn fresh_id() -> String {
    let mut bits = [0_u8; 16];
    let random = fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bits));
    match random {
        Ok(()) => bits.iter().map(|byte| format!("{byte:02x}")).collect(),
        Err(_) => {
            let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
            format!("{nanos:x}{:x}", std::process::id())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_counts() {
        let check = |answer: &str, expected: Option<(bool, &str)>| {
            let shown = read_answer(answer).map(|answer| (answer.taken, answer.text));
            assert_eq!(shown, expected.map(|(taken, text)| (taken, text.to_owned())), "for {answer:?}");
        };
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Some((true, "{}")));
        check("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Some((true, "")));
        check("HTTP/1.1 202 Accepted\r\nX-CodePiper-Waits: 3\r\ncontent-length: 0\r\n\r\n", Some((true, "")));
        check("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", Some((false, "no")));
        check("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"cut", None);
        check("HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\nno", None);
        check("", None);
    }

    #[test]
    fn nothing_can_be_smuggled_into_the_head() {
        assert_eq!(header_word("a1\r\nx: y/../"), "a1xy");
    }
}
