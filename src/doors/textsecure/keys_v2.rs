//! Prekeys in the later form: the identity key stands once, and a signed key goes with the one-time keys (specification §2, July
//! 2014). The store is that of the earlier forms.

use serde::{Deserialize, Serialize};

use super::Door;
use super::answer::{self, Answer, Refusal};
use super::keys::{KeyId, Text, limit, number_of, store, stored, wanted_of};
use super::request::Request;
use crate::prekeys::{self, DeviceKeys, Key, Signed, Upload};

/// `PUT /v2/keys`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeysIn {
    identity_key: Text,
    pre_keys: Vec<KeyIn>,
    last_resort_key: KeyIn,
    signed_pre_key: SignedIn,
}

/// A key, whose identity stands beside it.
#[derive(Deserialize)]
struct KeyIn {
    #[serde(rename = "keyId", default)]
    id: KeyId,
    #[serde(rename = "publicKey")]
    public: Text,
}

/// `PUT /v2/keys/signed`, and a part of the above.
#[derive(Deserialize)]
struct SignedIn {
    #[serde(rename = "keyId", default)]
    id: KeyId,
    #[serde(rename = "publicKey")]
    public: Text,
    signature: Text,
}

/// What is given out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeysOut<'a> {
    identity_key: &'a str,
    devices: Vec<DeviceOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeviceOut<'a> {
    device_id: i16,
    registration_id: i32,
    signed_pre_key: Option<SignedOut<'a>>,
    pre_key: Option<KeyOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyOut<'a> {
    key_id: i32,
    public_key: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SignedOut<'a> {
    key_id: i32,
    public_key: &'a str,
    signature: &'a str,
}

/// `PUT /v2/keys`: takes the place of all that was there.
pub(super) async fn put(door: &Door, request: Request) -> Answer {
    let device = door.device(&request).await?;
    let KeysIn { identity_key: Text(identity), pre_keys, last_resort_key, signed_pre_key } = request.json(door).await?;
    let whole = |key: KeyIn| Key { id: key.id.0, public: key.public.0, identity: identity.clone() };
    let keys = pre_keys.into_iter().map(whole).collect();
    let last_resort = whole(last_resort_key);
    store(door, &device, Upload { keys, last_resort, signed: Some((identity, signed_pre_key.into())) }).await
}

/// `GET /v2/keys/{number}/{device or *}`. The federation of that time has no such form: with a relay it is 404.
pub(super) async fn get(door: &Door, request: Request) -> Answer {
    let caller = door.device(&request).await?;
    let (number, wanted) = (number_of(&request)?, wanted_of(&request)?);
    limit(door, &caller, &number, wanted).await?;
    if request.parameter("relay").is_some() {
        return Err(Refusal::NOT_FOUND);
    }
    let found = prekeys::fetch(&door.app, &number, wanted).await?;
    let identity_key = &found.first().ok_or(Refusal::NOT_FOUND)?.identity;
    answer::json(&KeysOut { identity_key, devices: found.iter().map(outward).collect() })
}

/// `PUT /v2/keys/signed`: the signed key alone.
pub(super) async fn put_signed(door: &Door, request: Request) -> Answer {
    let device = door.device(&request).await?;
    let key: SignedIn = request.json(door).await?;
    stored(prekeys::set_signed(&door.app, &device, &key.into()).await?)
}

/// `GET /v2/keys/signed`: the caller's own.
pub(super) async fn get_signed(door: &Door, request: Request) -> Answer {
    let device = door.device(&request).await?;
    let key = prekeys::signed(&door.app, &device).await?.ok_or(Refusal::NOT_FOUND)?;
    answer::json(&signed(&key))
}

fn outward(found: &DeviceKeys) -> DeviceOut<'_> {
    DeviceOut {
        device_id: found.device,
        registration_id: found.registration_id,
        signed_pre_key: found.signed.as_ref().map(signed),
        pre_key: found.key.as_ref().map(|key| KeyOut { key_id: key.id, public_key: &key.public }),
    }
}

fn signed(key: &Signed) -> SignedOut<'_> {
    SignedOut { key_id: key.id, public_key: &key.public, signature: &key.signature }
}

impl From<SignedIn> for Signed {
    fn from(key: SignedIn) -> Self {
        Self { id: key.id.0, public: key.public.0, signature: key.signature.0 }
    }
}

/// For [`super::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(body: &[u8]) {
    let _ = serde_json::from_slice::<KeysIn>(body);
    let _ = serde_json::from_slice::<SignedIn>(body);
}
