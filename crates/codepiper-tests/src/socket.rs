//! A small HTTP client for the daemon's socket, for tests.

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::path::Path;
use tokio::net::UnixStream;

/// Sends one request on a connection of its own.
pub(crate) async fn send(
    socket: &Path,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Response<Incoming>> {
    let stream = UnixStream::connect(socket).await.context("connecting to the daemon")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        let _ended_with_the_daemon = connection.await;
    });
    let mut request = Request::builder().method(method).uri(path).header("host", "codepiper");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Ok(sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?)
}

/// The status and JSON body of an answer.
pub(crate) async fn json(response: Response<Incoming>) -> Result<(u16, Value)> {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    match serde_json::from_slice(&body) {
        Ok(value) => Ok((status, value)),
        Err(_) => Ok((status, Value::String(String::from_utf8_lossy(&body).into_owned()))),
    }
}

/// Reads an event stream until the test is content.
pub(crate) async fn read_events(
    response: Response<Incoming>,
    mut take: impl FnMut(Value) -> bool,
) -> Result<()> {
    let mut body = response.into_body();
    let mut text = String::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        text.push_str(std::str::from_utf8(&data)?);
        while let Some(end) = text.find("\n\n") {
            let block: String = text.drain(..end + 2).collect();
            let data: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
            if !data.is_empty() && take(serde_json::from_str(&data.join("\n"))?) {
                return Ok(());
            }
        }
    }
    bail!("the event stream ended")
}

/// Reads a stream of bytes until they hold the text; all of them.
pub(crate) async fn read_until(response: Response<Incoming>, text: &[u8]) -> Result<Vec<u8>> {
    let mut body = response.into_body();
    let mut seen = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            let searched = seen.len().saturating_sub(text.len());
            seen.extend_from_slice(&data);
            if seen[searched..].windows(text.len()).any(|window| window == text) {
                return Ok(seen);
            }
        }
    }
    bail!("the stream ended")
}
