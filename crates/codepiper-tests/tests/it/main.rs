//! The whole with the demo agent: real binary, real tmux, real SQLite, private to each test.

mod approvals;
mod database;
mod budgets;
mod doctor;
mod env_sets;
mod faults;
mod knowledge;
mod policies;
mod providers;
mod sessions;
mod taken_in;
mod survival;
mod upkeep;
mod workspaces;
