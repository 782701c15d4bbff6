//! The commands, a file each, and what several of them need.

mod analytics;
mod approvals;
mod attach;
mod audit;
mod backup;
mod budget;
mod completions;
mod daemon;
mod doctor;
mod env_sets;
mod import;
mod interrupt;
mod keys;
mod kill;
mod logs;
mod model;
mod notifications;
mod policies;
mod policy_files;
mod policy_sets;
mod providers;
mod recover;
mod rename;
mod resize;
mod restore;
mod resume;
mod rm;
mod search;
mod send;
mod sessions;
mod settings;
mod slash;
mod start;
mod stop;
mod tail;
mod transcript;
mod when;
mod workspaces;

use crate::args::{Cli, Command, Lazy};
use crate::client::{Client, Route, Stream};
use crate::event_stream::Messages;
use crate::output;
use clap::CommandFactory;
use codepiper_api::defaults;
use codepiper_api::sessions::{ResumeSession, Session, SessionBody};
use codepiper_api::{Fault, Refusal};
use codepiper_core::provider::{SSH_AGENT, Variables};
use serde::de::DeserializeOwned;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Runs what was typed.
pub(crate) fn run(cli: Cli) -> Result<(), Refusal> {
    let Some(command) = cli.command else {
        return output::print(&Cli::command().render_help().to_string());
    };
    let command = match command {
        Command::Completions(args) => return completions::run(&args),
        Command::Daemon(Lazy(args)) => return daemon::run(args, cli.socket),
        Command::Doctor(format) => return doctor::run(format, cli.socket),
        Command::Restore(Lazy(args)) => return restore::run(&args, cli.socket),
        command => command,
    };
    let socket = defaults::socket(cli.socket);
    // One thread is all a client needs, and it starts in no time.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Refusal::new(Fault::Internal, format!("cannot start the runtime: {error}")))?;
    runtime.block_on(ask(command, &Client::new(socket)))
}

/// Runs a command that asks the daemon.
async fn ask(command: Command, daemon: &Client) -> Result<(), Refusal> {
    match command {
        Command::Start(Lazy(args)) => start::run(args, daemon).await,
        Command::Sessions(args) => sessions::run(args, daemon).await,
        Command::Attach(Lazy(args)) => attach::run(&args, daemon).await,
        Command::Send(Lazy(args)) => send::run(args, daemon).await,
        Command::Interrupt(args) => interrupt::run(args, daemon).await,
        Command::Approvals(Lazy(args)) => approvals::run(args, daemon).await,
        Command::Notifications(Lazy(args)) => notifications::run(args, daemon).await,
        Command::Audit(Lazy(args)) => audit::run(args, daemon).await,
        Command::Policy(Lazy(args)) => policies::run(args, daemon).await,
        Command::PolicySet(Lazy(args)) => policy_sets::run(args, daemon).await,
        Command::Keys(Lazy(args)) => keys::run(args, daemon).await,
        Command::Slash(args) => slash::run(args, daemon).await,
        Command::Tail(Lazy(args)) => tail::run(&args, daemon).await,
        Command::Logs(Lazy(args)) => logs::run(&args, daemon).await,
        Command::Transcript(Lazy(args)) => transcript::run(&args, daemon).await,
        Command::Search(Lazy(args)) => search::run(&args, daemon).await,
        Command::Analytics(Lazy(args)) => analytics::run(&args, daemon).await,
        Command::Model(args) => model::run(args, daemon).await,
        Command::Stop(args) => stop::run(&args, daemon).await,
        Command::Kill(args) => kill::run(&args, daemon).await,
        Command::Resume(args) => resume::run(&args, daemon).await,
        Command::Recover(args) => recover::run(&args, daemon).await,
        Command::Rm(args) => rm::run(&args, daemon).await,
        Command::Rename(args) => rename::run(args, daemon).await,
        Command::Resize(args) => resize::run(&args, daemon).await,
        Command::Providers(format) => providers::run(format, daemon).await,
        Command::EnvSet(Lazy(args)) => env_sets::run(args, daemon).await,
        Command::Workspace(Lazy(args)) => workspaces::run(args, daemon).await,
        Command::Settings(Lazy(args)) => settings::run(args, daemon).await,
        Command::Backup(Lazy(args)) => backup::run(args, daemon).await,
        Command::Budget(Lazy(args)) => budget::run(&args, daemon).await,
        Command::Import(Lazy(args)) => import::run(&args, daemon).await,
        Command::Daemon(_) | Command::Doctor(_) | Command::Restore(_) | Command::Completions(_) => {
            unreachable!("answered without the daemon")
        }
    }
}

/// Does it to every session named, whatever becomes of the others. The last fault decides the exit code.
async fn for_each(ids: &[String], act: impl AsyncFn(&str) -> Result<String, Refusal>) -> Result<(), Refusal> {
    let mut fault: Option<Refusal> = None;
    for id in ids {
        match act(id).await {
            Ok(message) => output::done(&message)?,
            Err(refusal) => {
                let unreachable = refusal.code == Fault::Unreachable;
                if let Some(earlier) = fault.replace(refusal) {
                    output::report(&earlier);
                }
                if unreachable {
                    break; // so are the others
                }
            }
        }
    }
    fault.map_or(Ok(()), Err)
}

/// The session by its whole id, for those who come back to it: its name may change meanwhile.
async fn whole_id(id: &str, daemon: &Client) -> Result<String, Refusal> {
    let SessionBody { session, .. } = daemon.get(Route::session(id, "")).await?;
    Ok(session.id.to_string())
}

/// What a start takes from this shell: the agent that is found here is the one to start, whatever PATH the daemon
/// was started with, and the SSH agent of this login is the one that is there.
fn of_this_shell(names: &[&str], here: &dyn Fn(&str) -> Option<String>) -> Variables {
    names.iter().filter_map(|name| Some(((*name).to_owned(), here(name)?))).collect()
}

/// What a resume takes from this shell: the SSH agent. Which agent runs does not change on the way.
fn resume_request() -> Option<ResumeSession> {
    let shell_env = of_this_shell(&SSH_AGENT, &|name| std::env::var(name).ok());
    (!shell_env.is_empty()).then_some(ResumeSession { shell_env })
}

/// `a1b2c3d4 (api)`
fn called(session: &Session) -> String {
    match &session.name {
        Some(name) => format!("{} ({name})", session.id),
        None => session.id.to_string(),
    }
}

/// The path as the daemon wants it: absolute, without `~` and `..`. What it names need not be there; with `..`
/// in it the folder above must be, because only the file system knows what lies above a link.
fn absolute(path: &Path) -> Result<String, Refusal> {
    let no_home = || Refusal::new(Fault::Usage, "`~` means nothing here: HOME is not set");
    let path = match path.strip_prefix("~") {
        Ok(rest) => PathBuf::from(std::env::var_os("HOME").ok_or_else(no_home)?).join(rest),
        Err(_) => path.to_owned(),
    };
    let shown = path.display().to_string();
    let unclear =
        |error: std::io::Error| Refusal::new(Fault::Missing, format!("no folder `{shown}`: {error}"));
    let climbs = path.components().any(|part| part == Component::ParentDir);
    let path: PathBuf = match (climbs, path.parent(), path.file_name()) {
        // Takes `.` and a slash at the end away; `.` alone leaves one.
        (false, ..) => std::path::absolute(&path).map_err(unclear)?.components().collect(),
        (true, Some(folder), Some(name)) => folder.canonicalize().map_err(unclear)?.join(name),
        (true, ..) => path.canonicalize().map_err(unclear)?,
    };
    path.into_os_string()
        .into_string()
        .map_err(|path| Refusal::new(Fault::Usage, format!("`{}` is not UTF-8", path.display())))
}

/// How long a command that follows waits for the daemon to come back, as it does when it is upgraded.
const RETURN_TIME_MAX: Duration = Duration::from_secs(15);

/// Between two tries.
const RETURN_TRY_EVERY: Duration = Duration::from_millis(100);

/// Tries again while the daemon cannot be reached, for as long as a restart of it may take.
async fn when_back<T>(attempt: impl AsyncFn() -> Result<T, Refusal>) -> Result<T, Refusal> {
    let until = tokio::time::Instant::now() + RETURN_TIME_MAX;
    loop {
        match attempt().await {
            Err(refusal) if refusal.code == Fault::Unreachable && tokio::time::Instant::now() < until => {
                tokio::time::sleep(RETURN_TRY_EVERY).await;
            }
            result => return result,
        }
    }
}

/// Takes each message of a stream until the stream ends. An error is the end as well: the next try tells whether the
/// daemon is gone for good.
async fn each_message<T: DeserializeOwned>(
    mut stream: Stream,
    mut take: impl AsyncFnMut(T) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut messages = Messages::default();
    while let Ok(Some(bytes)) = stream.next().await {
        for data in messages.push(&bytes).map_err(|_| not_understood("a message does not end"))? {
            take(serde_json::from_str(&data).map_err(not_understood)?).await?;
        }
    }
    Ok(())
}

fn not_understood(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(Fault::Internal, format!("cannot understand the daemon: {what}"))
}

/// Follows until the person presses Ctrl+C, which is how following ends and no fault.
async fn until_interrupted(follow: impl Future<Output = Result<(), Refusal>>) -> Result<(), Refusal> {
    tokio::select! {
        result = follow => result,
        signal = tokio::signal::ctrl_c() => {
            signal.map_err(|error| Refusal::new(Fault::Internal, format!("cannot wait for Ctrl+C: {error}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute() {
        let here = std::env::current_dir().unwrap();
        let check = |path: &str, expected: PathBuf| {
            assert_eq!(absolute(Path::new(path)).unwrap(), expected.to_str().unwrap(), "for {path:?}");
        };
        check("/a/b/", "/a/b".into());
        check("/a/./b", "/a/b".into());
        check("x", here.join("x"));
        check(".", here.clone());
        check("./x", here.join("x"));
        check("src/..", here.canonicalize().unwrap());
        check("/..", "/".into());
        check("src/../none", here.canonicalize().unwrap().join("none"));
        check("../none", here.canonicalize().unwrap().parent().unwrap().join("none"));
        let home = PathBuf::from(std::env::var_os("HOME").unwrap());
        check("~/x", home.join("x"));
        check("~", home.components().collect());
        check("~x", here.join("~x"));
        assert_eq!(absolute(Path::new("/no/such/../folder")).unwrap_err().code, Fault::Missing);
    }
}
