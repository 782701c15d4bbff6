//! `codepiper daemon`: run it, start it in the background, end it, ask how it is, read its log.

use crate::args::{DaemonArgs, DaemonCommand, Dashboard, Format};
use crate::client::{Client, Route};
use crate::output;
use codepiper_api::service::Health;
use codepiper_api::{Fault, Refusal, defaults};
use codepiper_daemon::config::Config;
use codepiper_daemon::{AlreadyRunning, Running, control};
use serde_json::json;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The line by which a daemon in the background says that it is ready.
const READY: &str = "ready";

/// Threads of the daemon. It waits far more than it works; a small machine has two cores.
const THREADS: usize = 2;

pub(super) fn run(args: DaemonArgs, socket: Option<PathBuf>) -> Result<(), Refusal> {
    no_dashboard(&args.dashboard)?;
    match args.command {
        None if args.detach => start(socket),
        None => foreground(socket, args.ready_line),
        Some(DaemonCommand::Start { detach, dashboard }) => {
            no_dashboard(&dashboard)?;
            if detach || args.detach { start(socket) } else { foreground(socket, args.ready_line) }
        }
        Some(DaemonCommand::Stop) => one_thread()?.block_on(stop(socket)),
        Some(DaemonCommand::Status(format)) => one_thread()?.block_on(status(socket, format)),
        Some(DaemonCommand::Restart) => {
            let runtime = one_thread()?;
            match runtime.block_on(stop(socket.clone())) {
                Err(refusal) if refusal.code != Fault::Unreachable => return Err(refusal),
                _ => {}
            }
            start(socket)
        }
        Some(DaemonCommand::Logs { lines, follow }) => logs(socket, lines, follow),
    }
}

/// Refuses what asks for the dashboard: a daemon that started all the same would let somebody wait for a page.
fn no_dashboard(dashboard: &Dashboard) -> Result<(), Refusal> {
    let typed: Vec<String> = dashboard.typed().into_iter().map(|option| format!("`{option}`")).collect();
    if typed.is_empty() {
        return Ok(());
    }
    let error =
        format!("the web dashboard is not in this release, so there is no {}", typed.join(" and no "));
    Err(Refusal::new(Fault::Usage, error).hint(
        "`codepiper daemon start --detach` starts the daemon without it; `codepiper sessions` shows what runs, \
         `codepiper attach ID` goes to a session, also over ssh",
    ))
}

/// What the daemon would be told here and now.
pub(super) fn config(socket: Option<PathBuf>) -> Result<Config, Refusal> {
    Config::new(socket, std::env::vars_os()).map_err(|error| Refusal::new(Fault::Usage, format!("{error:#}")))
}

pub(super) fn one_thread() -> Result<tokio::runtime::Runtime, Refusal> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_runtime)
}

fn no_runtime(error: std::io::Error) -> Refusal {
    Refusal::new(Fault::Internal, format!("cannot start the runtime: {error}"))
}

fn foreground(socket: Option<PathBuf>, ready_line: bool) -> Result<(), Refusal> {
    let config = config(socket)?;
    if ready_line {
        // In a session of its own the terminal it was started from cannot end it. It fails only where
        // that is so already.
        let _is_leader_already = rustix::process::setsid();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(no_runtime)?;
    let daemon = codepiper_daemon::run(config, !ready_line, move |running| {
        if ready_line {
            // Who waits for this line may have gone; the daemon stays.
            let _nobody_reads = writeln!(std::io::stdout(), "{READY}");
        } else {
            banner(running);
        }
    });
    // Not on the thread that waits here: a worker takes a connection where it noticed it, and wakes nobody.
    let outcome = runtime.block_on(runtime.spawn(daemon));
    let outcome = outcome.unwrap_or_else(|panic| Err(panic.into()));
    outcome.map_err(|error| match error.downcast_ref::<AlreadyRunning>() {
        Some(running) => Refusal::new(Fault::Conflict, running.to_string())
            .hint("`codepiper daemon status` shows it, `codepiper daemon restart` starts it anew"),
        None => Refusal::new(Fault::Internal, format!("{error:#}")),
    })
}

fn banner(running: &Running) {
    let config = &running.config;
    if !std::io::stderr().is_terminal() {
        return;
    }
    output::say(&format!("✓ Daemon started on {}", config.socket.display()));
    output::say(&format!("  log       {}", config.log_file().display()));
    output::say(&format!("  sessions  {} live", running.live_sessions));
    output::say("  Ctrl+C ends the daemon; sessions go on without it");
}

fn start(socket: Option<PathBuf>) -> Result<(), Refusal> {
    let config = config(socket)?;
    let failed =
        |error: std::io::Error| Refusal::new(Fault::Internal, format!("cannot start the daemon: {error}"));
    let mut child = Command::new(&config.codepiper)
        .args(["daemon", "--ready-line", "--socket"])
        .arg(&config.socket)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).map_err(failed)?;
    }
    if line.trim() == READY {
        return output::done(&format!("daemon started on {} (pid {})", config.socket.display(), child.id()));
    }
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut said).map_err(failed)?;
    }
    let status = child.wait().map_err(failed)?;
    let mut lines = said.lines().map(|line| line.trim_start_matches("error: ").trim_start_matches("hint: "));
    let why = lines.next().map_or_else(|| format!("the daemon ended ({status})"), str::to_owned);
    let fault = match status.code() {
        Some(5) => Fault::Conflict,
        Some(2) => Fault::Usage,
        _ => Fault::Internal,
    };
    let refusal = Refusal::new(fault, why);
    Err(match lines.next() {
        Some(hint) => refusal.hint(hint),
        None => refusal.hint(format!("its log is {}", config.log_file().display())),
    })
}

async fn health(socket: Option<PathBuf>) -> Result<Health, Refusal> {
    Client::new(defaults::socket(socket)).get(Route::new("/health")).await
}

async fn stop(socket: Option<PathBuf>) -> Result<(), Refusal> {
    let health = health(socket).await?;
    if !control::stop(health.pid).await {
        return Err(Refusal::new(Fault::Internal, format!("the daemon (pid {}) does not end", health.pid))
            .hint(format!("its log is {}", health.log.display())));
    }
    match health.live_sessions {
        0 => output::done("daemon stopped"),
        1 => output::done("daemon stopped; 1 session goes on without it"),
        live => output::done(&format!("daemon stopped; {live} sessions go on without it")),
    }
}

async fn status(socket: Option<PathBuf>, format: Format) -> Result<(), Refusal> {
    let health = match health(socket.clone()).await {
        Ok(health) => health,
        Err(refusal) => {
            if format.json() {
                output::print_json(&json!({ "running": false, "socket": defaults::socket(socket) }))?;
            }
            return Err(refusal);
        }
    };
    if format.json() {
        let mut shown = json!(health);
        shown["running"] = json!(true);
        return output::print_json(&shown);
    }
    let up = output::short(jiff::SignedDuration::from_secs(health.uptime_seconds as i64));
    let up = up.unwrap_or_else(|| "a moment".into());
    output::print(&format!(
        "Daemon    running (pid {}, version {}, up {up})\nSocket    {}\nDatabase  {}\nLog       {}\n\
         Sessions  {} live\ntmux      by {}\n",
        health.pid,
        health.version,
        health.socket.display(),
        health.database.display(),
        health.log.display(),
        health.live_sessions,
        health.tmux_link,
    ))
}

fn logs(socket: Option<PathBuf>, lines: u32, follow: bool) -> Result<(), Refusal> {
    let file = config(socket)?.log_file();
    let (text, end) = control::last_log_lines(&file, lines as usize).map_err(|error| {
        Refusal::new(Fault::Missing, format!("the log `{}` cannot be read: {error}", file.display()))
            .hint("the daemon writes it at its first start")
    })?;
    output::print(&text)?;
    if !follow {
        return Ok(());
    }
    let following = async {
        let take = |bytes: &[u8]| output::print_bytes(bytes).is_ok();
        control::follow_log(&file, end, take)
            .await
            .map_err(|error| Refusal::new(Fault::Internal, format!("following the log: {error:#}")))
    };
    one_thread()?.block_on(super::until_interrupted(following))
}
