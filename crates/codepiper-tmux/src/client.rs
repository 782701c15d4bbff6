//! One `tmux -C`: commands in, answers matched to them in order.

use super::control::{Item, Parser};
use super::{Command, HOMELESS, Notice, Server, TmuxError};
use std::collections::VecDeque;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::{broadcast, mpsc, oneshot};

/// How commands reach tmux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// A control client.
    Control,
    /// A process a command, because there is no session of ours yet.
    Processes,
    /// A process a command, because tmux refused a control client.
    ProcessesAfterFailure,
}

/// Command lists under way. Callers wait beyond it; a person's keys are a few a second.
const UNDER_WAY_MAX: usize = 256;

/// How long a new client may take to show that it is attached.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(3);

/// Bytes read from tmux at once.
const READ_SIZE: usize = 64 * 1024;

/// The outcome of a command list: one body a command, or the first error.
pub(crate) type Answer = oneshot::Receiver<Result<Vec<Vec<u8>>, TmuxError>>;

struct Request {
    lines: String,
    names: Vec<String>,
    reply: oneshot::Sender<Result<Vec<Vec<u8>>, TmuxError>>,
}

/// A control client. Dropping it ends the process.
pub(crate) struct Control {
    requests: mpsc::Sender<Request>,
}

impl Control {
    /// Attaches to the first of the sessions that can be attached to.
    pub(crate) async fn connect(
        server: &Server,
        homes: &[String],
        notices: &broadcast::Sender<Notice>,
    ) -> Option<Self> {
        for home in homes {
            let attached = tokio::time::timeout(CONNECT_TIME_MAX, attach(server, home)).await;
            if let Ok(Some((child, stdin, stdout, parser))) = attached {
                let (requests, queue) = mpsc::channel(UNDER_WAY_MAX);
                tokio::spawn(serve(child, stdin, stdout, parser, queue, notices.clone()));
                return Some(Self { requests });
            }
        }
        None
    }

    /// Whether the client has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.requests.is_closed()
    }

    /// Hands over a command list. `None` when the client has ended.
    pub(crate) async fn send(&self, commands: &[Command]) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        let lines: Vec<String> = commands.iter().map(Command::line).collect();
        let names = commands.iter().flat_map(Command::names).collect();
        // One line: tmux runs it as one list, and nothing comes between.
        let request = Request { lines: lines.join(" ; ") + "\n", names, reply };
        self.requests.send(request).await.ok()?;
        Some(answer)
    }
}

async fn attach(server: &Server, home: &str) -> Option<(Child, ChildStdin, ChildStdout, Parser)> {
    let mut child = server
        .command()
        // No size of its own and no output: it is here for commands and notices.
        .args(["-C", "attach-session", "-f", "ignore-size,no-output", "-t", &format!("={home}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let stdin = child.stdin.take()?;
    let mut stdout = child.stdout.take()?;
    let mut parser = Parser::default();
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let n = stdout.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
        let mut verdict = None;
        parser.feed(&buffer[..n], |item| {
            if let Item::Answer { ok, .. } = item {
                verdict.get_or_insert(ok);
            }
        });
        match verdict {
            Some(true) => return Some((child, stdin, stdout, parser)),
            Some(false) => return None,
            None => {}
        }
    }
}

/// A list that was sent and waits for its answers.
struct Waiting {
    names: Vec<String>,
    bodies: Vec<Vec<u8>>,
    reply: oneshot::Sender<Result<Vec<Vec<u8>>, TmuxError>>,
}

async fn serve(
    mut child: Child,
    mut stdin: ChildStdin,
    mut stdout: ChildStdout,
    mut parser: Parser,
    mut queue: mpsc::Receiver<Request>,
    notices: broadcast::Sender<Notice>,
) {
    let mut waiting: VecDeque<Waiting> = VecDeque::new();
    let mut buffer = vec![0; READ_SIZE];
    let mut leaving = false;
    while !leaving {
        tokio::select! {
            request = queue.recv(), if waiting.len() < UNDER_WAY_MAX => {
                let Some(request) = request else { break };
                if stdin.write_all(request.lines.as_bytes()).await.is_err() {
                    break; // dropping the request tells its sender that it may have been done in part
                }
                let Request { names, reply, .. } = request;
                waiting.push_back(Waiting { names, bodies: Vec::new(), reply });
            }
            read = stdout.read(&mut buffer) => {
                let Ok(n @ 1..) = read else { break };
                parser.feed(&buffer[..n], |item| match item {
                    Item::Answer { ours: true, ok, body } => leaving |= !answer(&mut waiting, ok, body),
                    Item::SessionsChanged => announce(&notices, Notice::SessionsChanged),
                    Item::Exit => leaving = true,
                    Item::Answer { ours: false, .. } | Item::Other => {}
                });
            }
        }
    }
    queue.close();
    while let Ok(Request { names, reply, .. }) = queue.try_recv() {
        let command = names.into_iter().next().unwrap_or_default();
        let _gone = reply.send(Err(TmuxError::NotSent { command }));
    }
    drop(waiting); // their senders are told that the connection is lost
    announce(&notices, Notice::Disconnected);
    drop(stdin);
    if tokio::time::timeout(CONNECT_TIME_MAX, child.wait()).await.is_err() {
        tracing::warn!("a tmux control client did not end; killing it"); // by drop
    }
}

/// Gives an answer to whom it belongs; whether the client can still be used.
fn answer(waiting: &mut VecDeque<Waiting>, ok: bool, body: Vec<u8>) -> bool {
    let Some(mut list) = waiting.pop_front() else { return true };
    let command = list.names[list.bodies.len()].clone();
    if !ok {
        let why = String::from_utf8_lossy(&body).trim().to_owned();
        let is_homeless = why == HOMELESS;
        let error = match is_homeless && list.bodies.is_empty() {
            true => TmuxError::NotSent { command },
            false => TmuxError::Refused { command, why },
        };
        let _gone = list.reply.send(Err(error));
        return !is_homeless;
    }
    list.bodies.push(body);
    if list.bodies.len() == list.names.len() {
        let _gone = list.reply.send(Ok(list.bodies));
    } else {
        waiting.push_front(list);
    }
    true
}

fn announce(notices: &broadcast::Sender<Notice>, notice: Notice) {
    let _nobody_listens = notices.send(notice);
}
