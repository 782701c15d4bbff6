//! Hook events from agents. What counts is the session's secret, not who reaches the socket.

use super::Http;
use super::error::{Answer, Body};
use crate::sessions::Command;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use codepiper_api::Refusal;
use codepiper_api::defaults::{HOOK_EVENT_ID_HEADER, HOOK_SECRET_HEADER};
use serde::Deserialize;
use serde_json::{Value, json};

/// The longest id an event may bring.
const EVENT_ID_MAX: usize = 64;

pub(super) async fn report(
    State(http): State<Http>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<String> {
    take(&http, &id, &headers, body.to_vec()).await.map_err(Into::into)
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

async fn take(http: &Http, id: &str, headers: &HeaderMap, body: Vec<u8>) -> Result<String, Refusal> {
    let handle = http.sessions.find(id)?;
    let secret = header(headers, HOOK_SECRET_HEADER).to_owned();
    let uid = header(headers, HOOK_EVENT_ID_HEADER);
    let uid = (!uid.is_empty() && uid.len() <= EVENT_ID_MAX).then(|| uid.to_owned());
    handle.ask(|reply| Command::Hook { uid, secret, body, reply }).await
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
