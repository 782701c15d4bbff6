//! A session's output as it comes: every byte for who reads it, or what somebody sees who looks.

use super::Http;
use super::error::{Answer, Query};
use super::output::{PIECES_MAX, blocking};
use crate::sessions::{Known, internal};
use crate::terminal::{Cursor, Read, Screen, View};
use crate::watch::{Watch, Watched};
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use codepiper_api::Refusal;
use codepiper_core::recording::Frame;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Bytes of a piece, give or take a frame.
const PIECE_SIZE: usize = 512 * 1024;

/// So many bytes at one look are a flood.
const FLOOD_SIZE: usize = 64 * 1024;

/// How long to let a flood gather before the next look, with nobody woken meanwhile. What a reader costs the program
/// that prints is the number of looks, and nobody sees 5 ms.
const FLOOD_PAUSE: Duration = Duration::from_millis(5);

/// How long after a flood its exact screen is drawn, from all that is kept. Another flood may follow at once.
const REDRAW_DELAY: Duration = Duration::from_millis(250);

/// The header that says where in the output a stream begins.
const POSITION_HEADER: &str = "x-codepiper-position";

/// Pieces on their way to a reader.
type Pieces = mpsc::Sender<Result<Bytes, std::io::Error>>;

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StreamQuery {
    /// The position to begin at; what is not kept any more is left out.
    from: Option<u64>,
    /// Begin at the end.
    end: bool,
    /// Go on as long as the session lives.
    follow: bool,
    /// What somebody sees who looks: the screen, then what comes, and pictures of what flies past.
    view: bool,
}

pub(super) async fn stream(
    State(http): State<Http>,
    Path(id): Path<String>,
    Query(query): Query<StreamQuery>,
) -> Answer<Response> {
    let handle = http.sessions.find(&id)?;
    let folder = http.app.config.session_folder(&handle.id).join("recording");
    let news = News::new(http.app.watch.clone(), folder, handle.watch())
        .map_err(|error| internal("watching the recording", error))?;
    let (pieces, body) = mpsc::channel(PIECES_MAX);
    let begin = match query.view {
        true if query.from.is_some() || query.end => {
            return Err(Refusal::field(
                "view",
                "begins with the screen as it is: leave out `from` and `end`",
            )
            .into());
        }
        true => show(news, query.follow, pieces).await?,
        false => pass_on(news, query, pieces).await?,
    };
    let stream =
        futures_util::stream::unfold(body, |mut body| async move { Some((body.recv().await?, body)) });
    let headers = [
        (CONTENT_TYPE.as_str(), "application/octet-stream".to_owned()),
        (POSITION_HEADER, begin.to_string()),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}

/// Gives a reader every byte that is kept. The position of the first.
async fn pass_on(mut news: News, query: StreamQuery, pieces: Pieces) -> Result<u64, Refusal> {
    let folder = news.folder.clone();
    let wanted = if query.end { u64::MAX } else { query.from.unwrap_or(0) };
    let (mut cursor, begin, first) =
        blocking("reading the recording", move || go_to(Cursor::at_start(&folder), wanted)).await?;
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
                    let (cols, rows) = news.size();
                    let mut screen = Screen::new(&news.folder, cols, rows);
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
                    let is_flood = std::mem::take(&mut looked_at) >= FLOOD_SIZE;
                    tokio::select! {
                        is_more = news.wait(is_flood) => if !is_more { return },
                        () = pieces.closed() => return,
                    }
                }
                Ok(Read::End) => return,
                Err(error) => return break_off(&pieces, &error).await,
            }
        }
    });
    Ok(begin)
}

/// Goes to the first output at or behind a position. Its own position, and the rest of its frame.
fn go_to(mut cursor: Cursor, wanted: u64) -> anyhow::Result<(Cursor, u64, Vec<u8>)> {
    let mut begin = 0;
    loop {
        match cursor.next()? {
            Read::Frame { frame: Frame::Output(output), position, .. } => {
                let end = position + output.len() as u64;
                if end > wanted {
                    let skip = wanted.saturating_sub(position) as usize;
                    return Ok((cursor, position + skip as u64, output[skip..].to_vec()));
                }
                begin = end;
            }
            Read::Lost(to) => begin = to,
            Read::Frame { .. } => {}
            Read::End => return Ok((cursor, begin, Vec::new())),
        }
    }
}

/// Shows a viewer the screen and what comes. The position after the first picture.
async fn show(mut news: News, follow: bool, pieces: Pieces) -> Result<u64, Refusal> {
    let (folder, (cols, rows)) = (news.folder.clone(), news.size());
    let (mut view, picture) =
        blocking("drawing the screen", move || View::begin(&folder, cols, rows, Instant::now())).await?;
    let begin = view.position();
    tokio::spawn(async move {
        if pieces.send(Ok(picture.into())).await.is_err() || !follow {
            return;
        }
        loop {
            let seen = match view.look(Instant::now()) {
                Ok(seen) => seen,
                Err(error) => return break_off(&pieces, &error).await,
            };
            if !seen.bytes.is_empty() && pieces.send(Ok(seen.bytes.into())).await.is_err() {
                return;
            }
            let (is_exact, inexact_since) = (view.is_exact(), view.inexact_since());
            let redraw = async {
                match inexact_since {
                    Some(since) => tokio::time::sleep_until((since + REDRAW_DELAY).into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                is_more = news.wait(seen.is_flood) => match (is_more, is_exact) {
                    (true, _) => continue,
                    (false, false) => {}
                    (false, true) => return,
                },
                () = pieces.closed() => return,
                () = redraw => {}
            }
            let redrawn =
                blocking("drawing the screen", move || view.redraw().map(|picture| (view, picture)));
            let Ok((exact, picture)) = redrawn.await else { return };
            view = exact;
            if pieces.send(Ok(picture.into())).await.is_err() {
                return;
            }
        }
    });
    Ok(begin)
}

async fn break_off(pieces: &Pieces, error: &anyhow::Error) {
    let _gone = pieces.send(Err(std::io::Error::other(format!("{error:#}")))).await;
}

/// Tells when there is more output.
struct News {
    folder: PathBuf,
    watch: Watch,
    /// Not while a flood comes: each of its frames would wake somebody.
    watched: Option<Watched>,
    known: watch::Receiver<Arc<Known>>,
    is_over: bool,
}

impl News {
    fn new(watch: Watch, folder: PathBuf, known: watch::Receiver<Arc<Known>>) -> anyhow::Result<Self> {
        let watched = Some(watch.folder(&folder)?);
        Ok(Self { folder, watch, watched, known, is_over: false })
    }

    /// Columns and rows of the session now.
    fn size(&self) -> (u16, u16) {
        let known = self.known.borrow();
        (known.row.cols, known.row.rows)
    }

    /// Waits for more. `false` when the session has ended and was looked at once more after that.
    async fn wait(&mut self, is_flood: bool) -> bool {
        if self.is_over {
            return false;
        }
        if !self.known.borrow_and_update().state().is_live() {
            self.is_over = true;
            return true;
        }
        if is_flood {
            self.watched = None;
            tokio::time::sleep(FLOOD_PAUSE).await;
            return true;
        }
        let told = match &mut self.watched {
            Some(watched) => watched,
            None => match self.watch.folder(&self.folder) {
                Ok(anew) => self.watched.insert(anew),
                Err(_gone) => return false,
            },
        };
        tokio::select! {
            () = told.changed() => true,
            changed = self.known.changed() => changed.is_ok(),
        }
    }
}
