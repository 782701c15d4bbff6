//! `codepiper attach`: becomes a tmux client. The daemon says where tmux is, and is not needed any more then.

use crate::args::AttachArgs;
use crate::client::{Client, Route};
use crate::output;
use codepiper_api::sessions::Attach;
use codepiper_api::{Fault, Refusal};
use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::process::Command;

pub(super) async fn run(args: &AttachArgs, daemon: &Client) -> Result<(), Refusal> {
    let attach: Attach = daemon.get(Route::session(&args.id, "/attach")).await?;
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Refusal::new(Fault::Usage, "attach needs a terminal")
            .hint(format!("`codepiper tail {} --follow` watches without one", args.id)));
    }
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let place = match set("TMUX") {
        None => Place::Terminal,
        Some(tmux) => place(&tmux, set("TMUX_PANE").as_deref(), &attach),
    };
    let become_client = client(&attach, place, args.follow)?;
    if !attach.live {
        output::say("the agent has ended; this is its last screen");
    }
    if become_client.nested {
        output::say("tmux in tmux: press the prefix key twice, then d, to leave");
    }
    let mut command = Command::new(&attach.program);
    command.args(&attach.arguments).args(&become_client.arguments);
    if place != Place::SameServer || become_client.nested {
        command.env_remove("TMUX").env_remove("TMUX_PANE");
    }
    // It returns only when tmux could not be started.
    let error = command.exec();
    Err(Refusal::new(Fault::Missing, format!("cannot start `{}`: {error}", attach.program))
        .hint("`codepiper doctor` says what is missing"))
}

/// Where the person types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In no tmux.
    Terminal,
    /// In a pane of another tmux server.
    OtherServer,
    /// In a pane of the server that has the session.
    SameServer,
    /// In the session's own pane.
    Itself,
}

/// `TMUX` is the server's socket, its process, and a session, with commas between.
fn place(tmux: &str, pane: Option<&str>, attach: &Attach) -> Place {
    let theirs: Option<u32> = tmux.rsplit(',').nth(1).and_then(|pid| pid.parse().ok());
    match theirs == Some(attach.server_pid) {
        true if pane == Some(&attach.pane) => Place::Itself,
        true => Place::SameServer,
        false => Place::OtherServer,
    }
}

struct BecomeClient {
    arguments: Vec<String>,
    nested: bool,
}

fn client(attach: &Attach, place: Place, follow: bool) -> Result<BecomeClient, Refusal> {
    // `=`: the whole name, not the beginning of one.
    let target = format!("={}", attach.session);
    let command: &[&str] = match (place, follow) {
        (Place::Itself, _) => {
            return Err(Refusal::new(Fault::Usage, format!("this is the terminal of `{}`", attach.session)));
        }
        // A client that is switched keeps its place in the list of sessions, and no tmux runs in tmux. It
        // cannot be made read-only for one session: `switch-client -r` is for all it looks at from then on.
        (Place::SameServer, false) => &["switch-client", "-t"],
        (_, false) => &["attach-session", "-t"],
        (_, true) => &["attach-session", "-r", "-t"],
    };
    let arguments = command.iter().map(ToString::to_string).chain([target]).collect();
    let nested = match place {
        Place::Terminal | Place::Itself => false,
        Place::OtherServer => true,
        Place::SameServer => follow,
    };
    Ok(BecomeClient { arguments, nested })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_to_attach_depends_on_where_one_is() {
        let attach = Attach {
            program: "tmux".into(),
            arguments: vec![],
            session: "codepiper-a1b2c3d4".into(),
            pane: "%3".into(),
            server_pid: 42,
            live: true,
        };
        let check = |tmux: Option<&str>, pane: &str, follow: bool, expected: &str| {
            let place = tmux.map_or(Place::Terminal, |tmux| place(tmux, Some(pane), &attach));
            let shown = match client(&attach, place, follow) {
                Ok(BecomeClient { arguments, nested }) => {
                    format!("{}{}", arguments.join(" "), if nested { ", nested" } else { "" })
                }
                Err(refusal) => refusal.error,
            };
            assert_eq!(shown, expected, "in {tmux:?}, {pane}, follow {follow}");
        };
        check(None, "", false, "attach-session -t =codepiper-a1b2c3d4");
        check(None, "", true, "attach-session -r -t =codepiper-a1b2c3d4");
        check(Some("/t/a,b,42,0"), "%1", false, "switch-client -t =codepiper-a1b2c3d4");
        check(Some("/t/a,42,0"), "%1", true, "attach-session -r -t =codepiper-a1b2c3d4, nested");
        check(Some("/t/a,42,0"), "%3", false, "this is the terminal of `codepiper-a1b2c3d4`");
        check(Some("/t/a,41,0"), "%3", false, "attach-session -t =codepiper-a1b2c3d4, nested");
        check(Some("odd"), "%3", false, "attach-session -t =codepiper-a1b2c3d4, nested");
    }
}
