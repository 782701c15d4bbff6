//! Where this checkout is, and what cargo says is in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Absolute; follows `CARGO_TARGET_DIR` and `.cargo/config.toml`.
    pub(crate) target: PathBuf,
    /// `cargo metadata --no-deps`: our packages only, with the dependencies they name.
    pub(crate) metadata: Value,
}

impl Workspace {
    pub(crate) fn load() -> Result<Self> {
        let output = Command::new(cargo_program())
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .output()
            .context("starting `cargo metadata`")?;
        ensure!(
            output.status.success(),
            "`cargo metadata` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let metadata: Value = serde_json::from_slice(&output.stdout).context("reading `cargo metadata`")?;
        let path = |key: &str| {
            metadata[key]
                .as_str()
                .map(PathBuf::from)
                .with_context(|| format!("`cargo metadata` has no `{key}`"))
        };
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")?, metadata })
    }

    /// `cargo`, about to run at the root of the workspace.
    pub(crate) fn cargo<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(cargo_program());
        command.args(args).current_dir(&self.root);
        command
    }
}

/// The cargo that runs us, so that a toolchain chosen with `cargo +x xtask` holds for everything below.
fn cargo_program() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// The first `name` on `PATH` that can be executed.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| executable(file))
}

#[cfg(unix)]
fn executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
