//! What people and programs read: data on standard output, talk on standard error.
//!
//! The law to keep: what agents and folders are called and say is shown through [`text::visible`], so that it
//! cannot steer the terminal; a line is never wider than the terminal it goes to. Rendering is pure.

use crate::text::{self, clip, clip_start, width};
use codepiper_api::{Fault, Refusal};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;

/// Where text goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    /// Columns, when it is a terminal; else lines are as long as they are.
    pub(crate) columns: Option<usize>,
    /// Whether to colour.
    pub(crate) colour: bool,
}

impl Page {
    /// Standard output.
    pub(crate) fn stdout() -> Self {
        Self::of(&io::stdout())
    }

    /// Standard error.
    pub(crate) fn stderr() -> Self {
        Self::of(&io::stderr())
    }

    fn of(stream: &(impl IsTerminal + AsFd)) -> Self {
        if !stream.is_terminal() {
            return Self { columns: None, colour: false };
        }
        let size = rustix::termios::tcgetwinsize(stream).ok();
        let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let dumb = set("TERM").is_none_or(|term| term == "dumb");
        Self { columns, colour: set("NO_COLOR").is_none() && !dumb }
    }

    /// The text in that style, where this page has colours.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        let code = match style {
            _ if !self.colour || text.is_empty() => return text.to_owned(),
            Style::Plain => return text.to_owned(),
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Good => "32",
            Style::Warn => "33",
            Style::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// What a colour is to say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Style {
    #[default]
    Plain,
    Bold,
    Dim,
    Good,
    Warn,
    Bad,
}

/// Prints data.
pub(crate) fn print(text: &str) -> Result<(), Refusal> {
    print_bytes(text.as_bytes())
}

/// Prints data as it is. When nobody reads on (`| head`) the command has done its work.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Refusal> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Refusal::new(Fault::Internal, format!("cannot write to standard output: {error}"))),
    }
}

/// Prints data for programs.
pub(crate) fn print_json(data: &impl Serialize) -> Result<(), Refusal> {
    let json = serde_json::to_string_pretty(data).map_err(no_json)?;
    print(&format!("{}\n", escaped(json)))
}

/// Data for programs in a line, without its end.
pub(crate) fn json_line(data: &impl Serialize) -> Result<String, Refusal> {
    serde_json::to_string(data).map(escaped).map_err(no_json)
}

fn no_json(error: serde_json::Error) -> Refusal {
    Refusal::new(Fault::Internal, format!("the answer is no JSON: {error}"))
}

/// JSON means the same when what could steer a terminal is escaped in it; what JSON escapes anyway is not all of it.
fn escaped(json: String) -> String {
    let steers = |c: char| c != '\n' && text::visible(c.encode_utf8(&mut [0; 4])).is_empty();
    if !json.chars().any(steers) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if steers(c) {
            let _infallible = write!(out, "\\u{:04x}", c as u32);
        } else {
            out.push(c);
        }
    }
    out
}

/// Says something to the person, beside the data.
pub(crate) fn say(text: &str) {
    // A closed standard error is no reason to stop.
    let _nobody_listens = writeln!(io::stderr(), "{text}");
}

/// Says what went wrong and what to do.
pub(crate) fn report(refusal: &Refusal) {
    say(refusal_text(refusal, Page::stderr()).trim_end());
}

fn refusal_text(refusal: &Refusal, page: Page) -> String {
    let mut out = format!("{} {}\n", page.paint(Style::Bad, "error:"), text::visible_lines(&refusal.error));
    // Of several problems each has its own way out.
    let problems = refusal.details.as_ref().and_then(|details| details.get("problems")?.as_array());
    if let Some(problems) = problems.filter(|problems| problems.len() > 1) {
        for problem in problems {
            let [at, what, hint] =
                ["at", "what", "hint"].map(|name| problem[name].as_str().unwrap_or_default());
            let hint = page.paint(Style::Warn, &text::visible(hint));
            let _infallible = writeln!(out, "  {} {}: {hint}", text::visible(at), text::visible(what));
        }
        return out;
    }
    if let Some(hint) = &refusal.hint {
        let _infallible = writeln!(out, "{} {}", page.paint(Style::Warn, "hint:"), text::visible_lines(hint));
    }
    out
}

/// Says that something needs attention.
pub(crate) fn warn(message: &str) {
    say(&format!("{} {message}", Page::stderr().paint(Style::Warn, "warning:")));
}

/// Says what is good to know.
pub(crate) fn note(message: &str) {
    say(&format!("{} {}", Page::stderr().paint(Style::Dim, "note:"), text::visible(message)));
}

/// Prints that something is done.
pub(crate) fn done(message: &str) -> Result<(), Refusal> {
    print(&format!("{} {}\n", Page::stdout().paint(Style::Good, "✓"), text::visible(message)))
}

/// How long ago, in as few characters as tell it.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    match short(now.duration_since(then)) {
        None => "now".into(),
        Some(time) => format!("{time} ago"),
    }
}

/// `3m`; nothing below a second.
pub(crate) fn short(time: SignedDuration) -> Option<String> {
    let seconds = time.as_secs();
    Some(match seconds {
        ..1 => return None,
        1..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    })
}

/// `45 ms`, `1.2 s`, `3m 20s`
pub(crate) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1e3),
        _ => format!("{}m {:02}s", ms / 60_000, ms / 1_000 % 60),
    }
}

/// The folder with `~` for the home folder.
pub(crate) fn with_tilde(path: &str, home: Option<&str>) -> String {
    let rest =
        home.filter(|home| home.len() > 1).and_then(|home| path.strip_prefix(home.trim_end_matches('/')));
    match rest {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("~{rest}"),
        _ => path.to_owned(),
    }
}

/// Rows under titles.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Column {
    title: &'static str,
    cut: Cut,
}

/// What of a column may be left out when there is too little room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing: an id that is not whole is none.
    Never,
    /// Its end.
    End,
    /// Its beginning.
    Start,
}

#[derive(Debug)]
struct Row {
    cells: Vec<Cell>,
    note: Option<Cell>,
}

/// A text with its style.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Whatever the text holds, it will be one line.
    pub(crate) fn new(text: impl AsRef<str>, style: Style) -> Self {
        Self { text: text::visible(text.as_ref()), style }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Style::Plain)
    }
}

/// Blanks between columns.
const GAP: usize = 2;

/// A column that may be cut keeps as many characters as its title, and not less than these.
const CUT_MIN: usize = 8;

impl Table {
    pub(crate) fn new<const N: usize>(columns: [(&'static str, Cut); N]) -> Self {
        let columns = columns.into_iter().map(|(title, cut)| Column { title, cut }).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row, and what is to stand below it.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N], note: Option<Cell>) {
        debug_assert_eq!(N, self.columns.len());
        self.rows.push(Row { cells: cells.into(), note });
    }

    /// The table as it fits on the page. Columns that are empty in every row are left out.
    pub(crate) fn render(&self, page: Page) -> String {
        let shown: Vec<usize> = (0..self.columns.len())
            .filter(|&index| self.rows.iter().any(|row| !row.cells[index].text.is_empty()))
            .collect();
        let widths = self.widths(&shown, page.columns);
        let mut out = String::new();
        let titles = shown.iter().map(|&index| Cell::new(self.columns[index].title, Style::Dim));
        self.line(&mut out, &shown, &widths, titles.collect::<Vec<_>>().iter(), page);
        for row in &self.rows {
            self.line(&mut out, &shown, &widths, shown.iter().map(|&index| &row.cells[index]), page);
            if let Some(note) = &row.note {
                let room = page.columns.map_or(usize::MAX, |columns| columns.saturating_sub(4));
                let _infallible = writeln!(out, "  └ {}", page.paint(note.style, &clip(&note.text, room)));
            }
        }
        out
    }

    fn widths(&self, shown: &[usize], columns: Option<usize>) -> Vec<usize> {
        let natural = |index: usize| {
            let cells = self.rows.iter().map(|row| width(&row.cells[index].text));
            cells.max().unwrap_or(0).max(width(self.columns[index].title))
        };
        let mut widths: Vec<usize> = shown.iter().map(|&index| natural(index)).collect();
        let Some(columns) = columns else { return widths };
        let room = columns.saturating_sub(GAP * shown.len().saturating_sub(1));
        while widths.iter().sum::<usize>() > room {
            let least = |column: &Column| width(column.title).max(CUT_MIN);
            let widest = (0..widths.len())
                .filter(|&at| self.columns[shown[at]].cut != Cut::Never)
                .filter(|&at| widths[at] > least(&self.columns[shown[at]]))
                .max_by_key(|&at| widths[at]);
            match widest {
                Some(at) => widths[at] -= 1,
                None => break,
            }
        }
        widths
    }

    fn line<'a>(
        &self,
        out: &mut String,
        shown: &[usize],
        widths: &[usize],
        cells: impl Iterator<Item = &'a Cell>,
        page: Page,
    ) {
        let mut line = String::new();
        let mut used = 0;
        for (at, cell) in cells.enumerate() {
            let gap = if at == 0 { 0 } else { widths[at - 1] + GAP };
            let padding = gap.saturating_sub(used);
            // A terminal too narrow for what cannot be cut loses the columns on the right.
            let taken: usize = widths[..at].iter().map(|width| width + GAP).sum();
            let room = page.columns.map_or(usize::MAX, |columns| columns.saturating_sub(taken));
            let room = room.min(widths[at]);
            let text = match self.columns[shown[at]].cut {
                Cut::Start => clip_start(&cell.text, room),
                Cut::Never | Cut::End => clip(&cell.text, room),
            };
            used = width(&text);
            if !text.is_empty() {
                line.push_str(&" ".repeat(padding));
                line.push_str(&page.paint(cell.style, &text));
            } else if room > 0 {
                line.push_str(&" ".repeat(padding));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// Names with their values, one below the other. Prose is broken into lines; a path stays whole, to be copied.
#[derive(Debug, Default)]
pub(crate) struct Details(Vec<(&'static str, String, Style)>);

impl Details {
    /// Adds a line, if there is something to say.
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<Option<String>>) {
        self.styled(name, value, Style::Plain);
    }

    /// The same, in a style.
    pub(crate) fn styled(&mut self, name: &'static str, value: impl Into<Option<String>>, style: Style) {
        if let Some(value) = value.into().filter(|value| !value.is_empty()) {
            self.0.push((name, text::visible_lines(&value), style));
        }
    }

    pub(crate) fn render(&self, page: Page) -> String {
        let name_width = self.0.iter().map(|(name, ..)| width(name)).max().unwrap_or(0) + GAP;
        let room = page.columns.map(|columns| columns.saturating_sub(name_width));
        let mut out = String::new();
        for (name, value, style) in &self.0 {
            let prose = value.contains([' ', '\n']) && !value.starts_with(['/', '~']);
            let lines = match room {
                Some(room) if prose => text::wrap(value, room),
                _ => value.lines().map(str::to_owned).collect(),
            };
            for (index, line) in lines.iter().enumerate() {
                let name = if index == 0 { *name } else { "" };
                let padding = " ".repeat(name_width - width(name));
                let name = page.paint(Style::Dim, name);
                let _infallible = writeln!(out, "{name}{padding}{}", page.paint(*style, line));
            }
        }
        out
    }
}

/// `9,876`, `12.3k`, `4.56M`
pub(crate) fn count(number: u64) -> String {
    let scaled = |divisor: f64, unit: &str| {
        let value = number as f64 / divisor;
        if value < 9.995 {
            format!("{value:.2}{unit}")
        } else if value < 99.95 {
            format!("{value:.1}{unit}")
        } else {
            format!("{value:.0}{unit}")
        }
    };
    match number {
        0..1_000 => number.to_string(),
        1_000..10_000 => format!("{},{:03}", number / 1_000, number % 1_000),
        10_000..999_500 => scaled(1e3, "k"),
        999_500..999_500_000 => scaled(1e6, "M"),
        _ => scaled(1e9, "G"),
    }
}

/// `$12.34`; what has no price is no zero.
pub(crate) fn dollars(cost: Option<f64>) -> String {
    match cost {
        None => "unpriced".into(),
        Some(cost) if cost > 0.0 && cost < 0.01 => "<$0.01".into(),
        Some(cost) => format!("${cost:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Page = Page { columns: None, colour: false };

    fn table() -> Table {
        let mut table = Table::new([
            ("ID", Cut::Never),
            ("NAME", Cut::End),
            ("STATE", Cut::Never),
            ("DIRECTORY", Cut::Start),
            ("AGE", Cut::Never),
        ]);
        table.row(
            [
                "a1b2c3d4".into(),
                "".into(),
                Cell::new("idle", Style::Plain),
                "~/projects/my-app".into(),
                "3m ago".into(),
            ],
            None,
        );
        table.row(
            [
                "ffffffff".into(),
                "日本語のセッション".into(),
                Cell::new("waiting", Style::Warn),
                "/srv/somewhere/far/down/in/a/tree".into(),
                "2h ago".into(),
            ],
            Some(Cell::new("needs permission: Bash rm -rf \x1b[2Jbuild", Style::Warn)),
        );
        table
    }

    #[test]
    fn a_table_has_columns_and_no_blanks_at_the_end() {
        let expected = "\
ID        NAME                STATE    DIRECTORY                          AGE
a1b2c3d4                      idle     ~/projects/my-app                  3m ago
ffffffff  日本語のセッション  waiting  /srv/somewhere/far/down/in/a/tree  2h ago
  └ needs permission: Bash rm -rf build
";
        assert_eq!(table().render(PLAIN), expected);
    }

    #[test]
    fn a_table_is_never_wider_than_its_terminal() {
        let expected = "\
ID        NAME           STATE    DIRECTORY     AGE
a1b2c3d4                 idle     …ects/my-app  3m ago
ffffffff  日本語のセッ…  waiting  …n/in/a/tree  2h ago
  └ needs permission: Bash rm -rf build
";
        assert_eq!(table().render(Page { columns: Some(54), ..PLAIN }), expected);
        for columns in 1..100 {
            for colour in [false, true] {
                for line in table().render(Page { columns: Some(columns), colour }).lines() {
                    let wide = width(&text::visible(line));
                    assert!(wide <= columns.max(5), "{wide} columns in {columns}: {line:?}");
                }
            }
        }
    }

    #[test]
    fn a_column_without_content_is_left_out() {
        let mut table = Table::new([("ID", Cut::Never), ("NAME", Cut::End), ("AGE", Cut::Never)]);
        table.row(["a".into(), "".into(), "now".into()], None);
        assert_eq!(table.render(PLAIN), "ID  AGE\na   now\n");
    }

    #[test]
    fn colour_is_around_the_text_and_not_around_the_blanks() {
        let rendered = table().render(Page { columns: None, colour: true });
        assert!(rendered.contains("  \x1b[33mwaiting\x1b[0m  /srv"), "{rendered:?}");
        assert!(!rendered.contains(" \x1b[0m"), "{rendered:?}");
    }

    #[test]
    fn a_refusal_says_what_happened_and_what_to_do() {
        let refusal = Refusal::new(Fault::NotFound, "no session `x\x1b[2J`").hint("there are none");
        assert_eq!(refusal_text(&refusal, PLAIN), "error: no session `x`\nhint: there are none\n");
        let problems = serde_json::json!({"problems": [
            {"at": "name", "what": "is missing", "hint": "give it one"},
            {"at": "rules[0].action", "what": "is `banana`", "hint": "write allow, ask or deny"},
        ]});
        let refusal = Refusal::field("name", "is missing; there is one more problem").hint("give it one");
        assert_eq!(
            refusal_text(&refusal.details(problems), PLAIN),
            "error: `name` is missing; there is one more problem\n  name is missing: give it one\n  \
             rules[0].action is `banana`: write allow, ask or deny\n"
        );
        let coloured = refusal_text(&Refusal::new(Fault::Usage, "no"), Page { columns: None, colour: true });
        assert_eq!(coloured, "\x1b[31merror:\x1b[0m no\n");
    }

    #[test]
    fn json_says_the_same_and_steers_no_terminal() {
        let data = serde_json::json!({"text": "a\u{9b}31m\u{7f}\u{202e}b\u{1b}ü\n"});
        let json = json_line(&data).unwrap();
        assert_eq!(json, r#"{"text":"a\u009b31m\u007f\u202eb\u001bü\n"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), data);
    }

    #[test]
    fn time_is_told_in_its_largest_unit() {
        let check = |seconds: i64, expected: &str| {
            let then = Timestamp::UNIX_EPOCH;
            assert_eq!(ago(then, then + SignedDuration::from_secs(seconds)), expected);
        };
        check(-5, "now");
        check(0, "now");
        check(59, "59s ago");
        check(60, "1m ago");
        check(3_599, "59m ago");
        check(7_200, "2h ago");
        check(86_400 * 400, "400d ago");
    }

    #[test]
    fn only_the_home_folder_itself_is_a_tilde() {
        let check =
            |path: &str, home: Option<&str>, expected: &str| assert_eq!(with_tilde(path, home), expected);
        check("/h/me/a", Some("/h/me"), "~/a");
        check("/h/me", Some("/h/me/"), "~");
        check("/h/mew", Some("/h/me"), "/h/mew");
        check("/h/me", None, "/h/me");
        check("/x", Some("/"), "/x");
    }

    #[test]
    fn details_stand_below_each_other_and_paths_stay_whole() {
        let mut details = Details::default();
        details.add("ID", "a1".to_owned());
        details.add("Reason", "needs permission: Bash ls".to_owned());
        details.add("Model", None);
        details.add("Folder", "/a/very long/path/that/does/not/fit".to_owned());
        let expected = "\
ID      a1
Reason  needs
        permission:
        Bash ls
Folder  /a/very long/path/that/does/not/fit
";
        assert_eq!(details.render(Page { columns: Some(20), ..PLAIN }), expected);
    }
}
