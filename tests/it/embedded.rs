//! The private pair itself: what survives what, and that nothing is left running.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use handfast::config;
use handfast::embedded::cluster::BrokerCluster;
use handfast::embedded::{Pair, PairError, Wanted};
use handfast::queue;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::node::eventually;

#[tokio::test]
async fn data_and_addresses_survive_kills_and_a_second_start_is_refused() {
    let dir = directory(0o711);
    let pair = Pair::start(dir.path()).await.expect("started");
    pair.ensure_database("books").await.expect("made");
    pair.ensure_database("books").await.expect("made before");
    pair.ensure_vhost("second").await.expect("made");
    let (books, second) = (pair.database_url("books"), pair.amqp_url("second"));
    execute(books.reveal(), "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)").await;
    declare(second.reveal(), "jobs", false).await.expect("declared");

    match Pair::start(dir.path()).await {
        Err(PairError::Busy { holder, .. }) => assert_eq!(holder, std::process::id().to_string()),
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("two pairs in one directory"),
    }

    pair.kill_database().await.expect("killed");
    pair.kill_broker().await.expect("killed");
    assert!(tokio_postgres::connect(books.reveal(), tokio_postgres::NoTls).await.is_err(), "still there");
    pair.start_database().await.expect("started again");
    pair.start_broker().await.expect("started again");
    assert_eq!(kept(books.reveal()).await, 7);
    declare(second.reveal(), "jobs", true).await.expect("a durable queue survives a crash");

    pair.wipe_broker().await.expect("wiped");
    assert!(declare(second.reveal(), "jobs", true).await.is_err(), "a wiped broker has no queue");
    declare(second.reveal(), "jobs", false).await.expect("but the vhost and the user");
    pair.remove().await.expect("removed");
    assert!(!dir.path().exists(), "all of it");
}

#[tokio::test]
async fn what_dies_by_itself_is_tended_and_what_was_stopped_is_not() {
    // Closed to others: as root, the servers' user cannot pass to it.
    let dir = directory(0o700);
    let only_database = Wanted { database: true, broker: false };
    let pair = Pair::start_only(dir.path(), only_database).await.expect("started");
    assert!(pair.amqp_url("handfast").is_empty());
    let [Some(postmaster), None] = pair.process_ids().await else { panic!("only a database was wanted") };
    assert!(pair.tend().await.expect("looked").is_empty(), "nothing has died");

    assert!(
        std::process::Command::new("kill").args(["-KILL", &postmaster.to_string()]).status().expect("kill").success()
    );
    wait_until("the postmaster's end is noticed", || !is_running(postmaster)).await;
    assert_eq!(pair.tend().await.expect("revived"), ["PostgreSQL"]);
    pair.ensure_database("books").await.expect("it works again");

    pair.stop_database().await.expect("stopped");
    assert!(pair.tend().await.expect("looked").is_empty(), "stopped on purpose");
    let home = dir.path().join("servers").canonicalize().expect("there");
    pair.remove().await.expect("removed");
    assert!(!home.exists(), "also where the servers' user could not reach the directory asked for");
}

#[tokio::test]
async fn a_cluster_that_loses_a_node_keeps_its_queues_and_takes_the_node_back() {
    let dir = directory(0o711);
    let only_broker = Wanted { database: false, broker: true };
    let pair = Pair::start_only(&dir.path().join("pair"), only_broker).await.expect("started");
    let cluster = BrokerCluster::start(&dir.path().join("cluster"), &pair, 3).await.expect("a cluster");
    let ports: Vec<u16> = cluster.addresses().iter().map(|address| address.port()).collect();
    // The pair's user, password and vhost, at another address.
    let url = |node: usize| {
        let mut url = url::Url::parse(pair.amqp_url("handfast").reveal()).expect("a URL");
        url.set_port(Some(ports[node])).expect("a host");
        url.to_string()
    };
    let settings = |node: usize| config::Amqp { url: url(node).into(), ..config::Amqp::default() };
    queue::check(&settings(0)).await.expect("all queues are declared, by way of one node");
    cluster.kill(0).await.expect("killed");
    assert!(queue::check(&settings(0)).await.is_err(), "it is gone");
    // In half a minute: a queue whose leader has just died has another one in a moment.
    eventually("all queues are there without it", async || queue::check(&settings(1)).await.is_ok()).await;
    cluster.restart(0).await.expect("back");
    queue::check(&settings(0)).await.expect("the node is in the cluster again");
    cluster.wipe().await.expect("wiped");
    for node in 0..3 {
        assert!(declare(&url(node), "handfast.v1.dead", true).await.is_err(), "a wiped cluster has no queue");
    }
    queue::check(&settings(2)).await.expect("but the vhost and the user");
    declare(&url(1), "handfast.v1.dead", true).await.expect("on all nodes: it is one cluster again");
    cluster.remove().await.expect("removed");
    pair.remove().await.expect("removed");
}

#[tokio::test]
async fn a_killed_owner_leaves_nothing_running_and_its_directory_starts_again_with_its_data() {
    let dir = directory(0o711);
    let mut owner = Command::new(env!("CARGO_BIN_EXE_handfast"))
        .args(["pair", "--keep", "--data"])
        .arg(dir.path())
        .args(["--", "sh", "-c", "echo $HANDFAST_TEST_DATABASE_URL; echo $HANDFAST_TEST_AMQP_URL; exec cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("runs");
    let mut lines = BufReader::new(owner.stdout.take().expect("piped")).lines();
    let mut line = async || lines.next_line().await.expect("readable").expect("a line");
    execute(&line().await, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)").await;
    declare(&line().await, "jobs", false).await.expect("declared");
    let servers = servers_of(dir.path());
    assert_eq!(servers.len(), 3, "PostgreSQL, RabbitMQ and its epmd");

    owner.kill().await.expect("killed");
    wait_until("the servers go by themselves", || !servers.iter().any(|pid| is_running(*pid))).await;

    let pair = Pair::start(dir.path()).await.expect("started after the owner was killed");
    assert_eq!(kept(pair.database_url("handfast").reveal()).await, 7);
    declare(pair.amqp_url("handfast").reveal(), "jobs", true).await.expect("a durable queue is still there");
    pair.remove().await.expect("removed");
}

fn directory(mode: u32) -> tempfile::TempDir {
    let permissions = std::fs::Permissions::from_mode(mode);
    tempfile::Builder::new().permissions(permissions).tempdir().expect("a directory")
}

/// Process ids of the servers of a pair, from its own records.
fn servers_of(dir: &Path) -> Vec<u32> {
    let run: PathBuf = dir.join("servers/run");
    let files = std::fs::read_dir(run).expect("a directory").flatten();
    let texts = files.map(|file| std::fs::read_to_string(file.path()).expect("readable"));
    texts.map(|text| text.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a process id")).collect()
}

fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("connected");
    tokio::spawn(connection);
    client
}

async fn execute(url: &str, sql: &str) {
    client(url).await.batch_execute(sql).await.expect("executed");
}

async fn kept(url: &str) -> i32 {
    client(url).await.query_one("SELECT n FROM kept", &[]).await.expect("one row").get(0)
}

async fn declare(url: &str, queue: &str, passive: bool) -> lapin::Result<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions { durable: true, passive, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
    connection.close(200, "".into()).await
}
