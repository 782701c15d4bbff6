//! What lies in the home folder, whose it is and who may read it; and the socket.

use super::{Content, Facts, Kind, Seen, What, count, size, typed};
use codepiper_api::Fault;
use codepiper_api::doctor::{Finding, Group, Level};
use codepiper_core::ids::SessionId;
use codepiper_store::SCHEMA_VERSION;

/// Folders that are named one by one.
const FOLDERS_NAMED_MAX: usize = 5;

pub(super) fn files(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![home(facts)];
    findings.extend(database(facts));
    findings.extend(env_sets(facts));
    findings.push(socket(facts));
    findings.extend(log(facts));
    findings.extend(leftover_folders(facts));
    findings
}

fn finding(name: &str, level: Level, found: impl Into<String>) -> Finding {
    Finding::new(Group::Files, name, level, found)
}

/// What makes a file or folder unfit for what only its owner may see.
fn exposed(name: &str, seen: &Seen, what: &What, facts: &Facts, mode: &str) -> Option<Finding> {
    let path = seen.path.display();
    if what.owner != facts.user {
        let found = format!("{path} belongs to another user (uid {})", what.owner);
        let own = format!("sudo chown -R \"$(id -u)\" {}", typed(&seen.path));
        return Some(finding(name, Level::Error, found).fix(own));
    }
    (what.mode & 0o077 != 0).then(|| {
        let found = format!("{path} can be used by others (mode {:04o})", what.mode);
        finding(name, Level::Error, found).fix(format!("chmod {mode} {}", typed(&seen.path)))
    })
}

fn unseen(name: &str, seen: &Seen, why: &str) -> Finding {
    finding(name, Level::Error, format!("{} cannot be looked at: {why}", seen.path.display()))
        .fix(format!("ls -ld {}", typed(&seen.path)))
}

fn home(facts: &Facts) -> Finding {
    let home = &facts.files.home;
    let path = home.path.display();
    match &home.what {
        Err(why) => unseen("home", home, why),
        Ok(None) => finding("home", Level::Ok, format!("{path} is not there yet: the daemon makes it")),
        Ok(Some(what)) if what.kind != Kind::Folder => {
            finding("home", Level::Error, format!("{path} is no folder"))
                .fix(format!("mv {0} {0}.old", typed(&home.path)))
        }
        Ok(Some(what)) => exposed("home", home, what, facts, "700")
            .unwrap_or_else(|| finding("home", Level::Ok, format!("{path}, yours alone"))),
    }
}

fn database(facts: &Facts) -> Vec<Finding> {
    let files = &facts.files;
    let (database, name) = (&files.database, "database");
    let path = database.path.display();
    let what = match &database.what {
        Err(why) => return vec![unseen(name, database, why)],
        Ok(None) => {
            return vec![finding(name, Level::Ok, "not there yet: the daemon makes it at its first start")];
        }
        Ok(Some(what)) if what.kind != Kind::File => {
            return vec![
                finding(name, Level::Error, format!("{path} is no file"))
                    .fix(format!("mv {0} {0}.old", typed(&database.path))),
            ];
        }
        Ok(Some(what)) => what,
    };
    let beside =
        files.beside_database.iter().filter_map(|seen| Some((seen, seen.what.as_ref().ok()?.as_ref()?)));
    let mut findings: Vec<Finding> = std::iter::once((database, what))
        .chain(beside)
        .filter_map(|(seen, what)| exposed(name, seen, what, facts, "600"))
        .collect();
    let restore =
        format!("{0} daemon stop; {0} restore FILE, with the FILE of a `codepiper backup`", facts.codepiper);
    match &files.content {
        Content::Nothing => findings.push(finding(name, Level::Ok, format!("{path} is empty: the daemon fills it"))),
        Content::Damaged(why) => {
            findings.push(finding(name, Level::Error, format!("{path} is damaged: {why}")).fix(restore));
        }
        Content::Unknown(why) => {
            findings.push(finding(name, Level::Warning, format!("{path} could not be checked: {why}")));
        }
        Content::TooNew { schema } => findings.push(
            finding(
                name,
                Level::Error,
                format!(
                    "{path} was written by a newer codepiper: it has schema {schema}, this one knows up to {SCHEMA_VERSION}"
                ),
            )
            .fix("install the newer codepiper again, or export CODEPIPER_DB_PATH=/another/file"),
        ),
        Content::Whole { .. } if !findings.is_empty() => {}
        Content::Whole { schema, sessions, .. } => findings.push(finding(
            name,
            Level::Ok,
            format!(
                "whole, schema {schema}, {}, {}, {path}",
                count(sessions.len(), "session ever", "sessions ever"),
                size(what.bytes)
            ),
        )),
    }
    findings
}

fn env_sets(facts: &Facts) -> Option<Finding> {
    let Content::Whole { env_sets, keyless, .. } = &facts.files.content else { return None };
    let name = "env sets";
    let Some(first) = keyless.first() else {
        let found = format!("{}, with the key", count(*env_sets, "set", "sets"));
        return (*env_sets > 0).then(|| finding(name, Level::Ok, found));
    };
    let names: Vec<&str> = keyless.iter().map(|set| set.name.as_str()).collect();
    let found = format!("{} cannot be read: {}", names.join(", "), first.why);
    Some(finding(name, Level::Error, found).fix(first.way_out.clone()))
}

fn socket(facts: &Facts) -> Finding {
    let socket = &facts.files.socket;
    let (path, name) = (socket.path.display(), "socket");
    // A shell's setting serves every command, also those of the agents' hooks.
    let elsewhere =
        || format!("export CODEPIPER_SOCKET={}", typed(&facts.files.home.path.join("codepiper.sock")));
    let start = || format!("{} daemon start --detach", facts.codepiper);
    match (&socket.what, &facts.files.socket_listened) {
        (Err(why), _) => unseen(name, socket, why),
        (Ok(None), _) if matches!(facts.files.socket_folder.what, Ok(None)) => {
            let folder = &facts.files.socket_folder.path;
            finding(name, Level::Error, format!("{path} has no folder to be in"))
                .fix(format!("mkdir -p -m 700 {}", typed(folder)))
        }
        (Ok(None), _) => finding(name, Level::Ok, format!("{path} is free")),
        (Ok(Some(what)), _) if what.kind != Kind::Socket => {
            finding(name, Level::Error, format!("{path} is there and is no socket"))
                .fix(format!("mv {0} {0}.old", typed(&socket.path)))
        }
        (Ok(Some(what)), _) if what.owner != facts.user => {
            let found = format!("{path} belongs to another user (uid {})", what.owner);
            finding(name, Level::Error, found).fix(elsewhere())
        }
        (Ok(Some(_)), Ok(false)) => finding(
            name,
            Level::Warning,
            format!("{path} was left behind by a daemon that died; the next one takes it away"),
        )
        .fix(start()),
        (Ok(Some(what)), Ok(true)) => match &facts.answers.health {
            Ok(_) => exposed(name, socket, what, facts, "600")
                .unwrap_or_else(|| finding(name, Level::Ok, format!("{path}, yours alone"))),
            Err(refusal) if refusal.code == Fault::Forbidden => {
                finding(name, Level::Error, &refusal.error).fix(elsewhere())
            }
            Err(refusal) => finding(
                name,
                Level::Error,
                format!("something listens on {path}, but not as a daemon: {}", refusal.error),
            )
            .fix(elsewhere()),
        },
        (Ok(Some(_)), Err(why)) => {
            finding(name, Level::Error, format!("{path} takes no connections: {why}")).fix(elsewhere())
        }
    }
}

fn log(facts: &Facts) -> Option<Finding> {
    let log = &facts.files.log;
    let path = log.path.display();
    Some(match &log.what {
        Err(why) => unseen("log", log, why),
        Ok(None) => return None,
        Ok(Some(what)) => exposed("log", log, what, facts, "600")
            .unwrap_or_else(|| finding("log", Level::Ok, format!("{}, {path}", size(what.bytes)))),
    })
}

/// Folders of sessions that no database knows: it was replaced, or the folders came from elsewhere.
fn leftover_folders(facts: &Facts) -> Option<Finding> {
    let Content::Whole { sessions, .. } = &facts.files.content else { return None };
    let folders = facts.files.session_folders.as_ref()?;
    let unknown: Vec<&SessionId> = folders.iter().filter(|id| !sessions.contains(*id)).collect();
    let root = &facts.files.sessions_folder;
    let named: Vec<String> =
        unknown.iter().take(FOLDERS_NAMED_MAX).map(|id| typed(&root.join(id.as_str()))).collect();
    let more = if unknown.len() > named.len() { ", and so on" } else { "" };
    (!unknown.is_empty()).then(|| {
        let folders = count(unknown.len(), "folder", "folders");
        let found = format!("{folders} of sessions that are in no database, below {}", root.display());
        finding("session folders", Level::Note, found).fix(format!("rm -r {}{more}", named.join(" ")))
    })
}
