//! Who is signed in: made with a token, looked up by it, listed and revoked by operators.
//!
//! Promises: of a token only a keyed hash is stored (and, where a back end made it and can revoke it, the token sealed); whoever
//! asks about one hears nothing but that there is none once it has ended, for whatever reason. Leaves out who may ask.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Address, Application, Logins, Mode, Origin, Verified, standings};
use crate::App;
use crate::crypto::{self, Purpose};
use crate::db::{DbError, Row, Transaction};
use crate::jobs::BackendCall;

/// Ended ones are shown for this long.
const KEPT: Duration = Duration::from_secs(30 * 86_400);
/// Uses that are closer together are one, so that looking a token up rarely writes.
const APART: Duration = Duration::from_secs(60);

const CREATE: &str = "/* logins::sessions::create */
insert into login_sessions (id, appid, subject, token_hash, who, upstream, idles, created_at, seen_at, expires_at, ends_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10)
on conflict (token_hash) do update
set id = excluded.id, appid = excluded.appid, subject = excluded.subject, who = excluded.who, upstream = excluded.upstream,
    idles = excluded.idles, created_at = excluded.created_at, seen_at = excluded.seen_at, expires_at = excluded.expires_at,
    ends_at = excluded.ends_at, revoked_at = null";

const OF_TOKEN: &str = "/* logins::sessions::of_token */
select s.id, s.appid, s.who, s.idles, s.created_at, s.seen_at, s.expires_at, s.ends_at, s.revoked_at
from login_sessions s join apps a on a.appid = s.appid
where s.token_hash = any ($1) and s.revoked_at is null and s.ends_at > $2 and a.enabled";

const USED: &str = "/* logins::sessions::used */
update login_sessions set seen_at = $2, ends_at = case when idles then least(expires_at, $3) else ends_at end
where id = $1 and revoked_at is null";

const LIST: &str = "/* logins::sessions::list */
select id, appid, who, idles, created_at, seen_at, expires_at, ends_at, revoked_at from login_sessions
where ($1::text is null or appid = $1) and ($2::bytea[] is null or subject = any ($2)) and ($3::uuid is null or id < $3)
order by id desc limit $4";

const REVOKE: &str = "/* logins::sessions::revoke */
update login_sessions set revoked_at = coalesce(revoked_at, $3), ends_at = least(ends_at, $3)
where id = $1 or token_hash = any ($2) and revoked_at is null and ends_at > $3
returning id, appid, who, upstream";

const FORGET_UPSTREAM: &str = "/* logins::sessions::forget_upstream */
update login_sessions set upstream = null where id = $1";

const PURGE: &str = "/* logins::sessions::purge */
delete from login_sessions where id = any (array(select id from login_sessions where ends_at < $1 order by ends_at limit 1000))";

/// A session.
#[derive(Clone)]
pub struct Session {
    /// Names it to operators.
    pub id: Uuid,
    /// Of which application.
    pub appid: String,
    /// Who, from where.
    pub who: Signed,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub seen_at: Timestamp,
    /// The end of its life, whatever happens.
    pub expires_at: Timestamp,
    /// Its end as things stand.
    pub ends_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    idles: bool,
}

/// Who signed in, and from where.
#[derive(Clone, Serialize, Deserialize)]
pub struct Signed {
    /// `phone`, `email` or `user`.
    pub kind: String,
    /// The address.
    pub address: String,
    /// What the user is called.
    pub name: Option<String>,
    /// The device's id.
    pub device: Option<String>,
    /// Its type.
    pub device_type: Option<String>,
    /// Where the request came from.
    pub ip: Option<IpAddr>,
}

/// What [`create`] is given.
pub(super) struct NewSession<'a> {
    pub(super) application: &'a Application,
    pub(super) address: &'a Address,
    pub(super) name: &'a str,
    pub(super) origin: &'a Origin,
}

/// Who makes the token.
pub(super) enum Issuer {
    /// This node.
    Us,
    /// The application's back end, which made this one.
    Them {
        /// The token.
        token: Zeroizing<String>,
    },
}

/// A session that was just made.
pub(super) struct Made {
    token: Zeroizing<String>,
    session: Session,
}

/// A revoked session, as far as its back end has to hear of it.
struct Revoked {
    id: Uuid,
    appid: String,
    address: String,
    upstream: Option<Zeroizing<String>>,
}

/// Makes a session.
pub(super) async fn create(
    tx: &Transaction<'_>,
    app: &App,
    new: &NewSession<'_>,
    issuer: Issuer,
) -> Result<Made, DbError> {
    let NewSession { application, address, .. } = new;
    let (ours, token) = match issuer {
        Issuer::Us => (true, Zeroizing::new(crypto::encode_hex(&crypto::random::<32>()))),
        Issuer::Them { token } => (false, token),
    };
    let session = new.session(app, ours);
    let Session { id, created_at, expires_at, ends_at, .. } = session;
    let sealed = serde_json::to_vec(&session.who).map(Zeroizing::new).map_err(|_| DbError::Stored("session"))?;
    let sealed = app.keys.seal(Purpose::Login, id.as_bytes(), &sealed);
    let revocable = !ours && !application.backend.revoke_op.is_empty();
    let upstream = revocable.then(|| app.keys.seal(Purpose::Login, &of_upstream(id), token.as_bytes()));
    let subjects = standings::subjects(app, &application.appid, address);
    let hashes = token_hashes(app, &token);
    let (subject, hash) = (first(&subjects), first(&hashes));
    let statement = tx.prepare_cached(CREATE).await?;
    let appid = &application.appid;
    tx.execute(
        &statement,
        &[&id, appid, &subject, &hash, &sealed, &upstream, &ours, &created_at, &expires_at, &ends_at],
    )
    .await?;
    Ok(Made { token, session })
}

/// Up to `limit` sessions, the newest first, of an application, and of an address with it.
pub async fn list(
    app: &App,
    appid: Option<&str>,
    address: Option<&str>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Session>, DbError> {
    let subjects: Option<Vec<[u8; 32]>> = address.map(|text| {
        let all = super::parse::all(text);
        all.iter().flat_map(|address| standings::subjects(app, appid.unwrap_or_default(), address)).collect()
    });
    let subjects: Option<Vec<&[u8]>> =
        subjects.as_ref().map(|subjects| subjects.iter().map(<[u8; 32]>::as_slice).collect());
    let rows = app.db.rows_planned_by_values(LIST, &[&appid, &subjects, &before, &limit]).await?;
    rows.iter().map(|row| read(app, row)).collect()
}

/// Removes up to 1,000 that ended long ago; returns how many.
pub(super) async fn purge(app: &App) -> Result<u64, DbError> {
    app.db.execute(PURGE, &[&(app.clock.now() - KEPT)]).await
}

impl Logins {
    /// The session of a token, which is thereby used; none: it has ended, or never was.
    pub async fn introspect(&self, token: &str) -> Result<Option<Session>, super::Error> {
        let app = &self.app;
        let now = app.clock.now();
        let hashes = token_hashes(app, token);
        let hashes: Vec<&[u8]> = hashes.iter().map(<[u8; 32]>::as_slice).collect();
        let Some(row) = app.db.row(OF_TOKEN, &[&hashes, &now]).await? else { return Ok(None) };
        let mut session = read(app, &row)?;
        let idle = app.config.mesibo.session_idle.duration();
        if now >= session.seen_at + APART.min(idle / 10) {
            app.db.execute(USED, &[&session.id, &now, &(now + idle)]).await?;
            session.seen_at = now;
            if session.idles {
                session.ends_at = session.expires_at.min(now + idle);
            }
        }
        Ok(Some(session))
    }

    /// Revokes the session of a token; false: there is none. The caller's answer is the same.
    pub async fn sign_out(&self, token: &str) -> Result<bool, super::Error> {
        let hashes = token_hashes(&self.app, token);
        self.revoke_where(None, &hashes).await
    }

    /// Revokes a session; false: there is none of this id. One that is revoked already stays so.
    pub async fn revoke(&self, session: Uuid) -> Result<bool, super::Error> {
        self.revoke_where(Some(session), &[]).await
    }

    async fn revoke_where(&self, id: Option<Uuid>, hashes: &[[u8; 32]]) -> Result<bool, super::Error> {
        let app = &self.app;
        let hashes: Vec<&[u8]> = hashes.iter().map(<[u8; 32]>::as_slice).collect();
        let Some(row) = app.db.row(REVOKE, &[&id, &hashes, &app.clock.now()]).await? else { return Ok(false) };
        let revoked = Revoked::read(app, &row)?;
        if revoked.upstream.is_some() {
            let logins = self.clone();
            tokio::spawn(async move { logins.tell(revoked).await });
        }
        Ok(true)
    }

    /// The back end hears of it if it can: here the session has ended either way.
    async fn tell(&self, revoked: Revoked) {
        let Revoked { id, appid, address, upstream: Some(token) } = revoked else { return };
        let application = match super::apps::find(&self.app, &appid).await {
            Ok(Some(application)) if application.backend.mode != Mode::Local => application,
            _ => return,
        };
        let call = BackendCall::Revoke { address, token: token.as_str().to_owned() };
        let told = matches!(self.call(&application, self.deadline(), call).await, super::backend::Said::Done(_));
        if !told {
            tracing::warn!(session = %id, "a back end could not be told that a session was revoked");
        } else if let Err(error) = self.app.db.execute(FORGET_UPSTREAM, &[&id]).await {
            tracing::warn!(session = %id, %error, "the token of a revoked session could not be forgotten");
        }
    }
}

impl NewSession<'_> {
    /// As it begins.
    fn session(&self, app: &App, ours: bool) -> Session {
        let (now, settings, backend) = (app.clock.now(), &app.config.mesibo, &self.application.backend);
        let theirs = Duration::from_secs(u64::from(backend.token_minutes) * 60);
        let expires_at = now + if ours { settings.session_life.duration() } else { theirs };
        let idle_until = now + settings.session_idle.duration();
        Session {
            id: app.new_id(),
            appid: self.application.appid.clone(),
            who: self.who(),
            created_at: now,
            seen_at: now,
            expires_at,
            ends_at: if ours { expires_at.min(idle_until) } else { expires_at },
            revoked_at: None,
            idles: ours,
        }
    }

    fn who(&self) -> Signed {
        Signed {
            kind: self.address.kind().to_owned(),
            address: self.address.as_str().to_owned(),
            name: word(self.name),
            device: word(&self.origin.device),
            device_type: word(&self.origin.device_type),
            ip: self.origin.ip,
        }
    }
}

impl Made {
    pub(super) fn verified(self, uid: Option<String>) -> Verified {
        let Session { id, who, expires_at, .. } = self.session;
        Verified::Token { token: self.token, address: who.address, name: who.name, expires_at, session: id, uid }
    }
}

impl Revoked {
    fn read(app: &App, row: &Row) -> Result<Self, DbError> {
        let id: Uuid = row.get("id");
        let sealed: Option<&[u8]> = row.get("upstream");
        let open = |sealed| {
            let plain =
                app.keys.open(Purpose::Login, &of_upstream(id), sealed).map_err(|_| DbError::Stored("session"))?;
            String::from_utf8(plain.to_vec()).map(Zeroizing::new).map_err(|_| DbError::Stored("session"))
        };
        let upstream = sealed.map(open).transpose()?;
        Ok(Self { id, appid: row.get("appid"), address: signed(app, id, row)?.address, upstream })
    }
}

fn read(app: &App, row: &Row) -> Result<Session, DbError> {
    let id: Uuid = row.get("id");
    Ok(Session {
        id,
        appid: row.get("appid"),
        who: signed(app, id, row)?,
        created_at: row.get("created_at"),
        seen_at: row.get("seen_at"),
        expires_at: row.get("expires_at"),
        ends_at: row.get("ends_at"),
        revoked_at: row.get("revoked_at"),
        idles: row.get("idles"),
    })
}

fn signed(app: &App, id: Uuid, row: &Row) -> Result<Signed, DbError> {
    let plain = app.keys.open(Purpose::Login, id.as_bytes(), row.get("who")).map_err(|_| DbError::Stored("session"))?;
    serde_json::from_slice(&plain).map_err(|_| DbError::Stored("session"))
}

/// Under every node key, the current one first.
fn token_hashes(app: &App, token: &str) -> Vec<[u8; 32]> {
    app.keys.hashes(Purpose::Login, &[b"token", token.as_bytes()])
}

fn first(hashes: &[[u8; 32]]) -> &[u8] {
    hashes.first().map_or(&[][..], <[u8; 32]>::as_slice)
}

/// So that what is sealed for one column is noise in the other.
fn of_upstream(id: Uuid) -> Vec<u8> {
    [id.as_bytes().as_slice(), b"upstream"].concat()
}

/// None where nothing is said.
fn word(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}
