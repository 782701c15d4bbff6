//! Commands whose arguments reach tmux as they are, by control mode or by a process.

/// A tmux command and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    words: Vec<String>,
    /// The command it runs in its turn, which has an answer of its own.
    inner: Option<String>,
}

impl Command {
    /// A command without arguments.
    pub fn new(name: &str) -> Self {
        Self { words: vec![name.to_owned()], inner: None }
    }

    /// One of two commands, by a format that is looked at in the pane; both have the same name's answer.
    pub(crate) fn if_format(pane: &str, format: &str, then: &Self, otherwise: &Self) -> Self {
        let mut command = Self::new("if-shell").args(["-F", "-t", pane, format]);
        command = command.args([then.line(), otherwise.line()]);
        command.inner = Some(then.name().to_owned());
        command
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.words.push(argument.into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<T: Into<String>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.words.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.words[0]
    }

    /// The names of all commands that will be answered, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        [Some(self.words[0].clone()), self.inner.clone()].into_iter().flatten()
    }

    /// For a process: tmux takes a `;` at the end of an argument for the end of the command.
    pub(crate) fn argv(&self) -> impl Iterator<Item = String> {
        self.words.iter().map(|word| match word.strip_suffix(';') {
            Some(rest) => format!("{rest}\\;"),
            None => word.clone(),
        })
    }

    /// For control mode: one line that tmux's parser reads back as these words.
    pub(crate) fn line(&self) -> String {
        let words: Vec<String> = self.words.iter().map(|word| quote(word)).collect();
        words.join(" ")
    }
}

/// One word in double quotes. A line may hold no newline, and `$`, `\`, `"` are special in double quotes;
/// `~` and `#{` are not expanded there by the parser.
fn quote(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=%@+,".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    let mut quoted = String::with_capacity(word.len() + 2);
    quoted.push('"');
    for c in word.chars() {
        match c {
            '\\' | '"' | '$' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\{:03o}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_whatever_the_words_hold() {
        let check = |word: &str, expected: &str| {
            assert_eq!(Command::new("x").arg(word).line(), format!("x {expected}"));
        };
        check("plain-1.2:%3", "plain-1.2:%3");
        check("", "\"\"");
        check("two words", "\"two words\"");
        check("it's \"$HOME\"\\", "\"it's \\\"\\$HOME\\\"\\\\\"");
        check("a\nb\u{1b}[", "\"a\\nb\\033[\"");
        check("; kill-server", "\"; kill-server\"");
        check("{a}", "\"{a}\"");
    }

    #[test]
    fn a_semicolon_at_an_arguments_end_does_not_end_the_command() {
        let argv: Vec<_> = Command::new("send-keys").args(["-l", "--", "ls;"]).argv().collect();
        assert_eq!(argv, ["send-keys", "-l", "--", "ls\\;"]);
    }
}
