//! Making a worktree: all of it, or nothing is left behind.

use super::git::{Answer, Git};
use super::repository::{Branch, Checkout, delete_branch};
use super::{Worktree, drop_parent, plain};
use codepiper_api::sessions::WorktreeRequest;
use codepiper_api::{Fault, Refusal};
use codepiper_core::ids::SessionId;
use rustix::process::getuid;
use serde_json::json;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// How often the folder of all worktrees is made anew when another session that ends takes it away.
const CLAIM_TRIES: usize = 3;

/// The longest name of a branch or start point that is taken, in bytes; git's files can't have longer ones.
const REF_MAX: usize = 255;

/// Makes a worktree at `<parent of the repository>/<its name>-worktrees/<session id>`.
///
/// After a refusal nothing is left behind. A caller that drops the future instead of waiting leaves what
/// was made so far, so it belongs in a task that nobody cancels.
///
/// A new branch follows no remote branch, whatever it starts from: a later push is then a decision.
pub async fn create(request: &WorktreeRequest, cwd: &Path, session: &SessionId) -> Result<Worktree, Refusal> {
    let wanted = Wanted::of(request, session)?;
    if !cwd.is_absolute() || !cwd.is_dir() {
        return Err(Refusal::field("cwd", format!("is not a folder: `{}`", cwd.display())));
    }
    let git = Git::open(cwd).await?;
    let checkout = Checkout::find(&git, cwd).await?;
    let git = git.at(&checkout.root);

    let commit = wanted.commit(&git, &checkout).await?;
    if !checkout.below.as_os_str().is_empty() {
        let mut object = OsString::from(format!("{commit}:"));
        object.push(&checkout.below);
        let kind = git.ask([OsStr::new("cat-file"), OsStr::new("-t"), &object]).await?;
        if kind.value().is_none_or(|kind| kind != "tree") {
            return Err(checkout.lacks_folder(&wanted));
        }
    }

    let (parent, path) = checkout.place(session)?;
    let mut unfinished = Unfinished { git: &git, path: &path, has_folder: false, branch: None };
    let made = make(&mut unfinished, &parent, &wanted, &commit, &checkout).await;
    if let Err(refusal) = made {
        unfinished.undo().await;
        return Err(refusal);
    }
    Ok(Worktree {
        cwd: path.join(&checkout.below).components().collect(), // without a `/` at its end
        repo_root: checkout.main,
        path,
        created_branch: matches!(wanted, Wanted::New { .. }),
        branch: wanted.branch().to_owned(),
        original_cwd: cwd.to_owned(),
    })
}

/// The branch that is wanted. Neither name begins with `-`, so neither can be an option.
enum Wanted {
    New { branch: String, start: Option<String> },
    Existing { branch: String },
}

impl Wanted {
    fn of(request: &WorktreeRequest, session: &SessionId) -> Result<Self, Refusal> {
        let check = |field: &str, text: &str| {
            let bad = text.is_empty() || text.starts_with('-') || text.len() > REF_MAX;
            match bad || text.chars().any(char::is_control) {
                true => {
                    Err(Refusal::field(field, format!("is not a name that git takes: `{}`", plain(text))))
                }
                false => Ok(()),
            }
        };
        if let Some(branch) = &request.branch {
            check("worktree.branch", branch)?;
        }
        if let Some(start) = &request.start_point {
            check("worktree.startPoint", start)?;
        }
        let start = request.start_point.clone();
        match (&request.branch, start) {
            (None, start) => Ok(Self::New { branch: format!("codepiper/{session}"), start }),
            (Some(branch), start) if request.create_branch => Ok(Self::New { branch: branch.clone(), start }),
            (Some(branch), None) => Ok(Self::Existing { branch: branch.clone() }),
            (Some(_), Some(_)) => {
                Err(Refusal::field("worktree.startPoint", "is for a branch that is created (`createBranch`)"))
            }
        }
    }

    fn branch(&self) -> &str {
        match self {
            Self::New { branch, .. } | Self::Existing { branch } => branch,
        }
    }

    /// The commit to check out. Refuses what can't be: the branch is there and should not be, or the other
    /// way round, or is taken.
    async fn commit(&self, git: &Git, checkout: &Checkout) -> Result<String, Refusal> {
        let branch = self.branch();
        if !git.ask(["check-ref-format", &format!("refs/heads/{branch}")]).await?.is_ok() {
            return Err(Refusal::field(
                "worktree.branch",
                format!("is not a name that git takes: `{branch}`"),
            ));
        }
        let found = Branch::find(git, branch).await?;
        match (self, found) {
            (Self::New { .. }, Some(_)) => {
                let refusal = Refusal::new(Fault::Conflict, format!("branch `{branch}` is there already"));
                Err(refusal.hint("take another name, or leave `createBranch` out to work on that branch"))
            }
            (Self::New { start, .. }, None) => resolve(git, start.as_deref(), checkout).await,
            (Self::Existing { .. }, Some(Branch { checked_out_in: Some(place), .. })) => {
                let place = place.display();
                let error = format!("branch `{branch}` is checked out in `{place}`");
                let refusal = Refusal::new(Fault::Conflict, error)
                    .details(json!({ "checkedOutIn": place.to_string() }));
                Err(refusal.hint("create a new branch, or start the session there"))
            }
            (Self::Existing { .. }, Some(found)) => Ok(found.commit),
            (Self::Existing { .. }, None) => {
                let refusal = Refusal::field("worktree.branch", format!("is not there: `{branch}`"));
                Err(refusal
                    .hint("`createBranch` creates it, from `startPoint` (`origin/…`, for one) or HEAD"))
            }
        }
    }
}

/// The commit of a start point.
async fn resolve(git: &Git, start: Option<&str>, checkout: &Checkout) -> Result<String, Refusal> {
    let revision = format!("{}^{{commit}}", start.unwrap_or("HEAD"));
    let commit = git.ask(["rev-parse", "--verify", "--quiet", "--end-of-options", &revision]).await?;
    match (commit.value(), start) {
        (Some(commit), _) => Ok(commit.to_string_lossy().into_owned()),
        (None, Some(start)) => {
            Err(Refusal::field("worktree.startPoint", format!("is not a commit here: `{start}`")))
        }
        (None, None) => {
            let error = format!("`{}` has no commit yet to make a worktree of", checkout.main.display());
            Err(Refusal::new(Fault::Conflict, error).hint(
                "commit something first (`git commit --allow-empty -m start`), or leave the worktree out",
            ))
        }
    }
}

impl Checkout {
    /// The folder of all worktrees and the one of this session.
    fn place(&self, session: &SessionId) -> Result<(PathBuf, PathBuf), Refusal> {
        let name = match self.main.extension() {
            Some(extension) if extension == "git" => self.main.file_stem(),
            _ => self.main.file_name(),
        };
        let (Some(parent), Some(name)) = (self.main.parent(), name) else {
            let error = format!("there is no place for worktrees beside `{}`", self.main.display());
            return Err(Refusal::new(Fault::Conflict, error));
        };
        let mut folder = name.to_owned();
        folder.push("-worktrees");
        let parent = parent.join(folder);
        let path = parent.join(session.as_str());
        // They go into JSON, and come back from there when the session ends.
        match path.join(&self.below).to_str() {
            Some(_) => Ok((parent, path)),
            None => Err(Refusal::field("cwd", "is in a folder with a name that is not UTF-8")),
        }
    }

    fn lacks_folder(&self, wanted: &Wanted) -> Refusal {
        let (below, branch) = (self.below.display(), wanted.branch());
        let from = match wanted {
            Wanted::New { start, .. } => start.as_deref().unwrap_or("HEAD"),
            Wanted::Existing { .. } => branch,
        };
        Refusal::new(Fault::Conflict, format!("folder `{below}` is not in the commit of `{from}`"))
            .hint(format!("commit it first, or start the session in `{}`", self.root.display()))
    }
}

/// What was made so far, to take it back. Only what this call itself made is in it.
struct Unfinished<'a> {
    git: &'a Git,
    path: &'a Path,
    has_folder: bool,
    /// The branch, and the commit that it was made at.
    branch: Option<(&'a str, &'a str)>,
}

async fn make<'a>(
    unfinished: &mut Unfinished<'a>,
    parent: &Path,
    wanted: &'a Wanted,
    commit: &'a str,
    checkout: &Checkout,
) -> Result<(), Refusal> {
    claim(parent, unfinished.path)?;
    unfinished.has_folder = true;
    let branch = wanted.branch();
    if let Wanted::New { .. } = wanted {
        // On its own and not by `worktree add -b`: who made it is certain then, whatever fails later.
        let made = unfinished.git.act(["branch", "--no-track", "--", branch, commit]).await?;
        if !made.is_ok() {
            return Err(Refusal::new(Fault::Conflict, made.words()).hint("take another name for the branch"));
        }
        unfinished.branch = Some((branch, commit));
    }
    let path = unfinished.path.as_os_str();
    let added = unfinished.git.act([
        OsStr::new("worktree"),
        OsStr::new("add"),
        OsStr::new("--"),
        path,
        OsStr::new(branch),
    ]);
    let added = added.await?;
    if !added.is_ok() {
        return Err(not_added(&added));
    }
    if !unfinished.path.join(&checkout.below).is_dir() {
        return Err(checkout.lacks_folder(wanted)); // in the commit, and left out by a sparse checkout
    }
    Ok(())
}

fn not_added(added: &Answer) -> Refusal {
    let refusal = Refusal::new(Fault::Conflict, added.words());
    if added.complains("filter") {
        return refusal.hint(
            "filters that the repository's own configuration sets are not run by the daemon; \
             set them in your own (`git config --global`) if you trust them",
        );
    }
    if added.complains("already registered") {
        return refusal.hint("`git worktree prune` forgets worktrees whose folder is gone");
    }
    refusal
}

/// Makes the folder of this session, so that it is ours and nobody else's. Both are for the owner only.
fn claim(parent: &Path, path: &Path) -> Result<(), Refusal> {
    let make = |folder: &Path| DirBuilder::new().mode(0o700).create(folder);
    let refuse = |fault, folder: &Path, why: String| {
        Err(Refusal::new(fault, format!("folder `{}` {why}", folder.display())))
    };
    for _ in 0..CLAIM_TRIES {
        match make(parent) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::metadata(parent) {
                Ok(entry) if !entry.is_dir() => {
                    return refuse(Fault::Conflict, parent, "is no folder, and worktrees go there".into());
                }
                Ok(entry) if entry.uid() != getuid().as_raw() => {
                    return refuse(Fault::Forbidden, parent, "is somebody else's".into());
                }
                _ => {}
            },
            Err(error) => return refuse(Fault::Conflict, parent, format!("can't be made: {error}")),
            Ok(()) => {}
        }
        match make(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {} // another session's end took the parent
            Err(error) => return refuse(Fault::Conflict, path, format!("can't be made: {error}")),
        }
    }
    refuse(Fault::Conflict, parent, "goes away again and again".into())
}

impl Unfinished<'_> {
    async fn undo(self) {
        let path = self.path;
        if !self.has_folder {
            return drop_parent(path);
        }
        // Only what is registered for this folder: a failed `add` may have found an older registration of the
        // same path, whose folder somebody moved. Twice `--force`, because git locks what it is still making.
        if path.join(".git").exists() {
            let arguments = ["worktree", "remove", "--force", "--force", "--"].map(OsStr::new);
            let removed = self.git.act(arguments.into_iter().chain([path.as_os_str()])).await;
            if let Err(trouble) = removed {
                tracing::warn!("taking back worktree `{}`: {trouble}", path.display());
            }
        }
        match tokio::fs::remove_dir_all(path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("taking back folder `{}`: {error}", path.display());
            }
            _ => drop_parent(path),
        }
        if let Some((branch, commit)) = self.branch {
            let is_deleted = delete_branch(self.git, branch, commit).await.unwrap_or(false);
            if !is_deleted {
                tracing::warn!("taking back branch `{branch}` failed");
            }
        }
    }
}
