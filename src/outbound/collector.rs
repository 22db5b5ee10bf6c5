//! The way to a collector of traces, which the operator has named: behind no guard, because it may be anywhere the operator
//! wants, and with nothing of a stranger's in it. Its answers are read up to a small limit; redirects are not followed.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};

use super::OutboundError;

/// Longest answer that is read: an error in words.
const ANSWER: usize = 64 * 1024;

/// A client for it.
#[derive(Debug, Clone)]
pub struct Collector {
    client: reqwest::Client,
}

/// Why it did not take what was sent; never with the URL, which may hold a secret.
#[derive(Debug, thiserror::Error)]
#[error("the collector: {0}")]
pub struct NotTaken(String);

impl Collector {
    /// Every call has `patience`.
    pub fn new(patience: Duration) -> Result<Self, OutboundError> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(patience)
            .connect_timeout(patience)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| OutboundError::Client(error.to_string()))?;
        Ok(Self { client })
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, NotTaken> {
        let wrong = |error: reqwest::Error| NotTaken(error.without_url().to_string());
        let (head, body) = request.into_parts();
        let asked = self.client.request(head.method, head.uri.to_string()).headers(head.headers).body(body);
        let mut answer = asked.send().await.map_err(wrong)?;
        let mut read = BytesMut::new();
        while let Some(part) = answer.chunk().await.map_err(wrong)? {
            if read.len() + part.len() > ANSWER {
                return Err(NotTaken("its answer is too long".into()));
            }
            read.extend_from_slice(&part);
        }
        let mut response = Response::new(read.freeze());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        Ok(response)
    }
}
