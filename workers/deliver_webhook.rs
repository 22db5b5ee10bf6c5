//! Delivers to a webhook: sign, POST, and judge the answer.
//!
//! Every request carries the message's id, so a receiver knows a repeat: what may have arrived is sent again until it is answered
//! (at least once), and nothing is ever left `unconfirmed`. Redirects are not followed: an endpoint that has moved is somebody's
//! decision, and a signed message goes only where it was addressed to.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::books::{ClaimedDelivery, Outcome};
use crate::openmsg::reply::PeerText;
use crate::outbound::{Answer, CallError};
use crate::retry::Advice;
use crate::webhooks::{self, Content, Ready, Webhooks};
use crate::worker::{Channel, Crew, Hold, Report, Sign};

/// How long something waits for a webhook that is disabled before it is looked at again.
const DISABLED: Duration = Duration::from_secs(60);
/// How long it waits for a database that is away.
const SOON: Duration = Duration::from_secs(1);

/// The webhook channel.
pub struct DeliverWebhook {
    crew: Crew,
    webhooks: Webhooks,
}

impl Channel for DeliverWebhook {
    fn deliver<'a>(&'a self, delivery: &'a ClaimedDelivery, _: &'a Hold) -> BoxFuture<'a, Report> {
        self.run(delivery).boxed()
    }
}

impl DeliverWebhook {
    /// With what workers are given. Call it inside the runtime.
    pub fn new(crew: &Crew) -> Self {
        Self { crew: crew.clone(), webhooks: Webhooks::start(&crew.app) }
    }

    async fn run(&self, delivery: &ClaimedDelivery) -> Report {
        let webhook = match self.webhooks.find(&delivery.destination).await {
            Ok(Some(webhook)) => webhook,
            Ok(None) => return Report::untried(Advice::Never("no-webhook")),
            Err(error) if error.passing => return Report::untried(Advice::In(SOON)),
            Err(_) => return Report::untried(Advice::Later).code("internal"),
        };
        if webhook.is_disabled() {
            return Report::untried(Advice::In(DISABLED)).code("disabled");
        }
        let Some(content) = delivery.content.as_ref().and_then(|bytes| Content::decode(bytes)) else {
            return Report::untried(Advice::Never("unreadable"));
        };
        let now = self.crew.app.clock.now();
        let Ok(call) = webhook.call(delivery.message_id(), content, now) else {
            return Report::untried(Advice::Later).code("refused_port");
        };
        let answer = self.crew.outbound.call(call).await;
        if answer.as_ref().is_ok_and(|answer| answer.status == 410) {
            self.note_gone(&webhook, &delivery.destination).await;
        }
        self.report(&webhook, answer)
    }

    fn report(&self, webhook: &Ready, answer: Result<Answer, CallError>) -> Report {
        let now = self.crew.app.clock.now();
        let word = match &answer {
            Ok(answer) => Word::Said {
                status: answer.status,
                is_final: webhook.is_final(answer.status),
                pause: answer.retry_after.map(|after| after.wait(now)),
            },
            Err(error) => Word::Nothing { sent: !error.nothing_sent() },
        };
        let (outcome, advice) = judge(word);
        let mut report = Report { sign: Some(sign(word)), ..Report::of(outcome, advice) };
        match answer {
            Ok(answer) => {
                report.status = Some(answer.status);
                if outcome != Outcome::Delivered {
                    report.code = Some(format!("http_{}", answer.status));
                    report.answer = Some(PeerText::of_answer(&answer.body).as_str().as_bytes().to_vec());
                }
            }
            Err(error) => report.code = Some(error.kind.word().to_owned()),
        }
        report
    }

    /// A hint for the webhook's owner; nothing else follows from it.
    async fn note_gone(&self, webhook: &Ready, name: &str) {
        if webhook.learns_it_is_gone()
            && let Err(error) = webhooks::mark_gone(&self.crew.app, name).await
        {
            tracing::debug!(%error, webhook = name, "that a webhook is gone could not be noted");
        }
    }
}

/// What came back, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// An answer.
    Said {
        /// HTTP status.
        status: u16,
        /// Whether this webhook's deliveries end with it.
        is_final: bool,
        /// `Retry-After`.
        pause: Option<Duration>,
    },
    /// No answer; the request may have been sent.
    Nothing { sent: bool },
}

/// What follows from it.
fn judge(word: Word) -> (Outcome, Advice) {
    match word {
        Word::Said { status: 200..=299, .. } => (Outcome::Delivered, Advice::Done),
        Word::Said { is_final: true, .. } => (Outcome::RefusedForGood, Advice::Never("refused")),
        // As long as it asked for, neither less nor more; one that asks for nothing is taken for asking nothing.
        Word::Said { pause: Some(pause), .. } if !pause.is_zero() => (Outcome::RefusedForNow, Advice::In(pause)),
        Word::Said { .. } => (Outcome::RefusedForNow, Advice::Later),
        Word::Nothing { sent: false } => (Outcome::NotSent, Advice::Later),
        Word::Nothing { sent: true } => (Outcome::Unknown, Advice::Later),
    }
}

/// What it says of the endpoint's health: one that answers is well, unless it says that it is not.
fn sign(word: Word) -> Sign {
    match word {
        Word::Said { status: 429 | 503, pause, .. } => Sign::Overloaded { retry_after: pause },
        Word::Said { pause, status: 300.., is_final: false } if pause.is_some() => {
            Sign::Overloaded { retry_after: pause }
        }
        Word::Said { status: 500.., .. } | Word::Said { status: 408, .. } | Word::Nothing { .. } => Sign::Failed,
        Word::Said { .. } => Sign::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_an_answer() {
        let said = |status, is_final, pause: Option<u64>| Word::Said {
            status,
            is_final,
            pause: pause.map(Duration::from_secs),
        };
        let after = |seconds| (Outcome::RefusedForNow, Advice::In(Duration::from_secs(seconds)));
        let later = (Outcome::RefusedForNow, Advice::Later);
        let never = (Outcome::RefusedForGood, Advice::Never("refused"));
        let table = [
            (said(200, false, None), (Outcome::Delivered, Advice::Done)),
            (said(204, false, Some(9)), (Outcome::Delivered, Advice::Done)),
            // A success is one, whatever the webhook's own list says.
            (said(299, true, None), (Outcome::Delivered, Advice::Done)),
            (said(301, false, None), later.clone()),
            (said(302, true, None), never.clone()),
            (said(404, true, None), never.clone()),
            (said(404, true, Some(60)), never.clone()),
            (said(410, true, None), never),
            (said(408, false, None), later.clone()),
            (said(429, false, None), later.clone()),
            (said(429, false, Some(0)), later.clone()),
            (said(429, false, Some(90)), after(90)),
            (said(503, false, Some(7)), after(7)),
            (said(500, false, None), later.clone()),
            (said(999, false, None), later),
            (Word::Nothing { sent: false }, (Outcome::NotSent, Advice::Later)),
            // The receiver knows a repeat by its id.
            (Word::Nothing { sent: true }, (Outcome::Unknown, Advice::Later)),
        ];
        for (word, follows) in table {
            assert_eq!(judge(word), follows, "{word:?}");
        }
    }
}
