//! `codepiper transcript`

use super::{RETURN_TRY_EVERY, until_interrupted, when_back};
use crate::args::{TranscriptArgs, TranscriptStyle};
use crate::client::{Client, Route};
use crate::entry_text;
use crate::output::{self, Page};
use codepiper_api::conversations::{ENTRIES_MAX, ENTRIES_WAIT_MAX, Entry, EntryPage};
use codepiper_api::{Fault, Refusal};
use jiff::tz::TimeZone;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Entries before what comes, with `--follow`: what is on a screen or two.
const TAIL: u32 = 20;

pub(super) async fn run(args: &TranscriptArgs, daemon: &Client) -> Result<(), Refusal> {
    let lines = args.lines.or(args.follow.then_some(TAIL));
    let (route, first) = find(args, lines, daemon).await?;
    let mut printer = Printer::new(args)?;
    if args.style() == TranscriptStyle::Md {
        for conversation in first.conversations.iter().take(1) {
            printer.write(&entry_text::markdown_head(conversation))?;
        }
    }
    let mut last = 0;
    match lines {
        Some(lines) => {
            for entry in last_entries(&route, first, lines, daemon).await? {
                printer.print(&entry)?;
                last = entry.id;
            }
        }
        None => {
            let mut page = first;
            loop {
                for entry in &page.entries {
                    printer.print(entry)?;
                    last = entry.id;
                }
                if !page.has_more {
                    break;
                }
                page = daemon.get(route.clone().with("limit", ENTRIES_MAX).with("after", last)).await?;
            }
        }
    }
    if args.follow {
        return until_interrupted(follow(&route, last, &mut printer, daemon)).await;
    }
    printer.end(args)
}

/// Where the entries are, and the first of its pages that is needed: of a session of that name, else of a conversation.
async fn find(
    args: &TranscriptArgs,
    lines: Option<u32>,
    daemon: &Client,
) -> Result<(Route, EntryPage), Refusal> {
    let id = &args.id;
    let ask = async |route: Route| {
        let route = route.with_some("agent", args.agent.as_deref());
        let page = match lines {
            Some(lines) => route.clone().with("limit", lines.clamp(1, ENTRIES_MAX)),
            None => route.clone().with("limit", ENTRIES_MAX).with("after", 0),
        };
        Ok::<_, Refusal>((route, daemon.get::<EntryPage>(page).await?))
    };
    let refusal = match ask(Route::session(id, "/conversation")).await {
        Err(refusal) if refusal.code == Fault::NotFound => refusal,
        other => return other,
    };
    match ask(Route::one_of("conversations", id)).await {
        Err(none) if none.code == Fault::NotFound => {
            let what = format!("no session and no conversation `{id}`");
            Err(Refusal { hint: none.hint.or(refusal.hint), ..Refusal::new(Fault::NotFound, what) })
        }
        other => other,
    }
}

/// The last so many, oldest first; the page is the last one.
async fn last_entries(
    route: &Route,
    page: EntryPage,
    wanted: u32,
    daemon: &Client,
) -> Result<Vec<Entry>, Refusal> {
    let wanted = wanted as usize;
    let mut has_more = page.has_more;
    let mut entries = page.entries;
    while entries.len() < wanted && has_more {
        let Some(first) = entries.first() else { break };
        let limit = (wanted - entries.len()).min(ENTRIES_MAX as usize);
        let page: EntryPage = daemon.get(route.clone().with("limit", limit).with("before", first.id)).await?;
        has_more = page.has_more && !page.entries.is_empty();
        entries.splice(0..0, page.entries);
    }
    let surplus = entries.len().saturating_sub(wanted);
    Ok(entries.split_off(surplus))
}

async fn follow(route: &Route, mut last: i64, printer: &mut Printer, daemon: &Client) -> Result<(), Refusal> {
    loop {
        let next =
            route.clone().with("limit", ENTRIES_MAX).with("after", last).with("wait", ENTRIES_WAIT_MAX);
        let page: EntryPage = when_back(async || daemon.get(next.clone()).await).await?;
        for entry in &page.entries {
            printer.print(entry)?;
            last = entry.id;
        }
        if page.entries.is_empty() {
            tokio::time::sleep(RETURN_TRY_EVERY).await;
        }
    }
}

struct Printer {
    style: TranscriptStyle,
    follows: bool,
    zone: TimeZone,
    page: Page,
    file: Option<File>,
    printed: u64,
}

impl Printer {
    fn new(args: &TranscriptArgs) -> Result<Self, Refusal> {
        let file = match &args.output {
            None => None,
            Some(path) => Some(create(path)?),
        };
        let page = if file.is_some() { Page { columns: None, colour: false } } else { Page::stdout() };
        let (style, follows) = (args.style(), args.follow);
        Ok(Self { style, follows, zone: TimeZone::system(), page, file, printed: 0 })
    }

    fn print(&mut self, entry: &Entry) -> Result<(), Refusal> {
        let text = match self.style {
            TranscriptStyle::Text => entry_text::text(entry, &self.zone, self.page),
            TranscriptStyle::Md => entry_text::markdown(entry, &self.zone),
            TranscriptStyle::Json if self.follows => format!("{}\n", output::json_line(entry)?),
            TranscriptStyle::Json => {
                let before = if self.printed == 0 { "[\n" } else { ",\n" };
                format!("{before}{}", output::json_line(entry)?)
            }
        };
        self.printed += 1;
        self.write(&text)
    }

    fn end(&mut self, args: &TranscriptArgs) -> Result<(), Refusal> {
        if self.style == TranscriptStyle::Json {
            self.write(if self.printed == 0 { "[]\n" } else { "\n]\n" })?;
        }
        if self.printed == 0 && self.style != TranscriptStyle::Json {
            output::say("nothing was said so far");
        }
        match &args.output {
            Some(path) => output::done(&format!("{}: {} entries", path.display(), self.printed)),
            None => Ok(()),
        }
    }

    fn write(&mut self, text: &str) -> Result<(), Refusal> {
        match &mut self.file {
            None => output::print(text),
            Some(file) => file.write_all(text.as_bytes()).map_err(|error| {
                Refusal::new(Fault::Missing, format!("cannot write the conversation: {error}"))
            }),
        }
    }
}

/// A new file that only its owner can read: conversations show secrets.
fn create(path: &Path) -> Result<File, Refusal> {
    let shown = path.display();
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::AlreadyExists => Refusal::new(Fault::Conflict, format!("`{shown}` is there already"))
            .hint("a conversation goes into a new file"),
        _ => Refusal::new(Fault::Missing, format!("cannot write `{shown}`: {error}")),
    };
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)
}
