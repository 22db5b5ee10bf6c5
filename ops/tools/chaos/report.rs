//! What came of it, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

/// A dependency that is back has the node back within this time.
pub(crate) const BACK_WITHIN_S: f64 = 10.0;

/// One fault that was inflicted.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Inflicted {
    /// Seconds from the beginning.
    pub(crate) at_s: f64,
    pub(crate) what: String,
    pub(crate) target: String,
    /// How long it lasted.
    pub(crate) lasted_s: f64,
    /// From its end until a fresh probe over every ingress had arrived; none: never, within a minute.
    pub(crate) recovery_s: Option<f64>,
    /// From its end until every process was at work again.
    pub(crate) back_s: Option<f64>,
    /// Deliveries that were held by what it befell.
    pub(crate) in_flight: i64,
    /// Copies that the sink had by the end of it and had not before.
    pub(crate) doubles: usize,
}

/// The three ledgers and the faults.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    /// Messages that the client saw accepted.
    pub(crate) accepted: usize,
    /// Messages in the books.
    pub(crate) recorded: usize,
    /// Messages at the sink.
    pub(crate) received: usize,
    /// Accepted and not in the books, or in the books and never received.
    pub(crate) lost: usize,
    /// Further copies of what was received.
    pub(crate) doubles: usize,
    /// Messages under two ids although their key was one.
    pub(crate) accepted_twice: usize,
    pub(crate) unconfirmed: i64,
    /// Sum over all faults.
    pub(crate) in_flight_at_kills: i64,
    /// First arrivals behind a later one of their line.
    pub(crate) order_violations: usize,
    pub(crate) slowest_recovery_s: f64,
    /// From the end of the load until nothing was open.
    pub(crate) settled_after_s: f64,
    /// Requests that were answered no, and requests that were not answered.
    pub(crate) refused: usize,
    pub(crate) unanswered: usize,
    pub(crate) faults: Vec<Inflicted>,
    /// What is wrong, in words; empty when every promise was kept.
    pub(crate) broken: Vec<String>,
}

impl Report {
    /// Notes every promise that the figures say was broken.
    pub(crate) fn judge(&mut self) {
        let mut broken = Vec::new();
        let mut unless = |kept: bool, what: String| {
            if !kept {
                broken.push(what)
            }
        };
        unless(self.accepted > 0, "nothing was accepted at all".to_owned());
        unless(self.lost == 0, format!("{} messages were lost", self.lost));
        unless(self.accepted_twice == 0, format!("{} keys were accepted twice", self.accepted_twice));
        unless(self.order_violations == 0, format!("order was broken {} times", self.order_violations));
        let copies = self.doubles as i64 + self.unconfirmed;
        let bound = self.in_flight_at_kills;
        unless(copies <= bound, format!("{copies} doubles and unconfirmed, {bound} were in flight at the faults"));
        for fault in &self.faults {
            let name = format!("{} of {} at {:.1} s", fault.what, fault.target, fault.at_s);
            for (what, time) in [("a probe took", fault.recovery_s), ("the processes took", fault.back_s)] {
                let said = time.map_or("more than a minute".to_owned(), |time| format!("{time:.1} s"));
                unless(time.is_some_and(|time| time <= BACK_WITHIN_S), format!("after {name} {what} {said}"));
            }
        }
        self.broken.append(&mut broken);
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from(
            "    at s  what        target                   lasted s  probe s  back s  in flight  doubles\n",
        );
        let seconds = |time: Option<f64>| time.map_or("never".to_owned(), |time| format!("{time:.1}"));
        for fault in &self.faults {
            let _ = writeln!(
                text,
                "{:>8.1}  {:<11} {:<24} {:>8.1} {:>8} {:>7} {:>10} {:>8}",
                fault.at_s,
                fault.what,
                fault.target,
                fault.lasted_s,
                seconds(fault.recovery_s),
                seconds(fault.back_s),
                fault.in_flight,
                fault.doubles,
            );
        }
        let Self { accepted, recorded, received, lost, doubles, unconfirmed, in_flight_at_kills, .. } = self;
        let _ = writeln!(
            text,
            "seed {}: accepted {accepted}, recorded {recorded}, received {received}, lost {lost}",
            self.seed
        );
        let _ = writeln!(
            text,
            "doubles {doubles}, unconfirmed {unconfirmed}, in flight at the faults {in_flight_at_kills}; out of order {}; \
             slowest recovery {:.1} s; settled {:.1} s after the load ended",
            self.order_violations, self.slowest_recovery_s, self.settled_after_s
        );
        for broken in &self.broken {
            let _ = writeln!(text, "BROKEN: {broken}");
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Report {
        Report { accepted: 10, recorded: 10, received: 10, doubles: 2, in_flight_at_kills: 2, ..Report::default() }
    }

    #[test]
    fn each_broken_promise_is_said() {
        let mut report = good();
        report.judge();
        assert!(report.broken.is_empty(), "{:?}", report.broken);
        let fault = |recovery_s| Inflicted {
            at_s: 1.0,
            what: "kill".into(),
            target: "work-1".into(),
            lasted_s: 0.0,
            recovery_s,
            back_s: Some(1.0),
            in_flight: 0,
            doubles: 0,
        };
        let bad = [
            Report { lost: 1, ..good() },
            Report { doubles: 3, ..good() },
            Report { unconfirmed: 1, ..good() },
            Report { order_violations: 1, ..good() },
            Report { accepted_twice: 1, ..good() },
            Report { faults: vec![fault(None)], ..good() },
            Report { faults: vec![fault(Some(10.5))], ..good() },
            Report::default(),
        ];
        for mut report in bad {
            report.judge();
            assert_eq!(report.broken.len(), 1, "{report:?}");
        }
    }
}
