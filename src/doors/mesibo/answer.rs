//! Answers: what every client of either generation finds what it looks for in, and nothing that upsets one.
//!
//! `op` and `ts` are always there, because clients look at them without asking; the members stand in the original's order.
//! `AUTHFAIL`, `errmsg`, `message` and `title` are never said: shipped clients log out by force, never end their waiting, or show a
//! dialogue. Refusals are HTTP 200, because nobody knows what the clients' library makes of another status.

use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use warp::reply::Response;
use zeroize::Zeroizing;

use crate::logins::apps::ResultStyle;

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Word {
    /// There is no such operation.
    #[serde(rename = "BADOP")]
    BadOp,
    /// No application is named.
    #[serde(rename = "MISSINGAPPID")]
    MissingAppId,
    /// There is no such application, or its back end refuses it.
    #[serde(rename = "BADAPP")]
    BadApp,
    /// The back end does not take this user; and a wrong code, where it is told as the original does.
    #[serde(rename = "BADUSER")]
    BadUser,
    /// No address, or none that this application sends codes to.
    #[serde(rename = "BADPHONE")]
    BadPhone,
    /// Wrong, expired, used up, never sent: nobody learns which.
    #[serde(rename = "BADCODE")]
    BadCode,
    /// Too often.
    #[serde(rename = "RATELIMIT")]
    RateLimit,
    /// What makes codes or tokens is not there now.
    #[serde(rename = "BACKEND")]
    Backend,
}

/// What an operation came to.
pub(super) enum Outcome {
    /// It was done.
    Done,
    /// Somebody is signed in.
    SignedIn { token: Zeroizing<String>, address: String, name: Option<String> },
    /// It was not done.
    Refused(Word),
    /// Too often; how long to wait.
    Limited(Duration),
}

/// An answer in the order of its members.
#[derive(Serialize)]
struct Body<'a> {
    op: &'a str,
    ts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Word>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    result: Success,
}

/// A request that named no operation.
#[derive(Serialize)]
struct Nothing {
    error: &'static str,
    result: Success,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Success {
    Bool(bool),
    Text(&'static str),
}

impl Outcome {
    /// Said to a client: `now` in Unix seconds.
    pub(super) fn response(&self, op: &str, now: i64, style: ResultStyle) -> Response {
        let good = matches!(self, Self::Done | Self::SignedIn { .. });
        let mut body = Body {
            op,
            ts: now,
            token: None,
            phone: None,
            name: None,
            error: None,
            retry_after: None,
            result: Success::of(good, style),
        };
        match self {
            Self::Done => {}
            Self::SignedIn { token, address, name } => {
                (body.token, body.phone, body.name) = (Some(token.as_str()), Some(address.as_str()), name.as_deref());
            }
            Self::Refused(word) => body.error = Some(*word),
            Self::Limited(after) => {
                body.error = Some(Word::RateLimit);
                body.retry_after = Some(whole_seconds(*after));
            }
        }
        let mut response = json(StatusCode::OK, &body);
        if let Some(seconds) = body.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl Success {
    fn of(good: bool, style: ResultStyle) -> Self {
        match style {
            ResultStyle::Bool => Self::Bool(good),
            ResultStyle::String => Self::Text(if good { "OK" } else { "FAIL" }),
        }
    }
}

/// For a request that names no operation, or is none: a word, and a status that says more.
pub(super) fn nothing(status: StatusCode, error: &'static str, style: ResultStyle) -> Response {
    json(status, &Nothing { error, result: Success::of(false, style) })
}

/// A status and nothing else.
pub(super) fn bare(status: StatusCode) -> Response {
    let mut response = Response::new(Vec::new().into());
    *response.status_mut() = status;
    not_kept(response.headers_mut());
    response
}

/// Elsewhere, as the original sends requests without an operation; none where the settings name no place.
pub(super) fn elsewhere(url: &str) -> Option<Response> {
    let location = HeaderValue::try_from(url).ok().filter(|url| !url.is_empty())?;
    let mut response = bare(StatusCode::FOUND);
    response.headers_mut().insert(header::LOCATION, location);
    Some(response)
}

fn json(status: StatusCode, what: &impl Serialize) -> Response {
    // Strings, numbers and booleans only: there is nothing that could fail.
    let mut response = Response::new(serde_json::to_vec(what).unwrap_or_default().into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    not_kept(headers);
    response
}

fn not_kept(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
}

/// Never too few, and never none.
fn whole_seconds(after: Duration) -> u64 {
    (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    const AT: i64 = 1_592_890_269;

    async fn said(outcome: Outcome, style: ResultStyle) -> String {
        let body = outcome.response("login", AT, style).into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn members_stand_in_their_order_in_both_styles() {
        let signed_in = |name: Option<&str>| Outcome::SignedIn {
            token: Zeroizing::new("bfab7b".into()),
            address: "18005551234".into(),
            name: name.map(str::to_owned),
        };
        let table = [
            (Outcome::Done, ResultStyle::Bool, r#"{"op":"login","ts":1592890269,"result":true}"#),
            (Outcome::Done, ResultStyle::String, r#"{"op":"login","ts":1592890269,"result":"OK"}"#),
            (
                signed_in(None),
                ResultStyle::Bool,
                r#"{"op":"login","ts":1592890269,"token":"bfab7b","phone":"18005551234","result":true}"#,
            ),
            (
                signed_in(Some("Ann \"A\"")),
                ResultStyle::String,
                r#"{"op":"login","ts":1592890269,"token":"bfab7b","phone":"18005551234","name":"Ann \"A\"","result":"OK"}"#,
            ),
            (
                Outcome::Refused(Word::BadCode),
                ResultStyle::Bool,
                r#"{"op":"login","ts":1592890269,"error":"BADCODE","result":false}"#,
            ),
            (
                Outcome::Limited(Duration::from_millis(1)),
                ResultStyle::String,
                r#"{"op":"login","ts":1592890269,"error":"RATELIMIT","retry_after":1,"result":"FAIL"}"#,
            ),
        ];
        for (outcome, style, expected) in table {
            assert_eq!(said(outcome, style).await, expected);
        }
    }

    #[test]
    fn waits_are_rounded_up() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
    }
}
