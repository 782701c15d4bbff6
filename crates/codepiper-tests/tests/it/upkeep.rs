//! Files, backups, tmux connections, worktrees: what has to hold beside the sessions themselves.

use codepiper_tests::lab::Lab;
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

fn modes(folder: &Path, seen: &mut Vec<(String, u32)>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let facts = entry.path().symlink_metadata().unwrap();
        seen.push((entry.path().display().to_string(), facts.permissions().mode() & 0o777));
        if facts.is_dir() {
            modes(&entry.path(), seen);
        }
    }
}

#[tokio::test]
async fn everything_we_write_is_the_owners_alone() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    lab.turn(&id, "SAY: hello").await;
    lab.ok("POST", "/backup", json!({ "path": lab.path("home/copy.db") })).await;
    lab.kill_daemon();
    lab.start_daemon();
    let mut seen = vec![("socket".to_owned(), std::fs::metadata(lab.path("s")).unwrap().mode() & 0o777)];
    modes(&lab.path("home"), &mut seen);
    let open: Vec<_> = seen.iter().filter(|(_, mode)| mode & 0o077 != 0).collect();
    assert!(open.is_empty() && seen.len() > 15, "others can reach {open:?}");
}

#[tokio::test]
async fn files_that_agents_make_have_the_persons_own_umask() {
    let lab = Lab::start().await;
    let body = json!({ "provider": "demo", "cwd": lab.project(), "dangerousMode": true });
    let id = lab.session(body).await;
    lab.turn(&id, "RUN: touch made && umask").await;
    let mine = Command::new("sh").args(["-c", "umask"]).output().unwrap().stdout;
    let umask = u32::from_str_radix(String::from_utf8(mine).unwrap().trim(), 8).unwrap();
    let mode = std::fs::metadata(lab.project().join("made")).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o666 & !umask);
}

#[tokio::test]
async fn a_backup_is_restored_and_the_old_database_is_kept() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    lab.wait_for_state(&id, "idle").await;
    lab.cli(["rename", &id, "kept"]);
    let copy = lab.path("copy.db");
    lab.cli(["backup", copy.to_str().unwrap()]);
    lab.cli(["rename", &id, "lost"]);
    assert!(lab.cli(["restore", copy.to_str().unwrap(), "--verify"]).contains("1 sessions"));
    let refused = lab.run(["restore", copy.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    lab.stop_daemon();
    let said = lab.cli(["restore", copy.to_str().unwrap()]);
    assert!(said.contains("before-restore"), "{said}");
    lab.start_daemon();
    let shown = lab.show(&id).await;
    assert_eq!((&shown["name"], &shown["state"]), (&json!("kept"), &json!("idle")));
    std::fs::write(lab.path("junk.db"), "junk").unwrap();
    let bad = lab.run(["restore", lab.path("junk.db").to_str().unwrap(), "--verify"]);
    assert_eq!(bad.status.code(), Some(2), "{bad:?}");
}

#[tokio::test]
async fn the_database_of_a_released_version_is_taken_over_with_its_sessions() {
    let lab = Lab::new();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../codepiper-store/testdata/0.3.0.db");
    std::fs::create_dir(lab.path("home")).unwrap();
    std::fs::copy(sample, lab.path("home/codepiper.db")).unwrap();
    lab.start_daemon();
    let list = lab.ok("GET", "/sessions", Value::Null).await;
    let states: Vec<String> = list["sessions"].as_array().unwrap().iter().map(state_of).collect();
    // What was live when the database was taken has no process here, and was not to be brought back.
    let expected =
        ["größe crashed", "tree stopped", "odd crashed", "crashed crashed", "? crashed", "waits crashed"];
    assert_eq!(states, expected);
    let tree = lab.show("tree").await;
    assert_eq!(tree["metadata"]["worktree"]["branch"], "codepiper/8342674b");
    let log = lab.ok("GET", "/sessions/tree/events?type=UserPromptSubmit", Value::Null).await;
    assert_eq!(log["events"][0]["payload"]["prompt"], "hello");
    assert_eq!(lab.cli(["settings", "get", "resumeAfterReboot"]), "false\n");
}

fn state_of(session: &Value) -> String {
    let name = session["name"].as_str().unwrap_or("?");
    format!("{name} {}", session["state"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn settings_are_checked_kept_and_obeyed() {
    let lab = Lab::start().await;
    let put = async |body: Value| lab.ask("PUT", "/settings/daemon", body).await;
    let (status, refusal) = put(json!({ "endedSessionHours": -1 })).await;
    assert_eq!((status, &refusal["field"]), (400, &json!("endedSessionHours")));
    assert_eq!(put(json!({ "preserveSessions": "no" })).await.0, 400);
    let (status, answer) = put(json!({ "preserveSessions": false, "somethingOfTheOriginal": 1 })).await;
    assert_eq!((status, &answer["settings"]["preserveSessions"]), (200, &json!(false)));
    assert_eq!(answer["settings"]["resumeAfterReboot"], true);
    assert_eq!(lab.cli(["settings", "get", "preserveSessions"]), "false\n");
    lab.cli(["settings", "set", "endedSessionHours", "0.5"]);
    assert_eq!(lab.cli(["settings", "get", "endedSessionHours"]), "0.5\n");
    let refused = lab.run(["settings", "set", "endedSessionHours", "-1"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let rule = "error: `endedSessionHours` must be a number of hours from 0 to 87,600\n";
    assert_eq!((refused.status.code(), said.as_str()), (Some(2), rule));
    let id = lab.demo().await;
    lab.wait_for_state(&id, "idle").await;
    lab.stop_daemon();
    lab.start_daemon();
    assert_eq!(lab.show(&id).await["state"], "stopped");
}

#[tokio::test]
async fn a_lost_connection_and_a_frozen_server_heal() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    lab.wait_for_state(&id, "idle").await;
    let client = || {
        let pattern = format!("{}.*-C attach-session", lab.path("t").display());
        let found = Command::new("pgrep").args(["-f", &pattern]).output().unwrap();
        String::from_utf8(found.stdout).unwrap().lines().next().map(str::to_owned)
    };
    lab.keys(&id, &["a"]).await;
    let first = client().expect("a control client");
    Command::new("kill").args(["-KILL", &first]).status().unwrap();
    // What was on its way when the connection broke is told as lost, never typed twice; the next one passes.
    let (status, refusal) = lab.ask("POST", &format!("/sessions/{id}/keys"), json!({ "keys": ["b"] })).await;
    assert!(status == 200 || refusal.to_string().contains("was lost"), "{status} {refusal}");
    lab.keys(&id, &["b"]).await;
    let second = client().expect("a new control client");
    assert_ne!(first, second);
    let server = String::from_utf8(lab.tmux(["display-message", "-p", "#{pid}"]).stdout).unwrap();
    Command::new("kill").args(["-STOP", server.trim()]).status().unwrap();
    let (status, refusal) = lab.ask("POST", &format!("/sessions/{id}/keys"), json!({ "keys": ["c"] })).await;
    assert!(status == 500 && refusal.to_string().contains("did not answer"), "{status} {refusal}");
    Command::new("kill").args(["-CONT", server.trim()]).status().unwrap();
    lab.keys(&id, &["d"]).await;
    assert_eq!(lab.ok("GET", "/health", Value::Null).await["tmuxLink"], "control");
    lab.wait_for_text(&id, "d").await;
}

#[tokio::test]
async fn a_worktree_session_works_beside_the_repo_and_its_work_is_never_thrown_away() {
    let lab = Lab::start().await;
    let git = |arguments: &[&str]| git(&lab, &lab.project(), arguments);
    std::fs::create_dir(lab.project().join("sub")).unwrap();
    std::fs::write(lab.project().join("sub/a.txt"), "a").unwrap();
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "one"]);
    let start = async || {
        let sub = lab.project().join("sub");
        lab.session(json!({ "provider": "demo", "cwd": sub, "dangerousMode": true, "worktree": {} })).await
    };
    let (clean, dirty) = (start().await, start().await);
    let cwd_of = async |id: &str| std::path::PathBuf::from(lab.show(id).await["cwd"].as_str().unwrap());
    let (clean_cwd, dirty_cwd) = (cwd_of(&clean).await, cwd_of(&dirty).await);
    assert!(clean_cwd.ends_with(format!("project-worktrees/{clean}/sub")), "{}", clean_cwd.display());
    lab.turn(&dirty, "WRITE: new.txt :: unsaved").await;
    for id in [&clean, &dirty] {
        lab.cli(["stop", id]);
        assert!(cwd_of(id).await.exists(), "a stopped session can be resumed");
    }
    let rm = |id: &str| {
        let output = lab.run(["rm", id]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(rm(&clean), "");
    assert!(!clean_cwd.exists(), "a worktree without work of its own stays behind");
    let said = rm(&dirty);
    assert!(dirty_cwd.join("new.txt").exists(), "unsaved work was thrown away");
    let reason = format!("warning: the worktree of session {dirty} was kept: 1 file is not committed");
    assert!(said.starts_with(&reason) && said.contains("new.txt") && said.lines().count() == 1, "{said}");
    // The way out that it names is one.
    let command = said.split('`').find(|part| part.starts_with("git ")).expect("a command");
    let status = Command::new("sh").args(["-c", command]).env("HOME", lab.path("person")).status().unwrap();
    assert!(status.success() && !dirty_cwd.exists(), "`{command}` does not remove it");
}

#[tokio::test]
async fn whoever_removes_a_session_is_told_what_became_of_its_worktree() {
    let lab = Lab::start().await;
    let repo = lab.path("my repo");
    std::fs::create_dir(&repo).unwrap();
    let repo = repo.canonicalize().unwrap();
    git(&lab, &repo, &["init", "-q"]);
    git(&lab, &repo, &["commit", "-q", "--allow-empty", "-m", "one"]);
    git(&lab, &repo, &["branch", "mine"]);
    let check = async |wanted: Value, work: &dyn Fn(&Path), expected: Value| {
        let body = json!({ "provider": "demo", "cwd": repo, "worktree": wanted });
        let id = lab.session(body).await;
        let path = repo.with_file_name("my repo-worktrees").join(&id);
        work(&path);
        let answer = lab.ok("DELETE", &format!("/sessions/{id}?force=true"), Value::Null).await;
        let mut expected = json!({ "success": true, "worktree": expected });
        let branch = wanted["branch"].as_str().map_or_else(|| format!("codepiper/{id}"), str::to_owned);
        expected["worktree"]["path"] = json!(path);
        expected["worktree"]["repoRoot"] = json!(repo);
        expected["worktree"]["branch"] = json!(branch);
        assert_eq!(answer, expected);
        assert_eq!(path.exists(), answer["worktree"]["kept"] == true);
    };
    check(json!({}), &|_| {}, json!({ "kept": false, "branchDeleted": true })).await;
    check(json!({ "branch": "mine" }), &|_| {}, json!({ "kept": false, "branchDeleted": false })).await;
    check(
        json!({}),
        &|path| std::fs::remove_dir_all(path).unwrap(),
        json!({ "kept": false, "branchDeleted": false }),
    )
    .await;
    check(
        json!({}),
        &|path| std::fs::write(path.join("new.txt"), "unsaved").unwrap(),
        json!({ "kept": true, "branchDeleted": false, "reason": "1 file is not committed (`new.txt`)" }),
    )
    .await;
    // One without a worktree has none to tell of.
    let id = lab.demo().await;
    let answer = lab.ok("DELETE", &format!("/sessions/{id}?force=true"), Value::Null).await;
    assert_eq!(answer, json!({ "success": true }));
}

fn git(lab: &Lab, at: &Path, arguments: &[&str]) {
    let done = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@t"])
        .args(arguments)
        .current_dir(at)
        .env("HOME", lab.path("person"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}
