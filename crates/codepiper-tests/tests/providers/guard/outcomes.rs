//! What became of each call stands beside its decision, and all entries of a call are one story.

use super::{Bench, CODEX_BYPASS, id_of, opened, policy, told};
use serde_json::{Value, json};

async fn rules(bench: &Bench) {
    let rules = json!([
        { "action": "deny", "tool": "Bash", "args": { "command": "touch secret*" }, "reason": "leave the secret alone" },
        { "action": "allow", "tool": "Bash", "args": { "command": ["touch ok*", "false"] } },
        { "action": "ask", "tool": "Bash", "args": { "command": "touch ask*" }, "reason": "look first" },
    ]);
    policy(&bench.lab, rules).await;
}

/// Sends what is asked about, answers it, and waits for the end of the turn.
async fn answered(bench: &Bench, id: &str, prompt: &str, word: &str) {
    let after = bench.lab.last_event().await;
    bench.lab.send(id, prompt).await;
    let approval = opened(&bench.lab, id, after).await;
    bench.lab.cli(["approvals", word, id_of(&approval)]);
    bench.lab.wait_for_state(id, "idle").await;
}

/// All that is on record of the one call of this command, as `kind gate decision`, in its order; and its last entry.
async fn story(bench: &Bench, id: &str, command: &str) -> (Vec<String>, Value) {
    let page = bench.lab.ok("GET", &format!("/audit?session={id}&kind=decision"), Value::Null).await;
    let decisions = page["entries"].as_array().unwrap();
    let first = decisions.iter().find(|entry| entry["body"]["args"]["command"] == command);
    let call = first.unwrap_or_else(|| panic!("no decision on `{command}`: {page}"))["body"]["call"].clone();
    let call = call.as_str().unwrap_or_else(|| panic!("the call has no id: {page}"));
    let told = bench.lab.cli(["audit", id, "--call", call, "--format", "json"]);
    let entries: Vec<Value> = serde_json::from_str(&told).unwrap();
    let word = |entry: &Value, at: &str| entry.pointer(at).and_then(Value::as_str).unwrap_or("-").to_owned();
    let line =
        |entry: &Value| [word(entry, "/kind"), word(entry, "/body/gate"), word(entry, "/decision")].join(" ");
    (entries.iter().map(line).collect(), entries.last().unwrap().clone())
}

async fn check(bench: &Bench, id: &str, command: &str, expected: &[&str]) -> Value {
    let (story, last) = story(bench, id, command).await;
    assert_eq!(story, expected, "{command}");
    last
}

#[tokio::test]
async fn claude_code_tells_what_ran_what_failed_and_how_long_it_took() {
    let bench = Bench::claude().await;
    rules(&bench).await;
    let id = bench.start(&[]).await;
    let (lab, id) = (&bench.lab, id.as_str());
    lab.turn(id, "RUN: touch ok.txt\nRUN: false\nRUN: touch secret.txt").await;
    answered(&bench, id, "RUN: touch ask.txt", "allow").await;
    answered(&bench, id, "RUN: touch ask-no.txt", "deny").await;
    answered(&bench, id, "AGENT: RUN: touch ask-below.txt", "allow").await;
    assert!(bench.file("ask-below.txt").exists(), "{}", told(&bench.stub));

    let ran = check(&bench, id, "touch ok.txt", &["decision tool-use allow", "outcome - ran"]).await;
    assert_eq!(ran["body"]["shown"], "touch ok.txt");
    assert!(ran["body"]["durationMs"].is_u64(), "{ran}");
    let failed = check(&bench, id, "false", &["decision tool-use allow", "outcome - failed"]).await;
    assert!(failed["body"]["reason"].as_str().unwrap().contains("Exit code 1"), "{failed}");
    check(&bench, id, "touch secret.txt", &["decision tool-use deny"]).await;
    let asked = ["decision tool-use ask", "decision question ask", "answer - allowed", "outcome - ran"];
    check(&bench, id, "touch ask.txt", &asked).await;
    check(&bench, id, "touch ask-below.txt", &asked).await;
    let denied = ["decision tool-use ask", "decision question ask", "answer - denied"];
    check(&bench, id, "touch ask-no.txt", &denied).await;

    let lines = lab.cli(["audit", id]);
    assert!(lines.contains("Bash false  took ") && lines.contains("Exit code 1  call "), "{lines}");
    let csv = lab.cli(["audit", id, "--kind", "outcome", "--format", "csv"]);
    assert!(csv.lines().any(|line| line.contains(",outcome,Bash,ran,touch ok.txt,")), "{csv}");
    lab.cli(["audit", "verify"]);
    assert_eq!(bench.stub.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn codex_tells_what_ran() {
    let bench = Bench::codex().await;
    rules(&bench).await;
    let id = bench.start(&CODEX_BYPASS).await;
    bench.lab.turn(&id, "RUN: touch ok.txt\nRUN: touch secret.txt\nRUN: false").await;
    answered(&bench, &id, "RUN: touch ask.txt", "allow").await;
    answered(&bench, &id, "RUN: touch ask-no.txt", "deny").await;
    let ran = check(&bench, &id, "touch ok.txt", &["decision tool-use allow", "outcome - ran"]).await;
    assert!(ran["body"]["sinceDecisionMs"].is_u64(), "{ran}");
    check(&bench, &id, "touch secret.txt", &["decision tool-use deny"]).await;
    // It does not tell how a command came out.
    check(&bench, &id, "false", &["decision tool-use allow", "outcome - ran"]).await;
    let asked = ["decision tool-use ask", "answer - allowed", "outcome - ran"];
    check(&bench, &id, "touch ask.txt", &asked).await;
    check(&bench, &id, "touch ask-no.txt", &["decision tool-use ask", "answer - denied"]).await;
    bench.lab.cli(["audit", "verify"]);
}

#[tokio::test]
async fn codexs_own_question_is_a_part_of_the_story() {
    let bench = Bench::codex().await;
    rules(&bench).await;
    let id = bench.start(&[]).await;
    bench.lab.turn(&id, "ESC: touch ok.txt").await;
    answered(&bench, &id, "ESC: touch other.txt", "allow").await;
    let by_rule = ["decision tool-use allow", "decision question allow", "outcome - ran"];
    check(&bench, &id, "touch ok.txt", &by_rule).await;
    let (story, _) = story(&bench, &id, "touch other.txt").await;
    assert_eq!(
        story,
        [
            "decision tool-use none",
            "decision question none",
            "decision question none",
            "answer - allowed",
            "outcome - ran"
        ]
    );
}
