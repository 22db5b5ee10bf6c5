//! The last hop: the URL with which the user's browser arrives at the merchant's endpoint.
//!
//! `<endpoint>?<the merchant's query, verbatim>&f_in_g=<hex>&hs_ts=<seconds>&hs_sig=<base64url>`; the values of the scopes come in
//! the body, as `sc_<name>`.

use super::{decode_exact, encode, fingerprint, signed};
use crate::crypto::{SigningKey, sodium};

/// What a hub releases.
#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    /// The site's id.
    pub site: &'a str,
    /// Where the user arrives.
    pub endpoint: &'a str,
    /// The merchant's query, byte for byte.
    pub query: &'a str,
    /// The user's fingerprint at this site.
    pub f_in_g: &'a str,
    /// The moment of release, Unix seconds.
    pub hs_ts: i64,
    /// What the user granted, as [`super::scopes::Scopes::granted`] writes it.
    pub granted: &'a str,
}

impl Release<'_> {
    /// The whole URL to post to, signed with the hub's key.
    pub fn action(&self, key: &SigningKey) -> String {
        let query = self.signed_query();
        let signature = key.sign(&signed::release(self.site, self.endpoint, &query, self.granted));
        format!("{}?{query}&hs_sig={}", self.endpoint, encode(&signature))
    }

    fn signed_query(&self) -> String {
        format!("{}&f_in_g={}&hs_ts={}", self.query, self.f_in_g, self.hs_ts)
    }
}

/// The query that arrived at an endpoint, taken apart at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived<'a> {
    /// The merchant's own part, verbatim.
    pub query: &'a str,
    /// The fingerprint.
    pub f_in_g: &'a str,
    /// The moment of release, Unix seconds.
    pub hs_ts: i64,
    signed: &'a str,
    signature: [u8; 64],
}

impl<'a> Arrived<'a> {
    /// From the query's bytes as they were received; none when its end is not a release's.
    pub fn parse(query: &'a str) -> Option<Self> {
        let (signed, signature) = query.rsplit_once("&hs_sig=")?;
        let (rest, hs_ts) = signed.rsplit_once("&hs_ts=")?;
        let (query, f_in_g) = rest.rsplit_once("&f_in_g=")?;
        // No sign, no leading zeros: one number has one text.
        let number: i64 = hs_ts.parse().ok().filter(|number: &i64| number.to_string() == hs_ts)?;
        let signature = decode_exact(signature)?;
        fingerprint::is_one(f_in_g).then_some(Self { query, f_in_g, hs_ts: number, signed, signature })
    }

    /// Whether one of the hub's keys vouches for it, at this site and endpoint, with this granted.
    pub fn is_signed_by(&self, keys: &[[u8; 32]], site: &str, endpoint: &str, granted: &str) -> bool {
        let text = signed::release(site, endpoint, self.signed, granted);
        keys.iter().any(|key| sodium::verify(&text, &self.signature, key))
    }
}

/// Whether a moment is inside the window: up to `window` seconds ago, or up to 2 ahead (clocks differ). Whole seconds: with a window
/// of 10, 10 is inside and 11 is not.
pub fn is_fresh(now: i64, then: i64, window: i64) -> bool {
    let age = now.saturating_sub(then);
    -2 <= age && age <= window
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::encode_hex;
    use proptest::prelude::*;

    const ENDPOINT: &str = "https://shop.example/homing/endpoint";
    const RELEASE: Release = Release {
        site: "hst_demo",
        endpoint: ENDPOINT,
        query: "username=alice&ts=1700000000&n=AAECAwQFBgcICQoLDA0ODw&otp=2571ae18f3a3de4d50158d24c8a988944daa5ac0bfaedb9c101142b84b13b997",
        f_in_g: "ab31f0fe5add2f0770f847a70f187fd3af5760590693b7c0fc567990002fdf6a",
        hs_ts: 1_700_000_042,
        granted: "email;phone1",
    };

    /// Made with PHP's sodium.
    #[test]
    fn a_release_is_that_of_other_programs() {
        let hub = SigningKey::from_seed(&[7; 32]);
        assert_eq!(encode_hex(hub.public()), "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c");
        let action = RELEASE.action(&hub);
        let signature = "-QxRJp-ky4zxTUBCo7qiFrAfso4AbIgTFuu-ARhiSw027p6zH2od3nV47ffw7TH46mltnOZ7CPyxW1mLUN-QBQ";
        assert!(action.ends_with(&format!("&hs_ts=1700000042&hs_sig={signature}")), "{action}");
        let query = action.strip_prefix(ENDPOINT).unwrap().strip_prefix('?').unwrap();
        let arrived = Arrived::parse(query).unwrap();
        assert_eq!((arrived.query, arrived.f_in_g, arrived.hs_ts), (RELEASE.query, RELEASE.f_in_g, RELEASE.hs_ts));
        let old = *SigningKey::from_seed(&[6; 32]).public();
        let good = |site, endpoint, granted| arrived.is_signed_by(&[old, *hub.public()], site, endpoint, granted);
        assert!(good("hst_demo", ENDPOINT, "email;phone1"));
        assert!(!good("hst_other", ENDPOINT, "email;phone1"));
        assert!(!good("hst_demo", "https://evil.example", "email;phone1"));
        assert!(!good("hst_demo", ENDPOINT, "email"));
        assert!(!arrived.is_signed_by(&[old], "hst_demo", ENDPOINT, "email;phone1"));
    }

    #[test]
    fn every_byte_of_the_query_is_signed() {
        let hub = SigningKey::from_seed(&[7; 32]);
        let action = RELEASE.action(&hub);
        let query = action.split_once('?').unwrap().1;
        for at in 0..query.len() {
            let mut bytes = query.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(bytes).unwrap();
            let good = Arrived::parse(&changed)
                .is_some_and(|arrived| arrived.is_signed_by(&[*hub.public()], "hst_demo", ENDPOINT, "email;phone1"));
            assert!(!good, "{at}");
        }
    }

    #[test]
    fn a_merchants_query_survives_byte_for_byte() {
        let hub = SigningKey::from_seed(&[7; 32]);
        for query in ["b=%20&a=+&b=2&a=%2B&&=;", "", "x=%zz", "&f_in_g=1&hs_ts=2"] {
            let action = Release { query, ..RELEASE }.action(&hub);
            let arrived = Arrived::parse(action.split_once('?').unwrap().1).unwrap();
            assert_eq!(arrived.query, query);
            assert!(arrived.is_signed_by(&[*hub.public()], "hst_demo", ENDPOINT, "email;phone1"));
        }
    }

    #[test]
    fn the_window_is_of_whole_seconds() {
        for (then, fresh) in
            [(90, true), (89, false), (100, true), (102, true), (103, false), (i64::MIN, false), (i64::MAX, false)]
        {
            assert_eq!(is_fresh(100, then, 10), fresh, "{then}");
        }
    }

    proptest! {
        #[test]
        fn whatever_arrives(query in ".{0,100}") {
            let _ = Arrived::parse(&query);
        }

        #[test]
        fn only_one_text_a_number(hs_ts in "[+-]?[0-9]{0,20}") {
            let query = format!("&f_in_g={}&hs_ts={hs_ts}&hs_sig={}", RELEASE.f_in_g, encode(&[0; 64]));
            if let Some(arrived) = Arrived::parse(&query) {
                prop_assert_eq!(arrived.hs_ts.to_string(), hs_ts);
            }
        }
    }
}
