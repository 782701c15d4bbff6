//! What real agents tell of themselves while they work: context, cost, limits.

use codepiper_tests::agents::{claude_home, codex_home};
use codepiper_tests::lab::Lab;
use codepiper_tests::model_stub::ModelStub;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// The session once its figures are like this.
async fn told(lab: &Lab, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let session = lab.show(id).await;
        if wanted(&session["live"]) {
            return session["live"].clone();
        }
        assert!(Instant::now() < until, "it is not told: {session}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn codex_tells_its_context_and_limits_and_their_reset_is_told() {
    let (lab, stub) = (Lab::start().await, ModelStub::start().await);
    let home = codex_home(&lab.path("codex"), &lab.project(), &stub.url()).unwrap();
    let id = lab.agent("codex", &home, json!({ "dangerousMode": true })).await;
    lab.wait_for_state(&id, "idle").await;
    let reset = Timestamp::now().checked_add(SignedDuration::from_hours(2)).unwrap();
    let limits = |used: f64, reset: Timestamp| {
        [
            ("x-codex-primary-used-percent", used.to_string()),
            ("x-codex-primary-window-minutes", "300".to_owned()),
            ("x-codex-primary-reset-at", reset.as_second().to_string()),
            ("x-codex-secondary-used-percent", "12.0".to_owned()),
            ("x-codex-secondary-window-minutes", "10080".to_owned()),
        ]
    };
    stub.set_headers(&limits(91.0, reset));
    lab.turn(&id, "USAGE: in=7000 out=50 cache_read=5000\nSAY: one").await;
    let whole = |live: &Value| live["limits"][0]["usedPercent"] == 91.0 && live["spent"]["tokens"] == 12_050;
    let live = told(&lab, &id, whole).await;
    assert_eq!(live["context"], json!({ "used": 12_050, "size": 258_400 }));
    let expected = json!([
        { "minutes": 300, "usedPercent": 91.0, "resetsAt": Timestamp::from_second(reset.as_second()).unwrap() },
        { "minutes": 10_080, "usedPercent": 12.0 },
    ]);
    assert_eq!(live["limits"], expected);
    let list = lab.cli(["sessions"]);
    assert!(list.contains("codex: 5 h 91 % used, resets in 1h") && list.contains("7 d 12 % used"), "{list}");
    assert!(lab.cli(["sessions", &id]).contains("Context       12.1k of 258k tokens (4 %)"));

    // The next daemon knows it too.
    lab.kill_daemon();
    lab.start_daemon();
    let live = told(&lab, &id, |live| live["spent"]["tokens"] == 12_050).await;
    assert_eq!(live["limits"], expected);

    let soon = Timestamp::now().checked_add(SignedDuration::from_secs(3)).unwrap();
    stub.set_headers(&limits(97.0, soon));
    lab.turn(&id, "SAY: two").await;
    let until = Instant::now() + PATIENCE;
    let reset = loop {
        let page = lab.ok("GET", "/notifications?eventType=limit.reset", Value::Null).await;
        if let Some(told) = page["notifications"].as_array().unwrap().first() {
            break told.clone();
        }
        assert!(Instant::now() < until, "the reset is not told: {}", lab.show(&id).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(reset["title"], "codex: limit reset");
    assert_eq!(reset["body"], "The limit of 5 h, of which 97 % was used, has begun anew.");
    assert!(Timestamp::now() >= Timestamp::from_second(soon.as_second()).unwrap());
    assert_eq!(lab.show(&id).await["live"]["limits"].as_array().map(Vec::len), Some(1));
    assert!(!lab.cli(["sessions"]).contains("5 h"));
    assert_eq!(stub.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn claude_code_tells_its_context_and_what_it_cost_is_counted() {
    let (lab, stub) = (Lab::start().await, ModelStub::start().await);
    let mut home = claude_home(&lab.path("agent"), &lab.project(), &stub.url()).unwrap();
    home.environment.push(("IS_SANDBOX".into(), "1".into())); // as root it refuses without
    let id = lab.agent("claude-code", &home, json!({ "dangerousMode": true })).await;
    lab.wait_for_state(&id, "idle").await;
    lab.turn(&id, "USAGE: in=7000 out=50 cache_read=5000\nSAY: one").await;
    let live =
        told(&lab, &id, |live| live["context"]["used"] == 12_000 && live["spent"]["tokens"] == 12_050).await;
    let size = live["context"]["size"].as_u64().unwrap();
    assert!(size >= 200_000, "{live}");
    assert!(live["spent"]["cost"].as_i64().unwrap() > 0, "{live}");
    let list = lab.cli(["sessions"]);
    assert!(list.contains("CONTEXT") && list.contains(&format!("{} %", 1_200_000 / size)), "{list}");
    assert_eq!(stub.violations(), Vec::<String>::new());
}
