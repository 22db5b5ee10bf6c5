//! Whether this process may take work: it holds every key that seals, and has said so a moment ago.
//!
//! Who rotates waits for the processes that the database has heard of lately. A pass is shorter than that: a process that was out of
//! reach takes nothing before it has reported again, and has seen then which keys there are by now.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Instant;
use crate::telemetry::families::KEY_LACKING;

/// Time passes without a word.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Cheap to clone.
#[derive(Clone)]
pub struct Pass(Arc<watch::Sender<Standing>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Not heard of yet.
    New,
    /// Good until then.
    Good(Instant),
    /// A key is missing.
    Lacks(u16),
}

impl Default for Pass {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Standing::New)))
    }
}

impl Pass {
    /// The key that this process lacks.
    pub fn lacks(&self) -> Option<u16> {
        match *self.0.borrow() {
            Standing::Lacks(number) => Some(number),
            Standing::New | Standing::Good(_) => None,
        }
    }

    /// Returns when work may be taken: true. False: a key is missing, or `stop`.
    pub async fn is_good(&self, stop: &CancellationToken) -> bool {
        let mut standing = self.0.subscribe();
        loop {
            match *standing.borrow_and_update() {
                Standing::Good(until) if !until.is_past() => return true,
                Standing::Lacks(_) => return false,
                Standing::New | Standing::Good(_) => {}
            }
            tokio::select! {
                _ = standing.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return false,
            }
        }
    }

    /// Returns when a key is missing, or no longer missing.
    pub async fn until_lacking(&self, lacking: bool) {
        // The sender lives as long as this.
        let _ = self.0.subscribe().wait_for(|now| matches!(now, Standing::Lacks(_)) == lacking).await;
    }

    /// Good until then.
    pub(super) fn renew(&self, until: Instant) {
        self.set(Standing::Good(until));
    }

    /// Work is handed back until the key is there.
    pub fn lack(&self, number: u16) {
        self.set(Standing::Lacks(number));
    }

    fn set(&self, standing: Standing) {
        KEY_LACKING.set([], f64::from(u8::from(matches!(standing, Standing::Lacks(_)))));
        self.0.send_replace(standing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_taken_with_every_key_and_within_the_time() {
        let (pass, stop) = (Pass::default(), CancellationToken::new());
        let waiting = tokio::spawn({
            let (pass, stop) = (pass.clone(), stop.clone());
            async move { pass.is_good(&stop).await }
        });
        pass.renew(Instant::now().after(Duration::from_secs(60)));
        assert!(waiting.await.unwrap(), "who waits goes on with the first report");
        pass.lack(2);
        assert_eq!((pass.is_good(&stop).await, pass.lacks()), (false, Some(2)));
        pass.until_lacking(true).await;
        pass.renew(Instant::now());
        assert_eq!(pass.lacks(), None);
        let past = tokio::time::timeout(Duration::from_millis(50), pass.is_good(&stop));
        assert!(past.await.is_err(), "a pass that is past is none");
        stop.cancel();
        assert!(!pass.is_good(&stop).await);
    }
}
