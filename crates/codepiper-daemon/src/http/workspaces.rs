//! Workspaces.

use super::Http;
use super::error::{Answer, Body};
use crate::workspaces;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use codepiper_api::sessions::Done;
use codepiper_api::workspaces::{ChangeWorkspace, WorkspaceBody, WorkspaceList};

pub(super) async fn list(State(http): State<Http>) -> Answer<Json<WorkspaceList>> {
    Ok(Json(WorkspaceList { workspaces: workspaces::list(&http.app).await? }))
}

pub(super) async fn create(
    State(http): State<Http>,
    Body(wanted): Body<ChangeWorkspace>,
) -> Answer<(StatusCode, Json<WorkspaceBody>)> {
    let workspace = workspaces::create(&http.app, wanted).await?;
    Ok((StatusCode::CREATED, Json(WorkspaceBody { workspace })))
}

pub(super) async fn get(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<WorkspaceBody>> {
    Ok(Json(WorkspaceBody { workspace: workspaces::get(&http.app, &id).await? }))
}

pub(super) async fn change(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(change): Body<ChangeWorkspace>,
) -> Answer<Json<WorkspaceBody>> {
    Ok(Json(WorkspaceBody { workspace: workspaces::change(&http.app, &id, change).await? }))
}

pub(super) async fn remove(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<Done>> {
    workspaces::remove(&http.app, &id).await?;
    Ok(Json(Done { success: true }))
}
