//! Input of one session, one at a time and in order: text that arrives whole and is known to have been taken,
//! keys, pictures.
//!
//! Text goes as a bracketed paste, then Enter by itself, then an acknowledgement is awaited: a hook, a
//! transcript line, or for agents without either the screen. Text and Enter together are lost by both big
//! agents now and then (measured: up to 9 of 25).

use super::actor::Command;
use super::known::Turn;
use super::launch::fresh;
use super::{Handle, OpenChannel, Signal, internal};
use crate::app::App;
use crate::codex_channel::ChannelError;
use crate::pane::write_whole;
use codepiper_api::sessions::Sent;
use codepiper_api::{Fault, Refusal};
use codepiper_core::hook::Learned;
use codepiper_core::keys::Key;
use codepiper_core::provider::claude::stands_in_input;
use codepiper_core::provider::{Provider, Speaks};
use codepiper_core::session::State;
use codepiper_tmux::Press;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// How long an agent that is starting may take to be ready for a text.
const READY_TIME_MAX: Duration = Duration::from_secs(60);

/// How long the agent may take to draw a paste before Enter follows. Claude Code lost 0 of 105 at 300 ms.
const PASTE_TIME_MAX: Duration = Duration::from_millis(300);

/// How long the agent may take to read a picture before the text follows all the same.
const PICTURE_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a command may take to show in the input box. One that is longer than a row is never recognised there.
const TYPED_TIME_MAX: Duration = Duration::from_secs(1);

/// How long the recording must be quiet for the paste to count as drawn.
const QUIET: Duration = Duration::from_millis(60);

/// How long to wait for the acknowledgement of one Enter: it comes 15 to 150 ms after it.
const TAKEN_TIME_MAX: Duration = Duration::from_millis(1_500);

/// Enters in all. The text is still there when one is lost (measured).
const ENTERS: usize = 3;

/// How long a control channel that is opening is waited for, before text goes through the terminal.
const CHANNEL_TIME_MAX: Duration = Duration::from_secs(5);

/// What can be put in line.
pub enum Input {
    /// A text.
    Text {
        /// The text, as it is.
        text: String,
        /// Pictures to go with it.
        images: Vec<PathBuf>,
        /// Whether to submit it.
        submit: bool,
        /// What became of it.
        reply: oneshot::Sender<Result<Sent, Refusal>>,
    },
    /// Another model.
    Model {
        /// Its name.
        model: String,
        /// The model that is then in force.
        reply: oneshot::Sender<Result<String, Refusal>>,
    },
    /// Keys.
    Keys {
        /// The keys, in order.
        keys: Vec<Key>,
        /// When they were typed.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
}

/// The task that takes inputs in order until the session is gone.
pub(super) async fn line(
    app: Arc<App>,
    provider: Provider,
    handle: Handle,
    mut inputs: mpsc::Receiver<Input>,
) {
    let typist = Typist { app, provider, handle };
    loop {
        let input = tokio::select! {
            input = inputs.recv() => input,
            () = typist.handle.commands.closed() => return,
        };
        match input {
            None => return,
            Some(Input::Text { text, images, submit, reply }) => {
                let _gone = reply.send(typist.text(&text, &images, submit).await);
            }
            Some(Input::Model { model, reply }) => {
                let _gone = reply.send(typist.model(&model).await);
            }
            Some(Input::Keys { keys, reply }) => {
                let _gone = reply.send(typist.keys(&keys).await);
            }
        }
    }
}

pub(super) struct Typist {
    pub(super) app: Arc<App>,
    provider: Provider,
    pub(super) handle: Handle,
}

impl Typist {
    async fn keys(&self, keys: &[Key]) -> Result<(), Refusal> {
        let pane = self.pane()?;
        self.press(&pane, keys).await
    }

    pub(super) async fn text(&self, text: &str, images: &[PathBuf], submit: bool) -> Result<Sent, Refusal> {
        self.wait_until_ready().await?;
        let pane = self.pane()?;
        let is_prompt = submit && !is_command(text);
        if is_prompt && let Some(OpenChannel { channel, thread }) = self.channel().await {
            channel.send_prompt(&thread, text, images).await.map_err(|error| self.channel_refused(&error))?;
            return Ok(Sent { success: true, acknowledged_by: "channel".into(), event: None });
        }
        let known = self.handle.known();
        // Only when nothing runs: the same key may interrupt.
        if known.input_is_dirty && *known.state() == State::Idle {
            self.press(&pane, &self.provider.definition.keys.clear.clone()).await?;
        }
        for image in images {
            // A paste that is only a path becomes the picture (measured).
            let before = self.pictures_shown().await;
            let mut drawn = self.drawn();
            self.paste(&pane, &format!("{} ", image.display())).await?;
            // Text that is pasted while the picture is still being read is lost (measured on a busy machine).
            let until = Instant::now() + PICTURE_TIME_MAX;
            while self.provider.definition.speaks == Speaks::Claude
                && self.pictures_shown().await <= before
                && timeout_at(until, drawn.changed()).await.is_ok()
            {}
            self.wait_until_drawn(drawn).await;
        }
        let drawn = self.drawn();
        if !text.is_empty() {
            // A blank at the end keeps completion pop-ups of both big agents from eating Enter; they trim it.
            let guarded = self.provider.definition.speaks != Speaks::Screen && submit;
            let pasted = if guarded { format!("{text} ") } else { text.to_owned() };
            self.paste(&pane, &pasted).await?;
        }
        if !submit {
            return Ok(Sent { success: true, acknowledged_by: "typed".into(), event: None });
        }
        self.wait_until_drawn(drawn).await;
        if is_command(text) {
            self.wait_until_typed(text).await;
        }
        self.submit(&pane, text).await
    }

    async fn model(&self, model: &str) -> Result<String, Refusal> {
        self.wait_until_ready().await?;
        if let Some(OpenChannel { channel, thread }) = self.channel().await {
            return channel.set_model(&thread, model).await.map_err(|error| self.channel_refused(&error));
        }
        if self.provider.definition.speaks == Speaks::Claude {
            return self.switch_claude(model).await;
        }
        self.text(&format!("/model {model}"), &[], true).await?;
        Ok(model.to_owned())
    }

    /// The agent's control channel, where it has one; it may still be opening.
    async fn channel(&self) -> Option<OpenChannel> {
        if !self.provider.has_channel() {
            return None;
        }
        let mut channel = self.handle.channel.clone();
        let open = channel.wait_for(Option::is_some);
        tokio::time::timeout(CHANNEL_TIME_MAX, open).await.ok()?.ok()?.clone()
    }

    fn channel_refused(&self, error: &ChannelError) -> Refusal {
        let id = &self.handle.id;
        Refusal::new(Fault::Agent, format!("session {id} did not take it: {error}"))
            .hint(format!("`codepiper attach {id}` shows what it does"))
    }

    /// Presses Enter until the agent took the text.
    async fn submit(&self, pane: &str, text: &str) -> Result<Sent, Refusal> {
        let mut signals = self.handle.signals.subscribe();
        let enter = self.provider.definition.keys.submit.clone();
        for attempt in 0..ENTERS {
            if attempt > 0 {
                // Enter would answer a dialog that opened meanwhile.
                self.refuse_open_question()?;
            }
            let mut drawn = self.drawn();
            self.press(pane, &enter).await?;
            if let Some(sent) = self.taken(text, &mut signals, &mut drawn).await {
                let learned = Learned { was_prompted: true, ..Learned::default() };
                let note = |reply| Command::Note { happenings: Vec::new(), learned, event: None, reply };
                self.handle.ask(note).await?;
                return Ok(sent);
            }
        }
        let id = &self.handle.id;
        Err(Refusal::new(
            Fault::Agent,
            format!("session {id} did not take the text; it may stand in its input line"),
        )
        .hint(format!("`codepiper attach {id}` shows what it does")))
    }

    /// Pictures on the screen, in the input box and above it.
    async fn pictures_shown(&self) -> usize {
        let screen = self.handle.ask(|reply| Command::Look { reply }).await.unwrap_or_default();
        screen.iter().map(|line| line.matches("[Image #").count()).sum()
    }

    /// A command is known to be taken when it leaves the input box, so it must have been seen there.
    async fn wait_until_typed(&self, text: &str) {
        let until = Instant::now() + TYPED_TIME_MAX;
        let mut drawn = self.drawn();
        while self.provider.definition.speaks == Speaks::Claude
            && !self.is_still_typed(text).await
            && timeout_at(until, drawn.changed()).await.is_ok()
        {}
    }

    pub(super) fn submit_keys(&self) -> Vec<Key> {
        self.provider.definition.keys.submit.clone()
    }

    /// Output alone does not say that Enter was taken: a status line may have been drawn.
    pub(super) async fn is_still_typed(&self, text: &str) -> bool {
        self.provider.definition.speaks == Speaks::Claude
            && self
                .handle
                .ask(|reply| Command::Look { reply })
                .await
                .is_ok_and(|screen| stands_in_input(&screen, text))
    }

    async fn taken(
        &self,
        text: &str,
        signals: &mut broadcast::Receiver<Signal>,
        drawn: &mut Drawn,
    ) -> Option<Sent> {
        let until = Instant::now() + TAKEN_TIME_MAX;
        let sent = |by: &str, event| Some(Sent { success: true, acknowledged_by: by.into(), event });
        // Commands of the agent itself (`/…`, `!…`) fire no prompt hook; the screen is all there is.
        let by_screen = self.provider.definition.speaks != Speaks::Claude || is_command(text);
        let mut known = self.handle.watch();
        loop {
            tokio::select! {
                signal = timeout_at(until, signals.recv()) => match signal {
                    Ok(Ok(Signal::PromptTaken { event, by })) => return sent(by, Some(event)),
                    Ok(Ok(Signal::PromptQueued { text: queued })) if queued.trim() == text.trim() => {
                        return sent("transcript", None);
                    }
                    Ok(Ok(Signal::PromptQueued { .. } | Signal::ModelTold { .. }) | Err(broadcast::error::RecvError::Lagged(_))) => {}
                    Ok(Err(broadcast::error::RecvError::Closed)) | Err(_) => return None,
                },
                () = drawn.changed(), if by_screen => {
                    if !self.is_still_typed(text).await {
                        return sent("screen", None);
                    }
                }
                // `/exit` does what it says and shows nothing.
                is_done = async {
                    let over = known.wait_for(|known| !known.state().is_live()).await;
                    over.is_ok_and(|known| matches!(known.state(), State::Stopped { .. }))
                } => return if is_done && is_command(text) { sent("exit", None) } else { None },
            }
        }
    }

    async fn wait_until_ready(&self) -> Result<(), Refusal> {
        let mut known = self.handle.watch();
        let until = Instant::now() + READY_TIME_MAX;
        loop {
            self.refuse_open_question()?;
            let now = known.borrow_and_update().clone();
            match (now.state(), now.turn) {
                // After an interruption the input line holds the old prompt, after an end it is empty.
                (State::Starting, _) | (State::Running, Turn::MayBeOver { .. }) => {}
                _ => return Ok(()),
            }
            match timeout_at(until, known.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Refusal::new(Fault::NotFound, "the session has just gone")),
                Err(_) => {
                    let id = &self.handle.id;
                    let secs = READY_TIME_MAX.as_secs();
                    return Err(Refusal::new(
                        Fault::Agent,
                        format!("session {id} was not ready within {secs} s"),
                    )
                    .hint(format!("`codepiper attach {id}` shows what it does")));
                }
            }
        }
    }

    /// Text typed into an open question would answer it.
    fn refuse_open_question(&self) -> Result<(), Refusal> {
        let known = self.handle.known();
        let id = &self.handle.id;
        match known.state() {
            State::Waiting(open) => {
                let how = open.how.replace("{id}", id.as_str());
                let refusal = format!("session {id} waits for an answer: {}", open.question);
                Err(Refusal::new(Fault::Conflict, refusal).hint(match how.is_empty() {
                    true => format!("`codepiper attach {id}` to answer it"),
                    false => how,
                }))
            }
            State::Stopped { .. } | State::Crashed { .. } => Err(Refusal::new(
                Fault::Conflict,
                format!("session {id} is not running: {}", known.row.standing.reason),
            )
            .hint(format!("`codepiper resume {id}` starts it again"))),
            State::Starting | State::Idle | State::Running => Ok(()),
        }
    }

    pub(super) fn pane(&self) -> Result<String, Refusal> {
        let known = self.handle.known();
        let id = &self.handle.id;
        let pane = known.pane().filter(|_| known.state().is_live());
        pane.map(|pane| pane.id.clone()).ok_or_else(|| {
            Refusal::new(
                Fault::Conflict,
                format!("session {id} is not running: {}", known.row.standing.reason),
            )
            .hint(format!("`codepiper resume {id}` starts it again"))
        })
    }

    pub(super) async fn press(&self, pane: &str, keys: &[Key]) -> Result<(), Refusal> {
        let presses: Vec<Press> = keys
            .iter()
            .map(|key| match key {
                Key::Named(name) => Press::Named(name.clone()),
                Key::Literal(c) => Press::Literal(c.to_string()),
            })
            .collect();
        self.app.tmux.keys(pane, &presses).await.map_err(|error| internal("typing into the pane", error))
    }

    async fn paste(&self, pane: &str, text: &str) -> Result<(), Refusal> {
        let name = format!("codepiper-{}", fresh(8));
        let file = self.app.config.session_folder(&self.handle.id).join(format!("{name}.paste"));
        write_whole(&file, text.as_bytes()).map_err(|error| internal("writing the text", error))?;
        let pasted = self.app.tmux.paste(pane, &name, &file).await;
        if let Err(error) = std::fs::remove_file(&file) {
            tracing::warn!(%error, "the file of a text stays behind");
        }
        pasted.map_err(|error| internal("pasting the text", error))
    }

    /// Waits until what was typed shows: output came, and then none for a moment.
    async fn wait_until_drawn(&self, mut drawn: Drawn) {
        let until = Instant::now() + PASTE_TIME_MAX;
        let mut next = until;
        while timeout_at(next, drawn.changed()).await.is_ok() {
            next = until.min(Instant::now() + QUIET);
        }
    }

    pub(super) fn drawn(&self) -> Drawn {
        let folder = self.app.config.session_folder(&self.handle.id).join("recording");
        let mut watched = self.app.watch.folder(&folder).ok();
        if let Some(watched) = &mut watched {
            watched.forget_past();
        }
        Drawn { watched }
    }
}

/// Commands of the agent itself (`/…`, `!…`): typed, since only its own input line understands them.
fn is_command(text: &str) -> bool {
    text.starts_with(['/', '!'])
}

/// New output of the session.
pub(super) struct Drawn {
    watched: Option<crate::watch::Watched>,
}

impl Drawn {
    pub(super) async fn changed(&mut self) {
        match &mut self.watched {
            Some(watched) => watched.changed().await,
            None => std::future::pending().await,
        }
    }
}
