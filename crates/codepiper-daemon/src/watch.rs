//! Folders that tell when something in them changed. One system watcher serves everybody.
//!
//! A tick says only that something changed: whoever gets it looks for itself, so ticks may be merged and
//! none is ever missed.
//!
//! The law to keep: the map of folders is never locked while the system watcher is called. That call waits
//! for the watcher's own thread, and that thread may be waiting for the map to deliver a tick.

use anyhow::{Context, Result};
use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The watcher.
#[derive(Clone)]
pub struct Watch {
    shared: Arc<Shared>,
}

struct Shared {
    watcher: Mutex<Option<RecommendedWatcher>>,
    folders: Mutex<HashMap<PathBuf, Folder>>,
}

struct Folder {
    ticks: watch::Sender<()>,
    watched_by: usize,
}

/// One watched folder. Dropping it ends the watch.
pub struct Watched {
    shared: Arc<Shared>,
    folder: PathBuf,
    ticks: watch::Receiver<()>,
}

impl Watch {
    /// Starts the watcher.
    pub fn start() -> Result<Self> {
        let shared = Arc::new(Shared { watcher: Mutex::default(), folders: Mutex::default() });
        let weak = Arc::downgrade(&shared);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Some(shared) = weak.upgrade() else { return };
            match event {
                Ok(event) if event.need_rescan() => shared.tick_all(),
                Ok(event) => shared.tick(&event),
                Err(error) => {
                    tracing::warn!(%error, "the file watcher reports an error");
                    shared.tick_all();
                }
            }
        })
        .context("starting the file watcher")?;
        *lock(&shared.watcher) = Some(watcher);
        Ok(Self { shared })
    }

    /// Watches a folder that exists. The first tick is there at once: what happened before must be looked at.
    pub fn folder(&self, path: &Path) -> Result<Watched> {
        let folder = path.canonicalize().with_context(|| format!("watching {}", path.display()))?;
        // Held throughout: beginnings and ends of watches come one after the other.
        let mut watcher = lock(&self.shared.watcher);
        let is_new = !lock(&self.shared.folders).contains_key(&folder);
        if is_new {
            watcher
                .as_mut()
                .context("the file watcher has stopped")?
                .watch(&folder, RecursiveMode::NonRecursive)
                .with_context(|| format!("watching {}", folder.display()))?;
        }
        let mut folders = lock(&self.shared.folders);
        let entry = folders
            .entry(folder.clone())
            .or_insert_with(|| Folder { ticks: watch::Sender::new(()), watched_by: 0 });
        entry.watched_by += 1;
        let mut ticks = entry.ticks.subscribe();
        ticks.mark_changed();
        drop(folders);
        Ok(Watched { shared: self.shared.clone(), folder, ticks })
    }
}

impl Watched {
    /// Counts only what changes from now on.
    pub fn forget_past(&mut self) {
        self.ticks.mark_unchanged();
    }

    /// Waits until something changed since the last call.
    pub async fn changed(&mut self) {
        if self.ticks.changed().await.is_err() {
            std::future::pending::<()>().await; // the watcher has gone with the daemon
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut watcher = lock(&self.shared.watcher);
        let mut folders = lock(&self.shared.folders);
        let Some(entry) = folders.get_mut(&self.folder) else { return };
        entry.watched_by -= 1;
        let is_last = entry.watched_by == 0;
        if is_last {
            folders.remove(&self.folder);
        }
        drop(folders);
        if is_last
            && let Some(watcher) = watcher.as_mut()
            && let Err(error) = watcher.unwatch(&self.folder)
        {
            tracing::debug!(%error, folder = %self.folder.display(), "a watch had ended already");
        }
    }
}

impl Shared {
    fn tick(&self, event: &notify::Event) {
        let is_change = match event.kind {
            EventKind::Access(_) => false, // our own reading
            EventKind::Modify(ModifyKind::Metadata(_)) => false,
            _ => true,
        };
        if is_change {
            let folders = lock(&self.folders);
            for path in &event.paths {
                if let Some(folder) = path.parent().and_then(|parent| folders.get(parent)) {
                    folder.ticks.send_replace(());
                }
            }
        }
    }

    fn tick_all(&self) {
        for folder in lock(&self.folders).values() {
            folder.ticks.send_replace(());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_change_is_told_and_reading_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        let watch = Watch::start().unwrap();
        let mut watched = watch.folder(folder.path()).unwrap();
        watched.changed().await; // what was there before
        std::fs::write(&file, "1").unwrap();
        tokio::time::timeout(Duration::from_secs(10), watched.changed()).await.expect("a tick");
    }

    #[test]
    fn watches_come_and_go_while_ticks_are_delivered() {
        let folder = tempfile::tempdir().unwrap();
        let watch = Watch::start().unwrap();
        let (done, is_done) = std::sync::mpsc::channel();
        let path = folder.path().to_owned();
        let writing = std::thread::spawn({
            let path = path.clone();
            move || {
                for n in 0..2_000 {
                    std::fs::write(path.join(format!("f{}", n % 7)), "x").unwrap();
                }
            }
        });
        std::thread::spawn(move || {
            for _ in 0..500 {
                drop(watch.folder(&path).unwrap());
            }
            done.send(()).unwrap();
        });
        is_done.recv_timeout(Duration::from_secs(60)).expect("a deadlock");
        writing.join().unwrap();
    }
}
