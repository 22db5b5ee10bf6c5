//! What makes a connection, and the hexadecimal texts of the wire.
//!
//! Secrets print as dots, compare in constant time and are wiped when dropped. They do serialise, because asks and sealed rows carry
//! them: only ever serialise them into something that is sealed, or onto the wire to the peer they are for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::crypto::{HexError, decode_hex, decode_hex_any_case, encode_hex, random, random_below, same};

macro_rules! secret {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Zeroizing<[u8; 32]>);

        impl $name {
            /// A new one nobody can guess.
            pub fn random() -> Self {
                Self(Zeroizing::new(random()))
            }

            /// From its bytes, as stored.
            pub fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(Zeroizing::new(bytes))
            }

            /// From 64 hexadecimal digits of either case: only where the text itself is not hashed.
            pub fn from_hex_any_case(text: &str) -> Result<Self, HexError> {
                decode_hex_any_case(text).map(Self::from_bytes)
            }

            /// The 32 bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The 64 lower-case digits of the wire.
            pub fn to_hex(&self) -> Zeroizing<String> {
                Zeroizing::new(encode_hex(&*self.0))
            }
        }

        impl FromStr for $name {
            type Err = HexError;

            /// Exactly 64 lower-case digits.
            fn from_str(text: &str) -> Result<Self, HexError> {
                decode_hex(text).map(Self::from_bytes)
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                same(&*self.0, &*other.0)
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(••••)"))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.to_hex())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Zeroizing::new(String::deserialize(deserializer)?);
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

secret! {
    /// The shared secret of a connection that goes into every message hash, as 64 lower-case digits.
    AuthCode;
    /// Names a connection to the receiver of a message; kept when the handshake is repeated.
    IdentCode;
    /// The `crypto_secretbox` key of a connection.
    CryptKey;
}

/// Six digits that a user passes on: good for one handshake.
#[derive(Clone)]
pub struct PassCode(Zeroizing<[u8; 6]>);

/// A text that is not six digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pass code consists of six digits")]
pub struct PassCodeError;

/// The salt of a message hash: 32 hexadecimal digits, kept as written because the text is what is hashed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Salt([u8; 32]);

/// The hash of a message: SHA-256 over package, auth code, salt and time. Proof of knowing the auth code, no secret itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageHash([u8; 32]);

impl PassCode {
    /// One of the million, each equally likely.
    pub fn random() -> Self {
        Self::from_number(random_below(1_000_000)).unwrap_or_else(|_| unreachable!("below a million"))
    }

    /// A code that was sent as a number and lost its leading zeros.
    pub fn from_number(number: u32) -> Result<Self, PassCodeError> {
        format!("{number:06}").parse()
    }

    /// The six digits.
    pub fn as_str(&self) -> &str {
        // Unwrap safety: only ASCII digits are ever stored.
        std::str::from_utf8(&*self.0).expect("digits are UTF-8")
    }
}

impl FromStr for PassCode {
    type Err = PassCodeError;

    /// Exactly six ASCII digits, with nothing around them.
    fn from_str(text: &str) -> Result<Self, PassCodeError> {
        let digits: [u8; 6] = text.as_bytes().try_into().map_err(|_| PassCodeError)?;
        if digits.iter().all(u8::is_ascii_digit) { Ok(Self(Zeroizing::new(digits))) } else { Err(PassCodeError) }
    }
}

impl PartialEq for PassCode {
    fn eq(&self, other: &Self) -> bool {
        same(&*self.0, &*other.0)
    }
}

impl Eq for PassCode {}

impl fmt::Debug for PassCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PassCode(••••••)")
    }
}

impl Salt {
    /// A new one: 16 random bytes.
    pub fn random() -> Self {
        Self::from_bytes(random())
    }

    /// From 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let mut text = [0; 32];
        text.copy_from_slice(encode_hex(&bytes).as_bytes());
        Self(text)
    }

    /// The digits as written.
    pub fn as_str(&self) -> &str {
        // Unwrap safety: only ASCII digits are ever stored.
        std::str::from_utf8(&self.0).expect("digits are UTF-8")
    }
}

impl FromStr for Salt {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        decode_hex_any_case::<16>(text)?;
        let mut salt = [0; 32];
        salt.copy_from_slice(text.as_bytes());
        Ok(Self(salt))
    }
}

impl MessageHash {
    /// From its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are equal, in constant time: for comparing a claim with the truth.
    pub fn is(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl FromStr for MessageHash {
    type Err = HexError;

    /// Exactly 64 lower-case digits: the reference refuses upper case, and confirms look the text up.
    fn from_str(text: &str) -> Result<Self, HexError> {
        decode_hex(text).map(Self)
    }
}

impl fmt::Display for MessageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&encode_hex(&self.0))
    }
}

impl fmt::Debug for MessageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageHash({self})")
    }
}

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Salt({self})")
    }
}

impl Serialize for PassCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for PassCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! plain_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

plain_text!(Salt, MessageHash);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_secret_is_printed() {
        let auth = AuthCode::from_bytes([0xab; 32]);
        let code: PassCode = "042137".parse().unwrap();
        let shown = format!("{auth:?} {code:?} {:?} {:?}", CryptKey::random(), IdentCode::random());
        assert_eq!(shown, "AuthCode(••••) PassCode(••••••) CryptKey(••••) IdentCode(••••)");
    }

    #[test]
    fn secrets_are_exactly_64_lower_case_digits() {
        assert_eq!("ab".repeat(32).parse::<AuthCode>(), Ok(AuthCode::from_bytes([0xab; 32])));
        assert_eq!("AB".repeat(32).parse::<AuthCode>(), Err(HexError::Digit));
        assert_eq!(IdentCode::from_hex_any_case(&"AB".repeat(32)), Ok(IdentCode::from_bytes([0xab; 32])));
        assert!("ab".repeat(31).parse::<AuthCode>().is_err());
        assert_ne!(AuthCode::random(), AuthCode::random());
        let json = serde_json::to_string(&AuthCode::from_bytes([0xab; 32])).unwrap();
        assert_eq!(serde_json::from_str::<AuthCode>(&json).unwrap(), AuthCode::from_bytes([0xab; 32]));
    }

    #[test]
    fn pass_codes_are_six_digits() {
        assert_eq!(PassCode::from_number(42137).unwrap().as_str(), "042137");
        assert_eq!(PassCode::from_number(1_000_000), Err(PassCodeError));
        for text in ["", "12345", "1234567", "12345a", "-12345", "１２", " 12345"] {
            assert_eq!(text.parse::<PassCode>(), Err(PassCodeError), "{text:?}");
        }
    }

    /// Ten thousand codes: every leading digit comes up about a thousand times (the chance of an honest failure is below 1e-9).
    #[test]
    fn pass_codes_are_uniform() {
        let mut counts = [0; 10];
        for _ in 0..10_000 {
            counts[usize::from(PassCode::random().as_str().as_bytes()[0] - b'0')] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn salts_keep_their_spelling() {
        assert_eq!(
            "00112233445566778899aabbccddeeff".parse::<Salt>().unwrap().as_str(),
            "00112233445566778899aabbccddeeff"
        );
        assert_eq!(
            "00112233445566778899AABBCCDDEEFF".parse::<Salt>().unwrap().as_str(),
            "00112233445566778899AABBCCDDEEFF"
        );
        assert!("00112233445566778899aabbccdde".parse::<Salt>().is_err());
        assert_ne!(Salt::random(), Salt::random());
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text: String) {
            let _ = text.parse::<AuthCode>();
            let _ = text.parse::<PassCode>();
            let _ = text.parse::<Salt>();
            let _ = text.parse::<MessageHash>();
        }
    }
}
