//! Paths as they really are.

use std::path::{Path, PathBuf};

/// The path with every link in it resolved, up to the part that does not exist yet.
pub fn resolved(path: &Path) -> PathBuf {
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
