//! Who speaks on a connection: the person, or a process of one of the sessions.
//!
//! Whoever reaches the socket has the person's own user id, and so have the agents. An agent that could call the API as
//! the person does would say yes to its own questions and change the rules it is held to. So what descends from a
//! session may only report: see `docs/security.md` for what this stops and what it cannot.

use crate::processes;
use crate::sessions::Sessions;
use codepiper_api::defaults::HOOK_SECRET_VARIABLE;
use codepiper_api::{Fault, Refusal};
use codepiper_core::ids::SessionId;
use std::sync::{Arc, OnceLock};
use tokio::net::UnixStream;

/// Parents that are looked at. A process tree of an agent is a handful deep; without a limit a loop of reused pids
/// would never end.
const ANCESTORS_MAX: usize = 64;

/// The process at the other end of a connection. Who it is, is found out when it matters, and once.
#[derive(Clone)]
pub struct Peer(Arc<Facts>);

struct Facts {
    pid: Option<u32>,
    /// Clock ticks since boot.
    connected: u64,
    caller: OnceLock<Caller>,
}

/// Who that is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Caller {
    Person,
    Session(SessionId),
    /// It has gone, or the system does not say.
    Unknown,
}

impl Peer {
    /// The other end of a connection that was just accepted.
    pub fn of(connection: &UnixStream) -> Self {
        let pid = connection.peer_cred().ok().and_then(|peer| peer.pid()).map(|pid| pid as u32);
        Self(Arc::new(Facts { pid, connected: processes::ticks_since_boot(), caller: OnceLock::new() }))
    }

    /// Refuses what only the person may do.
    pub fn must_be_person(&self, sessions: &Sessions) -> Result<(), Refusal> {
        match self.0.caller.get_or_init(|| self.0.find_out(sessions)) {
            Caller::Person => Ok(()),
            Caller::Session(id) => Err(Refusal::new(
                Fault::Forbidden,
                format!("a process of session {id} asks for this, and sessions may only report"),
            )
            .hint("run it in a terminal of your own, outside of the session")),
            Caller::Unknown => {
                Err(Refusal::new(Fault::Forbidden, "the system does not say which process asks")
                    .hint("ask again; the process that connects must stay until it is answered"))
            }
        }
    }
}

impl Facts {
    fn find_out(&self, sessions: &Sessions) -> Caller {
        let Some(pid) = self.pid else { return Caller::Unknown };
        // A process that began after the connection was made only has the pid of the one that made it.
        match processes::start_time(pid) {
            Some(started) if started <= self.connected + 1 => {}
            None if !cfg!(target_os = "linux") => {}
            _ => return Caller::Unknown,
        }
        let known = sessions.list();
        let ancestors = processes::ancestors(pid, ANCESTORS_MAX);
        let by_descent = known.iter().find(|known| {
            let supervisor = known.process.as_ref().and_then(|process| process.supervisor);
            supervisor.is_some_and(|supervisor| {
                ancestors.contains(&supervisor.pid) && processes::is_alive(supervisor)
            })
        });
        // What lost its parents still has the session's environment.
        let by_environment = || {
            let secret = processes::variable_of(pid, HOOK_SECRET_VARIABLE)?;
            known
                .iter()
                .find(|known| known.process.as_ref().is_some_and(|process| process.secret.0 == secret))
        };
        match by_descent.or_else(by_environment) {
            Some(known) => Caller::Session(known.row.id.clone()),
            None => Caller::Person,
        }
    }
}
