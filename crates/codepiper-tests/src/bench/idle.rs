//! What sessions cost that do nothing, and how soon a daemon has them back.

use super::Bench;
use super::machine::{cpu, memory, pane_processes};
use super::processes::wire;
use super::report::{Samples, at_most};
use crate::lab::Lab;
use anyhow::Result;
use std::time::{Duration, Instant};

/// For screens to be drawn and first looks to be over.
const SETTLE: Duration = Duration::from_secs(2);

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let watched_for = Duration::from_secs(if bench.quick { 2 } else { 10 });
    let counts: &[usize] = if bench.quick { &[0, 10] } else { &[0, 10, 50] };
    let lab = bench.lab();
    lab.start_daemon();
    let mut there = 0;
    for &count in counts {
        bench.demos(&lab, count - there);
        there = count;
        std::thread::sleep(SETTLE);
        let daemon = lab.daemon_pid();
        let others = pane_processes(&lab.path(""));
        let busy = |pids: &[u32]| pids.iter().map(|pid| cpu(*pid)).sum::<Result<Duration>>();
        let pids: Vec<u32> = others.iter().map(|(pid, _)| *pid).chain([daemon]).collect();
        let (before, before_all, began) = (cpu(daemon)?, busy(&pids)?, Instant::now());
        std::thread::sleep(watched_for);
        let percent =
            |spent: Duration| Samples::one(spent.as_secs_f64() / began.elapsed().as_secs_f64() * 100.0);
        let (alone, all) = (percent(cpu(daemon)? - before), percent(busy(&pids)? - before_all));
        let most_mb = 30.0 + count as f64;
        let (rss, _) = memory(daemon)?;
        let memory_target = vec![at_most("", rss, most_mb)];
        let name = |what: &str| format!("{count:>2} sessions: {what}");
        bench.report.figure(&name("control: CPU of the daemon for a request"), "ms", &a_request(&lab)?);
        bench.report.judged(&name("memory of the daemon"), "MB", &Samples::one(rss), memory_target);
        if count > 0 {
            let (mut sum, mut share) = (0.0, 0.0);
            for pid in &pids {
                let (rss, pss) = memory(*pid)?;
                (sum, share) = (sum + rss, share + pss);
            }
            let share_target = vec![at_most("", share, most_mb)];
            let what = name("with supervisors and recorders, shared pages once");
            bench.report.judged(&what, "MB", &Samples::one(share), share_target);
            bench.report.figure(&name("the same, shared pages in each"), "MB", &Samples::one(sum));
        }
        let target =
            |value: &Samples| if count == 50 { vec![at_most("", value.p50(), 1.0)] } else { Vec::new() };
        let targets = target(&alone);
        bench.report.judged(&name("CPU of the daemon"), "%", &alone, targets);
        if count > 0 {
            let targets = target(&all);
            bench.report.judged(&name("CPU with supervisors and recorders"), "%", &all, targets);
        }
    }
    Ok(())
}

/// Shows that the meter counts: an idle daemon may use no CPU at all, and so would a meter that is broken.
fn a_request(lab: &Lab) -> Result<Samples> {
    const REQUESTS: u32 = 100;
    let mut wire = wire(lab)?;
    let before = cpu(lab.daemon_pid())?;
    for _ in 0..REQUESTS {
        wire.ask("GET", "/sessions", "", &[])?;
    }
    let spent = cpu(lab.daemon_pid())? - before;
    anyhow::ensure!(spent > Duration::ZERO, "the meter of CPU time stands still");
    Ok(Samples::one(spent.as_secs_f64() * 1e3 / f64::from(REQUESTS)))
}

pub(super) fn adopt(bench: &mut Bench) -> Result<()> {
    let (n, count) = (bench.count(10, 2), bench.count(50, 10));
    let lab = bench.lab();
    lab.start_daemon();
    bench.demos(&lab, count);
    let mut samples = Samples::default();
    for _ in 0..n {
        lab.kill_daemon();
        let began = Instant::now();
        lab.start_daemon();
        samples.push_ms(began.elapsed());
        let health = bench.wait(lab.ok("GET", "/health", serde_json::Value::Null));
        anyhow::ensure!(health["liveSessions"] == count, "{health}");
    }
    let target = vec![at_most("p50", samples.p50(), 1_000.0)];
    bench.report.judged(
        &format!("killed and started with {count} sessions, to ready"),
        "ms",
        &samples,
        target,
    );
    Ok(())
}
