//! When again, or give up: pure, so that every rule stands in a table of tests.
//!
//! The only file that names `backoff`. Its own randomisation is 0; jitter comes from the caller, so that tests can drive it.

use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// The waits between the attempts of a delivery.
#[derive(Debug, Clone)]
pub struct Ladder {
    waits: Vec<Duration>,
    jitter: f64,
}

/// What a worker learnt from one attempt; what follows is [`Ladder::next`]'s to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// It is where it should be.
    Done,
    /// Worth another try, by the ladder.
    Later,
    /// Worth another try after exactly this long (a new stamp, a new nonce, the older keys).
    In(Duration),
    /// Worth another try, not before this long.
    NotBefore(Duration),
    /// Never again; a word why.
    Never(&'static str),
    /// It may have arrived; trying again could double it.
    Unknown,
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Settled: delivered.
    Delivered,
    /// Due again after this long.
    Again(Duration),
    /// Its life ends before it could be tried again.
    Expire,
    /// Settled: refused for good.
    Fail(&'static str),
    /// Settled as far as we can know.
    Unconfirmed,
    /// Not tried: waits until its destination has room.
    Held,
    /// Settled: a cancel that is under way covers it.
    Withdrawn,
}

impl Ladder {
    /// `waits` must not be empty; the last one repeats. `jitter` is the random share of a wait, 0 to 1.
    pub fn new(waits: Vec<Duration>, jitter: f64) -> Self {
        Self { waits, jitter }
    }

    /// After `attempts` attempts (this one included), with `left` of the delivery's life, and `random` in 0..1. `own` goes before
    /// these waits: the destination's.
    pub fn next(&self, advice: &Advice, own: Option<&[Duration]>, attempts: u32, left: Duration, random: f64) -> Next {
        let waits = own.filter(|own| !own.is_empty()).unwrap_or(&self.waits);
        let wait = match advice {
            Advice::Done => return Next::Delivered,
            Advice::Never(why) => return Next::Fail(why),
            Advice::Unknown => return Next::Unconfirmed,
            Advice::In(wait) => *wait,
            Advice::Later => self.wait(waits, attempts, random),
            Advice::NotBefore(least) => self.wait(waits, attempts, random).max(*least),
        };
        if wait >= left { Next::Expire } else { Next::Again(wait) }
    }

    /// Jitter shortens or lengthens: a wait of 60 s with jitter 0.2 is 48 to 72 s.
    fn wait(&self, waits: &[Duration], attempts: u32, random: f64) -> Duration {
        let step = (attempts.max(1) as usize - 1).min(waits.len().saturating_sub(1));
        let wait = waits.get(step).copied().unwrap_or(Duration::from_secs(60));
        wait.mul_f64(1.0 + self.jitter * (2.0 * random - 1.0))
    }
}

/// Paces the outer loops that never give up (broker, database, listener): 0.2 s, doubling, at most 5 s.
pub struct Reconnect(ExponentialBackoff);

impl Default for Reconnect {
    fn default() -> Self {
        let pace = ExponentialBackoffBuilder::new()
            .with_initial_interval(Duration::from_millis(200))
            .with_multiplier(2.0)
            .with_max_interval(Duration::from_secs(5))
            .with_randomization_factor(0.0)
            .with_max_elapsed_time(None)
            .build();
        Self(pace)
    }
}

impl Reconnect {
    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(self.0.max_interval)
    }

    /// It worked: start from the shortest wait again.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn ladder() -> Ladder {
        Ladder::new([60, 300, 1800].map(Duration::from_secs).to_vec(), 0.2)
    }

    #[test]
    fn what_follows_an_attempt() {
        let seconds = Duration::from_secs;
        let table = [
            (Advice::Done, 1, DAY, 0.5, Next::Delivered),
            (Advice::Later, 1, DAY, 0.5, Next::Again(seconds(60))),
            (Advice::Later, 2, DAY, 0.5, Next::Again(seconds(300))),
            (Advice::Later, 3, DAY, 0.5, Next::Again(seconds(1800))),
            (Advice::Later, 99, DAY, 0.5, Next::Again(seconds(1800))),
            (Advice::Later, 1, DAY, 0.0, Next::Again(seconds(48))),
            (Advice::Later, 1, seconds(60), 0.5, Next::Expire),
            (Advice::In(seconds(2)), 1, DAY, 0.5, Next::Again(seconds(2))),
            (Advice::In(Duration::ZERO), 1, DAY, 0.5, Next::Again(Duration::ZERO)),
            (Advice::In(Duration::ZERO), 1, Duration::ZERO, 0.5, Next::Expire),
            (Advice::NotBefore(seconds(90)), 1, DAY, 0.5, Next::Again(seconds(90))),
            (Advice::NotBefore(seconds(10)), 1, DAY, 0.5, Next::Again(seconds(60))),
            (Advice::Never("rejected"), 1, DAY, 0.5, Next::Fail("rejected")),
            (Advice::Unknown, 1, DAY, 0.5, Next::Unconfirmed),
        ];
        for (advice, attempts, left, random, next) in table {
            assert_eq!(ladder().next(&advice, None, attempts, left, random), next, "{advice:?} after {attempts}");
        }
    }

    #[test]
    fn reconnecting_slows_down_and_starts_over() {
        let mut pace = Reconnect::default();
        let waits: Vec<u128> = (0..7).map(|_| pace.next_wait().as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 5000, 5000]);
        pace.reset();
        assert_eq!(pace.next_wait().as_millis(), 200);
    }
}
