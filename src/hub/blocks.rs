//! Who keeps saying no to a site is left alone: somebody who may ask often enough hopes for the one time that a tired person says yes.

use std::time::Duration;

use crate::App;
use crate::db::{DbError, GenericClient};

/// How long a persona hears nothing of a site, and how long a denial counts.
const HOUR: Duration = Duration::from_secs(3600);

const NOTE: &str = "/* hub::blocks::denied */
insert into hub_blocks as b (persona, site_id, denials, denied_at, until)
values ($1, $2, 1, $3, case when $5 <= 1 then $6::timestamptz end)
on conflict (persona, site_id) do update
set denials = case when b.denied_at <= $4 then 1 else b.denials + 1 end, denied_at = excluded.denied_at,
    until = case when (case when b.denied_at <= $4 then 1 else b.denials + 1 end) >= $5 then $6 else b.until end";

const FORGET: &str = "/* hub::blocks::approved */
delete from hub_blocks where persona = $1 and site_id = $2";

const IS: &str = "/* hub::blocks::is_blocked */
select 1 from hub_blocks where persona = $1 and site_id = $2 and until > $3";

const PURGE: &str = "/* hub::blocks::purge */
delete from hub_blocks where ctid = any (array(
    select ctid from hub_blocks where denied_at <= $1 and (until is null or until <= $2) order by denied_at limit 1000))";

/// Somebody said no.
pub(super) async fn denied(client: &impl GenericClient, app: &App, persona: &str, site: &str) -> Result<(), DbError> {
    let now = app.clock.now();
    let most = i32::try_from(app.config.homing.hub.denials).unwrap_or(i32::MAX);
    let statement = client.prepare_cached(NOTE).await?;
    client.execute(&statement, &[&persona, &site, &now, &(now - HOUR), &most, &(now + HOUR)]).await?;
    Ok(())
}

/// Somebody said yes: the site is welcome again.
pub(super) async fn approved(client: &impl GenericClient, persona: &str, site: &str) -> Result<(), DbError> {
    let statement = client.prepare_cached(FORGET).await?;
    client.execute(&statement, &[&persona, &site]).await?;
    Ok(())
}

/// Whether this persona, if there is one, is to hear nothing of the site now.
pub(super) async fn is_blocked(app: &App, persona: &str, site: &str) -> Result<bool, DbError> {
    Ok(app.db.row(IS, &[&persona, &site, &app.clock.now()]).await?.is_some())
}

/// Removes up to 1,000 that count no more; returns how many.
pub(super) async fn purge(app: &App) -> Result<u64, DbError> {
    let now = app.clock.now();
    app.db.execute(PURGE, &[&(now - HOUR), &now]).await
}
