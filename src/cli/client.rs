//! The API's client: one request at a time, with a bearer key, bounded patience and refusals in words.
//!
//! What is safe to repeat is repeated: anything the node put off (429, 503) or that never reached it, and, for requests marked
//! idempotent, anything whose answer was lost. Redirects are not followed and proxies not used: the key goes to the node only.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::problem::Problem;
use super::target::TargetError;
use crate::config::Secret;

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("nothing answers at {base}: is `handfast up` or `handfast serve` running? ({cause})")]
    Unreachable {
        /// The URL asked.
        base: String,
        /// The system's words.
        cause: String,
    },
    /// The connection was there, and the answer did not come: it is not known whether the request was carried out.
    #[error("{base} did not answer: {cause}")]
    Lost {
        /// The URL asked.
        base: String,
        /// The system's words.
        cause: String,
    },
    /// The node refused.
    #[error("{0}")]
    Refused(Problem),
    /// What answered does not talk like a handfast node.
    #[error("the answer of {base} was not understood ({what}): is this the private listener of a handfast node?")]
    Odd {
        /// The URL asked.
        base: String,
        /// What was strange.
        what: String,
    },
    /// The user asked to stop while this request was waiting for its next try.
    #[error("stopped while waiting: {0}")]
    Stopped(Box<ClientError>),
}

impl ClientError {
    /// The refusal's HTTP status, if it was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(problem) => Some(problem.status),
            _ => None,
        }
    }
}

/// How long a request is repeated, counted from its first try.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// While nothing answers or answers are lost.
    pub(super) away: Duration,
    /// While the node says "temporarily" (503).
    pub(super) unavailable: Duration,
    /// While the node says "too many requests" (429).
    pub(super) busy: Duration,
}

impl Patience {
    /// Someone sits and waits.
    pub(super) const SHORT: Self =
        Self { away: Duration::from_secs(1), unavailable: Duration::from_secs(15), busy: Duration::from_secs(30) };

    /// A long run that should outlive a restart of the node, and is slowed down at the node's word for as long as it takes.
    pub(super) fn long(away: Duration) -> Self {
        Self { away, unavailable: away, busy: Duration::MAX }
    }
}

/// A client of one node.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: HeaderValue,
}

impl Client {
    /// A client for the node at `base` (`http://host:port`, with or without `/api/v1`).
    ///
    /// # Errors
    /// If the URL is not http or https, or the key holds characters no header can carry.
    pub fn new(base: Url, key: Secret) -> Result<Self, TargetError> {
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(TargetError::Url(base));
        }
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", key.reveal()))
            .map_err(|_| TargetError::NoKey(" (the one given holds characters that no key has)".into()))?;
        authorization.set_sensitive(true);
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .user_agent(concat!("handfast/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| TargetError::Url(base.clone()))?;
        Ok(Self { http, base, authorization })
    }

    /// A request to `/api/v1/` followed by the segments, each escaped.
    pub(super) fn call(&self, method: Method, segments: &[&str]) -> Call<'_> {
        let mut url = self.base.clone();
        url.set_query(None);
        url.set_fragment(None);
        let has_prefix = url.path().trim_end_matches('/').ends_with("/api/v1");
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty();
            if !has_prefix {
                path.extend(["api", "v1"]);
            }
            path.extend(segments);
        }
        let idempotent = matches!(method, Method::GET | Method::DELETE);
        Call {
            client: self,
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            idempotent,
            timeout: Duration::from_secs(60),
            patience: Patience::SHORT,
            stop: None,
            on_wait: &say_waiting,
        }
    }

    /// `GET`.
    pub(super) fn get(&self, segments: &[&str]) -> Call<'_> {
        self.call(Method::GET, segments)
    }

    /// `POST`; not repeated after a lost answer unless marked [`Call::idempotent`].
    pub(super) fn post(&self, segments: &[&str]) -> Call<'_> {
        self.call(Method::POST, segments)
    }

    fn lost(&self, error: reqwest::Error) -> ClientError {
        let base = self.base.origin().ascii_serialization();
        let connect = error.is_connect();
        let cause = if error.is_timeout() { "it took too long".to_owned() } else { innermost(&error.without_url()) };
        if connect { ClientError::Unreachable { base, cause } } else { ClientError::Lost { base, cause } }
    }

    fn odd(&self, what: String) -> ClientError {
        ClientError::Odd { base: self.base.origin().ascii_serialization(), what }
    }
}

/// Told before every wait of a second or more: how long, and why.
pub(super) type OnWait<'a> = &'a (dyn Fn(Duration, &ClientError) + Sync);

/// A request in the making.
pub(super) struct Call<'a> {
    client: &'a Client,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Bytes>,
    idempotent: bool,
    timeout: Duration,
    patience: Patience,
    stop: Option<&'a CancellationToken>,
    on_wait: OnWait<'a>,
}

/// A good answer.
pub(super) struct Answer<'a> {
    client: &'a Client,
    headers: HeaderMap,
    /// The body as it came.
    pub(super) text: String,
}

impl<'a> Call<'a> {
    /// Adds `name=value` to the query.
    pub(super) fn query(mut self, name: &str, value: impl ToString) -> Self {
        self.url.query_pairs_mut().append_pair(name, &value.to_string());
        self
    }

    /// Adds `name=value` if there is a value.
    pub(super) fn query_maybe(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// A JSON body.
    pub(super) fn json(self, value: serde_json::Value) -> Self {
        self.body(Bytes::from(value.to_string()))
    }

    /// A body that is JSON already.
    pub(super) fn body(mut self, json: Bytes) -> Self {
        self.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = Some(json);
        self
    }

    /// Adds a header.
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Marks the request as one that may be carried out twice without harm.
    pub(super) fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Allows for an answer that the node holds back for this long, beyond the usual 60 s.
    pub(super) fn held(mut self, wait: Duration) -> Self {
        self.timeout += wait;
        self
    }

    /// How long to repeat.
    pub(super) fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// Ends waits (never a request under way) when the token is cancelled.
    pub(super) fn stop_with(mut self, stop: &'a CancellationToken) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Who is told of waits, instead of standard error.
    pub(super) fn on_wait(mut self, on_wait: OnWait<'a>) -> Self {
        self.on_wait = on_wait;
        self
    }

    /// Asks, repeating as the patience allows.
    ///
    /// # Errors
    /// The last failure, when it is final or patience is at its end.
    pub(super) async fn send(self) -> Result<Answer<'a>, ClientError> {
        let started = Instant::now();
        for tried in 1_u32.. {
            let failure = match self.attempt(Some(self.timeout)).await {
                Ok(response) => match self.read(response).await {
                    Ok(answer) => return Ok(answer),
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            let Some(wait) = self.wait_after(&failure, tried, started.elapsed()) else { return Err(failure.error) };
            if wait >= Duration::from_secs(1) {
                (self.on_wait)(wait, &failure.error);
            }
            if stopped_within(self.stop, wait).await {
                return Err(ClientError::Stopped(Box::new(failure.error)));
            }
        }
        unreachable!("the loop above only ends by returning")
    }

    /// Asks, and reads the answer as JSON.
    pub(super) async fn parse<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        self.send().await?.parse()
    }

    /// Asks once, and gives the body as it arrives; each piece must come within `silence`.
    pub(super) async fn stream(
        self,
        silence: Duration,
    ) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + use<'a>, ClientError> {
        let attempt = tokio::time::timeout(silence, self.attempt(None)).await;
        let response = attempt.map_err(|_| self.silent())?.map_err(|failure| failure.error)?;
        let client = self.client;
        let silent = move || ClientError::Lost {
            base: client.base.origin().ascii_serialization(),
            cause: format!("nothing came for {} s", silence.as_secs()),
        };
        let pieces = Box::pin(response.bytes_stream());
        Ok(futures_util::stream::unfold(pieces, move |mut pieces| async move {
            match tokio::time::timeout(silence, pieces.next()).await {
                Err(_) => Some((Err(silent()), pieces)),
                Ok(piece) => piece.map(|piece| (piece.map_err(|e| client.lost(e)), pieces)),
            }
        }))
    }

    fn silent(&self) -> ClientError {
        let base = self.client.base.origin().ascii_serialization();
        ClientError::Lost { base, cause: "it took too long".into() }
    }

    async fn attempt(&self, timeout: Option<Duration>) -> Result<reqwest::Response, Failed> {
        let mut request = self.client.http.request(self.method.clone(), self.url.clone()).headers(self.headers.clone());
        request = request.header(http::header::AUTHORIZATION, self.client.authorization.clone());
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        let response = request.send().await.map_err(|e| Failed { error: self.client.lost(e), retry_after: None })?;
        if response.status().is_success() { Ok(response) } else { Err(self.refused(response).await) }
    }

    async fn read(&self, response: reqwest::Response) -> Result<Answer<'a>, Failed> {
        let headers = response.headers().clone();
        let text = response.text().await.map_err(|e| Failed { error: self.client.lost(e), retry_after: None })?;
        Ok(Answer { client: self.client, headers, text })
    }

    async fn refused(&self, response: reqwest::Response) -> Failed {
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok()).map(str::to_owned);
        let retry_after =
            header(http::header::RETRY_AFTER).and_then(|v| v.trim().parse().ok()).map(Duration::from_secs);
        let is_problem = header(http::header::CONTENT_TYPE).is_some_and(|v| v.contains("json"));
        let text = response.text().await.unwrap_or_default();
        let error = match serde_json::from_str::<Problem>(&text) {
            Ok(problem) if is_problem => ClientError::Refused(Problem { status, ..problem }),
            // A proxy in between may put off or break a request without knowing our words.
            _ if matches!(status, 429 | 502 | 503 | 504) => ClientError::Refused(Problem {
                status,
                title: format!("status {status}"),
                detail: Some("something between us and the node does not let requests through".into()),
                ..Problem::default()
            }),
            _ => self.client.odd(format!("status {status}")),
        };
        Failed { error, retry_after }
    }

    fn wait_after(&self, failed: &Failed, tried: u32, elapsed: Duration) -> Option<Duration> {
        let patience = match &failed.error {
            ClientError::Unreachable { .. } => self.patience.away,
            ClientError::Lost { .. } if self.idempotent => self.patience.away,
            ClientError::Refused(problem) => match problem.status {
                429 => self.patience.busy,
                503 => self.patience.unavailable,
                502 | 504 if self.idempotent => self.patience.away,
                // A mistake of the node: it may be the moment's, but hardly more than twice.
                500 if self.idempotent && tried < 3 => self.patience.away,
                _ => return None,
            },
            _ => return None,
        };
        let wait = failed.retry_after.unwrap_or_else(|| growing(tried)).min(Duration::from_secs(300));
        (elapsed.saturating_add(wait) <= patience).then_some(wait)
    }
}

impl Answer<'_> {
    /// The body as JSON.
    ///
    /// # Errors
    /// If it is not what the API promises.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_str(&self.text).map_err(|e| self.client.odd(e.to_string()))
    }

    /// Whether the node had carried out this very request before.
    pub(super) fn replayed(&self) -> bool {
        self.headers.get("idempotent-replayed").is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"true"))
    }
}

struct Failed {
    error: ClientError,
    retry_after: Option<Duration>,
}

/// 0.25, 0.5, 1, 2, 4, 8, 10, 10 … seconds.
pub(super) fn growing(tried: u32) -> Duration {
    Duration::from_millis((250_u64 << tried.saturating_sub(1).min(10)).min(10_000))
}

/// Waits; true if the token was cancelled meanwhile.
pub(super) async fn stopped_within(stop: Option<&CancellationToken>, wait: Duration) -> bool {
    match stop {
        Some(stop) => tokio::time::timeout(wait, stop.cancelled()).await.is_ok(),
        None => {
            tokio::time::sleep(wait).await;
            false
        }
    }
}

fn say_waiting(wait: Duration, why: &ClientError) {
    eprintln!("waiting {} s: {why}", wait.as_secs());
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(base: &str) -> Client {
        Client::new(base.parse().unwrap(), Secret::from("hf_test".to_owned())).unwrap()
    }

    fn refused(status: u16) -> Failed {
        Failed { error: ClientError::Refused(Problem { status, ..Problem::default() }), retry_after: None }
    }

    #[test]
    fn urls_are_built_below_the_prefix_once() {
        for base in ["http://h:1", "http://h:1/", "http://h:1/api/v1", "http://h:1/api/v1/"] {
            let client = client(base);
            let call = client.get(&["accounts", "1000*a.example/../x"]).query("after", "a b&c");
            assert_eq!(call.url.as_str(), "http://h:1/api/v1/accounts/1000*a.example%2F..%2Fx?after=a+b%26c");
        }
        assert!(Client::new("ftp://h".parse().unwrap(), Secret::default()).is_err());
        assert!(Client::new("mailto:x".parse().unwrap(), Secret::default()).is_err());
    }

    #[test]
    fn only_what_is_safe_is_repeated() {
        let client = client("http://h");
        let lost =
            || Failed { error: ClientError::Lost { base: String::new(), cause: String::new() }, retry_after: None };
        let unreachable = || Failed {
            error: ClientError::Unreachable { base: String::new(), cause: String::new() },
            retry_after: None,
        };
        let repeats = |call: &Call<'_>, failed: Failed| call.wait_after(&failed, 1, Duration::ZERO).is_some();
        let (get, post) = (client.get(&[]), client.post(&[]));
        for (failed, by_get, by_post) in [
            (refused(429), true, true),
            (refused(503), true, true),
            (unreachable(), true, true),
            (lost(), true, false),
            (refused(500), true, false),
            (refused(502), true, false),
            (refused(404), false, false),
            (refused(422), false, false),
        ] {
            let again = Failed { error: clone_kind(&failed.error), retry_after: None };
            assert_eq!((repeats(&get, failed), repeats(&post, again)), (by_get, by_post));
        }
        assert!(repeats(&client.post(&[]).idempotent(), lost()));
    }

    fn clone_kind(error: &ClientError) -> ClientError {
        match error {
            ClientError::Refused(problem) => ClientError::Refused(problem.clone()),
            ClientError::Lost { .. } => ClientError::Lost { base: String::new(), cause: String::new() },
            _ => ClientError::Unreachable { base: String::new(), cause: String::new() },
        }
    }

    #[test]
    fn patience_ends_and_retry_after_is_honoured() {
        let client = client("http://h");
        let call = client.get(&[]);
        let mut failed = refused(503);
        failed.retry_after = Some(Duration::from_secs(7));
        assert_eq!(call.wait_after(&failed, 1, Duration::ZERO), Some(Duration::from_secs(7)));
        assert_eq!(call.wait_after(&failed, 1, Duration::from_secs(9)), None);
        let patient = client.get(&[]).patience(Patience::long(Duration::from_secs(60)));
        assert!(patient.wait_after(&refused(429), 1, Duration::from_secs(100_000)).is_some());
        assert_eq!(growing(1), Duration::from_millis(250));
        assert_eq!(growing(u32::MAX), Duration::from_secs(10));
    }
}
