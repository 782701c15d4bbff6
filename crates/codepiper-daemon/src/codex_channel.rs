//! The daemon's own connection to the private app server of a Codex session, beside the TUI's: WebSocket over
//! a Unix socket, a JSON-RPC object a text frame.
//!
//! It does not know sessions, the store, or how the server was started; what messages mean is said by
//! [`codepiper_core::provider::codex`]. The law to keep: it never makes up for a lost connection. When
//! anything goes wrong the receiver ends, and connecting again catches up: the server says what is loaded,
//! what runs and which questions are open.
//!
//! # Which thread it follows
//!
//! Measured with 0.169.0. Every client hears `thread/started` and `thread/status/changed` of every thread,
//! but turns, items and questions only of threads that it resumed (here: follows). A thread that was never
//! prompted cannot be resumed, so following is tried when it opens and again when it stirs. A TUI that
//! resumes an old thread causes no `thread/started`, only a change of status: an unknown thread that stirs is
//! looked at. Threads for titles (ephemeral) and of sub-agents (they have a parent) are left alone. After a
//! reconnect the newest of the loaded threads counts, UUIDv7 being ordered by time.

use codepiper_core::provider::codex::{name_files, read_channel, read_thread, requests};
use codepiper_core::provider::{Approval, ChannelMessage, Told};
use codepiper_core::session::Happening;
use futures_util::{SinkExt, StreamExt};
use jiff::Timestamp;
use requests::Verdict;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tracing::{debug, trace, warn};

/// How long a connection with its handshake and `initialize` may take. 10 ms on a quiet machine.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// How long the server may take for an answer. Most come within 30 ms; the first `turn/start` of a session
/// waits for its MCP servers, which people configure with start times of 10 s.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// The largest message that is taken, in bytes. A tool result with a few images.
const MESSAGE_MAX: usize = 64 * 1024 * 1024;

/// Messages waiting for the session that they belong to. A lively turn has about 50 a second; with this many
/// waiting it hangs, and the connection ends.
const MESSAGES_MAX: usize = 1024;

/// Requests waiting to be written. Each is somebody's prompt or click.
const COMMANDS_MAX: usize = 64;

/// Requests without an answer. More means that the server hangs.
const PENDING_MAX: usize = 256;

/// Threads that are remembered. Each turn brings one for the title; forgetting one costs a `thread/read`.
const THREADS_MAX: usize = 512;

/// Announced file changes that wait for their question.
const CHANGES_MAX: usize = 16;

/// Why the channel did not do something.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Nobody listens at the socket.
    #[error("no connection to Codex's app server at `{socket}`: {source}")]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Somebody else listens there.
    #[error("`{socket}` belongs to another user")]
    Foreign {
        /// The socket.
        socket: PathBuf,
    },
    /// It is no app server, or one that we do not understand.
    #[error("no app server speaks at the socket: {0}")]
    Handshake(String),
    /// The server said no.
    #[error("codex refused: {0}")]
    Refused(String),
    /// No answer in time.
    #[error("codex did not answer within {} s", .0.as_secs())]
    Late(Duration),
    /// Too many requests wait for an answer.
    #[error("codex leaves too many requests unanswered")]
    Busy,
    /// The connection has ended.
    #[error("the connection to codex's app server has ended")]
    Ended,
    /// Somebody was quicker, or the turn is over.
    #[error("the question is no longer open")]
    NotOpen,
    /// A question that has no such answer, e.g. words for a yes or no.
    #[error("that is no answer to this question")]
    NoSuchAnswer,
}

/// A connection. Clones share it; it ends with the last of them, or with the server.
#[derive(Debug, Clone)]
pub struct CodexChannel {
    commands: mpsc::Sender<Command>,
    ids: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Command {
    Ask { id: u64, request: Value, reply: oneshot::Sender<Result<Value, ChannelError>> },
    Answer { request: Value, answer: Value, reply: oneshot::Sender<Result<(), ChannelError>> },
}

impl CodexChannel {
    /// Connects and says hello. The messages are those of the thread in the pane; the receiver ends with the
    /// connection, or when it was left unread for `MESSAGES_MAX` messages.
    pub async fn connect(
        socket: &Path,
    ) -> Result<(CodexChannel, mpsc::Receiver<ChannelMessage>), ChannelError> {
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (messages, receiver) = mpsc::channel(MESSAGES_MAX);
        let channel = CodexChannel { commands, ids: Arc::new(AtomicU64::new(1)) };
        let hello = requests::initialize(channel.next_id(), env!("CARGO_PKG_VERSION"));
        let socket = timeout(CONNECT_TIME, open(socket, &hello))
            .await
            .unwrap_or(Err(ChannelError::Late(CONNECT_TIME)))?;
        let connection = Connection {
            socket,
            messages,
            ids: channel.ids.clone(),
            pending: HashMap::new(),
            threads: HashMap::new(),
            followed: None,
            open: Vec::new(),
            changes: VecDeque::new(),
        };
        tokio::spawn(connection.run(inbox));
        Ok((channel, receiver))
    }

    /// Sends a prompt, into the running turn when there is one. Resolves when the server accepted it, with
    /// the turn.
    ///
    /// `turn/start` alone does both (the server steers when a turn is active), so there is no gap between
    /// our knowledge of the state and the server's.
    pub async fn send_prompt(
        &self,
        thread: &str,
        text: &str,
        images: &[PathBuf],
    ) -> Result<String, ChannelError> {
        let result = self.ask(|id| requests::prompt(id, thread, text, images)).await?;
        let turn = result.pointer("/turn/id").and_then(Value::as_str);
        turn.map(str::to_owned).ok_or_else(|| ChannelError::Refused("it named no turn".into()))
    }

    /// Ends the running turn; `false` when none ran.
    pub async fn interrupt(&self, thread: &str) -> Result<bool, ChannelError> {
        // Asked each time rather than remembered: right after a reconnect as well.
        let newest = match self.ask(|id| requests::newest_turn(id, thread)).await {
            // A thread that was never prompted has no turns to list.
            Err(ChannelError::Refused(_)) => return Ok(false),
            answer => answer?,
        };
        let turn = newest.pointer("/data/0").filter(|turn| turn["status"] == "inProgress");
        let Some(turn) = turn.and_then(|turn| turn["id"].as_str()) else { return Ok(false) };
        match self.ask(|id| requests::interrupt(id, thread, turn)).await {
            Ok(_) => Ok(true),
            // It ended in between.
            Err(ChannelError::Refused(why)) if why.contains("no active turn") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Switches the model and reports the one that is then in force.
    pub async fn set_model(&self, thread: &str, model: &str) -> Result<String, ChannelError> {
        self.ask(|id| requests::set_model(id, thread, model)).await?;
        let read = self.ask(|id| requests::read_thread(id, thread)).await?;
        let model = read.pointer("/thread/model").and_then(Value::as_str);
        model.map(str::to_owned).ok_or_else(|| ChannelError::Refused("it named no model".into()))
    }

    /// Brings a resumed or forked thread, which keeps the permissions of its past, to those of its launch:
    /// the command line cannot say them there. Never widens a thread that was not launched `dangerous`.
    pub async fn set_permissions(&self, thread: &str, dangerous: bool) -> Result<(), ChannelError> {
        if !dangerous {
            // A thread in a folder that is not trusted is read-only: the defaults would be more than that.
            let now = self.ask(|id| requests::follow(id, thread)).await?;
            if now.pointer("/sandbox/type").and_then(Value::as_str) != Some("dangerFullAccess") {
                return Ok(());
            }
        }
        self.ask(|id| requests::set_permissions(id, thread, dangerous)).await.map(drop)
    }

    /// Answers a question. Resolves when it is closed; [`ChannelError::NotOpen`] when it was before.
    pub async fn answer(&self, approval: &Approval, verdict: &Verdict) -> Result<(), ChannelError> {
        let answer = requests::answer(approval, verdict).ok_or(ChannelError::NoSuchAnswer)?;
        let (reply, answered) = oneshot::channel();
        let request = approval.request.clone();
        self.send(Command::Answer { request, answer, reply }).await?;
        in_time(answered).await
    }

    async fn ask(&self, make: impl FnOnce(u64) -> Value) -> Result<Value, ChannelError> {
        let (reply, answered) = oneshot::channel();
        let id = self.next_id();
        self.send(Command::Ask { id, request: make(id), reply }).await?;
        in_time(answered).await
    }

    async fn send(&self, command: Command) -> Result<(), ChannelError> {
        match timeout(REQUEST_TIME, self.commands.send(command)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ChannelError::Ended),
            Err(_) => Err(ChannelError::Late(REQUEST_TIME)),
        }
    }

    fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }
}

async fn in_time<T>(answered: oneshot::Receiver<Result<T, ChannelError>>) -> Result<T, ChannelError> {
    match timeout(REQUEST_TIME, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(ChannelError::Ended),
        Err(_) => Err(ChannelError::Late(REQUEST_TIME)),
    }
}

type Socket = WebSocketStream<UnixStream>;

/// Connects, checks whose server it is, and does the handshakes.
async fn open(socket: &Path, hello: &Value) -> Result<Socket, ChannelError> {
    let unreachable = |source| ChannelError::Unreachable { socket: socket.to_owned(), source };
    // The path that the server was given is a link to a shorter one; the link itself may be too long for
    // the system.
    let real = tokio::fs::canonicalize(socket).await.map_err(unreachable)?;
    let stream = UnixStream::connect(&real).await.map_err(unreachable)?;
    let owner = stream.peer_cred().map_err(unreachable)?.uid();
    if owner != rustix::process::getuid().as_raw() {
        return Err(ChannelError::Foreign { socket: socket.to_owned() });
    }
    let handshake = |error: tokio_tungstenite::tungstenite::Error| ChannelError::Handshake(error.to_string());
    let config =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
    let (mut socket, _) =
        tokio_tungstenite::client_async_with_config("ws://localhost/", stream, Some(config))
            .await
            .map_err(handshake)?;
    socket.send(text(hello)).await.map_err(handshake)?;
    loop {
        let frame = socket.next().await.ok_or(ChannelError::Ended)?.map_err(handshake)?;
        // Notices may come before the answer.
        let Some(answer) = object(&frame).filter(|message| message["id"] == hello["id"]) else { continue };
        if let Some(error) = answer.get("error") {
            return Err(ChannelError::Handshake(
                error["message"].as_str().unwrap_or("no reason given").into(),
            ));
        }
        socket.send(text(&requests::initialized())).await.map_err(handshake)?;
        return Ok(socket);
    }
}

fn text(message: &Value) -> Message {
    Message::text(message.to_string())
}

/// The JSON of a frame; anything else says nothing.
fn object(frame: &Message) -> Option<Value> {
    match frame {
        Message::Text(text) => serde_json::from_str(text.as_str()).ok(),
        _ => None,
    }
}

/// The task that owns the connection.
struct Connection {
    socket: Socket,
    messages: mpsc::Sender<ChannelMessage>,
    ids: Arc<AtomicU64>,
    pending: HashMap<u64, Pending>,
    /// Threads that were looked at: whether they are a person's own.
    threads: HashMap<String, bool>,
    followed: Option<Followed>,
    open: Vec<Open>,
    changes: VecDeque<(String, Vec<String>)>,
}

struct Followed {
    thread: String,
    /// The server accepted it.
    heard: bool,
    /// A request is on its way.
    trying: bool,
}

/// A question that stands open, and who waits for its closing.
struct Open {
    request: Value,
    reply: Option<oneshot::Sender<Result<(), ChannelError>>>,
}

/// Who asked.
enum Pending {
    Caller(oneshot::Sender<Result<Value, ChannelError>>),
    Loaded,
    Look { thread: String, stirred: bool },
    Follow { thread: String },
    Nobody,
}

/// The connection is over, for the log.
struct Over(String);

impl Connection {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let Err(Over(why)) = self.serve(&mut inbox).await;
        debug!(why, "the connection to codex's app server has ended");
    }

    async fn serve(&mut self, inbox: &mut mpsc::Receiver<Command>) -> Result<std::convert::Infallible, Over> {
        self.ask(Pending::Loaded, requests::loaded_threads).await?;
        loop {
            tokio::select! {
                command = inbox.recv() => {
                    let command = command.ok_or_else(|| Over("nobody holds it any more".into()))?;
                    self.command(command).await?;
                }
                frame = self.socket.next() => match frame {
                    None => return Err(Over("the server closed it".into())),
                    Some(Err(error)) => return Err(Over(error.to_string())),
                    Some(Ok(frame)) => if let Some(message) = object(&frame) {
                        self.message(message).await?;
                    },
                },
            }
        }
    }

    async fn command(&mut self, command: Command) -> Result<(), Over> {
        match command {
            Command::Ask { id, request, reply } => {
                // Who no longer waits does not count.
                self.pending
                    .retain(|_, pending| !matches!(pending, Pending::Caller(reply) if reply.is_closed()));
                if self.pending.len() >= PENDING_MAX {
                    let _ = reply.send(Err(ChannelError::Busy));
                    return Ok(());
                }
                self.pending.insert(id, Pending::Caller(reply));
                self.write(&request).await
            }
            Command::Answer { request, answer, reply } => {
                let Some(open) =
                    self.open.iter_mut().find(|open| open.request == request && open.reply.is_none())
                else {
                    let _ = reply.send(Err(ChannelError::NotOpen));
                    return Ok(());
                };
                open.reply = Some(reply);
                self.write(&answer).await
            }
        }
    }

    async fn message(&mut self, message: Value) -> Result<(), Over> {
        trace!(%message, "codex says");
        match (message.get("method"), message.get("id").and_then(Value::as_u64)) {
            (None, Some(id)) => self.answered(id, message).await,
            (None, None) => Ok(()),
            (Some(_), _) => self.told(read_channel(&message)).await,
        }
    }

    /// An answer to a request of ours.
    async fn answered(&mut self, id: u64, mut message: Value) -> Result<(), Over> {
        let Some(pending) = self.pending.remove(&id) else { return Ok(()) };
        let answer = match message.get("error") {
            None => Ok(message["result"].take()),
            Some(error) => {
                let why = error.get("message").and_then(Value::as_str).unwrap_or("no reason given");
                Err(ChannelError::Refused(why.to_owned()))
            }
        };
        match (pending, answer) {
            (Pending::Caller(reply), answer) => {
                let _ = reply.send(answer); // who asked may have gone
            }
            (Pending::Loaded, Ok(result)) => {
                let threads = result.get("data").and_then(Value::as_array).into_iter().flatten();
                for thread in threads.filter_map(Value::as_str) {
                    self.look(thread.to_owned(), false).await?;
                }
            }
            (Pending::Look { thread, stirred }, Ok(result)) => {
                let read = read_thread(&result, Some(Timestamp::now()));
                let own = read.told == Some(Told::Opened { own: true });
                self.know(&thread, own);
                let newer = self.followed.as_ref().is_none_or(|followed| followed.thread < thread);
                if own && (stirred || newer) {
                    self.follow(&thread).await?;
                    self.forward(read)?;
                }
            }
            (Pending::Follow { thread }, answer) => {
                let Some(followed) = self.followed.as_mut().filter(|followed| followed.thread == thread)
                else {
                    return Ok(());
                };
                followed.trying = false;
                match answer {
                    Ok(result) => {
                        followed.heard = true;
                        self.forward(read_thread(&result, Some(Timestamp::now())))?;
                    }
                    Err(why) => debug!(thread, %why, "the thread cannot be followed yet"),
                }
            }
            (Pending::Loaded | Pending::Look { .. }, Err(why)) => {
                warn!(%why, "codex did not say what is loaded")
            }
            (Pending::Nobody, _) => {}
        }
        Ok(())
    }

    /// A notification or request of the server.
    async fn told(&mut self, mut read: ChannelMessage) -> Result<(), Over> {
        let Some(thread) = read.thread.clone() else { return Ok(()) };
        match &read.told {
            Some(Told::Opened { own }) => {
                self.know(&thread, *own);
                if *own {
                    self.follow(&thread).await?;
                }
            }
            Some(Told::Closed) => {
                self.threads.remove(&thread);
                if let Some(followed) = self.followed.as_mut().filter(|followed| followed.thread == thread) {
                    followed.heard = false;
                }
            }
            Some(Told::Stirred) if !self.threads.contains_key(&thread) => {
                return self.look(thread, true).await;
            }
            _ => {}
        }
        if self.followed.as_ref().is_none_or(|followed| followed.thread != thread) {
            return Ok(());
        }
        match &read.told {
            Some(Told::Stirred) => self.try_to_follow().await?,
            Some(Told::WillChange { item, files }) => {
                self.changes.truncate(CHANGES_MAX - 1);
                self.changes.push_front((item.clone(), files.clone()));
            }
            Some(Told::Asked(approval)) => {
                // It comes again when the thread is resumed.
                if !self.open.iter().any(|open| open.request == approval.request) {
                    self.open.push(Open { request: approval.request.clone(), reply: None });
                }
                let item = approval.item.clone();
                if let Some((_, files)) =
                    self.changes.iter().find(|(change, _)| Some(change) == item.as_ref())
                {
                    name_files(&mut read, files);
                }
            }
            Some(Told::Resolved { request }) => {
                let closed = self.open.extract_if(.., |open| open.request == *request);
                for reply in closed.filter_map(|open| open.reply) {
                    let _ = reply.send(Ok(()));
                }
            }
            _ => {}
        }
        let over = |happening: &Happening| {
            matches!(happening, Happening::TurnEnded | Happening::Interrupted | Happening::TurnFailed { .. })
        };
        if read.happenings.iter().any(over) {
            for reply in self.open.drain(..).filter_map(|open| open.reply) {
                let _ = reply.send(Err(ChannelError::NotOpen));
            }
        }
        self.forward(read)
    }

    /// Looks at a thread that it does not know.
    async fn look(&mut self, thread: String, stirred: bool) -> Result<(), Over> {
        let pending = Pending::Look { thread: thread.clone(), stirred };
        self.ask(pending, |id| requests::read_thread(id, &thread)).await
    }

    fn know(&mut self, thread: &str, own: bool) {
        if self.threads.len() >= THREADS_MAX {
            self.threads.retain(|_, own| *own);
        }
        if self.threads.len() >= THREADS_MAX {
            self.threads.clear();
        }
        self.threads.insert(thread.to_owned(), own);
    }

    /// Makes that thread the one in the pane.
    async fn follow(&mut self, thread: &str) -> Result<(), Over> {
        if self.followed.as_ref().is_some_and(|followed| followed.thread == thread) {
            return self.try_to_follow().await;
        }
        let next = Followed { thread: thread.to_owned(), heard: false, trying: false };
        if let Some(before) = self.followed.replace(next).filter(|before| before.heard) {
            self.ask(Pending::Nobody, |id| requests::unfollow(id, &before.thread)).await?;
        }
        self.try_to_follow().await
    }

    async fn try_to_follow(&mut self) -> Result<(), Over> {
        let Some(followed) = self.followed.as_mut().filter(|followed| !followed.heard && !followed.trying)
        else {
            return Ok(());
        };
        followed.trying = true;
        let thread = followed.thread.clone();
        self.ask(Pending::Follow { thread: thread.clone() }, |id| requests::follow(id, &thread)).await
    }

    async fn ask(&mut self, pending: Pending, make: impl FnOnce(u64) -> Value) -> Result<(), Over> {
        if self.pending.len() >= PENDING_MAX {
            return Err(Over("the server leaves too many requests unanswered".into()));
        }
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        self.pending.insert(id, pending);
        self.write(&make(id)).await
    }

    async fn write(&mut self, message: &Value) -> Result<(), Over> {
        match timeout(REQUEST_TIME, self.socket.send(text(message))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Over(error.to_string())),
            Err(_) => Err(Over("the server does not read".into())),
        }
    }

    fn forward(&self, message: ChannelMessage) -> Result<(), Over> {
        self.messages.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Over("its messages are not read".into()),
            mpsc::error::TrySendError::Closed(_) => Over("nobody reads its messages".into()),
        })
    }
}
