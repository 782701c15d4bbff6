use super::*;
use codepiper_core::transcript::{FileKind, Kind, Line};
use codepiper_core::usage::{Tier, Tokens};
use std::fs;
use std::path::PathBuf;

/// A reader of lines that are numbers: each is an entry and a reply of so many tokens.
struct Numbers;

impl Reader for Numbers {
    fn read(&self, context: &mut Context, line: &[u8]) -> Line {
        let text = String::from_utf8_lossy(line).into_owned();
        let Ok(number) = text.trim_start_matches('0').parse::<u64>() else {
            let understood = match text.strip_prefix('?') {
                Some(kind) => Understood::UnknownKind(kind.to_owned()),
                None => Understood::Broken("no number".to_owned()),
            };
            return Line { understood, ..Line::default() };
        };
        context.title = Some(text.clone());
        let kind = Kind::Note { note: "number".into() };
        let entry = Entry { uid: format!("{number}"), at: None, agent: None, kind, text };
        let usage = Usage {
            key: format!("{number}"),
            at: Timestamp::UNIX_EPOCH,
            model: "m".into(),
            tokens: Tokens { output: number, ..Tokens::default() },
            billing: Tier::default(),
            vendor_cost: None,
        };
        Line { entries: vec![entry], usage: Some(usage), understood: Understood::Whole }
    }

    fn count(&self, context: &mut Context, line: &[u8]) -> Counted {
        // Even numbers tell of themselves all there is.
        match self.read(context, line).usage {
            None => Counted::Nothing,
            Some(usage) if usage.tokens.output % 2 == 1 => Counted::InOthers,
            Some(usage) => Counted::Reply(usage),
        }
    }

    fn file(&self, _path: &str) -> Option<FileKind> {
        None
    }
}

struct Transcript {
    folder: tempfile::TempDir,
    known: Option<Known>,
}

impl Transcript {
    fn new(content: &str) -> Self {
        let transcript = Self { folder: tempfile::tempdir().unwrap(), known: None };
        fs::write(transcript.path(), content).unwrap();
        transcript
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("t.jsonl")
    }

    fn append(&self, content: &str) {
        use std::io::Write;
        let mut file = fs::OpenOptions::new().append(true).open(self.path()).unwrap();
        file.write_all(content.as_bytes()).unwrap();
    }

    fn piece(&mut self) -> Option<Piece> {
        let piece = read_on(&self.path(), "p", &Numbers, self.known.clone(), Context::default).unwrap();
        if let Some(piece) = &piece {
            self.known = Some(piece.file.clone());
        }
        piece
    }

    /// The replies that are counted now, ahead of reading, to the end.
    fn count(&mut self) -> Vec<u64> {
        let mut all = Vec::new();
        let mut how = Counting::Chosen;
        loop {
            let known = self.known.clone();
            let piece = count_on(&self.path(), "p", &Numbers, known, &mut how, Context::default).unwrap();
            let Some(piece) = piece else { return all };
            all.extend(piece.replies.iter().map(|(usage, ..)| usage.tokens.output));
            self.known = Some(piece.file);
        }
    }

    /// The replies that are read now, to the end.
    fn replies(&mut self) -> Vec<u64> {
        let mut all = Vec::new();
        while let Some(piece) = self.piece() {
            all.extend(piece.replies.iter().map(|(usage, ..)| usage.tokens.output));
        }
        all
    }

    /// The places up to which it is read and counted.
    fn places(&self) -> (u64, Option<u64>) {
        let known = self.known.as_ref().unwrap();
        (known.offset, known.ahead.as_ref().map(|ahead| ahead.offset))
    }

    /// What is read now, to the end.
    fn read(&mut self) -> String {
        let mut all = Vec::new();
        while let Some(piece) = self.piece() {
            all.extend(piece.entries.iter().map(|entry| entry.text.clone()));
            if !piece.has_more {
                break;
            }
        }
        all.join(" ")
    }

    fn found(&self) -> &Found {
        &self.known.as_ref().unwrap().found
    }
}

#[test]
fn only_whole_lines_are_taken_and_none_twice() {
    let mut transcript = Transcript::new("1\n2\r\n3");
    assert_eq!(transcript.read(), "1 2");
    assert_eq!(transcript.known.as_ref().unwrap().offset, 5);
    transcript.append("4\n\n5\n");
    assert_eq!(transcript.read(), "34 5");
    assert!(transcript.piece().is_none());
    assert_eq!(transcript.found(), &Found { lines: 5, ..Found::default() });
}

#[test]
fn what_is_not_understood_is_counted() {
    let mut transcript = Transcript::new("1\nx\n?new\n?new\n2\n");
    assert_eq!(transcript.read(), "1 2");
    let found = transcript.found();
    assert_eq!((found.lines, found.broken, found.unknown.get("new")), (5, 1, Some(&2)));
    assert_eq!(found.problem.as_deref(), Some("line 2: no number"));
}

#[test]
fn a_file_that_is_not_the_same_any_more_is_read_from_its_beginning() {
    let check = |change: &dyn Fn(&Path), problem: &str| {
        let mut transcript = Transcript::new("1\n2\n3\n");
        assert_eq!(transcript.read(), "1 2 3");
        change(&transcript.path());
        assert_eq!(transcript.read(), "7 8", "{problem}");
        assert_eq!(transcript.found().problem.as_deref(), Some(problem));
    };
    check(&|path| fs::write(path, "7\n8\n").unwrap(), "cut");
    check(&|path| fs::write(path, "7\n8\n".to_owned() + "0").unwrap(), "cut");
    let anew = |path: &Path| {
        let other = path.with_extension("new");
        fs::write(&other, "7\n8\n").unwrap();
        fs::rename(other, path).unwrap();
    };
    check(&anew, "replaced by another file");
    let mut transcript = Transcript::new("1\n2\n3\n");
    transcript.read();
    fs::write(transcript.path(), "7\n8\n9\n10\n").unwrap();
    assert_eq!(transcript.read(), "7 8 9 10");
    assert_eq!(transcript.found().problem.as_deref(), Some("written anew"));
}

#[test]
fn a_deleted_file_and_a_link_are_not_read() {
    let mut transcript = Transcript::new("1\n");
    let link = transcript.path().with_extension("link");
    std::os::unix::fs::symlink(transcript.path(), &link).unwrap();
    read_on(&link, "p", &Numbers, None, Context::default).unwrap_err();
    transcript.read();
    fs::remove_file(transcript.path()).unwrap();
    let error = read_on(&transcript.path(), "p", &Numbers, transcript.known, Context::default).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_line_without_end_costs_itself_and_no_memory() {
    let long = "0".repeat(LINE_MAX + 3 * READ_SIZE);
    let mut transcript = Transcript::new(&format!("1\n{long}\n2\n"));
    assert_eq!(transcript.read(), "1 2");
    assert_eq!(transcript.found().broken, 1);
    assert_eq!(transcript.known.as_ref().unwrap().offset, (long.len() + 5) as u64);
}

#[test]
fn a_long_file_comes_in_pieces_that_can_be_stopped_at() {
    let lines: String = (1..=100_000).map(|n| format!("{n:060}\n")).collect();
    let mut transcript = Transcript::new(&lines);
    let mut numbers = Vec::new();
    let mut pieces = 0;
    while let Some(piece) = transcript.piece() {
        assert!(piece.replies.len() * 61 <= PIECE_SIZE + READ_SIZE, "{} replies", piece.replies.len());
        numbers.extend(piece.replies.iter().map(|(usage, ..)| usage.tokens.output));
        // What is kept between two pieces is what a new daemon would find in the store.
        let kept = serde_json::to_string(&piece.file.context).unwrap();
        assert_eq!(serde_json::from_str::<Context>(&kept).unwrap(), piece.file.context);
        pieces += 1;
    }
    assert_eq!(numbers, (1..=100_000).collect::<Vec<_>>());
    assert!(pieces >= 2, "{pieces} pieces");
}

#[test]
fn what_was_counted_ahead_is_read_without_being_counted_again() {
    let mut transcript = Transcript::new("2\n4\n6");
    assert_eq!(transcript.count(), [2, 4]);
    assert_eq!(transcript.places(), (0, Some(4)));
    transcript.append("\n8\n");
    assert_eq!(transcript.count(), [6, 8]);
    assert!(transcript.count().is_empty());
    transcript.append("10\n");
    let mut same = Transcript { known: transcript.known.clone(), folder: transcript.folder };
    assert_eq!(same.replies(), [10]);
    assert_eq!(same.places(), (11, None));
    assert_eq!(same.found().lines, 5);
    assert!(same.count().is_empty());
    same.append("12\n");
    assert_eq!(same.count(), [12]);
    assert_eq!(same.places(), (11, Some(14)));
}

#[test]
fn where_a_reply_depends_on_other_lines_all_are_counted_from_where_all_were_read() {
    let mut transcript = Transcript::new("1\n2\n");
    assert_eq!(transcript.replies(), [1, 2]);
    transcript.append("4\n6\n");
    assert_eq!(transcript.count(), [4, 6]);
    transcript.append("8\n7\n");
    assert_eq!(transcript.count(), [4, 6, 8, 7]);
    assert_eq!(transcript.places(), (4, Some(12)));
    // Those are counted, whatever else they say.
    assert!(transcript.replies().is_empty());
}

#[test]
fn a_file_that_is_another_one_when_it_is_read_was_not_counted() {
    for anew in ["8\n10\n12\n14\n", "8\n"] {
        let mut transcript = Transcript::new("2\n4\n6\n");
        assert_eq!(transcript.count(), [2, 4, 6]);
        fs::write(transcript.path(), anew).unwrap();
        let expected: Vec<u64> = anew.lines().map(|line| line.parse().unwrap()).collect();
        let mut counted =
            Transcript { known: transcript.known.clone(), folder: tempfile::tempdir().unwrap() };
        fs::rename(transcript.path(), counted.path()).unwrap();
        assert_eq!(counted.count(), expected, "counted");
        fs::rename(counted.path(), transcript.path()).unwrap();
        assert_eq!(transcript.replies(), expected, "read");
        assert_eq!(transcript.places(), (anew.len() as u64, None));
    }
}
