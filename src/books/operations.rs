//! What is done to many deliveries at a time: replays and cancels by filter, kept in Postgres and carried on by any worker.
//!
//! | file | what |
//! |---|---|
//! | `here` | making them, looking at them, holding them up |
//! | `carry` | doing them, a part at a time: the change of state and the move of the cursor are one transaction |
//! | `stops` | cancels that are under way: what workers drop before the operation comes to it |
//!
//! Promises: each delivery is treated once, whoever dies; a cancel holds from its commit on for what is in whole chunks of its
//! destination or campaign, and as soon as workers have read it (half a second) for all else.

mod carry;
mod stops;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::find::Filter;
use super::{BooksError, DeliveryId};
use crate::App;
use crate::db::Row;

pub use carry::{Carried, carry, take_operation};
pub use stops::{Stop, stops};

/// Deliveries a second that a replay may be held to.
pub const OPERATION_RATES: std::ops::RangeInclusive<f64> = 0.01..=1_000_000.0;
/// How long an operation that ended can be looked at.
const KEPT: std::time::Duration = std::time::Duration::from_secs(7 * 86_400);

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OperationKind {
    /// Makes what ended undelivered due again.
    Replay,
    /// Stops what has not gone.
    Cancel,
}

impl OperationKind {
    fn number(self) -> i16 {
        match self {
            Self::Replay => 1,
            Self::Cancel => 2,
        }
    }

    fn from_number(number: i16) -> Self {
        if number == 1 { Self::Replay } else { Self::Cancel }
    }

    /// What of a filter an operation of this kind looks at. A replay that names no state leaves alone what was cancelled on
    /// purpose and what may have arrived. A cancel looks at what is under way; of a tag or a campaign at everything, so that its
    /// answer is whole.
    pub fn filter(self, filter: &Filter) -> Filter {
        match self {
            Self::Replay if filter.states.is_empty() => {
                Filter { states: vec![super::State::Failed, super::State::Expired], ..filter.clone() }
            }
            Self::Cancel if filter.states.is_empty() && (filter.tag.is_some() || filter.campaign.is_some()) => {
                filter.clone()
            }
            Self::Cancel => filter.of_open(),
            Self::Replay => filter.clone(),
        }
    }
}

/// How an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OperationState {
    /// A worker carries it on, or will in a moment.
    Running,
    /// Held up; it goes on where it was.
    Paused,
    /// Given up; what was done stays done.
    Cancelled,
    /// Everything was looked at.
    Finished,
}

impl OperationState {
    const ALL: [Self; 4] = [Self::Running, Self::Paused, Self::Cancelled, Self::Finished];

    fn from_number(number: i16) -> Self {
        Self::ALL.get(number as usize).copied().unwrap_or(Self::Finished)
    }
}

/// One operation.
#[derive(Debug, Clone, Serialize)]
pub struct Operation {
    /// Its id.
    pub id: Uuid,
    /// What it does.
    pub kind: OperationKind,
    /// Who asked for it.
    pub sender: String,
    /// To which deliveries.
    pub filter: Filter,
    /// How it stands.
    pub state: OperationState,
    /// Deliveries a second, at the most.
    pub rate: Option<f32>,
    /// How many there were when it began, as far as they could be counted in a moment.
    pub matching: i64,
    /// How many were looked at.
    pub seen: i64,
    /// How many were replayed, or stopped.
    pub done: i64,
    /// Cancels: how many a worker had in its hands; they turn out stopped or gone.
    pub stopping: i64,
    /// How many were no longer what it looks for: gone.
    pub skipped: i64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last got on.
    pub updated_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, kind, sender, filter::text, state, rate, matching, seen, done, stopping, skipped, created_at, updated_at, finished_at";

fn operation_of(row: &Row) -> Result<Operation, BooksError> {
    Ok(Operation {
        id: row.get(0),
        kind: OperationKind::from_number(row.get(1)),
        sender: row.get(2),
        filter: stored(row.get(3))?,
        state: OperationState::from_number(row.get(4)),
        rate: row.get(5),
        matching: row.get(6),
        seen: row.get(7),
        done: row.get(8),
        stopping: row.get(9),
        skipped: row.get(10),
        created_at: row.get(11),
        updated_at: row.get(12),
        finished_at: row.get(13),
    })
}

fn stored(filter: &str) -> Result<Filter, BooksError> {
    serde_json::from_str(filter).map_err(|_| crate::db::DbError::Stored("filter").into())
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct NewOperation {
    /// What to do.
    pub kind: OperationKind,
    /// Who asks.
    pub sender: String,
    /// To which deliveries.
    pub filter: Filter,
    /// Deliveries a second, at the most.
    pub rate: Option<f32>,
    /// How many there are, by a count.
    pub matching: i64,
}

/// Begins an operation: what a cancel can stop in one statement is stopped when this answers.
pub async fn begin_operation(app: &App, new: &NewOperation) -> Result<Operation, BooksError> {
    let (id, now) = (app.new_id(), app.clock.now());
    let filter = new.kind.filter(&new.filter);
    let text = serde_json::to_string(&filter).unwrap_or_default();
    let mut client = app.db.client().await?;
    let transaction = client.transaction().await?;
    let sql = "/* books::operations begin */
        insert into operations (id, kind, sender, filter, rate, matching, created_at, updated_at, cursor_at)
        values ($1, $2, $3, $4::text::jsonb, $5, $6, $7, $7, $8)";
    // Ids of one millisecond have no order: what was accepted in this one counts as before.
    let newest = crate::clock::uuid_at(now + std::time::Duration::from_millis(1));
    let (kind, sender, rate, matching) = (new.kind.number(), &new.sender, &new.rate, &new.matching);
    transaction.execute(sql, &[&id, &kind, sender, &text, rate, matching, &now, &newest]).await?;
    if new.kind == OperationKind::Cancel {
        stops::stop_chunks(&transaction, id, &filter, now).await?;
    }
    transaction.commit().await?;
    operation(app, id).await?.ok_or(BooksError::Shared { passing: true })
}

/// One operation.
pub async fn operation(app: &App, id: Uuid) -> Result<Option<Operation>, BooksError> {
    let sql = format!("/* books::operations one */ select {COLUMNS} from operations where id = $1");
    app.db.row(&sql, &[&id]).await?.as_ref().map(operation_of).transpose()
}

/// Operations, newest first: all, or those on the deliveries of one account.
pub async fn operations(
    app: &App,
    account: Option<&str>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Operation>, BooksError> {
    let sql = format!(
        "/* books::operations list */ select {COLUMNS} from operations
         where ($1::uuid is null or id < $1) and ($2::text is null or filter->>'from' = $2) order by id desc limit $3"
    );
    app.db.rows(&sql, &[&after, &account, &limit]).await?.iter().map(operation_of).collect()
}

/// What may be done to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steer {
    /// Running: it stops where it is.
    Pause,
    /// Paused: it goes on.
    Resume,
    /// Not ended: it is given up.
    Cancel,
}

/// Does it, if the operation stands so that it makes sense; answers how it stands now, and whether this was done.
pub async fn steer(app: &App, id: Uuid, how: Steer) -> Result<Option<(Operation, bool)>, BooksError> {
    let (from, to): (&[i16], i16) = match how {
        Steer::Pause => (&[0], 1),
        Steer::Resume => (&[1], 0),
        Steer::Cancel => (&[0, 1], 2),
    };
    let sql = "/* books::operations steer */
        update operations set state = $2::smallint, worker = null, updated_at = $4::timestamptz,
            finished_at = case when $2::smallint = 2 then $4::timestamptz end
        where id = $1 and state = any($3)";
    let changed = app.db.execute(sql, &[&id, &to, &from, &app.clock.now()]).await? > 0;
    Ok(operation(app, id).await?.map(|operation| (operation, changed)))
}

/// What became of one delivery in an operation.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct OperationResult {
    /// Which.
    pub id: Uuid,
    /// `stopped`, `stopping`, `gone`, `replayed`, `skipped`.
    pub result: &'static str,
}

/// What became of each delivery, newest first, older than `after`.
pub async fn operation_results(
    app: &App,
    id: Uuid,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<OperationResult>, BooksError> {
    let after = after.unwrap_or(Uuid::max());
    let mut bytes = *after.as_bytes();
    bytes[14..].fill(0);
    let chunk = Uuid::from_bytes(bytes);
    // Rows first, then what is in them: a row has at least one, so `limit` rows are enough.
    let sql = "/* books::operations results */
        select r.chunk, s.seq, r.result from (
            select chunk, seqs, result from operation_results
            where operation = $1 and chunk <= $2 order by chunk desc, seq desc limit $4::bigint + 1000) r
        cross join lateral unnest(r.seqs) as s(seq)
        where delivery_id(r.chunk, s.seq) < $3 order by r.chunk desc, s.seq desc limit $4::bigint";
    let rows = app.db.rows(sql, &[&id, &chunk, &after, &limit]).await?;
    let word = |number: i16| match number {
        1 => "stopped",
        2 => "stopping",
        3 => "gone",
        4 => "replayed",
        _ => "skipped",
    };
    let result = |row: &Row| OperationResult {
        id: DeliveryId { chunk: row.get(0), seq: row.get(1) }.uuid(),
        result: word(row.get(2)),
    };
    Ok(rows.iter().map(result).collect())
}

/// Deletes operations that ended long ago, some at a time; answers how many.
pub async fn purge_operations(app: &App) -> Result<u64, BooksError> {
    let sql = "/* books::operations purge */
        delete from operations where id in (select id from operations where finished_at < $1 limit 10)";
    Ok(app.db.execute(sql, &[&(app.clock.now() - KEPT)]).await?)
}
