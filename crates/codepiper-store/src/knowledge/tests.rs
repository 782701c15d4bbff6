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
