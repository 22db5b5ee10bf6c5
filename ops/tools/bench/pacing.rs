//! Doing one thing after another at a fixed pace, whether or not the ones before have ended.

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

/// Starts one every `pause`.
pub(crate) async fn paced<T, F>(pause: Duration, count: usize, act: impl Fn(usize) -> F) -> anyhow::Result<Vec<T>>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let mut ticks = tokio::time::interval(pause);
    let (mut running, mut started, mut done) = (FuturesUnordered::new(), 0, Vec::with_capacity(count));
    while done.len() < count {
        tokio::select! {
            _ = ticks.tick(), if started < count => {
                running.push(act(started));
                started += 1;
            }
            Some(ended) = running.next() => done.push(ended?),
        }
    }
    Ok(done)
}
