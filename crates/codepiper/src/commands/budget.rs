//! `codepiper budget`

use crate::args::BudgetArgs;
use crate::client::{Client, Route};
use crate::output;
use codepiper_api::budgets::BudgetView;
use codepiper_api::{Fault, Refusal};
use codepiper_core::budget::{Budget, Limit};
use hyper::Method;

pub(super) async fn run(args: &BudgetArgs, daemon: &Client) -> Result<(), Refusal> {
    let route = match args.id.as_str() {
        "today" => Route::new("/budget"),
        id => Route::session(id, "/budget"),
    };
    let limits = budget(&args.limits)?;
    let view: BudgetView = match args.limits.as_slice() {
        [] => daemon.get(route).await?,
        _ => daemon.call(Method::PUT, route, &limits).await?,
    };
    if args.format.json() {
        return output::print_json(&view);
    }
    let mut lines = String::new();
    for taken in view.budget.taken(&view.spent) {
        lines.push_str(&format!("{}  {} %\n", taken.limit, taken.percent));
    }
    if lines.is_empty() {
        let money = Limit::Cost { spent: view.spent.cost, of: view.spent.cost }.to_string();
        let money = money.split(" of ").next().unwrap_or_default().to_owned();
        lines.push_str(&format!("no limits; spent {money} and {} tokens\n", view.spent.tokens));
    }
    if view.spent.unpriced > 0 {
        lines.push_str(&format!("{} tokens have no price and are in no dollars\n", view.spent.unpriced));
    }
    output::print(&lines)
}

/// The limits that were typed, `none` for none.
pub(super) fn budget(limits: &[String]) -> Result<Budget, Refusal> {
    let mut budget = Budget::default();
    if let [none] = limits
        && none == "none"
    {
        return Ok(budget);
    }
    for limit in limits {
        budget.add(limit).map_err(|why| {
            Refusal::new(Fault::Usage, why).hint("`codepiper budget --help` shows how limits are written")
        })?;
    }
    Ok(budget)
}
