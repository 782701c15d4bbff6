//! Processes from spawn to what they are for: the daemon's ready line, a command's answer, a hook delivered.

use super::report::{Samples, at_most};
use super::wire::Wire;
use super::{Bench, beside};
use anyhow::{Context, Result, bail};
use codepiper_store::Connection;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// A hook event as Claude Code sends it for every tool call.
pub(super) const EVENT: &str =
    include_str!("../../../codepiper-core/testdata/claude-code/hooks/PostToolUse.Bash.json");

pub(super) fn start(bench: &mut Bench) -> Result<()> {
    let n = bench.count(40, 5);
    let (mut first, mut again, mut floor) = (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..n.div_ceil(4) {
        let lab = bench.lab();
        let began = Instant::now();
        lab.start_daemon();
        first.push_ms(began.elapsed());
        lab.stop_daemon();
        for _ in 0..4 {
            floor.extend(walls(1, || lab.command(["--version"]), b"")?);
            let began = Instant::now();
            lab.start_daemon();
            again.push_ms(began.elapsed());
            lab.stop_daemon();
        }
    }
    bench.report.floor("`codepiper --version`", "ms", &floor);
    bench.report.figure("the very first start, which makes the database", "ms", &first);
    bench.report.judged("a start", "ms", &again, vec![at_most("p50", again.p50(), 30.0)]);
    Ok(())
}

pub(super) fn cli(bench: &mut Bench) -> Result<()> {
    let n = bench.count(300, 20);
    let lab = bench.lab();
    lab.start_daemon();
    bench.demos(&lab, 10);
    let bare = walls(n, || Command::new("/bin/true"), b"")?;
    let version = walls(n, || lab.command(["--version"]), b"")?;
    let sessions = walls(n, || lab.command(["sessions"]), b"")?;
    bench.report.floor("`/bin/true`", "ms", &bare);
    bench.report.floor("`codepiper --version`", "ms", &version);
    bench.report.judged(
        "`codepiper sessions` with 10 sessions",
        "ms",
        &sessions,
        vec![at_most("p50", sessions.p50(), 3.0)],
    );
    Ok(())
}

pub(super) fn hook_helper(bench: &mut Bench) -> Result<()> {
    let n = bench.count(500, 30);
    let lab = bench.lab();
    lab.start_daemon();
    let id = bench.demos(&lab, 1).remove(0);
    let agent = bench.wait(lab.show(&id))["pid"].as_u64().context("a pid")?;
    let environment = hook_environment(agent as u32)?;
    let echo = lab.path("e");
    serve_floor(&echo, &lab.path("floor.db"))?;
    let floor_program = beside("floor")?;
    let floor_command = || {
        let mut command = Command::new(&floor_program);
        command.arg("post").arg(&echo);
        command
    };
    let helper_command = || {
        let mut command = lab.command(["hook"]);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command
    };
    for busy in [0, BUSY] {
        for id in bench.demos(&lab, busy) {
            bench.wait(lab.send(&id, "STREAM: 100000 5"));
        }
        // Turn by turn, so that all see the same machine.
        let (mut floor, mut version, mut helper) =
            (Samples::default(), Samples::default(), Samples::default());
        let before = bench.wait(lab.last_event());
        for _ in 0..n {
            floor.extend(walls(1, floor_command, EVENT.as_bytes())?);
            version.extend(walls(1, || lab.command(["--version"]), b"")?);
            helper.extend(walls(1, helper_command, EVENT.as_bytes())?);
        }
        let stored = bench.wait(lab.last_event()) - before;
        if stored < n as u64 {
            bail!("{n} events were sent and {stored} stored");
        }
        let beside = if busy == 0 { "alone".to_owned() } else { format!("{busy} busy") };
        bench.report.floor(&format!("a bare process, one committed round trip, {beside}"), "ms", &floor);
        bench.report.floor(&format!("`codepiper --version`, {beside}"), "ms", &version);
        bench.report.judged(
            &format!("the helper, its event committed, {beside}"),
            "ms",
            &helper,
            vec![at_most("p50 over the floor's", helper.p50() / floor.p50(), 1.5)],
        );
    }
    Ok(())
}

/// Busy sessions in the second half; each prints a word every 5 ms.
const BUSY: usize = 10;

/// The variables of an agent by which its hooks report.
pub(super) fn hook_environment(agent: u32) -> Result<Vec<(String, String)>> {
    let environment = std::fs::read(format!("/proc/{agent}/environ"))?;
    let entries = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let ours = entries.filter_map(|entry| {
        let (name, value) = entry.split_once('=')?;
        name.starts_with("CODEPIPER_").then(|| (name.to_owned(), value.to_owned()))
    });
    Ok(ours.collect())
}

/// Spawn to exit, so many times.
fn walls(n: usize, command: impl Fn() -> Command, input: &[u8]) -> Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..n {
        let mut command = command();
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let began = Instant::now();
        let mut child = command.spawn()?;
        child.stdin.take().context("piped")?.write_all(input).or_else(|error| match input.is_empty() {
            true => Ok(()),
            false => Err(error),
        })?;
        let status = child.wait()?;
        samples.push_ms(began.elapsed());
        if !status.success() {
            bail!("{command:?} ended with {status}");
        }
    }
    Ok(samples)
}

/// The least a daemon can do for an event: read it, commit it, say so. One thread a connection, one database.
pub(super) fn serve_floor(socket: &Path, database: &Path) -> Result<()> {
    let listener = UnixListener::bind(socket)?;
    let database = Connection::open(database)?;
    database.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE events (body)",
    )?;
    let database = std::sync::Arc::new(std::sync::Mutex::new(database));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), database) = (stream, database.clone()) else { return };
            std::thread::spawn(move || {
                let mut length = [0; 4];
                while stream.read_exact(&mut length).is_ok() {
                    let mut body = vec![0; u32::from_le_bytes(length) as usize];
                    let text = |body: Vec<u8>| String::from_utf8_lossy(&body).into_owned();
                    let stored = stream.read_exact(&mut body).is_ok()
                        && database.lock().is_ok_and(|database| {
                            let insert = database.prepare_cached("INSERT INTO events VALUES (?1)");
                            insert.is_ok_and(|mut insert| insert.execute([text(body)]).is_ok())
                        });
                    if !stored || stream.write_all(b"1").is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(())
}

/// A connection to the daemon of a lab.
pub(super) fn wire(lab: &crate::lab::Lab) -> Result<Wire> {
    Wire::connect(&lab.path("s"))
}
