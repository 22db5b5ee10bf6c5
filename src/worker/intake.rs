//! What a worker takes from the broker, and when it takes nothing.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Crew;
use crate::books::Lane;
use crate::queue::{Consumer, Source, Taken};

/// Broker messages taken and not acknowledged, per lane.
pub(super) const PREFETCH: u16 = 100;

/// What is consumed.
pub(super) const SOURCES: [Source; 5] =
    [Source::Asks, Source::Jobs(Lane::Interactive), Source::Jobs(Lane::Bulk), Source::Jobs(Lane::Status), Source::Dead];

/// Feeds what a source holds into `into`, until `stop`; of what needs node keys nothing while one is missing. What was fed can be
/// acknowledged until `end`, or until it is consumed anew.
pub(super) async fn feed(
    crew: Crew,
    source: Source,
    into: mpsc::Sender<Taken>,
    stop: CancellationToken,
    end: CancellationToken,
) {
    let mut last: Option<(JoinHandle<()>, DropGuard)> = None;
    while stop.run_until_cancelled(crew.pass.until_lacking(false)).await.is_some() {
        let (round, done) = (stop.child_token(), end.child_token());
        let settings = crew.app.config.amqp.clone();
        let consumer = Consumer::start(settings, source, PREFETCH, into.clone(), round.clone(), done.clone());
        // What was handed back by now went over the connection before.
        last = Some((consumer, done.drop_guard()));
        if source == Source::Dead {
            // Its rows are looked at, and nothing is opened.
            break;
        }
        if stop.run_until_cancelled(crew.pass.until_lacking(true)).await.is_none() {
            break;
        }
        round.cancel();
    }
    drop(into);
    if let Some((consumer, _done)) = last {
        let _ = consumer.await;
    }
}
