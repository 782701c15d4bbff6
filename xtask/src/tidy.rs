//! `cargo xtask tidy`: the laws of this repository that no compiler holds, each with its reason beside it.
//!
//! Pure but for `Tree::read`: the files in, the findings out. Laws about the graph of crates are in `arrows`,
//! laws about lines of text in `lines`. To change one, change it here and say why in the commit.

mod arrows;
mod lines;

use std::fmt::{self, Display, Formatter};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::workspace::Workspace;

/// What the laws look at.
pub(crate) struct Tree {
    files: Vec<File>,
    /// `cargo metadata --no-deps`.
    metadata: Value,
}

struct File {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    file: String,
    line: usize,
    what: String,
    why: &'static str,
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { file, line, what, why } = self;
        write!(f, "{file}:{line}: {what} ({why})")
    }
}

impl Tree {
    /// Every text file that is committed, or would be by `git add`.
    pub(crate) fn read(workspace: &Workspace) -> Result<Self> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&workspace.root)
            .output()
            .context("starting `git ls-files`")?;
        ensure!(
            output.status.success(),
            "`git ls-files` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let names = String::from_utf8(output.stdout).context("a file name that is not UTF-8")?;
        let mut files = Vec::new();
        for name in names.split_terminator('\0') {
            let path = workspace.root.join(name);
            // Listed and not there: deleted and not committed yet. A symbolic link is a name, not a text.
            if !path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
                continue;
            }
            let bytes = std::fs::read(&path).with_context(|| format!("reading {name}"))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File { path: name.to_owned(), text });
            }
        }
        Ok(Self { files, metadata: workspace.metadata.clone() })
    }
}

pub(crate) fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = arrows::findings(tree);
    for file in &tree.files {
        findings.extend(lines::findings(file));
    }
    findings.extend(lines::needless_exceptions(&tree.files));
    findings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    findings
}
