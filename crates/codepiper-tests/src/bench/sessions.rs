//! A session from the request to its end.

use super::Bench;
use super::beside;
use super::machine::is_alive;
use super::processes::wire;
use super::raw_tmux::{self, ControlClient};
use super::report::{Samples, at_most};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::time::Instant;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let n = bench.count(60, 8);
    let lab = bench.lab();
    lab.start_daemon();
    bench.demos(&lab, 1); // tmux runs, as it does all day
    let mut wire = wire(&lab)?;
    let program = beside("floor")?;
    raw_tmux::session(&lab, "keeper", &format!("exec {} wait", program.display()))?;
    let mut raw = ControlClient::attach(&lab, "keeper")?;

    let (mut floor, mut running, mut idle, mut stop) =
        (Samples::default(), Samples::default(), Samples::default(), Samples::default());
    for round in 0..n {
        let new = format!(
            "new-session -d -P -F '#{{pane_pid}}' -s raw{round} -x 120 -y 30 -- {} wait",
            program.display()
        );
        let began = Instant::now();
        let (at, answer) = raw.ask(&new)?;
        floor.push_ms(at - began);
        ensure!(answer.trim().parse::<u32>().is_ok_and(is_alive), "tmux answered {answer}");
        raw.ask(&format!("kill-session -t =raw{round}"))?;

        let body = json!({ "provider": "demo", "cwd": lab.project() });
        let began = Instant::now();
        let answer = wire.post("/sessions", &body)?;
        running.push_ms(began.elapsed());
        let pid = answer["session"]["pid"].as_u64().context("the answer names no process")?;
        ensure!(is_alive(pid as u32), "process {pid} is not there");
        let id = answer["session"]["id"].as_str().context("an id")?.to_owned();
        bench.wait(lab.wait_for_state(&id, "idle"));
        idle.push_ms(began.elapsed());

        let began = Instant::now();
        wire.post(&format!("/sessions/{id}/stop"), &json!({}))?;
        stop.push_ms(began.elapsed());
        ensure!(!is_alive(pid as u32), "process {pid} is still there");
        bench.wait(lab.ok("DELETE", &format!("/sessions/{id}"), serde_json::Value::Null));
    }
    let mut stop_full = Samples::default();
    for _ in 0..n.div_ceil(10) {
        let id = bench.demos(&lab, 1).remove(0);
        bench.wait(lab.turn(&id, "FLOOD: 20M"));
        let began = Instant::now();
        wire.post(&format!("/sessions/{id}/stop"), &json!({}))?;
        stop_full.push_ms(began.elapsed());
        bench.wait(lab.ok("DELETE", &format!("/sessions/{id}"), serde_json::Value::Null));
    }
    bench.report.floor("raw tmux, a session with a bare process", "ms", &floor);
    let targets = vec![at_most("p50", running.p50(), 20.0)];
    bench.report.judged("created, its agent's process running", "ms", &running, targets);
    bench.report.figure("created, the agent idle at its prompt", "ms", &idle);
    let targets = vec![at_most("p50", stop.p50(), 60.0)];
    bench.report.judged("stop of an agent that obeys, all of it gone", "ms", &stop, targets);
    let targets = vec![at_most("p50", stop_full.p50(), 60.0)];
    bench.report.judged("the same after 20 MB of output", "ms", &stop_full, targets);
    Ok(())
}
