//! Facts of a healthy machine, each test with one of them changed.

use super::*;
use codepiper_api::Fault;
use codepiper_api::doctor::{Finding, Level};
use serde_json::json;

const ME: u32 = 1000;

fn seen(path: &str, kind: Kind, mode: u32) -> Seen {
    Seen { path: path.into(), what: Ok(Some(What { kind, owner: ME, mode, bytes: 4096 })) }
}

fn agent(id: &str, program: Option<&str>, version: Option<&str>) -> ProviderView {
    let view = json!({
        "id": id, "label": id, "runtime": "tmux", "capabilities": {}, "program": program, "version": version,
        "install": format!("npm install -g {id}"),
        "launchHints": {
            "dangerousModeFlags": [], "resumeCommands": { "resume": [], "fork": [], "idPlaceholder": "" }
        },
    });
    serde_json::from_value(view).unwrap()
}

fn id(text: &str) -> SessionId {
    SessionId::parse(text).unwrap()
}

/// A machine with everything, and a running daemon.
fn healthy() -> Facts {
    let all = vec![
        agent("claude-code", Some("/bin/claude"), Some("2.1.197")),
        agent("demo", Some("/bin/codepiper"), Some("0.3.0")),
    ];
    let health = json!({
        "status": "ok", "zombieSessionCount": 0, "version": env!("CARGO_PKG_VERSION"), "pid": 42,
        "uptimeSeconds": 60, "liveSessions": 2, "tmuxLink": "control", "socket": "/t/s",
        "database": "/h/.codepiper/codepiper.db", "log": "/h/.codepiper/logs/daemon.log",
    });
    Facts {
        codepiper: "codepiper".into(),
        user: ME,
        os: "linux",
        arch: "x86_64",
        packages: Some(Packages::Apt),
        disk_free: Ok(75 << 30),
        watching: Ok(()),
        watch_limits: Some(WatchLimits { watches: 65_536, instances: 128 }),
        tmux: Some(TmuxFacts {
            path: "/bin/tmux".into(),
            version: Ok(Version { major: 3, minor: 4 }),
            trial: Ok(Link::Control),
            sessions: Ok(vec!["codepiper-a1b2c3d4".into(), "mine".into()]),
        }),
        git: Some(Program { path: "/bin/git".into(), version: Some("2.47.3".into()) }),
        agents: Ok(Agents { all: all.clone(), built_in: vec!["demo".into()], ..Agents::default() }),
        files: Files {
            home: seen("/h/.codepiper", Kind::Folder, 0o700),
            database: seen("/h/.codepiper/codepiper.db", Kind::File, 0o600),
            beside_database: vec![seen("/h/.codepiper/codepiper.db-wal", Kind::File, 0o600)],
            content: Content::Whole {
                schema: 1,
                sessions: HashSet::from([id("a1b2c3d4")]),
                env_sets: 0,
                keyless: Vec::new(),
            },
            socket: seen("/t/s", Kind::Socket, 0o600),
            socket_folder: seen("/t", Kind::Folder, 0o1777),
            socket_listened: Ok(true),
            lock: Lock::Free,
            log: seen("/h/.codepiper/logs/daemon.log", Kind::File, 0o600),
            session_folders: Some(vec![id("a1b2c3d4")]),
            sessions_folder: "/h/.codepiper/sessions".into(),
        },
        prices: Ok(()),
        handlers: Ok(()),
        answers: Answers { health: Ok(serde_json::from_value(health).unwrap()), providers: Ok(all) },
    }
}

/// No daemon and nothing it ever made.
fn fresh(facts: &mut Facts) {
    let files = &mut facts.files;
    for seen in [&mut files.home, &mut files.database, &mut files.socket, &mut files.log] {
        seen.what = Ok(None);
    }
    files.beside_database.clear();
    files.content = Content::Nothing;
    files.socket_listened = Ok(false);
    files.session_folders = None;
    no_daemon(facts);
}

fn no_daemon(facts: &mut Facts) {
    let refusal = Refusal::new(Fault::Unreachable, "no daemon is listening on `/t/s`");
    facts.answers = Answers { health: Err(refusal.clone()), providers: Err(refusal) };
    facts.files.socket_listened = Ok(false);
}

/// What is told beyond `ok`, one a line: `name level: what was found → fix`.
fn told(change: impl FnOnce(&mut Facts)) -> (String, Report) {
    let mut facts = healthy();
    change(&mut facts);
    let report = judge(&facts);
    let line = |finding: &Finding| {
        let level = json!(finding.level).as_str().unwrap_or_default().to_owned();
        let fix = finding.fix.as_ref().map(|fix| format!(" → {fix}")).unwrap_or_default();
        format!("{} {level}: {}{fix}", finding.name, finding.found)
    };
    let lines = report.findings.iter().filter(|finding| finding.level != Level::Ok).map(line);
    (lines.collect::<Vec<_>>().join("\n"), report)
}

fn check(change: impl FnOnce(&mut Facts), expected: &str) {
    assert_eq!(told(change).0, expected.trim());
}

#[test]
fn a_healthy_machine_has_nothing_to_tell() {
    let (told, report) = told(|_| {});
    assert_eq!((told.as_str(), report.ok, report.fault()), ("", true, None));
    let names: Vec<&str> = report.findings.iter().map(|finding| finding.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "platform",
            "disk",
            "file watches",
            "tmux",
            "control mode",
            "server",
            "daemon link",
            "git",
            "claude-code",
            "demo",
            "home",
            "database",
            "socket",
            "log",
            "daemon",
            "version",
            "PATH",
        ]
    );
}

#[test]
fn before_the_first_start_nothing_is_wrong() {
    check(
        fresh,
        "daemon note: not running; 1 session goes on and waits for it in tmux → codepiper daemon start --detach",
    );
}

#[test]
fn the_machine_itself() {
    check(
        |facts| facts.arch = "riscv64",
        "platform warning: Linux riscv64 is not one CodePiper is tested on: Linux and macOS are, on x86_64 and arm64",
    );
    check(|facts| (facts.os, facts.arch) = ("macos", "aarch64"), "");
    let look = "du -sh /h/.codepiper/*";
    check(
        |facts| facts.disk_free = Ok((1 << 30) - 1),
        &format!("disk warning: 1023 MiB free for /h/.codepiper → {look}"),
    );
    check(
        |facts| facts.disk_free = Ok((100 << 20) - 1),
        &format!("disk error: 99 MiB free for /h/.codepiper → {look}"),
    );
    check(
        |facts| facts.watch_limits = Some(WatchLimits { watches: 500, instances: 128 }),
        "file watches warning: 500 watches are few for 50 sessions and your editor → sudo sysctl fs.inotify.max_user_watches=65536",
    );
    check(
        |facts| facts.watch_limits = Some(WatchLimits { watches: 8192, instances: 16 }),
        "file watches warning: 16 watchers are few for 50 agents that watch files themselves → sudo sysctl fs.inotify.max_user_instances=512",
    );
    check(
        |facts| facts.watching = Err("too many open files".into()),
        "file watches error: folders cannot be watched: too many open files → sudo sysctl fs.inotify.max_user_instances=512",
    );
}

#[test]
fn without_a_tmux_that_will_do_the_way_to_one_is_told_and_something_is_missing() {
    let (told, report) = told(|facts| facts.tmux = None);
    assert_eq!(told, "tmux error: not installed: every session lives in tmux → sudo apt-get install tmux");
    assert_eq!(report.fault(), Some(Fault::Missing));
    let version = |major, minor| {
        move |facts: &mut Facts| facts.tmux.as_mut().unwrap().version = Ok(Version { major, minor })
    };
    check(
        version(2, 9),
        "tmux error: 2.9 is too old, 3.2 or later is needed (/bin/tmux) → sudo apt-get install tmux",
    );
    check(
        version(3, 1),
        "tmux warning: 3.1 works, but takes a process for every command; 3.2 does not (/bin/tmux) → sudo apt-get install tmux",
    );
    check(version(3, 2), "");
    let installs = |packages, os, user| {
        let change = |facts: &mut Facts| {
            (facts.tmux, facts.packages, facts.os, facts.user) = (None, packages, os, user);
        };
        let mut facts = healthy();
        change(&mut facts);
        machine::tmux(&facts).remove(0).fix.unwrap()
    };
    assert_eq!(installs(Some(Packages::Apk), "linux", 0), "apk add tmux");
    assert_eq!(installs(Some(Packages::Brew), "macos", ME), "brew install tmux");
    assert_eq!(
        installs(None, "linux", ME),
        "install `tmux` with the system's package manager, or put it on the PATH"
    );
}

#[test]
fn a_tmux_that_does_not_work_is_told_apart_from_one_that_is_slow() {
    let tmux = |change: fn(&mut TmuxFacts)| move |facts: &mut Facts| change(facts.tmux.as_mut().unwrap());
    check(
        tmux(|tmux| tmux.trial = Ok(Link::ProcessesAfterFailure)),
        "control mode warning: a private server takes no control client: commands need a process each, and changes are seen late → tmux -L doctor -f /dev/null -C new-session",
    );
    check(
        tmux(|tmux| tmux.trial = Err("no answer within 12 s".into())),
        "control mode error: a private server could not carry a session: no answer within 12 s → tmux -L doctor -f /dev/null new-session",
    );
    check(
        tmux(|tmux| tmux.sessions = Err("server exited".into())),
        "server error: does not answer: server exited → was tmux upgraded while its server ran? `tmux kill-server` ends it, with everything in it",
    );
    let link = |link: &'static str, live| {
        move |facts: &mut Facts| {
            let health = facts.answers.health.as_mut().unwrap();
            (health.tmux_link, health.live_sessions) = (link.into(), live);
        }
    };
    check(link("processes", 0), "");
    check(
        link("processes, because tmux refused a control client", 3),
        "daemon link warning: a process for every command (processes, because tmux refused a control client) → codepiper daemon logs",
    );
}

#[test]
fn git_is_for_worktrees() {
    let git = |version: Option<&'static str>| {
        move |facts: &mut Facts| {
            facts.git.as_mut().unwrap().version = version.map(str::to_owned);
        }
    };
    check(git(Some("2.31.0")), "");
    check(
        git(Some("2.30.9")),
        "git warning: 2.30.9 is old: worktrees (`start --worktree`) need 2.31 or later (/bin/git) → sudo apt-get install git",
    );
    check(git(None), "git warning: /bin/git does not say its version within 10 s → /bin/git --version");
    check(
        |facts| facts.git = None,
        "git warning: not installed: worktrees (`start --worktree`) need 2.31 or later → sudo apt-get install git",
    );
}

#[test]
fn agents_that_are_missing_are_notes_and_none_at_all_is_a_warning() {
    let agents = |change: fn(&mut Agents)| {
        move |facts: &mut Facts| {
            change(facts.agents.as_mut().unwrap());
            facts.answers.providers = Ok(facts.agents.as_ref().unwrap().all.clone());
        }
    };
    check(
        agents(|agents| agents.all.push(agent("aider", None, None))),
        "aider note: not installed → npm install -g aider",
    );
    check(
        agents(|agents| agents.all.push(agent("aider", Some("/a b/aider"), None))),
        "aider warning: /a b/aider does not say its version → '/a b/aider' --version",
    );
    check(
        agents(|agents| agents.all[0].program = None),
        "
agents warning: none is installed; only the demo agent can be started → npm install -g claude-code
claude-code note: not installed → npm install -g claude-code",
    );
    check(
        agents(|agents| {
            agents.bad.push((
                "/h/.codepiper/providers/b.toml".into(),
                "TOML parse error at line 2\n  |\n2 | what=1\n  | ^^^^\nno `program`\n".into(),
            ))
        }),
        "b.toml error: this definition cannot be used: TOML parse error at line 2: no `program` → ${EDITOR:-vi} /h/.codepiper/providers/b.toml",
    );
}

#[test]
fn env_sets_need_their_key() {
    let sets = |of: Vec<Keyless>| {
        move |facts: &mut Facts| {
            let Content::Whole { env_sets, keyless, .. } = &mut facts.files.content else {
                panic!("a database")
            };
            (*env_sets, *keyless) = (2, of);
        }
    };
    check(sets(Vec::new()), "");
    let lost = Keyless {
        name: "b".into(),
        why: "the key file `/k` is not there".into(),
        way_out: "put your copy back".into(),
    };
    check(
        sets(vec![lost]),
        "env sets error: b cannot be read: the key file `/k` is not there → put your copy back",
    );
}

#[test]
fn what_only_its_owner_may_see_is_guarded() {
    let mode = |mode: u32| Ok(Some(What { kind: Kind::Folder, owner: ME, mode, bytes: 0 }));
    check(
        |facts| facts.files.home.what = mode(0o755),
        "home error: /h/.codepiper can be used by others (mode 0755) → chmod 700 /h/.codepiper",
    );
    check(
        |facts| facts.files.home.what = mode(0o710),
        "home error: /h/.codepiper can be used by others (mode 0710) → chmod 700 /h/.codepiper",
    );
    check(|facts| facts.files.home.what = mode(0o2700), "");
    check(
        |facts| facts.files.home.what = Ok(Some(What { owner: 7, ..what(Kind::Folder) })),
        "home error: /h/.codepiper belongs to another user (uid 7) → sudo chown -R \"$(id -u)\" /h/.codepiper",
    );
    check(
        |facts| facts.files.home.what = Ok(Some(what(Kind::File))),
        "home error: /h/.codepiper is no folder → mv /h/.codepiper /h/.codepiper.old",
    );
    check(
        |facts| facts.files.beside_database[0].what = Ok(Some(What { mode: 0o644, ..what(Kind::File) })),
        "database error: /h/.codepiper/codepiper.db-wal can be used by others (mode 0644) → chmod 600 /h/.codepiper/codepiper.db-wal",
    );
}

fn what(kind: Kind) -> What {
    What { kind, owner: ME, mode: 0o600, bytes: 0 }
}

#[test]
fn a_database_is_whole_or_the_way_back_is_told() {
    let content = |content| move |facts: &mut Facts| facts.files.content = content;
    check(
        content(Content::Damaged("file is not a database".into())),
        "database error: /h/.codepiper/codepiper.db is damaged: file is not a database → codepiper daemon stop; codepiper restore FILE, with the FILE of a `codepiper backup`",
    );
    check(
        content(Content::TooNew { schema: 9 }),
        &format!(
            "database error: /h/.codepiper/codepiper.db was written by a newer codepiper: it has schema 9, this one knows up to {} → install the newer codepiper again, or export CODEPIPER_DB_PATH=/another/file",
            codepiper_store::SCHEMA_VERSION
        ),
    );
    // A large one that takes longer than we look is not called bad.
    check(
        content(Content::Unknown("no answer within 12 s".into())),
        "database warning: /h/.codepiper/codepiper.db could not be checked: no answer within 12 s",
    );
    check(content(Content::Nothing), "");
}

#[test]
fn folders_of_unknown_sessions_are_named() {
    let folders = |number: u32| {
        move |facts: &mut Facts| {
            facts.files.session_folders = Some((0..number).map(SessionId::from_bits).collect());
        }
    };
    check(
        folders(2),
        "session folders note: 2 folders of sessions that are in no database, below /h/.codepiper/sessions → rm -r /h/.codepiper/sessions/00000000 /h/.codepiper/sessions/00000001",
    );
    assert!(told(folders(6)).0.ends_with("/00000004, and so on"));
    // Where the database is not known, no folder is called unknown.
    let (told, _) = told(|facts| {
        folders(2)(facts);
        facts.files.content = Content::Nothing;
    });
    assert_eq!(told, "");
}

#[test]
fn the_socket_is_ours_a_leftover_or_somebody_elses() {
    let start = "daemon note: not running; 1 session goes on and waits for it in tmux → codepiper daemon start --detach";
    let socket = |kind, owner, listened: bool| {
        move |facts: &mut Facts| {
            no_daemon(facts);
            facts.files.socket.what = Ok(Some(What { owner, ..what(kind) }));
            facts.files.socket_listened = Ok(listened);
        }
    };
    check(
        |facts| {
            fresh(facts);
            facts.files.socket_folder.what = Ok(None);
        },
        &format!("socket error: /t/s has no folder to be in → mkdir -p -m 700 /t\n{start}"),
    );
    let elsewhere = "export CODEPIPER_SOCKET=/h/.codepiper/codepiper.sock";
    check(
        socket(Kind::Socket, ME, false),
        &format!(
            "socket warning: /t/s was left behind by a daemon that died; the next one takes it away → codepiper daemon start --detach\n{start}"
        ),
    );
    check(
        socket(Kind::File, ME, false),
        &format!("socket error: /t/s is there and is no socket → mv /t/s /t/s.old\n{start}"),
    );
    check(
        socket(Kind::Socket, 7, true),
        &format!("socket error: /t/s belongs to another user (uid 7) → {elsewhere}\n{start}"),
    );
    check(
        socket(Kind::Socket, ME, true),
        &format!(
            "socket error: something listens on /t/s, but not as a daemon: no daemon is listening on `/t/s` → {elsewhere}\n{start}"
        ),
    );
}

#[test]
fn a_daemon_that_is_not_the_one_this_shell_means_is_told() {
    let health =
        |change: fn(&mut Health)| move |facts: &mut Facts| change(facts.answers.health.as_mut().unwrap());
    let ours = env!("CARGO_PKG_VERSION");
    check(
        health(|health| health.version = "0.0.9".into()),
        &format!(
            "version warning: the daemon is 0.0.9, this command is {ours}; sessions go on → codepiper daemon restart"
        ),
    );
    check(
        health(|health| health.database = "/x.db".into()),
        "database note: the daemon uses /x.db, this shell would use /h/.codepiper/codepiper.db: their environments differ",
    );
    check(
        health(|health| health.zombie_session_count = 1),
        "strays note: 1 tmux session is named as ours, and not in the daemon's list: they may be another daemon's, and are left alone",
    );
    let held = |socket: &'static str| {
        move |facts: &mut Facts| {
            fresh(facts);
            facts.files.lock = Lock::Held { pid: 7, socket: socket.into() };
        }
    };
    check(
        held("/other/s"),
        "daemon warning: a daemon (pid 7) has this database, but listens on /other/s, not on /t/s → codepiper --socket /other/s daemon status",
    );
    check(
        held("/t/s"),
        "daemon error: a daemon (pid 7) has the database and does not answer; sessions go on without it → kill 7; codepiper daemon start --detach",
    );
}

#[test]
fn agents_that_only_one_of_shell_and_daemon_finds_are_named() {
    check(
        |facts| facts.answers.providers.as_mut().unwrap()[0].program = None,
        "PATH note: the daemon does not find claude-code on its own PATH; `codepiper start` passes it that of the shell → codepiper daemon restart",
    );
    check(
        |facts| {
            let agents = facts.agents.as_mut().unwrap();
            agents.all.push(agent("aider", Some("/bin/aider"), Some("1.0")));
            facts.answers.providers = Ok(agents.all.clone());
            agents.all[2].program = None;
        },
        "
aider note: not installed → npm install -g aider
PATH note: this shell does not find aider, which the daemon does: `codepiper start` cannot start it from here",
    );
    check(
        |facts| facts.agents.as_mut().unwrap().credentials = vec!["ANTHROPIC_API_KEY".into()],
        "credentials note: ANTHROPIC_API_KEY is set: a session gets it only with `codepiper start --billing api`",
    );
}

#[test]
fn sizes_are_said_as_people_say_them() {
    let check = |bytes: u64, expected: &str| assert_eq!(size(bytes), expected);
    check(149, "149 bytes");
    check(4096, "4 KiB");
    check((1 << 30) - 1, "1023 MiB");
    check(3 << 29, "1.5 GiB");
    check(75 << 30, "75 GiB");
}

#[test]
fn what_agents_wrote_and_we_did_not_understand_is_told() {
    let read = |change: fn(&mut codepiper_api::service::Transcripts)| {
        move |facts: &mut Facts| {
            let health = facts.answers.health.as_mut().unwrap();
            (health.transcripts.files, health.transcripts.lines) = (3, 100);
            change(&mut health.transcripts);
        }
    };
    check(read(|_| {}), "");
    check(
        read(|read| {
            read.broken = 2;
            read.unknown.insert("new-kind".into(), 7);
            read.read_again = 1;
        }),
        "transcripts note: of 3 read: 2 of 100 lines are no records; kinds of records this version does not know: \
         new-kind (7); 1 file changed other than by growing, and read again",
    );
    check(
        read(|read| read.unreadable = 2),
        "transcripts warning: of 3 read: 2 files cannot be read; the log says why",
    );
    check(
        |facts| facts.handlers = Err("/h/handlers.toml: handler `x`: needs either `run` or `post`".into()),
        "handlers warning: /h/handlers.toml: handler `x`: needs either `run` or `post`; the handlers of before hold, \
         after a restart of the daemon none: mend the file",
    );
    check(
        |facts| facts.prices = Err("/h/prices.toml: entry 1: no `models`".into()),
        "prices warning: /h/prices.toml: entry 1: no `models`; the prices of before hold: mend the file, then \
         `codepiper analytics reprice` takes it",
    );
}
