//! Env sets: named sets of variables for agents. What they may be called, what may stand in them, and how much
//! of a value is ever shown. It does not know how they are kept.

use std::fmt;

/// Characters of a set's or a workspace's name, as in the original.
pub const NAME_MAX: usize = 100;

/// Bytes of a variable's name, as with the variables of a session.
pub const VARIABLE_MAX: usize = 256;

/// Bytes of a variable's value, as with the variables of a session.
pub const VALUE_MAX: usize = 65_536;

/// Variables of one set, as with the variables of a session.
pub const VARIABLES_MAX: usize = 1_000;

/// Bytes of all names and values of one set: an eighth of what Linux lets a program have of arguments and
/// environment together, so that several sets and the rest fit.
pub const SET_BYTES_MAX: usize = 256 * 1024;

/// From how many characters on the end of a value is shown: two of sixteen tell which key it is, and nothing
/// that helps to guess it.
const SHOWN_FROM: usize = 16;

/// How many characters at the end of a value are shown.
const SHOWN: usize = 2;

/// What stands for a value.
const HIDDEN: &str = "****";

/// Names that no env set may hold, and why. A `*` at the end stands for anything. A set is made once and then
/// added to agents by a name, often from a file that somebody else wrote, so what would load code into the
/// agent, run a command in its shells or cut off its hooks has no place there.
pub const REFUSED: &[(&str, &str)] = &[
    ("LD_*", "the loader of Linux would load other code into the agent and all it starts"),
    ("DYLD_*", "the loader of macOS would load other code into the agent and all it starts"),
    ("GCONV_PATH", "the C library would load other code into the agent and all it starts"),
    ("GLIBC_TUNABLES", "it changes the C library below the agent"),
    ("BASH_ENV", "every shell that the agent starts would run that file first"),
    ("ENV", "every shell that the agent starts would run that file first"),
    ("ZDOTDIR", "every zsh that the agent starts would run the files there first"),
    ("SHELLOPTS", "it changes how every shell of the agent reads its commands"),
    ("BASHOPTS", "it changes how every shell of the agent reads its commands"),
    ("PROMPT_COMMAND", "shells of the agent would run it"),
    ("PS4", "shells of the agent would run what is in it"),
    ("IFS", "it changes how every shell of the agent reads its commands"),
    ("CODEPIPER_*", "CodePiper's own: the agent's hooks find the daemon by them"),
    ("TMUX*", "tmux's own: the pane sets them"),
    ("TERM", "the pane sets it"),
    ("CLAUDE_CODE_SIMPLE", "it switches off Claude Code's hooks, and CodePiper is blind without them"),
];

/// Names that are taken with a warning, and what they do.
pub const WARNED: &[(&str, &str)] = &[
    ("PATH", "it decides which agent is started and which programs it finds"),
    ("HOME", "the agent looks for its login and its settings there"),
    ("NODE_OPTIONS", "agents that run on node load what it names"),
    ("NODE_PATH", "agents that run on node look for code there"),
    ("BUN_OPTIONS", "agents that run on bun load what it names"),
    ("PYTHONPATH", "every python that the agent starts looks for code there first"),
    ("PYTHONSTARTUP", "every python that the agent starts by hand runs it"),
    ("PERL5OPT", "every perl that the agent starts obeys it"),
    ("RUBYOPT", "every ruby that the agent starts obeys it"),
    ("JAVA_TOOL_OPTIONS", "every java that the agent starts obeys it"),
    ("GIT_SSH_COMMAND", "git runs it for the agent"),
    ("GIT_CONFIG_*", "git may run what it names"),
];

/// What is wrong with a name or a variable. No value stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad(String);

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks the name of a set or a workspace.
pub fn check_name(name: &str) -> Result<(), Bad> {
    let good = (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !good {
        return Err(Bad(format!("must be 1 to {NAME_MAX} letters, digits, `.`, `_` and `-`")));
    }
    if name.starts_with('-') {
        return Err(Bad("must not begin with `-`: a command would take it for an option".into()));
    }
    if crate::ids::EnvSetId::parse(name).is_some() {
        return Err(Bad(format!("`{name}` looks like an id")));
    }
    Ok(())
}

/// Checks the name of a variable; `Some` says what to beware of.
pub fn check_variable(name: &str) -> Result<Option<&'static str>, Bad> {
    let mut bytes = name.bytes();
    let starts = bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
    if !starts || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        let shown: String = name.chars().take(40).collect();
        return Err(Bad(format!(
            "`{shown}` is no name of a variable: letters, digits and _, no digit first"
        )));
    }
    if name.len() > VARIABLE_MAX {
        return Err(Bad(format!("a name of {} bytes is longer than {VARIABLE_MAX}", name.len())));
    }
    let about = |list: &[(&str, &'static str)]| {
        list.iter().find(|(pattern, _)| matches(pattern, name)).map(|(_, why)| *why)
    };
    match about(REFUSED) {
        Some(why) => Err(Bad(format!("`{name}` may not stand in an env set: {why}"))),
        None => Ok(about(WARNED)),
    }
}

/// Whether a name is the pattern; a `*` at its end stands for anything.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

/// What is shown of a value: nothing, and of one that is long enough its last two characters.
pub fn mask(value: &str) -> String {
    let count = value.chars().count();
    let shown = if count >= SHOWN_FROM { SHOWN } else { 0 };
    let end: String =
        value.chars().skip(count - shown).map(|c| if c.is_control() { '*' } else { c }).collect();
    format!("{HIDDEN}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_be_typed_and_is_no_id() {
        let check = |name: &str, good: bool| assert_eq!(check_name(name).is_ok(), good, "for {name:?}");
        for name in ["a", "my-api-keys", "A.b_c-1", "a1b2c3d", "A1B2C3D4", &"x".repeat(100)] {
            check(name, true);
        }
        for name in ["", "a b", "a/b", "é", "a1b2c3d4", "-x", "a\n", &"x".repeat(101)] {
            check(name, false);
        }
    }

    #[test]
    fn a_variable_that_would_take_over_the_agent_is_refused_with_the_reason() {
        let check = |name: &str, expected: &str| {
            let shown = match check_variable(name) {
                Ok(None) => "fine".to_owned(),
                Ok(Some(why)) => format!("warned: {why}"),
                Err(why) => why.to_string(),
            };
            assert!(shown.contains(expected), "for {name:?}: {shown}");
        };
        for name in
            ["ANTHROPIC_API_KEY", "_", "a", "CODEX_HOME", "CLAUDE_CONFIG_DIR", "TERMINFO", "ENVIRONMENT"]
        {
            check(name, "fine");
        }
        for name in ["", "1A", "A-B", "A B", "A=B", "é"] {
            check(name, "is no name of a variable");
        }
        for name in ["LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT"] {
            check(name, "may not stand in an env set: the loader of Linux");
        }
        check("DYLD_INSERT_LIBRARIES", "the loader of macOS");
        check("CODEPIPER_SECRET", "hooks find the daemon");
        for name in ["TMUX", "TMUX_PANE", "SHELLOPTS", "BASH_ENV", "ENV", "CLAUDE_CODE_SIMPLE"] {
            check(name, "may not stand in an env set");
        }
        check("PATH", "warned: it decides which agent");
        check("NODE_OPTIONS", "warned");
        check(&"A".repeat(257), "longer than 256");
    }

    #[test]
    fn a_mask_tells_nothing_of_what_can_be_guessed() {
        let check = |value: &str, expected: &str| assert_eq!(mask(value), expected, "for {value:?}");
        check("", "****");
        check("hunter2", "****");
        check("fifteen-letters", "****");
        check("sixteen--letters", "****rs");
        check("ééééééééééééééüö", "****üö");
        check("a key that ends in \u{1b}\n", "******");
    }
}
