//! Every order, told to its customer; and a worker that dies half-way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use super::DemoError;
use super::orders::{Orders, Update};
use super::people::SHOP;
use super::stage::{Stage, count};
use super::town::Town;
use crate::cli::{Client, Patience, Problem, Summary};

/// Rows in one request, and requests under way at once.
const BATCH: usize = 500;
const AT_ONCE: usize = 4;
/// Nothing has moved for this long: it is over, whatever is missing.
const STANDSTILL: Duration = Duration::from_secs(90);
/// Shortest pause between two looks.
const GLANCE: Duration = Duration::from_millis(10);

/// What the campaign came to.
pub(super) struct Campaign {
    /// A message id for every update that was accepted; places are those of [`Orders::updates`].
    pub(super) accepted: Vec<Option<Uuid>>,
    /// From the first request to the last answer.
    pub(super) accepting: Duration,
    /// From the first request to the kill, and how many had arrived by then.
    pub(super) undisturbed: (Duration, u64),
    /// From the kill until nothing was open any more.
    pub(super) takeover: Duration,
    /// The shop's books at the end.
    pub(super) books: Summary,
}

#[derive(Deserialize)]
struct Results {
    results: Vec<RowResult>,
}

#[derive(Deserialize)]
struct RowResult {
    index: usize,
    id: Option<Uuid>,
    error: Option<Problem>,
}

/// Sends, kills, waits.
pub(super) async fn run(
    town: &Town,
    shop: &Client,
    customers: &Client,
    orders: &Orders,
) -> Result<Campaign, DemoError> {
    // A tag of its own, and keys of its own: the same orders may be told again in a kept town.
    let tag = format!("demo-{}", Uuid::now_v7().simple());
    let stage = Stage::of("messages in the inboxes", orders.updates.len());
    let before = inbox_count(customers).await?;
    let begun = Instant::now();
    let sending = async {
        let accepted = send_all(shop, orders, &tag).await?;
        stage.say(&format!(
            "{} messages accepted ({:.1} s)",
            count(accepted.iter().flatten().count() as u64),
            begun.elapsed().as_secs_f64()
        ));
        Ok::<_, DemoError>((accepted, begun.elapsed()))
    };
    let watch = Watch { town, shop, customers, tag: &tag, stage: &stage, before, total: orders.updates.len() as u64 };
    let sent = AtomicU64::new(0);
    let sending = async {
        let done = sending.await;
        sent.store(1, Ordering::Relaxed);
        done
    };
    let ((accepted, accepting), (books, killed, arrived)) = tokio::try_join!(sending, watch.to_the_end(&sent))?;
    stage.end(&format!("{} messages settled", count(books.accepted)));
    let undisturbed = (killed.duration_since(begun), arrived);
    Ok(Campaign { accepted, accepting, undisturbed, takeover: killed.elapsed(), books })
}

async fn send_all(shop: &Client, orders: &Orders, tag: &str) -> Result<Vec<Option<Uuid>>, DemoError> {
    let batches = orders.updates.chunks(BATCH).map(|batch| send_batch(shop, orders, batch, tag));
    let answers: Vec<Vec<Option<Uuid>>> = stream::iter(batches).buffered(AT_ONCE).try_collect().await?;
    Ok(answers.into_iter().flatten().collect())
}

async fn send_batch(
    shop: &Client,
    orders: &Orders,
    batch: &[Update],
    tag: &str,
) -> Result<Vec<Option<Uuid>>, DemoError> {
    let row = |update: &Update| {
        let key = format!("{tag}-{}", update.order);
        json!({"from": SHOP, "to": orders.address(update.customer), "text": update.text, "lane": "bulk", "tag": tag, "key": key})
    };
    let rows: Vec<Value> = batch.iter().map(row).collect();
    let call = shop.post(&["messages", "batch"]).json(json!({"messages": rows}));
    // Every row has its key, so that a repeated request makes no doubles.
    let answer: Results = call.idempotent().patience(Patience::long(Duration::from_secs(60))).parse().await?;
    let mut ids = vec![None; batch.len()];
    for RowResult { index, id, error } in answer.results {
        if let Some(problem) = error {
            return Err(DemoError::Wrong(format!("a message was refused: {problem}")));
        }
        if let Some(place) = ids.get_mut(index) {
            *place = id;
        }
    }
    Ok(ids)
}

async fn inbox_count(customers: &Client) -> Result<u64, DemoError> {
    let answer: Value =
        customers.get(&["inbox", "count"]).patience(Patience::long(Duration::from_secs(60))).parse().await?;
    answer["total"].as_u64().ok_or_else(|| DemoError::Wrong("the inboxes were not counted".into()))
}

struct Watch<'a> {
    town: &'a Town,
    shop: &'a Client,
    customers: &'a Client,
    tag: &'a str,
    stage: &'a Stage,
    /// Entries in the inboxes before the campaign.
    before: u64,
    total: u64,
}

impl Watch<'_> {
    /// Until all that was sent is settled; kills a worker on the way. With the books then, when the kill was, and how many had
    /// arrived before it.
    async fn to_the_end(&self, sent: &AtomicU64) -> Result<(Summary, Instant, u64), DemoError> {
        let half = self.count_until(self.total.div_ceil(2), sent).await?;
        let killed = Instant::now();
        self.kill_a_worker(half).await?;
        self.count_until(self.total, sent).await?;
        let mut moved = (self.books().await?, Instant::now());
        while sent.load(Ordering::Relaxed) == 0 || moved.0.open() > 0 {
            if moved.1.elapsed() > STANDSTILL {
                break;
            }
            self.town.check()?;
            sleep(Duration::from_millis(100)).await;
            let books = self.books().await?;
            if books != moved.0 {
                moved = (books, Instant::now());
            }
        }
        Ok((moved.0, killed, half))
    }

    /// Until so many have arrived, or nothing moves any more; with how many it are.
    async fn count_until(&self, enough: u64, sent: &AtomicU64) -> Result<u64, DemoError> {
        let mut moved = (0, Instant::now());
        loop {
            let asked = Instant::now();
            let arrived = inbox_count(self.customers).await?.saturating_sub(self.before);
            let cost = asked.elapsed();
            self.stage.at(arrived);
            if arrived != moved.0 {
                moved = (arrived, Instant::now());
            }
            let over = sent.load(Ordering::Relaxed) != 0 && moved.1.elapsed() > STANDSTILL;
            if arrived >= enough || over {
                return Ok(arrived);
            }
            self.town.check()?;
            // Counting costs the node something: a fifth of the time at most.
            sleep(GLANCE.max(cost * 4)).await;
        }
    }

    async fn kill_a_worker(&self, arrived: u64) -> Result<(), DemoError> {
        let node = self.town.shop();
        let Some(killed) = node.kill_worker(0).await else { return Ok(()) };
        let successor = self.town.start_worker(node).await?;
        self.stage.say(&format!(
            "kill -9 {killed}: a worker of {} died with {} of {} messages in the inboxes; process {successor} takes its place, and \
             what it held goes on when its heartbeat has run out (8 s)",
            node.domain,
            count(arrived),
            count(self.total),
        ));
        Ok(())
    }

    async fn books(&self) -> Result<Summary, DemoError> {
        let patience = Patience::long(Duration::from_secs(60));
        let call = self.shop.get(&["messages", "summary"]).query("tag", self.tag).patience(patience);
        Ok(call.parse().await?)
    }
}
