//! When a request is made again: pure rules, and the wait between tries.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::ClientError;

/// How long a request is repeated, counted from its first try.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// While nothing answers or answers are lost.
    pub(crate) away: Duration,
    /// While the node says "temporarily" (503).
    pub(crate) unavailable: Duration,
    /// While the node says "too many requests" (429).
    pub(crate) busy: Duration,
}

impl Patience {
    /// Someone sits and waits.
    pub(crate) const SHORT: Self =
        Self { away: Duration::from_secs(1), unavailable: Duration::from_secs(15), busy: Duration::from_secs(30) };

    /// A long run that should outlive a restart of the node, and is slowed down at the node's word for as long as it takes.
    pub(crate) fn long(away: Duration) -> Self {
        Self { away, unavailable: away, busy: Duration::MAX }
    }

    /// How long to wait before the next try, if there is to be one. `elapsed` counts from the first try.
    pub(super) fn wait_after(
        self,
        failed: &Failed,
        idempotent: bool,
        tried: u32,
        elapsed: Duration,
    ) -> Option<Duration> {
        let patience = match &failed.error {
            ClientError::Unreachable { .. } => self.away,
            ClientError::Lost { .. } if idempotent => self.away,
            ClientError::Refused(problem) => match problem.status {
                429 => self.busy,
                503 => self.unavailable,
                502 | 504 if idempotent => self.away,
                // A mistake of the node: it may be the moment's, but hardly more than twice.
                500 if idempotent && tried < 3 => self.away,
                _ => return None,
            },
            _ => return None,
        };
        let wait = failed.retry_after.unwrap_or_else(|| growing(tried)).min(Duration::from_secs(300));
        (elapsed.saturating_add(wait) <= patience).then_some(wait)
    }
}

/// One try that failed.
pub(super) struct Failed {
    pub(super) error: ClientError,
    /// The node's word on when to come again.
    pub(super) retry_after: Option<Duration>,
}

/// 0.25, 0.5, 1, 2, 4, 8, 10, 10 … seconds.
pub(crate) fn growing(tried: u32) -> Duration {
    Duration::from_millis((250_u64 << tried.saturating_sub(1).min(10)).min(10_000))
}

/// Waits; true if the token was cancelled meanwhile.
pub(crate) async fn stopped_within(stop: Option<&CancellationToken>, wait: Duration) -> bool {
    match stop {
        Some(stop) => tokio::time::timeout(wait, stop.cancelled()).await.is_ok(),
        None => {
            tokio::time::sleep(wait).await;
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::problem::Problem;

    fn refused(status: u16) -> Failed {
        Failed { error: ClientError::Refused(Problem { status, ..Problem::default() }), retry_after: None }
    }

    #[test]
    fn only_what_is_safe_is_repeated() {
        let lost =
            || Failed { error: ClientError::Lost { base: String::new(), cause: String::new() }, retry_after: None };
        let unreachable = || Failed {
            error: ClientError::Unreachable { base: String::new(), cause: String::new() },
            retry_after: None,
        };
        let repeats =
            |failed: &Failed, idempotent| Patience::SHORT.wait_after(failed, idempotent, 1, Duration::ZERO).is_some();
        for (failed, idempotent, other) in [
            (refused(429), true, true),
            (refused(503), true, true),
            (unreachable(), true, true),
            (lost(), true, false),
            (refused(500), true, false),
            (refused(502), true, false),
            (refused(404), false, false),
            (refused(422), false, false),
        ] {
            assert_eq!((repeats(&failed, true), repeats(&failed, false)), (idempotent, other), "{}", failed.error);
        }
    }

    #[test]
    fn patience_ends_and_retry_after_is_honoured() {
        let wait = |failed: &Failed, elapsed| Patience::SHORT.wait_after(failed, true, 1, elapsed);
        let mut failed = refused(503);
        failed.retry_after = Some(Duration::from_secs(7));
        assert_eq!(wait(&failed, Duration::ZERO), Some(Duration::from_secs(7)));
        assert_eq!(wait(&failed, Duration::from_secs(9)), None);
        let patient = Patience::long(Duration::from_secs(60));
        assert!(patient.wait_after(&refused(429), false, 1, Duration::from_secs(100_000)).is_some());
        assert_eq!(growing(1), Duration::from_millis(250));
        assert_eq!(growing(u32::MAX), Duration::from_secs(10));
    }
}
