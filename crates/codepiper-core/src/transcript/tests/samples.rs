//! The recorded conversations.

use super::{in_one_line, read_all, readers, testdata};
use crate::transcript::{Context, Understood};
use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

#[test]
fn every_recorded_line_is_understood_and_every_entry_has_its_own_uid() {
    for (reader, files) in readers() {
        assert!(files.len() >= 4, "recordings: {files:?}");
        for file in files {
            let mut context = Context::default();
            let lines = read_all(reader, &mut context, &fs::read(&file).unwrap());
            let mut seen = HashSet::new();
            for (number, line) in lines.iter().enumerate() {
                let at = || format!("{}:{}", file.display(), number + 1);
                assert_eq!(line.understood, Understood::Whole, "{}", at());
                for entry in &line.entries {
                    assert!(seen.insert(entry.uid.clone()), "{} twice, again at {}", entry.uid, at());
                    assert!(entry.at.is_some(), "{}", at());
                }
            }
            let agent = file.file_stem().and_then(|name| name.to_str()?.strip_prefix("agent-"));
            assert_eq!(context.agent.as_deref(), agent);
            assert!(context.conversation.is_some() && context.cwd.is_some() && context.model.is_some());
            assert!(
                context.calls.is_empty(),
                "{}: calls without a result: {:?}",
                file.display(),
                context.calls
            );
        }
    }
}

/// The files of expected entries were read beside the recordings, line by line.
#[test]
fn the_entries_of_a_recording_are_what_a_person_reads_in_it() {
    for (reader, files) in readers() {
        let expected = |file: &PathBuf| {
            let name = file.with_extension("txt");
            testdata("transcripts/expected").join(name.file_name().unwrap())
        };
        let checked: Vec<_> =
            files.iter().map(|file| (file, expected(file))).filter(|(_, e)| e.exists()).collect();
        assert!(!checked.is_empty(), "expected entries of one of {files:?}");
        for (file, expected) in checked {
            let lines = read_all(reader, &mut Context::default(), &fs::read(file).unwrap());
            let entries: String = lines.iter().flat_map(|line| &line.entries).map(in_one_line).collect();
            if std::env::var_os("WRITE_EXPECTED").is_some() {
                fs::write(&expected, &entries).unwrap();
            }
            let wanted = fs::read_to_string(&expected).unwrap();
            for (number, (wanted, got)) in wanted.lines().zip(entries.lines()).enumerate() {
                assert_eq!(got, wanted, "{}:{}", expected.display(), number + 1);
            }
            assert_eq!(entries.lines().count(), wanted.lines().count(), "{}", expected.display());
        }
    }
}
