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
}
