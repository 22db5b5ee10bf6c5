//! The two cookies: the state of a login that has begun, and the session.
//!
//! Over https their names begin with `__Host-`: browsers take such a cookie only from this very host, for all its paths, so that no other
//! host of the same domain can put one of its own in its place (RFC 6265bis §4.1.3.2). Development over http has the plain names.

use http::{HeaderMap, HeaderValue};

use crate::doors::site::cookie;
use crate::gateway::Site;

/// Ties a login to the browser that began it.
const STATE: &str = "hs_state";
/// Whoever is signed in.
const SESSION: &str = "hs_session";

/// The state that the browser has.
pub(super) fn state<'a>(site: &Site, headers: &'a HeaderMap) -> Option<&'a str> {
    cookie(headers, &name(site, STATE))
}

/// The session that the browser has.
pub(super) fn session<'a>(site: &Site, headers: &'a HeaderMap) -> Option<&'a str> {
    cookie(headers, &name(site, SESSION))
}

/// Comes back with the hub's form, which is another site's: browsers send only `SameSite=None` cookies with that, and take those only
/// with `Secure` (which they also do on loopback, where development is).
pub(super) fn set_state(site: &Site, value: &str, seconds: i64) -> HeaderValue {
    let name = name(site, STATE);
    header(format!("{name}={value}; Path=/; HttpOnly; Secure; SameSite=None; Max-Age={seconds}"))
}

/// For the merchant's whole site: its application looks the session up.
pub(super) fn set_session(site: &Site, value: &str, seconds: i64) -> HeaderValue {
    let (name, secure) = (name(site, SESSION), if is_secure(site) { "; Secure" } else { "" });
    header(format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"))
}

fn name(site: &Site, plain: &str) -> String {
    if is_secure(site) { format!("__Host-{plain}") } else { plain.to_owned() }
}

fn is_secure(site: &Site) -> bool {
    site.url.starts_with("https://")
}

fn header(text: String) -> HeaderValue {
    let mut header = HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    header.set_sensitive(true);
    header
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(line: &[u8]) {
    let Ok(line) = HeaderValue::from_bytes(line) else { return };
    let mut headers = HeaderMap::new();
    headers.append(http::header::COOKIE, line.clone());
    let once = cookie(&headers, SESSION).map(str::to_owned);
    assert!(once.as_ref().is_none_or(|value| !value.contains(';')));
    // The same cookie twice is nobody's.
    headers.append(http::header::COOKIE, line);
    assert!(once.is_none() || cookie(&headers, SESSION).is_none(), "one of two cookies was taken");
}
