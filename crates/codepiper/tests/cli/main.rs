//! The command as people and scripts meet it: the real binary, and where a daemon is needed one that gives
//! prepared answers and keeps what it was asked.

mod env_sets;
mod knowledge;
mod prepared;
mod terminal;

use prepared::{Answer, Prepared};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use terminal::Terminal;

/// A command with nothing of the environment but PATH and HOME.
fn codepiper() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_codepiper"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("HOME", "/h/me").stdin(Stdio::null());
    command
}

fn run(line: &str) -> Ran {
    Ran::of(codepiper().args(line.split_whitespace()))
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().expect("the binary starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
    }

    /// Exit code, standard output, standard error.
    fn check(&self, code: i32, out: &str, err: &str) {
        assert_eq!((self.out.as_str(), self.err.as_str(), self.code), (out, err, code));
    }
}

fn session(id: &str, fields: &Value) -> Value {
    let mut session = json!({
        "id": id, "provider": "demo", "cwd": "/h/me/p", "status": "RUNNING", "state": "idle",
        "reason": "ready for a prompt", "since": "2026-01-31T11:57:00Z",
        "createdAt": "2026-01-31T09:00:00Z", "updatedAt": "2026-01-31T11:59:58Z",
        "ptyRows": 30, "ptyCols": 120, "tmuxSession": format!("codepiper-{id}"),
        "runtimeDir": format!("/h/me/.codepiper/sessions/{id}"), "metadata": {}
    });
    for (name, value) in fields.as_object().expect("an object") {
        session[name] = value.clone();
    }
    session
}

#[test]
fn every_command_has_help_with_examples() {
    fn look(path: &str) -> usize {
        let ran = run(&format!("{path} --help"));
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "for `{path}`");
        assert!(ran.out.contains("\nExamples:\n  codepiper "), "`{path}`:\n{}", ran.out);
        let commands = ran.out.split("\nCommands:\n").nth(1).unwrap_or_default();
        let commands = commands.lines().take_while(|line| !line.is_empty());
        let names = commands
            .filter(|line| !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next());
        1 + names.filter(|name| *name != "help").map(|name| look(&format!("{path} {name}"))).sum::<usize>()
    }
    assert!(look("") > 25, "some commands were not found");
    assert!(run("--help").out.contains("\nExit codes:\n  0  done\n"));
}

#[test]
fn nothing_said_is_a_question_for_help() {
    let ran = run("");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("Usage: codepiper"), "{}", ran.out);
    run("--version").check(0, &format!("codepiper {}\n", env!("CARGO_PKG_VERSION")), "");
}

#[test]
fn what_makes_no_sense_is_refused_before_anybody_is_asked() {
    let check = |line: &str, expected: &str| {
        let ran = run(line);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "for `{line}`: {}", ran.err);
        assert!(ran.err.starts_with("error: ") && ran.err.contains(expected), "for `{line}`: {}", ran.err);
    };
    check("frob", "unrecognized subcommand 'frob'");
    check("sessions --frob", "unexpected argument '--frob'");
    check("start -p demo --env 1X=y", "`1X` is no name of a variable");
    check("start -p demo --env NOT_SET_HERE", "`env` names NOT_SET_HERE, which is not set here");
    check("start", "`provider` is missing");
    check("start", "claude-code, codex, demo");
    check("env-set create a B", "there is no terminal to ask for the value of B");
    check("env-set create a --stdin B C", "`stdin` is the value of one variable");
    check("env-set create a --stdin", "there is no variable in `standard input`");
    check("env-set set a", "there is nothing to set");
    check("env-set create a B-C", "`B-C` is no name of a variable");
    check("send a1", "there is nothing to send");
    check("send a1 hello --no-newline", "`--no-newline` stands after the text");
    check("logs a1 --since yesterday", "`since` means nothing as `yesterday`");
    check("rename a1", "<NAME|--clear>");
    check("resize a1 wide 3", "invalid value 'wide'");
    let names = codepiper_api::settings::SETTINGS.map(|setting| setting.name).join(", ");
    let names = format!("[possible values: {names}]");
    check("settings get frob", &names);
    check("settings set preserveSession true", &names);
    check("settings set preserveSession true", "a similar value exists: 'preserveSessions'");
}

#[test]
fn what_asks_for_the_dashboard_is_told_that_it_is_not_there_and_what_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |line: &str, options: &str| {
        let ran = Ran::of(codepiper().args(line.split(' ')).env("CODEPIPER_HOME", folder.path()));
        let err = format!(
            "error: the web dashboard is not in this release, so there is no {options}\n\
             hint: `codepiper daemon start --detach` starts the daemon without it; `codepiper sessions` shows \
             what runs, `codepiper attach ID` goes to a session, also over ssh\n"
        );
        ran.check(2, "", &err);
    };
    check("daemon --web", "`--web`");
    check("daemon --web --port 3456", "`--web` and no `--port`");
    check("daemon start --web --detach", "`--web`");
    check("daemon --port 3456 start", "`--port`");
    check("daemon --web stop", "`--web`");
    check("daemon --web --host 0.0.0.0", "`--web` and no `--host`");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "a daemon was begun");
    for line in ["daemon --help", "daemon start --help"] {
        let help = run(line).out;
        assert_eq!(help.matches("not in this release").count(), 2, "{help}");
    }
}

#[test]
fn completions_are_there_for_each_shell() {
    for (shell, sign) in
        [("bash", "complete -F"), ("zsh", "#compdef codepiper"), ("fish", "complete -c codepiper")]
    {
        let ran = run(&format!("completions {shell}"));
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        assert!(ran.out.contains(sign), "no `{sign}` for {shell}");
    }
}

#[test]
fn without_a_daemon_every_command_says_so_in_the_same_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("none");
    let error = format!(
        "error: no daemon is listening on `{}`\nhint: `codepiper daemon start --detach` starts one\n",
        socket.display()
    );
    for line in [
        "start -p demo",
        "sessions",
        "sessions show a1",
        "attach a1",
        "send a1 hello",
        "keys a1 enter",
        "slash a1 status",
        "tail a1",
        "tail a1 --follow",
        "logs a1",
        "logs a1 --follow",
        "transcript a1",
        "transcript a1 --follow",
        "search flaky test",
        "analytics",
        "analytics costs --by session --since 7d",
        "model a1",
        "stop a1 a2",
        "kill a1",
        "resume a1",
        "recover a1",
        "rm a1",
        "rename a1 b",
        "resize a1 80 24",
        "providers",
        "settings",
        "settings get preserveSessions",
        "settings set preserveSessions true",
        "env-set list",
        "env-set create a --stdin B",
        "env-set show a",
        "env-set unset a B",
        "env-set rename a b",
        "env-set delete a b",
        "env-set rotate-key",
        "workspace list",
        "workspace add a /",
        "workspace remove a b",
        "start --workspace a",
        "backup",
    ] {
        Ran::of(codepiper().arg("-s").arg(&socket).args(line.split(' '))).check(3, "", &error);
    }
    // One rule everywhere: the flag, wherever it stands, else the environment.
    Ran::of(codepiper().args(["sessions", "-s"]).arg(&socket).env("CODEPIPER_SOCKET", "/x"))
        .check(3, "", &error);
    Ran::of(codepiper().arg("sessions").env("CODEPIPER_SOCKET", &socket)).check(3, "", &error);
    // A file that nobody listens on is no daemon either.
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    Ran::of(codepiper().arg("sessions").env("CODEPIPER_SOCKET", &socket)).check(3, "", &error);
}

#[test]
fn the_fault_decides_the_exit_code() {
    let check = |code: &str, status: u16, exit: i32| {
        let body = json!({"error": "no \u{1b}[2Jway", "code": code, "hint": "go back"});
        let daemon = Prepared::start(vec![("GET /sessions/a%20b%2F..", Answer::json(status, &body))]);
        let ran = Ran::of(daemon.codepiper().args(["sessions", "show", "a b/.."]));
        ran.check(exit, "", "error: no way\nhint: go back\n");
    };
    check("usage", 400, 2);
    check("ambiguous", 400, 4);
    check("not-found", 404, 4);
    check("conflict", 409, 5);
    check("missing", 422, 6);
    check("agent", 502, 7);
    check("internal", 500, 1);
    let daemon = Prepared::start(vec![]);
    let ran = Ran::of(daemon.codepiper().args(["stop", "a1"]));
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(
        ran.err.starts_with("error: the daemon answered 404 to `POST /sessions/a1/stop`\n"),
        "{}",
        ran.err
    );
}

#[test]
fn a_session_is_started_with_what_was_typed() {
    let body = json!({"session": session("a1b2c3d4", &json!({"name": "api"}))});
    let daemon = Prepared::start(vec![("POST /sessions", Answer::json(201, &body))]);
    let line = "start -p demo -d /srv/x/ --name api --dangerous --env K=v -- --verbose";
    let ran = Ran::of(daemon.codepiper().args(line.split(' ')).env("PATH", "/my/bin"));
    assert_eq!((ran.code, ran.out.as_str()), (0, "✓ Session a1b2c3d4 (api) started (demo)\n"));
    assert!(ran.err.starts_with("warning: the agent asks for no permission"), "{}", ran.err);
    assert!(ran.err.contains("in ~/p\n") && ran.err.contains("codepiper attach a1b2c3d4"), "{}", ran.err);
    let expected = json!({
        "provider": "demo", "cwd": "/srv/x", "name": "api", "dangerousMode": true, "args": ["--verbose"],
        "env": {"K": "v"}, "shellEnv": {"PATH": "/my/bin"}
    });
    assert_eq!(daemon.asked()[0].json(), expected);

    let ran = Ran::of(daemon.codepiper().args(["start", "-p", "demo", "--json"]));
    assert_eq!(serde_json::from_str::<Value>(&ran.out).expect("JSON"), body["session"]);
}

#[test]
fn sessions_are_listed_for_people_and_for_programs() {
    let waiting = json!({"status": "NEEDS_INPUT", "state": "waiting", "reason": "needs input: which one?"});
    let sessions = json!([session("a1b2c3d4", &json!({"name": "api"})), session("b1b2c3d4", &waiting)]);
    let answer = || Answer::json(200, &json!({"sessions": sessions}));
    let daemon = Prepared::start(vec![
        ("GET /sessions", answer()),
        ("GET /sessions?provider=demo&status=live&dir=%2Fh%2Fme", answer()),
    ]);
    let ran = Ran::of(daemon.codepiper().arg("sessions"));
    let ids: Vec<&str> = ran.out.lines().map(|line| line.split("  ").next().unwrap_or_default()).collect();
    assert_eq!(ids, ["ID", "a1b2c3d4", "b1b2c3d4", "", "2 live, 0 ended"], "{}", ran.out);
    assert!(ran.out.contains("\n  └ needs input: which one?\n"), "{}", ran.out);
    for line in ["sessions --json", "ls -f json", "sessions --format json"] {
        let ran = Ran::of(daemon.codepiper().args(line.split(' ')));
        assert_eq!(serde_json::from_str::<Value>(&ran.out).expect("JSON"), sessions, "for `{line}`");
    }
    let line = "sessions -p demo --status live -d ~";
    assert_eq!(Ran::of(daemon.codepiper().args(line.split(' '))).code, 0);
}

#[test]
fn a_terminal_gets_colours_unless_told_otherwise_and_lines_that_fit() {
    let long = json!({"cwd": "/srv/a/very/long/path/that/fits/nowhere/at/all", "name": "日本語のセッション"});
    let body = json!({"sessions": [session("a1b2c3d4", &long)]});
    let daemon = Prepared::start(vec![("GET /sessions", Answer::json(200, &body))]);
    let check = |set: &[(&str, &str)], coloured: bool| {
        let mut command = daemon.codepiper();
        command.arg("sessions").env("TERM", "xterm").envs(set.iter().copied());
        let shown = Terminal::open(60, 24).run(&mut command);
        assert_eq!(shown.contains("\u{1b}["), coloured, "with {set:?}: {shown:?}");
        assert!(shown.contains("…") && shown.contains("a1b2c3d4"), "{shown:?}");
        if !coloured {
            let longest = shown.lines().map(|line| line.trim_end().chars().count()).max();
            assert!(longest <= Some(60), "{longest:?} characters: {shown}");
        }
    };
    check(&[], true);
    check(&[("NO_COLOR", "1")], false);
    check(&[("NO_COLOR", "")], true);
    check(&[("TERM", "dumb")], false);
    let piped = Ran::of(daemon.codepiper().arg("sessions").env("TERM", "xterm"));
    assert!(piped.out.contains("/srv/a/very/long/path/that/fits/nowhere/at/all"), "cut without a terminal");
    assert!(!piped.out.contains('\u{1b}'));
}

#[test]
fn text_is_sent_with_its_images() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("shot.txt");
    std::fs::write(&image, b"\x89PNG\r\n\x1a\n\xff\0").expect("written");
    let daemon = Prepared::start(vec![
        (
            "POST /sessions/a1/upload-image",
            Answer::json(200, &json!({"path": "/p/1.png", "filename": "1.png"})),
        ),
        (
            "POST /sessions/a1/send",
            Answer::json(200, &json!({"success": true, "acknowledgedBy": "hook", "event": 7})),
        ),
    ]);
    let ran =
        Ran::of(daemon.codepiper().args(["send", "a1", "--image"]).arg(&image).args(["what's", "-this?"]));
    ran.check(0, "✓ Sent to session a1 (acknowledged by hook)\n", "");
    let asked = daemon.asked();
    let form = String::from_utf8_lossy(&asked[0].body).into_owned();
    assert!(
        form.contains("name=\"image\"; filename=\"shot.png\"\r\ncontent-type: image/png\r\n\r\n"),
        "{form}"
    );
    assert!(asked[0].body.windows(10).any(|window| window == b"\x89PNG\r\n\x1a\n\xff\0"));
    assert_eq!(asked[1].json(), json!({"text": "what's -this?", "newline": true, "images": ["/p/1.png"]}));

    let piped = Terminal::pipe(daemon.codepiper().args(["send", "a1", "--no-newline", "-"]), b"one\ntwo\n");
    assert_eq!(piped.code, 0, "{}", piped.err);
    assert_eq!(daemon.asked()[2].json(), json!({"text": "one\ntwo", "newline": false}));

    std::fs::write(&image, "no image").expect("written");
    let ran = Ran::of(daemon.codepiper().args(["send", "a1", "--image"]).arg(&image).arg("look"));
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert_eq!(daemon.asked().len(), 3, "something was sent");
}

#[test]
fn what_fails_for_one_session_is_done_for_the_others() {
    let refusal = json!({"error": "no session `nope`", "code": "not-found"});
    let daemon = Prepared::start(vec![
        ("POST /sessions/a1/stop", Answer::json(200, &json!({"success": true}))),
        ("POST /sessions/nope/stop", Answer::json(404, &refusal)),
        ("POST /sessions/a2/stop", Answer::json(200, &json!({"success": true}))),
        ("DELETE /sessions/a1?force=true", Answer::json(200, &json!({"success": true}))),
    ]);
    let ran = Ran::of(daemon.codepiper().args(["stop", "a1", "nope", "a2"]));
    ran.check(4, "✓ Session a1 stopped\n✓ Session a2 stopped\n", "error: no session `nope`\n");
    let ran = Ran::of(daemon.codepiper().args(["rm", "--force", "a1"]));
    ran.check(0, "✓ Session a1 removed\n", "");
}

#[test]
fn removing_says_why_a_worktree_was_kept_and_how_to_remove_it() {
    let check = |worktree: Value, err: &str| {
        let mut body = json!({"success": true});
        if !worktree.is_null() {
            body["worktree"] = worktree;
        }
        let daemon = Prepared::start(vec![("DELETE /sessions/a1", Answer::json(200, &body))]);
        Ran::of(daemon.codepiper().args(["rm", "a1"])).check(0, "✓ Session a1 removed\n", err);
    };
    let worktree = |path: &str, more: Value| {
        let mut worktree = json!({
            "kept": false, "path": path, "repoRoot": "/my repo", "branch": "b", "branchDeleted": false
        });
        worktree.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        worktree
    };
    check(Value::Null, "");
    check(worktree("/w", json!({"branchDeleted": true})), "");
    check(
        worktree(
            "/my repo-worktrees/a1",
            json!({"kept": true, "reason": "1 file is not committed (`a.txt`)"}),
        ),
        "warning: the worktree of session a1 was kept: 1 file is not committed (`a.txt`); \
         `git -C '/my repo' worktree remove --force '/my repo-worktrees/a1'` removes it, \
         with all that is not committed in it\n",
    );
    check(
        worktree("/w", json!({"kept": true, "reason": "it is \u{1b}[2Jlocked"})),
        "warning: the worktree of session a1 was kept: it is locked; \
         `git -C '/my repo' worktree remove --force /w` removes it, with all that is not committed in it\n",
    );
}

#[test]
fn small_commands_ask_for_what_they_say() {
    let done = || Answer::json(200, &json!({"success": true}));
    let body = || Answer::json(200, &json!({"session": session("a1b2c3d4", &json!({"name": "new"}))}));
    let sent = json!({"success": true, "acknowledgedBy": "hook"});
    let model = json!({"model": "claude-opus-4-6", "provider": "claude-code", "supportsModelSwitch": true});
    let daemon = Prepared::start(vec![
        ("POST /sessions/a1/keys", done()),
        ("POST /sessions/a1/slash", Answer::json(200, &sent)),
        ("PUT /sessions/a1/model", Answer::json(200, &model)),
        ("GET /sessions/a1/model", Answer::json(200, &model)),
        ("PUT /sessions/a1/name", body()),
        ("POST /sessions/a1/resize", done()),
        ("POST /sessions/a1/resume", body()),
        ("POST /sessions/a1/recover", body()),
    ]);
    let check = |line: &str, out: &str, expected: Value| {
        Ran::of(daemon.codepiper().args(line.split(' '))).check(0, &format!("{out}\n"), "");
        let asked = daemon.asked();
        let last = asked.last().expect("a request");
        assert_eq!(if last.body.is_empty() { Value::Null } else { last.json() }, expected, "for `{line}`");
    };
    check(
        "keys a1 escape - ctrl+c",
        "✓ Keys sent to session a1: escape, -, ctrl+c",
        json!({"keys": ["escape", "-", "ctrl+c"]}),
    );
    check(
        "slash a1 /compact keep -v",
        "✓ /compact sent to session a1 (acknowledged by hook)",
        json!({"command": "compact", "args": ["keep", "-v"]}),
    );
    check("model a1", "claude-opus-4-6", Value::Null);
    check("model a1 opus", "✓ Session a1 now uses claude-opus-4-6", json!({"model": "opus"}));
    check("rename a1 new", "✓ Session a1b2c3d4 is now called new", json!({"name": "new"}));
    check("resize a1 100 40", "✓ Session a1 has 100 columns and 40 rows", json!({"cols": 100, "rows": 40}));
    check("resume a1", "✓ Session a1b2c3d4 (new) resumed: ready for a prompt", Value::Null);
    check("recover a1", "✓ Session a1b2c3d4 (new) recovered: ready for a prompt", Value::Null);
    let ran = Ran::of(daemon.codepiper().args(["rename", "a1", "--clear"]));
    assert_eq!((ran.code, daemon.asked().last().expect("a request").json()), (0, json!({"name": null})));
}

#[test]
fn settings_are_shown_one_or_all_and_changed() {
    let settings = json!({"endedSessionHours": 24, "preserveSessions": false, "resumeAfterReboot": true});
    let body = json!({ "settings": settings });
    let rule = json!({"error": "`endedSessionHours` must be a number", "code": "usage"});
    let daemon = Prepared::start(vec![
        ("GET /settings/daemon", Answer::json(200, &body)),
        ("PUT /settings/daemon", Answer::json(200, &body).once()),
        ("PUT /settings/daemon", Answer::json(200, &body).once()),
        ("PUT /settings/daemon", Answer::json(400, &rule)),
    ]);
    let run = |line: &str| Ran::of(daemon.codepiper().args(line.split(' ')));
    let table = run("settings");
    let names: Vec<&str> = table.out.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["NAME", "endedSessionHours", "preserveSessions", "resumeAfterReboot"]);
    assert_eq!((run("settings list").out, run("settings ls").out), (table.out.clone(), table.out));
    for line in ["settings --json", "settings list --format json", "settings --json list"] {
        assert_eq!(serde_json::from_str::<Value>(&run(line).out).expect("JSON"), settings, "for `{line}`");
    }
    run("settings get preserveSessions").check(0, "false\n", "");
    run("settings get endedSessionHours --json").check(0, "24\n", "");
    run("settings set preserveSessions false").check(0, "✓ preserveSessions is now false\n", "");
    assert_eq!(daemon.asked().last().expect("a request").json(), json!({"preserveSessions": false}));
    let changed = run("settings set endedSessionHours 24 --json");
    assert_eq!(serde_json::from_str::<Value>(&changed.out).expect("JSON"), settings);
    run("settings set endedSessionHours soon").check(2, "", "error: `endedSessionHours` must be a number\n");
    assert_eq!(daemon.asked().last().expect("a request").json(), json!({"endedSessionHours": "soon"}));
}

#[test]
fn output_is_printed_recorded_and_followed_to_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let stopped = session("a1b2c3d4", &json!({"status": "STOPPED", "state": "stopped"}));
    let running = || Answer::json(200, &json!({"session": session("a1b2c3d4", &json!({}))}));
    let daemon = Prepared::start(vec![
        ("GET /sessions/a1/output/text?lines=5", Answer::text("one\ntwo\n")),
        ("GET /sessions/a1/output/stream?from=0", Answer::text("\u{1b}[1mold\nraw").at(100)),
        ("GET /sessions/a1b2c3d4/output/stream?end=true", Answer::text("").at(108)),
        // Cut off in the middle: the daemon restarts, and the rest is asked for from there.
        ("GET /sessions/a1b2c3d4/output/stream?from=0&follow=true", Answer::text("old\nfirst").at(100).cut()),
        ("GET /sessions/a1b2c3d4/output/stream?from=109&follow=true", Answer::text(" second\n").at(109)),
        ("GET /sessions/a1", running()),
        ("GET /sessions/a1b2c3d4", running().once()),
        ("GET /sessions/a1b2c3d4", Answer::json(200, &json!({"session": stopped}))),
        ("GET /sessions/a1/recording", Answer::text("{\"version\": 2}\n")),
    ]);
    Ran::of(daemon.codepiper().args(["tail", "a1", "-n", "5"])).check(0, "one\ntwo\n", "");
    Ran::of(daemon.codepiper().args(["tail", "a1", "--raw"])).check(0, "\u{1b}[1mold\nraw", "");
    Ran::of(daemon.codepiper().args(["tail", "a1", "--raw", "-n1"])).check(0, "raw", "");
    Ran::of(daemon.codepiper().args(["tail", "a1", "-f", "-n1"])).check(0, "first second\n", "");

    let cast = folder.path().join("a.cast");
    let record = || Ran::of(daemon.codepiper().args(["tail", "a1", "--cast"]).arg(&cast));
    assert_eq!(record().code, 0);
    assert_eq!(std::fs::read_to_string(&cast).expect("written"), "{\"version\": 2}\n");
    assert_eq!(mode(&cast), 0o600);
    assert_eq!(record().code, 5, "a file was overwritten");
    let ran = Ran::of(daemon.codepiper().args(["tail", "a1", "--cast", "-"]));
    ran.check(0, "{\"version\": 2}\n", "");
}

#[test]
fn a_terminal_is_as_before_after_following() {
    let stopped = session("a1b2c3d4", &json!({"status": "STOPPED", "state": "stopped"}));
    let daemon = Prepared::start(vec![
        ("GET /sessions/a1b2c3d4/output/stream?end=true", Answer::text("").at(0)),
        (
            "GET /sessions/a1b2c3d4/output/stream?from=0&follow=true",
            Answer::text("\u{1b}[?1049h\u{1b}[?25lhi").at(0),
        ),
        ("GET /sessions/a1", Answer::json(200, &json!({"session": stopped}))),
        ("GET /sessions/a1b2c3d4", Answer::json(200, &json!({"session": stopped}))),
    ]);
    let terminal = Terminal::open(80, 24);
    let before = terminal.modes();
    let shown = terminal.run(daemon.codepiper().args(["tail", "a1", "-f"]));
    assert!(shown.contains("hi\u{1b}[0m\u{1b}[?25h") && shown.contains("\u{1b}[?1049l"), "{shown:?}");
    assert!(shown.starts_with("\u{1b}[?1049h\u{1b}[?25lhi"), "{shown:?}");
    assert_eq!(terminal.modes(), before);
}

fn event(id: u64, kind: &str, payload: &Value) -> Value {
    json!({"id": id, "sessionId": "a1b2c3d4", "timestamp": "2026-01-31T09:05:00Z", "source": "hook",
           "type": kind, "payload": payload})
}

#[test]
fn events_are_the_last_ones_in_their_order_and_go_on() {
    let prompt = event(7, "UserPromptSubmit", &json!({"prompt": "fix it"}));
    let tool = event(8, "PreToolUse", &json!({"tool_name": "Bash", "tool_input": {"command": "ls"}}));
    let stop = event(9, "Stop", &json!({"last_assistant_message": "done"}));
    let page = |events: &[&Value], more: bool| Answer::json(200, &json!({"events": events, "hasMore": more}));
    let pushed = format!(": open\n\nid: 8\ndata: {tool}\n\nid: 9\ndata: {stop}\n\n");
    let again = json!({"error": "no session", "code": "not-found"});
    let daemon = Prepared::start(vec![
        ("GET /sessions/a1/events?order=desc&limit=2", page(&[&tool], true)),
        ("GET /sessions/a1/events?order=desc&limit=1&before=8", page(&[&prompt], true)),
        ("GET /sessions/a1/events?order=desc&limit=100&source=hook&type=Stop", page(&[&stop], false)),
        ("GET /sessions/a1/events?order=desc&limit=1000&since=7", page(&[&stop, &tool], false)),
        ("GET /sessions/a1/events?order=desc&limit=100", page(&[&stop, &tool, &prompt], false)),
        ("GET /sessions/a1", Answer::json(200, &json!({"session": session("a1b2c3d4", &json!({}))}))),
        ("GET /sessions/a1/events?order=desc&limit=1", page(&[&tool], true)),
        ("GET /sessions/a1/events?order=desc&limit=100&before=9", page(&[&tool, &prompt], false)),
        ("GET /events/stream?session=a1b2c3d4&after=8", Answer::text(&pushed)),
        ("GET /events/stream?session=a1b2c3d4&after=9", Answer::json(404, &again)),
    ]);
    let check = |line: &str, kinds: &[&str]| {
        let ran = Ran::of(daemon.codepiper().args(line.split(' ')));
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "for `{line}`");
        let got: Vec<&str> = ran.out.lines().filter_map(|line| line.split_whitespace().nth(3)).collect();
        assert_eq!(got, kinds, "for `{line}`:\n{}", ran.out);
    };
    check("logs a1 -n 2", &["UserPromptSubmit", "PreToolUse"]);
    check("logs a1 --source hook --type Stop", &["Stop"]);
    check("logs a1 --since 7", &["PreToolUse", "Stop"]);
    let ran = Ran::of(daemon.codepiper().args(["logs", "a1", "--json"]));
    assert_eq!(serde_json::from_str::<Value>(&ran.out).expect("JSON"), json!([prompt, tool, stop]));
    let ran = Ran::of(daemon.codepiper().args(["logs", "a1", "--format", "text"]));
    let said: Vec<&str> = ran.out.lines().filter(|line| !line.starts_with("──")).collect();
    assert_eq!(said, ["fix it", "done"]);
    // What was pushed and known already is not told twice; the end of the stream is no end.
    let ran = Ran::of(daemon.codepiper().args(["logs", "a1", "-f", "--json"]));
    let ids: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["id"].clone())
        .collect();
    assert_eq!((ran.code, ids), (4, vec![json!(7), json!(8), json!(9)]), "{}", ran.err);
}

#[test]
fn attaching_becomes_a_tmux_client() {
    let folder = tempfile::tempdir().expect("a folder");
    let tmux = folder.path().join("tmux");
    // In the place of tmux: says what it was asked, and which server is meant.
    std::fs::write(&tmux, "#!/bin/sh\necho \"$@ in ${TMUX:-none}\"\n").expect("written");
    set_mode(&tmux, 0o700);
    let answer = json!({"program": tmux, "arguments": ["-S", "/x"], "session": "codepiper-a1b2c3d4", "pane": "%3",
        "serverPid": 42, "live": true});
    let daemon = Prepared::start(vec![("GET /sessions/api/attach", Answer::json(200, &answer))]);
    let check = |options: &str, tmux: &str, expected: &str| {
        let mut command = daemon.codepiper();
        command.args(["attach", "api"]).args(options.split_whitespace()).env("TMUX", tmux);
        let shown = Terminal::open(80, 24).run(&mut command);
        assert_eq!(shown.lines().last().unwrap_or_default().trim_end(), expected);
    };
    check("", "", "-S /x attach-session -t =codepiper-a1b2c3d4 in none");
    check("--follow", "", "-S /x attach-session -r -t =codepiper-a1b2c3d4 in none");
    check("", "/s,42,0", "-S /x switch-client -t =codepiper-a1b2c3d4 in /s,42,0");
    check("", "/s,41,0", "-S /x attach-session -t =codepiper-a1b2c3d4 in none");
    let ran = Ran::of(daemon.codepiper().args(["attach", "api"]));
    assert_eq!(ran.code, 2);
    assert!(ran.err.starts_with("error: attach needs a terminal\n"), "{}", ran.err);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let many: Vec<Value> = (0..5_000).map(|n| session(&format!("{n:08x}"), &json!({}))).collect();
    let daemon = Prepared::start(vec![("GET /sessions", Answer::json(200, &json!({"sessions": many})))]);
    let mut child = daemon
        .codepiper()
        .args(["sessions", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ended");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changed");
}
