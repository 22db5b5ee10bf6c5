//! Passwords: Argon2id (RFC 9106), as text that holds its own parameters and salt.

use sodiumoxide::crypto::pwhash::argon2id13;

use super::insist_on_init;

/// What it costs to try a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// OWASP's least recommended pair: devices sign in with random passwords of 16 bytes. Some tens of milliseconds, 19 MiB.
    Device,
    /// People think their passwords up: the second recommended memory of RFC 9106, section 4. About 100 milliseconds, 64 MiB.
    Person,
}

impl Cost {
    /// Passes, and memory in bytes.
    fn limits(self) -> (argon2id13::OpsLimit, argon2id13::MemLimit) {
        let (passes, mib) = match self {
            Self::Device => (2, 19),
            Self::Person => (3, 64),
        };
        (argon2id13::OpsLimit(passes), argon2id13::MemLimit(mib << 20))
    }
}

/// The form in which a password is stored; none when there is not enough memory.
pub fn hash_password(password: &[u8], cost: Cost) -> Option<String> {
    insist_on_init();
    let (passes, memory) = cost.limits();
    let hash = argon2id13::pwhash(password, passes, memory).ok()?;
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
        let stored = hash_password(b"0123456789abcdef", Cost::Device).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(password_is(&stored, b"0123456789abcdef"));
        assert!(!password_is(&stored, b"0123456789abcdeg"));
        assert!(!password_is(&stored, b""));
        assert!(!password_is("", b"0123456789abcdef"));
        assert!(!password_is(&"$".repeat(500), b"x"));
        assert_ne!(hash_password(b"x", Cost::Device), hash_password(b"x", Cost::Device));
        let dear = hash_password(b"correct horse", Cost::Person).unwrap();
        assert!(dear.starts_with("$argon2id$v=19$m=65536,t=3,p=1$") && password_is(&dear, b"correct horse"), "{dear}");
    }
}
