//! What a prompt tells the scripted model to do: one directive a line, pure text in, replies out.
//!
//! Knows neither provider: a `RUN` is a call to run a shell command, whatever the tool is called over the wire.
//! The one law: which reply comes next follows from the prompt and from what came after it alone, so the stub
//! needs no memory of a conversation and resumed, forked and repeated requests get the same answer.
//!
//! | Directive | What the model does |
//! |---|---|
//! | `RUN: command` | runs a shell command |
//! | `PAR: a ;; b ;; c` | runs several at once, in one reply |
//! | `ESC: command` | asks to run it outside the sandbox (where there is none: as `RUN`) |
//! | `WRITE: path :: content`, `EDIT: path :: old => new`, `READ: path` | files; `\n`, `\t` and `\\` are escapes |
//! | `ASK: question :: a \| b` | asks the user |
//! | `PLAN: text` | writes a plan and, in the next reply, presents it |
//! | `AGENT: prompt` | starts a sub-agent; `\n` separates its directives |
//! | `TOOL: name {json}` | calls any tool |
//! | `THINK: text`, `SAY: text`, `STREAM: words [ms]` | think, say, say slowly |
//! | `FAIL: status [times]` | fails with an HTTP status, always or that many times |
//! | `CUT: words [times]` | drops the connection after so many words, always or that many times |
//! | `USAGE: in=1 out=2 …` | the usage reported for the reply it stands in |
//!
//! A directive that calls tools ends a reply; the next reply comes with the next request of the turn. When all are
//! done, the model says what is left to say, or `done:` and the start of the last tool result. A prompt that is queued
//! and delivered during a turn goes on where the script ends. When Claude Code's auto mode asks whether an action is
//! safe, it is, unless [`AUTO_MODE_BLOCKS`] is in it.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

/// A prompt, understood.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Script {
    replies: Vec<Reply>,
    /// Directives that could not be read. The author of the test is at fault, so the stub reports them.
    pub mistakes: Vec<String>,
}

/// What the model answers to one request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reply {
    /// In the order they are said.
    pub parts: Vec<Part>,
    /// How it ends.
    pub ending: Ending,
    /// The figures to report; without them [`Usage::UNSAID`].
    pub usage: Option<Usage>,
}

/// One piece of a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Reasoning, where the provider has it.
    Think(String),
    /// Text, at full speed.
    Say(String),
    /// Made-up text, a word at a time.
    Stream {
        /// How many words.
        words: usize,
        /// The pause before each.
        pause: Duration,
    },
    /// A tool call.
    Call(Call),
}

/// A tool call, before a provider has given it a name.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// Run a shell command.
    Run(String),
    /// Run a shell command with more rights than the sandbox gives.
    Escalated(String),
    /// Create a file.
    Write {
        /// Where, as the tool wants it (Claude Code: absolute).
        path: String,
        /// The whole content.
        content: String,
    },
    /// Replace text in a file.
    Edit {
        /// Which file.
        path: String,
        /// The text that is there.
        old: String,
        /// The text to put there.
        new: String,
    },
    /// Read a file.
    Read(String),
    /// Ask the user one question.
    Ask {
        /// The question.
        question: String,
        /// The labels of the answers offered.
        options: Vec<String>,
    },
    /// Write the plan where the CLI wants it.
    WritePlan(String),
    /// Ask for approval of the plan that was written.
    PresentPlan,
    /// Start a sub-agent with this prompt.
    Agent(String),
    /// Call a tool by its name on the wire, whether it is offered or not.
    Tool {
        /// The name.
        name: String,
        /// The input, as it is.
        input: Value,
    },
}

/// How a reply ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    /// As replies should.
    #[default]
    Whole,
    /// Not begun: an HTTP error status instead.
    Fail {
        /// The status.
        status: u16,
        /// How many attempts fail; `None` is all of them.
        times: Option<usize>,
    },
    /// The connection is dropped after the parts were said.
    Cut {
        /// How many attempts are cut; `None` is all of them.
        times: Option<usize>,
    },
}

/// Tokens of one reply, in Anthropic's terms: the five counts do not overlap, except that reasoning is inside output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Usage {
    /// Input that came neither from a cache nor went into one.
    pub input: u64,
    /// All output.
    pub output: u64,
    /// The part of the output that was reasoning. OpenAI only.
    pub reasoning: u64,
    /// Input read from the cache.
    pub cache_read: u64,
    /// Input written to the five-minute cache.
    pub cache_5m: u64,
    /// Input written to the one-hour cache.
    pub cache_1h: u64,
}

impl Usage {
    /// What a reply reports when its script says nothing.
    pub const UNSAID: Usage =
        Usage { input: 100, output: 20, reasoning: 0, cache_read: 0, cache_5m: 0, cache_1h: 0 };

    /// Everything that went in.
    pub fn all_input(&self) -> u64 {
        self.input + self.cache_read + self.cache_5m + self.cache_1h
    }
}

impl Script {
    /// Reads a prompt. Total: what is no directive is talk, and talk alone is answered with talk.
    pub fn parse(prompt: &str) -> Script {
        let mut script = Script::default();
        let mut reply = Reply::default();
        let mut said_anything = false;
        for line in prompt.lines() {
            let Some((name, rest)) = directive(line) else { continue };
            said_anything = true;
            match understand(name, rest) {
                Ok(Meaning::Part(part)) => reply.parts.push(part),
                Ok(Meaning::Usage(usage)) => reply.usage = Some(usage),
                Ok(Meaning::Calls(calls)) => {
                    reply.parts.extend(calls.into_iter().map(Part::Call));
                    script.replies.push(std::mem::take(&mut reply));
                }
                Ok(Meaning::Steps(calls)) => {
                    for call in calls {
                        reply.parts.push(Part::Call(call));
                        script.replies.push(std::mem::take(&mut reply));
                    }
                }
                Ok(Meaning::Ending(parts, ending)) => {
                    reply.parts.extend(parts);
                    reply.ending = ending;
                    script.replies.push(std::mem::take(&mut reply));
                }
                Err(why) => script.mistakes.push(format!("`{}`: {why}", line.trim())),
            }
        }
        if !said_anything {
            reply.parts.push(Part::Say(format!("heard: {}", start_of(prompt))));
        }
        script.replies.push(reply);
        script
    }

    /// The reply after `results` (of the tools called since the prompt), when `attempts` earlier tries to get it failed.
    pub fn reply(&self, results: &[String], attempts: usize) -> Reply {
        let (mut results_left, mut attempts_left) = (results.len(), attempts);
        for reply in &self.replies {
            match reply.ending {
                Ending::Fail { times, .. } | Ending::Cut { times } => match times {
                    Some(times) if attempts_left >= times => attempts_left -= times,
                    _ => return reply.clone(),
                },
                Ending::Whole => match reply.calls() {
                    0 => return closing(reply, results),
                    calls if calls <= results_left => results_left -= calls,
                    _ => return reply.clone(),
                },
            }
        }
        closing(&Reply::default(), results)
    }
}

impl Reply {
    /// A reply that says one thing.
    pub fn say(text: impl Into<String>) -> Reply {
        Reply { parts: vec![Part::Say(text.into())], ..Reply::default() }
    }

    /// How many tools it calls.
    pub fn calls(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part, Part::Call(_))).count()
    }

    /// What it costs.
    pub fn usage(&self) -> Usage {
        self.usage.unwrap_or(Usage::UNSAID)
    }
}

/// The first line of a text, short enough to stand in an answer.
pub fn start_of(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("")
        .chars()
        .take(START_CHARS)
        .collect()
}

/// In a command (say, as a comment), this has auto mode block it.
pub const AUTO_MODE_BLOCKS: &str = "auto-mode-blocks";

/// As much of a text as answers repeat: enough to recognise it in a terminal of 80 columns.
const START_CHARS: usize = 60;
/// The longest `STREAM` or `CUT`, in words. A reply is built before it is sent; this is about 100 KiB.
const WORDS_MAX: usize = 10_000;
/// The longest pause between two words, in milliseconds. A test that waits longer waits for the wrong thing.
const PAUSE_MAX_MS: u64 = 10_000;
/// The most calls in one reply.
const PARALLEL_MAX: usize = 32;

/// The last reply of a turn says something, because an empty answer looks like a fault of the CLI.
fn closing(reply: &Reply, results: &[String]) -> Reply {
    let mut reply = reply.clone();
    if !reply.parts.iter().any(|part| matches!(part, Part::Say(_) | Part::Stream { .. })) {
        let last = results.last().map_or("", String::as_str);
        reply.parts.push(Part::Say(format!("done: {}", start_of(last)).trim_end().to_owned()));
    }
    reply
}

enum Meaning {
    Part(Part),
    Usage(Usage),
    /// Several in one reply.
    Calls(Vec<Call>),
    /// One reply each.
    Steps(Vec<Call>),
    Ending(Vec<Part>, Ending),
}

/// Splits `NAME: rest` off a line. Only names of ours: a line like `NOTE: x` is talk.
fn directive(line: &str) -> Option<(&str, &str)> {
    const NAMES: [&str; 16] = [
        "RUN", "PAR", "ESC", "WRITE", "EDIT", "READ", "ASK", "PLAN", "AGENT", "TOOL", "THINK", "SAY",
        "STREAM", "FAIL", "CUT", "USAGE",
    ];
    let (name, rest) = line.trim().split_once(':')?;
    NAMES.contains(&name).then_some((name, rest.trim()))
}

fn understand(name: &str, rest: &str) -> Result<Meaning, String> {
    if rest.is_empty() {
        return Err("nothing after the colon".to_owned());
    }
    let one = |call| Ok(Meaning::Calls(vec![call]));
    match name {
        "RUN" => one(Call::Run(rest.to_owned())),
        "ESC" => one(Call::Escalated(rest.to_owned())),
        "PAR" => {
            let calls: Vec<Call> =
                rest.split(";;").map(|command| Call::Run(command.trim().to_owned())).collect();
            if calls.len() > PARALLEL_MAX {
                return Err(format!("more than {PARALLEL_MAX} calls"));
            }
            Ok(Meaning::Calls(calls))
        }
        "WRITE" => {
            let (path, content) = pair(rest, "::")?;
            one(Call::Write { path: path.to_owned(), content: unescape(content) })
        }
        "EDIT" => {
            let (path, change) = pair(rest, "::")?;
            let (old, new) = pair(change, "=>")?;
            one(Call::Edit { path: path.to_owned(), old: unescape(old), new: unescape(new) })
        }
        "READ" => one(Call::Read(rest.to_owned())),
        "ASK" => {
            let (question, options) = pair(rest, "::")?;
            let options = options.split('|').map(|label| label.trim().to_owned()).collect();
            one(Call::Ask { question: question.to_owned(), options })
        }
        "PLAN" => Ok(Meaning::Steps(vec![Call::WritePlan(unescape(rest)), Call::PresentPlan])),
        "AGENT" => one(Call::Agent(unescape(rest))),
        "TOOL" => {
            let (name, input) = rest.split_once(' ').unwrap_or((rest, "{}"));
            let input =
                serde_json::from_str(input).map_err(|error| format!("the input is no JSON: {error}"))?;
            one(Call::Tool { name: name.to_owned(), input })
        }
        "THINK" => Ok(Meaning::Part(Part::Think(rest.to_owned()))),
        "SAY" => Ok(Meaning::Part(Part::Say(unescape(rest)))),
        "STREAM" => {
            let (words, pause_ms) = two_numbers(rest)?;
            let pause_ms = pause_ms.unwrap_or(0) as u64;
            if words > WORDS_MAX || pause_ms > PAUSE_MAX_MS {
                return Err(format!("more than {WORDS_MAX} words or {PAUSE_MAX_MS} ms"));
            }
            Ok(Meaning::Part(Part::Stream { words, pause: Duration::from_millis(pause_ms) }))
        }
        "FAIL" => {
            let (status, times) = two_numbers(rest)?;
            match u16::try_from(status) {
                Ok(status @ 400..=599) => Ok(Meaning::Ending(vec![], Ending::Fail { status, times })),
                _ => Err("no error status".to_owned()),
            }
        }
        "CUT" => {
            let (words, times) = two_numbers(rest)?;
            if words > WORDS_MAX {
                return Err(format!("more than {WORDS_MAX} words"));
            }
            let said = Part::Stream { words, pause: Duration::ZERO };
            Ok(Meaning::Ending(vec![said], Ending::Cut { times }))
        }
        _ => usage(rest).map(Meaning::Usage),
    }
}

fn usage(rest: &str) -> Result<Usage, String> {
    let mut usage = Usage::default();
    for word in rest.split_whitespace() {
        let (name, count) = word.split_once('=').ok_or_else(|| format!("`{word}` is not name=count"))?;
        let count: u64 = count.parse().map_err(|_| format!("`{count}` is no count"))?;
        match name {
            "in" => usage.input = count,
            "out" => usage.output = count,
            "reasoning" => usage.reasoning = count,
            "cache_read" => usage.cache_read = count,
            "cache_5m" => usage.cache_5m = count,
            "cache_1h" => usage.cache_1h = count,
            _ => return Err(format!("there is no `{name}` in a usage")),
        }
    }
    Ok(usage)
}

fn pair<'a>(rest: &'a str, between: &str) -> Result<(&'a str, &'a str), String> {
    let (left, right) = rest.split_once(between).ok_or_else(|| format!("no `{between}`"))?;
    Ok((left.trim(), right.trim()))
}

fn two_numbers(rest: &str) -> Result<(usize, Option<usize>), String> {
    let mut numbers =
        rest.split_whitespace().map(|word| word.parse().map_err(|_| format!("`{word}` is no number")));
    let first = numbers.next().ok_or("no number")??;
    let second = numbers.next().transpose()?;
    match numbers.next() {
        Some(_) => Err("more than two numbers".to_owned()),
        None => Ok((first, second)),
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('\\') => out.push('\\'),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reply after these tool results, in short.
    fn check(prompt: &str, results: &[&str], expected: &str) {
        check_attempt(prompt, results, 0, expected);
    }

    fn check_attempt(prompt: &str, results: &[&str], attempts: usize, expected: &str) {
        let results: Vec<String> = results.iter().map(|text| (*text).to_owned()).collect();
        let script = Script::parse(prompt);
        assert_eq!(script.mistakes, Vec::<String>::new(), "{prompt}");
        assert_eq!(in_short(&script.reply(&results, attempts)), expected, "{prompt}");
    }

    fn check_mistake(prompt: &str, expected: &str) {
        assert_eq!(Script::parse(prompt).mistakes, [expected]);
    }

    fn in_short(reply: &Reply) -> String {
        let mut words: Vec<String> = reply
            .parts
            .iter()
            .map(|part| match part {
                Part::Think(text) => format!("think {text:?}"),
                Part::Say(text) => format!("say {text:?}"),
                Part::Stream { words, pause } => format!("stream {words} {}ms", pause.as_millis()),
                Part::Call(Call::Run(command)) => format!("run {command:?}"),
                Part::Call(Call::Tool { name, input }) => format!("{name} {input}"),
                Part::Call(call) => format!("{call:?}"),
            })
            .collect();
        if reply.ending != Ending::Whole {
            words.push(format!("{:?}", reply.ending));
        }
        if let Some(usage) = reply.usage {
            words.push(format!("usage {}/{}", usage.all_input(), usage.output));
        }
        words.join(", ")
    }

    #[test]
    fn talk_is_answered_with_talk() {
        check("hello\nthere", &[], r#"say "heard: hello""#);
        check("NOTE: tidy up", &[], r#"say "heard: NOTE: tidy up""#);
        check("", &[], r#"say "heard: ""#);
    }

    #[test]
    fn each_directive_that_calls_a_tool_is_one_step_of_the_turn() {
        let prompt = "please\nRUN: echo a\n  PAR: echo b ;; echo c\nTOOL: Lookup {\"x\": 1}";
        check(prompt, &[], r#"run "echo a""#);
        check(prompt, &["a"], r#"run "echo b", run "echo c""#);
        check(prompt, &["a", "b", "c"], r#"Lookup {"x":1}"#);
        check(prompt, &["a", "b", "c", "\nfound\nmore"], r#"say "done: found""#);
    }

    #[test]
    fn words_belong_to_the_reply_they_stand_in() {
        let prompt = "THINK: hm\nSAY: first\nRUN: ls\nSAY: last\nSTREAM: 3 10";
        check(prompt, &[], r#"think "hm", say "first", run "ls""#);
        check(prompt, &["x"], r#"say "last", stream 3 10ms"#);
        check("THINK: hm", &[], r#"think "hm", say "done:""#);
    }

    #[test]
    fn usage_belongs_to_the_reply_it_stands_in() {
        let prompt = "USAGE: in=1 cache_read=2 cache_5m=3 cache_1h=4 out=5\nRUN: ls\nUSAGE: out=7";
        check(prompt, &[], r#"run "ls", usage 10/5"#);
        check(prompt, &["x"], r#"say "done: x", usage 0/7"#);
    }

    #[test]
    fn failures_last_for_ever_or_for_so_many_attempts() {
        check_attempt("FAIL: 400\nSAY: never", &[], 5, "Fail { status: 400, times: None }");
        check_attempt("FAIL: 529 2\nSAY: at last", &[], 1, "Fail { status: 529, times: Some(2) }");
        check_attempt("FAIL: 529 2\nSAY: at last", &[], 2, r#"say "at last""#);
        check_attempt("CUT: 4 1\nRUN: ls", &[], 0, "stream 4 0ms, Cut { times: Some(1) }");
        check_attempt("CUT: 4 1\nRUN: ls", &[], 1, r#"run "ls""#);
        check("RUN: ls\nFAIL: 500", &["x"], "Fail { status: 500, times: None }");
    }

    #[test]
    fn files_questions_plans_and_agents() {
        check(r"WRITE: /a b.txt :: one\ntwo", &[], r#"Write { path: "/a b.txt", content: "one\ntwo" }"#);
        check("EDIT: /a :: x => y z", &[], r#"Edit { path: "/a", old: "x", new: "y z" }"#);
        check("READ: /a", &[], r#"Read("/a")"#);
        check("ASK: Which? :: A | B", &[], r#"Ask { question: "Which?", options: ["A", "B"] }"#);
        check(r"PLAN: 1. a\n2. b", &[], r#"WritePlan("1. a\n2. b")"#);
        check(r"PLAN: 1. a\n2. b", &["written"], "PresentPlan");
        check(r"AGENT: RUN: ls\nSAY: x", &[], r#"Agent("RUN: ls\nSAY: x")"#);
        check("ESC: touch /x", &[], r#"Escalated("touch /x")"#);
    }

    #[test]
    fn what_cannot_be_read_is_told_not_guessed() {
        check_mistake("RUN:", "`RUN:`: nothing after the colon");
        check_mistake("WRITE: x", "`WRITE: x`: no `::`");
        check_mistake("FAIL: 200", "`FAIL: 200`: no error status");
        check_mistake("STREAM: many", "`STREAM: many`: `many` is no number");
        check_mistake("USAGE: inn=3", "`USAGE: inn=3`: there is no `inn` in a usage");
    }
}
