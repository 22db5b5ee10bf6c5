//! Signing in: counted, then judged.
//!
//! Two counters hold an hour each: one for the address that was typed, whether or not there is such an account, one for the network
//! that the try came from. Both are counted before the password is looked at, and what was right is uncounted. An address whose
//! counter is full rests for everybody until the hour is over; who is signed in stays so.

use std::net::IpAddr;
use std::time::Duration;

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

/// One try, counted for its address and its network.
pub(super) struct Guess<'a> {
    app: &'a App,
    address: String,
    network: String,
}

impl<'a> Guess<'a> {
    pub(super) fn of(app: &'a App, address: &str, ip: IpAddr) -> Self {
        Self { app, address: address.to_ascii_lowercase(), network: network(ip) }
    }

    /// Counts it; some: it must not be judged, and the next not before so many seconds.
    pub(super) async fn count(&self) -> Result<Option<u64>, Error> {
        let settings = &self.app.config.mailbox;
        let per_ip = limits::count(self.app, IP, &self.network, HOUR, settings.wrong_passwords_per_ip).await?;
        // Who is refused for his network cannot make an address rest for others.
        let over = per_ip == Verdict::Over || {
            let most = settings.wrong_passwords_per_account;
            limits::count(self.app, ACCOUNT, &self.address, HOUR, most).await? == Verdict::Over
        };
        Ok(over.then(|| until_the_next_hour(self.app.clock.unix_seconds())))
    }

    /// It was right, or nobody looked.
    pub(super) async fn take_back(&self) -> Result<(), Error> {
        limits::take_back(self.app, IP, &self.network, HOUR).await?;
        limits::take_back(self.app, ACCOUNT, &self.address, HOUR).await?;
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
        let stored = match &address {
            Some(address) => users::stored(&self.app, address).await?,
            None => None,
        };
        match self.passwords().check(stored.clone(), password.as_bytes()).await {
            Ok(true) => {}
            Ok(false) => return Ok(Outcome::Wrong),
            Err(Busy) => {
                guess.take_back().await?;
                return Ok(Outcome::Busy);
            }
        }
        guess.take_back().await?;
        let Some((account, proof)) = stored else { return Ok(Outcome::Wrong) };
        Ok(sessions::begin(&self.app, account, &proof, from).await?.map_or(Outcome::Wrong, Outcome::In))
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
