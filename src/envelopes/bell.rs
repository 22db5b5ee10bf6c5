//! Who waits for messages is told when there are some, in whatever process it waits.
//!
//! By PostgreSQL's `NOTIFY`, after the commit and for many mailboxes at once: in the transaction that stores, it would make all such
//! transactions of the node wait for one another's disk writes. It may get lost, as everything that is only told; so whoever
//! listens also looks by itself now and then, and when it has begun to listen.

use std::time::Duration;

use super::mailbox;
use crate::App;
use crate::batch::Batcher;
use crate::textsecure::Number;

/// The channel of `LISTEN`. What arrives there is a [`mailbox`].
pub const CHANNEL: &str = "handfast_mailboxes";

/// Mailboxes in one statement at the most.
const TOGETHER: usize = 256;

/// The server folds equal ones of a transaction into one.
const RING: &str = "/* envelopes::ring */
select pg_notify('handfast_mailboxes', name) from unnest($1::text[]) as n (name)";

/// Rings; cheap to clone.
#[derive(Clone)]
pub struct Bell {
    app: App,
    names: Batcher<String, ()>,
}

impl Bell {
    /// Starts the task behind it. Call it inside the runtime.
    pub fn start(app: &App) -> Self {
        let own = app.clone();
        let names = Batcher::spawn(TOGETHER, Duration::ZERO, move |names: Vec<String>| {
            let app = own.clone();
            async move {
                if let Err(error) = app.db.execute(RING, &[&names]).await {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "devices were not told of messages; they find them when they look");
                }
                vec![(); names.len()]
            }
        });
        Self { app: app.clone(), names }
    }

    /// In the background: tells whoever waits at these mailboxes. To be called after the commit.
    pub fn ring(&self, devices: impl IntoIterator<Item = (Number, i16)>) {
        for (number, device) in devices {
            let (names, name) = (self.names.clone(), mailbox(&self.app, &number, device));
            // A process that is stopping tells nobody; see above.
            tokio::spawn(async move { names.call(name).await.ok() });
        }
    }
}
