//! The running system: everything that does I/O, but for the store and tmux.
//!
//! Inside: `http` → domain modules (`sessions`, `worktrees`, `terminal`, …) → `app`, `bus`, `watch`. No domain
//! module knows HTTP.

pub mod codex_channel;
pub mod config;
pub mod control;
pub mod doctor;
pub mod hook_helper;
pub mod pane;
pub mod status_line;

mod app;
mod budgets;
mod bus;
mod caller;
mod env_sets;
mod http;
mod knowledge;
mod live;
mod log;
mod notifications;
mod own_files;
mod paths;
mod policies;
mod processes;
mod providers;
mod retention;
mod serve;
mod sessions;
mod settings;
mod spool;
mod stand_in;
mod terminal;
mod watch;
mod workspaces;
mod worktrees;

pub use paths::RealPaths;
pub use serve::{AlreadyRunning, Running, run};
