//! A private CodePiper: the real binary as a daemon, with a home, a socket, a database and a tmux server of
//! its own. Everything it started is gone when it is dropped.

use crate::agents::AgentHome;
use crate::socket;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long anything awaited may take. Only a failing test gets there.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the processes of a session may take to go once they are killed.
const END_TIME_MAX: Duration = Duration::from_secs(5);

/// A private CodePiper.
pub struct Lab {
    folder: tempfile::TempDir,
    daemon: Mutex<Option<Child>>,
    environment: Vec<(String, String)>,
}

impl Lab {
    /// A lab without a daemon yet.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("cp").tempdir().expect("a temporary folder");
        std::fs::create_dir_all(folder.path().join("project")).expect("a project folder");
        let path = std::env::var("PATH").expect("PATH is set");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let environment = [
            ("PATH", path),
            ("HOME", at("person")),
            ("LANG", "C.UTF-8".into()),
            ("TERM", "xterm-256color".into()),
            ("CODEPIPER_HOME", at("home")),
            ("CODEPIPER_SOCKET", at("s")),
            ("CODEPIPER_TMUX_SOCKET", at("t")),
            ("CODEPIPER_TMUX_CONFIG", "/dev/null".into()),
            ("CODEPIPER_LOG", "debug".into()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
        std::fs::create_dir_all(folder.path().join("person")).expect("a home");
        Self { folder, daemon: Mutex::default(), environment }
    }

    /// A lab with a running daemon.
    pub async fn start() -> Self {
        let lab = Self::new();
        lab.start_daemon();
        lab
    }

    /// A path inside the lab.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder agents work in.
    pub fn project(&self) -> PathBuf {
        self.path("project")
    }

    /// Sets a variable for daemons and commands that are started from now on.
    pub fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.as_ref().to_string_lossy().into_owned()));
    }

    /// Starts the daemon and waits until it is ready.
    pub fn start_daemon(&self) {
        let mut child = self
            .command(["daemon", "--ready-line"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the daemon starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("the daemon's first line");
        assert!(line.starts_with("ready"), "the daemon did not start: {}", self.log());
        *self.daemon() = Some(child);
    }

    /// The pid of the daemon.
    pub fn daemon_pid(&self) -> u32 {
        self.daemon().as_ref().map(Child::id).expect("a daemon was started")
    }

    /// Kills the daemon without a chance to tidy up.
    pub fn kill_daemon(&self) {
        let mut child = self.daemon().take().expect("a daemon was started");
        child.kill().expect("the daemon can be killed");
        child.wait().expect("the daemon is gone");
    }

    /// Ends the daemon as a service manager does.
    pub fn stop_daemon(&self) {
        let mut child = self.daemon().take().expect("a daemon was started");
        let pid = Pid::from_raw(child.id() as i32).expect("a pid");
        kill_process(pid, Signal::TERM).expect("the daemon can be told");
        let status = child.wait().expect("the daemon is gone");
        assert!(status.success(), "the daemon ended with {status}: {}", self.log());
    }

    /// A command of the CLI in this lab's environment.
    pub fn command<T: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = T>) -> Command {
        let mut command = Command::new(codepiper());
        command.args(arguments).env_clear().current_dir(self.project()).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command of the CLI to its end.
    pub fn run<T: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = T>) -> Output {
        self.command(arguments).output().expect("the command runs")
    }

    /// Runs a command of the CLI that must succeed; what it printed.
    pub fn cli<T: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = T>) -> String {
        let output = self.run(arguments);
        let shown = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "exit {:?}: {shown}", output.status.code());
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// A request that must succeed; the body.
    pub async fn ok(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}\n{}", self.log());
        answer
    }

    /// A request; status and body.
    pub async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.try_ask(method, path, body).await.unwrap_or_else(|error| panic!("{method} {path}: {error:#}"))
    }

    /// A request that may fail because the daemon is gone.
    pub async fn try_ask(&self, method: &str, path: &str, body: Vec<u8>) -> Result<(u16, Value)> {
        let answer = async {
            let response =
                socket::send(&self.path("s"), method, path, &[("content-type", "application/json")], body)
                    .await?;
            socket::json(response).await
        };
        tokio::time::timeout(PATIENCE, answer).await.context("no answer")?
    }

    /// Starts a session of the demo agent; its id.
    pub async fn demo(&self) -> String {
        let body = json!({ "provider": "demo", "cwd": self.project() });
        self.session(body).await
    }

    /// Starts a session of a real agent with its private home; its id.
    pub async fn agent(&self, provider: &str, home: &AgentHome, more: Value) -> String {
        let (status, answer) = self.try_agent(provider, home, more).await;
        assert!((200..300).contains(&status), "{provider} did not start: {status} {answer}\n{}", self.log());
        answer["session"]["id"].as_str().expect("an id").to_owned()
    }

    /// The same, when it may be refused; status and body.
    pub async fn try_agent(&self, provider: &str, home: &AgentHome, more: Value) -> (u16, Value) {
        let bin = home.program.parent().expect("a folder").display().to_string();
        let mut env: serde_json::Map<String, Value> =
            home.environment.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let path = env.get("PATH").and_then(Value::as_str).unwrap_or_default().to_owned();
        env.insert("PATH".into(), json!(format!("{bin}:{path}")));
        let mut body = json!({ "provider": provider, "cwd": home.project, "billingMode": "api", "env": env });
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        self.ask("POST", "/sessions", body).await
    }

    /// Starts a session; its id.
    pub async fn session(&self, body: Value) -> String {
        let answer = self.ok("POST", "/sessions", body).await;
        answer["session"]["id"].as_str().expect("an id").to_owned()
    }

    /// The session as it is.
    pub async fn show(&self, id: &str) -> Value {
        self.ok("GET", &format!("/sessions/{id}"), Value::Null).await["session"].take()
    }

    /// Waits until the session is in this state.
    pub async fn wait_for_state(&self, id: &str, state: &str) -> Value {
        // Events of before count only through the state they led to.
        let after = self.last_event().await;
        let now = self.show(id).await;
        if now["state"] == state {
            return now;
        }
        self.wait_for_event(id, after, |event| {
            event["type"] == "state" && event["payload"]["state"] == state
        })
        .await;
        self.show(id).await
    }

    /// Waits for an event of the session after that number; the event.
    pub async fn wait_for_event(
        &self,
        id: &str,
        after: u64,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Value {
        let path = format!("/events/stream?session={id}&after={after}");
        let mut found = Value::Null;
        let mut seen = Vec::new();
        let reading = async {
            let response = socket::send(&self.path("s"), "GET", &path, &[], Vec::new()).await?;
            socket::read_events(response, |event| {
                let is_it = wanted(&event);
                seen.push(format!("{} {} {}", event["id"], event["type"], event["payload"]["reason"]));
                found = event;
                is_it
            })
            .await
        };
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(Ok(())) => found,
            Ok(Err(error)) => panic!("waiting for an event of {id}: {error:#}\n{}", self.log()),
            Err(_) => panic!(
                "an event of {id} did not come; seen:\n{}\nscreen:\n{}\n{}",
                seen.join("\n"),
                self.screen(id),
                self.log()
            ),
        }
    }

    /// Waits until the session has printed this text, from the beginning of its recording on.
    pub async fn wait_for_text(&self, id: &str, text: &str) {
        self.output_until(id, "follow=true", text).await;
    }

    /// What the stream of a session's output gives until it holds this text.
    pub async fn output_until(&self, id: &str, query: &str, text: &str) -> Vec<u8> {
        let path = format!("/sessions/{id}/output/stream?{query}");
        let reading = async {
            let response = socket::send(&self.path("s"), "GET", &path, &[], Vec::new()).await?;
            socket::read_until(response, text.as_bytes()).await
        };
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => panic!("{text:?} was not printed: {error:#}\n{}", self.screen(id)),
            Err(_) => panic!("{text:?} was not printed in time\n{}", self.screen(id)),
        }
    }

    /// All events of a session.
    pub async fn events(&self, id: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let since = all.last().map_or(0, |event: &Value| event["id"].as_u64().unwrap_or(0));
            let path = format!("/sessions/{id}/events?since={since}");
            let mut page = self.ok("GET", &path, Value::Null).await;
            let events = page["events"].as_array_mut().expect("events");
            all.append(events);
            if page["hasMore"] != true {
                return all;
            }
        }
    }

    /// The number of the last event of all.
    pub async fn last_event(&self) -> u64 {
        let page = self.ok("GET", "/events?order=desc&limit=1", Value::Null).await;
        page["events"][0]["id"].as_u64().unwrap_or(0)
    }

    /// Sends a prompt and waits until the agent took it; the answer.
    pub async fn send(&self, id: &str, text: &str) -> Value {
        self.ok("POST", &format!("/sessions/{id}/send"), json!({ "text": text, "newline": true })).await
    }

    /// Presses keys.
    pub async fn keys(&self, id: &str, keys: &[&str]) {
        self.ok("POST", &format!("/sessions/{id}/keys"), json!({ "keys": keys })).await;
    }

    /// Sends a prompt and waits until its turn is over.
    pub async fn turn(&self, id: &str, text: &str) {
        let after = self.last_event().await;
        self.send(id, text).await;
        self.wait_for_event(id, after, |event| {
            event["type"] == "state"
                && event["payload"]["state"] == "idle"
                && event["payload"]["from"] == "running"
        })
        .await;
    }

    /// tmux on the lab's own server.
    pub fn tmux<T: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = T>) -> Output {
        let mut command = Command::new("tmux");
        command.arg("-u").arg("-S").arg(self.path("t")).args(["-f", "/dev/null"]).args(arguments);
        command.env_remove("TMUX").output().expect("tmux runs")
    }

    /// The screen of a session as tmux shows it.
    pub fn screen(&self, id: &str) -> String {
        let output = self.tmux(["capture-pane", "-p", "-t", &format!("=codepiper-{id}:")]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The daemon's log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("home/logs/daemon.log")).unwrap_or_default()
    }

    fn daemon(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon().take() {
            let _gone = daemon.kill();
            let _gone = daemon.wait();
        }
        // Supervisors first, so that nothing of an agent outlives the test and writes into its folder.
        let mut ending = Vec::new();
        for entry in std::fs::read_dir(self.path("home/sessions")).into_iter().flatten().flatten() {
            let run = std::fs::read(entry.path().join("run.json")).unwrap_or_default();
            let run: Value = serde_json::from_slice(&run).unwrap_or_default();
            let pid = run["supervisor"]["pid"].as_i64().and_then(|pid| Pid::from_raw(pid as i32));
            if let (Some(pid), true) = (pid, run["exit"].is_null()) {
                let _gone = kill_process(pid, Signal::USR1);
                ending.push(pid);
            }
        }
        let patience = Instant::now();
        while ending.iter().any(|pid| test_kill_process(*pid).is_ok()) && patience.elapsed() < END_TIME_MAX {
            std::thread::sleep(Duration::from_millis(5)); // somebody else's children
        }
        let _none_was_started = self.tmux(["kill-server"]);
        if std::env::var_os("KEEP_TEST_DIRS").is_some() {
            self.folder.disable_cleanup(true);
            eprintln!("kept {}", self.folder.path().display());
        }
    }
}

/// The variable that names a `codepiper` that was built already, in place of building one here.
pub const BINARY_VARIABLE: &str = "CODEPIPER_TEST_BINARY";

/// The `codepiper` binary, built once: running one crate's tests does not build it.
pub fn codepiper() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(built) = std::env::var_os(BINARY_VARIABLE) {
            return built.into();
        }
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "codepiper"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.expect("cargo runs").success(), "`codepiper` does not build");
        // Beside this test, in the same target folder: …/debug/deps/it-…
        let test = std::env::current_exe().expect("this test has a path");
        test.ancestors().nth(2).expect("a target folder").join("codepiper")
    })
}
