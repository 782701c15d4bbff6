//! Key names as people write them, into key names as tmux takes them.
//!
//! The documented names are matched in any case (`ctrl+c`, `Escape`, `shift+tab`); a single character is
//! itself, case kept; everything else must be a name of tmux's own (`C-c`, `M-Enter`, `F5`), case kept.

/// A key in tmux's spelling, safe to hand over as one argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A name that tmux looks up, e.g. `C-c`.
    Named(String),
    /// A character to type as it is.
    Literal(char),
}

/// The text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no key: use names like enter, escape, tab, shift+tab, up, pageup, f5, space, ctrl+c, alt+x, \
     a single character, or tmux's own like C-c"
)]
pub struct BadKey(pub String);

/// The keys of one argument: `escape`, or several with blanks between: `escape up enter`.
pub fn parse_all(text: &str) -> Result<Vec<Key>, BadKey> {
    if text == " " {
        return Ok(vec![Key::Literal(' ')]);
    }
    let keys: Vec<Key> = text.split_whitespace().map(parse).collect::<Result<_, _>>()?;
    if keys.is_empty() { Err(BadKey(text.to_owned())) } else { Ok(keys) }
}

/// One key.
pub fn parse(text: &str) -> Result<Key, BadKey> {
    let bad = || BadKey(text.to_owned());
    if let Some(only) = single(text) {
        return if only.is_control() { Err(bad()) } else { Ok(Key::Literal(only)) };
    }
    if let Some((modifiers, key)) = text.rsplit_once('+') {
        let mut flags = Modifiers::default();
        for word in modifiers.split('+') {
            flags.add(word).ok_or_else(bad)?;
        }
        return flags.apply(key).map(Key::Named).ok_or_else(bad);
    }
    if let Some(name) = named(text) {
        return Ok(Key::Named(name));
    }
    if is_tmux_name(text) { Ok(Key::Named(text.to_owned())) } else { Err(bad()) }
}

#[derive(Default)]
struct Modifiers {
    ctrl: bool,
    alt: bool,
    shift: bool,
}

impl Modifiers {
    fn add(&mut self, word: &str) -> Option<()> {
        match word.to_ascii_lowercase().as_str() {
            "ctrl" | "control" => self.ctrl = true,
            "alt" | "meta" | "option" => self.alt = true,
            "shift" => self.shift = true,
            _ => return None,
        }
        Some(())
    }

    fn apply(&self, key: &str) -> Option<String> {
        let mut name = match single(key) {
            // Shift of a character is that character; tmux knows no `S-a`.
            Some(c) if self.shift && !c.is_control() => c.to_uppercase().to_string(),
            // Terminals know one control code for both cases of a letter.
            Some(c) if self.ctrl && !c.is_control() => c.to_lowercase().to_string(),
            Some(c) if !c.is_control() => c.to_string(),
            _ => named(key)?,
        };
        let is_character = single(key).is_some();
        if self.shift && name == "Tab" {
            name = "BTab".into(); // as terminals send it: CSI Z
        } else if self.shift && !is_character {
            name = format!("S-{name}");
        }
        if self.alt {
            name = format!("M-{name}");
        }
        if self.ctrl {
            name = format!("C-{name}");
        }
        Some(name)
    }
}

fn single(text: &str) -> Option<char> {
    let mut chars = text.chars();
    chars.next().filter(|_| chars.next().is_none())
}

fn named(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let name = match lower.as_str() {
        "enter" | "return" => "Enter",
        "escape" | "esc" => "Escape",
        "tab" => "Tab",
        "backtab" | "btab" => "BTab",
        "backspace" | "bspace" => "BSpace",
        "delete" | "del" => "DC",
        "insert" | "ins" => "IC",
        "up" => "Up",
        "down" => "Down",
        "left" => "Left",
        "right" => "Right",
        "home" => "Home",
        "end" => "End",
        "pageup" | "pgup" => "PageUp",
        "pagedown" | "pgdn" => "PageDown",
        "space" => "Space",
        _ => {
            let number: u8 = lower.strip_prefix('f')?.parse().ok()?;
            return (1..=12).contains(&number).then(|| format!("F{number}"));
        }
    };
    Some(name.to_owned())
}

/// Names of tmux (`key-string.c`), with its modifier prefixes. Case matters there.
fn is_tmux_name(text: &str) -> bool {
    const NAMES: &[&str] = &[
        "Enter", "Escape", "Tab", "BTab", "BSpace", "Space", "Up", "Down", "Left", "Right", "Home", "End",
        "IC", "Insert", "DC", "Delete", "NPage", "PageDown", "PgDn", "PPage", "PageUp", "PgUp", "KP/", "KP*",
        "KP-", "KP+", "KP.", "KPEnter", "KP0", "KP1", "KP2", "KP3", "KP4", "KP5", "KP6", "KP7", "KP8", "KP9",
    ];
    let mut rest = text;
    let mut modified = false;
    while let Some(next) = ["C-", "M-", "S-", "^"].iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        if next.is_empty() {
            break;
        }
        rest = next;
        modified = true;
    }
    (modified && single(rest).is_some_and(|c| !c.is_control()))
        || NAMES.contains(&rest)
        || rest.strip_prefix('F').and_then(|n| n.parse::<u8>().ok()).is_some_and(|n| (1..=12).contains(&n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_names_in_any_case_characters_as_they_are_and_tmux_names() {
        let check = |text: &str, expected: &str| {
            let shown = match parse(text) {
                Ok(Key::Named(name)) => name,
                Ok(Key::Literal(c)) => format!("literal {c}"),
                Err(_) => "no key".into(),
            };
            assert_eq!(shown, expected, "for {text:?}");
        };
        check("enter", "Enter");
        check("ESC", "Escape");
        check("shift+tab", "BTab");
        check("ctrl+c", "C-c");
        check("Ctrl+C", "C-c");
        check("alt+enter", "M-Enter");
        check("ctrl+alt+x", "C-M-x");
        check("shift+up", "S-Up");
        check("ctrl+space", "C-Space");
        check("shift+a", "A");
        check("f12", "F12");
        check("f13", "no key");
        check("A", "literal A");
        check(";", "literal ;");
        check("-", "literal -");
        check("+", "literal +");
        check("ctrl++", "no key");
        check("é", "literal é");
        check("C-c", "C-c");
        check("c-c", "no key");
        check("M-Enter", "M-Enter");
        check("PPage", "PPage");
        check("KPEnter", "KPEnter");
        check("-x", "no key");
        check("enter;kill-server", "no key");
        check("", "no key");
        check("\u{1b}", "no key");
    }

    #[test]
    fn one_argument_may_hold_several_keys() {
        let keys = parse_all("escape up up enter").unwrap();
        assert_eq!(keys.len(), 4);
        assert_eq!(parse_all(" ").unwrap(), vec![Key::Literal(' ')]);
        assert_eq!(parse_all("escape upp"), Err(BadKey("upp".into())));
        assert!(parse_all("").is_err());
    }
}
