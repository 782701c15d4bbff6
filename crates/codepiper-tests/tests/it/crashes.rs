//! What agents write down, taken in: nothing twice, nothing lost, wherever it is interrupted.

use codepiper_store::Connection;
use codepiper_tests::lab::Lab;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

/// The sums of all usage: by its rows, and as both tables of sums have them.
fn totals(lab: &Lab) -> (u64, u64, u64) {
    let db = Connection::open(lab.path("home/codepiper.db")).unwrap();
    let sum = |sql: &str| db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let rows = sum("SELECT count(*), coalesce(sum(input), 0), coalesce(sum(output), 0) FROM usage");
    for table in ["usage_by_model", "usage_by_work"] {
        let columns = "coalesce(sum(requests), 0), coalesce(sum(input), 0), coalesce(sum(output), 0)";
        assert_eq!(sum(&format!("SELECT {columns} FROM {table}")), rows, "{table}");
    }
    rows
}

fn number(lab: &Lab, sql: &str) -> u64 {
    let db = Connection::open(lab.path("home/codepiper.db")).unwrap();
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn claude_transcript(lab: &Lab, conversation: &str) -> PathBuf {
    let folder = lab.path("person/.claude/projects/-home-dev-project");
    fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{conversation}.jsonl"))
}

/// Lines as Claude Code writes them: a prompt, a reply in two records of which the first is not complete, a call and
/// its result. Gives what has to be counted up to the end of each line, by its place: replies, their input and their
/// output tokens.
fn write_transcript(path: PathBuf, conversation: &str, size: u64) -> BTreeMap<u64, (u64, u64, u64)> {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let (mut written, mut n, mut output) = (0, 0, 0);
    let mut counts = BTreeMap::from([(0, (0, 0, 0))]);
    while written < size {
        let common = |kind: &str, uid: &str| {
            json!({
                "type": kind, "uuid": format!("{conversation}-{n}-{uid}"), "sessionId": conversation,
                "timestamp": format!("2026-11-{:02}T{:02}:{:02}:00.000Z", n % 20 + 1, n % 24, n % 60),
                "cwd": "/home/dev/project", "gitBranch": "main", "version": "2.1.197", "isSidechain": false,
            })
        };
        let reply = |uid: &str, block: Value, output: u64| {
            let mut line = common("assistant", uid);
            let usage = json!({
                "input_tokens": 7, "output_tokens": output, "cache_read_input_tokens": 11,
                "cache_creation_input_tokens": 0,
            });
            let id = format!("msg_{conversation}_{n}");
            line["message"] = json!({
                "id": id, "role": "assistant", "model": "claude-opus-4-8", "content": [block], "usage": usage,
            });
            line
        };
        let mut prompt = common("user", "p");
        prompt["message"] = json!({ "role": "user", "content": format!("prompt {n}") });
        let call = json!({ "type": "tool_use", "id": format!("t{n}"), "name": "Bash", "input": { "command": "ls" } });
        let mut result = common("user", "r");
        let text = "a line of output that a tool gave\n".repeat(100);
        let content = json!([{ "type": "tool_result", "tool_use_id": format!("t{n}"), "content": text }]);
        result["message"] = json!({ "role": "user", "content": content });
        let text = json!({ "type": "text", "text": format!("reply {n}") });
        let whole = 100 + n % 50;
        let lines = [
            (prompt, 0, 0),
            (reply("a", text, 1), 1, 1),
            (reply("b", call, whole), 1, whole),
            (result, 1, whole),
        ];
        for (line, replies, so_far) in lines {
            let line = format!("{line}\n");
            written += line.len() as u64;
            file.write_all(line.as_bytes()).unwrap();
            counts.insert(written, (n + replies, (n + replies) * 7, output + so_far));
        }
        output += whole;
        n += 1;
    }
    file.flush().unwrap();
    counts
}

#[tokio::test]
async fn after_500_kills_while_50_mb_are_taken_in_every_reply_counts_once() {
    const KILLS: usize = 500;
    let lab = Lab::new();
    let conversation = "11111111-2222-4333-8444-555555555555";
    let path = claude_transcript(&lab, conversation);
    let counts = write_transcript(path.clone(), conversation, 50_000_000);
    let (&end, &expected) = counts.last_key_value().unwrap();
    let mut points = BTreeSet::new();
    let mut counted_ahead = 0;
    let mut is_again = false;
    let mut last = (0, 0);
    let mut longest = 150; // ms; longer where the machine is too busy to come anywhere before the kill
    for round in 0..KILLS {
        lab.start_daemon();
        let mut import = lab.command(["import"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pause = round.wrapping_mul(2_654_435_761) as u64 % longest;
        std::thread::sleep(Duration::from_millis(pause));
        lab.kill_daemon();
        import.wait().unwrap();
        // Replies are counted ahead of reading all the rest.
        let read = number(&lab, "SELECT coalesce(max(offset), 0) FROM transcripts");
        let counted = number(&lab, "SELECT coalesce(max(counted), 0) FROM transcripts").max(read);
        assert!(last <= (read, counted), "kill {round}: from {last:?} back to {:?}", (read, counted));
        // What is there now is what the lines up to the place say, not more and not less.
        let up_to_there = if is_again { expected } else { counts[&counted] };
        assert_eq!(totals(&lab), up_to_there, "kill {round} at {counted}, {read} read");
        counted_ahead += usize::from(counted > read);
        let is_on = points.insert((read, counted));
        longest = if is_on { (longest - 10).max(150) } else { longest + 5 };
        last = (read, counted);
        // All of it was read: once more from the beginning, in turn as after a lost place and as if nothing was there.
        if read == end {
            let db = Connection::open(lab.path("home/codepiper.db")).unwrap();
            let again = "UPDATE transcripts SET offset = 0, context = '{}', counted = NULL";
            let anew = "DELETE FROM usage; DELETE FROM tool_calls; DELETE FROM entries; DELETE FROM messages_by_quarter;
                DELETE FROM transcripts; DELETE FROM conversations; UPDATE search_progress SET entry = 0;
                INSERT INTO search (search) VALUES ('delete-all')";
            is_again = !is_again;
            db.execute_batch(if is_again { again } else { anew }).unwrap();
            last = (0, 0);
        }
    }
    assert!(points.len() > 50, "killed at only {} places", points.len());
    assert!(counted_ahead > 50, "killed only {counted_ahead} times between counting and reading");
    lab.start_daemon();
    lab.cli(["import"]);
    assert_eq!(totals(&lab), expected);
    assert_eq!(number(&lab, "SELECT count(*) FROM entries"), expected.0 * 4);
    assert_eq!(number(&lab, "SELECT count(*) FROM tool_calls WHERE outcome = 'ok'"), expected.0);
}

/// The file of a live session is followed, counted and read at once, while it grows by pieces of lines.
#[tokio::test]
async fn a_live_transcript_that_grows_while_imports_count_and_read_it_counts_once() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    lab.turn(&id, "SAY: one").await;
    let path = PathBuf::from(lab.show(&id).await["transcriptPath"].as_str().unwrap());
    // Its folder is not where Claude Code's are; an import can be told.
    let folder = path.ancestors().nth(3).unwrap().to_str().unwrap().to_owned();
    let import = || lab.cli(["import", "--claude-config-dir", &folder]);
    let conversation = "33333333-2222-4333-8444-555555555555";
    let whole = lab.path("whole.jsonl");
    let counts = write_transcript(whole.clone(), conversation, 20_000_000);
    let (_, &expected) = counts.last_key_value().unwrap();
    let grows = std::thread::spawn(move || {
        let bytes = fs::read(whole).unwrap();
        let mut live = File::options().append(true).open(path).unwrap();
        for (n, piece) in bytes.chunks(150_001).enumerate() {
            live.write_all(piece).unwrap();
            std::thread::sleep(Duration::from_millis(n as u64 % 20));
        }
    });
    while !grows.is_finished() {
        import();
    }
    grows.join().unwrap();
    import();
    totals(&lab); // both sums agree with the rows
    let of_file = format!("FROM usage WHERE key LIKE 'claude:msg_{conversation}_%'");
    let found =
        ["count(*)", "sum(input)", "sum(output)"].map(|sum| number(&lab, &format!("SELECT {sum} {of_file}")));
    assert_eq!(found, [expected.0, expected.1, expected.2]);
    // Two providers read the file, and one more entry says that the model is another one from here on.
    let entries = "SELECT count(DISTINCT uid) FROM entries WHERE role <> 'system'";
    let entries = format!("{entries} AND uid LIKE '{conversation}-%'");
    assert_eq!(number(&lab, &entries), expected.0 * 4);
}
