//! The prices in force: those of this version, and before them the person's own in `prices.toml`. When they change,
//! everything is priced anew.

use crate::app::App;
use crate::live;
use crate::sessions::internal;
use codepiper_api::{Fault, Refusal};
use codepiper_core::pricing::PriceTable;
use codepiper_store::{knowledge as store, settings};
use serde_json::{Value, json};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Where the store keeps by which table all replies are priced.
const PRICED_BY: &str = "pricedBy";

/// The table in force. Clones share it.
#[derive(Clone)]
pub(super) struct Prices(Arc<Mutex<Arc<PriceTable>>>);

impl Prices {
    pub(super) fn built_in() -> Self {
        Self(Arc::new(Mutex::new(Arc::new(PriceTable::built_in()))))
    }

    pub(super) fn table(&self) -> Arc<PriceTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, table: PriceTable) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }
}

/// Reads the person's prices. What is wrong with them is told with its place; the table in force stays.
pub(crate) fn load(file: &Path) -> Result<PriceTable, String> {
    let table = PriceTable::built_in();
    match fs::read_to_string(file) {
        Ok(text) => {
            let own = PriceTable::parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
            Ok(table.with_overrides(own))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(table),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

/// Takes the prices into force, and prices everything by them that was priced by others.
pub(super) async fn begin(app: &App) {
    match load(&app.config.prices_file()) {
        Ok(table) => app.knowledge.prices.replace(table),
        Err(why) => tracing::warn!(why, "the person's prices cannot be read; those of this version hold"),
    }
    let table = app.knowledge.prices.table();
    let by = app.store.read(|db| settings::get(db, PRICED_BY)).await;
    if by.is_ok_and(|by| by == Some(json!(table.fingerprint()))) {
        return;
    }
    if let Err(refusal) = price_all(app, table).await {
        tracing::warn!(%refusal, "what was counted keeps its old prices");
    }
}

/// Reads the prices again and prices everything by them. How many replies cost something else now.
pub(crate) async fn reprice(app: &App) -> Result<u64, Refusal> {
    let table = load(&app.config.prices_file()).map_err(|why| {
        Refusal::new(Fault::Conflict, format!("the prices cannot be used: {why}"))
            .hint("nothing was priced anew; docs/usage-accounting.md shows what the file may say")
    })?;
    app.knowledge.prices.replace(table);
    price_all(app, app.knowledge.prices.table()).await
}

async fn price_all(app: &App, table: Arc<PriceTable>) -> Result<u64, Refusal> {
    let mut after = Some(String::new());
    let mut changed = 0;
    while let Some(key) = after {
        let table = table.clone();
        let step = app.store.write(move |tx| {
            store::reprice_some(tx, &key, &|usage| {
                table.cost(&usage.model, usage.at, &usage.tokens, &usage.billing).map(|money| money.0)
            })
        });
        let step = step.await.map_err(|error| internal("pricing what was counted", error))?;
        changed += step.changed;
        after = step.next;
    }
    let by: Value = json!(table.fingerprint());
    let noted = app.store.write(move |tx| settings::set(tx, PRICED_BY, &by)).await;
    noted.map_err(|error| internal("noting the prices", error))?;
    live::recount(app).await;
    app.knowledge.grown.send_replace(());
    Ok(changed)
}
