//! Phone numbers.

use std::fmt;
use std::str::FromStr;

use super::token::{TOKEN_BYTES, Token};
use crate::crypto;

/// Numbers have at most 15 digits (E.164); the protocol sets no limit, so this only keeps absurd ones out.
const LONGEST: usize = 32;

/// A phone number: `+` and ten or more ASCII digits. `Debug` shows nothing of it: numbers never reach a log.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Number(Box<str>);

/// Why something is not a [`Number`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a phone number is + and 10 to 31 digits")]
pub struct NumberError;

impl Number {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands for it in a directory: the first ten bytes of its SHA-1.
    pub fn token(&self) -> Token {
        let mut token = [0; TOKEN_BYTES];
        token.copy_from_slice(&crypto::sha1(self.0.as_bytes())[..TOKEN_BYTES]);
        Token(token)
    }
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        let digits = text.strip_prefix('+').ok_or(NumberError)?;
        let good = digits.len() >= 10 && text.len() <= LONGEST && digits.bytes().all(|byte| byte.is_ascii_digit());
        good.then(|| Self(text.into())).ok_or(NumberError)
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Number(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_plus_and_ten_digits_or_more() {
        for good in ["+1415555010", "+14155550101", "+0000000000"] {
            assert_eq!(good.parse::<Number>().unwrap().as_str(), good);
        }
        for bad in
            ["", "+", "14155550101", "+141555501", "+1415555010a", "+1415 5550101", " +14155550101", "+١٢٣٤٥٦٧٨٩٠"]
        {
            assert_eq!(bad.parse::<Number>(), Err(NumberError), "{bad}");
        }
        assert!(format!("+{}", "1".repeat(32)).parse::<Number>().is_err());
    }

    /// Specification §1.7.
    #[test]
    fn tokens_are_those_of_the_clients() {
        let token = |number: &str| number.parse::<Number>().unwrap().token().text();
        assert_eq!(token("+14152222222"), "BQVVHxMt5zAFXA");
        assert_eq!(token("+14155550101"), "cc8f/gXBOF1Vig");
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", "+14155550101".parse::<Number>()), "Ok(Number(…))");
    }
}
