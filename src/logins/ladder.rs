//! How an address stands: when it was written to, and how often somebody was wrong. Pure: what time it is, is said.
//!
//! | rule | of |
//! |---|---|
//! | waits between messages, 1, 2, 5 and 10 minutes; 5 in an hour, 10 in a day | what rings |
//! | 20 wrong codes within a day: no code is taken for a day | who guesses |
//! | 100 wrong codes in a row, over any time: none, until an operator unlocks it (NIST SP 800-63B, 5.2.2) | who has patience |
//!
//! (The numbers are the settings' defaults.) A try is counted before it is known to be wrong, and taken back if it was right.
//! A row of wrong codes that is not locked is forgotten when nobody used the address for 90 days.

use std::time::Duration;

use jiff::Timestamp;

use crate::config::{Mesibo, Period};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// The settings that hold.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Waits between messages within an hour.
    pub spacing: &'a [Period],
    /// Messages within an hour.
    pub sends_per_hour: usize,
    /// Messages within a day.
    pub sends_per_day: usize,
    /// Wrong codes within a day.
    pub failures_per_day: usize,
    /// Wrong codes in a row.
    pub failures_in_a_row: i32,
}

/// How an address stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// When messages went, the oldest first.
    pub sent: Vec<Timestamp>,
    /// When codes were wrong, the oldest first.
    pub failed: Vec<Timestamp>,
    /// Wrong codes since the last right one.
    pub in_a_row: i32,
    /// No code is taken until then.
    pub blocked_until: Option<Timestamp>,
    /// No code is taken until an operator says so; since when.
    pub locked_at: Option<Timestamp>,
}

/// Whether a message may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaySend {
    /// Yes.
    Now,
    /// It is too early for the next one.
    Early {
        /// How long.
        wait: Duration,
    },
    /// There were too many within the hour or the day.
    Over {
        /// Until there may be one.
        wait: Duration,
    },
}

impl<'a> From<&'a Mesibo> for Rules<'a> {
    fn from(settings: &'a Mesibo) -> Self {
        Self {
            spacing: &settings.spacing,
            sends_per_hour: settings.sends_per_hour as usize,
            sends_per_day: settings.sends_per_day as usize,
            failures_per_day: settings.failures_per_day as usize,
            failures_in_a_row: settings.failures_in_a_row.cast_signed(),
        }
    }
}

impl Standing {
    /// For how long no code is taken, and none sent, because too many were wrong. Who must wait for an operator is told a day.
    pub fn barred(&self, now: Timestamp) -> Option<Duration> {
        let blocked = self.blocked_until.map(|until| left(now, until)).filter(|left| !left.is_zero());
        self.locked_at.map_or(blocked, |_| Some(DAY))
    }

    /// Whether a message may go now.
    pub fn may_send(&self, now: Timestamp, rules: &Rules<'_>) -> MaySend {
        let over = |within: Duration, most: usize| {
            let times: Vec<_> = self.sent.iter().filter(|at| **at > now - within).collect();
            let oldest = times.len().checked_sub(most).and_then(|over| times.get(over))?;
            Some(left(now, **oldest + within))
        };
        let waits = [over(HOUR, rules.sends_per_hour), over(DAY, rules.sends_per_day)];
        if let Some(wait) = waits.into_iter().flatten().max() {
            return MaySend::Over { wait };
        }
        let wait = self.next(now, rules).map_or(Duration::ZERO, |next| left(now, next));
        if wait.is_zero() { MaySend::Now } else { MaySend::Early { wait } }
    }

    /// A message goes.
    pub fn has_sent(&mut self, now: Timestamp) {
        self.sent.retain(|at| *at > now - DAY);
        self.sent.push(now);
    }

    /// The message that was counted at that time did not go.
    pub fn has_not_sent(&mut self, at: Timestamp) {
        take_out(&mut self.sent, at);
    }

    /// A try is counted.
    pub fn has_tried(&mut self, now: Timestamp, rules: &Rules<'_>) {
        self.failed.retain(|at| *at > now - DAY);
        self.failed.push(now);
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.failed.len() >= rules.failures_per_day {
            self.blocked_until = Some(now + DAY);
        }
        if self.in_a_row >= rules.failures_in_a_row {
            self.locked_at = Some(now);
        }
    }

    /// The try that was counted at that time was right. What was wrong before it stays counted for its day.
    pub fn was_right(&mut self, at: Timestamp, rules: &Rules<'_>) {
        self.was_none(at, rules);
        self.in_a_row = 0;
        self.locked_at = None;
    }

    /// The try that was counted at that time was judged by nobody.
    pub fn was_none(&mut self, at: Timestamp, rules: &Rules<'_>) {
        take_out(&mut self.failed, at);
        self.in_a_row = (self.in_a_row - 1).max(0);
        if self.failed.len() < rules.failures_per_day {
            self.blocked_until = None;
        }
        if self.in_a_row < rules.failures_in_a_row {
            self.locked_at = None;
        }
    }

    /// An operator lets it sign in again.
    pub fn unlock(&mut self) {
        *self = Self { sent: std::mem::take(&mut self.sent), ..Self::default() };
    }

    /// When the next message may go, as far as the spacing goes.
    fn next(&self, now: Timestamp, rules: &Rules<'_>) -> Option<Timestamp> {
        let lately = self.sent.iter().filter(|at| **at > now - HOUR).count();
        let nth = lately.checked_sub(1)?;
        let wait = rules.spacing.get(nth).or(rules.spacing.last())?;
        self.sent.last().map(|last| *last + wait.duration())
    }
}

fn take_out(times: &mut Vec<Timestamp>, at: Timestamp) {
    if let Some(place) = times.iter().rposition(|time| *time == at) {
        times.remove(place);
    }
}

fn left(now: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn with<T>(check: impl FnOnce(&Rules<'_>) -> T) -> T {
        check(&Rules::from(&Mesibo::default()))
    }

    fn after(sent: &[i64], now: i64) -> MaySend {
        let standing = Standing { sent: sent.iter().map(|second| at(*second)).collect(), ..Standing::default() };
        with(|rules| standing.may_send(at(now), rules))
    }

    fn early(seconds: u64) -> MaySend {
        MaySend::Early { wait: Duration::from_secs(seconds) }
    }

    fn over(seconds: u64) -> MaySend {
        MaySend::Over { wait: Duration::from_secs(seconds) }
    }

    #[test]
    fn messages_keep_their_distance() {
        let table: &[(&[i64], i64, MaySend)] = &[
            (&[], 0, MaySend::Now),
            (&[0], 0, early(60)),
            (&[0], 59, early(1)),
            (&[0], 60, MaySend::Now),
            (&[0, 60], 179, early(1)),
            (&[0, 60], 180, MaySend::Now),
            (&[0, 60, 180], 479, early(1)),
            (&[0, 60, 180], 480, MaySend::Now),
            (&[0, 60, 180, 480], 1079, early(1)),
            (&[0, 60, 180, 480], 1080, MaySend::Now),
            (&[0, 60, 180, 480, 1080], 1680, over(1920)),
            (&[0, 60, 180, 480, 1080], 3599, over(1)),
            (&[0, 60, 180, 480, 1080], 3600, MaySend::Now),
            // The first is older than an hour: three are left, and the third wait counts.
            (&[0, 3000, 3100, 3300], 3600, MaySend::Now),
            (&[0, 3400, 3500, 3550], 3600, early(250)),
            (&[0], 3600, MaySend::Now),
        ];
        for (sent, now, expected) in table {
            assert_eq!(after(sent, *now), *expected, "{sent:?} at {now}");
        }
    }

    #[test]
    fn ten_messages_are_a_day() {
        let ten: Vec<i64> = (0..10).map(|n| n * 3600).collect();
        assert_eq!(after(&ten, 36_000), over(50_400));
        assert_eq!(after(&ten, 86_399), over(1));
        assert_eq!(after(&ten, 86_400), MaySend::Now);
    }

    #[test]
    fn what_did_not_go_is_not_counted() {
        let mut standing = Standing::default();
        standing.has_sent(at(0));
        standing.has_sent(at(60));
        standing.has_not_sent(at(60));
        assert_eq!(standing.sent, [at(0)]);
        standing.has_sent(at(86_400));
        assert_eq!(standing.sent, [at(86_400)]);
    }

    #[test]
    fn twenty_wrong_codes_within_a_day_bar_for_a_day() {
        with(|rules| {
            let mut standing = Standing::default();
            for n in 0..19 {
                standing.has_tried(at(n * 60), rules);
                assert_eq!(standing.barred(at(n * 60)), None);
            }
            // The day of the first is over when the next one comes: nineteen again.
            standing.has_tried(at(86_400), rules);
            assert_eq!(standing.barred(at(86_400)), None);
            standing.has_tried(at(86_401), rules);
            assert_eq!(standing.barred(at(86_401)), Some(DAY));
            assert_eq!(standing.barred(at(86_401 + 86_399)), Some(Duration::from_secs(1)));
            assert_eq!(standing.barred(at(86_401 + 86_400)), None);
        });
    }

    #[test]
    fn a_right_code_ends_the_row_and_no_more() {
        with(|rules| {
            let mut standing = Standing::default();
            for n in 0..19 {
                standing.has_tried(at(n), rules);
            }
            standing.has_tried(at(19), rules);
            assert!(standing.barred(at(19)).is_some());
            standing.was_right(at(19), rules);
            assert_eq!((standing.barred(at(19)), standing.in_a_row, standing.failed.len()), (None, 0, 19));
            standing.has_tried(at(20), rules);
            assert!(standing.barred(at(20)).is_some());
        });
    }

    #[test]
    fn a_hundred_wrong_codes_in_a_row_lock_until_unlocked() {
        with(|rules| {
            let mut standing = Standing::default();
            for day in 0..100 {
                assert_eq!(standing.barred(at(day * 86_400)), None, "{day}");
                standing.has_tried(at(day * 86_400), rules);
            }
            assert_eq!(standing.barred(at(1000 * 86_400)), Some(DAY));
            standing.unlock();
            assert_eq!(standing.barred(at(1000 * 86_400)), None);
            standing.has_tried(at(1000 * 86_400), rules);
            assert_eq!((standing.barred(at(1000 * 86_400)), standing.in_a_row), (None, 1));
        });
    }

    #[test]
    fn a_try_that_nobody_judged_is_none() {
        with(|rules| {
            let mut standing = Standing { in_a_row: 99, ..Standing::default() };
            standing.has_tried(at(0), rules);
            assert!(standing.barred(at(0)).is_some());
            standing.was_none(at(0), rules);
            assert_eq!(standing, Standing { in_a_row: 99, ..Standing::default() });
        });
    }
}
