//! Request bodies, read by the door itself, so that "too large" and "too slow" are answered in its protocol's own shape.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use warp::{Filter, Rejection};

use crate::config::{ByteSize, Period};

/// A body that has not been read yet. Answering without reading it is fine.
pub struct Body {
    parts: Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send>>,
    declared: Option<u64>,
    stop: Option<Arc<Stop>>,
    /// When the node has begun to stop: how long it may go on.
    until: Option<Instant>,
}

/// Word of the stop, and how long after it a request may go on arriving.
pub(super) struct Stop {
    pub(super) told: CancellationToken,
    pub(super) patience: Duration,
}

/// Why there is no body. The first two are the client's to know (413 and 408, or the protocol's own words).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Longer than the limit; at most that much was read.
    #[error("the request body is too large")]
    TooLarge,
    /// Not complete in time, or soon enough after the node began to stop.
    #[error("the request body did not arrive in time")]
    TooSlow,
    /// The connection ended, or what came is not HTTP.
    #[error("the request body ended early")]
    Broken,
}

/// Takes the request's body, unread.
pub fn body() -> impl Filter<Extract = (Body,), Error = Rejection> + Copy {
    // A malformed length is refused below us; here it only means "not known".
    let length = warp::header::optional::<u64>("content-length")
        .or_else(|_| std::future::ready(Ok::<(Option<u64>,), Rejection>((None,))));
    let stop = warp::ext::optional::<Arc<Stop>>();
    length.and(warp::body::stream()).and(stop).map(|declared, stream, stop| Body {
        parts: Box::pin(in_bytes(stream)),
        declared,
        stop,
        until: None,
    })
}

fn in_bytes(
    stream: impl Stream<Item = Result<impl Buf, warp::Error>> + Send,
) -> impl Stream<Item = Result<Bytes, warp::Error>> + Send {
    // The parts are `Bytes` already, so this copies nothing.
    stream.map(|part| part.map(|mut part| part.copy_to_bytes(part.remaining())))
}

impl Body {
    /// One that was read already.
    pub fn whole(bytes: Bytes) -> Self {
        let declared = Some(bytes.len() as u64);
        Self { parts: Box::pin(futures_util::stream::iter([Ok(bytes)])), declared, stop: None, until: None }
    }

    /// How long it says it is, in bytes; nothing when it does not say (chunks, or HTTP/2 without a length).
    pub fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// The whole body, of at most `limit`, which must have arrived within `timeout` from now.
    pub async fn read(mut self, limit: ByteSize, timeout: Period) -> Result<Bytes, BodyError> {
        let deadline = Instant::now() + timeout.duration();
        let limit = usize::try_from(limit.bytes()).unwrap_or(usize::MAX);
        if self.declared.is_some_and(|declared| declared > limit as u64) {
            return Err(BodyError::TooLarge);
        }
        let first = self.part(deadline).await?.unwrap_or_default();
        let mut whole = Whole::One(first);
        while whole.len() <= limit {
            match self.part(deadline).await? {
                Some(part) => whole = whole.and(&part),
                None => return Ok(whole.bytes()),
            }
        }
        Err(BodyError::TooLarge)
    }

    /// The next part of a body that is handled as it comes, which must arrive within `timeout` from now; nothing at its end.
    /// The caller counts.
    pub async fn next(&mut self, timeout: Period) -> Result<Option<Bytes>, BodyError> {
        self.part(Instant::now() + timeout.duration()).await
    }

    async fn part(&mut self, deadline: Instant) -> Result<Option<Bytes>, BodyError> {
        let part = tokio::select! {
            biased;
            part = timeout_at(deadline, self.parts.next()) => part.map_err(|_| BodyError::TooSlow)?,
            () = too_long_after(self.stop.as_deref(), &mut self.until) => return Err(BodyError::TooSlow),
        };
        part.transpose().map_err(|_| BodyError::Broken)
    }
}

/// Counted from the stop on, however many parts come meanwhile.
async fn too_long_after(stop: Option<&Stop>, until: &mut Option<Instant>) {
    let Some(stop) = stop else { return std::future::pending().await };
    stop.told.cancelled().await;
    sleep_until(*until.get_or_insert_with(|| Instant::now() + stop.patience)).await;
}

/// Most bodies come in one part, which is passed on as it is.
enum Whole {
    One(Bytes),
    Many(BytesMut),
}

impl Whole {
    fn len(&self) -> usize {
        match self {
            Self::One(part) => part.len(),
            Self::Many(parts) => parts.len(),
        }
    }

    fn and(self, part: &[u8]) -> Self {
        let mut parts = match self {
            Self::One(first) => BytesMut::from(first),
            Self::Many(parts) => parts,
        };
        parts.extend_from_slice(part);
        Self::Many(parts)
    }

    fn bytes(self) -> Bytes {
        match self {
            Self::One(part) => part,
            Self::Many(parts) => parts.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(texts: &'static [&'static str], then_silence: bool) -> Body {
        let told = futures_util::stream::iter(texts.iter().map(|text| Ok(Bytes::from_static(text.as_bytes()))));
        let silence = futures_util::stream::pending();
        let parts: Pin<Box<dyn Stream<Item = _> + Send>> =
            if then_silence { Box::pin(told.chain(silence)) } else { Box::pin(told) };
        Body { parts, declared: None, stop: None, until: None }
    }

    #[tokio::test]
    async fn parts_are_joined_up_to_the_limit() {
        let (limit, time) = ("5B".parse().unwrap(), Period::seconds(5));
        assert_eq!(parts(&[], false).read(limit, time).await.unwrap(), "");
        assert_eq!(parts(&["12345"], false).read(limit, time).await.unwrap(), "12345");
        assert_eq!(parts(&["12", "", "345"], false).read(limit, time).await.unwrap(), "12345");
        assert_eq!(parts(&["12", "3456"], false).read(limit, time).await, Err(BodyError::TooLarge));
        assert_eq!(parts(&["12", "3456"], true).read(limit, time).await, Err(BodyError::TooLarge));
    }

    #[tokio::test]
    async fn a_body_that_stops_is_too_slow() {
        let (limit, time) = (ByteSize::kib(1), Period::millis(50));
        assert_eq!(parts(&["12"], true).read(limit, time).await, Err(BodyError::TooSlow));
        let mut body = parts(&["12"], true);
        assert_eq!(body.next(time).await.unwrap().unwrap(), "12");
        assert_eq!(body.next(time).await, Err(BodyError::TooSlow));
    }

    #[tokio::test]
    async fn a_declared_length_is_believed_before_reading() {
        let body = Body { declared: Some(70_000), ..parts(&[], true) };
        assert_eq!(body.read(ByteSize::kib(64), Period::seconds(5)).await, Err(BodyError::TooLarge));
    }
}
