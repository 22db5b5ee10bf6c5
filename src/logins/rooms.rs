//! How often logins may be begun and codes tried: by network, by application, by country. Buckets that all processes share.
//!
//! What is refused by one bucket takes nothing from those before it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use super::{Address, Origin, country};
use crate::App;
use crate::config::Bucket;
use crate::db::DbError;
use crate::guessing::network;
use crate::limits::{self, Spent};

/// When each country was last warned of, in this process.
static SAID: LazyLock<Mutex<HashMap<String, i64>>> = LazyLock::new(Mutex::default);

/// The scope of an application's tries.
const TRIES_OF_APP: &str = "login-tries-app";

/// What a bucket is counted under, and how much it holds.
struct Room {
    scope: &'static str,
    key: String,
    bucket: Bucket,
}

/// A login is begun; none: go on. Else it may be tried again after that time.
pub(super) async fn begin(app: &App, appid: &str, origin: &Origin) -> Result<Option<Duration>, DbError> {
    let limits = &app.config.mesibo.limits;
    let mut rooms = Vec::new();
    if let Some(ip) = origin.ip {
        rooms.push(Room { scope: "login-starts-ip", key: network(ip), bucket: limits.starts_per_ip });
        rooms.push(Room { scope: "login-starts-net", key: wider(ip), bucket: limits.starts_per_network });
    }
    rooms.push(Room { scope: "login-starts-app", key: appid.to_owned(), bucket: limits.starts_per_app });
    take(app, &rooms).await
}

/// A code is tried; none: go on.
pub(super) async fn attempt(app: &App, appid: &str, origin: &Origin) -> Result<Option<Duration>, DbError> {
    let limits = &app.config.mesibo.limits;
    let mut rooms = Vec::new();
    if let Some(ip) = origin.ip {
        rooms.push(Room { scope: "login-tries-ip", key: network(ip), bucket: limits.tries_per_ip });
        rooms.push(Room { scope: "login-tries-net", key: wider(ip), bucket: limits.tries_per_network });
    }
    rooms.push(Room { scope: TRIES_OF_APP, key: appid.to_owned(), bucket: limits.tries_per_app });
    take(app, &rooms).await
}

/// There was no live code to try one on: the application's users are not kept out by it, only the network that it came from pays.
/// Nobody waits for it, so that the answer takes no longer than another.
pub(super) fn nothing_was_tried(app: &App, appid: &str) {
    let (app, appid) = (app.clone(), appid.to_owned());
    tokio::spawn(async move {
        if let Err(error) = limits::give_back(&app, TRIES_OF_APP, &appid, 1).await {
            tracing::debug!(%error, "an application's room for tries could not be given back");
        }
    });
}

/// What messages to one country may cost. It has room for a message that is going to be sent, or not: then it is given back.
pub(super) struct ToCountry(Option<Room>);

impl ToCountry {
    /// Takes room for one message; `Err`: there is none for that time, which is the sign of somebody who is paid for messages.
    pub(super) async fn take(app: &App, address: &Address) -> Result<Result<Self, Duration>, DbError> {
        let Address::Phone(digits) = address else { return Ok(Ok(Self(None))) };
        let code = country::code(digits).unwrap_or_default();
        let bucket = app.config.mesibo.limits.sends_per_country;
        let room = Room { scope: "login-sends-country", key: code.to_owned(), bucket };
        if let Some(wait) = take(app, std::slice::from_ref(&room)).await? {
            if is_news(code, app.clock.unix_seconds()) {
                tracing::warn!(
                    country = code,
                    "no more codes are sent to this country for now: mesibo.limits.sends_per_country"
                );
            }
            return Ok(Err(wait));
        }
        Ok(Ok(Self(Some(room))))
    }

    /// The message was none.
    pub(super) async fn give_back(self, app: &App) -> Result<(), DbError> {
        match self.0 {
            Some(room) => limits::give_back(app, room.scope, &room.key, 1).await,
            None => Ok(()),
        }
    }
}

/// Whether a country has not been warned of within a minute: whoever fills a budget could fill the log with it.
fn is_news(code: &str, now: i64) -> bool {
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let news = said.get(code).is_none_or(|before| now - before >= 60);
    if news {
        // Codes have at most three digits: there are not many.
        said.insert(code.to_owned(), now);
    }
    news
}

/// Takes from all, or from none.
async fn take(app: &App, rooms: &[Room]) -> Result<Option<Duration>, DbError> {
    for (n, room) in rooms.iter().enumerate() {
        if let Spent::Over(wait) = limits::spend(app, room.scope, &room.key, room.bucket, 1).await? {
            for before in rooms.iter().take(n) {
                limits::give_back(app, before.scope, &before.key, 1).await?;
            }
            return Ok(Some(wait.unwrap_or(limits::LONGEST_WINDOW)));
        }
    }
    Ok(None)
}

/// What an address is counted as among its neighbours: IPv4 as /24, IPv6 as /48.
fn wider(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}::/48")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_warned_of_once_a_minute() {
        let all = [("999", 0), ("999", 59), ("998", 59), ("999", 60)].map(|(code, at)| is_news(code, at));
        assert_eq!(all, [true, false, true, true]);
    }

    #[test]
    fn neighbours_are_counted_together() {
        for (ip, net) in [
            ("192.0.2.7", "192.0.2.0/24"),
            ("::ffff:192.0.2.7", "192.0.2.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ] {
            assert_eq!(wider(ip.parse().unwrap()), net);
        }
    }
}
