//! Times as a person means them, in the person's time zone: what `yesterday` is, and where days, weeks and hours of a
//! range begin and end. Days of 23 and 25 hours are days.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Zoned};

/// The most pieces a range is cut into: all hours of half a year, all days of a dozen years.
pub const PIECES_MAX: usize = 4_500;

/// What a range is cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// Hours.
    Hour,
    /// Days, from midnight to midnight.
    Day,
    /// Weeks, from Monday on.
    Week,
    /// Months.
    Month,
}

impl Every {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Month];

    /// Its word on the wire and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|every| every.word() == word)
    }
}

/// A piece of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What a person calls it: `2026-03-29`, `2026-03` or `2026-03-29T02:00+01:00`. A piece that the range cuts has
    /// the name of the whole.
    pub label: String,
    /// When it begins.
    pub start: Timestamp,
    /// When it is over; the next begins then.
    pub end: Timestamp,
}

/// Cuts the time from `since` up to `until`. The pieces leave nothing out and do not overlap. `None` when there would
/// be more than [`PIECES_MAX`] of them.
pub fn cut(since: Timestamp, until: Timestamp, every: Every, zone: &TimeZone) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut start = since;
    while start < until {
        if pieces.len() == PIECES_MAX {
            return None;
        }
        let (label, end) = piece_at(start, every, zone)?;
        let end = end.min(until);
        pieces.push(Piece { label, start, end });
        start = end;
    }
    Some(pieces)
}

/// The name and the end of the piece in which the time is. `None` at the end of all time.
fn piece_at(at: Timestamp, every: Every, zone: &TimeZone) -> Option<(String, Timestamp)> {
    let local = at.to_zoned(zone.clone());
    let date = local.date();
    let day = |date: Date| Some(date.to_zoned(zone.clone()).ok()?.timestamp());
    let (label, end) = match every {
        Every::Hour => {
            // By the clock on the wall, which a change of the offset may put forward by half an hour.
            let past = i64::from(local.minute()) * 60 + i64::from(local.second());
            let whole = Timestamp::from_second(at.as_second() + 3_600 - past).ok()?;
            (local.strftime("%Y-%m-%dT%H:00%:z").to_string(), whole)
        }
        Every::Day => (date.to_string(), day(date.tomorrow().ok()?)?),
        Every::Week => {
            let monday = date.checked_sub(i64::from(date.weekday().to_monday_zero_offset()).days()).ok()?;
            (monday.to_string(), day(monday.checked_add(1.week()).ok()?)?)
        }
        Every::Month => {
            let first = date.first_of_month();
            (first.strftime("%Y-%m").to_string(), day(first.checked_add(1.month()).ok()?)?)
        }
    };
    Some((label, end))
}

/// The time at which the last so many days began, today included.
pub fn days_back(days: u16, now: Timestamp, zone: &TimeZone) -> Timestamp {
    let today = now.to_zoned(zone.clone()).date();
    let first = today.checked_sub(i64::from(days.saturating_sub(1)).days()).unwrap_or(Date::MIN);
    first.to_zoned(zone.clone()).map_or(Timestamp::MIN, |start| start.timestamp())
}

/// Which end of a range a time is: a day as its end means the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// From then on.
    Since,
    /// Up to then.
    Until,
}

/// How times may be written, for those who wrote one that cannot be understood.
pub const TIME_FORMS: &str = "90m, 2h30m, 7d and 2w go back from now; else today, yesterday, 2026-01-31, 2026-01-31T09:00 or \
     2026-01-31T09:00:00Z";

/// Understands what people type: a time span back from now, `today`, `yesterday`, a date, a date and time.
pub fn instant(text: &str, edge: Edge, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let text = text.trim();
    let now = now.to_zoned(zone.clone());
    if let Some(day) = day(text, &now) {
        let day = if edge == Edge::Until { day.tomorrow().ok()? } else { day };
        return Some(day.to_zoned(zone.clone()).ok()?.timestamp());
    }
    if text == "now" {
        return Some(now.timestamp());
    }
    // A day back is the same time of day, however long that day was.
    let back = || Some(now.checked_sub(text.parse::<Span>().ok()?.abs()).ok()?.timestamp());
    let at = || text.parse::<Timestamp>().ok();
    let local = || Some(text.parse::<DateTime>().ok()?.to_zoned(zone.clone()).ok()?.timestamp());
    back().or_else(at).or_else(local)
}

fn day(text: &str, now: &Zoned) -> Option<Date> {
    match text {
        "today" => Some(now.date()),
        "yesterday" => now.date().yesterday().ok(),
        // A date parses from a date and time as well, and would forget the time.
        _ if text.len() == "2026-01-31".len() => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Berlin's rules of today, without a database of time zones.
    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn check(since: &str, until: &str, every: Every, zone: &TimeZone, expected: &[&str]) {
        let pieces = cut(at(since), at(until), every, zone).unwrap();
        let shown: Vec<String> = pieces
            .iter()
            .map(|piece| {
                let minutes = piece.end.duration_since(piece.start).as_mins();
                format!("{} {}h{:02}", piece.label, minutes / 60, minutes % 60)
            })
            .collect();
        assert_eq!(shown, expected, "{since} to {until}");
        assert!(pieces.windows(2).all(|two| two[0].end == two[1].start));
    }

    #[test]
    fn days_are_as_long_as_they_are() {
        let expected = ["2026-03-28 24h00", "2026-03-29 23h00", "2026-03-30 12h00"];
        check("2026-03-27T23:00:00Z", "2026-03-30T10:00:00Z", Every::Day, &berlin(), &expected);
        let expected = ["2026-10-24 2h00", "2026-10-25 25h00", "2026-10-26 24h00"];
        check("2026-10-24T20:00:00Z", "2026-10-26T23:00:00Z", Every::Day, &berlin(), &expected);
        check("2026-10-24T20:00:00Z", "2026-10-24T20:00:00Z", Every::Day, &berlin(), &[]);
    }

    #[test]
    fn an_hour_that_comes_twice_is_two_and_one_that_is_left_out_is_none() {
        let expected = [
            "2026-10-25T01:00+02:00 1h00",
            "2026-10-25T02:00+02:00 1h00",
            "2026-10-25T02:00+01:00 1h00",
            "2026-10-25T03:00+01:00 0h30",
        ];
        check("2026-10-24T23:00:00Z", "2026-10-25T02:30:00Z", Every::Hour, &berlin(), &expected);
        let expected = ["2026-03-29T01:00+01:00 0h30", "2026-03-29T03:00+02:00 1h00"];
        check("2026-03-29T00:30:00Z", "2026-03-29T02:00:00Z", Every::Hour, &berlin(), &expected);
    }

    #[test]
    fn offsets_of_half_and_quarter_hours_and_half_hour_changes_hold() {
        let kathmandu = TimeZone::posix("<+0545>-5:45").unwrap();
        let expected = ["2026-01-01 24h00", "2026-01-02 0h15"];
        check("2025-12-31T18:15:00Z", "2026-01-01T18:30:00Z", Every::Day, &kathmandu, &expected);
        let expected = ["2026-01-01T00:00+05:45 0h30", "2026-01-01T01:00+05:45 1h00"];
        check("2025-12-31T18:45:00Z", "2025-12-31T20:15:00Z", Every::Hour, &kathmandu, &expected);
        // Lord Howe puts the clock forward by half an hour: two is half past two.
        let howe = TimeZone::posix("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0").unwrap();
        let expected =
            ["2026-10-04T01:00+10:30 1h00", "2026-10-04T02:00+11:00 0h30", "2026-10-04T03:00+11:00 1h00"];
        check("2026-10-03T14:30:00Z", "2026-10-03T17:00:00Z", Every::Hour, &howe, &expected);
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        let expected = ["2025-12-29 96h00", "2026-01-05 48h00"];
        check("2026-01-01T00:00:00Z", "2026-01-07T00:00:00Z", Every::Week, &TimeZone::UTC, &expected);
        let expected = ["2026-02 24h00", "2026-03 743h00", "2026-04 24h00"];
        check("2026-02-27T23:00:00Z", "2026-04-01T22:00:00Z", Every::Month, &berlin(), &expected);
    }

    #[test]
    fn a_range_is_not_cut_without_end() {
        let (since, until) = (at("2000-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"));
        assert_eq!(cut(since, until, Every::Day, &TimeZone::UTC), None);
        assert_eq!(cut(since, until, Every::Month, &TimeZone::UTC).unwrap().len(), 26 * 12);
        assert_eq!(cut(Timestamp::MIN, Timestamp::MAX, Every::Hour, &berlin()), None);
        let end = Timestamp::MAX;
        cut(end - 2.hours(), end, Every::Day, &berlin());
    }

    #[test]
    fn times_are_taken_as_people_type_them() {
        let now = at("2026-03-30T10:00:00Z"); // noon in Berlin, on the day after the clock was put forward
        let check = |text: &str, since: &str, until: &str| {
            for (edge, expected) in [(Edge::Since, since), (Edge::Until, until)] {
                let got = instant(text, edge, now, &berlin()).map_or("-".to_owned(), |at| at.to_string());
                assert_eq!(got, expected, "{edge:?} {text:?}");
            }
        };
        check("90m", "2026-03-30T08:30:00Z", "2026-03-30T08:30:00Z");
        check("1d", "2026-03-29T10:00:00Z", "2026-03-29T10:00:00Z");
        check("2d", "2026-03-28T11:00:00Z", "2026-03-28T11:00:00Z");
        check("2w", "2026-03-16T11:00:00Z", "2026-03-16T11:00:00Z");
        check("2h 30m ago", "2026-03-30T07:30:00Z", "2026-03-30T07:30:00Z");
        check("today", "2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z");
        check("yesterday", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        check("2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        check("2026-03-29T09:00", "2026-03-29T07:00:00Z", "2026-03-29T07:00:00Z");
        check("2026-03-29 09:00:30", "2026-03-29T07:00:30Z", "2026-03-29T07:00:30Z");
        check("2026-03-29T09:00:00Z", "2026-03-29T09:00:00Z", "2026-03-29T09:00:00Z");
        check("now", "2026-03-30T10:00:00Z", "2026-03-30T10:00:00Z");
        for nonsense in ["", "5", "-5", "tomorrow", "2026-13-01", "999999999w", "2026-02-30"] {
            check(nonsense, "-", "-");
        }
    }

    #[test]
    fn days_back_begin_at_midnight_and_count_today() {
        let now = at("2026-03-30T10:00:00Z");
        assert_eq!(days_back(1, now, &berlin()), at("2026-03-29T22:00:00Z"));
        assert_eq!(days_back(2, now, &berlin()), at("2026-03-28T23:00:00Z"));
        assert_eq!(days_back(0, now, &berlin()), at("2026-03-29T22:00:00Z"));
        assert_eq!(days_back(u16::MAX, now, &berlin()), at("1846-10-25T23:00:00Z"));
    }
}
