//! Codes that sign somebody in to an application.
//!
//! They are codes of a subject like the others, and differ in three things: all million of them are drawn; while one lives it can be
//! sent again, so it stays sealed in its row until it is used; and a right one can be *proven* before it is burnt, where something
//! else has to make a token first and may be away. A proven code is its device's: the same device may repeat it for a while, so many
//! times, one at a time, never beyond the code's expiry.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Purpose;
use super::subject::{self, Made, hashes, subjects};
use crate::App;
use crate::crypto::{random_below, same};
use crate::db::{DbError, Transaction};

/// How many there are: 000000 to 999999.
const CODES: u32 = 1_000_000;
/// Compared where there is no code, so that this costs the same.
const NOTHING: [u8; 32] = [0; 32];

/// A code that was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// Its id.
    pub id: Uuid,
}

/// A proven code while one call is made for it: only this call frees it, or burns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    code: Right,
    call: i16,
}

/// What a code is that somebody else made, beside the one that its subject has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theirs {
    /// Another.
    New,
    /// The same, and it is live.
    Live(Made),
    /// The same, and it was used, or tried too often.
    Spent,
}

/// What came of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// There is no live code: nothing was tried.
    Nothing,
    /// There is one, and this is another.
    Wrong,
    /// This is it.
    Right(Right),
}

/// A code that a try was counted on; what is to be compared.
pub struct Counted(Vec<(Uuid, Vec<u8>)>);

const LIVE: &str = "/* codes::login::live */
select id, expires_at from codes
where purpose = 4 and subject = any ($1) and state = 0 and expires_at > $2 and tries < $3 and sealed is not null
order by created_at desc limit 1";

const BEFORE: &str = "/* codes::login::before */
select id, code_hash, expires_at, state = 0 and expires_at > $2 and tries < $3 and sealed is not null, state <> 2 and expires_at <= $2
from codes where purpose = 4 and subject = any ($1)";

/// A proven code bears a few tries more, of its device only: that one repeats it, and may have needed the last one to prove it.
const TRY: &str = "/* codes::login::try */
update codes set tries = tries + 1
where purpose = 4 and subject = any ($1) and expires_at > $2 and $3
    and (state = 0 and tries < $4 or state = 3 and grace_until > $2 and tries < $5 and device = any ($6))
returning id, code_hash";

const PROVE: &str = "/* codes::login::prove */
update codes set state = 3, taken_by = id, sealed = null, device = coalesce(device, $3), calls = calls + 1, busy_until = $4,
    grace_until = least(expires_at, $5)
where id = $1 and expires_at > $2
    and (state = 0 or state = 3 and grace_until > $2 and device = any ($6) and calls < $7 and busy_until <= $2)
returning calls";

const IS_ITS_DEVICE: &str = "/* codes::login::is_its_device */
select state = 3 and grace_until > $2 and calls < $4 from codes where id = $1 and device = any ($3)";

const FREE: &str = "/* codes::login::free */
update codes set busy_until = $3, grace_until = least(expires_at, $4)
where id = $1 and state = 3 and calls = $2";

/// A right code that was of no use has told nobody anything: its try is none.
const NOT_CALLED: &str = "/* codes::login::not_called */
update codes set busy_until = $3, grace_until = least(expires_at, $4), calls = calls - 1, tries = greatest(tries - 1, 0)
where id = $1 and state = 3 and calls = $2";

const BURN: &str = "/* codes::login::burn */
update codes set state = 2 where id = $1 and state = 3 and calls = $2";

/// The live code of a subject, for who asks for it again: its id and its end.
pub async fn live(tx: &Transaction<'_>, app: &App, of: &str, tries: u32) -> Result<Option<Made>, DbError> {
    let subjects = subjects(app, Purpose::Login, of);
    let subjects: Vec<&[u8]> = subjects.iter().map(<[u8; 32]>::as_slice).collect();
    let statement = tx.prepare_cached(LIVE).await?;
    let row = tx.query_opt(&statement, &[&subjects, &app.clock.now(), &small(tries)]).await?;
    Ok(row.map(|row| Made { id: row.get(0), expires_at: row.get(1) }))
}

/// What a code of somebody else's making is: it may be the one that they made before.
pub async fn theirs(tx: &Transaction<'_>, app: &App, of: &str, code: &str, tries: u32) -> Result<Theirs, DbError> {
    let subjects = subjects(app, Purpose::Login, of);
    let subjects: Vec<&[u8]> = subjects.iter().map(<[u8; 32]>::as_slice).collect();
    let hashes = hashes(app, Purpose::Login, of, code);
    let statement = tx.prepare_cached(BEFORE).await?;
    let rows = tx.query(&statement, &[&subjects, &app.clock.now(), &small(tries)]).await?;
    let Some(row) = rows.iter().find(|row| any_is(&hashes, row.get(1))) else { return Ok(Theirs::New) };
    Ok(match (row.get(3), row.get(4)) {
        (true, _) => Theirs::Live(Made { id: row.get(0), expires_at: row.get(2) }),
        (_, true) => Theirs::New,
        _ => Theirs::Spent,
    })
}

/// Makes a code in place of the one there was: this one, or any.
pub async fn make(
    tx: &Transaction<'_>,
    app: &App,
    of: &str,
    code: Option<&str>,
    until: Timestamp,
) -> Result<Made, DbError> {
    let drawn = Zeroizing::new(format!("{:06}", random_below(CODES)));
    subject::make_this(tx, app, Purpose::Login, of, code.unwrap_or(&drawn), until).await
}

/// A try, before it is known whether it is right.
pub struct Try<'a> {
    /// The subject.
    pub of: &'a str,
    /// Whether one is taken at all: none costs the same.
    pub may: bool,
    /// Hashes of the device under every node key.
    pub device: &'a [[u8; 32]],
    /// Tries that a code bears.
    pub tries: u32,
    /// Tries that a proven one bears besides.
    pub more: u32,
}

/// Counts a try on the live code of a subject, if there is one. Commit before comparing.
pub async fn count(tx: &Transaction<'_>, app: &App, one: &Try<'_>) -> Result<Counted, DbError> {
    let Try { of, may, device, tries, more } = *one;
    let subjects = subjects(app, Purpose::Login, of);
    let subjects: Vec<&[u8]> = subjects.iter().map(<[u8; 32]>::as_slice).collect();
    let statement = tx.prepare_cached(TRY).await?;
    let (most, proven) = (small(tries), small(tries.saturating_add(more)));
    let devices: Vec<&[u8]> = device.iter().map(<[u8; 32]>::as_slice).collect();
    let rows = tx.query(&statement, &[&subjects, &app.clock.now(), &may, &most, &proven, &devices]).await?;
    // More than one only while processes with and without a new node key run side by side.
    Ok(Counted(rows.iter().map(|row| (row.get(0), row.get(1))).collect()))
}

impl Counted {
    /// Whether there was a code to count on.
    pub fn is_something(&self) -> bool {
        !self.0.is_empty()
    }

    /// Compares, in constant time, and also where there is nothing to compare with.
    pub fn compare(&self, app: &App, of: &str, code: &str) -> Tried {
        let hashes = hashes(app, Purpose::Login, of, code);
        let nothing = [(Uuid::nil(), NOTHING.to_vec())];
        let stored = if self.is_something() { self.0.as_slice() } else { &nothing };
        let right = stored.iter().fold(None, |right, (id, hash)| if any_is(&hashes, hash) { Some(*id) } else { right });
        match right {
            _ if !self.is_something() => Tried::Nothing,
            Some(id) => Tried::Right(Right { id }),
            None => Tried::Wrong,
        }
    }
}

/// How a right code is to be kept until there is a token for it.
pub struct Grace<'a> {
    /// Hashes of the device under every node key, the current one first.
    pub device: &'a [[u8; 32]],
    /// Until when nobody else calls, unless the call ends before.
    pub busy_until: Timestamp,
    /// Until when it may be repeated.
    pub until: Timestamp,
    /// How many calls there may be in all.
    pub calls: u32,
}

/// What came of proving a right code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The caller makes the call.
    Call(Held),
    /// Somebody is calling just now, for the same device.
    Busy,
    /// It was this device's, and is used up.
    Over,
    /// It was another device's, or was replaced meanwhile.
    Lost,
}

/// Proves a right code: of any number of simultaneous ones, one makes the call.
pub async fn prove(tx: &Transaction<'_>, app: &App, code: Right, grace: &Grace<'_>) -> Result<Proof, DbError> {
    let devices: Vec<&[u8]> = grace.device.iter().map(<[u8; 32]>::as_slice).collect();
    let device = devices.first().copied().unwrap_or_default();
    let (now, calls) = (app.clock.now(), small(grace.calls));
    let statement = tx.prepare_cached(PROVE).await?;
    let proven =
        tx.query_opt(&statement, &[&code.id, &now, &device, &grace.busy_until, &grace.until, &devices, &calls]).await?;
    if let Some(row) = proven {
        return Ok(Proof::Call(Held { code, call: row.get(0) }));
    }
    let statement = tx.prepare_cached(IS_ITS_DEVICE).await?;
    let its = tx.query_opt(&statement, &[&code.id, &now, &devices, &calls]).await?;
    Ok(its.map_or(Proof::Lost, |row| if row.get(0) { Proof::Busy } else { Proof::Over }))
}

/// The call is over, and brought nothing: the code may be repeated for so long. A call that was not `made` is none.
pub async fn free(app: &App, held: Held, grace: Duration, made: bool) -> Result<(), DbError> {
    let now = app.clock.now();
    let statement = if made { FREE } else { NOT_CALLED };
    app.db.execute(statement, &[&held.code.id, &held.call, &now, &(now + grace)]).await?;
    Ok(())
}

/// Burns a proven code: there is a token. False: it was replaced, burnt, or taken up again meanwhile, so this token is nobody's.
pub async fn burn(tx: &Transaction<'_>, held: Held) -> Result<bool, DbError> {
    let statement = tx.prepare_cached(BURN).await?;
    Ok(tx.execute(&statement, &[&held.code.id, &held.call]).await? == 1)
}

fn any_is(hashes: &[[u8; 32]], stored: &[u8]) -> bool {
    hashes.iter().fold(false, |found, hash| same(hash, stored) | found)
}

fn small(number: u32) -> i16 {
    i16::try_from(number).unwrap_or(i16::MAX)
}
