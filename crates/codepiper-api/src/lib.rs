//! The contract: everything that crosses a process border.
//!
//! Paths, field names and status words are those of the original CodePiper, so its clients can drive our
//! daemon; what is ours stands beside them. The daemon writes these types, the CLI and the dashboard read
//! them.

pub mod analytics;
pub mod approvals;
pub mod audit;
pub mod budgets;
pub mod conversations;
pub mod defaults;
pub mod doctor;
pub mod env_sets;
pub mod error;
pub mod events;
pub mod knowledge;
pub mod notifications;
pub mod policies;
pub mod providers;
pub mod search;
pub mod service;
pub mod sessions;
pub mod settings;
pub mod workspaces;

pub use error::{Fault, Refusal};
