//! The second ledger: what the node's books say, read over a connection of our own that no fault befalls but the server's.

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

use handfast::config::Secret;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row};

/// One question's longest answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// No fault takes the database away for longer.
const AWAY: Duration = Duration::from_secs(60);

/// Asks the database.
pub(crate) struct Books {
    url: Secret,
}

impl Books {
    pub(crate) fn new(url: Secret) -> Self {
        Self { url }
    }

    /// Every message recorded.
    pub(crate) async fn recorded(&self) -> anyhow::Result<HashSet<String>> {
        let rows = self.rows("select id::text from messages", &[]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Deliveries that ended otherwise than delivered: reason, how many.
    pub(crate) async fn ended_badly(&self) -> anyhow::Result<Vec<(String, i64)>> {
        let sql = "select case state when 3 then 'cancelled' when 4 then 'expired' when 5 then 'failed' else 'unconfirmed' end, count(*)
                   from exceptions where state in (3, 4, 5, 6) group by 1";
        Ok(self.rows(sql, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// What is not settled yet: chunks and deliveries that left theirs, with what they are at.
    pub(crate) async fn open(&self) -> anyhow::Result<Vec<(String, i64)>> {
        let sql = "select 'chunks in state ' || state, count(*) from chunks where state not in (2, 5) group by state
                   union all select 'exceptions in state ' || state, count(*) from exceptions where state in (1, 2, 8, 9) group by state";
        Ok(self.rows(sql, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Deliveries held by this process, or by all. Asked until the database answers: what the dead hold stays theirs for the
    /// length of a lease after it is back.
    pub(crate) async fn held(&self, pid: Option<u32>) -> anyhow::Result<i64> {
        let pid = pid.map(|pid| pid as i32);
        let sql = "select ((select coalesce(sum(n), 0) from chunks c where state = 1 and ($1::int is null
                              or exists (select from workers w where w.id = c.worker and w.pid = $1)))
                        + (select count(*) from exceptions e where state = 2 and ($1::int is null
                              or exists (select from workers w where w.id = e.worker and w.pid = $1))))::bigint";
        let begun = Instant::now();
        while begun.elapsed() < AWAY {
            if let Ok(rows) = self.rows(sql, &[&pid]).await {
                return Ok(rows[0].get(0));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("the database does not answer")
    }

    /// Of these worker processes, those that have tried a delivery since then.
    pub(crate) async fn at_work(&self, pids: &[u32], since: SystemTime) -> anyhow::Result<HashSet<u32>> {
        let pids: Vec<i32> = pids.iter().map(|pid| *pid as i32).collect();
        let sql = "select distinct w.pid from workers w where w.pid = any($1)
                   and exists (select from tries a where a.worker = w.id and a.at >= $2)";
        Ok(self.rows(sql, &[&pids, &since]).await?.iter().map(|row| row.get::<_, i32>(0) as u32).collect())
    }

    async fn rows(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> anyhow::Result<Vec<Row>> {
        let asked = async { anyhow::Ok(self.connect().await?.query(sql, values).await?) };
        tokio::time::timeout(PATIENCE, asked).await?
    }

    async fn connect(&self) -> anyhow::Result<Client> {
        let (client, connection) = tokio_postgres::connect(self.url.reveal(), NoTls).await?;
        // Ends with the client; its error is seen there.
        tokio::spawn(connection);
        Ok(client)
    }
}
