//! Passwords: Argon2id (RFC 9106), as text that holds its own parameters and salt.

use sodiumoxide::crypto::pwhash::argon2id13;

use super::insist_on_init;

/// Passes, and memory in bytes: OWASP's least recommended pair, because devices sign in with random passwords of 16 bytes.
const PASSES: argon2id13::OpsLimit = argon2id13::OpsLimit(2);
const MEMORY: argon2id13::MemLimit = argon2id13::MemLimit(19 << 20);

/// The form in which a password is stored; none when there is not enough memory. Takes some tens of milliseconds of CPU.
pub fn hash_password(password: &[u8]) -> Option<String> {
    insist_on_init();
    let hash = argon2id13::pwhash(password, PASSES, MEMORY).ok()?;
    // The text is padded with zero bytes.
    let text: Vec<u8> = hash.0.iter().copied().take_while(|byte| *byte != 0).collect();
    String::from_utf8(text).ok()
}

/// Whether the password is the one that was stored. Takes as long as [`hash_password`].
pub fn password_is(stored: &str, password: &[u8]) -> bool {
    insist_on_init();
    let mut padded = [0; argon2id13::HASHEDPASSWORDBYTES];
    let Some(room) = padded.get_mut(..stored.len()) else { return false };
    room.copy_from_slice(stored.as_bytes());
    argon2id13::HashedPassword::from_slice(&padded).is_some_and(|hash| argon2id13::pwhash_verify(&hash, password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_again_and_stored_differently_each_time() {
        let stored = hash_password(b"0123456789abcdef").unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(password_is(&stored, b"0123456789abcdef"));
        assert!(!password_is(&stored, b"0123456789abcdeg"));
        assert!(!password_is(&stored, b""));
        assert!(!password_is("", b"0123456789abcdef"));
        assert!(!password_is(&"$".repeat(500), b"x"));
        assert_ne!(hash_password(b"x"), hash_password(b"x"));
    }
}
