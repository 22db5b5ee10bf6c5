//! The closing table.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use super::campaign::Campaign;
use super::inboxes::Found;
use super::stage::count;
use crate::cli::Summary;

/// How many, how fast, and how long each took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    pub(super) count: u64,
    pub(super) a_second: f64,
    /// Milliseconds that half of them, and 99 % of them, needed at most.
    pub(super) p50: f64,
    pub(super) p99: f64,
}

impl Pace {
    /// Of each one's milliseconds, and the time all took together.
    pub(super) fn of(mut took: Vec<f64>, together: Duration) -> Self {
        took.sort_by(f64::total_cmp);
        let count = took.len() as u64;
        let a_second = count as f64 / together.as_secs_f64().max(0.001);
        Self { count, a_second, p50: percentile(&took, 50), p99: percentile(&took, 99) }
    }
}

/// The nearest rank; 0 of nothing.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Everything that was counted.
#[derive(Debug)]
pub(super) struct Closing {
    handshakes: Pace,
    accepted: u64,
    accepted_a_second: f64,
    /// Its rate is that of the time before the kill.
    received: Pace,
    /// Seconds from the kill until everything was settled.
    takeover: f64,
    books: Summary,
    found: Found,
    /// Messages that were to be sent.
    wanted: u64,
    seconds: f64,
}

impl Closing {
    pub(super) fn of(handshakes: Pace, campaign: Campaign, mut found: Found, seconds: f64) -> Self {
        let accepted = campaign.accepted.iter().flatten().count() as u64;
        let (before, arrived) = campaign.undisturbed;
        let received = Pace::of(std::mem::take(&mut found.took), before);
        Self {
            handshakes,
            accepted,
            accepted_a_second: accepted as f64 / campaign.accepting.as_secs_f64().max(0.001),
            received: Pace { a_second: arrived as f64 / before.as_secs_f64().max(0.001), ..received },
            takeover: campaign.takeover.as_secs_f64(),
            books: campaign.books,
            wanted: campaign.accepted.len() as u64,
            found,
            seconds,
        }
    }

    /// Everything arrived, once, and the books know it.
    pub(super) fn is_good(&self) -> bool {
        let Found { doubles, lost, strange, .. } = self.found;
        let settled = self.books.delivered == self.accepted && self.books.missed() == 0;
        self.accepted == self.wanted && settled && (doubles, lost, strange) == (0, 0, 0)
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, n: u64, more: String| {
            let _ = writeln!(text, "{}", format!("  {name:<16}{:>8}   {more}", count(n)).trim_end());
        };
        let Self { handshakes, received, books, found, .. } = self;
        row("handshakes", handshakes.count, pace(handshakes, ""));
        row("accepted", self.accepted, a_second(self.accepted_a_second));
        row("delivered", books.delivered, pace(received, ", from accepted to in the inbox"));
        row("in the inboxes", found.entries, String::new());
        row("doubles", found.doubles, String::new());
        row("unconfirmed", books.unconfirmed, String::new());
        row("lost", found.lost, String::new());
        let others = [
            ("sent twice", books.doubles, "and recognised by the receiver, or in the doubles above"),
            ("strange", found.strange, "in the inboxes, and never sent"),
            ("failed", books.failed, ""),
            ("expired", books.expired, ""),
            ("cancelled", books.cancelled, ""),
            ("still open", books.open(), ""),
        ];
        for (name, n, more) in others.into_iter().filter(|(_, n, _)| *n > 0) {
            row(name, n, more.to_owned());
        }
        let _ = write!(
            text,
            "\n  {:.1} s in all; everything was settled {:.1} s after the kill",
            self.seconds, self.takeover
        );
        text
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        let Self { handshakes, received, books, found, .. } = self;
        let object = json!({
            "handshakes": handshakes.count, "accepted": self.accepted, "delivered": books.delivered,
            "in_inboxes": found.entries, "doubles": found.doubles, "unconfirmed": books.unconfirmed, "lost": found.lost,
            "seconds": rounded(self.seconds),
            "handshakes_per_second": rounded(handshakes.a_second), "handshake_p50_ms": rounded(handshakes.p50),
            "handshake_p99_ms": rounded(handshakes.p99), "accepted_per_second": rounded(self.accepted_a_second),
            "delivered_per_second": rounded(received.a_second), "delivery_p50_ms": rounded(received.p50),
            "delivery_p99_ms": rounded(received.p99), "settled_after_kill_seconds": rounded(self.takeover),
        });
        format!("{object}\n")
    }
}

fn pace(pace: &Pace, what: &str) -> String {
    format!("{}   p50 {:>6.0} ms   p99 {:>6.0} ms{what}", a_second(pace.a_second), pace.p50, pace.p99)
}

fn a_second(rate: f64) -> String {
    format!("{rate:>8.1} a second")
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn closing(delivered: u64, found: Found) -> Closing {
        let books = Summary { accepted: 3, delivered, unconfirmed: 3 - delivered, ..Summary::default() };
        let second = Duration::from_secs(1);
        let campaign = Campaign {
            accepted: vec![Some(Uuid::nil()); 3],
            accepting: second,
            undisturbed: (second, 2),
            takeover: second * 2,
            books,
        };
        Closing::of(Pace::of(vec![10.0, 30.0], second), campaign, found, 4.25)
    }

    fn well() -> Found {
        Found { entries: 3, took: vec![5.0, 6.0, 4000.0], ..Found::default() }
    }

    #[test]
    fn only_everything_once_is_good() {
        assert!(closing(3, well()).is_good());
        for (delivered, found) in [
            (2, well()),
            (3, Found { lost: 1, ..well() }),
            (3, Found { doubles: 1, ..well() }),
            (3, Found { strange: 1, ..well() }),
        ] {
            assert!(!closing(delivered, found).is_good());
        }
    }

    #[test]
    fn the_table_is_aligned_and_leaves_out_what_did_not_happen() {
        insta::assert_snapshot!(closing(2, well()).table(), @r"
          handshakes             2        2.0 a second   p50     10 ms   p99     30 ms
          accepted               3        3.0 a second
          delivered              2        2.0 a second   p50      6 ms   p99   4000 ms, from accepted to in the inbox
          in the inboxes         3
          doubles                0
          unconfirmed            1
          lost                   0

          4.2 s in all; everything was settled 2.0 s after the kill
        ");
    }

    #[test]
    fn the_object_has_the_promised_names() {
        let value: serde_json::Value = serde_json::from_str(&closing(3, well()).json()).unwrap();
        for name in ["handshakes", "accepted", "delivered", "in_inboxes", "doubles", "unconfirmed", "lost", "seconds"] {
            assert!(value[name].is_number(), "{name}");
        }
    }
}
