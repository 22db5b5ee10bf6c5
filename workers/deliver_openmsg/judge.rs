//! What a peer's answer means for a delivery (specification §3.6, last column).

use std::time::Duration;

use crate::books::{ClaimedDelivery, Outcome};
use crate::connections::{self, Keyed};
use crate::handshakes;
use crate::openmsg::reply::{MessageReply, PeerText};
use crate::openmsg::{Alphabet, Code, Verdict};
use crate::outbound::Answer;
use crate::retry::Advice;
use crate::worker::{Crew, Report};
use crate::workers::peer::PeerError;

/// Noted on a delivery that is tried under the secrets before the last handshake.
const UNDER_OLDER: &str = "under-older-secrets";
/// Noted on a delivery all of whose connection's secrets were refused.
const REFUSED: &str = "secrets-refused";
/// Noted on a delivery that is tried in the base64 of June 2025.
const IN_STANDARD: &str = "in-standard-base64";
/// From so many tries on nothing is tried again at once: a peer whose answers alternate must not keep us running in a circle.
const MOST_AT_ONCE: u16 = 12;
/// A handshake under way is finished after this long.
const ONCE_MORE: Duration = Duration::from_secs(2);

/// The peer's word, if it is one.
pub(super) fn answered(answer: &Result<Answer, PeerError>) -> Option<MessageReply> {
    let answer = answer.as_ref().ok().filter(|answer| answer.status == 200)?;
    MessageReply::parse(&answer.body).ok()
}

/// Whether the peer said yes.
pub(super) fn accepted(answer: &Result<Answer, PeerError>) -> bool {
    answered(answer) == Some(MessageReply::Accepted)
}

/// Which base64 this try is made in: what the peer was found to read, or what is being tried out.
pub(super) fn alphabet(delivery: &ClaimedDelivery, keyed: &Keyed) -> Alphabet {
    let trying = delivery.reason.as_deref() == Some(IN_STANDARD);
    if keyed.connection.other_padded || trying { Alphabet::Standard } else { Alphabet::UrlSafe }
}

/// What follows from the peer's word.
pub(super) async fn reply(crew: &Crew, delivery: &ClaimedDelivery, keyed: &Keyed, reply: MessageReply) -> Report {
    let report = judge(crew, delivery, keyed, reply).await;
    let at_once = matches!(report.advice, Advice::In(wait) if wait.is_zero());
    if at_once && delivery.tries >= MOST_AT_ONCE { Report { advice: Advice::Later, ..report } } else { report }
}

async fn judge(crew: &Crew, delivery: &ClaimedDelivery, keyed: &Keyed, reply: MessageReply) -> Report {
    let MessageReply::Refused { code, .. } = reply else { return accepted_now(crew, delivery, keyed).await };
    let code = code.unwrap_or(Code::Unknown);
    let report = |outcome, advice| Report::of(outcome, advice).code(code.wire());
    if may_be_alphabet(delivery, keyed, code) {
        return Report { note: Some(IN_STANDARD), ..report(Outcome::RefusedForNow, Advice::In(Duration::ZERO)) };
    }
    match code.verdict() {
        // An error that calls itself accepted is neither.
        Verdict::Done | Verdict::Retry => report(Outcome::RefusedForNow, Advice::Later),
        Verdict::RetryAndAlarm => {
            let domain = keyed.connection.other_address.domain();
            tracing::warn!(%domain, "the peer cannot reach our message-confirm: check DNS, certificate and firewall");
            report(Outcome::RefusedForNow, Advice::Later)
        }
        Verdict::RetryOnce if once_more_at_once(delivery.reason.as_deref()) => {
            report(Outcome::RefusedForNow, Advice::In(Duration::ZERO))
        }
        Verdict::RetryOnce => report(Outcome::RefusedForNow, Advice::Later),
        Verdict::Refused => report(Outcome::RefusedForGood, Advice::Never("rejected")),
        Verdict::DomainClosed => report(Outcome::RefusedForGood, Advice::Never("domain-closed")),
        Verdict::Broken => broken(crew, delivery, keyed, code).await,
    }
}

/// A node from before 2025-06-25 cannot read our packages, and says so by E003 or E005 (specification §5.4). Newer ones say these
/// for other reasons, and are asked a second time for nothing; handfast nodes are not.
fn may_be_alphabet(delivery: &ClaimedDelivery, keyed: &Keyed, code: Code) -> bool {
    let never = keyed.connection.other_remembers || keyed.connection.other_padded;
    !never && alphabet_untried(delivery.reason.as_deref()) && matches!(code, Code::MessageUnknown | Code::Expired)
}

/// By what was noted of the try before: after any of these the other base64 has just been tried, whatever came of it.
fn alphabet_untried(noted: Option<&str>) -> bool {
    let after = [Code::MessageUnknown, Code::Expired, Code::NonceUsed].map(Code::wire);
    noted.is_none_or(|noted| noted != IN_STANDARD && !after.contains(&noted))
}

/// Likewise: whether the try before was not one more at once already.
fn once_more_at_once(noted: Option<&str>) -> bool {
    noted.is_none_or(|noted| noted != Code::Expired.wire() && noted != Code::NonceUsed.wire())
}

/// A peer that read padded base64 only and answers it with an HTTP error has been brought up to date since.
pub(super) async fn mind_alphabet(crew: &Crew, keyed: &Keyed, answer: &Result<Answer, PeerError>) {
    if keyed.connection.other_padded
        && answer.as_ref().is_ok_and(|answer| answer.status != 200)
        && let Err(error) = connections::set_padded(&crew.app, keyed.connection.id, false).await
    {
        tracing::debug!(%error, "what a peer reads could not be remembered yet");
    }
}

async fn accepted_now(crew: &Crew, delivery: &ClaimedDelivery, keyed: &Keyed) -> Report {
    if delivery.reason.as_deref() == Some(IN_STANDARD)
        && let Err(error) = connections::set_padded(&crew.app, keyed.connection.id, true).await
    {
        tracing::debug!(%error, "what a peer reads could not be remembered yet");
    }
    if keyed.older.is_some()
        && let Err(error) = connections::prove_current(&crew.app, &[keyed.version()]).await
    {
        tracing::debug!(%error, "older secrets could not be dropped yet");
    }
    Report::of(Outcome::Delivered, Advice::Done)
}

/// The two sides hold different secrets. Where a handshake was half done, the peer still holds those from before it (weakness
/// 6.12): they are tried next. Where one is being finished at this moment, either side may be ahead: what both refuse is tried
/// once more a little later. Only then is the connection given up.
async fn broken(crew: &Crew, delivery: &ClaimedDelivery, keyed: &Keyed, code: Code) -> Report {
    let report = |advice| Report::of(Outcome::RefusedForGood, advice).code(code.wire());
    let noted = delivery.reason.as_deref();
    let connection = &keyed.connection;
    if noted == Some(REFUSED) {
        // A handshake of ours is on its way, and the peer may have stored its outcome already: we shall, too.
        if handshakes::is_open(&crew.app, &connection.self_address, &connection.other_address).await.unwrap_or(true) {
            return Report { note: Some(REFUSED), ..report(Advice::In(ONCE_MORE)) };
        }
        return match connections::mark_broken(&crew.app, keyed.version(), code.name()).await {
            Ok(true) => {
                tracing::warn!(from = %connection.self_address, to = %connection.other_address, code = code.wire(),
                    "a connection is broken: it needs a new handshake");
                report(Advice::Never("connection-broken"))
            }
            // Another handshake has put others in their place, or another delivery has just marked it.
            Ok(false) => report(Advice::In(Duration::ZERO)),
            Err(_) => report(Advice::Later),
        };
    }
    let older = keyed.older.is_some();
    if older && connections::prefer_older(&crew.app, keyed.version()).await.is_err() {
        return report(Advice::Later);
    }
    if older && noted != Some(UNDER_OLDER) {
        return Report { note: Some(UNDER_OLDER), ..report(Advice::In(Duration::ZERO)) };
    }
    Report { note: Some(REFUSED), ..report(Advice::In(ONCE_MORE)) }
}

/// Status and beginning of an answer that was not a success. It is shown to the sender and lies in the clear, and error pages
/// like to repeat the request, which names the connection by its ident code: what looks like a code is left out.
pub(super) fn describe(report: &mut Report, answer: &Answer) {
    report.status = Some(answer.status);
    if report.outcome != Some(Outcome::Delivered) {
        report.answer = Some(PeerText::of_answer(&answer.body).as_str().as_bytes().to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer whose clock is wrong says E005 to everything. It is asked in the other base64, then once more, then waited for.
    #[test]
    fn a_peer_that_always_says_expired_is_not_asked_at_once_for_ever() {
        let mut noted = None;
        let mut at_once = 0;
        while at_once < 10 {
            noted = match (alphabet_untried(noted), once_more_at_once(noted)) {
                (true, _) => Some(IN_STANDARD),
                (false, true) => Some(Code::Expired.wire()),
                (false, false) => break,
            };
            at_once += 1;
        }
        assert_eq!(at_once, 2);
    }
}
