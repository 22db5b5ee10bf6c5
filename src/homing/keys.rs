//! Keys of spaces and personas, all from one root, and the key files of merchants.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use zeroize::Zeroizing;

use super::{decode, encode};
use crate::crypto::sodium::{self, BoxKey};
use crate::crypto::{SigningKey, random};

/// Longest key file read, in bytes: some three times what a key needs.
const LARGEST: u64 = 256;

/// What a space is made of: 32 bytes that never leave the user's device but in the vault. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Root(Zeroizing<[u8; 32]>);

/// The keys of one persona. Nobody can tell by them that two personas are of one space.
#[derive(Debug, Clone)]
pub struct PersonaKeys {
    /// Signs approvals; and welcome requests, where the persona is a merchant's.
    pub sign: SigningKey,
    /// Opens welcomes.
    pub opening: BoxKey,
}

/// Key files, as the hub's page "reveal keys" shows them: one line of base64 (either alphabet, padded or not).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFile {
    /// `homing-sign.key`: the 32 bytes of the seed, or libsodium's 64 of seed and public key.
    Sign,
    /// `homing-box.key`: the 32 bytes of the secret key.
    Box,
}

/// Why a key file gives no key. No message holds anything of the file.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than its owner may read it.
    #[error("{path} may be used by others than its owner (mode {mode:03o}); run: chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds no such key.
    #[error("{0} must hold one line of base64: a key of 32 bytes (or libsodium's sign key of 64)")]
    Form(PathBuf),
}

impl Root {
    /// A new one.
    pub fn generate() -> Self {
        Self(Zeroizing::new(random()))
    }

    /// From its bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// Its bytes, for the vault.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key that signs in to the space.
    pub fn space(&self) -> SigningKey {
        SigningKey::from_seed(&sodium::derive(&self.0, 0, b"HSspace_"))
    }

    /// The keys of the persona with this index: 1, 2, 3 …, never used twice.
    pub fn persona(&self, index: u64) -> PersonaKeys {
        PersonaKeys {
            sign: SigningKey::from_seed(&sodium::derive(&self.0, index, b"HSpsign_")),
            opening: BoxKey::from_seed(&sodium::derive(&self.0, index, b"HSpbox__")),
        }
    }
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Root")
    }
}

impl PersonaKeys {
    /// The public sign key as it travels.
    pub fn sign_public(&self) -> String {
        encode(self.sign.public())
    }

    /// The public box key as it travels.
    pub fn box_public(&self) -> String {
        encode(self.opening.public())
    }

    /// The lines of `homing-sign.key` and `homing-box.key`.
    pub fn lines(&self) -> (Zeroizing<String>, Zeroizing<String>) {
        let line = |bytes: &[u8; 32]| Zeroizing::new(STANDARD.encode(bytes));
        (line(self.sign.seed()), line(self.opening.secret()))
    }
}

impl KeyFile {
    /// The sign key in a file.
    ///
    /// # Errors
    /// When the file cannot be read, may be read by others than its owner, or holds something else.
    pub fn sign(path: &Path) -> Result<SigningKey, KeyFileError> {
        let bytes = Self::Sign.read(path)?;
        Ok(SigningKey::from_seed(&bytes))
    }

    /// The box key in a file; errors as [`sign`](Self::sign).
    pub fn opening(path: &Path) -> Result<BoxKey, KeyFileError> {
        let bytes = Self::Box.read(path)?;
        Ok(BoxKey::from_secret(&bytes))
    }

    /// The key in a file's text, if it is of this kind.
    pub fn parse(self, text: &str) -> Option<Zeroizing<[u8; 32]>> {
        let bytes = Zeroizing::new(of_any_alphabet(text.trim())?);
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(bytes.get(..32)?);
        let whole = match (self, bytes.len()) {
            (_, 32) => true,
            (Self::Sign, 64) => SigningKey::from_seed(&key).public()[..] == bytes[32..],
            _ => false,
        };
        whole.then_some(key)
    }

    fn read(self, path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
        let failed = |source| KeyFileError::Read { path: path.into(), source };
        // The open file is asked, not the path, so that it cannot be exchanged in between.
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Exposed { path: path.into(), mode });
        }
        let mut text = Zeroizing::new(String::with_capacity(LARGEST as usize));
        file.take(LARGEST).read_to_string(&mut text).map_err(failed)?;
        self.parse(&text).ok_or_else(|| KeyFileError::Form(path.into()))
    }
}

/// A public key as settings and pages have it: 32 bytes of base64, either alphabet, padded or not.
pub fn public(text: &str) -> Option<[u8; 32]> {
    of_any_alphabet(text.trim())?.try_into().ok()
}

fn of_any_alphabet(text: &str) -> Option<Vec<u8>> {
    let plain = text.trim_end_matches('=');
    STANDARD_NO_PAD.decode(plain).ok().or_else(|| decode(plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn keys_of_a_root_are_all_different() {
        let root = Root::from_bytes(&[9; 32]);
        let (one, two) = (root.persona(1), root.persona(2));
        let publics =
            [root.space().public(), one.sign.public(), one.opening.public(), two.sign.public()].map(|key| *key);
        for (n, key) in publics.iter().enumerate() {
            assert!(!publics[..n].contains(key));
        }
        assert_eq!(root.persona(1).sign_public(), one.sign_public());
    }

    #[test]
    fn key_files_are_taken_in_every_form_the_page_or_libsodium_writes() {
        let keys = Root::from_bytes(&[9; 32]).persona(1);
        let (sign, opening) = keys.lines();
        let read = |text: &str| KeyFile::Sign.parse(text).map(|seed| *SigningKey::from_seed(&seed).public());
        assert_eq!(read(&sign), Some(*keys.sign.public()));
        assert_eq!(read(&format!("{}\n", encode(keys.sign.seed()))), Some(*keys.sign.public()));
        let whole = [&keys.sign.seed()[..], keys.sign.public()].concat();
        assert_eq!(read(&STANDARD.encode(&whole)), Some(*keys.sign.public()));
        let torn = [&keys.sign.seed()[..], &[0; 32]].concat();
        assert_eq!(read(&STANDARD.encode(torn)), None);
        assert_eq!(KeyFile::Box.parse(&STANDARD.encode(whole)), None);
        let secret = KeyFile::Box.parse(&opening).unwrap();
        assert_eq!(BoxKey::from_secret(&secret).public(), keys.opening.public());
        for bad in ["", "AAAA", "not base64!"] {
            assert_eq!(KeyFile::Sign.parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("homing-sign.key");
        fs::write(&path, STANDARD.encode([1; 32])).unwrap();
        for (mode, good) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            match KeyFile::sign(&path) {
                Ok(_) => assert!(good, "{mode:o}"),
                Err(error) => assert!(!good && matches!(error, KeyFileError::Exposed { .. }), "{error}"),
            }
        }
        assert!(matches!(KeyFile::sign(&folder.path().join("none")), Err(KeyFileError::Read { .. })));
    }
}
