//! What is asked of conversations, over the socket and with the command. The rows are written as ingestion writes them.

use codepiper_store::Connection;
use codepiper_tests::lab::Lab;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Two conversations: one of the session, one of the person's own. Times are around midnight in Berlin, on the day on
/// which the clock was put forward there.
fn fill(lab: &Lab, session: &str) -> Connection {
    let database = Connection::open(lab.path("home/codepiper.db")).unwrap();
    let sql = r#"
        INSERT INTO places VALUES (1, '/w/api', 'main', '/w/api'), (2, '/w/other', '', NULL);
        INSERT INTO conversations (id, provider, provider_id, session, title, place, model, born_at, first_at, last_at) VALUES
            (1, 'claude-code', '0198f2c1-1', 'SESSION', 'The flaky test', 1, 'opus', 1, unixepoch('2026-03-28 22:50') * 1000, unixepoch('2026-03-29 10:00') * 1000),
            (2, 'codex', '0198f2c1-2', NULL, NULL, 2, 'gpt', 2, unixepoch('2026-03-29 22:30') * 1000, unixepoch('2026-03-29 22:30') * 1000);
        INSERT INTO usage (key, at, provider, model, conversation, session, place, input, output, reasoning, cache_read, cache_write_5m, cache_write_1h, cost) VALUES
            ('k1', unixepoch('2026-03-28 22:50') * 1000, 'claude-code', 'opus', 1, 'SESSION', 1, 10, 5, 2, 100, 20, 0, 1000000000),
            ('k2', unixepoch('2026-03-28 23:10') * 1000, 'claude-code', 'opus', 1, 'SESSION', 1, 20, 5, 0, 300, 0, 40, 234000000),
            ('k3', unixepoch('2026-03-29 22:30') * 1000, 'codex', 'gpt', 2, '', 2, 1000, 200, 50, 0, 0, 0, NULL);
        INSERT INTO entries (id, conversation, uid, agent, at, role, body, text) VALUES
            (1, 1, 'u1', NULL, unixepoch('2026-03-28 22:50') * 1000, 'user', '{"kind":"user"}', 'why is src/lib.rs so flaky?'),
            (2, 1, 'u2', NULL, unixepoch('2026-03-28 23:10') * 1000, 'assistant', '{"kind":"assistant","model":"opus"}', 'no space left'),
            (3, 1, 'u3', 's1', unixepoch('2026-03-28 23:10') * 1000, 'assistant', '{"kind":"assistant","model":"opus"}', 'a sub-agent'),
            (4, 2, 'u4', NULL, unixepoch('2026-03-29 22:30') * 1000, 'user', '{"kind":"user"}', 'flaky, and the space is left');
        INSERT INTO search (rowid, text) SELECT id, text FROM entries;
        UPDATE search_progress SET entry = 4;
        INSERT INTO tool_calls VALUES ('t1', 1, 'Bash', unixepoch('2026-03-29 10:00') * 1000, 'ok', 100),
            ('t2', 1, 'Bash', unixepoch('2026-03-29 10:00') * 1000, 'failed', 300);
        INSERT INTO audit (at, session, kind, tool, decision, body, hash) VALUES
            (unixepoch('2026-03-28 23:10') * 1000, 'SESSION', 'decision', 'Bash', 'deny', '{}', ''),
            (unixepoch('2026-03-28 23:10') * 1000, 'SESSION', 'decision', 'Bash', 'none', '{}', '');
    "#;
    std::fs::create_dir(api(lab)).unwrap();
    database.execute_batch(&sql.replace("SESSION", session).replace("/w/api", &api(lab))).unwrap();
    database
}

/// The folder of the first conversation.
fn api(lab: &Lab) -> String {
    lab.path("api").display().to_string()
}

/// The days of that week, as Berlin has them.
const WEEK: &str = "since=2026-03-28&until=2026-03-30&tz=Europe/Berlin";

async fn get(lab: &Lab, path: &str) -> Value {
    lab.ok("GET", path, Value::Null).await
}

#[tokio::test]
async fn the_originals_analytics_are_there_with_days_of_the_persons_zone() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    let _database = fill(&lab, &id);
    let found = get(&lab, &format!("/analytics/overview?{WEEK}")).await;
    let expected = [
        ("totalTokens", json!(1_700)),
        ("inputTokens", json!(1_030)),
        ("outputTokens", json!(210)),
        ("cacheReadTokens", json!(400)),
        ("cacheCreationTokens", json!(60)),
        ("totalMessages", json!(3)),
        ("cacheHitRate", json!(26.8)), // 400 of 1490
        ("costEstimate", json!(1.23)),
        ("sessionsCount", json!(0)),
        ("activeSessions", json!(1)),
        ("toolCalls", json!(2)),
        ("since", json!("2026-03-27T23:00:00Z")),
        ("until", json!("2026-03-30T22:00:00Z")),
    ];
    for (name, value) in expected {
        assert_eq!(found[name], value, "{name} of {found}");
    }
    assert_eq!((&found["usage"]["cost"], &found["usage"]["unpriced"]), (&json!(1.234), &json!(1_200)));

    let days = get(&lab, &format!("/analytics/token-usage?{WEEK}")).await;
    let days: Vec<Value> = days
        .as_array()
        .unwrap()
        .iter()
        .map(|day| json!([day["date"], day["prompt"], day["cacheRead"]]))
        .collect();
    let expected = json!([["2026-03-28", 10, 100], ["2026-03-29", 20, 300], ["2026-03-30", 1_000, 0]]);
    assert_eq!(json!(days), expected);

    let models = get(&lab, &format!("/analytics/tokens-by-model?{WEEK}")).await;
    assert_eq!((&models[0]["model"], &models[0]["costEstimate"]), (&json!("gpt"), &Value::Null));
    assert_eq!(
        json!([
            models[1]["tokens"],
            models[1]["prompt_tokens"],
            models[1]["cache_creation"],
            models[1]["costEstimate"]
        ]),
        json!([500, 30, 60, 1.23])
    );
    let activity = get(&lab, &format!("/analytics/activity-timeline?{WEEK}")).await;
    assert_eq!(json!([activity[1]["user_messages"], activity[1]["assistant_messages"]]), json!([0, 1]));
    assert_eq!(activity[2]["total"], 1);
    let tools = get(&lab, &format!("/analytics/tool-usage?{WEEK}")).await;
    assert_eq!(
        json!([tools[0]["tool"], tools[0]["count"], tools[0]["failureRate"]]),
        json!(["Bash", 2, 50.0])
    );
    let decisions = get(&lab, &format!("/analytics/policy-decisions?{WEEK}")).await;
    let decisions: Vec<_> =
        decisions.as_array().unwrap().iter().map(|day| json!([day["date"], day["decision"]])).collect();
    assert_eq!(json!(decisions), json!([["2026-03-29", "ask"], ["2026-03-29", "deny"]]));
    let today = get(&lab, "/analytics/sessions-by-provider?range=today").await;
    assert_eq!(today, json!([{"provider": "demo", "count": 1}]));
    assert_eq!(get(&lab, "/analytics/overview?range=all").await["totalTokens"], 1_700);
    assert_eq!(
        get(&lab, "/analytics/overview?range=frob").await["totalTokens"],
        0,
        "7d is what is not known"
    );
}

#[tokio::test]
async fn usage_is_sorted_and_filtered_by_anything() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    let _database = fill(&lab, &id);
    lab.ok("POST", "/workspaces", json!({"name": "api", "path": api(&lab)})).await;
    let check = async |more: String, expected: Value| {
        let found = get(&lab, &format!("/analytics/usage?{WEEK}&{more}")).await;
        let rows = found["rows"].as_array().unwrap().iter();
        let rows: Vec<Value> = rows.map(|row| json!([row["key"], row["tokens"], row["cost"]])).collect();
        assert_eq!(json!(rows), expected, "{more}");
    };
    let opus = json!([["opus", 500, 1.234]]);
    check("by=model".into(), json!([["gpt", 1_200, null], ["opus", 500, 1.234]])).await;
    check(format!("by=model&session={id}"), opus.clone()).await;
    check("by=model&workspace=api".into(), opus.clone()).await;
    check(format!("by=model&workspace={}", api(&lab)), opus.clone()).await;
    check("by=model&provider=claude-code".into(), opus).await;
    check("by=session".into(), json!([[null, 1_200, null], [id, 500, 1.234]])).await;
    check("by=folder&limit=1".into(), json!([["/w/other", 1_200, null]])).await;
    check("by=month".into(), json!([["2026-03", 1_700, 1.234]])).await;
    let hours =
        get(&lab, "/analytics/usage?since=2026-03-29&until=2026-03-29&tz=Europe/Berlin&by=hour").await;
    assert_eq!(hours["rows"].as_array().unwrap().len(), 23, "the hour that was left out");

    let refused = async |path: &str, expected: &str| {
        let (status, answer) = lab.ask("GET", path, Value::Null).await;
        let said = answer["error"].as_str().unwrap_or("no refusal");
        assert!(status == 400 && said.contains(expected), "{path}: {status} {answer}");
    };
    refused("/analytics/usage?by=frob", "`by` `frob` is none of model, provider").await;
    refused("/analytics/usage?tz=Mars/Base", "`tz` `Mars/Base` is no time zone").await;
    refused("/analytics/usage?since=frob", "`since` means nothing as `frob`").await;
    refused("/analytics/usage?since=today&until=2d&by=day", "is after `until`").await;
    refused("/analytics/usage?range=7d&since=1d", "`range` says again").await;
    refused("/analytics/usage?since=2000-01-01&by=hour", "more than 4500 pieces").await;
    refused("/analytics/usage?limit=0", "`limit` must be from 1 to 1000").await;
    refused("/analytics/activity-timeline?provider=codex", "`provider` cannot be asked for here").await;
    refused("/analytics/usage?frob=1", "unknown field `frob`").await;
}

#[tokio::test]
async fn a_conversation_is_read_in_pages_and_waited_for() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    let _database = fill(&lab, &id);
    let check = async |path: String, expected: &[i64], more: bool| {
        let found = get(&lab, &path).await;
        let ids: Vec<i64> =
            found["entries"].as_array().unwrap().iter().map(|entry| entry["id"].as_i64().unwrap()).collect();
        assert_eq!((ids.as_slice(), found["hasMore"].as_bool()), (expected, Some(more)), "{path}");
    };
    let of = |more: &str| format!("/sessions/{id}/conversation?{more}");
    check(of(""), &[1, 2], false).await;
    check(of("limit=1"), &[2], true).await;
    check(of("limit=1&before=2"), &[1], false).await;
    check(of("after=1"), &[2], false).await;
    check(of("agent=all"), &[1, 2, 3], false).await;
    check(of("agent=s1"), &[3], false).await;
    check("/conversations/0198f2c1-2".into(), &[4], false).await;
    check("/conversations/codex:0198".into(), &[4], false).await;
    check("/conversations/claude-code:0198f2c1-1?limit=1".into(), &[2], true).await;
    let list = get(&lab, "/conversations").await;
    assert_eq!(
        json!([list["conversations"][0]["id"], list["conversations"][1]["title"]]),
        json!(["0198f2c1-2", "The flaky test"])
    );
    assert_eq!(list["conversations"][1]["usage"]["tokens"], 500);

    for (path, status, expected) in [
        ("/conversations/0198", 400, "means 2 conversations: codex:0198f2c1-2, claude-code:0198f2c1-1"),
        ("/conversations/none", 404, "no conversation `none`"),
        ("/sessions/none/conversation", 404, "none"),
        ("/sessions/ffffffff/conversation", 404, "ffffffff"),
        ("/conversations/0198f2c1-2?before=1&after=1", 400, "cannot stand beside"),
        ("/conversations/0198f2c1-2?wait=3", 400, "`wait` needs `after`"),
        ("/conversations/0198f2c1-2?limit=501", 400, "`limit` must be from 1 to 500"),
    ] {
        let (got, answer) = lab.ask("GET", path, Value::Null).await;
        assert!(
            got == status && answer["error"].as_str().unwrap().contains(expected),
            "{path}: {got} {answer}"
        );
    }

    // One that waits gets the next entry when it is there, not when its time is over.
    let begun = Instant::now();
    let waiting = async { get(&lab, &of("after=4&wait=50")).await };
    let (found, ()) = tokio::join!(waiting, lab.turn(&id, "SAY: next"));
    assert_eq!(found["entries"][0]["text"], "SAY: next");
    assert!(begun.elapsed() < Duration::from_secs(30), "waited for {:?}", begun.elapsed());
    let last = loop {
        let page = get(&lab, &of("limit=1")).await;
        if page["entries"][0]["text"] == "next" {
            break page["entries"][0]["id"].as_i64().unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "the answer is not there: {page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    check(of(&format!("after={last}&wait=1")), &[], false).await;

    // A session that has left the list still has its conversation.
    lab.cli(["kill", &id]);
    lab.cli(["rm", &id]);
    check(of("limit=1"), &[last], true).await;
}

#[tokio::test]
async fn what_was_said_is_found() {
    let lab = Lab::start().await;
    let id = lab.demo().await;
    let _database = fill(&lab, &id);
    let check = async |more: String, expected: &[i64]| {
        let found = get(&lab, &format!("/search?{more}")).await;
        let ids: Vec<i64> =
            found["hits"].as_array().unwrap().iter().map(|hit| hit["entry"].as_i64().unwrap()).collect();
        assert_eq!(ids, expected, "{more}: {found}");
    };
    check("q=flaky%20".into(), &[4, 1]).await;
    check("q=%22space%20left%22".into(), &[2]).await;
    check("q=src/lib.rs".into(), &[1]).await;
    check(format!("q=flaky&session={id}"), &[1]).await;
    check("q=flaky&provider=codex".into(), &[4]).await;
    check(format!("q=flaky&workspace={}", api(&lab)), &[1]).await;
    check("q=flaky&since=2026-03-29&until=2026-03-29&tz=UTC".into(), &[4]).await;
    check("q=space&role=assistant".into(), &[2]).await;
    for (query, expected) in [
        ("q=", "`q` has no word to look for"),
        ("q=-x", "only says what must not be there"),
        ("q=x&role=frob", "`role` `frob` is none of user"),
    ] {
        let (status, answer) = lab.ask("GET", &format!("/search?{query}"), Value::Null).await;
        assert!(status == 400 && answer["error"].as_str().unwrap().contains(expected), "{query}: {answer}");
    }
}

#[tokio::test]
async fn the_command_shows_what_the_daemon_knows_and_agents_may_not_ask() {
    let lab = Lab::start().await;
    let body = json!({ "provider": "demo", "cwd": lab.project(), "dangerousMode": true });
    let id = lab.session(body).await;
    let _database = fill(&lab, &id);
    let costs = lab.cli(["analytics", "costs", "--by", "model", "--days", "0"]);
    assert!(costs.contains("gpt    unpriced     1,200"), "{costs}");
    assert!(lab.cli(["analytics"]).contains("1 started, 1 running"));
    assert!(lab.cli(["transcript", &id]).contains("why is src/lib.rs so flaky?"));
    assert!(lab.cli(["transcript", "codex:0198"]).contains("flaky, and the space is left"));
    assert!(lab.cli(["search", "src/lib.rs"]).contains("0198f2c1-1  The flaky test  /"));

    let program = codepiper_tests::lab::codepiper();
    for (line, file) in [("search flaky", "a"), ("transcript codex:0198", "b"), ("analytics", "c")] {
        let asking = format!("{} -s {} {line}", program.display(), lab.path("s").display());
        lab.turn(&id, &format!("RUN: {asking} > {file} 2>&1; echo $? >> {file}")).await;
        let said = std::fs::read_to_string(lab.project().join(file)).unwrap();
        assert!(said.contains("sessions may only report") && said.ends_with("5\n"), "{line}: {said}");
    }
}

#[tokio::test]
async fn a_forged_record_does_not_take_the_figures_of_all_others_away() {
    let lab = Lab::start().await;
    let folder = lab.path("person/.claude/projects/-forged");
    std::fs::create_dir_all(&folder).unwrap();
    let line = |n: u64, tokens: u64| {
        let usage =
            json!({ "input_tokens": tokens, "output_tokens": tokens, "cache_read_input_tokens": tokens });
        json!({
            "type": "assistant", "uuid": format!("u{n}"), "sessionId": "0198f2c1-7b52-4e1d-9c0a-3d2f1e0a9b8c", "cwd": "/w", "requestId": format!("r{n}"),
            "timestamp": "2026-11-20T10:00:00.000Z", "version": "2.1.197",
            "message": { "id": format!("m{n}"), "type": "message", "role": "assistant", "model": "claude-opus-4-8",
                "content": [{ "type": "text", "text": "x" }], "usage": usage },
        })
    };
    let lines = [line(1, u64::MAX), line(2, u64::MAX), line(3, i64::MAX as u64), line(4, 100)];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(folder.join("0198f2c1-7b52-4e1d-9c0a-3d2f1e0a9b8c.jsonl"), text).unwrap();
    let output = lab.run(["import"]);
    assert!(output.status.success(), "{output:?}");
    let found = get(&lab, "/analytics/usage?since=2026-11-01&by=model").await;
    let billion = 1_000_000_000_u64;
    assert_eq!(found["total"]["requests"], 4, "{found} {output:?}");
    assert_eq!(found["total"]["input"], 3 * billion + 100);
    assert_eq!(found["total"]["tokens"], 9 * billion + 300);
    assert!(found["total"]["cost"].as_f64().unwrap() > 0.0, "{found}");
}
