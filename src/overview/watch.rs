//! One look for all who watch.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Overview, read};
use crate::App;
use crate::db::DbError;
use crate::queue::Depths;

/// An overview is shown for so long.
const FRESH: Duration = Duration::from_secs(2);

/// Remembers the last look for a moment; cheap to clone.
#[derive(Clone)]
pub struct Watch {
    app: App,
    queues: Depths,
    last: Arc<Mutex<Option<Look>>>,
}

/// When, and what was seen.
type Look = (Instant, Arc<Overview>);

impl Watch {
    /// Asks nothing yet.
    pub fn new(app: &App) -> Self {
        Self { app: app.clone(), queues: Depths::new(&app.config.amqp), last: Arc::default() }
    }

    /// What the node is doing, at most two seconds ago. Who asks while another looks waits for that look.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn now(&self) -> Result<Arc<Overview>, DbError> {
        let mut last = self.last.lock().await;
        if let Some((at, overview)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(overview));
        }
        let overview = Arc::new(read(&self.app, &self.queues).await?);
        *last = Some((Instant::now(), Arc::clone(&overview)));
        Ok(overview)
    }
}
