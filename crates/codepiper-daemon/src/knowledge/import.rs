//! Takes in all that agents left on this machine, in one go. A thread reads ahead while what was read is committed.
//!
//! It can be stopped at any moment and begun again: the place in each file is stored with what was read of it.

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
use std::time::SystemTime;
use tokio::sync::{mpsc, watch};
use walkdir::WalkDir;

/// Pieces that are read ahead; each is about as large in memory as in its file.
const AHEAD_MAX: usize = 8;

/// The store's cache while an import runs, in KiB: pages that many rows share are written once.
const IMPORT_CACHE: i64 = 32_000;

/// Problems that are told one by one.
const PROBLEMS_MAX: usize = 100;

/// How deep transcripts lie in a provider's folder: year, month, day; or folder, conversation, sub-agents.
const DEPTH_MAX: usize = 5;

/// A provider and its folder.
pub(crate) struct From {
    pub(crate) provider: Provider,
    pub(crate) folder: PathBuf,
}

/// What comes from the thread that reads.
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
    let mut known: HashMap<String, store::File> = HashMap::new();
    for file in app.store.read(store::files).await? {
        known.insert(file.path.clone(), file);
    }
    let found = tokio::task::spawn_blocking(move || find(&from)).await?;
    told.send_modify(|progress| {
        progress.files = found.len() as u64;
        progress.bytes = found.iter().map(|(_, size)| size).sum();
    });
    let (pieces, mut read) = mpsc::channel(AHEAD_MAX);
    let reading = tokio::task::spawn_blocking(move || {
        for (source, _) in found {
            let known = known.remove(&source.name());
            if !read_file(Arc::new(source), known, &pieces) {
                return; // nobody takes it any more
            }
        }
    });
    let mut intake = Intake::new(app.clone());
    app.store.write(|tx| store::cache(tx, IMPORT_CACHE)).await?;
    let taken = take_all(&app, &mut intake, &mut read, told).await;
    app.store.write(|tx| store::cache(tx, store::USUAL_CACHE)).await?;
    taken?;
    drop(read); // whoever reads ahead stops
    reading.await?;
    Ok(())
}

/// Commits what was read, as much as there is at a time: fewer pages are written often.
async fn take_all(
    app: &App,
    intake: &mut Intake,
    read: &mut mpsc::Receiver<Read>,
    told: &watch::Sender<ImportProgress>,
) -> anyhow::Result<()> {
    let mut some = Vec::new();
    while read.recv_many(&mut some, AHEAD_MAX).await > 0 {
        let (mut pieces, mut bytes, mut files) = (Vec::new(), 0, 0);
        for read in some.drain(..) {
            match read {
                Read::Piece(source, piece) => {
                    bytes += piece.file.offset.saturating_sub(piece.begin);
                    match intake.prepare(&source, *piece) {
                        Ok(piece) => pieces.push(piece),
                        Err(error) => told_problem(intake, &source, &error, told).await,
                    }
                }
                Read::Unreadable(source, error) => told_problem(intake, &source, &error, told).await,
                Read::Done { known } => {
                    bytes += known;
                    files += 1;
                }
            }
        }
        let taken = app.store.write(move |tx| {
            let now = Timestamp::now();
            pieces.iter().map(|piece| store::take(tx, piece, now)).collect::<Result<Vec<_>, _>>()
        });
        let taken = taken.await?;
        told.send_modify(|progress| {
            progress.bytes_done += bytes;
            progress.files_done += files;
            progress.entries += taken.iter().map(|taken| taken.entries as u64).sum::<u64>();
            progress.replies += taken.iter().map(|taken| taken.replies as u64).sum::<u64>();
        });
    }
    Ok(())
}

async fn told_problem(
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
fn read_file(source: Arc<Source>, mut known: Option<store::File>, pieces: &mpsc::Sender<Read>) -> bool {
    let send = |read| pieces.blocking_send(read).is_ok();
    let mut begun_at = None;
    loop {
        match source.read_on(known.clone()) {
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
    let known = begun_at.unwrap_or_else(|| known.map_or(0, |file| file.offset));
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
