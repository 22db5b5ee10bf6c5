//! Personas: names that are unique on the hub, seven to a space, and nobody's again once they are deleted.

use std::net::IpAddr;

use jiff::Timestamp;
use uuid::Uuid;

use super::{Error, Refusal, names, sites, stats, within, within_of};
use crate::App;
use crate::db::{DbError, Row, Transaction};
use crate::homing::Persona as Name;

/// Personas of one space at the most.
pub const MOST: i64 = 7;

/// Names of one space in its life: they are nobody's again, so no space may use up many.
const MOST_EVER: i64 = 50;

/// A persona as its owner sees it.
pub struct Persona {
    /// Its name.
    pub name: String,
    /// One of seven places.
    pub slot: i16,
    /// Under which its keys are derived.
    pub index: i64,
    /// Since when.
    pub created_at: Timestamp,
}

/// A persona that somebody wants.
pub struct Wanted<'a> {
    /// Checked.
    pub name: &'a Name,
    /// The next one of the space.
    pub index: i64,
    /// To which welcomes are sealed.
    pub box_pk: [u8; 32],
    /// With which decisions are signed.
    pub sign_pk: [u8; 32],
}

const LOCK: &str = "/* hub::personas::create (lock) */
select next_index, array(select p.slot from hub_personas p where p.space_id = s.id and p.slot is not null)
from hub_spaces s where s.id = $1 for update";

const CREATE: &str = "/* hub::personas::create */
insert into hub_personas (name, space_id, slot, index, box_pk, sign_pk, created_at) values ($1, $2, $3, $4, $5, $6, $7)
on conflict do nothing";

const NEXT: &str = "/* hub::personas::create (index) */
update hub_spaces set next_index = $2::int8 + 1 where id = $1";

const LIST: &str = "/* hub::personas::list */
select name, slot, index, created_at from hub_personas where space_id = $1 and deleted_at is null order by slot";

const NEXT_INDEX: &str = "/* hub::personas::next_index */
select next_index from hub_spaces where id = $1";

const DELETE: &str = "/* hub::personas::delete */
update hub_personas set slot = null, deleted_at = $3 where name = $1 and space_id = $2 and deleted_at is null";

const SILENCE: &str = "/* hub::personas::delete (welcomes) */
with silenced as (
    update hub_challenges set state = 2, release = null, decided_at = $3
    where username = $1 and space_id = $2 and state = 0 and expires_at > $3
    returning site_id
)
insert into hub_stats as s (site_id, day, denied) select site_id, $4, count(*)::int4 from silenced group by site_id order by 1
on conflict (site_id, day) do update set denied = s.denied + excluded.denied";

/// Takes a name. Tries count, since each tells whether somebody has the name.
pub async fn create(app: &App, space: Uuid, ip: IpAddr, wanted: &Wanted<'_>) -> Result<Persona, Error> {
    let name = wanted.name.as_str();
    if app.config.homing.hub.reserved.iter().any(|reserved| names::skeleton(reserved) == names::skeleton(name)) {
        return Err(Refusal::BadUsername.into());
    }
    let limits = &app.config.homing.hub;
    within(app, "hub-personas", &space.to_string(), limits.personas_per_space).await?;
    within_of(app, "hub-personas-ip", ip, limits.personas_per_ip).await?;
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    // Of one space, one after the other.
    let lock = tx.prepare_cached(LOCK).await?;
    let row = tx.query_opt(&lock, &[&space]).await?.ok_or(Refusal::SignedOut)?;
    let (next, taken): (i64, Vec<i16>) = (row.get(0), row.get(1));
    let slot = (1..=MOST as i16).find(|slot| !taken.contains(slot)).ok_or(Refusal::Full)?;
    if next > MOST_EVER {
        return Err(Refusal::Full.into());
    }
    if wanted.index != next {
        return Err(Refusal::BadIndex.into());
    }
    if names::is_anothers(&tx, space, name).await? {
        return Err(Refusal::Taken.into());
    }
    let (create, now) = (tx.prepare_cached(CREATE).await?, app.clock.now());
    let keys = (wanted.box_pk.as_slice(), wanted.sign_pk.as_slice());
    let made = tx.execute(&create, &[&name, &space, &slot, &next, &keys.0, &keys.1, &now]).await?;
    if made == 0 {
        return Err(Refusal::Taken.into());
    }
    let advance = tx.prepare_cached(NEXT).await?;
    tx.execute(&advance, &[&space, &next]).await?;
    tx.commit().await?;
    Ok(Persona { name: name.to_owned(), slot, index: next, created_at: now })
}

/// Those of a space, and the index of the next one.
pub async fn list(app: &App, space: Uuid) -> Result<(Vec<Persona>, i64), DbError> {
    let rows = app.db.rows(LIST, &[&space]).await?;
    let next = app.db.row(NEXT_INDEX, &[&space]).await?.map_or(1, |row| row.get(0));
    let read = |row: &Row| Persona { name: row.get(0), slot: row.get(1), index: row.get(2), created_at: row.get(3) };
    Ok((rows.iter().map(read).collect(), next))
}

/// Gives a persona up: its sites are revoked, what waits for it is denied, and nobody has its name again.
pub async fn delete(app: &App, space: Uuid, name: &Name) -> Result<(), Error> {
    let (name, now) = (name.as_str(), app.clock.now());
    let mut client = app.db.client().await?;
    let tx: Transaction<'_> = client.transaction().await?;
    let delete = tx.prepare_cached(DELETE).await?;
    if tx.execute(&delete, &[&name, &space, &now]).await? == 0 {
        return Err(Refusal::NotFound.into());
    }
    sites::revoke_of(&tx, name, now).await?;
    let silence = tx.prepare_cached(SILENCE).await?;
    tx.execute(&silence, &[&name, &space, &now, &stats::day(now)]).await?;
    tx.commit().await?;
    Ok(())
}
