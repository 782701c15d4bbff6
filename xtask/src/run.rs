//! `cargo xtask run`: from a fresh clone to a running daemon with a session in it.
//!
//! Uses the built `codepiper` as a person would, by its commands, their JSON and their exit codes; it knows no
//! crate of ours. The daemon stays when this command ends.

use std::path::Path;
use std::process::{Command, ExitStatus, Output};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

use crate::Exit;
use crate::needs::{self, Install, Purpose};
use crate::step::{shown, step, succeed};
use crate::workspace::{Workspace, on_path};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) install: Install,
    /// Slower to build, faster to run. The dev profile is good enough to look around.
    pub(crate) release: bool,
}

pub(crate) fn run(options: &Options) -> Result<Exit> {
    let workspace = Workspace::load()?;
    Ok(steps(&workspace, options).err().unwrap_or(Exit::Fine))
}

fn steps(workspace: &Workspace, options: &Options) -> Result<(), Exit> {
    step("needs", || needs::provide(Purpose::Run, options.install))?;
    let (profile, folder) = if options.release { ("release", "release") } else { ("dev", "debug") };
    step(&format!("building codepiper ({profile} profile)"), || {
        succeed(&mut workspace.cargo(["build", "--package", "codepiper", "--profile", profile]))
    })?;
    let program = workspace.target.join(folder).join(format!("codepiper{}", std::env::consts::EXE_SUFFIX));
    let sessions = step("starting", || start(&Codepiper { program: &program, workspace }))?;
    // As short as it can be typed here.
    let here = std::env::current_dir().unwrap_or_default();
    let typed = program.strip_prefix(here).unwrap_or(&program);
    print!("\n{}", summary(&sessions, &typed.display().to_string()));
    Ok(())
}

/// Starts what does not run yet: the daemon, a session. Returns the live sessions.
fn start(codepiper: &Codepiper) -> Result<Vec<Session>> {
    let status = codepiper.ask(&["daemon", "status", "--json"])?;
    match daemon_state(status.status.code(), &text(&status.stdout), &text(&status.stderr))? {
        DaemonState::Up => println!("the daemon runs already"),
        DaemonState::Down => codepiper.tell(&["daemon", "start", "--detach"])?,
    }
    let listed = codepiper.ask(&["sessions", "--json"])?;
    let mut live = sessions(&success("codepiper sessions", &listed)?)?;
    live.retain(Session::is_live);
    if live.is_empty() {
        let provider = provider(|binary| on_path(binary).is_some());
        println!("starting a session of {provider}");
        let started = codepiper.ask(&["start", "-p", provider, "-d", ".", "--json"])?;
        live.push(session(&parse(&success("codepiper start", &started)?)?)?);
    }
    Ok(live)
}

struct Codepiper<'a> {
    program: &'a Path,
    workspace: &'a Workspace,
}

impl Codepiper<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.args(args).current_dir(&self.workspace.root);
        // The daemon hands its environment to the agents: it must be the user's, without what cargo added.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(is_cargos) {
                command.env_remove(name);
            }
        }
        command
    }

    /// For an answer that we read.
    fn ask(&self, args: &[&str]) -> Result<Output> {
        let mut command = self.command(args);
        command.output().with_context(|| format!("starting `{}`", shown(&command)))
    }

    /// For an answer that the user reads. Also for what leaves a process behind: with a pipe in its hands we
    /// would wait for its end.
    fn tell(&self, args: &[&str]) -> Result<()> {
        succeed(&mut self.command(args))
    }
}

/// Set by `cargo run` and by rustup for the program they start, not by the user.
fn is_cargos(variable: &str) -> bool {
    ["CARGO", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "RUSTUP_TOOLCHAIN", "RUST_RECURSION_COUNT"]
        .contains(&variable)
        || variable.starts_with("CARGO_PKG_")
}

#[derive(Debug, PartialEq, Eq)]
enum DaemonState {
    Up,
    Down,
}

/// The contract of `codepiper daemon status --json`: 0 and `"running": true`, or 3; 5 when the socket is another
/// user's, as on a machine that several people share.
fn daemon_state(exit_code: Option<i32>, stdout: &str, stderr: &str) -> Result<DaemonState> {
    match exit_code {
        Some(3) => Ok(DaemonState::Down),
        Some(0) => match parse(stdout)?["running"].as_bool() {
            Some(true) => Ok(DaemonState::Up),
            Some(false) => Ok(DaemonState::Down),
            None => bail!("`codepiper daemon status --json` does not say whether it is running: {stdout}"),
        },
        Some(5) => bail!(
            "{}\nfor one of your own: `export CODEPIPER_SOCKET=/tmp/codepiper-$USER.sock`, then this again",
            stderr.trim()
        ),
        Some(code) => bail!("`codepiper daemon status` failed with exit code {code}: {}", stderr.trim()),
        None => bail!("`codepiper daemon status` was ended by a signal"),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Session {
    id: String,
    provider: String,
    status: String,
}

impl Session {
    /// A status we have not heard of counts as live: better no session of ours than one too many.
    fn is_live(&self) -> bool {
        !matches!(self.status.to_ascii_lowercase().as_str(), "stopped" | "crashed")
    }
}

fn sessions(stdout: &str) -> Result<Vec<Session>> {
    let value = parse(stdout)?;
    let list = value.as_array().ok_or_else(|| anyhow!("expected a list of sessions, got {stdout}"))?;
    list.iter().map(session).collect()
}

fn session(value: &Value) -> Result<Session> {
    let field = |name: &str| {
        let found = value[name].as_str().map(String::from);
        found.with_context(|| format!("a session without `{name}`: {value}"))
    };
    Ok(Session { id: field("id")?, provider: field("provider")?, status: field("status")? })
}

fn parse(stdout: &str) -> Result<Value> {
    serde_json::from_str(stdout).with_context(|| format!("expected JSON, got `{}`", stdout.trim()))
}

/// The first agent the user has; the demo agent is part of CodePiper and always there.
fn provider(installed: impl Fn(&str) -> bool) -> &'static str {
    [("claude", "claude-code"), ("codex", "codex")]
        .into_iter()
        .find(|(binary, _)| installed(binary))
        .map_or("demo", |(_, provider)| provider)
}

fn summary(sessions: &[Session], program: &str) -> String {
    let mut text = String::from("CodePiper is running.\n\n");
    let width = sessions.iter().map(|session| session.provider.len()).max().unwrap_or(0);
    for Session { id, provider, status } in sessions {
        text += &format!("  session {id}  {provider:<width$}  {}\n", status.to_ascii_lowercase());
    }
    text += "\nTry next:\n";
    let id = sessions.first().map_or("<id>", |session| &session.id);
    let next = [
        ("sessions".into(), "what is running"),
        (format!("attach {id}"), "see its terminal and type into it; Ctrl+B D leaves it"),
        (format!("send {id} \"hello\""), "send it a prompt from here"),
        (format!("tail {id}"), "its last output"),
        (format!("stop {id}"), "end the session"),
        ("daemon stop".into(), "stop the daemon; sessions go on"),
    ];
    let width = next.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    for (command, what) in &next {
        text += &format!("  {program} {command:<width$}   {what}\n");
    }
    text += "\nThe daemon stays in the background after this command.\n";
    text
}

fn success(what: &str, output: &Output) -> Result<String> {
    let Output { status, stdout, stderr } = output;
    ensure!(status.success(), "`{what}` failed with {}: {}", code(*status), text(stderr).trim());
    Ok(text(stdout))
}

fn code(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_daemon(exit_code: Option<i32>, stdout: &str, expected: &str) {
        let got = match daemon_state(exit_code, stdout, "no such socket\n") {
            Ok(state) => format!("{state:?}"),
            Err(error) => format!("{error:#}"),
        };
        assert!(got.starts_with(expected), "{exit_code:?} {stdout}: {got}");
    }

    #[test]
    fn the_daemon_is_up_down_or_in_trouble() {
        check_daemon(Some(0), r#"{"running":true,"pid":17}"#, "Up");
        check_daemon(Some(3), "", "Down");
        check_daemon(Some(3), r#"{"running":false}"#, "Down");
        check_daemon(Some(0), r#"{"running":false}"#, "Down");
        check_daemon(Some(0), "{}", "`codepiper daemon status --json` does not say");
        check_daemon(Some(0), "running", "expected JSON, got `running`");
        check_daemon(Some(1), "", "`codepiper daemon status` failed with exit code 1: no such socket");
        check_daemon(Some(5), "", "no such socket\nfor one of your own: `export CODEPIPER_SOCKET=");
        check_daemon(None, "", "`codepiper daemon status` was ended by a signal");
    }

    fn check_live(stdout: &str, expected: &str) {
        let got = match sessions(stdout) {
            Ok(mut all) => {
                all.retain(Session::is_live);
                all.iter().map(|session| session.id.as_str()).collect::<Vec<_>>().join(" ")
            }
            Err(error) => format!("{error:#}"),
        };
        assert!(got.starts_with(expected), "{stdout}: {got}");
    }

    #[test]
    fn only_stopped_and_crashed_sessions_are_not_live() {
        let one = |id: &str, status: &str| {
            format!(r#"{{"id":"{id}","provider":"demo","status":"{status}","extra":[1]}}"#)
        };
        check_live("[]", "");
        check_live(
            &format!(
                "[{},{},{},{},{}]",
                one("a", "running"),
                one("b", "STOPPED"),
                one("c", "crashed"),
                one("d", "starting"),
                one("e", "needs_input")
            ),
            "a d e",
        );
        check_live("{}", "expected a list of sessions");
        check_live(r#"[{"id":"a","provider":"demo"}]"#, "a session without `status`");
    }

    #[test]
    fn the_agent_the_user_has_before_the_demo() {
        assert_eq!(provider(|_| true), "claude-code");
        assert_eq!(provider(|binary| binary == "codex"), "codex");
        assert_eq!(provider(|_| false), "demo");
    }

    #[test]
    fn the_users_environment_reaches_the_daemon_without_cargos() {
        for cargos in ["CARGO", "CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "RUSTUP_TOOLCHAIN"] {
            assert!(is_cargos(cargos), "{cargos}");
        }
        for users in ["CARGO_HOME", "CARGO_TARGET_DIR", "RUSTUP_HOME", "PATH", "RUST_LOG"] {
            assert!(!is_cargos(users), "{users}");
        }
    }

    #[test]
    fn the_summary_can_be_typed_as_it_stands() {
        let session = |id: &str, provider: &str| Session {
            id: id.into(),
            provider: provider.into(),
            status: "RUNNING".into(),
        };
        assert_eq!(
            summary(
                &[session("3f2a91bc", "demo"), session("00c0ffee", "claude-code")],
                "target/debug/codepiper"
            ),
            "CodePiper is running.\n\
             \n\
             \x20 session 3f2a91bc  demo         running\n\
             \x20 session 00c0ffee  claude-code  running\n\
             \n\
             Try next:\n\
             \x20 target/debug/codepiper sessions                what is running\n\
             \x20 target/debug/codepiper attach 3f2a91bc         see its terminal and type into it; Ctrl+B D leaves it\n\
             \x20 target/debug/codepiper send 3f2a91bc \"hello\"   send it a prompt from here\n\
             \x20 target/debug/codepiper tail 3f2a91bc           its last output\n\
             \x20 target/debug/codepiper stop 3f2a91bc           end the session\n\
             \x20 target/debug/codepiper daemon stop             stop the daemon; sessions go on\n\
             \n\
             The daemon stays in the background after this command.\n"
        );
    }
}
