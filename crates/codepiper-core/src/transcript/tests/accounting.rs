//! Counting tokens: one folder of `testdata/accounting` for each rule, with totals worked out by hand (`why` says how).
//!
//! Whoever reads the files does so in the order in which they come, and merges what they say by key. So every order
//! must give the same.

use super::{counted, read_all, reader, replies, testdata, transcripts};
use crate::provider::Speaks;
use crate::transcript::{Context, Understood};
use crate::usage::{Tokens, Usage};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    speaks: String,
    why: String,
    totals: Vec<Total>,
}

/// What all replies of one model, billed in one way, took.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Total {
    model: String,
    service: Option<String>,
    speed: Option<String>,
    replies: u64,
    tokens: Tokens,
    vendor_cost: Option<f64>,
}

/// Enough for what is worth trying: 24 orders. More files would make a fixture that nobody works out by hand.
const FILES_MAX: usize = 4;

#[test]
fn every_rule_gives_the_totals_worked_out_by_hand_in_every_order_of_files() {
    let mut fixtures: Vec<_> =
        fs::read_dir(testdata("accounting")).unwrap().map(|folder| folder.unwrap().path()).collect();
    fixtures.sort();
    assert!(fixtures.len() > 20, "{fixtures:?}");
    for fixture in fixtures {
        let expected = fs::read_to_string(fixture.join("expected.json")).unwrap();
        let expected: Expected = serde_json::from_str(&expected).unwrap();
        let speaks = match expected.speaks.as_str() {
            "claude" => Speaks::Claude,
            "codex" => Speaks::Codex,
            other => panic!("{}: {other}", fixture.display()),
        };
        let files = transcripts(&fixture);
        assert!((1..=FILES_MAX).contains(&files.len()), "{}", fixture.display());
        for order in orders(&files) {
            let got = totals(order.iter().flat_map(|file| usages(speaks, file)));
            assert_eq!(
                got,
                sorted(expected.totals.clone()),
                "{}: {}\n{order:#?}",
                fixture.display(),
                expected.why
            );
        }
    }
}

#[test]
fn the_recordings_have_the_totals_that_the_agents_summed_up_themselves() {
    let codex = transcripts(&testdata("transcripts/codex"));
    let tokens =
        |file: &PathBuf| usages(Speaks::Codex, file).iter().fold(0, |sum, usage| sum + usage.tokens.total());
    // `total_tokens` of the last `thread_token_usage`; the fork's begins at 740175, the parent's end.
    assert_eq!(codex.iter().map(tokens).collect::<Vec<_>>(), [9_634, 740_175, 12_987, 754_227 - 740_175]);
    let claude = testdata("transcripts/claude-code/tools-parallel-subagent-background.jsonl");
    let [total] = &totals(usages(Speaks::Claude, &claude))[..] else { panic!("one model") };
    // Counted with another tool: the largest usage of each `message.id`, of which 23 lines hold 13.
    let counted =
        Tokens { input: 271, output: 282, cache_read: 304_547, cache_write_5m: 5_499, ..Tokens::default() };
    assert_eq!((total.replies, total.tokens), (13, counted));
}

fn usages(speaks: Speaks, file: &PathBuf) -> Vec<Usage> {
    let lines = read_all(reader(speaks), &mut Context::default(), &fs::read(file).unwrap());
    assert!(lines.iter().all(|line| line.understood == Understood::Whole), "{}", file.display());
    let usages: Vec<Usage> = lines.into_iter().filter_map(|line| line.usage).collect();
    // Counting is another way through the same file.
    let file_read = fs::read(file).unwrap();
    let lines: Vec<&[u8]> = file_read.split(|byte| *byte == b'\n').collect();
    if let Some(counted) = counted(reader(speaks), &lines) {
        assert_eq!(counted, replies(reader(speaks), &lines), "{}", file.display());
        let counted: Vec<Usage> = counted.into_iter().map(|(usage, ..)| usage).collect();
        assert_eq!(counted, usages, "{}", file.display());
    }
    usages
}

/// Merges as the store does: what says more of the same reply takes its place.
fn totals(usages: impl IntoIterator<Item = Usage>) -> Vec<Total> {
    let mut replies: HashMap<String, Usage> = HashMap::new();
    for usage in usages {
        match replies.get(&usage.key) {
            Some(known) if !usage.says_more_than(&known.tokens) => {}
            _ => drop(replies.insert(usage.key.clone(), usage)),
        }
    }
    let mut totals: BTreeMap<_, Total> = BTreeMap::new();
    for usage in replies.into_values() {
        let (service, speed) = (usage.billing.service, usage.billing.speed);
        let total = totals.entry((usage.model.clone(), service.clone(), speed.clone())).or_insert(Total {
            model: usage.model,
            service,
            speed,
            replies: 0,
            tokens: Tokens::default(),
            vendor_cost: None,
        });
        total.replies += 1;
        total.tokens = total.tokens + usage.tokens;
        if let Some(cost) = usage.vendor_cost {
            total.vendor_cost = Some(total.vendor_cost.unwrap_or_default() + cost);
        }
    }
    totals.into_values().collect()
}

fn sorted(mut totals: Vec<Total>) -> Vec<Total> {
    totals.sort_by_key(|total| (total.model.clone(), total.service.clone(), total.speed.clone()));
    totals
}

/// All orders of some files.
fn orders(files: &[PathBuf]) -> Vec<Vec<&PathBuf>> {
    if files.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (index, first) in files.iter().enumerate() {
        let rest: Vec<PathBuf> = [&files[..index], &files[index + 1..]].concat();
        for order in orders(&rest) {
            let order: Vec<&PathBuf> =
                order.iter().map(|file| files.iter().find(|known| known == file).unwrap()).collect();
            all.push([vec![first], order].concat());
        }
    }
    all
}
