//! `codepiper kill`

use super::for_each;
use crate::args::SomeSessions;
use crate::client::{Client, Route};
use codepiper_api::Refusal;
use codepiper_api::sessions::Done;
use hyper::Method;

pub(super) async fn run(args: &SomeSessions, daemon: &Client) -> Result<(), Refusal> {
    for_each(&args.ids, async |id| {
        daemon.call::<Done>(Method::POST, Route::session(id, "/kill"), &()).await?;
        Ok(format!("Session {id} killed"))
    })
    .await
}
