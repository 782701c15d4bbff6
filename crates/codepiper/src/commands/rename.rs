//! `codepiper rename`

use crate::args::RenameArgs;
use crate::client::{Client, Route};
use crate::output;
use codepiper_api::Refusal;
use codepiper_api::sessions::{Rename, SessionBody};
use hyper::Method;

pub(super) async fn run(args: RenameArgs, daemon: &Client) -> Result<(), Refusal> {
    let name = args.name.filter(|_| !args.clear);
    let route = Route::session(&args.id, "/name");
    let SessionBody { session, .. } = daemon.call(Method::PUT, route, &Rename { name }).await?;
    if args.format.json() {
        return output::print_json(&session);
    }
    output::done(&match &session.name {
        Some(name) => format!("Session {} is now called {name}", session.id),
        None => format!("Session {} has no name any more", session.id),
    })
}
