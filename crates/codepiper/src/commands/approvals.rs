//! `codepiper approvals`

use super::{RETURN_TRY_EVERY, each_message, not_understood, until_interrupted, when_back};
use crate::args::{ApprovalsArgs, ApprovalsCommand};
use crate::client::{Client, Route};
use crate::output::{self, Cell, Cut, Details, Page, Style, Table, ago};
use crate::text;
use codepiper_api::approvals::{AnswerApproval, Approval, ApprovalBody, ApprovalList, Word};
use codepiper_api::events::Event;
use codepiper_api::{Fault, Refusal};
use codepiper_core::approval::{ApprovalId, Reach, Standing};
use codepiper_core::gate::Wants;
use hyper::Method;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::io::IsTerminal;

pub(super) async fn run(args: ApprovalsArgs, daemon: &Client) -> Result<(), Refusal> {
    let json = |format: crate::args::Format| format.json() || args.format.json();
    match args.command {
        None => list(&fetch(daemon, None, "open").await?, args.format.json()),
        Some(ApprovalsCommand::List { all, session, format }) => {
            let state = if all { "all" } else { "open" };
            list(&fetch(daemon, session.as_deref(), state).await?, json(format))
        }
        Some(ApprovalsCommand::Show { id, format }) => {
            let approval = find(daemon, &id).await?;
            match json(format) {
                true => output::print_json(&approval),
                false => output::print(&details(&approval, Page::stdout(), Timestamp::now())),
            }
        }
        Some(ApprovalsCommand::Allow { id, session, always, yes, format }) => {
            let reach = match (session, always) {
                (_, true) => Reach::Always,
                (true, _) => Reach::Session,
                _ => Reach::Once,
            };
            let approval = find(daemon, &id).await?;
            if reach != Reach::Once && !yes {
                confirm_rule(&approval, reach)?;
            }
            let answer = AnswerApproval { reach, ..plain(&approval, Word::Allow) };
            tell(send(daemon, &approval, &answer).await?, json(format))
        }
        Some(ApprovalsCommand::Deny { id, note, format }) => {
            let approval = find(daemon, &id).await?;
            let answer = AnswerApproval { note, ..plain(&approval, Word::Deny) };
            tell(send(daemon, &approval, &answer).await?, json(format))
        }
        Some(ApprovalsCommand::Answer { id, answers, format }) => {
            let approval = find(daemon, &id).await?;
            let answers = Some(read_answers(&approval, &answers)?);
            let answer = AnswerApproval { answers, ..plain(&approval, Word::Allow) };
            tell(send(daemon, &approval, &answer).await?, json(format))
        }
        Some(ApprovalsCommand::Watch(format)) => watch(daemon, json(format)).await,
    }
}

async fn fetch(daemon: &Client, session: Option<&str>, state: &str) -> Result<Vec<Approval>, Refusal> {
    let route = Route::new("/approvals").with("state", state).with_some("session", session);
    let ApprovalList { approvals } = daemon.get(route).await?;
    Ok(approvals)
}

/// The approval with this id, or the only one that waits in this session.
async fn find(daemon: &Client, id: &str) -> Result<Approval, Refusal> {
    if let Ok(id) = ApprovalId::parse(id) {
        let ApprovalBody { approval } = daemon.get(Route::new(&format!("/approvals/{id}"))).await?;
        return Ok(approval);
    }
    let mut open = fetch(daemon, Some(id), "open").await?;
    match (open.len(), open.pop()) {
        (1, Some(only)) => Ok(only),
        (0, _) | (_, None) => Err(Refusal::new(Fault::NotFound, format!("nothing waits in session `{id}`"))
            .hint("`codepiper approvals` lists what waits elsewhere")),
        (several, Some(last)) => {
            let mut ids: Vec<String> = open.iter().map(|approval| approval.id.to_string()).collect();
            ids.push(last.id.to_string());
            Err(Refusal::new(Fault::Ambiguous, format!("{several} approvals wait in session `{id}`"))
                .hint(format!("say which: {}", ids.join(", "))))
        }
    }
}

/// Shows the rule that would be written, and asks.
fn confirm_rule(approval: &Approval, reach: Reach) -> Result<(), Refusal> {
    let Some(rule) = &approval.always_rule else {
        let refusal = format!(
            "no rule can be made of approval {}: the call holds a secret, or is too long",
            approval.id
        );
        return Err(
            Refusal::new(Fault::Conflict, refusal).hint("without --session and --always it is allowed once")
        );
    };
    let shown = serde_json::to_string(rule).map_err(not_understood)?;
    if !std::io::stdin().is_terminal() {
        return Err(Refusal::new(Fault::Usage, format!("this would write a rule: {shown}"))
            .hint("--yes writes it without a question"));
    }
    let whom = if reach == Reach::Always { "every session" } else { "this session" };
    output::say(&format!("a rule for {whom}:\n  {}", text::visible(&shown)));
    eprint!("write it? [y/N] ");
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    match read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes") {
        true => Ok(()),
        false => Err(Refusal::new(Fault::Conflict, "nothing was answered and no rule was written")),
    }
}

/// An answer to what was shown, and to nothing else.
fn plain(approval: &Approval, decision: Word) -> AnswerApproval {
    AnswerApproval {
        decision,
        reach: Reach::Once,
        note: None,
        answers: None,
        digest: Some(approval.digest.clone()),
    }
}

async fn send(daemon: &Client, approval: &Approval, answer: &AnswerApproval) -> Result<Approval, Refusal> {
    let route = Route::new(&format!("/approvals/{}/answer", approval.id));
    let ApprovalBody { approval } = daemon.call(Method::POST, route, answer).await?;
    Ok(approval)
}

fn tell(approval: Approval, json: bool) -> Result<(), Refusal> {
    if json {
        return output::print_json(&approval);
    }
    let word = match approval.state {
        Standing::Allowed => "allowed",
        Standing::Denied => "denied",
        _ => "answered",
    };
    let reach = match approval.reach {
        Some(Reach::Session) => ", and the same call again in this session",
        Some(Reach::Always) => ", and the same call again in every session",
        Some(Reach::Once) | None => "",
    };
    output::done(&format!("{} {word}{reach}: {}", approval.id, summary(&approval)))
}

/// The answers by question: the n-th word answers the n-th question, a number takes that option.
fn read_answers(approval: &Approval, typed: &[String]) -> Result<Map<String, Value>, Refusal> {
    let questions = approval.args.get("questions").and_then(Value::as_array);
    let questions = questions.filter(|_| approval.wants == Wants::Answers).ok_or_else(|| {
        Refusal::new(Fault::Usage, format!("approval {} asks no question", approval.id))
            .hint(format!("`codepiper approvals allow {}` says yes to it", approval.id))
    })?;
    if questions.len() != typed.len() {
        let (asked, given) = (questions.len(), typed.len());
        return Err(Refusal::new(Fault::Usage, format!("{asked} questions are asked, {given} answered"))
            .hint(format!("`codepiper approvals show {}` has them", approval.id)));
    }
    let mut answers = Map::new();
    for (question, typed) in questions.iter().zip(typed) {
        let text = question.get("question").and_then(Value::as_str).unwrap_or_default();
        let labels: Vec<&str> = question
            .get("options")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|option| option.get("label")?.as_str())
            .collect();
        let chosen = match typed.parse::<usize>() {
            Ok(number) if !labels.is_empty() => {
                let label = number.checked_sub(1).and_then(|index| labels.get(index));
                label.copied().ok_or_else(|| {
                    Refusal::new(Fault::Usage, format!("`{text}` has no option {number}"))
                        .hint(format!("its options are 1 to {}", labels.len()))
                })?
            }
            _ => typed,
        };
        answers.insert(text.to_owned(), json!(chosen));
    }
    Ok(answers)
}

fn list(approvals: &[Approval], json: bool) -> Result<(), Refusal> {
    if json {
        return output::print_json(&approvals);
    }
    if approvals.is_empty() {
        output::say("nothing waits for you");
        return Ok(());
    }
    output::print(&table(approvals, Timestamp::now()).render(Page::stdout()))
}

fn table(approvals: &[Approval], now: Timestamp) -> Table {
    let mut table = Table::new([
        ("ID", Cut::Never),
        ("SESSION", Cut::End),
        ("STATE", Cut::Never),
        ("ASKED", Cut::Never),
        ("WHAT", Cut::End),
    ]);
    for approval in approvals {
        let style = if approval.state == Standing::Open { Style::Bold } else { Style::Dim };
        table.row(
            [
                Cell::new(approval.id.to_string(), style),
                approval.session_name.as_deref().unwrap_or_default().into(),
                Cell::new(approval.state.word(), style),
                ago(approval.asked_at, now).as_str().into(),
                summary(approval).as_str().into(),
            ],
            None,
        );
    }
    table
}

/// What it is about, in a line.
fn summary(approval: &Approval) -> String {
    let first = approval.shown.first().map(String::as_str).unwrap_or_default();
    let more = if approval.shown.len() > 1 { " …" } else { "" };
    match approval.wants {
        Wants::Permission => text::visible(&format!("{} {first}{more}", approval.tool)),
        Wants::Answers => text::visible(&format!("asks: {first}{more}")),
        Wants::Plan => text::visible(&format!("plan: {first}{more}")),
    }
}

fn details(approval: &Approval, page: Page, now: Timestamp) -> String {
    let mut details = Details::default();
    let session = match &approval.session_name {
        Some(name) => format!("{} ({name})", approval.session_id),
        None => approval.session_id.to_string(),
    };
    details.styled("approval", approval.id.to_string(), Style::Bold);
    details.add("session", session);
    details.add("agent", approval.agent.clone());
    details.add("state", approval.state.word().to_owned());
    details.add("asked", format!("{}: {}", ago(approval.asked_at, now), approval.why));
    details.add(
        "expires",
        approval.expires_at.filter(|_| approval.state == Standing::Open).map(|at| {
            output::short(at.duration_since(now)).map_or("now".into(), |left| format!("in {left}"))
        }),
    );
    details.add("closed", approval.closed_by.clone());
    details.add("note", approval.note.clone());
    details.add("tool", approval.tool.clone());
    let mut shown = details.render(page);
    shown.push('\n');
    for line in &approval.shown {
        let style = match (approval.tool.as_str(), line.chars().next()) {
            ("Edit" | "Write" | "MultiEdit", Some('+')) => Style::Good,
            ("Edit" | "MultiEdit", Some('-')) => Style::Bad,
            _ => Style::Plain,
        };
        shown.push_str(&format!("  {}\n", page.paint(style, &text::visible(line))));
    }
    if approval.state == Standing::Open {
        let id = &approval.id;
        let ways = match approval.wants {
            Wants::Answers => format!("codepiper approvals answer {id} 1"),
            Wants::Permission | Wants::Plan => {
                format!("codepiper approvals allow {id}\n  codepiper approvals deny {id} --note \"…\"")
            }
        };
        shown.push_str(&format!("\n  {ways}\n"));
    }
    shown
}

/// Prints what waits, then what comes.
async fn watch(daemon: &Client, json: bool) -> Result<(), Refusal> {
    let mut last = 0;
    let mut told = Vec::new();
    until_interrupted(async {
        loop {
            // The stream first: what is opened while the list is read comes twice, and is told once.
            let route = Route::new("/events/stream").with("source", "policy");
            let route = if last > 0 { route.with("after", last) } else { route };
            let stream = when_back(async || daemon.stream(route.clone()).await).await?;
            for approval in fetch(daemon, None, "open").await? {
                if !told.contains(&approval.id) {
                    show(&approval, json)?;
                    told.push(approval.id);
                }
            }
            each_message(stream, async |event: Event| {
                last = event.id;
                heed(&event, &mut told, daemon, json).await
            })
            .await?;
            tokio::time::sleep(RETURN_TRY_EVERY).await;
        }
    })
    .await
}

async fn heed(event: &Event, told: &mut Vec<ApprovalId>, daemon: &Client, json: bool) -> Result<(), Refusal> {
    let id = event.payload["approval"].as_str().and_then(|id| ApprovalId::parse(id).ok());
    let Some(id) = id else { return Ok(()) };
    match event.kind.as_str() {
        "approval-opened" if !told.contains(&id) => {}
        "approval-closed" => told.retain(|open| *open != id),
        _ => return Ok(()),
    }
    let ApprovalBody { approval } = daemon.get(Route::new(&format!("/approvals/{id}"))).await?;
    if event.kind == "approval-opened" {
        told.push(id);
    }
    show(&approval, json)
}

fn show(approval: &Approval, json: bool) -> Result<(), Refusal> {
    if json {
        let line = serde_json::to_string(approval).map_err(not_understood)?;
        return output::print(&format!("{line}\n"));
    }
    let page = Page::stdout();
    let name = approval.session_name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    let line = match approval.state {
        Standing::Open => page.paint(Style::Bold, &format!("{}{name}  {}", approval.id, summary(approval))),
        state => {
            let by = approval.closed_by.as_deref().unwrap_or("nobody");
            page.paint(Style::Dim, &format!("{}{name}  {} by {by}", approval.id, state.word()))
        }
    };
    output::print(&format!("{line}\n"))
}
