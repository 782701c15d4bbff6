//! `cargo xtask bench`: the release binary measured beside what the machine can do at best.
//!
//! Builds and starts; what is measured and how stands in `crates/codepiper-tests/src/bench`.

use anyhow::Result;

use crate::Exit;
use crate::needs::{self, Install, Purpose};
use crate::step::{step, succeed};
use crate::workspace::Workspace;

/// Where the bench looks for the binary to measure.
const BINARY_VARIABLE: &str = "CODEPIPER_TEST_BINARY";

/// `args` are names of figures and `--quick`; the bench itself knows them.
pub(crate) fn run(args: &[String]) -> Result<Exit> {
    let workspace = Workspace::load()?;
    Ok(steps(&workspace, args).err().unwrap_or(Exit::Fine))
}

fn steps(workspace: &Workspace, args: &[String]) -> Result<(), Exit> {
    step("needs", || needs::provide(Purpose::Run, Install::No))?;
    step("building (release profile)", || {
        let programs = ["--bin", "codepiper", "--bin", "bench", "--bin", "floor"];
        let packages = ["build", "--release", "--package", "codepiper", "--package", "codepiper-tests"];
        succeed(&mut workspace.cargo(packages.into_iter().chain(programs)))
    })?;
    let folder = workspace.target.join("release");
    let mut bench = std::process::Command::new(folder.join("bench"));
    bench.args(args).env(BINARY_VARIABLE, folder.join("codepiper"));
    step("bench", || succeed(&mut bench))
}
