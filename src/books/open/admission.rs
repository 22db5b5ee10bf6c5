//! Overload: what is refused so that what was accepted still goes out.
//!
//! Three things are watched: how many messages wait for their commit in this process (memory), how long a commit takes (the
//! database's lag), and how much of a lane is open in the books (the backlog). Volume is refused first; what somebody waits for only
//! at twice the limits. Who is refused has lost nothing: nothing of the request was accepted.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::App;
use crate::books::{BooksError, Lane};
use crate::config;
use crate::db::DbError;

/// Between two counts of the backlog, while something is accepted.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// A slow commit speaks for so long.
const SPEAKS_FOR: Duration = Duration::from_secs(2);
/// Who waits to be admitted looks again after this long.
const LOOK: Duration = Duration::from_millis(200);

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Admission {
    inner: Arc<Inner>,
}

struct Inner {
    limits: config::Admission,
    waiting: AtomicI64,
    backlog: [AtomicI64; 3],
    asked: AtomicBool,
    commits: Mutex<Commits>,
}

#[derive(Default)]
struct Commits {
    running_since: Option<Instant>,
    last: Option<(Instant, Duration)>,
}

/// Messages on their way to their commit, until dropped.
pub(super) struct Admitted {
    inner: Arc<Inner>,
    n: i64,
}

/// A commit on its way, until dropped.
pub(super) struct Committing {
    inner: Arc<Inner>,
    since: Instant,
}

impl Admission {
    /// Starts counting.
    pub(super) fn watch(app: &App) -> Self {
        let inner = Arc::new(Inner {
            limits: app.config.admission.clone(),
            waiting: AtomicI64::new(0),
            backlog: Default::default(),
            asked: AtomicBool::new(true),
            commits: Mutex::default(),
        });
        let (app, watched) = (app.clone(), Arc::downgrade(&inner));
        tokio::spawn(async move {
            while let Some(inner) = watched.upgrade() {
                if inner.asked.swap(false, Ordering::Relaxed)
                    && let Ok(backlog) = count(&app).await
                {
                    inner.backlog.iter().zip(backlog).for_each(|(lane, n)| lane.store(n, Ordering::Relaxed));
                }
                drop(inner);
                tokio::time::sleep(COUNT_EVERY).await;
            }
        });
        Self { inner }
    }

    /// Lets `n` messages of a lane in, or says why not.
    pub(super) fn admit(&self, lane: Lane, n: usize) -> Result<Admitted, BooksError> {
        let inner = &self.inner;
        inner.asked.store(true, Ordering::Relaxed);
        // Nobody waits for volume: it goes first, what somebody waits for goes last.
        let part = if lane == Lane::Bulk { 1 } else { 2 };
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        let limits = &inner.limits;
        if inner.lag() > limits.lag.duration() * part {
            return Err(BooksError::Busy { backlog: false });
        }
        let part = i64::from(part);
        if inner.backlog[lane as usize].load(Ordering::Relaxed) >= i64::from(limits.backlog) * part {
            return Err(BooksError::Busy { backlog: true });
        }
        if inner.waiting.fetch_add(n, Ordering::Relaxed) >= i64::from(limits.waiting) * part {
            inner.waiting.fetch_sub(n, Ordering::Relaxed);
            return Err(BooksError::Busy { backlog: false });
        }
        Ok(Admitted { inner: Arc::clone(inner), n })
    }

    /// Waits until messages of a lane would be let in: for who can hold up what brings them.
    pub(super) async fn room(&self, lane: Lane) {
        while self.admit(lane, 0).is_err() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A commit begins.
    pub(super) fn committing(&self) -> Committing {
        let since = Instant::now();
        self.inner.commits().running_since = Some(since);
        Committing { inner: Arc::clone(&self.inner), since }
    }
}

impl Inner {
    fn commits(&self) -> std::sync::MutexGuard<'_, Commits> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lag(&self) -> Duration {
        let commits = self.commits();
        let last = commits.last.filter(|(at, _)| at.elapsed() < SPEAKS_FOR).map(|(_, took)| took);
        last.unwrap_or_default().max(commits.running_since.map(|since| since.elapsed()).unwrap_or_default())
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.inner.waiting.fetch_sub(self.n, Ordering::Relaxed);
    }
}

impl Drop for Committing {
    fn drop(&mut self) {
        let mut commits = self.inner.commits();
        commits.running_since = None;
        commits.last = Some((Instant::now(), self.since.elapsed()));
    }
}

/// What is due by its chunks; what waits for its time or its campaign is no load.
async fn count(app: &App) -> Result<[i64; 3], DbError> {
    let sql = "/* books::admission */ select lane, sum(n)::bigint from chunks
        where state in (0, 1, 3, 4) and state <> 4 and due_at <= $1 group by lane";
    let mut backlog = [0; 3];
    for row in app.db.rows(sql, &[&app.clock.now()]).await? {
        backlog[Lane::from_number(row.get(0)) as usize] = row.get(1);
    }
    Ok(backlog)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Admission {
        let limits = config::Admission { backlog: 100, lag: config::Period::millis(50), waiting: 10 };
        Admission {
            inner: Arc::new(Inner {
                limits,
                waiting: AtomicI64::new(0),
                backlog: Default::default(),
                asked: AtomicBool::new(false),
                commits: Mutex::default(),
            }),
        }
    }

    fn is_busy(answer: Result<Admitted, BooksError>) -> bool {
        matches!(answer, Err(BooksError::Busy { .. }))
    }

    #[test]
    fn volume_is_refused_before_what_somebody_waits_for() {
        let admission = admission();
        admission.inner.backlog.iter().for_each(|lane| lane.store(150, Ordering::Relaxed));
        assert!(is_busy(admission.admit(Lane::Bulk, 1)));
        assert!(admission.admit(Lane::Interactive, 1).is_ok());
        admission.inner.backlog.iter().for_each(|lane| lane.store(200, Ordering::Relaxed));
        assert!(is_busy(admission.admit(Lane::Interactive, 1)));
    }

    #[test]
    fn what_waits_is_bounded_and_let_go() {
        let admission = admission();
        let held = admission.admit(Lane::Bulk, 10).unwrap();
        assert!(is_busy(admission.admit(Lane::Bulk, 1)));
        drop(held);
        assert!(admission.admit(Lane::Bulk, 1).is_ok());
    }

    #[test]
    fn a_commit_that_takes_long_refuses_until_it_is_over_and_forgotten() {
        let admission = admission();
        let commit = admission.committing();
        assert!(admission.admit(Lane::Bulk, 1).is_ok());
        admission.inner.commits().running_since = Instant::now().checked_sub(Duration::from_secs(1));
        assert!(is_busy(admission.admit(Lane::Bulk, 1)));
        drop(commit);
        admission.inner.commits().last = Some((Instant::now(), Duration::from_secs(1)));
        assert!(is_busy(admission.admit(Lane::Interactive, 1)));
        admission.inner.commits().last = Instant::now().checked_sub(SPEAKS_FOR * 2).map(|at| (at, SPEAKS_FOR));
        assert!(admission.admit(Lane::Bulk, 1).is_ok());
    }
}
