//! Connections that leave HTTP behind, as websockets do: they stay this listener's, until they are closed.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::upgrade::{OnUpgrade, Upgraded};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use warp::Filter;

use super::places::Place;

/// What a connection has of its listener: its place, and word of the end. Cheap to clone.
#[derive(Clone)]
pub(super) struct Hold {
    /// Cancelled when the listener is to stop.
    pub(super) stop: CancellationToken,
    /// Cancelled when the grace time is over.
    pub(super) kill: CancellationToken,
    /// The listener waits for it.
    pub(super) task: TaskTrackerToken,
    /// Free for others when the last clone is dropped.
    pub(super) place: Arc<Place>,
}

/// A client asks for another protocol; HTTP goes on unless the answer is 101.
#[derive(Clone)]
pub struct Upgrade {
    coming: OnUpgrade,
    hold: Hold,
}

impl Upgrade {
    pub(super) fn new(coming: OnUpgrade, hold: Hold) -> Self {
        Self { coming, hold }
    }

    /// Runs `session` on the connection as soon as 101 was sent, in a task of its own. The token is cancelled when the listener is
    /// to stop: the session should end soon then. When the grace time is over, or the listener is gone, it is dropped.
    pub fn run<F>(self, session: impl FnOnce(Upgraded, CancellationToken) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { coming, hold } = self;
        tokio::spawn(async move {
            let Hold { stop, kill, task, place } = hold;
            let whole = async move {
                match coming.await {
                    Ok(connection) => session(connection, stop).await,
                    Err(error) => tracing::debug!(%error, "a connection ended before it was upgraded"),
                }
            };
            kill.run_until_cancelled_owned(whole).await;
            drop((task, place));
        });
    }
}

/// The upgrade that this request asks for, if any.
pub fn upgrade() -> impl Filter<Extract = (Option<Upgrade>,), Error = Infallible> + Copy {
    warp::ext::optional::<Upgrade>()
}
