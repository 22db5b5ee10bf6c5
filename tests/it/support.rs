//! A node's parts against a real PostgreSQL, each test with a database of its own.

use std::sync::Arc;

use handfast::App;
use handfast::clock::Clock;
use handfast::config::{Config, Secret};
use handfast::crypto::{self, NodeKeys};
use handfast::db::Db;

/// The domain of the node under test.
pub(crate) const DOMAIN: &str = "customers.test";

/// Names a PostgreSQL server whose user may create databases.
const SERVER: &str = "HANDFAST_TEST_DATABASE_URL";

/// An `App` on a new, migrated, empty database with new keys. Nothing is dropped afterwards: a failed test can be looked into.
///
/// # Panics
/// Without the server: a test that cannot run must not pass.
pub(crate) async fn fresh_app() -> App {
    fresh_app_with(|_| {}).await
}

/// The same with other settings than the defaults.
pub(crate) async fn fresh_app_with(change: impl FnOnce(&mut Config)) -> App {
    crypto::init().expect("the cryptographic library starts");
    let data_dir = tempfile::tempdir().expect("a temporary folder").keep();
    let mut config = Config { domain: DOMAIN.into(), data_dir, ..Config::default() };
    let keys = NodeKeys::create(&config.keys_file()).expect("a key file");
    config.database.url = fresh_database().await;
    change(&mut config);
    let db = Db::new(&config.database).expect("a pool");
    db.migrate().await.expect("the schema");
    App { config: Arc::new(config), clock: Clock::system(), db, keys: Arc::new(keys) }
}

/// Creates a database of a name of its own beside the one that the environment names, and returns its URL.
pub(crate) async fn fresh_database() -> Secret {
    let server = std::env::var(SERVER).unwrap_or_else(|_| {
        panic!("set {SERVER} to a PostgreSQL server for tests, such as postgres://postgres@127.0.0.1:5432/postgres")
    });
    let name = format!("handfast_test_{}", uuid::Uuid::new_v4().simple());
    let mut url = url::Url::parse(&server).unwrap_or_else(|error| panic!("{SERVER} is not a URL: {error}"));
    let mut settings = handfast::config::Database { url: Secret::from(server), ..Default::default() };
    settings.pool = 1;
    let client = Db::new(&settings).expect("a pool").client().await.expect("the test server answers");
    client.batch_execute(&format!("create database {name}")).await.expect("a new database");
    url.set_path(&name);
    Secret::from(String::from(url))
}

/// Waits until no transaction that is running now holds events back any more: the other tests' databases are in the same server.
pub(crate) async fn events_can_be_read(app: &App) {
    let client = app.db.client().await.expect("a connection");
    let sql = "select pg_snapshot_xmax(pg_current_snapshot())::text";
    let until: String = client.query_one(sql, &[]).await.expect("a snapshot").get(0);
    let sql = "select pg_snapshot_xmin(pg_current_snapshot()) >= $1::text::xid8";
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !client.query_one(sql, &[&until]).await.expect("a snapshot").get::<_, bool>(0) {
        assert!(std::time::Instant::now() < give_up, "a transaction does not end");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
