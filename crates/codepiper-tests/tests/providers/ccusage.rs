//! Our count of tokens beside somebody else's: ccusage over the same transcripts, day by day, model by model, part by
//! part.
//!
//! Each corpus is laid out in a home of its own, as the agent itself would have written it. Where the two counts differ,
//! the difference stands in [`DIFFERENCES`] to the token with its reason, so it can neither grow nor go away unseen.
//! `docs/usage-accounting.md` explains each of them to people.

use codepiper_core::pricing::{Money, PriceTable};
use codepiper_core::provider::Speaks;
use codepiper_core::transcript::{Context, FileKind};
use codepiper_core::usage::{Tokens, Usage};
use codepiper_tests::agents::{AgentHome, ccusage, claude_home, codex_home};
use codepiper_tests::model_stub::ModelStub;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A rule of ours by which the two counts differ.
struct Difference {
    /// The folder in `testdata/accounting`.
    rule: &'static str,
    /// Every part that differs, ours first.
    counts: &'static str,
    /// Who is wrong, and why.
    why: &'static str,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        rule: "claude-3-no-message-id",
        counts: "2026-11-20 claude-opus-4-8: input 111/121, output 222/242",
        why: "ccusage counts both lines of a request whose message has no id",
    },
    Difference {
        rule: "claude-3-no-request-id",
        counts: "2026-11-20 claude-opus-4-8: cache read 33/63, cache write 44/84, input 11/21, output 22/42",
        why: "ccusage counts every line of a message without a request's id that has a time of its own",
    },
    Difference {
        rule: "claude-7-two-prices-of-cache-writes",
        counts: "2026-11-20 claude-opus-4-8: cache write 3070/2870",
        why: "where the two kinds of cache writes are less than their sum, ccusage believes them and we the sum; no \
              recorded line is like that",
    },
    Difference {
        rule: "claude-8-errors-and-synthetic-cost-nothing",
        counts: "2026-11-20 claude-opus-4-8: input 1/12, output 2/14",
        why: "ccusage counts a line that is marked as an error of the API; no recorded one has numbers",
    },
    Difference {
        rule: "claude-9-all-at-once",
        counts: "2026-11-20 claude-opus-4-8: cache read 550/700, cache write 510/570, input 121/143, output 291/324",
        why: "rules 3 and 8: the copy of a message without a request's id, and an error's numbers",
    },
    Difference {
        rule: "codex-1-totals-that-skip-a-request",
        counts: "2026-11-20 gpt-5.2-codex: cache read 1000/500, input 3000/2000, output 90/50",
        why: "ccusage takes the last request, and misses the one before it that only the total tells",
    },
    Difference {
        rule: "codex-2-fork-that-does-not-name-its-parent",
        counts: "2026-11-20 gpt-5.2-codex: cache read 1200/2100, input 1300/2500, output 60/110",
        why: "ccusage counts the replayed parent again where `forked_from_id` does not name it",
    },
    Difference {
        rule: "codex-2-fork-that-replays-nothing",
        counts: "2026-11-20 gpt-5.2-codex: cache read 1800/2700, input 1400/1600, output 80/110",
        why: "ccusage counts the parent's last request again where the fork repeats the parent's total",
    },
    Difference {
        rule: "codex-3-parts-inside-parts",
        counts: "2026-11-20 gpt-5.2-codex: cache read 700/0, cache write 100/0, input 300/0, output 60/0, \
                 reasoning 40/0",
        why: "ccusage does not know `token_usage_record`, and this file has nothing else",
    },
];

#[tokio::test]
async fn recorded_conversations_are_counted_alike() {
    let claude = Home::new(CLAUDE);
    for recorded in ["claude-code/transcripts", "transcripts/claude-code"].map(testdata) {
        for file in transcripts(&recorded) {
            claude.add(&file, &format!("projects/-home-dev-project/{}", conversation_path(&recorded, &file)));
        }
    }
    let codex = Home::new(CODEX);
    for file in
        ["codex/rollouts", "transcripts/codex"].iter().flat_map(|folder| transcripts(&testdata(folder)))
    {
        codex.add(&file, &format!("sessions/2026/11/20/{}", name(&file)));
    }
    assert!(claude.replies().len() > 40 && codex.replies().len() > 40, "the recordings are there");
    for (corpus, home) in [("recorded claude-code", claude), ("recorded codex", codex)] {
        assert_eq!(home.compare().await, "", "{corpus}: our count, and that of ccusage");
        home.compare_cost(corpus).await;
    }
}

/// The transcripts of the single rules are made to be miscounted, so this is where the two differ.
#[tokio::test]
async fn every_rule_is_counted_alike_or_the_difference_is_known() {
    let mut rules: Vec<_> =
        fs::read_dir(testdata("accounting")).unwrap().map(|rule| rule.unwrap().path()).collect();
    rules.sort();
    assert!(rules.len() > 20, "{rules:?}");
    let mut surprises = String::new();
    let mut known: Vec<&str> = DIFFERENCES.iter().map(|known| known.rule).collect();
    for rule in rules {
        let (agent, below) =
            if name(&rule).starts_with("claude-") { (CLAUDE, "projects/") } else { (CODEX, "") };
        let home = Home::new(agent);
        for file in transcripts(&rule) {
            let place = file.strip_prefix(&rule).unwrap().to_string_lossy().into_owned();
            // A rule that is not about folders leaves them out.
            let folder = if below.is_empty() || place.starts_with('-') { "" } else { "-home-dev-project/" };
            home.add(&file, &format!("{below}{folder}{place}"));
        }
        // As the daemon reads them; that each order of files gives this is a test of the readers.
        assert_eq!(home.total(), worked_out(&rule), "{}", rule.display());
        let difference = home.compare().await;
        let listed = DIFFERENCES.iter().find(|known| known.rule == name(&rule));
        if difference != listed.map_or("", |listed| listed.counts) {
            let why = listed.map_or("no difference is known", |listed| listed.why);
            surprises += &format!("{}: {why}\n  {difference}\n", name(&rule));
        }
        known.retain(|known| *known != name(&rule));
    }
    assert_eq!(surprises, "", "our count / that of ccusage");
    assert!(known.is_empty(), "no such rules: {known:?}");
}

/// Here all three are known: what was served, what we count, what ccusage counts.
#[tokio::test]
async fn what_the_real_agents_were_served_is_what_both_count() {
    let dir = TempDir::new().expect("a temporary folder");
    let project = dir.path().join("project");
    let prompt = "USAGE: in=1 out=20 reasoning=5 cache_read=300 cache_5m=4000\nRUN: true\nUSAGE: in=7 out=8";

    let stub = ModelStub::start().await;
    let claude = claude_home(dir.path(), &project, &stub.url()).expect("a home is made");
    let prompt_1h =
        prompt.replace("cache_5m=4000", "cache_5m=4000 cache_1h=50000").replace("reasoning=5 ", "");
    claude.run(&["-p", &prompt_1h, "--allowedTools=Bash"]).await.expect("claude runs");
    Home { agent: CLAUDE, config: claude.config, _dir: None }.check_served(&stub).await;

    let stub = ModelStub::start().await;
    let codex = codex_home(dir.path(), &project, &stub.url()).expect("a home is made");
    let exec = ["exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", prompt];
    codex.run(&exec).await.expect("codex runs");
    Home { agent: CODEX, config: codex.config, _dir: None }.check_served(&stub).await;
}

/// How an agent keeps its transcripts, and how ccusage tells what it read.
struct Agent {
    speaks: Speaks,
    command: &'static str,
    /// Where transcripts are, in its folder.
    root: &'static str,
    /// Where it keeps what it costs in all.
    cost: &'static str,
}

const CLAUDE: Agent =
    Agent { speaks: Speaks::Claude, command: "claude", root: "projects", cost: "totalCost" };
const CODEX: Agent = Agent { speaks: Speaks::Codex, command: "codex", root: "", cost: "costUSD" };

/// A home with transcripts of one agent.
struct Home {
    agent: Agent,
    /// The agent's folder in it.
    config: PathBuf,
    /// Goes with it, when nobody else keeps it.
    _dir: Option<TempDir>,
}

impl Home {
    fn new(agent: Agent) -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        Self { agent, config: dir.path().join("config"), _dir: Some(dir) }
    }

    /// Puts a transcript at its place below the agent's folder.
    fn add(&self, file: &Path, place: &str) {
        let place = self.config.join(place);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(file, place).unwrap();
    }

    /// Where the two counts differ: `day model: part ours/theirs`.
    async fn compare(&self) -> String {
        let replies = self.replies();
        let (ours, theirs) = (ours(&replies), theirs(&self.ccusage().await));
        let parts: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for part in parts {
            let [ours, theirs] = [&ours, &theirs].map(|count| count.get(part).copied().unwrap_or(0));
            if ours != theirs {
                let (day, model, name) = part;
                lines.entry(format!("{day} {model}")).or_default().push(format!("{name} {ours}/{theirs}"));
            }
        }
        let lines: Vec<_> =
            lines.into_iter().map(|(of, parts)| format!("{of}: {}", parts.join(", "))).collect();
        lines.join("; ")
    }

    async fn check_served(&self, stub: &ModelStub) {
        let served: Vec<_> = stub.served().iter().map(|served| served.usage).collect();
        let served = served.iter().fold(Tokens::default(), |sum, served| {
            sum + Tokens {
                input: served.input,
                output: served.output,
                reasoning: served.reasoning,
                cache_read: served.cache_read,
                cache_write_5m: served.cache_5m,
                cache_write_1h: served.cache_1h,
            }
        });
        assert_eq!((served.input, served.output, served.cache_read), (8, 28, 300), "{}", self.agent.command);
        assert_eq!(self.total(), served, "{}: our count, and what was served", self.agent.command);
        assert_eq!(self.compare().await, "", "{}: our count, and that of ccusage", self.agent.command);
    }

    fn total(&self) -> Tokens {
        self.replies().iter().fold(Tokens::default(), |sum, reply| sum + reply.tokens)
    }

    /// Where the tokens are the same, the cost is too, so far as theirs is exact.
    async fn compare_cost(&self, corpus: &str) {
        let prices = PriceTable::built_in();
        // Only the demo agent's model has no price, with us or them.
        let cost = |reply: &Usage| {
            let cost = prices.cost(&reply.model, reply.at, &reply.tokens, &reply.billing);
            assert!(cost.is_some() || reply.model.contains("demo"), "{} has no price", reply.model);
            cost
        };
        let ours: Money = self.replies().iter().filter_map(cost).sum();
        let theirs = self.ccusage().await["totals"][self.agent.cost].as_f64().expect("what it costs");
        let theirs = Money((theirs * 1e9).round() as i64);
        assert!(ours.0 > 0 && (ours.0 - theirs.0).abs() < 1_000, "{corpus}: {ours}, and {theirs} by ccusage");
    }

    /// Every reply once, as the store keeps it.
    fn replies(&self) -> Vec<Usage> {
        let reader = self.agent.speaks.dialect().reader().expect("it writes transcripts");
        let mut replies: BTreeMap<String, Usage> = BTreeMap::new();
        let root = self.config.join(self.agent.root);
        for file in transcripts(&root) {
            let place = file.strip_prefix(&root).unwrap().to_string_lossy();
            let FileKind { conversation, agent } =
                reader.file(&place).unwrap_or_else(|| panic!("`{place}` is no transcript to our reader"));
            // As the daemon begins a file.
            let mut context = Context { conversation, agent, ..Context::default() };
            for line in fs::read(&file).unwrap().split(|byte| *byte == b'\n') {
                let Some(usage) = reader.read(&mut context, line).usage else { continue };
                if replies.get(&usage.key).is_none_or(|known| usage.says_more_than(&known.tokens)) {
                    replies.insert(usage.key.clone(), usage);
                }
            }
        }
        replies.into_values().collect()
    }

    async fn ccusage(&self) -> Value {
        let path = std::env::var("PATH").expect("a PATH");
        let config = self.config.to_string_lossy().into_owned();
        let environment = [
            ("HOME", config.clone()),
            ("PATH", path),
            ("TZ", "UTC".to_owned()),
            ("CLAUDE_CONFIG_DIR", config.clone()),
            ("CODEX_HOME", config),
        ];
        let home = AgentHome {
            program: ccusage(),
            config: self.config.clone(),
            project: self.config.clone(),
            environment: environment.map(|(name, value)| (name.to_owned(), value)).into(),
        };
        let output =
            home.run(&[self.agent.command, "daily", "--offline", "--json"]).await.expect("ccusage runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "ccusage: {said}{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&said).expect("ccusage says JSON")
    }
}

/// Parts of the tokens by day, model and name.
type Count = BTreeMap<(String, String, &'static str), u64>;

fn ours(replies: &[Usage]) -> Count {
    let mut count = Count::new();
    for Usage { at, model, tokens, .. } in replies {
        let Tokens { input, output, reasoning, cache_read, cache_write_5m, cache_write_1h } = *tokens;
        let parts = [
            ("input", input),
            ("output", output),
            ("reasoning", reasoning),
            ("cache read", cache_read),
            ("cache write", cache_write_5m + cache_write_1h),
        ];
        for (part, tokens) in parts {
            *count.entry((at.strftime("%F").to_string(), model.clone(), part)).or_default() += tokens;
        }
    }
    count
}

/// Claude Code's models stand in a list with their names, Codex's in a map by name.
fn theirs(said: &Value) -> Count {
    let mut count = Count::new();
    for day in said["daily"].as_array().expect("days") {
        let listed = day["modelBreakdowns"].as_array().into_iter().flatten();
        let listed = listed.map(|model| (model["modelName"].as_str().expect("a name"), model));
        let named =
            day["models"].as_object().into_iter().flatten().map(|(name, model)| (name.as_str(), model));
        for (model, tokens) in listed.chain(named) {
            // It marks by the name how fast a reply was.
            let model = model.strip_suffix("-fast").unwrap_or(model);
            for (part, field) in [
                ("input", "inputTokens"),
                ("output", "outputTokens"),
                ("reasoning", "reasoningOutputTokens"),
                ("cache read", "cacheReadTokens"),
                ("cache write", "cacheCreationTokens"),
            ] {
                let day = day["date"].as_str().expect("a day").to_owned();
                *count.entry((day, model.to_owned(), part)).or_default() +=
                    tokens[field].as_u64().unwrap_or(0);
            }
        }
    }
    count
}

/// Where Claude Code keeps a conversation: a recording's own name says what it shows.
fn conversation_path(recorded: &Path, file: &Path) -> String {
    let place = file.strip_prefix(recorded).unwrap();
    let conversation = match place.iter().count() {
        1 => file.to_owned(),
        // A sub-agent's, in the folder beside the conversation.
        _ => recorded.join(place.iter().next().unwrap()).with_extension("jsonl"),
    };
    let mut context = Context::default();
    let reader = CLAUDE.speaks.dialect().reader().unwrap();
    for line in fs::read(conversation).unwrap().split(|byte| *byte == b'\n') {
        reader.read(&mut context, line);
    }
    let id = context.conversation.expect("a line tells the conversation");
    match place.iter().count() {
        1 => format!("{id}.jsonl"),
        _ => format!("{id}/{}", place.iter().skip(1).collect::<PathBuf>().display()),
    }
}

/// The tokens of a rule's transcripts, worked out by hand.
fn worked_out(rule: &Path) -> Tokens {
    let expected = fs::read(rule.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    let totals = expected["totals"].as_array().unwrap().iter();
    let totals = totals.map(|total| serde_json::from_value::<Tokens>(total["tokens"].clone()).unwrap());
    totals.fold(Tokens::default(), |sum, tokens| sum + tokens)
}

fn testdata(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../codepiper-core/testdata").join(folder)
}

/// All transcripts below a folder, in order.
fn transcripts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(files) = fs::read_dir(folder) else { return found };
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    for file in files {
        if file.is_dir() {
            found.extend(transcripts(&file));
        } else if name(&file).ends_with(".jsonl") {
            found.push(file);
        }
    }
    found
}

fn name(file: &Path) -> String {
    file.file_name().unwrap().to_string_lossy().into_owned()
}
