//! Taking in what agents left on this machine.

use super::Http;
use super::error::{Answer, Body};
use crate::knowledge::{self, ImportFrom};
use axum::Json;
use axum::body::{Body as Stream, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use codepiper_api::knowledge::{ImportProgress, ImportRequest, Repriced};
use codepiper_api::{Fault, Refusal};
use std::convert::Infallible;
use std::path::Path;
use tokio::sync::watch;

pub(super) async fn import(State(http): State<Http>, Body(request): Body<ImportRequest>) -> Answer<Response> {
    let from = folders(&http, &request)?;
    let progress = knowledge::import(&http.app, from);
    let lines = futures_util::stream::unfold(Some(progress), |progress| async move {
        let mut progress = progress?;
        let now = progress.borrow_and_update().clone();
        let line = line(&now);
        let next = if now.done || !goes_on(&mut progress).await { None } else { Some(progress) };
        Some((Ok::<_, Infallible>(line), next))
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Stream::from_stream(lines)).into_response())
}

pub(super) async fn reprice(State(http): State<Http>) -> Answer<Json<Repriced>> {
    Ok(Json(Repriced { changed: knowledge::reprice(&http.app).await? }))
}

/// Whether there is more to tell. An import that breaks off says nothing more.
async fn goes_on(progress: &mut watch::Receiver<ImportProgress>) -> bool {
    progress.changed().await.is_ok()
}

fn line(progress: &ImportProgress) -> Bytes {
    let mut line = serde_json::to_vec(progress).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// Where the agents keep their conversations.
fn folders(http: &Http, request: &ImportRequest) -> Result<Vec<ImportFrom>, Refusal> {
    if let Some(provider) = &request.provider {
        http.app.providers.find(provider)?;
    }
    for (name, folder) in
        [("claudeConfigDir", &request.claude_config_dir), ("codexHome", &request.codex_home)]
    {
        if let Some(folder) = folder.as_ref().filter(|folder| !Path::new(folder).is_absolute()) {
            return Err(Refusal::field(name, format_args!("`{folder}` is not an absolute path")));
        }
        if let Some(folder) = folder.as_ref().filter(|folder| !Path::new(folder).is_dir()) {
            return Err(Refusal::field(name, format_args!("`{folder}` is no folder"))
                .hint("leave it out to look where the agent keeps its files by itself"));
        }
    }
    let variable = |name: &str| {
        let given = match name {
            "CLAUDE_CONFIG_DIR" => request.claude_config_dir.clone(),
            "CODEX_HOME" => request.codex_home.clone(),
            _ => None,
        };
        given.or_else(|| http.app.config.environment.get(name).cloned())
    };
    let mut from: Vec<ImportFrom> = Vec::new();
    for provider in http.app.providers.all() {
        let Some(folder) = provider.dialect().transcript_folder(&variable) else { continue };
        // The demo agent speaks like Claude Code and would find its files.
        if provider.dialect().reader().is_some() && !from.iter().any(|other| other.folder == folder) {
            from.push(ImportFrom { provider: provider.clone(), folder });
        }
    }
    if let Some(wanted) = &request.provider {
        from.retain(|from| from.provider.id() == wanted);
    }
    if from.is_empty() {
        let provider = request.provider.clone().unwrap_or_default();
        return Err(Refusal::new(
            Fault::NotFound,
            format!("provider `{provider}` keeps no conversations that can be taken in"),
        )
        .hint("claude-code and codex do"));
    }
    Ok(from)
}
