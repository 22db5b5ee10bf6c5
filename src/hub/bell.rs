//! Pages that wait for welcomes are told when there is one, in whatever process they wait.
//!
//! By PostgreSQL's `NOTIFY`, after the commit. It may get lost, as everything that is only told, so who waits looks by itself now and
//! then. One connection listens for all of a process, while anybody waits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::{self, Receiver, Sender};
use tokio::time::sleep;
use uuid::Uuid;

use crate::App;
use crate::failure::chain;

/// The channel of `LISTEN`. What arrives there is a space's inner id.
const CHANNEL: &str = "handfast_welcomes";
/// Who lags behind that far looks anyway.
const BEHIND: usize = 256;
/// After the listening connection was lost.
const AGAIN: Duration = Duration::from_secs(1);
/// How often whoever waits looks by itself.
const LOOK: Duration = Duration::from_secs(3);

const RING: &str = "/* hub::bell::ring */
select pg_notify('handfast_welcomes', $1)";

/// Tells, and is told; cheap to clone.
#[derive(Clone)]
pub struct Bell {
    app: App,
    /// `None` is for everybody.
    told: Sender<Option<Uuid>>,
    listening: Arc<Mutex<bool>>,
}

/// Somebody who waits.
pub struct Waiting {
    space: Uuid,
    told: Receiver<Option<Uuid>>,
}

impl Bell {
    pub(super) fn new(app: &App) -> Self {
        Self { app: app.clone(), told: broadcast::channel(BEHIND).0, listening: Arc::default() }
    }

    /// In the background: whoever waits for this space looks. To be called after the commit.
    pub fn ring(&self, space: Uuid) {
        let app = self.app.clone();
        tokio::spawn(async move {
            if let Err(error) = app.db.execute(RING, &[&space.to_string()]).await {
                tracing::debug!(error = %chain(&error), "pages were not told of a welcome; they find it when they look");
            }
        });
    }

    /// From now on, what concerns this space is heard. Call it inside the runtime.
    pub fn wait(&self, space: Uuid) -> Waiting {
        let told = self.told.subscribe();
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        if !*listening {
            *listening = true;
            tokio::spawn(self.clone().listen());
        }
        Waiting { space, told }
    }

    async fn listen(self) {
        let heard = |told: Option<&str>| {
            // Nobody is left to hear it: no harm. What is no id, and what was told before this listened, is for everybody.
            let _ = self.told.send(told.and_then(|text| text.parse().ok()));
        };
        let forever = async {
            loop {
                let Err(error) = self.app.db.listen(CHANNEL, heard).await;
                tracing::debug!(error = %chain(&error), "pages look for welcomes, but nothing is heard of them");
                sleep(AGAIN).await;
            }
        };
        tokio::select! {
            () = forever => {}
            () = self.left() => {}
        }
    }

    /// Returns when nobody waits any more.
    async fn left(&self) {
        loop {
            sleep(LOOK).await;
            let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
            if self.told.receiver_count() == 0 {
                *listening = false;
                return;
            }
        }
    }
}

impl Waiting {
    /// Waits until there is a reason to look: maybe there is nothing after all.
    pub async fn something(&mut self) {
        let mine = async {
            loop {
                match self.told.recv().await {
                    Ok(Some(other)) if other != self.space => {}
                    _ => return,
                }
            }
        };
        let _ = tokio::time::timeout(LOOK, mine).await;
    }
}
