//! `codepiper audit`

use super::{RETURN_TRY_EVERY, until_interrupted, when_back};
use crate::args::{AuditArgs, AuditCommand, AuditStyle};
use crate::client::{Client, Route};
use crate::output::{self, Page, Style};
use crate::text;
use codepiper_api::audit::{AUDIT_MAX, AUDIT_WAIT_MAX, Entry, EntryPage, Verified};
use codepiper_api::{Fault, Refusal};
use jiff::tz::TimeZone;
use serde_json::Value;

/// Entries for people without `-n`: a few screens.
const TAIL: u64 = 50;

/// Characters of a call's id in a line. With eight of them two calls of a session are hardly ever taken for one.
const CALL_SHOWN: usize = 8;

pub(super) async fn run(args: AuditArgs, daemon: &Client) -> Result<(), Refusal> {
    if let Some(AuditCommand::Verify(format)) = args.command {
        return verify(daemon, format.json()).await;
    }
    let style = args.style();
    let wanted = args.tail.unwrap_or(if style == AuditStyle::Table { TAIL } else { u64::MAX });
    let entries = last(&args, wanted, daemon).await?;
    let mut seen = entries.last().map_or(0, |entry| entry.id);
    if args.follow {
        if style == AuditStyle::Csv {
            output::print(CSV_HEAD)?;
        }
        for entry in &entries {
            print_one(entry, style)?;
        }
        if seen == 0 {
            // Nothing fits so far: only what is new counts from here on.
            let newest: EntryPage =
                daemon.get(Route::new("/audit").with("last", true).with("limit", 1)).await?;
            seen = newest.entries.last().map_or(0, |entry| entry.id);
        }
        return until_interrupted(follow(&args, seen, style, daemon)).await;
    }
    match style {
        AuditStyle::Json => output::print_json(&entries),
        AuditStyle::Csv => {
            output::print(CSV_HEAD)?;
            entries.iter().try_for_each(|entry| print_one(entry, style))
        }
        AuditStyle::Table => {
            if entries.is_empty() {
                output::say("no entries");
            }
            entries.iter().try_for_each(|entry| print_one(entry, style))
        }
    }
}

fn route(args: &AuditArgs) -> Route {
    Route::new("/audit")
        .with_some("session", args.id.as_deref())
        .with_some("decision", args.decision.as_deref())
        .with_some("kind", args.kind.as_deref())
        .with_some("call", args.call.as_deref())
}

/// The last so many, oldest first.
async fn last(args: &AuditArgs, wanted: u64, daemon: &Client) -> Result<Vec<Entry>, Refusal> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut before: Option<u64> = None;
    while (entries.len() as u64) < wanted {
        let limit = (wanted - entries.len() as u64).min(u64::from(AUDIT_MAX));
        let page = route(args).with("last", true).with("limit", limit).with_some("before", before);
        let page: EntryPage = daemon.get(page).await?;
        before = page.entries.first().map(|entry| entry.id);
        entries.splice(0..0, page.entries);
        if !page.has_more || before.is_none() {
            break;
        }
    }
    Ok(entries)
}

async fn follow(args: &AuditArgs, mut seen: u64, style: AuditStyle, daemon: &Client) -> Result<(), Refusal> {
    loop {
        let page = route(args).with("after", seen).with("wait", AUDIT_WAIT_MAX);
        let page: EntryPage = when_back(async || daemon.get(page.clone()).await).await?;
        for entry in &page.entries {
            print_one(entry, style)?;
            seen = entry.id;
        }
        if page.entries.is_empty() {
            tokio::time::sleep(RETURN_TRY_EVERY).await;
        }
    }
}

fn print_one(entry: &Entry, style: AuditStyle) -> Result<(), Refusal> {
    match style {
        AuditStyle::Table => {
            output::print(&format!("{}\n", line(entry, &TimeZone::system(), Page::stdout())))
        }
        AuditStyle::Csv => output::print(&csv(entry)),
        AuditStyle::Json => {
            let json = serde_json::to_string(entry)
                .map_err(|error| Refusal::new(Fault::Internal, format!("the entry is no JSON: {error}")))?;
            output::print(&format!("{json}\n"))
        }
    }
}

/// `14:03:01 6c0494f2  deny   Bash rm -rf /  policy `guard`: no mass deletes`
fn line(entry: &Entry, zone: &TimeZone, page: Page) -> String {
    let time = entry.timestamp.to_zoned(zone.clone()).strftime("%m-%d %H:%M:%S").to_string();
    let decision = entry.decision.as_deref().unwrap_or(&entry.kind);
    let style = match decision {
        "allow" | "allowed" | "answered" | "ran" => Style::Good,
        "deny" | "denied" | "failed" => Style::Bad,
        "ask" => Style::Bold,
        _ => Style::Dim,
    };
    let session = entry.session_id.as_ref().map(ToString::to_string).unwrap_or_default();
    let said = format!("{} {}", entry.tool.as_deref().unwrap_or_default(), about(entry));
    let more = [why(entry), call(entry)].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
    let text = format!("{said}  {}", page.paint(Style::Dim, &text::visible(&more.join("  "))));
    format!(
        "{} {session:<8} {}  {}",
        page.paint(Style::Dim, &time),
        page.paint(style, &format!("{decision:<11}")),
        text.trim()
    )
}

/// What the call is about, in a line.
fn about(entry: &Entry) -> String {
    if let Some(change) = entry.body["change"].as_str() {
        let names = ["name", "names", "set", "policy", "session"];
        let name = names.iter().find_map(|name| match &entry.body[name] {
            Value::String(name) => Some(name.clone()),
            Value::Array(names) => {
                Some(names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
            }
            _ => None,
        });
        return text::clip(&text::visible(&format!("{change}: {}", name.unwrap_or_default())), 100);
    }
    if let Some(policy) = entry.body["policy"].as_str().filter(|_| !entry.body["remembered"].is_null()) {
        return format!("an answer became a rule of policy {}", text::visible(policy));
    }
    if let Some(shown) = entry.body["shown"].as_str() {
        return text::clip(&text::visible(shown), 100);
    }
    let args = &entry.body["args"];
    let named = ["command", "file_path", "path", "url", "pattern", "query"];
    let text = named.iter().find_map(|name| args.get(name)?.as_str().map(str::to_owned));
    let text = text.unwrap_or_else(|| match args {
        Value::Null => entry.body["approval"].as_str().unwrap_or_default().to_owned(),
        other => other.to_string(),
    });
    text::clip(&text::visible(&text.split_whitespace().collect::<Vec<_>>().join(" ")), 100)
}

/// The end of the call's id, by which its entries are recognised, and found with `--call`.
fn call(entry: &Entry) -> String {
    let id = entry.body["call"].as_str().unwrap_or_default();
    let begin = id.char_indices().rev().nth(CALL_SHOWN - 1).map_or(0, |(at, _)| at);
    if id.is_empty() { String::new() } else { format!("call {}", &id[begin..]) }
}

/// How a call came out.
fn came_out(entry: &Entry) -> String {
    let took = |name: &str| Some(entry.body[name].as_u64()?.to_string());
    let took = match (took("durationMs"), took("sinceDecisionMs")) {
        (Some(ms), _) => format!("took {ms} ms"),
        (None, Some(ms)) => format!("{ms} ms after the decision"),
        (None, None) => String::new(),
    };
    let interrupted = if entry.body["interrupted"] == true { "interrupted" } else { "" };
    let error = entry.body["reason"].as_str().and_then(|error| error.lines().next()).unwrap_or_default();
    let told = [took.as_str(), interrupted, error];
    told.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Who or what decided.
fn why(entry: &Entry) -> String {
    if entry.kind == "outcome" {
        return came_out(entry);
    }
    let text = |pointer: &str| entry.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let by = match &entry.body["by"] {
        Value::String(by) => format!("by {by}"),
        Value::Object(by) => match by.iter().next() {
            Some((name, Value::String(what))) => format!("{name}: {what}"),
            Some((name, what)) => format!("{name}: {what}"),
            None => String::new(),
        },
        _ => String::new(),
    };
    match (text("/reason"), text("/note")) {
        ("", "") => by,
        ("", note) => format!("{by}: {note}"),
        (reason, _) => reason.to_owned(),
    }
}

async fn verify(daemon: &Client, json: bool) -> Result<(), Refusal> {
    let found: Verified = daemon.get(Route::new("/audit/verify")).await?;
    if json {
        output::print_json(&found)?;
    }
    if let Some(broken) = &found.broken {
        let refusal = format!("the audit log does not hold from entry {} on: {}", broken.id, broken.why);
        return Err(Refusal::new(Fault::Conflict, refusal)
            .hint("a backup from before shows what was there; `codepiper audit` shows what is"));
    }
    match (&found.head, json) {
        (_, true) => Ok(()),
        (None, _) => output::done("the audit log is empty"),
        (Some(head), _) => {
            let entries = match found.entries {
                1 => "1 entry holds".to_owned(),
                several => format!("{several} entries hold"),
            };
            output::done(&format!("{entries}; the last is {} with hash {}", head.id, head.hash))
        }
    }
}

const CSV_HEAD: &str =
    "id,timestamp,session,kind,tool,decision,args,by,reason,digest,call,durationMs,sinceDecisionMs,hash\n";

fn csv(entry: &Entry) -> String {
    let json = |name: &str| match &entry.body[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let fields = [
        entry.id.to_string(),
        entry.timestamp.to_string(),
        entry.session_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        entry.kind.clone(),
        entry.tool.clone().unwrap_or_default(),
        entry.decision.clone().unwrap_or_default(),
        match &entry.body["args"] {
            Value::Null => json("shown"),
            _ => json("args"),
        },
        json("by"),
        json("reason"),
        json("digest"),
        json("call"),
        json("durationMs"),
        json("sinceDecisionMs"),
        entry.hash.clone(),
    ];
    format!("{}\n", fields.map(|field| quoted(&field)).join(","))
}

/// A field of CSV (RFC 4180). One that a spreadsheet would take for a formula is kept from being one.
pub(super) fn quoted(field: &str) -> String {
    let field = match field.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{field}"),
        false => field.to_owned(),
    };
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(body: Value) -> Entry {
        Entry {
            id: 7,
            timestamp: "2026-11-21T10:00:00Z".parse().unwrap(),
            session_id: None,
            kind: "decision".into(),
            tool: Some("Bash".into()),
            decision: Some("deny".into()),
            body,
            hash: "ab".into(),
        }
    }

    #[test]
    fn a_line_says_what_was_decided_about_what_and_why() {
        let page = Page { columns: None, colour: false };
        let check = |body: Value, expected: &str| {
            assert_eq!(
                line(&entry(body), &TimeZone::UTC, page),
                format!("11-21 10:00:00          {expected}")
            );
        };
        check(
            json!({"args": {"command": "rm\n -rf /"}, "reason": "no mass deletes"}),
            "deny         Bash rm -rf /  no mass deletes",
        );
        check(json!({"args": {}, "by": {"fallback": "ask"}}), "deny         Bash {}  fallback: ask");
        check(json!({"approval": "a-1", "by": "time"}), "deny         Bash a-1  by time");
        check(
            json!({"change": "policy updated", "policy": "p-1", "name": "guard", "by": "me"}),
            "deny         Bash policy updated: guard  by me",
        );
        check(
            json!({"args": {"command": "ls"}, "reason": "fine", "call": "toolu_01ee2535b212ddc5"}),
            "deny         Bash ls  fine  call b212ddc5",
        );
        check(json!({"args": {"command": "ls"}, "call": "7"}), "deny         Bash ls  call 7");
        let came_out = |decision: &str, body: Value, expected: &str| {
            let entry = Entry { kind: "outcome".into(), decision: Some(decision.into()), ..entry(body) };
            assert!(line(&entry, &TimeZone::UTC, page).ends_with(expected), "{expected}");
        };
        came_out("ran", json!({"shown": "ls", "durationMs": 20}), "ran          Bash ls  took 20 ms");
        came_out("ran", json!({"shown": "ls", "sinceDecisionMs": 9}), "Bash ls  9 ms after the decision");
        came_out(
            "failed",
            json!({"shown": "ls x", "durationMs": 3, "interrupted": true, "reason": "Exit code 1\nno x"}),
            "failed       Bash ls x  took 3 ms, interrupted, Exit code 1",
        );
    }

    #[test]
    fn csv_is_quoted_and_is_no_formula() {
        let check = |field: &str, expected: &str| assert_eq!(quoted(field), expected);
        check("plain", "plain");
        check("a,b", "\"a,b\"");
        check("say \"hi\"", "\"say \"\"hi\"\"\"");
        check("=1+1", "'=1+1");
        check("two\nlines", "\"two\nlines\"");
        let row = csv(&entry(json!({"args": {"command": "ls"}, "by": {"fallback": "ask"}})));
        assert_eq!(row.matches('\n').count(), 1);
        assert!(row.starts_with("7,2026-11-21T10:00:00Z,,decision,Bash,deny,\"{"), "{row}");
    }
}
