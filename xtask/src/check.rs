//! The checks that run nothing of ours: format, lints, and the repository's own laws.

use anyhow::{Result, bail};

use crate::step::{step, succeed};
use crate::workspace::Workspace;
use crate::{Exit, tidy};

pub(crate) struct Check {
    pub(crate) title: &'static str,
    pub(crate) run: fn(&Workspace) -> Result<()>,
}

/// In the order of their cost to the one who waits for the first failure.
pub(crate) const ALL: &[Check] = &[
    Check { title: "cargo fmt --check", run: |ws| succeed(&mut ws.cargo(["fmt", "--check"])) },
    Check {
        title: "cargo clippy",
        run: |ws| succeed(&mut ws.cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    },
    TIDY,
];

pub(crate) const TIDY: Check = Check { title: "tidy", run: tidy };

/// Runs all of them, also after a failure: one run tells everything there is to mend.
pub(crate) fn run(checks: &[Check]) -> Result<Exit> {
    let workspace = Workspace::load()?;
    let mut exit = Exit::Fine;
    for check in checks {
        if step(check.title, || (check.run)(&workspace)).is_err() {
            exit = Exit::Failed;
        }
    }
    Ok(exit)
}

fn tidy(workspace: &Workspace) -> Result<()> {
    let tree = tidy::Tree::read(workspace)?;
    let findings = tidy::findings(&tree);
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("1 place breaks a law"),
        many => bail!("{many} places break a law"),
    }
}
