//! Takes in all that agents left on this machine, in one go and two passes: first the replies are counted, so that all
//! figures are complete within seconds, then everything is read. Threads read ahead while what was read is committed.
//!
//! It can be stopped at any moment and begun again: both places in each file are stored with what was taken of it.

use super::intake::{Intake, Source};
use super::tail::Piece;
use crate::app::App;
use codepiper_api::knowledge::{ImportProblem, ImportProgress};
use codepiper_core::provider::Provider;
use codepiper_store::knowledge as store;
use jiff::Timestamp;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;
use tokio::sync::{mpsc, watch};
use walkdir::WalkDir;

/// Pieces that are read ahead; each is about as large in memory as what is taken of its file.
const AHEAD_MAX: usize = 8;

/// Pieces that are committed together: pages that several of them change are written once, and what could be undone stays
/// small.
const TOGETHER_MAX: usize = 4;

/// Threads that count. What they find is little, so the writer waits for them; when everything is read, they for it.
const COUNTING_THREADS: usize = 2;

/// Problems that are told one by one.
const PROBLEMS_MAX: usize = 100;

/// How deep transcripts lie in a provider's folder: year, month, day; or folder, conversation, sub-agents.
const DEPTH_MAX: usize = 5;

/// A provider and its folder.
pub(crate) struct From {
    pub(crate) provider: Provider,
    pub(crate) folder: PathBuf,
}

/// What is taken of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// What replies took.
    Counting,
    /// Everything.
    Reading,
}

/// What comes from a thread that reads.
enum Read {
    Piece(Arc<Source>, Box<Piece>),
    Unreadable(Arc<Source>, anyhow::Error),
    /// A file was read to its end; so many bytes of it were known before.
    Done {
        known: u64,
    },
}

/// Reads everything there is, and tells how far it is.
pub(super) async fn run(
    app: Arc<App>,
    from: Vec<From>,
    told: &watch::Sender<ImportProgress>,
) -> anyhow::Result<()> {
    let found = tokio::task::spawn_blocking(move || find(&from)).await?;
    told.send_modify(|progress| {
        progress.files = found.len() as u64;
        progress.bytes = found.iter().map(|(_, size)| size).sum();
    });
    let found = found.into_iter().map(|(source, _)| Arc::new(source)).collect();
    app.store.write(|tx| store::set_up(tx, true)).await?;
    let taken = both_passes(&app, found, told).await;
    app.store.write(|tx| store::set_up(tx, false)).await?;
    taken
}

async fn both_passes(
    app: &Arc<App>,
    found: Arc<[Arc<Source>]>,
    told: &watch::Sender<ImportProgress>,
) -> anyhow::Result<()> {
    let mut intake = Intake::new(app.clone());
    go_through(app, &mut intake, found.clone(), Pass::Counting, told).await?;
    told.send_modify(|progress| progress.counted = true);
    app.knowledge.grown.send_replace(());
    go_through(app, &mut intake, found, Pass::Reading, told).await
}

/// Takes of all files what the pass is for.
async fn go_through(
    app: &App,
    intake: &mut Intake,
    found: Arc<[Arc<Source>]>,
    pass: Pass,
    told: &watch::Sender<ImportProgress>,
) -> anyhow::Result<()> {
    let known = app.store.read(store::files).await?.into_iter();
    let known: Arc<HashMap<String, store::File>> =
        Arc::new(known.map(|file| (file.path.clone(), file)).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let (pieces, mut read) = mpsc::channel(AHEAD_MAX);
    let mut threads = Vec::new();
    for _ in 0..if pass == Pass::Counting { COUNTING_THREADS } else { 1 } {
        let (found, known, next, pieces) = (found.clone(), known.clone(), next.clone(), pieces.clone());
        threads.push(tokio::task::spawn_blocking(move || {
            while let Some(source) = found.get(next.fetch_add(1, Ordering::Relaxed)) {
                if !read_file(source, known.get(&source.name()).cloned(), pass, &pieces) {
                    return; // nobody takes it any more
                }
            }
        }));
    }
    drop(pieces); // when the threads are done, all is read
    let taken = take_all(app, intake, &mut read, pass, told).await;
    drop(read); // whoever reads ahead stops
    for thread in threads {
        thread.await?;
    }
    taken
}

/// Commits what was read, some pieces at a time.
async fn take_all(
    app: &App,
    intake: &mut Intake,
    read: &mut mpsc::Receiver<Read>,
    pass: Pass,
    told: &watch::Sender<ImportProgress>,
) -> anyhow::Result<()> {
    let mut some = Vec::new();
    while read.recv_many(&mut some, TOGETHER_MAX).await > 0 {
        let (mut pieces, mut bytes, mut files) = (Vec::new(), 0, 0);
        for read in some.drain(..) {
            let (source, error) = match read {
                Read::Piece(source, piece) => {
                    bytes += piece.end.saturating_sub(piece.begin);
                    match intake.prepare(&source, *piece) {
                        Ok(piece) => {
                            pieces.push(piece);
                            continue;
                        }
                        Err(error) => (source, error),
                    }
                }
                Read::Unreadable(source, error) => (source, error),
                Read::Done { known } => {
                    bytes += known;
                    files += 1;
                    continue;
                }
            };
            // What cannot be counted cannot be read either, and is told then.
            if pass == Pass::Reading {
                tell_problem(intake, &source, &error, told).await;
            }
        }
        // All or none: a piece must not be there without the one before it in its file.
        let taken = app.store.write(move |tx| {
            let now = Timestamp::now();
            pieces.iter().map(|piece| store::take(tx, piece, now)).collect::<Result<Vec<_>, _>>()
        });
        let taken = taken.await?;
        told.send_modify(|progress| {
            match pass {
                Pass::Counting => progress.bytes_counted += bytes,
                Pass::Reading => {
                    progress.bytes_done += bytes;
                    progress.files_done += files;
                }
            }
            progress.entries += taken.iter().map(|taken| taken.entries as u64).sum::<u64>();
            progress.replies += taken.iter().map(|taken| taken.replies as u64).sum::<u64>();
        });
    }
    Ok(())
}

async fn tell_problem(
    intake: &Intake,
    source: &Source,
    error: &anyhow::Error,
    told: &watch::Sender<ImportProgress>,
) {
    let why = intake.note_problem(source, error).await;
    told.send_modify(|progress| {
        if progress.problems.len() < PROBLEMS_MAX {
            progress.problems.push(ImportProblem { path: source.name(), why });
        }
    });
}

/// Sends a file piece by piece. `false` when nobody listens.
fn read_file(
    source: &Arc<Source>,
    mut known: Option<store::File>,
    pass: Pass,
    pieces: &mpsc::Sender<Read>,
) -> bool {
    let send = |read| pieces.blocking_send(read).is_ok();
    let mut counting = source.counting();
    let mut begun_at = None;
    loop {
        let piece = match pass {
            Pass::Counting => source.count_on(known.clone(), &mut counting),
            Pass::Reading => source.read_on(known.clone()),
        };
        match piece {
            Ok(Some(piece)) => {
                begun_at.get_or_insert(piece.begin);
                let has_more = piece.has_more;
                known = Some(piece.file.clone());
                if !send(Read::Piece(source.clone(), Box::new(piece))) {
                    return false;
                }
                if !has_more {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                if !send(Read::Unreadable(source.clone(), error.into())) {
                    return false;
                }
                break;
            }
        }
    }
    let was_there = |file: store::File| match (pass, file.ahead) {
        (Pass::Counting, Some(ahead)) => ahead.offset.max(file.offset),
        _ => file.offset,
    };
    let known = begun_at.unwrap_or_else(|| known.map_or(0, was_there));
    send(Read::Done { known })
}

/// All transcripts with their sizes, the oldest first: what a conversation copied from another is then known already.
fn find(from: &[From]) -> Vec<(Source, u64)> {
    let mut found = Vec::new();
    for From { provider, folder } in from {
        for part in provider.dialect().history_folders(folder) {
            let walk = WalkDir::new(&part).max_depth(DEPTH_MAX).follow_links(false);
            for entry in walk.into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file()) {
                let Ok(facts) = entry.metadata() else { continue };
                let source = Source::new(entry.into_path(), folder, provider.id(), provider.dialect(), None);
                let born = facts.created().or_else(|_| facts.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
                found.extend(source.map(|source| (born, source, facts.len())));
            }
        }
    }
    found.sort_by(|(born, source, _), (other, another, _)| (born, &source.path).cmp(&(other, &another.path)));
    found.into_iter().map(|(_, source, size)| (source, size)).collect()
}
