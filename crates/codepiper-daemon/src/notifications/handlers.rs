//! The person's handlers as their file says, read again when it changes.

use codepiper_core::handler::{self, Handler};
use std::fs::{self, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The largest file of handlers, in bytes.
const FILE_MAX: u64 = 256 * 1024;

/// How old an answer may be: handlers are asked for at every entry of the log, and their file changes by hand.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// The handlers in force. Clones share them.
#[derive(Clone)]
pub(super) struct Handlers {
    file: PathBuf,
    known: Arc<Mutex<Known>>,
}

struct Known {
    looked: Option<Instant>,
    /// What the file was like; none while there was none.
    like: Option<(u64, i64, i64, u64)>,
    set: Arc<Set>,
}

/// All handlers.
#[derive(Debug, Clone, Default)]
pub(super) struct Set {
    pub(super) all: Vec<Handler>,
    /// Whether any wants entries of the log itself.
    pub(super) want_log: bool,
    /// Why the file cannot be used; then these are those of before.
    pub(super) fault: Option<String>,
}

impl Handlers {
    pub(super) fn new(file: PathBuf) -> Self {
        let known = Known { looked: None, like: None, set: Arc::default() };
        Self { file, known: Arc::new(Mutex::new(known)) }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Those in force, at most a moment old.
    pub(super) fn current(&self) -> Arc<Set> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.is_none_or(|looked| looked.elapsed() >= LOOK_PAUSE) {
            known.looked = Some(Instant::now());
            let like = fs::metadata(&self.file).ok().map(|facts| likeness(&facts));
            if like != known.like {
                known.like = like;
                known.set = Arc::new(read(&self.file, &known.set));
            }
        }
        known.set.clone()
    }

    /// Those in force, of now.
    pub(super) fn latest(&self) -> Arc<Set> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).looked = None;
        self.current()
    }
}

fn likeness(facts: &Metadata) -> (u64, i64, i64, u64) {
    (facts.ino(), facts.ctime(), facts.ctime_nsec(), facts.len())
}

/// What the file says; while it cannot be used, what it said before.
fn read(file: &Path, before: &Set) -> Set {
    match load(file) {
        Ok(all) => Set { want_log: all.iter().any(Handler::wants_log), all, fault: None },
        Err(why) => {
            tracing::warn!(why, "the handlers of before stay in force");
            Set { fault: Some(why), ..before.clone() }
        }
    }
}

/// Reads the file. It may hold secrets and says what is run, so nobody else may read or write it.
pub(crate) fn load(file: &Path) -> Result<Vec<Handler>, String> {
    let name = file.display();
    let opened = match fs::File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{name}: {error}")),
    };
    let facts = opened.metadata().map_err(|error| format!("{name}: {error}"))?;
    if facts.uid() != rustix::process::getuid().as_raw() {
        return Err(format!("{name} belongs to another user (uid {})", facts.uid()));
    }
    if facts.mode() & 0o077 != 0 {
        return Err(format!("{name} can be read or changed by others; `chmod 600 {name}` keeps it yours"));
    }
    let mut text = String::new();
    opened.take(FILE_MAX + 1).read_to_string(&mut text).map_err(|error| format!("{name}: {error}"))?;
    if text.len() as u64 > FILE_MAX {
        return Err(format!("{name} is larger than {FILE_MAX} bytes"));
    }
    handler::parse(&text).map_err(|error| format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const ONE: &str = "[[handler]]\nname = 'a'\non = ['*']\nrun = ['true']\n";

    fn write(file: &Path, text: &str, mode: u32) {
        fs::write(file, text).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_changed_file_is_in_force_and_a_bad_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("handlers.toml");
        let handlers = Handlers::new(file.clone());
        let now = || (handlers.latest().all.len(), handlers.latest().fault.clone());
        assert_eq!(now(), (0, None));
        write(&file, ONE, 0o600);
        assert_eq!(now(), (1, None));
        write(&file, &format!("{ONE}[[handler]]\nname = 'b'\non = ['hook/Stop']\nrun = ['true']\n"), 0o600);
        assert_eq!(now(), (2, None));
        assert!(handlers.latest().want_log);
        write(&file, "frob = 1", 0o600);
        let (count, fault) = now();
        assert_eq!(count, 2, "those of before");
        assert!(fault.unwrap().contains("frob"));
        write(&file, ONE, 0o640);
        assert!(now().1.unwrap().contains("chmod 600"));
        fs::remove_file(&file).unwrap();
        assert_eq!(now(), (0, None));
    }
}
