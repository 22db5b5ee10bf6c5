//! When rows are due: one after the other at the campaign's rate.
//!
//! Rows that are due within the same tenth of a second are due together, so that a slow campaign is smooth and a fast one still
//! fills its chunks.

use std::time::Duration;

use jiff::Timestamp;

/// What is due within this time is due together, in milliseconds.
const TOGETHER: i64 = 100;

/// Gives out due times, one after the other.
pub(super) struct Pace {
    /// Deliveries a second.
    rate: f64,
    start: Timestamp,
    given: u64,
}

impl Pace {
    /// From `next` on, or from now where that has passed.
    pub(super) fn new(rate: f64, next: Option<Timestamp>, now: Timestamp) -> Self {
        Self { rate, start: next.unwrap_or(now).max(now), given: 0 }
    }

    /// When the next row is due.
    pub(super) fn next(&mut self) -> Timestamp {
        let exact = self.reached();
        self.given += 1;
        let together = exact.as_millisecond().div_euclid(TOGETHER) * TOGETHER;
        Timestamp::from_millisecond(together).unwrap_or(exact)
    }

    /// When the row after the last one is due, exactly.
    pub(super) fn reached(&self) -> Timestamp {
        after(self.start, self.given, self.rate)
    }
}

/// When so many are through, at this rate.
pub(super) fn after(start: Timestamp, n: u64, rate: f64) -> Timestamp {
    let time = Duration::try_from_secs_f64(n as f64 / rate).unwrap_or(Duration::MAX);
    start.saturating_add(time).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    /// How many are due at each time.
    fn ledger(pace: &mut Pace, n: usize) -> BTreeMap<Timestamp, u64> {
        let mut ledger = BTreeMap::new();
        (0..n).for_each(|_| *ledger.entry(pace.next()).or_default() += 1);
        ledger
    }

    #[test]
    fn a_slow_campaign_is_smooth_and_a_fast_one_full() {
        let slow = ledger(&mut Pace::new(50.0, None, at(1_000)), 500);
        assert!(slow.len() == 100 && slow.values().all(|n| *n == 5), "{slow:?}");
        let fast = ledger(&mut Pace::new(10_000.0, None, at(1_000)), 5_000);
        assert!(fast.len() == 5 && fast.values().all(|n| *n == 1_000), "{fast:?}");
        let crawl = ledger(&mut Pace::new(0.5, None, at(1_000)), 3);
        assert_eq!(crawl.into_keys().collect::<Vec<_>>(), [at(1_000), at(3_000), at(5_000)]);
    }

    #[test]
    fn it_goes_on_where_it_was_and_never_in_the_past() {
        assert_eq!(Pace::new(1.0, Some(at(9_000)), at(1_000)).next(), at(9_000));
        assert_eq!(Pace::new(1.0, Some(at(500)), at(1_000)).next(), at(1_000));
    }

    proptest! {
        #[test]
        fn groups_do_not_change_the_pace(rate in 0.1f64..20_000.0, sizes in proptest::collection::vec(1usize..600, 1..8)) {
            let whole = ledger(&mut Pace::new(rate, None, at(0)), sizes.iter().sum());
            let mut parts = BTreeMap::new();
            let mut next = None;
            for size in sizes {
                let mut pace = Pace::new(rate, next, at(0));
                for (due, n) in ledger(&mut pace, size) {
                    *parts.entry(due).or_insert(0u64) += n;
                }
                next = Some(pace.reached());
            }
            // Nanoseconds are rounded at the seams: by one delivery, a tenth of a second at the most.
            let run = |ledger: &BTreeMap<Timestamp, u64>, until: Timestamp| ledger.range(..=until).map(|(_, n)| n).sum::<u64>();
            for due in whole.keys() {
                prop_assert!(run(&whole, *due).abs_diff(run(&parts, *due)) <= 1);
            }
        }
    }
}
