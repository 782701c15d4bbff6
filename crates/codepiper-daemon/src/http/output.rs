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
use std::time::Duration;
use tokio::sync::mpsc;

/// The most lines of text one request gives.
const LINES_MAX: usize = 50_000;

/// Pieces of a stream on their way to one reader.
const PIECES_MAX: usize = 2;

/// Bytes of a piece, give or take a frame.
const PIECE_SIZE: usize = 512 * 1024;

/// So many bytes at one look are a flood.
const FLOOD_SIZE: usize = 64 * 1024;

/// How long to let a flood gather before the next look, with nobody woken meanwhile. What a viewer costs the program
/// that prints is the number of looks, and nobody sees 8 ms.
const FLOOD_PAUSE: Duration = Duration::from_millis(8);

/// The header that says where in the output a stream begins.
const POSITION_HEADER: &str = "x-codepiper-position";

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

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StreamQuery {
    /// The position to begin at; what is not kept any more is left out.
    from: Option<u64>,
    /// Begin at the end.
    end: bool,
    /// Go on as long as the session lives.
    follow: bool,
}

pub(super) async fn stream(
    State(http): State<Http>,
    Path(id): Path<String>,
    Query(query): Query<StreamQuery>,
) -> Answer<Response> {
    let handle = http.sessions.find(&id)?;
    let folder = http.app.config.session_folder(&handle.id).join("recording");
    let watch = http.app.watch.clone();
    let mut watched = Some(watch.folder(&folder).map_err(|error| internal("watching the recording", error))?);
    let (mut cursor, begin, first) = blocking("reading the recording", {
        let folder = folder.clone();
        move || {
            let mut cursor = Cursor::at_start(&folder);
            let wanted = if query.end { u64::MAX } else { query.from.unwrap_or(0) };
            let mut begin = 0;
            let mut first = Vec::new();
            loop {
                match cursor.next()? {
                    Read::Frame { frame: Frame::Output(output), position, .. } => {
                        let end = position + output.len() as u64;
                        if end > wanted {
                            let skip = wanted.saturating_sub(position) as usize;
                            begin = position + skip as u64;
                            first = output[skip..].to_vec();
                            break;
                        }
                        begin = end;
                    }
                    Read::Lost(to) => begin = to,
                    Read::Frame { .. } => {}
                    Read::End => break,
                }
            }
            Ok((cursor, begin, first))
        }
    })
    .await?;
    let mut known = handle.watch();
    let size = (known.borrow().row.cols, known.borrow().row.rows);
    let (pieces, body) = mpsc::channel::<Result<Bytes, std::io::Error>>(PIECES_MAX);
    tokio::spawn(async move {
        let mut gathered = first;
        let mut looked_at = gathered.len();
        loop {
            // Frames are small reads of cached pages; between pieces the reader's pace decides.
            let read = cursor.next();
            let is_more = matches!(&read, Ok(Read::Frame { .. }));
            if (!is_more || gathered.len() >= PIECE_SIZE)
                && !gathered.is_empty()
                && pieces.send(Ok(std::mem::take(&mut gathered).into())).await.is_err()
            {
                return;
            }
            match read {
                Ok(Read::Frame { frame: Frame::Output(output), .. }) => {
                    looked_at += output.len();
                    match gathered.is_empty() {
                        true => gathered = output,
                        false => gathered.extend_from_slice(&output),
                    }
                }
                Ok(Read::Frame { .. }) => {}
                Ok(Read::Lost(_)) => {
                    // Too slow for what is kept: the screen as it is now takes the place of what was missed.
                    let mut screen = Screen::new(&folder, size.0, size.1);
                    let drawn = blocking("drawing the screen", move || {
                        screen.catch_up()?;
                        Ok(screen.into_reader())
                    });
                    let Ok((bytes, reader)) = drawn.await else { return };
                    cursor = reader;
                    if pieces.send(Ok(bytes.into())).await.is_err() {
                        return;
                    }
                }
                Ok(Read::End) if query.follow => {
                    let is_live = known.borrow_and_update().state().is_live();
                    if !is_live {
                        return;
                    }
                    if std::mem::take(&mut looked_at) >= FLOOD_SIZE {
                        watched = None;
                        tokio::time::sleep(FLOOD_PAUSE).await;
                        continue;
                    }
                    let told = match &mut watched {
                        Some(watched) => watched,
                        None => match watch.folder(&folder) {
                            Ok(anew) => watched.insert(anew),
                            Err(_gone) => return,
                        },
                    };
                    tokio::select! {
                        () = told.changed() => {}
                        changed = known.changed() => if changed.is_err() { return },
                        () = pieces.closed() => return,
                    }
                }
                Ok(Read::End) => return,
                Err(error) => {
                    let _gone = pieces.send(Err(std::io::Error::other(error.to_string()))).await;
                    return;
                }
            }
        }
    });
    let stream =
        futures_util::stream::unfold(body, |mut body| async move { Some((body.recv().await?, body)) });
    let headers = [
        (CONTENT_TYPE.as_str(), "application/octet-stream".to_owned()),
        (POSITION_HEADER, begin.to_string()),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
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

async fn blocking<T: Send + 'static>(
    doing: &str,
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(|error| internal(doing, format_args!("{error:#}"))),
        Err(_) => Err(Refusal::new(Fault::Internal, format!("{doing} went wrong"))),
    }
}
