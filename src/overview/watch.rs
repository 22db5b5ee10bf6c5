//! One look for all who watch.
//!
//! A look is a task of its own: who asked may have gone, and a statement that nobody waits for any more would go on in the database
//! and keep its connection from whoever gets it next. So a look that takes long is waited for, by all who come meanwhile, and never
//! begun a second time beside itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Overview, read};
use crate::App;
use crate::db::DbError;
use crate::queue::Depths;

/// An overview is shown for so long.
const FRESH: Duration = Duration::from_secs(2);

/// What is slow is broken off by the database itself, each statement after two seconds: one that says nothing for so long is away.
const LONGEST: Duration = Duration::from_secs(20);

/// Remembers the last look; cheap to clone.
#[derive(Clone)]
pub struct Watch {
    app: App,
    queues: Depths,
    seen: Arc<Mutex<Seen>>,
}

/// What there is to be had.
enum Now {
    Fresh(Arc<Overview>),
    Looking(watch::Receiver<Option<Look>>),
}
use Now::{Fresh, Looking};

/// What a look found.
pub type Look = Result<Arc<Overview>, Arc<DbError>>;

#[derive(Default)]
struct Seen {
    /// The last look, and when it ended.
    last: Option<(Instant, Look)>,
    /// Of the look that goes on.
    looking: Option<watch::Receiver<Option<Look>>>,
}

impl Watch {
    /// Asks nothing yet.
    pub fn new(app: &App) -> Self {
        Self { app: app.clone(), queues: Depths::new(&app.config.amqp), seen: Arc::default() }
    }

    /// What the node is doing, at most two seconds ago. Who asks while a look goes on waits for that one.
    ///
    /// # Errors
    /// When the database is away, or takes too long.
    pub async fn now(&self) -> Result<Arc<Overview>, DbError> {
        let mut found = match self.fresh_or_looking() {
            Fresh(overview) => return Ok(overview),
            Looking(found) => found,
        };
        let look = found.wait_for(Option::is_some).await.ok().and_then(|look| look.clone());
        look.unwrap_or_else(|| Err(unanswered())).map_err(DbError::Shared)
    }

    /// How the last look ended, whenever that was.
    pub fn last(&self) -> Option<Look> {
        self.lock().last.as_ref().map(|(_, look)| look.clone())
    }

    fn fresh_or_looking(&self) -> Now {
        let mut seen = self.lock();
        match (&seen.looking, &seen.last) {
            (Some(looking), _) => return Looking(looking.clone()),
            (None, Some((at, Ok(overview)))) if at.elapsed() < FRESH => return Fresh(Arc::clone(overview)),
            (None, _) => {}
        }
        let (tell, found) = watch::channel(None);
        seen.looking = Some(found.clone());
        let this = self.clone();
        tokio::spawn(async move {
            let ended = Ended(&this);
            let read = tokio::time::timeout(LONGEST, read(&this.app, &this.queues)).await;
            let look = read.map_or_else(|_| Err(unanswered()), |read| read.map(Arc::new).map_err(Arc::new));
            this.lock().last = Some((Instant::now(), look.clone()));
            drop(ended);
            tell.send_replace(Some(look));
        });
        Looking(found)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unanswered() -> Arc<DbError> {
    Arc::new(DbError::Unavailable(anyhow::anyhow!("it gives no answer")))
}

/// However a look ends, the next one may begin.
struct Ended<'a>(&'a Watch);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.lock().looking = None;
    }
}
