//! What a prompt asks of the demo agent: directives, one a line, or plain words. Pure.

/// One thing to do in a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Directive {
    Run {
        command: String,
    },
    Write {
        path: String,
        content: String,
    },
    Edit {
        path: String,
        old: String,
        new: String,
    },
    Read {
        path: String,
    },
    Ask {
        question: String,
        options: Vec<String>,
    },
    Think {
        text: String,
    },
    Say {
        text: String,
    },
    Stream {
        words: u64,
        pause_ms: u64,
    },
    Flood {
        bytes: u64,
    },
    Sleep {
        ms: u64,
    },
    Spawn {
        command: String,
    },
    Fail {
        text: String,
    },
    Crash {
        code: i32,
    },
    Segv,
    /// Plain words, to be answered in a friendly way.
    Talk {
        text: String,
    },
    /// A directive by its name, but not by its arguments: kept, so that the agent can say what is wrong.
    Unreadable {
        line: String,
        usage: &'static str,
    },
}

/// The directives with what they take and do, as `/help` shows them.
pub(super) const USAGE: [(&str, &str); 14] = [
    ("RUN: command", "run a shell command"),
    ("WRITE: path :: content", "write a file (\\n is a newline)"),
    ("EDIT: path :: old => new", "replace text in a file"),
    ("READ: path", "read a file"),
    ("ASK: question :: a | b", "ask you to choose"),
    ("THINK: text", "think aloud"),
    ("SAY: text", "say it"),
    ("STREAM: words [ms]", "talk for a while"),
    ("FLOOD: bytes", "print log lines as fast as possible"),
    ("SLEEP: ms", "be busy"),
    ("SPAWN: command", "start a command that outlives the turn"),
    ("FAIL: text", "end the turn with an API error"),
    ("CRASH: code", "exit at once with this code"),
    ("SEGV:", "die of a signal"),
];

/// Words of a `STREAM:` that names no number, and the cadence of everything streamed.
const STREAM_WORDS: u64 = 20;
pub(super) const WORD_MS: u64 = 30;

/// Reads a prompt. A prompt with directives is its directives, the lines between them are for the reader;
/// a prompt without any is plain talk.
pub(super) fn parse(prompt: &str) -> Vec<Directive> {
    let directives: Vec<Directive> = prompt.lines().filter_map(directive).collect();
    if directives.is_empty() { vec![Directive::Talk { text: prompt.to_owned() }] } else { directives }
}

fn directive(line: &str) -> Option<Directive> {
    let (name, rest) = line.trim().split_once(':')?;
    let usage = USAGE.iter().map(|(usage, _)| *usage).find(|usage| usage.split(':').next() == Some(name))?;
    let rest = rest.trim();
    let read = match name {
        "RUN" => some(rest).map(|command| Directive::Run { command }),
        "WRITE" => rest.split_once("::").and_then(|(path, content)| {
            let mut content = unescape(content.trim());
            if !content.is_empty() && !content.ends_with('\n') {
                content.push('\n');
            }
            Some(Directive::Write { path: some(path)?, content })
        }),
        "EDIT" => rest.split_once("::").and_then(|(path, change)| {
            let (old, new) = change.split_once("=>")?;
            Some(Directive::Edit { path: some(path)?, old: unescape(&some(old)?), new: unescape(new.trim()) })
        }),
        "READ" => some(rest).map(|path| Directive::Read { path }),
        "ASK" => rest.split_once("::").and_then(|(question, options)| {
            let options: Vec<String> = options.split('|').filter_map(some).collect();
            (!options.is_empty()).then_some(Directive::Ask { question: some(question)?, options })
        }),
        "THINK" => some(rest).map(|text| Directive::Think { text }),
        "SAY" => some(rest).map(|text| Directive::Say { text: unescape(&text) }),
        "STREAM" => {
            let mut numbers = rest.split_whitespace().map(str::parse);
            match (numbers.next(), numbers.next(), numbers.next()) {
                (None, ..) => Some(Directive::Stream { words: STREAM_WORDS, pause_ms: WORD_MS }),
                (Some(Ok(words)), None, None) => Some(Directive::Stream { words, pause_ms: WORD_MS }),
                (Some(Ok(words)), Some(Ok(pause_ms)), None) => Some(Directive::Stream { words, pause_ms }),
                _ => None,
            }
        }
        "FLOOD" => bytes(rest).map(|bytes| Directive::Flood { bytes }),
        "SLEEP" => rest.parse().ok().map(|ms| Directive::Sleep { ms }),
        "SPAWN" => some(rest).map(|command| Directive::Spawn { command }),
        "FAIL" => Some(Directive::Fail { text: some(rest).unwrap_or_else(|| "scripted failure".to_owned()) }),
        "CRASH" if rest.is_empty() => Some(Directive::Crash { code: 1 }),
        "CRASH" => rest.parse().ok().map(|code| Directive::Crash { code }),
        "SEGV" => Some(Directive::Segv),
        _ => None,
    };
    Some(read.unwrap_or_else(|| Directive::Unreadable { line: line.trim().to_owned(), usage }))
}

fn some(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A directive is one line, so a newline inside it is written `\n`.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('\\') | None => plain.push('\\'),
            Some(other) => plain.extend(['\\', other]),
        }
    }
    plain
}

/// `4096`, `64k`, `5M`.
fn bytes(text: &str) -> Option<u64> {
    let (digits, factor) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(prompt: &str, expected: &str) {
        let shown: Vec<String> = parse(prompt).iter().map(|directive| format!("{directive:?}")).collect();
        assert_eq!(shown.join("; "), expected, "for {prompt:?}");
    }

    #[test]
    fn each_directive_is_read() {
        check("RUN: ls -la | wc -l", r#"Run { command: "ls -la | wc -l" }"#);
        check("WRITE: a.txt :: one\\ntwo", r#"Write { path: "a.txt", content: "one\ntwo\n" }"#);
        check("WRITE: empty ::", r#"Write { path: "empty", content: "" }"#);
        check("EDIT: a.txt :: one => 1", r#"Edit { path: "a.txt", old: "one", new: "1" }"#);
        check("EDIT: a.txt :: one =>", r#"Edit { path: "a.txt", old: "one", new: "" }"#);
        check("READ: a.txt", r#"Read { path: "a.txt" }"#);
        check("ASK: Which? :: a | b c", r#"Ask { question: "Which?", options: ["a", "b c"] }"#);
        check("THINK: hm", r#"Think { text: "hm" }"#);
        check("SAY: a :: b", r#"Say { text: "a :: b" }"#);
        check("STREAM:", "Stream { words: 20, pause_ms: 30 }");
        check("STREAM: 5", "Stream { words: 5, pause_ms: 30 }");
        check("STREAM: 5 0", "Stream { words: 5, pause_ms: 0 }");
        check("FLOOD: 64k", "Flood { bytes: 65536 }");
        check("SLEEP: 250", "Sleep { ms: 250 }");
        check("SPAWN: sleep 9", r#"Spawn { command: "sleep 9" }"#);
        check("FAIL: overloaded", r#"Fail { text: "overloaded" }"#);
        check("CRASH: 3", "Crash { code: 3 }");
        check("SEGV:", "Segv");
    }

    #[test]
    fn directives_are_done_in_order_and_prose_between_them_is_not() {
        check("please\n  THINK: hm\nand then\nRUN: make", r#"Think { text: "hm" }; Run { command: "make" }"#);
    }

    #[test]
    fn what_is_no_directive_is_talk() {
        check("Note: this", r#"Talk { text: "Note: this" }"#);
        check("run: ls\nplease", r#"Talk { text: "run: ls\nplease" }"#);
        check("RUNNING: x", r#"Talk { text: "RUNNING: x" }"#);
    }

    #[test]
    fn a_directive_with_bad_arguments_is_kept_to_be_complained_about() {
        check("EDIT: a.txt", r#"Unreadable { line: "EDIT: a.txt", usage: "EDIT: path :: old => new" }"#);
        check("SLEEP: long", r#"Unreadable { line: "SLEEP: long", usage: "SLEEP: ms" }"#);
        check("STREAM: 1 2 3", r#"Unreadable { line: "STREAM: 1 2 3", usage: "STREAM: words [ms]" }"#);
        check("RUN:", r#"Unreadable { line: "RUN:", usage: "RUN: command" }"#);
    }
}
