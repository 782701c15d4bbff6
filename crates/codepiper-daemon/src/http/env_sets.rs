//! Env sets. What goes out is masked.

use super::Http;
use super::error::{Answer, Body};
use crate::{env_sets, workspaces};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use codepiper_api::env_sets::{
    ChangeEnvSet, CreateEnvSet, EnvSetBody, EnvSetList, EnvSetRemoved, KeyRotated, RotateKey,
};

pub(super) async fn list(State(http): State<Http>) -> Answer<Json<EnvSetList>> {
    Ok(Json(EnvSetList { env_sets: env_sets::list(&http.app).await? }))
}

pub(super) async fn create(
    State(http): State<Http>,
    Body(wanted): Body<CreateEnvSet>,
) -> Answer<(StatusCode, Json<EnvSetBody>)> {
    Ok((StatusCode::CREATED, Json(env_sets::create(&http.app, wanted).await?)))
}

pub(super) async fn get(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<EnvSetBody>> {
    Ok(Json(EnvSetBody { env_set: env_sets::get(&http.app, &id).await?, warnings: Vec::new() }))
}

pub(super) async fn change(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(change): Body<ChangeEnvSet>,
) -> Answer<Json<EnvSetBody>> {
    Ok(Json(env_sets::change(&http.app, &id, change).await?))
}

pub(super) async fn remove(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<EnvSetRemoved>> {
    let set = env_sets::remove(&http.app, &id).await?;
    let used_by_workspaces = workspaces::using(&http.app, &set).await?;
    Ok(Json(EnvSetRemoved {
        success: true,
        used_by_sessions: http.sessions.using(&set),
        used_by_workspaces,
        id: set.id.to_string(),
        name: set.name,
    }))
}

pub(super) async fn rotate(
    State(http): State<Http>,
    Body(request): Body<RotateKey>,
) -> Answer<Json<KeyRotated>> {
    // In a task of its own: a client that hangs up must not leave the old key lying about.
    let app = http.app.clone();
    let rotated = tokio::spawn(async move { env_sets::rotate(&app, request.delete_old).await }).await;
    Ok(Json(rotated.map_err(|error| crate::sessions::internal("rotating the key", error))??))
}
