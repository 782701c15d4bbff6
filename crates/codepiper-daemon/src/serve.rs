//! The daemon from start to end: lock, store, tmux, sessions, socket; and back.

use crate::app::App;
use crate::budgets;
use crate::bus::Bus;
use crate::caller::Peer;
use crate::config::Config;
use crate::http::{Http, router};
use crate::knowledge::{self, Knowledge};
use crate::live::{self, Live};
use crate::log;
use crate::notifications::{self, Notifications};
use crate::policies::{self, Policies};
use crate::providers::Providers;
use crate::retention;
use crate::sessions::Sessions;
use crate::settings;
use crate::watch::Watch;
use anyhow::{Context, Result, bail};
use codepiper_core::budget::Budget;
use codepiper_store::{Durability, Store};
use codepiper_tmux::Tmux;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustix::fs::{FlockOperation, flock};
use rustix::process::umask;
use serde_json::json;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections at a time. 50 agents with parallel hooks and a few dashboards stay far below.
const CONNECTIONS_MAX: usize = 1_024;

/// What requests in progress may take when the daemon ends. SIGTERM promises five seconds in all.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// Told to whoever started the daemon when it is ready.
#[derive(Debug, Clone)]
pub struct Running {
    /// What the daemon was told.
    pub config: Config,
    /// Sessions it found.
    pub live_sessions: usize,
    /// From the start of the process to now.
    pub took: Duration,
}

/// Runs the daemon until a signal ends it. `ready` is called once clients can connect.
pub async fn run(config: Config, to_terminal: bool, ready: impl FnOnce(&Running)) -> Result<()> {
    let started = Instant::now();
    make_folder(&config.home)?;
    if let Some(folder) = config.database.parent() {
        make_folder(folder)?;
    }
    let lock = single_instance(&config)?;
    let level = config.environment.get("CODEPIPER_LOG").cloned();
    log::start(&config.log_file(), level.as_deref(), to_terminal)?;
    let listener = bind(&config.socket)?;
    let store = open_store(&config)?;
    let (knowledge, looks) = Knowledge::new();
    let app = Arc::new(App {
        tmux: Tmux::new(config.tmux.clone()),
        providers: Providers::load(&config.providers_folder(), &config.codepiper)?,
        watch: Watch::start()?,
        bus: Bus::new(),
        policies: Policies::load(&store).await?,
        live: Live::default(),
        notifications: Notifications::new(config.handlers_file()),
        store,
        config,
        knowledge,
        daily_budget: watch::Sender::new(Budget::default()),
        audited: watch::Sender::new(()),
        is_ending: AtomicBool::new(false),
        started,
    });
    budgets::keep_daily(&app).await;
    notifications::keep_rules(&app).await;
    let learning = tokio::spawn(knowledge::run(app.clone(), looks));
    let sessions = Sessions::new(app.clone());
    let adopted = sessions.adopt().await?;
    live::begin(&app).await;
    let counting = tokio::spawn(live::count_all(app.clone(), sessions.list()));
    let telling = tokio::spawn(notifications::run(app.clone(), sessions.clone()));
    let delivering = tokio::spawn(notifications::run_deliveries(app.clone()));
    tracing::info!(?adopted, socket = %app.config.socket.display(), "ready");
    let http = Http { app: app.clone(), sessions: sessions.clone() };
    let retention = tokio::spawn(retention::run(app.clone(), sessions.clone()));
    let keeping_rules = tokio::spawn(policies::keep_rules(app.clone(), sessions.clone()));
    // Before anybody is told: whoever starts the daemon may end it at once.
    let told_to_end = told_to_end()?;
    ready(&Running {
        config: app.config.clone(),
        live_sessions: adopted.live + adopted.brought_back,
        took: started.elapsed(),
    });

    let mut connections = JoinSet::new();
    let server =
        Server { listener, router: router(http), permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)) };
    server.serve_until(&mut connections, told_to_end).await;

    let preserve = settings::get(&app, settings::PRESERVE_SESSIONS).await != json!(false);
    tracing::info!(sessions_go_on = preserve, "ending");
    if !preserve {
        // Served on meanwhile: agents that end report it by their hooks.
        let by = "the daemon ended, and the setting preserveSessions is false";
        server.serve_until(&mut connections, sessions.stop_all(by)).await;
    }
    retention.abort();
    keeping_rules.abort();
    learning.abort();
    counting.abort();
    telling.abort();
    delivering.abort();
    drop(server);
    remove_own_socket(&app.config.socket);
    app.is_ending.store(true, Ordering::Relaxed);
    connections.abort_all();
    let drained = tokio::time::timeout(DRAIN_TIME_MAX, async {
        while connections.join_next().await.is_some() {}
        sessions.let_go().await;
    });
    if drained.await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    drop(lock);
    Ok(())
}

/// Completes when a signal says to end.
fn told_to_end() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                // The terminal it was started in closed; sessions and daemon go on without it.
                _ = hang_up.recv() => {}
            }
        }
    })
}

/// What accepts connections.
struct Server {
    listener: UnixListener,
    router: axum::Router,
    permits: Arc<Semaphore>,
}

impl Server {
    async fn serve_until(&self, connections: &mut JoinSet<()>, end: impl Future<Output = ()>) {
        tokio::pin!(end);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut end => return,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((connection, _)) => self.take(connection, connections),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await; // out of files: let some end
                }
            }
        }
    }

    fn take(&self, connection: UnixStream, connections: &mut JoinSet<()>) {
        let me = rustix::process::getuid().as_raw();
        if !connection.peer_cred().is_ok_and(|peer| peer.uid() == me) {
            tracing::warn!("refused a connection of another user");
            return;
        }
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            tracing::warn!("refused a connection: {CONNECTIONS_MAX} are open");
            return;
        };
        let router = self.router.clone();
        connections.spawn(async move {
            serve_one(connection, router).await;
            drop(permit);
        });
    }
}

async fn serve_one(connection: UnixStream, router: axum::Router) {
    let peer = Peer::of(&connection);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<_>| {
        request.extensions_mut().insert(peer.clone());
        router.call(request)
    });
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// Opens the store.
fn open_store(config: &Config) -> Result<Store> {
    // SQLite gives its log files the mode of the database: owner-only from the start.
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&config.database)
        .with_context(|| format!("opening the database {}", config.database.display()))?;
    let durability = match config.environment.get("CODEPIPER_DURABILITY").map(String::as_str) {
        None | Some("process") => Durability::Process,
        Some("power-cut") => Durability::PowerCut,
        Some(other) => bail!("CODEPIPER_DURABILITY: `{other}` is neither process nor power-cut"),
    };
    Store::open(&config.database, durability)
        .with_context(|| format!("opening the database {}", config.database.display()))
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("making {}", folder.display()))
}

/// Takes the lock of the database, or says who has it.
fn single_instance(config: &Config) -> Result<File> {
    let path = config.lock_file();
    let mut file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        file.read_to_string(&mut holder).with_context(|| format!("reading {}", path.display()))?;
        bail!(AlreadyRunning { holder: holder.trim().to_owned() });
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{} {}", std::process::id(), config.socket.display())?;
    Ok(file)
}

/// Another daemon has the database.
#[derive(Debug, thiserror::Error)]
#[error("a daemon is already running for this database (process and socket: {holder})")]
pub struct AlreadyRunning {
    /// Its pid and socket.
    pub holder: String,
}

/// Binds the socket, owner-only. A leftover of a dead daemon of ours goes; anything else is refused.
fn bind(path: &Path) -> Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(facts) if !facts.file_type().is_socket() => {
            bail!(
                "`{}` is there and is no socket; move it away or choose another with --socket",
                path.display()
            )
        }
        Ok(facts) if facts.uid() != rustix::process::getuid().as_raw() => {
            bail!(
                "the socket `{}` belongs to another user (uid {}); choose another with --socket",
                path.display(),
                facts.uid()
            )
        }
        Ok(_) => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                bail!("another program listens on `{}`; choose another with --socket", path.display());
            }
            fs::remove_file(path).with_context(|| format!("removing the old socket {}", path.display()))?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("looking at {}", path.display())),
    }
    // Nothing else makes files yet, so the umask of the process can be changed for a moment.
    let before = umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    umask(before);
    bound.with_context(|| format!("listening on {}", path.display()))
}

fn remove_own_socket(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(%error, "the socket stays behind");
    }
}
