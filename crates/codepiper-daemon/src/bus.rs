//! Announces committed events to whoever listens. A listener may miss some; it then reads the log by number.

use codepiper_store::events::StoredEvent;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Events that a listener may lag behind before it has to read the log.
const LAG_MAX: usize = 1_024;

/// The bus.
#[derive(Clone)]
pub struct Bus {
    events: broadcast::Sender<Arc<StoredEvent>>,
}

impl Bus {
    /// A bus nobody listens to yet.
    pub fn new() -> Self {
        Self { events: broadcast::channel(LAG_MAX).0 }
    }

    /// Announces an event that is committed.
    pub fn announce(&self, event: StoredEvent) {
        let _nobody_listens = self.events.send(Arc::new(event));
    }

    /// Events from now on.
    pub fn listen(&self) -> broadcast::Receiver<Arc<StoredEvent>> {
        self.events.subscribe()
    }
}

impl Default for Bus {
    fn default() -> Self {
        Self::new()
    }
}
