//! From a piece of a file to rows: priced, placed, committed.

use super::tail::{self, Counting, Piece};
use crate::app::App;
use codepiper_core::ids::SessionId;
use codepiper_core::provider::Dialect;
use codepiper_core::transcript::{Context, FileKind};
use codepiper_store::knowledge::{self as store, Place, Reply, Taken};
use jiff::Timestamp;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is noted of a file that is no longer there.
pub(super) const DELETED: &str = "deleted";

/// Folders whose repository is remembered.
const REPOS_MAX: usize = 1_000;

/// A transcript that may be read.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) provider: String,
    pub(super) dialect: &'static dyn Dialect,
    pub(super) session: Option<SessionId>,
    kind: FileKind,
}

impl Source {
    /// A file in the provider's folder. `None` for one that is not there, or no transcript.
    pub(super) fn new(
        path: PathBuf,
        folder: &Path,
        provider: &str,
        dialect: &'static dyn Dialect,
        session: Option<SessionId>,
    ) -> Option<Self> {
        // Compared as they really are: a link in the provider's folder may lead anywhere.
        let folder = folder.canonicalize().ok()?;
        let real = path.parent()?.canonicalize().ok()?.join(path.file_name()?);
        let root = dialect.transcript_root(&folder);
        let kind = dialect.reader()?.file(real.strip_prefix(root).ok()?.to_str()?)?;
        Some(Self { path, provider: provider.to_owned(), dialect, session, kind })
    }

    /// Its name in the store.
    pub(super) fn name(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// What is there behind what is known. Blocks.
    pub(super) fn read_on(&self, known: Option<store::File>) -> io::Result<Option<Piece>> {
        let Some(reader) = self.dialect.reader() else { return Ok(None) };
        tail::read_on(&self.path, &self.provider, reader, known, || self.begin())
    }

    /// The replies behind those that are counted. Blocks.
    pub(super) fn count_on(
        &self,
        known: Option<store::File>,
        how: &mut Counting,
    ) -> io::Result<Option<Piece>> {
        let Some(reader) = self.dialect.reader() else { return Ok(None) };
        tail::count_on(&self.path, &self.provider, reader, known, how, || self.begin())
    }

    /// How its replies can be counted.
    pub(super) fn counting(&self) -> Counting {
        // Which conversation this is may be told by any line.
        if self.kind.conversation.is_none() { Counting::All } else { Counting::Chosen }
    }

    fn begin(&self) -> Context {
        let FileKind { conversation, agent } = self.kind.clone();
        Context { conversation, agent, ..Context::default() }
    }
}

/// Takes pieces in.
pub(super) struct Intake {
    app: Arc<App>,
    /// The repository of each folder.
    repos: HashMap<String, Option<String>>,
}

impl Intake {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app, repos: HashMap::new() }
    }

    /// Reads a file to its end. Whether anything was new.
    pub(super) async fn read_to_end(&mut self, source: &Source) -> anyhow::Result<bool> {
        let name = source.name();
        let mut known = self.app.store.read(move |db| store::file(db, &name)).await?;
        let mut news = false;
        loop {
            let reading = source.clone();
            let piece = tokio::task::spawn_blocking(move || reading.read_on(known)).await??;
            let Some(piece) = piece else { return Ok(news) };
            let (has_more, file) = (piece.has_more, piece.file.clone());
            self.take(source, piece).await?;
            news = true;
            if !has_more {
                return Ok(news);
            }
            known = Some(file);
        }
    }

    /// Commits a piece.
    pub(super) async fn take(&mut self, source: &Source, piece: Piece) -> anyhow::Result<Taken> {
        let piece = self.prepare(source, piece)?;
        Ok(self.app.store.write(move |tx| store::take(tx, &piece, Timestamp::now())).await?)
    }

    /// What the store takes in: with the cost of each reply and the place where it was.
    pub(super) fn prepare(&mut self, source: &Source, piece: Piece) -> anyhow::Result<store::Piece> {
        let prices = self.app.knowledge.prices.table();
        let mut places: Vec<Place> = Vec::new();
        let mut replies: Vec<Reply> = Vec::new();
        let mut heard: HashMap<String, usize> = HashMap::new();
        for (mut usage, cwd, branch) in piece.replies {
            usage.tokens = usage.tokens.believed();
            // The lines of one reply stand together; each has a price to find only once.
            if let Some(index) = heard.get(&usage.key) {
                replies[*index].usage.take_over(&usage);
                continue;
            }
            let (cwd, branch) = (cwd.unwrap_or_default(), branch.unwrap_or_default());
            let known = places.iter().position(|place| place.cwd == cwd && place.branch == branch);
            let place = known.unwrap_or_else(|| {
                let repo = self.repo_of(&cwd);
                places.push(Place { cwd, branch, repo });
                places.len() - 1
            });
            heard.insert(usage.key.clone(), replies.len());
            replies.push(Reply { usage, cost: None, place });
        }
        for Reply { usage, cost, .. } in &mut replies {
            *cost = prices.cost(&usage.model, usage.at, &usage.tokens, &usage.billing).map(|money| money.0);
        }
        let Some(conversation) = conversation_of(source, &piece.file) else {
            anyhow::bail!("no line says which conversation this is");
        };
        Ok(store::Piece {
            file: piece.file,
            conversation,
            born_at: piece.born_at,
            session: source.session.clone(),
            entries: piece.entries,
            places,
            replies,
        })
    }

    /// The root of the repository a folder is in. A folder that is gone has none any more.
    fn repo_of(&mut self, cwd: &str) -> Option<String> {
        if let Some(known) = self.repos.get(cwd) {
            return known.clone();
        }
        let root =
            Path::new(cwd).ancestors().find(|folder| folder.is_absolute() && folder.join(".git").exists());
        let root = root.map(|root| root.to_string_lossy().into_owned());
        if self.repos.len() >= REPOS_MAX {
            self.repos.clear();
        }
        self.repos.insert(cwd.to_owned(), root.clone());
        root
    }

    /// Notes why a file could not be read on, for `doctor`. What was read of it stays.
    pub(super) async fn note_problem(&self, source: &Source, error: &anyhow::Error) -> String {
        let is_gone =
            error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::NotFound);
        let problem = if is_gone { DELETED.to_owned() } else { format!("{error:#}") };
        let (name, noted) = (source.name(), problem.clone());
        let outcome = self.app.store.write(move |tx| store::note_problem(tx, &name, &noted)).await;
        match outcome {
            Ok(true) if !is_gone => {
                tracing::warn!(transcript = %source.path.display(), problem, "a transcript cannot be read on");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the problem of a transcript is not noted"),
        }
        problem
    }
}

/// The file's name says it, or, of old sub-agents, its lines do.
fn conversation_of(source: &Source, file: &store::File) -> Option<String> {
    let counted = || file.ahead.as_ref().and_then(|ahead| ahead.context.conversation.clone());
    source.kind.conversation.clone().or_else(|| file.context.conversation.clone()).or_else(counted)
}
