//! What a running node tells those who watch it: metrics, traces, logs.

mod collector;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use handfast::db::Db;
use handfast::overview::Watch;
use serde_json::{Value, json};

use crate::node::{Net, Node, Options, Port, eventually};
use crate::support::fresh_app;
use crate::webhooks::receiver::{Receiver, status};
use collector::Collector;

const OURS: &str = "watched.test";
const HOOKS: &str = "hooks.test";

fn file(name: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

async fn webhook(node: &Node, name: &str) {
    let url = format!("https://{HOOKS}/in?token=secret-in-a-path");
    node.post("webhooks", json!({"name": name, "url": url})).await;
}

async fn send(node: &Node, name: &str) -> String {
    let message = json!({"webhook": name, "payload": {"text": "a body nobody may see"}});
    node.post("messages", message).await["id"].as_str().unwrap().to_owned()
}

async fn scrape(at: std::net::SocketAddr) -> String {
    let answer = reqwest::get(format!("http://{at}/metrics")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    answer.text().await.unwrap()
}

/// Names and kinds of what is exported, each with a value at the least.
fn families(text: &str) -> BTreeMap<String, String> {
    let typed = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let families: BTreeMap<String, String> = typed.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
    for (name, kind) in &families {
        let series = if kind == "histogram" { format!("{name}_count") } else { name.clone() };
        let there = |line: &str| line.strip_prefix(series.as_str()).is_some_and(|rest| rest.starts_with([' ', '{']));
        assert!(text.lines().any(there), "{name} has no value");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no words");
    }
    families
}

/// The value of the only series of which the line begins so.
fn value(text: &str, series: &str) -> f64 {
    let mut found = text.lines().filter_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    let value = found.next().unwrap_or_else(|| panic!("{series} is not exported:\n{text}"));
    assert!(found.next().is_none(), "{series} is there twice");
    value
}

/// Words of a text that are names of metrics, as a query names them.
fn named(text: &str, known: &BTreeMap<String, String>) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let words = words.filter(|word| word.starts_with("handfast_") || word.starts_with("process_"));
    let whole = |word: &str| {
        let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
        let is_histogram = |stem: &&str| known.get(*stem).is_some_and(|kind| kind == "histogram");
        stem.filter(is_histogram).unwrap_or(word).to_owned()
    };
    words.map(whole).collect()
}

#[tokio::test]
async fn every_metric_is_exported_documented_and_the_ones_that_are_asked_for_exist() {
    let net = Net::new();
    let receiver = Receiver::start(&net, HOOKS, |_, n| status(if n == 0 { 503 } else { 204 })).await;
    let port = Port::free();
    let carrier: toml::Value = toml::from_str("kind = 'recording'\nname = 'test'\nfile = 'codes.jsonl'").unwrap();
    let options = Options::of(OURS)
        .set("work.listen", port.socket().to_string())
        .set("delivery.webhook_schedule", vec!["200ms"])
        .set("providers.sms", vec![carrier]);
    let node = Node::start(&net, options).await;
    webhook(&node, "orders").await;
    let id = send(&node, "orders").await;
    assert_eq!(node.settled(&id).await["state"], "delivered");
    assert_eq!(receiver.got(2).await.len(), 2);
    let worked =
        async || value(&scrape(port.socket()).await, "handfast_deliveries_settled_total{next=\"delivered\"}") == 1.0;
    eventually("the worker counts the delivery", worked).await;

    let (serve, work) = (scrape(node.private).await, scrape(port.socket()).await);
    assert_eq!(value(&serve, "handfast_deliveries_accepted_total{lane=\"interactive\"}"), 1.0);
    assert_eq!(value(&serve, "handfast_workers"), 1.0);
    assert_eq!(value(&serve, "handfast_broker_up"), 1.0);
    assert_eq!(value(&serve, "handfast_queue_consumers{queue=\"jobs.bulk\"}"), 1.0);
    assert!(
        value(&serve, "handfast_requests_total{door=\"api\",route=\"messages\",method=\"POST\",status=\"202\"}") >= 1.0
    );
    assert!(value(&serve, "process_resident_memory_bytes") > 1e6);
    assert_eq!(value(&work, "handfast_attempts_total{channel=\"webhook\",outcome=\"delivered\"}"), 1.0);
    assert_eq!(value(&work, "handfast_attempts_total{channel=\"webhook\",outcome=\"refused-for-now\"}"), 1.0);
    assert_eq!(value(&work, "handfast_attempt_duration_seconds_count{channel=\"webhook\"}"), 2.0);
    assert_eq!(value(&work, "handfast_retries_scheduled_total"), 1.0);
    for hidden in ["secret-in-a-path", HOOKS, "a body", &id] {
        assert!(!serve.contains(hidden) && !work.contains(hidden), "{hidden} is told");
    }

    let mut exported = families(&serve);
    exported.extend(families(&work));
    let rows = file("docs/observability.md");
    let documented: BTreeMap<String, String> = rows
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter(|(name, _)| name.starts_with("handfast_") || name.starts_with("process_"))
        .map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap_or_default().to_owned()))
        .collect();
    assert_eq!(exported, documented);
    for asking in ["ops/observe/dashboard.json", "ops/observe/alerts.yml"] {
        let asked = named(&file(asking), &exported);
        assert!(asked.len() > 10, "{asking} was not read right: {asked:?}");
        let missing: Vec<_> = asked.iter().filter(|name| !exported.contains_key(*name)).collect();
        assert!(missing.is_empty(), "{asking} asks for {missing:?}");
    }
    let shown: Value = serde_json::from_str(&file("ops/observe/dashboard.json")).unwrap();
    assert!(shown["panels"].as_array().is_some_and(|panels| panels.len() > 20));
    let alerts = file("ops/observe/alerts.yml");
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(rows.contains(&format!("`{alert}`")), "{alert} is not explained");
    }
    assert_eq!(reqwest::get(format!("http://{}/healthz", port.socket())).await.unwrap().status(), 200);
    assert_eq!(reqwest::get(format!("http://{}/api/v1/overview", port.socket())).await.unwrap().status(), 404);
}

#[tokio::test]
async fn the_overview_is_of_all_processes_together() {
    let net = Net::new();
    let _receiver = Receiver::start(&net, HOOKS, |_, _| status(204)).await;
    let node = Node::start(&net, Options::of(OURS).workers(2)).await;
    webhook(&node, "orders").await;
    for _ in 0..3 {
        let id = send(&node, "orders").await;
        node.settled(&id).await;
    }
    let sum = |overview: &Value, what: &str| -> i64 {
        overview["minutes"].as_array().unwrap().iter().map(|minute| minute[what].as_i64().unwrap()).sum()
    };
    eventually("three deliveries are counted, by whichever worker", async || {
        let overview = node.get("overview").await;
        (sum(&overview, "accepted"), sum(&overview, "attempts"), sum(&overview, "delivered")) == (3, 3, 3)
    })
    .await;
    let overview = node.get("overview").await;
    assert_eq!(overview["minutes"].as_array().unwrap().len(), 60);
    assert_eq!(overview["workers"].as_array().unwrap().len(), 2);
    assert_eq!((&overview["broker"]["reachable"], &overview["domain"]), (&json!(true), &json!(OURS)));
    assert_eq!(overview["broker"]["queues"].as_array().unwrap().len(), 5);
    assert_eq!(overview["destinations"]["known"], 1);

    node.post("destinations/orders/pause", json!({})).await;
    eventually("a paused destination and what waits for it are seen", async || {
        // A worker that has not heard of the pause yet still delivers.
        send(&node, "orders").await;
        let overview = node.get("overview").await;
        let open: i64 = ["ready", "sending", "waits_for_destination"]
            .iter()
            .map(|state| overview["lanes"][0][state].as_i64().unwrap())
            .sum();
        overview["destinations"]["paused"] == 1 && open > 0 && !overview["lanes"][0]["oldest_waiting_since"].is_null()
    })
    .await;
}

/// Takes a node's database away from everybody, or gives it back.
async fn database(node: &Node, there: bool) {
    let server = std::env::var("HANDFAST_TEST_DATABASE_URL").expect("a PostgreSQL for tests");
    let settings = handfast::config::Database { url: server.into(), ..Default::default() };
    let client = Db::new(&settings).expect("a pool").client().await.expect("a connection");
    let url = url::Url::parse(node.app.config.database.url.reveal()).expect("a URL");
    let name = url.path().trim_start_matches('/');
    let end = format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'");
    client.batch_execute(&format!("alter database {name} allow_connections {there}; {end}")).await.expect("done");
}

#[tokio::test]
async fn without_a_database_metrics_are_what_the_process_itself_knows() {
    let net = Net::new();
    let port = Port::free();
    let node = Node::start(&net, Options::of(OURS).set("work.listen", port.socket().to_string())).await;
    let up = async || value(&scrape(node.private).await, "handfast_overview_up");
    eventually("the database answers", async || up().await == 1.0).await;
    database(&node, false).await;
    eventually("it is seen to be away", async || up().await == 0.0).await;
    let begun = std::time::Instant::now();
    let (serve, work) = (scrape(node.private).await, scrape(port.socket()).await);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for own in [&serve, &work] {
        assert!(value(own, "process_resident_memory_bytes") > 1e6);
        assert!(value(own, "handfast_db_errors_total{kind=\"unavailable\"}") > 0.0);
        assert_eq!(value(own, "handfast_node_key_lacking"), 0.0);
    }
    assert_eq!(value(&serve, "handfast_workers"), 1.0, "as it was seen last");
    let age = async || value(&scrape(node.private).await, "handfast_overview_age_seconds");
    let before = age().await;
    eventually("what was seen last gets older", async || age().await > before).await;
    database(&node, true).await;
    eventually("it is back", async || up().await == 1.0).await;
}

#[tokio::test]
async fn a_look_that_takes_long_is_one_and_is_not_taken_for_a_database_that_is_away() {
    let app = fresh_app().await;
    let (watch, other) = (Watch::new(&app), app.db.client().await.expect("a connection"));
    other.batch_execute("begin; lock table activity in access exclusive mode").await.expect("locked");
    // Who asked hangs up.
    for _ in 0..5 {
        assert!(tokio::time::timeout(Duration::from_millis(20), watch.now()).await.is_err());
    }
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and query like '/* overview::activity read%'";
    assert_eq!(other.query_one(sql, &[]).await.expect("a look").get::<_, i64>(0), 1);
    let slow = watch.now().await.expect_err("broken off");
    assert!(slow.is_slow(), "{slow:?}");
    other.batch_execute("commit").await.expect("the end");
    assert!(watch.now().await.is_ok());
    assert!(matches!(watch.last(), Some(Ok(_))));
}

#[tokio::test]
async fn what_expires_while_it_waits_is_counted() {
    let net = Net::new();
    let port = Port::free();
    let node = Node::start(&net, Options::of(OURS).set("work.listen", port.socket().to_string())).await;
    webhook(&node, "orders").await;
    node.post("destinations/orders/pause", json!({})).await;
    let at = (jiff::Timestamp::now() + Duration::from_secs(2)).to_string();
    node.post("messages", json!({"webhook": "orders", "payload": {}, "expires_at": at})).await;
    let counted =
        async || value(&scrape(port.socket()).await, "handfast_deliveries_settled_total{next=\"expired\"}") == 1.0;
    eventually("the worker counts it", counted).await;
    eventually("and so does the overview", async || {
        let overview = node.get("overview").await;
        overview["minutes"].as_array().unwrap().iter().any(|minute| minute["failed"] == 1)
    })
    .await;
}

#[tokio::test]
async fn a_message_is_one_trace_from_the_request_to_the_last_attempt() {
    let net = Net::new();
    let collector = Collector::start().await;
    let receiver = Receiver::start(&net, HOOKS, |_, n| status(if n == 0 { 503 } else { 204 })).await;
    let options = Options::of(OURS)
        .set("telemetry.otlp_endpoint", collector.url())
        .set("telemetry.otlp_header", "x-token: collectors-own")
        .set("telemetry.sample", 0.0)
        .set("delivery.webhook_schedule", vec!["200ms"]);
    let mut node = Node::start(&net, options).await;
    webhook(&node, "orders").await;
    // Not sampled, by either side's word.
    let untraced = send(&node, "orders").await;
    node.settled(&untraced).await;
    let before = receiver.got(2).await;
    assert!(before.iter().all(|seen| !seen.headers.contains_key("traceparent")));

    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let answer = reqwest::Client::new()
        .post(format!("http://{}/api/v1/messages", node.private))
        .bearer_auth(node.key())
        .header("traceparent", format!("00-{trace}-{span}-01"))
        .json(&json!({"webhook": "orders", "payload": {"text": "a body nobody may see"}}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 202);
    let id = answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(node.settled(&id).await["state"], "delivered");
    // What is left is sent when a process ends.
    node.stop().await;

    let spans = collector.spans();
    assert!(spans.iter().all(|one| one.trace == trace), "{spans:#?}");
    let named = |name: &str| spans.iter().filter(|one| one.name == name).collect::<Vec<_>>();
    let request = named("POST api messages");
    assert_eq!(request.len(), 1, "{spans:#?}");
    assert_eq!(request[0].parent, span);
    assert_eq!(request[0].role, "serve");
    let publish = named("publish");
    assert_eq!((publish.len(), &publish[0].parent), (1, &request[0].id));
    let claim = named("claim");
    assert_eq!((claim[0].role.as_str(), &claim[0].parent), ("work", &publish[0].id));
    let attempts = named("attempt");
    assert!(!attempts.is_empty() && attempts.iter().all(|one| one.parent == request[0].id && one.role == "work"));
    let seen = receiver.seen();
    for (seen, attempt) in seen[before.len()..].iter().zip(&attempts) {
        assert_eq!(seen.header("traceparent"), format!("00-{trace}-{}-01", attempt.id));
    }
    assert_eq!(seen.len() - before.len(), attempts.len());
    assert_eq!(collector.header("x-token"), "collectors-own");
    for hidden in ["secret-in-a-path", "a body", node.key()] {
        assert!(!collector.holds(hidden), "{hidden} is told");
    }
}

#[tokio::test]
async fn retries_join_the_trace_through_a_restart() {
    let net = Net::new();
    let collector = Collector::start().await;
    let receiver = Receiver::start(&net, HOOKS, |_, n| status(if n == 0 { 503 } else { 204 })).await;
    let options = Options::of(OURS)
        .set("telemetry.otlp_endpoint", collector.url())
        .set("telemetry.sample", 1.0)
        .set("delivery.webhook_schedule", vec!["3s"]);
    let mut node = Node::start(&net, options).await;
    webhook(&node, "orders").await;
    let id = send(&node, "orders").await;
    let first = receiver.got(1).await.remove(0);
    eventually("the first try is written down", async || {
        node.get(&format!("messages/{id}")).await["state"] == "retrying"
    })
    .await;
    node.restart().await;
    node.settled(&id).await;
    let second = receiver.got(2).await.remove(1);
    let trace = |header: &str| header.split('-').nth(1).unwrap().to_owned();
    assert_eq!(trace(first.header("traceparent")), trace(second.header("traceparent")));
    assert_ne!(first.header("traceparent"), second.header("traceparent"));
}

#[tokio::test]
async fn json_logs_are_one_object_a_line_up_to_the_last_word() {
    let net = Net::new();
    let options = Options::of(OURS).set("log.format", "json").set("log.level", "debug");
    let mut node = Node::start(&net, options).await;
    node.account("1", "Shop").await;
    // A second ingress finds the ports taken, and says so as it ends.
    let mut second = tokio::process::Command::new(env!("CARGO_BIN_EXE_handfast"));
    let output = second.args(["serve", "--config", "handfast.toml"]).current_dir(node.dir()).output().await.unwrap();
    assert!(!output.status.success());
    node.stop().await;
    let last = String::from_utf8(output.stderr).unwrap();
    let logs = node.logs() + &last;
    let mut levels = BTreeSet::new();
    for line in logs.lines() {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(object["timestamp"].as_str().is_some_and(|at| at.parse::<jiff::Timestamp>().is_ok()), "{line}");
        assert!(object["message"].is_string(), "{line}");
        levels.insert(object["level"].as_str().unwrap().to_owned());
    }
    assert!(levels.contains("INFO") && levels.contains("ERROR"), "{levels:?}");
    assert!(last.lines().last().is_some_and(|line| line.contains("cannot listen on")), "{last}");
}
