//! Git worktrees for sessions: a folder and a branch of its own for an agent, made by the git command.
//!
//! It knows no sessions but their id, and not which processes still use a worktree: that is the caller's to
//! find out before it removes one. The law: work that is nowhere else is never deleted. What is in doubt is
//! kept, and the reason said. Nothing that the repository names is run ([`git`]).

mod create;
mod git;
mod remove;
mod repository;
pub mod status;
#[cfg(test)]
mod tests;

pub use create::create;
pub use remove::remove_if_safe;

use crate::worktrees::git::Git;
use crate::worktrees::repository::{Checkout, read_status};
use codepiper_api::sessions::FormerWorktree;
use codepiper_api::{Fault, Refusal};
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How many branches [`inspect`] lists. A person chooses from them.
const BRANCHES_MAX: usize = 1000;

/// A worktree of a session, as it is kept in the session's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Worktree {
    /// The repository's main folder: the first checkout, or the bare repository that has none.
    pub repo_root: PathBuf,
    /// The worktree's own folder.
    #[serde(rename = "worktreePath")]
    pub path: PathBuf,
    /// The branch it was made with; the agent may have switched since.
    pub branch: String,
    /// Whether we made that branch. Only such a branch is ever deleted.
    pub created_branch: bool,
    /// Where the agent works: the place in the worktree that `original_cwd` is in its checkout.
    pub cwd: PathBuf,
    /// Where the session was asked for.
    pub original_cwd: PathBuf,
}

/// What became of a worktree that was to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed {
        /// Whether its branch is gone as well.
        branch_deleted: bool,
    },
    /// It is still there, as it was; a part of it, when the system failed while it was deleted.
    Kept {
        /// Why, in plain language.
        reason: String,
    },
    /// Somebody removed it before. Its branch stays.
    AlreadyGone,
}

impl Removal {
    /// As whoever removed the session is told.
    pub fn told(self, worktree: &Worktree) -> FormerWorktree {
        let (reason, branch_deleted) = match self {
            Self::Kept { reason } => (Some(reason), false),
            Self::Removed { branch_deleted } => (None, branch_deleted),
            Self::AlreadyGone => (None, false),
        };
        FormerWorktree {
            kept: reason.is_some(),
            reason,
            path: worktree.path.display().to_string(),
            repo_root: worktree.repo_root.display().to_string(),
            branch: worktree.branch.clone(),
            branch_deleted,
        }
    }
}

/// What is known of a folder before a session starts in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GitFacts {
    /// Whether it is in a checkout.
    pub is_repo: bool,
    /// The root of that checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_root: Option<PathBuf>,
    /// The branch; none when HEAD is detached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_branch: Option<String>,
    /// Staged, changed or untracked files. What is changed inside of submodules does not count.
    pub has_uncommitted_changes: bool,
    /// Local branches, the one with the latest commit first; 1,000 at most.
    pub branches: Vec<String>,
    /// Why something of the above could not be found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Looks at a folder. What can't be found out is missing, and `problem` says why.
pub async fn inspect(cwd: &Path) -> GitFacts {
    let mut facts = GitFacts::default();
    if let Err(refusal) = look(cwd, &mut facts).await {
        facts.problem = Some(refusal.error);
    }
    facts
}

async fn look(cwd: &Path, facts: &mut GitFacts) -> Result<(), Refusal> {
    if !cwd.is_absolute() || !cwd.is_dir() {
        return Err(Refusal::field("cwd", format!("is not a folder: `{}`", cwd.display())));
    }
    let git = Git::open(cwd).await?;
    let checkout = Checkout::find(&git, cwd).await?;
    facts.is_repo = true;
    facts.repo_root = Some(checkout.root.clone());
    let count = format!("--count={BRANCHES_MAX}");
    let list = ["for-each-ref", "--sort=-committerdate", &count, "--format=%(refname)", "refs/heads/"];
    let branches = git.ask(list).await?;
    let names = String::from_utf8_lossy(&branches.stdout);
    facts.branches =
        names.lines().filter_map(|name| name.strip_prefix("refs/heads/")).map(Into::into).collect();
    let head = git.ask(["symbolic-ref", "--quiet", "HEAD"]).await?;
    let head = head.value().map(|name| name.to_string_lossy().into_owned());
    facts.current_branch = head.and_then(|name| name.strip_prefix("refs/heads/").map(Into::into));
    let status = read_status(&git.at(&checkout.root)).await?;
    facts.has_uncommitted_changes =
        !status.map_err(|words| Refusal::new(Fault::Conflict, words))?.changes.is_empty();
    Ok(())
}

/// Removes the folder of all worktrees with the last of them.
fn drop_parent(path: &Path) {
    if let Some(parent) =
        path.parent().filter(|parent| parent.as_os_str().as_bytes().ends_with(b"-worktrees"))
    {
        let _not_empty = fs::remove_dir(parent);
    }
}

fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
