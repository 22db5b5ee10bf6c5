//! Who is alive, and what becomes of what the dead held.

use std::time::Duration;

use uuid::Uuid;

use super::BooksError;
use crate::App;
use crate::destinations;
use crate::handshakes;

/// Reports a worker for the next `lease`. `first` makes its row; later a missing row means that it was declared dead: false.
pub async fn renew(app: &App, worker: Uuid, first: bool, lease: Duration) -> Result<bool, BooksError> {
    let now = app.clock.now();
    let until = now + lease;
    let client = app.db.client().await?;
    if !first {
        let sql = "/* books::workers renew */ update workers set lease_until = $2 where id = $1";
        return Ok(client.execute(&client.prepare_cached(sql).await?, &[&worker, &until]).await? > 0);
    }
    let sql = "/* books::workers renew first */
        insert into workers (id, host, pid, started_at, lease_until) values ($1, $2, $3, $4, $5)";
    let host = crate::telemetry::host();
    client.execute(sql, &[&worker, &host, &(std::process::id() as i32), &now, &until]).await?;
    Ok(true)
}

/// Hands on what workers past their lease held; answers how many of them there were. Their rows go first: a worker that
/// comes back finds its row missing, and starts anew. What is held in the name of somebody who has no row is handed on too: a
/// claim that was committed just after its worker was declared dead.
pub async fn hand_on_dead(app: &App) -> Result<usize, BooksError> {
    let now = app.clock.now();
    let mut client = app.db.client().await?;
    let transaction = client.transaction().await?;
    let sql = "/* books::workers hand_on_dead */ delete from workers where id in (
        select id from workers where lease_until < $1 for update skip locked) returning id";
    let mut gone: Vec<Uuid> = transaction.query(sql, &[&now]).await?.iter().map(|row| row.get(0)).collect();
    let dead = gone.len();
    gone.extend(transaction.query(NAMELESS, &[]).await?.iter().map(|row| row.get::<_, Uuid>(0)));
    if !gone.is_empty() {
        release(&transaction, &gone, now).await?;
    }
    transaction.commit().await?;
    Ok(dead)
}

const NAMELESS: &str = "/* books::workers nameless */
select worker from chunks where state = 1 and worker is not null and not exists (select from workers w where w.id = worker)
union select worker from exceptions where state = 2 and worker is not null and not exists (select from workers w where w.id = worker)
union select worker from handshakes where state = 1 and worker is not null and not exists (select from workers w where w.id = worker)
union select worker from shares where not exists (select from workers w where w.id = worker)";

/// This worker stops: its row goes, and what it still holds is handed on.
pub async fn die(app: &App, worker: Uuid) -> Result<(), BooksError> {
    let mut client = app.db.client().await?;
    let transaction = client.transaction().await?;
    transaction.execute("/* books::workers die */ delete from workers where id = $1", &[&worker]).await?;
    release(&transaction, &[worker], app.clock.now()).await?;
    transaction.commit().await?;
    Ok(())
}

async fn release(tx: &crate::db::Transaction<'_>, workers: &[Uuid], now: jiff::Timestamp) -> Result<(), BooksError> {
    for sql in [
        "/* books::workers release chunks */ update chunks
            set state = 0, claim = null, worker = null, published_at = null, due_at = $2 where state = 1 and worker = any($1)",
        "/* books::workers release exceptions */ update exceptions
            set state = 1, claim = null, worker = null, published_at = null, due_at = $2 where state = 2 and worker = any($1)",
    ] {
        tx.execute(sql, &[&workers, &now]).await?;
    }
    handshakes::hand_on(tx, workers, now).await?;
    destinations::release_dead(tx, now).await?;
    Ok(())
}
