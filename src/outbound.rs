//! The guarded client: every call from a worker to a stranger goes through here.
//!
//! Promises
//! - Only https of a named host, on port 443 (a webhook's URL may name another one of `outbound.ports`), and only at an
//!   address that was checked in the same step in which it was resolved. What may not be reached is listed in `guard`; the
//!   operator adds to it, nobody takes away from it outside development. Only what the operator's settings name is called
//!   wherever it is ([`Outbound::to_configured`]).
//! - Bounded in time and size: a whole call, answer included, never takes longer than its time-out, and never more of the
//!   answer is held than its limit. A dripping peer gains nothing.
//! - [`CallError::nothing_sent`] is true only when that is certain.
//! - A request is handed to the network at most once per hop. Redirects are followed here, at most one and never off the
//!   site; the client library repeats nothing by itself, except a request that found its kept-alive connection closed
//!   before any of it was written, which it puts on a new one.
//! - Proxy variables, cookies and compression are not used; no User-Agent is sent (PHP's curl sends none). HTTP is 1.1, except for
//!   a service that speaks nothing but HTTP/2, which is called by [`Outbound::call_http2`]: behind the same guard, with the same
//!   bounds, over connections of its own, which many calls share.
//!
//! The collector of traces, which the operator has named, is called by a client of its own (`collector`).
//!
//! Leaves out: when to call again (`retry`), how many calls at once (the workers), what an answer means (the doors' types).

mod collector;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod guard;
mod hold;
mod resolve;
mod retry_after;
mod target;
#[cfg(test)]
mod tests;

pub use collector::{Collector, NotTaken};
pub use failure::{CallError, Failure};
pub use retry_after::RetryAfter;
pub use target::{Ports, Target, TargetError};

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use tokio::time::Instant;

use crate::config::Config;
use crate::tls::{self, TlsError};
use guard::Guard;
use hold::Hold;
use resolve::GuardedResolver;

/// How long a connection is kept for the next call. Common servers close after 5 s (Apache, Node); a call that meets the
/// closing has an unknown outcome, which costs more than a handshake, so ours ends first.
const KEEP: Duration = Duration::from_secs(4);
/// How long the rest of an answer that nobody will look at is read for the connection's sake.
const SKIMMING: Duration = Duration::from_secs(5);
/// The same for HTTP/2, where a peer that closes says which requests it has not taken; services ask for connections that last.
const KEEP_HTTP2: Duration = Duration::from_secs(300);
/// One dead connection holds up every call that shares it: so often a peer that owes answers is asked whether it is there …
const PING: Duration = Duration::from_secs(3);
/// … and given so long to say so.
const PONG: Duration = Duration::from_secs(3);

/// The client. Cloning is cheap, and clones share connections.
#[derive(Debug, Clone)]
pub struct Outbound {
    client: reqwest::Client,
    http2: reqwest::Client,
}

/// Why the client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// Certificate authorities.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system's name server configuration.
    #[error("name servers: {0}")]
    NameServers(String),
    /// The library refused the combination.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Where to.
    pub target: Target,
    /// Usually POST.
    pub method: Method,
    /// Further headers, `Content-Type` among them. `Host`, `Content-Length` and `Accept: */*` are set by themselves.
    pub headers: HeaderMap,
    /// Sent as it is.
    pub body: Bytes,
    /// For the whole call: resolving, connecting, sending, the answer to its last byte, and a redirect.
    pub timeout: Duration,
    /// Whether one redirect may be followed.
    pub redirects: Redirects,
    /// How much of an answer is wanted.
    pub answer: AnswerLimit,
}

/// What to do with a 301, 302, 307 or 308.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirects {
    /// It is an answer like any other.
    None,
    /// Send the same request once more, if the place is https, port 443, the same host or its `www.`/bare twin, and its path
    /// begins with the prefix; anything else is [`Failure::BadRedirect`]. 303 is an answer: it asks for a GET.
    OneWithin {
        /// For instance `/openmsg/`.
        path_prefix: String,
    },
}

/// How an answer's length is bounded, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerLimit {
    /// A longer answer is [`Failure::AnswerTooLarge`]: for answers that are parsed.
    Refuse(usize),
    /// A longer answer is cut, and its rest not read.
    Cut(usize),
    /// For answers of which only the status counts: a little is kept, and the rest is read so that the connection can be used
    /// again. What breaks off after the head, is longer than `read` or takes longer than [`SKIMMING`] is an answer all the same.
    Skim {
        /// Kept of it.
        keep: usize,
        /// Read of it.
        read: usize,
    },
}

/// What the peer said.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// As it came.
    pub body: Bytes,
    /// Whether there was more (only with [`AnswerLimit::Cut`] and [`AnswerLimit::Skim`]).
    pub truncated: bool,
    /// How long the peer asks to be left alone, if it does.
    pub retry_after: Option<RetryAfter>,
    /// From the start of the call.
    pub elapsed: Duration,
}

impl std::fmt::Debug for Answer {
    // Bodies never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({}, {} bytes, {} ms)", self.status, self.body.len(), self.elapsed.as_millis())
    }
}

impl Outbound {
    /// Sets up trust, name servers and the pool of connections from `outbound` and `development`.
    pub fn new(config: &Config) -> Result<Self, OutboundError> {
        Self::behind(guard(config), config, &tls::client_config(config.outbound.ca_file.as_deref())?)
    }

    /// A client of its own for a peer of which only the certificates in `certificate` are trusted.
    pub fn pinned(config: &Config, certificate: &Path) -> Result<Self, OutboundError> {
        Self::behind(guard(config), config, &tls::pinned_client_config(certificate)?)
    }

    /// For places that stand in the settings, and for nothing else: the operator's own word may lead into the operator's own
    /// network.
    pub fn to_configured(config: &Config) -> Result<Self, OutboundError> {
        Self::behind(Guard::open(), config, &tls::client_config(config.outbound.ca_file.as_deref())?)
    }

    fn behind(guard: Guard, config: &Config, tls: &rustls::ClientConfig) -> Result<Self, OutboundError> {
        let resolver = GuardedResolver::new(guard, &config.development.resolve)
            .map_err(|e| OutboundError::NameServers(e.to_string()))?;
        let resolver = Arc::new(resolver);
        let refused = |e: reqwest::Error| OutboundError::Client(e.to_string());
        let client = builder(config, tls, Arc::clone(&resolver), None)
            .http1_only()
            .pool_idle_timeout(KEEP)
            // One host may be all that there is to call, or many webhooks: as many as can be in flight come back together.
            .pool_max_idle_per_host(config.delivery.in_flight);
        let http2 = builder(config, tls, resolver, Some(b"h2"))
            .http2_prior_knowledge()
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PONG)
            .pool_idle_timeout(KEEP_HTTP2);
        Ok(Self { client: client.build().map_err(refused)?, http2: http2.build().map_err(refused)? })
    }

    /// Makes the call. Dropping the future gives it up; the connection is then closed.
    pub async fn call(&self, call: Call) -> Result<Answer, CallError> {
        Self::call_over(&self.client, call).await
    }

    /// The same over HTTP/2, for a service that speaks nothing else. Dropping the future closes the stream, not the connection.
    pub async fn call_http2(&self, call: Call) -> Result<Answer, CallError> {
        Self::call_over(&self.http2, call).await
    }

    async fn call_over(client: &reqwest::Client, call: Call) -> Result<Answer, CallError> {
        let begun = Instant::now();
        let deadline = begun + call.timeout;
        let limit = call.answer;
        let answer = async {
            let response = follow(client, call, deadline).await?;
            let status = response.status().as_u16();
            let retry_after = RetryAfter::of(response.headers());
            let (body, truncated) = read(response, limit, deadline).await?;
            Ok(Answer { status, body, truncated, retry_after, elapsed: begun.elapsed() })
        };
        answer.await.map_err(|error: CallError| error.after(begun.elapsed()))
    }
}

fn guard(config: &Config) -> Guard {
    Guard::new(config.outbound.refused_networks.clone(), config.development.allow_addresses.iter().copied())
}

async fn follow(client: &reqwest::Client, call: Call, deadline: Instant) -> Result<reqwest::Response, CallError> {
    let Call { target, method, headers, body, redirects, .. } = call;
    let Redirects::OneWithin { path_prefix } = redirects else {
        return hop(client, request(method, target, headers), body, deadline).await;
    };
    let first = request(method.clone(), target.clone(), headers.clone());
    let response = hop(client, first, body.clone(), deadline).await?;
    if !is_redirect(response.status()) {
        return Ok(response);
    }
    // From here on the peer has had the request, whatever happens to the second one.
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(next) = target.redirected(location, &path_prefix) else {
        return Err(bad_redirect(response.status(), "to a place that may not be followed"));
    };
    drop(response);
    let second = hop(client, request(method, next, headers), body, deadline).await;
    let response = second.map_err(CallError::after_a_redirect)?;
    if is_redirect(response.status()) {
        return Err(bad_redirect(response.status(), "for the second time"));
    }
    Ok(response)
}

/// Sends the request and waits for the head of its answer.
async fn hop(
    client: &reqwest::Client,
    mut request: reqwest::Request,
    body: Bytes,
    deadline: Instant,
) -> Result<reqwest::Response, CallError> {
    // An empty body is never asked for, so a call without one counts as sent once it is under way.
    let hold = (!body.is_empty()).then(Hold::default);
    if let Some(hold) = &hold {
        *request.body_mut() = Some(reqwest::Body::wrap(hold.body(body)));
    }
    let outcome = tokio::time::timeout_at(deadline, client.execute(request)).await;
    match outcome {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(failure::sort(error, hold.is_some_and(|hold| hold.withdraw()))),
        Err(_) => Err(out_of_time(hold.is_some_and(|hold| hold.withdraw()))),
    }
}

/// What both clients share.
fn builder(
    config: &Config,
    tls: &rustls::ClientConfig,
    resolver: Arc<GuardedResolver>,
    alpn: Option<&[u8]>,
) -> reqwest::ClientBuilder {
    let mut tls = tls.clone();
    tls.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(true)
        .no_proxy()
        .dns_resolver(resolver)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(config.outbound.connect_timeout.duration())
        .tcp_nodelay(true)
}

fn request(method: Method, target: Target, headers: HeaderMap) -> reqwest::Request {
    let mut request = reqwest::Request::new(method, target.into_url());
    *request.headers_mut() = headers;
    request
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 307 | 308)
}

fn bad_redirect(status: StatusCode, what: &str) -> CallError {
    CallError::new(Failure::BadRedirect, format!("the peer redirects ({}) {what}", status.as_u16()), false)
}

fn out_of_time(nothing_sent: bool) -> CallError {
    let kind = if nothing_sent { Failure::TimeoutBeforeSending } else { Failure::TimeoutAfterSending };
    CallError::new(kind, "the call's time is over", nothing_sent)
}

/// The body, and whether there was more of it.
async fn read(
    mut response: reqwest::Response,
    limit: AnswerLimit,
    deadline: Instant,
) -> Result<(Bytes, bool), CallError> {
    let (AnswerLimit::Refuse(most) | AnswerLimit::Cut(most)) = limit else {
        return Ok(skim(response, limit, deadline).await);
    };
    let mut body = BytesMut::new();
    loop {
        let next = tokio::time::timeout_at(deadline, response.chunk()).await.map_err(|_| out_of_time(false))?;
        let Some(part) = next.map_err(|e| failure::sort(e, false))? else {
            return Ok((body.freeze(), false));
        };
        let room = most - body.len();
        body.extend_from_slice(&part[..part.len().min(room)]);
        if part.len() > room {
            if limit == AnswerLimit::Cut(most) {
                return Ok((body.freeze(), true));
            }
            let detail = format!("the answer ({}) is longer than {most} bytes", response.status().as_u16());
            return Err(CallError::new(Failure::AnswerTooLarge, detail, false));
        }
    }
}

async fn skim(mut response: reqwest::Response, limit: AnswerLimit, deadline: Instant) -> (Bytes, bool) {
    let AnswerLimit::Skim { keep, read } = limit else { return (Bytes::new(), true) };
    let deadline = deadline.min(Instant::now() + SKIMMING);
    let mut kept = BytesMut::new();
    let mut seen = 0;
    loop {
        let Ok(Ok(next)) = tokio::time::timeout_at(deadline, response.chunk()).await else {
            return (kept.freeze(), true);
        };
        let Some(part) = next else { return (kept.freeze(), seen > keep) };
        seen += part.len();
        kept.extend_from_slice(&part[..part.len().min(keep - kept.len())]);
        if seen > read {
            return (kept.freeze(), true);
        }
    }
}
