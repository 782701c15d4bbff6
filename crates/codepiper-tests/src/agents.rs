//! The real agent CLIs: where the pinned ones are, and private homes in which they talk to the model stub alone.
//!
//! Nothing of the person who runs the tests is read or written: each home has its own configuration, a dummy key and
//! an environment that is exact. What is in it, and why, was measured with the pinned versions.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;

/// An agent CLI with a home of its own, ready to be started.
#[derive(Debug, Clone)]
pub struct AgentHome {
    /// The CLI's program.
    pub program: PathBuf,
    /// `CLAUDE_CONFIG_DIR` or `CODEX_HOME`: configuration, sessions, transcripts.
    pub config: PathBuf,
    /// The project it is started in, and trusts.
    pub project: PathBuf,
    /// The whole environment it is started with. A terminal adds `TERM`, `TMUX` and `TMUX_PANE`.
    pub environment: Vec<(String, String)>,
}

/// Makes a home for Claude Code below `dir`, which talks to the stub at `stub_url` and trusts `project`.
pub fn claude_home(dir: &Path, project: &Path, stub_url: &str) -> anyhow::Result<AgentHome> {
    let (config, project) = folders(dir, "claude", project)?;
    let trusted = json!({ project.to_string_lossy(): { "hasTrustDialogAccepted": true } });
    let state = json!({
        // Without it the first start checks for api.anthropic.com and fails offline.
        "hasCompletedOnboarding": true,
        // Compared with the end of the key.
        "customApiKeyResponses": { "approved": [DUMMY_KEY], "rejected": [] },
        "projects": trusted,
    });
    write(&config.join(".claude.json"), &state.to_string())?;
    // Else `--dangerously-skip-permissions` opens a dialog whose default is to quit.
    write(&config.join("settings.json"), &json!({ "skipDangerousModePermissionPrompt": true }).to_string())?;
    let mut environment = base_environment(dir)?;
    environment.extend(pairs([
        ("CLAUDE_CONFIG_DIR", &config.to_string_lossy()),
        ("ANTHROPIC_BASE_URL", stub_url),
        ("ANTHROPIC_API_KEY", DUMMY_KEY),
        ("DISABLE_TELEMETRY", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
        ("DISABLE_ERROR_REPORTING", "1"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ]));
    Ok(AgentHome { program: program("claude"), config, project, environment })
}

/// Makes a home for Codex below `dir`, which talks to the stub at `stub_url` and trusts `project`.
pub fn codex_home(dir: &Path, project: &Path, stub_url: &str) -> anyhow::Result<AgentHome> {
    let (config, project) = folders(dir, "codex", project)?;
    let text = format!(
        r#"model = "stub-model"
model_provider = "stub"
check_for_update_on_startup = false

[model_providers.stub]
name = "stub"
base_url = {base_url}
wire_api = "responses"
env_key = "STUB_KEY"

[projects.{project}]
trust_level = "trusted"
"#,
        // A JSON string is a TOML basic string.
        base_url = json!(format!("{stub_url}/v1")),
        project = json!(project.to_string_lossy()),
    );
    write(&config.join("config.toml"), &text)?;
    let mut environment = base_environment(dir)?;
    environment.extend(pairs([("CODEX_HOME", &config.to_string_lossy()), ("STUB_KEY", DUMMY_KEY)]));
    Ok(AgentHome { program: program("codex"), config, project, environment })
}

impl AgentHome {
    /// Runs the CLI to its end, without a terminal. Panics when it takes longer than any script should.
    ///
    /// Nothing of it is left behind, whichever way this ends.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = self.command();
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().with_context(|| format!("starting `{}`", self.program.display()))?;
        let _group = Group::of(&child);
        match tokio::time::timeout(RUN_MAX, child.wait_with_output()).await {
            Ok(output) => Ok(output?),
            Err(_) => {
                panic!("`{}` {arguments:?} ran longer than {} s", self.program.display(), RUN_MAX.as_secs())
            }
        }
    }

    /// The CLI in its project with its environment and no other, in a process group of its own.
    pub fn command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.project)
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// The folder of the pinned CLIs. Panics with what to run when there is none: a test that skips itself proves nothing.
pub fn bin() -> PathBuf {
    let bin = match std::env::var_os("CODEPIPER_TEST_AGENTS") {
        Some(bin) => PathBuf::from(bin),
        None => target_dir().join("agents/node_modules/.bin"),
    };
    // The CLIs are started in other folders.
    let bin = std::path::absolute(&bin).unwrap_or(bin);
    for name in ["claude", "codex"] {
        assert!(
            bin.join(name).exists(),
            "`{name}` is not in `{}`: run `cargo xtask test`, which installs the pinned agents, or point \
             CODEPIPER_TEST_AGENTS to a folder with both",
            bin.display()
        );
    }
    bin
}

/// ccusage, which is pinned and installed with the agents and counts the tokens in their transcripts without us.
pub fn ccusage() -> PathBuf {
    let ccusage = bin().join("ccusage");
    assert!(
        ccusage.exists(),
        "`{}` is missing: run `cargo xtask test`, which installs it",
        ccusage.display()
    );
    ccusage
}

/// The longest headless run. A turn takes a second or two; retries after failures some more.
const RUN_MAX: Duration = Duration::from_secs(120);

/// A process group that ends with its scope. Killing the child is not enough: Codex's is a wrapper in node, whose own
/// child is the program.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &tokio::process::Child) -> Group {
        Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It is gone already when all went well.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Nobody takes it for a real one.
const DUMMY_KEY: &str = "dummy";

fn program(name: &str) -> PathBuf {
    bin().join(name)
}

fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
    }
}

/// Both CLIs compare paths after resolving links, so the folders are given resolved.
fn folders(dir: &Path, name: &str, project: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let config = dir.join(name);
    std::fs::create_dir_all(&config).with_context(|| format!("creating `{}`", config.display()))?;
    std::fs::create_dir_all(project).with_context(|| format!("creating `{}`", project.display()))?;
    Ok((config.canonicalize()?, project.canonicalize()?))
}

/// What both need. The search path is that of the tests, for node, git and a shell.
fn base_environment(dir: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let home = dir.join("home");
    std::fs::create_dir_all(&home).with_context(|| format!("creating `{}`", home.display()))?;
    let path = std::env::var("PATH").context("reading PATH")?;
    let path = format!("{}:{path}", bin().display());
    Ok(pairs([
        ("HOME", &*home.to_string_lossy()),
        ("PATH", &path),
        ("LANG", "C.UTF-8"),
        // A proxy of the machine must not come between.
        ("NO_PROXY", "127.0.0.1,localhost"),
    ]))
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing `{}`", path.display()))
}
