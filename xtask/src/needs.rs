//! What the commands need on the machine, and how it gets there.
//!
//! The table below is the whole knowledge: a new need is a line in it. `machine` looks what is there, `plan`
//! decides (pure), and `provide` says what will be done before it is done.

mod machine;
mod plan;

use anyhow::{Result, bail};

use self::plan::{Plan, plan};
use crate::step::succeed;

/// A program that must be there, and answer when asked for its version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// The first of these that answers will do.
    binaries: &'static [&'static str],
    /// `""` where no flag is understood by all who make it: then it is enough that it can be executed.
    version_flag: &'static str,
    at_least: Option<Version>,
    purposes: &'static [Purpose],
    source: Source,
    why: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Run,
    Test,
}

/// Where it is installed from.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// Package names, several separated by a space, none as `""`, in the order of `Manager::ALL`.
    Packages([&'static str; 5]),
    /// A component of the Rust toolchain.
    Rustup(&'static str),
}

/// Major and minor: nothing we need differs in less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

#[rustfmt::skip] // one line a need, columns in line
const NEEDS: &[Need] = {
    use Source::{Packages, Rustup};
    const RUN: &[Purpose] = &[Purpose::Run, Purpose::Test];
    const TEST: &[Purpose] = &[Purpose::Test];
    &[
        // Debian's nodejs only recommends ca-certificates, and we install nothing that is only recommended.
        //   binaries           flag         at least              for   apt-get, dnf, apk, pacman, brew; or rustup                                  why
        need(&["tmux"],         "-V",        Some(Version(3, 2)),  RUN,  same("tmux"),                                                               "every session lives in tmux"),
        need(&["git"],          "--version", None,                 RUN,  same("git"),                                                                "worktrees, diffs, and the list of files that `tidy` reads"),
        need(&["cc"],           "--version", None,                 RUN,  Packages(["gcc libc6-dev", "gcc", "gcc musl-dev", "gcc", ""]),              "Rust links with it, SQLite is compiled in; on macOS it comes with `xcode-select --install`"),
        need(&["node"],         "--version", Some(Version(18, 0)), TEST, Packages(["nodejs ca-certificates", "nodejs", "nodejs", "nodejs", "node"]), "the agent CLIs under test run on it"),
        need(&["npm"],          "--version", None,                 TEST, Packages(["npm", "npm", "npm", "npm", "node"]),                             "installs the pinned agent CLIs below `target/agents`"),
        need(&["pgrep"],        "",          None,                 TEST, Packages(["procps", "procps-ng", "procps", "procps-ng", ""]),               "the tests look for processes that should be gone"),
        need(&["kill"],         "",          None,                 TEST, Packages(["procps", "util-linux-core", "procps", "util-linux", ""]),        "the tests kill and freeze processes"),
        need(&["curl"],         "--version", None,                 TEST, same("curl"),                                                               "agents under test try with it to answer their own questions"),
        need(&["cargo-fmt"],    "--version", None,                 TEST, Rustup("rustfmt"),                                                          "`cargo fmt --check`"),
        need(&["cargo-clippy"], "--version", None,                 TEST, Rustup("clippy"),                                                           "`cargo clippy`"),
    ]
};

const fn need(
    binaries: &'static [&'static str],
    version_flag: &'static str,
    at_least: Option<Version>,
    purposes: &'static [Purpose],
    source: Source,
    why: &'static str,
) -> Need {
    Need { binaries, version_flag, at_least, purposes, source, why }
}

/// A program whose package has the same name everywhere.
const fn same(name: &'static str) -> Source {
    Source::Packages([name; 5])
}

impl Need {
    /// As it is called in what we print.
    fn name(&self) -> &'static str {
        self.binaries[0]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Install {
    Yes,
    /// Say what is missing and how it would be installed, run nothing.
    No,
}

/// Something needed is not there (exit code 3). What and how was printed already.
#[derive(Debug)]
pub(crate) struct Missing(String);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// Makes sure that everything `purpose` needs is there: looks, says, installs, looks again.
pub(crate) fn provide(purpose: Purpose, install: Install) -> Result<()> {
    let facts = machine::facts(purpose);
    println!("{}", plan::found(&facts));
    let plan = plan(&facts);
    if plan.lacking.is_empty() {
        return Ok(());
    }
    print!("{plan}");
    if install == Install::No {
        bail!(Missing(format!("{} missing, and --no-install forbids installing", plan.lacking_names())));
    }
    if let Some(obstacle) = &plan.obstacle {
        bail!(Missing(format!("{} missing: {obstacle}", plan.lacking_names())));
    }
    carry_out(&plan)?;

    let facts = machine::facts(purpose);
    println!("{}", plan::found(&facts));
    let rest = plan::plan(&facts);
    if rest.lacking.is_empty() {
        return Ok(());
    }
    print!("{}", rest.what_is_lacking());
    bail!(Missing(format!(
        "{} still missing after the installation; install by hand what the packages don't offer",
        rest.lacking_names()
    )));
}

fn carry_out(plan: &Plan) -> Result<()> {
    for line in &plan.commands {
        let Err(error) = announced(&line.words) else { continue };
        let still = match &line.renew {
            Some(renew) => {
                println!("{error:#}; the package lists may be too old: fetching new ones for one more try");
                announced(renew).and_then(|()| announced(&line.words)).err()
            }
            None => Some(error),
        };
        if let Some(error) = still {
            let hint =
                if line.by_sudo() { format!("; if sudo refused, {}", plan::BY_HAND) } else { String::new() };
            bail!(Missing(format!("{error:#}{hint}")));
        }
    }
    Ok(())
}

fn announced(words: &[String]) -> Result<()> {
    println!("$ {}", words.join(" "));
    match words {
        [program, args @ ..] => succeed(std::process::Command::new(program).args(args)),
        [] => Ok(()),
    }
}
