//! Looks what the machine has. Runs programs only to ask them their version.

use std::process::Command;

use super::plan::{Facts, Found, Manager};
use super::{NEEDS, Need, Purpose};
use crate::workspace::on_path;

pub(super) fn facts(purpose: Purpose) -> Facts {
    let manager = Manager::ALL.into_iter().find(|manager| on_path(manager.binary()).is_some());
    let wanted = NEEDS.iter().filter(|need| need.purposes.contains(&purpose));
    Facts {
        found: wanted.map(|need| (need, look(need))).collect(),
        manager,
        lists_empty: manager.is_some_and(lists_empty),
        rustup: on_path("rustup").is_some(),
        root: is_root(),
        sudo: on_path("sudo").is_some(),
        ci: std::env::var_os("CI").is_some_and(|ci| ci == "true"),
    }
}

fn look(need: &Need) -> Found {
    let mut best = Found::Nothing;
    for binary in need.binaries {
        if need.version_flag.is_empty() {
            if on_path(binary).is_some() {
                return Found::There;
            }
            continue;
        }
        match Command::new(binary).arg(need.version_flag).output() {
            Ok(output) if output.status.success() => {
                return Found::Answer(String::from_utf8_lossy(&output.stdout).trim().to_owned());
            }
            Ok(_) => best = Found::Broken,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => best = Found::Broken,
        }
    }
    best
}

fn lists_empty(manager: Manager) -> bool {
    let any_file = |folder: &str, part: &str| {
        std::fs::read_dir(folder).is_ok_and(|mut entries| {
            entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().contains(part)))
        })
    };
    match manager {
        Manager::Apt => !any_file("/var/lib/apt/lists", "_Packages"),
        Manager::Pacman => !any_file("/var/lib/pacman/sync", ".db"),
        Manager::Dnf | Manager::Apk | Manager::Brew => false,
    }
}

/// Asks `id`, because `std` can't and this crate has no dependency for it.
fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
