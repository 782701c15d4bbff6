//! Speaks to the daemon over its Unix socket. It knows HTTP, and nothing of what is said.
//!
//! The law to keep: before anything is sent, the process at the other end has shown that it is ours. The
//! socket stands in a folder where anybody may create one.

use codepiper_api::{Fault, Refusal};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// How long the daemon may take to begin its answer. The longest work before one is the checkout of a large
/// repository into a worktree.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(300);

/// The largest answer that is read as a whole, in bytes: a full page of events, each as large as the log keeps
/// them, is a tenth of it.
const ANSWER_MAX: usize = 256 * 1024 * 1024;

/// The daemon at a socket. Connects for each call: that costs 0.1 ms, and nothing is held while a person reads.
#[derive(Debug)]
pub(crate) struct Client {
    socket: PathBuf,
}

impl Client {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Asks for something.
    pub(crate) async fn get<T: DeserializeOwned>(&self, route: Route) -> Result<T, Refusal> {
        self.answer(Method::GET, route, Content::Nothing).await
    }

    /// Asks for a text.
    pub(crate) async fn get_text(&self, route: Route) -> Result<Bytes, Refusal> {
        let response = self.send(Method::GET, &route, Content::Nothing).await?;
        whole(response).await
    }

    /// Asks for something to be done. `()` sends no body.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        route: Route,
        body: &impl Serialize,
    ) -> Result<T, Refusal> {
        self.answer(method, route, content_of(body)?).await
    }

    /// Sends a file as the only field of a form.
    pub(crate) async fn upload<T: DeserializeOwned>(
        &self,
        route: Route,
        field: &str,
        file: &Upload<'_>,
    ) -> Result<T, Refusal> {
        self.answer(Method::POST, route, form(field, file)).await
    }

    /// Opens an answer that goes on.
    pub(crate) async fn stream(&self, route: Route) -> Result<Stream, Refusal> {
        let response = self.send(Method::GET, &route, Content::Nothing).await?;
        Ok(Stream { response })
    }

    /// Asks for something whose answer goes on.
    pub(crate) async fn post_stream(&self, route: Route, body: &impl Serialize) -> Result<Stream, Refusal> {
        let response = self.send(Method::POST, &route, content_of(body)?).await?;
        Ok(Stream { response })
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        method: Method,
        route: Route,
        content: Content,
    ) -> Result<T, Refusal> {
        let response = self.send(method, &route, content).await?;
        let body = whole(response).await?;
        serde_json::from_slice(&body).map_err(|error| {
            Refusal::new(Fault::Internal, format!("cannot understand the daemon's answer: {error}"))
                .hint("is it of another version? `codepiper daemon restart` starts the installed one; sessions go on")
        })
    }

    /// Sends a request and waits for the head of its answer; a refusal is read and returned.
    async fn send(
        &self,
        method: Method,
        route: &Route,
        content: Content,
    ) -> Result<Response<Incoming>, Refusal> {
        let mut request = Request::builder().method(&method).uri(&route.0).header(HOST, "localhost");
        let body = match content {
            Content::Nothing => Bytes::new(),
            Content::Json(json) => {
                request = request.header(CONTENT_TYPE, "application/json");
                json.into()
            }
            Content::Form { boundary, body } => {
                request = request.header(CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"));
                body.into()
            }
        };
        let request = request.body(Full::new(body)).map_err(|error| {
            Refusal::new(Fault::Internal, format!("cannot ask for `{}`: {error}", route.0))
        })?;
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(hung_up)?;
        // It carries the bytes, and ends with the connection.
        tokio::spawn(connection);
        let response = tokio::time::timeout(ANSWER_TIME_MAX, sender.send_request(request))
            .await
            .map_err(|_| {
                let seconds = ANSWER_TIME_MAX.as_secs();
                Refusal::new(Fault::Unreachable, format!("the daemon did not answer within {seconds} s"))
                    .hint("`codepiper daemon logs` may tell why")
            })?
            .map_err(hung_up)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = whole(response).await?;
        Err(serde_json::from_slice(&body).unwrap_or_else(|_| {
            Refusal::new(Fault::Internal, format!("the daemon answered {status} to `{method} {}`", route.0))
                .hint("is it of another version? `codepiper daemon restart` starts the installed one; sessions go on")
        }))
    }

    async fn connect(&self) -> Result<UnixStream, Refusal> {
        let stream =
            UnixStream::connect(&self.socket).await.map_err(|error| no_daemon(&self.socket, &error))?;
        let peer = stream.peer_cred().map_err(hung_up)?.uid();
        if peer != rustix::process::getuid().as_raw() {
            let socket = self.socket.display();
            return Err(Refusal::new(
                Fault::Forbidden,
                format!("the daemon at `{socket}` is that of user {peer}"),
            )
            .hint("start your own with another socket: `codepiper --socket PATH daemon start --detach`"));
        }
        Ok(stream)
    }
}

/// A file to send.
#[derive(Debug)]
pub(crate) struct Upload<'a> {
    /// Its name, without folders.
    pub(crate) name: &'a str,
    /// As in `image/png`.
    pub(crate) media_type: &'a str,
    /// What is in it.
    pub(crate) bytes: &'a [u8],
}

/// An answer that goes on.
#[derive(Debug)]
pub(crate) struct Stream {
    response: Response<Incoming>,
}

impl Stream {
    /// A header of the answer.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The next bytes; `None` at the end. An error means that the daemon went away before the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            match self.response.body_mut().frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(hung_up(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    Err(_trailers) => {}
                },
            }
        }
    }
}

/// The path and query of a request; whatever a person typed is escaped in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route(String);

/// What stands for itself in a part of a path and in a query (RFC 3986, unreserved).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Route {
    /// A path of ours.
    pub(crate) fn new(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// What belongs to a session, by whatever a person named it.
    pub(crate) fn session(id: &str, rest: &str) -> Self {
        Self(format!("/sessions/{}{rest}", utf8_percent_encode(id, ESCAPED)))
    }

    /// One of a collection, by whatever a person named it.
    pub(crate) fn one_of(collection: &str, id: &str) -> Self {
        Self(format!("/{collection}/{}", utf8_percent_encode(id, ESCAPED)))
    }

    /// What belongs to something else that a person named.
    pub(crate) fn part(before: &str, id: &str, rest: &str) -> Self {
        Self(format!("{before}{}{rest}", utf8_percent_encode(id, ESCAPED)))
    }

    /// With a name more at the end of the path.
    #[must_use]
    pub(crate) fn then(mut self, name: &str) -> Self {
        self.0.extend(utf8_percent_encode(name, ESCAPED));
        self
    }

    /// With a parameter more.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Display) -> Self {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(name);
        self.0.push('=');
        self.0.extend(utf8_percent_encode(&value.to_string(), ESCAPED));
        self
    }

    /// With a parameter more, if there is a value.
    #[must_use]
    pub(crate) fn with_some(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

/// `()` is no body.
fn content_of(body: &impl Serialize) -> Result<Content, Refusal> {
    let json = serde_json::to_vec(body)
        .map_err(|error| Refusal::new(Fault::Internal, format!("what was to be sent is no JSON: {error}")))?;
    Ok(if json == b"null" { Content::Nothing } else { Content::Json(json) })
}

enum Content {
    Nothing,
    Json(Vec<u8>),
    Form { boundary: String, body: Vec<u8> },
}

/// A form with one file. The boundary is made longer until it does not occur in the file.
fn form(field: &str, file: &Upload<'_>) -> Content {
    let Upload { name, media_type, bytes } = file;
    let mut boundary = "codepiper-boundary".to_owned();
    while contains(bytes, boundary.as_bytes()) {
        boundary.push_str("-0");
    }
    // As browsers do it: what would end the quoted name, or the line, is escaped.
    let name = name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
    let mut body = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\
         content-type: {media_type}\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(bytes);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    Content::Form { boundary, body }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

async fn whole(response: Response<Incoming>) -> Result<Bytes, Refusal> {
    match Limited::new(response.into_body(), ANSWER_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => {
            Err(Refusal::new(Fault::Unreachable, format!("the daemon's answer was cut off: {error}")))
        }
    }
}

fn hung_up(error: impl Display) -> Refusal {
    Refusal::new(Fault::Unreachable, format!("the daemon hung up: {error}"))
        .hint("`codepiper daemon status` tells whether it runs, `codepiper daemon logs` what happened")
}

fn no_daemon(socket: &Path, error: &std::io::Error) -> Refusal {
    let shown = socket.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            Refusal::new(Fault::Unreachable, format!("no daemon is listening on `{shown}`"))
                .hint("`codepiper daemon start --detach` starts one")
        }
        ErrorKind::PermissionDenied => {
            Refusal::new(Fault::Forbidden, format!("the socket `{shown}` is not yours"))
                .hint("start your own with another socket: `codepiper --socket PATH daemon start --detach`")
        }
        ErrorKind::InvalidInput => {
            Refusal::new(Fault::Usage, format!("`{shown}` cannot be a socket: {error}"))
        }
        _ => Refusal::new(Fault::Unreachable, format!("cannot connect to `{shown}`: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_names_a_session_stays_one_part_of_the_path() {
        let check = |id: &str, expected: &str| assert_eq!(Route::session(id, "/stop").0, expected);
        check("a1b2c3d4", "/sessions/a1b2c3d4/stop");
        check("my api", "/sessions/my%20api/stop");
        check("../x?a=b#c", "/sessions/..%2Fx%3Fa%3Db%23c/stop");
        check("50%", "/sessions/50%25/stop");
        check("größe", "/sessions/gr%C3%B6%C3%9Fe/stop");
        check("a\r\nb", "/sessions/a%0D%0Ab/stop");
    }

    #[test]
    fn parameters_are_escaped_and_left_out_when_there_is_none() {
        let route = Route::new("/sessions")
            .with_some("provider", None::<&str>)
            .with("dir", "/a b&c")
            .with_some("status", Some("live"));
        assert_eq!(route.0, "/sessions?dir=%2Fa%20b%26c&status=live");
    }

    #[test]
    fn a_form_survives_any_file_and_name() {
        let bytes = b"\x89--codepiper-boundary--\xff";
        let file = Upload { name: "a\"\r\nb.png", media_type: "image/png", bytes };
        let Content::Form { boundary, body } = form("image", &file) else { panic!("no form") };
        assert_eq!(boundary, "codepiper-boundary-0");
        let expected: &[u8] = b"--codepiper-boundary-0\r\n\
            content-disposition: form-data; name=\"image\"; filename=\"a%22%0D%0Ab.png\"\r\n\
            content-type: image/png\r\n\r\n\
            \x89--codepiper-boundary--\xff\r\n--codepiper-boundary-0--\r\n";
        assert_eq!(body, expected);
    }
}
