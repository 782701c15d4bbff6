//! Takes in what agents write down: follows the transcripts of live sessions, and whatever else it is told to look at.
//!
//! One task follows the live sessions. Others tell it where to look; a look that gets lost in a full queue is made up for
//! by the slow one that comes anyway. An import runs beside it: what both read counts once all the same. The search is
//! filled when nothing else is to be done: a person's figures come before it.

mod import;
mod intake;
mod prices;
mod tail;

pub(crate) use import::From as ImportFrom;
pub(crate) use prices::{load as load_prices, reprice};

use crate::app::App;
use crate::live;
use crate::sessions::internal;
use codepiper_api::Refusal;
use codepiper_api::knowledge::ImportProgress;
use codepiper_api::service::Transcripts;
use codepiper_core::ids::SessionId;
use codepiper_core::provider::Dialect;
use codepiper_store::knowledge as store;
use intake::{DELETED, Intake, Source};
use prices::Prices;
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Looks that may wait.
const LOOKS_MAX: usize = 1_024;

/// How often to look at the files of live sessions though nothing told to: a file system may forget to tell.
const SAFETY_PAUSE: Duration = Duration::from_secs(30);

/// How long after the last sign of life a file is looked at without being told.
const FOLLOWED_TIME_MAX: Duration = Duration::from_secs(3_600);

/// How long a file is left alone after a look: an agent at work gives a sign with every call, and a look costs more
/// than the sign. What it writes meanwhile is seen so much later.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// A transcript to look at.
#[derive(Clone)]
pub(crate) struct Look {
    /// The file.
    pub(crate) path: PathBuf,
    /// The provider's own folder; a file outside of it is not read.
    pub(crate) folder: PathBuf,
    /// Whose.
    pub(crate) provider: String,
    /// Who understands it.
    pub(crate) dialect: &'static dyn Dialect,
    /// The session that writes it.
    pub(crate) session: Option<SessionId>,
}

/// Where looks are asked for.
#[derive(Clone)]
pub struct Knowledge {
    looks: mpsc::Sender<Look>,
    indexing: mpsc::Sender<()>,
    grown: watch::Sender<()>,
    prices: Prices,
    /// The import that runs, or ran last.
    import: Arc<Mutex<Option<watch::Receiver<ImportProgress>>>>,
}

/// What the task receives.
pub struct Looks {
    asked: mpsc::Receiver<Look>,
    indexing: mpsc::Receiver<()>,
}

impl Knowledge {
    /// The place to ask at, and what [`run`] needs.
    pub fn new() -> (Self, Looks) {
        let (looks, asked) = mpsc::channel(LOOKS_MAX);
        let (index, indexing) = mpsc::channel(1);
        let grown = watch::Sender::new(());
        let prices = Prices::built_in();
        (Self { looks, indexing: index, grown, prices, import: Arc::default() }, Looks { asked, indexing })
    }

    /// Has a transcript read on, soon.
    pub(crate) fn look(&self, look: Look) {
        if self.looks.try_send(look).is_err() {
            tracing::debug!("many transcripts grow at once; one is looked at later");
        }
    }

    /// Whether an import runs. The search waits for its end: figures come first.
    fn is_importing(&self) -> bool {
        let slot = self.import.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().is_some_and(|running| running.has_changed().is_ok())
    }

    /// Ticks when anything was taken in.
    pub fn grown(&self) -> watch::Receiver<()> {
        self.grown.subscribe()
    }
}

/// How well all transcripts were read.
pub(crate) async fn quality(app: &App) -> Result<Transcripts, Refusal> {
    let found = app.store.read(store::quality).await;
    let found = found.map_err(|error| internal("looking at what was read", error))?;
    let count =
        |is: &dyn Fn(&str) -> bool| found.problems.iter().filter(|(why, _)| is(why)).map(|(_, n)| n).sum();
    let read_again = |why: &str| tail::READ_AGAIN.contains(&why);
    // Of a broken line there is its own number.
    let of_line = |why: &str| why.starts_with("line ");
    Ok(Transcripts {
        files: found.files,
        lines: found.lines,
        broken: found.broken,
        unreadable: count(&|why| why != DELETED && !read_again(why) && !of_line(why)),
        read_again: count(&read_again),
        unknown: found.unknown,
    })
}

/// Takes in all that lies in those folders, or joins the import that runs. It goes on when nobody listens.
pub(crate) fn import(app: &Arc<App>, from: Vec<ImportFrom>) -> watch::Receiver<ImportProgress> {
    let mut slot = app.knowledge.import.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = slot.as_ref().filter(|running| running.has_changed().is_ok()) {
        return running.clone();
    }
    let (told, progress) = watch::channel(ImportProgress::default());
    *slot = Some(progress.clone());
    let app = app.clone();
    tokio::spawn(async move {
        match import::run(app.clone(), from, &told).await {
            Ok(()) => told.send_modify(|progress| progress.done = true),
            Err(error) => tracing::warn!(%error, "an import broke off"),
        }
        drop(told); // from here on no import runs
        app.knowledge.grown.send_replace(());
        let _full_means_it_was_told = app.knowledge.indexing.try_send(());
    });
    progress
}

/// Follows transcripts until the daemon ends.
pub async fn run(app: Arc<App>, Looks { mut asked, mut indexing }: Looks) {
    prices::begin(&app).await;
    let mut task = Task { app: app.clone(), intake: Intake::new(app), followed: HashMap::new() };
    let mut waiting = Waiting::default();
    let mut safety = tokio::time::interval(SAFETY_PAUSE);
    let mut may_index = true;
    loop {
        while let Ok(look) = asked.try_recv() {
            task.follow(&look);
            waiting.ask(look);
        }
        if let Some(look) = waiting.next(Instant::now()) {
            may_index |= task.look(&look).await;
            waiting.rest(look.path, Instant::now());
            continue;
        }
        if may_index && waiting.looks.is_empty() && !task.app.knowledge.is_importing() {
            may_index = task.index().await;
            continue;
        }
        let due = waiting.due();
        tokio::select! {
            look = asked.recv() => match look {
                Some(look) => {
                    task.follow(&look);
                    waiting.ask(look);
                }
                None => return,
            },
            Some(()) = indexing.recv() => may_index = true,
            _ = safety.tick() => task.still_followed().into_iter().for_each(|look| waiting.ask(look)),
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
    }
}

/// Looks that were asked for, and the files that were looked at just now.
#[derive(Default)]
struct Waiting {
    looks: VecDeque<Look>,
    /// Until when each is left alone.
    resting: HashMap<PathBuf, Instant>,
}

impl Waiting {
    /// One look at a file serves all who asked before it.
    fn ask(&mut self, look: Look) {
        match self.looks.iter_mut().find(|other| other.path == look.path) {
            Some(other) => *other = look,
            None => self.looks.push_back(look),
        }
    }

    /// The first look at a file that is not to be left alone.
    fn next(&mut self, now: Instant) -> Option<Look> {
        self.resting.retain(|_, until| *until > now);
        let at = self.looks.iter().position(|look| !self.resting.contains_key(&look.path))?;
        self.looks.remove(at)
    }

    fn rest(&mut self, path: PathBuf, now: Instant) {
        self.resting.insert(path, now + LOOK_PAUSE);
    }

    /// When the first of the files has rested, which may be wanted or not.
    fn due(&self) -> Option<Instant> {
        self.resting.values().min().copied().filter(|_| !self.looks.is_empty())
    }
}

struct Task {
    app: Arc<App>,
    intake: Intake,
    /// Files of live sessions, for the slow look, and when somebody last spoke of them.
    followed: HashMap<PathBuf, (Look, Instant)>,
}

impl Task {
    fn follow(&mut self, look: &Look) {
        if look.session.is_some() {
            self.followed.insert(look.path.clone(), (look.clone(), Instant::now()));
        }
    }

    fn still_followed(&mut self) -> Vec<Look> {
        self.followed.retain(|_, (_, told)| told.elapsed() < FOLLOWED_TIME_MAX);
        self.followed.values().map(|(look, _)| look.clone()).collect()
    }

    /// Reads a file and those of its sub-agents to their ends. Whether anything was new.
    async fn look(&mut self, look: &Look) -> bool {
        let mut news = false;
        let subagents = look.dialect.subagent_folder(&look.path);
        let paths = std::iter::once(look.path.clone()).chain(subagents.into_iter().flat_map(files_in));
        for path in paths {
            let Some(source) =
                Source::new(path, &look.folder, &look.provider, look.dialect, look.session.clone())
            else {
                continue;
            };
            match self.intake.read_to_end(&source).await {
                Ok(read) => news |= read,
                Err(error) => {
                    let problem = self.intake.note_problem(&source, &error).await;
                    tracing::debug!(transcript = %source.path.display(), problem, "a transcript cannot be read");
                }
            }
        }
        if let (true, Some(session)) = (news, &look.session) {
            live::count(&self.app, session).await;
        }
        if news {
            self.app.knowledge.grown.send_replace(());
        }
        news
    }

    /// Puts a step of what was taken in into the search. Whether there is more.
    async fn index(&self) -> bool {
        match self.app.store.write(store::index_some).await {
            Ok(more) => more,
            Err(error) => {
                tracing::warn!(%error, "the search does not take in what is new");
                false
            }
        }
    }
}

/// The files of a folder, which may not be there.
fn files_in(folder: PathBuf) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use codepiper_core::provider::Speaks;

    #[test]
    fn a_file_is_left_alone_after_a_look_and_no_look_is_lost() {
        let look = |path: &str| Look {
            path: path.into(),
            folder: "/".into(),
            provider: "claude-code".into(),
            dialect: Speaks::Claude.dialect(),
            session: None,
        };
        let now = Instant::now();
        let mut waiting = Waiting::default();
        let next = |waiting: &mut Waiting, at| waiting.next(at).map(|look| look.path);
        waiting.ask(look("/a"));
        assert_eq!(next(&mut waiting, now), Some("/a".into()));
        waiting.rest("/a".into(), now);
        assert_eq!(waiting.due(), None);
        for path in ["/a", "/b", "/a"] {
            waiting.ask(look(path));
        }
        assert_eq!(next(&mut waiting, now), Some("/b".into()));
        assert_eq!(next(&mut waiting, now), None);
        assert_eq!(waiting.due(), Some(now + LOOK_PAUSE));
        assert_eq!(next(&mut waiting, now + LOOK_PAUSE), Some("/a".into()));
        assert_eq!(next(&mut waiting, now + LOOK_PAUSE), None);
    }
}
