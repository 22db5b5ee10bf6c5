//! Hexadecimal, strictly: exact lengths, lower case out, upper case in only where asked.

/// Why a text is not the hexadecimal that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HexError {
    /// Another number of digits.
    #[error("must have exactly {expected} hexadecimal digits, has {found} characters")]
    Length {
        /// Digits expected.
        expected: usize,
        /// Bytes of the text found.
        found: usize,
    },
    /// Something that is no digit, or an upper-case digit where the text itself is hashed.
    #[error("must consist of the digits 0-9 and a-f")]
    Digit,
}

/// Two lower-case digits a byte.
pub fn encode_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

/// Exactly `2 * N` lower-case digits.
pub fn decode_hex<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) && text.len() == 2 * N {
        return Err(HexError::Digit);
    }
    decode_hex_any_case(text)
}

/// Exactly `2 * N` digits of either case.
pub fn decode_hex_any_case<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    if text.len() != 2 * N {
        return Err(HexError::Length { expected: 2 * N, found: text.len() });
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = value(pair[0]).ok_or(HexError::Digit)? << 4 | value(pair[1]).ok_or(HexError::Digit)?;
    }
    Ok(bytes)
}

fn digit(nibble: u8) -> char {
    char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 })
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_and_cases_are_exact() {
        assert_eq!(encode_hex(&[0, 0x9a, 0xff]), "009aff");
        assert_eq!(decode_hex::<2>("9aff"), Ok([0x9a, 0xff]));
        assert_eq!(decode_hex::<2>("9AFF"), Err(HexError::Digit));
        assert_eq!(decode_hex_any_case::<2>("9AfF"), Ok([0x9a, 0xff]));
        assert_eq!(decode_hex::<2>("9af"), Err(HexError::Length { expected: 4, found: 3 }));
        assert_eq!(decode_hex::<2>("9aé"), Err(HexError::Digit));
        assert_eq!(decode_hex::<2>("+aff"), Err(HexError::Digit));
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes(bytes: [u8; 32]) {
            prop_assert_eq!(decode_hex::<32>(&encode_hex(&bytes)), Ok(bytes));
        }

        #[test]
        fn any_text_is_answered(text: String) {
            let _ = decode_hex::<4>(&text);
            let _ = decode_hex_any_case::<4>(&text);
        }
    }
}
