//! Switching the model of a running Claude Code: what its screen shows of it, and how to undo what it did to
//! the person's settings.
//!
//! `/model NAME` asks "Switch model?" once the conversation is cached for another model, tries an unknown name
//! with a request first, and saves every switch as the person's default (measured, 2.1.197).

use serde_json::{Map, Value};

/// What the screen shows of `/model NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Switch {
    /// Nothing yet.
    Nothing,
    /// It asks whether to switch really.
    Asks,
    /// It switched.
    Done,
    /// It did not, in its own words.
    Refused(String),
}

/// The name that stands for "no choice of my own".
const DEFAULT: &str = "default";

/// Reads the outcome of the last `/model` off a screen's lines. Another `/model` than ours shows nothing of ours.
pub fn read_switch(lines: &[String], model: &str) -> Switch {
    let command = |line: &str| -> Option<String> {
        let typed = line.trim_start().strip_prefix(['❯', '›'])?.trim();
        (typed == "/model" || typed.starts_with("/model ")).then(|| typed.to_owned())
    };
    let Some((at, typed)) = lines.iter().enumerate().rev().find_map(|(at, line)| Some((at, command(line)?)))
    else {
        return Switch::Nothing;
    };
    if typed != format!("/model {model}") {
        return Switch::Nothing;
    }
    let after = &lines[at + 1..];
    let asks = after.iter().any(|line| line.trim() == "Switch model?")
        && after.iter().any(|line| line.contains("1. Yes, switch"));
    if asks {
        return Switch::Asks;
    }
    // The answer follows at once; what is below a blank line belongs to something else.
    let mut answer = after.iter().take_while(|line| !line.trim().is_empty()).map(|line| line.trim());
    let Some(first) = answer.next().and_then(|line| line.strip_prefix('⎿')) else { return Switch::Nothing };
    let words = std::iter::once(first).chain(answer).flat_map(str::split_whitespace);
    let said = words.collect::<Vec<_>>().join(" ");
    match said {
        said if said.starts_with("Set model to ") => Switch::Done,
        said if said.is_empty() => Switch::Nothing,
        said => Switch::Refused(said),
    }
}

/// What to do with a settings file after a switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restore {
    /// Nothing: the switch did not change the default, or somebody else has since.
    Leave,
    /// Write this.
    Write(String),
    /// Remove it: it was not there before, and holds nothing else.
    Remove,
}

/// Gives the person back the default they had, when the switch to `model` took its place. Everything else in the
/// file stays as it is now; when nothing else changed, the file is again what it was to the byte.
pub fn restore_default(before: Option<&str>, now: Option<&str>, model: &str) -> Restore {
    let Some(mut settings) = now.and_then(read) else { return Restore::Leave };
    let old = match before {
        None => Map::new(),
        Some(text) => match read(text) {
            Some(old) => old,
            None => return Restore::Leave, // not understood before, so nothing can be said of it
        },
    };
    let saved = (model != DEFAULT).then(|| Value::from(model));
    if settings.get("model") == old.get("model") || settings.get("model") != saved.as_ref() {
        return Restore::Leave;
    }
    match old.get("model") {
        Some(model) => settings.insert("model".into(), model.clone()),
        None => settings.remove("model"),
    };
    match before {
        None if settings.is_empty() => Restore::Remove,
        Some(text) if settings == old => Restore::Write(text.to_owned()),
        _ => Restore::Write(format!("{:#}\n", Value::Object(settings))),
    }
}

fn read(text: &str) -> Option<Map<String, Value>> {
    match serde_json::from_str(text).ok()? {
        Value::Object(settings) => Some(settings),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_tells_what_became_of_a_switch() {
        let check = |screen: &str, expected: Switch| {
            let lines: Vec<String> = screen.lines().map(str::to_owned).collect();
            assert_eq!(read_switch(&lines, "sonnet"), expected, "on\n{screen}");
        };
        check("", Switch::Nothing);
        check("❯ /model sonnet\n────\n  ? for shortcuts", Switch::Nothing);
        check(
            "❯ /model sonnet\n  ⎿  Set model to Sonnet 5 and saved as your default for new\n     sessions\n\n❯ ",
            Switch::Done,
        );
        // While a name is tried, and with an earlier switch above.
        check("❯ /model sonnet\n  ⎿  Set model to Sonnet 5\n\n❯ /model opus\n", Switch::Nothing);
        check("❯ /model opus\n  ⎿  Set model to Opus 4.8\n\n❯ /model sonnet\n\n────", Switch::Nothing);
        check(
            "❯ /model sonnet\n\n────\n  Switch model?\n  Your next response will be slower\n\n  ❯ 1. Yes, switch to Sonnet 5\n    2. No, go back",
            Switch::Asks,
        );
        check(
            "❯ /model sonnet\n  ⎿  Kept model as Haiku 4.5\n\n❯ ",
            Switch::Refused("Kept model as Haiku 4.5".into()),
        );
        check(
            "❯ /model sonnet\n  ⎿  Model 'sonnet' was\n     not found\n\n❯ ",
            Switch::Refused("Model 'sonnet' was not found".into()),
        );
    }

    #[test]
    fn the_persons_default_comes_back_and_nothing_else_changes() {
        let check = |before: Option<&str>, now: Option<&str>, expected: Restore| {
            assert_eq!(restore_default(before, now, "opus"), expected, "{before:?} then {now:?}");
        };
        let write = |text: &str| Restore::Write(text.into());
        // As it was, to the byte, though the agent wrote it in its own way.
        check(
            Some("{\"model\":\"haiku\",\"a\":1}"),
            Some("{\n  \"a\": 1,\n  \"model\": \"opus\"\n}"),
            write("{\"model\":\"haiku\",\"a\":1}"),
        );
        check(Some("{ }"), Some("{\"model\":\"opus\"}"), write("{ }"));
        check(None, Some("{\"model\":\"opus\"}"), Restore::Remove);
        // What else changed meanwhile stays.
        check(Some("{}"), Some("{\"model\":\"opus\",\"b\":2}"), write("{\n  \"b\": 2\n}\n"));
        check(None, Some("{\"model\":\"opus\",\"b\":2}"), write("{\n  \"b\": 2\n}\n"));
        // Not our doing, or nobody's.
        check(Some("{\"model\":\"haiku\"}"), Some("{\"model\":\"sonnet\"}"), Restore::Leave);
        check(Some("{\"model\":\"opus\"}"), Some("{\"model\":\"opus\"}"), Restore::Leave);
        check(Some("{\"model\":\"haiku\"}"), None, Restore::Leave);
        check(Some("not json"), Some("{\"model\":\"opus\"}"), Restore::Leave);
        check(Some("{}"), Some("{half"), Restore::Leave);
        assert_eq!(
            restore_default(Some("{\"model\":\"opus\"}"), Some("{}"), "default"),
            write("{\"model\":\"opus\"}")
        );
    }
}
