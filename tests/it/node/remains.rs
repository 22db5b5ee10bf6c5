//! Takes away what a node leaves on the shared servers.

use handfast::config::Config;
use lapin::options::QueueDeleteOptions;
use lapin::{Connection, ConnectionProperties};

/// Deletes queues and database. Best effort: a test has said all it has to say by now.
pub(super) fn remove(config: &Config) {
    let config = config.clone();
    // On a thread of its own: this is called from within a test's runtime, and cannot wait there.
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let node = drop_database(&config).await?;
            delete_queues(&config, &node).await
        })
    });
    if let Ok(Err(error)) = thread.join() {
        eprintln!("something of the node was not removed: {error:#}");
    }
}

/// Returns the node's id, which is part of a queue's name.
async fn drop_database(config: &Config) -> anyhow::Result<String> {
    let mut url: url::Url = config.database.url.reveal().parse()?;
    let (own, connection) = tokio_postgres::connect(url.as_str(), tokio_postgres::NoTls).await?;
    let connected = tokio::spawn(connection);
    let node = own.query_one("select id::text from node", &[]).await?.get(0);
    drop(own);
    connected.await??;
    let name = url.path().trim_start_matches('/').to_owned();
    url.set_path("postgres");
    let (server, connection) = tokio_postgres::connect(url.as_str(), tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    server.batch_execute(&format!("drop database {name} with (force)")).await?;
    Ok(node)
}

async fn delete_queues(config: &Config, node: &str) -> anyhow::Result<()> {
    let connection = Connection::connect(config.amqp.url.reveal(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    for queue in
        ["v1.jobs.interactive", "v1.jobs.bulk", "v1.jobs.status", "v1.dead", "v2.asks", &format!("v2.known.{node}")]
    {
        let name = format!("{}.{queue}", config.amqp.prefix);
        channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await?;
    }
    Ok(connection.close(200, "done".into()).await?)
}
