//! Passwords, and the links under which somebody sets one.
//!
//! A password set by anybody ends the account's sessions (a user's own change spares the browser it was made in) and takes away an
//! open invitation. Both are one transaction. A user's own change is nothing if anybody has set or taken the password, or ended the
//! session, since the present one was looked at: an intruder's cannot undo an operator's.

use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::sessions::{self, SignedIn};
use super::sign_in::Guess;
use super::{Error, Mailbox};
use crate::App;
use crate::accounts::{self, Account};
use crate::crypto::{Purpose, random};
use crate::db::{DbError, GenericClient};
use crate::openmsg::Address;
use crate::passwords::Busy;

/// Fewest characters of a password (NIST SP 800-63B asks for 8, and more where nothing else is asked for).
const FEWEST: usize = 10;
/// Longest, in bytes: more is no password, and would only be hashed.
const LONGEST: usize = 1024;

/// What is wrong with a new password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    /// Too short.
    #[error("a password has at least {FEWEST} characters")]
    Short,
    /// Too long.
    #[error("a password has at most {LONGEST} bytes")]
    Long,
    /// What everybody tries first.
    #[error("this password is among those that are tried first")]
    Obvious,
}

/// A link under which somebody sets a password, once: the only time its token is to be had.
pub struct Invitation {
    /// The end of the link.
    pub token: Zeroizing<String>,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// What became of a password that somebody wanted to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// It is the password from now on.
    Done,
    /// There is no such account, or no such invitation (any more).
    Nobody,
}

/// What became of a user's wish for another password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is the password from now on; all other browsers are signed out.
    Done,
    /// The present password was not, or is no longer, the one that was given; or the session is over.
    Wrong,
    /// Too many wrong ones: not before this many seconds.
    Later(u64),
}

const SET: &str = "/* mailbox::users::set */
insert into mailbox_users (account_id, password, password_at) values ($1, $2, $3)
on conflict (account_id) do update set password = excluded.password, password_at = excluded.password_at,
    invitation = null, invited_until = null";

/// Under the row's lock: `$4` is still the password that the present one was found to be.
const CHANGE: &str = "/* mailbox::users::change */
update mailbox_users u set password = $2, password_at = $3, invitation = null, invited_until = null
where u.account_id = $1 and u.password = $4
    and exists (select from mailbox_sessions s where s.id = $5 and s.account_id = u.account_id)
    and exists (select from accounts a where a.id = u.account_id and a.disabled_at is null)";

const INVITE: &str = "/* mailbox::users::invite */
insert into mailbox_users (account_id, invitation, invited_until) values ($1, $2, $3)
on conflict (account_id) do update set invitation = excluded.invitation, invited_until = excluded.invited_until";

const INVITED: &str = "/* mailbox::users::invited */
select a.address from mailbox_users u join accounts a on a.id = u.account_id
where u.invitation = any ($1) and u.invited_until > $2 and a.disabled_at is null";

/// Found again under the row's lock, so that of two who have the link one sets the password.
const TAKE: &str = "/* mailbox::users::take_invitation */
update mailbox_users u set invitation = null, invited_until = null
from accounts a
where u.invitation = any ($1) and u.invited_until > $2 and a.id = u.account_id and a.disabled_at is null
returning u.account_id";

const STORED: &str = "/* mailbox::users::stored */
select a.id, u.password from accounts a left join mailbox_users u on u.account_id = a.id
where a.address = $1 and a.disabled_at is null";

const FORGET: &str = "/* mailbox::users::forget */
update mailbox_users set password = null, password_at = null, invitation = null, invited_until = null where account_id = $1";

/// Looked at twice: an invitation may have been made anew meanwhile.
const PURGE: &str = "/* mailbox::users::purge_invitations */
update mailbox_users set invitation = null, invited_until = null where invited_until <= $1 and account_id = any (array(
    select account_id from mailbox_users where invited_until <= $1 limit 1000))";

/// Whether a password may become somebody's.
pub fn check_new(password: &str) -> Result<(), PasswordFault> {
    if password.chars().count() < FEWEST {
        return Err(PasswordFault::Short);
    }
    if password.len() > LONGEST {
        return Err(PasswordFault::Long);
    }
    let small = password.to_lowercase();
    let few = small.chars().collect::<std::collections::HashSet<_>>().len() < 4;
    let obvious = ["password", "passw0rd", "qwertyuiop", "1234567890", "0123456789", "abcdefghij", "letmein"];
    if few || obvious.iter().any(|word| small.starts_with(word) && small.len() < word.len() + 4) {
        return Err(PasswordFault::Obvious);
    }
    Ok(())
}

impl Mailbox {
    /// An operator sets an account's password, which was [checked](check_new); all its sessions end.
    pub async fn set_password(&self, address: &Address, password: &str) -> Result<Result<Set, Busy>, Error> {
        let Some(account) = accounts::find(&self.app, address).await? else { return Ok(Ok(Set::Nobody)) };
        let Ok(hash) = self.passwords.hash(password.as_bytes()).await else { return Ok(Err(Busy)) };
        let mut client = self.app.db.client().await?;
        let tx = client.transaction().await?;
        set(&tx, account.id, &hash, self.app.clock.now()).await?;
        sessions::end_others(&tx, account.id, None).await?;
        tx.commit().await?;
        Ok(Ok(Set::Done))
    }

    /// Nobody can sign in to the account any more, until a password is set again; its sessions end. False: there is no such account.
    pub async fn take_password(&self, address: &Address) -> Result<bool, Error> {
        let Some(account) = accounts::find(&self.app, address).await? else { return Ok(false) };
        let mut client = self.app.db.client().await?;
        let tx = client.transaction().await?;
        tx.execute(&tx.prepare_cached(FORGET).await?, &[&account.id]).await?;
        sessions::end_others(&tx, account.id, None).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// A user's own change, in a browser whose session is spared. Wrong present passwords are counted apart from those of sign-ins, so
    /// that who guesses from outside keeps nobody from a new password.
    pub async fn change_password(
        &self,
        user: &SignedIn,
        present: &str,
        new: &str,
    ) -> Result<Result<Changed, Busy>, Error> {
        let guess = Guess::of_user(&self.app, user.account.id);
        if let Some(seconds) = guess.count().await? {
            return Ok(Ok(Changed::Later(seconds)));
        }
        let changed = self.change(user, present, new).await;
        if !matches!(changed, Ok(Ok(Changed::Wrong))) {
            guess.take_back().await?;
        }
        changed
    }

    async fn change(&self, user: &SignedIn, present: &str, new: &str) -> Result<Result<Changed, Busy>, Error> {
        let stored = stored(&self.app, &user.account.address).await?;
        let right = match self.passwords.check(stored.clone(), present.as_bytes()).await {
            Ok(right) => right,
            Err(Busy) => return Ok(Err(Busy)),
        };
        let Some((account, proof)) = stored.filter(|_| right) else { return Ok(Ok(Changed::Wrong)) };
        let Ok(hash) = self.passwords.hash(new.as_bytes()).await else { return Ok(Err(Busy)) };
        let mut client = self.app.db.client().await?;
        let tx = client.transaction().await?;
        let change = tx.prepare_cached(CHANGE).await?;
        let now = self.app.clock.now();
        if tx.execute(&change, &[&account, &hash, &now, &proof, &user.session]).await? == 0 {
            return Ok(Ok(Changed::Wrong));
        }
        sessions::end_others(&tx, account, Some(user.session)).await?;
        tx.commit().await?;
        Ok(Ok(Changed::Done))
    }

    /// Makes a link under which the account's password can be set; an earlier one is void. `None`: there is no account in use.
    pub async fn invite(&self, address: &Address) -> Result<Option<Invitation>, Error> {
        let app = &self.app;
        let account = accounts::find(app, address).await?.filter(|account: &Account| !account.disabled);
        let Some(account) = account else { return Ok(None) };
        let token = Zeroizing::new(crate::homing::encode(&random::<32>()));
        let hash = app.keys.hash(Purpose::Mailbox, &parts(&token));
        let expires_at = app.clock.now() + app.config.mailbox.invitation_life.duration();
        app.db.execute(INVITE, &[&account.id, &&hash[..], &expires_at]).await?;
        Ok(Some(Invitation { token, expires_at }))
    }

    /// Whose invitation this is, if it is good.
    pub async fn invited(&self, token: &str) -> Result<Option<Address>, Error> {
        let row = self.app.db.row(INVITED, &[&hashes(&self.app, token), &self.app.clock.now()]).await?;
        let read = |text: &str| text.parse().map_err(|_| DbError::Stored("address"));
        Ok(row.map(|row| read(row.get(0))).transpose()?)
    }

    /// Sets the password of whoever has the link; the link is then void.
    pub async fn accept_invitation(&self, token: &str, password: &str) -> Result<Result<Set, Busy>, Error> {
        // Looked up first: a hash is dear, and a link that is void costs none.
        if self.invited(token).await?.is_none() {
            return Ok(Ok(Set::Nobody));
        }
        let Ok(hash) = self.passwords.hash(password.as_bytes()).await else { return Ok(Err(Busy)) };
        let now = self.app.clock.now();
        let mut client = self.app.db.client().await?;
        let tx = client.transaction().await?;
        let taken = tx.query_opt(&tx.prepare_cached(TAKE).await?, &[&hashes(&self.app, token), &now]).await?;
        let Some(row) = taken else { return Ok(Ok(Set::Nobody)) };
        set(&tx, row.get(0), &hash, now).await?;
        sessions::end_others(&tx, row.get(0), None).await?;
        tx.commit().await?;
        Ok(Ok(Set::Done))
    }
}

async fn set(client: &impl GenericClient, account: Uuid, hash: &str, now: Timestamp) -> Result<(), DbError> {
    client.execute(&client.prepare_cached(SET).await?, &[&account, &hash, &now]).await?;
    Ok(())
}

/// The account in use, with its password as stored, if it has one.
pub(super) async fn stored(app: &App, address: &Address) -> Result<Option<(Uuid, String)>, DbError> {
    let row = app.db.row(STORED, &[&address.as_str()]).await?;
    Ok(row.and_then(|row| Some((row.get(0), row.get::<_, Option<String>>(1)?))))
}

pub(super) async fn purge_invitations(app: &App) -> Result<u64, DbError> {
    app.db.execute(PURGE, &[&app.clock.now()]).await
}

fn hashes(app: &App, token: &str) -> Vec<Vec<u8>> {
    app.keys.hashes(Purpose::Mailbox, &parts(token)).into_iter().map(|hash| hash.to_vec()).collect()
}

fn parts(token: &str) -> [&[u8]; 2] {
    [b"invitation", token.as_bytes()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_tries_first_is_no_password() {
        for (password, fault) in [
            ("", Some(PasswordFault::Short)),
            ("ninechars", Some(PasswordFault::Short)),
            ("ßßßß öäü€", Some(PasswordFault::Short)),
            ("aaaaaaaaaaaaaaaa", Some(PasswordFault::Obvious)),
            ("1212121212", Some(PasswordFault::Obvious)),
            ("Password123", Some(PasswordFault::Obvious)),
            ("1234567890", Some(PasswordFault::Obvious)),
            ("correct horse", None),
            ("password of a long kind", None),
            ("пароль из слов", None),
        ] {
            assert_eq!(check_new(password).err(), fault, "{password}");
        }
        assert_eq!(check_new(&"correct horse ".repeat(100)).err(), Some(PasswordFault::Long));
    }
}
