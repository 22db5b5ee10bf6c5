//! What users, spaces and merchants sign, byte for byte. Each is signed with `crypto_sign` and checked with
//! [`crate::crypto::sodium::verify`].

use super::canonical;

/// A user's approval of a challenge, by the persona's sign key: `granted` as [`super::scopes::Scopes::granted`] writes it.
pub fn approval(challenge: &str, granted: &str) -> Vec<u8> {
    decision(challenge, "approve", granted)
}

/// A user's denial, by the persona's sign key.
pub fn denial(challenge: &str) -> Vec<u8> {
    decision(challenge, "deny", "")
}

/// A new space, by its own sign key: the public key as base64url, the vault's text.
pub fn space(sign_pk: &str, vault: &str) -> Vec<u8> {
    canonical("homing/space/v1", &[b"create", sign_pk.as_bytes(), vault.as_bytes()])
}

/// Signing in to a space, by its sign key, over the hub's nonce.
pub fn space_login(space: &str, nonce: &str) -> Vec<u8> {
    canonical("homing/space-login/v1", &[space.as_bytes(), nonce.as_bytes()])
}

/// A merchant that asks how a challenge stands, by the site's sign key; `ts` in Unix seconds.
pub fn status(site: &str, challenge: &str, ts: i64) -> Vec<u8> {
    canonical("homing/status/v1", &[site.as_bytes(), challenge.as_bytes(), ts.to_string().as_bytes()])
}

/// A welcome request, by the site's sign key: over the payload's bytes as they travel, so that no JSON needs a canonical form.
/// (Where the payload is boxed, over nonce and box.)
pub fn welcome(payload: &[u8]) -> Vec<u8> {
    let mut bytes = b"homing/welcome/v1\0".to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// A release, by the hub's sign key: `query` is everything up to `&hs_sig=`.
pub fn release(site: &str, endpoint: &str, query: &str, granted: &str) -> Vec<u8> {
    canonical("homing/release/v1", &[site, endpoint, query, granted].map(str::as_bytes))
}

fn decision(challenge: &str, what: &str, granted: &str) -> Vec<u8> {
    canonical("homing/approve/v1", &[challenge, what, granted].map(str::as_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{SigningKey, encode_hex};

    /// Made with PHP's sodium.
    #[test]
    fn signatures_are_those_of_other_programs() {
        let merchant = SigningKey::from_seed(&[1; 32]);
        assert_eq!(encode_hex(merchant.public()), "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c");
        let signature = merchant.sign(&welcome(br#"{"v":1,"site":"hst_demo","username":"alice"}"#));
        assert_eq!(
            encode_hex(&signature),
            "9691556e8b846e5c1a0c18c19621d7033b76682c851372063c5ed685b735ae5e16486a032391bccb2b4357c423f6f78a4294b3886f44c72e5c39e7498ae82002"
        );
        let signature = SigningKey::from_seed(&[8; 32]).sign(&approval("hsc_0001", "email;phone1"));
        assert_eq!(
            encode_hex(&signature),
            "d382d1d1a8ce5922295153dc0fb598ed80aadc27ffefb20769fd8df04b3489fb04a68403e11cbb74f9872eb75738c49f8237b37d8df4b4eba61248d98b099d05"
        );
    }

    #[test]
    fn a_denial_is_no_approval() {
        assert_ne!(denial("hsc_0001"), approval("hsc_0001", ""));
    }
}
