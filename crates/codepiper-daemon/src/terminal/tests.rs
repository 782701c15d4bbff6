use super::screen::{BracketedPaste, blank};
use super::*;
use codepiper_core::recording::{Frame, encode, segment_name};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Writes frames as the recorder does; a new segment where the list says so.
fn record(folder: &Path, start: u64, frames: &[Frame]) {
    let mut file =
        fs::OpenOptions::new().create(true).append(true).open(folder.join(segment_name(start))).unwrap();
    for (n, frame) in frames.iter().enumerate() {
        file.write_all(&encode(frame, n as u64)).unwrap();
    }
}

fn output(text: &str) -> Frame {
    Frame::Output(text.as_bytes().to_vec())
}

fn read_all(cursor: &mut Cursor) -> String {
    let mut text = String::new();
    loop {
        match cursor.next().unwrap() {
            Read::Frame { frame: Frame::Output(bytes), position, .. } => {
                text.push_str(&format!("{position}:{} ", String::from_utf8(bytes).unwrap()));
            }
            Read::Frame { frame, .. } => text.push_str(&format!("{frame:?} ")),
            Read::Lost(to) => text.push_str(&format!("lost-to-{to} ")),
            Read::End => return text.trim_end().to_owned(),
        }
    }
}

#[test]
fn a_reader_follows_the_recording_over_segments_and_through_its_growth() {
    let folder = tempfile::tempdir().unwrap();
    let mut cursor = Cursor::at_start(folder.path());
    assert_eq!(read_all(&mut cursor), "");
    record(folder.path(), 0, &[Frame::Resize { cols: 80, rows: 24 }, output("abc")]);
    assert_eq!(read_all(&mut cursor), "Resize { cols: 80, rows: 24 } 0:abc");
    record(folder.path(), 0, &[output("de")]);
    record(folder.path(), 5, &[Frame::Resize { cols: 80, rows: 24 }]);
    assert_eq!(read_all(&mut cursor), "3:de Resize { cols: 80, rows: 24 }");
    record(folder.path(), 5, &[output("f")]);
    assert_eq!(read_all(&mut cursor), "5:f");
    assert_eq!(cursor.position(), 6);
}

#[test]
fn a_reader_that_is_too_late_is_told_what_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 100, &[output("x")]);
    assert_eq!(read_all(&mut Cursor::at_start(folder.path())), "lost-to-100 100:x");
}

#[test]
fn a_reader_that_falls_behind_what_is_kept_goes_on_where_something_is() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 0, &[output("abc")]);
    let mut cursor = Cursor::at_start(folder.path());
    assert_eq!(read_all(&mut cursor), "0:abc");
    record(folder.path(), 0, &[output("de")]);
    record(folder.path(), 50, &[output("x")]);
    fs::remove_file(folder.path().join(segment_name(0))).unwrap();
    assert_eq!(read_all(&mut cursor), "3:de lost-to-50 50:x");
    record(folder.path(), 50, &[output("y")]);
    assert_eq!(read_all(&mut cursor), "51:y");
}

#[test]
fn damage_costs_one_segment() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 0, &[output("ok")]);
    let path = folder.path().join(segment_name(0));
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(&[0xff; 64]);
    fs::write(&path, bytes).unwrap();
    record(folder.path(), 50, &[output("next")]);
    assert_eq!(read_all(&mut Cursor::at_start(folder.path())), "0:ok lost-to-50 50:next");
}

#[test]
fn a_snapshot_and_what_follows_it_draw_the_same_screen_wherever_it_is_taken() {
    let all = "\x1b]0;busy\x07one\r\ntwo \x1b[31mré\x1b[0m d\x1b[5;10Hé漢x\x1b[?1049hALT\x1b[2;4r\n\n\n\x1b[?1049lback\x1b[3";
    let rest = ";1Hend";
    let stream = format!("{all}{rest}");
    let whole = {
        let mut terminal = blank(40, 8);
        terminal.feed(&*stream);
        terminal.screen().text()
    };
    for cut in 0..stream.len() {
        let folder = tempfile::tempdir().unwrap();
        record(folder.path(), 0, &[Frame::Output(stream.as_bytes()[..cut].to_vec())]);
        let mut screen = Screen::new(folder.path(), 40, 8);
        screen.catch_up().unwrap();
        let (snapshot, position) = screen.snapshot();
        let mut viewer = blank(40, 8);
        viewer.feed(&*snapshot);
        viewer.feed(&stream[position as usize..]);
        assert_eq!(viewer.screen().text(), whole, "cut at {cut}");
    }
}

#[test]
fn the_paste_mode_is_the_last_one_asked_for_even_in_pieces() {
    let mut paste = BracketedPaste::default();
    let mut check = |piece: &str, expected: bool| {
        paste.feed(piece.as_bytes());
        assert_eq!(paste.is_on, expected, "after {piece:?}");
    };
    check("hello", false);
    check("\x1b[?20", false);
    check("04h", true);
    check("text", true);
    check("\x1b[?2004l\x1b[?2004h", true);
    check("\x1b[?2004l", false);
}

#[test]
fn plain_text_is_the_end_of_what_was_printed() {
    let folder = tempfile::tempdir().unwrap();
    let lines: String = (1..=100).map(|n| format!("line {n}\r\n")).collect();
    record(folder.path(), 0, &[output(&lines)]);
    assert_eq!(plain_text(folder.path(), 40, 8, 3).unwrap(), "line 98\nline 99\nline 100\n");
    assert_eq!(plain_text(folder.path(), 40, 8, 50).unwrap().lines().count(), 50);
}

#[test]
fn the_last_screen_needs_only_the_last_output() {
    let folder = tempfile::tempdir().unwrap();
    let old = "an old line\r\n".repeat(20_000);
    record(folder.path(), 0, &[Frame::Resize { cols: 40, rows: 3 }, output(&old)]);
    record(folder.path(), old.len() as u64, &[output("one\r\ntwo\r\nthree")]);
    let screen = Screen::from_last_output(folder.path(), 40, 3).unwrap();
    assert_eq!(screen.lines(), ["one", "two", "three"]);
    assert_eq!(screen.snapshot().1, old.len() as u64 + 15);
}

#[test]
fn a_screen_is_drawn_from_what_is_kept_however_much_is_not() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 1 << 40, &[output("kept")]);
    let mut screen = Screen::new(folder.path(), 40, 3);
    screen.catch_up().unwrap();
    assert_eq!((screen.lines()[0].as_str(), screen.snapshot().1), ("kept", (1 << 40) + 4));
}

#[test]
fn a_screen_that_begins_anew_shows_nothing_of_before() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 0, &[output("old")]);
    record(folder.path(), 3, &[output("older")]);
    let mut screen = Screen::new(folder.path(), 40, 2);
    screen.begin_anew().unwrap();
    assert!(!screen.catch_up().unwrap());
    record(folder.path(), 3, &[output("new")]);
    screen.catch_up().unwrap();
    assert_eq!((screen.lines()[0].as_str(), screen.snapshot().1), ("new", 11));
}

#[test]
fn a_flood_is_followed_without_reading_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut screen = Screen::new(folder.path(), 40, 3);
    let (mut position, mut start) = (0, 0);
    for round in 1..60_u64 {
        for frame in 0..round % 9 {
            if position - start >= 200_000 {
                start = position;
                record(folder.path(), start, &[Frame::Resize { cols: 40, rows: 3 }]);
            }
            let text = format!("{round} {frame}\r\n").repeat((round * 7_919 % 3_000) as usize);
            record(folder.path(), start, &[output(&text)]);
            position += text.len() as u64;
        }
        let before = screen.snapshot().1;
        assert_eq!(screen.read_on().unwrap(), position - before, "round {round}");
        screen.draw();
        assert_eq!(screen.snapshot().1, position, "round {round}");
    }
}

/// A viewer's terminal, as it is after all that a view gave.
struct Viewer(avt::Terminal);

impl Viewer {
    fn new() -> Self {
        Self(blank(40, 6))
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.0.feed(&*String::from_utf8_lossy(bytes));
    }

    fn lines(&self) -> Vec<String> {
        self.0.screen().visible_lines().map(|line| line.text().trim_end().to_owned()).collect()
    }
}

#[test]
fn a_view_shows_what_comes_and_of_a_flood_its_end() {
    let folder = tempfile::tempdir().unwrap();
    record(
        folder.path(),
        0,
        &[Frame::Resize { cols: 40, rows: 6 }, output("\x1b[1;1Htitle\x1b[2;6r\x1b[2;1H")],
    );
    let mut now = Instant::now();
    let (mut view, picture) = View::begin(folder.path(), 40, 6, now).unwrap();
    let mut viewer = Viewer::new();
    viewer.feed(&picture);
    assert_eq!(viewer.lines()[0], "title");

    record(folder.path(), 0, &[output("one\r\n"), output("two\r\n")]);
    let seen = view.look(now).unwrap();
    assert_eq!((seen.bytes.as_slice(), seen.is_flood), (&b"one\r\ntwo\r\n"[..], false));
    viewer.feed(&seen.bytes);

    // Slowly, any amount is shown whole.
    let lines = |n: usize| format!("{n:019}\r\n").repeat(1_000);
    for n in 0..100 {
        now += Duration::from_millis(10);
        record(folder.path(), 0, &[output(&lines(n))]);
        let seen = view.look(now).unwrap();
        assert_eq!((seen.bytes.len(), seen.is_flood), (21_000, false));
        viewer.feed(&seen.bytes);
    }

    // Below the title, which nobody draws again, much is scrolled through, in looks of any size.
    let (mut given, mut pictures) = (0, 0);
    for n in 0..300 {
        now += Duration::from_millis(if n % 3 == 0 { 2 } else { 0 });
        record(folder.path(), 0, &[output(&lines(n))]);
        let seen = view.look(now).unwrap();
        given += seen.bytes.len();
        pictures += usize::from(seen.bytes.starts_with(b"\x1bc"));
        viewer.feed(&seen.bytes);
    }
    assert!(given < 1_000_000, "{given} of {}", 300 * 21_000);
    assert!((1..=3).contains(&pictures), "{pictures} in 200 ms");
    assert!(!view.is_exact());
    assert_eq!(view.inexact_since(), None, "it is not over");

    now += Duration::from_millis(5);
    let seen = view.look(now).unwrap();
    viewer.feed(&seen.bytes);
    assert_eq!(viewer.lines()[4], format!("{:019}", 299), "its end is shown at once");
    now += Duration::from_millis(100);
    let seen = view.look(now).unwrap();
    assert!(!seen.is_flood);
    viewer.feed(&seen.bytes);
    assert_eq!(view.inexact_since(), Some(now));
    viewer.feed(&view.redraw().unwrap());
    assert_eq!((viewer.lines()[0].as_str(), view.is_exact()), ("title", true));

    record(folder.path(), 0, &[output("after")]);
    viewer.feed(&view.look(now).unwrap().bytes);
    let mut screen = Screen::new(folder.path(), 40, 6);
    screen.catch_up().unwrap();
    assert_eq!(viewer.lines(), screen.lines());
    assert_eq!(viewer.lines()[5], "after");
}
