//! The two cookies: the state of a login that has begun, and the session.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use crate::gateway::Site;

/// Ties a login to the browser that began it.
pub(super) const STATE: &str = "hs_state";
/// Whoever is signed in.
pub(super) const SESSION: &str = "hs_session";

/// A cookie of the request.
pub(super) fn get<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// Comes back with the hub's form, which is another site's: browsers send only `SameSite=None` cookies with that, and take those only
/// with `Secure` (which they also do on loopback, where development is).
pub(super) fn state(value: &str, seconds: i64) -> HeaderValue {
    header(format!("{STATE}={value}; Path=/homing; HttpOnly; Secure; SameSite=None; Max-Age={seconds}"))
}

/// For the merchant's whole site: its application looks the session up.
pub(super) fn session(site: &Site, value: &str, seconds: i64) -> HeaderValue {
    let secure = if site.url.starts_with("https://") { "; Secure" } else { "" };
    header(format!("{SESSION}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"))
}

fn header(text: String) -> HeaderValue {
    let mut header = HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    header.set_sensitive(true);
    header
}
