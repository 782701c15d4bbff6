//! The whole with the demo agent: real binary, real tmux, real SQLite, private to each test.

mod approvals;
mod budgets;
mod crashes;
mod database;
mod doctor;
mod env_sets;
mod faults;
mod knowledge;
mod notifications;
mod policies;
mod providers;
mod sessions;
mod survival;
mod upkeep;
mod workspaces;
