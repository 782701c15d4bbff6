//! The inbox: what was told, what was read, what a person wants to hear, and their handlers.

use super::Http;
use super::error::{Answer, Body, Query};
use crate::notifications::{self as inbox, News, on_wire};
use crate::sessions::internal;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use codepiper_api::notifications::{
    CountsBody, HandlerList, HandlerTests, MarkRead, NOTIFICATIONS_MAX, Notification, NotificationNews,
    NotificationPage, NotificationQuery, OneRead, Prefs, PrefsBody, READ_SOURCE_MAX, SomeRead, TestHandlers,
};
use codepiper_api::{Fault, Refusal};
use codepiper_core::notification::{Kind, SessionWishes};
use codepiper_store::StoreError;
use codepiper_store::notifications::{self as store, Filter};
use futures_util::Stream;
use jiff::Timestamp;
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc};

/// News on their way to one reader.
const STREAM_MAX: usize = 64;

pub(super) async fn list(
    State(http): State<Http>,
    Query(query): Query<NotificationQuery>,
) -> Answer<Json<NotificationPage>> {
    let limit = query.limit.unwrap_or(NOTIFICATIONS_MAX);
    if limit == 0 || limit > NOTIFICATIONS_MAX {
        return Err(Refusal::field("limit", format_args!("must be from 1 to {NOTIFICATIONS_MAX}")).into());
    }
    let kind = query.event_type.as_deref().map(|name| {
        Kind::parse(name).ok_or_else(|| {
            let known: Vec<&str> = Kind::ALL.into_iter().map(Kind::name).collect();
            Refusal::field("eventType", format_args!("`{name}` is none of {}", known.join(", ")))
        })
    });
    let session = query.session_id.map(|session| http.sessions.find(&session)).transpose()?;
    let filter = Filter {
        session: session.map(|handle| handle.id),
        kind: kind.transpose()?,
        unread: query.unread_only.unwrap_or(false),
        before: query.before,
        after: query.after,
        limit,
    };
    let (found, has_more) = read(&http, filter).await?;
    Ok(Json(NotificationPage { notifications: found, has_more }))
}

async fn read(http: &Http, filter: Filter) -> Result<(Vec<Notification>, bool), Refusal> {
    let found = http.app.store.read(move |db| store::list(db, &filter)).await;
    let (found, more) = found.map_err(|error| internal("reading notifications", error))?;
    Ok((found.into_iter().map(on_wire).collect(), more))
}

pub(super) async fn counts(State(http): State<Http>) -> Answer<Json<CountsBody>> {
    Ok(Json(CountsBody { counts: inbox::counts(&http.app).await? }))
}

pub(super) async fn read_one(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(mark): Body<MarkRead>,
) -> Answer<Json<OneRead>> {
    let not_found = || Refusal::new(Fault::NotFound, format!("there is no notification `{id}`"));
    let number: u64 = id.parse().map_err(|_| not_found())?;
    if mark.session_id.is_some() {
        let why = "goes with `POST /notifications/read`; a notification has a session already";
        return Err(Refusal::field("sessionId", why).into());
    }
    let source = source(&mark, "click")?;
    let written =
        http.app.store.write(move |tx| store::mark_read(tx, number, &source, Timestamp::now())).await;
    let changed = written.map_err(|error| match error {
        StoreError::Missing(_) => not_found(),
        error => internal("marking a notification as read", error),
    })?;
    if changed {
        http.app.notifications.announce(News::Read);
    }
    Ok(Json(OneRead { success: true, changed }))
}

pub(super) async fn read_some(
    State(http): State<Http>,
    Body(mark): Body<MarkRead>,
) -> Answer<Json<SomeRead>> {
    let source = source(&mark, "bulk")?;
    let session = mark.session_id.map(|session| http.sessions.find(&session)).transpose()?;
    let session = session.map(|handle| handle.id);
    let written = http
        .app
        .store
        .write(move |tx| store::mark_all_read(tx, session.as_ref(), &source, Timestamp::now()))
        .await;
    let updated = written.map_err(|error| internal("marking notifications as read", error))?;
    if updated > 0 {
        http.app.notifications.announce(News::Read);
    }
    Ok(Json(SomeRead { success: true, updated }))
}

fn source(mark: &MarkRead, default: &str) -> Result<String, Refusal> {
    match mark.read_source.as_deref() {
        None => Ok(default.to_owned()),
        Some(word) if word.trim().is_empty() || word.chars().count() > READ_SOURCE_MAX => {
            Err(Refusal::field("readSource", format_args!("must be 1 to {READ_SOURCE_MAX} characters")))
        }
        Some(word) => Ok(word.to_owned()),
    }
}

pub(super) async fn prefs(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<PrefsBody>> {
    let id = http.sessions.find(&id)?.id;
    let wanted = id.clone();
    let found = http.app.store.read(move |db| store::wishes(db, &wanted)).await;
    let (wishes, at) = found.map_err(|error| internal("reading what is wanted", error))?.unzip();
    let wishes = wishes.unwrap_or_default();
    let rules = http.app.notifications.rules();
    let effective =
        Kind::ALL.into_iter().map(|kind| (kind, rules.wishes.include(kind, Some(&wishes)))).collect();
    let SessionWishes { enabled, events } = wishes;
    Ok(Json(PrefsBody { prefs: Prefs { session_id: id, enabled, events, effective, updated_at: at } }))
}

pub(super) async fn put_prefs(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(wishes): Body<SessionWishes>,
) -> Answer<Json<PrefsBody>> {
    let id = http.sessions.find(&id)?.id;
    let wanted = id.clone();
    let written =
        http.app.store.write(move |tx| store::put_wishes(tx, &wanted, &wishes, Timestamp::now())).await;
    written.map_err(|error| internal("storing what is wanted", error))?;
    prefs(State(http), Path(id.to_string())).await
}

pub(super) async fn handlers(State(http): State<Http>) -> Answer<Json<HandlerList>> {
    Ok(Json(inbox::list_handlers(&http.app).await?))
}

pub(super) async fn test(
    State(http): State<Http>,
    Body(wanted): Body<TestHandlers>,
) -> Answer<Json<HandlerTests>> {
    Ok(Json(HandlerTests { tests: inbox::test(&http.app, wanted.handler.as_deref()).await? }))
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StreamQuery {
    /// The number of the last notification the reader has; none begins with what comes.
    after: Option<u64>,
}

pub(super) async fn stream(
    State(http): State<Http>,
    Query(query): Query<StreamQuery>,
) -> Answer<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>> {
    // Listening begins before the table is read, so nothing falls between.
    let live = http.app.notifications.listen();
    let newest = Filter { limit: 1, ..Filter::default() };
    let (newest, _) = read(&http, newest).await?;
    let last = query.after.unwrap_or_else(|| newest.first().map_or(0, |newest| newest.id));
    let (news, stream) = mpsc::channel(STREAM_MAX);
    tokio::spawn(Reader { http, last, news }.run(live));
    let stream = futures_util::stream::unfold(stream, |mut stream| async move {
        let news: NotificationNews = stream.recv().await?;
        let event = match &news {
            NotificationNews::NotificationCreated(told) => SseEvent::default().id(told.id.to_string()),
            NotificationNews::NotificationCountsUpdated(_) => SseEvent::default(),
        };
        let data = serde_json::to_string(&news).unwrap_or_default();
        Some((Ok(event.data(data)), stream))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// Gives one reader every notification once and in order, and the counts whenever they change.
struct Reader {
    http: Http,
    last: u64,
    news: mpsc::Sender<NotificationNews>,
}

impl Reader {
    async fn run(mut self, mut live: broadcast::Receiver<News>) -> Option<()> {
        self.catch_up().await?;
        self.tell_counts().await?;
        loop {
            let news = tokio::select! {
                news = live.recv() => news,
                () = self.news.closed() => return None,
            };
            match news {
                Ok(News::Told(told)) => self.tell(Arc::unwrap_or_clone(told)).await?,
                Ok(News::Read) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => self.catch_up().await?,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
            self.tell_counts().await?;
        }
    }

    /// Reads the table from where the reader is. `None` when the reader has gone.
    async fn catch_up(&mut self) -> Option<()> {
        let mut missed = Vec::new();
        let mut before = None;
        loop {
            let filter =
                Filter { after: Some(self.last), before, limit: NOTIFICATIONS_MAX, ..Filter::default() };
            let (found, more) = read(&self.http, filter).await.ok()?;
            before = found.last().map(|oldest| oldest.id);
            missed.extend(found);
            if !more {
                break;
            }
        }
        for told in missed.into_iter().rev() {
            self.tell(told).await?;
        }
        Some(())
    }

    async fn tell(&mut self, told: Notification) -> Option<()> {
        if told.id > self.last {
            self.last = told.id;
            self.news.send(NotificationNews::NotificationCreated(told)).await.ok()?;
        }
        Some(())
    }

    async fn tell_counts(&self) -> Option<()> {
        let counts = inbox::counts(&self.http.app).await.ok()?;
        self.news.send(NotificationNews::NotificationCountsUpdated(counts)).await.ok()
    }
}
