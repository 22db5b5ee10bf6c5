//! Message packages: a text under a connection's key, and the two hashes of the protocol.
//!
//! A package is the base64 text of nonce and box. The text is what is hashed and confirmed, so a package from a peer is kept as it
//! came; ours are url-safe without padding.

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{AuthCode, CryptKey, MessageHash, PassCode, Salt};
use crate::crypto::{self, NONCE_BYTES, TAG_BYTES};

/// Characters of a nonce in base64: 24 bytes are a multiple of 3, so they stand apart from the box and need no padding.
const NONCE_CHARACTERS: usize = 32;

const LIBERAL: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LIBERAL);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LIBERAL);

/// `message_package` as it travels; not yet looked into when it came from a peer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Package(String);

/// A package taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Decoded {
    nonce: Nonce,
    sealed: Vec<u8>,
}

/// The 24 bytes that make a package unique on its connection. On the wire: `message_nonce`, the first 32 characters of the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce([u8; NONCE_BYTES]);

/// Why there is no text in a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// No base64, in either alphabet.
    #[error("is not base64")]
    Base64,
    /// Too short for a nonce and an authenticator.
    #[error("is shorter than a nonce and an authenticator")]
    Short,
    /// Another key, or damaged.
    #[error("does not open with the key of the connection")]
    Sealed,
    /// Opened, and holds something else than text.
    #[error("does not contain UTF-8")]
    Utf8,
}

/// How a package is written in base64 (§3.1). What peers send is understood in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// Url-safe, unpadded: since 2025-06-25.
    UrlSafe,
    /// Standard, padded: all that nodes from before that day can read.
    Standard,
}

impl Package {
    /// Seals a text for a peer. A nonce is used for one package of a connection only.
    pub fn seal(text: &str, nonce: &Nonce, key: &CryptKey, alphabet: Alphabet) -> Self {
        let mut bytes = nonce.0.to_vec();
        bytes.extend(crypto::seal_box(text.as_bytes(), &nonce.0, key.as_bytes()));
        Self(match alphabet {
            Alphabet::UrlSafe => URL_SAFE.encode(bytes),
            Alphabet::Standard => base64::engine::general_purpose::STANDARD.encode(bytes),
        })
    }

    /// A package as a peer sent it.
    pub fn from_wire(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text that travels.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the confirm names: the first 32 characters, exactly as they came. `None` when the package cannot be one.
    pub fn nonce_text(&self) -> Option<&str> {
        self.0.get(..NONCE_CHARACTERS)
    }

    /// Takes the package apart: either alphabet, padded or not.
    pub fn decode(&self) -> Result<Decoded, PackageError> {
        let bytes = decode_liberally(&self.0).ok_or(PackageError::Base64)?;
        match bytes.split_first_chunk() {
            Some((nonce, sealed)) if sealed.len() >= TAG_BYTES => {
                Ok(Decoded { nonce: Nonce(*nonce), sealed: sealed.to_vec() })
            }
            _ => Err(PackageError::Short),
        }
    }
}

impl Decoded {
    /// The nonce, for noticing its second use.
    pub fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// The text inside.
    pub fn open(&self, key: &CryptKey) -> Result<Zeroizing<String>, PackageError> {
        let text = crypto::open_box(&self.sealed, &self.nonce.0, key.as_bytes()).map_err(|_| PackageError::Sealed)?;
        let text = std::str::from_utf8(&text).map_err(|_| PackageError::Utf8)?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

impl Nonce {
    /// A new one: 24 random bytes never repeat.
    pub fn random() -> Self {
        Self(crypto::random())
    }

    /// From its bytes.
    pub fn from_bytes(bytes: [u8; NONCE_BYTES]) -> Self {
        Self(bytes)
    }

    /// The 24 bytes.
    pub fn as_bytes(&self) -> &[u8; NONCE_BYTES] {
        &self.0
    }

    /// `message_nonce` of our own packages.
    pub fn to_text(&self) -> String {
        URL_SAFE.encode(self.0)
    }

    /// `message_nonce` as a peer gave it back, in either alphabet.
    pub fn from_text(text: &str) -> Result<Self, PackageError> {
        let bytes = decode_liberally(text).ok_or(PackageError::Base64)?;
        bytes.try_into().map(Self).map_err(|_| PackageError::Short)
    }
}

impl fmt::Debug for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Package({} characters)", self.0.len())
    }
}

impl fmt::Debug for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decoded({} bytes)", self.sealed.len())
    }
}

/// `message_hash`: over the texts as transmitted, without separators. Unambiguous because salt and codes have fixed lengths and the
/// time has ten digits, which is checked before anything is hashed.
pub fn message_hash(package: &Package, auth_code: &AuthCode, salt: &Salt, timestamp: i64) -> MessageHash {
    let auth_code = auth_code.to_hex();
    let timestamp = timestamp.to_string();
    let parts = [package.as_str(), &auth_code, salt.as_str(), &timestamp].map(str::as_bytes);
    MessageHash::from_bytes(crypto::sha256(&parts))
}

/// `passcode_hash`: binds a code to the two addresses, each spelled as it was transmitted.
pub fn passcode_hash(code: &PassCode, sending: &str, receiving: &str) -> [u8; 32] {
    crypto::sha256(&[code.as_str(), sending, receiving].map(str::as_bytes))
}

/// The hash as published by mistake for 21 minutes on 2025-10-29, with the addresses exchanged.
pub fn passcode_hash_swapped(code: &PassCode, sending: &str, receiving: &str) -> [u8; 32] {
    passcode_hash(code, receiving, sending)
}

fn decode_liberally(text: &str) -> Option<Vec<u8>> {
    let url_safe = text.bytes().any(|byte| byte == b'-' || byte == b'_');
    let engine = if url_safe { &URL_SAFE } else { &STANDARD };
    engine.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{decode_hex, encode_hex};
    use proptest::prelude::*;

    const URL_SAFE_PACKAGE: &str = "8PHy8_T19vf4-fr7_P3-_wABAgMEBQYHUGvo4UUU3fWsv9ID_p7DPUBP-c4GscCTgOxXlQ";
    const STANDARD_PACKAGE: &str = "8PHy8/T19vf4+fr7/P3+/wABAgMEBQYHUGvo4UUU3fWsv9ID/p7DPUBP+c4GscCTgOxXlQ==";

    fn key() -> CryptKey {
        CryptKey::from_bytes(std::array::from_fn(|i| i as u8))
    }

    fn nonce() -> Nonce {
        Nonce(decode_hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff0001020304050607").unwrap())
    }

    #[test]
    fn packages_agree_with_php() {
        let package = Package::seal("Grüße 👋", &nonce(), &key(), Alphabet::UrlSafe);
        assert_eq!(package.as_str(), URL_SAFE_PACKAGE);
        assert_eq!(package.nonce_text(), Some(nonce().to_text().as_str()));
        for text in [
            URL_SAFE_PACKAGE,
            STANDARD_PACKAGE,
            STANDARD_PACKAGE.trim_end_matches('='),
            &format!("{URL_SAFE_PACKAGE}=="),
        ] {
            let decoded = Package::from_wire(text).decode().unwrap();
            assert_eq!(encode_hex(&decoded.sealed), "506be8e14514ddf5acbfd203fe9ec33d404ff9ce06b1c09380ec5795");
            assert_eq!(decoded.open(&key()).unwrap().as_str(), "Grüße 👋");
            assert_eq!(Nonce::from_text(Package::from_wire(text).nonce_text().unwrap()), Ok(nonce()));
        }
    }

    #[test]
    fn hashes_agree_with_php() {
        let auth_code = AuthCode::from_bytes([0xab; 32]);
        let salt = "00112233445566778899aabbccddeeff".parse().unwrap();
        let hash = message_hash(&Package::from_wire(URL_SAFE_PACKAGE), &auth_code, &salt, 1_761_771_234);
        assert_eq!(hash.to_string(), "2bd0fe1c60f14da483a7859a214ddf2e01f20e61ca9dcf2629d498c17ea13afc");
        let code = "042137".parse().unwrap();
        let (sending, receiving) = ("1000001*a.example", "0012345*b.example");
        let hash = encode_hex(&passcode_hash(&code, sending, receiving));
        assert_eq!(hash, "4c41c81c7bff718d74295f095b9dd890a778a8600561c2a4e0888539ab3f4dc2");
        let swapped = encode_hex(&passcode_hash_swapped(&code, sending, receiving));
        assert_eq!(swapped, "27d2773ed410ed018293d98f2413026f3c5846ef5bc8317a2059732de17b800e");
    }

    /// Digits moved from the salt into the time give the same hash; only the fixed lengths keep them apart.
    #[test]
    fn the_known_ambiguity_is_shut_out_by_lengths() {
        let auth_code = AuthCode::from_bytes([0xab; 32]);
        let salt = "00112233445566778899aabbccdde123".parse().unwrap();
        let hash = message_hash(&Package::from_wire(URL_SAFE_PACKAGE), &auth_code, &salt, 1_761_771_234);
        assert_eq!(hash.to_string(), "7081781aa7caa672dd87fd3c23a70ce847aff00d1d3fc81abebabc11fa551c4e");
        assert!("00112233445566778899aabbccdde".parse::<Salt>().is_err());
    }

    #[test]
    fn what_is_no_package_says_why() {
        let why = |text: &str| Package::from_wire(text).decode().unwrap_err();
        assert_eq!(why("äöü"), PackageError::Base64);
        assert_eq!(why("8PHy8_T19vf4+fr7"), PackageError::Base64, "mixed alphabets");
        assert_eq!(why(&URL_SAFE_PACKAGE[..52]), PackageError::Short);
        let decoded = Package::from_wire(URL_SAFE_PACKAGE).decode().unwrap();
        assert_eq!(decoded.open(&CryptKey::random()), Err(PackageError::Sealed));
        let sealed = crypto::seal_box(&[0xff], nonce().as_bytes(), key().as_bytes());
        assert_eq!(Decoded { nonce: nonce(), sealed }.open(&key()), Err(PackageError::Utf8));
        assert_eq!(Package::from_wire("0").nonce_text(), None);
        assert_eq!(Package::from_wire("ä".repeat(16) + "x").nonce_text().map(str::len), Some(32));
        assert_eq!(Package::from_wire("x".to_owned() + &"ä".repeat(20)).nonce_text(), None);
    }

    #[test]
    fn an_empty_text_is_a_package() {
        let package = Package::seal("", &nonce(), &key(), Alphabet::UrlSafe);
        assert_eq!(package.decode().unwrap().open(&key()).unwrap().as_str(), "");
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text: String) {
            let package = Package::from_wire(text);
            let _ = package.nonce_text();
            let _ = package.decode().map(|decoded| decoded.open(&key()));
        }

        #[test]
        fn what_was_sealed_opens(text: String) {
            let nonce = Nonce::random();
            let package = Package::seal(&text, &nonce, &key(), Alphabet::UrlSafe);
            let decoded = package.decode().unwrap();
            prop_assert_eq!(decoded.nonce(), &nonce);
            let opened = decoded.open(&key()).unwrap();
            prop_assert_eq!(opened.as_str(), text.as_str());
        }
    }
}
