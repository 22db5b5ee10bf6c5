//! Around all doors of a listener: every request is counted, timed and, where it is sampled, traced.
//!
//! What is told of a request is its door and the part of it that it concerns, both words of the lists below; never its path.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use tower_service::Service;

use crate::telemetry::families::{REQUEST_TIMES, REQUESTS, REQUESTS_OPEN};
use crate::telemetry::metrics::Holding;
use crate::telemetry::traces::{self, Span};

/// First words of `/api/v1/…`.
const API: [&str; 30] = [
    "accounts",
    "apps",
    "audit",
    "campaigns",
    "cancellations",
    "configuration",
    "connections",
    "deliveries",
    "destinations",
    "events",
    "handshakes",
    "homing",
    "inbox",
    "keys",
    "messages",
    "openapi.json",
    "operations",
    "otp",
    "overview",
    "peers",
    "phones",
    "replays",
    "sessions",
    "webhooks",
    "node",
    "mailbox",
    "me",
    "doctor",
    "workers",
    "queues",
];
const OPENMSG: [&str; 4] = ["auth", "auth-confirm", "message-receive", "message-confirm"];
const TEXTSECURE: [&str; 9] =
    ["accounts", "attachments", "devices", "directory", "federation", "keys", "messages", "receipt", "websocket"];

/// A listener's service, observed.
#[derive(Clone)]
pub struct Observed<S> {
    inner: S,
    listener: &'static str,
}

/// Observes `service`, the doors of `listener`.
pub fn observed<S>(listener: &'static str, service: S) -> Observed<S> {
    Observed { inner: service, listener }
}

impl<S, B> Service<Request<Incoming>> for Observed<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<B>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let mut seen = Seen::new(self.listener, &request);
        let mut inner = self.inner.clone();
        Box::pin(async move {
            let answer = seen.span.around(async move { inner.call(request).await }).await;
            if let Ok(response) = &answer {
                seen.answered(response.status().as_u16());
            }
            answer
        })
    }
}

/// One request, counted when this is dropped.
struct Seen {
    class: Class,
    method: &'static str,
    status: &'static str,
    span: Span,
    begun: Instant,
    _open: Holding,
}

impl Seen {
    fn new<B>(listener: &'static str, request: &Request<B>) -> Self {
        let (class, method) = (class(request.uri().path()), method(request.method()));
        Self {
            span: span(listener, class, method, request.headers()),
            class,
            method,
            status: "gone",
            begun: Instant::now(),
            _open: REQUESTS_OPEN.hold([listener]),
        }
    }

    fn answered(&mut self, status: u16) {
        self.status = word(status);
        self.span.note("http.response.status_code", i64::from(status));
        if status >= 500 {
            self.span.failed(self.status);
        }
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        let Class { door, route } = self.class;
        REQUESTS.one([door, route, self.method, self.status]);
        REQUEST_TIMES.took([door, route, self.method], self.begun.elapsed());
    }
}

/// Strangers have no say in what is traced here.
fn span(listener: &'static str, Class { door, route }: Class, method: &'static str, headers: &HeaderMap) -> Span {
    if !traces::is_on() || door == "health" {
        return Span::none();
    }
    let brought = headers.get("traceparent").and_then(|value| value.to_str().ok()).filter(|_| listener == "private");
    let span = traces::root(format!("{method} {door} {route}"), brought);
    span.note("http.request.method", method);
    span.note("handfast.door", door);
    span
}

/// What is told of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Class {
    door: &'static str,
    route: &'static str,
}

fn class(path: &str) -> Class {
    let mut parts = path.split('/').skip(1);
    let first = parts.next().unwrap_or_default();
    let mut next = || parts.next().unwrap_or_default();
    let (door, route) = match first {
        "api" => match next() {
            "v1" => ("api", one_of(&API, next())),
            _ => ("none", "other"),
        },
        "openmsg" => match next() {
            "sandbox" => ("openmsg", one_of(&OPENMSG, next())),
            endpoint => ("openmsg", one_of(&OPENMSG, endpoint)),
        },
        "v1" | "v2" => ("textsecure", one_of(&TEXTSECURE, next())),
        "homing" if next() == "hub" => ("homing-hub", "all"),
        "homing" => ("homing", "all"),
        "attachments" => ("attachments", "all"),
        "" | "index.php" | "api.php" => ("mesibo", "all"),
        "handshake" => ("form", "all"),
        "console" => ("console", "all"),
        "me" => ("mailbox", "all"),
        "healthz" | "readyz" | "metrics" => ("health", "all"),
        _ => ("none", "other"),
    };
    Class { door, route }
}

fn one_of(list: &[&'static str], word: &str) -> &'static str {
    list.iter().find(|known| **known == word).copied().unwrap_or("other")
}

fn method(method: &Method) -> &'static str {
    one_of(&["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"], method.as_str())
}

fn word(status: u16) -> &'static str {
    macro_rules! words {
        ($($status:literal)*) => { match status { $($status => stringify!($status),)* _ => "other" } };
    }
    words!(101 200 201 202 204 206 301 302 303 304 307 308 400 401 402 403 404 405 406 408 409 410 411 412 413 414 415 416 417 421
        422 423 424 425 426 428 429 431 500 501 502 503 504)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_by_words_of_ours_only() {
        for (path, door, route) in [
            ("/api/v1/messages", "api", "messages"),
            ("/api/v1/messages/0192?x", "api", "messages"),
            ("/api/v1/phones/+14155550101", "api", "phones"),
            ("/api/v1/+14155550101", "api", "other"),
            ("/api/v2/messages", "none", "other"),
            ("/openmsg/auth/", "openmsg", "auth"),
            ("/openmsg/sandbox/message-receive", "openmsg", "message-receive"),
            ("/openmsg/1000*peer.example", "openmsg", "other"),
            ("/v1/accounts/sms/code/+14155550101", "textsecure", "accounts"),
            ("/v2/keys", "textsecure", "keys"),
            ("/homing/hub/x", "homing-hub", "all"),
            ("/homing", "homing", "all"),
            ("/", "mesibo", "all"),
            ("/wp-login.php", "none", "other"),
            ("*", "mesibo", "all"),
        ] {
            assert_eq!(class(path), Class { door, route }, "{path}");
        }
    }

    #[test]
    fn methods_and_statuses_are_bounded() {
        assert_eq!((method(&Method::GET), method(&"BREW".parse().unwrap())), ("GET", "other"));
        assert_eq!((word(202), word(418), word(999)), ("202", "other", "other"));
    }

    #[test]
    fn every_first_word_of_the_api_is_in_the_list() {
        let routes = include_str!("api/routes.rs");
        let list = routes.split("routes! {").nth(1).and_then(|rest| rest.split("\n};").next()).unwrap();
        let mut seen = 0;
        for line in list.lines().filter(|line| line.contains("=>")) {
            let first = line.split('"').nth(1).and_then(|path| path.split('/').next()).unwrap();
            assert!(API.contains(&first), "{first}");
            seen += 1;
        }
        assert!(seen > 50);
    }
}
