//! `codepiper search`

use super::when::{with_times, workspace};
use crate::args::SearchArgs;
use crate::client::{Client, Route};
use crate::output::{self, Page, Style};
use crate::text::{clip, visible, width};
use codepiper_api::Refusal;
use codepiper_api::conversations::Conversation;
use codepiper_api::search::{Found, Hit, Piece};
use jiff::tz::TimeZone;

pub(super) async fn run(args: &SearchArgs, daemon: &Client) -> Result<(), Refusal> {
    let workspace = workspace(args.workspace.as_deref())?;
    let route = Route::new("/search")
        .with("q", args.words.join(" "))
        .with_some("session", args.session.as_deref())
        .with_some("provider", args.provider.as_deref())
        .with_some("workspace", workspace)
        .with_some("role", args.role.as_deref())
        .with_some("limit", args.limit);
    let route = with_times(route, args.since.as_deref(), args.until.as_deref(), None)?;
    let found: Found = daemon.get(route).await?;
    if args.format.json() {
        return output::print_json(&found);
    }
    let page = Page::stdout();
    let home = std::env::var("HOME").ok();
    for hit in &found.hits {
        let conversation =
            found.conversations.iter().find(|conversation| conversation.number == hit.conversation);
        output::print(&shown(hit, conversation, &TimeZone::system(), home.as_deref(), page))?;
    }
    if found.hits.is_empty() {
        output::say("nothing found");
    }
    if found.has_more {
        output::say(&format!("there is more; --limit {} shows it", found.hits.len() * 5));
    }
    if found.behind > 0 {
        output::note(&format!("{} entries were just read and cannot be found yet", found.behind));
    }
    Ok(())
}

/// When, who, in what; below it the text around, with what was looked for in bold.
fn shown(
    hit: &Hit,
    conversation: Option<&Conversation>,
    zone: &TimeZone,
    home: Option<&str>,
    page: Page,
) -> String {
    let time = hit.timestamp.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
    let cwd = conversation.and_then(|of| of.cwd.as_deref()).map(|cwd| output::with_tilde(cwd, home));
    let title = conversation.and_then(|of| of.title.as_deref()).unwrap_or("untitled");
    let title = one_line(title);
    let about = [Some(title), cwd.map(|cwd| visible(&cwd))].into_iter().flatten().collect::<Vec<_>>();
    // The whole id, because it is what the next command takes.
    let id = conversation.map(|of| visible(&of.id)).unwrap_or_default();
    let head = format!("{time}  {:<9}  {id}", visible(&hit.role));
    let room = page.columns.map_or(usize::MAX, |columns| columns.saturating_sub(width(&head) + 2));
    let about = clip(&about.join("  "), room);
    let head = format!(
        "{}  {}  {}  {}",
        page.paint(Style::Dim, &time),
        page.paint(Style::Good, &format!("{:<9}", visible(&hit.role))),
        page.paint(Style::Dim, &id),
        about
    );
    format!("{}\n{}\n", head.trim_end(), text(&hit.snippet, page))
}

/// Columns in front of the text.
const INDENT: usize = 4;

fn text(snippet: &[Piece], page: Page) -> String {
    let room = page.columns.map_or(usize::MAX, |columns| columns.saturating_sub(INDENT).max(1));
    let indent = " ".repeat(INDENT);
    let mut out = indent.clone();
    let mut used = 0;
    for piece in snippet {
        let style = if piece.hit { Style::Bold } else { Style::Plain };
        // Ends of lines are blanks here: a snippet is a glance.
        let flat: String = piece.text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
        for word in visible(&flat).split_inclusive(' ') {
            let bare = clip(word.trim_end(), room);
            if used > 0 && used + width(&bare) > room {
                out.truncate(out.trim_end().len());
                out.push('\n');
                out.push_str(&indent);
                used = 0;
            }
            out.push_str(&page.paint(style, &bare));
            used += width(&bare);
            if word.ends_with(' ') && used > 0 && !out.ends_with(' ') && used < room {
                out.push(' ');
                used += 1;
            }
        }
    }
    out.trim_end().to_owned()
}

fn one_line(text: &str) -> String {
    visible(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(marked: &str) -> Vec<Piece> {
        let piece = |(index, text): (usize, &str)| Piece { text: text.into(), hit: index % 2 == 1 };
        marked.split('|').enumerate().map(piece).collect()
    }

    #[test]
    fn a_snippet_is_wrapped_to_the_page_and_what_was_found_is_bold() {
        let check = |marked: &str, columns: Option<usize>, colour: bool, expected: &str| {
            assert_eq!(text(&pieces(marked), Page { columns, colour }), expected, "{marked:?}");
        };
        check("the |flaky| test", None, false, "    the flaky test");
        check("the |flaky| test", Some(14), false, "    the flaky\n    test");
        check("the |flaky| test", None, true, "    the \u{1b}[1mflaky\u{1b}[0m test");
        check("a\nb\t\x1b[31mc |\x07hit|", None, false, "    a b c hit");
        check("abcdefghijklmnop |x|", Some(12), false, "    abcdefg…\n    x");
        check("", Some(10), false, "");
    }
}
