//! Transcripts: a gigabyte taken in, beside a program that only reads its lines; and how soon a line is a row.

use super::machine::{peak, reset_peak};
use super::report::{Samples, at_most};
use super::{Bench, beside};
use crate::agents::ccusage;
use crate::lab::Lab;
use anyhow::{Context, Result, ensure};
use codepiper_store::Connection;
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Bytes of one transcript, as a long day makes it.
const FILE_SIZE: u64 = 10_000_000;

/// How long a line may take to be a row, before the measurement gives up.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let files = bench.count(100, 10);
    let lab = bench.lab();
    let folder = lab.path("person/.claude/projects/-work");
    fs::create_dir_all(&folder)?;
    let mut replies = 0;
    for n in 0..files {
        replies += write_transcript(&folder, n)?;
    }
    let mb = files as u64 * FILE_SIZE / 1_000_000;
    lab.start_daemon();
    let daemon = lab.daemon_pid();

    let mut floor = Samples::default();
    for _ in 0..3 {
        let mut reader = Command::new(beside("floor")?);
        floor.push(wall(reader.arg("lines").arg(&folder))?);
    }
    // Before and after: what else the machine does should hit both alike.
    let mut others = Samples::default();
    others.push(counted_by_ccusage(&lab)?);
    reset_peak(daemon)?;
    let (counted, import) = import(&lab, replies)?;
    let memory = peak(daemon)?;
    others.push(counted_by_ccusage(&lab)?);
    let again = wall(&mut lab.command(["import"]))?;
    // The search is filled after the import; then everything is there.
    let began = Instant::now();
    while count(&lab, "SELECT (SELECT max(id) FROM entries) - entry FROM search_progress")? > 0 {
        ensure!(began.elapsed() < Duration::from_secs(600), "the search is not filled");
        std::thread::sleep(Duration::from_millis(50));
    }
    let indexed = began.elapsed().as_secs_f64();
    let other = others.percentile(0.0);

    let report = &mut bench.report;
    report.floor(&format!("{mb} MB, a program that reads the lines and no more"), "s", &floor);
    report.floor(&format!("{mb} MB, ccusage"), "s", &others);
    report.judged(
        "until all usage is counted",
        "s",
        &Samples::one(counted),
        vec![at_most("over ccusage's", counted / other, 1.0)],
    );
    let targets = vec![at_most("a gigabyte", import * 1_000.0 / mb as f64, 10.0)];
    report.judged(&format!("{mb} MB taken in"), "s", &Samples::one(import), targets);
    report.judged(
        "most memory of the daemon meanwhile",
        "MB",
        &Samples::one(memory),
        vec![at_most("", memory, 100.0)],
    );
    report.figure("the same once more, nothing new", "s", &Samples::one(again));
    report.figure("until all of it can be searched, from there", "s", &Samples::one(indexed));
    appended(bench, &lab)
}

/// How soon a line that an agent appends is a row.
fn appended(bench: &mut Bench, lab: &Lab) -> Result<()> {
    let n = bench.count(100, 10);
    let id = bench.demos(lab, 1).remove(0);
    bench.wait(lab.turn(&id, "SAY: one"));
    let path = bench.wait(lab.show(&id))["transcriptPath"].as_str().context("a transcript")?.to_owned();
    let db = Connection::open(lab.path("home/codepiper.db"))?;
    let mut rows = db.prepare("SELECT count(*) FROM usage WHERE key = ?1")?;
    let mut samples = Samples::default();
    for round in 0..n {
        std::thread::sleep(Duration::from_millis(20));
        let reply = format!("msg_appended_{round}");
        let line = assistant("appended", round, json!({ "type": "text", "text": "appended" }), &reply);
        let began = Instant::now();
        OpenOptions::new().append(true).open(&path)?.write_all(format!("{line}\n").as_bytes())?;
        let key = format!("claude:{reply}");
        while rows.query_row([&key], |row| row.get::<_, u64>(0))? == 0 {
            ensure!(began.elapsed() < PATIENCE, "the line of round {round} is no row");
            std::thread::sleep(Duration::from_micros(200));
        }
        samples.push_ms(began.elapsed());
    }
    let targets = vec![at_most("p99", samples.percentile(99.0), 50.0)];
    bench.report.judged("from a line in a transcript to its row", "ms", &samples, targets);
    Ok(())
}

/// Seconds until an import says that all replies are counted, and until it has ended well.
fn import(lab: &Lab, replies: u64) -> Result<(f64, f64)> {
    let began = Instant::now();
    let mut import = lab.command(["import"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(import.stderr.take().context("piped")?).lines();
    let first = said.next().context("nothing was said")??;
    let counted = began.elapsed().as_secs_f64();
    ensure!(first.contains("all replies are counted"), "what was said first is {first}");
    let there = count(lab, "SELECT sum(requests) FROM usage_by_model")?;
    ensure!(there == replies, "{there} of {replies} replies are counted");
    said.try_for_each(|line| line.map(drop))?;
    let status = import.wait()?;
    ensure!(status.success(), "the import ended with {status}");
    let import = began.elapsed().as_secs_f64();
    let there = count(lab, "SELECT count(*) FROM usage")?;
    ensure!(there == replies, "{there} of {replies} replies are there in the end");
    Ok((counted, import))
}

fn counted_by_ccusage(lab: &Lab) -> Result<f64> {
    let mut other = Command::new(ccusage());
    other.args(["daily", "--offline", "--json"]).env_clear().env("HOME", lab.path("person"));
    wall(other.env("PATH", std::env::var_os("PATH").context("PATH is not set")?))
}

/// Seconds until the program has ended well.
fn wall(command: &mut Command) -> Result<f64> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let began = Instant::now();
    let status = command.status()?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(began.elapsed().as_secs_f64())
}

fn count(lab: &Lab, sql: &str) -> Result<u64> {
    let db = Connection::open(lab.path("home/codepiper.db"))?;
    Ok(db.query_row(sql, [], |row| row.get::<_, i64>(0))?.max(0) as u64)
}

fn line(conversation: &str, n: usize, kind: &str, uid: &str) -> Value {
    json!({
        "type": kind, "uuid": format!("{conversation}-{n}-{uid}"), "sessionId": conversation,
        "timestamp": format!("2026-{:02}-{:02}T{:02}:{:02}:00.000Z", n % 11 + 1, n % 28 + 1, n % 24, n % 60),
        "cwd": "/home/dev/project", "gitBranch": "main", "version": "2.1.197", "isSidechain": false, "parentUuid": null,
    })
}

fn assistant(conversation: &str, n: usize, block: Value, reply: &str) -> Value {
    let mut line = line(conversation, n, "assistant", &format!("a{}", block["type"]));
    line["requestId"] = json!(format!("req_{reply}"));
    line["message"] = json!({
        "id": reply, "type": "message", "role": "assistant", "model": "claude-opus-4-8", "content": [block],
        "usage": {
            "input_tokens": 7, "output_tokens": 100 + n % 50, "cache_read_input_tokens": 20_000,
            "cache_creation_input_tokens": 300,
            "cache_creation": { "ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 0 },
        },
    });
    line
}

/// A transcript as work makes it: prompts, replies in several records, calls and what they gave, of which some is
/// long and some is a picture. How many replies are in it.
fn write_transcript(folder: &Path, file: usize) -> Result<u64> {
    let conversation = format!("{file:08x}-2222-4333-8444-555555555555");
    let mut out = BufWriter::new(File::create(folder.join(format!("{conversation}.jsonl")))?);
    let (mut written, mut n) = (0, 0);
    while written < FILE_SIZE {
        let reply = format!("msg_{file}_{n}");
        let mut prompt = line(&conversation, n, "user", "p");
        prompt["message"] =
            json!({ "role": "user", "content": format!("please look at src/part{n}.rs and mend it") });
        let text = json!({ "type": "text", "text": "This is what I found and what I am going to do about it. ".repeat(8) });
        let call = json!({
            "type": "tool_use", "id": format!("t{file}x{n}"), "name": "Read", "input": { "file_path": format!("src/part{n}.rs") },
        });
        let mut result = line(&conversation, n, "user", "r");
        let content = match n % 20 {
            0 => {
                json!([{ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo".repeat(9_000) } }])
            }
            size => json!("fn part(of: &str) -> Result<usize, Error> { Ok(of.len()) }\n".repeat(size * 8)),
        };
        let content =
            json!([{ "tool_use_id": format!("t{file}x{n}"), "type": "tool_result", "content": content }]);
        result["message"] = json!({ "role": "user", "content": content });
        for line in [
            prompt,
            assistant(&conversation, n, text, &reply),
            assistant(&conversation, n, call, &reply),
            result,
        ] {
            let line = format!("{line}\n");
            written += line.len() as u64;
            out.write_all(line.as_bytes())?;
        }
        n += 1;
    }
    out.flush()?;
    Ok(n as u64)
}
