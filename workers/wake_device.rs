//! Wakes a device: seals what waits for it, hands that to its push service, and judges the answer.
//!
//! Who carries the whole envelope and has taken it has delivered it: then it is forgotten here. Otherwise the device is only told, and
//! fetches what waits. A device knows a repeat by its timestamp, so what may have arrived is sent again. A service that is down, or
//! asks for time, loses nothing: the delivery lives as long as the envelope.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::books::{ClaimedDelivery, Outcome};
use crate::envelopes;
use crate::providers::push::{Heard, Services, Verdict, Wake};
use crate::pushes::{self, Address, Recipient, ToPush};
use crate::retry::Advice;
use crate::textsecure::seal;
use crate::worker::{Channel, Crew, Hold, Report, Sign};

/// How long it waits for a database that is away.
const SOON: Duration = Duration::from_secs(1);

/// The push channel.
pub struct WakeDevice {
    crew: Crew,
    services: Arc<Services>,
}

impl Channel for WakeDevice {
    fn deliver<'a>(&'a self, delivery: &'a ClaimedDelivery, _: &'a Hold) -> BoxFuture<'a, Report> {
        self.run(delivery).boxed()
    }
}

impl WakeDevice {
    /// With what workers are given, and the services.
    pub fn new(crew: &Crew, services: Arc<Services>) -> Self {
        Self { crew: crew.clone(), services }
    }

    async fn run(&self, delivery: &ClaimedDelivery) -> Report {
        let app = &self.crew.app;
        let Some(to) = delivery.content.as_ref().and_then(|content| ToPush::decode(content)) else {
            return Report::untried(Advice::Never("unreadable"));
        };
        let recipient = match pushes::recipient(app, &to).await {
            Ok(Some(recipient)) => recipient,
            // What was for the one before went with it.
            Ok(None) => return Report::untried(Advice::Never("no-device")),
            Err(error) => return unread(delivery, error.is_passing(), &error),
        };
        let envelope = match envelopes::find(app, to.envelope).await {
            Ok(Some(envelope)) => envelope,
            // The device has fetched it meanwhile.
            Ok(None) => return Report::untried(Advice::Done),
            Err(envelopes::Error::Db(error)) => return unread(delivery, error.is_passing(), &error),
            Err(error) => return unread(delivery, false, &error),
        };
        let Some(address) = &recipient.address else {
            // It waits for the device, which is pushed to when it gives an address.
            return Report::untried(Advice::Never("no-address"));
        };
        let sealed = STANDARD.encode(seal::seal(&recipient.signaling_key, &envelope.content));
        let wake = Wake {
            id: delivery.message_id(),
            address: &address.text,
            since: address.since,
            sealed: &sealed,
            receipt: envelope.receipt,
            expires_at: delivery.expires_at,
        };
        let Some(heard) = self.services.wake(address.push, wake).await else {
            return Report::untried(Advice::Never("no-service"));
        };
        let applied = self.apply(delivery, &to, &recipient, address, &heard.verdict).await;
        report(heard, applied)
    }

    /// What an answer changes about the device. False: it could not be written down, or was of an address that the device has no
    /// more; whoever tries again reads the present one.
    async fn apply(
        &self,
        delivery: &ClaimedDelivery,
        to: &ToPush,
        recipient: &Recipient,
        address: &Address,
        verdict: &Verdict,
    ) -> bool {
        let app = &self.crew.app;
        let done = match verdict {
            Verdict::Accepted { whole, canonical } => {
                let replaced = match canonical {
                    Some(new) => pushes::canonical(app, recipient, address, new).await.map(|_| ()),
                    None => Ok(()),
                };
                note(delivery, replaced);
                let taken = match whole {
                    true => envelopes::take(app, &recipient.number, recipient.device, &[to.envelope]).await.map(|_| ()),
                    false => Ok(()),
                };
                note(delivery, taken);
                // Whatever could not be written: the device has it.
                return true;
            }
            Verdict::Unregistered => match pushes::unregistered(app, recipient, address).await {
                Ok(true) => {
                    tracing::info!(delivery = %delivery.id, "a push service knows a device no more: its address is taken away");
                    Ok(())
                }
                // Another delivery's answer, or the device itself, has replaced the address meanwhile.
                Ok(false) => return false,
                Err(error) => Err(error),
            },
            Verdict::Misconfigured => {
                let service = delivery.destination.as_str();
                tracing::error!(service, "a push service refuses our credentials, or is not where the settings say");
                Ok(())
            }
            _ => Ok(()),
        };
        note(delivery, done)
    }
}

/// Says what could not be written.
fn note<E: std::error::Error + 'static>(delivery: &ClaimedDelivery, done: Result<(), E>) -> bool {
    let done = done.map_err(|error| {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(delivery = %delivery.id, error, "what a push service said could not be written down");
    });
    done.is_ok()
}

fn unread(delivery: &ClaimedDelivery, passing: bool, error: &(dyn std::error::Error + 'static)) -> Report {
    if passing {
        return Report::untried(Advice::In(SOON));
    }
    tracing::error!(delivery = %delivery.id, error, "what is to be pushed cannot be read");
    Report::untried(Advice::Later).code("internal")
}

/// What follows from an answer for the delivery, and for the service.
fn report(heard: Heard, applied: bool) -> Report {
    let Heard { verdict, status, code } = heard;
    let (outcome, advice, sign) = judge(&verdict, applied);
    Report { sign: Some(sign), status, code, ..Report::of(outcome, advice) }
}

fn judge(verdict: &Verdict, applied: bool) -> (Outcome, Advice, Sign) {
    let after = |pause: &Option<Duration>| pause.map_or(Advice::Later, Advice::In);
    match verdict {
        Verdict::Accepted { .. } => (Outcome::Delivered, Advice::Done, Sign::Good),
        Verdict::Unregistered if applied => (Outcome::RefusedForGood, Advice::Never("unregistered"), Sign::Good),
        Verdict::Unregistered => (Outcome::RefusedForNow, Advice::In(SOON), Sign::Good),
        Verdict::DeviceLater(pause) => (Outcome::RefusedForNow, after(pause), Sign::Good),
        Verdict::Busy(pause) => (Outcome::RefusedForNow, after(pause), Sign::Overloaded { retry_after: *pause }),
        Verdict::Failing | Verdict::Misconfigured => (Outcome::RefusedForNow, Advice::Later, Sign::Failed),
        // It may be about us, or about everything: the message must not be lost for it.
        Verdict::Refused => (Outcome::RefusedForNow, Advice::Later, Sign::Good),
        Verdict::TooLarge => (Outcome::RefusedForGood, Advice::Never("too-large"), Sign::Good),
        Verdict::Silent(error) if error.nothing_sent() => (Outcome::NotSent, Advice::Later, Sign::Failed),
        Verdict::Silent(_) => (Outcome::Unknown, Advice::Later, Sign::Failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_what_a_service_said() {
        let wait = Duration::from_secs(90);
        let pause = Some(wait);
        let accepted = Verdict::Accepted { whole: true, canonical: None };
        let table = [
            (accepted, true, (Outcome::Delivered, Advice::Done, Sign::Good)),
            (Verdict::Unregistered, true, (Outcome::RefusedForGood, Advice::Never("unregistered"), Sign::Good)),
            // The next try hears it again, or has another address.
            (Verdict::Unregistered, false, (Outcome::RefusedForNow, Advice::In(SOON), Sign::Good)),
            // One device must not hold up the others.
            (Verdict::DeviceLater(pause), true, (Outcome::RefusedForNow, Advice::In(wait), Sign::Good)),
            (
                Verdict::Busy(pause),
                true,
                (Outcome::RefusedForNow, Advice::In(wait), Sign::Overloaded { retry_after: pause }),
            ),
            (
                Verdict::Busy(None),
                true,
                (Outcome::RefusedForNow, Advice::Later, Sign::Overloaded { retry_after: None }),
            ),
            (Verdict::Failing, true, (Outcome::RefusedForNow, Advice::Later, Sign::Failed)),
            (Verdict::Misconfigured, true, (Outcome::RefusedForNow, Advice::Later, Sign::Failed)),
            // A gateway that refuses without a reason refuses everything: nothing is given up for it.
            (Verdict::Refused, true, (Outcome::RefusedForNow, Advice::Later, Sign::Good)),
            (Verdict::TooLarge, true, (Outcome::RefusedForGood, Advice::Never("too-large"), Sign::Good)),
        ];
        for (verdict, applied, follows) in table {
            assert_eq!(judge(&verdict, applied), follows, "{verdict:?}");
        }
    }
}
