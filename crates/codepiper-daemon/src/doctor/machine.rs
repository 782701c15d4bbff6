//! What the machine gives: the system itself, tmux, git.

use super::{Facts, Packages, Program, TmuxFacts, WatchLimits, count, size};
use crate::providers::{VERSION_TIME_MAX, version_numbers};
use codepiper_api::doctor::{Finding, Group, Level};
use codepiper_tmux::{Link, OLDEST, TmuxError, Version};

/// Free space below which a person should know: recordings of a busy day fit into it.
const DISK_LOW: u64 = 1 << 30;

/// Free space below which the database may fail to commit.
const DISK_FULL: u64 = 100 << 20;

/// Sessions that should be possible at a time.
const SESSIONS: u64 = 50;

/// Folders that are watched for one session: hooks that wait, state file, transcript, recording.
const FOLDERS_EACH: u64 = 4;

/// Watches that should be allowed. Ten times our own: the limit is the user's, and editors and the agents
/// themselves watch whole trees.
const WATCHES_MIN: u64 = 10 * SESSIONS * FOLDERS_EACH;

/// Watchers that should be allowed: one for the daemon, one for each agent that watches files itself, and some
/// for the rest of the desktop.
const INSTANCES_MIN: u64 = SESSIONS + 14;

/// The oldest tmux that does what we ask of it at all.
const OLDEST_TMUX: Version = Version { major: 3, minor: 0 };

/// The oldest git whose `worktree` has all we use (`repair`, locked ones in `list`).
const OLDEST_GIT: (u64, u64) = (2, 31);

pub(super) fn system(facts: &Facts) -> Vec<Finding> {
    let finding = |name, level, found: String| Finding::new(Group::System, name, level, found);
    let os = match facts.os {
        "linux" => "Linux",
        "macos" => "macOS",
        other => other,
    };
    let known = matches!((facts.os, facts.arch), ("linux" | "macos", "x86_64" | "aarch64"));
    let mut findings = vec![match known {
        true => finding("platform", Level::Ok, format!("{os} {}", facts.arch)),
        false => finding(
            "platform",
            Level::Warning,
            format!(
                "{os} {} is not one CodePiper is tested on: Linux and macOS are, on x86_64 and arm64",
                facts.arch
            ),
        ),
    }];
    let home = facts.files.home.path.display();
    let disk = |level, free: u64| finding("disk", level, format!("{} free for {home}", size(free)));
    let look = format!("du -sh {}/*", super::typed(&facts.files.home.path));
    findings.push(match facts.disk_free {
        Ok(free) if free < DISK_FULL => disk(Level::Error, free).fix(look),
        Ok(free) if free < DISK_LOW => disk(Level::Warning, free).fix(look),
        Ok(free) => disk(Level::Ok, free),
        Err(ref why) => finding("disk", Level::Warning, format!("free space is unknown: {why}")),
    });
    findings.push(watches(facts));
    findings
}

fn watches(facts: &Facts) -> Finding {
    let finding = |level, found: String| Finding::new(Group::System, "file watches", level, found);
    let raise = |what: &str, to: u64| format!("sudo sysctl fs.inotify.{what}={to}");
    if let Err(why) = &facts.watching {
        let finding = finding(Level::Error, format!("folders cannot be watched: {why}"));
        return match facts.watch_limits {
            Some(limits) => finding.fix(raise("max_user_instances", 4 * limits.instances.max(INSTANCES_MIN))),
            None => finding,
        };
    }
    match facts.watch_limits {
        None => finding(Level::Ok, "work".into()),
        Some(WatchLimits { watches, .. }) if watches < WATCHES_MIN => finding(
            Level::Warning,
            format!("{watches} watches are few for {SESSIONS} sessions and your editor"),
        )
        .fix(raise("max_user_watches", 65_536)),
        Some(WatchLimits { instances, .. }) if instances < INSTANCES_MIN => finding(
            Level::Warning,
            format!("{instances} watchers are few for {SESSIONS} agents that watch files themselves"),
        )
        .fix(raise("max_user_instances", 512)),
        Some(WatchLimits { watches, instances }) => {
            finding(Level::Ok, format!("work: up to {watches} folders, {instances} watchers"))
        }
    }
}

pub(super) fn tmux(facts: &Facts) -> Vec<Finding> {
    let install = || install(facts, "tmux");
    let Some(tmux) = &facts.tmux else {
        return vec![
            Finding::missing(Group::Tmux, "tmux", "not installed: every session lives in tmux")
                .fix(install()),
        ];
    };
    let path = tmux.path.display();
    let finding = |level, found: String| Finding::new(Group::Tmux, "tmux", level, found);
    let mut findings = vec![match &tmux.version {
        Ok(version) if *version < OLDEST_TMUX => {
            let found = format!("{} is too old, 3.2 or later is needed ({path})", numbers(*version));
            Finding::missing(Group::Tmux, "tmux", found).fix(install())
        }
        Ok(version) if *version < OLDEST => finding(
            Level::Warning,
            format!(
                "{} works, but takes a process for every command; 3.2 does not ({path})",
                numbers(*version)
            ),
        )
        .fix(install()),
        Ok(version) => finding(Level::Ok, format!("{}, {path}", numbers(*version))),
        Err(why) => {
            finding(Level::Error, format!("{path} does not say its version: {why}")).fix(format!("{path} -V"))
        }
    }];
    if tmux.version.as_ref().is_ok_and(|version| *version >= OLDEST_TMUX) {
        findings.push(control_mode(tmux));
        findings.push(server(tmux));
        findings.extend(daemons_link(facts));
    }
    findings
}

fn control_mode(tmux: &TmuxFacts) -> Finding {
    let finding = |level, found: String| Finding::new(Group::Tmux, "control mode", level, found);
    match &tmux.trial {
        Ok(Link::Control) => finding(Level::Ok, "works, tried on a private server".into()),
        Ok(Link::Processes | Link::ProcessesAfterFailure) => finding(
            Level::Warning,
            "a private server takes no control client: commands need a process each, and changes are seen late"
                .into(),
        )
        .fix("tmux -L doctor -f /dev/null -C new-session"),
        Err(why) => finding(Level::Error, format!("a private server could not carry a session: {why}"))
            .fix("tmux -L doctor -f /dev/null new-session"),
    }
}

/// The server that carries, or would carry, the sessions.
fn server(tmux: &TmuxFacts) -> Finding {
    let finding = |level, found: String| Finding::new(Group::Tmux, "server", level, found);
    match &tmux.sessions {
        Ok(names) if names.is_empty() => finding(Level::Ok, "none yet: the first session starts it".into()),
        Ok(names) => {
            let ours = names.iter().filter(|name| name.starts_with("codepiper-")).count();
            let others = count(names.len() - ours, "other", "others");
            let ours = count(ours, "session", "sessions");
            finding(Level::Ok, format!("carries {ours} of CodePiper, {others}"))
        }
        Err(why) => finding(Level::Error, format!("does not answer: {why}"))
            .fix("was tmux upgraded while its server ran? `tmux kill-server` ends it, with everything in it"),
    }
}

/// How the running daemon's commands reach tmux.
fn daemons_link(facts: &Facts) -> Option<Finding> {
    let health = facts.answers.health.as_ref().ok()?;
    let finding = |level, found: String| Finding::new(Group::Tmux, "daemon link", level, found);
    Some(match (health.tmux_link.as_str(), health.live_sessions) {
        ("control", _) => finding(Level::Ok, "control mode".into()),
        ("processes", 0) => finding(Level::Ok, "none yet: the first session opens it".into()),
        (other, _) => finding(Level::Warning, format!("a process for every command ({other})"))
            .fix(format!("{} daemon logs", facts.codepiper)),
    })
}

pub(super) fn git(facts: &Facts) -> Vec<Finding> {
    let finding = |level, found: String| Finding::new(Group::Git, "git", level, found);
    let for_worktrees = "worktrees (`start --worktree`) need 2.31 or later";
    vec![match &facts.git {
        None => finding(Level::Warning, format!("not installed: {for_worktrees}")).fix(install(facts, "git")),
        Some(Program { path, version: None }) => {
            let seconds = VERSION_TIME_MAX.as_secs();
            let path = path.display();
            finding(Level::Warning, format!("{path} does not say its version within {seconds} s"))
                .fix(format!("{path} --version"))
        }
        Some(Program { path, version: Some(version) }) => match version_numbers(version) {
            Some((major, minor, _)) if (major, minor) >= OLDEST_GIT => {
                finding(Level::Ok, format!("{version}, {}", path.display()))
            }
            _ => finding(Level::Warning, format!("{version} is old: {for_worktrees} ({})", path.display()))
                .fix(install(facts, "git")),
        },
    }]
}

/// The command that installs a program whose package is called as it is.
fn install(facts: &Facts, program: &str) -> String {
    let sudo = if facts.user == 0 { "" } else { "sudo " };
    match facts.packages {
        Some(Packages::Apt) => format!("{sudo}apt-get install {program}"),
        Some(Packages::Dnf) => format!("{sudo}dnf install {program}"),
        Some(Packages::Apk) => format!("{sudo}apk add {program}"),
        Some(Packages::Pacman) => format!("{sudo}pacman -S {program}"),
        Some(Packages::Zypper) => format!("{sudo}zypper install {program}"),
        Some(Packages::Brew) => format!("brew install {program}"),
        None if facts.os == "macos" => format!("install Homebrew (brew.sh), then: brew install {program}"),
        None => format!("install `{program}` with the system's package manager, or put it on the PATH"),
    }
}

fn numbers(version: Version) -> String {
    format!("{}.{}", version.major, version.minor)
}

/// What tmux said, without what the finding says already.
pub(super) fn tmux_trouble(error: &TmuxError) -> String {
    match error {
        TmuxError::Refused { why, .. } if !why.is_empty() => why.clone(),
        other => other.to_string(),
    }
}
