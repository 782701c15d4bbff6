//! Input into sessions: texts, keys, commands, pictures, models.

use super::Http;
use super::error::{Answer, Body};
use crate::sessions::{Command, Handle, Input, is_model};
use axum::Json;
use axum::extract::{FromRequest, Multipart, Path, Request, State};
use codepiper_api::sessions::{Done, KEYS_MAX, Model, SendKeys, SendText, Sent, SetModel, Slash, TEXT_MAX};
use codepiper_api::{Fault, Refusal};
use codepiper_core::hook::ToolCall;
use codepiper_core::images::{IMAGE_MAX, ImageKind};
use codepiper_core::keys;
use serde_json::{Value, json};
use std::path::PathBuf;

/// The policy channel of agents without hooks.
const INPUT_PREFLIGHT: &str = "input-preflight";

pub(super) async fn send(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(request): Body<SendText>,
) -> Answer<Json<Sent>> {
    let handle = http.sessions.find(&id)?;
    if request.text.chars().count() > TEXT_MAX {
        return Err(Refusal::new(Fault::TooLarge, format!("`text` is longer than {TEXT_MAX} characters"))
            .hint("write it to a file and tell the agent where it is")
            .into());
    }
    if request.text.contains('\0') {
        return Err(Refusal::field("text", "holds a NUL character, which no terminal takes").into());
    }
    let images_folder = http.app.config.session_folder(&handle.id).join("images");
    let images: Vec<PathBuf> = request.images.iter().map(PathBuf::from).collect();
    if let Some(foreign) = images.iter().find(|image| image.parent() != Some(&images_folder)) {
        let shown = foreign.display();
        return Err(
            Refusal::field("images", format_args!("`{shown}` was not uploaded to this session")).into()
        );
    }
    let input = json!({ "input": request.text, "newline": request.newline });
    preflight(&http, &handle, "terminal_input", input).await?;
    Ok(Json(type_text(&handle, request.text, images, request.newline).await?))
}

pub(super) async fn slash(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(request): Body<Slash>,
) -> Answer<Json<Sent>> {
    let handle = http.sessions.find(&id)?;
    let provider = http.app.providers.find(&handle.known().row.provider)?;
    if !provider.capabilities().supports_slash {
        let refusal = format!("{} knows no slash commands", provider.definition.label);
        return Err(Refusal::new(Fault::Conflict, refusal).into());
    }
    let command = request.command.trim().trim_start_matches('/');
    let is_plain = |text: &str| !text.contains(['\n', '\r', '\0']);
    if command.is_empty() || !is_plain(command) || !request.args.iter().all(|arg| is_plain(arg)) {
        return Err(Refusal::field("command", "must be one line and not empty").into());
    }
    let mut line = format!("/{command}");
    for argument in &request.args {
        line.push(' ');
        line.push_str(argument);
    }
    preflight(&http, &handle, "terminal_input", json!({ "input": line, "newline": true })).await?;
    Ok(Json(type_text(&handle, line, Vec::new(), true).await?))
}

/// Holds an input against the rules, where nothing else of the agent can be.
async fn preflight(http: &Http, handle: &Handle, tool: &str, mut args: Value) -> Result<(), Refusal> {
    let known = handle.known();
    let provider = http.app.providers.find(&known.row.provider)?;
    if provider.capabilities().policy_channel != INPUT_PREFLIGHT {
        return Ok(());
    }
    args["provider"] = json!(provider.id());
    let call = ToolCall { tool: tool.to_owned(), args, use_id: None, agent: None };
    handle.ask(|reply| Command::Preflight { call, reply }).await
}

async fn type_text(
    handle: &Handle,
    text: String,
    images: Vec<PathBuf>,
    submit: bool,
) -> Result<Sent, Refusal> {
    handle.input(|reply| Input::Text { text, images, submit, reply }).await
}

pub(super) async fn keys(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(request): Body<SendKeys>,
) -> Answer<Json<Done>> {
    let handle = http.sessions.find(&id)?;
    if request.keys.is_empty() || request.keys.len() > KEYS_MAX {
        return Err(Refusal::field("keys", format_args!("must be 1 to {KEYS_MAX}")).into());
    }
    let mut parsed = Vec::new();
    for text in &request.keys {
        parsed.extend(keys::parse_all(text).map_err(|error| Refusal::field("keys", error))?);
    }
    preflight(&http, &handle, "terminal_keys", json!({ "keys": request.keys })).await?;
    handle.input(|reply| Input::Keys { keys: parsed, reply }).await?;
    Ok(Json(Done { success: true }))
}

pub(super) async fn interrupt(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<Done>> {
    let handle = http.sessions.find(&id)?;
    let provider = http.app.providers.find(&handle.known().row.provider)?;
    handle.interrupt(&http.app, provider).await?;
    Ok(Json(Done { success: true }))
}

pub(super) async fn model(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<Model>> {
    let handle = http.sessions.find(&id)?;
    let known = handle.known();
    let provider = http.app.providers.find(&known.row.provider)?;
    Ok(Json(Model {
        model: known.row.model.clone(),
        provider: known.row.provider.clone(),
        supports_model_switch: provider.capabilities().supports_model_switch,
    }))
}

pub(super) async fn set_model(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(request): Body<SetModel>,
) -> Answer<Json<Value>> {
    let handle = http.sessions.find(&id)?;
    let provider = http.app.providers.find(&handle.known().row.provider)?;
    if !provider.capabilities().supports_model_switch {
        let refusal = format!("{} cannot switch its model while it runs", provider.definition.label);
        return Err(Refusal::new(Fault::Conflict, refusal)
            .hint("start a session with `--model` instead")
            .details(json!({ "provider": provider.id(), "supportsModelSwitch": false }))
            .into());
    }
    if !is_model(&request.model) {
        return Err(Refusal::field("model", "must be 1 to 100 characters without blanks").into());
    }
    let model = handle.input(|reply| Input::Model { model: request.model, reply }).await?;
    Ok(Json(json!({ "success": true, "model": model })))
}

pub(super) async fn upload_image(
    State(http): State<Http>,
    Path(id): Path<String>,
    request: Request,
) -> Answer<Json<Value>> {
    let handle = http.sessions.find(&id)?;
    let provider = http.app.providers.find(&handle.known().row.provider)?;
    if !provider.capabilities().supports_images {
        return Err(Refusal::new(
            Fault::Conflict,
            format!("{} takes no pictures", provider.definition.label),
        )
        .into());
    }
    let bad = |error: axum::extract::multipart::MultipartError| {
        let fault = if error.status().as_u16() == 413 { Fault::TooLarge } else { Fault::Usage };
        Refusal::new(fault, format!("the upload is not understood: {}", error.body_text()))
    };
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|rejection| Refusal::new(Fault::Usage, rejection.body_text()))?;
    while let Some(field) = form.next_field().await.map_err(bad)? {
        if field.name() != Some("image") {
            continue;
        }
        let bytes = field.bytes().await.map_err(bad)?;
        if bytes.len() > IMAGE_MAX {
            return Err(Refusal::new(Fault::TooLarge, "the picture is larger than 10 MB").into());
        }
        let Some(kind) = ImageKind::of(&bytes) else {
            return Err(Refusal::field("image", "is no PNG, JPEG, GIF or WebP by its content").into());
        };
        let filename = format!("{}.{}", crate::sessions::fresh_name(), kind.extension());
        let path = http.app.config.session_folder(&handle.id).join("images").join(&filename);
        crate::pane::write_whole(&path, &bytes)
            .map_err(|error| crate::sessions::internal("keeping the picture", error))?;
        return Ok(Json(json!({ "path": path, "filename": filename })));
    }
    Err(Refusal::field("image", "is missing: a multipart field with the picture").into())
}
