//! What is told to a person and their handlers.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use codepiper_tests::lab::Lab;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Longer than any test.
const NEVER: u32 = 80_000;

async fn wait(lab: &Lab, dwell: u32, cooldown: u32) {
    let settings = json!({ "notificationDwellSeconds": dwell, "notificationCooldownSeconds": cooldown });
    lab.ok("PUT", "/settings/daemon", settings).await;
}

/// All notifications, oldest first, once there are so many.
async fn told(lab: &Lab, count: usize) -> Vec<Value> {
    let until = Instant::now() + PATIENCE;
    loop {
        let page = lab.ok("GET", "/notifications", Value::Null).await;
        let mut all = page["notifications"].as_array().unwrap().clone();
        all.reverse();
        if all.len() >= count {
            let short = |told: &Value| {
                [&told["eventType"], &told["body"], &told["sourceEventId"]].map(Value::to_string)
            };
            assert_eq!(all.len(), count, "{:?}", all.iter().map(short).collect::<Vec<_>>());
            return all;
        }
        assert!(Instant::now() < until, "{count} are expected: {all:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn kinds(all: &[Value]) -> Vec<&str> {
    all.iter().map(|told| told["eventType"].as_str().unwrap()).collect()
}

/// Waits for what an agent of the lab cannot tell by an event.
async fn until<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(Instant::now() < end, "{what} does not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn handlers(lab: &Lab, text: &str) {
    let file = lab.path("home/handlers.toml");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn what_a_session_waits_for_is_told_once_and_read_when_it_goes_on() {
    let lab = Lab::start().await;
    wait(&lab, 0, 0).await;
    let id = lab.session(json!({ "provider": "demo", "cwd": lab.project(), "name": "api" })).await;
    lab.turn(&id, "hello").await;
    let all = told(&lab, 1).await;
    assert_eq!(all[0]["eventType"], "session.turn_completed");
    assert_eq!(all[0]["title"], "api: turn completed");
    assert_eq!(
        (all[0]["sessionId"].as_str(), all[0]["provider"].as_str()),
        (Some(id.as_str()), Some("demo"))
    );
    assert_eq!(all[0]["readAt"], Value::Null);
    let counts = lab.ok("GET", "/notifications/counts", Value::Null).await;
    assert_eq!(counts, json!({ "counts": { "totalUnread": 1, "bySession": { (id.as_str()): 1 } } }));

    lab.send(&id, "RUN: touch made").await;
    let all = told(&lab, 2).await;
    assert_eq!(all[1]["title"], "api needs permission");
    assert_eq!(all[0]["readSource"], "session", "the next prompt was taken");
    lab.keys(&id, &["1"]).await;
    let all = told(&lab, 3).await;
    assert_eq!((all[1]["readSource"].as_str(), &all[2]["readAt"]), (Some("session"), &Value::Null));

    let number = all[2]["id"].as_u64().unwrap();
    let path = format!("/notifications/{number}/read");
    let first = lab.ok("POST", &path, json!({})).await;
    assert_eq!(first, json!({ "success": true, "changed": true }));
    assert_eq!(lab.ok("POST", &path, json!({})).await["changed"], false);
    assert_eq!(told(&lab, 3).await[2]["readSource"], "click");
    assert_eq!(lab.cli(["notifications"]), "");

    let agent = lab.show(&id).await["pid"].as_u64().unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(agent as i32).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    let all = told(&lab, 4).await;
    assert_eq!(all[3]["title"], "api crashed");
    assert!(all[3]["body"].as_str().unwrap().contains("SIGKILL"), "{all:?}");
    let shown = lab.cli(["notifications"]);
    assert!(shown.contains("api crashed") && !shown.contains("turn completed"), "{shown}");
    assert_eq!(lab.cli(["notifications", "read", "--session", &id]), "✓ 1 marked as read\n");
    assert!(lab.cli(["notifications", "list", "--all"]).contains("api: turn completed"));

    // What was asked for is no news.
    let id = lab.demo().await;
    lab.cli(["stop", &id]);
    told(&lab, 4).await;
}

#[tokio::test]
async fn a_daemon_that_is_killed_tells_everything_once() {
    let lab = Lab::start().await;
    wait(&lab, NEVER, 0).await;
    let id = lab.demo().await;
    lab.turn(&id, "one").await;
    told(&lab, 0).await;
    lab.kill_daemon();
    lab.start_daemon();
    told(&lab, 0).await;
    wait(&lab, 0, 0).await;
    assert_eq!(kinds(&told(&lab, 1).await), ["session.turn_completed"]);
    lab.kill_daemon();
    lab.start_daemon();
    lab.turn(&id, "two").await;
    told(&lab, 2).await;
    // A turn that went by while its end had not held for long enough is not told.
    wait(&lab, NEVER, 0).await;
    lab.turn(&id, "three").await;
    lab.send(&id, "RUN: true").await;
    let asks = |event: &Value| event["type"] == "state" && event["payload"]["cause"] == "asked";
    lab.wait_for_event(&id, 0, asks).await;
    wait(&lab, 0, NEVER).await;
    let all = told(&lab, 3).await;
    assert_eq!((kinds(&all)[2], all[2]["body"].as_str()), ("session.permission_required", Some("Bash true")));
    // The same kind again cools down, and is told when that is over.
    lab.keys(&id, &["1"]).await;
    lab.wait_for_state(&id, "idle").await;
    assert_eq!(kinds(&told(&lab, 4).await)[3], "session.turn_completed");
    lab.send(&id, "RUN: false").await;
    lab.wait_for_state(&id, "waiting").await;
    told(&lab, 4).await;
    wait(&lab, 0, 0).await;
    assert_eq!(kinds(&told(&lab, 5).await)[4], "session.permission_required");
}

#[tokio::test]
async fn what_is_not_wanted_is_not_told() {
    let lab = Lab::start().await;
    wait(&lab, 0, 0).await;
    let (quiet, loud) = (lab.demo().await, lab.demo().await);
    lab.cli(["notifications", "prefs", &quiet, "--only", "session.permission_required"]);
    lab.cli(["settings", "set", "notificationEventDefaults", r#"{"session.turn_completed": false}"#]);
    let prefs = lab.ok("GET", &format!("/sessions/{quiet}/notifications/prefs"), Value::Null).await;
    assert_eq!(prefs["prefs"]["enabled"], false);
    assert_eq!(prefs["prefs"]["effective"]["session.crashed"], false);
    assert_eq!(prefs["prefs"]["effective"]["session.permission_required"], true);
    lab.turn(&quiet, "one").await;
    lab.turn(&loud, "one").await;
    lab.send(&quiet, "RUN: true").await;
    let all = told(&lab, 1).await;
    assert_eq!(
        (all[0]["sessionId"].as_str(), kinds(&all)[0]),
        (Some(quiet.as_str()), "session.permission_required")
    );
    // The original's clients say only whether.
    lab.ok("PUT", &format!("/sessions/{loud}/notifications/prefs"), json!({ "enabled": true })).await;
    lab.turn(&loud, "two").await;
    assert_eq!(kinds(&told(&lab, 2).await)[1], "session.turn_completed");
    let shown = lab.cli(["notifications", "prefs", &loud, "--default"]);
    assert!(shown.contains("the settings") && !shown.contains("said of"), "{shown}");

    let bad = lab.run(["notifications", "prefs", &loud, "--not", "frob"]);
    assert!(String::from_utf8_lossy(&bad.stderr).contains("no kind of notification `frob`"), "{bad:?}");
    let (status, refused) = lab.ask("GET", "/notifications?eventType=frob", Value::Null).await;
    assert_eq!((status, refused["field"].as_str()), (400, Some("eventType")), "{refused}");
    let (status, _) = lab.ask("POST", "/notifications/77/read", json!({})).await;
    assert_eq!(status, 404);
    let wanted = json!({ "notificationEventDefaults": { "frob": true } });
    let (status, refused) = lab.ask("PUT", "/settings/daemon", wanted).await;
    assert_eq!(status, 400, "{refused}");
}

#[tokio::test]
async fn who_watches_gets_what_comes_also_after_a_restart() {
    let lab = Lab::start().await;
    wait(&lab, 0, 0).await;
    let id = lab.demo().await;
    let mut watch = lab.command(["notifications", "watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = {
        let (line, lines) = mpsc::channel();
        let output = BufReader::new(watch.stdout.take().unwrap());
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|text| drop(line.send(text)))
        });
        lines
    };
    // It says nothing of itself: until it is there, more is told.
    let first = until("the first line", async || {
        lab.turn(&id, "hello").await;
        lines.recv_timeout(Duration::from_millis(500)).ok()
    })
    .await;
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(first["eventType"], "session.turn_completed");
    lab.kill_daemon();
    lab.start_daemon();
    while lines.recv_timeout(Duration::from_millis(500)).is_ok() {}
    lab.send(&id, "RUN: true").await;
    let next: Value = serde_json::from_str(&lines.recv_timeout(PATIENCE).unwrap()).unwrap();
    assert_eq!(next["eventType"], "session.permission_required");
    watch.kill().unwrap();
    watch.wait().unwrap();
}

/// An answer a handler's address gives, and what it was sent.
struct Request {
    headers: BTreeMap<String, String>,
    body: String,
}

/// A server that gives these answers one after the other, and tells what it was asked.
fn server(answers: &'static [&'static str]) -> (String, mpsc::Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/hook?key=very-secret", listener.local_addr().unwrap());
    let (told, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut headers = BTreeMap::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                match line.trim().split_once(": ") {
                    Some((name, value)) => drop(headers.insert(name.to_lowercase(), value.to_owned())),
                    None if line.trim().is_empty() => break,
                    None => {}
                }
            }
            let mut body = vec![0; headers["content-length"].parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let body = String::from_utf8(body).unwrap();
            let length = "not today".len();
            write!(
                stream,
                "HTTP/1.1 {answer}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\nnot today"
            )
            .unwrap();
            let _test_is_over = told.send(Request { headers, body });
        }
    });
    (address, requests)
}

#[tokio::test]
async fn handlers_run_programs_and_post_signed_again_when_that_failed() {
    let lab = Lab::start().await;
    wait(&lab, 0, 0).await;
    let (address, requests) = server(&["503 Busy", "200 OK"]);
    let out = lab.path("out");
    let text = format!(
        r#"
[[handler]]
name = "program"
on = ["session.*"]
run = ["sh", "-c", 'cat > "$0.json"; echo "$CODEPIPER_TITLE ($CODEPIPER_TYPE)" > "$0"', "{out}"]

[[handler]]
name = "web"
on = ["session.turn_completed"]
post = "{address}"
json = {{ text = "{{title}}", id = 7 }}
headers = {{ x-name = "{{name}}" }}
secret = "0123456789abcdef"

[[handler]]
name = "broken"
on = ["*"]
run = ["sh", "-c", "echo no such luck >&2; exit 3"]
retries = 0
"#,
        out = out.display()
    );
    handlers(&lab, &text);
    const NAME: &str = r#"a'p"i$(touch owned)`"#;
    let id = lab.session(json!({ "provider": "demo", "cwd": lab.project(), "name": NAME })).await;
    lab.turn(&id, "hello").await;
    let number = told(&lab, 1).await[0]["id"].as_u64().unwrap();

    let (first, second) =
        (requests.recv_timeout(PATIENCE).unwrap(), requests.recv_timeout(PATIENCE).unwrap());
    let sent_id = format!("notification-{number}");
    for request in [&first, &second] {
        assert_eq!(
            serde_json::from_str::<Value>(&request.body).unwrap(),
            json!({ "text": format!("{NAME}: turn completed"), "id": 7 })
        );
        assert_eq!(
            (request.headers["webhook-id"].as_str(), request.headers["x-name"].as_str()),
            (sent_id.as_str(), NAME)
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(b"0123456789abcdef").unwrap();
        mac.update(format!("{sent_id}.{}.{}", request.headers["webhook-timestamp"], request.body).as_bytes());
        let expected = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(request.headers["webhook-signature"], expected);
    }
    let titles =
        until("the program", async || fs::read_to_string(&out).ok().filter(|text| text.ends_with('\n')))
            .await;
    assert_eq!(titles, format!("{NAME}: turn completed (session.turn_completed)\n"));
    let given: Value = serde_json::from_str(&fs::read_to_string(lab.path("out.json")).unwrap()).unwrap();
    assert_eq!(given["id"], sent_id);
    let session = json!({ "id": id, "name": NAME, "provider": "demo", "cwd": lab.project() });
    assert_eq!((&given["session"], given["type"].as_str()), (&session, Some("session.turn_completed")));

    let list = until("the end of all deliveries", async || {
        let list = lab.ok("GET", "/notifications/handlers", Value::Null).await;
        list["handlers"].as_array().unwrap().iter().all(|one| one["waiting"] == 0).then_some(list)
    })
    .await;
    assert_eq!(list["handlers"][0]["failed"], 0);
    assert_eq!(
        list["handlers"][1]["does"],
        format!("posts to {}, signed", address[7..].split('/').next().unwrap())
    );
    assert_eq!(list["handlers"][2]["failed"], 1);
    assert_eq!(list["handlers"][2]["error"], "`sh` ended with exit status: 3: no such luck");
    assert!(!list.to_string().contains("very-secret") && !lab.log().contains("very-secret"), "{list}");
}

#[tokio::test]
async fn what_waits_for_a_handler_outlives_the_daemon_and_a_hanging_one_is_ended() {
    let lab = Lab::start().await;
    wait(&lab, 0, 0).await;
    let (gate, out, pids) = (lab.path("gate"), lab.path("out"), lab.path("pids"));
    // It hangs until the gate is there, with a child of its own.
    let script = format!(
        r#"sleep 1000 & echo $$ $! >> {}; [ -e {} ] || wait; kill $!; cat >> {}; echo >> {}"#,
        pids.display(),
        gate.display(),
        out.display(),
        out.display()
    );
    handlers(
        &lab,
        &format!(
            "[[handler]]\nname = 'slow'\non = ['*', 'hook/Stop']\nrun = ['sh', '-c', '{script}']\nseconds = 1\n"
        ),
    );
    let id = lab.demo().await;
    lab.turn(&id, "hello").await;
    told(&lab, 1).await;
    until("the first try", async || fs::read_to_string(&pids).ok().filter(|text| text.ends_with('\n'))).await;
    lab.kill_daemon();
    lab.start_daemon();
    let error = until("an error", async || {
        let list = lab.ok("GET", "/notifications/handlers", Value::Null).await;
        list["handlers"][0]["error"].as_str().map(str::to_owned)
    })
    .await;
    assert_eq!(error, "`sh` did not end within 1 s and was killed");
    fs::write(&gate, "").unwrap();
    let lines = until("both", async || {
        let text = fs::read_to_string(&out).unwrap_or_default();
        (text.lines().count() >= 2).then_some(text)
    })
    .await;
    let given: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let types: Vec<&str> = given.iter().map(|one| one["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["hook/Stop", "session.turn_completed"], "in their order");
    assert_eq!(given[0]["payload"]["hook_event_name"], "Stop");
    // Nothing is left of the tries that hung, but for the one whose daemon was killed.
    let pids = fs::read_to_string(&pids).unwrap();
    for pid in pids.lines().skip(1).flat_map(|line| line.split(' ')) {
        until("its end", async || (!fs::exists(format!("/proc/{pid}")).unwrap()).then_some(())).await;
    }
    for pid in pids.lines().next().unwrap().split(' ') {
        let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        let _gone_already = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

#[tokio::test]
async fn a_test_says_what_works_and_a_bad_file_what_is_wrong() {
    let lab = Lab::start().await;
    let none = lab.run(["notifications", "test"]);
    assert!(
        none.status.success() && String::from_utf8_lossy(&none.stderr).contains("no handlers"),
        "{none:?}"
    );
    let (address, requests) = server(&["404 Not Found"]);
    let good = "[[handler]]\nname = 'good'\non = ['*']\nrun = ['true']\n";
    let text = format!(
        "{good}[[handler]]\nname = 'bad'\non = ['*']\npost = '{address}'\n[[handler]]\nname = 'nowhere'\non = ['*']\nrun = ['no-such-program']\n"
    );
    handlers(&lab, &text);
    let output = lab.run(["notifications", "test"]);
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("good works ("), "{printed}");
    let host = address[7..].split('/').next().unwrap();
    assert!(said.contains(&format!("bad failed: {host} answered 404 Not Found: not today")), "{said}");
    assert!(said.contains("nowhere failed: `no-such-program` cannot be run: "), "{said}");
    assert!(said.contains("2 handlers failed") && !output.status.success(), "{said}");
    let message: Value = serde_json::from_str(&requests.recv_timeout(PATIENCE).unwrap().body).unwrap();
    assert_eq!(
        (message["type"].as_str(), message["title"].as_str()),
        (Some("test"), Some("CodePiper: a test"))
    );

    let unknown = lab.run(["notifications", "test", "frob"]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.contains("no handler `frob`") && said.contains("good, bad, nowhere"), "{said}");
    handlers(&lab, &format!("{good}frob = 1"));
    let output = lab.run(["notifications", "handlers"]);
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("cannot be used") && said.contains("frob"), "{said}");
    assert!(printed.contains("no-such-program"), "those of before hold: {printed}");
    let doctor = lab.run(["doctor", "--json"]);
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("handlers.toml"), "{doctor:?}");
}
