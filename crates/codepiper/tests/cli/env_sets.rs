//! `env-set` and `workspace`: what they ask of the daemon, what they print, and what they never print.

use super::{Answer, Prepared, Ran, Terminal, codepiper};
use serde_json::{Value, json};

fn set(name: &str, masked: &Value) -> Value {
    json!({
        "id": "0a1b2c3d", "name": name, "maskedVars": masked, "varCount": masked.as_object().map_or(0, |all| all.len()),
        "createdAt": "2026-01-31T09:00:00Z", "updatedAt": "2026-01-31T09:00:00Z",
    })
}

const WARNING: &str = "warning: a value stood on the command line, where your other programs can see it and the shell \
                       may keep it in its history; a name alone is asked for, --stdin and --from-file read\n";

#[test]
fn values_come_from_everywhere_and_are_printed_nowhere() {
    let answer = json!({ "envSet": set("keys", &json!({ "A": "****" })) });
    let daemon = Prepared::start(vec![
        ("POST /env-sets", Answer::json(201, &answer)),
        ("PUT /env-sets/keys", Answer::json(200, &answer)),
    ]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("my.env");
    std::fs::write(&file, "# a comment\nexport A='from $file'\nB=\"two\\nlines\"\n").expect("written");
    let check = |line: &str, input: &str, body: Value, err: &str| {
        let line = line.replace("FILE", &file.display().to_string());
        let mut command = daemon.codepiper();
        let ran = Terminal::pipe(command.args(line.split(' ')), input.as_bytes());
        let what = if line.contains(" set ") { "changed" } else { "made" };
        ran.check(0, &format!("✓ Env set keys {what}: 1 variable\n"), err);
        assert_eq!(daemon.asked().last().map(|asked| asked.json()), Some(body), "for `{line}`");
    };
    let made = |vars: Value| json!({ "name": "keys", "vars": vars });
    check("env-set create keys", "", made(json!({})), "");
    check("env-set create keys --stdin A", "from stdin\n", made(json!({ "A": "from stdin" })), "");
    check("env-set create keys A --stdin", "two\nlines\n\n", made(json!({ "A": "two\nlines\n" })), "");
    check("env-set create keys --stdin", "A=1\nB=2\n", made(json!({ "A": "1", "B": "2" })), "");
    check("env-set create keys --from-file -", "A=1\n", made(json!({ "A": "1" })), "");
    check(
        "env-set create keys --from-file FILE",
        "",
        made(json!({ "A": "from $file", "B": "two\nlines" })),
        "",
    );
    check(
        "env-set create keys A=typed --description x",
        "",
        json!({ "name": "keys", "description": "x", "vars": { "A": "typed" } }),
        WARNING,
    );
    check("env-set set keys A=", "", json!({ "set": { "A": "" } }), WARNING);
    check("env-set set keys --description x", "", json!({ "description": "x" }), "");
    let dollar = "warning: a `$` in `A` was taken as the beginning of a variable's name; in 'single quotes' it stays a \
                  `$`\n";
    check("env-set set keys --stdin", "A=pa$word\nB=x", json!({ "set": { "A": "pa", "B": "x" } }), dollar);

    // What cannot be read is told by its line and not by what is in it.
    let refused = |input: &str, expected: &str| {
        let mut command = daemon.codepiper();
        let ran = Terminal::pipe(command.args(["env-set", "create", "keys", "--stdin"]), input.as_bytes());
        assert_eq!((ran.code, ran.out.as_str()), (2, ""));
        assert!(ran.err.contains(expected) && !ran.err.contains("secret"), "{}", ran.err);
    };
    refused("A=1\nsecret value\n", "`standard input` line 2 is not in the form of .env");
    refused("A='secret", "`standard input` line 1 is not in the form of .env");
    let ran = Ran::of(codepiper().args(["env-set", "create", "keys", "--from-file", "/none"]));
    assert_eq!(ran.code, 6);
}

#[test]
fn sets_are_shown_masked_and_one_that_cannot_be_read_says_why() {
    let good = set("keys", &json!({ "A": "****", "LONG": "****zy" }));
    let mut bad = set("lost", &json!({}));
    bad["unreadable"] = json!("the key file `/k` is not there");
    bad["varCount"] = json!(3);
    bad["description"] = json!("of the build");
    let daemon = Prepared::start(vec![
        ("GET /env-sets", Answer::json(200, &json!({ "envSets": [good, bad] }))),
        ("GET /env-sets/keys", Answer::json(200, &json!({ "envSet": good }))),
        ("GET /env-sets/lost", Answer::json(200, &json!({ "envSet": bad }))),
    ]);
    let run = |line: &str| Ran::of(daemon.codepiper().args(line.split(' ')));
    let list = run("env-set ls");
    let lines: Vec<&str> = list.out.lines().collect();
    assert!(lines[0].starts_with("ID        NAME  VARIABLES  CHANGED"), "{}", list.out);
    assert!(lines[2].contains("lost") && lines[2].contains("of the build"), "{}", list.out);
    assert_eq!(lines[3].trim(), "└ cannot be read: the key file `/k` is not there");
    run("env-set show keys").check(
        0,
        "Name  keys\nID    0a1b2c3d\n\nVARIABLE  VALUE\nA         ****\nLONG      ****zy\n",
        "",
    );
    assert!(run("env-set get lost").out.contains("Unreadable   the key file `/k` is not there"));
    let shown: Value = serde_json::from_str(&run("env-set --json show keys").out).expect("JSON");
    assert_eq!(shown, good);
    let listed: Value = serde_json::from_str(&run("env-set list --format json").out).expect("JSON");
    assert_eq!(listed, json!([good, bad]));
}

#[test]
fn who_used_a_deleted_set_is_told_and_the_others_are_deleted_all_the_same() {
    let gone = |name: &str, sessions: Value, workspaces: Value| {
        json!({ "success": true, "id": "0a1b2c3d", "name": name, "usedBySessions": sessions,
            "usedByWorkspaces": workspaces })
    };
    let missing = json!({ "error": "there is no env set `b`", "code": "not-found" });
    let daemon = Prepared::start(vec![
        ("DELETE /env-sets/a", Answer::json(200, &gone("a", json!(["a1b2c3d4"]), json!(["app"])))),
        ("DELETE /env-sets/b", Answer::json(404, &missing)),
        ("DELETE /env-sets/c", Answer::json(200, &gone("c", json!([]), json!([])))),
    ]);
    Ran::of(daemon.codepiper().args(["env-set", "rm", "a", "b", "c"])).check(
        4,
        "✓ Env set a deleted\n✓ Env set c deleted\n",
        "warning: sessions were started with `a` and cannot be resumed without a set of that name: a1b2c3d4\n\
         warning: workspaces name `a` among their defaults, and nothing can be started there without it: app\n\
         error: there is no env set `b`\n",
    );
}

#[test]
fn a_rotated_key_is_told_with_what_to_do_about_copies() {
    let answer =
        json!({ "success": true, "envSets": 2, "keyFile": "/k/new.key", "retired": ["/k/retired/old.key"] });
    let daemon = Prepared::start(vec![("POST /env-sets/rotate-key", Answer::json(200, &answer))]);
    Ran::of(daemon.codepiper().args(["env-set", "rotate-key"])).check(
        0,
        "✓ 2 env sets encrypted with a new key\n",
        "note: keep a copy of `/k/new.key` apart from backups: they have no key in them\n\
         note: backups of before need `/k/retired/old.key`; delete it when you need them no more\n",
    );
    assert_eq!(daemon.asked()[0].json(), json!({ "deleteOld": false }));
}

#[test]
fn what_a_start_left_out_is_said_beside_the_session() {
    let note = "`KEY` of env set `keys` is left out: billing is by subscription; `--billing api` keeps it";
    let answer = json!({ "session": super::session("a1b2c3d4", &json!({})), "notes": [note] });
    let daemon = Prepared::start(vec![("POST /sessions", Answer::json(201, &answer))]);
    let ran = Ran::of(daemon.codepiper().args(["start", "-p", "demo", "--env-set", "keys", "--json"]));
    assert_eq!((ran.code, ran.err), (0, format!("note: {note}\n")));
    let printed: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(printed["id"], "a1b2c3d4");
    assert_eq!(daemon.asked()[0].json()["envSetIds"], json!(["keys"]));
}

#[test]
fn a_workspace_is_made_changed_shown_and_forgotten() {
    let workspace = json!({
        "id": "0a1b2c3d", "name": "app", "path": "/h/me/p", "envSetNames": ["keys"],
        "defaults": { "provider": "demo", "envSetIds": ["11111111"], "billingMode": "api" },
        "createdAt": "2026-01-31T09:00:00Z", "updatedAt": "2026-01-31T09:00:00Z",
    });
    let body = json!({ "workspace": workspace });
    let daemon = Prepared::start(vec![
        ("GET /workspaces", Answer::json(200, &json!({ "workspaces": [workspace] }))),
        ("GET /workspaces/app", Answer::json(200, &body)),
        ("POST /workspaces", Answer::json(201, &body)),
        ("PUT /workspaces/app", Answer::json(200, &body)),
        ("DELETE /workspaces/app", Answer::json(200, &json!({ "success": true }))),
    ]);
    let run = |line: &str| Ran::of(daemon.codepiper().args(line.split(' ')));
    let asked = || daemon.asked().last().map(|asked| asked.json()).expect("a request");
    run("workspace add app /h/me/p/ -p demo --env-set keys -b api").check(
        0,
        "✓ Workspace app made: /h/me/p\n",
        "",
    );
    let defaults = json!({ "provider": "demo", "billingMode": "api", "envSetIds": ["keys"] });
    assert_eq!(asked(), json!({ "name": "app", "path": "/h/me/p", "defaults": defaults }));
    run("workspace update app --no-model --policy-set strict").check(
        0,
        "✓ Workspace app changed: /h/me/p\n",
        "",
    );
    assert_eq!(asked(), json!({ "defaults": { "model": null, "policySet": "strict" } }));
    run("workspace rename app app2").check(0, "✓ Workspace app changed: /h/me/p\n", "");
    assert_eq!(asked(), json!({ "name": "app2" }));
    run("workspace ls").check(
        0,
        "ID        NAME  FOLDER  PROVIDER  ENV SETS\n0a1b2c3d  app   ~/p     demo      keys\n",
        "",
    );
    run("workspace show app").check(
        0,
        "Name      app\nID        0a1b2c3d\nFolder    /h/me/p\nProvider  demo\nBilling   api\nEnv sets  keys\n",
        "",
    );
    run("workspace rm app").check(0, "✓ Workspace app removed; its folder stays\n", "");
}
