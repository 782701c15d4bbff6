//! Names and values that more than one process must agree on, each once.

use std::path::PathBuf;

/// The socket when nothing else is said, as the user documents promise.
pub const SOCKET: &str = "/tmp/codepiper.sock";

/// The variable that says another socket.
pub const SOCKET_VARIABLE: &str = "CODEPIPER_SOCKET";

/// The variable that says where the database is.
pub const DATABASE_VARIABLE: &str = "CODEPIPER_DB_PATH";

/// The variable that moves everything under `~/.codepiper` elsewhere.
pub const HOME_VARIABLE: &str = "CODEPIPER_HOME";

/// The variable that names a tmux socket, in place of the user's default tmux server.
pub const TMUX_SOCKET_VARIABLE: &str = "CODEPIPER_TMUX_SOCKET";

/// The variable that names a tmux configuration, in place of the user's own.
pub const TMUX_CONFIG_VARIABLE: &str = "CODEPIPER_TMUX_CONFIG";

/// In an agent's environment: where its hooks go.
pub const HOOK_SOCKET_VARIABLE: &str = "CODEPIPER_UNIX_SOCK";

/// In an agent's environment: which session it is.
pub const HOOK_SESSION_VARIABLE: &str = "CODEPIPER_SESSION";

/// In an agent's environment: what proves it. Good for reporting about that one session and nothing else.
pub const HOOK_SECRET_VARIABLE: &str = "CODEPIPER_SECRET";

/// In an agent's environment: the folder for hook events while the daemon is down.
pub const HOOK_SPOOL_VARIABLE: &str = "CODEPIPER_SPOOL";

/// The header that carries the secret.
pub const HOOK_SECRET_HEADER: &str = "x-codepiper-secret";

/// The header that carries the event's own id, so that an event that is sent again counts once.
pub const HOOK_EVENT_ID_HEADER: &str = "x-codepiper-event-id";

/// The header of the answer to a hook that is to wait: the approval's number in its session. The body is what the hook
/// prints should nobody be there to wait for.
pub const HOOK_WAITS_HEADER: &str = "x-codepiper-waits";

/// Columns and rows of a new session.
pub const SIZE: (u16, u16) = (120, 30);

/// The folder of everything we keep, `~/.codepiper` unless [`HOME_VARIABLE`] says otherwise.
pub fn home() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(HOME_VARIABLE).or_else(|| set("HOME").map(|home| home.join(".codepiper")))
}

/// The socket: what a flag says, else the environment, else the default. The one rule for every command.
pub fn socket(flag: Option<PathBuf>) -> PathBuf {
    let set = || std::env::var_os(SOCKET_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    flag.or_else(set).unwrap_or_else(|| PathBuf::from(SOCKET))
}
