//! Budgets of sessions and of the day.

use super::Http;
use super::error::{Answer, Body};
use crate::sessions::Command;
use crate::{budgets, settings};
use axum::Json;
use axum::extract::{Path, State};
use codepiper_api::Refusal;
use codepiper_api::budgets::BudgetView;
use codepiper_core::budget::Budget;
use serde_json::{Map, json};

pub(super) async fn of_session(State(http): State<Http>, Path(id): Path<String>) -> Answer<Json<BudgetView>> {
    let known = http.sessions.find(&id)?.known();
    let spent = budgets::of_session(&http.app, &known).await?;
    Ok(Json(BudgetView { budget: known.launch.budget, spent }))
}

pub(super) async fn put_of_session(
    State(http): State<Http>,
    Path(id): Path<String>,
    Body(budget): Body<Budget>,
) -> Answer<Json<BudgetView>> {
    let handle = http.sessions.find(&id)?;
    check(&budget)?;
    handle.ask(|reply| Command::Budget { budget, reply }).await?;
    of_session(State(http), Path(handle.id.to_string())).await
}

pub(super) async fn of_day(State(http): State<Http>) -> Answer<Json<BudgetView>> {
    let budget = budgets::today(&http.app).await?.map(|(budget, _)| budget).unwrap_or_default();
    Ok(Json(BudgetView { budget, spent: budgets::spent_today(&http.app).await? }))
}

pub(super) async fn put_of_day(
    State(http): State<Http>,
    Body(budget): Body<Budget>,
) -> Answer<Json<BudgetView>> {
    check(&budget)?;
    let wanted = Map::from_iter([(settings::DAILY_BUDGET.to_owned(), json!(budget))]);
    settings::change(&http.app, &wanted).await?;
    of_day(State(http)).await
}

fn check(budget: &Budget) -> Result<(), Refusal> {
    budget.fault().map_or(Ok(()), |(field, why)| Err(Refusal::field(field, why)))
}
