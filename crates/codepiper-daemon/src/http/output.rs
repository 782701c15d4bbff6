//! What a session shows: its screen now, its output as text, as a stream, as a recording.

use super::Http;
use super::error::{Answer, Query};
use crate::sessions::internal;
use crate::terminal::{Cursor, Read, Screen, plain_text};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use codepiper_api::sessions::Screen as ScreenView;
use codepiper_api::{Fault, Refusal};
use codepiper_core::recording::{Asciicast, Frame};
use serde::Deserialize;
use tokio::sync::mpsc;

/// The most lines of text one request gives.
const LINES_MAX: usize = 50_000;

/// Pieces of a body on their way to one reader.
pub(super) const PIECES_MAX: usize = 2;

pub(super) async fn screen(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<ScreenView>> {
    let handle = http.sessions.find(&id)?;
    let known = handle.known();
    let folder = http.app.config.session_folder(&handle.id).join("recording");
    let view = blocking("drawing the screen", move || {
        let mut screen = Screen::new(&folder, known.row.cols, known.row.rows);
        screen.catch_up()?;
        let (output, position) = screen.snapshot();
        let (cols, rows) = screen.size();
        Ok(ScreenView { output, position, cols, rows })
    })
    .await?;
    Ok(Json(view))
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TextQuery {
    lines: usize,
}

impl Default for TextQuery {
    fn default() -> Self {
        Self { lines: 50 }
    }
}

pub(super) async fn text(
    State(http): State<Http>,
    Path(id): Path<String>,
    Query(query): Query<TextQuery>,
) -> Answer<String> {
    let handle = http.sessions.find(&id)?;
    if query.lines > LINES_MAX {
        return Err(Refusal::field("lines", format_args!("must be at most {LINES_MAX}")).into());
    }
    let known = handle.known();
    let folder = http.app.config.session_folder(&handle.id).join("recording");
    let text = blocking("reading the recording", move || {
        plain_text(&folder, known.row.cols, known.row.rows, query.lines)
    });
    Ok(text.await?)
}

/// The recording as an asciicast v2 file, which `asciinema play` plays.
pub(super) async fn recording(State(http): State<Http>, Path(id): Path<String>) -> Answer<Response> {
    let handle = http.sessions.find(&id)?;
    let known = handle.known();
    let folder = http.app.config.session_folder(&handle.id).join("recording");
    let title = known.row.name.clone().unwrap_or_else(|| format!("codepiper {}", known.row.id));
    let (pieces, body) = mpsc::channel::<Result<Bytes, std::io::Error>>(PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        let mut cursor = Cursor::at_start(&folder);
        let mut cast: Option<Asciicast> = None;
        let (mut cols, mut rows) = (known.row.cols, known.row.rows);
        loop {
            let line = match cursor.next() {
                Ok(Read::Frame { frame, time_ms, .. }) => match (&mut cast, &frame) {
                    (Some(cast), _) => cast.line(&frame, time_ms),
                    (None, Frame::Resize { cols: c, rows: r }) => {
                        (cols, rows) = (*c, *r);
                        continue;
                    }
                    (None, _) => {
                        let (mut begun, header) = Asciicast::begin(cols, rows, time_ms, &title);
                        let line = header + &begun.line(&frame, time_ms);
                        cast = Some(begun);
                        line
                    }
                },
                Ok(Read::Lost(_)) => continue,
                Ok(Read::End) => return,
                Err(error) => {
                    let _gone = pieces.blocking_send(Err(std::io::Error::other(error.to_string())));
                    return;
                }
            };
            if !line.is_empty() && pieces.blocking_send(Ok(line.into())).is_err() {
                return;
            }
        }
    });
    let stream =
        futures_util::stream::unfold(body, |mut body| async move { Some((body.recv().await?, body)) });
    Ok(([(CONTENT_TYPE, "application/x-asciicast")], Body::from_stream(stream)).into_response())
}

pub(super) async fn blocking<T: Send + 'static>(
    doing: &str,
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(|error| internal(doing, format_args!("{error:#}"))),
        Err(_) => Err(Refusal::new(Fault::Internal, format!("{doing} went wrong"))),
    }
}
