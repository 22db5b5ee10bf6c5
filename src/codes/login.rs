//! Codes that sign somebody in to an application.
//!
//! They are codes of a subject like the others, and differ in three things: all million of them are drawn; while one lives it can be
//! sent again, so it stays sealed in its row until it is used; and a right one can be *proven* before it is burnt, where something
//! else has to make a token first and may be away. A proven code is its device's: the same device may repeat it for a while, so many
//! times, one at a time, never beyond the code's expiry.

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
pub struct Counted(Option<(Uuid, Vec<u8>)>);

const LIVE: &str = "/* codes::login::live */
select id, expires_at from codes
where purpose = 4 and subject = any ($1) and state = 0 and expires_at > $2 and tries < $3 and sealed is not null";

/// A proven code bears a few tries more, of its device only: that one repeats it, and may have needed the last one to prove it.
const TRY: &str = "/* codes::login::try */
update codes set tries = tries + 1
where purpose = 4 and subject = any ($1) and expires_at > $2 and $3
    and (state = 0 and tries < $4 or state = 3 and grace_until > $2 and tries < $5 and device = any ($6))
returning id, code_hash";

const PROVE: &str = "/* codes::login::prove */
update codes set state = 3, taken_by = id, sealed = null, device = coalesce(device, $3), calls = calls + 1, busy_until = $4,
    grace_until = coalesce(grace_until, least(expires_at, $5))
where id = $1 and expires_at > $2
    and (state = 0 or state = 3 and grace_until > $2 and device = any ($6) and calls < $7 and busy_until <= $2)";

const IS_ITS_DEVICE: &str = "/* codes::login::is_its_device */
select 1 from codes where id = $1 and state = 3 and grace_until > $2 and device = any ($3) and calls < $4";

const FREE: &str = "/* codes::login::free */
update codes set busy_until = $2 where id = $1 and state = 3";

const BURN: &str = "/* codes::login::burn */
update codes set state = 2 where id = $1 and state = 3";

/// The live code of a subject, for who asks for it again: its id and its end.
pub async fn live(tx: &Transaction<'_>, app: &App, of: &str, tries: u32) -> Result<Option<Made>, DbError> {
    let subjects = subjects(app, Purpose::Login, of);
    let subjects: Vec<&[u8]> = subjects.iter().map(<[u8; 32]>::as_slice).collect();
    let statement = tx.prepare_cached(LIVE).await?;
    let row = tx.query_opt(&statement, &[&subjects, &app.clock.now(), &small(tries)]).await?;
    Ok(row.map(|row| Made { id: row.get(0), expires_at: row.get(1) }))
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
    let row = tx.query_opt(&statement, &[&subjects, &app.clock.now(), &may, &most, &proven, &devices]).await?;
    Ok(Counted(row.map(|row| (row.get(0), row.get(1)))))
}

impl Counted {
    /// Whether there was a code to count on.
    pub fn is_something(&self) -> bool {
        self.0.is_some()
    }

    /// Compares, in constant time, and also where there is nothing to compare with.
    pub fn compare(&self, app: &App, of: &str, code: &str) -> Tried {
        let hashes = hashes(app, Purpose::Login, of, code);
        let stored = self.0.as_ref().map_or(NOTHING.as_slice(), |(_, hash)| hash);
        let right = hashes.iter().fold(false, |found, hash| same(hash, stored) | found);
        match &self.0 {
            None => Tried::Nothing,
            Some((id, _)) if right => Tried::Right(Right { id: *id }),
            Some(_) => Tried::Wrong,
        }
    }
}

/// How a right code is to be kept until there is a token for it.
pub struct Grace<'a> {
    /// Hashes of the device under every node key, the current one first.
    pub device: &'a [[u8; 32]],
    /// Until when the call is made.
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
    Call,
    /// Somebody is calling just now, for the same device.
    Busy,
    /// It was another device's, or was used up meanwhile.
    Lost,
}

/// Proves a right code: of any number of simultaneous ones, one makes the call.
pub async fn prove(tx: &Transaction<'_>, app: &App, code: Right, grace: &Grace<'_>) -> Result<Proof, DbError> {
    let devices: Vec<&[u8]> = grace.device.iter().map(<[u8; 32]>::as_slice).collect();
    let device = devices.first().copied().unwrap_or_default();
    let (now, calls) = (app.clock.now(), small(grace.calls));
    let statement = tx.prepare_cached(PROVE).await?;
    let proven =
        tx.execute(&statement, &[&code.id, &now, &device, &grace.busy_until, &grace.until, &devices, &calls]).await?;
    if proven == 1 {
        return Ok(Proof::Call);
    }
    let statement = tx.prepare_cached(IS_ITS_DEVICE).await?;
    let busy = tx.query_opt(&statement, &[&code.id, &now, &devices, &calls]).await?.is_some();
    Ok(if busy { Proof::Busy } else { Proof::Lost })
}

/// The call is over, and brought nothing.
pub async fn free(app: &App, code: Right) -> Result<(), DbError> {
    app.db.execute(FREE, &[&code.id, &app.clock.now()]).await?;
    Ok(())
}

/// Burns a proven code: there is a token. False: it was replaced meanwhile.
pub async fn burn(tx: &Transaction<'_>, code: Right) -> Result<bool, DbError> {
    let statement = tx.prepare_cached(BURN).await?;
    Ok(tx.execute(&statement, &[&code.id]).await? == 1)
}

fn small(number: u32) -> i16 {
    i16::try_from(number).unwrap_or(i16::MAX)
}
