//! The terminal: raw mode, and a live area at the bottom of the main screen that is redrawn in place while
//! finished rows above it go into the scrollback for good.
//!
//! The one law: nothing is written when nothing changed, so an idle agent is silent.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::text;

/// One row: text with colours, and the columns it takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row {
    text: String,
    width: usize,
}

impl Row {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Appends text in a style (the parameters of SGR; empty for none). Whatever steers terminals is dropped.
    pub(super) fn and(mut self, style: &str, part: &str) -> Self {
        let part = text::visible(part);
        self.width += text::width(&part);
        if style.is_empty() || part.is_empty() {
            self.text.push_str(&part);
        } else {
            self.text.push_str(&format!("\x1b[{style}m{part}\x1b[0m"));
        }
        self
    }

    /// A row of somebody else's, whose colours are kept and everything else is not, clipped to fit.
    pub(super) fn foreign(mut self, line: &str, columns: usize) -> Self {
        let mut rest = line;
        while !rest.is_empty() && self.width < columns {
            let (plain, escape) = rest.split_at(rest.find("\x1b[").unwrap_or(rest.len()));
            let room = columns - self.width;
            self = self.and("", &text::clip(&text::visible(plain), room));
            let end = escape.find(|c: char| c.is_ascii_alphabetic()).map_or(escape.len(), |end| end + 1);
            if escape[..end].ends_with('m') {
                self.text.push_str(&escape[..end]);
            }
            rest = &escape[end..];
        }
        self.text.push_str("\x1b[0m");
        self
    }
}

/// The live area as it should look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) rows: Vec<Row>,
    /// Row and column; hidden without.
    pub(super) cursor: Option<(usize, usize)>,
}

pub(super) struct Screen {
    before: Termios,
    size: Size,
    drawn: Option<Frame>,
    /// The row of the live area the cursor is in.
    at: usize,
    title: String,
    out: Vec<u8>,
    /// The terminal went away: what is written from now on is lost, which is nobody's trouble.
    gone: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Screen {
    /// Takes the terminal over. Fails where there is none.
    pub(super) fn open() -> std::io::Result<Self> {
        let before = tcgetattr(stdin())?;
        tcgetattr(stdout())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        let mut screen = Self {
            before,
            size: size(),
            drawn: None,
            at: 0,
            title: String::new(),
            out: Vec::new(),
            gone: false,
        };
        screen.put("\x1b[?2004h");
        Ok(screen)
    }

    pub(super) fn size(&self) -> Size {
        self.size
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Sets the title, once per change.
    pub(super) fn title(&mut self, title: &str) {
        let title = text::visible(title);
        if self.title != title {
            self.put(&format!("\x1b]0;{title}\x07"));
            self.title = title;
        }
    }

    /// Makes the live area look so.
    pub(super) fn draw(&mut self, mut frame: Frame) {
        clip_height(&mut frame, self.size.rows.saturating_sub(1).max(1));
        match self.drawn.take() {
            Some(drawn) if drawn == frame => {
                self.drawn = Some(drawn);
                return;
            }
            Some(drawn) if drawn.rows.len() == frame.rows.len() => {
                self.put("\x1b[?25l");
                for (index, row) in frame.rows.iter().enumerate() {
                    if drawn.rows[index] != *row {
                        self.go(index);
                        self.put(&format!("\r\x1b[2K{}", row.text));
                    }
                }
                self.place_cursor(&frame);
            }
            drawn => {
                self.drawn = drawn;
                self.erase();
                self.write_frame(&frame);
            }
        }
        self.drawn = Some(frame);
    }

    /// Puts finished rows above the live area.
    pub(super) fn commit(&mut self, rows: &[Row]) {
        let live = self.erase();
        for row in rows {
            self.put(&row.text);
            self.put("\r\n");
        }
        if let Some(frame) = live {
            self.write_frame(&frame);
            self.drawn = Some(frame);
        }
    }

    /// Writes text as it is where the live area was, at once; the next `draw` puts the live area behind it.
    pub(super) fn flood(&mut self, bytes: &[u8]) {
        self.erase();
        self.out.extend_from_slice(bytes);
        self.flush();
    }

    /// An empty screen; what scrolled out of it stays.
    pub(super) fn clear(&mut self) {
        self.drawn = None;
        self.at = 0;
        self.put("\x1b[H\x1b[2J");
    }

    /// The terminal has another size: the live area is redrawn from where it begins now.
    pub(super) fn resized(&mut self) {
        let new = size();
        if new == self.size {
            return;
        }
        if let Some(drawn) = &self.drawn {
            // The terminal has wrapped rows that no longer fit; the cursor went with its row.
            let physical = |row: &Row| row.width.div_ceil(new.columns).max(1);
            let above: usize = drawn.rows[..self.at].iter().map(physical).sum();
            let within = drawn.cursor.map_or(0, |(_, column)| column / new.columns);
            self.at = (above + within).min(new.rows.saturating_sub(1));
        }
        self.size = new;
        self.erase();
    }

    /// Writes what has gathered.
    pub(super) fn flush(&mut self) {
        let mut rest = self.out.as_slice();
        while !rest.is_empty() && !self.gone {
            match rustix::io::write(stdout(), rest) {
                Ok(written) => rest = &rest[written..],
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => self.gone = true,
            }
        }
        self.out.clear();
    }

    /// Gives the terminal back and says goodbye in it.
    pub(super) fn close(&mut self, farewell: &[Row]) {
        self.erase();
        self.put("\x1b[?2004l\x1b[?25h\x1b[0m\x1b]0;\x07");
        self.commit(farewell);
        self.flush();
    }

    fn write_frame(&mut self, frame: &Frame) {
        self.put("\x1b[?25l");
        for (index, row) in frame.rows.iter().enumerate() {
            if index > 0 {
                self.put("\r\n");
            }
            self.put(&row.text);
        }
        self.at = frame.rows.len().saturating_sub(1);
        self.place_cursor(frame);
    }

    fn place_cursor(&mut self, frame: &Frame) {
        match frame.cursor {
            Some((row, column)) => {
                self.go(row);
                self.put("\r");
                if column > 0 {
                    self.put(&format!("\x1b[{column}C"));
                }
                self.put("\x1b[?25h");
            }
            None => {
                self.go(frame.rows.len().saturating_sub(1));
                self.put("\r");
            }
        }
    }

    fn go(&mut self, row: usize) {
        match row.cmp(&self.at) {
            std::cmp::Ordering::Less => self.put(&format!("\x1b[{}A", self.at - row)),
            std::cmp::Ordering::Greater => self.put(&format!("\x1b[{}B", row - self.at)),
            std::cmp::Ordering::Equal => {}
        }
        self.at = row;
    }

    /// Removes the live area; the cursor is where it began.
    fn erase(&mut self) -> Option<Frame> {
        let drawn = self.drawn.take()?;
        self.go(0);
        self.put("\r\x1b[J");
        Some(drawn)
    }

    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.flush();
        // There is nobody to tell, and the terminal may be gone.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

pub(super) fn stdin() -> BorrowedFd<'static> {
    rustix::stdio::stdin()
}

fn stdout() -> BorrowedFd<'static> {
    rustix::stdio::stdout()
}

fn size() -> Size {
    let size = tcgetwinsize(stdout().as_fd()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    let (columns, rows) = size.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()));
    Size { columns, rows }
}

/// A live area higher than the screen could not be redrawn: keeps the end, or the part with the cursor.
fn clip_height(frame: &mut Frame, rows: usize) {
    let over = frame.rows.len().saturating_sub(rows);
    if over == 0 {
        return;
    }
    let first = frame.cursor.map_or(over, |(row, _)| over.min(row));
    frame.rows.drain(..first);
    frame.rows.truncate(rows);
    frame.cursor = frame.cursor.map(|(row, column)| (row - first, column));
}
