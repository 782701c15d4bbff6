//! tmux without us: a control client and a piped pane, blocking.

use super::wire::Arrival;
use crate::lab::Lab;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

/// How long anything may take before the bench gives up.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A session of tmux that CodePiper knows nothing of, on the lab's server; its pane.
pub(super) fn session(lab: &Lab, name: &str, command: &str) -> Result<String> {
    let size = ["-x", "120", "-y", "30"];
    let new = ["new-session", "-d", "-P", "-F", "#{pane_id}", "-s", name];
    let output = lab.tmux(new.into_iter().chain(size).chain([command]));
    if !output.status.success() {
        bail!("tmux: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// A control client with the output of its session.
pub(super) struct ControlClient {
    child: Child,
    stdin: ChildStdin,
    answers: Receiver<(Instant, String)>,
    /// When the pane's output came.
    pub(super) output: Receiver<Arrival>,
}

impl ControlClient {
    pub(super) fn attach(lab: &Lab, session: &str) -> Result<Self> {
        let mut child = Command::new("tmux")
            .arg("-u")
            .arg("-S")
            .arg(lab.path("t"))
            .args(["-f", "/dev/null", "-C", "attach-session", "-f", "ignore-size", "-t"])
            .arg(format!("={session}"))
            .env_remove("TMUX")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().context("piped")?;
        let stdout = BufReader::new(child.stdout.take().context("piped")?);
        let (give_answer, answers) = mpsc::channel();
        let (give_output, output) = mpsc::channel();
        std::thread::spawn(move || read(stdout, &give_answer, &give_output));
        let client = Self { child, stdin, answers, output };
        client.answers.recv_timeout(PATIENCE).context("tmux did not answer")?; // of the attach itself
        Ok(client)
    }

    pub(super) fn tell(&mut self, command: &str) -> Result<()> {
        Ok(self.stdin.write_all(format!("{command}\n").as_bytes())?)
    }

    /// The answer's lines, and when they came.
    pub(super) fn ask(&mut self, command: &str) -> Result<(Instant, String)> {
        while self.answers.try_recv().is_ok() {}
        self.tell(command)?;
        self.answers.recv_timeout(PATIENCE).context("tmux did not answer")
    }
}

impl Drop for ControlClient {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn read(stdout: impl BufRead, answers: &Sender<(Instant, String)>, output: &Sender<Arrival>) {
    let mut body = String::new();
    for line in stdout.split(b'\n') {
        let Ok(line) = line else { return };
        let line = String::from_utf8_lossy(&line);
        if line.starts_with("%output ") {
            let _nobody_looks = output.send(Arrival { at: Instant::now(), is_end: false });
        } else if line.starts_with("%begin ") {
            body.clear();
        } else if line.starts_with("%end ") || line.starts_with("%error ") {
            let _nobody_asked = answers.send((Instant::now(), body.clone()));
        } else {
            body.push_str(&line);
        }
    }
}

/// Pipes a pane to a reader that passes it on, without us: when its output came.
pub(super) fn piped(lab: &Lab, pane: &str) -> Result<Receiver<Arrival>> {
    let fifo = lab.path("fifo");
    if !Command::new("mkfifo").arg(&fifo).status()?.success() {
        bail!("no fifo");
    }
    let command = format!("exec cat > {}", fifo.display());
    if !lab.tmux(["pipe-pane", "-O", "-t", pane, &command]).status.success() {
        bail!("tmux does not pipe");
    }
    let mut reader = std::fs::File::open(&fifo)?;
    let (sender, arrivals) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while reader.read(&mut buffer).is_ok_and(|n| n > 0) {
            if sender.send(Arrival { at: Instant::now(), is_end: false }).is_err() {
                return;
            }
        }
    });
    Ok(arrivals)
}
