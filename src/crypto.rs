//! Randomness, hashes, boxes and comparisons: everything cryptographic the node does.
//!
//! SHA-256 and HMAC are RustCrypto's, which use the processor's own instructions; libsodium's do not, and signing is most of what a
//! webhook delivery computes. What the protocols of others ask for beyond that (AES, P-256) is aws-lc's. Everything else is
//! libsodium's.
//!
//! Promises: sodiumoxide, hmac, md5 and aws-lc-rs are named nowhere else, sha2 only where `handfast send` reads a file through it, so that replacing
//! them stays an hour's work; random numbers come from the operating system; comparisons of secrets take the same time whatever they compare. Leaves out TLS (rustls) and what the bytes
//! mean ([`crate::openmsg`]). The keys that seal secrets at rest are in [`NodeKeys`].

mod aes;
mod hex;
mod keys;
mod password;
mod signing;
pub mod sodium;
mod web_push;

pub use aes::seal_aes256_cbc;
pub use hex::{HexError, decode_hex, decode_hex_any_case, encode_hex};
pub use keys::{KeyFileError, NodeKeys, OpenError, Purpose};
pub use password::{Cost, hash_password, password_is};
pub use signing::SigningKey;
pub use web_push::{BadKey, P256_POINT_BYTES, p256_public_of, seal_web_push};

use std::sync::OnceLock;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use sodiumoxide::crypto::aead::xchacha20poly1305_ietf as aead;
use sodiumoxide::crypto::secretbox as sodium_box;
use sodiumoxide::randombytes;
use zeroize::Zeroizing;

/// Bytes of a nonce, of secretbox and of the sealing at rest alike.
pub const NONCE_BYTES: usize = 24;
/// Bytes by which a box is longer than its text.
pub const TAG_BYTES: usize = 16;

/// The cryptographic library could not be started; nothing may run then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library could not be initialised (no source of randomness?)")]
pub struct InitError;

/// A box that does not open: another key, another nonce, or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the box does not open: another key or damaged")]
pub struct BoxError;

/// Starts the library; every process calls it first. Any number of calls do no harm.
pub fn init() -> Result<(), InitError> {
    static STARTED: OnceLock<bool> = OnceLock::new();
    if *STARTED.get_or_init(|| sodiumoxide::init().is_ok()) { Ok(()) } else { Err(InitError) }
}

/// `N` bytes nobody can guess.
///
/// # Panics
/// When the library cannot be started ([`init`]): going on with guessable secrets would be worse.
pub fn random<const N: usize>() -> [u8; N] {
    insist_on_init();
    let mut bytes = [0; N];
    randombytes::randombytes_into(&mut bytes);
    bytes
}

/// A number below `bound`, every one equally likely; 0 when `bound` is below 2.
///
/// # Panics
/// As [`random`].
pub fn random_below(bound: u32) -> u32 {
    insist_on_init();
    randombytes::randombytes_uniform(bound)
}

/// SHA-256 over the parts one after the other, without separators.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut state = Sha256::new();
    for part in parts {
        state.update(part);
    }
    state.finalize().into()
}

/// SHA-1, which a protocol names phone numbers by. It vouches for nothing.
pub fn sha1(text: &[u8]) -> [u8; 20] {
    let mut hash = [0; 20];
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text);
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// MD5, which a protocol makes one-time codes with. It vouches for nothing.
pub fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut state = md5::Md5::new();
    for part in parts {
        state.update(part);
    }
    state.finalize().into()
}

/// HMAC-SHA-256 over the parts one after the other, without separators.
pub fn hmac_sha256(key: &(impl AsRef<[u8]> + ?Sized), parts: &[&[u8]]) -> [u8; 32] {
    MacKey::new(key).mac(parts)
}

/// A key for HMAC-SHA-256, prepared: half of what a short message costs.
#[derive(Clone)]
pub struct MacKey(Hmac<Sha256>);

impl MacKey {
    /// Of any length.
    #[allow(clippy::expect_used)] // HMAC (RFC 2104, 2) takes keys of any length; the library's error is for other functions.
    pub fn new(key: &(impl AsRef<[u8]> + ?Sized)) -> Self {
        Self(Hmac::new_from_slice(key.as_ref()).expect("any length is a key"))
    }

    /// Over the parts one after the other, without separators.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut state = self.0.clone();
        for part in parts {
            state.update(part);
        }
        state.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey(…)")
    }
}

/// Whether both are equal, in a time that depends on their lengths only.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    sodiumoxide::utils::memcmp(a, b)
}

/// `crypto_secretbox`: 16 bytes of authenticator, then the encrypted text. A nonce is used once with a key.
pub fn seal_box(text: &[u8], nonce: &[u8; NONCE_BYTES], key: &[u8; 32]) -> Vec<u8> {
    sodium_box::seal(text, &sodium_box::Nonce(*nonce), &sodium_box::Key(*key))
}

/// Opens what [`seal_box`] made.
pub fn open_box(sealed: &[u8], nonce: &[u8; NONCE_BYTES], key: &[u8; 32]) -> Result<Zeroizing<Vec<u8>>, BoxError> {
    let text = sodium_box::open(sealed, &sodium_box::Nonce(*nonce), &sodium_box::Key(*key));
    text.map(Zeroizing::new).map_err(|()| BoxError)
}

/// XChaCha20-Poly1305: seals `text`, and vouches for `context` without containing it.
fn seal_with_context(text: &[u8], context: &[u8], nonce: &[u8; NONCE_BYTES], key: &[u8; 32]) -> Vec<u8> {
    aead::seal(text, Some(context), &aead::Nonce(*nonce), &aead::Key(*key))
}

/// Opens what [`seal_with_context`] made, if the context is the same.
fn open_with_context(
    sealed: &[u8],
    context: &[u8],
    nonce: &[u8; NONCE_BYTES],
    key: &[u8; 32],
) -> Result<Zeroizing<Vec<u8>>, BoxError> {
    let text = aead::open(sealed, Some(context), &aead::Nonce(*nonce), &aead::Key(*key));
    text.map(Zeroizing::new).map_err(|()| BoxError)
}

fn insist_on_init() {
    // Unwrap safety: without randomness there is no safe way on; `main` calls `init` first and reports the error in words.
    init().expect("the cryptographic library starts");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_agree_with_the_published_vectors() {
        // FIPS 180-2, B.1; RFC 4231, case 2 has a short key, so case 3's shape is used with a 32-byte key of 0x0b.
        let abc = encode_hex(&sha256(&[b"a", b"bc"]));
        assert_eq!(abc, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mac = encode_hex(&hmac_sha256(&key, &[b"what do ya want ", b"for nothing?"]));
        // A key padded with zeros is the same key (RFC 2104), so case 2 applies as it stands.
        assert_eq!(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(encode_hex(&hmac_sha256("Jefe", &[b"what do ya want for nothing?"])), mac);
    }

    #[test]
    fn random_bytes_differ_and_numbers_stay_below() {
        assert_ne!(random::<32>(), random::<32>());
        assert!((0..1000).all(|_| random_below(7) < 7));
    }

    #[test]
    fn comparison_knows_lengths() {
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd"));
        assert!(!same(b"abc", b"ab"));
        assert!(same(b"", b""));
    }

    #[test]
    fn a_box_opens_only_with_its_key_and_nonce() {
        let sealed = seal_box(b"text", &[1; 24], &[2; 32]);
        assert_eq!(sealed.len(), 4 + TAG_BYTES);
        assert_eq!(open_box(&sealed, &[1; 24], &[2; 32]).unwrap().as_slice(), b"text");
        assert_eq!(open_box(&sealed, &[0; 24], &[2; 32]), Err(BoxError));
        assert_eq!(open_box(&sealed, &[1; 24], &[0; 32]), Err(BoxError));
        assert_eq!(open_box(&sealed[..10], &[1; 24], &[2; 32]), Err(BoxError));
    }
}
