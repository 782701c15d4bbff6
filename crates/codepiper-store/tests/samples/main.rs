//! Databases of every version that was released are opened by this one, and everything in them is there.
//!
//! `testdata/<version>.db` is such a database, `<version>.json` beside it what is in it: recorded from a daemon
//! with the demo agent, with `/home/dev` in the place of its home and zeros in that of its secrets. Both are
//! never changed after the release. How to make those of the next: `examples/sample.rs`.

mod sample;

use codepiper_store::events::{self, Filter};
use codepiper_store::{Durability, SCHEMA_VERSION, Store, session_ids, sessions, settings, verify};
use sample::{Sample, folder};
use std::collections::BTreeSet;

/// The versions, each with its schema.
const RELEASED: [(&str, u32); 1] = [("0.3.0", 1)];

/// Opens a copy of the sample as the daemon does, and reads every row back.
async fn check(version: &str, schema: u32) {
    let released = folder().join(format!("{version}.db"));
    let private = tempfile::tempdir().expect("a folder");
    let path = private.path().join("codepiper.db");
    std::fs::copy(&released, &path).expect("copied");
    assert_eq!(verify(&path).expect("whole").schema, schema, "the sample of {version} is another one");
    let expected = Sample::read(version);

    let store = Store::open(&path, Durability::Process).expect("migrated");
    let names: Vec<String> = expected.settings.keys().cloned().collect();
    let filter = Filter { limit: u32::MAX, ..Filter::default() };
    let (list, (log, more), set) = store
        .read(move |c| {
            let set = names.into_iter().map(|name| Ok((name.clone(), settings::get(c, &name)?)));
            Ok((
                sessions::list(c)?,
                events::list(c, &filter)?,
                set.collect::<codepiper_store::Result<Vec<_>>>()?,
            ))
        })
        .await
        .expect("read");

    let on_list = expected.sessions.iter().filter(|(_, removed)| removed.is_none());
    assert_eq!(list, on_list.map(|(row, _)| row.clone()).collect::<Vec<_>>());
    let ever: BTreeSet<_> = expected.sessions.iter().map(|(row, _)| row.id.clone()).collect();
    assert_eq!(session_ids(&path).expect("read"), ever);
    assert!(!more);
    // One sequence from 1: positions that clients hold must mean the same events after an upgrade.
    let numbers: Vec<u64> = log.iter().map(|stored| stored.seq).collect();
    assert_eq!(numbers, (1..=expected.events.len() as u64).collect::<Vec<_>>());
    assert_eq!(log.into_iter().map(|stored| stored.event).collect::<Vec<_>>(), expected.events);
    let set: Vec<_> = set.into_iter().map(|(name, value)| (name, value.expect("set"))).collect();
    assert_eq!(set, expected.settings.into_iter().collect::<Vec<_>>());

    // It is one of ours now, and goes on.
    assert_eq!(verify(&path).expect("whole").schema, SCHEMA_VERSION);
    let (row, _) = expected.sessions.into_iter().next().expect("a session");
    store.write(move |tx| sessions::update(tx, &row)).await.expect("written");
}

#[tokio::test]
async fn a_database_of_a_released_version_is_opened_and_nothing_of_it_is_lost() {
    for (version, schema) in RELEASED {
        check(version, schema).await;
    }
}

#[test]
fn every_sample_is_checked() {
    let mut there: Vec<String> = std::fs::read_dir(folder())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "db"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    there.sort();
    assert_eq!(there, RELEASED.map(|(version, _)| version));
}
