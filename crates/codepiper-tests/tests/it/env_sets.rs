//! Env sets: an agent gets them and nobody else sees them; the key, lost, swapped, rotated.

use codepiper_store::{Durability, Store, env_sets};
use codepiper_tests::lab::Lab;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A value that occurs nowhere by chance.
const SECRET: &str = "sk-very-secret-value-4711-xyzzy";

/// An agent with a bill of its own: the demo agent by another name.
const BILLED: &str = r#"
id = "billed"
program = "PROGRAM"
args = ["demo-agent"]
speaks = "claude"
install = "it is here"
credentials = ["BILLED_*"]

[capabilities]
nativeHooks = true
supportsResume = true

[launch]
new = ["--session-id", "{id}"]
resume = ["--resume", "{parent}"]

[screen]
ready = '^›'
"#;

async fn create(lab: &Lab, name: &str, vars: Value) -> Value {
    lab.ok("POST", "/env-sets", json!({ "name": name, "vars": vars })).await["envSet"].take()
}

async fn start(lab: &Lab, more: Value) -> String {
    let mut body = json!({ "provider": "demo", "cwd": lab.project(), "dangerousMode": true });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = lab.session(body).await;
    lab.wait_for_state(&id, "idle").await;
    id
}

/// What the agent has as a variable. It goes through a file, so that it is in no recording.
async fn variable(lab: &Lab, id: &str, name: &str) -> String {
    let file = lab.path("told");
    lab.turn(id, &format!("RUN: printenv {name} > {} || true", file.display())).await;
    fs::read_to_string(file).unwrap().trim_end().to_owned()
}

fn with_input(lab: &Lab, arguments: &[&str], input: &str) -> Output {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    lab.command(arguments).stdin(file).output().unwrap()
}

fn keys(lab: &Lab) -> Vec<PathBuf> {
    let folder = fs::read_dir(lab.path("home/keys")).unwrap().flatten();
    folder.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
}

fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.path().is_dir() {
            true => files(&entry.path(), all),
            false => all.push(entry.path()),
        }
    }
}

fn error(answer: &(u16, Value)) -> String {
    format!(
        "{} {} {}",
        answer.0,
        answer.1["error"].as_str().unwrap_or(""),
        answer.1["hint"].as_str().unwrap_or("")
    )
}

#[tokio::test]
async fn the_agent_gets_the_values_and_they_are_found_nowhere_else() {
    let lab = Lab::start().await;
    let made = with_input(&lab, &["env-set", "create", "keys", "MY_KEY", "--stdin"], &format!("{SECRET}\n"));
    assert!(made.status.success(), "{made:?}");
    let id = start(&lab, json!({ "envSetIds": ["keys"] })).await;
    assert_eq!(variable(&lab, &id, "MY_KEY").await, SECRET);
    let shown = lab.show(&id).await;
    let set = lab.ok("GET", "/env-sets/keys", Value::Null).await["envSet"].take();
    assert_eq!(shown["metadata"]["launch"]["envSetIds"], json!([set["id"]]));
    assert_eq!(set["maskedVars"], json!({ "MY_KEY": "****zy" }));

    let pane = format!("=codepiper-{id}:");
    let told = |output: Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let mut places = vec![
        ("argv", told(Command::new("ps").args(["-axww", "-o", "command="]).output().unwrap())),
        ("tmux's global environment", told(lab.tmux(["show-environment", "-g"]))),
        ("the session's environment in tmux", told(lab.tmux(["show-environment", "-t", &pane]))),
        (
            "the start command",
            told(lab.tmux(["display-message", "-p", "-t", &pane, "#{pane_start_command}"])),
        ),
        ("the log", lab.log()),
        ("the events", json!(lab.events(&id).await).to_string()),
        ("the session", shown.to_string()),
        ("the list", lab.cli(["env-set", "list", "--json"])),
        ("what is shown", lab.cli(["env-set", "show", "keys"])),
    ];
    assert!(places[0].1.contains("demo-agent"), "ps shows no agent:\n{}", places[0].1);
    assert!(places[3].1.contains("pane-supervise"), "no start command: {}", places[3].1);
    let mut all = Vec::new();
    files(&lab.path("home"), &mut all);
    assert!(all.iter().any(|path| path.ends_with("codepiper.db")) && all.len() > 8, "{all:?}");
    for path in &all {
        let name = path.display().to_string();
        places.push((name.leak(), String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()));
    }
    for (place, text) in &places {
        assert!(!text.contains(SECRET), "the value is in {place}");
        // Names of variables are sealed as well.
        assert!(
            !place.contains("codepiper.db") || !text.contains("\"MY_KEY\":\""),
            "a set stands in {place}"
        );
    }
    // Wherever it might come to be later, nobody else can read.
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let open: Vec<_> = all.iter().filter(|path| mode(path) & 0o077 != 0).collect();
    assert!(open.is_empty(), "others can read {open:?}");
    assert_eq!(keys(&lab).iter().map(|path| mode(path)).collect::<Vec<_>>(), [0o600]);
}

#[tokio::test]
async fn an_environment_that_nobody_came_to_read_does_not_stay() {
    let lab = Lab::start().await;
    create(&lab, "keys", json!({ "A": SECRET })).await;
    let id = start(&lab, json!({ "envSetIds": ["keys"] })).await;
    // As if daemon and machine had gone down between the file and the pane.
    let file = lab.path(&format!("home/sessions/{id}/launch.json"));
    lab.cli(["settings", "set", "resumeAfterReboot", "false"]);
    lab.kill_daemon();
    lab.tmux(["kill-server"]);
    fs::write(&file, SECRET).unwrap();
    lab.start_daemon();
    lab.wait_for_event(&id, 0, |event| event["type"] == "exited").await;
    assert!(!file.exists(), "{} is still there", file.display());
}

#[tokio::test]
async fn later_sets_win_and_what_was_given_wins_over_them() {
    let lab = Lab::start().await;
    create(&lab, "one", json!({ "A": "one", "B": "one", "C": "one" })).await;
    create(&lab, "two", json!({ "B": "two", "C": "two" })).await;
    let out = lab.cli([
        "start",
        "-p",
        "demo",
        "--dangerous",
        "--env-set",
        "one",
        "--env-set",
        "two",
        "--env",
        "C=given",
        "--json",
    ]);
    let id = serde_json::from_str::<Value>(&out).unwrap()["id"].as_str().unwrap().to_owned();
    lab.wait_for_state(&id, "idle").await;
    for (name, expected) in [("A", "one"), ("B", "two"), ("C", "given")] {
        assert_eq!(variable(&lab, &id, name).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_resume_takes_the_values_of_now_and_names_a_set_that_is_gone() {
    let lab = Lab::start().await;
    let set = create(&lab, "keys", json!({ "A": "old", "B": "stays" })).await;
    let id = start(&lab, json!({ "envSetIds": ["keys"] })).await;
    assert_eq!(variable(&lab, &id, "A").await, "old");
    lab.ok("PUT", "/env-sets/keys", json!({ "set": { "A": "new" } })).await;
    lab.cli(["env-set", "rename", "keys", "renamed"]);
    assert_eq!(variable(&lab, &id, "A").await, "old");
    lab.cli(["stop", &id]);
    lab.cli(["resume", &id]);
    lab.wait_for_state(&id, "idle").await;
    assert_eq!(variable(&lab, &id, "A").await, "new");
    assert_eq!(variable(&lab, &id, "B").await, "stays");

    // What tmux took away comes back by itself, with the values of then.
    lab.ok("PUT", "/env-sets/renamed", json!({ "set": { "A": "newest" } })).await;
    let after = lab.last_event().await;
    lab.tmux(["kill-server"]);
    lab.wait_for_event(&id, after, |event| event["type"] == "launched").await;
    lab.wait_for_state(&id, "idle").await;
    assert_eq!(variable(&lab, &id, "A").await, "newest");

    lab.cli(["stop", &id]);
    let deleted = lab.run(["env-set", "delete", "renamed"]);
    let said = String::from_utf8_lossy(&deleted.stderr).into_owned();
    assert!(deleted.status.success() && said.contains("cannot be resumed") && said.contains(&id), "{said}");
    let refused = lab.ask("POST", &format!("/sessions/{id}/resume"), Value::Null).await;
    assert!(error(&refused).starts_with("404 env set `keys` is gone"), "{}", error(&refused));
    assert!(error(&refused).contains("env-set create keys"), "{}", error(&refused));
    // One of the same name takes its place, with an id of its own.
    let another = create(&lab, "keys", json!({ "A": "another" })).await;
    assert_ne!(another["id"], set["id"]);
    lab.cli(["resume", &id]);
    lab.wait_for_state(&id, "idle").await;
    assert_eq!(variable(&lab, &id, "A").await, "another");
}

#[tokio::test]
async fn a_conversation_goes_on_with_the_sets_it_had_unless_others_are_given() {
    let lab = Lab::start().await;
    create(&lab, "parents", json!({ "WHOSE": "parents", "MORE": "yes" })).await;
    create(&lab, "own", json!({ "WHOSE": "own" })).await;
    let parent = start(&lab, json!({ "envSetIds": ["parents"] })).await;
    lab.turn(&parent, "hello").await; // a conversation without a word is none
    let conversation = lab.show(&parent).await["providerSessionId"].clone();
    let goes_on = async |parent: &str, mode: &str, more: Value| {
        let resume = json!({ "providerSessionId": parent, "mode": mode });
        let mut body = json!({ "providerResume": resume });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let id = start(&lab, body).await;
        let sets = lab.show(&id).await["metadata"]["launch"]["envSetNames"].clone();
        let told = (variable(&lab, &id, "WHOSE").await, variable(&lab, &id, "MORE").await);
        (id, sets, told.0, told.1)
    };
    let check = |(_, sets, whose, more): (String, Value, String, String), expected: (Value, &str, &str)| {
        assert_eq!((sets, whose.as_str(), more.as_str()), expected);
    };
    let parents = || (json!(["parents"]), "parents", "yes");
    check(goes_on(&parent, "fork", json!({})).await, parents());
    let others = json!({ "envSetIds": ["own"] });
    check(goes_on(&parent, "fork", others.clone()).await, (json!(["own"]), "own", ""));
    let workspace = json!({ "name": "w", "path": lab.project(), "defaults": { "envSetIds": ["own"] } });
    lab.ok("POST", "/workspaces", workspace).await;
    check(goes_on(&parent, "fork", json!({ "workspaceId": "w" })).await, (json!(["own"]), "own", ""));

    lab.cli(["stop", &parent]);
    // By the agent's own id of it too.
    let resumed = goes_on(conversation.as_str().unwrap(), "resume", json!({})).await;
    let id = resumed.0.clone();
    check(resumed, parents());
    lab.cli(["stop", &id]);
    check(goes_on(&id, "resume", others).await, (json!(["own"]), "own", ""));

    // The session that is named counts, also where a later one has the conversation.
    let again = lab.cli(["start", "-p", "demo", "--dangerous", "--fork", &id, "--json"]);
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again["metadata"]["launch"]["envSetNames"], json!(["parents"]));
}

#[tokio::test]
async fn a_start_with_a_set_that_cannot_be_had_makes_nothing() {
    let lab = Lab::start().await;
    create(&lab, "keys", json!({ "A": "b" })).await;
    let git = |arguments: &[&str]| {
        let git = Command::new("git").args(arguments).current_dir(lab.project()).output().unwrap();
        assert!(git.status.success(), "{git:?}");
    };
    git(&["init", "-q"]);
    git(&["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-q", "--allow-empty", "-m", "first"]);
    let check = async |sets: Value, expected: &str| {
        let body = json!({
            "provider": "demo", "cwd": lab.project(), "envSetIds": sets, "worktree": { "createBranch": true },
        });
        let refused = lab.ask("POST", "/sessions", body).await;
        assert!(error(&refused).contains(expected), "{}", error(&refused));
        assert_eq!(lab.ok("GET", "/sessions", Value::Null).await["sessions"], json!([]));
        let left = fs::read_dir(lab.path("home/sessions")).map(Iterator::count).unwrap_or(0);
        let beside = fs::read_dir(lab.project().parent().unwrap()).unwrap().flatten();
        let worktrees =
            beside.filter(|entry| entry.file_name().to_string_lossy().contains("worktrees")).count();
        assert_eq!((left, worktrees), (0, 0), "something was made");
    };
    check(json!(["keys", "nope"]), "404 there is no env set `nope`").await;
    let key = keys(&lab).pop().unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    check(json!(["keys"]), "422 env set `keys` cannot be read: the key file `").await;
    check(json!(["keys"]), "can be read by others (mode 644) `chmod 600").await;
    fs::remove_file(&key).unwrap();
    check(json!(["keys"]), "is not there").await;
}

#[tokio::test]
async fn a_lost_key_is_told_with_the_sets_that_need_it_and_the_way_out() {
    let lab = Lab::start().await;
    create(&lab, "one", json!({ "A": "b" })).await;
    create(&lab, "two", json!({ "A": "b", "C": "d" })).await;
    let key = keys(&lab).pop().unwrap();
    let bytes = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let list = lab.ok("GET", "/env-sets", Value::Null).await;
    assert_eq!(list["envSets"][1]["varCount"], 2);
    assert!(list["envSets"][1]["unreadable"].as_str().unwrap().contains("is not there"), "{list}");
    assert!(lab.cli(["env-set", "list"]).contains("cannot be read"));
    // Nothing is sealed with another key while the old one may come back.
    for (method, path, body) in [
        ("POST", "/env-sets", json!({ "name": "three", "vars": { "A": "b" } })),
        ("PUT", "/env-sets/two", json!({ "set": { "A": "b" } })),
        ("POST", "/env-sets/rotate-key", json!({})),
    ] {
        let refused = lab.ask(method, path, body).await;
        let said = error(&refused);
        assert!(said.starts_with("422 ") && said.contains("cannot be read"), "{method} {path}: {said}");
        assert!(said.contains("env-set delete one two") && said.contains("a backup has no key"), "{said}");
    }
    assert_eq!(keys(&lab), [] as [PathBuf; 0], "a key was made that nothing is sealed with");
    fs::write(&key, &bytes).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(lab.ok("GET", "/env-sets/two", Value::Null).await["envSet"]["maskedVars"]["C"], "****");
    // Given up, one begins anew.
    fs::remove_file(&key).unwrap();
    lab.cli(["env-set", "delete", "one", "two"]);
    create(&lab, "three", json!({ "A": "b" })).await;
    assert!(keys(&lab).pop().is_some_and(|new| new != key));
}

#[tokio::test]
async fn rows_that_were_swapped_or_changed_are_noticed() {
    let lab = Lab::start().await;
    create(&lab, "one", json!({ "A": "of one" })).await;
    create(&lab, "two", json!({ "A": "of two" })).await;
    lab.stop_daemon();
    let store = Store::open(&lab.path("home/codepiper.db"), Durability::Process).unwrap();
    store
        .write(|tx| {
            let mut rows = env_sets::list(tx)?;
            let (one, two) = rows.split_at_mut(1);
            std::mem::swap(&mut one[0].sealed, &mut two[0].sealed);
            std::mem::swap(&mut one[0].nonce, &mut two[0].nonce);
            rows.iter().try_for_each(|row| env_sets::update(tx, row))
        })
        .await
        .unwrap();
    drop(store);
    lab.start_daemon();
    for name in ["one", "two"] {
        let refused = lab
            .ask(
                "POST",
                "/sessions",
                json!({ "provider": "demo", "cwd": lab.project(), "envSetIds": [name] }),
            )
            .await;
        assert!(error(&refused).contains("is not what was sealed"), "{}", error(&refused));
    }
}

#[tokio::test]
async fn a_daemon_killed_while_it_rotates_the_key_loses_no_set() {
    let lab = Lab::start().await;
    // Enough of them that a rotation takes a while.
    const SETS: usize = 30;
    let value = |n: usize| format!("{n:04}{}", "x".repeat(9_996));
    for n in 0..SETS {
        create(&lab, &format!("set-{n}"), json!({ "A": value(n), "B": value(n) })).await;
    }
    let readable = async |when: &str| {
        let list = lab.ok("GET", "/env-sets", Value::Null).await;
        let sets = list["envSets"].as_array().unwrap();
        let bad: Vec<_> = sets.iter().filter(|set| !set["unreadable"].is_null()).collect();
        assert!(sets.len() == SETS && bad.is_empty(), "{when}: {bad:?}");
    };
    // Somewhere on the way: before the key, before the commit, before the old key goes, after all.
    let begin = Instant::now();
    lab.cli(["env-set", "rotate-key"]);
    let whole = begin.elapsed();
    for round in 0..8 {
        let after = whole * round / 7;
        let mut rotating = lab
            .command(["env-set", "rotate-key"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(after).await;
        lab.kill_daemon();
        rotating.wait().unwrap();
        lab.start_daemon();
        readable(&format!("killed after {after:?} of {whole:?}")).await;
    }
    // The two moments for certain. A new key is there, and nothing is sealed with it yet:
    let folder = lab.path("home/keys");
    let strange = folder.join("env-sets-0011223344556677.key");
    fs::write(&strange, [1; 32]).unwrap();
    readable("with a key that is not used").await;
    // All is sealed anew, and the old key is still in its place:
    let before: Vec<_> = keys(&lab).into_iter().filter(|path| *path != strange).collect();
    let copies: Vec<_> = before.iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    lab.cli(["env-set", "rotate-key"]);
    assert_eq!(keys(&lab).len(), 1, "{:?}", keys(&lab));
    for (path, bytes) in &copies {
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    readable("with the old key in its place").await;
    lab.kill_daemon();
    lab.start_daemon();
    readable("after another start").await;
    // The next rotation tidies up. What was sealed is what it was.
    lab.cli(["env-set", "rotate-key"]);
    assert_eq!(keys(&lab).len(), 1);
    let id = start(&lab, json!({ "envSetIds": ["set-22"] })).await;
    assert_eq!(variable(&lab, &id, "B").await, value(22));
}

#[tokio::test]
async fn a_backup_holds_no_key_and_one_of_before_a_rotation_needs_the_old_one() {
    let lab = Lab::start().await;
    create(&lab, "keys", json!({ "A": SECRET })).await;
    let copy = lab.path("copy.db");
    lab.cli(["backup", copy.to_str().unwrap()]);
    let key = fs::read(keys(&lab).pop().unwrap()).unwrap();
    let backup = fs::read(&copy).unwrap();
    assert!(!backup.windows(32).any(|window| window == key), "the key is in the backup");
    lab.cli(["env-set", "rotate-key"]);
    let restore = || {
        lab.stop_daemon();
        let said = lab.run(["restore", copy.to_str().unwrap()]);
        assert!(said.status.success(), "{said:?}");
        lab.start_daemon();
        String::from_utf8_lossy(&said.stderr).into_owned()
    };
    assert_eq!(restore(), "");
    assert_eq!(lab.ok("GET", "/env-sets/keys", Value::Null).await["envSet"]["maskedVars"]["A"], "****zy");
    // One that was deleted is gone with what it opened.
    lab.cli(["backup", lab.path("other.db").to_str().unwrap()]);
    lab.cli(["env-set", "rotate-key", "--delete-old"]);
    fs::remove_dir_all(lab.path("home/keys/retired")).unwrap();
    assert_eq!(lab.ok("GET", "/env-sets/keys", Value::Null).await["envSet"]["maskedVars"]["A"], "****zy");
    let said = restore();
    assert!(
        said.contains("env set `keys` cannot be read here") && said.contains("has no key in it"),
        "{said}"
    );
    let doctor = lab.run(["doctor", "--json"]);
    assert!(
        String::from_utf8_lossy(&doctor.stdout).contains("keys cannot be read: the key file"),
        "{doctor:?}"
    );
    let refused = lab.ask("PUT", "/env-sets/keys", json!({ "set": { "A": "b" } })).await;
    assert!(error(&refused).starts_with("422 env set `keys` cannot be read"), "{}", error(&refused));
}

#[tokio::test]
async fn what_a_set_may_hold_is_checked_and_no_refusal_tells_a_value() {
    let lab = Lab::start().await;
    let set = create(&lab, "keys", json!({ "LONG": SECRET, "SHORT": "abc" })).await;
    let check = async |method: &str, path: &str, body: Value, expected: &str| {
        let answer = lab.ask(method, path, body).await;
        let said = format!("{} {}", answer.0, answer.1);
        assert!(said.contains(expected), "{method} {path}: {said}");
        assert!(!said.contains("abc"), "a value is in {said}");
    };
    check("POST", "/env-sets", json!({ "name": "keys" }), "409").await;
    check("POST", "/env-sets", json!({ "name": "a b" }), "400").await;
    check("POST", "/env-sets", json!({ "name": set["id"] }), "looks like an id").await;
    check(
        "POST",
        "/env-sets",
        json!({ "name": "x", "vars": { "LD_PRELOAD": "abc" } }),
        "would load other code",
    )
    .await;
    check("POST", "/env-sets", json!({ "name": "x", "vars": { "BAD-NAME": "abc" } }), "is no name").await;
    check("POST", "/env-sets", json!({ "name": "x", "vars": { "A": "a\u{0}" } }), "zero byte").await;
    check(
        "POST",
        "/env-sets",
        json!({ "name": "x", "vars": { "A": "y".repeat(65_537) } }),
        "longer than 65536",
    )
    .await;
    check("PUT", "/env-sets/keys", json!({}), "nothing to change").await;
    check("PUT", "/env-sets/keys", json!({ "vars": null }), "nothing to change").await;
    check("PUT", "/env-sets/keys", json!({ "vars": { "LONG": "****zy" } }), "its own mask").await;
    check("PUT", "/env-sets/keys", json!({ "set": { "SHORT": "****" } }), "its own mask").await;
    check("PUT", "/env-sets/keys", json!({ "unset": ["NOPE"] }), "not in env set `keys`").await;
    check("PUT", "/env-sets/keys", json!({ "vars": {}, "unset": ["LONG"] }), "have no place beside").await;
    check("PUT", "/env-sets/keys", json!({ "set": { "A": "x" }, "unset": ["A"] }), "also in `set`").await;
    check("GET", "/env-sets/nope", Value::Null, "404").await;
    check("DELETE", "/env-sets/nope", Value::Null, "404").await;
    // The original's way replaces all; ours changes some. Names, ids and beginnings of ids mean the same.
    let id = set["id"].as_str().unwrap();
    let change = async |path: &str, body: Value| -> Value {
        lab.ok("PUT", &format!("/env-sets/{path}"), body).await["envSet"]["maskedVars"].take()
    };
    assert_eq!(
        change("keys", json!({ "set": { "B": "x" } })).await,
        json!({ "B": "****", "LONG": "****zy", "SHORT": "****" })
    );
    assert_eq!(change(id, json!({ "unset": ["B", "SHORT"] })).await, json!({ "LONG": "****zy" }));
    assert_eq!(change(&id[..6], json!({ "vars": { "ONLY": "x" } })).await, json!({ "ONLY": "****" }));
    let warned = lab.ok("PUT", "/env-sets/keys", json!({ "set": { "NODE_OPTIONS": "x" } })).await;
    assert!(warned["warnings"][0].as_str().unwrap().contains("`NODE_OPTIONS`"), "{warned}");
}

#[tokio::test]
async fn a_value_is_asked_for_without_echo() {
    let lab = Lab::start().await;
    // In a terminal of its own: tmux's.
    let command = lab.command(["env-set", "create", "asked", "MY_KEY"]);
    let mut words = vec!["env".to_owned(), "-i".into()];
    for (name, value) in command.get_envs() {
        words.push(format!("{}={}", name.display(), value.unwrap_or_default().display()));
    }
    words.push(command.get_program().display().to_string());
    words.extend(command.get_args().map(|word| word.display().to_string()));
    let line = format!("{}; echo left with $?; sleep 60", words.join(" "));
    lab.tmux(["new-session", "-d", "-s", "person", "-x", "200", "-y", "20", &line]);
    let screen =
        || String::from_utf8_lossy(&lab.tmux(["capture-pane", "-p", "-t", "=person:"]).stdout).into_owned();
    let shows = async |text: &str| {
        for _ in 0..400 {
            if screen().contains(text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{text:?} does not come:\n{}", screen());
    };
    shows("MY_KEY:").await;
    lab.tmux(["send-keys", "-t", "=person:", "-l", SECRET]);
    lab.tmux(["send-keys", "-t", "=person:", "Enter"]);
    shows("left with 0").await;
    assert!(screen().contains("Env set asked made: 1 variable"), "{}", screen());
    assert!(!screen().contains("sk-very"), "it was echoed:\n{}", screen());
    assert!(lab.cli(["env-set", "show", "asked"]).contains("****zy"));
}

#[tokio::test]
async fn the_bill_decides_which_credentials_stay_and_it_is_said() {
    let mut lab = Lab::new();
    fs::create_dir_all(lab.path("home/providers")).unwrap();
    let program = codepiper_tests::lab::codepiper().display().to_string();
    fs::write(lab.path("home/providers/billed.toml"), BILLED.replace("PROGRAM", &program)).unwrap();
    lab.set("BILLED_URL", "of the daemon");
    lab.start_daemon();
    create(&lab, "keys", json!({ "BILLED_KEY": SECRET, "OTHER": "other" })).await;
    let begin = async |billing: &str| {
        let body = json!({
            "provider": "billed", "cwd": lab.project(), "billingMode": billing, "envSetIds": ["keys"],
            "env": { "BILLED_TOKEN": "given" },
        });
        let answer = lab.ok("POST", "/sessions", body).await;
        let id = answer["session"]["id"].as_str().unwrap().to_owned();
        lab.wait_for_state(&id, "idle").await;
        (id, answer["notes"].clone())
    };
    let environment = |id: &str| {
        let run: Value =
            serde_json::from_slice(&fs::read(lab.path(&format!("home/sessions/{id}/run.json"))).unwrap())
                .unwrap();
        fs::read_to_string(format!("/proc/{}/environ", run["agent"]["pid"])).unwrap()
    };
    let (id, notes) = begin("subscription").await;
    assert_eq!(
        notes,
        json!([
            "`BILLED_URL` of the daemon's environment is left out: billing is by subscription; `--billing api` keeps it",
            "`BILLED_KEY` of env set `keys` is left out: billing is by subscription; `--billing api` keeps it",
            "`BILLED_TOKEN` given with the session is left out: billing is by subscription; `--billing api` keeps it",
        ])
    );
    assert!(!environment(&id).contains("BILLED_") && environment(&id).contains("OTHER=other"));
    let (id, notes) = begin("api").await;
    assert_eq!(notes, Value::Null);
    for variable in ["BILLED_URL=of the daemon", &format!("BILLED_KEY={SECRET}"), "BILLED_TOKEN=given"] {
        assert!(environment(&id).contains(variable), "no {variable}");
    }
    let said = lab.run(["start", "-p", "billed", "--env-set", "keys"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("note: `BILLED_KEY` of env set `keys` is left out"), "{said}");
}

#[tokio::test]
async fn the_ssh_agent_of_the_shell_reaches_the_agent_unless_it_is_withheld() {
    let mut lab = Lab::new();
    for socket in ["old", "new", "newer"] {
        fs::write(lab.path(socket), "").unwrap();
    }
    lab.set("SSH_AUTH_SOCK", lab.path("old"));
    lab.start_daemon();
    let id = start(&lab, json!({})).await;
    assert_eq!(variable(&lab, &id, "SSH_AUTH_SOCK").await, lab.path("old").display().to_string());
    // A later login has another one.
    lab.set("SSH_AUTH_SOCK", lab.path("new"));
    let out = lab.cli(["start", "-p", "demo", "--dangerous", "--json"]);
    let id = serde_json::from_str::<Value>(&out).unwrap()["id"].as_str().unwrap().to_owned();
    lab.wait_for_state(&id, "idle").await;
    assert_eq!(variable(&lab, &id, "SSH_AUTH_SOCK").await, lab.path("new").display().to_string());
    let again = async |lab: &Lab| {
        lab.cli(["stop", &id]);
        lab.cli(["resume", &id]);
        lab.wait_for_state(&id, "idle").await;
        variable(lab, &id, "SSH_AUTH_SOCK").await
    };
    lab.set("SSH_AUTH_SOCK", lab.path("newer"));
    assert_eq!(again(&lab).await, lab.path("newer").display().to_string());
    // One that went with its login leaves the daemon's.
    lab.set("SSH_AUTH_SOCK", lab.path("gone"));
    assert_eq!(again(&lab).await, lab.path("old").display().to_string());

    lab.cli(["settings", "set", "forwardSshAuthSock", "false"]);
    lab.set("SSH_AUTH_SOCK", lab.path("new"));
    assert_eq!(again(&lab).await, "");
    let refused = json!({ "provider": "demo", "cwd": lab.project(), "shellEnv": { "LD_PRELOAD": "x" } });
    let refused = lab.ask("POST", "/sessions", refused).await;
    assert!(error(&refused).contains("takes PATH, SSH_AUTH_SOCK, SSH_AGENT_PID only"), "{}", error(&refused));
}

#[tokio::test]
async fn a_value_that_an_agent_uses_is_masked_on_record() {
    let lab = Lab::start().await;
    const VALUE: &str = "quince-jelly-in-jars";
    lab.cli(["env-set", "create", "kitchen", &format!("JAM={VALUE}")]);
    let body = json!({ "provider": "demo", "cwd": lab.project(), "envSetIds": ["kitchen"] });
    let id = lab.session(body).await;
    lab.wait_for_state(&id, "idle").await;
    lab.send(&id, &format!("RUN: echo {VALUE} > jam.txt")).await;
    lab.wait_for_event(&id, 0, |event| event["type"] == "approval-opened").await;
    let shown = lab.cli(["approvals", "show", &id, "--json"]);
    let audit = lab.cli(["audit", &id, "--json"]);
    assert!(shown.contains("echo ****") && audit.contains("echo ****"), "{shown} {audit}");
    let events = lab.events(&id).await;
    let hooks: Vec<_> = events.iter().filter(|event| event["type"] == "PreToolUse").collect();
    assert!(!format!("{shown} {audit} {hooks:?}").contains(VALUE), "{shown} {audit} {hooks:?}");
    // The rule of such a call would hold the secret, or be of another call.
    let refused = lab.run(["approvals", "allow", &id, "--always", "--yes"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    lab.cli(["approvals", "allow", &id]);
    lab.wait_for_state(&id, "idle").await;
    assert_eq!(std::fs::read_to_string(lab.project().join("jam.txt")).unwrap().trim(), VALUE);
}
