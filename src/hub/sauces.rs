//! Secret sauces: what a site's one-time passwords are made with. A rotated one is good for a while beside the new one.

use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Error, Refusal, secrets};
use crate::App;
use crate::crypto::Purpose;
use crate::db::{DbError, Row, Transaction};
use crate::homing::otp::Sauce;

/// So many are good at once: who rotates more often waits, or drops the old ones.
const LIVE: i64 = 4;

const MAKE: &str = "/* hub::sauces::make */
insert into hub_sauces (id, site_id, secret, created_at) values ($1, $2, $3, $4)";

/// A statement of its own: what a statement counts is what there was when it began to wait.
const LOCK: &str = "/* hub::sauces::rotate (lock) */
select id from hub_sites where id = $1 and not deleted for update";

const LIVING: &str = "/* hub::sauces::rotate (count) */
select count(*) from hub_sauces where site_id = $1 and (not_after is null or not_after > $2)";

const END: &str = "/* hub::sauces::end */
update hub_sauces set not_after = $2 where site_id = any ($1::text[]) and (not_after is null or not_after > $2)";

const GOOD: &str = "/* hub::sauces::good */
select id, secret from hub_sauces where site_id = $1 and (not_after is null or not_after > $2) order by created_at desc";

const PURGE: &str = "/* hub::sauces::purge */
delete from hub_sauces where id = any (array(
    select id from hub_sauces where not_after is not null and not_after <= $1 order by not_after limit 1000))";

/// A new one, beside what there is.
pub(super) async fn make(tx: &Transaction<'_>, app: &App, site: &str) -> Result<Zeroizing<String>, DbError> {
    let (id, sauce) = (app.new_id(), Sauce::generate());
    let sealed = app.keys.seal(Purpose::Homing, &secrets::place("hub_sauces", &id.to_string()), sauce.bytes());
    let make = tx.prepare_cached(MAKE).await?;
    tx.execute(&make, &[&id, &site, &sealed, &app.clock.now()]).await?;
    Ok(sauce.text())
}

/// A new one for a site of that space. The old ones are good for `homing.hub.sauce_overlap`, or not at all any more.
pub async fn rotate(app: &App, site: &str, at_once: bool) -> Result<Zeroizing<String>, Error> {
    let now = app.clock.now();
    let overlap = app.config.homing.hub.sauce_overlap.duration();
    let until: Timestamp = if at_once { now } else { now + overlap };
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    let lock = tx.prepare_cached(LOCK).await?;
    let locked = tx.query_opt(&lock, &[&site]).await?.ok_or(Refusal::NotFound)?;
    let living = tx.prepare_cached(LIVING).await?;
    let row = tx.query_one(&living, &[&site, &now]).await?;
    if row.get::<_, i64>(0) >= LIVE && !at_once {
        return Err(Refusal::Full.into());
    }
    end(&tx, &[locked], until).await?;
    let sauce = make(&tx, app, site).await?;
    tx.commit().await?;
    Ok(sauce)
}

/// Those of these sites are good until then at the longest. The rows begin with the sites' ids, and are locked.
pub(super) async fn end(tx: &Transaction<'_>, sites: &[Row], until: Timestamp) -> Result<(), DbError> {
    let sites: Vec<&str> = sites.iter().map(|row| row.get(0)).collect();
    let end = tx.prepare_cached(END).await?;
    tx.execute(&end, &[&sites, &until]).await?;
    Ok(())
}

/// Those that are good now, newest first.
pub(super) async fn good(app: &App, site: &str) -> Result<Vec<Sauce>, Error> {
    let rows = app.db.rows(GOOD, &[&site, &app.clock.now()]).await?;
    let open = |row: &Row| {
        let place = secrets::place("hub_sauces", &row.get::<_, Uuid>(0).to_string());
        let plain = app.keys.open(Purpose::Homing, &place, row.get(1))?;
        let bytes = plain.as_slice().try_into().map_err(|_| DbError::Stored("sauce"))?;
        Ok(Sauce::from_bytes(bytes))
    };
    rows.iter().map(open).collect()
}

/// Removes up to 1,000 that have had their time; returns how many.
pub(super) async fn purge(app: &App) -> Result<u64, DbError> {
    app.db.execute(PURGE, &[&app.clock.now()]).await
}
