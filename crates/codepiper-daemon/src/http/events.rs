//! The event log: pages of it, and as a stream that begins at a number.

use super::Http;
use super::error::{Answer, Query};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use codepiper_api::Refusal;
use codepiper_api::events::{EVENTS_MAX, Event, EventPage, EventQuery};
use codepiper_core::ids::SessionId;
use codepiper_store::Store;
use codepiper_store::events::{self, Filter, StoredEvent};
use futures_util::Stream;
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc};

/// Events read from the log at once while a stream catches up.
const CATCH_UP: u32 = 500;

/// Events on their way to one reader.
const STREAM_MAX: usize = 256;

pub(super) async fn list(
    State(http): State<Http>,
    Path(id): Path<String>,
    Query(query): Query<EventQuery>,
) -> Answer<Json<EventPage>> {
    let handle = http.sessions.find(&id)?;
    Ok(Json(page(&http, Some(handle.id), query).await?))
}

pub(super) async fn transcript(
    State(http): State<Http>,
    Path(id): Path<String>,
    Query(mut query): Query<EventQuery>,
) -> Answer<Json<EventPage>> {
    let handle = http.sessions.find(&id)?;
    query.source = Some("transcript".into());
    Ok(Json(page(&http, Some(handle.id), query).await?))
}

pub(super) async fn list_all(
    State(http): State<Http>,
    Query(query): Query<EventQuery>,
) -> Answer<Json<EventPage>> {
    Ok(Json(page(&http, None, query).await?))
}

async fn page(http: &Http, session: Option<SessionId>, query: EventQuery) -> Result<EventPage, Refusal> {
    let newest_first = match query.order.as_deref() {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(other) => {
            return Err(Refusal::field("order", format_args!("`{other}` is neither asc nor desc")));
        }
    };
    let limit = query.limit.unwrap_or(EVENTS_MAX);
    if limit == 0 || limit > EVENTS_MAX {
        return Err(Refusal::field("limit", format_args!("must be 1 to {EVENTS_MAX}")));
    }
    let filter = Filter {
        session,
        source: query.source,
        kind: query.kind,
        after: query.since,
        before: query.before,
        since: query.after_time,
        last: newest_first,
        limit,
    };
    let (mut found, has_more) = read(&http.app.store, filter).await?;
    if newest_first {
        found.reverse();
    }
    Ok(EventPage { events: found.into_iter().map(on_wire).collect(), has_more })
}

async fn read(store: &Store, filter: Filter) -> Result<(Vec<StoredEvent>, bool), Refusal> {
    store
        .read(move |connection| events::list(connection, &filter))
        .await
        .map_err(|error| crate::sessions::internal("reading events", error))
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StreamQuery {
    session: Option<String>,
    /// The number of the last event the reader has; none begins with what comes.
    after: Option<u64>,
    source: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

pub(super) async fn stream(
    State(http): State<Http>,
    Query(query): Query<StreamQuery>,
) -> Answer<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>> {
    let session = match &query.session {
        Some(wanted) => Some(http.sessions.find(wanted)?.id),
        None => None,
    };
    // Listening begins before the log is read, so nothing falls between.
    let live = http.app.bus.listen();
    let last = http.app.store.read(events::last_seq).await;
    let last = last.map_err(|error| crate::sessions::internal("reading events", error))?;
    let follower = Follower {
        store: http.app.store.clone(),
        filter: Filter {
            session,
            source: query.source,
            kind: query.kind,
            after: Some(query.after.unwrap_or(last)),
            limit: CATCH_UP,
            ..Filter::default()
        },
    };
    let (events, stream) = mpsc::channel(STREAM_MAX);
    tokio::spawn(follower.run(live, events));
    let stream = futures_util::stream::unfold(stream, |mut stream| async move {
        let event: Event = stream.recv().await?;
        let data = serde_json::to_string(&event).unwrap_or_default();
        Some((Ok(SseEvent::default().id(event.id.to_string()).data(data)), stream))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// Sends one reader every event once and in order: from the log while it is behind, then as they come.
struct Follower {
    store: Store,
    filter: Filter,
}

impl Follower {
    async fn run(mut self, mut live: broadcast::Receiver<Arc<StoredEvent>>, out: mpsc::Sender<Event>) {
        loop {
            if self.catch_up(&out).await.is_none() {
                return;
            }
            loop {
                let event = tokio::select! {
                    event = live.recv() => event,
                    () = out.closed() => return,
                };
                match event {
                    // Announcements of different sessions may overtake each other by a few numbers: the log
                    // is read whenever one is not simply the next.
                    Ok(event) if event.seq == self.filter.after.unwrap_or(0) + 1 => {
                        self.filter.after = Some(event.seq);
                        if self.wants(&event) && out.send(on_wire((*event).clone())).await.is_err() {
                            return;
                        }
                    }
                    Ok(event) if event.seq <= self.filter.after.unwrap_or(0) => {}
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => break,
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        }
    }

    /// Reads the log to its end. `None` when the reader has gone.
    async fn catch_up(&mut self, out: &mpsc::Sender<Event>) -> Option<()> {
        loop {
            let last = self.store.read(events::last_seq).await.ok()?;
            let (found, more) = read(&self.store, self.filter.clone()).await.ok()?;
            for event in found {
                self.filter.after = Some(event.seq);
                out.send(on_wire(event)).await.ok()?;
            }
            if !more {
                // What the filter left out is behind us too.
                self.filter.after = self.filter.after.max(Some(last));
                return Some(());
            }
        }
    }

    fn wants(&self, event: &StoredEvent) -> bool {
        let is =
            |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        self.filter.session.as_ref().is_none_or(|session| *session == event.event.session)
            && is(&self.filter.source, &event.event.source)
            && is(&self.filter.kind, &event.event.kind)
    }
}

fn on_wire(stored: StoredEvent) -> Event {
    let event = stored.event;
    Event {
        id: stored.seq,
        session_id: event.session,
        timestamp: event.at,
        source: event.source,
        kind: event.kind,
        payload: event.payload,
    }
}
