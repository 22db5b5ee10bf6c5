//! The loop that knows no job: take → claim → run → settle → ack.
//!
//! What is done with a delivery is a [`Channel`]'s business (`workers/deliver_….rs`), with an ask or a handshake that of its
//! worker; this file knows only how work is held. It promises: nothing is run without a claim under a live lease; a result is
//! settled at most [`settle_every`](crate::config::Delivery) after it is known; a broker message is acknowledged when the books
//! say who holds what it names; a destination that takes nothing now gives everything back to Postgres, and takes no slot; a panic in a channel is an
//! attempt that failed. It leaves out when something is due (`workers/schedule.rs`) and who is dead (`workers/sweep.rs`).

mod attempt;
mod cancelled;
mod counted;
pub mod gate;
mod in_hand;
mod intake;
mod lease;
mod run;
mod shared;
mod statements;

pub(crate) use counted::expired;
pub use gate::Sign;
pub use lease::{Hold, Lease};
pub use run::start;
pub use shared::Shared;
pub(crate) use statements::until_it_answers;

use futures_util::future::BoxFuture;

use crate::App;
use crate::books::{ClaimedDelivery, Outcome};
use crate::keyring::Pass;
use crate::outbound::Outbound;
use crate::queue::{Publisher, Replier};
use crate::retry::Advice;

/// What workers are given. Cheap to clone.
#[derive(Clone)]
pub struct Crew {
    /// Look-ups and writes that concurrent workers share.
    pub shared: Shared,
    /// Settings, time, database, keys.
    pub app: App,
    /// The guarded client.
    pub outbound: Outbound,
    /// Calls federated nodes.
    pub peers: crate::federation::Peers,
    /// Calls applications' own back ends.
    pub backends: crate::workers::call_backend::Backends,
    /// Places for confirm callbacks.
    pub callbacks: crate::workers::peer::Callbacks,
    /// Calls the Homing Space hub.
    pub hub: crate::workers::call_hub::Hub,
    /// Publishes jobs.
    pub publisher: Publisher,
    /// Answers asks.
    pub replier: Replier,
    /// This process's life, as the others see it.
    pub lease: Lease,
    /// Whether it holds every node key.
    pub pass: Pass,
}

/// One way to deliver. Adding a channel is one file with this, and one line in the list of workers.
pub trait Channel: Send + Sync {
    /// Tries once. It must come to an end by itself, and may be called for many deliveries at a time.
    fn deliver<'a>(&'a self, delivery: &'a ClaimedDelivery, hold: &'a Hold) -> BoxFuture<'a, Report>;
}

/// What a channel learnt from one try.
#[derive(Debug, Clone)]
pub struct Report {
    /// What it advises.
    pub advice: Advice,
    /// How the try ended; `None` when none was made.
    pub outcome: Option<Outcome>,
    /// HTTP status.
    pub status: Option<u16>,
    /// Response code or error class.
    pub code: Option<String>,
    /// First bytes of an answer that was not a success.
    pub answer: Option<Vec<u8>>,
    /// The outbox row that goes with it.
    pub hash: Option<[u8; 32]>,
    /// What it says of its destination, where that does not follow from the outcome.
    pub sign: Option<Sign>,
    /// Noted on the delivery instead of `code`, for its next try to read.
    pub note: Option<&'static str>,
}

impl Report {
    /// A try that ended like this.
    pub fn of(outcome: Outcome, advice: Advice) -> Self {
        Self {
            advice,
            outcome: Some(outcome),
            status: None,
            code: None,
            answer: None,
            hash: None,
            sign: None,
            note: None,
        }
    }

    /// No try was made.
    pub fn untried(advice: Advice) -> Self {
        Self { advice, outcome: None, status: None, code: None, answer: None, hash: None, sign: None, note: None }
    }

    /// What it says of its destination.
    pub fn sign(&self) -> Sign {
        self.sign.unwrap_or(match self.outcome {
            // Whoever answers is well, whatever the answer.
            Some(Outcome::Delivered | Outcome::RefusedForGood | Outcome::RefusedForNow) => Sign::Good,
            Some(Outcome::NotSent | Outcome::Unknown) => Sign::Failed,
            None => Sign::NotTried,
        })
    }

    /// With a response code or error class.
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }
}
