//! The crate against a real tmux, on a private server a test.

use codepiper_tmux::{Command, Link, NewSession, Notice, Pane, Press, Server, Tmux};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

struct Lab {
    tmux: Tmux,
    folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("cpt").tempdir().unwrap();
        let server = Server {
            program: "tmux".into(),
            socket: Some(folder.path().join("s")),
            config: Some("/dev/null".into()),
            environment: std::env::vars_os().filter(|(name, _)| name == "PATH").collect(),
        };
        Self { tmux: Tmux::new(server), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn create(&self, name: &str, script: &str) -> Pane {
        let argv = ["sh".to_owned(), "-c".to_owned(), script.to_owned()];
        let pipe = format!("exec cat >> {}", self.path(&format!("{name}.out")).display());
        let new = NewSession { name, cwd: self.folder.path(), size: (100, 20), argv: &argv, pipe: &pipe };
        self.tmux.create(&new).await.unwrap()
    }

    /// Blocks until a program in a pane ran `tmux wait-for -S channel`; no polling.
    async fn wait_for(&self, channel: &str) {
        let wait = tokio::process::Command::new("tmux")
            .args(self.tmux.server().arguments())
            .args(["wait-for", channel])
            .kill_on_drop(true)
            .status();
        assert!(tokio::time::timeout(Duration::from_secs(20), wait).await.expect(channel).unwrap().success());
    }

    fn signal(&self, channel: &str) -> String {
        format!("tmux -S {} wait-for -S {channel}", self.path("s").display())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let status = std::process::Command::new("tmux")
            .args(self.tmux.server().arguments())
            .arg("kill-server")
            .status();
        assert!(status.is_ok(), "tmux could not be run to end the private server");
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test]
async fn a_program_that_ends_at_once_leaves_its_pane_and_its_output() {
    let lab = Lab::new();
    let pane = lab.create("quick", "printf hello; exit 3").await;
    assert_eq!((pane.session.as_str(), pane.size), ("quick", (100, 20)));
    let other = lab.create("other", &format!("{}; sleep 60", lab.signal("up"))).await;
    lab.wait_for("up").await;
    let panes = lab.tmux.panes().await.unwrap();
    let quick = panes.iter().find(|p| p.id == pane.id).unwrap();
    assert!(quick.dead && quick.piped);
    assert!(panes.iter().any(|p| p.id == other.id && !p.dead));
    let screen = String::from_utf8(lab.tmux.capture(&pane.id, 1).await.unwrap()).unwrap();
    assert!(screen.starts_with("hello"), "{screen:?}");
}

#[tokio::test]
async fn commands_after_the_first_session_go_through_control_mode_and_survive_its_loss() {
    let lab = Lab::new();
    assert!(lab.tmux.panes().await.unwrap().is_empty());
    assert_eq!(lab.tmux.link().await, Link::Processes);
    lab.create("a", "exec sleep 60").await;
    lab.create("b", "exec sleep 60").await;
    assert_eq!(lab.tmux.panes().await.unwrap().len(), 2);
    assert_eq!(lab.tmux.link().await, Link::Control);

    // The session the client lives in goes away: the next command finds another home.
    let mut notices = lab.tmux.notices();
    lab.tmux.kill("a").await.unwrap();
    while tokio::time::timeout(Duration::from_secs(10), notices.recv()).await.unwrap().unwrap()
        != Notice::Disconnected
    {}
    let left: Vec<String> = lab.tmux.panes().await.unwrap().into_iter().map(|p| p.session).collect();
    assert_eq!(left, ["b"]);
    assert_eq!(lab.tmux.link().await, Link::Control);
}

#[tokio::test]
async fn answers_stay_matched_under_many_callers_and_errors() {
    let lab = Lab::new();
    lab.create("a", "exec sleep 60").await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..200 {
        let tmux = lab.tmux.clone();
        calls.spawn(async move {
            let text = format!("answer {n} \" $HOME ; \\ #");
            let show = Command::new("display-message").args(["-p", "-t", "=a:", &text.replace('#', "##")]);
            let fail = Command::new("select-pane").args(["-t", "%99"]);
            if n % 3 == 0 {
                let error = tmux.run(&[show, fail]).await.unwrap_err();
                assert!(error.is_not_found(), "{error}");
            } else {
                let answers = tmux.run(&[show.clone(), show]).await.unwrap();
                assert_eq!(answers, vec![format!("{text}\n").into_bytes(); 2]);
            }
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
}

#[tokio::test]
async fn keys_and_pastes_arrive_as_they_are() {
    let lab = Lab::new();
    let got = lab.path("got");
    let script = format!(
        "printf '\\033[?2004h'; stty raw -echo; {}; head -c 41 > {}; {}; exec sleep 60",
        lab.signal("ready"),
        got.display(),
        lab.signal("done")
    );
    let pane = lab.create("k", &script).await;
    lab.wait_for("ready").await;
    let text = lab.path("text");
    fs::write(&text, "-l; é\nb").unwrap();
    lab.tmux.paste(&pane.id, "codepiper-test", &text).await.unwrap();
    let keys = [
        Press::Named("Enter".into()),
        Press::Literal("-x;".into()),
        Press::Literal("'\"$A".into()),
        Press::Named("C-c".into()),
        Press::Named("BTab".into()),
        Press::Bytes("é\u{1b}".into()),
        Press::Literal("; kill".into()),
    ];
    lab.tmux.keys(&pane.id, &keys).await.unwrap();
    lab.wait_for("done").await;
    assert_eq!(read(&got), "\u{1b}[200~-l; é\rb\u{1b}[201~\r-x;'\"$A\u{3}\u{1b}[Zé\u{1b}; kill");
    assert!(lab.tmux.run(&[Command::new("show-buffer").args(["-b", "codepiper-test"])]).await.is_err());
}

#[tokio::test]
async fn whatever_is_done_to_a_dead_pane_the_others_live() {
    let lab = Lab::new();
    let other = lab.create("other", "exec sleep 60").await;
    let dead = lab.create("dead", "exit 0").await;
    loop {
        let panes = lab.tmux.panes().await.unwrap();
        if panes.iter().any(|pane| pane.id == dead.id && pane.dead) {
            break;
        }
    }
    let text = lab.path("text");
    fs::write(&text, "hello").unwrap();
    // Nothing of ours in it, so it has no control client.
    let by_processes = Tmux::new(lab.tmux.server().clone());
    for (tmux, link) in [(&lab.tmux, Link::Control), (&by_processes, Link::Processes)] {
        assert_eq!(tmux.link().await, link);
        let error = tmux.paste(&dead.id, "codepiper-test", &text).await.unwrap_err();
        assert!(error.to_string().contains("has ended"), "{error}");
        let buffer = [Command::new("show-buffer").args(["-b", "codepiper-test"])];
        assert!(tmux.run(&buffer).await.is_err(), "the text stays behind");
        // What these answer does not matter.
        let _refused = tmux.keys(&dead.id, &[Press::Named("Enter".into()), Press::Literal("x".into())]).await;
        let _refused = tmux.pipe(&dead.id, "exec cat > /dev/null").await;
        let _refused = tmux.resize("dead", 90, 20).await;
        let _refused = tmux.capture(&dead.id, 10).await;
        let panes = tmux.panes().await.unwrap();
        assert!(panes.iter().any(|pane| pane.server == other.server && pane.id == other.id), "tmux died");
    }
}

#[tokio::test]
async fn a_dead_pane_is_used_again() {
    let lab = Lab::new();
    let first = lab.create("r", "exit 0").await;
    let argv = ["sh".to_owned(), "-c".to_owned(), format!("printf again; {}; sleep 60", lab.signal("up"))];
    let out = lab.path("second.out");
    let pipe = format!("exec cat >> {}", out.display());
    let second = lab.tmux.respawn(&first.id, lab.folder.path(), &argv, Some(&pipe)).await.unwrap();
    lab.wait_for("up").await;
    assert_eq!((second.id.as_str(), second.dead), (first.id.as_str(), false));
    lab.tmux.resize("r", 80, 24).await.unwrap();
    assert_eq!(lab.tmux.panes().await.unwrap()[0].size, (80, 24));
}

#[tokio::test]
async fn a_name_is_never_taken_for_a_prefix() {
    let lab = Lab::new();
    lab.create("codepiper-aaaa", "exec sleep 60").await;
    lab.tmux.kill("codepiper-aa").await.unwrap();
    assert_eq!(lab.tmux.panes().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_missing_program_is_named_with_what_to_install() {
    let server =
        Server { program: "tmux-is-not-here".into(), socket: None, config: None, environment: Vec::new() };
    let error = Tmux::new(server).version().await.unwrap_err();
    assert!(error.to_string().contains("install tmux 3.2"), "{error}");
}
