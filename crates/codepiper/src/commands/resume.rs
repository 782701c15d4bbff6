//! `codepiper resume`

use super::{called, resume_request};
use crate::args::OneSession;
use crate::client::{Client, Route};
use crate::output;
use codepiper_api::Refusal;
use codepiper_api::sessions::SessionBody;
use hyper::Method;

pub(super) async fn run(args: &OneSession, daemon: &Client) -> Result<(), Refusal> {
    let route = Route::session(&args.id, "/resume");
    let SessionBody { session, notes } = daemon.call(Method::POST, route, &resume_request()).await?;
    notes.iter().for_each(|note| output::note(note));
    if args.format.json() {
        return output::print_json(&session);
    }
    output::done(&format!("Session {} resumed: {}", called(&session), session.reason))
}
