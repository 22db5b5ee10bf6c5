//! The three ledgers: what the application saw accepted, what the books hold, what the inboxes hold.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lapin::options::{BasicGetOptions, BasicNackOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use serde_json::Value;

use super::application::Accepted;
use crate::node::{Node, eventually};

/// The longest time in which nothing moves while there is work. Longer than anything a node waits for by itself on the way
/// (lease, back-off of reconnects), shorter than the five minutes after which an unclaimed publish is repeated: what is only
/// found by that is a finding.
const STANDSTILL: Duration = Duration::from_secs(25);

/// What became of the messages of a node, when nothing more is going to happen.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Balance {
    pub(super) accepted: usize,
    pub(super) delivered: usize,
    pub(super) unconfirmed: usize,
    /// Copies in inboxes beyond the first.
    pub(super) doubles: usize,
    /// Deliveries with more than one delivered attempt.
    pub(super) seen_doubles: usize,
    /// Attempts whose worker no longer held the delivery.
    pub(super) late: usize,
}

/// Waits until a node has nothing left to do.
///
/// # Panics
/// When nothing moves for [`STANDSTILL`] while there is work.
pub(super) async fn worked_off(node: &Node) {
    let (mut before, mut moved) = (Value::Null, Instant::now());
    loop {
        let summary = node.get("messages/summary").await;
        let open = ["pending", "sending", "retrying"].iter().any(|state| summary[*state] != 0);
        if !open {
            return;
        }
        let attempts: i64 = node.value("select count(*) from tries").await;
        let now = Value::from(vec![summary.clone(), attempts.into()]);
        if now != before {
            (before, moved) = (now, Instant::now());
        }
        if moved.elapsed() > STANDSTILL {
            panic!("nothing moves any more: {summary}; {}", rows_left(node).await);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits for the end of the work, then compares: every accepted text is in the books under its id, nothing else is, and every
/// one that the books call delivered is in the receiver's inboxes. Returns the rest of the picture for the test to judge.
///
/// # Panics
/// When the ledgers disagree, when something is left held or published, or when a delivery ended in any other way.
pub(super) async fn settle(from: &Node, accepted: &Accepted, inboxes: impl AsyncFn() -> Vec<String>) -> Balance {
    worked_off(from).await;
    let ledger = accepted.all().await;
    let summary = from.get("messages/summary").await;
    let books = states(from).await;
    for (text, id) in &ledger {
        assert!(books.contains_key(id), "{text} was accepted as {id}, and the books know nothing of it");
    }
    assert_eq!(books.len(), ledger.len(), "the books hold more than was accepted: {summary}");
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for text in inboxes().await {
        *copies.entry(text).or_default() += 1;
    }
    for (text, id) in &ledger {
        let there = copies.contains_key(text);
        match books[id].as_str() {
            "delivered" => {
                assert!(there, "{text} ({id}) is called delivered and in no inbox: {}", from.message(id).await)
            }
            "unconfirmed" => {}
            other => panic!("{text} ended as {other}: {}", from.message(id).await),
        }
    }
    for text in copies.keys() {
        assert!(ledger.contains_key(text), "{text} is in an inbox and was not accepted");
    }
    nothing_left(from).await;
    let count = |state: &str| books.values().filter(|found| *found == state).count();
    let number = async |sql: &str| from.value::<i64>(sql).await as usize;
    Balance {
        accepted: ledger.len(),
        delivered: count("delivered"),
        unconfirmed: count("unconfirmed"),
        doubles: copies.values().sum::<usize>() - copies.len(),
        seen_doubles: summary["doubles"].as_u64().expect("a number") as usize,
        late: number("select count(*) from tries where late").await,
    }
}

/// Every text in an account's inbox, all pages.
pub(super) async fn inbox(node: &Node, id: &str) -> Vec<String> {
    let (mut texts, mut after) = (Vec::new(), String::new());
    loop {
        let page = node.get(&format!("inbox?account={}&limit=1000{after}", node.address(id))).await;
        let items = page["items"].as_array().expect("a list");
        texts.extend(items.iter().map(|item| item["text"].as_str().expect("a text").to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return texts,
        }
    }
}

/// The state of every message, by id, as the books say it.
pub(super) async fn states(node: &Node) -> BTreeMap<String, String> {
    let (mut states, mut after) = (BTreeMap::new(), String::new());
    loop {
        let page = node.get(&format!("messages?limit=1000{after}")).await;
        for item in page["items"].as_array().expect("a list") {
            let text = |name: &str| item[name].as_str().expect("a text").to_owned();
            states.insert(text("id"), text("state"));
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return states,
        }
    }
}

/// Nothing is claimed or due, and the broker holds no job.
async fn nothing_left(node: &Node) {
    eventually("the books hold no open row", async || rows_left(node).await.is_empty()).await;
    eventually("the broker holds no job", async || jobs_left(node).await == 0).await;
}

/// Open rows of the books, for people.
pub(super) async fn rows_left(node: &Node) -> String {
    let sql = "select coalesce(string_agg(left(x, 400), E'\\n'), '') from (
        select 'chunk ' || c::text as x from chunks c where state <> 2
        union all select 'exception ' || e::text from exceptions e where state in (1, 2)
        union all select 'worker ' || w::text from workers w where exists (select from chunks where state <> 2)
        limit 12) as open";
    node.value::<String>(sql).await
}

/// Jobs ready in the broker.
pub(super) async fn jobs_left(node: &Node) -> u32 {
    let (connection, channel) = broker(node).await;
    let mut left = 0;
    for queue in ["jobs.interactive", "jobs.bulk", "dead"] {
        left += waiting(&channel, &name(node, queue)).await;
    }
    connection.close(200, "looked".into()).await.expect("closed");
    left
}

/// Takes the only job of a queue and hands it back until the broker puts it among the dead letters.
pub(super) async fn hand_out_too_often(node: &Node, queue: &str) {
    let (connection, channel) = broker(node).await;
    eventually("the job is dead", async || {
        let job =
            channel.basic_get(name(node, queue).as_str().into(), BasicGetOptions::default()).await.expect("an answer");
        if let Some(job) = job {
            let back = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
            job.acker.nack(back).await.expect("handed back");
        }
        waiting(&channel, &name(node, "dead")).await == 1
    })
    .await;
    connection.close(200, "done".into()).await.expect("closed");
}

async fn broker(node: &Node) -> (Connection, Channel) {
    let url = node.app.config.amqp.url.reveal();
    let connection = Connection::connect(url, ConnectionProperties::default()).await.expect("a broker");
    let channel = connection.create_channel().await.expect("a channel");
    (connection, channel)
}

async fn waiting(channel: &Channel, queue: &str) -> u32 {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), passive, FieldTable::default()).await.expect("a queue").message_count()
}

fn name(node: &Node, queue: &str) -> String {
    format!("{}.v1.{queue}", node.app.config.amqp.prefix)
}
