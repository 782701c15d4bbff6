use super::*;
use crate::sample::{at, empty, sample};
use codepiper_core::calendar::{Every, cut};
use jiff::tz::TimeZone;

fn march() -> Quarters {
    Quarters::touched(at("2026-03-01T00:00:00Z"), at("2026-04-01T00:00:00Z"))
}

fn of_session(id: &str) -> Filter {
    Filter { session: SessionId::parse(id).ok(), ..Filter::default() }
}

fn days(zone: &TimeZone) -> Vec<Piece> {
    cut(at("2026-03-27T23:00:00Z"), at("2026-03-30T22:00:00Z"), Every::Day, zone).unwrap()
}

fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

/// `requests input+output+read+5m+1h reasoning cost unpriced`
fn shown(sums: &Sums) -> String {
    let Tokens { input, output, reasoning, cache_read, cache_write_5m, cache_write_1h } = sums.tokens;
    format!(
        "{} {input}+{output}+{cache_read}+{cache_write_5m}+{cache_write_1h} {reasoning} {} {}",
        sums.requests, sums.cost, sums.unpriced
    )
}

#[test]
fn sums_are_of_what_the_filter_says() {
    let (_folder, connection) = sample();
    let check = |filter: Filter, expected: &str| {
        let sums = sums(&connection, &filter, march()).unwrap();
        assert_eq!(shown(&sums), expected, "{filter:?}");
    };
    check(Filter::default(), "5 1038+214+400+20+40 52 3750000000 1200");
    check(of_session("0000000a"), "3 31+11+400+20+40 2 3500000000 0");
    check(of_session("0000000c"), "0 0+0+0+0+0 0 0 0");
    check(Filter { provider: Some("codex".into()), ..Filter::default() }, "1 1000+200+0+0+0 50 0 1200");
    check(Filter { model: Some("opus".into()), ..Filter::default() }, "3 37+13+400+20+40 2 3250000000 0");
    // Below the folder, and in worktrees of the repository there; a name that only begins so is another folder.
    let folder = |path: &str| Filter { folder: Some(path.into()), ..Filter::default() };
    check(folder("/w/api"), "3 31+11+400+20+40 2 3500000000 0");
    check(folder("/w/apis/"), "2 1007+203+0+0+0 50 250000000 1200");
    check(folder("/w"), "5 1038+214+400+20+40 52 3750000000 1200");
    check(folder("/"), "5 1038+214+400+20+40 52 3750000000 1200");
    check(folder("/trees"), "1 1+1+0+0+0 0 500000000 0");
    let all = Filter {
        provider: Some("claude-code".into()),
        model: Some("opus".into()),
        folder: Some("/w/api".into()),
        ..of_session("0000000a")
    };
    check(all, "2 30+10+400+20+40 2 3000000000 0");
}

#[test]
fn a_range_is_the_quarters_that_it_touches() {
    let (_folder, connection) = sample();
    let check = |since: &str, until: &str, requests: u64| {
        let range = Quarters::touched(at(since), at(until));
        assert_eq!(
            sums(&connection, &Filter::default(), range).unwrap().requests,
            requests,
            "{since} {until}"
        );
    };
    check("2026-03-28T22:59:00Z", "2026-03-28T23:00:00Z", 1);
    check("2026-03-28T22:59:00Z", "2026-03-28T23:00:01Z", 2);
    check("2026-03-28T23:00:00Z", "2026-03-28T23:15:00Z", 1);
    check("2026-03-28T23:15:00Z", "2026-03-28T23:15:00Z", 0);
    let range = Quarters::touched(at("2026-03-28T22:59:00Z"), at("2026-03-28T23:00:01Z"));
    assert_eq!(range.times().unwrap(), (at("2026-03-28T22:45:00Z"), at("2026-03-28T23:15:00Z")));
}

#[test]
fn days_are_those_of_the_persons_time_zone() {
    let (_folder, connection) = sample();
    let check = |zone: &TimeZone, filter: Filter, expected: &[(&str, u64)]| {
        let pieces = days(zone);
        let series = series(&connection, &filter, &pieces).unwrap();
        let found: Vec<_> =
            pieces.iter().zip(&series).map(|(piece, sums)| (piece.label.as_str(), sums.requests)).collect();
        assert_eq!(found, expected);
    };
    // In Berlin 23:10 UTC is the 29th, and 22:30 UTC on the 29th, after the change, is the 30th.
    check(&berlin(), Filter::default(), &[("2026-03-28", 1), ("2026-03-29", 2), ("2026-03-30", 2)]);
    let utc = [("2026-03-27", 0), ("2026-03-28", 2), ("2026-03-29", 3), ("2026-03-30", 0)];
    check(&TimeZone::UTC, Filter::default(), &utc);
    check(&berlin(), of_session("0000000a"), &[("2026-03-28", 1), ("2026-03-29", 2), ("2026-03-30", 0)]);
}

#[test]
fn pieces_that_begin_within_a_quarter_count_nothing_twice() {
    let (_folder, connection) = sample();
    let piece = |start: &str, end: &str| Piece { label: String::new(), start: at(start), end: at(end) };
    let pieces = [
        piece("2026-03-28T22:00:00Z", "2026-03-28T22:50:10Z"),
        piece("2026-03-28T22:50:10Z", "2026-03-28T23:05:00Z"),
    ];
    let series = series(&connection, &Filter::default(), &pieces).unwrap();
    assert_eq!(series.iter().map(|sums| sums.requests).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn usage_is_sorted_by_model_session_folder_and_the_rest() {
    let (_folder, connection) = sample();
    let check = |by: By, filter: Filter, expected: &[&str]| {
        let found = groups(&connection, &filter, march(), by, 10).unwrap();
        let found: Vec<String> = found
            .groups
            .iter()
            .map(|group| {
                let word = |word: &Option<String>| word.clone().unwrap_or("-".into());
                let [key, label, provider] = [&group.key, &group.label, &group.provider].map(word);
                format!("{key} {label} {provider} {}", group.sums.tokens.total())
            })
            .collect();
        assert_eq!(found, expected, "{by:?} {filter:?}");
    };
    let any = Filter::default;
    check(By::Model, any(), &["gpt - codex 1200", "opus - claude-code 510", "haiku - claude-code 2"]);
    check(By::Model, of_session("0000000a"), &["opus - claude-code 500", "haiku - claude-code 2"]);
    check(By::Provider, any(), &["codex - codex 1200", "claude-code - claude-code 512"]);
    check(By::Session, any(), &["0000000b - codex 1200", "0000000a api claude-code 502", "- - - 10"]);
    let conversations = [
        "x-1 - codex 1200",
        "c-first The flaky test claude-code 500",
        "c-first - codex 10",
        "c-fork The flaky test, again claude-code 2",
    ];
    check(By::Conversation, any(), &conversations);
    check(By::Folder, any(), &["/w/apis - - 1210", "/w/api - - 500", "/trees/api-1 - - 2"]);
    check(By::Repo, any(), &["- - - 1210", "/w/api - - 502"]);
    check(By::Branch, any(), &["- - - 1210", "main /w/api - 500", "fix /w/api - 2"]);

    let top = groups(&connection, &any(), march(), By::Session, 1).unwrap();
    assert_eq!(
        (top.groups.len(), top.more, shown(&top.rest).as_str()),
        (1, 2, "4 38+14+400+20+40 2 3750000000 0")
    );
}

#[test]
fn messages_count_once_and_without_sub_agents() {
    let (_folder, connection) = sample();
    let check = |session: Option<&str>, expected: &[(u64, u64)]| {
        let session = session.map(|id| SessionId::parse(id).unwrap());
        let found = messages(&connection, session.as_ref(), &days(&berlin())).unwrap();
        let found: Vec<_> = found.iter().map(|count| (count.person, count.assistant)).collect();
        assert_eq!(found, expected);
    };
    check(None, &[(1, 1), (0, 0), (1, 1)]);
    check(Some("0000000a"), &[(1, 1), (0, 0), (0, 0)]);
    check(Some("0000000c"), &[(0, 0), (0, 0), (0, 0)]);
}

#[test]
fn tools_tell_how_often_how_well_and_how_long() {
    let (_folder, connection) = sample();
    let found = tools(&connection, None, march(), 10).unwrap();
    let words: Vec<_> = found.iter().map(|tool| (tool.tool.as_str(), tool.calls)).collect();
    assert_eq!(words, [("Bash", 3), ("Read", 1), ("shell", 1)]);
    let bash = ToolUse {
        tool: "Bash".into(),
        calls: 3,
        ok: 1,
        failed: 1,
        refused: 1,
        interrupted: 0,
        average_ms: Some(200.0),
        longest_ms: Some(300),
    };
    assert_eq!(found[0], bash);
    assert_eq!((found[1].interrupted, found[1].average_ms), (1, None));
    let session = SessionId::parse("0000000b").unwrap();
    assert_eq!(tools(&connection, Some(&session), march(), 10).unwrap().len(), 1);
    assert_eq!(tools(&connection, None, march(), 1).unwrap().len(), 1);
    assert_eq!(tool_calls(&connection, None, march()).unwrap(), (5, 1));
    assert_eq!(tool_calls(&connection, Some(&session), march()).unwrap(), (1, 0));
}

#[test]
fn decisions_are_counted_by_day_and_answers_are_none() {
    let (_folder, connection) = sample();
    let check = |session: Option<&str>, expected: &str| {
        let session = session.map(|id| SessionId::parse(id).unwrap());
        let found = decisions(&connection, session.as_ref(), &days(&berlin())).unwrap();
        assert_eq!(format!("{found:?}"), expected);
    };
    check(None, r#"[{"allow": 1}, {"allow": 1, "none": 1}, {}]"#);
    check(Some("0000000b"), r#"[{}, {"none": 1}, {}]"#);
}

#[test]
fn sessions_count_also_when_they_have_left_the_list() {
    let (_folder, connection) = sample();
    let found = sessions_by_provider(&connection, march()).unwrap();
    assert_eq!(found, [("claude-code".to_owned(), 1), ("codex".to_owned(), 1)]);
    assert_eq!(earliest(&connection).unwrap(), Some(at("2026-03-28T09:00:00Z")));
}

#[test]
fn an_empty_database_has_no_beginning_and_sums_of_zero() {
    let (_folder, connection) = empty();
    assert_eq!(earliest(&connection).unwrap(), None);
    assert_eq!(sums(&connection, &Filter::default(), march()).unwrap(), Sums::default());
    assert!(groups(&connection, &Filter::default(), march(), By::Session, 5).unwrap().groups.is_empty());
    assert!(series(&connection, &Filter::default(), &[]).unwrap().is_empty());
    assert!(decisions(&connection, None, &[]).unwrap().is_empty());
}
