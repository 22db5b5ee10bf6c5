//! Sends a code to whom it was made for: by short message, by a call or by mail.
//!
//! One try asks every carrier of its kind in turn until one takes it. What a carrier may have taken without saying so is handed
//! to the next one all the same: a code that comes twice is a nuisance, one that does not come keeps somebody out. But after two
//! tries that may have reached somebody it ends: each further one may cost a message, and is one more. Before every
//! call the code is looked for anew and the clock is asked, so that what was replaced, used or has expired is not sent any more,
//! and no call outlasts the code. How a carrier is, is this process's own knowledge, and says nothing of the destination: a breaker
//! there would hold back codes that another carrier could take.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::books::{ClaimedDelivery, Outcome};
use crate::codes::subject::{self, ToSend};
use crate::db::DbError;
use crate::providers::carriers::{Carrier, Carriers, Kind, Letter, Said, Word};
use crate::retry::Advice;
use crate::telemetry::families::CODES;
use crate::telemetry::metrics::named;
use crate::worker::{Channel, Crew, Hold, Report, Sign};

/// How long a code waits for a database that is away.
const SOON: Duration = Duration::from_secs(1);
/// Noted on a delivery after a try that may have reached somebody.
const UNSURE: &str = "unsure";

/// The channel of one kind.
pub struct SendCode {
    crew: Crew,
    carriers: Carriers,
    kind: Kind,
}

/// A code that may be sent now.
struct Live {
    code: Zeroizing<String>,
    expires_at: Timestamp,
    now: Timestamp,
    left: Duration,
}

impl Channel for SendCode {
    fn deliver<'a>(&'a self, delivery: &'a ClaimedDelivery, _: &'a Hold) -> BoxFuture<'a, Report> {
        self.run(delivery).boxed()
    }
}

impl SendCode {
    /// With what workers are given; the kinds share the carriers.
    pub fn new(crew: &Crew, carriers: &Carriers, kind: Kind) -> Self {
        Self { crew: crew.clone(), carriers: carriers.clone(), kind }
    }

    async fn run(&self, delivery: &ClaimedDelivery) -> Report {
        let content = delivery.content.as_ref();
        let Some(what) = content.and_then(|bytes| serde_json::from_slice::<ToSend>(bytes).ok()) else {
            return Report::untried(Advice::Never("unreadable"));
        };
        if !self.carriers.has(self.kind) {
            return Report::untried(Advice::Never("no-carrier"));
        }
        let mut round = Round { unsure: delivery.reason.as_deref() == Some(UNSURE), ..Round::default() };
        for carrier in self.carriers.in_turn(self.kind) {
            let live = match self.live(what.code, delivery.expires_at).await {
                Ok(Some(live)) => live,
                // Of what is over nothing comes later: it expires.
                Ok(None) if delivery.expires_at <= self.crew.app.clock.now() => return round.ended(Advice::Later),
                Ok(None) => return round.ended(Advice::Never("superseded")),
                Err(error) if error.is_passing() => return round.ended(Advice::In(SOON)),
                Err(_) => return round.ended(Advice::Later),
            };
            if live.left.is_zero() {
                return round.ended(Advice::Later);
            }
            let word = self.hand(carrier, delivery, &what, &live).await;
            round.note(carrier.name(), &word);
            match word.said {
                Said::Sent => {
                    self.forget(delivery, what.code).await;
                    return round.ended(Advice::Done);
                }
                Said::Never(why) => return round.ended(Advice::Never(why)),
                Said::Refused | Said::NotNow | Said::Trouble { .. } => {}
            }
        }
        if round.unsure && round.outcome == Some(Outcome::Unknown) {
            self.forget(delivery, what.code).await;
            return round.ended(Advice::Unknown);
        }
        let advice = round.advice(self.carriers.pause(self.kind));
        round.ended(advice)
    }

    /// `None`: it was replaced, used or sent.
    async fn live(&self, code: Uuid, expires_at: Timestamp) -> Result<Option<Live>, DbError> {
        let found = subject::to_send(&self.crew.app, code).await?;
        let now = self.crew.app.clock.now();
        Ok(found.map(|(code, until)| {
            let expires_at = until.min(expires_at);
            let left = Duration::try_from(expires_at.duration_since(now)).unwrap_or_default();
            Live { code, expires_at, now, left }
        }))
    }

    async fn hand(&self, carrier: &Carrier, delivery: &ClaimedDelivery, what: &ToSend, live: &Live) -> Word {
        let letter = Letter {
            kind: self.kind,
            id: delivery.message_id(),
            to: &what.to,
            code: &live.code,
            service: &what.service,
            words: what.words.as_ref(),
            expires_at: live.expires_at,
            now: live.now,
            notice: None,
        };
        let within = self.crew.app.config.providers.timeout.duration().min(live.left);
        let word = self.carriers.hand(carrier, &letter, within).await;
        CODES.one([named(carrier.name()), word.outcome.name()]);
        if let Said::Trouble { .. } = word.said {
            tracing::warn!(carrier = carrier.name(), code = word.code, delivery = %delivery.id, "a carrier is in trouble");
        }
        word
    }

    /// What was sent, or will not be, need not be kept. If it is kept, its end comes all the same.
    async fn forget(&self, delivery: &ClaimedDelivery, code: Uuid) {
        if let Err(error) = subject::sent(&self.crew.app, code).await {
            tracing::warn!(%error, delivery = %delivery.id, "that a code was sent could not be noted");
        }
    }
}

/// What the carriers said in one try.
#[derive(Default)]
struct Round {
    /// The carriers, each with a word, in the order in which they were asked.
    said: Vec<String>,
    outcome: Option<Outcome>,
    status: Option<u16>,
    /// Whether an earlier try may have reached somebody.
    unsure: bool,
    /// Whether one of them may take it later.
    may_change: bool,
}

impl Round {
    fn note(&mut self, name: &str, word: &Word) {
        self.said.push(format!("{name}={}", word.code));
        self.status = word.status;
        self.may_change |= matches!(word.said, Said::NotNow | Said::Trouble { .. });
        // Who may have taken it counts for more than who has not.
        self.outcome = match (self.outcome, word.outcome) {
            (Some(Outcome::Unknown), Outcome::RefusedForNow | Outcome::NotSent) => Some(Outcome::Unknown),
            (Some(Outcome::RefusedForNow), Outcome::NotSent) => Some(Outcome::RefusedForNow),
            (_, last) => Some(last),
        };
    }

    /// When nobody took it. `pause`: until when all of them are to be left alone.
    fn advice(&self, pause: Duration) -> Advice {
        if !self.said.is_empty() && !self.may_change && pause.is_zero() {
            return Advice::Never("refused");
        }
        if pause.is_zero() { Advice::Later } else { Advice::In(pause) }
    }

    fn ended(self, advice: Advice) -> Report {
        let goes_on = advice != Advice::Unknown;
        let mut report = match self.outcome {
            Some(outcome) => Report::of(outcome, advice),
            None => Report::untried(advice),
        };
        let doubt = self.unsure || self.outcome == Some(Outcome::Unknown);
        report.note = (doubt && goes_on).then_some(UNSURE);
        let good = matches!(self.outcome, Some(Outcome::Delivered | Outcome::RefusedForGood));
        report.sign = Some(if good { Sign::Good } else { Sign::NotTried });
        report.status = self.status;
        report.code = (!self.said.is_empty()).then(|| self.said.join(" "));
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(said: Said, outcome: Outcome) -> Word {
        Word { said, outcome, status: Some(503), code: "http_503".into() }
    }

    fn round(words: &[(Said, Outcome)]) -> Round {
        let mut round = Round::default();
        for (said, outcome) in words {
            round.note("c", &word(*said, *outcome));
        }
        round
    }

    #[test]
    fn what_follows_when_nobody_took_it() {
        const TROUBLE: Said = Said::Trouble { pause: None };
        let (refused, not_now) = (Outcome::RefusedForGood, Outcome::RefusedForNow);
        let minute = Duration::from_secs(60);
        let table = [
            (vec![], Duration::ZERO, Advice::Later),
            (vec![], minute, Advice::In(minute)),
            (vec![(TROUBLE, not_now)], Duration::ZERO, Advice::Later),
            (vec![(TROUBLE, not_now)], minute, Advice::In(minute)),
            (vec![(Said::Refused, refused)], Duration::ZERO, Advice::Never("refused")),
            (vec![(Said::Refused, refused), (Said::NotNow, not_now)], Duration::ZERO, Advice::Later),
            (vec![(TROUBLE, not_now), (Said::Refused, refused)], Duration::ZERO, Advice::Later),
        ];
        for (words, pause, advice) in table {
            assert_eq!(round(&words).advice(pause), advice, "{words:?}");
        }
    }

    #[test]
    fn a_try_says_who_was_asked_and_its_outcome_hides_no_doubt() {
        use Outcome::{Delivered, NotSent, RefusedForNow, Unknown};
        let trouble = |outcome| (Said::Trouble { pause: None }, outcome);
        for (words, outcome) in [
            (vec![trouble(Unknown), trouble(RefusedForNow)], Unknown),
            (vec![trouble(RefusedForNow), trouble(NotSent)], RefusedForNow),
            (vec![trouble(NotSent), trouble(Unknown)], Unknown),
            (vec![trouble(Unknown), (Said::Sent, Delivered)], Delivered),
        ] {
            let report = round(&words).ended(Advice::Later);
            assert_eq!((report.outcome, report.code.as_deref()), (Some(outcome), Some("c=http_503 c=http_503")));
        }
        // The next try knows of the doubt, and of an earlier one.
        assert_eq!(round(&[trouble(Unknown)]).ended(Advice::Later).note, Some(UNSURE));
        assert_eq!(round(&[trouble(RefusedForNow)]).ended(Advice::Later).note, None);
        let later = Round { unsure: true, ..round(&[trouble(RefusedForNow)]) };
        assert_eq!(later.ended(Advice::Later).note, Some(UNSURE));
        let untried = round(&[]).ended(Advice::Later);
        assert!(untried.outcome.is_none() && untried.code.is_none() && untried.sign() == Sign::NotTried);
    }
}
