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

/// Calls that rules decide, as Claude Code sends them.
const COMMAND: &str = include_str!("../../../codepiper-core/testdata/claude-code/hooks/PreToolUse.Bash.json");
const READ: &str = include_str!("../../../codepiper-core/testdata/claude-code/hooks/PreToolUse.Read.json");
const EDIT: &str = include_str!("../../../codepiper-core/testdata/claude-code/hooks/PreToolUse.Edit.json");

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
        bench.report.figure(&format!("{what}: rate"), "1/s", &rate);
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
    let project = lab.project();
    for folder in ["src", "build"] {
        std::fs::create_dir_all(project.join(folder))?;
    }
    for n in 0..FILES {
        std::fs::write(project.join(format!("src/part_{n}.rs")), "")?;
    }
    let project = project.display().to_string();
    let files = move |n: usize| {
        let file = n % FILES;
        let run = |command: String| COMMAND.replace("\"pwd\"", &Value::from(command).to_string());
        let event = match n % 7 {
            0 => READ.replace("data.txt", &format!("src/part_{file}.rs")),
            1 => EDIT.replace("data.txt", &format!("src/part_{file}.rs")),
            2 => run(format!("cat src/part_{file}.rs | head -50")),
            3 => run(format!("cargo test -p part_{n} > build/out_{n}.log 2>&1")),
            4 => run(format!("for f in src/*_{n}.rs; do wc -l $f; done")),
            5 => run(format!("rm -f build/*.o{n}")),
            _ => run(format!("git commit -m 'Change part {n}' src/part_{file}.rs")),
        };
        event.replace("/home/dev/project", &project)
    };
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

/// How many different files the calls are about.
const FILES: usize = 1000;

/// A thousand rules, none of which is for the call but the last.
fn rules_on_commands() -> Vec<Value> {
    let mut rules: Vec<Value> = (0..999)
        .map(|n| {
            let word = ["git", "npm", "docker", "kubectl", "rm"][n % 5];
            json!({ "action": "deny", "tool": "Bash", "args": { "command": format!("{word} blocked{n} *") } })
        })
        .collect();
    rules.push(json!({ "action": "allow", "tool": "Bash", "args": { "command": "pwd" } }));
    rules
}

/// A thousand rules in the ways people write them, nine of ten about files; only the last is for the calls.
fn rules_on_files() -> Vec<Value> {
    let mut rules: Vec<Value> = (0..999)
        .map(|n| {
            let (action, tools, pattern) = match n % 10 {
                0 | 1 => ("deny", json!(["Read", "Edit", "Write"]), format!("**/secret{n}/**")),
                2 | 3 => ("deny", json!("Read"), format!("/srv/app{n}/private/**")),
                4 | 5 => ("ask", json!(["Edit", "Write"]), format!("./generated{n}/**")),
                6 => ("deny", json!(["Read", "Write"]), format!("*.key{n}")),
                7 => ("allow", json!("Read"), format!("docs{n}/**/*.md")),
                8 => ("deny", json!("Read"), format!("~/.config/tool{n}/*")),
                _ => {
                    let pattern = format!("tool{n} *");
                    return json!({ "action": "deny", "tool": "Bash", "args": { "command": pattern } });
                }
            };
            json!({ "action": action, "tool": tools, "args": { "file_path": pattern } })
        })
        .collect();
    rules.push(json!({ "action": "allow", "tool": ["Bash", "Read", "Edit", "Write"] }));
    rules
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
