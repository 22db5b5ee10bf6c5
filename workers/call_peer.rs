//! Asks a federated node what one of our devices wants to know of it, while the device waits.

use std::time::Duration;

use jiff::Timestamp;

use crate::federation::PeerError;
use crate::jobs::{CallPeer, Reply};
use crate::worker::Crew;

/// What the answer needs on its way back through the broker.
const WAY_BACK: Duration = Duration::from_millis(200);

/// One call, no second one: whoever waits may ask again.
pub async fn run(crew: &Crew, deadline: Timestamp, ask: CallPeer) -> Reply {
    let left = Duration::try_from(deadline.duration_since(crew.app.clock.now())).unwrap_or_default();
    let timeout = left.saturating_sub(WAY_BACK);
    if timeout.is_zero() {
        return Reply::Temporarily;
    }
    let Some(_place) = crew.peers.place(&ask.peer) else {
        tracing::info!(peer = ask.peer, "a federated node has as many calls as it may have at once");
        return Reply::Temporarily;
    };
    match crew.peers.call(&ask, timeout).await {
        Ok(answer) => Reply::Peer { status: answer.status, body: String::from_utf8_lossy(&answer.body).into_owned() },
        Err(error) => {
            let error = match &error {
                PeerError::Unknown => "unknown",
                PeerError::Call(error) => error.kind.word(),
            };
            tracing::info!(peer = ask.peer, error, "a federated node gave no answer");
            Reply::Temporarily
        }
    }
}
