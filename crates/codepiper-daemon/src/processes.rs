//! Processes of this machine, as the system shows them.

use codepiper_core::launch::{ProcessRef, parent_of_stat, start_time_of_stat};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::collections::HashMap;
use std::fs;

/// When a process was started, in clock ticks since boot. `None` when it is gone, or where the system does
/// not say.
pub fn start_time(pid: u32) -> Option<u64> {
    start_time_of_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Whether this very process is still there; a later one with its pid is not it. One that has ended and
/// was not collected yet counts as gone.
pub fn is_alive(process: ProcessRef) -> bool {
    if process.started != 0 {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", process.pid)) else { return false };
        let is_zombie = stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'));
        return !is_zombie && start_time_of_stat(&stat) == Some(process.started);
    }
    Pid::from_raw(process.pid as i32).is_some_and(|pid| test_kill_process(pid).is_ok())
}

/// Sends a signal to this very process. `false` when it is gone.
pub fn signal(process: ProcessRef, signal: Signal) -> bool {
    is_alive(process)
        && Pid::from_raw(process.pid as i32).is_some_and(|pid| kill_process(pid, signal).is_ok())
}

/// Everything the process started, and what those started.
pub fn descendants(of: u32) -> Vec<Pid> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for (pid, parent) in all() {
        children.entry(parent).or_default().push(pid);
    }
    let mut found = Vec::new();
    let mut next = vec![of];
    while let Some(parent) = next.pop() {
        for pid in children.remove(&parent).unwrap_or_default() {
            found.extend(Pid::from_raw(pid as i32));
            next.push(pid);
        }
    }
    found
}

/// Processes whose environment has this variable with this value. It finds what lost its parents; where the
/// system shows no environments it finds nothing.
pub fn with_variable(name: &str, value: &str) -> Vec<Pid> {
    let wanted = format!("{name}={value}").into_bytes();
    all()
        .filter(|(pid, _)| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|entry| entry == wanted))
        })
        .filter_map(|(pid, _)| Pid::from_raw(pid as i32))
        .collect()
}

/// The process itself, its parent, the parent's parent and so on; at most so many.
pub fn ancestors(of: u32, at_most: usize) -> Vec<u32> {
    let mut found = vec![of];
    #[cfg(target_os = "linux")]
    while found.len() < at_most {
        let last = found[found.len() - 1];
        let parent =
            fs::read_to_string(format!("/proc/{last}/stat")).ok().and_then(|stat| parent_of_stat(&stat));
        match parent {
            Some(parent) if parent > 1 => found.push(parent),
            _ => break,
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let parents: HashMap<u32, u32> = all().collect();
        while found.len() < at_most {
            match parents.get(&found[found.len() - 1]) {
                Some(parent) if *parent > 1 => found.push(*parent),
                _ => break,
            }
        }
    }
    found
}

/// A variable of the environment that a process was started with; `None` where the system shows no environments.
pub fn variable_of(pid: u32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = environment.split(|byte| *byte == 0).find_map(|entry| {
        let (key, value) = entry.split_at(entry.iter().position(|byte| *byte == b'=')?);
        (key == name.as_bytes()).then(|| value[1..].to_vec())
    })?;
    String::from_utf8(value).ok()
}

/// Clock ticks since boot, of which there are 100 a second on every Linux: the unit of [`start_time`].
pub fn ticks_since_boot() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        now.tv_sec as u64 * 100 + now.tv_nsec as u64 / 10_000_000
    }
    #[cfg(not(target_os = "linux"))]
    u64::MAX.saturating_sub(1)
}

/// Pid and parent of every process.
#[cfg(target_os = "linux")]
fn all() -> impl Iterator<Item = (u32, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, parent_of_stat(&stat)?))
    })
}

/// Pid and parent of every process.
#[cfg(not(target_os = "linux"))]
fn all() -> impl Iterator<Item = (u32, u32)> {
    let output = std::process::Command::new("ps").args(["-axo", "pid=,ppid="]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let pairs: Vec<(u32, u32)> = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().map(str::parse);
            Some((fields.next()?.ok()?, fields.next()?.ok()?))
        })
        .collect();
    pairs.into_iter()
}

/// Completes when this very process is gone.
#[expect(deprecated, reason = "its safe form: an `OwnedFd` keeps its descriptor, which is all it asks for")]
pub async fn wait_until_gone(process: ProcessRef) {
    #[cfg(target_os = "linux")]
    if let Some(pid) = Pid::from_raw(process.pid as i32)
        && let Ok(handle) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::NONBLOCK)
        && let Ok(handle) = tokio::io::unix::AsyncFd::with_interest(handle, tokio::io::Interest::READABLE)
    {
        // The handle may have been opened on a later process with the same pid.
        if is_alive(process) {
            let _readable_when_ended = handle.readable().await;
        }
        return;
    }
    // Where no handle is to be had, there is no event to wait for.
    while is_alive(process) {
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

/// How often a process is looked at where the system cannot tell of its end.
const LOOK_PAUSE: std::time::Duration = std::time::Duration::from_millis(250);
