//! An application's own verifier: passwords, a directory, whatever it has. Its calls are signed as webhooks are.

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ANSWER, TOO_MANY, UNSET, Unavailable};
use crate::jobs::{BackendAnswer, Elsewhere};
use crate::logins::apps::Application;
use crate::outbound::{Answer, Call, Ports, Redirects, Target};
use crate::webhooks::{self, AGENT, DatedSecret, Signer, SigningSecret};

/// Longest address that a verifier may give somebody, in bytes, and longest name, in characters.
const LONGEST_ADDRESS: usize = 254;
const LONGEST_NAME: usize = 128;

/// What is asked.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Somebody begins.
    Start,
    /// Somebody has typed a secret.
    Verify,
}

#[derive(Serialize)]
struct Event<'a> {
    r#type: &'static str,
    timestamp: Timestamp,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    app: &'a str,
    user: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    device: &'a str,
    ip: Option<std::net::IpAddr>,
}

#[derive(Deserialize)]
struct Verdict {
    verified: bool,
    address: Option<String>,
    name: Option<String>,
}

/// The call: `id` is the `webhook-id`, the same in every repeat.
pub(super) fn call(
    app: &Application,
    id: Uuid,
    now: Timestamp,
    kind: Kind,
    who: &Elsewhere,
) -> Result<Call, Unavailable> {
    let verifier = app.verifier.as_ref().ok_or(Unavailable("no-verifier"))?;
    let target = Target::with_ports(&verifier.url, &Ports::Any).map_err(|_| Unavailable("bad-url"))?;
    let secret: SigningSecret = verifier.secret.reveal().parse().map_err(|_| Unavailable("bad-secret"))?;
    let (r#type, secret_typed) = match kind {
        Kind::Start => ("login.start", None),
        Kind::Verify => ("login.verify", Some(who.secret.as_str())),
    };
    let data = Data { app: &app.appid, user: &who.user, secret: secret_typed, device: &who.device, ip: who.ip };
    let body = serde_json::to_vec(&Event { r#type, timestamp: now, data }).map_err(|_| Unavailable("internal"))?;
    let id = id.to_string();
    let signature = Signer::new(&[DatedSecret { secret, until: None }]).sign(&id, now, &body);
    let headers = signed_headers(&id, now, &signature).ok_or(Unavailable("internal"))?;
    let (method, body) = (Method::POST, body.into());
    Ok(Call { target, method, headers, body, timeout: UNSET, redirects: Redirects::None, answer: ANSWER })
}

fn signed_headers(id: &str, now: Timestamp, signature: &str) -> Option<HeaderMap> {
    let value = |text: &str| HeaderValue::try_from(text).ok();
    let pairs: [(HeaderName, HeaderValue); 5] = [
        (webhooks::ID, value(id)?),
        (webhooks::TIMESTAMP, HeaderValue::from(now.as_second())),
        (webhooks::SIGNATURE, value(signature)?),
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (USER_AGENT, AGENT),
    ];
    Some(HeaderMap::from_iter(pairs))
}

/// What it says to somebody who begins: any answer is one, so that no status tells who is known.
pub(super) fn begun(answer: Result<Answer, Unavailable>) -> Result<BackendAnswer, Unavailable> {
    match answer {
        Ok(_) | Err(Unavailable(TOO_MANY)) => Ok(BackendAnswer::Done),
        Err(problem) => Err(problem),
    }
}

/// What it says of a secret.
pub(super) fn verdict(answer: &Answer) -> Result<BackendAnswer, Unavailable> {
    let no = || Ok(BackendAnswer::Refused(String::from("not-verified")));
    match answer.status {
        200..300 => {}
        401 | 403 => return no(),
        _ => return Err(Unavailable("unexpected-status")),
    }
    let verdict: Verdict = serde_json::from_slice(&answer.body).map_err(|_| Unavailable("not-json"))?;
    if !verdict.verified {
        return no();
    }
    let printable = |text: &String| !text.is_empty() && !text.chars().any(char::is_control);
    let address_good = |text: &String| printable(text) && text.len() <= LONGEST_ADDRESS;
    // Somebody under a wrong address would be somebody else: better nobody.
    if verdict.address.as_ref().is_some_and(|address| !address_good(address)) {
        return Err(Unavailable("bad-address"));
    }
    let name = verdict.name.filter(printable).map(|name| name.chars().take(LONGEST_NAME).collect());
    Ok(BackendAnswer::Verified { address: verdict.address, name })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.to_owned().into(), truncated: false, retry_after: None, elapsed: Duration::ZERO }
    }

    fn shown(verdict: Result<BackendAnswer, Unavailable>) -> String {
        match verdict {
            Ok(BackendAnswer::Verified { address, name }) => {
                format!("{}/{}", address.unwrap_or_default(), name.unwrap_or_default())
            }
            Ok(BackendAnswer::Refused(word)) => word,
            Ok(_) => String::from("done"),
            Err(Unavailable(problem)) => format!("unavailable {problem}"),
        }
    }

    #[test]
    fn verdicts() {
        let long = format!(r#"{{"verified":true,"address":"{}"}}"#, "x".repeat(255));
        for (status, body, expected) in [
            (200, r#"{"verified":true}"#, "/"),
            (201, r#"{"verified":true,"address":"4711","name":"Ann \"A\" Müller","more":1}"#, "4711/Ann \"A\" Müller"),
            (200, r#"{"verified":true,"address":null,"name":null}"#, "/"),
            (200, r#"{"verified":false,"name":"Ann"}"#, "not-verified"),
            (401, "", "not-verified"),
            (403, r#"{"verified":true}"#, "not-verified"),
            (200, r#"{"verified":"true"}"#, "unavailable not-json"),
            (200, "{}", "unavailable not-json"),
            (204, "", "unavailable not-json"),
            (200, r#"{"verified":true,"address":""}"#, "unavailable bad-address"),
            (200, r#"{"verified":true,"address":"a\u0000"}"#, "unavailable bad-address"),
            (200, long.as_str(), "unavailable bad-address"),
            (404, r#"{"verified":true}"#, "unavailable unexpected-status"),
            (302, r#"{"verified":true}"#, "unavailable unexpected-status"),
        ] {
            assert_eq!(shown(verdict(&answer(status, body))), expected, "{status} {body:.60}");
        }
    }

    #[test]
    fn no_status_tells_who_is_known() {
        for status in [200, 202, 302, 401, 403, 404, 422] {
            assert_eq!(shown(begun(Ok(answer(status, "")))), "done", "{status}");
        }
        for (problem, expected) in [(TOO_MANY, "done"), ("out-of-order", "unavailable out-of-order")] {
            assert_eq!(shown(begun(Err(Unavailable(problem)))), expected);
        }
    }
}
