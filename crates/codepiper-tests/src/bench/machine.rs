//! The machine, and its processes as the system accounts for them. Linux only: where there is no `/proc`, there is
//! no bench.

use anyhow::{Context, Result};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// One line about the machine.
pub(super) fn describe() -> Result<String> {
    let said = |program: &str, argument: &str| -> Result<String> {
        let output =
            Command::new(program).arg(argument).output().with_context(|| format!("starting {program}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let cores = std::thread::available_parallelism()?;
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    let (tmux, kernel) = (said("tmux", "-V")?, said("uname", "-sr")?);
    Ok(format!("{cores} cores ({model}), {kernel}, {tmux}; load {load} at the start"))
}

/// Memory of a process in MB: all of it that is in RAM, and its fair share of what it shares.
pub(super) fn memory(pid: u32) -> Result<(f64, f64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let mb = |name: &str| -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()? / 1024.0)
    };
    Ok((mb("Rss:").context("no Rss")?, mb("Pss:").context("no Pss")?))
}

/// Forgets the peak of a process's memory.
pub(super) fn reset_peak(pid: u32) -> Result<()> {
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

/// The most memory in RAM since the last reset, in MB.
pub(super) fn peak(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
}

/// The time a process was on a core to the nanosecond, over all its threads, also those that ended meanwhile.
pub(super) fn cpu(pid: u32) -> Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid as i32)).context("the clock of a process")?;
    Ok(Duration::from(clock_gettime(clock)?))
}

/// Our own processes that live with the panes of a lab: supervisors and recorders.
pub(super) fn pane_processes(lab: &Path) -> Vec<(u32, String)> {
    let lab = lab.display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<String> =
            line.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
        let is_ours = words.iter().any(|word| word.starts_with(&lab));
        if let Some(role) = words.get(1).filter(|role| is_ours && role.starts_with("pane-")) {
            found.push((pid, role.clone()));
        }
    }
    found
}

/// Whether a process is there and no zombie.
pub(super) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}
