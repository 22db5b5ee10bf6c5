//! What is for somebody at a federated node (specification §1.F): a worker hands it over there while the client waits.
//!
//! Unknown peers are 404, as if nobody of that number were there; one that cannot be reached, or that has not answered in
//! `textsecure.relay_deadline`, is 503: nothing is known then, and the client tries again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::StatusCode;
use serde::Serialize;

use super::Door;
use super::answer::Refusal;
use super::messages::Source;
use crate::jobs::{Ask, CallPeer, Reply};
use crate::textsecure::{Envelope, Number};

/// What a peer answered.
struct Answered {
    status: StatusCode,
    body: String,
}

/// A message of version 1, as the old nodes hand it to each other.
#[derive(Serialize)]
struct Signal<'a> {
    destination: &'a str,
    #[serde(rename = "outgoingMessageSignal")]
    envelope: String,
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
    put(door, peer, path, body).await?.passed_on()
}

/// A message for a number there (version 1); false: the peer knows nobody of that number, or is none of ours.
pub(super) async fn message(
    door: &Door,
    peer: &str,
    destination: &Number,
    envelope: &Envelope,
) -> Result<bool, Refusal> {
    let envelope = STANDARD_NO_PAD.encode(envelope.plaintext().as_slice());
    let signal = Signal { destination: destination.as_str(), envelope };
    match put(door, peer, String::from("/v1/federation/message"), &signal).await {
        Err(Refusal::NOT_FOUND) => Ok(false),
        Err(refusal) => Err(refusal),
        Ok(answered) if answered.status.is_success() => Ok(true),
        Ok(answered) if answered.status == StatusCode::NOT_FOUND => Ok(false),
        Ok(_) => Err(Refusal::Unavailable),
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
    put(door, peer, path, &serde_json::json!({})).await?.passed_on()
}

async fn put(door: &Door, peer: &str, path: String, body: &impl Serialize) -> Result<Answered, Refusal> {
    let settings = &door.app.config.textsecure;
    if !settings.peers.iter().any(|known| known.name == peer) {
        return Err(Refusal::NOT_FOUND);
    }
    let body = serde_json::to_string(body).map_err(|_| Refusal::Unavailable)?;
    let deadline = door.app.clock.now() + settings.relay_deadline.duration();
    let ask = Ask::CallPeer(CallPeer { peer: peer.to_owned(), get: false, path, body });
    match door.asker.ask(door.app.new_id(), deadline, ask).await {
        Ok(Reply::Peer { status, body }) => {
            let status = StatusCode::from_u16(status).map_err(|_| Refusal::Unavailable)?;
            Ok(Answered { status, body })
        }
        _ => Err(Refusal::Unavailable),
    }
}

impl Answered {
    /// Its status and body as ours. What it has against this node is no business of the client's.
    fn passed_on(self) -> Result<(), Refusal> {
        match self.status {
            status if status.is_success() => Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Refusal::Unavailable),
            status if status.is_server_error() => Err(Refusal::Unavailable),
            status if self.body.is_empty() => Err(Refusal::Status(status)),
            status => Err(Refusal::Json(status, self.body)),
        }
    }
}
