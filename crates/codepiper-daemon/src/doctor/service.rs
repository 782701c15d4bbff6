//! The daemon: whether it runs, and whether it is the one this shell means.

use super::{Facts, Lock, TmuxFacts, count, typed};
use codepiper_api::doctor::{Finding, Group, Level};
use codepiper_api::service::{Health, Transcripts};
use std::path::Path;

/// Our own version; a daemon of another one is still that of before an upgrade.
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn daemon(facts: &Facts) -> Vec<Finding> {
    match &facts.answers.health {
        Ok(health) => running(facts, health),
        Err(_) => vec![not_answering(facts)],
    }
}

fn finding(name: &str, level: Level, found: impl Into<String>) -> Finding {
    Finding::new(Group::Daemon, name, level, found)
}

fn running(facts: &Facts, health: &Health) -> Vec<Finding> {
    let codepiper = &facts.codepiper;
    let live = count(health.live_sessions as usize, "live session", "live sessions");
    let found = format!("running (pid {}), {live}", health.pid);
    let mut findings = vec![finding("daemon", Level::Ok, found)];
    findings.push(match health.version == VERSION {
        true => finding("version", Level::Ok, format!("{VERSION}, as this command")),
        false => {
            let found =
                format!("the daemon is {}, this command is {VERSION}; sessions go on", health.version);
            finding("version", Level::Warning, found).fix(format!("{codepiper} daemon restart"))
        }
    });
    let database = &facts.files.database.path;
    if health.database != *database {
        let found = format!(
            "the daemon uses {}, this shell would use {}: their environments differ",
            health.database.display(),
            database.display()
        );
        findings.push(finding("database", Level::Note, found));
    }
    if health.zombie_session_count > 0 {
        let sessions = count(health.zombie_session_count as usize, "tmux session is", "tmux sessions are");
        let found = format!(
            "{sessions} named as ours, and not in the daemon's list: they may be another daemon's, and are left alone"
        );
        findings.push(finding("strays", Level::Note, found));
    }
    findings.extend(transcripts(&health.transcripts));
    findings
}

/// Whether everything that agents wrote down was understood.
fn transcripts(read: &Transcripts) -> Option<Finding> {
    let Transcripts { files, lines, broken, unknown, read_again, unreadable } = read;
    let mut told = Vec::new();
    if *broken > 0 {
        told.push(format!("{broken} of {lines} lines are no records"));
    }
    if !unknown.is_empty() {
        let kinds: Vec<String> = unknown.iter().map(|(kind, count)| format!("{kind} ({count})")).collect();
        told.push(format!("kinds of records this version does not know: {}", kinds.join(", ")));
    }
    if *read_again > 0 {
        told.push(format!("{} changed other than by growing, and read again", count_of(*read_again)));
    }
    if *unreadable > 0 {
        told.push(format!("{} cannot be read; the log says why", count_of(*unreadable)));
    }
    let level = if *unreadable > 0 { Level::Warning } else { Level::Note };
    (!told.is_empty()).then(|| finding("transcripts", level, format!("of {files} read: {}", told.join("; "))))
}

fn count_of(files: u64) -> String {
    count(files as usize, "file", "files")
}

/// The person's own prices, where there are any.
pub(super) fn prices(facts: &Facts) -> Vec<Finding> {
    match &facts.prices {
        Ok(()) => Vec::new(),
        Err(why) => {
            let reprice = format!("{} analytics reprice", facts.codepiper);
            let found = format!("{why}; the prices of before hold: mend the file, then `{reprice}` takes it");
            vec![finding("prices", Level::Warning, found)]
        }
    }
}

/// The person's own handlers of notifications, where there are any.
pub(super) fn handlers(facts: &Facts) -> Vec<Finding> {
    match &facts.handlers {
        Ok(()) => Vec::new(),
        Err(why) => {
            let found = format!(
                "{why}; the handlers of before hold, after a restart of the daemon none: mend the file"
            );
            vec![finding("handlers", Level::Warning, found)]
        }
    }
}

fn not_answering(facts: &Facts) -> Finding {
    let codepiper = &facts.codepiper;
    let socket = &facts.files.socket.path;
    match &facts.files.lock {
        Lock::Held { pid, socket: theirs } if theirs != socket && theirs != Path::new("") => {
            let found = format!(
                "a daemon (pid {pid}) has this database, but listens on {}, not on {}",
                theirs.display(),
                socket.display()
            );
            finding("daemon", Level::Warning, found)
                .fix(format!("codepiper --socket {} daemon status", typed(theirs)))
        }
        Lock::Held { pid, .. } => {
            let found = format!(
                "a daemon (pid {pid}) has the database and does not answer; sessions go on without it"
            );
            let anew = format!("kill {pid}; {codepiper} daemon start --detach");
            finding("daemon", Level::Error, found).fix(anew)
        }
        Lock::Free => {
            let waiting = facts.tmux.as_ref().map_or(0, carried);
            let found = match waiting {
                0 => "not running".into(),
                waiting => format!(
                    "not running; {} for it in tmux",
                    count(waiting, "session goes on and waits", "sessions go on and wait")
                ),
            };
            finding("daemon", Level::Note, found).fix(format!("{codepiper} daemon start --detach"))
        }
    }
}

/// Sessions of ours in tmux.
fn carried(tmux: &TmuxFacts) -> usize {
    tmux.sessions
        .as_ref()
        .map_or(0, |names| names.iter().filter(|name| name.starts_with("codepiper-")).count())
}
