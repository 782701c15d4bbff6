use super::*;
use crate::sample::{at, sample};

fn session(id: &str) -> SessionId {
    SessionId::parse(id).unwrap()
}

#[test]
fn conversations_are_listed_the_last_first() {
    let (_folder, connection) = sample();
    let check = |filter: Filter, expected: &[i64], more: bool| {
        let (found, is_more) =
            list(&connection, &Filter { limit: filter.limit.max(1), ..filter.clone() }).unwrap();
        let ids: Vec<i64> = found.iter().map(|conversation| conversation.id).collect();
        assert_eq!((ids.as_slice(), is_more), (expected, more), "{filter:?}");
    };
    let any = Filter { limit: 10, ..Filter::default() };
    check(any.clone(), &[3, 2, 1, 4], false);
    check(Filter { limit: 2, ..any.clone() }, &[3, 2], true);
    check(Filter { limit: 2, behind: Some(2), ..any.clone() }, &[1, 4], false);
    check(Filter { provider: Some("codex".into()), ..any.clone() }, &[3, 4], false);
    check(Filter { folder: Some("/w/api".into()), ..any.clone() }, &[2, 1], false);
    check(Filter { since: Some(at("2026-03-29T00:00:00Z")), ..any.clone() }, &[3, 2], false);
    check(Filter { until: Some(at("2026-03-29T00:00:00Z")), ..any.clone() }, &[2, 1], false);
    check(Filter { session: Some(session("0000000a")), ..any }, &[2, 1], false);
}

#[test]
fn a_conversation_comes_with_its_place_and_what_it_took() {
    let (_folder, connection) = sample();
    let found = get(&connection, &[1]).unwrap().remove(0);
    assert_eq!((found.cwd.as_deref(), found.branch.as_deref()), (Some("/w/api"), Some("main")));
    assert_eq!((found.sums.requests, found.sums.cost, found.sums.tokens.total()), (2, 3_000_000_000, 500));
    let bare = get(&connection, &[4]).unwrap().remove(0);
    assert_eq!((bare.cwd, bare.last_at, bare.sums.requests), (None, None, 1));
}

#[test]
fn a_conversation_is_found_by_its_id_or_the_beginning_of_it() {
    let (_folder, connection) = sample();
    let check =
        |wanted: &str, expected: &[i64]| assert_eq!(find(&connection, wanted).unwrap(), expected, "{wanted}");
    check("x-1", &[3]);
    check("x", &[3]);
    check("c-first", &[1, 4]);
    check("codex:c-first", &[4]);
    check("claude-code:c-f", &[1, 2]);
    check("c-fo", &[2]);
    check("%", &[]);
    check("", &[]);
    check("codex:", &[]);
}

#[test]
fn a_page_goes_back_or_on_from_an_entry() {
    let (_folder, connection) = sample();
    let check = |page_: Page, expected: &[i64], more: bool| {
        let (found, is_more) = page(&connection, &page_).unwrap();
        let ids: Vec<i64> = found.iter().map(|entry| entry.id).collect();
        assert_eq!((ids.as_slice(), is_more), (expected, more), "{page_:?}");
    };
    let first = Page { conversations: vec![1], limit: 10, ..Page::default() };
    check(first.clone(), &[1, 2], false);
    check(Page { limit: 1, ..first.clone() }, &[2], true);
    check(Page { whose: Whose::All, ..first.clone() }, &[1, 2, 3], false);
    check(Page { whose: Whose::All, limit: 2, ..first.clone() }, &[2, 3], true);
    check(Page { whose: Whose::Agent("s1".into()), ..first.clone() }, &[3], false);
    check(Page { before: Some(2), ..first.clone() }, &[1], false);
    check(Page { after: Some(1), ..first.clone() }, &[2], false);
    check(Page { after: Some(0), limit: 1, ..first.clone() }, &[1], true);
    check(Page { after: Some(9), ..first.clone() }, &[], false);
    // Both of a session: what the copy repeats comes once.
    check(Page { conversations: vec![1, 2], ..first.clone() }, &[1, 2, 6], false);
    check(Page { conversations: vec![1, 2], limit: 2, ..first.clone() }, &[2, 6], true);
    check(Page { conversations: vec![], ..first }, &[], false);
}

#[test]
fn an_entry_of_a_kind_that_is_not_known_is_a_note() {
    let (_folder, connection) = sample();
    let (found, _) =
        page(&connection, &Page { conversations: vec![3], limit: 9, ..Page::default() }).unwrap();
    assert_eq!(found[0].kind, Kind::Note { note: "unreadable".into() });
    assert_eq!(found[0].text, "flaky flaky flaky, and the space is left");
    assert_eq!(found[1].kind, Kind::Assistant { model: None });
}

#[test]
fn a_session_has_the_conversations_it_began_paid_for_or_goes_on_with() {
    let (_folder, connection) = sample();
    let check = |id: &str, expected: &[i64]| {
        assert_eq!(of_session(&connection, &session(id)).unwrap(), expected, "{id}");
    };
    check("0000000a", &[1, 2]);
    check("0000000b", &[3]);
    check("0000000c", &[]);
    connection
        .execute_batch("UPDATE conversations SET session = NULL WHERE id = 2; DELETE FROM usage")
        .unwrap();
    check("0000000a", &[2]);
}
