//! `codepiper resume`

use super::called;
use crate::args::OneSession;
use crate::client::{Client, Route};
use crate::output;
use codepiper_api::Refusal;
use codepiper_api::sessions::SessionBody;
use hyper::Method;

pub(super) async fn run(args: &OneSession, daemon: &Client) -> Result<(), Refusal> {
    let route = Route::session(&args.id, "/resume");
    let SessionBody { session } = daemon.call(Method::POST, route, &()).await?;
    if args.format.json() {
        return output::print_json(&session);
    }
    output::done(&format!("Session {} resumed: {}", called(&session), session.reason))
}
