//! Cancelling: what no worker holds is stopped; what one holds is dropped unless it has just gone.

use uuid::Uuid;

use super::{BooksError, Cancelled, DeliveryId};
use crate::App;

/// Cancels every delivery of a message; `None` when there is no such message. With several deliveries the weakest word counts.
pub async fn cancel(app: &App, message: Uuid) -> Result<Option<Cancelled>, BooksError> {
    let mut client = app.db.client().await?;
    let transaction = client.transaction().await?;
    let sql = "/* books::cancel */ select d.chunk, d.seq from deliveries d where d.message_id = $1";
    let deliveries = transaction.query(sql, &[&message]).await?;
    let mut worst = None;
    for row in &deliveries {
        let id = DeliveryId { chunk: row.get(0), seq: row.get(1) };
        let found = cancel_one(&transaction, id, app.clock.now()).await?;
        worst = Some(match (worst, found) {
            (Some(Cancelled::Gone), _) | (_, Cancelled::Gone) => Cancelled::Gone,
            (Some(Cancelled::Stopping), _) | (_, Cancelled::Stopping) => Cancelled::Stopping,
            _ => Cancelled::Stopped,
        });
    }
    transaction.commit().await?;
    Ok(worst)
}

async fn cancel_one(
    tx: &crate::db::Transaction<'_>,
    id: DeliveryId,
    now: jiff::Timestamp,
) -> Result<Cancelled, BooksError> {
    // The chunk's row is what a claim locks too: from here on nobody claims it before this commits.
    let sql = "/* books::cancel lock */ select state, lane, destination from chunks where id = $1 for update";
    let chunk = tx.query_opt(sql, &[&id.chunk]).await?;
    let sql = "/* books::cancel exception */ select state from exceptions where chunk = $1 and seq = $2 for update";
    let exception = tx.query_opt(sql, &[&id.chunk, &id.seq]).await?.map(|row| row.get::<_, i16>(0));
    match (exception, chunk) {
        (Some(1), _) => set_cancelled(tx, id, now).await.map(|()| Cancelled::Stopped),
        (Some(2), _) => set_cancelled(tx, id, now).await.map(|()| Cancelled::Stopping),
        (Some(3), _) => Ok(Cancelled::Stopped),
        (Some(_), _) | (None, None) => Ok(Cancelled::Gone),
        (None, Some(chunk)) => {
            let state: i16 = chunk.get(0);
            if state == 2 || (state == 1 && is_delivered(tx, id).await?) {
                return Ok(Cancelled::Gone);
            }
            let sql = "/* books::cancel leave chunk */
                insert into exceptions (chunk, seq, lane, destination, state, reason, updated_at)
                values ($1, $2, $3, $4, 3, 'cancelled', $5)";
            let (lane, destination): (i16, &str) = (chunk.get(1), chunk.get(2));
            tx.execute(sql, &[&id.chunk, &id.seq, &lane, &destination, &now]).await?;
            Ok(if state == 0 { Cancelled::Stopped } else { Cancelled::Stopping })
        }
    }
}

async fn set_cancelled(
    tx: &crate::db::Transaction<'_>,
    id: DeliveryId,
    now: jiff::Timestamp,
) -> Result<(), BooksError> {
    let sql = "/* books::cancel set */
        update exceptions set state = 3, reason = 'cancelled', due_at = null, published_at = null, claim = null, worker = null, updated_at = $3
        where chunk = $1 and seq = $2";
    tx.execute(sql, &[&id.chunk, &id.seq, &now]).await?;
    Ok(())
}

async fn is_delivered(tx: &crate::db::Transaction<'_>, id: DeliveryId) -> Result<bool, BooksError> {
    let sql = "/* books::cancel delivered */
        select exists (select from attempts where chunk = $1 and seq = $2 and outcome = 0)";
    Ok(tx.query_one(sql, &[&id.chunk, &id.seq]).await?.get(0))
}

/// Which deliveries of these chunks are cancelled; workers ask this for what they hold.
pub async fn cancelled_among(app: &App, chunks: &[Uuid]) -> Result<Vec<DeliveryId>, BooksError> {
    let sql = "/* books::cancelled_among */ select chunk, seq from exceptions where chunk = any($1) and state = 3";
    let client = app.db.client().await?;
    let rows = client.query(&client.prepare_cached(sql).await?, &[&chunks]).await?;
    Ok(rows.iter().map(|row| DeliveryId { chunk: row.get(0), seq: row.get(1) }).collect())
}
