//! Questions that wait for a person.

use super::Http;
use super::error::{Answer, Body, Query};
use crate::sessions::{Asked, internal};
use axum::Json;
use axum::extract::{Path, State};
use codepiper_api::approvals::{
    APPROVALS_MAX, AnswerApproval, Approval, ApprovalBody, ApprovalList, ApprovalQuery, NOTE_MAX,
};
use codepiper_api::{Fault, Refusal};
use codepiper_core::approval::{ApprovalId, Standing};
use codepiper_core::gate::Wants;
use codepiper_store::approvals::{self, ApprovalRow};
use serde_json::json;

/// Who answered, for the audit. Logins come with the dashboard.
const BY: &str = "the owner, through the socket";

pub(super) async fn list(
    State(http): State<Http>,
    Query(query): Query<ApprovalQuery>,
) -> Answer<Json<ApprovalList>> {
    let standing = match query.state.as_deref() {
        None => Some(Standing::Open),
        Some("all") => None,
        Some(word) => Some(Standing::parse(word).ok_or_else(|| {
            let words: Vec<&str> = Standing::ALL.into_iter().map(Standing::word).collect();
            Refusal::field("state", format_args!("`{word}` is none of all, {}", words.join(", ")))
        })?),
    };
    let limit = query.limit.unwrap_or(APPROVALS_MAX);
    if limit == 0 || limit > APPROVALS_MAX {
        return Err(Refusal::field("limit", format_args!("must be from 1 to {APPROVALS_MAX}")).into());
    }
    let session = query.session.map(|session| http.sessions.find(&session)).transpose()?;
    let session = session.map(|handle| handle.id);
    let rows = http
        .app
        .store
        .read(move |connection| approvals::list(connection, session.as_ref(), standing, limit))
        .await
        .map_err(|error| internal("reading the approvals", error))?;
    let approvals = rows.into_iter().map(|row| view(&http, row)).collect::<Result<_, _>>()?;
    Ok(Json(ApprovalList { approvals }))
}

pub(super) async fn get(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<ApprovalBody>> {
    Ok(Json(ApprovalBody { approval: find(&http, &parse(&id)?).await? }))
}

pub(super) async fn answer(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(answer): Body<AnswerApproval>,
) -> Answer<Json<ApprovalBody>> {
    let id = parse(&id)?;
    if answer.note.as_ref().is_some_and(|note| note.chars().count() > NOTE_MAX) {
        return Err(Refusal::field("note", format_args!("is longer than {NOTE_MAX} characters")).into());
    }
    // The approval first: of a session that has left the list it still tells how it was closed.
    let known = find(&http, &id).await?;
    let handle = match http.sessions.find(id.session().as_str()) {
        Ok(handle) => handle,
        Err(_) => {
            let (word, by) = (known.state.word(), known.closed_by.unwrap_or_else(|| "nobody".into()));
            let refusal = format!("approval {id} is not open any more: {word}, by {by}");
            return Err(Refusal::new(Fault::Conflict, refusal).into());
        }
    };
    let provider = http.app.providers.find(&handle.known().row.provider)?;
    handle.answer_approval(&http.app, provider, &id, &answer, BY).await?;
    Ok(Json(ApprovalBody { approval: find(&http, &id).await? }))
}

fn parse(id: &str) -> Result<ApprovalId, Refusal> {
    ApprovalId::parse(id).map_err(|bad| {
        Refusal::new(Fault::Usage, bad.to_string()).hint("`codepiper approvals` lists the open ones")
    })
}

async fn find(http: &Http, id: &ApprovalId) -> Result<Approval, Refusal> {
    let wanted = id.clone();
    let row = http
        .app
        .store
        .read(move |connection| approvals::get(connection, &wanted))
        .await
        .map_err(|error| internal("reading the approval", error))?;
    let row = row.ok_or_else(|| {
        Refusal::new(Fault::NotFound, format!("there is no approval `{id}`"))
            .hint("`codepiper approvals` lists the open ones")
    })?;
    view(http, row)
}

fn view(http: &Http, row: ApprovalRow) -> Result<Approval, Refusal> {
    let asked: Asked =
        serde_json::from_value(row.body).map_err(|error| internal("reading the approval", error))?;
    let session_id = row.id.session().clone();
    let handle = http.sessions.find(session_id.as_str()).ok();
    let session_name = handle.as_ref().and_then(|handle| handle.known().row.name.clone());
    let is_open = row.standing == Standing::Open && asked.wants == Wants::Permission;
    let always_rule = handle
        .filter(|_| is_open)
        .and_then(|handle| handle.rule_for(&asked, &row.digest).ok().map(|rule| json!(rule)));
    let (closed_by, reach, note) = match asked.closed {
        Some(closed) => (Some(closed.by), Some(closed.reach), closed.note),
        None => (None, None, None),
    };
    Ok(Approval {
        id: row.id,
        session_id,
        session_name,
        state: row.standing,
        wants: asked.wants,
        tool: asked.tool,
        args: asked.args,
        shown: asked.shown,
        why: asked.why,
        agent: asked.agent,
        always_rule,
        digest: row.digest,
        asked_at: row.asked_at,
        expires_at: row.expires_at,
        closed_at: row.closed_at,
        closed_by,
        reach,
        note,
    })
}
