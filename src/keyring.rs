//! The node's keys while the node runs: who holds which, and how a new one comes to seal.
//!
//! The keys are in a file ([`crate::crypto::NodeKeys`]); each machine has a copy. What one process seals, all others must open, so a new
//! key is first *added* (it opens, and seals nothing), and *promoted* only when every process alive has said that it holds it. The
//! database knows which keys there are by a mark that each has sealed, and which of them seal: a process whose file lacks one of those
//! does not start, and one that runs takes no work ([`Pass`]).
//!
//! A process reports first and looks at the marks afterwards; who rotates writes first that the key seals and looks at the reports
//! afterwards. So one of the two sees the other, whenever a process comes.
//!
//! Promises: a key is held only after its mark was opened, so what is reported is the database's key and no other of that number;
//! whatever dies half-way, every process opens everything, and asking again goes on from there. Leaves out re-sealing: old keys stay
//! in the file.

mod pass;

pub use pass::Pass;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::App;
use crate::clock::Instant;
use crate::crypto::{KeyFileError, NodeKeys};
use crate::db::{DbError, Row};

/// How often a process says what it holds.
pub const REPORT_EVERY: Duration = Duration::from_secs(3);
/// How long a report lets a process take work. Shorter than [`HOLDERS`] waits for it, so that who is forgotten has stopped.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The key file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The file is not this database's.
    #[error("{0} does not hold the key this database was sealed with")]
    Foreign(String),
    /// The file is older than what the database was last used with.
    #[error(
        "{file} lacks node key {number}, which this database is in use with: copy the key file of the machine where it was added"
    )]
    Lacks {
        /// The file.
        file: String,
        /// The key's number.
        number: u16,
    },
    /// Two machines made a key at the same time, or the file is another node's.
    #[error(
        "{file} holds another node key {number} than this database knows: copy the key file of the machine where that one was added"
    )]
    Other {
        /// The file.
        file: String,
        /// The key's number.
        number: u16,
    },
}

/// A process alive, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// `serve` or `work`.
    pub kind: String,
    /// Which machine.
    pub host: String,
    /// Its process there.
    pub pid: i32,
    /// Numbers of its keys, the one that seals first.
    pub numbers: Vec<i32>,
    /// When it last said so.
    pub seen_at: Timestamp,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Known {
    /// What sealed values name it by.
    pub number: u16,
    /// Whether it seals, by this machine's file.
    pub seals: bool,
    /// When a process first held it; `None`: none has, yet.
    pub added_at: Option<Timestamp>,
}

/// What the database knows of a key.
struct Mark {
    number: u16,
    check: Vec<u8>,
    added_at: Timestamp,
    seals: bool,
}

const FIRST_MARK: &str = "/* keyring::check first */
update node set key_check = coalesce(key_check, $1) returning key_check";

/// A key below the one that seals has sealed before it; and so may all have that are there when the table is new.
const ADD_MARKS: &str = "/* keyring::check add */
insert into node_keys (number, key_check, added_at, seals_since)
select n, c, clock_timestamp(), case when n <= $3 or not exists (select from node_keys) then clock_timestamp() end
from unnest($1::integer[], $2::bytea[]) as k (n, c)
on conflict (number) do nothing";

const MARKS: &str =
    "/* keyring::marks */ select number, key_check, added_at, seals_since is not null from node_keys order by number";

const SEALS: &str = "/* keyring::seals */
update node_keys set seals_since = clock_timestamp() where number = $1 and seals_since is null";

const SEALS_NOT: &str = "/* keyring::seals not */ update node_keys set seals_since = null where number = $1";

const REPORT: &str = "/* keyring::report */
insert into key_holders (process, kind, host, pid, numbers, seen_at) values ($1, $2, $3, $4, $5, clock_timestamp())
on conflict (process) do update set numbers = excluded.numbers, seen_at = excluded.seen_at";

const FORGET_DEAD: &str =
    "/* keyring::report dead */ delete from key_holders where seen_at < clock_timestamp() - interval '1 minute'";

const LEAVE: &str = "/* keyring::leave */ delete from key_holders where process = $1";

/// Who was not heard of for so long is dead, or takes no work before it has reported again. By the database's clock, as the reports.
const HOLDERS: &str = "/* keyring::holders */
select kind, host, pid, numbers, seen_at from key_holders where seen_at >= clock_timestamp() - interval '15 seconds'
order by kind, host, pid";

/// Checks that key file and database belong together, and makes keys known that are new in the file.
///
/// # Errors
/// When the file is another database's, or lacks a key that seals: messages could not be opened, one by one; better to find out at
/// once.
pub async fn check(app: &App) -> Result<(), Error> {
    belongs(app, &app.keys).await
}

async fn belongs(app: &App, keys: &NodeKeys) -> Result<(), Error> {
    let own = keys.marks();
    let Some((_, first)) = own.first() else { return Err(Error::Foreign(file(app))) };
    let stored = app.db.row(FIRST_MARK, &[first]).await?.ok_or(DbError::Stored("node"))?;
    if !keys.opens_mark(stored.get(0)) {
        return Err(Error::Foreign(file(app)));
    }
    let known = marks(app).await?;
    all_open(app, keys, &known)?;
    let new = own.into_iter().filter(|(number, _)| known.iter().all(|mark| mark.number != *number));
    let (numbers, checks): (Vec<i32>, Vec<Vec<u8>>) = new.map(|(n, check)| (i32::from(n), check)).unzip();
    if numbers.is_empty() {
        return Ok(());
    }
    app.db.execute(ADD_MARKS, &[&numbers, &checks, &i32::from(keys.current())]).await?;
    // Another machine's key of the same number may have been first.
    all_open(app, keys, &marks(app).await?)
}

async fn marks(app: &App) -> Result<Vec<Mark>, DbError> {
    let read = |row: &Row| Mark {
        number: row.get::<_, i32>(0) as u16,
        check: row.get(1),
        added_at: row.get(2),
        seals: row.get(3),
    };
    Ok(app.db.rows(MARKS, &[]).await?.iter().map(read).collect())
}

/// A key that only opens so far may be missing: nothing is sealed by it.
fn all_open(app: &App, keys: &NodeKeys, marks: &[Mark]) -> Result<(), Error> {
    let held = keys.numbers();
    for mark in marks.iter().filter(|mark| !keys.opens_mark(&mark.check)) {
        let (file, number) = (file(app), mark.number);
        if held.contains(&number) {
            return Err(Error::Other { file, number });
        }
        if mark.seals {
            return Err(Error::Lacks { file, number });
        }
    }
    Ok(())
}

fn file(app: &App) -> String {
    app.config.keys_file().display().to_string()
}

/// Takes up what is new in the key file, when it is the database's. Otherwise nothing changes.
async fn take_up(app: &App) -> Result<(), Error> {
    if let Some(fresh) = app.keys.fresh()? {
        belongs(app, &fresh).await?;
        app.keys.hold(&fresh);
        tracing::info!(keys = ?app.keys.numbers(), "the node's keys have changed; the first one seals");
    }
    Ok(())
}

/// Takes up what is new in the key file, says what this process holds, and renews its pass if that is enough.
///
/// # Errors
/// When the file cannot be used, or a key that seals is not held: then this process must take no work.
pub async fn report(app: &App, process: Uuid, kind: &str, pass: &Pass) -> Result<(), Error> {
    let begun = Instant::now();
    let taken_up = take_up(app).await;
    let numbers: Vec<i32> = app.keys.numbers().into_iter().map(i32::from).collect();
    let (host, pid) = (crate::telemetry::host(), std::process::id() as i32);
    app.db.execute(REPORT, &[&process, &kind, &host, &pid, &numbers]).await?;
    app.db.execute(FORGET_DEAD, &[]).await?;
    // After the report: who made a key seal before that has left its word, and who does so later sees the report.
    let known = marks(app).await?;
    if let Err(error) = all_open(app, &app.keys, &known) {
        if let Error::Lacks { number, .. } | Error::Other { number, .. } = &error {
            pass.lack(*number);
        }
        return Err(error);
    }
    pass.renew(begun.after(GOOD_FOR));
    let current = app.keys.current();
    if known.iter().any(|mark| mark.number == current && !mark.seals) {
        // Somebody moved it to the top by hand.
        app.db.execute(SEALS, &[&i32::from(current)]).await?;
    }
    taken_up
}

/// Whether there is such a key, by the database.
pub async fn is_known(app: &App, number: u16) -> Result<bool, Error> {
    Ok(marks(app).await?.iter().any(|mark| mark.number == number))
}

/// Says that this process is gone.
pub async fn leave(app: &App, process: Uuid) -> Result<(), Error> {
    app.db.execute(LEAVE, &[&process]).await?;
    Ok(())
}

/// The processes alive.
pub async fn holders(app: &App) -> Result<Vec<Holder>, Error> {
    let read = |row: &Row| Holder {
        kind: row.get("kind"),
        host: row.get("host"),
        pid: row.get("pid"),
        numbers: row.get("numbers"),
        seen_at: row.get("seen_at"),
    };
    Ok(app.db.rows(HOLDERS, &[]).await?.iter().map(read).collect())
}

/// The keys of this machine's file, the one that seals first.
pub async fn list(app: &App) -> Result<Vec<Known>, Error> {
    let marks = marks(app).await?;
    let added = |number| marks.iter().find(|mark| mark.number == number).map(|mark| mark.added_at);
    let current = app.keys.current();
    let known = |number| Known { number, seals: number == current, added_at: added(number) };
    Ok(app.keys.numbers().into_iter().map(known).collect())
}

/// Adds a key to the file, or finds one that was added and has never sealed; its number. It seals nothing before [`finish`].
///
/// # Errors
/// When another machine has a key that this file lacks, or has just made one of the same number.
pub async fn begin(app: &App) -> Result<u16, Error> {
    let path = app.config.keys_file();
    let keys = NodeKeys::load(&path)?;
    belongs(app, &keys).await?;
    let marks = marks(app).await?;
    if let Some(mark) = marks.iter().find(|mark| !keys.opens_mark(&mark.check)) {
        return Err(Error::Lacks { file: file(app), number: mark.number });
    }
    let highest = keys.numbers().into_iter().max().unwrap_or_default();
    // An earlier change was interrupted. A key that has sealed is an old one, wherever it stands in the file.
    let waits = highest != keys.current() && marks.iter().any(|mark| mark.number == highest && !mark.seals);
    let number = if waits { highest } else { NodeKeys::add(&path)? };
    // Known before anybody is asked whether he holds it: a key of this number from another machine is found out here.
    belongs(app, &NodeKeys::load(&path)?).await?;
    Ok(number)
}

/// Who does not hold this key yet.
pub async fn lacking(app: &App, number: u16) -> Result<Vec<Holder>, Error> {
    let lacks = |holder: &Holder| !holder.numbers.contains(&i32::from(number));
    Ok(holders(app).await?.into_iter().filter(lacks).collect())
}

/// Who holds this key and seals with another.
pub async fn behind(app: &App, number: u16) -> Result<Vec<Holder>, Error> {
    let other = |holder: &Holder| holder.numbers.first() != Some(&i32::from(number));
    Ok(holders(app).await?.into_iter().filter(other).collect())
}

/// Lets a key seal that everybody holds, and this process with it. False: somebody has come who lacks it, and nothing has changed.
pub async fn finish(app: &App, number: u16) -> Result<bool, Error> {
    take_up(app).await?;
    app.db.execute(SEALS, &[&i32::from(number)]).await?;
    let promoted = promote(app, number).await;
    if !matches!(promoted, Ok(true)) {
        // Whether it went wrong or has to wait: it seals nothing. If the file has it on top all the same, the next report says so.
        app.db.execute(SEALS_NOT, &[&i32::from(number)]).await?;
        return promoted;
    }
    take_up(app).await?;
    Ok(true)
}

async fn promote(app: &App, number: u16) -> Result<bool, Error> {
    if !lacking(app, number).await?.is_empty() {
        return Ok(false);
    }
    NodeKeys::promote(&app.config.keys_file(), number)?;
    Ok(true)
}
