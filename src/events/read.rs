//! Reading behind a cursor.

use std::time::Duration;

use jiff::Timestamp;

use super::tell::{Part, tell};
use super::{Cursor, Error, Event, Kind};
use crate::App;
use crate::db::Row;
use crate::openmsg::Address;

/// No transaction lasts so long between taking its time and its commit, so what is behind a cursor is at the most so much older
/// than it. It only keeps readers from looking into the partitions of past weeks.
const SLACK: Duration = Duration::from_secs(86_400);
/// How far a reader goes back when its cursor is of a database that is no more.
const OVERLAP: Duration = Duration::from_secs(600);
/// Rows looked at together when most of them may not be wanted.
const SCANNED: i64 = 1000;
/// Looks before a reader is answered with what there is, even if that is nothing.
const LOOKS: usize = 20;

/// What was read.
#[derive(Debug)]
pub struct Page {
    /// Oldest first; may be empty although there is more.
    pub events: Vec<Event>,
    /// Behind them, and behind what was passed over.
    pub next: Cursor,
    /// Whether there may be more right now.
    pub more: bool,
}

/// A transaction and a number compared as one is a range of the index; what is still running, or begun after the oldest that
/// is, waits (the output is named otherwise: ordered by its text, 10 would come before 9). Without a bound in time every week's partition would be asked.
const SCAN: &str = "/* events::read */
select at, xid::text as number, n, kind, greatest(coalesce(cardinality(seqs), cardinality(items), 1), 1),
       case when kind = any ($5) then chunk end, case when kind = any ($5) then seqs end,
       case when kind = any ($5) then items end, about
from events
where at >= $1 and (xid, n) >= ($2::text::xid8, $3::int8) and xid < pg_snapshot_xmin(pg_current_snapshot())
order by events.xid, events.n limit $4";

/// Events behind `after`, of these kinds, up to `limit`; with `account` only those of that account's messages and inbox.
pub async fn read(
    app: &App,
    after: Cursor,
    kinds: &[Kind],
    limit: usize,
    account: Option<&Address>,
) -> Result<Page, Error> {
    let all = account.is_none() && Kind::ALL.iter().all(|kind| kinds.contains(kind));
    let rows_at_once = if all { (limit as i64 + 1).min(SCANNED) } else { SCANNED };
    let mut page = Page { events: Vec::new(), next: after, more: true };
    for _ in 0..LOOKS {
        let rows = scan(app, page.next, kinds, rows_at_once).await?;
        let picked = pick(&rows, page.next, kinds, limit);
        page.more = picked.cut || rows.len() as i64 == rows_at_once;
        page.next = picked.next;
        page.events = tell(app, picked.parts, account).await?;
        if !page.more || !page.events.is_empty() {
            break;
        }
    }
    Ok(page)
}

/// Where the newest event that can be read is; nothing of the last day: `None`. Cheap: what many wait for is asked for once.
pub async fn newest(app: &App) -> Result<Option<(u64, i64)>, Error> {
    let sql = "/* events::newest */
        select xid::text as number, n from events where at >= $1 and xid < pg_snapshot_xmin(pg_current_snapshot())
        order by events.xid desc, events.n desc limit 1";
    let row = app.db.row(sql, &[&(app.clock.now() - SLACK)]).await?;
    Ok(row.map(|row| (row.get::<_, &str>(0).parse().unwrap_or_default(), row.get(1))))
}

/// Before everything that cannot be read yet, behind everything that can.
pub async fn now(app: &App) -> Result<Cursor, Error> {
    let sql = "/* events::now */ select pg_snapshot_xmin(pg_current_snapshot())::text";
    let row = app.db.row(sql, &[]).await?;
    let xid = row.and_then(|row| row.get::<_, &str>(0).parse().ok()).unwrap_or_default();
    Ok(Cursor { xid, n: 0, part: 0, at: app.clock.now().as_microsecond() })
}

/// After a restore from a dump, transactions are counted anew, and rows written before seem to be of the future: they are put
/// before everything. Answers how many there were.
pub async fn adopt(app: &App) -> Result<u64, Error> {
    let sql = "/* events::adopt */
        update events set xid = '3' where xid >= pg_snapshot_xmax(pg_current_snapshot())";
    Ok(app.db.execute(sql, &[]).await?)
}

async fn scan(app: &App, after: Cursor, kinds: &[Kind], limit: i64) -> Result<Vec<Row>, Error> {
    let client = app.db.client().await?;
    let statement = client.prepare_cached(SCAN).await?;
    let numbers: Vec<i16> = kinds.iter().map(|kind| kind.number()).collect();
    // A clock that was set back must not hide what was written since.
    let since = after.at().min(app.clock.now()) - SLACK;
    let rows = client.query(&statement, &[&since, &after.xid(), &after.n, &limit, &numbers]).await?;
    if !rows.is_empty() {
        return Ok(rows);
    }
    let foreign = "/* events::read foreign */ select $1::text::xid8 > pg_snapshot_xmax(pg_current_snapshot())";
    let foreign = client.query_one(&client.prepare_cached(foreign).await?, &[&after.xid()]).await?;
    if !foreign.get::<_, bool>(0) {
        return Ok(rows);
    }
    // Its transaction is yet to come: the database was restored to an earlier state. By time, and a little before.
    let since = after.at().min(app.clock.now()) - OVERLAP;
    Ok(client.query(&statement, &[&since, &"0", &0_i64, &limit, &numbers]).await?)
}

struct Picked {
    parts: Vec<Part>,
    next: Cursor,
    /// Something was left behind `next` for want of room.
    cut: bool,
}

/// The first `limit` parts behind `after`.
fn pick(rows: &[Row], after: Cursor, kinds: &[Kind], limit: usize) -> Picked {
    let mut picked = Picked { parts: Vec::new(), next: after, cut: false };
    for row in rows {
        let at: Timestamp = row.get(0);
        let xid = row.get::<_, &str>(1).parse().unwrap_or_default();
        let whole = row.get::<_, i32>(4).unsigned_abs();
        let here = Cursor { xid, n: row.get(2), part: whole, at: at.as_microsecond() };
        let read = if (here.xid, here.n) == (after.xid, after.n) { after.part } else { 0 };
        let kind = Kind::from_number(row.get(3)).filter(|kind| kinds.contains(kind));
        if let Some(kind) = kind {
            for part in read..whole {
                if picked.parts.len() == limit {
                    picked.cut = true;
                    return picked;
                }
                picked.next = Cursor { part: part + 1, ..here };
                picked.parts.push(Part::of(row, kind, part as usize, picked.next));
            }
        }
        picked.next = here;
    }
    picked
}
