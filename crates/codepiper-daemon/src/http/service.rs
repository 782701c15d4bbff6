//! The daemon itself.

use super::Http;
use super::error::{Answer, Body};
use crate::{knowledge, settings};
use axum::Json;
use axum::extract::State;
use codepiper_api::Refusal;
use codepiper_api::providers::ProviderList;
use codepiper_api::service::{Backup, BackupRequest, Health, Transcripts, Version};
use codepiper_api::settings::SettingsBody;
use codepiper_tmux::Link;
use serde_json::{Map, Value};

pub(super) async fn health(State(http): State<Http>) -> Json<Health> {
    let app = &http.app;
    let known = http.sessions.list();
    let names: Vec<String> = known.iter().map(|known| known.row.id.tmux_name()).collect();
    let panes = app.tmux.panes().await.unwrap_or_default();
    let zombies = panes
        .iter()
        .filter(|pane| pane.session.starts_with("codepiper-") && !names.contains(&pane.session))
        .count();
    let link = match app.tmux.link().await {
        Link::Control => "control",
        Link::Processes => "processes",
        Link::ProcessesAfterFailure => "processes, because tmux refused a control client",
    };
    Json(Health {
        status: "ok".into(),
        zombie_session_count: zombies as u32,
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        uptime_seconds: app.started.elapsed().as_secs(),
        live_sessions: known.iter().filter(|known| known.state().is_live()).count() as u32,
        tmux_link: link.into(),
        socket: app.config.socket.clone(),
        database: app.config.database.clone(),
        log: app.config.log_file(),
        transcripts: knowledge::quality(app).await.unwrap_or_else(|refusal| {
            tracing::warn!(%refusal, "what was read is not known");
            Transcripts::default()
        }),
    })
}

pub(super) async fn version() -> Json<Version> {
    Json(Version { version: env!("CARGO_PKG_VERSION").into() })
}

pub(super) async fn providers(State(http): State<Http>) -> Json<ProviderList> {
    let path = http.app.config.environment.get("PATH").map(String::as_str);
    Json(ProviderList { providers: http.app.providers.view(path).await })
}

pub(super) async fn backup(
    State(http): State<Http>,
    Body(request): Body<BackupRequest>,
) -> Answer<Json<Backup>> {
    if !request.path.is_absolute() {
        return Err(Refusal::field("path", "must be absolute").into());
    }
    if request.path.exists() {
        let shown = request.path.display();
        return Err(
            Refusal::field("path", format_args!("`{shown}` exists; a backup never overwrites")).into()
        );
    }
    let report = http
        .app
        .store
        .backup(request.path.clone())
        .await
        .map_err(|error| crate::sessions::internal("making the backup", error))?;
    let path = request.path;
    Ok(Json(Backup { path, schema: report.schema, sessions: report.sessions, last_event: report.last_event }))
}

pub(super) async fn settings(State(http): State<Http>) -> Json<SettingsBody> {
    Json(SettingsBody { settings: settings::all(&http.app).await })
}

pub(super) async fn change_settings(
    State(http): State<Http>,
    Body(wanted): Body<Map<String, Value>>,
) -> Answer<Json<SettingsBody>> {
    settings::change(&http.app, &wanted).await?;
    Ok(Json(SettingsBody { settings: settings::all(&http.app).await }))
}
