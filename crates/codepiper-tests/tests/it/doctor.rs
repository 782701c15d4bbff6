//! The doctor on real machines: with and without a daemon, and with one thing wrong at a time.

use codepiper_tests::lab::Lab;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

/// The report and the exit code.
fn examine(lab: &Lab) -> (Value, i32) {
    let output = lab.run(["doctor", "--json"]);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("no JSON ({error}): {}", String::from_utf8_lossy(&output.stderr));
    });
    (report, output.status.code().expect("it ended by itself"))
}

/// `level: what was found → fix` of a finding.
fn finding(report: &Value, group: &str, name: &str) -> String {
    let findings = report["findings"].as_array().expect("findings");
    let found = findings.iter().find(|finding| finding["group"] == group && finding["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no `{name}` of {group} in {report:#}"));
    let fix = found["fix"].as_str().map(|fix| format!(" → {fix}")).unwrap_or_default();
    format!("{}: {}{fix}", found["level"].as_str().unwrap(), found["found"].as_str().unwrap())
}

/// Everything in the lab but the folders a test made itself.
fn everything(folder: &Path) -> Vec<String> {
    let mut all: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .flatten()
        .flat_map(|entry| {
            let name = entry.path().display().to_string();
            let below = if entry.path().is_dir() { everything(&entry.path()) } else { Vec::new() };
            std::iter::once(name).chain(below)
        })
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn without_a_daemon_it_says_how_to_start_one_and_changes_nothing() {
    let lab = Lab::new();
    let before = everything(&lab.path(""));
    let (report, code) = examine(&lab);
    assert_eq!((code, &report["ok"]), (0, &json!(true)), "{report:#}");
    assert_eq!(finding(&report, "daemon", "daemon"), "note: not running → codepiper daemon start --detach");
    assert_eq!(finding(&report, "tmux", "control mode"), "ok: works, tried on a private server");
    assert_eq!(finding(&report, "agents", "demo"), "ok: part of this program");
    assert_eq!(everything(&lab.path("")), before);
    let tmux =
        report["findings"].as_array().unwrap().iter().find(|finding| finding["name"] == "tmux").unwrap();
    let keys: Vec<&String> = tmux.as_object().unwrap().keys().collect();
    assert_eq!((keys.len(), &tmux["group"], &tmux["level"]), (4, &json!("tmux"), &json!("ok")), "{keys:?}");

    let shown = lab.cli(["doctor"]);
    assert!(shown.contains("\ntmux\n  ✓ tmux "), "{shown}");
    assert!(shown.contains("not running  → codepiper daemon start --detach\n"), "{shown}");
}

#[tokio::test]
async fn a_running_daemon_is_asked_and_not_disturbed() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    lab.wait_for_state(&id, "idle").await;
    let (report, code) = examine(&lab);
    assert_eq!(code, 0, "{report:#}");
    let pid = lab.daemon_pid();
    assert_eq!(finding(&report, "daemon", "daemon"), format!("ok: running (pid {pid}), 1 live session"));
    assert_eq!(finding(&report, "tmux", "daemon link"), "ok: control mode");
    assert_eq!(finding(&report, "tmux", "server"), "ok: carries 1 session of CodePiper, 0 others");
    let whole = format!("ok: whole, schema {}, 1 session ever, ", codepiper_store::SCHEMA_VERSION);
    assert!(finding(&report, "files", "database").starts_with(&whole));
    assert_eq!(finding(&report, "environment", "PATH"), "ok: the daemon finds the same agents as this shell");
    lab.turn(&id, "SAY: still here").await;

    // After its end the session goes on, and looking into the database leaves no file of SQLite behind.
    lab.stop_daemon();
    let before = everything(&lab.path("home"));
    let (report, code) = examine(&lab);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        finding(&report, "daemon", "daemon"),
        "note: not running; 1 session goes on and waits for it in tmux → codepiper daemon start --detach"
    );
    let after = everything(&lab.path("home"));
    let of_the_database = |all: &[String]| all.iter().filter(|path| path.contains("codepiper.db")).count();
    assert_eq!(of_the_database(&after), of_the_database(&before));
}

#[tokio::test]
async fn without_tmux_something_is_missing_and_the_way_to_it_is_told() {
    let mut lab = Lab::new();
    fs::create_dir(lab.path("empty")).unwrap();
    let empty = lab.path("empty");
    lab.set("PATH", &empty);
    let (report, code) = examine(&lab);
    assert_eq!((code, &report["ok"]), (6, &json!(false)));
    let tmux = finding(&report, "tmux", "tmux");
    assert!(tmux.starts_with("error: not installed: every session lives in tmux → "), "{tmux}");
    assert!(tmux.contains("install"), "{tmux}");
    assert!(finding(&report, "agents", "agents").starts_with("warning: none is installed"));
    let output = lab.run(["doctor"]);
    assert_eq!(output.status.code(), Some(6));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "error: something is missing or broken: tmux\n");
}

#[tokio::test]
async fn a_home_that_others_can_read_and_a_broken_definition_are_errors_with_their_fix() {
    let lab = Lab::start().await;
    let home = lab.path("home");
    fs::set_permissions(&home, fs::Permissions::from_mode(0o750)).unwrap();
    let providers = lab.path("home/providers");
    fs::create_dir(&providers).unwrap();
    fs::write(providers.join("mine.toml"), "id = 'mine'\nprogram = 'my agent'\nwhat = 1\n").unwrap();
    let (report, code) = examine(&lab);
    assert_eq!((code, &report["ok"]), (1, &json!(false)), "{report:#}");
    let home = home.display();
    assert_eq!(
        finding(&report, "files", "home"),
        format!("error: {home} can be used by others (mode 0750) → chmod 700 {home}")
    );
    let broken = finding(&report, "agents", "mine.toml");
    assert!(
        broken.starts_with("error: this definition cannot be used: ") && broken.contains("what"),
        "{broken}"
    );
    assert!(broken.ends_with(&format!("→ ${{EDITOR:-vi}} {home}/providers/mine.toml")), "{broken}");
}

#[tokio::test]
async fn a_socket_is_told_to_be_a_leftover_no_socket_or_of_something_else() {
    let lab = Lab::start().await;
    let socket = lab.path("s");
    let shown = socket.display();
    lab.kill_daemon();
    let (report, code) = examine(&lab);
    assert_eq!(code, 0, "{report:#}");
    let left = finding(&report, "files", "socket");
    assert!(left.starts_with(&format!("warning: {shown} was left behind by a daemon that died")), "{left}");
    assert!(finding(&report, "files", "database").starts_with("ok: whole"), "{report:#}");

    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "").unwrap();
    let (report, code) = examine(&lab);
    assert_eq!(code, 1);
    assert_eq!(
        finding(&report, "files", "socket"),
        format!("error: {shown} is there and is no socket → mv {shown} {shown}.old")
    );

    fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    // Ends with the test.
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let (report, code) = examine(&lab);
    assert_eq!(code, 1);
    let other = finding(&report, "files", "socket");
    assert!(
        other.starts_with(&format!("error: something listens on {shown}, but not as a daemon")),
        "{other}"
    );
}

#[tokio::test]
async fn a_daemon_on_another_socket_is_found_by_its_lock() {
    let mut lab = Lab::start().await;
    let theirs = lab.path("s");
    let ours = lab.path("another");
    lab.set("CODEPIPER_SOCKET", &ours);
    let (report, code) = examine(&lab);
    assert_eq!(code, 0, "{report:#}");
    let expected = format!(
        "warning: a daemon (pid {}) has this database, but listens on {}, not on {} → codepiper --socket {} daemon status",
        lab.daemon_pid(),
        theirs.display(),
        ours.display(),
        theirs.display()
    );
    assert_eq!(finding(&report, "daemon", "daemon"), expected);
}

#[tokio::test]
async fn programs_that_hang_are_not_waited_for_and_leave_nothing_behind() {
    let mut lab = Lab::new();
    let bin = lab.path("bin");
    fs::create_dir(&bin).unwrap();
    for program in ["tmux", "claude", "codex", "git"] {
        let path = bin.join(program);
        fs::write(&path, "#!/bin/sh\nexec sleep 654\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    lab.set("PATH", path);
    let temporary = lab.path("tmp");
    fs::create_dir(&temporary).unwrap();
    lab.set("TMPDIR", &temporary);
    let _never_answers = UnixListener::bind(lab.path("s")).unwrap();
    let start = Instant::now();
    let (report, code) = examine(&lab);
    assert!(start.elapsed() < Duration::from_secs(25), "it took {:?}", start.elapsed());
    assert_eq!(code, 1, "{report:#}");
    assert!(finding(&report, "tmux", "tmux").contains("did not answer"), "{report:#}");
    assert!(finding(&report, "agents", "claude-code").contains("does not say its version"), "{report:#}");
    assert!(finding(&report, "git", "git").contains("does not say its version"), "{report:#}");
    assert!(finding(&report, "files", "socket").contains("no answer within 12 s"), "{report:#}");
    assert_eq!(everything(&temporary), Vec::<String>::new());
    let hanging = std::process::Command::new("pgrep").args(["-f", "^sleep 654$"]).output().unwrap();
    assert!(hanging.stdout.is_empty(), "{}", String::from_utf8_lossy(&hanging.stdout));
}
