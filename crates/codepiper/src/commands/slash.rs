//! `codepiper slash`

use super::send::acknowledged;
use crate::args::SlashArgs;
use crate::client::{Client, Route};
use crate::output;
use codepiper_api::Refusal;
use codepiper_api::sessions::{Sent, Slash};
use hyper::Method;

pub(super) async fn run(args: SlashArgs, daemon: &Client) -> Result<(), Refusal> {
    let command = args.command.trim_start_matches('/').to_owned();
    let done = format!("/{command} sent to session {}", args.id);
    let route = Route::session(&args.id, "/slash");
    let sent: Sent = daemon.call(Method::POST, route, &Slash { command, args: args.args }).await?;
    if args.format.json() {
        return output::print_json(&sent);
    }
    output::done(&format!("{done} ({})", acknowledged(&sent)))
}
