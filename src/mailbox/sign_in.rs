//! Signing in: counted, then judged.
//!
//! Two counters hold an hour each: one for the address that was typed, whether or not there is such an account, one for the network
//! that the try came from. Both are counted before the password is looked at, and what was right is uncounted. An address whose
//! counter is full rests for everybody until the hour is over; who is signed in stays so, and has a counter of their own for the present
//! password.

use std::net::IpAddr;
use std::time::Duration;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Error, Mailbox, sessions, users};
use crate::App;
use crate::guessing::network;
use crate::limits::{self, Verdict};
use crate::openmsg::{Address, AddressId};
use crate::passwords::Busy;

const HOUR: Duration = Duration::from_secs(3600);
const ACCOUNT: &str = "mailbox-wrong-account";
const IP: &str = "mailbox-wrong-ip";
const PRESENT: &str = "mailbox-wrong-present";

/// From where somebody signs in.
#[derive(Debug, Clone, Copy)]
pub struct From<'a> {
    /// The client's address.
    pub ip: IpAddr,
    /// What the browser says it is.
    pub agent: &'a str,
}

/// What became of a try to sign in.
pub enum Outcome {
    /// Signed in: the session's token.
    In(Zeroizing<String>),
    /// No such account, no password, or not this one: nobody learns which.
    Wrong,
    /// Too many wrong tries: not before this many seconds.
    Later(u64),
    /// Too many sign-ins at this moment.
    Busy,
}

/// One try, and what it is counted for.
pub(super) struct Guess<'a> {
    app: &'a App,
    counters: Vec<Counter>,
}

struct Counter {
    scope: &'static str,
    of: String,
    most: u32,
}

impl<'a> Guess<'a> {
    /// Of somebody who signs in. Who is refused for his network cannot make an address rest for others: that comes first.
    pub(super) fn of(app: &'a App, address: &str, ip: IpAddr) -> Self {
        let settings = &app.config.mailbox;
        let ip = Counter { scope: IP, of: network(ip), most: settings.wrong_passwords_per_ip };
        let of = address.to_ascii_lowercase();
        Self { app, counters: vec![ip, Counter { scope: ACCOUNT, of, most: settings.wrong_passwords_per_account }] }
    }

    /// Of who is signed in, about the present password.
    pub(super) fn of_user(app: &'a App, account: Uuid) -> Self {
        let most = app.config.mailbox.wrong_passwords_per_account;
        Self { app, counters: vec![Counter { scope: PRESENT, of: account.to_string(), most }] }
    }

    /// Counts it; some: it must not be judged, and the next not before so many seconds.
    pub(super) async fn count(&self) -> Result<Option<u64>, Error> {
        for Counter { scope, of, most } in &self.counters {
            if limits::count(self.app, scope, of, HOUR, *most).await? == Verdict::Over {
                return Ok(Some(until_the_next_hour(self.app.clock.unix_seconds())));
            }
        }
        Ok(None)
    }

    /// It was right, or nobody looked.
    pub(super) async fn take_back(&self) -> Result<(), Error> {
        for Counter { scope, of, .. } in &self.counters {
            limits::take_back(self.app, scope, of, HOUR).await?;
        }
        Ok(())
    }
}

fn until_the_next_hour(now: i64) -> u64 {
    (3600 - now.rem_euclid(3600)).unsigned_abs()
}

impl Mailbox {
    /// Tries to sign in: `typed` is an address, or the ID of one of this node.
    pub async fn sign_in(&self, typed: &str, password: &str, from: From<'_>) -> Result<Outcome, Error> {
        let address = read_address(typed, &self.app.config.domain);
        let name = address.as_ref().map_or(typed.trim(), Address::as_str);
        let guess = Guess::of(&self.app, name, from.ip);
        if let Some(seconds) = guess.count().await? {
            return Ok(Outcome::Later(seconds));
        }
        let judged = self.judge(address.as_ref(), password, from).await;
        if !matches!(judged, Ok(Outcome::Wrong)) {
            guess.take_back().await?;
        }
        judged
    }

    async fn judge(&self, address: Option<&Address>, password: &str, from: From<'_>) -> Result<Outcome, Error> {
        let stored = match address {
            Some(address) => users::stored(&self.app, address).await?,
            None => None,
        };
        match (self.passwords.check(stored.clone(), password.as_bytes()).await, stored) {
            (Err(Busy), _) => Ok(Outcome::Busy),
            (Ok(true), Some((account, proof))) => {
                Ok(sessions::begin(&self.app, account, &proof, from).await?.map_or(Outcome::Wrong, Outcome::In))
            }
            (Ok(_), _) => Ok(Outcome::Wrong),
        }
    }
}

fn read_address(typed: &str, domain: &str) -> Option<Address> {
    let typed = typed.trim();
    if typed.contains('*') {
        return typed.parse().ok();
    }
    let id: AddressId = typed.parse().ok()?;
    Address::new(&id, &domain.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_an_address_of_this_node() {
        let read = |typed| read_address(typed, "our.example").map(|address| address.to_string());
        assert_eq!(read(" 1000 "), Some("1000*our.example".into()));
        assert_eq!(read("1000*Our.example"), Some("1000*our.example".into()));
        assert_eq!(read("1000*other.example"), Some("1000*other.example".into()));
        assert_eq!((read(""), read("ada"), read("*")), (None, None, None));
    }

    #[test]
    fn a_rest_ends_with_the_hour() {
        assert_eq!(until_the_next_hour(7200), 3600);
        assert_eq!(until_the_next_hour(7199), 1);
    }
}
