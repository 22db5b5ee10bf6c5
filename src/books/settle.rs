//! Settling: what became of deliveries, many chunks in one statement.
//!
//! Guarded by the claim: where the row is held under another claim by now, the state stays as it is, and the attempt is appended
//! all the same, marked late, so that doubles can be seen. That holds inside one statement too: a worker that was declared dead and
//! has claimed a chunk anew may settle both of its claims in the same batch.
//!
//! | file | does |
//! |---|---|
//! | `arrivals` | the ordinary case: everything of a settle was delivered from its chunk |
//! | `each` | everything else, a row for each delivery |
//!
//! Which of them writes a settle follows from the settle alone: one that is repeated, because its answer was lost, is found where it
//! was written the first time, whatever is repeated together with it.

mod arrivals;
mod each;

use std::collections::HashSet;

use jiff::Timestamp;
use uuid::Uuid;

use super::{BooksError, DeliveryId, Lane, Outcome, turns};
use crate::App;
use crate::db::GenericClient;
use crate::retry::Next;
use arrivals::Arrivals;
use each::Each;

/// What became of one delivery.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Which.
    pub id: DeliveryId,
    /// Its lane, for when it must wait.
    pub lane: Lane,
    /// Its domain, likewise.
    pub destination: String,
    /// Attempts made, this one included.
    pub tries: u16,
    /// The try, if one was made.
    pub attempt: Option<Attempt>,
    /// What follows.
    pub next: Next,
    /// Why, in a word or code.
    pub reason: Option<String>,
    /// The outbox row that goes with it.
    pub hash: Option<[u8; 32]>,
    /// Whether it stands in a line, which moves on when it ends.
    pub ordered: bool,
}

/// One try.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub ms: i32,
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status.
    pub status: Option<u16>,
    /// Response code or error class.
    pub code: Option<String>,
    /// First bytes of the answer.
    pub answer: Option<Vec<u8>>,
}

/// Under what a worker holds what it settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// A chunk.
    Chunk {
        /// The chunk.
        id: Uuid,
        /// What becomes of it.
        then: Then,
    },
    /// Exceptions, each by its own row.
    Again,
}

/// What becomes of a chunk with a settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It stays with its worker.
    Stay,
    /// Nothing of it is left to do.
    Done,
    /// What is left of it waits for its destination.
    Wait,
}

/// Results of one claim.
#[derive(Debug, Clone)]
pub struct Settle {
    /// The claim.
    pub claim: Uuid,
    /// Of what.
    pub held: Held,
    /// What became of its deliveries.
    pub results: Vec<Settled>,
    /// Which worker.
    pub worker: Uuid,
}

impl Settle {
    /// Whether all of it was delivered, from its chunk.
    fn is_plain(&self) -> bool {
        let arrived = |result: &Settled| matches!(result.next, Next::Delivered) && result.attempt.is_some();
        self.held != Held::Again && self.results.iter().all(arrived)
    }
}

/// Claims that still held, each with its chunk.
type StillHeld = HashSet<(Uuid, Uuid)>;

/// What a settle found.
#[derive(Debug, Default)]
pub struct Written {
    /// For each settle whether its claim still held (always true for exceptions, which are judged row by row).
    pub held: Vec<bool>,
    /// Deliveries that are first in their lines now, and due.
    pub next: Vec<(Lane, DeliveryId)>,
}

/// Writes all of `settles` down.
pub async fn settle_many(app: &App, settles: &[Settle]) -> Result<Written, BooksError> {
    let now = app.clock.now();
    let (arrivals, each) = (Arrivals::lay_out(settles), Each::lay_out(settles, now));
    let commit = if app.config.delivery.asynchronous_settle { "off" } else { "on" };
    let mut client = app.db.client().await?;
    let (held, next) = match (&arrivals, &each) {
        (Some(arrivals), None) => (arrivals.write(&client, now, commit).await?, Vec::new()),
        (None, Some(each)) if each.ordered.is_empty() => (each.write(&client, now, commit).await?, Vec::new()),
        _ => {
            let transaction = client.transaction().await?;
            let ordered = each.as_ref().map(|each| each.ordered.as_slice()).unwrap_or_default();
            if !ordered.is_empty() {
                turns::lock(&transaction, ordered).await?;
            }
            let mut held = StillHeld::new();
            if let Some(arrivals) = &arrivals {
                lock(&transaction, settles).await?;
                held.extend(arrivals.write(&transaction, now, commit).await?);
            }
            if let Some(each) = &each {
                held.extend(each.write(&transaction, now, commit).await?);
            }
            let next = if ordered.is_empty() { Vec::new() } else { turns::pass(&transaction, ordered, now).await? };
            transaction.commit().await?;
            (held, next)
        }
    };
    let still = |settle: &Settle| match settle.held {
        Held::Chunk { id, .. } => held.contains(&(id, settle.claim)),
        Held::Again => true,
    };
    Ok(Written { held: settles.iter().map(still).collect(), next })
}

/// Takes all chunks at once, in the order in which everybody does: two statements that each take some of them could stand across a
/// cancel.
async fn lock(client: &impl GenericClient, settles: &[Settle]) -> Result<(), BooksError> {
    let chunk = |settle: &Settle| match settle.held {
        Held::Chunk { id, .. } => Some(id),
        Held::Again => None,
    };
    let chunks: Vec<Uuid> = settles.iter().filter_map(chunk).collect();
    let sql = "/* books::settle lock */ select from chunks where id = any($1) order by id for update";
    client.query(&client.prepare_cached(sql).await?, &[&chunks]).await?;
    Ok(())
}

/// What a chunk is to become, as the statements know it.
fn number(then: Then) -> i16 {
    match then {
        Then::Stay => 1,
        Then::Done => 2,
        Then::Wait => 3,
    }
}

/// From the statements' first two columns.
fn still_held(row: &crate::db::Row) -> StillHeld {
    row.get::<_, Vec<Uuid>>(0).into_iter().zip(row.get::<_, Vec<Uuid>>(1)).collect()
}
