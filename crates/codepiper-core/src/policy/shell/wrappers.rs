//! Commands that run other commands: where the other one is among the words.

use super::expand::Field;

/// What a command wraps.
#[derive(Debug)]
pub(super) enum Wrapped {
    /// No other command.
    Nothing,
    /// The command in its last words.
    Command {
        fields: Vec<Field>,
        /// Variables it sets for it, as `name=value`.
        assignments: Vec<Field>,
        /// Whether the wrapper may be around any command that is allowed: it gives it no other rights and
        /// runs no other program.
        free: bool,
    },
    /// A script in one word.
    Script { text: Field, free: bool },
    /// It does something itself, and runs these.
    Also { commands: Vec<Vec<Field>>, scripts: Vec<Field> },
    /// Nobody can say.
    Unknown(&'static str),
}

/// A command in front of another: options that take a value, words of its own, whether it is free.
struct Prefix {
    names: &'static [&'static str],
    /// Letters of options whose value is the rest of the word or the next one.
    short: &'static str,
    /// Long options whose value is the next word.
    long: &'static [&'static str],
    /// How many words of its own come after the options.
    words: usize,
    free: bool,
}

const fn prefix(names: &'static [&'static str], short: &'static str, words: usize, free: bool) -> Prefix {
    Prefix { names, short, long: &[], words, free }
}

const PREFIXES: &[Prefix] = &[
    prefix(
        &["command", "builtin", "nohup", "noglob", "nocorrect", "-", "setsid", "busybox", "toybox"],
        "",
        0,
        true,
    ),
    prefix(&["exec"], "a", 0, true),
    prefix(&["nice"], "n", 0, true),
    prefix(&["ionice"], "cnpPu", 0, true),
    prefix(&["stdbuf"], "ioe", 0, true),
    prefix(&["caffeinate"], "tw", 0, true),
    prefix(&["chrt", "taskset"], "", 1, true),
    Prefix { names: &["time"], short: "fo", long: &["--format", "--output"], words: 0, free: true },
    Prefix {
        names: &["timeout", "gtimeout"],
        short: "ks",
        long: &["--signal", "--kill-after"],
        words: 1,
        free: true,
    },
    Prefix {
        names: &["sudo"],
        short: "ugpCTRDhrtU",
        long: &[
            "--user",
            "--group",
            "--prompt",
            "--chdir",
            "--chroot",
            "--host",
            "--role",
            "--type",
            "--other-user",
        ],
        words: 0,
        free: false,
    },
    prefix(&["doas"], "uC", 0, false),
    // A keyword of zsh.
    prefix(&["repeat"], "", 1, false),
    prefix(&["chroot"], "", 1, false),
    prefix(&["unshare", "nsenter"], "tSGw", 0, false),
    prefix(&["strace", "ltrace"], "eopsuEaIPX", 0, false),
    prefix(
        &["npx", "bunx", "xvfb-run", "proxychains", "proxychains4", "torsocks", "firejail", "bwrap"],
        "p",
        0,
        false,
    ),
];

/// `uv run x`: commands whose subcommand runs the rest.
const RUNNERS: &[(&str, &str)] = &[
    ("uv", "run"),
    ("poetry", "run"),
    ("pipenv", "run"),
    ("pdm", "run"),
    ("hatch", "run"),
    ("rye", "run"),
    ("bundle", "exec"),
    ("npm", "exec"),
    ("pnpm", "exec"),
    ("yarn", "exec"),
    ("direnv", "exec"),
];

pub(super) const SHELLS: &[&str] = &["bash", "sh", "zsh", "dash", "ksh", "ash", "mksh", "rbash", "fish"];

const FROM_INPUT: &str = "it runs what comes through its input";
const UNKNOWN_OPTIONS: &str = "what it runs depends on a variable";

/// Takes one layer off. `name` is the base name of the first word; `here` the text of a here-document or
/// here-string, for shells that run their input.
pub(super) fn unwrap(name: &str, fields: &[Field], here: Option<&Field>) -> Wrapped {
    let rest = &fields[1..];
    if let Some(prefix) = PREFIXES.iter().find(|prefix| prefix.names.contains(&name)) {
        // Only asks what a command is.
        if name == "command"
            && rest.first().and_then(Field::known).is_some_and(|word| word == "-v" || word == "-V")
        {
            return Wrapped::Nothing;
        }
        return match after_options(rest, prefix.short, prefix.long) {
            Some(at) => inner(rest.get(at + prefix.words..).unwrap_or_default(), prefix.free),
            None => Wrapped::Unknown(UNKNOWN_OPTIONS),
        };
    }
    let word = |at: usize| rest.get(at).and_then(Field::known).unwrap_or_default();
    if RUNNERS.contains(&(name, word(0))) {
        return match after_options(&rest[1..], "", &["--with", "--python", "--package", "--extra", "--group"])
        {
            Some(at) => inner(&rest[1 + at..], false),
            None => Wrapped::Unknown(UNKNOWN_OPTIONS),
        };
    }
    match name {
        _ if SHELLS.contains(&name) => shell(rest, here),
        "env" => env(rest),
        "eval" => match rest {
            [] => Wrapped::Nothing,
            rest => Wrapped::Script { text: joined(rest), free: true },
        },
        "watch" => match after_options(rest, "nq", &["--interval", "--equexit"]) {
            Some(at) if at < rest.len() => Wrapped::Script { text: joined(&rest[at..]), free: true },
            Some(_) => Wrapped::Nothing,
            None => Wrapped::Unknown(UNKNOWN_OPTIONS),
        },
        "trap" => match rest {
            [script, _, ..] if !matches!(script.known(), Some("-" | "" | "-l" | "-p")) => {
                Wrapped::Script { text: script.clone(), free: true }
            }
            _ => Wrapped::Nothing,
        },
        "su" | "runuser" | "script" | "flock" => {
            let after = |at: usize| rest.get(at + 1).cloned();
            match rest
                .iter()
                .position(|field| matches!(field.known(), Some("-c" | "--command")))
                .and_then(after)
            {
                Some(text) => Wrapped::Script { text, free: false },
                None if name == "flock" => {
                    match after_options(rest, "wE", &["--timeout", "--conflict-exit-code"]) {
                        Some(at) => inner(rest.get(at + 1..).unwrap_or_default(), true),
                        None => Wrapped::Unknown(UNKNOWN_OPTIONS),
                    }
                }
                None => Wrapped::Nothing,
            }
        }
        "xargs" => {
            let long = [
                "--arg-file",
                "--delimiter",
                "--max-args",
                "--max-procs",
                "--max-chars",
                "--process-slot-var",
            ];
            match after_options(rest, "adEILnPsJRS", &long) {
                Some(at) if at < rest.len() => with_unknown(&replaced(&rest[..at], &rest[at..])),
                Some(_) => Wrapped::Nothing,
                None => Wrapped::Unknown(UNKNOWN_OPTIONS),
            }
        }
        "parallel" => {
            let end = rest.iter().position(|field| field.text.starts_with(":::")).unwrap_or(rest.len());
            match after_options(
                &rest[..end],
                "jNnLPIaCS",
                &["--jobs", "--max-args", "--arg-file", "--colsep"],
            ) {
                Some(at) if at + 1 == end && rest[at].text.contains(' ') => {
                    Wrapped::Script { text: rest[at].clone(), free: true }
                }
                Some(at) if at < end => with_unknown(&rest[at..end]),
                _ => Wrapped::Unknown(FROM_INPUT),
            }
        }
        "find" | "gfind" => find(rest),
        "fd" | "fdfind" => {
            let exec = ["-x", "--exec", "-X", "--exec-batch"];
            match rest.iter().position(|field| field.known().is_some_and(|word| exec.contains(&word))) {
                Some(at) => {
                    let mut command = rest[at + 1..].to_vec();
                    command.push(Field::unknown("{}"));
                    Wrapped::Also { commands: vec![command], scripts: Vec::new() }
                }
                None => Wrapped::Nothing,
            }
        }
        "rg" if rest.iter().any(|field| field.text.starts_with("--pre")) => {
            Wrapped::Unknown("it runs a program given in an option")
        }
        "git" => super::git::unwrap(rest),
        _ => Wrapped::Nothing,
    }
}

fn inner(rest: &[Field], free: bool) -> Wrapped {
    // To env and sudo any text before a `=` is a name.
    let is_assignment = |field: &&Field| field.text.find('=').is_some_and(|at| at > 0);
    let assignments: Vec<Field> = rest.iter().take_while(is_assignment).cloned().collect();
    let fields = rest[assignments.len()..].to_vec();
    if fields.is_empty() { Wrapped::Nothing } else { Wrapped::Command { fields, assignments, free } }
}

/// A command that gets more words from elsewhere.
fn with_unknown(command: &[Field]) -> Wrapped {
    let mut fields = command.to_vec();
    fields.push(Field::unknown("…"));
    Wrapped::Command { fields, assignments: Vec::new(), free: true }
}

/// The command of xargs, with what it puts its input in place of unknown: `{}`, or what `-I` says.
fn replaced(options: &[Field], command: &[Field]) -> Vec<Field> {
    let marks = options.iter().zip(options.iter().skip(1)).filter(|(option, _)| option.text.ends_with('I'));
    let mut marks: Vec<&str> = marks.map(|(_, mark)| mark.text.as_str()).collect();
    marks.extend(
        options.iter().filter_map(|option| option.text.strip_prefix("-I")).filter(|mark| !mark.is_empty()),
    );
    marks.push("{}");
    let replaces = |field: &Field| marks.iter().any(|mark| field.text.contains(mark));
    command
        .iter()
        .map(|field| if replaces(field) { Field::unknown(&field.text) } else { field.clone() })
        .collect()
}

pub(super) fn joined(fields: &[Field]) -> Field {
    let mut all = Field::default();
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            all.text.push(' ');
            all.pieces.extend(Field::literal(" ").pieces);
        }
        all.text.push_str(&field.text);
        all.pieces.extend(field.pieces.iter().cloned());
        all.assumed |= field.assumed;
    }
    all
}

/// The place of the first word that is no option. `None` when an option isn't known.
fn after_options(fields: &[Field], short: &str, long: &[&str]) -> Option<usize> {
    let mut at = 0;
    while let Some(field) = fields.get(at) {
        let Some(word) = field.known() else {
            // An operand, unless it may be an option.
            return (field.known_prefix().starts_with(|c| c != '-')).then_some(at);
        };
        if word == "--" {
            return Some(at + 1);
        }
        if word == "-" || !word.starts_with('-') {
            return Some(at);
        }
        at += 1;
        if word.starts_with("--") {
            at += usize::from(long.contains(&word));
        } else if let Some(place) = word[1..].find(|c| short.contains(c)) {
            at += usize::from(word[1 + place..].chars().count() == 1);
        }
    }
    Some(at)
}

fn env(rest: &[Field]) -> Wrapped {
    let splits = |field: &Field| {
        let word = field.known().unwrap_or_default();
        word.starts_with("--split-string")
            || word.starts_with('-') && !word.starts_with("--") && word.contains('S')
    };
    if rest.iter().take_while(|field| field.text.starts_with('-')).any(splits) {
        return Wrapped::Unknown("`env -S` takes a command apart");
    }
    match after_options(rest, "uC", &["--unset", "--chdir"]) {
        Some(at) => inner(&rest[at.min(rest.len())..], true),
        None => Wrapped::Unknown(UNKNOWN_OPTIONS),
    }
}

fn shell(rest: &[Field], here: Option<&Field>) -> Wrapped {
    let mut at = 0;
    let (mut takes_text, mut takes_input) = (false, false);
    while let Some(field) = rest.get(at) {
        let Some(word) = field.known() else {
            if field.known_prefix().is_empty() {
                return Wrapped::Unknown(UNKNOWN_OPTIONS);
            }
            break;
        };
        if word == "--" || word == "-" {
            at += 1;
            break;
        }
        if !(word.starts_with('-') || word.starts_with('+')) {
            break;
        }
        at += 1;
        match word {
            "--rcfile" | "--init-file" => return Wrapped::Unknown(super::commands::FROM_FILE),
            "--version" | "--help" => return Wrapped::Nothing,
            _ if word.starts_with("--") => {}
            _ => {
                let letters = &word[1..];
                takes_text |= letters.contains('c') && word.starts_with('-');
                takes_input |= letters.contains('s');
                at += letters.chars().filter(|c| matches!(c, 'o' | 'O')).count();
            }
        }
    }
    match (rest.get(at), here) {
        (Some(text), _) if takes_text => Wrapped::Script { text: text.clone(), free: true },
        (Some(_), _) if !takes_input => Wrapped::Nothing,
        (_, Some(here)) => Wrapped::Script { text: here.clone(), free: true },
        _ => Wrapped::Unknown(FROM_INPUT),
    }
}

fn find(rest: &[Field]) -> Wrapped {
    let mut commands = Vec::new();
    let mut at = 0;
    while let Some(field) = rest.get(at) {
        at += 1;
        match field.known() {
            Some("-exec" | "-execdir" | "-ok" | "-okdir") => {
                let ends = |field: &Field| matches!(field.known(), Some(";" | "+"));
                let end = rest[at..].iter().position(ends).map_or(rest.len(), |end| at + end);
                let found = |field: &Field| {
                    if field.text.contains("{}") { Field::unknown(&field.text) } else { field.clone() }
                };
                commands.push(rest[at..end].iter().map(found).collect());
                at = end;
            }
            Some("-delete") => {
                let starts = rest.iter().take_while(|field| !field.text.starts_with(['-', '(', '!']));
                commands.push(
                    [Field::literal("rm"), Field::literal("-r")].into_iter().chain(starts.cloned()).collect(),
                );
            }
            _ => {}
        }
    }
    if commands.is_empty() { Wrapped::Nothing } else { Wrapped::Also { commands, scripts: Vec::new() } }
}
