//! Ed25519 (RFC 8032): signatures that anybody can check and nobody else can make.

use std::fmt;

use sodiumoxide::crypto::sign::ed25519;
use zeroize::Zeroizing;

use super::{insist_on_init, random};

/// A private key. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct SigningKey {
    seed: Zeroizing<[u8; 32]>,
    public: [u8; 32],
    secret: ed25519::SecretKey,
}

impl SigningKey {
    /// A new one.
    pub fn generate() -> Self {
        Self::from_seed(&Zeroizing::new(random()))
    }

    /// From its 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        insist_on_init();
        let (public, secret) = ed25519::keypair_from_seed(&ed25519::Seed(*seed));
        Self { seed: Zeroizing::new(*seed), public: public.0, secret }
    }

    /// The secret bytes, for storing.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// What its signatures are checked with.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The signature of `text`.
    pub fn sign(&self, text: &[u8]) -> [u8; 64] {
        ed25519::sign_detached(text, &self.secret).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{decode_hex, encode_hex};

    /// RFC 8032, 7.1, tests 1 and 2.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let table = [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                &b""[..],
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                b"\x72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
        ];
        for (seed, public, text, signature) in table {
            let key = SigningKey::from_seed(&decode_hex(seed).unwrap());
            assert_eq!(encode_hex(key.public()), public);
            assert_eq!(encode_hex(&key.sign(text)), signature);
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", SigningKey::generate()), "SigningKey");
    }
}
