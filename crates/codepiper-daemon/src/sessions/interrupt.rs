//! Interrupting a turn. It does not stand in line behind texts: what it interrupts may be what they wait for.

use super::known::{Known, Turn};
use super::{Handle, OpenChannel, internal};
use crate::app::App;
use codepiper_api::{Fault, Refusal};
use codepiper_core::keys::Key;
use codepiper_core::provider::Provider;
use codepiper_core::session::State;
use codepiper_tmux::Press;
use std::time::Duration;

/// Between two of the keys that interrupt: opencode does not understand two in one go (measured).
const KEY_PAUSE: Duration = Duration::from_millis(150);

/// How long the agent may take to show that it stopped working. Claude Code takes up to a second to say so when it
/// had not said a word yet.
const STOPPED_TIME_MAX: Duration = Duration::from_secs(5);

impl Handle {
    /// Ends the turn that is on, as the person's own key does, and waits until the agent shows it.
    pub async fn interrupt(&self, app: &App, provider: &Provider) -> Result<(), Refusal> {
        let id = &self.id;
        let known = self.known();
        if !is_working(&known) {
            let refusal = format!("session {id} is not working on a turn: {}", known.row.standing.reason);
            return Err(match known.state() {
                State::Waiting(open) if !open.how.is_empty() => {
                    Refusal::new(Fault::Conflict, refusal).hint(open.how.replace("{id}", id.as_str()))
                }
                _ => Refusal::new(Fault::Conflict, refusal),
            });
        }
        let mut standing = self.watch();
        let open = self.channel.borrow().clone();
        if let Some(OpenChannel { channel, thread }) = open {
            let refused =
                |error| Refusal::new(Fault::Agent, format!("session {id} could not be interrupted: {error}"));
            channel.interrupt(&thread).await.map_err(refused)?;
        } else {
            let pane = known
                .pane()
                .ok_or_else(|| Refusal::new(Fault::Conflict, format!("session {id} has no terminal yet")))?;
            for (n, key) in provider.definition.keys.interrupt.iter().enumerate() {
                if n > 0 {
                    tokio::time::sleep(KEY_PAUSE).await;
                }
                let press = match key {
                    Key::Named(name) => Press::Named(name.clone()),
                    Key::Literal(c) => Press::Literal(c.to_string()),
                };
                let pressed = app.tmux.keys(&pane.id, &[press]).await;
                pressed.map_err(|error| internal("typing into the pane", error))?;
            }
        }
        let stopped = standing.wait_for(|known| !is_working(known) && known.turn != Turn::On);
        match tokio::time::timeout(STOPPED_TIME_MAX, stopped).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Refusal::new(Fault::NotFound, format!("session {id} has just gone"))),
            Err(_) => Err(Refusal::new(Fault::Agent, format!("session {id} still works"))
                .hint(format!("`codepiper attach {id}` shows what it does, `codepiper stop {id}` ends it"))),
        }
    }
}

/// A question outside of a turn is a dialog, in which the same key may end the agent.
fn is_working(known: &Known) -> bool {
    match known.state() {
        State::Running => true,
        State::Waiting(_) => known.turn == Turn::On,
        _ => false,
    }
}
