//! What was spent: by a session since its start, by all since midnight.

use crate::app::App;
use crate::sessions::{Known, internal};
use crate::settings::{self, DAILY_BUDGET};
use codepiper_api::Refusal;
use codepiper_core::budget::{Budget, Spent};
use codepiper_core::pricing::Money;
use codepiper_store::knowledge::{self, Spender};
use codepiper_store::work;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What a session took.
pub(crate) async fn of_session(app: &App, known: &Known) -> Result<Spent, Refusal> {
    let since = Timestamp::now().duration_since(known.row.created_at).as_secs();
    spent(app, Spender::Session(known.row.id.clone()), since).await
}

/// The day's budget and what was taken of it; none where there is no budget. A day begins at midnight here.
pub(crate) async fn today(app: &App) -> Result<Option<(Budget, Spent)>, Refusal> {
    let budget = *app.daily_budget.borrow();
    if budget.is_empty() {
        return Ok(None);
    }
    spent_today(app).await.map(|spent| Some((budget, spent)))
}

/// Takes the day's budget into force as it is set.
pub(crate) async fn keep_daily(app: &App) {
    let budget = serde_json::from_value(settings::get(app, DAILY_BUDGET).await).unwrap_or_default();
    app.daily_budget.send_replace(budget);
}

/// What all took since midnight: of time, that in which agents worked, added up.
pub(crate) async fn spent_today(app: &App) -> Result<Spent, Refusal> {
    let now = Timestamp::now();
    let midnight = now.to_zoned(TimeZone::system()).start_of_day().map_or(now, |day| day.timestamp());
    let worked = app.store.read(move |db| work::since(db, midnight, now)).await;
    let worked = worked.map_err(|error| internal("adding up how long agents worked", error))?;
    spent(app, Spender::Since(midnight), (worked / 1_000) as i64).await
}

/// The day of a time, here.
pub(crate) fn day_of(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).date().to_string()
}

async fn spent(app: &App, by: Spender, seconds: i64) -> Result<Spent, Refusal> {
    let found = app.store.read(move |db| knowledge::spent(db, &by)).await;
    let (cost, unpriced, tokens) = found.map_err(|error| internal("adding up what was spent", error))?;
    Ok(Spent { cost: Money(cost), unpriced, tokens, seconds: u64::try_from(seconds).unwrap_or(0) })
}
