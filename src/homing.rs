//! Homing Space, HS/1: the wire types and rules that gateway, hub and a user's agent share. No input or output.
//!
//! Somebody names a persona at a merchant's form; the merchant's gateway has the hub make a [`welcome`]; the user's browser or agent
//! opens it, and says with a signature ([`signed`]) what is granted; the hub signs the [`release`], with which the browser arrives
//! at the merchant's endpoint.
//!
//! Promises: what is signed or hashed is unambiguous bytes ([`canonical`]), so nothing made for one purpose is good for another;
//! queries are carried byte for byte. The original's wire format is not public beyond what its documentation for merchants says:
//! the names it fixes (`f_in_g`, `sc_…`, the scopes' grammar) are kept, everything of ours begins with `hs_`.
//! Leaves out who asks whom (`crate::gateway`, `crate::hub`) and reading files, but for [`keys::KeyFile`].

pub mod fingerprint;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod ids;
pub mod keys;
pub mod otp;
mod persona;
pub mod query;
pub mod release;
pub mod scopes;
pub mod signed;
pub mod values;
pub mod vault;
pub mod welcome;

pub use persona::{BadPersona, Persona};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The bytes that are signed, hashed or authenticated: `tag ‖ 0x00 ‖ (length ‖ bytes)…`, lengths as 32 bits, big-endian.
/// Lengths keep `["ab", "c"]` apart from `["a", "bc"]`, tags one purpose from another.
pub fn canonical(tag: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(tag.len() + 1 + parts.iter().map(|part| part.len() + 4).sum::<usize>());
    bytes.extend_from_slice(tag.as_bytes());
    bytes.push(0);
    for part in parts {
        // Nothing that is signed is anywhere near 4 GiB: doors refuse bodies long before.
        bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// Binary as it stands in JSON and URLs: base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What [`encode`] made; none for any other text, padded or not canonical ones among them.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// [`decode`], of exactly `N` bytes.
pub fn decode_exact<const N: usize>(text: &str) -> Option<[u8; N]> {
    decode(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_be_shifted() {
        assert_eq!(canonical("t", &[b"ab", b""]), b"t\0\0\0\0\x02ab\0\0\0\0");
        assert_ne!(canonical("t", &[b"ab", b"c"]), canonical("t", &[b"a", b"bc"]));
        assert_ne!(canonical("t", &[]), canonical("u", &[]));
    }

    #[test]
    fn binary_has_one_text_only() {
        assert_eq!(encode(&[0xfb, 0xff]), "-_8");
        assert_eq!(decode_exact::<2>("-_8"), Some([0xfb, 0xff]));
        for other in ["-_8=", "+/8", "-_9", " -_8", "-_8AA"] {
            assert_eq!(decode_exact::<2>(other), None, "{other}");
        }
    }
}
