//! What is known of single commands. Lists, so that a reader of the documentation can be shown them.

/// They open no file that they are given by name, so what a variable holds there is no matter.
pub(super) const OPEN_NOTHING: &[&str] = &[
    "echo", "printf", "kill", "sleep", "exit", "return", "test", "[", "true", "false", ":", "pwd", "wait",
    "set", "unset", "shift", "seq", "date", "basename", "dirname", "which", "type",
];

/// They write no file that they are given by name: a rule against editing a file leaves them alone.
const ONLY_READ: &[&str] = &[
    "cat",
    "bat",
    "ls",
    "ll",
    "head",
    "tail",
    "grep",
    "egrep",
    "fgrep",
    "rg",
    "ag",
    "wc",
    "file",
    "stat",
    "less",
    "more",
    "diff",
    "cmp",
    "comm",
    "cut",
    "tr",
    "nl",
    "tac",
    "rev",
    "od",
    "hexdump",
    "strings",
    "md5sum",
    "sha1sum",
    "sha256sum",
    "shasum",
    "cksum",
    "du",
    "df",
    "test",
    "[",
    "echo",
    "printf",
    "pwd",
    "cd",
    "pushd",
    "basename",
    "dirname",
    "realpath",
    "readlink",
    "which",
    "type",
    "jq",
    "tree",
    "column",
    "paste",
    "fold",
    "fmt",
    "source",
    ".",
    "true",
    "false",
    ":",
];

/// The same of git, by subcommand.
const GIT_ONLY_READS: &[&str] =
    &["status", "diff", "log", "show", "blame", "grep", "ls-files", "check-ignore"];

/// Whether a command with these words writes none of the files it names.
pub(super) fn only_reads(name: &str, words: &[&str]) -> bool {
    let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(word));
    let starts = |start: &str| words.iter().any(|word| word.starts_with(start));
    match name {
        "find" => {
            !has(&["-delete", "-exec", "-execdir", "-ok", "-okdir"]) && !starts("-fprint") && !starts("-fls")
        }
        "sed" => {
            !starts("-i") && !starts("--in-place") && !starts("-ni") && !words.iter().any(|w| w.contains('w'))
        }
        "sort" => !starts("-o") && !starts("--output"),
        "git" => {
            words.get(1).is_some_and(|sub| GIT_ONLY_READS.contains(sub))
                && !starts("--output")
                && !starts("-O")
                && !starts("--open-files")
        }
        "tree" | "diff" => !starts("-o") && !starts("--output"),
        _ => ONLY_READ.contains(&name),
    }
}

/// They change nothing and tell nothing; no rule needs to allow them.
pub(super) fn is_harmless(words: &[&str]) -> bool {
    match words {
        ["true" | "false" | ":" | "wait" | "break" | "continue" | "return" | "exit" | "shift", rest @ ..] => {
            rest.iter().all(|word| word.chars().all(|c| c.is_ascii_digit()))
        }
        ["pwd"] => true,
        ["read", rest @ ..] => rest.iter().all(|word| match word.strip_prefix('-') {
            Some(letters) => letters == "r" || letters == "ra" || letters == "a",
            None => is_shell_variable(word),
        }),
        ["set", options @ ..] => {
            const OPTIONS: &[&str] =
                &["-e", "-u", "-x", "-o", "-eu", "-ex", "-euo", "-euxo", "-eo", "pipefail", "+e", "+x"];
            !options.is_empty() && options.iter().all(|word| OPTIONS.contains(word))
        }
        ["test", ..] | ["[", ..] => !words.contains(&"-v"),
        _ => false,
    }
}

/// They take names of variables, in which arithmetic is done: `a[$(…)]` is run.
pub(super) const COMPUTE: &[&str] = &[
    "printf",
    "read",
    "unset",
    "declare",
    "typeset",
    "local",
    "export",
    "readonly",
    "test",
    "[",
    "mapfile",
    "readarray",
    "wait",
    "getopts",
    "let",
    "builtin",
    "command",
];

/// Variables that make no command do something else; an allow rule needn't mention them.
pub(super) const HARMLESS_VARIABLES: &[&str] = &[
    "CI",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "FORCE_COLOR",
    "LANG",
    "LC_ALL",
    "NO_COLOR",
    "RUST_BACKTRACE",
    "TZ",
];

/// Whether setting the variable for what follows can't change what commands do: shell variables are lower
/// case by custom, environment variables upper case. The proxies are the known exception.
pub(super) fn is_shell_variable(name: &str) -> bool {
    /// zsh's own, which are other names for environment variables.
    const TIED: &[&str] = &["path", "fpath", "cdpath", "manpath", "mailpath", "module_path"];
    HARMLESS_VARIABLES.contains(&name)
        || !TIED.contains(&name) && !name.chars().any(|c| c.is_ascii_uppercase()) && !name.ends_with("_proxy")
}

/// They take apart what is in their words as code: files are looked for inside the words too.
pub(super) const READ_CODE: &[&str] = &[
    "awk", "gawk", "mawk", "nawk", "sed", "gsed", "vim", "vi", "nvim", "ed", "ex", "emacs", "sqlite3",
    "psql", "mysql", "gdb", "jq", "yq",
];

const INLINE_CODE: &str = "it runs code given on the command line, in a language that isn't looked into";
const FROM_INPUT: &str = "it runs what comes through its input";
pub(super) const FROM_FILE: &str = "it runs the commands in a file in this shell";

/// Why what a command does can't be told by its words. `input` is whether something that was not written
/// here comes in: a pipe, a file, a here-document.
pub(super) fn runs_unknown(name: &str, words: &[&str], input: bool) -> Option<&'static str> {
    let option = |short: &str, long: &[&str]| {
        words.iter().skip(1).any(|word| {
            let letters = word.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
            letters.is_some_and(|letters| {
                letters.chars().take_while(|c| c.is_ascii_alphanumeric()).any(|c| short.contains(c))
            }) || long.iter().any(|long| *word == *long || word.starts_with(&format!("{long}=")))
        })
    };
    // With no script to run, an interpreter runs its input.
    let no_script = words.iter().skip(1).all(|word| word.starts_with('-'));
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let inline = match base {
        "python" | "pypy" => option("c", &[]),
        "perl" | "ruby" => option("eE", &[]),
        "node" | "nodejs" => option("ep", &["--eval", "--print"]),
        "bun" => option("ep", &["--eval", "--print"]),
        "deno" => words.get(1) == Some(&"eval"),
        "php" => option("rBRE", &[]),
        "lua" | "luajit" | "Rscript" | "osascript" | "groovy" | "scala" | "elixir" | "erl" => {
            option("e", &["-eval", "--eval"])
        }
        "julia" => option("eE", &["--eval", "--print"]),
        "vim" | "vi" | "nvim" | "ex" | "ed" | "emacs" | "gdb" => {
            option("c", &["--cmd", "--eval", "--eval-command", "-ex"])
                || words.iter().any(|word| word.starts_with('+') || word.starts_with(":!"))
        }
        "awk" | "gawk" | "mawk" | "nawk" => words.iter().any(|word| {
            ["system(", "system (", "getline", "|", "close("].iter().any(|sign| word.contains(sign))
                || word.contains("print") && word.contains('>')
        }),
        "tclsh" | "expect" => option("c", &[]),
        _ => false,
    };
    if inline {
        return Some(INLINE_CODE);
    }
    let is_interpreter = matches!(
        base,
        "python"
            | "pypy"
            | "perl"
            | "ruby"
            | "node"
            | "nodejs"
            | "php"
            | "lua"
            | "luajit"
            | "tclsh"
            | "osascript"
    );
    if is_interpreter && input && no_script && !option("Vvh", &["--version", "--help"]) {
        return Some(FROM_INPUT);
    }
    match (name, words) {
        ("source" | ".", _) => Some(FROM_FILE),
        ("fc" | "history" | "enable" | "bind" | "complete", _) => {
            Some("it changes the shell in ways not looked into")
        }
        ("hash", ["hash", "-p", ..]) => Some("it changes what a command's name means"),
        // Of zsh: aliases in any place.
        ("alias", _) if words.iter().any(|word| word.starts_with('-') && word.contains(['g', 's'])) => {
            Some("it changes what words mean, anywhere")
        }
        ("let", _) => Some("it computes with text"),
        ("sed" | "gsed", _) if words.iter().skip(1).any(|word| sed_executes(word)) => {
            Some("its script runs commands")
        }
        ("at" | "batch" | "crontab", _) => Some("it runs something later that isn't looked into"),
        ("tar" | "bsdtar", _)
            if words.iter().any(|word| word.contains("checkpoint-action") || word.contains("to-command")) =>
        {
            Some("it runs a program given in an option")
        }
        _ => None,
    }
}

/// GNU sed's `e` command and flag: `1e id`, `s/x/id/e`.
fn sed_executes(script: &str) -> bool {
    let address = script.trim_start_matches(|c: char| c.is_ascii_digit() || ",$ ;{".contains(c));
    let flags = script.rsplit('/').next().unwrap_or_default();
    let substitutes = script.starts_with("s/") || script.contains(";s/") || script.contains(" s/");
    address == "e" || address.starts_with("e ") || substitutes && flags.len() < 6 && flags.contains('e')
}
