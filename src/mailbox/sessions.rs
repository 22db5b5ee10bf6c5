//! Browsers that are signed in. A cookie's value is kept as a keyed hash only.
//!
//! A session ends by itself after `mailbox.session_life`, or `mailbox.session_idle` after it was last used; by its owner, here or
//! everywhere; by a new password; and when its account is disabled ([`crate::accounts`] deletes it then).

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Error;
use super::sign_in::From;
use crate::App;
use crate::accounts::Account;
use crate::crypto::{Purpose, random};
use crate::db::{DbError, GenericClient, Row};
use crate::guessing::network;

/// Characters of a session's token: 32 random bytes in base64.
pub const SESSION_TOKEN_CHARS: usize = 43;
/// When it was last used is kept to the minute.
const SEEN_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// What a browser says of itself, at the most, in characters.
const LONGEST_AGENT: usize = 200;

/// Who is signed in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The session's id, which opens nothing.
    pub session: Uuid,
    /// Whose it is.
    pub account: Account,
    /// When it ends by itself, used or not.
    pub expires_at: Timestamp,
}

/// A session as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: Uuid,
    /// What the browser said it is; anything at all.
    pub agent: String,
    /// From where somebody signed in.
    pub network: String,
    /// When.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub seen_at: Timestamp,
}

const BEGIN: &str = "/* mailbox::sessions::begin */
insert into mailbox_sessions (id, hash, account_id, agent, network, created_at, seen_at, expires_at)
select $1, $2, a.id, $4, $5, $6, $6, $7 from accounts a join mailbox_users u on u.account_id = a.id
where a.id = $3 and a.disabled_at is null and u.password = $8 for share";

const TRIM: &str = "/* mailbox::sessions::trim */
delete from mailbox_sessions where account_id = $1 and id not in (
    select id from mailbox_sessions where account_id = $1 order by id desc limit $2)";

const FIND: &str = "/* mailbox::sessions::find */
select s.id, s.seen_at, s.expires_at, a.id as account_id, a.address, a.name, a.accepts_messages, a.created_at
from mailbox_sessions s join accounts a on a.id = s.account_id
where s.hash = any ($1) and s.expires_at > $2 and s.seen_at > $3 and a.disabled_at is null";

const SEEN: &str = "/* mailbox::sessions::seen */
update mailbox_sessions set seen_at = $2 where id = $1";

const LIST: &str = "/* mailbox::sessions::list */
select id, agent, network, created_at, seen_at from mailbox_sessions
where account_id = $1 and expires_at > $2 and seen_at > $3 order by id desc limit 1000";

const END: &str = "/* mailbox::sessions::end */
delete from mailbox_sessions where account_id = $1 and id = $2";

const END_OTHERS: &str = "/* mailbox::sessions::end_others */
delete from mailbox_sessions where account_id = $1 and id is distinct from $2";

const PURGE: &str = "/* mailbox::sessions::purge */
delete from mailbox_sessions where id = any (array(
    select id from mailbox_sessions where expires_at <= $1 order by expires_at limit 1000))";

/// Begins one for who showed the password that is stored as `proof`; the token is the cookie's value. `None`: the account was
/// disabled meanwhile, or has another password.
pub(super) async fn begin(
    app: &App,
    account: Uuid,
    proof: &str,
    from: From<'_>,
) -> Result<Option<Zeroizing<String>>, Error> {
    let token = Zeroizing::new(crate::homing::encode(&random::<32>()));
    let hash = app.keys.hash(Purpose::Mailbox, &parts(&token));
    let agent: String = from.agent.chars().filter(|c| !c.is_control()).take(LONGEST_AGENT).collect();
    let (now, id) = (app.clock.now(), app.new_id());
    let settings = &app.config.mailbox;
    let expires_at = now + settings.session_life.duration();
    let mut client = app.db.client().await?;
    let tx = client.transaction().await?;
    let begin = tx.prepare_cached(BEGIN).await?;
    let network = network(from.ip);
    let begun = tx.execute(&begin, &[&id, &&hash[..], &account, &agent, &network, &now, &expires_at, &proof]).await?;
    let trim = tx.prepare_cached(TRIM).await?;
    tx.execute(&trim, &[&account, &i64::from(settings.sessions_per_account)]).await?;
    tx.commit().await?;
    Ok((begun == 1).then_some(token))
}

/// Whose session a token opens, if it holds. It has been used.
pub async fn find_session(app: &App, token: &str) -> Result<Option<SignedIn>, Error> {
    let Some((who, seen_at)) = look(app, token).await? else { return Ok(None) };
    let now = app.clock.now();
    if seen_at < now - SEEN_EVERY {
        app.db.execute(SEEN, &[&who.session, &now]).await?;
    }
    Ok(Some(who))
}

/// The same where nobody does anything, so that it is no use.
pub async fn look_session(app: &App, token: &str) -> Result<Option<SignedIn>, Error> {
    Ok(look(app, token).await?.map(|(who, _)| who))
}

async fn look(app: &App, token: &str) -> Result<Option<(SignedIn, Timestamp)>, Error> {
    if token.len() != SESSION_TOKEN_CHARS {
        return Ok(None);
    }
    let row = app.db.row(FIND, &[&hashes(app, token), &app.clock.now(), &idle_since(app)]).await?;
    let Some(row) = row else { return Ok(None) };
    let who = SignedIn { session: row.get("id"), account: account(&row)?, expires_at: row.get("expires_at") };
    Ok(Some((who, row.get("seen_at"))))
}

/// The account's sessions that hold, newest first.
pub async fn sessions(app: &App, account: Uuid) -> Result<Vec<Session>, Error> {
    let rows = app.db.rows(LIST, &[&account, &app.clock.now(), &idle_since(app)]).await?;
    let read = |row: &Row| Session {
        id: row.get(0),
        agent: row.get(1),
        network: row.get(2),
        created_at: row.get(3),
        seen_at: row.get(4),
    };
    Ok(rows.iter().map(read).collect())
}

/// Ends one session of the account; false: it has none of that id.
pub async fn sign_out(app: &App, account: Uuid, session: Uuid) -> Result<bool, Error> {
    Ok(app.db.execute(END, &[&account, &session]).await? == 1)
}

/// Ends all sessions of the account, or all but one; returns how many.
pub async fn sign_out_all(app: &App, account: Uuid, spared: Option<Uuid>) -> Result<u64, Error> {
    Ok(end_others(&app.db.client().await?, account, spared).await?)
}

/// The same over a connection, or inside a transaction, that the caller has.
pub(super) async fn end_others(
    client: &impl GenericClient,
    account: Uuid,
    spared: Option<Uuid>,
) -> Result<u64, DbError> {
    Ok(client.execute(&client.prepare_cached(END_OTHERS).await?, &[&account, &spared]).await?)
}

pub(super) async fn purge(app: &App) -> Result<u64, DbError> {
    app.db.execute(PURGE, &[&app.clock.now()]).await
}

fn idle_since(app: &App) -> Timestamp {
    app.clock.now() - app.config.mailbox.session_idle.duration()
}

fn account(row: &Row) -> Result<Account, DbError> {
    Ok(Account {
        id: row.get("account_id"),
        address: row.get::<_, &str>("address").parse().map_err(|_| DbError::Stored("address"))?,
        name: row.get("name"),
        accepts_messages: row.get("accepts_messages"),
        disabled: false,
        created_at: row.get("created_at"),
    })
}

fn hashes(app: &App, token: &str) -> Vec<Vec<u8>> {
    app.keys.hashes(Purpose::Mailbox, &parts(token)).into_iter().map(|hash| hash.to_vec()).collect()
}

fn parts(token: &str) -> [&[u8]; 2] {
    [b"session", token.as_bytes()]
}
