//! Who works, and with which keys: asked of the database, where all processes of all machines report.

use super::Finding::{self, Good, Note, Wrong};
use crate::config::Config;
use crate::db::{Db, DbError};
use crate::failure::chain;

const WORKERS: &str = "/* doctor::workers */
select count(*) filter (where lease_until >= clock_timestamp()), count(*) from workers";

/// First who lacks a key that seals, then who lacks one that is to, then who seals with an older one than others.
const HOLDERS: &str = "/* doctor::keys */
with alive as (select kind, pid, host, numbers from key_holders where seen_at > clock_timestamp() - interval '15 s'),
    newest as (select number from node_keys order by seals_since desc nulls last, number desc limit 1)
select case when k.seals_since is null then 2 else 1 end as what, h.kind, h.pid, h.host, k.number
from alive h cross join node_keys k where not k.number = any (h.numbers)
union all
select 3, h.kind, h.pid, h.host, n.number
from alive h cross join newest n where h.numbers[1] <> n.number and exists (select from alive o where o.numbers[1] = n.number)
order by what, kind, host, pid, number";

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
            None => Good("every process holds every node key, and seals with the same".into()),
            Some(row) => {
                let (kind, pid, host): (&str, i32, &str) = (row.get(1), row.get(2), row.get(3));
                let (process, number) = (format!("{kind} {pid} on {host}"), row.get::<_, i32>(4));
                match row.get(0) {
                    1 => Wrong(format!("{process} lacks node key {number}: copy the key file there")),
                    2 => Note(format!(
                        "{process} lacks node key {number}, which does not seal yet: copy the key file there"
                    )),
                    _ => Note(format!("{process} seals with an older key than {number}: copy the key file there")),
                }
            }
        },
        Err(finding) => finding,
    }
}
