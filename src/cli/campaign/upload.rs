//! Uploading rows: when the node or the way to it dies, the node is asked how many it has, and the upload goes on behind them.

use std::io;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::source::Source;
use super::watch::Campaign;
use crate::cli::client::{ClientError, Patience, growing, stopped_within};
use crate::cli::progress::{Progress, count};
use crate::cli::target::Session;
use crate::cli::{Failure, Problem};

/// A node that says nothing for so long while it is sent rows is taken for dead.
const SILENCE: Duration = Duration::from_secs(60);

/// A line of the node's answer.
#[derive(Deserialize)]
struct Line {
    taken: Option<u64>,
    #[serde(default)]
    accepted: u64,
    #[serde(default)]
    refused: u64,
    #[serde(default)]
    done: bool,
    error: Option<Problem>,
}

/// Uploads what the campaign has not got; answers it as it stands then.
pub(super) async fn upload(
    session: &Session,
    id: Uuid,
    source: &Source,
    patience: Duration,
    stop: &CancellationToken,
) -> Result<Campaign, Failure> {
    let progress = Progress::new(None, "rows");
    let done = Upload { session, id, source, patience, stop, progress: &progress }.run().await;
    progress.end();
    done
}

struct Upload<'a> {
    session: &'a Session,
    id: Uuid,
    source: &'a Source,
    patience: Duration,
    stop: &'a CancellationToken,
    progress: &'a Progress,
}

impl Upload<'_> {
    async fn run(&self) -> Result<Campaign, Failure> {
        let (mut taken, mut tried, mut moved) = (None, 0, Instant::now());
        loop {
            let campaign = Campaign::of(self.session, self.id, Patience::long(self.patience)).await?;
            if campaign.is_over() || campaign.closed {
                return Err(Failure::Refused("the campaign takes no more rows".into()));
            }
            if taken != Some(campaign.taken) {
                (taken, tried, moved) = (Some(campaign.taken), 0, Instant::now());
            }
            let failure = match self.once(&campaign).await {
                Ok(()) => return Campaign::of(self.session, self.id, Patience::long(self.patience)).await,
                Err(_) if self.stop.is_cancelled() => return Err(Failure::Refused("stopped".into())),
                Err(failure) => failure,
            };
            tried += 1;
            if !is_passing(&failure) || moved.elapsed() > self.patience {
                return Err(failure);
            }
            self.progress.say_sometimes(&format!("going on behind what the node has: {failure}"));
            if stopped_within(Some(self.stop), growing(tried)).await {
                return Err(failure);
            }
        }
    }

    /// One request, until all rows were taken.
    async fn once(&self, campaign: &Campaign) -> Result<(), Failure> {
        let blocks = self.source.behind(campaign.taken)?;
        let body = until_stopped(ReceiverStream::new(blocks), self.stop.clone());
        let call = self.session.client.post(&["campaigns", &self.id.to_string(), "rows"]);
        let call = call.query("offset", campaign.taken).content_type(self.source.content_type());
        let mut answers = std::pin::pin!(call.exchange(body, SILENCE).await?);
        let mut lines = BytesMut::new();
        while let Some(piece) = answers.next().await {
            lines.extend_from_slice(&piece?);
            while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
                let line = lines.split_to(end + 1);
                if self.read(&line, campaign)? {
                    return Ok(());
                }
            }
        }
        Err(lost("the answer ended early"))
    }

    /// Whether this was the last line.
    fn read(&self, line: &[u8], begun: &Campaign) -> Result<bool, Failure> {
        let line: Line = serde_json::from_slice(line).map_err(|_| lost("an answer could not be read"))?;
        if let Some(problem) = line.error {
            return Err(Failure::Client(ClientError::Refused(problem)));
        }
        let taken = line.taken.unwrap_or_default();
        self.progress.at(taken, |seconds| {
            let speed = if seconds > 0.0 { taken.saturating_sub(begun.taken) as f64 / seconds } else { 0.0 };
            let (taken, accepted, refused) = (count(taken), count(line.accepted), count(line.refused));
            format!("{taken} rows, {accepted} accepted, {refused} refused, {speed:.0} rows/s")
        });
        Ok(line.done)
    }
}

/// A body that is stopped must break off: one that merely ended would make half a row its last.
fn until_stopped(
    blocks: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    stop: CancellationToken,
) -> BoxStream<'static, io::Result<Bytes>> {
    let (stopping, stopped) = (stop.clone(), stop);
    let end = stream::once(async move { stopped.is_cancelled().then(|| Err(io::Error::other("stopped"))) });
    blocks.take_until(async move { stopping.cancelled().await }).chain(end.filter_map(std::future::ready)).boxed()
}

fn lost(cause: &str) -> Failure {
    Failure::Client(ClientError::Lost { base: "the node".into(), cause: cause.into() })
}

/// Whether asking how far the campaign is, and going on from there, may help. A conflict means that an upload before this one was
/// still being taken.
fn is_passing(failure: &Failure) -> bool {
    match failure {
        Failure::Client(ClientError::Unreachable { .. } | ClientError::Lost { .. }) => true,
        Failure::Client(ClientError::Refused(problem)) => {
            matches!(problem.status, 408 | 409 | 429 | 500 | 502 | 503 | 504)
                || problem.detail.as_deref() == Some(BROKEN)
        }
        _ => false,
    }
}

/// The node's word for a body that ended early.
const BROKEN: &str = "The request body ended early.";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_stopped_breaks_off_and_what_ends_does_not() {
        let blocks = || stream::iter([Ok(Bytes::from_static(b"a"))]);
        let ended: Vec<_> = until_stopped(blocks(), CancellationToken::new()).collect().await;
        assert!(ended.len() == 1 && ended[0].is_ok());
        let stop = CancellationToken::new();
        stop.cancel();
        let stopped: Vec<_> = until_stopped(blocks(), stop).collect().await;
        assert!(stopped.last().is_some_and(Result::is_err));
    }
}
