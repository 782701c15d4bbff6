//! Hook events as fast as they come, each committed before its answer.

use super::Bench;
use super::processes::{EVENT, hook_environment, serve_floor};
use super::report::{Samples, at_most};
use super::wire::Wire;
use crate::lab::Lab;
use anyhow::{Context, Result, ensure};
use codepiper_api::defaults::{HOOK_EVENT_ID_HEADER, HOOK_SECRET_HEADER, HOOK_SECRET_VARIABLE};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Instant;

const CONNECTIONS: usize = 8;

/// A call that the rules decide.
const CALL: &str = include_str!("../../../codepiper-core/testdata/claude-code/hooks/PreToolUse.Bash.json");

const DECIDED: &str = "8 sessions, each event a decision of 1,000 rules";

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let each = bench.count(10_000, 800) / CONNECTIONS;
    let lab = bench.lab();
    lab.start_daemon();
    // Sessions that are held to rules, unlike those of the other measurements.
    let body = || json!({ "provider": "demo", "cwd": lab.project() });
    let ids: Vec<String> = (0..CONNECTIONS).map(|_| bench.wait(lab.session(body()))).collect();
    for id in &ids {
        bench.wait(lab.wait_for_state(id, "idle"));
    }
    let mut secrets = Vec::new();
    for id in &ids {
        let agent = bench.wait(lab.show(id))["pid"].as_u64().context("a pid")?;
        let secret =
            hook_environment(agent as u32)?.into_iter().find(|(name, _)| name == HOOK_SECRET_VARIABLE);
        secrets.push(secret.context("the agent has no secret")?.1);
    }
    let floor_socket = lab.path("e");
    serve_floor(&floor_socket, &lab.path("floor.db"))?;
    let (floor, floor_rate) = in_parallel(each, |_| {
        let mut stream = UnixStream::connect(&floor_socket)?;
        let message = [&(EVENT.len() as u32).to_le_bytes(), EVENT.as_bytes()].concat();
        Ok(move |_| -> Result<()> {
            stream.write_all(&message)?;
            Ok(stream.read_exact(&mut [0])?)
        })
    })?;
    bench.report.floor("a bare server, each committed: latency", "ms", &floor);
    bench.report.floor("a bare server, each committed: rate", "1/s", &floor_rate);
    for (what, sessions, event) in
        [("8 sessions", CONNECTIONS, EVENT), ("1 session", 1, EVENT), (DECIDED, CONNECTIONS, CALL)]
    {
        if what == DECIDED {
            bench.wait(lab.ok("POST", "/policies", thousand_rules()));
        }
        let before = bench.wait(lab.last_event());
        let (latency, rate) = in_parallel(each, |connection| {
            let mut wire = Wire::connect(&lab.path("s"))?;
            let (path, secret) = {
                let which = connection % sessions;
                (format!("/sessions/{}/hooks", ids[which]), secrets[which].clone())
            };
            Ok(move |n| -> Result<()> {
                let uid = format!("{}x{connection}x{n}", what.len());
                let headers = format!(
                    "content-type: application/json\r\n{HOOK_SECRET_HEADER}: {secret}\r\n{HOOK_EVENT_ID_HEADER}: {uid}\r\n"
                );
                wire.ask("POST", &path, &headers, event.as_bytes()).map(drop)
            })
        })?;
        let stored = bench.wait(lab.last_event()) - before;
        ensure!(stored >= (each * CONNECTIONS) as u64, "{stored} of {} events are there", each * CONNECTIONS);
        bench.report.figure(&format!("{what}: latency"), "ms", &latency);
        bench.report.figure(&format!("{what}: rate"), "1/s", &rate);
    }
    let decided = decision_times(bench, &lab)?;
    let targets = vec![at_most("p99", decided.percentile(99.0), 50.0)];
    bench.report.judged("the decision alone, by the audit log", "us", &decided, targets);
    Ok(())
}

/// A thousand rules, none of which is for the call but the last.
fn thousand_rules() -> Value {
    let mut rules: Vec<Value> = (0..999)
        .map(|n| {
            let word = ["git", "npm", "docker", "kubectl", "rm"][n % 5];
            json!({ "action": "deny", "tool": "Bash", "args": { "command": format!("{word} blocked{n} *") } })
        })
        .collect();
    rules.push(json!({ "action": "allow", "tool": "Bash", "args": { "command": "pwd" } }));
    json!({ "name": "thousand", "rules": rules })
}

/// How long each decision took in the daemon, in microseconds.
fn decision_times(bench: &Bench, lab: &Lab) -> Result<Samples> {
    let mut times = Samples::default();
    let mut after = 0;
    loop {
        let page = format!("/audit?kind=decision&decision=allow&limit=1000&after={after}");
        let page = bench.wait(lab.ok("GET", &page, Value::Null));
        for entry in page["entries"].as_array().context("entries")? {
            after = entry["id"].as_u64().context("a number")?;
            times.push(entry["body"]["latencyUs"].as_f64().context("a time")?);
        }
        if page["hasMore"] != true {
            return Ok(times);
        }
    }
}

/// Latency of each call, and calls a second over all connections.
fn in_parallel<Call>(each: usize, connect: impl Fn(usize) -> Result<Call>) -> Result<(Samples, Samples)>
where
    Call: FnMut(usize) -> Result<()> + Send + 'static,
{
    let calls: Vec<Call> = (0..CONNECTIONS).map(&connect).collect::<Result<_>>()?;
    let began = Instant::now();
    let threads: Vec<JoinHandle<Result<Samples>>> = calls
        .into_iter()
        .map(|mut call| {
            std::thread::spawn(move || {
                let mut samples = Samples::default();
                for n in 0..each {
                    let began = Instant::now();
                    call(n)?;
                    samples.push_ms(began.elapsed());
                }
                Ok(samples)
            })
        })
        .collect();
    let mut all = Samples::default();
    for thread in threads {
        all.extend(thread.join().ok().context("a connection's thread panicked")??);
    }
    let rate = (each * CONNECTIONS) as f64 / began.elapsed().as_secs_f64();
    Ok((all, Samples::one(rate)))
}
