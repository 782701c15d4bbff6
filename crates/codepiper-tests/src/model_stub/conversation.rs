//! Which words of a request are the user's, and what has happened since.
//!
//! A request repeats the whole conversation, and the CLIs speak in the user's name too: reminders, notifications,
//! the output of local commands, notes about interruptions. Those must never be taken for the prompt.

/// One thing in a conversation, in the order of the request, whatever message it is packed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// A text in the user's name.
    User(String),
    /// Anything the model said or called.
    Model,
    /// What a tool answered.
    ToolResult(String),
}

/// Where a conversation stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Turn {
    /// What the user said last, and below it what was queued and delivered while the turn went on. `None` when the
    /// CLI has begun the turn by itself.
    pub(super) prompt: Option<String>,
    /// What the tools have answered since.
    pub(super) results: Vec<String>,
}

impl Turn {
    pub(super) fn of(items: &[Item]) -> Turn {
        let mut turn = Turn::default();
        let mut inside_a_turn = false;
        for item in items {
            match item {
                Item::Model => inside_a_turn = false,
                Item::ToolResult(text) => {
                    turn.results.push(text.clone());
                    // So Codex ends a call that nobody is left to answer; what follows is a new prompt.
                    inside_a_turn = text != "aborted";
                }
                Item::User(text) => match (who_speaks(text), &mut turn.prompt) {
                    (Speaker::User(queued), Some(prompt)) if inside_a_turn => {
                        prompt.push('\n');
                        prompt.push_str(&queued);
                    }
                    (Speaker::User(prompt), _) => turn = Turn { prompt: Some(prompt), results: vec![] },
                    (Speaker::Notice, _) if !inside_a_turn => turn = Turn::default(),
                    (Speaker::Interruption, _) => inside_a_turn = false,
                    (Speaker::Notice | Speaker::Cli, _) => {}
                },
            }
        }
        turn
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Speaker {
    User(String),
    /// The CLI reports something the model is to act on.
    Notice,
    /// The turn was broken off.
    Interruption,
    /// The CLI adds context.
    Cli,
}

/// Takes off what the CLI has wrapped in tags at either end; what is left is the user's.
fn who_speaks(text: &str) -> Speaker {
    let mut rest = text.trim();
    let (mut notice, mut interruption) = (false, false);
    while let Some((name, after)) = leading_element(rest) {
        notice |= name == "task-notification";
        interruption |= name == "turn_aborted";
        rest = after.trim_start();
    }
    while let Some(before) = rest.strip_suffix("</system-reminder>") {
        let Some(start) = before.rfind("<system-reminder>") else { break };
        rest = before[..start].trim_end();
    }
    match rest {
        "" if interruption => Speaker::Interruption,
        "" if notice => Speaker::Notice,
        "" => Speaker::Cli,
        _ if rest.starts_with("[Request interrupted by user") => Speaker::Interruption,
        _ if rest.starts_with("# AGENTS.md instructions") => Speaker::Cli,
        // Where a picture came from, said after the prompt it belongs to.
        _ if rest.starts_with("[Image: source: ") => Speaker::Cli,
        _ => Speaker::User(rest.to_owned()),
    }
}

/// `<name …>…</name>rest` as `(name, rest)`.
fn leading_element(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('<')?;
    let name =
        inside.split(|char: char| !(char.is_ascii_lowercase() || matches!(char, '-' | '_' | ' '))).next()?;
    let name = name.split(' ').next().filter(|name| !name.is_empty())?;
    let closing = format!("</{name}>");
    let end = inside.find(&closing)?;
    Some((name, &inside[end + closing.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `u: ` the user's name, `m` the model, `t: ` a tool.
    fn check(conversation: &[&str], expected: (Option<&str>, &[&str])) {
        let items: Vec<Item> = conversation
            .iter()
            .map(|line| match line.split_once(": ") {
                Some(("u", text)) => Item::User(text.to_owned()),
                Some(("t", text)) => Item::ToolResult(text.to_owned()),
                _ => Item::Model,
            })
            .collect();
        let turn = Turn::of(&items);
        let results: Vec<&str> = turn.results.iter().map(String::as_str).collect();
        assert_eq!((turn.prompt.as_deref(), results.as_slice()), expected);
    }

    #[test]
    fn a_turn_starts_at_the_last_thing_the_user_said() {
        check(&["u: one", "m", "t: a", "m", "u: two", "m", "t: b", "t: c"], (Some("two"), &["b", "c"]));
    }

    #[test]
    fn context_of_the_cli_is_not_the_user() {
        check(
            &[
                "u: <system-reminder>\nRUN: no\n</system-reminder>\n\n",
                "u: <environment_context>\n<cwd>/x</cwd>\n</environment_context>",
                "u: go\n<system-reminder>x</system-reminder>",
                "u: <local-command-stdout>RUN: no</local-command-stdout>",
                "u: [Image: source: /p/a.png]",
                "m",
                "t: a",
                "u: <system-reminder kind=\"x\">hook says</system-reminder>",
            ],
            (Some("go"), &["a"]),
        );
        check(&["u: go", "m", "u: [Request interrupted by user]"], (Some("go"), &[]));
    }

    #[test]
    fn what_is_queued_comes_after_the_running_script() {
        check(&["u: one", "m", "t: a", "u: two", "m", "t: b"], (Some("one\ntwo"), &["a", "b"]));
    }

    #[test]
    fn after_an_interruption_everything_is_new() {
        for interruption in
            ["u: [Request interrupted by user for tool use]", "u: <turn_aborted>x</turn_aborted>", "m"]
        {
            check(&["u: one", "m", "t: a", interruption, "u: two"], (Some("two"), &[]));
        }
        check(&["u: one", "m", "t: aborted", "u: two"], (Some("two"), &[]));
    }

    #[test]
    fn a_notification_starts_a_turn_only_between_turns() {
        let notice = "u: <task-notification>\n<status>completed</status>\n</task-notification>";
        check(&["u: go", "m", "t: a", notice], (Some("go"), &["a"]));
        check(&["u: go", "m", "t: a", "m", notice], (None, &[]));
    }

    #[test]
    fn what_only_looks_like_a_tag_is_the_users() {
        check(&["u: <b is less than c"], (Some("<b is less than c"), &[]));
        check(&["u: 1 < 2"], (Some("1 < 2"), &[]));
    }
}
