//! Knowing for certain that a request was not sent.
//!
//! Whether a failed call may be repeated hangs on one question: could the peer have got it? An error's kind does not always
//! answer that (a time-out during connecting looks like one during the wait for the answer; a kept-alive connection may
//! close before or after the request went out). So the body itself is asked. HTTP/1 in hyper takes a request's body in the
//! same step in which it buffers the head, before anything is flushed: a body that was never asked for means that not even
//! the head has left. And the answer is final: whoever decides "not sent" first makes the body refuse to be taken
//! afterwards, so that a connection which wakes up late cannot send after all; without its body the request is never
//! complete. Over HTTP/2 the head may have left before the body is asked for; then the stream is reset, and a peer that acts on
//! requests has had none.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

/// The caller's end.
#[derive(Debug, Clone, Default)]
pub(super) struct Hold(Arc<AtomicU8>);

/// The request's body; it can be taken only while it has not been withdrawn.
pub(super) struct HeldBody {
    state: Arc<AtomicU8>,
    bytes: Option<Bytes>,
}

/// The call was given up before the body was needed.
#[derive(Debug, thiserror::Error)]
#[error("the request was withdrawn before it was sent")]
pub(super) struct Withdrawn;

impl Hold {
    /// A body whose sending this hold knows about. `bytes` must not be empty: an empty body is never asked for.
    pub(super) fn body(&self, bytes: Bytes) -> HeldBody {
        HeldBody { state: Arc::clone(&self.0), bytes: Some(bytes) }
    }

    /// True if nothing was sent, and from then on nothing will be.
    pub(super) fn withdraw(&self) -> bool {
        match self.0.compare_exchange(WAITING, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(state) => state == WITHDRAWN,
        }
    }
}

impl Body for HeldBody {
    type Data = Bytes;
    type Error = Withdrawn;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Withdrawn>>> {
        let Some(bytes) = self.bytes.take() else {
            return Poll::Ready(None);
        };
        let taken = self.state.compare_exchange(WAITING, TAKEN, Ordering::AcqRel, Ordering::Acquire);
        Poll::Ready(Some(taken.map(|_| Frame::data(bytes)).map_err(|_| Withdrawn)))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_taken_body_was_perhaps_sent() {
        let hold = Hold::default();
        let body = hold.body(Bytes::from_static(b"x"));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "x");
        assert!(!hold.withdraw());
        assert!(!hold.withdraw());
    }

    #[tokio::test]
    async fn a_withdrawn_body_is_never_sent() {
        let hold = Hold::default();
        let body = hold.body(Bytes::from_static(b"x"));
        assert!(hold.withdraw());
        assert!(hold.withdraw());
        assert!(body.collect().await.is_err());
    }
}
