//! Who is who. A persona leads to its account; a new persona with a known fingerprint is the policy's to judge.

use jiff::Timestamp;
use uuid::Uuid;

use super::Error;
use super::arrival::Checked;
use crate::App;
use crate::config::homing::Policy;
use crate::crypto::Purpose;
use crate::db::{DbError, Transaction};

/// Somebody, as the merchant knows them.
#[derive(Clone)]
pub struct Account {
    /// Its id.
    pub id: Uuid,
    /// The fingerprint as it last came. Personal data: for the merchant's application, never for other users.
    pub f_in_g: String,
    /// Since when it is known.
    pub created_at: Timestamp,
    /// What the user said, by scope. Nobody verified it.
    pub claims: Vec<(String, String)>,
}

impl std::fmt::Debug for Account {
    // Fingerprint and claims never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({})", self.id)
    }
}

/// Who arrived.
pub(super) enum Found {
    /// This account; whether it was made just now.
    Account(Account, bool),
    /// Somebody known under another persona, and the policy says no.
    Refused,
}

const LOCK: &str = "/* gateway::accounts::lock */
select pg_advisory_xact_lock(hashtextextended($1, 5))";

const OF_PERSONA: &str = "/* gateway::accounts::of_persona */
select a.id, a.created_at from hs_account_personas p join hs_accounts a on a.id = p.account_id where p.username = $1";

const OF_FINGERPRINT: &str = "/* gateway::accounts::of_fingerprint */
select id, created_at from hs_accounts where f_in_g = $1 order by created_at, id limit 1";

const CREATE: &str = "/* gateway::accounts::create */
insert into hs_accounts (id, f_in_g, created_at, last_login_at) values ($1, $2, $3, $3)";

const NAME: &str = "/* gateway::accounts::name */
insert into hs_account_personas (username, account_id, created_at) values ($1, $2, $3)";

const SEEN: &str = "/* gateway::accounts::seen */
update hs_accounts set f_in_g = $2, last_login_at = $3 where id = $1";

const CLAIM: &str = "/* gateway::accounts::claim */
insert into hs_claims (account_id, scope, value, updated_at) select $1, scope, value, $4 from unnest($2::text[], $3::bytea[]) as new (scope, value)
on conflict (account_id, scope) do update set value = excluded.value, updated_at = excluded.updated_at";

const CLAIMS: &str = "/* gateway::accounts::claims */
select scope, value from hs_claims where account_id = $1 order by scope";

/// The account of who arrived, made if need be, with what was said stored.
pub(super) async fn sign_in(tx: &Transaction<'_>, app: &App, arrived: &Checked) -> Result<Found, DbError> {
    // Two personas of one space that come for the first time at once must not become two accounts.
    tx.query_one(LOCK, &[&arrived.f_in_g]).await?;
    let now = app.clock.now();
    let of_persona = tx.query_opt(OF_PERSONA, &[&arrived.username]).await?;
    let (account, new_name) = match of_persona {
        Some(row) => (Some((row.get(0), row.get(1))), false),
        None => {
            let known = tx.query_opt(OF_FINGERPRINT, &[&arrived.f_in_g]).await?;
            match (app.config.homing.gateway.policy, known) {
                (Policy::Reject, Some(_)) => return Ok(Found::Refused),
                (Policy::Link, Some(row)) => (Some((row.get(0), row.get(1))), true),
                (Policy::Allow, _) | (_, None) => (None, true),
            }
        }
    };
    let is_new = account.is_none();
    let (id, created_at): (Uuid, Timestamp) = account.unwrap_or_else(|| (app.new_id(), now));
    if is_new {
        tx.execute(CREATE, &[&id, &arrived.f_in_g, &now]).await?;
    } else {
        tx.execute(SEEN, &[&id, &arrived.f_in_g, &now]).await?;
    }
    if new_name {
        tx.execute(NAME, &[&arrived.username, &id, &now]).await?;
    }
    store(tx, app, id, &arrived.claims).await?;
    let (f_in_g, claims) = (arrived.f_in_g.clone(), arrived.claims.clone());
    Ok(Found::Account(Account { id, f_in_g, created_at, claims }, is_new))
}

async fn store(tx: &Transaction<'_>, app: &App, id: Uuid, claims: &[(String, String)]) -> Result<(), DbError> {
    if claims.is_empty() {
        return Ok(());
    }
    let sealed = claims
        .iter()
        .map(|(scope, value)| (scope.as_str(), app.keys.seal(Purpose::Homing, &context(id, scope), value.as_bytes())));
    let (scopes, values): (Vec<&str>, Vec<Vec<u8>>) = sealed.unzip();
    tx.execute(CLAIM, &[&id, &scopes, &values, &app.clock.now()]).await?;
    Ok(())
}

/// What an account's user said, by scope.
pub(super) async fn claims(app: &App, id: Uuid) -> Result<Vec<(String, String)>, Error> {
    let open = |row: &crate::db::Row| {
        let scope: String = row.get(0);
        let value = app.keys.open(Purpose::Homing, &context(id, &scope), row.get(1))?;
        Ok((scope, String::from_utf8_lossy(&value).into_owned()))
    };
    app.db.rows(CLAIMS, &[&id]).await?.iter().map(open).collect()
}

fn context(account: Uuid, scope: &str) -> Vec<u8> {
    [b"hs_claims", account.as_bytes().as_slice(), scope.as_bytes()].concat()
}
