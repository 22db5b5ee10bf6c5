//! Who works, and with which keys: asked of the database, where all processes of all machines report.

use super::Finding::{self, Good, Note, Wrong};
use crate::config::Config;
use crate::db::{Db, DbError};
use crate::failure::chain;

const WORKERS: &str = "/* doctor::workers */
select count(*) filter (where lease_until >= clock_timestamp()), count(*) from workers";

const HOLDERS: &str = "/* doctor::keys */
select h.kind, h.pid, h.host, k.number from key_holders h cross join node_keys k
where h.seen_at > clock_timestamp() - interval '15 s' and not k.number = any (h.numbers) order by h.kind, h.host, h.pid, k.number";

async fn asked<T>(config: &Config, ask: impl AsyncFnOnce(Db) -> Result<T, DbError>) -> Result<T, Finding> {
    if config.database.url.is_empty() {
        return Err(Note("asked of the database, which `handfast up` brings when it runs".into()));
    }
    let answer = async { ask(Db::new(&config.database)?).await };
    answer.await.map_err(|error| Note(format!("not known: {}", chain(&error))))
}

/// Heartbeats.
pub(super) async fn workers(config: &Config) -> Finding {
    let count = asked(config, async |db| {
        let row = db.row(WORKERS, &[]).await?;
        Ok(row.map_or((0, 0), |row| (row.get::<_, i64>(0), row.get::<_, i64>(1))))
    });
    match count.await {
        Ok((0, 0)) => Note("none runs: nothing is delivered until `handfast work` (or `up`) is started".into()),
        Ok((0, dead)) => Wrong(format!("none of {dead} reports any more: look at their logs, start `handfast work`")),
        Ok((alive, _)) => Good(format!("{alive} report")),
        Err(finding) => finding,
    }
}

/// Whether every process opens what any other seals.
pub(super) async fn keys(config: &Config) -> Finding {
    match asked(config, async |db| db.rows(HOLDERS, &[]).await).await {
        Ok(rows) => match rows.first() {
            None => Good("every process holds every node key".into()),
            Some(row) => {
                let (kind, pid, host): (&str, i32, &str) = (row.get(0), row.get(1), row.get(2));
                let number: i32 = row.get(3);
                Wrong(format!("{kind} {pid} on {host} lacks node key {number}: copy the key file there"))
            }
        },
        Err(finding) => finding,
    }
}
