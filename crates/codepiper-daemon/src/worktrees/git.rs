//! The git command, asked by the daemon in a repository that nobody vouches for: an agent may have written
//! its configuration, its hooks and its attributes.
//!
//! It knows how to run git, nothing of what is asked. The law: git runs no program that the repository
//! names, and reaches no network. Filters (LFS, git-crypt) run as the person's own configuration has them
//! and not as the repository's has them; a file whose filter is required and switched off makes git refuse.

use codepiper_api::{Fault, Refusal};
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

/// How long a question may take. `git status` of a very large repository on a cold disk takes seconds.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(30);

/// How long writing or deleting a whole checkout may take.
const CHECKOUT_TIME_MAX: Duration = Duration::from_secs(300);

/// How long a git that was killed may take to be gone.
const END_TIME_MAX: Duration = Duration::from_secs(5);

/// The most that git may say, in bytes; a list of a million files is about this long.
const OUTPUT_MAX: u64 = 64 * 1024 * 1024;

/// The longest text of git's own that is passed on, in characters; the rest would be a list of files.
const WORDS_MAX: usize = 400;

/// How `git config` ends when nothing matches.
const NO_MATCH: i32 = 1;

/// How git ends when it does not know an option.
const BAD_OPTION: i32 = 129;

/// What no configuration of a repository may decide.
const HARDENED: [(&str, &str); 9] = [
    ("core.fsmonitor", "false"),             // a program that `status` would run
    ("core.hooksPath", "/dev/null"),         // post-checkout, reference-transaction, …
    ("core.untrackedCache", "false"),        // a stale cache hides untracked files
    ("core.checkStat", "default"),           // `minimal` takes some changed files for unchanged
    ("core.trustctime", "true"),             // as above
    ("status.showUntrackedFiles", "normal"), // `no` makes `worktree remove` delete them unasked
    ("submodule.recurse", "false"),          // submodules have configurations of their own
    ("worktree.guessRemote", "false"),       // a branch is made when we say so
    ("protocol.allow", "never"),             // transports run programs; nothing here needs one
];

/// Variables that every git of ours gets.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("GIT_OPTIONAL_LOCKS", "0"), // a question of ours must not make the agent's own git fail on a lock
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_NO_LAZY_FETCH", "1"), // a partial clone fetches through a program that its configuration names
    ("GIT_ALLOW_PROTOCOL", "none"), // the same for versions before 2.45, over `protocol.<name>.allow`
    ("LC_ALL", "C"),            // some answers are only told apart by their words
];

/// git in one folder.
pub(super) struct Git {
    folder: PathBuf,
    /// What takes the repository's own filters and hooks out, on top of [`HARDENED`].
    overrides: Vec<(OsString, OsString)>,
}

/// What git said.
pub(super) struct Answer {
    pub(super) stdout: Vec<u8>,
    /// None when a signal ended it.
    code: Option<i32>,
    stderr: Vec<u8>,
}

/// Why git said nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("`git` is not installed")]
    NotInstalled,
    #[error("`git` is too old: version 2.31 or later is needed")]
    TooOld,
    #[error("{0}")]
    Refused(String),
    #[error("`git {0}` was not done after {1} s")]
    TooSlow(String, u64),
    #[error("`git {0}` said more than {max} MiB", max = OUTPUT_MAX / 1024 / 1024)]
    TooMuch(String),
    #[error("`git {0}` could not be run: {1}")]
    Broken(String, io::Error),
}

impl Git {
    /// git in this folder, with what the configuration there would run switched off. Whether it is in a
    /// repository is for the first question to find out.
    ///
    /// The configuration is read once; what somebody writes into it afterwards is not seen.
    pub(super) async fn open(folder: &Path) -> Result<Self, Trouble> {
        let mut git = Self { folder: folder.to_owned(), overrides: Vec::new() };
        let wanted = r"^(filter|hook)\.|^core\.fsmonitor$";
        let config = git.ask(["config", "-z", "--show-scope", "--includes", "--get-regexp", wanted]).await?;
        if !config.is_ok() && !matches!(config.code, Some(NO_MATCH | BAD_OPTION)) {
            return Err(Trouble::Refused(config.words()));
        }
        // Versions before 2.31 don't know the variables that harden: our own value is not among the found.
        let ours = b"command\0core.fsmonitor\nfalse\0";
        if !config.stdout.windows(ours.len()).any(|part| part == ours) {
            return Err(Trouble::TooOld);
        }
        git.overrides = overrides(&config.stdout);
        Ok(git)
    }

    /// The same git elsewhere in the same repository.
    pub(super) fn at(&self, folder: &Path) -> Self {
        Self { folder: folder.to_owned(), overrides: self.overrides.clone() }
    }

    /// Asks; the arguments change nothing.
    pub(super) async fn ask<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Answer, Trouble> {
        self.run(QUESTION_TIME_MAX, arguments).await
    }

    /// Changes something. A limit that is reached ends git in the middle.
    pub(super) async fn act<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Answer, Trouble> {
        self.run(CHECKOUT_TIME_MAX, arguments).await
    }

    pub(super) async fn run<S: AsRef<OsStr>>(
        &self,
        limit: Duration,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Answer, Trouble> {
        let arguments: Vec<OsString> = arguments.into_iter().map(|part| part.as_ref().to_owned()).collect();
        let name = arguments.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut command = Command::new("git");
        // By `-C` and not as the process's folder: "not there" would look like a missing git.
        command.current_dir("/").arg("-C").arg(&self.folder).args(&arguments);
        for (variable, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"GIT_")) {
            command.env_remove(variable);
        }
        command.env_remove("LANGUAGE").envs(ENVIRONMENT);
        let fixed = HARDENED.iter().map(|(key, value)| (OsStr::new(key), OsStr::new(value)));
        let found = self.overrides.iter().map(|(key, value)| (key.as_os_str(), value.as_os_str()));
        // By variables and not by `-c key=value`: the name of a filter may have a `=` in it.
        for (index, (key, value)) in fixed.chain(found).enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        command.env("GIT_CONFIG_COUNT", (HARDENED.len() + self.overrides.len()).to_string());
        if cfg!(test) {
            // Whoever runs the tests has a configuration too.
            command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);

        let broken = |error| Trouble::Broken(name.clone(), error);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Trouble::NotInstalled,
            _ => broken(error),
        })?;
        let group = Group(child.id().and_then(|pid| Pid::from_raw(pid as i32)));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let work = async {
            let (stdout, stderr) = tokio::try_join!(read(stdout), read(stderr))?;
            Ok::<_, io::Error>(Answer { stdout, code: child.wait().await?.code(), stderr })
        };
        let done = timeout(limit, work).await;
        if matches!(done, Ok(Ok(_))) {
            group.leave();
        } else {
            drop(group);
            // What it was writing is about to be taken back, so it must not write any more.
            let _it_may_hang_in_the_system = timeout(END_TIME_MAX, child.wait()).await;
        }
        match done {
            Err(_) => Err(Trouble::TooSlow(name, limit.as_secs())),
            Ok(Err(error)) if error.kind() == io::ErrorKind::FileTooLarge => Err(Trouble::TooMuch(name)),
            Ok(answer) => answer.map_err(broken),
        }
    }
}

/// A git that runs and what it started. They end when nobody waits for them any more: a filter that hangs
/// would outlive its git.
struct Group(Option<Pid>);

impl Group {
    /// They have ended by themselves.
    fn leave(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ended_meanwhile = kill_process_group(leader, Signal::KILL);
        }
    }
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(OUTPUT_MAX + 1).read_to_end(&mut bytes).await?;
    }
    if bytes.len() as u64 > OUTPUT_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

impl Answer {
    /// Whether git did it, or says yes.
    pub(super) fn is_ok(&self) -> bool {
        self.code == Some(0)
    }

    /// The one value that was asked for. Git ends it with a newline; a path may have more of them.
    pub(super) fn value(&self) -> Option<OsString> {
        let bytes = self.stdout.strip_suffix(b"\n").unwrap_or(&self.stdout);
        (self.is_ok() && !bytes.is_empty()).then(|| OsString::from_vec(bytes.to_owned()))
    }

    /// Why git refused, in its own words: its last `fatal:` or `error:`, on one line.
    pub(super) fn words(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let said = |prefix: &str| text.lines().rev().find_map(|line| line.strip_prefix(prefix));
        let words = said("fatal: ").or_else(|| said("error: ")).or_else(|| text.lines().next());
        let words = words.unwrap_or("git failed and did not say why").trim().trim_end_matches('.');
        words.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
    }

    /// Whether git complained in these words.
    pub(super) fn complains(&self, words: &str) -> bool {
        String::from_utf8_lossy(&self.stderr).contains(words)
    }
}

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Self {
        let fault = match trouble {
            Trouble::NotInstalled | Trouble::TooOld => Fault::Missing,
            Trouble::Refused(_) => Fault::Conflict,
            Trouble::TooSlow(..) | Trouble::TooMuch(_) | Trouble::Broken(..) => Fault::Internal,
        };
        Self::new(fault, trouble.to_string())
    }
}

/// What to set so that no filter and no hook of the repository's own configuration runs: the value that the
/// person's configuration has, or none. Takes what `git config -z --show-scope --get-regexp` prints.
fn overrides(config: &[u8]) -> Vec<(OsString, OsString)> {
    let mut parts = config.split(|byte| *byte == 0);
    let mut filters: BTreeMap<&[u8], (bool, &[u8])> = BTreeMap::new();
    let mut hooks = BTreeMap::new();
    while let (Some(scope), Some(entry)) = (parts.next(), parts.next()) {
        let end = entry.iter().position(|byte| *byte == b'\n');
        let (key, value) = end.map_or((entry, &b""[..]), |end| (&entry[..end], &entry[end + 1..]));
        let Some(dot) = key.iter().rposition(|byte| *byte == b'.') else { continue };
        if key.starts_with(b"hook.") {
            // Hooks by configuration, since git 2.54. Those of the person are off as well, as hooksPath is.
            hooks.insert([&key[..dot], b".enabled"].concat(), ());
        } else if [&b"clean"[..], b"smudge", b"process"].contains(&&key[dot + 1..]) {
            let (is_foreign, own) = filters.entry(key).or_default();
            match scope {
                b"system" | b"global" => *own = value,
                _ => *is_foreign = true,
            }
        }
    }
    let os = |bytes: &[u8]| OsString::from_vec(bytes.to_owned());
    let foreign = filters.into_iter().filter(|(_, (is_foreign, _))| *is_foreign);
    let filters = foreign.map(|(key, (_, own))| (os(key), os(own)));
    filters.chain(hooks.into_keys().map(|key| (os(&key), "false".into()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_the_persons_and_hooks_are_nobodys() {
        let check = |config: &str, expected: &str| {
            let got = overrides(config.replace('|', "\0").as_bytes());
            let got: Vec<_> = got
                .iter()
                .map(|(key, value)| format!("{}={}", key.to_string_lossy(), value.to_string_lossy()))
                .collect();
            assert_eq!(got.join(" "), expected, "{config:?}");
        };
        check("", "");
        check("global|filter.lfs.smudge\ngit-lfs|", "");
        check("local|filter.evil.smudge\nrm|", "filter.evil.smudge=");
        check("worktree|filter.evil.clean\nrm|", "filter.evil.clean=");
        check("unknown|filter.evil.process\nrm|", "filter.evil.process=");
        check("global|filter.lfs.smudge\ngit-lfs|local|filter.lfs.smudge\nrm|", "filter.lfs.smudge=git-lfs");
        check("local|filter.a.b=c.smudge\nrm\nrm|", "filter.a.b=c.smudge=");
        check("local|filter.lfs.required\ntrue|local|filter.x.smudge|", "filter.x.smudge=");
        check("local|hook.x.command\nrm|global|hook.x.event\ny|", "hook.x.enabled=false");
        check("command|core.fsmonitor\nfalse|", "");
    }

    fn git() -> Git {
        Git { folder: "/".into(), overrides: Vec::new() }
    }

    #[tokio::test]
    async fn a_git_that_hangs_is_ended() {
        let answer = git().run(Duration::from_millis(300), ["-c", "alias.hang=!sleep 60", "hang"]).await;
        assert!(matches!(answer, Err(Trouble::TooSlow(..))), "it was not");
    }

    #[tokio::test]
    async fn what_git_started_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().await.unwrap().success());
        let (say_open, is_open) = tokio::sync::oneshot::channel();
        let (say_closed, is_closed) = tokio::sync::oneshot::channel();
        let hang = format!("alias.hang=!exec sleep 60 9>'{}'", pipe.display());
        std::thread::spawn(move || {
            let mut pipe = std::fs::File::open(pipe).unwrap(); // once somebody opens it to write
            say_open.send(()).unwrap();
            say_closed.send(io::Read::read(&mut pipe, &mut [0])).unwrap();
        });
        let running = tokio::spawn(async move { git().ask(["-c", &hang, "hang"]).await.is_ok() });
        is_open.await.unwrap();
        running.abort();
        let closed = timeout(Duration::from_secs(20), is_closed).await;
        assert_eq!(closed.expect("it runs on").unwrap().unwrap(), 0);
    }
}
