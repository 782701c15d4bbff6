//! Times and places that were typed, on their way to the daemon. It reads them itself; what makes no sense is refused
//! here, before anybody is asked.

use super::absolute;
use crate::client::Route;
use codepiper_api::Refusal;
use codepiper_core::calendar::{self, Edge, TIME_FORMS};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::path::Path;

/// Adds the times to a question, and the time zone in which they are meant.
pub(super) fn with_times(
    route: Route,
    since: Option<&str>,
    until: Option<&str>,
    tz: Option<&str>,
) -> Result<Route, Refusal> {
    let zone = TimeZone::system();
    for (field, edge, text) in [("since", Edge::Since, since), ("until", Edge::Until, until)] {
        let Some(text) = text else { continue };
        if calendar::instant(text, edge, Timestamp::now(), &zone).is_none() {
            return Err(Refusal::field(field, format_args!("means nothing as `{text}`")).hint(TIME_FORMS));
        }
    }
    Ok(route.with_some("since", since).with_some("until", until).with_some("tz", tz.or(zone.iana_name())))
}

/// The name of a workspace, or a whole path.
pub(super) fn workspace(typed: Option<&str>) -> Result<Option<String>, Refusal> {
    match typed {
        Some(path) if path.starts_with(['/', '.', '~']) => absolute(Path::new(path)).map(Some),
        other => Ok(other.map(str::to_owned)),
    }
}
