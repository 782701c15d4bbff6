//! The audit log: read and checked, never changed.

use super::Http;
use super::error::{Answer, Query};
use crate::sessions::internal;
use axum::Json;
use axum::extract::State;
use codepiper_api::Refusal;
use codepiper_api::audit::{AUDIT_MAX, AUDIT_WAIT_MAX, AuditQuery, Broken, Entry, EntryPage, Head, Verified};
use codepiper_core::ids::SessionId;
use codepiper_store::audit::{self, Filter, StoredEntry};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

pub(super) async fn list(
    State(http): State<Http>,
    Query(query): Query<AuditQuery>,
) -> Answer<Json<EntryPage>> {
    let limit = query.limit.unwrap_or(AUDIT_MAX);
    if limit == 0 || limit > AUDIT_MAX {
        return Err(Refusal::field("limit", format_args!("must be from 1 to {AUDIT_MAX}")).into());
    }
    let wait = query.wait.unwrap_or(0);
    if wait > AUDIT_WAIT_MAX {
        return Err(Refusal::field("wait", format_args!("must be at most {AUDIT_WAIT_MAX} seconds")).into());
    }
    let session = query.session.as_deref().map(|session| find_session(&http, session)).transpose()?;
    let filter = Filter {
        session,
        kind: query.kind,
        decision: query.decision,
        call: query.call,
        after: query.after,
        before: query.before,
        since: query.since,
        last: query.last.unwrap_or(false),
        limit,
    };
    let until = Instant::now() + Duration::from_secs(wait.into());
    let mut audited = http.app.audited.subscribe();
    loop {
        audited.mark_unchanged();
        let (entries, has_more) = read(&http, filter.clone()).await?;
        let is_over = !entries.is_empty() || timeout_at(until, audited.changed()).await.is_err();
        if is_over {
            let entries = entries.into_iter().map(view).collect();
            return Ok(Json(EntryPage { entries, has_more }));
        }
    }
}

pub(super) async fn verify(State(http): State<Http>) -> Answer<Json<Verified>> {
    let found = http.app.store.read(audit::verify).await;
    let found = found.map_err(|error| internal("checking the audit log", error))?;
    Ok(Json(Verified {
        entries: found.entries,
        head: found.head.map(|(id, hash)| Head { id, hash }),
        broken: found.broken.map(|(id, why)| Broken { id, why }),
    }))
}

/// The original's query.
#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Original {
    session_id: Option<String>,
    decision: Option<String>,
    limit: u32,
}

impl Default for Original {
    fn default() -> Self {
        Self { session_id: None, decision: None, limit: 100 }
    }
}

/// The decisions as the original gives them: of one session the oldest first, of all the newest first.
pub(super) async fn as_original(
    State(http): State<Http>,
    Query(query): Query<Original>,
) -> Answer<Json<Value>> {
    if query.limit == 0 || query.limit > AUDIT_MAX {
        return Err(Refusal::field("limit", format_args!("must be from 1 to {AUDIT_MAX}")).into());
    }
    if let Some(decision) = query.decision.as_deref().filter(|word| !["allow", "deny", "ask"].contains(word))
    {
        return Err(
            Refusal::field("decision", format_args!("`{decision}` is none of allow, deny, ask")).into()
        );
    }
    let session = query.session_id.as_deref().map(|session| find_session(&http, session)).transpose()?;
    let newest_first = session.is_none();
    let filter = Filter {
        session,
        kind: Some("decision".into()),
        // What no rule decided is an `ask` there.
        decision: query.decision.clone().filter(|decision| decision != "ask"),
        last: newest_first,
        limit: query.limit,
        ..Filter::default()
    };
    let (entries, _) = read(&http, filter).await?;
    let mut decisions: Vec<Value> = entries.iter().filter_map(original_view).collect();
    if let Some(wanted) = query.decision {
        decisions.retain(|decision| decision["decision"] == wanted);
    }
    if newest_first {
        decisions.reverse();
    }
    Ok(Json(json!({ "decisions": decisions })))
}

fn original_view(stored: &StoredEntry) -> Option<Value> {
    let body = &stored.entry.body;
    let decision = match stored.entry.decision.as_deref()? {
        "none" => "ask",
        decision => decision,
    };
    Some(json!({
        "id": stored.seq, "sessionId": stored.entry.session, "policyId": body.pointer("/by/policy"),
        "toolName": stored.entry.tool, "args": body.get("args"), "decision": decision,
        "reason": body.get("reason"), "timestamp": stored.entry.at,
    }))
}

/// A session by whatever a person calls it; by its whole id also when it has left the list.
pub(super) fn find_session(http: &Http, wanted: &str) -> Result<SessionId, Refusal> {
    match (http.sessions.find(wanted), SessionId::parse(wanted)) {
        (Ok(handle), _) => Ok(handle.id),
        (Err(_), Ok(id)) => Ok(id),
        (Err(refusal), Err(_)) => Err(refusal),
    }
}

async fn read(http: &Http, filter: Filter) -> Result<(Vec<StoredEntry>, bool), Refusal> {
    let read = http.app.store.read(move |connection| audit::list(connection, &filter)).await;
    read.map_err(|error| internal("reading the audit log", error))
}

fn view(stored: StoredEntry) -> Entry {
    Entry {
        id: stored.seq,
        timestamp: stored.entry.at,
        session_id: stored.entry.session,
        kind: stored.entry.kind,
        tool: stored.entry.tool,
        decision: stored.entry.decision,
        body: stored.entry.body,
        hash: stored.hash,
    }
}
