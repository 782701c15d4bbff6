//! The demo agent as its users meet it: the real binary, in a real tmux.
//!
//! Every wait is for an event. Hooks and status line of the agent write what they are told into a FIFO, one JSON
//! a line, and so may the commands it runs.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// Far above what anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const EVENTS: [&str; 9] = [
    "SessionStart",
    "UserPromptSubmit",
    "PreToolUse",
    "PermissionRequest",
    "PostToolUse",
    "PostToolUseFailure",
    "PostToolBatch",
    "Stop",
    "SessionEnd",
];

#[test]
fn a_prompt_is_answered_with_hooks_in_order() {
    let demo = Demo::start(&["--dangerously-skip-permissions"], None);
    let start = demo.hook("SessionStart");
    assert_eq!((&start["source"], &start["model"]), (&json!("startup"), &json!("demo-1")));
    demo.submit("RUN: echo one; echo two >&2");
    let submit = demo.hook("UserPromptSubmit");
    let before = demo.hook("PreToolUse");
    let after = demo.hook("PostToolUse");
    let batch = demo.hook("PostToolBatch");
    let stop = demo.hook("Stop");
    assert_eq!(submit["prompt"], "RUN: echo one; echo two >&2");
    assert_eq!(before["tool_use_id"], after["tool_use_id"]);
    assert_eq!(
        (&after["tool_response"]["stdout"], &after["tool_response"]["stderr"]),
        (&json!("one"), &json!("two"))
    );
    assert_eq!(batch["tool_calls"][0]["tool_response"], "one\ntwo");
    assert_eq!(stop["last_assistant_message"], "Done.");
    assert!([&before, &after, &batch, &stop].iter().all(|event| event["prompt_id"] == submit["prompt_id"]));

    demo.until(|demo| demo.state()["status"] == "idle");
    demo.tmux(&["send-keys", "-t", "demo", "-l", "/exit"]);
    demo.tmux(&["send-keys", "-t", "demo", "Enter"]);
    assert_eq!(demo.hook("SessionEnd")["reason"], "prompt_input_exit");
    demo.wait_for_exit("0");
    assert_eq!(demo.state(), Value::Null, "a clean exit removes the state file");
}

#[test]
fn a_resumed_conversation_goes_on_in_its_file() {
    let mut demo = Demo::start(&[], None);
    let id = demo.hook("SessionStart")["session_id"].as_str().expect("an id").to_owned();
    demo.submit("SAY: first");
    let transcript = PathBuf::from(demo.until_hook("Stop")["transcript_path"].as_str().expect("a path"));
    demo.tmux(&["send-keys", "-t", "demo", "C-d"]);
    demo.hook("SessionEnd");
    demo.wait_for_exit("0");

    demo.restart(&["--resume", &id]);
    let start = demo.hook("SessionStart");
    assert_eq!((&start["source"], &start["session_id"]), (&json!("resume"), &json!(id)));
    demo.submit("SAY: second");
    assert_eq!(demo.until_hook("Stop")["last_assistant_message"], "second");
    let lines = read_lines(&transcript);
    let said: Vec<&str> =
        lines.iter().filter_map(|line| line["message"]["content"][0]["text"].as_str()).collect();
    assert_eq!(said, ["first", "second"]);
    for (line, parent) in lines
        .iter()
        .filter(|line| line.get("uuid").is_some())
        .skip(1)
        .zip(lines.iter().filter_map(|line| line.get("uuid")))
    {
        assert_eq!(&line["parentUuid"], parent, "one chain through both processes");
    }
    demo.signal("TERM");
    assert_eq!(demo.hook("SessionEnd")["reason"], "other");
    demo.wait_for_exit("0");
}

#[test]
fn a_hook_that_denies_keeps_a_command_from_running() {
    let deny = json!({ "hookSpecificOutput": {
        "hookEventName": "PreToolUse",
        "permissionDecision": "deny",
        "permissionDecisionReason": "not in this house",
    }});
    let demo = Demo::start(&["--dangerously-skip-permissions"], Some(("PreToolUse", deny)));
    demo.submit("RUN: touch made");
    let stop = demo.until_hook("Stop");
    assert!(!demo.work().join("made").exists());
    let lines = read_lines(&PathBuf::from(stop["transcript_path"].as_str().expect("a path")));
    let result = lines.iter().find(|line| line["message"]["content"][0]["type"] == "tool_result");
    let block = &result.expect("a result")["message"]["content"][0];
    assert_eq!((&block["content"], &block["is_error"]), (&json!("not in this house"), &json!(true)));
}

#[test]
fn a_dialog_is_answered_by_a_person_or_by_a_hook() {
    let demo = Demo::start(&[], None);
    demo.submit("RUN: touch made");
    demo.until_hook("PermissionRequest");
    demo.until(|demo| demo.state()["status"] == "waiting");
    assert!(demo.screen().contains("❯ 1. Yes"), "{}", demo.screen());
    demo.tmux(&["send-keys", "-t", "demo", "1"]);
    demo.until_hook("PostToolUse");
    assert!(demo.work().join("made").exists());
    drop(demo);

    let allow = json!({ "hookSpecificOutput": { "decision": { "behavior": "allow" } } });
    let demo = Demo::start(&[], Some(("PermissionRequest", allow)));
    demo.submit("RUN: touch made");
    demo.until_hook("PostToolUse");
    assert!(demo.work().join("made").exists());
}

#[test]
fn esc_interrupts_and_fires_no_hook() {
    let demo = Demo::start(&["--dangerously-skip-permissions"], None);
    let fifo = demo.fifo();
    demo.submit(&format!("RUN: echo '{{\"running\":true}}' > {}; exec sleep 1000", fifo.display()));
    let before = demo.until_hook("PreToolUse");
    demo.until_event(|event| event.get("running").is_some());
    assert_eq!(demo.state()["status"], "busy");
    demo.tmux(&["send-keys", "-t", "demo", "Escape"]);
    demo.until(|demo| demo.state()["status"] == "idle");
    let lines = read_lines(&PathBuf::from(before["transcript_path"].as_str().expect("a path")));
    let last = lines.last().expect("a line");
    assert_eq!(last["message"]["content"][0]["text"], "[Request interrupted by user for tool use]");
    // The next hook is that of the next prompt: nothing came in between.
    demo.submit("SAY: still here");
    demo.hook("UserPromptSubmit");
}

#[test]
fn a_long_paste_arrives_whole() {
    let demo = Demo::start(&[], None);
    demo.hook("SessionStart");
    let line = "zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich 🚀\n";
    let text = line.repeat(200_000 / line.len() + 1);
    let file = demo.folder.path().join("paste");
    std::fs::write(&file, &text).expect("written");
    demo.tmux(&["load-buffer", file.to_str().expect("UTF-8")]);
    demo.tmux(&["paste-buffer", "-p", "-t", "demo"]);
    demo.tmux(&["send-keys", "-t", "demo", "Enter"]);
    let prompt = demo.hook("UserPromptSubmit");
    let prompt = prompt["prompt"].as_str().expect("a prompt");
    assert_eq!(prompt.len(), text.trim().len());
    assert!(prompt == text.trim());
    demo.hook("Stop");
    assert!(demo.screen().contains("[Pasted text #1 +"), "{}", demo.screen());
}

#[test]
fn what_cannot_be_started_says_why() {
    let check = |args: &[&str], code: i32, expected: &str| {
        let home = tempfile::tempdir().expect("a folder");
        let output = Command::new(env!("CARGO_BIN_EXE_codepiper"))
            .arg("demo-agent")
            .args(args)
            .env("CODEPIPER_DEMO_HOME", home.path())
            .output()
            .expect("started");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.trim()), (Some(code), expected));
    };
    let id = "5c56edb0-93c6-4859-a45d-33772458644c";
    check(&["--frob"], 2, "error: unknown option `--frob`; `codepiper demo-agent --help` lists them");
    check(&["--resume", id], 1, &format!("No conversation found with session ID: {id}"));
    check(&[], 1, "the demo agent needs a terminal to talk in");
}

/// A demo agent in a tmux of its own, which ends with it.
struct Demo {
    folder: tempfile::TempDir,
    events: Receiver<Value>,
}

impl Demo {
    fn start(args: &[&str], answer: Option<(&str, Value)>) -> Self {
        // In the temporary folder itself: the socket's path must be short.
        let folder = tempfile::Builder::new().prefix("cpd").tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("work")).expect("a folder");
        let (sender, events) = channel();
        let demo = Self { folder, events };
        // One each for hooks and status line: long lines of two writers would mix.
        for fifo in [demo.fifo(), demo.status_fifo()] {
            assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
            // Held open for writing too, so that it never ends.
            let reader = File::options().read(true).write(true).open(&fifo).expect("opened");
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(reader).lines().map_while(Result::ok) {
                    let event = serde_json::from_str(&line).unwrap_or(Value::Null);
                    if sender.send(event).is_err() {
                        return;
                    }
                }
            });
        }
        demo.write_settings(answer);
        demo.launch(args);
        demo
    }

    /// Every hook tells what it is told; one may also answer.
    fn write_settings(&self, answer: Option<(&str, Value)>) {
        let into = |fifo: PathBuf| format!("{{ cat; echo; }} > {}", fifo.display());
        let (tell, tell_status) = (into(self.fifo()), into(self.status_fifo()));
        let hooks: serde_json::Map<String, Value> = EVENTS
            .iter()
            .map(|event| {
                let command = match &answer {
                    Some((answering, answer)) if answering == event => format!("{tell}; echo '{answer}'"),
                    _ => tell.clone(),
                };
                let hook = json!([{ "hooks": [{ "type": "command", "command": command, "timeout": 60 }] }]);
                ((*event).to_owned(), hook)
            })
            .collect();
        let settings = json!({ "hooks": hooks, "statusLine": { "type": "command", "command": tell_status } });
        std::fs::write(self.folder.path().join("settings.json"), settings.to_string()).expect("written");
    }

    fn launch(&self, args: &[&str]) {
        let path = |name: &str| self.folder.path().join(name).to_str().expect("UTF-8").to_owned();
        let status = "echo $? > ../status; tmux wait-for -S gone";
        let command = format!(
            "{} demo-agent --settings {} {}; {status}",
            env!("CARGO_BIN_EXE_codepiper"),
            path("settings.json"),
            args.join(" ")
        );
        let home = format!("CODEPIPER_DEMO_HOME={}", path("home"));
        self.tmux(&[
            "new-session",
            "-d",
            "-s",
            "demo",
            "-x",
            "90",
            "-y",
            "30",
            "-c",
            &path("work"),
            "-e",
            &home,
            &command,
            ";",
            "set",
            "-g",
            "exit-empty",
            "off",
        ]);
    }

    fn restart(&mut self, args: &[&str]) {
        self.launch(args);
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn status_fifo(&self) -> PathBuf {
        self.folder.path().join("status-events")
    }

    fn fifo(&self) -> PathBuf {
        self.folder.path().join("events")
    }

    fn tmux_says(&self, args: &[&str]) -> std::process::Output {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.folder.path().join("tmux")).args(["-f", "/dev/null"]).args(args);
        command.output().expect("tmux runs")
    }

    /// Waits for what tmux alone knows and tells nobody, without taking an event from the test.
    fn patiently(&self, so: impl Fn() -> bool) {
        let begun = std::time::Instant::now();
        while !so() {
            assert!(begun.elapsed().as_secs() < 30, "{}", self.screen());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = self.tmux_says(args);
        assert!(output.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn submit(&self, prompt: &str) {
        // Its hooks come before its input line; what is typed before that line is there is a shell's.
        self.patiently(|| self.screen().lines().any(|line| line.starts_with('›')));
        self.tmux(&["send-keys", "-t", "demo", "-l", prompt]);
        self.tmux(&["send-keys", "-t", "demo", "Enter"]);
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-t", "demo"])
    }

    fn signal(&self, name: &str) {
        let pid = self.state()["pid"].to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs").success());
    }

    /// The state file's content, null without one.
    fn state(&self) -> Value {
        let folder = self.folder.path().join("home/sessions");
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let json = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "json"));
        json.filter_map(|file| serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok())
            .next()
            .unwrap_or_default()
    }

    fn event(&self) -> Value {
        match self.events.recv_timeout(PATIENCE) {
            Ok(event) => event,
            Err(_) => panic!("no event; the screen is:\n{}", self.screen()),
        }
    }

    /// The next hook, which must be this.
    fn hook(&self, name: &str) -> Value {
        let event = self.until_event(|event| event.get("hook_event_name").is_some());
        assert_eq!(event["hook_event_name"], name, "{event}");
        event
    }

    fn until_hook(&self, name: &str) -> Value {
        self.until_event(|event| event["hook_event_name"] == name)
    }

    fn until_event(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.event();
            if wanted(&event) {
                return event;
            }
        }
    }

    /// Waits until it is so, looking at each event: the status line runs at every change.
    fn until(&self, so: impl Fn(&Self) -> bool) {
        while !so(self) {
            self.event();
        }
    }

    fn wait_for_exit(&self, status: &str) {
        self.tmux(&["wait-for", "gone"]);
        // The signal is the last thing the pane does; its session goes a moment later.
        self.patiently(|| !self.tmux_says(&["has-session", "-t", "=demo"]).status.success());
        let got = std::fs::read_to_string(self.folder.path().join("status")).expect("a status");
        assert_eq!(got.trim(), status);
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ =
            Command::new("tmux").arg("-S").arg(self.folder.path().join("tmux")).arg("kill-server").output();
    }
}

fn read_lines(path: &PathBuf) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a transcript");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}
