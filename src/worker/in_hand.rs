//! What this process has in hand, compared with what the books say it holds.
//!
//! The two differ where a task ended without settling: the lease had run out for a moment when its turn came, or a settle that
//! was committed asynchronously went down with Postgres. Nobody else may take such a row while this worker lives, so this
//! worker hands it on itself. The books are read first and the tasks second: what is claimed after the first look is not in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::lease::Lease;
use crate::App;
use crate::books::{self, BooksError};

/// Between two looks: how long such a row waits at the most.
const EVERY: Duration = Duration::from_secs(2);

/// Chunks and deliveries of which a task here may hold a claim, by the number of such tasks. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct InHand {
    tasks: Arc<Mutex<HashMap<Uuid, usize>>>,
}

/// In hand until dropped.
pub(super) struct Taken {
    by: InHand,
    ids: Vec<Uuid>,
}

impl InHand {
    /// Starts looking, until `stop`.
    pub(super) fn start(app: &App, lease: &Lease, stop: CancellationToken) -> Self {
        let this = Self::default();
        let (app, lease, looking) = (app.clone(), lease.clone(), this.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    () = stop.cancelled() => return,
                }
                if let Err(error) = looking.hand_on_forgotten(&app, lease.hold().worker).await {
                    tracing::debug!(%error, "what this worker holds could not be looked at");
                }
            }
        });
        this
    }

    /// To be called before anything of `ids` is claimed.
    pub(super) fn take(&self, ids: Vec<Uuid>) -> Taken {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for id in &ids {
            *tasks.entry(*id).or_default() += 1;
        }
        drop(tasks);
        Taken { by: self.clone(), ids }
    }

    async fn hand_on_forgotten(&self, app: &App, worker: Uuid) -> Result<(), BooksError> {
        let (mut chunks, mut again) = books::held_by(app, worker).await?;
        {
            let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            chunks.retain(|(chunk, _)| !tasks.contains_key(chunk));
            again.retain(|(delivery, _)| !tasks.contains_key(&delivery.uuid()));
        }
        if chunks.is_empty() && again.is_empty() {
            return Ok(());
        }
        tracing::warn!(chunks = chunks.len(), deliveries = again.len(), "held and not in hand: handed on");
        let now = app.clock.now();
        books::give_back(app, &chunks, now).await?;
        books::give_back_again(app, &again, now).await
    }
}

impl Taken {
    /// In hand for as long as this process lives.
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut tasks = self.by.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for id in &self.ids {
            if let Some(n) = tasks.get_mut(id) {
                *n -= 1;
                if *n == 0 {
                    tasks.remove(id);
                }
            }
        }
    }
}
