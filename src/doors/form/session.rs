//! A signed-in browser: a sealed cookie, nothing on our side.
//!
//! The cookie holds the API key under the node key, so that revoking the key ends every session begun with it, and a token that
//! our own forms carry (against forged requests). It opens nothing but this door.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use http::header::GetAll;
use zeroize::Zeroizing;

use crate::App;
use crate::crypto::{Purpose, encode_hex, random, same};

const COOKIE: &str = "hf_session";
/// Seals for this door only.
const CONTEXT: &[u8] = b"handshake form session";
/// How long a session lasts.
const LIFE_SECONDS: i64 = 12 * 3600;

type Token = [u8; 16];

/// Who is signed in.
pub(super) struct Session {
    key: Zeroizing<String>,
    token: Token,
    /// Unix seconds.
    until: i64,
}

impl Session {
    /// A new one for a key that was just checked.
    pub(super) fn begin(app: &App, key: &str) -> Self {
        Self { key: Zeroizing::new(key.to_owned()), token: random(), until: app.clock.unix_seconds() + LIFE_SECONDS }
    }

    /// From a request's cookies, if one of them is ours and not past.
    pub(super) fn from_cookies(app: &App, cookies: GetAll<'_, HeaderValue>) -> Option<Self> {
        let lines = cookies.iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(name, _)| *name == COOKIE)?;
        let sealed = URL_SAFE_NO_PAD.decode(value).ok()?;
        let opened = app.keys.open(Purpose::Session, CONTEXT, &sealed).ok()?;
        let session = Self::decode(&opened)?;
        (session.until > app.clock.unix_seconds()).then_some(session)
    }

    /// The session as a cookie.
    pub(super) fn cookie(&self, app: &App) -> HeaderValue {
        let value = URL_SAFE_NO_PAD.encode(app.keys.seal(Purpose::Session, CONTEXT, &self.encode()));
        set_cookie(app, &value, LIFE_SECONDS)
    }

    /// Token, end, key.
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([&self.token[..], &self.until.to_be_bytes(), self.key.as_bytes()].concat())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (token, rest) = bytes.split_first_chunk()?;
        let (until, key) = rest.split_first_chunk()?;
        let key = Zeroizing::new(std::str::from_utf8(key).ok()?.to_owned());
        Some(Self { key, token: *token, until: i64::from_be_bytes(*until) })
    }

    /// The API key behind the session.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// What every form of this session carries.
    pub(super) fn token(&self) -> String {
        encode_hex(&self.token)
    }

    /// Whether a form carries this session's token.
    pub(super) fn owns(&self, token: &str) -> bool {
        same(self.token().as_bytes(), token.as_bytes())
    }
}

/// The cookie that ends a session.
pub(super) fn end(app: &App) -> HeaderValue {
    set_cookie(app, "", 0)
}

fn set_cookie(app: &App, value: &str, seconds: i64) -> HeaderValue {
    let secure = if app.config.private.secure_cookie { "; Secure" } else { "" };
    let text = format!("{COOKIE}={value}; Path=/handshake; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    let mut header = HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    header.set_sensitive(true);
    header
}
