//! What people say to a welcome. Their persona's key says it; the hub only passes it on.
//!
//! Promises: one decision a welcome, by one conditional statement, whoever and however many try at once; what is granted is what was
//! asked for, mandatory scopes among it, in the merchant's order; the moment of release is the hub's, and signed.

use jiff::Timestamp;
use uuid::Uuid;

use super::challenges::State;
use super::stats::{self, Event};
use super::welcomes::{Leads, may_be_used};
use super::{Error, Hub, Refusal, blocks, secrets, sites, spaces, within};
use crate::crypto::Purpose;
use crate::db::{DbError, Row, Transaction};
use crate::homing::release::Release;
use crate::homing::scopes::{BadGrant, Scopes};
use crate::homing::{fingerprint, ids, signed};

/// Where the browser goes with what was granted.
pub struct Released {
    /// The whole URL, signed.
    pub action: String,
    /// The fields to post there, by the scopes' names.
    pub fields: Vec<String>,
}

/// A welcome that is to be decided.
struct Asked {
    site: String,
    release: Option<Vec<u8>>,
    sign_pk: [u8; 32],
    root_id: String,
}

const FIND: &str = "/* hub::decisions::find */
select c.site_id, c.release, p.sign_pk, s.root_id, c.state, c.expires_at
from hub_challenges c join hub_personas p on p.name = c.username join hub_spaces s on s.id = c.space_id
where c.id = $1 and c.space_id = $2 and c.username = $3";

const DECIDE: &str = "/* hub::decisions::decide */
update hub_challenges set state = $2, release = null, decided_at = $3 where id = $1 and state = 0 and expires_at > $3";

const STATE: &str = "/* hub::decisions::state */
select state, expires_at from hub_challenges where id = $1";

/// Says yes.
pub async fn approve(
    hub: &Hub,
    space: Uuid,
    id: &str,
    persona: &str,
    granted: &str,
    sig: &str,
) -> Result<Released, Error> {
    let (app, now) = (&hub.app, hub.app.clock.now());
    let asked = signed_by(hub, space, id, persona, &signed::approval(id, granted), sig, now).await?;
    let leads = leads(hub, id, &asked)?;
    let scopes = Scopes::parse(&leads.scopes).map_err(|_| DbError::Stored("welcome"))?;
    let names = scopes.check(granted).map_err(|error| match error {
        BadGrant::Missing(_) => Refusal::MissingScope,
        BadGrant::Other => Refusal::ScopeNotAllowed,
    })?;
    let site = sites::find(app, &asked.site).await?.ok_or(DbError::Stored("site"))?;
    may_be_used(&site, now)?;
    let ring = hub.ring().await?;
    let key = ring.signing(now).ok_or(DbError::Stored("hub key"))?;
    let f_in_g = fingerprint::of(ring.fingerprint(), &asked.root_id, &site.sector());
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    decide(&tx, id, State::Released, now).await?;
    stats::note(&tx, &site.id, now, Event::Approved).await?;
    stats::seen(&tx, app, &site.id, now, &f_in_g).await?;
    blocks::approved(&tx, persona, &site.id).await?;
    tx.commit().await?;
    // The moment of release: what the merchant's ten seconds count from.
    let release = Release {
        site: &site.id,
        endpoint: &leads.endpoint,
        query: &leads.query,
        f_in_g: &f_in_g,
        hs_ts: app.clock.unix_seconds(),
        granted,
    };
    let action = release.action(&key.signing());
    Ok(Released { action, fields: names.iter().map(|name| format!("sc_{name}")).collect() })
}

/// Says no.
pub async fn deny(hub: &Hub, space: Uuid, id: &str, persona: &str, sig: &str) -> Result<(), Error> {
    let (app, now) = (&hub.app, hub.app.clock.now());
    let asked = signed_by(hub, space, id, persona, &signed::denial(id), sig, now).await?;
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    decide(&tx, id, State::Denied, now).await?;
    stats::note(&tx, &asked.site, now, Event::Denied).await?;
    blocks::denied(&tx, app, persona, &asked.site).await?;
    Ok(tx.commit().await?)
}

/// The welcome, if it is this space's and this persona's, its persona has signed this, and it is not decided.
async fn signed_by(
    hub: &Hub,
    space: Uuid,
    id: &str,
    persona: &str,
    text: &[u8],
    sig: &str,
    now: Timestamp,
) -> Result<Asked, Error> {
    let app = &hub.app;
    if !ids::is_challenge(id) {
        return Err(Refusal::NotFound.into());
    }
    let row = app.db.row(FIND, &[&id, &space, &persona]).await?.ok_or(Refusal::NotFound)?;
    within(app, "hub-decisions", &space.to_string(), app.config.homing.hub.decisions).await?;
    let (asked, state) = read(&row, now)?;
    if !spaces::is_signed(text, sig, &asked.sign_pk) {
        return Err(Refusal::BadSignature.into());
    }
    undecided(state)?;
    Ok(asked)
}

fn read(row: &Row, now: Timestamp) -> Result<(Asked, State), DbError> {
    let sign_pk = row.get::<_, &[u8]>(2).try_into().map_err(|_| DbError::Stored("persona"))?;
    let asked = Asked { site: row.get(0), release: row.get(1), sign_pk, root_id: row.get(3) };
    Ok((asked, State::at(row.get(4), row.get(5), now)))
}

fn undecided(state: State) -> Result<(), Error> {
    match state {
        State::Pending => Ok(()),
        State::Expired => Err(Refusal::Expired.into()),
        State::Released | State::Denied => Err(Refusal::AlreadyDecided.into()),
    }
}

fn leads(hub: &Hub, id: &str, asked: &Asked) -> Result<Leads, Error> {
    let sealed = asked.release.as_deref().ok_or(DbError::Stored("welcome"))?;
    let plain = hub.app.keys.open(Purpose::Homing, &secrets::place("hub_challenges", id), sealed)?;
    Ok(serde_json::from_slice(&plain).map_err(|_| DbError::Stored("welcome"))?)
}

/// Of any number at once, one gets through.
async fn decide(tx: &Transaction<'_>, id: &str, state: State, now: Timestamp) -> Result<(), Error> {
    let decide = tx.prepare_cached(DECIDE).await?;
    if tx.execute(&decide, &[&id, &(state as i16), &now]).await? == 1 {
        return Ok(());
    }
    let find = tx.prepare_cached(STATE).await?;
    let row = tx.query_opt(&find, &[&id]).await?.ok_or(Refusal::NotFound)?;
    undecided(State::at(row.get(0), row.get(1), now))?;
    Err(Refusal::AlreadyDecided.into())
}
