//! Spaces, and who is signed in to them.
//!
//! Nobody sends a password: a space signs what the hub asks it to sign. Its id is as secret as a password is, so it is stored as a
//! keyed hash; what is asked of a space that does not exist is answered alike, at the same cost.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Error, Refusal, secrets, vaults, within_of};
use crate::App;
use crate::crypto::{SigningKey, sodium};
use crate::db::{DbError, Transaction};
use crate::homing::{decode_exact, ids, signed};

/// After this a space that nobody ever signed in to is forgotten.
const UNUSED: Duration = Duration::from_secs(30 * 86_400);
/// How long a nonce is good, in seconds.
const NONCE_LIFE: u64 = 60;
/// Sessions of one space at the most; a further one ends the oldest.
const SESSIONS: i64 = 20;

const CREATE: &str = "/* hub::spaces::create */
insert into hub_spaces (id, handle, root_id, sign_pk, created_at) values ($1, $2, $3, $4, $5)";

const ASK: &str = "/* hub::spaces::challenge */
insert into hub_nonces (hash, handle, expires_at) values ($1, $2, $3)";

const USE: &str = "/* hub::spaces::login (nonce) */
delete from hub_nonces where hash = any ($1) and handle = any ($2) and expires_at > $3 returning true";

const FIND: &str = "/* hub::spaces::find */
select id, sign_pk from hub_spaces where handle = any ($1)";

/// The key file of the node may lose its older keys once everybody has signed in under the newest.
const RENEW: &str = "/* hub::spaces::login (handle) */
update hub_spaces set handle = $2, used = true where id = $1 and (handle <> $2 or not used)";

/// Before anything is counted: what a statement counts is what there was when it began.
const LOCK: &str = "/* hub::spaces::lock */
select id from hub_spaces where id = $1 for update";

const SIGN_IN: &str = "/* hub::spaces::login */
with surplus as (
    delete from hub_sessions where hash = any (array(
        select hash from hub_sessions where space_id = $2 order by created_at desc, hash offset $5))
)
insert into hub_sessions (hash, space_id, created_at, expires_at) values ($1, $2, $3, $4)";

const SIGNED_IN: &str = "/* hub::spaces::signed_in */
select space_id from hub_sessions where hash = any ($1) and expires_at > $2";

const SIGN_OUT: &str = "/* hub::spaces::logout */
delete from hub_sessions where hash = any ($1)";

const PURGE_NONCES: &str = "/* hub::spaces::purge (nonces) */
delete from hub_nonces where hash = any (array(select hash from hub_nonces where expires_at <= $1 order by expires_at limit 1000))";

const PURGE_SESSIONS: &str = "/* hub::spaces::purge (sessions) */
delete from hub_sessions where hash = any (array(select hash from hub_sessions where expires_at <= $1 order by expires_at limit 1000))";

const PURGE_UNUSED: &str = "/* hub::spaces::purge (unused) */
delete from hub_spaces where id = any (array(
    select id from hub_spaces s
    where not used and created_at <= $1 and not exists (select from hub_personas p where p.space_id = s.id)
    order by created_at limit 1000))";

/// A session, as it is told once.
pub struct Session {
    /// What requests carry.
    pub token: Zeroizing<String>,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// Makes a space with its vault; answers its id, which is nowhere else from then on.
pub async fn create(app: &App, ip: IpAddr, sign_pk: &str, vault: &str, sig: &str) -> Result<Zeroizing<String>, Error> {
    let key: [u8; 32] = decode_exact(sign_pk).ok_or(Refusal::BadRequest("sign_pk is not a public key"))?;
    vaults::check(vault)?;
    if !is_signed(&signed::space(sign_pk, vault), sig, &key) {
        return Err(Refusal::BadSignature.into());
    }
    within_of(app, "hub-spaces", ip, app.config.homing.hub.spaces_per_ip).await?;
    let (id, handle) = (app.new_id(), Zeroizing::new(ids::space()));
    let root = secrets::new();
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    let create = tx.prepare_cached(CREATE).await?;
    let hash = secrets::hash(app, "space", &handle);
    tx.execute(&create, &[&id, &hash.as_slice(), &root.as_str(), &key.as_slice(), &app.clock.now()]).await?;
    vaults::put_first(&tx, app, id, vault).await?;
    tx.commit().await?;
    Ok(handle)
}

/// Holds a space's row, so that of one space things are counted and made one after the other.
pub(super) async fn lock(tx: &Transaction<'_>, space: Uuid) -> Result<(), DbError> {
    let lock = tx.prepare_cached(LOCK).await?;
    tx.execute(&lock, &[&space]).await?;
    Ok(())
}

/// Asks a space to sign something, whether or not there is one.
pub async fn challenge(app: &App, ip: IpAddr, space: &str) -> Result<Zeroizing<String>, Error> {
    within_of(app, "hub-sign-ins", ip, app.config.homing.hub.sign_ins_per_ip).await?;
    let nonce = secrets::new();
    let expires_at = app.clock.now() + Duration::from_secs(NONCE_LIFE);
    let (hash, handle) = (secrets::hash(app, "nonce", &nonce), secrets::hash(app, "space", space));
    app.db.execute(ASK, &[&hash.as_slice(), &handle.as_slice(), &expires_at]).await?;
    Ok(nonce)
}

/// Signs in who has signed the nonce with the space's key.
pub async fn login(app: &App, space: &str, nonce: &str, sig: &str) -> Result<Session, Error> {
    let now = app.clock.now();
    let (nonces, handles) = (secrets::hashes(app, "nonce", nonce), secrets::hashes(app, "space", space));
    let (nonces, handles) = (slices(&nonces), slices(&handles));
    let asked = app.db.row(USE, &[&nonces, &handles, &now]).await?.is_some();
    let found = app.db.row(FIND, &[&handles]).await?;
    let key = match &found {
        Some(row) => row.get::<_, &[u8]>(1).try_into().map_err(|_| DbError::Stored("space"))?,
        None => *NOBODYS_KEY,
    };
    let fits = is_signed(&signed::space_login(space, nonce), sig, &key);
    let Some(row) = found.filter(|_| fits && asked) else { return Err(Refusal::BadSignature.into()) };
    let id: Uuid = row.get(0);
    if let Some(current) = handles.first() {
        app.db.execute(RENEW, &[&id, current]).await?;
    }
    let (token, expires_at) = (secrets::new(), now + app.config.homing.hub.session_life.duration());
    let hash = secrets::hash(app, "session", &token);
    app.db.execute(SIGN_IN, &[&hash.as_slice(), &id, &now, &expires_at, &(SESSIONS - 1)]).await?;
    Ok(Session { token, expires_at })
}

/// The space that a token is signed in to.
pub async fn signed_in(app: &App, token: &str) -> Result<Option<Uuid>, DbError> {
    let hashes = secrets::hashes(app, "session", token);
    let row = app.db.row(SIGNED_IN, &[&slices(&hashes), &app.clock.now()]).await?;
    Ok(row.map(|row| row.get(0)))
}

/// Ends a session.
pub async fn logout(app: &App, token: &str) -> Result<(), DbError> {
    app.db.execute(SIGN_OUT, &[&slices(&secrets::hashes(app, "session", token))]).await?;
    Ok(())
}

/// The space with this secret id.
pub(super) async fn find(app: &App, space: &str) -> Result<Option<Uuid>, DbError> {
    let row = app.db.row(FIND, &[&slices(&secrets::hashes(app, "space", space))]).await?;
    Ok(row.map(|row| row.get(0)))
}

/// Removes up to 1,000 nonces and 1,000 sessions that have had their time, and 1,000 spaces that were never used; returns how many.
pub(super) async fn purge(app: &App) -> Result<u64, DbError> {
    let now = app.clock.now();
    let unused = app.db.execute(PURGE_UNUSED, &[&(now - UNUSED)]).await?;
    Ok(unused + app.db.execute(PURGE_NONCES, &[&now]).await? + app.db.execute(PURGE_SESSIONS, &[&now]).await?)
}

/// Whether `sig` (base64url) is the signature of `text` under this key.
pub(super) fn is_signed(text: &[u8], sig: &str, key: &[u8; 32]) -> bool {
    decode_exact::<64>(sig).is_some_and(|sig| sodium::verify(text, &sig, key))
}

/// Checked against where there is no such space; its secret is dropped at once, so nobody can sign for it.
static NOBODYS_KEY: LazyLock<[u8; 32]> = LazyLock::new(|| *SigningKey::generate().public());

fn slices(hashes: &[[u8; 32]]) -> Vec<&[u8]> {
    hashes.iter().map(<[u8; 32]>::as_slice).collect()
}
