//! The spool: hook events that found no daemon, a file each. Its name has the time, the event's id and what proves that
//! the session's own hook wrote it.
//!
//! The law to keep: what is not proven is not taken. Whoever can write into the folder is not the session yet: agents
//! have the same user id, and know where their own spool is.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The ending of a file that is to be taken.
pub const ENDING: &str = "json";

/// The ending of one that was not.
pub const REFUSED: &str = "refused";

/// Where a spooled event stands among the others.
#[derive(Debug, PartialEq, Eq)]
pub struct Spooled {
    /// When it was spooled.
    pub at: Timestamp,
    /// Its own id.
    pub id: String,
}

/// Leaves an event where the daemon finds it. The name sorts by time.
pub fn write(folder: &Path, id: &str, secret: &str, body: &[u8]) -> io::Result<()> {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let name = format!("{millis:015}-{id}");
    let proof = proof(secret, &name, body);
    crate::pane::write_whole(&folder.join(format!("{name}-{proof}.{ENDING}")), body)
}

/// What the name of a file says, when it was written with this secret for this body.
pub fn read_name(stem: &str, secret: &str, body: &[u8]) -> Option<Spooled> {
    let (name, told) = stem.rsplit_once('-')?;
    if secret.is_empty() || !same(told, &proof(secret, name, body)) {
        return None;
    }
    let (millis, id) = name.split_once('-')?;
    let at = Timestamp::from_millisecond(millis.parse().ok()?).ok()?;
    Some(Spooled { at, id: id.to_owned() })
}

/// Compares secrets in a time that does not tell where they differ.
pub fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// HMAC-SHA256 of name and body, in hexadecimal.
fn proof(secret: &str, name: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length will do");
    [name.as_bytes(), b"\n", body].into_iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_not_written_by_the_session_or_was_changed_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "id1", "s", b"body").unwrap();
        let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let stem = file.file_stem().unwrap().to_str().unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"body");
        assert_eq!(read_name(stem, "s", b"body").unwrap().id, "id1");
        let check = |stem: &str, secret: &str, body: &[u8]| assert_eq!(read_name(stem, secret, body), None);
        check(stem, "t", b"body");
        check(stem, "s", b"another body");
        check(&stem.replace("id1", "id2"), "s", b"body");
        check(stem.rsplit_once('-').unwrap().0, "s", b"body");
        check("", "s", b"body");
        let nobody = format!("000000000000001-x-{}", proof("", "000000000000001-x", b"body"));
        check(&nobody, "", b"body");
    }

    #[test]
    fn the_proof_is_that_of_everybody_else() {
        // python3: hmac.new(key, b"name\nbody", "sha256").hexdigest()
        let check = |secret: &str, expected: &str| assert_eq!(proof(secret, "name", b"body"), expected);
        check("Jefe", "401c4e1f537ebef903d687096bdec8b6613de9c6fd50375f012ff9e76d6c32e4");
        check(&"k".repeat(100), "bba0a2033e0e919bcfd502908e0e7ca2566b1e2d4d397a014efa2624b48db691");
    }
}
