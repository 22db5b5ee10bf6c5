//! Welcomes that wait, as merchants and as those who are asked see them; and their end, when nobody says anything.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::welcomes::Leads;
use super::{Error, Hub, Refusal, secrets, sites, spaces};
use crate::App;
use crate::crypto::Purpose;
use crate::db::{DbError, Row};
use crate::homing::{ids, signed};

/// Welcomes that wait for one space, at the most that are shown.
const SHOWN: i64 = 50;
/// How far a merchant's clock may be off when it asks how a welcome stands, in seconds.
const SKEW: i64 = 60;
/// How long what is over can still be asked for.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How a welcome stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody has said anything yet.
    Pending = 0,
    /// Approved: the browser has left for the merchant.
    Released = 1,
    /// Refused.
    Denied = 2,
    /// Nobody said anything in time.
    Expired = 3,
}

/// A welcome in an inbox.
pub struct Waiting {
    /// Its id.
    pub challenge: String,
    /// Who is asked.
    pub persona: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

/// A welcome as its space sees it.
pub struct Challenge {
    /// Its id.
    pub challenge: String,
    /// Who is asked.
    pub persona: String,
    /// What only the persona can open.
    pub sealed: Vec<u8>,
    /// How it stands.
    pub state: State,
    /// Until when.
    pub expires_at: Timestamp,
}

const INBOX: &str = "/* hub::challenges::inbox */
select id, username, created_at, expires_at from hub_challenges
where space_id = $1 and state = 0 and expires_at > $2 order by created_at, id limit $3";

const FIND: &str = "/* hub::challenges::find */
select id, username, sealed, state, expires_at from hub_challenges where id = $1 and space_id = $2";

const STATUS: &str = "/* hub::challenges::status */
select state, expires_at from hub_challenges where id = $1 and site_id = $2";

const LEADS: &str = "/* hub::challenges::leads_to */
select release from hub_challenges where id = $1 and release is not null";

const EXPIRE: &str = "/* hub::challenges::expire */
with over as (
    select id, site_id, (expires_at at time zone 'UTC')::date as day from hub_challenges
    where id = any (array(select id from hub_challenges where state = 0 and expires_at <= $1 order by expires_at limit 1000))
        and state = 0
    order by id for update
), ended as (
    update hub_challenges c set state = 3, release = null, decided_at = $1 from over where c.id = over.id
)
insert into hub_stats as s (site_id, day, expired) select site_id, day, count(*)::int4 from over group by site_id, day order by 1, 2
on conflict (site_id, day) do update set expired = s.expired + excluded.expired";

const PURGE: &str = "/* hub::challenges::purge */
delete from hub_challenges where id = any (array(
    select id from hub_challenges where expires_at <= $1 order by expires_at limit 1000))";

impl State {
    /// As others read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Released => "released",
            Self::Denied => "denied",
            Self::Expired => "expired",
        }
    }

    pub(super) fn at(number: i16, expires_at: Timestamp, now: Timestamp) -> Self {
        match number {
            1 => Self::Released,
            2 => Self::Denied,
            0 if now < expires_at => Self::Pending,
            _ => Self::Expired,
        }
    }
}

/// How a welcome stands, to the site that asked for it and signs that it asks.
pub async fn status(app: &App, site: &str, id: &str, ts: i64, sig: &str) -> Result<(State, Timestamp), Error> {
    if !ids::is_challenge(id) {
        return Err(Refusal::NotFound.into());
    }
    let now = app.clock.now();
    let site = sites::find(app, site).await?.ok_or(Refusal::NotFound)?;
    if !spaces::is_signed(&signed::status(&site.id, id, ts), sig, &site.sign_pk) {
        return Err(Refusal::BadSignature.into());
    }
    if now.as_second().saturating_sub(ts).saturating_abs() > SKEW {
        return Err(Refusal::ClockSkew.into());
    }
    let row = app.db.row(STATUS, &[&id, &site.id]).await?.ok_or(Refusal::NotFound)?;
    let expires_at = row.get(1);
    Ok((State::at(row.get(0), expires_at, now), expires_at))
}

/// What waits for a space, oldest first.
pub async fn inbox(app: &App, space: Uuid) -> Result<Vec<Waiting>, DbError> {
    let rows = app.db.rows(INBOX, &[&space, &app.clock.now(), &SHOWN]).await?;
    let read = |row: &Row| Waiting {
        challenge: row.get(0),
        persona: row.get(1),
        created_at: row.get(2),
        expires_at: row.get(3),
    };
    Ok(rows.iter().map(read).collect())
}

/// The same; waits up to so long for something that is not `known`. Dropping it gives it up.
pub async fn wait(hub: &Hub, space: Uuid, known: &HashSet<String>, wait: Duration) -> Result<Vec<Waiting>, DbError> {
    let deadline = tokio::time::Instant::now() + wait;
    // Before the first look: what comes after it is heard.
    let mut bell = hub.bell.wait(space);
    loop {
        let found = inbox(&hub.app, space).await?;
        let news = found.iter().any(|waiting| !known.contains(&waiting.challenge));
        if news || tokio::time::timeout_at(deadline, bell.something()).await.is_err() {
            return Ok(found);
        }
    }
}

/// One of a space's welcomes.
pub async fn find(app: &App, space: Uuid, id: &str) -> Result<Challenge, Error> {
    if !ids::is_challenge(id) {
        return Err(Refusal::NotFound.into());
    }
    let row = app.db.row(FIND, &[&id, &space]).await?.ok_or(Refusal::NotFound)?;
    let expires_at = row.get(4);
    Ok(Challenge {
        challenge: row.get(0),
        persona: row.get(1),
        sealed: row.get(2),
        state: State::at(row.get(3), expires_at, app.clock.now()),
        expires_at,
    })
}

/// The endpoint that a welcome leads to; none when it is over, or there is none.
pub async fn leads_to(app: &App, id: &str) -> Result<Option<String>, Error> {
    if !ids::is_challenge(id) {
        return Ok(None);
    }
    let Some(row) = app.db.row(LEADS, &[&id]).await? else { return Ok(None) };
    let plain = app.keys.open(Purpose::Homing, &secrets::place("hub_challenges", id), row.get(0))?;
    let leads: Leads = serde_json::from_slice(&plain).map_err(|_| DbError::Stored("welcome"))?;
    Ok(Some(leads.endpoint))
}

/// Ends up to 1,000 welcomes that nobody decided, counts them, and forgets up to 1,000 that are long over; returns how many ended.
pub(super) async fn expire(app: &App) -> Result<u64, DbError> {
    let now = app.clock.now();
    let ended = app.db.execute(EXPIRE, &[&now]).await?;
    app.db.execute(PURGE, &[&(now - KEPT)]).await?;
    Ok(ended)
}
