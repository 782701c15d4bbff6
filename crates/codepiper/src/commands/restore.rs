//! `codepiper restore`

use crate::args::RestoreArgs;
use crate::output;
use codepiper_api::Refusal;
use codepiper_api::service::Backup;
use codepiper_daemon::control;
use std::path::PathBuf;

pub(super) fn run(args: &RestoreArgs, socket: Option<PathBuf>) -> Result<(), Refusal> {
    let config = super::daemon::config(socket);
    let (backup, kept) = match (args.verify, &config) {
        (true, _) => (control::verify_backup(&args.file)?, None),
        (false, Ok(config)) => control::restore(&args.file, config)?,
        (false, Err(refusal)) => return Err(refusal.clone()),
    };
    let keyless = config.map(|config| control::env_sets_without_key(&args.file, &config)).unwrap_or_default();
    if let Some((_, why)) = keyless.first() {
        let names: Vec<String> = keyless.iter().map(|(name, _)| format!("`{name}`")).collect();
        let what = if names.len() == 1 { "env set" } else { "env sets" };
        output::warn(&crate::text::visible(&format!(
            "{what} {} cannot be read here: {why}; a backup has no key in it, so put your copy of that file there",
            names.join(", ")
        )));
    }
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
