use super::*;
use crate::sample::{at, query, sample};

fn check(typed: &str, filter: Filter, expected: &[i64]) {
    let (_folder, connection) = sample();
    let filter = Filter { limit: filter.limit.max(10), ..filter };
    let (hits, _) = search(&connection, &query(typed), &filter).unwrap();
    let found: Vec<i64> = hits.iter().map(|hit| hit.entry).collect();
    assert_eq!(found, expected, "for {typed:?} {filter:?}");
}

#[test]
fn the_best_comes_first_and_copies_come_once_as_the_original() {
    check("flaky ", Filter::default(), &[7, 3, 1]);
    check("flak", Filter::default(), &[7, 3, 1]);
    check("fla ", Filter::default(), &[]);
    check("flaky -sub ", Filter::default(), &[7, 1]);
    check("grosse ", Filter::default(), &[]);
    check("große ", Filter::default(), &[2]); // without its dots, as a person without such a keyboard types it
    check("GRÖßE ", Filter::default(), &[2]);
    check("gröss ", Filter::default(), &[]);
}

#[test]
fn a_phrase_an_identifier_and_a_path_stand_together() {
    check("\"space left\"", Filter::default(), &[2]);
    check("space left ", Filter::default(), &[7, 2]); // the shorter text first
    check("read_transcript_line ", Filter::default(), &[1]);
    check("src/lib.rs ", Filter::default(), &[1]);
    check("--workspace ", Filter::default(), &[6]);
    check("src lib ", Filter::default(), &[8, 1]);
    check("read_trans", Filter::default(), &[1]);
}

#[test]
fn filters_leave_out_the_rest() {
    let any = Filter::default;
    check("flaky ", Filter { provider: Some("codex".into()), ..any() }, &[7]);
    check("flaky ", Filter { role: Some("assistant".into()), ..any() }, &[3]);
    check("flaky ", Filter { since: Some(at("2026-03-29T00:00:00Z")), ..any() }, &[7]);
    check("flaky ", Filter { until: Some(at("2026-03-28T22:00:01Z")), ..any() }, &[1]);
    check("flaky ", Filter { session: SessionId::parse("0000000b").ok(), ..any() }, &[7]);
    check("flaky ", Filter { session: SessionId::parse("0000000c").ok(), ..any() }, &[]);
    // The original is elsewhere: its copy in the worktree is what is there.
    check("flaky ", Filter { folder: Some("/trees".into()), ..any() }, &[4]);
    check("flaky ", Filter { folder: Some("/w/api".into()), ..any() }, &[3, 1]);
}

#[test]
fn there_is_more_only_when_there_is() {
    let (_folder, connection) = sample();
    let of = |limit| search(&connection, &query("flaky "), &Filter { limit, ..Filter::default() }).unwrap();
    assert_eq!((of(2).0.len(), of(2).1), (2, true));
    assert_eq!((of(3).0.len(), of(3).1), (3, false));
}

#[test]
fn a_snippet_shows_what_was_found_and_cannot_be_forged() {
    let (_folder, connection) = sample();
    let (hits, _) =
        search(&connection, &query("\"space left\""), &Filter { limit: 1, ..Filter::default() }).unwrap();
    let shown: Vec<(&str, bool)> =
        hits[0].snippet.iter().map(|piece| (piece.text.as_str(), piece.is_hit)).collect();
    let expected = [("Because of the Größe: no ", false), ("space left", true), (" on device", false)];
    assert_eq!(shown, expected);

    let check = |marked: &str, expected: &[(&str, bool)]| {
        let found = pieces(marked);
        let found: Vec<_> = found.iter().map(|piece| (piece.text.as_str(), piece.is_hit)).collect();
        assert_eq!(found, expected, "{marked:?}");
    };
    check("a \u{e000}b\u{e001} c", &[("a ", false), ("b", true), (" c", false)]);
    check("\u{e001}a\u{e000}b", &[("a", false), ("b", false)]);
    check("", &[]);
}

#[test]
fn hostile_queries_find_nothing_and_break_nothing() {
    let (_folder, connection) = sample();
    for typed in [
        "\" OR 1=1 --",
        "text:flaky AND NEAR(a b, 3)",
        "*",
        "a\0b",
        "{text} : x",
        "^flaky",
        "'; DROP TABLE entries",
    ] {
        if let Ok(query) = SearchQuery::parse(typed) {
            search(&connection, &query, &Filter { limit: 5, ..Filter::default() }).unwrap();
        }
    }
}

#[test]
fn what_is_read_and_not_yet_found_is_counted() {
    let (_folder, connection) = sample();
    assert_eq!(behind(&connection).unwrap(), 1);
}
