use super::events::{Appended, Filter, NewEvent};
use super::sessions::SessionRow;
use super::*;
use codepiper_core::ids::{EnvSetId, SessionId, WorkspaceId};
use codepiper_core::session::{Exit, Standing, State};
use jiff::Timestamp;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn id(bits: u32) -> SessionId {
    SessionId::from_bits(bits)
}

fn session(bits: u32, name: Option<&str>) -> SessionRow {
    SessionRow {
        id: id(bits),
        name: name.map(str::to_owned),
        provider: "demo".into(),
        cwd: "/p".into(),
        standing: Standing { state: State::Starting, since: at(1), reason: "starting".into() },
        launch: json!({"args": []}),
        provider_session: None,
        transcript_path: None,
        model: None,
        process: None,
        end_requested: None,
        cols: 120,
        rows: 30,
        created_at: at(1),
        updated_at: at(1),
    }
}

fn event(bits: u32, kind: &str, uid: Option<&str>) -> NewEvent {
    NewEvent {
        session: id(bits),
        at: at(5),
        source: "hook".into(),
        kind: kind.into(),
        payload: json!({"n": 1}),
        uid: uid.map(str::to_owned),
    }
}

struct Opened {
    store: Store,
    folder: tempfile::TempDir,
}

impl Opened {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { store: Store::open(&folder.path().join("c.db"), Durability::Process).unwrap(), folder }
    }
}

#[tokio::test]
async fn a_session_is_read_back_as_it_was_written() {
    let db = Opened::new();
    let mut row = session(1, Some("api"));
    let stored = row.clone();
    assert!(db.store.write(move |tx| sessions::insert(tx, &stored)).await.unwrap());
    row.standing.state = State::Crashed { exit: Exit::Signal(11) };
    row.process = Some(json!({"pane": "%1"}));
    let changed = row.clone();
    db.store.write(move |tx| sessions::update(tx, &changed)).await.unwrap();
    assert_eq!(db.store.read(|c| sessions::get(c, &id(1))).await.unwrap(), Some(row.clone()));
    assert_eq!(db.store.read(sessions::list).await.unwrap(), vec![row]);
}

#[tokio::test]
async fn a_removed_session_leaves_the_list_frees_its_name_and_keeps_its_events() {
    let db = Opened::new();
    let again = db
        .store
        .write(|tx| {
            sessions::insert(tx, &session(1, Some("api")))?;
            events::append(tx, &event(1, "Stop", None))?;
            sessions::remove(tx, &id(1), at(9))?;
            assert!(!sessions::insert(tx, &session(1, None))?, "an id was used twice");
            sessions::insert(tx, &session(2, Some("api")))
        })
        .await
        .unwrap();
    assert!(again);
    let (listed, events) = db
        .store
        .read(|c| Ok((sessions::list(c)?, events::list(c, &Filter { limit: 9, ..Filter::default() })?.0)))
        .await
        .unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(events.len(), 1);
}

#[tokio::test]
async fn changing_a_session_that_is_not_there_is_an_error() {
    let db = Opened::new();
    let error = db.store.write(|tx| sessions::update(tx, &session(7, None))).await.unwrap_err();
    assert_eq!(error.to_string(), "no such session 00000007");
}

#[tokio::test]
async fn an_event_sent_twice_counts_once() {
    let db = Opened::new();
    let seen = db
        .store
        .write(|tx| {
            Ok([
                events::append(tx, &event(1, "Stop", Some("u1")))?,
                events::append(tx, &event(1, "Stop", Some("u1")))?,
                events::append(tx, &event(1, "Stop", None))?,
            ])
        })
        .await
        .unwrap();
    assert_eq!(seen, [Appended::New(1), Appended::Known(1), Appended::New(2)]);
}

#[tokio::test]
async fn events_are_read_by_filter_first_or_last_always_ascending() {
    let db = Opened::new();
    db.store
        .write(|tx| {
            for n in 0..10 {
                events::append(tx, &event(n % 2, if n < 5 { "Pre" } else { "Stop" }, None))?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let check = async |filter: Filter, expected: &[u64], more: bool| {
        let (events, has_more) = db.store.read(move |c| events::list(c, &filter)).await.unwrap();
        assert_eq!((events.iter().map(|e| e.seq).collect::<Vec<_>>().as_slice(), has_more), (expected, more));
    };
    check(Filter { limit: 3, ..Filter::default() }, &[1, 2, 3], true).await;
    check(Filter { limit: 3, last: true, ..Filter::default() }, &[8, 9, 10], true).await;
    check(Filter { limit: 9, session: Some(id(1)), ..Filter::default() }, &[2, 4, 6, 8, 10], false).await;
    check(
        Filter { limit: 9, kind: Some("Pre".into()), after: Some(2), ..Filter::default() },
        &[3, 4, 5],
        false,
    )
    .await;
    check(Filter { limit: 9, before: Some(3), ..Filter::default() }, &[1, 2], false).await;
    check(Filter { limit: 9, since: Some(at(6)), ..Filter::default() }, &[], false).await;
}

#[tokio::test]
async fn a_failed_write_undoes_itself_and_nothing_else_of_its_group() {
    for bad in ["a", "b", "c"] {
        let db = Opened::new();
        let write = |kind: &'static str| {
            db.store.write(move |tx| {
                events::append(tx, &event(1, kind, None))?;
                if kind == bad { Err(StoreError::Missing("thing".into())) } else { Ok(()) }
            })
        };
        let (a, b, c) = tokio::join!(write("a"), write("b"), write("c"));
        let failed: Vec<String> =
            [a, b, c].into_iter().filter_map(|done| Some(done.err()?.to_string())).collect();
        assert_eq!(failed, ["no such thing"]);
        let all = Filter { limit: 9, ..Filter::default() };
        let (events, _) = db.store.read(move |c| events::list(c, &all)).await.unwrap();
        let kept: Vec<&str> = events.iter().map(|event| event.event.kind.as_str()).collect();
        let good: Vec<&str> = ["a", "b", "c"].into_iter().filter(|kind| *kind != bad).collect();
        assert_eq!(kept, good);
    }
}

#[tokio::test]
async fn a_backup_of_a_busy_store_is_whole_owner_only_and_never_overwrites() {
    let db = Opened::new();
    db.store.write(|tx| sessions::insert(tx, &session(1, None))).await.unwrap();
    let to = db.folder.path().join("copy.db");
    let writer = db.store.clone();
    let busy = tokio::spawn(async move {
        for _ in 0..200 {
            writer.write(|tx| events::append(tx, &event(1, "x", None))).await.unwrap();
        }
    });
    let report = db.store.backup(to.clone()).await.unwrap();
    busy.await.unwrap();
    assert_eq!((report.schema, report.sessions), (SCHEMA_VERSION, 1));
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(db.store.backup(to.clone()).await.unwrap_err().to_string().contains("creating"));
    assert_eq!(verify(&to).unwrap(), report);
}

#[test]
fn a_damaged_or_newer_database_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.db");
    drop(Store::open(&path, Durability::Process).unwrap());
    let error_of = |path: &Path| match Store::open(path, Durability::Process) {
        Ok(_) => "opened".to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(error_of(&path), "opened");

    let tamper = Connection::open(&path).unwrap();
    tamper.execute("UPDATE migrations SET fingerprint = 'x'", []).unwrap();
    assert!(error_of(&path).contains("step 1 differs"));
    tamper.pragma_update(None, "user_version", 99).unwrap();
    assert!(error_of(&path).contains(&format!("schema 99, this version knows up to {SCHEMA_VERSION}")));

    fs::write(folder.path().join("junk.db"), b"not a database, but long enough to look like a file").unwrap();
    assert!(error_of(&folder.path().join("junk.db")).contains("not a database"));
    assert!(verify(&folder.path().join("junk.db")).unwrap_err().is_damage());
    assert!(!verify(&folder.path().join("none.db")).unwrap_err().is_damage());
}

#[tokio::test]
async fn looking_into_a_database_leaves_nothing_behind_and_disturbs_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a b%20?#ü.db");
    let ids =
        |path: &Path| -> Vec<String> { session_ids(path).unwrap().iter().map(ToString::to_string).collect() };
    let store = Store::open(&path, Durability::Process).unwrap();
    store.write(|tx| sessions::insert(tx, &session(1, None))).await.unwrap();
    store.write(|tx| sessions::insert(tx, &session(2, None))).await.unwrap();
    let gone = session(2, None);
    store.write(move |tx| sessions::remove(tx, &gone.id, gone.created_at)).await.unwrap();
    // In use: what is only in its log counts.
    assert_eq!((verify(&path).unwrap().sessions, ids(&path).len()), (2, 2));
    drop(store);

    let copy = folder.path().join("alone ? here").join("c.db");
    fs::create_dir(copy.parent().unwrap()).unwrap();
    fs::copy(&path, &copy).unwrap();
    Connection::open(&path).unwrap().pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
    fs::copy(&path, &copy).unwrap();
    assert_eq!((verify(&copy).unwrap().sessions, ids(&copy).len()), (2, 2));
    assert_eq!(fs::read_dir(copy.parent().unwrap()).unwrap().count(), 1);
}

fn env_set(bits: u32, name: &str) -> env_sets::EnvSetRow {
    env_sets::EnvSetRow {
        id: EnvSetId::from_bits(bits),
        name: name.into(),
        description: None,
        key: "k1".into(),
        nonce: vec![0, 1, 255],
        sealed: vec![9; 40],
        var_count: 2,
        created_at: at(1),
        updated_at: at(1),
    }
}

#[tokio::test]
async fn env_sets_are_kept_as_they_were_sealed() {
    let db = Opened::new();
    let mut row = env_set(1, "b");
    let kept = db
        .store
        .write(|tx| {
            assert!(env_sets::insert(tx, &env_set(1, "b"))?);
            assert!(!env_sets::insert(tx, &env_set(1, "c"))?, "an id was used twice");
            assert!(env_sets::insert(tx, &env_set(2, "a"))?);
            assert_eq!(env_sets::current_key(tx)?, None);
            env_sets::set_current_key(tx, "k1")?;
            env_sets::set_current_key(tx, "k2")?;
            env_sets::current_key(tx)
        })
        .await;
    assert_eq!(kept.unwrap().as_deref(), Some("k2"));
    row.sealed = vec![7; 3];
    row.description = Some("for tests".into());
    let changed = row.clone();
    db.store.write(move |tx| env_sets::update(tx, &changed)).await.unwrap();
    db.store.settle().await.unwrap();
    assert_eq!(db.store.read(env_sets::list).await.unwrap(), [env_set(2, "a"), row]);
    let keys = env_set_keys(&db.folder.path().join("c.db")).unwrap();
    assert_eq!(keys, ["a", "b"].map(|name| (name.to_owned(), "k1".to_owned())));
    db.store.write(|tx| env_sets::remove(tx, &EnvSetId::from_bits(2))).await.unwrap();
    assert_eq!(db.store.read(env_sets::list).await.unwrap().len(), 1);
    let gone = db.store.write(|tx| env_sets::remove(tx, &EnvSetId::from_bits(2))).await;
    assert_eq!(gone.unwrap_err().to_string(), "no such env set 00000002");
}

#[tokio::test]
async fn workspaces_are_kept_with_their_defaults() {
    let db = Opened::new();
    let mut row = workspaces::WorkspaceRow {
        id: WorkspaceId::from_bits(1),
        name: "app".into(),
        path: "/p".into(),
        defaults: json!({"provider": "demo"}),
        created_at: at(1),
        updated_at: at(1),
    };
    let stored = row.clone();
    assert!(db.store.write(move |tx| workspaces::insert(tx, &stored)).await.unwrap());
    row.defaults = json!({});
    row.updated_at = at(2);
    let changed = row.clone();
    db.store.write(move |tx| workspaces::update(tx, &changed)).await.unwrap();
    assert_eq!(db.store.read(workspaces::list).await.unwrap(), [row]);
    db.store.write(|tx| workspaces::remove(tx, &WorkspaceId::from_bits(1))).await.unwrap();
    assert_eq!(db.store.read(workspaces::list).await.unwrap(), []);
}

#[tokio::test]
async fn what_one_session_did_is_found_without_reading_what_others_did() {
    let db = Opened::new();
    let session = Some(id(1));
    for last in [false, true] {
        let queries = [
            events::query(&Filter { session: session.clone(), last, ..Filter::default() }),
            audit::query(&audit::Filter { session: session.clone(), last, ..audit::Filter::default() }),
        ];
        for sql in queries {
            let explain = format!("EXPLAIN QUERY PLAN {sql}");
            let plan = db.store.read(move |connection| {
                let mut statement = connection.prepare(&explain)?;
                let steps =
                    statement.raw_query().mapped(|row| row.get(3)).collect::<Result<Vec<String>, _>>();
                Ok(steps?)
            });
            let plan = plan.await.unwrap();
            assert!(plan.len() == 1 && plan[0].contains("(session=? AND "), "{plan:?} of {sql}");
        }
    }
}

#[tokio::test]
async fn work_is_added_up_by_quarter_hours() {
    let db = Opened::new();
    let minutes = |n: i64| at(n * 60);
    let since = async |begin: i64, now: i64| {
        db.store.read(move |c| work::since(c, minutes(begin), minutes(now))).await.unwrap() / 60_000
    };
    let spans = [(0, 10), (10, 40), (44, 46), (50, 50), (60, 59)];
    let add = move |tx: &Transaction<'_>| {
        spans.iter().try_for_each(|(from, to)| work::add(tx, minutes(*from), minutes(*to)))
    };
    db.store.write(add).await.unwrap();
    assert_eq!(since(0, 60).await, 42);
    assert_eq!(since(15, 60).await, 27);
    assert_eq!(since(45, 60).await, 1);
    let mut row = session(1, None);
    row.standing = Standing { state: State::Running, since: minutes(50), reason: "working".into() };
    db.store.write(move |tx| sessions::insert(tx, &row)).await.unwrap();
    assert_eq!(since(45, 60).await, 11, "who works now counts");
    assert_eq!(since(60, 75).await, 15, "from then on");
}
