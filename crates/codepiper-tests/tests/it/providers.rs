//! Agents that are known by a definition file alone: state is read off their screen.

use codepiper_tests::lab::Lab;
use serde_json::{Value, json};

/// A small agent of the old school: a prompt, an answer, a question. It knows no hooks.
const AGENT: &str = r#"
printf 'welcome\n'
[ "$1" = focus ] && printf '\033[?1004h'
while printf 'say> ' && IFS= read -r line; do
    case $line in
        work*) printf 'working hard...\n'; sleep 0.6; printf '\033[1A\033[2Kdone %s\n' "$line" ;;
        ask*)  printf 'really? (y/n) '; IFS= read -r answer; printf '\033[1A\033[2Kyou said %s\n' "$answer" ;;
        bye)   exit 0 ;;
        *)     printf 'heard [%s]\n' "$line" ;;
    esac
done
"#;

const DEFINITION: &str = r#"
id = "oldtimer"
program = "sh"
install = "it comes with every system"

[screen]
ready = '^say>'
busy = 'working hard'

[[screen.dialogs]]
name = "question"
pattern = 'really\? \(y/n\)'
need = "permission"
question = "it asks whether you mean it"
how = "`codepiper keys {id} y enter` means it"
"#;

async fn lab() -> (Lab, String) {
    let lab = Lab::new();
    std::fs::create_dir_all(lab.path("home/providers")).unwrap();
    std::fs::write(lab.path("home/providers/oldtimer.toml"), DEFINITION).unwrap();
    std::fs::write(lab.path("agent.sh"), AGENT).unwrap();
    lab.start_daemon();
    let body = json!({
        "provider": "oldtimer", "cwd": lab.project(), "args": [lab.path("agent.sh")],
    });
    let id = lab.session(body).await;
    lab.wait_for_state(&id, "idle").await;
    (lab, id)
}

#[tokio::test]
async fn a_defined_agent_is_started_typed_into_and_followed_by_its_screen() {
    let (lab, id) = lab().await;
    let sent = lab.send(&id, "-x; \"é\" $HOME").await;
    assert_eq!(sent["acknowledgedBy"], "screen");
    lab.wait_for_text(&id, "heard [-x; \"é\" $HOME]").await;
    let after = lab.last_event().await;
    lab.send(&id, "work now").await;
    for state in ["running", "idle"] {
        lab.wait_for_event(&id, after, |event| {
            event["type"] == "state" && event["payload"]["state"] == state
        })
        .await;
    }
    lab.send(&id, "ask me").await;
    let asked = lab.wait_for_state(&id, "waiting").await;
    assert_eq!(asked["question"]["question"], "it asks whether you mean it");
    assert_eq!(asked["question"]["how"], format!("`codepiper keys {id} y enter` means it"));
    lab.keys(&id, &["y", "enter"]).await;
    lab.wait_for_text(&id, "you said y").await;
    lab.wait_for_state(&id, "idle").await;
    lab.send(&id, "bye").await;
    lab.wait_for_state(&id, "stopped").await;
}

#[tokio::test]
async fn what_a_provider_cannot_do_is_refused_with_its_name() {
    let (lab, id) = lab().await;
    let refused = async |method: &str, path: &str, body: Value, says: &str| {
        let (status, refusal) = lab.ask(method, path, body).await;
        assert!((400..500).contains(&status) && refusal.to_string().contains(says), "{status} {refusal}");
    };
    refused("PUT", &format!("/sessions/{id}/model"), json!({ "model": "x" }), "cannot switch its model")
        .await;
    refused("POST", &format!("/sessions/{id}/slash"), json!({ "command": "help" }), "no slash commands")
        .await;
    let dangerous = json!({ "provider": "oldtimer", "cwd": lab.project(), "dangerousMode": true });
    refused("POST", "/sessions", dangerous, "cannot run without permission questions").await;
    lab.ok("POST", &format!("/sessions/{id}/stop"), Value::Null).await;
    refused("POST", &format!("/sessions/{id}/resume"), Value::Null, "cannot resume").await;
}

#[tokio::test]
async fn every_provider_is_listed_with_what_it_can_do_and_how_to_get_it() {
    let (lab, _) = lab().await;
    let listed = lab.ok("GET", "/providers", Value::Null).await;
    let providers = listed["providers"].as_array().unwrap();
    let ids: Vec<&str> = providers.iter().map(|provider| provider["id"].as_str().unwrap()).collect();
    assert_eq!(
        ids,
        ["claude-code", "codex", "demo", "gemini", "opencode", "aider", "cursor-agent", "oldtimer"]
    );
    for provider in providers {
        let is_demo = provider["id"] == "demo";
        assert_eq!(provider["install"].as_str().unwrap().is_empty(), is_demo, "{provider}");
    }
}

#[tokio::test]
async fn whoever_looks_at_a_killed_agent_in_focus_mode_does_not_end_tmux() {
    let (lab, keeper) = lab().await;
    for who in ["agent", "supervisor"] {
        let body = json!({
            "provider": "oldtimer", "cwd": lab.project(), "args": [lab.path("agent.sh"), "focus"],
        });
        let id = lab.session(body).await;
        lab.wait_for_state(&id, "idle").await;
        let run = std::fs::read(lab.path(&format!("home/sessions/{id}/run.json"))).unwrap();
        let run: Value = serde_json::from_slice(&run).unwrap();
        let pid = rustix::process::Pid::from_raw(run[who]["pid"].as_i64().unwrap() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        lab.wait_for_state(&id, "crashed").await;

        let name = format!("=codepiper-{id}");
        lab.tmux(["-C", "attach-session", "-t", &name]);
        let shown = lab.tmux(["capture-pane", "-p", "-t", &format!("{name}:")]);
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.contains("say>"), "the {who} was killed; shown: {shown:?}");
        assert_eq!(lab.show(&keeper).await["state"], "idle");
    }
}

#[tokio::test]
async fn what_is_typed_into_an_agent_without_hooks_is_held_against_the_rules() {
    let (lab, id) = lab().await;
    let rules = json!([
        { "action": "deny", "tool": "terminal_input", "args": { "input": "*production*" }, "reason": "hands off" },
        { "action": "ask", "tool": "terminal_keys", "args": { "keys": "*ctrl+d*" }, "reason": "that ends it" },
    ]);
    lab.ok("POST", "/policies", json!({ "name": "typing", "rules": rules })).await;
    let send = json!({ "text": "deploy to\nproduction", "newline": true });
    let (status, refusal) = lab.ask("POST", &format!("/sessions/{id}/send"), send).await;
    assert_eq!((status, &refusal["details"]["policyAction"]), (403, &json!("deny")), "{refusal}");
    assert!(refusal["error"].as_str().unwrap().contains("hands off"), "{refusal}");
    let keys = json!({ "keys": ["ctrl+d"] });
    let (status, refusal) = lab.ask("POST", &format!("/sessions/{id}/keys"), keys).await;
    assert_eq!((status, &refusal["details"]["policyAction"]), (409, &json!("ask")), "{refusal}");
    lab.send(&id, "deploy to staging").await;
    lab.wait_for_text(&id, "heard [deploy to staging]").await;
    assert!(!lab.screen(&id).contains("production"));
}
