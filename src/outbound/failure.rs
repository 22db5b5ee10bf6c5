//! Why a call brought no answer, and whether the peer can have got it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::resolve::{RefusedAddress, Unresolved};

/// A call without an answer.
///
/// `Display` is for the log and for an attempt's record: it holds the host, addresses and the system's words, never a path,
/// a header or a body. It is not for the peer or the caller of our own doors (specification, weakness 6.4).
#[derive(Debug)]
pub struct CallError {
    /// What went wrong.
    pub kind: Failure,
    /// From the start of the call.
    pub elapsed: Duration,
    /// Details for the log.
    pub detail: String,
    nothing_sent: bool,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The name has no address, or no name server answered.
    Resolve,
    /// The name has only addresses that may not be connected to.
    RefusedAddress,
    /// No connection: refused, unreachable, closed during the handshake.
    Connect,
    /// The peer cannot prove its name, or speaks no TLS that we do.
    Tls,
    /// Time ran out, and the request certainly was not sent.
    TimeoutBeforeSending,
    /// Time ran out, and the peer may have the request.
    TimeoutAfterSending,
    /// The connection ended or spoke no HTTP before the answer was complete.
    Broken,
    /// The answer is longer than the call allows.
    AnswerTooLarge,
    /// The peer redirects where we may not follow, or redirects again.
    BadRedirect,
}

impl Failure {
    /// One stable word, for metrics and an attempt's record.
    pub fn word(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::RefusedAddress => "refused_address",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::TimeoutBeforeSending => "timeout_before_sending",
            Self::TimeoutAfterSending => "timeout_after_sending",
            Self::Broken => "broken",
            Self::AnswerTooLarge => "answer_too_large",
            Self::BadRedirect => "bad_redirect",
        }
    }
}

impl CallError {
    pub(super) fn new(kind: Failure, detail: impl Into<String>, nothing_sent: bool) -> Self {
        Self { kind, elapsed: Duration::ZERO, detail: detail.into(), nothing_sent }
    }

    pub(super) fn after(self, elapsed: Duration) -> Self {
        Self { elapsed, ..self }
    }

    /// The first hop was answered, so the peer has the request even if the second hop never left.
    pub(super) fn after_a_redirect(self) -> Self {
        let kind = match self.kind {
            Failure::TimeoutBeforeSending => Failure::TimeoutAfterSending,
            kind => kind,
        };
        Self { kind, nothing_sent: false, detail: format!("after a redirect: {}", self.detail), ..self }
    }

    /// True only if the peer certainly has not got the request and will not get it: then repeating it is safe, and a code that
    /// it was made for may be restored (specification, weakness 6.2). False means "perhaps".
    pub fn nothing_sent(&self) -> bool {
        self.nothing_sent
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {} ms: {}", self.kind.word(), self.elapsed.as_millis(), self.detail)
    }
}

impl Error for CallError {}

/// Sorts what the client reports. `withdrawn`: the request certainly was not sent.
pub(super) fn sort(error: reqwest::Error, withdrawn: bool) -> CallError {
    // The URL can hold a webhook's secret.
    let error = error.without_url();
    // Connecting comes before sending; every call that fails there has sent nothing, with or without a body.
    let connecting = error.is_connect();
    let kind = match origin(&error) {
        Some(kind) => kind,
        None if error.is_timeout() && (connecting || withdrawn) => Failure::TimeoutBeforeSending,
        None if error.is_timeout() => Failure::TimeoutAfterSending,
        None if connecting => Failure::Connect,
        None => Failure::Broken,
    };
    CallError::new(kind, words(&error), connecting || withdrawn)
}

/// The cause, where one deep in the chain is telling.
fn origin(error: &reqwest::Error) -> Option<Failure> {
    causes(error).find_map(|cause| {
        if cause.is::<RefusedAddress>() {
            Some(Failure::RefusedAddress)
        } else if cause.is::<Unresolved>() {
            Some(Failure::Resolve)
        } else if cause.is::<rustls::Error>() {
            // After connecting it is a broken connection like any other: an alert or a bad record in mid-stream.
            Some(if error.is_connect() { Failure::Tls } else { Failure::Broken })
        } else {
            None
        }
    })
}

/// The error and all its causes. `io::Error` hides the error it wraps from `source`, so it is opened here.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref()) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// The chain in one line, without saying the same thing twice.
fn words(error: &reqwest::Error) -> String {
    let mut said = Vec::<String>::new();
    for cause in causes(error) {
        let text = cause.to_string();
        if !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
    }
    said.join(": ")
}
