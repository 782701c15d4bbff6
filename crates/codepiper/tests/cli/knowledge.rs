//! What agents wrote down, as people and scripts ask for it.

use super::prepared::{Answer, Prepared};
use super::terminal::Terminal;
use super::{Ran, run};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn sums(tokens: u64, cost: Option<f64>, unpriced: u64) -> Value {
    json!({"requests": 3, "tokens": tokens, "input": tokens, "output": 0, "reasoning": 0, "cacheRead": 0,
           "cacheWrite5m": 0, "cacheWrite1h": 0, "cacheHitRate": 50.0, "cost": cost, "unpriced": unpriced})
}

fn usage(by: &str, keys: &[(&str, u64, Option<f64>, u64)]) -> Value {
    let rows: Vec<Value> = keys
        .iter()
        .map(|(key, tokens, cost, unpriced)| {
            let mut row = sums(*tokens, *cost, *unpriced);
            row["key"] = json!(key);
            row
        })
        .collect();
    json!({"since": "2026-03-23T00:00:00Z", "until": "2026-03-29T12:00:00Z", "by": by, "rows": rows, "more": 0,
           "rest": sums(0, Some(0.0), 0), "total": sums(1_500, Some(1.5), 500)})
}

fn conversation() -> Value {
    json!({"id": "0198f2c1-aaaa", "number": 7, "provider": "claude-code", "title": "The \u{1b}[2Jflaky test",
           "cwd": "/h/me/p", "session": "a1b2c3d4", "usage": sums(0, None, 0)})
}

fn entry(id: i64, body: Value, text: &str) -> Value {
    json!({"id": id, "conversation": 7, "uid": format!("u{id}"), "timestamp": "2026-03-29T10:00:00Z", "body": body, "text": text})
}

fn page(entries: Vec<Value>, more: bool) -> Value {
    json!({"conversations": [conversation()], "entries": entries, "hasMore": more})
}

/// The command with a fixed time zone.
fn typed(daemon: &Prepared, line: &[&str]) -> Command {
    let mut command = daemon.codepiper();
    command.env("TZ", "UTC").args(line);
    command
}

fn ran(daemon: &Prepared, line: &str) -> Ran {
    Ran::of(&mut typed(daemon, &line.split(' ').collect::<Vec<_>>()))
}

#[test]
fn figures_are_shown_as_the_original_command_asks_for_them() {
    let models = usage("model", &[("opus", 1_000, Some(1.5), 0), ("odd", 500, None, 500)]);
    let overview = json!({"sessionsCount": 3, "activeSessions": 1, "totalTokens": 1500, "inputTokens": 1500,
        "outputTokens": 0, "cacheReadTokens": 0, "cacheCreationTokens": 0, "totalMessages": 42, "cacheHitRate": 50.0,
        "costEstimate": 1.5, "usage": sums(1_500, Some(1.5), 500), "toolCalls": 9, "toolFailures": 2,
        "since": "2026-03-23T00:00:00Z", "until": "2026-03-29T12:00:00Z"});
    let tools = json!([{"tool": "Bash\u{1b}[31m", "count": 9, "ok": 6, "failed": 2, "refused": 1, "interrupted": 0,
        "failureRate": 25.0, "averageMs": 1500.0, "longestMs": 60000}]);
    let activity = json!([{"date": "2026-03-29", "user_messages": 2, "assistant_messages": 40, "total": 42,
        "start": "2026-03-29T00:00:00Z"}]);
    let sessions = usage("session", &[("a1b2c3d4", 1_500, Some(1.5), 500)]);
    let daemon = Prepared::start(vec![
        ("GET /analytics/overview?tz=UTC", Answer::json(200, &overview)),
        ("GET /analytics/usage?range=30d&tz=UTC&by=model", Answer::json(200, &models)),
        ("GET /analytics/usage?tz=UTC&by=model", Answer::json(200, &models)),
        ("GET /analytics/tool-usage?range=all&tz=UTC", Answer::json(200, &tools)),
        ("GET /analytics/activity-timeline?range=today&tz=UTC&every=day", Answer::json(200, &activity)),
        (
            "GET /analytics/sessions-by-provider?tz=UTC",
            Answer::json(200, &json!([{"provider": "codex", "count": 3}])),
        ),
        ("GET /analytics/usage?tz=UTC&by=session", Answer::json(200, &sessions)),
    ]);
    let check = |line: &str, expected: &str| ran(&daemon, line).check(0, expected, "");
    let expected = "\
Time      2026-03-23 00:00 to 2026-03-29 12:00
Sessions  3 started, 1 running
Messages  42
Tokens    1,500: 1,500 input, 0 output, 0 from the cache, 0 into it
Cache     50.0 % of what models were given
Cost      $1.50 by list prices, without 500 tokens that have no price
Tools     9 calls, 2 failed
";
    check("analytics", expected);
    check("analytics overview", expected);
    let expected = "\
MODEL  TOKENS  COST      UNPRICED  REQUESTS  INPUT  OUTPUT  CACHE READ  WRITTEN  HITS
opus    1,000     $1.50                   3  1,000       0           0        0  50.0 %
odd       500  unpriced       500         3    500       0           0        0  50.0 %
total   1,500     $1.50       500         3  1,500       0           0        0  50.0 %
";
    check("analytics tokens --days 30", expected);
    check("analytics models", expected);
    let expected = "\
TOOL  USES  FAILED  OF ENDED  REFUSED  AVERAGE  LONGEST
Bash     9       2    25.0 %        1    1.5 s   1m 00s
";
    check("analytics tools --days 0", expected);
    let expected = "\
DAY         USER  ASSISTANT  TOTAL
2026-03-29     2         40     42
";
    check("analytics activity --days 1", expected);
    let expected = "\
PROVIDER  SESSIONS STARTED
codex                    3

SESSION   TOKENS  COST   UNPRICED  REQUESTS  INPUT  OUTPUT  CACHE READ  WRITTEN  HITS
a1b2c3d4   1,500  $1.50       500         3  1,500       0           0        0  50.0 %
total      1,500  $1.50       500         3  1,500       0           0        0  50.0 %
";
    check("analytics sessions", expected);
    let json = ran(&daemon, "analytics tokens --json");
    assert_eq!(serde_json::from_str::<Value>(&json.out).expect("JSON"), models);
    let csv = ran(&daemon, "analytics models --format csv").out;
    assert!(csv.ends_with("\nodd,,,,3,500,500,0,0,0,0,0,50,,500\n"), "{csv}");
}

#[test]
fn what_is_asked_for_reaches_the_daemon_as_it_was_typed() {
    let line = "analytics costs --by folder --since 2w --until yesterday --session a1 --provider codex --model gpt \
                --workspace /srv/x/ --limit 3 --tz Europe/Berlin";
    let daemon = Prepared::start(vec![(
        "GET /analytics/usage?since=2w&until=yesterday&tz=Europe%2FBerlin&session=a1&provider=codex&model=gpt\
         &workspace=%2Fsrv%2Fx&limit=3&by=folder",
        Answer::json(200, &usage("folder", &[("/h/me/p", 5, None, 5)])),
    )]);
    let found = ran(&daemon, line);
    assert!(found.out.contains("\n~/p     unpriced"), "{}{}", found.out, found.err);
}

#[test]
fn bars_are_on_terminals_with_and_without_colour() {
    let costs = usage("day", &[("2026-03-28", 10, Some(2.0), 0), ("2026-03-29", 10, Some(1.0), 0)]);
    let daemon = Prepared::start(vec![("GET /analytics/usage?tz=UTC&by=day", Answer::json(200, &costs))]);
    let check = |set: &[(&str, &str)], coloured: bool| {
        let mut command = typed(&daemon, &["analytics", "costs"]);
        command.env("TERM", "xterm").envs(set.iter().copied());
        let shown = Terminal::open(100, 24).run(&mut command);
        assert!(shown.contains(&"█".repeat(16)) && shown.matches('█').count() == 24, "{shown:?}");
        assert_eq!(shown.contains('\u{1b}'), coloured, "{shown:?}");
    };
    check(&[], true);
    check(&[("NO_COLOR", "1")], false);
    assert!(!ran(&daemon, "analytics costs").out.contains('█'));
}

#[test]
fn what_makes_no_sense_is_refused_with_a_way_out() {
    let check = |line: &str, expected: &str| {
        let ran = run(line);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "for `{line}`: {}", ran.err);
        assert!(ran.err.contains(expected), "for `{line}`: {}", ran.err);
    };
    check(
        "analytics --since frob",
        "error: `since` means nothing as `frob`\nhint: 90m, 2h30m, 7d and 2w go back",
    );
    check("analytics activity --by model", "hint: activity is sorted by hour, day, week or month");
    check("analytics tools --by day", "`by` sorts nothing in tools");
    check("analytics reprice --since 7d", "`since` chooses nothing here");
    check("transcript x --lines 0", "0 is not in 1..");
    check("budget x five", "`five` is no limit");
    check("analytics models --by day", "`codepiper analytics tokens --by day` sorts by it");
    check("search x --until 2026-13-01", "`until` means nothing as `2026-13-01`");
    check("analytics --days -1", "unexpected argument '-1'");
}

#[test]
fn a_conversation_is_printed_whole_over_its_pages() {
    let user = entry(3, json!({"kind": "user"}), "why\u{1b}]0;x\u{7}?");
    let call = entry(4, json!({"kind": "tool_call", "call": "t", "tool": "Bash", "input": {}}), "ls");
    let result = entry(5, json!({"kind": "tool_result", "call": "t", "outcome": "failed"}), "no");
    let daemon = Prepared::start(vec![
        (
            "GET /sessions/a1/conversation?limit=500&after=0",
            Answer::json(200, &page(vec![user.clone()], true)),
        ),
        (
            "GET /sessions/a1/conversation?limit=500&after=3",
            Answer::json(200, &page(vec![call.clone(), result.clone()], false)),
        ),
        (
            "GET /sessions/a1/conversation?limit=2",
            Answer::json(200, &page(vec![call.clone(), result.clone()], true)),
        ),
    ]);
    let rule = format!("── user  2026-03-29 10:00:00 {}", "─".repeat(51));
    let expected = format!("{rule}\nwhy?\n\n▸ Bash\n  ls\n◂ failed\n  no\n\n");
    ran(&daemon, "transcript a1").check(0, &expected, "");
    ran(&daemon, "transcript a1 -n 2").check(0, "▸ Bash\n  ls\n◂ failed\n  no\n\n", "");
    let json = ran(&daemon, "transcript a1 --json");
    assert_eq!(serde_json::from_str::<Value>(&json.out).expect("JSON"), json!([user, call, result]));

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("talk.md");
    let write = || Ran::of(typed(&daemon, &["transcript", "a1", "--format", "md", "-o"]).arg(&file));
    write().check(0, &format!("✓ {}: 3 entries\n", file.display()), "");
    let written = std::fs::read_to_string(&file).expect("a file");
    assert!(written.starts_with("# The flaky test\n\n- conversation: 0198f2c1-aaaa\n"), "{written}");
    assert!(
        written.ends_with("### tool Bash\n\n```\nls\n```\n\n### result: failed\n\n```\nno\n```\n\n"),
        "{written}"
    );
    assert_eq!(std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    let again = write();
    assert_eq!((again.code, again.err.contains("is there already")), (5, true), "{}", again.err);
}

#[test]
fn what_is_no_session_may_be_a_conversation() {
    let none =
        |what: &str| Answer::json(404, &json!({"error": format!("no {what} `x`"), "code": "not-found"}));
    let said = page(vec![entry(1, json!({"kind": "user"}), "hi")], false);
    let daemon = Prepared::start(vec![
        ("GET /sessions/codex%3A01/conversation?limit=500&after=0", none("session")),
        ("GET /conversations/codex%3A01?limit=500&after=0", Answer::json(200, &said)),
        ("GET /sessions/x/conversation?limit=500&after=0", none("session")),
        ("GET /conversations/x?limit=500&after=0", none("conversation")),
        ("GET /sessions/a/conversation?limit=500&after=0", Answer::json(200, &page(vec![], false))),
    ]);
    let found = ran(&daemon, "transcript codex:01");
    assert!(found.out.ends_with("\nhi\n\n"), "{}{}", found.out, found.err);
    ran(&daemon, "transcript x").check(4, "", "error: no session and no conversation `x`\n");
    ran(&daemon, "transcript a").check(0, "", "nothing was said so far\n");
    ran(&daemon, "transcript a --json").check(0, "[]\n", "");
}

#[test]
fn following_goes_on_after_the_last_entry() {
    let first = entry(3, json!({"kind": "user"}), "one");
    let next = entry(9, json!({"kind": "user"}), "two");
    let refusal = json!({"error": "enough", "code": "conflict"});
    let daemon = Prepared::start(vec![
        ("GET /sessions/a1/conversation?limit=20", Answer::json(200, &page(vec![first.clone()], false))),
        (
            "GET /sessions/a1/conversation?limit=500&after=3&wait=60",
            Answer::json(200, &page(vec![next.clone()], false)),
        ),
        ("GET /sessions/a1/conversation?limit=500&after=9&wait=60", Answer::json(409, &refusal)),
    ]);
    let shown = ran(&daemon, "transcript a1 --follow --json");
    let lines: Vec<Value> = shown.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((lines, shown.code), (vec![first, next], 5), "{}", shown.err);
}

#[test]
fn what_is_found_is_shown_with_where_it_is() {
    let piece = |text: &str, hit: bool| json!({"text": text, "hit": hit});
    let found = json!({"hits": [{"entry": 3, "conversation": 7, "timestamp": "2026-03-29T10:00:00Z", "role": "user",
        "snippet": [piece("the \u{1b}[31m", false), piece("flaky", true), piece(" test", false)]}],
        "conversations": [conversation()], "hasMore": true, "behind": 2});
    let none = json!({"hits": [], "conversations": [], "hasMore": false, "behind": 0});
    let daemon = Prepared::start(vec![
        ("GET /search?q=flaky%20test&role=user&limit=1&since=7d&tz=UTC", Answer::json(200, &found)),
        ("GET /search?q=none&tz=UTC", Answer::json(200, &none)),
    ]);
    let expected = "2026-03-29 10:00  user       0198f2c1-aaaa  The flaky test  ~/p\n    the flaky test\n";
    let said = "there is more; --limit 5 shows it\nnote: 2 entries were just read and cannot be found yet\n";
    ran(&daemon, "search flaky test --role user --since 7d --limit 1").check(0, expected, said);
    ran(&daemon, "search none").check(0, "", "nothing found\n");
    let json = ran(&daemon, "search flaky test --role user --since 7d --limit 1 --json");
    assert!(!json.out.contains('\u{1b}'));
    assert_eq!(serde_json::from_str::<Value>(&json.out).expect("JSON")["hits"][0]["snippet"][1]["hit"], true);

    let mut command =
        typed(&daemon, &["search", "flaky", "test", "--role", "user", "--since", "7d", "--limit", "1"]);
    let shown = Terminal::open(40, 24).run(command.env("TERM", "xterm"));
    assert!(shown.contains("\u{1b}[1mflaky\u{1b}[0m") && !shown.contains("\u{1b}[2J"), "{shown:?}");
}

#[test]
fn an_import_says_when_figures_are_complete_if_there_are_new_ones() {
    let lines = |replies: u64| {
        let states =
            [(0, false, 0, false), (2_000_000, true, replies, false), (2_000_000, true, replies, true)];
        let line = |(read, counted, replies, done)| {
            json!({"files": 2, "filesDone": 2, "bytes": 2_000_000, "bytesCounted": read, "counted": counted,
                   "bytesDone": read, "entries": 3 * replies, "replies": replies, "problems": [], "done": done})
        };
        states.map(|state| format!("{}\n", line(state))).concat()
    };
    for (replies, out, err) in [
        (2, "new: 6 entries, 2 replies", "all replies are counted: tokens and costs are complete\n"),
        (0, "new: 0 entries, 0 replies", ""),
    ] {
        let daemon = Prepared::start(vec![("POST /import", Answer::text(&lines(replies)))]);
        ran(&daemon, "import").check(0, &format!("✓ 2 transcripts, 2000 KB; {out}\n"), err);
    }
}
