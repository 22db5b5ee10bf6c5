//! The API's client: one request at a time, with a bearer key, bounded patience and refusals in words.
//!
//! What is safe to repeat is repeated: anything the node put off (429, 503) or that never reached it, and, for requests marked
//! idempotent, anything whose answer was lost. Redirects are not followed and proxies not used: the key goes to the node only.

mod error;
mod patience;
pub(super) mod web;

pub use error::ClientError;
pub(crate) use patience::{Patience, growing, stopped_within};

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::patience::Failed;
use super::problem::Problem;
use super::target::TargetError;
use crate::config::Secret;

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
    /// The name it gives itself tells changes made on the command line from an application's own.
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
            .user_agent(concat!("handfast-cli/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| TargetError::Url(base.clone()))?;
        Ok(Self { http, base, authorization })
    }

    /// A request to `/api/v1/` followed by the segments, each escaped.
    pub(crate) fn call(&self, method: Method, segments: &[&str]) -> Call<'_> {
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
    pub(crate) fn get(&self, segments: &[&str]) -> Call<'_> {
        self.call(Method::GET, segments)
    }

    /// `POST`; not repeated after a lost answer unless marked [`Call::idempotent`].
    pub(crate) fn post(&self, segments: &[&str]) -> Call<'_> {
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
pub(crate) type OnWait<'a> = &'a (dyn Fn(Duration, &ClientError) + Sync);

/// A request in the making.
pub(crate) struct Call<'a> {
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
pub(crate) struct Answer<'a> {
    client: &'a Client,
    headers: HeaderMap,
    /// The body as it came.
    pub(crate) text: String,
}

impl<'a> Call<'a> {
    /// Adds `name=value` to the query.
    pub(crate) fn query(mut self, name: &str, value: impl ToString) -> Self {
        self.url.query_pairs_mut().append_pair(name, &value.to_string());
        self
    }

    /// Adds `name=value` if there is a value.
    pub(crate) fn query_maybe(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// A JSON body: a value, or JSON as text.
    pub(crate) fn json(self, value: impl ToString) -> Self {
        self.body(Bytes::from(value.to_string()))
    }

    /// Says what a body of another kind is.
    pub(super) fn content_type(self, content_type: &'static str) -> Self {
        self.header(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    /// A body that is JSON already.
    pub(crate) fn body(mut self, json: Bytes) -> Self {
        self.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = Some(json);
        self
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Marks the request as one that may be carried out twice without harm.
    pub(crate) fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Allows for an answer that the node holds back for this long, beyond the usual 60 s.
    pub(crate) fn held(mut self, wait: Duration) -> Self {
        self.timeout += wait;
        self
    }

    /// How long to repeat.
    pub(crate) fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// Ends waits (never a request under way) when the token is cancelled.
    pub(crate) fn stop_with(mut self, stop: &'a CancellationToken) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Who is told of waits, instead of standard error.
    pub(crate) fn on_wait(mut self, on_wait: OnWait<'a>) -> Self {
        self.on_wait = on_wait;
        self
    }

    /// Asks, repeating as the patience allows.
    ///
    /// # Errors
    /// The last failure, when it is final or patience is at its end.
    pub(crate) async fn send(self) -> Result<Answer<'a>, ClientError> {
        let started = Instant::now();
        for tried in 1_u32.. {
            let failure = match self.attempt(Some(self.timeout)).await {
                Ok(response) => match self.read(response).await {
                    Ok(answer) => return Ok(answer),
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            let Some(wait) = self.patience.wait_after(&failure, self.idempotent, tried, started.elapsed()) else {
                return Err(failure.error);
            };
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
    pub(crate) async fn parse<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        self.send().await?.parse()
    }

    /// Asks once, and gives the body as it arrives; each piece must come within `silence`.
    pub(super) async fn stream(
        self,
        silence: Duration,
    ) -> Result<BoxStream<'a, Result<Bytes, ClientError>>, ClientError> {
        let request = self.request(None);
        self.pieces(request, silence).await
    }

    /// Sends a body as it is made, once, and gives the answer as it arrives, which it may do before the body has ended.
    pub(super) async fn exchange(
        self,
        body: BoxStream<'static, std::io::Result<Bytes>>,
        silence: Duration,
    ) -> Result<BoxStream<'a, Result<Bytes, ClientError>>, ClientError> {
        let request = self.request(None).body(reqwest::Body::wrap_stream(body));
        self.pieces(request, silence).await
    }

    async fn pieces(
        self,
        request: reqwest::RequestBuilder,
        silence: Duration,
    ) -> Result<BoxStream<'a, Result<Bytes, ClientError>>, ClientError> {
        let attempt = tokio::time::timeout(silence, self.answered(request)).await;
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
        })
        .boxed())
    }

    fn silent(&self) -> ClientError {
        let base = self.client.base.origin().ascii_serialization();
        ClientError::Lost { base, cause: "it took too long".into() }
    }

    async fn attempt(&self, timeout: Option<Duration>) -> Result<reqwest::Response, Failed> {
        self.answered(self.request(timeout)).await
    }

    fn request(&self, timeout: Option<Duration>) -> reqwest::RequestBuilder {
        let mut request = self.client.http.request(self.method.clone(), self.url.clone()).headers(self.headers.clone());
        request = request.header(http::header::AUTHORIZATION, self.client.authorization.clone());
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        request
    }

    async fn answered(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Failed> {
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
}

impl Answer<'_> {
    /// The body as JSON.
    ///
    /// # Errors
    /// If it is not what the API promises.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_str(&self.text).map_err(|e| self.client.odd(e.to_string()))
    }

    /// Whether the node had carried out this very request before.
    pub(crate) fn replayed(&self) -> bool {
        self.headers.get("idempotent-replayed").is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"true"))
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
}
