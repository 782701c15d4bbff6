//! What several questions share: the time zone, times and ranges, whose and where.

use super::Http;
use crate::sessions::internal;
use crate::workspaces;
use codepiper_api::Refusal;
use codepiper_api::analytics::Range;
use codepiper_core::calendar::{self, Edge, Every, PIECES_MAX, Piece, TIME_FORMS};
use codepiper_core::ids::SessionId;
use codepiper_store::analytics::{self, Quarters};
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::TimeZone;

/// No agent wrote anything before: a record that says so does not make `all` a range of decades.
const FIRST_AGENTS: &str = "2020-01-01T00:00:00Z";

/// The days of a range when nothing else is said, and when a word is not known: as in the original.
const DAYS: u16 = 7;

/// The time zone of that name, or of that offset; else that of this machine.
pub(super) fn zone(name: Option<&str>) -> Result<TimeZone, Refusal> {
    let Some(name) = name else { return Ok(TimeZone::system()) };
    DateTimeParser::new().parse_time_zone(name).map_err(|_| {
        Refusal::field("tz", format_args!("`{name}` is no time zone that this machine knows"))
            .hint("name one as in `Europe/Berlin`, or an offset as in `+02:00`")
    })
}

/// The time that was meant.
pub(super) fn time(
    field: &str,
    edge: Edge,
    text: Option<&str>,
    zone: &TimeZone,
) -> Result<Option<Timestamp>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let meant = calendar::instant(text, edge, Timestamp::now(), zone);
    let unclear = || Refusal::field(field, format_args!("means nothing as `{text}`")).hint(TIME_FORMS);
    meant.map(Some).ok_or_else(unclear)
}

/// A session by whatever a person calls it; by its whole id also when it has left the list.
pub(super) fn session(http: &Http, wanted: Option<&str>) -> Result<Option<SessionId>, Refusal> {
    wanted.map(|wanted| super::audit::find_session(http, wanted)).transpose()
}

/// The folder of a workspace, or the folder itself.
pub(super) async fn folder(http: &Http, wanted: Option<&str>) -> Result<Option<String>, Refusal> {
    match wanted {
        None => Ok(None),
        Some(path) if path.starts_with('/') => Ok(Some(path.to_owned())),
        Some(name) => Ok(Some(workspaces::get(&http.app, name).await?.path)),
    }
}

/// A limit, or a refusal that names its rule.
pub(super) fn limit(wanted: Option<u32>, else_: u32, max: u32) -> Result<u32, Refusal> {
    match wanted.unwrap_or(else_) {
        limit if (1..=max).contains(&limit) => Ok(limit),
        _ => Err(Refusal::field("limit", format_args!("must be from 1 to {max}"))),
    }
}

/// A range of time, and where its days begin.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    pub(super) zone: TimeZone,
}

impl Asked {
    /// The range by a word, or by its ends.
    pub(super) async fn read(
        http: &Http,
        range: Option<&str>,
        since: Option<&str>,
        until: Option<&str>,
        tz: Option<&str>,
    ) -> Result<Self, Refusal> {
        let zone = zone(tz)?;
        let until = time("until", Edge::Until, until, &zone)?.unwrap_or_else(Timestamp::now);
        let since = match (time("since", Edge::Since, since, &zone)?, range) {
            (Some(_), Some(_)) => {
                return Err(Refusal::field("range", "says again what `since` says").hint("leave one out"));
            }
            (Some(since), None) => since,
            (None, Some("all")) => earliest(http).await?.unwrap_or(until),
            (None, Some("today")) => calendar::days_back(1, until, &zone),
            (None, Some("30d")) => calendar::days_back(30, until, &zone),
            (None, _) => calendar::days_back(DAYS, until, &zone),
        };
        if since > until {
            return Err(Refusal::field("since", format_args!("is after `until`: {since} and {until}")));
        }
        Ok(Self { since, until, zone })
    }

    /// All its quarter hours.
    pub(super) fn quarters(&self) -> Quarters {
        Quarters::touched(self.since, self.until)
    }

    /// The whole as one piece.
    pub(super) fn whole(&self) -> [Piece; 1] {
        [Piece { label: String::new(), start: self.since, end: self.until }]
    }

    /// Its days, or what was asked for; where nothing was asked for and days are too many, larger ones.
    pub(super) fn pieces(&self, every: Option<&str>) -> Result<Vec<Piece>, Refusal> {
        let words = Every::ALL.map(Every::word).join(", ");
        let every = every
            .map(|word| {
                Every::parse(word)
                    .ok_or_else(|| Refusal::field("every", format_args!("`{word}` is none of {words}")))
            })
            .transpose()?;
        let cut = |every| calendar::cut(self.since, self.until, every, &self.zone);
        let pieces = match every {
            Some(every) => cut(every),
            None => cut(Every::Day).or_else(|| cut(Every::Week)).or_else(|| cut(Every::Month)),
        };
        pieces.ok_or_else(|| {
            let most = format_args!("would cut the range into more than {PIECES_MAX} pieces");
            Refusal::field("every", most).hint("ask for days, weeks or months, or for a shorter range")
        })
    }

    /// The range for the answer.
    pub(super) fn view(&self) -> Result<Range, Refusal> {
        let (since, until) = self.quarters().times().map_err(|error| internal("reading the range", error))?;
        let time_zone = self.zone.iana_name().map(str::to_owned);
        Ok(Range { since, until, time_zone })
    }
}

async fn earliest(http: &Http) -> Result<Option<Timestamp>, Refusal> {
    let first = http.app.store.read(analytics::earliest).await;
    let first = first.map_err(|error| internal("looking for the first record", error))?;
    let floor: Timestamp = FIRST_AGENTS.parse().expect("a time");
    Ok(first.map(|first| first.max(floor)))
}
