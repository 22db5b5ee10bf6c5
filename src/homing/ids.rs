//! Public ids: a prefix that says of what, and random bytes as base64url.

use super::{decode_exact, encode};
use crate::crypto::random;

/// A site, `hst_` and 16 characters. Public.
pub fn site() -> String {
    format!("hst_{}", encode(&random::<12>()))
}

/// A challenge, `hsc_` and 22 characters (128 bits). Whoever has it may look at the approval page, nothing else.
pub fn challenge() -> String {
    format!("hsc_{}", encode(&random::<16>()))
}

/// A space, `hsp_` and 22 characters. Secret: with the password it moves a space to another phone.
pub fn space() -> String {
    format!("hsp_{}", encode(&random::<16>()))
}

/// Whether this could be a site's id: `hst_` and 1 to 32 letters, digits, `-` or `_`, since other hubs may make theirs otherwise.
pub fn is_site(text: &str) -> bool {
    let rest = text.strip_prefix("hst_").unwrap_or_default();
    (1..=32).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Whether this has the form of our challenges' ids.
pub fn is_challenge(text: &str) -> bool {
    text.strip_prefix("hsc_").and_then(decode_exact::<16>).is_some()
}

/// Whether this has the form of our spaces' ids.
pub fn is_space(text: &str) -> bool {
    text.strip_prefix("hsp_").and_then(decode_exact::<16>).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_known_by_their_form() {
        assert!(is_site(&site()) && is_site("hst_demo") && site().len() == 20);
        assert!(is_challenge(&challenge()) && challenge().len() == 26);
        assert!(is_space(&space()));
        for other in ["", "hst_", "hst_a b", "hsc_demo", &space()] {
            assert!(!is_site(other) && !is_challenge(other), "{other}");
        }
    }
}
