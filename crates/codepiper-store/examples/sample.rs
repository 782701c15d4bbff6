//! Makes the sample database of this version from its text: `testdata/<version>.json` → `testdata/<version>.db`.
//!
//! ```sh
//! cargo run -p codepiper-store --example sample
//! ```
//!
//! For the release that brings a new schema: write the JSON (rows as a daemon of that version stores them; no
//! names and paths of yours, no secrets), run this, and add the version to `tests/samples/main.rs`. A sample of a
//! released version is never made anew, so a database that is there is refused. Until the release, when its step
//! of the schema still changes, delete it and run this again.

#[path = "../tests/samples/sample.rs"]
mod sample;

use codepiper_store::{Durability, Store, events, sessions, settings};
use sample::Sample;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let version = env!("CARGO_PKG_VERSION");
    let Sample { sessions: all, events: log, settings: set } = Sample::read(version);
    let private = tempfile::tempdir()?;
    let store = Store::open(&private.path().join("codepiper.db"), Durability::Process)?;
    store
        .write(move |tx| {
            for (row, removed) in &all {
                sessions::insert(tx, row)?;
                if let Some(at) = removed {
                    sessions::remove(tx, &row.id, *at)?;
                }
            }
            for event in &log {
                events::append(tx, event)?;
            }
            set.iter().try_for_each(|(name, value)| settings::set(tx, name, value))
        })
        .await?;
    // The copy is one file, and the name must be free.
    let path = sample::folder().join(format!("{version}.db"));
    let report = store.backup(path.clone()).await?;
    println!("{}: {report:?}", path.display());
    Ok(())
}
