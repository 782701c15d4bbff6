//! What the model served is what we counted: every reply once, whatever became of the conversation in between.

use codepiper_store::Connection;
use codepiper_tests::agents::{AgentHome, claude_home, codex_home};
use codepiper_tests::lab::Lab;
use codepiper_tests::model_stub::{ModelStub, Progress};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Input, output, reasoning, read from the cache, written to it.
type Tokens = (u64, u64, u64, u64, u64);

/// The lines of all transcripts below a folder.
fn transcript_lines(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            lines.extend(transcript_lines(&path));
        } else if path.extension().is_some_and(|ending| ending == "jsonl") {
            lines.extend(fs::read_to_string(&path).unwrap_or_default().lines().map(str::to_owned));
        }
    }
    lines
}

/// Input, output, reasoning, read from the cache, written to it, and the session.
type Counted = (u64, u64, u64, u64, u64, String);

struct Bench {
    lab: Lab,
    stub: ModelStub,
    home: AgentHome,
    provider: &'static str,
}

impl Bench {
    async fn claude() -> Self {
        let (lab, stub) = (Lab::start().await, ModelStub::start().await);
        let mut home = claude_home(&lab.path("agent"), &lab.project(), &stub.url()).unwrap();
        home.environment.push(("IS_SANDBOX".into(), "1".into())); // as root it refuses without
        Self { lab, stub, home, provider: "claude-code" }
    }

    async fn codex() -> Self {
        let (lab, stub) = (Lab::start().await, ModelStub::start().await);
        let home = codex_home(&lab.path("codex"), &lab.project(), &stub.url()).unwrap();
        Self { lab, stub, home, provider: "codex" }
    }

    /// A session that asks for nothing, ready for a prompt.
    async fn start(&self, mut more: Value) -> String {
        more["dangerousMode"] = json!(true);
        let id = self.lab.agent(self.provider, &self.home, more).await;
        self.lab.wait_for_state(&id, "idle").await;
        id
    }

    /// A turn in which the daemon is killed; the agent goes on, and a new daemon comes.
    async fn killed_in_mid_turn(&self, id: &str) {
        let before = self.lab.last_event().await;
        self.lab.send(id, "STREAM: 40 50\nRUN: echo after").await;
        self.lab.wait_for_state(id, "running").await;
        self.lab.kill_daemon();
        self.lab.start_daemon();
        // On a busy machine the end of the turn before may be told late.
        let ran = self.lab.wait_for_event(id, before, |event| event["type"] == "PostToolUse").await;
        let ran = ran["id"].as_u64().unwrap();
        self.lab.wait_for_event(id, ran, |event| event["type"] == "Stop").await;
        self.lab.wait_for_state(id, "idle").await;
    }

    async fn slash(&self, id: &str, command: &str) {
        self.lab.ok("POST", &format!("/sessions/{id}/slash"), json!({ "command": command })).await;
    }

    /// What the model served in turns, whole. Titles and summaries are in no transcript.
    fn served(&self) -> BTreeMap<String, (u64, u64, u64, u64, u64)> {
        let prefix = self.provider.split('-').next().unwrap_or_default();
        let served = self.stub.served().into_iter();
        served
            .filter(|reply| reply.scripted && reply.progress == Progress::Whole)
            .map(|reply| {
                let usage = reply.usage;
                let written = usage.cache_5m + usage.cache_1h;
                let tokens = (usage.input, usage.output, usage.reasoning, usage.cache_read, written);
                (format!("{prefix}:{}", reply.reply_id), tokens)
            })
            .collect()
    }

    fn counted(&self) -> BTreeMap<String, Counted> {
        let db = Connection::open(self.lab.path("home/codepiper.db")).unwrap();
        let mut statement = db
            .prepare(
                "SELECT key, input, output, reasoning, cache_read, cache_write_5m + cache_write_1h, session FROM usage",
            )
            .unwrap();
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?)))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// Waits until everything that was served is counted, and checks that it is exactly that.
    async fn agrees(&self) -> BTreeMap<String, Counted> {
        let until = Instant::now() + Duration::from_secs(15);
        loop {
            let (served, counted) = (self.served(), self.counted());
            let plain = counted
                .iter()
                .map(|(key, count)| (key.clone(), (count.0, count.1, count.2, count.3, count.4)));
            let plain: BTreeMap<_, _> = plain.collect();
            if plain.keys().eq(served.keys())
                && served.iter().all(|(key, tokens)| self.is_told(key, plain[key], *tokens))
            {
                return counted;
            }
            assert!(Instant::now() < until, "served {served:#?}\ncounted {counted:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether a reply is counted as it was served, or as completely as the agent ever wrote it down: on a busy machine
    /// Claude Code was seen to write a sub-agent's reply with the output of its first moment, and never again.
    fn is_told(&self, key: &str, counted: Tokens, served: Tokens) -> bool {
        if counted == served {
            return true;
        }
        let (_, id) = key.split_once(':').unwrap();
        let without_output = |tokens: Tokens| (tokens.0, tokens.2, tokens.3, tokens.4);
        let whole = format!("\"output_tokens\":{}", served.1);
        let lines = transcript_lines(&self.lab.path("agent"));
        let of_it: Vec<&String> = lines.iter().filter(|line| line.contains(id)).collect();
        let never_whole = !of_it.iter().any(|line| line.contains(&whole));
        let of_subagent = of_it.iter().all(|line| line.contains("\"isSidechain\":true"));
        without_output(counted) == without_output(served)
            && counted.1 < served.1
            && never_whole
            && of_subagent
    }

    /// All that the analytics say of tokens, by the sum over all time.
    async fn overview(&self) -> Value {
        self.lab.ok("GET", "/analytics/overview?range=all", Value::Null).await
    }
}

/// How many replies each session has.
fn by_session(counted: &BTreeMap<String, Counted>) -> BTreeMap<String, usize> {
    let mut sessions = BTreeMap::new();
    for count in counted.values() {
        *sessions.entry(count.5.clone()).or_default() += 1;
    }
    sessions
}

#[tokio::test]
async fn every_token_of_claude_code_is_counted_once_through_subagents_clear_compact_fork_resume_and_a_kill() {
    let bench = Bench::claude().await;
    let lab = &bench.lab;
    let id = bench.start(json!({})).await;
    lab.turn(&id, "USAGE: in=11 out=7 cache_read=300 cache_5m=40 cache_1h=50\nRUN: echo one\nSAY: done")
        .await;
    lab.turn(&id, "THINK: hm\nSAY: text after thought\nPAR: echo a ;; echo b").await;
    lab.turn(&id, r"AGENT: USAGE: in=1 out=2\nRUN: echo below\nSAY: from below").await;
    let first = bench.agrees().await;
    assert_eq!(by_session(&first).len(), 1);

    let compacted = lab.last_event().await;
    bench.slash(&id, "compact").await;
    lab.wait_for_event(&id, compacted, |event| event["type"] == "PostCompact").await;
    lab.wait_for_state(&id, "idle").await;
    lab.turn(&id, "SAY: after compaction").await;
    let cleared = lab.last_event().await;
    bench.slash(&id, "clear").await;
    lab.wait_for_event(&id, cleared, |event| event["payload"]["source"] == "clear").await;
    lab.turn(&id, "SAY: after clear").await;
    bench.agrees().await;

    bench.killed_in_mid_turn(&id).await;
    let before_fork = bench.agrees().await.len();

    let fork = bench.start(json!({ "providerResume": { "providerSessionId": id, "mode": "fork" } })).await;
    lab.turn(&fork, "SAY: forked").await;
    lab.ok("POST", &format!("/sessions/{id}/stop"), Value::Null).await;
    lab.ok("POST", &format!("/sessions/{id}/resume"), Value::Null).await;
    lab.wait_for_state(&id, "idle").await;
    lab.turn(&id, "SAY: resumed").await;
    let counted = bench.agrees().await;
    let sessions = by_session(&counted);
    assert_eq!(sessions[&fork], 1, "{sessions:?}");
    assert_eq!(sessions[&id], before_fork + 1, "{sessions:?}");

    let sum = |part: fn(&Counted) -> u64| counted.values().map(part).sum::<u64>();
    let overview = bench.overview().await;
    for (name, expected) in [
        ("inputTokens", sum(|count| count.0)),
        ("outputTokens", sum(|count| count.1)),
        ("cacheReadTokens", sum(|count| count.3)),
        ("cacheCreationTokens", sum(|count| count.4)),
    ] {
        assert_eq!(overview[name], expected, "{name} in {overview}");
    }
    assert_eq!(bench.stub.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn every_token_of_codex_is_counted_once_through_fork_resume_and_a_kill() {
    let bench = Bench::codex().await;
    let lab = &bench.lab;
    let id = bench.start(json!({})).await;
    lab.turn(&id, "USAGE: in=11 out=9 reasoning=4 cache_read=300\nRUN: echo one\nSAY: done").await;
    lab.turn(&id, "SAY: two").await;
    bench.agrees().await;
    bench.killed_in_mid_turn(&id).await;
    lab.turn(&id, "SAY: still here").await;
    let before_fork = bench.agrees().await.len();

    let fork = bench.start(json!({ "providerResume": { "providerSessionId": id, "mode": "fork" } })).await;
    lab.turn(&fork, "SAY: forked").await;
    lab.ok("POST", &format!("/sessions/{id}/stop"), Value::Null).await;
    lab.ok("POST", &format!("/sessions/{id}/resume"), Value::Null).await;
    lab.wait_for_state(&id, "idle").await;
    lab.turn(&id, "SAY: resumed").await;
    let sessions = by_session(&bench.agrees().await);
    assert_eq!((sessions[&fork], sessions[&id]), (1, before_fork + 1), "{sessions:?}");
}
