use super::*;
use crate::{Durability, Store};
use codepiper_core::usage::Tier;
use jiff::Timestamp;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn reply(key: &str, output: u64, cost: Option<i64>) -> Reply {
    let tokens = Tokens { input: 10, output, ..Tokens::default() };
    Reply {
        usage: Usage {
            key: key.into(),
            at: at(0),
            model: "m".into(),
            tokens,
            billing: Tier::default(),
            vendor_cost: None,
        },
        cost,
        place: 0,
    }
}

fn piece(conversation: &str, born_at: i64, replies: Vec<Reply>) -> Piece {
    Piece {
        file: File {
            path: format!("/t/{conversation}.jsonl"),
            provider: "claude-code".into(),
            device: 1,
            inode: u64::MAX, // as large as a file system may say
            fingerprint: "f".into(),
            offset: 100,
            context: Context { model: Some("m".into()), ..Context::default() },
            ahead: None,
            found: Found { lines: 3, ..Found::default() },
        },
        conversation: conversation.into(),
        born_at,
        session: None,
        entries: Vec::new(),
        places: vec![Place { cwd: "/p".into(), branch: "main".into(), repo: None }],
        replies,
    }
}

fn entry(uid: &str, seconds: i64, kind: Kind, text: &str) -> Entry {
    Entry { uid: uid.into(), at: Some(at(seconds)), agent: None, kind, text: text.into() }
}

fn user() -> Kind {
    Kind::User { origin: None, attachments: Vec::new() }
}

/// Requests, output tokens, cost and unpriced tokens by the rows themselves, which both sums must agree with.
fn sums(connection: &Connection) -> (u64, u64, i64, u64) {
    let sum = |sql: &str| {
        connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap()
    };
    let rows = sum("SELECT count(*), coalesce(sum(output), 0), coalesce(sum(cost), 0),
                    coalesce(sum(iif(cost IS NULL, input + output, 0)), 0) FROM usage");
    for table in ["usage_by_model", "usage_by_work"] {
        let summed = sum(&format!(
            "SELECT coalesce(sum(requests), 0), coalesce(sum(output), 0), coalesce(sum(cost), 0),
             coalesce(sum(unpriced), 0) FROM {table}"
        ));
        assert_eq!(summed, rows, "{table}");
    }
    rows
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("db"), Durability::Process).unwrap();
    (folder, store)
}

async fn take_all(store: &Store, pieces: Vec<Piece>) -> Vec<Taken> {
    let work = move |tx: &Transaction<'_>| pieces.iter().map(|piece| take(tx, piece, at(9))).collect();
    store.write(work).await.unwrap()
}

#[tokio::test]
async fn a_reply_counts_once_in_its_most_complete_record_whatever_the_order() {
    for order in [[5, 50, 20], [50, 20, 5], [20, 5, 50]] {
        let (_folder, store) = store();
        for output in order {
            take_all(&store, vec![piece("a", 1, vec![reply("x", output, Some(7))])]).await;
        }
        assert_eq!(store.read(|db| Ok(sums(db))).await.unwrap(), (1, 50, 7, 0), "{order:?}");
    }
}

#[tokio::test]
async fn a_reply_belongs_to_the_older_of_two_conversations_whichever_is_read_first() {
    for forked_first in [false, true] {
        let (_folder, store) = store();
        let mut pieces = vec![
            piece("parent", 1, vec![reply("x", 5, None)]),
            piece("fork", 2, vec![reply("x", 5, None), reply("y", 6, Some(3))]),
        ];
        if forked_first {
            pieces.reverse();
        }
        take_all(&store, pieces).await;
        let whose = |key: &'static str| {
            store.read(move |db| {
                let sql =
                    "SELECT provider_id FROM usage JOIN conversations ON id = conversation WHERE key = ?1";
                Ok(db.query_row(sql, [key], |row| row.get::<_, String>(0))?)
            })
        };
        assert_eq!(whose("x").await.unwrap(), "parent", "fork first: {forked_first}");
        assert_eq!(whose("y").await.unwrap(), "fork");
        assert_eq!(store.read(|db| Ok(sums(db))).await.unwrap(), (2, 11, 3, 15));
    }
}

#[tokio::test]
async fn what_comes_twice_is_there_once_and_a_file_is_remembered_with_its_place() {
    let (_folder, store) = store();
    let mut first = piece("a", 1, Vec::new());
    let call = || Kind::ToolCall { call: "c".into(), tool: "Bash".into(), input: serde_json::Value::Null };
    let result = || Kind::ToolResult {
        call: "c".into(),
        outcome: Outcome::Failed,
        duration_ms: None,
        attachments: Vec::new(),
    };
    first.entries = vec![
        entry("late", 20, Kind::Assistant { model: None }, "answer"),
        entry("early", 10, user(), "find src/lib.rs"),
        entry("call", 11, call(), "ls"),
        entry("result", 13, result(), "no"),
    ];
    let mut fork = first.clone();
    fork.conversation = "b".into();
    fork.file.path = "/t/b.jsonl".into();
    let taken = take_all(&store, vec![first.clone(), first.clone(), fork]).await;
    assert_eq!(taken.iter().map(|taken| taken.entries).collect::<Vec<_>>(), [4, 0, 4]);
    let (order, messages, calls) = store
        .read(|db| {
            let order: String = db.query_row(
                "SELECT group_concat(uid, ' ' ORDER BY id) FROM entries WHERE conversation = 1",
                [],
                |row| row.get(0),
            )?;
            let messages: (u64, u64) =
                db.query_row("SELECT sum(person), sum(assistant) FROM messages_by_quarter", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            let calls: (u64, String, u64) =
                db.query_row("SELECT count(*), outcome, duration_ms FROM tool_calls", [], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })?;
            Ok((order, messages, calls))
        })
        .await
        .unwrap();
    assert_eq!(order, "early call result late");
    assert_eq!(messages, (1, 1));
    assert_eq!(calls, (1, "failed".into(), 2_000));
    let known = store.read(|db| file(db, "/t/a.jsonl")).await.unwrap();
    assert_eq!(known, Some(first.file));
}

#[tokio::test]
async fn of_two_conversations_made_in_the_same_moment_a_reply_belongs_always_to_the_same() {
    for first in ["a", "b"] {
        let (_folder, store) = store();
        let second = if first == "a" { "b" } else { "a" };
        let copy = |conversation| piece(conversation, 1, vec![reply("x", 5, None)]);
        take_all(&store, vec![copy(first), copy(second), copy(first)]).await;
        let whose = store.read(|db| {
            let sql = "SELECT provider_id FROM usage JOIN conversations ON id = conversation";
            Ok(db.query_row(sql, [], |row| row.get::<_, String>(0))?)
        });
        assert_eq!(whose.await.unwrap(), "a", "{first} first");
        assert_eq!(store.read(|db| Ok(sums(db))).await.unwrap(), (1, 5, 0, 15));
    }
}

#[tokio::test]
async fn a_place_of_counting_is_kept_beside_that_of_reading() {
    let (_folder, store) = store();
    let mut counted = piece("a", 1, vec![reply("x", 5, None)]);
    let context = Context { model: Some("counted".into()), parent: Some("p".into()), ..Context::default() };
    counted.file.ahead = Some(Ahead { offset: 500, context });
    counted.file.context.model = None;
    take_all(&store, vec![counted.clone()]).await;
    assert_eq!(store.read(|db| file(db, "/t/a.jsonl")).await.unwrap(), Some(counted.file));
    let read = piece("a", 1, Vec::new());
    take_all(&store, vec![read.clone()]).await;
    assert_eq!(store.read(|db| file(db, "/t/a.jsonl")).await.unwrap(), Some(read.file));
    let sql = "SELECT parent, model, first_at, last_at FROM conversations";
    let found = store.read(|db| {
        Ok(db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?)
    });
    let found: (String, String, i64, i64) = found.await.unwrap();
    let time = at(0).as_millisecond();
    assert_eq!(found, ("p".into(), "m".into(), time, time), "what counting knew, and reading corrected");
}

#[tokio::test]
async fn rows_that_come_many_at_once_are_what_they_are_one_by_one() {
    const MANY: i64 = 2 * ROWS[0] as i64 + 13;
    let call = |n: i64| Kind::ToolCall {
        call: format!("c{n}"),
        tool: "Bash".into(),
        input: serde_json::Value::Null,
    };
    let result = |n: i64| Kind::ToolResult {
        call: format!("c{n}"),
        outcome: Outcome::Ok,
        duration_ms: (n % 3 == 0).then_some(7),
        attachments: Vec::new(),
    };
    let mut whole = piece("a", 1, Vec::new());
    for n in 0..MANY {
        whole.entries.push(entry(&format!("u{n}"), 10 * n, user(), "please"));
        whole.entries.push(entry(&format!("c{n}"), 10 * n + 1, call(n), "ls"));
        whole.entries.push(entry(&format!("r{n}"), 10 * n + 3, result(n), "a b"));
        whole.replies.push(reply(&format!("k{n}"), 1 + n as u64, Some(2)));
        whole.replies.push(reply(&format!("k{n}"), 5 + n as u64, Some(3)));
    }
    let mut ways = Vec::new();
    for size in [1, 7, usize::MAX] {
        let (_folder, store) = store();
        let mut pieces = Vec::new();
        for entries in whole.entries.chunks(size.min(whole.entries.len())) {
            pieces.push(Piece { entries: entries.to_vec(), replies: Vec::new(), ..whole.clone() });
        }
        for replies in whole.replies.chunks(size.min(whole.replies.len())) {
            pieces.push(Piece { entries: Vec::new(), replies: replies.to_vec(), ..whole.clone() });
        }
        pieces.push(whole.clone()); // nothing of it is new
        let taken = take_all(&store, pieces).await;
        assert_eq!(taken.iter().map(|taken| taken.entries).sum::<usize>(), whole.entries.len(), "{size}");
        assert_eq!(taken.last().unwrap(), &Taken { conversation: 1, ..Taken::default() }, "{size}");
        let outputs: u64 = (0..MANY as u64).map(|n| 5 + n).sum();
        assert_eq!(
            store.read(|db| Ok(sums(db))).await.unwrap(),
            (MANY as u64, outputs, 3 * MANY, 0),
            "{size}"
        );
        let tables = store.read(|db| {
            let mut all = String::new();
            for table in ["entries", "tool_calls", "tools_by_quarter", "messages_by_quarter"] {
                let mut statement = db.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2"))?;
                let columns = statement.column_count();
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    for column in 0..columns {
                        all += &format!("{:?} ", row.get_ref(column)?);
                    }
                    all += "\n";
                }
            }
            Ok(all)
        });
        ways.push(tables.await.unwrap());
    }
    assert_eq!(ways[0], ways[1]);
    assert_eq!(ways[1], ways[2]);
}

#[tokio::test]
async fn the_search_takes_in_what_came_since() {
    let (_folder, store) = store();
    let found = |store: Store| async move {
        while store.write(index_some).await.unwrap() {}
        store
            .read(|db| {
                let sql = "SELECT count(*) FROM search WHERE search MATCH 'lib'";
                Ok(db.query_row(sql, [], |row| row.get::<_, u64>(0))?)
            })
            .await
            .unwrap()
    };
    let mut one = piece("a", 1, Vec::new());
    one.entries = vec![entry("1", 1, user(), "see src/lib.rs")];
    take_all(&store, vec![one.clone()]).await;
    assert_eq!(found(store.clone()).await, 1);
    one.entries = vec![entry("2", 2, user(), "again lib"), entry("3", 3, Kind::Thinking, "")];
    take_all(&store, vec![one]).await;
    assert_eq!(found(store).await, 2);
}

#[tokio::test]
async fn new_prices_change_costs_and_their_sums() {
    let (_folder, store) = store();
    let replies: Vec<Reply> =
        (0..2_500).map(|n| reply(&format!("k{n:04}"), 1, (n % 2 == 0).then_some(5))).collect();
    take_all(&store, vec![piece("a", 1, replies)]).await;
    let mut after = Some(String::new());
    let (mut steps, mut changed) = (0, 0);
    while let Some(key) = after {
        let step = move |tx: &Transaction<'_>| {
            reprice_some(tx, &key, &|usage| usage.key.ends_with('9').then_some(8))
        };
        let done = store.write(step).await.unwrap();
        (after, changed) = (done.next, changed + done.changed);
        steps += 1;
    }
    assert_eq!((steps, changed), (3, 1_500));
    assert_eq!(store.read(|db| Ok(sums(db))).await.unwrap(), (2_500, 2_500, 250 * 8, 2_250 * 11));
}
