//! Hook events as fast as they come, each committed before its answer.

use super::Bench;
use super::decisions::{COMMAND, calls_on_files, rules_on_commands, rules_on_files};
use super::processes::{EVENT, hook_environment, serve_floor};
use super::report::{Samples, at_least, at_most};
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

/// What is sent.
struct Load {
    what: &'static str,
    /// At the same time. More than there are cores and what takes longest is the turn of somebody else.
    connections: usize,
    sessions: usize,
    /// In force meanwhile.
    rules: Option<Vec<Value>>,
    /// By their number, so that no two need be the same.
    event: Box<dyn Fn(usize) -> String>,
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let all = bench.count(10_000, 800);
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
    let (floor, floor_rate) = in_parallel(CONNECTIONS, all, |_| {
        let mut stream = UnixStream::connect(&floor_socket)?;
        let message = [&(EVENT.len() as u32).to_le_bytes(), EVENT.as_bytes()].concat();
        Ok(move |_| -> Result<()> {
            stream.write_all(&message)?;
            Ok(stream.read_exact(&mut [0])?)
        })
    })?;
    bench.report.floor("a bare server, each committed: latency", "ms", &floor);
    bench.report.floor("a bare server, each committed: rate", "1/s", &floor_rate);
    for Load { what, connections, sessions, rules, event } in loads(&lab)? {
        let each = all / connections;
        let policy = rules.as_ref().map(|rules| {
            let policy = json!({ "name": what, "rules": rules });
            bench.wait(lab.ok("POST", "/policies", policy))["policy"]["id"].clone()
        });
        let (before, decided_before) = (bench.wait(lab.last_event()), last_audit(bench, &lab)?);
        let (latency, rate) = in_parallel(connections, all, |connection| {
            let mut wire = Wire::connect(&lab.path("s"))?;
            let (path, secret) = {
                let which = connection % sessions;
                (format!("/sessions/{}/hooks", ids[which]), secrets[which].clone())
            };
            let events: Vec<String> = (0..each).map(|n| event(connection * each + n)).collect();
            Ok(move |n: usize| -> Result<()> {
                let uid = format!("{}x{connections}x{connection}x{n}", what.len());
                let headers = format!(
                    "content-type: application/json\r\n{HOOK_SECRET_HEADER}: {secret}\r\n{HOOK_EVENT_ID_HEADER}: {uid}\r\n"
                );
                wire.ask("POST", &path, &headers, events[n].as_bytes()).map(drop)
            })
        })?;
        let stored = bench.wait(lab.last_event()) - before;
        ensure!(stored >= (each * connections) as u64, "{stored} of {} events are there", each * connections);
        bench.report.figure(&format!("{what}: latency"), "ms", &latency);
        let name = format!("{what}: rate");
        match (&rules, connections) {
            (None, CONNECTIONS) if sessions == CONNECTIONS => {
                let targets = vec![
                    at_least("p50", rate.p50(), 10_000.0),
                    // The target was set where the floor was 41,800.
                    at_least("over the floor's", rate.p50() / floor_rate.p50(), 10_000.0 / 41_800.0),
                ];
                bench.report.judged(&name, "1/s", &rate, targets);
            }
            _ => bench.report.figure(&name, "1/s", &rate),
        }
        if let Some(policy) = policy {
            let times = decision_times(bench, &lab, decided_before)?;
            ensure!(times.count() == each * connections, "{} calls were allowed", times.count());
            let decision = format!("{what}: the decision alone");
            match connections {
                1 => {
                    let targets = vec![at_most("p99", times.percentile(99.0), 50.0)];
                    bench.report.judged(&decision, "us", &times, targets);
                }
                _ => bench.report.figure(&decision, "us", &times),
            }
            let policy = policy.as_str().context("a policy's id")?;
            bench.wait(lab.ok("DELETE", &format!("/policies/{policy}"), Value::Null));
        }
    }
    Ok(())
}

fn loads(lab: &Lab) -> Result<Vec<Load>> {
    let same = |event: &'static str| Box::new(move |_| event.to_owned());
    let files = calls_on_files(&lab.project())?;
    let on_commands = |what, connections| Load {
        what,
        connections,
        sessions: CONNECTIONS,
        rules: Some(rules_on_commands()),
        event: same(COMMAND),
    };
    let on_files = |what, connections| Load {
        what,
        connections,
        sessions: CONNECTIONS,
        rules: Some(rules_on_files()),
        event: Box::new(files.clone()),
    };
    Ok(vec![
        Load {
            what: "8 sessions",
            connections: CONNECTIONS,
            sessions: CONNECTIONS,
            rules: None,
            event: same(EVENT),
        },
        Load { what: "1 session", connections: CONNECTIONS, sessions: 1, rules: None, event: same(EVENT) },
        on_commands("8 sessions, 1,000 rules on commands", CONNECTIONS),
        on_files("8 sessions, 1,000 rules, most on files", CONNECTIONS),
        on_commands("one at a time, 1,000 rules on commands", 1),
        on_files("one at a time, 1,000 rules, most on files", 1),
    ])
}

/// The number of the last entry.
fn last_audit(bench: &Bench, lab: &Lab) -> Result<u64> {
    let mut last = 0;
    while let Some(id) =
        bench.wait(lab.ok("GET", &format!("/audit?limit=1000&after={last}"), Value::Null))["entries"]
            .as_array()
            .and_then(|entries| entries.last()?["id"].as_u64())
    {
        last = id;
    }
    Ok(last)
}

/// How long each decision took in the daemon by the audit log, in microseconds, after this entry.
fn decision_times(bench: &Bench, lab: &Lab, mut after: u64) -> Result<Samples> {
    let mut times = Samples::default();
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
fn in_parallel<Call>(
    connections: usize,
    all: usize,
    connect: impl Fn(usize) -> Result<Call>,
) -> Result<(Samples, Samples)>
where
    Call: FnMut(usize) -> Result<()> + Send + 'static,
{
    let each = all / connections;
    let calls: Vec<Call> = (0..connections).map(&connect).collect::<Result<_>>()?;
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
    let rate = (each * connections) as f64 / began.elapsed().as_secs_f64();
    Ok((all, Samples::one(rate)))
}
