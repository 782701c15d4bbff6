//! `codepiper rm`

use super::for_each;
use crate::args::RmArgs;
use crate::client::{Client, Route};
use codepiper_api::Refusal;
use codepiper_api::sessions::Done;
use hyper::Method;

pub(super) async fn run(args: &RmArgs, daemon: &Client) -> Result<(), Refusal> {
    let force = args.force.then_some(true);
    for_each(&args.sessions.ids, async |id| {
        let route = Route::session(id, "").with_some("force", force);
        daemon.call::<Done>(Method::DELETE, route, &()).await?;
        Ok(format!("Session {id} removed"))
    })
    .await
}
