//! `codepiper logs`

use super::{RETURN_TRY_EVERY, each_message, until_interrupted, when_back, whole_id};
use crate::args::{LogStyle, LogsArgs};
use crate::client::{Client, Route};
use crate::event_text::{self, Said};
use crate::output::{self, Page};
use codepiper_api::events::{EVENTS_MAX, Event, EventPage};
use codepiper_api::{Fault, Refusal};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

/// Events without `-n` and `--since`: a few screens.
const TAIL: u32 = 100;

pub(super) async fn run(args: &LogsArgs, daemon: &Client) -> Result<(), Refusal> {
    let since = match &args.since {
        Some(text) => Some(since(text, Timestamp::now(), &TimeZone::system())?),
        None => None,
    };
    let mut printer = Printer::new(args.style());
    if !args.follow {
        let events = last_events(args, since, None, daemon).await?;
        return printer.print_all(&events);
    }
    // Everything up to a number is read, everything after it is pushed: nothing is lost, nothing comes twice.
    let id = whole_id(&args.id, daemon).await?;
    let newest = Route::session(&args.id, "/events").with("order", "desc").with("limit", 1);
    let page: EventPage = daemon.get(newest).await?;
    let mut last = page.events.first().map_or(0, |event| event.id);
    for event in last_events(args, since, Some(last), daemon).await? {
        printer.print(&event)?;
    }
    until_interrupted(async {
        loop {
            follow(args, &id, &mut last, &mut printer, daemon).await?;
            tokio::time::sleep(RETURN_TRY_EVERY).await;
        }
    })
    .await
}

/// The events asked for, oldest first: the last so many, or all of a time.
async fn last_events(
    args: &LogsArgs,
    since: Option<Since>,
    up_to: Option<u64>,
    daemon: &Client,
) -> Result<Vec<Event>, Refusal> {
    let wanted = match (args.tail, since) {
        (Some(tail), _) => tail as usize,
        (None, Some(_)) => usize::MAX,
        (None, None) => TAIL as usize,
    };
    let mut before = up_to.map(|last| last + 1);
    let mut events: Vec<Event> = Vec::new();
    while events.len() < wanted {
        let limit = (wanted - events.len()).min(EVENTS_MAX as usize);
        let mut route = Route::session(&args.id, "/events")
            .with("order", "desc")
            .with("limit", limit)
            .with_some("source", args.source.as_deref())
            .with_some("type", args.kind.as_deref())
            .with_some("before", before);
        route = match since {
            Some(Since::Event(id)) => route.with("since", id),
            Some(Since::Time(time)) => route.with("after_time", time),
            None => route,
        };
        let page: EventPage = daemon.get(route).await?;
        before = page.events.last().map(|event| event.id);
        events.extend(page.events);
        if !page.has_more || before.is_none() {
            break;
        }
    }
    events.reverse();
    Ok(events)
}

/// Prints what is pushed until the connection ends, which only a daemon that goes away does.
async fn follow(
    args: &LogsArgs,
    id: &str,
    last: &mut u64,
    printer: &mut Printer,
    daemon: &Client,
) -> Result<(), Refusal> {
    let route = Route::new("/events/stream")
        .with("session", id)
        .with("after", *last)
        .with_some("source", args.source.as_deref())
        .with_some("type", args.kind.as_deref());
    let stream = when_back(async || daemon.stream(route.clone()).await).await?;
    each_message(stream, async |event: Event| {
        if event.id > *last {
            printer.print(&event)?;
            *last = event.id;
        }
        Ok(())
    })
    .await
}

struct Printer {
    style: LogStyle,
    page: Page,
    zone: TimeZone,
    said: Option<Said>,
}

impl Printer {
    fn new(style: LogStyle) -> Self {
        Self { style, page: Page::stdout(), zone: TimeZone::system(), said: None }
    }

    fn print_all(&mut self, events: &[Event]) -> Result<(), Refusal> {
        if self.style == LogStyle::Json {
            return output::print_json(&events);
        }
        if events.is_empty() {
            output::say("no events");
        }
        events.iter().try_for_each(|event| self.print(event))
    }

    fn print(&mut self, event: &Event) -> Result<(), Refusal> {
        match self.style {
            LogStyle::Pretty => {
                output::print(&format!("{}\n", event_text::line(event, &self.zone, self.page)))
            }
            LogStyle::Json => {
                let json = serde_json::to_string(event).map_err(|error| {
                    Refusal::new(Fault::Internal, format!("the event is no JSON: {error}"))
                })?;
                output::print(&format!("{json}\n"))
            }
            LogStyle::Text => {
                let said = event_text::said(event);
                // A hook and the transcript tell the same words.
                if said.is_none() || said == self.said {
                    return Ok(());
                }
                self.said = said;
                self.said.as_ref().map_or(Ok(()), |said| output::print(&said.render(self.page)))
            }
        }
    }
}

/// From when on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// After the event of this number.
    Event(u64),
    /// At this time and after it.
    Time(Timestamp),
}

/// Understands what people type: a number of an event, a time span back from now, a date, a date and time.
pub(super) fn since(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Since, Refusal> {
    if let Ok(id) = text.parse() {
        return Ok(Since::Event(id));
    }
    let back = text.parse::<Span>().ok().and_then(|span| {
        let time: SignedDuration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
        now.checked_sub(time.abs()).ok()
    });
    let at = || text.parse::<Timestamp>().ok();
    let local = || Some(text.parse::<DateTime>().ok()?.to_zoned(zone.clone()).ok()?.timestamp());
    back.or_else(at).or_else(local).map(Since::Time).ok_or_else(|| {
        Refusal::field("since", format!("means nothing as `{text}`")).hint(
            "10m, 2h30m, 1d, 2026-01-31, 2026-01-31T09:00, 2026-01-31T09:00:00Z, or the number of an event",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_takes_what_people_type() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let check = |text: &str, expected: &str| {
            let shown = match since(text, now, &zone) {
                Ok(Since::Event(id)) => format!("event {id}"),
                Ok(Since::Time(time)) => time.to_string(),
                Err(refusal) => format!("{:?}", refusal.code),
            };
            assert_eq!(shown, expected, "for {text:?}");
        };
        check("1234", "event 1234");
        check("10m", "2026-01-31T11:50:00Z");
        check("2h30m", "2026-01-31T09:30:00Z");
        check("2h 30m ago", "2026-01-31T09:30:00Z");
        check("90 minutes", "2026-01-31T10:30:00Z");
        check("1d", "2026-01-30T12:00:00Z");
        check("2w", "2026-01-17T12:00:00Z");
        check("2026-01-31T09:00:00Z", "2026-01-31T09:00:00Z");
        check("2026-01-31T09:00:00+01:00", "2026-01-31T08:00:00Z");
        check("2026-01-31T09:00", "2026-01-31T07:00:00Z");
        check("2026-01-31 09:00:30", "2026-01-31T07:00:30Z");
        check("2026-01-31", "2026-01-30T22:00:00Z");
        check("yesterday", "Usage");
        check("-5", "Usage");
        check("", "Usage");
        check("999999999w", "Usage");
    }
}
