//! Tokens that prove who we are to a push service: JSON Web Tokens (RFC 7519), signed with a key from a file.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;

use crate::crypto::{P256_POINT_BYTES, p256_public_of};

/// What should be a key is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a private key in PEM form, of the kind that is needed (RSA for FCM; P-256 in PKCS #8 for APNs and Web Push)"
)]
pub struct KeyError;

/// A key, and what goes into the head of its tokens.
pub(super) struct Signer {
    key: EncodingKey,
    header: Header,
}

impl Signer {
    /// For Google: RS256.
    pub(super) fn rsa(pem: &[u8], id: Option<String>) -> Result<Self, KeyError> {
        Self::tried(EncodingKey::from_rsa_pem(pem), Algorithm::RS256, id)
    }

    /// For Apple and VAPID: ES256.
    pub(super) fn p256(pem: &[u8], id: Option<String>) -> Result<Self, KeyError> {
        Self::tried(EncodingKey::from_ec_pem(pem), Algorithm::ES256, id)
    }

    /// Whether a key can sign shows when it does: better now than when somebody waits.
    fn tried(
        key: Result<EncodingKey, jsonwebtoken::errors::Error>,
        algorithm: Algorithm,
        id: Option<String>,
    ) -> Result<Self, KeyError> {
        let key = key.map_err(|_| KeyError)?;
        let signer = Self { key, header: Header { kid: id, ..Header::new(algorithm) } };
        signer.sign(&serde_json::json!({})).map(|_| signer)
    }

    /// A token that says this.
    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, KeyError> {
        encode(&self.header, claims, &self.key).map_err(|_| KeyError)
    }

    /// The public half, uncompressed; of a key on P-256.
    pub(super) fn p256_public(&self) -> Result<[u8; P256_POINT_BYTES], KeyError> {
        p256_public_of(self.key.as_bytes()).map_err(|_| KeyError)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation, decode};
    use rcgen::KeyPair;

    use super::*;

    #[test]
    fn what_is_signed_is_what_the_public_half_confirms() {
        let pair = KeyPair::generate().unwrap();
        let signer = Signer::p256(pair.serialize_pem().as_bytes(), Some("K1".into())).unwrap();
        let token = signer.sign(&serde_json::json!({"iss": "team", "exp": 9_999_999_999_u64})).unwrap();
        let public = signer.p256_public().unwrap();
        assert_eq!(public.as_slice(), pair.public_key_raw());
        let key = DecodingKey::from_ec_der(&public);
        let read = decode::<serde_json::Value>(&token, &key, &Validation::new(Algorithm::ES256)).unwrap();
        assert_eq!((read.header.kid.as_deref(), &read.claims["iss"]), (Some("K1"), &"team".into()));
    }

    #[test]
    fn what_is_no_key_of_the_kind_is_refused_at_once() {
        let p256 = KeyPair::generate().unwrap().serialize_pem();
        assert!(Signer::rsa(p256.as_bytes(), None).is_err());
        for text in ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(Signer::p256(text.as_bytes(), None).is_err(), "{text:?}");
            assert!(Signer::rsa(text.as_bytes(), None).is_err(), "{text:?}");
        }
    }
}
