//! What the daemon was told at its start: flags and environment, checked once. Nobody else reads the
//! environment.

use anyhow::{Context, Result, bail};
use codepiper_api::defaults;
use codepiper_tmux::Server;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// The longest path of a Unix socket, in bytes, on the strictest system we run on (macOS).
pub const SOCKET_PATH_MAX: usize = 103;

/// Variables that the tmux server may have when we are the ones who start it: enough for a person's shell
/// in a new window, no secret. Agents get their environment another way.
const FOR_TMUX: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TERM",
    "TMPDIR",
    "TMUX_TMPDIR",
    "TZ",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
];

/// The daemon's configuration.
#[derive(Clone)]
pub struct Config {
    /// The folder of everything we keep.
    pub home: PathBuf,
    /// Where clients connect.
    pub socket: PathBuf,
    /// Where the database is.
    pub database: PathBuf,
    /// The tmux server that carries the sessions.
    pub tmux: Server,
    /// Our own program, for panes and hooks.
    pub codepiper: PathBuf,
    /// The daemon's environment, of which agents get theirs.
    pub environment: BTreeMap<String, String>,
}

impl Config {
    /// Reads flags and environment.
    pub fn new(
        socket: Option<PathBuf>,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self> {
        let environment: BTreeMap<String, String> = environment
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let set = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = set(defaults::HOME_VARIABLE)
            .or_else(|| set("HOME").map(|home| home.join(".codepiper")))
            .context("neither CODEPIPER_HOME nor HOME is set: no place to keep anything")?;
        if !home.is_absolute() {
            bail!("`{}` is not an absolute path", home.display());
        }
        let socket = socket
            .or_else(|| set(defaults::SOCKET_VARIABLE))
            .unwrap_or_else(|| PathBuf::from(defaults::SOCKET));
        let socket = std::path::absolute(socket).context("finding the socket's folder")?;
        if socket.as_os_str().len() > SOCKET_PATH_MAX {
            bail!("the socket's path `{}` is longer than {SOCKET_PATH_MAX} bytes", socket.display());
        }
        let database = set(defaults::DATABASE_VARIABLE).unwrap_or_else(|| home.join("codepiper.db"));
        let tmux = Server {
            program: "tmux".into(),
            socket: set(defaults::TMUX_SOCKET_VARIABLE),
            config: set(defaults::TMUX_CONFIG_VARIABLE),
            environment: FOR_TMUX
                .iter()
                .filter_map(|name| Some(((*name).into(), environment.get(*name)?.into())))
                .collect(),
        };
        let codepiper = std::env::current_exe().context("finding our own program")?;
        // An upgrade replaces the file: Linux then shows the old one with this mark.
        let codepiper = match codepiper.to_str().and_then(|path| path.strip_suffix(" (deleted)")) {
            Some(path) => PathBuf::from(path),
            None => codepiper,
        };
        Ok(Self { home, socket, database: std::path::absolute(database)?, tmux, codepiper, environment })
    }

    /// The lock that makes the daemon single for its database.
    pub fn lock_file(&self) -> PathBuf {
        beside(&self.database, ".lock")
    }

    /// The log.
    pub fn log_file(&self) -> PathBuf {
        self.home.join("logs").join("daemon.log")
    }

    /// The folder of one session.
    pub fn session_folder(&self, id: &codepiper_core::ids::SessionId) -> PathBuf {
        self.home.join("sessions").join(id.as_str())
    }

    /// The folder of the keys that env sets are sealed with.
    pub fn keys_folder(&self) -> PathBuf {
        self.home.join("keys")
    }

    /// The user's own prices of tokens.
    pub fn prices_file(&self) -> PathBuf {
        self.home.join("prices.toml")
    }

    /// Where the user's handlers of notifications are.
    pub fn handlers_file(&self) -> PathBuf {
        self.home.join("handlers.toml")
    }

    /// The folder of the user's own provider definitions.
    pub fn providers_folder(&self) -> PathBuf {
        self.home.join("providers")
    }
}

impl fmt::Debug for Config {
    /// Without the environment: it may hold secrets, and this goes into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { home, socket, database, tmux, codepiper, environment: _ } = self;
        f.debug_struct("Config")
            .field("home", home)
            .field("socket", socket)
            .field("database", database)
            .field("tmux", &tmux.socket)
            .field("codepiper", codepiper)
            .finish_non_exhaustive()
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
