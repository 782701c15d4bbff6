//! The inbox as clients see it.

use crate::app::App;
use crate::sessions::internal;
use codepiper_api::Refusal;
use codepiper_api::notifications::{Counts, Notification};
use codepiper_store::notifications::{self as store, StoredNotification};

/// A notification as clients see it.
pub(crate) fn on_wire(stored: StoredNotification) -> Notification {
    let StoredNotification { id, told, read } = stored;
    let (read_at, read_source) = read.unzip();
    Notification {
        id,
        session_id: told.session,
        provider: told.provider,
        event_type: told.kind,
        source_event_id: told.event,
        title: told.title,
        body: told.body,
        payload: told.payload,
        created_at: told.created_at,
        read_at,
        read_source,
    }
}

/// How many nobody read.
pub(crate) async fn counts(app: &App) -> Result<Counts, Refusal> {
    let found = app.store.read(store::unread).await;
    let found = found.map_err(|error| internal("counting notifications", error))?;
    Ok(Counts {
        total_unread: found.iter().map(|(_, count)| count).sum(),
        by_session: found.into_iter().filter_map(|(session, count)| Some((session?, count))).collect(),
    })
}
