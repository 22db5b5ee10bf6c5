//! A signed-in browser: a sealed cookie.
//!
//! The cookie holds what the site knows somebody by (an API key, the id of a stored session) under the node key, when it ends, and the
//! token that the session's own forms carry, against forged requests. What it opens is looked up anew with each request, so that a
//! revoked key ends every session begun with it. Leaves out who may sign in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use super::{Site, cookie};
use crate::App;
use crate::crypto::{Purpose, encode_hex, random, same};

/// The name of the field in which a form carries its session's token.
pub(in crate::doors) const TOKEN_FIELD: &str = "token";

/// What tells one session from another, and its forms from forged ones.
pub(in crate::doors) type Token = [u8; 16];

/// Who is signed in.
#[derive(Clone)]
pub(in crate::doors) struct Session {
    secret: Zeroizing<String>,
    token: Token,
    /// Unix seconds.
    until: i64,
}

impl Session {
    /// A new one for what was just checked.
    pub(in crate::doors) fn begin(app: &App, site: &Site, secret: &str) -> Self {
        let until = app.clock.unix_seconds() + site.life_seconds;
        Self { secret: Zeroizing::new(secret.to_owned()), token: random(), until }
    }

    /// From a request's cookies, if one of them is of this site and not past.
    pub(in crate::doors) fn from_headers(app: &App, site: &Site, headers: &HeaderMap) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(cookie(headers, site.cookie)?).ok()?;
        let opened = app.keys.open(Purpose::Session, site.context.as_bytes(), &sealed).ok()?;
        Self::decode(&opened).filter(|session| !session.is_past(app))
    }

    /// The session as a cookie.
    pub(in crate::doors) fn cookie(&self, app: &App, site: &Site) -> HeaderValue {
        let sealed = app.keys.seal(Purpose::Session, site.context.as_bytes(), &self.encode());
        site.set_cookie(site.cookie, &URL_SAFE_NO_PAD.encode(sealed), site.life_seconds)
    }

    /// Token, end, secret.
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([&self.token[..], &self.until.to_be_bytes(), self.secret.as_bytes()].concat())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (token, rest) = bytes.split_first_chunk()?;
        let (until, secret) = rest.split_first_chunk()?;
        let secret = Zeroizing::new(std::str::from_utf8(secret).ok()?.to_owned());
        Some(Self { secret, token: *token, until: i64::from_be_bytes(*until) })
    }

    /// What the site knows somebody by.
    pub(in crate::doors) fn secret(&self) -> &str {
        &self.secret
    }

    /// Whether its time is over.
    pub(in crate::doors) fn is_past(&self, app: &App) -> bool {
        self.until <= app.clock.unix_seconds()
    }

    /// Its end, in Unix seconds.
    pub(in crate::doors) fn until(&self) -> i64 {
        self.until
    }

    /// What tells it from others; not a secret that opens anything without the cookie.
    pub(in crate::doors) fn id(&self) -> Token {
        self.token
    }

    /// What every form of this session carries in [`TOKEN_FIELD`].
    pub(in crate::doors) fn token(&self) -> String {
        encode_hex(&self.token)
    }

    /// Whether a form carries this session's token.
    pub(in crate::doors) fn owns(&self, token: &str) -> bool {
        same(self.token().as_bytes(), token.as_bytes())
    }
}

/// The cookie that ends a session.
pub(in crate::doors) fn end(site: &Site) -> HeaderValue {
    site.set_cookie(site.cookie, "", 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::COOKIE;

    const SITE: Site = Site { secure: true, ..Site::SAMPLE };

    fn sent(cookie: &HeaderValue) -> HeaderMap {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        HeaderMap::from_iter([(COOKIE, pair.parse().unwrap())])
    }

    #[tokio::test]
    async fn a_session_comes_back_and_opens_its_own_site_only() {
        let app = App::for_tests("shop.example");
        let session = Session::begin(&app, &SITE, "hf_secret");
        let cookie = session.cookie(&app, &SITE);
        let text = cookie.to_str().unwrap();
        assert!(text.contains("; Path=/here; HttpOnly; SameSite=Strict; Max-Age=60; Secure"), "{text}");
        assert!(!text.contains("hf_secret"));
        let back = Session::from_headers(&app, &SITE, &sent(&cookie)).unwrap();
        assert_eq!((back.secret(), back.owns(&session.token()), back.owns("")), ("hf_secret", true, false));
        let other = Site { context: "there", ..SITE };
        assert!(Session::from_headers(&app, &other, &sent(&cookie)).is_none());
        assert!(Session::from_headers(&app, &SITE, &sent(&end(&SITE))).is_none());
    }

    #[tokio::test]
    async fn a_session_that_is_past_is_none() {
        let app = App::for_tests("shop.example");
        let site = Site { life_seconds: 0, ..SITE };
        let cookie = Session::begin(&app, &site, "x").cookie(&app, &site);
        assert!(Session::from_headers(&app, &site, &sent(&cookie)).is_none());
    }
}
