//! The control channel of a session whose agent has one (Codex's app server): kept open as long as the agent
//! lives, its messages told to the session, and lent to whoever types.
//!
//! A lost connection is opened again; the server then says what is loaded and what is open. The law to keep:
//! what the channel says goes through the session's mailbox like everything else.

use super::actor::Command;
use super::known::Known;
use super::{Handle, OpenChannel};
use crate::app::App;
use crate::codex_channel::CodexChannel;
use codepiper_core::gate::Verdict;
use codepiper_core::hook::Learned;
use codepiper_core::provider::codex::requests;
use codepiper_core::provider::{ChannelMessage, Told};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// The pause before a lost connection is opened again. The server has gone or is overwhelmed; the TUI itself
/// takes seconds.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Keeps the channel of a session open until the session is gone.
pub(super) async fn keep(app: Arc<App>, handle: Handle, publish: watch::Sender<Option<OpenChannel>>) {
    let mut known = handle.watch();
    loop {
        let Ok(now) = known.wait_for(|known| socket(known).is_some()).await.map(|known| known.clone()) else {
            return; // the session has gone
        };
        let Some(socket) = socket(&now) else { continue };
        match CodexChannel::connect(&socket).await {
            Ok((channel, messages)) => {
                tokio::select! {
                    () = serve(&handle, channel, messages, &publish) => {}
                    () = handle.commands.closed() => return,
                }
                publish.send_replace(None);
            }
            Err(error) => tracing::debug!(%error, session = %handle.id, "no control channel yet"),
        }
        tokio::select! {
            () = tokio::time::sleep(RECONNECT_PAUSE) => {}
            () = handle.commands.closed() => return,
        }
        tracing::trace!(uptime = ?app.started.elapsed(), session = %handle.id, "opening the control channel again");
    }
}

/// Where the channel of a live session is, once its agent runs.
fn socket(known: &Known) -> Option<PathBuf> {
    let process = known.process.as_ref().filter(|_| known.state().is_live())?;
    process.agent?;
    process.channel.clone()
}

async fn serve(
    handle: &Handle,
    channel: CodexChannel,
    mut messages: mpsc::Receiver<ChannelMessage>,
    publish: &watch::Sender<Option<OpenChannel>>,
) {
    while let Some(message) = messages.recv().await {
        if let Some(Told::Opened { own: true }) = message.told
            && let Some(thread) = &message.thread
        {
            permit(handle, &channel, thread).await;
        }
        if let Some(thread) = &message.thread {
            let is_new = publish.borrow().as_ref().is_none_or(|open| open.thread != *thread);
            if is_new {
                publish.send_replace(Some(OpenChannel { channel: channel.clone(), thread: thread.clone() }));
            }
        }
        let asked = match &message.told {
            Some(Told::Asked(question)) => Some(question.clone()),
            _ => None,
        };
        if let Some(question) = asked {
            let answered = handle
                .ask(|reply| Command::ChannelAsked {
                    question: Box::new(question.clone()),
                    message: Box::new(message),
                    reply,
                })
                .await;
            match answered.map(|verdict| by_rule(&verdict)) {
                Ok(None) => {}
                Ok(Some(verdict)) => {
                    // Answering takes a round trip, and messages must be read meanwhile.
                    let (channel, id) = (channel.clone(), handle.id.clone());
                    tokio::spawn(async move {
                        if let Err(error) = channel.answer(&question, &verdict).await {
                            tracing::warn!(%error, session = %id, "a rule's answer came too late");
                        }
                    });
                }
                Err(refusal) => {
                    tracing::warn!(%refusal, session = %handle.id, "a question is only at the terminal");
                }
            }
            continue;
        }
        let learned = Learned { provider_session: message.thread, ..message.learned };
        let told = handle
            .ask(|reply| Command::Note { happenings: message.happenings, learned, event: None, reply })
            .await;
        if let Err(refusal) = told {
            tracing::warn!(%refusal, session = %handle.id, "a message of the control channel is lost");
        }
    }
}

/// What rules say to a question, in the channel's words; `None` leaves it to a person.
fn by_rule(verdict: &Verdict) -> Option<requests::Verdict> {
    match verdict {
        Verdict::Allow { .. } => Some(requests::Verdict::Accept),
        Verdict::Deny { .. } => Some(requests::Verdict::Decline),
        Verdict::Nothing | Verdict::Ask { .. } | Verdict::Answers { .. } => None,
    }
}

/// A conversation that goes on keeps the permissions of its past; the launch said which it is to have, and
/// the command line could not (facts of `provider::codex`).
async fn permit(handle: &Handle, channel: &CodexChannel, thread: &str) {
    let known = handle.known();
    if known.launch.origin != "codepiper"
        && let Err(error) = channel.set_permissions(thread, known.launch.dangerous).await
    {
        tracing::warn!(%error, session = %handle.id, "the permissions of the conversation stay as they were");
    }
}
