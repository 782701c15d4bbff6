//! The daemon's own log: an owner-only file that is rotated by size, and the terminal while there is one.

use anyhow::{Context, Result};
use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt as log_fmt};

/// Bytes of one log file.
const FILE_MAX: usize = 5 * 1024 * 1024;

/// Older files that are kept.
const FILES_MAX: usize = 4;

/// Starts the log. `level` is one of tracing's words (`info` by default).
pub(crate) fn start(file: &Path, level: Option<&str>, to_terminal: bool) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .context("making the log's folder")?;
    }
    let mut options = fs::OpenOptions::new();
    options.create(true).append(true).read(true).mode(0o600);
    let rotated = FileRotate::new(
        file,
        AppendCount::new(FILES_MAX),
        ContentLimit::BytesSurpassed(FILE_MAX),
        Compression::None,
        Some(options),
    );
    let level: LevelFilter = level.unwrap_or("info").parse().context("CODEPIPER_LOG: not a level")?;
    let in_file = log_fmt::layer().with_ansi(false).with_writer(Mutex::new(rotated)).with_filter(level);
    let on_terminal = to_terminal
        .then(|| log_fmt::layer().with_target(false).with_writer(std::io::stderr).with_filter(level));
    tracing_subscriber::registry().with(in_file).with(on_terminal).try_init().context("starting the log")
}
