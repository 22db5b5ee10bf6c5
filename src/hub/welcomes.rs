//! A merchant asks for a welcome: every check, in the order of the specification (logins, B.3, "H2").
//!
//! A name that nobody has is answered as one that somebody has: the same statements, something sealed of the same length (to a key
//! that is thrown away), the same row, and no answer before [`FLOOR`] has passed, so that what remains of a difference drowns. The
//! same happens to a site whose welcomes a persona has kept refusing. A request is used up (`n`) only by a welcome that was made.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use super::sites::{OtpAlg, Site};
use super::stats::{self, Event};
use super::{Error, Hub, Refusal, blocks, notices, sauces, secrets, sites, url, within};
use crate::App;
use crate::crypto::sodium::BoxKey;
use crate::crypto::{BoxError, Purpose, same};
use crate::db::{DbError, Transaction};
use crate::homing::otp::{self, Parts};
use crate::homing::scopes::{BadScopes, Scopes};
use crate::homing::welcome::{BadRequest, Envelope, Made, Payload, Request};
use crate::homing::{Persona, decode_exact, ids, query};

/// How far the merchant's clock may be off, in seconds.
const SKEW: i64 = 60;
/// How long a request is remembered.
const SEEN: Duration = Duration::from_secs(600);
/// Longest query, in bytes.
const LONGEST_QUERY: usize = 2000;
/// No welcome is answered sooner than this after it was asked for.
const FLOOR: Duration = Duration::from_millis(60);
/// Names the locks of usernames among PostgreSQL's advisory ones.
const LOCK_CLASS: i32 = 0x6875_6201;

/// Where a welcome leads; sealed until it is decided.
#[derive(Serialize, Deserialize)]
pub(super) struct Leads {
    /// The endpoint.
    pub(super) endpoint: String,
    /// The query, byte for byte.
    pub(super) query: String,
    /// What is asked for.
    pub(super) scopes: String,
}

/// What passed every check.
struct Checked {
    site: Site,
    payload: Payload,
    scopes: Scopes,
    persona: Persona,
    /// The persona hears nothing of this site for now.
    blocked: bool,
}

/// Who is asked.
struct Asked {
    space: Option<Uuid>,
    box_pk: [u8; 32],
}

const FIND: &str = "/* hub::welcomes::asked */
select space_id, box_pk from hub_personas where name = $1 and deleted_at is null";

const HAS_SEEN: &str = "/* hub::welcomes::has_seen */
select 1 from hub_seen where site_id = $1 and n = $2 and expires_at > $3";

const SEE: &str = "/* hub::welcomes::see */
insert into hub_seen as s (site_id, n, expires_at) values ($1, $2, $3)
on conflict (site_id, n) do update set expires_at = excluded.expires_at where s.expires_at <= $4";

const LOCK: &str = "/* hub::welcomes::lock */ select pg_advisory_xact_lock($1, hashtext($2))";

/// Of the site, and of all; what a site that nobody listens to asks counts against itself only.
const PENDING: &str = "/* hub::welcomes::pending */
select count(*) filter (where site_id = $2), count(*), min(expires_at) from hub_challenges
where username = $1 and state = 0 and expires_at > $3
    and (site_id = $2 or space_id is not null or not exists (
        select from hub_blocks b where b.persona = username and b.site_id = hub_challenges.site_id and b.until > $3))";

const STORE: &str = "/* hub::welcomes::store */
insert into hub_challenges (id, site_id, username, space_id, sealed, release, created_at, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, $8)";

const PURGE: &str = "/* hub::welcomes::purge */
delete from hub_seen where ctid = any (array(select ctid from hub_seen where expires_at <= $1 order by expires_at limit 1000))";

/// Checks a request, and makes the welcome it asks for.
pub async fn ask(hub: &Hub, request: &Request) -> Result<Made, Error> {
    let floor = tokio::time::Instant::now() + FLOOR;
    let made = checked_and_made(hub, request).await;
    if made.is_ok() {
        tokio::time::sleep_until(floor).await;
    }
    made
}

async fn checked_and_made(hub: &Hub, request: &Request) -> Result<Made, Error> {
    let app = &hub.app;
    let now = app.clock.now();
    let site = sites::find(app, &request.site).await?.ok_or(Refusal::NotFound)?;
    may_be_used(&site, now)?;
    let payload = signed_payload(hub, request, &site, now).await?;
    let id = site.id.clone();
    let made = async { make(hub, check(hub, site, payload, now).await?, now).await }.await;
    if let Err(Error::Refused(_)) = &made {
        // By its own signature: nobody else can make these numbers grow.
        stats::note(&app.db.client().await?, &id, now, Event::Failed).await?;
    }
    made
}

/// Whether anybody is welcomed there.
pub(super) fn may_be_used(site: &Site, now: Timestamp) -> Result<(), Error> {
    if site.revoked_at.is_some() {
        return Err(Refusal::SiteRevoked.into());
    }
    if site.is_over(now) { Err(Refusal::TrialEnded.into()) } else { Ok(()) }
}

async fn signed_payload(hub: &Hub, request: &Request, site: &Site, now: Timestamp) -> Result<Payload, Error> {
    let ring = hub.ring().await?;
    let open = |nonce: &[u8; 24], sealed: &[u8]| {
        let mut opened = ring.boxes(now).map(|key| key.opening().open_from(sealed, nonce, &site.box_pk));
        opened.find(Result::is_ok).unwrap_or(Err(BoxError))
    };
    request.payload(&site.sign_pk, open).map_err(|error| match error {
        BadRequest::Form => Refusal::BadRequest("not a welcome request of version 1").into(),
        BadRequest::Signature => Refusal::BadSignature.into(),
    })
}

/// Everything from the time on, in this order.
async fn check(hub: &Hub, site: Site, payload: Payload, now: Timestamp) -> Result<Checked, Error> {
    let (app, limits) = (&hub.app, &hub.app.config.homing.hub);
    if (now.as_second().saturating_sub(payload.ts)).saturating_abs() > SKEW {
        return Err(Refusal::ClockSkew.into());
    }
    if decode_exact::<16>(&payload.n).is_none() {
        return Err(Refusal::BadRequest("n must be 16 bytes in base64url").into());
    }
    if app.db.row(HAS_SEEN, &[&site.id, &payload.n, &now]).await?.is_some() {
        return Err(Refusal::Replayed.into());
    }
    if !site.endpoints.contains(&payload.endpoint) {
        return Err(Refusal::EndpointNotRegistered.into());
    }
    check_query(&payload.query)?;
    let scopes = Scopes::parse(&payload.scopes).map_err(|_| Refusal::BadScopes)?;
    scopes.allowed(&site.scope_prefix).map_err(|error| match error {
        BadScopes::NotAllowed(_) => Refusal::ScopeNotAllowed,
        _ => Refusal::BadScopes,
    })?;
    check_otp(hub, &site, &payload).await?;
    let persona = Persona::parse(&payload.username).map_err(|_| Refusal::BadUsername)?;
    let blocked = blocks::is_blocked(app, persona.as_str(), &site.id).await?;
    within(app, "hub-site", &site.id, limits.welcomes_per_site).await?;
    // What goes nowhere takes nothing from those who are let through.
    let whose = if blocked { format!("{persona} {}", site.id) } else { persona.to_string() };
    within(app, "hub-persona", &whose, limits.welcomes_per_persona).await?;
    Ok(Checked { site, payload, scopes, persona, blocked })
}

/// A query that goes into a URL as it is, and leaves the hub its own names.
fn check_query(text: &str) -> Result<(), Error> {
    // Browsers escape quotes and angle brackets when they take a URL: what arrived would not be what was signed.
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\"'<>".contains(&byte));
    if text.len() > LONGEST_QUERY || !plain {
        return Err(Refusal::BadRequest("query must be at most 2000 characters that a URL has as they are").into());
    }
    if query::is_reserved(text) { Err(Refusal::ReservedParam.into()) } else { Ok(()) }
}

/// Against every sauce that is good now; all are tried, whichever fits.
async fn check_otp(hub: &Hub, site: &Site, payload: &Payload) -> Result<(), Error> {
    let parts = Parts {
        site: &site.id,
        username: &payload.username,
        ts: payload.ts,
        n: &payload.n,
        endpoint: &payload.endpoint,
        scopes: &payload.scopes,
    };
    let md5 = match payload.otp_alg.as_deref() {
        None | Some("" | "hmac") => false,
        Some("md5") if site.otp_alg == OtpAlg::Md5 => true,
        Some(_) => return Err(Refusal::BadOtp.into()),
    };
    let mut fits = false;
    for sauce in sauces::good(&hub.app, &site.id).await? {
        let wanted = if md5 { otp::md5(parts.username, parts.ts, &sauce.text()) } else { otp::hmac(&sauce, &parts) };
        fits |= same(wanted.as_bytes(), payload.otp.as_bytes());
    }
    if fits { Ok(()) } else { Err(Refusal::BadOtp.into()) }
}

async fn make(hub: &Hub, checked: Checked, now: Timestamp) -> Result<Made, Error> {
    let app = &hub.app;
    let id = ids::challenge();
    let expires_at = now + app.config.homing.hub.challenge_life.duration();
    let asked = asked(hub, &checked).await?;
    let sealed = envelope(&checked, &id, now, expires_at).seal(&asked.box_pk);
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    has_room(&tx, hub, &checked, now).await?;
    see(&tx, &checked, now).await?;
    store(&tx, hub, &checked, &id, &asked, &sealed, (now, expires_at)).await?;
    stats::note(&tx, &checked.site.id, now, Event::Requested).await?;
    let told =
        notices::of_welcome(&tx, app, asked.space, &checked.persona, &checked.site.name, &id, expires_at).await?;
    let (_, to_publish) = hub.acceptor.accept_in(&tx, told).await?;
    tx.commit().await?;
    hub.acceptor.publish(to_publish);
    // Nobody waits for a space that there is not; it costs the same.
    hub.bell.ring(asked.space.unwrap_or_default());
    let welcome_url = format!("{}/w/{id}", url(app));
    Ok(Made { challenge: id, welcome_url, expires_at: expires_at.as_second() })
}

async fn asked(hub: &Hub, checked: &Checked) -> Result<Asked, Error> {
    let row = hub.app.db.row(FIND, &[&checked.persona.as_str()]).await?;
    let nobody = *BoxKey::generate().public();
    match row.filter(|_| !checked.blocked) {
        None => Ok(Asked { space: None, box_pk: nobody }),
        Some(row) => {
            let box_pk = row.get::<_, &[u8]>(1).try_into().map_err(|_| DbError::Stored("persona"))?;
            Ok(Asked { space: Some(row.get(0)), box_pk })
        }
    }
}

fn envelope(checked: &Checked, id: &str, now: Timestamp, expires_at: Timestamp) -> Envelope {
    let Checked { site, payload, persona, .. } = checked;
    let origin = Url::parse(&payload.endpoint).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    Envelope {
        v: 1,
        challenge: id.to_owned(),
        merchant: site.persona.clone(),
        site_name: site.name.clone(),
        origin,
        username: persona.to_string(),
        scopes: payload.scopes.clone(),
        iat: now.as_second(),
        exp: expires_at.as_second(),
    }
}

/// Of one name, one after the other: nobody has more welcomes waiting than may.
async fn has_room(tx: &Transaction<'_>, hub: &Hub, checked: &Checked, now: Timestamp) -> Result<(), Error> {
    let username = checked.persona.as_str();
    let lock = tx.prepare_cached(LOCK).await?;
    tx.execute(&lock, &[&LOCK_CLASS, &username]).await?;
    let pending = tx.prepare_cached(PENDING).await?;
    let row = tx.query_one(&pending, &[&username, &checked.site.id, &now]).await?;
    let (of_site, of_all): (i64, i64) = (row.get(0), row.get(1));
    let most = i64::from(hub.app.config.homing.hub.pending_per_persona);
    // One site alone takes no room from the others.
    if of_site < most && of_all < 3 * most {
        return Ok(());
    }
    let first: Option<Timestamp> = row.get(2);
    let after = first.and_then(|end| Duration::try_from(end.duration_since(now)).ok());
    Err(Refusal::RateLimited(after).into())
}

async fn see(tx: &Transaction<'_>, checked: &Checked, now: Timestamp) -> Result<(), Error> {
    let see = tx.prepare_cached(SEE).await?;
    let seen = tx.execute(&see, &[&checked.site.id, &checked.payload.n, &(now + SEEN), &now]).await?;
    if seen == 1 { Ok(()) } else { Err(Refusal::Replayed.into()) }
}

async fn store(
    tx: &Transaction<'_>,
    hub: &Hub,
    checked: &Checked,
    id: &str,
    asked: &Asked,
    sealed: &[u8],
    (now, expires_at): (Timestamp, Timestamp),
) -> Result<(), Error> {
    let Payload { endpoint, query, .. } = &checked.payload;
    let leads = Leads { endpoint: endpoint.clone(), query: query.clone(), scopes: checked.scopes.text().to_owned() };
    let leads = serde_json::to_vec(&leads).map_err(|_| DbError::Stored("welcome"))?;
    let release = hub.app.keys.seal(Purpose::Homing, &secrets::place("hub_challenges", id), &leads);
    let store = tx.prepare_cached(STORE).await?;
    let (site, username) = (&checked.site.id, checked.persona.as_str());
    tx.execute(&store, &[&id, site, &username, &asked.space, &sealed, &release, &now, &expires_at]).await?;
    Ok(())
}

/// Removes up to 1,000 requests that need no remembering; returns how many.
pub(super) async fn purge(app: &App) -> Result<u64, DbError> {
    app.db.execute(PURGE, &[&app.clock.now()]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_go_into_a_url_as_they_are() {
        for good in ["", "username=alice&ts=1", "b=%20&a=+&b=2", "x=%zz"] {
            assert!(check_query(good).is_ok(), "{good}");
        }
        let long = "a".repeat(2001);
        for bad in
            ["a b", "a='1'", "a=<1", "a=\"", "a=1#b", "a\r\nb", "\u{e9}=1", "hs_ts=1", "f_in_g=x", "a=1&hs_=2", &long]
        {
            assert!(check_query(bad).is_err(), "{bad}");
        }
    }
}
