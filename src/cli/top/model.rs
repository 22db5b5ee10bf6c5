//! What the API says of a node, and the rows of tables made from it.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

use crate::cli::Failure;
use crate::cli::client::Client;
use crate::cli::output::{harmless, time};
use crate::cli::table::Table;

/// Destinations and campaigns looked at for one picture.
const MOST: u32 = 1000;

/// `GET /overview`. Fields that a node of another version does not have are empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Overview {
    pub(super) at: String,
    pub(super) domain: String,
    pub(super) version: String,
    pub(super) rates: Rates,
    pub(super) minutes: Vec<Minute>,
    lanes: Vec<Lane>,
    pub(super) broker: Broker,
    destinations: Destinations,
    pub(super) workers: Vec<Worker>,
    campaigns: Campaigns,
}

/// A second, over the last whole minute.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct Rates {
    accepted: f64,
    attempts: f64,
    delivered: f64,
    failed: f64,
    received: f64,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct Minute {
    pub(super) accepted: u64,
    pub(super) delivered: u64,
    pub(super) failed: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Lane {
    lane: String,
    ready: u64,
    scheduled: u64,
    retrying: u64,
    sending: u64,
    waits_for_destination: u64,
    waits_for_campaign: u64,
    waits_for_turn: u64,
    more: bool,
    oldest_waiting_since: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Broker {
    pub(super) reachable: bool,
    pub(super) queues: Vec<Queue>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Queue {
    pub(super) carries: String,
    pub(super) messages: u64,
    pub(super) consumers: u64,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Destinations {
    known: u64,
    open: u64,
    half_open: u64,
    retry_after: u64,
    paused: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Worker {
    host: String,
    pid: i64,
    since: String,
    last_seen: String,
    chunks: u64,
    deliveries: u64,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Campaigns {
    running: u64,
    paused: u64,
}

/// A table: titles, rows, and the columns that sort as numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) titles: &'static [&'static str],
    pub(super) cells: Vec<Vec<String>>,
}

impl Rows {
    /// Sorted by a column: numbers by their value, all else as text.
    pub(super) fn sorted(&self, column: usize, reverse: bool) -> Vec<&Vec<String>> {
        let mut rows: Vec<&Vec<String>> = self.cells.iter().collect();
        let key = |row: &Vec<String>| {
            let cell = row.get(column).map(String::as_str).unwrap_or_default();
            (cell.trim_end_matches('+').parse::<f64>().ok(), cell.to_owned())
        };
        rows.sort_by(|a, b| {
            let ((n, text), (m, other)) = (key(a), key(b));
            n.partial_cmp(&m).unwrap_or(std::cmp::Ordering::Equal).then(text.cmp(&other))
        });
        if reverse {
            rows.reverse();
        }
        rows
    }
}

/// All that one look has brought.
#[derive(Debug, Clone, Default)]
pub(super) struct Picture {
    pub(super) overview: Overview,
    pub(super) rows: Rows,
}

impl Overview {
    /// The whole in a few lines of text.
    pub(in crate::cli) fn words(&self) -> String {
        let mut text =
            format!("{}, handfast {}, at {}\n", harmless(&self.domain), harmless(&self.version), time(&self.at));
        for (name, words) in self.facts() {
            let _ = writeln!(text, "{name:<13}{words}");
        }
        text
    }

    /// Names and words, a line each.
    pub(super) fn facts(&self) -> Vec<(String, String)> {
        let Rates { accepted, attempts, delivered, failed, received } = self.rates;
        let mut facts = vec![(
            "a second".to_owned(),
            format!(
                "accepted {accepted:.1}  tries {attempts:.1}  delivered {delivered:.1}  failed {failed:.1}  received {received:.1}"
            ),
        )];
        facts.extend(self.lanes.iter().map(|lane| (harmless(&lane.lane), lane.words())));
        facts.push(("broker".into(), self.broker.words()));
        let Destinations { known, open, half_open, retry_after, paused } = self.destinations;
        facts.push((
            "destinations".into(),
            format!(
                "{known} known  {open} open  {half_open} half open  {retry_after} asked for a pause  {paused} paused"
            ),
        ));
        facts.push(("workers".into(), self.worker_words()));
        facts.push((
            "campaigns".into(),
            format!("{} running  {} paused", self.campaigns.running, self.campaigns.paused),
        ));
        facts
    }

    fn worker_words(&self) -> String {
        let in_hand: u64 = self.workers.iter().map(|worker| worker.deliveries).sum();
        match self.workers.len() {
            0 => "NONE: nothing is delivered until one is started".into(),
            n => format!("{n} alive  {in_hand} deliveries in hand"),
        }
    }

    pub(super) fn lane_rows(&self) -> Rows {
        let cells = |lane: &Lane| {
            let more = if lane.more { "+" } else { "" };
            let number = |n: u64| format!("{n}{more}");
            vec![
                harmless(&lane.lane),
                number(lane.ready),
                number(lane.sending),
                number(lane.retrying),
                number(lane.scheduled),
                number(lane.waits_for_destination),
                number(lane.waits_for_campaign),
                number(lane.waits_for_turn),
                lane.oldest_waiting_since.as_deref().map(time).unwrap_or_default(),
            ]
        };
        Rows {
            titles: &[
                "LANE",
                "READY",
                "SENDING",
                "RETRYING",
                "LATER",
                "FOR DEST.",
                "FOR CAMPAIGN",
                "FOR TURN",
                "OLDEST SINCE",
            ],
            cells: self.lanes.iter().map(cells).collect(),
        }
    }

    pub(super) fn worker_rows(&self) -> Rows {
        let cells = |worker: &Worker| {
            vec![
                harmless(&worker.host),
                worker.pid.to_string(),
                time(&worker.since),
                time(&worker.last_seen),
                worker.chunks.to_string(),
                worker.deliveries.to_string(),
            ]
        };
        Rows {
            titles: &["HOST", "PID", "SINCE", "LAST SEEN", "CHUNKS", "DELIVERIES"],
            cells: self.workers.iter().map(cells).collect(),
        }
    }
}

impl Lane {
    fn words(&self) -> String {
        let mut words = format!("ready {}  sending {}  retrying {}", self.ready, self.sending, self.retrying);
        let waits = [
            ("later", self.scheduled),
            ("wait for destination", self.waits_for_destination),
            ("wait for campaign", self.waits_for_campaign),
            ("wait for turn", self.waits_for_turn),
        ];
        for (name, n) in waits.iter().filter(|(_, n)| *n > 0) {
            let _ = write!(words, "  {name} {n}");
        }
        if self.more {
            words.push_str("  and more");
        }
        if let Some(since) = &self.oldest_waiting_since {
            let _ = write!(words, "  oldest waits since {}", time(since));
        }
        words
    }
}

impl Broker {
    fn words(&self) -> String {
        if !self.reachable {
            return "AWAY: what is accepted waits in PostgreSQL".into();
        }
        let queue = |queue: &Queue| format!("{} {}", harmless(&queue.carries), queue.messages);
        self.queues.iter().map(queue).collect::<Vec<_>>().join("  ")
    }
}

/// `GET /destinations`.
pub(super) async fn destinations(client: &Client) -> Result<Rows, Failure> {
    let found: Value = client.get(&["destinations"]).query("limit", MOST).parse().await?;
    let titles = &["NAME", "STATE", "WAITING", "IN HAND", "AT ONCE", "OLDEST SINCE", "CLOSED UNTIL", "WHY"];
    let fields = ["name", "state", "waiting", "in_hand", "concurrency_now", "oldest_waiting", "closed_until", "why"];
    Ok(Rows { titles, cells: cells(&found, &fields) })
}

/// `GET /campaigns`.
pub(super) async fn campaigns(client: &Client) -> Result<Rows, Failure> {
    let found: Value = client.get(&["campaigns"]).query("limit", MOST).parse().await?;
    let titles = &["NAME", "STATE", "TAKEN", "ACCEPTED", "REFUSED", "RATE", "CREATED", "ID"];
    let fields = ["name", "state", "taken", "accepted", "refused", "rate", "created_at", "id"];
    Ok(Rows { titles, cells: cells(&found, &fields) })
}

fn cells(found: &Value, fields: &[&str]) -> Vec<Vec<String>> {
    let items = found["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let cell = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => time(text),
        Value::String(text) => harmless(text),
        other => other.to_string(),
    };
    items.iter().map(|item| fields.iter().map(|field| cell(&item[*field])).collect()).collect()
}

/// Rows as text.
pub(super) fn table(rows: &Rows) -> String {
    let mut table = Table::new(rows.titles.iter().copied());
    rows.cells.iter().for_each(|row| table.row(row.iter().cloned()));
    format!("\n{}", table.page())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cli::top) fn example() -> Overview {
        let minute =
            |n: u64| serde_json::json!({"at": "2026-01-02T03:04:00Z", "accepted": n, "delivered": n, "failed": 0});
        let json = serde_json::json!({
            "at": "2026-01-02T03:04:05Z", "domain": "shop.example", "version": "0.1.0",
            "rates": {"accepted": 12.04, "attempts": 13.0, "delivered": 12.0, "failed": 0.5, "received": 2.0},
            "minutes": (0..60).map(minute).collect::<Vec<_>>(),
            "lanes": [
                {"lane": "interactive", "ready": 3, "sending": 1, "retrying": 0, "more": false},
                {"lane": "bulk", "ready": 1000, "retrying": 7, "waits_for_destination": 20, "more": true,
                 "oldest_waiting_since": "2026-01-02T03:00:05Z"}],
            "broker": {"reachable": true, "queues": [{"carries": "jobs.bulk", "messages": 4, "consumers": 2}]},
            "destinations": {"known": 5, "open": 1, "half_open": 0, "retry_after": 0, "paused": 2},
            "workers": [{"host": "a", "pid": 12, "since": "2026-01-02T03:00:00Z", "last_seen": "2026-01-02T03:04:05Z",
                "chunks": 1, "deliveries": 99}],
            "campaigns": {"running": 1, "paused": 0},
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_node_is_told_in_a_few_lines() {
        insta::assert_snapshot!(example().words(), @r"
        shop.example, handfast 0.1.0, at 2026-01-02 03:04:05Z
        a second     accepted 12.0  tries 13.0  delivered 12.0  failed 0.5  received 2.0
        interactive  ready 3  sending 1  retrying 0
        bulk         ready 1000  sending 0  retrying 7  wait for destination 20  and more  oldest waits since 2026-01-02 03:00:05Z
        broker       jobs.bulk 4
        destinations 5 known  1 open  0 half open  0 asked for a pause  2 paused
        workers      1 alive  99 deliveries in hand
        campaigns    1 running  0 paused
        ");
        let empty = Overview::default().words();
        assert!(empty.contains("AWAY") && empty.contains("NONE"), "{empty}");
    }

    #[test]
    fn numbers_sort_by_their_value() {
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        let rows = Rows { titles: &["A", "B"], cells: vec![row("x", "9"), row("b", "10+"), row("a", "")] };
        let sorted =
            |column, reverse| rows.sorted(column, reverse).iter().map(|row| row[0].as_str()).collect::<String>();
        assert_eq!((sorted(0, false), sorted(1, false), sorted(1, true)), ("abx".into(), "axb".into(), "bxa".into()));
    }
}
