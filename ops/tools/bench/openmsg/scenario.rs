//! What is measured: accounts and connections once, then rounds of load.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use handfast::demo::town::Town;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::bare::Bare;
use super::cpu::Cpu;
use super::report::Line;
use crate::api::Api;
use crate::latencies::Latencies;
use crate::pacing::paced;
use crate::webhook::RAISED;

/// Connections that messages are spread over.
const CUSTOMERS: usize = 100;
const SHOP: &str = "1000*shop.test";
/// Characters of a text.
const TEXT: usize = 100;
/// Rows in a request of the batch scenario, and requests at once.
const ROWS: usize = 100;
const BATCHES: usize = 8;
/// Single requests at once; also the bare loop's calls at once.
const SINGLES: usize = 64;
/// Of the latency scenario: 50 a second.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the bare loop runs before and after the nodes.
const BARE_FOR: Duration = Duration::from_secs(3);
/// All that was accepted must have arrived after this.
const PATIENCE: Duration = Duration::from_secs(300);
const GLANCE: Duration = Duration::from_millis(50);

/// What an inbox says of a message.
#[derive(Debug, serde::Deserialize)]
struct Entry {
    text: String,
    received_at: Timestamp,
}

/// One kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// 100 messages a request, 8 requests at once
    Batch,
    /// One message a request, 64 requests at once
    Single,
    /// One message every 20 ms
    Latency,
}

/// All of them.
pub(crate) const ALL: [Scenario; 3] = [Scenario::Batch, Scenario::Single, Scenario::Latency];

impl Scenario {
    fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch-100",
            Self::Single => "single-x64",
            Self::Latency => "latency-50-per-s",
        }
    }

    /// Messages in a round.
    fn messages(self) -> usize {
        match self {
            Self::Batch => 10_000,
            Self::Single => 5_000,
            Self::Latency => 750,
        }
    }
}

/// The nodes, their people, and the yardstick.
pub(crate) struct Bench<'a> {
    town: &'a Town,
    shop: Api,
    customers: Api,
    bare: Bare,
}

struct Round {
    rate: f64,
    bare_rate: f64,
    latencies: Latencies,
    cpu: Cpu,
}

impl<'a> Bench<'a> {
    /// Accounts and connections.
    pub(crate) async fn prepare(town: &'a Town, data: &Path) -> anyhow::Result<Self> {
        let (shop, customers) = (Api::of(town.shop())?, Api::of(town.customers())?);
        shop.patch("/destinations/customers.test", &json!({"concurrency": RAISED})).await?;
        shop.post("/accounts", &json!({"address": SHOP, "name": "Shop"})).await?;
        let accounts: Vec<Value> = (0..CUSTOMERS).map(|n| json!({"address": address(n), "name": "Customer"})).collect();
        customers.post("/accounts/batch", &json!({"accounts": accounts})).await?;
        stream::iter((0..CUSTOMERS).map(|n| shake(&shop, &customers, n)))
            .buffer_unordered(32)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(Self { town, shop, customers, bare: Bare::start(data)? })
    }

    /// A warm-up and some rounds.
    pub(crate) async fn line(&self, scenario: Scenario, rounds: u32) -> anyhow::Result<Line> {
        let name = scenario.name();
        eprintln!("{name}: warm-up");
        self.load(scenario, scenario.messages() / 5).await?;
        let mut measured = Vec::new();
        for n in 1..=rounds {
            let round = self.round(scenario).await?;
            let Round { rate, bare_rate, cpu, .. } = &round;
            eprintln!("{name}: round {n}: {rate:.0}/s, bare {bare_rate:.0}/s, {:.2} CPU s per 1,000", cpu.total());
            measured.push(round);
        }
        measured.sort_by(|a, b| (a.rate / a.bare_rate).total_cmp(&(b.rate / b.bare_rate)));
        let Round { rate, bare_rate, latencies, cpu } = measured.swap_remove(measured.len() / 2);
        Ok(Line { scenario: name, rate, bare_rate, ratio: rate / bare_rate, latencies, cpu })
    }

    /// The bare loop, the nodes, the bare loop.
    async fn round(&self, scenario: Scenario) -> anyhow::Result<Round> {
        let before = self.bare_rate(scenario).await?;
        let used = Cpu::of(self.town).await;
        let count = scenario.messages();
        let (rate, latencies) = self.load(scenario, count).await?;
        let cpu = Cpu::of(self.town).await.per_thousand_since(used, count);
        let after = self.bare_rate(scenario).await?;
        Ok(Round { rate, bare_rate: (before + after) / 2.0, latencies, cpu })
    }

    async fn bare_rate(&self, scenario: Scenario) -> anyhow::Result<f64> {
        match scenario {
            Scenario::Latency => Ok(self.bare.paced(PAUSE, 150).await?.0),
            _ => self.bare.rate(SINGLES, BARE_FOR).await,
        }
    }

    /// `count` messages; per second from the first request until the last was in its inbox.
    async fn load(&self, scenario: Scenario, count: usize) -> anyhow::Result<(f64, Latencies)> {
        let before = self.arrived().await?;
        let begun = Timestamp::now();
        let run = Uuid::now_v7().simple().to_string();
        let (sent, ()) = tokio::try_join!(self.send(scenario, &run, count), self.wait_for(before + count as u64))?;
        let received = self.received(begun, &run).await?;
        let mut took = Vec::with_capacity(count);
        for (n, at) in &sent {
            let received = received.get(n).with_context(|| format!("message {n} is not in its inbox"))?;
            took.push(seconds(*at, *received) * 1000.0);
        }
        let last = received.values().max().context("nothing arrived")?;
        Ok((count as f64 / seconds(begun, *last), Latencies::of(took)))
    }

    /// Sends; with the moment of each message's request.
    async fn send(&self, scenario: Scenario, run: &str, count: usize) -> anyhow::Result<Vec<(usize, Timestamp)>> {
        match scenario {
            Scenario::Batch => {
                let starts = (0..count).step_by(ROWS).map(|n| self.send_batch(run, n..count.min(n + ROWS)));
                let sent: Vec<_> = stream::iter(starts).buffer_unordered(BATCHES).try_collect().await?;
                Ok(sent.into_iter().flatten().collect())
            }
            Scenario::Single => {
                let all = (0..count).map(|n| self.send_one(run, n));
                stream::iter(all).buffer_unordered(SINGLES).try_collect().await
            }
            Scenario::Latency => paced(PAUSE, count, |n| self.send_one(run, n)).await,
        }
    }

    async fn send_batch(&self, run: &str, numbers: Range<usize>) -> anyhow::Result<Vec<(usize, Timestamp)>> {
        let rows: Vec<Value> = numbers.clone().map(|n| row(run, n)).collect();
        let at = Timestamp::now();
        let answer = self.shop.post("/messages/batch", &json!({"messages": rows})).await?;
        anyhow::ensure!(answer["rejected"] == 0, "rows were refused: {answer}");
        Ok(numbers.map(|n| (n, at)).collect())
    }

    async fn send_one(&self, run: &str, n: usize) -> anyhow::Result<(usize, Timestamp)> {
        let at = Timestamp::now();
        self.shop.post("/messages", &row(run, n)).await?;
        Ok((n, at))
    }

    async fn arrived(&self) -> anyhow::Result<u64> {
        self.customers.get("/inbox/count").await?["total"].as_u64().context("the inboxes were not counted")
    }

    async fn wait_for(&self, total: u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let asked = Instant::now();
            let arrived = self.arrived().await?;
            if arrived >= total {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "{} messages have not arrived", total - arrived);
            self.town.check()?;
            // Counting must not be what is measured.
            tokio::time::sleep(GLANCE.max(asked.elapsed() * 20)).await;
        }
    }

    /// When each message of a run was put into its inbox.
    async fn received(&self, since: Timestamp, run: &str) -> anyhow::Result<HashMap<usize, Timestamp>> {
        // Ids sort by time. The nodes follow their database's clock, which may be a little behind ours.
        let from = u64::try_from(since.as_second())?.saturating_sub(1);
        let from = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, from, 0));
        let inboxes = stream::iter((0..CUSTOMERS).map(|n| self.inbox(n, from))).buffer_unordered(8);
        let entries: Vec<Vec<Entry>> = inboxes.try_collect().await?;
        let mine = |entry: Entry| {
            let number = entry.text.trim_end_matches('.').strip_prefix(run)?.trim().parse().ok()?;
            Some((number, entry.received_at))
        };
        Ok(entries.into_iter().flatten().filter_map(mine).collect())
    }

    async fn inbox(&self, customer: usize, after: Uuid) -> anyhow::Result<Vec<Entry>> {
        let (mut entries, mut after) = (Vec::new(), after.to_string());
        loop {
            let path = format!("/inbox?limit=1000&account={}&after={after}", address(customer));
            let mut page = self.customers.get(&path).await?;
            entries.append(&mut serde_json::from_value(page["items"].take())?);
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut after),
                None => return Ok(entries),
            }
        }
    }
}

async fn shake(shop: &Api, customers: &Api, n: usize) -> anyhow::Result<()> {
    let to = address(n);
    let code = customers.post(&format!("/accounts/{to}/passcodes"), &json!({})).await?;
    let body = json!({"from": SHOP, "to": to, "pass_code": code["pass_code"]});
    let handshake = shop.post("/connections?wait=60", &body).await?;
    anyhow::ensure!(handshake["state"] == "connected", "the handshake with {to} did not succeed: {handshake}");
    Ok(())
}

fn address(n: usize) -> String {
    format!("{}*customers.test", n + 1)
}

/// The text tells run and number, and is filled up to its length.
fn row(run: &str, n: usize) -> Value {
    let text = format!("{run} {n}");
    json!({"from": SHOP, "to": address(n % CUSTOMERS), "text": format!("{text:.<TEXT$}"), "lane": "bulk"})
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}
