//! Delivers to another Openmsg node: seal, commit the outbox row, POST, and judge what came back.
//!
//! The peer asks back while the POST is open, and whatever it asks must be committed before (specification §0, fact 5). When no
//! answer comes, the outbox row tells what can be known: never asked for means never accepted, and it is sent anew; asked for
//! means very likely accepted, and it is repeated byte for byte once within its 60 s, then left `unconfirmed` (§6.10). A peer
//! that remembers message ids (another handfast node) may be sent a repeat at any time.

mod judge;
mod local;

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::peer::{self, Endpoint, PeerError};
use crate::books::{self, ClaimedDelivery, Flight, OutboxEntry, Outcome};
use crate::connections::{Keyed, State};
use crate::openmsg::message::{Composed, Envelope};
use crate::outbound::Answer;
use crate::retry::Advice;
use crate::worker::{Channel, Crew, Hold, Report, until_it_answers};

/// How long an outbox row answers: the message is too old for its receiver after that (§1.3).
const IN_FLIGHT: Duration = Duration::from_secs(60);
/// Between an unknown outcome and the identical repeat: the peer may be restarting.
const BEFORE_REPEAT: Duration = Duration::from_secs(2);
/// A repeat must reach the peer well within the 60 s.
const LATEST_REPEAT: Duration = Duration::from_secs(10);

/// The Openmsg channel.
pub struct DeliverOpenmsg {
    crew: Crew,
}

/// A request as it goes over the wire.
struct Posted {
    hash: [u8; 32],
    body: Vec<u8>,
    expires_at: Timestamp,
}

impl Channel for DeliverOpenmsg {
    fn deliver<'a>(&'a self, delivery: &'a ClaimedDelivery, hold: &'a Hold) -> BoxFuture<'a, Report> {
        self.run(delivery, hold).boxed()
    }
}

impl DeliverOpenmsg {
    /// With what workers are given.
    pub fn new(crew: &Crew) -> Self {
        Self { crew: crew.clone() }
    }

    async fn run(&self, delivery: &ClaimedDelivery, hold: &Hold) -> Report {
        let Some(connection) = delivery.connection else { return Report::untried(Advice::Never("no-connection")) };
        let keyed = match self.crew.shared.keyed(connection).await {
            Ok(Some(keyed)) => keyed,
            Ok(None) => return Report::untried(Advice::Never("no-connection")),
            Err(error) => return database_trouble(error.passing),
        };
        if let Some(flight) = &delivery.flight {
            match self.resume(&keyed, flight, hold).await {
                Some(report) => return report,
                None => {
                    tracing::info!(delivery = %delivery.id, "was on its way when its worker died, and can be sent anew")
                }
            }
        }
        match keyed.connection.state {
            State::Blocked => return Report::untried(Advice::Never("blocked")),
            State::Broken => return Report::untried(Advice::Never("connection-broken")),
            State::Active if !keyed.connection.other_accepts => return Report::untried(Advice::Never("no-replies")),
            State::Active => {}
        }
        if keyed.connection.other_address.domain().as_str() == self.crew.app.config.domain {
            return local::store(&self.crew, delivery, &keyed).await;
        }
        self.send(delivery, &keyed, hold).await
    }

    /// Sends a message, composed anew.
    async fn send(&self, delivery: &ClaimedDelivery, keyed: &Keyed, hold: &Hold) -> Report {
        let app = &self.crew.app;
        let now = app.clock.now();
        let text = delivery.content.as_ref().and_then(|text| std::str::from_utf8(text).ok());
        let Some(text) = text else { return Report::untried(Advice::Never("unreadable")) };
        let receiving_id = keyed.connection.other_address.id();
        let alphabet = judge::alphabet(delivery, keyed);
        let envelope = Envelope {
            receiving_id: &receiving_id,
            ident_code: &keyed.secrets.ident_code,
            auth_code: &keyed.secrets.auth_code,
            key: &keyed.secrets.crypt_key,
            alphabet,
        };
        let composed = Composed::new(envelope, text, delivery.message_id(), now.as_second());
        let entry = OutboxEntry {
            hash: *composed.message_hash.as_bytes(),
            nonce: composed.nonce.to_text(),
            delivery: delivery.id,
            connection: keyed.connection.id,
            recipient: keyed.connection.other_address.to_string(),
            body: composed.body.clone(),
            worker: hold.worker,
            expires_at: now + IN_FLIGHT,
        };
        let posted = Posted { hash: entry.hash, body: composed.body, expires_at: entry.expires_at };
        if let Err(error) = self.crew.shared.put_outbox(entry).await {
            return database_trouble(error.passing);
        }
        // The commit took its time: the lease may have ended meanwhile.
        if !self.crew.lease.covers(hold) {
            return Report { hash: Some(posted.hash), ..Report::untried(Advice::In(Duration::ZERO)) };
        }
        let answer = self.post(keyed, &posted).await;
        judge::mind_alphabet(&self.crew, keyed, &answer).await;
        let mut report = match judge::answered(&answer) {
            Some(reply) => judge::reply(&self.crew, delivery, keyed, reply).await,
            None => self.unknown(keyed, &posted, &answer, hold).await,
        };
        if let Ok(answer) = &answer {
            judge::describe(&mut report, answer);
        }
        report.hash = Some(posted.hash);
        report
    }

    async fn post(&self, keyed: &Keyed, posted: &Posted) -> Result<Answer, PeerError> {
        let app = &self.crew.app;
        let timeout = app.config.outbound.post_timeout.duration();
        let domain = keyed.connection.other_address.domain();
        peer::post(app, &self.crew.outbound, domain, Endpoint::MessageReceive, posted.body.clone(), timeout).await
    }

    /// No answer that says what became of it.
    async fn unknown(&self, keyed: &Keyed, posted: &Posted, answer: &Result<Answer, PeerError>, hold: &Hold) -> Report {
        let word = match answer {
            Ok(answer) => format!("http_{}", answer.status),
            Err(error) => error.word().to_owned(),
        };
        if answer.as_ref().is_err_and(PeerError::nothing_sent) {
            return Report::of(Outcome::NotSent, Advice::Later).code(word);
        }
        // While the database is away nothing could be written down either; and a guess would call it unconfirmed for good.
        match until_it_answers(|| books::forget_unasked(&self.crew.app, &posted.hash)).await {
            Ok(true) => return Report::of(Outcome::RefusedForNow, Advice::Later).code(word),
            Ok(false) if keyed.connection.other_remembers => {
                return Report::of(Outcome::Unknown, Advice::Later).code(word);
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "whether a message was asked for could not be read"),
        }
        tokio::time::sleep(BEFORE_REPEAT).await;
        self.repeat(keyed, posted, hold)
            .await
            .unwrap_or_else(|| Report::of(Outcome::Unknown, Advice::Unknown).code(word))
    }

    /// The identical request once more, if there is time; `None` when that told nothing either.
    async fn repeat(&self, keyed: &Keyed, posted: &Posted, hold: &Hold) -> Option<Report> {
        let now = self.crew.app.clock.now();
        if now + LATEST_REPEAT > posted.expires_at || !self.crew.lease.covers(hold) {
            return None;
        }
        let answer = self.post(keyed, posted).await;
        // Only a yes says something: a no may be about the repeat.
        judge::accepted(&answer).then(|| Report::of(Outcome::Delivered, Advice::Done).code("repeated"))
    }

    /// A POST of a worker before us; `None` when the message can be sent anew.
    async fn resume(&self, keyed: &Keyed, flight: &Flight, hold: &Hold) -> Option<Report> {
        match books::forget_unasked(&self.crew.app, &flight.hash).await {
            Ok(true) => return None,
            Ok(false) if keyed.connection.other_remembers => return None,
            Ok(false) => {}
            Err(error) => return Some(database_trouble(error.is_passing())),
        }
        let posted = Posted { hash: flight.hash, body: flight.body.to_vec(), expires_at: flight.expires_at };
        let report = self.repeat(keyed, &posted, hold).await;
        let unknown = || Report::of(Outcome::Unknown, Advice::Unknown).code("worker_died");
        Some(Report { hash: Some(flight.hash), ..report.unwrap_or_else(unknown) })
    }
}

/// Nothing was sent; the books will be asked again soon.
fn database_trouble(passing: bool) -> Report {
    if passing {
        Report::untried(Advice::In(Duration::from_secs(1)))
    } else {
        Report::untried(Advice::Later).code("internal")
    }
}
