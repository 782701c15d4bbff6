//! Paths as rules see them: lexically normal, absolute, and as seen from the places a pattern may start at.

use super::pattern::From;
use std::path::{Path, PathBuf};

/// The path without `.`, `..` and double slashes, absolute if `cwd` is. Lexical: no file is looked at.
pub(super) fn normal(path: &str, cwd: &Path, home: Option<&Path>) -> PathBuf {
    let mut normal = PathBuf::new();
    let full = match (path.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_owned(),
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => cwd.join(path),
    };
    for part in full.components() {
        match part {
            std::path::Component::ParentDir => {
                normal.pop();
            }
            std::path::Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

/// One path, taken apart for matching.
#[derive(Debug, Clone)]
pub(super) struct PathForms {
    text: String,
    segments: Vec<String>,
    /// How many leading segments are the working directory, when the path is in it.
    below_cwd: Option<usize>,
    below_home: Option<usize>,
}

impl PathForms {
    /// Of a normal path. `cwd` is the session's, normal or resolved as the path is.
    pub(super) fn new(path: &Path, cwd: &Path, home: Option<&Path>) -> Self {
        let below = |folder: &Path| path.starts_with(folder).then(|| segments(folder).count());
        Self {
            text: path.to_string_lossy().into_owned(),
            segments: segments(path).collect(),
            below_cwd: below(cwd),
            below_home: home.and_then(below),
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The segments after the place a pattern starts from; `None` when the path is not below it.
    pub(super) fn segments_from(&self, from: From) -> Option<&[String]> {
        let skip = match from {
            From::Root => 0,
            From::Cwd => self.below_cwd?,
            From::Home => self.below_home?,
            From::Name => self.segments.len().checked_sub(1)?,
        };
        self.segments.get(skip..)
    }
}

/// The names in a path, without the root.
pub(super) fn segments(path: &Path) -> impl Iterator<Item = String> + '_ {
    path.components().filter_map(|part| match part {
        std::path::Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    })
}
