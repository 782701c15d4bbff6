//! What a session, or a day, may take, and what was taken.

use codepiper_core::budget::{Budget, Spent};
use serde::{Deserialize, Serialize};

/// `GET` and `PUT /sessions/:id/budget` and `/budget` (of the day).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetView {
    /// The limits; none are no limits.
    pub budget: Budget,
    /// What was taken. A day counts no time.
    pub spent: Spent,
}
