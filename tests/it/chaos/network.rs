//! A network that loses connections without a word.

use std::time::{Duration, Instant};

use handfast::config;
use handfast::db::Db;

use super::story::proxy::{Cut, Proxy};
use crate::support::fresh_database;

/// A pool behind a proxy.
async fn behind_a_proxy() -> (Proxy, Db) {
    let mut url = url::Url::parse(fresh_database().await.reveal()).expect("a URL");
    let server = format!("127.0.0.1:{}", url.port().unwrap_or(5432));
    let proxy = Proxy::start(vec![server.parse().expect("an address")]).await.expect("a proxy");
    url.set_port(Some(proxy.address().port())).expect("a host");
    let settings = config::Database { url: url.to_string().into(), pool: 4, ..config::Database::default() };
    (proxy, Db::new(&settings).expect("a pool"))
}

#[tokio::test]
async fn a_statement_whose_answer_never_comes_fails_and_the_next_one_works() {
    let (proxy, db) = behind_a_proxy().await;
    db.now().await.expect("an answer");
    proxy.cut(Cut::Forget);
    let begun = Instant::now();
    let lost = db.now().await.expect_err("nobody answers");
    assert!(lost.is_passing(), "{lost}");
    assert!(begun.elapsed() < Duration::from_secs(25), "after {:?}", begun.elapsed());
    db.now().await.expect("a new connection");
}

#[tokio::test]
async fn a_transaction_whose_answer_never_comes_fails_too() {
    let (proxy, db) = behind_a_proxy().await;
    db.execute("create table held ()", &[]).await.expect("made");
    let mut client = db.client().await.expect("a connection");
    let transaction = client.transaction().await.expect("begun");
    transaction.execute("lock table held", &[]).await.expect("locked");
    proxy.cut(Cut::Forget);
    let begun = Instant::now();
    transaction.execute("select 1", &[]).await.expect_err("nobody answers");
    assert!(begun.elapsed() < Duration::from_secs(25), "after {:?}", begun.elapsed());
    drop(transaction);
    drop(client);
    db.execute("insert into held default values", &[]).await.expect("its locks are free");
}

#[tokio::test]
async fn a_statement_that_takes_long_is_waited_for() {
    let (_proxy, db) = behind_a_proxy().await;
    db.execute("select pg_sleep(9)", &[]).await.expect("done, however long it took");
}
