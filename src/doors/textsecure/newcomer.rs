//! Who registers: credentials that are still to be created, a code, and what the device says of itself (specification §1.3).
//!
//! Leaves out what it registers as: a number ([`super::registration`]), or a further device of one ([`super::devices`]).

use std::net::IpAddr;

use base64::Engine;
use serde::{Deserialize, Deserializer, de};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Door;
use super::answer::Refusal;
use super::credentials::{Credentials, LENIENT};
use super::request::Request;
use crate::codes::{Purpose, subject};
use crate::phones::{Registration, SIGNALING_KEY_BYTES};
use crate::textsecure::Number;

/// A request to register, of the right form; nothing of it is proven.
pub(super) struct Newcomer {
    pub(super) number: Number,
    password: Zeroizing<Vec<u8>>,
    /// Digits only, if it is one: people write `123-456`.
    code: Zeroizing<String>,
    ip: IpAddr,
    body: Body,
}

/// Fields that the node does not know are no mistake (specification §0.1).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(deserialize_with = "signaling_key")]
    signaling_key: Zeroizing<[u8; SIGNALING_KEY_BYTES]>,
    #[serde(default, deserialize_with = "flag")]
    supports_sms: bool,
    #[serde(default, deserialize_with = "flag")]
    fetches_messages: bool,
    #[serde(default, deserialize_with = "registration_id")]
    registration_id: i32,
}

impl Newcomer {
    /// 415 for a body that is none, before 401 for a header that is none: the order of the old server. A device in the
    /// credentials says nothing: which one it becomes is the node's to say.
    pub(super) async fn read(door: &Door, request: Request, code: &str) -> Result<Self, Refusal> {
        let (credentials, ip) = (Credentials::of(&request.headers), request.ip);
        let body = request.json(door).await?;
        let credentials = credentials.filter(|given| !given.password.is_empty()).ok_or(Refusal::BareUnauthorized)?;
        let (number, _) = credentials.device().ok_or(Refusal::BareUnauthorized)?;
        let code = Zeroizing::new(code.replace('-', ""));
        Ok(Self { number, password: credentials.password, code, ip, body })
    }

    /// The code's id, if it is right; 403 otherwise, and 413 for who guesses too often. It is not burnt yet.
    pub(super) async fn proven(&self, door: &Door, purpose: Purpose, subject: &str) -> Result<Uuid, Refusal> {
        door.may_guess(self.ip).await?;
        let tries = door.app.config.textsecure.code_tries;
        let right = subject::check(&door.app, purpose, subject, &self.code, tries).await?;
        let right = right.ok_or(Refusal::FORBIDDEN)?;
        door.was_right(self.ip).await?;
        Ok(right)
    }

    /// It has registered: it can sign in at once, without a check.
    pub(super) fn has_registered(&self, door: &Door, registration: &Registration) {
        door.passwords.remember(registration.generation, &self.password);
    }

    /// What is stored of it. Hashing a password takes its time: only for who is [`proven`](Self::proven).
    pub(super) async fn registration(&self, door: &Door) -> Result<Registration, Refusal> {
        let password = door.passwords.hash(&self.password).await.map_err(|_| Refusal::Unavailable)?;
        Ok(Registration {
            generation: door.app.new_id(),
            password,
            signaling_key: self.body.signaling_key.clone(),
            registration_id: self.body.registration_id,
            fetches_messages: self.body.fetches_messages,
            supports_sms: self.body.supports_sms,
        })
    }
}

/// Base64, padded or not, of exactly the two keys: the old server took anything, and the first message broke on it (§1.12).
fn signaling_key<'de, D: Deserializer<'de>>(from: D) -> Result<Zeroizing<[u8; SIGNALING_KEY_BYTES]>, D::Error> {
    let text = Zeroizing::new(String::deserialize(from)?);
    let bytes = LENIENT.decode(text.trim()).map(Zeroizing::new);
    let key =
        bytes.ok().and_then(|bytes| Some(Zeroizing::new(<[u8; SIGNALING_KEY_BYTES]>::try_from(&bytes[..]).ok()?)));
    key.ok_or_else(|| de::Error::custom("not 52 bytes in base64"))
}

/// A value, or the same in quotation marks, as the descriptions print them; null is as good as nothing.
#[derive(Deserialize)]
#[serde(untagged)]
enum Quoted<T> {
    Plain(T),
    Text(String),
    Nothing(()),
}

fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    match Quoted::deserialize(from)? {
        Quoted::Plain(flag) => Ok(flag),
        Quoted::Text(text) => text.trim().parse().map_err(|_| de::Error::custom("neither true nor false")),
        Quoted::Nothing(()) => Ok(false),
    }
}

fn registration_id<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    let id = match Quoted::deserialize(from)? {
        Quoted::Plain(id) => Some(id),
        Quoted::Text(text) => text.trim().parse().ok(),
        Quoted::Nothing(()) => Some(0),
    };
    id.filter(|id: &i32| *id >= 0).ok_or_else(|| de::Error::custom("not a registration id"))
}

/// For [`super::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(body: &[u8]) {
    if let Ok(body) = serde_json::from_slice::<Body>(body) {
        assert!(body.registration_id >= 0);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMw==";

    fn read(body: Value) -> Option<(bool, bool, i32)> {
        let body: Body = serde_json::from_value(body).ok()?;
        assert!(body.signaling_key.iter().copied().eq(0..52));
        Some((body.supports_sms, body.fetches_messages, body.registration_id))
    }

    #[test]
    fn bodies_are_read_as_clients_of_either_version_send_them() {
        let unpadded = KEY.trim_end_matches('=');
        let table = [
            (json!({"signalingKey": KEY}), (false, false, 0)),
            (json!({"signalingKey": unpadded}), (false, false, 0)),
            (json!({"signalingKey": format!("{KEY}\n")}), (false, false, 0)),
            (json!({"signalingKey": KEY, "supportsSms": true}), (true, false, 0)),
            (json!({"signalingKey": KEY, "supportsSms": "true", "registrationId": "16380"}), (true, false, 16380)),
            (json!({"signalingKey": KEY, "fetchesMessages": true, "registrationId": 16380}), (false, true, 16380)),
            (json!({"signalingKey": KEY, "supportsSms": null, "registrationId": null}), (false, false, 0)),
            (json!({"signalingKey": KEY, "name": "a phone", "video": {"on": true}}), (false, false, 0)),
        ];
        for (body, expected) in table {
            assert_eq!(read(body.clone()), Some(expected), "{body}");
        }
    }

    #[test]
    fn anything_else_is_not_read() {
        let wrong = [
            json!({}),
            json!({"signalingKey": ""}),
            json!({"signalingKey": null}),
            json!({"signalingKey": 52}),
            json!({"signalingKey": &KEY[..68]}),
            json!({"signalingKey": format!("AAAA{KEY}")}),
            json!({"signalingKey": KEY.replace('A', "*")}),
            json!({"signalingKey": KEY, "supportsSms": "perhaps"}),
            json!({"signalingKey": KEY, "fetchesMessages": 7}),
            json!({"signalingKey": KEY, "registrationId": -1}),
            json!({"signalingKey": KEY, "registrationId": "many"}),
            json!({"signalingKey": KEY, "registrationId": 4_294_967_296_u64}),
        ];
        for body in wrong {
            assert_eq!(read(body.clone()), None, "{body}");
        }
    }
}
