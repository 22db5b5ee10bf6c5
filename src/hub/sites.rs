//! Sites: where personas are welcomed. Each belongs to a persona of its owner, by which people know it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Error, Refusal, names, sauces, spaces, within};
use crate::App;
use crate::config::Mode;
use crate::crypto::random_below;
use crate::db::{DbError, GenericClient, Row, Transaction};
use crate::homing::{Persona, fingerprint, ids};

/// Sites of one space at the most that are not revoked.
const MOST: i64 = 50;
/// Endpoints of one site at the most.
const ENDPOINTS: usize = 10;
/// Longest URL, in bytes.
const LONGEST_URL: usize = 500;
/// Letters of a scope prefix.
const PREFIX: usize = 6;

/// Whom a fingerprint is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FingerprintMode {
    /// This site: nobody else can compare.
    #[default]
    Site = 1,
    /// All sites of the same owner.
    Merchant = 2,
    /// Everybody, as the original had it.
    Global = 3,
}

/// What one-time passwords are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OtpAlg {
    /// `crypto_auth`.
    #[default]
    Hmac = 1,
    /// The original's MD5 as well, where the request says so.
    Md5 = 2,
}

/// A site that somebody wants.
pub struct Wanted {
    /// Of the owner's.
    pub persona: Persona,
    /// What people are shown.
    pub name: String,
    /// Where they may be sent.
    pub endpoints: Vec<String>,
    /// Whom its fingerprints are for.
    pub fingerprint_mode: FingerprintMode,
    /// What one-time passwords it makes.
    pub otp_alg: OtpAlg,
}

/// A site.
#[derive(Debug, Clone)]
pub struct Site {
    /// `hst_…`.
    pub id: String,
    /// Its owner's space.
    pub space: Uuid,
    /// Its persona.
    pub persona: String,
    /// What people are shown.
    pub name: String,
    /// What scopes of its own begin with, before an underscore.
    pub scope_prefix: String,
    /// Whom its fingerprints are for.
    pub fingerprint_mode: FingerprintMode,
    /// What one-time passwords it makes.
    pub otp_alg: OtpAlg,
    /// None: without end.
    pub trial_ends_at: Option<Timestamp>,
    /// Since when.
    pub created_at: Timestamp,
    /// Since when not any more.
    pub revoked_at: Option<Timestamp>,
    /// Its owner has given it up.
    pub deleted: bool,
    /// Where its users may be sent.
    pub endpoints: Vec<String>,
    /// Its persona's.
    pub sign_pk: [u8; 32],
    /// Its persona's.
    pub box_pk: [u8; 32],
}

const CREATE: &str = "/* hub::sites::create */
insert into hub_sites (id, space_id, persona, name, scope_prefix, fingerprint_mode, otp_alg, trial_ends_at, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing";

const OWNED: &str = "/* hub::sites::create (persona) */
select (select count(*) from hub_sites s where s.space_id = $2 and s.revoked_at is null)
from hub_personas p where p.name = $1 and p.space_id = $2 and p.deleted_at is null for update";

const ENDPOINT: &str = "/* hub::sites::create (endpoints) */
insert into hub_endpoints (site_id, url) select distinct $1, u from unnest($2::text[]) as g (u)";

macro_rules! select {
    ($name:literal, $rest:literal) => {
        concat!(
            "/* hub::sites::",
            $name,
            " */
select s.id, s.space_id, s.persona, s.name, s.scope_prefix, s.fingerprint_mode, s.otp_alg, s.trial_ends_at, s.created_at,
       s.revoked_at, array(select e.url from hub_endpoints e where e.site_id = s.id order by e.url), p.sign_pk, p.box_pk, s.deleted
from hub_sites s join hub_personas p on p.name = s.persona ",
            $rest
        )
    };
}

const FIND: &str = select!("find", "where s.id = $1");
const OF_SPACE: &str = select!("list", "where s.space_id = $1 and not s.deleted order by s.created_at, s.id");
const ALL: &str = select!("page", "where ($1::text is null or s.id > $1) order by s.id limit $2");

const DELETE: &str = "/* hub::sites::delete */
update hub_sites set revoked_at = coalesce(revoked_at, $3), deleted = true where id = $1 and space_id = $2 and not deleted
returning id";

const REVOKE_OF: &str = "/* hub::sites::revoke_of */
update hub_sites set revoked_at = coalesce(revoked_at, $2), deleted = true where persona = $1 and not deleted
returning id";

impl FingerprintMode {
    fn from_number(number: i16) -> Option<Self> {
        [Self::Site, Self::Merchant, Self::Global].into_iter().find(|mode| *mode as i16 == number)
    }
}

impl OtpAlg {
    fn from_number(number: i16) -> Option<Self> {
        [Self::Hmac, Self::Md5].into_iter().find(|alg| *alg as i16 == number)
    }
}

impl Site {
    /// Whether its trial is over at that time.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.trial_ends_at.is_some_and(|end| end <= now)
    }

    /// In a word.
    pub fn state(&self, now: Timestamp) -> &'static str {
        match self.revoked_at {
            Some(_) => "revoked",
            None if self.is_over(now) => "trial-ended",
            None => "active",
        }
    }

    /// What fingerprints for it are made of, besides the space: those of two sectors cannot be compared.
    pub(super) fn sector(&self) -> String {
        match self.fingerprint_mode {
            FingerprintMode::Site => self.id.clone(),
            FingerprintMode::Merchant => format!("merchant:{}", self.space),
            FingerprintMode::Global => fingerprint::GLOBAL.into(),
        }
    }
}

/// Makes a site; answers it with its first sauce.
pub async fn create(app: &App, space: Uuid, wanted: &Wanted) -> Result<(Site, Zeroizing<String>), Error> {
    if !names::is_name(&wanted.name) {
        return Err(Refusal::BadRequest("name must be 1 to 60 printable characters of ASCII").into());
    }
    check_endpoints(app, &wanted.endpoints)?;
    // Names are claimed for good, so those that are given up count as well.
    within(app, "hub-sites", &space.to_string(), app.config.homing.hub.sites_per_space).await?;
    let (now, days) = (app.clock.now(), app.config.homing.hub.trial_days);
    let trial = std::time::Duration::from_secs(u64::from(days) * 86_400);
    let trial_ends_at = (days > 0).then(|| now + trial);
    let (id, prefix, persona) = (ids::site(), prefix(), wanted.persona.as_str());
    let (mode, alg) = (wanted.fingerprint_mode as i16, wanted.otp_alg as i16);
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    spaces::lock(&tx, space).await?;
    let owned = tx.prepare_cached(OWNED).await?;
    let row = tx.query_opt(&owned, &[&persona, &space]).await?.ok_or(Refusal::NotFound)?;
    if row.get::<_, i64>(0) >= MOST {
        return Err(Refusal::Full.into());
    }
    names::claim(&tx, space, &[persona, &wanted.name]).await?;
    let create = tx.prepare_cached(CREATE).await?;
    let made =
        tx.execute(&create, &[&id, &space, &persona, &wanted.name, &prefix, &mode, &alg, &trial_ends_at, &now]).await?;
    if made == 0 {
        // A prefix that exists, of millions: the next try has another.
        return Err(Refusal::RateLimited(None).into());
    }
    let endpoint = tx.prepare_cached(ENDPOINT).await?;
    tx.execute(&endpoint, &[&id, &wanted.endpoints]).await?;
    let sauce = sauces::make(&tx, app, &id).await?;
    let site = find_in(&tx, &id).await?.ok_or(DbError::Stored("site"))?;
    tx.commit().await?;
    Ok((site, sauce))
}

/// The site of that id.
pub async fn find(app: &App, id: &str) -> Result<Option<Site>, DbError> {
    if !ids::is_site(id) {
        return Ok(None);
    }
    let row = app.db.row(FIND, &[&id]).await?;
    row.as_ref().map(read).transpose()
}

/// A space's own site.
pub async fn own(app: &App, space: Uuid, id: &str) -> Result<Site, Error> {
    let found = find(app, id).await?.filter(|site| site.space == space && !site.deleted);
    Ok(found.ok_or(Refusal::NotFound)?)
}

/// All of a space, revoked ones too, oldest first.
pub async fn list(app: &App, space: Uuid) -> Result<Vec<Site>, DbError> {
    app.db.rows(OF_SPACE, &[&space]).await?.iter().map(read).collect()
}

/// All sites behind an id, by id.
pub async fn page(app: &App, after: Option<&str>, limit: i64) -> Result<Vec<Site>, DbError> {
    app.db.rows(ALL, &[&after, &limit]).await?.iter().map(read).collect()
}

/// Gives a site of that space up, with its sauces: nobody is welcomed there from now on. False: there is none.
pub async fn delete(app: &App, space: Uuid, id: &str) -> Result<bool, DbError> {
    if !ids::is_site(id) {
        return Ok(false);
    }
    let (now, mut client) = (app.clock.now(), app.db.client().await?);
    let tx = client.transaction().await?;
    let delete = tx.prepare_cached(DELETE).await?;
    let gone = tx.query(&delete, &[&id, &space, &now]).await?;
    sauces::end(&tx, &gone, now).await?;
    tx.commit().await?;
    Ok(!gone.is_empty())
}

/// The sites of a persona that is deleted.
pub(super) async fn revoke_of(tx: &Transaction<'_>, persona: &str, now: Timestamp) -> Result<(), DbError> {
    let revoke = tx.prepare_cached(REVOKE_OF).await?;
    let gone = tx.query(&revoke, &[&persona, &now]).await?;
    sauces::end(tx, &gone, now).await
}

async fn find_in(client: &impl GenericClient, id: &str) -> Result<Option<Site>, DbError> {
    let statement = client.prepare_cached(FIND).await?;
    let row = client.query_opt(&statement, &[&id]).await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<Site, DbError> {
    let stored = || DbError::Stored("site");
    Ok(Site {
        id: row.get(0),
        space: row.get(1),
        persona: row.get(2),
        name: row.get(3),
        scope_prefix: row.get(4),
        fingerprint_mode: FingerprintMode::from_number(row.get(5)).ok_or_else(stored)?,
        otp_alg: OtpAlg::from_number(row.get(6)).ok_or_else(stored)?,
        trial_ends_at: row.get(7),
        created_at: row.get(8),
        revoked_at: row.get(9),
        deleted: row.get(13),
        endpoints: row.get(10),
        sign_pk: row.get::<_, &[u8]>(11).try_into().map_err(|_| stored())?,
        box_pk: row.get::<_, &[u8]>(12).try_into().map_err(|_| stored())?,
    })
}

/// Letters only, so that it needs no escaping anywhere.
fn prefix() -> String {
    (0..PREFIX).map(|_| char::from(b'a' + random_below(26) as u8)).collect()
}

fn check_endpoints(app: &App, endpoints: &[String]) -> Result<(), Error> {
    if !(1..=ENDPOINTS).contains(&endpoints.len()) {
        return Err(Refusal::BadRequest("endpoints must be 1 to 10 URLs").into());
    }
    if endpoints.iter().all(|endpoint| is_endpoint(endpoint, app.config.mode)) {
        return Ok(());
    }
    Err(Refusal::BadRequest("an endpoint must be https://host/path, without user, query and fragment").into())
}

/// As it is written it is called: https of a host; plain http of this machine in development.
fn is_endpoint(text: &str, mode: Mode) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let scheme = url.scheme() == "https" || url.scheme() == "http" && here && mode == Mode::Development;
    let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let plain = text.len() <= LONGEST_URL && text.bytes().all(|byte| byte.is_ascii_graphic());
    // Nothing that a browser would read otherwise than this.
    let literal = url.as_str() == text || url.as_str() == format!("{text}/");
    scheme
        && bare
        && plain
        && literal
        && url.fragment().is_none()
        && url.host_str().is_some_and(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_what_they_look_like() {
        for (url, production, development) in [
            ("https://shop.example/homing/endpoint", true, true),
            ("https://shop.example:8443/x", true, true),
            ("https://shop.example", true, true),
            ("http://127.0.0.1:8080/endpoint", false, true),
            ("http://localhost/endpoint", false, true),
            ("http://shop.example/endpoint", false, false),
            ("https://shop.example/x?y=1", false, false),
            ("https://shop.example/x#y", false, false),
            ("https://ann@shop.example/x", false, false),
            ("https://SHOP.example/x", false, false),
            ("https://shop.example/a/../b", false, false),
            ("https://shop.example\\@evil.example/", false, false),
            ("javascript:alert(1)", false, false),
            ("https://sh\u{f6}p.example/x", false, false),
            ("/endpoint", false, false),
            ("", false, false),
        ] {
            assert_eq!(is_endpoint(url, Mode::Production), production, "{url}");
            assert_eq!(is_endpoint(url, Mode::Development), development, "{url}");
        }
        assert!(!is_endpoint(&format!("https://shop.example/{}", "x".repeat(500)), Mode::Production));
    }
}
