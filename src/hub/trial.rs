//! What operators say about a site: how long it may be used, and whether at all.

use jiff::Timestamp;

use crate::App;
use crate::db::DbError;
use crate::homing::ids;

/// What is to change; none: it stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change {
    /// A new end of its trial; `Some(None)`: it has none.
    pub trial_ends_at: Option<Option<Timestamp>>,
    /// Whether it is taken back.
    pub revoked: Option<bool>,
}

/// What its owner has given up does not come back.
const SET: &str = "/* hub::trial::change */
update hub_sites
set trial_ends_at = case when $2::bool then $3 else trial_ends_at end,
    revoked_at = case when $4::bool is null then revoked_at when $4 then coalesce(revoked_at, $5) end
where id = $1 and not (deleted and $4::bool is not distinct from false)";

/// Changes a site. False: there is none, or it is to come back and its owner has given it up.
pub async fn change(app: &App, site: &str, change: Change) -> Result<bool, DbError> {
    if !ids::is_site(site) {
        return Ok(false);
    }
    let (sets, end) = (change.trial_ends_at.is_some(), change.trial_ends_at.flatten());
    Ok(app.db.execute(SET, &[&site, &sets, &end, &change.revoked, &app.clock.now()]).await? == 1)
}
