//! One delivery of a claim: wait for a slot, try, judge.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;

use super::Report;
use super::counted;
use super::lease::Hold;
use super::run::Worker;
use crate::books::{Attempt, ChannelName, ClaimedDelivery, Outcome, Settled};
use crate::keyring;
use crate::retry::{Ladder, Next};
use crate::telemetry::traces::{self, Span, Step};

/// How a delivery of a claim ended here.
pub(super) enum Ran {
    /// To be settled.
    Settled(Box<Settled>),
    /// Cancelled: its row says so already.
    Gone,
    /// Not run: the lease is past, the process stops, or it lacks a node key. Another worker's.
    Left,
    /// Not run: its destination takes nothing now. It waits in its chunk.
    Shut,
}

impl Worker {
    /// Runs a delivery when it has a slot, and says what became of it.
    pub(super) async fn run_one(&self, delivery: ClaimedDelivery, mixed: bool, hold: Hold) -> Ran {
        let app = &self.crew.app;
        if delivery.expires_at <= app.clock.now() {
            return settled(&delivery, 0, None, Next::Expire, Some("expired".into()));
        }
        if let Some(number) = delivery.lacks
            && self.lacks(number).await
        {
            return Ran::Left;
        }
        let place = self.gate.hold(&delivery.destination);
        let slot = tokio::select! {
            slot = place.slot() => slot,
            () = self.stop.cancelled() => return Ran::Left,
        };
        let slot = slot.ok().filter(|_| !self.cancelled.is_paused(&delivery));
        let Some(slot) = slot else {
            // Of a chunk the rest waits together, everything else by its own row.
            return if mixed { settled(&delivery, 0, None, Next::Held, delivery.reason.clone()) } else { Ran::Shut };
        };
        if !self.crew.lease.covers(&hold) {
            return Ran::Left;
        }
        if self.cancelled.contains(&delivery) {
            // Its line waits to hear that it is not on its way.
            let withdrawn = || settled(&delivery, 0, None, Next::Withdrawn, Some("cancelled".into()));
            return if delivery.ordered { withdrawn() } else { Ran::Gone };
        }
        if self.cancelled.covers(&delivery) {
            return settled(&delivery, 0, None, Next::Withdrawn, Some("cancelled".into()));
        }
        let at = app.clock.now();
        if delivery.content.is_none() {
            tracing::error!(delivery = %delivery.id, "a message cannot be opened: is the node key the right one?");
            return settled(&delivery, 0, None, Next::Fail("unreadable"), Some("unreadable".into()));
        }
        let Some(channel) = delivery.channel.and_then(|name| self.channels.get(&name)) else {
            return settled(&delivery, 0, None, Next::Fail("no-such-channel"), Some("no-such-channel".into()));
        };
        let span = traces::step("attempt", Step::Call, delivery.trace);
        let trying = AssertUnwindSafe(span.around(channel.deliver(&delivery, &hold))).catch_unwind().await;
        let report = trying.unwrap_or_else(|_| {
            tracing::error!(delivery = %delivery.id, "a delivery panicked");
            Report::of(Outcome::Unknown, crate::retry::Advice::Later).code("internal")
        });
        trace(&span, &delivery, &report);
        drop(span);
        slot.finish(report.sign(), Duration::try_from(app.clock.now().duration_since(at)).unwrap_or_default());
        if report.outcome.is_none()
            && let Some(number) = app.keys.missed()
            && self.lacks(number).await
        {
            // What it was not tried for may be that a secret did not open.
            return Ran::Left;
        }
        self.judge(&delivery, report, at)
    }

    /// Whether there is such a node key, and only this process lacks it: what it sealed must not end here.
    async fn lacks(&self, number: u16) -> bool {
        let crew = &self.crew;
        match keyring::is_known(&crew.app, number).await {
            Ok(true) => crew.pass.lack(number),
            // Damage, or made up.
            Ok(false) => {
                crew.app.keys.never_was(number);
                return false;
            }
            Err(error) => tracing::debug!(%error, number, "whether there is a node key could not be read"),
        }
        true
    }

    /// The waits of a channel.
    fn ladder(&self, channel: Option<ChannelName>) -> &Ladder {
        match channel {
            Some(ChannelName::Webhook | ChannelName::Relay) => &self.webhook_ladder,
            Some(ChannelName::Sms | ChannelName::Voice | ChannelName::Email | ChannelName::Notice) => &self.code_ladder,
            Some(ChannelName::Push) => &self.push_ladder,
            _ => &self.ladder,
        }
    }

    fn judge(&self, delivery: &ClaimedDelivery, report: Report, at: jiff::Timestamp) -> Ran {
        let now = self.crew.app.clock.now();
        let made = u16::from(report.outcome.is_some());
        let left = Duration::try_from(delivery.expires_at.duration_since(now)).unwrap_or_default();
        let random = f64::from(crate::crypto::random_below(1 << 20)) / f64::from(1 << 20);
        let own = self.gate.schedule_of(&delivery.destination);
        let tries = u32::from(delivery.tries + made);
        let next = self.ladder(delivery.channel).next(&report.advice, own.as_deref(), tries, left, random);
        let reason = match &next {
            Next::Delivered | Next::Withdrawn => None,
            Next::Fail(why) => Some((*why).to_owned()),
            Next::Expire => Some("expired".to_owned()),
            Next::Again(_) | Next::Unconfirmed | Next::Held => {
                report.note.map(str::to_owned).or_else(|| report.code.clone())
            }
        };
        if let Some(outcome) = report.outcome {
            counted::attempt(delivery.channel, outcome, Duration::try_from(now.duration_since(at)).unwrap_or_default());
        }
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

/// No code and no answer: they may be the peer's words.
fn trace(span: &Span, delivery: &ClaimedDelivery, report: &Report) {
    span.note("handfast.delivery", delivery.id.to_string());
    span.note("handfast.channel", delivery.channel.map_or("other", ChannelName::name));
    span.note("handfast.try", i64::from(delivery.tries) + 1);
    span.note("handfast.outcome", report.outcome.map_or("untried", Outcome::name));
    if let Some(status) = report.status {
        span.note("http.response.status_code", i64::from(status));
    }
    if let Some(outcome) = report.outcome.filter(|outcome| *outcome != Outcome::Delivered) {
        span.failed(outcome.name());
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
        ordered: delivery.ordered,
    }))
}
