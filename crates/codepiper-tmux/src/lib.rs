//! tmux, the only crate that starts it.
//!
//! It knows sessions, panes, keys and bytes of tmux, and nothing of agents. Commands go through one control
//! client (`tmux -C`), which costs a fraction of a millisecond each; while there is none (no session yet, or
//! tmux refuses control clients) the same commands go through a `tmux` process each.
//!
//! The law to keep: a target is a pane id or `=name`, never a bare name, because tmux matches those by
//! prefix.

mod client;
mod control;
mod quote;

pub use client::Link;
pub use quote::Command;

use client::Control;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, broadcast};

/// The oldest tmux whose control mode has what we use (`ignore-size` and other client flags came with 3.2).
pub const OLDEST: Version = Version { major: 3, minor: 2 };

/// How long a command may take. tmux answers in a millisecond; ten seconds mean it hangs.
pub const COMMAND_TIME_MAX: Duration = Duration::from_secs(10);

/// Which tmux server to talk to.
#[derive(Debug, Clone)]
pub struct Server {
    /// The program.
    pub program: PathBuf,
    /// The socket's path (`-S`); `None` for the user's default server.
    pub socket: Option<PathBuf>,
    /// The configuration to start with (`-f`); `None` for the user's own.
    pub config: Option<PathBuf>,
    /// The whole environment for tmux processes. The server, where we are the ones who start it, keeps it
    /// for its lifetime and shows it to anybody who asks: it must hold no secret.
    pub environment: Vec<(OsString, OsString)>,
}

/// A tmux version. `3.3a` is 3.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // the words say it
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

/// What went wrong with tmux.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TmuxError {
    /// The program could not be started.
    #[error("cannot start `{program}`: {why}; install tmux 3.2 or later")]
    NotStarted {
        /// The program.
        program: String,
        /// Why.
        why: String,
    },
    /// tmux refused the command.
    #[error("tmux refused `{command}`: {why}")]
    Refused {
        /// The command's name.
        command: String,
        /// What tmux said.
        why: String,
    },
    /// No answer in time; whether it was done is unknown.
    #[error("tmux did not answer `{command}` within {} s", COMMAND_TIME_MAX.as_secs())]
    TimedOut {
        /// The command's name.
        command: String,
    },
    /// The control connection ended before the command was written to it, or its session did: it was not done.
    #[error("the connection to tmux was lost before `{command}`")]
    NotSent {
        /// The command's name.
        command: String,
    },
    /// The control connection ended before the answer; whether it was done is unknown.
    #[error("the connection to tmux was lost during `{command}`")]
    Lost {
        /// The command's name.
        command: String,
    },
    /// tmux answered something that is not of the form it documents.
    #[error("tmux answered `{command}` with something unexpected: {answer}")]
    Strange {
        /// The command's name.
        command: String,
        /// The answer.
        answer: String,
    },
}

/// What tmux answers to any command when its last session has just gone, and to a client for a moment after the
/// session has gone that it is attached to.
pub(crate) const HOMELESS: &str = "no current target";

impl TmuxError {
    /// Whether the server went away in the middle of it: the next try starts or finds another.
    fn is_dying_server(&self) -> bool {
        match self {
            Self::Lost { .. } => true,
            Self::Refused { why, .. } => {
                ["server exited", "lost server", HOMELESS].iter().any(|saying| why.contains(saying))
            }
            _ => false,
        }
    }

    /// Whether there is no server at all, or one without any session: only then is the list of its sessions known
    /// to be empty.
    fn is_no_server(&self) -> bool {
        const NOBODY: [&str; 4] =
            ["no server running", "(No such file or directory)", "(Connection refused)", HOMELESS];
        matches!(self, Self::Refused { why, .. } if NOBODY.iter().any(|saying| why.contains(saying)))
    }

    /// Whether tmux said that there is no such session, pane or server.
    pub fn is_not_found(&self) -> bool {
        const SAYINGS: [&str; 6] = [
            "can't find",
            "no server running",
            "error connecting to",
            "no sessions",
            "server exited",
            HOMELESS,
        ];
        matches!(self, Self::Refused { why, .. } if SAYINGS.iter().any(|saying| why.contains(saying)))
    }
}

/// How often a session is tried again while the server it would live in is going down.
const DYING_ATTEMPTS: usize = 40;

/// The pause between two tries. A server is gone within a tenth of a second.
const DYING_PAUSE: Duration = Duration::from_millis(50);

/// A result of tmux.
pub type Result<T, E = TmuxError> = std::result::Result<T, E>;

/// Something happened in tmux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// A session came or went.
    SessionsChanged,
    /// The control connection was lost; what happened since is unknown until asked.
    Disconnected,
}

/// A session to create.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it starts.
    pub cwd: &'a Path,
    /// Columns and rows.
    pub size: (u16, u16),
    /// Program and arguments, run without a shell.
    pub argv: &'a [String],
    /// Where the pane's output is piped, a shell command; tmux expands `#{…}` in it.
    pub pipe: &'a str,
}

/// A pane as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pane {
    /// The session's name.
    pub session: String,
    /// tmux's id, e.g. `%3`.
    pub id: String,
    /// The pid of the program tmux started in it.
    pub pid: u32,
    /// Whether that program has ended (the pane stays, to be read).
    pub dead: bool,
    /// Whether output is piped.
    pub piped: bool,
    /// Columns and rows.
    pub size: (u16, u16),
    /// The tmux server's own process: another one means that everything before is gone.
    pub server: u32,
}

/// The connection to one tmux server. Clones share it.
#[derive(Clone)]
pub struct Tmux {
    inner: Arc<Inner>,
}

struct Inner {
    server: Server,
    /// Sessions of ours that a control client may attach to.
    homes: Mutex<BTreeSet<String>>,
    control: AsyncMutex<ControlState>,
    notices: broadcast::Sender<Notice>,
}

#[derive(Default)]
struct ControlState {
    control: Option<Control>,
    /// When control mode failed, it is not tried again before this moment.
    not_before: Option<tokio::time::Instant>,
}

/// Notices that a slow listener may lag behind; it then asks for the whole state anyway.
const NOTICES_MAX: usize = 64;

/// How long commands go through processes after control mode failed. tmux 3.6a was seen to refuse control
/// clients until its restart.
const CONTROL_PAUSE: Duration = Duration::from_secs(30);

impl Tmux {
    /// Nothing is started before the first command.
    pub fn new(server: Server) -> Self {
        let (notices, _) = broadcast::channel(NOTICES_MAX);
        let inner = Inner { server, homes: Mutex::default(), control: AsyncMutex::default(), notices };
        Self { inner: Arc::new(inner) }
    }

    /// What happens in tmux from now on, as far as the control connection sees it.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.inner.notices.subscribe()
    }

    /// The server this talks to.
    pub fn server(&self) -> &Server {
        &self.inner.server
    }

    /// The version of the program.
    pub async fn version(&self) -> Result<Version> {
        let output = self.process(&["-V".into()]).await?;
        let text = String::from_utf8_lossy(&output).trim().to_owned();
        parse_version(&text).ok_or(TmuxError::Strange { command: "-V".into(), answer: text })
    }

    /// Says that a session is ours, so that the control client may live in it.
    pub fn adopt(&self, name: &str) {
        self.homes().insert(name.to_owned());
    }

    /// Creates a session with one window and one pane, kept when its program ends.
    pub async fn create(&self, new: &NewSession<'_>) -> Result<Pane> {
        let target = format!("={}:", new.name);
        let mut create = Command::new("new-session")
            .args(["-d", "-s", new.name, "-n", new.name])
            .args(["-x".to_owned(), new.size.0.to_string(), "-y".to_owned(), new.size.1.to_string()])
            .args(["-c".to_owned(), new.cwd.display().to_string()])
            .args(["-P", "-F", PANE_FORMAT, "--"]);
        create = create.args(new.argv.iter().cloned());
        let commands = [
            create,
            // Before tmux looks at its children again: even a program that ends at once leaves its pane.
            Command::new("set-option").args(["-w", "-t", &target, "remain-on-exit", "on"]),
            Command::new("pipe-pane").args(["-O", "-t", &target, new.pipe]),
            // Settings of the user that would take the session away or rename it.
            Command::new("set-option").args(["-t", &target, "destroy-unattached", "off"]),
            Command::new("set-option").args(["-w", "-t", &target, "allow-rename", "off"]),
        ];
        let mut attempts = 0;
        let answers = loop {
            match self.run(&commands).await {
                Err(error) if error.is_dying_server() && attempts < DYING_ATTEMPTS => {
                    attempts += 1;
                    tokio::time::sleep(DYING_PAUSE).await;
                }
                outcome => break outcome?,
            }
        };
        let text = String::from_utf8_lossy(answers.first().map_or(&[][..], Vec::as_slice)).into_owned();
        let pane = text
            .lines()
            .find_map(parse_pane)
            .ok_or(TmuxError::Strange { command: "new-session".into(), answer: text })?;
        self.adopt(new.name);
        Ok(pane)
    }

    /// Starts a program in a pane whose earlier program ended, and pipes its output when told where to.
    pub async fn respawn(&self, pane: &str, cwd: &Path, argv: &[String], pipe: Option<&str>) -> Result<Pane> {
        let respawn = Command::new("respawn-pane")
            .args(["-k".to_owned(), "-t".to_owned(), pane.to_owned(), "-c".to_owned()])
            .args([cwd.display().to_string(), "--".to_owned()])
            .args(argv.iter().cloned());
        let mut commands = vec![respawn];
        commands.extend(pipe.map(|pipe| Command::new("pipe-pane").args(["-O", "-t", pane, pipe])));
        commands.push(Command::new("display-message").args(["-p", "-t", pane, PANE_FORMAT]));
        let answers = self.run(&commands).await?;
        let text = String::from_utf8_lossy(answers.last().map_or(&[][..], Vec::as_slice)).into_owned();
        text.lines()
            .find_map(parse_pane)
            .ok_or(TmuxError::Strange { command: "respawn-pane".into(), answer: text })
    }

    /// All panes of all sessions; empty when no server runs.
    pub async fn panes(&self) -> Result<Vec<Pane>> {
        let mut attempts = 0;
        loop {
            match self.list_panes().await {
                // A server that is going down is about to be none.
                Err(error) if error.is_dying_server() && attempts < DYING_ATTEMPTS => {
                    attempts += 1;
                    tokio::time::sleep(DYING_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn list_panes(&self) -> Result<Vec<Pane>> {
        match self.run(&[Command::new("list-panes").args(["-a", "-F", PANE_FORMAT])]).await {
            Ok(answers) => {
                let text =
                    String::from_utf8_lossy(answers.first().map_or(&[][..], Vec::as_slice)).into_owned();
                Ok(text.lines().filter_map(parse_pane).collect())
            }
            Err(error) if error.is_no_server() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The pane's screen with colours, as lines of text with SGR sequences; `history` lines above it too.
    pub async fn capture(&self, pane: &str, history: u32) -> Result<Vec<u8>> {
        let start = format!("-{history}");
        let capture = Command::new("capture-pane").args(["-p", "-e", "-t", pane, "-S", &start]);
        Ok(self.run(&[capture]).await?.into_iter().next().unwrap_or_default())
    }

    /// Pipes the pane's output to a command, in place of where it went before.
    pub async fn pipe(&self, pane: &str, command: &str) -> Result<()> {
        self.run(&[Command::new("pipe-pane").args(["-O", "-t", pane, command])]).await.map(drop)
    }

    /// Presses keys, in order, in one go. A pane in copy mode leaves it first.
    pub async fn keys(&self, pane: &str, keys: &[Press]) -> Result<()> {
        let mut commands = vec![leave_copy_mode(pane)];
        for key in keys {
            let send = Command::new("send-keys").args(["-t", pane]);
            commands.push(match key {
                Press::Named(name) => send.arg(name.clone()),
                Press::Literal(text) => send.args(["-l", "--", text]),
                Press::Bytes(bytes) => send.arg("-H").args(bytes.iter().map(|byte| format!("{byte:02x}"))),
            });
        }
        self.run(&commands).await.map(drop)
    }

    /// Pastes a file's text, bracketed where the program asked for it. The buffer is gone afterwards.
    ///
    /// tmux 3.3a dies of a paste into a pane whose program has ended, and all sessions with it (measured): hence
    /// the condition, which tmux looks at in the same breath.
    pub async fn paste(&self, pane: &str, buffer: &str, file: &Path) -> Result<()> {
        let file = file.display().to_string();
        let forget = Command::new("delete-buffer").args(["-b", buffer]);
        let paste = Command::new("paste-buffer").args(["-p", "-d", "-b", buffer, "-t", pane]);
        let answers = self
            .run(&[
                leave_copy_mode(pane),
                Command::new("load-buffer").args(["-b", buffer, &file]),
                Command::if_format(pane, "#{pane_dead}", &forget, &paste),
                Command::new("display-message").args(["-p", "-t", pane, "#{pane_dead}"]),
            ])
            .await?;
        match answers.last() {
            Some(dead) if dead.starts_with(b"1") => {
                let why = "the program in the pane has ended".to_owned();
                Err(TmuxError::Refused { command: paste.name().to_owned(), why })
            }
            _ => Ok(()),
        }
    }

    /// Gives the session's window a size, which then stays whoever attaches.
    pub async fn resize(&self, session: &str, cols: u16, rows: u16) -> Result<()> {
        let (target, cols, rows) = (format!("={session}:"), cols.to_string(), rows.to_string());
        self.run(&[Command::new("resize-window").args(["-t", &target, "-x", &cols, "-y", &rows])])
            .await
            .map(drop)
    }

    /// Ends a session and its pane. Fine when it is gone already.
    pub async fn kill(&self, session: &str) -> Result<()> {
        self.homes().remove(session);
        let target = format!("={session}");
        let kill = [Command::new("kill-session").args(["-t", &target])];
        let mut outcome = self.run(&kill).await;
        if matches!(outcome, Err(TmuxError::Lost { .. })) {
            // Our control client lived in a session that was just ended, perhaps this one: ask again.
            outcome = self.run(&kill).await;
        }
        match outcome {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// How commands reach tmux now.
    pub async fn link(&self) -> Link {
        let state = self.inner.control.lock().await;
        match (&state.control, state.not_before) {
            (Some(_), _) => Link::Control,
            (None, Some(_)) => Link::ProcessesAfterFailure,
            (None, None) => Link::Processes,
        }
    }

    /// Runs commands in order as one list: the first that fails ends it. One answer a command.
    pub async fn run(&self, commands: &[Command]) -> Result<Vec<Vec<u8>>> {
        let name = commands.last().map_or_else(String::new, |command| command.name().to_owned());
        while let Some(answer) = self.by_control(commands).await {
            match tokio::time::timeout(COMMAND_TIME_MAX, answer).await {
                Ok(Ok(Err(TmuxError::NotSent { .. }))) => {} // by the next connection, or by a process
                Ok(Ok(outcome)) => return outcome,
                Ok(Err(_closed)) => return Err(TmuxError::Lost { command: name }),
                Err(_elapsed) => {
                    // A wedged client never recovers by itself: the next command gets a new one.
                    self.inner.control.lock().await.control = None;
                    return Err(TmuxError::TimedOut { command: name });
                }
            }
        }
        let mut argv: Vec<String> = Vec::new();
        for (n, command) in commands.iter().enumerate() {
            if n > 0 {
                argv.push(";".into());
            }
            argv.extend(command.argv());
        }
        let output = self.process(&argv).await?;
        // A process has one output for all; only the first and last command of a list print anything.
        let mut answers = vec![Vec::new(); commands.len().max(1)];
        let last = answers.len() - 1;
        answers[last].clone_from(&output);
        answers[0] = output;
        Ok(answers)
    }

    async fn by_control(&self, commands: &[Command]) -> Option<client::Answer> {
        let mut state = self.inner.control.lock().await;
        if state.control.as_ref().is_none_or(Control::is_gone) {
            state.control = None;
            if state.not_before.is_some_and(|moment| tokio::time::Instant::now() < moment) {
                return None;
            }
            let homes: Vec<String> = self.homes().iter().cloned().collect();
            if homes.is_empty() {
                return None;
            }
            state.control = Control::connect(&self.inner.server, &homes, &self.inner.notices).await;
            state.not_before = None;
            if state.control.is_none() {
                let sessions =
                    self.process(&["list-sessions".into(), "-F".into(), "#{session_name}".into()]).await;
                let sessions = String::from_utf8_lossy(&sessions.unwrap_or_default()).into_owned();
                self.homes().retain(|home| sessions.lines().any(|session| session == home));
                if !self.homes().is_empty() {
                    tracing::warn!("tmux takes no control client; using one process a command");
                    state.not_before = Some(tokio::time::Instant::now() + CONTROL_PAUSE);
                }
                return None;
            }
        }
        state.control.as_ref()?.send(commands).await
    }

    async fn process(&self, args: &[String]) -> Result<Vec<u8>> {
        let name = args.first().cloned().unwrap_or_default();
        let mut command = self.inner.server.command();
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = self.inner.server.program.display().to_string();
        let running = command.kill_on_drop(true).output();
        let output = tokio::time::timeout(COMMAND_TIME_MAX, running)
            .await
            .map_err(|_| TmuxError::TimedOut { command: name.clone() })?
            .map_err(|why| TmuxError::NotStarted { program, why: why.to_string() })?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(TmuxError::Refused { command: name, why })
        }
    }

    fn homes(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.inner.homes.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// One press on the keyboard of a pane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Press {
    /// A key by tmux's name.
    Named(String),
    /// Text as it is.
    Literal(String),
    /// Bytes as they are.
    Bytes(Vec<u8>),
}

impl Server {
    /// A tmux process for this server, without arguments yet.
    fn command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(self.arguments());
        command
    }

    /// The arguments that choose this server, for whoever runs tmux itself (`attach`).
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments = vec![OsString::from("-u")]; // whatever LANG says, agents print UTF-8
        if let Some(socket) = &self.socket {
            arguments.extend([OsString::from("-S"), socket.into()]);
        }
        if let Some(config) = &self.config {
            arguments.extend([OsString::from("-f"), config.into()]);
        }
        arguments
    }
}

/// What we ask of every pane. The name comes last: it is the only field that may hold a blank.
const PANE_FORMAT: &str = "#{pane_id} #{pane_pid} #{pane_dead} #{pane_pipe} #{pane_width} #{pane_height} \
                           #{pid} #{session_name}";

fn parse_pane(line: &str) -> Option<Pane> {
    let mut fields = line.splitn(8, ' ');
    let mut next = || fields.next();
    let id = next()?.to_owned();
    let pane = Pane {
        pid: next()?.parse().ok()?,
        dead: next()? == "1",
        piped: next()? == "1",
        size: (next()?.parse().ok()?, next()?.parse().ok()?),
        server: next()?.parse().ok()?,
        session: next()?.to_owned(),
        id,
    };
    pane.id.starts_with('%').then_some(pane)
}

fn parse_version(text: &str) -> Option<Version> {
    let text = text.strip_prefix("tmux ")?;
    let digits = text.strip_prefix("next-").unwrap_or(text);
    let (major, minor) = digits.split_once('.')?;
    let minor: String = minor.chars().take_while(char::is_ascii_digit).collect();
    Some(Version { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

/// Keys go to the program, not to a mode somebody scrolled into. Harmless where no mode is on.
fn leave_copy_mode(pane: &str) -> Command {
    Command::new("copy-mode").args(["-q", "-t", pane])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_tmux_writes_them() {
        let check = |text: &str, expected: Option<(u32, u32)>| {
            assert_eq!(parse_version(text).map(|v| (v.major, v.minor)), expected, "for {text:?}");
        };
        check("tmux 3.3a", Some((3, 3)));
        check("tmux 3.6a", Some((3, 6)));
        check("tmux next-3.7", Some((3, 7)));
        check("tmux 3.2-rc2", Some((3, 2)));
        check("screen 4.0", None);
    }

    #[test]
    fn a_pane_line_is_read_whole() {
        let pane = parse_pane("%3 4711 0 1 120 30 99 my session").unwrap();
        assert_eq!((pane.id.as_str(), pane.pid, pane.dead, pane.piped), ("%3", 4711, false, true));
        assert_eq!((pane.session.as_str(), pane.size, pane.server), ("my session", (120, 30), 99));
        assert_eq!(parse_pane("no server running"), None);
    }
}
