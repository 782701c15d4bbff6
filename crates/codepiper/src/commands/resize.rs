//! `codepiper resize`

use crate::args::ResizeArgs;
use crate::client::{Client, Route};
use crate::output;
use codepiper_api::Refusal;
use codepiper_api::sessions::{Done, Resize};
use hyper::Method;

pub(super) async fn run(args: &ResizeArgs, daemon: &Client) -> Result<(), Refusal> {
    let &ResizeArgs { cols, rows, .. } = args;
    let route = Route::session(&args.id, "/resize");
    daemon.call::<Done>(Method::POST, route, &Resize { cols, rows }).await?;
    output::done(&format!("Session {} has {cols} columns and {rows} rows", args.id))
}
