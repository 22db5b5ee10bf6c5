//! How busy one connection is: requests in hand, answers on their way, bytes that the client took.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// How busy one connection is. HTTP/2 has no time-out for silence of its own: pings alone would keep it open for ever.
#[derive(Debug)]
pub(super) struct Activity {
    begun: Instant,
    in_hand: AtomicUsize,
    /// Answers whose next part is not there yet.
    unmade: AtomicUsize,
    /// Milliseconds after `begun`: of a request's end, or of a part of an answer.
    last: AtomicU64,
    /// The same of any byte that the client took.
    written: AtomicU64,
    /// Told of each request.
    request: Notify,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            in_hand: AtomicUsize::new(0),
            unmade: AtomicUsize::new(0),
            last: AtomicU64::new(0),
            written: AtomicU64::new(0),
            request: Notify::new(),
        }
    }

    /// Returns when there has been a request, at once if that was before; asked for once only.
    pub(super) async fn asked(&self) {
        self.request.notified().await;
    }

    fn told(&self) {
        self.last.store(self.begun.elapsed().as_millis() as u64, Ordering::Release);
    }

    /// The client took some bytes.
    pub(super) fn wrote(&self) {
        self.written.store(self.begun.elapsed().as_millis() as u64, Ordering::Release);
    }

    /// Returns when no request has been in hand, and no part of an answer taken, for `patience`; at the latest twice that.
    pub(super) async fn idle_for(&self, patience: Duration) {
        loop {
            sleep(patience).await;
            if self.in_hand.load(Ordering::Acquire) == 0 && self.is_past(&self.last, patience) {
                return;
            }
        }
    }

    /// Returns when, for `patience`, no request has been in hand, no answer has waited for its maker, and the client has taken not one
    /// byte; at the latest twice that.
    pub(super) async fn stuck_for(&self, patience: Duration) {
        loop {
            self.idle_for(patience).await;
            if self.unmade.load(Ordering::Acquire) == 0 && self.is_past(&self.written, patience) {
                return;
            }
        }
    }

    fn is_past(&self, moment: &AtomicU64, patience: Duration) -> bool {
        let moment = Duration::from_millis(moment.load(Ordering::Acquire));
        self.begun.elapsed().saturating_sub(moment) >= patience
    }
}

/// A request that was begun and not answered.
pub(super) struct InHand(Arc<Activity>);

impl InHand {
    pub(super) fn new(activity: &Arc<Activity>) -> Self {
        activity.in_hand.fetch_add(1, Ordering::AcqRel);
        activity.request.notify_one();
        Self(Arc::clone(activity))
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.told();
        self.0.in_hand.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An answer's body. hyper asks for its next part when the client has taken enough of the one before, so every part is a sign that
/// the client reads, however slowly.
pub(super) struct Told<B> {
    body: B,
    activity: Arc<Activity>,
    /// Its next part is not there yet.
    unmade: bool,
}

impl<B> Told<B> {
    pub(super) fn new(body: B, of: &InHand) -> Self {
        Self { body, activity: Arc::clone(&of.0), unmade: false }
    }

    fn is_unmade(&mut self, is: bool) {
        match (self.unmade, is) {
            (false, true) => self.activity.unmade.fetch_add(1, Ordering::AcqRel),
            (true, false) => self.activity.unmade.fetch_sub(1, Ordering::AcqRel),
            _ => return,
        };
        self.unmade = is;
    }
}

impl<B> Drop for Told<B> {
    fn drop(&mut self) {
        self.is_unmade(false);
    }
}

impl<B: Body + Unpin> Body for Told<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.is_unmade(polled.is_pending());
        if polled.is_ready() {
            self.activity.told();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, stream};
    use http_body_util::StreamBody;

    #[tokio::test]
    async fn an_answer_that_is_still_being_made_is_not_stuck() {
        let activity = Arc::new(Activity::new());
        let pending = StreamBody::new(stream::pending::<Result<Frame<bytes::Bytes>, std::io::Error>>());
        let mut answer = Told::new(pending, &InHand::new(&activity));
        assert!(std::future::poll_fn(|cx| Pin::new(&mut answer).poll_frame(cx)).now_or_never().is_none());
        let short = Duration::from_millis(10);
        assert!(tokio::time::timeout(20 * short, activity.stuck_for(short)).await.is_err(), "its maker is at it");
        drop(answer);
        activity.stuck_for(short).await;
    }
}
