//! The model stub is believed by the real CLIs: what a prompt scripts is what they do, and what they report is what
//! was served.

use codepiper_tests::agents::{claude_home, codex_home};
use codepiper_tests::model_stub::script::Usage;
use codepiper_tests::model_stub::{ModelStub, Progress};
use serde_json::Value;
use tempfile::TempDir;

#[tokio::test]
async fn claude_code_does_what_the_prompt_scripts() {
    let lab = Lab::new().await;
    let written = lab.project().join("written.txt");
    let end = lab
        .claude(&format!(
            "THINK: how?\nSAY: first this\nRUN: echo made > made.txt\nPAR: echo a >> both.txt ;; echo b >> both.txt\n\
             WRITE: {written} :: one\\ntwo\nEDIT: {written} :: one => ONE\nREAD: {written}\nRUN: echo the end",
            written = written.display()
        ))
        .await;
    assert_eq!(end, Ok("done: the end".to_owned()));
    assert_eq!(lab.read("made.txt"), "made\n");
    assert_eq!(lab.read("both.txt").lines().count(), 2);
    assert_eq!(lab.read("written.txt").trim_end(), "ONE\ntwo");
    // One request for each step and one for the answer.
    assert_eq!(lab.stub.served().len(), 7);
    lab.nothing_was_wrong();
}

#[tokio::test]
async fn codex_does_what_the_prompt_scripts() {
    let lab = Lab::new().await;
    let end = lab
        .codex(
            "THINK: how?\nSAY: first this\nRUN: echo made > made.txt\nPAR: echo a >> both.txt ;; echo b >> both.txt\n\
             WRITE: written.txt :: one\\ntwo\nEDIT: written.txt :: one => ONE\nREAD: written.txt\nRUN: echo the end",
        )
        .await;
    assert_eq!(end, Ok("done: the end".to_owned()));
    assert_eq!(lab.read("made.txt"), "made\n");
    assert_eq!(lab.read("both.txt").lines().count(), 2);
    assert_eq!(lab.read("written.txt"), "ONE\ntwo\n");
    assert_eq!(lab.stub.served().len(), 7);
    lab.nothing_was_wrong();
}

#[tokio::test]
async fn claude_code_reports_the_usage_that_was_served() {
    let lab = Lab::new().await;
    let prompt =
        "USAGE: in=1 out=20 cache_read=300 cache_5m=4000 cache_1h=50000\nRUN: true\nUSAGE: in=7 out=8";
    let (_, output) = lab.claude_output(prompt).await;
    let count = |name: &str| output["usage"][name].as_u64();
    assert_eq!(count("input_tokens"), Some(8));
    assert_eq!(count("output_tokens"), Some(28));
    assert_eq!(count("cache_read_input_tokens"), Some(300));
    assert_eq!(count("cache_creation_input_tokens"), Some(54_000));
    assert_eq!(output["usage"]["cache_creation"]["ephemeral_1h_input_tokens"], 50_000);
    let served = lab.served();
    assert_eq!(
        served,
        Usage { input: 8, output: 28, reasoning: 0, cache_read: 300, cache_5m: 4000, cache_1h: 50_000 }
    );
    lab.nothing_was_wrong();
}

#[tokio::test]
async fn codex_reports_the_usage_that_was_served() {
    let lab = Lab::new().await;
    let prompt = "USAGE: in=1 out=20 reasoning=5 cache_read=300 cache_5m=4000\nRUN: true\nUSAGE: in=7 out=8";
    let (_, events) = lab.codex_output(prompt).await;
    let usage =
        &events.iter().find(|event| event["type"] == "turn.completed").expect("the turn completes")["usage"];
    let count = |name: &str| usage[name].as_u64();
    let served = lab.served();
    assert_eq!(count("input_tokens"), Some(served.all_input()));
    assert_eq!(count("input_tokens"), Some(4308));
    assert_eq!(count("cached_input_tokens"), Some(300));
    assert_eq!(count("cache_write_input_tokens"), Some(4000));
    assert_eq!(count("output_tokens"), Some(28));
    assert_eq!(count("reasoning_output_tokens"), Some(5));
    lab.nothing_was_wrong();
}

#[tokio::test]
async fn a_sub_agent_has_a_script_of_its_own() {
    let lab = Lab::new().await;
    let end = lab.claude(r"AGENT: RUN: echo from below > below.txt\nSAY: dived").await;
    assert_eq!(end, Ok("done: dived".to_owned()));
    assert_eq!(lab.read("below.txt"), "from below\n");
    lab.nothing_was_wrong();

    let lab = Lab::new().await;
    // Codex starts it and does not wait for it, so the turn's own command waits for what the agent does.
    let prompt = r"AGENT: RUN: mkfifo -m 600 up 2>/dev/null; echo from below > up
RUN: mkfifo -m 600 up 2>/dev/null; cat up";
    assert_eq!(lab.codex(prompt).await, Ok("done: from below".to_owned()));
    lab.nothing_was_wrong();
}

#[tokio::test]
async fn a_failure_is_an_error_and_nothing_was_served() {
    let lab = Lab::new().await;
    let error = lab.claude("FAIL: 400").await.expect_err("a 400 is final");
    assert!(error.contains("400 scripted failure"), "{error}");
    assert_eq!(lab.served(), Usage::default());
    lab.nothing_was_wrong();

    let error = lab.codex("FAIL: 400").await.expect_err("a 400 is final");
    assert!(error.contains("scripted failure 400"), "{error}");
    assert_eq!(lab.served(), Usage::default());
    lab.nothing_was_wrong();
}

#[tokio::test]
async fn a_passing_failure_and_a_dropped_connection_are_got_over() {
    let lab = Lab::new().await;
    assert_eq!(lab.claude("FAIL: 529 1\nSAY: at last").await, Ok("at last".to_owned()));
    assert_eq!(lab.claude("CUT: 3 1\nSAY: at last").await, Ok("at last".to_owned()));
    assert_eq!(lab.codex("FAIL: 503 1\nSAY: at last").await, Ok("at last".to_owned()));
    assert_eq!(lab.codex("CUT: 3 1\nSAY: at last").await, Ok("at last".to_owned()));
    let progress: Vec<Progress> = lab.stub.served().iter().map(|served| served.progress).collect();
    use Progress::{Cut, Whole};
    assert_eq!(progress, [Whole, Cut, Whole, Whole, Cut, Whole]);
    lab.nothing_was_wrong();
}

#[tokio::test]
async fn a_stream_is_watched_while_it_goes() {
    let lab = Lab::new().await;
    let streaming = lab.claude("STREAM: 3 10");
    let watching = lab.stub.wait_for(|request| request.prompt.as_deref() == Some("STREAM: 3 10"));
    let (end, request) = tokio::join!(streaming, watching);
    assert_eq!(end.as_deref().map(str::trim), Ok("word1 word2 word3"));
    assert!(request.session.is_some());
    let served = lab.stub.wait_for_served(|served| served.progress == Progress::Whole).await;
    assert_eq!((served.request, served.session), (request.number, request.session));
    lab.nothing_was_wrong();
}

#[tokio::test]
async fn a_resumed_session_goes_on_with_the_new_prompt() {
    let lab = Lab::new().await;
    let (_, first) = lab.claude_output("THINK: first\nRUN: echo 1 >> runs.txt").await;
    let id = first["session_id"].as_str().expect("a result names its session").to_owned();
    let (_, second) = lab.claude_with(&["--resume", &id, CLAUDE_MAY], "RUN: echo 2 >> runs.txt").await;
    assert_eq!(second["session_id"], id);
    assert_eq!(lab.read("runs.txt"), "1\n2\n");
    let sessions: Vec<_> = lab.stub.served().into_iter().map(|served| served.session).collect();
    assert_eq!(sessions, vec![Some(id); 4]);
    lab.nothing_was_wrong();
}

#[tokio::test]
async fn a_run_that_is_given_up_is_gone() {
    let lab = Lab::new().await;
    tokio::select! {
        end = lab.codex("STREAM: 1000 1000") => panic!("that takes 1000 s: {end:?}"),
        _ = lab.stub.wait_for_served(|served| served.scripted) => {}
    }
    // The wrapper holds no connection, the program below it does: it has ended too.
    lab.stub.wait_for_served(|served| served.progress == Progress::Gone).await;
    lab.nothing_was_wrong();
}

#[tokio::test]
async fn auto_mode_is_answered_and_is_no_part_of_the_turn() {
    let lab = Lab::new().await;
    let auto = ["--permission-mode", "auto"];
    let (end, _) = lab.claude_with(&auto, "RUN: python3 -c 'print(6 * 7)'").await;
    assert_eq!(end, Ok("done: 42".to_owned()));
    let (end, output) = lab.claude_with(&auto, "RUN: python3 -c 'print(6 * 7)' # auto-mode-blocks").await;
    assert!(end.is_ok_and(|end| end.starts_with("done: Permission for this action was denied")));
    assert_eq!(output["permission_denials"][0]["tool_name"], "Bash");
    // One question is enough to let through, blocking takes two.
    let scripted: Vec<bool> = lab.stub.served().iter().map(|served| served.scripted).collect();
    assert_eq!(scripted, [true, false, true, true, false, false, true]);
    lab.nothing_was_wrong();
}

/// What the scripts of these tests do is allowed: permissions are for other tests.
const CLAUDE_MAY: &str = "--allowedTools=Bash,Read,Edit,Write,Agent";

/// A stub, and folders that go with the test.
struct Lab {
    stub: ModelStub,
    dir: TempDir,
}

impl Lab {
    async fn new() -> Lab {
        let mut dir = TempDir::new().expect("the temporary folder is writable");
        dir.disable_cleanup(std::env::var_os("KEEP_TEST_DIRS").is_some());
        Lab { stub: ModelStub::start().await, dir }
    }

    fn project(&self) -> std::path::PathBuf {
        self.dir.path().join("project")
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.project().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The last words of a headless turn, or the error it reports.
    async fn claude(&self, prompt: &str) -> Result<String, String> {
        self.claude_output(prompt).await.0
    }

    async fn claude_output(&self, prompt: &str) -> (Result<String, String>, Value) {
        self.claude_with(&[CLAUDE_MAY], prompt).await
    }

    async fn claude_with(&self, flags: &[&str], prompt: &str) -> (Result<String, String>, Value) {
        let home = claude_home(self.dir.path(), &self.project(), &self.stub.url()).expect("a home is made");
        let arguments = [&["-p", prompt, "--output-format", "json"], flags].concat();
        let output = home.run(&arguments).await.expect("claude starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let result: Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
        let said = result["result"].as_str().unwrap_or_default().to_owned();
        (if result["is_error"] == true { Err(said) } else { Ok(said) }, result)
    }

    /// The last words of a headless turn, or the error it reports.
    async fn codex(&self, prompt: &str) -> Result<String, String> {
        self.codex_output(prompt).await.0
    }

    async fn codex_output(&self, prompt: &str) -> (Result<String, String>, Vec<Value>) {
        let home = codex_home(self.dir.path(), &self.project(), &self.stub.url()).expect("a home is made");
        // The sandbox of Codex is for other tests, and not every container can have one.
        let arguments =
            ["exec", "--skip-git-repo-check", "--json", "--sandbox", "danger-full-access", prompt];
        let output = home.run(&arguments).await.expect("codex starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let events: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let failed = events.iter().find(|event| event["type"] == "turn.failed");
        let said = |event: &&Value| event["item"]["type"] == "agent_message";
        let end = match (failed, events.iter().rfind(said)) {
            (Some(failed), _) => Err(failed["error"]["message"].to_string()),
            (None, Some(said)) => Ok(said["item"]["text"].as_str().unwrap_or_default().to_owned()),
            (None, None) => {
                panic!("neither an answer nor an error: {text}{}", String::from_utf8_lossy(&output.stderr))
            }
        };
        (end, events)
    }

    /// The sum of all that was served to its end.
    fn served(&self) -> Usage {
        self.stub.served().iter().filter(|served| served.progress == Progress::Whole).fold(
            Usage::default(),
            |sum, served| Usage {
                input: sum.input + served.usage.input,
                output: sum.output + served.usage.output,
                reasoning: sum.reasoning + served.usage.reasoning,
                cache_read: sum.cache_read + served.usage.cache_read,
                cache_5m: sum.cache_5m + served.usage.cache_5m,
                cache_1h: sum.cache_1h + served.usage.cache_1h,
            },
        )
    }

    fn nothing_was_wrong(&self) {
        assert_eq!(self.stub.violations(), Vec::<String>::new());
    }
}
