//! `codepiper analytics`

use super::audit::quoted;
use super::when::{with_times, workspace};
use crate::args::{AnalyticsArgs, AnalyticsStyle, By, View};
use crate::client::{Client, Route};
use crate::output::{self, Cell, Cut, Details, Page, Style, Table, count, dollars, duration};
use crate::text::{visible, width};
use codepiper_api::Refusal;
use codepiper_api::analytics::{Activity, Amounts, Overview, ProviderSessions, ToolUsage, Usage, UsageRow};
use codepiper_api::knowledge::Repriced;
use codepiper_core::calendar::days_back;
use hyper::Method;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

/// Columns of a bar: enough to compare, and it fits beside the figures.
const BAR: usize = 16;

pub(super) async fn run(args: &AnalyticsArgs, daemon: &Client) -> Result<(), Refusal> {
    match args.view {
        View::Overview => overview(args, daemon).await,
        View::Tokens => usage(args, args.by.unwrap_or(By::Model), daemon).await,
        View::Models => match args.by {
            None | Some(By::Model) => usage(args, By::Model, daemon).await,
            Some(by) => {
                let word = by.words().0;
                Err(Refusal::field("by", format_args!("cannot be `{word}` where models are shown"))
                    .hint(format!("`codepiper analytics tokens --by {word}` sorts by it")))
            }
        },
        View::Reprice => reprice(args, daemon).await,
        View::Costs => usage(args, args.by.unwrap_or(By::Day), daemon).await,
        View::Tools => tools(args, daemon).await,
        View::Activity => activity(args, daemon).await,
        View::Sessions => sessions(args, daemon).await,
    }
}

/// The question with its filters and its range.
fn route(path: &str, args: &AnalyticsArgs) -> Result<Route, Refusal> {
    let workspace = workspace(args.workspace.as_deref())?;
    Ok(in_range(path, args)?
        .with_some("session", args.session.as_deref())
        .with_some("provider", args.provider.as_deref())
        .with_some("model", args.model.as_deref())
        .with_some("workspace", workspace)
        .with_some("limit", args.limit))
}

/// The question with its range alone.
fn in_range(path: &str, args: &AnalyticsArgs) -> Result<Route, Refusal> {
    let mut since = args.since.clone();
    let range = match args.days {
        None => None,
        Some(0) => Some("all"),
        Some(1) => Some("today"),
        Some(7) => Some("7d"),
        Some(30) => Some("30d"),
        Some(days) => {
            let zone = TimeZone::system();
            let first = days_back(days, Timestamp::now(), &zone);
            since = Some(first.to_zoned(zone).date().to_string());
            None
        }
    };
    let route = Route::new(path).with_some("range", range);
    with_times(route, since.as_deref(), args.until.as_deref(), args.tz.as_deref())
}

async fn reprice(args: &AnalyticsArgs, daemon: &Client) -> Result<(), Refusal> {
    let says = [
        ("by", args.by.is_some()),
        ("session", args.session.is_some()),
        ("provider", args.provider.is_some()),
        ("model", args.model.is_some()),
        ("workspace", args.workspace.is_some()),
        ("days", args.days.is_some()),
        ("since", args.since.is_some()),
        ("until", args.until.is_some()),
        ("tz", args.tz.is_some()),
        ("limit", args.limit.is_some()),
    ];
    if let Some((name, _)) = says.into_iter().find(|(_, is_said)| *is_said) {
        return Err(
            Refusal::field(name, "chooses nothing here: everything is priced anew").hint("leave it out")
        );
    }
    let done: Repriced = daemon.call(Method::POST, Route::new("/analytics/reprice"), &()).await?;
    match (args.style(), done.changed) {
        (AnalyticsStyle::Json, _) => output::print_json(&done),
        (AnalyticsStyle::Csv, changed) => output::print(&format!("changed\n{changed}\n")),
        (AnalyticsStyle::Table, 1) => output::done("1 reply costs something else now"),
        (AnalyticsStyle::Table, changed) => {
            output::done(&format!("{changed} replies cost something else now"))
        }
    }
}

fn no_by(args: &AnalyticsArgs, what: &str) -> Result<(), Refusal> {
    match args.by {
        None => Ok(()),
        Some(by) => Err(Refusal::field("by", format_args!("sorts nothing in {what}"))
            .hint(format!("`codepiper analytics tokens --by {}` sorts by it", by.words().0))),
    }
}

async fn overview(args: &AnalyticsArgs, daemon: &Client) -> Result<(), Refusal> {
    no_by(args, "an overview")?;
    let found: Overview = daemon.get(route("/analytics/overview", args)?).await?;
    match args.style() {
        AnalyticsStyle::Json => output::print_json(&found),
        AnalyticsStyle::Csv => {
            let sums = csv_amounts(&found.usage);
            let fields = [
                found.sessions_count,
                found.active_sessions,
                found.total_messages,
                found.tool_calls,
                found.tool_failures,
            ];
            let fields = fields.map(|field| field.to_string()).join(",");
            output::print(&format!(
                "sessions,active,messages,toolCalls,toolFailures,{AMOUNT_NAMES}\n{fields},{sums}\n"
            ))
        }
        AnalyticsStyle::Table => {
            let usage = &found.usage;
            let mut details = Details::default();
            details.add("Time", between(found.range.since, found.range.until));
            details.add(
                "Sessions",
                format!("{} started, {} running", found.sessions_count, found.active_sessions),
            );
            details.add("Messages", count(found.total_messages));
            let tokens = format!(
                "{}: {} input, {} output, {} from the cache, {} into it",
                count(usage.tokens),
                count(usage.input),
                count(usage.output),
                count(usage.cache_read),
                count(usage.cache_write_5m + usage.cache_write_1h),
            );
            details.add("Tokens", tokens);
            details.add("Cache", format!("{:.1} % of what models were given", usage.cache_hit_rate));
            details.add("Cost", estimate(usage));
            let tools = format!("{} calls, {} failed", count(found.tool_calls), count(found.tool_failures));
            details.add("Tools", tools);
            output::print(&details.render(Page::stdout()))
        }
    }
}

/// `2026-03-01 00:00 to 2026-03-07 12:30`
fn between(since: Timestamp, until: Timestamp) -> String {
    let local = |at: Timestamp| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string();
    format!("{} to {}", local(since), local(until))
}

async fn usage(args: &AnalyticsArgs, by: By, daemon: &Client) -> Result<(), Refusal> {
    let found = ask_usage(args, by, daemon).await?;
    match args.style() {
        AnalyticsStyle::Json => output::print_json(&found),
        AnalyticsStyle::Csv => output::print(&usage_csv(&found)),
        AnalyticsStyle::Table => print_usage(&found, by, args.view),
    }
}

async fn ask_usage(args: &AnalyticsArgs, by: By, daemon: &Client) -> Result<Usage, Refusal> {
    daemon.get(route("/analytics/usage", args)?.with("by", by.words().0)).await
}

fn print_usage(found: &Usage, by: By, view: View) -> Result<(), Refusal> {
    if found.total.requests == 0 {
        output::say(&format!("no usage from {}", between(found.range.since, found.range.until)));
        return Ok(());
    }
    output::print(&usage_table(found, by, view, Page::stdout()))
}

/// The most columns of figures, the bar included.
const FIGURES: usize = 10;

/// Those that are shown however narrow the terminal is.
const FIGURES_MIN: usize = 3;

/// Columns that the key and the name of a row may keep figures from being shown.
const KEY_ROOM: usize = 44;
const NAME_ROOM: usize = 20;

/// Rows with their sums, the rest and the total below them. Where there is little room the details go: what has no
/// price is always seen.
fn usage_table(found: &Usage, by: By, view: View, page: Page) -> String {
    let by_cost = view == View::Costs;
    let sized = |amounts: &Amounts| match by_cost {
        true => amounts.cost.unwrap_or_default(),
        false => amounts.tokens as f64,
    };
    let mut lines: Vec<(String, &str, &Amounts, Style)> = Vec::new();
    for row in &found.rows {
        lines.push((named(row, by), row.label.as_deref().unwrap_or_default(), &row.amounts, Style::Plain));
    }
    if found.more > 0 {
        lines.push((format!("{} more", found.more), "", &found.rest, Style::Dim));
    }
    lines.push(("total".into(), "", &found.total, Style::Bold));

    let of = |title: &'static str, text: &dyn Fn(&Amounts) -> String| {
        (title, right(lines.iter().map(|(_, _, sums, _)| text(sums)).collect(), title))
    };
    let tokens = of("TOKENS", &|sums| count(sums.tokens));
    let cost = of("COST", &|sums| dollars(sums.cost));
    let unpriced =
        of("UNPRICED", &|sums| if sums.unpriced > 0 { count(sums.unpriced) } else { String::new() });
    let requests = of("REQUESTS", &|sums| count(sums.requests));
    let mut figures = match by_cost {
        true => vec![cost, unpriced, tokens, requests],
        false => vec![
            tokens,
            cost,
            unpriced,
            requests,
            of("INPUT", &|sums| count(sums.input)),
            of("OUTPUT", &|sums| count(sums.output)),
            of("CACHE READ", &|sums| count(sums.cache_read)),
            of("WRITTEN", &|sums| count(sums.cache_write_5m + sums.cache_write_1h)),
            of("HITS", &|sums| format!("{:.1} %", sums.cache_hit_rate)),
        ],
    };
    let most = found.rows.iter().map(|row| sized(&row.amounts)).fold(0.0, f64::max);
    let mut bars: Vec<String> = found.rows.iter().map(|row| bar(sized(&row.amounts), most, page)).collect();
    bars.resize(lines.len(), String::new());
    figures.push(("", bars));
    if let Some(columns) = page.columns {
        let key = lines.iter().map(|(key, ..)| width(key)).max().unwrap_or(0).min(KEY_ROOM);
        let name = lines.iter().map(|(_, name, ..)| width(name)).max().unwrap_or(0).min(NAME_ROOM);
        let name = if name > 0 { name + 2 } else { 0 };
        fit(&mut figures, columns.saturating_sub(key + name));
    }
    figures.resize(FIGURES, ("", vec![String::new(); lines.len()]));

    let whole = by.is_time() || matches!(by, By::Session | By::Conversation);
    let key = match by {
        By::Folder | By::Repo => Cut::Start,
        _ if whole => Cut::Never,
        _ => Cut::End,
    };
    let name = if by == By::Branch { "OF" } else { "NAME" };
    let mut table = Table::new::<{ FIGURES + 2 }>(std::array::from_fn(|at| match at {
        0 => (by.words().1, key),
        1 => (name, Cut::End),
        at => (figures[at - 2].0, Cut::Never),
    }));
    for (index, (key, name, _, style)) in lines.iter().enumerate() {
        let cells: [Cell; FIGURES + 2] = std::array::from_fn(|at| match at {
            0 => Cell::new(key, *style),
            1 => Cell::new(name, *style),
            at if figures[at - 2].0.is_empty() => Cell::new(&figures[at - 2].1[index], Style::Good),
            at => Cell::new(&figures[at - 2].1[index], *style),
        });
        table.row(cells, None);
    }
    table.render(page)
}

/// Empties columns until the others fit: the details from the right, then the bar, then the replies.
fn fit(figures: &mut [(&'static str, Vec<String>)], room: usize) {
    let taken = |texts: &[String]| match texts.iter().map(|text| width(text)).max().unwrap_or(0) {
        0 => 0,
        columns => columns + 2,
    };
    let bar = figures.len() - 1;
    for next in (FIGURES_MIN + 1..bar).rev().chain([bar, FIGURES_MIN]) {
        if figures.iter().map(|(_, texts)| taken(texts)).sum::<usize>() <= room {
            return;
        }
        figures[next].1.iter_mut().for_each(String::clear);
    }
}

/// What a row is called; what has no name is told.
fn named(row: &UsageRow, by: By) -> String {
    match (&row.key, by) {
        (Some(key), By::Folder | By::Repo) => output::with_tilde(key, std::env::var("HOME").ok().as_deref()),
        (Some(key), _) => key.clone(),
        (None, By::Session) => "(elsewhere)".into(),
        (None, By::Branch) => "(no branch)".into(),
        (None, _) => "(no repository)".into(),
    }
}

async fn sessions(args: &AnalyticsArgs, daemon: &Client) -> Result<(), Refusal> {
    no_by(args, "sessions")?;
    let is_all = [&args.session, &args.provider, &args.model, &args.workspace].iter().all(|of| of.is_none());
    // How many were started is known of all of them only.
    let providers: Vec<ProviderSessions> = match is_all {
        true => daemon.get(in_range("/analytics/sessions-by-provider", args)?).await?,
        false => Vec::new(),
    };
    let found = ask_usage(args, By::Session, daemon).await?;
    match args.style() {
        AnalyticsStyle::Json => {
            #[derive(Serialize)]
            struct Both {
                providers: Vec<ProviderSessions>,
                usage: Usage,
            }
            output::print_json(&Both { providers, usage: found })
        }
        AnalyticsStyle::Csv => output::print(&usage_csv(&found)),
        AnalyticsStyle::Table => {
            let mut table =
                Table::new([("PROVIDER", Cut::End), ("SESSIONS STARTED", Cut::Never), ("", Cut::Never)]);
            let page = Page::stdout();
            let most = providers.iter().map(|of| of.count).max().unwrap_or_default();
            let counts = right(providers.iter().map(|of| count(of.count)).collect(), "SESSIONS STARTED");
            for (of, started) in providers.iter().zip(counts) {
                let bar = Cell::new(bar(of.count as f64, most as f64, page), Style::Good);
                table.row([Cell::from(&of.provider), started.into(), bar], None);
            }
            if !providers.is_empty() {
                output::print(&format!("{}\n", table.render(page)))?;
            } else if is_all {
                output::say("no sessions were started");
            }
            print_usage(&found, By::Session, args.view)
        }
    }
}

async fn tools(args: &AnalyticsArgs, daemon: &Client) -> Result<(), Refusal> {
    no_by(args, "tools")?;
    let found: Vec<ToolUsage> = daemon.get(route("/analytics/tool-usage", args)?).await?;
    match args.style() {
        AnalyticsStyle::Json => output::print_json(&found),
        AnalyticsStyle::Csv => {
            output::print("tool,count,ok,failed,refused,interrupted,failureRate,averageMs,longestMs\n")?;
            found.iter().try_for_each(|tool| {
                let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
                let fields = [
                    quoted(&visible(&tool.tool)),
                    tool.count.to_string(),
                    tool.ok.to_string(),
                    tool.failed.to_string(),
                    tool.refused.to_string(),
                    tool.interrupted.to_string(),
                    number(tool.failure_rate),
                    number(tool.average_ms),
                    tool.longest_ms.map(|ms| ms.to_string()).unwrap_or_default(),
                ];
                output::print(&format!("{}\n", fields.join(",")))
            })
        }
        AnalyticsStyle::Table if found.is_empty() => {
            output::say("no tools were called");
            Ok(())
        }
        AnalyticsStyle::Table => output::print(&tool_table(&found, Page::stdout())),
    }
}

fn tool_table(found: &[ToolUsage], page: Page) -> String {
    let most = found.iter().map(|tool| tool.count).max().unwrap_or_default();
    let column =
        |of: &dyn Fn(&ToolUsage) -> String, title: &str| right(found.iter().map(of).collect(), title);
    let some = |number: u64| if number > 0 { count(number) } else { String::new() };
    let uses = column(&|tool| count(tool.count), "USES");
    let failed = column(&|tool| some(tool.failed), "FAILED");
    let rate = column(
        &|tool| {
            tool.failure_rate.filter(|_| tool.failed > 0).map_or(String::new(), |rate| format!("{rate:.1} %"))
        },
        "OF ENDED",
    );
    let refused = column(&|tool| some(tool.refused), "REFUSED");
    let interrupted = column(&|tool| some(tool.interrupted), "INTERRUPTED");
    let average = column(&|tool| tool.average_ms.map_or(String::new(), |ms| duration(ms as u64)), "AVERAGE");
    let longest = column(&|tool| tool.longest_ms.map_or(String::new(), duration), "LONGEST");
    let titles = ["USES", "FAILED", "OF ENDED", "REFUSED", "INTERRUPTED", "AVERAGE", "LONGEST", ""]
        .map(|title| (title, Cut::Never));
    let [a, b, c, d, e, f, g, h] = titles;
    let mut table = Table::new([("TOOL", Cut::End), a, b, c, d, e, f, g, h]);
    for (index, tool) in found.iter().enumerate() {
        let cell = |texts: &Vec<String>, style| Cell::new(&texts[index], style);
        let row = [
            Cell::from(&tool.tool),
            cell(&uses, Style::Plain),
            cell(&failed, Style::Bad),
            cell(&rate, Style::Bad),
            cell(&refused, Style::Warn),
            cell(&interrupted, Style::Warn),
            cell(&average, Style::Plain),
            cell(&longest, Style::Plain),
            Cell::new(bar(tool.count as f64, most as f64, page), Style::Good),
        ];
        table.row(row, None);
    }
    table.render(page)
}

async fn activity(args: &AnalyticsArgs, daemon: &Client) -> Result<(), Refusal> {
    let by = args.by.unwrap_or(By::Day);
    if !by.is_time() {
        let refusal = format_args!("cannot be `{}` where activity is shown", by.words().0);
        return Err(Refusal::field("by", refusal).hint("activity is sorted by hour, day, week or month"));
    }
    let found: Vec<Activity> =
        daemon.get(route("/analytics/activity-timeline", args)?.with("every", by.words().0)).await?;
    match args.style() {
        AnalyticsStyle::Json => output::print_json(&found),
        AnalyticsStyle::Csv => {
            output::print("date,start,user,assistant,total\n")?;
            found.iter().try_for_each(|piece| {
                let Activity { date, start, user_messages, assistant_messages, total } = piece;
                output::print(&format!("{date},{start},{user_messages},{assistant_messages},{total}\n"))
            })
        }
        AnalyticsStyle::Table => {
            let page = Page::stdout();
            let most = found.iter().map(|piece| piece.total).max().unwrap_or_default();
            let column = |of: fn(&Activity) -> u64, title: &str| {
                right(found.iter().map(|piece| count(of(piece))).collect(), title)
            };
            let user = column(|piece| piece.user_messages, "USER");
            let assistant = column(|piece| piece.assistant_messages, "ASSISTANT");
            let total = column(|piece| piece.total, "TOTAL");
            let figure = |title| (title, Cut::Never);
            let mut table = Table::new([
                figure(by.words().1),
                figure("USER"),
                figure("ASSISTANT"),
                figure("TOTAL"),
                figure(""),
            ]);
            for (index, piece) in found.iter().enumerate() {
                let cell = |texts: &Vec<String>| Cell::from(&texts[index]);
                let bar = Cell::new(bar(piece.total as f64, most as f64, page), Style::Good);
                table.row([Cell::from(&piece.date), cell(&user), cell(&assistant), cell(&total), bar], None);
            }
            output::print(&table.render(page))
        }
    }
}

/// The names of the fields of [`csv_amounts`].
const AMOUNT_NAMES: &str =
    "requests,tokens,input,output,reasoning,cacheRead,cacheWrite5m,cacheWrite1h,cacheHitRate,cost,unpriced";

fn csv_amounts(sums: &Amounts) -> String {
    let Amounts { requests, tokens, input, output, reasoning, cache_read, .. } = sums;
    // What has no price has an empty field, which no spreadsheet adds up as a zero that is known.
    let cost = sums.cost.map(|cost| format!("{cost:.6}")).unwrap_or_default();
    format!(
        "{requests},{tokens},{input},{output},{reasoning},{cache_read},{},{},{},{cost},{}",
        sums.cache_write_5m, sums.cache_write_1h, sums.cache_hit_rate, sums.unpriced
    )
}

fn usage_csv(found: &Usage) -> String {
    let mut out = format!("{},name,provider,start,{AMOUNT_NAMES}\n", found.by);
    for row in &found.rows {
        let text = |text: &Option<String>| quoted(&visible(text.as_deref().unwrap_or_default()));
        let start = row.start.map(|start| start.to_string()).unwrap_or_default();
        let fields =
            [text(&row.key), text(&row.label), text(&row.provider), start, csv_amounts(&row.amounts)];
        out.push_str(&fields.join(","));
        out.push('\n');
    }
    out
}

/// Figures so that their ends stand below each other.
fn right(texts: Vec<String>, title: &str) -> Vec<String> {
    let columns = texts.iter().map(|text| width(text)).max().unwrap_or(0);
    let columns = if columns == 0 { 0 } else { columns.max(width(title)) };
    texts.into_iter().map(|text| format!("{text:>columns$}")).collect()
}

/// A bar in eighths of a column; none where no terminal shows it.
fn bar(value: f64, most: f64, page: Page) -> String {
    if page.columns.is_none() || most <= 0.0 || value <= 0.0 {
        return String::new();
    }
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    // What is there at all is seen.
    let eighths = ((value / most * (BAR * 8) as f64).round() as usize).clamp(1, BAR * 8);
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

fn estimate(sums: &Amounts) -> String {
    match (sums.cost, sums.unpriced) {
        (None, tokens) => format!("unknown: no price is known for these {} tokens", count(tokens)),
        (cost, 0) => format!("{} by list prices", dollars(cost)),
        (cost, tokens) => {
            format!("{} by list prices, without {} tokens that have no price", dollars(cost), count(tokens))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TERMINAL: Page = Page { columns: Some(200), colour: false };

    fn found() -> Usage {
        let sums = |tokens: u64, cost: Option<f64>, unpriced: u64| {
            json!({"requests": 3, "tokens": tokens, "input": tokens, "output": 0, "reasoning": 0, "cacheRead": 0,
                   "cacheWrite5m": 0, "cacheWrite1h": 0, "cacheHitRate": 0.0, "cost": cost, "unpriced": unpriced})
        };
        let row = |key: &str, amounts: serde_json::Value| {
            let mut row = json!({"key": key, "provider": "claude-code"});
            row.as_object_mut().unwrap().extend(amounts.as_object().unwrap().clone());
            row
        };
        let rows =
            [row("big\u{1b}[2J", sums(1_200_000, Some(12.345), 0)), row("odd", sums(1_500, None, 1_500))];
        serde_json::from_value(json!({
            "since": "2026-03-01T00:00:00Z", "until": "2026-03-08T00:00:00Z", "by": "model", "rows": rows,
            "more": 2, "rest": sums(12, Some(0.001), 0), "total": sums(1_201_512, Some(12.346), 1_500)
        }))
        .unwrap()
    }

    #[test]
    fn tokens_without_a_price_are_shown_as_such() {
        let expected = "\
MODEL   COST      UNPRICED  TOKENS  REQUESTS
big       $12.35             1.20M         3  ████████████████
odd     unpriced     1,500   1,500         3
2 more    <$0.01                12         3
total     $12.35     1,500   1.20M         3
";
        assert_eq!(usage_table(&found(), By::Model, View::Costs, TERMINAL), expected);
    }

    #[test]
    fn on_a_narrow_terminal_the_price_stays_and_the_details_go() {
        let expected = "\
MODEL   TOKENS  COST      UNPRICED  REQUESTS
big      1.20M    $12.35                   3
odd      1,500  unpriced     1,500         3
2 more      12    <$0.01                   3
total    1.20M    $12.35     1,500         3
";
        let shown = |columns| {
            usage_table(&found(), By::Model, View::Tokens, Page { columns: Some(columns), colour: false })
        };
        assert_eq!(shown(61), expected);
        assert!(shown(62).contains('█') && !shown(62).contains("INPUT"), "{}", shown(62));
        assert!(shown(40).starts_with("MODEL   TOKENS  COST      UNPRICED\n"), "{}", shown(40));
        assert!(shown(99).contains("WRITTEN") && !shown(99).contains("HITS"), "{}", shown(99));
        assert!(shown(105).contains("HITS") && shown(105).contains('█'), "{}", shown(105));
    }

    #[test]
    fn bars_are_for_terminals() {
        let bars = |page| usage_table(&found(), By::Model, View::Tokens, page).matches(['█', '▏']).count();
        assert_eq!(bars(TERMINAL), BAR + 1);
        assert_eq!(bars(Page { columns: None, colour: false }), 0);
        let check = |value: f64, most: f64, expected: &str| assert_eq!(bar(value, most, TERMINAL), expected);
        check(0.0, 10.0, "");
        check(0.001, 10.0, "▏");
        check(5.0, 10.0, "████████");
        check(1.0, 3.0, "█████▍");
        check(0.0, 0.0, "");
    }

    #[test]
    fn figures_are_as_long_as_they_must_be() {
        let check = |number: u64, expected: &str| assert_eq!(count(number), expected);
        check(0, "0");
        check(999, "999");
        check(9_876, "9,876");
        check(12_345, "12.3k");
        check(999_499, "999k");
        check(999_500, "1.00M");
        check(4_560_000, "4.56M");
        check(123_400_000, "123M");
        check(7_000_000_000, "7.00G");
        assert_eq!([duration(45), duration(1_240), duration(200_000)], ["45 ms", "1.2 s", "3m 20s"]);
    }

    #[test]
    fn csv_has_empty_fields_for_what_is_not_known() {
        let expected = "\
model,name,provider,start,requests,tokens,input,output,reasoning,cacheRead,cacheWrite5m,cacheWrite1h,cacheHitRate,cost,unpriced
big,,claude-code,,3,1200000,1200000,0,0,0,0,0,0,12.345000,0
odd,,claude-code,,3,1500,1500,0,0,0,0,0,0,,1500
";
        assert_eq!(usage_csv(&found()), expected);
    }

    #[test]
    fn an_estimate_says_what_is_not_in_it() {
        let sums = |cost, unpriced| Amounts { cost, unpriced, ..Amounts::default() };
        assert_eq!(estimate(&sums(Some(1.0), 0)), "$1.00 by list prices");
        assert_eq!(
            estimate(&sums(Some(1.0), 50)),
            "$1.00 by list prices, without 50 tokens that have no price"
        );
        assert_eq!(estimate(&sums(None, 50)), "unknown: no price is known for these 50 tokens");
    }
}
