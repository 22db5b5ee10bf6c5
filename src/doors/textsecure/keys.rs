//! Prekeys as versions 1 and 2 have them (specification §1.5 and §1.6), and what the later form shares with them.

use serde::{Deserialize, Deserializer, Serialize};

use super::Door;
use super::answer::{self, Answer, Refusal, done, within};
use super::relay;
use super::request::Request;
use crate::limits;
use crate::phones::Device;
use crate::prekeys::{self, DeviceKeys, DeviceWanted, Key, Stored, Upload};
use crate::textsecure::Number;

/// Longest key or signature: 33 bytes have 44 characters, a signature 88.
const LONGEST: usize = 512;

/// `PUT /v1/keys/`.
#[derive(Deserialize)]
struct KeysIn {
    #[serde(rename = "lastResortKey")]
    last_resort: KeyIn,
    keys: Vec<KeyIn>,
}

/// A key as it is uploaded. Clients send more: which device, whether it is the last resort. The node knows better.
#[derive(Deserialize)]
struct KeyIn {
    /// The old serialisers leave out what is zero.
    #[serde(rename = "keyId", default)]
    id: KeyId,
    #[serde(rename = "publicKey")]
    public: Text,
    #[serde(rename = "identityKey")]
    identity: Text,
}

/// A number, or a string with one.
#[derive(Default)]
pub(super) struct KeyId(pub(super) i32);

/// What is kept as it is: not empty, not long, and nothing that a database could not hold.
pub(super) struct Text(pub(super) String);

/// A key as it is given out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyOut<'a> {
    device_id: i16,
    key_id: i32,
    public_key: &'a str,
    identity_key: &'a str,
    registration_id: i32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    last_resort: bool,
}

/// `PUT /v1/keys/`: takes the place of all that was there.
pub(super) async fn put(door: &Door, request: Request) -> Answer {
    let device = door.device(&request).await?;
    let KeysIn { last_resort, keys } = request.json(door).await?;
    let keys = keys.into_iter().map(Key::from).collect();
    store(door, &device, Upload { keys, last_resort: last_resort.into(), signed: None }).await
}

/// `GET /v1/keys/` and `GET /v2/keys`: how many one-time keys are left.
pub(super) async fn count(door: &Door, request: Request) -> Answer {
    #[derive(Serialize)]
    struct Count {
        count: i64,
    }
    let device = door.device(&request).await?;
    answer::json(&Count { count: prekeys::count(&door.app, &device).await? })
}

/// `GET /v1/keys/{number}`: a key of the first device, and no list around it.
pub(super) async fn get_first(door: &Door, request: Request) -> Answer {
    let caller = door.device(&request).await?;
    let number = number_of(&request)?;
    limit(door, &caller, &number, DeviceWanted::One(1)).await?;
    match request.parameter("relay") {
        Some(peer) => relay::keys(door, &peer, &number, None).await,
        None => one(&prekeys::fetch(&door.app, &number, DeviceWanted::One(1)).await?),
    }
}

/// `GET /v1/keys/{number}/{device or *}`.
pub(super) async fn get(door: &Door, request: Request) -> Answer {
    let caller = door.device(&request).await?;
    let (number, wanted) = (number_of(&request)?, wanted_of(&request)?);
    limit(door, &caller, &number, wanted).await?;
    match request.parameter("relay") {
        Some(peer) => relay::keys(door, &peer, &number, Some(wanted)).await,
        None => list(&prekeys::fetch(&door.app, &number, wanted).await?),
    }
}

/// The first device's key, or 404.
pub(super) fn one(found: &[DeviceKeys]) -> Answer {
    answer::json(&outward(found).next().ok_or(Refusal::NOT_FOUND)?)
}

/// A key of each device, or 404.
pub(super) fn list(found: &[DeviceKeys]) -> Answer {
    #[derive(Serialize)]
    struct Keys<'a> {
        keys: Vec<KeyOut<'a>>,
    }
    let keys: Vec<KeyOut<'_>> = outward(found).collect();
    if keys.is_empty() { Err(Refusal::NOT_FOUND) } else { answer::json(&Keys { keys }) }
}

/// Whose keys a path names; who is no number has none.
pub(super) fn number_of(request: &Request) -> Result<Number, Refusal> {
    request.path.get(2).and_then(|number| number.parse().ok()).ok_or(Refusal::NOT_FOUND)
}

/// Which device a path names. 415 for what is neither a number nor `*`; 404 for numbers that no device has.
pub(super) fn wanted_of(request: &Request) -> Result<DeviceWanted, Refusal> {
    wanted(request.path.get(3).map_or("", String::as_str))
}

/// The same of a segment.
pub(super) fn wanted(text: &str) -> Result<DeviceWanted, Refusal> {
    match text {
        "*" => Ok(DeviceWanted::All),
        text => {
            let number: i64 = text.parse().map_err(|_| Refusal::UNSUPPORTED)?;
            Ok(DeviceWanted::One(i16::try_from(number).map_err(|_| Refusal::NOT_FOUND)?))
        }
    }
}

/// So often per pair of numbers and device (specification §1.1).
pub(super) async fn limit(door: &Door, caller: &Device, number: &Number, wanted: DeviceWanted) -> Result<(), Refusal> {
    let key = format!("{}__{}.{}", caller.number.as_str(), number.as_str(), segment(wanted));
    within(limits::spend(&door.app, "prekeys", &key, door.app.config.textsecure.limits.prekeys, 1).await?)
}

/// Stores an upload of either form.
pub(super) async fn store(door: &Door, device: &Device, upload: Upload) -> Answer {
    stored(prekeys::replace(&door.app, device, &upload).await?)
}

/// 204, or 401 to a device that is not there any more.
pub(super) fn stored(stored: Stored) -> Answer {
    match stored {
        Stored::Yes => Ok(done()),
        Stored::Gone => Err(Refusal::Unauthorized),
    }
}

fn segment(wanted: DeviceWanted) -> String {
    match wanted {
        DeviceWanted::One(device) => device.to_string(),
        DeviceWanted::All => String::from("*"),
    }
}

fn outward(found: &[DeviceKeys]) -> impl Iterator<Item = KeyOut<'_>> {
    found.iter().filter_map(|device| {
        let key = device.key.as_ref()?;
        Some(KeyOut {
            device_id: device.device,
            key_id: key.id,
            public_key: &key.public,
            identity_key: &key.identity,
            registration_id: device.registration_id,
            last_resort: device.last_resort,
        })
    })
}

impl From<KeyIn> for Key {
    fn from(key: KeyIn) -> Self {
        Self { id: key.id.0, public: key.public.0, identity: key.identity.0 }
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(i32),
            Text(String),
        }
        let id = match Either::deserialize(deserializer)? {
            Either::Number(id) => Some(id),
            Either::Text(text) => text.trim().parse().ok(),
        };
        id.filter(|id| *id >= 0).map(Self).ok_or_else(|| serde::de::Error::custom("not a key id"))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let good = !text.is_empty() && text.len() <= LONGEST && !text.contains('\0');
        if good { Ok(Self(text)) } else { Err(serde::de::Error::custom("not a key")) }
    }
}

/// For [`super::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(body: &[u8]) {
    let Ok(KeysIn { last_resort, keys }) = serde_json::from_slice(body) else { return };
    for key in keys.iter().chain([&last_resort]) {
        assert!(key.id.0 >= 0, "a key with a number that clients cannot read");
        for text in [&key.public, &key.identity] {
            assert!((1..=LONGEST).contains(&text.0.len()) && !text.0.contains('\0'), "what a database cannot hold");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ids_are_numbers_or_strings_with_one() {
        let read = |text: &str| serde_json::from_str::<KeyId>(text).ok().map(|id| id.0);
        for (text, id) in [("0", 0), ("16777215", 16_777_215), ("\"7\"", 7), ("\" 0\"", 0)] {
            assert_eq!(read(text), Some(id), "{text}");
        }
        for bad in ["-1", "\"-1\"", "4294967296", "1.5", "\"\"", "\"x\"", "null", "true", "[]"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_upload_needs_both_kinds_and_whole_keys() {
        let key = r#"{"keyId":1,"publicKey":"p","identityKey":"i","deviceId":0,"lastResort":true}"#;
        let read =
            |text: &str| serde_json::from_str::<KeysIn>(&text.replace('@', key)).ok().map(|keys| keys.keys.len());
        assert_eq!(read(r#"{"lastResortKey":{"publicKey":"p","identityKey":"i"},"keys":[],"more":[1]}"#), Some(0));
        assert_eq!(read(r#"{"lastResortKey":@,"keys":[@,@]}"#), Some(2));
        let long = "x".repeat(LONGEST + 1);
        let bad_keys = [
            r#"{"keyId":1,"publicKey":"p"}"#.to_owned(),
            r#"{"keyId":1,"identityKey":"i"}"#.to_owned(),
            r#"{"keyId":1,"publicKey":"","identityKey":"i"}"#.to_owned(),
            r#"{"keyId":1,"publicKey":null,"identityKey":"i"}"#.to_owned(),
            r#"{"keyId":1,"publicKey":"\u0000","identityKey":"i"}"#.to_owned(),
            format!(r#"{{"keyId":1,"publicKey":"{long}","identityKey":"i"}}"#),
        ];
        for bad in bad_keys {
            assert_eq!(read(&format!(r#"{{"lastResortKey":@,"keys":[{bad}]}}"#)), None, "{bad}");
            assert_eq!(read(&format!(r#"{{"lastResortKey":{bad},"keys":[]}}"#)), None, "{bad}");
        }
        for bad in [r#"{"keys":[@]}"#, r#"{"lastResortKey":@}"#, r#"{"lastResortKey":@,"keys":null}"#, "[]"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
