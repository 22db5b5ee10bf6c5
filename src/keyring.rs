//! The node's keys while the node runs: who holds which, and how a new one comes to seal.
//!
//! The keys are in a file ([`crate::crypto::NodeKeys`]); each machine has a copy. What one process seals, all others must open, so a new
//! key is first *added* (it opens, and seals nothing), and *promoted* only when every process alive has said that it holds it. The
//! database knows which keys there are by a mark that each has sealed: a process whose file lacks one does not start.
//!
//! Promises: whatever dies half-way, every process opens everything, and asking again goes on from there. Leaves out re-sealing: old keys
//! stay in the file.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::App;
use crate::crypto::{KeyFileError, NodeKeys};
use crate::db::{DbError, Row};

/// How often a process says what it holds.
pub const REPORT_EVERY: Duration = Duration::from_secs(3);
/// Who was not heard of for so long is dead. One that only slept reads the file again when it meets a key that it does not know.
const DEAD_AFTER: Duration = Duration::from_secs(15);

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

const FIRST_MARK: &str = "/* keyring::check first */
update node set key_check = coalesce(key_check, $1) returning key_check";

const ADD_MARKS: &str = "/* keyring::check add */
insert into node_keys (number, key_check, added_at) select n, c, $3 from unnest($1::integer[], $2::bytea[]) as k (n, c)
on conflict (number) do nothing";

const MARKS: &str = "/* keyring::check */ select number, key_check, added_at from node_keys order by number";

const REPORT: &str = "/* keyring::report */
insert into key_holders (process, kind, host, pid, numbers, seen_at) values ($1, $2, $3, $4, $5, $6)
on conflict (process) do update set numbers = excluded.numbers, seen_at = excluded.seen_at";

const FORGET_DEAD: &str = "/* keyring::report dead */ delete from key_holders where seen_at < $1";

const LEAVE: &str = "/* keyring::leave */ delete from key_holders where process = $1";

const HOLDERS: &str = "/* keyring::holders */
select kind, host, pid, numbers, seen_at from key_holders where seen_at >= $1 order by kind, host, pid";

/// Checks that key file and database belong together, and makes keys known that are new in the file.
///
/// # Errors
/// When the file is another database's, or lacks a key that any process ever held: messages could not be opened, one by one; better to
/// find out at once.
pub async fn check(app: &App) -> Result<(), Error> {
    let file = || app.config.keys_file().display().to_string();
    let marks = app.keys.marks();
    let Some((_, mark)) = marks.first() else { return Err(Error::Foreign(file())) };
    let stored = app.db.row(FIRST_MARK, &[mark]).await?.ok_or(DbError::Stored("node"))?;
    if !app.keys.opens_mark(stored.get(0)) {
        return Err(Error::Foreign(file()));
    }
    let (numbers, marks): (Vec<i32>, Vec<Vec<u8>>) = marks.into_iter().map(|(n, mark)| (i32::from(n), mark)).unzip();
    app.db.execute(ADD_MARKS, &[&numbers, &marks, &app.clock.now()]).await?;
    match app.db.rows(MARKS, &[]).await?.iter().find(|row| !app.keys.opens_mark(row.get("key_check"))) {
        Some(row) => Err(Error::Lacks { file: file(), number: row.get::<_, i32>("number") as u16 }),
        None => Ok(()),
    }
}

/// Takes up what is new in the key file, and says what this process holds. A file that has lost a key is an error, and nothing changes.
pub async fn report(app: &App, process: Uuid, kind: &str) -> Result<(), Error> {
    let reloaded = app.keys.reload();
    if reloaded.as_ref().is_ok_and(|changed| *changed) {
        tracing::info!(keys = ?app.keys.numbers(), "the node's keys have changed; the first one seals");
        check(app).await?;
    }
    let numbers: Vec<i32> = app.keys.numbers().into_iter().map(i32::from).collect();
    let now = app.clock.now();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let pid = std::process::id() as i32;
    app.db.execute(REPORT, &[&process, &kind, &host.trim(), &pid, &numbers, &now]).await?;
    app.db.execute(FORGET_DEAD, &[&(now - DEAD_AFTER * 4)]).await?;
    reloaded?;
    Ok(())
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
    Ok(app.db.rows(HOLDERS, &[&(app.clock.now() - DEAD_AFTER)]).await?.iter().map(read).collect())
}

/// The keys of this machine's file, the one that seals first.
pub async fn list(app: &App) -> Result<Vec<Known>, Error> {
    let rows = app.db.rows(MARKS, &[]).await?;
    let added = |number: u16| {
        let row = rows.iter().find(|row| row.get::<_, i32>("number") == i32::from(number));
        row.map(|row| row.get("added_at"))
    };
    let current = app.keys.current();
    let known = |number| Known { number, seals: number == current, added_at: added(number) };
    Ok(app.keys.numbers().into_iter().map(known).collect())
}

/// Adds a key to the file, or finds one that was added and does not seal yet; its number. It seals nothing before [`finish`].
pub fn begin(app: &App) -> Result<u16, Error> {
    let file = app.config.keys_file();
    let keys = NodeKeys::load(&file)?;
    let highest = keys.numbers().into_iter().max().unwrap_or_default();
    // The newest one is the one that seals, unless an earlier change was interrupted.
    if highest != keys.current() { Ok(highest) } else { Ok(NodeKeys::add(&file)?) }
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

/// Lets a key seal that everybody holds. This process follows at once.
pub async fn finish(app: &App, number: u16) -> Result<(), Error> {
    app.keys.reload()?;
    check(app).await?;
    NodeKeys::promote(&app.config.keys_file(), number)?;
    app.keys.reload()?;
    Ok(())
}
