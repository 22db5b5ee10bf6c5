//! Queries and forms, key by key. A key that comes twice is refused: what two readers understand differently is nobody's word.

use std::collections::BTreeMap;

/// The pairs of a query or a form, decoded.
pub type Pairs = BTreeMap<String, String>;

/// The same key twice, or a text that is no UTF-8 once it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key that comes twice, or a text that is not UTF-8")]
pub struct BadPairs;

/// Decodes `application/x-www-form-urlencoded`.
pub fn pairs(text: &str) -> Result<Pairs, BadPairs> {
    let mut pairs = Pairs::new();
    for part in text.split('&').filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        if pairs.insert(unescape(key)?, unescape(value)?).is_some() {
            return Err(BadPairs);
        }
    }
    Ok(pairs)
}

/// Whether a merchant's query names what only the hub may add: `f_in_g`, or anything that begins with `hs_`, however it is
/// escaped. Keys may come twice here: only the merchant reads them.
pub fn is_reserved(query: &str) -> bool {
    query.split('&').any(|part| {
        let key = part.split('=').next().unwrap_or_default();
        // PHP reads `hs_ts`, `hs.ts`, `hs ts` and `hs_ts[0]` all as `hs_ts`, and drops blanks before.
        let Ok(key) = unescape(key) else { return true };
        let key = key.trim_start().replace(['.', ' ', '['], "_").to_ascii_lowercase();
        key.starts_with("hs_") || key == "f_in_g" || key.starts_with("f_in_g_")
    })
}

fn unescape(text: &str) -> Result<String, BadPairs> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        bytes.push(match (first, tail) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = after;
                digit(*high) << 4 | digit(*low)
            }
            (byte, _) => *byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| BadPairs)
}

fn digit(hex: u8) -> u8 {
    match hex {
        b'0'..=b'9' => hex - b'0',
        _ => (hex | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pairs_are_decoded_and_come_once() {
        let found = pairs("a=1&b=x%20y+z%2b&c&=e&%64=%C3%A9&p=100%").unwrap();
        let expected = [("a", "1"), ("b", "x y z+"), ("c", ""), ("", "e"), ("d", "é"), ("p", "100%")];
        assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        for bad in ["a=1&a=2", "a=1&%61=2", "a&a", "a=%ff", "%ff=1"] {
            assert_eq!(pairs(bad), Err(BadPairs), "{bad}");
        }
    }

    #[test]
    fn what_the_hub_adds_is_reserved_however_it_is_written() {
        for bad in [
            "f_in_g=1",
            "a=1&hs_ts=1",
            "%68s_sig=1",
            "HS_x",
            "hs.ts=1",
            "hs+ts=1",
            "+hs_ts=1",
            "f_in_g[]=1",
            "f.in.g=1",
        ] {
            assert!(is_reserved(bad), "{bad}");
        }
        for good in ["", "username=alice&ts=1", "a=hs_ts", "x_hs_=1", "a=1&a=2", "fing=1"] {
            assert!(!is_reserved(good), "{good}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_url_crate(text in "[a-c0-9%&=+]{0,30}") {
            let theirs: Vec<(String, String)> =
                url::form_urlencoded::parse(text.as_bytes()).map(|(k, v)| (k.into(), v.into())).collect();
            if let Ok(ours) = pairs(&text) {
                prop_assert_eq!(ours.len(), theirs.len());
                for (key, value) in theirs {
                    prop_assert_eq!(ours.get(&key), Some(&value));
                }
            }
        }

        #[test]
        fn whatever_arrives(text in ".{0,60}") {
            let _ = (pairs(&text), is_reserved(&text));
        }
    }
}
