//! How spans get to the collector: by the guarded room's client for what the operator has named.
//!
//! The exporter runs in a thread of its own, without a runtime; what it sends is sent by ours.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;

use crate::outbound::Collector;
use crate::telemetry::families::SPANS_FAILED;

#[derive(Debug)]
pub(super) struct Transport {
    collector: Arc<Collector>,
    runtime: Handle,
}

impl Transport {
    /// Call it inside the runtime.
    pub(super) fn new(patience: Duration) -> anyhow::Result<Self> {
        Ok(Self { collector: Arc::new(Collector::new(patience)?), runtime: Handle::current() })
    }
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

// Written as the trait's macro writes it.
impl HttpClient for Transport {
    fn send_bytes<'life0, 'async_trait>(&'life0 self, request: Request<Bytes>) -> Sending<'async_trait>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        let collector = Arc::clone(&self.collector);
        let sending = self.runtime.spawn(async move { collector.send(request).await });
        Box::pin(async move {
            let answer = sending.await.map_err(HttpError::from)?;
            if !answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
                SPANS_FAILED.one([]);
            }
            answer.map_err(HttpError::from)
        })
    }
}
