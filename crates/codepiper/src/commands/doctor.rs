//! `codepiper doctor`: has the machine looked at, and shows what was found.
//!
//! Rendering is pure. What can be typed stays in one line, to be copied; the rest is broken to the page.

use super::daemon::{config, one_thread};
use crate::args::Format;
use crate::client::{Client, Route};
use crate::output::{self, Page, Style, with_tilde};
use crate::text::{visible, width, wrap};
use codepiper_api::doctor::{Finding, Group, Level, Report};
use codepiper_api::providers::ProviderList;
use codepiper_api::{Fault, Refusal};
use codepiper_daemon::doctor::{Answers, PROBE_TIME_MAX, examine};
use serde::de::DeserializeOwned;
use std::fmt::Write as _;
use std::path::PathBuf;

pub(super) fn run(format: Format, socket: Option<PathBuf>) -> Result<(), Refusal> {
    // A socket that was said once has to be said again in every command that is proposed.
    let codepiper = match &socket {
        Some(path) => {
            let path = codepiper_core::provider::shell_word(&path.display().to_string());
            format!("codepiper --socket {path}")
        }
        None => "codepiper".into(),
    };
    let config = config(socket)?;
    let daemon = Client::new(config.socket.clone());
    let runtime = one_thread()?;
    let report = runtime.block_on(async {
        tokio::select! {
            report = examine(&config, &codepiper, ask(&daemon)) => Ok(report),
            _ = tokio::signal::ctrl_c() => Err(Refusal::new(Fault::Internal, "interrupted")),
        }
    });
    // A look at a disk that does not answer is not waited for.
    runtime.shutdown_background();
    let report = report?;
    if format.json() {
        output::print_json(&report)?;
    } else {
        output::print(&render(&report, std::env::var("HOME").ok().as_deref(), Page::stdout()))?;
    }
    match report.fault() {
        None => Ok(()),
        Some(fault) => Err(refusal(&report, fault)),
    }
}

/// What the daemon says of itself, if it does so in time.
async fn ask(daemon: &Client) -> Answers {
    let (health, providers) = tokio::join!(get(daemon, "/health"), get::<ProviderList>(daemon, "/providers"));
    Answers { health, providers: providers.map(|list| list.providers) }
}

async fn get<T: DeserializeOwned>(daemon: &Client, path: &str) -> Result<T, Refusal> {
    match tokio::time::timeout(PROBE_TIME_MAX, daemon.get(Route::new(path))).await {
        Ok(answer) => answer,
        Err(_elapsed) => {
            let seconds = PROBE_TIME_MAX.as_secs();
            Err(Refusal::new(Fault::Unreachable, format!("no answer within {seconds} s")))
        }
    }
}

/// The last line of a report with errors.
fn refusal(report: &Report, fault: Fault) -> Refusal {
    let mut named: Vec<String> = report
        .findings
        .iter()
        .filter(|finding| finding.level == Level::Error)
        .map(|finding| finding.name.clone())
        .collect();
    named.dedup();
    let what = if fault == Fault::Missing { "something is missing or broken" } else { "something is broken" };
    Refusal::new(fault, format!("{what}: {}", named.join(", ")))
}

fn title(group: Group) -> &'static str {
    match group {
        Group::System => "System",
        Group::Tmux => "tmux",
        Group::Git => "git",
        Group::Agents => "Agents",
        Group::Files => "Files",
        Group::Daemon => "Daemon",
        Group::Environment => "Environment",
    }
}

fn mark(level: Level) -> (&'static str, Style) {
    match level {
        Level::Ok => ("✓", Style::Good),
        Level::Note => ("·", Style::Dim),
        Level::Warning => ("!", Style::Warn),
        Level::Error => ("✗", Style::Bad),
    }
}

/// Blanks before the mark.
const INDENT: &str = "  ";

/// The narrowest room that prose is broken to.
const ROOM_MIN: usize = 24;

/// Columns up to which a fix stands beside what was found, where nothing says how wide the page is.
const LINE_MAX: usize = 100;

fn render(report: &Report, home: Option<&str>, page: Page) -> String {
    let names = report.findings.iter().map(|finding| width(&visible(&finding.name)));
    let name_width = names.max().unwrap_or(0);
    let mut out = String::new();
    let mut group = None;
    for finding in &report.findings {
        if group.replace(finding.group) != Some(finding.group) {
            let gap = if out.is_empty() { "" } else { "\n" };
            let _infallible = writeln!(out, "{gap}{}", page.paint(Style::Bold, title(finding.group)));
        }
        line(&mut out, finding, name_width, home, page);
    }
    let _infallible = writeln!(out, "\n{}", summary(report, page));
    out
}

fn line(out: &mut String, finding: &Finding, name_width: usize, home: Option<&str>, page: Page) {
    let (mark, style) = mark(finding.level);
    let name = visible(&finding.name);
    let padding = " ".repeat(name_width - width(&name));
    let margin = INDENT.len() + 2 + name_width + 2;
    let found = shortened(&visible_in_one_line(&finding.found), home);
    let rows = match page.columns {
        Some(columns) => wrap(&found, columns.saturating_sub(margin).max(ROOM_MIN)),
        None => vec![found],
    };
    let fix = finding.fix.as_deref().map(|fix| shortened(&visible_in_one_line(fix), home));
    // What needs no attention takes no more than a line where it can.
    if let ([row], Some(fix), Level::Note) = (&*rows, &fix, finding.level) {
        let whole = format!("{row}  → {fix}");
        if margin + width(&whole) <= page.columns.unwrap_or(LINE_MAX) {
            let whole = page.paint(Style::Dim, &whole);
            let _infallible = writeln!(out, "{INDENT}{} {name}{padding}  {whole}", page.paint(style, mark));
            return;
        }
    }
    let words = match finding.level {
        Level::Ok => Style::Plain,
        Level::Note => Style::Dim,
        Level::Warning | Level::Error => style,
    };
    for (index, row) in rows.iter().enumerate() {
        let row = page.paint(words, row);
        let _infallible = match index {
            0 => writeln!(out, "{INDENT}{} {name}{padding}  {row}", page.paint(style, mark)),
            _ => writeln!(out, "{}{row}", " ".repeat(margin)),
        };
    }
    if let Some(fix) = fix {
        let _infallible = writeln!(out, "{}{} {fix}", " ".repeat(margin), page.paint(Style::Dim, "→"));
    }
}

fn summary(report: &Report, page: Page) -> String {
    let (errors, warnings) = (report.count(Level::Error), report.count(Level::Warning));
    let number = |number: usize, what: &str| match number {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    };
    match (errors, warnings) {
        (0, 0) => page.paint(Style::Good, "Everything is as it should be."),
        (0, _) => page.paint(Style::Warn, &format!("It works, with {}.", number(warnings, "warning"))),
        _ => {
            page.paint(Style::Bad, &format!("{}, {}.", number(errors, "error"), number(warnings, "warning")))
        }
    }
}

fn visible_in_one_line(text: &str) -> String {
    text.lines().map(|line| visible(line.trim_end())).collect::<Vec<_>>().join(" ")
}

/// With `~` for the home folder, wherever a path begins; a shell reads both the same.
fn shortened(text: &str, home: Option<&str>) -> String {
    text.split_inclusive(' ').map(|word| with_tilde(word, home)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report::new(vec![
            Finding::new(Group::System, "disk", Level::Ok, "75 GiB free for /h/me/.codepiper"),
            Finding::missing(Group::Tmux, "tmux", "not installed: every session lives in tmux")
                .fix("sudo apt-get install tmux"),
            Finding::new(Group::Agents, "aider", Level::Note, "not installed").fix("pipx install aider-chat"),
            Finding::new(
                Group::Files,
                "home",
                Level::Error,
                "/h/me/.codepiper can be used by others\nand that (mode 0755) \x1b[2Jis bad",
            )
            .fix("chmod 700 /h/me/.codepiper"),
            Finding::new(Group::Files, "socket", Level::Warning, "/tmp/codepiper.sock was left behind"),
        ])
    }

    #[test]
    fn findings_stand_in_groups_with_the_fix_below() {
        let expected = "\
System
  ✓ disk    75 GiB free for ~/.codepiper

tmux
  ✗ tmux    not installed: every session lives in tmux
            → sudo apt-get install tmux

Agents
  · aider   not installed  → pipx install aider-chat

Files
  ✗ home    ~/.codepiper can be used by others and that (mode 0755) is bad
            → chmod 700 ~/.codepiper
  ! socket  /tmp/codepiper.sock was left behind

2 errors, 1 warning.
";
        assert_eq!(render(&report(), Some("/h/me"), Page { columns: None, colour: false }), expected);
    }

    #[test]
    fn prose_is_broken_to_the_page_and_a_command_is_not() {
        let rendered = render(&report(), Some("/h/me"), Page { columns: Some(43), colour: false });
        let narrow = "
Agents
  · aider   not installed
            → pipx install aider-chat

Files
  ✗ home    ~/.codepiper can be used by
            others and that (mode 0755) is
            bad
            → chmod 700 ~/.codepiper
";
        assert!(rendered.contains(narrow), "{rendered}");
    }

    #[test]
    fn colours_are_for_what_needs_a_look() {
        let rendered = render(&report(), None, Page { columns: None, colour: true });
        assert!(rendered.contains("  \x1b[32m✓\x1b[0m disk    75 GiB"), "{rendered:?}");
        assert!(rendered.contains("  \x1b[31m✗\x1b[0m tmux    \x1b[31mnot installed"), "{rendered:?}");
    }

    #[test]
    fn the_last_line_names_what_is_broken() {
        let report = report();
        let refusal = refusal(&report, report.fault().unwrap());
        assert_eq!(refusal.error, "something is missing or broken: tmux, home");
        assert_eq!(refusal.code, Fault::Missing);
        let check = |levels: &[Level], expected: &str| {
            let findings = levels.iter().map(|level| Finding::new(Group::System, "x", *level, ""));
            let summary = summary(&Report::new(findings.collect()), Page { columns: None, colour: false });
            assert_eq!(summary, expected);
        };
        check(&[Level::Ok, Level::Note], "Everything is as it should be.");
        check(&[Level::Warning], "It works, with 1 warning.");
        check(&[Level::Error, Level::Error], "2 errors, no warnings.");
    }
}
