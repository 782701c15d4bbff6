//! Another model for a running Claude Code.
//!
//! `/model` is typed, its question is answered, and what is reported is what the status line then says. Claude
//! Code saves every switch as the person's default; a switch of one session is no choice for all others, so the
//! default is put back, by the next daemon if this one dies meanwhile.

use super::Signal;
use super::actor::Command;
use super::input::Typist;
use crate::app::App;
use crate::pane::write_whole;
use codepiper_api::{Fault, Refusal};
use codepiper_core::ids::SessionId;
use codepiper_core::keys::Key;
use codepiper_core::provider::claude::model::{Restore, Switch, read_switch, restore_default};
use codepiper_core::session::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::{Mutex, broadcast};
use tokio::time::{Instant, timeout_at};

/// How long a switch may take: a name that is not known is tried with a request first.
const SWITCH_TIME_MAX: Duration = Duration::from_secs(30);

/// How long the command may stand in the input line with nothing drawn before Enter is pressed again.
const STANDS_TIME_MAX: Duration = Duration::from_secs(2);

/// How long the question may stay after it was answered, before it is answered again.
const CONFIRM_PAUSE: Duration = Duration::from_secs(1);

/// How long the status line may take to follow; it runs at most every 0.2 s, and may be turned off.
const TOLD_TIME_MAX: Duration = Duration::from_secs(2);

/// How long the status line must have been quiet for its last word to count.
const TOLD_QUIET: Duration = Duration::from_millis(700);

/// How long Claude Code may take to save the default, so that it can be put back.
const SAVED_TIME_MAX: Duration = Duration::from_secs(1);

/// How long the agent may take to say that its dialog is closed.
const CLOSED_TIME_MAX: Duration = Duration::from_secs(1);

/// One switch at a time: sessions share the settings, and one would remember another's as the person's.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

impl Typist {
    /// Switches the model; gives the one that is then in force.
    pub(super) async fn switch_claude(&self, model: &str) -> Result<String, Refusal> {
        let _others_wait = ONE_AT_A_TIME.lock().await;
        let known = self.handle.known();
        let id = &self.handle.id;
        if *known.state() == State::Running {
            // It would be queued, and ask its question at a time when nobody looks.
            return Err(Refusal::new(Fault::Conflict, format!("session {id} is working on a turn")).hint(
                format!("try again when it is idle, or interrupt it with `codepiper keys {id} escape`"),
            ));
        }
        let folder = self.app.config.session_folder(id);
        let undo = known.process.as_ref().and_then(|process| process.settings_file.clone());
        let undo = undo.and_then(|settings| Undo::note(&folder, settings, model));
        let mut signals = self.handle.signals.subscribe();
        self.text(&format!("/model {model}"), &[], true).await?;
        let outcome = self.follow_switch(model).await;
        if let Some(undo) = undo {
            let patience = if outcome.is_ok() { SAVED_TIME_MAX } else { Duration::ZERO };
            undo.carry_out(&self.app, &folder, patience).await;
        }
        // Its question was a dialog, and until that is known to be closed nothing else would be typed.
        let mut standing = self.handle.watch();
        let is_closed =
            async { standing.wait_for(|known| !matches!(known.state(), State::Waiting(_))).await.map(drop) };
        let _closes_later = tokio::time::timeout(CLOSED_TIME_MAX, is_closed).await;
        outcome?;
        let told = told(&mut signals, model).await;
        let model_now =
            told.or_else(|| self.handle.known().row.model.clone()).unwrap_or_else(|| model.into());
        let (asked, now) = (model.to_owned(), model_now.clone());
        self.handle.ask(|reply| Command::ModelSwitched { asked, model: now, reply }).await?;
        Ok(model_now)
    }

    /// Watches the screen until the switch is done, and confirms it when asked.
    async fn follow_switch(&self, model: &str) -> Result<(), Refusal> {
        let id = &self.handle.id;
        let pane = self.pane()?;
        let until = Instant::now() + SWITCH_TIME_MAX;
        let mut drawn = self.drawn();
        let mut confirm_at = Instant::now();
        loop {
            let screen = self.handle.ask(|reply| Command::Look { reply }).await?;
            match read_switch(&screen, model) {
                Switch::Done => return Ok(()),
                Switch::Refused(said) => {
                    return Err(Refusal::new(Fault::Agent, format!("session {id} did not switch: {said}"))
                        .hint("`codepiper model` alone shows the model in force"));
                }
                // A dialog may be drawn before it listens.
                Switch::Asks => {
                    if confirm_at <= Instant::now() {
                        self.press(&pane, &[Key::Literal('1')]).await?;
                        confirm_at = Instant::now() + CONFIRM_PAUSE;
                    }
                    let _looks_again = timeout_at(confirm_at.min(until), drawn.changed()).await;
                }
                Switch::Nothing => {
                    let next = until.min(Instant::now() + STANDS_TIME_MAX);
                    let is_quiet = timeout_at(next, drawn.changed()).await.is_err();
                    if is_quiet && self.is_still_typed(&format!("/model {model}")).await {
                        // Enter was lost, on a busy machine, between two drawings of the input line.
                        self.press(&pane, &self.submit_keys()).await?;
                    }
                }
            }
            if until <= Instant::now() {
                return Err(Refusal::new(
                    Fault::Agent,
                    format!("session {id} did not say whether it switched"),
                )
                .hint(format!("`codepiper attach {id}` shows what it does")));
            }
        }
    }
}

/// What a switch will have to undo. It is on disk before the switch begins.
#[derive(Debug, Serialize, Deserialize)]
struct Undo {
    settings: PathBuf,
    before: Option<String>,
    model: String,
}

/// Carries out what a daemon that died in the middle of a switch left to do.
pub(super) async fn finish_interrupted_switch(app: &App, id: &SessionId) {
    let folder = app.config.session_folder(id);
    let undo =
        fs::read(folder.join(Undo::FILE)).ok().and_then(|text| serde_json::from_slice::<Undo>(&text).ok());
    if let Some(undo) = undo {
        tracing::info!(session = %id, "a switch of the model was interrupted; the person's default is put back");
        undo.carry_out(app, &folder, SAVED_TIME_MAX).await;
    }
}

impl Undo {
    const FILE: &str = "model-switch.json";

    /// `None` when the settings cannot be read: then they are better left alone.
    fn note(folder: &Path, settings: PathBuf, model: &str) -> Option<Self> {
        let noted = read(&settings).and_then(|before| {
            let undo = Self { settings, before, model: model.to_owned() };
            write_whole(&folder.join(Self::FILE), json!(undo).to_string().as_bytes())?;
            Ok(undo)
        });
        noted
            .inspect_err(|error| tracing::warn!(%error, "the person's default model will not be put back"))
            .ok()
    }

    /// Puts the person's default back once the switch has taken its place, or was given time to.
    async fn carry_out(&self, app: &App, folder: &Path, patience: Duration) {
        let path = &self.settings;
        let until = Instant::now() + patience;
        let mut watched = path.parent().and_then(|folder| app.watch.folder(folder).ok());
        loop {
            let restored = read(path).and_then(|now| {
                match restore_default(self.before.as_deref(), now.as_deref(), &self.model) {
                    Restore::Leave => Ok(false),
                    Restore::Write(text) => replace(path, &text).map(|()| true),
                    Restore::Remove => fs::remove_file(path).map(|()| true),
                }
            });
            match restored {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => {
                    let file = path.display();
                    tracing::warn!(%error, %file, "the person's default model could not be put back");
                    break;
                }
            }
            let Some(watched) = &mut watched else { break };
            if timeout_at(until, watched.changed()).await.is_err() {
                break; // not saved: it was the default before, or cannot be
            }
        }
        if let Err(error) = fs::remove_file(folder.join(Self::FILE)) {
            tracing::warn!(%error, "the note of a switch stays behind");
        }
    }
}

/// The model that the status line tells after a switch: at once when it has the name that was asked for, else
/// its last word. A run that began before the switch still tells of the old one.
async fn told(signals: &mut broadcast::Receiver<Signal>, asked: &str) -> Option<String> {
    let mut until = Instant::now() + TOLD_TIME_MAX;
    let mut last = None;
    loop {
        match timeout_at(until, signals.recv()).await {
            Ok(Ok(Signal::ModelTold { model })) => {
                if model.contains(asked) {
                    return Some(model);
                }
                last = Some(model);
                until = Instant::now() + TOLD_QUIET;
            }
            Ok(Ok(_) | Err(broadcast::error::RecvError::Lagged(_))) => {}
            Ok(Err(broadcast::error::RecvError::Closed)) | Err(_) => return last,
        }
    }
}

/// The file's text; `None` when there is no such file.
fn read(path: &Path) -> std::io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces a file of the person's in one step. It may be a link to where they keep it, and keeps its mode.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = path.canonicalize()?;
    let mode = fs::metadata(&path)?.permissions().mode();
    let mut name = path.clone().into_os_string();
    name.push(format!(".codepiper-{}", std::process::id()));
    let fresh = PathBuf::from(name);
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&fresh, &path));
    if written.is_err() {
        let _never_made = fs::remove_file(&fresh);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settings_file_behind_a_link_stays_behind_it_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("dotfiles.json"), folder.path().join("settings.json"));
        fs::write(&real, "{}").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        replace(&link, "{\"a\":1}").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "{\"a\":1}");
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
