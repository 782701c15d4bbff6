//! Rules and approvals with the real agents: what is denied does not happen, and the agent is told why.

mod alone;
mod budget;
mod claude;
mod codex;
mod forgery;
mod outcomes;
mod plans;

use codepiper_tests::agents::{AgentHome, claude_home, codex_home};
use codepiper_tests::lab::Lab;
use codepiper_tests::model_stub::{Asked, ModelStub};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// An agent in a lab of its own.
struct Bench {
    lab: Lab,
    stub: ModelStub,
    home: AgentHome,
    provider: &'static str,
}

impl Bench {
    async fn claude() -> Self {
        let (lab, stub) = (Lab::start().await, ModelStub::start().await);
        let mut home = claude_home(&lab.path("agent"), &lab.project(), &stub.url()).expect("a home is made");
        // As root it refuses to bypass permissions without.
        home.environment.push(("IS_SANDBOX".into(), "1".into()));
        Self { lab, stub, home, provider: "claude-code" }
    }

    async fn codex() -> Self {
        let (lab, stub) = (Lab::start().await, ModelStub::start().await);
        let home = codex_home(&lab.path("codex"), &lab.project(), &stub.url()).expect("a home is made");
        Self { lab, stub, home, provider: "codex" }
    }

    async fn start(&self, args: &[&str]) -> String {
        let id = self.lab.agent(self.provider, &self.home, json!({ "args": args })).await;
        self.lab.wait_for_state(&id, "idle").await;
        id
    }

    /// The person has said yes to Claude Code's own warning of the mode.
    fn accept_bypass(&self) {
        let settings = self.home.config.join("settings.json");
        let mut known: Value = std::fs::read(&settings)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_else(|| json!({}));
        known["skipDangerousModePermissionPrompt"] = json!(true);
        std::fs::write(&settings, known.to_string()).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.project.join(name)
    }
}

/// All of Codex's own questions off.
const CODEX_BYPASS: [&str; 1] = ["--dangerously-bypass-approvals-and-sandbox"];

/// Writes a policy of these rules.
async fn policy(lab: &Lab, rules: Value) {
    lab.ok("POST", "/policies", json!({ "name": "guard", "rules": rules })).await;
}

/// The rules of most tests: `secret.txt` is nobody's, `ok…` is everybody's, `ask…` is asked about.
async fn usual_policy(lab: &Lab) {
    let rules = json!([
        { "action": "deny", "tool": ["Write", "Edit"], "args": { "file_path": "secret.txt" },
          "reason": "leave the secret alone" },
        { "action": "allow", "tool": "Bash", "args": { "command": "touch ok*" } },
        { "action": "ask", "tool": "Bash", "args": { "command": "touch ask*" }, "reason": "look first" },
    ]);
    policy(lab, rules).await;
}

/// Waits for the next open approval of the session; it.
async fn opened(lab: &Lab, id: &str, after: u64) -> Value {
    let event = lab.wait_for_event(id, after, |event| event["type"] == "approval-opened").await;
    let path = format!("/approvals/{}", event["payload"]["approval"].as_str().unwrap());
    lab.ok("GET", &path, Value::Null).await["approval"].take()
}

async fn standing(lab: &Lab, approval: &Value) -> String {
    let path = format!("/approvals/{}", approval["id"].as_str().unwrap());
    lab.ok("GET", &path, Value::Null).await["approval"]["state"].as_str().unwrap().to_owned()
}

fn id_of(approval: &Value) -> &str {
    approval["id"].as_str().unwrap()
}

/// What the tools told the model in the last turn.
fn told(stub: &ModelStub) -> String {
    let mut turns = stub.requests().into_iter().filter(|request| request.asked == Asked::Turn);
    turns.next_back().map(|turn| turn.tool_results.join("\n")).unwrap_or_default()
}

/// How many approvals the session ever opened.
async fn questions(lab: &Lab, id: &str) -> usize {
    lab.events(id).await.iter().filter(|event| event["type"] == "approval-opened").count()
}

/// The decisions on record, as `tool decision`.
async fn decisions(lab: &Lab, id: &str) -> Vec<String> {
    let page = lab.ok("GET", &format!("/audit?session={id}&kind=decision"), Value::Null).await;
    let entries = page["entries"].as_array().unwrap();
    let line = |entry: &Value| {
        format!("{} {}", entry["tool"].as_str().unwrap(), entry["decision"].as_str().unwrap())
    };
    entries.iter().map(line).collect()
}

/// Waits for what nothing tells of: a file of an agent's script, a screen while there is no daemon.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let patience = Instant::now();
    while !is_so() {
        assert!(patience.elapsed().as_secs() < 60, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
