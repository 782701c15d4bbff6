//! `codepiper restore`

use crate::args::RestoreArgs;
use crate::output;
use codepiper_api::Refusal;
use codepiper_api::service::Backup;
use codepiper_daemon::control;
use std::path::PathBuf;

pub(super) fn run(args: &RestoreArgs, socket: Option<PathBuf>) -> Result<(), Refusal> {
    let (backup, kept) = match args.verify {
        true => (control::verify_backup(&args.file)?, None),
        false => control::restore(&args.file, &super::daemon::config(socket)?)?,
    };
    if args.format.json() {
        return output::print_json(&backup);
    }
    let Backup { path, schema, sessions, last_event } = backup;
    let what = if args.verify { "is whole" } else { "is the database now" };
    let path = path.display();
    output::done(&format!("{path} {what}: {sessions} sessions, events up to {last_event}, schema {schema}"))?;
    match kept {
        Some(old) => output::done(&format!("the database before is kept as {}", old.display())),
        None => Ok(()),
    }
}
