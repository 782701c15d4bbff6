//! Removing a worktree, when nothing would be lost with it.

use super::git::{Git, Trouble};
use super::repository::{Branch, Places, delete_branch, read_status};
use super::status::{Change, Status};
use super::{Removal, Worktree, drop_parent, plain};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How many names a reason lists.
const NAMES_MAX: usize = 3;

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

/// A name in a sentence, on one line.
fn name_of(path: &Path) -> String {
    format!("`{}`", plain(&path.to_string_lossy()))
}
