//! The one-time password that ties a login to the merchant's request, and the secret sauce it is made with.

use std::fmt;

use zeroize::Zeroizing;

use super::{canonical, decode_exact, encode};
use crate::crypto::{self, encode_hex, random, sodium};

/// A site's secret sauce: 32 bytes that merchant and hub share. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Sauce(Zeroizing<[u8; 32]>);

/// This is no sauce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret sauce is hss_ and 43 characters, as the hub's page shows it")]
pub struct BadSauce;

/// What an HMAC one-time password is over.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The site's id.
    pub site: &'a str,
    /// The persona, as the merchant sent it.
    pub username: &'a str,
    /// Unix seconds.
    pub ts: i64,
    /// The attempt: 16 random bytes as base64url.
    pub n: &'a str,
    /// Where the user will arrive.
    pub endpoint: &'a str,
    /// What is asked for, verbatim.
    pub scopes: &'a str,
}

impl Sauce {
    /// A new one.
    pub fn generate() -> Self {
        Self(Zeroizing::new(random()))
    }

    /// From `hss_…`; blanks around it do not count.
    pub fn parse(text: &str) -> Result<Self, BadSauce> {
        let bytes = text.trim().strip_prefix("hss_").and_then(decode_exact).ok_or(BadSauce)?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// From its bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// Its bytes, for sealing.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// `hss_…`, shown once.
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("hss_{}", encode(&*self.0)))
    }
}

impl fmt::Debug for Sauce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sauce")
    }
}

/// `crypto_auth` with the sauce, as 64 hex digits.
pub fn hmac(sauce: &Sauce, parts: &Parts) -> String {
    let ts = parts.ts.to_string();
    let parts = [parts.site, parts.username, &ts, parts.n, parts.endpoint, parts.scopes].map(str::as_bytes);
    encode_hex(&sodium::auth(&canonical("homing/otp/v1", &parts), sauce.bytes()))
}

/// The original sample's: MD5 of username, time and salt run together, as 32 hex digits. The salt is the sauce's text, `hss_…`.
/// Ambiguous (`ab`, `1…` or `a`, `b1…`) and no MAC: taken only where the settings or the site say so.
pub fn md5(username: &str, ts: i64, salt: &str) -> String {
    encode_hex(&crypto::md5(&[username.as_bytes(), ts.to_string().as_bytes(), salt.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_other_programs() {
        let parts = Parts {
            site: "hst_demo",
            username: "alice",
            ts: 1_700_000_000,
            n: "AAECAwQFBgcICQoLDA0ODw",
            endpoint: "https://shop.example/homing/endpoint",
            scopes: "email|phone1",
        };
        let otp = hmac(&Sauce::from_bytes(&[4; 32]), &parts);
        assert_eq!(otp, "2571ae18f3a3de4d50158d24c8a988944daa5ac0bfaedb9c101142b84b13b997");
        assert_ne!(hmac(&Sauce::from_bytes(&[4; 32]), &Parts { username: "alic", ..parts }), otp);
        assert_eq!(md5("alice", 1_700_000_000, "sauce"), "13abfcc10df1124213d437e49f8160df");
    }

    #[test]
    fn a_sauce_has_one_text() {
        let sauce = Sauce::generate();
        assert_eq!(Sauce::parse(&sauce.text()).unwrap().bytes(), sauce.bytes());
        for bad in ["", "hss_", "hss_AAAA", "AAAA"] {
            assert_eq!(Sauce::parse(bad).err(), Some(BadSauce), "{bad}");
        }
        assert_eq!(format!("{sauce:?}"), "Sauce");
    }
}
