//! Consuming: one channel a consumer, on a connection apart from publishing, so that a blocked publisher never holds up acks.

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Acker, Connection};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Names, PATIENCE, connect, within};
use crate::books::Lane;
use crate::config;
use crate::retry::Reconnect;
use crate::telemetry::traces::Parent;

/// What to consume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Jobs of a lane.
    Jobs(Lane),
    /// Asks.
    Asks,
    /// Dead letters.
    Dead,
}

/// A message taken from a queue, not yet acknowledged or handed back.
pub struct Taken {
    /// Where it came from.
    pub source: Source,
    /// The body.
    pub body: Vec<u8>,
    /// Where an ask's answer goes.
    pub(super) reply_to: Option<String>,
    /// The trace that it belongs to.
    pub trace: Option<Parent>,
    acker: Acker,
}

impl Taken {
    /// Acknowledges it. After a reconnect this does nothing: the broker hands the message out again, and the books know.
    pub async fn ack(self) {
        let _ = within(PATIENCE, self.acker.ack(BasicAckOptions::default())).await;
    }

    /// Gives it back to the broker, for another worker.
    pub async fn hand_back(self) {
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        let _ = within(PATIENCE, self.acker.nack(options)).await;
    }
}

/// Consumers of one process.
pub struct Consumer;

impl Consumer {
    /// Starts a task that feeds what `source` holds, at most `prefetch` unacknowledged, into `into`, until `stop`.
    /// What it fed by then can be acknowledged until `done`.
    pub fn start(
        settings: config::Amqp,
        source: Source,
        prefetch: u16,
        into: mpsc::Sender<Taken>,
        stop: CancellationToken,
        done: CancellationToken,
    ) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            let mut pace = Reconnect::default();
            while !stop.is_cancelled() {
                let fed = feed(&settings, source, prefetch, &into, &stop, &mut pace).await;
                let fed = match fed {
                    Ok(Some(connection)) => {
                        // The receiver sees the end of the feed while acknowledgements still go.
                        drop(into);
                        done.cancelled().await;
                        let _ = within(PATIENCE, connection.close(200, "bye".into())).await;
                        return;
                    }
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                };
                if let Err(error) = fed {
                    tracing::debug!(?source, %error, "a consumer lost its broker");
                }
                tokio::select! {
                    () = tokio::time::sleep(pace.next_wait()) => {}
                    () = stop.cancelled() => {}
                }
            }
        })
    }
}

async fn feed(
    settings: &config::Amqp,
    source: Source,
    prefetch: u16,
    into: &mpsc::Sender<Taken>,
    stop: &CancellationToken,
    pace: &mut Reconnect,
) -> lapin::Result<Option<Connection>> {
    let (connection, channel) = connect(settings, "jobs in").await?;
    within(PATIENCE, channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
    let names = Names::new(settings);
    let queue = match source {
        Source::Jobs(lane) => names.jobs(lane),
        Source::Asks => names.asks(),
        Source::Dead => names.dead(),
    };
    let options = BasicConsumeOptions::default();
    let consuming = channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default());
    let mut consumer = within(PATIENCE, consuming).await?;
    pace.reset();
    loop {
        let delivery = tokio::select! {
            delivery = consumer.next() => delivery,
            () = stop.cancelled() => break,
        };
        // The end of the stream is a cancel by the server: consume anew.
        let Some(delivery) = delivery else { return Ok(None) };
        let delivery = delivery?;
        let reply_to = delivery.properties.reply_to().as_ref().map(|r| r.to_string());
        let trace = super::trace_of(&delivery.properties);
        let taken = Taken { source, body: delivery.data, reply_to, trace, acker: delivery.acker };
        if into.send(taken).await.is_err() {
            break;
        }
    }
    let tag = consumer.tag();
    within(PATIENCE, channel.basic_cancel(tag, lapin::options::BasicCancelOptions::default())).await?;
    Ok(Some(connection))
}
