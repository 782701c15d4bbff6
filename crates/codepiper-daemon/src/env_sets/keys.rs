//! The key files: one a key, named after the id that follows from it, readable by their owner alone from the
//! moment they exist, and never overwritten. A retired key lies in a folder below, where it is still found: a
//! database that was restored may need it.

use super::seal::{KEY_BYTES, Key};
use crate::sessions::random;
use rustix::fs::OFlags;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The folder of the key files.
#[derive(Debug, Clone)]
pub(super) struct Keys(pub(super) PathBuf);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoKey {
    #[error("the key file `{}` is not there", .0.display())]
    Lost(PathBuf),
    #[error("the key file `{}` can be read by others (mode {mode:o})", path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("the key file `{}` {why}", path.display())]
    Refused { path: PathBuf, why: String },
    #[error("the key file `{}` cannot be used: {why}", path.display())]
    File { path: PathBuf, why: io::Error },
}

impl Keys {
    /// Where the key with that id is kept.
    pub(super) fn file(&self, id: &str) -> PathBuf {
        self.0.join(file_name(id))
    }

    fn retired(&self) -> PathBuf {
        self.0.join("retired")
    }

    /// The key with that id, retired or not.
    pub(super) fn load(&self, id: &str) -> Result<Key, NoKey> {
        let path = self.file(id);
        if !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoKey::Lost(path)); // no file of ours, and no way out of the folder
        }
        match read(&path, id) {
            Err(NoKey::Lost(path)) => match read(&self.retired().join(file_name(id)), id) {
                Err(NoKey::Lost(_)) => Err(NoKey::Lost(path)),
                other => other,
            },
            other => other,
        }
    }

    /// Makes a key. It is on the disk before anything is sealed with it.
    pub(super) fn make(&self) -> Result<Key, NoKey> {
        let bytes: [u8; KEY_BYTES] = random(KEY_BYTES).try_into().expect("as many as were asked for");
        let key = Key::new(&bytes);
        let path = self.file(key.id());
        let write = || {
            owner_only_folder(&self.0)?;
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            sync_folder(&self.0)?;
            self.0.parent().map_or(Ok(()), sync_folder)
        };
        write().map_err(|why| NoKey::File { path: path.clone(), why })?;
        Ok(key)
    }

    /// Takes a key back that nothing was sealed with.
    pub(super) fn take_back(&self, id: &str) -> io::Result<()> {
        fs::remove_file(self.file(id))
    }

    /// Puts all keys but this one aside; those named are deleted instead. Gives the files that were put aside.
    pub(super) fn retire_all_but(
        &self,
        current: &str,
        delete: &BTreeSet<String>,
    ) -> io::Result<Vec<PathBuf>> {
        let mut retired = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            let Some(id) = path.file_name().and_then(|name| name.to_str()).and_then(id_of) else { continue };
            if id == current {
                continue;
            }
            if delete.contains(id) {
                fs::remove_file(&path)?;
                continue;
            }
            owner_only_folder(&self.retired())?;
            let to = self.retired().join(file_name(id));
            // A key that was put aside before may have been put back from a copy.
            match fs::read(&to) {
                Ok(there) if there == fs::read(&path)? => fs::remove_file(&path)?,
                Ok(_) => continue,
                Err(_) => fs::rename(&path, &to)?,
            }
            retired.push(to);
        }
        sync_folder(&self.0)?;
        Ok(retired)
    }
}

fn file_name(id: &str) -> String {
    format!("env-sets-{id}.key")
}

fn id_of(name: &str) -> Option<&str> {
    name.strip_prefix("env-sets-")?.strip_suffix(".key")
}

fn read(path: &Path, id: &str) -> Result<Key, NoKey> {
    let refused = |why: String| NoKey::Refused { path: path.to_owned(), why };
    // A link might lead to a file that others write; a pipe would hold us up.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let opened = fs::OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path);
    let mut file = opened.map_err(|why| match why.kind() {
        io::ErrorKind::NotFound => NoKey::Lost(path.to_owned()),
        _ => NoKey::File { path: path.to_owned(), why },
    })?;
    let known = file.metadata().map_err(|why| NoKey::File { path: path.to_owned(), why })?;
    if !known.is_file() {
        return Err(refused("is no file".into()));
    }
    if known.uid() != rustix::process::getuid().as_raw() {
        return Err(refused("belongs to another user".into()));
    }
    if known.mode() & 0o077 != 0 {
        return Err(NoKey::Exposed { path: path.to_owned(), mode: known.mode() & 0o777 });
    }
    if known.len() != KEY_BYTES as u64 {
        return Err(refused(format!("has {} bytes, and a key has {KEY_BYTES}", known.len())));
    }
    let mut bytes = [0; KEY_BYTES];
    file.read_exact(&mut bytes).map_err(|why| NoKey::File { path: path.to_owned(), why })?;
    let key = Key::new(&bytes);
    if key.id() != id {
        return Err(refused(format!("holds another key, {}", key.id())));
    }
    Ok(key)
}

fn owner_only_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A new name is on the disk only when its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn keys(folder: &tempfile::TempDir) -> Keys {
        Keys(folder.path().join("keys"))
    }

    #[test]
    fn a_key_is_made_owner_only_and_found_again_also_when_it_is_retired() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(&folder);
        let (one, two) = (keys.make().unwrap(), keys.make().unwrap());
        assert_ne!(one.id(), two.id());
        for path in [keys.file(one.id()), keys.0.clone()] {
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
        }
        let retired = keys.retire_all_but(two.id(), &BTreeSet::new()).unwrap();
        assert_eq!(retired, [keys.retired().join(file_name(one.id()))]);
        assert_eq!(keys.load(one.id()).unwrap().id(), one.id());
        let three = keys.make().unwrap();
        let retired = keys.retire_all_but(three.id(), &BTreeSet::from([two.id().to_owned()])).unwrap();
        assert_eq!(retired, [] as [PathBuf; 0]);
        assert!(matches!(keys.load(two.id()), Err(NoKey::Lost(_))), "a key that was deleted is there");
        assert!(keys.load(one.id()).is_ok());
    }

    #[test]
    fn a_key_that_is_not_as_it_must_be_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(&folder);
        let (key, other) = (keys.make().unwrap(), keys.make().unwrap());
        let path = keys.file(key.id());
        let good = fs::read(&path).unwrap();
        let check = |expected: &str| {
            let why = keys.load(key.id()).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(why.contains(expected) && why.contains(&path.display().to_string()), "{why}");
        };
        for mode in [0o640, 0o604, 0o620, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            check(&format!("can be read by others (mode {mode:o})"));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, &good[..31]).unwrap();
        check("has 31 bytes");
        fs::write(&path, [good.as_slice(), b"\n"].concat()).unwrap();
        check("has 33 bytes");
        fs::write(&path, b"").unwrap();
        check("has 0 bytes");
        fs::copy(keys.file(other.id()), &path).unwrap();
        check("holds another key");
        fs::remove_file(&path).unwrap();
        check("is not there");
        std::os::unix::fs::symlink(keys.file(other.id()), &path).unwrap();
        check("cannot be used");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        check("is no file");
    }

    #[test]
    fn no_id_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(keys(&folder).load("../../etc/x"), Err(NoKey::Lost(_))));
    }
}
