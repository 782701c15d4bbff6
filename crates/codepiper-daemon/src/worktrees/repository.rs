//! What a repository says of itself: where its folders are, which branches it has, what is changed in it.

use super::git::{Git, Trouble};
use super::status::{self, Status};
use codepiper_api::{Fault, Refusal};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The checkout that a folder is in.
pub(super) struct Checkout {
    /// Its root.
    pub(super) root: PathBuf,
    /// The folder, from there.
    pub(super) below: PathBuf,
    /// The main folder of its repository.
    pub(super) main: PathBuf,
}

impl Checkout {
    pub(super) async fn find(git: &Git, cwd: &Path) -> Result<Self, Refusal> {
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
}

/// Where git says that things are; all without symbolic links.
pub(super) struct Places {
    pub(super) root: PathBuf,
    pub(super) git_folder: PathBuf,
    pub(super) common_folder: PathBuf,
}

impl Places {
    /// Why not, in git's words.
    pub(super) async fn find(git: &Git) -> Result<Result<Self, String>, Trouble> {
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

    pub(super) fn is_linked(&self) -> bool {
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
pub(super) struct Branch {
    pub(super) commit: String,
    pub(super) checked_out_in: Option<PathBuf>,
}

impl Branch {
    pub(super) async fn find(git: &Git, name: &str) -> Result<Option<Self>, Trouble> {
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

/// Deletes a branch if it still is at this commit. That its commits are elsewhere is for the caller to know.
pub(super) async fn delete_branch(git: &Git, branch: &str, commit: &str) -> Result<bool, Trouble> {
    let name = format!("refs/heads/{branch}");
    // Not by `git branch`: it compares with HEAD or asks for force, and does not say which commit it means.
    let deleted = git.act(["update-ref", "--no-deref", "-d", &name, commit]).await?.is_ok();
    if deleted {
        git.act(["config", "--local", "--remove-section", &format!("branch.{branch}")]).await?;
    }
    Ok(deleted)
}

/// Why not, in git's words.
pub(super) async fn read_status(git: &Git) -> Result<Result<Status, String>, Trouble> {
    // `dirty`: git would run inside of the submodules, by their configuration, to find changes there.
    let arguments =
        ["--porcelain=v2", "-z", "--branch", "--untracked-files=normal", "--ignore-submodules=dirty"];
    let answer = git.ask(["status"].into_iter().chain(arguments)).await?;
    Ok(if answer.is_ok() { Ok(status::parse(&answer.stdout)) } else { Err(answer.words()) })
}
