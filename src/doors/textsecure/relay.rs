//! What is for somebody at a federated node (specification §1.F): a worker asks that node while the client waits.
//!
//! Unknown peers are 404, as if nobody of that number were there. What a peer says of the request is passed on; what it has against
//! this node is no business of the client's, and counts like no answer. Without an answer there are no keys (404) and no
//! attachment (503), but a message or a receipt is taken all the same: it goes into the books, and over when the peer is back.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::StatusCode;
use serde::Serialize;

use super::Door;
use super::answer::{self, Answer, Refusal};
use super::messages::Source;
use crate::books::{ChannelName, NewMessage};
use crate::federation::{self, Signal};
use crate::jobs::{Ask, CallPeer, Reply};
use crate::prekeys::DeviceWanted;
use crate::textsecure::{Envelope, Number, SERVICE};

/// What the names of peers begin with, among destinations.
const PREFIX: &str = "relay:";

/// Largest body for a peer, in bytes: asks travel together through the broker, which takes so much at once and no more.
const LARGEST: usize = 192 << 10;

/// What a peer answered.
struct Answered {
    status: StatusCode,
    body: String,
}

/// When the peer has it.
enum Handed {
    Now,
    Later,
}

/// A key of each wanted device; in the form of version 1 without `wanted`.
pub(super) async fn keys(door: &Door, peer: &str, number: &Number, wanted: Option<DeviceWanted>) -> Answer {
    let mut path = format!("/v1/federation/key/{}", number.as_str());
    match wanted {
        None => {}
        Some(DeviceWanted::All) => path.push_str("/*"),
        Some(DeviceWanted::One(device)) => path.push_str(&format!("/{device}")),
    }
    get(door, peer, path).await?.ok_or(Refusal::NOT_FOUND)?.into_answer()
}

/// Where to fetch a file of the peer's.
pub(super) async fn attachment(door: &Door, peer: &str, id: u64) -> Answer {
    let path = format!("/v1/federation/attachment/{id}");
    get(door, peer, path).await?.ok_or(Refusal::Unavailable)?.into_answer()
}

/// Messages for all devices of a number there (version 2). Its 404, 409 and 410 become ours.
pub(super) async fn messages(
    door: &Door,
    peer: &str,
    source: &Source<'_>,
    destination: &Number,
    body: &impl Serialize,
) -> Result<(), Refusal> {
    let (from, to) = (source.number.as_str(), destination.as_str());
    let path = format!("/v1/federation/messages/{from}/{}/{to}", source.device);
    put(door, peer, path, body).await
}

/// A message for a number there (version 1); false: the peer knows nobody of that number, or is none of ours. One that is `away` is
/// not waited for again: a list may have hundreds of entries for it.
pub(super) async fn message(
    door: &Door,
    peer: &str,
    destination: &Number,
    envelope: &Envelope,
    away: &mut HashSet<String>,
) -> Result<bool, Refusal> {
    let envelope = STANDARD_NO_PAD.encode(envelope.plaintext().as_slice());
    let signal = Signal { destination: destination.as_str().to_owned(), envelope };
    if known(door, peer).is_err() {
        return Ok(false);
    }
    let call = call(door, peer, String::from("/v1/federation/message"), &signal)?;
    if away.contains(peer) {
        return later(door, &call).await.map(|()| true);
    }
    match hand_over(door, &call).await {
        Ok(Handed::Now) => Ok(true),
        Ok(Handed::Later) => {
            away.insert(peer.to_owned());
            Ok(true)
        }
        Err(Refusal::Status(StatusCode::NOT_FOUND)) => Ok(false),
        Err(Refusal::LimitExceeded(after)) => Err(Refusal::LimitExceeded(after)),
        Err(_) => Err(Refusal::Unavailable),
    }
}

/// That a message has arrived here, for who sent it from there.
pub(super) async fn receipt(
    door: &Door,
    peer: &str,
    source: &Source<'_>,
    destination: &Number,
    message: u64,
) -> Result<(), Refusal> {
    let (from, to) = (source.number.as_str(), destination.as_str());
    let path = format!("/v1/receipt/{from}/{}/{to}/{message}", source.device);
    put(door, peer, path, &serde_json::json!({})).await
}

/// None: no answer.
async fn get(door: &Door, peer: &str, path: String) -> Result<Option<Answered>, Refusal> {
    let call = CallPeer { peer: known(door, peer)?, get: true, path, body: String::new() };
    Ok(ask(door, call).await)
}

async fn put(door: &Door, peer: &str, path: String, body: &impl Serialize) -> Result<(), Refusal> {
    hand_over(door, &call(door, peer, path, body)?).await.map(|_| ())
}

fn call(door: &Door, peer: &str, path: String, body: &impl Serialize) -> Result<CallPeer, Refusal> {
    let body = serde_json::to_string(body).map_err(|_| Refusal::Unavailable)?;
    if body.len() > LARGEST {
        return Err(Refusal::LimitExceeded(None));
    }
    Ok(CallPeer { peer: known(door, peer)?, get: false, path, body })
}

/// Now, or later where the peer gives no answer now.
async fn hand_over(door: &Door, call: &CallPeer) -> Result<Handed, Refusal> {
    match ask(door, call.clone()).await {
        Some(answered) if answered.status.is_success() => Ok(Handed::Now),
        Some(answered) => Err(answered.refusal()),
        None => later(door, call).await.map(|()| Handed::Later),
    }
}

fn known(door: &Door, peer: &str) -> Result<String, Refusal> {
    federation::peer(&door.app.config, peer).map(|peer| peer.name.clone()).ok_or(Refusal::NOT_FOUND)
}

/// None: the peer gave no answer in time, or none that is about the request.
async fn ask(door: &Door, call: CallPeer) -> Option<Answered> {
    let deadline = door.app.clock.now() + door.app.config.textsecure.relay_deadline.duration();
    let reply = door.asker.ask(door.app.new_id(), deadline, Ask::CallPeer(call)).await;
    let Ok(Reply::Peer { status, body }) = reply else { return None };
    let status = StatusCode::from_u16(status).ok()?;
    let is_about_us = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    (!is_about_us && !status.is_server_error() && !status.is_redirection()).then_some(Answered { status, body })
}

/// A delivery of the books, with all its tries.
async fn later(door: &Door, call: &CallPeer) -> Result<(), Refusal> {
    let app = &door.app;
    let content = serde_json::to_vec(call).map_err(|_| Refusal::Unavailable)?;
    let expires_at = app.clock.now() + app.config.textsecure.message_life.duration();
    let message = NewMessage::own(SERVICE, ChannelName::Relay, format!("{PREFIX}{}", call.peer), content, expires_at);
    door.acceptor.accept(message).await?;
    Ok(())
}

impl Answered {
    fn into_answer(self) -> Answer {
        if self.status.is_success() && !self.body.is_empty() {
            return Ok(answer::json_text(self.body));
        }
        Err(self.refusal())
    }

    fn refusal(self) -> Refusal {
        match self.status {
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::LimitExceeded(None),
            status if status.is_success() => Refusal::NOT_FOUND,
            // These two say which devices. Another body is a proxy's, and may quote the path with its numbers.
            status @ (StatusCode::CONFLICT | StatusCode::GONE) => Refusal::Json(status, self.body),
            status => Refusal::Status(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: StatusCode, body: &str) -> Refusal {
        Answered { status, body: body.to_owned() }.refusal()
    }

    /// A proxy puts a page on its 404, which is none the less one; and the page may quote the path, with its numbers.
    #[test]
    fn of_a_peers_refusals_only_what_names_devices_is_passed_on() {
        let page = "<p>/v1/federation/message: not found</p>";
        for status in [StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST, StatusCode::UNSUPPORTED_MEDIA_TYPE] {
            assert_eq!(refused(status, page), Refusal::Status(status));
        }
        assert_eq!(refused(StatusCode::PAYLOAD_TOO_LARGE, page), Refusal::LimitExceeded(None));
        let devices = r#"{"staleDevices":[1]}"#;
        for status in [StatusCode::CONFLICT, StatusCode::GONE] {
            assert_eq!(refused(status, devices), Refusal::Json(status, devices.to_owned()));
        }
    }
}
