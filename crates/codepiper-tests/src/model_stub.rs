//! A scripted model server on loopback, for the real CLIs: Anthropic Messages and OpenAI Responses.
//!
//! A test says in its prompt what the model does (see [`script`]), and afterwards asks the stub what it was asked
//! ([`ModelStub::requests`]), what it served ([`ModelStub::served`]) and what was wrong ([`ModelStub::violations`],
//! which every test asserts to be empty).
//!
//! The server has a thread and a runtime of its own: a test that blocks does not block it, and dropping the stub ends
//! every connection before the drop returns.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

use conversation::Turn;
use draft::{Draft, Frame};
use script::{Call, Ending, Reply, Script, Usage};

pub mod script;

mod anthropic;
mod conversation;
mod draft;
mod openai;
mod schema;

/// A running stub. Dropping it ends it.
#[derive(Debug)]
pub struct ModelStub {
    address: SocketAddr,
    record: Arc<Record>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Something the stub was asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its place in [`ModelStub::requests`].
    pub number: usize,
    /// The HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// All headers but the secret ones, whose value is `(hidden)`; names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The JSON body; null where there was none.
    pub body: Value,
    /// The session (Claude Code) or thread (Codex) it belongs to.
    pub session: Option<String>,
    /// What the CLI wanted.
    pub asked: Asked,
    /// The last text of the user, and below it what was queued and delivered during the turn. `None` when the CLI began
    /// the turn by itself.
    pub prompt: Option<String>,
    /// What the tools answered since that text.
    pub tool_results: Vec<String>,
}

/// What a CLI wants from the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The next reply of a turn: the script decides.
    Turn,
    /// Something of its own, such as a title or a summary. Answered with this text, never by a script.
    Side(String),
    /// Nothing of the model: a list of models, a count of tokens, a sign of life.
    Nothing,
}

/// A reply that was begun.
#[derive(Debug, Clone)]
pub struct Served {
    /// The number of the request.
    pub request: usize,
    /// The session or thread it belongs to.
    pub session: Option<String>,
    /// The id of the message or response, as transcripts have it.
    pub reply_id: String,
    /// The model it was asked of.
    pub model: String,
    /// Whether a script decided it.
    pub scripted: bool,
    /// What it reported, or would have.
    pub usage: Usage,
    /// How far it got.
    pub progress: Progress,
}

/// How far a reply got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is being sent.
    Going,
    /// All of it was handed to the connection.
    Whole,
    /// The script had the connection dropped.
    Cut,
    /// The CLI has gone away, as after an interruption.
    Gone,
}

impl ModelStub {
    /// Starts on a free port of the loopback.
    pub async fn start() -> ModelStub {
        Self::start_on(0).await.expect("the loopback has free ports")
    }

    /// Starts on this port of the loopback; 0 is any.
    pub async fn start_on(port: u16) -> std::io::Result<ModelStub> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let record = Arc::new(Record::new(address.port()));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("model-stub".to_owned()).spawn({
            let record = record.clone();
            move || run(listener, record, stopped)
        })?;
        Ok(ModelStub { address, record, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens, without a slash at the end. OpenAI's base URL has `/v1` behind it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.record.lock().requests.clone()
    }

    /// Every reply begun so far, in the order of the beginnings.
    pub fn served(&self) -> Vec<Served> {
        self.record.lock().served.clone()
    }

    /// Everything that should not have been asked so, and every directive that could not be read.
    pub fn violations(&self) -> Vec<String> {
        self.record.lock().violations.clone()
    }

    /// The first request of this kind, past or to come. Panics, with what did arrive, when none comes.
    pub async fn wait_for(&self, wanted: impl Fn(&Request) -> bool) -> Request {
        self.wait(|known| known.requests.iter().find(|request| wanted(request)).cloned()).await
    }

    /// The first reply of this kind, past or to come; asking for a progress waits for it.
    pub async fn wait_for_served(&self, wanted: impl Fn(&Served) -> bool) -> Served {
        self.wait(|known| known.served.iter().find(|served| wanted(served)).cloned()).await
    }

    /// Gives every reply from now on these headers, too.
    pub fn set_headers(&self, headers: &[(&'static str, String)]) {
        let read = |(name, value): &(&'static str, String)| {
            let value = value.parse().expect("a value of a header");
            (header::HeaderName::from_static(name), value)
        };
        self.record.lock().headers = headers.iter().map(read).collect();
    }

    /// Told after each change of what the stub knows.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.record.changes.subscribe()
    }

    async fn wait<T>(&self, find: impl Fn(&Known) -> Option<T>) -> T {
        // Subscribed before looking, so that nothing falls between.
        let mut changes = self.changes();
        let found = async {
            loop {
                if let Some(found) = find(&self.record.lock()) {
                    return found;
                }
                changes.changed().await.expect("the record lives as long as the stub");
            }
        };
        match tokio::time::timeout(WAIT_MAX, found).await {
            Ok(found) => found,
            Err(_) => {
                panic!("not within {} s; the model stub knows of\n{}", WAIT_MAX.as_secs(), self.record.lock())
            }
        }
    }
}

impl Drop for ModelStub {
    fn drop(&mut self) {
        // Dropping the sender stops it too; what counts is to be back only when the port is free.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A model whose name begins so is not there.
pub const NO_SUCH_MODEL: &str = "no-such-model";
/// The longest wait for a request: a CLI starts in 3 s on two cores, 20 times that when tests run side by side.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// The largest body, in bytes: what Anthropic's service takes.
const BODY_MAX_BYTES: usize = 32 * 1024 * 1024;
/// The most requests kept. A turn of Claude Code is about 100 KiB, so this is some 200 MiB, and no test gets there.
const REQUESTS_MAX: usize = 2_000;
/// Frames on the way to one connection. Few, so that `Progress::Whole` means nearly read.
const FRAMES_MAX: usize = 4;

/// What the server thread and the test share.
#[derive(Debug)]
struct Record {
    /// In all ids, so that those of two stubs differ: transcripts of both may be counted together.
    run: String,
    known: Mutex<Known>,
    /// Told after each change of `known`.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    requests: Vec<Request>,
    served: Vec<Served>,
    violations: Vec<String>,
    /// How often a reply was refused or cut, by where the conversation stood.
    attempts: HashMap<(Option<String>, Option<String>, usize), usize>,
    /// What every reply says beside its own.
    headers: header::HeaderMap,
}

impl Record {
    fn new(port: u16) -> Record {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let run = format!("{:x}{port:04x}", started.as_nanos());
        Record { run, known: Mutex::default(), changes: watch::Sender::new(0) }
    }

    /// A panic of another holder leaves nothing half done: each change is one push.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        let out = change(&mut self.lock());
        self.changes.send_modify(|count| *count += 1);
        out
    }

    fn complain(&self, about: &str, violations: impl IntoIterator<Item = String>) {
        let mut violations = violations.into_iter().map(|what| format!("{about}: {what}")).peekable();
        if violations.peek().is_some() {
            self.change(|known| known.violations.extend(violations));
        }
    }

    fn ended(&self, served: usize, progress: Progress) {
        self.change(|known| known.served[served].progress = progress);
    }
}

impl std::fmt::Display for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for request in &self.requests {
            let Request { number, method, path, asked, prompt, tool_results, .. } = request;
            writeln!(
                f,
                "  {number} {method} {path} {asked:?} {prompt:?}, {} tool results",
                tool_results.len()
            )?;
        }
        for served in &self.served {
            writeln!(f, "  reply to {}: {:?}, {:?}", served.request, served.usage, served.progress)?;
        }
        self.violations.iter().try_for_each(|violation| writeln!(f, "  violation: {violation}"))
    }
}

/// The life of the server. Dropping the runtime drops all connections with it.
fn run(listener: std::net::TcpListener, record: Arc<Record>, stopped: oneshot::Receiver<()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener).expect("the listener was made not to block");
        let router = Router::new().fallback(answer).with_state(record);
        tokio::select! {
            _ = axum::serve(listener, router) => {}
            _ = stopped => {}
        }
    });
}

/// The form of the answers a path wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    Anthropic,
    OpenAi,
}

/// Everything that is asked comes here, so that everything is kept, also what nobody expects.
async fn answer(State(record): State<Arc<Record>>, request: axum::extract::Request) -> Response {
    let (head, body) = request.into_parts();
    let about = format!("{} {}", head.method, head.uri.path());
    let Ok(bytes) = to_bytes(body, BODY_MAX_BYTES).await else {
        record.complain(&about, [format!("the body is cut off or larger than {BODY_MAX_BYTES} bytes")]);
        return json(StatusCode::PAYLOAD_TOO_LARGE, &anthropic::error(413, "the body is too large"));
    };
    let body = match bytes.is_empty() {
        true => Ok(Value::Null),
        false => serde_json::from_slice(&bytes),
    };
    let (body, unreadable) = match body {
        Ok(body) => (body, None),
        Err(error) => (Value::Null, Some(format!("the body is no JSON: {error}"))),
    };
    let method = if head.method == Method::HEAD { Method::GET } else { head.method.clone() };
    let api = if head.uri.path().starts_with("/v1/messages") { Api::Anthropic } else { Api::OpenAi };
    let request = read(&head, body, api);
    let Some(request) = keep(&record, request) else {
        record.complain(&about, [format!("more than {REQUESTS_MAX} requests")]);
        return json(StatusCode::SERVICE_UNAVAILABLE, &anthropic::error(503, "the stub is full"));
    };
    let about = format!("request {} {about}", request.number);
    if let Some(why) = unreadable {
        record.complain(&about, [why]);
        return json(StatusCode::BAD_REQUEST, &anthropic::error(400, "the body is no JSON"));
    }
    match (method.as_str(), head.uri.path()) {
        ("GET", "/") => json(StatusCode::OK, &Value::Null),
        ("GET", "/v1/models") => json(StatusCode::OK, &openai::models()),
        ("POST", "/v1/messages/count_tokens") => {
            record.complain(&about, anthropic::check_messages(&request.body));
            // Four bytes a token is near enough for a decision to compact.
            json(StatusCode::OK, &serde_json::json!({"input_tokens": bytes.len() / 4}))
        }
        ("POST", "/v1/messages") => {
            record.complain(&about, anthropic::check(&request.headers, &request.body));
            reply(&record, &about, request, Api::Anthropic)
        }
        ("POST", "/v1/responses") => {
            record.complain(&about, openai::check(&request.headers, &request.body));
            reply(&record, &about, request, Api::OpenAi)
        }
        _ => {
            record.complain(&about, ["nobody expects this request".to_owned()]);
            json(StatusCode::NOT_FOUND, &anthropic::error(404, "the stub knows no such path"))
        }
    }
}

fn read(head: &Parts, body: Value, api: Api) -> Request {
    let headers: BTreeMap<String, String> = head
        .headers
        .iter()
        .map(|(name, value)| match name.as_str() {
            "authorization" | "x-api-key" | "cookie" => (name.to_string(), "(hidden)".to_owned()),
            _ => (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()),
        })
        .collect();
    let asked = match (head.method.as_str(), head.uri.path()) {
        ("POST", "/v1/messages") => anthropic::asked(&body),
        ("POST", "/v1/responses") => openai::asked(&body),
        _ => Asked::Nothing,
    };
    let (session, items) = match api {
        Api::Anthropic => (anthropic::session(&headers), anthropic::items(&body)),
        Api::OpenAi => (openai::session(&headers), openai::items(&body)),
    };
    let Turn { prompt, results } = Turn::of(&items);
    Request {
        number: 0,
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        headers,
        body,
        session,
        asked,
        prompt,
        tool_results: results,
    }
}

/// Gives a request its number; `None` when the stub is full.
fn keep(record: &Record, mut request: Request) -> Option<Request> {
    record.change(|known| {
        request.number = known.requests.len();
        (request.number < REQUESTS_MAX).then(|| {
            known.requests.push(request.clone());
            request
        })
    })
}

fn reply(record: &Arc<Record>, about: &str, request: Request, api: Api) -> Response {
    if request.body["model"].as_str().is_some_and(|model| model.starts_with(NO_SUCH_MODEL)) {
        return failure(404, api);
    }
    let scripted = request.asked == Asked::Turn;
    let reply = match &request.asked {
        Asked::Side(text) => Reply::say(text),
        Asked::Turn | Asked::Nothing => next_reply(record, about, &request),
    };
    if let Ending::Fail { status, .. } = reply.ending {
        return failure(status, api);
    }
    let body = &request.body;
    let wire = |call: &Call| match api {
        Api::Anthropic => anthropic::wire_call(call, body),
        Api::OpenAi => openai::wire_call(call, body),
    };
    let stem = format!("{}{:04}", record.run, request.number);
    let model = body["model"].as_str().unwrap_or("").to_owned();
    let draft = Draft::new(stem, model, &reply, wire);
    let reply_id = match api {
        Api::Anthropic => anthropic::reply_id(&draft),
        Api::OpenAi => openai::reply_id(&draft),
    };
    let served = record.change(|known| {
        known.served.push(Served {
            request: request.number,
            session: request.session.clone(),
            reply_id,
            model: draft.model.clone(),
            scripted,
            usage: draft.usage,
            progress: Progress::Going,
        });
        known.served.len() - 1
    });
    let frames = match api {
        Api::Anthropic if body["stream"] == true => anthropic::events(&draft),
        Api::Anthropic if draft.cut => vec![Frame::Cut],
        Api::Anthropic => {
            let mut whole = json(StatusCode::OK, &anthropic::message(&draft));
            tell_request_id(&mut whole, &draft);
            record.ended(served, Progress::Whole);
            return whole;
        }
        Api::OpenAi => openai::events(&draft, body),
    };
    let mut response = stream(record.clone(), served, frames);
    response.headers_mut().extend(record.lock().headers.clone());
    tell_request_id(&mut response, &draft);
    response
}

fn next_reply(record: &Record, about: &str, request: &Request) -> Reply {
    let Some(prompt) = &request.prompt else { return Reply::say("noted") };
    let script = Script::parse(prompt);
    record.complain(
        about,
        script.mistakes.iter().map(|mistake| format!("a script that can't be read, {mistake}")),
    );
    let place = (request.session.clone(), request.prompt.clone(), length(&request.body));
    let attempts = record.lock().attempts.get(&place).copied().unwrap_or(0);
    let reply = script.reply(&request.tool_results, attempts);
    if reply.ending != Ending::Whole {
        record.change(|known| *known.attempts.entry(place).or_default() += 1);
    }
    reply
}

/// How long the conversation of a request is, which tells a repeated request from the next.
fn length(body: &Value) -> usize {
    [&body["messages"], &body["input"]].into_iter().filter_map(Value::as_array).map(Vec::len).sum()
}

fn failure(status: u16, api: Api) -> Response {
    let message = format!("scripted failure {status}");
    let body = match api {
        Api::Anthropic => anthropic::error(status, &message),
        Api::OpenAi => openai::error(status, &message),
    };
    json(StatusCode::from_u16(status).expect("the parser let only 400 to 599 through"), &body)
}

fn json(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// Transcripts of Claude Code keep this header's value as `requestId`.
fn tell_request_id(response: &mut Response, draft: &Draft) {
    let id = format!("req_{}", draft.stem).try_into().expect("a stem is digits and letters");
    response.headers_mut().insert("request-id", id);
}

/// Sends the frames one by one, and ends early when the other side goes away.
fn stream(record: Arc<Record>, served: usize, frames: Vec<Frame>) -> Response {
    let (sender, receiver) = mpsc::channel::<std::io::Result<Bytes>>(FRAMES_MAX);
    tokio::spawn(async move {
        let progress = send(&sender, frames).await;
        record.ended(served, progress);
    });
    let pieces = futures_util::stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/event-stream; charset=utf-8"));
    response
}

async fn send(sender: &mpsc::Sender<std::io::Result<Bytes>>, frames: Vec<Frame>) -> Progress {
    for frame in frames {
        let piece = match frame {
            Frame::Event(data) => {
                let name = data["type"].as_str().unwrap_or("message");
                Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
            }
            Frame::Pause(pause) => {
                tokio::select! {
                    // The pace of a scripted stream; nothing waits for it.
                    () = tokio::time::sleep(pause) => continue,
                    () = sender.closed() => return Progress::Gone,
                }
            }
            Frame::Cut => {
                let _ = sender.send(Err(std::io::Error::other("a scripted cut"))).await;
                return Progress::Cut;
            }
        };
        if sender.send(Ok(piece)).await.is_err() {
            return Progress::Gone;
        }
    }
    Progress::Whole
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;

    /// Asks as a CLI never would, and returns the whole answer.
    fn ask(stub: &ModelStub, request: &str, body: &str) -> String {
        let mut connection = TcpStream::connect(stub.address).expect("the stub listens");
        let length = body.len();
        write!(
            connection,
            "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .expect("the stub takes the request");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("the stub answers");
        answer
    }

    #[tokio::test]
    async fn what_nobody_expects_is_answered_kept_and_told() {
        let stub = ModelStub::start().await;
        assert!(ask(&stub, "GET /v1/secrets", "").starts_with("HTTP/1.1 404"));
        assert!(ask(&stub, "POST /v1/messages", "{oops").starts_with("HTTP/1.1 400"));
        assert!(ask(&stub, "POST /v1/messages", "{}").starts_with("HTTP/1.1 200"));
        assert_eq!(stub.requests().len(), 3);
        let violations = stub.violations();
        assert_eq!(violations[0], "request 0 GET /v1/secrets: nobody expects this request");
        assert!(
            violations[1].starts_with("request 1 POST /v1/messages: the body is no JSON"),
            "{violations:?}"
        );
        assert!(
            violations.iter().any(|violation| violation.ends_with("`model` is missing")),
            "{violations:?}"
        );
    }

    #[tokio::test]
    async fn dropping_the_stub_frees_its_port_even_in_the_middle_of_a_stream() {
        let stub = ModelStub::start().await;
        let body = r#"{"stream": true, "tools": [{"name": "Bash"}], "messages": [{"role": "user", "content": "STREAM: 2 10000"}]}"#;
        let address = stub.address;
        let mut connection = TcpStream::connect(address).expect("the stub listens");
        write!(
            connection,
            "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("the stub takes the request");
        let served = stub.wait_for_served(|served| served.scripted).await;
        assert_eq!(served.progress, Progress::Going);
        drop(stub);
        let mut rest = vec![];
        let _ = connection.read_to_end(&mut rest);
        let again = ModelStub::start_on(address.port()).await.expect("the port is free");
        assert_eq!(again.url(), format!("http://{address}"));
    }
}
