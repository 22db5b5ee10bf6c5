//! `f_in_g`: the same for all personas of a space, another one for every sector.

use super::canonical;
use crate::crypto::{encode_hex, sodium};

/// The sector of sites whose merchant sees the one fingerprint that all merchants see, as the original words it.
pub const GLOBAL: &str = "global";

/// Keyed BLAKE2b over the space and the sector (the site's id, what stands for its merchant, or [`GLOBAL`]), as 64 hex digits.
/// `key` is the hub's fingerprint key, which never changes: merchants know people by what it makes.
pub fn of(key: &[u8; 32], root_id: &str, sector: &str) -> String {
    encode_hex(&sodium::keyed_hash(&canonical("homing/f_in_g/v1", &[root_id.as_bytes(), sector.as_bytes()]), key))
}

/// Whether this has the form of a fingerprint.
pub fn is_one(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_other_programs() {
        let one = of(&[6; 32], "user-root-0001", "hst_demo");
        assert_eq!(one, "ab31f0fe5add2f0770f847a70f187fd3af5760590693b7c0fc567990002fdf6a");
        assert!(is_one(&one) && !is_one(&one[1..]) && !is_one(&one.to_uppercase()));
        assert_ne!(of(&[6; 32], "user-root-0001", "hst_other"), one);
    }
}
