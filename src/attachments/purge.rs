//! What has had its time goes: the file first, then its row.

use futures_util::{StreamExt, stream};
use jiff::Timestamp;

use super::{Attachments, Error, Place};
use crate::config::Period;
use crate::db::Row;

/// Files that are looked up, deleted and taken off the books together.
const BATCH: i64 = 100;
/// Batches of one call.
const BATCHES: usize = 20;
/// Deletions at once.
const AT_ONCE: usize = 8;
/// An upload that began with the last moment of its URL takes an hour at most; so long after that moment its place is unused.
const STILL_UPLOADING: Period = Period::hours(2);
/// A worker that is deleting has these for itself; one that died over it is followed by another.
const CLAIMED: Period = Period::seconds(300);

const OLD: &str = "/* attachments::purge old */
update attachments set claimed_until = $4 where id = any (array(
    select id from attachments where allocated_at < $1 and (claimed_until is null or claimed_until < $3)
    order by allocated_at limit $2 for update skip locked))
returning id, uploaded_at";

const UNUSED: &str = "/* attachments::purge unused */
update attachments set claimed_until = $4 where id = any (array(
    select id from attachments where uploaded_at is null and allocated_at < $1
    and (claimed_until is null or claimed_until < $3)
    order by allocated_at limit $2 for update skip locked))
returning id, uploaded_at";

/// Not what was stored since: its file is there again.
const FORGET: &str = "/* attachments::purge forget */
delete from attachments using unnest($1::bigint[], $2::timestamptz[]) as gone (id, uploaded_at)
where attachments.id = gone.id and attachments.uploaded_at is not distinct from gone.uploaded_at";

struct Doomed {
    id: i64,
    uploaded_at: Option<Timestamp>,
}

/// Deletes files older than `textsecure.attachments.life`, in a directory also places that nobody used while they had a URL, and
/// what dead uploads left. At most 2,000 at a time of either; returns how many. For workers only: it calls an outside store.
///
/// # Errors
/// The first; what could be deleted is deleted, and the rest stays for a later time, behind which others do not wait.
pub async fn purge(attachments: &Attachments, now: Timestamp) -> Result<u64, Error> {
    let settings = &attachments.app.config.textsecure.attachments;
    let mut purged = batches(attachments, OLD, now, now - settings.life.duration()).await?;
    if let Some(files) = attachments.files() {
        // In an outside store nobody sees whether a place is used.
        let unused = now - settings.url_life.duration() - STILL_UPLOADING.duration();
        purged += batches(attachments, UNUSED, now, unused).await?;
        files.sweep().await?;
    }
    Ok(purged)
}

async fn batches(attachments: &Attachments, which: &str, now: Timestamp, before: Timestamp) -> Result<u64, Error> {
    let (mut purged, until) = (0, now + CLAIMED.duration());
    for _ in 0..BATCHES {
        let rows = attachments.app.db.rows(which, &[&before, &BATCH, &now, &until]).await?;
        let doomed: Vec<Doomed> = rows.iter().map(read).collect();
        let whole = doomed.len() == BATCH as usize;
        purged += batch(attachments, doomed).await?;
        if !whole {
            break;
        }
    }
    Ok(purged)
}

async fn batch(attachments: &Attachments, doomed: Vec<Doomed>) -> Result<u64, Error> {
    let deletions = stream::iter(doomed).map(async |doomed| (delete(attachments, &doomed).await, doomed));
    let done: Vec<(Result<bool, Error>, Doomed)> = deletions.buffer_unordered(AT_ONCE).collect().await;
    let missing =
        done.iter().filter(|(gone, doomed)| matches!(gone, Ok(false)) && doomed.uploaded_at.is_some()).count();
    if missing > 0 {
        tracing::warn!(missing, "stored attachments were not in the directory; do all processes of the node share it?");
    }
    let gone = done.iter().filter(|(gone, _)| gone.is_ok()).map(|(_, doomed)| doomed);
    let (ids, times): (Vec<i64>, Vec<Option<Timestamp>>) = gone.map(|doomed| (doomed.id, doomed.uploaded_at)).unzip();
    let forgotten = attachments.app.db.execute(FORGET, &[&ids, &times]).await?;
    done.into_iter().try_for_each(|(gone, _)| gone.map(drop))?;
    Ok(forgotten)
}

/// False: it was not there.
async fn delete(attachments: &Attachments, doomed: &Doomed) -> Result<bool, Error> {
    let id = doomed.id.cast_unsigned();
    match &attachments.place {
        Place::Local(files, _) => files.delete(id).await,
        Place::S3(bucket) => bucket.delete(id).await.map(|()| true),
    }
}

fn read(row: &Row) -> Doomed {
    Doomed { id: row.get("id"), uploaded_at: row.get("uploaded_at") }
}
