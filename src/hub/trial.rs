//! What operators say about a site: how long it may be used, and whether at all.

use jiff::Timestamp;

use crate::App;
use crate::db::DbError;

/// What is to change; none: it stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change {
    /// A new end of its trial; `Some(None)`: it has none.
    pub trial_ends_at: Option<Option<Timestamp>>,
    /// Whether it is taken back.
    pub revoked: Option<bool>,
}

/// A site comes back only while its persona is there.
const SET: &str = "/* hub::trial::change */
update hub_sites s
set trial_ends_at = case when $2::bool then $3 else trial_ends_at end,
    revoked_at = case when $4::bool is null then revoked_at when $4 then coalesce(revoked_at, $5) end
where id = $1 and ($4::bool is distinct from false
    or exists (select from hub_personas p where p.name = s.persona and p.deleted_at is null))";

/// Changes a site. False: there is none, or it is to come back and its persona is gone.
pub async fn change(app: &App, site: &str, change: Change) -> Result<bool, DbError> {
    let (sets, end) = (change.trial_ends_at.is_some(), change.trial_ends_at.flatten());
    Ok(app.db.execute(SET, &[&site, &sets, &end, &change.revoked, &app.clock.now()]).await? == 1)
}
