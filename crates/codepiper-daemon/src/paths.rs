//! Paths as they really are.

use rustix::fs::{CWD, readlinkat_raw};
use rustix::io::Errno;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The path with every link in it resolved, up to the part that does not exist yet.
pub fn resolved(path: &Path) -> PathBuf {
    RealPaths::default().of(path)
}

/// Paths that are resolved together: the file system is asked once for each of their parts. Made for one decision and
/// not kept: a link that is changed after it counts in the next.
#[derive(Default)]
pub struct RealPaths {
    parts: RefCell<HashMap<OsString, Part>>,
    /// Where most of the paths are.
    near: PathBuf,
    /// That folder, if no link leads to it; opened with the first path.
    folder: OnceCell<Option<OwnedFd>>,
}

/// What the last name of a path is, where all before it is no link.
#[derive(Clone)]
enum Part {
    Plain,
    LeadsTo(OsString),
    Missing,
}

impl RealPaths {
    /// For paths most of which are in this folder: it is looked up once, and they from there.
    pub fn near(folder: &Path) -> Self {
        Self { near: folder.components().collect(), ..Self::default() }
    }

    /// As [`resolved`].
    pub fn of(&self, path: &Path) -> PathBuf {
        // Elsewhere the system also tells in which case a name is really written.
        if !cfg!(target_os = "linux") || !path.is_absolute() || goes_up(path) {
            return as_the_system_says(path);
        }
        let path = path.as_os_str().as_bytes();
        let plain = match self.folder() {
            Some(_) => in_common(path, self.near.as_os_str().as_bytes()),
            None => 0,
        };
        let mut real = OsString::with_capacity(path.len());
        real.push(OsStr::from_bytes(&path[..plain]));
        let mut names = path[plain..].split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
        for name in names.by_ref() {
            real.push("/");
            real.push(OsStr::from_bytes(name));
            match self.part(&real) {
                Part::Plain => {}
                Part::LeadsTo(there) => real = there,
                Part::Missing => break,
            }
        }
        for name in names {
            real.push("/");
            real.push(OsStr::from_bytes(name));
        }
        if real.is_empty() { PathBuf::from("/") } else { PathBuf::from(real) }
    }

    fn part(&self, path: &OsStr) -> Part {
        if let Some(known) = self.parts.borrow().get(path) {
            return known.clone();
        }
        // A short way to it: from the folder, if it is in there.
        let inside = path.as_bytes().strip_prefix(self.near.as_os_str().as_bytes());
        let (from, name) = match (self.folder(), inside) {
            (Some(folder), Some([b'/', name @ ..])) => (folder.as_fd(), OsStr::from_bytes(name)),
            _ => (CWD, path),
        };
        let part = match readlinkat_raw(from, name, &mut [MaybeUninit::uninit(); 1]) {
            Err(Errno::INVAL) => Part::Plain, // it is there, and no link
            Ok(_) => Path::new(path).canonicalize().map_or(Part::Missing, Part::leads_to),
            Err(_) => Part::Missing,
        };
        self.parts.borrow_mut().insert(path.to_owned(), part.clone());
        part
    }

    fn folder(&self) -> Option<&OwnedFd> {
        self.folder.get_or_init(|| open_without_links(&self.near)).as_ref()
    }
}

impl Part {
    /// The root is what is before all names.
    fn leads_to(there: PathBuf) -> Self {
        Self::LeadsTo(if there == Path::new("/") { OsString::new() } else { there.into_os_string() })
    }
}

fn goes_up(path: &Path) -> bool {
    path.as_os_str().as_bytes().split(|byte| *byte == b'/').any(|name| name == b"..")
}

/// How many bytes of the path lead to a folder that is, or is on the way to, the other.
fn in_common(path: &[u8], other: &[u8]) -> usize {
    let same = path.iter().zip(other).take_while(|(one, other)| one == other).count();
    let ends = |path: &[u8]| matches!(path.get(same), None | Some(b'/'));
    if ends(path) && ends(other) {
        return same;
    }
    path[..same].iter().rposition(|byte| *byte == b'/').unwrap_or(0)
}

/// A folder to start from, unless one of its path's names is a link, or the system is too old to tell.
#[cfg(target_os = "linux")]
fn open_without_links(folder: &Path) -> Option<OwnedFd> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
    if !folder.is_absolute() || goes_up(folder) || folder == Path::new("/") {
        return None;
    }
    let as_place = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(CWD, folder, as_place, Mode::empty(), ResolveFlags::NO_SYMLINKS).ok()
}

#[cfg(not(target_os = "linux"))]
fn open_without_links(_folder: &Path) -> Option<OwnedFd> {
    None
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
            (".", "up"),
            ("round", "round"),
            ("a/file/..", "no_folder"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let from = ["", "a", "a/b", "a/file", "link", "link/b", "nowhere", "a/../a", "a/./b/"];
        let near = from.map(|folder| RealPaths::near(&root.join(folder)));
        let check = |path: &str, expected: &str| {
            let path = root.join(path);
            for paths in near.iter().chain([&RealPaths::default(), &RealPaths::near(Path::new("a"))]) {
                assert_eq!(paths.of(&path), root.join(expected), "{path:?} near {:?}", paths.near);
            }
            assert_eq!(as_the_system_says(&path), root.join(expected), "{path:?}");
        };
        check("", "");
        check("a", "a");
        check("ab", "ab");
        check("a//b/.", "a/b");
        check("up", "");
        check("up/a/b/x", "a/b/x");
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
        symlink("/", root.join("all")).unwrap();
        assert_eq!(RealPaths::near(&root).of(&root.join("all/nowhere/x")), Path::new("/nowhere/x"));
        assert_eq!(resolved(&root.join("all")), Path::new("/"));
        let (end, _other) = std::io::pipe().unwrap();
        let nameless = PathBuf::from(format!("/proc/{}/fd/{}/x", std::process::id(), end.as_raw_fd()));
        assert_eq!(resolved(&nameless), as_the_system_says(&nameless));
        assert_eq!(RealPaths::near(nameless.parent().unwrap()).of(&nameless), as_the_system_says(&nameless));
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
            assert_eq!(RealPaths::near(&root).of(&link), root.join(name));
            assert_eq!(RealPaths::near(&link).of(&link), root.join(name));
            fs::remove_file(&link).unwrap();
        }
    }
}
