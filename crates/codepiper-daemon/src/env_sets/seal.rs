//! Sealing: AES-256-GCM with a fresh random nonce each time, bound to the id of the row that it is for, so that
//! what was sealed for one set cannot be put into the place of another. It knows neither files nor rows.

use crate::sessions::random;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use sha2::{Digest, Sha256};

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;

/// Bytes of a nonce. Random ones of one key meet with a chance of 1 in 4 billion after 4 billion seals.
const NONCE_BYTES: usize = 12;

/// What a key's id is made of beside the key: so the id tells nothing of the key, and is no hash of it elsewhere.
const KEY_DOMAIN: &[u8] = b"codepiper env set key 1\0";

/// What is bound into a seal beside the row's id: a later form of what is sealed gets another one.
const SEAL_DOMAIN: &[u8] = b"codepiper env set 1\0";

/// A key. It does not print, and is wiped when it is dropped.
pub(super) struct Key {
    id: String,
    cipher: Aes256Gcm,
}

/// Something sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sealed {
    /// The nonce.
    pub(super) nonce: Vec<u8>,
    /// Ciphertext and tag.
    pub(super) bytes: Vec<u8>,
}

/// It was not sealed like that: another key, another row, or changed since.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl Key {
    pub(super) fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let digest = Sha256::new().chain_update(KEY_DOMAIN).chain_update(bytes).finalize();
        let id = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { id, cipher: Aes256Gcm::new(bytes.into()) }
    }

    /// Which key it is: 16 hexadecimal digits that follow from the key.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Seals for a row.
    pub(super) fn seal(&self, row: &str, plain: &[u8]) -> Sealed {
        let nonce: [u8; NONCE_BYTES] = random(NONCE_BYTES).try_into().expect("as many as were asked for");
        let payload = Payload { msg: plain, aad: &bound(row) };
        let bytes = self
            .cipher
            .encrypt(&Nonce::from(nonce), payload)
            .expect("AES-GCM takes 64 GB, and a set has a limit far below");
        Sealed { nonce: nonce.to_vec(), bytes }
    }

    /// Opens what was sealed for that row.
    pub(super) fn open(&self, row: &str, sealed: &Sealed) -> Result<Vec<u8>, Broken> {
        let nonce: [u8; NONCE_BYTES] = sealed.nonce.as_slice().try_into().map_err(|_| Broken)?;
        let payload = Payload { msg: &sealed.bytes, aad: &bound(row) };
        self.cipher.decrypt(&Nonce::from(nonce), payload).map_err(|_| Broken)
    }
}

fn bound(row: &str) -> Vec<u8> {
    [SEAL_DOMAIN, row.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::new(&[byte; KEY_BYTES])
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_for_its_row_and_in_no_other_way() {
        let plain = b"{\"A\":\"secret\"}";
        let sealed = key(1).seal("00000001", plain);
        let check = |what: &str, key: &Key, row: &str, sealed: &Sealed, opens: bool| {
            let expected = if opens { Ok(plain.to_vec()) } else { Err(Broken) };
            assert_eq!(key.open(row, sealed), expected, "{what}");
        };
        check("as it was sealed", &key(1), "00000001", &sealed, true);
        check("another key", &key(2), "00000001", &sealed, false);
        check("in another row", &key(1), "00000002", &sealed, false);
        check("in a row whose id is longer", &key(1), "000000010", &sealed, false);
        for at in 0..sealed.bytes.len() {
            let mut flipped = sealed.clone();
            flipped.bytes[at] ^= 1;
            check("a bit flipped", &key(1), "00000001", &flipped, false);
            let cut = Sealed { bytes: sealed.bytes[..at].to_vec(), ..sealed.clone() };
            check("cut off", &key(1), "00000001", &cut, false);
        }
        for at in 0..sealed.nonce.len() {
            let mut flipped = sealed.clone();
            flipped.nonce[at] ^= 1;
            check("another nonce", &key(1), "00000001", &flipped, false);
            let cut = Sealed { nonce: sealed.nonce[..at].to_vec(), ..sealed.clone() };
            check("half a nonce", &key(1), "00000001", &cut, false);
        }
    }

    #[test]
    fn the_same_is_never_sealed_the_same() {
        let (one, two) = (key(1).seal("a", b"x"), key(1).seal("a", b"x"));
        assert_ne!(one.nonce, two.nonce);
        assert_ne!(one.bytes, two.bytes);
    }

    /// Databases hold what this form sealed: it must open for ever.
    #[test]
    fn a_seal_of_before_still_opens() {
        let bytes = |hex: &str| -> Vec<u8> {
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
        };
        let sealed = Sealed { nonce: bytes(SAMPLE_NONCE), bytes: bytes(SAMPLE) };
        assert_eq!(key(7).id(), SAMPLE_KEY);
        assert_eq!(key(7).open("a1b2c3d4", &sealed), Ok(b"{\"A\":\"b\"}".to_vec()));
    }

    const SAMPLE_KEY: &str = "d0c451cac8944e92";
    const SAMPLE_NONCE: &str = "000102030405060708090a0b";
    const SAMPLE: &str = "63a3a852272bbb6b0a249bd02052b3e869e58cfe828712a315";
}
