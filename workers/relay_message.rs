//! Hands a message over to the federated node of its receiver, when that node could not be reached at once.
//!
//! The peer has no way to know a repeat, so what may have arrived is sent again: at least once. What the peer refuses (404, 409,
//! 410) is refused for good: the sender's device cannot be asked any more, and learns the truth with its next message.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::books::{ClaimedDelivery, Outcome};
use crate::federation::PeerError;
use crate::jobs::CallPeer;
use crate::outbound::Answer;
use crate::retry::Advice;
use crate::worker::{Channel, Crew, Hold, Report, Sign};

/// The relay channel.
pub struct RelayMessage {
    crew: Crew,
}

impl Channel for RelayMessage {
    fn deliver<'a>(&'a self, delivery: &'a ClaimedDelivery, _: &'a Hold) -> BoxFuture<'a, Report> {
        self.run(delivery).boxed()
    }
}

impl RelayMessage {
    /// With what workers are given.
    pub fn new(crew: &Crew) -> Self {
        Self { crew: crew.clone() }
    }

    async fn run(&self, delivery: &ClaimedDelivery) -> Report {
        let content = delivery.content.as_ref();
        let Some(call) = content.and_then(|bytes| serde_json::from_slice::<CallPeer>(bytes).ok()) else {
            return Report::untried(Advice::Never("unreadable"));
        };
        let app = &self.crew.app;
        let timeout = app.config.textsecure.relay_deadline.duration();
        match self.crew.peers.call(&call, timeout).await {
            Ok(answer) => judge(&answer, answer.retry_after.map(|after| after.wait(app.clock.now()))),
            Err(PeerError::Unknown) => Report::untried(Advice::Never("no-such-peer")),
            Err(PeerError::Call(error)) => {
                let outcome = if error.nothing_sent() { Outcome::NotSent } else { Outcome::Unknown };
                Report { sign: Some(Sign::Failed), ..Report::of(outcome, Advice::Later).code(error.kind.word()) }
            }
        }
    }
}

/// What follows from an answer. Its body may name numbers, so it is not kept.
fn judge(answer: &Answer, pause: Option<Duration>) -> Report {
    let report = match answer.status {
        200..=299 => Report { sign: Some(Sign::Good), ..Report::of(Outcome::Delivered, Advice::Done) },
        400 | 404 | 405 | 409 | 410 | 415 | 422 => {
            Report { sign: Some(Sign::Good), ..Report::of(Outcome::RefusedForGood, Advice::Never("refused")) }
        }
        status => {
            let advice = pause.filter(|pause| !pause.is_zero()).map_or(Advice::Later, Advice::In);
            let sign = match status {
                413 | 429 => Sign::Overloaded { retry_after: pause },
                _ => Sign::Failed,
            };
            Report { sign: Some(sign), ..Report::of(Outcome::RefusedForNow, advice) }
        }
    };
    let report = Report { status: Some(answer.status), ..report };
    if report.outcome == Some(Outcome::Delivered) { report } else { report.code(format!("http_{}", answer.status)) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_follows_from_an_answer() {
        let table = [
            (200, Outcome::Delivered),
            (204, Outcome::Delivered),
            (401, Outcome::RefusedForNow),
            (404, Outcome::RefusedForGood),
            (409, Outcome::RefusedForGood),
            (410, Outcome::RefusedForGood),
            (413, Outcome::RefusedForNow),
            (500, Outcome::RefusedForNow),
            (503, Outcome::RefusedForNow),
        ];
        for (status, outcome) in table {
            let answer =
                Answer { status, body: Bytes::new(), truncated: false, retry_after: None, elapsed: Duration::ZERO };
            assert_eq!(judge(&answer, None).outcome, Some(outcome), "{status}");
        }
    }
}
