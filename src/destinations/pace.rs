//! Pace and health of a destination, as pure rules: what a worker tells becomes a new state, and the state says what may go.
//!
//! *Breaker*: closed until too much fails (in a row, or as a share), then open for a while that doubles with every probe that
//! fails, then half open: one call at a time, over all processes, until one succeeds. It never stays open for good. What counts
//! as a failure is that nobody answered, or a 5xx: a refusal of one delivery says that the destination is well.
//!
//! *Congestion*: as TCP does it (RFC 5681). A new destination is given [`SLOW_START`] calls at once and one more for each success;
//! 429, 503, much failure or slow answers halve that, from where it grows by one a round.
//!
//! *Retry-After* (RFC 9110, 10.2.3) closes the destination for exactly as long as it says, and is no failure.
//!
//! *Rate*: a token bucket that holds a quarter of a second, so that a pause is not followed by a burst.

use std::time::Duration;

use jiff::Timestamp;

use crate::config;

/// Calls at once to a destination that nothing is known of.
pub const SLOW_START: f32 = 4.0;
/// How much of a second the bucket holds.
const BUCKET: f32 = 0.25;
/// How much of a second's tokens are worth asking for again: every call on its own would cost a transaction.
const WORTH_ASKING: f32 = 0.1;
/// Signs of overload that come within this time are of one round of calls, and halve once.
const ROUND: Duration = Duration::from_secs(1);
/// Fewer failures than this share of what is told are not taken for congestion.
const NOW_AND_THEN: u32 = 10;
/// Longest pause that a destination can ask for; it may ask again.
const LONGEST_PAUSE: Duration = Duration::from_secs(7 * 86_400);

/// Whether calls are made at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Breaker {
    /// All is well.
    #[default]
    Closed,
    /// Nothing goes.
    Open,
    /// One call probes.
    HalfOpen,
}

/// What an operator has set, or the node's defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Calls at once.
    pub concurrency: u32,
    /// Calls a second.
    pub rate: Option<f32>,
    /// Nothing goes until it is resumed.
    pub paused: bool,
}

/// What is known of a destination's health.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Whether calls are made at all.
    pub breaker: Breaker,
    /// Nothing goes before.
    pub closed_until: Option<Timestamp>,
    /// Why, in a word.
    pub why: Option<String>,
    /// How often in a row the breaker has opened.
    pub trips: u16,
    /// Failures in a row.
    pub failures: u32,
    /// Successes since `counted_since`.
    pub counted_ok: u32,
    /// Failures since `counted_since`.
    pub counted_failed: u32,
    /// Since when calls are counted for the share of failures.
    pub counted_since: Option<Timestamp>,
    /// Calls at once that it seems to bear; none: as many as are set.
    pub congestion: Option<f32>,
    /// Up to here congestion grows by one a success.
    pub threshold: Option<f32>,
    /// When congestion was last halved.
    pub slowed_at: Option<Timestamp>,
    /// Calls that may be made of its rate, at `tokens_at`.
    pub tokens: Option<f32>,
    /// When `tokens` was true.
    pub tokens_at: Option<Timestamp>,
}

/// What a worker has seen of a destination since its last word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Calls that it answered, whatever it answered to the delivery.
    pub ok: u32,
    /// Calls that failed: network, time-out, 5xx.
    pub failed: u32,
    /// Of them, those after the last success.
    pub trailing: u32,
    /// Calls answered by 429 or 503.
    pub overloaded: u32,
    /// Of the successes, those that took too long.
    pub slow: u32,
    /// The longest pause that it asked for.
    pub retry_after: Option<Duration>,
}

impl Told {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether something was not as it should be.
    pub fn is_bad(&self) -> bool {
        self.failed > 0 || self.overloaded > 0 || self.slow > 0
    }

    /// This, and what came after it.
    pub fn and_then(self, later: Self) -> Self {
        Self {
            ok: self.ok.saturating_add(later.ok),
            failed: self.failed.saturating_add(later.failed),
            trailing: if later.ok > 0 { later.trailing } else { self.trailing.saturating_add(later.trailing) },
            overloaded: self.overloaded.saturating_add(later.overloaded),
            slow: self.slow.saturating_add(later.slow),
            retry_after: self.retry_after.max(later.retry_after),
        }
    }
}

/// What the breaker did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It opened.
    Opened,
    /// It closed.
    Closed,
}

impl State {
    /// Of a destination that nothing is known of.
    pub fn new() -> Self {
        Self { congestion: Some(SLOW_START), ..Self::default() }
    }

    /// What time alone changes: an open breaker is due for a probe, a pause is over.
    pub fn at(mut self, now: Timestamp) -> Self {
        if self.closed_until.is_some_and(|until| until <= now) {
            self.closed_until = None;
            if self.breaker == Breaker::Open {
                self.breaker = Breaker::HalfOpen;
            } else if self.breaker == Breaker::Closed {
                self.why = None;
            }
        }
        self
    }

    /// What follows from what a worker tells. `self` is as of `now` (see [`Self::at`]).
    pub fn hear(
        mut self,
        told: &Told,
        set: &Settings,
        rules: &config::Destinations,
        now: Timestamp,
    ) -> (Self, Option<Turn>) {
        if told.is_empty() {
            return (self, None);
        }
        // Where it cannot be called any slower, to refuse is to fail.
        let failing = told.retry_after.is_none()
            && (self.breaker == Breaker::HalfOpen || self.congestion.is_some_and(|bears| bears <= 1.0));
        let overloaded = if failing { told.overloaded } else { 0 };
        self.follow_congestion(told, set, now);
        if let Some(pause) = told.retry_after {
            self.closed_until = self.closed_until.max(Some(after(now, pause.min(LONGEST_PAUSE))));
            if self.breaker == Breaker::Closed {
                self.why = Some("retry-after".into());
            }
        }
        let turn = match self.breaker {
            // Calls of before it opened; they are not news.
            Breaker::Open => None,
            Breaker::HalfOpen if told.trailing + overloaded > 0 => Some(self.open(rules, now)),
            Breaker::HalfOpen if told.ok > 0 => Some(self.close(told)),
            Breaker::HalfOpen => None,
            Breaker::Closed => self.count(told, overloaded, rules, now).then(|| self.open(rules, now)),
        };
        (self, turn)
    }

    /// Calls at once that it may be made now, over all workers.
    pub fn limit(&self, set: &Settings, now: Timestamp) -> u32 {
        let closed = set.paused || self.breaker == Breaker::Open || self.closed_until.is_some_and(|until| until > now);
        match self.breaker {
            _ if closed => 0,
            Breaker::HalfOpen => 1,
            _ => self.congestion.map_or(set.concurrency, |bears| (bears as u32).clamp(1, set.concurrency)),
        }
    }

    /// Whether it is something other than well, so that successes are news too.
    pub fn is_ailing(&self) -> bool {
        self.breaker != Breaker::Closed || self.failures > 0 || self.counted_failed > 0 || self.slowed_at.is_some()
    }

    /// Takes up to `wanted` tokens of its rate, of which `wanting` workers want some; says how many, and when to ask again for
    /// the rest. None: there is no rate.
    pub fn take_tokens(
        &mut self,
        wanted: u32,
        wanting: u32,
        set: &Settings,
        now: Timestamp,
    ) -> Option<(u32, Option<Timestamp>)> {
        let rate = set.rate?;
        let size = (rate * BUCKET).max(1.0);
        let since = self.tokens_at.map_or(f32::INFINITY, |at| now.duration_since(at).as_secs_f32().max(0.0));
        let there = (self.tokens.unwrap_or(size) + rate * since).min(size);
        let given = wanted.min((there / wanting.max(1) as f32).ceil() as u32).min(there as u32);
        let left = there - given as f32;
        (self.tokens, self.tokens_at) = (Some(left), Some(now));
        let missing = wanted - given;
        let again = (missing > 0).then(|| {
            let worth = (missing as f32).min((rate * WORTH_ASKING).floor()).max(1.0);
            // A little late rather than a little early, which would be in vain.
            after(now, Duration::from_secs_f32(((worth - left).max(0.0) / rate + 0.001).min(3600.0)))
        });
        Some((given, again))
    }

    fn follow_congestion(&mut self, told: &Told, set: &Settings, now: Timestamp) {
        let most = set.concurrency as f32;
        let mut bears = self.congestion.unwrap_or(most).min(most);
        let good = told.ok - told.slow.min(told.ok);
        for _ in 0..good.min(set.concurrency.saturating_mul(set.concurrency)) {
            if bears >= most {
                break;
            }
            bears += if self.threshold.is_none_or(|threshold| bears < threshold) { 1.0 } else { 1.0 / bears };
        }
        let calls = told.ok.saturating_add(told.failed);
        let (refused, slow) = (told.overloaded > 0, told.slow * 2 > told.ok);
        let failing = told.failed > 0 && told.failed.saturating_mul(NOW_AND_THEN) >= calls;
        let same_round = self.slowed_at.is_some_and(|at| now < after(at, ROUND));
        if (refused || slow || failing) && !same_round {
            // Some are slow by nature: slowness alone brings nobody below where all began.
            let least = if refused || failing { 1.0 } else { SLOW_START.min(bears) };
            bears = (bears / 2.0).max(least);
            (self.threshold, self.slowed_at) = (Some(bears), Some(now));
        }
        self.congestion = (bears < most).then_some(bears);
        if self.congestion.is_none() {
            (self.threshold, self.slowed_at) = (None, None);
        }
    }

    /// Counts; true when it is too much.
    fn count(&mut self, told: &Told, overloaded: u32, rules: &config::Destinations, now: Timestamp) -> bool {
        let within = rules.failures_within.duration();
        if self.counted_since.is_none_or(|since| now >= after(since, within)) {
            (self.counted_ok, self.counted_failed, self.counted_since) = (0, 0, Some(now));
        }
        let failed = told.failed.saturating_add(overloaded);
        self.counted_ok = self.counted_ok.saturating_add(told.ok);
        self.counted_failed = self.counted_failed.saturating_add(failed);
        let before = if told.ok > 0 { 0 } else { self.failures };
        self.failures = before.saturating_add(told.trailing).saturating_add(overloaded);
        let counted = self.counted_ok.saturating_add(self.counted_failed);
        let share = f64::from(self.counted_failed) >= rules.failures_share * f64::from(counted);
        self.failures >= rules.failures_in_a_row || (failed > 0 && share && counted >= rules.failures_least)
    }

    fn open(&mut self, rules: &config::Destinations, now: Timestamp) -> Turn {
        let doublings = u32::from(self.trips).min(20);
        self.trips = self.trips.saturating_add(1);
        let wait = rules.open_for.duration().saturating_mul(1 << doublings).min(rules.open_at_most.duration());
        self.breaker = Breaker::Open;
        self.closed_until = self.closed_until.max(Some(after(now, wait)));
        self.why = Some("failing".into());
        (self.failures, self.counted_ok, self.counted_failed, self.counted_since) = (0, 0, 0, None);
        Turn::Opened
    }

    fn close(&mut self, told: &Told) -> Turn {
        *self = Self {
            closed_until: told.retry_after.and(self.closed_until),
            why: told.retry_after.map(|_| "retry-after".into()),
            tokens: self.tokens,
            tokens_at: self.tokens_at,
            ..Self::new()
        };
        Turn::Closed
    }
}

/// A worker's part of a destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    /// Calls at once that it may make.
    pub slots: u32,
    /// Calls at once that it could make.
    pub wanted: u32,
}

/// What a worker is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Calls at once that it may make from now on.
    pub slots: u32,
    /// What counts as its: more than `slots` while calls that it has begun are still running.
    pub counted: u32,
    /// Somebody has less than a fair share while another one has more: those who have more give back.
    pub contended: bool,
}

/// Gives a worker what it wants of `limit`, at most what the `others` leave, and when one of them lacks, no more than is fair.
/// `mine.slots` is what it may use until it has the answer, and never more than what counted as its before. The sum of what is
/// counted is never brought above `limit`; after a limit was lowered it only falls.
pub fn grant(limit: u32, mine: Part, others: &[Part]) -> Grant {
    if limit == 0 {
        return Grant { slots: 0, counted: mine.slots, contended: false };
    }
    let taken = others.iter().fold(0u32, |sum, other| sum.saturating_add(other.slots));
    let free = limit.saturating_sub(taken);
    let all = || others.iter().chain([&mine]).map(|part| part.wanted);
    let lacks = |part: &Part| part.slots < fair(limit, part.wanted, all()).max(u32::from(part.wanted > 0));
    let others_lack = others.iter().any(lacks);
    let mut slots = mine.wanted.min(free);
    if others_lack {
        // Where there are more workers than slots, whoever has one gives it up for a while, and whoever has none may take it.
        slots = slots.min(fair(limit, mine.wanted, all()).max(u32::from(mine.slots == 0)));
    }
    let contended = others_lack || lacks(&Part { slots, ..mine });
    Grant { slots, counted: slots.max(mine.slots), contended }
}

/// Of `limit`, what one who wishes `mine` gets when nobody who wishes more than another gets less, and nothing is left over
/// that somebody wishes. `all` are the wishes of all, this one included.
fn fair(limit: u32, mine: u32, all: impl Iterator<Item = u32>) -> u32 {
    let mut wishes: Vec<u32> = all.filter(|wish| *wish > 0).collect();
    wishes.sort_unstable();
    let (mut left, mut people) = (limit, wishes.len() as u32);
    for wish in wishes {
        let each = left / people.max(1);
        if wish > each {
            return mine.min(each);
        }
        left -= wish;
        people -= 1;
    }
    mine
}

fn after(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
