//! The pane's own process: starts the agent with its exact environment, waits for its end, writes down how
//! it ended, and leaves no process of it behind.
//!
//! It stays in the agent's process group, so keys like ctrl+c reach the agent as in any terminal, and it
//! catches those signals instead of ignoring them, because what is ignored stays ignored in the agent. On
//! Linux it is the reaper of everything the agent starts: whoever detaches itself still belongs to it.

use super::{read_run_file, write_whole};
use crate::processes;
use codepiper_core::launch::{CompanionFile, LaunchFile, ProcessRef, RunFile};
use codepiper_core::session::Exit;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, wait};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1};
use signal_hook::iterator::Signals;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a companion may take to listen. Codex's app server takes a fifth of a second.
const COMPANION_TIME_MAX: Duration = Duration::from_secs(20);

/// How often a companion's socket is tried; nothing tells when a process starts to listen.
const COMPANION_RETRY: Duration = Duration::from_millis(10);

/// What processes the agent left behind may take to end after SIGTERM.
const LEFTOVER_GRACE: Duration = Duration::from_millis(500);

/// Rounds of killing what is left. Each round finds what forked during the one before.
const KILL_ROUNDS: usize = 50;

/// Variables that tmux gives to the pane and the agent needs.
const FROM_TMUX: [&str; 5] = ["TMUX", "TMUX_PANE", "TERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION"];

/// Runs `codepiper pane-supervise <launch file>`.
pub fn supervise(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(path) = arguments.next() else {
        eprintln!("codepiper: the launch file is missing");
        return ExitCode::from(2);
    };
    let launch = match take_launch_file(Path::new(&path)) {
        Ok(launch) => launch,
        Err(error) => {
            eprintln!("codepiper: cannot read the launch file: {error}");
            return ExitCode::from(1);
        }
    };
    let exit = Supervisor::new(&launch).and_then(|supervisor| supervisor.run(&launch));
    match exit {
        Ok(Exit::Code(code)) => ExitCode::from(code.clamp(0, 255) as u8),
        Ok(Exit::Signal(signal)) => ExitCode::from((128 + signal).clamp(0, 255) as u8),
        Ok(Exit::Unseen) => ExitCode::from(1),
        Err(error) => {
            // Read by the person who looks at the pane; the daemon reads the run file.
            eprintln!("codepiper: {error}");
            ExitCode::from(127)
        }
    }
}

fn take_launch_file(path: &Path) -> io::Result<LaunchFile> {
    let bytes = fs::read(path)?;
    fs::remove_file(path)?;
    Ok(serde_json::from_slice(&bytes)?)
}

struct Supervisor {
    run_file: RunFile,
    signals: Receiver<i32>,
}

impl Supervisor {
    fn new(launch: &LaunchFile) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        rustix::process::set_child_subreaper(Some(getpid()))?;
        let mut caught = Signals::new([SIGCHLD, SIGTERM, SIGHUP, SIGUSR1, SIGINT, SIGQUIT, SIGTSTP])?;
        let (sender, signals) = mpsc::channel();
        thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in caught.forever() {
                if sender.send(signal).is_err() {
                    return;
                }
            }
        })?;
        let pid = getpid().as_raw_pid() as u32;
        let supervisor = ProcessRef { pid, started: processes::start_time(pid).unwrap_or(0) };
        let run_file =
            RunFile { launch: launch.launch.clone(), supervisor, agent: None, exit: None, failure: None };
        Ok(Self { run_file, signals })
    }

    fn run(mut self, launch: &LaunchFile) -> io::Result<Exit> {
        self.write(launch)?;
        let started = self.start(launch);
        let agent = match started {
            Ok(agent) => agent,
            Err(error) => {
                self.end_leftovers();
                self.run_file.failure = Some(error.to_string());
                self.run_file.exit = Some(Exit::Code(127));
                self.write(launch)?;
                return Err(error);
            }
        };
        let exit = self.watch(agent, Duration::from_millis(launch.grace_ms));
        self.end_leftovers();
        put_terminal_in_order();
        self.run_file.exit = Some(exit);
        self.write(launch)?;
        Ok(exit)
    }

    fn start(&mut self, launch: &LaunchFile) -> io::Result<Pid> {
        if let Some(companion) = &launch.companion {
            start_companion(launch, companion)?;
        }
        let mut command = command(launch, &launch.argv)?;
        let child = command.spawn().map_err(|error| named(error, &launch.argv))?;
        let pid = child.id();
        self.run_file.agent = Some(ProcessRef { pid, started: processes::start_time(pid).unwrap_or(0) });
        self.write(launch)?;
        Pid::from_raw(pid as i32).ok_or_else(|| io::Error::other("the agent has no pid"))
    }

    /// Waits for the agent's end, and helps it along when asked.
    fn watch(&self, agent: Pid, grace: Duration) -> Exit {
        let mut deadline: Option<Instant> = None;
        loop {
            if let Some(exit) = reap(Some(agent)) {
                return exit;
            }
            let wait = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            match receive(&self.signals, wait) {
                Ok(SIGTERM | SIGHUP) if deadline.is_none() => {
                    // A hung-up terminal told the agent itself already; SIGTERM is plainer.
                    signal_to(agent, Signal::TERM);
                    signal_to(agent, Signal::CONT);
                    deadline = Some(Instant::now() + grace);
                }
                Ok(SIGUSR1) | Err(RecvTimeoutError::Timeout) => {
                    signal_to(agent, Signal::KILL);
                    deadline = None;
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return Exit::Unseen,
            }
        }
    }

    /// Ends what the agent started and left: asked first, killed after [`LEFTOVER_GRACE`].
    fn end_leftovers(&self) {
        let me = self.run_file.supervisor.pid;
        let asked = Instant::now();
        for pid in processes::descendants(me) {
            signal_to(pid, Signal::TERM);
            signal_to(pid, Signal::CONT);
        }
        loop {
            reap(None);
            let left = LEFTOVER_GRACE.saturating_sub(asked.elapsed());
            if processes::descendants(me).is_empty() {
                return;
            }
            if left.is_zero() || receive(&self.signals, Some(left)) == Ok(SIGUSR1) {
                break;
            }
        }
        for _ in 0..KILL_ROUNDS {
            let left = processes::descendants(me);
            if left.is_empty() {
                return;
            }
            left.into_iter().for_each(|pid| signal_to(pid, Signal::KILL));
            let _signal_or_time = receive(&self.signals, Some(Duration::from_millis(10)));
            reap(None);
        }
    }

    fn write(&self, launch: &LaunchFile) -> io::Result<()> {
        write_whole(&launch.run_file, &serde_json::to_vec(&self.run_file)?)?;
        debug_assert!(read_run_file(&launch.run_file).is_some());
        Ok(())
    }
}

/// Takes back the modes that an agent leaves behind when it cannot end by itself: reports of focus and mouse, and
/// pastes in brackets.
///
/// tmux 3.3a tells a pane in focus mode who looks at it, even when it is dead, and dies of that with all its
/// sessions: an `attach` to a killed Claude Code would end everything (reproduced; `window_pane_update_focus` writes
/// to the closed pane).
fn put_terminal_in_order() {
    const MODES_OFF: &[u8] = b"\x1b[?1004l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[0m";
    // Not to wait for a person who stopped the output with ctrl+s.
    let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let terminal = rustix::fs::open("/dev/tty", flags, Mode::empty());
    let _hung_up = terminal.and_then(|terminal| rustix::io::write(terminal, MODES_OFF));
}

fn receive(signals: &Receiver<i32>, wait: Option<Duration>) -> Result<i32, RecvTimeoutError> {
    match wait {
        Some(wait) => signals.recv_timeout(wait),
        None => signals.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}

/// Collects every child that ended; gives the end of the one asked for.
fn reap(wanted: Option<Pid>) -> Option<Exit> {
    let mut found = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if Some(pid) == wanted {
            found = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Some(Exit::Code(code)),
                (_, Some(signal)) => Some(Exit::Signal(signal)),
                _ => Some(Exit::Unseen),
            };
        }
    }
    found
}

/// Sends a signal; a process that is gone needs none.
fn signal_to(pid: Pid, signal: Signal) {
    let _gone = kill_process(pid, signal);
}

fn command(launch: &LaunchFile, argv: &[String]) -> io::Result<Command> {
    let (program, arguments) =
        argv.split_first().ok_or_else(|| io::Error::other("the launch file names no program"))?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&launch.cwd).env_clear().envs(&launch.environment);
    for name in FROM_TMUX {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    Ok(command)
}

fn start_companion(launch: &LaunchFile, companion: &CompanionFile) -> io::Result<()> {
    let log = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&companion.log)?;
    if let Err(error) = fs::remove_file(&companion.ready_socket)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut child = command(launch, &companion.argv)?
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .map_err(|error| named(error, &companion.argv))?;
    let started = Instant::now();
    while UnixStream::connect(&companion.ready_socket).is_err() {
        if let Some(status) = child.try_wait()? {
            let log = companion.log.display();
            return Err(io::Error::other(format!(
                "`{}` ended ({status}); see {log}",
                companion.argv.join(" ")
            )));
        }
        if started.elapsed() > COMPANION_TIME_MAX {
            let secs = COMPANION_TIME_MAX.as_secs();
            return Err(io::Error::other(format!(
                "`{}` did not listen within {secs} s",
                companion.argv.join(" ")
            )));
        }
        thread::sleep(COMPANION_RETRY);
    }
    Ok(())
}

fn named(error: io::Error, argv: &[String]) -> io::Error {
    let program = argv.first().map_or("", String::as_str);
    io::Error::new(error.kind(), format!("cannot start `{program}`: {error}"))
}
