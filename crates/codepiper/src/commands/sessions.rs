//! `codepiper sessions`

use super::absolute;
use crate::args::{SessionsArgs, SessionsCommand};
use crate::client::{Client, Route};
use crate::output::{self, Cell, Cut, Details, Page, Style, Table, ago, short, with_tilde};
use crate::text;
use codepiper_api::Refusal;
use codepiper_api::sessions::{ProviderLimits, Session, SessionBody, SessionList};
use codepiper_core::budget::Spent;
use codepiper_core::live::Limit;
use codepiper_core::pricing::Money;
use codepiper_core::session::{Exit, Status};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Ended sessions that a list shows unless all are asked for: what one may want to resume, without pushing
/// what runs out of sight.
const ENDED_SHOWN_MAX: usize = 10;

/// A context as full as this will soon be compacted, in percent.
const FULL_PERCENT: u64 = 80;

pub(super) async fn run(args: SessionsArgs, daemon: &Client) -> Result<(), Refusal> {
    let json = args.format.json();
    let (id, json) = match args.command {
        Some(SessionsCommand::Show(show)) => (Some(show.id), json || show.format.json()),
        None => (args.id, json),
    };
    let page = Page::stdout();
    let home = std::env::var("HOME").ok();
    if let Some(id) = id {
        let SessionBody { session, .. } = daemon.get(Route::session(&id, "")).await?;
        return match json {
            true => output::print_json(&session),
            false => output::print(&details(&session, Timestamp::now(), home.as_deref()).render(page)),
        };
    }
    let filtered = args.status.is_some();
    let route = Route::new("/sessions")
        .with_some("provider", args.provider)
        .with_some("status", args.status)
        .with_some("dir", args.dir.as_deref().map(absolute).transpose()?);
    let SessionList { sessions, limits } = daemon.get(route).await?;
    if json {
        return output::print_json(&sessions);
    }
    let (ended_max, now) =
        (if args.all || filtered { usize::MAX } else { ENDED_SHOWN_MAX }, Timestamp::now());
    output::print(&list(&sessions, ended_max, now, home.as_deref(), page))?;
    for ProviderLimits { provider, limits } in &limits {
        let line = format!("{provider}: {}", limits_text(limits, now));
        output::print(&format!(
            "{}\n",
            page.paint(Style::Dim, &text::clip(&line, page.columns.unwrap_or(usize::MAX)))
        ))?;
    }
    Ok(())
}

/// The table and its last line.
fn list(sessions: &[Session], ended_max: usize, now: Timestamp, home: Option<&str>, page: Page) -> String {
    if sessions.is_empty() {
        return "No sessions.\n".into();
    }
    let live = sessions.iter().filter(|session| is_live(session)).count();
    let ended = sessions.len() - live;
    let mut left_out = ended.saturating_sub(ended_max);
    let mut table = Table::new([
        ("ID", Cut::Never),
        ("NAME", Cut::End),
        ("PROVIDER", Cut::End),
        ("STATE", Cut::Never),
        ("MODEL", Cut::End),
        ("CONTEXT", Cut::Never),
        ("COST", Cut::Never),
        ("DIRECTORY", Cut::Start),
        ("AGE", Cut::Never),
    ]);
    // Oldest first: those at the end were started last, and are the ones to keep.
    for session in sessions {
        if !is_live(session) && left_out > 0 {
            left_out -= 1;
            continue;
        }
        let style = style(session.status);
        let told = matches!(session.status, Status::NeedsInput | Status::NeedsPermission | Status::Crashed);
        let [context, cost] = figures(session);
        let full = session.live.as_ref().and_then(|live| live.context);
        let full = full.is_some_and(|context| context.percent() >= FULL_PERCENT);
        table.row(
            [
                Cell::new(session.id.as_str(), Style::Bold),
                session.name.as_deref().unwrap_or_default().into(),
                session.provider.as_str().into(),
                Cell::new(&session.state, style),
                session.model.as_deref().unwrap_or_default().into(),
                Cell::new(context, if full { Style::Warn } else { Style::Plain }),
                cost.as_str().into(),
                with_tilde(&session.cwd, home).into(),
                Cell::new(ago(session.created_at, now), Style::Dim),
            ],
            told.then(|| Cell::new(&session.reason, style)),
        );
    }
    let left_out = ended.saturating_sub(ended_max);
    let mut out = table.render(page);
    let more =
        if left_out > 0 { format!(", {left_out} not shown (--all shows them)") } else { String::new() };
    let total = format!("{live} live, {ended} ended{more}");
    out.push_str(&page.paint(Style::Dim, &text::clip(&total, page.columns.unwrap_or(usize::MAX))));
    out.push('\n');
    out
}

/// How full the context is and what it cost so far; empty where that is not known.
fn figures(session: &Session) -> [String; 2] {
    let Some(live) = &session.live else { return Default::default() };
    let context = live.context.map(|context| format!("{} %", context.percent()));
    let cost = match live.spent {
        Spent { tokens: 0, .. } => String::new(),
        Spent { cost: Money(0), unpriced: 1.., .. } => "unpriced".into(),
        Spent { cost, .. } => dollars(cost),
    };
    [context.unwrap_or_default(), cost]
}

/// `$0.22 by list prices, 123k tokens`; nothing before anything was spent.
fn cost_text(spent: &Spent) -> Option<String> {
    let (tokens, unpriced) = (output::count(spent.tokens), output::count(spent.unpriced));
    match spent {
        Spent { tokens: 0, .. } => None,
        Spent { cost: Money(0), unpriced: 1.., .. } => {
            Some(format!("unknown: {unpriced} of {tokens} tokens have no price"))
        }
        Spent { cost, unpriced: 0, .. } => {
            Some(format!("{} by list prices, {tokens} tokens", dollars(*cost)))
        }
        Spent { cost, .. } => Some(format!(
            "{} by list prices, {tokens} tokens, without {unpriced} that have no price",
            dollars(*cost)
        )),
    }
}

fn dollars(cost: Money) -> String {
    output::dollars(Some(cost.0 as f64 / 1e9))
}

/// `5 h 42 % used, resets in 2h; 7 d 12 % used`
fn limits_text(limits: &[Limit], now: Timestamp) -> String {
    let text = |limit: &Limit| {
        let resets = limit.resets_at.and_then(|at| short(at.duration_since(now)));
        let resets = resets.map(|left| format!(", resets in {left}")).unwrap_or_default();
        format!("{} {:.0} % used{resets}", limit.window(), limit.used_percent.floor())
    };
    limits.iter().map(text).collect::<Vec<_>>().join("; ")
}

fn is_live(session: &Session) -> bool {
    !matches!(session.status, Status::Stopped | Status::Crashed)
}

fn style(status: Status) -> Style {
    match status {
        Status::Starting | Status::Stopped => Style::Dim,
        Status::Running => Style::Good,
        Status::NeedsPermission | Status::NeedsInput => Style::Warn,
        Status::Crashed => Style::Bad,
    }
}

fn details(session: &Session, now: Timestamp, home: Option<&str>) -> Details {
    let since = short(now.duration_since(session.since)).map(|time| format!(" for {time}"));
    let path = |path: &str| with_tilde(path, home);
    let time = |time: Timestamp| {
        let local = time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string();
        format!("{local} ({})", ago(time, now))
    };
    let exit = session.exit.map(|exit| match exit {
        Exit::Code(code) => format!("code {code}"),
        Exit::Signal(signal) => format!("signal {signal}"),
        Exit::Unseen => "nobody saw how".into(),
    });
    let mut details = Details::default();
    details.styled("ID", session.id.to_string(), Style::Bold);
    details.add("Name", session.name.clone());
    details.add("Provider", session.provider.clone());
    let state = format!("{}{}", session.state, since.unwrap_or_default());
    details.styled("State", state, style(session.status));
    details.add("Reason", session.reason.clone());
    if let Some(waiting) = &session.question {
        details.styled("Question", waiting.question.clone(), Style::Warn);
        details.add("To answer", waiting.how.clone());
    }
    details.add("Exit", exit);
    details.add("Directory", path(&session.cwd));
    details.add("Model", session.model.clone());
    if let Some(live) = &session.live {
        details.add(
            "Context",
            live.context.map(|context| {
                let (used, size) = (output::count(context.used), output::count(context.size));
                format!("{used} of {size} tokens ({} %)", context.percent())
            }),
        );
        details.add("Cost", cost_text(&live.spent));
        details.add("Limits", (!live.limits.is_empty()).then(|| limits_text(&live.limits, now)));
    }
    details.add("Terminal", format!("{} x {}", session.pty_cols, session.pty_rows));
    details.add("Process", session.pid.map(|pid| pid.to_string()));
    details.add("Created", time(session.created_at));
    details.add("Updated", time(session.updated_at));
    details.add("Conversation", session.provider_session_id.clone());
    details.add("Transcript", session.transcript_path.as_deref().map(path));
    details.add("tmux session", session.tmux_session.clone());
    details.add("Files", path(&session.runtime_dir));
    details
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const PAGE: Page = Page { columns: Some(80), colour: false };

    fn now() -> Timestamp {
        "2026-01-31T12:00:00Z".parse().unwrap()
    }

    fn session(id: &str, fields: Value) -> Session {
        let mut session = json!({
            "id": id, "provider": "demo", "cwd": "/h/me/p", "status": "RUNNING", "state": "idle",
            "reason": "ready for a prompt", "since": "2026-01-31T11:57:00Z",
            "createdAt": "2026-01-31T09:00:00Z", "updatedAt": "2026-01-31T11:59:58Z",
            "ptyRows": 30, "ptyCols": 120, "tmuxSession": format!("codepiper-{id}"),
            "runtimeDir": format!("/h/me/.codepiper/sessions/{id}"), "metadata": {}
        });
        for (name, value) in fields.as_object().unwrap() {
            session[name] = value.clone();
        }
        serde_json::from_value(session).unwrap()
    }

    #[test]
    fn who_waits_or_crashed_says_why() {
        let sessions = [
            session("a1b2c3d4", json!({"name": "api"})),
            session(
                "bbbbbbbb",
                json!({"status": "NEEDS_PERMISSION", "state": "waiting",
                    "reason": "needs permission: Bash rm -rf build && a long line that does not fit at all"}),
            ),
            session(
                "cccccccc",
                json!({"status": "CRASHED", "state": "crashed", "cwd": "/srv",
                "reason": "the agent ended by itself (exit code 2)"}),
            ),
        ];
        let expected = "\
ID        NAME  PROVIDER  STATE    DIRECTORY  AGE
a1b2c3d4  api   demo      idle     ~/p        3h ago
bbbbbbbb        demo      waiting  ~/p        3h ago
  └ needs permission: Bash rm -rf build && a long line that does not fit at all
cccccccc        demo      crashed  /srv       3h ago
  └ the agent ended by itself (exit code 2)
2 live, 1 ended
";
        assert_eq!(list(&sessions, 10, now(), Some("/h/me"), PAGE), expected);
        assert_eq!(list(&[], 10, now(), None, PAGE), "No sessions.\n");
    }

    #[test]
    fn agents_that_tell_figures_get_columns_for_them() {
        let live = |used: u64, cost: i64, unpriced: u64| {
            json!({
                "context": { "used": used, "size": 1_000_000 },
                "spent": { "cost": cost, "unpriced": unpriced, "tokens": 123_456, "seconds": 0 },
                "limits": [
                    { "minutes": 300, "usedPercent": 42.9, "resetsAt": "2026-01-31T14:10:00Z" },
                    { "minutes": 10_080, "usedPercent": 12.0 },
                ],
            })
        };
        let told = json!({ "name": "api", "model": "opus", "live": live(24_006, 221_555_750, 0) });
        let sessions = [
            session("a1b2c3d4", told),
            session("bbbbbbbb", json!({ "model": "new", "live": live(900_000, 0, 123_456) })),
            session("cccccccc", json!({})),
        ];
        let expected = "\
ID        NAME  PROVIDER  STATE  MODEL  CONTEXT  COST      DIRECTORY  AGE
a1b2c3d4  api   demo      idle   opus   2 %      $0.22     ~/p        3h ago
bbbbbbbb        demo      idle   new    90 %     unpriced  ~/p        3h ago
cccccccc        demo      idle                             ~/p        3h ago
3 live, 0 ended
";
        assert_eq!(list(&sessions, 10, now(), Some("/h/me"), PAGE), expected);
        let shown = details(&sessions[0], now(), None).render(PAGE);
        for line in [
            "Context       24.0k of 1.00M tokens (2 %)",
            "Cost          $0.22 by list prices, 123k tokens",
            "Limits        5 h 42 % used, resets in 2h; 7 d 12 % used",
        ] {
            assert!(shown.contains(&format!("{line}\n")), "no `{line}` in\n{shown}");
        }
        let shown = details(&sessions[1], now(), None).render(PAGE);
        assert!(shown.contains("Cost          unknown: 123k of 123k tokens have no price\n"), "{shown}");
    }

    #[test]
    fn a_long_list_leaves_out_what_ended_first() {
        let stopped = json!({"status": "STOPPED", "state": "stopped"});
        let mut sessions: Vec<_> = (0..5).map(|n| session(&format!("0000000{n}"), stopped.clone())).collect();
        sessions.insert(0, session("aaaaaaaa", json!({})));
        let shown = list(&sessions, 2, now(), None, PAGE);
        let ids: Vec<&str> = shown.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(ids, ["ID", "aaaaaaaa", "00000003", "00000004", "1"]);
        assert!(shown.ends_with("1 live, 5 ended, 3 not shown (--all shows them)\n"), "{shown}");
    }

    #[test]
    fn one_session_tells_everything_that_is_known() {
        let session = session(
            "a1b2c3d4",
            json!({"status": "NEEDS_INPUT", "state": "waiting", "reason": "needs input: trust this folder?",
                "question": {"need": "input", "question": "trust this folder?", "how": "`codepiper keys a1b2c3d4 enter`"},
                "exit": {"code": 3}, "pid": 42, "model": "opus"}),
        );
        let shown = details(&session, now(), Some("/h/me")).render(PAGE);
        for line in [
            "State         waiting for 3m",
            "Question      trust this folder?",
            "To answer     `codepiper keys a1b2c3d4 enter`",
            "Exit          code 3",
            "Directory     ~/p",
            "Terminal      120 x 30",
            "Files         ~/.codepiper/sessions/a1b2c3d4",
        ] {
            assert!(shown.contains(&format!("{line}\n")), "no `{line}` in\n{shown}");
        }
    }
}
