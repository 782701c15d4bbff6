//! Trying policies out: what a call would get, what recorded calls would have got.

use super::{fetch, style_of, word};
use crate::args::{BacktestArgs, Trial};
use crate::client::{Client, Route};
use crate::commands::policy_files::{self, Document};
use crate::commands::{absolute, logs};
use crate::output::{self, Cell, Cut, Page, Style, Table, ago};
use crate::text;
use codepiper_api::policies::{Backtest, Backtested, Counts, Effect, TestCall, Tested};
use codepiper_api::{Fault, Refusal};
use hyper::Method;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use std::path::Path;

/// The exit code of `policy test --exit-code` where a person is asked.
const ASKED: i32 = 8;

pub(super) async fn test(args: Trial, json: bool, daemon: &Client) -> Result<(), Refusal> {
    let exit_code = args.exit_code;
    let call = trial(args, &policy_files::read)?;
    let is_draft = call.rules.is_some() || call.policy.is_some();
    let tested: Tested = daemon.call(Method::POST, Route::new("/policies/test"), &call).await?;
    match json {
        true => output::print_json(&tested)?,
        false => output::print(&told_test(&tested, is_draft, Page::stdout()))?,
    }
    match tested.effect {
        Effect::Deny if exit_code => std::process::exit(Fault::Forbidden.exit_code().into()),
        Effect::Ask | Effect::None if exit_code => std::process::exit(ASKED),
        _ => Ok(()),
    }
}

fn trial(args: Trial, read: &dyn Fn(&Path) -> Result<Document, Refusal>) -> Result<TestCall, Refusal> {
    let (tool, call_args) = match args.tool {
        Some(tool) => {
            let given = args.args.as_deref().map(|text| policy_files::object("args", text));
            (tool, given.transpose()?.unwrap_or_default())
        }
        None if args.command.is_empty() => {
            return Err(Refusal::field("command", "is missing: what is to be tried out?").hint(
                "`codepiper policy test 'git push'` tries a command, `--tool Read --args '{\"file_path\": \".env\"}'` any \
                 other call",
            ));
        }
        None => {
            let command = args.command.join(" ");
            ("Bash".to_owned(), Map::from_iter([("command".to_owned(), json!(command))]))
        }
    };
    let cwd = match (&args.dir, &args.session) {
        (None, Some(_)) => None,
        (dir, _) => Some(absolute(dir.as_deref().unwrap_or(Path::new(".")))?),
    };
    let (policy, rules) = match args.file.as_deref().map(read).transpose()? {
        None => (None, None),
        Some(document) => one_draft(document)?,
    };
    let (session, provider) = (args.session, args.provider);
    Ok(TestCall { tool, args: call_args, cwd, session, provider, rules, policy })
}

fn told_test(tested: &Tested, is_draft: bool, page: Page) -> String {
    let action = tested.decision["action"].as_str().unwrap_or_default();
    let style = match action {
        "allow" => Style::Good,
        "deny" => Style::Bad,
        _ => Style::Warn,
    };
    let mut shown = String::new();
    for (at, line) in tested.lines.iter().enumerate() {
        let line = text::visible(line);
        match line.split_once(": ").filter(|_| at == 0) {
            Some((word, rest)) => shown.push_str(&format!("{}: {rest}\n", page.paint(style, word))),
            None => shown.push_str(&format!("{line}\n")),
        }
    }
    let mut note = |text: &str| shown.push_str(&format!("{}\n", page.paint(Style::Dim, text)));
    match (tested.bypassed, tested.effect, action) {
        (true, ..) => note("but the session runs without permission questions: no rule is asked there"),
        (_, Effect::None, "allow") => note("but this is always for a person: no rule answers it"),
        (_, Effect::None, _) => note("the agent's own rules decide whether you are asked"),
        _ => {}
    }
    let names: Vec<String> = tested.policies.iter().map(|policy| text::visible(&policy.name)).collect();
    match (is_draft, names.as_slice()) {
        (true, _) => note("asked: the draft alone"),
        (false, []) => note("asked: no policy holds here"),
        (false, names) => note(&format!("asked: {}", names.join(", "))),
    }
    shown
}

pub(super) async fn backtest(args: BacktestArgs, json: bool, daemon: &Client) -> Result<(), Refusal> {
    let since = args.since.as_deref().map(time).transpose()?;
    let (policy, rules) = match (args.id, args.file) {
        (_, Some(file)) => one_draft(policy_files::read(&file)?)?,
        (Some(id), None) => (Some(json!(fetch(daemon, &id).await?.policy)), None),
        (None, None) => {
            return Err(Refusal::field("id", "is missing: which policy is to be tried out?")
                .hint("`codepiper policy backtest POLICY` takes one that is there, `--file FILE` a draft"));
        }
    };
    let wanted = Backtest { policy, rules, session: args.session, since, limit: args.limit, show: args.show };
    let result: Backtested = daemon.call(Method::POST, Route::new("/policies/backtest"), &wanted).await?;
    match json {
        true => output::print_json(&result),
        false => output::print(&told_backtest(&result, Page::stdout(), Timestamp::now())),
    }
}

/// A draft to try out: a policy, or rules.
fn one_draft(document: Document) -> Result<(Option<Value>, Option<Value>), Refusal> {
    match document {
        Document::Rules(rules) => Ok((None, Some(rules))),
        Document::Policies(policies) => {
            let one = <[_; 1]>::try_from(policies).map_err(|all| {
                Refusal::new(Fault::Usage, format!("the file holds {} policies, not one", all.len()))
                    .hint("one is tried out at a time")
            });
            Ok((one?.into_iter().next().map(Value::Object), None))
        }
    }
}

fn time(text: &str) -> Result<Timestamp, Refusal> {
    match logs::since(text, Timestamp::now(), &TimeZone::system())? {
        logs::Since::Time(time) => Ok(time),
        logs::Since::Event(_) => Err(Refusal::field("since", "must be a time here, like 7d")),
    }
}

fn told_backtest(result: &Backtested, page: Page, now: Timestamp) -> String {
    let counts = |name: &str, counts: Counts| {
        let Counts { allow, ask, deny } = counts;
        format!("{name:<16}  {allow:>7} allowed  {ask:>7} asked  {deny:>7} denied\n")
    };
    let mut shown = format!("{} recorded calls", result.calls);
    if result.more {
        shown.push_str(", the latest");
    }
    if result.skipped > 0 {
        shown.push_str(&format!(
            "; {} more that no rule is asked about, or that cannot be read",
            result.skipped
        ));
    }
    shown.push('\n');
    shown.push_str(&counts("in force", result.now));
    shown.push_str(&counts("with the draft", result.with));
    shown.push_str(&counts("the draft alone", result.alone));
    if result.changed == 0 {
        shown.push_str("the draft would have changed nothing\n");
        return shown;
    }
    shown.push_str(&format!("{} of {} would have changed:\n", result.changed, result.calls));
    let mut table = Table::new([
        ("WHEN", Cut::Never),
        ("SESSION", Cut::Never),
        ("NOW", Cut::Never),
        ("WITH", Cut::Never),
        ("CALL", Cut::End),
        ("WHY", Cut::End),
    ]);
    for call in &result.changes {
        table.row(
            [
                ago(call.at, now).as_str().into(),
                call.session.as_str().into(),
                Cell::new(word(call.now), style_of(call.now)),
                Cell::new(word(call.with), style_of(call.with)),
                call.call.as_str().into(),
                call.reason.as_str().into(),
            ],
            None,
        );
    }
    shown.push_str(&table.render(page));
    shown
}

#[cfg(test)]
mod tests {
    use super::super::tests::{PAGE, command, no_file};
    use super::*;
    use crate::args::PolicyCommand;
    use codepiper_core::policy::Fallback;

    #[test]
    fn words_without_a_tool_are_a_command_for_bash() {
        let check = |words: &[&str], expected: Value| {
            let mut all = vec!["test", "--dir", "/w"];
            all.extend(words);
            let PolicyCommand::Test(args) = command(&all) else { panic!("no test") };
            assert_eq!(json!(trial(args, &no_file).unwrap()), expected, "for {words:?}");
        };
        let bash = json!({"tool": "Bash", "args": {"command": "git log; rm -rf /"}, "cwd": "/w"});
        check(&["git log; rm -rf /"], bash.clone());
        check(&["--tool", "Bash", "--args", r#"{"command":"git log; rm -rf /"}"#], bash);
        check(
            &["git", "push", "-p", "codex"],
            json!({"tool": "Bash", "args": {"command": "git push"}, "cwd": "/w", "provider": "codex"}),
        );
        check(
            &["--tool", "Read", "--file", "x"],
            json!({"tool": "Read", "cwd": "/w", "policy": {"name": "f", "rules": []}}),
        );
    }

    #[test]
    fn without_a_call_it_is_said_what_is_needed() {
        let PolicyCommand::Test(args) = command(&["test"]) else { panic!("no test") };
        let refusal = trial(args, &no_file).unwrap_err();
        assert_eq!(refusal.to_string(), "`command` is missing: what is to be tried out?");
        assert!(refusal.hint.unwrap().contains("codepiper policy test 'git push'"));
    }

    #[test]
    fn a_test_says_what_decides_and_what_it_comes_to() {
        let check = |action: &str, effect: Effect, expected: &str| {
            let tested = Tested {
                decision: json!({ "action": action }),
                effect,
                lines: vec![format!("{action}: because")],
                policies: Vec::new(),
                fallback: Fallback::Ask,
                bypassed: false,
            };
            assert_eq!(told_test(&tested, false, PAGE), format!("{action}: because\n{expected}"));
        };
        check("deny", Effect::Deny, "asked: no policy holds here\n");
        check(
            "ask",
            Effect::None,
            "the agent's own rules decide whether you are asked\nasked: no policy holds here\n",
        );
        check(
            "allow",
            Effect::None,
            "but this is always for a person: no rule answers it\nasked: no policy holds here\n",
        );
    }
}
