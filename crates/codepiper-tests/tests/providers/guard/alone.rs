//! The daemon is killed and stays away: what is denied stays denied, what is allowed is the agent's own question, and
//! the record of both is there when a daemon is back.

use super::{Bench, policy, until};
use codepiper_tests::model_stub::Request;
use serde_json::{Value, json};
use std::time::Duration;

/// How long a prompt may take from Enter to the model, before Enter is pressed again.
const ENTER_PATIENCE: Duration = Duration::from_secs(3);

impl Bench {
    /// Types into the agent's terminal as a person does. There is no daemon that could do it.
    async fn type_in(&self, id: &str, text: &str) {
        let pane = format!("=codepiper-{id}:");
        self.lab.tmux(["send-keys", "-t", &pane, "-l", text]);
        let end = &text[text.len() - 10..];
        until("what was typed", || self.lab.screen(id).contains(end)).await;
        let taken = || self.stub.wait_for(|request| request.prompt.as_deref() == Some(text));
        for _ in 0..5 {
            self.lab.tmux(["send-keys", "-t", &pane, "Enter"]);
            if tokio::time::timeout(ENTER_PATIENCE, taken()).await.is_ok() {
                return;
            }
        }
        panic!("`{text}` was not taken:\n{}", self.lab.screen(id));
    }

    /// Waits until a tool told the model this.
    async fn model_was_told(&self, text: &str) -> Request {
        let told = |request: &Request| request.tool_results.iter().any(|result| result.contains(text));
        let waits = tokio::time::timeout(Duration::from_secs(60), self.stub.wait_for(told)).await;
        waits.unwrap_or_else(|_| panic!("the model was not told `{text}`"))
    }
}

/// What differs between the agents.
struct Alone {
    args: &'static [&'static str],
    /// A prompt for a call that is denied, one for a call that is allowed.
    denied: String,
    allowed: &'static str,
    /// What the agent's own question says, and the key for yes.
    question: &'static str,
    yes: &'static str,
}

async fn holds_alone(bench: &Bench, alone: Alone) {
    let lab = &bench.lab;
    let rules = json!([
        { "id": "no", "action": "deny", "tool": "Write", "args": { "file_path": "secret.txt" },
          "reason": "leave the secret alone" },
        { "id": "no", "action": "deny", "tool": "Bash", "args": { "command": "touch secret*" },
          "reason": "leave the secret alone" },
        { "id": "yes", "action": "allow", "tool": "Bash", "args": { "command": "touch ok*" } },
    ]);
    policy(lab, rules).await;
    let id = bench.start(alone.args).await;
    let before = lab.ok("GET", &format!("/audit?session={id}"), Value::Null).await;
    assert_eq!(before["entries"], json!([]));
    lab.kill_daemon();

    bench.type_in(&id, &alone.denied).await;
    bench.model_was_told("leave the secret alone").await;
    assert!(!bench.file("secret.txt").exists());
    until("the end of the turn", || lab.screen(&id).contains("done: ")).await;

    bench.type_in(&id, alone.allowed).await;
    until("the agent's own question", || lab.screen(&id).contains(alone.question)).await;
    assert!(!bench.file("ok.txt").exists(), "without the daemon nothing is allowed by itself");
    // A key that is pressed in the very moment a dialog is drawn is lost.
    tokio::time::sleep(Duration::from_millis(300)).await;
    lab.tmux(["send-keys", "-t", &format!("=codepiper-{id}:"), alone.yes]);
    until("the allowed call", || bench.file("ok.txt").exists()).await;
    assert_eq!(bench.stub.violations(), Vec::<String>::new());

    lab.start_daemon();
    let stood_in = |says: &'static str| {
        move |event: &Value| event["payload"]["codepiperStandIn"]["verdict"]["says"] == says
    };
    let denied = lab.wait_for_event(&id, 0, stood_in("deny")).await;
    let left = lab.wait_for_event(&id, 0, stood_in("nothing")).await;
    assert_eq!((&denied["type"], &left["type"]), (&json!("PreToolUse"), &json!("PreToolUse")));
    lab.wait_for_event(&id, 0, |event| event["type"] == "PostToolUse").await;
    let page = lab.ok("GET", &format!("/audit?session={id}"), Value::Null).await;
    let told: Vec<[&str; 4]> = page["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            ["/kind", "/body/gate", "/decision", "/body/by/snapshot/rule"]
                .map(|at| entry.pointer(at).and_then(Value::as_str).unwrap_or_default())
        })
        .collect();
    let expected = [
        ["decision", "tool-use", "deny", "no"],
        ["decision", "tool-use", "none", "yes"],
        ["decision", "question", "none", "yes"],
        ["outcome", "", "ran", ""],
    ];
    assert_eq!(told, expected, "{page}");
    let calls: Vec<&Value> = page["entries"].as_array().unwrap().iter().map(|e| &e["body"]["call"]).collect();
    assert!(calls[1].is_string() && calls[1] != calls[0], "{page}");
    assert_eq!([calls[2], calls[3]], [calls[1]; 2], "{page}");
    lab.cli(["audit", "verify"]);
}

#[tokio::test]
async fn claude_code_is_held_to_its_rules_without_a_daemon() {
    let bench = Bench::claude().await;
    let alone = Alone {
        args: &[],
        denied: format!("WRITE: {} :: text", bench.file("secret.txt").display()),
        allowed: "RUN: touch ok.txt",
        question: "1. Yes",
        yes: "1",
    };
    holds_alone(&bench, alone).await;
}

#[tokio::test]
async fn codex_is_held_to_its_rules_without_a_daemon() {
    let bench = Bench::codex().await;
    let alone = Alone {
        args: &[],
        denied: "RUN: touch secret.txt".into(),
        allowed: "ESC: touch ok.txt",
        question: "Would you like to run",
        yes: "y",
    };
    holds_alone(&bench, alone).await;
}
