//! Packages, hashes and codes (specification §1.4, §2.3, §3.1), by crates that the node doesn't use.

use base64::{Engine, engine::general_purpose};
use crypto_secretbox::{KeyInit, XSalsa20Poly1305, aead::Aead};
use sha2::{Digest, Sha256};

use super::dialect::Alphabet;

/// Bytes of a nonce.
pub(crate) const NONCE: usize = 24;

/// 32 random bytes as 64 lower-case hex characters: an `auth_code`, an `ident_code` or a key.
pub(crate) fn secret() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

/// Lower-case hex of SHA-256 over the parts, with nothing between them.
pub(crate) fn sha256_hex(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    parts.iter().for_each(|part| digest.update(part.as_bytes()));
    hex::encode(digest.finalize())
}

/// `passcode_hash`.
pub(crate) fn passcode_hash(code: &str, sending: &str, receiving: &str) -> String {
    sha256_hex(&[code, sending, receiving])
}

/// `message_hash`.
pub(crate) fn message_hash(package: &str, auth_code: &str, salt: &str, timestamp: &str) -> String {
    sha256_hex(&[package, auth_code, salt, timestamp])
}

/// The nonce followed by the box.
pub(crate) fn seal(key_hex: &str, nonce: &[u8; NONCE], text: &[u8]) -> Vec<u8> {
    let boxed =
        cipher(key_hex).expect("a key of 32 bytes").encrypt(nonce.into(), text).expect("a text that fits memory");
    [nonce.as_slice(), &boxed].concat()
}

/// The text, or `None` when the key differs or the package is damaged.
pub(crate) fn open(key_hex: &str, nonce_and_box: &[u8]) -> Option<Vec<u8>> {
    let (nonce, boxed) = nonce_and_box.split_at_checked(NONCE)?;
    cipher(key_hex)?.decrypt(nonce.into(), boxed).ok()
}

/// Bytes as a dialect writes them.
pub(crate) fn encode(alphabet: Alphabet, bytes: &[u8]) -> String {
    match alphabet {
        Alphabet::Standard => general_purpose::STANDARD.encode(bytes),
        Alphabet::UrlSafe => general_purpose::URL_SAFE_NO_PAD.encode(bytes),
    }
}

/// Bytes as a dialect reads them; `None` where PHP throws.
pub(crate) fn decode(alphabet: Alphabet, text: &str) -> Option<Vec<u8>> {
    match alphabet {
        Alphabet::Standard => Some(decode_leniently(text)),
        Alphabet::UrlSafe => general_purpose::URL_SAFE_NO_PAD.decode(text).ok(),
    }
}

fn cipher(key_hex: &str) -> Option<XSalsa20Poly1305> {
    XSalsa20Poly1305::new_from_slice(&hex::decode(key_hex).ok()?).ok()
}

/// PHP's `base64_decode` without its strict flag: skips what isn't in the alphabet, drops what is left over.
fn decode_leniently(text: &str) -> Vec<u8> {
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let mut kept: Vec<u8> = text.bytes().filter(known).collect();
    if kept.len() % 4 == 1 {
        kept.pop();
    }
    let engine = general_purpose::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        general_purpose::NO_PAD.with_decode_allow_trailing_bits(true),
    );
    engine.decode(kept).unwrap_or_default()
}
