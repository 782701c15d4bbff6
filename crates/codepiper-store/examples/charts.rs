//! How long charts and searches take over a large database: 5 million replies of a year. Filling it takes half a
//! minute, so it is no test; it fails when something takes longer than it may.
//!
//! `cargo run -p codepiper-store --example charts [FILE]` keeps the database in the file, and takes one that is there.
//! A build without optimisation is some times slower than what is shipped, so its limits are others.

use codepiper_core::calendar::{Every, cut};
use codepiper_core::search_query::SearchQuery;
use codepiper_store::analytics::{self, By, Filter, Quarters};
use codepiper_store::{Connection, Durability, Store, conversations, search};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use std::time::{Duration, Instant};

/// The last moment of the data.
const NOW: &str = "2026-11-20T12:00:00Z";

/// 5 million replies of a year of 250 working days of 10 hours, 2,000 an hour by some agents at once: written as the
/// sums that the schema keeps of them. In each quarter of work 12 conversations of two providers and four models are
/// active; every conversation lasts a day. As many calls of tools as replies, over a tenth of which the chart goes.
const FILL: &str = r#"
CREATE TEMP TABLE work AS
    WITH RECURSIVE days (day) AS (SELECT 0 UNION ALL SELECT day + 1 FROM days WHERE day < 364),
         hours (hour) AS (SELECT 0 UNION ALL SELECT hour + 1 FROM hours WHERE hour < 39),
         lanes (lane) AS (SELECT 0 UNION ALL SELECT lane + 1 FROM lanes WHERE lane < 11)
    SELECT unixepoch('2026-11-20 08:00') / 900 - day * 96 + hour AS quarter, day * 12 + lane + 1 AS conversation,
           printf('%08x', day * 12 + lane + 1) AS session, lane + 1 AS place, 'model-' || (lane % 4) AS model,
           iif(lane % 4 < 3, 'claude-code', 'codex') AS provider
    FROM days, hours, lanes WHERE day % 7 < 5;
INSERT INTO places (id, cwd, branch, repo) SELECT DISTINCT place, '/w/' || place, 'main', '/w/' || place FROM work;
INSERT INTO conversations (id, provider, provider_id, session, title, place, model, born_at, first_at, last_at)
    SELECT conversation, provider, 'c' || conversation, session, 'A title', place, model, 0, quarter * 900000, quarter * 900000
    FROM work GROUP BY conversation;
INSERT INTO usage_by_work
    SELECT quarter, conversation, session, place, model, 40, 1000, 2000, 500, 90000, 3000, 100, 123456789, 0 FROM work;
INSERT INTO usage_by_model
    SELECT quarter, provider, model, sum(requests), sum(input), sum(output), sum(reasoning), sum(cache_read),
           sum(cache_write_5m), sum(cache_write_1h), sum(u.cost), sum(unpriced)
    FROM usage_by_work u JOIN work w USING (quarter, conversation, session, place, model) GROUP BY 1, 2, 3;
INSERT INTO messages_by_quarter SELECT DISTINCT quarter, 10, 100 FROM work;
INSERT INTO tool_calls
    SELECT printf('%d-%d-%d', quarter, conversation, n), conversation, 'tool-' || ((conversation + n) % 20), quarter * 900000 + n,
           iif(n % 9 = 0, 'failed', 'ok'), n * 10
    FROM work, (WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 40) SELECT n FROM n);
DROP TRIGGER message_added;
INSERT INTO entries (conversation, uid, at, role, body, text)
    SELECT conversation, printf('%d-%d', rowid, n), quarter * 900000, 'assistant', '{"kind":"assistant","model":null}',
           'the test of src/lib.rs number ' || n || ' failed in read_transcript_line with word' || (rowid % 1000)
    FROM work, (WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 4) SELECT n FROM n);
INSERT INTO search (rowid, text) SELECT id, text FROM entries;
"#;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = std::env::args().nth(1).map_or(folder.path().join("c.db"), Into::into);
    let is_new = !path.exists();
    let store = Store::open(&path, Durability::Process).expect("a database");
    let filling = Instant::now();
    if is_new {
        Connection::open(&path).expect("a database").execute_batch(FILL).expect("it is filled");
    }
    let facts = store.read(|c| {
        let count = |sql: &str| c.query_row(sql, [], |row| row.get::<_, u64>(0)).expect("an answer");
        Ok([
            count("SELECT sum(requests) FROM usage_by_model"),
            count("SELECT count(*) FROM usage_by_model"),
            count("SELECT count(*) FROM usage_by_work"),
            count("SELECT count(*) FROM tool_calls"),
            count("SELECT count(*) FROM entries"),
        ])
    });
    println!("replies, by model, by work, tool calls, entries: {:?}", facts.await.expect("an answer"));
    println!(
        "filled in {:?}, {} MB",
        filling.elapsed(),
        std::fs::metadata(&path).expect("an answer").len() >> 20
    );

    let now: Timestamp = NOW.parse().expect("an answer");
    let since = now - (90 * 24).hours();
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("an answer");
    let range = Quarters::touched(since, now);
    let [days, hours] =
        [Every::Day, Every::Hour].map(|every| cut(since, now, every, &zone).expect("an answer"));
    let any = Filter::default;
    let session = Filter { session: codepiper_core::ids::SessionId::parse("00000100").ok(), ..any() };
    let folder_of = Filter { folder: Some("/w/3".into()), ..any() };

    macro_rules! measure {
        ($name:literal, $limit_ms:expr, $work:expr) => {{
            let (took, count) = store
                .read(move |c| {
                    let mut times = Vec::new();
                    let mut count = 0;
                    for _ in 0..5 {
                        let start = Instant::now();
                        count = $work(c);
                        times.push(start.elapsed());
                    }
                    times.sort();
                    Ok((times[2], count))
                })
                .await
                .expect("an answer");
            println!("{:<46} {:>8.1} ms  {count} rows", $name, took.as_secs_f64() * 1e3);
            let slower = if cfg!(debug_assertions) { 8 } else { 1 };
            assert!(took < Duration::from_millis($limit_ms * slower), "{} took {took:?}", $name);
        }};
    }
    let (d, f) = (days.clone(), any());
    measure!("tokens and cost by day", 50, |c: &Connection| analytics::series(c, &f, &d)
        .expect("an answer")
        .len());
    let f = any();
    measure!("tokens and cost by hour", 100, |c: &Connection| analytics::series(c, &f, &hours)
        .expect("an answer")
        .len());
    let f = any();
    measure!("by model", 50, |c: &Connection| analytics::groups(c, &f, range, By::Model, 50)
        .expect("an answer")
        .groups
        .len());
    let f = any();
    measure!("by session", 150, |c: &Connection| analytics::groups(c, &f, range, By::Session, 50)
        .expect("an answer")
        .groups
        .len());
    let f = any();
    measure!("by folder", 150, |c: &Connection| analytics::groups(c, &f, range, By::Folder, 50)
        .expect("an answer")
        .groups
        .len());
    let (d, f) = (days.clone(), session.clone());
    measure!("one session by day", 50, |c: &Connection| analytics::series(c, &f, &d)
        .expect("an answer")
        .len());
    let (d, f) = (days.clone(), folder_of);
    measure!("one folder by day", 150, |c: &Connection| analytics::series(c, &f, &d)
        .expect("an answer")
        .len());
    let d = days.clone();
    measure!("messages by day", 50, |c: &Connection| analytics::messages(c, None, &d)
        .expect("an answer")
        .len());
    measure!("tools", 1_000, |c: &Connection| analytics::tools(c, None, range, 15).expect("an answer").len());
    measure!("all calls of tools", 500, |c: &Connection| analytics::tool_calls(c, None, range)
        .expect("an answer")
        .0);
    measure!("earliest", 50, |c: &Connection| analytics::earliest(c).expect("an answer").into_iter().count());
    measure!("conversations, a page", 50, |c: &Connection| {
        let filter = conversations::Filter { limit: 50, ..Default::default() };
        conversations::list(c, &filter).expect("an answer").0.len()
    });
    for (name, typed, limit) in
        [("search, a rare word", "word77 ", 100), ("search, a word that is everywhere", "test ", 1_000)]
    {
        let query = SearchQuery::parse(typed).expect("an answer");
        print!("{name}: ");
        measure!("", limit, |c: &Connection| {
            let filter = search::Filter { limit: 20, ..Default::default() };
            search::search(c, &query, &filter).expect("an answer").0.len()
        });
    }
}
