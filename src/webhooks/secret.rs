//! Signing secrets as Standard Webhooks writes them: a prefix and base64.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use zeroize::Zeroizing;

use crate::config::Secret;
use crate::crypto::{self, SigningKey};

/// Bytes of a new HMAC secret.
const HMAC_BYTES: usize = 32;
const HMAC_PREFIX: &str = "whsec_";
const PRIVATE_PREFIX: &str = "whsk_";
const PUBLIC_PREFIX: &str = "whpk_";

/// Some write the padding, some do not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How a secret signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// HMAC-SHA-256 (`v1`): both sides hold the same secret.
    Hmac,
    /// Ed25519 (`v1a`): the receiver holds the public key only.
    Ed25519,
}

/// What signatures are made with. `Debug` shows the kind only.
#[derive(Clone)]
pub enum SigningSecret {
    /// 24 to 64 bytes.
    Hmac(Zeroizing<Vec<u8>>),
    /// A private key.
    Ed25519(SigningKey),
}

/// Why a text is no signing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Neither of the two prefixes.
    #[error("a signing secret begins with whsec_ (HMAC) or whsk_ (Ed25519)")]
    Prefix,
    /// Not base64.
    #[error("what follows the prefix must be base64")]
    Base64,
    /// Too short or too long.
    #[error("a whsec_ secret has 24 to 64 bytes, a whsk_ secret 32")]
    Length,
}

impl SecretKind {
    /// As in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hmac => "hmac",
            Self::Ed25519 => "ed25519",
        }
    }
}

impl SigningSecret {
    /// A new one.
    pub fn generate(kind: SecretKind) -> Self {
        match kind {
            SecretKind::Hmac => Self::Hmac(Zeroizing::new(crypto::random::<HMAC_BYTES>().to_vec())),
            SecretKind::Ed25519 => Self::Ed25519(SigningKey::generate()),
        }
    }

    /// How it signs.
    pub fn kind(&self) -> SecretKind {
        match self {
            Self::Hmac(_) => SecretKind::Hmac,
            Self::Ed25519(_) => SecretKind::Ed25519,
        }
    }

    /// `whsec_…` or `whsk_…`.
    pub fn reveal(&self) -> Secret {
        let (prefix, bytes) = match self {
            Self::Hmac(bytes) => (HMAC_PREFIX, bytes.as_slice()),
            Self::Ed25519(key) => (PRIVATE_PREFIX, key.seed().as_slice()),
        };
        let mut text = prefix.to_owned();
        STANDARD.encode_string(bytes, &mut text);
        Secret::from(text)
    }

    /// `whpk_…`: what a receiver checks Ed25519 signatures with.
    pub fn public_key(&self) -> Option<String> {
        match self {
            Self::Hmac(_) => None,
            Self::Ed25519(key) => Some(format!("{PUBLIC_PREFIX}{}", STANDARD.encode(key.public()))),
        }
    }
}

impl FromStr for SigningSecret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let (hmac, base64) = match (text.strip_prefix(HMAC_PREFIX), text.strip_prefix(PRIVATE_PREFIX)) {
            (Some(base64), _) => (true, base64),
            (None, Some(base64)) => (false, base64),
            (None, None) => return Err(SecretError::Prefix),
        };
        let bytes = Zeroizing::new(LENIENT.decode(base64).map_err(|_| SecretError::Base64)?);
        if hmac {
            return if (24..=64).contains(&bytes.len()) { Ok(Self::Hmac(bytes)) } else { Err(SecretError::Length) };
        }
        let seed: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| SecretError::Length)?;
        Ok(Self::Ed25519(SigningKey::from_seed(seed)))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningSecret({})", self.kind().name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_come_back_as_they_were_written() {
        for kind in [SecretKind::Hmac, SecretKind::Ed25519] {
            let text = SigningSecret::generate(kind).reveal();
            let read: SigningSecret = text.reveal().parse().unwrap();
            assert_eq!((read.kind(), read.reveal().reveal()), (kind, text.reveal()));
            assert!(!format!("{read:?}").contains(&text.reveal()[8..]));
        }
        assert!("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse::<SigningSecret>().is_ok());
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let short = STANDARD.encode([7; 23]);
        let long = STANDARD.encode([7; 65]);
        let whole = STANDARD.encode([7; 32]);
        for (text, error) in [
            (String::new(), SecretError::Prefix),
            (whole.clone(), SecretError::Prefix),
            (format!("whpk_{whole}"), SecretError::Prefix),
            ("whsec_".into(), SecretError::Length),
            (format!("whsec_{short}"), SecretError::Length),
            (format!("whsec_{long}"), SecretError::Length),
            (format!("whsk_{short}"), SecretError::Length),
            ("whsec_not base64 at all, not at all".into(), SecretError::Base64),
        ] {
            assert_eq!(text.parse::<SigningSecret>().err(), Some(error), "{text}");
        }
        assert!(format!("whsec_{}", whole.trim_end_matches('=')).parse::<SigningSecret>().is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text: String) {
            let _ = text.parse::<SigningSecret>();
            let _ = format!("whsec_{text}").parse::<SigningSecret>();
        }
    }
}
