//! Git worktrees for sessions: a folder and a branch of its own for an agent, made by the git command.
//!
//! It knows no sessions but their id, and not which processes still use a worktree: that is the caller's to
//! find out before it removes one. The law: work that is nowhere else is never deleted. What is in doubt is
//! kept, and the reason said. Nothing that the repository names is run ([`git`]).

mod git;
pub mod status;
#[cfg(test)]
mod tests;

use crate::worktrees::git::{Answer, Git, Trouble};
use crate::worktrees::status::{Change, Status};
use codepiper_api::sessions::WorktreeRequest;
use codepiper_api::{Fault, Refusal};
use codepiper_core::ids::SessionId;
use rustix::process::getuid;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// How often the folder of all worktrees is made anew when another session that ends takes it away.
const CLAIM_TRIES: usize = 3;

/// How many names a reason lists.
const NAMES_MAX: usize = 3;

/// How many branches [`inspect`] lists. A person chooses from them.
const BRANCHES_MAX: usize = 1000;

/// The longest name of a branch or start point that is taken, in bytes; git's files can't have longer ones.
const REF_MAX: usize = 255;

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
        cwd: path.join(&checkout.below),
        repo_root: checkout.main,
        path,
        created_branch: matches!(wanted, Wanted::New { .. }),
        branch: wanted.branch().to_owned(),
        original_cwd: cwd.to_owned(),
    })
}

/// Removes a worktree in which nothing would be lost, and the branch that was made with it.
///
/// It is kept with files that are changed, staged or untracked, in the middle of a merge, rebase or the
/// like, when it is locked, has submodules, or has commits that no remote branch and no branch that stays
/// has; also when any of this can't be found out. Files that git ignores (build output, but also a `.env`)
/// are deleted with it. Stashes belong to the repository and stay. Commits that only a reflog still has
/// (`commit --amend`, `reset --hard`) were given up before and don't count; nor do tags, which are no work
/// that was handed over.
pub async fn remove_if_safe(worktree: &Worktree) -> Removal {
    match fs::symlink_metadata(&worktree.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Removal::AlreadyGone,
        Err(error) => return Keep::because(format!("its folder can't be read: {error}")).into(),
        Ok(entry) if !entry.is_dir() => return Keep::because("its folder is not a folder any more").into(),
        Ok(_) => {}
    }
    match remove(worktree).await {
        Ok(branch_deleted) => Removal::Removed { branch_deleted },
        Err(keep) => keep.into(),
    }
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

/// The checkout that a folder is in.
struct Checkout {
    /// Its root.
    root: PathBuf,
    /// The folder, from there.
    below: PathBuf,
    /// The main folder of its repository.
    main: PathBuf,
}

impl Checkout {
    async fn find(git: &Git, cwd: &Path) -> Result<Self, Refusal> {
        let shown = cwd.display();
        let kind = git.ask(["rev-parse", "--is-bare-repository", "--is-inside-work-tree"]).await?;
        let words = String::from_utf8_lossy(&kind.stdout);
        let words: Vec<_> = words.lines().collect();
        let bare = || {
            Refusal::new(
                Fault::Conflict,
                format!("`{shown}` is a bare repository: it has no files to work on"),
            )
            .hint("start the session in a clone or a worktree of it")
        };
        match words[..] {
            [_, "true"] if kind.is_ok() => {}
            ["true", _] if kind.is_ok() => return Err(bare()),
            _ if kind.is_ok() => {
                let error = format!("`{shown}` is git's own folder, not a checkout");
                return Err(Refusal::new(Fault::Conflict, error));
            }
            _ if kind.complains("cannot use bare repository") => return Err(bare()),
            _ if kind.complains("not a git repository") => {
                let refusal = Refusal::field("cwd", format!("is not in a git repository: `{shown}`"));
                return Err(refusal.hint("leave the worktree out, or run `git init` there"));
            }
            _ => return Err(Refusal::new(Fault::Conflict, kind.words())),
        }
        let unreadable = |error: io::Error| Refusal::new(Fault::Conflict, format!("`{shown}`: {error}"));
        let places = Places::find(git).await?.map_err(|words| Refusal::new(Fault::Conflict, words))?;
        let below = cwd.canonicalize().map_err(unreadable)?;
        let below = below.strip_prefix(&places.root).map_err(|_| {
            Refusal::new(Fault::Conflict, format!("`{shown}` is not below `{}`", places.root.display()))
        })?;
        Ok(Self { below: below.to_owned(), main: places.main(git).await?, root: places.root })
    }

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

/// Where git says that things are; all without symbolic links.
struct Places {
    root: PathBuf,
    git_folder: PathBuf,
    common_folder: PathBuf,
}

impl Places {
    /// Why not, in git's words.
    async fn find(git: &Git) -> Result<Result<Self, String>, Trouble> {
        let mut found = Vec::new();
        for what in ["--show-toplevel", "--git-dir", "--git-common-dir"] {
            // One by one: a path may have newlines in it.
            let answer = git.ask(["rev-parse", "--path-format=absolute", what]).await?;
            let Some(path) = answer.value() else { return Ok(Err(answer.words())) };
            match Path::new(&path).canonicalize() {
                Ok(path) => found.push(path),
                Err(error) => return Ok(Err(format!("`{}`: {error}", path.to_string_lossy()))),
            }
        }
        let common_folder = found.pop().unwrap_or_default();
        let git_folder = found.pop().unwrap_or_default();
        let root = found.pop().unwrap_or_default();
        Ok(Ok(Self { root, git_folder, common_folder }))
    }

    fn is_linked(&self) -> bool {
        self.git_folder != self.common_folder
    }

    /// The main folder of the repository, whose worktree this may be.
    async fn main(&self, git: &Git) -> Result<PathBuf, Trouble> {
        if !self.is_linked() {
            return Ok(self.root.clone());
        }
        if self.common_folder.file_name() == Some(OsStr::new(".git")) {
            return Ok(self.common_folder.parent().unwrap_or(Path::new("/")).to_owned());
        }
        // A submodule's: its common folder is in the `.git` of the repository around it, where no worktree
        // should come to be, and says where the submodule is.
        let config = self.common_folder.join("config");
        let question =
            [OsStr::new("config"), OsStr::new("-f"), config.as_os_str(), OsStr::new("core.worktree")];
        let elsewhere = git.ask(question).await?.value();
        let elsewhere = elsewhere.and_then(|path| self.common_folder.join(path).canonicalize().ok());
        Ok(elsewhere.unwrap_or_else(|| self.common_folder.clone())) // else a bare repository's
    }
}

/// A branch that is there.
struct Branch {
    commit: String,
    checked_out_in: Option<PathBuf>,
}

impl Branch {
    async fn find(git: &Git, name: &str) -> Result<Option<Self>, Trouble> {
        let name = format!("refs/heads/{name}");
        // The path last: it may have newlines in it, and git writes one after it.
        let format = "--format=%(refname)%00%(objectname)%00%(worktreepath)";
        let answer = git.ask(["for-each-ref", format, &name]).await?;
        let fields: Vec<&[u8]> = answer.stdout.splitn(3, |byte| *byte == 0).collect();
        let [found, commit, place] = fields[..] else { return Ok(None) };
        if found != name.as_bytes() {
            return Ok(None); // `a` was asked for, and `a/b` is there
        }
        let place = place.strip_suffix(b"\n").unwrap_or(place);
        Ok(Some(Self {
            commit: String::from_utf8_lossy(commit).into_owned(),
            checked_out_in: (!place.is_empty()).then(|| OsString::from_vec(place.to_owned()).into()),
        }))
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

/// Removes the folder of all worktrees with the last of them.
fn drop_parent(path: &Path) {
    if let Some(parent) =
        path.parent().filter(|parent| parent.as_os_str().as_bytes().ends_with(b"-worktrees"))
    {
        let _not_empty = fs::remove_dir(parent);
    }
}

/// Deletes a branch if it still is at this commit. That its commits are elsewhere is for the caller to know.
async fn delete_branch(git: &Git, branch: &str, commit: &str) -> Result<bool, Trouble> {
    let name = format!("refs/heads/{branch}");
    // Not by `git branch`: it compares with HEAD or asks for force, and does not say which commit it means.
    let deleted = git.act(["update-ref", "--no-deref", "-d", &name, commit]).await?.is_ok();
    if deleted {
        git.act(["config", "--local", "--remove-section", &format!("branch.{branch}")]).await?;
    }
    Ok(deleted)
}

/// Why a worktree stays.
struct Keep(String);

impl Keep {
    fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<Trouble> for Keep {
    fn from(trouble: Trouble) -> Self {
        Self(trouble.to_string())
    }
}

impl From<Keep> for Removal {
    fn from(keep: Keep) -> Self {
        Self::Kept { reason: keep.0 }
    }
}

/// Whether the branch went as well.
async fn remove(worktree: &Worktree) -> Result<bool, Keep> {
    // git reads the configuration from inside, where a worktree may have more of it.
    let inside = Git::open(&worktree.path).await?;
    let main = inside.at(&worktree.repo_root);
    let places = Places::find(&inside).await?.map_err(Keep::because)?;
    let of_main = main.ask(["rev-parse", "--path-format=absolute", "--git-common-dir"]).await?;
    let of_main = of_main.value().ok_or_else(|| Keep::because(of_main.words()))?;
    let is_it = worktree.path.canonicalize().is_ok_and(|path| path == places.root)
        && places.is_linked()
        && Path::new(&of_main).canonicalize().is_ok_and(|path| path == places.common_folder);
    if !is_it {
        let root = worktree.repo_root.display();
        return Err(Keep::because(format!("its folder is no worktree of `{root}` any more")));
    }
    nobody_is_at_it(&places.git_folder)?;
    nothing_is_hidden(&inside, &places.root).await?;
    let status = read_status(&inside).await?.map_err(Keep::because)?;
    nothing_is_uncommitted(&status.changes)?;
    let doomed = nothing_is_only_here(&inside, worktree, &status).await?;

    // Without force: git looks for changed files once more, and for the repositories of submodules that are
    // not filled any more, which would go with it.
    let arguments = [OsStr::new("worktree"), OsStr::new("remove"), OsStr::new("--"), places.root.as_os_str()];
    let removed = main.act(arguments).await?;
    if !removed.is_ok() && worktree.path.exists() {
        return Err(Keep::because(removed.words()));
    }
    drop_parent(&worktree.path);
    let Some(commit) = doomed else { return Ok(false) };
    Ok(drop_branch(&main, &worktree.branch, &commit).await.unwrap_or(false))
}

/// Refuses when git is at work in this worktree, or somebody locked it.
fn nobody_is_at_it(git_folder: &Path) -> Result<(), Keep> {
    let lock = git_folder.join("locked");
    if lock.exists() {
        let why = fs::read_to_string(lock).unwrap_or_default();
        let why = if why.trim().is_empty() { String::new() } else { format!(": {}", plain(why.trim())) };
        return Err(Keep::because(format!("it is locked{why}")));
    }
    let signs = [
        ("index.lock", "a git command"),
        ("MERGE_HEAD", "a merge"),
        ("rebase-merge", "a rebase"),
        ("rebase-apply", "a rebase"),
        ("CHERRY_PICK_HEAD", "a cherry-pick"),
        ("REVERT_HEAD", "a revert"),
        ("sequencer", "a cherry-pick or revert"),
        ("BISECT_LOG", "a bisect"),
    ];
    match signs.iter().find(|(file, _)| git_folder.join(file).symlink_metadata().is_ok()) {
        Some((_, what)) => Err(Keep::because(format!("{what} is in progress in it"))),
        None => Ok(()),
    }
}

/// Refuses what `git status` would not tell: submodules have a state of their own, and files may be marked
/// so that their changes are not looked at.
async fn nothing_is_hidden(git: &Git, root: &Path) -> Result<(), Keep> {
    let list = git.ask(["ls-files", "-z", "-v", "--stage"]).await?;
    if !list.is_ok() {
        return Err(Keep::because(list.words()));
    }
    for entry in list.stdout.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
        // `H 100644 <hash> 0<tab>path`; the letter is small for assume-unchanged and S for skip-worktree.
        let tab = entry.iter().position(|byte| *byte == b'\t').map_or(entry.len(), |tab| tab + 1);
        let path = Path::new(OsStr::from_bytes(&entry[tab..]));
        let place = root.join(path);
        if entry[1..].starts_with(b" 160000 ") && place.join(".git").symlink_metadata().is_ok() {
            return Err(Keep::because(format!("it has a submodule ({})", name_of(path))));
        }
        let is_marked = entry[0].is_ascii_lowercase() || entry[0] == b'S';
        if is_marked && place.symlink_metadata().is_ok() {
            let name = name_of(path);
            return Err(Keep::because(format!(
                "{name} is marked so that git does not look for changes in it"
            )));
        }
    }
    Ok(())
}

fn nothing_is_uncommitted(changes: &[Change]) -> Result<(), Keep> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut names: Vec<_> = changes.iter().take(NAMES_MAX).map(|change| name_of(&change.path)).collect();
    if changes.len() > NAMES_MAX {
        names.push("…".into());
    }
    let count = if changes.len() == 1 { "1 file is".into() } else { format!("{} files are", changes.len()) };
    Err(Keep::because(format!("{count} not committed ({})", names.join(", "))))
}

/// Refuses when commits would be lost. The commit of the branch that may go with the worktree, if one may.
async fn nothing_is_only_here(
    git: &Git,
    worktree: &Worktree,
    status: &Status,
) -> Result<Option<String>, Keep> {
    let own =
        git.ask(["for-each-ref", "--format=%(refname)", "refs/worktree/", "refs/bisect/", "refs/rewritten/"]);
    if !own.await?.stdout.is_empty() {
        return Err(Keep::because("it has refs of its own"));
    }
    let branch = match worktree.created_branch {
        true => Branch::find(git, &worktree.branch).await?,
        false => None,
    };
    let except = branch.as_ref().map(|_| worktree.branch.as_str());
    let doomed = branch.map(|branch| branch.commit);
    for commit in
        status.commit.iter().chain(doomed.iter().filter(|doomed| status.commit.as_ref() != Some(doomed)))
    {
        if !is_held(git, commit, except).await? {
            let short: String = commit.chars().take(8).collect();
            return Err(Keep::because(format!(
                "commit `{short}` in it is on no other branch and on no remote"
            )));
        }
    }
    Ok(doomed)
}

/// Whether a local branch but this one, or a remote branch, has the commit. A branch that only is another
/// name of one counts for nothing: it would go with it.
async fn is_held(git: &Git, commit: &str, except: Option<&str>) -> Result<bool, Trouble> {
    let contains = format!("--contains={commit}");
    let format = "--format=%(refname)%00%(symref)";
    // A replacement may show a history that holds nothing once it is gone.
    let question =
        ["--no-replace-objects", "for-each-ref", &contains, format, "refs/heads/", "refs/remotes/"];
    let answer = git.ask(question).await?;
    let except = except.map(|branch| format!("refs/heads/{branch}").into_bytes());
    let holds = |line: &[u8]| match line.strip_suffix(b"\0") {
        Some(name) => Some(name) != except.as_deref(),
        None => false,
    };
    Ok(answer.is_ok() && answer.stdout.split(|byte| *byte == b'\n').any(holds))
}

/// Deletes the branch of a worktree that is gone, if all is still as it was found.
async fn drop_branch(git: &Git, name: &str, commit: &str) -> Result<bool, Trouble> {
    let is_free = Branch::find(git, name).await?.is_some_and(|branch| branch.checked_out_in.is_none());
    Ok(is_free && is_held(git, commit, Some(name)).await? && delete_branch(git, name, commit).await?)
}

/// Why not, in git's words.
async fn read_status(git: &Git) -> Result<Result<Status, String>, Trouble> {
    // `dirty`: git would run inside of the submodules, by their configuration, to find changes there.
    let arguments =
        ["--porcelain=v2", "-z", "--branch", "--untracked-files=normal", "--ignore-submodules=dirty"];
    let answer = git.ask(["status"].into_iter().chain(arguments)).await?;
    Ok(if answer.is_ok() { Ok(status::parse(&answer.stdout)) } else { Err(answer.words()) })
}

/// A name in a sentence, on one line.
fn name_of(path: &Path) -> String {
    format!("`{}`", plain(&path.to_string_lossy()))
}

fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
