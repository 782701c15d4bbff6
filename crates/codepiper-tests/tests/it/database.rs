//! Whoever reads the database while agents work makes none of them wait too long, and nothing is lost.

use codepiper_api::defaults::{HOOK_EVENT_ID_HEADER, HOOK_SECRET_HEADER, HOOK_SECRET_VARIABLE};
use codepiper_store::Connection;
use codepiper_tests::lab::Lab;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const EVENT: &str = include_str!("../../../codepiper-core/testdata/claude-code/hooks/PostToolUse.Bash.json");

const CONNECTIONS: usize = 8;

/// How often each of the others does what it does.
const ROUNDS: usize = 4;

/// How long the hook helper waits for an answer. Then it decides by itself, and the agent goes on.
const HELPER_TIME_MAX: Duration = Duration::from_secs(10);

/// A connection by which a session's hooks report.
struct Hooks<'a> {
    stream: BufReader<UnixStream>,
    session: &'a str,
    secret: &'a str,
}

impl<'a> Hooks<'a> {
    fn connect(lab: &Lab, session: &'a str, secret: &'a str) -> Self {
        let stream = UnixStream::connect(lab.path("s")).unwrap();
        stream.set_read_timeout(Some(HELPER_TIME_MAX)).unwrap();
        Self { stream: BufReader::new(stream), session, secret }
    }

    /// Posts an event and waits for its answer.
    fn post(&mut self, id: &str, body: &str) {
        let Self { session, secret, .. } = self;
        let message = format!(
            "POST /sessions/{session}/hooks HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
             {HOOK_SECRET_HEADER}: {secret}\r\n{HOOK_EVENT_ID_HEADER}: {id}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let began = Instant::now();
        self.stream.get_mut().write_all(message.as_bytes()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.stream.read_line(&mut head).unwrap_or_else(|error| panic!("{id}: {error}"));
            assert!(read > 0, "the daemon hung up at {id}");
        }
        assert!(head.starts_with("HTTP/1.1 2"), "{id}: {head}");
        let length = head
            .to_ascii_lowercase()
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let mut answer = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut answer).unwrap();
        assert!(began.elapsed() < HELPER_TIME_MAX, "{id} waited {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn readers_backups_and_checkpoints_delay_no_hook_too_long_and_lose_none() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    lab.wait_for_state(&id, "idle").await;
    let agent = lab.show(&id).await["pid"].as_u64().unwrap();
    let environment = std::fs::read(format!("/proc/{agent}/environ")).unwrap();
    let environment = String::from_utf8(environment).unwrap();
    let of_secret = |entry: &str| {
        Some(entry.split_once('=').filter(|(name, _)| *name == HOOK_SECRET_VARIABLE)?.1.to_owned())
    };
    let secret = environment.split('\0').find_map(of_secret).unwrap();
    let event: Value = serde_json::from_str(EVENT).unwrap();
    let recorded = event["tool_use_id"].as_str().unwrap();

    let (acknowledged, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let came = || acknowledged.load(Ordering::SeqCst);
    // Until so many more came.
    let wait_for = |more: usize| {
        let (before, patience) = (came(), Instant::now());
        while came() < before + more {
            assert!(patience.elapsed().as_secs() < 60, "hooks stand still at {before}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let database = || {
        let database = Connection::open(lab.path("home/codepiper.db")).unwrap();
        database.busy_timeout(Duration::from_secs(1)).unwrap();
        database
    };
    let count = |database: &Connection| -> usize {
        database.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap()
    };
    let copy = |kind: &str, round: usize| lab.path(&format!("{kind}-{round}.db"));
    let sent: Vec<String> = std::thread::scope(|scope| {
        let posters: Vec<_> = (0..CONNECTIONS)
            .map(|connection| {
                let (mut hooks, acknowledged, done) =
                    (Hooks::connect(&lab, &id, &secret), &acknowledged, &done);
                scope.spawn(move || {
                    let mut sent = Vec::new();
                    while !done.load(Ordering::SeqCst) {
                        let call = format!("call-{connection}-{}", sent.len());
                        hooks.post(&call, &EVENT.replace(recorded, &call));
                        acknowledged.fetch_add(1, Ordering::SeqCst);
                        sent.push(call);
                    }
                    sent
                })
            })
            .collect();
        let others = [
            // A long read: what it sees stands still while events come.
            scope.spawn(|| {
                let database = database();
                for _ in 0..ROUNDS {
                    database.execute_batch("BEGIN").unwrap();
                    let seen = count(&database);
                    let mut statement = database.prepare("SELECT seq FROM events").unwrap();
                    let mut rows = statement.query([]).unwrap();
                    assert!(rows.next().unwrap().is_some());
                    wait_for(300);
                    assert_eq!(count(&database), seen);
                    drop(rows);
                    drop(statement);
                    database.execute_batch("COMMIT").unwrap();
                    assert!(count(&database) >= seen + 300);
                }
            }),
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    wait_for(50);
                    lab.cli(["backup", copy("ours", round).to_str().unwrap()]);
                }
            }),
            scope.spawn(|| {
                let database = database();
                for round in 0..ROUNDS {
                    wait_for(50);
                    let pause = |_| std::thread::sleep(Duration::from_millis(1));
                    database.backup("main", copy("sqlite", round), Some(pause)).unwrap();
                }
            }),
            // As somebody's tool might: it keeps writers out while it waits for readers.
            scope.spawn(|| {
                let database = database();
                for mode in ["PASSIVE", "FULL", "RESTART", "TRUNCATE"].into_iter().cycle().take(4 * ROUNDS) {
                    wait_for(20);
                    let pragma = format!("PRAGMA wal_checkpoint({mode})");
                    let _blocked: u32 = database.query_row(&pragma, [], |row| row.get(0)).unwrap();
                }
            }),
        ];
        let ended: Vec<_> = others.into_iter().map(|other| other.join()).collect();
        done.store(true, Ordering::SeqCst);
        let sent = posters.into_iter().flat_map(|poster| poster.join().unwrap()).collect();
        ended.into_iter().for_each(|end| end.unwrap());
        sent
    });

    for (kind, round) in ["ours", "sqlite"].into_iter().flat_map(|kind| (0..ROUNDS).map(move |n| (kind, n))) {
        let report = codepiper_store::verify(&copy(kind, round)).unwrap();
        assert!(report.sessions == 1 && report.last_event > 50, "{kind} {round}: {report:?}");
    }
    // What was acknowledged survives: also what stood in the log alone when the daemon was killed.
    lab.kill_daemon();
    lab.start_daemon();
    let events = lab.events(&id).await;
    let calls = events.iter().filter_map(|event| event["payload"]["tool_use_id"].as_str());
    let mut there: Vec<&str> = calls.filter(|call| call.starts_with("call-")).collect();
    let mut sent: Vec<&str> = sent.iter().map(String::as_str).collect();
    there.sort_unstable();
    sent.sort_unstable();
    let sent_and_lost: Vec<_> = sent.iter().filter(|call| there.binary_search(call).is_err()).collect();
    assert!(sent_and_lost.is_empty(), "{} of {} are lost", sent_and_lost.len(), sent.len());
    assert_eq!(there, sent);
}
