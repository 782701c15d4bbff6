//! A private place to run Codex in: home, project, tmux server, model server. Everything in it ends with it.

use super::model;
use codepiper_core::ids::SessionId;
use codepiper_core::provider::{
    Approval, ChannelMessage, Conversation, Launch, Plan, Provider, Sources, Told, built_in,
    session_environment,
};
use codepiper_daemon::codex_channel::CodexChannel;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// How long anything may take before the test says what it waited for. Starting Codex takes a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at a screen.
const LOOK: Duration = Duration::from_millis(50);

/// The session's own folder, with a path that is longer than a socket's may be.
const RUNTIME: &str = "runtime-folder-with-a-name-that-makes-the-path-of-the-socket-longer-than-the-108-bytes-\
                       that-the-system-takes-for-one";

/// How long a server may take to end: 50 ms when no turn runs, and a turn is not waited for.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// The place.
pub(crate) struct Lab {
    /// Short, for tmux's socket.
    folder: tempfile::TempDir,
    environment: BTreeMap<String, String>,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("cpx").tempdir_in("/tmp").unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["home", "codex", "project", RUNTIME] {
            fs::create_dir(at(name)).unwrap();
        }
        let port = model::serve().await;
        let config = format!(
            "model = \"stub-model\"\nmodel_provider = \"stub\"\ncheck_for_update_on_startup = false\n\
             [model_providers.stub]\nname = \"stub\"\nbase_url = \"http://127.0.0.1:{port}/v1\"\n\
             wire_api = \"responses\"\nenv_key = \"STUB_KEY\"\n\
             [projects.\"{}\"]\ntrust_level = \"trusted\"\n",
            at("project").display()
        );
        fs::write(at("codex/config.toml"), config).unwrap();
        // Stands for our own program: notes whose hook it is, and denies what is forbidden.
        let hook = format!(
            "#!/bin/sh\nbody=$(cat)\n\
             name=${{body#*\\\"hook_event_name\\\":\\\"}}\necho \"$CODEPIPER_SESSION ${{name%%\\\"*}}\" >> {log}\n\
             case \"$body\" in *'\"PreToolUse\"'*FORBIDDEN*|*FORBIDDEN*'\"PreToolUse\"'*)\n\
             echo '{{\"hookSpecificOutput\":{{\"hookEventName\":\"PreToolUse\",\
             \"permissionDecision\":\"deny\",\"permissionDecisionReason\":\"policy says no\"}}}}';;\nesac\n",
            log = at("hooks.log").display()
        );
        fs::write(at("codepiper"), hook).unwrap();
        fs::set_permissions(at("codepiper"), fs::Permissions::from_mode(0o700)).unwrap();
        let path = format!("{}:{}", agents().display(), std::env::var("PATH").unwrap());
        let environment = [
            ("HOME", at("home").display().to_string()),
            ("CODEX_HOME", at("codex").display().to_string()),
            ("PATH", path),
            ("LANG", "C.UTF-8".into()),
            ("TERM", "xterm-256color".into()),
            ("STUB_KEY", "dummy".into()),
            ("CODEPIPER_SESSION", "a1b2c3d4".into()),
        ];
        let given = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let sources = Sources { given, ..Sources::default() };
        let environment = session_environment(&codex().definition, Default::default(), &sources);
        Self { folder, environment }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.folder().join("project")
    }

    /// The hooks that ran: session and event.
    pub(crate) fn hooks(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder().join("hooks.log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    fn plan(&self, conversation: &Conversation, model: Option<&str>, dangerous: bool) -> Plan {
        codex().launch(&Launch {
            session: &SessionId::from_bits(0xa1b2_c3d4),
            cwd: &self.project(),
            conversation,
            model,
            dangerous,
            extra_args: &[],
            runtime_dir: &self.folder().join(RUNTIME),
            settings: &[],
            codepiper: &self.folder().join("codepiper"),
            version: None,
        })
    }

    /// Starts server, channel and TUI as the daemon does, and waits for the thread.
    pub(crate) async fn launch(
        &self,
        conversation: &Conversation,
        model: Option<&str>,
        dangerous: bool,
    ) -> Session<'_> {
        let plan = self.plan(conversation, model, dangerous);
        let companion = plan.companion.clone().unwrap();
        let log = fs::File::create(&companion.log).unwrap();
        let server = Command::new(agents().join("codex"))
            .args(&companion.args)
            .env_clear()
            .envs(&self.environment)
            .current_dir(self.project())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let server = Server(server);
        until("the server's socket", || async { companion.ready_socket.exists().then_some(()) }).await;
        let (channel, messages) = CodexChannel::connect(&companion.ready_socket).await.unwrap();
        self.run_tui(&plan.args).await;
        let opened = Session::open(self, server, channel, messages).await;
        let session = opened.session;
        if !matches!(conversation, Conversation::New { .. }) {
            session.channel.set_permissions(&session.thread, dangerous).await.unwrap();
        }
        session
    }

    pub(crate) async fn start_tui(&self, conversation: &Conversation) {
        self.run_tui(&self.plan(conversation, None, false).args).await;
    }

    async fn run_tui(&self, args: &[String]) {
        let project = self.project();
        let mut command = vec!["new-session", "-d", "-s", "lab", "-x", "120", "-y", "40", "-c"];
        command.push(project.to_str().unwrap());
        command.extend(["env", "-i"]);
        let variables: Vec<String> =
            self.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        command.extend(variables.iter().map(String::as_str));
        let program = agents().join("codex");
        command.push(program.to_str().unwrap());
        command.extend(args.iter().map(String::as_str));
        self.tmux(&command).await;
    }

    pub(crate) async fn kill_tui(&self) {
        self.tmux(&["kill-session", "-t", "=lab"]).await;
    }

    /// Presses the key until the dialog is gone: one that comes in the very moment of drawing is lost
    /// (measured: 1 of 2 at 0 ms, none of 10 at 50 ms).
    pub(crate) async fn answer_dialog(&self, dialog: &str, key: &str) {
        self.screen("the dialog", |screen| screen.contains(dialog)).await;
        until("the end of the dialog", || async {
            let shown = self.tmux(&["capture-pane", "-p", "-t", "=lab:"]).await.contains(dialog);
            if shown {
                self.key(key).await;
                tokio::time::sleep(10 * LOOK).await;
            }
            (!shown).then_some(())
        })
        .await;
    }

    async fn key(&self, key: &str) {
        self.tmux(&["send-keys", "-t", "=lab:", key]).await;
    }

    /// Types a line and sends it, once it stands there.
    pub(crate) async fn type_line(&self, line: &str) {
        self.tmux(&["send-keys", "-t", "=lab:", "-l", line]).await;
        self.screen("the typed line", |screen| screen.contains(line)).await;
        // Enter that follows within a few ms is taken for a part of a paste.
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.key("Enter").await;
    }

    /// Waits until the screen shows it.
    pub(crate) async fn screen(&self, what: &str, shows: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let start = tokio::time::Instant::now();
        while start.elapsed() < PATIENCE {
            last = self.tmux(&["capture-pane", "-p", "-t", "=lab:"]).await;
            if shows(&last) {
                return last;
            }
            tokio::time::sleep(LOOK).await;
        }
        panic!("the screen never showed {what}:\n{last}");
    }

    async fn tmux(&self, args: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(self.folder().join("t"))
            .args(["-f", "/dev/null"])
            .args(args)
            .env_remove("TMUX")
            .output()
            .await
            .expect("tmux is installed");
        assert!(output.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let socket = self.folder().join("t");
        let _ = std::process::Command::new("tmux").arg("-S").arg(socket).arg("kill-server").output();
    }
}

/// A launched session as the daemon holds it.
pub(crate) struct Session<'a> {
    lab: &'a Lab,
    server: Server,
    pub(crate) channel: CodexChannel,
    messages: mpsc::Receiver<ChannelMessage>,
    pub(crate) thread: String,
    pub(crate) model: Option<String>,
}

/// A session, and what was heard before it was known.
pub(crate) struct Opened<'a> {
    pub(crate) session: Session<'a>,
    pub(crate) before: Vec<ChannelMessage>,
}

impl<'a> Session<'a> {
    async fn open(
        lab: &'a Lab,
        server: Server,
        channel: CodexChannel,
        mut messages: mpsc::Receiver<ChannelMessage>,
    ) -> Opened<'a> {
        let opened =
            next(&mut messages, "the thread", |message| message.told == Some(Told::Opened { own: true }))
                .await;
        let session = Session {
            lab,
            server,
            channel,
            messages,
            thread: opened.learned.provider_session.clone().unwrap(),
            model: opened.learned.model.clone(),
        };
        Opened { session, before: vec![opened] }
    }

    pub(crate) fn conversation(&self) -> Conversation {
        Conversation::Resume { id: self.thread.clone() }
    }

    pub(crate) async fn prompt(&self, text: &str) -> String {
        self.channel.send_prompt(&self.thread, text, &[]).await.unwrap()
    }

    pub(crate) async fn until(
        &mut self,
        what: &str,
        is_it: impl Fn(&ChannelMessage) -> bool,
    ) -> ChannelMessage {
        let found = next(&mut self.messages, what, is_it).await;
        assert_eq!(found.thread.as_deref(), Some(self.thread.as_str()));
        found
    }

    /// Waits until the pane has another conversation.
    pub(crate) async fn follow_on(&mut self) {
        let before = self.thread.clone();
        let is_other = |m: &ChannelMessage| m.thread.as_deref().is_some_and(|thread| thread != before);
        self.thread = next(&mut self.messages, "another thread", is_other).await.thread.unwrap();
    }

    pub(crate) async fn approval(&mut self) -> Approval {
        let asked = self.until("a question", |m| matches!(m.told, Some(Told::Asked(_)))).await;
        let Some(Told::Asked(approval)) = asked.told else { unreachable!("just matched") };
        approval
    }

    /// As after a restart of the daemon.
    pub(crate) async fn reconnect(self) -> Opened<'a> {
        let Session { lab, server, channel, messages, .. } = self;
        drop((channel, messages));
        let socket = lab.folder().join(RUNTIME).join("codex.sock");
        let (channel, messages) = CodexChannel::connect(&socket).await.unwrap();
        Session::open(lab, server, channel, messages).await
    }

    /// Ends TUI and server, and waits for it.
    pub(crate) async fn stop(self) {
        self.lab.kill_tui().await;
        self.stop_server().await;
    }

    pub(crate) async fn stop_server(mut self) -> mpsc::Receiver<ChannelMessage> {
        self.server.signal(rustix::process::Signal::TERM);
        tokio::time::timeout(PATIENCE, self.server.0.wait()).await.expect("the server ends").unwrap();
        self.messages
    }
}

/// Codex's app server: a node wrapper and the program itself, in a process group of their own.
struct Server(Child);

impl Server {
    fn signal(&self, signal: rustix::process::Signal) {
        // Gone already: nothing to signal.
        let Some(pid) = self.0.id().and_then(|pid| rustix::process::Pid::from_raw(pid as i32)) else {
            return;
        };
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Asked first, because a killed server leaves its socket in a folder outside the lab.
        self.signal(rustix::process::Signal::TERM);
        let start = std::time::Instant::now();
        while start.elapsed() < GRACE && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK);
        }
        self.signal(rustix::process::Signal::KILL);
    }
}

/// The next message that is it.
async fn next(
    messages: &mut mpsc::Receiver<ChannelMessage>,
    what: &str,
    is_it: impl Fn(&ChannelMessage) -> bool,
) -> ChannelMessage {
    let mut heard = Vec::new();
    let found = tokio::time::timeout(PATIENCE, async {
        while let Some(message) = messages.recv().await {
            if is_it(&message) {
                return Some(message);
            }
            heard.push(message);
        }
        None
    })
    .await;
    match found {
        Ok(Some(message)) => message,
        Ok(None) => panic!("the connection ended before {what}; heard {heard:#?}"),
        Err(_) => panic!("never heard {what}; heard {heard:#?}"),
    }
}

/// What the look finds, as soon as it finds something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let start = tokio::time::Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(LOOK).await;
    }
    panic!("{what} never came");
}

fn codex() -> Provider {
    Provider::new(built_in().into_iter().find(|definition| definition.id == "codex").unwrap())
}

/// The folder of the agents' programs.
fn agents() -> PathBuf {
    let folder = std::env::var_os("CODEPIPER_TEST_AGENTS").map(PathBuf::from).unwrap_or_else(|| {
        Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("agents/node_modules/.bin")
    });
    assert!(
        folder.join("codex").exists(),
        "no `codex` in `{}`: install @openai/codex there, or set CODEPIPER_TEST_AGENTS",
        folder.display()
    );
    folder
}
