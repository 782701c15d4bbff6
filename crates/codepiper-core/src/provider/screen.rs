//! What a screen means: patterns over the visible lines. The last resort, and all there is for agents that
//! tell us nothing else.

use super::{Definition, Dialect, Dialog, Launch, Plan, ScreenRules, claude::fill};
use crate::hook::{HookEvent, Learned};
use serde_json::Value;

/// An agent known only by its screen.
pub(super) struct ScreenOnly;

impl Dialect for ScreenOnly {
    fn launch(&self, definition: &Definition, request: &Launch<'_>) -> Plan {
        let (mut args, provider_session) = fill(definition, request);
        args.extend(request.extra_args.iter().cloned());
        Plan { args, provider_session, ..Plan::default() }
    }

    fn read_hook(&self, body: Value) -> HookEvent {
        HookEvent {
            name: body.get("hook_event_name").and_then(Value::as_str).unwrap_or("unknown").to_owned(),
            happenings: Vec::new(),
            tool: None,
            prompt: None,
            learned: Learned::default(),
            raw: body,
        }
    }
}

/// What a screen shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScreenReading<'a> {
    /// A known dialog waits for an answer.
    Dialog(&'a str),
    /// The agent works.
    Busy,
    /// The agent takes prompts.
    Idle,
    /// Nothing that is known.
    Unknown,
}

/// Reads a screen given as its visible lines joined by newlines.
pub fn read_screen<'a>(rules: &'a ScreenRules, screen: &str) -> (ScreenReading<'a>, Option<&'a Dialog>) {
    if let Some(dialog) = rules.dialogs.iter().find(|dialog| dialog.pattern.is_match(screen)) {
        return (ScreenReading::Dialog(&dialog.name), Some(dialog));
    }
    let shows = |pattern: &Option<regex::Regex>| pattern.as_ref().is_some_and(|p| p.is_match(screen));
    let reading = if shows(&rules.busy) {
        ScreenReading::Busy
    } else if shows(&rules.idle) || (rules.idle.is_none() && shows(&rules.ready)) {
        ScreenReading::Idle
    } else {
        ScreenReading::Unknown
    };
    (reading, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SessionId;
    use crate::provider::Conversation;
    use std::path::Path;

    #[test]
    fn a_persons_own_arguments_come_last() {
        let definition = Definition::parse("id = 'x'\nprogram = 'x'\nargs = ['--own']").unwrap();
        let plan = ScreenOnly.launch(
            &definition,
            &Launch {
                session: &SessionId::parse("0a1b2c3d").unwrap(),
                cwd: Path::new("/project"),
                conversation: &Conversation::New { id: "conversation".into() },
                model: None,
                dangerous: false,
                extra_args: &["--person".to_owned()],
                runtime_dir: Path::new("/run"),
                codepiper: Path::new("/bin/codepiper"),
                version: None,
                settings: &[],
            },
        );
        assert_eq!(plan.args, ["--own", "--person"]);
    }

    #[test]
    fn a_dialog_beats_busy_and_busy_beats_idle() {
        let definition = Definition::parse(
            "id = 'x'\nprogram = 'x'\n[screen]\nready = '^> '\nbusy = 'esc to interrupt'\n\
             [[screen.dialogs]]\nname = 'trust'\npattern = 'Do you trust'\nquestion = 'Trust?'",
        )
        .unwrap();
        let check = |screen: &str, expected: ScreenReading<'_>| {
            assert_eq!(read_screen(&definition.screen, screen).0, expected, "for {screen:?}");
        };
        check("hello\n> ", ScreenReading::Idle);
        check("hello\n> \n(esc to interrupt)", ScreenReading::Busy);
        check("Do you trust this?\n> esc to interrupt", ScreenReading::Dialog("trust"));
        check("loading", ScreenReading::Unknown);
    }

    /// A screen of the real agent, as it was recorded: what the built-in definition makes of it.
    fn check_recorded(agent: &str, screen: &str, expected: &str) {
        let definitions = crate::provider::built_in();
        let definition = definitions.iter().find(|definition| definition.id == agent).unwrap();
        let path = format!("{}/testdata/{agent}/{screen}.txt", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let shown = match read_screen(&definition.screen, &text).0 {
            ScreenReading::Dialog(name) => name,
            ScreenReading::Busy => "busy",
            ScreenReading::Idle => "idle",
            ScreenReading::Unknown => "unknown",
        };
        assert_eq!(shown, expected, "for {path}:\n{text}");
        // An agent that starts shows one of these first.
        let is_ready = definition.screen.ready.as_ref().is_some_and(|ready| ready.is_match(&text));
        assert!(is_ready || !matches!(screen, "ready" | "home"), "{path} is not ready");
    }

    #[test]
    fn gemini_is_read_off_its_screens() {
        let check = |screen, expected| check_recorded("gemini", screen, expected);
        check("trust", "trust");
        check("login", "login");
        check("api-key", "api-key");
        check("ready", "idle");
        check("typed", "idle");
        check("working", "busy");
        check("queued", "busy");
        check("turn-ended", "idle");
        check("run-command", "permission");
        check("running-command", "busy");
        check("write-file", "permission-edit");
        check("refused", "idle");
        check("question", "question");
        check("rewind", "choice");
        check("yolo-ready-narrow", "idle");
        check("yolo-working-narrow", "busy");
    }

    #[test]
    fn opencode_is_read_off_its_screens() {
        let check = |screen, expected| check_recorded("opencode", screen, expected);
        check("home", "idle");
        check("typed", "idle");
        check("working", "busy");
        check("working-narrow", "busy");
        check("interrupt-asked", "busy");
        check("interrupted", "idle");
        check("turn-ended", "idle");
        check("run-command", "permission");
        check("write-file", "permission");
        check("other-folder", "permission");
        check("always", "permission-always");
        check("question", "question");
        check("help", "window");
        check("models", "window");
    }

    #[test]
    fn aider_is_read_off_the_end_of_its_screens() {
        let check = |screen, expected| check_recorded("aider", screen, expected);
        check("git", "git");
        check("gitignore", "gitignore");
        check("login-narrow", "login");
        check("ready", "idle");
        // An empty line of a prompt that was taken looks like an empty prompt.
        check("taken", "unknown");
        check("waiting", "busy");
        check("streaming", "busy");
        check("turn-ended", "idle");
        check("run-command", "command");
        check("run-command-typed", "command");
        check("add-output", "question");
        // Two answered questions are still in sight.
        check("answered", "idle");
        check("create-file", "edit");
        check("add-url", "question");
        check("interrupted", "idle");
    }
}
