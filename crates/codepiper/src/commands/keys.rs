//! `codepiper keys`

use crate::args::KeysArgs;
use crate::client::{Client, Route};
use crate::output;
use codepiper_api::Refusal;
use codepiper_api::sessions::{Done, SendKeys};
use hyper::Method;

pub(super) async fn run(args: KeysArgs, daemon: &Client) -> Result<(), Refusal> {
    let pressed = args.keys.join(", ");
    let route = Route::session(&args.id, "/keys");
    daemon.call::<Done>(Method::POST, route, &SendKeys { keys: args.keys }).await?;
    output::done(&format!("Keys sent to session {}: {pressed}", args.id))
}
