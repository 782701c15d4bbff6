//! A new session: checks what was asked, stores the row, then starts it. A start that fails takes everything
//! back but its reason.

use super::actor::{Actor, Approvals, Command, Ends};
use super::known::{Known, LaunchRecord, Shared, Turn};
use super::launch::{Folder, fresh_uuid, random};
use super::{Handle, MAILBOX_MAX, SIGNALS_MAX, Sessions, channel, input, internal};
use crate::env_sets;
use crate::live;
use crate::workspaces;
use crate::worktrees;
use codepiper_api::defaults::SIZE;
use codepiper_api::sessions::{CreateSession, FormerWorktree, NAME_MAX, ResumeMode, SHELL_VARIABLES};
use codepiper_api::{Fault, Refusal};
use codepiper_core::ids::SessionId;
use codepiper_core::provider::{Conversation, Provider, Sources, Variables};
use codepiper_core::session::{Standing, State};
use codepiper_store::events::{Appended, NewEvent, StoredEvent};
use codepiper_store::sessions::SessionRow;
use codepiper_store::{events, sessions};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// Arguments for the agent, as in the original.
const ARGS_MAX: usize = 100;

/// Characters of one argument, as in the original.
const ARG_MAX: usize = 10_240;

/// Variables for the agent, as in the original.
const ENV_MAX: usize = 1_000;

/// Bytes of one variable's value, as in the original.
const ENV_VALUE_MAX: usize = 65_536;

/// Attempts to find an id that is free. With a million sessions one attempt fails 1 time in 4,000.
const ID_ATTEMPTS: usize = 16;

impl Sessions {
    /// Creates a session and starts it; with what the person should know of the start.
    pub async fn create(
        &self,
        mut request: CreateSession,
        by: &str,
    ) -> Result<(Handle, Vec<String>), Refusal> {
        let filled = workspaces::fill(&self.app, &mut request).await?;
        let provider = self.app.providers.find(&request.provider)?.clone();
        let cwd = check(&request)?;
        check_capabilities(&provider, &request)?;
        let conversation = self.conversation(&provider, &request)?;
        let mut env_sets = filled.as_ref().map(|filled| filled.env_sets.clone()).unwrap_or_default();
        for set in env_sets::resolve(&self.app, &request.env_set_ids).await? {
            env_sets.retain(|known| known.id != set.id);
            env_sets.push(set);
        }
        if env_sets.is_empty()
            && let Some(parent) = self.parent(&provider, &request)
        {
            // A conversation goes on with what its agent had, unless something else is said.
            env_sets.clone_from(&parent.launch.env_sets);
        }
        // The most common mistakes are told before anything is made.
        let sources = Sources {
            daemon: self.app.config.environment.clone(),
            shell: request.shell_env.clone(),
            sets: env_sets::variables(&self.app, &env_sets).await?,
            given: request.env.clone(),
            ..Sources::default()
        };
        self.app.providers.require(&provider, sources.last("PATH").map(String::as_str))?;
        drop(sources);

        let id = self.free_id()?;
        crate::policies::attach_at_start(&self.app, &id, &request.policy_set_ids).await?;
        let worktree = match &request.worktree {
            Some(wanted) => Some(worktrees::create(wanted, &cwd, &id).await?),
            None => None,
        };
        let cwd = worktree.as_ref().map_or(cwd, |worktree| worktree.cwd.clone());
        let mut notes = Vec::new();
        let mut known = self.known(id, &provider, &request, &cwd, &conversation, &worktree)?;
        known.launch.env_sets = env_sets;
        if let Some(filled) = filled {
            known.launch.workspace = Some(filled.workspace);
        }
        let outcome = self.place(known, &provider, &request, conversation, by).await;
        if outcome.is_err()
            && let Some(worktree) = &worktree
        {
            let removal = worktrees::remove_if_safe(worktree).await;
            tracing::info!(?removal, "took back the worktree of a failed start");
        }
        let handle = outcome?;
        notes.extend(handle.known().launch_notes.iter().cloned());
        Ok((handle, notes))
    }

    async fn place(
        &self,
        known: Known,
        provider: &Provider,
        request: &CreateSession,
        conversation: Conversation,
        by: &str,
    ) -> Result<Handle, Refusal> {
        let id = known.row.id.clone();
        let folder = Folder(self.app.config.session_folder(&id));
        folder
            .create(&request.env, &request.shell_env)
            .map_err(|error| internal("making the session's folder", error))?;
        let stored = self.insert(&known, by).await;
        if let Err(refusal) = stored {
            remove_folder(&folder.0);
            return Err(refusal);
        }
        let handle = self.spawn(known, provider.clone(), Approvals::default());
        let started = handle.ask(|reply| Command::Launch { conversation, reply }).await;
        if let Err(refusal) = started {
            self.forget(&handle).await;
            return Err(refusal);
        }
        Ok(handle)
    }

    /// Starts the tasks of a session and lists it.
    pub(super) fn spawn(&self, known: Known, provider: Provider, approvals: Approvals) -> Handle {
        let id = known.row.id.clone();
        let (commands, mailbox) = mpsc::channel(MAILBOX_MAX);
        let (inputs, input_line) = mpsc::channel(MAILBOX_MAX);
        let (signals, _) = broadcast::channel(SIGNALS_MAX);
        let known = Shared::new(known);
        let (publish, known_rx) = watch::channel(known.share());
        let (open_channel, channel_rx) = watch::channel(None);
        let handle = Handle {
            id: id.clone(),
            commands,
            inputs,
            known: known_rx,
            signals: signals.clone(),
            channel: channel_rx.clone(),
        };
        let ends = Ends { publish, signals, commands: mailbox, channel: channel_rx };
        let actor = Actor::new(self.app.clone(), known, provider.clone(), approvals, ends);
        let sessions = self.clone();
        let task = tokio::spawn(actor.run());
        if provider.has_channel() {
            tokio::spawn(channel::keep(self.app.clone(), handle.clone(), open_channel));
        }
        tokio::spawn(input::line(self.app.clone(), provider, handle.clone(), input_line));
        tokio::spawn(async move {
            if let Err(error) = task.await {
                // One session's trouble is its own: it is marked by being gone until the next start.
                tracing::error!(%error, session = %id, "the task of a session ended in a panic");
            }
            sessions.lock().remove(&id);
        });
        self.lock().insert(handle.id.clone(), handle.clone());
        handle
    }

    /// Takes an ended session off the list; what became of its worktree, if it had one.
    pub async fn remove(&self, handle: &Handle) -> Result<Option<FormerWorktree>, Refusal> {
        let known = handle.known();
        handle.ask(|reply| Command::Remove { reply }).await?;
        live::forget(&self.app, &handle.id);
        self.lock().remove(&handle.id); // its task does so too, but a moment after the answer
        let Some(worktree) = &known.launch.worktree else { return Ok(None) };
        match serde_json::from_value::<worktrees::Worktree>(worktree.clone()) {
            Ok(worktree) => {
                let removal = worktrees::remove_if_safe(&worktree).await;
                tracing::info!(session = %handle.id, ?removal, "looked at the session's worktree");
                Ok(Some(removal.told(&worktree)))
            }
            Err(error) => {
                tracing::warn!(%error, session = %handle.id, "its worktree is not understood");
                Ok(None)
            }
        }
    }

    async fn forget(&self, handle: &Handle) {
        let (reply, removed) = oneshot::channel();
        if handle.commands.send(Command::Remove { reply }).await.is_ok()
            && let Ok(Err(refusal)) = removed.await
        {
            tracing::warn!(%refusal, session = %handle.id, "a failed start stays on the list");
        }
    }

    fn known(
        &self,
        id: SessionId,
        provider: &Provider,
        request: &CreateSession,
        cwd: &Path,
        conversation: &Conversation,
        worktree: &Option<worktrees::Worktree>,
    ) -> Result<Known, Refusal> {
        let now = Timestamp::now();
        let standing =
            Standing { state: State::Starting, since: now, reason: "the agent is starting".into() };
        let (origin, parent) = match conversation {
            Conversation::New { .. } => ("codepiper", None),
            Conversation::Resume { .. } => ("resume", None),
            Conversation::Fork { parent, .. } => ("fork", Some(parent.clone())),
        };
        if let Some((field, why)) = request.budget.fault() {
            return Err(Refusal::field("budget", format_args!("`{field}` {why}")));
        }
        let launch = LaunchRecord {
            args: request.args.clone(),
            billing_mode: request.billing_mode.unwrap_or_default(),
            dangerous: request.dangerous_mode,
            model: request.model.clone(),
            budget: request.budget,
            worktree: worktree.as_ref().map(|worktree| json!(worktree)),
            env_sets: Vec::new(),
            workspace: None,
            origin: origin.into(),
            parent,
            was_prompted: !matches!(conversation, Conversation::New { .. }),
        };
        let row = SessionRow {
            id,
            name: request.name.as_ref().map(|name| name.trim().to_owned()),
            provider: provider.id().to_owned(),
            cwd: cwd.display().to_string(),
            standing,
            launch: Value::Null,
            provider_session: None,
            transcript_path: None,
            model: request.model.clone().or_else(|| {
                // A conversation that goes on keeps its model, and its agent does not say it again.
                self.parent(provider, request)?.row.model.clone()
            }),
            process: None,
            end_requested: None,
            cols: request.cols.unwrap_or(SIZE.0),
            rows: request.rows.unwrap_or(SIZE.1),
            created_at: now,
            updated_at: now,
        };
        Ok(Known {
            row,
            launch,
            process: None,
            input_is_dirty: false,
            status_line: None,
            turn: Turn::Over,
            launch_notes: Vec::new(),
        })
    }

    /// The session whose conversation goes on: the one that is named; by the agent's own id the last one of ours that
    /// had it.
    fn parent(&self, provider: &Provider, request: &CreateSession) -> Option<Arc<Known>> {
        let wanted = &request.provider_resume.as_ref()?.provider_session_id;
        let had_it = |known: &Arc<Known>| {
            known.row.provider == provider.id() && known.row.provider_session.as_ref() == Some(wanted)
        };
        let named = self.find(wanted).ok().map(|handle| handle.known());
        named.or_else(|| self.list().into_iter().rev().find(had_it))
    }

    async fn insert(&self, known: &Known, by: &str) -> Result<(), Refusal> {
        let row = known.to_row();
        let payload = json!({ "by": by, "provider": row.provider, "cwd": row.cwd, "name": row.name });
        let event = NewEvent {
            session: row.id.clone(),
            at: row.created_at,
            source: "session".into(),
            kind: "created".into(),
            payload,
            uid: None,
        };
        let for_store = event.clone();
        let outcome = self
            .app
            .store
            .write(move |tx| {
                if !sessions::insert(tx, &row)? {
                    return Ok(None);
                }
                events::append(tx, &for_store).map(Some)
            })
            .await;
        match outcome {
            Ok(Some(Appended::New(seq))) => {
                self.app.bus.announce(StoredEvent { seq, event });
                Ok(())
            }
            Ok(_) => Err(Refusal::new(Fault::Conflict, "the id of the new session was taken in between")
                .hint("try again")),
            Err(error) if error.to_string().contains("UNIQUE constraint failed: sessions.name") => {
                Err(Refusal::new(
                    Fault::Conflict,
                    format!("another session is called `{}`", known.row.name.as_deref().unwrap_or_default()),
                )
                .hint("choose another name, or `codepiper rm` the other one"))
            }
            Err(error) => Err(internal("storing the session", error)),
        }
    }

    fn free_id(&self) -> Result<SessionId, Refusal> {
        for _ in 0..ID_ATTEMPTS {
            let bits = random(4).try_into().map_or(0, u32::from_le_bytes);
            let id = SessionId::from_bits(bits);
            let is_free = !self.lock().contains_key(&id) && !self.app.config.session_folder(&id).exists();
            if is_free {
                return Ok(id);
            }
        }
        Err(Refusal::new(Fault::Internal, "no free session id was found"))
    }

    fn conversation(&self, provider: &Provider, request: &CreateSession) -> Result<Conversation, Refusal> {
        let Some(resume) = &request.provider_resume else {
            return Ok(Conversation::New { id: fresh_uuid() });
        };
        let wanted = resume.provider_session_id.as_str();
        let id = match self.find(wanted) {
            Ok(handle) => {
                let known = handle.known();
                if known.row.provider != provider.id() {
                    return Err(Refusal::new(
                        Fault::Conflict,
                        format!(
                            "session {} is one of {}, not of {}",
                            known.row.id,
                            known.row.provider,
                            provider.id()
                        ),
                    ));
                }
                known.row.provider_session.clone().ok_or_else(|| {
                    Refusal::new(Fault::Conflict, format!("session {} has no conversation yet", known.row.id))
                })?
            }
            Err(refusal) if refusal.code == Fault::Ambiguous => return Err(refusal),
            // Not ours: the agent's own id of a conversation that began elsewhere.
            Err(_) if is_conversation_id(wanted) => wanted.to_owned(),
            Err(refusal) => return Err(refusal),
        };
        let all = self.list();
        let writer = all.iter().find(|known| {
            known.state().is_live()
                && known.row.provider == provider.id()
                && known.row.provider_session.as_ref() == Some(&id)
        });
        if let (ResumeMode::Resume, Some(known)) = (resume.mode, writer) {
            let session = &known.row.id;
            return Err(Refusal::new(
                Fault::Conflict,
                format!("session {session} is running, and two agents must not write one conversation"),
            )
            .hint(format!("fork it with `--fork {session}`, or stop it first")));
        }
        Ok(match resume.mode {
            ResumeMode::Resume => Conversation::Resume { id },
            ResumeMode::Fork => Conversation::Fork { parent: id, id: fresh_uuid() },
        })
    }
}

/// An agent's id of a conversation: what can stand in an argument without being an option or a path.
fn is_conversation_id(text: &str) -> bool {
    text.len() >= 8
        && text.len() <= 128
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn check_capabilities(provider: &Provider, request: &CreateSession) -> Result<(), Refusal> {
    let capabilities = provider.capabilities();
    let label = &provider.definition.label;
    let lacks = |field: &str, what: &str| {
        Err(Refusal::field(field, format_args!("{label} cannot {what}"))
            .hint("`codepiper providers` shows what each can do"))
    };
    match &request.provider_resume {
        Some(resume) if resume.mode == ResumeMode::Resume && !capabilities.supports_resume => {
            lacks("providerResume", "resume a conversation")
        }
        Some(resume) if resume.mode == ResumeMode::Fork && !capabilities.supports_fork => {
            lacks("providerResume", "fork a conversation")
        }
        _ if request.dangerous_mode && !capabilities.supports_dangerous_mode => {
            lacks("dangerousMode", "run without permission questions")
        }
        _ => Ok(()),
    }
}

/// Checks every field; gives the folder to work in.
fn check(request: &CreateSession) -> Result<PathBuf, Refusal> {
    let cwd = Path::new(&request.cwd);
    if request.cwd.is_empty() {
        return Err(Refusal::field("cwd", "is missing: it says where the agent works"));
    }
    if !cwd.is_absolute() {
        return Err(Refusal::field(
            "cwd",
            format_args!("must be an absolute path, `{}` is not", request.cwd),
        ));
    }
    if request.cwd.contains('\0') || cwd.components().any(|part| part == Component::ParentDir) {
        return Err(Refusal::field("cwd", "must be a plain path without `..`"));
    }
    if !cwd.is_dir() {
        let what = if cwd.exists() { "is no folder" } else { "does not exist" };
        return Err(Refusal::field("cwd", format_args!("`{}` {what}", request.cwd)));
    }
    if let Some(name) = &request.name {
        check_name(name)?;
    }
    if request.args.len() > ARGS_MAX {
        return Err(Refusal::field(
            "args",
            format_args!("has {}, at most {ARGS_MAX} are taken", request.args.len()),
        ));
    }
    if let Some(long) = request.args.iter().find(|arg| arg.chars().count() > ARG_MAX || arg.contains('\0')) {
        let shown: String = long.chars().take(40).collect();
        return Err(Refusal::field("args", format_args!("`{shown}…` is longer than {ARG_MAX} characters")));
    }
    if request.env.len() > ENV_MAX {
        return Err(Refusal::field("env", format_args!("has more than {ENV_MAX} variables")));
    }
    for (name, value) in &request.env {
        let mut bytes = name.bytes();
        let starts = bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
        if !starts || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') || name.len() > 256 {
            return Err(Refusal::field("env", format_args!("`{name}` is no name of a variable")));
        }
        if value.len() > ENV_VALUE_MAX || value.contains('\0') {
            return Err(Refusal::field("env", format_args!("`{name}` is longer than {ENV_VALUE_MAX} bytes")));
        }
    }
    check_shell(&request.shell_env)?;
    if let Some(model) = &request.model
        && !is_model(model)
    {
        return Err(Refusal::field("model", "must be 1 to 100 characters without blanks"));
    }
    check_size(request.cols.unwrap_or(SIZE.0), request.rows.unwrap_or(SIZE.1))?;
    Ok(cwd.to_owned())
}

/// What a start may take from the shell it is typed in.
pub fn check_shell(variables: &Variables) -> Result<(), Refusal> {
    for (name, value) in variables {
        if !SHELL_VARIABLES.contains(&name.as_str()) {
            let rule = format!("takes {} only, and `{name}` is none of them", SHELL_VARIABLES.join(", "));
            return Err(Refusal::field("shellEnv", rule).hint("`env` is for other variables"));
        }
        if value.len() > ENV_VALUE_MAX || value.contains('\0') {
            let rule = format!("has a value for `{name}` that is longer than {ENV_VALUE_MAX} bytes");
            return Err(Refusal::field("shellEnv", rule));
        }
    }
    Ok(())
}

/// A name a session may have.
pub fn check_name(name: &str) -> Result<(), Refusal> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(Refusal::field(
            "name",
            format_args!("must be 1 to {NAME_MAX} characters, none of them control"),
        ));
    }
    if SessionId::parse(name).is_ok() {
        return Err(Refusal::field("name", format_args!("`{name}` looks like a session's id")));
    }
    Ok(())
}

/// A model's name that can be an argument and a line.
pub fn is_model(model: &str) -> bool {
    (1..=100).contains(&model.chars().count())
        && !model.starts_with('-')
        && !model.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// A size a terminal may have.
pub fn check_size(cols: u16, rows: u16) -> Result<(), Refusal> {
    if !(10..=1_000).contains(&cols) {
        return Err(Refusal::field("cols", "must be 10 to 1,000"));
    }
    if !(3..=500).contains(&rows) {
        return Err(Refusal::field("rows", "must be 3 to 500"));
    }
    Ok(())
}

fn remove_folder(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder) {
        tracing::warn!(%error, folder = %folder.display(), "a folder stays behind");
    }
}
