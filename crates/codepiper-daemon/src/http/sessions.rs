//! Sessions: list, create, look at, end, bring back.

use super::Http;
use super::error::{Answer, Body, Query};
use crate::policies::session_gone;
use crate::sessions::{Command, EndKind, Handle, check_name, check_shell, check_size, view};
use crate::worktrees;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use codepiper_api::sessions::{
    Attach, CreateSession, Done, Removed, Rename, Resize, ResumeSession, Session, SessionBody, SessionList,
    SessionQuery,
};
use codepiper_api::{Fault, Refusal};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

/// Who asked, for the event log. The socket is the owner's; logins come with the dashboard.
const BY: &str = "the owner, through the socket";

pub(super) async fn list(
    State(http): State<Http>,
    Query(query): Query<SessionQuery>,
) -> Answer<Json<SessionList>> {
    let mut sessions = http.sessions.views();
    if let Some(provider) = &query.provider {
        let wanted = http.app.providers.find(provider)?.id().to_owned();
        sessions.retain(|session| session.provider == wanted);
    }
    if let Some(status) = &query.status {
        check_status(status)?;
        sessions.retain(|session| has_status(session, status));
    }
    if let Some(dir) = &query.dir {
        sessions.retain(|session| std::path::Path::new(&session.cwd).starts_with(dir));
    }
    Ok(Json(SessionList { sessions, limits: http.app.live.limits(Timestamp::now()) }))
}

const STATUS_WORDS: [&str; 11] = [
    "live",
    "ended",
    "starting",
    "idle",
    "running",
    "waiting",
    "needs_permission",
    "needs_input",
    "stopped",
    "crashed",
    "all",
];

fn check_status(status: &str) -> Result<(), Refusal> {
    if STATUS_WORDS.contains(&status.to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(Refusal::field("status", format_args!("`{status}` is none of {}", STATUS_WORDS.join(", "))))
}

fn has_status(session: &Session, wanted: &str) -> bool {
    let is_live = !matches!(session.state.as_str(), "stopped" | "crashed");
    let status = json!(session.status).as_str().unwrap_or_default().to_ascii_lowercase();
    match wanted.to_ascii_lowercase().as_str() {
        "all" => true,
        "live" => is_live,
        "ended" => !is_live,
        // `RUNNING` on the wire covers idle; the finer word is what a person means by `running`.
        word => {
            session.state == word
                || (status == word && wanted != word)
                || (status == word && word.contains('_'))
        }
    }
}

pub(super) async fn create(
    State(http): State<Http>,
    Body(request): Body<CreateSession>,
) -> Answer<(StatusCode, Json<SessionBody>)> {
    // In a task of its own: a client that hangs up must not leave half a session behind.
    let sessions = http.sessions.clone();
    let created = tokio::spawn(async move { sessions.create(request, BY).await }).await;
    let (handle, notes) =
        created.map_err(|error| crate::sessions::internal("creating the session", error))??;
    Ok((StatusCode::CREATED, with_notes(&http, &handle, notes)))
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Validate {
    cwd: String,
}

/// What would be said of a folder before a session starts in it.
pub(super) async fn validate(Body(request): Body<Validate>) -> Answer<Json<Value>> {
    let cwd = std::path::Path::new(&request.cwd);
    if !cwd.is_absolute() {
        return Err(Refusal::field("cwd", "must be an absolute path").into());
    }
    let exists = cwd.is_dir();
    let facts = worktrees::inspect(cwd).await;
    let errors: Vec<String> =
        if exists { Vec::new() } else { vec![format!("`{}` is no folder", request.cwd)] };
    let warnings: Vec<&String> = facts.problem.iter().filter(|_| facts.is_repo).collect();
    Ok(Json(json!({
        "valid": exists, "directoryExists": exists, "isGitRepo": facts.is_repo, "errors": errors,
        "warnings": warnings, "gitInfo": facts.is_repo.then_some(&facts),
    })))
}

pub(super) async fn get(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<SessionBody>> {
    let handle = http.sessions.find(&id)?;
    Ok(body(&http, &handle))
}

pub(super) async fn rename(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(request): Body<Rename>,
) -> Answer<Json<SessionBody>> {
    let handle = http.sessions.find(&id)?;
    let name = request.name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    if let Some(name) = &name {
        check_name(name)?;
    }
    handle.ask(|reply| Command::Rename { name, reply }).await?;
    Ok(body(&http, &handle))
}

pub(super) async fn stop(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<Done>> {
    end(&http, &id, EndKind::Stop).await
}

pub(super) async fn kill(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<Done>> {
    end(&http, &id, EndKind::Kill).await
}

async fn end(http: &Http, id: &str, kind: EndKind) -> Answer<Json<Done>> {
    let handle = http.sessions.find(id)?;
    handle.ask(|reply| Command::End { kind, by: BY.into(), reply }).await?;
    Ok(Json(Done { success: true }))
}

pub(super) async fn resume(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(request): Body<ResumeSession>,
) -> Answer<Json<SessionBody>> {
    let handle = http.sessions.find(&id)?;
    check_shell(&request.shell_env)?;
    handle.ask(|reply| Command::Resume { shell: request.shell_env, reply }).await?;
    let notes = handle.known().launch_notes.clone();
    Ok(with_notes(&http, &handle, notes))
}

/// Live sessions are adopted at the daemon's start, so there is nothing to do for one; an ended one goes on
/// with its conversation.
pub(super) async fn recover(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(request): Body<ResumeSession>,
) -> Answer<Json<SessionBody>> {
    let handle = http.sessions.find(&id)?;
    check_shell(&request.shell_env)?;
    if handle.known().state().is_live() {
        return Ok(body(&http, &handle));
    }
    handle.ask(|reply| Command::Resume { shell: request.shell_env, reply }).await?;
    let notes = handle.known().launch_notes.clone();
    Ok(with_notes(&http, &handle, notes))
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RemoveQuery {
    force: bool,
}

pub(super) async fn remove(
    State(http): State<Http>,
    Path(id): Path<String>,
    Query(query): Query<RemoveQuery>,
) -> Answer<Json<Removed>> {
    let handle = http.sessions.find(&id)?;
    if query.force {
        handle.ask(|reply| Command::End { kind: EndKind::Kill, by: BY.into(), reply }).await?;
    }
    let worktree = http.sessions.remove(&handle).await?;
    session_gone(&http.app, &handle.id).await?;
    Ok(Json(Removed { success: true, worktree }))
}

pub(super) async fn resize(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(size): Body<Resize>,
) -> Answer<Json<Done>> {
    let handle = http.sessions.find(&id)?;
    check_size(size.cols, size.rows)?;
    handle.ask(|reply| Command::Resize { cols: size.cols, rows: size.rows, reply }).await?;
    Ok(Json(Done { success: true }))
}

/// How to attach to the session's terminal with tmux itself.
pub(super) async fn attach(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<Attach>> {
    let handle = http.sessions.find(&id)?;
    let known = handle.known();
    let name = handle.id.tmux_name();
    let panes = http
        .app
        .tmux
        .panes()
        .await
        .map_err(|error| crate::sessions::internal("asking tmux for its sessions", error))?;
    let Some(pane) = panes.iter().find(|pane| pane.session == name) else {
        let refusal =
            format!("session {} has no terminal any more: {}", handle.id, known.row.standing.reason);
        return Err(Refusal::new(Fault::Conflict, refusal)
            .hint(format!(
                "`codepiper tail {0}` prints what it said last, `codepiper resume {0}` starts it again",
                handle.id
            ))
            .into());
    };
    let server = http.app.tmux.server();
    let arguments: Vec<String> =
        server.arguments().iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    Ok(Json(Attach {
        program: server.program.display().to_string(),
        arguments,
        session: name,
        pane: pane.id.clone(),
        server_pid: pane.server,
        live: known.state().is_live(),
    }))
}

fn body(http: &Http, handle: &Handle) -> Json<SessionBody> {
    Json(SessionBody { session: view(&http.app, &handle.known(), Timestamp::now()), notes: Vec::new() })
}

/// The session after a launch, with what the person should know of it.
fn with_notes(http: &Http, handle: &Handle, notes: Vec<String>) -> Json<SessionBody> {
    let Json(body) = body(http, handle);
    Json(SessionBody { notes, ..body })
}
