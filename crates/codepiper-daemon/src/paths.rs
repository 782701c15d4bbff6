//! Paths as they really are.

use rustix::io::Errno;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// The path with every link in it resolved, up to the part that does not exist yet.
pub fn resolved(path: &Path) -> PathBuf {
    RealPaths::default().of(path)
}

/// Paths that are resolved together: the file system is asked once for each of their parts. Made for one decision and
/// not kept: a link that is changed after it counts in the next.
#[derive(Default)]
pub struct RealPaths(RefCell<HashMap<OsString, Part>>);

/// What the last name of a path is, where all before it is no link.
#[derive(Clone)]
enum Part {
    Plain,
    LeadsTo(PathBuf),
    Missing,
}

impl RealPaths {
    /// As [`resolved`].
    pub fn of(&self, path: &Path) -> PathBuf {
        let goes_up = path.components().any(|part| part == Component::ParentDir);
        // Elsewhere the system also tells in which case a name is really written.
        if !cfg!(target_os = "linux") || !path.is_absolute() || goes_up {
            return as_the_system_says(path);
        }
        let mut real = PathBuf::from("/");
        let mut parts = path.components().skip(1);
        for part in parts.by_ref() {
            real.push(part);
            match self.part(&real) {
                Part::Plain => {}
                Part::LeadsTo(there) => real = there,
                Part::Missing => break,
            }
        }
        real.extend(parts);
        real
    }

    fn part(&self, path: &Path) -> Part {
        if let Some(known) = self.0.borrow().get(path.as_os_str()) {
            return known.clone();
        }
        let part = match rustix::fs::readlink(path, Vec::new()) {
            Err(Errno::INVAL) => Part::Plain, // it is there, and no link
            Ok(_) => path.canonicalize().map_or(Part::Missing, Part::LeadsTo),
            Err(_) => Part::Missing,
        };
        self.0.borrow_mut().insert(path.as_os_str().to_owned(), part.clone());
        part
    }
}

/// Asks for the whole path, then for what is before its last name, and so on.
fn as_the_system_says(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    let mut known = path;
    loop {
        if let Ok(real) = known.canonicalize() {
            return missing.iter().rev().fold(real, |real, part| real.join(part));
        }
        let (Some(parent), Some(name)) = (known.parent(), known.file_name()) else { return path.to_owned() };
        missing.push(name);
        known = parent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_resolved_as_far_as_the_path_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/file"), "").unwrap();
        for (target, link) in [
            ("a", "link"),
            ("../link/b", "a/back"),
            ("nowhere", "dangling"),
            ("round", "round"),
            ("a/file/..", "no_folder"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let paths = RealPaths::default();
        let check = |path: &str, expected: &str| {
            let path = root.join(path);
            assert_eq!(paths.of(&path), root.join(expected), "{path:?}");
            assert_eq!(as_the_system_says(&path), root.join(expected), "{path:?}");
        };
        check("a/b", "a/b");
        check("link/b", "a/b");
        check("link/back/new", "a/b/new");
        check("link/b/../file", "a/file");
        check("link/new/file", "a/new/file");
        check("link//./b/", "a/b");
        check("link/file/x", "a/file/x");
        check("dangling/x", "dangling/x");
        check("round/x", "round/x");
        check("no_folder/x", "no_folder/x");
        let (end, _other) = std::io::pipe().unwrap();
        let nameless = PathBuf::from(format!("/proc/{}/fd/{}/x", std::process::id(), end.as_raw_fd()));
        assert_eq!(paths.of(&nameless), as_the_system_says(&nameless));
    }

    #[test]
    fn a_path_without_end_is_soon_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x/".repeat(1_000_000));
        assert!(resolved(&path).starts_with(folder.path().canonicalize().unwrap()));
    }

    #[test]
    fn a_link_that_was_changed_counts_in_the_next_decision() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let link = root.join("link");
        for name in ["a", "b"] {
            fs::create_dir(root.join(name)).unwrap();
            symlink(name, &link).unwrap();
            assert_eq!(RealPaths::default().of(&link), root.join(name));
            fs::remove_file(&link).unwrap();
        }
    }
}
