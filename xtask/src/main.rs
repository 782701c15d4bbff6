//! The repository's own commands: what the README tells a newcomer to type, and what CI types.
//!
//! This crate is the first thing anybody compiles here, so it rests on `std`, `anyhow` and `serde_json` only,
//! and on no crate of ours: it must still build when they don't.
//! One module a command; a new command is a module, a line in `COMMANDS` and an arm in `main`.

mod bench;
mod run;
mod test;

mod agents;
mod check;
mod needs;
mod step;
mod tidy;
mod workspace;

use std::process::ExitCode;

/// Name, options, what it does: the help is printed from this.
const COMMANDS: &[(&str, &str, &str)] = &[
    ("run", "[--no-install] [--release]", "build CodePiper, start its daemon and a first session"),
    ("test", "[--no-install] [-- <args>]", "everything CI checks; <args> go to `cargo test`"),
    ("bench", "[--quick] [<figure>…]", "measure the release binary; `bench help` lists the figures"),
    ("check", "", "the part of it that runs nothing of ours: fmt, clippy, tidy"),
    ("tidy", "", "the repository's laws that a compiler can't hold"),
    ("help", "", "this text"),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match parse(&args) {
        Ok(Command::Run(options)) => run::run(&options),
        Ok(Command::Test(options)) => test::run(&options),
        Ok(Command::Bench(args)) => bench::run(&args),
        Ok(Command::Check) => check::run(check::ALL),
        Ok(Command::Tidy) => check::run(&[check::TIDY]),
        Ok(Command::Help) => {
            print!("{}", usage());
            Ok(Exit::Fine)
        }
        Err(complaint) => {
            eprint!("error: {complaint}\n\n{}", usage());
            Ok(Exit::Usage)
        }
    };
    let exit = done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        Exit::of(&error)
    });
    ExitCode::from(exit as u8)
}

/// How a command ends. The numbers are for scripts and stand in the usage text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Fine = 0,
    Failed = 1,
    Usage = 2,
    NeedsMissing = 3,
}

impl Exit {
    fn of(error: &anyhow::Error) -> Self {
        if error.is::<needs::Missing>() { Self::NeedsMissing } else { Self::Failed }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Run(run::Options),
    Test(test::Options),
    Bench(Vec<String>),
    Check,
    Tidy,
    Help,
}

fn parse(args: &[String]) -> Result<Command, String> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["help" | "--help" | "-h", ..] | [_, "--help" | "-h", ..] => Ok(Command::Help),
        ["run", options @ ..] => {
            let mut parsed = run::Options { install: needs::Install::Yes, release: false };
            for option in options {
                match *option {
                    "--no-install" => parsed.install = needs::Install::No,
                    "--release" => parsed.release = true,
                    other => return Err(format!("`run` has no option `{other}`")),
                }
            }
            Ok(Command::Run(parsed))
        }
        ["test", options @ ..] => {
            let mut parsed = test::Options { install: needs::Install::Yes, cargo_args: Vec::new() };
            let mut options = options.iter();
            while let Some(option) = options.next() {
                match *option {
                    "--no-install" => parsed.install = needs::Install::No,
                    "--" => parsed.cargo_args = options.by_ref().map(ToString::to_string).collect(),
                    other => {
                        return Err(format!(
                            "`test` has no option `{other}`; what is for `cargo test` comes after `--`"
                        ));
                    }
                }
            }
            Ok(Command::Test(parsed))
        }
        ["bench", options @ ..] => Ok(Command::Bench(options.iter().map(ToString::to_string).collect())),
        ["check"] => Ok(Command::Check),
        ["tidy"] => Ok(Command::Tidy),
        [command @ ("check" | "tidy"), option, ..] => Err(format!("`{command}` has no option `{option}`")),
        [unknown, ..] => Err(format!("there is no command `{unknown}`")),
    }
}

fn usage() -> String {
    let mut text = String::from("Usage: cargo xtask <command>\n\n");
    for (name, options, what) in COMMANDS {
        text += &format!("  {:<34} {what}\n", format!("{name} {options}"));
    }
    text += "\n`run` and `test` look for what they need (tmux, git, …), and install what is missing after saying\n\
             what, why and how; with --no-install they only say it.\n\n\
             Exit codes: 0 fine, 1 something failed, 2 wrong usage, 3 something needed is missing\n";
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        let args: Vec<String> = line.split_whitespace().map(String::from).collect();
        let got = match parse(&args) {
            Ok(command) => format!("{command:?}"),
            Err(complaint) => complaint,
        };
        assert_eq!(got, expected, "{line}");
    }

    #[test]
    fn options_belong_to_their_command() {
        check("run", "Run(Options { install: Yes, release: false })");
        check("run --release --no-install", "Run(Options { install: No, release: true })");
        check("run -- x", "`run` has no option `--`");
        check("test", "Test(Options { install: Yes, cargo_args: [] })");
        check(
            "test --no-install -- -p xtask -- --nocapture",
            r#"Test(Options { install: No, cargo_args: ["-p", "xtask", "--", "--nocapture"] })"#,
        );
        check("test sessions", "`test` has no option `sessions`; what is for `cargo test` comes after `--`");
        check("bench --quick hook", r#"Bench(["--quick", "hook"])"#);
        check("check", "Check");
        check("check --fix", "`check` has no option `--fix`");
        check("tidy", "Tidy");
    }

    #[test]
    fn help_is_for_those_who_ask_and_unknown_words_are_named() {
        check("", "Help");
        check("help", "Help");
        check("run --help", "Help");
        check("rnu", "there is no command `rnu`");
    }

    #[test]
    fn usage_has_one_line_a_command() {
        for (name, ..) in COMMANDS {
            assert_eq!(
                usage().lines().filter(|line| line.starts_with(&format!("  {name} "))).count(),
                1,
                "{name}"
            );
        }
    }
}
