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
use crate::telemetry::traces;
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
        let Ok(mut call) = webhook.call(delivery.message_id(), content, now) else {
            return Report::untried(Advice::Later).code("refused_port");
        };
        if let Some(trace) = traces::current().and_then(|trace| trace.header().parse().ok()) {
            // A header of its owner's goes before ours.
            call.headers.entry("traceparent").or_insert(trace);
        }
        let answer = self.crew.outbound.call(call).await;
        if answer.as_ref().is_ok_and(|answer| answer.status == 410) {
            self.note_gone(&webhook, &delivery.destination).await;
        }
        let report = self.report(&webhook, answer);
        if report.sign() != Sign::Good && self.has_moved(&webhook, &delivery.destination).await {
            // What the old place says holds neither for the new one nor for this delivery.
            return Report { sign: Some(Sign::NotTried), advice: Advice::In(SOON), ..report };
        }
        report
    }

    /// Whether the webhook is called somewhere else by now: others may have heard of it, and this process not yet.
    async fn has_moved(&self, called: &Ready, name: &str) -> bool {
        self.webhooks.renew(name).await.is_ok_and(|now| now.is_some_and(|now| !now.is_where(called)))
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
        let (outcome, advice, sign) = judge(word);
        let mut report = Report { sign: Some(sign), ..Report::of(outcome, advice) };
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

/// What follows from it for the delivery, and for its destination.
fn judge(word: Word) -> (Outcome, Advice, Sign) {
    match word {
        Word::Said { status: 200..=299, .. } => (Outcome::Delivered, Advice::Done, Sign::Good),
        Word::Said { status, is_final: true, .. } => {
            (Outcome::RefusedForGood, Advice::Never("refused"), sign_of(status, None))
        }
        Word::Said { status, pause, .. } => {
            // As long as it asked for, neither less nor more; who asks for nothing is not asked at once.
            let advice = pause.filter(|pause| !pause.is_zero()).map_or(Advice::Later, Advice::In);
            (Outcome::RefusedForNow, advice, sign_of(status, pause))
        }
        Word::Nothing { sent: false } => (Outcome::NotSent, Advice::Later, Sign::Failed),
        Word::Nothing { sent: true } => (Outcome::Unknown, Advice::Later, Sign::Failed),
    }
}

/// Whoever says that the request is wrong is well; whoever says that it is too much, or for how long, is at its limit.
fn sign_of(status: u16, pause: Option<Duration>) -> Sign {
    match status {
        _ if pause.is_some() => Sign::Overloaded { retry_after: pause },
        429 | 503 => Sign::Overloaded { retry_after: None },
        408 | 500.. => Sign::Failed,
        _ => Sign::Good,
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
        let paused = |seconds| {
            let pause = Duration::from_secs(seconds);
            (Outcome::RefusedForNow, Advice::In(pause), Sign::Overloaded { retry_after: Some(pause) })
        };
        let done = || (Outcome::Delivered, Advice::Done, Sign::Good);
        let later = |sign| (Outcome::RefusedForNow, Advice::Later, sign);
        let never = |sign| (Outcome::RefusedForGood, Advice::Never("refused"), sign);
        let table = [
            (said(200, false, None), done()),
            (said(204, false, Some(9)), done()),
            // A success is one, whatever the webhook's own list says.
            (said(299, true, None), done()),
            (said(301, false, None), later(Sign::Good)),
            (said(302, true, None), never(Sign::Good)),
            (said(404, true, None), never(Sign::Good)),
            // What is wrong stays wrong, however long one waits.
            (said(404, true, Some(60)), never(Sign::Good)),
            (said(410, true, None), never(Sign::Good)),
            (said(500, true, None), never(Sign::Failed)),
            (said(408, false, None), later(Sign::Failed)),
            (said(425, false, None), later(Sign::Good)),
            (said(429, false, None), later(Sign::Overloaded { retry_after: None })),
            (said(429, false, Some(0)), later(Sign::Overloaded { retry_after: Some(Duration::ZERO) })),
            (said(429, false, Some(90)), paused(90)),
            (said(503, false, None), later(Sign::Overloaded { retry_after: None })),
            (said(503, false, Some(7)), paused(7)),
            (said(500, false, Some(7)), paused(7)),
            (said(500, false, None), later(Sign::Failed)),
            (said(999, false, None), later(Sign::Failed)),
            (Word::Nothing { sent: false }, (Outcome::NotSent, Advice::Later, Sign::Failed)),
            // The receiver knows a repeat by its id.
            (Word::Nothing { sent: true }, (Outcome::Unknown, Advice::Later, Sign::Failed)),
        ];
        for (word, follows) in table {
            assert_eq!(judge(word), follows, "{word:?}");
        }
    }
}
