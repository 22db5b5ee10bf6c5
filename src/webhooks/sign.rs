//! The signature of the Standard Webhooks convention.
//!
//! Signed is `ID.TIMESTAMP.BODY`. The header holds one signature for each secret that is good at that moment, separated by
//! spaces: `v1,BASE64` for HMAC-SHA-256, `v1a,BASE64` for Ed25519. A receiver takes the request when any of them fits.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::definition::is_before;
use super::{DatedSecret, SigningSecret};
use crate::crypto::{MacKey, SigningKey};

/// Signs for one webhook.
#[derive(Debug, Clone)]
pub struct Signer {
    keys: Vec<Dated>,
}

#[derive(Debug, Clone)]
struct Dated {
    key: Key,
    until: Option<Timestamp>,
}

#[derive(Debug, Clone)]
enum Key {
    Hmac(MacKey),
    Ed25519(SigningKey),
}

impl Signer {
    /// With these, each until its end.
    pub fn new(secrets: &[DatedSecret]) -> Self {
        let dated = |dated: &DatedSecret| {
            let key = match &dated.secret {
                SigningSecret::Hmac(key) => Key::Hmac(MacKey::new(key)),
                SigningSecret::Ed25519(key) => Key::Ed25519(key.clone()),
            };
            Dated { key, until: dated.until }
        };
        Self { keys: secrets.iter().map(dated).collect() }
    }

    /// The value of `webhook-signature`: `id` and `at` (Unix seconds) are those of `webhook-id` and `webhook-timestamp`.
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        let head = format!("{id}.{}.", at.as_second());
        let mut header = String::with_capacity(self.keys.len() * 48);
        for dated in self.keys.iter().filter(|dated| is_before(at, dated.until)) {
            if !header.is_empty() {
                header.push(' ');
            }
            match &dated.key {
                Key::Hmac(key) => {
                    header.push_str("v1,");
                    STANDARD.encode_string(key.mac(&[head.as_bytes(), body]), &mut header);
                }
                Key::Ed25519(key) => {
                    header.push_str("v1a,");
                    STANDARD.encode_string(key.sign(&[head.as_bytes(), body].concat()), &mut header);
                }
            }
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    fn at() -> Timestamp {
        Timestamp::from_second(1_614_265_330).unwrap()
    }

    fn signer(secrets: &[(&str, Option<i64>)]) -> Signer {
        let dated = |(text, until): &(&str, Option<i64>)| DatedSecret {
            secret: text.parse().unwrap(),
            until: until.map(|second| Timestamp::from_second(second).unwrap()),
        };
        Signer::new(&secrets.iter().map(dated).collect::<Vec<_>>())
    }

    const HMAC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ED25519: &str = "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=";
    // Published with the convention's own libraries.
    const BY_HMAC: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const BY_ED25519: &str =
        "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==";

    #[test]
    fn signatures_are_the_published_ones() {
        assert_eq!(signer(&[(HMAC, None)]).sign(ID, at(), BODY), BY_HMAC);
        assert_eq!(signer(&[(ED25519, None)]).sign(ID, at(), BODY), BY_ED25519);
    }

    #[test]
    fn every_secret_signs_until_its_end() {
        let now = at().as_second();
        let three = signer(&[(HMAC, Some(now + 1)), (ED25519, None), (HMAC, Some(now))]);
        assert_eq!(three.sign(ID, at(), BODY), format!("{BY_HMAC} {BY_ED25519}"));
        assert_eq!(signer(&[]).sign(ID, at(), BODY), "");
    }
}
