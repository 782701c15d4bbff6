//! With the real git, in folders of their own. The repository's name has blanks and more in it throughout.

use super::repository::delete_branch;
use super::*;
use codepiper_core::ids::SessionId;
use serde_json::json;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use tempfile::TempDir;

const ID: &str = "a1b2c3d4";

/// `<folder>/my répo` with one commit: `a.txt`, `sub dir/b.txt` and a `.gitignore` of `*.o`.
struct World {
    folder: TempDir,
}

impl World {
    fn empty() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        world.git_args(world.root(), &["init", "--quiet", "--initial-branch=main", "my répo"]);
        world
    }

    fn new() -> Self {
        let world = Self::empty();
        world.write("a.txt", "one");
        world.write("sub dir/b.txt", "two");
        world.write(".gitignore", "*.o\n");
        world.commit(world.repo(), "start");
        world
    }

    fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    fn repo(&self) -> PathBuf {
        self.root().join("my répo")
    }

    fn place(&self) -> PathBuf {
        self.root().join("my répo-worktrees").join(ID)
    }

    fn write(&self, name: &str, text: &str) {
        write(&self.repo().join(name), text);
    }

    fn commit(&self, at: PathBuf, message: &str) {
        self.git(&at, "add --all");
        self.git(at, &format!("commit --quiet --allow-empty -m {message}"));
    }

    /// Words are split at blanks.
    fn git(&self, at: impl AsRef<Path>, words: &str) -> String {
        self.git_args(at, &words.split(' ').collect::<Vec<_>>())
    }

    fn git_args(&self, at: impl AsRef<Path>, words: &[&str]) -> String {
        let output = self.try_git(at, words);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {words:?}: {text}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    fn try_git(&self, at: impl AsRef<Path>, words: &[&str]) -> std::process::Output {
        let mut command = Command::new("git");
        command.args(words).current_dir(at).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command
            .env("HOME", self.root())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{who}_NAME"), "A Person")
                .env(format!("GIT_{who}_EMAIL"), "a@example.com");
        }
        command.output().unwrap()
    }

    /// A program that says it ran, for a repository to name.
    fn trap(&self) -> Trap {
        let sign = self.root().join("sprung");
        let program = self.root().join("trap");
        write(&program, &format!("#!/bin/sh\ntouch '{}'\ncat\n", sign.display()));
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Trap { program, sign }
    }

    async fn create(&self, request: &str) -> Result<Worktree, Refusal> {
        self.create_at(request, &self.repo()).await
    }

    async fn create_at(&self, request: &str, cwd: &Path) -> Result<Worktree, Refusal> {
        create(&serde_json::from_str(request).unwrap(), cwd, &SessionId::parse(ID).unwrap()).await
    }

    /// Branches, worktrees and folders, to see that nothing changed.
    fn traces(&self) -> String {
        let mut files: Vec<_> =
            fs::read_dir(self.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        files.sort();
        let refs = self.git(self.repo(), "for-each-ref");
        let registered = fs::read_dir(self.repo().join(".git/worktrees")).map_or(0, Iterator::count);
        format!("{files:?}\n{refs}\n{registered}")
    }

    /// The request is refused in these words, and leaves nothing behind.
    async fn check_refused(&self, request: &str, cwd: &Path, expected: &str) {
        let before = self.traces();
        let refusal = self.create_at(request, cwd).await.expect_err(request);
        let said = refusal.error.replace(&*self.root().to_string_lossy(), "…");
        assert_eq!(format!("{} {said}", refusal.code.status()), expected);
        assert_eq!(self.traces(), before, "{request} left something behind");
    }

    /// Kept for this reason, with everything in its folder and the branch.
    async fn check_kept(&self, worktree: &Worktree, expected: &str) {
        let before = (self.traces(), files(&worktree.path));
        let Removal::Kept { reason } = remove_if_safe(worktree).await else {
            panic!("gone, in spite of: {expected}")
        };
        assert!(reason.contains(expected), "{reason:?} instead of {expected:?}");
        assert_eq!((self.traces(), files(&worktree.path)), before, "kept, and not as it was");
    }

    async fn check_removed(&self, worktree: &Worktree, branch_deleted: bool) {
        assert_eq!(remove_if_safe(worktree).await, Removal::Removed { branch_deleted });
        assert!(!worktree.path.exists());
        let branch = format!("refs/heads/{}", worktree.branch);
        assert_eq!(self.git(self.repo(), &format!("for-each-ref {branch}")).is_empty(), branch_deleted);
        assert_eq!(self.git(self.repo(), "worktree list --porcelain").matches("worktree ").count(), 1);
    }
}

struct Trap {
    program: PathBuf,
    sign: PathBuf,
}

impl Trap {
    /// Whether it ran since it was last asked.
    fn is_sprung(&self) -> bool {
        fs::remove_file(&self.sign).is_ok()
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.is_dir() {
            true => found.extend(files(&entry)),
            false => found.push((entry.clone(), fs::read(&entry).unwrap_or_default())),
        }
    }
    found.sort();
    found
}

const NEW: &str = "{}";

#[tokio::test]
async fn without_a_branch_a_new_one_bears_the_sessions_name() {
    let world = World::new();
    let worktree = world.create(NEW).await.unwrap();
    assert_eq!(worktree.path, world.place());
    assert_eq!((worktree.branch.as_str(), worktree.created_branch), ("codepiper/a1b2c3d4", true));
    assert_eq!(
        worktree.cwd.as_os_str(),
        world.place().as_os_str(),
        "as text: paths are equal with a `/` at the end too"
    );
    assert_eq!(worktree.repo_root, world.repo());
    assert_eq!(world.git(&worktree.path, "symbolic-ref HEAD"), "refs/heads/codepiper/a1b2c3d4");
    assert_eq!(fs::read_to_string(worktree.path.join("sub dir/b.txt")).unwrap(), "two");
    for folder in [&worktree.path, &world.root().join("my répo-worktrees")] {
        assert_eq!(fs::metadata(folder).unwrap().mode() & 0o777, 0o700, "others may look in");
    }
    world.check_removed(&worktree, true).await;
    assert_eq!(remove_if_safe(&worktree).await, Removal::AlreadyGone);
    assert!(!world.root().join("my répo-worktrees").exists());
}

#[tokio::test]
async fn a_new_branch_starts_where_it_is_told_and_follows_nothing() {
    let world = World::new();
    let first = world.git(world.repo(), "rev-parse HEAD");
    world.git(world.repo(), "update-ref refs/remotes/origin/old HEAD");
    world.git(world.repo(), "remote add origin nowhere");
    world.git(world.repo(), "config branch.autoSetupMerge always");
    world.commit(world.repo(), "second");
    let worktree =
        world.create(r#"{"branch":"naïve/x","createBranch":true,"startPoint":"origin/old"}"#).await.unwrap();
    assert_eq!(world.git(&worktree.path, "rev-parse refs/heads/naïve/x"), first);
    assert!(!world.try_git(world.repo(), &["config", "branch.naïve/x.merge"]).status.success());
    world.check_removed(&worktree, true).await;
}

#[tokio::test]
async fn an_existing_branch_is_checked_out_and_survives() {
    let world = World::new();
    world.git(world.repo(), "branch feature");
    world.git(world.repo(), "tag feature"); // of the same name, which must not matter
    let worktree = world.create(r#"{"branch":"feature"}"#).await.unwrap();
    assert!(!worktree.created_branch);
    assert_eq!(world.git(&worktree.path, "symbolic-ref HEAD"), "refs/heads/feature");
    world.check_removed(&worktree, false).await;
}

#[tokio::test]
async fn a_subfolder_stays_that_subfolder() {
    let world = World::new();
    let cwd = world.repo().join("sub dir");
    let worktree = world.create_at(NEW, &cwd).await.unwrap();
    assert_eq!((worktree.cwd.clone(), worktree.original_cwd.clone()), (world.place().join("sub dir"), cwd));
    assert!(worktree.cwd.join("b.txt").is_file());

    let link = world.root().join("link");
    symlink(world.repo().join("sub dir"), &link).unwrap();
    world.check_removed(&worktree, true).await;
    assert_eq!(world.create_at(NEW, &link).await.unwrap().cwd, world.place().join("sub dir"));
}

#[tokio::test]
async fn a_worktree_of_a_worktree_stands_beside_it() {
    let world = World::new();
    world.git(world.repo(), "worktree add --quiet -b other ../other");
    world.commit(world.root().join("other"), "ahead");
    let worktree = world.create_at(NEW, &world.root().join("other/sub dir")).await.unwrap();
    assert_eq!((&worktree.path, &worktree.repo_root), (&world.place(), &world.repo()));
    assert_eq!(
        world.git(&worktree.path, "log -1 --format=%s"),
        "ahead",
        "HEAD is that of the folder asked for"
    );

    world.git(world.repo(), "clone --quiet --bare . ../bare.git");
    world.git(world.root().join("bare.git"), "worktree add --quiet ../tree other");
    let fresh = r#"{"branch":"fresh","createBranch":true}"#;
    let of_bare = world.create_at(fresh, &world.root().join("tree")).await.unwrap();
    assert_eq!(of_bare.path, world.root().join("bare-worktrees").join(ID));
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_leaves_nothing() {
    let world = World::new();
    let repo = world.repo();
    world.git(&repo, "branch taken");
    world.git(&repo, "worktree add --quiet ../else_where taken");
    world.git(&repo, "branch free");
    world.git(&repo, "branch group/x");
    for (request, expected) in [
        (r#"{"branch":"free","createBranch":true}"#, "409 branch `free` is there already"),
        (r#"{"branch":"taken"}"#, "409 branch `taken` is checked out in `…/else_where`"),
        (r#"{"branch":"main"}"#, "409 branch `main` is checked out in `…/my répo`"),
        (r#"{"branch":"nope"}"#, "400 `worktree.branch` is not there: `nope`"),
        (r#"{"branch":"group"}"#, "400 `worktree.branch` is not there: `group`"),
        (
            r#"{"branch":"free","startPoint":"main"}"#,
            "400 `worktree.startPoint` is for a branch that is created (`createBranch`)",
        ),
        (
            r#"{"branch":"a..b","createBranch":true}"#,
            "400 `worktree.branch` is not a name that git takes: `a..b`",
        ),
        (r#"{"branch":"@{-1}"}"#, "400 `worktree.branch` is not a name that git takes: `@{-1}`"),
        (r#"{"branch":"HEAD","createBranch":true}"#, "409 'HEAD' is not a valid branch name"),
        (
            r#"{"branch":"free/x","createBranch":true}"#,
            "409 cannot lock ref 'refs/heads/free/x': 'refs/heads/free' exists; cannot create 'refs/heads/free/x'",
        ),
        (r#"{"startPoint":"v9"}"#, "400 `worktree.startPoint` is not a commit here: `v9`"),
        (r#"{"startPoint":"HEAD:a.txt"}"#, "400 `worktree.startPoint` is not a commit here: `HEAD:a.txt`"),
    ] {
        world.check_refused(request, &repo, expected).await;
    }
    world.check_refused(NEW, &world.root(), "400 `cwd` is not in a git repository: `…`").await;
    world.check_refused(NEW, &repo.join("gone"), "400 `cwd` is not a folder: `…/my répo/gone`").await;
    world
        .check_refused(NEW, &repo.join(".git"), "409 `…/my répo/.git` is git's own folder, not a checkout")
        .await;
    write(&repo.join("new/file"), "");
    world.check_refused(NEW, &repo.join("new"), "409 folder `new` is not in the commit of `HEAD`").await;
    // There it is a link, which may lead anywhere.
    world.git(&repo, "worktree add --quiet -b linked ../linked main");
    symlink("/", world.root().join("linked/new")).unwrap();
    world.commit(world.root().join("linked"), "link");
    let expected = "409 folder `new` is not in the commit of `linked`";
    world.check_refused(r#"{"startPoint":"linked"}"#, &repo.join("new"), expected).await;
    world.git(&repo, "init --quiet --bare ../bare");
    let bare = "409 `…/bare` is a bare repository: it has no files to work on";
    world.check_refused(NEW, &world.root().join("bare"), bare).await;

    write(&world.place().join("precious"), "");
    let expected = "409 folder `…/my répo-worktrees/a1b2c3d4` can't be made: File exists (os error 17)";
    world.check_refused(NEW, &repo, expected).await;
    assert!(world.place().join("precious").exists());
}

#[tokio::test]
async fn a_repository_without_commits_is_refused_with_a_hint() {
    let world = World::empty();
    world.check_refused(NEW, &world.repo(), "409 `…/my répo` has no commit yet to make a worktree of").await;
    let hint = world.create(NEW).await.unwrap_err().hint.unwrap();
    assert!(hint.contains("git commit"), "{hint}");
}

#[tokio::test]
async fn names_like_options_are_never_options() {
    let world = World::new();
    world.git(world.repo(), "update-ref refs/heads/--force HEAD");
    world.git(world.repo(), "update-ref refs/heads/-b HEAD");
    for name in ["--force", "-b", "-", "--detach", "--orphan"] {
        let refused = format!("is not a name that git takes: `{name}`");
        let (branch, start) =
            (format!("400 `worktree.branch` {refused}"), format!("400 `worktree.startPoint` {refused}"));
        world.check_refused(&json!({ "branch": name }).to_string(), &world.repo(), &branch).await;
        world
            .check_refused(
                &json!({ "branch": name, "createBranch": true }).to_string(),
                &world.repo(),
                &branch,
            )
            .await;
        world.check_refused(&json!({ "startPoint": name }).to_string(), &world.repo(), &start).await;
    }
    assert!(inspect(&world.repo()).await.branches.contains(&"--force".to_owned()));
}

#[tokio::test]
async fn a_checkout_that_fails_halfway_is_taken_back() {
    let world = World::new();
    // A required filter that is not run fails after git has made folder, registration and some files.
    world.write("z.secret", "locked");
    world.write(".gitattributes", "*.secret filter=crypt\n");
    world.commit(world.repo(), "secret");
    world.git(world.repo(), "config filter.crypt.required true");
    world.git(world.repo(), "config filter.crypt.smudge cat");
    world.check_refused(NEW, &world.repo(), "409 z.secret: smudge filter crypt failed").await;
    let hint = world.create(NEW).await.unwrap_err().hint.unwrap();
    assert!(hint.contains("git config --global"), "{hint}");
    world.git(world.repo(), "config --remove-section filter.crypt");

    // The folder is in the commit, and a sparse checkout leaves it out once all is made.
    world.git(world.repo(), "branch keep");
    world.git_args(world.repo(), &["sparse-checkout", "set", "--no-cone", "/*", "!/sub dir/"]);
    let cwd = world.repo().join("sub dir");
    fs::create_dir_all(&cwd).unwrap();
    let expected = |from: &str| format!("409 folder `sub dir` is not in the commit of `{from}`");
    world.check_refused(NEW, &cwd, &expected("HEAD")).await;
    world.check_refused(r#"{"branch":"keep"}"#, &cwd, &expected("keep")).await;
}

#[tokio::test]
async fn a_failure_forgets_no_worktree_that_was_moved_away() {
    let world = World::new();
    let worktree = world.create(NEW).await.unwrap();
    fs::rename(&worktree.path, world.root().join("moved")).unwrap();
    let before = world.traces();
    let refusal = world.create(r#"{"branch":"fresh","createBranch":true}"#).await.unwrap_err();
    assert!(refusal.error.contains("missing but already registered"), "{refusal}");
    let after = world.traces();
    // The empty folder of all worktrees goes; refs and registration stay.
    assert_eq!(after.lines().skip(1).collect::<Vec<_>>(), before.lines().skip(1).collect::<Vec<_>>());
    world.git(world.root().join("moved"), "status");
}

#[tokio::test]
async fn no_hook_filter_or_monitor_of_the_repository_is_run() {
    let world = World::new();
    let trap = world.trap();
    let program = trap.program.to_str().unwrap();
    world.write(".gitattributes", "*.txt filter=a=b.c\n");
    world.commit(world.repo(), "attributes");
    for hook in ["post-checkout", "reference-transaction", "post-index-change"] {
        symlink(program, world.repo().join(".git/hooks").join(hook)).unwrap();
    }
    world.git(world.repo(), "config extensions.worktreeConfig true");
    world.git_args(world.repo(), &["config", "core.fsmonitor", program]);
    world.git_args(world.repo(), &["config", "core.hooksPath", ".git/hooks"]);
    world.git_args(world.repo(), &["config", "filter.a=b.c.smudge", program]);
    world.git_args(world.repo(), &["config", "--worktree", "filter.a=b.c.clean", program]);
    trap.is_sprung(); // by the preparations, perhaps

    let worktree = world.create(NEW).await.unwrap();
    assert!(!trap.is_sprung(), "`create` ran it");
    assert_eq!(fs::read_to_string(worktree.path.join("a.txt")).unwrap(), "one");
    world.git_args(&worktree.path, &["config", "--worktree", "filter.a=b.c.clean", program]);
    write(&worktree.path.join("a.txt"), "two");
    assert!(inspect(&worktree.path).await.has_uncommitted_changes);
    assert!(!trap.is_sprung(), "`inspect` ran it");
    world.check_kept(&worktree, "1 file is not committed (`a.txt`)").await;
    trap.is_sprung(); // by the git of the check itself, perhaps
    write(&worktree.path.join("a.txt"), "one");
    assert_eq!(remove_if_safe(&worktree).await, Removal::Removed { branch_deleted: true });
    assert!(!trap.is_sprung(), "`remove_if_safe` ran it");

    // The traps are good ones: each catches a git that is not ours.
    world.try_git(world.repo(), &["-c", "core.fsmonitor=false", "worktree", "add", "../plain"]);
    assert!(trap.is_sprung(), "hooks and filters are no trap");
    write(&world.repo().join("a.txt"), "two");
    world.try_git(world.repo(), &["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "status"]);
    assert!(trap.is_sprung(), "the clean filter is no trap");
    let quiet = ["-c", "filter.a=b.c.clean=", "-c", "core.hooksPath=/dev/null", "status"];
    world.try_git(world.repo(), &quiet);
    assert!(trap.is_sprung(), "the monitor is no trap");
}

#[tokio::test]
async fn uncommitted_files_keep_it() {
    let world = World::new();
    let worktree = world.create(NEW).await.unwrap();
    let at = |name: &str| worktree.path.join(name);

    write(&at("a.txt"), "changed");
    world.check_kept(&worktree, "1 file is not committed (`a.txt`)").await;
    world.git(&worktree.path, "add a.txt");
    write(&at("a.txt"), "one"); // staged, while the folder looks like the commit
    world.check_kept(&worktree, "not committed (`a.txt`)").await;
    world.git(&worktree.path, "reset --quiet --hard");

    fs::remove_file(at("a.txt")).unwrap();
    world.check_kept(&worktree, "not committed (`a.txt`)").await;
    world.git(&worktree.path, "reset --quiet --hard");

    write(&at("new\nlíne"), "");
    world.check_kept(&worktree, r"1 file is not committed (`new\nlíne`)").await;
    for name in ["x", "y", "z"] {
        write(&at(name), "");
    }
    world.check_kept(&worktree, r"4 files are not committed (`new\nlíne`, `x`, `y`, …)").await;
    world.git(&worktree.path, "clean --quiet -fd");
    world.git(world.repo(), "config status.showUntrackedFiles no");
    write(&at("deep/er/untracked"), "");
    world.check_kept(&worktree, "1 file is not committed (`deep/`)").await;
    world.git(&worktree.path, "clean --quiet -fd");

    world.git(&worktree.path, "init --quiet nested");
    world.check_kept(&worktree, "not committed (`nested/`)").await;
    fs::remove_dir_all(at("nested")).unwrap();
    world.check_removed(&worktree, true).await;
}

#[tokio::test]
async fn files_whose_changes_git_does_not_look_at_keep_it() {
    let world = World::new();
    let worktree = world.create(NEW).await.unwrap();
    for mark in ["assume-unchanged", "skip-worktree"] {
        world.git(&worktree.path, &format!("update-index --{mark} a.txt"));
        write(&worktree.path.join("a.txt"), "changed");
        assert_eq!(world.git(&worktree.path, "status --porcelain"), "", "git sees it after all");
        world.check_kept(&worktree, "`a.txt` is marked so that git does not look for changes in it").await;
        world.git(&worktree.path, &format!("update-index --no-{mark} a.txt"));
    }
    world.git(&worktree.path, "checkout --quiet a.txt");
    world.check_removed(&worktree, true).await;
}

#[tokio::test]
async fn ignored_files_go_and_stashes_stay() {
    let world = World::new();
    let worktree = world.create(NEW).await.unwrap();
    write(&worktree.path.join("built.o"), "");
    write(&worktree.path.join("a.txt"), "stashed");
    world.git(&worktree.path, "stash --quiet");
    world.check_removed(&worktree, true).await;
    assert_eq!(world.git(world.repo(), "show stash@{0}:a.txt"), "stashed");
}

#[tokio::test]
async fn commits_that_are_nowhere_else_keep_it() {
    let world = World::new();
    let worktree = world.create(NEW).await.unwrap();
    world.commit(worktree.path.clone(), "work");
    let nowhere = "is on no other branch and on no remote";
    world.check_kept(&worktree, nowhere).await;

    // A tag is no place for work, and another name of the same branch none at all.
    world.git(&worktree.path, "tag v1");
    world.git(&worktree.path, "symbolic-ref refs/heads/alias refs/heads/codepiper/a1b2c3d4");
    world.check_kept(&worktree, nowhere).await;
    // Nor is it enough that HEAD is held: the branch would go.
    world.git(&worktree.path, "checkout --quiet --detach main");
    world.check_kept(&worktree, nowhere).await;
    world.git(&worktree.path, "checkout --quiet codepiper/a1b2c3d4");

    // A replaced history says that main has the commit.
    let work = world.git(&worktree.path, "rev-parse HEAD");
    world.git(world.repo(), "commit --quiet --allow-empty -m more");
    world.git(world.repo(), &format!("replace --graft main {work}"));
    world.check_kept(&worktree, nowhere).await;
    world.git(world.repo(), "replace -d main");

    world.git(world.repo(), "symbolic-ref -d refs/heads/alias");
    world.git(&worktree.path, "update-ref refs/remotes/origin/pushed HEAD");
    world.git(&worktree.path, "config branch.codepiper/a1b2c3d4.remote origin");
    world.check_removed(&worktree, true).await;
    assert_eq!(world.git(world.repo(), "rev-parse v1"), work);
    let config = fs::read_to_string(world.repo().join(".git/config")).unwrap();
    assert!(!config.contains("codepiper"), "{config}");
}

#[tokio::test]
async fn work_on_another_local_branch_is_held_by_it() {
    let world = World::new();
    let worktree = world.create(NEW).await.unwrap();
    world.git(&worktree.path, "switch --quiet -c mine");
    world.commit(worktree.path.clone(), "work");
    world.check_removed(&worktree, true).await;
    assert_eq!(world.git(world.repo(), "log -1 --format=%s mine"), "work");

    world.git(world.repo(), "branch feature");
    let worktree = world.create(r#"{"branch":"feature"}"#).await.unwrap();
    world.commit(worktree.path.clone(), "feature_work");
    world.check_removed(&worktree, false).await;
    assert_eq!(world.git(world.repo(), "log -1 --format=%s feature"), "feature_work");
}

#[tokio::test]
async fn commits_of_no_branch_keep_it() {
    let world = World::new();
    world.git(world.repo(), "branch feature");
    for request in [NEW, r#"{"branch":"feature"}"#] {
        let worktree = world.create(request).await.unwrap();
        world.git(&worktree.path, "checkout --quiet --detach");
        world.commit(worktree.path.clone(), "loose");
        world.check_kept(&worktree, "is on no other branch and on no remote").await;
        world.git(&worktree.path, "checkout --quiet --detach main");
        world.git(&worktree.path, "update-ref refs/worktree/x main");
        world.check_kept(&worktree, "it has refs of its own").await;
        world.git(&worktree.path, "update-ref -d refs/worktree/x");
        world.check_removed(&worktree, worktree.created_branch).await;
    }
}

#[tokio::test]
async fn an_operation_in_progress_keeps_it() {
    let world = World::new();
    let worktree = world.create(NEW).await.unwrap();
    let at = worktree.path.clone();
    world.commit(world.repo(), "ahead");
    // A merge that is all but committed changes no file: only its own mark shows it.
    world.git(&at, "merge --quiet --no-ff --no-commit main");
    assert_eq!(world.git(&at, "status --porcelain"), "");
    world.check_kept(&worktree, "a merge is in progress in it").await;
    world.git(&at, "merge --abort");

    world.git(&at, "merge --quiet --ff-only main");
    world.git_args(&at, &["-c", "sequence.editor=echo break >", "rebase", "--quiet", "-i", "HEAD~1"]);
    world.check_kept(&worktree, "a rebase is in progress in it").await;
    world.git(&at, "rebase --abort");

    world.git(&at, "bisect start");
    world.check_kept(&worktree, "a bisect is in progress in it").await;
    world.git(&at, "bisect reset");

    let lock = PathBuf::from(world.git(&at, "rev-parse --absolute-git-dir")).join("index.lock");
    write(&lock, "");
    world.check_kept(&worktree, "a git command is in progress in it").await;
    fs::remove_file(lock).unwrap();
    world.check_removed(&worktree, true).await;
}

#[tokio::test]
async fn a_locked_one_is_kept() {
    let world = World::new();
    let worktree = world.create(NEW).await.unwrap();
    world.git_args(
        world.repo(),
        &["worktree", "lock", "--reason", "on a stick", worktree.path.to_str().unwrap()],
    );
    world.check_kept(&worktree, "it is locked: on a stick").await;
    world.git_args(world.repo(), &["worktree", "unlock", worktree.path.to_str().unwrap()]);
    world.git_args(world.repo(), &["worktree", "lock", worktree.path.to_str().unwrap()]);
    world.check_kept(&worktree, "it is locked").await;
}

#[tokio::test]
async fn submodules_keep_it() {
    let world = World::new();
    world.git(world.repo(), "clone --quiet . ../library");
    world.git(world.repo(), "-c protocol.file.allow=always submodule --quiet add ../library library");
    world.commit(world.repo(), "submodule");
    let worktree = world.create(NEW).await.unwrap();
    // Not filled: an empty folder, with which nothing goes.
    world.check_removed(&worktree, true).await;
    let worktree = world.create(NEW).await.unwrap();
    world.git(&worktree.path, "-c protocol.file.allow=always submodule --quiet update --init");
    world.check_kept(&worktree, "it has a submodule (`library`)").await;
    // Its repository stays beside that of the worktree, with what was committed in it.
    world.git(&worktree.path, "submodule --quiet deinit --force library");
    world.check_kept(&worktree, "working trees containing submodules cannot be").await;
}

#[tokio::test]
async fn what_is_not_that_worktree_any_more_is_kept() {
    let world = World::new();
    let worktree = world.create(NEW).await.unwrap();
    let no_more = "is no worktree of";

    // Whatever a record says: the main checkout is not removed, nor a worktree of another repository.
    let main = Worktree { path: world.repo(), ..worktree.clone() };
    world.check_kept(&main, no_more).await;
    let inside = Worktree { path: world.place().join("sub dir"), ..worktree.clone() };
    world.check_kept(&inside, no_more).await;
    world.git(world.repo(), "clone --quiet . ../other");
    let other = Worktree { repo_root: world.root().join("other"), ..worktree.clone() };
    world.check_kept(&other, no_more).await;

    let mark = worktree.path.join(".git");
    let text = fs::read(&mark).unwrap();
    fs::remove_file(&mark).unwrap();
    world.check_kept(&worktree, "not a git repository").await;
    world.git(&worktree.path, "init --quiet");
    world.check_kept(&worktree, no_more).await;
    fs::remove_dir_all(&mark).unwrap();
    fs::write(&mark, text).unwrap();

    let moved = world.root().join("moved");
    fs::rename(&worktree.path, &moved).unwrap();
    symlink(&moved, &worktree.path).unwrap();
    world.check_kept(&worktree, "its folder is not a folder any more").await;
}

#[tokio::test]
async fn a_branch_that_is_used_elsewhere_stays() {
    let world = World::new();
    let worktree = world.create(NEW).await.unwrap();
    world.git(world.repo(), "worktree add --quiet --force ../second codepiper/a1b2c3d4");
    assert_eq!(remove_if_safe(&worktree).await, Removal::Removed { branch_deleted: false });
    world.git(world.root().join("second"), "rev-parse HEAD");
}

#[tokio::test]
async fn a_branch_that_moved_on_is_not_deleted() {
    let world = World::new();
    world.git(world.repo(), "branch moved");
    let before = world.git(world.repo(), "rev-parse moved");
    world.commit(world.repo(), "more");
    world.git(world.repo(), "branch --force moved main");
    let git = Git::open(&world.repo()).await.unwrap();
    assert!(!delete_branch(&git, "moved", &before).await.unwrap());
    world.git(world.repo(), "rev-parse moved");
}

#[tokio::test]
async fn a_folder_is_looked_at() {
    let world = World::new();
    let facts = inspect(&world.repo().join("sub dir")).await;
    let expected = GitFacts {
        is_repo: true,
        repo_root: Some(world.repo()),
        current_branch: Some("main".into()),
        branches: vec!["main".into()],
        ..GitFacts::default()
    };
    assert_eq!(facts, expected);
    world.git(world.repo(), "checkout --quiet --detach");
    write(&world.repo().join("new\nline"), "");
    let facts = inspect(&world.repo()).await;
    assert_eq!((facts.current_branch, facts.has_uncommitted_changes), (None, true));

    let facts = inspect(&world.root()).await;
    assert!(!facts.is_repo && facts.problem.unwrap().contains("is not in a git repository"));
    let facts = inspect(&World::empty().repo()).await;
    assert_eq!((facts.is_repo, facts.current_branch, facts.problem), (true, Some("main".into()), None));
}

#[test]
fn git_variables_of_the_daemon_do_not_count() {
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--test-threads=1", "without_a_branch", "a_folder_is"])
        .envs(["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR"].map(|name| (name, "/nowhere")))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(said.contains("ok. 2 passed"), "{said}");
}

#[test]
fn a_record_is_read_back() {
    let kept = r#"{"repoRoot":"/r","worktreePath":"/r-worktrees/a1b2c3d4","branch":"b","createdBranch":true,"cwd":"/r-worktrees/a1b2c3d4/sub","originalCwd":"/r/sub"}"#;
    let worktree: Worktree = serde_json::from_str(kept).unwrap();
    assert_eq!(serde_json::to_string(&worktree).unwrap(), kept);
}
