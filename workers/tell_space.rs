//! Tells somebody of a Homing Space welcome, where they want to hear of it: a signed POST to a webhook of theirs, Web Push, mail.
//!
//! The place is read when it is told, so one that was taken away meanwhile hears nothing. It is a stranger's choice, so it is called
//! behind the guard, and only on the ports that are allowed to webhooks. What may have arrived is sent again: it is a hint, and its
//! id tells a repeat. A place that says it is gone hears nothing from then on.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::json;

use crate::books::{ClaimedDelivery, Outcome};
use crate::hub::notices::{self, Kind, Recipient, ToTell};
use crate::hub::{self, SENDER};
use crate::outbound::{AnswerLimit, Call, Ports, Redirects, Target};
use crate::providers::carriers::{self, Carriers, Letter, Notice, Said};
use crate::providers::push::{Services, Verdict};
use crate::retry::Advice;
use crate::webhooks::{AGENT, DatedSecret, ID, SIGNATURE, Signer, TIMESTAMP};
use crate::worker::{Channel, Crew, Hold, Report, Sign};

/// How long it waits for a database that is away.
const SOON: Duration = Duration::from_secs(1);
/// Of an answer only the status counts.
const ANSWER: AnswerLimit = AnswerLimit::Skim { keep: 0, read: 16 * 1024 };

/// The channel of notices.
pub struct TellSpace {
    crew: Crew,
    carriers: Carriers,
    services: Arc<Services>,
}

impl Channel for TellSpace {
    fn deliver<'a>(&'a self, delivery: &'a ClaimedDelivery, _: &'a Hold) -> BoxFuture<'a, Report> {
        self.run(delivery).boxed()
    }
}

impl TellSpace {
    /// With what workers are given, who carries mail, and push services.
    pub fn new(crew: &Crew, carriers: &Carriers, services: Arc<Services>) -> Self {
        Self { crew: crew.clone(), carriers: carriers.clone(), services }
    }

    async fn run(&self, delivery: &ClaimedDelivery) -> Report {
        let Some(what) = delivery.content.as_ref().and_then(|content| ToTell::decode(content)) else {
            return Report::untried(Advice::Never("unreadable"));
        };
        let recipient = match notices::recipient(&self.crew.app, &what).await {
            Ok(Some(recipient)) => recipient,
            Ok(None) => return Report::untried(Advice::Never("no-place")),
            Err(hub::Error::Db(error)) if error.is_passing() => return Report::untried(Advice::In(SOON)),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(delivery = %delivery.id, error, "where to tell somebody cannot be read");
                return Report::untried(Advice::Later).code("internal");
            }
        };
        let report = match recipient.kind {
            Kind::Webhook => of_one(self.post(delivery, &what, &recipient).await),
            Kind::WebPush => of_one(self.push(delivery, &what, &recipient).await),
            Kind::Email => self.mail(delivery, &what, &recipient).await,
        };
        if report.advice == Advice::Never("gone")
            && let Err(error) = notices::failed(&self.crew.app, what.notice).await
        {
            tracing::warn!(%error, delivery = %delivery.id, "that a place is gone could not be noted");
        }
        report
    }

    async fn post(&self, delivery: &ClaimedDelivery, what: &ToTell, to: &Recipient) -> Report {
        let Some(call) = self.call(delivery, what, to) else {
            return Report::untried(Advice::Never("refused-address"));
        };
        match self.crew.outbound.call(call).await {
            Ok(answer) => {
                let pause = answer.retry_after.map(|after| after.wait(self.crew.app.clock.now()));
                let mut report = judge(answer.status, pause.filter(|pause| !pause.is_zero()));
                report.status = Some(answer.status);
                report
            }
            Err(error) => {
                let outcome = if error.nothing_sent() { Outcome::NotSent } else { Outcome::Unknown };
                Report::of(outcome, Advice::Later).code(error.kind.word())
            }
        }
    }

    /// None: what is stored is no place that may be called, by now.
    fn call(&self, delivery: &ClaimedDelivery, what: &ToTell, to: &Recipient) -> Option<Call> {
        let app = &self.crew.app;
        let target = Target::with_ports(&to.address, &Ports::of(&app.config)).ok()?;
        let secret = to.secret.clone()?;
        let (id, now) = (delivery.message_id().to_string(), app.clock.now());
        let body = body(what).to_string().into_bytes();
        let signature = Signer::new(&[DatedSecret { secret, until: None }]).sign(&id, now, &body);
        let headers: [(HeaderName, HeaderValue); 5] = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (header::USER_AGENT, AGENT),
            (ID, HeaderValue::try_from(id).ok()?),
            (TIMESTAMP, HeaderValue::from(now.as_second())),
            (SIGNATURE, HeaderValue::try_from(signature).ok()?),
        ];
        Some(Call {
            target,
            method: Method::POST,
            headers: HeaderMap::from_iter(headers),
            body: body.into(),
            timeout: app.config.providers.timeout.duration(),
            redirects: Redirects::None,
            answer: ANSWER,
        })
    }

    async fn push(&self, delivery: &ClaimedDelivery, what: &ToTell, to: &Recipient) -> Report {
        let text = body(what).to_string();
        let heard = self.services.tell(delivery.message_id(), &to.address, text, delivery.expires_at).await;
        let Some(heard) = heard else { return Report::untried(Advice::Never("no-service")) };
        let after = |pause: Option<Duration>| pause.map_or(Advice::Later, Advice::In);
        let report = match &heard.verdict {
            Verdict::Accepted { .. } => Report::of(Outcome::Delivered, Advice::Done),
            Verdict::Unregistered => Report::of(Outcome::RefusedForGood, Advice::Never("gone")),
            Verdict::TooLarge => Report::of(Outcome::RefusedForGood, Advice::Never("too-large")),
            Verdict::DeviceLater(pause) | Verdict::Busy(pause) => Report::of(Outcome::RefusedForNow, after(*pause)),
            Verdict::Failing | Verdict::Misconfigured | Verdict::Refused => {
                Report::of(Outcome::RefusedForNow, Advice::Later)
            }
            Verdict::Silent(error) if error.nothing_sent() => Report::of(Outcome::NotSent, Advice::Later),
            Verdict::Silent(_) => Report::of(Outcome::Unknown, Advice::Later),
        };
        Report { status: heard.status, code: heard.code, ..report }
    }

    /// By the first carrier that takes it.
    async fn mail(&self, delivery: &ClaimedDelivery, what: &ToTell, to: &Recipient) -> Report {
        let (app, kind) = (&self.crew.app, carriers::Kind::Email);
        if !self.carriers.has(kind) {
            return Report::untried(Advice::Never("no-carrier"));
        }
        let (subject, text) = (format!("{} is asked to sign in", what.persona), text(what));
        let mut last = None;
        for carrier in self.carriers.in_turn(kind) {
            let now = app.clock.now();
            let left = Duration::try_from(delivery.expires_at.duration_since(now)).unwrap_or_default();
            let letter = Letter {
                kind,
                id: delivery.message_id(),
                to: &to.address,
                code: "",
                service: SENDER,
                expires_at: delivery.expires_at,
                now,
                words: None,
                notice: Some(Notice { subject: &subject, text: &text }),
            };
            let word = self.carriers.hand(carrier, &letter, app.config.providers.timeout.duration().min(left)).await;
            let advice = match word.said {
                Said::Sent => Some(Advice::Done),
                Said::Never(why) => Some(Advice::Never(why)),
                Said::Refused | Said::NotNow | Said::Trouble { .. } => None,
            };
            let noted = format!("{}={}", carrier.name(), word.code);
            let report = |advice| Report { status: word.status, ..Report::of(word.outcome, advice) }.code(noted);
            if let Some(advice) = advice {
                return Report { sign: Some(Sign::Good), ..report(advice) };
            }
            last = Some(report(Advice::Later));
        }
        let pause = self.carriers.pause(kind);
        let advice = if pause.is_zero() { Advice::Later } else { Advice::In(pause) };
        // How a carrier is says nothing of the mailbox, and must hold back no other's mail.
        let report = last.unwrap_or_else(|| Report::untried(Advice::Later));
        Report { advice, sign: Some(Sign::NotTried), ..report }
    }
}

/// What a webhook or a browser is told. Names and meanings never change; fields may be added.
fn body(what: &ToTell) -> serde_json::Value {
    json!({
        "type": "homing.welcome",
        "timestamp": what.at,
        "data": { "persona": what.persona, "site": what.site, "link": what.link },
    })
}

/// What a mail says.
fn text(what: &ToTell) -> String {
    let at = what.at.strftime("%Y-%m-%d %H:%M UTC");
    format!(
        "{} asks to sign in {} ({at}).\n\nLook at it, and say yes or no:\n{}\n\nIf it was not you who asked, say no, or leave it: it ends by itself.",
        what.site, what.persona, what.link
    )
}

/// What follows from a webhook's answer.
fn judge(status: u16, pause: Option<Duration>) -> Report {
    let report = match status {
        200..=299 => return Report::of(Outcome::Delivered, Advice::Done),
        410 => Report::of(Outcome::RefusedForGood, Advice::Never("gone")),
        _ => Report::of(Outcome::RefusedForNow, pause.map_or(Advice::Later, Advice::In)),
    };
    report.code(format!("http_{status}"))
}

/// A place is one stranger's: that it fails, or asks for a pause, concerns its own deliveries only, and holds back nobody else's notices
/// on the same host.
fn of_one(report: Report) -> Report {
    let sign = if report.advice == Advice::Done { Sign::Good } else { Sign::NotTried };
    Report { sign: Some(sign), ..report }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what() -> ToTell {
        ToTell {
            notice: uuid::Uuid::nil(),
            persona: "alice".into(),
            site: "Shop".into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            link: "https://hub.example/homing/hub/w/hsc_1".into(),
        }
    }

    #[test]
    fn people_are_told_who_asks_and_where_to_look_and_nothing_else() {
        insta::assert_snapshot!(body(&what()), @r#"{"data":{"link":"https://hub.example/homing/hub/w/hsc_1","persona":"alice","site":"Shop"},"timestamp":"1970-01-01T00:00:00Z","type":"homing.welcome"}"#);
        insta::assert_snapshot!(text(&what()), @"
        Shop asks to sign in alice (1970-01-01 00:00 UTC).

        Look at it, and say yes or no:
        https://hub.example/homing/hub/w/hsc_1

        If it was not you who asked, say no, or leave it: it ends by itself.
        ");
    }

    #[test]
    fn what_follows_from_an_answer() {
        let pause = Some(Duration::from_secs(9));
        for (status, pause, advice, sign) in [
            (204, None, Advice::Done, Sign::Good),
            (410, None, Advice::Never("gone"), Sign::NotTried),
            (404, None, Advice::Later, Sign::NotTried),
            (500, None, Advice::Later, Sign::NotTried),
            (429, pause, Advice::In(Duration::from_secs(9)), Sign::NotTried),
            (503, None, Advice::Later, Sign::NotTried),
        ] {
            let report = of_one(judge(status, pause));
            assert_eq!((report.advice.clone(), report.sign()), (advice, sign), "{status}");
        }
    }
}
