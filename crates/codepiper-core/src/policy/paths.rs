//! Paths as rules see them: lexically normal, absolute, and as seen from the places a pattern may start at.

use super::pattern::From;
use std::path::{Path, PathBuf};

/// The path without `.`, `..` and double slashes, absolute if `cwd` is. Lexical: no file is looked at.
pub(super) fn normal(path: &str, cwd: &Path, home: Option<&Path>) -> PathBuf {
    let full = match (path.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_owned(),
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => cwd.join(path),
    };
    if is_normal(&full) { full } else { made_normal(&full) }
}

fn made_normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
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

/// Whether an absolute path has nothing that [`normal`] would take away.
fn is_normal(path: &Path) -> bool {
    let mut names = path.as_os_str().as_encoded_bytes().split(|byte| *byte == b'/');
    names.next() == Some(b"") && names.all(|name| !matches!(name, b"" | b"." | b".."))
}

/// One path, taken apart for matching.
#[derive(Debug, Clone)]
pub(super) struct PathForms {
    text: String,
    /// From where to where in the text each name is.
    names: Vec<(usize, usize)>,
    /// How many leading names are the working directory, when the path is in it.
    below_cwd: Option<usize>,
    below_home: Option<usize>,
}

/// Some names of a path, in their order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    text: &'a str,
    names: &'a [(usize, usize)],
}

impl PathForms {
    /// Of a normal path. `cwd` is the session's, normal or resolved as the path is.
    pub(super) fn new(path: &Path, cwd: &Path, home: Option<&Path>) -> Self {
        let below = |folder: &Path| is_below(path, folder).then(|| count_names(folder));
        let text = path.to_string_lossy().into_owned();
        let mut names = Vec::with_capacity(text.bytes().filter(|byte| *byte == b'/').count() + 1);
        let mut from = 0;
        for name in text.split('/') {
            if !matches!(name, "" | "." | "..") {
                names.push((from, from + name.len()));
            }
            from += name.len() + 1;
        }
        Self { below_cwd: below(cwd), below_home: home.and_then(below), text, names }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The names after the place a pattern starts from; `None` when the path is not below it.
    pub(super) fn names_from(&self, from: From) -> Option<Names<'_>> {
        let skip = match from {
            From::Root => 0,
            From::Cwd => self.below_cwd?,
            From::Home => self.below_home?,
            From::Name => self.names.len().checked_sub(1)?,
        };
        Some(Names { text: &self.text, names: self.names.get(skip..)? })
    }
}

impl<'a> Names<'a> {
    pub(super) fn split_first(self) -> Option<(&'a str, Self)> {
        let ((from, to), names) = self.names.split_first()?;
        Some((self.text.get(*from..*to).unwrap_or_default(), Self { names, ..self }))
    }
}

impl<'a> Iterator for Names<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (name, rest) = self.split_first()?;
        *self = rest;
        Some(name)
    }
}

/// As [`Path::starts_with`]. Normal paths are told by their bytes.
fn is_below(path: &Path, folder: &Path) -> bool {
    if !is_normal(path) || !is_normal(folder) {
        return path.starts_with(folder);
    }
    let rest = path.as_os_str().as_encoded_bytes().strip_prefix(folder.as_os_str().as_encoded_bytes());
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

fn count_names(path: &Path) -> usize {
    let names = path.as_os_str().as_encoded_bytes().split(|byte| *byte == b'/');
    names.filter(|name| !matches!(*name, b"" | b"." | b"..")).count()
}

/// The names in a path, without the root.
pub(super) fn segments(path: &Path) -> impl Iterator<Item = String> + '_ {
    path.components().filter_map(|part| match part {
        std::path::Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path() -> impl Strategy<Value = PathBuf> {
        let name = prop::sample::select(vec!["a", "b", "ab", "é", "..", ".", "", "...", "~"]);
        let start = prop::sample::select(vec!["", "/", "//"]);
        let path = (start, prop::collection::vec(name, 0..5));
        path.prop_map(|(start, names)| PathBuf::from(format!("{start}{}", names.join("/"))))
    }

    proptest! {
        /// The short ways by the bytes of a path find what the standard library does.
        #[test]
        fn paths_are_taken_apart_as_everywhere(path in path(), folder in path()) {
            if is_normal(&path) {
                prop_assert_eq!(made_normal(&path).into_os_string(), path.clone().into_os_string());
            }
            prop_assert_eq!(is_below(&path, &folder), path.starts_with(&folder));
            let forms = PathForms::new(&path, &folder, None);
            let names: Vec<&str> = forms.names_from(From::Root).unwrap().collect();
            prop_assert_eq!(names, segments(&path).collect::<Vec<_>>());
            if path.starts_with(&folder) {
                let below = segments(&path).skip(segments(&folder).count());
                let names: Vec<&str> = forms.names_from(From::Cwd).unwrap().collect();
                prop_assert_eq!(names, below.collect::<Vec<_>>());
            }
        }
    }
}
