//! A sample as text: what is in the database of the same name beside it.

use codepiper_core::ids::SessionId;
use codepiper_store::events::NewEvent;
use codepiper_store::sessions::SessionRow;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// What a daemon of that version had stored.
#[derive(Debug, PartialEq)]
pub(crate) struct Sample {
    /// Sessions, oldest first; those that left the list with the time.
    pub(crate) sessions: Vec<(SessionRow, Option<Timestamp>)>,
    /// Events, first ones first.
    pub(crate) events: Vec<NewEvent>,
    /// Settings that somebody set.
    pub(crate) settings: Map<String, Value>,
}

/// Where samples are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

impl Sample {
    /// Reads `testdata/<version>.json`. What a later version adds to a row is not in older samples: give it here
    /// what a migration makes of it.
    pub(crate) fn read(version: &str) -> Self {
        let path = folder().join(format!("{version}.json"));
        let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut all: Value = serde_json::from_slice(&text).expect("JSON");
        let sessions = all["sessions"].as_array_mut().expect("a list").iter_mut().map(session).collect();
        let events = all["events"].as_array_mut().expect("a list").iter_mut().map(event).collect();
        Self { sessions, events, settings: take(&mut all, "settings") }
    }
}

fn session(of: &mut Value) -> (SessionRow, Option<Timestamp>) {
    let row = SessionRow {
        id: id(of, "id"),
        name: take(of, "name"),
        provider: take(of, "provider"),
        cwd: take(of, "cwd"),
        standing: take(of, "standing"),
        launch: take(of, "launch"),
        provider_session: take(of, "provider_session"),
        transcript_path: take(of, "transcript_path"),
        model: take(of, "model"),
        process: take(of, "process"),
        end_requested: take(of, "end_requested"),
        cols: take(of, "cols"),
        rows: take(of, "rows"),
        created_at: take(of, "created_at"),
        updated_at: take(of, "updated_at"),
    };
    (row, take(of, "removed_at"))
}

fn event(of: &mut Value) -> NewEvent {
    NewEvent {
        session: id(of, "session"),
        at: take(of, "at"),
        source: take(of, "source"),
        kind: take(of, "type"),
        payload: take(of, "payload"),
        uid: take(of, "uid"),
    }
}

fn id(of: &mut Value, name: &str) -> SessionId {
    SessionId::parse(&take::<String>(of, name)).expect("an id")
}

fn take<T: DeserializeOwned>(of: &mut Value, name: &str) -> T {
    let value = of.get_mut(name).unwrap_or_else(|| panic!("no `{name}`")).take();
    serde_json::from_value(value).unwrap_or_else(|error| panic!("`{name}`: {error}"))
}
