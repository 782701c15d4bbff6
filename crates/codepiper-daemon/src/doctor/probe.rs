//! Looks: at files, programs, tmux. Everything at once, each thing for a limited time, and without a trace.

use super::machine::tmux_trouble;
use super::{
    Agents, Answers, Content, Facts, Files, Kind, Lock, Packages, Probed, Program, Seen, TmuxFacts,
    WatchLimits, What,
};
use crate::config::Config;
use crate::knowledge::load_prices;
use crate::notifications::load_handlers;
use crate::processes;
use crate::providers::{Providers, ask_version, find_program};
use crate::watch::Watch;
use codepiper_core::ids::SessionId;
use codepiper_core::launch::ProcessRef;
use codepiper_store::StoreError;
use codepiper_tmux::{Command, Link, NewSession, Server, Tmux};
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one thing is looked at. Longer than what the slowest waits for itself: ten seconds for a program
/// to say its version, or for tmux to answer.
pub const PROBE_TIME_MAX: Duration = Duration::from_secs(12);

/// Where a program that installs programs is, whatever PATH says.
const SYSTEM_PATH: &str = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin:/opt/homebrew/bin";

/// How long a trial session lives if the doctor is killed in the middle: the server goes with it.
const TRIAL_SECONDS: &str = "30";

/// Gathers the facts.
pub(super) async fn look(config: &Config, codepiper: &str, answers: impl Future<Output = Answers>) -> Facts {
    let path = config.environment.get("PATH").map(String::as_str).unwrap_or_default();
    let home = config.home.clone();
    let (disk_free, watching, tmux, git, agents, files, answers) = tokio::join!(
        blocking(move || disk_free(&home)),
        blocking(|| Watch::start().map(drop).map_err(|error| format!("{error:#}"))),
        look_at_tmux(config, path),
        look_at_git(path),
        limited(look_at_agents(config, path)),
        look_at_files(config),
        answers,
    );
    Facts {
        codepiper: codepiper.to_owned(),
        user: rustix::process::getuid().as_raw(),
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
        packages: packages(),
        disk_free,
        watching,
        watch_limits: watch_limits(),
        tmux,
        git,
        agents,
        files,
        prices: load_prices(&config.prices_file()).map(drop),
        handlers: load_handlers(&config.handlers_file()).map(drop),
        answers,
    }
}

async fn limited<T>(probe: impl Future<Output = Probed<T>>) -> Probed<T> {
    let late = || Err(format!("no answer within {} s", PROBE_TIME_MAX.as_secs()));
    tokio::time::timeout(PROBE_TIME_MAX, probe).await.unwrap_or_else(|_elapsed| late())
}

/// For what may wait for a disk or a network that does not answer. The thread stays with it then.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Probed<T> + Send + 'static) -> Probed<T> {
    let work = tokio::task::spawn_blocking(work);
    limited(async { work.await.unwrap_or_else(|failed| Err(failed.to_string())) }).await
}

fn disk_free(folder: &Path) -> Probed<u64> {
    // What is not there yet will be made on the disk of the folder above.
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    let disk = rustix::fs::statvfs(existing).map_err(|error| error.to_string())?;
    Ok(disk.f_bavail * disk.f_frsize)
}

/// In kernels without these files, and in systems without such limits, there is nothing to judge.
fn watch_limits() -> Option<WatchLimits> {
    let limit =
        |name: &str| fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?.trim().parse().ok();
    Some(WatchLimits { watches: limit("max_user_watches")?, instances: limit("max_user_instances")? })
}

fn packages() -> Option<Packages> {
    use Packages::{Apk, Apt, Brew, Dnf, Pacman, Zypper};
    let known = [
        ("apt-get", Apt),
        ("dnf", Dnf),
        ("apk", Apk),
        ("pacman", Pacman),
        ("zypper", Zypper),
        ("brew", Brew),
    ];
    known.into_iter().find_map(|(program, packages)| find_program(program, SYSTEM_PATH).map(|_| packages))
}

async fn look_at_tmux(config: &Config, path: &str) -> Option<TmuxFacts> {
    let program = find_program(&config.tmux.program.display().to_string(), path)?;
    let tmux = Tmux::new(config.tmux.clone());
    let (version, trial, sessions) = tokio::join!(
        limited(async { tmux.version().await.map_err(|error| tmux_trouble(&error)) }),
        limited(try_tmux(&config.tmux)),
        limited(async {
            let panes = tmux.panes().await.map_err(|error| tmux_trouble(&error))?;
            // A session has several panes when somebody split its window.
            let names: BTreeSet<String> = panes.into_iter().map(|pane| pane.session).collect();
            Ok(names.into_iter().collect())
        }),
    );
    Some(TmuxFacts { path: program, version, trial, sessions })
}

/// Carries a session on a server of our own, as the daemon would on the person's.
async fn try_tmux(like: &Server) -> Probed<Link> {
    let folder = tempfile::Builder::new()
        .prefix("codepiper-doctor-")
        .tempdir()
        .map_err(|error| format!("no folder for its socket: {error}"))?;
    let mut environment = like.environment.clone();
    environment.retain(|(name, _)| name != TRIAL_MARK);
    environment.push((OsString::from(TRIAL_MARK), folder.path().into()));
    let tmux = Tmux::new(Server {
        program: like.program.clone(),
        socket: Some(folder.path().join("s")),
        config: Some("/dev/null".into()),
        environment,
    });
    let mut server = PrivateServer { folder: folder.path().to_owned(), process: None };
    let trial = async {
        let argv = ["sleep".to_owned(), TRIAL_SECONDS.to_owned()];
        let cwd = Path::new("/");
        let new = NewSession { name: "doctor", cwd, size: (80, 24), argv: &argv, pipe: "cat > /dev/null" };
        let pid = tmux.create(&new).await?.server;
        server.process = Some(ProcessRef { pid, started: processes::start_time(pid).unwrap_or(0) });
        // The first command by the control client, if tmux takes one.
        let goes_with_its_program = ["-w", "-t", "=doctor:", "remain-on-exit", "off"];
        tmux.run(&[Command::new("set-option").args(goes_with_its_program)]).await?;
        let there = tmux.panes().await?.iter().any(|pane| pane.session == "doctor");
        let link = tmux.link().await;
        tmux.kill("doctor").await?; // and with the last session the server
        Ok((there, link))
    };
    match trial.await.map_err(|error| tmux_trouble(&error))? {
        (true, link) => Ok(link),
        (false, _) => Err("it was created, and is not in tmux's list".into()),
    }
}

/// A variable that only our own server has with our own value. tmux ignores it where `-S` is given.
const TRIAL_MARK: &str = "TMUX_TMPDIR";

/// The doctor's own tmux server, which is gone when this is dropped, however the trial went.
struct PrivateServer {
    folder: PathBuf,
    process: Option<ProcessRef>,
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        match self.process {
            Some(process) => {
                processes::signal(process, Signal::KILL);
            }
            // It did not even say its pid. Nobody else has this folder in the environment.
            None => {
                for pid in processes::with_variable(TRIAL_MARK, &self.folder.display().to_string()) {
                    let _gone = rustix::process::kill_process(pid, Signal::KILL);
                }
            }
        }
    }
}

async fn look_at_git(path: &str) -> Option<Program> {
    let path = find_program("git", path)?;
    let version = ask_version(&path).await;
    Some(Program { path, version })
}

async fn look_at_agents(config: &Config, path: &str) -> Probed<Agents> {
    let (folder, codepiper) = (config.providers_folder(), config.codepiper.clone());
    let providers =
        blocking(move || Providers::load(&folder, &codepiper).map_err(|error| format!("{error:#}"))).await?;
    let all = providers.view(Some(path)).await;
    let codepiper = config.codepiper.display().to_string();
    let is_built_in = |program: &Option<String>| program.as_ref() == Some(&codepiper);
    let names =
        config.environment.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name.as_str());
    Ok(Agents {
        built_in: all.iter().filter(|view| is_built_in(&view.program)).map(|view| view.id.clone()).collect(),
        credentials: providers.credentials(names).into_iter().map(str::to_owned).collect(),
        bad: providers.bad,
        all,
    })
}

async fn look_at_files(config: &Config) -> Files {
    let follow = |path: PathBuf| async move { seen(path, |path| fs::metadata(path)).await };
    let database = config.database.clone();
    let sessions_folder = config.home.join("sessions");
    let beside = |ending: &str| {
        let mut name = database.as_os_str().to_owned();
        name.push(ending);
        follow(PathBuf::from(name))
    };
    let lock_file = config.lock_file();
    let (
        home,
        database_seen,
        log,
        wal,
        shm,
        socket,
        socket_folder,
        socket_listened,
        lock,
        (session_folders, content),
    ) = tokio::join!(
        follow(config.home.clone()),
        follow(config.database.clone()),
        follow(config.log_file()),
        beside("-wal"),
        beside("-shm"),
        // A link in the place of the socket is not followed: the daemon would not either.
        seen(config.socket.clone(), |path| fs::symlink_metadata(path)),
        follow(config.socket.parent().unwrap_or(Path::new("/")).to_owned()),
        is_listened(&config.socket),
        blocking(move || Ok(look_at_lock(&lock_file))),
        async {
            // Folders first: one that is made meanwhile has its row already.
            let folders = folders(sessions_folder.clone()).await;
            (folders, look_into(config.database.clone(), config.keys_folder()).await)
        },
    );
    Files {
        home,
        database: database_seen,
        beside_database: vec![wal, shm],
        content,
        socket,
        socket_folder,
        socket_listened,
        lock: lock.unwrap_or(Lock::Free),
        log,
        session_folders,
        sessions_folder,
    }
}

async fn seen(path: PathBuf, ask: fn(&Path) -> std::io::Result<fs::Metadata>) -> Seen {
    let of = path.clone();
    let what = blocking(move || match ask(&of) {
        Ok(facts) => Ok(Some(what(&facts))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    });
    Seen { what: what.await, path }
}

fn what(facts: &fs::Metadata) -> What {
    let kind = match facts.file_type() {
        kind if kind.is_file() => Kind::File,
        kind if kind.is_dir() => Kind::Folder,
        kind if kind.is_socket() => Kind::Socket,
        _ => Kind::Other,
    };
    What { kind, owner: facts.uid(), mode: facts.mode() & 0o7777, bytes: facts.len() }
}

async fn is_listened(socket: &Path) -> Probed<bool> {
    limited(async {
        match tokio::net::UnixStream::connect(socket).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => {
                Ok(false)
            }
            Err(error) => Err(error.to_string()),
        }
    })
    .await
}

async fn look_into(database: PathBuf, keys: PathBuf) -> Content {
    let read = |database: &Path, keys| -> Result<Content, StoreError> {
        let schema = codepiper_store::verify(database)?.schema;
        let sessions = codepiper_store::session_ids(database)?;
        let (env_sets, keyless) = crate::env_sets::look(database, keys)?;
        Ok(Content::Whole { schema, sessions: sessions.into_iter().collect(), env_sets, keyless })
    };
    let looked = blocking(move || {
        if !fs::metadata(&database).is_ok_and(|facts| facts.is_file() && facts.len() > 0) {
            return Ok(Content::Nothing);
        }
        Ok(match read(&database, keys) {
            Ok(content) => content,
            Err(StoreError::TooNew { found, .. }) => Content::TooNew { schema: found },
            Err(error) if error.is_damage() => Content::Damaged(error.to_string()),
            Err(error) => Content::Unknown(error.to_string()),
        })
    });
    looked.await.unwrap_or_else(Content::Unknown)
}

/// The lock itself is asked only where its holder lives: a daemon that is just starting finds it free.
fn look_at_lock(path: &Path) -> Lock {
    let Ok(text) = fs::read_to_string(path) else { return Lock::Free };
    let Some((pid, socket)) = text.trim().split_once(' ') else { return Lock::Free };
    let Ok(pid) = pid.parse() else { return Lock::Free };
    let is_free =
        || File::open(path).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_ok());
    if !processes::is_alive(ProcessRef { pid, started: 0 }) || is_free() {
        return Lock::Free;
    }
    Lock::Held { pid, socket: socket.into() }
}

/// The folders of sessions. Names that are no id are nobody's business.
async fn folders(root: PathBuf) -> Option<Vec<SessionId>> {
    let listed = blocking(move || {
        let entries = fs::read_dir(root).map_err(|error| error.to_string())?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut ids: Vec<SessionId> = names.filter_map(|name| SessionId::parse(&name).ok()).collect();
        ids.sort_by_key(ToString::to_string);
        Ok(ids)
    });
    listed.await.ok()
}
