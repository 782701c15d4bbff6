//! `codepiper backup`

use super::absolute;
use crate::args::BackupArgs;
use crate::client::{Client, Route};
use crate::output;
use codepiper_api::Refusal;
use codepiper_api::service::{Backup, BackupRequest};
use hyper::Method;
use jiff::Zoned;
use std::path::PathBuf;

pub(super) async fn run(args: BackupArgs, daemon: &Client) -> Result<(), Refusal> {
    let path = args
        .path
        .unwrap_or_else(|| PathBuf::from(Zoned::now().strftime("codepiper-%Y%m%d-%H%M%S.db").to_string()));
    let request = BackupRequest { path: absolute(&path)?.into() };
    let backup: Backup = daemon.call(Method::POST, Route::new("/backup"), &request).await?;
    if args.format.json() {
        return output::print_json(&backup);
    }
    let Backup { path, sessions, last_event, .. } = backup;
    output::done(&format!("{}: {sessions} sessions, events up to {last_event}", path.display()))
}
