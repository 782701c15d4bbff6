//! From a stored session to a process in a pane: the plan of the provider, the environment, the files, tmux.

use super::internal;
use super::known::{Known, PaneRecord, ProcessRecord, Secret};
use crate::app::App;
use crate::env_sets;
use crate::pane::{NEW_PROCESS, write_launch_file};
use crate::policies::write_rules;
use crate::providers::version_numbers;
use crate::settings;
use codepiper_api::defaults::{
    HOOK_SECRET_VARIABLE, HOOK_SESSION_VARIABLE, HOOK_SOCKET_VARIABLE, HOOK_SPOOL_VARIABLE,
};
use codepiper_api::{Fault, Refusal};
use codepiper_core::launch::{CompanionFile, LaunchFile};
use codepiper_core::masking::{Masker, is_secret_name};
use codepiper_core::provider::{
    Conversation, Launch, SSH_AGENT, Sources, Variables, environment_notes, session_environment,
};
use codepiper_tmux::{NewSession, Pane};
use serde_json::{Value, json};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where things are in a session's folder.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn recording(&self) -> PathBuf {
        self.0.join("recording")
    }
    pub(super) fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }
    pub(super) fn images(&self) -> PathBuf {
        self.0.join("images")
    }
    pub(super) fn run_file(&self) -> PathBuf {
        self.0.join("run.json")
    }
    fn launch_file(&self) -> PathBuf {
        self.0.join("launch.json")
    }
    fn environment(&self) -> PathBuf {
        self.0.join("environment.json")
    }
    fn shell(&self) -> PathBuf {
        self.0.join("shell.json")
    }

    /// Makes the folder and what is in it, owner-only from the start.
    pub(super) fn create(&self, given: &Variables, shell: &Variables) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for folder in [self.recording(), self.spool(), self.images()] {
            builder.create(folder)?;
        }
        write_owner_only(&self.environment(), &serde_json::to_vec(given)?)?;
        write_owner_only(&self.shell(), &serde_json::to_vec(shell)?)
    }

    /// Removes a launch file that nobody will read any more: it holds the environment, and must not stay.
    pub(super) fn forget_launch(&self) {
        if let Err(error) = fs::remove_file(self.launch_file())
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, folder = %self.0.display(), "a launch file stays behind");
        }
    }

    /// Notes what the shell has in which a resume was typed; what it does not say stays.
    pub(super) fn update_shell(&self, shell: &Variables) -> io::Result<()> {
        let mut all = read_variables(&self.shell())?;
        all.extend(shell.clone());
        write_owner_only(&self.shell(), &serde_json::to_vec(&all)?)
    }
}

fn read_variables(path: &Path) -> io::Result<Variables> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Variables::new()),
        Err(error) => Err(error),
    }
}

/// A launch that only tmux is missing for.
pub(super) struct Prepared {
    /// What will be known of the process; the pane is not yet.
    pub(super) record: ProcessRecord,
    /// The agent's id of the conversation, when it is known before the start.
    pub(super) provider_session: Option<String>,
    /// Whether the agent is there as soon as its pane is.
    pub(super) is_quick: bool,
    /// What the person should know of this launch.
    pub(super) notes: Vec<String>,
    argv: Vec<String>,
    pipe: String,
}

/// Plans the launch and writes its files.
pub(super) async fn prepare(
    app: &App,
    known: &Known,
    conversation: &Conversation,
) -> Result<Prepared, Refusal> {
    let row = &known.row;
    let provider = app.providers.find(&row.provider)?;
    let folder = Folder(app.config.session_folder(&row.id));
    let unread = |error: io::Error| internal("reading the session's environment", error);
    let mut sources = Sources {
        daemon: app.config.environment.clone(),
        shell: read_variables(&folder.shell()).map_err(unread)?,
        sets: env_sets::variables(app, &known.launch.env_sets).await?,
        given: read_variables(&folder.environment()).map_err(unread)?,
        launch: Variables::new(),
        withholds_ssh_agent: settings::get(app, settings::FORWARD_SSH_AUTH_SOCK).await == json!(false),
    };
    forget_gone_ssh_agent(&mut sources.shell);
    let billing = known.launch.billing_mode;
    let notes = environment_notes(&provider.definition, billing, &sources);
    let program = app.providers.require(provider, sources.last("PATH").map(String::as_str))?;
    let version = match provider.capabilities().native_hooks {
        true => app.providers.version(&program).await,
        false => None,
    };
    let environment = session_environment(&provider.definition, billing, &sources);
    let settings =
        provider.dialect().settings_files(&|name| environment.get(name).cloned(), Path::new(&row.cwd));
    let settings: Vec<Value> = settings.iter().filter_map(|path| read_settings(path)).collect();
    let plan = provider.launch(&Launch {
        session: &row.id,
        cwd: Path::new(&row.cwd),
        conversation,
        model: known.launch.model.as_deref(),
        dangerous: known.launch.dangerous,
        extra_args: &known.launch.args,
        runtime_dir: &folder.0,
        settings: &settings,
        codepiper: &app.config.codepiper,
        version: version.as_deref().and_then(version_numbers),
    });
    let mark = fresh(16);
    let secret = fresh(32);
    let text = |path: &Path| path.display().to_string();
    sources.launch = plan.environment.iter().cloned().collect();
    sources.launch.extend([
        (HOOK_SOCKET_VARIABLE.to_owned(), text(&app.config.socket)),
        (HOOK_SESSION_VARIABLE.to_owned(), row.id.to_string()),
        (HOOK_SECRET_VARIABLE.to_owned(), secret.clone()),
        (HOOK_SPOOL_VARIABLE.to_owned(), text(&folder.spool())),
    ]);
    let environment = session_environment(&provider.definition, billing, &sources);
    let lookup = |name: &str| environment.get(name).cloned();
    let record = ProcessRecord {
        launch: mark.clone(),
        secret: Secret(secret),
        pane: None,
        supervisor: None,
        agent: None,
        channel: plan.companion.as_ref().map(|companion| companion.ready_socket.clone()),
        state_folder: provider.dialect().state_folder(&lookup),
        transcript_folder: provider.dialect().transcript_folder(&lookup),
        settings_file: provider.dialect().settings_files(&lookup, Path::new(&row.cwd)).pop(),
    };
    let with_program = |args: &[String]| {
        let mut argv = vec![text(&program)];
        argv.extend(args.iter().cloned());
        argv
    };
    let is_quick = plan.companion.is_none();
    let launch = LaunchFile {
        launch: mark,
        argv: with_program(&plan.args),
        environment,
        cwd: row.cwd.clone().into(),
        run_file: folder.run_file(),
        companion: plan.companion.map(|companion| CompanionFile {
            argv: with_program(&companion.args),
            ready_socket: companion.ready_socket,
            log: companion.log,
        }),
        grace_ms: provider.definition.stop.grace_ms,
    };
    let write = || {
        for (path, content) in &plan.files {
            write_owner_only(path, content.as_bytes())?;
        }
        if let Err(error) = fs::remove_file(folder.run_file())
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        write_launch_file(&folder.launch_file(), &launch)
    };
    write().map_err(|error| internal("writing the launch files", error))?;
    // Before the first hook can come.
    write_rules(app, known);
    let codepiper = text(&app.config.codepiper);
    let pipe = format!("{} {NEW_PROCESS}", pipe_command(app, known));
    Ok(Prepared {
        record,
        provider_session: plan.provider_session,
        is_quick,
        notes,
        argv: vec![codepiper, "pane-supervise".into(), text(&folder.launch_file())],
        pipe,
    })
}

/// What knows the secrets of a session: its env sets, the credentials of its provider, what was given under a name that
/// says so, and what its hooks prove themselves with.
pub(super) async fn masker(app: &App, known: &Known) -> Masker {
    let folder = Folder(app.config.session_folder(&known.row.id));
    let sets = env_sets::variables(app, &known.launch.env_sets).await.unwrap_or_else(|refusal| {
        tracing::warn!(%refusal, session = %known.row.id, "values of an env set are not known to the masking");
        Vec::new()
    });
    let given = read_variables(&folder.environment()).unwrap_or_default();
    let provider = app.providers.find(&known.row.provider);
    let is_credential = |name: &String| {
        is_secret_name(name)
            || provider.as_ref().is_ok_and(|provider| provider.definition.is_credential(name))
    };
    let named = app.config.environment.iter().chain(given.iter()).filter(|(name, _)| is_credential(name));
    let values = named.map(|(_, value)| value.clone());
    let of_sets = sets.into_iter().flat_map(|(_, set)| set.into_values());
    let secret = known.process.as_ref().map(|process| process.secret.0.clone());
    Masker::new(values.chain(of_sets).chain(secret))
}

/// The shell command that records a pane, for panes whose recorder was lost.
pub(super) fn pipe_command(app: &App, known: &Known) -> String {
    let folder = Folder(app.config.session_folder(&known.row.id));
    format!(
        "exec {} pane-record {} '#{{pane_tty}}'",
        in_pipe(&app.config.codepiper.display().to_string()),
        in_pipe(&folder.recording().display().to_string())
    )
}

/// Puts the launch into a pane: the dead one it had before, or a new session.
pub(super) async fn start(app: &App, known: &Known, prepared: &Prepared) -> Result<PaneRecord, Refusal> {
    let failed = |error: codepiper_tmux::TmuxError| {
        Refusal::new(Fault::Missing, format!("tmux could not start the session: {error}"))
            .hint("`codepiper doctor` looks at tmux")
    };
    let name = known.row.id.tmux_name();
    let cwd = Path::new(&known.row.cwd);
    let panes = app.tmux.panes().await.map_err(failed)?;
    let old: Option<&Pane> = panes.iter().find(|pane| pane.session == name);
    let pane = match old {
        Some(old) => {
            app.tmux.adopt(&name);
            app.tmux.respawn(&old.id, cwd, &prepared.argv, Some(&prepared.pipe)).await
        }
        None => {
            let new = NewSession {
                name: &name,
                cwd,
                size: (known.row.cols, known.row.rows),
                argv: &prepared.argv,
                pipe: &prepared.pipe,
            };
            app.tmux.create(&new).await
        }
    };
    if pane.is_err() {
        Folder(app.config.session_folder(&known.row.id)).forget_launch();
    }
    pane.map(|pane| PaneRecord { id: pane.id, server: pane.server }).map_err(failed)
}

/// An SSH agent of an earlier login goes with that login: what the daemon has may still be there.
fn forget_gone_ssh_agent(shell: &mut Variables) {
    let is_gone = shell.get(SSH_AGENT[0]).is_some_and(|socket| !Path::new(socket).exists());
    if is_gone {
        shell.retain(|name, _| !SSH_AGENT.contains(&name.as_str()));
    }
}

/// A settings file of the person; one that cannot be read has no say here, and the agent tells of it.
fn read_settings(path: &Path) -> Option<Value> {
    const SETTINGS_MAX: u64 = 4 * 1024 * 1024; // bytes; a person's own are a few kilobytes
    let mut text = String::new();
    fs::File::open(path).ok()?.take(SETTINGS_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write_owner_only(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(bytes)
}

/// A word for the shell inside a tmux format: quoted for the one, escaped for the other.
fn in_pipe(word: &str) -> String {
    let quoted = format!("'{}'", word.replace('\'', r"'\''"));
    quoted.replace('#', "##").replace('%', "%%")
}

/// Random hexadecimal digits.
pub(super) fn fresh(bytes: usize) -> String {
    random(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A fresh UUID (version 4).
pub(super) fn fresh_uuid() -> String {
    let mut bytes = random(16);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Random bytes of the system. Without them there would be no secret to go on with.
pub(crate) fn random(bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut buffer))
        .expect("the system has a random source");
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_a_version_4_one_and_fresh() {
        let id = fresh_uuid();
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"));
        assert_ne!(id, fresh_uuid());
    }

    #[test]
    fn a_path_reaches_the_shell_through_tmux_as_it_is() {
        assert_eq!(in_pipe("/a b/it's #{x} 100%"), r"'/a b/it'\''s ##{x} 100%%'");
    }
}
