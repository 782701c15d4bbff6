//! Reads what `git status --porcelain=v2 -z --branch` prints. It knows no git, only the format.
//!
//! The law: nothing that is printed is dropped, because what is not seen may be deleted. What is not
//! understood counts as a change.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The state of a checkout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The commit that is checked out; none before the first one.
    pub commit: Option<String>,
    /// The branch; none when HEAD is detached.
    pub branch: Option<String>,
    /// What is not committed.
    pub changes: Vec<Change>,
}

/// A path that is not as in the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// From the root of the checkout.
    pub path: PathBuf,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// What happened to a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// Git knows it. Letters as in `git status --short`, `.` for unchanged.
    Tracked {
        /// Between the commit and the index.
        index: char,
        /// Between the index and the folder.
        folder: char,
        /// Where it was renamed or copied from.
        from: Option<PathBuf>,
    },
    /// A merge left it in conflict.
    Conflict,
    /// Git does not know it; a folder stands for all that is in it.
    Untracked,
    /// A line of a format that is not known; the path is the whole of it.
    NotUnderstood,
}

/// Reads the output. Total: every text has a reading.
pub fn parse(output: &[u8]) -> Status {
    let mut status = Status::default();
    let mut records = output.split(|byte| *byte == 0).filter(|record| !record.is_empty());
    while let Some(record) = records.next() {
        if let Some(header) = record.strip_prefix(b"# ") {
            let header = String::from_utf8_lossy(header);
            match header.split_once(' ') {
                Some(("branch.oid", commit)) if commit != "(initial)" => status.commit = Some(commit.into()),
                Some(("branch.head", branch)) if branch != "(detached)" => {
                    status.branch = Some(branch.into())
                }
                _ => {} // upstream, ahead, behind, stash and what later versions add: none is a change
            }
        } else if !record.starts_with(b"! ") {
            let change = change(record, || records.next());
            status.changes.push(change);
        }
    }
    status
}

fn change<'a>(record: &'a [u8], next: impl FnOnce() -> Option<&'a [u8]>) -> Change {
    // The path is the last field and may have blanks in it.
    let field = |count: usize, index: usize| record.splitn(count, |byte| *byte == b' ').nth(index);
    let letters = || match field(3, 1) {
        Some([index, folder]) => Some((char::from(*index), char::from(*folder))),
        _ => None,
    };
    let read = match (record.first(), letters()) {
        (Some(b'1'), Some((index, folder))) => {
            field(9, 8).map(|path| (path, ChangeKind::Tracked { index, folder, from: None }))
        }
        (Some(b'2'), Some((index, folder))) => {
            field(10, 9).map(|path| (path, ChangeKind::Tracked { index, folder, from: next().map(to_path) }))
        }
        (Some(b'u'), _) => field(11, 10).map(|path| (path, ChangeKind::Conflict)),
        (Some(b'?'), _) => field(2, 1).map(|path| (path, ChangeKind::Untracked)),
        _ => None,
    };
    let (path, kind) = read.unwrap_or((record, ChangeKind::NotUnderstood));
    Change { path: to_path(path), kind }
}

fn to_path(bytes: &[u8]) -> PathBuf {
    OsString::from_vec(bytes.to_owned()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(output: &str, expected: &str) {
        let status = parse(output.replace('|', "\0").as_bytes());
        let mut shown = vec![format!(
            "{} {}",
            status.commit.as_deref().unwrap_or("-"),
            status.branch.as_deref().unwrap_or("-")
        )];
        shown.extend(status.changes.iter().map(|change| match &change.kind {
            ChangeKind::Tracked { index, folder, from: None } => format!("{index}{folder} {:?}", change.path),
            ChangeKind::Tracked { index, folder, from: Some(from) } => {
                format!("{index}{folder} {from:?} -> {:?}", change.path)
            }
            kind => format!("{kind:?} {:?}", change.path),
        }));
        assert_eq!(shown.join("; "), expected, "{output:?}");
    }

    #[test]
    fn every_record_is_read_and_none_is_lost() {
        let h = "1111111111111111111111111111111111111111";
        check("", "- -");
        check("# branch.oid (initial)|# branch.head main|", "- main");
        check("# branch.oid abc|# branch.head (detached)|# stash 2|", "abc -");
        check("# branch.ab +1 -0|# something new|", "- -");
        check(&format!("1 .M N... 100644 100644 100644 {h} {h} a  b |"), r#"- -; .M "a  b ""#);
        check(&format!("1 A. N... 000000 100644 100644 {h} {h} new\nline|"), r#"- -; A. "new\nline""#);
        check(
            &format!("2 R. N... 100644 100644 100644 {h} {h} R100 né w|o l d|? x|"),
            r#"- -; R. "o l d" -> "né w"; Untracked "x""#,
        );
        check(&format!("u UU N... 1 1 1 1 {h} {h} {h} both sides|"), r#"- -; Conflict "both sides""#);
        check("? # no header|? folder/|", r##"- -; Untracked "# no header"; Untracked "folder/""##);
        check("! built.o|", "- -");
    }

    #[test]
    fn what_is_not_understood_counts_as_a_change() {
        check("9 from the future|", r#"- -; NotUnderstood "9 from the future""#);
        check("1 .M cut off|", r#"- -; NotUnderstood "1 .M cut off""#);
        check("1|", r#"- -; NotUnderstood "1""#);
        check("?|", r#"- -; NotUnderstood "?""#);
    }
}
