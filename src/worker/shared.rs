//! Look-ups and writes that concurrent deliveries and callbacks share: each is one statement for all that wait.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::App;
use crate::batch::Batcher;
use crate::books::{self, OutboxEntry};
use crate::connections::{self, Keyed};
use crate::failure::Failure;
use crate::inbox::{self, NewEntry, Stored};

/// Rows in one statement.
const TOGETHER: usize = 200;
/// Under load only.
const LINGER: Duration = Duration::from_millis(1);

/// The database was away, or refused; whether trying again later may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the database did not take it")]
pub struct NotDone {
    /// Whether trying again later may help.
    pub passing: bool,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Shared {
    keyed: Batcher<Uuid, Result<Option<Arc<Keyed>>, NotDone>>,
    outbox: Batcher<OutboxEntry, Result<(), NotDone>>,
    inbox: Batcher<NewEntry, Result<Stored, NotDone>>,
}

impl Shared {
    /// Starts the tasks behind it.
    pub fn start(app: &App) -> Self {
        Self { keyed: keyed(app), outbox: outbox(app), inbox: inbox(app) }
    }

    /// A connection with its secrets.
    pub async fn keyed(&self, connection: Uuid) -> Result<Option<Arc<Keyed>>, NotDone> {
        self.keyed.call(connection).await.unwrap_or(Err(NotDone { passing: true }))
    }

    /// Commits an outbox row.
    pub async fn put_outbox(&self, entry: OutboxEntry) -> Result<(), NotDone> {
        self.outbox.call(entry).await.unwrap_or(Err(NotDone { passing: true }))
    }

    /// Commits an inbox entry.
    pub async fn store(&self, entry: NewEntry) -> Result<Stored, NotDone> {
        self.inbox.call(entry).await.unwrap_or(Err(NotDone { passing: true }))
    }
}

fn keyed(app: &App) -> Batcher<Uuid, Result<Option<Arc<Keyed>>, NotDone>> {
    let app = app.clone();
    Batcher::spawn(TOGETHER, LINGER, move |ids: Vec<Uuid>| {
        let app = app.clone();
        async move {
            match connections::keyed_many(&app, &ids).await {
                Ok(found) => {
                    let found: std::collections::HashMap<Uuid, Arc<Keyed>> =
                        found.into_iter().map(|(id, keyed)| (id, Arc::new(keyed))).collect();
                    ids.iter().map(|id| Ok(found.get(id).cloned())).collect()
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "connections could not be read");
                    vec![Err(NotDone { passing: error.is_passing() }); ids.len()]
                }
            }
        }
    })
}

fn outbox(app: &App) -> Batcher<OutboxEntry, Result<(), NotDone>> {
    let app = app.clone();
    Batcher::spawn(TOGETHER, LINGER, move |entries: Vec<OutboxEntry>| {
        let app = app.clone();
        async move {
            let done = books::put_many(&app, &entries).await.map_err(|error| {
                tracing::warn!(error = &error as &dyn std::error::Error, "the outbox could not be written");
                NotDone { passing: error.is_passing() }
            });
            vec![done; entries.len()]
        }
    })
}

fn inbox(app: &App) -> Batcher<NewEntry, Result<Stored, NotDone>> {
    let app = app.clone();
    Batcher::spawn(TOGETHER, LINGER, move |entries: Vec<NewEntry>| {
        let app = app.clone();
        async move {
            let n = entries.len();
            match inbox::store_many(&app, entries).await {
                Ok(stored) => stored.into_iter().map(Ok).collect(),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the inbox could not be written");
                    (0..n).map(|_| Err(NotDone { passing: error.is_passing() })).collect()
                }
            }
        }
    })
}
