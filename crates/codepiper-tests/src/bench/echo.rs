//! From a key to its echo at a viewer, at the pace of a person.

use super::Bench;
use super::processes::wire;
use super::raw_tmux::{self, ControlClient, PATIENCE};
use super::report::{Samples, at_most};
use super::wire::{Arrival, view};
use crate::lab::{Lab, codepiper};
use anyhow::{Context, Result};
use serde_json::json;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// Busy sessions in the second half; each prints a word every 5 ms.
const BUSY: usize = 20;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let n = bench.count(300, 20);
    let lab = bench.lab();
    lab.start_daemon();
    let id = bench.demos(&lab, 1).remove(0);
    // The same agent in a pane of its own, without us.
    let command = format!("HOME={} exec {} demo-agent", lab.path("person").display(), codepiper().display());
    let pane = raw_tmux::session(&lab, "raw", &command)?;
    let mut raw = ControlClient::attach(&lab, "raw")?;
    let piped = raw_tmux::piped(&lab, &pane)?;
    let viewer = view(&lab.path("s"), &id)?;
    let mut wire = wire(&lab)?;

    for busy in [0, BUSY] {
        for id in bench.demos(&lab, busy) {
            bench.wait(lab.send(&id, "STREAM: 100000 5"));
        }
        std::thread::sleep(Duration::from_secs(2)); // for screens to be drawn
        let press = |key: &str| format!("send-keys -t {pane} {key}");
        let by_output = echo_raw(&mut raw, &press, n)?;
        let by_pipe = measure(&piped, n, |key| raw.tell(&press(key)))?;
        let path = format!("/sessions/{id}/keys");
        let ours = measure(&viewer, n, |key| wire.post(&path, &json!({ "keys": [key] })).map(drop))?;
        let beside = if busy == 0 { "alone".to_owned() } else { format!("beside {busy} busy sessions") };
        bench.report.floor(&format!("raw control client, {beside}"), "ms", &by_output);
        bench.report.floor(&format!("raw control client to a piped reader, {beside}"), "ms", &by_pipe);
        let over = |percent| ours.percentile(percent) - by_output.percentile(percent);
        let targets = match busy {
            0 => vec![at_most("p50 over the floor", over(50.0), 2.0)],
            _ => vec![
                at_most("p50 over the floor", over(50.0), 2.0),
                at_most("p99 over the floor", over(99.0), 8.0),
            ],
        };
        bench.report.judged(&format!("API to a viewer of the stream, {beside}"), "ms", &ours, targets);
    }
    daemon_cost(bench, &lab)
}

/// What 20 busy sessions cost the daemon.
fn daemon_cost(bench: &mut Bench, lab: &Lab) -> Result<()> {
    let seconds = if bench.quick { 1 } else { 5 };
    let daemon = lab.daemon_pid();
    let before = super::machine::cpu(daemon)?;
    std::thread::sleep(Duration::from_secs(seconds));
    let spent = (super::machine::cpu(daemon)? - before).as_secs_f64() / seconds as f64 * 100.0;
    bench.report.figure(&format!("CPU of the daemon with {BUSY} busy sessions"), "%", &Samples::one(spent));
    Ok(())
}

fn echo_raw(raw: &mut ControlClient, press: &impl Fn(&str) -> String, n: usize) -> Result<Samples> {
    let mut samples = Samples::default();
    for round in 0..n {
        pause(round);
        while raw.output.try_recv().is_ok() {}
        let began = Instant::now();
        raw.tell(&press(key(round)))?;
        samples.push_ms(raw.output.recv_timeout(PATIENCE).context("no echo")?.at - began);
    }
    Ok(samples)
}

fn measure(
    arrivals: &Receiver<Arrival>,
    n: usize,
    mut press: impl FnMut(&str) -> Result<()>,
) -> Result<Samples> {
    let mut samples = Samples::default();
    for round in 0..n {
        pause(round);
        while arrivals.try_recv().is_ok() {}
        let began = Instant::now();
        press(key(round))?;
        samples.push_ms(arrivals.recv_timeout(PATIENCE).context("no echo")?.at - began);
    }
    Ok(samples)
}

/// The line never gets long.
fn key(round: usize) -> &'static str {
    if round.is_multiple_of(2) { "x" } else { "BSpace" }
}

/// Between two keys: a fast typist's, and never in step with anything.
fn pause(round: usize) {
    std::thread::sleep(Duration::from_millis(20 + (round * 7 % 13) as u64));
}
