//! Who may use a tool: the permission mode, what was allowed before, and the dialog that asks. Pure.

use std::path::Path;

use serde_json::{Value, json};

use super::hooks::Verdict;
use super::keys::Key;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Default,
    AcceptEdits,
    Plan,
    Auto,
    DontAsk,
    BypassPermissions,
}

impl Mode {
    pub(super) const NAMES: [&str; 6] =
        ["default", "acceptEdits", "plan", "auto", "dontAsk", "bypassPermissions"];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "default" => Mode::Default,
            "acceptEdits" => Mode::AcceptEdits,
            "plan" => Mode::Plan,
            "auto" => Mode::Auto,
            "dontAsk" => Mode::DontAsk,
            "bypassPermissions" => Mode::BypassPermissions,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// What shift+tab makes of it.
    pub(super) fn next(self) -> Self {
        match self {
            Mode::Default => Mode::AcceptEdits,
            Mode::AcceptEdits => Mode::Plan,
            Mode::Plan | Mode::Auto | Mode::DontAsk | Mode::BypassPermissions => Mode::Default,
        }
    }

    /// What the footer says of it.
    pub(super) fn shown(self) -> Option<&'static str> {
        match self {
            Mode::Default => None,
            Mode::AcceptEdits => Some("accept edits on"),
            Mode::Plan => Some("plan mode on"),
            Mode::Auto => Some("auto mode on"),
            Mode::DontAsk => Some("don't ask on"),
            Mode::BypassPermissions => Some("bypass permissions on"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Bash,
    Read,
    Write,
    Edit,
    AskUserQuestion,
}

impl Tool {
    pub(super) fn name(self) -> &'static str {
        match self {
            Tool::Bash => "Bash",
            Tool::Read => "Read",
            Tool::Write => "Write",
            Tool::Edit => "Edit",
            Tool::AskUserQuestion => "AskUserQuestion",
        }
    }
}

/// Whether a call goes ahead.
#[derive(Debug, PartialEq)]
pub(super) enum Leave {
    Granted,
    Ask { why: Option<String> },
    Refused { reason: String },
}

/// Decides one call. A hook's word is above everything; then what was allowed for the session; then the mode.
pub(super) fn leave(
    mode: Mode,
    allowed_before: bool,
    verdict: &Verdict,
    tool: Tool,
    input: &Value,
    cwd: &Path,
) -> Leave {
    match verdict {
        Verdict::Deny(reason) => return Leave::Refused { reason: reason.clone() },
        Verdict::Ask(why) => return Leave::Ask { why: why.clone() },
        // A question that was answered with the leave needs no dialog; one that was not, does.
        Verdict::Allow if tool != Tool::AskUserQuestion || input.get("answers").is_some() => {
            return Leave::Granted;
        }
        Verdict::Allow | Verdict::None => {}
    }
    let inside = input["file_path"].as_str().is_none_or(|path| Path::new(path).starts_with(cwd));
    let granted = match (mode, tool) {
        (_, Tool::AskUserQuestion) => false,
        (Mode::BypassPermissions | Mode::Auto, _) => true,
        (_, Tool::Read) => inside || allowed_before,
        (Mode::AcceptEdits, Tool::Write | Tool::Edit) => inside || allowed_before,
        (Mode::Default | Mode::AcceptEdits | Mode::Plan | Mode::DontAsk, _) => allowed_before,
    };
    match mode {
        _ if granted => Leave::Granted,
        Mode::DontAsk if tool != Tool::AskUserQuestion => {
            let reason = format!("Permission to use {} has been denied: the mode is dontAsk", tool.name());
            Leave::Refused { reason }
        }
        _ => Leave::Ask { why: None },
    }
}

/// What a PermissionRequest hook is told beyond the common fields.
pub(super) fn request_fields(tool: Tool, input: &Value) -> Value {
    let mut fields = json!({ "tool_name": tool.name(), "tool_input": input });
    let suggestion = match tool {
        Tool::AskUserQuestion => return fields,
        Tool::Write | Tool::Edit => {
            json!({ "type": "setMode", "mode": "acceptEdits", "destination": "session" })
        }
        Tool::Bash | Tool::Read => json!({
            "type": "addRules",
            "rules": [{ "toolName": tool.name() }],
            "behavior": "allow",
            "destination": "session",
        }),
    };
    fields["permission_suggestions"] = json!([suggestion]);
    fields
}

/// A question with numbered answers, open on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dialog {
    pub(super) title: String,
    /// What it is about, line by line.
    pub(super) about: Vec<String>,
    pub(super) question: String,
    pub(super) options: Vec<String>,
    pub(super) selected: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pressed {
    Nothing,
    Moved,
    Chose(usize),
    Cancelled,
}

impl Dialog {
    /// Digits select at once. So does text that is pasted here by mistake, as in Claude Code.
    pub(super) fn key(&mut self, key: &Key) -> Pressed {
        let last = self.options.len().saturating_sub(1);
        match key {
            Key::Up | Key::Ctrl('p') => {
                self.select(if self.selected == 0 { last } else { self.selected - 1 })
            }
            Key::Down | Key::Ctrl('n' | 'i') => {
                self.select(if self.selected == last { 0 } else { self.selected + 1 })
            }
            Key::Enter => Pressed::Chose(self.selected),
            Key::Esc | Key::Ctrl('c') => Pressed::Cancelled,
            Key::Char(c) => match c.to_digit(10) {
                Some(digit) if (1..=self.options.len()).contains(&(digit as usize)) => {
                    Pressed::Chose(digit as usize - 1)
                }
                _ => Pressed::Nothing,
            },
            Key::Paste(text) => text
                .chars()
                .map(|c| self.key(&if c == '\n' { Key::Enter } else { Key::Char(c) }))
                .find(|pressed| *pressed != Pressed::Nothing)
                .unwrap_or(Pressed::Nothing),
            _ => Pressed::Nothing,
        }
    }

    fn select(&mut self, option: usize) -> Pressed {
        self.selected = option;
        Pressed::Moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mode: &str, verdict: Verdict, tool: Tool, path: &str, expected: &str) {
        let input = if path.is_empty() { json!({}) } else { json!({ "file_path": path }) };
        let mode = Mode::parse(mode).expect("a mode");
        let got = match leave(mode, false, &verdict, tool, &input, Path::new("/project")) {
            Leave::Granted => "granted".to_owned(),
            Leave::Ask { why } => format!("ask {}", why.unwrap_or_default()).trim().to_owned(),
            Leave::Refused { .. } => "refused".to_owned(),
        };
        assert_eq!(got, expected, "{mode:?} {verdict:?} {tool:?} {path}");
    }

    #[test]
    fn the_mode_decides_where_no_hook_does() {
        check("default", Verdict::None, Tool::Bash, "", "ask");
        check("default", Verdict::None, Tool::Read, "/project/a", "granted");
        check("default", Verdict::None, Tool::Read, "/etc/a", "ask");
        check("acceptEdits", Verdict::None, Tool::Write, "/project/a", "granted");
        check("acceptEdits", Verdict::None, Tool::Write, "/etc/a", "ask");
        check("acceptEdits", Verdict::None, Tool::Bash, "", "ask");
        check("bypassPermissions", Verdict::None, Tool::Bash, "", "granted");
        check("bypassPermissions", Verdict::None, Tool::AskUserQuestion, "", "ask");
        check("dontAsk", Verdict::None, Tool::Bash, "", "refused");
    }

    #[test]
    fn a_hook_is_above_the_mode() {
        check("default", Verdict::Allow, Tool::Bash, "", "granted");
        check("bypassPermissions", Verdict::Deny("no".into()), Tool::Bash, "", "refused");
        check("bypassPermissions", Verdict::Ask(Some("sure?".into())), Tool::Bash, "", "ask sure?");
        check("default", Verdict::Allow, Tool::AskUserQuestion, "", "ask");
    }

    #[test]
    fn every_mode_has_its_name() {
        for name in Mode::NAMES {
            assert_eq!(Mode::parse(name).map(Mode::name), Some(name));
        }
    }

    #[test]
    fn a_dialog_is_answered_by_keys() {
        let dialog = Dialog {
            title: String::new(),
            about: Vec::new(),
            question: String::new(),
            options: vec!["Yes".into(), "Always".into(), "No".into()],
            selected: 0,
        };
        let check = |keys: &[Key], expected| {
            let mut dialog = dialog.clone();
            let answers = keys.iter().map(|key| dialog.key(key));
            let decided = |pressed: &Pressed| !matches!(pressed, Pressed::Moved | Pressed::Nothing);
            assert_eq!(answers.into_iter().find(decided), expected, "{keys:?}");
        };
        check(&[Key::Enter], Some(Pressed::Chose(0)));
        check(&[Key::Down, Key::Enter], Some(Pressed::Chose(1)));
        check(&[Key::Up, Key::Enter], Some(Pressed::Chose(2)));
        check(&[Key::Char('3')], Some(Pressed::Chose(2)));
        check(&[Key::Char('x'), Key::Char('9')], None);
        check(&[Key::Esc], Some(Pressed::Cancelled));
        check(&[Key::Paste("do 2 things".into())], Some(Pressed::Chose(1)));
    }
}
