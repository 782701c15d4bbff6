//! Hook events from agents. What counts is the session's secret, not who reaches the socket.

use super::Http;
use super::error::{Answer, Body};
use crate::sessions::{Command, Handle, HookAnswer, Waits};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use codepiper_api::defaults::{HOOK_EVENT_ID_HEADER, HOOK_SECRET_HEADER, HOOK_WAITS_HEADER};
use codepiper_api::{Fault, Refusal};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// The longest id an event may bring.
const EVENT_ID_MAX: usize = 64;

pub(super) async fn report(
    State(http): State<Http>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    Ok(match take(&http, &id, &headers, body.to_vec()).await? {
        HookAnswer::Now(text) => text.into_response(),
        HookAnswer::Waits { number, without_us } => {
            (StatusCode::ACCEPTED, [(HOOK_WAITS_HEADER, number.to_string())], without_us).into_response()
        }
    })
}

/// Waits for the answer to an approval: what the hook that asked is to print. It ends with the connection, and then
/// nobody asks any more.
pub(super) async fn wait(
    State(http): State<Http>,
    Path((id, number)): Path<(String, u64)>,
    headers: HeaderMap,
) -> Answer<String> {
    let handle = http.sessions.find(&id)?;
    let secret = header(&headers, HOOK_SECRET_HEADER).to_owned();
    let waits = handle.ask(|reply| Command::WaitForApproval { number, secret, reply }).await?;
    let mut says = match waits {
        Waits::Closed(says) => return Ok(says),
        Waits::Open(says) => says,
    };
    let mut asker = Asker { http, handle, number, is_answered: false };
    let said = says.wait_for(Option::is_some).await.map(|said| said.clone().unwrap_or_default());
    asker.is_answered = true;
    // The session's task has ended: the next daemon, or nobody, will answer.
    said.map_err(|_| Refusal::new(Fault::Unreachable, "the session is let go").into())
}

/// Tells the session when the hook that asks goes away without its answer.
struct Asker {
    http: Http,
    handle: Handle,
    number: u64,
    is_answered: bool,
}

impl Drop for Asker {
    fn drop(&mut self) {
        // A daemon that ends cuts the connection itself; the hook comes back to the next one.
        if !self.is_answered && !self.http.app.is_ending.load(Ordering::Relaxed) {
            let (handle, number) = (self.handle.clone(), self.number);
            tokio::spawn(async move { handle.tell(Command::HookGone { number }).await });
        }
    }
}

/// What an agent gives its status line. It proves itself like a hook.
pub(super) async fn status_line(
    State(http): State<Http>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<String> {
    let handle = http.sessions.find(&id)?;
    let secret = header(&headers, HOOK_SECRET_HEADER).to_owned();
    handle.ask(|reply| Command::StatusLine { secret, body: body.to_vec(), reply }).await?;
    Ok(String::new())
}

/// The body of the original's hook forwarder.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Original {
    session_id: String,
    event: String,
    #[serde(default)]
    data: Value,
}

pub(super) async fn report_as_original(
    State(http): State<Http>,
    headers: HeaderMap,
    Body(original): Body<Original>,
) -> Answer<Json<Value>> {
    let mut data = if original.data.is_object() { original.data } else { json!({}) };
    if data.get("hook_event_name").is_none() {
        data["hook_event_name"] = json!(original.event);
    }
    take(&http, &original.session_id, &headers, data.to_string().into_bytes()).await?;
    Ok(Json(json!({ "success": true })))
}

async fn take(http: &Http, id: &str, headers: &HeaderMap, body: Vec<u8>) -> Result<HookAnswer, Refusal> {
    let handle = http.sessions.find(id)?;
    let secret = header(headers, HOOK_SECRET_HEADER).to_owned();
    let uid = header(headers, HOOK_EVENT_ID_HEADER);
    let uid = (!uid.is_empty() && uid.len() <= EVENT_ID_MAX).then(|| uid.to_owned());
    handle.ask(|reply| Command::Hook { uid, secret, body, reply }).await
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
