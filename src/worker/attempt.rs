//! One delivery of a claim: wait for a slot, try, judge.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;

use super::Report;
use super::lease::Hold;
use super::load::LATER;
use super::run::Worker;
use crate::books::{Attempt, ClaimedDelivery, Outcome, Settled};
use crate::retry::Next;

/// How a delivery of a claim ended here.
pub(super) enum Ran {
    /// To be settled.
    Settled(Box<Settled>),
    /// Cancelled: its row says so already.
    Gone,
    /// Not run: the lease is past, or the process stops. Another worker's.
    Left,
}

impl Worker {
    /// Runs a delivery when it has a slot, and says what became of it.
    pub(super) async fn run_one(&self, delivery: ClaimedDelivery, mixed: bool, hold: Hold) -> Ran {
        if mixed && self.load.is_full(&delivery.destination) {
            return settled(&delivery, 0, None, Next::Again(LATER), None);
        }
        let place = self.load.hold(&delivery.destination);
        let slot = tokio::select! {
            slot = place.slot() => slot,
            () = self.stop.cancelled() => None,
        };
        if slot.is_none() || !self.crew.lease.covers(&hold) {
            return Ran::Left;
        }
        if self.cancelled.contains(delivery.id) {
            return Ran::Gone;
        }
        let app = &self.crew.app;
        let at = app.clock.now();
        if delivery.expires_at <= at {
            return settled(&delivery, 0, None, Next::Expire, Some("expired".into()));
        }
        if delivery.text.is_none() {
            tracing::error!(message = %delivery.message_id, "a message cannot be opened: is the node key the right one?");
            return settled(&delivery, 0, None, Next::Fail("unreadable"), Some("unreadable".into()));
        }
        let Some(channel) = delivery.channel.and_then(|name| self.channels.get(&name)) else {
            return settled(&delivery, 0, None, Next::Fail("no-such-channel"), Some("no-such-channel".into()));
        };
        let trying = AssertUnwindSafe(channel.deliver(&delivery, &hold)).catch_unwind().await;
        let report = trying.unwrap_or_else(|_| {
            tracing::error!(delivery = %delivery.id, "a delivery panicked");
            Report::of(Outcome::Unknown, crate::retry::Advice::Later).code("internal")
        });
        self.judge(&delivery, report, at)
    }

    fn judge(&self, delivery: &ClaimedDelivery, report: Report, at: jiff::Timestamp) -> Ran {
        let now = self.crew.app.clock.now();
        let made = u16::from(report.outcome.is_some());
        let left = Duration::try_from(delivery.expires_at.duration_since(now)).unwrap_or_default();
        let random = f64::from(crate::crypto::random_below(1 << 20)) / f64::from(1 << 20);
        let next = self.ladder.next(&report.advice, u32::from(delivery.tries + made), left, random);
        let reason = match &next {
            Next::Delivered => None,
            Next::Fail(why) => Some((*why).to_owned()),
            Next::Expire => Some("expired".to_owned()),
            Next::Again(_) | Next::Unconfirmed => report.note.map(str::to_owned).or_else(|| report.code.clone()),
        };
        let attempt = report.outcome.map(|outcome| Attempt {
            at,
            ms: i32::try_from(now.duration_since(at).as_millis()).unwrap_or(i32::MAX),
            outcome,
            status: report.status,
            code: report.code.clone(),
            answer: report.answer.clone(),
        });
        let ran = settled(delivery, made, attempt, next, reason);
        if let Ran::Settled(mut settled) = ran {
            settled.hash = report.hash;
            return Ran::Settled(settled);
        }
        ran
    }
}

fn settled(delivery: &ClaimedDelivery, made: u16, attempt: Option<Attempt>, next: Next, reason: Option<String>) -> Ran {
    Ran::Settled(Box::new(Settled {
        id: delivery.id,
        lane: delivery.lane,
        destination: delivery.destination.clone(),
        tries: delivery.tries + made,
        attempt,
        next,
        reason,
        hash: None,
    }))
}
