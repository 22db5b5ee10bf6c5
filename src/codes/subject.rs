//! Codes that prove something to us: that somebody has a phone number, for instance. They leave by a worker, through a provider.
//!
//! Promises: a subject has one code of a purpose at a time, a new one replaces it; a try is counted before the code is compared,
//! in constant time, and too many end the code; of any number of simultaneous right tries one burns it. The subject is stored as a
//! keyed hash, the code as another and, until it was sent, sealed: whoever has the database has neither. Leaves out who may ask how
//! often ([`crate::limits`]).

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Purpose;
use crate::App;
use crate::crypto::{self, random_below, same};
use crate::db::{DbError, Transaction};

/// Smallest of the six-digit codes: none begins with a nought, which people and programs lose.
const SMALLEST: u32 = 100_000;
/// How many there are.
const CODES: u32 = 900_000;

/// A new code for a subject: on its way by [`ToSend`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// Its id.
    pub id: Uuid,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// The content of a delivery that carries a code. The code itself stays in its row. `Debug` shows nothing of whom it is for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToSend {
    /// The code's id.
    pub code: Uuid,
    /// Whom to: a phone number or a mailbox.
    pub to: String,
    /// Which service asks, for the words around it: `textsecure`, or an application's id.
    pub service: String,
    /// An application's own words; none: the service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Words>,
}

impl fmt::Debug for ToSend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToSend").field("code", &self.code).field("service", &self.service).finish_non_exhaustive()
    }
}

/// The words that an application has for its codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// What people know the application by.
    pub name: String,
    /// The message, with `{code}` and `{app}` to be put in; empty: the usual one.
    pub text: String,
}

const REPLACED: &str = "/* codes::replaced */
delete from codes where purpose = $1 and subject = any ($2)";

const MAKE: &str = "/* codes::make */
insert into codes (id, purpose, subject, code_hash, created_at, expires_at, sealed) values ($1, $2, $3, $4, $5, $6, $7)
on conflict (purpose, subject) where subject is not null do update
set id = excluded.id, code_hash = excluded.code_hash, created_at = excluded.created_at, expires_at = excluded.expires_at,
    sealed = excluded.sealed, state = 0, taken_by = null, tries = 0, device = null, calls = 0, grace_until = null,
    busy_until = null";

const TRY: &str = "/* codes::try */
update codes set tries = tries + 1
where purpose = $1 and subject = any ($2) and state = 0 and expires_at > $3 and tries < $4
returning id, code_hash";

const TAKE: &str = "/* codes::take */
update codes set state = 2, taken_by = id, sealed = null where id = $1 and state = 0 and expires_at > $2";

const TO_SEND: &str = "/* codes::to_send */
select sealed, expires_at from codes where id = $1 and state = 0 and expires_at > $2 and sealed is not null";

/// Who signs in may ask for the same code again.
const SENT: &str = "/* codes::sent */
update codes set sealed = null where id = $1 and purpose <> 4";

/// Makes a code for a subject, in place of the one it had. The caller sends it on its way in the same transaction.
pub async fn make(
    tx: &Transaction<'_>,
    app: &App,
    purpose: Purpose,
    subject: &str,
    life: Duration,
) -> Result<Made, DbError> {
    let code = Zeroizing::new((SMALLEST + random_below(CODES)).to_string());
    let expires_at = app.clock.now() + life;
    make_this(tx, app, purpose, subject, &code, expires_at).await
}

/// The same with a code that is there already.
pub(super) async fn make_this(
    tx: &Transaction<'_>,
    app: &App,
    purpose: Purpose,
    subject: &str,
    code: &str,
    expires_at: Timestamp,
) -> Result<Made, DbError> {
    let (id, now) = (app.new_id(), app.clock.now());
    let (subjects, hashes) = (subjects(app, purpose, subject), hashes(app, purpose, subject, code));
    let sealed = app.keys.seal(crypto::Purpose::Code, id.as_bytes(), code.as_bytes());
    // Under an earlier node key it would stand beside the new one.
    let (current, earlier) =
        subjects.split_first().map_or((&[][..], &[][..]), |(first, rest)| (first.as_slice(), rest));
    if !earlier.is_empty() {
        let earlier: Vec<&[u8]> = earlier.iter().map(<[u8; 32]>::as_slice).collect();
        let replaced = tx.prepare_cached(REPLACED).await?;
        tx.execute(&replaced, &[&purpose.number(), &earlier]).await?;
    }
    let make = tx.prepare_cached(MAKE).await?;
    let hash = hashes.first().map_or(&[][..], <[u8; 32]>::as_slice);
    tx.execute(&make, &[&id, &purpose.number(), &current, &hash, &now, &expires_at, &sealed]).await?;
    Ok(Made { id, expires_at })
}

/// Counts a try, and compares: the id of the code if it is right and live. Up to `tries` are good for one code.
pub async fn check(
    app: &App,
    purpose: Purpose,
    subject: &str,
    code: &str,
    tries: u32,
) -> Result<Option<Uuid>, DbError> {
    let subjects = subjects(app, purpose, subject);
    let subjects: Vec<&[u8]> = subjects.iter().map(<[u8; 32]>::as_slice).collect();
    let most = i16::try_from(tries).unwrap_or(i16::MAX);
    let rows = app.db.rows(TRY, &[&purpose.number(), &subjects, &app.clock.now(), &most]).await?;
    let hashes = hashes(app, purpose, subject, code);
    // More than one only while processes with and without a new node key run side by side.
    let right = rows.iter().find(|row| hashes.iter().any(|hash| same(hash, row.get(1))));
    Ok(right.map(|row| row.get(0)))
}

/// Burns a code that [`check`] found right; false: somebody else did, or it was replaced, or its time has come.
pub async fn take(tx: &Transaction<'_>, app: &App, code: Uuid) -> Result<bool, DbError> {
    let take = tx.prepare_cached(TAKE).await?;
    Ok(tx.execute(&take, &[&code, &app.clock.now()]).await? == 1)
}

/// The code and its end; none when it was sent, burnt or replaced, or is too late.
pub async fn to_send(app: &App, code: Uuid) -> Result<Option<(Zeroizing<String>, Timestamp)>, DbError> {
    let Some(row) = app.db.row(TO_SEND, &[&code, &app.clock.now()]).await? else { return Ok(None) };
    let plain = app.keys.open(crypto::Purpose::Code, code.as_bytes(), row.get(0)).ok();
    let text = plain.and_then(|plain| String::from_utf8(plain.to_vec()).ok());
    Ok(text.map(|text| (Zeroizing::new(text), row.get(1))))
}

/// Forgets the code of a subject, whatever has become of it.
pub async fn forget(tx: &Transaction<'_>, app: &App, purpose: Purpose, subject: &str) -> Result<(), DbError> {
    let subjects = subjects(app, purpose, subject);
    let subjects: Vec<&[u8]> = subjects.iter().map(<[u8; 32]>::as_slice).collect();
    let replaced = tx.prepare_cached(REPLACED).await?;
    tx.execute(&replaced, &[&purpose.number(), &subjects]).await?;
    Ok(())
}

/// A provider has taken it: the code itself is kept no longer, unless it is one that may be asked for again ([`super::login`]).
pub async fn sent(app: &App, code: Uuid) -> Result<(), DbError> {
    app.db.execute(SENT, &[&code]).await?;
    Ok(())
}

/// Under every node key, the current one first.
pub(super) fn subjects(app: &App, purpose: Purpose, subject: &str) -> Vec<[u8; 32]> {
    app.keys.hashes(purpose.key(), &[b"subject", subject.as_bytes()])
}

/// Under every node key, the current one first.
pub(super) fn hashes(app: &App, purpose: Purpose, subject: &str, code: &str) -> Vec<[u8; 32]> {
    app.keys.hashes(purpose.key(), &[&purpose.number().to_be_bytes(), subject.as_bytes(), code.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_whom_a_code_is_for() {
        let what = ToSend { code: Uuid::nil(), to: "+18005551234".into(), service: "textsecure".into(), words: None };
        assert!(!format!("{what:?}").contains("1800"));
    }
}
