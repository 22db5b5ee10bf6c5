//! Connections that hang although the server is there.
//!
//! A firewall, a balancer or a proxy that forgets a connection tells nobody: the request was sent, its answer never comes, and
//! waits without end are all that is left of it, one for each connection of the pool. So who has been waiting for some seconds is
//! looked up over a new connection: the server says whether it is at work on it. If it is not, the wait is for nothing; the
//! connection is given up, the statement fails as it does when the server goes away, and no connection that is as old is used again.
//!
//! Promises: a statement that takes long is never given up, however long it takes, and while the server itself cannot be asked
//! nothing is.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use deadpool_postgres::{ClientWrapper, Connect, Hook, HookError, Pool};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::{AbortHandle, JoinHandle};
use tokio_postgres::{Client, Config, Error};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Given out in this many looks one after the other: time to ask.
const LOOKS: u32 = 4;
/// Longest wait for the server's word.
const PATIENCE: Duration = Duration::from_secs(3);

/// Opens connections and knows them.
pub(super) struct Known {
    dial: Arc<dyn Connect>,
    open: Arc<Mutex<Vec<Open>>>,
}

/// A connection of the pool.
struct Open {
    /// The server's process for it.
    backend: i32,
    task: AbortHandle,
    /// By which the pool knows it; none until it has it.
    created: Option<Instant>,
    /// Looks in which it was not idle.
    busy: u32,
}

/// What is left to do when there is a pool.
pub(super) struct Watch {
    dial: Arc<dyn Connect>,
    server: Config,
    open: Arc<Mutex<Vec<Open>>>,
    /// When a connection was last found to be lost: what befell it befell its neighbours, and who is as old is not used again.
    lost_at: Arc<Mutex<Option<Instant>>>,
}

impl Known {
    /// Over connections made by `dial`.
    pub(super) fn new(dial: impl Connect + 'static, server: &Config) -> (Self, Watch) {
        let (dial, open): (Arc<dyn Connect>, _) = (Arc::new(dial), Arc::default());
        let (server, known) = (server.clone(), Arc::clone(&open));
        let watch = Watch { dial: Arc::clone(&dial), server, open: known, lost_at: Arc::default() };
        (Self { dial, open }, watch)
    }
}

impl Connect for Known {
    fn connect(&self, server: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        let server = server.clone();
        async move {
            let (client, task) = self.dial.connect(&server).await?;
            let backend = backend(&client).await?;
            lock(&self.open).push(Open { backend, task: task.abort_handle(), created: None, busy: 0 });
            Ok((client, task))
        }
        .boxed()
    }
}

impl Watch {
    /// Joins what the pool calls a connection with what the server calls it; `session` is what each begins with.
    pub(super) fn hook(&self, session: &'static str) -> Hook {
        let open = Arc::clone(&self.open);
        Hook::async_fn(move |client: &mut ClientWrapper, metrics| {
            let (open, created) = (Arc::clone(&open), metrics.created);
            Box::pin(async move {
                client.batch_execute(session).await.map_err(HookError::Backend)?;
                let backend = backend(client).await.map_err(HookError::Backend)?;
                let mut open = lock(&open);
                open.iter_mut().filter(|one| one.backend == backend).for_each(|one| one.created = Some(created));
                Ok(())
            })
        })
    }

    /// Keeps from use what is as old as one that was lost.
    pub(super) fn gate(&self) -> Hook {
        let lost_at = Arc::clone(&self.lost_at);
        Hook::sync_fn(move |_: &mut ClientWrapper, metrics| match *lock(&lost_at) {
            Some(lost_at) if metrics.created < lost_at => Err(HookError::message("as old as one that was lost")),
            _ => Ok(()),
        })
    }

    /// Looks as long as the pool is there.
    pub(super) fn start(self, pool: &Arc<Pool>) {
        let pool = Arc::downgrade(pool);
        tokio::spawn(async move {
            let mut beat = tokio::time::interval(LOOK_EVERY);
            beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                beat.tick().await;
                let Some(suspects) = self.look(&pool) else { return };
                if !suspects.is_empty() {
                    self.judge(&suspects).await;
                }
            }
        });
    }

    /// Backends of connections that have been given out for long; none when the pool has gone.
    fn look(&self, pool: &Weak<Pool>) -> Option<Vec<i32>> {
        let idle = Mutex::new(HashSet::new());
        pool.upgrade()?.retain(|_, metrics| {
            lock(&idle).insert(metrics.created);
            true
        });
        let idle = idle.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut open = lock(&self.open);
        open.retain(|one| !one.task.is_finished());
        for one in open.iter_mut() {
            let is_idle = one.created.is_some_and(|created| idle.contains(&created));
            one.busy = if is_idle { 0 } else { one.busy + 1 };
        }
        Some(open.iter().filter(|one| one.busy >= LOOKS).map(|one| one.backend).collect())
    }

    async fn judge(&self, suspects: &[i32]) {
        // No word is no verdict: the server may be away, or slow itself.
        let Ok(Ok(alive)) = tokio::time::timeout(PATIENCE, self.ask(suspects)).await else { return };
        let mut lost = 0;
        for one in lock(&self.open).iter_mut().filter(|one| suspects.contains(&one.backend)) {
            one.busy = 0;
            if !alive.contains(&one.backend) {
                one.task.abort();
                lost += 1;
            }
        }
        if lost > 0 {
            tracing::warn!(connections = lost, "the server knows nothing of what these wait for: they are given up");
            *lock(&self.lost_at) = Some(Instant::now());
        }
    }

    /// Of these backends those that are at work, or were a moment ago. One that waits for us within a transaction does so in vain:
    /// no connection is held across anything that takes time. The others are ended on the server's side too, which may not learn
    /// otherwise for long that nobody is there, and would keep their locks.
    async fn ask(&self, suspects: &[i32]) -> Result<HashSet<i32>, Error> {
        let (client, task) = self.dial.connect(&self.server).await?;
        let sql = "/* db::lost */ select pid, case when state <> 'active' and state_change < clock_timestamp() - interval '3 seconds'
                                                   then pg_terminate_backend(pid) end
            from pg_stat_activity where pid = any($1) and application_name = 'handfast'";
        let rows = client.query(sql, &[&suspects]).await;
        task.abort();
        let alive = |row: &tokio_postgres::Row| row.get::<_, Option<bool>>(1).is_none();
        Ok(rows?.iter().filter(|row| alive(row)).map(|row| row.get(0)).collect())
    }
}

async fn backend(client: &Client) -> Result<i32, Error> {
    Ok(client.query_one("/* db::lost backend */ select pg_backend_pid()", &[]).await?.get(0))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
