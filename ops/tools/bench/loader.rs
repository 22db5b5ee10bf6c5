//! The loader: hands messages to the node's API over a fixed number of kept-alive connections, as fast as they are accepted or
//! at a fixed pace.
//!
//! Every request has an idempotency key of its own, and is repeated with it when the node asks for patience, so that "accepted"
//! is what the node has acknowledged: neither more nor less. It writes and reads HTTP/1.1 itself, because two cores are shared
//! and what a comfortable client would use is taken from the node.

mod http;
mod pace;
mod requests;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::body::now_us;
use crate::latencies::Latencies;
use crate::part::{self, Orders};
use http::{Connection, Reply};
use pace::Pace;
use requests::Requests;

/// A node that asks for patience this long in a row is broken.
const PATIENCE: Duration = Duration::from_secs(120);

/// One load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Load {
    /// `host:port` of the private listener.
    pub(crate) at: String,
    pub(crate) key: String,
    /// Part of every idempotency key: another one for every load.
    pub(crate) run: String,
    /// Messages, numbered from 0.
    pub(crate) count: u32,
    /// Messages in a request; 1 takes the other path of the API.
    pub(crate) batch: u32,
    /// Requests at once.
    pub(crate) at_once: usize,
    /// The numbers of the webhooks, each in turn.
    pub(crate) webhooks: std::ops::Range<u32>,
    /// Messages a second; none: as many as are accepted.
    pub(crate) per_second: Option<f64>,
}

/// What became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Loaded {
    /// When the first request was sent and the last was answered, in microseconds since 1970.
    pub(crate) first_us: u64,
    pub(crate) last_us: u64,
    /// Times the node asked for patience (429 or 503).
    pub(crate) asked_to_wait: u64,
    /// How long a request took to be answered, waits included.
    pub(crate) answers: Latencies,
}

/// The part's life.
pub(crate) async fn run() -> anyhow::Result<()> {
    let mut orders = Orders::new();
    while let Some(load) = orders.next::<Load>().await? {
        part::answer(Loading::new(&load).run().await)?;
    }
    Ok(())
}

struct Loading<'a> {
    load: &'a Load,
    pace: Pace,
    waits: RefCell<u64>,
    answers: RefCell<Vec<f64>>,
}

impl<'a> Loading<'a> {
    fn new(load: &'a Load) -> Self {
        let requests = load.count.div_ceil(load.batch);
        let pause = load.per_second.map(|rate| Duration::from_secs_f64(f64::from(load.batch) / rate));
        Self { load, pace: Pace::new(requests, pause), waits: RefCell::default(), answers: RefCell::default() }
    }

    async fn run(self) -> anyhow::Result<Loaded> {
        let mut connections = Vec::new();
        for _ in 0..self.load.at_once {
            connections.push(Connection::open(&self.load.at).await?);
        }
        let first_us = now_us();
        self.pace.start();
        futures_util::future::try_join_all(connections.into_iter().map(|connection| self.send(connection))).await?;
        Ok(Loaded {
            first_us,
            last_us: now_us(),
            asked_to_wait: self.waits.into_inner(),
            answers: Latencies::of(self.answers.into_inner()),
        })
    }

    /// One connection's share of the requests.
    async fn send(&self, mut connection: Connection) -> anyhow::Result<()> {
        let mut requests = Requests::new(self.load);
        while let Some((number, sent_us)) = self.pace.next().await {
            let begun = Instant::now();
            let request = requests.write(number, sent_us);
            loop {
                let reply = connection.exchange(request).await.context("the node does not answer")?;
                let Some(wait) = self.judge(&reply)? else { break };
                anyhow::ensure!(begun.elapsed() < PATIENCE, "the node asks for patience again and again");
                *self.waits.borrow_mut() += 1;
                tokio::time::sleep(wait).await;
            }
            self.answers.borrow_mut().push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(())
    }

    /// Nothing when all of the request was accepted; how long to wait when it is to come again.
    fn judge(&self, reply: &Reply<'_>) -> anyhow::Result<Option<Duration>> {
        let all = self.load.batch == 1 || contains(reply.body, br#""rejected":0"#);
        match reply.status {
            200..=299 if all => Ok(None),
            429 | 503 => Ok(Some(reply.retry_after)),
            status => {
                let text = String::from_utf8_lossy(&reply.body[..reply.body.len().min(1000)]);
                anyhow::bail!("messages were refused: {status} {text}")
            }
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
