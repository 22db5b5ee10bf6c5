//! Changes of partitions. Each needs the parent table for itself: it waits for those who use it, and all who come meanwhile wait
//! behind it. So it waits for [`PATIENCE`] only, and tries again a little later.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::BOOKS;
use super::weeks::Week;
use crate::App;
use crate::db::DbError;

/// The longest that a change of partitions lets others wait behind it.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);
/// Deliveries that are moved while everybody waits: some tenths of a second.
pub(super) const FEW: i64 = 5_000;

const TRIES: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(500);
/// Names the lock of those who change partitions among PostgreSQL's advisory ones.
const LOCK: i64 = 4_860_448;

/// Makes a week's partition.
pub(super) async fn make(app: &App, parent: &str, week: &Week) -> Result<(), DbError> {
    let make = if parent == "events" { "make_partition_by_time" } else { "make_partition" };
    let sql = format!("/* keep_partitions make */ select {make}('{parent}', to_date('{week}', 'YYYYMMDD'))");
    patiently(app, &sql).await
}

/// Drops a week of a table of which nothing is kept.
pub(super) async fn drop_week(app: &App, parent: &str, week: &Week) -> Result<(), DbError> {
    patiently(app, &detach(parent, week)).await?;
    drop_table(app, parent, week).await?;
    tracing::info!(%week, parent, "dropped a week past its retention");
    Ok(())
}

/// Deliveries of a week that have not ended, or stand in a line: at most one more than [`FEW`].
pub(super) async fn open_in(app: &App, week: &Week) -> Result<i64, DbError> {
    let open = open(&Tables::of(app, week).await?, week);
    let sql = format!("/* keep_partitions open_in */ select count(*) from ({open} limit {}) as open", FEW + 1);
    Ok(app.db.client().await?.query_one(&sql, &[]).await?.get(0))
}

/// Takes a week out of the books; what is open moves to the default partitions, in the same transaction. The tables are then nobody's,
/// and [`super::weeks::drop_detached`] drops them: what is still part of the books must never be dropped.
pub(super) async fn take_out(app: &App, week: &Week) -> Result<(), DbError> {
    let tables = Tables::of(app, week).await?;
    let [messages, chunks, exceptions, attempts, arrivals] = &tables.0;
    let moves = [
        (messages, "join kept k on k.id = x.id"),
        (chunks, "where x.id in (select chunk from kept)"),
        (exceptions, "join kept k on k.chunk = x.chunk and k.seq = x.seq"),
        (attempts, "join kept k on k.chunk = x.chunk and k.seq = x.seq"),
        (arrivals, "where x.chunk in (select chunk from kept)"),
    ];
    let detach: String = tables.0.iter().filter(|table| table.is_own).map(|table| detach(table.parent, week)).collect();
    let moves: String = moves
        .iter()
        .filter(|(table, _)| table.is_own)
        .map(|(table, which)| format!("\ninsert into {} select x.* from {} x {which};", table.parent, table.name))
        .collect();
    let sql = format!(
        "/* keep_partitions take_out */
        lock table only {} in access exclusive mode;
        create temp table kept on commit drop as select chunk, seq, delivery_id(chunk, seq) as id from ({}) as open;
        {detach}{moves}",
        BOOKS.join(", only "),
        open(&tables, week)
    );
    patiently(app, &sql).await
}

/// Where a week of each of the books lies.
struct Tables([Table; BOOKS.len()]);

struct Table {
    parent: &'static str,
    name: String,
    /// The week's own partition. Where it could not be made, because rows had come before it, they are in the default one, and
    /// stay there.
    is_own: bool,
}

impl Tables {
    async fn of(app: &App, week: &Week) -> Result<Self, DbError> {
        let own = BOOKS.map(|parent| super::weeks::exists(app, parent, week));
        let own = futures_util::future::try_join_all(own).await?;
        let mut own = own.into_iter();
        Ok(Self(BOOKS.map(|parent| {
            let is_own = own.next().unwrap_or_default();
            let name = if is_own { week.of(parent) } else { format!("{parent}_rest") };
            Table { parent, name, is_own }
        })))
    }
}

/// Chunk and number of each delivery that is still needed: each part is a look into a small partial index.
fn open(tables: &Tables, week: &Week) -> String {
    let [_, chunks, exceptions, ..] = &tables.0;
    let bound = |days: u8| format!("uuid_at((to_date('{week}', 'YYYYMMDD') + {days})::timestamp at time zone 'utc')");
    let again: String = [1, 2, 8]
        .map(|state| format!(" union select chunk, seq from {} where state = {state}", exceptions.name))
        .concat();
    format!(
        "/* keep_partitions open */
        select c.id as chunk, s.seq::int2 as seq from {} c cross join lateral generate_series(0, c.n - 1) as s(seq)
            where c.state in (0, 1, 3, 4)
        {again}
        union select chunk, seq from turns where chunk >= {} and chunk < {}",
        chunks.name,
        bound(0),
        bound(7)
    )
}

fn detach(parent: &str, week: &Week) -> String {
    format!("alter table {parent} detach partition {};\n", week.of(parent))
}

/// What was detached is nobody's: this waits for nobody.
async fn drop_table(app: &App, parent: &str, week: &Week) -> Result<(), DbError> {
    let client = app.db.client().await?;
    Ok(client.batch_execute(&format!("drop table if exists {}", week.of(parent))).await?)
}

/// Runs a change in a transaction of its own, again and again until its locks are free at once.
async fn patiently(app: &App, change: &str) -> Result<(), DbError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match once(app, change).await? {
            Ok(()) => return Ok(()),
            // Another process was quicker.
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => return Ok(()),
            Err(error) if tries < TRIES && is_busy(&error) => tokio::time::sleep(BETWEEN).await,
            Err(error) => return Err(error.into()),
        }
    }
}

async fn once(app: &App, change: &str) -> Result<Result<(), tokio_postgres::Error>, DbError> {
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    // One process at a time; the others find it done.
    let settings = format!(
        "/* keep_partitions settings */ select pg_advisory_xact_lock({LOCK}); set local lock_timeout = {}; set local statement_timeout = '10s'",
        PATIENCE.as_millis()
    );
    tx.batch_execute(&settings).await?;
    match tx.batch_execute(change).await {
        Ok(()) => Ok(tx.commit().await),
        Err(error) => Ok(Err(error)),
    }
}

fn is_busy(error: &tokio_postgres::Error) -> bool {
    let busy = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::QUERY_CANCELED];
    error.code().is_some_and(|code| busy.contains(code))
}
