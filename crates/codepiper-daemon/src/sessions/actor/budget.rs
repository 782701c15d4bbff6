//! What a session, and a day, may take: from the end of a budget on, every tool call asks.

use super::Actor;
use super::gates::Decided;
use crate::budgets;
use codepiper_api::Refusal;
use codepiper_core::budget::{Budget, NEAR_PERCENT, Taken};
use codepiper_core::gate::{Verdict, Wants};
use codepiper_core::hook::{Learned, ToolCall};
use jiff::Timestamp;
use serde_json::json;

/// Whose budget it is.
#[derive(Clone, Copy)]
enum Whose {
    Session,
    Day,
}

impl Actor {
    /// A call that may run asks where a budget is used up. It holds in dangerous mode too: it was set for that.
    pub(super) async fn within_budget(&mut self, call: &ToolCall, decided: Decided) -> Decided {
        let may_run =
            matches!(decided.verdict, Verdict::Allow { .. } | Verdict::Nothing | Verdict::Ask { .. });
        if !may_run || Wants::of(call) != Wants::Permission {
            return decided;
        }
        let mut over = None;
        for (whose, taken) in self.taken().await {
            if taken.percent >= NEAR_PERCENT {
                self.tell_budget(whose, taken).await;
            }
            if taken.percent >= 100 && over.is_none() {
                over = Some((whose, taken));
            }
        }
        let Some((whose, taken)) = over else { return decided };
        let reason = match whose {
            Whose::Session => format!("CodePiper: the budget of this session is used up: {}", taken.limit),
            Whose::Day => format!("CodePiper: the budget of the day is used up: {}", taken.limit),
        };
        let by = json!({
            "budget": taken.limit.name(), "of": whose.word(), "taken": taken.limit.to_string(), "before": decided.by,
        });
        Decided { verdict: Verdict::Ask { reason }, by, priority: decided.priority }
    }

    /// How much of each limit is taken.
    async fn taken(&self) -> Vec<(Whose, Taken)> {
        let own = self.known.launch.budget;
        let mut all = Vec::new();
        if !own.is_empty() {
            match budgets::of_session(&self.app, &self.known).await {
                Ok(spent) => all.extend(own.taken(&spent).into_iter().map(|taken| (Whose::Session, taken))),
                Err(refusal) => tracing::warn!(%refusal, "what the session spent is not known"),
            }
        }
        match budgets::today(&self.app).await {
            Ok(Some((budget, spent))) => {
                all.extend(budget.taken(&spent).into_iter().map(|taken| (Whose::Day, taken)));
            }
            Ok(None) => {}
            Err(refusal) => tracing::warn!(%refusal, "what the day took is not known"),
        }
        all
    }

    /// Says once for each limit that it is nearly, and once that it is wholly used up.
    async fn tell_budget(&mut self, whose: Whose, taken: Taken) {
        let level = if taken.percent >= 100 { "used-up" } else { "nearly-used-up" };
        let day = match whose {
            Whose::Session => None,
            Whose::Day => Some(budgets::day_of(Timestamp::now())),
        };
        let payload = json!({
            "day": day, "of": whose.word(), "what": taken.limit.name(), "taken": taken.limit.to_string(),
            "percent": taken.percent, "level": level,
        });
        let mut event = self.event("session", "budget", payload);
        let day = day.unwrap_or_default();
        let limit = taken.limit.to_string();
        let limit = limit.rsplit(" of ").next().unwrap_or_default();
        event.uid = Some(format!("{}-budget-{}{day}-{level}-{limit}", self.known.row.id, whose.word()));
        self.happen_or_log(&[], Some(event)).await;
    }

    pub(super) async fn set_budget(&mut self, budget: Budget) -> Result<(), Refusal> {
        self.known.launch.budget = budget;
        let event = self.event("session", "budget-set", json!({ "budget": budget }));
        self.happen(&[], &Learned::default(), Some(event)).await.map(drop)
    }
}

impl Whose {
    fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Day => "day",
        }
    }
}
