//! A shell command we started: hook, status line or tool. Its pipes are polled with everything else, so that
//! nothing here ever waits.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process_group};

/// Output kept of one stream: a hook's answer is small, and of a tool's output the rest is only counted.
const KEPT_MAX: usize = 4 << 20;

/// Read at a time, so that a chatty child does not keep us from the keyboard.
const READ_BYTES: usize = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChildId(pub(super) u64);

pub(super) struct Child {
    pub(super) id: ChildId,
    pub(super) command: String,
    pub(super) started: Instant,
    process: std::process::Child,
    stdin: Option<(ChildStdin, Vec<u8>)>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    deadline: Option<Instant>,
    pub(super) out: Vec<u8>,
    pub(super) err: Vec<u8>,
    /// Both streams as they came, for showing; taken by who shows it.
    pub(super) mixed: Vec<u8>,
    pub(super) end: Option<End>,
    /// Nobody waits for it: forget it when it has ended.
    pub(super) forgotten: bool,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Exit code; 128 + n for signal n, as a shell has it.
    Exited(i32),
    TimedOut,
}

impl Child {
    /// Starts `sh -c command` in a process group of its own.
    pub(super) fn start(
        id: ChildId,
        command: &str,
        cwd: &Path,
        input: Vec<u8>,
        timeout: Option<Duration>,
    ) -> std::io::Result<Self> {
        let started = Instant::now();
        let mut process = Command::new("sh")
            .args(["-c", command])
            .current_dir(cwd)
            .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take();
        let stderr = process.stderr.take();
        stdin.as_ref().map(nonblocking).transpose()?;
        stdout.as_ref().map(nonblocking).transpose()?;
        stderr.as_ref().map(nonblocking).transpose()?;
        Ok(Self {
            id,
            command: command.to_owned(),
            started,
            process,
            stdin: stdin.map(|stdin| (stdin, input)),
            stdout,
            stderr,
            deadline: timeout.map(|timeout| started + timeout),
            out: Vec::new(),
            err: Vec::new(),
            mixed: Vec::new(),
            end: None,
            forgotten: false,
        })
    }

    pub(super) fn poll_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        if let Some((stdin, _)) = &self.stdin {
            fds.push(PollFd::new(stdin, PollFlags::OUT));
        }
        if let Some(stdout) = &self.stdout {
            fds.push(PollFd::new(stdout, PollFlags::IN));
        }
        if let Some(stderr) = &self.stderr {
            fds.push(PollFd::new(stderr, PollFlags::IN));
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline.filter(|_| self.end.is_none())
    }

    /// Does what can be done without waiting.
    pub(super) fn advance(&mut self) {
        if self.end.is_some() {
            return;
        }
        self.feed();
        // Asked before reading: what it wrote before it ended is then read below.
        let ended = self.process.try_wait();
        let last = matches!(ended, Ok(Some(_)) | Err(_));
        drain(&mut self.stdout, &mut self.out, &mut self.mixed, last);
        drain(&mut self.stderr, &mut self.err, &mut self.mixed, last);
        match ended {
            Ok(Some(status)) => {
                let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
                self.finish(End::Exited(code));
            }
            Ok(None) if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                self.kill(Signal::KILL);
                self.finish(End::TimedOut);
            }
            Ok(None) => {}
            Err(_) => self.finish(End::Exited(1)),
        }
    }

    /// Signals the whole group.
    pub(super) fn kill(&self, signal: Signal) {
        if self.end.is_none()
            && let Some(pid) = Pid::from_raw(self.process.id().cast_signed())
        {
            // It may have ended meanwhile.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Kills it and waits for its end, which SIGKILL makes immediate.
    pub(super) fn end_now(&mut self) {
        self.kill(Signal::KILL);
        let _ = self.process.wait();
    }

    fn finish(&mut self, end: End) {
        self.end = Some(end);
        self.stdin = None;
        self.stdout = None;
        self.stderr = None;
        if end == End::TimedOut {
            let _ = self.process.wait();
        }
    }

    fn feed(&mut self) {
        let Some((stdin, input)) = &mut self.stdin else { return };
        while !input.is_empty() {
            match stdin.write(input) {
                Ok(written) => {
                    input.drain(..written);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => break, // it does not want to read; its business
            }
        }
        self.stdin = None;
    }
}

fn drain<R: Read>(pipe: &mut Option<R>, kept: &mut Vec<u8>, mixed: &mut Vec<u8>, last: bool) {
    let Some(reader) = pipe else { return };
    let mut bytes = vec![0; READ_BYTES];
    loop {
        match reader.read(&mut bytes) {
            Ok(0) => break *pipe = None,
            Ok(read) => {
                let room = KEPT_MAX.saturating_sub(kept.len()).min(read);
                kept.extend_from_slice(&bytes[..room]);
                mixed.extend_from_slice(&bytes[..read]);
                if !last {
                    break;
                }
                if mixed.len() > KEPT_MAX {
                    break; // a grandchild holds the pipe and goes on writing
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(_) => break *pipe = None,
        }
    }
}

fn nonblocking(fd: &impl AsFd) -> std::io::Result<()> {
    Ok(fcntl_setfl(fd, fcntl_getfl(fd)? | OFlags::NONBLOCK)?)
}
