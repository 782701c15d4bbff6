//! Laws about what may stand in a file, seen line by line.
//!
//! Deliberately simple: they read text, not Rust. They catch what slips in, not what somebody hides.

use super::{File, Finding};

struct Law {
    why: &'static str,
    /// By the path of the file.
    holds_in: fn(&str) -> bool,
    /// What is wrong with the line, if anything.
    broken: fn(&Line) -> Option<String>,
}

struct Line<'a> {
    path: &'a str,
    whole: &'a str,
    /// Without the comment, in Rust; what a comment says is free.
    code: &'a str,
    /// In a test, by the file or by the module.
    test: bool,
}

const LAWS: &[Law] = &[
    Law {
        why: "codepiper-core is pure: what it decides can be tested and replayed without a machine around it",
        holds_in: |path| rust(path) && path.starts_with("crates/codepiper-core/src/"),
        // Its tests read recorded data from files.
        broken: |line| impure(line.code).filter(|_| !line.test).map(|name| format!("`{name}` in the core")),
    },
    Law {
        why: "only codepiper-store has SQL; the others ask it",
        holds_in: |path| rust(path) && !path.starts_with("crates/codepiper-store/"),
        broken: |line| has_word(line.code, "rusqlite").then(|| "`rusqlite` outside the store".into()),
    },
    Law {
        why: "only codepiper-tmux starts tmux: socket, quoting and version differences are known there",
        holds_in: |path| {
            rust(path) && !path.starts_with("crates/codepiper-tmux/") && !path.starts_with("xtask/")
        },
        broken: |line| {
            (!line.test && starts_tmux(line.code)).then(|| "starts tmux outside codepiper-tmux".into())
        },
    },
    Law {
        why: "the command speaks to the daemon over its API; the crate is for what works while none runs: \
              starting one, putting a database back, looking what is wrong",
        holds_in: |path| {
            rust(path) && path.starts_with("crates/codepiper/") && !WITHOUT_DAEMON.contains(&path)
        },
        broken: |line| {
            has_word(line.code, "codepiper_daemon")
                .then(|| "`codepiper_daemon` in a command that asks the daemon".into())
        },
    },
    Law {
        why: "a test that does not run rots; if something is wrong and stays, assert the wrong behaviour and say so",
        holds_in: rust,
        broken: |line| line.code.contains("#[ignore").then(|| "`#[ignore]`".into()),
    },
    Law {
        why: "what is not done is an issue or a sentence in the note of the change; a mark is never read again",
        // Lock files hold checksums, recorded data holds what others wrote.
        holds_in: |path| !lock(path) && !path.contains("/testdata/"),
        broken: |line| {
            let mark = ["TODO", "FIXME", "XXX", "todo!", "unimplemented!"].into_iter();
            mark.filter(|mark| has_word(line.whole, mark)).map(|mark| format!("`{mark}`")).next()
        },
    },
    Law {
        why: "a path of somebody's machine is of no use on another; use a temporary folder, `$HOME` or a relative path",
        holds_in: |_| true,
        // `/home/dev` is nobody's: it stands for the home in recorded data, which tests speak of.
        broken: |line| {
            machine_path(line.path, line.whole)
                .filter(|path| !(line.test && *path == "/home/dev"))
                .map(|path| format!("machine path `{path}`"))
        },
    },
    Law {
        why: "a private registry or mirror can't be reached by others, and its address is nobody's business",
        holds_in: |_| true,
        broken: |line| private_registry(line.path, line.whole).map(|host| format!("registry `{host}`")),
    },
];

/// The commands that must work without a daemon, and the start of the program.
const WITHOUT_DAEMON: [&str; 4] = [
    "crates/codepiper/src/commands/daemon.rs",
    "crates/codepiper/src/commands/doctor.rs",
    "crates/codepiper/src/commands/restore.rs",
    "crates/codepiper/src/main.rs",
];

/// These files name what is forbidden, and test it.
fn is_law_book(path: &str) -> bool {
    path == "xtask/src/tidy.rs" || path.starts_with("xtask/src/tidy/")
}

/// A file longer than this holds two subjects, nearly always. The longest we like to read are 500.
const RUST_LINES_MAX: usize = 800;
const RUST_LINES_WHY: &str = "one subject a file; split it, or name it in LONG_FILES with its reason";

/// Path, and why it is one subject all the same.
const LONG_FILES: &[(&str, &str)] = &[];

pub(super) fn findings(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    if is_law_book(&file.path) {
        return findings;
    }
    let laws: Vec<&Law> = LAWS.iter().filter(|law| (law.holds_in)(&file.path)).collect();
    let mut region = TestRegion::new(&file.path);
    for (index, whole) in file.text.lines().enumerate() {
        let test = region.next(whole);
        let code = if rust(&file.path) { without_comment(whole) } else { whole };
        let line = Line { path: &file.path, whole, code, test };
        for law in &laws {
            if let Some(what) = (law.broken)(&line) {
                findings.push(Finding { file: file.path.clone(), line: index + 1, what, why: law.why });
            }
        }
    }
    let lines = file.text.lines().count();
    if rust(&file.path) && lines > RUST_LINES_MAX && !LONG_FILES.iter().any(|(path, _)| *path == file.path) {
        let what = format!("{lines} lines, at most {RUST_LINES_MAX}");
        findings.push(Finding {
            file: file.path.clone(),
            line: RUST_LINES_MAX + 1,
            what,
            why: RUST_LINES_WHY,
        });
    }
    findings
}

/// An exception nobody needs any more would let the next long file through.
pub(super) fn needless_exceptions(files: &[File]) -> Vec<Finding> {
    let needed =
        |path: &str| files.iter().any(|file| file.path == path && file.text.lines().count() > RUST_LINES_MAX);
    LONG_FILES
        .iter()
        .filter(|(path, _)| !needed(path))
        .map(|(path, _)| Finding {
            file: (*path).to_owned(),
            line: 1,
            what: "is named in LONG_FILES and is not long".into(),
            why: RUST_LINES_WHY,
        })
        .collect()
}

fn rust(path: &str) -> bool {
    path.ends_with(".rs")
}

fn lock(path: &str) -> bool {
    path.ends_with(".lock") || path.ends_with("-lock.json")
}

/// Follows a file to know which lines are tests: `#[cfg(test)]` and `mod … {` at the margin, up to its `}`.
struct TestRegion {
    whole_file: bool,
    announced: bool,
    inside: bool,
}

impl TestRegion {
    fn new(path: &str) -> Self {
        let whole_file = path.starts_with("crates/codepiper-tests/")
            || path.contains("/tests/")
            || path.ends_with("/tests.rs");
        Self { whole_file, announced: false, inside: false }
    }

    fn next(&mut self, line: &str) -> bool {
        if self.announced && line.starts_with("mod ") && line.ends_with('{') {
            self.inside = true;
        }
        self.announced = line == "#[cfg(test)]";
        let inside = self.inside;
        if line == "}" {
            self.inside = false;
        }
        self.whole_file || inside
    }
}

/// Up to a `//` that stands outside a string.
fn without_comment(line: &str) -> &str {
    let mut in_string = false;
    let mut escaped = false;
    let bytes = line.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' if bytes.get(index.wrapping_sub(1)) != Some(&b'\'') => in_string = !in_string,
            b'/' if !in_string && bytes.get(index + 1) == Some(&b'/') => return &line[..index],
            _ => {}
        }
    }
    line
}

/// `word` with nothing on either side that would make it another one.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(part) && (word.ends_with('!') || !line[at + word.len()..].starts_with(part))
    })
}

/// The first name in it that stands for I/O, a clock, randomness or a runtime.
fn impure(code: &str) -> Option<String> {
    const MODULES: [&str; 5] = ["fs", "net", "process", "env", "thread"];
    const NAMES: [&str; 6] = ["SystemTime", "Instant::now", "Timestamp::now", "Zoned::now", "tokio", "rand"];
    let grouped = code.split_once("use std::{").map_or("", |(_, group)| group);
    let module = MODULES
        .iter()
        .find(|module| has_word(code, &format!("std::{module}")) || has_word(grouped, module))
        .map(|module| format!("std::{module}"));
    module.or_else(|| NAMES.iter().find(|name| has_word(code, name)).map(ToString::to_string))
}

fn starts_tmux(code: &str) -> bool {
    code.split("Command::new(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .any(|program| program == "tmux" || program.ends_with("/tmux"))
}

/// Absolute only: `…/work/` in the middle of a path or of an address is somebody else's.
fn machine_path(file: &str, line: &str) -> Option<String> {
    let absolute = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-./}~*".contains(c));
    for place in ["/root/", "/tmp/wt", "/work/"] {
        if line.match_indices(place).any(|(at, _)| absolute(at)) {
            return Some(place.into());
        }
    }
    line.match_indices("/home/").filter(|(at, _)| absolute(*at)).find_map(|(at, home)| {
        let user: &str = line[at + home.len()..]
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
            .next()
            .filter(|user| !user.is_empty())?;
        // The name that recorded data is given in place of the real one.
        let recorded = user == "dev" && file.contains("/testdata/");
        (!recorded).then(|| format!("/home/{user}"))
    })
}

const PUBLIC_HOSTS: [&str; 5] =
    ["registry.npmjs.org", "github.com", "crates.io", "index.crates.io", "static.crates.io"];
const REGISTRY_WORDS: [&str; 6] = ["registry", "artifactory", "nexus", "verdaccio", "mirror", "mirrors"];

fn private_registry(file: &str, line: &str) -> Option<String> {
    let key = line.trim_start();
    let configures = [".npmrc", ".cargo/config.toml"].iter().any(|name| file.ends_with(name))
        || lock(file) && ["\"resolved\"", "source ="].iter().any(|start| key.starts_with(start));
    line.split("://").skip(1).find_map(|rest| {
        let authority = rest.split(|c: char| c.is_whitespace() || "/?#\"'`)>,;".contains(c)).next()?;
        let host = authority.rsplit('@').next()?.split(':').next()?;
        let called_registry = host.split(['.', '-']).any(|part| REGISTRY_WORDS.contains(&part));
        let private = !host.is_empty() && !PUBLIC_HOSTS.contains(&host);
        (private && (configures || called_registry)).then(|| host.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected`: `line: what` for each finding, one a line.
    fn check(path: &str, text: &str, expected: &str) {
        let file = File { path: path.into(), text: text.into() };
        let got: Vec<String> =
            findings(&file).iter().map(|finding| format!("{}: {}", finding.line, finding.what)).collect();
        assert_eq!(got.join("\n"), expected, "{path}\n{text}");
    }

    const CORE: &str = "crates/codepiper-core/src/policy.rs";
    const DAEMON: &str = "crates/codepiper-daemon/src/git.rs";

    #[test]
    fn the_core_has_no_io_no_clock_and_no_randomness() {
        for (bad, name) in [
            ("use std::fs;", "std::fs"),
            ("let text = std::fs::read(path);", "std::fs"),
            ("use std::net::TcpStream;", "std::net"),
            ("std::process::exit(1);", "std::process"),
            ("use std::time::SystemTime;", "SystemTime"),
            ("let start = Instant::now();", "Instant::now"),
            ("let at = jiff::Timestamp::now();", "Timestamp::now"),
            ("use tokio::sync::mpsc;", "tokio"),
            ("let n: u8 = rand::random();", "rand"),
        ] {
            check(CORE, &format!("//! Rules.\n{bad}\n"), &format!("2: `{name}` in the core"));
            check(DAEMON, bad, "");
        }
        check(CORE, "use std::{collections::BTreeMap, fs};", "1: `std::fs` in the core");
        check(CORE, "use std::{collections::BTreeMap, fmt};", "");
        check(CORE, "// no std::fs, no tokio here\nuse std::fmt;\nlet operand = brand(x);", "");
        check("crates/codepiper-core/tests/recorded.rs", "use std::fs;", "");
    }

    #[test]
    fn only_the_store_names_rusqlite() {
        check(DAEMON, "use rusqlite::Connection;", "1: `rusqlite` outside the store");
        check("crates/codepiper-tests/src/lib.rs", "rusqlite::Error", "1: `rusqlite` outside the store");
        check("crates/codepiper-store/src/lib.rs", "use rusqlite::Connection;", "");
        check(DAEMON, "/// The store hides rusqlite.", "");
    }

    #[test]
    fn only_the_tmux_crate_starts_tmux() {
        let start = "let out = Command::new(\"tmux\").arg(\"-V\").output();";
        let finding = "starts tmux outside codepiper-tmux";
        check(DAEMON, start, &format!("1: {finding}"));
        check(DAEMON, "std::process::Command::new(\"/usr/bin/tmux\")", &format!("1: {finding}"));
        check(DAEMON, "Command::new(\"git\").arg(\"tmux\")", "");
        check("crates/codepiper-tmux/src/client.rs", start, "");
        check("crates/codepiper-tests/tests/it/main.rs", start, "");
        check("xtask/src/run.rs", start, "");
        let tested = format!("#[cfg(test)]\nmod tests {{\n    {start}\n}}\n");
        check(DAEMON, &tested, "");
        check(DAEMON, &format!("{tested}{start}\n"), &format!("5: {finding}"));
        check(DAEMON, &format!("#[cfg(test)]\nmod tests;\n{start}\n"), &format!("3: {finding}"));
    }

    #[test]
    fn only_what_works_without_a_daemon_names_its_crate() {
        let start = "codepiper_daemon::run(config)";
        for file in WITHOUT_DAEMON {
            check(file, start, "");
        }
        check("crates/codepiper-tests/src/lib.rs", start, "");
        let finding = "1: `codepiper_daemon` in a command that asks the daemon";
        check("crates/codepiper/src/commands/sessions.rs", start, finding);
        check("crates/codepiper/src/client.rs", start, finding);
    }

    #[test]
    fn no_test_is_ignored() {
        check(DAEMON, "#[test]\n#[ignore]\nfn a() {}", "2: `#[ignore]`");
        check(DAEMON, "    #[ignore = \"slow\"]", "1: `#[ignore]`");
        check(DAEMON, "lines.skip(1) // not #[ignore]", "");
    }

    #[test]
    fn no_marks() {
        for mark in ["TODO", "FIXME", "XXX"] {
            check(DAEMON, &format!("// {mark}: later"), &format!("1: `{mark}`"));
            check("docs/setup.md", &format!("({mark})"), &format!("1: `{mark}`"));
            check("Cargo.lock", &format!("checksum = \"a/{mark}/b\""), "");
            check("crates/codepiper-core/testdata/claude/1.jsonl", mark, "");
        }
        check(DAEMON, "    todo!(\"later\")", "1: `todo!`");
        check(DAEMON, "    unimplemented!()", "1: `unimplemented!`");
        check("ci.sh", "mktemp -d /tmp/a.XXXXXX; TODOS=1", "");
    }

    #[test]
    fn no_path_of_a_machine() {
        check("docs/setup.md", "cd /home/ann/codepiper", "1: machine path `/home/ann`");
        check(DAEMON, "let home = \"/home/dev/x\";", "1: machine path `/home/dev`");
        check(DAEMON, "// see /root/.cargo", "1: machine path `/root/`");
        check("a.json", "{\"cwd\":\"/work/main\"}", "1: machine path `/work/`");
        check("a.json", "{\"cwd\":\"/tmp/wt/x\"}", "1: machine path `/tmp/wt`");
        check("crates/codepiper-core/testdata/a.json", "/home/dev/project", "");
        check("crates/codepiper-core/testdata/a.json", "/home/bob/project", "1: machine path `/home/bob`");
        check("docs/setup.md", "$HOME/work/x ~/work/ https://a.example/work/x /home/<you>/x ./root/a", "");
    }

    #[test]
    fn no_registry_of_ones_own() {
        let lock = "e2e/agents/package-lock.json";
        check(lock, "  \"resolved\": \"http://10.0.0.7:4873/a/-/a-1.tgz\",", "1: registry `10.0.0.7`");
        check(lock, "  \"resolved\": \"https://registry.npmjs.org/a/-/a-1.tgz\",", "");
        check(lock, "  \"url\": \"https://opencollective.com/a\"", "");
        check(
            "Cargo.lock",
            "source = \"registry+https://crates.corp.example/index\"",
            "1: registry `crates.corp.example`",
        );
        check("Cargo.lock", "source = \"registry+https://github.com/rust-lang/crates.io-index\"", "");
        check(".npmrc", "registry=http://localhost:4873/", "1: registry `localhost`");
        check(
            ".cargo/config.toml",
            "registry = \"sparse+https://user:pw@proxy.corp.example/\"",
            "1: registry `proxy.corp.example`",
        );
        check(
            "docs/setup.md",
            "see https://npm-mirror.corp.example/x",
            "1: registry `npm-mirror.corp.example`",
        );
        check("docs/setup.md", "see https://www.npmjs.com and https://docs.rs/registry", "");
    }

    #[test]
    fn a_rust_file_has_an_end() {
        check(DAEMON, &"x();\n".repeat(RUST_LINES_MAX), "");
        check(DAEMON, &"x();\n".repeat(RUST_LINES_MAX + 1), "801: 801 lines, at most 800");
        check("docs/long.md", &"x\n".repeat(2000), "");
    }

    #[test]
    fn a_comment_ends_the_code_and_a_string_does_not() {
        for (line, code) in [
            ("a(); // b", "a(); "),
            ("a(\"http://b\"); // c", "a(\"http://b\"); "),
            ("a(\"\\\"//\"); // c", "a(\"\\\"//\"); "),
            ("a('\"'); // c", "a('\"'); "),
            ("//! a", ""),
        ] {
            assert_eq!(without_comment(line), code);
        }
    }
}
