//! Claude Code.

use super::{Bench, decisions, id_of, opened, policy, questions, standing, told, usual_policy};
use serde_json::{Value, json};

const BYPASS: [&str; 2] = ["--permission-mode", "bypassPermissions"];

async fn rules_hold(bench: &Bench, id: &str) {
    let lab = &bench.lab;
    lab.turn(id, &format!("WRITE: {} :: text", bench.file("secret.txt").display())).await;
    assert!(!bench.file("secret.txt").exists());
    assert!(told(&bench.stub).contains("leave the secret alone"), "{}", told(&bench.stub));

    lab.turn(id, "RUN: touch ok.txt").await;
    assert!(bench.file("ok.txt").exists());
    assert_eq!(questions(lab, id).await, 0, "an allowed call asks nobody");

    let after = lab.last_event().await;
    lab.send(id, "RUN: touch ask.txt").await;
    let approval = opened(lab, id, after).await;
    assert_eq!(approval["shown"], json!(["touch ask.txt"]));
    assert!(approval["why"].as_str().unwrap().contains("look first"), "{approval}");
    assert!(!bench.file("ask.txt").exists());
    lab.cli(["approvals", "allow", id_of(&approval)]);
    lab.wait_for_state(id, "idle").await;
    assert!(bench.file("ask.txt").exists());
    assert_eq!(standing(lab, &approval).await, "allowed");

    let decided = decisions(lab, id).await;
    for wanted in ["Write deny", "Bash allow", "Bash ask"] {
        assert!(decided.iter().any(|decision| decision == wanted), "no `{wanted}` in {decided:?}");
    }
    assert_eq!(bench.stub.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn rules_hold_in_the_default_mode() {
    let bench = Bench::claude().await;
    usual_policy(&bench.lab).await;
    let id = bench.start(&[]).await;
    rules_hold(&bench, &id).await;
}

#[tokio::test]
async fn rules_hold_when_permissions_are_bypassed() {
    let bench = Bench::claude().await;
    usual_policy(&bench.lab).await;
    bench.accept_bypass();
    let id = bench.start(&BYPASS).await;
    rules_hold(&bench, &id).await;
}

#[tokio::test]
async fn a_no_is_told_to_the_model_and_a_question_of_nobodys_rule_waits_too() {
    let bench = Bench::claude().await;
    let id = bench.start(&[]).await;
    bench.lab.send(&id, "RUN: touch own.txt").await;
    let approval = opened(&bench.lab, &id, 0).await;
    bench.lab.cli(["approvals", "deny", &id, "--note", "use the other folder"]);
    bench.lab.wait_for_state(&id, "idle").await;
    assert!(!bench.file("own.txt").exists());
    assert!(told(&bench.stub).contains("use the other folder"), "{}", told(&bench.stub));
    assert_eq!(standing(&bench.lab, &approval).await, "denied");
}

#[tokio::test]
async fn what_is_answered_at_the_terminal_is_closed_here() {
    let bench = Bench::claude().await;
    let id = bench.start(&[]).await;
    bench.lab.send(&id, "RUN: touch there.txt").await;
    let approval = opened(&bench.lab, &id, 0).await;
    bench.lab.wait_for_text(&id, "Yes").await;
    bench.lab.keys(&id, &["1"]).await;
    bench.lab.wait_for_state(&id, "idle").await;
    assert!(bench.file("there.txt").exists());
    assert_eq!(standing(&bench.lab, &approval).await, "at-terminal");

    let after = bench.lab.last_event().await;
    bench.lab.send(&id, "RUN: touch nowhere.txt").await;
    let approval = opened(&bench.lab, &id, after).await;
    bench.lab.wait_for_text(&id, "nowhere.txt").await;
    bench.lab.keys(&id, &["escape"]).await;
    bench.lab.wait_for_event(&id, after, |event| event["type"] == "approval-closed").await;
    assert_ne!(standing(&bench.lab, &approval).await, "open");
    assert!(!bench.file("nowhere.txt").exists());
}

#[tokio::test]
async fn nobody_in_time_leaves_the_dialog_or_denies() {
    let bench = Bench::claude().await;
    bench.lab.cli(["settings", "set", "approvalSeconds", "2"]);
    bench.lab.cli(["settings", "set", "approvalOnExpiry", "deny"]);
    let id = bench.start(&[]).await;
    bench.lab.send(&id, "RUN: touch late.txt").await;
    let approval = opened(&bench.lab, &id, 0).await;
    bench.lab.wait_for_state(&id, "idle").await;
    assert!(!bench.file("late.txt").exists());
    assert!(told(&bench.stub).contains("nobody answered"), "{}", told(&bench.stub));
    assert_eq!(standing(&bench.lab, &approval).await, "expired");
}

#[tokio::test]
async fn a_question_outlives_a_killed_daemon() {
    let bench = Bench::claude().await;
    usual_policy(&bench.lab).await;
    let id = bench.start(&[]).await;
    bench.lab.send(&id, "RUN: touch ask.txt").await;
    let approval = opened(&bench.lab, &id, 0).await;
    bench.lab.kill_daemon();
    bench.lab.start_daemon();
    assert_eq!(standing(&bench.lab, &approval).await, "open");
    bench.lab.cli(["approvals", "allow", id_of(&approval)]);
    bench.lab.wait_for_state(&id, "idle").await;
    assert!(bench.file("ask.txt").exists());
}

#[tokio::test]
async fn sub_agents_are_held_to_the_same_rules() {
    let bench = Bench::claude().await;
    usual_policy(&bench.lab).await;
    let id = bench.start(&[]).await;
    let secret = bench.file("secret.txt");
    bench.lab.turn(&id, &format!("AGENT: WRITE: {} :: text\\nRUN: touch ok2.txt", secret.display())).await;
    assert!(!secret.exists());
    assert!(bench.file("ok2.txt").exists());
    let page = bench.lab.ok("GET", &format!("/audit?session={id}&decision=deny"), Value::Null).await;
    let denied = &page["entries"][0];
    assert_eq!(denied["tool"], "Write");
    assert!(denied["body"]["agent"].is_string(), "it is known to be a sub-agent: {denied}");
}

#[tokio::test]
async fn a_tool_of_an_mcp_server_is_decided_by_its_name() {
    const SERVER: &str = r#"
const lines = require('readline').createInterface({ input: process.stdin });
const say = (id, result) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id, result }) + '\n');
lines.on('line', line => {
  const { id, method, params } = JSON.parse(line);
  if (method === 'initialize')
    say(id, { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'lab', version: '1' } });
  else if (method === 'tools/list')
    say(id, { tools: ['good', 'bad'].map(name => ({ name, description: name, inputSchema: { type: 'object', properties: {} } })) });
  else if (method === 'tools/call') {
    require('fs').writeFileSync(params.name + '.txt', 'called');
    say(id, { content: [{ type: 'text', text: 'called' }] });
  } else if (id !== undefined) say(id, {});
});"#;
    let bench = Bench::claude().await;
    policy(
        &bench.lab,
        json!([
            { "action": "allow", "tool": "mcp__lab__*" },
            { "action": "deny", "tool": "mcp__lab__bad", "reason": "not that tool" },
        ]),
    )
    .await;
    let server = bench.lab.path("server.js");
    std::fs::write(&server, SERVER).unwrap();
    let config = json!({ "mcpServers": { "lab": { "command": "node", "args": [server] } } });
    let id = bench.start(&["--mcp-config", &config.to_string()]).await;
    // Claude Code takes prompts before its MCP servers are connected.
    for _ in 0..20 {
        bench.lab.turn(&id, "TOOL: mcp__lab__good {}").await;
        if !told(&bench.stub).contains("No such tool") {
            break;
        }
    }
    assert!(bench.file("good.txt").exists(), "{}", told(&bench.stub));
    bench.lab.turn(&id, "TOOL: mcp__lab__bad {}").await;
    assert!(!bench.file("bad.txt").exists());
    assert!(told(&bench.stub).contains("not that tool"), "{}", told(&bench.stub));
    assert_eq!(questions(&bench.lab, &id).await, 0);
}

#[tokio::test]
async fn questions_and_plans_of_the_model_are_answered_from_outside() {
    let bench = Bench::claude().await;
    // A rule that allows everything answers no question.
    policy(&bench.lab, json!([{ "action": "allow" }])).await;
    let id = bench.start(&[]).await;
    bench.lab.send(&id, "ASK: Tea or coffee? :: Tea | Coffee").await;
    let approval = opened(&bench.lab, &id, 0).await;
    assert_eq!(approval["wants"], "answers");
    bench.lab.cli(["approvals", "answer", &id, "2"]);
    bench.lab.wait_for_state(&id, "idle").await;
    assert!(told(&bench.stub).contains("Coffee"), "{}", told(&bench.stub));
    assert_eq!(standing(&bench.lab, &approval).await, "answered");
}

#[tokio::test]
async fn whoever_has_no_rules_is_asked_no_more_than_before() {
    let bench = Bench::claude().await;
    bench.accept_bypass();
    let id = bench.start(&BYPASS).await;
    bench.lab.turn(&id, "RUN: X=touch; $X none.txt").await;
    assert!(bench.file("none.txt").exists(), "{}", told(&bench.stub));
    assert_eq!(questions(&bench.lab, &id).await, 0);
}
