//! The node's books, looked at from outside.

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio_postgres::{Client, NoTls};

/// Longest time in which nothing more is settled.
const PATIENCE: Duration = Duration::from_secs(120);
const GLANCE: Duration = Duration::from_millis(50);

/// A connection to the node's database.
pub(crate) struct Books {
    client: Client,
}

impl Books {
    pub(crate) async fn open(url: &str) -> anyhow::Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("the node's database")?;
        // Its end is told to whoever asks next.
        tokio::spawn(connection);
        Ok(Self { client })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Waits until nothing is left to be done.
    pub(crate) async fn settled(&self) -> anyhow::Result<()> {
        // bench: is anything open
        const OPEN: &str = "select exists (select from chunks where state in (0, 1, 3, 4)) \
                            or exists (select from exceptions where state in (1, 2, 8, 9))";
        let deadline = Instant::now() + PATIENCE;
        while self.client.query_one(OPEN, &[]).await?.try_get::<_, bool>(0)? {
            anyhow::ensure!(
                Instant::now() < deadline,
                "all has arrived, and the books still say that something is open"
            );
            tokio::time::sleep(GLANCE).await;
        }
        Ok(())
    }
}
