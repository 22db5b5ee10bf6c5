//! What this worker did, in numbers: for its metrics, and for the node's.

use std::time::Duration;

use crate::books::{ChannelName, Outcome, Settled};
use crate::overview::activity::{self, Deed};
use crate::retry::Next;
use crate::telemetry::families::{ATTEMPT_TIMES, ATTEMPTS, LATE, RETRIES, SETTLED};

/// A try ended.
pub(super) fn attempt(channel: Option<ChannelName>, outcome: Outcome, took: Duration) {
    let channel = channel.map_or("other", ChannelName::name);
    ATTEMPTS.one([channel, outcome.name()]);
    ATTEMPT_TIMES.took([channel], took);
}

/// So many were past their life before anybody tried them again.
pub(crate) fn expired(deliveries: usize) {
    SETTLED.add(["expired"], deliveries);
    activity::count(Deed::Failed, deliveries);
}

/// The books took these results; `held`: as those of the worker that has the claim.
pub(super) fn settled(results: &[Settled], held: bool) {
    let tried = results.iter().filter(|result| result.attempt.is_some()).count();
    activity::count(Deed::Attempt, tried);
    if !held {
        return LATE.one([]);
    }
    let (mut delivered, mut failed) = (0, 0);
    for result in results {
        let next = match &result.next {
            Next::Delivered => "delivered",
            Next::Withdrawn => "cancelled",
            Next::Fail(_) => "failed",
            Next::Expire => "expired",
            Next::Unconfirmed => "unconfirmed",
            Next::Again(_) => "again",
            Next::Held => "waits",
        };
        SETTLED.one([next]);
        delivered += usize::from(next == "delivered");
        failed += usize::from(["failed", "expired", "unconfirmed"].contains(&next));
        if next == "again" && result.attempt.is_some() {
            RETRIES.one([]);
        }
    }
    activity::count(Deed::Delivered, delivered);
    activity::count(Deed::Failed, failed);
}
