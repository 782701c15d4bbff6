//! Tells what is worth a person's attention: reads the event log as it grows, decides with the core what to tell and
//! when, stores it, and has the person's handlers get it.
//!
//! The law to keep: what was told is committed together with how far the log was looked through, so a daemon that is
//! killed tells everything once.

mod deliver;
mod handlers;
mod inbox;

pub(crate) use deliver::{list as list_handlers, run as run_deliveries, test};
pub(crate) use handlers::load as load_handlers;
pub(crate) use inbox::{counts, on_wire};

use crate::app::App;
use crate::sessions::Sessions;
use crate::settings;
use codepiper_api::notifications::Notification;
use codepiper_core::ids::SessionId;
use codepiper_core::masking::Masker;
use codepiper_core::notification::{Change, Draft, Kind, Timing, Watcher, Wishes, label};
use codepiper_store::events::{self, StoredEvent};
use codepiper_store::notifications::{self as store, Cursor, NewNotification, StoredNotification};
use codepiper_store::{Store, StoreError, live};
use deliver::Deliveries;
use handlers::Handlers;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

/// New notifications that a listener may lag behind before it has to read the table.
const LAG_MAX: usize = 256;

/// A reset that is longer ago is no news: the daemon was away.
const RESET_AGE_MAX: SignedDuration = SignedDuration::from_hours(6);

/// Entries of the log read at once.
const PAGE: u32 = 500;

/// Entries that nothing came of are noted as looked through in steps: reading them again after a crash costs little.
const STEP: u64 = 1_000;

/// Announcements of different sessions may overtake each other by a moment; what is missing for longer is read from
/// the log.
const OVERTAKING_TIME_MAX: Duration = Duration::from_millis(50);

/// Announcements that may have overtaken others.
const OVERTAKING_MAX: usize = 256;

/// Where notifications are announced, and what holds for them.
#[derive(Clone)]
pub(crate) struct Notifications {
    news: broadcast::Sender<News>,
    rules: watch::Sender<Rules>,
    handlers: Handlers,
    deliveries: Deliveries,
}

/// What was committed.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// A new one.
    Told(Arc<Notification>),
    /// Some were read.
    Read,
}

/// What the settings say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rules {
    pub(crate) wishes: Wishes,
    timing: Timing,
}

impl Notifications {
    pub(crate) fn new(handlers_file: std::path::PathBuf) -> Self {
        let rules = Rules {
            wishes: Wishes::default(),
            timing: Timing { dwell: SignedDuration::ZERO, cooldown: SignedDuration::ZERO },
        };
        Self {
            news: broadcast::channel(LAG_MAX).0,
            rules: watch::Sender::new(rules),
            handlers: Handlers::new(handlers_file),
            deliveries: Deliveries::new(),
        }
    }

    /// News from now on. Who misses some reads the table.
    pub(crate) fn listen(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    /// Announces a change that is committed.
    pub(crate) fn announce(&self, news: News) {
        let _nobody_listens = self.news.send(news);
    }

    /// What the settings say.
    pub(crate) fn rules(&self) -> Rules {
        self.rules.borrow().clone()
    }
}

/// Takes the settings into force.
pub(crate) async fn keep_rules(app: &App) {
    let seconds = async |name| {
        let seconds = settings::get(app, name).await.as_f64().unwrap_or(0.0);
        SignedDuration::try_from_secs_f64(seconds).unwrap_or(SignedDuration::ZERO)
    };
    let events = settings::get(app, settings::NOTIFICATION_EVENT_DEFAULTS).await;
    let wishes = Wishes {
        enabled: settings::get(app, settings::NOTIFICATIONS_ENABLED).await != json!(false),
        events: serde_json::from_value(events).unwrap_or_default(),
    };
    let timing = Timing {
        dwell: seconds(settings::NOTIFICATION_DWELL_SECONDS).await,
        cooldown: seconds(settings::NOTIFICATION_COOLDOWN_SECONDS).await,
    };
    app.notifications.rules.send_replace(Rules { wishes, timing });
}

/// Watches the log until the daemon ends.
pub(crate) async fn run(app: Arc<App>, sessions: Sessions) {
    // Listening begins before the log is read, so nothing falls between.
    let live = app.bus.listen();
    match Task::begin(app, sessions).await {
        Ok(task) => task.run(live).await,
        Err(error) => tracing::error!(%error, "nothing will be told"),
    }
}

struct Task {
    app: Arc<App>,
    sessions: Sessions,
    watcher: Watcher,
    /// The last entry that was looked at.
    last: u64,
    /// What is stored of it.
    stored: Cursor,
    /// Entries that were announced before one with a smaller number.
    early: BTreeMap<u64, Arc<StoredEvent>>,
    /// Since when one is missing.
    missing_since: Option<Instant>,
    /// Sessions of which something is unread.
    unread: HashSet<SessionId>,
}

impl Task {
    async fn begin(app: Arc<App>, sessions: Sessions) -> Result<Self, StoreError> {
        let since = app.notifications.rules().timing.cooldown;
        let since = Timestamp::now().checked_sub(since).unwrap_or(Timestamp::MIN);
        let (cursor, told, unread) = app
            .store
            .write(move |tx| {
                let cursor = match store::cursor(tx)? {
                    Some(cursor) => cursor,
                    None => {
                        // What happened before there were notifications is nothing new.
                        let last = events::last_seq(tx)?;
                        let cursor = Cursor { settled: last, seen: last };
                        store::set_cursor(tx, cursor)?;
                        cursor
                    }
                };
                Ok((cursor, store::told_since(tx, since)?, store::unread(tx)?))
            })
            .await?;
        let mut watcher = Watcher::default();
        for (session, kind, at) in told {
            watcher.was_told(&session, kind, at);
        }
        let unread = unread.into_iter().filter_map(|(session, _)| session).collect();
        Ok(Self {
            app,
            sessions,
            watcher,
            last: cursor.settled,
            stored: cursor,
            early: BTreeMap::new(),
            missing_since: None,
            unread,
        })
    }

    async fn run(mut self, mut live: broadcast::Receiver<Arc<StoredEvent>>) {
        let mut rules = self.app.notifications.rules.subscribe();
        let mut limits = self.app.live.limits_told();
        self.catch_up().await;
        loop {
            self.tell_due().await;
            self.tell_resets().await;
            let reset = self.app.live.next_reset();
            let due = self.watcher.next_due(self.app.notifications.rules().timing);
            let overdue = self.missing_since.map(|since| since + OVERTAKING_TIME_MAX);
            tokio::select! {
                event = live.recv() => match event {
                    Ok(event) => self.announced(event).await,
                    Err(broadcast::error::RecvError::Lagged(_)) => self.catch_up().await,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                () = until(due) => {}
                () = until(reset) => {}
                told = limits.changed() => if told.is_err() { return },
                () = tokio::time::sleep_until(overdue.unwrap_or_else(Instant::now)), if overdue.is_some() => {
                    self.catch_up().await;
                }
                changed = rules.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Takes an announced entry when it is its turn.
    async fn announced(&mut self, event: Arc<StoredEvent>) {
        if event.seq <= self.last {
            return;
        }
        self.early.insert(event.seq, event);
        while let Some(next) = self.early.remove(&(self.last + 1)) {
            self.take(&next).await;
        }
        match self.early.len() {
            0 => self.missing_since = None,
            OVERTAKING_MAX.. => self.catch_up().await,
            _ => self.missing_since = self.missing_since.or_else(|| Some(Instant::now())),
        }
    }

    /// Reads the log to its end.
    async fn catch_up(&mut self) {
        (self.missing_since, self.early) = (None, BTreeMap::new());
        loop {
            let filter = events::Filter { after: Some(self.last), limit: PAGE, ..events::Filter::default() };
            match self.app.store.read(move |db| events::list(db, &filter)).await {
                Ok((found, more)) => {
                    for event in found {
                        self.take(&event).await;
                    }
                    if !more {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the log cannot be looked through for notifications");
                    return;
                }
            }
        }
    }

    async fn take(&mut self, stored: &StoredEvent) {
        let (seq, event) = (stored.seq, &stored.event);
        self.last = seq;
        let mut over = None;
        let mut happened = None;
        if let Some(change) = Change::read(&event.source, &event.kind, &event.payload) {
            if change == Change::Over && self.unread.remove(&event.session) {
                over = Some(event.session.clone());
            }
            happened = self.watcher.take(&event.session, seq, event.at, change);
        }
        let handlers = self.app.notifications.handlers.current();
        let mut deliveries = Vec::new();
        if handlers.want_log && seq > self.stored.seen {
            let name = format!("{}/{}", event.source, event.kind);
            let wanted = handlers.all.iter().filter(|handler| handler.wants(&name));
            let to: Vec<String> = wanted.map(|handler| handler.name.clone()).collect();
            if !to.is_empty() {
                deliveries.push((to, self.log_message(stored, &name)));
            }
        }
        if over.is_some() || !deliveries.is_empty() || self.last - self.stored.seen.min(self.last) >= STEP {
            self.store(Vec::new(), deliveries, over.map(|session| (session, seq))).await;
        }
        if let Some(draft) = happened {
            self.tell(vec![draft]).await;
        }
    }

    async fn tell_due(&mut self) {
        let due = self.watcher.due(Timestamp::now(), self.app.notifications.rules().timing);
        if !due.is_empty() {
            self.tell(due).await;
        }
    }

    /// Tells of limits that have begun anew.
    async fn tell_resets(&mut self) {
        let now = Timestamp::now();
        let wanted = self.app.notifications.rules().wishes.include(Kind::LimitReset, None);
        let mut told = Vec::new();
        for (provider, limit) in self.app.live.take_resets(now) {
            let Some(resets_at) = limit.resets_at else { continue };
            if !wanted || now.duration_since(resets_at) > RESET_AGE_MAX {
                continue;
            }
            let (window, used) = (limit.window(), limit.used_percent.floor());
            told.push(NewNotification {
                key: format!("limit-{provider}-{}-{resets_at}", limit.minutes),
                session: None,
                kind: Kind::LimitReset,
                event: None,
                title: Kind::LimitReset.title(&provider),
                body: format!("The limit of {window}, of which {used} % was used, has begun anew."),
                payload: json!({ "minutes": limit.minutes, "usedPercent": limit.used_percent, "resetsAt": resets_at }),
                created_at: now,
                provider: Some(provider),
            });
        }
        if !told.is_empty() {
            self.store(told, Vec::new(), None).await;
        }
    }

    async fn tell(&mut self, drafts: Vec<Draft>) {
        let mut told = Vec::new();
        for draft in drafts {
            if let Some(new) = self.write(draft).await {
                told.push(new);
            }
        }
        self.store(told, Vec::new(), None).await;
    }

    /// The notification, if the person wants it.
    async fn write(&self, draft: Draft) -> Option<NewNotification> {
        let key = draft.key();
        let Draft { session, event, found } = draft;
        // A session that has left the list meanwhile is told of no more.
        let known = self.sessions.find(session.as_str()).ok()?.known();
        let rules = self.app.notifications.rules();
        let own = wishes(&self.app.store, &session).await;
        if !rules.wishes.include(found.kind, own.as_ref()) {
            return None;
        }
        let whose = label(known.row.name.as_deref(), &known.row.cwd, session.as_str());
        Some(NewNotification {
            key,
            session: Some(session.clone()),
            provider: Some(known.row.provider.clone()),
            kind: found.kind,
            event: Some(event),
            title: found.kind.title(whose),
            body: Masker::default().text(&found.body).into_owned(),
            payload: json!({ "name": whose, "cwd": known.row.cwd, "model": known.row.model }),
            created_at: Timestamp::now(),
        })
    }

    /// Stores what was told, what is to be delivered and what is over, and how far the log was looked through.
    async fn store(
        &mut self,
        told: Vec<NewNotification>,
        deliveries: Vec<(Vec<String>, Value)>,
        over: Option<(SessionId, u64)>,
    ) {
        let settled = self.watcher.oldest_pending().map_or(self.last, |oldest| (oldest - 1).min(self.last));
        let cursor = Cursor { settled, seen: self.last.max(self.stored.seen) };
        let handlers = self.app.notifications.handlers.current();
        let has_deliveries = !deliveries.is_empty();
        let stored = self
            .app
            .store
            .write(move |tx| {
                let now = Timestamp::now();
                let mut new = Vec::new();
                let read = match &over {
                    Some((session, event)) => store::mark_over(tx, session, *event, now)?,
                    None => 0,
                };
                for told in told {
                    let Some(id) = store::add(tx, &told)? else { continue };
                    let notification = on_wire(StoredNotification { id, told, read: None });
                    let name = notification.event_type.name();
                    for handler in handlers.all.iter().filter(|handler| handler.wants(name)) {
                        store::deliver(tx, &handler.name, &message(&notification), now)?;
                    }
                    new.push(notification);
                }
                for (to, message) in deliveries {
                    for handler in to {
                        store::deliver(tx, &handler, &message, now)?;
                    }
                }
                live::forget_limits(tx, now)?;
                store::set_cursor(tx, cursor)?;
                Ok((new, read))
            })
            .await;
        let (new, read) = match stored {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(%error, "notifications could not be stored");
                return;
            }
        };
        self.stored = cursor;
        let notifications = &self.app.notifications;
        if read > 0 {
            notifications.announce(News::Read);
        }
        if has_deliveries || !new.is_empty() {
            notifications.deliveries.wake();
        }
        for notification in new {
            self.unread.extend(notification.session_id.clone());
            notifications.announce(News::Told(Arc::new(notification)));
        }
    }

    /// What a handler gets of an entry of the log.
    fn log_message(&self, stored: &StoredEvent, name: &str) -> Value {
        let event = &stored.event;
        let session = match self.sessions.find(event.session.as_str()) {
            Ok(handle) => {
                let known = handle.known();
                let whose = label(known.row.name.as_deref(), &known.row.cwd, event.session.as_str());
                json!({ "id": event.session, "name": whose, "provider": known.row.provider, "cwd": known.row.cwd })
            }
            Err(_) => json!({ "id": event.session }),
        };
        json!({
            "id": format!("event-{}", stored.seq), "type": name, "title": format!("{}: {name}", event.session),
            "body": "", "createdAt": event.at, "session": session, "payload": event.payload,
        })
    }
}

/// What a handler gets of a notification.
fn message(told: &Notification) -> Value {
    let text = |name: &str| told.payload.get(name).cloned().unwrap_or_default();
    let mut message = Map::from_iter([
        ("id".to_owned(), json!(format!("notification-{}", told.id))),
        ("type".to_owned(), json!(told.event_type)),
        ("title".to_owned(), json!(told.title)),
        ("body".to_owned(), json!(told.body)),
        ("createdAt".to_owned(), json!(told.created_at)),
        ("payload".to_owned(), told.payload.clone()),
    ]);
    if let Some(session) = &told.session_id {
        let session = json!({
            "id": session, "name": text("name"), "provider": told.provider, "cwd": text("cwd"),
        });
        message.insert("session".to_owned(), session);
    }
    Value::Object(message)
}

/// What is wanted of a session, where that was said.
async fn wishes(db: &Store, session: &SessionId) -> Option<codepiper_core::notification::SessionWishes> {
    let session = session.clone();
    match db.read(move |db| store::wishes(db, &session)).await {
        Ok(found) => found.map(|(wishes, _)| wishes),
        Err(error) => {
            tracing::warn!(%error, "what is wanted of a session cannot be read; it is told");
            None
        }
    }
}

/// Completes at that time; never when there is none.
async fn until(time: Option<Timestamp>) {
    match time {
        None => std::future::pending().await,
        Some(time) => {
            let wait = time.duration_since(Timestamp::now());
            tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
        }
    }
}
