//! What every part of the running daemon shares.

use crate::bus::Bus;
use crate::config::Config;
use crate::knowledge::Knowledge;
use crate::live::Live;
use crate::notifications::Notifications;
use crate::policies::Policies;
use crate::providers::Providers;
use crate::watch::Watch;
use codepiper_core::budget::Budget;
use codepiper_store::Store;
use codepiper_tmux::Tmux;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use tokio::sync::watch;

/// The shared parts, in the order they are started.
pub struct App {
    /// What the daemon was told.
    pub config: Config,
    /// The database.
    pub store: Store,
    /// The tmux server.
    pub tmux: Tmux,
    /// The providers.
    pub providers: Providers,
    /// The file watcher.
    pub watch: Watch,
    /// Where committed events are announced.
    pub bus: Bus,
    /// The policies in force.
    pub policies: Policies,
    /// What agents tell of themselves.
    pub(crate) live: Live,
    /// What agents wrote down.
    pub knowledge: Knowledge,
    /// Where notifications are announced.
    pub(crate) notifications: Notifications,
    /// What all sessions may take in a day. Kept here because every tool call asks for it.
    pub daily_budget: watch::Sender<Budget>,
    /// Ticks when the audit log has grown.
    pub audited: watch::Sender<()>,
    /// The daemon ends: connections are cut by us.
    pub is_ending: AtomicBool,
    /// When the daemon was started.
    pub started: Instant,
}
