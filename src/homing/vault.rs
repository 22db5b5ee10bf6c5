//! The vault: a space's root and properties under the user's password. To the hub it is opaque text.

use std::collections::BTreeMap;

use icu_normalizer::ComposingNormalizerBorrowed;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::keys::Root;
use super::{decode, decode_exact, encode};
use crate::crypto::sodium::password_key;
use crate::crypto::{open_box, random, seal_box};

/// Longest vault a hub keeps, in bytes.
pub const LONGEST: usize = 64 * 1024;

const ALGORITHM: &str = "argon2id13";
/// libsodium's interactive limits.
const PASSES: u32 = 2;
const MEMORY: u32 = 64 << 20;
/// The most that a vault may ask of whoever opens it: a hub could otherwise hand out one that takes all memory.
const MOST_PASSES: u32 = 8;
const MOST_MEMORY: u32 = 512 << 20;

/// What is in a vault. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Vault {
    /// What all keys come from.
    pub root: Root,
    /// What the user has written down, by the scope's name.
    pub properties: BTreeMap<String, String>,
}

/// Why a vault does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Not a vault, or one of another version.
    #[error("not a vault of version 1")]
    Form,
    /// It asks for more time or memory than a vault may, or there is not enough memory.
    #[error("the vault asks for more memory than there is")]
    Memory,
    /// Another password, or damaged.
    #[error("the password is another one, or the vault is damaged")]
    Password,
}

#[derive(Serialize, Deserialize)]
struct Outside {
    v: u32,
    alg: String,
    ops: u32,
    mem: u32,
    salt: String,
    nonce: String,
    #[serde(rename = "box")]
    sealed: String,
}

#[derive(Serialize, Deserialize)]
struct Inside {
    root: String,
    #[serde(default)]
    properties: BTreeMap<String, String>,
}

impl Vault {
    /// Seals it under a password; some tenths of a second of CPU and 64 MiB of memory.
    ///
    /// # Errors
    /// When there is not enough memory.
    pub fn seal(&self, password: &str) -> Result<String, VaultError> {
        self.seal_with(password, PASSES, MEMORY)
    }

    /// Opens one.
    pub fn open(text: &str, password: &str) -> Result<Self, VaultError> {
        let outside: Outside = serde_json::from_str(text).map_err(|_| VaultError::Form)?;
        let salt = decode_exact(&outside.salt).ok_or(VaultError::Form)?;
        let nonce = decode_exact(&outside.nonce).ok_or(VaultError::Form)?;
        let sealed = decode(&outside.sealed).ok_or(VaultError::Form)?;
        if outside.v != 1 || outside.alg != ALGORITHM {
            return Err(VaultError::Form);
        }
        if outside.ops > MOST_PASSES || outside.mem > MOST_MEMORY {
            return Err(VaultError::Memory);
        }
        let open = |password: &str| {
            let key = password_key(password.as_bytes(), &salt, outside.ops, outside.mem).ok_or(VaultError::Memory)?;
            open_box(&sealed, &nonce, &key).map_err(|_| VaultError::Password)
        };
        let letters = composed(password);
        let plain = match open(&letters) {
            // Vaults of earlier versions were sealed under the password as it was typed.
            Err(VaultError::Password) if *letters != *password => open(password)?,
            opened => opened?,
        };
        let inside: Inside = serde_json::from_slice(&plain).map_err(|_| VaultError::Form)?;
        let root = Zeroizing::new(decode_exact(&inside.root).ok_or(VaultError::Form)?);
        Ok(Self { root: Root::from_bytes(&root), properties: inside.properties })
    }

    fn seal_with(&self, password: &str, ops: u32, mem: u32) -> Result<String, VaultError> {
        let (salt, nonce) = (random(), random());
        let key = password_key(composed(password).as_bytes(), &salt, ops, mem).ok_or(VaultError::Memory)?;
        let inside = Inside { root: encode(self.root.bytes()), properties: self.properties.clone() };
        let plain = Zeroizing::new(serde_json::to_vec(&inside).map_err(|_| VaultError::Form)?);
        let sealed = encode(&seal_box(&plain, &nonce, &key));
        let outside =
            Outside { v: 1, alg: ALGORITHM.into(), ops, mem, salt: encode(&salt), nonce: encode(&nonce), sealed };
        serde_json::to_string(&outside).map_err(|_| VaultError::Form)
    }
}

/// The password in Unicode's composed form (NFC), as the hub's pages have it: the same letters open a vault, whichever way a keyboard
/// composes them.
fn composed(password: &str) -> Zeroizing<String> {
    Zeroizing::new(ComposingNormalizerBorrowed::new_nfc().normalize(password).into_owned())
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vault() -> Vault {
        let properties = [("email".to_owned(), "a@b.example".to_owned())].into();
        Vault { root: Root::from_bytes(&[9; 32]), properties }
    }

    #[test]
    fn a_vault_opens_with_its_password_only() {
        let text = vault().seal_with("secret", 1, 8192).unwrap();
        let opened = Vault::open(&text, "secret").unwrap();
        assert_eq!((opened.root.bytes(), &opened.properties), (&[9; 32], &vault().properties));
        assert_eq!(Vault::open(&text, "Secret").err(), Some(VaultError::Password));
        assert!(!text.contains("email"));
    }

    #[test]
    fn the_same_letters_open_it_however_they_are_composed() {
        let text = vault().seal_with("caf\u{e9}", 1, 8192).unwrap();
        assert!(Vault::open(&text, "cafe\u{301}").is_ok());
        let text = vault().seal_with("cafe\u{301}", 1, 8192).unwrap();
        assert!(Vault::open(&text, "caf\u{e9}").is_ok());
        assert_eq!(Vault::open(&text, "cafe").err(), Some(VaultError::Password));
    }

    #[test]
    fn a_vault_that_was_sealed_under_a_password_as_it_was_typed_opens() {
        // From before passwords were composed: the key is that of "cafe\u{301}", byte by byte.
        let (salt, nonce) = (random(), random());
        let key = password_key("cafe\u{301}".as_bytes(), &salt, 1, 8192).unwrap();
        let plain = serde_json::json!({ "root": encode(&[9; 32]) }).to_string();
        let sealed = encode(&seal_box(plain.as_bytes(), &nonce, &key));
        let text = serde_json::json!({
            "v": 1, "alg": ALGORITHM, "ops": 1, "mem": 8192, "salt": encode(&salt), "nonce": encode(&nonce), "box": sealed,
        });
        assert!(Vault::open(&text.to_string(), "cafe\u{301}").is_ok());
    }

    #[test]
    fn a_vault_cannot_ask_for_all_memory() {
        let text = vault().seal_with("secret", 1, 8192).unwrap();
        for greedy in [text.replace("8192", "4294967295"), text.replace("\"ops\":1", "\"ops\":4000000000")] {
            assert_eq!(Vault::open(&greedy, "secret").err(), Some(VaultError::Memory));
        }
        assert_eq!(Vault::open(&text.replace("argon2id13", "scrypt"), "secret").err(), Some(VaultError::Form));
    }

    #[test]
    fn the_real_limits_work() {
        let text = vault().seal("secret").unwrap();
        assert!(text.contains(r#""ops":2,"mem":67108864"#), "{text}");
        assert!(Vault::open(&text, "secret").is_ok());
    }

    proptest! {
        #[test]
        fn whatever_arrives(text in ".{0,80}") {
            prop_assert!(Vault::open(&text, "").is_err());
        }
    }
}
