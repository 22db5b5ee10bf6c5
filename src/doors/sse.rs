//! Server-sent events (HTML standard, 9.2): what all streams have in common.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use warp::Reply;
use warp::reply::Response;

/// A comment this often tells both sides and every proxy that the stream lives.
pub(in crate::doors) const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// A client that reads nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pieces made and not yet sent.
const UNSENT: usize = 4;

/// The client has gone or does not read, the process stops, or the database is away: the stream ends, and is begun anew.
pub(in crate::doors) struct Ended;

/// The writing end of a stream.
pub(in crate::doors) struct Outlet(mpsc::Sender<Result<Bytes, Infallible>>);

/// A stream: what is written into the outlet is the response's body.
pub(in crate::doors) fn open() -> (Outlet, Response) {
    let (pieces, unsent) = mpsc::channel(UNSENT);
    let mut response = warp::reply::stream(ReceiverStream::new(unsent)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx buffers answers unless told otherwise.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    (Outlet(pieces), response)
}

impl Outlet {
    /// Sends a piece, as soon as the client has read enough.
    pub(in crate::doors) async fn send(&self, piece: impl Into<Bytes>) -> Result<(), Ended> {
        self.0.send_timeout(Ok(piece.into()), PATIENCE).await.map_err(|_| Ended)
    }

    /// Returns when the client has gone.
    pub(in crate::doors) async fn closed(&self) {
        self.0.closed().await;
    }
}
