//! Every hop takes what is waiting.
//!
//! A [`Batcher`] turns concurrent calls of one kind into few calls of many: while one batch runs, the next one gathers. Idle, a
//! call goes out alone and at once. Under load (the batch before held more than [`BUSY`] entries) it lingers for a moment, which
//! in a closed loop of callers is what makes batches grow.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};

/// A batch of more than this many entries means load.
const BUSY: usize = 2;

/// There is no answer: the process is stopping, or the batch panicked.
#[derive(Debug, thiserror::Error)]
#[error("this process is stopping, or has just met a defect")]
pub struct Stopped;

/// Gathers calls; cheap to clone. The task ends when all clones are gone.
pub struct Batcher<T, R> {
    entries: mpsc::Sender<(T, oneshot::Sender<R>)>,
}

impl<T, R> Clone for Batcher<T, R> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone() }
    }
}

impl<T: Send + 'static, R: Send + 'static> Batcher<T, R> {
    /// Starts the task. `run` is given 1 to `most` entries and answers one result for each, in order.
    pub fn spawn<F, Fut>(most: usize, linger: Duration, mut run: F) -> Self
    where
        F: FnMut(Vec<T>) -> Fut + Send + 'static,
        Fut: Future<Output = Vec<R>> + Send,
    {
        let (entries, mut waiting) = mpsc::channel::<(T, oneshot::Sender<R>)>(most * 4);
        tokio::spawn(async move {
            let mut gathered = Vec::new();
            let mut last = 0;
            while waiting.recv_many(&mut gathered, most).await > 0 {
                if last > BUSY && gathered.len() < most {
                    tokio::time::sleep(linger).await;
                    while gathered.len() < most
                        && let Ok(entry) = waiting.try_recv()
                    {
                        gathered.push(entry);
                    }
                }
                last = gathered.len();
                let (batch, callers): (Vec<T>, Vec<_>) = gathered.drain(..).unzip();
                // One panic must not end the task, and with it this kind of call until the process is started anew.
                let Ok(results) = AssertUnwindSafe(async { run(batch).await }).catch_unwind().await else {
                    tracing::error!("a batch panicked; its callers get no answer");
                    continue;
                };
                for (caller, result) in callers.into_iter().zip(results) {
                    // A caller that has gone needs no answer.
                    let _ = caller.send(result);
                }
            }
        });
        Self { entries }
    }

    /// Hands in one entry and waits for its result.
    pub async fn call(&self, entry: T) -> Result<R, Stopped> {
        let (caller, result) = oneshot::channel();
        self.entries.send((entry, caller)).await.map_err(|_| Stopped)?;
        result.await.map_err(|_| Stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_that_wait_share_a_batch_and_each_gets_its_own_answer() {
        let (sizes, mut seen) = mpsc::unbounded_channel();
        let batcher = Batcher::spawn(100, Duration::ZERO, move |batch: Vec<u32>| {
            sizes.send(batch.len()).unwrap();
            async move {
                tokio::task::yield_now().await;
                batch.into_iter().map(|n| n * 2).collect()
            }
        });
        let calls = (0..250u32).map(|n| {
            let batcher = batcher.clone();
            async move { assert_eq!(batcher.call(n).await.unwrap(), n * 2) }
        });
        futures_util::future::join_all(calls).await;
        drop(batcher);
        let mut batches = Vec::new();
        while let Some(size) = seen.recv().await {
            batches.push(size);
        }
        assert_eq!(batches.iter().sum::<usize>(), 250);
        assert!(batches.len() < 50, "{batches:?}");
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_batch_only() {
        let batcher = Batcher::spawn(1, Duration::ZERO, |batch: Vec<u32>| async move {
            assert_ne!(batch, [0]);
            batch
        });
        assert!(batcher.call(0).await.is_err());
        assert_eq!(batcher.call(1).await.unwrap(), 1);
    }
}
