//! What libsodium has beyond boxes under one key: signatures to check, boxes for a public key, keyed hashes, derived keys.
//!
//! These are the primitives that other libsodium programs (PHP's, a browser's) meet us with, so each is exactly the function of
//! libsodium that its comment names. Signing itself is [`super::SigningKey`].

use std::fmt;

use sodiumoxide::crypto::auth::hmacsha512256;
use sodiumoxide::crypto::box_::curve25519xsalsa20poly1305 as public_box;
use sodiumoxide::crypto::kdf::blake2b as derivation;
use sodiumoxide::crypto::pwhash::argon2id13;
use sodiumoxide::crypto::{generichash, sealedbox, sign::ed25519};
use zeroize::Zeroizing;

use super::{BoxError, NONCE_BYTES, insist_on_init, random};

/// Bytes by which a sealed box is longer than its text: a throw-away public key, and the authenticator.
pub const SEAL_BYTES: usize = 48;

/// `crypto_sign_verify_detached`: whether `signature` (64 bytes, anything else is none) is `public`'s over `text`.
pub fn verify(text: &[u8], signature: &[u8], public: &[u8; 32]) -> bool {
    insist_on_init();
    ed25519::Signature::from_bytes(signature)
        .is_ok_and(|signature| ed25519::verify_detached(&signature, text, &ed25519::PublicKey(*public)))
}

/// The secret half of a `crypto_box` pair (X25519). `Debug` shows nothing of it.
#[derive(Clone)]
pub struct BoxKey {
    secret: public_box::SecretKey,
    public: [u8; 32],
}

impl BoxKey {
    /// A new one.
    pub fn generate() -> Self {
        Self::from_seed(&Zeroizing::new(random()))
    }

    /// `crypto_box_seed_keypair`.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        insist_on_init();
        let (public, secret) = public_box::keypair_from_seed(&public_box::Seed(*seed));
        Self { secret, public: public.0 }
    }

    /// From the secret key itself, as key files have it.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        insist_on_init();
        let secret = public_box::SecretKey(*secret);
        let public = secret.public_key().0;
        Self { secret, public }
    }

    /// The secret key, for storing.
    pub fn secret(&self) -> &[u8; 32] {
        &self.secret.0
    }

    /// What others seal for.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// `crypto_box_seal_open`: opens what [`seal_to`] made for this key.
    pub fn open_sealed(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, BoxError> {
        let text = sealedbox::open(sealed, &public_box::PublicKey(self.public), &self.secret);
        text.map(Zeroizing::new).map_err(|()| BoxError)
    }

    /// `crypto_box_easy`: for `other`, vouched for by this key. A nonce is used once between the two.
    pub fn seal_for(&self, text: &[u8], nonce: &[u8; NONCE_BYTES], other: &[u8; 32]) -> Vec<u8> {
        public_box::seal(text, &public_box::Nonce(*nonce), &public_box::PublicKey(*other), &self.secret)
    }

    /// `crypto_box_open_easy`: opens what `other` made for this key with [`seal_for`](Self::seal_for).
    pub fn open_from(
        &self,
        sealed: &[u8],
        nonce: &[u8; NONCE_BYTES],
        other: &[u8; 32],
    ) -> Result<Zeroizing<Vec<u8>>, BoxError> {
        let other = public_box::PublicKey(*other);
        let text = public_box::open(sealed, &public_box::Nonce(*nonce), &other, &self.secret);
        text.map(Zeroizing::new).map_err(|()| BoxError)
    }
}

impl fmt::Debug for BoxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxKey")
    }
}

/// `crypto_box_seal`: only the holder of `public`'s secret half can open it, and nobody can tell who made it.
pub fn seal_to(text: &[u8], public: &[u8; 32]) -> Vec<u8> {
    insist_on_init();
    sealedbox::seal(text, &public_box::PublicKey(*public))
}

/// `crypto_auth`: HMAC-SHA-512, its first 32 bytes.
pub fn auth(text: &[u8], key: &[u8; 32]) -> [u8; 32] {
    insist_on_init();
    hmacsha512256::authenticate(text, &hmacsha512256::Key(*key)).0
}

/// `crypto_generichash` with a key: BLAKE2b, 32 bytes.
#[allow(clippy::expect_used)] // The lengths are constants within what the library takes.
pub fn keyed_hash(text: &[u8], key: &[u8; 32]) -> [u8; 32] {
    insist_on_init();
    // Unwrap safety: 32 bytes of hash and of key are inside the library's 16 to 64.
    let digest = generichash::hash(text, Some(32), Some(key)).expect("32 bytes of hash and key");
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// `crypto_kdf_derive_from_key`: the key with this number that `context` has from `root`.
#[allow(clippy::expect_used)] // As above.
pub fn derive(root: &[u8; 32], number: u64, context: &[u8; 8]) -> Zeroizing<[u8; 32]> {
    insist_on_init();
    let mut key = Zeroizing::new([0; 32]);
    // Unwrap safety: a key of 32 bytes is inside the library's 16 to 64.
    derivation::derive_from_key(&mut *key, number, *context, &derivation::Key(*root)).expect("32 bytes");
    key
}

/// `crypto_pwhash` with Argon2id: the key that a password makes. `passes` and `memory` (bytes) as in the argument lists of
/// libsodium; none when they are out of its bounds or there is not enough memory.
pub fn password_key(password: &[u8], salt: &[u8; 16], passes: u32, memory: u32) -> Option<Zeroizing<[u8; 32]>> {
    insist_on_init();
    let mut key = Zeroizing::new([0; 32]);
    let (passes, memory) = (argon2id13::OpsLimit(passes as usize), argon2id13::MemLimit(memory as usize));
    let salt = argon2id13::Salt(*salt);
    argon2id13::derive_key(&mut *key, password, &salt, passes, memory).ok()?;
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{SigningKey, decode_hex, encode_hex};

    const TEXT: &[u8] = br#"{"v":1,"site":"hst_demo","username":"alice"}"#;

    #[test]
    fn a_signature_is_good_for_its_text_and_key_only() {
        let key = SigningKey::from_seed(&[1; 32]);
        let signature = key.sign(TEXT);
        assert!(verify(TEXT, &signature, key.public()));
        assert!(!verify(b"other", &signature, key.public()));
        assert!(!verify(TEXT, &signature, SigningKey::from_seed(&[2; 32]).public()));
        assert!(!verify(TEXT, &signature[..63], key.public()));
        assert!(!verify(TEXT, &[0; 64], &[0; 32]), "a key of small order signs everything");
    }

    /// Made with PHP's sodium.
    #[test]
    fn boxes_of_other_programs_open() {
        let user = BoxKey::from_seed(&[2; 32]);
        assert_eq!(encode_hex(user.secret()), "aa3c626bc9c38c8c201878ebb1d5b0b50ac40e8986c78793db1d4ef369fca1ce");
        assert_eq!(encode_hex(user.public()), "60346e7c911a5f6ba154129174cafe75b294ac3bbd5549632f48cec6266f8410");
        assert_eq!(BoxKey::from_secret(user.secret()).public(), user.public());
        let sealed: [u8; 92] = decode_hex("9295fe264f01377d4339d87bcd78d84a49b06d9e42175bef5c275103981ff67798e0d77362007d273f01d6e44a4187433033b6d83e70faabededd32d1c5d6b55eccd1e24364f81f0adf25aa2d1c4a0f476ffea09f6e781b73e912d40").unwrap();
        assert_eq!(user.open_sealed(&sealed).unwrap().as_slice(), TEXT);
        let ours = seal_to(TEXT, user.public());
        assert_eq!(ours.len(), TEXT.len() + SEAL_BYTES);
        assert_eq!(user.open_sealed(&ours).unwrap().as_slice(), TEXT);
        assert_eq!(BoxKey::from_seed(&[3; 32]).open_sealed(&ours), Err(BoxError));

        let hub = BoxKey::from_seed(&[3; 32]);
        assert_eq!(encode_hex(hub.public()), "75e270df2952c57ba8367ba8618c178f9fe50db2799d304e74e918d985686146");
        let boxed = user.seal_for(TEXT, &[5; 24], hub.public());
        assert_eq!(
            encode_hex(&boxed),
            "e130234b5713110acb9c0bf77656f7e7eacd3cbc87d378e45885725d4bdec269c9673ce041595484b272f9431924cc6f73d06ef30a325c4fc1d63396"
        );
        assert_eq!(hub.open_from(&boxed, &[5; 24], user.public()).unwrap().as_slice(), TEXT);
        assert_eq!(hub.open_from(&boxed, &[6; 24], user.public()), Err(BoxError));
    }

    #[test]
    fn derived_keys_differ_by_number_and_context() {
        let root = [9; 32];
        assert_eq!(derive(&root, 1, b"HSpsign_"), derive(&root, 1, b"HSpsign_"));
        assert_ne!(derive(&root, 1, b"HSpsign_"), derive(&root, 2, b"HSpsign_"));
        assert_ne!(derive(&root, 1, b"HSpsign_"), derive(&root, 1, b"HSpbox__"));
    }

    #[test]
    fn a_password_makes_its_key_with_its_salt() {
        let key = |password: &[u8], salt| password_key(password, &salt, 1, 8192).unwrap();
        assert_eq!(key(b"a", [1; 16]), key(b"a", [1; 16]));
        assert_ne!(key(b"a", [1; 16]), key(b"b", [1; 16]));
        assert_ne!(key(b"a", [1; 16]), key(b"a", [2; 16]));
        assert_eq!(password_key(b"a", &[1; 16], 1, 10), None, "less memory than Argon2 takes");
    }
}
