//! One-time codes: pass codes, which an account gives to strangers, those that prove something to us ([`subject`]), and of these
//! the ones that sign somebody in ([`login`]).
//!
//! Promises: a code is burnt by one conditional statement, so that of any number of simultaneous tries one succeeds; an account
//! that does not exist, a wrong code and an expired one cost the same statement; a code made for one purpose opens nothing else;
//! the expiry never moves. Leaves out counting tries ([`crate::limits`], before anything is compared) and what the code opens.
//!
//! A burnt code belongs to the ask it was burnt for. Until a worker [`begin`]s the callback, the door may [`give_back`] what no
//! worker took; once begun, the worker may [`restore`] it if not a byte was sent (at most three times); then it stays burnt. A code
//! given back may lie beside a newer one, so an account can for a while have more live codes than the setting says; the next
//! [`issue`] withdraws the surplus.

pub mod login;
pub mod subject;

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::App;
use crate::crypto;
use crate::db::{DbError, GenericClient};
use crate::openmsg::PassCode;

/// Draws before [`issue`] gives up: with a million codes only an account with nearly all of them gets there.
const DRAWS: usize = 1000;

/// What a code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Lets a stranger make one Openmsg connection.
    PassCode = 1,
    /// Proves a phone number.
    PhoneNumber = 2,
    /// Lets a further device join a phone number.
    FurtherDevice = 3,
    /// Signs somebody in to an application.
    Login = 4,
    /// Proves a mailbox to which notices are to go.
    Mailbox = 5,
}

impl Purpose {
    fn number(self) -> i16 {
        self as i16
    }

    fn key(self) -> crypto::Purpose {
        match self {
            Self::PassCode => crypto::Purpose::PassCode,
            Self::PhoneNumber | Self::FurtherDevice | Self::Login | Self::Mailbox => crypto::Purpose::Code,
        }
    }
}

/// A new code: the only time it is to be had.
#[derive(Debug)]
pub struct Issued {
    /// Its id.
    pub id: Uuid,
    /// The code.
    pub code: PassCode,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// A live code, which nobody can show again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Its id.
    pub id: Uuid,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// Why a code could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Nearly every code of this account is taken.
    #[error("no free code was found; wait until older ones have expired")]
    Exhausted,
    /// No such account.
    #[error("there is no such account")]
    NoAccount,
    /// A life that is no life.
    #[error("a code lives for at least a second")]
    Life,
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

const LOCK_ACCOUNT: &str = "/* codes::lock_account */
select id from accounts where id = $1 for no key update";

const UNEXPIRED: &str = "/* codes::unexpired */
select code_hash from codes where account_id = $1 and purpose = $2 and expires_at > $3";

const TRIM: &str = "/* codes::trim */
update codes set state = 2, taken_by = id where id in (
    select id from codes where account_id = $1 and purpose = $2 and state = 0 and expires_at > $3
    order by created_at desc, id desc offset $4)
and state = 0";

const INSERT: &str = "/* codes::issue */
insert into codes (id, purpose, account_id, code_hash, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)";

const LIVE: &str = "/* codes::live */
select id, created_at, expires_at from codes
where account_id = $1 and purpose = $2 and state = 0 and expires_at > $3 order by created_at, id";

/// Also what is burnt and might come back.
const WITHDRAW: &str = "/* codes::withdraw */
with mine as (
    select id, state from codes
    where account_id = $1 and purpose = $2 and expires_at > $3 and ($4::uuid is null or id = $4)
        and taken_by is distinct from id
    order by id for update
), withdrawn as (update codes set state = 2, taken_by = codes.id from mine where codes.id = mine.id)
select count(*) from mine where state = 0";

const BURN: &str = "/* codes::burn */
update codes set state = 1, taken_by = $5 where id = (
    select id from codes where account_id = $1 and purpose = $2 and code_hash = any ($3) and state = 0 and expires_at > $4
    order by id limit 1)
and state = 0";

const BEGIN: &str = "/* codes::begin */
update codes set state = 2 where taken_by = $1 and state = 1";

const GIVE_BACK: &str = "/* codes::give_back */
update codes set state = 0, taken_by = null where taken_by = $1 and state = 1";

const RESTORE: &str = "/* codes::restore */
update codes set state = 0, taken_by = null, restored = restored + 1
where taken_by = $1 and taken_by <> id and state = 2 and restored < 3";

const PURGE: &str = "/* codes::purge */
delete from codes where id = any (array(select id from codes where expires_at <= $1 order by expires_at limit 1000))";

/// Makes a code that no unexpired one of the account equals; withdraws the oldest live ones above `codes.live_per_account`.
pub async fn issue(app: &App, purpose: Purpose, account: Uuid, life: Duration) -> Result<Issued, Error> {
    if life < Duration::from_secs(1) {
        return Err(Error::Life);
    }
    let mut client = app.db.client().await?;
    let transaction = client.transaction().await?;
    let locked = transaction.prepare_cached(LOCK_ACCOUNT).await?;
    if transaction.query_opt(&locked, &[&account]).await?.is_none() {
        return Err(Error::NoAccount);
    }
    let now = app.clock.now();
    let (code, hash) = draw(app, &transaction, purpose, account, now).await?;
    let others = i64::from(app.config.codes.live_per_account.max(1)) - 1;
    let trim = transaction.prepare_cached(TRIM).await?;
    transaction.execute(&trim, &[&account, &purpose.number(), &now, &others]).await?;
    let (id, expires_at) = (app.new_id(), now + life);
    let insert = transaction.prepare_cached(INSERT).await?;
    transaction.execute(&insert, &[&id, &purpose.number(), &account, &hash.as_slice(), &now, &expires_at]).await?;
    transaction.commit().await?;
    Ok(Issued { id, code, expires_at })
}

/// The account's live codes, oldest first.
pub async fn live(app: &App, purpose: Purpose, account: Uuid) -> Result<Vec<Live>, Error> {
    let rows = app.db.rows(LIVE, &[&account, &purpose.number(), &app.clock.now()]).await?;
    let read = |row: &crate::db::Row| Live { id: row.get(0), created_at: row.get(1), expires_at: row.get(2) };
    Ok(rows.iter().map(read).collect())
}

/// Withdraws one live code of the account or all of them; returns how many were live. What is burnt does not come back either.
pub async fn withdraw(app: &App, purpose: Purpose, account: Uuid, id: Option<Uuid>) -> Result<u64, Error> {
    let row = app.db.row(WITHDRAW, &[&account, &purpose.number(), &app.clock.now(), &id]).await?;
    Ok(row.map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
}

/// Burns a live code for `ask`, an id used once; false: not a live code. `account` is `None` where there is no such account, which
/// costs the same.
pub async fn burn(
    app: &App,
    purpose: Purpose,
    account: Option<Uuid>,
    code: &PassCode,
    ask: Uuid,
) -> Result<bool, Error> {
    let account = account.unwrap_or(Uuid::nil());
    let hashes = hashes(app, purpose, account, code);
    let hashes: Vec<&[u8]> = hashes.iter().map(<[u8; 32]>::as_slice).collect();
    let burnt = app.db.execute(BURN, &[&account, &purpose.number(), &hashes, &app.clock.now(), &ask]).await?;
    Ok(burnt == 1)
}

/// A worker is about to call back for `ask`; false: it must not, the door has taken the code back or the user withdrew it.
pub async fn begin(app: &App, ask: Uuid) -> Result<bool, Error> {
    Ok(app.db.execute(BEGIN, &[&ask]).await? == 1)
}

/// No worker took the ask: its code is live again. False: a worker has begun, or there is nothing to give back.
pub async fn give_back(app: &App, ask: Uuid) -> Result<bool, Error> {
    Ok(app.db.execute(GIVE_BACK, &[&ask]).await? == 1)
}

/// The callback failed before its first byte was sent: the code is live again, with its old expiry. False after three times, and
/// where there is nothing to restore.
pub async fn restore(app: &App, ask: Uuid) -> Result<bool, Error> {
    Ok(app.db.execute(RESTORE, &[&ask]).await? == 1)
}

/// Removes up to 1,000 expired codes; returns how many.
pub async fn purge(app: &App) -> Result<u64, Error> {
    Ok(app.db.execute(PURGE, &[&app.clock.now()]).await?)
}

/// Burnt codes count as well, for they may come back.
async fn draw(
    app: &App,
    client: &impl GenericClient,
    purpose: Purpose,
    account: Uuid,
    now: Timestamp,
) -> Result<(PassCode, [u8; 32]), Error> {
    let unexpired = client.prepare_cached(UNEXPIRED).await?;
    let rows = client.query(&unexpired, &[&account, &purpose.number(), &now]).await?;
    let taken: HashSet<&[u8]> = rows.iter().map(|row| row.get(0)).collect();
    for _ in 0..DRAWS {
        let code = PassCode::random();
        let hashes = hashes(app, purpose, account, &code);
        if !hashes.iter().any(|hash| taken.contains(hash.as_slice())) {
            return Ok((code, hashes[0]));
        }
    }
    Err(Error::Exhausted)
}

/// Under every node key, the current one first.
fn hashes(app: &App, purpose: Purpose, account: Uuid, code: &PassCode) -> Vec<[u8; 32]> {
    app.keys.hashes(purpose.key(), &[account.as_bytes(), code.as_str().as_bytes()])
}
