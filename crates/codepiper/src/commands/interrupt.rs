//! `codepiper interrupt`

use crate::args::OneSession;
use crate::client::{Client, Route};
use crate::output;
use codepiper_api::Refusal;
use codepiper_api::sessions::Done;
use hyper::Method;
use serde_json::json;

pub(super) async fn run(args: OneSession, daemon: &Client) -> Result<(), Refusal> {
    let route = Route::session(&args.id, "/interrupt");
    daemon.call::<Done>(Method::POST, route, &json!({})).await?;
    output::done(&format!("Session {} was interrupted", args.id))
}
