//! Sending (specification §1.9 to §1.11): `PUT /v1/messages/{number}` of version 2, `POST /v1/messages/` of version 1.

mod deliver;
mod list;

use base64::Engine;
use serde::{Deserialize, Deserializer, Serialize};

pub(super) use self::deliver::{Letter, Outgoing, Source, deliver, first, moment, post};
pub(super) use self::list::send_list;
use super::Door;
use super::answer::{Answer, Refusal, done, within};
use super::credentials::LENIENT;
use super::relay;
use super::request::Request;
use crate::limits;
use crate::phones::Device;
use crate::textsecure::Number;

/// Most entries of one request: a number has a handful of devices, and who writes to groups names some dozens.
pub(super) const MOST: usize = 256;

/// What a client, or a federated node, puts to one number.
#[derive(Deserialize, Serialize)]
pub(super) struct ToNumber {
    /// The federated node it is registered with; none or empty: this one.
    #[serde(default, skip_serializing)]
    relay: Option<String>,
    messages: Vec<ToDevice>,
}

/// One message. What was sent as text is read as well; `timestamp` is not read, the time is ours.
#[derive(Deserialize, Serialize)]
pub(super) struct ToDevice {
    #[serde(rename = "type", default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    kind: Option<i64>,
    #[serde(
        rename = "destinationDeviceId",
        default,
        deserialize_with = "number",
        skip_serializing_if = "Option::is_none"
    )]
    device: Option<i64>,
    #[serde(
        rename = "destinationRegistrationId",
        default,
        deserialize_with = "number",
        skip_serializing_if = "Option::is_none"
    )]
    registration_id: Option<i64>,
    #[serde(default)]
    body: String,
}

impl ToNumber {
    /// As they are delivered here; 415 where one has no body.
    pub(super) fn outgoing(self) -> Result<Vec<Outgoing>, Refusal> {
        self.check()?;
        Ok(self.messages.into_iter().map(ToDevice::outgoing).collect())
    }

    /// The peer it is for.
    fn relay(&self) -> Option<&str> {
        self.relay.as_deref().filter(|relay| !relay.is_empty())
    }

    fn check(&self) -> Result<(), Refusal> {
        let good = self.messages.len() <= MOST && self.messages.iter().all(|message| !message.body.is_empty());
        good.then_some(()).ok_or(Refusal::UNSUPPORTED)
    }
}

impl ToDevice {
    fn outgoing(self) -> Outgoing {
        Outgoing {
            kind: kind(self.kind),
            device: self.device.unwrap_or(1),
            registration_id: self.registration_id.unwrap_or(0),
            body: decoded(&self.body),
        }
    }
}

/// `PUT /v1/messages/{number}`: 204, or nothing was delivered.
pub(super) async fn send(door: &Door, request: Request) -> Answer {
    let device = door.device(&request).await?;
    let destination = request.path.get(2).cloned().unwrap_or_default();
    let body: ToNumber = request.json(door).await?;
    body.check()?;
    spend(door, &device).await?;
    let destination: Number = destination.parse().map_err(|_| Refusal::NOT_FOUND)?;
    send_to(door, &device, &destination, body).await?;
    Ok(done())
}

/// To one number, here or at a peer.
async fn send_to(door: &Door, device: &Device, destination: &Number, body: ToNumber) -> Result<(), Refusal> {
    let source = Source { number: &device.number, device: device.id, relay: None };
    match body.relay() {
        Some(peer) => relay::messages(door, peer, &source, destination, &body).await,
        None => deliver(door, source, destination, body.outgoing()?).await,
    }
}

/// One request of a sender, whatever is in it.
async fn spend(door: &Door, device: &Device) -> Result<(), Refusal> {
    let limit = door.app.config.textsecure.limits.messages;
    within(limits::spend(&door.app, "messages", device.number.as_str(), limit, 1).await?)
}

/// The old server kept the lowest 32 bits of whatever was sent.
fn kind(kind: Option<i64>) -> u32 {
    kind.unwrap_or(0) as u32
}

/// What was sent as base64: padded or not, in lines or not. None: it is no base64, and the envelope goes out without it.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    LENIENT.decode(text).ok()
}

/// A number, or one in quotes, or null.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(i64),
        Text(String),
    }
    match Option::<Written>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Written::Number(number)) => Ok(Some(number)),
        Some(Written::Text(text)) => text.trim().parse().map(Some).map_err(serde::de::Error::custom),
    }
}

/// For [`super::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(body: &[u8]) {
    let _ = decoded(std::str::from_utf8(body).unwrap_or_default());
    let _ = serde_json::from_slice::<ToDevice>(body);
    if let Ok(letter) = serde_json::from_slice::<ToNumber>(body) {
        // As it goes on to a peer.
        let again = serde_json::to_vec(&letter).unwrap_or_default();
        assert!(serde_json::from_slice::<ToNumber>(&again).is_ok(), "what is passed on cannot be read");
        if let Ok(messages) = letter.outgoing() {
            assert!(messages.len() <= MOST);
        }
    }
    list::fuzzed(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Specification §0.1: the old server's decoder lost the end of what was not padded; this one does not.
    #[test]
    fn bodies_are_read_padded_or_not() {
        let table: [(&str, Option<&[u8]>); 7] = [
            ("Zm9vYmFyego=", Some(b"foobarz\n")),
            ("Zm9vYmFyego", Some(b"foobarz\n")),
            ("Zm9v\nYmFyego=\n", Some(b"foobarz\n")),
            ("aGVsbG8=", Some(b"hello")),
            ("a", None),
            ("####", None),
            ("Zm9v=YmFy", None),
        ];
        for (text, expected) in table {
            assert_eq!(decoded(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn entries_are_read_as_clients_write_them() {
        let read = |text: &str| {
            serde_json::from_str::<ToDevice>(text).ok().map(|entry| {
                let outgoing = entry.outgoing();
                (outgoing.kind, outgoing.device, outgoing.registration_id)
            })
        };
        assert_eq!(read(r#"{"body": "YQ=="}"#), Some((0, 1, 0)));
        let all = r#"{"type": "3", "destinationDeviceId": 2, "destinationRegistrationId": "7", "timestamp": "x", "body": "", "more": []}"#;
        assert_eq!(read(all), Some((3, 2, 7)));
        assert_eq!(read(r#"{"type": -1, "destinationDeviceId": null, "body": "YQ=="}"#), Some((u32::MAX, 1, 0)));
        for bad in [r#"{"type": "three", "body": ""}"#, r#"{"type": [], "body": ""}"#, r#"{"body": 7}"#] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
