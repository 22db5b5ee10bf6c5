//! How much lies in the queues, and who takes it: for those who watch.
//!
//! A connection of its own, made when somebody first looks and kept: a look that goes wrong disturbs no publisher. Nothing is
//! declared here; a queue that is not there yet is left out.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use serde::Serialize;
use tokio::sync::Mutex;

use super::{Names, dial, within};
use crate::books::Lane;
use crate::config;

/// Longest wait for the whole look: who watches shall see that the broker is away, not wait for it.
const LOOK: Duration = Duration::from_secs(2);

/// One queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[schemars(rename = "Queue")]
pub struct Depth {
    /// What it carries: `jobs.interactive`, `jobs.bulk`, `jobs.status`, `asks` or `dead`.
    pub carries: &'static str,
    /// As the broker knows it.
    pub name: String,
    /// Messages that nobody has taken yet.
    pub messages: u32,
    /// Who takes them.
    pub consumers: u32,
}

/// Looks at the queues of a node; cheap to clone.
#[derive(Clone)]
pub struct Depths {
    settings: config::Amqp,
    live: Arc<Mutex<Option<(Connection, Channel)>>>,
}

impl Depths {
    /// Connects at the first look.
    pub fn new(settings: &config::Amqp) -> Self {
        Self { settings: settings.clone(), live: Arc::default() }
    }

    /// All queues; none: the broker is away.
    pub async fn look(&self) -> Option<Vec<Depth>> {
        let mut live = self.live.lock().await;
        let kept =
            live.take().filter(|(connection, channel)| connection.status().connected() && channel.status().connected());
        match tokio::time::timeout(LOOK, self.look_over(kept)).await {
            Ok(Ok((depths, used))) => {
                *live = Some(used);
                Some(depths)
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "the queues could not be looked at");
                None
            }
            Err(_) => None,
        }
    }

    async fn look_over(
        &self,
        kept: Option<(Connection, Channel)>,
    ) -> lapin::Result<(Vec<Depth>, (Connection, Channel))> {
        let (connection, mut channel) = match kept {
            Some(kept) => kept,
            None => {
                let connection = dial(&self.settings, "overview").await?;
                let channel = connection.create_channel().await?;
                (connection, channel)
            }
        };
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let mut depths = Vec::new();
        for (carries, name) in self.queues() {
            match within(LOOK, channel.queue_declare(name.as_str().into(), passive, FieldTable::default())).await {
                Ok(queue) => depths.push(Depth {
                    carries,
                    messages: queue.message_count(),
                    consumers: queue.consumer_count(),
                    name,
                }),
                // What is missing closes the channel.
                Err(_) if connection.status().connected() => channel = connection.create_channel().await?,
                Err(error) => return Err(error),
            }
        }
        Ok((depths, (connection, channel)))
    }

    fn queues(&self) -> Vec<(&'static str, String)> {
        let names = Names::new(&self.settings);
        let jobs = Lane::ALL.map(|lane| {
            let carries = match lane {
                Lane::Interactive => "jobs.interactive",
                Lane::Bulk => "jobs.bulk",
                Lane::Status => "jobs.status",
            };
            (carries, names.jobs(lane))
        });
        jobs.into_iter().chain([("asks", names.asks()), ("dead", names.dead())]).collect()
    }
}
