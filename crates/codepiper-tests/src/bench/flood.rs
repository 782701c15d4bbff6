//! A program that prints as fast as it can: what watching costs it, what it costs us, and whether it can be
//! stopped.

use super::machine::{is_alive, pane_processes, peak, reset_peak};
use super::processes::wire;
use super::raw_tmux::{self, ControlClient, PATIENCE};
use super::report::{Samples, at_most, ms};
use super::wire::{Wire, view};
use super::{Bench, beside};
use crate::lab::Lab;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SIZE: u64 = 50_000_000;

/// How long an endless flood runs before it is interrupted.
const BEFORE_INTERRUPT: Duration = Duration::from_millis(500);

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let (n, size) = (bench.count(21, 2), if bench.quick { SIZE / 5 } else { SIZE });
    let lab = bench.lab();
    let program = beside("floor")?;
    describe_provider(&lab, &program)?;
    lab.start_daemon();
    bench.demos(&lab, 1);
    let mut floods = Floods { wire: wire(&lab)?, lab: &lab, program, size, round: 0 };
    let (mut raw, mut piped) = (Samples::default(), Samples::default());
    let (mut unwatched, mut watched) = (Outcome::default(), Outcome::default());
    // Turn by turn, so that all see the same machine.
    for _ in 0..n {
        floods.raw(&mut raw, None)?;
        floods.raw(&mut piped, Some("exec cat > /dev/null"))?;
        floods.ours(bench, Viewer::Nobody, &mut unwatched)?;
        floods.ours(bench, Viewer::One, &mut watched)?;
    }
    let (mut raw_stop, mut stop) = (Samples::default(), Samples::default());
    for _ in 0..n {
        floods.interrupt_raw(&mut raw_stop)?;
        floods.interrupt(bench, &mut stop)?;
    }

    let report = &mut bench.report;
    let mb = size / 1_000_000;
    report.floor(&format!("{mb} MB through a raw pane, piped nowhere"), "ms", &raw);
    report.floor(&format!("{mb} MB through a raw pane, piped to `cat > /dev/null`"), "ms", &piped);
    report.figure(&format!("{mb} MB, recorded, watched by nobody"), "ms", &unwatched.time);
    let over = |of: &Samples| unwatched.time.p50() / of.p50();
    report.figure("the same over the piped floor's p50", "x", &Samples::one(over(&piped)));
    report.figure("the same over the bare floor's p50", "x", &Samples::one(over(&raw)));
    let ratio = watched.time.p50() / unwatched.time.p50();
    let targets = vec![at_most("p50 over that of watched by nobody", ratio, 1.05)];
    report.judged(&format!("{mb} MB, recorded and watched"), "ms", &watched.time, targets);
    let targets = vec![at_most("p50", watched.stale.p50(), 15.0)];
    report.judged("the viewer is behind at the end by", "ms", &watched.stale, targets);
    report.figure("most memory of the daemon meanwhile", "MB", &watched.daemon);
    report.figure("most memory of the recorder meanwhile", "MB", &watched.recorder);
    report.floor("ctrl+c to the program's end, raw control client", "ms", &raw_stop);
    report.figure("ctrl+c to the program's end, by the API, watched", "ms", &stop);
    Ok(())
}

enum Viewer {
    Nobody,
    One,
}

#[derive(Default)]
struct Outcome {
    /// From the program's first byte to its last, by its own clock.
    time: Samples,
    /// From the program's last byte to its arrival at the viewer.
    stale: Samples,
    daemon: Samples,
    recorder: Samples,
}

struct Floods<'a> {
    lab: &'a Lab,
    wire: Wire,
    program: PathBuf,
    size: u64,
    round: usize,
}

impl Floods<'_> {
    fn raw(&mut self, time: &mut Samples, pipe: Option<&str>) -> Result<()> {
        let (name, stamps) = self.next();
        let pane = self.raw_session(&name, self.size, &stamps)?;
        if let Some(command) = pipe {
            self.lab.tmux(["pipe-pane", "-O", "-t", &pane, command]);
        }
        self.lab.tmux(["send-keys", "-t", &pane, "Enter"]);
        let (began, ended) = self.stamps(&stamps)?;
        time.push_ms(ended - began);
        self.lab.tmux(["kill-session", "-t", &format!("={name}")]);
        Ok(())
    }

    fn ours(&mut self, bench: &Bench, viewer: Viewer, outcome: &mut Outcome) -> Result<()> {
        let (_, stamps) = self.next();
        let id = self.session(bench, self.size, &stamps);
        let (daemon, recorder) = (self.lab.daemon_pid(), self.recorder(&id)?);
        [daemon, recorder].into_iter().try_for_each(reset_peak)?;
        let arrivals = match viewer {
            Viewer::Nobody => None,
            Viewer::One => Some(view(&self.lab.path("s"), &id)?),
        };
        self.press(&id, "enter")?;
        let (began, ended) = self.stamps(&stamps)?;
        outcome.time.push_ms(ended - began);
        if let Some(arrivals) = arrivals {
            let last = loop {
                let arrival = arrivals.recv_timeout(PATIENCE).context("the end does not arrive")?;
                if arrival.is_end {
                    break arrival.at;
                }
            };
            // The two clocks tick alike; only their beginnings differ.
            let at = since_1970()?.saturating_sub(last.elapsed());
            outcome.stale.push(ms(at) - ms(ended));
        }
        outcome.daemon.push(peak(daemon)?);
        outcome.recorder.push(peak(recorder)?);
        self.remove(bench, &id);
        Ok(())
    }

    fn interrupt_raw(&mut self, time: &mut Samples) -> Result<()> {
        let (name, stamps) = self.next();
        let pane = self.raw_session(&name, 0, &stamps)?;
        // A control client of another session: the flood itself must not be in its way.
        let keeper = self.lab.tmux(["list-sessions", "-F", "#{session_name}"]);
        let keeper = String::from_utf8(keeper.stdout)?;
        let keeper = keeper.lines().find(|other| *other != name).context("no other session")?;
        let mut raw = ControlClient::attach(self.lab, keeper)?;
        let (_, pid) = raw.ask(&format!("display-message -p -t {pane} '#{{pane_pid}}'"))?;
        raw.ask(&format!("send-keys -t {pane} Enter"))?;
        std::thread::sleep(BEFORE_INTERRUPT);
        let began = Instant::now();
        raw.tell(&format!("send-keys -t {pane} C-c"))?;
        time.push_ms(gone(pid.trim().parse()?, began)?);
        self.lab.tmux(["kill-session", "-t", &format!("={name}")]);
        Ok(())
    }

    fn interrupt(&mut self, bench: &Bench, time: &mut Samples) -> Result<()> {
        let (_, stamps) = self.next();
        let id = self.session(bench, 0, &stamps);
        let pid = bench.wait(self.lab.show(&id))["pid"].as_u64().context("a pid")?;
        let _arrivals = view(&self.lab.path("s"), &id)?;
        self.press(&id, "enter")?;
        std::thread::sleep(BEFORE_INTERRUPT);
        let began = Instant::now();
        self.press(&id, "ctrl+c")?;
        time.push_ms(gone(pid as u32, began)?);
        self.remove(bench, &id);
        Ok(())
    }

    fn next(&mut self) -> (String, PathBuf) {
        self.round += 1;
        (format!("raw{}", self.round), self.lab.path(&format!("stamps{}", self.round)))
    }

    fn raw_session(&self, name: &str, size: u64, stamps: &Path) -> Result<String> {
        let command = format!("exec {} flood {size} {}", self.program.display(), stamps.display());
        let pane = raw_tmux::session(self.lab, name, &command)?;
        std::thread::sleep(Duration::from_millis(100)); // for its prompt
        Ok(pane)
    }

    fn session(&self, bench: &Bench, size: u64, stamps: &Path) -> String {
        let args = ["flood".to_owned(), size.to_string(), stamps.display().to_string()];
        let body = json!({ "provider": "flood", "cwd": self.lab.project(), "args": args });
        let id = bench.wait(self.lab.session(body));
        bench.wait(self.lab.wait_for_state(&id, "idle"));
        id
    }

    fn press(&mut self, id: &str, key: &str) -> Result<()> {
        self.wire.post(&format!("/sessions/{id}/keys"), &json!({ "keys": [key] })).map(drop)
    }

    fn remove(&self, bench: &Bench, id: &str) {
        bench.wait(self.lab.ok("POST", &format!("/sessions/{id}/kill"), Value::Null));
        bench.wait(self.lab.ok("DELETE", &format!("/sessions/{id}"), Value::Null));
    }

    fn recorder(&self, id: &str) -> Result<u32> {
        let folder = self.lab.path(&format!("home/sessions/{id}"));
        let found = pane_processes(&folder).into_iter().find(|(_, role)| role == "pane-record");
        found.map(|(pid, _)| pid).context("no recorder")
    }

    /// When the program began and ended, since 1970.
    fn stamps(&self, file: &Path) -> Result<(Duration, Duration)> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            if let Some((began, ended)) = text.trim().split_once(' ')
                && text.ends_with('\n')
            {
                return Ok((Duration::from_nanos(began.parse()?), Duration::from_nanos(ended.parse()?)));
            }
            std::thread::sleep(Duration::from_millis(20)); // another process's file, and the clock is in it
        }
        bail!("the flood does not end")
    }
}

fn describe_provider(lab: &Lab, program: &Path) -> Result<()> {
    let folder = lab.path("home/providers");
    std::fs::create_dir_all(&folder)?;
    let text = format!("id = 'flood'\nprogram = '{}'\n[screen]\nready = '^flood>'\n", program.display());
    Ok(std::fs::write(folder.join("flood.toml"), text)?)
}

fn gone(pid: u32, since: Instant) -> Result<Duration> {
    while is_alive(pid) {
        if since.elapsed() > PATIENCE {
            bail!("process {pid} does not end");
        }
        std::thread::sleep(Duration::from_micros(500)); // the end of somebody else's child
    }
    Ok(since.elapsed())
}

fn since_1970() -> Result<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}
