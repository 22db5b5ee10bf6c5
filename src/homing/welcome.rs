//! A merchant's request for a welcome, and what the hub seals for the user.

use serde::{Deserialize, Serialize};

use super::{decode, encode, signed};
use crate::crypto::sodium::{self, BoxKey};
use crate::crypto::{BoxError, NONCE_BYTES, SigningKey, random};

/// What a merchant sends, in the clear or boxed, and always signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The persona, as it was typed.
    pub username: String,
    /// `mandatory|optional`, verbatim.
    pub scopes: String,
    /// Where the user is to arrive.
    pub endpoint: String,
    /// The query that the endpoint gets back, byte for byte.
    pub query: String,
    /// Unix seconds.
    pub ts: i64,
    /// The attempt: 16 random bytes as base64url.
    pub n: String,
    /// The one-time password.
    pub otp: String,
    /// How it was made: `hmac` (as when it is not said) or `md5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otp_alg: Option<String>,
    /// SHA-256 of the state cookie, as base64url; empty where the merchant sets none.
    #[serde(default)]
    pub state_hash: String,
    /// The language of the user's browser, if the merchant says it.
    #[serde(default)]
    pub lang: String,
}

/// The body of `POST /api/v1/welcome`, as JSON or as a form with the same names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// 1.
    pub v: u32,
    /// The site's id.
    pub site: String,
    /// The payload's bytes as base64url: its JSON, or with `enc` nonce and box.
    pub payload: String,
    /// The site's signature over those bytes ([`signed::welcome`]), as base64url.
    pub sig: String,
    /// `box`: the payload is boxed for the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enc: Option<String>,
}

/// Why a request gives no payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// Not of this form.
    #[error("not a welcome request of version 1")]
    Form,
    /// Not the site's signature, or a box that is not for this hub.
    #[error("the request is not the site's")]
    Signature,
}

/// What the hub answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The challenge, `hsc_…`.
    pub challenge: String,
    /// Where the browser goes.
    pub welcome_url: String,
    /// Until when it can be approved, Unix seconds.
    pub expires_at: i64,
}

/// What the user's browser or agent opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// 1.
    pub v: u32,
    /// The challenge.
    pub challenge: String,
    /// The merchant's persona.
    pub merchant: String,
    /// What the merchant calls the site.
    pub site_name: String,
    /// The origin at which the user will arrive, `https://shop.example`.
    pub origin: String,
    /// The persona that is welcomed.
    pub username: String,
    /// What is asked for.
    pub scopes: String,
    /// When it was made, Unix seconds.
    pub iat: i64,
    /// Until when it can be approved, Unix seconds.
    pub exp: i64,
}

impl Request {
    /// A request, signed with the site's key.
    pub fn signed(site: &str, payload: &Payload, key: &SigningKey) -> Self {
        Self::of_bytes(site, json(payload).as_bytes(), key, None)
    }

    /// A request that only the hub can read.
    pub fn boxed(site: &str, payload: &Payload, key: &SigningKey, own: &BoxKey, hub: &[u8; 32]) -> Self {
        let nonce = random::<NONCE_BYTES>();
        let bytes = [&nonce[..], &own.seal_for(json(payload).as_bytes(), &nonce, hub)].concat();
        Self::of_bytes(site, &bytes, key, Some("box".into()))
    }

    /// The payload, if the site signed it. `open` opens a boxed one: nonce, then box.
    pub fn payload(
        &self,
        sign_public: &[u8; 32],
        open: impl FnOnce(&[u8; NONCE_BYTES], &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, BoxError>,
    ) -> Result<Payload, BadRequest> {
        let bytes = decode(&self.payload).filter(|_| self.v == 1).ok_or(BadRequest::Form)?;
        let signature = decode(&self.sig).ok_or(BadRequest::Signature)?;
        if !sodium::verify(&signed::welcome(&bytes), &signature, sign_public) {
            return Err(BadRequest::Signature);
        }
        let json = match self.enc.as_deref() {
            None | Some("") => zeroize::Zeroizing::new(bytes),
            Some("box") => {
                let (nonce, sealed) = bytes.split_first_chunk().ok_or(BadRequest::Form)?;
                open(nonce, sealed).map_err(|BoxError| BadRequest::Signature)?
            }
            Some(_) => return Err(BadRequest::Form),
        };
        serde_json::from_slice(&json).map_err(|_| BadRequest::Form)
    }

    /// As it is posted.
    pub fn to_json(&self) -> String {
        json(self).to_string()
    }

    fn of_bytes(site: &str, payload: &[u8], key: &SigningKey, enc: Option<String>) -> Self {
        let sig = encode(&key.sign(&signed::welcome(payload)));
        Self { v: 1, site: site.into(), payload: encode(payload), sig, enc }
    }
}

impl Envelope {
    /// Sealed for a persona's public box key: only the persona can read it.
    pub fn seal(&self, box_public: &[u8; 32]) -> Vec<u8> {
        sodium::seal_to(json(self).as_bytes(), box_public)
    }

    /// Opens one; none when it is for another key, or of another form.
    pub fn open(sealed: &[u8], key: &BoxKey) -> Option<Self> {
        let text = key.open_sealed(sealed).ok()?;
        serde_json::from_slice(&text).ok().filter(|envelope: &Self| envelope.v == 1)
    }
}

#[allow(clippy::expect_used)] // Plain structs of texts and numbers always serialise.
fn json(value: &impl Serialize) -> zeroize::Zeroizing<String> {
    // Unwrap safety: no maps with other keys than texts, no failing serialisers.
    zeroize::Zeroizing::new(serde_json::to_string(value).expect("texts and numbers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payload() -> Payload {
        Payload {
            username: "alice".into(),
            scopes: "email|".into(),
            endpoint: "https://shop.example/homing/endpoint".into(),
            query: "username=alice".into(),
            ts: 1_700_000_000,
            n: "AAECAwQFBgcICQoLDA0ODw".into(),
            otp: "00".into(),
            otp_alg: None,
            state_hash: String::new(),
            lang: String::new(),
        }
    }

    #[test]
    fn a_request_is_the_sites_or_nobodys() {
        let key = SigningKey::from_seed(&[1; 32]);
        let none = |_: &[u8; 24], _: &[u8]| Err(BoxError);
        let request = Request::signed("hst_demo", &payload(), &key);
        assert_eq!(request.payload(key.public(), none), Ok(payload()));
        assert_eq!(request.payload(&[3; 32], none), Err(BadRequest::Signature));
        let other = Request { payload: encode(b"{}"), ..request.clone() };
        assert_eq!(other.payload(key.public(), none), Err(BadRequest::Signature));
        assert_eq!(Request { v: 2, ..request }.payload(key.public(), none), Err(BadRequest::Form));
    }

    #[test]
    fn a_boxed_request_opens_at_the_hub() {
        let (key, own, hub) =
            (SigningKey::from_seed(&[1; 32]), BoxKey::from_seed(&[2; 32]), BoxKey::from_seed(&[3; 32]));
        let request = Request::boxed("hst_demo", &payload(), &key, &own, hub.public());
        let open = |hub: BoxKey| move |nonce: &[u8; 24], sealed: &[u8]| hub.open_from(sealed, nonce, own.public());
        assert_eq!(request.payload(key.public(), open.clone()(hub)), Ok(payload()));
        assert_eq!(request.payload(key.public(), open(BoxKey::from_seed(&[4; 32]))), Err(BadRequest::Signature));
    }

    #[test]
    fn an_envelope_opens_for_its_persona() {
        let envelope = Envelope {
            v: 1,
            challenge: "hsc_0001".into(),
            merchant: "shop".into(),
            site_name: "Shop".into(),
            origin: "https://shop.example".into(),
            username: "alice".into(),
            scopes: "|".into(),
            iat: 1,
            exp: 301,
        };
        let key = BoxKey::from_seed(&[2; 32]);
        assert_eq!(Envelope::open(&envelope.seal(key.public()), &key), Some(envelope.clone()));
        assert_eq!(Envelope::open(&envelope.seal(&[9; 32]), &key), None);
    }

    proptest! {
        #[test]
        fn whatever_arrives(payload in ".{0,60}", sig in ".{0,90}", enc in proptest::option::of(".{0,4}")) {
            let request = Request { v: 1, site: "hst_demo".into(), payload, sig, enc };
            prop_assert!(request.payload(&[1; 32], |_, _| Err(BoxError)).is_err());
        }
    }
}
