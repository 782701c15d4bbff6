//! What is said to an agent.

use super::Format;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
Everything after the first word of the text is text, also what looks like an option; put `--` before a text \
that begins with a dash. The last line break of what is read with `-` is no part of the text.

Examples:
  codepiper send a1b2c3d4 \"refactor the auth module to use Argon2\"
  codepiper send a1b2c3d4 --no-newline \"partial input\"
  codepiper send a1b2c3d4 --image screenshot.png \"what's wrong with this layout?\"
  git diff | codepiper send a1b2c3d4 -
  codepiper send a1b2c3d4 -- --help is a good name for a flag")]
pub(crate) struct SendArgs {
    /// Its id, the beginning of its id, or its name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: String,
    /// Submit the text, which is the default.
    #[arg(short, long, overrides_with = "no_newline")]
    newline: bool,
    /// Leave the text in the agent's input line.
    #[arg(long, overrides_with = "newline")]
    no_newline: bool,
    /// An image to show with it: PNG, JPEG, GIF or WebP, up to 10 MB. Can be repeated.
    #[arg(short, long = "image", value_name = "FILE")]
    pub(crate) images: Vec<PathBuf>,
    /// The text; words are joined by blanks, `-` reads standard input.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) text: Vec<String>,
    #[command(flatten)]
    pub(crate) format: Format,
}

impl SendArgs {
    /// Whether to submit; the last word wins.
    pub(crate) fn submit(&self) -> bool {
        self.newline || !self.no_newline
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Keys: enter, escape, tab, shift+tab, space, backspace, delete, insert, up, down, left, right, home, end, \
pageup, pagedown, f1 to f12, a single character, ctrl+…, alt+…, shift+…, and tmux's own names like C-c.

Examples:
  codepiper keys a1b2c3d4 ctrl+c
  codepiper keys a1b2c3d4 escape up up enter")]
pub(crate) struct KeysArgs {
    /// Its id, the beginning of its id, or its name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: String,
    /// The keys, in order.
    #[arg(required = true, value_name = "KEY", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) keys: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  codepiper slash a1b2c3d4 status
  codepiper slash a1b2c3d4 compact keep the API design")]
pub(crate) struct SlashArgs {
    /// Its id, the beginning of its id, or its name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: String,
    /// The command, with or without its slash.
    #[arg(value_name = "COMMAND", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) command: String,
    /// Its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[cfg(test)]
mod tests {
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn send(line: &str) -> String {
        let words = ["codepiper", "send"].into_iter().chain(line.split(' '));
        match Cli::try_parse_from(words) {
            Ok(Cli { socket, command: Some(Command::Send(crate::args::Lazy(args))) }) => {
                let socket = socket.map(|path| format!(" socket {}", path.display())).unwrap_or_default();
                let images: String =
                    args.images.iter().map(|path| format!(" image {}", path.display())).collect();
                format!(
                    "{} {:?}{}{socket}{images}",
                    args.id,
                    args.text,
                    if args.submit() { "" } else { " typed" }
                )
            }
            Ok(_) => "another command".into(),
            Err(error) => format!("{:?}", error.kind()),
        }
    }

    #[test]
    fn options_stand_before_the_text_and_the_text_is_taken_as_it_is() {
        let check = |line: &str, expected: &str| assert_eq!(send(line), expected, "for `{line}`");
        check("a1 hello there", r#"a1 ["hello", "there"]"#);
        check("a1 --no-newline part", r#"a1 ["part"] typed"#);
        check("--no-newline a1 part", r#"a1 ["part"] typed"#);
        check("a1 --no-newline -n all", r#"a1 ["all"]"#);
        check("a1 run ls -n --no-newline", r#"a1 ["run", "ls", "-n", "--no-newline"]"#);
        check("a1 -- --no-newline", r#"a1 ["--no-newline"]"#);
        check("a1 a -- b", r#"a1 ["a", "--", "b"]"#);
        check("a1 -x is a flag", r#"a1 ["-x", "is", "a", "flag"]"#);
        check("a1 -", r#"a1 ["-"]"#);
        check(
            "-s /x/y a1 -i one.png --image=two.png look",
            r#"a1 ["look"] socket /x/y image one.png image two.png"#,
        );
        check("a1", r#"a1 []"#);
        check("a1 -h", "DisplayHelp");
    }
}
