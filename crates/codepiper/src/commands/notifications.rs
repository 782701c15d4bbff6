//! `codepiper notifications`

use super::{RETURN_TRY_EVERY, each_message, until_interrupted, when_back};
use crate::args::{NotificationsArgs, NotificationsCommand};
use crate::client::{Client, Route};
use crate::output::{self, Cell, Cut, Page, Style, Table, ago};
use crate::text;
use codepiper_api::notifications::{
    HandlerList, HandlerTests, HandlerView, MarkRead, Notification, NotificationNews, NotificationPage,
    OneRead, Prefs, PrefsBody, SomeRead, TestHandlers,
};
use codepiper_api::{Fault, Refusal};
use codepiper_core::notification::{Kind, SessionWishes};
use hyper::Method;
use jiff::Timestamp;

/// What reads notifications here.
const SOURCE: &str = "cli";

pub(super) async fn run(args: NotificationsArgs, daemon: &Client) -> Result<(), Refusal> {
    let json = |format: crate::args::Format| format.json() || args.format.json();
    match args.command {
        None => list(daemon, Route::new("/notifications").with("unreadOnly", true), args.format.json()).await,
        Some(NotificationsCommand::List { all, session, kind, limit, format }) => {
            let kind = kind.as_deref().map(kind_of).transpose()?;
            let route = Route::new("/notifications").with("unreadOnly", !all).with("limit", limit);
            let route = route.with_some("sessionId", session.as_deref()).with_some("eventType", kind);
            list(daemon, route, json(format)).await
        }
        Some(NotificationsCommand::Watch(format)) => watch(daemon, json(format)).await,
        Some(NotificationsCommand::Read { ids, session, .. }) => read(daemon, &ids, session).await,
        Some(NotificationsCommand::Prefs { id, on, off, default, only, not, format }) => {
            let route = Route::session(&id, "/notifications/prefs");
            let PrefsBody { mut prefs } = daemon.get(route.clone()).await?;
            if on || off || default || !only.is_empty() || !not.is_empty() {
                let wishes = wishes(&prefs, (on, off, default), &only, &not)?;
                prefs = daemon.call::<PrefsBody>(Method::PUT, route, &wishes).await?.prefs;
            }
            match json(format) {
                true => output::print_json(&prefs),
                false => output::print(&prefs_table(&prefs).render(Page::stdout())),
            }
        }
        Some(NotificationsCommand::Handlers(format)) => handlers(daemon, json(format)).await,
        Some(NotificationsCommand::Test { handler, format }) => test(daemon, handler, json(format)).await,
    }
}

async fn list(daemon: &Client, route: Route, json: bool) -> Result<(), Refusal> {
    let page: NotificationPage = daemon.get(route).await?;
    if json {
        return output::print_json(&page.notifications);
    }
    if page.notifications.is_empty() {
        output::say("nothing new");
        return Ok(());
    }
    output::print(&table(&page.notifications, Timestamp::now()).render(Page::stdout()))?;
    if page.has_more {
        output::say("there are older ones; -n 200 shows more");
    }
    Ok(())
}

fn table(all: &[Notification], now: Timestamp) -> Table {
    let columns = [
        ("NO", Cut::Never),
        ("WHEN", Cut::Never),
        ("SESSION", Cut::Never),
        ("WHAT", Cut::End),
        ("", Cut::End),
    ];
    let mut table = Table::new(columns);
    for told in all {
        let style = style(told);
        let session = told.session_id.as_ref().map(ToString::to_string).unwrap_or_default();
        let cells = [
            Cell::new(told.id.to_string(), style),
            ago(told.created_at, now).as_str().into(),
            session.as_str().into(),
            Cell::new(text::visible(&told.title), style),
            text::visible(&told.body).as_str().into(),
        ];
        table.row(cells, None);
    }
    table
}

fn style(told: &Notification) -> Style {
    match told.event_type {
        _ if told.read_at.is_some() => Style::Dim,
        Kind::Crashed | Kind::TurnFailed => Style::Bad,
        Kind::PermissionRequired | Kind::InputRequired | Kind::BudgetReached => Style::Warn,
        Kind::TurnCompleted | Kind::Completed | Kind::LimitReset => Style::Bold,
    }
}

/// Prints what comes.
async fn watch(daemon: &Client, json: bool) -> Result<(), Refusal> {
    let mut last: Option<u64> = None;
    until_interrupted(async {
        loop {
            let route = Route::new("/notifications/stream");
            let route = last.map_or(route.clone(), |last| route.with("after", last));
            let stream = when_back(async || daemon.stream(route.clone()).await).await?;
            each_message(stream, async |news| match news {
                NotificationNews::NotificationCreated(told) => {
                    last = Some(told.id);
                    show(&told, json)
                }
                NotificationNews::NotificationCountsUpdated(_) => Ok(()),
            })
            .await?;
            tokio::time::sleep(RETURN_TRY_EVERY).await;
        }
    })
    .await
}

fn show(told: &Notification, json: bool) -> Result<(), Refusal> {
    if json {
        return output::print(&format!("{}\n", output::json_line(told)?));
    }
    let page = Page::stdout();
    let title = page.paint(style(told), &text::visible(&told.title));
    output::print(&format!("{title}  {}\n", text::visible(&told.body)))
}

async fn read(daemon: &Client, ids: &[u64], session: Option<String>) -> Result<(), Refusal> {
    let mark = MarkRead { session_id: session, read_source: Some(SOURCE.into()) };
    if ids.is_empty() {
        let SomeRead { updated, .. } =
            daemon.call(Method::POST, Route::new("/notifications/read"), &mark).await?;
        return output::done(&format!("{updated} marked as read"));
    }
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    super::for_each(&ids, async |id| {
        let route = Route::new(&format!("/notifications/{id}/read"));
        let OneRead { changed, .. } = daemon.call(Method::POST, route, &mark).await?;
        Ok(if changed { format!("{id} marked as read") } else { format!("{id} was read before") })
    })
    .await
}

/// What is wanted from now on: words for single kinds come on top of what was said of them before.
fn wishes(
    now: &Prefs,
    (on, off, default): (bool, bool, bool),
    only: &[String],
    not: &[String],
) -> Result<SessionWishes, Refusal> {
    if default {
        return Ok(SessionWishes::default());
    }
    let mut wishes = SessionWishes { enabled: now.enabled, events: now.events.clone() };
    if on || off || !only.is_empty() {
        wishes = SessionWishes { enabled: Some(on), ..SessionWishes::default() };
    }
    let named = only.iter().map(|kind| (kind, true)).chain(not.iter().map(|kind| (kind, false)));
    for (name, wanted) in named {
        wishes.events.insert(kind_of(name)?, wanted);
    }
    Ok(wishes)
}

fn kind_of(name: &str) -> Result<Kind, Refusal> {
    Kind::parse(name).ok_or_else(|| {
        let known: Vec<&str> = Kind::ALL.into_iter().map(Kind::name).collect();
        Refusal::new(Fault::Usage, format!("there is no kind of notification `{name}`"))
            .hint(format!("there are {}", known.join(", ")))
    })
}

fn prefs_table(prefs: &Prefs) -> Table {
    let mut table = Table::new([("KIND", Cut::Never), ("TOLD", Cut::Never), ("BECAUSE", Cut::End)]);
    for (kind, told) in &prefs.effective {
        let because = match (prefs.events.contains_key(kind), prefs.enabled) {
            (true, _) => "said of this kind in this session",
            (false, Some(_)) => "said of this session",
            (false, None) => "the settings",
        };
        let (word, style) = if *told { ("yes", Style::Good) } else { ("no", Style::Dim) };
        table.row([kind.name().into(), Cell::new(word, style), because.into()], None);
    }
    table
}

async fn handlers(daemon: &Client, json: bool) -> Result<(), Refusal> {
    let list: HandlerList = daemon.get(Route::new("/notifications/handlers")).await?;
    if json {
        return output::print_json(&list);
    }
    if let Some(fault) = &list.fault {
        output::say(&format!(
            "the file cannot be used, and what it said before holds: {}",
            text::visible(fault)
        ));
    } else if list.handlers.is_empty() {
        output::say(&format!(
            "{} names no handlers; `codepiper notifications handlers --help` shows one",
            list.file
        ));
    }
    if list.handlers.is_empty() {
        return Ok(());
    }
    output::print(&handlers_table(&list.handlers).render(Page::stdout()))
}

fn handlers_table(all: &[HandlerView]) -> Table {
    let mut table = Table::new([
        ("HANDLER", Cut::Never),
        ("ON", Cut::End),
        ("DOES", Cut::End),
        ("WAITING", Cut::Never),
        ("FAILED", Cut::Never),
        ("LAST ERROR", Cut::End),
    ]);
    for handler in all {
        let failed = if handler.failed > 0 { Style::Bad } else { Style::Plain };
        let cells = [
            handler.name.as_str().into(),
            text::visible(&handler.on.join(" ")).as_str().into(),
            text::visible(&handler.does).as_str().into(),
            handler.waiting.to_string().as_str().into(),
            Cell::new(handler.failed.to_string(), failed),
            text::visible(handler.error.as_deref().unwrap_or_default()).as_str().into(),
        ];
        table.row(cells, None);
    }
    table
}

async fn test(daemon: &Client, handler: Option<String>, json: bool) -> Result<(), Refusal> {
    let route = Route::new("/notifications/test");
    let HandlerTests { tests } = daemon.call(Method::POST, route, &TestHandlers { handler }).await?;
    if json {
        output::print_json(&tests)?;
    } else if tests.is_empty() {
        output::say("there are no handlers; `codepiper notifications handlers --help` shows one");
    }
    for test in tests.iter().filter(|_| !json) {
        match &test.error {
            None => output::done(&format!("{} works ({} ms)", test.handler, test.took))?,
            Some(why) => output::say(&format!("{} failed: {}", test.handler, text::visible(why))),
        }
    }
    match tests.iter().filter(|test| test.error.is_some()).count() {
        0 => Ok(()),
        1 => Err(Refusal::new(Fault::Conflict, "1 handler failed")),
        failed => Err(Refusal::new(Fault::Conflict, format!("{failed} handlers failed"))),
    }
}
